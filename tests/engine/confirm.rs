//! What follows a handshake: the vendor is asked after it has had its answer, again while it fails, and never anywhere else than at its
//! own hosts; how that went is shown.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use headwater::{
    config::Config,
    service::{Service, Socket, control::Ask},
};
use headwater_tests::vendor::{Stand, answer};
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

/// A store without objects, and a topic that wants to be confirmed; the first questions of it fail.
fn store(failures: u64) -> Stand {
    let asked = Arc::new(AtomicU64::new(0));
    Stand::answering(move |path, query| match path {
        "/" if query.contains("Action=ConfirmSubscription") => {
            let status = if asked.fetch_add(1, Ordering::SeqCst) < failures { 503 } else { 200 };
            answer(status, "text/xml", "<ConfirmSubscriptionResponse/>")
        }
        "/the-bucket" => answer(
            200,
            "application/xml",
            "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>",
        ),
        _ => answer(404, "application/xml", "<Error><Code>NoSuchKey</Code></Error>"),
    })
}

/// Posts a topic's question to a running service; returns what `sources` says of its confirmation once it says something.
async fn subscribed(stand: &Stand, url: &str) -> Value {
    let folder = tempfile::tempdir().expect("a folder");
    let text = format!(
        r#"
        data_dir = {data:?}
        key_file = {key:?}
        [receive]
        listen = "127.0.0.1:0"
        [[source]]
        name = "files"
        connector = "amazon-s3"
        webhook_key = "the-key-of-the-hook"
        base_url = "{stand}"
        settings = {{ bucket = "the-bucket", region = "eu-central-1", access_key_id = "AKIAEXAMPLE", secret_access_key = "a-secret-key" }}
        "#,
        data = folder.path().join("data"),
        key = folder.path().join("key"),
        stand = stand.url,
    );
    let config = Config::parse(&text, &|_| None).expect("a configuration");
    let service = Arc::new(Service::open(config).await.expect("a service"));
    let socket = Socket::open(service.config.receive.listen, None).expect("a free port");
    let (ready, address) = oneshot::channel();
    let running = {
        let service = service.clone();
        tokio::spawn(async move {
            let tell = |address| ready.send(address).expect("somebody waits");
            service.run(&socket, tell).await.expect("a run");
        })
    };
    let address = address.await.expect("it listens");
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    let posted = http
        .post(format!("http://{address}/webhooks/files/the-key-of-the-hook"))
        .header("x-amz-sns-message-type", "SubscriptionConfirmation")
        .body(json!({ "Type": "SubscriptionConfirmation", "SubscribeURL": url }).to_string());
    assert_eq!(posted.send().await.expect("an answer").status(), 200);
    let mut found = Value::Null;
    for _ in 0..600 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let sources = service.answer(Ask::Sources, mpsc::channel(8).0).await.expect("sources");
        found = sources[0]["asked"].clone();
        if !found.is_null() {
            break;
        }
    }
    service.stop();
    running.await.expect("an end");
    found
}

/// The stand has a runtime of its own, which may not end within another.
fn waited<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(work)
}

#[test]
fn a_subscription_is_confirmed_although_the_vendor_fails_at_first() {
    let stand = store(2);
    let url = "https://sns.eu-central-1.amazonaws.com/?Action=ConfirmSubscription&TopicArn=arn%3Aaws%3Asns&Token=t0ken";
    let asked = waited(subscribed(&stand, url));
    assert_eq!((&asked["what"], &asked["error"]), (&json!("confirmation"), &Value::Null), "{asked}");
    let confirmations: Vec<String> =
        stand.asked().into_iter().filter(|asked| asked.contains("Token=t0ken")).collect();
    assert_eq!(confirmations.len(), 3, "{confirmations:?}");
}

#[test]
fn an_address_elsewhere_is_never_asked() {
    let stand = store(0);
    let asked = waited(subscribed(&stand, "https://169.254.169.254/?Action=ConfirmSubscription&Token=t0ken"));
    let error = asked["error"].as_str().unwrap_or_default();
    assert!(error.contains("none of this API's hosts"), "{asked}");
    assert!(!stand.asked().iter().any(|asked| asked.contains("Token")), "nothing was sent");
}
