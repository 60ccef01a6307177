//! The 44 events that Braze Currents sends, under the names that its Segment export gives them.

use headwater_core::spec::CallType;

/// A call with the properties that every event has, and those of its own.
macro_rules! call {
    ($name:literal, $native:literal, $when:literal $(, $own:literal)*) => {
        CallType::track(
            $name,
            concat!(
                "app_id text, send_id text, dispatch_id text, campaign_id text, campaign_name text, ",
                "message_variation_id text, message_variation_name text, canvas_id text, canvas_name text, ",
                "canvas_variation_id text, canvas_step_id text" $(, ", ", $own)*
            ),
        )
        .native($native)
        .when($when)
    };
}

/// Every event, by the name that the event glossary gives it; behind it stand the spellings that it has elsewhere.
#[rustfmt::skip]
pub const CALLS: &[CallType] = &[
    call!("Email Sent", "users.messages.email.Send", "an email was sent", "context.traits.email text"),
    call!("Email Delivered", "users.messages.email.Delivery",
        "the mail server took it", "context.traits.email text"),
    call!("Email Opened", "users.messages.email.Open",
        "the recipient opened it", "context.traits.email text, user_agent text, machine_open bool"),
    call!("Email Link Clicked", "users.messages.email.Click",
        "the recipient clicked a link",
        "context.traits.email text, link_url text, link_id text, link_alias text, user_agent text"),
    call!("Email Bounced", "users.messages.email.Bounce", "it bounced for good", "context.traits.email text"),
    call!("Email Soft Bounced", "users.messages.email.SoftBounce",
        "it bounced for now", "context.traits.email text"),
    call!("Email Marked As Spam", "users.messages.email.MarkAsSpam",
        "the recipient reported it as spam", "context.traits.email text"),
    call!("Email Unsubscribed", "users.messages.email.Unsubscribe",
        "the recipient used the unsubscribe link", "context.traits.email text"),
    call!("Global Subscription Group State Change",
        "users.behaviors.subscription.GlobalStateChange|\
         users.messages.globalsubscriptionstatechange",
        "a user's global subscription changed", "state_change_source text"),
    call!("Subscription Group State Changed",
        "users.behaviors.subscriptiongroup.StateChange|\
         users.messages.subscriptiongroupstatechange",
        "a user's state in a subscription group changed",
        "subscription_group_id text, subscription_status text, state_change_source text"),
    call!("Push Notification Sent", "users.messages.pushnotification.Send", "a push was sent"),
    call!("Push Notification Tapped", "users.messages.pushnotification.Open", "a push was tapped"),
    call!("Push Notification Bounced", "users.messages.pushnotification.Bounce", "a push could not be sent"),
    call!("iOS Foreground Push Opened", "users.messages.pushnotification.IosForeground",
        "an iOS push came while the app was open"),
    call!("In-App Message Viewed", "users.messages.inappmessage.Impression", "a user saw an in-app message"),
    call!("In-App Message Clicked", "users.messages.inappmessage.Click",
        "a user clicked its button", "button_id text"),
    call!("News Feed Viewed", "users.behaviors.app.NewsFeedImpression", "a user saw the feed"),
    call!("News Feed Card Viewed", "users.messages.newsfeedcard.Impression",
        "a user saw a card of the feed", "card_id text"),
    call!("News Feed Card Clicked", "users.messages.newsfeedcard.Click",
        "a user clicked a card of the feed", "card_id text"),
    call!("Webhook Sent", "users.messages.webhook.Send", "a webhook message was sent"),
    call!("Campaign Converted", "users.campaigns.Conversion|users.messages.campaign.Conversion",
        "a campaign's primary conversion, within its window"),
    call!("Canvas Converted", "users.canvas.Conversion|users.messages.canvas.Conversion",
        "a canvas' primary conversion, within its window"),
    call!("Canvas Entered", "users.canvas.Entry|users.messages.canvas.Entry",
        "a user entered a canvas", "in_control_group bool"),
    call!("Canvas Exited",
        "users.canvas.exit.PerformedEvent|users.canvas.exit.MatchedAudience|\
         users.messages.canvas.ExitPerformEvent|users.messages.canvas.ExitMatchAudience",
        "a user left a canvas"),
    call!("Campaign Control Group Entered",
        "users.campaigns.EnrollInControl|\
         users.messages.campaign.ControlGroupEnrollment",
        "a user was put in a campaign's control group"),
    call!("Content Card Sent", "users.messages.contentcard.Send", "a card was sent", "card_id text"),
    call!("Content Card Viewed", "users.messages.contentcard.Impression", "a user saw a card", "card_id text"),
    call!("Content Card Clicked", "users.messages.contentcard.Click", "a user clicked a card", "card_id text"),
    call!("Content Card Dismissed", "users.messages.contentcard.Dismiss",
        "a user dismissed a card", "card_id text"),
    call!("SMS Sent", "users.messages.sms.Send", "a text message was sent"),
    call!("SMS Sent to Carrier", "users.messages.sms.CarrierSend", "a text message went to the carrier"),
    call!("SMS Short Link Clicks", "users.messages.sms.ShortLinkClick", "a user clicked a shortened link"),
    call!("SMS Delivered", "users.messages.sms.Delivery", "a text message was delivered"),
    call!("SMS Delivery Failed", "users.messages.sms.DeliveryFailure", "a text message was not delivered"),
    call!("SMS Rejected", "users.messages.sms.Rejection", "the carrier rejected a text message"),
    call!("SMS Inbound Received", "users.messages.sms.InboundReceive", "a user sent a text message"),
    call!("Application Uninstalled", "users.behaviors.Uninstall|users.messages.uninstall",
        "the daily silent push found the app gone"),
    call!("WhatsApp Abort", "users.messages.whatsapp.Abort", "a WhatsApp message was stopped"),
    call!("WhatsApp Delivery", "users.messages.whatsapp.Delivery", "a WhatsApp message was delivered"),
    call!("WhatsApp Failure", "users.messages.whatsapp.Failure", "a WhatsApp message was not delivered"),
    call!("WhatsApp Inbound Received", "users.messages.whatsapp.InboundReceive",
        "a user sent a WhatsApp message"),
    call!("WhatsApp Read", "users.messages.whatsapp.Read", "a WhatsApp message was read"),
    call!("WhatsApp Send", "users.messages.whatsapp.Send", "a WhatsApp message was sent"),
    call!("Abort Message Events", "users.messages.email.Abort",
        "quiet hours, a rate limit, a frequency cap or Liquid stopped a message"),
];
