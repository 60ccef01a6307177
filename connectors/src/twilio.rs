//! Twilio: messages and calls. Event Streams posts batches of signed CloudEvents; a status callback, and the webhook of a
//! number, posts a signed form for one message or call (`…/status`).

use headwater_core::prelude::*;

/// The registry's line.
pub const CONNECTOR: Connector =
    Connector::new("twilio", "Twilio", "sms", "https://www.twilio.com/docs/events/webhook-quickstart")
        .settings::<Twilio>()
        .events::<Twilio>(&WEBHOOK);

/// Settings of a Twilio source.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Twilio {
    /// The auth token of the account, which signs its webhooks; two while it is being changed, the newer first.
    #[serde(default)]
    auth_token: Secrets,
    /// The message tag that holds our own id of a person: it is then the user id of the message's events. Without it
    /// a person is known by the phone number.
    #[serde(default)]
    user_id_tag: Option<String>,
}

static WEBHOOK: Webhook = Webhook {
    surfaces: &[
        Surface {
            path: "",
            signature: signed(&[Part::Url, Part::BodyDigestInQuery("bodySHA256")]),
            items: Items::Json(""),
        },
        Surface { path: "status", signature: signed(&[Part::Url, Part::SortedForm]), items: Items::Form },
    ],
    calls: CALLS,
};

const fn signed(over: &'static [Part]) -> Signature {
    Signature::Hmac(Hmac {
        hash: Hash::Sha1,
        encoding: Encoding::Base64,
        over,
        ..Hmac::body(Place::Header(&["x-twilio-signature"]))
    })
}

/// An event about somebody whom the account has sent something, or called.
const OUT: Mapping = Mapping {
    event: "type",
    id: &["id"],
    time: "time|data.timestamp|data.created_at",
    anonymous: "data.to|data.request.parameters.To|data.to.callee|data.from|data.from.caller|data.accountSid|data.account_sid|source|id",
    lift: &["data"],
    calls: CALLS,
    ..Mapping::NEW
};

/// An event about somebody who wrote, or called.
const IN: Mapping = Mapping { anonymous: "data.from|data.request.parameters.From|data.to|source|id", ..OUT };

/// A callback about somebody whom the account has sent something, or called. The same message comes back with each
/// status, the same call with each number of a sequence.
const FORM_OUT: Mapping = Mapping {
    event: "",
    id: &[
        "MessageSid|SmsSid|CallSid|RecordingSid",
        "MessageStatus|SmsStatus|CallStatus|RecordingStatus",
        "RecordingSid",
        "SequenceNumber",
    ],
    time: "Timestamp",
    anonymous: "To|Called|From|Caller|AccountSid|CallSid|RecordingSid",
    ..OUT
};

/// A callback about somebody who wrote, or called.
const FORM_IN: Mapping = Mapping { anonymous: "From|Caller|To|AccountSid", ..FORM_OUT };

impl EventSource for Twilio {
    fn secrets(&self, _surface: &Surface) -> Vec<Secret> {
        self.auth_token.all()
    }

    /// The event that tests a sink; the body of any other delivery is longer, or says something else.
    fn handshake(&self, delivery: &Delivery) -> Option<Handshake> {
        if delivery.body.len() > 4096 {
            return None;
        }
        let items = Record::split(&delivery.body, "").ok()?;
        let is_test = |item: &Record| matches!(item.text("type"), Ok(Some(kind)) if kind == "com.twilio.eventstreams.test-event");
        (!items.is_empty() && items.iter().all(is_test)).then_some(Handshake { reply: Reply::OK, then: None })
    }

    /// Twilio reads the answer to an incoming message or call as instructions: these say that there is nothing to do.
    fn reply(&self, delivery: &Delivery) -> Reply {
        match delivery.header("content-type") {
            Some(kind) if kind.starts_with("application/x-www-form-urlencoded") => Reply {
                content_type: "text/xml",
                body: "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response></Response>".into(),
                ..Reply::OK
            },
            _ => Reply::OK,
        }
    }

    fn map(&self, item: &Item<'_>) -> Result<Vec<Output>> {
        let mut call = if item.surface.path == "status" { callback(item)? } else { event(item)? };
        if let Some(tag) = &self.user_id_tag
            && let Some(id) = item.record.text(&format!("data.tags.{tag}"))?
        {
            call.user_id = Some(id);
        }
        let number = call.anonymous_id.as_deref().filter(|id| id.starts_with('+')).map(str::to_owned);
        Ok(vec![call.context("traits.phone", number.as_deref()).into()])
    }
}

/// An event of Event Streams.
fn event(item: &Item<'_>) -> Result<Call> {
    let native: String = item.record.get("type")?;
    let direction = item.record.first_text(&["data.direction", "data.request.parameters.Direction"])?;
    let is_inbound = native.contains("inbound") || direction.is_some_and(|way| way.starts_with("inbound"));
    let mut call = if is_inbound { IN } else { OUT }.call(item)?;
    if WEBHOOK.by_native(&native).is_none() {
        call.name = Some(title_case(native.strip_prefix("com.twilio.").unwrap_or(&native)));
    }
    of_channel(&mut call, &item.record, ["data.to", "data.from"])?;
    Ok(call)
}

/// A form: which of its members is there says what it is about.
fn callback(item: &Item<'_>) -> Result<Call> {
    let form = &item.record;
    let message = form.first_text(&["MessageStatus", "SmsStatus"])?;
    let (member, prefix, status) = if let Some(status) = message {
        ("MessageStatus", "SMS", status)
    } else if let Some(status) = form.text("CallStatus")? {
        ("CallStatus", "Call", status)
    } else if let Some(status) = form.text("RecordingStatus")? {
        ("RecordingStatus", "Recording", status)
    } else if let Some(event) = form.text("StatusCallbackEvent")? {
        ("StatusCallbackEvent", "", event)
    } else {
        return Err(Error::unexpected(
            "no status callback: MessageStatus, CallStatus, RecordingStatus and StatusCallbackEvent are all missing",
        ));
    };
    let mut call = match WEBHOOK.by_native(&format!("{member}={status}")) {
        Some(listed) => listed.call(),
        None => Call::track(format!("{prefix} {}", title_case(&status)).trim().to_owned()),
    };
    let is_inbound =
        status == "received" || form.text("Direction")?.is_some_and(|way| way.starts_with("inbound"));
    call = if is_inbound { FORM_IN } else { FORM_OUT }.fill(item, call)?;
    of_channel(&mut call, form, ["To", "From"])?;
    Ok(call)
}

/// A message to or from an address `whatsapp:+…` is no text message.
fn of_channel(call: &mut Call, record: &Record, addresses: [&str; 2]) -> Result<()> {
    for address in addresses {
        if record.text(address)?.is_some_and(|address| address.starts_with("whatsapp:"))
            && let Some(rest) = call.name.as_deref().and_then(|name| name.strip_prefix("SMS "))
        {
            call.name = Some(format!("WhatsApp {rest}"));
        }
    }
    Ok(())
}

const MESSAGE: &str = "messageSid text, accountSid text, messagingServiceSid text, messageStatus text, eventName text, \
    from text, to text, body text, numberOfSegments int, errorCode int, mcc text, mnc text, tags json, source text, \
    dataschema text, datacontenttype text, specversion text";
const INBOUND: &str = "messageSid text, accountSid text, messagingServiceSid text, eventName text, from text, to text, \
    body text, numMedia int, numSegments int, optOutType text, recipients json, toCountry text, fromCountry text, \
    source text, dataschema text";
const PHONE_CALL: &str = "sid text, parentSid text, eventSid text, accountSid text, request json, response json, \
    source text, dataschema text";
const CALLBACK: &str = "CallSid text, CallStatus text, AccountSid text, From text, To text, Direction text, \
    CallDuration int, SequenceNumber int, CallbackSource text, ApiVersion text";
const VERIFY: &str = "verification_sid text, attempt_sid text, service_sid text, account_sid text, channel text, \
    message_status text, error_code text, has_fallback bool, to text, mcc text, mnc text, number_segments int";

#[rustfmt::skip]
const CALLS: &[CallType] = &[
    CallType::track("SMS Queued", MESSAGE)
        .native("com.twilio.messaging.message.queued|MessageStatus=queued")
        .when("a message waits for being sent"),
    CallType::track("SMS Sent", MESSAGE)
        .native("com.twilio.messaging.message.sent|MessageStatus=sent")
        .when("the nearest carrier took a message"),
    CallType::track("SMS Delivered", MESSAGE)
        .native("com.twilio.messaging.message.delivered|MessageStatus=delivered")
        .when("a message reached its phone"),
    CallType::track("SMS Undelivered", MESSAGE)
        .native("com.twilio.messaging.message.undelivered|MessageStatus=undelivered")
        .when("a message did not reach its phone"),
    CallType::track("SMS Failed", MESSAGE)
        .native("com.twilio.messaging.message.failed|MessageStatus=failed")
        .when("a message could not be sent"),
    CallType::track("SMS Read", MESSAGE)
        .native("com.twilio.messaging.message.read|MessageStatus=read")
        .when("the recipient opened a message, where the channel tells it"),
    CallType::track("SMS Received", INBOUND)
        .native("com.twilio.messaging.inbound-message.received|MessageStatus=received")
        .when("somebody wrote to a number of the account"),
    CallType::track("WhatsApp Queued", MESSAGE).when("a WhatsApp message waits for being sent"),
    CallType::track("WhatsApp Sent", MESSAGE).when("WhatsApp took a message"),
    CallType::track("WhatsApp Delivered", MESSAGE).when("a WhatsApp message reached its phone"),
    CallType::track("WhatsApp Undelivered", MESSAGE).when("a WhatsApp message did not reach its phone"),
    CallType::track("WhatsApp Failed", MESSAGE).when("a WhatsApp message could not be sent"),
    CallType::track("WhatsApp Read", MESSAGE).when("the recipient opened a WhatsApp message"),
    CallType::track("WhatsApp Received", INBOUND).when("somebody wrote on WhatsApp"),
    CallType::track("Call Initiated", PHONE_CALL)
        .native("com.twilio.voice.status-callback.call.initiated|com.twilio.voice.webhook.status-callback.call.initiated|CallStatus=initiated")
        .when("a call left Twilio's queue"),
    CallType::track("Call Ringing", PHONE_CALL)
        .native("com.twilio.voice.status-callback.call.ringing|com.twilio.voice.webhook.status-callback.call.ringing|CallStatus=ringing")
        .when("the phone rings"),
    CallType::track("Call Answered", PHONE_CALL)
        .native("com.twilio.voice.status-callback.call.answered|com.twilio.voice.webhook.status-callback.call.answered|CallStatus=answered")
        .when("a call was picked up"),
    CallType::track("Call Completed", PHONE_CALL)
        .native("com.twilio.voice.status-callback.call.completed|com.twilio.voice.webhook.status-callback.call.completed|CallStatus=completed")
        .when("a call was over"),
    CallType::track("Call In Progress", CALLBACK).native("CallStatus=in-progress").when("a call was picked up"),
    CallType::track("Call Busy", CALLBACK).native("CallStatus=busy").when("the line was busy"),
    CallType::track("Call No Answer", CALLBACK).native("CallStatus=no-answer").when("nobody picked up"),
    CallType::track("Call Failed", CALLBACK).native("CallStatus=failed").when("a call could not be made"),
    CallType::track("Call Canceled", CALLBACK).native("CallStatus=canceled").when("a call was given up before an answer"),
    CallType::track("Call Summarized", "call_sid text, account_sid text, call_type text, call_state text, processing_state text, duration int, connect_duration int, created_time time, start_time time, end_time time, tags json, from json, to json, source text")
        .native("com.twilio.voice.insights.call-summary.complete")
        .when("Voice Insights has closed its record of a call"),
    CallType::track("Verification Message Sent", VERIFY)
        .native("com.twilio.accountsecurity.verify.message.sent").when("a verification code was sent"),
    CallType::track("Verification Message Delivered", VERIFY)
        .native("com.twilio.accountsecurity.verify.message.delivered").when("a verification code reached its phone"),
    CallType::track("Verification Message Read", VERIFY)
        .native("com.twilio.accountsecurity.verify.message.read").when("a verification code was read"),
    CallType::track("Verification Message Undelivered", VERIFY)
        .native("com.twilio.accountsecurity.verify.message.undelivered").when("a verification code did not reach its phone"),
    CallType::track("Verification Message Failed", VERIFY)
        .native("com.twilio.accountsecurity.verify.message.failed").when("a verification code could not be sent"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery(body: &'static str, query: &str, content_type: &str, signature: &str) -> Delivery {
        let now = "2026-11-01T00:00:00Z".parse().unwrap();
        let mut delivery = Delivery::fetched(now, body.into());
        delivery.url = "https://mycompany.com/myapp.php".to_owned();
        delivery.query = query.to_owned();
        delivery.headers.insert("content-type", content_type.parse().unwrap());
        delivery.headers.insert("x-twilio-signature", signature.parse().unwrap());
        delivery
    }

    #[test]
    fn the_signatures_that_twilio_publishes_are_taken() {
        let token = [Secret::new("12345")];
        let json = delivery(
            r#"{"property": "value", "boolean": true}"#,
            "foo=1&bar=2&bodySHA256=0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620",
            "application/json",
            "a9nBmqA0ju/hNViExpshrM61xv4=",
        );
        WEBHOOK.surfaces[0].signature.verify(&json, &token, json.received_at).unwrap();
        let form = delivery(
            "CallSid=CA1234567890ABCDE&Caller=%2B12349013030&Digits=1234&From=%2B12349013030&To=%2B18005551212",
            "foo=1&bar=2",
            "application/x-www-form-urlencoded",
            "0/KCTR6DLpKmkAf8muzZqo1nDgQ=",
        );
        WEBHOOK.surfaces[1].signature.verify(&form, &token, form.received_at).unwrap();
        let other = Delivery { query: "foo=1&bar=3".to_owned(), ..form };
        assert!(WEBHOOK.surfaces[1].signature.verify(&other, &token, other.received_at).is_err());
    }

    #[test]
    fn the_test_of_a_sink_is_no_event() {
        let twilio = Twilio { auth_token: Secrets::None, user_id_tag: None };
        let asks = |body| twilio.handshake(&delivery(body, "", "application/json", "")).is_some();
        assert!(asks(r#"[{"type":"com.twilio.eventstreams.test-event","data":{"test_id":"1"}}]"#));
        assert!(!asks(r#"[{"type":"com.twilio.messaging.message.sent"}]"#));
        assert!(!asks("[]"));
    }
}
