//! Nudgespot: customer messaging. It posts the events of Segment's email Spec with a write key; nothing public describes a webhook of its own.

use headwater_core::prelude::*;

/// The registry's line.
pub const CONNECTOR: Connector = Connector::new(
    "nudgespot",
    "Nudgespot",
    "email",
    "https://www.twilio.com/docs/segment/connections/sources/catalog/cloud-apps/nudgespot",
)
.spec(CALLS);

/// What several of them tell.
const PROPERTIES: &str = "email_id, email_subject, campaign_id, campaign_name, context.traits.email";

const CALLS: &[CallType] = &[
    CallType::track("Email Delivered", PROPERTIES).when("receiving server accepted"),
    CallType::track("Email Opened", PROPERTIES).when("HTML opened; needs open tracking on"),
    CallType::track(
        "Email Link Clicked",
        "email_id, email_subject, campaign_id, campaign_name, link_id, link_url, context.traits.email",
    )
    .when("link clicked; needs click tracking on"),
    CallType::track(
        "Email Unsubscribed",
        "email_id, email_subject, campaign_id, campaign_name, list_id, list_name, context.traits.email",
    )
    .when("subscription-management link used"),
    CallType::track("Email Bounced", PROPERTIES).when("receiving server refused"),
    CallType::track("Email Marked as Spam", PROPERTIES).when("recipient complaint"),
];
