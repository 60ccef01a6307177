//! What only a token tells, and where requests carry it; what a spent limit means; for whom a client reads.

use std::{sync::Arc, time::Duration};

use headwater_core::{
    auth::{Auth, Carry, ClientAuth, Grant, OAuth, Secret},
    error::{Error, Kind},
    http::{Api, Client, Limit, MemoryLedger, Options},
    object::{Account, Request},
};
use serde_json::json;

use crate::{
    VENDOR, quick,
    server::{Server, reply},
};

fn oauth(carry: Carry) -> OAuth {
    OAuth {
        token_url: "https://login.vendor.example/token".into(),
        client_id: "the-app".into(),
        client_secret: Some(Secret::new("secret-of-the-app")),
        client_auth: ClientAuth::Json,
        grant: Grant::ClientCredentials,
        scopes: Vec::new(),
        extra: vec![("account_id".into(), "7".into())],
        carry,
    }
}

/// A vendor whose tokens are numbered, and hold what must not stand in XML as it is.
async fn vendor() -> Server {
    let tokens = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    Server::start(move |asked, _| {
        let answer = if asked.target == "/token" {
            let n = tokens.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            let url = format!("https://instance-{n}.vendor.example/");
            json!({"access_token": format!("access<&\"{n}"), "rest_url": url, "dc": format!("us{n}")})
                .to_string()
        } else if asked.body.contains("access&#60;&#38;&#34;0") {
            "<fault>the token has ended</fault>".to_owned()
        } else {
            "{}".to_owned()
        };
        std::future::ready(reply(200, answer))
    })
    .await
}

#[tokio::test]
async fn a_token_request_may_be_json() {
    let server = vendor().await;
    let client = Client::new(Api::new(VENDOR, Auth::OAuth(oauth(Carry::Bearer))), quick(&server)).unwrap();
    client.token().await.unwrap();
    let asked = &server.asked()[0];
    assert_eq!(asked.header("content-type"), Some("application/json"));
    assert_eq!(asked.header("authorization"), None);
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&asked.body).unwrap(),
        json!({"grant_type": "client_credentials", "client_id": "the-app", "client_secret": "secret-of-the-app",
               "account_id": "7"})
    );
}

#[tokio::test]
async fn a_token_is_carried_where_the_vendor_wants_it() {
    let server = vendor().await;
    let api = Api::new(VENDOR, Auth::OAuth(oauth(Carry::Body)))
        .host("bearer", "https://b.vendor.example", Auth::OAuth(oauth(Carry::Bearer)))
        .host("header", "https://h.vendor.example", Auth::OAuth(oauth(Carry::Header("x-token"))))
        .host("open", "https://o.vendor.example", Auth::None)
        .results(&["files.example"])
        .judge(|answer| answer.body.starts_with(b"<fault>").then(|| Error::auth("the token has ended")));
    let client = Client::new(api, quick(&server)).unwrap();
    let soap = Request::post("/soap", "<t>{token}</t>{other}").header("content-type", "text/xml");
    client.send(soap).await.unwrap();
    let posts = [
        Request::post("/json", r#"{"t":"{token}"}"#),
        Request::post("/form", "t={token}").header("content-type", "application/x-www-form-urlencoded"),
        Request::post("/bearer", "{token}").at("bearer"),
        Request::post("/header", "{token}").at("header"),
        Request::post("/open", "{token}").at("open"),
        Request::post("https://files.example/f", "{token}"),
    ];
    for request in posts {
        client.send(request).await.unwrap();
    }
    let asked = server.asked();
    let tokens = asked.iter().filter(|asked| asked.target == "/token").count();
    assert_eq!(tokens, 2, "hosts of one app share its token, and the fault renewed it once");
    let bodies: Vec<_> =
        asked.iter().filter(|asked| asked.target != "/token").map(|asked| asked.body.as_str()).collect();
    assert_eq!(
        bodies,
        [
            "<t>access&#60;&#38;&#34;0</t>{other}",
            "<t>access&#60;&#38;&#34;1</t>{other}",
            r#"{"t":"access<&\"1"}"#,
            "t=access%3C%26%221",
            "{token}",
            "{token}",
            "{token}",
            "{token}",
        ]
    );
    let carried = |path: &str, name: &str| {
        let asked = asked.iter().find(|asked| asked.target == path).unwrap();
        asked.header(name).map(str::to_owned)
    };
    assert_eq!(carried("/bearer", "authorization").as_deref(), Some("Bearer access<&\"1"));
    assert_eq!(carried("/header", "x-token").as_deref(), Some("access<&\"1"));
    for (path, name) in [
        ("/json", "authorization"),
        ("/header", "authorization"),
        ("/open", "authorization"),
        ("/f", "x-token"),
    ] {
        assert_eq!(carried(path, name), None, "{path} {name}");
    }
}

#[tokio::test]
async fn a_token_tells_where_a_host_is() {
    let server = vendor().await;
    let api = Api::new("{token.rest_url}", Auth::OAuth(oauth(Carry::Bearer)))
        .host("dc", "https://{token.dc}.vendor.example/v1", Auth::None)
        .host("fixed", "https://fixed.vendor.example", Auth::None);
    let client = Client::new(api, quick(&server)).unwrap();
    for request in [
        Request::get("/a"),
        Request::get("/b").at("dc"),
        Request::get("https://instance-0.vendor.example/c"),
        Request::get("https://us0.vendor.example/v1/d").at("fixed"),
    ] {
        client.send(request).await.unwrap();
    }
    let error = client.send(Request::get("https://instance-1.vendor.example/")).await.unwrap_err();
    assert!(error.message().contains("none of this API's hosts"), "{error}");
    let seen: Vec<_> = server
        .asked()
        .iter()
        .map(|asked| format!("{}{}", asked.header("x-headwater-host").unwrap(), asked.target))
        .collect();
    assert_eq!(
        seen,
        [
            "login.vendor.example/token",
            "instance-0.vendor.example/a",
            "us0.vendor.example/v1/b",
            "instance-0.vendor.example/c",
            "us0.vendor.example/v1/d",
        ]
    );
    let missing = Api::new("{token.nothing}", Auth::OAuth(oauth(Carry::Bearer)));
    let error = Client::new(missing, quick(&server)).unwrap().send(Request::get("/a")).await.unwrap_err();
    assert!(error.message().contains("has no nothing"), "{error}");
    let without = Client::new(Api::new("{token.rest_url}", Auth::None), quick(&server)).unwrap();
    assert_eq!(without.send(Request::get("/a")).await.unwrap_err().kind(), Kind::Config);
}

#[tokio::test]
async fn a_limit_that_an_answer_calls_spent_comes_back_when_it_says() {
    let server = Server::start(|asked, _| {
        std::future::ready(reply(200, if asked.target == "/bulk" { "spent" } else { "{}" }))
    })
    .await;
    let ledger = Arc::new(MemoryLedger::default());
    let client = || {
        let api = Api::new(VENDOR, Auth::None).limit(Limit::daily(u64::MAX, 0, "UTC").named("bulk")).judge(
            |answer| {
                let is_spent = answer.body.starts_with(b"spent");
                is_spent.then(|| Error::new(Kind::RateLimited, "no more today").spends("bulk"))
            },
        );
        Client::new(api, Options { ledger: ledger.clone(), ..quick(&server) }).unwrap()
    };
    let one = client();
    let error = one.send(Request::get("/bulk").limited("bulk")).await.unwrap_err();
    let until = error.until().expect("the declared limit knows");
    assert!(until > jiff::Timestamp::now() && until.as_second() % 86_400 == 0, "{until}");
    assert_eq!(error.limit(), Some("bulk"));
    // Nobody asks again before, this client or another; other requests go on.
    for client in [&one, &client()] {
        assert_eq!(
            client.send(Request::get("/bulk").limited("bulk")).await.unwrap_err().kind(),
            Kind::RateLimited
        );
        client.send(Request::get("/a")).await.unwrap();
    }
    assert_eq!(server.asked().iter().filter(|asked| asked.target == "/bulk").count(), 1);
}

#[tokio::test]
async fn an_error_keeps_all_but_the_secret() {
    let server = Server::script(vec![reply(200, "{}")]).await;
    let api = Api::new(VENDOR, Auth::Bearer(Secret::new("the-key-itself"))).judge(|_| {
        let error = Error::new(Kind::Forbidden, "the-key-itself may not").within("object", "the-key-itself");
        Some(error.spends("bulk").retry_after(Duration::from_secs(7)).with_status(418))
    });
    let error = Client::new(api, quick(&server)).unwrap().send(Request::get("/a")).await.unwrap_err();
    assert_eq!(error.to_string(), "GET api.vendor.example/a: object [secret]: [secret] may not");
    assert_eq!(
        (error.limit(), error.wait(), error.status()),
        (Some("bulk"), Some(Duration::from_secs(7)), Some(418))
    );
}

#[test]
fn a_client_knows_its_account() {
    let account = Account { id: "7".into(), title: "Acme".into(), extra: json!({"dc": "us1"}) };
    let options = Options { account: account.clone(), ..Options::default() };
    let client = Client::new(Api::new(VENDOR, Auth::None), options).unwrap();
    assert_eq!(*client.account(), account);
}
