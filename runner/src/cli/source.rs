//! Commands on a source: `sync`, `check`, `discover`, `sources`, `runs`. They ask the process that owns the data folder, or own it
//! themselves while none does.

use std::{collections::HashMap, sync::Arc, time::Duration};

use clap::Args as ClapArgs;
use headwater_core::error::{Error, Kind, Result};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use serde_json::Value;
use tokio::sync::mpsc;

use super::{End, Globals, complain, say, table};
use crate::service::{
    Service,
    control::{self, Ask, Say},
};

/// Sync a source now.
#[derive(ClapArgs)]
pub(super) struct SyncArgs {
    /// The source.
    source: String,
    /// Only this collection; may be given several times.
    #[arg(long = "collection", short = 'c', value_name = "NAME")]
    collections: Vec<String>,
    /// Forget the progress and read everything again.
    #[arg(long)]
    full: bool,
    /// Let a whole read mark rows as deleted, however many they are.
    #[arg(long)]
    accept_deletes: bool,
    /// The report as JSON.
    #[arg(long)]
    json: bool,
}

/// Ask the vendor whether a source's credentials are good.
#[derive(ClapArgs)]
pub(super) struct CheckArgs {
    /// The source.
    source: String,
    /// The account as JSON.
    #[arg(long)]
    json: bool,
}

/// Show what a source's account has.
#[derive(ClapArgs)]
pub(super) struct DiscoverArgs {
    /// The source.
    source: String,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

/// Show the sources, their keys and addresses.
#[derive(ClapArgs)]
pub(super) struct SourcesArgs {
    /// As JSON.
    #[arg(long)]
    json: bool,
}

/// Show what is spent of the accounts' daily allotments, and which sources wait for one.
#[derive(ClapArgs)]
pub(super) struct QuotaArgs {
    /// As JSON.
    #[arg(long)]
    json: bool,
}

/// Show how the latest runs went.
#[derive(ClapArgs)]
pub(super) struct RunsArgs {
    /// Only this source's.
    source: Option<String>,
    /// How many.
    #[arg(long, default_value_t = 20)]
    limit: usize,
    /// As JSON, with each collection's outcome.
    #[arg(long)]
    json: bool,
}

/// Has something done by whoever owns the data folder; Ctrl-C ends what this process does itself at its next safe point.
pub(super) async fn done(globals: &Globals, ask: Ask, hear: &mut dyn FnMut(Say)) -> Result<Value> {
    let config = globals.config()?;
    if let Some(result) = control::ask(&config.data_dir, &ask, hear).await? {
        return Ok(result);
    }
    let service = Arc::new(Service::open(config).await?);
    let ends_safely = matches!(ask, Ask::Sync { .. } | Ask::Replay(_));
    let (tell, mut told) = mpsc::channel(control::WAITING);
    let work = service.answer(ask, tell);
    tokio::pin!(work);
    let mut interrupted = false;
    loop {
        tokio::select! {
            result = &mut work => {
                while let Ok(said) = told.try_recv() {
                    hear(said);
                }
                return result;
            }
            Some(said) = told.recv() => hear(said),
            _ = tokio::signal::ctrl_c() => {
                // A sync or a replay stops at its next safe point; asked twice, it does not wait for that: a commit is whole or not at all.
                if interrupted || !ends_safely {
                    return Err(Error::transient("interrupted"));
                }
                interrupted = true;
                service.stop();
            }
        }
    }
}

pub(super) async fn sync(globals: &Globals, args: SyncArgs) -> Result<End> {
    let ask = Ask::Sync {
        source: args.source.clone(),
        collections: args.collections,
        full: args.full,
        accept_deletes: args.accept_deletes,
    };
    let mut bars = Bars::default();
    let report = done(globals, ask, &mut |said| bars.hear(said)).await?;
    bars.all.clear().ok();
    if args.json {
        say(&report.to_string())?;
    } else {
        show(&report)?;
    }
    end(&report)
}

/// How a run's ending is told to the caller: an exit code, and one line of standard error where something went wrong.
pub(super) fn end(report: &Value) -> Result<End> {
    let source = report["source"].as_str().unwrap_or_default();
    let all = report["collections"].as_object();
    let bad: Vec<&Value> =
        all.into_iter().flat_map(|all| all.values()).filter(|outcome| outcome["error"].is_string()).collect();
    let error = match (report["error"].as_str(), bad.first()) {
        (Some(error), _) => Error::new(kind(report), error),
        (None, None) => return Ok(if report["ending"] == "paused" { End::Partly } else { End::Done }),
        (None, Some(first)) => {
            let (failed, all) = (bad.len(), all.map_or(0, |all| all.len()));
            let why = first["error"].as_str().unwrap_or_default();
            Error::new(kind(first), format!("source {source}: {failed} of {all} collections failed: {why}"))
        }
    };
    match report["ending"].as_str() {
        Some("partial" | "paused") => {
            complain(&error);
            Ok(End::Partly)
        }
        _ => Err(error),
    }
}

fn kind(told: &Value) -> Kind {
    told["kind"].as_str().map_or(Kind::Transient, |name| Kind::find(name).unwrap_or(Kind::Unexpected))
}

/// Prints a run's report for people.
pub(super) fn show(report: &Value) -> Result<()> {
    let empty = serde_json::Map::new();
    let collections = report["collections"].as_object().unwrap_or(&empty);
    let number = |outcome: &Value, name: &str| outcome[name].as_u64().unwrap_or(0).to_string();
    let rows: Vec<Vec<String>> = collections
        .iter()
        .map(|(name, outcome)| {
            let mut row = vec![name.clone()];
            row.extend(["records", "inserted", "updated", "deleted"].map(|column| number(outcome, column)));
            row.push(match outcome["error"].as_str() {
                Some(error) => error.to_owned(),
                None if outcome["stopped"].as_bool() == Some(true) => "stopped: goes on from here".to_owned(),
                None => "ok".to_owned(),
            });
            row
        })
        .collect();
    for line in table::lines(&["collection", "records", "new", "changed", "deleted", "outcome"], &rows) {
        say(&line)?;
    }
    for (name, outcome) in collections {
        for notice in outcome["notices"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            say(&format!("note on {name}: {notice}"))?;
        }
        if let Some(late) = outcome["overlap_new"].as_u64().filter(|late| *late > 0) {
            say(&format!(
                "note on {name}: {late} rows appeared later than the vendor's lists allow for; none was lost"
            ))?;
        }
    }
    if let Some(until) = report["paused_until"].as_str() {
        say(&format!("paused until {until}: an allotment is spent; the next run goes on from here"))?;
    }
    if let Some(error) = report["error"].as_str() {
        say(&format!("error: {error}"))?;
    }
    say(&format!(
        "{}: {}",
        report["source"].as_str().unwrap_or_default(),
        report["ending"].as_str().unwrap_or_default()
    ))
}

/// A progress bar for each collection that is being read; nothing where standard error is no terminal.
#[derive(Default)]
struct Bars {
    all: MultiProgress,
    by_name: HashMap<String, ProgressBar>,
}

impl Bars {
    fn hear(&mut self, said: Say) {
        let Say::Page { collection, records, ended, error } = said else { return };
        let bar = self.by_name.entry(collection.clone()).or_insert_with(|| {
            let style =
                ProgressStyle::with_template("{spinner} {prefix:28} {pos:>9} records  {per_sec:>14}  {msg}");
            let bar = self.all.add(ProgressBar::no_length());
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            bar.set_prefix(collection);
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        bar.set_position(records);
        if ended {
            bar.finish_with_message(error.map_or("done".to_owned(), |error| format!("ended: {error}")));
        }
    }
}

pub(super) async fn check(globals: &Globals, args: CheckArgs) -> Result<End> {
    let account = done(globals, Ask::Check { source: args.source.clone() }, &mut |_| ()).await?;
    if args.json {
        say(&account.to_string())?;
    } else {
        let text = |name: &str| account[name].as_str().unwrap_or_default();
        say(&format!("{}: the credentials are good: {} ({})", args.source, text("title"), text("id")))?;
    }
    Ok(End::Done)
}

pub(super) async fn discover(globals: &Globals, args: DiscoverArgs) -> Result<End> {
    let found = done(globals, Ask::Discover { source: args.source }, &mut |_| ()).await?;
    if args.json {
        say(&found.to_string())?;
        return Ok(End::Done);
    }
    let rows: Vec<Vec<String>> = found["collections"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|collection| {
            let text = |name: &str| collection[name].as_str().unwrap_or_default().to_owned();
            let key: Vec<&str> =
                collection["key"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            vec![
                text("name"),
                key.join(", "),
                collection["columns"].as_array().map_or(0, Vec::len).to_string(),
                if collection["incremental"].as_bool() == Some(true) { "incremental" } else { "full" }
                    .to_owned(),
                text("gone"),
            ]
        })
        .collect();
    for line in table::lines(&["collection", "key", "columns", "reading", "gone"], &rows) {
        say(&line)?;
    }
    Ok(End::Done)
}

pub(super) async fn sources(globals: &Globals, args: SourcesArgs) -> Result<End> {
    let all = done(globals, Ask::Sources, &mut |_| ()).await?;
    if args.json {
        say(&all.to_string())?;
        return Ok(End::Done);
    }
    let all = all.as_array().cloned().unwrap_or_default();
    if all.is_empty() {
        say("no sources yet: headwater init writes a configuration to begin with")?;
    }
    for source in &all {
        let text = |name: &str| source[name].as_str().unwrap_or("–");
        let last = match source["last_run"].as_object() {
            Some(run) => format!(
                "{} at {}",
                run["ending"].as_str().unwrap_or_default(),
                run["ended"].as_str().unwrap_or_default()
            ),
            None => "none yet".to_owned(),
        };
        say(&format!("{} ({})", text("name"), text("connector")))?;
        say(&format!("  schedule   {}", text("schedule")))?;
        say(&format!("  last run   {last}"))?;
        if let Some(fetching) = source["fetching"].as_object() {
            say(&format!("  fetching   {}", how(fetching)))?;
        }
        if let Some(waiting) = source["waiting_for_look_ups"].as_u64() {
            say(&format!("  look-ups   {waiting} deliveries wait for the vendor's answers"))?;
        }
        if let (Some(what), Some(error)) =
            (source["asked"]["what"].as_str(), source["asked"]["error"].as_str())
        {
            say(&format!(
                "  {what} failed at {}: {error}",
                source["asked"]["at"].as_str().unwrap_or_default()
            ))?;
        }
        say(&format!("  write key  {}", text("write_key")))?;
        for webhook in source["webhooks"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            say(&format!("  webhook    {webhook}"))?;
        }
    }
    Ok(End::Done)
}

/// How the fetching of a source's events goes, in a line.
fn how(fetching: &serde_json::Map<String, Value>) -> String {
    let text = |name: &str| fetching.get(name).and_then(Value::as_str);
    let deliveries = fetching.get("deliveries").and_then(Value::as_u64).unwrap_or(0);
    let since = format!("{deliveries} deliveries since the start");
    match (text("error"), text("up_to_date")) {
        (Some(error), _) => format!("{since}; it does not go on: {error}"),
        (None, Some(time)) => format!("{since}; up to date at {time}"),
        (None, None) => since,
    }
}

pub(super) async fn quota(globals: &Globals, args: QuotaArgs) -> Result<End> {
    let found = done(globals, Ask::Quota, &mut |_| ()).await?;
    if args.json {
        say(&found.to_string())?;
        return Ok(End::Done);
    }
    let quotas = found["quotas"].as_array().cloned().unwrap_or_default();
    let rows: Vec<Vec<String>> = quotas
        .iter()
        .map(|quota| {
            let text = |name: &str| quota[name].as_str().unwrap_or_default().to_owned();
            let limit = [text("host"), text("limit")].into_iter().filter(|part| !part.is_empty());
            let amount =
                quota["amount"].as_u64().map_or("not told yet".to_owned(), |amount| amount.to_string());
            vec![
                text("account"),
                limit.collect::<Vec<_>>().join(" "),
                format!("{} of {amount} {}", quota["spent"], text("of")),
                text("until"),
                if quota["told"].is_null() { "counted" } else { "told by the vendor" }.to_owned(),
            ]
        })
        .collect();
    match rows.is_empty() {
        true => say("no daily allotment has been used")?,
        false => {
            for line in table::lines(&["account", "limit", "spent", "comes back", "how we know"], &rows) {
                say(&line)?;
            }
        }
    }
    for (source, until) in found["paused"].as_object().into_iter().flatten() {
        say(&format!("{source} waits until {}", until.as_str().unwrap_or_default()))?;
    }
    Ok(End::Done)
}

pub(super) async fn runs(globals: &Globals, args: RunsArgs) -> Result<End> {
    let runs = done(globals, Ask::Runs { source: args.source, limit: args.limit }, &mut |_| ()).await?;
    if args.json {
        say(&runs.to_string())?;
        return Ok(End::Done);
    }
    let rows: Vec<Vec<String>> = runs
        .as_array()
        .into_iter()
        .flatten()
        .map(|run| {
            let text = |name: &str| run[name].as_str().unwrap_or_default().to_owned();
            let sum = |name: &str| {
                let collections = run["report"]["collections"].as_object();
                let all = collections.into_iter().flat_map(|all| all.values());
                all.filter_map(|outcome| outcome[name].as_u64()).sum::<u64>().to_string()
            };
            vec![
                text("began"),
                text("source"),
                text("ending"),
                sum("records"),
                sum("inserted"),
                sum("updated"),
                run["report"]["error"].as_str().unwrap_or_default().to_owned(),
            ]
        })
        .collect();
    for line in table::lines(&["began", "source", "ending", "records", "new", "changed", "error"], &rows) {
        say(&line)?;
    }
    Ok(End::Done)
}
