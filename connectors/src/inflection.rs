//! Inflection (inflection.io): marketing automation. It posts Segment Spec calls with a write key; nothing public describes a webhook of its own. A
//! recipient without a user id is known by Inflection's person id, until an identify call joins both.

use headwater_core::prelude::*;

/// The registry's line.
pub const CONNECTOR: Connector = Connector::new(
    "inflection",
    "Inflection",
    "email",
    "https://www.twilio.com/docs/segment/connections/sources/catalog/cloud-apps/inflection",
)
.spec(CALLS);

/// What several of them tell.
const PROPERTIES: &str = "event, userId, email_id, campaign_id, campaign_run_id, campaign_name, email_subject, email_link_url, \
     is_unique_open, is_unique_click";

const CALLS: &[CallType] = &[
    CallType::track("Email Delivered", PROPERTIES).when("sent successfully"),
    CallType::track("Email Opened", PROPERTIES).when("opened"),
    CallType::track("Email Unique Opens", PROPERTIES).when("first open"),
    CallType::track("Email Bounced", PROPERTIES).when("rejected"),
    CallType::track("Email Reported as Spam", PROPERTIES).when("spam report"),
    CallType::track("Link Clicked", PROPERTIES).when("tracking link clicked"),
    CallType::track("Unique Link Click", PROPERTIES).when("first click"),
    CallType::track("Unique Link Click per Unique Open", PROPERTIES).when("first click per first open"),
    CallType::track("Email Unsubscribed", PROPERTIES).when("unsubscribe link used"),
    CallType::new(CallKind::Identify, "", "personId, userId")
        .when("sent when a userId becomes known for a person first seen without one"),
];
