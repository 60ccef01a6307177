//! Where the next run begins: nothing is lost at a boundary.

use headwater_core::{
    cursor::Since,
    object::{Collection, Deletes},
    time::parse_time,
};
use jiff::{SignedDuration, Timestamp};

use crate::{
    pretend::{LIST, changed},
    vendor::Ask,
    world::{World, ago, names, outcome, row, some},
};

const fn users(overlap: u64, lag: u64) -> Collection {
    Collection { name: "users", since: changed(overlap, lag), deletes: Deletes::Never, ..LIST }
}

fn time(ask: &Ask, name: &str) -> Option<Timestamp> {
    ask.query.get(name).map(|text| parse_time(text).expect("a time"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_run_begins_at_the_newest_seen_less_the_overlap() {
    let world = World::new(vec![users(120, 60)], vec![]).await;
    world.vendor.put("users", some(5, 600));
    world.success().await;
    assert_eq!(world.ids("users"), names(5));
    assert_eq!(world.synced_to("users").await, ago(600).min(world.synced_to("users").await));
    let first = world.vendor.asked("users");
    assert_eq!(time(&first[0], "since"), None);
    let newest = world.synced_to("users").await;
    world.success().await;
    let second = world.vendor.asked("users");
    assert_eq!(time(&second[0], "since"), Some(newest - SignedDuration::from_secs(120)));
    let until = time(&second[0], "until").expect("an upper bound");
    let lag = Timestamp::now().duration_since(until).as_secs();
    assert!((60..=75).contains(&lag), "until is {lag} s ago");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_is_late_at_the_cursors_own_time_is_not_lost_and_is_counted() {
    for overlap in [0, 120] {
        let world = World::new(vec![users(overlap, 60)], vec![]).await;
        let newest = ago(600);
        world.vendor.put("users", [row("a", ago(700)), row("b", newest)]);
        let report = world.success().await;
        assert_eq!(outcome(&report, "users").overlap_new, 0);
        world.vendor.put("users", [row("late", newest), row("new", ago(300))]);
        let report = world.success().await;
        assert_eq!(world.ids("users"), ["a", "b", "late", "new"]);
        assert_eq!(outcome(&report, "users").overlap_new, 1, "overlap {overlap}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_from_the_future_does_not_move_the_cursor_beyond_the_bound() {
    // Without an upper bound in the request, the vendor's clock shows: it is minutes ahead of ours.
    let Some(Since::Time { field, from, format, overlap, lag, first, .. }) = changed(0, 60) else {
        unreachable!()
    };
    let since = Some(Since::Time { field, from, until: None, format, overlap, lag, first });
    let world = World::new(vec![Collection { since, ..users(0, 60) }], vec![]).await;
    world.vendor.put("users", [row("a", ago(600)), row("future", ago(-300))]);
    world.success().await;
    assert_eq!(world.ids("users"), ["a", "future"]);
    let synced_to = world.synced_to("users").await;
    assert!(synced_to <= ago(59), "{synced_to}");
    // What the vendor writes in between is younger than the cursor, though older than what was seen.
    world.vendor.put("users", [row("b", ago(-10))]);
    world.success().await;
    assert_eq!(world.ids("users"), ["a", "b", "future"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_seen_is_not_read_from_the_beginning_again() {
    let world = World::new(vec![users(0, 60)], vec![]).await;
    world.vendor.put("users", []);
    let before = Timestamp::now();
    world.success().await;
    world.vendor.asked("users");
    // Our clock may be ahead of the vendor's.
    world.vendor.put("users", [row("behind", before - SignedDuration::from_mins(5))]);
    world.success().await;
    let since = time(&world.vendor.asked("users")[0], "since").expect("a lower bound");
    assert!(since > before - SignedDuration::from_mins(30), "{since}");
    assert_eq!(world.ids("users"), ["behind"]);
    // Nothing new: the bound stays where something was seen.
    let synced_to = world.synced_to("users").await;
    world.success().await;
    assert_eq!(world.synced_to("users").await, synced_to);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_date_is_where_it_begins_and_no_overlap_reaches_behind_it() {
    let mut world = World::new(vec![users(3600, 60)], vec![]).await;
    let start = ago(1000);
    world.job.start_date = Some(start);
    world.vendor.put("users", [row("old", ago(2000)), row("new", ago(900))]);
    world.success().await;
    assert_eq!(time(&world.vendor.asked("users")[0], "since"), Some(start));
    assert_eq!(world.ids("users"), ["new"]);
    world.success().await;
    assert_eq!(time(&world.vendor.asked("users")[0], "since"), Some(start));
}

#[tokio::test(flavor = "multi_thread")]
async fn full_reads_everything_again() {
    let world = World::new(vec![users(0, 60)], vec![]).await;
    world.vendor.put("users", some(3, 600));
    world.success().await;
    // Written behind the cursor: only a full run finds it.
    world.vendor.put("users", [row("hidden", ago(90_000))]);
    world.success().await;
    assert_eq!(world.ids("users"), names(3));
    world.vendor.asked("users");
    let report = world.sync_with(|job| job.full = true).await;
    assert_eq!(report.ending.name(), "success", "{report:#?}");
    assert_eq!(time(&world.vendor.asked("users")[0], "since"), None);
    assert_eq!(world.ids("users").len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newest_first_list_stops_at_the_cursor_and_counts_what_came_late() {
    let since = Some(Since::Newest {
        field: "updated_at",
        overlap: std::time::Duration::from_secs(120),
        lag: std::time::Duration::from_secs(60),
    });
    let world = World::new(vec![Collection { since, ..users(0, 0) }], vec![]).await;
    world.vendor.state().newest_first.insert("users".into());
    world.vendor.put("users", some(20, 600));
    world.success().await;
    assert_eq!(world.vendor.asked("users").len(), 10);
    assert_eq!(world.ids("users"), names(20));
    world.vendor.put("users", [row("late", ago(630)), row("new", ago(300))]);
    let report = world.success().await;
    // new, r019, late, r018 …: it ends at the first page whose last row is older than cursor and overlap.
    assert!(world.vendor.asked("users").len() <= 3);
    assert_eq!(world.ids("users").len(), 22);
    assert_eq!(outcome(&report, "users").overlap_new, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newest_first_read_that_is_cut_does_not_move_the_cursor() {
    let since = Some(Since::Newest {
        field: "updated_at",
        overlap: std::time::Duration::ZERO,
        lag: std::time::Duration::from_secs(60),
    });
    let world = World::new(vec![Collection { since, ..users(0, 0) }], vec![]).await;
    world.vendor.state().newest_first.insert("users".into());
    world.vendor.put("users", some(10, 600));
    world.vendor.hook(|ask, _| {
        (ask.query.get("page").is_some_and(|p| p == "6")).then(|| crate::vendor::Reply::status(400))
    });
    let report = world.sync().await;
    assert_eq!(outcome(&report, "users").kind, Some("unexpected"));
    assert!(world.progress("users").await.get("synced_to").is_none());
    world.vendor.behave();
    world.success().await;
    assert_eq!(world.ids("users"), names(10));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_record_without_a_good_time_keeps_back_none_of_the_others() {
    let world = World::new(vec![users(0, 60)], vec![]).await;
    let mut bad = row("bad", ago(500));
    bad["updated_at"] = "soon".into();
    world.vendor.put("users", [row("a", ago(600)), bad, row("b", ago(400))]);
    let report = world.sync().await;
    assert_eq!(world.ids("users"), ["a", "b", "bad"], "{report:#?}");
    assert!(outcome(&report, "users").notices[0].contains("soon"), "{report:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_is_when_the_page_was_asked_for_not_when_it_came() {
    // While the answer is on its way, a webhook writes a newer state of the row: it stays.
    let users = Collection { name: "users", version: None, ..LIST };
    let world = World::new(vec![users], vec![]).await;
    world.vendor.put("users", [row("a", ago(600))]);
    world.success().await;
    world.vendor.state().delay = std::time::Duration::from_millis(600);
    let schema = world.schema().await;
    let webhook = async {
        tokio::time::sleep(std::time::Duration::from_millis(900)).await;
        let change = headwater_core::object::Change::upsert(
            "users",
            headwater_core::record::Record::new(&serde_json::json!({"id": "a", "name": "newer"}))
                .expect("a record"),
        );
        crate::touches::push(&*schema, &users, "webhook", change).await;
    };
    // check takes 600 ms, the list the next 600: the webhook comes in the midst of the list.
    let (report, ()) = tokio::join!(world.sync(), webhook);
    assert_eq!(report.ending.name(), "success");
    assert_eq!(world.rows("users", "id, name"), ["a newer"]);
}
