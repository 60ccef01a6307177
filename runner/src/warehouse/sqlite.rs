//! The embedded warehouse: SQLite, one file for each schema, so that writers do not wait for each other and any tool
//! opens them.

use std::{
    collections::{BTreeMap, HashMap},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use async_trait::async_trait;
use headwater_core::{
    cursor::Pass,
    error::{Error, Kind, Result},
};
use jiff::Timestamp;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use serde_json::Value;
use tokio::sync::mpsc;

use super::{
    Committed, Found, Load, Note, Schema, StoredCall, Swept, Warehouse,
    known::Table,
    name,
    table::{Cell, TableSpec},
};
use crate::thread::OwnThread;

mod calls;
mod commit;
mod grow;
mod ids;
mod mark;
mod merge;
mod read;
mod value;

/// How long a commit waits for another program that holds the file.
const PATIENCE: Duration = Duration::from_secs(10);

/// Files of schemas in one folder.
pub struct SqliteWarehouse {
    folder: PathBuf,
    open: Mutex<HashMap<String, Arc<SqliteSchema>>>,
}

impl SqliteWarehouse {
    /// A folder of schemas; it is made if it is not there.
    pub fn open(folder: impl Into<PathBuf>) -> Result<Self> {
        let folder = folder.into();
        std::fs::create_dir_all(&folder).map_err(|error| {
            Error::config(format!("the warehouse's folder {} cannot be made: {error}", folder.display()))
        })?;
        Ok(Self { folder, open: Mutex::default() })
    }

    /// The file of a schema.
    pub fn file(&self, schema: &str) -> PathBuf {
        file(&self.folder, schema)
    }
}

/// The file of a schema.
pub(super) fn file(folder: &Path, schema: &str) -> PathBuf {
    folder.join(format!("{schema}.db"))
}

#[async_trait]
impl Warehouse for SqliteWarehouse {
    async fn schema(&self, name: &str) -> Result<Arc<dyn Schema>> {
        name::check_schema(name)?;
        if let Some(open) = lock(&self.open).get(name) {
            return Ok(open.clone());
        }
        let path = self.file(name);
        let thread = OwnThread::start("tables")?;
        let writer = thread.run(move || Writer::open(path)).await??;
        let schema = Arc::new(SqliteSchema { writer: Arc::new(Mutex::new(writer)), thread });
        // Whoever was first stays: a schema has one writer.
        Ok(lock(&self.open).entry(name.to_owned()).or_insert(schema).clone())
    }
}

struct SqliteSchema {
    writer: Arc<Mutex<Writer>>,
    /// Where it writes.
    thread: OwnThread,
}

/// The one connection that writes a schema, and what it knows of its tables.
pub(super) struct Writer {
    path: PathBuf,
    db: Connection,
    tables: HashMap<String, Table>,
    /// The number of the next call; 0 as long as nobody has asked.
    next_call: i64,
    /// The ids of calls; none as long as nobody has asked.
    ids: Option<ids::Ids>,
    /// Whether a transaction ended badly: then `tables` may tell of what was rolled back.
    doubtful: bool,
}

#[async_trait]
impl Schema for SqliteSchema {
    async fn prepare(&self, table: &TableSpec) -> Result<()> {
        let (name, layout, key, columns) =
            (table.name.clone(), table.layout, table.key.clone(), table.columns().to_vec());
        self.write(move |writer| writer.prepare(&name, layout, &key, &columns)).await
    }

    async fn commit(&self, load: Load) -> Result<Committed> {
        self.write(move |writer| writer.commit(&load)).await
    }

    async fn progress(&self) -> Result<BTreeMap<String, Value>> {
        self.write(Writer::progress).await
    }

    async fn sweep(&self, table: &str, pass: &Pass, most: f64) -> Result<Swept> {
        let (table, pass) = (table.to_owned(), pass.clone());
        self.write(move |writer| writer.sweep(&table, &pass, most)).await
    }

    async fn keys(
        &self,
        table: &str,
        columns: &[&str],
        after: Option<&[Cell]>,
        limit: usize,
    ) -> Result<Vec<Vec<Cell>>> {
        let table = table.to_owned();
        let columns: Vec<String> = columns.iter().map(|column| (*column).to_owned()).collect();
        let after = after.map(<[Cell]>::to_vec);
        self.write(move |writer| writer.keys(&table, &columns, after.as_deref(), limit)).await
    }

    async fn find(&self, table: &str, by: &[&str], values: &[Vec<String>]) -> Result<Option<Found>> {
        let (table, values) = (table.to_owned(), values.to_vec());
        let by: Vec<String> = by.iter().map(|column| (*column).to_owned()).collect();
        self.write(move |writer| writer.find(&table, &by, &values)).await
    }

    async fn calls(
        &self,
        since: Timestamp,
        until: Timestamp,
        to: mpsc::Sender<Vec<StoredCall>>,
    ) -> Result<()> {
        let path = lock(&self.writer).path.clone();
        blocking(move || read::calls(&path, since, until, &to).map_err(|trouble| trouble.explain(&path)))
            .await
    }

    async fn note(&self, of: Note, id: &str) -> Result<Option<serde_json::Map<String, Value>>> {
        let id = id.to_owned();
        self.write(move |writer| writer.note(of, &id)).await
    }
}

impl SqliteSchema {
    /// Runs `work` with the connection, on its thread. It ends what it began even if nobody waits for it
    /// any more.
    async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Writer) -> Result<T, Trouble> + Send + 'static,
    ) -> Result<T> {
        let writer = self.writer.clone();
        let work = move || {
            let mut writer = lock(&writer);
            if std::mem::replace(&mut writer.doubtful, true) {
                writer.tables.clear();
                writer.next_call = 0;
                writer.ids = None;
            }
            let done = work(&mut writer);
            writer.doubtful = done.is_err();
            done.map_err(|trouble| trouble.explain(&writer.path))
        };
        self.thread.run(work).await?
    }
}

impl Writer {
    fn open(path: PathBuf) -> Result<Self> {
        let open = || -> Result<Connection, Trouble> {
            let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
                | OpenFlags::SQLITE_OPEN_CREATE
                | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let db = Connection::open_with_flags(&path, flags)?;
            db.busy_timeout(PATIENCE)?;
            db.pragma_update(None, "page_size", 16_384)?;
            db.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
            db.pragma_update(None, "synchronous", "FULL")?;
            db.pragma_update(None, "cache_size", -32_768)?;
            db.pragma_update(None, "wal_autocheckpoint", 2_048)?;
            db.set_prepared_statement_cache_capacity(128);
            db.execute_batch(OWN_TABLES)?;
            db.execute_batch(ids::TABLES)?;
            Ok(db)
        };
        let db = open().map_err(|trouble| trouble.explain(&path))?;
        Ok(Self { path, db, tables: HashMap::new(), next_call: 0, ids: None, doubtful: false })
    }
}

/// What Headwater keeps beside the rows.
const OWN_TABLES: &str = "
    CREATE TABLE IF NOT EXISTS _headwater_tables (name TEXT PRIMARY KEY, layout TEXT NOT NULL, key TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS _headwater_columns (
        table_name TEXT NOT NULL, name TEXT NOT NULL, type TEXT, path TEXT NOT NULL, PRIMARY KEY (table_name, name)
    ) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS _headwater_progress (key TEXT PRIMARY KEY, value TEXT NOT NULL, updated_at TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS _headwater_loads (
        id TEXT PRIMARY KEY, run TEXT, request TEXT NOT NULL, digest TEXT NOT NULL, loaded_at TEXT NOT NULL, rows INTEGER NOT NULL
    );
    CREATE TABLE IF NOT EXISTS _headwater_runs (
        id TEXT PRIMARY KEY, began TEXT NOT NULL, ended TEXT, outcome TEXT NOT NULL, detail TEXT NOT NULL
    );
    CREATE TABLE IF NOT EXISTS _headwater_rejects (
        id TEXT PRIMARY KEY, load TEXT NOT NULL, table_name TEXT NOT NULL, reason TEXT NOT NULL, payload TEXT NOT NULL,
        rejected_at TEXT NOT NULL
    );
";

/// What can go wrong in here: SQLite's errors are explained where the file is known.
#[derive(Debug)]
pub(super) enum Trouble {
    Sqlite(rusqlite::Error),
    Plain(Error),
}

impl From<rusqlite::Error> for Trouble {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

/// Reading and writing a blob piece by piece.
impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        let other = |error| rusqlite::Error::ToSqlConversionFailure(Box::new(error));
        Self::Sqlite(error.downcast().unwrap_or_else(other))
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Plain(error)
    }
}

impl Trouble {
    /// One line: what is wrong with the file, and what to do next.
    pub(super) fn explain(self, path: &Path) -> Error {
        let error = match self {
            Trouble::Plain(error) => return error,
            Trouble::Sqlite(error) => error,
        };
        let file = path.display();
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Error::transient(format!(
                "the warehouse file {file} is locked by another program: close the writer there, the load is tried again"
            )),
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => Error::config(format!(
                "the warehouse file {file} cannot be written: give this user the right to write it and its folder"
            )),
            Some(ErrorCode::CannotOpen) => Error::config(format!(
                "the warehouse file {file} cannot be opened: see that its folder is there and this user may write it"
            )),
            Some(ErrorCode::DiskFull) => Error::transient(format!(
                "the disk of the warehouse file {file} is full: make room, the load is tried again"
            )),
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Error::config(format!(
                "the warehouse file {file} is damaged or no SQLite database: restore a backup of it, or move it away and it is read anew"
            )),
            Some(ErrorCode::SystemIoFailure) => Error::transient(format!(
                "the warehouse file {file} cannot be read or written ({error}): look at the disk, the load is tried again"
            )),
            _ => Error::new(Kind::Unexpected, format!("the warehouse file {file}: {error}")),
        }
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|stopped| {
        Err(Error::unexpected(format!("the warehouse's writer stopped: {stopped}")))
    })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}
