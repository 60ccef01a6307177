//! How tables grow: columns are added and types widen; nothing is dropped or narrowed.

use std::collections::HashMap;

use headwater_core::{error::Error, object::Type};
use rusqlite::{Connection, OptionalExtension, params};

use super::{Trouble, Writer};
use crate::warehouse::{
    name::{self, quote},
    table::{Column, Layout, MAX_COLUMNS, MAX_TABLES, real, widen},
};

/// What is known of a table in the file.
#[derive(Debug)]
pub struct Table {
    pub layout: Layout,
    pub key: Vec<String>,
    pub columns: Vec<Stored>,
    /// By name in lower case: SQLite tells no `A` from `a`.
    by_name: HashMap<String, usize>,
    by_path: HashMap<String, usize>,
}

/// A column in the file.
#[derive(Debug)]
pub struct Stored {
    pub name: String,
    /// What it holds; none as long as nobody knows.
    pub kind: Option<Type>,
    pub path: String,
    /// Whether Headwater fills it itself.
    pub system: bool,
}

/// Where a batch's columns are in the table; none for those that have no place in it.
pub type Places = Vec<Option<usize>>;

/// What became of a table that a batch needs.
pub enum Grown {
    /// It is there.
    Ready(Places),
    /// It cannot be: the schema has too many tables.
    Crowded,
}

impl Table {
    fn new(layout: Layout, key: Vec<String>) -> Self {
        Self { layout, key, columns: Vec::new(), by_name: HashMap::new(), by_path: HashMap::new() }
    }

    /// The place of the column of that name.
    pub fn place(&self, name: &str) -> Option<usize> {
        self.by_name.get(&name.to_lowercase()).copied()
    }

    fn add(&mut self, stored: Stored) -> usize {
        let place = self.columns.len();
        self.by_name.insert(stored.name.to_lowercase(), place);
        self.by_path.insert(stored.path.clone(), place);
        self.columns.push(stored);
        place
    }

    /// The name that a new column gets: its own, or where another member has that, one that depends on its path.
    fn free_name(&self, column: &Column) -> Option<String> {
        if self.place(&column.name).is_none() {
            return Some(column.name.clone());
        }
        Some(name::apart(&column.name, &column.path)).filter(|apart| self.place(apart).is_none())
    }
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

/// That a table has no place any more.
pub fn crowded(table: &str) -> Error {
    Error::config(format!(
        "table {table}: the schema has {MAX_TABLES} tables already: exclude some, or use another source for it"
    ))
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
    if !tables.contains_key(name) {
        let table = match load(db, name)? {
            Some(table) => table,
            None if count(db)? >= MAX_TABLES => return Ok(Grown::Crowded),
            None => create(db, name, layout, key, columns)?,
        };
        tables.insert(name.to_owned(), table);
    }
    let Some(table) = tables.get_mut(name) else { return Ok(Grown::Crowded) };
    if table.key != key || table.layout != layout {
        return Err(Error::config(format!(
            "table {name} has the key {} and cannot be loaded with the key {}: rename the table, it is then read anew",
            table.key.join(", "),
            key.join(", ")
        ))
        .into());
    }
    let mut places: Places = vec![None; columns.len()];
    let mut turned_away = 0;
    for at in order(columns) {
        let column = &columns[at];
        let Some(place) = place(db, name, table, column, &mut turned_away)? else { continue };
        places[at] = Some(place);
        let stored = &mut table.columns[place];
        let Some(kind) = column.kind else { continue };
        let wide = stored.kind.map_or(kind, |known| widen(known, kind));
        if stored.kind != Some(wide) {
            if let Some(known) = stored.kind {
                rewrite(db, name, &stored.name, known, wide)?;
            }
            stored.kind = Some(wide);
            db.prepare_cached("UPDATE _headwater_columns SET type = ?3 WHERE table_name = ?1 AND name = ?2")?
                .execute(params![name, stored.name, wide.name()])?;
        }
    }
    if turned_away > 0 {
        notices.push(format!(
            "table {name} has {MAX_COLUMNS} columns, the most it can have: {turned_away} more went to _headwater_extra"
        ));
    }
    Ok(Grown::Ready(places))
}

/// The order in which new columns take their names: documented ones first, then members that are already called so.
fn order(columns: &[Column]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..columns.len()).collect();
    order.sort_by_key(|&at| {
        let column = &columns[at];
        (!column.declared, column.name != column.path, if column.declared { "" } else { &column.path })
    });
    order
}

/// The place of a column, which is added if it is not there; none if it cannot be, or nothing is known to be in it.
fn place(
    db: &Connection,
    name: &str,
    table: &mut Table,
    column: &Column,
    turned_away: &mut u64,
) -> Result<Option<usize>, Trouble> {
    if let Some(&known) = table.by_path.get(&column.path) {
        return Ok(Some(known));
    }
    if column.declared
        && let Some(known) = table.place(&column.name)
    {
        if table.columns[known].system {
            return Ok(None);
        }
        // It was discovered before it was documented: it goes on under the same name.
        db.execute(
            "UPDATE _headwater_columns SET path = ?3 WHERE table_name = ?1 AND name = ?2",
            params![name, table.columns[known].name, column.path],
        )?;
        let before = std::mem::replace(&mut table.columns[known].path, column.path.clone());
        table.by_path.remove(&before);
        table.by_path.insert(column.path.clone(), known);
        return Ok(Some(known));
    }
    if column.kind.is_none() && !column.declared {
        return Ok(None);
    }
    let free = table.free_name(column).filter(|_| table.columns.len() < MAX_COLUMNS);
    let Some(free) = free else {
        *turned_away += 1;
        return Ok(None);
    };
    db.execute_batch(&format!("ALTER TABLE {} ADD COLUMN {}", quote(name), quote(&free)))?;
    let stored = Stored { name: free, kind: None, path: column.path.clone(), system: false };
    remember(db, name, &stored)?;
    Ok(Some(table.add(stored)))
}

/// Makes a table, with all the columns that are known at once.
fn create(
    db: &Connection,
    name: &str,
    layout: Layout,
    key: &[String],
    columns: &[Column],
) -> Result<Table, Trouble> {
    let mut table = Table::new(layout, key.to_vec());
    let taken: Option<String> = db
        .query_row("SELECT type FROM sqlite_master WHERE lower(name) = lower(?1)", [name], |row| row.get(0))
        .optional()?;
    if let Some(kind) = taken {
        return Err(Error::config(format!(
            "there is a {kind} {name} that Headwater did not make: rename it"
        ))
        .into());
    }
    let systems = layout.system();
    let mut all: Vec<Stored> = Vec::new();
    for at in order(columns) {
        let column = &columns[at];
        let system = systems.iter().any(|(own, _)| own.eq_ignore_ascii_case(&column.name));
        if system || column.kind.is_none() && !column.declared || all.len() + systems.len() >= MAX_COLUMNS {
            continue;
        }
        let known = |name: &str| all.iter().any(|other: &Stored| other.name.eq_ignore_ascii_case(name));
        // A path comes twice where a member's name was escaped in two ways.
        if all.iter().any(|other| other.path == column.path) || known(&column.name) {
            continue;
        }
        all.push(Stored {
            name: column.name.clone(),
            kind: column.kind,
            path: column.path.clone(),
            system: false,
        });
    }
    for (own, kind) in systems {
        all.push(Stored {
            name: (*own).to_owned(),
            kind: Some(*kind),
            path: format!("_headwater:{own}"),
            system: true,
        });
    }
    let names: Vec<String> = all.iter().map(|column| quote(&column.name)).collect();
    let key: Vec<String> = key.iter().map(|key| quote(key)).collect();
    db.execute_batch(&format!(
        "CREATE TABLE {} ({}, PRIMARY KEY ({}))",
        quote(name),
        names.join(", "),
        key.join(", ")
    ))?;
    db.execute(
        "INSERT INTO _headwater_tables (name, layout, key) VALUES (?1, ?2, ?3)",
        params![name, layout.name(), serde_json::to_string(&table.key).map_err(Error::from)?],
    )?;
    for stored in all {
        remember(db, name, &stored)?;
        table.add(stored);
    }
    Ok(table)
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
    let layout = [Layout::Object, Layout::Call, Layout::Event, Layout::Entity]
        .into_iter()
        .find(|known| known.name() == layout)
        .ok_or_else(|| {
            Error::config(format!(
                "table {name}: {layout:?} is no layout this version knows: use a newer one"
            ))
        })?;
    let key: Vec<String> = serde_json::from_str(&key).map_err(Error::from)?;
    let mut table = Table::new(layout, key);
    let mut statement =
        db.prepare_cached("SELECT name, type, path FROM _headwater_columns WHERE table_name = ?1")?;
    let mut rows = statement.query([name])?;
    while let Some(row) = rows.next()? {
        let kind: Option<String> = row.get(1)?;
        let path: String = row.get(2)?;
        let system = path.starts_with("_headwater:");
        table.add(Stored { name: row.get(0)?, kind: kind.as_deref().and_then(type_of), path, system });
    }
    Ok(Some(table))
}

fn type_of(name: &str) -> Option<Type> {
    [Type::Bool, Type::Int, Type::Numeric, Type::Real, Type::Text, Type::Time, Type::Date, Type::Json]
        .into_iter()
        .find(|kind| kind.name() == name)
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
