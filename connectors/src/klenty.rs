//! Klenty: sales engagement. It posts Segment Spec calls with a write key, about a prospect known by the email address. Its API can register webhooks,
//! but nothing public describes their body: once you have one, the connector `webhook` takes it, with a mapping to suit.

use headwater_core::prelude::*;

/// The registry's line.
pub const CONNECTOR: Connector = Connector::new(
    "klenty",
    "Klenty",
    "email",
    "https://www.twilio.com/docs/segment/connections/sources/catalog/cloud-apps/klenty",
)
.spec(CALLS);

/// What several of them tell.
const PROPERTIES: &str = "event, userId, email_id, fromId, email_subject, link";

const CALLS: &[CallType] = &[
    CallType::track("Email Sent", PROPERTIES).when("mail went out"),
    CallType::track("Email Opened", PROPERTIES).when("prospect opened"),
    CallType::track("Link Clicked", PROPERTIES).when("tracking link clicked"),
    CallType::track("Email Replied", PROPERTIES).when("prospect answered"),
    CallType::track("Email Bounced", PROPERTIES).when("mail server refused"),
    CallType::track("Email Unsubscribed", PROPERTIES).when("unsubscribe link used"),
];
