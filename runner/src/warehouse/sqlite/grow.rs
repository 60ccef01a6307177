//! How tables grow in the file: what is known of them says what has to change.

use std::collections::HashMap;

use headwater_core::object::Type;
use rusqlite::{Connection, OptionalExtension, params};

use super::{Trouble, Writer};
use crate::warehouse::{
    known::{self, Places, Step, Stored, Table, crowded, type_of},
    name::quote,
    table::{Column, Layout, MAX_TABLES, real},
};

/// The column of a call's number: the same in `tracks` and in its event's table. See [`super::calls`].
pub const NUMBER: &str = "_headwater_row";

/// What became of a table that a batch needs.
pub enum Grown {
    /// It is there.
    Ready(Places),
    /// It cannot be: the schema has too many tables.
    Crowded,
}

impl Writer {
    /// See [`Schema::prepare`](crate::warehouse::Schema::prepare).
    pub(super) fn prepare(
        &mut self,
        table: &str,
        layout: Layout,
        key: &[String],
        columns: &[Column],
    ) -> Result<(), Trouble> {
        let tx = self.db.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        let grown = grow(&tx, &mut self.tables, table, layout, key, columns, &mut Vec::new())?;
        if let Grown::Crowded = grown {
            return Err(crowded(table).into());
        }
        Ok(tx.commit()?)
    }
}

/// Makes sure that the table is there, with a column for each of `columns` that is wide enough.
pub fn grow(
    db: &Connection,
    tables: &mut HashMap<String, Table>,
    name: &str,
    layout: Layout,
    key: &[String],
    columns: &[Column],
    notices: &mut Vec<String>,
) -> Result<Grown, Trouble> {
    let mut growth = None;
    if !tables.contains_key(name) {
        let table = match load(db, name)? {
            Some(table) => table,
            None if count(db)? >= MAX_TABLES => return Ok(Grown::Crowded),
            None => {
                let mut table = Table::new(layout, key);
                let mut made = table.grow(columns);
                create(db, name, &table)?;
                made.steps.clear();
                growth = Some(made);
                table
            }
        };
        tables.insert(name.to_owned(), table);
    }
    let Some(table) = tables.get_mut(name) else { return Ok(Grown::Crowded) };
    table.check(name, layout, key)?;
    let growth = growth.unwrap_or_else(|| table.grow(columns));
    for step in &growth.steps {
        apply(db, name, table, *step)?;
    }
    notices.extend(growth.notice(name));
    Ok(Grown::Ready(growth.places))
}

/// Does in the file what the table is known to be already.
fn apply(db: &Connection, name: &str, table: &Table, step: Step) -> Result<(), Trouble> {
    let stored = match step {
        Step::Add(place) | Step::Document(place) | Step::Widen(place, ..) => &table.columns[place],
    };
    match step {
        Step::Add(_) => {
            db.execute_batch(&format!("ALTER TABLE {} ADD COLUMN {}", quote(name), quote(&stored.name)))?;
            remember(db, name, stored)?;
        }
        Step::Document(_) => {
            db.execute(
                "UPDATE _headwater_columns SET path = ?3 WHERE table_name = ?1 AND name = ?2",
                params![name, stored.name, stored.path],
            )?;
        }
        Step::Widen(_, from, to) => {
            if let Some(from) = from {
                rewrite(db, name, &stored.name, from, to)?;
            }
            db.prepare_cached("UPDATE _headwater_columns SET type = ?3 WHERE table_name = ?1 AND name = ?2")?
                .execute(params![name, stored.name, to.name()])?;
        }
    }
    Ok(())
}

/// Makes a table, with all the columns that are known at once.
fn create(db: &Connection, name: &str, table: &Table) -> Result<(), Trouble> {
    let taken: Option<String> = db
        .query_row("SELECT type FROM sqlite_master WHERE lower(name) = lower(?1)", [name], |row| row.get(0))
        .optional()?;
    if let Some(kind) = taken {
        return Err(known::foreign(&kind, name).into());
    }
    // Headwater's own columns stand at the end.
    let own = table.columns.iter().filter(|column| column.system);
    let names: Vec<String> = table
        .columns
        .iter()
        .filter(|column| !column.system)
        .chain(own)
        .map(|column| quote(&column.name))
        .collect();
    let key: Vec<String> = table.key.iter().map(|key| quote(key)).collect();
    let (columns, key) = (names.join(", "), key.join(", "));
    let columns = match table.layout {
        Layout::Object | Layout::Entity => format!("{columns}, PRIMARY KEY ({key})"),
        Layout::Call | Layout::Event => format!("{columns}, {NUMBER} INTEGER PRIMARY KEY"),
    };
    db.execute_batch(&format!("CREATE TABLE {} ({columns})", quote(name)))?;
    db.execute(
        "INSERT INTO _headwater_tables (name, layout, key) VALUES (?1, ?2, ?3)",
        params![name, table.layout.name(), table.key_json()?],
    )?;
    table.columns.iter().try_for_each(|stored| remember(db, name, stored))
}

fn remember(db: &Connection, table: &str, column: &Stored) -> Result<(), Trouble> {
    db.prepare_cached(
        "INSERT INTO _headwater_columns (table_name, name, type, path) VALUES (?1, ?2, ?3, ?4)",
    )?
    .execute(params![table, column.name, column.kind.map(Type::name), column.path])?;
    Ok(())
}

/// What the file says of a table; none if it has none.
pub fn load(db: &Connection, name: &str) -> Result<Option<Table>, Trouble> {
    let known: Option<(String, String)> = db
        .prepare_cached("SELECT layout, key FROM _headwater_tables WHERE name = ?1")?
        .query_row([name], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((layout, key)) = known else { return Ok(None) };
    let mut table = Table::read(name, &layout, &key)?;
    let mut statement =
        db.prepare_cached("SELECT name, type, path FROM _headwater_columns WHERE table_name = ?1")?;
    let mut rows = statement.query([name])?;
    while let Some(row) = rows.next()? {
        let kind: Option<String> = row.get(1)?;
        table.add(Stored::known(row.get(0)?, kind.as_deref().and_then(type_of), row.get(2)?));
    }
    Ok(Some(table))
}

fn count(db: &Connection) -> Result<usize, Trouble> {
    Ok(db.query_row("SELECT count(*) FROM _headwater_tables", [], |row| row.get(0))?)
}

/// Brings what is stored into the form that the wider column holds. Numbers of all kinds live side by side, because
/// SQLite's values carry their own type.
fn rewrite(db: &Connection, table: &str, column: &str, from: Type, to: Type) -> Result<(), Trouble> {
    let (table, column) = (quote(table), quote(column));
    let run = |sql: String| db.execute(&sql, []).map(drop);
    match (from, to) {
        (Type::Bool, Type::Text) => run(format!(
            "UPDATE {table} SET {column} = CASE {column} WHEN 0 THEN 'false' ELSE 'true' END WHERE typeof({column}) = 'integer'"
        ))?,
        (Type::Int | Type::Real | Type::Numeric, Type::Text) => {
            run(format!(
                "UPDATE {table} SET {column} = CAST({column} AS TEXT) WHERE typeof({column}) = 'integer'"
            ))?;
            rewrite_reals(db, &table, &column)?;
        }
        (Type::Date, Type::Time) => run(format!(
            "UPDATE {table} SET {column} = {column} || 'T00:00:00.000000Z' WHERE length({column}) = 10"
        ))?,
        _ => {}
    }
    Ok(())
}

/// SQLite itself writes a float with fifteen digits, which is not always enough.
fn rewrite_reals(db: &Connection, table: &str, column: &str) -> Result<(), Trouble> {
    let mut next = db.prepare(&format!(
        "SELECT _rowid_, {column} FROM {table} WHERE _rowid_ > ?1 AND typeof({column}) = 'real' ORDER BY _rowid_ LIMIT 1000"
    ))?;
    let mut update = db.prepare(&format!("UPDATE {table} SET {column} = ?2 WHERE _rowid_ = ?1"))?;
    let mut last = i64::MIN;
    loop {
        let page: Vec<(i64, f64)> =
            next.query_map([last], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?;
        let Some((end, _)) = page.last() else { return Ok(()) };
        last = *end;
        for (row, number) in page {
            update.execute(params![row, real(number)])?;
        }
    }
}
