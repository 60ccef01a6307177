//! A run: opens the source, then reads its feeds and its collections, and says what became of each.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use futures::{FutureExt, StreamExt, stream};
use headwater_core::{
    connector::Objects,
    cursor::Progress,
    error::{Error, Result},
    http::{Client, Options},
    object::{Account, Collection, From, ObjectSource},
};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::{
    Ending, Job, Outcome, Report, Tools, family::Lists, is_fatal, new_id, pass, roots::roots, touch,
};
use crate::warehouse::{Load, RunRow, Schema, table::TableSpec};

/// How far a vendor's clock may be behind ours.
pub(super) const CLOCKS: SignedDuration = SignedDuration::from_mins(10);

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
    let cut_short = *tools.stop.borrow() && failed.as_ref().is_some_and(|error| !is_fatal(error));
    report.conclude(failed.as_ref().filter(|_| !cut_short));
    if cut_short {
        report.ending = Ending::Stopped;
    }
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
    /// By parent: the collections whose records stand inside or under its records, as far as they or what hangs on them
    /// is chosen.
    children: BTreeMap<&'static str, Vec<Collection>>,
    /// How the lists under parents went, by collection.
    pub lists: Mutex<BTreeMap<&'static str, Lists>>,
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
        Error::config(format!(
            "{} has no objects to sync; its events arrive by themselves",
            job.connector.title
        ))
    })?;
    let opening = async {
        let (source, client, account) = open(job, tools, objects).await?;
        let collections = source.catalog(&client, objects.collections).await;
        let collections = collections.map_err(|error| error.within("catalog of", job.connector.name))?;
        Ok::<_, Error>((source, client, account, collections))
    };
    // Nothing has begun yet: a stop need not wait for the vendor.
    let (source, client, account, collections) = tokio::select! {
        opened = opening => opened?,
        () = told(tools.stop.clone()) => return Err(Error::transient("stopped before it began")),
    };
    report.account = account;
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
        children: family_tree(&collections, &chosen),
        all: collections,
        chosen,
        tables,
        lists: Mutex::default(),
        halt,
    };
    begin(&session, report.began).await?;
    let shown: Vec<&str> = match job.only.is_empty() {
        true => session.chosen.iter().copied().collect(),
        false => job.only.iter().map(String::as_str).collect(),
    };
    tools.observer.started(&job.source, &shown);
    let stored = session.schema.progress().await?;
    let mut touched = Outcome::default();
    let mut fatal = touch::fetch(&session, &stored, &mut touched).await.err();
    if fatal.is_none() && !job.touched_only {
        fatal = read_all(&session, objects, &stored, report).await?;
        if fatal.is_none() && touched.error.is_none() && !session.is_stopping() {
            // What was touched while all that was read.
            fatal = touch::fetch(&session, &session.schema.progress().await?, &mut touched).await.err();
        }
    }
    if touched.pages > 0 || touched.error.is_some() {
        report.collections.insert("touched rows".to_owned(), touched);
    }
    session.tell_of_lists(report);
    fatal.map_or(Ok(()), Err)
}

/// Reads everything that has a reading of its own, side by side; returns what stops the whole source, if anything did.
async fn read_all(
    session: &Session,
    objects: &Objects,
    stored: &BTreeMap<String, Value>,
    report: &mut Report,
) -> Result<Option<Error>> {
    let roots = roots(session, objects.feeds, stored).await?;
    let reads: Vec<_> = roots.into_iter().map(|root| read(session, root).boxed()).collect();
    let mut outcomes = stream::iter(reads).buffer_unordered(session.tools.bounds.side_by_side.max(1));
    let mut fatal: Option<Error> = None;
    while let Some((name, outcome, error)) = outcomes.next().await {
        report.collections.insert(name.to_owned(), outcome);
        // A spent allotment comes back by itself: what needs a user is said first.
        if let Some(error) = error.filter(is_fatal)
            && fatal.as_ref().is_none_or(|fatal| fatal.until().is_some())
        {
            fatal = Some(error);
        }
    }
    Ok(fatal)
}

/// Opens the source: settings, client, check; a second client where the account says where its API is.
pub(super) async fn open(
    job: &Job,
    tools: &Tools,
    objects: &Objects,
) -> Result<(Box<dyn ObjectSource>, Client, Account)> {
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
    for name in job.collections.iter().chain(&job.only).chain(&job.exclude) {
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
        .filter(|name| {
            let mut named = job.collections.iter().chain(&job.only);
            job.collections.is_empty() || named.any(|chosen| chosen == name)
        })
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

async fn read(session: &Session, root: Root) -> (&'static str, Outcome, Option<Error>) {
    let name = root.collection.name;
    let mut outcome = Outcome::default();
    let mut error =
        pass::read(session, root, &mut outcome).await.err().map(|error| error.within("collection", name));
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
    fn tell_of_lists(&self, report: &mut Report) {
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
fn family_tree(
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
async fn told(mut stop: watch::Receiver<bool>) {
    let told = stop.wait_for(|stop| *stop).await.is_ok();
    if !told {
        std::future::pending().await
    }
}

async fn begin(session: &Session, began: Timestamp) -> Result<()> {
    let run_row = RunRow {
        id: session.run.clone(),
        began,
        ended: None,
        outcome: "running".to_owned(),
        detail: Value::Null,
    };
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
