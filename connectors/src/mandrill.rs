//! Mandrill (Mailchimp Transactional): what becomes of its emails, what it receives, and its lists of addresses that are
//! refused or let through; up to 1,000 events as JSON in one field of a form.

use headwater_core::prelude::*;

/// The registry's line.
pub const CONNECTOR: Connector = Connector::new(
    "mandrill",
    "Mandrill",
    "email",
    "https://mailchimp.com/developer/transactional/guides/track-respond-activity-webhooks/",
)
.settings::<Mandrill>()
.events::<Mandrill>(&WEBHOOK)
.spec(TABLES);

/// Settings of a Mandrill source.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Mandrill {
    /// The webhook's key, which Mandrill shows beside its address; two while it is being changed, the newer first.
    #[serde(default)]
    webhook_key: Secrets,
    /// The metadata of your emails that holds your own id of the recipient. Left out: `user_id`, `userId` or `userid`,
    /// whichever an email has.
    user_id_metadata: Option<String>,
}

const SIGNED: Signature = Signature::Hmac(Hmac {
    hash: Hash::Sha1,
    encoding: Encoding::Base64,
    over: &[Part::Url, Part::SortedForm],
    ..Hmac::body(Place::Header(&["X-Mandrill-Signature"]))
});

static WEBHOOK: Webhook = Webhook {
    surfaces: &[Surface { path: "", signature: SIGNED, items: Items::FormJson("mandrill_events", "") }],
    calls: CALLS,
};

const MAPPING: Mapping = Mapping {
    event: "event|type",
    // The id is the message's: what happened to it, when and where have to join it.
    id: &["_id", "event", "ts", "url"],
    time: "ts",
    user: "msg.metadata.user_id|msg.metadata.userId|msg.metadata.userid",
    anonymous: "msg.email|reject.email|entry.email",
    email: "msg.email|reject.email|entry.email",
    context: &[
        ("ip", "ip"),
        ("userAgent", "user_agent"),
        ("timezone", "location.timezone"),
        ("location.country", "location.country"),
        ("location.city", "location.city"),
    ],
    names: &[
        ("url", "link_url"),
        ("_id", "message_id"),
        ("msg._id", "email_id"),
        ("msg._version", "email_version"),
        ("msg.subject", "email_subject"),
        ("msg.ts", "message_ts"),
    ],
    lift: &["msg", "reject", "entry"],
    calls: CALLS,
    ..Mapping::NEW
};

impl EventSource for Mandrill {
    fn secrets(&self, _surface: &Surface) -> Vec<Secret> {
        self.webhook_key.all()
    }

    /// Before it shows the key, Mandrill asks with HEAD whether the address is there, or posts no events at all.
    fn handshake(&self, delivery: &Delivery) -> Option<Handshake> {
        let is_empty = matches!(&delivery.body[..], b"mandrill_events=%5B%5D" | b"mandrill_events=[]");
        (delivery.method == "HEAD" || is_empty).then_some(Handshake { reply: Reply::OK, then: None })
    }

    fn map(&self, item: &Item<'_>) -> Result<Vec<Output>> {
        let chosen = self.user_id_metadata.as_ref().map(|name| format!("msg.metadata.{name}"));
        let user = chosen.as_deref().unwrap_or(MAPPING.user);
        let mapping = match item.record.text("event")?.as_deref() {
            // The other address is the one of ours that it came to.
            Some("inbound") => {
                Mapping { user: "", anonymous: "msg.from_email", email: "msg.from_email", ..MAPPING }
            }
            _ => Mapping { user, ..MAPPING },
        };
        Ok(vec![mapping.call(item)?.into()])
    }
}

/// What every event of an email has, and more.
macro_rules! email {
    ($more:literal) => {
        concat!(
            "message_id text, email_id text, email_subject text, message_ts int, email text, sender text, state text, ",
            "tags json, metadata json, template text, context.traits.email text",
            $more
        )
    };
}

const CALLS: &[CallType] = &[
    CallType::track("Email Sent", email!("")).native("send").when("Mandrill sent it"),
    CallType::track("Email Delayed", email!(", smtp_events json"))
        .native("deferral")
        .when("the receiving server asked to slow down"),
    CallType::track("Email Delivered", email!("")).native("delivered").when("the receiving server took it"),
    CallType::track("Email Bounced", email!(", bounce_description text, diag text"))
        .native("hard_bounce")
        .when("the receiving server refused it for good"),
    CallType::track("Email Soft Bounced", email!(", bounce_description text, diag text"))
        .native("soft_bounce")
        .when("the receiving server refused it this time"),
    CallType::track("Email Opened", email!(", location json, user_agent_parsed json, context.ip text"))
        .native("open")
        .when("the recipient opened it, open tracking on"),
    CallType::track(
        "Email Link Clicked",
        email!(", link_url text, location json, user_agent_parsed json, context.ip text"),
    )
    .native("click")
    .when("the recipient clicked a link, click tracking on"),
    CallType::track("Email Marked as Spam", email!("")).native("spam").when("the recipient complained"),
    CallType::track("Unsubscribed", email!("")).native("unsub").when("the recipient unsubscribed"),
    CallType::track("Email Rejected", email!(", reject text")).native("reject").when("Mandrill did not send it"),
    CallType::track(
        "Email Received",
        "email text, from_email text, from_name text, email_subject text, text text, html text, raw_msg text, \
         headers json, to json, spam_report json, dkim json, spf json, context.traits.email text",
    )
    .native("inbound")
    .when("an email came to an inbound route"),
    CallType::track("Allowlist Changed", "action text, email text, detail text, created_at time")
        .native("whitelist")
        .when("an address was put on the allowlist or taken off"),
    CallType::track(
        "Denylist Changed",
        "action text, email text, reason text, detail text, sender text, subaccount text, created_at time, \
         last_event_at time, expires_at time, expired bool",
    )
    .native("blacklist")
    .when("an address was put on the denylist, changed there or taken off"),
];

/// Segment's own names of these events.
const TABLES: &[CallType] = &[
    CallType::track("Sent", "").excused("the call is Email Sent, as in the Email Spec"),
    CallType::track("Bounced", "").excused("the call is Email Bounced, as in the Email Spec"),
    CallType::track("Opened", "").excused("the call is Email Opened, as in the Email Spec"),
    CallType::track("Marked As Spam", "").excused("the call is Email Marked as Spam, as in the Email Spec"),
    CallType::track("Rejected", "").excused("the call is Email Rejected"),
    CallType::track("Delayed", "").excused("the call is Email Delayed"),
    CallType::track("Soft-Bounced", "").excused("the call is Email Soft Bounced"),
    CallType::track("Clicked", "").excused("the call is Email Link Clicked, as in the Email Spec"),
    CallType::track("Recipient Unsubscribes", "").excused("the call is Unsubscribed"),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// A real delivery with its key, as the vendor's test button made it and a library published it.
    #[test]
    fn the_published_signature_is_taken() {
        let body: &str = include_str!("../../fixtures/mandrill/click.form").trim_end();
        let now: Timestamp = "2026-11-01T00:00:00Z".parse().unwrap();
        let mut delivery = Delivery::fetched(now, body.into());
        delivery.url = "http://requestb.in/q9a918q9".to_owned();
        delivery.headers.insert("content-type", "application/x-www-form-urlencoded".parse().unwrap());
        delivery.headers.insert("x-mandrill-signature", "7rUa4lNJitlb178MgGOcHO6T4Bg=".parse().unwrap());
        let keys = [Secret::new("ntynTMaFpM_octE5R1DKAw")];
        SIGNED.verify(&delivery, &keys, now).unwrap();
        delivery.url.push('/');
        assert!(SIGNED.verify(&delivery, &keys, now).is_err(), "the address is signed too");
    }

    #[test]
    fn what_comes_before_there_is_a_key_is_answered() {
        let source = Mandrill { webhook_key: Secrets::None, user_id_metadata: None };
        let answered = |method: &str, body: &'static str| {
            let mut delivery = Delivery::fetched(Timestamp::UNIX_EPOCH, body.into());
            delivery.method = method.parse().unwrap();
            source.handshake(&delivery).is_some()
        };
        assert!(answered("HEAD", "") && answered("POST", "mandrill_events=%5B%5D"));
        assert!(!answered("POST", "mandrill_events=%5B%7B%7D%5D") && !answered("GET", ""));
    }
}
