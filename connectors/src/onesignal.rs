//! OneSignal: push, email, SMS, in-app and Live Activity messages, as event streams whose body and headers their author
//! writes. This body maps whole, and so does one in the flat form of OneSignal's own examples (`"event.kind": "…"`):
//!
//! ```json
//! {"event": {"kind": "{{ event.kind }}", "id": "{{ event.id }}", "datetime": "{{ event.datetime }}",
//!   "app_id": "{{ event.app_id }}", "subscription_device_type": "{{ event.subscription_device_type }}",
//!   "language": "{{ event.language }}", "subscription_id": "{{ event.subscription_id }}",
//!   "onesignal_id": "{{ event.onesignal_id }}", "external_id": "{{ event.external_id }}",
//!   "data": {"page_name": "{{ event.data.page_name }}", "page_id": "{{ event.data.page_id }}",
//!     "target_name": "{{ event.data.target_name }}", "target_id": "{{ event.data.target_id }}",
//!     "live_activity_id": "{{ event.data.live_activity_id }}",
//!     "live_activity_type": "{{ event.data.live_activity_type }}",
//!     "failure_reason": "{{ event.data.failure_reason }}"}},
//!  "message": {"id": "{{ message.id }}", "name": "{{ message.name }}", "title": "{{ message.title.en }}",
//!   "contents": "{{ message.contents.en }}", "template_id": "{{ message.template_id }}"}}
//! ```

mod calls;

use headwater_core::prelude::*;

/// The registry's line.
pub const CONNECTOR: Connector = Connector::new(
    "onesignal",
    "OneSignal",
    "push",
    "https://documentation.onesignal.com/docs/en/event-streams",
)
.settings::<OneSignal>()
.events::<OneSignal>(&WEBHOOK)
.spec(calls::CALLS);

/// Settings of a OneSignal source.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OneSignal {
    /// A header of your choice that the event stream was given, as `Name: value` (`Authorization: Bearer …`); two while
    /// it is being changed, the newer first. Without it only the secret webhook key in the address lets a delivery in.
    #[serde(default)]
    header: Secrets,
}

static WEBHOOK: Webhook = Webhook {
    surfaces: &[Surface::json(
        "",
        Signature::Optional {
            one: &Signature::Token { at: Place::CustomHeader, prefix: "" },
            why: "OneSignal signs nothing; a header with a token is a choice of the event stream's",
        },
    )],
    calls: calls::CALLS,
};

const MAPPING: Mapping = Mapping {
    event: "event.kind",
    id: &["event.id"],
    time: "event.datetime|event.timestamp",
    user: "event.external_id|user.external_id",
    anonymous: "event.subscription_id|subscription.id|event.onesignal_id|user.onesignal_id",
    context: &[("locale", "event.language"), ("device.type", "event.subscription_device_type")],
    names: &[
        ("message.id", "message_id"),
        ("message.name", "message_name"),
        ("message.title", "message_title"),
        ("message.contents", "message_contents"),
        ("message.template_id", "template_id"),
    ],
    lift: &["event.data", "event", "message"],
    calls: calls::CALLS,
    ..Mapping::NEW
};

impl EventSource for OneSignal {
    fn secrets(&self, _surface: &Surface) -> Vec<Secret> {
        self.header.all()
    }

    fn map(&self, item: &Item<'_>) -> Result<Vec<Output>> {
        let record = nested(item.fields()?).record();
        let mut call = MAPPING.call(&item.with(&record))?;
        let kind = record.text("event.kind")?.unwrap_or_default();
        let channel = match kind.split('.').nth(1) {
            Some("iam") => "in-app",
            Some("sms") => "SMS",
            Some(other) => other,
            None => "",
        };
        if !channel.is_empty() && call.properties.get("message_type").is_none() {
            call.properties.set_text("message_type", Some(channel));
        }
        Ok(vec![call.into()])
    }
}

/// Members of the flat form (`event.data.page_name`) as objects.
fn nested(mut fields: Fields) -> Fields {
    for object in ["event.data", "event", "message", "user", "subscription"] {
        let member = |name: &str| Some(name.strip_prefix(object)?.strip_prefix('.')?.to_owned());
        let members: Fields =
            fields.iter().filter_map(|(name, value)| Some((member(name)?, value.clone()))).collect();
        if !members.is_empty() && fields.get(object).is_none() {
            fields.retain(|name, _| member(name).is_none());
            fields.set(object, members.raw());
        }
    }
    fields
}
