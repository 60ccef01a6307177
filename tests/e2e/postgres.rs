//! Postgres instead of the embedded warehouse: the same tables, by sync and by events, also where the server goes away in
//! between.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use headwater::{
    sandbox::{Vendor, stripe::Stripe},
    warehouse::table::real,
};
use headwater_tests::postgres::{Database, Server};
use serde_json::json;

use crate::{
    house::{House, until},
    vendor::{self, Stand},
};

/// Every table of a schema, its rows as sorted text.
type Tables = BTreeMap<String, Vec<String>>;

fn house(database: &Database, sources: &str) -> House {
    House::new(&format!("[warehouse]\ntype = \"postgres\"\nurl = \"{}\"\n{sources}", database.url))
}

/// What `headwater query` says, cell by cell, without what differs from run to run; a true is the embedded warehouse's 1.
fn tables(house: &House, schema: &str, list: &str) -> Tables {
    let names = house.run(&["query", "--format", "csv", list]).success().out;
    let names = names.lines().skip(1).filter(|name| !name.starts_with("_headwater")).map(str::to_owned);
    names
        .map(|name| {
            let sql = format!("SELECT * FROM {schema}.\"{name}\"");
            let done = house.run(&["query", "--format", "jsonl", &sql]).success();
            let mut rows: Vec<String> = done
                .json_lines()
                .into_iter()
                .map(|row| {
                    let members = row.as_object().expect("a row");
                    let cells: BTreeMap<&String, String> = members
                        .iter()
                        .filter(|(name, value)| {
                            !value.is_null()
                                && !name.starts_with("_headwater")
                                && !["received_at", "uuid_ts"].contains(&name.as_str())
                        })
                        .map(|(name, value)| {
                            let text = match value {
                                serde_json::Value::String(text) => text.clone(),
                                serde_json::Value::Bool(value) => u8::from(*value).to_string(),
                                serde_json::Value::Number(number) if number.is_f64() => {
                                    real(number.as_f64().unwrap_or_default())
                                }
                                other => other.to_string(),
                            };
                            (name, text)
                        })
                        .collect();
                    format!("{cells:?}")
                })
                .collect();
            rows.sort();
            (name, rows)
        })
        .collect()
}

fn in_postgres(house: &House, schema: &str) -> Tables {
    let list = format!("SELECT table_name FROM information_schema.tables WHERE table_schema = '{schema}'");
    tables(house, schema, &list)
}

fn embedded(house: &House, schema: &str) -> Tables {
    tables(house, schema, &format!("SELECT name FROM {schema}.sqlite_master WHERE type = 'table'"))
}

#[track_caller]
fn same(found: &Tables, wanted: &Tables) {
    assert_eq!(found.keys().collect::<Vec<_>>(), wanted.keys().collect::<Vec<_>>());
    for (table, rows) in wanted {
        assert_eq!(found[table].len(), rows.len(), "rows of {table}");
        for (one, other) in found[table].iter().zip(rows) {
            assert_eq!(one, other, "{table}");
        }
    }
}

#[test]
fn a_sync_makes_the_same_tables() {
    let shop: Arc<dyn Vendor> = Arc::new(Stripe::new(vendor::world(9, 600)));
    let stand = Stand::sandbox(shop.clone(), Duration::ZERO, &[]);
    let source = vendor::source("shop", &*shop, &stand.url, "");
    let plain = House::new(&source);
    plain.run(&["sync", "shop"]).success();
    let wanted = embedded(&plain, "shop");
    assert!(wanted.values().map(Vec::len).sum::<usize>() > 1_000, "a world worth reading");

    let server = Server::shared();
    let database = server.database();
    let other = house(&database, &source);
    other.run(&["sync", "shop"]).success();
    same(&in_postgres(&other, "shop"), &wanted);
    // Again, from the beginning: every row is met and none is new.
    other.run(&["sync", "shop", "--full"]).success();
    same(&in_postgres(&other, "shop"), &wanted);
}

/// Posts a batch of calls until it is acknowledged.
fn post(url: &str, calls: &[serde_json::Value]) {
    let body = json!({ "writeKey": "wk", "batch": calls }).to_string();
    let url = format!("{url}/v1/batch");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let status = runtime.block_on(async {
        let http = reqwest::Client::builder().no_proxy().build().expect("a client");
        http.post(url).body(body).send().await.expect("an answer").status()
    });
    assert_eq!(status, 200);
}

fn calls(batch: usize) -> Vec<serde_json::Value> {
    let time = |n: usize| format!("2024-05-06T12:{:02}:{:02}.{:03}Z", batch % 60, n % 60, n);
    (0..40)
        .map(|n| {
            let id = format!("m-{batch}-{n}");
            match n % 4 {
                0 => json!({"type": "identify", "messageId": id, "userId": format!("u{}", n % 8), "timestamp": time(n),
                    "traits": {"plan": batch, "seen": {"last": n}}}),
                1 => json!({"type": "page", "messageId": id, "anonymousId": "a", "name": "Home", "timestamp": time(n)}),
                _ => json!({"type": "track", "messageId": id, "userId": "u", "event": format!("Step {}", n % 3), "timestamp": time(n),
                    "properties": {"n": n, "total": n as f64 / 8.0, "ok": n % 2 == 0, "list": [n], "mixed": if n % 2 == 0 { json!(n) } else { json!("x") }}}),
            }
        })
        .collect()
}

#[test]
fn events_make_the_same_tables_though_the_server_goes_away() {
    let source = "[[source]]\nname = \"site\"\nconnector = \"segment\"\nwrite_key = \"wk\"\n";
    let plain = House::new(source);
    let server = Server::start(&[]);
    let database = server.database();
    let other = house(&database, source);
    let (one, two) = (plain.serve(), other.serve());
    for batch in 0..30 {
        for service in [&one, &two] {
            post(&service.url, &calls(batch));
        }
        match batch {
            10 => server.stop(),
            20 => assert!(server.resume(), "{}", server.log()),
            25 => server.crash(),
            27 => assert!(server.resume(), "{}", server.log()),
            _ => {}
        }
        std::thread::sleep(Duration::from_millis(if (10..28).contains(&batch) { 300 } else { 20 }));
    }
    // Whoever asked last was acknowledged before: a stop waits until all of it is loaded.
    let count = "SELECT (SELECT count(*) FROM site.tracks) + (SELECT count(*) FROM site.identifies) + (SELECT count(*) FROM site.pages)";
    let began = Instant::now();
    until("all calls are in Postgres", || {
        let done = other.run(&["query", "--format", "csv", count]);
        done.out.lines().nth(1) == Some("1200")
    });
    eprintln!("all calls were there {:?} after the last", began.elapsed());
    for service in [one, two] {
        assert_eq!(service.running.stop().code, Some(0));
    }
    same(&in_postgres(&other, "site"), &embedded(&plain, "site"));
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let shop: Arc<dyn Vendor> = Arc::new(Stripe::new(vendor::world(9, 10)));
    let stand = Stand::sandbox(shop.clone(), Duration::ZERO, &[]);
    let house = House::new(&format!(
        "[warehouse]\ntype = \"postgres\"\nurl = \"postgres://me:hidden@127.0.0.1:1/db\"\n{}",
        vendor::source("shop", &*shop, &stand.url, "")
    ));
    house.run(&["validate"]).success();
    let done = house.run(&["sync", "shop"]);
    assert_eq!(done.code, Some(1), "{done:?}");
    assert!(
        done.err.contains("127.0.0.1:1/db refuses connections") && !done.err.contains("hidden"),
        "{done:?}"
    );
    house.run(&["query", "SELECT 1"]).fails(1, &["127.0.0.1:1/db refuses connections"]);
}
