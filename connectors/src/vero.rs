//! Vero: what becomes of its messages and who its users are, one event a delivery, and the calls that its Segment
//! integration posts with a write key.

use headwater_core::prelude::*;

/// The registry's line.
pub const CONNECTOR: Connector = Connector::new(
    "vero",
    "Vero",
    "email",
    "https://help.getvero.com/vero-1/integrations/setting-up-webhooks",
)
.settings::<Vero>()
.events::<Vero>(&WEBHOOK)
.spec(SPEC);

/// Settings of a Vero source: none, for Vero signs nothing.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Vero {}

static WEBHOOK: Webhook = Webhook {
    surfaces: &[Surface::json("", Signature::None { why: "Vero documents no signature" })],
    calls: CALLS,
};

/// The member that says when is called after what happened.
const TIME: &str = "sent_at|delivered_at|opened_at|clicked_at|bounced_at|unsubscribed_at|complained_at|failed_at\
    |converted_at|resubscribed_at|created_at|updated_at";

const MAPPING: Mapping = Mapping {
    event: "type",
    id: &["message_id", "type", TIME],
    time: TIME,
    user: "user.id",
    anonymous: "user.email",
    email: "user.email",
    context: &[("userAgent", "user_agent")],
    names: &[
        ("user.id", "user_id"),
        ("campaign.id", "campaign_id"),
        ("campaign.name", "campaign_name"),
        ("campaign.subject", "email_subject"),
        ("event.name", "trigger_event_name"),
        ("event.triggered_at", "triggered_at"),
    ],
    lift: &["user"],
    calls: CALLS,
    ..Mapping::NEW
};

impl EventSource for Vero {
    fn mapping(&self) -> Mapping<'_> {
        MAPPING
    }
}

/// What every event of a message has, and more.
macro_rules! message {
    ($more:literal) => {
        concat!(
            "email text, message_id text, campaign_id int, campaign_name text, email_subject text, campaign json, ",
            "trigger_event_name text, triggered_at int, context.traits.email text",
            $more
        )
    };
}

const MESSAGE: &str = message!("");

const CALLS: &[CallType] = &[
    CallType::track("Email Sent", MESSAGE).native("sent").when("an email left Vero"),
    CallType::track("Email Delivered", message!(", sender_ip text"))
        .native("delivered")
        .when("the receiving server took it"),
    CallType::track("Email Opened", message!(", user_agent text"))
        .native("opened")
        .when("the recipient opened it"),
    CallType::track("Email Link Clicked", message!(", user_agent text"))
        .native("clicked")
        .when("the recipient clicked a link"),
    CallType::track("Email Bounced", message!(", bounce_type text, bounce_code text, bounce_message text"))
        .native("bounced")
        .when("the receiving server refused it"),
    CallType::track("Email Unsubscribed", "email text, context.traits.email text")
        .native("unsubscribed")
        .when("a user unsubscribed"),
    CallType::track("Email Marked as Spam", MESSAGE).native("complained").when("the recipient complained"),
    CallType::track("Email Failed", MESSAGE).native("failed").when("an email could not be sent"),
    CallType::track("Email Converted", MESSAGE)
        .native("converted")
        .when("the recipient reached the campaign's goal"),
    CallType::track("Email Resubscribed", "email text, context.traits.email text")
        .native("resubscribed")
        .when("a user subscribed again"),
    CallType::new(CallKind::Identify, "", "email text, changes json")
        .native("user_created|user_updated")
        .when("a user is created, or what is known of one changes"),
];

/// Segment's page names no properties.
const SPEC: &[CallType] = &[
    CallType::track("Email Sent", "").when("an email left Vero"),
    CallType::track("Email Delivered", "").when("the receiving server took it"),
    CallType::track("Email Opened", "").when("the recipient opened it, open tracking on"),
    CallType::track("Email Link Clicked", "").when("the recipient clicked a link, click tracking on"),
    CallType::track("Email Unsubscribed", "").when("the recipient used the unsubscribe link"),
    CallType::track("Email Bounced", "").when("the receiving server refused it"),
    CallType::track("Email Marked as Spam", "").when("the recipient complained"),
];
