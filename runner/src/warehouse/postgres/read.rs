//! What is read back: progress, and the keys under which children are read.

use std::collections::BTreeMap;

use headwater_core::{error::Error, object::Type};
use postgres_types::ToSql;

use super::{
    Writer,
    explain::Trouble,
    grow::missing,
    value::{Bound, cell, selected},
};
use crate::warehouse::{
    books,
    name::quote,
    table::{Cell, Layout},
};

impl Writer {
    /// See [`Schema::progress`](crate::warehouse::Schema::progress).
    pub(super) async fn progress(&self) -> Result<BTreeMap<String, serde_json::Value>, Trouble> {
        let turn = self.turn().await?;
        let select = format!("SELECT key, value::text FROM {}", self.own_table("progress"));
        let select = turn.client.prepare_cached(&select).await?;
        let mut progress = BTreeMap::new();
        for row in turn.client.query(&select, &[]).await? {
            let (key, value): (String, String) = (row.try_get(0)?, row.try_get(1)?);
            let value = books::progress(&key, &value)?;
            progress.insert(key, value);
        }
        turn.end();
        Ok(progress)
    }

    /// See [`Schema::keys`](crate::warehouse::Schema::keys).
    pub(super) async fn keys(
        &self,
        name: &str,
        columns: &[String],
        after: Option<&[Cell]>,
        limit: usize,
    ) -> Result<Vec<Vec<Cell>>, Trouble> {
        let mut turn = self.turn().await?;
        let tx = turn.client.transaction().await?;
        self.begin(&tx, &mut turn.state, "", &[name]).await?;
        let Some(known) = turn.state.tables.get(name) else {
            drop(tx);
            turn.end();
            return Ok(Vec::new());
        };
        let table = &known.table;
        let kind = |column: &String| -> Result<Option<Type>, Error> {
            let place = table.place(column).ok_or_else(|| missing(&self.name, name, column))?;
            Ok(table.columns[place].kind)
        };
        let kinds = columns.iter().map(kind).collect::<Result<Vec<_>, _>>()?;
        let quoted: Vec<String> = columns.iter().map(|column| quote(column)).collect();
        let select: Vec<String> =
            kinds.iter().zip(&quoted).map(|(kind, column)| selected(*kind, column)).collect();
        let select = if select.is_empty() { "1".to_owned() } else { select.join(", ") };
        let key: Vec<String> = table.key.iter().map(|key| quote(key)).collect();
        let key = key.join(", ");
        let living = if table.layout == Layout::Object { "NOT is_deleted" } else { "true" };
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut bound = Vec::new();
        let behind = match after {
            None => String::new(),
            Some(after) if after.len() == table.key.len() => {
                for (cell, column) in after.iter().zip(&table.key) {
                    let value = Bound::cell(kind(column)?.unwrap_or(Type::Text), cell);
                    bound.push(
                        value
                            .ok_or_else(|| Error::unexpected(format!("table {name}: {cell:?} is no key")))?,
                    );
                }
                let marks: Vec<String> = (0..after.len()).map(|at| format!("${}", at + 2)).collect();
                format!("AND ({key}) > ({})", marks.join(", "))
            }
            Some(after) => {
                let wrong =
                    format!("table {name} has a key of {} columns, not {}", table.key.len(), after.len());
                return Err(Error::unexpected(wrong).into());
            }
        };
        let sql = format!(
            "SELECT {select} FROM {}.{} WHERE {living} {behind} ORDER BY {key} LIMIT $1",
            quote(&self.name),
            quote(name)
        );
        let statement = tx.prepare_cached(&sql).await?;
        let values: Vec<&(dyn ToSql + Sync)> =
            [&limit as _].into_iter().chain(bound.iter().map(|value| value as _)).collect();
        let mut found = Vec::new();
        for row in tx.query(&statement, &values).await? {
            let cells = kinds.iter().enumerate().map(|(at, kind)| cell(*kind, &row, at));
            found.push(cells.collect::<Result<Vec<_>, _>>()?);
        }
        tx.commit().await?;
        turn.end();
        Ok(found)
    }
}
