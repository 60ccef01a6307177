//! Selligent Marketing Cloud: email. It posts the events of Segment's email Spec with a write key; nothing public describes a webhook of its own.

use headwater_core::prelude::*;

/// The registry's line.
pub const CONNECTOR: Connector = Connector::new(
    "selligent-marketing-cloud",
    "Selligent Marketing Cloud",
    "email",
    "https://www.twilio.com/docs/segment/connections/sources/catalog/cloud-apps/selligent-marketing-cloud",
)
.spec(CALLS);

/// What several of them tell.
const PROPERTIES: &str = "user_id, event, email_id, email_subject, campaign_id, campaign_name, link_id, link_name, list_id, list_name, \
     timestamp, sentAt";

const CALLS: &[CallType] = &[
    CallType::track("Email Delivered", PROPERTIES).when("mail server accepted"),
    CallType::track("Email Opened", PROPERTIES).when("mail opened"),
    CallType::track("Email Link Clicked", PROPERTIES).when("tracked link clicked"),
    CallType::track("Email Marked as Spam", PROPERTIES).when("complaint"),
    CallType::track("Email Bounced", PROPERTIES).when("mail server refused"),
    CallType::track("Email Unsubscribed", PROPERTIES).when("unsubscribe link used"),
];
