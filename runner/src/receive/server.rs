//! The server under the routes: accepts connections, as many as there is room for, bounds what each may take, and ends so that no
//! request is lost.
//!
//! Ending has two steps. While the server *drains*, everything is taken as before, but each answer says that its connection ends with it,
//! so that clients come back on a new one. When it *closes*, nothing more is accepted; what has connected waits in the socket's queue for
//! the next process, and requests under way are answered.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{Router, body::Body, extract::ConnectInfo};
use http::{HeaderValue, Method, Request, Response, header};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};
use tower::Service;

use super::{
    Receiver,
    limits::{Patient, busy_answer},
    tracking, webhook,
};

/// The largest head of a request, and what is read at once of a body, in bytes.
const BUFFER: usize = 32 << 10;
/// A connection that has been kept for further requests gets so long to send one more, and hear that it is the last.
const LAST_CALL: Duration = Duration::from_millis(500);
/// One that has been accepted and has sent nothing yet gets so long before it is closed.
const FIRST_CALL: Duration = Duration::from_secs(1);

/// A running server.
pub struct Server {
    close: watch::Sender<bool>,
    accepting: JoinHandle<()>,
    shared: Arc<Shared>,
}

struct Shared {
    router: Router,
    receiver: Arc<Receiver>,
    /// Answers say that their connection ends.
    draining: AtomicBool,
    /// Every connection holds a receiver of it.
    alive: watch::Sender<bool>,
}

/// Takes requests until [`Server::close`]; from the moment that `stop` becomes true, it drains.
pub fn serve(
    listener: TcpListener,
    router: Router,
    receiver: Arc<Receiver>,
    stop: watch::Receiver<bool>,
) -> Server {
    let (close, closing) = watch::channel(false);
    let (alive, _) = watch::channel(false);
    let shared = Arc::new(Shared { router, receiver, draining: AtomicBool::new(false), alive });
    let accepting = tokio::spawn(accept(listener, shared.clone(), closing, stop));
    Server { close, accepting, shared }
}

impl Server {
    /// Stops accepting, and waits at most so long for the requests under way. Returns how many connections were cut.
    pub async fn close(self, patience: Duration) -> usize {
        self.shared.draining.store(true, Ordering::SeqCst);
        // Clients that keep their connections hear that they end, while new ones are still accepted.
        let _ = tokio::time::timeout(LAST_CALL, self.shared.alive.closed()).await;
        self.close.send_replace(true);
        let _ = self.accepting.await;
        self.shared.alive.send_replace(true);
        let _ = tokio::time::timeout(patience, self.shared.alive.closed()).await;
        self.shared.alive.receiver_count()
    }
}

async fn accept(
    listener: TcpListener,
    shared: Arc<Shared>,
    mut closing: watch::Receiver<bool>,
    mut stop: watch::Receiver<bool>,
) {
    loop {
        let accepted = tokio::select! {
            biased;
            _ = closing.wait_for(|closing| *closing) => return,
            _ = stop.wait_for(|stop| *stop), if !shared.draining.load(Ordering::Relaxed) => {
                shared.draining.store(true, Ordering::SeqCst);
                continue;
            }
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let limits = &shared.receiver.limits;
                let (room, is_refused) = match limits.connection() {
                    Some(room) => (Some(room), false),
                    // There is a little room for those who have to be told that there is none.
                    None => (limits.refusal().await, true),
                };
                // Before the task begins: whoever closes the server waits for this connection too.
                let closing = shared.alive.subscribe();
                let shared = shared.clone();
                tokio::spawn(async move {
                    attend(stream, peer, &shared, closing, is_refused).await;
                    drop(room);
                });
            }
            // The connection was gone before it was accepted.
            Err(error) if is_of_the_connection(&error) => {}
            Err(error) => {
                // Out of file descriptors, mostly: some come back.
                tracing::error!(%error, "connections cannot be accepted; trying again");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

fn is_of_the_connection(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// What is known of a connection while it is served.
#[derive(Default)]
pub(super) struct State {
    busy: AtomicBool,
    requests: AtomicUsize,
}

impl State {
    /// Whether a request is being answered.
    pub fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Relaxed)
    }

    /// How many requests have begun.
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }

    fn begin(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.busy.store(true, Ordering::Relaxed);
    }

    fn end(&self) {
        self.busy.store(false, Ordering::Relaxed);
    }
}

/// Serves one connection to its end; if it is refused, every request is answered that there is none.
async fn attend(
    stream: TcpStream,
    peer: SocketAddr,
    shared: &Shared,
    mut closing: watch::Receiver<bool>,
    is_refused: bool,
) {
    // Answers are small and whole: nothing is gained by waiting for more of them.
    let _ = stream.set_nodelay(true);
    let state = Arc::new(State::default());
    let service = service_fn(|request: Request<Incoming>| {
        let state = state.clone();
        state.begin();
        async move {
            let mut response = match is_refused {
                false => answer(shared, request, peer).await,
                true => busy_answer(&shared.receiver, request).await,
            };
            if is_refused || shared.draining.load(Ordering::Relaxed) || shared.receiver.limits.is_crowded() {
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            state.end();
            Ok::<_, Infallible>(response)
        }
    });
    let io = TokioIo::new(Patient::new(stream, state.clone()));
    let connection = http1::Builder::new().max_buf_size(BUFFER).serve_connection(io, service);
    tokio::pin!(connection);
    // Errors are the client's: it went away, or sent what is no HTTP. Requests that reach us are counted by themselves.
    tokio::select! {
        _ = connection.as_mut() => return,
        _ = closing.wait_for(|closing| *closing) => {}
    }
    let since = Instant::now();
    loop {
        // One of which nothing has been read yet would be closed at once, its first request perhaps on its way: that one's answer says
        // that it is the last.
        if state.requests() > 0 {
            connection.as_mut().graceful_shutdown();
        }
        let ended = tokio::time::timeout(FIRST_CALL / 4, connection.as_mut()).await.is_ok();
        if ended || !state.is_busy() && since.elapsed() >= FIRST_CALL {
            return;
        }
    }
}

async fn answer(shared: &Shared, mut request: Request<Incoming>, peer: SocketAddr) -> Response<Body> {
    // What comes all the time needs no router to find its place.
    let path = request.uri().path();
    if path.starts_with(webhook::PATH) {
        return webhook::take(&shared.receiver, peer, request.map(Body::new)).await;
    }
    if request.method() == Method::POST && path.starts_with(tracking::PATH) {
        return tracking::take(&shared.receiver, peer, request.map(Body::new)).await;
    }
    request.extensions_mut().insert(ConnectInfo(peer));
    let Ok(response) = shared.router.clone().call(request).await;
    response
}
