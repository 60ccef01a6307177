//! Any app that follows [Standard Webhooks](https://www.standardwebhooks.com): `{"type", "timestamp", "data"}`, signed by
//! `webhook-id`, `webhook-timestamp` and `webhook-signature`. Who the person is differs from app to app: `mapping` says it.

use std::collections::BTreeMap;

use headwater_core::prelude::*;
use serde::Serialize;

use crate::webhook::{CallSettings, Described, Hook, Made, MappingSettings, calls};

/// The registry's line.
pub const CONNECTOR: Connector = Connector::new(
    "standard-webhooks",
    "Standard Webhooks",
    "generic",
    "https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md",
)
.settings::<Settings>()
.events::<Hook<Settings>>(&WEBHOOK);

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

const WEBHOOK: Webhook = Webhook {
    surfaces: &[Surface::json("", Signature::STANDARD)],
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

impl Described for Settings {
    const CONNECTOR: &'static str = "standard-webhooks";

    fn secrets(&self) -> Vec<Secret> {
        self.secret.all()
    }

    fn describe(&self) -> Result<Made, String> {
        let webhook = Webhook { calls: calls(&self.calls)?, ..WEBHOOK };
        let mapping = self.mapping.over(Mapping { calls: webhook.calls, ..MAPPING });
        Ok(Made { webhook, mapping })
    }
}
