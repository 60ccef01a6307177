//! OneSignal's events, under the names that its Segment integration gives them; older spellings of a kind stand behind
//! the current one.

use headwater_core::spec::CallType;

/// A call with the properties that every event has, and those of its own.
macro_rules! call {
    ($name:literal, $native:literal, $when:literal $(, $own:literal)?) => {
        CallType::track(
            $name,
            concat!(
                "campaign_id text, message_id text, message_name text, message_title text, message_contents text, \
                 template_id text, subscription_id text, subscription_device_type text, language text, message_type text, \
                 app_id text, onesignal_id text" $(, ", ", $own)?
            ),
        )
        .native($native)
        .when($when)
    };
}

/// Every event.
#[rustfmt::skip]
pub const CALLS: &[CallType] = &[
    call!("Push Sent", "message.push.sent", "a push went to the push service"),
    call!("Push Received", "message.push.received", "a device confirmed a push"),
    call!("Push Clicked", "message.push.clicked", "a user tapped a push"),
    call!("Push Failed", "message.push.failed", "a push could not be sent", "failure_reason text"),
    call!("Push Unsubscribed", "message.push.unsubscribed", "a user ended a push subscription"),
    call!("In-App Message Impression", "message.iam.impression|message.iam.displayed", "a user saw an in-app message"),
    call!("In-App Message Clicked", "message.iam.clicked",
        "a user tapped an element of it", "target_id text, target_name text"),
    call!("In-App Message Page Displayed", "message.iam.page_displayed|message.iam.pagedisplayed",
        "a user saw a page of it", "page_id text, page_name text"),
    call!("Email Sent", "message.email.sent", "an email was sent"),
    call!("Email Received", "message.email.received", "the receiving server took an email"),
    call!("Email Opened", "message.email.opened", "the recipient opened an email"),
    call!("Email Link Clicked", "message.email.clicked", "the recipient clicked a link"),
    call!("Email Unsubscribed", "message.email.unsubscribed", "the recipient used the unsubscribe link"),
    call!("Email Reported As Spam", "message.email.reported_as_spam", "the recipient complained"),
    call!("Email Bounced", "message.email.bounced|message.email.hardbounced", "an email came back for good"),
    call!("Email Failed", "message.email.failed", "an email could not be delivered", "failure_reason text"),
    call!("Email Suppressed", "message.email.suppressed|message.email.supressed",
        "the address is on the suppression list"),
    call!("SMS Sent", "message.sms.sent", "a text message was sent"),
    call!("SMS Failed", "message.sms.failed", "a text message could not be sent"),
    call!("SMS Delivered", "message.sms.delivered", "a text message was delivered"),
    call!("SMS Undelivered", "message.sms.undelivered", "a text message was not delivered"),
    call!("Live Activity Sent", "message.live_activity.sent",
        "an update of a Live Activity went out", "live_activity_id text, live_activity_type text"),
    call!("Live Activity Delivered", "message.live_activity.delivered",
        "a device took it", "live_activity_id text, live_activity_type text"),
    call!("Live Activity Unsubscribed", "message.live_activity.unsubscribed",
        "a user ended a Live Activity", "live_activity_id text, live_activity_type text"),
    call!("Live Activity Failed", "message.live_activity.failed",
        "an update could not be sent", "live_activity_id text, live_activity_type text"),
    call!("Live Activity Clicked", "message.live_activity.clicked",
        "a user tapped a Live Activity", "live_activity_id text, live_activity_type text"),
];
