//! Receive: take a request, prove whose it is, keep it on disk, answer. Nothing is parsed beyond what the answer needs, and neither
//! a warehouse nor a destination is waited for.

use std::{
    collections::HashMap,
    io::Read,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::{ConnectInfo, DefaultBodyLimit, State},
    response::{IntoResponse, Response},
    routing::get,
};
use bytes::{Bytes, BytesMut};
use flate2::read::MultiGzDecoder;
use futures::StreamExt;
use headwater_core::{connector::Connector, event::EventSource};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use jiff::Timestamp;
use serde_json::json;
use tower_http::cors::{AllowHeaders, AllowMethods, AllowOrigin, CorsLayer};

use crate::{
    config::Receive,
    inbox::{Inbox, LogError, StoredDelivery},
};

mod pixel;
#[cfg(test)]
mod tests;
mod tracking;
mod webhook;

/// The header that tells the sender's address to the pipeline; one that a sender made up is taken away.
pub const REMOTE: &str = "x-headwater-remote";

/// With so many bytes waiting for the disk, no further traffic should be sent here.
const READY: u64 = 32 << 20;

/// So much of a body that is too large is read and thrown away: a sender who is still sending would not see the answer.
const LINGER: usize = 16 << 20;
/// How long a body may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A source, as deliveries find it.
pub struct Route {
    /// Its name.
    pub source: String,
    /// Its connector.
    pub connector: &'static Connector,
    /// Its webhooks, if the connector has any.
    pub events: Option<Box<dyn EventSource>>,
    /// Public keys that libraries send with.
    pub write_keys: Vec<String>,
    /// Secret keys that stand in the webhook's URL.
    pub webhook_keys: Vec<String>,
}

/// All sources, by what a delivery says of itself.
#[derive(Default)]
pub struct Routes {
    by_write_key: HashMap<String, Arc<Route>>,
    by_source: HashMap<String, Arc<Route>>,
}

impl Routes {
    /// Puts sources where deliveries find them.
    pub fn new(routes: impl IntoIterator<Item = Route>) -> Self {
        let mut all = Self::default();
        for route in routes {
            let route = Arc::new(route);
            for key in &route.write_keys {
                all.by_write_key.insert(key.clone(), route.clone());
            }
            all.by_source.insert(route.source.clone(), route);
        }
        all
    }
}

/// What all handlers share.
pub struct Receiver {
    routes: RwLock<Arc<Routes>>,
    inbox: Arc<dyn Inbox>,
    quarantine: Arc<dyn Inbox>,
    /// Whose turn it is to be stamped.
    turn: Mutex<()>,
    settings: Receive,
    /// Deliveries by what became of them before the inbox.
    pub counts: Counts,
}

/// What became of requests; what is in the inbox is counted by the pipeline.
#[derive(Default)]
pub struct Counts {
    /// In the inbox.
    pub kept: AtomicU64,
    /// Answered as handshakes: nothing to keep.
    pub handshakes: AtomicU64,
    /// Kept apart: the signature did not prove them.
    pub quarantined: AtomicU64,
    /// Refused with a reason, nothing kept: a wrong key, no JSON, too large.
    pub refused: AtomicU64,
    /// Answered 503: the inbox could not take them.
    pub shed: AtomicU64,
}

impl Receiver {
    /// A receiver that keeps deliveries in `inbox`, and those that nothing proves in `quarantine`.
    pub fn new(inbox: Arc<dyn Inbox>, quarantine: Arc<dyn Inbox>, settings: Receive) -> Self {
        Self {
            routes: RwLock::default(),
            inbox,
            quarantine,
            turn: Mutex::new(()),
            settings,
            counts: Counts::default(),
        }
    }

    /// Takes deliveries for these sources from now on.
    pub fn set_routes(&self, routes: Routes) {
        *self.routes.write().unwrap_or_else(|poisoned| poisoned.into_inner()) = Arc::new(routes);
    }

    fn routes(&self) -> Arc<Routes> {
        self.routes.read().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }

    /// Keeps a delivery, and gives it its time of receipt. What comes back is the answer if it could not be kept.
    async fn keep(&self, delivery: &mut StoredDelivery) -> Result<(), Response> {
        match self.put(delivery).await {
            Ok(_) => {
                self.counts.kept.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
            Err(error @ LogError::TooLarge { .. }) => {
                Err(self.refuse(StatusCode::PAYLOAD_TOO_LARGE, &error.to_string()))
            }
            Err(error) => {
                self.counts.shed.fetch_add(1, Ordering::Relaxed);
                tracing::error!(%error, "a delivery could not be kept and was answered 503");
                let mut response = answer(StatusCode::SERVICE_UNAVAILABLE, &error.to_string());
                response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
                Err(response)
            }
        }
    }

    /// Stamps and puts in one step, so that the times of receipt have the inbox's order: the latest traits win by them.
    fn put(&self, delivery: &mut StoredDelivery) -> impl Future<Output = Result<u64, LogError>> + Send {
        let _turn = self.turn.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        delivery.delivery.received_at = now();
        let mut put = Box::pin(self.inbox.put(delivery.encode().into()));
        // The first poll takes the place in the queue; what follows only waits for the disk.
        let first = put.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        async move {
            match first {
                Poll::Ready(done) => done,
                Poll::Pending => put.await,
            }
        }
    }

    fn refuse(&self, status: StatusCode, message: &str) -> Response {
        self.counts.refused.fetch_add(1, Ordering::Relaxed);
        answer(status, message)
    }

    /// The sender's address: the connection's, or what a trusted proxy says it is.
    fn remote(&self, headers: &HeaderMap, connection: SocketAddr) -> IpAddr {
        let mut address = connection.ip();
        let forwarded = headers.get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok());
        let hops: Vec<&str> = forwarded.flat_map(|value| value.split(',')).map(str::trim).collect();
        // From the nearest hop outwards, as long as the hop that said so is one of ours.
        for hop in hops.iter().rev() {
            if !self.settings.trusted_proxies.contains(&address) {
                break;
            }
            match hop.parse() {
                Ok(next) => address = next,
                Err(_) => break,
            }
        }
        address
    }
}

/// The routes that vendors and libraries reach.
pub fn router(receiver: Arc<Receiver>) -> Router {
    let cors = CorsLayer::new()
        .allow_origin(AllowOrigin::any())
        .allow_methods(AllowMethods::list([http::Method::GET, http::Method::POST, http::Method::OPTIONS]))
        // `*` would not cover Authorization, which the browser library sends.
        .allow_headers(AllowHeaders::mirror_request())
        .max_age(std::time::Duration::from_secs(86_400));
    Router::new()
        .merge(tracking::routes())
        .merge(pixel::routes())
        .layer(cors)
        .merge(webhook::routes())
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .layer(DefaultBodyLimit::disable())
        .fallback(|| async {
            answer(StatusCode::NOT_FOUND, "there is nothing here: see the API in the README")
        })
        .with_state(receiver)
}

/// Whether deliveries are taken right now: a load balancer asks.
async fn ready(State(receiver): State<Arc<Receiver>>) -> Response {
    match receiver.inbox.stats().waiting < READY {
        true => answer(StatusCode::OK, ""),
        false => answer(StatusCode::SERVICE_UNAVAILABLE, "the disk is behind: too much waits to be kept"),
    }
}

/// A request's connection, as handlers get it.
type Connection = ConnectInfo<SocketAddr>;

fn answer(status: StatusCode, message: &str) -> Response {
    let body = match status.is_success() {
        true => json!({ "success": true }),
        false => json!({ "success": false, "message": message }),
    };
    (status, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

/// Why a body could not be read.
enum BodyError {
    /// It is larger than this.
    TooLarge(usize),
    /// The connection ended, or what it sent is no gzip.
    Broken(String),
}

impl BodyError {
    fn message(&self) -> String {
        match self {
            BodyError::TooLarge(limit) => format!("the body is larger than {limit} bytes"),
            BodyError::Broken(why) => why.clone(),
        }
    }
}

/// Reads a body of at most `limit` bytes, packed and unpacked.
async fn read_body(headers: &HeaderMap, body: Body, limit: usize) -> Result<Bytes, BodyError> {
    let declared =
        headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    let mut packed = BytesMut::with_capacity(declared.unwrap_or_default().min(limit).min(64 << 10));
    let mut passed_over = declared.is_some_and(|length| length > limit).then_some(0);
    let mut chunks = body.into_data_stream();
    let reading = async {
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|error| BodyError::Broken(format!("the body was cut: {error}")))?;
            match &mut passed_over {
                None if packed.len() + chunk.len() > limit => passed_over = Some(chunk.len()),
                None => packed.extend_from_slice(&chunk),
                Some(bytes) => *bytes += chunk.len(),
            }
            if passed_over.is_some_and(|bytes| bytes > LINGER) {
                break;
            }
        }
        if passed_over.is_some() { Err(BodyError::TooLarge(limit)) } else { Ok(()) }
    };
    let late = |_| BodyError::Broken(format!("the body did not come within {} s", PATIENCE.as_secs()));
    tokio::time::timeout(PATIENCE, reading).await.map_err(late)??;
    let packed = packed.freeze();
    // Some libraries pack without saying so; JSON and forms never begin like this.
    match packed.starts_with(&[0x1f, 0x8b]) {
        true => unpack(&packed, limit),
        false => Ok(packed),
    }
}

fn unpack(packed: &Bytes, limit: usize) -> Result<Bytes, BodyError> {
    let mut out = Vec::new();
    MultiGzDecoder::new(packed.as_ref())
        .take(limit as u64 + 1)
        .read_to_end(&mut out)
        .map_err(|error| BodyError::Broken(format!("the body is no whole gzip: {error}")))?;
    match out.len() > limit {
        true => Err(BodyError::TooLarge(limit)),
        false => Ok(out.into()),
    }
}

/// The time of receipt, to the microsecond: what every warehouse can hold.
fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
}

/// The headers that are kept with a delivery: hop-by-hop ones and made-up remote addresses are not.
fn kept_headers(headers: &HeaderMap, remote: IpAddr) -> HeaderMap {
    let mut kept = headers.clone();
    for name in [
        "connection",
        "keep-alive",
        "transfer-encoding",
        "te",
        "upgrade",
        "content-encoding",
        "cookie",
        REMOTE,
    ] {
        kept.remove(name);
    }
    if let Ok(value) = HeaderValue::from_str(&remote.to_string()) {
        kept.insert(REMOTE, value);
    }
    kept
}
