//! What is asked again, how often, and what then is said.

use std::time::{Duration, Instant};

use headwater_core::{
    auth::Auth,
    error::{Error, Kind},
    http::{Api, Client, Options},
    object::Request,
};

use crate::{
    VENDOR, plain, quick,
    server::{Server, reply},
};

#[tokio::test]
async fn what_passes_is_asked_again() {
    let server = Server::script(vec![
        reply(500, "{}"),
        reply(503, "{}").with("retry-after", "0"),
        reply(429, "{}").with("retry-after", "0"),
        reply(408, "{}"),
        reply(200, r#"{"whole":true}"#).cut(),
        reply(200, r#"{"whole":true}"#),
    ])
    .await;
    let answer = plain(&server).send(Request::post("/search", "{\"q\":1}")).await.unwrap();
    assert_eq!(answer.body, r#"{"whole":true}"#);
    let asked = server.asked();
    assert_eq!(asked.len(), 6);
    for one in asked {
        assert_eq!(
            (one.method.as_str(), one.target.as_str(), one.body.as_str()),
            ("POST", "/search", "{\"q\":1}")
        );
        assert_eq!(one.header("content-type"), Some("application/json"));
        assert!(one.header("user-agent").unwrap().starts_with("headwater/"));
    }
}

#[tokio::test]
async fn what_does_not_pass_is_not_asked_again() {
    for (status, kind) in
        [(400, Kind::Unexpected), (401, Kind::Auth), (403, Kind::Forbidden), (410, Kind::Expired)]
    {
        let server = Server::script(vec![reply(status, r#"{"error":{"message":"that is so"}}"#)]).await;
        let error = plain(&server).send(Request::get("/a").query("key", "hidden")).await.unwrap_err();
        assert_eq!((error.kind(), error.status(), server.asked().len()), (kind, Some(status), 1));
        let text = error.to_string();
        assert!(text.starts_with(&format!("GET api.vendor.example/a: {status} ")), "{text}");
        assert!(text.ends_with(": that is so") && !text.contains("hidden"), "{text}");
    }
}

#[tokio::test]
async fn patience_ends() {
    let server = Server::script(vec![reply(502, "bad gateway")]).await;
    let client =
        Client::new(Api::new(VENDOR, Auth::None), Options { max_attempts: 3, ..quick(&server) }).unwrap();
    let error = client.send(Request::get("/a")).await.unwrap_err();
    assert_eq!((error.kind(), server.asked().len()), (Kind::Transient, 3));
    assert_eq!(error.to_string(), "attempt 3 of 3: GET api.vendor.example/a: 502 Bad Gateway: bad gateway");
}

#[tokio::test]
async fn retry_after_is_waited_for() {
    let server = Server::script(vec![reply(503, "").with("retry-after", "1"), reply(200, "{}")]).await;
    let began = Instant::now();
    plain(&server).send(Request::get("/a")).await.unwrap();
    assert!(began.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn a_slow_answer_is_not_waited_for() {
    let server = Server::script(vec![reply(200, "{}").after(Duration::from_secs(30))]).await;
    let options = Options {
        attempt_timeout: Duration::from_millis(150),
        deadline: Duration::from_millis(400),
        max_attempts: 100,
        ..quick(&server)
    };
    let client = Client::new(Api::new(VENDOR, Auth::None), options).unwrap();
    let began = Instant::now();
    let error = client.send(Request::get("/a")).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Transient);
    assert!(error.message().contains("no answer within"), "{error}");
    assert!((2..=4).contains(&server.asked().len()), "{}", server.asked().len());
    assert!(began.elapsed() < Duration::from_millis(1000), "{:?}", began.elapsed());
}

#[tokio::test]
async fn nobody_listens() {
    let server = Server::script(vec![reply(200, "")]).await;
    let options = Options { max_attempts: 2, ..quick(&server) };
    drop(server);
    tokio::time::sleep(Duration::from_millis(20)).await;
    let client = Client::new(Api::new(VENDOR, Auth::None), options).unwrap();
    let error = client.send(Request::get("/a")).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Transient);
    assert!(error.message().starts_with("no connection: "), "{error}");
}

#[tokio::test]
async fn a_long_pause_is_the_runs_not_the_requests() {
    let server = Server::script(vec![reply(429, "").with("retry-after", "3600")]).await;
    let client = plain(&server);
    for _ in 0..2 {
        let error = client.send(Request::get("/a")).await.unwrap_err();
        let wait = error.until().unwrap().duration_since(jiff::Timestamp::now()).as_secs();
        assert_eq!(error.kind(), Kind::RateLimited);
        assert!((3590..=3600).contains(&wait), "{wait}");
    }
    assert_eq!(server.asked().len(), 1, "the second request knew it already");
}

#[tokio::test]
async fn an_errors_own_end_is_returned_at_once() {
    let server = Server::script(vec![reply(200, r#"{"error":"daily limit"}"#)]).await;
    let api = Api::new(VENDOR, Auth::None).judge(|answer| {
        let until = jiff::Timestamp::MAX;
        (answer.body.starts_with(b"{\"error\""))
            .then(|| Error::new(Kind::RateLimited, "spent").paused_until(until))
    });
    let client = Client::new(api, quick(&server)).unwrap();
    let error = client.send(Request::get("/a")).await.unwrap_err();
    assert_eq!((error.until(), error.status()), (Some(jiff::Timestamp::MAX), Some(200)));
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn a_failure_inside_a_200_is_judged_and_asked_again() {
    let server = Server::script(vec![reply(200, r#"{"ok":false}"#), reply(200, r#"{"ok":true}"#)]).await;
    let api = Api::new(VENDOR, Auth::None)
        .judge(|answer| (&*answer.body == b"{\"ok\":false}").then(|| Error::transient("the vendor says so")));
    let answer = Client::new(api, quick(&server)).unwrap().send(Request::get("/a")).await.unwrap();
    assert_eq!((&*answer.body, server.asked().len()), (&b"{\"ok\":true}"[..], 2));
}

#[tokio::test]
async fn a_login_page_is_named() {
    let page = reply(200, "<html><title>Sign in</title>").with("content-type", "text/html");
    let server = Server::script(vec![page]).await;
    let error = plain(&server).send(Request::get("/a")).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unexpected);
    assert!(error.message().contains("login page answered"), "{error}");
    assert!(plain(&server).send(Request::get("/a").header("accept", "text/html")).await.is_ok());
}
