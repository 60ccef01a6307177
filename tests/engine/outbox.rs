//! An outbox on a calls log with small segments: what a dead destination holds of it is bounded, whatever happens its counts balance,
//! and what it is offered is read from where it stands.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{Router, http::StatusCode, routing::post};
use bytes::Bytes;
use headwater::{
    config::DestinationSettings,
    destinations::Desk,
    inbox::{DiskFiles, Keep, Log, Options},
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::watch, task::JoinSet};

/// A calls log with segments of 32 KiB that keeps two of them once nobody needs more.
async fn log(folder: &Path) -> Arc<Log> {
    let keep = Keep { bytes: 64 << 10, age: Duration::MAX };
    let options = Options { segment: 32 << 10, keep, ..Options::default() };
    Arc::new(Log::open(Arc::new(DiskFiles), folder.join("calls"), options).await.expect("a log"))
}

/// Appends calls of about a kilobyte, from this number on; every tenth frame is a change to an object.
async fn append(log: &Log, from: u64, count: u64) {
    let frames: Vec<Bytes> = (from..from + count).map(frame).collect();
    for some in frames.chunks(20) {
        log.append_many(some.to_vec()).await.expect("they are kept");
    }
    // The loader, which is done with everything.
    log.pin("warehouse", log.committed() + 1);
    log.release(log.committed()).await.expect("released");
}

fn frame(n: u64) -> Bytes {
    let change = if n % 10 == 9 { r#","c":"customers","o":"upsert""# } else { "" };
    let call = json!({
        "type": "track", "event": "E", "userId": format!("u{}", n % 7), "messageId": format!("m{n}"),
        "receivedAt": jiff::Timestamp::now().to_string(), "properties": { "x": "y".repeat(900) },
    });
    format!("{{\"s\":\"app\",\"x\":\"app\",\"d\":\"{n}:0\"{change}}}\n{call}").into()
}

fn settings(name: &str, url: &str, more: Value) -> DestinationSettings {
    let mut settings = json!({
        "name": name, "type": "webhook", "url": url, "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "allow_private": true,
    });
    settings.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    serde_json::from_value(settings).expect("settings")
}

/// A server that counts what it takes.
async fn taker() -> (String, Arc<AtomicU64>) {
    let count = Arc::new(AtomicU64::new(0));
    let counted = count.clone();
    let router = Router::new().route(
        "/",
        post(move || async move {
            counted.fetch_add(1, Ordering::SeqCst);
            StatusCode::OK
        }),
    );
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}/", listener.local_addr().expect("an address"));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, count)
}

/// What a destination delivered, what expired, and what were changes to objects; all of it balances.
async fn outcomes(desk: &Desk, name: &str, calls: &Log) -> [u64; 3] {
    let lines = desk.lines(|| calls.committed()).await.expect("lines");
    let line = lines.iter().find(|line| line.of == format!("destination {name}")).expect("it has begun");
    assert_eq!(line.off(), 0, "{line:?}");
    ["delivered", "expired", "changes to objects"].map(|part| line.parts[part])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_destination_holds_no_more_of_the_log_than_it_may_and_a_live_one_beside_it_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let calls = log(folder.path()).await;
    let (url, taken) = taker().await;
    let all = [
        settings("live", &url, json!({})),
        settings("dead", "http://127.0.0.1:9/", json!({ "retain_bytes": 256 << 10 })),
    ];
    let desk = Desk::open(folder.path(), &all).expect("a desk");
    let (eligible, reads) = watch::channel(0);
    let (stop, stopping) = watch::channel(false);
    let mut tasks = JoinSet::new();
    for outbox in desk.attach(&calls, *reads.borrow()).await.expect("outboxes") {
        tasks.spawn(outbox.run(reads.clone(), stopping.clone()));
    }
    let mut largest = 0;
    for round in 0..20 {
        append(&calls, round * 200, 200).await;
        eligible.send_replace(calls.committed());
        for name in ["live", "dead"] {
            outcomes(&desk, name, &calls).await;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        largest = largest.max(calls.stats().bytes);
    }
    for _ in 0..600 {
        if taken.load(Ordering::SeqCst) >= 3_600 && outcomes(&desk, "dead", &calls).await[1] > 3_000 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // What comes next lets go of what has expired by now.
    append(&calls, 4_000, 1).await;
    eligible.send_replace(calls.committed());
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    append(&calls, 4_001, 1).await;
    let [delivered, expired, _] = outcomes(&desk, "live", &calls).await;
    assert!(delivered >= 3_600 && expired == 0, "{delivered} {expired}");
    let [delivered, expired, changes] = outcomes(&desk, "dead", &calls).await;
    assert!(delivered == 0 && expired > 3_000 && changes > 300, "{delivered} {expired} {changes}");
    let bytes = calls.stats().bytes;
    assert!(bytes < 420 << 10, "{} KiB of the log are kept", bytes >> 10);
    eprintln!("4 MB of calls: at most {} KiB were kept, {} KiB at the end", largest >> 10, bytes >> 10);
    stop.send_replace(true);
    while tasks.join_next().await.is_some() {}
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_are_gone_when_a_destination_comes_to_them_are_counted() {
    let folder = tempfile::tempdir().expect("a folder");
    let (url, taken) = taker().await;
    let settings = [settings("late", &url, json!({ "from": "beginning" }))];
    let calls = log(folder.path()).await;
    append(&calls, 0, 20).await;
    let (_eligible, reads) = watch::channel(20);
    let desk = Desk::open(folder.path(), &settings).expect("a desk");
    // It begins, but nobody runs it; meanwhile the log goes on without its pin.
    drop(desk.attach(&calls, *reads.borrow()).await.expect("outboxes"));
    calls.unpin("destination late");
    append(&calls, 20, 400).await;
    let first = calls.stats().first;
    assert!(first > 20, "the log has let go of what it was offered");
    let (_eligible, reads) = watch::channel(calls.committed());
    let (stop, stopping) = watch::channel(false);
    let mut outboxes = desk.attach(&calls, *reads.borrow()).await.expect("outboxes");
    let running = tokio::spawn(outboxes.remove(0).run(reads.clone(), stopping));
    for _ in 0..600 {
        let [delivered, expired, changes] = outcomes(&desk, "late", &calls).await;
        if delivered + expired + changes == 420 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let [delivered, expired, changes] = outcomes(&desk, "late", &calls).await;
    assert_eq!((expired, delivered + changes), (first - 1, 420 - (first - 1)));
    assert_eq!(taken.load(Ordering::SeqCst), delivered);
    stop.send_replace(true);
    running.await.expect("an end");
}
