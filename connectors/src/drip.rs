//! Drip: what its subscribers do and what becomes of them, one event a delivery, and the Email Spec, which its Segment
//! integration posts with a write key.

use headwater_core::{prelude::*, spec::EMAIL};

/// The registry's line.
pub const CONNECTOR: Connector =
    Connector::new("drip", "Drip", "email", "https://developer.drip.com/#webhook-events")
        .settings::<Drip>()
        .events::<Drip>(&WEBHOOK)
        .spec(EMAIL);

/// Settings of a Drip source: none, for Drip signs nothing.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Drip {}

static WEBHOOK: Webhook = Webhook {
    surfaces: &[Surface::json("", Signature::None { why: "Drip documents no signature" })],
    calls: CALLS,
};

const MAPPING: Mapping = Mapping {
    event: "event",
    time: "occurred_at",
    user: "data.subscriber.user_id",
    anonymous: "data.subscriber.email|data.subscriber.visitor_uuid|data.subscriber.id",
    previous: "data.properties.previous_value|data.subscriber.email|data.subscriber.id",
    email: "data.subscriber.email",
    context: &[
        ("ip", "data.properties.ip_address"),
        ("userAgent", "data.properties.user_agent"),
        ("timezone", "data.subscriber.time_zone"),
    ],
    names: &[("data.properties.url", "link_url")],
    lift: &["data.properties", "data"],
    calls: CALLS,
    ..Mapping::NEW
};

/// Who the subscriber is: what Drip knows of one are traits, what changed stays an object.
const TRAITS: Mapping = Mapping {
    names: &[("data.subscriber.id", "subscriber_id")],
    lift: &["data.subscriber.custom_fields", "data.subscriber", "data"],
    ..MAPPING
};

/// A page is no link.
const PAGE: Mapping = Mapping { names: &[], ..MAPPING };

impl EventSource for Drip {
    fn map(&self, item: &Item<'_>) -> Result<Vec<Output>> {
        let native = item.record.text("event")?.unwrap_or_default();
        let mapping = match WEBHOOK.by_native(&native).map(|call| call.kind) {
            Some(CallKind::Identify) => TRAITS,
            Some(CallKind::Page) => PAGE,
            _ => MAPPING,
        };
        let mut call = mapping.call(item)?;
        if native == CUSTOM
            && let Some(action) = item.record.text("data.properties.action")?
            && !action.trim().is_empty()
        {
            call.name = Some(action.trim().to_owned());
        }
        Ok(vec![call.into()])
    }
}

/// An event of the customer's own, called by what it says was done.
const CUSTOM: &str = "subscriber.performed_custom_event";

/// What every event has, and more.
macro_rules! subscriber {
    ($more:literal) => {
        concat!("account_id text, subscriber json, context.traits.email text", $more)
    };
}

const EVENT: &str = subscriber!("");
const DELIVERY: &str = subscriber!(", delivery_id text, email_id text, email_subject text");
const CLICK: &str = subscriber!(
    ", delivery_id text, email_id text, email_subject text, link_url text, user_agent text, ip_address text"
);
const CAMPAIGN: &str = subscriber!(", campaign_id text, campaign_name text");
const TAG: &str = subscriber!(", tag text");
const SOURCE: &str = subscriber!(", source text");
const WHO: &str = "subscriber_id text, email text, status text, custom_fields json, tags json, time_zone text, \
    utc_offset int, created_at time, ip_address text, user_agent text, lifetime_value int, original_referrer text, \
    landing_url text, prospect bool, base_lead_score int, lead_score int, account_id text, properties json";

const fn event(
    native: &'static str,
    name: &'static str,
    properties: &'static str,
    when: &'static str,
) -> CallType {
    CallType::track(name, properties).native(native).when(when)
}

#[rustfmt::skip]
const CALLS: &[CallType] = &[
    event("subscriber.received_email", "Email Delivered", DELIVERY, "a subscriber got an email (to be switched on)"),
    event("subscriber.opened_email", "Email Opened", DELIVERY, "a subscriber opened an email"),
    event("subscriber.clicked_email", "Email Link Clicked", CLICK, "a subscriber clicked a link in an email"),
    event("subscriber.unsubscribed_all|subscriber.unsubscribed_from_campaign", "Email Unsubscribed", CAMPAIGN,
        "a subscriber left all mailings, or one email series"),
    event("subscriber.bounced", "Email Bounced", DELIVERY, "an email bounced"),
    event("subscriber.complained", "Email Marked as Spam", DELIVERY, "a subscriber complained"),
    CallType::new(CallKind::Identify, "", WHO)
        .native("subscriber.created|subscriber.updated_custom_field|subscriber.updated_email_address\
            |subscriber.updated_time_zone|subscriber.updated_lifetime_value")
        .when("a subscriber is created, or what is known of one changes"),
    CallType::new(CallKind::Alias, "", subscriber!(", identifier text, value text, previous_value text, source text"))
        .native("subscriber.updated_alias")
        .when("a subscriber gets another id of yours"),
    event("subscriber.deleted", "Subscriber Deleted", EVENT, "a subscriber is deleted"),
    event("subscriber.subscribed_to_campaign|subscriber.subscribed_to_email_marketing", "Subscribed", CAMPAIGN,
        "a subscriber joined an email series, or email marketing"),
    event("subscriber.removed_from_campaign", "Subscriber Removed From Campaign", CAMPAIGN,
        "a subscriber was taken out of an email series"),
    event("subscriber.completed_campaign", "Campaign Completed", CAMPAIGN, "a subscriber got all of an email series"),
    event("subscriber.reactivated", "Subscriber Reactivated", EVENT, "a subscriber who had left came back"),
    event("subscriber.applied_tag", "Subscriber Tagged", TAG, "a subscriber got a tag"),
    event("subscriber.removed_tag", "Subscriber Untagged", TAG, "a subscriber lost a tag"),
    event("subscriber.marked_as_deliverable", "Subscriber Marked Deliverable", SOURCE, "an address can be reached again"),
    event("subscriber.marked_as_undeliverable", "Subscriber Marked Undeliverable", SOURCE,
        "an address bounced for good, or complained"),
    event("subscriber.clicked_trigger_link", "Trigger Link Clicked",
        subscriber!(", link_url text, ip_address text, trigger_id int, source text"), "a subscriber clicked a trigger link"),
    CallType::new(CallKind::Page, "", subscriber!(", url text"))
        .native("subscriber.visited_page")
        .when("a subscriber saw a page that a rule waits for"),
    event("subscriber.became_lead", "Lead Created", subscriber!(", lead_score int"), "a subscriber's lead score is high enough"),
    event("subscriber.became_non_prospect", "Subscriber Became Non Prospect", EVENT, "a subscriber is no longer scored"),
    event("subscriber.updated_lead_score", "Lead Score Updated",
        subscriber!(", lead_score int, previous_lead_score int"), "a subscriber's lead score changed"),
    event(CUSTOM, "", subscriber!(", action text"), "a custom event was recorded; its action is the call's name"),
];
