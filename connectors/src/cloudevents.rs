//! Any sender of [CloudEvents](https://cloudevents.io) over HTTP: binary (attributes in `ce-` headers, the data as the
//! body), structured (`application/cloudevents+json`) and batched. Who the person is differs from sender to sender:
//! `mapping` says it; without, a call is about the event's subject, or its source.

use std::collections::BTreeMap;

use headwater_core::prelude::*;
use serde::Serialize;

use crate::webhook::{CallSettings, Made, MappingSettings, calls, kept};

/// The registry's line.
pub const CONNECTOR: Connector = Connector::new(
    "cloudevents",
    "CloudEvents",
    "generic",
    "https://github.com/cloudevents/spec/blob/main/cloudevents/bindings/http-protocol-binding.md",
)
.settings::<Settings>()
.events::<Hook>(&WEBHOOK);

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

static WEBHOOK: Webhook = Webhook {
    surfaces: &[Surface {
        path: "",
        signature: Signature::Optional {
            one: &Signature::Any(&[
                Signature::BEARER,
                Signature::Token { at: Place::Query("access_token"), prefix: "" },
            ]),
            why: "the HTTP binding leaves authorization to the sender",
        },
        items: Items::Json(""),
    }],
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

/// A source of CloudEvents.
#[derive(Debug, Deserialize)]
#[serde(try_from = "Settings")]
pub struct Hook {
    tokens: Vec<Secret>,
    made: &'static Made,
}

impl TryFrom<Settings> for Hook {
    type Error = String;

    fn try_from(settings: Settings) -> Result<Self, String> {
        let make = || {
            let webhook = Webhook { surfaces: WEBHOOK.surfaces, calls: calls(&settings.calls)? };
            Ok(Made { webhook, mapping: settings.mapping.over(MAPPING) })
        };
        Ok(Self { tokens: settings.token.all(), made: kept("cloudevents", &settings, make)? })
    }
}

impl EventSource for Hook {
    fn secrets(&self, _surface: &Surface) -> Vec<Secret> {
        self.tokens.clone()
    }

    fn webhook(&self) -> Option<&'static Webhook> {
        Some(&self.made.webhook)
    }

    fn map(&self, item: &Item<'_>) -> Result<Vec<Output>> {
        let mut call = self.made.mapping.call(&self.made.webhook, item)?;
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
        Ok(vec![call.into()])
    }
}
