//! A vendor that answers what was recorded, over real HTTP, and that can be made to fail.

use std::{
    net::Ipv4Addr,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Request, State},
    response::Response,
};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use percent_encoding::percent_decode_str;

use crate::fixture::{Exchange, pairs_of};

/// What may go wrong before, or instead of, a recorded answer.
#[derive(Clone, Debug)]
pub enum Fault {
    /// This status, with these headers.
    Status(u16, Vec<(&'static str, String)>),
    /// No answer, for longer than anybody waits.
    Hang,
    /// Half of the body.
    Cut,
    /// Another body.
    Body(Bytes),
}

/// Says what goes wrong with an exchange.
pub type Plan = Box<dyn Fn(Met) -> Option<Fault> + Send + Sync>;

/// An exchange that is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Met {
    /// Its place among all.
    pub place: usize,
    /// How often it has answered so far.
    pub answered: u32,
    /// How often it has failed so far.
    pub failed: u32,
}

/// A request that came.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The exchange that answered it.
    pub exchange: Option<usize>,
    /// The vendor's host that it was meant for.
    pub host: String,
    pub method: String,
    pub path: String,
    pub query: Vec<(String, String)>,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// The stand-in, for as long as this lives.
pub struct Replay {
    /// Its address.
    pub url: String,
    inner: Arc<Inner>,
    task: tokio::task::JoinHandle<()>,
}

struct Inner {
    exchanges: Vec<Exchange>,
    plan: Plan,
    state: Mutex<Progress>,
}

#[derive(Default)]
struct Progress {
    used: Vec<u32>,
    faults: Vec<u32>,
    log: Vec<Seen>,
}

impl Replay {
    /// Answers as recorded.
    pub async fn start(exchanges: Vec<Exchange>) -> Result<Self, String> {
        Self::failing(exchanges, Box::new(|_| None)).await
    }

    /// Answers as recorded, but for what `plan` says.
    pub async fn failing(exchanges: Vec<Exchange>, plan: Plan) -> Result<Self, String> {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .map_err(|error| error.to_string())?;
        let address = listener.local_addr().map_err(|error| error.to_string())?;
        let count = exchanges.len();
        let state = Progress { used: vec![0; count], faults: vec![0; count], log: Vec::new() };
        let inner = Arc::new(Inner { exchanges, plan, state: Mutex::new(state) });
        let router = Router::new().fallback(answer).with_state(Arc::clone(&inner));
        let task = tokio::spawn(async move {
            // It ends with its test.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { url: format!("http://{address}"), inner, task })
    }

    /// The requests so far.
    pub fn log(&self) -> Vec<Seen> {
        self.inner.lock().log.clone()
    }

    /// How many requests there were so far.
    pub fn count(&self) -> usize {
        self.inner.lock().log.len()
    }

    /// The exchanges that nobody asked for.
    pub fn idle(&self) -> Vec<&Exchange> {
        let state = self.inner.lock();
        self.inner
            .exchanges
            .iter()
            .zip(&state.used)
            .filter(|(_, used)| **used == 0)
            .map(|(known, _)| known)
            .collect()
    }

    /// Requests that no recorded one is like.
    pub fn strangers(&self) -> Vec<String> {
        let show = |seen: &Seen| {
            let query: Vec<String> =
                seen.query.iter().map(|(name, value)| format!("{name}={value}")).collect();
            let body = String::from_utf8_lossy(&seen.body);
            format!(
                "{} {}?{} {}",
                seen.method,
                seen.path,
                query.join("&"),
                body.chars().take(2000).collect::<String>()
            )
        };
        self.inner.lock().log.iter().filter(|seen| seen.exchange.is_none()).map(show).collect()
    }

    /// How often each exchange has answered.
    pub fn answered(&self) -> Vec<u32> {
        self.inner.lock().used.clone()
    }

    /// What is recorded.
    pub fn exchanges(&self) -> &[Exchange] {
        &self.inner.exchanges
    }
}

impl Drop for Replay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, Progress> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// The first exchange like this request that was not used yet, else the last one.
    fn find(&self, used: &[u32], seen: &Seen) -> Option<usize> {
        let mut last = None;
        for (place, known) in self.exchanges.iter().enumerate() {
            if seen.is_like(known) {
                last = Some(place);
                if used[place] == 0 {
                    break;
                }
            }
        }
        last
    }
}

impl Seen {
    fn is_like(&self, known: &Exchange) -> bool {
        let same = |path: &str| percent_decode_str(path).collect::<Vec<u8>>();
        known.method == self.method
            && same(&known.path) == same(&self.path)
            && all_like(&known.query, &self.query)
            && known.body.as_ref().is_none_or(|body| body_like(body, self))
    }
}

/// Whether the pairs are the same; a recorded `*` is like anything of its name.
fn all_like(known: &[(String, String)], sent: &[(String, String)]) -> bool {
    known.len() == sent.len()
        && known
            .iter()
            .zip(sent)
            .all(|((name, value), (sent, with))| name == sent && (value == "*" || value == with))
}

fn body_like(known: &Bytes, seen: &Seen) -> bool {
    let json = |text: &Bytes| serde_json::from_slice::<serde_json::Value>(text).ok();
    let is_form = seen.headers.get("content-type").is_some_and(|kind| {
        kind.to_str().is_ok_and(|kind| kind.starts_with("application/x-www-form-urlencoded"))
    });
    match (json(known), is_form) {
        (Some(known), _) => json(&seen.body).as_ref() == Some(&known),
        (None, true) => {
            let pairs = |text: &Bytes| pairs_of(&String::from_utf8_lossy(text));
            all_like(&pairs(known), &pairs(&seen.body))
        }
        (None, false) => known.trim_ascii() == seen.body.trim_ascii(),
    }
}

async fn answer(State(inner): State<Arc<Inner>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, 16 << 20).await.unwrap_or_default();
    let host = parts.headers.get("x-headwater-host").and_then(|host| host.to_str().ok()).unwrap_or_default();
    let mut seen = Seen {
        exchange: None,
        host: host.to_owned(),
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        query: pairs_of(parts.uri.query().unwrap_or_default()),
        headers: parts.headers,
        body,
    };
    let (place, fault) = {
        let mut state = inner.lock();
        seen.exchange = inner.find(&state.used, &seen);
        state.log.push(seen.clone());
        let Some(place) = seen.exchange else {
            return plain(404, format!("nothing is recorded for {} {}", seen.method, seen.path).into());
        };
        let fault = (inner.plan)(Met { place, answered: state.used[place], failed: state.faults[place] });
        match fault {
            Some(Fault::Body(_)) => state.used[place] += 1,
            Some(_) => state.faults[place] += 1,
            None => state.used[place] += 1,
        }
        (place, fault)
    };
    let known = &inner.exchanges[place];
    match fault {
        Some(Fault::Status(status, headers)) => {
            let mut response = plain(status, Bytes::new());
            for (name, value) in headers {
                if let Ok(value) = value.parse() {
                    response.headers_mut().insert(name, value);
                }
            }
            response
        }
        Some(Fault::Hang) => {
            tokio::time::sleep(Duration::from_secs(60)).await;
            plain(504, Bytes::new())
        }
        Some(Fault::Cut) => {
            let half = known.answer.slice(..known.answer.len() / 2);
            let broken = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
            recorded(known, Body::from_stream(futures::stream::iter([Ok(half), Err(broken)])))
        }
        Some(Fault::Body(body)) => recorded(known, body.into()),
        None => recorded(known, known.answer.clone().into()),
    }
}

fn recorded(known: &Exchange, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(known.status).unwrap_or(StatusCode::IM_A_TEAPOT);
    for (name, value) in &known.headers {
        // How the answer travels is this server's own affair.
        let travels = ["content-length", "transfer-encoding", "connection", "content-encoding"];
        if let (false, Ok(name), Ok(value)) =
            (travels.contains(&name.as_str()), name.parse::<http::HeaderName>(), value.parse())
        {
            response.headers_mut().append(name, value);
        }
    }
    response
}

fn plain(status: u16, body: Bytes) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::IM_A_TEAPOT);
    response
}
