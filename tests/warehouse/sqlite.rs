//! How the laws look into the embedded warehouse: with a second connection, as a user would.

use headwater::warehouse::{Warehouse, sqlite::SqliteWarehouse};
use rusqlite::{Connection, types::ValueRef};
use serde_json::{Map, Value};
use tempfile::TempDir;

use crate::world::{SCHEMA, Stand};

struct Sqlite {
    warehouse: SqliteWarehouse,
    _folder: TempDir,
}

/// An empty warehouse.
pub fn stand() -> Box<dyn Stand> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let warehouse = SqliteWarehouse::open(folder.path()).expect("a warehouse");
    Box::new(Sqlite { warehouse, _folder: folder })
}

impl Sqlite {
    fn look(&self) -> Connection {
        Connection::open(self.warehouse.file(SCHEMA)).expect("the schema's file")
    }
}

impl Stand for Sqlite {
    fn warehouse(&self) -> &dyn Warehouse {
        &self.warehouse
    }

    fn rows(&self, table: &str) -> Vec<Map<String, Value>> {
        let db = self.look();
        let Ok(mut statement) = db.prepare(&format!("SELECT * FROM \"{table}\" ORDER BY 1")) else {
            return Vec::new();
        };
        let names: Vec<String> = statement.column_names().into_iter().map(str::to_owned).collect();
        let mut rows = statement.query([]).expect("rows");
        let mut all = Vec::new();
        while let Some(row) = rows.next().expect("a row") {
            let value = |at| match row.get_ref(at).expect("a value") {
                ValueRef::Null => Value::Null,
                ValueRef::Integer(number) => number.into(),
                ValueRef::Real(number) => number.into(),
                ValueRef::Text(text) | ValueRef::Blob(text) => String::from_utf8_lossy(text).into(),
            };
            all.push(names.iter().enumerate().map(|(at, name)| (name.clone(), value(at))).collect());
        }
        all
    }

    fn columns(&self, table: &str) -> Vec<String> {
        let db = self.look();
        let mut statement = db.prepare("SELECT name FROM pragma_table_info(?1)").expect("a statement");
        let names = statement.query_map([table], |row| row.get(0)).expect("columns");
        names.collect::<Result<_, _>>().expect("a name")
    }

    fn refuse(&self, table: &str, column: &str, value: &str) {
        self.look()
            .execute_batch(&format!(
                "CREATE TRIGGER refuse_{table} BEFORE INSERT ON \"{table}\" WHEN NEW.\"{column}\" = '{value}'
                 BEGIN SELECT RAISE(ABORT, 'refused'); END"
            ))
            .expect("a trigger");
    }
}
