//! State: what Headwater remembers beside the warehouse and the logs — keys, accounts, tokens, runs, fire times, and the sources
//! that were not written into the file.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use headwater_core::{
    auth::Vault,
    error::{Error, Result},
    object::Account,
};
use jiff::Timestamp;
use rusqlite::{Connection, OpenFlags};
use rusqlite_migration::{M, Migrations};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::thread::OwnThread;

pub mod quota;
pub mod seal;
pub mod sqlite;

/// Where state is kept. It is also the vault: tokens are sealed, and on disk before they are used.
#[async_trait]
pub trait State: Vault {
    /// The keys of each of these sources, in their order; they are made the first time, all in one transaction.
    async fn keys(&self, sources: Vec<String>) -> Result<Vec<Keys>>;

    /// Gives a source a new key of this kind; the old one stays good until `until`.
    async fn rotate(&self, source: &str, kind: KeyKind, until: Timestamp) -> Result<Keys>;

    /// The account that a source's credentials opened last time; the empty one at first.
    async fn account(&self, source: &str) -> Result<Account>;

    /// Remembers it.
    async fn set_account(&self, source: &str, account: &Account) -> Result<()>;

    /// The moment that a source's latest scheduled run was for.
    async fn fired(&self, source: &str) -> Result<Option<Timestamp>>;

    /// Remembers it; on disk before the run begins, so that no moment is run twice.
    async fn set_fired(&self, source: &str, moment: Timestamp) -> Result<()>;

    /// The sources that wait for an allotment, and until when.
    async fn paused(&self) -> Result<BTreeMap<String, Timestamp>>;

    /// Remembers until when a source is paused; none: it is not.
    async fn set_paused(&self, source: &str, until: Option<Timestamp>) -> Result<()>;

    /// Keeps a run's report, and no more than the latest thousand of its source.
    async fn add_run(&self, run: &Run) -> Result<()>;

    /// The latest runs, of one source or of all, newest first.
    async fn runs(&self, source: Option<&str>, limit: usize) -> Result<Vec<Run>>;

    /// Sources that are not in the file, as the file would have them; their settings were sealed.
    async fn sources(&self) -> Result<Vec<Value>>;

    /// Keeps a source that is not in the file, in place of one of its name.
    async fn set_source(&self, name: &str, source: &Value) -> Result<()>;

    /// Forgets it. Its tables stay.
    async fn remove_source(&self, name: &str) -> Result<()>;
}

/// What deliveries to a source are let in by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keys {
    /// Public: libraries send with it. The newest first; older ones while they are still good.
    pub write: Vec<String>,
    /// Secret: it stands in the webhook's URL.
    pub webhook: Vec<String>,
}

/// Which of a source's keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// The public one.
    Write,
    /// The secret one.
    Webhook,
}

/// One run of one source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Its id.
    pub id: String,
    /// The source.
    pub source: String,
    /// When it began.
    pub began: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
    /// `success`, `partial`, `failure`, `paused`, `stopped`.
    pub ending: String,
    /// The whole report.
    pub report: Value,
}

/// Opens a database of this data folder, so that what is committed is on disk, and makes or migrates its tables. Errors begin with
/// `what` and the path.
pub fn open(file: &Path, what: &str, migrations: &[M<'_>]) -> Result<Connection> {
    let named = |error: &dyn std::fmt::Display| Error::config(format!("{what} {}: {error}", file.display()));
    let mut connection = Connection::open(file).map_err(|error| named(&error))?;
    connection
        .execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA busy_timeout = 5000;")
        .map_err(|error| named(&error))?;
    Migrations::from_slice(migrations).to_latest(&mut connection).map_err(|error| match error {
        rusqlite_migration::Error::MigrationDefinition(_) => {
            named(&"it was written by a newer Headwater; use that one, or restore a backup")
        }
        error => named(&error),
    })?;
    Ok(connection)
}

/// A database that is worked on by a thread of its own, away from those that serve requests, one piece of work at a time.
pub struct Database<D> {
    what: &'static str,
    held: Arc<Mutex<D>>,
    thread: OwnThread,
}

impl<D: Send + 'static> Database<D> {
    /// `held` is or has the connection; errors begin with `what`.
    pub fn new(what: &'static str, held: D) -> Result<Self> {
        Ok(Self { what, held: Arc::new(Mutex::new(held)), thread: OwnThread::start("database")? })
    }

    /// What is held, for work that may wait where it is.
    fn held(&self) -> Arc<Mutex<D>> {
        self.held.clone()
    }

    /// Works on it. What has begun is ended even if nobody waits for it any more.
    pub async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut D) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T> {
        let held = self.held.clone();
        let work = move || work(&mut held.lock().unwrap_or_else(|poisoned| poisoned.into_inner()));
        let done = self.thread.run(work).await;
        let done = done.map_err(|error| Error::transient(format!("{}: {}", self.what, error.message())))?;
        done.map_err(|error| Error::transient(format!("{}: {error}", self.what)))
    }
}

impl<D> Clone for Database<D> {
    fn clone(&self) -> Self {
        Self { what: self.what, held: self.held.clone(), thread: self.thread.clone() }
    }
}

/// Says if a database was written by a newer Headwater, which has applied more migrations than this one knows. Nothing is changed, and
/// the database may be another process's.
pub fn check_version(file: &Path, known: usize) -> Result<()> {
    if !file.exists() {
        return Ok(());
    }
    let read = || {
        let db = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        db.busy_timeout(std::time::Duration::from_secs(5))?;
        db.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0))
    };
    let applied = read().map_err(|error| Error::config(format!("{}: {error}", file.display())))?;
    match usize::try_from(applied).unwrap_or(0) > known {
        true => Err(Error::config(format!(
            "{} was written by a newer Headwater: use that one, or restore a backup",
            file.display()
        ))),
        false => Ok(()),
    }
}
