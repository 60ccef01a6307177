//! Where the rows go: a fresh folder of SQLite files, or a Postgres of the bench's own. Each side has its own schema.

use std::{path::PathBuf, sync::Arc};

use clap::ValueEnum;
use headwater::warehouse::{Warehouse, sqlite::SqliteWarehouse};
use rusqlite::Connection;
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
            Into::Postgres => unimplemented!(),
        }
    }
}

/// A warehouse that both sides load into.
pub struct Target {
    folder: TempDir,
}

impl Target {
    pub fn start(_into: Into) -> Self {
        Self { folder: tempfile::tempdir().expect("a folder") }
    }

    /// Where this side finds it.
    pub fn at(&self, side: &str) -> String {
        self.folder.path().join(side).display().to_string()
    }

    fn file(&self, side: &str) -> PathBuf {
        self.folder.path().join(side).join(format!("{SOURCE}.db"))
    }

    /// Forgets what this side has loaded.
    pub fn clear(&self, side: &str) {
        let folder = self.folder.path().join(side);
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).expect("a folder");
    }

    /// That this side has loaded the list, and not only counted it.
    pub fn expect_rows(&self, side: &str, rows: u64) {
        let db = Connection::open(self.file(side)).expect("the file");
        let sql = "SELECT count(*), count(metadata_ip), count(DISTINCT number) FROM orders";
        let counts = db.query_row(sql, [], |row| Ok([row.get::<_, u64>(0)?, row.get(1)?, row.get(2)?]));
        assert_eq!(counts.expect("counts"), [rows; 3], "{side}");
    }
}
