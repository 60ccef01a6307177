//! Stand-in vendors: the sandbox's, slowed down and watched, and small ones that answer whatever a test wants.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::Request,
    middleware::{self, Next},
    response::Response,
};
use headwater::sandbox::{Vendor, World};
use jiff::{SignedDuration, Timestamp};
use tokio::{net::TcpListener, runtime::Runtime};

/// A vendor that listens on a loopback port until it is dropped.
pub struct Stand {
    /// `http://127.0.0.1:port`
    pub url: String,
    watched: Arc<Watched>,
    _runtime: Runtime,
}

#[derive(Default)]
struct Watched {
    count: AtomicU64,
    asked: Mutex<Vec<String>>,
}

impl Stand {
    /// Serves a sandbox vendor, each answer so late. Where a query asks for one thing it gets another: vendors may give smaller
    /// pages than they are asked for.
    pub fn sandbox(
        vendor: Arc<dyn Vendor>,
        delay: Duration,
        instead: &'static [(&'static str, &'static str)],
    ) -> Self {
        let router = vendor.api().expect("the vendor has an API");
        Self::router(router, delay, instead)
    }

    /// Serves what `answer` makes of a request's path and query.
    pub fn answering(answer: impl Fn(&str, &str) -> Response + Clone + Send + Sync + 'static) -> Self {
        let router = Router::new().fallback(move |request: Request| {
            let answer = answer.clone();
            async move { answer(request.uri().path(), request.uri().query().unwrap_or_default()) }
        });
        Self::router(router, Duration::ZERO, &[])
    }

    fn router(router: Router, delay: Duration, instead: &'static [(&'static str, &'static str)]) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        let watched = Arc::new(Watched::default());
        let seen = watched.clone();
        let router = router.layer(middleware::from_fn(move |mut request: Request, next: Next| {
            let seen = seen.clone();
            async move {
                let asked = request.uri().path_and_query().map(ToString::to_string).unwrap_or_default();
                seen.asked.lock().expect("a list").push(asked);
                seen.count.fetch_add(1, Ordering::SeqCst);
                let mut address = request.uri().to_string();
                for (asked, given) in instead {
                    address = address.replace(asked, given);
                }
                *request.uri_mut() = address.parse().expect("an address");
                if !delay.is_zero() {
                    tokio::time::sleep(delay).await;
                }
                next.run(request).await
            }
        }));
        let listener =
            runtime.block_on(TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))).expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        runtime.spawn(async move { axum::serve(listener, router).await });
        Self { url, watched, _runtime: runtime }
    }

    /// Requests so far.
    pub fn count(&self) -> u64 {
        self.watched.count.load(Ordering::SeqCst)
    }

    /// What has been asked so far, in order: path and query.
    pub fn asked(&self) -> Vec<String> {
        self.watched.asked.lock().expect("a list").clone()
    }
}

/// A world of so many main objects that ended a little while ago, so that no run finds its history still lagging.
pub fn world(seed: u64, size: usize) -> World {
    let now = Timestamp::now().saturating_sub(SignedDuration::from_mins(10)).expect("a time");
    World { seed, now, size }
}

/// An answer.
pub fn answer(status: u16, content_type: &str, body: impl Into<Body>) -> Response {
    let response = Response::builder().status(status).header("content-type", content_type);
    response.body(body.into()).expect("an answer")
}

/// A JSON answer.
pub fn json(body: impl Into<Body>) -> Response {
    answer(200, "application/json; charset=utf-8", body)
}

/// A Zendesk whose `groups` are answered by `groups`, with the page that is asked for; everything else is well.
pub fn zendesk(groups: impl Fn(&str) -> Response + Clone + Send + Sync + 'static) -> Stand {
    Stand::answering(move |path, query| match path {
        "/api/v2/users/me.json" => json(r#"{"user":{"id":1,"name":"Ada","email":"ada@example.com"}}"#),
        "/api/v2/ticket_fields.json" => json(r#"{"ticket_fields":[],"meta":{"has_more":false}}"#),
        "/api/v2/ticket_forms.json" => json(r#"{"ticket_forms":[{"id":7,"name":"Default"}]}"#),
        "/api/v2/groups.json" => groups(query),
        _ => answer(404, "application/json", r#"{"error":"InvalidEndpoint"}"#),
    })
}

/// A source that reads that Zendesk's groups and forms.
pub fn zendesk_source(name: &str, url: &str, collections: &[&str]) -> String {
    format!(
        "[[source]]\nname = \"{name}\"\nconnector = \"zendesk\"\nbase_url = \"{url}\"\ncollections = {collections:?}\n\
         settings = {{ subdomain = \"acme\", email = \"a@example.com\", api_token = \"t0ken-in-secret\" }}\n"
    )
}

/// A source of a sandbox vendor.
pub fn source(name: &str, vendor: &dyn Vendor, url: &str, more: &str) -> String {
    let mut settings = vendor.settings();
    if let (Some(settings), "zendesk") = (settings.as_object_mut(), vendor.name()) {
        // The largest plan's, so that nobody waits for the pace of lists.
        settings.insert("requests_per_minute".to_owned(), 2_500.into());
    }
    let settings: Vec<String> =
        settings.as_object().into_iter().flatten().map(|(name, value)| format!("{name} = {value}")).collect();
    format!(
        "[[source]]\nname = \"{name}\"\nconnector = \"{}\"\nbase_url = \"{url}\"\n{more}\nsettings = {{ {} }}\n",
        vendor.name(),
        settings.join(", ")
    )
}
