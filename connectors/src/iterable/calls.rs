//! Iterable's events. Its integration with Segment posts calls of the same names; what properties those have, nobody
//! has written down.

use headwater_core::prelude::*;

/// What every message has, and more.
macro_rules! message {
    ($more:literal) => {
        concat!(
            "email text, campaignId int, campaignName text, templateId int, templateName text, messageId text, \
             channelId int, messageTypeId int, workflowId int, workflowName text, experimentId int, labels json, \
             locale text, contentId int",
            $more
        )
    };
}

const EMAIL: &str = message!(", emailId text, emailSubject text");
const OPENED: &str = message!(
    ", emailId text, emailSubject text, ip text, userAgent text, userAgentDevice text, device text, proxySource text, \
     city text, region text, country text"
);
const CLICKED: &str = message!(
    ", emailId text, emailSubject text, url text, linkUrl text, linkId text, canonicalUrlId text, ip text, \
     userAgent text, userAgentDevice text, city text, region text, country text"
);
const FAILED: &str = message!(", emailId text, emailSubject text, recipientState text");
const SKIPPED: &str = "email text, campaignId int, messageId text, reason text";
const LISTS: &str = message!(
    ", emailId text, emailSubject text, emailListIds json, channelIds json, messageTypeIds json, signupSource text, \
     unsubSource text, profileUpdatedAt time, publicIdString text"
);
const PUSH: &str = message!(
    ", emailId text, platformEndpoint text, pushMessage text, payload json, sound text, badge text, deeplink json, \
     contentAvailable bool, appAlreadyRunning bool, isGhostPush bool"
);
const WEB_PUSH: &str = message!(
    ", emailId text, browserToken text, webPushMessage text, webPushBody text, webPushIcon text, \
     webPushClickAction text"
);
const SMS: &str = message!(
    ", emailId text, toPhoneNumber text, fromPhoneNumber text, fromPhoneNumberId int, fromSMSSenderId int, \
     smsMessage text, imageUrl text, clickedUrl text, smsProviderResponse json"
);
const IN_APP: &str = message!(
    ", emailId text, messageContext json, inAppBody text, expiresAt time, clickedUrl text, deviceInfo json"
);
const WHATSAPP: &str = message!(", toPhoneNumber text, fromPhoneNumber text");

pub const CALLS: &[CallType] = &[
    CallType::track("Email Delivered", EMAIL)
        .native("emailSend|emailBlastSend|blastSend|triggeredSend")
        .when("an email was sent"),
    CallType::track("Email Opened", OPENED).native("emailOpen").when("an email was opened"),
    CallType::track("Email Link Clicked", CLICKED)
        .native("emailClick")
        .when("a link in an email was clicked"),
    CallType::track("Email Bounced", FAILED)
        .native("emailBounce")
        .when("the recipient's server refused an email"),
    CallType::track("Email Marked as Spam", FAILED)
        .native("emailComplaint")
        .when("the recipient reported an email as spam"),
    CallType::track("Email Send Skipped", SKIPPED).native("emailSendSkip").when("an email was not sent"),
    CallType::track("Subscribed", LISTS).native("emailSubscribe").when("somebody joined a list or channel"),
    CallType::track("Unsubscribed", LISTS)
        .native("emailUnSubscribe")
        .when("somebody left a list or channel, by a link or otherwise"),
    CallType::track("Hosted Unsubscribe Click", CLICKED)
        .native("hostedUnsubscribeClick")
        .when("the link to the hosted preference centre was clicked"),
    CallType::track("In App Sent", IN_APP).native("inAppSend").when("an in-app message was sent"),
    CallType::track("In App Delivered", IN_APP)
        .native("inAppDelivery")
        .when("an in-app message reached the device"),
    CallType::track("In App Opened", IN_APP).native("inAppOpen").when("an in-app message was shown"),
    CallType::track("In App Clicked", IN_APP)
        .native("inAppClick")
        .when("a button or link of an in-app message was tapped"),
    CallType::track("In App Send Skipped", IN_APP)
        .native("inAppSendSkip")
        .when("an in-app message was not sent"),
    CallType::track("In App Deleted", IN_APP)
        .native("inAppDelete")
        .when("an in-app message was consumed: it is in the inbox no more"),
    CallType::track("In App Recalled", IN_APP).native("inAppRecall").when("an in-app message was taken back"),
    CallType::track("Push Delivered", PUSH).native("pushSend").when("a push notification was sent"),
    CallType::track("Push Opened", PUSH).native("pushOpen").when("a push notification was opened"),
    CallType::track("Push Bounced", PUSH).native("pushBounce").when("a push notification was refused"),
    CallType::track("Push Send Skipped", SKIPPED)
        .native("pushSendSkip")
        .when("a push notification was not sent"),
    CallType::track("Mobile App Uninstalled", PUSH)
        .native("pushUninstall")
        .when("a silent push, some hours after one that arrived, was refused: the app is gone"),
    CallType::track("SMS Delivered", SMS).native("smsSend").when("an SMS was sent"),
    CallType::track("SMS Clicked", SMS).native("smsClick").when("a link in an SMS was clicked"),
    CallType::track("SMS Bounced", SMS).native("smsBounce").when("an SMS was refused"),
    CallType::track("SMS Received", SMS).native("smsReceived").when("somebody answered by SMS"),
    CallType::track("SMS Send Skipped", SKIPPED).native("smsSendSkip").when("an SMS was not sent"),
    CallType::track("Web Push Delivered", WEB_PUSH)
        .native("webPushSend")
        .when("a web push notification was sent"),
    CallType::track("Web Push Clicked", WEB_PUSH)
        .native("webPushClick")
        .when("a web push notification was clicked"),
    CallType::track("Web Push Send Skipped", SKIPPED)
        .native("webPushSendSkip")
        .when("a web push notification was not sent"),
    CallType::track("Embedded Message Received", "messageId text, campaignId int, deviceInfo json")
        .native("embeddedReceived")
        .when("an embedded message reached the app"),
    CallType::track(
        "Embedded Message Viewed",
        "messageId text, campaignId int, displayCount int, duration real",
    )
    .native("embeddedImpression")
    .when("an embedded message was on the screen"),
    CallType::track(
        "Embedded Message Clicked",
        "messageId text, campaignId int, buttonIdentifier text, targetUrl text",
    )
    .native("embeddedClick")
    .when("an embedded message was tapped"),
    CallType::track("Embedded Session Recorded", "session json, impressions json, deviceInfo json")
        .native("embeddedSession")
        .when("a screen that holds embedded messages was left"),
    CallType::track("WhatsApp Sent", WHATSAPP).native("whatsAppSend").when("a WhatsApp message was sent"),
    CallType::track("WhatsApp Read", WHATSAPP).native("whatsAppSeen").when("a WhatsApp message was read"),
    CallType::track("WhatsApp Clicked", WHATSAPP)
        .native("whatsAppClick")
        .when("a link in a WhatsApp message was clicked"),
    CallType::track("WhatsApp Bounced", WHATSAPP)
        .native("whatsAppBounce")
        .when("a WhatsApp message was refused"),
    CallType::track("WhatsApp Received", WHATSAPP)
        .native("whatsAppReceived")
        .when("somebody answered by WhatsApp"),
    CallType::track("WhatsApp Send Skipped", SKIPPED)
        .native("whatsAppSendSkip")
        .when("a WhatsApp message was not sent"),
    CallType::track("Journey Exited", "workflowId int, workflowName text, journeyId int, journeyName text")
        .native("journeyExit")
        .when("somebody left a journey"),
];
