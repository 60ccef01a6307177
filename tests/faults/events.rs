//! Killed while it fetches events, and while deliveries wait for look-ups: every event is there exactly once, none came into the inbox
//! twice, and no vendor is asked again for what it has answered.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    response::Response,
    routing::{get, post},
};
use headwater_core::{auth::Secret, event::Delivery};
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};

use crate::{
    house::{House, until},
    kills,
    tables::ids,
    vendor::{Stand, json as answer},
};

/// Events of the stream.
const EVENTS: u64 = 3_000;
/// Events in one answer.
const PORTION: u64 = 12;

/// A stream that can be read from any offset on; it forgets one event, if it is broken on purpose.
struct Stream {
    forgets: bool,
}

async fn stream(State(stream): State<Arc<Stream>>, body: Bytes) -> Response {
    let asked: Value = serde_json::from_slice(&body).expect("a request");
    if asked["start"] == "LATEST" {
        return answer("");
    }
    let after = asked["resume_offset"].as_str().map_or(0, |offset| offset.parse().expect("an offset"));
    let lines = (after + 1..=EVENTS.min(after + PORTION)).filter(|offset| !(stream.forgets && *offset == 500)).map(|offset| {
        let event = json!({ "id": format!("e-{offset:06}"), "offset": offset.to_string(), "type": "OPEN",
            "occurred": "2026-10-31T12:00:00Z", "device": { "channel": "c", "named_user_id": "u" }, "body": {} });
        format!("{event}\n")
    });
    tokio::time::sleep(Duration::from_millis(2)).await;
    answer(lines.collect::<String>())
}

/// Killed while it fetches, so often.
fn fetched(test: &str, seed: u64, kills: usize, forgets: bool) {
    let router = Router::new().route("/api/events/", post(stream)).with_state(Arc::new(Stream { forgets }));
    let stand = Stand::router(router, Duration::ZERO, &[]);
    let house = House::new(&format!(
        "[[source]]\nname = \"app\"\nconnector = \"airship\"\nbase_url = \"{}\"\n\
         settings = {{ app_key_id = \"k\", token = \"t0ken-in-secret\" }}\n",
        stand.url
    ));
    let mut rng = StdRng::seed_from_u64(seed);
    for kill in 0..kills {
        let service = house.serve();
        std::thread::sleep(Duration::from_millis(rng.random_range(0..400)));
        assert!(service.running.kill(), "it ended by itself, after {kill} kills");
    }
    let service = house.serve();
    let wanted = (EVENTS - u64::from(forgets)) as usize;
    until("all events are there", || ids(&house, "app", "tracks").len() >= wanted);
    let all = ids(&house, "app", "tracks");
    let different: BTreeSet<&String> = all.iter().collect();
    assert_eq!(different.len(), EVENTS as usize, "lost");
    assert_eq!(all.len(), different.len(), "there twice");
    house.balances();
    let done = service.running.stop();
    assert_eq!(done.code, Some(0), "{done:?}");
    // Cursor and deliveries are one: nothing was fetched into the inbox a second time.
    let books = house.books("app");
    assert_eq!(books.get(&("call".to_owned(), "duplicate".to_owned())), None, "{books:?}");
    house.balances();
    eprintln!("{test}: seed {seed}: {kills} kills, {} requests for {EVENTS} events", stand.count());
}

#[test]
fn what_is_fetched_is_there_exactly_once() {
    let test = "events::what_is_fetched_is_there_exactly_once";
    crate::seeds(test, 970, 2, |seed| fetched(test, seed, kills(16) / 2, false));
}

#[test]
#[should_panic(expected = "lost")]
fn an_event_that_was_never_fetched_would_be_noticed() {
    fetched("events::an_event_that_was_never_fetched_would_be_noticed", 970, 1, true);
}

/// Leads that are posted, and asked for.
const LEADS: u64 = 120;
const SECRET: &str = "app-secret-of-the-page";

/// A lead's answer; every fifth question is answered 503.
async fn lead(State(asked): State<Arc<AtomicU64>>, path: axum::extract::Path<String>) -> Response {
    if asked.fetch_add(1, Ordering::SeqCst) % 5 == 4 {
        return Response::builder().status(503).body(Body::empty()).expect("an answer");
    }
    tokio::time::sleep(Duration::from_millis(5)).await;
    answer(json!({ "id": *path, "field_data": [{ "name": "email", "values": [format!("{}@example.com", *path)] }] }).to_string())
}

/// A delivery of one lead, signed.
fn delivery(id: u64) -> Delivery {
    let events = headwater_connectors::find("facebook-lead-ads")
        .and_then(|connector| connector.events)
        .expect("it is there");
    let value = json!({ "leadgen_id": id.to_string(), "page_id": "7", "form_id": "8", "created_time": 1_793_448_000 });
    let body = json!({ "object": "page", "entry": [{ "id": "7", "time": 1_793_448_001, "changes": [{ "field": "leadgen", "value": value }] }] });
    let mut delivery = Delivery::fetched(jiff::Timestamp::now(), body.to_string().into());
    let signature = events.webhook.surfaces[0].signature;
    signature.sign(&mut delivery, &Secret::new(SECRET), jiff::Timestamp::now()).expect("it can be signed");
    delivery
}

fn looked_up(test: &str, seed: u64, kills: usize) {
    let asked = Arc::new(AtomicU64::new(0));
    let router = Router::new().route("/v24.0/{id}", get(lead)).with_state(asked.clone());
    let stand = Stand::router(router, Duration::ZERO, &[]);
    let house = House::new(&format!(
        "[[source]]\nname = \"leads\"\nconnector = \"facebook-lead-ads\"\nbase_url = \"{}\"\n\
         settings = {{ app_secret = \"{SECRET}\", verify_token = \"v\", page_token = \"t0ken-in-secret\" }}\n",
        stand.url
    ));
    let webhook = house.webhook("leads");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let mut rng = StdRng::seed_from_u64(seed);
    let mut next = 0;
    for kill in 0..=kills {
        let service = house.serve();
        let http = reqwest::Client::builder().no_proxy().build().expect("a client");
        let share = if kill == kills { LEADS } else { LEADS * (kill as u64 + 1) / (kills as u64 + 1) };
        while next < share {
            let Delivery { headers, body, .. } = delivery(1_000 + next);
            let posted = http.post(format!("{}{webhook}", service.url)).headers(headers).body(body);
            let status = runtime.block_on(posted.send()).expect("an answer").status();
            assert_eq!(status, 200);
            next += 1;
        }
        if kill < kills {
            std::thread::sleep(Duration::from_millis(rng.random_range(0..300)));
            assert!(service.running.kill(), "it ended by itself, after {kill} kills");
            continue;
        }
        let emails = || house.number("leads", "SELECT count(DISTINCT email) FROM identifies") as u64;
        until("all leads are there", || emails() == LEADS);
        house.balances();
        assert_eq!(house.number("leads", "SELECT count(*) FROM identifies") as u64, LEADS, "there twice");
        let before = stand.count();
        // No more questions under way at once than there are deliveries side by side.
        assert!(
            before <= LEADS * 5 / 4 + 1 + 5 * kills as u64,
            "{before} questions for {LEADS} leads, {kills} kills"
        );
        house.run(&["replay", "leads", "--since", "1d"]).success();
        assert_eq!(stand.count(), before, "a replay asks nobody");
        assert_eq!(emails(), LEADS);
        let done = service.running.stop();
        assert_eq!(done.code, Some(0), "{done:?}");
        eprintln!("{test}: seed {seed}: {kills} kills, {before} questions for {LEADS} leads");
    }
    house.balances();
}

#[test]
fn what_was_answered_is_not_asked_again() {
    let test = "events::what_was_answered_is_not_asked_again";
    crate::seeds(test, 980, 1, |seed| looked_up(test, seed, kills(8)));
}
