//! Destinations: calls go where they are sent, each with its outcome, whatever the other side answers, and whenever the program is
//! killed.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use rand::{Rng, SeedableRng, rngs::StdRng};
use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};

use crate::{
    house::{House, until},
    is_long,
    received::Site,
    taker::{SECRET, Taker, nobody, status},
};

/// A webhook at this address of this machine.
fn webhook(name: &str, url: &str, more: &str) -> String {
    format!(
        "[[destination]]\nname = \"{name}\"\ntype = \"webhook\"\nurl = \"{url}\"\nsecret = \"{SECRET}\"\nallow_private = true\n{more}\n"
    )
}

/// A Segment-compatible server at this address.
fn segment(name: &str, url: &str, more: &str) -> String {
    format!(
        "[[destination]]\nname = \"{name}\"\ntype = \"segment\"\nurl = \"{url}\"\nwrite_key = \"wk\"\nallow_private = true\n{more}\n"
    )
}

/// Sends calls of so many people, in batches, and returns their ids.
fn send(site: &Site, prefix: &str, count: usize) -> Vec<String> {
    let ids: Vec<String> = (0..count).map(|n| format!("{prefix}-{n}")).collect();
    for batch in ids.chunks(100) {
        let calls: Vec<Value> = batch
            .iter()
            .enumerate()
            .map(|(n, id)| json!({ "type": "track", "event": "Step", "userId": format!("u{}", n % 17), "messageId": id }))
            .collect();
        assert_eq!(site.call("/v1/batch", json!({ "batch": calls })).0, 200);
    }
    ids
}

/// What `destinations --json` says of one of them.
fn shown(house: &House, name: &str) -> Value {
    let done = house.run(&["destinations", "--json"]).success();
    let all: Vec<Value> = serde_json::from_str(&done.out).expect("JSON");
    all.into_iter().find(|one| one["name"] == name).expect("it is listed")
}

fn letters(house: &House, name: &str) -> Vec<Value> {
    let done = house.run(&["dead-letters", name, "--json"]).success();
    serde_json::from_str(&done.out).expect("JSON")
}

/// What `trace` says that a destination made of a message.
fn traced(house: &House, name: &str, id: &str) -> Value {
    let done = house.run(&["trace", id, "--json"]).success();
    let found: Value = serde_json::from_str(&done.out).expect("JSON");
    let consumer = json!(format!("destination {name}"));
    let consumers = found["consumers"].as_array().expect("consumers");
    consumers.iter().find(|one| one["consumer"] == consumer).expect("it is a consumer").clone()
}

/// The counts of a destination, once it has nothing left to do; they balance.
#[track_caller]
fn settled(house: &House, name: &str) -> BTreeMap<String, u64> {
    until(&format!("{name} is done"), || {
        let books: Value =
            serde_json::from_str(&house.run(&["books", "--json"]).success().out).expect("JSON");
        // Of the other destinations one may be dead; everything received is a call by now.
        let waits = |line: &Value| {
            let of = line["of"].as_str().unwrap_or_default();
            !of.starts_with("destination ") && line["parts"]["in flight"].as_u64().unwrap_or(0) > 0
        };
        let is_read = !books["lines"].as_array().expect("lines").iter().any(waits);
        // Looked at last: before everything is read, there may be nothing to do yet.
        let one = shown(house, name);
        is_read && one["lag"]["calls"] == 0 && one["retries"] == 0
    });
    balance(house, name)
}

/// The counts of a destination: at every instant they are what it was offered.
#[track_caller]
fn balance(house: &House, name: &str) -> BTreeMap<String, u64> {
    let file = house.path("headwater-data/destinations.db");
    let db = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_WRITE).expect("the file");
    db.busy_timeout(Duration::from_secs(10)).expect("a time-out");
    let view = db.unchecked_transaction().expect("a view");
    let counts: BTreeMap<String, u64> = view
        .prepare("SELECT outcome, sum(n) FROM count WHERE destination = ? GROUP BY 1")
        .expect("counts")
        .query_map([name], |row| Ok((row.get(0)?, row.get(1)?)))
        .and_then(Iterator::collect)
        .expect("counts");
    let (began, position, ahead): (i64, i64, String) = view
        .query_row("SELECT began, position, ahead FROM destination WHERE name = ?", [name], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .expect("it has begun");
    let waiting: i64 = view
        .query_row("SELECT count(*) FROM letter WHERE destination = ? AND due IS NOT NULL", [name], |row| {
            row.get(0)
        })
        .expect("letters");
    let ahead: Vec<(i64, i64)> = serde_json::from_str(&ahead).expect("runs");
    let offered = position - began + ahead.iter().map(|(first, next)| next - first).sum::<i64>();
    let counted = counts.values().sum::<u64>() as i64 + waiting;
    assert_eq!(offered, counted, "{name}: {counts:?}, {waiting} waiting");
    counts
}

fn sorted(ids: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut ids: Vec<String> = ids.into_iter().collect();
    ids.sort();
    ids
}

#[test]
fn a_dead_destination_slows_nobody_and_gets_everything_when_it_comes_back() {
    let live = Taker::willing();
    let address = nobody();
    let site = Site::open(
        &(webhook("live", &format!("{}/in", live.url), "")
            + &webhook("dead", &format!("http://{address}/in"), "")),
    );
    let sent = send(&site, "a", 600);
    until("the live one has all", || live.ids().len() >= sent.len());
    assert_eq!(sorted(live.ids()), sorted(sent.clone()), "each once");
    for one in live.taken() {
        assert!(
            one.path == "/in" && one.is_signed(SECRET) && one.header("content-type") == "application/json"
        );
        assert!(one.header("webhook-id").starts_with("msg_"), "{one:?}");
    }
    assert_eq!(settled(&site.house, "live")["delivered"], 600);
    let dead = shown(&site.house, "dead");
    assert_eq!(dead["state"], "held");
    assert!(dead["circuit"]["reason"].as_str().unwrap().contains("no connection"), "{dead}");
    assert!(dead["lag"]["calls"].as_u64().unwrap() > 500 && dead["lag"]["seconds"].as_f64().unwrap() > 0.0);
    assert!(dead["retries"].as_u64().unwrap() < 40, "only a few were tried: {dead}");
    balance(&site.house, "dead");
    assert_eq!(traced(&site.house, "live", "a-599")["outcome"], "delivered");
    let held = traced(&site.house, "dead", "a-599");
    assert!(
        held["outcome"] == "in flight" && held["why"].as_str().unwrap().contains("no connection"),
        "{held}"
    );
    let back = Taker::at(address, Duration::ZERO, |_, _| status(204, &[]));
    until("the dead one has all", || back.ids().len() >= sent.len());
    assert_eq!(settled(&site.house, "dead")["delivered"], 600);
    assert_eq!(sorted(back.ids()), sorted(sent));
    assert_eq!(shown(&site.house, "dead")["state"], "ok");
    assert!(letters(&site.house, "dead").is_empty());
    let people = site.house.run(&["destinations"]).success().out;
    assert!(people.contains("dead letters") && people.contains("live"), "{people}");
}

#[test]
fn one_person_s_calls_keep_their_order() {
    let taker = Taker::at(([127, 0, 0, 1], 0).into(), Duration::from_millis(3), |_, _| status(200, &[]));
    let site = Site::open(&webhook("live", &taker.url, ""));
    send(&site, "a", 300);
    until("all are there", || taker.ids().len() == 300);
    let mut last: BTreeMap<String, u64> = BTreeMap::new();
    let mut overtakes = 0;
    let mut newest = 0;
    for call in taker.taken().iter().flat_map(|one| one.calls()) {
        let number: u64 =
            call["messageId"].as_str().unwrap().rsplit('-').next().and_then(|n| n.parse().ok()).unwrap();
        let before = last.insert(call["userId"].as_str().unwrap().to_owned(), number);
        assert!(before.is_none_or(|before| before < number), "{number} came after {before:?}");
        overtakes += u64::from(number < newest);
        newest = newest.max(number);
    }
    assert!(overtakes > 0, "people are served side by side");
}

#[test]
fn a_destination_that_flaps_gets_everything_and_is_left_alone_as_long_as_it_asks() {
    let taker = Taker::answering(|_, nth| match nth % 23 {
        5 => status(429, &[("retry-after", "1")]),
        3 | 11 | 12 => status(500, &[]),
        17 => status(503, &[]),
        _ => status(200, &[]),
    });
    let site = Site::open(&webhook("flapping", &taker.url, "concurrency = 1"));
    let sent = send(&site, "f", 150);
    until("all have arrived", || taker.ids().len() >= sent.len());
    assert_eq!(settled(&site.house, "flapping"), BTreeMap::from([("delivered".to_owned(), 150)]));
    assert_eq!(sorted(taker.ids()), sorted(sent), "each once: what was refused was sent again");
    let taken = taker.taken();
    let mut ids: BTreeMap<String, String> = BTreeMap::new();
    for (one, next) in taken.iter().zip(taken.iter().skip(1)) {
        if one.status == 429 {
            assert!(next.at - one.at >= Duration::from_millis(990), "it asked for a second");
        }
        let id = one.header("webhook-id").to_owned();
        assert_eq!(*ids.entry(one.ids().remove(0)).or_insert(id.clone()), id, "an id stays the same");
    }
    assert!(taken.iter().any(|one| one.status == 429) && taken.iter().any(|one| one.status == 500));
}

#[test]
fn a_poison_call_in_a_batch_becomes_a_dead_letter_alone_and_can_be_sent_again() {
    let mended = Arc::new(AtomicBool::new(false));
    let is_mended = mended.clone();
    let taker = Taker::answering(move |one, _| {
        let has = |word: &str| String::from_utf8_lossy(&one.body).contains(word);
        match (has("Poison"), has("Fatal"), is_mended.load(Ordering::SeqCst)) {
            (_, _, true) | (false, false, _) => status(200, &[]),
            (true, _, _) => status(422, &[]),
            // Of this one the server falls over, each time.
            (_, true, _) => status(500, &[]),
        }
    });
    let more = "retry = { first = \"100ms\", longest = \"200ms\", give_up = \"3s\" }";
    let site = Site::open(&segment("twin", &taker.url, more));
    let calls: Vec<Value> = (0..100)
        .map(|n| {
            let event = match n {
                41 => "Poison",
                77 => "Fatal",
                _ => "Step",
            };
            json!({ "type": "track", "event": event, "userId": n.to_string(), "messageId": format!("p-{n}") })
        })
        .collect();
    assert_eq!(site.call("/v1/batch", json!({ "batch": calls })).0, 200);
    let counts = settled(&site.house, "twin");
    assert_eq!(counts, BTreeMap::from([("dead".to_owned(), 2), ("delivered".to_owned(), 98)]));
    let good = (0..100).filter(|n| ![41, 77].contains(n)).map(|n| format!("p-{n}"));
    assert_eq!(sorted(taker.ids()), sorted(good), "the others once");
    let dead = letters(&site.house, "twin");
    assert_eq!(dead.len(), 2);
    let letter = |id: &str| dead.iter().find(|letter| letter["message_id"] == id).expect("a dead letter");
    assert_eq!((&letter("p-41")["status"], &letter("p-41")["attempts"]), (&json!(422), &json!(1)));
    assert!(letter("p-77")["attempts"].as_u64().unwrap() > 2, "{dead:?}");
    assert!(letter("p-77")["call"].as_str().unwrap().contains("Fatal"));
    let traced = ["p-40", "p-41"].map(|id| traced(&site.house, "twin", id)["outcome"].clone());
    assert_eq!(traced, [json!("delivered"), json!("dead")]);
    mended.store(true, Ordering::SeqCst);
    let id = letter("p-41")["id"].to_string();
    let done = site.house.run(&["resend", "twin", "--id", &id, "--json"]).success();
    assert_eq!(done.out.trim(), r#"{"resent":1}"#);
    assert_eq!(settled(&site.house, "twin")["delivered"], 99);
    // Also while nobody runs: the next one sends it.
    let Site { house, service, .. } = site;
    assert_eq!(service.running.stop().code, Some(0));
    assert!(house.run(&["resend", "twin", "--all"]).success().out.contains("1 dead letters"));
    assert_eq!(shown(&house, "twin")["retries"], 1);
    let site = Site::at(house);
    let counts = settled(&site.house, "twin");
    assert_eq!(counts, BTreeMap::from([("dead".to_owned(), 0), ("delivered".to_owned(), 100)]));
    assert_eq!(taker.ids().len(), 100);
    site.house.run(&["dead-letters", "twni"]).fails(2, &["no destination twni", "twin"]);
    site.house.run(&["resend", "twin"]).code.filter(|code| *code == 2).expect("it asks which");
}

#[test]
fn what_somebody_has_to_mend_holds_everything_and_loses_nothing() {
    for wrong in [401, 403, 404, 410] {
        let mended = Arc::new(AtomicBool::new(false));
        let is_mended = mended.clone();
        let taker = Taker::answering(move |_, _| match is_mended.load(Ordering::SeqCst) {
            true => status(200, &[]),
            false => status(wrong, &[]),
        });
        let site = Site::open(&webhook("crm", &taker.url, "concurrency = 2"));
        let sent = send(&site, "m", 50);
        until("it is held", || shown(&site.house, "crm")["state"] == "held");
        std::thread::sleep(Duration::from_millis(500));
        let one = shown(&site.house, "crm");
        assert_eq!(
            (&one["lag"]["calls"], &one["retries"], &one["dead_letters"]),
            (&json!(50), &json!(0), &json!(0))
        );
        assert!(one["circuit"]["reason"].as_str().unwrap().starts_with(&wrong.to_string()), "{one}");
        assert!(taker.taken().len() < 6, "it is not asked over and over");
        mended.store(true, Ordering::SeqCst);
        let counts = settled(&site.house, "crm");
        assert_eq!(counts, BTreeMap::from([("delivered".to_owned(), 50)]));
        assert_eq!(sorted(taker.ids()), sorted(sent));
    }
}

#[test]
fn private_addresses_are_refused_and_redirects_are_not_followed() {
    let secret = Taker::willing();
    let redirecting = {
        let to = format!("{}/secret", secret.url);
        Taker::answering(move |_, _| status(307, &[("location", &to)]))
    };
    let port = secret.url.rsplit(':').next().unwrap().to_owned();
    let inward = format!(
        "[[destination]]\nname = \"inward\"\ntype = \"webhook\"\nurl = \"https://localhost:{port}/x\"\nsecret = \"{SECRET}\"\n"
    );
    let nowhere = inward.replace("inward", "nowhere").replace("localhost", "no-such-name.invalid");
    let site = Site::open(&(inward + &nowhere + &webhook("redirected", &redirecting.url, "")));
    send(&site, "s", 20);
    for (name, words) in [
        ("inward", "no public address"),
        ("nowhere", "no-such-name.invalid"),
        ("redirected", "redirects are not followed"),
    ] {
        until(&format!("{name} is held"), || shown(&site.house, name)["state"] == "held");
        let one = shown(&site.house, name);
        assert!(one["circuit"]["reason"].as_str().unwrap().contains(words), "{one}");
        assert_eq!((&one["lag"]["calls"], &one["dead_letters"]), (&json!(20), &json!(0)));
    }
    assert!(secret.taken().is_empty(), "nothing came through");
    assert!(!redirecting.taken().is_empty());
    let literal = |url: &str| webhook("x", url, "").replace("allow_private = true", "");
    for url in ["https://127.0.0.1/", "https://169.254.169.254/latest", "https://[::1]/", "https://10.1.2.3/"]
    {
        site.house.configure(&literal(url));
        site.house.run(&["validate"]).fails(2, &["destination x", "no public address", "allow_private"]);
    }
    site.house.configure(&literal("http://hooks.example.com/"));
    site.house.run(&["validate"]).fails(2, &["destination x", "https"]);
}

#[test]
fn calls_that_nobody_takes_expire_are_counted_and_told() {
    let address = nobody();
    let site = Site::open(&webhook("dead", &format!("http://{address}/"), "retain = \"2s\""));
    send(&site, "e", 200);
    let line = site.service.running.wait_for("were given up");
    assert!(line.contains("ERROR") && line.contains("dead"), "{line}");
    until("all are accounted for", || shown(&site.house, "dead")["lag"]["calls"] == 0);
    let counts = balance(&site.house, "dead");
    let retries = shown(&site.house, "dead")["retries"].as_u64().unwrap();
    assert_eq!(counts["expired"] + retries, 200);
    assert!(counts["expired"] > 150, "{counts:?}");
    // Nobody wrote down which ones.
    assert_eq!(traced(&site.house, "dead", "e-199")["outcome"], "delivered or expired");
    // What comes later goes through.
    let back = Taker::at(address, Duration::ZERO, |_, _| status(200, &[]));
    send(&site, "later", 5);
    until("later calls arrive", || back.ids().iter().filter(|id| id.starts_with("later")).count() == 5);
}

#[test]
fn filters_hold_back_and_hide_what_they_name() {
    let taker = Taker::willing();
    let more = "sources = [\"site\"]\nblock = [\"Secret\", \"page\"]\nhash = [\"traits.email\"]\ndrop = [\"context.ip\"]";
    let other = "[[source]]\nname = \"other\"\nconnector = \"segment\"\nwrite_key = \"ok\"\n";
    let site = Site::open(&(other.to_owned() + &webhook("crm", &taker.url, more)));
    let call = |body: Value| assert_eq!(site.call("/v1/batch", json!({ "batch": [body] })).0, 200);
    call(json!({ "type": "track", "event": "Secret", "userId": "u", "messageId": "1" }));
    call(json!({ "type": "page", "userId": "u", "messageId": "2" }));
    call(
        json!({ "type": "track", "event": "E", "userId": "u", "messageId": "3", "integrations": { "All": false } }),
    );
    call(
        json!({ "type": "identify", "userId": "u", "messageId": "4", "traits": { "email": "a@b.c", "plan": "x" }, "context": { "ip": "1.2.3.4" } }),
    );
    let body = json!({ "writeKey": "ok", "event": "E", "userId": "u", "messageId": "5" }).to_string();
    assert_eq!(site.post("/v1/track", &[], body).0, 200);
    until("what passes arrives", || taker.ids().len() == 1);
    let counts = settled(&site.house, "crm");
    assert_eq!(counts, BTreeMap::from([("delivered".to_owned(), 1), ("filtered".to_owned(), 4)]));
    let call = taker.taken()[0].calls().remove(0);
    assert_eq!(
        (&call["messageId"], &call["traits"]["plan"], &call["context"]),
        (&json!("4"), &json!("x"), &Value::Null)
    );
    assert_eq!(call["traits"]["email"].as_str().unwrap().len(), 64);
}

#[test]
fn a_destination_that_is_disabled_or_comes_back_loses_nothing_it_was_promised() {
    let taker = Taker::willing();
    let site = Site::open(&webhook("crm", &taker.url, "enabled = false"));
    let text = std::fs::read_to_string(site.house.path("headwater.toml")).unwrap();
    let held = send(&site, "held", 30);
    until("they wait", || shown(&site.house, "crm")["lag"]["calls"] == 30);
    assert_eq!(shown(&site.house, "crm")["state"], "disabled");
    site.house.configure(&text.replace("enabled = false", ""));
    site.service.running.signal("HUP");
    until("they are sent", || taker.ids().len() == 30);
    assert_eq!(sorted(taker.ids()), sorted(held));
    // Taken out and put back, it begins with what comes then; its counts go on.
    let without = text.split("[[destination]]").next().unwrap().to_owned();
    let Site { house, service, .. } = site;
    assert_eq!(service.running.stop().code, Some(0));
    house.configure(&without);
    let site = Site::at(house);
    send(&site, "missed", 10);
    until("they are loaded", || site.tracks("missed-9") == 1);
    let Site { house, service, .. } = site;
    assert_eq!(service.running.stop().code, Some(0));
    house.configure(&text.replace("enabled = false", ""));
    let site = Site::at(house);
    send(&site, "again", 10);
    until("they are sent", || taker.ids().len() >= 40);
    assert_eq!(settled(&site.house, "crm")["delivered"], 40);
    assert!(taker.ids().iter().all(|id| !id.starts_with("missed")));
}

#[test]
fn killed_while_it_sends_nothing_is_lost_and_little_is_sent_twice() {
    const CONCURRENCY: usize = 4;
    let taker = Taker::at(([127, 0, 0, 1], 0).into(), Duration::from_millis(8), |_, nth| match nth % 31 {
        7 => status(500, &[]),
        _ => status(200, &[]),
    });
    let more = format!(
        "concurrency = {CONCURRENCY}\nretry = {{ first = \"200ms\", longest = \"1s\", give_up = \"1h\" }}"
    );
    let mut rng = StdRng::seed_from_u64(17);
    let kills = if is_long() { 40 } else { 8 };
    let mut site = Site::open(&webhook("crm", &taker.url, &more));
    let mut sent = Vec::new();
    for kill in 0..kills {
        sent.extend(send(&site, &format!("k{kill}"), 200));
        std::thread::sleep(Duration::from_millis(rng.random_range(20..400)));
        let Site { house, service, .. } = site;
        assert!(service.running.kill());
        balance(&house, "crm");
        site = Site::at(house);
    }
    let counts = settled(&site.house, "crm");
    assert_eq!(counts, BTreeMap::from([("delivered".to_owned(), sent.len() as u64)]));
    let came = taker.ids();
    let distinct: BTreeSet<String> = came.iter().cloned().collect();
    assert_eq!(sorted(distinct.clone()), sorted(sent), "everything has come");
    let twice = came.len() - distinct.len();
    eprintln!("{kills} kills: {} calls, {twice} of them sent twice", distinct.len());
    assert!(twice <= kills * CONCURRENCY, "{twice} calls were sent again after {kills} kills");
    let mut ids: BTreeMap<String, String> = BTreeMap::new();
    for one in taker.taken() {
        let id = one.header("webhook-id").to_owned();
        assert_eq!(*ids.entry(one.ids().remove(0)).or_insert(id.clone()), id, "a receiver can tell");
    }
}

#[test]
fn a_stop_finishes_what_is_under_way() {
    let taker = Taker::at(([127, 0, 0, 1], 0).into(), Duration::from_millis(150), |_, _| status(200, &[]));
    let site = Site::open(&webhook("crm", &taker.url, ""));
    let sent = send(&site, "x", 60);
    until("some are under way", || taker.taken().len() > 10);
    let Site { house, service, .. } = site;
    let began = Instant::now();
    assert_eq!(service.running.stop().code, Some(0));
    assert!(began.elapsed() < Duration::from_secs(8));
    let site = Site::at(house);
    settled(&site.house, "crm");
    assert_eq!(sorted(taker.ids()), sorted(sent), "each once");
}

#[test]
fn two_headwaters_in_a_row_have_the_same_tables() {
    let second = Site::open("");
    let more = "gzip = true\nfrom = \"beginning\"";
    let first = Site::open(&segment("second", &second.service.url, more));
    let calls = json!([
        { "type": "track", "messageId": "1", "userId": "u", "event": "Order Done", "timestamp": "2026-01-01T00:00:00Z",
          "properties": { "total": 1.50, "items": [{ "a": 1 }], "ünï": "ö" }, "integrations": { "All": false } },
        { "type": "track", "messageId": "2", "userId": "u", "event": "E", "originalTimestamp": "2026-01-01T00:00:00.123456Z",
          "sentAt": "2026-01-01T00:00:09.5Z" },
        { "type": "track", "messageId": "3", "anonymousId": "a", "event": "E" },
        { "type": "identify", "messageId": "4", "userId": "u", "traits": { "email": "a@b.c", "address": { "city": "X" } } },
        { "type": "page", "messageId": "5", "userId": "u", "name": "Home", "category": "c", "context": { "ip": "1.2.3.4", "x": { "y": 1 } } },
        { "type": "screen", "messageId": "6", "userId": "u", "name": "Main" },
        { "type": "group", "messageId": "7", "userId": "u", "groupId": "g", "traits": { "name": "G" } },
        { "type": "alias", "messageId": "8", "userId": "u", "previousId": "p" },
        { "type": "track", "messageId": "9", "userId": "u", "event": "E", "timestamp": "2026-01-01T00:00:00Z",
          "originalTimestamp": "2025-12-31T23:00:00Z", "sentAt": "2026-01-01T00:00:01Z" }
    ]);
    // A sender whose clock is wrong by a day; one that says nothing of times; one call by itself.
    assert_eq!(first.call("/v1/batch", json!({ "batch": calls, "sentAt": "2025-12-31T00:00:05Z" })).0, 200);
    send(&first, "many", 500);
    let single =
        json!({ "event": "E", "userId": "u", "messageId": "single", "sentAt": "2020-01-01T00:00:00Z" });
    assert_eq!(first.call("/v1/track", single).0, 200);
    until("both have all", || {
        let all = |site: &Site| site.house.number("site", "SELECT count(*) FROM tracks");
        all(&first) == 505 && all(&second) == 505
    });
    assert_eq!(settled(&first.house, "second")["delivered"], 510);
    let (Site { house: one, service: a, .. }, Site { house: two, service: b, .. }) = (first, second);
    for service in [a, b] {
        assert_eq!(service.running.stop().code, Some(0));
    }
    let (one, two) = (one.tables("site"), two.tables("site"));
    assert!(one.len() > 8, "{:?}", one.keys());
    for (table, rows) in &one {
        // A call that says nothing of times is sent on as a nanosecond older than it is: else it would be corrected once more.
        let passed_on: Option<Vec<String>> =
            two.get(table).map(|rows| rows.iter().map(|row| row.replace("001Z\")", "Z\")")).collect());
        let rows: Vec<String> = rows.iter().map(|row| row.replace("001Z\")", "Z\")")).collect();
        assert_eq!(Some(rows), passed_on, "{table}");
    }
    assert_eq!(one.keys().collect::<Vec<_>>(), two.keys().collect::<Vec<_>>());
}
