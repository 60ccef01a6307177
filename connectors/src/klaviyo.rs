//! Klaviyo: email, SMS and push messages, as system webhooks (signed, up to 1,000 events a delivery) and as the
//! Webhook action of a flow, whose body its author writes. This one maps whole:
//!
//! ```json
//! {"event": "Welcome Coupon Sent", "external_id": "{{ person.id }}", "email": "{{ person.email }}",
//!  "profile_id": "{{ person.KlaviyoID }}", "properties": {"trigger": "{{ event|lookup:'$event_id' }}"}}
//! ```
//!
//! Without an `id`, two bodies that are the same in every byte are one event: hence the trigger. A `time` is taken too.

mod calls;

use headwater_core::{event::title_case, prelude::*, spec::EMAIL, time::parse_time};

/// The registry's line.
pub const CONNECTOR: Connector = Connector::new(
    "klaviyo",
    "Klaviyo",
    "email",
    "https://developers.klaviyo.com/en/docs/working_with_system_webhooks",
)
.settings::<Klaviyo>()
.events::<Klaviyo>(&WEBHOOK)
.spec(EMAIL);

/// Settings of a Klaviyo source.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Klaviyo {
    /// The secret key that was given when the system webhook was made (16 characters or more); two while it is being
    /// changed, the newer first. Flow webhooks (`…/flow`) and Klaviyo's own Segment integration need none.
    #[serde(default)]
    secret_key: Secrets,
}

static WEBHOOK: Webhook = Webhook {
    surfaces: &[
        Surface {
            path: "",
            signature: Signature::Hmac(Hmac {
                hash: Hash::Sha256,
                key: Key::Text,
                at: Place::Header(&["Klaviyo-Signature"]),
                grammar: Grammar::Plain(""),
                encoding: Encoding::Hex,
                over: &[Part::Body, Part::Stamp],
                stamp: Some(Stamp {
                    at: Some(Place::Header(&["Klaviyo-Timestamp"])),
                    format: StampFormat::HttpDate,
                    // Klaviyo asks for no window, tries again for 48 hours, and does not say whether it signs anew.
                    tolerance: Duration::from_secs(72 * 3600),
                }),
            }),
            items: Items::Json("data"),
        },
        Surface {
            path: "flow",
            signature: Signature::None { why: "Klaviyo does not sign the Webhook action of a flow" },
            items: Items::Json(""),
        },
    ],
    calls: calls::TOPICS,
};

/// Where the properties of a metric have another name in the Spec.
const NAMES: [(&str, &str); 4] = [
    ("Subject", "email_subject"),
    ("Campaign Name", "campaign_name"),
    ("URL", "link_url"),
    ("List", "list_name"),
];

impl EventSource for Klaviyo {
    fn secrets(&self, _surface: &Surface) -> Vec<Secret> {
        self.secret_key.all()
    }

    fn map(&self, item: &Item<'_>) -> Result<Vec<Output>> {
        let (mut call, profile) = if item.surface.path == "flow" { flow(item)? } else { event(item)? };
        if call.user_id.is_none() && call.anonymous_id.is_none() {
            call.anonymous_id = profile;
        }
        Ok(vec![call.into()])
    }
}

/// An event of a system webhook, and Klaviyo's id of the profile: the metric's own properties come first, then what
/// stands around them.
fn event(item: &Item<'_>) -> Result<(Call, Option<String>)> {
    let webhook = item.envelope.text("meta.klaviyo_webhook_id")?;
    if webhook.is_some()
        && item.header("klaviyo-webhook-id").is_some_and(|sent| Some(sent) != webhook.as_deref())
    {
        return Err(Error::unsigned("Klaviyo-Webhook-Id is not the webhook that the signed body names"));
    }
    let record = &item.record;
    let topic: String = record.get("topic")?;
    let mut rest = item.tree()?;
    let mut properties = rest.take_fields("payload.data.attributes.event_properties")?;
    let mut attributes = rest.take_fields("payload.data.attributes")?;
    let mut data = rest.take_fields("payload.data")?;
    let payload = rest.take_fields("payload")?;
    for (theirs, ours) in NAMES {
        properties.rename(theirs, ours);
    }
    properties.rename("$message", if topic.contains("email") { "email_id" } else { "message_id" });

    // Looked for once: it stands in a list.
    let profile = record.part("payload.included[type=profile].attributes")?;
    let profile = profile.map(|profile| profile.fields()).transpose()?.unwrap_or_default();
    let person = profile.text("external_id");
    let phone = profile.text("phone_number");
    let email = profile
        .text("email")
        .or_else(|| properties.first_text(&["Recipient Email Address", "email", "$email"]));
    let campaign = match record.text("payload.included[type=attribution].relationships.campaign.data.id")? {
        None => properties.first_text(&["$flow", "email_id", "message_id"]),
        campaign => campaign,
    };
    let ip = properties.first_text(&["ip", "IP Address", "ip_address"]);
    let agent = match properties.first_text(&["User Agent", "user_agent"]) {
        None => record.text("payload.data.attributes.event_properties.$internal.User Agent")?,
        agent => agent,
    };
    if properties.get("campaign_id").is_none() {
        properties.set_text("campaign_id", campaign.as_deref());
    }
    // These are names of a call, and of its table's own columns.
    data.rename("id", "event_id");
    data.rename("type", "event_type");
    attributes.rename("timestamp", "event_timestamp");
    let around =
        [(attributes, "event_"), (data, "event_"), (payload, "payload_"), (rest.close(), "webhook_")];
    for (around, prefix) in around {
        properties.merge(around, prefix);
    }
    let metric_name = || title_case(topic.split_once('.').map_or(&topic, |(_, metric)| metric));
    let time = record
        .time("payload.data.attributes.timestamp")?
        .or(record.time("payload.data.attributes.datetime")?);
    let mut call =
        Call::track(WEBHOOK.by_native(&topic).map_or_else(metric_name, |call| call.name.to_owned()))
            .id(record.text("external_id")?)
            .at(time)
            .properties(properties)
            .person(person, email)
            .context("traits.phone", phone.as_deref())
            .context("ip", ip.as_deref())
            .context("userAgent", agent.as_deref());
    if let Some(meta) = item.envelope.at("meta")? {
        call.context.set("webhook", meta);
    }
    Ok((call, record.text("payload.data.relationships.profile.data.id")?))
}

/// What a flow's author has written, and Klaviyo's id of the profile: see the template above.
fn flow(item: &Item<'_>) -> Result<(Call, Option<String>)> {
    let mut rest = item.fields()?;
    let name = rest.take_text("event").or_else(|| rest.take_text("type"));
    let id = rest.take_text("id");
    let user = rest.take_text("external_id").or_else(|| rest.take_text("user_id"));
    let email = rest.take_text("email");
    let time = item.record.first_text(&["time", "timestamp"])?.and_then(|text| parse_time(&text));
    let mut properties = rest.take_fields("properties");
    properties.merge(rest, "flow_");
    let call = Call::track(name.unwrap_or_else(|| "Flow Webhook Received".to_owned())).id(id).at(time);
    Ok((call.properties(properties).person(user, email), item.record.text("profile_id")?))
}

#[cfg(test)]
mod tests {
    use headwater_core::event::map_delivery;

    use super::*;

    fn map(body: &'static str, webhook: &'static str) -> (Vec<String>, Vec<String>) {
        let now = "2026-11-01T00:00:00Z".parse().unwrap();
        let mut delivery = Delivery::fetched(now, body.into());
        delivery.headers.insert("klaviyo-webhook-id", webhook.parse().unwrap());
        let source = Klaviyo { secret_key: Secrets::None };
        let mapped = map_delivery("klaviyo", &source, &WEBHOOK.surfaces[0], &delivery);
        let name = |output: Output| match output {
            Output::Call(call) => call.name.unwrap_or_default(),
            Output::Change(change) => change.collection.to_string(),
        };
        let names = mapped.outputs.into_iter().map(|(_, output)| name(output)).collect();
        (names, mapped.rejected.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_delivery_of_another_webhook_is_refused() {
        const BODY: &str = r#"{"data":[{"external_id":"1","topic":"event:api.signed_up"}],"meta":{"klaviyo_webhook_id":"w1"}}"#;
        assert_eq!(map(BODY, "w1"), (vec!["Signed Up".to_owned()], vec![]));
        let (calls, rejected) = map(BODY, "w2");
        assert!(calls.is_empty() && rejected[0].contains("Klaviyo-Webhook-Id"), "{rejected:?}");
    }

    #[test]
    fn an_event_that_is_none_holds_back_no_other() {
        let (calls, rejected) =
            map(r#"{"data":[{"topic":7},{"topic":"event:klaviyo.opened_email"},[]]}"#, "w1");
        assert_eq!((calls, rejected.len()), (vec!["Email Opened".to_owned()], 2));
    }
}
