//! The loader: reads the calls log from the position that each schema keeps beside its rows, and loads calls and changes into tables.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

use headwater_core::{
    error::{Error, Result},
    object::{Change, Op, Version},
    record::Record,
    spec::Call,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::{
    sync::{mpsc, watch},
    task::{JoinError, JoinHandle},
};

use super::{books::Books, frame};
use crate::{
    inbox::{Frame, Log},
    sync::touch,
    thread::OwnThread,
    warehouse::{
        Load, Reject, Removal, Schema, Warehouse,
        calls::CallBatches,
        table::{Batch, Meta, TableSpec},
    },
};

/// Bytes of calls that are loaded at once.
const BATCH: usize = 2 << 20;
/// How long a schema that cannot be loaded is left aside, at first and at most.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// The key of a schema's position in its `_headwater_progress`.
pub const POSITION: &str = "calls";

/// How far a schema has been loaded, stored in the same transaction as its rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Position {
    /// The last frame of the calls log that is in its tables.
    pub seq: u64,
    /// Calls that became rows.
    pub delivered: u64,
    /// Calls and changes that could not become rows: in `_headwater_rejects`.
    pub rejected: u64,
    /// Changes to objects that were applied, or left to the next run.
    pub changes: u64,
    /// Frames of replays, whatever became of them.
    pub replayed: u64,
}

/// The connector of each source, by the sources' names.
type Connectors = HashMap<String, &'static str>;

/// Loads calls into the warehouse.
pub struct Loader {
    calls: Arc<Log>,
    books: Books,
    warehouse: Arc<dyn Warehouse>,
    /// Which connector each source has: its collections are the tables that changes go to.
    connectors: Arc<Connectors>,
    /// Hears of sources that have rows to be fetched again.
    touched: mpsc::UnboundedSender<String>,
    schemas: HashMap<String, (Arc<dyn Schema>, Position)>,
    /// The last frame that has been read, where that is beyond what every schema has.
    ahead: u64,
    /// Frames between what every schema has and `ahead` that cannot be read.
    damaged: u64,
    /// Where rows are made.
    making: OwnThread,
    /// The frames that follow, made into rows while those before them are committed.
    following: Option<JoinHandle<Result<Prepared>>>,
    /// Schemas that cannot be loaded right now, and when to try again: they hold back no other.
    stuck: BTreeSet<String>,
    retry: Instant,
    pause: Duration,
}

impl Loader {
    /// A loader for these sources (name and connector).
    pub fn new(
        calls: Arc<Log>,
        books: Books,
        warehouse: Arc<dyn Warehouse>,
        connectors: Connectors,
        touched: mpsc::UnboundedSender<String>,
    ) -> Result<Self> {
        Ok(Self {
            calls,
            books,
            warehouse,
            connectors: Arc::new(connectors),
            touched,
            schemas: HashMap::new(),
            ahead: 0,
            damaged: 0,
            making: OwnThread::start("rows")?,
            following: None,
            stuck: BTreeSet::new(),
            retry: Instant::now(),
            pause: FIRST_PAUSE,
        })
    }

    /// Works until told to stop, and then until everything eligible is loaded. A warehouse that is away is waited for.
    pub async fn run(mut self, mut eligible: watch::Receiver<u64>, mut stop: watch::Receiver<bool>) {
        let mut pause = Duration::from_millis(200);
        loop {
            match self.step(&mut eligible, &mut stop).await {
                Ok(true) => pause = Duration::from_millis(200),
                Ok(false) => return,
                Err(error) => {
                    tracing::error!(%error, "calls cannot be loaded; trying again");
                    // Positions are read again: a commit may have gone through although its answer did not.
                    self.schemas.clear();
                    self.ahead = 0;
                    self.damaged = 0;
                    if *stop.borrow() {
                        return;
                    }
                    tokio::select! {
                        () = tokio::time::sleep(pause) => {}
                        _ = stop.changed() => if *stop.borrow() { return },
                    }
                    pause = (pause * 2).min(Duration::from_secs(30));
                }
            }
        }
    }

    /// Loads what is there. False once it is time to stop and nothing is left.
    async fn step(
        &mut self,
        eligible: &mut watch::Receiver<u64>,
        stop: &mut watch::Receiver<bool>,
    ) -> Result<bool> {
        let loaded = self.books.position("loaded").await?;
        self.calls.pin("warehouse", loaded + 1);
        if !self.stuck.is_empty() && self.retry <= Instant::now() {
            // From what everybody has; those that are further skip what they have.
            self.stuck.clear();
            self.schemas.clear();
            self.ahead = loaded;
            self.damaged = 0;
        }
        let next = self.ahead.max(loaded) + 1;
        let end = *eligible.borrow_and_update();
        if end < next {
            if *stop.borrow() {
                return Ok(false);
            }
            tokio::select! {
                _ = eligible.changed() => {}
                _ = stop.changed() => {}
                () = tokio::time::sleep_until(self.retry.into()), if !self.stuck.is_empty() => {}
            }
            return Ok(true);
        }
        let prepared = match self.following.take() {
            Some(following) => following.await.map_err(ended)?,
            None => self.prepare(next, end).await.map_err(ended)?,
        };
        // What follows was asked for before it was known where to go on: after a schema was left aside that is further back.
        let prepared = match prepared {
            Ok(prepared) if prepared.from == next => prepared,
            _ => self.prepare(next, end).await.map_err(ended)??,
        };
        let last = prepared.last;
        let damaged = prepared.damaged;
        if damaged > 0 {
            tracing::error!(
                frames = damaged,
                "calls were lost from the calls log before they were loaded: headwater replay makes them again"
            );
        }
        if last < end {
            self.following = Some(self.prepare(last + 1, end));
        }
        self.load(prepared).await;
        self.ahead = last;
        self.damaged += damaged;
        if self.stuck.is_empty() {
            self.pause = FIRST_PAUSE;
            self.books.set_loaded(last, self.damaged).await?;
            self.damaged = 0;
            self.calls.release(last).await?;
        }
        Ok(true)
    }

    /// Reads frames and makes rows of them, beside whatever else is done.
    fn prepare(&self, from: u64, end: u64) -> JoinHandle<Result<Prepared>> {
        let calls = self.calls.clone();
        let connectors = self.connectors.clone();
        let making = self.making.clone();
        let known = self.schemas.iter().map(|(name, (_, position))| (name.clone(), position.seq)).collect();
        tokio::spawn(async move {
            let (frames, last) = read(&calls, from, end).await?;
            // As many as there should have been: also those beyond the end count, and a hole may reach over it.
            let missing = (last + 1 - from).saturating_sub(frames.len() as u64);
            let make = move || {
                let (loads, unreadable) = rows(&frames, &known, &connectors)?;
                Ok(Prepared { from, last, frames, loads, damaged: missing + unreadable })
            };
            making.run(make).await?
        })
    }

    /// Commits what has been prepared, schema by schema.
    async fn load(&mut self, prepared: Prepared) {
        let Prepared { last, frames, loads, .. } = prepared;
        for (schema, mut pending) in loads {
            if self.stuck.contains(&schema) {
                continue;
            }
            let done: Result<()> = async {
                let position = self.open(&schema).await?.1.seq;
                if position >= pending.first {
                    // It was not known yet how far this schema is: what it has is left out.
                    let known = HashMap::from([(schema.clone(), position)]);
                    match rows(&frames, &known, &self.connectors)?.0.remove(&schema) {
                        Some(left) => pending = left,
                        None => return Ok(()),
                    }
                }
                self.commit(&schema, pending, last).await
            }
            .await;
            if let Err(error) = done {
                self.wait_for(&schema, &error);
            }
        }
    }

    /// Leaves a schema aside until later: its calls stay in the log.
    fn wait_for(&mut self, schema: &str, error: &Error) {
        tracing::error!(schema, %error, "calls cannot be loaded; trying again in {} s", self.pause.as_secs());
        if self.stuck.is_empty() {
            self.retry = Instant::now() + self.pause;
            self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        }
        self.stuck.insert(schema.to_owned());
    }

    async fn commit(&mut self, name: &str, pending: Pending, last: u64) -> Result<()> {
        let (schema, position) = self.open(name).await?.clone();
        let counted = pending.counted;
        let mut batches = pending.calls.into_batches();
        batches.extend(pending.objects.into_values());
        let next = Position {
            seq: last,
            delivered: position.delivered + counted.delivered,
            rejected: position.rejected + counted.rejected,
            changes: position.changes + counted.changes,
            replayed: position.replayed + counted.replayed,
        };
        let mut progress = vec![(POSITION.to_owned(), json!(next))];
        for (key, version) in pending.touches {
            progress.push((key, json!({ "version": version })));
        }
        let load = Load {
            id: format!("calls:{}-{last}", position.seq + 1),
            request: format!("calls log, frames {} to {last}", position.seq + 1),
            began: Some(Timestamp::now()),
            batches,
            rejects: pending.rejects,
            removes: pending.removes,
            progress,
            ..Load::default()
        };
        let done = schema.commit(load).await.map_err(|error| error.within("schema", name))?;
        if done.rejected > 0 {
            tracing::warn!(
                schema = name,
                rows = done.rejected,
                "the warehouse refused rows: see _headwater_rejects"
            );
        }
        self.schemas.insert(name.to_owned(), (schema, next));
        for source in pending.touched {
            // Nobody listens once the program is about to end; the next run finds the touches by itself.
            let _ = self.touched.send(source);
        }
        Ok(())
    }

    async fn open(&mut self, name: &str) -> Result<&(Arc<dyn Schema>, Position)> {
        if !self.schemas.contains_key(name) {
            let schema = self.warehouse.schema(name).await?;
            let stored = schema.progress().await?.remove(POSITION).unwrap_or(Value::Null);
            let position = match stored {
                Value::Null => Position::default(),
                stored => serde_json::from_value(stored).map_err(|error| {
                    Error::unexpected(format!("schema {name}: its position is damaged: {error}"))
                })?,
            };
            self.schemas.insert(name.to_owned(), (schema, position));
        }
        self.schemas.get(name).ok_or_else(|| Error::unexpected("a schema was opened and is gone"))
    }
}

/// What one schema gets from one batch of frames.
#[derive(Default)]
struct Pending {
    /// Its first frame.
    first: u64,
    calls: CallBatches,
    objects: BTreeMap<&'static str, Batch>,
    touches: BTreeMap<String, Option<i64>>,
    touched: BTreeSet<String>,
    rejects: Vec<Reject>,
    removes: Vec<Removal>,
    /// What is added to the schema's position.
    counted: Position,
}

impl Pending {
    /// Adds a call's rows, or says why it has none.
    fn call(&mut self, address: &frame::Address, record: &Record) -> Option<Reject> {
        match Call::parse(record, None) {
            Ok(call) => self.calls.push(&call, &address.delivery).err(),
            Err(error) => Some(reject("tracks", error.to_string(), record)),
        }
    }

    /// Removes a call's rows.
    fn remove(&mut self, address: &frame::Address, record: &Record) -> Option<Reject> {
        let gone: frame::Gone = match serde_json::from_slice(record.bytes()) {
            Ok(gone) => gone,
            Err(error) => return Some(reject("tracks", error.to_string(), record)),
        };
        let delivery: Arc<str> = address.delivery.as_str().into();
        self.removes.extend(gone.tables.into_iter().map(|table| Removal {
            table,
            id: gone.id.clone(),
            delivery: delivery.clone(),
        }));
        None
    }

    /// Counts a frame by its one fate.
    fn count(&mut self, address: &frame::Address, rejected: Option<Reject>) {
        let counted = &mut self.counted;
        match (&rejected, &address.collection) {
            _ if address.replay.is_some() => counted.replayed += 1,
            (Some(_), _) => counted.rejected += 1,
            (None, None) => counted.delivered += 1,
            (None, Some(_)) => counted.changes += 1,
        }
        self.rejects.extend(rejected);
    }
}

/// Frames that have been made into rows.
struct Prepared {
    from: u64,
    last: u64,
    frames: Vec<Frame>,
    loads: BTreeMap<String, Pending>,
    /// Frames that are missing or cannot be read.
    damaged: u64,
}

fn ended(error: JoinError) -> Error {
    Error::unexpected(format!("rows were being made: {error}"))
}

/// Frames from `next` to `end`, and the last place that they cover. What a replay makes of a delivery is never parted: its rows would
/// be gone for a while, or for good.
async fn read(calls: &Log, next: u64, end: u64) -> Result<(Vec<Frame>, u64)> {
    let mut most = BATCH;
    loop {
        let mut batch = calls.read(next, most).await?;
        batch.frames.retain(|frame| frame.seq <= end);
        let last = (batch.next - 1).min(end);
        let of = |frame: &Frame| {
            let replay = frame::address(&frame.body).ok()?.replay?;
            Some(frame.seq + u64::from(replay.rest))
        };
        let Some(until) = batch.frames.last().and_then(of).filter(|until| *until > last && last < end) else {
            return Ok((batch.frames, last));
        };
        // What can no longer be read may have been part of it: the frames that are left say where it began.
        let parted = batch.frames.iter().rev().take_while(|frame| of(frame) == Some(until)).count();
        let whole = batch.frames.len() - parted;
        if let Some(last) = whole.checked_sub(1).map(|at| batch.frames[at].seq) {
            batch.frames.truncate(whole);
            return Ok((batch.frames, last));
        }
        most *= 2;
    }
}

fn reject(table: &str, reason: String, record: &Record) -> Reject {
    let payload = String::from_utf8_lossy(record.bytes()).into_owned();
    Reject { table: table.to_owned(), reason, payload }
}

/// Makes rows of frames, by schema, and counts those that cannot be read. What a schema is known to have is left out.
fn rows(
    frames: &[Frame],
    known: &HashMap<String, u64>,
    connectors: &Connectors,
) -> Result<(BTreeMap<String, Pending>, u64)> {
    let mut unreadable = 0;
    let mut loads: BTreeMap<String, Pending> = BTreeMap::new();
    for frame in frames {
        let (address, record) = match frame::decode(&frame.body) {
            Ok(decoded) => decoded,
            Err(error) => {
                // Whatever wrote it, waiting does not make it readable: it holds back none of the others.
                tracing::error!(frame = frame.seq, %error, "a frame of the calls log cannot be read");
                unreadable += 1;
                continue;
            }
        };
        if known.get(&address.schema).is_some_and(|seq| frame.seq <= *seq) {
            continue;
        }
        if !loads.contains_key(&address.schema) {
            loads.insert(address.schema.clone(), Pending { first: frame.seq, ..Pending::default() });
        }
        let Some(pending) = loads.get_mut(&address.schema) else { continue };
        let rejected = match (&address.collection, address.replay) {
            (None, Some(replay)) if replay.gone => pending.remove(&address, &record),
            (None, _) => pending.call(&address, &record),
            (Some(collection), _) => {
                let op = address.op.unwrap_or(Op::Touch);
                change(connectors, pending, &address, collection, op, record)?
            }
        };
        pending.count(&address, rejected);
    }
    Ok((loads, unreadable))
}

fn change(
    connectors: &Connectors,
    pending: &mut Pending,
    address: &frame::Address,
    name: &str,
    op: Op,
    record: Record,
) -> Result<Option<Reject>> {
    let objects = connectors
        .get(&address.source)
        .and_then(|connector| headwater_connectors::find(connector))
        .and_then(|connector| connector.objects);
    let Some(collection) =
        objects.and_then(|objects| objects.collections.iter().find(|collection| collection.name == name))
    else {
        let reason = format!("{} has no collection of that name any more", address.source);
        return Ok(Some(reject(name, reason, &record)));
    };
    let change = Change::upsert(collection.name, record).op(op).version(address.version.map(Version));
    if op == Op::Touch {
        pending.touches.insert(touch::key(&change, &address.delivery)?, address.version);
        pending.touched.insert(address.source.clone());
        return Ok(None);
    }
    let batch = match pending.objects.entry(collection.name) {
        std::collections::btree_map::Entry::Occupied(known) => known.into_mut(),
        std::collections::btree_map::Entry::Vacant(new) => {
            new.insert(Batch::new(Arc::new(TableSpec::object(collection)?)))
        }
    };
    let meta = Meta {
        pass: None,
        overlap: false,
        received_at: Timestamp::now(),
        delivery: Some(address.delivery.as_str().into()),
    };
    Ok(batch.push(&change, meta).err())
}
