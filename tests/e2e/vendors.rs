//! Vendors that misbehave: the run names source and cause in one line, the collections that are well are loaded, and the next run,
//! with the vendor well again, brings what was missing.

use std::{
    io::Write,
    net::TcpListener,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{
    body::{Body, Bytes},
    response::Response,
};
use flate2::{Compression, write::GzEncoder};
use futures::StreamExt;

use crate::{
    house::{Done, House, until},
    is_long,
    vendor::{Stand, answer, json, zendesk, zendesk_source},
};

/// Well again: two pages of groups.
fn good(query: &str) -> Response {
    match query.contains("page%5Bafter%5D=") || query.contains("page[after]=") {
        false => json(r#"{"groups":[{"id":1,"name":"one"}],"meta":{"has_more":true,"after_cursor":"c2"}}"#),
        true => json(r#"{"groups":[{"id":2,"name":"two"}],"meta":{"has_more":false,"after_cursor":"c3"}}"#),
    }
}

/// Syncs groups from `bad` and forms from a good vendor; then all is well and a second sync brings the groups.
#[track_caller]
fn only_groups_suffer(
    bad: impl Fn(&str) -> Response + Clone + Send + Sync + 'static,
    words: &[&str],
) -> Done {
    let well = Arc::new(AtomicBool::new(false));
    let switch = well.clone();
    let stand = zendesk(move |query| if switch.load(Ordering::SeqCst) { good(query) } else { bad(query) });
    let house = House::new(&zendesk_source("help", &stand.url, &["groups", "ticket_forms"]));
    let done = house.run(&["sync", "help"]);
    let shown = Done { code: done.code, out: done.out.clone(), err: done.err.clone() };
    done.fails(4, &[&["source help", "groups"], words].concat());
    assert_eq!(
        house.number("help", "SELECT count(*) FROM ticket_forms"),
        1,
        "the other collection is loaded"
    );
    well.store(true, Ordering::SeqCst);
    house.run(&["sync", "help"]).success();
    assert_eq!(house.number("help", "SELECT count(DISTINCT id) FROM groups WHERE id IN (1, 2)"), 2);
    shown
}

#[test]
fn malformed_json_is_named() {
    only_groups_suffer(|_| json(r#"{"groups":[{"id":1,"#), &["cannot be read", "JSON"]);
}

#[test]
fn json_of_another_shape_is_named() {
    only_groups_suffer(|_| json(r#"{"groups":["one","two"]}"#), &["not an object"]);
}

#[test]
fn html_with_a_200_is_named() {
    let page = "<!DOCTYPE html><html><head><title>Sign in</title></head></html>";
    only_groups_suffer(move |_| answer(200, "text/html", page), &["HTML", "login page"]);
}

#[test]
fn invalid_utf8_is_named_or_mended() {
    only_groups_suffer(
        |_| json(&b"{\"groups\":[{\"id\":1,\"name\":\"\xff\xfe\"}]}"[..]),
        &["cannot be read"],
    );
}

#[test]
fn a_cursor_that_does_not_move_is_named() {
    let still = |_: &str| {
        json(r#"{"groups":[{"id":1,"name":"one"}],"meta":{"has_more":true,"after_cursor":"same"}}"#)
    };
    only_groups_suffer(still, &["cursor does not move"]);
}

#[test]
fn a_page_that_leads_nowhere_is_named() {
    only_groups_suffer(
        |_| json(r#"{"groups":[],"meta":{"has_more":true}}"#),
        &["another page follows, but not where"],
    );
}

#[test]
fn a_redirect_to_another_host_is_not_followed() {
    let elsewhere = Stand::answering(|_, _| json(r#"{"groups":[]}"#));
    let there = elsewhere.url.clone();
    let away = move |_: &str| {
        Response::builder()
            .status(302)
            .header("location", format!("{there}/steal"))
            .body(Body::empty())
            .unwrap()
    };
    let done =
        only_groups_suffer(away, &["redirect from", "none of this API's hosts", "nothing was sent there"]);
    assert!(!done.err.contains("t0ken"), "{}", done.err);
    assert_eq!(elsewhere.count(), 0);
}

#[test]
fn a_circle_of_redirects_is_named() {
    let round = |_: &str| {
        Response::builder().status(302).header("location", "/api/v2/groups.json").body(Body::empty()).unwrap()
    };
    only_groups_suffer(round, &["redirected more than"]);
}

#[test]
fn a_refused_collection_is_never_green() {
    let refused =
        |_: &str| answer(403, "application/json", r#"{"error":{"title":"Forbidden","message":"no admin"}}"#);
    only_groups_suffer(refused, &["Zendesk refuses it", "no admin"]);
}

#[test]
fn wrong_credentials_stop_the_source() {
    let stand =
        Stand::answering(|_, _| answer(401, "application/json", r#"{"error":"Couldn't authenticate you"}"#));
    let house = House::new(&zendesk_source("help", &stand.url, &[]));
    for command in ["sync", "check", "discover"] {
        let done =
            house.run(&[command, "help"]).fails(3, &["source help", "401", "Couldn't authenticate you"]);
        assert!(!done.err.contains("t0ken"), "{}", done.err);
    }
    assert_eq!(stand.count(), 3, "nothing else was asked");
    let settings = r#"{"subdomain":"acme","email":"a@example.com","api_token":"t"}"#;
    house
        .run(&["read", "zendesk", "--settings", settings, "--base-url", &stand.url])
        .fails(3, &["zendesk", "401"]);
    // The same while a collection is being read: nothing else is begun, and it is no partial success.
    let stand = zendesk(|_| answer(401, "application/json", r#"{"error":"token revoked"}"#));
    let house = House::new(&zendesk_source("help", &stand.url, &["groups"]));
    house.run(&["sync", "help"]).fails(3, &["source help", "groups", "token revoked"]);
}

#[test]
fn nobody_at_the_address_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let house = House::new(&zendesk_source("help", &url, &[]));
    house.run(&["check", "help"]).fails(1, &["source help", "no connection"]);
}

#[test]
fn a_cut_body_is_tried_again_and_then_named() {
    let body = || {
        let begun = futures::stream::iter([Ok(Bytes::from_static(b"{\"groups\":[{\"id\":1"))]);
        let cut = futures::stream::once(async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            Err(std::io::Error::other("cut"))
        });
        Body::from_stream(begun.chain(cut))
    };
    only_groups_suffer(move |_| json(body()), &["the answer was cut", "attempt 6 of 6"]);
}

#[test]
fn nesting_without_end_is_survived() {
    let deep = format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000));
    let body = format!(
        r#"{{"groups":[{{"id":1,"name":"one","deep":{deep}}},{{"id":2,"name":"two"}}],"meta":{{"has_more":false}}}}"#
    );
    let stand = zendesk(move |_| json(body.clone()));
    let house = House::new(&zendesk_source("help", &stand.url, &["groups"]));
    house.run(&["sync", "help"]).success();
    // Both rows are there, the deep one with its value as text; or it is among the rejects with a reason.
    let rows = house.number("help", "SELECT count(*) FROM groups");
    let rejects = house.number("help", "SELECT count(*) FROM _headwater_rejects");
    assert_eq!((rows + rejects, house.number("help", "SELECT count(*) FROM groups WHERE id = 2")), (2, 1));
    let objects = format!("{}1{}", r#"{"a":"#.repeat(10_000), "}".repeat(10_000));
    let body = format!(
        r#"{{"groups":[{{"id":1,"name":"one","deep":{objects}}},{{"id":2,"name":"two"}}],"meta":{{"has_more":false}}}}"#
    );
    let stand = zendesk(move |_| json(body.clone()));
    let house = House::new(&zendesk_source("help", &stand.url, &["groups"]));
    house.run(&["sync", "help"]).success();
    assert_eq!(house.number("help", "SELECT count(*) FROM groups WHERE id = 2"), 1);
}

#[test]
fn values_of_another_type_lose_no_row() {
    let body = r#"{"groups":[
        {"id":"seven","name":{"first":"a"},"deleted":"maybe","created_at":12,"updated_at":"never"},
        {"id":2,"name":["x"],"deleted":1,"created_at":"2024-13-45","default":"\ud800","description":"\u0000nul"},
        {"name":"no key"}, {"id":null}, {"id":3,"name":"three"}],"meta":{"has_more":false}}"#;
    let stand = zendesk(move |_| json(body));
    let house = House::new(&zendesk_source("help", &stand.url, &["groups"]));
    let done = house.run(&["sync", "help"]);
    assert!(matches!(done.code, Some(0 | 4)), "{done:?}");
    let (rows, rejects) = (
        house.number("help", "SELECT count(*) FROM groups"),
        house.number("help", "SELECT count(*) FROM _headwater_rejects"),
    );
    assert_eq!(rows + rejects, 5, "{:?}", house.tables("help"));
    assert_eq!(
        house.number("help", "SELECT count(*) FROM groups WHERE CAST(id AS TEXT) = '3'"),
        1,
        "{:?}",
        house.tables("help")
    );
}

#[test]
fn a_gzip_bomb_is_refused_with_flat_memory() {
    let size = if is_long() { 2 << 30 } else { 512 << 20 };
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(b"{\"groups\":[").unwrap();
    let zeros = vec![b' '; 1 << 20];
    (0..size >> 20).for_each(|_| packed.write_all(&zeros).unwrap());
    let bomb = Bytes::from(packed.finish().unwrap());
    let stand = zendesk(move |_| {
        let mut response = json(bomb.clone());
        response.headers_mut().insert("content-encoding", "gzip".parse().unwrap());
        response
    });
    let house = House::new(&zendesk_source("help", &stand.url, &["groups"]));
    let mut running = house.start(&["sync", "help"]);
    let mut peak = 0;
    while running.is_alive() {
        peak = peak.max(running.peak().unwrap_or(0));
        std::thread::sleep(Duration::from_millis(10));
    }
    running.wait(Duration::from_secs(5)).fails(1, &["source help", "groups"]);
    assert!(peak < 320, "{peak} MiB");
}

/// A vendor that never answers: the service still ends when asked to, and the next run goes on.
#[test]
fn a_vendor_that_never_answers_holds_up_no_end() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let source = zendesk_source("help", &url, &["groups"]) + "schedule = \"every 1h\"\n";
    let house = House::new(&source);
    let service = house.serve();
    let asked = silent.accept().unwrap();
    let began = Instant::now();
    service.running.stop().success();
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    drop(asked);
    // By hand, the first Ctrl-C is enough.
    let sync = house.start(&["sync", "help"]);
    let asked = silent.accept().unwrap();
    let began = Instant::now();
    sync.signal("INT");
    let done = sync.wait(Duration::from_secs(60));
    assert!(began.elapsed() < Duration::from_secs(20) && !done.err.contains("panicked"), "{done:?}");
    drop(asked);
}

/// The time-out of one answer is 100 seconds, and a request is tried for ten minutes.
#[test]
fn a_vendor_that_never_answers_is_named() {
    if !is_long() {
        eprintln!("SKIPPED: no setting makes the time-outs shorter; HEADWATER_TEST_LONG=1 waits for them");
        return;
    }
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let house =
        House::new(&zendesk_source("help", &format!("http://{}", silent.local_addr().unwrap()), &["groups"]));
    let running = house.start(&["check", "help"]);
    running.wait(Duration::from_secs(700)).fails(1, &["source help", "no answer within"]);
}

#[test]
fn throttling_and_failures_change_nothing_in_what_is_read() {
    let count = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let stand = zendesk(move |query| match count.fetch_add(1, Ordering::SeqCst) {
        0 => {
            let mut response = answer(429, "application/json", "{}");
            response.headers_mut().insert("retry-after", "1".parse().unwrap());
            response
        }
        1 => answer(503, "text/plain", "upstream"),
        2 => answer(500, "text/html", "<html><title>oops</title></html>"),
        _ => good(query),
    });
    let house = House::new(&zendesk_source("help", &stand.url, &["groups"]));
    house.run(&["sync", "help"]).success();
    until("both pages are there", || house.number("help", "SELECT count(*) FROM groups") == 2);
}
