//! The service among other processes: one owner, a socket for the others, signals, schedules.

use std::{
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use rusqlite::Connection;
use serde_json::{Value, json};

use crate::{
    house::{House, until},
    received::Site,
    vendor::{Stand, json, zendesk, zendesk_source},
};

fn groups() -> Stand {
    zendesk(|_| json(r#"{"groups":[{"id":1,"name":"one"}],"meta":{"has_more":false}}"#))
}

fn runs(house: &House) -> Vec<Value> {
    let done = house.run(&["runs", "--json"]).success();
    serde_json::from_str(&done.out).expect("JSON")
}

#[test]
fn a_second_owner_is_refused() {
    let house = House::new("");
    let service = house.serve();
    house.run(&["run"]).fails(1, &["headwater-data", "in use by another headwater process", "data_dir"]);
    let mode = house.path("headwater-data/headwater.sock").metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(service.running.kill());
    // What was left by the killed one is no obstacle.
    let again = house.serve();
    assert_eq!(again.running.stop().code, Some(0));
    assert!(!house.path("headwater-data/headwater.sock").exists());
}

#[test]
fn commands_reach_the_owner_over_its_socket() {
    let stand = groups();
    let house = House::new(&zendesk_source("help", &stand.url, &["groups"]));
    let service = house.serve();
    house.run(&["sync", "help"]).success();
    let report: Value = serde_json::from_str(&house.run(&["sync", "help", "--json"]).success().out).unwrap();
    assert_eq!(report["ending"], "success");
    assert_eq!(runs(&house).len(), 2);
    assert!(house.run(&["check", "help"]).success().out.contains("good"));
    assert_eq!(house.source("help")["last_run"]["ending"], "success");
    house.run(&["sync", "hepl"]).fails(2, &["no source hepl", "help"]);
    assert_eq!(
        house.run(&["query", "--format", "csv", "SELECT name FROM help.groups"]).success().out,
        "name\r\none\r\n"
    );
    assert_eq!(service.running.stop().code, Some(0));
}

#[test]
fn errors_cross_the_socket_with_their_exit_codes() {
    let stand = Stand::answering(|_, _| crate::vendor::answer(401, "application/json", r#"{"error":"no"}"#));
    let house = House::new(&zendesk_source("help", &stand.url, &["groups"]));
    let service = house.serve();
    for command in ["sync", "check"] {
        house.run(&[command, "help"]).fails(3, &["source help", "401"]);
    }
    assert_eq!(service.running.stop().code, Some(0));
}

#[test]
fn a_source_is_synced_by_one_at_a_time() {
    let open = Arc::new(AtomicBool::new(false));
    let gate = open.clone();
    let stand = zendesk(move |_| {
        while !gate.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(5));
        }
        json(r#"{"groups":[{"id":1}],"meta":{"has_more":false}}"#)
    });
    let house = House::new(&zendesk_source("help", &stand.url, &["groups"]));
    let service = house.serve();
    let first = house.start(&["sync", "help"]);
    until("the first one reads", || stand.asked().iter().any(|url| url.contains("groups")));
    house.run(&["sync", "help"]).fails(1, &["source help", "being synced already"]);
    open.store(true, Ordering::SeqCst);
    first.wait(Duration::from_secs(30)).success();
    drop(service);
}

#[test]
fn asked_to_end_it_ends_at_a_pages_end_and_goes_on_later() {
    let page = |query: &str| {
        let at: u64 = query
            .split("after%5D=c")
            .nth(1)
            .and_then(|rest| rest.split('&').next()?.parse().ok())
            .unwrap_or(0);
        std::thread::sleep(Duration::from_millis(30));
        let more = at < 40;
        json(format!(
            r#"{{"groups":[{{"id":{}}}],"meta":{{"has_more":{more},"after_cursor":"c{}"}}}}"#,
            at + 1,
            at + 1
        ))
    };
    let stand = zendesk(page);
    let house = House::new(&(zendesk_source("help", &stand.url, &["groups"]) + "schedule = \"every 1h\"\n"));
    let service = house.serve();
    until("some pages are in", || house.number("help", "SELECT count(*) FROM groups") > 5);
    let done = service.running.stop();
    assert_eq!(done.code, Some(0), "{done:?}");
    let rows = house.number("help", "SELECT count(*) FROM groups");
    assert!((6..41).contains(&rows), "{rows}");
    assert_eq!(runs(&house)[0]["ending"], "stopped");
    house.run(&["sync", "help"]).success();
    assert_eq!(house.number("help", "SELECT count(*) FROM groups WHERE NOT coalesce(is_deleted, 0)"), 41);
    let pages = stand.asked().iter().filter(|url| url.contains("groups")).count();
    assert!(pages <= 41 + 2, "{pages} pages for 41");
}

#[test]
fn asked_to_end_it_finishes_what_it_has_begun_to_receive() {
    let site = Site::open("");
    for n in 0..50 {
        let (status, text) =
            site.call("/v1/track", json!({ "event": "E", "userId": "u", "messageId": format!("e{n}") }));
        assert_eq!(status, 200, "{text}");
    }
    let Site { house, service, .. } = site;
    let began = Instant::now();
    assert_eq!(service.running.stop().code, Some(0));
    assert!(began.elapsed() < Duration::from_secs(15));
    // What was not yet a row is one after the next start.
    let service = house.serve();
    until("all are there", || house.number("site", "SELECT count(*) FROM tracks") == 50);
    drop(service);
}

#[test]
fn a_hangup_reads_the_configuration_again() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let config = |more: &str| {
        format!(
            "[receive]\nlisten = \"{port}\"\n[[source]]\nname = \"site\"\nconnector = \"segment\"\nwrite_key = \"wk\"\n{more}"
        )
    };
    let house = House::empty();
    house.configure(&config(""));
    let site = Site::at(house);
    site.lives();
    let second = |key: &str| {
        site.post(
            "/v1/track",
            &[],
            json!({ "writeKey": key, "event": "E", "userId": "u", "messageId": key }).to_string(),
        )
        .0
    };
    assert_eq!(second("wk2"), 401);
    site.house
        .configure(&config("[[source]]\nname = \"shop\"\nconnector = \"segment\"\nwrite_key = \"wk2\"\n"));
    site.service.running.signal("HUP");
    site.service.running.wait_for_count("receiving on ", 2);
    assert_eq!(second("wk2"), 200);
    site.lives();
    // A configuration that is wrong is said, and what runs goes on.
    site.house.configure(&config("shedule = 1\n"));
    site.service.running.signal("HUP");
    let line = site.service.running.wait_for("was not reloaded");
    assert!(line.contains("did you mean schedule?"), "{line}");
    site.lives();
    assert_eq!(second("wk2"), 200);
    site.house.configure(&config(""));
    site.service.running.signal("HUP");
    site.service.running.wait_for_count("receiving on ", 3);
    assert_eq!(second("wk2"), 401, "the source is gone");
    site.lives();
}

#[test]
fn what_a_schedule_missed_is_caught_up_once() {
    let stand = groups();
    let house = House::new(&(zendesk_source("help", &stand.url, &["groups"]) + "schedule = \"@hourly\"\n"));
    let service = house.serve();
    until("a new source begins at once", || runs(&house).len() == 1);
    assert_eq!(service.running.stop().code, Some(0));
    // A restart alone is no reason to run.
    let service = house.serve();
    std::thread::sleep(Duration::from_millis(2_500));
    assert_eq!(runs(&house).len(), 1);
    assert_eq!(service.running.stop().code, Some(0));
    // Ten hours away: ten times missed, once made up for.
    let long_ago = jiff::Timestamp::now().saturating_sub(jiff::SignedDuration::from_hours(10)).unwrap();
    let state = Connection::open(house.path("headwater-data/state.db")).unwrap();
    assert_eq!(state.execute("UPDATE fired SET moment = ?1", [long_ago.to_string()]).unwrap(), 1);
    drop(state);
    let service = house.serve();
    until("it is caught up", || runs(&house).len() == 2);
    std::thread::sleep(Duration::from_millis(2_500));
    assert_eq!(runs(&house).len(), 2);
    assert_eq!(service.running.stop().code, Some(0));
}
