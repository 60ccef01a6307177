//! Feeds: one stream of changes for several collections, what it can no longer tell, and what it has never told.

use std::time::Duration;

use headwater_core::{
    object::{Change, Collection, Deletes, Feed, From, Version},
    record::Record,
};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    pretend::{FEED, LIST, changed},
    touches::push,
    vendor::Reply,
    world::{World, ago, names, outcome, row, some},
};

const USERS: Collection =
    Collection { name: "users", since: changed(0, 0), deletes: Deletes::Feed("events"), ..LIST };
const ORDERS: Collection = Collection { name: "orders", ..USERS };
const DAY: u64 = 86_400;

fn events(horizon: Option<u64>) -> Vec<Feed> {
    vec![Feed {
        read: Collection { name: "events", ..FEED },
        horizon: horizon.map(|days| Duration::from_secs(days * DAY)),
        fills: &["users", "orders"],
    }]
}

/// A change as the feed tells it: of users, at that time.
fn event(op: &str, record: Value, at: Timestamp) -> Value {
    json!({ "collection": "users", "op": op, "record": record, "version": at.as_microsecond() })
}

fn tell(world: &World, event: Value) {
    world.vendor.state().feeds.entry("events".into()).or_default().push(event);
}

fn since(world: &World, path: &str) -> Vec<Option<String>> {
    world.vendor.asked(path).into_iter().map(|ask| ask.query.get("since").cloned()).collect()
}

async fn world() -> World {
    let world = World::new(vec![USERS, ORDERS], events(Some(30))).await;
    world.vendor.put("users", some(4, 600));
    world.vendor.put("orders", some(2, 600));
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn its_position_is_taken_before_what_it_fills_is_read() {
    let world = world().await;
    let began = Timestamp::now();
    // A row of the first page changes while the second one is asked for; by then the feed has been read.
    world.vendor.hook(|ask, state| {
        if ask.path == "users" && ask.query.contains_key("page") {
            let at = Timestamp::now();
            let mut change = row("r000", at);
            change["name"] = "changed".into();
            let told = state.feeds.entry("events".into()).or_default();
            if told.is_empty() {
                told.push(event("upsert", change, at));
            }
        }
        None
    });
    world.success().await;
    assert!(world.synced_to("events").await <= began);
    world.success().await;
    assert_eq!(world.rows("users", "id, name")[0], "r000 changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_apply_by_version_and_deletions_stay() {
    let world = world().await;
    world.success().await;
    let named = |name: &str, at: Timestamp| {
        let mut row = row("r001", at);
        row["name"] = name.into();
        event("upsert", row, at)
    };
    tell(&world, named("newer", ago(20)));
    tell(&world, named("older", ago(40)));
    tell(&world, event("delete", json!({ "id": "r002" }), ago(20)));
    tell(&world, event("upsert", row("r002", ago(30)), ago(30)));
    tell(&world, event("upsert", row("r009", ago(10)), ago(10)));
    world.success().await;
    assert_eq!(world.ids("users"), ["r000", "r001", "r003", "r009"]);
    assert_eq!(world.rows("users", "id, name")[1], "r001 newer");
    assert_eq!(world.query("SELECT is_deleted FROM users WHERE id = 'r002'"), ["1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_position_older_than_the_horizon_reads_in_full_and_survives_a_failure() {
    let world = world().await;
    world.success().await;
    world.vendor.asked("users");
    // Deleted, and changed without a trace, in the time that the feed no longer has.
    world.vendor.remove("users", "r003");
    world.vendor.put("users", [row("hidden", ago(90_000))]);
    let mut progress = world.progress("events").await;
    progress["synced_to"] = ago(40 * 86_400).to_string().into();
    world.set_progress("old", "events", progress).await;
    world.vendor.refuse("users", 400);
    let report = world.sync().await;
    assert_eq!(outcome(&report, "users").kind, Some("unexpected"), "{report:#?}");
    assert_eq!(since(&world, "users"), [None]);
    // The feed stands at a new place by now; what it fills is still read in full.
    world.vendor.behave();
    let report = world.sync_with(|job| job.accept_deletes = true).await;
    assert_eq!(report.ending.name(), "success", "{report:#?}");
    assert_eq!(since(&world, "users")[0], None);
    assert_eq!(world.ids("users"), ["hidden", "r000", "r001", "r002"]);
    assert!(world.synced_to("events").await > ago(3600));
    world.success().await;
    assert!(since(&world, "users").iter().all(Option::is_some));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_that_the_vendor_has_forgotten_reads_in_full_next_time() {
    let world = world().await;
    world.success().await;
    world.vendor.put("users", [row("hidden", ago(90_000))]);
    // The list is still being read when the feed says so: what it stores then must not undo it.
    world.vendor.hook(|ask, state| {
        state.delay = if ask.path == "users" { Duration::from_millis(400) } else { Duration::ZERO };
        (ask.path == "feed/events").then(|| Reply::status(410))
    });
    let report = world.sync().await;
    let events = outcome(&report, "events");
    assert_eq!(events.kind, Some("expired"), "{report:#?}");
    assert!(
        events.error.as_ref().is_some_and(|error| error.contains("reads users, orders in full")),
        "{events:#?}"
    );
    assert_eq!(report.ending.name(), "partial");
    world.vendor.behave();
    world.vendor.asked("users");
    world.success().await;
    assert_eq!(since(&world, "users")[0], None);
    assert_eq!(world.ids("users").len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collection_chosen_later_has_not_been_served_and_is_read_in_full() {
    let mut world = world().await;
    world.job.exclude = vec!["orders".into()];
    world.success().await;
    assert!(world.query("SELECT name FROM sqlite_master WHERE name = 'orders'").is_empty());
    world.job.exclude.clear();
    world.success().await;
    assert_eq!(world.ids("orders"), names(2));
    // It goes away and comes back: what the feed has told meanwhile is made up for.
    world.job.exclude = vec!["orders".into()];
    world.vendor.put("orders", [row("hidden", ago(90_000))]);
    world.success().await;
    world.job.exclude.clear();
    world.vendor.asked("users");
    world.success().await;
    assert_eq!(world.ids("orders").len(), 3);
    assert!(since(&world, "users").iter().all(Option::is_some), "the others go on where they were");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_for_one_collection_loses_nothing_of_the_others() {
    let world = world().await;
    world.success().await;
    let at = ago(20);
    tell(&world, event("delete", json!({ "id": "r003" }), at));
    let mut order = event("delete", json!({ "id": "r001" }), at);
    order["collection"] = "orders".into();
    tell(&world, order);
    let report = world.sync_with(|job| job.only = vec!["orders".into()]).await;
    assert_eq!(report.ending.name(), "success", "{report:#?}");
    assert!(!report.collections.contains_key("users"), "its own list is not asked for");
    assert_eq!(world.ids("orders"), ["r000"]);
    // The feed's position has moved: the users' changes came along.
    world.success().await;
    assert_eq!(world.ids("users"), names(3));
    assert!(since(&world, "users").iter().skip(2).all(Option::is_some));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_that_is_the_only_past_begins_again_for_what_is_chosen_later() {
    let parts = |name: &'static str| Collection {
        name,
        from: From::Feed("events"),
        deletes: Deletes::Never,
        since: None,
        ..LIST
    };
    let mut world = World::new(vec![parts("users"), parts("orders")], events(None)).await;
    for n in 0..5 {
        tell(&world, event("upsert", row(&format!("u{n}"), ago(5000 - n)), ago(5000 - n)));
        let mut order = event("upsert", row(&format!("o{n}"), ago(5000 - n)), ago(5000 - n));
        order["collection"] = "orders".into();
        tell(&world, order);
    }
    world.job.collections = vec!["users".into()];
    world.success().await;
    assert_eq!(world.ids("users").len(), 5);
    assert_eq!(since(&world, "feed/events")[0], None);
    world.success().await;
    assert!(since(&world, "feed/events")[0].is_some());
    world.job.collections.clear();
    world.success().await;
    assert_eq!(since(&world, "feed/events")[0], None);
    assert_eq!(world.ids("orders").len(), 5);
    world.success().await;
    assert!(since(&world, "feed/events")[0].is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_does_not_take_rows_out_of_their_lists_pass() {
    // A webhook has told newer things of a row than the list and the feed, which both meet it: it is not gone.
    let users = Collection { since: None, deletes: Deletes::Unseen, version: Some("updated_at"), ..USERS };
    let world = World::new(vec![users], vec![Feed { fills: &["users"], ..events(Some(30))[0] }]).await;
    world.vendor.put("users", some(10, 600));
    world.success().await;
    let record = Record::new(&row("r000", ago(1))).expect("a record");
    let change = Change::upsert("users", record).version(Some(Version::at(ago(1))));
    push(&*world.schema().await, &users, "webhook", change).await;
    tell(&world, event("upsert", row("r000", ago(60)), ago(30)));
    // The feed comes once the list has met the row, and before its end.
    world.vendor.hook(|ask, state| {
        state.delay = Duration::from_millis(if ask.path == "users" { 60 } else { 150 });
        None
    });
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        world.success().await;
        assert_eq!(world.ids("users"), names(10));
    }
}
