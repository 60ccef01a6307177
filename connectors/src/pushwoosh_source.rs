//! Pushwoosh Source: what became of messages. The webhook integration posts one event a delivery, without a time and
//! without an id: an event has that of its delivery.
//!
//! Pushwoosh also streams events in batches (HTTP or gRPC); nothing public describes that envelope.

use headwater_core::prelude::*;

/// The registry's line.
pub const CONNECTOR: Connector = Connector::new(
    "pushwoosh-source",
    "Pushwoosh Source",
    "push",
    "https://docs.pushwoosh.com/product/integrations/webhook-integration",
)
.settings::<Pushwoosh>()
.events::<Pushwoosh>(&WEBHOOK)
.spec(SPEC);

/// Settings of a Pushwoosh source: there are none, for the webhook proves nothing but that it knows the address.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pushwoosh {}

static WEBHOOK: Webhook = Webhook {
    surfaces: &[Surface::json(
        "",
        Signature::None { why: "Pushwoosh's webhook integration takes an address and nothing else" },
    )],
    calls: CALLS,
};

const MAPPING: Mapping =
    Mapping { event: "event_name", time: "received:", user: "user_id", anonymous: "hwid", ..Mapping::NEW };

impl EventSource for Pushwoosh {
    fn map(&self, item: &Item<'_>) -> Result<Vec<Output>> {
        let mut call = MAPPING.call(item)?;
        // Of an email the device is its address.
        if item.record.text("platform")?.as_deref() == Some("Email") {
            call = call.context("traits.email", item.record.text("hwid")?.as_deref());
        }
        Ok(vec![call.into()])
    }
}

/// What the webhook tells of every event.
const OWN: &str = "message_id text, message_code text, campaign_id text, platform text, application_code text, hwid text, \
                   user_id text, payload text";

const CALLS: &[CallType] = &[
    CallType::track("Email Sent", OWN).native("Email Sent").when("an email was sent"),
    CallType::track("Email Delivered", OWN).native("Email Delivered").when("the receiving server took it"),
    CallType::track("Email Opened", OWN).native("Email Opened").when("the recipient opened it"),
    CallType::track("Email Bounced", OWN).native("Email Bounced").when("it came back for good"),
];

/// What the Segment integration tells of every event.
const POSTED: &str = "message_type text, campaign_code text, device_type text";

const SPEC: &[CallType] = &[
    CallType::track("Email Sent", POSTED).when("an email was sent"),
    CallType::track("Push Sent", POSTED).when("a push was sent"),
    CallType::track("SMS Sent", POSTED).when("a text message was sent"),
    CallType::track("Email Delivered", POSTED).when("the receiving server took an email"),
    CallType::track("Push Delivered", POSTED).when("a push reached its device"),
    CallType::track("SMS Delivered", POSTED).when("a text message was delivered"),
    CallType::track("Email Bounced", POSTED).when("an email came back for good"),
];
