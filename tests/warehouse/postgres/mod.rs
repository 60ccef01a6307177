//! How the laws look into Postgres: with a second connection, as a user would.

use std::sync::Arc;

use headwater::warehouse::{
    Warehouse,
    postgres::{PostgresSettings, PostgresWarehouse},
};
use headwater_core::auth::Secret;
use headwater_tests::postgres::{Database, Server};
use serde_json::{Map, Value};

use crate::world::{SCHEMA, Stand, World};

mod server;
mod tables;

/// A test by its name, and what it says if it fails.
type Test = (&'static str, fn() -> Result<(), String>);

/// What only a server can do to a warehouse, by name.
pub const TESTS: &[Test] = &[
    ("agrees_with_sqlite", tables::agrees_with_sqlite),
    ("a_column_under_a_view", tables::a_column_under_a_view),
    ("a_check_of_the_users", tables::a_check_of_the_users),
    ("what_users_alter", tables::what_users_alter),
    ("values_that_do_not_fit", tables::values_that_do_not_fit),
    ("floats_become_text", tables::floats_become_text),
    ("wide_rows", tables::wide_rows),
    ("killed_connections", server::killed_connections),
    ("a_server_that_goes_away", server::a_server_that_goes_away),
    ("a_second_writer", server::a_second_writer),
    ("a_reader_while_tables_grow", server::a_reader_while_tables_grow),
    ("encryption", server::encryption),
    ("errors_say_what_to_do", server::errors_say_what_to_do),
    ("questions", server::questions),
];

struct Postgres {
    warehouse: PostgresWarehouse,
    database: Arc<Database>,
}

/// An empty warehouse.
pub fn stand() -> Box<dyn Stand> {
    stand_in(&Arc::new(Server::shared().database()))
}

/// A warehouse in this database.
pub fn stand_in(database: &Arc<Database>) -> Box<dyn Stand> {
    let warehouse = PostgresWarehouse::new(&settings(&database.url)).expect("settings");
    Box::new(Postgres { warehouse, database: database.clone() })
}

/// The settings of a URL.
pub fn settings(url: &str) -> PostgresSettings {
    PostgresSettings { url: Some(Secret::new(url)), ..PostgresSettings::default() }
}

impl Postgres {
    /// Names and types of a table's columns.
    fn types(&self, table: &str) -> Vec<(String, String)> {
        let sql = format!(
            "SELECT a.attname, t.typname FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
             WHERE a.attrelid = to_regclass('{SCHEMA}.\"{table}\"') AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum"
        );
        let rows = self.database.run(&sql).into_iter();
        rows.filter_map(|mut row| Some((row.first_mut()?.take()?, row.get_mut(1)?.take()?))).collect()
    }
}

impl Stand for Postgres {
    fn warehouse(&self) -> &dyn Warehouse {
        &self.warehouse
    }

    fn rows(&self, table: &str) -> Vec<Map<String, Value>> {
        let types = self.types(table);
        let Some((first, _)) = types.first() else { return Vec::new() };
        let selected: Vec<String> = types
            .iter()
            .map(|(name, kind)| match kind.as_str() {
                "timestamptz" => {
                    format!("to_char(\"{name}\" AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')")
                }
                "bool" => format!("\"{name}\"::int::text"),
                _ => format!("\"{name}\"::text"),
            })
            .collect();
        let sql = format!("SELECT {} FROM {SCHEMA}.\"{table}\" ORDER BY \"{first}\"", selected.join(", "));
        let value = |kind: &str, text: Option<String>| match (kind, text) {
            (_, None) => Value::Null,
            ("bool" | "int4" | "int8" | "float8" | "numeric", Some(text)) => {
                serde_json::from_str(&text).unwrap_or(Value::String(text))
            }
            (_, Some(text)) => Value::String(text),
        };
        let rows = self.database.run(&sql).into_iter();
        rows.map(|row| {
            types.iter().zip(row).map(|((name, kind), text)| (name.clone(), value(kind, text))).collect()
        })
        .collect()
    }

    fn columns(&self, table: &str) -> Vec<String> {
        self.types(table).into_iter().map(|(name, _)| name).collect()
    }

    fn refuse(&self, table: &str, column: &str, value: &str) {
        self.database.run(&format!(
            "CREATE OR REPLACE FUNCTION {SCHEMA}.refuse() RETURNS trigger LANGUAGE plpgsql AS
                $$ BEGIN RAISE EXCEPTION 'refused'; END $$;
             CREATE TRIGGER refuse BEFORE INSERT ON {SCHEMA}.\"{table}\"
                FOR EACH ROW WHEN (NEW.\"{column}\" = '{value}') EXECUTE FUNCTION {SCHEMA}.refuse()"
        ));
    }
}

fn database() -> Arc<Database> {
    Arc::new(Server::shared().database())
}

fn world(database: &Arc<Database>) -> World {
    World::new(stand_in(database), None)
}

/// A database's only answer.
fn one(database: &Database, sql: &str) -> String {
    database.run(sql).into_iter().flatten().flatten().next().unwrap_or_default()
}
