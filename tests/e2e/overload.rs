//! Too much at once: more connections, slower senders and larger bodies than there is room for. Who has no room is told so, memory stays
//! where it was, and usual calls go through.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    disk::Disk,
    house::{House, until},
    received::Site,
    stall::Stall,
};

/// More memory than this, in MiB, would not be bounded by what is configured.
const PEAK: u64 = 350;

fn site(receive: &str) -> Site {
    let house = House::empty();
    house.configure(&format!(
        "[receive]\nlisten = \"127.0.0.1:0\"\n{receive}\n[[source]]\nname = \"site\"\nconnector = \"segment\"\nwrite_key = \"wk\"\n\
         [[source]]\nname = \"mail\"\nconnector = \"klaviyo\"\nsettings = {{ secret_key = \"s3cret-of-mail\" }}\n"
    ));
    Site::at(house)
}

fn address(site: &Site) -> SocketAddr {
    site.service.url.strip_prefix("http://").unwrap().parse().unwrap()
}

/// Begins a request with a body of so many bytes, and sends so many of them.
fn begin(address: SocketAddr, path: &str, length: usize, sent: usize) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(40)))?;
    stream.set_write_timeout(Some(Duration::from_secs(2)))?;
    write!(stream, "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n")?;
    // It may have been turned away in the midst of it.
    let _ = stream.write_all(&vec![b' '; sent]);
    Ok(stream)
}

/// The status and head of what comes next on a connection; none if it is closed without a word.
fn answer(stream: &mut TcpStream) -> Option<(u16, String)> {
    let mut text = String::new();
    let mut bytes = [0; 4096];
    while !text.contains("\r\n\r\n") {
        match stream.read(&mut bytes) {
            Ok(read @ 1..) => text.push_str(&String::from_utf8_lossy(&bytes[..read])),
            _ => return None,
        }
    }
    let status = text.split(' ').nth(1)?.parse().ok()?;
    Some((status, text.to_ascii_lowercase()))
}

#[test]
fn slow_large_bodies_are_shed_and_memory_stays_bounded() {
    let site = site("");
    site.lives();
    let (address, path) = (address(&site), site.house.webhook("mail"));
    let before = site.service.running.peak();
    // 2,000 connections that promise 8 MiB each, send a part of it, and keep still: 1.6 GB in all.
    let senders: Vec<_> = (0..8)
        .map(|_| {
            let path = path.clone();
            std::thread::spawn(move || {
                (0..250).filter_map(|_| begin(address, &path, 8 << 20, 800 << 10).ok()).collect::<Vec<_>>()
            })
        })
        .collect();
    // Usual calls go through all the while, and nobody waits for the slow ones.
    let mut slowest = Duration::ZERO;
    while senders.iter().any(|sender| !sender.is_finished()) {
        let began = Instant::now();
        site.lives();
        slowest = slowest.max(began.elapsed());
    }
    let mut open: Vec<TcpStream> =
        senders.into_iter().flat_map(|sender| sender.join().expect("a sender ends")).collect();
    assert!(open.len() >= 1_900, "{} connections", open.len());
    site.lives();
    // What is not wanted is read a while longer, so that its sender sees the answer.
    std::thread::sleep(Duration::from_secs(6));
    let mut shed = 0u64;
    for stream in &mut open {
        stream.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        if let Some((status, head)) = answer(stream) {
            // Those that had room kept still for too long.
            assert!(status == 503 || status == 400, "{head}");
            assert!(status == 400 || head.contains("retry-after: 5"), "{head}");
            shed += u64::from(status == 503);
        }
    }
    let peak = site.service.running.peak();
    eprintln!(
        "{} slow connections, {shed} told to come again; a call took {slowest:?} at most; peak {before:?} → {peak:?} MiB",
        open.len()
    );
    assert!(shed > 1_000, "{shed} of {} were told to come again", open.len());
    if let Some(peak) = peak {
        assert!(peak < PEAK, "{peak} MiB");
    }
}

/// A batch of a hundred calls in 400 KB, none of them in another one; the first one's id.
fn large_batch(number: usize) -> (String, String) {
    let id = |call: usize| format!("batch-{number}-{call}");
    let text = "x".repeat(3_900);
    let calls: Vec<Value> = (0..100)
        .map(|call| {
            json!({ "type": "track", "event": "E", "userId": "u", "messageId": id(call), "properties": { "text": text } })
        })
        .collect();
    (id(0), json!({ "writeKey": "wk", "batch": calls }).to_string())
}

#[test]
fn a_disk_that_stalls_makes_senders_wait_or_come_again_and_memory_stays_bounded() {
    let mut house = House::new("[[source]]\nname = \"site\"\nconnector = \"segment\"\nwrite_key = \"wk\"\n");
    let disk = Stall::prepare(&mut house);
    let site = Site::at(house);
    site.lives();
    let (address, before) = (address(&site), site.service.running.peak());
    disk.begin();
    // 480 MB in all: many times what may wait for the disk.
    let senders: Vec<_> = (0..8)
        .map(|thread| {
            let send = move |number| {
                let (id, body) = large_batch(number);
                let mut stream = begin(address, "/v1/batch", body.len(), 0).ok()?;
                // It may have been turned away in the midst of it.
                let _ = stream.write_all(body.as_bytes());
                Some((id, stream))
            };
            std::thread::spawn(move || (0..150).filter_map(|n| send(thread * 150 + n)).collect::<Vec<_>>())
        })
        .collect();
    let open: Vec<_> = senders.into_iter().flat_map(|sender| sender.join().expect("a sender ends")).collect();
    assert!(open.len() > 1_100, "{} connections", open.len());
    let peak = site.service.running.peak();
    for (id, stream) in &open {
        stream.set_nonblocking(true).unwrap();
        let mut start = [0; 12];
        let answered = stream.peek(&mut start).is_ok() && start == *b"HTTP/1.1 200";
        assert!(!answered, "{id} is said to be taken, and is not on the disk");
        stream.set_nonblocking(false).unwrap();
    }
    disk.end();
    let (mut taken, mut shed) = (Vec::new(), 0);
    for (id, mut stream) in open {
        match answer(&mut stream) {
            Some((200, _)) => taken.push(id),
            Some((503, head)) => {
                assert!(head.contains("retry-after: "), "{head}");
                shed += 1;
            }
            // Turned away while its body was under way.
            None => shed += 1,
            Some((status, head)) => panic!("{status}: {head}"),
        }
    }
    eprintln!(
        "{} batches were taken, {shed} told to come again; peak {before:?} → {peak:?} MiB",
        taken.len()
    );
    assert!(taken.len() > 20 && shed > 500, "{} were taken, {shed} told to come again", taken.len());
    if let Some(peak) = peak {
        assert!(peak < PEAK, "{peak} MiB");
    }
    site.lives();
    until("what was taken is there", || {
        let first = "SELECT count(*) FROM tracks WHERE id GLOB 'batch-*-0'";
        site.house.number("site", first) >= taken.len() as i64
    });
    for id in taken {
        assert_eq!(site.tracks(&id), 1, "{id} was taken");
    }
    site.house.balances();
}

#[test]
fn beyond_the_most_connections_a_client_is_told_so() {
    let site = site("max_connections = 40");
    let address = address(&site);
    let idle: Vec<TcpStream> = (0..40).map(|_| TcpStream::connect(address).unwrap()).collect();
    let told = || {
        let body = r#"{"writeKey":"wk","event":"E","userId":"u","messageId":"late"}"#;
        let mut stream = begin(address, "/v1/track", body.len(), 0).unwrap();
        stream.write_all(body.as_bytes()).unwrap();
        answer(&mut stream)
    };
    until("the connections are taken", || told().is_some_and(|(status, _)| status == 503));
    let (_, head) = told().unwrap();
    assert!(head.contains("retry-after: 5") && head.contains("connection: close"), "{head}");
    drop(idle);
    until("there is room again", || told().is_some_and(|(status, _)| status == 200));
    site.arrives("late");
}

#[test]
fn a_head_that_comes_byte_by_byte_is_cut_and_an_idle_connection_is_not() {
    let site = site("");
    let mut idle = TcpStream::connect(address(&site)).unwrap();
    let mut slow = TcpStream::connect(address(&site)).unwrap();
    slow.set_read_timeout(Some(Duration::from_millis(10))).unwrap();
    let began = Instant::now();
    let cut = loop {
        let _ = slow.write_all(b"X");
        match slow.read(&mut [0; 10]) {
            Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock) => {}
            _ => break began.elapsed(),
        }
        assert!(began.elapsed() < Duration::from_secs(30), "a head may take for ever");
        std::thread::sleep(Duration::from_millis(200));
    };
    assert!(cut > Duration::from_secs(8), "{cut:?}");
    idle.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    write!(idle, "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    assert_eq!(answer(&mut idle).unwrap().0, 200, "an idle one is kept");
}

fn ready(site: &Site) -> (u16, Value) {
    let mut stream = TcpStream::connect(address(site)).unwrap();
    write!(stream, "GET /readyz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), serde_json::from_str(body).unwrap())
}

#[test]
fn readiness_tells_how_far_the_warehouse_is_behind_and_recovers() {
    let site = site("max_lag = \"2s\"");
    site.lives();
    assert_eq!(ready(&site), (200, json!({ "success": true })));
    // Somebody holds the warehouse: what is received waits.
    let held = rusqlite::Connection::open(site.house.path("headwater-data/warehouse/site.db")).unwrap();
    held.execute_batch("PRAGMA busy_timeout = 10000; BEGIN IMMEDIATE").unwrap();
    let (status, text) = site.call("/v1/track", json!({ "event": "E", "userId": "u", "messageId": "waits" }));
    assert_eq!(status, 200, "{text}");
    until("it is not ready", || ready(&site).0 == 503);
    let (_, body) = ready(&site);
    assert_eq!(body["reasons"][0]["reason"], "loading_behind", "{body}");
    assert!(body["reasons"][0]["seconds"].as_u64() >= Some(2) && body["success"] == false, "{body}");
    assert!(body["message"].as_str().unwrap().contains("receive.max_lag (2 s)"), "{body}");
    held.execute_batch("ROLLBACK").unwrap();
    site.arrives("waits");
    until("it is ready again", || ready(&site).0 == 200);
}

#[test]
fn readiness_tells_that_the_disk_is_nearly_full_before_anything_is_refused() {
    let house = House::new("[[source]]\nname = \"site\"\nconnector = \"segment\"\nwrite_key = \"wk\"\n");
    let disk = match Disk::mount(300) {
        Ok(disk) => disk,
        Err(why) => {
            eprintln!("SKIPPED: a full disk needs a small tmpfs, which only root may mount here: {why}");
            return;
        }
    };
    std::fs::create_dir(house.path("headwater-data")).unwrap();
    std::os::unix::fs::symlink(disk.path(), house.path("headwater-data/inbox")).unwrap();
    let site = Site::at(house);
    assert_eq!(ready(&site).0, 200);
    let filler = disk.path().join("filler");
    std::fs::write(&filler, vec![0; 100 << 20]).unwrap();
    until("it is not ready", || ready(&site).0 == 503);
    let (_, body) = ready(&site);
    assert_eq!(body["reasons"][0]["reason"], "disk_full", "{body}");
    site.lives();
    std::fs::remove_file(&filler).unwrap();
    until("it is ready again", || ready(&site).0 == 200);
}
