//! What receiving may take, whoever sends and however slowly: connections, bytes of bodies in memory, time. Beyond it requests are
//! answered 503 with `Retry-After`, before memory grows.
//!
//! Bodies count from the first byte that has come (not from what their sender promises) until they are answered. Every request has
//! [`SMALL`] bytes of a part that large bodies cannot take away: those who send much, slowly, keep nobody else out.

use std::{
    io,
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll},
    time::Duration,
};

use axum::body::Body;
use futures::StreamExt;
use http::{HeaderValue, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, Sleep, sleep_until},
};

use super::{Receiver, answer, server::State};

/// How long the head of a request may take from its first byte.
const HEAD: Duration = Duration::from_secs(10);
/// How long a connection may keep still between two requests. Longer than the minute that load balancers keep theirs.
const IDLE: Duration = Duration::from_secs(75);
/// How long a body may keep still.
const STILL: Duration = Duration::from_secs(15);
/// How long a body may take.
const WHOLE: Duration = Duration::from_secs(60);
/// How long a body that is not wanted is read, so that its sender sees the answer.
const PASS: Duration = Duration::from_secs(5);
/// How long the disk may take to keep a delivery before its sender is told to come again.
pub(super) const KEEP: Duration = Duration::from_secs(30);

/// What every body may take of its own part, in bytes: most calls are smaller.
pub(super) const SMALL: usize = 64 << 10;
/// Of the bytes for bodies, one in so many is for the first [`SMALL`] of each.
const SHARE: usize = 2;
/// Bytes are counted in pieces of so many.
const PIECE: usize = 1 << 10;
/// So many connections beyond the limit are told so at once; more have to wait in the socket's queue.
const REFUSALS: usize = 128;
/// File descriptors that are not for connections: databases, segments, vendors.
const OTHER_FILES: u64 = 256;

/// The seconds after which a client that was turned away should come again.
const RETRY: HeaderValue = HeaderValue::from_static("5");

/// What all requests together may take.
pub struct Limits {
    connections: Arc<Semaphore>,
    most: usize,
    refusals: Arc<Semaphore>,
    small: Semaphore,
    large: Semaphore,
    pieces: usize,
}

impl Limits {
    /// So many connections, and so many bytes of bodies.
    pub fn new(connections: usize, bytes: usize) -> Self {
        let most = connections.clamp(1, Semaphore::MAX_PERMITS);
        let pieces = (bytes / PIECE).clamp(2 * SMALL / PIECE, u32::MAX as usize);
        let small = (pieces / SHARE).max(SMALL / PIECE);
        Self {
            connections: Arc::new(Semaphore::new(most)),
            most,
            refusals: Arc::new(Semaphore::new(REFUSALS)),
            small: Semaphore::new(small),
            large: Semaphore::new(pieces - small),
            pieces,
        }
    }

    /// The same, but no more connections than the process may have open files; it asks for as many as it can get.
    pub fn of_process(connections: usize, bytes: usize) -> Self {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let files = getrlimit(Resource::Nofile);
        let wanted = (connections as u64).saturating_add(OTHER_FILES + REFUSALS as u64);
        let mut have = files.current.unwrap_or(u64::MAX);
        if have < wanted {
            let more = files.maximum.map_or(wanted, |most| most.min(wanted));
            if setrlimit(Resource::Nofile, Rlimit { current: Some(more), maximum: files.maximum }).is_ok() {
                have = more;
            }
        }
        let room = have.saturating_sub(OTHER_FILES + REFUSALS as u64).max(16);
        let room = usize::try_from(room).unwrap_or(usize::MAX);
        if room < connections {
            tracing::warn!(
                "the system allows {have} open files: receive.max_connections is taken as {room}; raise the limit (ulimit -n, LimitNOFILE)"
            );
        }
        Self::new(connections.min(room), bytes)
    }

    /// Room for one more connection, if there is any.
    pub(super) fn connection(&self) -> Option<OwnedSemaphorePermit> {
        self.connections.clone().try_acquire_owned().ok()
    }

    /// Room to tell one more client that there is none.
    pub(super) async fn refusal(&self) -> Option<OwnedSemaphorePermit> {
        self.refusals.clone().acquire_owned().await.ok()
    }

    /// Whether connections run short: then none is kept for a next request.
    pub(super) fn is_crowded(&self) -> bool {
        self.connections.available_permits() < self.most / 8
    }

    /// Whether there is room now for a body that promises so many bytes. Nothing is taken: promises cost their sender nothing.
    pub(super) fn has_room(&self, bytes: usize) -> bool {
        bytes <= SMALL || self.large.available_permits() >= bytes.div_ceil(PIECE)
    }

    /// The account of one body. One that is declared to be large takes nothing of the part for small ones.
    pub(super) fn body(&self, declared: Option<usize>) -> Held<'_> {
        let own = if declared.is_some_and(|bytes| bytes > SMALL) { 0 } else { SMALL / PIECE };
        Held { limits: self, own, bytes: 0, small: 0, large: 0 }
    }

    /// Bytes of bodies in memory now, about.
    pub fn held(&self) -> usize {
        let left = self.small.available_permits() + self.large.available_permits();
        self.pieces.saturating_sub(left) * PIECE
    }
}

/// What one body takes of the [`Limits`], until this is dropped.
pub(super) struct Held<'l> {
    limits: &'l Limits,
    /// How many pieces it may have of the part for small ones.
    own: usize,
    bytes: usize,
    /// Pieces of either part.
    small: usize,
    large: usize,
}

impl Held<'_> {
    /// So many bytes more. False if there is no room: then nothing was taken.
    pub fn grow(&mut self, bytes: usize) -> bool {
        let (limits, own) = (self.limits, self.own);
        let pieces = (self.bytes + bytes).div_ceil(PIECE);
        let (small, large) = (pieces.min(own) - self.small, pieces.saturating_sub(own) - self.large);
        let take = |part: &Semaphore, pieces: usize| match pieces {
            0 => true,
            pieces => part.try_acquire_many(pieces as u32).map(|permit| permit.forget()).is_ok(),
        };
        if !take(&limits.small, small) {
            return false;
        }
        if !take(&limits.large, large) {
            limits.small.add_permits(small);
            return false;
        }
        self.bytes += bytes;
        self.small += small;
        self.large += large;
        true
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.limits.small.add_permits(self.small);
        self.limits.large.add_permits(self.large);
    }
}

/// The moments by which the parts of a body have to come.
pub(super) struct Deadline(Instant);

impl Deadline {
    pub fn start() -> Self {
        Self(Instant::now() + WHOLE)
    }

    /// Nobody needs it any more: it is only read so that its sender sees the answer.
    pub fn shorten(&mut self) {
        self.0 = self.0.min(Instant::now() + PASS);
    }

    /// The next part, unless it takes too long.
    pub async fn next<T>(&self, part: impl Future<Output = T>) -> Result<T, String> {
        let until = self.0.min(Instant::now() + STILL);
        let late = |_| match until == self.0 {
            true => format!("the body did not come within {} s", WHOLE.as_secs()),
            false => format!("nothing more of the body came for {} s", STILL.as_secs()),
        };
        tokio::time::timeout_at(until, part).await.map_err(late)
    }
}

/// A connection whose requests have to come in time: a head that comes byte by byte is cut, and so is a connection that keeps still.
pub(super) struct Patient {
    stream: TcpStream,
    state: Arc<State>,
    /// How many requests there had been when this one was first waited for,
    waited: Option<usize>,
    /// and when its head began.
    begun: Option<usize>,
    /// When that was.
    since: Instant,
    /// When to look again whether it takes too long: a timer for each request would cost more than to look now and then.
    look: Pin<Box<Sleep>>,
}

impl Patient {
    pub fn new(stream: TcpStream, state: Arc<State>) -> Self {
        let since = Instant::now();
        Self { stream, state, waited: None, begun: None, since, look: Box::pin(sleep_until(since + HEAD)) }
    }

    /// Ready when the request that is waited for, the one after so many, takes too long.
    fn poll_late(&mut self, requests: usize, cx: &mut Context<'_>) -> Poll<()> {
        let has_begun = self.begun == Some(requests);
        if self.waited != Some(requests) && !has_begun {
            self.since = Instant::now();
        }
        self.waited = Some(requests);
        while self.look.as_mut().poll(cx).is_ready() {
            let (now, due) = (Instant::now(), self.since + if has_begun { HEAD } else { IDLE });
            if due <= now {
                return Poll::Ready(());
            }
            self.look.as_mut().reset(due.min(now + HEAD));
        }
        Poll::Pending
    }
}

impl AsyncRead for Patient {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, into);
        // Of a request that is being answered the head is whole; its body has times of its own.
        if self.state.is_busy() {
            return read;
        }
        let requests = self.state.requests();
        if read.is_pending() && self.poll_late(requests, cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        if into.filled().len() > before && self.begun != Some(requests) {
            (self.begun, self.since) = (Some(requests), Instant::now());
        }
        read
    }
}

impl AsyncWrite for Patient {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// The answer to a client for whom there is no room. A small body is read first: a client that is still sending would not see it.
pub(super) async fn busy_answer(receiver: &Receiver, request: Request<Incoming>) -> Response<Body> {
    let mut parts = Body::new(request.into_body()).into_data_stream();
    let reading = async {
        let mut bytes = 0;
        while let Some(Ok(part)) = parts.next().await {
            bytes += part.len();
            if bytes > SMALL {
                break;
            }
        }
    };
    let _ = tokio::time::timeout(Duration::from_secs(1), reading).await;
    receiver.shed("too many connections are open: try again in a moment")
}

impl Receiver {
    /// Answers that there is no room now.
    pub(super) fn shed(&self, why: &str) -> Response<Body> {
        self.counts.shed.fetch_add(1, Ordering::Relaxed);
        let mut response = answer(StatusCode::SERVICE_UNAVAILABLE, why);
        response.headers_mut().insert(header::RETRY_AFTER, RETRY);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_bodies_leave_room_for_small_ones() {
        let bytes = 4 << 20;
        let limits = Limits::new(10, bytes);
        let mut large: Vec<_> = (0..100).map(|_| limits.body(None)).collect();
        let mut refused = 0;
        for _ in 0..100 {
            for body in &mut large[..8] {
                refused += usize::from(!body.grow(64 << 10));
            }
        }
        assert!(refused > 0 && limits.held() <= bytes, "{refused}");
        let mut small = limits.body(None);
        assert!(small.grow(30 << 10), "there is room for a usual call");
        assert!(!large[0].grow(PIECE), "and none for more of a large one");
        drop((small, large));
        assert_eq!(limits.held(), 0);
        let mut declared = limits.body(Some(1 << 20));
        assert!(
            declared.grow(1) && declared.small == 0 && declared.large == 1,
            "a large one takes nothing of theirs"
        );
        drop(declared);
        let mut one = limits.body(None);
        assert!(one.grow(1 << 20) && !one.grow(2 << 20) && one.grow(10));
    }

    #[test]
    fn connections_are_counted() {
        let limits = Limits::new(16, 1 << 20);
        let open: Vec<_> = (0..16).map_while(|_| limits.connection()).collect();
        assert_eq!(open.len(), 16);
        assert!(limits.connection().is_none() && limits.is_crowded());
        drop(open);
        assert!(limits.connection().is_some() && !limits.is_crowded());
    }
}
