//! Iterable: messages by email, SMS, WhatsApp, push and in the app, as system webhooks; one event a delivery.
//!
//! Iterable has no event for a message that arrived (but in-app): what it has sent is what Segment's catalog calls
//! delivered.

mod calls;

use headwater_core::prelude::*;

/// The registry's line.
pub const CONNECTOR: Connector = Connector::new(
    "iterable",
    "Iterable",
    "email",
    "https://support.iterable.com/hc/en-us/articles/208013936-System-Webhooks",
)
.settings::<Iterable>()
.events::<Iterable>(&WEBHOOK)
.spec(calls::CALLS);

/// Settings of an Iterable source.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Iterable {
    /// What the system webhook authenticates with: `user:password` for Basic, the token for a bearer token, or
    /// `Name: value` for a header of its own; two while it is being changed, the newer first. Iterable signs nothing:
    /// without it only the secret webhook key in the address lets a delivery in.
    #[serde(default)]
    token: Secrets,
}

static WEBHOOK: Webhook = Webhook {
    surfaces: &[Surface::json(
        "",
        Signature::Optional {
            one: &Signature::CREDENTIALS,
            why: "Iterable signs nothing, and credentials are a choice of the webhook's",
        },
    )],
    calls: calls::CALLS,
};

const MAPPING: Mapping = Mapping {
    event: "eventName",
    // The message's id, not the event's.
    id: &[
        "dataFields.messageId",
        "eventName",
        "dataFields.createdAt",
        "dataFields.url|dataFields.clickedUrl|dataFields.buttonIdentifier",
    ],
    time: "dataFields.createdAt",
    user: "userId|dataFields.userId",
    otherwise: "email|dataFields.email|dataFields.toPhoneNumber",
    email: "email|dataFields.email",
    context: &[
        ("ip", "dataFields.ip"),
        ("userAgent", "dataFields.userAgent"),
        ("locale", "dataFields.locale"),
        ("campaign.name", "dataFields.campaignName"),
    ],
    lift: &["dataFields"],
    calls: calls::CALLS,
    ..Mapping::NEW
};

impl EventSource for Iterable {
    fn secrets(&self, _surface: &Surface) -> Vec<Secret> {
        self.token.all()
    }

    fn mapping(&self) -> Mapping<'_> {
        MAPPING
    }
}
