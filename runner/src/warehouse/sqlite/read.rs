//! What is read back: progress, the keys under which children are read, and rows that somebody asks about.

use std::{collections::BTreeMap, path::Path};

use headwater_core::{error::Error, object::Type};
use jiff::Timestamp;
use rusqlite::{Connection, OpenFlags};
use tokio::sync::mpsc;

use super::{
    Trouble, Writer,
    calls::numbers,
    grow::{NUMBER, load},
    ids::Ids,
    value::{Bound, cell},
};
use crate::warehouse::{
    Found, Note, StoredCall, books,
    calls::KIND_TABLES,
    known::Stored,
    name::quote,
    table::{Cell, Column, Layout, instant},
};

/// Rows that are sent at once.
const SOME: usize = 1_000;

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

    /// See [`Schema::find`](crate::warehouse::Schema::find).
    pub(super) fn find(
        &mut self,
        name: &str,
        by: &[String],
        values: &[Vec<String>],
    ) -> Result<Option<Found>, Trouble> {
        if !self.tables.contains_key(name)
            && let Some(table) = load(&self.db, name)?
        {
            self.tables.insert(name.to_owned(), table);
        }
        let Some(table) = self.tables.get(name) else { return Ok(None) };
        let by = if by.is_empty() { &table.key } else { by };
        let mut kinds = Vec::with_capacity(by.len());
        for column in by {
            let place = table
                .place(column)
                .ok_or_else(|| Error::config(format!("table {name} has no column {column}")))?;
            kinds.push(table.columns[place].kind.unwrap_or(Type::Text));
        }
        let names: Vec<String> = table.columns.iter().map(|column| quote(&column.name)).collect();
        let matched: Vec<String> =
            by.iter().enumerate().map(|(at, column)| format!("{} = ?{}", quote(column), at + 1)).collect();
        let mut matched = matched.join(" AND ");
        // Ids of calls are in no index: the number is looked for first.
        let is_call = matches!(table.layout, Layout::Call | Layout::Event) && *by == table.key;
        if is_call {
            if self.ids.is_none() {
                let change = self.db.unchecked_transaction()?;
                self.ids = Some(Ids::open(&change)?);
                change.commit()?;
            }
            matched = format!("{matched} AND {NUMBER} = ?{}", by.len() + 1);
        }
        let sql = format!("SELECT {} FROM {} WHERE {matched}", names.join(", "), quote(name));
        let mut statement = self.db.prepare_cached(&sql)?;
        let mut found = Vec::new();
        for key in values {
            if key.len() != by.len() {
                let wrong = format!(
                    "table {name} is asked by {} ({} values), not {}",
                    by.join(", "),
                    by.len(),
                    key.len()
                );
                return Err(Error::config(wrong).into());
            }
            for (at, (text, kind)) in key.iter().zip(&kinds).enumerate() {
                statement.raw_bind_parameter(at + 1, Bound(Some(&Cell::read(text, *kind)), *kind))?;
            }
            let places = match (&self.ids, key.first()) {
                (Some(ids), Some(id)) if is_call => {
                    numbers(&self.db, ids, name, table.layout, id)?.into_iter().map(Some).collect()
                }
                _ => vec![None],
            };
            for place in places {
                if let Some(number) = place {
                    statement.raw_bind_parameter(by.len() + 1, number)?;
                }
                let mut rows = statement.raw_query();
                while let Some(row) = rows.next()? {
                    let cells = table.columns.iter().enumerate();
                    let cells = cells.map(|(at, column)| Ok(cell(column.kind, row.get_ref(at)?)));
                    found.push(cells.collect::<Result<Vec<_>, rusqlite::Error>>()?);
                }
            }
        }
        let column = |stored: &Stored| Column {
            name: stored.name.clone(),
            path: stored.path.clone(),
            kind: stored.kind,
            declared: stored.system || stored.path.starts_with('='),
        };
        Ok(Some(Found {
            layout: table.layout,
            key: table.key.clone(),
            columns: table.columns.iter().map(column).collect(),
            rows: found,
        }))
    }

    /// See [`Schema::note`](crate::warehouse::Schema::note).
    pub(super) fn note(
        &mut self,
        of: Note,
        id: &str,
    ) -> Result<Option<serde_json::Map<String, serde_json::Value>>, Trouble> {
        let table = match of {
            Note::Load => "_headwater_loads",
            Note::Run => "_headwater_runs",
        };
        let mut statement = self.db.prepare_cached(&format!("SELECT * FROM {table} WHERE id = ?1"))?;
        let names: Vec<String> = statement.column_names().into_iter().map(str::to_owned).collect();
        let mut rows = statement.query([id])?;
        let Some(row) = rows.next()? else { return Ok(None) };
        let member = |(at, name): (usize, String)| Ok((name, cell(None, row.get_ref(at)?).json()));
        Ok(Some(names.into_iter().enumerate().map(member).collect::<Result<_, rusqlite::Error>>()?))
    }
}

/// See [`Schema::calls`](crate::warehouse::Schema::calls). It reads by a connection of its own, so that loads go on.
pub(super) fn calls(
    path: &Path,
    since: Timestamp,
    until: Timestamp,
    to: &mpsc::Sender<Vec<StoredCall>>,
) -> Result<(), Trouble> {
    let db = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    db.busy_timeout(super::PATIENCE)?;
    for table in KIND_TABLES {
        if load(&db, table)?.is_none() {
            continue;
        }
        let event = if table == "tracks" { "event" } else { "NULL" };
        let sql = format!(
            "SELECT id, _headwater_delivery, {event} FROM {table} WHERE received_at >= ?1 AND received_at <= ?2"
        );
        let mut statement = db.prepare(&sql)?;
        let mut rows = statement.query([instant(since), instant(until)])?;
        let mut some = Vec::with_capacity(SOME);
        while let Some(row) = rows.next()? {
            some.push(StoredCall { table, id: row.get(0)?, delivery: row.get(1)?, event: row.get(2)? });
            if some.len() == SOME && to.blocking_send(std::mem::take(&mut some)).is_err() {
                // Nobody wants to know any more.
                return Ok(());
            }
        }
        if !some.is_empty() && to.blocking_send(some).is_err() {
            return Ok(());
        }
    }
    Ok(())
}
