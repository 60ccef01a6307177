//! What happens while the demo runs: syncs, webhooks of the vendors, and a website's calls as a library sends them.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use headwater_connectors as connectors;
use headwater_core::event::Delivery;
use jiff::Timestamp;
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};
use tokio::{sync::watch, task::JoinSet};

use super::screen::Screen;
use crate::{
    sandbox::{Served, names},
    service::Service,
};

/// The public key of the demo's website. It opens nothing beyond this process.
pub const WRITE_KEY: &str = "demo-write-key";
/// The secret part of the demo's webhook addresses. It opens nothing beyond this process.
pub const WEBHOOK_KEY: &str = "demo-webhook-key";

/// How long a source rests between two syncs.
const REST: Duration = Duration::from_secs(5);
/// How often something happens at every vendor.
const BEAT: Duration = Duration::from_millis(200);

/// Events by source: how many were answered with success, and how many were not.
pub type Sent = BTreeMap<String, (u64, u64)>;

/// Syncs every source that has objects, again and again.
pub async fn syncs(
    service: Arc<Service>,
    vendors: Vec<Arc<Served>>,
    screen: Arc<Screen>,
    stopping: watch::Receiver<bool>,
) {
    let mut all = JoinSet::new();
    for served in vendors {
        let name = served.vendor.name();
        if connectors::find(name).is_none_or(|connector| connector.objects.is_none()) {
            continue;
        }
        let (service, screen, mut stopping) = (service.clone(), screen.clone(), stopping.clone());
        all.spawn(async move {
            let name = name.replace('-', "_");
            while !*stopping.borrow() {
                let done =
                    async { service.sync(service.job(service.source(&name)?).await?, screen.clone()).await }
                        .await;
                match done {
                    Ok(report) => {
                        if let Some(error) = report.error {
                            screen.note(&format!("{name}: {error}"));
                        }
                    }
                    Err(error) => tracing::debug!(%error, "a sync did not begin"),
                }
                tokio::select! {
                    () = tokio::time::sleep(REST) => {}
                    _ = stopping.changed() => {}
                }
            }
        });
    }
    let mut stopping = stopping;
    tokio::select! {
        _ = all.join_next() => {}
        _ = stopping.wait_for(|stop| *stop) => {}
    }
    // The first page's end is soon: what is open is stopped by the service itself.
    service.stop();
    while all.join_next().await.is_some() {}
}

/// Sends webhooks and calls until told to stop; says what was answered.
pub async fn events(
    vendors: Vec<Arc<Served>>,
    address: SocketAddr,
    screen: Arc<Screen>,
    mut stopping: watch::Receiver<bool>,
) -> Sent {
    let client = reqwest::Client::new();
    let mut sent = Sent::new();
    let mut rng = StdRng::seed_from_u64(1);
    let mut beat = tokio::time::interval(BEAT);
    let mut calls = 0;
    while !*stopping.borrow() {
        tokio::select! {
            _ = beat.tick() => {}
            _ = stopping.changed() => continue,
        }
        let now = Timestamp::now();
        for served in &vendors {
            let source = served.vendor.name().replace('-', "_");
            for delivery in served.vendor.happen(now) {
                let good = post(&client, address, &source, delivery).await;
                count(&mut sent, &screen, &source, 1, good);
            }
        }
        let batch = website(&mut rng, &mut calls, now);
        let size = batch["batch"].as_array().map_or(0, Vec::len) as u64;
        let answer = client
            .post(format!("http://{address}/v1/batch"))
            .basic_auth(WRITE_KEY, Some(""))
            .header("content-type", "application/json")
            .body(batch.to_string())
            .send()
            .await;
        count(&mut sent, &screen, "website", size, answer.is_ok_and(|answer| answer.status().is_success()));
    }
    sent
}

fn count(sent: &mut Sent, screen: &Screen, source: &str, events: u64, good: bool) {
    let counts = sent.entry(source.to_owned()).or_default();
    match good {
        true => counts.0 += events,
        false => counts.1 += events,
    }
    if good {
        screen.sent(source, events);
    }
}

/// Posts what a vendor signed to its source's webhook.
async fn post(client: &reqwest::Client, address: SocketAddr, source: &str, delivery: Delivery) -> bool {
    let mut url = format!("http://{address}/webhooks/{source}/{WEBHOOK_KEY}");
    if !delivery.path_tail.is_empty() {
        url = format!("{url}/{}", delivery.path_tail);
    }
    if !delivery.query.is_empty() {
        url = format!("{url}?{}", delivery.query);
    }
    let request = client.request(delivery.method, url).headers(delivery.headers).body(delivery.body);
    match request.send().await {
        Ok(answer) if answer.status().is_success() => true,
        Ok(answer) => {
            tracing::warn!(source, status = %answer.status(), "a delivery was refused");
            false
        }
        Err(error) => {
            tracing::debug!(source, %error, "a delivery did not arrive");
            false
        }
    }
}

/// A few calls of a shop's visitors, as a server-side library batches them.
fn website(rng: &mut StdRng, calls: &mut u64, now: Timestamp) -> Value {
    let count = rng.random_range(1..12);
    let batch: Vec<Value> = (0..count)
        .map(|_| {
            *calls += 1;
            let person = rng.random_range(0..256);
            let price = f64::from(rng.random_range(100..20_000)) / 100.0;
            let product = ["Kettle", "Lamp", "Chair", "Rucksack", "Notebook"][rng.random_range(0..5)];
            let mut call = match rng.random_range(0..10) {
                0 => json!({ "type": "identify", "traits": { "name": names::person(person), "email": names::email(person) } }),
                1 => json!({ "type": "group", "groupId": format!("firm-{}", person % 32), "traits": { "name": names::firm(person) } }),
                2 | 3 => json!({ "type": "page", "name": product, "properties": { "path": format!("/{}", product.to_lowercase()) } }),
                4..=7 => json!({ "type": "track", "event": "Product Viewed", "properties": { "product": product, "price": price } }),
                _ => json!({ "type": "track", "event": "Order Completed",
                    "properties": { "order_id": format!("o-{calls}"), "revenue": price, "currency": "EUR",
                                    "products": [{ "name": product, "quantity": 1 }] } }),
            };
            call["messageId"] = json!(format!("demo-{calls}-{}", now.as_millisecond()));
            call["userId"] = json!(format!("user-{person}"));
            call["timestamp"] = json!(now);
            call["context"] = json!({ "library": { "name": "headwater-demo", "version": env!("CARGO_PKG_VERSION") } });
            call
        })
        .collect();
    json!({ "batch": batch, "sentAt": now })
}
