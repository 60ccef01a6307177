//! The pixel API: a call in an image's address. The image always comes, whatever the call was worth.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Path, RawQuery, State},
    http::HeaderMap,
    response::{IntoResponse, Response},
    routing::get,
};
use headwater_core::event::Delivery;
use http::{Method, header};

use super::{Connection, Receiver, kept_headers, now};
use crate::{
    inbox::{DeliveryKind, StoredDelivery},
    pipeline::pixel_record,
};

/// A transparent GIF of one pixel.
const GIF: &[u8] = b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff!\xf9\x04\x01\x00\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;";

pub(super) fn routes() -> Router<Arc<Receiver>> {
    Router::new().route("/v1/pixel/{call}", get(take))
}

async fn take(
    State(receiver): State<Arc<Receiver>>,
    connection: Connection,
    Path(call): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let image =
        || ([(header::CONTENT_TYPE, "image/gif"), (header::CACHE_CONTROL, "no-store")], GIF).into_response();
    let query = query.unwrap_or_default();
    let refused = || {
        receiver.counts.refused.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        image()
    };
    if headwater_core::spec::CallKind::find(&call).is_none()
        || query.len() > receiver.settings.max_call_bytes * 2
    {
        return refused();
    }
    let key = pixel_record(&query).ok().and_then(|record| record.text("writeKey").ok().flatten());
    let routes = receiver.routes();
    let Some(route) = key.and_then(|key| routes.by_write_key.get(&key)) else { return refused() };
    let remote = receiver.remote(&headers, connection.0);
    let mut delivery = StoredDelivery {
        source: route.source.clone(),
        connector: Some(route.connector.name.to_owned()),
        surface: call,
        kind: DeliveryKind::Pixel,
        verified: "write key".to_owned(),
        delivery: Delivery {
            received_at: now(),
            method: Method::GET,
            path_tail: String::new(),
            query,
            headers: kept_headers(headers, remote),
            body: bytes::Bytes::new(),
            url: String::new(),
            lookups: Vec::new(),
        },
    };
    match receiver.keep(&mut delivery).await {
        Ok(()) => image(),
        Err(response) => response,
    }
}
