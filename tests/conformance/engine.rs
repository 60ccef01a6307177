//! The real engine, with a warehouse that only remembers. Its clock is the machine's, so each pass is handed to it as if
//! an earlier run had opened it at the laws' time: its progress says which reads are left.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
};

use async_trait::async_trait;
use headwater::{
    sync::{Bounds, Job, Report, Silent, Tools, sync},
    warehouse::{
        Committed, Load, Schema, Swept, Warehouse,
        table::{Cell, TableSpec},
    },
};
use headwater_core::{
    cursor::{Pass, Progress, Read},
    error::Result,
    object::{Change, From},
};
use jiff::Timestamp;
use serde_json::Value;

use crate::{
    reading::Opened,
    replay::Replay,
    subject::{Subject, now},
};

/// A warehouse that remembers what it was told.
#[derive(Default)]
pub struct Memory {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    progress: BTreeMap<String, Value>,
    records: Vec<Change>,
    rejects: Vec<String>,
    keys: BTreeMap<String, Vec<Vec<Cell>>>,
}

/// How a sync went.
pub struct Synced {
    pub report: Report,
    /// What was loaded.
    pub records: Vec<Change>,
    /// What could not become rows, and why.
    pub rejects: Vec<String>,
}

/// Syncs one root, with all that hangs on it or is filled by it, from the stand-in.
pub async fn run(subject: &Subject, opened: &Opened, replay: &Replay, root: &str) -> Result<Synced, String> {
    let collection = opened.root(subject, root)?;
    let reads = opened.reads(subject, &collection).await.map_err(|error| error.to_string())?;
    let memory = Arc::new(Memory::default());
    let filled = chosen(subject, opened, root);
    {
        let mut state = memory.lock();
        // The other roots have nothing left to read.
        let lists = opened.collections.iter().filter(|other| other.from == From::List && other.gone.is_none());
        for other in lists.map(|other| other.name).chain(subject.feeds().map(|feed| feed.name)) {
            for key in [other.to_owned(), format!("{other} for its children")] {
                let left = if other == root { reads.clone() } else { Vec::new() };
                let progress = left_open(left, filled.clone());
                state.progress.insert(key, serde_json::to_value(progress).map_err(|error| error.to_string())?);
            }
        }
    }
    let job = Job {
        source: "law".into(),
        connector: subject.connector,
        settings: subject.fixtures.config.settings.clone(),
        account: subject.fixtures.config.account.clone(),
        base_url: Some(replay.url.clone()),
        start_date: Some(subject.fixtures.config.start_date),
        collections: filled,
        exclude: Vec::new(),
        only: Vec::new(),
        full: false,
        touched_only: false,
        accept_deletes: false,
    };
    let (_keep, stop) = tokio::sync::watch::channel(false);
    let warehouse: Arc<dyn Warehouse> = Arc::new(Shared(Arc::clone(&memory)));
    let tools = Tools { warehouse, vault: None, observer: Arc::new(Silent), stop, bounds: Bounds::default() };
    let report = sync(&job, &tools).await;
    let mut state = memory.lock();
    let (records, rejects) = (std::mem::take(&mut state.records), std::mem::take(&mut state.rejects));
    drop(state);
    Ok(Synced { report, records, rejects })
}

/// The collections that a root brings rows of.
fn chosen(subject: &Subject, opened: &Opened, root: &str) -> Vec<String> {
    let feeds = subject.connector.objects.map_or(&[][..], |objects| objects.feeds);
    let mut names: Vec<&str> = match feeds.iter().find(|feed| feed.read.name == root) {
        Some(feed) => feed.fills.to_vec(),
        None => vec![root],
    };
    let hangs = |from: &From| match from {
        From::Nested { of, .. } => of.iter().any(|(parent, _)| names.contains(parent)),
        From::Children { of, .. } => of.iter().any(|parent| names.contains(parent)),
        _ => false,
    };
    let children: Vec<&str> =
        opened.collections.iter().filter(|child| hangs(&child.from)).map(|child| child.name).collect();
    names.extend(children);
    let known = opened.collections.iter().filter(|collection| collection.gone.is_none() && names.contains(&collection.name));
    known.map(|collection| collection.name.to_owned()).collect()
}

/// A pass that has these reads left.
fn left_open(reads: Vec<Read>, filled: Vec<String>) -> Progress {
    let whole = !reads.is_empty() && reads.iter().all(|read| read.from.is_none());
    Progress {
        // A feed that has a horizon must not be older than that by the machine's clock.
        synced_to: Some(Timestamp::now()),
        until: reads.first().and_then(|read| read.to),
        pass: Some(Pass { id: "law".into(), began: now(), whole }),
        reads,
        filled,
        ..Progress::default()
    }
}

impl Memory {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

struct Shared(Arc<Memory>);

#[async_trait]
impl Warehouse for Shared {
    async fn schema(&self, _name: &str) -> Result<Arc<dyn Schema>> {
        Ok(Arc::new(Shared(Arc::clone(&self.0))))
    }
}

#[async_trait]
impl Schema for Shared {
    fn wants_records(&self) -> bool {
        true
    }

    async fn prepare(&self, _table: &TableSpec) -> Result<()> {
        Ok(())
    }

    async fn commit(&self, load: Load) -> Result<Committed> {
        let mut state = self.0.lock();
        for batch in &load.batches {
            let keys = batch.spec().key.len() as u32;
            let table = state.keys.entry(batch.spec().name.clone()).or_default();
            for row in batch.rows() {
                let mut key: Vec<_> = row.cells.iter().filter(|(place, _)| *place < keys).cloned().collect();
                key.sort_by_key(|(place, _)| *place);
                table.push(key.into_iter().map(|(_, cell)| cell).collect());
            }
        }
        state.rejects.extend(load.rejects.iter().map(|reject| format!("{}: {}", reject.table, reject.reason)));
        state.records.extend(load.records);
        for (key, value) in load.progress {
            match value {
                Value::Null => state.progress.remove(&key),
                value => state.progress.insert(key, value),
            };
        }
        Ok(Committed::default())
    }

    async fn progress(&self) -> Result<BTreeMap<String, Value>> {
        Ok(self.0.lock().progress.clone())
    }

    async fn sweep(&self, _table: &str, _pass: &Pass, _most: f64) -> Result<Swept> {
        Ok(Swept::default())
    }

    async fn keys(
        &self,
        table: &str,
        _columns: &[&str],
        after: Option<&[Cell]>,
        _limit: usize,
    ) -> Result<Vec<Vec<Cell>>> {
        // All of them at once, and nothing behind.
        let known = self.0.lock().keys.get(table).cloned().unwrap_or_default();
        Ok(if after.is_some() { Vec::new() } else { known })
    }
}
