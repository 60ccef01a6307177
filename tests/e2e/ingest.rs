//! Killed while it receives: whatever was acknowledged is in the warehouse exactly once.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use headwater::sandbox::{Vendor, klaviyo::Klaviyo};
use headwater_connectors as connectors;
use headwater_core::event::{Delivery, Output, map_delivery};
use rand::{Rng, SeedableRng, rngs::StdRng};
use rusqlite::types::Value as Sql;
use serde_json::{Value, json};

use crate::{
    house::{House, until},
    is_long, vendor,
};

const SENDERS: usize = 4;

/// What the senders share.
#[derive(Default)]
struct Traffic {
    /// Where the service listens now.
    url: Mutex<String>,
    webhook: String,
    stop: AtomicBool,
    /// Batches that went out.
    sent: AtomicU64,
    /// Messages of the tracking API that were acknowledged.
    calls: Mutex<BTreeSet<String>>,
    /// Messages of acknowledged webhooks.
    events: Mutex<BTreeSet<String>>,
}

impl Traffic {
    fn url(&self) -> String {
        self.url.lock().expect("an address").clone()
    }

    /// Posts until it is acknowledged, as libraries and vendors do.
    async fn post(
        &self,
        http: &reqwest::Client,
        path: &str,
        headers: http::HeaderMap,
        body: bytes::Bytes,
    ) -> bool {
        for _ in 0..2_000 {
            let request =
                http.post(format!("{}{path}", self.url())).headers(headers.clone()).body(body.clone());
            match request.send().await {
                Ok(answer) if answer.status() == 200 => return true,
                Ok(answer) if answer.status() != 503 => panic!("{path}: {}", answer.status()),
                _ => tokio::time::sleep(Duration::from_millis(15)).await,
            }
        }
        false
    }

    async fn send(self: Arc<Self>, sender: usize, klaviyo: Arc<Klaviyo>) {
        let http =
            reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(10)).build().expect("a client");
        for round in 0.. {
            if self.stop.load(Ordering::SeqCst) {
                return;
            }
            let ids: Vec<String> = (0..20).map(|n| format!("m-{sender}-{round}-{n}")).collect();
            let batch: Vec<_> = ids
                .iter()
                .map(|id| json!({ "type": "track", "event": "Step", "userId": "u", "messageId": id, "properties": { "round": round } }))
                .collect();
            let body = json!({ "writeKey": "wk", "batch": batch }).to_string();
            if self.post(&http, "/v1/batch", http::HeaderMap::new(), body.into()).await {
                self.calls.lock().expect("a set").extend(ids);
            }
            for delivery in klaviyo.happen(jiff::Timestamp::now()) {
                let ids = messages(&delivery, &klaviyo);
                if self.post(&http, &self.webhook, delivery.headers, delivery.body).await {
                    self.events.lock().expect("a set").extend(ids);
                }
            }
            self.sent.fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// The message ids of the calls that a delivery becomes.
fn messages(delivery: &Delivery, klaviyo: &Klaviyo) -> Vec<String> {
    let events =
        connectors::find("klaviyo").and_then(|connector| connector.events).expect("it takes webhooks");
    let source = (events.open)(klaviyo.settings()).expect("its settings are good");
    let mapped = map_delivery("klaviyo", &*source, &events.webhook.surfaces[0], delivery);
    let calls = mapped.outputs.into_iter().filter_map(|(_, output)| match output {
        Output::Call(call) => Some(call.message_id.clone()),
        Output::Change(_) => None,
    });
    calls.collect()
}

fn ids(house: &House, schema: &str, table: &str) -> Vec<String> {
    let rows = house.rows(schema, &format!("SELECT id FROM {table}"));
    let text = |row: Vec<Sql>| match row.into_iter().next() {
        Some(Sql::Text(id)) => Some(id),
        _ => None,
    };
    rows.into_iter().filter_map(text).collect()
}

#[test]
fn what_was_acknowledged_arrives_exactly_once() {
    let klaviyo = Arc::new(Klaviyo::new(vendor::world(9, 200)));
    let house = House::new(&format!(
        "[[source]]\nname = \"site\"\nconnector = \"segment\"\nwrite_key = \"wk\"\n\
         [[source]]\nname = \"mail\"\nconnector = \"klaviyo\"\nsettings = {{ secret_key = {} }}\n",
        klaviyo.settings()["secret_key"]
    ));
    let traffic = Arc::new(Traffic { webhook: house.webhook("mail"), ..Traffic::default() });
    let mut service = house.serve();
    *traffic.url.lock().unwrap() = service.url.clone();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let senders: Vec<_> =
        (0..SENDERS).map(|sender| runtime.spawn(traffic.clone().send(sender, klaviyo.clone()))).collect();
    let mut rng = StdRng::seed_from_u64(91);
    for _ in 0..if is_long() { 200 } else { 15 } {
        std::thread::sleep(Duration::from_millis(rng.random_range(20..450)));
        assert!(service.running.kill(), "it ended by itself");
        service = house.serve();
        *traffic.url.lock().unwrap() = service.url.clone();
        // At any instant, with traffic coming in.
        house.run(&["books"]).success();
    }
    let before = traffic.sent.load(Ordering::SeqCst);
    until("traffic goes on", || traffic.sent.load(Ordering::SeqCst) > before + 4);
    // A last gentle end, with requests under way.
    let done = service.running.stop();
    assert_eq!(done.code, Some(0), "{done:?}");
    let service = house.serve();
    *traffic.url.lock().unwrap() = service.url.clone();
    traffic.stop.store(true, Ordering::SeqCst);
    runtime.block_on(async {
        for sender in senders {
            sender.await.expect("a sender ends");
        }
    });

    let (calls, events) = (traffic.calls.lock().unwrap().clone(), traffic.events.lock().unwrap().clone());
    eprintln!("{} calls and {} events were acknowledged", calls.len(), events.len());
    assert!(calls.len() > 500 && events.len() > 20);
    let arrived = || ids(&house, "site", "tracks").into_iter().collect::<BTreeSet<_>>();
    until("every call is there", || calls.is_subset(&arrived()));
    // Not every event of Klaviyo's is a track; all of them are calls of some kind.
    let tables = ["tracks", "identifies", "groups", "pages", "screens", "aliases"];
    let made = || tables.iter().flat_map(|table| ids(&house, "mail", table)).collect::<Vec<_>>();
    until("every event is there", || events.is_subset(&made().into_iter().collect()));
    let done = service.running.stop();
    assert_eq!(done.code, Some(0), "{done:?}");
    let tracks = ids(&house, "site", "tracks");
    assert_eq!(tracks.len(), arrived().len(), "none twice");
    assert_eq!(ids(&house, "site", "step").len(), tracks.len(), "the event's own table has them too");
    let all = made();
    assert_eq!(all.len(), all.iter().collect::<BTreeSet<_>>().len(), "none twice");
    // The books and the warehouse agree, also when nothing runs.
    let told: Value = serde_json::from_str(&house.run(&["books", "--json"]).success().out).expect("JSON");
    assert_eq!((&told["settled"], &told["counted"]), (&json!(true), &json!(true)), "{told}");
    let booked = house.books("site");
    assert_eq!(booked[&("call".to_owned(), "eligible".to_owned())], tracks.len() as i64, "{booked:?}");
}
