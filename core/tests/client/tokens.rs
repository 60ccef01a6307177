//! OAuth tokens: renewed by one, stored before they are used, never lost, never shown.

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use futures::future::join_all;
use headwater_core::{
    auth::{Auth, Carry, ClientAuth, Grant, OAuth, Secret, Token, Turn, Turns, Vault},
    error::{Error, Kind, Result},
    http::{Api, Client, Options},
    object::Request,
};
use serde_json::{Value, json};

use crate::{
    VENDOR, quick,
    server::{Asked, Reply, Server, reply},
};

const TOKEN_URL: &str = "https://login.vendor.example/oauth/token";

fn oauth(grant: Grant) -> OAuth {
    OAuth {
        token_url: TOKEN_URL.into(),
        client_id: "the-app".into(),
        client_secret: Some(Secret::new("secret-of-the-app")),
        client_auth: ClientAuth::Body,
        grant,
        scopes: Vec::new(),
        extra: Vec::new(),
        carry: Carry::Bearer,
    }
}

fn refreshing() -> OAuth {
    oauth(Grant::RefreshToken(Secret::new("refresh-0")))
}

fn client(server: &Server, oauth: OAuth, vault: Option<Arc<Shelf>>) -> Client {
    let vault = vault.map(|shelf| shelf as Arc<dyn Vault>);
    Client::new(Api::new(VENDOR, Auth::OAuth(oauth)), Options { vault, ..quick(server) }).unwrap()
}

/// A vault in memory, slow like a disk.
#[derive(Default)]
struct Shelf {
    turns: Turns,
    token: Mutex<Option<Token>>,
    broken: AtomicBool,
}

#[async_trait]
impl Vault for Shelf {
    async fn load(&self, key: &str) -> Result<Option<Token>> {
        assert!(key == "acme" || key.starts_with("consent "), "{key}");
        Ok(self.token.lock().unwrap().clone())
    }
    async fn store(&self, _: &str, token: &Token) -> Result<()> {
        tokio::time::sleep(Duration::from_millis(20)).await;
        if self.broken.load(Ordering::SeqCst) {
            return Err(Error::transient("the disk is full"));
        }
        *self.token.lock().unwrap() = Some(token.clone());
        Ok(())
    }
    async fn turn(&self, key: &str) -> Turn {
        self.turns.wait(key).await
    }
}

/// A vendor that gives each refresh token once, and ends everything when one comes again.
struct Rotating {
    shelf: Arc<Shelf>,
    renewals: AtomicUsize,
    spent: Mutex<HashSet<String>>,
    /// The access token that it takes.
    good: Mutex<String>,
    /// One that was used before it was stored.
    early: AtomicBool,
    slow: Duration,
}

impl Rotating {
    fn new(shelf: &Arc<Shelf>, slow: Duration) -> Arc<Self> {
        Arc::new(Self {
            shelf: Arc::clone(shelf),
            renewals: AtomicUsize::new(0),
            spent: Mutex::default(),
            good: Mutex::new("none yet".into()),
            early: AtomicBool::new(false),
            slow,
        })
    }

    fn answer(&self, asked: &Asked) -> Reply {
        if asked.target == "/oauth/token" {
            let refresh = asked.field("refresh_token").unwrap_or_default();
            let expected = format!("refresh-{}", self.renewals.load(Ordering::SeqCst));
            if refresh != expected || !self.spent.lock().unwrap().insert(refresh) {
                *self.good.lock().unwrap() = "ended".into();
                return reply(400, r#"{"error":"invalid_grant","error_description":"token reuse"}"#);
            }
            let n = self.renewals.fetch_add(1, Ordering::SeqCst) + 1;
            *self.good.lock().unwrap() = format!("access-{n}");
            let token = json!({ "access_token": format!("access-{n}"), "refresh_token": format!("refresh-{n}"),
                "expires_in": 3600, "instance_url": "https://eu1.vendor.example" });
            return reply(200, token.to_string()).after(self.slow);
        }
        let stored = self.shelf.token.lock().unwrap().as_ref().map(|token| token.access.expose().to_owned());
        let carried =
            asked.header("authorization").unwrap_or_default().trim_start_matches("Bearer ").to_owned();
        let good = self.good.lock().unwrap().clone();
        if carried == good && stored.as_deref() != Some(&carried) {
            self.early.store(true, Ordering::SeqCst);
        }
        if carried == good { reply(200, "{}") } else { reply(401, r#"{"error":"expired"}"#) }
    }
}

async fn rotating(slow: Duration) -> (Server, Arc<Rotating>, Arc<Shelf>) {
    let shelf = Arc::new(Shelf::default());
    let vendor = Rotating::new(&shelf, slow);
    let serving = Arc::clone(&vendor);
    let server = Server::start(move |asked, _| std::future::ready(serving.answer(&asked))).await;
    (server, vendor, shelf)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_requests_renew_a_rotating_token_once() {
    let (server, vendor, shelf) = rotating(Duration::from_millis(30)).await;
    let client = Arc::new(client(&server, refreshing(), Some(Arc::clone(&shelf))));
    for round in 1..=3 {
        let tasks = (0..50).map(|_| {
            let client = Arc::clone(&client);
            tokio::spawn(async move { client.send(Request::get("/a")).await.map(drop) })
        });
        for result in join_all(tasks).await {
            result.unwrap().unwrap();
        }
        assert_eq!(vendor.renewals.load(Ordering::SeqCst), round);
        // The vendor ends the token before its time.
        *vendor.good.lock().unwrap() = "ended early".into();
    }
    assert!(!vendor.early.load(Ordering::SeqCst), "a token was used before it was stored");
    assert_eq!(shelf.token.lock().unwrap().as_ref().unwrap().refresh, Some(Secret::new("refresh-3")));
    let host = server.asked()[0].header("x-headwater-host").unwrap().to_owned();
    assert_eq!(host, "login.vendor.example");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_sources_of_one_consent_renew_its_token_once() {
    let (server, vendor, shelf) = rotating(Duration::from_millis(50)).await;
    let of_source = |name: &str| {
        let options = Options {
            vault: Some(Arc::clone(&shelf) as Arc<dyn Vault>),
            vault_key: name.into(),
            ..quick(&server)
        };
        Arc::new(Client::new(Api::new(VENDOR, Auth::OAuth(refreshing())), options).unwrap())
    };
    let clients = [of_source("sales"), of_source("support")];
    for round in 1..=3 {
        let asked = clients.iter().cycle().take(20).cloned();
        let tasks =
            asked.map(|client| tokio::spawn(async move { client.send(Request::get("/a")).await.map(drop) }));
        for result in join_all(tasks).await {
            result.unwrap().unwrap();
        }
        assert_eq!(vendor.renewals.load(Ordering::SeqCst), round);
        *vendor.good.lock().unwrap() = "ended early".into();
    }
    assert!(!vendor.early.load(Ordering::SeqCst), "a token was used before it was stored");
}

#[tokio::test]
async fn the_vaults_token_wins_and_a_new_process_goes_on_with_it() {
    let (server, vendor, shelf) = rotating(Duration::ZERO).await;
    for _ in 0..3 {
        // The settings still say refresh-0, which is long spent.
        let client = client(&server, refreshing(), Some(Arc::clone(&shelf)));
        client.send(Request::get("/a")).await.unwrap();
        *vendor.good.lock().unwrap() = "ended".into();
        client.send(Request::get("/a")).await.unwrap();
    }
    assert_eq!(vendor.renewals.load(Ordering::SeqCst), 4);
}

#[tokio::test]
async fn whoever_goes_away_takes_no_token_along() {
    let (server, vendor, shelf) = rotating(Duration::from_millis(200)).await;
    let client = client(&server, refreshing(), Some(Arc::clone(&shelf)));
    let gone = tokio::time::timeout(Duration::from_millis(100), client.send(Request::get("/a"))).await;
    assert!(gone.is_err());
    client.send(Request::get("/a")).await.unwrap();
    assert_eq!(vendor.renewals.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_token_that_cannot_be_stored_is_not_used_and_not_lost() {
    let (server, vendor, shelf) = rotating(Duration::ZERO).await;
    let client = client(&server, refreshing(), Some(Arc::clone(&shelf)));
    shelf.broken.store(true, Ordering::SeqCst);
    let error = client.send(Request::get("/a")).await.unwrap_err();
    assert!(error.to_string().contains("the disk is full"), "{error}");
    assert_eq!(server.asked().len(), 1);
    shelf.broken.store(false, Ordering::SeqCst);
    client.send(Request::get("/a")).await.unwrap();
    assert_eq!(vendor.renewals.load(Ordering::SeqCst), 1);
    assert!(!vendor.early.load(Ordering::SeqCst));
}

#[tokio::test]
async fn an_ended_consent_is_asked_for_once_and_named() {
    let refusal = r#"{"error":"invalid_grant","error_description":"secret-of-the-app refresh-0"}"#;
    let server = Server::script(vec![reply(400, refusal).after(Duration::from_millis(50))]).await;
    let client = client(&server, refreshing(), None);
    for result in join_all((0..50).map(|_| client.send(Request::get("/a")))).await {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), Kind::Auth);
        assert_eq!(
            error.to_string(),
            "GET api.vendor.example/a: token request to login.vendor.example/oauth/token: invalid_grant \
             ([secret] [secret]): the authorization has ended or was withdrawn: connect it again"
        );
    }
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn a_second_401_is_final() {
    let server = Server::start(|asked, n| {
        let token = asked.target == "/oauth/token";
        std::future::ready(if token {
            reply(200, format!(r#"{{"access_token":"access-{n}"}}"#))
        } else {
            reply(401, "{}")
        })
    })
    .await;
    let client = client(&server, oauth(Grant::ClientCredentials), None);
    let error = client.send(Request::get("/a")).await.unwrap_err();
    assert_eq!((error.kind(), error.status()), (Kind::Auth, Some(401)));
    let asked: Vec<_> = server.asked().into_iter().map(|asked| asked.target).collect();
    assert_eq!(asked, ["/oauth/token", "/a", "/oauth/token", "/a"]);
}

#[tokio::test]
async fn a_token_is_renewed_before_it_ends() {
    let server = Server::start(|asked, n| {
        let lifetime = if n == 0 { 100 } else { 3600 };
        let token = format!(r#"{{"access_token":"access-{n}","expires_in":"{lifetime}"}}"#);
        std::future::ready(reply(200, if asked.target == "/oauth/token" { token } else { "{}".into() }))
    })
    .await;
    let now = Arc::new(Mutex::new(jiff::Timestamp::now()));
    let clock = Arc::clone(&now);
    let options = Options { clock: Arc::new(move || *clock.lock().unwrap()), ..quick(&server) };
    let client =
        Client::new(Api::new(VENDOR, Auth::OAuth(oauth(Grant::ClientCredentials))), options).unwrap();
    for seconds in [0, 45, 10] {
        *now.lock().unwrap() += jiff::SignedDuration::from_secs(seconds);
        client.send(Request::get("/a")).await.unwrap();
    }
    let used: Vec<_> =
        server.asked().iter().filter_map(|a| a.header("authorization").map(str::to_owned)).collect();
    assert_eq!(used, ["Bearer access-0", "Bearer access-0", "Bearer access-3"]);
}

#[tokio::test]
async fn a_token_endpoint_that_fails_for_now_is_asked_again() {
    let server = Server::start(|asked, n| {
        let answers = [
            reply(503, "<html>"),
            reply(429, "").with("retry-after", "0"),
            reply(200, r#"{"access_token":"access-token"}"#).cut(),
        ];
        let token = r#"{"access_token":"access-token","instance_url":"https://eu1.vendor.example"}"#;
        let answer = answers.get(n).cloned().unwrap_or_else(|| reply(200, token));
        std::future::ready(if asked.target == "/oauth/token" { answer } else { reply(200, "{}") })
    })
    .await;
    let client = client(&server, oauth(Grant::ClientCredentials), None);
    client.send(Request::get("/a")).await.unwrap();
    assert_eq!(server.asked().len(), 5);
    let token = client.token().await.unwrap();
    assert_eq!(token.extra["instance_url"], "https://eu1.vendor.example");
    assert!(!format!("{token:?}").contains("access-token"));
}

#[tokio::test]
async fn refusals_of_every_form_are_the_users_to_mend() {
    for answer in [
        reply(401, r#"{"error":"invalid_client"}"#),
        reply(200, r#"{"ok":false,"error":"invalid_client_id"}"#),
        reply(403, r#"{"message":"no"}"#),
        reply(400, "<html>"),
        reply(404, ""),
    ] {
        let server = Server::script(vec![answer]).await;
        let error = client(&server, oauth(Grant::ClientCredentials), None)
            .send(Request::get("/a"))
            .await
            .unwrap_err();
        assert_eq!((error.kind(), server.asked().len()), (Kind::Auth, 1), "{error}");
    }
    let server = Server::script(vec![reply(200, r#"{"token":"a-token-somewhere-else"}"#)]).await;
    let error =
        client(&server, oauth(Grant::ClientCredentials), None).send(Request::get("/a")).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unexpected);
    assert!(!error.to_string().contains("somewhere-else"), "{error}");
}

#[tokio::test]
async fn an_app_proves_itself_as_the_vendor_wants() {
    let server = Server::script(vec![reply(200, r#"{"access_token":"access-token"}"#)]).await;
    let body = OAuth {
        scopes: vec!["read".into(), "list".into()],
        extra: vec![("grant_type".into(), "account_credentials".into()), ("account_id".into(), "7".into())],
        ..oauth(Grant::ClientCredentials)
    };
    let basic = OAuth { client_auth: ClientAuth::Basic, ..oauth(Grant::ClientCredentials) };
    client(&server, body, None).token().await.unwrap();
    client(&server, basic, None).token().await.unwrap();
    let asked = server.asked();
    let fields =
        ["grant_type", "account_id", "scope", "client_id", "client_secret"].map(|name| asked[0].field(name));
    let expected = ["account_credentials", "7", "read list", "the-app", "secret-of-the-app"];
    assert_eq!(fields, expected.map(|value| Some(value.into())));
    assert_eq!(asked[1].field("grant_type").as_deref(), Some("client_credentials"));
    assert_eq!(asked[1].header("authorization"), Some("Basic dGhlLWFwcDpzZWNyZXQtb2YtdGhlLWFwcA=="));
    assert_eq!(asked[1].field("client_secret"), None);
}

#[tokio::test]
async fn an_assertion_is_signed_with_the_users_key() {
    use rsa::pkcs8::{EncodePrivateKey, EncodePublicKey, LineEnding};
    let key = rsa::RsaPrivateKey::new(&mut rsa::rand_core::OsRng, 2048).unwrap();
    let pem = key.to_pkcs8_pem(LineEnding::LF).unwrap().to_string();
    let grant = |key: &str| Grant::JwtBearer {
        issuer: "the-app".into(),
        subject: "robot@example.com".into(),
        audience: "https://login.vendor.example".into(),
        key: Secret::new(key),
        lifetime: 300,
    };
    let server = Server::script(vec![reply(200, r#"{"access_token":"access-token"}"#)]).await;
    // On one line, as environments hold it.
    let app =
        OAuth { client_secret: None, scopes: vec!["read".into()], ..oauth(grant(&pem.replace('\n', "\\n"))) };
    client(&server, app, None).token().await.unwrap();
    let asked = server.asked();
    assert_eq!(asked[0].field("grant_type").as_deref(), Some("urn:ietf:params:oauth:grant-type:jwt-bearer"));
    let public = key.to_public_key().to_public_key_pem(LineEnding::LF).unwrap();
    let mut rules = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::RS256);
    rules.set_audience(&["https://login.vendor.example"]);
    let public = jsonwebtoken::DecodingKey::from_rsa_pem(public.as_bytes()).unwrap();
    let claims =
        jsonwebtoken::decode::<Value>(&asked[0].field("assertion").unwrap(), &public, &rules).unwrap().claims;
    assert_eq!(
        (&claims["iss"], &claims["sub"], &claims["scope"]),
        (&json!("the-app"), &json!("robot@example.com"), &json!("read"))
    );
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 300);

    let api = Api::new(VENDOR, Auth::OAuth(oauth(grant("not a key"))));
    let error = Client::new(api, quick(&server)).map(drop).unwrap_err();
    assert_eq!(error.kind(), Kind::Config);
    assert!(!error.to_string().contains("not a key"), "{error}");
}

#[tokio::test]
async fn a_code_from_the_browser_becomes_a_token_that_is_kept() {
    let token = r#"{"access_token":"access-token","refresh_token":"refresh-token"}"#;
    let server = Server::script(vec![reply(200, token), reply(200, "{}")]).await;
    let shelf = Arc::new(Shelf::default());
    let client = client(&server, oauth(Grant::RefreshToken(Secret::new(""))), Some(Arc::clone(&shelf)));
    let error = client.send(Request::get("/a")).await.unwrap_err();
    assert!(error.kind() == Kind::Auth && error.to_string().contains("headwater connect"), "{error}");
    let back = "http://127.0.0.1:7777/back";
    client.exchange(Secret::new("the-code"), back, Some(Secret::new("verifier"))).await.unwrap();
    client.send(Request::get("/a")).await.unwrap();
    let asked = server.asked();
    let fields =
        ["grant_type", "code", "redirect_uri", "code_verifier"].map(|name| asked[0].field(name).unwrap());
    assert_eq!(fields, ["authorization_code", "the-code", back, "verifier"]);
    assert_eq!(asked[1].header("authorization"), Some("Bearer access-token"));
    assert_eq!(shelf.token.lock().unwrap().as_ref().unwrap().refresh, Some(Secret::new("refresh-token")));
}

#[tokio::test]
async fn hosts_of_one_app_share_its_token() {
    let (server, vendor, shelf) = rotating(Duration::ZERO).await;
    let auth = || Auth::OAuth(refreshing());
    let api = Api::new(VENDOR, auth()).host("files", "https://files.vendor.example", auth());
    let options = Options { vault: Some(shelf), ..quick(&server) };
    let client = Client::new(api, options).unwrap();
    client.send(Request::get("/a")).await.unwrap();
    client.send(Request::get("/a").at("files")).await.unwrap();
    assert_eq!(vendor.renewals.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn fifty_requests_get_the_first_token_once() {
    let server = Server::start(|asked, n| {
        let token = format!(r#"{{"access_token":"access-{n}"}}"#);
        let is_token = asked.target == "/oauth/token";
        std::future::ready(if is_token {
            reply(200, token).after(Duration::from_millis(50))
        } else {
            reply(200, "{}")
        })
    })
    .await;
    let client = client(&server, oauth(Grant::ClientCredentials), None);
    for result in join_all((0..50).map(|_| client.send(Request::get("/a")))).await {
        result.unwrap();
    }
    assert_eq!(server.asked().iter().filter(|asked| asked.target == "/oauth/token").count(), 1);
}

#[tokio::test]
async fn a_refresh_token_that_is_not_replaced_stays() {
    let server = Server::start(|asked, n| {
        let refresh = if n == 0 { r#","refresh_token":"refresh-1""# } else { "" };
        let token = format!(r#"{{"access_token":"access-{n}"{refresh}}}"#);
        let odd = asked.header("authorization").is_some_and(|token| token != "Bearer access-4");
        std::future::ready(match asked.target.as_str() {
            "/oauth/token" => reply(200, token),
            _ => reply(if odd { 401 } else { 200 }, "{}"),
        })
    })
    .await;
    let shelf = Arc::new(Shelf::default());
    let client = client(&server, refreshing(), Some(Arc::clone(&shelf)));
    assert!(client.send(Request::get("/a")).await.is_err());
    client.send(Request::get("/a")).await.unwrap_err();
    let sent: Vec<_> = server.asked().iter().filter_map(|asked| asked.field("refresh_token")).collect();
    assert_eq!(sent[..2], ["refresh-0", "refresh-1"]);
    assert!(sent[1..].iter().all(|token| token == "refresh-1"), "{sent:?}");
    assert_eq!(shelf.token.lock().unwrap().as_ref().unwrap().refresh, Some(Secret::new("refresh-1")));
}
