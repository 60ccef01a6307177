//! Receive: take a request, prove whose it is, keep it on disk, answer. Nothing is parsed beyond what the answer needs, and neither
//! a warehouse nor a destination is waited for.

use std::{
    collections::HashMap,
    io::Read as _,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex, OnceLock, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
};

use axum::{
    Router,
    body::Body,
    extract::{ConnectInfo, DefaultBodyLimit},
    response::{IntoResponse, Response},
    routing::get,
};
use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use futures::StreamExt;
use headwater_core::{connector::Connector, event::EventSource, object::Request};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use jiff::Timestamp;
use serde_json::json;
use tokio::sync::{Notify, mpsc};
use tower_http::cors::{AllowHeaders, AllowMethods, AllowOrigin, CorsLayer};

use crate::{
    config::Receive,
    inbox::{Inbox, LogError, StoredDelivery},
};

/// What a handshake has to be followed by: a request to the vendor.
#[derive(Debug)]
pub struct Confirm {
    /// The source.
    pub source: String,
    /// What to ask.
    pub request: Request,
}

mod limits;
mod pixel;
mod ready;
mod server;
#[cfg(test)]
mod tests;
mod tracking;
mod webhook;

pub use limits::Limits;
use limits::{Deadline, Held};
pub use ready::{Marks, Ready};
pub use server::{Server, serve};

/// The header that tells the sender's address to the pipeline; one that a sender made up is taken away.
pub const REMOTE: &str = "x-headwater-remote";

/// So much of a body that is too large is read and thrown away: a sender who is still sending would not see the answer.
const LINGER: usize = 16 << 20;

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
    /// Who sends what follows a handshake.
    confirm: OnceLock<mpsc::Sender<Confirm>>,
    /// Sources whose vendor has notified that there is something to fetch.
    notified: Mutex<HashMap<String, Arc<Notify>>>,
    settings: Receive,
    /// What requests may take, and take.
    pub limits: Limits,
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
            confirm: OnceLock::new(),
            notified: Mutex::default(),
            limits: Limits::of_process(settings.max_connections, settings.max_bodies_bytes),
            settings,
            counts: Counts::default(),
        }
    }

    /// Takes deliveries for these sources from now on.
    pub fn set_routes(&self, routes: Routes) {
        *self.routes.write().unwrap_or_else(|poisoned| poisoned.into_inner()) = Arc::new(routes);
    }

    /// What follows handshakes is sent by whoever has the other end.
    pub fn set_confirm(&self, confirm: mpsc::Sender<Confirm>) {
        // Whoever came first stays.
        let _ = self.confirm.set(confirm);
    }

    /// Whoever fetches a source's events waits here for the vendor's notifications.
    pub fn notified(&self, source: &str) -> Arc<Notify> {
        let mut all = self.notified.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        all.entry(source.to_owned()).or_default().clone()
    }

    /// Keeps what was fetched, and behind it where the fetching goes on: all of it or nothing.
    pub async fn keep_fetched(&self, mut fetched: Vec<StoredDelivery>) -> Result<u64, LogError> {
        let now = now();
        fetched.iter_mut().for_each(|stored| stored.delivery.received_at = now);
        self.inbox.put_all(fetched.iter().map(|stored| stored.encode().into()).collect()).await
    }

    fn routes(&self) -> Arc<Routes> {
        self.routes.read().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }

    /// Keeps a delivery, and gives it its time of receipt. What comes back is the answer if it could not be kept.
    async fn keep(&self, delivery: &mut StoredDelivery) -> Result<(), Response> {
        let late = |_| LogError::Io(format!("the disk has not kept it for {} s", limits::KEEP.as_secs()));
        // Where the disk is merely slow it may be kept after all; its sender comes again, and its message id makes it one.
        match tokio::time::timeout(limits::KEEP, self.put(delivery)).await.map_err(late).and_then(|done| done)
        {
            Ok(_) => {
                self.counts.kept.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
            Err(error @ LogError::TooLarge { .. }) => {
                Err(self.refuse(StatusCode::PAYLOAD_TOO_LARGE, &error.to_string()))
            }
            Err(error) => {
                tracing::error!(%error, "a delivery could not be kept and was answered 503");
                Err(self.shed(&error.to_string()))
            }
        }
    }

    /// Stamps and puts in one step, so that the times of receipt have the inbox's order: the latest traits win by them.
    fn put(&self, delivery: &mut StoredDelivery) -> impl Future<Output = Result<u64, LogError>> + Send {
        let draft = delivery.draft();
        let _turn = self.turn.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let received_at = now();
        delivery.delivery.received_at = received_at;
        let mut put = self.inbox.put(draft.received(received_at));
        // The first poll takes the place in the queue; what follows only waits for the disk.
        let first = put.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        async move {
            match first {
                Poll::Ready(done) => done,
                Poll::Pending => put.await,
            }
        }
    }

    /// Takes a delivery that was refused when it came, if it is proven by today's secrets: it gets its place in the inbox, and keeps its
    /// time of receipt. Says why not otherwise.
    pub async fn release(&self, stored: &StoredDelivery, only_look: bool) -> Result<Option<u64>, String> {
        let routes = self.routes();
        let route = routes.by_source.get(&stored.source).ok_or("its source is not enabled any more")?;
        let events = route.events.as_ref().zip(route.connector.events);
        let (events, webhook) = events.ok_or("its source takes no webhooks any more")?;
        let surfaces = webhook.webhook_of(&**events).surfaces;
        let surface = surfaces.iter().find(|surface| surface.path == stored.surface);
        let surface =
            surface.ok_or_else(|| format!("the surface {:?} is no longer there", stored.surface))?;
        let delivery = &stored.delivery;
        // Its time of receipt is the clock that a signature's age is judged by.
        let proven = surface.signature.verify(delivery, &events.secrets(surface), delivery.received_at);
        proven.map_err(|error| error.message().to_owned())?;
        if only_look {
            return Ok(None);
        }
        let mut stored = stored.clone();
        surface.signature.redact(&mut stored.delivery, &events.secrets(surface));
        stored.verified = "signature, after it had been refused".to_owned();
        let put = self.inbox.put(stored.draft().received(stored.delivery.received_at)).await;
        put.map(Some).map_err(|error| error.to_string())
    }

    fn refuse(&self, status: StatusCode, message: &str) -> Response {
        self.counts.refused.fetch_add(1, Ordering::Relaxed);
        answer(status, message)
    }

    /// Answers that a body could not be read; one that is too large gets its own status.
    fn refuse_body(&self, error: BodyError, too_large: StatusCode) -> Response {
        match error {
            BodyError::NoRoom => self.shed("too much is being received: try again in a moment"),
            BodyError::Broken(why) => self.refuse(StatusCode::BAD_REQUEST, &why),
            BodyError::TooLarge(limit) => {
                self.refuse(too_large, &format!("the body is larger than {limit} bytes"))
            }
        }
    }

    /// The sender's address: the connection's, or what a trusted proxy says it is.
    fn remote(&self, headers: &HeaderMap, connection: SocketAddr) -> IpAddr {
        let mut address = connection.ip();
        if !self.settings.trusted_proxies.contains(&address) {
            return address;
        }
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

/// The routes that vendors and libraries reach, but for what is taken: [`serve`] finds that by its path alone.
pub fn router(receiver: Arc<Receiver>, ready: Arc<Ready>) -> Router {
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
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(move || async move { ready.answer().await }))
        .layer(DefaultBodyLimit::disable())
        .fallback(|| async {
            answer(StatusCode::NOT_FOUND, "there is nothing here: see the API in the README")
        })
        .with_state(receiver)
}

/// A request's connection, as handlers get it.
type Connection = ConnectInfo<SocketAddr>;

fn answer(status: StatusCode, message: &str) -> Response {
    let body: Bytes = match status.is_success() {
        true => Bytes::from_static(br#"{"success":true}"#),
        false => json!({ "success": false, "message": message }).to_string().into(),
    };
    (status, [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], body).into_response()
}

/// Why a body could not be read.
enum BodyError {
    /// It is larger than this.
    TooLarge(usize),
    /// Too many others are being read.
    NoRoom,
    /// It did not come whole, or what came is no gzip.
    Broken(String),
}

/// Reads a body of at most `limit` bytes, packed and unpacked. What comes with it is its account: it goes when the request is answered.
async fn read_body<'l>(
    limits: &'l Limits,
    headers: &HeaderMap,
    body: Body,
    limit: usize,
) -> Result<(Bytes, Held<'l>), BodyError> {
    let declared =
        headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    let (mut packed, mut held) = (Vec::new(), limits.body(declared));
    // What is too much is passed over, so that its sender sees the answer.
    let mut refused = declared.filter(|length| *length > limit).map(|_| BodyError::TooLarge(limit));
    let mut passed_over = 0;
    let mut chunks = body.into_data_stream();
    let mut deadline = Deadline::start();
    if refused.is_none() && !limits.has_room(declared.unwrap_or(0)) {
        refused = Some(BodyError::NoRoom);
        deadline.shorten();
    }
    loop {
        let chunk = match deadline.next(chunks.next()).await {
            Ok(Some(Ok(chunk))) => chunk,
            Ok(None) => break,
            Ok(Some(Err(error))) => return Err(BodyError::Broken(format!("the body was cut: {error}"))),
            Err(late) => return Err(refused.unwrap_or(BodyError::Broken(late))),
        };
        if refused.is_none() {
            let length = packed.len() + chunk.len();
            if length > limit {
                refused = Some(BodyError::TooLarge(limit));
            } else if !make_room(&mut packed, length, declared, &mut held) {
                refused = Some(BodyError::NoRoom);
                deadline.shorten();
            } else {
                packed.extend_from_slice(&chunk);
                continue;
            }
            (packed, held) = (Vec::new(), limits.body(declared));
        }
        passed_over += chunk.len();
        if passed_over > LINGER {
            break;
        }
    }
    if let Some(refused) = refused {
        return Err(refused);
    }
    // Some libraries pack without saying so; JSON and forms never begin like this.
    match packed.starts_with(&[0x1f, 0x8b]) {
        true => unpack(&packed, limit, limits),
        false => Ok((packed.into(), held)),
    }
}

/// Room for so many bytes in all, as far as the limits allow.
fn make_room(into: &mut Vec<u8>, length: usize, declared: Option<usize>, held: &mut Held<'_>) -> bool {
    let have = into.capacity();
    if length <= have {
        return true;
    }
    // Doubled as it grows, up to what was promised; a usual call at once.
    let promised = declared.unwrap_or(usize::MAX).max(length);
    let room = length.max(have * 2).max(declared.unwrap_or(0).min(limits::SMALL)).min(promised);
    if !held.grow(room - have) {
        return false;
    }
    into.reserve_exact(room - into.len());
    true
}

fn unpack<'l>(packed: &[u8], limit: usize, limits: &'l Limits) -> Result<(Bytes, Held<'l>), BodyError> {
    let (mut out, mut held) = (Vec::new(), limits.body(None));
    let mut reader = MultiGzDecoder::new(packed).take(limit as u64 + 1);
    let mut piece = [0; 16 << 10];
    loop {
        let read = reader
            .read(&mut piece)
            .map_err(|error| BodyError::Broken(format!("the body is no whole gzip: {error}")))?;
        if read == 0 {
            return Ok((out.into(), held));
        }
        let length = out.len() + read;
        if length > limit {
            return Err(BodyError::TooLarge(limit));
        }
        if !make_room(&mut out, length, None, &mut held) {
            return Err(BodyError::NoRoom);
        }
        out.extend_from_slice(&piece[..read]);
    }
}

/// The time of receipt, to the microsecond: what every warehouse can hold.
fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
}

/// The headers that are kept with a delivery: hop-by-hop ones and made-up remote addresses are not.
fn kept_headers(mut headers: HeaderMap, remote: IpAddr) -> HeaderMap {
    static REMOTE_NAME: HeaderName = HeaderName::from_static(REMOTE);
    static LEFT_OUT: [HeaderName; 7] = [
        header::CONNECTION,
        HeaderName::from_static("keep-alive"),
        header::TRANSFER_ENCODING,
        header::TE,
        header::UPGRADE,
        header::CONTENT_ENCODING,
        header::COOKIE,
    ];
    for name in &LEFT_OUT {
        headers.remove(name);
    }
    match HeaderValue::try_from(remote.to_string()) {
        Ok(value) => drop(headers.insert(&REMOTE_NAME, value)),
        Err(_) => drop(headers.remove(&REMOTE_NAME)),
    }
    headers
}
