//! A run: opens the source, then reads its feeds and its collections, and says what became of each.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use futures::{FutureExt, StreamExt, stream};
use headwater_core::{
    connector::Objects,
    cursor::Progress,
    error::{Error, Result},
    http::{Client, Options},
    object::{Account, Collection, Feed, From, ObjectSource},
};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::{Ending, Job, Outcome, Report, Tools, is_fatal, new_id, pass, touch};
use crate::warehouse::{Load, RunRow, Schema, table::TableSpec};

/// Syncs a source. Whatever goes wrong stands in the report.
pub async fn sync(job: &Job, tools: &Tools) -> Report {
    let began = Timestamp::now();
    let mut report = Report {
        run: String::new(),
        source: job.source.clone(),
        began,
        ended: began,
        ending: Ending::Failure,
        account: job.account.clone(),
        error: None,
        kind: None,
        collections: BTreeMap::new(),
        paused_until: None,
    };
    let failed = run(job, tools, &mut report).await.err().map(|error| error.within("source", &job.source));
    report.conclude(failed.as_ref());
    if let Err(error) = record(job, tools, &report).await {
        tracing::warn!(source = job.source, %error, "the run's outcome could not be written to _headwater_runs");
    }
    report
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
    /// Becomes true when one read has met an error that stops all.
    pub halt: watch::Sender<bool>,
}

impl Session {
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
}

async fn run(job: &Job, tools: &Tools, report: &mut Report) -> Result<()> {
    report.run = new_id()?;
    let objects = job.connector.objects.as_ref().ok_or_else(|| {
        Error::config(format!("{} has no objects to sync; its events arrive by themselves", job.connector.title))
    })?;
    let (source, client, account) = open(job, tools, objects).await?;
    report.account = account;
    let collections = source.catalog(&client, objects.collections).await.map_err(|e| e.within("catalog of", job.connector.name))?;
    let chosen = choose(&collections, job)?;
    if chosen.is_empty() {
        return Err(Error::config("no collection is left to sync: see collections and exclude"));
    }
    let schema = tools.warehouse.schema(&job.source).await?;
    let mut tables = BTreeMap::new();
    for collection in &collections {
        tables.insert(collection.name, Arc::new(TableSpec::object(collection)?));
    }
    for name in &chosen {
        schema.prepare(&tables[name]).await?;
    }
    let (halt, _) = watch::channel(false);
    let session = Session {
        job: job.clone(),
        tools: tools.clone(),
        source,
        client,
        schema,
        run: report.run.clone(),
        all: collections,
        chosen,
        tables,
        halt,
    };
    begin(&session, report.began).await?;
    tools.observer.started(&job.source, &session.chosen.iter().copied().collect::<Vec<_>>());
    let progress = match job.full {
        true => BTreeMap::new(),
        false => session.schema.progress().await?,
    };
    let mut touched = Outcome::default();
    let failed = touch::fetch(&session, &session.schema.progress().await?, &mut touched).await.err();
    if touched.pages > 0 || failed.is_some() {
        if let Some(error) = &failed {
            touched.fail(error);
        }
        report.collections.insert("touched rows".to_owned(), touched);
    }
    if let Some(error) = failed.filter(is_fatal) {
        return Err(error);
    }
    if job.touched_only {
        return Ok(());
    }
    let roots = roots(&session, objects.feeds, &progress).await?;
    let reads: Vec<_> = roots.into_iter().map(|root| read(&session, root).boxed()).collect();
    let outcomes: Vec<_> = stream::iter(reads).buffer_unordered(tools.bounds.side_by_side.max(1)).collect().await;
    let mut fatal = None;
    for (name, outcome, error) in outcomes {
        report.collections.insert(name.to_owned(), outcome);
        if fatal.is_none() {
            fatal = error.filter(is_fatal);
        }
    }
    match fatal {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

/// Opens the source: settings, client, check; a second client where the account says where its API is.
pub(super) async fn open(job: &Job, tools: &Tools, objects: &Objects) -> Result<(Box<dyn ObjectSource>, Client, Account)> {
    let source = (objects.open)(job.settings.clone())?;
    let client = |account: &Account| {
        Client::new(
            source.api(account)?,
            Options {
                vault: tools.vault.clone(),
                vault_key: job.source.clone(),
                base_url: job.base_url.clone(),
                ..Options::default()
            },
        )
    };
    let first = client(&job.account)?;
    let account = source.check(&first).await?;
    let client = match account == job.account {
        true => first,
        false => client(&account)?,
    };
    Ok((source, client, account))
}

/// The collections that the job asks for.
fn choose(collections: &[Collection], job: &Job) -> Result<BTreeSet<&'static str>> {
    for name in job.collections.iter().chain(&job.exclude) {
        if !collections.iter().any(|collection| collection.name == name) {
            let known: Vec<_> = collections.iter().map(|collection| collection.name).collect();
            return Err(Error::config(format!(
                "there is no collection {name}; there are {}",
                known.join(", ")
            )));
        }
    }
    Ok(collections
        .iter()
        .filter(|collection| collection.gone.is_none())
        .map(|collection| collection.name)
        .filter(|name| job.collections.is_empty() || job.collections.iter().any(|chosen| chosen == name))
        .filter(|name| !job.exclude.iter().any(|excluded| excluded == name))
        .collect())
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

/// What has to be read: feeds, lists, and the parents of chosen children.
async fn roots(session: &Session, feeds: &[Feed], stored: &BTreeMap<String, Value>) -> Result<Vec<Root>> {
    // A progress of another version's shape means reading again, which is always safe.
    let progress = |key: &str| -> Progress {
        stored.get(key).and_then(|value| serde_json::from_value(value.clone()).ok()).unwrap_or_default()
    };
    let mut roots = Vec::new();
    let mut again = BTreeSet::new();
    for feed in feeds.iter().filter(|feed| feed.fills.iter().any(|name| session.is_chosen(name))) {
        let mut progress = progress(feed.read.name);
        if let Some(horizon) = feed.horizon {
            let now = Timestamp::now();
            let kept = now.checked_sub(horizon).unwrap_or(Timestamp::MIN);
            if progress.synced_to.is_none_or(|position| position < kept) {
                // The feed does not reach back to where we were: note where it stands first, then read in full what it fills.
                if progress.synced_to.is_some() {
                    again.extend(feed.fills.iter().copied());
                }
                progress = Progress { synced_to: Some(now), ..Progress::default() };
                session.store(vec![(feed.read.name.to_owned(), serde_json::to_value(&progress)?)]).await?;
            }
        } else {
            // It is its collections' only past: one that is chosen later makes it begin again.
            let wanted: Vec<String> =
                feed.fills.iter().filter(|name| session.is_chosen(name)).map(|name| (*name).to_owned()).collect();
            if !wanted.iter().all(|name| progress.filled.contains(name)) {
                progress = Progress { filled: wanted, ..Progress::default() };
            }
        }
        roots.push(Root { collection: feed.read, key: feed.read.name.to_owned(), loads: false, progress, fills: feed.fills });
    }
    for collection in session.all.iter().filter(|c| c.from == From::List && c.gone.is_none()) {
        let (loads, key) = match session.is_chosen(collection.name) {
            true => (true, collection.name.to_owned()),
            false if session.has_children(collection.name) => (false, format!("{} for its children", collection.name)),
            false => continue,
        };
        let progress = if again.contains(collection.name) { Progress::default() } else { progress(&key) };
        roots.push(Root { collection: *collection, key, loads, progress, fills: &[] });
    }
    Ok(roots)
}

async fn read(session: &Session, root: Root) -> (&'static str, Outcome, Option<Error>) {
    let name = root.collection.name;
    let mut outcome = Outcome::default();
    let mut error = pass::read(session, root, &mut outcome).await.err().map(|error| error.within("collection", name));
    if error.as_ref().is_some_and(|error| !is_fatal(error)) && session.is_stopping() {
        // What a stop has cut short is no failure: the next run goes on from here.
        outcome.stopped = true;
        error = None;
    }
    if let Some(error) = &error {
        outcome.fail(error);
        if is_fatal(error) {
            session.halt.send_replace(true);
        }
    }
    session.tools.observer.ended(&session.job.source, name, &outcome);
    (name, outcome, error)
}

impl Session {
    pub fn is_chosen(&self, name: &str) -> bool {
        self.chosen.contains(name)
    }

    /// The chosen collections whose records stand inside or under those of `parent`.
    pub fn children<'a>(&'a self, parent: &'a str) -> impl Iterator<Item = &'a Collection> {
        self.all.iter().filter(|c| self.is_chosen(c.name)).filter(move |c| match c.from {
            From::Nested { of, .. } => of.iter().any(|(name, _)| *name == parent),
            From::Children { of, .. } => of.contains(&parent),
            _ => false,
        })
    }

    fn has_children(&self, parent: &str) -> bool {
        self.children(parent).next().is_some()
    }

    /// Stores progress alone.
    pub async fn store(&self, progress: Vec<(String, Value)>) -> Result<()> {
        let load = Load { id: new_id()?, run: Some(self.run.clone()), progress, ..Load::default() };
        self.schema.commit(load).await.map(drop)
    }
}

/// Returns once it is told to stop; never if nobody is left who could tell.
async fn told(mut stop: watch::Receiver<bool>) {
    let told = stop.wait_for(|stop| *stop).await.is_ok();
    if !told {
        std::future::pending().await
    }
}

async fn begin(session: &Session, began: Timestamp) -> Result<()> {
    let run_row =
        RunRow { id: session.run.clone(), began, ended: None, outcome: "running".to_owned(), detail: Value::Null };
    session.schema.commit(Load { id: new_id()?, run_row: Some(run_row), ..Load::default() }).await.map(drop)
}

/// Writes the run's line; a source that could not even be opened gets one too.
async fn record(job: &Job, tools: &Tools, report: &Report) -> Result<()> {
    let schema = tools.warehouse.schema(&job.source).await?;
    let run_row = RunRow {
        id: report.run.clone(),
        began: report.began,
        ended: Some(report.ended),
        outcome: report.ending.name().to_owned(),
        detail: json!({ "error": report.error, "collections": report.collections }),
    };
    schema.commit(Load { id: new_id()?, run_row: Some(run_row), ..Load::default() }).await.map(drop)
}
