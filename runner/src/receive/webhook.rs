//! Webhooks: `/webhooks/{source}/{webhook_key}[/{surface}…]`. The path alone chooses the surface; its signature decides.

use std::{net::SocketAddr, sync::atomic::Ordering};

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use headwater_core::event::{Delivery, Reply, Surface};
use http::{HeaderValue, Method, Request, StatusCode, header};
use percent_encoding::percent_decode_str;
use subtle::ConstantTimeEq;

use super::{Confirm, Receiver, Route, answer, kept_headers, now, read_body};
use crate::inbox::{DeliveryKind, StoredDelivery};

/// The largest echo of a challenge, in bytes.
const ECHO: usize = 1024;

/// Where webhooks are posted.
pub(super) const PATH: &str = "/webhooks/";

/// Takes what came to `/webhooks/{source}/{key}[/{tail}]`.
pub(super) async fn take(receiver: &Receiver, peer: SocketAddr, request: Request<Body>) -> Response {
    let (parts, body) = request.into_parts();
    let (headers, method) = (parts.headers, parts.method);
    let path = parts.uri.path();
    let mut steps = path.strip_prefix(PATH).unwrap_or_default().splitn(3, '/');
    let mut step = || percent_decode_str(steps.next().unwrap_or_default()).decode_utf8();
    let (Ok(source), Ok(key), Ok(tail)) = (step(), step(), step()) else {
        return receiver.refuse(StatusCode::BAD_REQUEST, "the address is not UTF-8");
    };
    let routes = receiver.routes();
    let Some(route) = routes.by_source.get(&*source).filter(|route| opens(route, &key)) else {
        return receiver
            .refuse(StatusCode::NOT_FOUND, "no such webhook: headwater sources shows its address");
    };
    let (Some(events), Some(webhook)) = (
        &route.events,
        route.events.as_ref().and_then(|source| Some(route.connector.events?.webhook_of(&**source))),
    ) else {
        let why = format!("{} takes no webhooks: send Spec calls with the write key", route.connector.title);
        return receiver.refuse(StatusCode::NOT_FOUND, &why);
    };
    let Some(surface) = choose(webhook.surfaces, &tail) else {
        return receiver
            .refuse(StatusCode::NOT_FOUND, "this webhook has no such surface: see its page in the docs");
    };
    if method == Method::HEAD {
        return reply(Reply::OK);
    }
    if !matches!(method, Method::POST | Method::GET | Method::PUT | Method::OPTIONS) {
        return receiver.refuse(StatusCode::METHOD_NOT_ALLOWED, "webhooks are posted");
    }
    let limit = receiver.settings.max_webhook_bytes;
    let (body, _held) = match read_body(&receiver.limits, &headers, body, limit).await {
        Ok(read) => read,
        Err(error) => return receiver.refuse_body(error, StatusCode::PAYLOAD_TOO_LARGE),
    };
    let now = now();
    let path = if surface.path.is_empty() { String::new() } else { format!("/{}", surface.path) };
    let base = receiver.settings.public_url.as_deref().unwrap_or_default().trim_end_matches('/');
    let remote = receiver.remote(&headers, peer);
    let mut delivery = Delivery {
        received_at: now,
        method,
        path_tail: tail[surface.path.len()..].trim_start_matches('/').to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        headers: kept_headers(headers, remote),
        body,
        url: format!("{base}/webhooks/{source}/{key}{path}"),
        lookups: Vec::new(),
    };
    if let Some(handshake) = events.handshake(&delivery) {
        receiver.counts.handshakes.fetch_add(1, Ordering::Relaxed);
        if let Some(request) = handshake.then {
            let confirm = Confirm { source: route.source.clone(), request };
            // A vendor that is not confirmed sends its handshake again.
            if receiver.confirm.get().is_none_or(|wanted| wanted.try_send(confirm).is_err()) {
                tracing::error!(
                    source = &*source,
                    "too many handshakes wait to be confirmed: set the webhook up again in a moment"
                );
            }
        }
        return reply(handshake.reply);
    }
    if delivery.method == Method::OPTIONS {
        return receiver.refuse(StatusCode::METHOD_NOT_ALLOWED, "webhooks are posted");
    }
    let secrets = events.secrets(surface);
    let proven = surface.signature.verify(&delivery, &secrets, now);
    surface.signature.redact(&mut delivery, &secrets);
    // The key in the address is a secret too: nothing that is kept needs it.
    delivery.url = format!("{base}/webhooks/{source}/[key]{path}");
    let mut stored = StoredDelivery {
        source: route.source.clone(),
        connector: Some(route.connector.name.to_owned()),
        surface: surface.path.to_owned(),
        kind: DeliveryKind::Webhook,
        verified: "signature".to_owned(),
        delivery,
    };
    if let Err(error) = proven {
        stored.verified = format!("refused: {}", error.message());
        receiver.counts.quarantined.fetch_add(1, Ordering::Relaxed);
        // Kept apart so that a wrong secret costs nothing; if that place is full, the refusal still stands.
        let kept = match receiver.quarantine.put(stored.draft().received(now)).await {
            // Beyond its own cap the oldest make room.
            Ok(seq) => receiver.quarantine.release(seq).await.map(drop),
            Err(error) => Err(error),
        };
        if let Err(full) = kept {
            tracing::warn!(%source, %full, "a refused delivery could not be kept in quarantine");
        }
        tracing::warn!(%source, surface = surface.path, %error, "a delivery was refused");
        return answer(StatusCode::UNAUTHORIZED, error.message());
    }
    match receiver.keep(&mut stored).await {
        Ok(()) => {
            if route.connector.pull.is_some() {
                receiver.notified(&route.source).notify_one();
            }
            reply(events.reply(&stored.delivery))
        }
        Err(response) => response,
    }
}

/// Whether the key in the URL is one of the source's, compared in constant time.
fn opens(route: &Route, key: &str) -> bool {
    route
        .webhook_keys
        .iter()
        .fold(false, |open, known| open | bool::from(known.as_bytes().ct_eq(key.as_bytes())))
}

/// The surface with the longest path that the tail begins with.
fn choose(surfaces: &'static [Surface], tail: &str) -> Option<&'static Surface> {
    surfaces
        .iter()
        .filter(|surface| {
            tail.strip_prefix(surface.path)
                .is_some_and(|rest| surface.path.is_empty() || rest.is_empty() || rest.starts_with('/'))
        })
        .max_by_key(|surface| surface.path.len())
}

fn reply(reply: Reply) -> Response {
    let body = reply.body.slice(..reply.body.len().min(ECHO));
    let mut response = (reply.status, body).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(reply.content_type));
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response.headers_mut().extend(reply.headers);
    response
}
