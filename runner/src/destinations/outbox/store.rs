//! What is kept of every destination: how far it is, what it has counted, the calls that failed. One SQLite file, one transaction a
//! step, so that the counts balance at every instant.
//!
//! It is a file of its own beside the books: SQLite has one writer at a time, and a destination's steps, which come with every answer,
//! must not hold up the normaliser's, which every call waits for. It is synced like the books: a call that is kept here because it
//! failed is needed once the calls log has gone on.

use std::{
    collections::{BTreeMap, HashSet},
    path::Path,
    sync::Arc,
};

use headwater_core::error::Result;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, ToSql, params};
use rusqlite_migration::M;

use super::{
    super::{Letter, Room},
    breaker::Light,
    outcome::{Count, Failed, Pile, Step, outcomes},
    settled::Settled,
};
use crate::state::Database;

const MIGRATIONS: &[M<'static>] = &[M::up(
    "CREATE TABLE destination (
         name TEXT PRIMARY KEY,
         -- The first frame of the calls log that was for it.
         began INTEGER NOT NULL,
         -- The first frame without outcome, and runs beyond it that have theirs.
         position INTEGER NOT NULL, ahead TEXT NOT NULL,
         -- Whether the configuration had it no more when the program started last.
         ended INTEGER NOT NULL DEFAULT 0,
         circuit TEXT NOT NULL DEFAULT 'closed', since TEXT, fault TEXT) STRICT;
     CREATE TABLE count (
         destination TEXT NOT NULL, source TEXT NOT NULL, outcome TEXT NOT NULL, rule TEXT NOT NULL, n INTEGER NOT NULL,
         PRIMARY KEY (destination, source, outcome, rule)) STRICT, WITHOUT ROWID;
     -- Calls that failed: due is when they are sent again, in milliseconds since 1970; null for those that are not, the dead letters.
     CREATE TABLE letter (
         id INTEGER PRIMARY KEY AUTOINCREMENT,
         destination TEXT NOT NULL, seq INTEGER NOT NULL, source TEXT NOT NULL, message_id TEXT NOT NULL, delivery TEXT NOT NULL,
         received_at TEXT NOT NULL, attempts INTEGER NOT NULL, first TEXT, last TEXT NOT NULL, due INTEGER,
         status INTEGER, reason TEXT NOT NULL, call BLOB NOT NULL) STRICT;
     CREATE INDEX letter_due ON letter (destination, due);
     CREATE INDEX letter_message ON letter (message_id);",
)];

/// Where a destination stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The first frame of the calls log that was for it; where it began again, as if it had begun just so much earlier as it had
    /// counted by then. Below 0 where the log's numbers began again too.
    pub began: i64,
    /// The frames that have their outcome.
    pub settled: Settled,
    /// Whether it was taken out of the configuration since.
    pub ended: bool,
    /// Its circuit, as it was stored.
    pub circuit: Light,
}

impl Standing {
    /// How many frames have got their outcome since it began.
    pub fn counted(&self) -> i64 {
        whole(self.settled.position()) - self.began + whole(self.settled.count_ahead())
    }
}

/// What a destination has counted, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The destination.
    pub name: String,
    /// Where it stands.
    pub standing: Standing,
    /// What became of frames so far, by outcome.
    pub outcomes: BTreeMap<&'static str, u64>,
    /// Calls that failed and wait to be sent again.
    pub waiting: u64,
}

/// Dead letters that are kept of one destination, at most; the oldest go first, and stay in the inbox.
pub const DEAD: Pile = Pile { count: 100_000, bytes: 1 << 30 };

/// The file.
#[derive(Clone)]
pub struct Store(Database<Connection>);

impl Store {
    /// Opens `file`, and makes or migrates its tables.
    pub fn open(file: &Path) -> Result<Self> {
        let what = "the destinations' file";
        Ok(Self(Database::new(what, crate::state::open(file, what, MIGRATIONS)?)?))
    }

    /// Says if `file` was written by a newer Headwater. Nothing is changed.
    pub fn check_version(file: &Path) -> Result<()> {
        crate::state::check_version(file, MIGRATIONS.len())
    }

    async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T> {
        self.0.work(work).await
    }

    /// Where a destination stands; none if it is new.
    pub async fn standing(&self, name: &str) -> Result<Option<Standing>> {
        let name = name.to_owned();
        let found = self
            .with(move |db| {
                db.query_row(
                    "SELECT began, position, ahead, circuit, since, fault, ended FROM destination WHERE name = ?",
                    [name],
                    |row| {
                        let light = Light { state: row.get(3)?, since: row.get(4)?, reason: row.get(5)? };
                        Ok((row.get(0)?, number(row, 1)?, row.get::<_, String>(2)?, light, row.get(6)?))
                    },
                )
                .optional()
            })
            .await?;
        let Some((began, position, ahead, circuit, ended)) = found else { return Ok(None) };
        Ok(Some(Standing { began, settled: Settled::read(position, &ahead)?, ended, circuit }))
    }

    /// Lets a destination begin, or begin again, at `position`: what it has counted stays.
    pub async fn begin(&self, name: &str, position: u64) -> Result<Standing> {
        let counted = self.standing(name).await?.map_or(0, |before| before.counted());
        let began = whole(position) - counted;
        let owned = name.to_owned();
        self.with(move |db| {
            db.execute(
                "INSERT INTO destination (name, began, position, ahead) VALUES (?1, ?2, ?3, '[]')
                 ON CONFLICT DO UPDATE SET began = ?2, position = ?3, ahead = '[]', ended = 0, circuit = 'closed', since = NULL, fault = NULL",
                params![owned, began, whole(position)],
            )
        })
        .await?;
        Ok(Standing { began, settled: Settled::before(position), ended: false, circuit: Light::closed() })
    }

    /// Writes a step: all of it or nothing.
    pub async fn commit(&self, name: &str, settled: &Settled, step: Arc<Step>) -> Result<()> {
        let name = name.to_owned();
        let (position, ahead) = (settled.position(), settled.ahead());
        self.with(move |db| {
            let change = db.transaction()?;
            change.prepare_cached("UPDATE destination SET position = ?2, ahead = ?3 WHERE name = ?1")?.execute(
                params![name, whole(position), ahead],
            )?;
            if let Some(light) = &step.circuit {
                change.execute(
                    "UPDATE destination SET circuit = ?2, since = ?3, fault = ?4 WHERE name = ?1",
                    params![name, light.state, light.since, light.reason],
                )?;
            }
            {
                let mut count = change.prepare_cached(
                    "INSERT INTO count VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO UPDATE SET n = n + ?5",
                )?;
                for ((source, outcome, rule), n) in &step.counts {
                    count.execute(params![name, source, outcome.name(), rule, whole(*n)])?;
                }
                let mut gone = change.prepare_cached("DELETE FROM letter WHERE id = ?")?;
                for id in &step.gone {
                    gone.execute([id])?;
                }
                let mut keep = change.prepare_cached(
                    "INSERT INTO letter (destination, seq, source, message_id, delivery, received_at, attempts, first, last, due, status, reason, call)
                     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                )?;
                let mut again = change.prepare_cached(
                    "UPDATE letter SET attempts = ?2, first = ?3, last = ?4, due = ?5, status = ?6, reason = ?7 WHERE id = ?1",
                )?;
                let last = Timestamp::now().to_string();
                for (letter, due, fault) in &step.failed {
                    let first = letter.first.map(|first| first.to_string());
                    let due = due.map(Timestamp::as_millisecond);
                    if letter.id == 0 {
                        keep.execute(params![
                            name,
                            whole(letter.seq),
                            letter.source,
                            letter.message_id,
                            letter.delivery,
                            letter.received_at.to_string(),
                            letter.attempts,
                            first,
                            last,
                            due,
                            fault.status,
                            fault.reason,
                            &letter.call[..]
                        ])?;
                    } else {
                        again.execute(params![letter.id, letter.attempts, first, last, due, fault.status, fault.reason])?;
                    }
                }
            }
            if step.forget {
                forget(&change, &name)?;
            }
            change.commit()
        })
        .await
    }

    /// The letters that are due, the longest due first, but for those that are under way: as many as a request may hold, and at least
    /// one where there is one.
    pub async fn due(
        &self,
        name: &str,
        now: Timestamp,
        under_way: &HashSet<i64>,
        room: Room,
    ) -> Result<Vec<Letter>> {
        let (name, under_way) = (name.to_owned(), list(under_way));
        self.with(move |db| {
            let mut due = db.prepare_cached(
                "SELECT id, seq, source, message_id, delivery, received_at, attempts, first, call FROM letter
                 WHERE destination = ? AND due <= ? AND id NOT IN (SELECT value FROM json_each(?)) ORDER BY due, id",
            )?;
            let mut rows = due.query(params![name, now.as_millisecond(), under_way])?;
            let (mut letters, mut bytes): (Vec<Letter>, usize) = (Vec::new(), 0);
            while letters.len() < room.calls
                && let Some(row) = rows.next()?
            {
                let letter = Letter {
                    id: row.get(0)?,
                    seq: number(row, 1)?,
                    source: row.get(2)?,
                    message_id: row.get(3)?,
                    delivery: row.get(4)?,
                    person: 0,
                    attempts: row.get(6)?,
                    first: row.get::<_, Option<String>>(7)?.and_then(|first| first.parse().ok()),
                    received_at: row.get::<_, String>(5)?.parse().unwrap_or_default(),
                    call: row.get::<_, Vec<u8>>(8)?.into(),
                };
                bytes += letter.call.len() + 1;
                if bytes > room.bytes && !letters.is_empty() {
                    break;
                }
                letters.push(letter);
            }
            Ok(letters)
        })
        .await
    }

    /// When the next letter is due that is not under way.
    pub async fn next_due(&self, name: &str, under_way: &HashSet<i64>) -> Result<Option<Timestamp>> {
        let (name, under_way) = (name.to_owned(), list(under_way));
        let due: Option<i64> = self
            .with(move |db| {
                db.prepare_cached(
                    "SELECT due FROM letter WHERE destination = ? AND due IS NOT NULL
                     AND id NOT IN (SELECT value FROM json_each(?)) ORDER BY due LIMIT 1",
                )?
                .query_row(params![name, under_way], |row| row.get(0))
                .optional()
            })
            .await?;
        Ok(due.and_then(|due| Timestamp::from_millisecond(due).ok()))
    }

    /// Letters that wait to be sent again.
    pub async fn waiting(&self, name: &str) -> Result<Pile> {
        self.sum(name, "due IS NOT NULL").await
    }

    /// Dead letters.
    pub async fn dead(&self, name: &str) -> Result<Pile> {
        self.sum(name, "due IS NULL").await
    }

    async fn sum(&self, name: &str, which: &'static str) -> Result<Pile> {
        let name = name.to_owned();
        self.with(move |db| sum(db, &name, which)).await
    }

    /// Calls that failed: the dead letters, newest first, or those that wait to be sent again, the next first.
    pub async fn failed(&self, name: &str, waiting: bool, limit: u32) -> Result<Vec<Failed>> {
        let name = name.to_owned();
        let which = if waiting { "due IS NOT NULL ORDER BY due, id" } else { "due IS NULL ORDER BY id DESC" };
        self.with(move |db| shown(db, &format!("destination = ? AND {which} LIMIT ?"), params![name, limit]))
            .await
    }

    /// A message's calls that failed, of whichever kind.
    pub async fn failed_of(&self, name: &str, message_id: &str) -> Result<Vec<Failed>> {
        let (name, message_id) = (name.to_owned(), message_id.to_owned());
        self.with(move |db| {
            shown(
                db,
                "destination = ? AND message_id = ? ORDER BY id DESC LIMIT 100",
                params![name, message_id],
            )
        })
        .await
    }

    /// Lets dead letters be sent again, these or all; returns how many.
    pub async fn resend(&self, name: &str, ids: Option<Vec<i64>>) -> Result<u64> {
        let name = name.to_owned();
        let ids = ids.map(|ids| list(&ids.into_iter().collect()));
        self.with(move |db| {
            let change = db.transaction()?;
            let sent: Vec<(String, i64)> = change
                .prepare(
                    "UPDATE letter SET due = ?3, attempts = 0, first = NULL
                     WHERE destination = ?1 AND due IS NULL AND (?2 IS NULL OR id IN (SELECT value FROM json_each(?2)))
                     RETURNING source, id",
                )?
                .query_map(params![name, ids, Timestamp::now().as_millisecond()], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect::<rusqlite::Result<_>>()?;
            for (source, _) in &sent {
                change
                    .prepare_cached("UPDATE count SET n = n - 1 WHERE destination = ? AND source = ? AND outcome = 'dead'")?
                    .execute(params![name, source])?;
            }
            change.commit()?;
            Ok(sent.len() as u64)
        })
        .await
    }

    /// Notes that all destinations but these are gone; what they have counted, and the calls that failed, stay.
    pub async fn end_all_but(&self, names: Vec<String>) -> Result<()> {
        let names = serde_json::to_string(&names)?;
        self.with(move |db| {
            db.execute(
                "UPDATE destination SET ended = 1 WHERE name NOT IN (SELECT value FROM json_each(?))",
                [names],
            )
            .map(drop)
        })
        .await
    }

    /// All counts.
    pub async fn counts(&self) -> Result<Vec<Count>> {
        self.with(|db| counts(db)).await
    }

    /// What every destination has counted, and where it stands, at one instant.
    pub async fn accounts(&self) -> Result<Vec<Account>> {
        type Found = (String, i64, u64, String, bool, BTreeMap<&'static str, u64>, u64);
        let found = self
            .with(|db| {
                let view = db.transaction()?;
                let counts = counts(&view)?;
                view.prepare("SELECT name, began, position, ahead, ended FROM destination ORDER BY 1")?
                    .query_map([], |row| {
                        let name: String = row.get(0)?;
                        let waiting = sum(&view, &name, "due IS NOT NULL")?.count;
                        let outcomes = outcomes(&counts, &name);
                        Ok((name, row.get(1)?, number(row, 2)?, row.get(3)?, row.get(4)?, outcomes, waiting))
                    })?
                    .collect::<rusqlite::Result<Vec<Found>>>()
            })
            .await?;
        let account = |(name, began, position, ahead, ended, outcomes, waiting): Found| {
            let settled = Settled::read(position, &ahead)?;
            let standing = Standing { began, settled, ended, circuit: Light::closed() };
            Ok(Account { name, standing, outcomes, waiting })
        };
        found.into_iter().map(account).collect()
    }
}

fn shown(db: &Connection, which: &str, with: &[&dyn ToSql]) -> rusqlite::Result<Vec<Failed>> {
    db.prepare_cached(&format!(
        "SELECT id, source, message_id, delivery, attempts, first, last, due, status, reason, call FROM letter WHERE {which}"
    ))?
    .query_map(with, |row| {
        Ok(Failed {
            id: row.get(0)?,
            source: row.get(1)?,
            message_id: row.get(2)?,
            delivery: row.get(3)?,
            attempts: row.get(4)?,
            first: row.get(5)?,
            last: row.get(6)?,
            due: row.get::<_, Option<i64>>(7)?.and_then(|due| Timestamp::from_millisecond(due).ok()),
            status: row.get(8)?,
            reason: row.get(9)?,
            call: String::from_utf8_lossy(&row.get::<_, Vec<u8>>(10)?).into_owned(),
        })
    })?
    .collect()
}

fn counts(db: &Connection) -> rusqlite::Result<Vec<Count>> {
    db.prepare_cached("SELECT destination, source, outcome, rule, n FROM count ORDER BY 1, 2, 3, 4")?
        .query_map([], |row| {
            Ok(Count {
                destination: row.get(0)?,
                source: row.get(1)?,
                outcome: row.get(2)?,
                rule: row.get(3)?,
                n: number(row, 4)?,
            })
        })?
        .collect()
}

/// Forgets the oldest dead letters beyond what is kept, and some more, so that it is not done for each.
fn forget(db: &Connection, name: &str) -> rusqlite::Result<()> {
    loop {
        let dead = sum(db, name, "due IS NULL")?;
        if !dead.is_beyond(DEAD) {
            return Ok(());
        }
        let many = dead.count.saturating_sub(DEAD.count) + dead.count.div_ceil(100);
        let gone = db.execute(
            "DELETE FROM letter WHERE id IN (SELECT id FROM letter WHERE destination = ? AND due IS NULL ORDER BY id LIMIT ?)",
            params![name, whole(many)],
        )?;
        tracing::error!(
            destination = name,
            letters = gone,
            "too many dead letters: the oldest were forgotten"
        );
    }
}

fn sum(db: &Connection, name: &str, which: &str) -> rusqlite::Result<Pile> {
    db.prepare_cached(&format!(
        "SELECT count(*), coalesce(sum(length(call)), 0) FROM letter WHERE destination = ? AND {which}"
    ))?
    .query_row([name], |row| Ok(Pile { count: number(row, 0)?, bytes: number(row, 1)? }))
}

fn list(ids: &HashSet<i64>) -> String {
    serde_json::to_string(ids).unwrap_or_else(|_| "[]".to_owned())
}

fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn number(row: &Row<'_>, at: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(at).map(i64::unsigned_abs)
}
