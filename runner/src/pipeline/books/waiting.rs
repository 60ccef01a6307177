//! Deliveries that wait for look-ups, the answers that have come, and where pulls go on: entered with everything else, so that a crash
//! asks nobody again and fetches nothing twice.

use bytes::Bytes;
use headwater_core::error::Result;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

use super::{Books, Entry, number};

pub(super) const TABLES: &str =
    "CREATE TABLE waiting (delivery INTEGER PRIMARY KEY, source TEXT NOT NULL, since TEXT NOT NULL, again INTEGER NOT NULL) STRICT;
     CREATE INDEX waiting_by_source ON waiting (source, delivery);
     CREATE TABLE answer (delivery INTEGER NOT NULL, item INTEGER NOT NULL, place INTEGER NOT NULL, answer BLOB NOT NULL,
                          PRIMARY KEY (delivery, item, place)) STRICT, WITHOUT ROWID;
     CREATE TABLE pull (source TEXT PRIMARY KEY, cursor TEXT NOT NULL) STRICT, WITHOUT ROWID;";

/// A delivery that waits for look-ups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Its place in the inbox.
    pub delivery: u64,
    /// The source that it came to.
    pub source: String,
    /// Since when it waits.
    pub since: Timestamp,
    /// Whether it had been made before: a replay has met it without answers. Then it is counted already.
    pub again: bool,
}

/// The answer to a look-up; empty where the vendor refused for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The delivery's place in the inbox.
    pub delivery: u64,
    /// The item's place in the delivery.
    pub item: u32,
    /// The request's place among the item's.
    pub place: u32,
    /// What the vendor said.
    pub answer: Bytes,
}

impl Books {
    /// The sources whose deliveries wait, and how many of each do.
    pub async fn waiting(&self) -> Result<Vec<(String, u64)>> {
        self.with(|db| {
            db.prepare_cached("SELECT source, count(*) FROM waiting GROUP BY source ORDER BY source")?
                .query_map([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?.unsigned_abs())))?
                .collect()
        })
        .await
    }

    /// The first deliveries of a source that wait, behind `after`.
    pub async fn waiting_of(&self, source: &str, after: u64, limit: u32) -> Result<Vec<Waiting>> {
        let source = source.to_owned();
        self.with(move |db| {
            db.prepare_cached(
                "SELECT delivery, since, again FROM waiting WHERE source = ?1 AND delivery > ?2 ORDER BY delivery LIMIT ?3",
            )?
            .query_map(params![source, number(after), limit], |row| {
                Ok(Waiting {
                    delivery: row.get::<_, i64>(0)?.unsigned_abs(),
                    source: source.clone(),
                    since: row.get::<_, String>(1)?.parse().unwrap_or_default(),
                    again: row.get(2)?,
                })
            })?
            .collect()
        })
        .await
    }

    /// The oldest delivery that waits.
    pub async fn first_waiting(&self) -> Result<Option<u64>> {
        self.with(|db| {
            db.query_row("SELECT min(delivery) FROM waiting", [], |row| row.get::<_, Option<i64>>(0))
                .map(|first| first.map(i64::unsigned_abs))
        })
        .await
    }

    /// Keeps an answer: on disk before this returns.
    pub async fn keep_answer(&self, answer: Answer) -> Result<()> {
        self.with(move |db| {
            db.prepare_cached("INSERT OR REPLACE INTO answer VALUES (?1, ?2, ?3, ?4)")?
                .execute(params![number(answer.delivery), answer.item, answer.place, answer.answer.as_ref()])
                .map(drop)
        })
        .await
    }

    /// The answers to the look-ups of these deliveries, in the order of their requests.
    pub async fn answers(&self, first: u64, last: u64) -> Result<Vec<Answer>> {
        self.with(move |db| {
            db.prepare_cached(
                "SELECT delivery, item, place, answer FROM answer WHERE delivery BETWEEN ?1 AND ?2 ORDER BY 1, 2, 3",
            )?
            .query_map(params![number(first), number(last)], |row| {
                Ok(Answer {
                    delivery: row.get::<_, i64>(0)?.unsigned_abs(),
                    item: row.get(1)?,
                    place: row.get(2)?,
                    answer: row.get::<_, Vec<u8>>(3)?.into(),
                })
            })?
            .collect()
        })
        .await
    }

    /// Forgets the answers to deliveries that are no longer kept.
    pub async fn forget_answers(&self, first_kept: u64) -> Result<()> {
        self.with(move |db| {
            db.execute("DELETE FROM answer WHERE delivery < ?1", [number(first_kept)]).map(drop)
        })
        .await
    }

    /// Where the fetching of a source goes on, as far as the normaliser has come: JSON.
    pub async fn cursor(&self, source: &str) -> Result<Option<String>> {
        let source = source.to_owned();
        self.with(move |db| {
            db.query_row("SELECT cursor FROM pull WHERE source = ?1", [source], |row| row.get(0)).optional()
        })
        .await
    }
}

/// Enters what an [`Entry`] has of these.
pub(super) fn enter(db: &Connection, entry: &Entry) -> rusqlite::Result<()> {
    for waiting in &entry.waiting {
        db.prepare_cached("INSERT OR IGNORE INTO waiting VALUES (?1, ?2, ?3, ?4)")?.execute(params![
            number(waiting.delivery),
            waiting.source,
            waiting.since.to_string(),
            waiting.again
        ])?;
    }
    for delivery in &entry.settled {
        db.prepare_cached("DELETE FROM waiting WHERE delivery = ?1")?.execute([number(*delivery)])?;
    }
    for (source, cursor) in &entry.cursors {
        db.prepare_cached("INSERT INTO pull VALUES (?1, ?2) ON CONFLICT DO UPDATE SET cursor = ?2")?
            .execute(params![source, cursor])?;
    }
    Ok(())
}

/// How many deliveries wait that are counted nowhere else.
pub(super) fn count(db: &Connection) -> rusqlite::Result<u64> {
    let mut count = db.prepare_cached("SELECT count(*) FROM waiting WHERE again = 0")?;
    count.query_row([], |row| row.get::<_, i64>(0)).map(i64::unsigned_abs)
}
