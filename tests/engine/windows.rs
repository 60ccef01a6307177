//! Backfills that are cut into windows and read side by side.

use std::time::Duration;

use headwater_core::{
    cursor::Windows,
    object::{Collection, Deletes},
    time::parse_time,
};

use crate::{
    pretend::{LIST, changed},
    vendor::Reply,
    world::{World, ago, names, outcome, some},
};

/// Ten minutes each; the epoch is long before the first row, so tests set a start date.
const USERS: Collection = Collection {
    name: "users",
    since: changed(60, 60),
    windows: Some(Windows { span: Duration::from_secs(600), epoch: "2011-01-01T00:00:00Z", side_by_side: 3 }),
    deletes: Deletes::Never,
    ..LIST
};

#[tokio::test(flavor = "multi_thread")]
async fn a_backfill_is_cut_and_read_side_by_side_within_the_limit() {
    let mut world = World::new(vec![USERS], vec![]).await;
    world.job.start_date = Some(ago(7200));
    world.vendor.put("users", some(100, 300));
    world.vendor.state().delay = Duration::from_millis(20);
    world.success().await;
    assert_eq!(world.ids("users"), names(100));
    assert_eq!(world.vendor.most(), 3);
    let asks = world.vendor.asked("users");
    for ask in &asks {
        let bound = |name: &str| parse_time(&ask.query[name]).expect("a time");
        assert!(bound("until").duration_since(bound("since")).as_secs() <= 600, "{ask:?}");
    }
    // Once it is filled, a run reads from the newest on, in one piece.
    world.success().await;
    let asks = world.vendor.asked("users");
    assert!(asks.iter().all(|ask| ask.query["since"] == asks[0].query["since"]), "{asks:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cursor_moves_only_when_all_windows_are_done() {
    let mut world = World::new(vec![USERS], vec![]).await;
    world.job.start_date = Some(ago(7200));
    world.vendor.put("users", some(100, 300));
    // The oldest window fails, the others, newer ones, are read.
    let oldest = ago(6800);
    world.vendor.hook(move |ask, _| {
        let since = ask.query.get("since").and_then(|text| parse_time(text))?;
        (ask.path == "users" && since < oldest).then(|| Reply::status(400))
    });
    let report = world.sync().await;
    assert_eq!(report.ending.name(), "failure");
    assert!(outcome(&report, "users").pages > 10, "one window does not keep back the others: {report:#?}");
    let progress = world.progress("users").await;
    assert!(
        progress.get("synced_to").is_none()
            && progress["reads"].as_array().is_some_and(|reads| reads.len() == 1)
    );
    world.vendor.behave();
    world.vendor.asked("users");
    world.success().await;
    assert!(world.vendor.asked("users").len() <= 7, "only the window that was left");
    assert_eq!(world.ids("users"), names(100));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gap_longer_than_the_longest_span_is_cut_too() {
    let mut world = World::new(vec![USERS], vec![]).await;
    world.job.start_date = Some(ago(36_000));
    world.vendor.put("users", some(5, 30_000));
    world.success().await;
    world.vendor.asked("users");
    world.vendor.put("users", some(50, 300));
    world.success().await;
    for ask in world.vendor.asked("users") {
        let bound = |name: &str| parse_time(&ask.query[name]).expect("a time");
        assert!(bound("until").duration_since(bound("since")).as_secs() <= 600, "{ask:?}");
    }
    assert_eq!(world.ids("users"), names(50));
}
