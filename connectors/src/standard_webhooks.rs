//! Any app that follows [Standard Webhooks](https://www.standardwebhooks.com): `{"type", "timestamp", "data"}`, signed by
//! `webhook-id`, `webhook-timestamp` and `webhook-signature`. Who the person is differs from app to app: `mapping` says it.

use std::collections::BTreeMap;

use headwater_core::prelude::*;
use serde::Serialize;

use crate::webhook::{CallSettings, Made, MappingSettings, calls, kept};

/// The registry's line.
pub const CONNECTOR: Connector = Connector::new(
    "standard-webhooks",
    "Standard Webhooks",
    "generic",
    "https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md",
)
.settings::<Settings>()
.events::<Hook>(&WEBHOOK);

/// Settings of a source of Standard Webhooks.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The endpoint's signing secret (`whsec_…`); two while it is being changed, the newer first.
    #[serde(default, skip_serializing)]
    secret: Secrets,
    /// Where an item says what happened, when and to whom, where it is not where most apps have it.
    #[serde(default)]
    mapping: MappingSettings,
    /// The call that an event of this name is; others are track calls with their words in Title Case.
    #[serde(default)]
    calls: BTreeMap<String, CallSettings>,
}

static WEBHOOK: Webhook = Webhook {
    surfaces: &[Surface { path: "", signature: Signature::STANDARD, items: Items::Json("") }],
    calls: &[CallType::track("", "").when("an event comes: its type in Title Case unless `calls` names it")],
};

const MAPPING: Mapping = Mapping {
    event: "type",
    id: &["header:webhook-id"],
    time: "timestamp",
    user: "data.user_id|data.userId|data.user.id|data.customer_id|data.customerId|data.customer.id",
    anonymous: "data.email|data.user.email|data.customer.email|data.id|header:webhook-id",
    email: "data.email|data.user.email|data.customer.email",
    lift: &["data"],
    ..Mapping::NEW
};

/// A source of Standard Webhooks.
#[derive(Debug, Deserialize)]
#[serde(try_from = "Settings")]
pub struct Hook {
    secrets: Vec<Secret>,
    made: &'static Made,
}

impl TryFrom<Settings> for Hook {
    type Error = String;

    fn try_from(settings: Settings) -> Result<Self, String> {
        let make = || {
            let webhook = Webhook { surfaces: WEBHOOK.surfaces, calls: calls(&settings.calls)? };
            Ok(Made { webhook, mapping: settings.mapping.over(MAPPING) })
        };
        Ok(Self { secrets: settings.secret.all(), made: kept("standard-webhooks", &settings, make)? })
    }
}

impl EventSource for Hook {
    fn secrets(&self, _surface: &Surface) -> Vec<Secret> {
        self.secrets.clone()
    }

    fn webhook(&self) -> Option<&'static Webhook> {
        Some(&self.made.webhook)
    }

    fn map(&self, item: &Item<'_>) -> Result<Vec<Output>> {
        Ok(vec![self.made.mapping.call(&self.made.webhook, item)?.into()])
    }
}
