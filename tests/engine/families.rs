//! Rows inside rows, and lists under rows.

use headwater_core::object::{Collection, Deletes, Endpoint, From, Reread};
use serde_json::{Value, json};

use crate::{
    pretend::{LIST, changed},
    vendor::Reply,
    world::{World, ago, outcome, row},
};

const ORDERS: Collection =
    Collection { name: "orders", since: changed(0, 0), deletes: Deletes::Never, ..LIST };
const LINES: Collection = Collection {
    name: "lines",
    key: &["order_id", "place"],
    fields: "order_id text = ^id, place int = #, sku text",
    from: From::Nested { of: &[("orders", "lines.data")], overflow: "lines.has_more" },
    endpoint: Endpoint::get("/orders/{^id}/lines"),
    version: None,
    ..LIST
};
const TAGS: Collection = Collection {
    name: "tags",
    fields: "id text, order_id text = ^id",
    from: From::Nested { of: &[("orders", "tags")], overflow: "" },
    version: None,
    ..LIST
};
const EVENTS: Collection = Collection {
    name: "events",
    fields: "id text, order_id text = ^id, order_name text = ^name",
    from: From::Children { of: &["orders"], reread: Reread::Changed },
    endpoint: Endpoint::get("/orders/{^id}/events"),
    version: None,
    ..LIST
};
const STATES: Collection = Collection {
    name: "states",
    from: From::Children { of: &["orders"], reread: Reread::Always },
    endpoint: Endpoint::get("/orders/{^id}/states"),
    ..EVENTS
};
const ATTACHMENTS: Collection = Collection {
    name: "attachments",
    fields: "id text, event_id text = ^id",
    from: From::Children { of: &["events"], reread: Reread::Changed },
    endpoint: Endpoint::get("/events/{^id}/attachments"),
    version: None,
    ..LIST
};
const MARKS: Collection = Collection {
    name: "marks",
    fields: "id text, event_id text = ^id",
    from: From::Nested { of: &[("events", "marks")], overflow: "" },
    version: None,
    ..LIST
};

fn order(id: &str, seconds_ago: i64, lines: &[&str], more: bool) -> Value {
    let mut order = row(id, ago(seconds_ago));
    let lines: Vec<Value> = lines.iter().map(|sku| json!({ "sku": sku })).collect();
    order["lines"] = json!({ "data": lines, "has_more": more });
    order
}

fn tagged(id: &str, seconds_ago: i64, tags: &[&str]) -> Value {
    let mut order = row(id, ago(seconds_ago));
    order["tags"] = tags.iter().map(|tag| json!({ "id": format!("{id}-{tag}") })).collect();
    order
}

fn few(ids: &[&str]) -> Vec<Value> {
    ids.iter().map(|id| json!({ "id": id })).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_inside_a_row_are_keyed_by_their_place_and_leave_with_it() {
    let world = World::new(vec![ORDERS, LINES], vec![]).await;
    world.vendor.put("orders", [order("a", 600, &["x", "y", "z"], false), order("b", 500, &["x"], false)]);
    world.success().await;
    assert_eq!(world.rows("lines", "order_id, place, sku"), ["a 0 x", "a 1 y", "a 2 z", "b 0 x"]);
    world.vendor.put("orders", [order("a", 300, &["z", "y"], false)]);
    let report = world.success().await;
    assert_eq!(world.rows("lines", "order_id, place, sku"), ["a 0 z", "a 1 y", "b 0 x"]);
    assert_eq!(outcome(&report, "orders").deleted, 1);
    world.vendor.put("orders", [order("b", 200, &[], false)]);
    world.success().await;
    assert_eq!(world.rows("lines", "order_id, place, sku"), ["a 0 z", "a 1 y"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_overflows_its_record_is_read_from_its_own_address() {
    let world = World::new(vec![ORDERS, LINES], vec![]).await;
    let skus = |names: &[&str]| names.iter().map(|sku| json!({ "id": sku, "sku": sku })).collect::<Vec<_>>();
    world.vendor.put("orders", [order("a", 600, &["p", "q"], true)]);
    world.vendor.put("orders/a/lines", skus(&["p", "q", "r", "s", "t"]));
    world.success().await;
    assert_eq!(world.rows("lines", "place, sku"), ["0 p", "1 q", "2 r", "3 s", "4 t"]);
    assert_eq!(world.vendor.asked("orders/a/lines").len(), 3);
    // It shrinks, and overflows still.
    world.vendor.state().lists.insert("orders/a/lines".into(), skus(&["p", "r", "s"]));
    world.vendor.put("orders", [order("a", 300, &["p", "r"], true)]);
    world.success().await;
    assert_eq!(world.rows("lines", "place, sku"), ["0 p", "1 r", "2 s"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_parent_met_twice_the_latest_counts() {
    let world = World::new(vec![Collection { since: None, ..ORDERS }, TAGS], vec![]).await;
    // On one page, the newer one last, and first.
    for (first, second) in [
        (tagged("a", 600, &["x", "y"]), tagged("a", 500, &["x"])),
        (tagged("a", 400, &["y"]), tagged("a", 450, &["x", "y"])),
    ] {
        world.vendor.state().lists.insert("orders".into(), vec![first.clone(), second.clone()]);
        world.success().await;
        let expected =
            if first["updated_at"].as_str() < second["updated_at"].as_str() { "a-x" } else { "a-y" };
        assert_eq!(world.ids("tags"), [expected]);
    }
    // On two pages of one pass.
    let fill = row("b", ago(300));
    let rows = vec![tagged("a", 200, &["x", "y", "z"]), fill.clone(), tagged("a", 100, &["z"]), fill];
    world.vendor.state().lists.insert("orders".into(), rows);
    world.success().await;
    assert_eq!(world.ids("tags"), ["a-z"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn children_are_read_under_the_parents_that_changed() {
    let world = World::new(vec![ORDERS, EVENTS], vec![]).await;
    world.vendor.put("orders", [row("a", ago(600)), row("b", ago(500)), row("c", ago(400))]);
    world.vendor.put("orders/a/events", few(&["a1", "a2", "a3"]));
    world.vendor.put("orders/b/events", few(&["b1"]));
    let report = world.success().await;
    assert_eq!(world.rows("events", "id, order_id"), ["a1 a", "a2 a", "a3 a", "b1 b"]);
    assert_eq!(outcome(&report, "orders").inserted, 7);
    assert_eq!(world.vendor.asked("orders/a/events").len(), 2);
    world.vendor.remove("orders/a/events", "a1");
    world.vendor.remove("orders/b/events", "b1");
    world.vendor.put("orders", [row("a", ago(300))]);
    world.success().await;
    assert_eq!(world.ids("events"), ["a2", "a3", "b1"], "b has not changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn children_that_change_by_themselves_are_read_under_all_parents() {
    let world = World::new(vec![ORDERS, STATES], vec![]).await;
    world.vendor.put("orders", [row("a", ago(600)), row("b", ago(500))]);
    world.vendor.put("orders/a/states", few(&["a1"]));
    world.vendor.put("orders/b/states", few(&["b1", "b2", "b3"]));
    world.success().await;
    world.vendor.remove("orders/b/states", "b2");
    world.vendor.put("orders/a/states", few(&["a2"]));
    world.success().await;
    // What they have of their parent is still there: it comes from the warehouse.
    let expected = ["a1 a name of a", "a2 a name of a", "b1 b name of b", "b3 b name of b"];
    assert_eq!(world.rows("states", "id, order_id, order_name"), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn children_that_change_by_themselves_are_read_though_their_parents_are_not_loaded() {
    let mut world = World::new(vec![ORDERS, STATES], vec![]).await;
    world.job.exclude = vec!["orders".into()];
    world.vendor.put("orders", [row("a", ago(600))]);
    world.vendor.put("orders/a/states", few(&["a1"]));
    world.success().await;
    world.vendor.put("orders/a/states", few(&["a2"]));
    world.success().await;
    assert_eq!(world.ids("states"), ["a1", "a2"]);
    assert!(world.query("SELECT name FROM sqlite_master WHERE name = 'orders'").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parent_that_has_gone_meanwhile_is_no_error() {
    let world = World::new(vec![ORDERS, EVENTS], vec![]).await;
    world.vendor.put("orders", [row("a", ago(600)), row("b", ago(500))]);
    world.vendor.put("orders/b/events", few(&["b1"]));
    let report = world.success().await;
    assert_eq!(world.ids("events"), ["b1"]);
    assert!(!report.collections.contains_key("events"), "{report:#?}");
    // None at all has one: that is worth saying.
    let world = World::new(vec![ORDERS, EVENTS], vec![]).await;
    world.vendor.put("orders", [row("a", ago(600)), row("b", ago(500))]);
    let report = world.success().await;
    assert!(outcome(&report, "events").notices[0].contains("under any of 2 parents"), "{report:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn children_that_are_refused_are_never_green_and_are_not_asked_for_ever() {
    let world = World::new(vec![ORDERS, EVENTS], vec![]).await;
    world.vendor.put("orders", (0..40).map(|n| row(&format!("o{n:02}"), ago(600 - n))));
    let asked = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counter = asked.clone();
    world.vendor.hook(move |ask, _| {
        ask.path.ends_with("/events").then(|| {
            counter.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            Reply::status(403)
        })
    });
    let report = world.sync().await;
    assert_eq!(report.ending.name(), "partial", "{report:#?}");
    assert!(outcome(&report, "orders").is_success());
    let events = outcome(&report, "events");
    assert_eq!(events.kind, Some("forbidden"));
    assert!(
        events.notices.iter().any(|notice| notice.contains("refused 40 times") && notice.contains("--full")),
        "{events:#?}"
    );
    assert_eq!(world.ids("orders").len(), 40);
    assert!(asked.load(std::sync::atomic::Ordering::SeqCst) <= 14);
    // Under one parent only: its rows stay, and it is not green either.
    world.vendor.hook(|ask, _| (ask.path == "orders/o01/events").then(|| Reply::status(403)));
    world.vendor.put("orders/o00/events", few(&["e0"]));
    let report = world.sync_with(|job| job.full = true).await;
    assert_eq!((report.ending.name(), outcome(&report, "events").kind), ("partial", Some("forbidden")));
    assert_eq!(world.ids("events"), ["e0"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_hangs_on_children_is_read_too() {
    let world = World::new(vec![ORDERS, EVENTS, ATTACHMENTS, MARKS], vec![]).await;
    world.vendor.put("orders", [row("a", ago(600))]);
    world.vendor.put(
        "orders/a/events",
        [json!({ "id": "e1", "marks": [{ "id": "m1" }, { "id": "m2" }] }), json!({ "id": "e2" })],
    );
    world.vendor.put("events/e1/attachments", few(&["x1", "x2", "x3"]));
    world.vendor.put("events/e2/attachments", few(&["x4"]));
    world.success().await;
    assert_eq!(world.rows("attachments", "id, event_id"), ["x1 e1", "x2 e1", "x3 e1", "x4 e2"]);
    assert_eq!(world.rows("marks", "id, event_id"), ["m1 e1", "m2 e1"]);
    // Chosen alone, it is still reached, through what is not loaded.
    let mut world =
        World { job: world.job.clone(), ..World::new(vec![ORDERS, EVENTS, ATTACHMENTS], vec![]).await };
    world.job.base_url = Some(world.vendor.url.clone());
    world.job.collections = vec!["attachments".into()];
    world.vendor.put("orders", [row("a", ago(600))]);
    world.vendor.put("orders/a/events", few(&["e1"]));
    world.vendor.put("events/e1/attachments", few(&["x1"]));
    world.success().await;
    assert_eq!(world.ids("attachments"), ["x1"]);
    assert!(world.query("SELECT name FROM sqlite_master WHERE name IN ('orders', 'events')").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn children_chosen_later_are_read_under_parents_that_do_not_change() {
    let mut world = World::new(vec![ORDERS, TAGS, EVENTS], vec![]).await;
    world.job.collections = vec!["orders".into()];
    world.vendor.put("orders", [tagged("a", 600, &["x"]), tagged("newest", 500, &[])]);
    world.vendor.put("orders/a/events", few(&["e1"]));
    world.success().await;
    world.job.collections.clear();
    world.success().await;
    assert_eq!((world.ids("tags"), world.ids("events")), (vec!["a-x".to_owned()], vec!["e1".to_owned()]));
    // A run for one of them only leaves the others' where they are.
    world.vendor.asked("orders");
    let report = world.sync_with(|job| job.only = vec!["orders".into()]).await;
    assert_eq!(report.ending.name(), "success");
    world.success().await;
    assert!(world.vendor.asked("orders").iter().all(|ask| ask.query.contains_key("since")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_inside_a_row_whose_key_is_not_id_is_pruned_too() {
    let shops = Collection {
        name: "shops",
        key: &["number"],
        fields: "number text = no, name text, updated_at time",
        since: None,
        ..LIST
    };
    let tags = Collection {
        fields: "id text, shop text = ^no",
        from: From::Nested { of: &[("shops", "tags")], overflow: "" },
        ..TAGS
    };
    let world = World::new(vec![shops, tags], vec![]).await;
    let shop = |tags: &[&str]| json!({ "id": "ignored", "no": "7", "tags": few(tags), "updated_at": "2024-01-01T00:00:00Z" });
    world.vendor.put("shops", [shop(&["x", "y"])]);
    world.success().await;
    world.vendor.put("shops", [shop(&["y"])]);
    world.success().await;
    assert_eq!(world.ids("tags"), ["y"]);
}
