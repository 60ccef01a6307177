//! Limits hold, for all requests of an account together.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures::future::join_all;
use headwater_core::{
    auth::Auth,
    error::Kind,
    http::{Api, Client, Gates, Limit, MemoryLedger, Options, Usage},
    object::Request,
};

use crate::{
    VENDOR, plain, quick,
    server::{Server, reply},
};

/// The most requests that came in any span of this length.
fn busiest(times: &[Instant], span: Duration) -> usize {
    let within = |from: &Instant| times.iter().filter(|time| *time >= from && **time < *from + span).count();
    times.iter().map(within).max().unwrap_or(0)
}

#[tokio::test]
async fn no_span_holds_more_than_is_allowed() {
    let server = Server::script(vec![reply(200, "{}")]).await;
    let span = Duration::from_millis(500);
    let api = Api::new(VENDOR, Auth::None)
        .limit(Limit::requests(20, span))
        .limit(Limit::requests(4, span).named("search"));
    let client = Client::new(api, quick(&server)).unwrap();
    let request = |n: usize| match n % 5 {
        0 => Request::get("/search").limited("search"),
        _ => Request::get("/a"),
    };
    let began = Instant::now();
    for result in join_all((0..50).map(|n| client.send(request(n)))).await {
        result.unwrap();
    }
    let took = began.elapsed();
    let all = server.asked();
    let times = |only: &str| all.iter().filter(|a| a.target.contains(only)).map(|a| a.at).collect::<Vec<_>>();
    assert_eq!(all.len(), 50);
    assert!(busiest(&times(""), span) <= 20, "{}", busiest(&times(""), span));
    assert!(busiest(&times("search"), span) <= 4, "{}", busiest(&times("search"), span));
    assert!(busiest(&times(""), span) >= 15, "needlessly slow");
    assert!(took < Duration::from_secs(3), "{took:?}");
}

#[tokio::test]
async fn only_so_many_at_once() {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let counts = (Arc::clone(&now), Arc::clone(&most));
    let server = Server::start(move |_, _| {
        let (now, most) = counts.clone();
        async move {
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(20)).await;
            now.fetch_sub(1, Ordering::SeqCst);
            reply(200, "{}")
        }
    })
    .await;
    let client =
        Client::new(Api::new(VENDOR, Auth::None).limit(Limit::concurrent(3)), quick(&server)).unwrap();
    for result in join_all((0..20).map(|_| client.send(Request::get("/a")))).await {
        result.unwrap();
    }
    assert_eq!(most.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_request_to_slow_down_is_heard_by_all() {
    let server = Server::script(vec![reply(429, "").with("retry-after", "1"), reply(200, "{}")]).await;
    let client = plain(&server);
    let others = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        join_all((0..10).map(|_| client.send(Request::get("/other")))).await
    };
    let (first, others) = futures::join!(client.send(Request::get("/first")), others);
    assert!(first.is_ok() && others.iter().all(Result::is_ok));
    let asked = server.asked();
    assert_eq!(asked.len(), 12);
    for later in &asked[1..] {
        assert!(later.at.duration_since(asked[0].at) >= Duration::from_millis(990), "{}", later.target);
    }
}

#[tokio::test]
async fn a_named_limit_that_is_spent_stops_only_its_own() {
    let server = Server::start(|asked, _| {
        let spent = asked.target == "/search";
        std::future::ready(if spent { reply(429, "").with("retry-after", "3600") } else { reply(200, "{}") })
    })
    .await;
    let api =
        Api::new(VENDOR, Auth::None).limit(Limit::requests(100, Duration::from_secs(1)).named("search"));
    let client = Client::new(api, quick(&server)).unwrap();
    let search = || client.send(Request::get("/search").limited("search"));
    assert!(search().await.unwrap_err().until().is_some());
    assert!(search().await.unwrap_err().until().is_some());
    client.send(Request::get("/a")).await.unwrap();
    assert_eq!(server.asked().len(), 2);
}

#[tokio::test]
async fn the_days_allotment_is_counted_across_clients() {
    let server = Server::script(vec![reply(200, "{}")]).await;
    let ledger = Arc::new(MemoryLedger::default());
    let client = || {
        let api = Api::new(VENDOR, Auth::None).limit(Limit::daily(3, 0, "UTC"));
        Client::new(api, Options { ledger: ledger.clone(), ..quick(&server) }).unwrap()
    };
    let one = client();
    for _ in 0..2 {
        one.send(Request::get("/a")).await.unwrap();
    }
    let other = client();
    other.send(Request::get("/a")).await.unwrap();
    let error = other.send(Request::get("/a")).await.unwrap_err();
    assert_eq!(error.kind(), Kind::RateLimited);
    assert!(error.until().is_some_and(|until| until > jiff::Timestamp::now()));
    assert_eq!(server.asked().len(), 3);
}

#[tokio::test]
async fn a_reserve_is_left_for_others() {
    let server = Server::script(vec![reply(200, "{}")]).await;
    let ledger = Arc::new(MemoryLedger::default());
    let client = |reserve| {
        let api = Api::new(VENDOR, Auth::None).limit(Limit::daily(10, 0, "UTC"));
        Client::new(api, Options { ledger: ledger.clone(), reserve, ..quick(&server) }).unwrap()
    };
    let scheduled = client(0.2);
    for _ in 0..8 {
        scheduled.send(Request::get("/a")).await.unwrap();
    }
    let error = scheduled.send(Request::get("/a")).await.unwrap_err();
    assert!(error.until().is_some() && error.message().contains("reserve of 20 %"), "{error}");
    // What the user asks for may have it.
    let by_hand = client(0.0);
    for _ in 0..2 {
        by_hand.send(Request::get("/a")).await.unwrap();
    }
    assert!(by_hand.send(Request::get("/a")).await.unwrap_err().until().is_some());
    assert_eq!(server.asked().len(), 10);
}

#[tokio::test]
async fn what_the_vendor_tells_of_an_allotment_wins() {
    let server = Server::start(|_, n| {
        let spent = [10, 995, 300][n.min(2)];
        std::future::ready(reply(200, "{}").with("x-usage", spent.to_string()))
    })
    .await;
    let now = Arc::new(std::sync::Mutex::new("2024-01-01T10:00:00Z".parse::<jiff::Timestamp>().unwrap()));
    let clock = Arc::clone(&now);
    let api = Api::new(VENDOR, Auth::None).limit(Limit::told()).usage(|answer| {
        Some(Usage { limit: "", spent: answer.header("x-usage")?.parse().ok()?, amount: 1_000 })
    });
    let options = Options { clock: Arc::new(move || *clock.lock().unwrap()), reserve: 0.1, ..quick(&server) };
    let client = Client::new(api, options).unwrap();
    for _ in 0..2 {
        client.send(Request::get("/a")).await.unwrap();
    }
    let error = client.send(Request::get("/a")).await.unwrap_err();
    assert_eq!(error.until(), Some("2024-01-01T11:00:00Z".parse().unwrap()), "{error}");
    assert_eq!(server.asked().len(), 2);
    // Others may have stopped meanwhile: an hour later one request looks again.
    *now.lock().unwrap() += jiff::SignedDuration::from_mins(60);
    for _ in 0..3 {
        client.send(Request::get("/a")).await.unwrap();
    }
}

#[tokio::test]
async fn clients_of_one_account_share_its_limits() {
    let server = Server::script(vec![reply(200, "{}")]).await;
    let (gates, span) = (Arc::new(Gates::default()), Duration::from_millis(500));
    let client = |account: &str| {
        let api = Api::new(VENDOR, Auth::None).limit(Limit::requests(20, span));
        let options = Options { gates: gates.clone(), account_key: account.into(), ..quick(&server) };
        Client::new(api, options).unwrap()
    };
    let (one, two, other) = (client("acme"), client("acme"), client("bolt"));
    let began = Instant::now();
    let both = (0..40).map(|n| if n % 2 == 0 { &one } else { &two }.send(Request::get("/acme")));
    let (both, others) =
        futures::join!(join_all(both), join_all((0..10).map(|_| other.send(Request::get("/bolt")))));
    assert!(both.iter().chain(&others).all(Result::is_ok));
    let asked = server.asked();
    let times = |only: &str| asked.iter().filter(|a| a.target == only).map(|a| a.at).collect::<Vec<_>>();
    assert!(busiest(&times("/acme"), span) <= 20, "{}", busiest(&times("/acme"), span));
    assert!(times("/bolt").iter().all(|at| at.duration_since(began) < span), "another account does not wait");
}

#[tokio::test]
async fn a_place_in_line_is_not_held_against_a_request() {
    let server = Server::script(vec![reply(200, "{}")]).await;
    let api = Api::new(VENDOR, Auth::None).limit(Limit::requests(5, Duration::from_millis(500)));
    let client =
        Client::new(api, Options { deadline: Duration::from_millis(300), ..quick(&server) }).unwrap();
    for result in join_all((0..10).map(|_| client.send(Request::get("/a")))).await {
        result.unwrap();
    }
}

#[tokio::test]
async fn a_quota_that_is_nearly_used_slows_all_down() {
    let server = Server::script(vec![reply(200, "{}").with("x-used", "95"), reply(200, "{}")]).await;
    let api = Api::new(VENDOR, Auth::None).ease(|answer| {
        answer.header("x-used").filter(|used| *used > "90").map(|_| Duration::from_millis(300))
    });
    let client = Client::new(api, quick(&server)).unwrap();
    for _ in 0..3 {
        client.send(Request::get("/a")).await.unwrap();
    }
    let asked = server.asked();
    assert!(asked[1].at.duration_since(asked[0].at) >= Duration::from_millis(295));
    assert!(asked[2].at.duration_since(asked[1].at) < Duration::from_millis(200));
}
