//! A stand-in Klaviyo. It only posts: the system webhooks of `fixtures/klaviyo`, signed.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use axum::{Router, response::Response};
use headwater_core::event::Delivery;
use jiff::Timestamp;
use rand::{Rng, seq::IndexedRandom};
use serde_json::{Value, json};

use super::{
    Vendor, World, names,
    posts::{post, too_many, uuid, vary},
};

const SECRET: &str = "klaviyo-sandbox-secret-key";

/// What is posted; an email that is delivered or opened more often than the rest.
const DELIVERIES: [&str; 13] = [
    include_str!("../../../fixtures/klaviyo/received_email.json"),
    include_str!("../../../fixtures/klaviyo/received_email.json"),
    include_str!("../../../fixtures/klaviyo/opened_email.json"),
    include_str!("../../../fixtures/klaviyo/opened_email.json"),
    include_str!("../../../fixtures/klaviyo/clicked_email.json"),
    include_str!("../../../fixtures/klaviyo/bounced_email.json"),
    include_str!("../../../fixtures/klaviyo/dropped_email.json"),
    include_str!("../../../fixtures/klaviyo/marked_email_as_spam.json"),
    include_str!("../../../fixtures/klaviyo/email_consent.json"),
    include_str!("../../../fixtures/klaviyo/sms.json"),
    include_str!("../../../fixtures/klaviyo/push.json"),
    include_str!("../../../fixtures/klaviyo/reviews.json"),
    include_str!("../../../fixtures/klaviyo/custom_metric.json"),
];

/// The vendor.
pub struct Klaviyo {
    world: World,
    posted: AtomicU64,
}

impl Klaviyo {
    /// An account in which nothing has happened yet.
    pub fn new(world: World) -> Self {
        Self { world, posted: AtomicU64::new(0) }
    }
}

impl Vendor for Klaviyo {
    fn name(&self) -> &'static str {
        "klaviyo"
    }

    fn settings(&self) -> Value {
        json!({ "secret_key": SECRET })
    }

    fn api(self: Arc<Self>) -> Option<Router> {
        None
    }

    fn throttled(&self) -> Response {
        let detail = "Request was throttled. Expected available in 1 second.";
        too_many(
            &json!({ "errors": [{ "status": 429, "code": "throttled", "title": detail, "detail": detail }] }),
            "1",
        )
    }

    fn happen(&self, now: Timestamp) -> Vec<Delivery> {
        let count = self.posted.fetch_add(1, Ordering::Relaxed);
        let mut rng = self.world.rng(&format!("klaviyo {count}"));
        let Some(mut body) =
            DELIVERIES.choose(&mut rng).and_then(|body| serde_json::from_str::<Value>(body).ok())
        else {
            return Vec::new();
        };
        vary(&mut body, "/meta/timestamp", now.to_string());
        let person = rng.random_range(0..self.world.size.max(1));
        let profile = format!("01J{person:023X}");
        for event in body.pointer_mut("/data").and_then(Value::as_array_mut).into_iter().flatten() {
            let id = format!("{:011x}", rng.random::<u64>() >> 20);
            vary(event, "/external_id", id.as_str());
            vary(event, "/payload/data/id", id.as_str());
            vary(event, "/payload/data/links/self", format!("https://a.klaviyo.com/api/events/{id}/"));
            vary(event, "/payload/data/attributes/uuid", uuid(&mut rng));
            vary(event, "/payload/data/attributes/timestamp", now.as_second());
            vary(
                event,
                "/payload/data/attributes/datetime",
                now.strftime("%Y-%m-%d %H:%M:%S+00:00").to_string(),
            );
            vary(
                event,
                "/payload/data/attributes/event_properties/Recipient Email Address",
                names::email(person),
            );
            vary(event, "/payload/data/relationships/profile/data/id", profile.as_str());
            let included = event.pointer_mut("/payload/included").and_then(Value::as_array_mut);
            for part in included.into_iter().flatten().filter(|part| part["type"] == "profile") {
                let (given, family) = names::person(person).split_once(' ').map_or_else(
                    || (names::person(person), String::new()),
                    |(given, family)| (given.to_owned(), family.to_owned()),
                );
                vary(part, "/id", profile.as_str());
                vary(part, "/attributes/external_id", format!("cus_{person}"));
                vary(part, "/attributes/email", names::email(person));
                vary(part, "/attributes/phone_number", format!("+1415555{:04}", person % 10_000));
                vary(part, "/attributes/first_name", given);
                vary(part, "/attributes/last_name", family);
            }
        }
        post(self.name(), SECRET, &body, &[], now)
    }

    fn census(&self) -> Vec<(&'static str, usize)> {
        Vec::new()
    }
}
