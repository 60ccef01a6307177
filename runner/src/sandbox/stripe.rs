//! A stand-in Stripe: a shop with customers, subscriptions and payments, its lists, and its events, which it keeps and
//! posts.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use axum::{
    Router,
    extract::{Request, State},
    response::Response,
};
use headwater_core::event::Delivery;
use http::{HeaderValue, StatusCode, header};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    Vendor, World,
    posts::{post, too_many},
};

mod lists;
mod making;
mod shop;

use lists::{Query, list, missing, nested, refusal, shown};
use shop::Shop;

const KEY: &str = "rk_live_sandbox";
const SECRET: &str = "whsec_sandbox";

/// The vendor.
pub struct Stripe {
    world: World,
    shop: Mutex<Shop>,
    happened: AtomicU64,
}

/// An answer that is no success: its status, and Stripe's words for it.
type Refusal = (StatusCode, Value);

impl Stripe {
    /// A shop with a year of history: `size` charges, a third as many customers.
    pub fn new(world: World) -> Self {
        Self { world, shop: Mutex::new(Shop::new(&world)), happened: AtomicU64::new(0) }
    }

    fn shop(&self) -> MutexGuard<'_, Shop> {
        self.shop.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, request: &Request) -> Result<Value, Refusal> {
        let given = request.headers().get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
        if given != Some(format!("Bearer {KEY}").as_bytes()) {
            let no = json!({ "message": "Invalid API Key provided", "type": "invalid_request_error" });
            return Err(refusal(StatusCode::UNAUTHORIZED, no));
        }
        let query = Query::parse(request.uri().query().unwrap_or_default());
        let url = request.uri().path();
        let path: Vec<&str> = url.trim_start_matches("/v1/").split('/').collect();
        let shop = self.shop();
        let inside = |id: &str, member: &str| match shop.get(id) {
            Some(row) => nested(row, member, url, &query),
            None => Err(missing("id", id)),
        };
        match path[..] {
            ["account"] => Ok(shown(&shop.own, &[])),
            ["subscription_items"] => inside(query.value("subscription").unwrap_or_default(), "items"),
            ["customers", id, "sources"] => inside(id, "sources"),
            ["accounts", id, "external_accounts"] => inside(id, "external_accounts"),
            ["invoices", id, "lines"] => inside(id, "lines"),
            ["transfers", id, "reversals"] => inside(id, "reversals"),
            ["application_fees", id, "refunds"] => inside(id, "refunds"),
            [name] if shop.lists.contains_key(name) => {
                list(&shop.lists[name], url, &query, |id| shop.place(id))
            }
            [name, id] if shop.lists.contains_key(name) => match shop.get(id) {
                Some(row) if row["deleted"] == true && name != "customers" => Err(missing("id", id)),
                Some(row) if row["deleted"] == true => {
                    Ok(json!({ "id": id, "object": row["object"], "deleted": true }))
                }
                Some(row) => Ok(shown(row, &query.expand)),
                None if id == shop.own["id"] => Ok(shown(&shop.own, &[])),
                None => Err(missing("id", id)),
            },
            _ => {
                let message = format!("Unrecognized request URL (GET: {url}).");
                Err(refusal(
                    StatusCode::NOT_FOUND,
                    json!({ "message": message, "type": "invalid_request_error" }),
                ))
            }
        }
    }
}

impl Vendor for Stripe {
    fn name(&self) -> &'static str {
        "stripe"
    }

    fn settings(&self) -> Value {
        json!({ "api_key": KEY, "webhook_secret": SECRET })
    }

    fn api(self: Arc<Self>) -> Option<Router> {
        let answer = |State(vendor): State<Arc<Self>>, request: Request| async move {
            let (status, body) = vendor.answer(&request).map_or_else(|no| no, |body| (StatusCode::OK, body));
            let mut response = Response::new(axum::body::Body::from(body.to_string()));
            *response.status_mut() = status;
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            response
        };
        Some(Router::new().fallback(answer).with_state(self))
    }

    fn throttled(&self) -> Response {
        let words = "Request rate limit exceeded. Learn more about rate limits here https://stripe.com/docs/rate-limits.";
        let error = json!({ "code": "rate_limit", "message": words, "type": "invalid_request_error" });
        let mut response = too_many(&json!({ "error": error }), "1");
        // Stripe does not say how long to wait.
        response.headers_mut().remove(header::RETRY_AFTER);
        for (name, value) in [("stripe-should-retry", "true"), ("stripe-rate-limited-reason", "global-rate")]
        {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        response
    }

    fn happen(&self, now: Timestamp) -> Vec<Delivery> {
        let count = self.happened.fetch_add(1, Ordering::Relaxed);
        let mut rng = self.world.rng(&format!("stripe {count}"));
        let events = self.shop().happen(now, &mut rng);
        events.iter().flat_map(|event| post(self.name(), SECRET, event, &[], now)).collect()
    }

    fn census(&self) -> Vec<(&'static str, usize)> {
        self.shop().census()
    }
}
