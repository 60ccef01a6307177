//! What is read back: progress, and the keys under which children are read.

use std::collections::BTreeMap;

use headwater_core::{error::Error, object::Type};

use super::{
    Trouble, Writer,
    grow::load,
    value::{Bound, cell},
};
use crate::warehouse::{
    books,
    name::quote,
    table::{Cell, Layout},
};

impl Writer {
    /// See [`Schema::progress`](crate::warehouse::Schema::progress).
    pub(super) fn progress(&mut self) -> Result<BTreeMap<String, serde_json::Value>, Trouble> {
        let mut statement = self.db.prepare_cached("SELECT key, value FROM _headwater_progress")?;
        let mut rows = statement.query([])?;
        let mut progress = BTreeMap::new();
        while let Some(row) = rows.next()? {
            let (key, value): (String, String) = (row.get(0)?, row.get(1)?);
            let value = books::progress(&key, &value)?;
            progress.insert(key, value);
        }
        Ok(progress)
    }

    /// See [`Schema::keys`](crate::warehouse::Schema::keys).
    pub(super) fn keys(
        &mut self,
        name: &str,
        columns: &[String],
        after: Option<&[Cell]>,
        limit: usize,
    ) -> Result<Vec<Vec<Cell>>, Trouble> {
        if !self.tables.contains_key(name)
            && let Some(table) = load(&self.db, name)?
        {
            self.tables.insert(name.to_owned(), table);
        }
        let Some(table) = self.tables.get(name) else { return Ok(Vec::new()) };
        let kind = |column: &str| -> Result<Option<Type>, Error> {
            let place = table
                .place(column)
                .ok_or_else(|| Error::unexpected(format!("table {name} has no column {column}")))?;
            Ok(table.columns[place].kind)
        };
        let kinds = columns.iter().map(|column| kind(column)).collect::<Result<Vec<_>, _>>()?;
        let quoted = |names: &[String]| names.iter().map(|name| quote(name)).collect::<Vec<_>>().join(", ");
        let key = quoted(&table.key);
        let living = if table.layout == Layout::Object { "is_deleted = 0" } else { "1" };
        let behind = match after {
            None => String::new(),
            Some(after) if after.len() == table.key.len() => {
                let marks: Vec<String> = (0..after.len()).map(|at| format!("?{}", at + 2)).collect();
                format!("AND ({key}) > ({})", marks.join(", "))
            }
            Some(after) => {
                let wrong =
                    format!("table {name} has a key of {} columns, not {}", table.key.len(), after.len());
                return Err(Error::unexpected(wrong).into());
            }
        };
        let select = if columns.is_empty() { "1".to_owned() } else { quoted(columns) };
        let sql =
            format!("SELECT {select} FROM {} WHERE {living} {behind} ORDER BY {key} LIMIT ?1", quote(name));
        let mut statement = self.db.prepare_cached(&sql)?;
        statement.raw_bind_parameter(1, i64::try_from(limit).unwrap_or(i64::MAX))?;
        for (at, (cell, column)) in after.unwrap_or_default().iter().zip(&table.key).enumerate() {
            statement.raw_bind_parameter(at + 2, Bound(Some(cell), kind(column)?.unwrap_or(Type::Text)))?;
        }
        let mut rows = statement.raw_query();
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            let cells = kinds.iter().enumerate().map(|(at, kind)| Ok(cell(*kind, row.get_ref(at)?)));
            found.push(cells.collect::<Result<Vec<_>, rusqlite::Error>>()?);
        }
        Ok(found)
    }
}
