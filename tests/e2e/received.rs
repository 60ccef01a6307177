//! What nobody should send to the receiver: each is answered as the API says, nothing good is lost beside it, the process lives,
//! its memory stays flat, and the books balance.

use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};

use crate::house::{House, Service, until};

/// A running service with the source `site`.
pub struct Site {
    pub house: House,
    pub service: Service,
    pub key: String,
    http: reqwest::Client,
    runtime: tokio::runtime::Runtime,
    next: AtomicU64,
}

impl Site {
    pub fn open(more: &str) -> Self {
        Self::at(House::new(&format!(
            "[[source]]\nname = \"site\"\nconnector = \"segment\"\nwrite_key = \"wk\"\n{more}"
        )))
    }

    pub fn at(house: House) -> Self {
        let service = house.serve();
        Self::with(house, service)
    }

    /// What runs already.
    pub fn with(house: House, service: Service) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(60)).build().unwrap();
        Self { house, service, key: "wk".to_owned(), http, runtime, next: AtomicU64::new(0) }
    }

    /// Posts a body; returns status, headers and body of the answer.
    pub fn post(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<reqwest::Body>,
    ) -> (u16, http::HeaderMap, String) {
        self.send(http::Method::POST, path, headers, body)
    }

    /// Sends a request; returns status, headers and body of the answer.
    pub fn send(
        &self,
        method: http::Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<reqwest::Body>,
    ) -> (u16, http::HeaderMap, String) {
        let mut request = self.http.request(method, format!("{}{path}", self.service.url)).body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.runtime.block_on(async {
            let response = request.send().await.unwrap();
            let (status, headers) = (response.status().as_u16(), response.headers().clone());
            (status, headers, response.text().await.unwrap())
        })
    }

    /// Posts a call with the write key in its body; returns the status and the message.
    pub fn call(&self, path: &str, mut body: Value) -> (u16, String) {
        body["writeKey"] = json!(self.key);
        let (status, _, text) = self.post(path, &[], body.to_string());
        (status, text)
    }

    /// Sends one good event, and waits until it is a row: the service lives, and whatever came before has been worked off.
    #[track_caller]
    pub fn lives(&self) {
        let id = format!("alive-{}", self.next.fetch_add(1, Ordering::SeqCst));
        let (status, text) =
            self.call("/v1/track", json!({ "event": "Alive", "userId": "u", "messageId": id }));
        assert_eq!(status, 200, "{text}");
        self.arrives(&id);
    }

    /// Waits until this message is in the warehouse.
    #[track_caller]
    pub fn arrives(&self, id: &str) {
        until(&format!("{id} arrives"), || self.tracks(id) == 1);
    }

    /// How often this message is in the warehouse.
    pub fn tracks(&self, id: &str) -> i64 {
        self.house.number("site", &format!("SELECT count(*) FROM tracks WHERE id = '{id}'"))
    }

    fn booked(&self, reason: &str) -> i64 {
        let books = self.house.books("site");
        books
            .iter()
            .filter(|((stage, known), _)| stage == "call" && known.starts_with(reason))
            .map(|(_, n)| n)
            .sum()
    }
}

#[test]
fn bodies_that_are_no_json_are_refused_with_a_reason() {
    let site = Site::open("");
    for body in [
        &b""[..],
        b"{",
        b"[1]",
        b"nonsense",
        b"{\"writeKey\":\"wk\",}",
        b"{\"writeKey\":\"wk\"} more",
        b"{\"a\":\"\xff\xfe\",\"writeKey\":\"wk\"}",
    ] {
        let (status, _, text) = site.post("/v1/track", &[], body.to_vec());
        let answer: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((status, &answer["success"]), (400, &json!(false)), "{:?}", String::from_utf8_lossy(body));
        assert!(answer["message"].as_str().unwrap().contains("JSON"), "{text}");
    }
    site.lives();
    assert!(site.house.rejected().is_empty());
}

#[test]
fn wrong_and_missing_write_keys_are_refused() {
    let site = Site::open("");
    let track = json!({ "event": "E", "userId": "u", "messageId": "never" });
    let (status, _, text) = site.post("/v1/track", &[], track.to_string());
    assert!(status == 401 && text.contains("no write key"), "{text}");
    for headers in [
        [("authorization", "Basic bm9uZTo=")],
        [("authorization", "Basic !!!")],
        [("authorization", "Bearer wk")],
    ] {
        let (status, _, text) = site.post("/v1/track", &headers, track.to_string());
        assert!(status == 401 && text.contains("write key") && !text.contains("wk"), "{text}");
    }
    let (status, _, _) = site.post("/v1/track", &[], json!({ "event": "E", "writeKey": 7 }).to_string());
    assert_eq!(status, 401);
    let (status, _, text) = site.post("/v1/tarck", &[], track.to_string());
    assert!(status == 404 && text.contains("tarck"), "{text}");
    site.lives();
    assert_eq!(site.tracks("never"), 0);
}

#[test]
fn values_of_the_wrong_type_are_counted_with_their_reason() {
    let site = Site::open("");
    for (path, call, reason) in [
        ("/v1/track", json!({ "event": 7, "userId": "u" }), "event is not a string"),
        ("/v1/track", json!({ "userId": "u" }), "event is missing"),
        ("/v1/track", json!({ "event": "E" }), "missing identity"),
        (
            "/v1/track",
            json!({ "event": "E", "userId": "u", "properties": [1] }),
            "properties is not an object",
        ),
        ("/v1/track", json!({ "event": "E", "userId": "u", "context": "c" }), "context is not an object"),
        ("/v1/identify", json!({ "userId": "u", "traits": "t" }), "traits is not an object"),
        ("/v1/page", json!({ "userId": "u", "name": 5 }), "name is not a string"),
        ("/v1/group", json!({ "userId": "u" }), "groupId is missing"),
        ("/v1/alias", json!({ "userId": "u" }), "previousId is missing"),
        (
            "/v1/track",
            json!({ "event": "E", "userId": "u", "messageId": "m".repeat(101) }),
            "messageId is longer",
        ),
        ("/v1/track", json!({ "event": "E", "userId": "u", "messageId": {} }), "messageId is not a string"),
        ("/v1/batch", json!({ "batch": {} }), "batch is not an array"),
        ("/v1/batch", json!({}), "batch is missing"),
        ("/v1/batch", json!({ "batch": [7] }), "a call has to be an object"),
        ("/v1/batch", json!({ "batch": [{ "type": "dance", "userId": "u" }] }), "\"dance\" is not a call"),
    ] {
        assert_eq!(site.call(path, call.clone()).0, 200, "as Segment answers: {call}");
        site.lives();
        let (last, _) = site.house.rejected().pop().unwrap_or_default();
        assert!(last.contains(reason), "{call}: {last}");
        assert!(site.booked("rejected: ") > 0);
    }
    assert_eq!(site.house.number("site", "SELECT count(*) FROM tracks WHERE event_text <> 'Alive'"), 0);
}

#[test]
fn a_batch_with_bad_items_keeps_the_good_ones() {
    let site = Site::open("");
    let good = |n: usize| json!({ "type": "track", "event": "Good", "userId": "u", "messageId": format!("good-{n}") });
    let large = json!({ "type": "track", "event": "Large", "userId": "u", "properties": { "x": "x".repeat(40 << 10) } });
    let batch = json!([good(1), { "type": "track" }, 7, good(2), null, { "type": "track", "event": 1, "userId": "u" }, large, good(1), good(3)]);
    assert_eq!(site.call("/v1/batch", json!({ "batch": batch })).0, 200);
    site.lives();
    for n in 1..=3 {
        assert_eq!(site.tracks(&format!("good-{n}")), 1);
    }
    let reasons: Vec<String> = site.house.rejected().into_iter().map(|(reason, _)| reason).collect();
    assert_eq!(reasons.len(), 5, "{reasons:?}");
    assert!(reasons.iter().any(|reason| reason == "call too large"), "{reasons:?}");
    assert_eq!(site.booked("duplicate"), 1);
}

#[test]
fn the_books_balance() {
    let site = Site::open("block = [\"Secret\", \"page\"]\nhash = [\"properties.email\"]\n");
    let mut sent = 0;
    for round in 0..20 {
        let mut batch = Vec::new();
        for n in 0..25 {
            let id = format!("b-{round}-{}", if n % 5 == 0 { 0 } else { n });
            batch.push(match n % 6 {
                0 | 1 => json!({ "type": "track", "event": "Bought", "userId": "u", "messageId": id, "properties": { "email": "a@example.com" } }),
                2 => json!({ "type": "track", "event": "Secret", "userId": "u", "messageId": id }),
                3 => json!({ "type": "page", "userId": "u", "messageId": id }),
                4 => json!({ "type": "identify", "traits": { "a": n }, "userId": "u", "messageId": id }),
                _ => json!({ "type": "track", "messageId": id }),
            });
        }
        sent += batch.len() as i64;
        assert_eq!(site.call("/v1/batch", json!({ "batch": batch })).0, 200);
    }
    site.lives();
    let books = site.house.books("site");
    let sum = |reason: &str| site.booked(reason);
    let parts = (sum("eligible"), sum("rejected: "), sum("filtered by "), sum("duplicate"));
    assert_eq!(parts.0 + parts.1 + parts.2 + parts.3, sent + 1, "{books:?}");
    assert!(parts.0 > 1 && parts.1 > 0 && parts.2 > 0 && parts.3 > 0, "{parts:?}");
    assert_eq!(books[&("delivery".to_owned(), "normalised".to_owned())], 21);
    assert_eq!(site.house.rejected().len() as i64, parts.1);
    let rows =
        site.house.number("site", "SELECT (SELECT count(*) FROM tracks) + (SELECT count(*) FROM identifies)");
    assert_eq!(rows, parts.0, "every eligible call is a row");
    let plain = site.house.number("site", "SELECT count(*) FROM bought WHERE email LIKE '%@%'");
    assert_eq!(
        (plain, site.house.number("site", "SELECT count(*) FROM bought WHERE length(email) = 64") > 0),
        (0, true)
    );
}

#[test]
fn nesting_without_end_is_survived() {
    let site = Site::open("");
    let arrays = format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000));
    let objects = format!("{}1{}", r#"{"a":"#.repeat(4_000), "}".repeat(4_000));
    for (n, deep) in [&arrays, &objects].into_iter().enumerate() {
        let body = format!(
            r#"{{"writeKey":"wk","event":"Deep","userId":"u","messageId":"deep-{n}","properties":{{"deep":{deep}}}}}"#
        );
        assert_eq!(site.post("/v1/track", &[], body.clone()).0, 200);
        let batch = format!(
            r#"{{"writeKey":"wk","batch":[{},{{"type":"track","event":"Good","userId":"u","messageId":"beside-{n}"}}]}}"#,
            deep
        );
        assert_eq!(site.post("/v1/batch", &[], batch).0, 200);
        site.arrives(&format!("beside-{n}"));
        // The deep call is a row with the value as text, or is rejected with a reason.
        let rejected =
            site.house.rejected().iter().any(|(_, payload)| payload.contains(&format!("deep-{n}")));
        assert!(rejected || site.tracks(&format!("deep-{n}")) == 1, "deep-{n} is lost");
    }
    assert_eq!(site.post("/v1/track", &[], arrays).0, 400);
    site.lives();
}

#[test]
fn what_is_over_a_limit_is_refused() {
    let site = Site::open("");
    let call = |size: usize| json!({ "event": "E", "userId": "u", "properties": { "x": "x".repeat(size) } });
    let (status, text) = site.call("/v1/track", call(33 << 10));
    assert!(status == 400 && text.contains("larger than 32768 bytes"), "{status} {text}");
    assert_eq!(site.call("/v1/track", call(30 << 10)).0, 200);
    let many: Vec<Value> = (0..2_600)
        .map(|n| json!({ "type": "track", "event": "M", "userId": "u", "messageId": format!("m{n}") }))
        .collect();
    assert_eq!(site.call("/v1/batch", json!({ "batch": many })).0, 200);
    let (status, text) = site.call("/v1/batch", json!({ "batch": [call(501 << 10)] }));
    assert!(status == 400 && text.contains("larger than 512000 bytes"), "{status} {text}");
    // Headers: a hundred kilobytes in one, and a thousand of them.
    let long = "x".repeat(1 << 20);
    let raw = |head: String| {
        let mut stream = TcpStream::connect(site.service.url.trim_start_matches("http://")).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        // It may close before all is written.
        let _ = stream.write_all(head.as_bytes());
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    };
    for head in [format!("x-long: {long}\r\n"), "x-many: 1\r\n".repeat(1_000)] {
        let answer = raw(format!(
            "POST /v1/track HTTP/1.1\r\nhost: h\r\n{head}content-length: 0\r\nconnection: close\r\n\r\n"
        ));
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
    let answer = raw(format!(
        "POST /v1/track?{} HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n",
        "q".repeat(1 << 17)
    ));
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    site.lives();
    assert_eq!(site.house.number("site", "SELECT count(*) FROM tracks WHERE event_text = 'M'"), 2_500);
    assert_eq!(site.booked("rejected: batch of more than"), 100);
}

#[test]
fn gzip_is_unpacked_and_bombs_are_refused_with_flat_memory() {
    let site = Site::open("");
    let pack = |bytes: &[u8], times: usize| {
        let mut packed = GzEncoder::new(Vec::new(), Compression::best());
        (0..times).for_each(|_| packed.write_all(bytes).unwrap());
        packed.finish().unwrap()
    };
    let call = br#"{"writeKey":"wk","event":"Packed","userId":"u","messageId":"packed"}"#;
    assert_eq!(site.post("/v1/track", &[("content-encoding", "gzip")], pack(call, 1)).0, 200);
    site.arrives("packed");
    let before = site.service.running.peak();
    let bomb = pack(&vec![b' '; 1 << 20], 400);
    assert!(bomb.len() < 500 << 10, "{}", bomb.len());
    for _ in 0..5 {
        let (status, _, text) = site.post("/v1/batch", &[("content-encoding", "gzip")], bomb.clone());
        assert!(status == 400 && text.contains("larger than"), "{status} {text}");
    }
    let mut cut = pack(call, 1);
    cut.truncate(30);
    let (status, _, text) = site.post("/v1/track", &[("content-encoding", "gzip")], cut);
    assert!(status == 400 && text.contains("gzip"), "{status} {text}");
    site.lives();
    if let (Some(before), Some(after)) = (before, site.service.running.peak()) {
        assert!(after < before + 40, "{before} → {after} MiB");
    }
}

#[test]
fn a_body_without_end_is_cut_off_with_flat_memory() {
    let site = Site::open("");
    let before = site.service.running.peak();
    let mut stream = TcpStream::connect(site.service.url.trim_start_matches("http://")).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.set_write_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(b"POST /v1/batch HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n").unwrap();
    let chunk = [b"10000\r\n".to_vec(), vec![b' '; 0x10000], b"\r\n".to_vec()].concat();
    let mut written = 0;
    while written < 256 << 20 && stream.write_all(&chunk).is_ok() {
        written += chunk.len();
    }
    assert!(written < 64 << 20, "{written} bytes were taken");
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 4"), "{}", String::from_utf8_lossy(&answer));
    site.lives();
    if let (Some(before), Some(after)) = (before, site.service.running.peak()) {
        assert!(after < before + 40, "{before} → {after} MiB");
    }
}

#[test]
fn a_body_that_is_cut_is_nothing() {
    let site = Site::open("");
    for _ in 0..20 {
        let mut stream = TcpStream::connect(site.service.url.trim_start_matches("http://")).unwrap();
        stream.write_all(b"POST /v1/track HTTP/1.1\r\nhost: h\r\ncontent-length: 1000\r\n\r\n{\"writeKey\":\"wk\",\"event\":").unwrap();
    }
    site.lives();
    assert_eq!(site.house.books("site")[&("delivery".to_owned(), "normalised".to_owned())], 1);
}

/// Slow requests that never end hold up neither the others nor the end of the service.
#[test]
fn slow_requests_hold_up_nobody() {
    let site = Site::open("");
    let slow: Vec<TcpStream> = (0..50)
        .map(|_| {
            let mut stream = TcpStream::connect(site.service.url.trim_start_matches("http://")).unwrap();
            stream.write_all(b"POST /v1/track HTTP/1.1\r\nhost: h\r\ncontent-length: 1000\r\n\r\n{").unwrap();
            stream
        })
        .collect();
    site.lives();
    let Site { service, .. } = site;
    let done = service.running.stop();
    assert_eq!(done.code, Some(0), "{done:?}");
    drop(slow);
}
