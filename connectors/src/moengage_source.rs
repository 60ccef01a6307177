//! MoEngage: what users do and what becomes of messages, as MoEngage Streams, up to a hundred events a delivery; and the
//! alerts of the account itself (`…/alerts`).

mod calls;

use headwater_core::prelude::*;

/// The registry's line.
pub const CONNECTOR: Connector = Connector::new(
    "moengage-source",
    "MoEngage (Source)",
    "push",
    "https://www.moengage.com/docs/api/data/moengage-streams",
)
.settings::<MoEngage>()
.events::<MoEngage>(&WEBHOOK)
.spec(calls::SPEC);

/// Settings of a MoEngage source.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MoEngage {
    /// What was agreed with MoEngage when Streams was enabled: `user:password` for Basic, the token for a bearer token,
    /// or `Name: value` for a header of its own; two while it is being changed, the newer first. Streams are not signed:
    /// without it only the secret webhook key in the address lets a delivery in.
    #[serde(default)]
    token: Secrets,
    /// The API key of campaign reports, which signs alerts (`…/alerts`); two while it is being changed, the newer first.
    #[serde(default)]
    report_api_key: Secrets,
}

static WEBHOOK: Webhook = Webhook {
    surfaces: &[
        Surface {
            path: "",
            signature: Signature::Optional {
                one: &Signature::CREDENTIALS,
                why: "MoEngage signs no Streams, and credentials are agreed on with its support",
            },
            items: Items::Json("events"),
        },
        Surface {
            path: "alerts",
            signature: Signature::Digest(Hmac::body(Place::Header(&["signature"]))),
            items: Items::Json(""),
        },
    ],
    calls: calls::CALLS,
};

const STREAM: Mapping = Mapping {
    event: "event_name|event_code",
    verbatim: true,
    id: &["event_uuid"],
    time: "event_time",
    user: "uid",
    anonymous: "user_attributes.moengage_user_id|device_attributes.moengage_device_id",
    otherwise: "email_id|mobile_number|push_id",
    email: "email_id",
    context: &[
        ("traits.phone", "mobile_number"),
        ("device.id", "device_attributes.moengage_device_id"),
        ("device.token", "push_id"),
        ("campaign.name", "event_attributes.campaign_name"),
    ],
    lift: &["event_attributes"],
    calls: calls::CALLS,
    ..Mapping::NEW
};

const ALERT: Mapping = Mapping {
    event: "alert_type",
    // The account's, or a campaign's: nobody's.
    anonymous: "db_name|alert_id",
    context: &[("campaign.name", "entity_data.campaign_name")],
    calls: calls::CALLS,
    ..Mapping::NEW
};

impl EventSource for MoEngage {
    fn secrets(&self, surface: &Surface) -> Vec<Secret> {
        if surface.path == "alerts" { self.report_api_key.all() } else { self.token.all() }
    }

    fn map(&self, item: &Item<'_>) -> Result<Vec<Output>> {
        let mapping = if item.surface.path == "alerts" { &ALERT } else { &STREAM };
        Ok(vec![mapping.call(item)?.into()])
    }
}
