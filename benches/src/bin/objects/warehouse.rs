//! Where the rows go: a fresh folder of SQLite files, or a Postgres of the bench's own. Each side has its own schema.

use std::sync::Arc;

use clap::ValueEnum;
use headwater::warehouse::{
    Warehouse,
    postgres::{PostgresSettings, PostgresWarehouse},
    sqlite::SqliteWarehouse,
};
use headwater_core::auth::Secret;
use headwater_tests::postgres::{Database, Server};
use rusqlite::{Connection, Row};
use tempfile::TempDir;

/// The schema of Headwater's side, and the name of its source.
pub const SOURCE: &str = "shop";

/// Which warehouse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Into {
    /// A file.
    Sqlite,
    /// A server.
    Postgres,
}

impl Into {
    pub fn name(self) -> &'static str {
        match self {
            Into::Sqlite => "sqlite",
            Into::Postgres => "postgres",
        }
    }

    /// Headwater's warehouse of this kind.
    pub async fn open(self, at: &str) -> Arc<dyn Warehouse> {
        match self {
            Into::Sqlite => Arc::new(SqliteWarehouse::open(at).expect("a warehouse")),
            Into::Postgres => {
                let settings = PostgresSettings { url: Some(Secret::new(at)), ..PostgresSettings::default() };
                Arc::new(PostgresWarehouse::new(&settings).expect("a warehouse"))
            }
        }
    }
}

/// A warehouse that both sides load into.
pub enum Target {
    Sqlite(TempDir),
    Postgres(Database),
}

impl Target {
    pub fn start(into: Into) -> Self {
        match into {
            Into::Sqlite => Self::Sqlite(tempfile::tempdir().expect("a folder")),
            // As it is installed: what is committed is on disk.
            Into::Postgres => Self::Postgres(Server::start(&[]).database()),
        }
    }

    /// Where this side finds it.
    pub fn at(&self, side: &str) -> String {
        match self {
            Self::Sqlite(folder) => folder.path().join(side).display().to_string(),
            Self::Postgres(database) => database.url.clone(),
        }
    }

    /// Forgets what this side has loaded.
    pub fn clear(&self, side: &str) {
        match self {
            Self::Sqlite(folder) => {
                let folder = folder.path().join(side);
                let _ = std::fs::remove_dir_all(&folder);
                std::fs::create_dir_all(&folder).expect("a folder");
            }
            Self::Postgres(database) => {
                database.run(&format!("DROP SCHEMA IF EXISTS {} CASCADE", schema(side)));
            }
        }
    }

    /// That this side has loaded the list, and not only counted it.
    pub fn expect_rows(&self, side: &str, rows: u64) {
        let sql = "SELECT count(*), count(metadata_ip), count(DISTINCT number) FROM";
        let counts = match self {
            Self::Sqlite(folder) => {
                let db =
                    Connection::open(folder.path().join(side).join(format!("{SOURCE}.db"))).expect("a file");
                let counts = |row: &Row<'_>| Ok([row.get::<_, u64>(0)?, row.get(1)?, row.get(2)?]);
                let counts = db.query_row(&format!("{sql} orders"), [], counts).expect("counts");
                counts.map(|count| count.to_string()).to_vec()
            }
            Self::Postgres(database) => {
                let counts = database.run(&format!("{sql} {}.orders", schema(side)));
                counts.into_iter().flatten().flatten().collect()
            }
        };
        assert_eq!(counts, vec![rows.to_string(); 3], "{side}");
    }
}

/// The schema of this side.
fn schema(side: &str) -> &str {
    if side == "headwater" { SOURCE } else { side }
}
