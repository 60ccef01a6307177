//! Rows that something said have changed, without saying how.

use std::sync::Arc;

use headwater::{
    sync::touch,
    warehouse::{
        Load, Schema,
        table::{Batch, Meta, TableSpec},
    },
};
use headwater_core::{
    cursor::Pages,
    object::{Change, Collection, Deletes, From, Op, Version},
    record::Record,
};
use jiff::Timestamp;
use serde_json::json;

use crate::{
    pretend::LIST,
    vendor::Reply,
    world::{World, ago, outcome, row},
};

const USERS: Collection = Collection { name: "users", ..LIST };
const TAGS: Collection = Collection {
    name: "tags",
    fields: "id text, user_id text = ^id",
    from: From::Nested { of: &[("users", "tags")], overflow: "" },
    version: None,
    ..LIST
};

/// Loads one change as a webhook does: with no run and no pass.
pub async fn push(schema: &dyn Schema, collection: &Collection, id: &str, change: Change) {
    let mut batch = Batch::new(Arc::new(TableSpec::object(collection).expect("a table")));
    let meta = Meta { pass: None, overlap: false, received_at: Timestamp::now(), delivery: None };
    batch.push(&change, meta).expect("a row");
    let load =
        Load { id: id.to_owned(), began: Some(Timestamp::now()), batches: vec![batch], ..Load::default() };
    schema.commit(load).await.expect("a commit");
}

/// Keeps a touch as the loader does.
async fn touched(world: &World, id: &str, item: &str, version: Timestamp) {
    let record = Record::new(&json!({ "id": id })).expect("a record");
    let change = Change::upsert("users", record).op(Op::Touch);
    let key = touch::key(&change, item).expect("a key");
    world.set_progress(&format!("touch {item}"), &key, json!({ "version": Version::at(version).0 })).await;
}

async fn left(world: &World) -> usize {
    world
        .schema()
        .await
        .progress()
        .await
        .expect("progress")
        .keys()
        .filter(|key| key.starts_with("touch "))
        .count()
}

async fn world() -> World {
    let world = World::new(vec![USERS, TAGS], vec![]).await;
    world.vendor.put("users", (0..6).map(|n| row(&format!("u{n}"), ago(600))));
    world.success().await;
    world.vendor.asked("users");
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn a_touched_row_is_fetched_and_nothing_else() {
    let world = world().await;
    let mut changed = row("u1", ago(30));
    changed["name"] = "changed".into();
    changed["tags"] = json!([{ "id": "t1" }, { "id": "t2" }]);
    world.vendor.put("users", [changed.clone()]);
    // However often it was touched.
    for item in ["1:0", "2:0", "2:1"] {
        touched(&world, "u1", item, ago(20)).await;
    }
    let report = world.sync_with(|job| job.touched_only = true).await;
    assert_eq!(report.ending.name(), "success", "{report:#?}");
    assert_eq!(outcome(&report, "touched rows").records, 3);
    assert_eq!(world.vendor.asked("users/u1").len(), 1);
    assert!(world.vendor.asked("users").is_empty());
    assert_eq!(world.rows("users", "id, name")[1], "u1 changed");
    assert_eq!(world.ids("tags"), ["t1", "t2"]);
    assert_eq!(left(&world).await, 0);
    // What has left the list inside it is gone.
    changed["tags"] = json!([{ "id": "t2" }]);
    world.vendor.put("users", [changed]);
    touched(&world, "u1", "3:0", ago(10)).await;
    world.sync_with(|job| job.touched_only = true).await;
    assert_eq!(world.ids("tags"), ["t2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_touched_row_that_is_gone_is_deleted() {
    let world = world().await;
    world.vendor.remove("users", "u2");
    touched(&world, "u2", "1:0", ago(20)).await;
    let report = world.success().await;
    assert_eq!(outcome(&report, "touched rows").deleted, 1);
    assert_eq!(world.ids("users"), ["u0", "u1", "u3", "u4", "u5"]);
    assert_eq!(left(&world).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_touched_again_while_it_is_fetched_is_fetched_again() {
    let world = world().await;
    touched(&world, "u1", "1:0", ago(20)).await;
    world.vendor.state().delay = std::time::Duration::from_millis(500);
    let (report, ()) = tokio::join!(world.sync_with(|job| job.touched_only = true), async {
        // check is answered after 500 ms, the row after a second.
        tokio::time::sleep(std::time::Duration::from_millis(750)).await;
        touched(&world, "u1", "2:0", ago(0)).await;
    });
    assert_eq!(report.ending.name(), "success");
    assert_eq!(left(&world).await, 1, "the later touch is still there");
    world.vendor.state().delay = std::time::Duration::ZERO;
    world.sync_with(|job| job.touched_only = true).await;
    assert_eq!(left(&world).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_touched_during_a_run_is_fetched_at_its_end() {
    let world = world().await;
    world.vendor.state().delay = std::time::Duration::from_millis(300);
    let (report, ()) = tokio::join!(world.sync(), async {
        tokio::time::sleep(std::time::Duration::from_millis(700)).await;
        touched(&world, "u1", "1:0", ago(20)).await;
    });
    assert_eq!(report.ending.name(), "success", "{report:#?}");
    assert_eq!(left(&world).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_touch_that_cannot_be_fetched_is_kept_and_holds_back_none() {
    let world = world().await;
    for (id, item) in [("u0", "1:0"), ("u1", "1:1"), ("u2", "1:2")] {
        touched(&world, id, item, ago(20)).await;
    }
    world.vendor.remove("users", "u2");
    for (status, kind) in [(403, "forbidden"), (400, "unexpected")] {
        world.vendor.hook(move |ask, _| (ask.path == "users/u0").then(|| Reply::status(status)));
        let report = world.sync().await;
        assert_eq!(report.ending.name(), "partial", "{report:#?}");
        assert_eq!(outcome(&report, "touched rows").kind, Some(kind));
        assert_eq!(left(&world).await, 1);
        assert_eq!(world.ids("users").len(), 5);
    }
    world.vendor.behave();
    world.success().await;
    assert_eq!(left(&world).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_may_touch_rows() {
    let hints =
        Collection { name: "hints", pages: Pages::Custom, deletes: Deletes::Never, version: None, ..LIST };
    let users = Collection { from: From::Pushed, ..USERS };
    let world = World::new(vec![users, hints], vec![]).await;
    world.vendor.put("users", [row("u1", ago(600))]);
    let touch = |id: &str| json!({ "collection": "users", "op": "touch", "record": { "id": id }, "version": Version::at(ago(30)).0 });
    world.vendor.state().lists.insert("hints".into(), vec![]);
    let changes = json!({ "changes": [touch("u1"), touch("u9")], "cursor": null, "more": false });
    world.vendor.hook(move |ask, _| (ask.path == "hints").then(|| Reply::ok(changes.clone())));
    world.success().await;
    assert_eq!(world.rows("users", "id, name"), ["u1 name of u1"]);
    // One that may not be fetched costs its own collection.
    world.vendor.hook(move |ask, _| match ask.path.as_str() {
        "hints" => Some(Reply::ok(
            json!({ "changes": [touch("u1"), { "record": { "id": "h1" } }], "cursor": null, "more": false }),
        )),
        "users/u1" => Some(Reply::status(403)),
        _ => None,
    });
    let report = world.sync().await;
    assert_eq!(
        (report.ending.name(), outcome(&report, "users").kind),
        ("partial", Some("forbidden")),
        "{report:#?}"
    );
    assert_eq!(world.ids("hints"), ["h1"]);
}
