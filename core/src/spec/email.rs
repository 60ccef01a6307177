//! The email part of the Spec: the six calls that most senders of email post with a write key.

use super::CallType;

/// What every one of them has, and more.
macro_rules! email {
    ($more:literal) => {
        concat!(
            "email_id text, email_subject text, campaign_id text, campaign_name text, context.traits.email text",
            $more
        )
    };
}

/// The calls of the [Email Spec](https://segment.com/docs/connections/spec/email/), for a vendor whose own page on its
/// Segment integration names them and no properties.
#[rustfmt::skip]
pub const EMAIL: &[CallType] = &[
    CallType::track("Email Delivered", email!("")).when("the receiving server took it"),
    CallType::track("Email Opened", email!(", context.ip text, context.userAgent text"))
        .when("the recipient opened it, images shown"),
    CallType::track("Email Link Clicked",
        email!(", link_id text, link_url text, context.ip text, context.userAgent text"))
        .when("the recipient clicked a link, click tracking on"),
    CallType::track("Email Unsubscribed",
        email!(", list_id text, list_name text, context.ip text, context.userAgent text"))
        .when("the recipient used the unsubscribe link"),
    CallType::track("Email Bounced", email!("")).when("the receiving server refused it"),
    CallType::track("Email Marked as Spam", email!(", context.ip text, context.userAgent text"))
        .when("the recipient complained"),
];
