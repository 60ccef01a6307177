//! What nobody should send.

use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use headwater_core::{
    event::{EventSource, Output, Surface, map_delivery},
    signature::Signature,
};
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};

use super::{Verdict, verdict};
use crate::{
    fixture::Sample,
    subject::{Subject, now},
};

/// How many bodies are tried of an app, where there is time for all.
const ENOUGH: usize = 2_000;
/// Otherwise every so manieth, another part of them for each delivery.
const SHARE: usize = 12;

/// Truncated, with flipped bytes, with other types, nested ten thousand deep, not UTF-8, a megabyte long: such a delivery is
/// an error or a rejected item, never a panic, and what still becomes calls is valid JSON.
pub fn rubbish(subject: &Subject, sample: &Sample) -> Verdict {
    let source = subject.receiver()?;
    let (delivery, surface) = subject.delivery(sample)?;
    let mut all = mutations(&sample.body);
    if headwater_tests::is_long() {
        let each = ENOUGH.div_ceil(subject.fixtures.deliveries.len());
        let more = each.saturating_sub(all.len());
        all.extend(random(&sample.body, more));
    } else {
        let first = sample.name.bytes().map(usize::from).sum::<usize>() % SHARE;
        all = all.into_iter().skip(first).step_by(SHARE).collect();
    }
    let mut wrong = Vec::new();
    for (what, make) in all {
        let mutated =
            headwater_core::event::Delivery { body: make(), lookups: Vec::new(), ..delivery.clone() };
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

/// A body that is wrong in some way: how, and the body once it is wanted.
type Mutation = (String, Box<dyn Fn() -> Bytes>);

/// About two hundred bodies, the same each time.
fn mutations(body: &Bytes) -> Vec<Mutation> {
    let mut all: Vec<Mutation> = Vec::new();
    let mut add = |what: String, make: Box<dyn Fn() -> Bytes>| all.push((what, make));
    let length = body.len();
    let step = (length / 60).max(1);
    for at in (0..length).step_by(step) {
        let body = body.clone();
        add(format!("cut at byte {at}"), Box::new(move || body.slice(..at)));
    }
    for at in (step / 2..length).step_by(step) {
        for mask in [0x01, 0x80] {
            let body = body.clone();
            add(format!("byte {at} ^ {mask:#x}"), Box::new(move || flipped(&body, &[(at, mask)])));
        }
    }
    add("nested arrays".into(), Box::new(|| deep("1").into()));
    let objects = || format!("{}1{}", "{\"a\":".repeat(10_000), "}".repeat(10_000)).into();
    add("nested objects".into(), Box::new(objects));
    add("not closed".into(), Box::new(|| "[".repeat(10_000).into()));
    add("nothing".into(), Box::new(Bytes::new));
    add("zeros".into(), Box::new(|| vec![0; 1000].into()));
    add("brackets in a form".into(), Box::new(|| format!("a{}=1", "[b]".repeat(10_000)).into()));
    for text in ["null", "1", "\"text\"", "[]", "{}", "[null]", "[[]]", "[1,\"a\",{}]"] {
        add(text.into(), Box::new(|| text.into()));
    }
    let bytes: Bytes = [body, &b"\xff\xfe"[..]].concat().into();
    add("not UTF-8 at its end".into(), Box::new(move || bytes.clone()));
    let Ok(whole) = serde_json::from_slice::<Value>(body) else { return all };
    let whole = std::rc::Rc::new(whole);
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
        let (whole, path, other) = (whole.clone(), path.clone(), others[count % others.len()].clone());
        add(format!("{other} at {path}"), Box::new(move || with(&whole, &path, other.clone())));
    }
    for (count, path) in paths.iter().step_by((paths.len() / 12).max(1)).enumerate() {
        let is_deep = count % 2 == 0;
        let kind = if is_deep { "nested" } else { "a megabyte" };
        let (whole, path) = (whole.clone(), path.clone());
        let make = move || {
            let marked = String::from_utf8_lossy(&with(&whole, &path, json!("\u{1}mark"))).into_owned();
            let inside = if is_deep { deep("{}") } else { format!("\"{}\"", "ü".repeat(500_000)) };
            marked.replace("\"\\u0001mark\"", &inside).into()
        };
        add(format!("{kind} at {}", paths[count * (paths.len() / 12).max(1)]), Box::new(make));
    }
    all
}

/// So many more, with a few bytes that are any, the same each time.
fn random(body: &Bytes, count: usize) -> Vec<Mutation> {
    let mut rng = StdRng::seed_from_u64(body.len() as u64);
    let mut some = || {
        let flips = (0..rng.random_range(1..8)).map(|_| (rng.random_range(0..body.len()), rng.random()));
        flips.collect::<Vec<(usize, u8)>>()
    };
    (0..if body.is_empty() { 0 } else { count })
        .map(|_| {
            let flips = some();
            let (what, body) = (format!("bytes {flips:?}"), body.clone());
            let make: Box<dyn Fn() -> Bytes> = Box::new(move || flipped(&body, &flips));
            (what, make)
        })
        .collect()
}

fn flipped(body: &Bytes, flips: &[(usize, u8)]) -> Bytes {
    let mut bytes = body.to_vec();
    for (at, mask) in flips {
        bytes[*at] ^= mask;
    }
    bytes.into()
}

fn deep(inside: &str) -> String {
    format!("{}{inside}{}", "[".repeat(10_000), "]".repeat(10_000))
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
