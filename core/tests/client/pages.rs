//! Long answers are read page by page; from the cursor of every page exactly the rest follows, with or without the body
//! that is kept open in between.

use std::{io::Write, sync::Arc, time::Duration};

use flate2::{Compression, write::GzEncoder};
use headwater_core::{
    auth::{Auth, Secret},
    cursor::{At, More, Pages, Put, Read},
    error::{Error, Kind, Result},
    http::{Api, Budget, Client, Options},
    object::{Collection, Endpoint, Format, Page, Pull, Request},
    rest,
};
use serde_json::Value;

use crate::{
    VENDOR, quick,
    server::{Reply, Server, reply},
};

const PIECE: usize = 1_000;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut to = GzEncoder::new(Vec::new(), Compression::fast());
    to.write_all(bytes).unwrap();
    to.finish().unwrap()
}

/// Records `from` to `to`, as a vendor writes them.
fn written(format: Format, from: u64, to: u64) -> Vec<u8> {
    let lines = |before: &str, line: &dyn Fn(u64) -> String, between: &str, behind: &str| {
        let all: Vec<String> = (from..to).map(line).collect();
        format!("{before}{}{behind}", all.join(between)).into_bytes()
    };
    let json = |n: u64| {
        format!("{{\"id\":\"{n}\",\"text\":\"a\\n{}\"}}", "é\"".replace('"', "\\\"").repeat(n as usize % 9))
    };
    let csv = |n: u64| format!("{n},\"a\n{}\"", "é\"\"".repeat(n as usize % 9));
    match format {
        Format::Ndjson => lines("", &json, "\n", "\n"),
        Format::Csv => lines("id,text\r\n", &csv, "\r\n", ""),
        Format::Gzip(inner) => gzip(&written(*inner, from, to)),
        _ => lines(&format!("{{\"total\":{to},\"data\":{{\"list\":["), &json, ", ", "]},\"x\":[{\"id\":0}]}"),
    }
}

fn collection(format: Format) -> Collection {
    Collection {
        name: "things",
        endpoint: Endpoint::get("/things"),
        records: "data.list",
        format,
        pages: Pages::Token { at: At::Header("x-next"), into: Put::Query("cursor"), more: More::Given },
        ..Collection::DEFAULT
    }
}

/// A long answer that leads to a short one.
async fn vendor(format: Format) -> Server {
    Server::start(move |asked, _| {
        let long = || reply(200, written(format, 0, 500)).with("x-next", "two");
        let is_first = asked.target == "/things";
        std::future::ready(if is_first { long() } else { reply(200, written(format, 500, 510)) })
    })
    .await
}

fn client(server: &Server, change: impl FnOnce(Options) -> Options) -> Client {
    let options = Options { piece: PIECE, ..quick(server) };
    Client::new(Api::new(VENDOR, Auth::None), change(options)).unwrap()
}

async fn page(client: &Client, collection: &Collection, cursor: &Value) -> Result<Page> {
    let read = Read { page: serde_json::from_str(&cursor.to_string()).unwrap(), ..Read::default() };
    rest::page(Pull { client, collection, read: &read, parent: None }).await
}

fn ids(page: &Page) -> Vec<String> {
    page.changes.iter().map(|change| change.record.text("id").unwrap().unwrap()).collect()
}

/// The pages from a cursor on, each with the cursor that it was read from.
async fn pages(client: &Client, collection: &Collection, from: Value) -> Result<Vec<(Value, Vec<String>)>> {
    let (mut all, mut cursor) = (Vec::new(), from);
    loop {
        let page = page(client, collection, &cursor).await?;
        all.push((cursor, ids(&page)));
        if !page.more {
            return Ok(all);
        }
        cursor = page.cursor;
    }
}

#[tokio::test]
async fn from_every_cursor_the_rest_follows() {
    for format in [
        Format::Ndjson,
        Format::Csv,
        Format::Json,
        Format::Gzip(&Format::Ndjson),
        Format::Gzip(&Format::Csv),
        Format::Gzip(&Format::Json),
    ] {
        let (server, collection) = (vendor(format).await, collection(format));
        let all = pages(&client(&server, |options| options), &collection, Value::Null).await.unwrap();
        assert_eq!(server.asked().len(), 2, "{format:?}: the body stays open between pages");
        assert!(all.len() > 8, "{format:?}: {} pages", all.len());
        let met: Vec<String> = all.iter().flat_map(|(_, ids)| ids.clone()).collect();
        assert_eq!(met, (0..510).map(|n| n.to_string()).collect::<Vec<_>>(), "{format:?}");

        // Every page by itself, by a client that keeps nothing: the same.
        let forgetful = client(&server, |options| Options { open_bodies: 0, ..options });
        for (cursor, wanted) in &all {
            let page = page(&forgetful, &collection, cursor).await.unwrap();
            assert_eq!(ids(&page), *wanted, "{format:?} {cursor}");
        }
        // And all that follows, by one that comes in the middle.
        for place in [1, all.len() / 2, all.len() - 2, all.len() - 1] {
            let rest =
                pages(&client(&server, |options| options), &collection, all[place].0.clone()).await.unwrap();
            assert_eq!(rest, all[place..], "{format:?} {place}");
        }
    }
}

#[tokio::test]
async fn a_list_is_paged_the_same_however_long_its_answers_are() {
    let server = Server::start(|asked, _| {
        let from: u64 = asked.target.split("offset=").nth(1).unwrap().parse().unwrap();
        std::future::ready(reply(200, written(Format::Json, from, (from + 200).min(500))))
    })
    .await;
    for more in [More::Full, More::Total("total")] {
        let collection = Collection {
            pages: Pages::Offset { into: Put::Query("offset"), size: 200, more },
            ..collection(Format::Json)
        };
        let met = pages(&client(&server, |options| options), &collection, Value::Null).await.unwrap();
        let met: Vec<String> = met.into_iter().flat_map(|(_, ids)| ids).collect();
        let wanted = if more == More::Full { 500 } else { 200 };
        assert_eq!(
            met,
            (0..wanted).map(|n| n.to_string()).collect::<Vec<_>>(),
            "the total is that of each answer"
        );
    }
}

#[tokio::test]
async fn after_pages_know_the_last_record_of_a_long_answer() {
    let server = Server::start(|asked, _| {
        let from = asked.target.split("after=").nth(1).map_or(0, |id| id.parse::<u64>().unwrap() + 1);
        let to = (from + 200).min(500);
        let text = String::from_utf8(written(Format::Json, from, to)).unwrap();
        let more = format!(",\"has_more\":{}}}", to < 500);
        std::future::ready(reply(200, text[..text.len() - 1].to_owned() + &more))
    })
    .await;
    let collection = Collection {
        pages: Pages::After { field: "id", into: Put::Query("after"), more: More::If("has_more") },
        ..collection(Format::Json)
    };
    for open_bodies in [0, 16] {
        let client = client(&server, |options| Options { open_bodies, ..options });
        let met = pages(&client, &collection, Value::Null).await.unwrap();
        assert_eq!(met.iter().map(|(_, ids)| ids.len()).sum::<usize>(), 500);
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_changes_nothing() {
    for format in [Format::Ndjson, Format::Json, Format::Gzip(&Format::Csv)] {
        let whole = move || reply(200, written(format, 0, 500));
        let server =
            Server::start(move |_, n| std::future::ready(if n % 3 == 2 { whole() } else { whole().cut() }))
                .await;
        let all = pages(&client(&server, |options| options), &collection(format), Value::Null).await.unwrap();
        let met: Vec<String> = all.into_iter().flat_map(|(_, ids)| ids).collect();
        assert_eq!(met, (0..500).map(|n| n.to_string()).collect::<Vec<_>>(), "{format:?}");
    }
    let server = Server::script(vec![reply(200, written(Format::Ndjson, 0, 500)).cut()]).await;
    let error = pages(&client(&server, |options| options), &collection(Format::Ndjson), Value::Null).await;
    assert_eq!(error.unwrap_err().kind(), Kind::Transient, "patience ends");
}

#[tokio::test]
async fn an_answer_that_has_changed_is_read_again_from_its_beginning() {
    let place = |all: &[(Value, Vec<String>)]| all[all.len() / 2].0.clone();
    for format in [Format::Ndjson, Format::Csv, Format::Json] {
        let collection = collection(format);
        let one = Server::script(vec![reply(200, written(format, 0, 500))]).await;
        let all = pages(&client(&one, |options| options), &collection, Value::Null).await.unwrap();
        for other in [written(format, 1, 500), written(format, 0, 20), written(format, 0, 100)] {
            let server = Server::script(vec![reply(200, other)]).await;
            let error =
                page(&client(&server, |options| options), &collection, &place(&all)).await.unwrap_err();
            assert_eq!(error.kind(), Kind::Expired, "{format:?}: {error}");
        }
    }
}

#[tokio::test]
async fn a_long_list_need_not_fit_in_an_answer() {
    let server = Server::script(vec![reply(200, written(Format::Json, 0, 500))]).await;
    let small = |options| Options { max_answer: PIECE, ..options };
    let all = pages(&client(&server, small), &collection(Format::Json), Value::Null).await.unwrap();
    assert_eq!(all.iter().map(|(_, ids)| ids.len()).sum::<usize>(), 500);
    let long = format!("{{\"data\":{{\"list\":[{{\"id\":\"{}\"}}]}}}}", "x".repeat(3 * PIECE));
    let server = Server::script(vec![reply(200, long)]).await;
    let error = pages(&client(&server, small), &collection(Format::Json), Value::Null).await.unwrap_err();
    assert!(error.message().contains("larger than"), "{error}");
}

#[tokio::test]
async fn an_error_that_a_short_answer_tells_is_heard() {
    let server = Server::script(vec![reply(200, "{\"fault\":1}")]).await;
    let api = Api::new(VENDOR, Auth::None)
        .judge(|answer| answer.body.starts_with(b"{\"fault").then(|| Error::new(Kind::Forbidden, "a fault")));
    let client = Client::new(api, quick(&server)).unwrap();
    for format in [Format::Json, Format::Csv, Format::Gzip(&Format::Csv)] {
        let error = pages(&client, &collection(format), Value::Null).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Forbidden, "{format:?}: {error}");
    }
}

#[tokio::test]
async fn pages_are_held_in_the_budget_until_they_are_dropped() {
    for format in [Format::Ndjson, Format::Csv, Format::Json] {
        let server = vendor(format).await;
        let budget = Budget::patient(64 << 10, Duration::from_secs(20));
        let client =
            client(&server, |options| Options { budget: Arc::clone(&budget), piece: 4_000, ..options });
        let collection = collection(format);
        let first = page(&client, &collection, &Value::Null).await.unwrap();
        let held = budget.held();
        assert!((3 << 10..16 << 10).contains(&held), "{format:?}: {held}");
        let record = first.changes[0].record.clone();
        drop(first);
        assert_eq!(budget.held(), held, "{format:?}: a record is a slice of its page");
        drop(record);
        assert_eq!(budget.held(), 0, "{format:?}");
        let answer = client.send(Request::get("/things")).await.unwrap();
        assert_eq!(budget.held().div_ceil(1024), (answer.body.len() as u64).div_ceil(1024));
        drop(answer);
        assert_eq!(budget.held(), 0);
    }
}

#[tokio::test]
async fn readers_wait_for_the_pages_of_others() {
    let server = vendor(Format::Ndjson).await;
    let budget = Budget::patient(8 << 10, Duration::from_secs(20));
    let options = |options: Options| Options { budget: Arc::clone(&budget), piece: 6 << 10, ..options };
    let client = client(&server, options);
    let collection = collection(Format::Ndjson);
    let first = page(&client, &collection, &Value::Null).await.unwrap();
    let cursor = first.cursor.clone();
    let mut second = Box::pin(page(&client, &collection, &cursor));
    let early = tokio::time::timeout(Duration::from_millis(200), &mut second).await;
    assert!(early.is_err(), "there is no room for two pages");
    drop(first);
    let second =
        tokio::time::timeout(Duration::from_secs(5), second).await.expect("there is room now").unwrap();
    assert!(!second.changes.is_empty());
}

#[tokio::test]
async fn no_key_goes_into_a_cursor() {
    let server = Server::start(|asked, n| {
        let next = format!("/things?page={}&key=the-key-itself&token=the-key-itself&x=%20", n + 2);
        let answer =
            |next: &str| -> Reply { reply(200, format!("{{\"data\":{{\"list\":[]}},\"next\":\"{next}\"}}")) };
        let is_last = asked.target.contains("page=3");
        std::future::ready(answer(if is_last { "" } else { &next }))
    })
    .await;
    let api = Api::new(VENDOR, Auth::Query("key", Secret::new("the-key-itself")));
    let client = Client::new(api, quick(&server)).unwrap();
    let collection = Collection {
        pages: Pages::Url { at: At::Body("next"), more: More::Given },
        ..collection(Format::Json)
    };
    let all = pages(&client, &collection, Value::Null).await.unwrap();
    assert_eq!(all[1].0, serde_json::json!({"url": "/things?page=2&x=%20"}));
    let asked: Vec<String> = server.asked().into_iter().map(|asked| asked.target).collect();
    let key = "key=the-key-itself";
    assert_eq!(
        asked,
        [
            format!("/things?{key}"),
            format!("/things?page=2&x=%20&{key}"),
            format!("/things?page=3&x=%20&{key}")
        ]
    );
}
