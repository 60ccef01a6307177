//! Where requests go, what they carry there, and where they never go.

use headwater_core::{
    auth::{Auth, Secret},
    error::Kind,
    http::{Api, Client, Options},
    object::Request,
};

use crate::{
    VENDOR, plain, quick,
    server::{Asked, Reply, Server, reply},
};

const KEY: &str = "key-that-nobody-may-see";

fn bearer() -> Auth {
    Auth::Bearer(Secret::new(KEY))
}

fn two_hosts() -> Api {
    Api::new(format!("{VENDOR}/v2/"), bearer())
        .header("api-version", "7")
        .host("files", "https://files.vendor.example:8443", Auth::Query("token", Secret::new("k3y of files")))
        .results(&[".results.example", "exact.example"])
}

#[tokio::test]
async fn a_stand_in_takes_the_place_of_every_host() {
    let server = Server::script(vec![reply(200, "{}")]).await;
    let client = Client::new(two_hosts(), quick(&server)).unwrap();
    let ask = async |request: Request| client.send(request).await.map(drop).unwrap();
    ask(Request::get("/users?a=1").query("q", "é b+c&d").query("page[size]", "5")).await;
    ask(Request::get("x y").at("files")).await;
    ask(Request::get("https://api.vendor.example/v2/users?after=9")).await;
    ask(Request::get("http://api.vendor.example/other")).await;
    ask(Request::get("https://files.vendor.example:8443/f?token=old&x=1")).await;
    ask(Request::get("https://a.results.example/r.csv?X-Signature=1%2F2")).await;
    ask(Request::get(format!("{}/v2/next?c=1", server.url()))).await;
    ask(Request::get("")).await;
    let seen: Vec<_> = server
        .asked()
        .iter()
        .map(|asked| format!("{} {}", asked.header("x-headwater-host").unwrap(), asked.target))
        .collect();
    assert_eq!(
        seen,
        [
            "api.vendor.example /v2/users?a=1&q=%C3%A9%20b%2Bc%26d&page%5Bsize%5D=5",
            "files.vendor.example:8443 /x%20y?token=k3y%20of%20files",
            "api.vendor.example /v2/users?after=9",
            "api.vendor.example /other",
            "files.vendor.example:8443 /f?x=1&token=k3y%20of%20files",
            "a.results.example /r.csv?X-Signature=1%2F2",
            "api.vendor.example /v2/next?c=1",
            "api.vendor.example /v2/",
        ]
    );
    let carries: Vec<_> = server
        .asked()
        .iter()
        .map(|a| (a.header("authorization").is_some(), a.header("api-version").is_some()))
        .collect();
    let (ours, files, none) = ((true, true), (false, true), (false, false));
    assert_eq!(carries, [ours, files, ours, ours, files, none, ours, ours]);
}

#[tokio::test]
async fn a_stand_in_may_have_a_path_of_its_own() {
    let server = Server::script(vec![reply(200, "{}")]).await;
    let base_url = Some(format!("{}/vendor/", server.url()));
    let client = Client::new(two_hosts(), Options { base_url, ..quick(&server) }).unwrap();
    client.send(Request::get("/users")).await.unwrap();
    client.send(Request::get(format!("{}/vendor/v2/users?page=2", server.url()))).await.unwrap();
    let seen: Vec<_> = server.asked().into_iter().map(|asked| asked.target).collect();
    assert_eq!(seen, ["/vendor/v2/users", "/vendor/v2/users?page=2"]);
}

#[tokio::test]
async fn nothing_leaves_the_declared_hosts() {
    let server = Server::script(vec![reply(200, "{}")]).await;
    let client = Client::new(two_hosts(), quick(&server)).unwrap();
    for address in [
        "https://evil.example/users",
        "https://api.vendor.example.evil.example/users",
        "https://api.vendor.example@evil.example/users",
        "https://api.vendor.example:444/users",
        "https://results.example/r",
        "https://evilresults.example/r",
        "https://a.exact.example/r",
        "https://a.results.example:8443/r",
        "HTTPS://EVIL.example/",
        "https://127.0.0.1/",
    ] {
        let error = client.send(Request::get(address)).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Unexpected, "{address}: {error}");
        assert!(error.message().contains("none of this API's hosts"), "{error}");
    }
    // These look like other hosts, and are paths.
    for path in
        ["//evil.example/a", "@evil.example/a", "\\\\evil.example\\a", "/../../a", "ftp://evil.example"]
    {
        client.send(Request::get(path)).await.unwrap();
    }
    assert!(
        server.asked().iter().all(|asked| asked.header("x-headwater-host") == Some("api.vendor.example"))
    );
    assert!(client.send(Request::get("/a").at("nowhere")).await.is_err());
}

#[tokio::test]
async fn addresses_must_be_safe_ones() {
    let new = |url: &str, base: Option<&str>| {
        let options = Options { base_url: base.map(Into::into), ..Options::default() };
        Client::new(Api::new(url, Auth::None), options).map(drop)
    };
    for (url, base) in [
        ("http://api.vendor.example", None),
        ("http://127.0.0.1:1", None),
        ("https://user:password@api.vendor.example", None),
        ("api.vendor.example", None),
        (VENDOR, Some("http://192.0.2.1")),
        (VENDOR, Some("http://localhost.evil.example")),
        (VENDOR, Some("ftp://127.0.0.1")),
        (VENDOR, Some("127.0.0.1:80")),
    ] {
        let error = new(url, base).unwrap_err();
        assert_eq!(error.kind(), Kind::Config, "{error}");
        assert!(!error.to_string().contains("password"), "{error}");
    }
    for base in [
        None,
        Some("http://127.0.0.1:1"),
        Some("http://[::1]:1"),
        Some("http://localhost:1"),
        Some("https://192.0.2.1"),
    ] {
        new(VENDOR, base).unwrap();
    }
}

/// What a client says when `/from` redirects with this status to that place, and what the server saw then.
async fn redirected(status: u16, to: &'static str, request: Request) -> (Result<(), String>, Vec<Asked>) {
    let server = Server::start(move |asked, _| {
        let moved = asked.target.ends_with("/from");
        let answer: Reply = if moved { reply(status, "").with("location", to) } else { reply(200, "{}") };
        std::future::ready(answer)
    })
    .await;
    let client = Client::new(two_hosts(), quick(&server)).unwrap();
    let result =
        client.send(request.header("x-mine", "1")).await.map(drop).map_err(|error| error.to_string());
    (result, server.asked())
}

#[tokio::test]
async fn redirects_are_followed_to_declared_hosts_only() {
    let get = || Request::get("/from");
    for to in [
        "https://evil.example/a",
        "//evil.example/a",
        "http://169.254.169.254/latest",
        "ftp://api.vendor.example/",
    ] {
        let (result, asked) = redirected(302, to, get()).await;
        assert!(result.unwrap_err().contains("redirect from api.vendor.example/v2/from: "));
        assert_eq!(asked.len(), 1);
    }
    let (result, asked) = redirected(301, "/v3/there", get()).await;
    assert_eq!(
        (result, asked[1].target.as_str(), asked[1].header("authorization").is_some()),
        (Ok(()), "/v3/there", true)
    );
    for to in ["https://files.vendor.example:8443/f", "https://a.results.example/f?sign=1"] {
        let (result, asked) = redirected(302, to, get()).await;
        assert_eq!((result, asked.len()), (Ok(()), 2));
        assert!(asked[0].header("authorization").is_some());
        assert!(
            ["authorization", "api-version", "x-mine"].iter().all(|name| asked[1].header(name).is_none())
        );
        assert!(!asked[1].target.contains("token="), "{}", asked[1].target);
    }
    let (result, asked) = redirected(302, "/v2/from", get()).await;
    assert!(result.unwrap_err().contains("more than 5 times"));
    assert_eq!(asked.len(), 6);
}

#[tokio::test]
async fn a_redirected_body_goes_along_only_where_it_is_kept() {
    for (status, method, body) in
        [(302, "GET", ""), (303, "GET", ""), (307, "POST", "{}"), (308, "POST", "{}")]
    {
        let (result, asked) = redirected(status, "there", Request::post("/from", "{}")).await;
        assert_eq!((result, asked[1].target.as_str()), (Ok(()), "/v2/there"));
        assert_eq!((asked[1].method.as_str(), asked[1].body.as_str()), (method, body));
    }
}

#[tokio::test]
async fn no_secret_is_ever_shown() {
    let secret = KEY;
    let auths = [
        Auth::Bearer(Secret::new(secret)),
        Auth::Basic("user@example.com".into(), Secret::new(secret)),
        Auth::Basic(secret.into(), Secret::new("")),
        Auth::Header("x-key", Secret::new(secret)),
        Auth::Query("key", Secret::new(secret)),
    ];
    for auth in auths {
        // A vendor that repeats all that it was told, and a host that repeats it in a redirect.
        let server = Server::start(|asked, n| {
            let all = format!("{} {:?} {}", asked.target, asked.headers, asked.body);
            let json = serde_json::json!({ "message": all }).to_string();
            std::future::ready(match n {
                0 => reply(500, json),
                1 => reply(302, json).with("location", format!("https://evil.example{}", asked.target)),
                _ => reply(403, all),
            })
        })
        .await;
        let api = Api::new(VENDOR, auth).header("developer-token", "another-key-of-ours");
        let client = Client::new(api.clone(), quick(&server)).unwrap();
        let mut shown = format!("{api:?} {client:?}");
        for path in ["/a", "/a", &format!("/hook/{secret}/a")] {
            shown += &format!("{:?}", client.send(Request::get(path)).await.unwrap_err());
        }
        assert_eq!(server.asked().len(), 4);
        let sent = format!("{:?}", server.asked());
        assert!(sent.contains("another-key-of-ours"));
        for word in [secret, "another-key-of-ours", "dXNlckBleGFtcGxlLmNvbTpr", "a2V5LXRoYXQtbm9ib2R5"] {
            assert!(!shown.contains(word), "{shown}");
        }
        assert!(shown.contains("[secret]"), "{shown}");
    }
}

#[tokio::test]
async fn a_key_with_stray_characters_is_the_users_to_mend() {
    let server = Server::script(vec![reply(200, "{}")]).await;
    let client =
        |key: &str| Client::new(Api::new(VENDOR, Auth::Bearer(Secret::new(key))), quick(&server)).unwrap();
    let error = client("secret-key\nsecond").send(Request::get("/a")).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Config);
    assert!(!error.to_string().contains("secret-key"));
    client("secret-key\n").send(Request::get("/a")).await.unwrap();
    assert_eq!(server.asked()[0].header("authorization"), Some("Bearer secret-key"));
    assert!(plain(&server).send(Request::get("/a").header("no header", "1")).await.is_err());
}
