//! What is sent: batches of calls as a browser library makes them, and webhooks as Klaviyo signs them. Message ids are random-looking
//! and never repeat; everything else repeats as it does in life.

use std::fmt::Write as _;

use bytes::Bytes;
use headwater_core::{
    auth::Secret,
    connector::Connector,
    error::{Error, Result},
    event::{Delivery, Surface},
};
use http::{HeaderMap, HeaderValue, Method};
use jiff::Timestamp;

/// The write key of the source that libraries send to.
pub const WRITE_KEY: &str = "wk_bench";
/// The secret key in the webhook's address.
pub const WEBHOOK_KEY: &str = "whk_bench";
/// What Klaviyo signs with.
pub const SECRET: &str = "headwater-bench-secret";
/// The width of a message id.
pub const ID: usize = 36;

const EVENTS: [&str; 8] = [
    "Product Viewed",
    "Product Added",
    "Cart Viewed",
    "Checkout Started",
    "Order Completed",
    "Products Searched",
    "Signed In",
    "Coupon Applied",
];

/// Numbers without order, the same each time (splitmix64).
pub fn scatter(n: u64) -> u64 {
    let mut z = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The `n`th message id, as a UUID looks.
pub fn id(n: u64) -> String {
    let (a, b) = (scatter(n), scatter(n ^ 0xdead_beef_0000_0000));
    format!(
        "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
        a >> 32,
        (a >> 16) & 0xffff,
        a & 0xfff,
        0x8000 | (b >> 48) & 0x3fff,
        b & 0xffff_ffff_ffff
    )
}

/// The `n`th call: eight of ten are tracks, one a page, one an identify.
pub fn call(n: u64, out: &mut String) {
    let r = scatter(n ^ 0x5555);
    let user = r % 100_000;
    let at = Timestamp::from_millisecond(1_790_000_000_000 + (n as i64) * 3).unwrap_or_default();
    let page = (r >> 20) % 500;
    let _ = write!(
        out,
        r#"{{"messageId":"{}","anonymousId":"{}","userId":"user_{user}","timestamp":"{at:.3}","context":{{"library":{{"name":"analytics.js","version":"next-1.70.0"}},"page":{{"path":"/products/{page}","referrer":"https://www.example.com/","search":"?page={page}","title":"Product {page} – The Shop","url":"https://shop.example.com/products/{page}"}},"userAgent":"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36","locale":"de-DE","timezone":"Europe/Berlin","campaign":{{"source":"newsletter","medium":"email","name":"autumn-{}"}}}},"#,
        id(n),
        id(user),
        page % 7,
    );
    let _ = match n % 10 {
        0 => write!(
            out,
            r#""type":"page","name":"Product","category":"shop","properties":{{"path":"/products/{page}","title":"Product {page}","url":"https://shop.example.com/products/{page}"}}}}"#
        ),
        1 => write!(
            out,
            r#""type":"identify","traits":{{"email":"user_{user}@example.com","name":"User {user}","plan":"pro","logins":{}}}}}"#,
            page
        ),
        _ => write!(
            out,
            r#""type":"track","event":"{}","properties":{{"product_id":"p_{page}","sku":"SKU-{page:06}","category":"shoes","name":"Runner {page}","price":{}.95,"quantity":{},"currency":"EUR","position":{},"coupon":null,"in_stock":true}}}}"#,
            EVENTS[(r >> 40) as usize % EVENTS.len()],
            20 + page % 80,
            1 + page % 3,
            page % 24,
        ),
    };
}

/// A batch of the tracking API: `size` calls from the `first` on.
pub fn batch(first: u64, size: u64) -> String {
    let mut out = String::with_capacity(size as usize * 1200);
    let sent = Timestamp::from_millisecond(1_790_000_000_250 + (first as i64) * 3).unwrap_or_default();
    let _ = write!(out, r#"{{"writeKey":"{WRITE_KEY}","sentAt":"{sent:.3}","batch":["#);
    for n in first..first + size {
        if n > first {
            out.push(',');
        }
        call(n, &mut out);
    }
    out.push_str("]}");
    out
}

/// A one-event webhook of Klaviyo's, signed now: its headers and its body.
pub fn webhook(n: u64) -> Result<(HeaderMap, Bytes)> {
    const BODY: &str = include_str!("../../../../fixtures/klaviyo/opened_email.json");
    const ID_THERE: &str = "uYceR8mBqta";
    let body = serde_json::from_str::<serde_json::Value>(BODY)?.to_string();
    let body = body.replace(ID_THERE, &format!("{:011x}", scatter(n) & 0xfff_ffff_ffff));
    let now = Timestamp::now();
    let mut delivery = Delivery {
        received_at: now,
        method: Method::POST,
        path_tail: String::new(),
        query: String::new(),
        headers: HeaderMap::new(),
        body: body.into(),
        url: String::new(),
        lookups: Vec::new(),
    };
    delivery.headers.insert("content-type", HeaderValue::from_static("application/json"));
    surface()?.signature.sign(&mut delivery, &Secret::new(SECRET), now)?;
    Ok((delivery.headers, delivery.body))
}

fn surface() -> Result<&'static Surface> {
    let missing = || Error::unexpected("klaviyo has no webhook");
    let connector: &Connector = headwater_connectors::find("klaviyo").ok_or_else(missing)?;
    let webhook = connector.events.map(|events| events.webhook).ok_or_else(missing)?;
    webhook.surfaces.first().ok_or_else(missing)
}
