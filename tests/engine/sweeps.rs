//! What a whole reading no longer meets is gone: with care.

use std::{future::Future, time::Duration};

use headwater_core::{
    cursor::{More, Pages, Put},
    object::{Change, Collection, Version},
    record::Record,
};

use crate::{
    pretend::{LIST, changed},
    touches::push,
    vendor::Reply,
    world::{World, ago, names, outcome, row, some},
};

const USERS: Collection = Collection { name: "users", ..LIST };
const COUNTED: Collection =
    Collection { pages: Pages::Offset { into: Put::Query("offset"), size: 2, more: More::Full }, ..USERS };

async fn filled(collection: Collection) -> World {
    let world = World::new(vec![collection], vec![]).await;
    world.vendor.put("users", some(20, 600));
    world.success().await;
    assert_eq!(world.ids("users"), names(20));
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_pass_deletes_what_is_gone_and_a_row_may_come_back() {
    let world = filled(USERS).await;
    world.vendor.remove("users", "r007");
    let report = world.success().await;
    assert_eq!((outcome(&report, "users").deleted, world.ids("users").len()), (1, 19));
    world.vendor.put("users", [row("r007", ago(600))]);
    world.success().await;
    assert_eq!(world.ids("users").len(), 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_loaded_after_the_pass_began_are_spared() {
    let world = filled(USERS).await;
    let schema = world.schema().await;
    world.vendor.state().delay = Duration::from_millis(60);
    let webhook = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let record = Record::new(&row("pushed", ago(0))).expect("a record");
        let change = Change::upsert("users", record).version(Some(Version::at(ago(0))));
        push(&*schema, &USERS, "webhook", change).await;
    };
    let (report, ()) = tokio::join!(world.sync(), webhook);
    assert_eq!(report.ending.name(), "success");
    assert!(world.ids("users").contains(&"pushed".to_owned()));
    // The vendor never lists it: the next pass knows.
    world.success().await;
    assert_eq!(world.ids("users"), names(20));
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_newer_than_the_bound_of_a_whole_pass_are_spared() {
    // A list that lags by a minute does not show what a webhook brought half a minute ago.
    let world = World::new(vec![Collection { since: changed(0, 60), ..USERS }], vec![]).await;
    world.vendor.put("users", some(20, 600));
    world.success().await;
    let record = Record::new(&row("pushed", ago(5))).expect("a record");
    let change = Change::upsert("users", record).version(Some(Version::at(ago(5))));
    push(&*world.schema().await, &USERS, "webhook", change).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    world.vendor.put("users", [row("pushed", ago(5))]);
    world.sync_with(|job| job.full = true).await;
    assert_eq!(world.ids("users").len(), 21);
}

#[tokio::test(flavor = "multi_thread")]
async fn counted_pages_need_two_passes_that_agree() {
    for collection in [
        COUNTED,
        Collection {
            pages: Pages::Number { into: Put::Query("number"), first: 1, size: 2, more: More::Full },
            ..USERS
        },
    ] {
        let world = filled(collection).await;
        world.vendor.remove("users", "r019");
        let mut passes = 0;
        while world.ids("users").len() == 20 {
            world.success().await;
            passes += 1;
            assert!(passes < 5, "it is never deleted");
        }
        assert!(passes >= 2, "after {passes}");
        // A row that slips between two requests of one pass is met by the next: it stays.
        for _ in 0..2 {
            world.vendor.hook(|ask, state| {
                let mut reply = state.answer(ask);
                if let Some(rows) = reply.body["data"].as_array_mut().filter(|_| ask.path == "users") {
                    for row in rows.iter_mut().filter(|row| row["id"] == "r004") {
                        row["id"] = "r005".into();
                    }
                }
                Some(reply)
            });
            world.success().await;
            world.vendor.behave();
            world.success().await;
            assert!(world.ids("users").contains(&"r004".to_owned()));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_both_passes_met_is_not_gone_though_the_warehouse_knew_better() {
    let world = filled(COUNTED).await;
    // A webhook's version is a little later than what the list says of the same change, for ever.
    let record = Record::new(&row("r004", ago(500))).expect("a record");
    let change = Change::upsert("users", record).version(Some(Version::at(ago(300))));
    push(&*world.schema().await, &USERS, "webhook", change).await;
    for _ in 0..4 {
        tokio::time::sleep(Duration::from_millis(5)).await;
        world.success().await;
        assert_eq!(world.ids("users"), names(20));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn too_much_at_once_or_an_empty_list_is_held() {
    for collection in [USERS, COUNTED] {
        let world = filled(collection).await;
        for gone in 0..8 {
            world.vendor.remove("users", &format!("r{gone:03}"));
        }
        let mut held = false;
        for _ in 0..3 {
            let report = world.success().await;
            assert_eq!(outcome(&report, "users").deleted, 0);
            held |= outcome(&report, "users").notices.iter().any(|notice| {
                notice.contains("8 of 20 rows") && notice.contains("sync shop with --accept-deletes")
            });
        }
        assert!(held);
        assert_eq!(world.ids("users").len(), 20);
        let report = world.sync_with(|job| job.accept_deletes = true).await;
        assert_eq!((outcome(&report, "users").deleted, world.ids("users").len()), (8, 12));
    }
    let world = filled(USERS).await;
    world.vendor.state().lists.insert("users".into(), vec![]);
    let report = world.success().await;
    assert!(outcome(&report, "users").notices[0].contains("20 of 20 rows"), "{report:#?}");
    assert_eq!(world.ids("users").len(), 20);
    world.sync_with(|job| job.accept_deletes = true).await;
    assert!(world.ids("users").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pass_that_is_killed_in_its_midst_sweeps_nothing_it_had_loaded() {
    let world = filled(USERS).await;
    world.vendor.remove("users", "r015");
    tokio::time::sleep(Duration::from_millis(5)).await;
    world.vendor.state().delay = Duration::from_millis(20);
    let run: std::pin::Pin<Box<dyn Future<Output = _>>> = Box::pin(world.sync());
    tokio::time::timeout(Duration::from_millis(170), run).await.expect_err("it is killed on the way");
    tokio::time::sleep(Duration::from_millis(50)).await;
    let open = world.progress("users").await;
    assert!(open["pass"]["whole"] == true && open["reads"][0]["page"] != serde_json::Value::Null, "{open}");
    world.vendor.asked("users");
    world.vendor.state().delay = Duration::ZERO;
    let report = world.success().await;
    assert!(world.vendor.asked("users").len() < 9, "it goes on");
    assert_eq!(outcome(&report, "users").deleted, 1);
    assert_eq!(world.ids("users").len(), 19);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pass_that_failed_on_the_way_sweeps_nothing() {
    let world = filled(USERS).await;
    world
        .vendor
        .hook(|ask, _| (ask.query.get("page").is_some_and(|page| page == "18")).then(|| Reply::status(400)));
    let report = world.sync().await;
    assert_eq!(report.ending.name(), "failure");
    assert_eq!(world.ids("users").len(), 20);
}
