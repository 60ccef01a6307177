//! An opened source: what every read of a run shares, and the way to stop them all.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use headwater_core::{
    cursor::Progress,
    error::{Error, Result},
    http::Client,
    object::{Collection, From, ObjectSource},
};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tokio::sync::watch;

use super::{Job, Report, Tools, new_id};
use crate::warehouse::{Load, Schema, table::TableSpec};

/// How far a vendor's clock may be behind ours.
pub(super) const CLOCKS: SignedDuration = SignedDuration::from_mins(10);

/// A moment, by both clocks. Load times are ours; bounds and versions are compared with the vendor's own times.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    pub ours: Timestamp,
    pub theirs: Timestamp,
}

/// An opened source: what every read of a run shares.
pub(super) struct Session {
    pub job: Job,
    pub tools: Tools,
    pub source: Box<dyn ObjectSource>,
    pub client: Client,
    pub schema: Arc<dyn Schema>,
    pub run: String,
    /// The account's whole catalog.
    pub all: Vec<Collection>,
    /// What the job asks for.
    pub chosen: BTreeSet<&'static str>,
    pub tables: BTreeMap<&'static str, Arc<TableSpec>>,
    /// By parent: the collections whose records stand inside or under its records, as far as they or what hangs on them
    /// is chosen.
    pub children: BTreeMap<&'static str, Vec<Collection>>,
    /// How the lists under parents went, by collection.
    pub lists: Mutex<BTreeMap<&'static str, Lists>>,
    /// Becomes true when one read has met an error that stops all.
    pub halt: watch::Sender<bool>,
}

/// How the lists of one kind of children went, under all of their parents.
#[derive(Default)]
pub(super) struct Lists {
    /// Read.
    pub read: u64,
    /// Not there: the parent is gone.
    pub missing: u64,
    /// Refused, and why.
    pub refused: u64,
    pub error: Option<Error>,
}

/// Something with a reading of its own.
pub(super) struct Root {
    pub collection: Collection,
    /// The name that its progress is kept under.
    pub key: String,
    /// Whether its own rows are loaded: not those of a feed, nor of a parent that is read for its children's sake.
    pub loads: bool,
    pub progress: Progress,
    /// What has to be read in full when a feed can no longer tell.
    pub fills: &'static [&'static str],
}

impl Session {
    /// Now.
    pub fn now(&self) -> Moment {
        Moment { ours: Timestamp::now(), theirs: self.client.vendor_time() }
    }

    /// Whether reads have to stop at the next page's end.
    pub fn is_stopping(&self) -> bool {
        *self.tools.stop.borrow() || *self.halt.borrow()
    }

    /// Returns once reads have to stop.
    pub async fn stopped(&self) {
        let (stop, halt) = (self.tools.stop.clone(), self.halt.subscribe());
        tokio::select! {
            () = told(stop) => {}
            () = told(halt) => {}
        }
    }

    /// Waits, but not beyond a stop.
    pub async fn sleep(&self, time: std::time::Duration) {
        tokio::select! {
            () = tokio::time::sleep(time) => {}
            () = self.stopped() => {}
        }
    }

    /// Ends what makes no progress, and what need not be waited for because the program is about to end: nothing has been
    /// stored of it, so the next run asks again.
    pub async fn within_stall<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let stall = self.tools.bounds.stall;
        tokio::select! {
            done = work => done,
            () = tokio::time::sleep(stall) => Err(Error::transient(format!(
                "no progress for {} minutes: the read was ended",
                stall.as_secs().div_ceil(60)
            ))),
            () = self.stopped() => Err(Error::transient("stopped")),
        }
    }

    pub fn is_chosen(&self, name: &str) -> bool {
        self.chosen.contains(name)
    }

    /// The collection of that name.
    pub fn find(&self, name: &str) -> Option<&Collection> {
        self.all.iter().find(|collection| collection.name == name)
    }

    /// The collections whose records stand inside or under those of `parent`, as far as anybody wants them.
    pub fn children(&self, parent: &str) -> &[Collection] {
        self.children.get(parent).map_or(&[], Vec::as_slice)
    }

    /// All that hangs on `parent`, at any depth, and is chosen.
    pub fn descendants(&self, parent: &str) -> BTreeSet<&'static str> {
        let mut found = BTreeSet::new();
        for child in self.children(parent) {
            if self.is_chosen(child.name) {
                found.insert(child.name);
            }
            found.extend(self.descendants(child.name));
        }
        found
    }

    /// What was not to be had under its parents is an outcome of its own: a collection that could not be read is no success.
    pub fn tell_of_lists(&self, report: &mut Report) {
        let mut lists = self.lists.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        for (name, lists) in std::mem::take(&mut *lists) {
            if let Some(error) = lists.error {
                let outcome = report.collections.entry(name.to_owned()).or_default();
                outcome.notice(format!(
                    "refused {} times: once it is permitted, sync {} with --full, or what has not changed stays away",
                    lists.refused, self.job.source
                ));
                if outcome.error.is_none() {
                    outcome.fail(&error.within("collection", name));
                }
            } else if lists.read == 0 && lists.missing > 0 {
                let outcome = report.collections.entry(name.to_owned()).or_default();
                outcome.notice(format!("the vendor has no such list under any of {} parents", lists.missing));
            }
        }
    }

    /// Stores progress alone.
    pub async fn store(&self, progress: Vec<(String, Value)>) -> Result<()> {
        let load = Load { id: new_id()?, run: Some(self.run.clone()), progress, ..Load::default() };
        self.schema.commit(load).await.map(drop)
    }
}

/// By parent, what hangs on it: chosen collections, and those that lead to one.
pub(super) fn family_tree(
    all: &[Collection],
    chosen: &BTreeSet<&'static str>,
) -> BTreeMap<&'static str, Vec<Collection>> {
    let parents = |collection: &Collection| -> Vec<&'static str> {
        match collection.from {
            From::Nested { of, .. } => of.iter().map(|(name, _)| *name).collect(),
            From::Children { of, .. } => of.to_vec(),
            _ => Vec::new(),
        }
    };
    let mut wanted = chosen.clone();
    let mut tree: BTreeMap<&'static str, Vec<Collection>> = BTreeMap::new();
    let mut left: Vec<&Collection> =
        all.iter().filter(|collection| chosen.contains(collection.name)).collect();
    while let Some(child) = left.pop() {
        for parent in parents(child) {
            tree.entry(parent).or_default().push(*child);
            if wanted.insert(parent) {
                left.extend(all.iter().find(|collection| collection.name == parent));
            }
        }
    }
    tree
}

/// Returns once it is told to stop; never if nobody is left who could tell.
pub(super) async fn told(mut stop: watch::Receiver<bool>) {
    let told = stop.wait_for(|stop| *stop).await.is_ok();
    if !told {
        std::future::pending().await
    }
}
