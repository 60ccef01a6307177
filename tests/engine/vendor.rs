//! A vendor that does what the test says: lists, exports and feeds over HTTP, out of a state that the test holds.
//!
//! - `/{list}`: rows as `{"data": […], "next": token, "more": bool}`, filtered by `since` and `until`, paged by `page` (a
//!   token), `number` or `offset`. The name may have slashes: `tickets/7/comments`.
//! - `/{list}/{id}`: one row.
//! - `/export/{list}`: rows behind `cursor`, a durable one; 410 for one older than the state's `forgotten`.
//! - `/feed/{name}`: changes, from `since` on.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{Router, extract::State as Shared, http::Uri, response::IntoResponse};
use headwater_core::time::parse_time;
use jiff::Timestamp;
use serde_json::{Value, json};

/// One request.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ask {
    pub path: String,
    pub query: BTreeMap<String, String>,
}

/// One answer.
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Value,
}

type Hook = Box<dyn FnMut(&Ask, &mut State) -> Option<Reply> + Send>;

/// What the vendor has.
#[derive(Default)]
pub struct State {
    pub lists: BTreeMap<String, Vec<Value>>,
    pub feeds: BTreeMap<String, Vec<Value>>,
    pub partitions: Vec<String>,
    /// Lists that are newest first and take no filter.
    pub newest_first: BTreeSet<String>,
    /// Cursors up to this are not known any more.
    pub forgotten: i64,
    /// How long each answer takes.
    pub delay: Duration,
    /// Rows on a page.
    pub size: usize,
    /// Asked first; what it answers is sent.
    pub hook: Option<Hook>,
}

struct Inner {
    state: Mutex<State>,
    asks: Mutex<Vec<Ask>>,
    now: AtomicUsize,
    most: AtomicUsize,
}

/// A running one.
pub struct Vendor {
    pub url: String,
    inner: Arc<Inner>,
}

impl Reply {
    pub fn ok(body: Value) -> Self {
        Self { status: 200, headers: Vec::new(), body }
    }

    pub fn status(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: json!({ "message": "as the test wants it" }) }
    }
}

impl Vendor {
    pub async fn start() -> Self {
        let state = State { size: 2, ..State::default() };
        let inner = Arc::new(Inner {
            state: Mutex::new(state),
            asks: Mutex::default(),
            now: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let router = Router::new().fallback(answer).with_state(inner.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, inner }
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Puts rows into a list; one of the same id is replaced.
    pub fn put(&self, list: &str, rows: impl IntoIterator<Item = Value>) {
        let mut state = self.state();
        let list = state.lists.entry(list.to_owned()).or_default();
        for row in rows {
            list.retain(|old| old["id"] != row["id"]);
            list.push(row);
        }
    }

    pub fn remove(&self, list: &str, id: &str) {
        let mut state = self.state();
        state.lists.get_mut(list).expect("a list").retain(|row| row["id"] != id);
    }

    /// From now on this hook is asked first.
    pub fn hook(&self, hook: impl FnMut(&Ask, &mut State) -> Option<Reply> + Send + 'static) {
        self.state().hook = Some(Box::new(hook));
    }

    /// From now on `path` gives nothing but this status.
    pub fn refuse(&self, path: &'static str, status: u16) {
        self.hook(move |ask, _| (ask.path == path).then(|| Reply::status(status)));
    }

    pub fn behave(&self) {
        self.state().hook = None;
    }

    /// What has been asked of `path` since this was last called.
    pub fn asked(&self, path: &str) -> Vec<Ask> {
        let mut asks = self.inner.asks.lock().expect("asks");
        let (found, rest) = asks.drain(..).partition(|ask: &Ask| ask.path == path);
        *asks = rest;
        found
    }

    /// The most requests that were ever under way at once.
    pub fn most(&self) -> usize {
        self.inner.most.load(Ordering::SeqCst)
    }
}

async fn answer(Shared(inner): Shared<Arc<Inner>>, uri: Uri) -> impl IntoResponse {
    let now = inner.now.fetch_add(1, Ordering::SeqCst) + 1;
    inner.most.fetch_max(now, Ordering::SeqCst);
    let url = reqwest::Url::parse(&format!("http://vendor{uri}")).expect("an address");
    let query = url.query_pairs().into_owned().collect();
    let ask = Ask { path: url.path().trim_start_matches('/').to_owned(), query };
    inner.asks.lock().expect("asks").push(ask.clone());
    let (reply, delay) = {
        let mut state = inner.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let mut hook = state.hook.take();
        let hooked = hook.as_mut().and_then(|hook| hook(&ask, &mut state));
        state.hook = state.hook.take().or(hook);
        (hooked.unwrap_or_else(|| state.answer(&ask)), state.delay)
    };
    tokio::time::sleep(delay).await;
    inner.now.fetch_sub(1, Ordering::SeqCst);
    let mut response = axum::response::Response::new(axum::body::Body::from(reply.body.to_string()));
    *response.status_mut() = axum::http::StatusCode::from_u16(reply.status).expect("a status");
    response.headers_mut().insert("content-type", "application/json".parse().expect("a value"));
    for (name, value) in reply.headers {
        response.headers_mut().insert(name, value.parse().expect("a value"));
    }
    response
}

impl State {
    /// What it answers without a hook.
    pub fn answer(&self, ask: &Ask) -> Reply {
        if ask.path == "check" {
            return Reply::ok(json!({ "id": "acct", "title": "Pretended" }));
        }
        if ask.path == "partitions" {
            return Reply::ok(json!(self.partitions));
        }
        if let Some(name) = ask.path.strip_prefix("export/") {
            return self.export(name, ask);
        }
        if let Some(name) = ask.path.strip_prefix("feed/") {
            return self.feed(name, ask);
        }
        if let Some(rows) = self.lists.get(&ask.path) {
            return self.list(rows, ask);
        }
        let row = ask
            .path
            .rsplit_once('/')
            .and_then(|(list, id)| self.lists.get(list)?.iter().find(|row| row["id"].as_str() == Some(id)));
        row.map_or(Reply::status(404), |row| Reply::ok(row.clone()))
    }

    fn list(&self, rows: &[Value], ask: &Ask) -> Reply {
        let time = |row: &Value| row["updated_at"].as_str().and_then(parse_time).unwrap_or(Timestamp::MIN);
        let bound = |name: &str| ask.query.get(name).map(|text| parse_time(text).expect("a time"));
        let (since, until) = (bound("since"), bound("until"));
        let mut rows: Vec<&Value> = rows
            .iter()
            .filter(|row| {
                since.is_none_or(|since| time(row) >= since) && until.is_none_or(|until| time(row) < until)
            })
            .collect();
        // A stable order, as lists have it: that of the rows, or by time.
        match self.newest_first.contains(&ask.path) {
            true => rows.sort_by_key(|row| std::cmp::Reverse(time(row))),
            false if since.is_some() || until.is_some() => rows.sort_by_key(|row| time(row)),
            false => {}
        }
        let number = |name: &str| ask.query.get(name).map(|text| text.parse::<usize>().expect("a number"));
        let from = number("offset")
            .or_else(|| number("number").map(|number| (number - 1) * self.size))
            .or_else(|| number("page"))
            .unwrap_or(0);
        let page: Vec<&Value> = rows.iter().skip(from).take(self.size).copied().collect();
        let more = from + page.len() < rows.len();
        Reply::ok(
            json!({ "data": page, "next": more.then(|| (from + page.len()).to_string()), "more": more }),
        )
    }

    fn export(&self, name: &str, ask: &Ask) -> Reply {
        let cursor: i64 = ask.query.get("cursor").map_or(-1, |cursor| cursor.parse().expect("a cursor"));
        if (0..=self.forgotten).contains(&cursor) && self.forgotten > 0 {
            return Reply::status(410);
        }
        let rows: Vec<&Value> = self
            .lists
            .get(name)
            .into_iter()
            .flatten()
            .filter(|row| row["seq"].as_i64().is_some_and(|seq| seq > cursor))
            .collect();
        let page: Vec<&Value> = rows.iter().take(self.size).copied().collect();
        let last = page.last().and_then(|row| row["seq"].as_i64()).unwrap_or(cursor.max(0));
        Reply::ok(json!({ "data": page, "cursor": last.to_string(), "end": page.len() == rows.len() }))
    }

    fn feed(&self, name: &str, ask: &Ask) -> Reply {
        let since = ask
            .query
            .get("since")
            .map_or(i64::MIN, |text| parse_time(text).expect("a time").as_microsecond());
        let changes: Vec<&Value> = self
            .feeds
            .get(name)
            .into_iter()
            .flatten()
            .filter(|change| change["version"].as_i64().is_none_or(|version| version >= since))
            .collect();
        let from = ask.query.get("cursor").map_or(0, |cursor| cursor.parse::<usize>().expect("a cursor"));
        let page: Vec<&Value> = changes.iter().skip(from).take(self.size).copied().collect();
        let next = from + page.len();
        Reply::ok(json!({ "changes": page, "cursor": next.to_string(), "more": next < changes.len() }))
    }
}
