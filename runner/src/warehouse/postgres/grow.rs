//! How schemas and tables grow in Postgres. What Headwater's own books say of a table is compared with what the database
//! says, because users alter tables too.

use std::collections::HashMap;

use deadpool_postgres::{Object, Transaction};
use headwater_core::{error::Error, object::Type};
use tokio_postgres::{Row, error::SqlState};

use super::{
    State, Writer,
    explain::Trouble,
    text::Texts,
    value::{converted, kind_of, sql_type},
};
use crate::warehouse::{
    known::{self, Places, Step, Stored, Table, type_of},
    name::{apart, quote},
    table::{Column, Layout, MAX_TABLES},
};

/// What is known of a table, and its statements.
#[derive(Debug)]
pub struct Known {
    pub table: Table,
    pub texts: Texts,
    /// Which table it is and when it was altered last, as the database's catalog tells.
    stamp: String,
}

/// Which of these tables a schema has, and when each was altered last.
pub const STAMPS: &str = "SELECT relname::text, oid::text || ':' || xmin::text FROM pg_class
    WHERE relnamespace = to_regnamespace($1) AND relname = ANY($2::text[]) AND relkind IN ('r', 'p')";

/// The table that a batch needs.
pub struct Wanted<'a> {
    pub name: &'a str,
    pub layout: Layout,
    pub key: &'a [String],
    pub columns: &'a [Column],
}

/// What Headwater keeps beside the rows.
const OWN_TABLES: &str = "
    CREATE TABLE _headwater_writer (is_one boolean PRIMARY KEY DEFAULT true CHECK (is_one), token text NOT NULL, since timestamptz NOT NULL);
    CREATE TABLE _headwater_tables (name text PRIMARY KEY, layout text NOT NULL, key text NOT NULL);
    CREATE TABLE _headwater_columns (
        table_name text NOT NULL, name text NOT NULL, type text, path text NOT NULL, PRIMARY KEY (table_name, name)
    );
    CREATE TABLE _headwater_progress (key text PRIMARY KEY, value json NOT NULL, updated_at timestamptz NOT NULL);
    CREATE TABLE _headwater_loads (
        id text PRIMARY KEY, run text, request text NOT NULL, digest text NOT NULL, loaded_at timestamptz NOT NULL, rows bigint NOT NULL
    );
    CREATE TABLE _headwater_runs (
        id text PRIMARY KEY, began timestamptz NOT NULL, ended timestamptz, outcome text NOT NULL, detail json NOT NULL
    );
    CREATE TABLE _headwater_rejects (
        id text PRIMARY KEY, load text NOT NULL, table_name text NOT NULL, reason text NOT NULL, payload text NOT NULL,
        rejected_at timestamptz NOT NULL
    );
";

/// Makes the schema and Headwater's own tables if they are not there, and writes down that it is ours.
pub async fn make_schema(client: &Object, schema: &str, token: &str) -> Result<(), Trouble> {
    let found = client
        .query_one(
            "SELECT to_regnamespace($1::text) IS NOT NULL, to_regclass($1::text || '._headwater_writer') IS NOT NULL",
            &[&quote(schema)],
        )
        .await?;
    let (has_schema, has_tables): (bool, bool) = (found.try_get(0)?, found.try_get(1)?);
    if !has_tables {
        let create = if has_schema { String::new() } else { format!("CREATE SCHEMA {};", quote(schema)) };
        let schema = quote(schema);
        // In the schema, and not wherever the connection looks first.
        let tables = OWN_TABLES.replace("CREATE TABLE ", &format!("CREATE TABLE {schema}."));
        // Statements that are sent together are one transaction.
        client.batch_execute(&format!("{create} {tables}")).await?;
    }
    let sql = format!(
        "INSERT INTO {}._headwater_writer (token, since) VALUES ($1, now())
         ON CONFLICT (is_one) DO UPDATE SET token = excluded.token, since = excluded.since",
        quote(schema)
    );
    client.execute(&sql, &[&token]).await?;
    Ok(())
}

impl Writer {
    /// Sees to it that what is known of these tables is what the database says, by their stamps.
    pub(super) async fn know(
        &self,
        tx: &Transaction<'_>,
        state: &mut State,
        names: &[&str],
        found: Vec<Row>,
    ) -> Result<(), Trouble> {
        let mut stamps = HashMap::new();
        for row in found {
            stamps.insert(row.try_get::<_, String>(0)?, row.try_get::<_, String>(1)?);
        }
        state
            .tables
            .retain(|name, known| !names.contains(&name.as_str()) || stamps.get(name) == Some(&known.stamp));
        let unknown: Vec<&str> = names
            .iter()
            .copied()
            .filter(|name| stamps.contains_key(*name) && !state.tables.contains_key(*name))
            .collect();
        if unknown.is_empty() {
            return Ok(());
        }
        for (name, table) in self.read_tables(tx, &unknown).await? {
            let Some(stamp) = stamps.remove(&name) else { continue };
            let texts = Texts::new(&self.name, &name, &table)?;
            state.tables.insert(name, Known { table, texts, stamp });
        }
        Ok(())
    }

    /// What the books say of these tables, corrected by what the database says.
    async fn read_tables(
        &self,
        tx: &Transaction<'_>,
        names: &[&str],
    ) -> Result<Vec<(String, Table)>, Trouble> {
        let schema = quote(&self.name);
        let books =
            format!("SELECT name, layout, key FROM {schema}._headwater_tables WHERE name = ANY($1::text[])");
        let columns = format!(
            "SELECT table_name, name, m.type, m.path, a.type
             FROM (SELECT * FROM {schema}._headwater_columns WHERE table_name = ANY($2::text[])) m
             FULL JOIN (
                SELECT c.relname::text AS table_name, a.attname::text AS name, t.typname::text AS type
                FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
                JOIN pg_type t ON t.oid = a.atttypid
                WHERE c.relnamespace = to_regnamespace($1) AND c.relname = ANY($2::text[])
             ) a USING (table_name, name)"
        );
        let mut tables = Vec::new();
        for row in tx.query(&books, &[&names]).await? {
            let name: String = row.try_get(0)?;
            let table = Table::read(&name, row.try_get(1)?, row.try_get(2)?)?;
            tables.push((name, table));
        }
        for row in tx.query(&columns, &[&schema, &names]).await? {
            let of: String = row.try_get(0)?;
            let Some((_, table)) = tables.iter_mut().find(|(name, _)| *name == of) else { continue };
            let (name, kind): (String, Option<String>) = (row.try_get(1)?, row.try_get(2)?);
            let (path, pg_type): (Option<String>, Option<String>) = (row.try_get(3)?, row.try_get(4)?);
            match (path, pg_type) {
                (Some(path), Some(pg_type)) => {
                    let mut stored = Stored::known(name, kind.as_deref().and_then(type_of), path);
                    adopt(&mut stored, &pg_type);
                    table.add(stored);
                }
                (None, _) => table.take(name),
                // Somebody has dropped it: it is added again when there is something for it.
                (Some(_), None) => {
                    let sql = format!(
                        "DELETE FROM {schema}._headwater_columns WHERE table_name = $1 AND name = $2"
                    );
                    tx.execute(&sql, &[&of, &name]).await?;
                }
            }
        }
        Ok(tables)
    }

    /// Makes sure that the table is there, with a column for each that is wide enough; none if the schema has too many.
    pub(super) async fn grow(
        &self,
        tx: &Transaction<'_>,
        state: &mut State,
        wanted: &Wanted<'_>,
        notices: &mut Vec<String>,
    ) -> Result<Option<Places>, Trouble> {
        let name = wanted.name;
        let Some(known) = state.tables.get_mut(name) else {
            return self.create(tx, state, wanted, notices).await;
        };
        known.table.check(name, wanted.layout, wanted.key)?;
        let growth = known.table.grow(wanted.columns);
        notices.extend(growth.notice(name));
        if !growth.steps.is_empty() {
            self.alter(tx, name, &mut known.table, &growth.steps, notices).await?;
            known.texts = Texts::new(&self.name, name, &known.table)?;
            // The next load looks at it again.
            known.stamp.clear();
        }
        Ok(Some(growth.places))
    }

    async fn create(
        &self,
        tx: &Transaction<'_>,
        state: &mut State,
        wanted: &Wanted<'_>,
        notices: &mut Vec<String>,
    ) -> Result<Option<Places>, Trouble> {
        let (schema, name) = (quote(&self.name), wanted.name);
        let found = tx
            .query_one(
                &format!(
                    "SELECT (SELECT count(*) FROM {schema}._headwater_tables WHERE name <> $2),
                            (SELECT CASE relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'i' THEN 'index'
                                WHEN 'S' THEN 'sequence' WHEN 'f' THEN 'foreign table' ELSE 'table' END
                             FROM pg_class WHERE relnamespace = to_regnamespace($1) AND relname = $2::text)"
                ),
                &[&schema, &name],
            )
            .await?;
        let (count, taken): (i64, Option<String>) = (found.try_get(0)?, found.try_get(1)?);
        if let Some(kind) = taken {
            return Err(known::foreign(&kind, &format!("{}.{name}", self.name)).into());
        }
        if usize::try_from(count).is_ok_and(|count| count >= MAX_TABLES) {
            return Ok(None);
        }
        let mut table = Table::new(wanted.layout, wanted.key);
        let growth = table.grow(wanted.columns);
        notices.extend(growth.notice(name));
        // Headwater's own columns stand at the end.
        let (own, others): (Vec<&Stored>, Vec<&Stored>) =
            table.columns.iter().partition(|column| column.system);
        let defined: Vec<String> = others.iter().chain(&own).map(|column| define(&table, column)).collect();
        let keys: Vec<String> = table.key.iter().map(|key| quote(key)).collect();
        // An index shares its namespace with tables: no event may be called like it.
        let constraint = quote(&apart("_headwater_key", name));
        tx.batch_execute(&format!(
            "CREATE TABLE {schema}.{} ({}, CONSTRAINT {constraint} PRIMARY KEY ({}))",
            quote(name),
            defined.join(", "),
            keys.join(", ")
        ))
        .await?;
        // A table of that name may have been there before, and have been dropped or renamed.
        tx.execute(&format!("DELETE FROM {schema}._headwater_columns WHERE table_name = $1"), &[&name])
            .await?;
        tx.execute(
            &format!(
                "INSERT INTO {schema}._headwater_tables (name, layout, key) VALUES ($1, $2, $3)
                 ON CONFLICT (name) DO UPDATE SET layout = excluded.layout, key = excluded.key"
            ),
            &[&name, &table.layout.name(), &table.key_json()?],
        )
        .await?;
        let all: Vec<usize> = (0..table.columns.len()).collect();
        self.remember(tx, name, &table, &all).await?;
        let texts = Texts::new(&self.name, name, &table)?;
        state.tables.insert(name.to_owned(), Known { table, texts, stamp: String::new() });
        Ok(Some(growth.places))
    }

    /// Does in the database what the table is known to be already; a column that cannot widen stays as it is.
    async fn alter(
        &self,
        tx: &Transaction<'_>,
        name: &str,
        table: &mut Table,
        steps: &[Step],
        notices: &mut Vec<String>,
    ) -> Result<(), Trouble> {
        let changes: Vec<(Step, String)> =
            steps.iter().filter_map(|step| Some((*step, change(table, *step)?))).collect();
        let all: Vec<&str> = changes.iter().map(|(_, change)| change.as_str()).collect();
        // One statement reads and writes the table once; where it fails, it is found out which change it was.
        if !all.is_empty()
            && let Err(error) = self.change(tx, name, &all.join(", ")).await
        {
            if !is_bound(&error) {
                return Err(error.into());
            }
            for (step, change) in &changes {
                let error = match self.change(tx, name, change).await {
                    Ok(()) => continue,
                    Err(error) => error,
                };
                let Step::Widen(place, from, to) = *step else { return Err(error.into()) };
                if !is_bound(&error) {
                    return Err(error.into());
                }
                let stored = &mut table.columns[place];
                (stored.kind, stored.frozen) = (from, true);
                let said = error.as_db_error().map_or("", |said| said.detail().unwrap_or(said.message()));
                notices.push(format!(
                    "table {}.{name}: column {} cannot become {} ({}): what does not fit goes to _headwater_extra; drop what \
                     depends on it, and run ALTER TABLE {}.{} {change}",
                    self.name,
                    stored.name,
                    sql_type(Some(to)),
                    said.lines().collect::<Vec<_>>().join("; "),
                    quote(&self.name),
                    quote(name)
                ));
            }
        }
        let changed: Vec<usize> = steps
            .iter()
            .map(|step| match *step {
                Step::Add(place) | Step::Document(place) | Step::Widen(place, ..) => place,
            })
            .collect();
        self.remember(tx, name, table, &changed).await
    }

    /// Alters the table, or leaves it as it was.
    async fn change(
        &self,
        tx: &Transaction<'_>,
        name: &str,
        change: &str,
    ) -> Result<(), tokio_postgres::Error> {
        let done = tx
            .batch_execute(&format!(
                "SAVEPOINT change; SET LOCAL lock_timeout = '5s'; ALTER TABLE {}.{} {change}; SET LOCAL lock_timeout = 0; \
                 RELEASE change",
                quote(&self.name),
                quote(name)
            ))
            .await;
        if done.as_ref().is_err_and(is_bound) {
            tx.batch_execute("ROLLBACK TO change; RELEASE change").await?;
        }
        done
    }

    /// Writes down what columns are.
    async fn remember(
        &self,
        tx: &Transaction<'_>,
        name: &str,
        table: &Table,
        places: &[usize],
    ) -> Result<(), Trouble> {
        let mut places = places.to_vec();
        places.sort_unstable();
        places.dedup();
        let columns = || places.iter().map(|place| &table.columns[*place]);
        let names: Vec<&str> = columns().map(|column| column.name.as_str()).collect();
        let types: Vec<Option<&str>> = columns().map(|column| column.kind.map(Type::name)).collect();
        let paths: Vec<&str> = columns().map(|column| column.path.as_str()).collect();
        let sql = format!(
            "INSERT INTO {}._headwater_columns (table_name, name, type, path)
             SELECT $1, * FROM unnest($2::text[], $3::text[], $4::text[])
             ON CONFLICT (table_name, name) DO UPDATE SET type = excluded.type, path = excluded.path",
            quote(&self.name)
        );
        let statement = tx.prepare_cached(&sql).await?;
        tx.execute(&statement, &[&name, &names, &types, &paths]).await?;
        Ok(())
    }
}

/// The type that a column has by now, where a user has altered it.
fn adopt(stored: &mut Stored, pg_type: &str) {
    let unchanged = match stored.kind {
        None => pg_type == "text",
        Some(kind) => kind_of(pg_type).is_some_and(|now| sql_type(Some(kind)) == sql_type(Some(now))),
    };
    if !unchanged {
        // Of a type that Headwater does not write nothing is known.
        stored.kind = kind_of(pg_type).or(Some(Type::Object));
        stored.frozen = kind_of(pg_type).is_none();
    }
}

/// A column as CREATE TABLE defines it. Keys sort by their bytes: as in every other warehouse, and faster.
fn define(table: &Table, column: &Stored) -> String {
    let kind = sql_type(column.kind);
    let bytes = if kind == "text" && table.key.contains(&column.name) { " COLLATE \"C\"" } else { "" };
    format!("{} {kind}{bytes}", quote(&column.name))
}

/// What a step is in ALTER TABLE.
fn change(table: &Table, step: Step) -> Option<String> {
    match step {
        Step::Document(_) => None,
        Step::Add(place) => Some(format!("ADD COLUMN {}", define(table, &table.columns[place]))),
        Step::Widen(place, from, to) => {
            let stored = &table.columns[place];
            if sql_type(from) == sql_type(Some(to)) {
                return None;
            }
            let name = quote(&stored.name);
            let defined = define(table, &Stored::known(stored.name.clone(), Some(to), String::new()));
            let kind = defined.strip_prefix(&name).unwrap_or_default();
            Some(format!("ALTER COLUMN {name} TYPE{kind} USING {}", converted(&name, from, to)))
        }
    }
}

/// Whether something else depends on the column as it is: a view, a trigger, a constraint, an index on an expression.
fn is_bound(error: &tokio_postgres::Error) -> bool {
    let Some(code) = error.code() else { return false };
    let outdated = [SqlState::UNDEFINED_TABLE, SqlState::UNDEFINED_COLUMN, SqlState::DUPLICATE_COLUMN];
    *code != SqlState::INSUFFICIENT_PRIVILEGE
        && !outdated.contains(code)
        && ["0A", "22", "23", "2B", "42"].iter().any(|class| code.code().starts_with(class))
}

/// That a table is not known.
pub fn missing(schema: &str, table: &str, column: &str) -> Error {
    Error::unexpected(format!("table {schema}.{table} has no column {column}"))
}
