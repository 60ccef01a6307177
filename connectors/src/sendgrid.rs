//! SendGrid: what becomes of its emails, as the Event Webhook posts it, up to 768 KB of events a delivery.
//!
//! SendGrid Marketing Campaigns is the same webhook: its connector is made of these pieces.

use headwater_core::prelude::*;

/// The registry's line.
pub const CONNECTOR: Connector = Connector::new(
    "sendgrid",
    "SendGrid",
    "email",
    "https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/event",
)
.settings::<SendGrid>()
.events::<SendGrid>(&WEBHOOK)
.spec(TABLES);

/// Settings of a SendGrid source.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SendGrid {
    /// The verification key that the webhook's settings show once its signature is switched on (base64, begins with
    /// `MFkw`); two while it is being changed, the newer first. Without one only the secret webhook key in the address
    /// lets a delivery in.
    #[serde(default)]
    verification_key: Secrets,
    /// The custom (unique) argument of your emails that holds your own id of the recipient. Left out: `user_id`, `userId`
    /// or `userid`, whichever an email has.
    user_id_argument: Option<String>,
}

const SIGNED: Signature = Signature::Ecdsa {
    at: Place::Header(&["X-Twilio-Email-Event-Webhook-Signature"]),
    over: &[Part::Stamp, Part::Body],
    stamp: Some(Stamp::header(&["X-Twilio-Email-Event-Webhook-Timestamp"], StampFormat::UnixSeconds)),
};

pub static WEBHOOK: Webhook = Webhook {
    surfaces: &[Surface::json(
        "",
        Signature::Optional {
            one: &SIGNED,
            why: "SendGrid signs once the Signed Event Webhook is switched on; use it",
        },
    )],
    calls: CALLS,
};

const MAPPING: Mapping = Mapping {
    event: "event",
    id: &["sg_event_id"],
    time: "timestamp",
    user: "user_id|userId|userid",
    anonymous: "sha256:email",
    email: "email",
    context: &[("ip", "ip"), ("userAgent", "useragent")],
    names: &[
        ("url", "link_url"),
        ("category", "categories"),
        ("asm_group_id", "unsubscribe_group_id"),
        ("singlesend_id", "campaign_id"),
        ("singlesend_name", "campaign_name"),
        ("marketing_campaign_id", "campaign_id"),
        ("marketing_campaign_name", "campaign_name"),
    ],
    calls: CALLS,
    ..Mapping::NEW
};

impl EventSource for SendGrid {
    fn secrets(&self, _surface: &Surface) -> Vec<Secret> {
        self.verification_key.all()
    }

    fn map(&self, item: &Item<'_>) -> Result<Vec<Output>> {
        let event = item.record.text("event")?;
        let anonymous = match event.as_deref() {
            // It is about the account itself, and there is one.
            Some("account_status_change") => "'account'",
            _ => MAPPING.anonymous,
        };
        let user = self.user_id_argument.as_deref().unwrap_or(MAPPING.user);
        let mut call = Mapping { user, anonymous, ..MAPPING }.call(item)?;
        if event.as_deref() == Some("open") && item.record.text("sg_machine_open")?.as_deref() == Some("true")
        {
            call.name = Some("Email Machine Opened".to_owned());
        }
        Ok(vec![call.into()])
    }
}

/// What every event of an email has, and more.
macro_rules! email {
    ($more:literal) => {
        concat!(
            "email text, categories json, `smtp-id` text, sg_message_id text, campaign_id text, campaign_name text, ",
            "template_id text, context.traits.email text",
            $more
        )
    };
}

const CALLS: &[CallType] = &[
    CallType::track("Email Processed", email!(", pool json"))
        .native("processed")
        .when("SendGrid took the email"),
    CallType::track("Email Deferred", email!(", response text, attempt text"))
        .native("deferred")
        .when("the receiving server refused it for now"),
    CallType::track("Email Delivered", email!(", response text, tls int"))
        .native("delivered")
        .when("the receiving server took it"),
    CallType::track(
        "Email Opened",
        email!(", sg_machine_open bool, context.ip text, context.userAgent text"),
    )
    .native("open")
    .when("the recipient opened it, open tracking on"),
    CallType::track(
        "Email Machine Opened",
        email!(", sg_machine_open bool, context.ip text, context.userAgent text"),
    )
    .native("open with sg_machine_open")
    .when("a machine opened it on the recipient's behalf"),
    CallType::track(
        "Email Link Clicked",
        email!(", link_url text, url_offset json, context.ip text, context.userAgent text"),
    )
    .native("click")
    .when("the recipient clicked a link, click tracking on"),
    CallType::track(
        "Email Bounced",
        email!(", reason text, status text, type text, bounce_classification text, tls int"),
    )
    .native("bounce")
    .when("the receiving server refused it, for good or (type blocked) this time"),
    CallType::track("Email Dropped", email!(", reason text, status text"))
        .native("dropped")
        .when("SendGrid did not send it"),
    CallType::track("Email Marked as Spam", email!("")).native("spamreport").when("the recipient complained"),
    CallType::track("Unsubscribed", email!("")).native("unsubscribe").when("the recipient left all mailings"),
    CallType::track(
        "Unsubscribed From Group",
        email!(", unsubscribe_group_id int, link_url text, context.ip text, context.userAgent text"),
    )
    .native("group_unsubscribe")
    .when("the recipient left an unsubscribe group"),
    CallType::track(
        "Resubscribed To Group",
        email!(", unsubscribe_group_id int, link_url text, context.ip text, context.userAgent text"),
    )
    .native("group_resubscribe")
    .when("the recipient came back to an unsubscribe group"),
    CallType::track("Account Status Changed", "type text")
        .native("account_status_change")
        .when("SendGrid changed the account's status for reasons of compliance"),
];

/// Segment's own names of these events are names of tables.
const TABLES: &[CallType] = &[
    CallType::track("open", "").excused("Segment's table; the call is Email Opened or Email Machine Opened"),
    CallType::track("click", "").excused("Segment's table; the call is Email Link Clicked"),
    CallType::track("bounce", "").excused("Segment's table; the call is Email Bounced"),
    CallType::track("delivered", "").excused("Segment's table; the call is Email Delivered"),
    CallType::track("processed", "").excused("Segment's table; the call is Email Processed"),
    CallType::track("dropped", "").excused("Segment's table; the call is Email Dropped"),
    CallType::track("deferred", "").excused("Segment's table; the call is Email Deferred"),
    CallType::track("unsubscribe", "").excused("Segment's table; the call is Unsubscribed"),
    CallType::track("spam_report", "").excused("Segment's table; the call is Email Marked as Spam"),
    CallType::track("activity", "").excused("Segment's union of the tables; here it is tracks"),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// The vector of SendGrid's own libraries.
    #[test]
    fn the_published_signature_is_taken() {
        const KEY: &str = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4O/n84iotIvIW4mdBgQ/7dAfSmpqIM8kF9mN1flpVKS3GRqe62gw+2fNNRaINXvVpiglSI8eNEc6wEA3F+g==";
        const BODY: &str = "[{\"email\":\"hello@world.com\",\"event\":\"dropped\",\"reason\":\"Bounced Address\",\"sg_event_id\":\"ZHJvcC0xMDk5NDkxOS1MUnpYbF9OSFN0T0doUTRrb2ZTbV9BLTA\",\"sg_message_id\":\"LRzXl_NHStOGhQ4kofSm_A.filterdrecv-p3mdw1-756b745b58-kmzbl-18-5F5FC76C-9.0\",\"smtp-id\":\"<LRzXl_NHStOGhQ4kofSm_A@ismtpd0039p1iad1.sendgrid.net>\",\"timestamp\":1600112492}]\r\n";
        let now: Timestamp = "2020-09-14T19:41:50Z".parse().unwrap();
        let mut delivery = Delivery::fetched(now, BODY.into());
        for (name, value) in [
            (
                "x-twilio-email-event-webhook-signature",
                "MEUCIGHQVtGj+Y3LkG9fLcxf3qfI10QysgDWmMOVmxG0u6ZUAiEAyBiXDWzM+uOe5W0JuG+luQAbPIqHh89M15TluLtEZtM=",
            ),
            ("x-twilio-email-event-webhook-timestamp", "1600112502"),
        ] {
            delivery.headers.insert(name, value.parse().unwrap());
        }
        let keys = [Secret::new(KEY)];
        SIGNED.verify(&delivery, &keys, now).unwrap();
        delivery.body = BODY.trim_end().into();
        assert!(SIGNED.verify(&delivery, &keys, now).is_err(), "the line's end is signed too");
    }
}
