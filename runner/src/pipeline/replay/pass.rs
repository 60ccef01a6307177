//! The way through the inbox: deliveries some at a time, what each makes now beside what it had made, and the frames that follow.

use std::collections::{BTreeMap, HashMap, HashSet};

use bytes::Bytes;
use headwater_core::{
    error::{Error, Result},
    object::{Change, Op},
    spec::Call,
};
use jiff::Timestamp;
use tokio::sync::mpsc;

use super::{
    LOOK, Plan, Replay, Summary, Told,
    before::{Before, delivery},
    diff::{self, Made, What},
    say,
};
use crate::{
    inbox::{DeliveryKind, StoredDelivery},
    pipeline::{
        Fate, Source,
        books::{
            CHANGES, ELIGIBLE, Entry, GONE, REPLAY, REPLAY_ITEM, RejectedItem, ReplayJob, ReplayStep, SCHEMA,
            UNROUTED, Waiting, seen_key,
        },
        frame::{self, Address, Gone, Replayed},
        normalise,
        normaliser::{answer, label},
    },
    warehouse::{
        Schema, StoredCall,
        calls::{event_table, table_of},
    },
};

/// Bytes of deliveries that are made again at once.
const CHUNK: usize = 1 << 20;
/// Frames that may wait for the loader before a replay adds more.
const AHEAD: u64 = 100_000;

/// One replay under way.
pub struct Pass<'a> {
    pub replay: &'a Replay<'a>,
    pub plan: &'a Plan,
    pub job: ReplayJob,
    pub source: &'a Source,
    pub schema: &'a dyn Schema,
    pub before: Before,
    pub tell: &'a mpsc::Sender<Told>,
    pub summary: Summary,
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
    /// Makes all deliveries again.
    pub async fn run(&mut self) -> Result<()> {
        let end = self.job.end;
        let mut next = self.job.next;
        while next < end {
            self.replay.is_to_go_on()?;
            say(self.tell, Told::At { delivery: next, end }).await;
            let batch = self.replay.inbox.read(next, CHUNK).await?;
            self.summary.damaged += batch.damaged;
            let mut wanted = Vec::new();
            let answers = self.replay.books.answers(next, batch.next).await?;
            for frame in batch.frames.iter().filter(|frame| frame.seq < end) {
                let Ok(mut stored) = StoredDelivery::decode(&frame.body) else {
                    self.summary.damaged += 1;
                    continue;
                };
                answer(&mut stored, frame.seq, &answers);
                let received = stored.delivery.received_at;
                if self.may_hold(&stored) && received >= self.job.since && received <= self.job.until {
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
        let mut entry = Entry::default();
        for ((seq, stored), was) in wanted.into_iter().zip(rows) {
            let Some(again) = self.again(seq, &stored, was) else {
                // Its vendor is asked first. Until then all stays as it is.
                let (source, since) = (stored.source.clone(), Timestamp::now());
                entry.waiting.push(Waiting { delivery: seq, source, since, again: true });
                self.tally("waits for look-ups", 1);
                continue;
            };
            // Of what came to another source, only what is this one's counts.
            let is_empty = again.items == 0 && again.was.is_empty() && stored.source != self.source.name;
            if !is_empty && self.is_meant(&again, &stored) {
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

    /// Whether a delivery may hold items of the source: it came to it, or to another of its connector for all accounts.
    fn may_hold(&self, stored: &StoredDelivery) -> bool {
        let connector = self.source.connector.name;
        let sources = self.replay.normaliser.sources();
        let is_akin = || {
            stored.connector.as_deref() == Some(connector)
                || sources.get(&stored.source).is_some_and(|source| source.connector.name == connector)
        };
        let has_account = || self.source.events.as_ref().is_some_and(|events| events.own_account().is_some());
        stored.kind != DeliveryKind::Cursor
            && (stored.source == self.plan.source || (has_account() && is_akin()))
    }

    /// The delivery through today's mapping; none if there are look-ups that nobody has answered.
    fn again(&self, seq: u64, stored: &StoredDelivery, was: Vec<StoredCall>) -> Option<Again> {
        let normaliser = self.replay.normaliser;
        let sources = normaliser.sources();
        let received_by = sources.get(&stored.source).map_or(self.source, |source| source);
        let made = normalise(stored, received_by, &sources, normaliser.limits(), seq);
        if made.asks.iter().any(|ask| ask.source == self.source.name) {
            return None;
        }
        let items = made.of(&received_by.name, &self.source.name);
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
                Fate::Unrouted { .. } => again.count(UNROUTED),
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
        Some(again)
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
        for (id, seen) in ids.iter().zip(self.replay.books.seen(keys).await?) {
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
                // The event's row is found by the call's: it goes first.
                None => event.into_iter().chain([row.table.to_owned()]).collect(),
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
            let json = serde_json::to_vec(gone)?;
            frames.push(framed(&address(schema, item, mark(true)), |out| out.extend_from_slice(&json))?);
        }
        for (item, call) in &self.calls {
            frames.push(framed(&address(schema, item, mark(false)), |out| call.write(out))?);
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
            frames.push(framed(&address, |out| out.extend_from_slice(change.record.bytes()))?);
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

/// One frame of the calls log.
fn framed(address: &Address, write: impl FnOnce(&mut Vec<u8>)) -> Result<Bytes> {
    let mut out = Vec::with_capacity(512);
    frame::write(address, &mut out, write)?;
    Ok(out.into())
}
