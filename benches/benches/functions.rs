//! The functions on an event's way, one by one: what a delivery costs to keep, to prove, to map, and to lay out as rows.
//! What it costs to map those of each app, `events map` says.
//!
//! `cargo bench -p headwater-benches --bench functions`; the deliveries are those of `fixtures/`.

#![allow(missing_docs)] // criterion's macro makes a public function

use std::{hint::black_box, sync::Arc};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use headwater::{
    inbox::{DeliveryKind, StoredDelivery},
    pipeline::{Fate, Filter, Limits, Source, Sources, normalise},
    warehouse::calls::CallBatches,
};
use headwater_core::{
    auth::Secret,
    connector::Connector,
    event::{Delivery, Surface},
    record::Record,
    spec::Call,
};
use headwater_tests::subject::Subject;
use jiff::Timestamp;
use serde_json::{Value, json};

const LIMITS: Limits = Limits { call_bytes: 32 << 10, batch_calls: 2500 };

fn source(connector: &'static Connector) -> Source {
    Source {
        name: "source".to_owned(),
        connector,
        events: None,
        calls_schema: "source".to_owned(),
        filter: Filter::default(),
    }
}

/// The first recorded delivery of a connector, and the surface that it comes to.
fn recorded(connector: &'static str) -> (Delivery, &'static Surface) {
    let (_, subject) = Subject::those(|name| name == connector).remove(0);
    let subject = subject.expect("fixtures that can be read");
    subject.delivery(&subject.fixtures.deliveries[0]).expect("a delivery")
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
    let mut group = c.benchmark_group("normalise");
    let source = source(headwater_connectors::find("segment").expect("segment"));
    for (name, calls) in [("one call", 1), ("100 calls in one", 100)] {
        let encoded: bytes::Bytes = batch(calls).encode().into();
        group.throughput(Throughput::Elements(calls as u64));
        group.bench_function(name, |b| {
            let mut out = Vec::new();
            b.iter(|| {
                out.clear();
                map(&encoded, &source, &mut out);
                black_box(out.len())
            });
        });
    }
}

fn keeping(c: &mut Criterion) {
    let (delivery, surface) = recorded("klaviyo");
    let delivery = stored(DeliveryKind::Webhook, surface.path, delivery);
    c.bench_function("encode a delivery", |b| b.iter(|| black_box(&delivery).encode()));
    let bytes: bytes::Bytes = delivery.encode().into();
    c.bench_function("decode a delivery", |b| b.iter(|| StoredDelivery::decode(black_box(&bytes))));
}

fn proving(c: &mut Criterion) {
    for (name, secret) in
        [("klaviyo", "headwater-fixture-key-2"), ("stripe", "whsec_made_up_zxKKS6KAFBzpI1gKdZVXk2BQ")]
    {
        let (mut delivery, surface) = recorded(name);
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
