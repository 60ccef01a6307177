//! Stand-in vendors for `headwater demo` and the tests: real HTTP on a loopback port, with the vendor's own paging, auth,
//! limits and errors, over objects that are made from the recordings in `fixtures/` by a stable seed.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use axum::{
    Router,
    extract::{Request, State},
    middleware::{self, Next},
    response::Response,
};
use headwater_core::{
    error::{Error, Result},
    event::Delivery,
};
use jiff::Timestamp;
use rand::{SeedableRng, rngs::StdRng};
use serde_json::Value;
use tokio::{net::TcpListener, task::JoinHandle};

pub mod braze;
pub mod klaviyo;
mod posts;
pub mod salesforce;
pub mod stripe;
pub mod zendesk;

/// A pretended vendor. It keeps its objects in memory; the same world makes the same objects.
pub trait Vendor: Send + Sync + 'static {
    /// The connector's name.
    fn name(&self) -> &'static str;

    /// Settings of a source that this vendor lets in: what a user would write in `settings = { … }`.
    fn settings(&self) -> Value;

    /// Its API: paging, auth (a wrong key is refused as the vendor refuses it), filters, errors. None for a vendor that only
    /// sends webhooks.
    fn api(self: Arc<Self>) -> Option<Router>;

    /// The vendor's own answer to one request too many (429 with its headers and body).
    fn throttled(&self) -> Response;

    /// Something happens in the account: an object is made, changed or deleted at `now`. Returns the webhook deliveries that the
    /// vendor would send for it, signed with the secret of [`settings`](Self::settings).
    fn happen(&self, now: Timestamp) -> Vec<Delivery>;

    /// How many rows of each collection a complete sync must find living: (collection, rows).
    fn census(&self) -> Vec<(&'static str, usize)>;
}

/// Every pretended vendor, each with a world of this size.
pub fn all(world: World) -> Vec<Arc<dyn Vendor>> {
    vec![
        Arc::new(braze::Braze::new(world)),
        Arc::new(klaviyo::Klaviyo::new(world)),
        Arc::new(salesforce::Salesforce::new(world)),
        Arc::new(stripe::Stripe::new(world)),
        Arc::new(zendesk::Zendesk::new(world)),
    ]
}

/// What a vendor's objects are made from.
#[derive(Clone, Copy, Debug)]
pub struct World {
    /// The same seed makes the same objects.
    pub seed: u64,
    /// The moment up to which history has been made.
    pub now: Timestamp,
    /// Roughly how many objects of the main collection there are.
    pub size: usize,
}

impl World {
    /// Randomness of its own for each purpose, so that one more draw here changes nothing there.
    pub fn rng(&self, purpose: &str) -> StdRng {
        StdRng::seed_from_u64(self.seed ^ u64::from(crc32c::crc32c(purpose.as_bytes())))
    }

    /// A time in the last `days` before `now`, by the place of an object among all: evenly spread, oldest first.
    pub fn when(&self, place: usize, of: usize, days: i64) -> Timestamp {
        let span = days * 86_400;
        let second = self.now.as_second() - span + span * place as i64 / of.max(1) as i64;
        Timestamp::from_second(second).unwrap_or(self.now)
    }
}

/// A vendor that is being served.
pub struct Served {
    /// The vendor.
    pub vendor: Arc<dyn Vendor>,
    /// `http://127.0.0.1:port`, to be used as `--base-url`.
    pub url: String,
    /// Requests answered so far, refused and throttled ones included.
    pub requests: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// How a sandbox troubles its clients.
#[derive(Clone, Copy, Debug, Default)]
pub struct Trouble {
    /// Every so many requests one is throttled (0: never).
    pub throttle_every: u64,
    /// Every so many requests one is answered 503 (0: never).
    pub fail_every: u64,
}

/// Serves a vendor on a free loopback port until the returned value is dropped.
pub async fn serve(vendor: Arc<dyn Vendor>, trouble: Trouble) -> Result<Served> {
    let failed = |error: std::io::Error| {
        Error::config(format!("the sandbox cannot listen on a loopback port: {error}"))
    };
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.map_err(failed)?;
    let url = format!("http://{}", listener.local_addr().map_err(failed)?);
    let requests = Arc::new(AtomicU64::new(0));
    let gate = Gate { vendor: vendor.clone(), trouble, requests: requests.clone() };
    let router = vendor.clone().api().unwrap_or_default().layer(middleware::from_fn_with_state(gate, pass));
    let task = tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!(%error, "the sandbox stopped");
        }
    });
    Ok(Served { vendor, url, requests, task })
}

#[derive(Clone)]
struct Gate {
    vendor: Arc<dyn Vendor>,
    trouble: Trouble,
    requests: Arc<AtomicU64>,
}

async fn pass(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    let count = gate.requests.fetch_add(1, Ordering::Relaxed) + 1;
    let due = |every: u64| every > 0 && count.is_multiple_of(every);
    if due(gate.trouble.throttle_every) {
        return gate.vendor.throttled();
    }
    if due(gate.trouble.fail_every) {
        let mut response = Response::new("upstream connect error".into());
        *response.status_mut() = http::StatusCode::SERVICE_UNAVAILABLE;
        return response;
    }
    next.run(request).await
}

/// The first record at `path` of the first answer in a recording (`include_str!("../../../fixtures/stripe/charges.http")`): the
/// shape that a sandbox makes its objects in.
pub fn template(recording: &str, path: &str) -> Value {
    for exchange in recording.split("\n### ") {
        let Some((_, answer)) = exchange.split_once("\nHTTP/1.1 ") else { continue };
        let Some((_, body)) = answer.split_once("\n\n") else { continue };
        let Ok(body) = serde_json::from_str::<Value>(body.trim()) else { continue };
        let found =
            path.split('.').filter(|step| !step.is_empty()).try_fold(&body, |value, step| value.get(step));
        match found {
            Some(Value::Array(items)) if !items.is_empty() => return items[0].clone(),
            Some(Value::Object(_)) => return found.cloned().unwrap_or_default(),
            _ => {}
        }
    }
    Value::Null
}

/// Made-up people, companies and words, by number.
pub mod names {
    const GIVEN: [&str; 16] = [
        "Ada", "Björn", "Chiara", "Diego", "Emre", "Freja", "Grace", "Hiro", "Inès", "Jonas", "Keiko",
        "Łucja", "Mateo", "Nia", "Óscar", "Priya",
    ];
    const FAMILY: [&str; 16] = [
        "Abe",
        "Brandt",
        "Conti",
        "Díaz",
        "Eriksson",
        "Fischer",
        "García",
        "Haddad",
        "Ito",
        "Jensen",
        "Kaya",
        "Lindqvist",
        "Moreau",
        "Novák",
        "Okafor",
        "Patel",
    ];
    const FIRMS: [&str; 8] =
        ["Alder", "Brookside", "Cobalt", "Driftwood", "Ember", "Foxglove", "Granite", "Harbour"];
    const KINDS: [&str; 4] = ["Works", "Foods", "Logistics", "Studio"];

    /// A person's name.
    pub fn person(n: usize) -> String {
        format!("{} {}", GIVEN[n % 16], FAMILY[n / 16 % 16])
    }

    /// An address at a reserved domain.
    pub fn email(n: usize) -> String {
        format!("person{n}@example.com")
    }

    /// A company's name.
    pub fn firm(n: usize) -> String {
        format!("{} {} {}", FIRMS[n % 8], KINDS[n / 8 % 4], n / 32 + 1)
    }
}
