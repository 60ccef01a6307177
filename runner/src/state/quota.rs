//! The ledger of daily allotments, on disk: sources of one vendor account spend of the same one, over restarts and crashes.
//!
//! Requests are counted before they are sent. So that not each of them waits for the disk, a block of them is entered there as spent before
//! the first one is; after a crash the whole block counts. So the disk never says less than what was spent.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use headwater_core::{
    error::{Error, Result},
    http::{Allotment, Ledger, Spent, Usage},
};
use jiff::Timestamp;
use rusqlite::{Connection, params};
use serde::Serialize;

/// The table in the state's database.
pub(super) const TABLE: &str =
    "CREATE TABLE quota (account TEXT NOT NULL, host TEXT NOT NULL, name TEXT NOT NULL, of TEXT NOT NULL, spent INTEGER NOT NULL,
                         amount INTEGER NOT NULL, until TEXT NOT NULL, told TEXT, PRIMARY KEY (account, host, name, of)) STRICT;";

/// A block is so small a part of an allotment: no more is lost by a crash.
const PART: u64 = 200;
/// The largest block of requests or jobs.
const LARGEST: u64 = 500;

/// The ledger.
pub struct QuotaLedger {
    connection: Arc<Mutex<Connection>>,
    lines: Arc<Mutex<HashMap<Key, Line>>>,
}

/// Account, host, limit, and what is counted.
type Key = (String, String, String, String);

#[derive(Clone, Copy)]
struct Line {
    now: Spent,
    /// What the disk says is spent in this period: never less than what is.
    kept: u64,
    /// The next block is being entered.
    writing: bool,
}

/// One allotment, to be shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Quota {
    /// Connector and account.
    pub account: String,
    /// The host, where the API has several.
    pub host: String,
    /// The limit's name; empty for that of every request.
    pub limit: String,
    /// What is counted.
    pub of: String,
    /// So much is spent.
    pub spent: u64,
    /// Of so much; none while the vendor has not told.
    pub amount: Option<u64>,
    /// When it comes back.
    pub until: Timestamp,
    /// When the vendor told it, if it does.
    pub told: Option<Timestamp>,
}

impl QuotaLedger {
    pub(super) fn open(connection: Arc<Mutex<Connection>>) -> rusqlite::Result<Self> {
        let mut lines = HashMap::new();
        {
            let db = lock(&connection);
            let mut rows =
                db.prepare("SELECT account, host, name, of, spent, amount, until, told FROM quota")?;
            let mut rows = rows.query([])?;
            while let Some(row) = rows.next()? {
                let key = (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
                let (spent, amount) = (unsigned(row.get(4)?), unsigned(row.get(5)?));
                let (until, told): (String, Option<String>) = (row.get(6)?, row.get(7)?);
                // A line that cannot be read is one that was never written by us.
                let Ok(until) = until.parse() else { continue };
                let told = told.and_then(|told| told.parse().ok());
                let now = Spent { spent, amount, until, told };
                lines.insert(key, Line { now, kept: spent, writing: false });
            }
        }
        Ok(Self { connection, lines: Arc::new(Mutex::new(lines)) })
    }

    /// All allotments whose period has not ended.
    pub fn all(&self) -> Vec<Quota> {
        let now = Timestamp::now();
        let mut all: Vec<Quota> = lock(&self.lines)
            .iter()
            .filter(|(_, line)| line.now.until > now)
            .map(|((account, host, limit, of), Line { now, .. })| Quota {
                account: account.clone(),
                host: host.clone(),
                limit: limit.clone(),
                of: of.clone(),
                spent: now.spent,
                amount: (now.amount != u64::MAX).then_some(now.amount),
                until: now.until,
                told: now.told,
            })
            .collect();
        all.sort_by(|a, b| {
            (&a.account, &a.host, &a.limit, &a.of).cmp(&(&b.account, &b.host, &b.limit, &b.of))
        });
        all
    }

    /// Enters the next block while requests still go on with this one.
    fn write_ahead(&self, key: Key, block: u64) {
        let (connection, lines) = (self.connection.clone(), self.lines.clone());
        let write = move || enter(&connection, &lines, &key, |line| line.now.spent.saturating_add(block));
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(write)),
            Err(_) => write(),
        }
    }
}

/// Enters on disk what `wanted` says is to stand there, if that is more than does. Writers take turns by the lock on the connection, which
/// is always taken before that on the lines.
fn enter(
    connection: &Mutex<Connection>,
    lines: &Mutex<HashMap<Key, Line>>,
    key: &Key,
    wanted: impl FnOnce(&Line) -> u64,
) {
    let db = lock(connection);
    let Some(line) = lock(lines).get(key).copied() else { return };
    let kept = wanted(&line);
    let written = if kept > line.kept { write(&db, key, &line.now, kept) } else { Ok(()) };
    let mut lines = lock(lines);
    let Some(line) = lines.get_mut(key).filter(|now| now.now.until == line.now.until) else { return };
    line.writing = false;
    match written {
        Ok(()) => line.kept = line.kept.max(kept),
        Err(error) => tracing::error!(%error, "what is spent of an allotment could not be kept"),
    }
}

impl Ledger for QuotaLedger {
    fn spend(&self, allotment: &Allotment, until: Timestamp, amount: u64) -> Spent {
        let key = key(allotment);
        let block = (allotment.amount / PART).max(1);
        let block = if allotment.of == "bytes" { block } else { block.min(LARGEST) };
        let mut lines = lock(&self.lines);
        let line = lines.entry(key.clone()).or_insert_with(|| Line {
            now: Spent::nothing(allotment, until),
            kept: 0,
            writing: false,
        });
        if until > line.now.until {
            line.kept = 0;
        }
        line.now.add(allotment, until, amount);
        let now = line.now;
        if amount == 0 {
            return now;
        }
        if now.spent > line.kept {
            // Before it is spent it is on disk.
            drop(lines);
            enter(&self.connection, &self.lines, &key, |line| match line.kept >= now.spent {
                true => line.kept,
                false => line.now.spent.saturating_add(block),
            });
        } else if line.kept - now.spent < block / 2 && !line.writing {
            line.writing = true;
            drop(lines);
            self.write_ahead(key, block);
        }
        now
    }

    fn told(&self, allotment: &Allotment, until: Timestamp, usage: Usage, now: Timestamp) {
        let mut lines = lock(&self.lines);
        let line = lines.entry(key(allotment)).or_insert_with(|| Line {
            now: Spent::nothing(allotment, until),
            kept: 0,
            writing: false,
        });
        if until > line.now.until {
            line.kept = 0;
        }
        // The disk follows with the next block, or at the end: after a crash the vendor tells again.
        line.now.set(until, usage, now);
    }
}

impl Drop for QuotaLedger {
    /// At an orderly end the disk has what is spent, and no block beyond it.
    fn drop(&mut self) {
        let db = lock(&self.connection);
        for (key, line) in lock(&self.lines).iter() {
            if let Err(error) = write(&db, key, &line.now, line.now.spent) {
                tracing::warn!(%error, "what is spent of an allotment could not be kept to the last request");
            }
        }
    }
}

fn write(db: &Connection, (account, host, name, of): &Key, now: &Spent, spent: u64) -> rusqlite::Result<()> {
    db.prepare_cached(
        "INSERT INTO quota VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
         ON CONFLICT DO UPDATE SET spent = ?5, amount = ?6, until = ?7, told = ?8",
    )?
    .execute(params![
        account,
        host,
        name,
        of,
        signed(spent),
        signed(now.amount),
        now.until.to_string(),
        now.told.map(|told| told.to_string()),
    ])
    .map(drop)
}

fn key(allotment: &Allotment) -> Key {
    (allotment.account.clone(), allotment.host.clone(), allotment.limit.clone(), allotment.of.to_owned())
}

/// SQLite's integers have a sign; the largest stands for "no limit told".
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn unsigned(number: i64) -> u64 {
    if number == i64::MAX { u64::MAX } else { u64::try_from(number).unwrap_or(0) }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The share of an allotment that a user wrote: `10%`, or `0`.
pub fn share(text: &str) -> Result<f64> {
    let number = text.trim().strip_suffix('%').unwrap_or(text.trim()).trim().parse::<f64>();
    match number {
        Ok(percent) if (0.0..100.0).contains(&percent) => Ok(percent / 100.0),
        _ => Err(Error::config(format!("reserve {text:?} is no share: write it like 10%, below 100%"))),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn open(file: &Path) -> QuotaLedger {
        let connection = Connection::open(file).unwrap();
        connection.execute_batch(&TABLE.replace("CREATE TABLE", "CREATE TABLE IF NOT EXISTS")).unwrap();
        QuotaLedger::open(Arc::new(Mutex::new(connection))).unwrap()
    }

    fn calls(amount: u64) -> Allotment {
        let text = |text: &str| text.to_owned();
        Allotment { account: text("acme"), host: text(""), limit: text(""), of: "requests", amount }
    }

    fn day(number: i8) -> Timestamp {
        jiff::civil::date(2100, 1, number).to_zoned(jiff::tz::TimeZone::UTC).unwrap().timestamp()
    }

    #[test]
    fn a_crash_never_gives_back_what_was_spent() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("state.db");
        let allotment = calls(1_000);
        let mut sent = 0;
        for life in 1..=50 {
            let ledger = open(&file);
            let before = ledger.spend(&allotment, day(2), 0).spent;
            assert!(before >= sent, "life {life}: {before} on disk, {sent} sent");
            assert!(before <= sent + life * (1_000 / PART + 1), "life {life}: {before} on disk, {sent} sent");
            for n in 1..=life % 7 {
                sent += 1;
                let now = ledger.spend(&allotment, day(2), 1).spent;
                assert_eq!(now, before + n);
                let disk: i64 = lock(&ledger.connection)
                    .query_row("SELECT spent FROM quota", [], |row| row.get(0))
                    .unwrap();
                assert!(unsigned(disk) >= now, "spent before it was on disk");
            }
            // As after kill -9: nothing more is written.
            std::mem::forget(ledger);
        }
    }

    #[test]
    fn an_orderly_end_keeps_the_count_and_a_new_day_begins_at_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("state.db");
        let ledger = open(&file);
        for _ in 0..10 {
            ledger.spend(&calls(1_000), day(2), 1);
        }
        drop(ledger);
        let ledger = open(&file);
        assert_eq!(ledger.spend(&calls(1_000), day(2), 1).spent, 11);
        assert_eq!(ledger.spend(&calls(1_000), day(3), 1).spent, 1);
        drop(ledger);
        assert_eq!(open(&file).spend(&calls(1_000), day(3), 0).spent, 1);
    }

    #[test]
    fn what_the_vendor_tells_counts_more() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("state.db");
        let ledger = open(&file);
        ledger.spend(&calls(u64::MAX), day(2), 5);
        assert_eq!(ledger.all()[0].amount, None);
        let usage = Usage { limit: "", spent: 700, amount: 1_000 };
        ledger.told(&calls(u64::MAX), day(2), usage, day(1));
        let now = ledger.spend(&calls(u64::MAX), day(2), 1);
        assert_eq!((now.spent, now.amount, now.told), (701, 1_000, Some(day(1))));
        drop(ledger);
        let shown = open(&file).all();
        assert_eq!((shown[0].spent, shown[0].amount), (701, Some(1_000)));
    }

    #[test]
    fn shares_are_written_as_percent() {
        assert_eq!(
            (share("10%").unwrap(), share(" 2.5 % ").unwrap(), share("0").unwrap()),
            (0.1, 0.025, 0.0)
        );
        for wrong in ["", "ten", "100%", "-1%", "%"] {
            assert!(share(wrong).is_err(), "{wrong}");
        }
    }
}
