//! Any sender of [CloudEvents](https://cloudevents.io) over HTTP: binary (attributes in `ce-` headers, the data as the
//! body), structured (`application/cloudevents+json`) and batched. A sender that asks for leave first
//! ([webhook validation](https://github.com/cloudevents/spec/blob/main/cloudevents/http-webhook.md)) has it. Who the person is differs from sender to sender:
//! `mapping` says it; without, a call is about the event's subject, or its source.

use std::collections::BTreeMap;

use headwater_core::prelude::*;
use http::{HeaderName, HeaderValue, Method, header};
use serde::Serialize;

use crate::webhook::{CallSettings, Described, Hook, Made, MappingSettings, calls};

/// The registry's line.
pub const CONNECTOR: Connector = Connector::new(
    "cloudevents",
    "CloudEvents",
    "generic",
    "https://github.com/cloudevents/spec/blob/main/cloudevents/bindings/http-protocol-binding.md",
)
.settings::<Settings>()
.events::<Hook<Settings>>(&WEBHOOK);

/// Settings of a source of CloudEvents.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The token that senders give, in `Authorization: Bearer` or as `access_token` in the query; two while it is being
    /// changed, the newer first.
    #[serde(default, skip_serializing)]
    token: Secrets,
    /// Where an event says what happened, when and to whom, where its attributes do not.
    #[serde(default)]
    mapping: MappingSettings,
    /// The call that an event of this type is; others are track calls with their words in Title Case.
    #[serde(default)]
    calls: BTreeMap<String, CallSettings>,
}

const WEBHOOK: Webhook = Webhook {
    surfaces: &[Surface::json(
        "",
        Signature::Optional {
            one: &Signature::Any(&[
                Signature::BEARER,
                Signature::Token { at: Place::Query("access_token"), prefix: "" },
            ]),
            why: "the HTTP binding leaves authorization to the sender",
        },
    )],
    calls: &[CallType::track("", "").when("an event comes: its type in Title Case unless `calls` names it")],
};

const MAPPING: Mapping = Mapping {
    event: "header:ce-type|type",
    id: &["header:ce-source|source", "header:ce-id|id"],
    time: "header:ce-time|time",
    anonymous: "header:ce-subject|subject|header:ce-source|source",
    lift: &["data"],
    ..Mapping::NEW
};

impl Described for Settings {
    const CONNECTOR: &'static str = "cloudevents";

    fn secrets(&self) -> Vec<Secret> {
        self.token.all()
    }

    fn describe(&self) -> Result<Made, String> {
        let webhook = Webhook { calls: calls(&self.calls)?, ..WEBHOOK };
        let mapping = self.mapping.over(Mapping { calls: webhook.calls, ..MAPPING });
        Ok(Made { webhook, mapping })
    }

    fn handshake(delivery: &Delivery) -> Option<Handshake> {
        let asked =
            delivery.headers.get("webhook-request-origin").filter(|_| delivery.method == Method::OPTIONS)?;
        let mut headers = vec![
            (header::ALLOW, HeaderValue::from_static("POST")),
            (HeaderName::from_static("webhook-allowed-origin"), asked.clone()),
        ];
        // As many as it likes, if it asks: the inbox says 503 when it is too much.
        if delivery.headers.contains_key("webhook-request-rate") {
            headers.push((HeaderName::from_static("webhook-allowed-rate"), HeaderValue::from_static("*")));
        }
        Some(Handshake { reply: Reply { headers, ..Reply::OK }, then: None })
    }

    fn finish(item: &Item<'_>, call: &mut Call) {
        // In binary mode the attributes stand in headers, and the data may be a list: one event, several items.
        for (name, value) in &item.delivery.headers {
            if let (Some(attribute), Ok(value)) = (name.as_str().strip_prefix("ce-"), value.to_str())
                && !matches!(attribute, "id" | "time" | "type")
            {
                call.context.set_at(&format!("cloudevents.{attribute}"), Raw::string(value));
            }
        }
        if item.header("ce-id").is_some() && item.index > 0 && !call.message_id.is_empty() {
            call.message_id = format!("{}:{}", call.message_id, item.index);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_that_asks_for_leave_has_it() {
        let asks = |method: Method, headers: &[(&'static str, &'static str)]| {
            let mut delivery = Delivery::fetched("2026-11-01T00:00:00Z".parse().unwrap(), "".into());
            delivery.method = method;
            for (name, value) in headers {
                delivery.headers.insert(*name, HeaderValue::from_static(value));
            }
            let answer = Settings::handshake(&delivery)?.reply.headers;
            let mut answer: Vec<_> =
                answer.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
            answer.sort();
            Some(answer)
        };
        const ORIGIN: (&str, &str) = ("webhook-request-origin", "eventemitter.example.com");
        const ALLOWED: &str = "webhook-allowed-origin: eventemitter.example.com";
        assert_eq!(asks(Method::OPTIONS, &[ORIGIN]).unwrap(), ["allow: POST", ALLOWED]);
        assert_eq!(
            asks(Method::OPTIONS, &[ORIGIN, ("webhook-request-rate", "120")]).unwrap(),
            ["allow: POST", ALLOWED, "webhook-allowed-rate: *"]
        );
        assert_eq!(asks(Method::OPTIONS, &[]), None);
        assert_eq!(asks(Method::POST, &[ORIGIN]), None, "an event that repeats the header is an event");
    }
}
