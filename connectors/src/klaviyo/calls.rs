//! Klaviyo's events: the topics of system webhooks.

use headwater_core::spec::CallType;

/// What an email's event has, and more.
macro_rules! email {
    ($($more:literal)?) => {
        concat!(
            "email_id text, email_subject text, campaign_id text, campaign_name text, context.traits.email text"
            $(, ", ", $more)?
        )
    };
}

/// What the event of a text or push message has, and more.
macro_rules! message {
    ($($more:literal)?) => {
        concat!("message_id text, campaign_id text, campaign_name text" $(, ", ", $more)?)
    };
}

/// What the event of a profile has.
const PROFILE: &str = "context.traits.email text";

const fn topic(
    native: &'static str,
    name: &'static str,
    properties: &'static str,
    when: &'static str,
) -> CallType {
    CallType::track(name, properties).native(native).when(when)
}

/// Every topic that Klaviyo documents. Others are an account's own metrics: `event:api.placed_order` becomes
/// `Placed Order`.
#[rustfmt::skip]
pub const TOPICS: &[CallType] = &[
    topic("event:klaviyo.received_email|event:klaviyo.email_delivered", "Email Delivered",
        email!(), "the receiving server took it"),
    topic("event:klaviyo.opened_email", "Email Opened", email!(), "the recipient opened it"),
    topic("event:klaviyo.clicked_email", "Email Link Clicked",
        email!("link_url text"), "the recipient clicked a link"),
    topic("event:klaviyo.unsubscribed_from_email_marketing", "Email Unsubscribed",
        PROFILE, "a profile left email marketing"),
    topic("event:klaviyo.bounced_email", "Email Bounced", email!(), "the receiving server refused it"),
    topic("event:klaviyo.marked_email_as_spam", "Email Marked as Spam", email!(), "the recipient complained"),
    topic("event:klaviyo.dropped_email", "Email Dropped", email!(), "Klaviyo did not send it on"),
    topic("event:klaviyo.subscribed_to_email_marketing", "Email Subscribed",
        PROFILE, "a profile joined email marketing"),
    topic("event:klaviyo.clicked_email_to_unsubscribe", "Unsubscribe Link Clicked",
        email!(), "the recipient clicked the unsubscribe link"),
    topic("event:klaviyo.manually_suppressed_from_email_marketing", "Email Manually Suppressed",
        PROFILE, "somebody suppressed a profile"),
    topic("event:klaviyo.manually_unsuppressed_from_email_marketing", "Email Manually Unsuppressed",
        PROFILE, "somebody lifted a suppression"),
    topic("event:klaviyo.updated_email_preferences", "Email Preferences Updated",
        PROFILE, "a profile changed its preferences"),
    topic("event:klaviyo.sent_sms", "SMS Sent", message!(), "a profile sent a text message"),
    topic("event:klaviyo.received_sms", "SMS Received", message!(), "a profile got a text message"),
    topic("event:klaviyo.clicked_sms", "SMS Link Clicked",
        message!("link_url text"), "a profile clicked a link in a text message"),
    topic("event:klaviyo.failed_to_deliver_sms", "SMS Failed", message!(), "a text message was not delivered"),
    topic("event:klaviyo.received_automated_response_sms", "SMS Automated Response Received",
        message!(), "a profile got an automated answer"),
    topic("event:klaviyo.failed_to_deliver_automated_response_sms", "SMS Automated Response Failed",
        message!(), "an automated answer was not delivered"),
    topic("event:klaviyo.subscribed_to_sms_marketing", "SMS Subscribed",
        PROFILE, "a profile joined SMS marketing"),
    topic("event:klaviyo.unsubscribed_from_sms_marketing", "SMS Unsubscribed",
        PROFILE, "a profile left SMS marketing"),
    topic("event:klaviyo.received_push", "Push Notification Received", message!(), "a push arrived"),
    topic("event:klaviyo.opened_push", "Push Notification Tapped", message!(), "a push was tapped"),
    topic("event:klaviyo.bounced_push", "Push Notification Bounced", message!(), "a push was not delivered"),
    topic("event:klaviyo.ready_to_review", "Review Ready", PROFILE, "a product can be reviewed"),
    topic("event:klaviyo.submitted_review", "Product Reviewed", PROFILE, "a review was written"),
    topic("event:klaviyo.submitted_rating", "Rating Submitted", PROFILE, "a rating was given"),
];
