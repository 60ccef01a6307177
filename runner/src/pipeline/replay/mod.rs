//! Replay: stored deliveries go through today's mapping, and what they make now takes the place of what they made before.
//!
//! A replay keeps to the normal order of things: it appends frames to the calls log and enters them in the books, in the normaliser's
//! turn, and the loader does the rest. The frames of one delivery carry a mark that keeps them together, so that its rows are replaced
//! in one transaction; how far the replay has come is entered with them, so that after a crash it goes on from there. What the
//! deliveries had made is gathered once, before the first ([`before`]). A message belongs to the first delivery that makes it, as
//! always: rows of others are left alone.

use std::{collections::BTreeMap, time::Duration};

use headwater_core::error::{Error, Result};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, watch};

use super::{
    books::{Books, ReplayJob},
    normaliser::Normaliser,
};
use crate::{
    inbox::{Inbox, Log, StoredDelivery},
    warehouse::Warehouse,
};

mod before;
mod condition;
mod diff;
mod pass;

use before::Before;
pub use before::delivery;
pub use condition::{Condition, conditions};
pub use diff::{Column, Difference, Made, What, made};
use pass::Pass;

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
