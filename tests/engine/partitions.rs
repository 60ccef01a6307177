//! Accounts inside the account: read side by side, each from its own place.

use std::time::Duration;

use headwater_core::object::{Collection, Deletes, Endpoint};
use serde_json::json;

use crate::{
    pretend::{EXPORT, LIST, changed},
    vendor::Reply,
    world::{World, ago, names, outcome, row, some},
};

const ADS: Collection = Collection {
    name: "ads",
    endpoint: Endpoint::get("/{partition}/ads"),
    since: changed(0, 0),
    deletes: Deletes::Never,
    ..LIST
};

async fn world(collection: Collection) -> World {
    let mut world = World::new(vec![collection], vec![]).await;
    world.job.settings = json!({ "partitioned": [collection.name] });
    world.vendor.state().partitions = ["p1", "p2", "p3"].map(str::to_owned).to_vec();
    for (n, ad) in some(9, 600).into_iter().enumerate() {
        world.vendor.put(&format!("p{}/ads", n % 3 + 1), [ad]);
    }
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn they_are_read_side_by_side() {
    let world = world(ADS).await;
    world.vendor.state().delay = Duration::from_millis(50);
    world.success().await;
    assert_eq!(world.ids("ads"), names(9));
    assert_eq!(world.vendor.most(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_fails_does_not_keep_back_the_others() {
    let world = world(ADS).await;
    world.vendor.refuse("p1/ads", 400);
    let report = world.sync().await;
    assert_eq!(outcome(&report, "ads").kind, Some("unexpected"));
    assert_eq!(world.ids("ads").len(), 6, "{report:#?}");
    world.vendor.behave();
    world.vendor.asked("p2/ads");
    world.success().await;
    assert!(world.vendor.asked("p2/ads").is_empty(), "what has been read is not read again");
    assert_eq!(world.ids("ads"), names(9));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_forbidden_is_given_up_and_read_from_its_beginning_later() {
    let world = world(ADS).await;
    world.vendor.refuse("p1/ads", 403);
    let report = world.sync().await;
    assert_eq!(outcome(&report, "ads").kind, Some("forbidden"), "{report:#?}");
    assert!(outcome(&report, "ads").error.as_ref().is_some_and(|error| error.contains("partition p1")));
    assert_eq!(world.ids("ads").len(), 6);
    // The others go on.
    world.vendor.put("p2/ads", [row("new", ago(300))]);
    world.sync().await;
    assert_eq!(world.ids("ads").len(), 7);
    world.vendor.behave();
    world.success().await;
    assert_eq!(world.ids("ads").len(), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_forbidden_loses_no_rows_to_a_sweep() {
    let ads = Collection { since: None, deletes: Deletes::Unseen, ..ADS };
    let world = world(ads).await;
    // So few that a sweep would take them.
    for n in 0..40 {
        world.vendor.put("p2/ads", [row(&format!("x{n}"), ago(600))]);
    }
    world.success().await;
    tokio::time::sleep(Duration::from_millis(5)).await;
    world.vendor.refuse("p1/ads", 403);
    let report = world.sync().await;
    assert_eq!(outcome(&report, "ads").kind, Some("forbidden"));
    assert_eq!(world.ids("ads").len(), 49);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_comes_later_is_read_from_its_beginning() {
    let world = world(ADS).await;
    world.success().await;
    world.vendor.state().partitions.push("p4".into());
    world.vendor.put("p4/ads", [row("old", ago(90_000))]);
    world.success().await;
    assert!(world.ids("ads").contains(&"old".to_owned()));
    assert!(world.vendor.asked("p1/ads").last().is_some_and(|ask| ask.query.contains_key("since")));
    world.success().await;
    assert!(world.vendor.asked("p4/ads").last().is_some_and(|ask| ask.query.contains_key("since")));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_has_its_own_durable_position() {
    let tickets = Collection { name: "tickets", endpoint: Endpoint::get("/export/{partition}"), ..EXPORT };
    let world = world(tickets).await;
    world.vendor.state().partitions = vec!["p1".into(), "p2".into()];
    world.vendor.put("p1", (1..4).map(|seq| json!({ "id": format!("a{seq}"), "seq": seq })));
    world.vendor.put("p2", (1..8).map(|seq| json!({ "id": format!("b{seq}"), "seq": seq })));
    world.success().await;
    assert_eq!(world.ids("tickets").len(), 10);
    world.vendor.asked("export/p1");
    world.vendor.asked("export/p2");
    world.vendor.put("p1", [json!({ "id": "a4", "seq": 4 })]);
    world.success().await;
    assert_eq!(world.vendor.asked("export/p1")[0].query["cursor"], "3");
    assert_eq!(world.vendor.asked("export/p2")[0].query["cursor"], "7");
    assert_eq!(world.ids("tickets").len(), 11);
    world
        .vendor
        .hook(|ask, _| (ask.path == "check").then(|| Reply::ok(json!({ "id": "acct", "title": "" }))));
    world.success().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_credentials_in_one_stop_the_others() {
    let world = world(ADS).await;
    world.vendor.put("p2/ads", (0..60).map(|n| row(&format!("x{n}"), ago(600))));
    world.vendor.hook(|ask, state| {
        state.delay = Duration::from_millis(30);
        (ask.path == "p1/ads" && ask.query.contains_key("page")).then(|| Reply::status(401))
    });
    let report = world.sync().await;
    assert_eq!((report.ending.name(), report.kind), ("failure", Some("auth")), "{report:#?}");
    assert!(world.vendor.asked("p2/ads").len() < 8);
}
