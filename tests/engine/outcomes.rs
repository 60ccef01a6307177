//! How a run ends, and what stands in its report.

use std::time::Duration;

use headwater::sync::Shared;
use headwater_core::object::{Collection, Deletes, Endpoint, From, Reread};
use serde_json::{Value, json};

use crate::{
    pretend::{LIST, changed},
    vendor::{Reply, Vendor},
    world::{World, names, outcome, some},
};

const FIVE: [&str; 5] = ["a", "b", "c", "d", "e"];

async fn five() -> World {
    let collection = |name| Collection { name, since: changed(0, 0), deletes: Deletes::Never, ..LIST };
    let world = World::new(FIVE.map(collection).to_vec(), vec![]).await;
    for name in FIVE {
        world.vendor.put(name, some(5, 600));
    }
    world
}

fn spent(vendor: &Vendor, path: &'static str) {
    vendor.hook(move |ask, _| {
        (ask.path == path)
            .then(|| Reply { headers: vec![("retry-after", "3600".into())], ..Reply::status(429) })
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_credentials_stop_the_source() {
    let world = five().await;
    world.vendor.refuse("check", 401);
    let report = world.sync().await;
    assert_eq!((report.ending.name(), report.kind), ("failure", Some("auth")), "{report:#?}");
    assert!(report.error.as_ref().is_some_and(|error| error.starts_with("source shop: ")));
    assert_eq!(world.query("SELECT outcome FROM _headwater_runs"), ["failure"]);

    let world = five().await;
    world.vendor.state().size = 1;
    world.vendor.hook(|ask, state| {
        state.delay = Duration::from_millis(30);
        (ask.path == "b" && ask.query.contains_key("page")).then(|| Reply::status(401))
    });
    let report = world.sync().await;
    assert_eq!((report.ending.name(), report.kind), ("failure", Some("auth")), "{report:#?}");
    assert_eq!(outcome(&report, "b").kind, Some("auth"));
    assert!(outcome(&report, "a").stopped && outcome(&report, "e").pages == 0, "{report:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_forbidden_costs_one_collection() {
    let world = five().await;
    world.vendor.refuse("c", 403);
    let report = world.sync().await;
    assert_eq!((report.ending.name(), report.kind), ("partial", None), "{report:#?}");
    assert_eq!(outcome(&report, "c").kind, Some("forbidden"));
    for name in ["a", "b", "d", "e"] {
        assert!(outcome(&report, name).is_success());
        assert_eq!(world.ids(name), names(5));
    }
    world.vendor.behave();
    world.success().await;
    assert_eq!(world.ids("c"), names(5));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_unexpected_costs_one_collection_from_where_it_was() {
    let world = five().await;
    world.vendor.hook(|ask, _| {
        (ask.path == "d" && ask.query.get("page").is_some_and(|page| page == "2")).then(|| Reply::status(400))
    });
    let report = world.sync().await;
    assert_eq!(report.ending.name(), "partial", "{report:#?}");
    let failed = outcome(&report, "d");
    assert_eq!((failed.kind, failed.pages), (Some("unexpected"), 1));
    assert!(
        failed
            .error
            .as_ref()
            .is_some_and(|error| error.starts_with("collection d: ") && !error.contains('\n'))
    );
    assert_eq!(world.ids("e"), names(5));
    world.vendor.behave();
    world.vendor.asked("d");
    world.success().await;
    assert_eq!(world.vendor.asked("d").len(), 2, "it goes on at the page that failed");
    assert_eq!(world.ids("d"), names(5));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_read_is_a_failure() {
    let world = five().await;
    world.vendor.hook(|ask, _| (ask.path.len() == 1).then(|| Reply::status(400)));
    let report = world.sync().await;
    assert_eq!((report.ending.name(), report.collections.len()), ("failure", 5), "{report:#?}");
    assert_eq!(report.error, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spent_allotment_pauses_and_goes_on() {
    let mut world = five().await;
    spent(&world.vendor, "c");
    let report = world.sync().await;
    assert_eq!(report.ending.name(), "paused", "{report:#?}");
    let until = report.paused_until.expect("a time").duration_since(jiff::Timestamp::now()).as_secs();
    assert!((3500..3700).contains(&until), "{until}");
    assert_eq!(world.query("SELECT outcome FROM _headwater_runs"), ["paused"]);
    world.vendor.behave();
    world.vendor.asked("c");
    // All sources of the account wait until then, in this process at least.
    assert_eq!(world.sync().await.ending.name(), "paused");
    assert!(world.vendor.asked("c").is_empty(), "nothing is sent before that");
    world.tools.shared = Shared::default();
    world.success().await;
    for name in FIVE {
        assert_eq!(world.ids(name), names(5));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_are_said_before_a_pause() {
    let world = five().await;
    world.vendor.hook(|ask, state| {
        state.delay = Duration::from_millis(100);
        match ask.path.as_str() {
            "a" => Some(Reply { headers: vec![("retry-after", "3600".into())], ..Reply::status(429) }),
            "b" => Some(Reply::status(401)),
            _ => None,
        }
    });
    let report = world.sync().await;
    // Whichever came first has stopped the other; if both came, it is for the user to do something.
    let both = outcome(&report, "a").error.is_some() && outcome(&report, "b").error.is_some();
    if both {
        assert_eq!((report.ending.name(), report.paused_until), ("failure", None), "{report:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_report_is_json_and_the_warehouse_has_it() {
    let world = five().await;
    world.vendor.refuse("c", 403);
    let report = world.sync().await;
    let json = serde_json::to_value(&report).expect("JSON");
    assert_eq!((&json["ending"], &json["source"]), (&json!("partial"), &json!("shop")));
    assert_eq!(json["account"]["id"], "acct");
    assert_eq!(json["collections"]["a"]["inserted"], 5);
    assert_eq!(json["collections"]["c"]["kind"], "forbidden");
    assert!(json["collections"]["a"].get("error").is_none() && json.get("paused_until").is_none());
    let rows = world.query("SELECT id, outcome, detail FROM _headwater_runs WHERE ended IS NOT NULL");
    let [row] = rows.as_slice() else { panic!("{rows:?}") };
    let (id, rest) = row.split_once(' ').expect("an id");
    let (ending, detail) = rest.split_once(' ').expect("an ending");
    let detail: Value = serde_json::from_str(detail).expect("JSON");
    assert_eq!((id, ending), (report.run.as_str(), "partial"));
    assert_eq!(detail["collections"], json["collections"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_and_names_that_cannot_work_are_said_in_one_line() {
    let mut world = five().await;
    world.job.collections = vec!["f".into()];
    let report = world.sync().await;
    assert_eq!(
        report.error.as_deref(),
        Some("source shop: there is no collection f; there are a, b, c, d, e")
    );
    world.job.collections.clear();
    world.job.settings = json!({ "key": 1 });
    let report = world.sync().await;
    assert_eq!((report.ending.name(), report.kind), ("failure", Some("config")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parent_that_is_only_read_for_its_children_has_its_own_outcome() {
    let children = Collection {
        name: "children",
        fields: "id text, a_id text = ^id",
        from: From::Children { of: &["a"], reread: Reread::Changed },
        endpoint: Endpoint::get("/a/{^id}/children"),
        version: None,
        ..LIST
    };
    let parents = Collection { name: "a", since: changed(0, 0), deletes: Deletes::Never, ..LIST };
    let mut world = World::new(vec![parents, children], vec![]).await;
    world.job.collections = vec!["children".into()];
    world.vendor.put("a", some(2, 600));
    world.vendor.refuse("a", 403);
    let report = world.sync().await;
    assert_eq!((report.ending.name(), outcome(&report, "a").kind), ("failure", Some("forbidden")));
}
