//! A webhook: calls posted as JSON, signed by [Standard Webhooks](https://www.standardwebhooks.com).
//!
//! One call a request is its own body; several are `{"batch": [...]}`. `webhook-id` is made of the destination and the calls' message
//! ids: sent again, a request has the same id, so that a receiver can tell it from a new one.

use async_trait::async_trait;
use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use bytes::Bytes;
use headwater_core::{
    auth::{Secret, Secrets},
    error::{Error, Result},
    event::Delivery,
    signature::Signature,
    spec::Call,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::{Destination, Fault, Letter, Room, Verdict, http::Wire};
use crate::config::DestinationSettings;

const ID: HeaderName = HeaderName::from_static("webhook-id");
const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");
/// The largest request of several calls, in bytes.
const LARGEST: usize = 1 << 20;
/// How many secrets may be in use at once.
const SECRETS: usize = 8;

/// Someone's webhook.
pub struct Webhook {
    name: String,
    secrets: Vec<Secret>,
    room: Room,
    wire: Wire,
}

/// Says what is wrong with a webhook's secrets.
pub fn check_secrets(secrets: &Secrets) -> Result<()> {
    const HOW: &str = "whsec_ and 24 to 64 random bytes in base64, such as `openssl rand -base64 32` makes";
    let all = secrets.all();
    if all.is_empty() {
        return Err(Error::config(format!("secret is missing: requests are signed with it; it is {HOW}")));
    }
    if all.len() > SECRETS {
        return Err(Error::config(format!("secret has more than {SECRETS} entries")));
    }
    for secret in &all {
        let text = secret.expose().strip_prefix("whsec_").unwrap_or(secret.expose());
        let bytes = STANDARD_NO_PAD.decode(text.trim_end_matches('=')).map(|bytes| bytes.len());
        if !bytes.is_ok_and(|bytes| (24..=64).contains(&bytes)) {
            return Err(Error::config(format!("secret has to be {HOW}")));
        }
    }
    Ok(())
}

impl Webhook {
    /// The webhook of these settings.
    pub fn new(settings: &DestinationSettings) -> Result<Self> {
        let terms = settings.terms()?;
        Ok(Self {
            name: settings.name.clone(),
            secrets: settings.secret.all(),
            room: Room { calls: terms.batch, bytes: LARGEST },
            wire: Wire::new(&terms, terms.url.clone())?,
        })
    }

    /// The request of these calls: the same each time, but for the time of the signature.
    fn request(&self, calls: &[Letter], now: Timestamp) -> Result<(HeaderMap, Bytes)> {
        let body = match calls {
            [call] if self.room.calls == 1 => call.call.clone(),
            calls => batch(calls, b""),
        };
        let mut headers = HeaderMap::new();
        headers.insert(ID, value(&self.id(calls))?);
        let mut delivery = Delivery {
            received_at: now,
            method: Method::POST,
            path_tail: String::new(),
            query: String::new(),
            headers,
            body,
            url: String::new(),
            lookups: Vec::new(),
        };
        let mut signatures = Vec::with_capacity(self.secrets.len());
        for secret in &self.secrets {
            Signature::STANDARD.sign(&mut delivery, secret, now)?;
            signatures.extend(delivery.header(SIGNATURE.as_str()).map(str::to_owned));
        }
        let mut headers = delivery.headers;
        headers.insert(SIGNATURE, value(&signatures.join(" "))?);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ok((headers, delivery.body))
    }

    /// What a receiver tells this request by from every other.
    fn id(&self, calls: &[Letter]) -> String {
        let mut digest = Sha256::new();
        digest.update(&self.name);
        for call in calls {
            for part in [&call.source, &call.message_id] {
                digest.update([0]);
                digest.update(part);
            }
        }
        format!("msg_{}", hex::encode(&digest.finalize()[..16]))
    }
}

#[async_trait]
impl Destination for Webhook {
    fn room(&self) -> Room {
        self.room
    }

    /// As the Spec has it: `{"All": false}` keeps a call from every destination that is not named beside it.
    fn is_meant(&self, call: &Call) -> bool {
        let says = |wanted: &str| {
            let found = call.integrations.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
            found.map(|(_, value)| value.bytes().as_ref() != b"false")
        };
        says(&self.name).or_else(|| says("All")).unwrap_or(true)
    }

    fn write(&self, call: &Call) -> Result<Bytes, String> {
        Ok(call.to_json().into())
    }

    async fn send(&self, calls: &[Letter]) -> Verdict {
        match self.request(calls, Timestamp::now()) {
            Ok((headers, body)) => self.wire.post(headers, body).await,
            Err(error) => Verdict::Broken(Fault { reason: error.to_string(), status: None }),
        }
    }
}

/// `{"batch": [...]}`, and further members behind it (each begins with a comma).
pub(super) fn batch(calls: &[Letter], more: &[u8]) -> Bytes {
    let length = calls.iter().map(|letter| letter.call.len() + 1).sum::<usize>();
    let mut body = Vec::with_capacity(length + more.len() + 16);
    body.extend_from_slice(b"{\"batch\":[");
    for (place, letter) in calls.iter().enumerate() {
        if place > 0 {
            body.push(b',');
        }
        body.extend_from_slice(&letter.call);
    }
    body.push(b']');
    body.extend_from_slice(more);
    body.push(b'}');
    body.into()
}

fn value(text: &str) -> Result<HeaderValue> {
    HeaderValue::from_str(text).map_err(|_| Error::unexpected(format!("{text:?} cannot stand in a header")))
}

#[cfg(test)]
mod tests {
    use headwater_core::record::Record;
    use serde_json::json;

    use super::*;

    const OLD: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const NEW: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

    fn webhook(more: serde_json::Value) -> Webhook {
        let mut settings = json!({ "name": "crm", "type": "webhook", "url": "https://hooks.example.com/in", "secret": [NEW, OLD] });
        settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        Webhook::new(&serde_json::from_value(settings).unwrap()).unwrap()
    }

    fn letter(id: &str) -> Letter {
        let json = format!(r#"{{"type":"track","messageId":"{id}","event":"E"}}"#);
        Letter {
            id: 0,
            seq: 1,
            source: "site".to_owned(),
            message_id: id.to_owned(),
            delivery: "1:0".to_owned(),
            person: 0,
            attempts: 0,
            first: None,
            received_at: Timestamp::UNIX_EPOCH,
            call: json.into(),
        }
    }

    #[test]
    fn a_request_is_signed_by_every_secret_and_keeps_its_id() {
        let webhook = webhook(json!({}));
        let now = Timestamp::now();
        let (headers, body) = webhook.request(&[letter("1")], now).unwrap();
        assert_eq!(body, letter("1").call);
        let delivery = Delivery {
            received_at: now,
            method: Method::POST,
            path_tail: String::new(),
            query: String::new(),
            headers: headers.clone(),
            body,
            url: String::new(),
            lookups: Vec::new(),
        };
        for secret in [OLD, NEW] {
            Signature::STANDARD.verify(&delivery, &[Secret::new(secret)], now).unwrap();
        }
        let (again, _) = webhook.request(&[letter("1")], now + jiff::SignedDuration::from_secs(60)).unwrap();
        let (other, _) = webhook.request(&[letter("2")], now).unwrap();
        assert_eq!(headers[ID], again[ID]);
        assert_ne!(headers[SIGNATURE], again[SIGNATURE]);
        assert_ne!(headers[ID], other[ID]);
    }

    #[test]
    fn several_calls_are_a_batch_however_few_there_are() {
        let webhook = webhook(json!({ "batch": 10 }));
        for count in [1, 3] {
            let letters: Vec<Letter> = (0..count).map(|id| letter(&id.to_string())).collect();
            let (_, body) = webhook.request(&letters, Timestamp::now()).unwrap();
            assert_eq!(Record::parse(&body).unwrap().parts("batch").unwrap().len(), count);
        }
    }

    #[test]
    fn integrations_say_who_may_have_a_call() {
        let webhook = webhook(json!({}));
        for (integrations, expected) in [
            ("{}", true),
            (r#"{"All":false}"#, false),
            (r#"{"All":false,"CRM":true}"#, true),
            (r#"{"All":false,"crm":{"x":1}}"#, true),
            (r#"{"crm":false}"#, false),
            (r#"{"other":false}"#, true),
        ] {
            let json = format!(r#"{{"event":"E","integrations":{integrations}}}"#);
            let call = Call::parse(
                &Record::parse(&json.into()).unwrap(),
                Some(headwater_core::spec::CallKind::Track),
            );
            assert_eq!(webhook.is_meant(&call.unwrap()), expected, "{integrations}");
        }
    }
}
