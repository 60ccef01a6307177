//! The books: how far the normaliser has come, what it has counted, what it has seen and what it has rejected — one SQLite file, one
//! transaction a batch, so that they balance at every instant. What was seen longer ago than a moment lies beside it ([`seen`]).
//!
//! [`seen`]: super::seen

use std::{collections::BTreeMap, path::Path};

use headwater_core::error::{Error, Result};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};
use rusqlite_migration::M;
use serde::Serialize;
use sha2::{Digest, Sha256};

pub use super::seen::SeenKey;
use super::seen::{self, Seen};
use crate::state::Database;

/// What the file is called in errors, in front of its path.
const BOOKS: &str = "the books in";
/// Rejected items that are kept, at most; the oldest go first, and stay in the inbox.
const REJECTED: i64 = 100_000;
/// The longest payload that is kept with a rejected item, in bytes; the whole of it is in the inbox.
const PAYLOAD: usize = 64 << 10;

const MIGRATIONS: &[M<'static>] = &[M::up(
    "CREATE TABLE position (name TEXT PRIMARY KEY, seq INTEGER NOT NULL) STRICT;
     CREATE TABLE seen (id BLOB PRIMARY KEY, day INTEGER NOT NULL) STRICT, WITHOUT ROWID;
     CREATE INDEX seen_by_day ON seen (day);
     CREATE TABLE count (source TEXT NOT NULL, stage TEXT NOT NULL, reason TEXT NOT NULL, n INTEGER NOT NULL,
                         PRIMARY KEY (source, stage, reason)) STRICT, WITHOUT ROWID;
     CREATE TABLE rejected (id INTEGER PRIMARY KEY, source TEXT NOT NULL, delivery INTEGER NOT NULL, item INTEGER NOT NULL,
                            received_at TEXT NOT NULL, reason TEXT NOT NULL, payload TEXT NOT NULL) STRICT;",
), M::up(
    "ALTER TABLE seen ADD COLUMN delivery INTEGER NOT NULL DEFAULT 0;
     CREATE INDEX rejected_by_delivery ON rejected (delivery);",
), M::up("DROP TABLE seen;"), M::up(seen::TABLES), M::up(
    "CREATE TABLE replay (args TEXT PRIMARY KEY, began TEXT NOT NULL, since TEXT NOT NULL, until TEXT NOT NULL, next INTEGER NOT NULL,
                          end INTEGER NOT NULL) STRICT, WITHOUT ROWID;
     CREATE TABLE taken (quarantined INTEGER PRIMARY KEY) STRICT;",
), M::up(waiting::TABLES)];

mod waiting;

pub use waiting::{Answer, Waiting};

/// The stage of deliveries: each is counted once, by what became of it.
pub const DELIVERY: &str = "delivery";
/// The stage of items, before anything has become of them.
pub const ITEM: &str = "item";
/// The stage of calls: each item that is one, or should have been, is counted once, by what became of it.
pub const CALL: &str = "call";
/// The stage of changes to objects.
pub const CHANGE: &str = "change";
/// The stage of items of a replay, before anything has become of them.
pub const REPLAY_ITEM: &str = "replayed item";
/// The stage of calls and changes of a replay: each item is counted once, by what became of it.
pub const REPLAY: &str = "replayed";
/// The stage of calls that a replay took away.
pub const GONE: &str = "removed";
/// The stage of frames in the calls log, by the schema that they are for.
pub const SCHEMA: &str = "schema";
/// The reason of everything that went on to its consumers.
pub const ELIGIBLE: &str = "eligible";
/// The reason of a replay's changes to objects.
pub const CHANGES: &str = "changes to objects";
/// The reason of items whose account no source has.
pub const UNROUTED: &str = "unrouted";
/// The reason of what was there and cannot be read any more.
pub const DAMAGED: &str = "damaged";

/// What a message is remembered by.
pub fn seen_key(source: &str, message_id: &str) -> SeenKey {
    let mut digest = Sha256::new();
    digest.update(source.as_bytes());
    digest.update([0]);
    digest.update(message_id.as_bytes());
    let mut key = [0; 16];
    key.copy_from_slice(&digest.finalize()[..16]);
    key
}

/// What one batch adds to the books.
#[derive(Debug, Default)]
pub struct Entry {
    /// Where the normaliser goes on in the inbox.
    pub inbox: u64,
    /// The last frame of the calls log that counts.
    pub calls: u64,
    /// Messages that were new, and the deliveries that brought them.
    pub seen: Vec<(SeenKey, u64)>,
    /// By source, stage and reason, how many more; of the stage [`SCHEMA`], a schema instead of a source.
    pub counts: BTreeMap<String, BTreeMap<&'static str, BTreeMap<String, u64>>>,
    /// Items that became nothing.
    pub rejected: Vec<RejectedItem>,
    /// What a replay has done.
    pub replay: Option<ReplayStep>,
    /// Deliveries that wait for look-ups from now on.
    pub waiting: Vec<Waiting>,
    /// Deliveries that do not wait any more.
    pub settled: Vec<u64>,
    /// Where the fetching of sources goes on: JSON.
    pub cursors: BTreeMap<String, String>,
}

/// A step of a replay: messages become its deliveries', whoever had them, and rejected items are kept anew.
#[derive(Debug, Default)]
pub struct ReplayStep {
    /// Which: [`ReplayJob::args`].
    pub args: String,
    /// Where it goes on in the inbox.
    pub next: u64,
    /// Deliveries that have been made again.
    pub deliveries: Vec<u64>,
}

/// A replay that has begun, so that it can go on after a crash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplayJob {
    /// What was asked for: the same words go on with the same replay.
    pub args: String,
    /// When it began.
    pub began: Timestamp,
    /// Deliveries received from here …
    pub since: Timestamp,
    /// … to here, included.
    pub until: Timestamp,
    /// Where it goes on in the inbox.
    pub next: u64,
    /// Before which delivery it ends: what had been normalised when it began.
    pub end: u64,
}

impl Entry {
    /// Counts one more.
    pub fn count(&mut self, source: &str, stage: &'static str, reason: &str, n: u64) {
        // Mostly it is there: then nothing is allocated for it.
        let known = self.counts.get_mut(source).and_then(|stages| stages.get_mut(stage)?.get_mut(reason));
        match known {
            Some(count) => *count += n,
            None => {
                let stages = self.counts.entry(source.to_owned()).or_default();
                stages.entry(stage).or_default().insert(reason.to_owned(), n);
            }
        }
    }
}

/// An item that became nothing, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RejectedItem {
    /// The source.
    pub source: String,
    /// The delivery's place in the inbox.
    pub delivery: u64,
    /// The item's place in the delivery.
    pub item: u32,
    /// When it came.
    pub received_at: Timestamp,
    /// Why.
    pub reason: String,
    /// The JSON as it came, cut where it is long.
    pub payload: String,
}

/// One line of the counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Count {
    /// The source; of the stage [`SCHEMA`], the schema.
    pub source: String,
    /// Where it was counted: [`DELIVERY`], [`ITEM`], [`CALL`], [`CHANGE`], [`SCHEMA`].
    pub stage: String,
    /// What became of them.
    pub reason: String,
    /// How many.
    pub n: u64,
}

/// The books at one instant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// The next delivery that the normaliser reads.
    pub inbox: u64,
    /// The last frame of the calls log that counts.
    pub calls: u64,
    /// Up to here all schemas have been loaded.
    pub loaded: u64,
    /// Deliveries that wait for look-ups.
    pub waiting: u64,
    /// All counts.
    pub counts: Vec<Count>,
}

/// The books.
#[derive(Clone)]
pub struct Books(Database<Shelf>);

/// The file, and what lies beside it.
struct Shelf {
    db: Connection,
    seen: Seen,
    /// The day on which what is old was last forgotten.
    swept: i64,
}

impl Books {
    /// Says if `file` was written by a newer Headwater. Nothing is changed.
    pub fn check_version(file: &Path) -> Result<()> {
        crate::state::check_version(file, MIGRATIONS.len())
    }

    /// Opens `file`, and makes or migrates its tables.
    pub fn open(file: &Path) -> Result<Self> {
        let mut connection = crate::state::open(file, BOOKS, MIGRATIONS)?;
        let named = |error: rusqlite::Error| Error::config(format!("{BOOKS} {}: {error}", file.display()));
        let mut seen = Seen::open(&connection, &file.with_file_name("seen")).map_err(named)?;
        seen.forget(&mut connection, today()).map_err(named)?;
        Ok(Self(Database::new("the books", Shelf { db: connection, seen, swept: today() })?))
    }

    async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T> {
        self.with_seen(move |shelf| work(&mut shelf.db)).await
    }

    async fn with_seen<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Shelf) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T> {
        self.0.work(work).await
    }

    /// A stored position; 0 before the first.
    pub async fn position(&self, name: &'static str) -> Result<u64> {
        self.with(move |db| position(db, name)).await
    }

    /// Stores how far all schemas have been loaded, and how many frames on the way could not be read.
    pub async fn set_loaded(&self, seq: u64, damaged: u64) -> Result<()> {
        self.with(move |db| {
            let change = db.transaction()?;
            if damaged > 0 {
                count(&change, "", SCHEMA, DAMAGED, damaged)?;
            }
            set_position(&change, "loaded", seq)?;
            change.commit()
        })
        .await
    }

    /// Positions and counts of the same instant.
    pub async fn ledger(&self) -> Result<Ledger> {
        self.with(|db| {
            // One connection behind one lock: nothing is written between these.
            Ok(Ledger {
                inbox: position(db, "inbox")?,
                calls: position(db, "calls")?,
                loaded: position(db, "loaded")?,
                waiting: waiting::count(db)?,
                counts: counts(db)?,
            })
        })
        .await
    }

    /// The delivery that brought a message, as long as it is remembered.
    pub async fn delivery_of(&self, key: SeenKey) -> Result<Option<u64>> {
        Ok(self.seen(vec![key]).await?.into_iter().next().flatten())
    }

    /// The deliveries that brought these messages, as far as they are remembered.
    pub async fn seen(&self, keys: Vec<SeenKey>) -> Result<Vec<Option<u64>>> {
        self.with_seen(move |shelf| Ok(shelf.seen.find(&keys))).await
    }

    /// Writes a batch: all of it or nothing.
    pub async fn commit(&self, entry: Entry) -> Result<()> {
        self.with_seen(move |Shelf { db, seen, swept }| {
            let today = today();
            if std::mem::replace(swept, today) != today {
                seen.forget(db, today)?;
            }
            seen.tidy(db)?;
            let change = db.transaction()?;
            {
                seen.note(&change, &entry.seen, today)?;
                let again = entry.replay.iter().flat_map(|replay| &replay.deliveries).chain(&entry.settled);
                for delivery in again {
                    change
                        .prepare_cached("DELETE FROM rejected WHERE delivery = ?")?
                        .execute([number(*delivery)])?;
                }
                if let Some(replay) = &entry.replay {
                    change
                        .prepare_cached("UPDATE replay SET next = ? WHERE args = ?")?
                        .execute(params![number(replay.next), replay.args])?;
                }
                for (source, stages) in &entry.counts {
                    for (stage, reasons) in stages {
                        for (reason, n) in reasons {
                            count(&change, source, stage, reason, *n)?;
                        }
                    }
                }
                let mut reject = change.prepare_cached(
                    "INSERT INTO rejected (source, delivery, item, received_at, reason, payload) VALUES (?, ?, ?, ?, ?, ?)",
                )?;
                for item in &entry.rejected {
                    let mut end = item.payload.len().min(PAYLOAD);
                    while !item.payload.is_char_boundary(end) {
                        end -= 1;
                    }
                    reject.execute(params![
                        item.source,
                        number(item.delivery),
                        item.item,
                        item.received_at.to_string(),
                        item.reason,
                        &item.payload[..end]
                    ])?;
                }
                if !entry.rejected.is_empty() {
                    change.execute("DELETE FROM rejected WHERE id <= (SELECT max(id) FROM rejected) - ?", [REJECTED])?;
                }
            }
            waiting::enter(&change, &entry)?;
            set_position(&change, "inbox", entry.inbox)?;
            set_position(&change, "calls", entry.calls)?;
            change.commit()?;
            seen.noted(&entry.seen, today);
            Ok(())
        })
        .await
    }

    /// Begins a replay; one that was begun with the same words, and has not ended, goes on.
    pub async fn begin_replay(&self, job: ReplayJob) -> Result<ReplayJob> {
        self.with(move |db| {
            db.execute(
                "INSERT INTO replay VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING",
                params![
                    job.args,
                    job.began.to_string(),
                    job.since.to_string(),
                    job.until.to_string(),
                    number(job.next),
                    number(job.end)
                ],
            )?;
            db.query_row(
                "SELECT began, since, until, next, end FROM replay WHERE args = ?1",
                [&job.args],
                |row| {
                    let time =
                        |at: usize| row.get::<_, String>(at).map(|text| text.parse().unwrap_or_default());
                    Ok(ReplayJob {
                        began: time(0)?,
                        since: time(1)?,
                        until: time(2)?,
                        next: row.get::<_, i64>(3)?.unsigned_abs(),
                        end: row.get::<_, i64>(4)?.unsigned_abs(),
                        args: job.args.clone(),
                    })
                },
            )
        })
        .await
    }

    /// Ends a replay: the same words begin anew.
    pub async fn end_replay(&self, args: &str) -> Result<()> {
        let args = args.to_owned();
        self.with(move |db| db.execute("DELETE FROM replay WHERE args = ?1", [args]).map(drop)).await
    }

    /// Notes that a quarantined delivery has come into the inbox after all.
    pub async fn take(&self, quarantined: u64) -> Result<()> {
        self.with(move |db| {
            db.execute("INSERT OR IGNORE INTO taken VALUES (?1)", [number(quarantined)]).map(drop)
        })
        .await
    }

    /// The quarantined deliveries that have come into the inbox after all.
    pub async fn taken(&self) -> Result<Vec<u64>> {
        self.with(|db| {
            db.prepare("SELECT quarantined FROM taken ORDER BY 1")?
                .query_map([], |row| row.get::<_, i64>(0).map(i64::unsigned_abs))?
                .collect()
        })
        .await
    }

    /// The rejected items of a delivery, in order.
    pub async fn rejected_of(&self, delivery: u64) -> Result<Vec<RejectedItem>> {
        self.with(move |db| rejected(db, "WHERE delivery = ?1 ORDER BY item", number(delivery))).await
    }

    /// All counts.
    pub async fn counts(&self) -> Result<Vec<Count>> {
        self.with(|db| counts(db)).await
    }

    /// The latest rejected items, newest first.
    pub async fn rejected(&self, limit: u32) -> Result<Vec<RejectedItem>> {
        self.with(move |db| rejected(db, "ORDER BY id DESC LIMIT ?1", i64::from(limit))).await
    }
}

fn rejected(db: &Connection, which: &str, bound: i64) -> rusqlite::Result<Vec<RejectedItem>> {
    db.prepare_cached(&format!(
        "SELECT source, delivery, item, received_at, reason, payload FROM rejected {which}"
    ))?
    .query_map([bound], |row| {
        Ok(RejectedItem {
            source: row.get(0)?,
            delivery: row.get::<_, i64>(1)?.unsigned_abs(),
            item: row.get(2)?,
            received_at: row.get::<_, String>(3)?.parse().unwrap_or_default(),
            reason: row.get(4)?,
            payload: row.get(5)?,
        })
    })?
    .collect()
}

/// Days since 1970.
fn today() -> i64 {
    Timestamp::now().as_second().div_euclid(86_400)
}

fn position(db: &Connection, name: &str) -> rusqlite::Result<u64> {
    let mut find = db.prepare_cached("SELECT seq FROM position WHERE name = ?")?;
    Ok(find.query_row([name], |row| row.get::<_, i64>(0)).optional()?.unwrap_or(0).unsigned_abs())
}

fn set_position(db: &Connection, name: &str, seq: u64) -> rusqlite::Result<()> {
    db.prepare_cached("INSERT INTO position VALUES (?1, ?2) ON CONFLICT DO UPDATE SET seq = ?2")?
        .execute(params![name, number(seq)])
        .map(drop)
}

fn counts(db: &Connection) -> rusqlite::Result<Vec<Count>> {
    db.prepare_cached("SELECT source, stage, reason, n FROM count ORDER BY 1, 2, 3")?
        .query_map([], |row| {
            Ok(Count {
                source: row.get(0)?,
                stage: row.get(1)?,
                reason: row.get(2)?,
                n: row.get::<_, i64>(3)?.unsigned_abs(),
            })
        })?
        .collect()
}

fn count(db: &Connection, source: &str, stage: &str, reason: &str, n: u64) -> rusqlite::Result<()> {
    db.prepare_cached("INSERT INTO count VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO UPDATE SET n = n + ?4")?
        .execute(params![source, stage, reason, number(n)])
        .map(drop)
}

/// A number as SQLite has them.
fn number(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
