//! Salesforce Marketing Cloud: the Event Notification Service, which posts sends and engagement of email, SMS, push and
//! chat messages, and runs of automations, up to 1,000 signed events a delivery.
//!
//! A callback that is new gets one unsigned body with a key, and no event before its owner has given the key back: with
//! the credentials in the settings this is done here.

use headwater_core::prelude::*;

/// The registry's line.
pub const CONNECTOR: Connector = Connector::new(
    "salesforce-marketing-cloud",
    "Salesforce Marketing Cloud",
    "email",
    "https://developer.salesforce.com/docs/marketing/marketing-cloud/guide/ens.html",
)
.settings::<MarketingCloud>()
.events::<MarketingCloud>(&WEBHOOK);

/// Settings of a Salesforce Marketing Cloud source.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MarketingCloud {
    /// The signature key that was given when the callback was made; two while it is being changed, the newer first.
    #[serde(default)]
    signature_key: Secrets,
    /// The id of the callback: where it is given, no other callback is confirmed.
    #[serde(default)]
    callback_id: Option<String>,
    /// The subdomain of the account's REST and authentication base URIs. With it, `client_id` and `client_secret` of an
    /// installed package (server to server, with the permission to make callbacks) a new callback is confirmed by
    /// itself; without them its owner has to ask for `/platform/v1/ens-verify`.
    #[serde(default)]
    subdomain: Option<String>,
    /// The client id of the installed package.
    #[serde(default)]
    client_id: Option<String>,
    /// The client secret of the installed package.
    #[serde(default)]
    client_secret: Option<Secret>,
    /// The business unit (MID) that the package's token is for; the package's own without it.
    #[serde(default)]
    account_id: Option<String>,
}

static WEBHOOK: Webhook = Webhook {
    surfaces: &[Surface::json(
        "",
        Signature::Hmac(Hmac {
            encoding: Encoding::Base64,
            ..Hmac::body(Place::Header(&["x-sfmc-ens-signature"]))
        }),
    )],
    calls: CALLS,
};

/// An event has no id, and no few members of it are one: an SMS has an event for each of its parts, a link may be clicked
/// twice in a second. The digest is.
const MAPPING: Mapping = Mapping {
    event: "eventCategoryType|EventType",
    time: "timestampUTC|TimeStamp",
    user: "info.contactKey|info.subscriberKey|Info.contactKey|Info.subscriberKey|contactKey|subscriberKey",
    anonymous: "composite.subscriberId|info.to|Info.to|mobileNumber|contactId|composite.deviceId|info.deviceId|messageKey|\
        MessageKey|automationInstanceID|mid|MID|eid|EID",
    context: &[
        ("ip", "info.ipAddress"),
        ("userAgent", "info.userAgent"),
        ("location.country", "info.location.country"),
        ("location.region", "info.location.region"),
        ("location.city", "info.location.city"),
        ("location.latitude", "info.location.latitude"),
        ("location.longitude", "info.location.longitude"),
    ],
    names: &[("info.contentLink", "link_url"), ("info.renderedSubject", "email_subject")],
    lift: &["composite", "info", "Info"],
    calls: CALLS,
    ..Mapping::NEW
};

impl MarketingCloud {
    /// The account's subdomain and the package's credentials, if all are there.
    fn package(&self) -> Option<(&str, &str, &Secret)> {
        Some((self.subdomain.as_deref()?, self.client_id.as_deref()?, self.client_secret.as_ref()?))
    }
}

/// What a new callback is asked.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Asked {
    callback_id: String,
    verification_key: String,
}

impl EventSource for MarketingCloud {
    fn secrets(&self, _surface: &Surface) -> Vec<Secret> {
        self.signature_key.all()
    }

    fn handshake(&self, delivery: &Delivery) -> Option<Handshake> {
        if delivery.header("x-sfmc-ens-signature").is_some() {
            return None;
        }
        let asked: Asked = serde_json::from_slice(&delivery.body).ok()?;
        if self.callback_id.as_ref().is_some_and(|ours| *ours != asked.callback_id) {
            return None;
        }
        let answer = json!({ "callbackId": asked.callback_id, "verificationKey": asked.verification_key });
        let then = self.package().map(|_| {
            Request::post("/platform/v1/ens-verify", answer.to_string())
                .header("content-type", "application/json")
        });
        Some(Handshake { reply: Reply::OK, then })
    }

    fn lookup_api(&self) -> Result<Option<Api>> {
        let Some((subdomain, client_id, client_secret)) = self.package() else { return Ok(None) };
        let is_label = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        if subdomain.is_empty() || !subdomain.bytes().all(is_label) {
            return Err(Error::config(
                "subdomain is not the first part of the account's REST base URI: give what stands before .rest.marketingcloudapis.com",
            ));
        }
        let auth = Auth::OAuth(OAuth {
            token_url: format!("https://{subdomain}.auth.marketingcloudapis.com/v2/token"),
            client_id: client_id.to_owned(),
            client_secret: Some(client_secret.clone()),
            client_auth: ClientAuth::Json,
            grant: Grant::ClientCredentials,
            scopes: Vec::new(),
            extra: self.account_id.iter().map(|id| ("account_id".to_owned(), id.clone())).collect(),
            carry: Carry::Bearer,
        });
        Ok(Some(Api::new(format!("https://{subdomain}.rest.marketingcloudapis.com"), auth)))
    }

    fn map(&self, item: &Item<'_>) -> Result<Vec<Output>> {
        let mut call = MAPPING.call(item)?;
        let native = item.record.first_text(&["eventCategoryType", "EventType"])?.unwrap_or_default();
        if WEBHOOK.by_native(&native).is_none() {
            call.name = Some(title_case(native.rsplit('.').next().unwrap_or(&native)));
        }
        if let Some(to) = item.record.first_text(&["info.to", "Info.to"])? {
            let place = if to.contains('@') { "traits.email" } else { "traits.phone" };
            call = call.context(place, Some(&to));
        }
        Ok(vec![call.into()])
    }
}

const EMAIL: &str = "compositeId text, jobId text, batchId text, listId text, subscriberId text, emailId text, \
    definitionKey text, definitionId text, mid int, eid int, sendClassificationType text, channel text, to text, \
    domain text, subscriberKey text, contactKey text, messageKey text, status text, email_subject text";
const NOT_SENT: &str = "compositeId text, jobId text, definitionKey text, definitionId text, mid int, eid int, to text, \
    subscriberKey text, messageKey text, status text, reason text, statusCode text, statusMessage text";
const ENGAGED: &str = "compositeId text, jobId text, batchId text, listId text, subscriberId text, emailId text, \
    definitionKey text, definitionId text, mid int, eid int, channel text, to text, subscriberKey text, \
    messageKey text, ipAddress text, userAgent text, location json";
const SMS: &str = "compositeId text, composite json, definitionKey text, definitionId text, mid int, eid int, to text, \
    subscriberKey text, contactKey text, messageKey text, ordinal text, statusCode text, statusMessage text, \
    fromAddress text, countryCode text, reason text";
const CHAT: &str = "senderType text, senderId text, channelId text, sendType text, messageKey text, messageId text, \
    mid int, eid int, status text, reason text, SenderType text, SenderID text, MessageKey text, MID text, EID text";
const PUSH: &str = "compositeId text, definitionKey text, definitionId text, mid int, eid int, contactKey text, \
    messageKey text, messageId text, appId text, deviceId text, platform text, reason text";
const AUTOMATION: &str = "automationName text, automationCustomerKey text, automationType text, \
    automationInstanceID text, automationInstanceStatus text, mid int, eid int, \
    automationInstanceStartTimeUTC time, automationInstanceEndTimeUTC time, automationInstanceScheduledTimeUTC time";

#[rustfmt::skip]
const CALLS: &[CallType] = &[
    CallType::track("Email Sent", EMAIL).native("TransactionalSendEvents.EmailSent").when("an email was sent"),
    CallType::track("Email Not Sent", NOT_SENT).native("TransactionalSendEvents.EmailNotSent").when("an email could not be sent"),
    CallType::track("Email Bounced", "to text, subscriberKey text, messageKey text, bounceCode text, bounceMessage text, smtpReason text, jobId text, definitionKey text")
        .native("TransactionalSendEvents.EmailBounced").when("the receiving server refused an email"),
    CallType::track("Email Opened", ENGAGED).native("EngagementEvents.EmailOpen").when("the recipient opened an email"),
    CallType::track("Email Link Clicked", "link_url text, jobUrlId int, impressionRegion text, to text, subscriberKey text, messageKey text, jobId text, ipAddress text, userAgent text, location json")
        .native("EngagementEvents.EmailClick").when("the recipient clicked a link"),
    CallType::track("Unsubscribed", "to text, domain text, unsubscribeDate time, unsubscribeMethod text, jobId text, subscriberId text, channel text")
        .native("EngagementEvents.EmailUnsubscribe").when("the recipient unsubscribed"),
    CallType::track("SMS Sent", SMS).native("TransactionalSendEvents.SmsSent").when("a text message was sent"),
    CallType::track("SMS Not Sent", SMS).native("TransactionalSendEvents.SmsNotSent").when("a text message could not be sent"),
    CallType::track("SMS Bounced", SMS).native("TransactionalSendEvents.SmsBounced").when("a text message did not reach its phone"),
    CallType::track("SMS Delivered", SMS).native("TransactionalSendEvents.SmsDelivered").when("a text message reached its phone"),
    CallType::track("SMS Delayed", SMS).native("TransactionalSendEvents.SmsTransient").when("a text message is on its way"),
    CallType::track("Chat Message Sent", CHAT)
        .native("EngagementEvents.OttSent|TransactionalSendEvents.OttSent|SendEvents.OttSent").when("a chat message was sent"),
    CallType::track("Chat Message Not Sent", CHAT)
        .native("TransactionalSendEvents.OttNotSent|SendEvents.OttNotSent").when("a chat message could not be sent"),
    CallType::track("Chat Message Delivered", CHAT).native("EngagementEvents.OttDelivered").when("a chat message reached its recipient"),
    CallType::track("Chat Message Read", CHAT).native("EngagementEvents.OttRead").when("a chat message was read"),
    CallType::track("Chat Message Failed", CHAT).native("EngagementEvents.OttFailed").when("a chat message did not reach its recipient"),
    CallType::track("Chat Message Received", "messageType text, messageId text, mobileNumber text, contactId text, messageBody json, channelId text, senderType text")
        .native("EngagementEvents.OttMobileOriginated").when("somebody wrote a chat message"),
    CallType::track("Push Sent", PUSH).native("SendEvents.PushSent").when("a push message was sent"),
    CallType::track("Push Not Sent", PUSH).native("SendEvents.PushNotSent").when("a push message could not be sent"),
    CallType::track("Push Bounced", PUSH).native("SendEvents.PushBounced").when("a push message came back"),
    CallType::track("Push Open", PUSH).native("EngagementEvents.PushOpen").when("a push message was opened"),
    CallType::track("Push Delivery Receipt", PUSH).native("EngagementEvents.PushDeliveryReceipt").when("a push message reached its device"),
    CallType::track("Push Image Click", PUSH).native("EngagementEvents.PushImageClick").when("the image of a push message was tapped"),
    CallType::track("Push Button Click", PUSH).native("EngagementEvents.PushButtonClick").when("a button of a push message was tapped"),
    CallType::track("Push Install", PUSH).native("EngagementEvents.PushInstall").when("an app registered a device"),
    CallType::track("Push Inactive", PUSH).native("EngagementEvents.PushInactive").when("a device is no longer registered"),
    CallType::track("In App Display", PUSH).native("EngagementEvents.InAppDisplay").when("an in-app message was shown"),
    CallType::track("In App Dismiss", PUSH).native("EngagementEvents.InAppDismiss").when("an in-app message was closed"),
    CallType::track("In App Click", PUSH).native("EngagementEvents.InAppClick").when("an in-app message was tapped"),
    CallType::track("Inbox Open", PUSH).native("EngagementEvents.InboxOpen").when("a message of the inbox was opened"),
    CallType::track("Automation Instance Started", AUTOMATION).native("SendEvents.AutomationInstanceStarted").when("an automation began"),
    CallType::track("Automation Instance Completed", AUTOMATION).native("SendEvents.AutomationInstanceCompleted").when("an automation was done"),
    CallType::track("Automation Instance Stopped", AUTOMATION).native("SendEvents.AutomationInstanceStopped").when("an automation was stopped"),
    CallType::track("Automation Instance Errored", AUTOMATION).native("SendEvents.AutomationInstanceErrored").when("an automation failed"),
    CallType::track("Automation Instance Skipped", AUTOMATION).native("SendEvents.AutomationInstanceSkipped").when("an automation was left out, for the last run was not over"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn source(callback: Option<&str>, package: bool) -> MarketingCloud {
        MarketingCloud {
            signature_key: Secrets::None,
            callback_id: callback.map(str::to_owned),
            subdomain: package.then(|| "mc563885gzs27c5t9-63k636ttgm".to_owned()),
            client_id: package.then(|| "abc".to_owned()),
            client_secret: package.then(|| Secret::new("def")),
            account_id: None,
        }
    }

    fn delivery(body: &'static str) -> Delivery {
        Delivery::fetched("2026-11-01T00:00:00Z".parse().unwrap(), body.into())
    }

    const ASKS: &str = r#"{"callbackId":"cb-1","verificationKey":"k-1"}"#;

    #[test]
    fn a_new_callback_is_confirmed() {
        let handshake = source(Some("cb-1"), true).handshake(&delivery(ASKS)).unwrap();
        let then = handshake.then.unwrap();
        assert_eq!((then.method.as_str(), then.path.as_str()), ("POST", "/platform/v1/ens-verify"));
        let api = source(None, true).lookup_api().unwrap().unwrap();
        assert_eq!(api.hosts[0].url, "https://mc563885gzs27c5t9-63k636ttgm.rest.marketingcloudapis.com");
    }

    #[test]
    fn without_credentials_it_is_only_answered() {
        assert_eq!(source(None, false).handshake(&delivery(ASKS)).unwrap().then, None);
        assert!(source(None, false).lookup_api().unwrap().is_none());
    }

    #[test]
    fn events_and_the_keys_of_another_callback_are_no_handshake() {
        assert!(source(Some("cb-2"), true).handshake(&delivery(ASKS)).is_none());
        assert!(source(None, true).handshake(&delivery("[]")).is_none());
        let mut signed = delivery(ASKS);
        signed.headers.insert("x-sfmc-ens-signature", "AA==".parse().unwrap());
        assert!(source(None, true).handshake(&signed).is_none());
    }

    #[test]
    fn a_subdomain_that_leads_elsewhere_is_refused() {
        let source = MarketingCloud { subdomain: Some("evil.example.com/".to_owned()), ..source(None, true) };
        assert!(source.lookup_api().is_err());
    }
}
