//! When sources run: at once if new, once for all that was missed, one run at a time, not while paused, and all of that over
//! restarts.

use std::{path::Path, sync::Arc, time::Duration};

use headwater::{
    config::Config,
    service::{Service, Socket},
    sync::{Silent, schedule::Schedule},
};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use tokio::task::JoinHandle;

use crate::vendor::{Reply, Vendor};

/// A vendor that has one account and nothing in it.
async fn vendor() -> Vendor {
    let vendor = Vendor::start().await;
    vendor.hook(|ask, _| Some(quiet(&ask.path)));
    vendor
}

fn quiet(path: &str) -> Reply {
    Reply::ok(match path {
        "v1/account" => json!({ "id": "acct_1", "object": "account", "email": "a@example.com" }),
        _ => json!({ "object": "list", "data": [], "has_more": false }),
    })
}

async fn open(folder: &Path, vendor: &Vendor, more: &str) -> Arc<Service> {
    let text = format!(
        r#"
        data_dir = {data:?}
        key_file = {key:?}
        [receive]
        listen = "127.0.0.1:0"
        [[source]]
        name = "shop"
        connector = "stripe"
        {schedule}
        collections = ["coupons"]
        base_url = "{url}"
        settings = {{ api_key = "sk_test_1" }}
        {more}
        "#,
        schedule = if more.contains("schedule") { "" } else { "schedule = \"every 1h\"" },
        data = folder.join("data"),
        key = folder.join("key"),
        url = vendor.url,
    );
    let config = Config::parse(&text, &|_| None).expect("a configuration");
    Arc::new(Service::open(config).await.expect("a service"))
}

fn start(service: &Arc<Service>) -> JoinHandle<()> {
    let service = service.clone();
    let socket = Socket::open(service.config.receive.listen, None).expect("a free port");
    tokio::spawn(async move { service.run(&socket, |_| ()).await.expect("a run") })
}

async fn end(service: Arc<Service>, running: JoinHandle<()>) {
    service.stop();
    running.await.expect("an end");
    drop(service);
}

async fn runs(service: &Service) -> Vec<String> {
    service.state.runs(Some("shop"), 100).await.expect("runs").into_iter().map(|run| run.ending).collect()
}

/// Waits until there are so many runs; then a while longer, in which there may be no further one.
async fn exactly(service: &Service, count: usize) {
    for _ in 0..200 {
        if runs(service).await.len() >= count {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert_eq!(runs(service).await.len(), count);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_source_runs_at_once_and_what_was_missed_is_caught_up_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let vendor = vendor().await;
    let service = open(folder.path(), &vendor, "").await;
    let running = start(&service);
    exactly(&service, 1).await;
    end(service, running).await;

    // Nothing has been missed: a restart runs nothing.
    let service = open(folder.path(), &vendor, "").await;
    let running = start(&service);
    exactly(&service, 1).await;
    end(service, running).await;

    // Five hours were missed: one run stands for all of them, over another restart too.
    let service = open(folder.path(), &vendor, "").await;
    let now = Timestamp::now();
    service.state.set_fired("shop", now - SignedDuration::from_hours(5)).await.expect("state");
    let running = start(&service);
    exactly(&service, 2).await;
    let fired = service.state.fired("shop").await.expect("state").expect("a moment");
    let schedule = Schedule::parse("every 1h", None, None).expect("a schedule");
    assert!(schedule.due(fired, now).is_none() && fired <= now, "{fired} stands for all up to {now}");
    end(service, running).await;
    let service = open(folder.path(), &vendor, "").await;
    let running = start(&service);
    exactly(&service, 2).await;
    end(service, running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_runs_of_one_source_never_overlap() {
    let folder = tempfile::tempdir().expect("a folder");
    let vendor = vendor().await;
    vendor.hook(|ask, state| {
        state.delay = Duration::from_millis(if ask.path == "v1/coupons" { 4000 } else { 0 });
        Some(quiet(&ask.path))
    });
    // It is due again while it runs, every second, and a user asks for it besides.
    let service = open(folder.path(), &vendor, "schedule = \"* * * * * *\"").await;
    let running = start(&service);
    while vendor.asked("v1/coupons").is_empty() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let job = service.job(service.source("shop").expect("a source")).await.expect("a job");
    let error = service.sync(job, Arc::new(Silent)).await.expect_err("it runs already");
    assert!(error.message().contains("being synced already"), "{error}");
    tokio::time::sleep(Duration::from_millis(2200)).await;
    assert!(vendor.asked("v1/coupons").is_empty(), "a second run began beside the first");
    // However often it was due meanwhile, it was so once; and now it is again.
    while runs(&service).await.len() < 2 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(runs(&service).await, ["success", "success"]);
    // Nor from another process.
    let text =
        format!("data_dir = {:?}\nkey_file = {:?}", folder.path().join("data"), folder.path().join("key"));
    let config = Config::parse(&text, &|_| None).expect("a configuration");
    let error = Service::open(config).await.err().expect("it is locked");
    assert!(error.message().contains("in use by another headwater"), "{error}");
    end(service, running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_source_is_not_run_again_before_its_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let vendor = vendor().await;
    vendor.hook(|ask, _| {
        Some(match ask.path.as_str() {
            "v1/coupons" => Reply { headers: vec![("retry-after", "3600".into())], ..Reply::status(429) },
            path => quiet(path),
        })
    });
    let service = open(folder.path(), &vendor, "").await;
    let running = start(&service);
    exactly(&service, 1).await;
    assert_eq!(runs(&service).await, ["paused"]);
    let until = service.state.paused().await.expect("state")["shop"];
    assert!(until > Timestamp::now() + SignedDuration::from_mins(50), "{until}");
    // A restart does not end the pause, though moments have been missed.
    service.state.set_fired("shop", Timestamp::now() - SignedDuration::from_hours(5)).await.expect("state");
    end(service, running).await;
    let service = open(folder.path(), &vendor, "").await;
    let running = start(&service);
    exactly(&service, 1).await;
    end(service, running).await;
    // When the allotment comes back it goes on.
    vendor.hook(|ask, _| Some(quiet(&ask.path)));
    let service = open(folder.path(), &vendor, "").await;
    service.state.set_paused("shop", Some(Timestamp::now())).await.expect("state");
    let running = start(&service);
    exactly(&service, 2).await;
    assert_eq!(runs(&service).await, ["success", "paused"]);
    assert!(service.state.paused().await.expect("state").is_empty());
    end(service, running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_is_switched_off_does_not_run() {
    let folder = tempfile::tempdir().expect("a folder");
    let vendor = vendor().await;
    let service = open(folder.path(), &vendor, "enabled = false").await;
    let running = start(&service);
    exactly(&service, 0).await;
    end(service, running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_in_the_midst_of_a_run_waits_for_a_pages_end_and_no_longer() {
    let folder = tempfile::tempdir().expect("a folder");
    let vendor = vendor().await;
    vendor.hook(|ask, state| {
        state.delay = Duration::from_millis(if ask.path == "v1/coupons" { 20_000 } else { 0 });
        Some(quiet(&ask.path))
    });
    let service = open(folder.path(), &vendor, "").await;
    let running = start(&service);
    while vendor.asked("v1/coupons").is_empty() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let began = std::time::Instant::now();
    let state = service.state.clone();
    end(service, running).await;
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    let ended: Vec<String> =
        state.runs(Some("shop"), 9).await.expect("runs").into_iter().map(|run| run.ending).collect();
    assert_eq!(ended, ["stopped"]);
}
