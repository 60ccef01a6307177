//! Any sender of [CloudEvents](https://cloudevents.io) over HTTP: binary (attributes in `ce-` headers, the data as the
//! body), structured (`application/cloudevents+json`) and batched. Who the person is differs from sender to sender:
//! `mapping` says it; without, a call is about the event's subject, or its source.

use std::collections::BTreeMap;

use headwater_core::prelude::*;
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
