//! Replay: stored deliveries go through today's mapping, and what they make now takes the place of what they made before.
//!
//! A replay keeps to the normal order of things: it appends frames to the calls log and enters them in the books, in the normaliser's
//! turn, and the loader does the rest. The frames of one delivery carry a mark that keeps them together, so that its rows are replaced
//! in one transaction; how far the replay has come is entered with them, so that after a crash it goes on from there. What the
//! deliveries had made is gathered once, before the first ([`before`]). A message belongs to the first delivery that makes it, as
//! always: rows of others are left alone.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::Duration,
};

use bytes::Bytes;
use headwater_core::{
    error::{Error, Result},
    object::{Change, Op},
    spec::Call,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, watch};

use super::{
    Fate, Source,
    books::{
        Books, CHANGES, ELIGIBLE, Entry, GONE, REPLAY, REPLAY_ITEM, RejectedItem, ReplayJob, ReplayStep,
        SCHEMA, seen_key,
    },
    frame::{self, Address, Gone, Replayed},
    normalise,
    normaliser::{Normaliser, label},
};
use crate::{
    inbox::{Inbox, Log, StoredDelivery},
    warehouse::{
        StoredCall, Warehouse,
        calls::{event_table, table_of},
    },
};

mod before;
mod condition;
mod diff;

use before::Before;
pub use before::delivery;
pub use condition::{Condition, conditions};
pub use diff::{Column, Difference, Made, What, made};

/// Bytes of deliveries that are made again at once.
const CHUNK: usize = 1 << 20;
/// Frames that may wait for the loader before a replay adds more.
const AHEAD: u64 = 100_000;
/// How often it is looked whether the loader has come further.
const LOOK: Duration = Duration::from_millis(20);

/// What is to be made again.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The source.
    pub source: String,
    /// Deliveries received from here …
    pub since: Timestamp,
    /// … to here, included.
    pub until: Timestamp,
    /// Only deliveries that meet all of these, themselves or with one call, as it is now or was before.
    pub conditions: Vec<Condition>,
    /// Whether destinations get the calls too.
    pub destinations: bool,
    /// Change nothing.
    pub dry_run: bool,
    /// Tell every difference.
    pub diff: bool,
    /// What was asked for, in the user's words: with the same ones a replay that was cut short goes on.
    pub args: String,
    /// Begin anew, although one was cut short.
    pub restart: bool,
}

/// What is heard of a replay under way.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Told {
    /// One that was cut short goes on.
    Resumed {
        /// When it began.
        began: Timestamp,
        /// The delivery that it goes on with.
        delivery: u64,
    },
    /// So many calls are on their way to the tables; they come first.
    Waiting {
        /// How many.
        calls: u64,
    },
    /// How far it has come.
    At {
        /// The next delivery.
        delivery: u64,
        /// The one before which it ends.
        end: u64,
    },
    /// A difference.
    Difference(Difference),
}

/// What a replay did, or would do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Deliveries that were made again.
    pub deliveries: u64,
    /// What became of their items, and of the calls that they had been: `same`, `changed`, `added`, `removed`, `made again` (where nobody
    /// asked for the difference), `duplicate`, `filtered`, `rejected`, `changes to objects`, `touches left out`.
    pub calls: BTreeMap<String, u64>,
    /// Deliveries in the stretch of the log that can no longer be read.
    pub damaged: u64,
    /// The oldest delivery that is still kept.
    pub first: u64,
    /// When that was received: so far back a replay reaches.
    pub reaches_back_to: Option<Timestamp>,
    /// Calls that were on their way to the tables and are not compared (a dry run of its own process).
    pub in_flight: u64,
}

/// What a replay works with.
pub struct Replay<'a> {
    /// The deliveries.
    pub inbox: &'a Log,
    /// The books.
    pub books: &'a Books,
    /// Who enters calls.
    pub normaliser: &'a Normaliser,
    /// Where the rows are.
    pub warehouse: &'a dyn Warehouse,
    /// Whether a loader runs: only then what is on its way arrives.
    pub loads: bool,
    /// Becomes true when it is to end at the next safe point.
    pub stop: watch::Receiver<bool>,
}

impl Replay<'_> {
    /// Does it, and returns once all of it is in the tables.
    pub async fn run(&self, plan: &Plan, tell: &mpsc::Sender<Told>) -> Result<Summary> {
        let source = self.normaliser.source(&plan.source).ok_or_else(|| {
            Error::config(format!("source {} is not enabled: its mapping is not known", plan.source))
        })?;
        let schema = self.warehouse.schema(&source.calls_schema).await?;
        let ledger = self.books.ledger().await?;
        let mut job = ReplayJob {
            args: plan.args.clone(),
            began: Timestamp::now(),
            since: plan.since,
            until: plan.until,
            next: self.inbox.stats().first,
            end: ledger.inbox.max(1),
        };
        if !plan.dry_run {
            if plan.restart {
                self.books.end_replay(&plan.args).await?;
            }
            let began = job.began;
            job = self.books.begin_replay(job).await?;
            if job.began != began {
                say(tell, Told::Resumed { began: job.began, delivery: job.next }).await;
            }
        }
        let _pin = Pin::new(self.inbox, job.next);
        let mut summary = Summary { first: self.inbox.stats().first, ..Summary::default() };
        summary.reaches_back_to = self.reaches_back_to(summary.first).await?;
        // What is on its way would not be seen, neither here nor by the loads that replace it.
        match self.loads {
            true => self.settle(ledger.calls, tell).await?,
            false => summary.in_flight = ledger.calls - ledger.loaded,
        }
        let before = Before::gather(&*schema, job.since, job.until).await?;
        let mut pass =
            Pass { replay: self, plan, job, source: &source, schema: &*schema, before, tell, summary };
        pass.run().await?;
        let summary = pass.summary;
        if !plan.dry_run {
            let calls = self.books.position("calls").await?;
            self.settle(calls, tell).await?;
            self.books.end_replay(&plan.args).await?;
        }
        Ok(summary)
    }

    /// Waits until so many frames of the calls log are in the tables.
    async fn settle(&self, calls: u64, tell: &mpsc::Sender<Told>) -> Result<()> {
        let mut told = None;
        loop {
            let loaded = self.books.position("loaded").await?;
            if loaded >= calls {
                return Ok(());
            }
            self.is_to_go_on()?;
            if told != Some(calls - loaded) {
                told = Some(calls - loaded);
                say(tell, Told::Waiting { calls: calls - loaded }).await;
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    fn is_to_go_on(&self) -> Result<()> {
        match *self.stop.borrow() {
            true => Err(Error::transient("the replay was stopped: the same command goes on with it")),
            false => Ok(()),
        }
    }

    /// When the oldest delivery that is kept was received.
    async fn reaches_back_to(&self, first: u64) -> Result<Option<Timestamp>> {
        let frames = self.inbox.read(first, 1).await?.frames;
        let stored = frames.first().and_then(|frame| StoredDelivery::decode(&frame.body).ok());
        Ok(stored.map(|stored| stored.delivery.received_at))
    }
}

/// One replay under way.
struct Pass<'a> {
    replay: &'a Replay<'a>,
    plan: &'a Plan,
    job: ReplayJob,
    source: &'a Source,
    schema: &'a dyn crate::warehouse::Schema,
    before: Before,
    tell: &'a mpsc::Sender<Told>,
    summary: Summary,
}

/// One delivery, as it is made now, and what it had made.
struct Again {
    seq: u64,
    received_at: Timestamp,
    /// Items, whatever became of them.
    items: u64,
    calls: Vec<(String, Call)>,
    changes: Vec<(String, Change)>,
    fates: BTreeMap<String, u64>,
    rejected: Vec<RejectedItem>,
    was: Vec<StoredCall>,
}

impl Pass<'_> {
    async fn run(&mut self) -> Result<()> {
        let end = self.job.end;
        let mut next = self.job.next;
        while next < end {
            self.replay.is_to_go_on()?;
            say(self.tell, Told::At { delivery: next, end }).await;
            let batch = self.replay.inbox.read(next, CHUNK).await?;
            self.summary.damaged += batch.damaged;
            let mut wanted = Vec::new();
            for frame in batch.frames.iter().filter(|frame| frame.seq < end) {
                let Ok(stored) = StoredDelivery::decode(&frame.body) else {
                    self.summary.damaged += 1;
                    continue;
                };
                let received = stored.delivery.received_at;
                if stored.source == self.plan.source
                    && received >= self.job.since
                    && received <= self.job.until
                {
                    wanted.push((frame.seq, stored));
                }
            }
            if batch.next == next {
                return Err(Error::transient(format!("the inbox cannot be read on from delivery {next}")));
            }
            next = batch.next.min(end);
            self.some(wanted, next).await?;
            if !self.plan.dry_run {
                self.give_way().await?;
            }
        }
        say(self.tell, Told::At { delivery: end, end }).await;
        Ok(())
    }

    /// Waits for the loader if it is far behind.
    async fn give_way(&self) -> Result<()> {
        loop {
            let ledger = self.replay.books.ledger().await?;
            if ledger.calls.saturating_sub(ledger.loaded) < AHEAD {
                return Ok(());
            }
            self.replay.is_to_go_on()?;
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn some(&mut self, wanted: Vec<(u64, StoredDelivery)>, next: u64) -> Result<()> {
        let rows = self.before.of(wanted.iter().map(|(seq, _)| *seq).collect()).await?;
        let mut all: Vec<Again> = Vec::with_capacity(wanted.len());
        for ((seq, stored), was) in wanted.into_iter().zip(rows) {
            let again = self.again(seq, &stored, was);
            if self.is_meant(&again, &stored) {
                all.push(again);
            }
        }
        // Between what has been seen and what is entered nobody else may come.
        let turn = match self.plan.dry_run {
            true => None,
            false => Some(self.replay.normaliser.turn().await),
        };
        let others = self.others(&all).await?;
        let mut owners: HashMap<String, Option<u64>> = HashMap::new();
        let mut entry = Entry::default();
        let mut frames = Vec::new();
        let mut kept: Vec<(String, Call)> = Vec::new();
        let mut lost: Vec<StoredCall> = Vec::new();
        let mut deliveries = Vec::with_capacity(all.len());
        for again in all {
            deliveries.push(again.seq);
            let step = self.step(again, &others, &mut owners).await?;
            step.enter(self, &mut entry, &mut frames)?;
            kept.extend(step.calls);
            lost.extend(step.lost);
        }
        self.summary.deliveries += deliveries.len() as u64;
        if self.plan.diff || self.plan.dry_run {
            self.compare(&kept, &lost).await?;
        } else {
            self.tally("made again", kept.len() as u64);
            self.tally("removed", lost.len() as u64);
        }
        self.before.set_owners(owners.into_iter().collect()).await?;
        let Some(turn) = turn else { return Ok(()) };
        entry.inbox = self.replay.books.position("inbox").await?;
        entry.replay = Some(ReplayStep { args: self.job.args.clone(), next, deliveries });
        self.replay.normaliser.enter(&turn, frames, entry).await
    }

    /// The delivery through today's mapping.
    fn again(&self, seq: u64, stored: &StoredDelivery, was: Vec<StoredCall>) -> Again {
        let items = normalise(stored, self.source, self.replay.normaliser.limits(), seq).items;
        let mut again = Again {
            seq,
            received_at: stored.delivery.received_at,
            items: items.len() as u64,
            calls: Vec::new(),
            changes: Vec::new(),
            fates: BTreeMap::new(),
            rejected: Vec::new(),
            was,
        };
        for (index, fate) in items {
            let item = format!("{seq}:{index}");
            match fate {
                Fate::Eligible(call) => again.calls.push((item, *call)),
                // A replay asks no vendor: what the row is now, the next sync reads.
                Fate::Change(change) if change.op == Op::Touch => again.count("touches left out"),
                Fate::Change(change) => again.changes.push((item, change)),
                Fate::Filtered { rule, .. } => again.count(&format!("filtered by {rule}")),
                Fate::Rejected { reason, payload } => {
                    again.count(&format!("rejected: {}", label(&reason)));
                    again.rejected.push(RejectedItem {
                        source: self.source.name.clone(),
                        delivery: seq,
                        item: index,
                        received_at: again.received_at,
                        reason,
                        payload,
                    });
                }
            }
        }
        again
    }

    fn is_meant(&self, again: &Again, stored: &StoredDelivery) -> bool {
        let conditions = &self.plan.conditions;
        let mut of_calls = false;
        for condition in conditions {
            match condition.of_delivery(again.seq, stored) {
                Some(false) => return false,
                Some(true) => {}
                None => of_calls = true,
            }
        }
        !of_calls
            || again.calls.iter().any(|(_, call)| conditions.iter().all(|condition| condition.of_call(call)))
            || again.was.iter().any(|row| conditions.iter().all(|condition| condition.of_row(row)))
    }

    /// The other deliveries that messages belong to which these had not made before.
    async fn others(&self, all: &[Again]) -> Result<HashMap<String, u64>> {
        let mut new: Vec<(String, u64)> = Vec::new();
        for again in all {
            let own: HashSet<&str> = again.was.iter().map(|row| row.id.as_str()).collect();
            let calls = again.calls.iter().filter(|(_, call)| !own.contains(call.message_id.as_str()));
            new.extend(calls.map(|(_, call)| (call.message_id.clone(), again.seq)));
        }
        if new.is_empty() {
            return Ok(HashMap::new());
        }
        let ids: Vec<String> = new.iter().map(|(id, _)| id.clone()).collect();
        let keys = ids.iter().map(|id| seen_key(&self.source.name, id)).collect();
        let mut owners: HashMap<String, u64> = HashMap::new();
        // Newer than this replay: its row may be on its way. Older ones have a row, or have been taken away.
        for (id, seen) in ids.iter().zip(self.replay.books.deliveries_of(keys).await?) {
            owners.extend(seen.filter(|seen| *seen >= self.job.end).map(|seen| (id.clone(), seen)));
        }
        for (id, rows) in diff::owners(self.schema, ids).await? {
            // A row without a number is somebody else's, whoever that was.
            let of = rows.iter().map(|(_, item)| delivery(item).unwrap_or(0)).next();
            owners.extend(of.map(|of| (id, of)));
        }
        Ok(owners)
    }

    /// What is to be done for a delivery. `owners` are the messages that have changed hands in this step.
    async fn step(
        &self,
        mut again: Again,
        others: &HashMap<String, u64>,
        owners: &mut HashMap<String, Option<u64>>,
    ) -> Result<Step> {
        let seq = again.seq;
        let own: HashSet<String> = again.was.iter().map(|row| row.id.clone()).collect();
        let mut met: HashSet<String> = HashSet::new();
        let mut calls = Vec::with_capacity(again.calls.len());
        for (item, call) in std::mem::take(&mut again.calls) {
            let id = &call.message_id;
            let handed = match owners.get(id) {
                Some(owner) => Some(*owner),
                None => self.before.owner(id).await?,
            };
            let owner = match handed {
                Some(owner) => owner,
                None if own.contains(id) => Some(seq),
                None => others.get(id).copied(),
            };
            if owner.is_some_and(|owner| owner != seq) || !met.insert(id.clone()) {
                again.count("duplicate");
                continue;
            }
            if owner.is_none() {
                owners.insert(id.clone(), Some(seq));
            }
            calls.push((item, call));
        }
        let (mut gone, mut lost) = (Vec::new(), Vec::new());
        for row in std::mem::take(&mut again.was) {
            let now = calls.iter().find(|(_, call)| call.message_id == row.id);
            let stays = now.filter(|(item, call)| *item == row.delivery && table_of(call.kind) == row.table);
            let event = row.event.clone();
            let tables: Vec<String> = match stays {
                Some((_, call)) => {
                    let becomes = call.name.as_deref().and_then(event_table);
                    event.filter(|event| becomes.as_ref() != Some(event)).into_iter().collect()
                }
                None => std::iter::once(row.table.to_owned()).chain(event).collect(),
            };
            if !tables.is_empty() {
                gone.push((row.delivery.clone(), Gone { id: row.id.clone(), tables }));
            }
            if now.is_none() {
                owners.insert(row.id.clone(), None);
            }
            if now.is_none_or(|(_, call)| table_of(call.kind) != row.table) {
                lost.push(row);
            }
        }
        Ok(Step { again, calls, gone, lost })
    }

    async fn compare(&mut self, kept: &[(String, Call)], lost: &[StoredCall]) -> Result<()> {
        let calls: Vec<Made<'_>> = kept.iter().map(|(item, call)| Made { delivery: item, call }).collect();
        let mut all = diff::made(self.schema, &calls).await?;
        all.extend(diff::gone(self.schema, lost).await?);
        all.sort_by_key(|difference| delivery(&difference.delivery));
        for difference in all {
            let what = match difference.what {
                What::Added => "added",
                What::Changed => "changed",
                What::Removed => "removed",
                What::Same => "same",
            };
            self.tally(what, 1);
            if self.plan.diff && difference.what != What::Same {
                say(self.tell, Told::Difference(difference)).await;
            }
        }
        Ok(())
    }

    fn tally(&mut self, what: &str, n: u64) {
        *self.summary.calls.entry(what.to_owned()).or_default() += n;
    }
}

impl Again {
    fn count(&mut self, fate: &str) {
        *self.fates.entry(fate.to_owned()).or_default() += 1;
    }
}

/// What is done for one delivery.
struct Step {
    again: Again,
    calls: Vec<(String, Call)>,
    /// Rows that are taken away, with the item that had made them.
    gone: Vec<(String, Gone)>,
    /// Rows of calls that go for good, for those who look.
    lost: Vec<StoredCall>,
}

impl Step {
    /// The frames for it, and what the books say of them.
    fn enter(&self, pass: &mut Pass<'_>, entry: &mut Entry, frames: &mut Vec<Bytes>) -> Result<()> {
        let source = &pass.source.name;
        let (again, schema) = (&self.again, &pass.source.calls_schema);
        let (calls, gone, changes) = (self.calls.len(), self.gone.len(), again.changes.len());
        let mut rest = (calls + gone + changes) as u32;
        let mut mark = |gone: bool| {
            rest -= 1;
            Some(Replayed { rest, destinations: pass.plan.destinations && !gone, gone })
        };
        let address = |schema: &str, item: &str, replay| Address {
            source: source.clone(),
            schema: schema.to_owned(),
            delivery: item.to_owned(),
            collection: None,
            op: None,
            version: None,
            replay,
        };
        for (item, gone) in &self.gone {
            frames.push(frame::encode(&address(schema, item, mark(true)), &serde_json::to_vec(gone)?)?);
        }
        for (item, call) in &self.calls {
            let mut json = Vec::with_capacity(512);
            call.write(&mut json);
            frames.push(frame::encode(&address(schema, item, mark(false)), &json)?);
            entry.seen.push((seen_key(source, &call.message_id), again.seq));
        }
        for (item, change) in &again.changes {
            // Without a version it is as old as its delivery: it never undoes what has been read since.
            let version = change.version.map_or(again.received_at.as_microsecond(), |version| version.0);
            let address = Address {
                collection: Some(change.collection.to_owned()),
                op: Some(change.op),
                version: Some(version),
                ..address(source, item, mark(false))
            };
            frames.push(frame::encode(&address, change.record.bytes())?);
        }
        entry.count(source, REPLAY_ITEM, "made", again.items);
        entry.count(source, REPLAY, ELIGIBLE, calls as u64);
        entry.count(source, REPLAY, CHANGES, changes as u64);
        entry.count(source, GONE, "removed", gone as u64);
        entry.count(schema, SCHEMA, "replayed", (calls + gone) as u64);
        if changes > 0 {
            entry.count(source, SCHEMA, "replayed", changes as u64);
            pass.tally(CHANGES, changes as u64);
        }
        for (fate, n) in &again.fates {
            entry.count(source, REPLAY, fate, *n);
            let short = fate.split([' ', ':']).next().filter(|word| matches!(*word, "filtered" | "rejected"));
            pass.tally(short.unwrap_or(fate), *n);
        }
        entry.rejected.extend(again.rejected.iter().cloned());
        Ok(())
    }
}

/// Tells it, if anybody still listens: the work goes on without them.
async fn say(tell: &mpsc::Sender<Told>, told: Told) {
    let _ = tell.send(told).await;
}

/// Keeps deliveries from being removed while they are made again.
struct Pin<'a>(&'a Log, String);

impl<'a> Pin<'a> {
    fn new(inbox: &'a Log, next: u64) -> Self {
        let name = format!("replay {:?}", Timestamp::now().as_nanosecond());
        Inbox::pin(inbox, &name, next);
        Self(inbox, name)
    }
}

impl Drop for Pin<'_> {
    fn drop(&mut self) {
        Inbox::unpin(self.0, &self.1);
    }
}
