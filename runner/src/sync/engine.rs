//! A run: opens the source, then reads its feeds and its collections, and says what became of each.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use futures::{FutureExt, StreamExt, stream};
use headwater_core::{
    connector::Objects,
    error::{Error, Result},
    http::{Client, Options},
    object::{Account, Collection, ObjectSource},
};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::{
    Ending, Job, Outcome, Report, Tools, is_fatal, new_id, pass,
    roots::roots,
    session::{Root, Session, family_tree, told},
    touch,
};
use crate::warehouse::{Load, RunRow, table::TableSpec};

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
pub async fn open(
    job: &Job,
    tools: &Tools,
    objects: &Objects,
) -> Result<(Box<dyn ObjectSource>, Client, Account)> {
    let source = (objects.open)(job.settings.clone())?;
    let client = |account: &Account| Client::new(source.api(account)?, options(job, tools, account));
    let first = client(&job.account)?;
    let account = source.check(&first).await?;
    let client = match account == job.account {
        true => first,
        false => client(&account)?.with_clock_of(&first),
    };
    Ok((source, client, account))
}

/// How the client of a job's account works.
pub fn options(job: &Job, tools: &Tools, account: &Account) -> Options {
    Options {
        vault: tools.vault.clone(),
        vault_key: job.source.clone(),
        // An account that is not known yet is the source's own.
        account_key: match account.id.as_str() {
            "" => format!("{}/?{}", job.connector.name, job.source),
            id => format!("{}/{id}", job.connector.name),
        },
        ledger: tools.shared.ledger.clone(),
        gates: tools.shared.gates.clone(),
        reserve: job.reserve,
        base_url: job.base_url.clone(),
        account: account.clone(),
        ..Options::default()
    }
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
