//! Insider: what becomes of WhatsApp messages (transactional, conversational, one-time passwords), one status a delivery.
//! Of email, SMS, push and journeys Insider has no webhooks: those events come as Spec calls with a write key.
//!
//! Two bodies are documented: a message that WhatsApp took, and one that it refused. Later statuses are Meta's own, passed
//! on with Insider's `key`; where they stand in the body is not, so that Meta's place and a plain `status` are both read.

use headwater_core::prelude::*;

/// The registry's line.
pub const CONNECTOR: Connector = Connector::new(
    "insider",
    "Insider",
    "email",
    "https://academy.insiderone.com/docs/webhooks-for-transactional-whatsapp",
)
.settings::<Insider>()
.events::<Insider>(&WEBHOOK)
.spec(SPEC);

/// Settings of an Insider source.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Insider {
    /// The bearer token that was registered with the webhook's address; two while it is being changed, the newer first.
    #[serde(default)]
    token: Secrets,
}

static WEBHOOK: Webhook = Webhook { surfaces: &[Surface::json("", Signature::BEARER)], calls: CALLS };

const MAPPING: Mapping = Mapping {
    time: "timestamp|statuses.0.timestamp|messages.0.timestamp",
    anonymous: "contacts.0.wa_id|statuses.0.recipient_id|contacts.0.input|messages.0.from|key",
    context: &[("traits.phone", "contacts.0.input|contacts.0.wa_id|statuses.0.recipient_id|messages.0.from")],
    calls: CALLS,
    ..Mapping::NEW
};

impl EventSource for Insider {
    fn secrets(&self, _surface: &Surface) -> Vec<Secret> {
        self.token.all()
    }

    fn map(&self, item: &Item<'_>) -> Result<Vec<Output>> {
        let body = &item.record;
        let told = body.first_text(&["status", "statuses.0.status"])?;
        let status = match told.as_deref() {
            Some(status) => status,
            None if body.at("error")?.is_some() => "failed",
            // A user's message says what it is; one of ours that was taken has only its id.
            None if body.text("messages.0.type")?.is_some() => "reply",
            None if body.at("messages")?.is_some() => "sent",
            None => return Err(Error::unexpected("neither a status nor a message of WhatsApp")),
        };
        let named = WEBHOOK.by_native(status);
        let call =
            named.map_or_else(|| Call::track(format!("WhatsApp {}", title_case(status))), CallType::call);
        Ok(vec![MAPPING.fill(item, call)?.into()])
    }
}

const STATUS: &str =
    "key text, messaging_product text, contacts json, messages json, status text, statuses json";

const CALLS: &[CallType] = &[
    CallType::track("WhatsApp Sent", STATUS).native("sent").when("WhatsApp took a message"),
    CallType::track("WhatsApp Delivered", STATUS)
        .native("delivered")
        .when("a device of the recipient's has it"),
    CallType::track("WhatsApp Read", STATUS).native("read").when("the recipient read it"),
    CallType::track("WhatsApp Failed", "key text, error json")
        .native("failed")
        .when("WhatsApp refused a message"),
    CallType::track("WhatsApp Reply", STATUS).native("reply").when("the recipient answered"),
];

/// What every call that Insider posts has.
const POSTED: &str = "campaign_id text, campaign_name text, ip_address text, user_agent text, variation_id text, \
    journey_id text, variant_id text, name text, reason text, email text";

const SPEC: &[CallType] = &[
    CallType::track("Email Delivered", POSTED).when("an email was delivered"),
    CallType::track("Email Open", POSTED).when("an email was opened"),
    CallType::track("Email Clicked", POSTED).when("a link in an email was clicked"),
    CallType::track("Email Bounced", POSTED).when("the recipient's server refused an email"),
    CallType::track("Email Unsubscribe", POSTED).when("a user wants no more emails"),
    CallType::track("WhatsApp Reply", POSTED).when("any button of a WhatsApp message was tapped"),
    CallType::track("WhatsApp Reply First Button", POSTED).when("the first quick reply was tapped"),
    CallType::track("WhatsApp Reply Second Button", POSTED).when("the second quick reply was tapped"),
    CallType::track("WhatsApp Reply Third Button", POSTED).when("the third quick reply was tapped"),
    CallType::track("WhatsApp Reply Auto Reply", POSTED)
        .when("a user answered a template with quick replies"),
    CallType::track("WhatsApp Reply Other Reply", POSTED).when("a user answered any template"),
    CallType::track("WhatsApp Opt Out", POSTED).when("a user wants no more WhatsApp messages"),
    CallType::track("SMS Click", POSTED).when("a link in an SMS was clicked"),
    CallType::track("SMS Delivered", POSTED).when("an SMS was delivered"),
    CallType::track("SMS Unsubscribe", POSTED).when("a user wants no more SMS"),
    CallType::track("Journey Enter", POSTED).when("a user entered a journey"),
    CallType::track("Journey Exited", POSTED).when("a user left a journey"),
    CallType::track("InApp Seen", POSTED).when("an in-app campaign was seen"),
    CallType::track("Push Delivered", POSTED).when("an app push was delivered"),
    CallType::track("Push Session", POSTED).when("an app push was tapped"),
    CallType::track("Session Start From Push", POSTED).when("the app was opened by a push"),
    CallType::track("Session Start", POSTED).when("the app was opened"),
    CallType::track("Lead Collected", POSTED).when("a lead was collected"),
    CallType::track("", "").when("an event of your own, under its name"),
];
