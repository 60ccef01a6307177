//! What the stand-ins have in common that only post webhooks: a recorded delivery is sent again, as something that
//! happened just now, to somebody else, under other ids.

use headwater_core::{auth::Secret, event::Delivery};
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use jiff::Timestamp;
use rand::{Rng, rngs::StdRng};
use serde_json::Value;

/// A delivery to the connector's first surface, signed as the vendor signs it; none if that cannot be done.
pub fn post(
    connector: &str,
    secret: &str,
    body: &Value,
    headers: &[(HeaderName, &'static str)],
    now: Timestamp,
) -> Vec<Delivery> {
    let surfaces = headwater_connectors::find(connector)
        .and_then(|known| known.events)
        .map(|events| events.webhook.surfaces);
    let Some(surface) = surfaces.and_then(|surfaces| surfaces.first()) else { return Vec::new() };
    let mut delivery = Delivery::fetched(now, body.to_string().into());
    delivery.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    for (name, value) in headers {
        delivery.headers.insert(name, HeaderValue::from_static(value));
    }
    match surface.signature.sign(&mut delivery, &Secret::new(secret), now) {
        Ok(()) => vec![delivery],
        Err(error) => {
            tracing::error!(connector, %error, "the sandbox cannot sign a delivery");
            Vec::new()
        }
    }
}

/// Puts another value in place of the one at a JSON pointer, if there is one that is not null: what a recording leaves
/// open stays open.
pub fn vary(value: &mut Value, pointer: &str, new: impl Into<Value>) {
    if let Some(old) = value.pointer_mut(pointer).filter(|old| !old.is_null()) {
        *old = new.into();
    }
}

/// A random UUID.
pub fn uuid(rng: &mut StdRng) -> String {
    let hex = format!("{:032x}", rng.random::<u128>());
    format!("{}-{}-4{}-a{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..])
}

/// A vendor's answer to one request too many.
pub fn too_many(body: &Value, retry_after: &'static str) -> axum::response::Response {
    let mut response = Response::new(body.to_string().into());
    *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(retry_after));
    response
}
