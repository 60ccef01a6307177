//! Page after page: where a read may go on, where it ends, and what it asks for.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use headwater::sync::Ending;
use headwater_core::{
    cursor::{At, More, Pages, Read},
    object::{Change, Collection, Op},
};
use serde_json::Value;

use super::{Verdict, read, stand, strangers, told, verdict, wait};
use crate::{
    engine,
    fixture::Exchange,
    reading::{self, Walk, show},
    replay::{Fault, Met, Replay},
    subject::Subject,
};

/// From the cursor of every page, stored as JSON and read back by a new process, exactly the rest of the read follows;
/// so it does from the beginning.
pub fn resume(subject: &Subject, root: &str) -> Verdict {
    wait(async {
        let (_, _, whole) = read(subject, root).await?;
        let mut wrong = Vec::new();
        for walk in &whole.walks {
            for place in 0..walk.steps.len() {
                if let Err(why) = resume_at(subject, root, walk, place).await {
                    wrong.push(format!("{}, after page {place}: {why}", walk.collection.name));
                }
            }
        }
        verdict(wrong)
    })
}

async fn resume_at(subject: &Subject, root: &str, walk: &Walk, place: usize) -> Verdict {
    let page = match place.checked_sub(1) {
        Some(last) => {
            serde_json::from_str(&walk.steps[last].after.to_string()).map_err(|error| error.to_string())?
        }
        None => Value::Null,
    };
    let (replay, opened) = stand(subject, root).await?;
    let from = Read { page, ..walk.read.clone() };
    let again = opened.walk(&replay, &walk.collection, from, walk.parent.as_ref()).await;
    let again = again.map_err(|error| format!("{}{}", told(error), strangers(&replay)))?;
    let changes = |steps: &[reading::Step]| -> Vec<String> {
        // The place in the parent's list is counted from the start of a read.
        let rows = steps.iter().flat_map(|step| &step.changes);
        rows.map(|change| show(&Change { index: 0, ..change.clone() })).collect()
    };
    let (expected, found) = (changes(&walk.steps[place..]), changes(&again.steps));
    match expected == found {
        true => Ok(()),
        false => Err(difference(&expected, &found)),
    }
}

/// What is missing and what is too much, in short.
pub fn difference(expected: &[String], found: &[String]) -> String {
    let count = |of: &[String]| {
        let mut counts: BTreeMap<String, i64> = BTreeMap::new();
        of.iter().for_each(|one| *counts.entry(one.clone()).or_default() += 1);
        counts
    };
    let (known, met) = (count(expected), count(found));
    let more = |one: &BTreeMap<String, i64>, other: &BTreeMap<String, i64>| {
        let extra = one.iter().filter(|(key, count)| **count > other.get(*key).copied().unwrap_or(0));
        extra.map(|(key, _)| key.chars().take(160).collect::<String>()).collect::<Vec<_>>()
    };
    let (missing, extra) = (more(&known, &met), more(&met, &known));
    if missing.is_empty() && extra.is_empty() {
        return "the rows come in another order".into();
    }
    format!("{} rows instead of {}; missing {missing:#?}, too much {extra:#?}", found.len(), expected.len())
}

/// A page of no records ends the read, and nothing that it does not hold is loaded. The page is the last recorded one of
/// its kind without its records, or the only answer of `<collection>.empty.http`.
pub fn empty(subject: &Subject, root: &str) -> Verdict {
    wait(async {
        let (replay, _, whole) = read(subject, root).await?;
        let full: BTreeSet<String> = whole.rows.iter().map(show).collect();
        let first = whole.walks.first().and_then(|walk| walk.steps.first().map(|step| (walk, step)));
        let Some((walk, step)) = first else { return Err("the read has no page".into()) };
        let log = replay.log();
        let asked: Vec<usize> = step.requests.clone().filter_map(|at| log.get(at)?.exchange).collect();
        let prepared =
            subject.fixtures.recordings.get(&format!("{root}.empty")).and_then(|known| known.first());
        let found = match prepared {
            Some(known) => asked.first().map(|place| (*place, known.answer.clone())),
            None => asked
                .iter()
                .find_map(|place| Some((*place, emptied(&walk.collection, *place, replay.exchanges())?))),
        };
        let Some((place, body)) = found else {
            return Err(format!("no answer to the first page holds a list: write {root}.empty.http"));
        };
        let plan = move |met: Met| (met.place == place).then(|| Fault::Body(body.clone()));
        let replay = Replay::failing(reading::exchanges(subject, root), Box::new(plan)).await?;
        let opened = reading::open(subject, reading::options(&replay)).await.map_err(told)?;
        let again = opened.whole(subject, &replay, &walk.collection).await.map_err(told)?;
        let mut wrong = Vec::new();
        if let Some(endless) =
            again.walks.iter().find(|walk| walk.collection.name == root && walk.steps.len() > 1)
        {
            wrong.push(format!("the read does not end: it has {} pages", endless.steps.len()));
        }
        for row in again.rows.iter().map(show).filter(|row| !full.contains(row)) {
            wrong.push(format!("an empty page brought {}", row.chars().take(200).collect::<String>()));
        }
        if again.rows.len() == whole.rows.len() {
            wrong.push("an empty page changed nothing in what was read".into());
        }
        verdict(wrong)
    })
}

/// The last answer of the same kind, its records taken out, and saying that nothing follows.
fn emptied(collection: &Collection, place: usize, all: &[Exchange]) -> Option<Bytes> {
    let known = &all[place];
    let like = |other: &&Exchange| {
        other.file == known.file && other.method == known.method && other.path == known.path
    };
    let last = all.iter().rfind(like)?;
    let mut body: Value = serde_json::from_slice(&last.answer).ok()?;
    let path = collection.records.replace("{name}", collection.name);
    let path = match path.split_once(".*") {
        Some((before, _)) => before.to_owned(),
        None => path,
    };
    let at = if path.is_empty() { largest_list(&body)? } else { format!("/{}", path.replace('.', "/")) };
    let list = body.pointer_mut(&at)?;
    if !list.is_array() {
        return None;
    }
    *list = Value::Array(Vec::new());
    let more = match collection.pages {
        Pages::Url { at, more } | Pages::Token { at, more, .. } => {
            if let (At::Body(path), More::Given) = (at, more) {
                set(&mut body, path, Value::Null);
            }
            more
        }
        Pages::Number { more, .. } | Pages::Offset { more, .. } | Pages::After { more, .. } => more,
        Pages::One | Pages::Custom => More::Given,
    };
    match more {
        More::If(path) => set(&mut body, path, false.into()),
        More::Unless(path) => set(&mut body, path, true.into()),
        More::Total(path) => set(&mut body, path, 0.into()),
        More::Given | More::Full => {}
    }
    Some(body.to_string().into())
}

fn set(body: &mut Value, path: &str, value: Value) {
    if let Some(member) = body.pointer_mut(&format!("/{}", path.replace('.', "/"))) {
        *member = value;
    }
}

/// Where a body has its longest list of objects: itself, or one of its members.
fn largest_list(body: &Value) -> Option<String> {
    let count =
        |value: &Value| value.as_array().filter(|items| items.iter().all(Value::is_object)).map(Vec::len);
    if count(body).is_some() {
        return Some(String::new());
    }
    let lists = body.as_object()?.iter().filter_map(|(name, value)| Some((count(value)?, name)));
    lists.max().map(|(_, name)| format!("/{name}"))
}

/// The engine reads the root to its end: it asks for nothing that is not recorded, every recorded answer is used, what it
/// loads is what the pages hold, and every record becomes a row.
pub fn idle(subject: &Subject, root: &str) -> Verdict {
    wait(async {
        let (replay, opened, whole) = read(subject, root).await?;
        let pages: BTreeSet<String> = whole.rows.iter().filter_map(brief).collect();
        let mut wrong = Vec::new();
        for unused in replay.idle().into_iter().filter(|unused| unused.file == root) {
            wrong.push(format!(
                "reading its pages never asks for {:?}: {} {}",
                unused.name, unused.method, unused.path
            ));
        }
        let replay = Replay::start(reading::exchanges(subject, root)).await?;
        let synced = engine::run(subject, &opened, &replay, root).await?;
        if synced.report.ending != Ending::Success {
            wrong.push(format!(
                "the sync ended as {}: {}",
                synced.report.ending.name(),
                errors(&synced.report)
            ));
        }
        wrong.extend(synced.rejects.iter().map(|reject| format!("rejected: {reject}")));
        wrong.extend(replay.strangers().iter().map(|stranger| format!("not recorded: {stranger}")));
        for unused in replay.idle().into_iter().filter(|unused| unused.file == root) {
            wrong.push(format!("a sync never asks for {:?}: {} {}", unused.name, unused.method, unused.path));
        }
        let loaded: BTreeSet<String> = synced.records.iter().filter_map(brief).collect();
        for lost in pages.difference(&loaded).take(5) {
            wrong.push(format!("not loaded: {lost}"));
        }
        for extra in loaded.difference(&pages).take(5) {
            wrong.push(format!("loaded, and in no page: {extra}"));
        }
        verdict(wrong)
    })
}

/// What tells a change from another, whatever its version; none for one that is no row.
fn brief(change: &Change) -> Option<String> {
    let text = String::from_utf8_lossy(change.record.bytes());
    (change.op != Op::Touch).then(|| format!("{:?} {} {text}", change.op, change.collection))
}

/// The errors of a report, in one line.
pub fn errors(report: &headwater::sync::Report) -> String {
    let of = report
        .collections
        .iter()
        .filter_map(|(name, outcome)| Some(format!("{name}: {}", outcome.error.as_ref()?)));
    report.error.iter().cloned().chain(of).collect::<Vec<_>>().join("; ")
}
