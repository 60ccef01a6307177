//! Listrak: the calls that its Segment integration posts with a write key, and its one webhook: text messages that
//! contacts send. No webhook tells of its emails. A text message has neither id nor time: each that arrives is one.

use headwater_core::prelude::*;

/// The registry's line.
pub const CONNECTOR: Connector =
    Connector::new("listrak", "Listrak", "email", "https://api.listrak.com/twowaysms/docs")
        .settings::<Listrak>()
        .events::<Listrak>(&WEBHOOK)
        .spec(SPEC);

/// Settings of a Listrak source: none, for Listrak signs nothing.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Listrak {}

static WEBHOOK: Webhook = Webhook {
    surfaces: &[Surface::json("", Signature::None { why: "Listrak documents no signature" })],
    calls: WEBHOOK_CALLS,
};

const WEBHOOK_CALLS: &[CallType] = &[CallType::track(
    "SMS Received",
    "SenderCode int, CountryCode text, PhoneId int, Text text, context.traits.phone text",
)
.native("MO")
.when("a contact sent a text message that is no keyword, or belongs to an open ticket")];

const MAPPING: Mapping = Mapping {
    event: "'MO'",
    time: "received:",
    anonymous: "PhoneId",
    context: &[("traits.phone", "PhoneId"), ("location.country", "CountryCode")],
    calls: WEBHOOK_CALLS,
    ..Mapping::NEW
};

impl EventSource for Listrak {
    fn mapping(&self) -> Mapping<'_> {
        MAPPING
    }
}

/// What all of them may have.
const PROPERTIES: &str = "email_id text, email_subject text, campaign_name text, link_id text, link_url text, \
    google_analytics_campaign_name text, list_id text, list_name text, order_total numeric, unsubscribe_type text, \
    context.ip text, context.traits.email text, context.user_agent text";

const SPEC: &[CallType] = &[
    CallType::track("Email Bounced", PROPERTIES).when("the receiving server refused it"),
    CallType::track("Email Converted", PROPERTIES).when("an order was placed after a click"),
    CallType::track("Email Link Clicked", PROPERTIES).when("the recipient clicked a link"),
    CallType::track("Email Marked As Spam", PROPERTIES).when("the recipient complained"),
    CallType::track("Email Opened", PROPERTIES).when("the recipient opened it"),
    CallType::track("Email Sent", PROPERTIES).when("an email was sent"),
    CallType::track("Unsubscribed", PROPERTIES).when("the recipient left the list"),
    CallType::new(CallKind::Identify, "", "email text, listrak_list_* bool")
        .when("a contact is synchronised, or joins or leaves a list"),
];
