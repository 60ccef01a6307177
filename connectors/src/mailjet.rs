//! Mailjet: what becomes of its emails, as its event webhooks post it (one event a delivery, or grouped), and the Email
//! Spec, which its Segment integration posts with a write key.

use headwater_core::{prelude::*, spec::EMAIL};

/// The registry's line.
pub const CONNECTOR: Connector =
    Connector::new("mailjet", "Mailjet", "email", "https://dev.mailjet.com/email/guides/webhooks/")
        .settings::<Mailjet>()
        .events::<Mailjet>(&WEBHOOK)
        .spec(EMAIL);

/// Settings of a Mailjet source.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Mailjet {
    /// `user:password`, if you gave Mailjet the address as `https://user:password@…`; two while it is being changed, the
    /// newer first. Without it only the secret webhook key in the address lets a delivery in.
    #[serde(default)]
    password: Secrets,
    /// Whether the CustomID of your emails names the email. Otherwise it is your own id of the recipient.
    #[serde(default)]
    custom_id_is_of_the_email: bool,
}

static WEBHOOK: Webhook = Webhook {
    surfaces: &[Surface::json(
        "",
        Signature::Optional {
            one: &Signature::Basic,
            why: "Mailjet signs nothing, and a password in the address is a choice of the webhook's",
        },
    )],
    calls: CALLS,
};

const MAPPING: Mapping = Mapping {
    event: "event",
    time: "time",
    user: "CustomID",
    anonymous: "email|mj_contact_id",
    email: "email",
    context: &[("ip", "ip"), ("userAgent", "agent"), ("location.country", "geo")],
    names: &[
        ("MessageID", "email_id"),
        ("mj_message_id", "email_id"),
        ("mj_campaign_id", "campaign_id"),
        ("mj_list_id", "list_id"),
        ("url", "link_url"),
    ],
    calls: CALLS,
    ..Mapping::NEW
};

impl EventSource for Mailjet {
    fn secrets(&self, _surface: &Surface) -> Vec<Secret> {
        self.password.all()
    }

    fn map(&self, item: &Item<'_>) -> Result<Vec<Output>> {
        let user = if self.custom_id_is_of_the_email { "" } else { MAPPING.user };
        Ok(vec![Mapping { user, ..MAPPING }.call(item)?.into()])
    }
}

/// What every event has, and more.
macro_rules! email {
    ($more:literal) => {
        concat!(
            "email text, email_id int, Message_GUID text, campaign_id int, customcampaign text, mj_contact_id int, ",
            "CustomID text, Payload text, context.traits.email text",
            $more
        )
    };
}

const CALLS: &[CallType] = &[
    CallType::track("Email Delivered", email!(", smtp_reply text"))
        .native("sent")
        .when("the receiving server took it"),
    CallType::track("Email Opened", email!(", geo text, context.ip text, context.userAgent text"))
        .native("open")
        .when("the recipient opened it, open tracking on"),
    CallType::track(
        "Email Link Clicked",
        email!(", link_url text, geo text, context.ip text, context.userAgent text"),
    )
    .native("click")
    .when("the recipient clicked a link, click tracking on"),
    CallType::track(
        "Email Bounced",
        email!(", blocked bool, hard_bounce bool, error_related_to text, error text, comment text"),
    )
    .native("bounce")
    .when("the receiving server refused it"),
    CallType::track("Email Dropped", email!(", error_related_to text, error text"))
        .native("blocked")
        .when("Mailjet did not send it"),
    CallType::track("Email Marked as Spam", email!(", source text"))
        .native("spam")
        .when("the recipient complained"),
    CallType::track(
        "Email Unsubscribed",
        email!(", list_id int, geo text, context.ip text, context.userAgent text"),
    )
    .native("unsub")
    .when("the recipient used the unsubscribe link"),
];
