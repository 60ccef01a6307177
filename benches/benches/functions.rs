//! The functions on an event's way, one by one: what a delivery costs to keep, to prove, to map, and to lay out as rows.
//!
//! `cargo bench -p headwater-benches --bench functions`; the deliveries are those of `fixtures/`.

#![allow(missing_docs)] // criterion's macro makes a public function

use std::{hint::black_box, path::PathBuf, sync::Arc};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use headwater::{
    inbox::{DeliveryKind, StoredDelivery},
    pipeline::{Fate, Filter, Limits, Source, Sources, normalise},
    warehouse::calls::CallBatches,
};
use headwater_core::{auth::Secret, connector::Connector, event::Delivery, record::Record, spec::Call};
use http::HeaderValue;
use jiff::Timestamp;
use serde_json::{Value, json};

const LIMITS: Limits = Limits { call_bytes: 32 << 10, batch_calls: 2500 };

fn fixtures() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fixtures")
}

fn settings(connector: &str) -> Value {
    let text = std::fs::read_to_string(fixtures().join(connector).join("config.json")).unwrap_or_default();
    serde_json::from_str::<Value>(&text).map_or(json!({}), |config| config["settings"].clone())
}

fn source(connector: &'static Connector) -> Source {
    let events =
        connector.events.map(|events| (events.open)(settings(connector.name)).expect("settings that fit"));
    Source {
        name: "source".to_owned(),
        connector,
        events,
        calls_schema: "source".to_owned(),
        filter: Filter::default(),
    }
}

/// The recorded JSON deliveries of a connector.
fn deliveries(connector: &Connector) -> Vec<StoredDelivery> {
    let Some(events) = connector.events else { return Vec::new() };
    let folder = fixtures().join(connector.name);
    let mut names: Vec<String> = std::fs::read_dir(&folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok()?.strip_suffix(".json").map(str::to_owned))
        .filter(|name| !name.contains('.') && !["catalog", "config"].contains(&name.as_str()))
        .collect();
    names.sort();
    let read = |name: String| std::fs::read(folder.join(name));
    names
        .into_iter()
        .filter_map(|name| {
            let body: Value = serde_json::from_slice(&read(format!("{name}.json")).ok()?).ok()?;
            let around = read(format!("{name}.headers.json")).unwrap_or_default();
            let around: Value = serde_json::from_slice(&around).unwrap_or_default();
            let (surface, tail) = events.webhook.surface(around["path"].as_str().unwrap_or_default())?;
            let mut delivery = Delivery::fetched(Timestamp::now(), body.to_string().into());
            delivery.path_tail = tail.to_owned();
            delivery.headers.insert("content-type", HeaderValue::from_static("application/json"));
            Some(stored(DeliveryKind::Webhook, surface.path, delivery))
        })
        .collect()
}

fn stored(kind: DeliveryKind, surface: &str, delivery: Delivery) -> StoredDelivery {
    StoredDelivery {
        source: "source".to_owned(),
        connector: None,
        surface: surface.to_owned(),
        kind,
        delivery,
        verified: "signature".to_owned(),
    }
}

/// A batch of the tracking API.
fn batch(calls: usize) -> StoredDelivery {
    let call = |n: usize| {
        json!({
            "type": "track", "messageId": format!("message-{n:028}"), "userId": "user_1", "event": "Order Completed",
            "timestamp": "2026-10-31T08:02:11.123Z",
            "properties": { "product_id": "p_1", "sku": "SKU-1", "name": "Runner", "price": 19.95, "quantity": 2, "currency": "EUR" },
            "context": {
                "library": { "name": "analytics.js", "version": "next-1.70.0" }, "locale": "de-DE",
                "page": { "path": "/a", "referrer": "", "search": "", "title": "A", "url": "https://shop.example.com/a" },
                "userAgent": "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0"
            }
        })
    };
    let calls: Vec<Value> = (0..calls).map(call).collect();
    let body = json!({ "writeKey": "key", "sentAt": "2026-10-31T08:02:11.223Z", "batch": calls });
    stored(DeliveryKind::Tracking, "batch", Delivery::fetched(Timestamp::now(), body.to_string().into()))
}

/// As the normaliser does it: from the inbox's bytes to the calls log's.
fn map(bytes: &bytes::Bytes, source: &Source, out: &mut Vec<u8>) {
    let stored = StoredDelivery::decode(bytes).expect("a delivery");
    for (_, fate) in normalise(&stored, source, &Sources::new(), LIMITS, 1).items {
        match fate {
            Fate::Eligible(call) => call.write(out),
            Fate::Change(change) => out.extend_from_slice(change.record.bytes()),
            other => drop(black_box(other)),
        }
    }
}

fn normalising(c: &mut Criterion) {
    let mut group = c.benchmark_group("normalise deliveries");
    let mut run = |name: &str, source: Source, deliveries: Vec<StoredDelivery>| {
        let encoded: Vec<bytes::Bytes> = deliveries.iter().map(|stored| stored.encode().into()).collect();
        group.throughput(Throughput::Elements(encoded.len() as u64));
        group.bench_function(name, |b| {
            let mut out = Vec::new();
            b.iter(|| {
                out.clear();
                encoded.iter().for_each(|bytes| map(bytes, &source, &mut out));
                black_box(out.len())
            });
        });
    };
    for connector in headwater_connectors::ALL {
        let deliveries = deliveries(connector);
        if !deliveries.is_empty() {
            run(connector.name, source(connector), deliveries);
        }
    }
    let segment = headwater_connectors::find("segment").expect("segment");
    run("one call", source(segment), vec![batch(1)]);
    run("100 calls in one", source(segment), vec![batch(100)]);
}

fn keeping(c: &mut Criterion) {
    let klaviyo = headwater_connectors::find("klaviyo").expect("klaviyo");
    let delivery = deliveries(klaviyo).remove(0);
    c.bench_function("encode a delivery", |b| b.iter(|| black_box(&delivery).encode()));
    let bytes: bytes::Bytes = delivery.encode().into();
    c.bench_function("decode a delivery", |b| b.iter(|| StoredDelivery::decode(black_box(&bytes))));
}

fn proving(c: &mut Criterion) {
    for (name, secret) in
        [("klaviyo", "headwater-fixture-key-2"), ("stripe", "whsec_made_up_zxKKS6KAFBzpI1gKdZVXk2BQ")]
    {
        let connector = headwater_connectors::find(name).expect("a connector");
        let surface = connector.events.and_then(|events| events.webhook.surface("")).expect("a surface").0;
        let mut delivery = deliveries(connector).remove(0).delivery;
        let (secret, now) = (Secret::new(secret), Timestamp::now());
        surface.signature.sign(&mut delivery, &secret, now).expect("a signature");
        let secrets = [secret];
        c.bench_function(&format!("check a signature of {name}"), |b| {
            b.iter(|| surface.signature.verify(black_box(&delivery), &secrets, now).is_ok());
        });
    }
}

fn flattening(c: &mut Criterion) {
    let segment = headwater_connectors::find("segment").expect("segment");
    let calls: Vec<bytes::Bytes> = normalise(&batch(100), &source(segment), &Sources::new(), LIMITS, 1)
        .items
        .into_iter()
        .filter_map(|(_, fate)| match fate {
            Fate::Eligible(call) => Some(call.to_json().into()),
            _ => None,
        })
        .collect();
    let mut group = c.benchmark_group("calls");
    group.throughput(Throughput::Elements(calls.len() as u64));
    let parse = |json: &bytes::Bytes| {
        let record = Record::parse(json).expect("a record");
        Call::parse(&record, None).expect("a call")
    };
    group.bench_function("parse 100", |b| b.iter(|| calls.iter().map(parse).count()));
    let parsed: Vec<Call> = calls.iter().map(parse).collect();
    let delivery: Arc<str> = "1:0".into();
    group.bench_function("lay out 100 as rows", |b| {
        b.iter(|| {
            let mut batches = CallBatches::new();
            for call in &parsed {
                batches.push(call, &delivery).expect("a row");
            }
            batches.into_batches().len()
        });
    });
}

criterion_group!(benches, keeping, proving, normalising, flattening);
criterion_main!(benches);
