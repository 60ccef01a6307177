//! A real HTTP server that takes calls: it answers as a test wants, and remembers what it was sent.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::to_bytes,
    extract::Request,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use headwater_core::{auth::Secret, event::Delivery, signature::Signature};
use http::{HeaderMap, Method, StatusCode};
use jiff::Timestamp;
use serde_json::Value;
use tokio::{net::TcpListener, runtime::Runtime};

/// A secret that such a server shares with its senders.
pub const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A request that it was sent.
#[derive(Clone, Debug)]
pub struct Taken {
    pub at: Instant,
    pub path: String,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// How it was answered.
    pub status: u16,
}

/// The server; it is gone when this is dropped.
pub struct Taker {
    /// `http://127.0.0.1:port`
    pub url: String,
    taken: Arc<Mutex<Vec<Taken>>>,
    _runtime: Runtime,
}

/// An answer with a status, and headers.
pub fn status(status: u16, headers: &[(&'static str, &str)]) -> Response {
    let mut answer = (StatusCode::from_u16(status).expect("a status"), "").into_response();
    for (name, value) in headers {
        answer.headers_mut().insert(*name, value.parse().expect("a value"));
    }
    answer
}

/// An address of this machine where nobody listens.
pub fn nobody() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address")
}

impl Taker {
    /// Takes everything.
    pub fn willing() -> Self {
        Self::answering(|_, _| status(200, &[]))
    }

    /// Answers what `answer` makes of a request and of how many there were before it.
    pub fn answering(answer: impl Fn(&Taken, usize) -> Response + Clone + Send + Sync + 'static) -> Self {
        Self::at(SocketAddr::from(([127, 0, 0, 1], 0)), Duration::ZERO, answer)
    }

    /// The same, at this address, each answer so late.
    pub fn at(
        address: SocketAddr,
        delay: Duration,
        answer: impl Fn(&Taken, usize) -> Response + Clone + Send + Sync + 'static,
    ) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        let taken: Arc<Mutex<Vec<Taken>>> = Arc::default();
        let seen = taken.clone();
        let router = Router::new().fallback(move |request: Request| {
            let (answer, seen) = (answer.clone(), seen.clone());
            async move {
                let (parts, body) = request.into_parts();
                let body = to_bytes(body, 64 << 20).await.expect("a body");
                let mut one = Taken {
                    at: Instant::now(),
                    path: parts.uri.path().to_owned(),
                    headers: parts.headers,
                    body,
                    status: 0,
                };
                let answered = {
                    let mut seen = seen.lock().expect("a list");
                    let answered = answer(&one, seen.len());
                    one.status = answered.status().as_u16();
                    seen.push(one);
                    answered
                };
                tokio::time::sleep(delay).await;
                answered
            }
        });
        let listener = runtime.block_on(TcpListener::bind(address)).expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        runtime.spawn(async move { axum::serve(listener, router).await });
        Self { url, taken, _runtime: runtime }
    }

    /// What it was sent so far.
    pub fn taken(&self) -> Vec<Taken> {
        self.taken.lock().expect("a list").clone()
    }

    /// The message ids of all calls that it took, in the order of their coming.
    pub fn ids(&self) -> Vec<String> {
        let taken = self.taken();
        taken.iter().filter(|one| one.status < 300).flat_map(Taken::ids).collect()
    }
}

impl Taken {
    /// Its calls.
    pub fn calls(&self) -> Vec<Value> {
        let body: Value = serde_json::from_slice(&self.body).expect("JSON");
        match body.get("batch").and_then(Value::as_array) {
            Some(batch) => batch.clone(),
            None => vec![body],
        }
    }

    /// Their message ids.
    pub fn ids(&self) -> Vec<String> {
        self.calls().iter().map(|call| call["messageId"].as_str().expect("a message id").to_owned()).collect()
    }

    /// A header's text.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// Whether its signature is good.
    pub fn is_signed(&self, secret: &str) -> bool {
        let delivery = Delivery {
            received_at: Timestamp::now(),
            method: Method::POST,
            path_tail: String::new(),
            query: String::new(),
            headers: self.headers.clone(),
            body: self.body.clone(),
            url: String::new(),
            lookups: Vec::new(),
        };
        Signature::STANDARD.verify(&delivery, &[Secret::new(secret)], Timestamp::now()).is_ok()
    }
}
