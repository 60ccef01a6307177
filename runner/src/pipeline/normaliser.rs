//! The normaliser: reads the inbox from its stored position, appends eligible calls to the calls log, and keeps the books. A crash at
//! any instant repeats a batch whose calls have been cut.

use std::{
    collections::HashSet,
    fmt::Write as _,
    sync::{
        Arc, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use headwater_core::error::{Error, Result};
use tokio::sync::{Mutex, MutexGuard, watch};

use super::{
    Source, Sources,
    books::{
        Answer, Books, CALL, CHANGE, DAMAGED, DELIVERY, ELIGIBLE, Entry, ITEM, RejectedItem, SCHEMA, SeenKey,
        UNROUTED, Waiting, seen_key,
    },
    frame::{self, Address},
    normalise::{Fate, Limits, Normalised, normalise, unanswered},
};
use crate::{
    inbox::{Batch, DeliveryKind, Inbox, Log, StoredDelivery},
    thread::OwnThread,
};

/// Bytes of deliveries that are normalised at once.
const BATCH: usize = 2 << 20;
/// Once calls have come to so many bytes, deliveries wait for the next time.
const MOST: usize = 32 << 20;
/// Whose deliveries wait for look-ups, as the inbox knows it.
const WAITING: &str = "look-ups";
/// Bytes of calls that are appended as one: the log takes no more than [`Options::waiting`](crate::inbox::Options).
const GROUP: usize = 16 << 20;

/// Turns deliveries into calls.
pub struct Normaliser {
    inbox: Arc<dyn Inbox>,
    calls: Arc<Log>,
    books: Books,
    sources: RwLock<Arc<Sources>>,
    limits: Limits,
    /// Where deliveries are mapped.
    mapping: OwnThread,
    /// Who looks up what has been seen and enters what it makes of that: one at a time.
    turn: Mutex<()>,
    /// The last frame of the calls log that counts: what loaders may read up to.
    eligible: watch::Sender<u64>,
    /// Moves when there are more deliveries that wait for look-ups.
    waiting: watch::Sender<u64>,
    /// The first delivery that is kept, when answers were last forgotten.
    kept_from: AtomicU64,
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
        let (waiting, _) = watch::channel(0);
        let normaliser = Self {
            inbox,
            calls,
            books,
            sources: RwLock::default(),
            limits,
            mapping: OwnThread::start("mapping")?,
            turn: Mutex::new(()),
            eligible,
            waiting,
            kept_from: AtomicU64::new(0),
        };
        normaliser.pin_waiting().await?;
        Ok(normaliser)
    }

    /// Deliveries that wait for look-ups stay in the inbox.
    async fn pin_waiting(&self) -> Result<()> {
        match self.books.first_waiting().await? {
            Some(first) => self.inbox.pin(WAITING, first),
            None => self.inbox.unpin(WAITING),
        }
        Ok(())
    }

    /// Maps deliveries by these sources from now on.
    pub fn set_sources(&self, sources: Sources) {
        *self.sources.write().unwrap_or_else(|poisoned| poisoned.into_inner()) = Arc::new(sources);
    }

    /// The last frame of the calls log that counts, as it moves.
    pub fn eligible(&self) -> watch::Receiver<u64> {
        self.eligible.subscribe()
    }

    /// Moves when there are more deliveries that wait for look-ups.
    pub fn waiting(&self) -> watch::Receiver<u64> {
        self.waiting.subscribe()
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
                _ = stop.changed() => {}
            }
            return Ok(());
        }
        let batch = self.inbox.read(next, BATCH).await?;
        let sources = self.sources();
        let limits = self.limits;
        // Mapping is work for a processor: receiving must not wait for it.
        let mapped = self.mapping.run(move || map(batch, &sources, limits)).await??;
        let turn = self.turn.lock().await;
        let (entry, calls) = self.unseen(mapped).await?;
        let inbox = entry.inbox;
        self.enter(&turn, calls, entry).await?;
        self.inbox.pin("normaliser", inbox);
        let kept_from = self.inbox.release(inbox - 1).await?;
        if self.kept_from.swap(kept_from, Ordering::Relaxed) < kept_from {
            self.books.forget_answers(kept_from).await?;
        }
        Ok(())
    }

    /// Makes calls of a delivery that has waited, now that its look-ups are answered. Items are rejected whose answers will never
    /// come, with the reason.
    pub(super) async fn settle(
        &self,
        waiting: &Waiting,
        stored: Option<StoredDelivery>,
        refused: &[(u32, String)],
    ) -> Result<()> {
        let sources = self.sources();
        let mut mapping = Mapping::default();
        match stored {
            None => mapping.entry.count("", DELIVERY, DAMAGED, u64::from(!waiting.again)),
            Some(stored) => match sources.get(&stored.source) {
                None => mapping.entry.count(&stored.source, DELIVERY, "unrouted", u64::from(!waiting.again)),
                Some(source) => {
                    let mut made = normalise(&stored, source, &sources, self.limits, waiting.delivery);
                    made.asks.retain(|ask| !refused.iter().any(|(item, _)| *item == ask.item));
                    if !made.asks.is_empty() {
                        return Err(Error::transient("a delivery has more to ask than it had before"));
                    }
                    made.items.extend(unanswered(&stored, source, refused));
                    if !waiting.again {
                        mapping.entry.count(&source.name, DELIVERY, "normalised", 1);
                    }
                    mapping.add(waiting.delivery, &stored, source, made)?;
                }
            },
        }
        mapping.entry.settled.push(waiting.delivery);
        let turn = self.turn.lock().await;
        let (mut entry, calls) = self.unseen(mapping.done()).await?;
        entry.inbox = self.books.position("inbox").await?;
        self.enter(&turn, calls, entry).await
    }

    /// Waits for the turn to look up what has been seen, and to enter what is made of that.
    pub(super) async fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().await
    }

    /// Appends frames to the calls log and enters in the books what they are: after a crash both have happened or neither.
    pub(super) async fn enter(
        &self,
        _turn: &MutexGuard<'_, ()>,
        frames: Vec<Bytes>,
        mut entry: Entry,
    ) -> Result<()> {
        // What an attempt before this one appended, and could not enter in the books, is made again.
        entry.calls = self.books.position("calls").await?;
        if self.calls.committed() > entry.calls {
            self.calls.truncate_after(entry.calls).await?;
        }
        let (mut group, mut size) = (Vec::with_capacity(frames.len()), 0);
        for frame in frames {
            if size + frame.len() > GROUP && size > 0 {
                entry.calls = self.calls.append_many(std::mem::take(&mut group)).await?;
                size = 0;
            }
            size += frame.len();
            group.push(frame);
        }
        if !group.is_empty() {
            entry.calls = self.calls.append_many(group).await?;
        }
        let calls = entry.calls;
        let (more, fewer) = (!entry.waiting.is_empty(), !entry.settled.is_empty());
        self.books.commit(entry).await?;
        self.eligible.send_replace(calls);
        if more || fewer {
            self.pin_waiting().await?;
        }
        if more {
            self.waiting.send_modify(|times| *times += 1);
        }
        Ok(())
    }

    /// The sources that deliveries are mapped by now.
    pub fn sources(&self) -> Arc<Sources> {
        self.sources.read().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }

    /// The source of that name, as deliveries are mapped by it now.
    pub fn source(&self, name: &str) -> Option<Arc<Source>> {
        self.sources().get(name).cloned()
    }

    /// The limits that calls are held to.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// The frames that go into the calls log; duplicates are counted and left out.
    async fn unseen(&self, mapped: Mapped) -> Result<(Entry, Vec<Bytes>)> {
        let Mapped { mut entry, made, bytes } = mapped;
        let keys = made.iter().filter_map(|made| made.key).collect();
        let mut known = self.books.seen(keys).await?.into_iter();
        let mut here = HashSet::with_capacity(made.len());
        let mut frames = Vec::with_capacity(made.len());
        let mut start = 0;
        for Made { source, delivery, key, end } in made {
            let frame = bytes.slice(start..end);
            start = end;
            match key {
                Some(key) => {
                    if known.next().flatten().is_some() || !here.insert(key) {
                        entry.count(&source.name, CALL, "duplicate", 1);
                        continue;
                    }
                    entry.seen.push((key, delivery));
                    entry.count(&source.name, CALL, ELIGIBLE, 1);
                    entry.count(&source.calls_schema, SCHEMA, ELIGIBLE, 1);
                }
                None => {
                    entry.count(&source.name, CHANGE, ELIGIBLE, 1);
                    entry.count(&source.name, SCHEMA, ELIGIBLE, 1);
                }
            }
            frames.push(frame);
        }
        Ok((entry, frames))
    }
}

/// What deliveries became.
struct Mapped {
    entry: Entry,
    made: Vec<Made>,
    /// The frames, one behind the other.
    bytes: Bytes,
}

/// One frame of the calls log, and what is known of it.
struct Made {
    source: Arc<Source>,
    delivery: u64,
    /// Of a call: what tells it from its duplicates.
    key: Option<SeenKey>,
    /// Where its bytes end.
    end: usize,
}

/// The frames of the calls log that these deliveries make; everything else is counted.
fn map(batch: Batch, sources: &Sources, limits: Limits) -> Result<Mapped> {
    let mut mapping = Mapping::default();
    mapping.entry.inbox = batch.next;
    if batch.damaged > 0 {
        mapping.entry.count("", DELIVERY, DAMAGED, batch.damaged);
    }
    if batch.expired > 0 {
        mapping.entry.count("", DELIVERY, "expired", batch.expired);
    }
    let bytes = batch.frames.iter().map(|frame| frame.body.len()).sum::<usize>();
    mapping.out.reserve(bytes * 5 / 4);
    for frame in batch.frames {
        if mapping.out.len() > MOST {
            // Calls can be many times as large as their delivery: the rest is for the next time.
            mapping.entry.inbox = frame.seq;
            break;
        }
        let Ok(stored) = StoredDelivery::decode(&frame.body) else {
            mapping.entry.count("", DELIVERY, DAMAGED, 1);
            continue;
        };
        if stored.kind == DeliveryKind::Cursor {
            mapping.entry.count(&stored.source, DELIVERY, "cursor", 1);
            let cursor = String::from_utf8_lossy(&stored.delivery.body).into_owned();
            mapping.entry.cursors.insert(stored.source, cursor);
            continue;
        }
        let Some(source) = sources.get(&stored.source) else {
            mapping.entry.count(&stored.source, DELIVERY, "unrouted", 1);
            continue;
        };
        let made = normalise(&stored, source, sources, limits, frame.seq);
        if !made.asks.is_empty() {
            mapping.entry.waiting.push(Waiting {
                delivery: frame.seq,
                source: source.name.clone(),
                since: stored.delivery.received_at,
                again: false,
            });
            continue;
        }
        mapping.entry.count(&source.name, DELIVERY, "normalised", 1);
        mapping.add(frame.seq, &stored, source, made)?;
    }
    Ok(mapping.done())
}

/// Deliveries becoming frames.
#[derive(Default)]
struct Mapping {
    entry: Entry,
    made: Vec<Made>,
    out: Vec<u8>,
}

impl Mapping {
    fn add(
        &mut self,
        seq: u64,
        stored: &StoredDelivery,
        source: &Arc<Source>,
        made: Normalised,
    ) -> Result<()> {
        self.items(seq, stored, source, made.items)?;
        for (other, items) in made.others {
            self.items(seq, stored, &other, items)?;
        }
        Ok(())
    }

    fn items(
        &mut self,
        seq: u64,
        stored: &StoredDelivery,
        source: &Arc<Source>,
        items: Vec<(u32, Fate)>,
    ) -> Result<()> {
        let Self { entry, made, out } = self;
        let mut address = Address {
            source: source.name.clone(),
            schema: source.calls_schema.clone(),
            delivery: String::new(),
            collection: None,
            op: None,
            version: None,
            replay: None,
        };
        entry.count(&source.name, ITEM, "made", items.len() as u64);
        for (index, fate) in items {
            address.delivery.clear();
            let _ = write!(address.delivery, "{seq}:{index}");
            let key = match fate {
                Fate::Eligible(call) => {
                    frame::write(&address, out, |out| call.write(out))?;
                    Some(seen_key(&source.name, &call.message_id))
                }
                Fate::Change(change) => {
                    let address = Address {
                        schema: source.name.clone(),
                        collection: Some(change.collection.to_owned()),
                        op: Some(change.op),
                        version: change.version.map(|version| version.0),
                        ..address.clone()
                    };
                    frame::write(&address, out, |out| out.extend_from_slice(change.record.bytes()))?;
                    None
                }
                Fate::Filtered { rule, .. } => {
                    entry.count(&source.name, CALL, &format!("filtered by {rule}"), 1);
                    continue;
                }
                Fate::Unrouted { .. } => {
                    entry.count(&source.name, CALL, UNROUTED, 1);
                    continue;
                }
                Fate::Rejected { reason, payload } => {
                    entry.count(&source.name, CALL, &format!("rejected: {}", label(&reason)), 1);
                    entry.rejected.push(RejectedItem {
                        source: source.name.clone(),
                        delivery: seq,
                        item: index,
                        received_at: stored.delivery.received_at,
                        reason,
                        payload,
                    });
                    continue;
                }
            };
            made.push(Made { source: source.clone(), delivery: seq, key, end: out.len() });
        }
        Ok(())
    }

    fn done(self) -> Mapped {
        Mapped { entry: self.entry, made: self.made, bytes: self.out.into() }
    }
}

/// Puts the answers to a delivery's look-ups beside it.
pub(crate) fn answer(stored: &mut StoredDelivery, seq: u64, answers: &[Answer]) {
    let own = answers.iter().filter(|answer| answer.delivery == seq);
    stored.delivery.lookups.extend(own.map(|answer| (answer.item, answer.answer.clone())));
}

/// A reason as it is counted: what stands in it of one delivery is left out, so that counts stay few.
pub(super) fn label(reason: &str) -> String {
    let cut = reason.find(['"', '`', '{']).unwrap_or(reason.len());
    let text: String = reason[..cut].chars().filter(|c| !c.is_ascii_digit()).take(80).collect();
    text.trim().trim_end_matches(':').to_owned()
}
