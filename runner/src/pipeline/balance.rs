//! The law that the books balance: every delivery, every item and, for each consumer, every call has exactly one fate, at every
//! instant.
//!
//! What each place counts for itself — the logs by their sequence numbers, the books, each schema beside its rows, each destination —
//! is put side by side. What is in flight is counted frame by frame in the calls log, so that it hides nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{AtomicU64, Ordering},
};

use headwater_core::error::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    books::{
        Books, CALL, CHANGE, CHANGES, Count, DAMAGED, DELIVERY, ELIGIBLE, GONE, ITEM, Ledger, REPLAY,
        REPLAY_ITEM, SCHEMA,
    },
    frame,
    loader::{POSITION, Position},
};
use crate::{
    inbox::{Inbox, Log},
    warehouse::Warehouse,
};

/// Bytes of the calls log that are read at once to count what is in flight.
const CHUNK: usize = 4 << 20;
/// Of more than so many frames in flight, what is in flight is not counted but is what is left: the check is weaker then, and says so.
const MOST: u64 = 5_000_000;
/// How often it is tried again when the log was cut short under the count.
const ATTEMPTS: usize = 5;

/// What is put side by side.
#[derive(Clone, Copy)]
pub struct Places<'a> {
    /// What has been received.
    pub inbox: &'a dyn Inbox,
    /// What was not proven.
    pub quarantine: &'a dyn Inbox,
    /// What has been made of deliveries.
    pub calls: &'a Log,
    /// What the normaliser has counted.
    pub books: &'a Books,
    /// Where calls are loaded.
    pub warehouse: &'a dyn Warehouse,
}

/// One equation: a total, and the parts that it has to be the sum of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Of what: `deliveries`, `items of SOURCE`, `calls log`, `schema SCHEMA`, `destination NAME`.
    pub of: String,
    /// How many there are.
    pub total: u64,
    /// What became of them, by fate.
    pub parts: BTreeMap<String, u64>,
    /// Why nothing can be said right now: the warehouse is away.
    pub unknown: Option<String>,
}

impl Line {
    fn new(of: impl Into<String>, total: u64) -> Self {
        Self { of: of.into(), total, ..Self::default() }
    }

    /// Adds to a part.
    pub fn add(&mut self, fate: &str, n: u64) {
        *self.parts.entry(fate.to_owned()).or_default() += n;
    }

    /// How many are missing; below zero, how many have two fates.
    pub fn off(&self) -> i128 {
        match self.unknown {
            Some(_) => 0,
            None => i128::from(self.total) - self.parts.values().map(|n| i128::from(*n)).sum::<i128>(),
        }
    }
}

/// All equations of one data folder.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Balance {
    /// The equations.
    pub lines: Vec<Line>,
    /// Whether what is in flight was counted frame by frame; with a long queue it is what is left.
    pub counted: bool,
}

impl Balance {
    /// What does not balance, in words; empty if all does.
    pub fn off(&self) -> Vec<String> {
        let told = self.lines.iter().filter(|line| line.off() != 0).map(|line| {
            let parts: Vec<String> = line.parts.iter().map(|(fate, n)| format!("{n} {fate}")).collect();
            format!("{}: {} in all, but {} (off by {})", line.of, line.total, parts.join(" + "), line.off())
        });
        told.collect()
    }

    /// Whether nothing is in flight.
    pub fn is_settled(&self) -> bool {
        self.lines
            .iter()
            .all(|line| line.unknown.is_none() && line.parts.get(IN_FLIGHT).is_none_or(|n| *n == 0))
    }
}

/// The fate of what is on its way.
pub const IN_FLIGHT: &str = "in flight";

/// Puts everything side by side, while it moves or when it rests. `consumers` are the equations of the destinations: each call that
/// one was offered, by what became of it there.
pub async fn balance(places: Places<'_>, consumers: Vec<Line>) -> Result<Balance> {
    for _ in 0..ATTEMPTS {
        if let Some(mut balance) = attempt(places).await? {
            balance.lines.extend(consumers);
            return Ok(balance);
        }
    }
    Err(Error::transient("the calls log moves too fast to be counted: try again in a moment"))
}

/// What is counted last has come furthest: the order of the steps makes every difference something in flight. None if frames that
/// were to be counted have been removed meanwhile.
async fn attempt(places: Places<'_>) -> Result<Option<Balance>> {
    let loaded = places.books.ledger().await?.loaded;
    let _pin = Pin::new(places.calls, loaded + 1);
    let names = schemas(&places.books.ledger().await?.counts);
    let mut positions: BTreeMap<String, Result<Position, String>> = BTreeMap::new();
    for name in names {
        let position = position(places.warehouse, &name).await.map_err(|error| error.to_string());
        positions.insert(name, position);
    }
    let ledger = places.books.ledger().await?;
    for name in schemas(&ledger.counts) {
        // New since: nothing of it had been loaded then.
        positions.entry(name).or_insert(Ok(Position::default()));
    }
    let Some(flight) = flight(places.calls, &positions, loaded, &ledger).await? else { return Ok(None) };
    let mut lines = vec![deliveries(&ledger, places.inbox.committed()), quarantined(places.quarantine)];
    lines.extend(items(&ledger.counts));
    lines.push(log(&ledger));
    lines.extend(loads(&ledger, &positions, &flight));
    Ok(Some(Balance { lines, counted: flight.counted }))
}

/// Every delivery that is in the inbox or has been.
fn deliveries(ledger: &Ledger, committed: u64) -> Line {
    let mut line = Line::new("deliveries", committed);
    for count in ledger.counts.iter().filter(|count| count.stage == DELIVERY) {
        line.add(&count.reason, count.n);
    }
    line.add(IN_FLIGHT, (committed + 1).saturating_sub(ledger.inbox.max(1)) + ledger.waiting);
    line
}

/// Every delivery that was refused for its signature and kept apart.
fn quarantined(quarantine: &dyn Inbox) -> Line {
    let stats = quarantine.stats();
    let mut line = Line::new("quarantined deliveries", stats.last);
    line.add("kept", stats.frames);
    line.add(DAMAGED, stats.damaged);
    line.add("expired", stats.first.saturating_sub(1));
    line
}

/// Every item of each source.
fn items(counts: &[Count]) -> Vec<Line> {
    let mut lines: BTreeMap<&str, Line> = BTreeMap::new();
    let mut replayed: BTreeMap<&str, Line> = BTreeMap::new();
    for count in counts {
        let again = || Line::new(format!("items of {}, replayed", count.source), 0);
        let line = || Line::new(format!("items of {}", count.source), 0);
        match count.stage.as_str() {
            REPLAY_ITEM => replayed.entry(&count.source).or_insert_with(again).total += count.n,
            REPLAY => replayed.entry(&count.source).or_insert_with(again).add(&count.reason, count.n),
            ITEM => lines.entry(&count.source).or_insert_with(line).total += count.n,
            CALL => lines.entry(&count.source).or_insert_with(line).add(&count.reason, count.n),
            CHANGE => lines.entry(&count.source).or_insert_with(line).add(CHANGES, count.n),
            _ => {}
        }
    }
    lines.into_values().chain(replayed.into_values()).collect()
}

/// Every frame of the calls log was eligible.
fn log(ledger: &Ledger) -> Line {
    let mut line = Line::new("calls log", ledger.calls);
    for count in &ledger.counts {
        match (count.stage.as_str(), count.reason.as_str()) {
            (CALL, ELIGIBLE) => line.add("calls", count.n),
            (CHANGE, ELIGIBLE) => line.add(CHANGES, count.n),
            (REPLAY, ELIGIBLE | CHANGES) | (GONE, _) => line.add("replayed", count.n),
            _ => {}
        }
    }
    line
}

/// Every frame of each schema: in its tables, among its rejects, or in flight.
fn loads(
    ledger: &Ledger,
    positions: &BTreeMap<String, Result<Position, String>>,
    flight: &Flight,
) -> Vec<Line> {
    let mut lines = Vec::new();
    for (name, position) in positions {
        let offered = ledger
            .counts
            .iter()
            .filter(|count| count.stage == SCHEMA && count.source == *name && count.reason != DAMAGED);
        let mut line = Line::new(format!("schema {name}"), offered.map(|count| count.n).sum());
        match position {
            Ok(position) => {
                line.add("delivered", position.delivered);
                line.add("rejected", position.rejected);
                line.add(CHANGES, position.changes);
                line.add("replayed", position.replayed);
                line.add(IN_FLIGHT, flight.by_schema.get(name).copied().unwrap_or(0));
                if !flight.counted {
                    let left = line.off().clamp(0, i128::from(ledger.calls - flight.after));
                    line.add(IN_FLIGHT, u64::try_from(left).unwrap_or(0));
                }
            }
            Err(error) => line.unknown = Some(error.clone()),
        }
        lines.push(line);
    }
    // A frame that cannot be read does not say which schema it was for: the schemas lack as many as there are of these.
    let lost = ledger.counts.iter().filter(|count| count.stage == SCHEMA && count.reason == DAMAGED);
    let lost = i128::from(lost.map(|count| count.n).sum::<u64>() + flight.unreadable);
    let lacking: Vec<i128> = lines.iter().map(Line::off).collect();
    if lost > 0 && lacking.iter().all(|off| *off >= 0) && lacking.iter().sum::<i128>() == lost {
        for (line, off) in lines.iter_mut().zip(lacking) {
            line.add(DAMAGED, u64::try_from(off).unwrap_or(0));
        }
    }
    lines
}

/// What is between the calls log and the schemas.
#[derive(Default)]
struct Flight {
    /// Frames that are not in their schema's tables yet.
    by_schema: BTreeMap<String, u64>,
    /// Frames that cannot be read, and are not in the books yet.
    unreadable: u64,
    /// The frame behind which it was counted.
    after: u64,
    counted: bool,
}

async fn flight(
    calls: &Log,
    positions: &BTreeMap<String, Result<Position, String>>,
    loaded: u64,
    ledger: &Ledger,
) -> Result<Option<Flight>> {
    let mut flight = Flight { after: loaded, ..Flight::default() };
    if ledger.calls.saturating_sub(loaded) > MOST {
        return Ok(Some(flight));
    }
    flight.counted = true;
    let mut next = loaded + 1;
    // A log that was taken away or cut is shorter than the books say: then it does not balance.
    let end = ledger.calls.min(calls.committed());
    while next <= end {
        let batch = calls.read(next, CHUNK).await?;
        if batch.expired > 0 || batch.next == next {
            return Ok(None);
        }
        let behind = batch.next.min(end + 1);
        // Those up to where the books say that all is loaded have been counted there.
        let mut unreadable = behind.saturating_sub(next.max(ledger.loaded + 1));
        for frame in batch.frames.iter().filter(|frame| frame.seq < behind) {
            let Ok(address) = frame::address(&frame.body) else { continue };
            unreadable -= u64::from(frame.seq > ledger.loaded);
            let at = positions.get(&address.schema).and_then(|position| position.as_ref().ok());
            if at.is_none_or(|position| frame.seq > position.seq) {
                *flight.by_schema.entry(address.schema).or_default() += 1;
            }
        }
        flight.unreadable += unreadable;
        next = batch.next;
    }
    Ok(Some(flight))
}

/// The schemas that have ever been offered anything.
fn schemas(counts: &[Count]) -> BTreeSet<String> {
    let of = counts.iter().filter(|count| count.stage == SCHEMA && count.reason != DAMAGED);
    of.map(|count| count.source.clone()).collect()
}

async fn position(warehouse: &dyn Warehouse, name: &str) -> Result<Position> {
    match warehouse.schema(name).await?.progress().await?.remove(POSITION) {
        None | Some(Value::Null) => Ok(Position::default()),
        Some(stored) => serde_json::from_value(stored)
            .map_err(|error| Error::unexpected(format!("schema {name}: its position is damaged: {error}"))),
    }
}

/// Keeps frames from being removed while they are counted.
struct Pin<'a>(&'a Log, String);

impl<'a> Pin<'a> {
    fn new(calls: &'a Log, next: u64) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let name = format!("balance {}", COUNT.fetch_add(1, Ordering::Relaxed));
        calls.pin(&name, next);
        Self(calls, name)
    }
}

impl Drop for Pin<'_> {
    fn drop(&mut self) {
        self.0.unpin(&self.1);
    }
}
