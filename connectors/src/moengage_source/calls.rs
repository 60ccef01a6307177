//! MoEngage's events. Those of its Segment integration and of Streams have the same names; Streams know some more.

use headwater_core::prelude::*;

/// What MoEngage posts itself.
const POSTED: &str = "`App Version` text, `SDK Version` text, Platform text, `Campaign Id` text, `Campaign Name` text, \
    `Campaign Type` text, `Readable Campaign Id` text, `Parent Campaign Id` text, `Parent Flow Id` text, \
    `Parent Flow Name` text, `Locale Id` text, `Locale Name` text, `Variation Id` text, URL text, Timestamp time, \
    `First Session` bool, `Logged In Status` bool, `Exit Reason` text";

/// What every event of a stream has; an event's own attributes come beside it.
const STREAMED: &str = "campaign_id text, campaign_name text, campaign_type text, campaign_channel text, \
    event_code text, event_type text, event_source text, push_id text, email_id text, mobile_number text, \
    user_attributes json, device_attributes json, app_name text, source text, moe_request_id text";

const ALERT: &str = "alert_id text, alert_name text, db_name text, alert_triggered_at time, \
    alert_evaluation_criteria json, entity_data json";

/// Both tables of one list: a name, what else streams call it (the code of the event), when it happens.
macro_rules! events {
    ($($name:literal $(| $code:literal)* : $when:literal),* $(,)?) => {
        pub const SPEC: &[CallType] = &[
            $(CallType::track($name, POSTED).when($when),)*
            CallType::track("", POSTED).when("an event of your own, under its name"),
        ];
        pub const CALLS: &[CallType] = &[
            $(CallType::track($name, STREAMED).native(concat!($name $(, "|", $code)*)).when($when),)*
            CallType::track("Email Deferred", STREAMED)
                .native("Email Deferred|MOE_EMAIL_DEFERRED")
                .when("campaign activity: email"),
            CallType::track("Email Delivered", STREAMED)
                .native("Email Delivered|MOE_EMAIL_DELIVERED")
                .when("campaign activity: email"),
            CallType::track("", STREAMED).when("an event of your own, under its name"),
            CallType::track("Campaign Stats Alert", ALERT).native("CAMPAIGN_STATS").when("an alert on a campaign's figures"),
            CallType::track("Flow Stats Alert", ALERT).native("FLOW_STATS").when("an alert on a flow's figures"),
            CallType::track("Campaign Expiry Alert", ALERT).native("CAMPAIGN_EXPIRY").when("a campaign expires"),
            CallType::track("APNS Token Expiry Alert", ALERT)
                .native("APNS_TOKEN_EXPIRY")
                .when("the token of Apple's push service expires"),
            CallType::track("Facebook Token Expiry Alert", ALERT)
                .native("FACEBOOK_TOKEN_EXPIRY")
                .when("the token for Facebook expires"),
        ];
    };
}

events! {
    "App/Site Opened": "lifecycle: Android, iOS, Web",
    "Viewed Web Page": "lifecycle: Web",
    "App Exit": "lifecycle: Android, iOS",
    "User Logout": "lifecycle: Android, iOS",
    "Push ID Register Android": "lifecycle: Android",
    "User Merged": "lifecycle: users merged",
    "App Update": "lifecycle: Android, iOS",
    "Install": "acquisition: Android, iOS",
    "Device ReInstall": "uninstall: Android, iOS",
    "Device Uninstall": "uninstall: Android, iOS",
    "User ReInstall": "uninstall: Android, iOS",
    "Accepted Web Push Soft-ask": "reachability: Web",
    "Closed Web Push Soft-ask": "reachability: Web",
    "Denied Web Push Subscription": "reachability: Web",
    "Dismissed Web Push Subscription": "reachability: Web",
    "Overlay clicked in 1-click HTTP subscription": "reachability: Web",
    "Overlay shown in 1-click HTTP subscription": "reachability: Web",
    "Reachability Push Android": "reachability: Android",
    "Reachability Push iOS": "reachability: iOS",
    "Reachability Push Web": "reachability: Web",
    "Subscribed to Web Push": "reachability: Web",
    "Unsubscribed from Web Push": "reachability: Web",
    "Viewed Web Push Soft-ask": "reachability: Web",
    "Allowed Web Push Subscription": "campaign activity: Web",
    "Displayed Web Push Subscription": "campaign activity: Web",
    "Onsite Message Template clicked": "campaign activity: Web",
    "Onsite Message Template shown": "campaign activity: Web",
    "Onsite Message Template closed": "campaign activity: Web",
    "Onsite Message Template auto dismiss": "campaign activity: Web",
    "Card Clicked" | "MOE_CARD_CLICKED": "campaign activity: Android, iOS",
    "Card Delivered": "campaign activity: Android, iOS",
    "Card Sent" | "MOE_CARD_SENT": "campaign activity: Android, iOS",
    "Card Viewed" | "MOE_CARD_VIEWED": "campaign activity: Android, iOS",
    "Connector Sent": "campaign activity: connector",
    "Email Bounced" | "MOE_EMAIL_HARD_BOUNCE": "campaign activity: email",
    "Email Clicked" | "MOE_EMAIL_CLICK": "campaign activity: email",
    "Email Complained" | "Email Spam Complained" | "MOE_EMAIL_SPAM": "campaign activity: email",
    "Email Dropped" | "MOE_EMAIL_DROP": "campaign activity: email",
    "Email Opened" | "MOE_EMAIL_OPEN": "campaign activity: email",
    "Email Sent" | "MOE_EMAIL_SENT": "campaign activity: email",
    "Email Soft Bounced" | "MOE_EMAIL_SOFT_BOUNCE": "campaign activity: email",
    "Email Unsubscribed" | "MOE_EMAIL_UNSUBSCRIBE": "campaign activity: email",
    "Email Unsubscribe Drop": "campaign activity: email",
    "Email Viewed in Browser": "campaign activity: email",
    "Facebook Audience Synced": "campaign activity: Facebook",
    "In-App Clicked Android": "campaign activity: Android",
    "In-App Clicked iOS": "campaign activity: iOS",
    "In-App Clicked Windows": "campaign activity: Windows",
    "In-App Closed Android": "campaign activity: Android",
    "In-App Closed iOS": "campaign activity: iOS",
    "In-App Closed Windows": "campaign activity: Windows",
    "In-App Shown Android": "campaign activity: Android",
    "In-App Shown iOS": "campaign activity: iOS",
    "In-App Shown Windows": "campaign activity: Windows",
    "Notification Clicked Android" | "NOTIFICATION_CLICKED_MOE": "campaign activity: Android",
    "Notification Clicked iOS" | "NOTIFICATION_CLICKED_IOS_MOE": "campaign activity: iOS",
    "Notification Clicked Web" | "NOTIFICATION_CLICKED_WEB_MOE": "campaign activity: Web",
    "Notification Clicked Windows": "campaign activity: Windows",
    "Notification Dismissed iOS": "campaign activity: iOS",
    "Notification Received Android" | "NOTIFICATION_RECEIVED_MOE": "campaign activity: Android",
    "Notification Received iOS App Active": "campaign activity: iOS",
    "Notification Received iOS": "campaign activity: iOS",
    "Notification Received Web" | "NOTIFICATION_RECEIVED_WEB_MOE": "campaign activity: Web",
    "Notification Sent Windows": "campaign activity: Windows",
    "Notification Sent iOS" | "n_i_s": "campaign activity: iOS",
    "Notification Swiped Android" | "NOTIFICATION_CLEARED_MOE": "campaign activity: Android",
    "On-site Message Shown": "campaign activity: Web",
    "On-site Message Clicked": "campaign activity: Web",
    "On-site Message Closed": "campaign activity: Web",
    "Push Preference Changed iOS": "campaign activity: iOS",
    "Web Personalization Message Shown": "campaign activity: Web",
    "Web Personalization Message Clicked": "campaign activity: Web",
    "Web Personalization Message Closed": "campaign activity: Web",
    "SMS Delivered" | "SMS_DELIVERED": "campaign activity: SMS",
    "SMS Sent" | "SMS_SENT": "campaign activity: SMS",
    "SMS Clicked": "campaign activity: SMS",
    "User Entered Flow" | "USER_ENTERED_FLOW": "campaign activity: flows",
    "User Exited Flow" | "USER_EXITED_FLOW": "campaign activity: flows",
    "User removed from campaign due to control group": "campaign activity: flows, campaigns",
    "User added to control group": "campaign activity: flows, campaigns",
    "User removed from control group": "campaign activity: flows, campaigns",
    "WhatsApp Message Clicked": "campaign activity: WhatsApp",
    "WhatsApp Message Delivered": "campaign activity: WhatsApp",
    "WhatsApp Message Delivery Failed": "campaign activity: WhatsApp",
    "WhatsApp Message Read": "campaign activity: WhatsApp",
    "WhatsApp Message Sent": "campaign activity: WhatsApp",
}
