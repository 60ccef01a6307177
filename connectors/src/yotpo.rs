//! Yotpo: reviews, and subscribers of texts and emails. Platform webhooks name their event in a header, review
//! webhooks in the body; one event a delivery. Yotpo ended its own texts and emails at the end of 2025.

use headwater_core::prelude::*;

/// The registry's line.
pub const CONNECTOR: Connector =
    Connector::new("yotpo", "Yotpo", "email", "https://core-api.yotpo.com/reference/about-webhook-events")
        .settings::<Yotpo>()
        .events::<Yotpo>(&WEBHOOK)
        .spec(SPEC);

/// Settings of a Yotpo source: none.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Yotpo {}

static WEBHOOK: Webhook = Webhook {
    surfaces: &[Surface::json(
        "",
        Signature::None { why: "Yotpo documents no signature and no token for its webhooks" },
    )],
    calls: CALLS,
};

const MAPPING: Mapping = Mapping {
    event: "header:x-yotpo-webhooks-event-type|event",
    id: &["header:webhookmessageid|header:eventid|data.id", "data.updated_at"],
    time: "timestamp|trigger.date|data.updated_at|data.created_at|created_at",
    user: "external_id",
    anonymous: "phone|email|data.customer_email|shopper_profile.email|data.user_id|data.external_order_id|\
                order_id|data.id",
    email: "email|data.customer_email|shopper_profile.email",
    context: &[
        ("traits.phone", "phone"),
        ("timezone", "timezone"),
        ("locale", "shopper_profile.locale"),
        ("webhook.tenantType", "header:x-yotpo-webhooks-tenant-type"),
        ("webhook.tenantId", "header:x-yotpo-webhooks-tenant-id"),
    ],
    names: &[("data.id", "review_id")],
    lift: &["data"],
    prefix: "review_",
    calls: CALLS,
    ..Mapping::NEW
};

impl EventSource for Yotpo {
    fn mapping(&self) -> Mapping<'_> {
        MAPPING
    }
}

const MESSAGE: &str = "source_name text, sub_source text, source_id text, email_reference_id text, clicked_url text, \
    store_id text, flow_id text, campaign_id text";

const SPEC: &[CallType] = &[
    CallType::track("SMS Sent", MESSAGE).when("a text is sent"),
    CallType::track("SMS Clicked", MESSAGE).when("somebody opens the link of a text"),
    CallType::track("SMS Unsubscribed", MESSAGE).when("somebody opts out of texts"),
    CallType::track("SMS Subscribed", MESSAGE).when("somebody opts in to texts"),
    CallType::track("Email Sent", MESSAGE).when("an email is sent"),
    CallType::track("Email Delivered", MESSAGE).when("an email arrives"),
    CallType::track("Email Opened", MESSAGE).when("an email is opened"),
    CallType::track("Email Clicked", MESSAGE).when("somebody opens a link of an email"),
    CallType::track("Email Bounced", MESSAGE).when("an email cannot be delivered"),
    CallType::track("Email Unsubscribed", MESSAGE).when("somebody opts out of emails"),
    CallType::track("Email Subscribed", MESSAGE).when("somebody opts in to emails"),
];

const SUBSCRIBER: &str = "first_name text, last_name text, phone text, email text, external_id text, \
    default_currency text, account_status text, gender text, address json, accepts_sms_marketing bool, \
    accepts_email_marketing bool, sms_subscription_source text, email_subscription_source text, tags text, lists json, \
    timezone text, created_at time, channel text";
const REVIEW: &str = "review_id int, source_app_key text, title text, content text, reviewer_display_name text, \
    review_user_id text, score int, deleted bool, app_key text, created_at time, updated_at time, new bool, \
    user_type text, verified_buyer bool, archived bool, customer_email text, order_id int, external_order_id text, \
    sentiment numeric, escalated bool";
const REQUEST: &str = "trigger json, source_app_key text, order_id text, review_submission_url text, \
    shopper_profile json, products json";

const CALLS: &[CallType] = &[
    CallType::track("SMS Subscribed", SUBSCRIBER)
        .native("communication.sms.subscribed.v1|communication.sms.subscribe")
        .when("somebody opts in to texts"),
    CallType::track("SMS Unsubscribed", SUBSCRIBER)
        .native("communication.sms.unsubscribed.v1|communication.sms.unsubscribe")
        .when("somebody opts out of texts"),
    CallType::track("SMS Sent", SUBSCRIBER).native("communication.sms.sent.v1").when("a text is sent"),
    CallType::track("List Subscriber Added", SUBSCRIBER)
        .native("communication.lists.add")
        .when("a subscriber is put on a list"),
    CallType::track("List Subscriber Removed", SUBSCRIBER)
        .native("communication.lists.remove")
        .when("a subscriber is taken off a list"),
    CallType::track("Product Reviewed", REVIEW).native("review_create").when("a review is written"),
    CallType::track("Review Updated", REVIEW).native("review_updated").when("a review is changed"),
    CallType::track("Review Request Eligible On Fulfillment", REQUEST)
        .native("review_request.eligible.on_fulfillment")
        .when("an order is fulfilled, so that its buyer may be asked for a review"),
    CallType::track("Review Request Eligible On Delivery", REQUEST)
        .native("review_request.eligible.on_delivery")
        .when("an order is delivered, so that its buyer may be asked for a review"),
];
