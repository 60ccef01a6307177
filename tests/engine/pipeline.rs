//! From the inbox to the tables: every item has exactly one fate, whatever happens on the way, and the books say which.

use std::{collections::BTreeMap, collections::HashMap, path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use headwater::{
    inbox::{DeliveryKind, DiskFiles, Inbox, Log, Options, StoredDelivery},
    pipeline::{
        Filter, Limits, Source, Sources,
        balance::{Balance, IN_FLIGHT, Places, balance},
        books::Books,
        loader::Loader,
        normaliser::Normaliser,
    },
    warehouse::{Warehouse, sqlite::SqliteWarehouse},
};
use headwater_core::event::Delivery;
use http::{HeaderMap, Method};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};

use crate::world::query;

pub(crate) const LIMITS: Limits = Limits { call_bytes: 32 << 10, batch_calls: 2500 };
/// The version of the API that Stripe's webhooks have to be of for their objects to be loaded as they are.
const VERSION: &str = "2025-02-24.acacia";

/// Logs, books and warehouse of one folder.
pub(crate) struct House {
    pub(crate) inbox: Arc<Log>,
    pub(crate) quarantine: Arc<Log>,
    pub(crate) calls: Arc<Log>,
    pub(crate) books: Books,
    pub(crate) warehouse: Arc<SqliteWarehouse>,
}

impl House {
    pub(crate) async fn open(folder: &Path) -> Self {
        let log = |name: &str| Log::open(Arc::new(DiskFiles), folder.join(name), Options::default());
        Self {
            inbox: Arc::new(log("inbox").await.expect("a log")),
            quarantine: Arc::new(log("quarantine").await.expect("a log")),
            calls: Arc::new(log("calls").await.expect("a log")),
            books: Books::open(&folder.join("books.db")).expect("books"),
            warehouse: Arc::new(SqliteWarehouse::open(folder.join("warehouse")).expect("a warehouse")),
        }
    }

    pub(crate) async fn close(self) {
        self.inbox.close().await;
        self.calls.close().await;
    }

    pub(crate) async fn put(
        &self,
        source: &str,
        kind: DeliveryKind,
        surface: &str,
        received_at: &str,
        body: &Value,
    ) {
        let delivery = Delivery {
            received_at: received_at.parse().expect("a time"),
            method: Method::POST,
            path_tail: String::new(),
            query: String::new(),
            headers: HeaderMap::new(),
            body: Bytes::from(body.to_string()),
            url: String::new(),
            lookups: Vec::new(),
        };
        let stored = StoredDelivery {
            source: source.to_owned(),
            connector: None,
            surface: surface.to_owned(),
            kind,
            delivery,
            verified: "by the test".to_owned(),
        };
        self.inbox.put(stored.encode().into()).await.expect("it is kept");
    }

    /// A batch of the tracking API.
    pub(crate) async fn batch(&self, received_at: &str, body: Value) {
        self.put("app", DeliveryKind::Tracking, "batch", received_at, &body).await;
    }

    /// Works until everything is loaded, or, without a loader, in the calls log; returns what was touched.
    async fn drain(&self, load: bool) -> Vec<String> {
        self.drain_with(sources(), load).await
    }

    /// Deliveries become calls by these sources.
    pub(crate) async fn normaliser(&self, sources: Sources) -> Normaliser {
        let normaliser = Normaliser::open(self.inbox.clone(), self.calls.clone(), self.books.clone(), LIMITS)
            .await
            .expect("one");
        normaliser.set_sources(sources);
        normaliser
    }

    /// The same, by other sources.
    pub(crate) async fn drain_with(&self, sources: Sources, load: bool) -> Vec<String> {
        let normaliser = self.normaliser(sources).await;
        let (stop, stopping) = watch::channel(false);
        let (touch, mut touched) = mpsc::unbounded_channel();
        let loader = self.loader(touch);
        let eligible = normaliser.eligible();
        let loading = load.then(|| tokio::spawn(loader.run(eligible, stopping.clone())));
        let normalising = tokio::spawn(async move { normaliser.run(stopping).await });
        for _ in 0..2000 {
            self.balance().await;
            let normalised = self.books.position("inbox").await.expect("books") > self.inbox.committed();
            let loaded = self.position("loaded").await >= self.position("calls").await;
            if normalised && (loaded || !load) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        stop.send_replace(true);
        normalising.await.expect("an end");
        if let Some(loading) = loading {
            loading.await.expect("an end");
        }
        let mut sources = Vec::new();
        while let Ok(source) = touched.try_recv() {
            sources.push(source);
        }
        sources
    }

    pub(crate) fn loader(&self, touch: mpsc::UnboundedSender<String>) -> Loader {
        let connectors = HashMap::from([("app".to_owned(), "segment"), ("shop".to_owned(), "stripe")]);
        Loader::new(self.calls.clone(), self.books.clone(), self.warehouse.clone(), connectors, touch)
            .unwrap()
    }

    pub(crate) async fn position(&self, name: &'static str) -> u64 {
        self.books.position(name).await.expect("books")
    }

    /// What became of calls and changes, by source and fate.
    pub(crate) async fn counts(&self) -> BTreeMap<String, u64> {
        let counts = self.books.counts().await.expect("books");
        counts
            .into_iter()
            .map(|count| (format!("{} {} {}", count.source, count.stage, count.reason), count.n))
            .collect()
    }

    /// What the warehouse says of a schema: delivered, rejected, changes.
    pub(crate) async fn loaded(&self, schema: &str) -> [u64; 3] {
        let schema = self.warehouse.schema(schema).await.expect("a schema");
        let position = schema.progress().await.expect("progress").remove("calls").unwrap_or_default();
        ["delivered", "rejected", "changes"].map(|name| position[name].as_u64().unwrap_or(0))
    }

    /// The books balance at every instant; returns how many calls and changes are on their way to the tables.
    pub(crate) async fn balance(&self) -> u64 {
        let balance = self.try_balance().await;
        assert!(balance.off().is_empty() && balance.counted, "{balance:#?}");
        let schemas = balance.lines.iter().filter(|line| line.of.starts_with("schema "));
        schemas.filter_map(|line| line.parts.get(IN_FLIGHT)).sum()
    }

    pub(crate) async fn try_balance(&self) -> Balance {
        let places = Places {
            inbox: &*self.inbox,
            quarantine: &*self.quarantine,
            calls: &self.calls,
            books: &self.books,
            warehouse: &*self.warehouse,
        };
        balance(places, Vec::new()).await.expect("books")
    }

    pub(crate) fn rows(&self, schema: &str, sql: &str) -> Vec<String> {
        query(&self.warehouse.file(schema), sql)
    }
}

pub(crate) fn sources() -> HashMap<String, Arc<Source>> {
    let source = |name: &str, connector: &str, schema: &str, filter: Filter| {
        let connector = headwater_connectors::find(connector).expect("a connector");
        let settings = json!({ "api_key": "sk_test_1", "webhook_secret": "whsec_1" });
        let events = connector.events.map(|events| (events.open)(settings).expect("settings"));
        let source =
            Source { name: name.to_owned(), connector, events, calls_schema: schema.to_owned(), filter };
        (name.to_owned(), Arc::new(source))
    };
    let block = ["Secret".to_owned(), "screen".to_owned()];
    let hash = ["traits.email".to_owned()];
    HashMap::from([
        source("app", "segment", "app", Filter::new(&block, &hash, &[])),
        source("shop", "stripe", "shop_events", Filter::default()),
    ])
}

pub(crate) fn track(id: &str, event: &str) -> Value {
    json!({ "type": "track", "messageId": id, "userId": "u", "event": event })
}

/// A webhook about a customer.
pub(crate) fn customer(event: &str, kind: &str, name: &str, created: i64) -> Value {
    json!({
        "id": event, "object": "event", "type": kind, "created": created, "api_version": VERSION,
        "data": { "object": { "id": "cus_1", "object": "customer", "name": name, "created": 1_700_000_000 } }
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_merged_and_its_times_are_corrected() {
    let folder = tempfile::tempdir().expect("a folder");
    let house = House::open(folder.path()).await;
    house
        .batch(
            "2024-05-06T12:00:10Z",
            json!({
                "sentAt": "2024-05-06T11:00:05Z",
                "context": { "library": { "name": "lib" }, "ip": "1.1.1.1" },
                "integrations": { "All": false },
                "batch": [
                    { "type": "track", "messageId": "1", "userId": "u", "event": "E", "originalTimestamp": "2024-05-06T11:00:00Z" },
                    { "type": "track", "messageId": "2", "userId": "u", "event": "E", "timestamp": "2024-05-06T11:00:00Z",
                      "sentAt": "2024-05-06T11:00:01Z", "context": { "ip": "2.2.2.2" } },
                    { "type": "track", "messageId": "3", "userId": "u", "event": "E" },
                    { "type": "identify", "messageId": "4", "userId": "u", "traits": { "email": "a@example.com" } },
                ]
            }),
        )
        .await;
    house.drain(true).await;
    assert_eq!(
        house.rows("app", "SELECT id, context_library_name, context_ip, timestamp, original_timestamp FROM tracks ORDER BY 1"),
        [
            // Sent five seconds after it happened, by a clock that is an hour slow.
            "1 lib 1.1.1.1 2024-05-06T12:00:05.000000Z 2024-05-06T11:00:00.000000Z",
            "2 lib 2.2.2.2 2024-05-06T12:00:09.000000Z 2024-05-06T11:00:00.000000Z",
            "3 lib 1.1.1.1 2024-05-06T12:00:10.000000Z 2024-05-06T12:00:10.000000Z",
        ]
    );
    let [email] = house.rows("app", "SELECT email FROM users").try_into().expect("one user");
    assert!(email.len() == 64 && !email.contains('@'), "{email}");
    assert_eq!(house.balance().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_counts_once_within_a_batch_across_batches_and_restarts() {
    let folder = tempfile::tempdir().expect("a folder");
    let house = House::open(folder.path()).await;
    house
        .batch(
            "2024-05-06T12:00:00Z",
            json!({ "batch": [track("1", "E"), track("1", "E"), track("2", "E")] }),
        )
        .await;
    house.batch("2024-05-06T12:00:01Z", json!({ "batch": [track("2", "E"), track("3", "E")] })).await;
    house.drain(true).await;
    house.close().await;
    let house = House::open(folder.path()).await;
    house.batch("2024-05-06T12:00:02Z", json!({ "batch": [track("3", "E"), track("4", "E")] })).await;
    house.drain(true).await;
    assert_eq!(house.rows("app", "SELECT id FROM tracks ORDER BY 1"), ["1", "2", "3", "4"]);
    assert_eq!(house.rows("app", "SELECT count(*) FROM e"), ["4"]);
    let counts = house.counts().await;
    assert_eq!((counts["app call eligible"], counts["app call duplicate"]), (4, 3));
    assert_eq!(house.loaded("app").await, [4, 0, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_between_the_log_and_the_books_repeats_the_batch_and_nothing_twice() {
    let folder = tempfile::tempdir().expect("a folder");
    let house = House::open(folder.path()).await;
    house.batch("2024-05-06T12:00:00Z", json!({ "batch": [track("1", "E")] })).await;
    house.drain(true).await;
    house.batch("2024-05-06T12:00:01Z", json!({ "batch": [track("2", "E"), track("3", "E")] })).await;
    // As the crash left it: the frames are in the log, the books know nothing of them.
    let frame = house.calls.read(1, 1).await.expect("a read").frames.remove(0);
    let text = String::from_utf8(frame.body.to_vec()).expect("text");
    for id in ["2", "3", "never"] {
        house
            .calls
            .append(Bytes::from(text.replace("\"messageId\":\"1\"", &format!("\"messageId\":\"{id}\""))))
            .await
            .expect("kept");
    }
    house.close().await;
    let house = House::open(folder.path()).await;
    assert_eq!((house.calls.committed(), house.position("calls").await), (4, 1));
    house.drain(true).await;
    assert_eq!(house.rows("app", "SELECT id FROM tracks ORDER BY 1"), ["1", "2", "3"]);
    assert_eq!((house.calls.committed(), house.counts().await["app call eligible"]), (3, 3));
    assert_eq!((house.loaded("app").await, house.balance().await), ([3, 0, 0], 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn books_that_cannot_be_written_for_a_while_make_nothing_twice() {
    let folder = tempfile::tempdir().expect("a folder");
    let house = House::open(folder.path()).await;
    house.batch("2024-05-06T12:00:00Z", json!({ "batch": [track("1", "E"), track("2", "E")] })).await;
    let other = rusqlite::Connection::open(folder.path().join("books.db")).expect("the books");
    other.execute_batch("BEGIN IMMEDIATE").expect("a lock");
    let free = async {
        // Longer than the books wait for it: the first attempt fails once its calls are in the log.
        tokio::time::sleep(Duration::from_millis(6500)).await;
        other.execute_batch("COMMIT").expect("an end");
    };
    tokio::join!(house.drain(true), free);
    assert_eq!((house.calls.committed(), house.position("calls").await), (2, 2));
    assert_eq!(house.counts().await["app call eligible"], 2);
    assert_eq!((house.loaded("app").await, house.balance().await), ([2, 0, 0], 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_a_call_is_kept_with_its_reason_and_holds_back_none() {
    let folder = tempfile::tempdir().expect("a folder");
    let house = House::open(folder.path()).await;
    let bad = json!({ "type": "track", "messageId": "bad", "event": "E" });
    house
        .batch(
            "2024-05-06T12:00:00Z",
            json!({ "batch": [track("1", "E"), bad, 7, { "type": "noise" }, track("2", "Secret")] }),
        )
        .await;
    house.batch("2024-05-06T12:00:00Z", json!({ "nothing": true })).await;
    house
        .put(
            "gone",
            DeliveryKind::Tracking,
            "batch",
            "2024-05-06T12:00:00Z",
            &json!({ "batch": [track("9", "E")] }),
        )
        .await;
    house.put("shop", DeliveryKind::Webhook, "", "2024-05-06T12:00:00Z", &json!({ "no": "event" })).await;
    house.inbox.put(Bytes::from_static(b"\xff not a delivery").into()).await.expect("kept");
    house.drain(true).await;
    assert_eq!(house.rows("app", "SELECT id FROM tracks"), ["1"]);
    let rejected = house.books.rejected(10).await.expect("books");
    let bad = rejected.iter().find(|item| item.payload.contains("\"bad\"")).expect("the bad call");
    assert_eq!((bad.reason.as_str(), bad.delivery, bad.item), ("missing identity", 1, 1));
    assert_eq!(rejected.len(), 5, "{rejected:#?}");
    let counts = house.counts().await;
    assert_eq!((counts["app call eligible"], counts["app call filtered by Secret"]), (1, 1));
    assert_eq!((counts["gone delivery unrouted"], counts[" delivery damaged"]), (1, 1));
    let fates =
        |kind: &str| counts.iter().filter(|(name, _)| name.contains(kind)).map(|(_, n)| n).sum::<u64>();
    assert_eq!((fates("call rejected"), fates(" delivery ")), (5, 5), "{counts:#?}");
    assert_eq!(house.balance().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_books_balance_at_every_step() {
    let folder = tempfile::tempdir().expect("a folder");
    let house = House::open(folder.path()).await;
    // Of each batch's eight items: two or three new, the others doubled, blocked or wrong.
    let batches = 150;
    for n in 0..batches {
        let items = [
            track(&format!("a{n}"), "E"),
            track(&format!("a{n}"), "E"),
            track(&format!("b{}", n / 2), "E"),
            track(&format!("c{n}"), "Secret"),
            json!({ "type": "screen", "messageId": format!("d{n}"), "userId": "u" }),
            json!({ "type": "track", "messageId": format!("e{n}"), "event": "E" }),
            json!("noise"),
            json!({ "type": "identify", "messageId": format!("f{n}"), "userId": format!("u{n}"), "traits": { "n": n } }),
        ];
        house.batch("2024-05-06T12:00:00Z", json!({ "batch": items })).await;
    }
    let watching = house.books.clone();
    let watch = tokio::spawn(async move {
        loop {
            let counts = watching.counts().await.expect("books");
            let of = |stage: &str| {
                counts.iter().filter(|count| count.stage == stage).map(|count| count.n).sum::<u64>()
            };
            assert_eq!((of("call"), of("item")), (8 * of("delivery"), 8 * of("delivery")), "{counts:?}");
            if of("delivery") == batches {
                return counts;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    // Stopped in its midst and begun again, with the loader behind.
    house.drain(false).await;
    assert!(house.balance().await > 0, "in flight");
    house.drain(true).await;
    watch.await.expect("they balance");
    let counts = house.counts().await;
    assert_eq!(counts["app call eligible"], 150 + 75 + 150);
    assert_eq!(counts["app call duplicate"], 150 + 75);
    assert_eq!((counts["app call filtered by Secret"], counts["app call filtered by screen"]), (150, 150));
    assert_eq!(house.balance().await, 0);
    assert_eq!(house.rows("app", "SELECT count(*) FROM tracks"), ["225"]);
    assert_eq!(house.rows("app", "SELECT count(*) FROM users"), ["150"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_balance_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let house = House::open(folder.path()).await;
    let bad = json!({ "type": "track", "messageId": "bad", "event": "E" });
    house
        .batch(
            "2024-05-06T12:00:00Z",
            json!({ "batch": [track("1", "E"), track("1", "E"), track("2", "Secret"), bad] }),
        )
        .await;
    house.drain(true).await;
    assert!(house.try_balance().await.is_settled());
    let edit = |file: &Path, sql: &str| {
        let db = rusqlite::Connection::open(file).expect("a file");
        assert_eq!(db.execute(sql, []).expect(sql), 1, "{sql}");
    };
    let (books, schema) = (folder.path().join("books.db"), house.warehouse.file("app"));
    let position = |delivered: u64| {
        format!(
            "UPDATE _headwater_progress SET value = json_set(value, '$.delivered', {delivered}) WHERE key = 'calls'"
        )
    };
    let count = |stage: &str, reason: &str, by: &str| {
        format!("UPDATE count SET n = n {by} WHERE stage = '{stage}' AND reason = '{reason}'")
    };
    // Each slip, its opposite, and the equation that it is found in.
    for (file, slip, back, named) in [
        (
            &books,
            count("delivery", "normalised", "- 1"),
            count("delivery", "normalised", "+ 1"),
            "deliveries: 1",
        ),
        (&books, count("call", "duplicate", "- 1"), count("call", "duplicate", "+ 1"), "items of app: 4"),
        (
            &books,
            count("call", "filtered by Secret", "+ 1"),
            count("call", "filtered by Secret", "- 1"),
            "items of app: 4",
        ),
        (&books, count("call", "eligible", "+ 1"), count("call", "eligible", "- 1"), "calls log: 1"),
        (&books, count("schema", "eligible", "+ 1"), count("schema", "eligible", "- 1"), "schema app: 2"),
        (&schema, position(0), position(1), "schema app: 1"),
        (&schema, position(2), position(1), "schema app: 1"),
    ] {
        edit(file, &slip);
        let off = house.try_balance().await.off();
        assert!(off.iter().any(|line| line.starts_with(named)), "{slip}: {off:?}");
        edit(file, &back);
        assert_eq!(house.try_balance().await.off(), [""; 0], "{back}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_that_cannot_be_read_are_in_the_books() {
    let folder = tempfile::tempdir().expect("a folder");
    let house = House::open(folder.path()).await;
    for n in 0..6 {
        house.batch("2024-05-06T12:00:00Z", json!({ "batch": [track(&format!("m{n}"), "E")] })).await;
        // A commit each: damage in the last one would be a torn write.
        house.drain(false).await;
    }
    house.close().await;
    // One byte of the third call.
    let segment = std::fs::read_dir(folder.path().join("calls"))
        .expect("a folder")
        .flatten()
        .next()
        .expect("a segment");
    let mut bytes = std::fs::read(segment.path()).expect("bytes");
    let at = bytes.windows(4).position(|window| window == b"\"m2\"").expect("the call");
    bytes[at + 1] ^= 1;
    std::fs::write(segment.path(), bytes).expect("written");
    let house = House::open(folder.path()).await;
    assert_eq!(house.balance().await, 5);
    house.drain(true).await;
    assert_eq!(house.balance().await, 0);
    assert_eq!(house.rows("app", "SELECT count(*) FROM tracks"), ["5"]);
    let app =
        house.try_balance().await.lines.into_iter().find(|line| line.of == "schema app").expect("a line");
    assert_eq!((app.total, app.parts["delivered"], app.parts["damaged"]), (6, 5, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_changes_an_objects_row_by_version() {
    let folder = tempfile::tempdir().expect("a folder");
    let house = House::open(folder.path()).await;
    let hook =
        async |body: Value| house.put("shop", DeliveryKind::Webhook, "", "2024-05-06T12:00:00Z", &body).await;
    hook(customer("evt_1", "customer.created", "first", 1_700_000_100)).await;
    hook(customer("evt_3", "customer.updated", "third", 1_700_000_300)).await;
    hook(customer("evt_2", "customer.updated", "second", 1_700_000_200)).await;
    let touched = house.drain(true).await;
    assert!(touched.is_empty(), "{touched:?}");
    assert_eq!(house.rows("shop", "SELECT id, name, is_deleted FROM customers"), ["cus_1 third 0"]);
    assert_eq!(
        house.rows("shop_events", "SELECT count(*) FROM sqlite_master WHERE name = 'customers'"),
        ["0"]
    );
    // A pull that began before is older, one that began later is newer.
    let stripe = headwater_connectors::find("stripe").and_then(|stripe| stripe.objects).expect("objects");
    let customers =
        stripe.collections.iter().find(|collection| collection.name == "customers").expect("customers");
    let schema = house.warehouse.schema("shop").await.expect("a schema");
    for (id, name, second, expected) in [("old", "stale", 250, "third"), ("new", "fresh", 350, "fresh")] {
        let record =
            headwater_core::record::Record::new(&json!({ "id": "cus_1", "name": name })).expect("a record");
        let at = Timestamp::from_second(1_700_000_000 + second).expect("a time");
        let change = headwater_core::object::Change::upsert("customers", record)
            .version(Some(headwater_core::object::Version::at(at)));
        crate::touches::push(&*schema, customers, id, change).await;
        assert_eq!(house.rows("shop", "SELECT name FROM customers"), [expected]);
    }
    hook(customer("evt_4", "customer.deleted", "fresh", 1_700_000_400)).await;
    hook(customer("evt_5", "customer.updated", "zombie", 1_700_000_390)).await;
    house.drain(true).await;
    assert_eq!(house.rows("shop", "SELECT is_deleted FROM customers"), ["1"]);
    let counts = house.counts().await;
    assert_eq!((counts["shop change eligible"], counts["shop call eligible"]), (5, 5));
    assert_eq!((house.loaded("shop").await, house.loaded("shop_events").await), ([0, 0, 5], [5, 0, 0]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_of_another_version_touches_the_row() {
    let folder = tempfile::tempdir().expect("a folder");
    let house = House::open(folder.path()).await;
    for n in 0..3 {
        let mut event = customer(&format!("evt_{n}"), "customer.updated", "other", 1_700_000_100 + n);
        event["api_version"] = "2010-01-01".into();
        house.put("shop", DeliveryKind::Webhook, "", "2024-05-06T12:00:00Z", &event).await;
    }
    assert_eq!(house.drain(true).await.first().map(String::as_str), Some("shop"));
    let schema = house.warehouse.schema("shop").await.expect("a schema");
    let progress = schema.progress().await.expect("progress");
    let touches: Vec<&String> = progress.keys().filter(|key| key.starts_with("touch customers ")).collect();
    assert_eq!(touches.len(), 3, "each has its own key: {progress:?}");
    assert_eq!(house.loaded("shop").await, [0, 0, 3]);
    assert_eq!(house.balance().await, 0);
}
