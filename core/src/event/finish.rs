//! From a delivery to finished calls: item by item, a bad one by itself, with message ids that are the same each time.

use std::{
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
};

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::{
    Delivery, EventSource, Item, Output, Rejected, Surface,
    split::{Piece, split},
};
use crate::{
    error::{Error, Result},
    object::Request,
    record::Record,
    spec::Call,
};

/// The longest message id.
const MAX_ID: usize = 100;

/// What became of a delivery.
#[derive(Clone, Debug, Default)]
pub struct Mapped {
    /// The calls and changes, with the place of the item that they come from.
    pub outputs: Vec<(u32, Output)>,
    /// The items that could not be mapped; one at place 0 without a record if the delivery could not be split.
    pub rejected: Vec<Rejected>,
    /// What has to be asked first, by the place of the item that asks, in the order of its requests. These items are not
    /// mapped: their answers are missing.
    pub asks: Vec<(u32, Request)>,
    /// Items of other accounts than the source's own, and which: not mapped, for they are another source's.
    pub foreign: Vec<(u32, String)>,
}

/// Maps a delivery to `surface`. The same delivery always gives the same; nothing that it holds makes this fail or
/// panic.
pub fn map_delivery(
    connector: &str,
    source: &dyn EventSource,
    surface: &Surface,
    delivery: &Delivery,
) -> Mapped {
    map_some(connector, source, surface, delivery, |_| true)
}

/// Maps those items of a delivery that `wanted` says yes to: the ones of an account, the ones that were rejected.
pub fn map_some(
    connector: &str,
    source: &dyn EventSource,
    surface: &Surface,
    delivery: &Delivery,
    wanted: impl Fn(&Item<'_>) -> bool,
) -> Mapped {
    let mut mapped = Mapped::default();
    let mut ids = Ids::new(connector, delivery);
    let own = source.own_account();
    let rejected = each(surface, delivery, |item| {
        ids.meet(&item.record);
        if !wanted(item) {
            return Ok(());
        }
        if let Some(own) = &own
            && let Some(account) = guarded(|| Ok(source.account(item)))?.filter(|account| account != own)
        {
            mapped.foreign.push((item.index, account));
            return Ok(());
        }
        let requests = guarded(|| Ok(source.lookups(item)))?;
        if requests.len() > item.lookups.len() {
            mapped.asks.extend(requests.into_iter().map(|request| (item.index, request)));
            return Ok(());
        }
        let mut outputs = guarded(|| source.map(item))?;
        let calls = outputs.iter_mut().filter_map(|output| match output {
            Output::Call(call) => Some(call),
            Output::Change(_) => None,
        });
        ids.finish(item, calls);
        mapped.outputs.extend(outputs.into_iter().map(|output| (item.index, output)));
        Ok(())
    });
    mapped.rejected = rejected;
    mapped
}

/// Does something with each item, and gathers those with which it cannot be done.
fn each(
    surface: &Surface,
    delivery: &Delivery,
    mut with: impl FnMut(&Item<'_>) -> Result<()>,
) -> Vec<Rejected> {
    let pieces = match split(surface, delivery) {
        Ok(pieces) => pieces,
        Err(error) => return vec![Rejected { index: 0, record: None, error }],
    };
    let mut answers: HashMap<u32, Vec<&Bytes>> = HashMap::new();
    for (index, answer) in &delivery.lookups {
        answers.entry(*index).or_default().push(answer);
    }
    let mut rejected = Vec::new();
    for (Piece { record, envelope }, index) in pieces.into_iter().zip(0u32..) {
        let kept = record.as_ref().ok().cloned();
        let done = record.and_then(|record| {
            let lookups = answers.get(&index).into_iter().flatten().map(|answer| answered(answer));
            let lookups = lookups.collect::<Result<Vec<_>>>()?;
            let record = record.indexed();
            let within = envelope.as_deref();
            let envelope = within.map_or(&record, |within| &within.record);
            with(&Item { record: record.clone(), envelope, within, index, surface, delivery, lookups })
        });
        if let Err(error) = done {
            rejected.push(Rejected {
                index,
                record: kept.or_else(|| envelope.map(|envelope| envelope.record.clone())),
                error,
            });
        }
    }
    rejected
}

/// A stored answer: an empty one says that the vendor refused.
fn answered(answer: &Bytes) -> Result<Record> {
    let text: &Bytes = if answer.is_empty() { &Bytes::from_static(b"{}") } else { answer };
    Record::parse(text)
        .map_err(|error| Error::unexpected(format!("the look-up's answer: {}", error.message())))
}

/// Runs a connector's code; a slip in it costs one item, not the pipeline.
fn guarded<T>(run: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| {
        Err(Error::unexpected("the connector's mapping panicked on this item; report it with the item"))
    })
}

/// Makes message ids.
struct Ids<'a> {
    connector: &'a str,
    delivery: &'a Delivery,
    /// The headers that name the event, in the order of their names.
    headers: Vec<(&'a str, &'a [u8])>,
    /// The items that have been met, those from `counted` on not yet counted: mostly the vendor gives ids, and nobody asks.
    met: Vec<Bytes>,
    counted: usize,
    /// How often an item has been met, by its digest.
    counts: HashMap<[u8; 32], u32>,
}

impl<'a> Ids<'a> {
    fn new(connector: &'a str, delivery: &'a Delivery) -> Self {
        let mut headers: Vec<_> = delivery
            .headers
            .iter()
            .filter(|(name, _)| names_event(name.as_str()))
            .map(|(name, value)| (name.as_str(), value.as_bytes()))
            .collect();
        headers.sort();
        Self { connector, delivery, headers, met: Vec::new(), counted: 0, counts: HashMap::new() }
    }

    /// The next item of the delivery.
    fn meet(&mut self, record: &Record) {
        self.met.push(record.bytes().clone());
    }

    /// How many items of this delivery that are the same came before the last one that has been met.
    fn ordinal(&mut self) -> u32 {
        let mut last = 0;
        if self.met.len() > 1 {
            for item in &self.met[self.counted..] {
                let count = self.counts.entry(Sha256::digest(item).into()).or_default();
                last = *count;
                *count += 1;
            }
            self.counted = self.met.len();
        }
        last
    }

    /// Gives the calls of one item their message ids and their time of receipt. The first one's id is the vendor's; the
    /// further ones' has their place behind it.
    fn finish<'c>(&mut self, item: &Item<'_>, calls: impl Iterator<Item = &'c mut Call>) {
        let mut first: Option<String> = None;
        for (call, place) in calls.zip(0u32..) {
            call.received_at = Some(self.delivery.received_at);
            let own = std::mem::take(&mut call.message_id);
            let id = match (own.is_empty(), &first) {
                (false, _) => own,
                (true, Some(first)) => first.clone(),
                (true, None) => self.digest(item, call),
            };
            let suffix = if place == 0 { String::new() } else { format!(":{place}") };
            call.message_id = self.fit(&id, &suffix);
            first.get_or_insert(id);
        }
    }

    /// An id that the vendor did not give: of the item's bytes, the headers that name the event, the time.
    fn digest(&mut self, item: &Item<'_>, call: &Call) -> String {
        let ordinal = self.ordinal();
        let mut digest = Sha256::new();
        let mut add = |part: &[u8]| {
            digest.update((part.len() as u64).to_le_bytes());
            digest.update(part);
        };
        add(item.surface.path.as_bytes());
        add(item.record.bytes());
        for (name, value) in &self.headers {
            add(name.as_bytes());
            add(value);
        }
        add(call.timestamp.map(|time| time.to_string()).unwrap_or_default().as_bytes());
        if ordinal > 0 {
            add(&ordinal.to_le_bytes());
        }
        hex::encode(digest.finalize())
    }

    fn fit(&self, id: &str, suffix: &str) -> String {
        let connector = self.connector;
        let whole = format!("{connector}:{id}{suffix}");
        if whole.chars().count() <= MAX_ID {
            return whole;
        }
        let short = format!("{connector}:{}{suffix}", hex::encode(Sha256::digest(id)));
        match short.chars().count() <= MAX_ID {
            true => short,
            false => hex::encode(Sha256::digest(&whole)),
        }
    }
}

/// Whether a header of this name tells one event from another, and is the same when the vendor tries again; ids of
/// requests and traces are not.
fn names_event(name: &str) -> bool {
    const ENDS: [&str; 6] = ["event-id", "eventid", "message-id", "messageid", "webhook-id", "delivery-id"];
    ENDS.iter().any(|end| name.ends_with(end))
}
