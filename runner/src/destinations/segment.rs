//! A Segment-compatible server: calls go to its tracking API in batches, within Segment's limits.
//!
//! Ids and times go along, so that the other side's `timestamp` comes out the same: it is said beside `originalTimestamp`, which
//! Headwater and RudderStack take for settled. Without a `sentAt` everybody does.

use std::io::Write;

use async_trait::async_trait;
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use headwater_core::{
    auth::Secret,
    error::{Error, Result},
    spec::Call,
};
use http::{HeaderMap, HeaderValue, header};
use jiff::SignedDuration;

use super::{Destination, Letter, Room, Verdict, http::Wire, webhook::batch};
use crate::config::DestinationSettings;

/// The largest call, in bytes.
const CALL: usize = 32 << 10;
/// The largest batch, in bytes, with some room for what stands around the calls.
const BATCH: usize = (500 << 10) - 64;
/// Who corrects every timestamp by `sentAt`, also one that has been corrected.
const CORRECTING: [&str; 2] = ["segment.io", "segment.com"];

/// Someone's Segment-compatible server.
pub struct Segment {
    authorization: HeaderValue,
    gzip: bool,
    keep_sent_at: bool,
    room: Room,
    wire: Wire,
}

impl Segment {
    /// The server of these settings.
    pub fn new(settings: &DestinationSettings) -> Result<Self> {
        let terms = settings.terms()?;
        let mut url = terms.url.clone();
        let path = format!("{}/v1/batch", url.path().trim_end_matches('/'));
        url.set_path(&path);
        let key = settings.write_key.as_ref().map(Secret::expose).unwrap_or_default();
        let mut authorization =
            HeaderValue::from_str(&format!("Basic {}", STANDARD.encode(format!("{key}:"))))
                .map_err(|_| Error::config("write_key cannot stand in a header"))?;
        authorization.set_sensitive(true);
        let host = url.host_str().unwrap_or_default();
        let corrects = CORRECTING.iter().any(|known| {
            host.strip_suffix(known).is_some_and(|before| before.is_empty() || before.ends_with('.'))
        });
        Ok(Self {
            authorization,
            gzip: settings.gzip,
            keep_sent_at: settings.keep_sent_at.unwrap_or(!corrects),
            room: Room { calls: terms.batch, bytes: BATCH },
            wire: Wire::new(&terms, url)?,
        })
    }
}

#[async_trait]
impl Destination for Segment {
    fn room(&self) -> Room {
        self.room
    }

    fn write(&self, call: &Call) -> Result<Bytes, String> {
        let mut call = call.clone();
        // The other side receives it by its own clock.
        call.received_at = None;
        if !self.keep_sent_at {
            call.sent_at = None;
        }
        // Where both times are the same, the other side would correct them by `sentAt`: a nanosecond keeps it from that, and is less
        // than a warehouse stores.
        if call.sent_at.is_some()
            && let (Some(time), Some(original)) = (call.timestamp, call.original_timestamp)
            && time == original
        {
            let step = if time.subsec_nanosecond() % 1_000 == 999 { -1 } else { 1 };
            call.original_timestamp = time.checked_add(SignedDuration::from_nanos(step)).ok().or(Some(time));
        }
        let json = call.to_json();
        match json.len() {
            length if length > CALL => Err(format!(
                "the call has {length} bytes, and a Segment-compatible server takes {CALL} at most"
            )),
            _ => Ok(json.into()),
        }
    }

    async fn send(&self, calls: &[Letter]) -> Verdict {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, self.authorization.clone());
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let mut body = batch(calls, b"");
        if self.gzip
            && let Ok(packed) = gzip(&body)
        {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            body = packed;
        }
        self.wire.post(headers, body).await
    }
}

fn gzip(body: &[u8]) -> std::io::Result<Bytes> {
    let mut packed = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::fast());
    packed.write_all(body)?;
    Ok(packed.finish()?.into())
}

#[cfg(test)]
mod tests {
    use headwater_core::record::Record;
    use serde_json::{Value, json};

    use super::*;

    fn segment(more: Value) -> Segment {
        let mut settings =
            json!({ "name": "b", "type": "segment", "url": "https://t.example.com/x/", "write_key": "k" });
        settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        Segment::new(&serde_json::from_value(settings).unwrap()).unwrap()
    }

    fn written(segment: &Segment, call: Value) -> Result<Value, String> {
        let call = Call::parse(&Record::parse(&call.to_string().into()).unwrap(), None).unwrap();
        segment.write(&call).map(|json| serde_json::from_slice(&json).unwrap())
    }

    #[test]
    fn times_are_said_so_that_nobody_corrects_them_again() {
        let call = |time: &str, original: &str| {
            json!({ "type": "track", "messageId": "1", "userId": "u", "event": "E", "timestamp": time,
                    "originalTimestamp": original, "sentAt": "2026-01-01T00:00:09Z", "receivedAt": "2026-01-01T00:00:10Z" })
        };
        let (time, other) = ("2026-01-01T00:00:05Z", "2026-01-01T00:00:04Z");
        let keeping = segment(json!({}));
        let kept = written(&keeping, call(time, other)).unwrap();
        assert_eq!(
            (&kept["timestamp"], &kept["originalTimestamp"], &kept["sentAt"]),
            (&json!(time), &json!(other), &json!("2026-01-01T00:00:09Z"))
        );
        assert_eq!((&kept["receivedAt"], &kept["messageId"]), (&Value::Null, &json!("1")));
        let nudged = written(&keeping, call(time, time)).unwrap();
        assert_eq!(nudged["timestamp"], time);
        assert_eq!(nudged["originalTimestamp"], "2026-01-01T00:00:05.000000001Z");
        let vendor = segment(json!({ "url": "https://api.segment.io" }));
        let plain = written(&vendor, call(time, time)).unwrap();
        assert_eq!((&plain["sentAt"], &plain["originalTimestamp"]), (&Value::Null, &json!(time)));
        assert!(segment(json!({ "url": "https://api.notsegment.io" })).keep_sent_at);
    }

    #[test]
    fn a_call_that_is_too_large_is_told_before_it_is_sent() {
        let call = json!({ "type": "track", "event": "E", "properties": { "x": "y".repeat(CALL) } });
        assert!(written(&segment(json!({})), call).unwrap_err().contains("32768 at most"));
    }
}
