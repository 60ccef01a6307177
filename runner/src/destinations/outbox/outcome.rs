//! What became of calls: how it is named, counted, and handed to the store step by step.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use super::{
    super::{Fault, Letter},
    breaker::Light,
};

/// What became of a call, or of a frame that is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// The destination has it.
    Delivered,
    /// A rule of the configuration, or the sender, kept it back.
    Filtered,
    /// It is a dead letter, to be sent again by hand.
    Dead,
    /// It waited longer than it may.
    Expired,
    /// Its frame could not be read.
    Damaged,
    /// It is a change to an object, and no call: destinations have no use for it.
    Change,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Delivered, Self::Filtered, Self::Dead, Self::Expired, Self::Damaged, Self::Change];

    /// Its name, as it is stored and shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Filtered => "filtered",
            Self::Dead => "dead",
            Self::Expired => "expired",
            Self::Damaged => "damaged",
            Self::Change => "changes to objects",
        }
    }
}

/// One line of the counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Count {
    /// The destination.
    pub destination: String,
    /// The source; "" where it is not known.
    pub source: String,
    /// What became of them: one of [`Outcome`]'s names.
    pub outcome: String,
    /// Of filtered calls the rule.
    pub rule: String,
    /// How many.
    pub n: u64,
}

/// So many letters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pile {
    /// How many.
    pub count: u64,
    /// Their calls' bytes.
    pub bytes: u64,
}

impl Pile {
    /// One more.
    pub fn add(&mut self, letter: &Letter) {
        self.count += 1;
        self.bytes += letter.call.len() as u64;
    }

    /// One less.
    pub fn take(&mut self, letter: &Letter) {
        self.count = self.count.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(letter.call.len() as u64);
    }

    /// Whether there are more of them than that, by either measure.
    pub fn is_beyond(&self, most: Self) -> bool {
        self.count > most.count || self.bytes > most.bytes
    }
}

/// A call that failed, as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failed {
    /// What `resend` knows it by.
    pub id: i64,
    /// The source.
    pub source: String,
    /// The call's own id.
    pub message_id: String,
    /// The delivery that it came in, and its place there.
    pub delivery: String,
    /// How often it has been sent.
    pub attempts: u32,
    /// When it was sent first.
    pub first: Option<String>,
    /// When it was sent last.
    pub last: String,
    /// When it is sent again; none for a dead letter.
    pub due: Option<Timestamp>,
    /// The last status.
    pub status: Option<u16>,
    /// Why it failed.
    pub reason: String,
    /// The call.
    pub call: String,
}

/// A destination's counts, by outcome.
pub fn outcomes(counts: &[Count], name: &str) -> BTreeMap<&'static str, u64> {
    let sum = |outcome: Outcome| {
        let its = counts.iter().filter(|count| count.destination == name && count.outcome == outcome.name());
        (outcome.name(), its.map(|count| count.n).sum())
    };
    Outcome::ALL.into_iter().map(sum).collect()
}

/// What one step changes.
#[derive(Debug, Default)]
pub struct Step {
    /// How many more, by source, outcome and rule.
    pub counts: BTreeMap<(String, Outcome, String), u64>,
    /// Calls that failed, and when they are due; none: never. Those that were kept before are updated.
    pub failed: Vec<(Letter, Option<Timestamp>, Fault)>,
    /// Letters that have been delivered.
    pub gone: Vec<i64>,
    /// The circuit, if it has changed.
    pub circuit: Option<Light>,
    /// There are more dead letters than are kept.
    pub forget: bool,
}

impl Step {
    /// Counts so many more.
    pub fn count(&mut self, source: &str, outcome: Outcome, rule: &str, n: u64) {
        if n > 0 {
            *self.counts.entry((source.to_owned(), outcome, rule.to_owned())).or_default() += n;
        }
    }

    /// Whether there is anything in it beyond what has merely been read over.
    pub fn is_due(&self) -> bool {
        let delivered = |(_, outcome, _): &(String, Outcome, String)| *outcome == Outcome::Delivered;
        !self.failed.is_empty()
            || !self.gone.is_empty()
            || self.circuit.is_some()
            || self.counts.keys().any(delivered)
    }
}
