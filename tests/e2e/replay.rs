//! Replays of the real program: beside a service and by itself, killed in the midst and begun again; traces, quarantine, books.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use headwater::sandbox::{Vendor, klaviyo::Klaviyo};
use headwater_tests::postgres::Server;
use rand::{Rng, SeedableRng, rngs::StdRng};
use rusqlite::types::Value as Sql;
use serde_json::{Value, json};

use crate::{
    house::{House, until},
    is_long,
    received::Site,
    vendor,
};

fn site(more: &str) -> String {
    format!("[[source]]\nname = \"site\"\nconnector = \"segment\"\nwrite_key = \"wk\"\n{more}\n")
}

/// Batches of twenty calls, of which some are of an event that a later setting blocks.
fn send(site: &Site, batches: usize, pad: usize) {
    let pad = "x".repeat(pad);
    for n in 0..batches {
        let calls: Vec<Value> = (0..20)
            .map(|m| {
                let event = if m % 4 == 0 { "Noise" } else { "Step" };
                json!({ "type": "track", "event": event, "userId": "u", "messageId": format!("m-{n}-{m}"),
                    "timestamp": "2024-05-06T12:00:00Z",
                    "properties": { "email": format!("{n}@example.com"), "n": n, "pad": pad } })
            })
            .collect();
        let (status, text) = site.call("/v1/batch", json!({ "batch": calls }));
        assert_eq!(status, 200, "{text}");
    }
}

/// A house without sources whose calls were loaded by settings that have changed since; nothing runs.
fn loaded(house: House, batches: usize, pad: usize) -> House {
    let head = std::fs::read_to_string(house.path("headwater.toml")).expect("a configuration");
    house.configure(&(head.clone() + &site("")));
    let site_ = Site::at(house);
    send(&site_, batches, pad);
    until("all is loaded", || {
        site_.house.number("site", "SELECT count(*) FROM tracks") == 20 * batches as i64
    });
    let Site { house, service, .. } = site_;
    assert_eq!(service.running.stop().code, Some(0));
    house.configure(
        &(head + &site("block = [\"Noise\"]\nhash = [\"properties.email\"]\ndrop = [\"properties.pad\"]")),
    );
    house
}

/// All tables with rows, without what differs from load to load.
fn tables(house: &House) -> BTreeMap<String, Vec<String>> {
    house.tables("site").into_iter().filter(|(_, rows)| !rows.is_empty()).collect()
}

fn summary(out: &str) -> Value {
    let last = out.lines().last().expect("a line");
    serde_json::from_str::<Value>(last).expect("JSON")["summary"].clone()
}

#[test]
fn changed_settings_reach_what_was_received_before_them() {
    changed_settings(House::new(""));
}

#[test]
fn in_postgres_too() {
    let server = Server::start(&[]);
    changed_settings(House::in_postgres("", server.database()));
}

fn changed_settings(house: House) {
    let house = loaded(house, 5, 10);
    let before = house.tables("site");
    let look = house.run(&["replay", "site", "--since", "1h", "--dry-run", "--diff", "--json"]).success();
    assert_eq!(house.tables("site"), before, "a look changes nothing");
    let differences = look.json_lines();
    assert_eq!(differences.iter().filter(|line| line["what"] == "removed").count(), 25);
    let changed = differences.iter().find(|line| line["what"] == "changed").expect("a change");
    let column = |name: &str| {
        let columns = changed["columns"].as_array().expect("columns");
        columns.iter().find(|column| column["column"] == name).unwrap_or_else(|| panic!("{changed}")).clone()
    };
    assert!(column("email")["from"].as_str().expect("text").ends_with("@example.com"));
    assert_eq!(column("email")["to"].as_str().map(str::len), Some(64));
    assert_eq!(column("pad")["to"], Value::Null);
    assert_eq!(summary(&look.out)["calls"], json!({ "changed": 75, "removed": 25, "filtered": 25 }));
    // For people, and by itself; then beside a service, where there is nothing left to do.
    let told = house.run(&["replay", "site", "--since", "1h", "--diff"]).success();
    assert!(told.out.contains("- removed tracks \"noise\" m-0-0 (delivery 1:0)"), "{}", told.out);
    assert!(
        told.out.contains("5 deliveries made again: 75 changed, 25 filtered, 25 removed"),
        "{}",
        told.out
    );
    assert!(told.out.contains("the inbox reaches back to "), "{}", told.out);
    assert_eq!(house.number("site", "SELECT count(*) FROM tracks"), 75);
    assert_eq!(house.number("site", "SELECT count(*) FROM noise"), 0);
    assert_eq!(
        house.number("site", "SELECT count(*) FROM step WHERE length(email) = 64 AND pad IS NULL"),
        75
    );
    house.run(&["books"]).success();
    let site = Site::at(house);
    let again = site.house.run(&["replay", "site", "--since", "2020-01-01", "--diff", "--json"]).success();
    assert_eq!(summary(&again.out)["calls"], json!({ "same": 75, "filtered": 25 }), "{again:?}");
    site.lives();
    site.house.run(&["books"]).success();
}

#[test]
fn killed_in_the_midst_it_goes_on_and_nothing_is_missing_or_twice() {
    let batches = if is_long() { 2_000 } else { 300 };
    let undisturbed = loaded(House::new(""), batches, 1_000);
    let began = Instant::now();
    undisturbed.run(&["replay", "site", "--since", "1h"]).success();
    let took = began.elapsed();
    let expected = tables(&undisturbed);
    assert_eq!(expected["tracks"].len(), 15 * batches);
    let house = loaded(House::new(""), batches, 1_000);
    let mut rng = StdRng::seed_from_u64(17);
    let (mut killed, mut resumed, mut longest) = (0, 0, took);
    let wanted = if is_long() { 50 } else { 4 };
    // One that finds nothing left to change is over sooner than the first was.
    for _ in 0..wanted * 50 {
        let replay = house.start(&["replay", "site", "--since", "1h"]);
        std::thread::sleep(Duration::from_millis(rng.random_range(5..longest.as_millis().max(10) as u64)));
        resumed += usize::from(replay.err().contains("going on with the replay"));
        match replay.kill() {
            true => killed += 1,
            false => longest = longest * 3 / 4,
        }
        house.run(&["books"]).success();
        if killed >= wanted && resumed > 0 {
            break;
        }
    }
    let last = house.run(&["replay", "site", "--since", "1h"]).success();
    resumed += usize::from(last.err.contains("going on with the replay"));
    assert!(killed >= wanted && resumed > 0, "{killed} kills, {resumed} resumed");
    assert!(tables(&house) == expected, "the tables differ");
    house.run(&["books"]).success();
}

#[test]
fn a_row_and_a_message_are_traced() {
    let site = Site::open("block = [\"Secret\"]");
    let batch = json!({ "batch": [
        { "type": "track", "event": "Good", "userId": "u", "messageId": "good" },
        { "type": "track", "event": "Secret", "userId": "u", "messageId": "secret" },
        { "type": "track", "event": "Bad", "messageId": "bad" },
    ] });
    assert_eq!(site.call("/v1/batch", batch.clone()).0, 200);
    assert_eq!(site.call("/v1/batch", batch).0, 200);
    site.lives();
    let trace = |args: &[&str]| -> Value {
        let all: Vec<&str> = ["trace", "--json"].iter().chain(args).copied().collect();
        serde_json::from_str(&site.house.run(&all).success().out).expect("JSON")
    };
    let row = trace(&["site.good", "good"]);
    assert_eq!((&row["row"]["event_text"], &row["delivery"]["item"]), (&json!("Good"), &json!(0)), "{row}");
    assert_eq!((&row["delivery"]["delivery"], &row["delivery"]["source"]), (&json!(1), &json!("site")));
    assert_eq!(row["load"]["id"], row["row"]["_headwater_load"]);
    assert!(row["delivery"]["headers"].is_object() && !row.to_string().contains("wk\""), "{row}");
    let good = trace(&["good", "--all"]);
    let fates: Vec<&Value> = good["deliveries"]
        .as_array()
        .expect("deliveries")
        .iter()
        .map(|delivery| &delivery["items"][0]["fate"]["is"])
        .collect();
    assert_eq!(fates, ["eligible", "duplicate"], "{good}");
    assert_eq!(good["consumers"][0]["outcome"], "delivered");
    let tables: Vec<&Value> =
        good["consumers"][0]["rows"].as_array().expect("rows").iter().map(|row| &row["table"]).collect();
    assert_eq!(tables, ["site.tracks", "site.good"]);
    // Neither was ever eligible: they are found by looking through the inbox.
    let secret = trace(&["secret"]);
    assert_eq!(
        secret["deliveries"][0]["items"][0]["fate"],
        json!({ "is": "filtered", "by": "Secret" }),
        "{secret}"
    );
    let bad = trace(&["bad"]);
    assert_eq!(
        bad["deliveries"][1]["items"][0]["fate"],
        json!({ "is": "rejected", "because": "missing identity" }),
        "{bad}"
    );
    let told = site.house.run(&["trace", "bad"]).success();
    assert!(told.out.contains("item 2: rejected: missing identity"), "{}", told.out);
    site.house.run(&["trace", "nothing"]).fails(2, &["no delivery and no row", "nothing"]);
    site.house.run(&["trace", "site.tracks", "nobody"]).fails(2, &["no row with id = nobody"]);
    site.house.run(&["trace", "site.nothing", "x"]).fails(2, &["no table nothing"]);
    site.house.run(&["trace", "nowhere.tracks", "x"]).fails(2, &["no schema nowhere", "site"]);
}

#[test]
fn mistakes_are_explained() {
    let house = House::new("[[source]]\nname = \"site\"\nconnector = \"segment\"\n");
    house.run(&["replay", "sit", "--since", "1h"]).fails(2, &["did you mean site"]);
    house.run(&["replay", "site", "--since", "soon"]).fails(2, &["--since \"soon\"", "2024-05-06"]);
    house
        .run(&["replay", "site", "--since", "1h", "--until", "2h"])
        .fails(2, &["--until", "lies before --since"]);
    house.run(&["replay", "site", "--since", "1h", "--where", "evnt = x"]).fails(2, &["evnt", "only event"]);
    let empty = house.run(&["replay", "site", "--since", "1h"]).success();
    assert!(empty.out.contains("0 deliveries made again: no calls"), "{}", empty.out);
    assert!(house.run(&["quarantine"]).success().out.contains("nothing is in quarantine"));
}

#[test]
fn a_wrong_secret_costs_no_delivery() {
    let klaviyo = Klaviyo::new(vendor::world(3, 20));
    let source = |secret: &Value| {
        format!(
            "[receive]\nlisten = \"127.0.0.1:0\"\n[[source]]\nname = \"mail\"\nconnector = \"klaviyo\"\nsettings = {{ secret_key = {secret} }}\n\
             [[source]]\nname = \"site\"\nconnector = \"segment\"\nwrite_key = \"wk\"\n"
        )
    };
    let house = House::empty();
    house.configure(&source(&json!("not the secret")));
    let webhook = house.webhook("mail");
    let site = Site::at(house);
    let deliveries: Vec<_> =
        std::iter::repeat_with(|| klaviyo.happen(jiff::Timestamp::now())).flatten().take(3).collect();
    for delivery in &deliveries {
        let headers: Vec<(&str, &str)> = delivery
            .headers
            .iter()
            .filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)))
            .collect();
        assert_eq!(site.post(&webhook, &headers, delivery.body.clone()).0, 401);
    }
    let listed: Value =
        serde_json::from_str(&site.house.run(&["quarantine", "--json"]).success().out).expect("JSON");
    assert_eq!(listed["deliveries"].as_array().map(Vec::len), Some(3), "{listed}");
    let release = |site: &Site, more: &[&str]| -> Value {
        let all: Vec<&str> =
            ["replay", "mail", "--quarantined", "--json"].iter().chain(more).copied().collect();
        serde_json::from_str(&site.house.run(&all).success().out).expect("JSON")
    };
    let count = |told: &Value, name: &str| told[name].as_array().map(Vec::len);
    let told = release(&site, &[]);
    assert_eq!((count(&told, "taken"), count(&told, "refused")), (Some(0), Some(3)), "{told}");
    // The right secret: now they are proven, each once.
    let Site { house, service, .. } = site;
    assert_eq!(service.running.stop().code, Some(0));
    house.configure(&source(&klaviyo.settings()["secret_key"]));
    let site = Site::at(house);
    assert_eq!(count(&release(&site, &["--dry-run"]), "taken"), Some(3));
    let told = release(&site, &[]);
    assert_eq!((count(&told, "taken"), count(&told, "refused")), (Some(3), Some(0)), "{told}");
    assert_eq!(count(&release(&site, &[]), "taken"), Some(0));
    site.lives();
    let booked = site.house.books("mail");
    assert_eq!(booked[&("delivery".to_owned(), "normalised".to_owned())], 3);
    let tables = site.house.rows("mail", "SELECT count(*) FROM _headwater_tables");
    assert!(matches!(tables[0][0], Sql::Integer(tables) if tables > 0));
    site.house.run(&["books"]).success();
}
