//! What one destination makes of one frame of the calls log: a letter to send, or at once its outcome.

use std::{
    collections::{BTreeSet, hash_map::DefaultHasher},
    hash::{Hash, Hasher},
};

use headwater_core::spec::Call;

use super::{
    super::{Destination, Fault, Letter},
    outcome::Outcome,
};
use crate::{
    config::DestinationSettings,
    inbox::Frame,
    pipeline::{
        Filter,
        frame::{Address, decode},
    },
};

/// What a destination is offered, and what it does not want.
#[derive(Clone, Debug)]
pub struct Offer {
    sources: BTreeSet<String>,
    filter: Filter,
}

/// What becomes of a frame.
#[derive(Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is to be sent.
    Send(Letter),
    /// It never can be.
    Dead(Letter, Fault),
    /// It has its outcome: whose it was, what became of it, by which rule.
    Done(String, Outcome, String),
}

impl Offer {
    /// As it is configured.
    pub fn new(settings: &DestinationSettings) -> Self {
        Self {
            sources: settings.sources.iter().cloned().collect(),
            filter: Filter::new(&settings.block, &settings.hash, &settings.drop),
        }
    }

    /// What becomes of a frame.
    pub fn judge(&self, frame: &Frame, destination: &dyn Destination) -> Fate {
        let Ok((address, record)) = decode(&frame.body) else {
            return Fate::Done(String::new(), Outcome::Damaged, String::new());
        };
        if address.collection.is_some() {
            return Fate::Done(address.source, Outcome::Change, String::new());
        }
        if let Some(rule) = self.keeps_back(&address) {
            return Fate::Done(address.source, Outcome::Filtered, rule.to_owned());
        }
        let Ok(mut call) = Call::parse(&record, None) else {
            return Fate::Done(address.source, Outcome::Damaged, String::new());
        };
        if let Some(rule) = self.filter.apply(&mut call) {
            return Fate::Done(address.source, Outcome::Filtered, rule.to_owned());
        }
        if !destination.is_meant(&call) {
            return Fate::Done(address.source, Outcome::Filtered, "integrations".to_owned());
        }
        let written = destination.write(&call);
        let mut letter = Letter {
            id: 0,
            seq: frame.seq,
            source: address.source,
            delivery: address.delivery,
            person: person(&call),
            attempts: 0,
            first: None,
            received_at: call.received_at.or(call.timestamp).unwrap_or_default(),
            call: bytes::Bytes::new(),
            message_id: call.message_id,
        };
        match written {
            Ok(written) => {
                letter.call = written;
                Fate::Send(letter)
            }
            Err(reason) => {
                letter.call = record.bytes().clone();
                Fate::Dead(letter, Fault { reason, status: None })
            }
        }
    }

    /// The rule that keeps a call back, whatever is in it. A replay's calls belong here: they are sent only where that was asked for.
    fn keeps_back(&self, address: &Address) -> Option<&'static str> {
        if address.replay.is_some_and(|replay| replay.gone || !replay.destinations) {
            return Some("replay");
        }
        (!self.sources.is_empty() && !self.sources.contains(&address.source)).then_some("sources")
    }
}

/// Whose call it is, as a number; 0 if nobody's.
fn person(call: &Call) -> u64 {
    let Some(id) = call.user_id.as_ref().or(call.anonymous_id.as_ref()) else { return 0 };
    let mut hasher = DefaultHasher::new();
    id.hash(&mut hasher);
    hasher.finish().max(1)
}
