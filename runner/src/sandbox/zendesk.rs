//! A stand-in Zendesk: a help desk with agents, customers, and tickets that are asked, answered, solved and deleted.
//!
//! Two things differ from the vendor, so that nobody has to wait: an export holds the last minute too, and takes a
//! start time of that minute.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use axum::{
    Router,
    extract::{Request, State},
    response::Response,
};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use headwater_core::event::Delivery;
use http::{HeaderValue, StatusCode, header};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    Vendor, World,
    posts::{post, too_many},
};

mod desk;
mod paging;

use desk::Desk;
use paging::{list, refusal};

const SUBDOMAIN: &str = "headwater-sandbox";
const EMAIL: &str = "admin@example.com";
const TOKEN: &str = "zendesk-sandbox-token";
const SECRET: &str = "zendesk-sandbox-signing-secret";

/// The vendor.
pub struct Zendesk {
    world: World,
    desk: Mutex<Desk>,
    happened: AtomicU64,
}

/// An answer that is no success: its status, and Zendesk's words for it.
type Refusal = (StatusCode, Value);

impl Zendesk {
    /// An account with a year of history: `size` tickets, half as many customers.
    pub fn new(world: World) -> Self {
        Self { world, desk: Mutex::new(Desk::new(&world)), happened: AtomicU64::new(0) }
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, request: &Request) -> Result<Value, Refusal> {
        let expected = format!("Basic {}", BASE64.encode(format!("{EMAIL}/token:{TOKEN}")));
        let given = request.headers().get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
        if given != Some(expected.as_bytes()) {
            return Err((StatusCode::UNAUTHORIZED, json!({ "error": "Couldn't authenticate you" })));
        }
        let query: Vec<(String, String)> =
            form_urlencoded::parse(request.uri().query().unwrap_or_default().as_bytes())
                .into_owned()
                .collect();
        let path = request.uri().path().strip_prefix("/api/v2/").unwrap_or_default();
        let path: Vec<&str> = path.trim_end_matches(".json").split('/').collect();
        let one = |name: &str, row: Option<&Value>| {
            let row = row.map(|row| json!({ name: row }));
            row.ok_or_else(|| refusal(StatusCode::NOT_FOUND, "RecordNotFound", "Not found"))
        };
        let desk = self.desk();
        match path[..] {
            ["users", "me"] => one("user", Some(&desk.like("user"))),
            ["incremental", "users", "cursor"] => desk.users.by_cursor("users", &query),
            ["incremental", "tickets", "cursor"] => desk.tickets.by_cursor("tickets", &query),
            ["incremental", "organizations"] => desk.organizations.by_time("organizations", &query),
            ["incremental", "ticket_events"] => desk.events.by_time("ticket_events", &query),
            ["tickets", id] => one("ticket", desk.tickets.get(id).filter(|row| row["status"] != "deleted")),
            ["users", id] => one("user", desk.users.get(id)),
            ["organizations", id] => one("organization", desk.organizations.get(id)),
            [name] if desk.lists.contains_key(name) => list(name, &desk.lists[name], &query),
            _ => Err(refusal(StatusCode::NOT_FOUND, "InvalidEndpoint", "Not found")),
        }
    }
}

impl Vendor for Zendesk {
    fn name(&self) -> &'static str {
        "zendesk"
    }

    fn settings(&self) -> Value {
        json!({ "subdomain": SUBDOMAIN, "email": EMAIL, "api_token": TOKEN, "webhook_secret": SECRET })
    }

    fn api(self: Arc<Self>) -> Option<Router> {
        let answer = |State(vendor): State<Arc<Self>>, request: Request| async move {
            let (status, body) = vendor.answer(&request).map_or_else(|no| no, |body| (StatusCode::OK, body));
            let mut response = Response::new(axum::body::Body::from(body.to_string()));
            *response.status_mut() = status;
            let json = HeaderValue::from_static("application/json; charset=utf-8");
            response.headers_mut().insert(header::CONTENT_TYPE, json);
            response
        };
        Some(Router::new().fallback(answer).with_state(self))
    }

    fn throttled(&self) -> Response {
        let words = "Number of allowed API requests per minute exceeded";
        too_many(&json!({ "error": "APIRateLimitExceeded", "description": words }), "1")
    }

    fn happen(&self, now: Timestamp) -> Vec<Delivery> {
        let count = self.happened.fetch_add(1, Ordering::Relaxed);
        let mut rng = self.world.rng(&format!("zendesk {count}"));
        let body = self.desk().happen(now, &mut rng);
        post(self.name(), SECRET, &body, &[], now)
    }

    fn census(&self) -> Vec<(&'static str, usize)> {
        self.desk().census()
    }
}
