//! Customer.io's events: each kind of message with what may become of it.

use headwater_core::spec::CallType;

/// What every message has, and more.
macro_rules! message {
    ($more:literal) => {
        concat!(
            "object_type text, metric text, customer_id text, identifiers json, delivery_id text, recipient text, ",
            "campaign_id int, broadcast_id int, newsletter_id int, action_id int, content_id int, ",
            "transactional_message_id int, failure_message text, link_url text, link_id int",
            $more
        )
    };
}

const EMAIL: &str = message!(", email_subject text, content text, context.traits.email text");
const SMS: &str = message!(", content text, context.traits.phone text");
const PUSH: &str = message!(", recipients json, content text");
const MESSAGE: &str = message!(", content text");
const PERSON: &str = "object_type text, metric text, customer_id text, identifiers json, email_address text, context.traits.email text";

/// How Segment's names begin for a kind of message.
pub fn channel(object: &str) -> String {
    match object {
        "sms" => "SMS".to_owned(),
        "in_app" => "In-App Message".to_owned(),
        "slack" => "Slack Message".to_owned(),
        other => headwater_core::event::title_case(other),
    }
}

const fn event(
    native: &'static str,
    name: &'static str,
    properties: &'static str,
    when: &'static str,
) -> CallType {
    CallType::track(name, properties).native(native).when(when)
}

/// Every event that is documented; others are called by their two words.
#[rustfmt::skip]
pub const CALLS: &[CallType] = &[
    event("email.drafted", "Email Drafted", EMAIL, "an email was drafted"),
    event("email.attempted", "Email Attempted", EMAIL, "an email could not be sent and is tried again"),
    event("email.sent", "Email Sent", EMAIL, "an email was sent on"),
    event("email.delivered", "Email Delivered", EMAIL, "the receiving server took it"),
    event("email.opened", "Email Opened", EMAIL, "the recipient opened it"),
    event("email.clicked", "Email Link Clicked", EMAIL, "the recipient clicked a link"),
    event("email.converted", "Email Converted", EMAIL, "the recipient reached the goal of the campaign"),
    event("email.unsubscribed", "Email Unsubscribed", EMAIL, "the recipient used the unsubscribe link"),
    event("email.bounced", "Email Bounced", EMAIL, "the receiving server refused it"),
    event("email.spammed", "Email Marked as Spam", EMAIL, "the recipient complained"),
    event("email.dropped", "Email Dropped", EMAIL, "Customer.io did not send it"),
    event("email.deferred", "Email Deferred", EMAIL, "the receiving server refused it for now"),
    event("email.failed", "Email Failed", EMAIL, "an email could not be sent"),
    event("customer.subscribed", "Customer Subscribed", PERSON, "a person may be written to again"),
    event("customer.unsubscribed", "Unsubscribed", PERSON, "a person left all messages"),
    event("push.drafted", "Push Drafted", PUSH, "a push was drafted"),
    event("push.attempted", "Push Attempted", PUSH, "a push could not be sent and is tried again"),
    event("push.sent", "Push Sent", PUSH, "a push was sent on"),
    event("push.delivered", "Push Delivered", PUSH, "a push arrived"),
    event("push.opened", "Push Notification Tapped", PUSH, "a push was opened"),
    event("push.clicked", "Push Clicked", PUSH, "a push was clicked"),
    event("push.converted", "Push Converted", PUSH, "a push led to the goal of the campaign"),
    event("push.bounced", "Push Notification Bounced", PUSH, "a push was refused"),
    event("push.dropped", "Push Dropped", PUSH, "a push was not sent"),
    event("push.failed", "Push Failed", PUSH, "a push could not be sent"),
    event("sms.drafted", "SMS Drafted", SMS, "a text message was drafted"),
    event("sms.attempted", "SMS Attempted", SMS, "a text message could not be sent and is tried again"),
    event("sms.sent", "SMS Sent", SMS, "a text message was sent on"),
    event("sms.delivered", "SMS Delivered", SMS, "a text message arrived"),
    event("sms.clicked", "SMS Clicked", SMS, "a text message was clicked"),
    event("sms.converted", "SMS Converted", SMS, "a text message led to the goal of the campaign"),
    event("sms.bounced", "SMS Bounced", SMS, "a text message was refused"),
    event("sms.failed", "SMS Failed", SMS, "a text message could not be sent"),
    event("slack.drafted", "Slack Message Drafted", MESSAGE, "a Slack message was drafted"),
    event("slack.attempted", "Slack Message Attempted", MESSAGE, "a Slack message could not be sent and is tried again"),
    event("slack.sent", "Slack Message Sent", MESSAGE, "a Slack message was sent on"),
    event("slack.clicked", "Slack Message Clicked", MESSAGE, "a Slack message was clicked"),
    event("slack.failed", "Slack Message Failed", MESSAGE, "a Slack message could not be sent"),
    event("webhook.drafted", "Webhook Drafted", MESSAGE, "a webhook of a campaign was drafted"),
    event("webhook.attempted", "Webhook Attempted", MESSAGE, "a webhook of a campaign could not be sent and is tried again"),
    event("webhook.sent", "Webhook Sent", MESSAGE, "a webhook of a campaign was sent on"),
    event("webhook.clicked", "Webhook Clicked", MESSAGE, "a webhook of a campaign was clicked"),
    event("webhook.failed", "Webhook Failed", MESSAGE, "a webhook of a campaign could not be sent"),
    event("in_app.sent", "In-App Message Sent", MESSAGE, "an in-app message was sent on"),
    event("in_app.opened", "In-App Message Opened", MESSAGE, "an in-app message was opened"),
    event("in_app.clicked", "In-App Message Clicked", MESSAGE, "an in-app message was clicked"),
    event("in_app.converted", "In-App Message Converted", MESSAGE, "an in-app message led to the goal of the campaign"),
];
