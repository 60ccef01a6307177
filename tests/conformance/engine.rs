//! The real engine, with a warehouse that only remembers. Its clock is the machine's, so each pass is handed to it as if
//! an earlier run had opened it at the laws' time: its progress says which reads are left.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
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
    connector::{Connector, Objects},
    cursor::{Partition, Pass, Progress, Read},
    error::{Error, Result},
    http::{Api, Client},
    object::{Account, Change, Collection, From, ObjectSource, Page, Pull},
    record::Record,
};
use jiff::Timestamp;
use serde_json::Value;

use crate::{
    reading::{Opened, unbound},
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
        let lists =
            opened.collections.iter().filter(|other| other.from == From::List && other.gone.is_none());
        for other in lists.map(|other| other.name).chain(subject.feeds().map(|feed| feed.name)) {
            for key in [other.to_owned(), format!("{other} for its children")] {
                let left = if other == root { reads.clone() } else { Vec::new() };
                let progress = left_open(left, filled.clone());
                state
                    .progress
                    .insert(key, serde_json::to_value(progress).map_err(|error| error.to_string())?);
            }
        }
    }
    let job = Job {
        source: "law".into(),
        connector: hurried(subject)?,
        settings: wrapped(subject),
        account: subject.fixtures.config.account.clone(),
        base_url: Some(replay.url.clone()),
        start_date: Some(subject.fixtures.config.start_date),
        collections: filled,
        exclude: Vec::new(),
        only: Vec::new(),
        full: false,
        touched_only: false,
        accept_deletes: false,
        reserve: 0.0,
    };
    let (_keep, stop) = tokio::sync::watch::channel(false);
    let warehouse: Arc<dyn Warehouse> = Arc::new(Shared(Arc::clone(&memory)));
    let tools = Tools {
        warehouse,
        vault: None,
        observer: Arc::new(Silent),
        stop,
        bounds: Bounds::default(),
        shared: headwater::sync::Shared::default(),
    };
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
    let known = opened
        .collections
        .iter()
        .filter(|collection| collection.gone.is_none() && names.contains(&collection.name));
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
        state
            .rejects
            .extend(load.rejects.iter().map(|reject| format!("{}: {}", reject.table, reject.reason)));
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

/// How the sources of the subjects are opened, by the subjects' connectors.
static OPENERS: Mutex<BTreeMap<usize, Opener>> = Mutex::new(BTreeMap::new());

type Opener = fn(Value) -> Result<Box<dyn ObjectSource>>;

/// The connector, its source without limits that would be waited for, and with jobs that are done at once.
fn hurried(subject: &Subject) -> Result<&'static Connector, String> {
    let objects = subject.connector.objects.ok_or("it has no objects")?;
    OPENERS.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).insert(place(subject), objects.open);
    let open: Opener = |settings| {
        let place = settings.get("place").and_then(Value::as_u64).unwrap_or_default() as usize;
        let openers = OPENERS.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let open = *openers.get(&place).ok_or_else(|| Error::config("nobody opens this"))?;
        drop(openers);
        Ok(Box::new(Hurried(open(settings.get("settings").cloned().unwrap_or_default())?)))
    };
    let Connector { name, title, category, docs, settings, spec, events, pull, .. } = *subject.connector;
    let objects = Some(Objects { open, ..objects });
    Ok(Box::leak(Box::new(Connector { name, title, category, docs, settings, spec, objects, events, pull })))
}

fn wrapped(subject: &Subject) -> Value {
    serde_json::json!({ "place": place(subject), "settings": subject.fixtures.config.settings })
}

fn place(subject: &Subject) -> usize {
    std::ptr::from_ref(subject.connector) as usize
}

struct Hurried(Box<dyn ObjectSource>);

#[async_trait]
impl ObjectSource for Hurried {
    fn api(&self, account: &Account) -> Result<Api> {
        let mut api = self.0.api(account)?;
        api.hosts.iter_mut().flat_map(|host| &mut host.limits).for_each(unbound);
        Ok(api)
    }

    async fn check(&self, client: &Client) -> Result<Account> {
        self.0.check(client).await
    }

    async fn catalog(&self, client: &Client, declared: &[Collection]) -> Result<Vec<Collection>> {
        self.0.catalog(client, declared).await
    }

    async fn partitions(&self, client: &Client, collection: &Collection) -> Result<Vec<Option<Partition>>> {
        self.0.partitions(client, collection).await
    }

    async fn page(&self, pull: Pull<'_>) -> Result<Page> {
        let page = self.0.page(pull).await?;
        Ok(Page { wait: page.wait.map(|_| Duration::from_millis(1)), ..page })
    }

    async fn fetch(&self, client: &Client, collection: &Collection, key: &Record) -> Result<Option<Record>> {
        self.0.fetch(client, collection, key).await
    }
}
