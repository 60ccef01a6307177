//! Stored deliveries through another mapping: afterwards everything is as though that mapping had been there all along, whatever
//! happens on the way, and a look beforehand tells exactly what will change.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
    sync::Arc,
    time::Duration,
};

use headwater::{
    inbox::DeliveryKind,
    pipeline::{
        Filter, Source, Sources,
        replay::{Difference, Plan, Replay, Summary, Told, What, conditions},
    },
    warehouse::Warehouse,
};
use headwater_core::{
    auth::Secret,
    connector::Connector,
    error::{Error, Result},
    event::{EventSource, Item, Items, Output, Surface, Webhook},
    object::{Change, Op, Version, intern},
    record::{Raw, Record},
    signature::Signature,
    spec::{Call, CallKind},
};
use jiff::Timestamp;
use rusqlite::types::Value as Sql;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};

use crate::pipeline::House;

const UNSIGNED: Signature = Signature::None { why: "a test" };
/// The same items in two orders: two versions of a connector may number them differently.
static FIRST: Webhook = Webhook {
    surfaces: &[Surface { path: "", signature: UNSIGNED, items: Items::Json("events") }],
    calls: &[],
};
static SECOND: Webhook = Webhook {
    surfaces: &[Surface { path: "", signature: UNSIGNED, items: Items::Json("others") }],
    calls: &[],
};

/// A mapping of which there are two versions.
#[derive(Deserialize, JsonSchema)]
struct Mapping {
    version: u8,
}

impl EventSource for Mapping {
    fn secrets(&self, _: &Surface) -> Vec<Secret> {
        Vec::new()
    }

    fn map(&self, item: &Item<'_>) -> Result<Vec<Output>> {
        let text = |name: &str| item.record.text(name).map(Option::unwrap_or_default);
        let (id, kind, old) = (text("id")?, text("kind")?, self.version == 1);
        let track = |event: &str| Call::track(event);
        let mut call = match (kind.as_str(), old) {
            ("order", _) => track("Order Completed"),
            ("renamed", true) => track("Old Name"),
            ("renamed", false) => track("New Name"),
            ("retyped", true) | ("same", _) => track("Same"),
            ("retyped", false) | ("who", _) => Call::new(CallKind::Identify),
            ("late", true) => return Err(Error::unexpected("not known yet")),
            ("late", false) => track("Late"),
            ("dropped", true) => track("Dropped"),
            ("dropped", false) => return Ok(Vec::new()),
            ("customer", _) => {
                let name = if old { "old" } else { "new" };
                let row = Record::new(&json!({ "id": id, "name": name }))?;
                let version = Some(Version(1_700_000_000_000_000));
                return Ok(vec![Output::Change(
                    Change::upsert("customers", row).op(Op::Upsert).version(version),
                )]);
            }
            _ => return Err(Error::unexpected("never known")),
        };
        call.message_id = id;
        call.user_id = Some("u".to_owned());
        call.properties = item.fields()?;
        if !old && kind == "order" {
            call.properties.set("currency", Raw::string("EUR"));
            call.properties.take("value");
        }
        Ok(vec![call.into()])
    }
}

fn sources(version: u8) -> Sources {
    let webhook = if version == 1 { &FIRST } else { &SECOND };
    let connector: &'static Connector =
        Box::leak(Box::new(Connector::new(intern("stripe"), "Toy", "test", "").events::<Mapping>(webhook)));
    let source = Source {
        name: "shop".to_owned(),
        connector,
        events: Some(Box::new(Mapping { version })),
        calls_schema: "shop_events".to_owned(),
        filter: Filter::default(),
    };
    HashMap::from([("shop".to_owned(), Arc::new(source))])
}

/// A delivery of these items: (id, kind).
async fn put(house: &House, second: u32, items: &[(&str, &str)]) {
    let mut items: Vec<Value> =
        items.iter().map(|(id, kind)| json!({ "id": id, "kind": kind, "value": second })).collect();
    let events = items.clone();
    items.reverse();
    let body = json!({ "events": events, "others": items });
    let received = format!("2024-05-06T12:00:{second:02}Z");
    house.put("shop", DeliveryKind::Webhook, "", &received, &body).await;
}

/// Deliveries in which something of each kind happens, twice.
async fn traffic(house: &House) {
    let kinds = ["order", "renamed", "retyped", "same", "who", "late", "dropped", "customer", "never"];
    for second in 0..2 {
        let ids: Vec<String> = kinds.iter().map(|kind| format!("{kind}-{second}")).collect();
        let items: Vec<(&str, &str)> = ids.iter().map(String::as_str).zip(kinds).collect();
        put(house, second, &items).await;
    }
    // One that is made by two deliveries: by the first only as long as that makes it.
    put(house, 10, &[("shared", "dropped"), ("own", "same")]).await;
    put(house, 11, &[("shared", "same"), ("own", "same")]).await;
    // The same items again, as a vendor sends them who did not hear the answer.
    put(house, 12, &[("order-0", "order"), ("late-0", "late"), ("shared", "same")]).await;
}

fn plan() -> Plan {
    Plan {
        source: "shop".to_owned(),
        since: Timestamp::UNIX_EPOCH,
        until: Timestamp::now(),
        conditions: Vec::new(),
        destinations: false,
        dry_run: false,
        diff: true,
        args: "all".to_owned(),
        restart: false,
    }
}

/// Replays by the second mapping; returns what it says and the differences.
async fn replay(house: &House, plan: &Plan) -> (Summary, Vec<Difference>) {
    replay_with(house, plan, 0).await
}

/// The same, with a loader that begins once there are so many frames.
async fn replay_with(house: &House, plan: &Plan, frames: u64) -> (Summary, Vec<Difference>) {
    let normaliser = Arc::new(house.normaliser(sources(2)).await);
    let (stop, stopping) = watch::channel(false);
    let (touch, _touched) = mpsc::unbounded_channel();
    let loader = house.loader(touch);
    let (eligible, until, calls) = (normaliser.eligible(), stopping.clone(), house.calls.clone());
    let loading = tokio::spawn(async move {
        while calls.committed() < frames {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        loader.run(eligible, until).await;
    });
    let (tell, mut told) = mpsc::channel(1);
    let hear = async {
        let mut differences = Vec::new();
        while let Some(told) = told.recv().await {
            // The books balance also in the midst of it.
            house.balance().await;
            if let Told::Difference(difference) = told {
                differences.push(difference);
            }
        }
        differences
    };
    let work = async {
        let tell = tell;
        let replay = Replay {
            inbox: &house.inbox,
            books: &house.books,
            normaliser: &normaliser,
            warehouse: &*house.warehouse,
            loads: true,
            stop: stopping,
        };
        replay.run(plan, &tell).await.expect("a replay")
    };
    let (summary, differences) = tokio::join!(work, hear);
    stop.send_replace(true);
    loading.await.expect("an end");
    assert_eq!(house.balance().await, 0);
    (summary, differences)
}

/// Every row of every table that has any, by table: its values as text, without nulls.
fn tables(house: &House, without: &[&str]) -> BTreeMap<String, Vec<String>> {
    let mut all = BTreeMap::new();
    for schema in ["shop", "shop_events"] {
        let file = house.warehouse.file(schema);
        let Ok(db) = rusqlite::Connection::open(&file) else { continue };
        let names: Vec<String> = db
            .prepare("SELECT name FROM _headwater_tables UNION SELECT '_headwater_loads' UNION SELECT '_headwater_progress'")
            .and_then(|mut names| names.query_map([], |row| row.get(0))?.collect())
            .expect("tables");
        for name in names.iter().filter(|name| without.is_empty() || !name.starts_with('_')) {
            let mut select = db.prepare(&format!("SELECT * FROM \"{name}\"")).expect("a table");
            let columns: Vec<String> = select.column_names().into_iter().map(str::to_owned).collect();
            let mut rows: Vec<String> = select
                .query_map([], |row| {
                    let mut values = BTreeMap::new();
                    for (at, column) in columns.iter().enumerate() {
                        let value: Sql = row.get(at)?;
                        if value != Sql::Null && !without.contains(&column.as_str()) {
                            values.insert(column.clone(), format!("{value:?}"));
                        }
                    }
                    Ok(format!("{values:?}"))
                })
                .and_then(Iterator::collect)
                .expect("rows");
            rows.sort();
            if !rows.is_empty() {
                all.insert(format!("{schema}.{name}"), rows);
            }
        }
    }
    all
}

/// What differs from load to load.
const LOADS: [&str; 5] = ["received_at", "uuid_ts", "_headwater_row", "_headwater_load", "_headwater_pass"];

/// A house in which the old mapping has loaded the traffic.
async fn old(folder: &Path) -> House {
    let house = House::open(folder).await;
    traffic(&house).await;
    house.drain_with(sources(1), true).await;
    house
}

/// What the tables hold where the new mapping was there all along.
async fn expected() -> BTreeMap<String, Vec<String>> {
    let folder = tempfile::tempdir().expect("a folder");
    let house = House::open(folder.path()).await;
    traffic(&house).await;
    house.drain_with(sources(2), true).await;
    tables(&house, &LOADS)
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_as_if_the_mapping_had_been_there_all_along() {
    let folder = tempfile::tempdir().expect("a folder");
    let house = old(folder.path()).await;
    let expected = expected().await;
    assert_ne!(tables(&house, &LOADS), expected);
    let (summary, _) = replay(&house, &plan()).await;
    assert_eq!(tables(&house, &LOADS), expected);
    assert_eq!(summary.deliveries, 5);
    // What could not be mapped then and can now is not among the rejected any more; what still cannot be is there once.
    let rejected = house.books.rejected(100).await.expect("books");
    let reasons: Vec<&str> = rejected.iter().map(|item| item.reason.as_str()).collect();
    assert_eq!(reasons, ["never known"; 2]);
    assert!(!tables(&house, &LOADS).contains_key("shop_events.dropped"), "gone from every table");
    // Twice is once.
    let (summary, differences) = replay(&house, &plan()).await;
    assert_eq!(tables(&house, &LOADS), expected);
    assert_eq!((differences.len(), summary.calls.get("removed")), (0, None), "{summary:?} {differences:#?}");
    // What comes now knows what the replay has made.
    put(&house, 30, &[("late-1", "late"), ("shared", "same"), ("fresh", "same")]).await;
    let before = house.counts().await["shop call eligible"];
    house.drain_with(sources(2), true).await;
    let counts = house.counts().await;
    assert_eq!(counts["shop call eligible"] - before, 1, "{counts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_tells_exactly_what_will_change_and_changes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let house = old(folder.path()).await;
    let (was, counts, end) = (tables(&house, &[]), house.counts().await, house.calls.committed());
    let (looked, promised) = replay(&house, &Plan { dry_run: true, ..plan() }).await;
    assert_eq!(tables(&house, &[]), was);
    assert_eq!((house.counts().await, house.calls.committed()), (counts, end));
    let (done, kept) = replay(&house, &plan()).await;
    assert_eq!((&looked, &promised), (&done, &kept));
    let of = |what: What| {
        let mut ids: Vec<&str> =
            promised.iter().filter(|one| one.what == what).map(|one| &one.id["stripe:".len()..]).collect();
        ids.sort();
        ids
    };
    assert_eq!(of(What::Added), ["late-0", "late-1", "retyped-0", "retyped-1", "shared"]);
    assert_eq!(of(What::Changed), ["order-0", "order-1", "renamed-0", "renamed-1"]);
    assert_eq!(of(What::Removed), ["dropped-0", "dropped-1", "retyped-0", "retyped-1", "shared"]);
    let order = promised.iter().find(|one| one.id == "stripe:order-1").expect("the order");
    let mut columns: Vec<(&str, &Value, &Value)> =
        order.columns.iter().map(|column| (column.column.as_str(), &column.from, &column.to)).collect();
    columns.sort_by_key(|(name, ..)| *name);
    assert_eq!(columns, [("currency", &json!(null), &json!("EUR")), ("value", &json!(1), &json!(null))]);
    assert!(order.columns.iter().all(|column| column.table == "order_completed"));
    let dropped = promised.iter().find(|one| one.id == "stripe:dropped-0").expect("the call");
    assert!(dropped.columns.iter().any(|column| column.table == "dropped" && column.column == "value"));
    // Of each of the two: same, who; and own, which belongs to the first that made it.
    assert_eq!((looked.calls["same"], looked.calls["duplicate"]), (5, 4), "{looked:?} {promised:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_is_asked_for_is_made_again() {
    for (condition, since, expected) in [
        ("event = 'Dropped'", 0, 3),
        ("event = 'Late'", 0, 3),
        ("messageId = stripe:order-1", 0, 1),
        ("type = identify", 1, 1),
        ("delivery = 2 and event = 'New Name'", 0, 1),
        ("delivery = 2 and messageId = stripe:order-0", 0, 0),
        ("surface = other", 0, 0),
        ("kind = webhook", 10, 3),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let house = old(folder.path()).await;
        let mut plan = Plan { conditions: conditions(condition).expect("conditions"), ..plan() };
        plan.since = format!("2024-05-06T12:00:{since:02}Z").parse().expect("a time");
        let (summary, _) = replay(&house, &plan).await;
        assert_eq!(summary.deliveries, expected, "{condition}: {summary:?}");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let house = old(folder.path()).await;
    let mut plan = plan();
    plan.until = "2024-05-06T12:00:00Z".parse().expect("a time");
    let (summary, differences) = replay(&house, &plan).await;
    assert_eq!(summary.deliveries, 1);
    assert!(differences.iter().all(|one| one.id.ends_with("-0")), "{differences:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_follow_their_versions() {
    let folder = tempfile::tempdir().expect("a folder");
    let house = old(folder.path()).await;
    let newer = json!({ "id": "customer-1", "name": "newest" });
    let change = Change::upsert("customers", Record::new(&newer).expect("a record"))
        .version(Some(Version(1_800_000_000_000_000)));
    let stripe = headwater_connectors::find("stripe").and_then(|stripe| stripe.objects).expect("objects");
    let customers = stripe.collections.iter().find(|one| one.name == "customers").expect("customers");
    let schema = house.warehouse.schema("shop").await.expect("a schema");
    crate::touches::push(&*schema, customers, "newer", change).await;
    replay(&house, &plan()).await;
    assert_eq!(
        house.rows("shop", "SELECT id, name FROM customers ORDER BY 1"),
        ["customer-0 new", "customer-1 newest"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_that_was_cut_short_goes_on_where_it_was() {
    let folder = tempfile::tempdir().expect("a folder");
    let house = old(folder.path()).await;
    let expected = expected().await;
    // As a crash leaves it: the first delivery is done, the second one's frames are in the log and the books know nothing of them.
    let first = Plan { until: "2024-05-06T12:00:00Z".parse().expect("a time"), ..plan() };
    replay(&house, &first).await;
    let job = headwater::pipeline::books::ReplayJob {
        args: "all".to_owned(),
        began: Timestamp::UNIX_EPOCH,
        since: Timestamp::UNIX_EPOCH,
        until: Timestamp::now(),
        next: 2,
        end: 6,
    };
    house.books.begin_replay(job).await.expect("a job");
    let end = house.calls.committed();
    let frame = house.calls.read(end, 1).await.expect("a read").frames.remove(0);
    house.calls.append_many(vec![frame.body.clone(), frame.body]).await.expect("kept");
    house.close().await;
    let house = House::open(folder.path()).await;
    let (summary, _) = replay(&house, &plan()).await;
    assert_eq!((summary.deliveries, tables(&house, &LOADS) == expected), (4, true));
    // It has ended: the same words begin anew.
    assert_eq!(replay(&house, &plan()).await.0.deliveries, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_is_replaced_in_one_load_however_large() {
    let folder = tempfile::tempdir().expect("a folder");
    let house = House::open(folder.path()).await;
    let pad = "x".repeat(4_000);
    for second in 0..3u32 {
        // Five megabytes of calls each: more than a load takes at once.
        let items: Vec<Value> = (0..1_250)
            .map(|n| json!({ "id": format!("{second}-{n}"), "kind": "order", "value": second, "pad": pad }))
            .collect();
        let body = json!({ "events": items, "others": items });
        house.put("shop", DeliveryKind::Webhook, "", &format!("2024-05-06T12:00:{second:02}Z"), &body).await;
    }
    // The loader comes late both times: it finds all of them at once.
    house.drain_with(sources(1), false).await;
    house.drain_with(sources(1), true).await;
    let loads =
        "SELECT count(DISTINCT _headwater_load) FROM tracks GROUP BY substr(_headwater_delivery, 1, 2)";
    let parted = house.rows("shop_events", loads);
    replay_with(&house, &Plan { diff: false, ..plan() }, 2 * 3_750).await;
    assert!(parted.iter().all(|loads| loads != "1"), "at first each delivery is parted: {parted:?}");
    assert_eq!(house.rows("shop_events", loads), ["1", "1", "1"]);
    assert_eq!(
        house.rows("shop_events", "SELECT count(*), count(value), count(currency) FROM order_completed"),
        ["3750 0 3750"]
    );
}
