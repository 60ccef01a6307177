//! The vendor's own durable cursors, loops, and jobs that have to be waited for.

use std::time::{Duration, Instant};

use headwater_core::{
    cursor::Pages,
    object::{Collection, Deletes},
};
use serde_json::{Value, json};

use crate::{
    pretend::{EXPORT, LIST},
    vendor::Reply,
    world::{World, outcome, row},
};

const TICKETS: Collection = Collection { name: "tickets", ..EXPORT };
const JOBS: Collection =
    Collection { name: "jobs", pages: Pages::Custom, deletes: Deletes::Never, version: None, ..LIST };

fn seq(numbers: std::ops::Range<i64>) -> Vec<Value> {
    numbers.map(|seq| json!({ "id": format!("t{seq:02}"), "seq": seq })).collect()
}

fn cursors(world: &World) -> Vec<Option<String>> {
    world.vendor.asked("export/tickets").into_iter().map(|ask| ask.query.get("cursor").cloned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_position_is_carried_over_runs() {
    let world = World::new(vec![TICKETS], vec![]).await;
    world.vendor.put("tickets", seq(1..6));
    world.success().await;
    assert_eq!(cursors(&world), [None, Some("2".into()), Some("4".into())]);
    // Nothing new: it stays where it is.
    world.success().await;
    assert_eq!(cursors(&world), [Some("5".into())]);
    world.vendor.put("tickets", seq(6..9));
    world.success().await;
    assert_eq!(cursors(&world), [Some("5".into()), Some("7".into())]);
    assert_eq!(world.ids("tickets").len(), 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_position_that_has_expired_starts_over_once() {
    for count in [2, 6] {
        let world = World::new(vec![TICKETS], vec![]).await;
        world.vendor.put("tickets", seq(1..3));
        world.success().await;
        world.vendor.put("tickets", seq(3..count + 1));
        world.vendor.state().forgotten = 2;
        world.vendor.state().size = 10;
        cursors(&world);
        world.success().await;
        assert_eq!(cursors(&world), [Some("2".into()), None]);
        assert_eq!(world.ids("tickets").len(), count as usize);
        // And the new position is kept.
        world.vendor.state().forgotten = 0;
        world.success().await;
        assert_eq!(cursors(&world), [Some(count.to_string())]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_position_that_expires_again_is_an_error_not_a_loop() {
    let world = World::new(vec![TICKETS], vec![]).await;
    world.vendor.put("tickets", seq(1..9));
    // Every cursor is forgotten at once: only first pages are ever answered.
    world.vendor.state().forgotten = 99;
    let report = tokio::time::timeout(Duration::from_secs(20), world.sync()).await.expect("an end");
    assert_eq!(outcome(&report, "tickets").kind, Some("expired"), "{report:#?}");
    assert!(cursors(&world).len() <= 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_that_does_not_move_is_an_error() {
    let world = World::new(vec![JOBS, TICKETS], vec![]).await;
    world.vendor.hook(|ask, _| match ask.path.as_str() {
        "jobs" => Some(Reply::ok(json!({ "changes": [], "cursor": "same", "more": true }))),
        "export/tickets" => Some(Reply::ok(json!({ "data": [], "cursor": "same", "end": false }))),
        _ => None,
    });
    let report = tokio::time::timeout(Duration::from_secs(20), world.sync()).await.expect("an end");
    for name in ["jobs", "tickets"] {
        let outcome = outcome(&report, name);
        assert!(outcome.error.as_ref().is_some_and(|error| error.contains("does not move")), "{report:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_waited_for_at_the_same_cursor() {
    let world = World::new(vec![JOBS], vec![]).await;
    let mut looks = 0;
    world.vendor.hook(move |ask, _| {
        (ask.path == "jobs").then(|| {
            looks += 1;
            Reply::ok(match ask.query.get("cursor") {
                None => json!({ "changes": [], "cursor": "job 1", "more": true, "wait_ms": 10 }),
                Some(_) if looks < 6 => json!({ "changes": [], "cursor": "job 1", "more": true, "wait_ms": 10 }),
                Some(_) => json!({ "changes": [{ "record": row("a", crate::world::ago(60)) }], "cursor": null, "more": false }),
            })
        })
    });
    world.success().await;
    assert_eq!(world.ids("jobs"), ["a"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_never_ends_is_given_up_and_asked_again_by_the_next_run() {
    let mut world = World::new(vec![JOBS], vec![]).await;
    world.tools.bounds.job_stall = Duration::from_millis(300);
    world.vendor.hook(|ask, _| {
        (ask.path == "jobs")
            .then(|| Reply::ok(json!({ "changes": [], "cursor": "job 1", "more": true, "wait_ms": 50 })))
    });
    let began = Instant::now();
    let report = world.sync().await;
    assert!(began.elapsed() < Duration::from_secs(10));
    let error = outcome(&report, "jobs").error.clone().expect("an error");
    assert!(error.contains("job has not ended"), "{error}");
    world.vendor.asked("jobs");
    world.vendor.hook(|ask, _| {
        (ask.path == "jobs").then(|| Reply::ok(json!({ "changes": [{ "record": row("a", crate::world::ago(60)) }], "cursor": null, "more": false })))
    });
    world.success().await;
    assert_eq!(world.vendor.asked("jobs")[0].query["cursor"], "job 1");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_hangs_is_ended_with_a_clear_error() {
    let mut world = World::new(vec![JOBS, TICKETS], vec![]).await;
    world.tools.bounds.stall = Duration::from_millis(800);
    world.vendor.put("tickets", seq(1..4));
    world.vendor.hook(|ask, state| {
        state.delay = if ask.path == "jobs" { Duration::from_secs(30) } else { Duration::ZERO };
        None
    });
    let began = Instant::now();
    let report = world.sync().await;
    assert!(began.elapsed() < Duration::from_secs(10));
    assert_eq!(report.ending.name(), "partial", "{report:#?}");
    let hanging = outcome(&report, "jobs");
    assert!(hanging.error.as_ref().is_some_and(|error| error.contains("no progress")), "{hanging:#?}");
    assert!(outcome(&report, "tickets").is_success());
}
