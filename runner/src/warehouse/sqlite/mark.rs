//! Rows that are gone: swept at the end of a pass, pruned under one parent, no longer made by a replay.

use std::collections::HashMap;

use headwater_core::{cursor::Pass, object::Type};
use rusqlite::{Connection, TransactionBehavior, params};

use super::{
    Trouble, Writer,
    calls::numbers,
    grow::{NUMBER, load},
    ids::Ids,
    value::Bound,
};
use crate::warehouse::{
    Prune, Removal, Swept,
    known::Table,
    name::quote,
    table::{Layout, instant},
};

impl Writer {
    /// See [`Schema::sweep`](crate::warehouse::Schema::sweep).
    pub(super) fn sweep(&mut self, table: &str, pass: &Pass, most: f64) -> Result<Swept, Trouble> {
        let now = instant(jiff::Timestamp::now());
        let tx = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        if !is_object(&tx, &mut self.tables, table)? {
            return Ok(Swept::default());
        }
        let target = quote(table);
        let gone = "is_deleted = 0 AND _headwater_pass IS NOT ?1 AND uuid_ts < ?2";
        let began = instant(pass.began);
        let (met, living, leaving): (u64, u64, u64) = tx.query_row(
            &format!(
                "SELECT total(_headwater_pass IS ?1), total(is_deleted = 0), total({gone}) FROM {target}"
            ),
            params![pass.id, began],
            |row| {
                Ok((row.get::<_, f64>(0)? as u64, row.get::<_, f64>(1)? as u64, row.get::<_, f64>(2)? as u64))
            },
        )?;
        let accepted = most >= 1.0;
        if leaving == 0 || !accepted && (met == 0 || leaving as f64 > most * living as f64) {
            return Ok(Swept { deleted: 0, held: leaving, living });
        }
        let deleted = tx.execute(
            &format!("UPDATE {target} SET is_deleted = 1, uuid_ts = ?3 WHERE {gone}"),
            params![pass.id, began, now],
        )?;
        tx.commit()?;
        Ok(Swept { deleted: deleted as u64, held: 0, living })
    }
}

/// Marks as deleted what is in the prune's scope and was not loaded by its pass, nor by anything since `before`.
pub fn prune(
    db: &Connection,
    tables: &mut HashMap<String, Table>,
    prune: &Prune,
    before: &str,
    now: &str,
) -> Result<u64, Trouble> {
    if prune.scope.is_empty() || !is_object(db, tables, &prune.table)? {
        return Ok(0);
    }
    let Some(table) = tables.get(&prune.table) else { return Ok(0) };
    let mut bound: Vec<Bound<'_>> = Vec::with_capacity(prune.scope.len());
    let mut scope = Vec::with_capacity(prune.scope.len());
    for (column, cell) in &prune.scope {
        // No row has a value in a column that is not there.
        let Some(place) = table.place(column) else { return Ok(0) };
        bound.push(Bound(Some(cell), table.columns[place].kind.unwrap_or(Type::Text)));
        scope.push(quote(column));
    }
    let names: Vec<&str> = prune.scope.iter().map(|(column, _)| column.as_str()).collect();
    index(db, &prune.table, &names)?;
    let matched: Vec<String> =
        scope.iter().enumerate().map(|(at, column)| format!("{column} = ?{}", at + 4)).collect();
    let mut update = db.prepare_cached(&format!(
        "UPDATE {} SET is_deleted = 1, uuid_ts = ?3
         WHERE {} AND is_deleted = 0 AND _headwater_pass IS NOT ?1 AND uuid_ts < ?2",
        quote(&prune.table),
        matched.join(" AND ")
    ))?;
    update.raw_bind_parameter(1, &prune.pass)?;
    update.raw_bind_parameter(2, before)?;
    update.raw_bind_parameter(3, now)?;
    for (at, value) in bound.iter().enumerate() {
        update.raw_bind_parameter(at + 4, value)?;
    }
    Ok(update.raw_execute()? as u64)
}

/// Removes rows of calls by their key, where they are still the delivery's; returns how many.
pub fn remove(
    db: &Connection,
    tables: &mut HashMap<String, Table>,
    ids: &Ids,
    removals: &[Removal],
) -> Result<u64, Trouble> {
    let mut removed = 0;
    for Removal { table, id, delivery } in removals {
        let Some(layout @ (Layout::Call | Layout::Event)) = layout(db, tables, table)? else { continue };
        let sql = format!(
            "DELETE FROM {} WHERE {NUMBER} = ?1 AND id = ?2 AND _headwater_delivery = ?3",
            quote(table)
        );
        let mut delete = db.prepare_cached(&sql)?;
        for number in numbers(db, ids, table, layout, id)? {
            removed += delete.execute(params![number, id, &**delivery])?;
        }
    }
    Ok(removed as u64)
}

/// An index for what is asked again and again; made when it is first needed.
fn index(db: &Connection, table: &str, columns: &[&str]) -> Result<(), Trouble> {
    let name = format!("_headwater_index:{table}:{}", columns.join(":"));
    let columns: Vec<String> = columns.iter().map(|column| quote(column)).collect();
    let sql =
        format!("CREATE INDEX IF NOT EXISTS {} ON {} ({})", quote(&name), quote(table), columns.join(", "));
    Ok(db.execute_batch(&sql)?)
}

/// Whether it is a table of objects.
fn is_object(db: &Connection, tables: &mut HashMap<String, Table>, name: &str) -> Result<bool, Trouble> {
    Ok(layout(db, tables, name)? == Some(Layout::Object))
}

/// What kind of table it is, if there is one; loads what is known of it.
fn layout(
    db: &Connection,
    tables: &mut HashMap<String, Table>,
    name: &str,
) -> Result<Option<Layout>, Trouble> {
    if !tables.contains_key(name)
        && let Some(table) = load(db, name)?
    {
        tables.insert(name.to_owned(), table);
    }
    Ok(tables.get(name).map(|table| table.layout))
}
