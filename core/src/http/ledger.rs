//! What is spent of the allotments that vendors give an account for each day, and the limits that all clients of an account share.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use jiff::{SignedDuration, Timestamp};

use super::{Of, gate::Gate, pace::lock};
use crate::error::Result;

/// What a vendor told is believed so long; then one request may ask again, though the allotment seems spent.
const BELIEVED: SignedDuration = SignedDuration::from_hours(1);

/// An allotment: so much from one reset to the next.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Allotment {
    /// The account: connector and id.
    pub account: String,
    /// The host's name; empty for the first.
    pub host: String,
    /// The limit's name; empty for that of every request.
    pub limit: String,
    /// What is counted: `requests`, `bytes` or `jobs`.
    pub of: &'static str,
    /// How much there is, as the connector declares it.
    pub amount: u64,
}

/// How much of an allotment is spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spent {
    /// So much.
    pub spent: u64,
    /// Of so much: what the vendor told, else what the connector declares.
    pub amount: u64,
    /// When the period ends.
    pub until: Timestamp,
    /// When the vendor told it last.
    pub told: Option<Timestamp>,
}

/// What a vendor's answer tells of an allotment. It counts more than what we have counted: others spend of it too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// The name of the declared limit that it is of.
    pub limit: &'static str,
    /// So much is spent.
    pub spent: u64,
    /// Of so much.
    pub amount: u64,
}

/// Remembers how much of each allotment is spent. Kept where it outlives the process, a restart gives nothing back.
pub trait Ledger: Send + Sync {
    /// Adds `amount` to what is spent of `allotment` in the period that ends at `until`, and returns the sum. A period that ends later
    /// than the one on record starts from nothing.
    fn spend(&self, allotment: &Allotment, until: Timestamp, amount: u64) -> Spent;
    /// The vendor says, now, how much is spent of how much.
    fn told(&self, allotment: &Allotment, until: Timestamp, usage: Usage, now: Timestamp);
}

impl Spent {
    /// Nothing yet, in the period that ends then.
    pub fn nothing(allotment: &Allotment, until: Timestamp) -> Self {
        Self { spent: 0, amount: allotment.amount, until, told: None }
    }

    /// Adds to it; a later period starts from nothing.
    pub fn add(&mut self, allotment: &Allotment, until: Timestamp, amount: u64) {
        if until > self.until {
            // How much there is, the vendor need not tell again.
            let amount = if self.told.is_some() { self.amount } else { allotment.amount };
            *self = Self { amount, ..Self::nothing(allotment, until) };
        }
        self.spent = self.spent.saturating_add(amount);
    }

    /// Takes over what the vendor told.
    pub fn set(&mut self, until: Timestamp, usage: Usage, now: Timestamp) {
        *self =
            Self { spent: usage.spent, amount: usage.amount, until: until.max(self.until), told: Some(now) };
    }

    /// Whether what the vendor told is so old that it should be asked again.
    pub(super) fn is_stale(&self, now: Timestamp) -> bool {
        self.told.is_some_and(|told| now.duration_since(told) >= BELIEVED)
    }

    /// When to look again, where it is spent: a count that the vendor tells may sink before the reset.
    pub(super) fn back(&self, now: Timestamp) -> Timestamp {
        match self.told {
            Some(told) => told.max(now).saturating_add(BELIEVED).unwrap_or(self.until).min(self.until),
            None => self.until,
        }
    }
}

/// A ledger that ends with the process.
#[derive(Debug, Default)]
pub struct MemoryLedger(Mutex<HashMap<Allotment, Spent>>);

impl Ledger for MemoryLedger {
    fn spend(&self, allotment: &Allotment, until: Timestamp, amount: u64) -> Spent {
        let mut all = lock(&self.0);
        let spent = all.entry(allotment.clone()).or_insert_with(|| Spent::nothing(allotment, until));
        spent.add(allotment, until, amount);
        *spent
    }

    fn told(&self, allotment: &Allotment, until: Timestamp, usage: Usage, now: Timestamp) {
        let mut all = lock(&self.0);
        all.entry(allotment.clone())
            .or_insert_with(|| Spent::nothing(allotment, until))
            .set(until, usage, now);
    }
}

/// The gates of all accounts of a process: sources of one account pass the same ones.
#[derive(Default)]
pub struct Gates(Mutex<HashMap<String, Arc<Gate>>>);

impl Gates {
    /// The gate of that name, made when it is first asked for.
    pub(super) fn get(&self, name: String, make: impl FnOnce() -> Result<Gate>) -> Result<Arc<Gate>> {
        let mut all = lock(&self.0);
        if let Some(gate) = all.get(&name) {
            return Ok(gate.clone());
        }
        let gate = Arc::new(make()?);
        all.insert(name, gate.clone());
        Ok(gate)
    }
}

impl Of {
    /// Its name, as a ledger keeps it.
    pub fn name(self) -> &'static str {
        match self {
            Of::Requests => "requests",
            Of::Bytes => "bytes",
            Of::Jobs => "jobs",
            Of::Concurrent => "concurrent",
        }
    }
}
