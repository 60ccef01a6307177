//! A run that is ended at any instant, by a stop or without a word: the next one goes on, and the tables are those of a run that
//! nobody disturbed.

use std::{
    collections::BTreeSet,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use headwater::{sync::sync, warehouse::sqlite::SqliteWarehouse};
use headwater_core::{
    cursor::Windows,
    object::{Collection, Deletes, Endpoint, From, Reread},
};
use serde_json::json;

use crate::{
    pretend::{LIST, changed},
    world::{World, ago, names, outcome, row, some},
};

const USERS: Collection = Collection {
    name: "users",
    since: changed(60, 60),
    windows: Some(Windows { span: Duration::from_secs(600), epoch: "2011-01-01T00:00:00Z", side_by_side: 3 }),
    deletes: Deletes::Never,
    ..LIST
};
const NOTES: Collection = Collection {
    name: "notes",
    fields: "user_id text = ^id, place int = #, text text",
    key: &["user_id", "place"],
    from: From::Nested { of: &[("users", "notes")], overflow: "" },
    version: None,
    ..LIST
};
const LOGINS: Collection = Collection {
    name: "logins",
    fields: "id text, user_id text = ^id",
    from: From::Children { of: &["users"], reread: Reread::Changed },
    endpoint: Endpoint::get("/users/{^id}/logins"),
    version: None,
    ..LIST
};

/// Polls a future so often, and then drops it.
struct Killed<F> {
    run: Pin<Box<F>>,
    polls: u32,
}

impl<F: Future> Future for Killed<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if self.polls == 0 {
            return Poll::Ready(None);
        }
        self.polls -= 1;
        self.run.as_mut().poll(context).map(Some)
    }
}

async fn world() -> World {
    let mut world = World::new(vec![USERS, NOTES, LOGINS], vec![]).await;
    world.job.start_date = Some(ago(2400));
    let users = some(24, 300).into_iter().map(|mut user| {
        user["notes"] = json!([{ "text": "a" }, { "text": "b" }]);
        user
    });
    world.vendor.put("users", users);
    for id in names(24) {
        let logins = (0..3).map(|n| row(&format!("{id}-{n}"), ago(300)));
        world.vendor.put(&format!("users/{id}/logins"), logins);
    }
    world
}

fn tables(world: &World) -> Vec<Vec<String>> {
    vec![
        world.rows("users", "id, name"),
        world.rows("notes", "user_id, place, text"),
        world.rows("logins", "id, user_id"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_at_any_point_costs_the_pages_in_flight_and_nothing_else() {
    let undisturbed = world().await;
    undisturbed.success().await;
    let expected = tables(&undisturbed);
    assert_eq!((expected[0].len(), expected[1].len(), expected[2].len()), (24, 48, 72));
    let mut kills = 0;
    for seed in 0..12u32 {
        let mut world = world().await;
        let (mut asked, mut polls) = (0, 5 + seed * 7);
        let mut distinct = BTreeSet::new();
        let mut killed = 0;
        loop {
            let run = Box::pin(sync(&world.job, &world.tools));
            let ended = Killed { run, polls }.await;
            let users = world.vendor.asked("users");
            asked += users.len();
            // The bounds of a read are fixed once its first page is in; before that a new pass draws new ones.
            distinct.extend(
                users
                    .into_iter()
                    .map(|ask| (ask.query.get("since").cloned(), ask.query.get("page").cloned())),
            );
            if let Some(report) = ended {
                assert_eq!(report.ending.name(), "success", "{report:#?}");
                break;
            }
            killed += 1;
            polls += 11;
            // What runs next is another process.
            world.warehouse = Arc::new(SqliteWarehouse::open(world.folder.path()).expect("a warehouse"));
            world.tools.warehouse = world.warehouse.clone();
        }
        assert_eq!(tables(&world), expected, "seed {seed}");
        // Per open read, and there are at most three: one page being loaded, one fetched ahead.
        assert!(
            asked <= distinct.len() + killed * 6,
            "seed {seed}: {asked} pages asked, {} different, {killed} kills",
            distinct.len()
        );
        kills += killed;
    }
    assert!(kills > 12, "the kills came too late: {kills}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_ends_it_at_a_pages_end() {
    let world = world().await;
    let stop = world.stop.clone();
    let mut left = 9;
    world.vendor.hook(move |ask, _| {
        left -= u32::from(ask.path == "users");
        if left == 0 {
            stop.send_replace(true);
        }
        None
    });
    let report = world.sync().await;
    assert_eq!(report.ending.name(), "stopped", "{report:#?}");
    let users = outcome(&report, "users");
    assert!(users.stopped && users.error.is_none() && users.pages > 0, "{users:#?}");
    assert!(world.ids("users").len() < 24);
    world.vendor.behave();
    world.stop.send_replace(false);
    world.success().await;
    assert_eq!((world.ids("users"), tables(&world)[1].len(), tables(&world)[2].len()), (names(24), 48, 72));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_does_not_wait_for_an_answer() {
    let world = world().await;
    world.vendor.state().delay = Duration::from_secs(15);
    let began = std::time::Instant::now();
    let stop = world.stop.clone();
    let (report, ()) = tokio::join!(world.sync(), async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        stop.send_replace(true);
    });
    assert!(began.elapsed() < Duration::from_secs(5));
    assert_eq!(report.ending.name(), "stopped", "{report:#?}");
}
