//! Leanplum: messages and A/B tests, as postbacks that fill a URL template, and as the Webhook message of a campaign,
//! whose body its author writes. Register two postbacks (`addPostback`), one of type `messageEvents`:
//!
//! ```text
//! …?event={{Message event}}&channel={{Message channel}}&message_id={{Message ID}}&template_name={{Template name}}&parameters={{Parameters}}&user_id={{User ID}}&device_id={{Device ID}}&time={{Trigger time}}
//! ```
//!
//! and one of type `abTestEvents`:
//!
//! ```text
//! …?event=impression&channel=abTestEvents&experiment_id={{AB test ID}}&variant_id={{Variant ID}}&user_id={{User ID}}&device_id={{Device ID}}&time={{Trigger time}}
//! ```
//!
//! The Webhook message (`…/message`) maps this JSON whole; its `event` names the call, an `id` and a `time` are taken too:
//!
//! ```json
//! {"event": "Trial Reminder Sent", "user_id": "{{User ID}}", "device_id": "{{Device ID}}",
//!  "properties": {"message": "trial-reminder-1"}}
//! ```

use headwater_core::prelude::*;

/// The registry's line.
pub const CONNECTOR: Connector = Connector::new(
    "leanplum",
    "Leanplum",
    "push",
    "https://docs.leanplum.com/reference/post_api-action-addpostback",
)
.settings::<Leanplum>()
.events::<Leanplum>(&WEBHOOK)
.spec(SPEC);

/// Settings of a Leanplum source.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Leanplum {
    /// `user:password`, if the address of a Webhook message (`…/message`) begins with them (`https://user:password@…`);
    /// two while it is being changed, the newer first. Postbacks need none.
    #[serde(default)]
    credentials: Secrets,
}

static WEBHOOK: Webhook = Webhook {
    surfaces: &[
        Surface {
            path: "",
            signature: Signature::None {
                why: "Leanplum does not sign postbacks; the template's address is the secret",
            },
            items: Items::Query,
        },
        Surface {
            path: "message",
            signature: Signature::Optional {
                one: &Signature::Basic,
                why: "Leanplum signs nothing, and basic authentication is a choice of the message's address",
            },
            items: Items::Json(""),
        },
    ],
    calls: CALLS,
};

const POSTBACK: Mapping = Mapping {
    time: "time|received:",
    user: "user_id",
    anonymous: "device_id",
    context: &[("device.id", "device_id")],
    names: &[("event", "message_event")],
    calls: CALLS,
    ..Mapping::NEW
};

const MESSAGE: Mapping =
    Mapping { event: "event", verbatim: true, id: &["id"], lift: &["properties"], ..POSTBACK };

impl EventSource for Leanplum {
    fn secrets(&self, surface: &Surface) -> Vec<Secret> {
        if surface.path == "message" { self.credentials.all() } else { Vec::new() }
    }

    fn map(&self, item: &Item<'_>) -> Result<Vec<Output>> {
        if item.surface.path == "message" {
            return Ok(vec![MESSAGE.call(item)?.into()]);
        }
        let event: String = item.record.get("event")?;
        let channel = item.record.text("channel")?.unwrap_or_default();
        let native = format!("{channel}/{event}");
        let call = WEBHOOK
            .by_native(&native.to_lowercase())
            .map_or_else(|| Call::track(title_case(&native)), CallType::call);
        let mut fields = item.fields()?;
        // JSON, if there are any.
        let parameters = item.record.text("parameters")?.map(|text| Record::parse(&text.into()));
        if let Some(Ok(parameters)) = parameters {
            fields.set("parameters", parameters.fields()?.raw());
        }
        let record = fields.record();
        Ok(vec![POSTBACK.fill(&item.with(&record), call)?.into()])
    }
}

/// What the template of message events asks for.
const OWN: &str = "message_event text, channel text, message_id text, template_name text, parameters object, user_id text, device_id text";

/// The channel and the event, in lower case; Leanplum's pages write channels in two ways.
#[rustfmt::skip]
const CALLS: &[CallType] = &[
    CallType::track("Email Sent", OWN).native("email/sent|email/send").when("an email was sent"),
    CallType::track("Email Delivered", OWN).native("email/delivered").when("the receiving server took it"),
    CallType::track("Email Deferred", OWN).native("email/deferred").when("the receiving server put it off"),
    CallType::track("Email Dropped", OWN).native("email/dropped").when("it was not sent after all"),
    CallType::track("Email Bounced", OWN).native("email/bounce").when("it came back"),
    CallType::track("Email Opened", OWN).native("email/open").when("the recipient opened it"),
    CallType::track("Email Link Clicked", OWN).native("email/click").when("the recipient clicked a link"),
    CallType::track("Email Marked as Spam", OWN).native("email/marked as spam").when("the recipient complained"),
    CallType::track("Unsubscribed", OWN).native("email/unsubscribe").when("the recipient wants no more emails"),
    CallType::track("Email Held Back", OWN).native("email/held back").when("the user is in a test's control group"),
    CallType::track("Push Notification Sent", OWN)
        .native("push notification/sent|push notification/send|push/sent|push/send").when("a push was sent"),
    CallType::track("Push Notification Tapped", OWN)
        .native("push notification/open|push/open").when("a user opened a push"),
    CallType::track("Push Notification Held Back", OWN)
        .native("push notification/held back|push/held back").when("the user is in a test's control group"),
    CallType::track("In-App Message Viewed", OWN).native("in-app message/view").when("a user saw an in-app message"),
    CallType::track("In-App Message Held Back", OWN)
        .native("in-app message/held back").when("the user is in a test's control group"),
    CallType::track("In-App Message Accepted", OWN)
        .native("in-app message/accept").when("a user accepted a popup, confirmation or interstitial"),
    CallType::track("Experiment Viewed", "experiment_id text, variant_id text, user_id text, device_id text")
        .native("abtestevents/impression").when("a user entered an A/B test"),
];

/// What the Segment feed posts with every event.
const POSTED: &str = "email_id text, message_id text, email_subject text, campaign_id text, campaign_name text, \
                      campaign.medium text, experiment_id text, experiment_name text";

const SPEC: &[CallType] = &[
    CallType::track("Email Bounced", POSTED).when("an email came back"),
    CallType::track("Email Delivered", POSTED).when("the receiving server took an email"),
    CallType::track("Email Link Clicked", POSTED).when("the recipient clicked a link"),
    CallType::track("Email Marked as Spam", POSTED).when("the recipient complained"),
    CallType::track("Email Opened", POSTED).when("the recipient opened an email"),
    CallType::track("Unsubscribed", POSTED).when("the recipient wants no more emails"),
    CallType::track("Push Notification Tapped", POSTED).when("a user opened a push"),
    CallType::track("Push Notification Bounced", POSTED).when("a push could not be delivered"),
    CallType::track("Push Notification Received", POSTED).when("a push reached its device"),
    CallType::track("Experiment Viewed", POSTED).when("a user saw a variant of an A/B test"),
];
