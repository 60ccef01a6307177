//! A stand-in Braze. It only posts: the Currents batches of `fixtures/braze`, with a bearer token.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use axum::{Router, response::Response};
use headwater_core::event::Delivery;
use http::HeaderName;
use jiff::Timestamp;
use rand::{Rng, seq::IndexedRandom};
use serde_json::{Value, json};

use super::{
    Vendor, World, names,
    posts::{post, too_many, uuid, vary},
};

const TOKEN: &str = "YnJhemUtc2FuZGJveC10b2tlbg==";

/// What is posted.
const DELIVERIES: [&str; 12] = [
    include_str!("../../../fixtures/braze/email.json"),
    include_str!("../../../fixtures/braze/email.json"),
    include_str!("../../../fixtures/braze/push.json"),
    include_str!("../../../fixtures/braze/in_app_message.json"),
    include_str!("../../../fixtures/braze/content_card.json"),
    include_str!("../../../fixtures/braze/canvas.json"),
    include_str!("../../../fixtures/braze/campaign.json"),
    include_str!("../../../fixtures/braze/sms.json"),
    include_str!("../../../fixtures/braze/whatsapp.json"),
    include_str!("../../../fixtures/braze/subscription.json"),
    include_str!("../../../fixtures/braze/uninstall.json"),
    include_str!("../../../fixtures/braze/without_a_name.json"),
];

/// The vendor.
pub struct Braze {
    world: World,
    posted: AtomicU64,
}

impl Braze {
    /// A workspace in which nothing has happened yet.
    pub fn new(world: World) -> Self {
        Self { world, posted: AtomicU64::new(0) }
    }
}

impl Vendor for Braze {
    fn name(&self) -> &'static str {
        "braze"
    }

    fn settings(&self) -> Value {
        json!({ "token": TOKEN })
    }

    fn api(self: Arc<Self>) -> Option<Router> {
        None
    }

    fn throttled(&self) -> Response {
        too_many(&json!({ "message": "You have exceeded the rate limit. Please try again later." }), "1")
    }

    fn happen(&self, now: Timestamp) -> Vec<Delivery> {
        let count = self.posted.fetch_add(1, Ordering::Relaxed);
        let mut rng = self.world.rng(&format!("braze {count}"));
        let Some(mut body) =
            DELIVERIES.choose(&mut rng).and_then(|body| serde_json::from_str::<Value>(body).ok())
        else {
            return Vec::new();
        };
        for event in body.pointer_mut("/events").and_then(Value::as_array_mut).into_iter().flatten() {
            let person = rng.random_range(0..self.world.size.max(1));
            let phone = format!("+3361234{:04}", person % 10_000);
            vary(event, "/id", uuid(&mut rng));
            vary(event, "/time", now.as_second());
            vary(event, "/user/user_id", format!("{person:024x}"));
            vary(event, "/user/external_user_id", format!("cus_{person}"));
            vary(event, "/user/device_id", uuid(&mut rng));
            vary(event, "/properties/email_address", names::email(person));
            vary(event, "/properties/to_phone_number", phone.as_str());
            vary(event, "/properties/user_phone_number", phone.as_str());
        }
        post(self.name(), TOKEN, &body, &[(HeaderName::from_static("braze-currents-version"), "1")], now)
    }

    fn census(&self) -> Vec<(&'static str, usize)> {
        Vec::new()
    }
}
