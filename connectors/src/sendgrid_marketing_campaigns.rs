//! SendGrid Marketing Campaigns: Spec calls that it posts with a write key, and the Event Webhook, which is SendGrid's.

use headwater_core::prelude::*;

use super::sendgrid::{SendGrid, WEBHOOK};

/// The registry's line.
pub const CONNECTOR: Connector = Connector::new(
    "sendgrid-marketing-campaigns",
    "SendGrid Marketing Campaigns",
    "email",
    "https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/event",
)
.settings::<SendGrid>()
.events::<SendGrid>(&WEBHOOK)
.spec(SPEC);

/// What all of them may have; `campaign_*` is of single sends, `automation_*` of automations. SendGrid writes the address
/// that something came from into the traits.
const PROPERTIES: &str = "event text, anonymousId text, email_type text, template_id text, email_subject text, \
    test_phase text, unsubscribe_group_id int, link_url text, categories json, campaign_name text, campaign_id text, \
    automation_name text, automation_id text, automation_step_id text, context.traits.email text, context.traits.ip text, \
    context.traits.user_agent text";

const SPEC: &[CallType] = &[
    CallType::track("Email Processed", PROPERTIES).when("SendGrid took the email"),
    CallType::track("Email Delivered", PROPERTIES).when("the receiving server took it"),
    CallType::track("Email Opened", PROPERTIES).when("the recipient opened it"),
    CallType::track("Email Machine Opened", PROPERTIES).when("a machine opened it on the recipient's behalf"),
    CallType::track("Email Link Clicked", PROPERTIES).when("the recipient clicked a link"),
    CallType::track("Email Dropped", PROPERTIES).when("SendGrid did not send it"),
    CallType::track("Email Bounced", PROPERTIES).when("the receiving server refused it"),
    CallType::track("Unsubscribed", PROPERTIES).when("the recipient left all mailings"),
    CallType::track("Unsubscribed From Group", PROPERTIES).when("the recipient left an unsubscribe group"),
    CallType::track("Resubscribed To Group", PROPERTIES)
        .when("the recipient came back to an unsubscribe group"),
    CallType::track("Email Marked as Spam", PROPERTIES).when("the recipient complained"),
];
