//! One object sync: a source's collections are read side by side into its schema, each with its own outcome.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use headwater_core::{
    auth::Vault,
    connector::Connector,
    error::{Error, Kind, Result},
    http::{Gates, Ledger, MemoryLedger},
    object::Account,
};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use tokio::sync::watch;

use crate::warehouse::Warehouse;

mod batches;
mod engine;
mod family;
mod open;
mod pass;
mod rereads;
mod roots;
pub mod schedule;
mod session;
pub mod touch;

pub use engine::{open, options, sync};

/// What is synced.
#[derive(Clone)]
pub struct Job {
    /// The source's name, which is its schema's.
    pub source: String,
    /// Its connector.
    pub connector: &'static Connector,
    /// Its settings.
    pub settings: Value,
    /// What `check` returned last time; empty at first.
    pub account: Account,
    /// A stand-in for all of the vendor's hosts.
    pub base_url: Option<String>,
    /// Where time-bound collections begin; none: at the vendor's own beginning.
    pub start_date: Option<Timestamp>,
    /// Only these collections; empty: all.
    pub collections: Vec<String>,
    /// Not these.
    pub exclude: Vec<String>,
    /// Of what is chosen by these, read only this now, with all that hangs on it or is filled with it; empty: everything.
    pub only: Vec<String>,
    /// Forget the progress and read everything again.
    pub full: bool,
    /// Fetch only what webhooks have touched.
    pub touched_only: bool,
    /// Let a sweep delete, however much it is.
    pub accept_deletes: bool,
    /// The share of each daily allotment that it leaves for others, 0 to 1.
    pub reserve: f64,
}

/// What a sync works with.
#[derive(Clone)]
pub struct Tools {
    /// Where the tables go.
    pub warehouse: Arc<dyn Warehouse>,
    /// Where tokens are kept.
    pub vault: Option<Arc<dyn Vault>>,
    /// Who wants to know how it goes.
    pub observer: Arc<dyn Observer>,
    /// Becomes true when the program is about to end: reads stop at their page's end.
    pub stop: watch::Receiver<bool>,
    /// How a run is bounded.
    pub bounds: Bounds,
    /// What it has in common with other sources of its account.
    pub shared: Shared,
}

/// What sources of one vendor account have in common: what is spent of its allotments, and its limits.
#[derive(Clone)]
pub struct Shared {
    /// What is spent.
    pub ledger: Arc<dyn Ledger>,
    /// The limits.
    pub gates: Arc<Gates>,
}

impl Default for Shared {
    /// Nothing is shared with anybody, and all ends with the process.
    fn default() -> Self {
        Self { ledger: Arc::new(MemoryLedger::default()), gates: Arc::default() }
    }
}

/// How a run is bounded.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Collections read at once.
    pub side_by_side: usize,
    /// A page that takes longer than this ends its collection.
    pub stall: Duration,
    /// A job at the vendor's that takes longer than this ends its collection.
    pub job_stall: Duration,
    /// The largest share of a table's living rows that a sweep deletes without being told to.
    pub sweep_most: f64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            side_by_side: 4,
            stall: Duration::from_secs(15 * 60),
            job_stall: Duration::from_secs(6 * 3600),
            sweep_most: 0.2,
        }
    }
}

/// Hears how a sync goes. Everything it is told is also in the report.
pub trait Observer: Send + Sync {
    /// The source's collections are known and begin to be read.
    fn started(&self, _source: &str, _collections: &[&str]) {}
    /// A page has been committed; the outcome so far.
    fn page(&self, _source: &str, _collection: &str, _so_far: &Outcome) {}
    /// A collection has ended.
    fn ended(&self, _source: &str, _collection: &str, _outcome: &Outcome) {}
}

/// Wants to know nothing.
pub struct Silent;

impl Observer for Silent {}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// Every collection was read.
    Success,
    /// Some were.
    Partial,
    /// None was, or the source as a whole could not be.
    Failure,
    /// An allotment is spent: it goes on by itself.
    Paused,
    /// The program was asked to stop; the next run goes on from here.
    Stopped,
}

impl Ending {
    /// Its name, as `_headwater_runs` has it.
    pub fn name(self) -> &'static str {
        match self {
            Ending::Success => "success",
            Ending::Partial => "partial",
            Ending::Failure => "failure",
            Ending::Paused => "paused",
            Ending::Stopped => "stopped",
        }
    }
}

/// What became of one collection.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Outcome {
    /// Pages read and committed.
    pub pages: u64,
    /// Records that they brought, nested and child rows included.
    pub records: u64,
    /// Rows that are new.
    pub inserted: u64,
    /// Rows that changed.
    pub updated: u64,
    /// Rows that are gone.
    pub deleted: u64,
    /// Records that could not become rows: in `_headwater_rejects`.
    pub rejected: u64,
    /// New rows inside the overlap: above zero the vendor's lists lag more than the connector allows for.
    pub overlap_new: u64,
    /// What a user should know.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<String>,
    /// Why it was not read to its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// That error's kind ([`Kind::name`]).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<&'static str>,
    /// When a spent allotment comes back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paused_until: Option<Timestamp>,
    /// Whether it was stopped at a page's end.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub stopped: bool,
}

impl Outcome {
    /// Whether it was read to its end.
    pub fn is_success(&self) -> bool {
        self.error.is_none() && !self.stopped
    }

    /// It was not read to its end.
    pub(crate) fn fail(&mut self, error: &Error) {
        self.error = Some(error.to_string());
        self.kind = Some(error.kind().name());
        self.paused_until = error.until();
    }

    fn notice(&mut self, notice: String) {
        if self.notices.len() < 20 && !self.notices.contains(&notice) {
            self.notices.push(notice);
        }
    }

    fn add(&mut self, done: crate::warehouse::Committed) {
        self.inserted += done.inserted;
        self.updated += done.updated;
        self.deleted += done.deleted;
        self.rejected += done.rejected;
        self.overlap_new += done.overlap_new;
        for notice in done.notices {
            self.notice(notice);
        }
    }
}

/// How a sync went.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The run's id.
    pub run: String,
    /// The source.
    pub source: String,
    /// When it began.
    pub began: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
    /// How.
    pub ending: Ending,
    /// The account that the credentials open.
    pub account: Account,
    /// Why the source as a whole could not be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// That error's kind ([`Kind::name`]).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<&'static str>,
    /// Each collection's (and feed's) outcome.
    pub collections: BTreeMap<String, Outcome>,
    /// When it goes on, if it is paused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paused_until: Option<Timestamp>,
}

impl Report {
    /// Of a run that begins now.
    pub(crate) fn begin(job: &Job) -> Result<Self> {
        let now = Timestamp::now();
        Ok(Self {
            run: new_id()?,
            source: job.source.clone(),
            began: now,
            ended: now,
            ending: Ending::Failure,
            account: job.account.clone(),
            error: None,
            kind: None,
            collections: BTreeMap::new(),
            paused_until: None,
        })
    }

    /// Says how it ended, by what became of its collections and what stopped it as a whole.
    pub(crate) fn conclude(&mut self, failed: Option<&Error>) {
        self.ended = Timestamp::now();
        self.error = failed.map(Error::to_string);
        self.kind = failed.map(|error| error.kind().name());
        // Where a user has to do something first, there is no time at which it goes on.
        self.paused_until = match failed {
            Some(error) => error.until(),
            None => self.collections.values().filter_map(|outcome| outcome.paused_until).max(),
        };
        let good = self.collections.values().filter(|outcome| outcome.is_success()).count();
        let bad = self.collections.values().filter(|outcome| outcome.error.is_some()).count();
        self.ending = if self.paused_until.is_some() {
            Ending::Paused
        } else if failed.is_some() || (good == 0 && bad > 0) {
            Ending::Failure
        } else if bad > 0 {
            Ending::Partial
        } else if self.collections.values().any(|outcome| outcome.stopped) {
            Ending::Stopped
        } else {
            Ending::Success
        };
    }
}

/// Whether an error stops the whole source, not only its collection.
pub(crate) fn is_fatal(error: &Error) -> bool {
    matches!(error.kind(), Kind::Auth | Kind::Config) || error.until().is_some()
}

/// An id that sorts by time: milliseconds in hex, then randomness.
pub fn new_id() -> Result<String> {
    let mut random = [0u8; 5];
    getrandom::fill(&mut random).map_err(|error| Error::transient(format!("no randomness: {error}")))?;
    Ok(format!("{:011x}{}", Timestamp::now().as_millisecond(), hex::encode(random)))
}
