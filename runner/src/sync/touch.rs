//! Touches: rows that a webhook said have changed, without saying how. They are kept in the schema's progress until they have been
//! fetched by their keys: at once, if the program runs, else by the next run.

use std::collections::BTreeMap;

use headwater_core::{
    error::{Error, Kind, Result},
    object::{Change, Op, Version},
    record::Record,
};
use serde_json::Value;

use super::{Outcome, engine::Session, family::Family, new_id};
use crate::warehouse::Load;

/// What the progress keys of touches begin with.
const PREFIX: &str = "touch ";
/// Rows that are fetched between two commits.
const BATCH: usize = 50;

/// The key that a touch is kept under: the collection and the record that names the row.
pub fn key(change: &Change) -> Result<String> {
    let text = std::str::from_utf8(change.record.bytes()).map_err(|_| Error::unexpected("a key is not UTF-8"))?;
    Ok(format!("{PREFIX}{} {text}", change.collection))
}

/// Fetches what has been touched, and commits each row with its touch taken away.
pub(super) async fn fetch(session: &Session, stored: &BTreeMap<String, Value>, outcome: &mut Outcome) -> Result<()> {
    let touches: Vec<(&String, &Value)> =
        stored.range(PREFIX.to_owned()..).take_while(|(key, _)| key.starts_with(PREFIX)).collect();
    for chunk in touches.chunks(BATCH) {
        let mut changes = Vec::new();
        let mut done = Vec::new();
        for (key, value) in chunk {
            if session.is_stopping() {
                outcome.stopped = true;
                break;
            }
            let (name, json) = key[PREFIX.len()..].split_once(' ').unwrap_or_default();
            done.push(((*key).clone(), Value::Null));
            let Some(collection) = session.all.iter().find(|collection| collection.name == name) else { continue };
            let record = Record::parse(&json.to_owned().into())?;
            let version = value.get("version").and_then(Value::as_i64).map(Version);
            let change = Change::upsert(collection.name, record).op(Op::Touch).version(version);
            match Family::fetched(session, change).await {
                Ok(fetched) => changes.extend(fetched),
                Err(error) if error.kind() == Kind::Forbidden => outcome.notice(error.to_string()),
                Err(error) => return Err(error),
            }
        }
        let mut load = Family::rows(session, changes)?;
        load.id = new_id()?;
        load.progress = done;
        outcome.pages += 1;
        outcome.records += chunk.len() as u64;
        outcome.add(session.schema.commit(Load { run: Some(session.run.clone()), ..load }).await?);
    }
    Ok(())
}
