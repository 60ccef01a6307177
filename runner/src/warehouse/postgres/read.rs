//! What is read back: progress, the keys under which children are read, and rows that somebody asks about.

use std::{collections::BTreeMap, pin::pin};

use futures::StreamExt;
use headwater_core::{error::Error, object::Type};
use jiff::Timestamp;
use postgres_types::ToSql;
use tokio::sync::mpsc;
use tokio_postgres::Row;

use super::{
    Writer,
    explain::Trouble,
    grow::missing,
    value::{Bound, cell, selected},
};
use crate::warehouse::{
    Found, Note, StoredCall, books,
    calls::KIND_TABLES,
    known::Stored,
    name::quote,
    table::{Cell, Column, Layout},
};

/// Questions that are sent before the first is answered.
const PIPELINED: usize = 100;
/// Rows that are passed on at once.
const SOME: usize = 1_000;

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

    /// See [`Schema::find`](crate::warehouse::Schema::find).
    pub(super) async fn find(
        &self,
        name: &str,
        by: &[String],
        values: &[Vec<String>],
    ) -> Result<Option<Found>, Trouble> {
        let mut turn = self.turn().await?;
        let tx = turn.client.transaction().await?;
        self.begin(&tx, &mut turn.state, "", &[name]).await?;
        let Some(known) = turn.state.tables.get(name) else {
            drop(tx);
            turn.end();
            return Ok(None);
        };
        let table = &known.table;
        let by = if by.is_empty() { &table.key } else { by };
        let mut kinds = Vec::with_capacity(by.len());
        for column in by {
            let place = table.place(column).ok_or_else(|| missing(&self.name, name, column))?;
            kinds.push(table.columns[place].kind.unwrap_or(Type::Text));
        }
        let select: Vec<String> =
            table.columns.iter().map(|column| selected(column.kind, &quote(&column.name))).collect();
        let matched: Vec<String> =
            by.iter().enumerate().map(|(at, column)| format!("{} = ${}", quote(column), at + 1)).collect();
        let sql = format!(
            "SELECT {} FROM {}.{} WHERE {}",
            select.join(", "),
            quote(&self.name),
            quote(name),
            matched.join(" AND ")
        );
        let statement = tx.prepare_cached(&sql).await?;
        let mut rows = Vec::new();
        for some in values.chunks(PIPELINED) {
            let mut keys = Vec::with_capacity(some.len());
            for key in some {
                if key.len() != by.len() {
                    let wrong =
                        format!("table {name} is asked by {}, not by {} values", by.join(", "), key.len());
                    return Err(Error::config(wrong).into());
                }
                let bound =
                    key.iter().zip(&kinds).map(|(text, kind)| Bound::cell(*kind, &Cell::read(text, *kind)));
                // What the column cannot hold is in no row.
                keys.extend(bound.collect::<Option<Vec<Bound>>>());
            }
            let asked = keys.iter().map(|key| {
                let values: Vec<&(dyn ToSql + Sync)> = key.iter().map(|value| value as _).collect();
                let (tx, statement) = (&tx, &statement);
                async move { tx.query(statement, &values).await }
            });
            for row in futures::future::try_join_all(asked).await?.into_iter().flatten() {
                let cells = table.columns.iter().enumerate();
                let cells = cells.map(|(at, column)| cell(column.kind, &row, at));
                rows.push(cells.collect::<Result<Vec<_>, _>>()?);
            }
        }
        let column = |stored: &Stored| Column {
            name: stored.name.clone(),
            path: stored.path.clone(),
            kind: stored.kind,
            declared: stored.system || stored.path.starts_with('='),
        };
        let columns = table.columns.iter().map(column).collect();
        let found = Found { layout: table.layout, key: table.key.clone(), columns, rows };
        tx.commit().await?;
        turn.end();
        Ok(Some(found))
    }

    /// See [`Schema::calls`](crate::warehouse::Schema::calls). It reads by a connection of its own, so that loads go on.
    pub(super) async fn calls(
        &self,
        since: Timestamp,
        until: Timestamp,
        to: &mpsc::Sender<Vec<StoredCall>>,
    ) -> Result<(), Trouble> {
        let client = self.link.get().await?;
        let there = format!("SELECT name FROM {} WHERE name = ANY($1::text[])", self.own_table("tables"));
        let there = client.query(&there, &[&KIND_TABLES.as_slice()]).await?;
        let there = there.iter().map(|row| row.try_get(0)).collect::<Result<Vec<String>, _>>()?;
        for table in KIND_TABLES.into_iter().filter(|table| there.iter().any(|name| name == table)) {
            let event = if table == "tracks" { "event" } else { "NULL::text" };
            let sql = format!(
                "SELECT id, _headwater_delivery, {event} FROM {}.{} WHERE received_at >= $1 AND received_at <= $2",
                quote(&self.name),
                quote(table)
            );
            let statement = client.prepare(&sql).await?;
            let rows = client.query_raw(&statement, [Bound::time(since), Bound::time(until)]).await?;
            let mut rows = pin!(rows.chunks(SOME));
            while let Some(some) = rows.next().await {
                let call = |row: Result<Row, tokio_postgres::Error>| {
                    let row = row?;
                    let (id, delivery, event) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
                    Ok(StoredCall { table, id, delivery, event })
                };
                let some = some.into_iter().map(call).collect::<Result<Vec<_>, tokio_postgres::Error>>()?;
                if to.send(some).await.is_err() {
                    // Nobody wants to know any more.
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// See [`Schema::note`](crate::warehouse::Schema::note).
    pub(super) async fn note(
        &self,
        of: Note,
        id: &str,
    ) -> Result<Option<serde_json::Map<String, serde_json::Value>>, Trouble> {
        let turn = self.turn().await?;
        let table = match of {
            Note::Load => self.own_table("loads"),
            Note::Run => self.own_table("runs"),
        };
        let select = format!("SELECT row_to_json(note)::text FROM {table} AS note WHERE id = $1");
        let select = turn.client.prepare_cached(&select).await?;
        let found = turn.client.query_opt(&select, &[&id]).await?;
        let text: Option<String> = found.map(|row| row.try_get(0)).transpose()?;
        turn.end();
        Ok(text.map(|text| serde_json::from_str(&text)).transpose().map_err(Error::from)?)
    }
}
