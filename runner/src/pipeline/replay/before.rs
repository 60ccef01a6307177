//! What the deliveries of a replay had made before: gathered from the warehouse in one pass over the tables of calls, kept in a
//! temporary file by delivery, and changed as the replay goes. So neither the tables nor the loads need an index for it.

use std::sync::{Arc, Mutex};

use headwater_core::error::{Error, Result};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};
use tokio::sync::mpsc;

use crate::warehouse::{Schema, StoredCall, calls::KIND_TABLES};

/// Rows that may wait between the warehouse and the file, in the warehouse's portions.
const WAITING: usize = 8;

/// The file.
#[derive(Clone)]
pub struct Before(Arc<Mutex<Connection>>);

impl Before {
    /// Gathers the calls that were received from `since` to `until`.
    pub async fn gather(schema: &dyn Schema, since: Timestamp, until: Timestamp) -> Result<Self> {
        // A database without a name is a file of its own that goes away with the connection.
        let db = Connection::open("").map_err(wrong)?;
        db.execute_batch(
            "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -16384;
             CREATE TABLE call (delivery INTEGER NOT NULL, item TEXT NOT NULL, kind TEXT NOT NULL, id TEXT NOT NULL, event TEXT);
             CREATE TABLE owner (id TEXT PRIMARY KEY, delivery INTEGER NOT NULL) WITHOUT ROWID;
             BEGIN;",
        )
        .map_err(wrong)?;
        let before = Self(Arc::new(Mutex::new(db)));
        let (to, mut from) = mpsc::channel::<Vec<StoredCall>>(WAITING);
        let keep = async {
            while let Some(some) = from.recv().await {
                before.with(move |db| insert(db, &some)).await?;
            }
            Ok::<(), Error>(())
        };
        let (read, kept) = tokio::join!(schema.calls(since, until, to), keep);
        read?;
        kept?;
        before.with(|db| db.execute_batch("COMMIT; CREATE INDEX by_delivery ON call (delivery);")).await?;
        Ok(before)
    }

    /// What these deliveries had made, in the order in which they are asked for.
    pub async fn of(&self, deliveries: Vec<u64>) -> Result<Vec<Vec<StoredCall>>> {
        self.with(move |db| {
            let mut find = db.prepare_cached("SELECT item, kind, id, event FROM call WHERE delivery = ?1")?;
            let mut all = Vec::with_capacity(deliveries.len());
            for delivery in deliveries {
                let rows = find.query_map([delivery as i64], |row| {
                    let kind: String = row.get(1)?;
                    let table = KIND_TABLES.iter().find(|known| **known == kind).copied().unwrap_or_default();
                    Ok(StoredCall { table, delivery: row.get(0)?, id: row.get(2)?, event: row.get(3)? })
                })?;
                all.push(rows.collect::<rusqlite::Result<_>>()?);
            }
            Ok(all)
        })
        .await
    }

    /// Whose a message has become in this replay: `Some(None)` is nobody's.
    pub async fn owner(&self, id: &str) -> Result<Option<Option<u64>>> {
        let id = id.to_owned();
        self.with(move |db| {
            let mut find = db.prepare_cached("SELECT delivery FROM owner WHERE id = ?1")?;
            let found = find.query_row([id], |row| row.get::<_, i64>(0)).optional()?;
            Ok(found.map(|delivery| Some(delivery.unsigned_abs()).filter(|delivery| *delivery > 0)))
        })
        .await
    }

    /// A message has become a delivery's, or nobody's.
    pub async fn set_owners(&self, owners: Vec<(String, Option<u64>)>) -> Result<()> {
        self.with(move |db| {
            let mut set = db.prepare_cached("INSERT OR REPLACE INTO owner VALUES (?1, ?2)")?;
            for (id, delivery) in owners {
                set.execute(params![id, delivery.unwrap_or(0) as i64])?;
            }
            Ok(())
        })
        .await
    }

    async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T> {
        let db = self.0.clone();
        tokio::task::spawn_blocking(move || work(&db.lock().unwrap_or_else(|poisoned| poisoned.into_inner())))
            .await
            .map_err(|error| Error::transient(format!("the replay's work was ended: {error}")))?
            .map_err(wrong)
    }
}

fn insert(db: &Connection, rows: &[StoredCall]) -> rusqlite::Result<()> {
    let mut insert = db.prepare_cached("INSERT INTO call VALUES (?1, ?2, ?3, ?4, ?5)")?;
    for row in rows {
        // What an older version or another program loaded has no number.
        let Some(delivery) = delivery(&row.delivery) else { continue };
        insert.execute(params![delivery as i64, row.delivery, row.table, row.id, row.event])?;
    }
    Ok(())
}

/// The delivery's sequence number in `_headwater_delivery`.
pub fn delivery(item: &str) -> Option<u64> {
    item.split(':').next()?.parse().ok()
}

fn wrong(error: rusqlite::Error) -> Error {
    Error::transient(format!(
        "the replay's temporary file: {error}; make room, or set TMPDIR to another folder"
    ))
}
