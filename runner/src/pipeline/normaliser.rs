//! The normaliser: reads the inbox from its stored position, appends eligible calls to the calls log, and keeps the books. A crash at
//! any instant repeats a batch whose calls have been cut.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{Arc, RwLock},
    time::Duration,
};

use headwater_core::error::{Error, Result};
use tokio::sync::{Mutex, MutexGuard, watch};

use super::{
    Source, Sources,
    books::{
        Books, CALL, CHANGE, DAMAGED, DELIVERY, ELIGIBLE, Entry, ITEM, RejectedItem, SCHEMA, SeenKey,
        seen_key,
    },
    frame::{self, Address},
    normalise::{Fate, Limits, normalise},
};
use crate::inbox::{Frame, Inbox, Log, StoredDelivery};

/// Bytes of deliveries that are normalised at once.
const BATCH: usize = 4 << 20;

/// Turns deliveries into calls.
pub struct Normaliser {
    inbox: Arc<dyn Inbox>,
    calls: Arc<Log>,
    books: Books,
    sources: RwLock<Arc<Sources>>,
    limits: Limits,
    /// Who looks up what has been seen and enters what it makes of that: one at a time.
    turn: Mutex<()>,
    /// The last frame of the calls log that counts: what loaders may read up to.
    eligible: watch::Sender<u64>,
}

impl Normaliser {
    /// Cuts what a crash left in the calls log beyond the books, and is ready to go on.
    pub async fn open(inbox: Arc<dyn Inbox>, calls: Arc<Log>, books: Books, limits: Limits) -> Result<Self> {
        let end = books.position("calls").await?;
        let left = calls.truncate_after(end).await?;
        if left < end {
            // Going on would give numbers to new calls that the loader believes it has loaded.
            return Err(Error::config(format!(
                "the calls log ends at {left}, but {end} calls have been counted: restore data_dir/calls from a backup"
            )));
        }
        inbox.pin("normaliser", books.position("inbox").await?.max(1));
        let (eligible, _) = watch::channel(end);
        Ok(Self { inbox, calls, books, sources: RwLock::default(), limits, turn: Mutex::new(()), eligible })
    }

    /// Maps deliveries by these sources from now on.
    pub fn set_sources(&self, sources: Sources) {
        *self.sources.write().unwrap_or_else(|poisoned| poisoned.into_inner()) = Arc::new(sources);
    }

    /// The last frame of the calls log that counts, as it moves.
    pub fn eligible(&self) -> watch::Receiver<u64> {
        self.eligible.subscribe()
    }

    /// Works until told to stop. An error of the disk is waited out: nothing is skipped.
    pub async fn run(&self, mut stop: watch::Receiver<bool>) {
        let mut pause = Duration::from_millis(100);
        while !*stop.borrow() {
            match self.step(&mut stop).await {
                Ok(()) => pause = Duration::from_millis(100),
                Err(error) => {
                    tracing::error!(%error, "deliveries cannot be normalised; trying again");
                    tokio::select! {
                        () = tokio::time::sleep(pause) => {}
                        _ = stop.changed() => {}
                    }
                    pause = (pause * 2).min(Duration::from_secs(30));
                }
            }
        }
    }

    async fn step(&self, stop: &mut watch::Receiver<bool>) -> Result<()> {
        let next = self.books.position("inbox").await?.max(1);
        if self.inbox.committed() < next {
            tokio::select! {
                waited = self.inbox.wait_beyond(next - 1) => { waited?; }
                _ = stop.changed() => return Ok(()),
                () = tokio::time::sleep(Duration::from_secs(3600)) => { self.books.forget().await?; }
            }
            return Ok(());
        }
        let batch = self.inbox.read(next, BATCH).await?;
        let mut entry = Entry { inbox: batch.next, ..Entry::default() };
        if batch.damaged > 0 {
            entry.count("", DELIVERY, DAMAGED, batch.damaged);
        }
        if batch.expired > 0 {
            entry.count("", DELIVERY, "expired", batch.expired);
        }
        let turn = self.turn.lock().await;
        let calls = self.map(batch.frames, &mut entry).await?;
        let inbox = entry.inbox;
        self.enter(&turn, calls, entry).await?;
        self.inbox.pin("normaliser", inbox);
        self.inbox.release(inbox - 1).await?;
        Ok(())
    }

    /// Waits for the turn to look up what has been seen, and to enter what is made of that.
    pub(super) async fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().await
    }

    /// Appends frames to the calls log and enters in the books what they are: after a crash both have happened or neither.
    pub(super) async fn enter(
        &self,
        _turn: &MutexGuard<'_, ()>,
        frames: Vec<bytes::Bytes>,
        mut entry: Entry,
    ) -> Result<()> {
        // What an attempt before this one appended, and could not enter in the books, is made again.
        let end = self.books.position("calls").await?;
        if self.calls.committed() > end {
            self.calls.truncate_after(end).await?;
        }
        entry.calls = match frames.len() {
            0 => end,
            _ => self.calls.append_many(frames).await?,
        };
        let calls = entry.calls;
        self.books.commit(entry).await?;
        self.eligible.send_replace(calls);
        Ok(())
    }

    /// The source of that name, as deliveries are mapped by it now.
    pub fn source(&self, name: &str) -> Option<Arc<Source>> {
        self.sources.read().unwrap_or_else(|poisoned| poisoned.into_inner()).get(name).cloned()
    }

    /// The limits that calls are held to.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// The frames of the calls log that these deliveries make; everything else is counted.
    async fn map(&self, frames: Vec<Frame>, entry: &mut Entry) -> Result<Vec<bytes::Bytes>> {
        let sources = self.sources.read().unwrap_or_else(|poisoned| poisoned.into_inner()).clone();
        let mut made: Vec<Made> = Vec::new();
        for frame in frames {
            let Ok(stored) = StoredDelivery::decode(&frame.body) else {
                entry.count("", DELIVERY, DAMAGED, 1);
                continue;
            };
            let Some(source) = sources.get(&stored.source) else {
                entry.count(&stored.source, DELIVERY, "unrouted", 1);
                continue;
            };
            entry.count(&source.name, DELIVERY, "normalised", 1);
            let items = normalise(&stored, source, self.limits, frame.seq).items;
            entry.count(&source.name, ITEM, "made", items.len() as u64);
            for (index, fate) in items {
                let mut address = Address {
                    source: source.name.clone(),
                    schema: source.calls_schema.clone(),
                    delivery: format!("{}:{index}", frame.seq),
                    collection: None,
                    op: None,
                    version: None,
                    replay: None,
                };
                match fate {
                    Fate::Eligible(call) => {
                        let mut json = Vec::with_capacity(512);
                        call.write(&mut json);
                        let key = seen_key(&source.name, &call.message_id);
                        made.push(Made { address, json, key: Some((key, frame.seq)) });
                    }
                    Fate::Change(change) => {
                        address.schema.clone_from(&source.name);
                        address.collection = Some(change.collection.to_owned());
                        address.op = Some(change.op);
                        address.version = change.version.map(|version| version.0);
                        made.push(Made { address, json: change.record.bytes().to_vec(), key: None });
                    }
                    Fate::Filtered { rule, .. } => {
                        entry.count(&source.name, CALL, &format!("filtered by {rule}"), 1)
                    }
                    Fate::Rejected { reason, payload } => {
                        entry.count(&source.name, CALL, &format!("rejected: {}", label(&reason)), 1);
                        entry.rejected.push(RejectedItem {
                            source: source.name.clone(),
                            delivery: frame.seq,
                            item: index,
                            received_at: stored.delivery.received_at,
                            reason,
                            payload,
                        });
                    }
                }
            }
        }
        let keys: Vec<SeenKey> = made.iter().filter_map(|made| Some(made.key.as_ref()?.0)).collect();
        let mut known = self.books.seen(keys).await?.into_iter();
        let mut here = HashSet::new();
        let mut calls = Vec::with_capacity(made.len());
        let mut schemas: BTreeMap<String, u64> = BTreeMap::new();
        for Made { address, json, key } in made {
            match key {
                Some(key) => {
                    if known.next().unwrap_or(false) || !here.insert(key.0) {
                        entry.count(&address.source, CALL, "duplicate", 1);
                        continue;
                    }
                    entry.seen.push(key);
                    entry.count(&address.source, CALL, ELIGIBLE, 1);
                }
                None => entry.count(&address.source, CHANGE, ELIGIBLE, 1),
            }
            *schemas.entry(address.schema.clone()).or_default() += 1;
            calls.push(frame::encode(&address, &json)?);
        }
        for (schema, n) in schemas {
            entry.count(&schema, SCHEMA, ELIGIBLE, n);
        }
        Ok(calls)
    }
}

/// A frame that is on its way, unless it has been seen.
struct Made {
    address: Address,
    json: Vec<u8>,
    /// Of a call: what it is remembered by, and its delivery.
    key: Option<(SeenKey, u64)>,
}

/// A reason as it is counted: what stands in it of one delivery is left out, so that counts stay few.
pub(super) fn label(reason: &str) -> String {
    let cut = reason.find(['"', '`', '{']).unwrap_or(reason.len());
    let text: String = reason[..cut].chars().filter(|c| !c.is_ascii_digit()).take(80).collect();
    text.trim().trim_end_matches(':').to_owned()
}
