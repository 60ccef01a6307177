//! Touches: rows that a webhook said have changed, without saying how. They are kept in the schema's progress until they have been
//! fetched by their keys: at once, if the program runs, else by the next run.

use std::collections::BTreeMap;

use headwater_core::{
    error::{Error, Kind, Result},
    object::{Change, Op, Version},
    record::Record,
};
use serde_json::Value;

use super::{Outcome, batches::Batches, family::Family, is_fatal, session::Session};
use crate::warehouse::Load;

/// What the progress keys of touches begin with.
const PREFIX: &str = "touch ";
/// Rows that are fetched between two commits.
const BATCH: usize = 50;
/// Rows that cannot be fetched before no further one is tried in this run.
const FAILURES: usize = 20;

/// The key that a touch is kept under: the collection, the record that names the row, and the item that touched it. Each item
/// has its own, so that a row touched again while it is being fetched is fetched again.
pub fn key(change: &Change, item: &str) -> Result<String> {
    let text =
        std::str::from_utf8(change.record.bytes()).map_err(|_| Error::unexpected("a key is not UTF-8"))?;
    Ok(format!("{PREFIX}{} {text} {item}", change.collection))
}

/// One row, however often it was touched.
#[derive(Default)]
struct Touched {
    version: Option<Version>,
    keys: Vec<String>,
}

/// Fetches what has been touched, and commits each row with its touches taken away. A row that cannot be fetched keeps its
/// touches, and holds back none of the others; an error is returned only if it stops the whole source.
pub(super) async fn fetch(
    session: &Session,
    stored: &BTreeMap<String, Value>,
    outcome: &mut Outcome,
) -> Result<()> {
    let rows: Vec<_> = rows(stored).into_iter().collect();
    let mut failures = 0;
    for chunk in rows.chunks(BATCH) {
        let began = session.now();
        let mut batches = Batches::new(session, began)?;
        let mut done = Vec::new();
        let mut failed = None;
        for ((name, json), touched) in chunk {
            if session.is_stopping() || failures >= FAILURES || failed.is_some() {
                break;
            }
            match row(session, name, json, touched.version).await {
                Ok(changes) => {
                    for change in &changes {
                        if change.op == Op::Upsert {
                            // Lists under the row are read with its own list.
                            batches.inside(change, &mut Vec::new())?;
                        }
                        batches.push(change, None, false)?;
                    }
                    done.extend(touched.keys.iter().map(|key| (key.clone(), Value::Null)));
                }
                Err(_) if session.is_stopping() => break,
                Err(error) if is_fatal(&error) => failed = Some(error),
                Err(error) => {
                    failures += 1;
                    if outcome.error.is_none() {
                        outcome.fail(&error.within("touched row of", *name));
                    }
                }
            }
        }
        if !done.is_empty() {
            outcome.pages += 1;
            outcome.records += batches.records;
            let request = "touched rows".to_owned();
            outcome
                .add(session.schema.commit(Load { request, progress: done, ..batches.into_load() }).await?);
        }
        if let Some(error) = failed {
            outcome.fail(&error);
            return Err(error);
        }
    }
    outcome.stopped = session.is_stopping() && !rows.is_empty();
    Ok(())
}

/// The touched rows, by collection and key.
fn rows(stored: &BTreeMap<String, Value>) -> BTreeMap<(&str, &str), Touched> {
    let mut rows: BTreeMap<(&str, &str), Touched> = BTreeMap::new();
    for (key, value) in stored.range(PREFIX.to_owned()..).take_while(|(key, _)| key.starts_with(PREFIX)) {
        let (name, rest) = key[PREFIX.len()..].split_once(' ').unwrap_or_default();
        let json = rest.rsplit_once(' ').map_or(rest, |(json, _)| json);
        let row = rows.entry((name, json)).or_default();
        row.version = row.version.max(value.get("version").and_then(Value::as_i64).map(Version));
        row.keys.push(key.clone());
    }
    rows
}

/// What the vendor has of a touched row now; nothing where its collection is not wanted any more.
async fn row(session: &Session, name: &str, json: &str, version: Option<Version>) -> Result<Vec<Change>> {
    let Some(collection) = session.find(name) else { return Ok(Vec::new()) };
    let record = Record::parse(&json.to_owned().into())?;
    let change = Change::upsert(collection.name, record).op(Op::Touch).version(version);
    match Family::fetched(session, change).await {
        Err(error) if error.kind() == Kind::Forbidden => Err(Error::new(
            Kind::Forbidden,
            format!("{}: it stays as it is until it is permitted, or read with its list", error.message()),
        )),
        fetched => fetched,
    }
}
