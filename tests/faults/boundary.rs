//! Where one run ends and the next begins: rows that appear late at the cursor's own time, clocks that differ by minutes, lists that
//! shift while they are read. No row is lost over a sequence of runs, and the report says how many came late.

use std::sync::{Arc, Mutex};

use axum::response::Response;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::{
    house::House,
    kills,
    supervisor::{Broken, Plan},
    syncs::WHOLE,
    vendor::{Stand, answer, zendesk_source},
};

/// Activities by id and time, newest last.
type Rows = Arc<Mutex<Vec<(u64, Timestamp)>>>;

/// A Zendesk whose activities are asked for by the time of their creation; a run reaches back an hour behind the last one.
fn activities(rows: Rows) -> Stand {
    Stand::answering(move |path, query| -> Response {
        let json = |body: Value| answer(200, "application/json", body.to_string());
        match path {
            "/api/v2/users/me.json" => {
                json(json!({ "user": { "id": 1, "name": "Ada", "email": "ada@example.com" } }))
            }
            "/api/v2/ticket_fields.json" => {
                json(json!({ "ticket_fields": [], "meta": { "has_more": false } }))
            }
            "/api/v2/activities.json" => {
                let query = form_urlencoded::parse(query.as_bytes());
                let since = query.into_owned().find(|(name, _)| name == "since").map(|(_, value)| value);
                let since = since.map_or(Timestamp::MIN, |since| since.parse().expect("a time"));
                let rows = rows.lock().expect("rows");
                let found = rows.iter().filter(|(_, at)| *at >= since);
                let found: Vec<Value> =
                    found.map(|(id, at)| json!({ "id": id, "created_at": at.to_string(), "updated_at": at.to_string() })).collect();
                json(json!({ "activities": found, "meta": { "has_more": false } }))
            }
            _ => answer(404, "application/json", "{}"),
        }
    })
}

/// The outcome of the next run, and the ids that are there after it.
fn next(house: &House, flags: &[&str]) -> (u64, i64) {
    let report = house.run(&[&["sync", "help", "--json"], flags].concat()).success().json_lines().remove(0);
    let late = report["collections"]["activities"]["overlap_new"].as_u64().expect("it counts them");
    (late, house.number("help", "SELECT count(*) FROM activities"))
}

#[test]
fn rows_that_come_late_at_the_cursors_own_time_are_loaded_and_counted() {
    let newest: Timestamp = {
        let now = Timestamp::now().as_second();
        Timestamp::from_second(now - 600).expect("a time")
    };
    let before = |minutes: i64| newest.saturating_sub(SignedDuration::from_mins(minutes)).expect("a time");
    let rows: Rows = Arc::new(Mutex::new(vec![(1, before(200)), (2, before(5)), (3, newest)]));
    let stand = activities(rows.clone());
    let house = House::new(&zendesk_source("help", &stand.url, &["activities"]));
    assert_eq!(next(&house, &[]), (0, 3));
    assert_eq!(next(&house, &[]), (0, 3), "nothing new");
    // At the cursor's own time, before it, and behind it.
    rows.lock().expect("rows").extend([(4, newest), (5, before(30)), (6, before(-2))]);
    assert_eq!(next(&house, &[]), (2, 6), "two of three came late");
    rows.lock().expect("rows").push((7, before(50)));
    let said = house.run(&["sync", "help"]).success().out;
    assert!(
        said.contains("note on activities: 1 rows appeared later than the vendor's lists allow for"),
        "{said}"
    );
    assert_eq!(next(&house, &[]), (0, 7));
    // Later than any overlap: it is this that the overlap keeps from happening, and only a whole run finds it.
    rows.lock().expect("rows").push((8, before(100)));
    assert_eq!(next(&house, &[]), (0, 7), "an overlap of an hour does not reach it");
    assert_eq!(next(&house, &["--full"]).1, 8);
}

#[test]
fn a_vendor_whose_clock_is_minutes_ahead_loses_nothing() {
    let plan = Plan { ahead: 7, changes: (6, 40), ..WHOLE };
    plan.run("boundary::a_vendor_whose_clock_is_minutes_ahead_loses_nothing", 1_400, 1, kills(8));
}

#[test]
fn a_vendor_whose_clock_is_minutes_behind_loses_nothing() {
    let plan = Plan { ahead: -25, changes: (6, 40), ..WHOLE };
    plan.run("boundary::a_vendor_whose_clock_is_minutes_behind_loses_nothing", 1_450, 1, kills(8));
}

#[test]
#[should_panic(expected = "the tables differ")]
fn a_vendor_that_hides_its_clock_would_be_noticed() {
    let plan = Plan { ahead: -25, changes: (6, 40), broken: Broken::HidesClock, ..WHOLE };
    plan.run("boundary::a_vendor_that_hides_its_clock_would_be_noticed", 1_450, 1, 3);
}
