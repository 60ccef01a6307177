//! The Segment-compatible tracking API: one call, or a batch of them, with a write key.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Router,
    body::Body,
    extract::{Path, State},
    http::HeaderMap,
    response::{IntoResponse, Response},
    routing::{get, options, post},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use headwater_core::{event::Delivery, record::Record};
use http::{HeaderValue, Method, Request, StatusCode, header};
use serde_json::json;

use super::{Receiver, Route, Routes, answer, kept_headers, now, read_body};
use crate::inbox::{DeliveryKind, StoredDelivery};

/// What libraries post to: the calls, and the first letters that the browser library uses.
const CALLS: [(&str, &str); 16] = [
    ("identify", "identify"),
    ("track", "track"),
    ("page", "page"),
    ("screen", "screen"),
    ("group", "group"),
    ("alias", "alias"),
    ("batch", "batch"),
    ("import", "batch"),
    ("i", "identify"),
    ("t", "track"),
    ("p", "page"),
    ("s", "screen"),
    ("g", "group"),
    ("a", "alias"),
    ("b", "batch"),
    ("m", "metrics"),
];

/// Where calls are posted.
pub(super) const PATH: &str = "/v1/";

/// What else there is; a browser asks here whether it may post.
pub(super) fn routes() -> Router<Arc<Receiver>> {
    Router::new()
        .route("/v1/{call}", options(|| async {}))
        .route("/v1/{call}/", options(|| async {}))
        .route("/m", post(|| async { answer(StatusCode::OK, "") }))
        .route("/v1/projects/{key}/settings", get(settings))
}

/// Takes what was posted to `/v1/{call}`. Pages of any origin may read the answer.
pub(super) async fn take(receiver: &Receiver, peer: SocketAddr, request: Request<Body>) -> Response {
    let mut response = keep(receiver, peer, request).await;
    response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    response
}

async fn keep(receiver: &Receiver, peer: SocketAddr, request: Request<Body>) -> Response {
    let (parts, body) = request.into_parts();
    let headers = parts.headers;
    let name = parts.uri.path().strip_prefix(PATH).unwrap_or_default().trim_end_matches('/');
    let Some((_, call)) = CALLS.iter().find(|(known, _)| *known == name) else {
        return receiver.refuse(StatusCode::NOT_FOUND, &format!("/v1/{name} is no call of the tracking API"));
    };
    // The browser library's own metrics: taken and dropped, as it expects.
    if *call == "metrics" {
        return answer(StatusCode::OK, "");
    }
    let settings = &receiver.settings;
    let limit = if *call == "batch" { settings.max_batch_bytes } else { settings.max_call_bytes };
    let (body, _held) = match read_body(&receiver.limits, &headers, body, limit).await {
        Ok(read) => read,
        Err(error) => return receiver.refuse_body(error, StatusCode::BAD_REQUEST),
    };
    let written = match Record::parse_text(&body, "writeKey") {
        Ok(written) => written,
        Err(error) => {
            return receiver.refuse(StatusCode::BAD_REQUEST, &format!("invalid JSON: {}", error.message()));
        }
    };
    let routes = receiver.routes();
    let route = match find(&routes, &headers, written) {
        Ok(route) => route,
        Err(why) => return receiver.refuse(StatusCode::UNAUTHORIZED, why),
    };
    let remote = receiver.remote(&headers, peer);
    let mut kept = kept_headers(headers, remote);
    kept.remove(header::AUTHORIZATION);
    let mut delivery = StoredDelivery {
        source: route.source.clone(),
        connector: Some(route.connector.name.to_owned()),
        surface: (*call).to_owned(),
        kind: DeliveryKind::Tracking,
        verified: "write key".to_owned(),
        delivery: Delivery {
            received_at: now(),
            method: Method::POST,
            path_tail: String::new(),
            query: String::new(),
            headers: kept,
            body,
            url: String::new(),
            lookups: Vec::new(),
        },
    };
    match receiver.keep(&mut delivery).await {
        Ok(()) => answer(StatusCode::OK, ""),
        Err(response) => response,
    }
}

/// The source whose write key the request carries: as Basic user name, or as `writeKey` in the body.
fn find<'r>(
    routes: &'r Routes,
    headers: &HeaderMap,
    written: Option<String>,
) -> Result<&'r Arc<Route>, &'static str> {
    const HOW: &str = "no write key: send it as the user name of HTTP Basic, or as writeKey in the body";
    const WRONG: &str = "unknown write key: headwater sources shows the right one";
    let basic = headers.get(header::AUTHORIZATION).and_then(|value| {
        let encoded = value.to_str().ok()?.strip_prefix("Basic ")?;
        let decoded = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
        // Old clients leave the colon out.
        Some(decoded.split_once(':').map_or(decoded.clone(), |(user, _)| user.to_owned()))
    });
    if let Some(key) = basic.filter(|key| !key.is_empty()) {
        return routes.by_write_key.get(&key).ok_or(WRONG);
    }
    match written {
        Some(key) => routes.by_write_key.get(&key).ok_or(WRONG),
        None => Err(HOW),
    }
}

/// How a browser reaches us: as the public address says; without one, as the page that asks or the proxy in front of us was reached,
/// because this program itself speaks plain HTTP.
fn protocol(public_url: Option<&str>, headers: &HeaderMap) -> &'static str {
    let begins = |name: &str| headers.get(name).is_some_and(|value| value.as_bytes().starts_with(b"https"));
    match public_url {
        Some(url) if url.starts_with("https:") => "https",
        Some(_) => "http",
        None if begins("x-forwarded-proto") || begins("origin") => "https",
        None => "http",
    }
}

/// What analytics.js asks for before anything else: everything goes to us, nothing is bundled.
async fn settings(
    State(receiver): State<Arc<Receiver>>,
    Path(key): Path<String>,
    headers: HeaderMap,
) -> Response {
    if !receiver.routes().by_write_key.contains_key(&key) {
        return receiver.refuse(StatusCode::NOT_FOUND, "unknown write key");
    }
    let host = receiver
        .settings
        .public_url
        .as_deref()
        .and_then(|url| url.split_once("://"))
        .map(|(_, host)| host.trim_end_matches('/').to_owned())
        .or_else(|| Some(headers.get(header::HOST)?.to_str().ok()?.to_owned()))
        .unwrap_or_default();
    let settings = json!({
        "integrations": {
            "Segment.io": {
                "apiKey": key,
                "apiHost": format!("{host}/v1"),
                "protocol": protocol(receiver.settings.public_url.as_deref(), &headers),
                "unbundledIntegrations": [],
                "addBundledMetadata": true,
                "versionSettings": { "version": "4.4.7", "componentTypes": ["browser"] }
            }
        },
        "plan": { "track": {}, "identify": {}, "group": {} },
        "edgeFunction": {},
        "analyticsNextEnabled": true,
        "middlewareSettings": {},
        "enabledMiddleware": {},
        "metrics": { "sampleRate": 0 },
        "legacyVideoPluginsEnabled": false,
        "remotePlugins": []
    });
    (
        [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "public, max-age=60")],
        settings.to_string(),
    )
        .into_response()
}
