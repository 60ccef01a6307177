//! Nothing that a vendor sends gets lost on the way to a call.

use std::collections::{BTreeMap, BTreeSet};

use headwater_core::{
    event::{Items, Output, split},
    time::parse_time,
};
use serde_json::Value;

use super::{Verdict, deliveries::map, verdict};
use crate::{fixture::Sample, subject::Subject};

/// Every scalar of the payload is somewhere in the calls that it becomes (in the changes, if it becomes no call): as it was,
/// as the same time in another notation, inside the message id, or as the event's name. A value that several members have
/// must be there as often. Text that is JSON counts as what it holds. Only the source's own secrets, and the address with
/// its key that it is posted to, may stay behind. A delivery that becomes nothing at all, as its `.calls.json` says, is none
/// of ours.
pub fn whole(subject: &Subject, sample: &Sample) -> Verdict {
    let mapped = map(subject, sample)?;
    if mapped.outputs.is_empty() && sample.calls == Some(Value::Array(Vec::new())) {
        return Ok(());
    }
    let has_calls = mapped.outputs.iter().any(|(_, output)| matches!(output, Output::Call(_)));
    let mut found: BTreeMap<String, usize> = BTreeMap::new();
    let mut times = BTreeSet::new();
    let mut ids = Vec::new();
    let mut names = Vec::new();
    for (_, output) in &mapped.outputs {
        let value: Value = match output {
            Output::Call(call) => {
                ids.push(call.message_id.clone());
                names.extend(call.name.clone());
                names.push(call.kind.name().to_owned());
                serde_json::from_str(&call.to_json()).unwrap_or_default()
            }
            Output::Change(change) if !has_calls => {
                serde_json::from_slice(change.record.bytes()).unwrap_or_default()
            }
            Output::Change(_) => continue,
        };
        each("", "", &value, &mut |_, _, text| {
            *found.entry(text.to_owned()).or_default() += 1;
            times.extend(parse_time(text));
        });
    }
    // Which members hold a value; a member that stands in several places with the same value is one.
    let mut held: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for part in payload(subject, sample)? {
        each("", "", &part, &mut |path, name, text| {
            held.entry(text.to_owned())
                .or_default()
                .entry(name.to_owned())
                .or_insert_with(|| path.to_owned());
        });
    }
    let source = subject.receiver()?;
    let natives: Vec<&str> = subject
        .connector
        .events
        .map_or(&[][..], |events| events.webhook_of(&*source).calls)
        .iter()
        .filter(|call| names.iter().any(|name| name == call.name || name == call.kind.name()))
        .flat_map(|call| call.native.split('|').map(str::trim))
        .collect();
    let (delivery, surface) = subject.delivery(sample)?;
    let mut own: Vec<String> = vec![delivery.url];
    own.extend(subject.receiver()?.secrets(surface).iter().map(|secret| secret.expose().to_owned()));
    let letters =
        |text: &str| text.chars().filter(|c| c.is_alphanumeric()).collect::<String>().to_lowercase();
    let is_name = |text: &str| {
        natives.contains(&text)
            || names.iter().any(|name| !name.is_empty() && letters(text).contains(&letters(name)))
    };
    let mut wrong = Vec::new();
    for (text, members) in held {
        let is_time = parse_time(&text).is_some_and(|time| times.contains(&time)) && text.len() >= 8;
        let is_id = ids
            .iter()
            .any(|id| id.split(':').any(|part| part == text) || (text.len() >= 4 && id.contains(&text)));
        if is_time || is_id || is_name(&text) || own.contains(&text) {
            continue;
        }
        let there = found.get(&text).copied().unwrap_or(0);
        if there < members.len() {
            let paths: Vec<&str> = members.values().map(String::as_str).collect();
            let short: String = text.chars().take(80).collect();
            wrong.push(format!("{short:?} of {} is there {there} times", paths.join(", ")));
        }
    }
    verdict(wrong)
}

/// The payload as JSON: the body, or the items where it is written otherwise.
fn payload(subject: &Subject, sample: &Sample) -> Result<Vec<Value>, String> {
    let (delivery, surface) = subject.delivery(sample)?;
    if let Items::Json(_) = surface.items {
        return serde_json::from_slice(&delivery.body)
            .map(|body| vec![body])
            .map_err(|error| error.to_string());
    }
    let pieces = split(surface, &delivery).map_err(|error| error.to_string())?;
    let records = pieces.into_iter().filter_map(|piece| match piece.envelope {
        Some(envelope) => Some(envelope.record.clone()),
        None => piece.record.ok(),
    });
    Ok(records.filter_map(|record| serde_json::from_slice(record.bytes()).ok()).collect())
}

/// Every scalar that says something: path, the last member's name, text.
fn each(path: &str, name: &str, value: &Value, with: &mut dyn FnMut(&str, &str, &str)) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                each(&format!("{path}.{name}"), name, value, with);
            }
        }
        Value::Array(items) => {
            for (place, value) in items.iter().enumerate() {
                each(&format!("{path}[{place}]"), name, value, with);
            }
        }
        Value::Null => {}
        Value::String(text) if text.is_empty() => {}
        Value::String(text) if text.starts_with(['{', '[']) => match serde_json::from_str::<Value>(text) {
            Ok(inside) => each(path, name, &inside, with),
            Err(_) => with(path, name, text),
        },
        Value::String(text) => with(path, name, text),
        other => with(path, name, &other.to_string()),
    }
}
