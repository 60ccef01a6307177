//! What nobody should send.

use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use headwater_core::{
    event::{EventSource, Output, Surface, map_delivery},
    signature::Signature,
};
use serde_json::{Value, json};

use super::{Verdict, verdict};
use crate::{
    fixture::Sample,
    subject::{Subject, now},
};

/// Truncated, with flipped bytes, with other types, nested ten thousand deep, not UTF-8, a megabyte long: such a delivery is
/// an error or a rejected item, never a panic, and what still becomes calls is valid JSON.
pub fn rubbish(subject: &Subject, sample: &Sample) -> Verdict {
    let source = subject.receiver()?;
    let (delivery, surface) = subject.delivery(sample)?;
    let mut wrong = Vec::new();
    for (what, body) in mutations(&sample.body) {
        let mutated = headwater_core::event::Delivery { body, lookups: Vec::new(), ..delivery.clone() };
        if let Err(why) = survives(subject, &*source, surface, &mutated) {
            wrong.push(format!("{what}: {why}"));
        }
    }
    verdict(wrong)
}

fn survives(
    subject: &Subject,
    source: &dyn EventSource,
    surface: &Surface,
    delivery: &headwater_core::event::Delivery,
) -> Verdict {
    let run = || {
        let secrets = source.secrets(surface);
        if !matches!(surface.signature, Signature::None { .. }) {
            // Not signed at all.
            assert!(
                surface.signature.verify(delivery, &secrets, now()).is_err(),
                "an unsigned delivery is taken"
            );
        }
        let _ = (source.handshake(delivery), source.reply(delivery));
        let mapped = map_delivery(subject.connector.name, source, surface, delivery);
        // As though the vendor had refused all that it is asked.
        let lookups = mapped.asks.iter().map(|(item, _)| (*item, Bytes::new())).collect::<Vec<_>>();
        if lookups.is_empty() {
            return mapped;
        }
        let answered = headwater_core::event::Delivery { lookups, ..delivery.clone() };
        map_delivery(subject.connector.name, source, surface, &answered)
    };
    let mapped = catch_unwind(AssertUnwindSafe(run)).map_err(|_| "it panics".to_owned())?;
    if let Some(rejected) =
        mapped.rejected.iter().find(|rejected| rejected.error.message().contains("panicked"))
    {
        return Err(format!("the mapping panics: {rejected}"));
    }
    for (_, output) in &mapped.outputs {
        if let Output::Call(call) = output {
            let json = call.to_json();
            let is_json = serde_json::from_str::<&serde_json::value::RawValue>(&json).is_ok();
            if !is_json || call.message_id.is_empty() {
                return Err(format!("it becomes {}", json.chars().take(300).collect::<String>()));
            }
        }
    }
    Ok(())
}

/// About two hundred bodies that are wrong in some way, the same each time.
fn mutations(body: &Bytes) -> Vec<(String, Bytes)> {
    let mut all: Vec<(String, Bytes)> = Vec::new();
    let length = body.len();
    let step = (length / 60).max(1);
    for at in (0..length).step_by(step) {
        all.push((format!("cut at byte {at}"), body.slice(..at)));
    }
    for at in (step / 2..length).step_by(step) {
        for mask in [0x01, 0x80] {
            let mut bytes = body.to_vec();
            bytes[at] ^= mask;
            all.push((format!("byte {at} ^ {mask:#x}"), bytes.into()));
        }
    }
    let deep = |inside: &str| format!("{}{inside}{}", "[".repeat(10_000), "]".repeat(10_000));
    all.push(("nested arrays".into(), deep("1").into()));
    all.push((
        "nested objects".into(),
        format!("{}1{}", "{\"a\":".repeat(10_000), "}".repeat(10_000)).into(),
    ));
    all.push(("not closed".into(), "[".repeat(10_000).into()));
    all.push(("nothing".into(), Bytes::new()));
    all.push(("zeros".into(), vec![0; 1000].into()));
    all.push(("brackets in a form".into(), format!("a{}=1", "[b]".repeat(10_000)).into()));
    for text in ["null", "1", "\"text\"", "[]", "{}", "[null]", "[[]]", "[1,\"a\",{}]"] {
        all.push((text.into(), text.into()));
    }
    let mut bytes = body.to_vec();
    bytes.extend_from_slice(b"\xff\xfe");
    all.push(("not UTF-8 at its end".into(), bytes.into()));
    let Ok(whole) = serde_json::from_slice::<Value>(body) else { return all };
    let mut paths = Vec::new();
    pointers("", &whole, &mut paths);
    let step = (paths.len() / 60).max(1);
    let others = [
        json!(null),
        json!(true),
        json!([]),
        json!({}),
        json!(-1),
        json!(1e300),
        json!(""),
        json!("\u{0}\u{202e}"),
        json!([[{"a": 1}]]),
        json!({"id": {"id": []}}),
        json!(18446744073709551615u64),
    ];
    for (count, path) in paths.iter().step_by(step).enumerate() {
        let other = &others[count % others.len()];
        all.push((format!("{other} at {path}"), with(&whole, path, other.clone())));
    }
    for (count, path) in paths.iter().step_by((paths.len() / 12).max(1)).enumerate() {
        let marked = String::from_utf8_lossy(&with(&whole, path, json!("\u{1}mark"))).into_owned();
        let huge = "ü".repeat(500_000);
        let inside = if count % 2 == 0 { deep("{}") } else { format!("\"{huge}\"") };
        let kind = if count % 2 == 0 { "nested" } else { "a megabyte" };
        all.push((format!("{kind} at {path}"), marked.replace("\"\\u0001mark\"", &inside).into()));
    }
    all
}

/// The places of all values.
fn pointers(at: &str, value: &Value, out: &mut Vec<String>) {
    let escaped = |name: &str| name.replace('~', "~0").replace('/', "~1");
    match value {
        Value::Object(members) => members.iter().for_each(|(name, value)| {
            let at = format!("{at}/{}", escaped(name));
            out.push(at.clone());
            pointers(&at, value, out);
        }),
        Value::Array(items) => items.iter().enumerate().for_each(|(place, value)| {
            let at = format!("{at}/{place}");
            out.push(at.clone());
            pointers(&at, value, out);
        }),
        _ => {}
    }
}

fn with(whole: &Value, path: &str, other: Value) -> Bytes {
    let mut changed = whole.clone();
    if let Some(value) = changed.pointer_mut(path) {
        *value = other;
    }
    changed.to_string().into()
}
