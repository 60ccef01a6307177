//! What the recorded rows hold.

use std::{collections::BTreeMap, sync::Arc};

use headwater::warehouse::table::{Batch, Cell, Meta, TableSpec};
use headwater_core::{
    object::{Change, Collection, Field, From, Op, Origin, Type, Version},
    record::{Raw, Record},
};

use super::{Verdict, read, verdict, wait};
use crate::subject::{Subject, now};

/// The recorded values of each documented column have its type, and its path leads somewhere: at least one recorded row
/// has the member that it names, or null on the way there.
pub fn fields(subject: &Subject, name: &str) -> Verdict {
    let Some((collection, rows)) = rows_of(subject, name)? else { return Ok(()) };
    let batch = batch(&collection, &rows)?;
    let mut wrong = Vec::new();
    for field in collection.fields().flatten() {
        if let Some(place) =
            batch.columns().iter().position(|column| column.declared && column.name == field.name)
        {
            let odd = batch.rows().iter().flat_map(|row| &row.cells).find(|(at, cell)| {
                *at as usize == place && cell.kind().is_some_and(|kind| !fits(kind, field.kind))
            });
            if let Some((_, cell)) = odd {
                wrong.push(format!("{name}.{} is no {}: {}", field.name, field.kind.name(), cell.json()));
            }
        }
        let structure = rows.iter().find_map(|change| match (field.kind, field.origin) {
            (Type::Text, Origin::Record(path)) => {
                change.record.at(path).ok()?.filter(|raw| raw.bytes()[0] != b'"')
            }
            _ => None,
        });
        if let Some(raw) = structure {
            let shown: String = String::from_utf8_lossy(raw.bytes()).chars().take(80).collect();
            wrong.push(format!("{name}.{} is no text: {shown}", field.name));
        }
        if !is_met(&field, &rows) {
            wrong.push(format!("{name}.{}: no recorded row has {}", field.name, origin(&field)));
        }
    }
    verdict(wrong)
}

/// Whether a column of this type holds such values as they are.
fn fits(value: Type, column: Type) -> bool {
    value == column
        || matches!((value, column), (Type::Int | Type::Real, Type::Numeric) | (Type::Date, Type::Time))
}

/// Every row has its whole key, no two different rows have the same, and there is at least one row.
pub fn keys(subject: &Subject, name: &str) -> Verdict {
    let Some((collection, rows)) = rows_of(subject, name)? else { return Ok(()) };
    let spec = Arc::new(TableSpec::object(&collection).map_err(|error| error.to_string())?);
    let mut wrong = Vec::new();
    let mut known: BTreeMap<String, (serde_json::Value, Option<Version>)> = BTreeMap::new();
    let upserts: Vec<_> = rows.iter().filter(|change| change.op == Op::Upsert).collect();
    if upserts.is_empty() {
        return Err(format!("no recorded row of {name}"));
    }
    for change in upserts {
        let mut one = Batch::new(Arc::clone(&spec));
        if let Err(reject) = one.push(change, meta()) {
            wrong.push(format!(
                "{}: {}",
                reject.reason,
                reject.payload.chars().take(200).collect::<String>()
            ));
            continue;
        }
        let key = key(&one, collection.key.len());
        let content = serde_json::from_slice(change.record.bytes()).map_err(|error| error.to_string())?;
        let version = match collection.version {
            Some(path) => headwater_core::rest::version(&change.record, path).ok().flatten(),
            None => change.version,
        };
        match known.get(&key) {
            // Read twice, or newer by now.
            Some((before, _)) if *before == content => {}
            Some((_, earlier)) if earlier.is_some() && *earlier != version => {}
            Some(_) => wrong.push(format!("two different rows have the key {key}")),
            None => {
                known.insert(key, (content, version));
            }
        }
    }
    verdict(wrong)
}

/// A collection as the account has it, and its recorded rows; none if only webhooks fill it.
fn rows_of(subject: &Subject, name: &str) -> Result<Option<(Collection, Vec<Change>)>, String> {
    if subject.declared().iter().any(|collection| collection.name == name && collection.from == From::Pushed)
    {
        return Ok(None);
    }
    wait(async {
        let mut found = None;
        let mut rows = Vec::new();
        for root in subject.roots_of(name) {
            let (_, opened, whole) = read(subject, root).await.map_err(|why| format!("{root}: {why}"))?;
            found = opened.collections.iter().find(|collection| collection.name == name).copied();
            rows.extend(whole.rows.into_iter().filter(|change| change.collection == name));
        }
        match found {
            Some(collection) if collection.gone.is_some() => Ok(None),
            Some(collection) => Ok(Some((collection, rows))),
            None => Err(format!("no root brings {name}, or the account's catalog lacks it")),
        }
    })
}

fn batch(collection: &Collection, rows: &[Change]) -> Result<Batch, String> {
    let spec = TableSpec::object(collection).map_err(|error| error.to_string())?;
    let mut batch = Batch::new(Arc::new(spec));
    for change in rows.iter().filter(|change| change.op != Op::Delete) {
        batch.push(change, meta()).map_err(|reject| format!("{}: {}", reject.table, reject.reason))?;
    }
    Ok(batch)
}

fn meta() -> Meta {
    Meta { pass: None, overlap: false, received_at: now(), delivery: None }
}

/// The key of a batch's only row.
fn key(batch: &Batch, parts: usize) -> String {
    let row = batch.rows().first();
    let part = |place: usize| {
        let cell = row.and_then(|row| row.cells.iter().rev().find(|(at, _)| *at as usize == place));
        cell.map_or(Cell::Null, |(_, cell)| cell.clone()).json().to_string()
    };
    (0..parts).map(part).collect::<Vec<_>>().join(", ")
}

/// Whether a row has what the field names.
fn is_met(field: &Field, rows: &[Change]) -> bool {
    rows.iter().any(|change| match field.origin {
        Origin::Index => true,
        Origin::Record(path) => leads(&change.record, path, field.kind),
        Origin::Parent(path) => change.parent.as_ref().is_some_and(|parent| leads(parent, path, field.kind)),
    }) || super::declared::is_own_column(field.name)
}

/// Whether the record has the member at `path`, or null on the way to it.
fn leads(record: &Record, path: &str, kind: Type) -> bool {
    let Ok(mut here) = Raw::parse(record.bytes()) else { return false };
    // A member of an object with names of its own need not be there.
    if kind == Type::Object && path.is_empty() {
        return true;
    }
    for step in path.split('.') {
        if here.is_null() || here.bytes().as_ref() == b"[]" {
            return true;
        }
        match here.find(step) {
            Ok(Some(next)) => here = next,
            // A filter that meets no item says nothing against the path.
            Ok(None) => return step.contains('['),
            Err(_) => return false,
        }
    }
    true
}

fn origin(field: &Field) -> String {
    match field.origin {
        Origin::Index => "#".into(),
        Origin::Record(path) => path.into(),
        Origin::Parent(path) => format!("^{path}"),
    }
}
