//! Bluedot (Rezolve): geofences that an app's users enter and leave, estimated arrivals (Tempo), orders and their
//! customers on the way (Wave, Hello Order). One event a delivery, in any version of the payload.
//!
//! The person is the `segment_userId` that the app puts into its custom event metadata at every start of the SDK, else
//! the installation.

mod calls;

use headwater_core::prelude::*;

/// The registry's line.
pub const CONNECTOR: Connector =
    Connector::new("bluedot", "Bluedot", "location", "https://docs.bluedot.io/webhooks/overview/")
        .settings::<Bluedot>()
        .events::<Bluedot>(&WEBHOOK)
        .spec(calls::SPEC);

/// Settings of a Bluedot source.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Bluedot {
    /// A header field with a token that the webhooks were given in Canvas, as `Name: value`; two while it is being
    /// changed, the newer first. Without it only the secret webhook key in the address lets a delivery in.
    #[serde(default)]
    header: Secrets,
}

static WEBHOOK: Webhook = Webhook {
    surfaces: &[Surface::json(
        "",
        Signature::Optional {
            one: &Signature::Token { at: Place::CustomHeader, prefix: "" },
            why: "Bluedot signs nothing; a header field with a token is a choice of the webhook's",
        },
    )],
    calls: calls::CALLS,
};

const MAPPING: Mapping = Mapping {
    // Parts of an id: a record of Wave, an order or a check-in has several events.
    id: &[
        "webhookUniqueId|ulid|notificationId|checkInId",
        "type|customEventMetaData.eventType|eventType",
        "status",
        "lastUpdateTime",
    ],
    time: "eventTime|checkOutTimeISO|checkInTimeISO|lastUpdateTime",
    user: "customEventMetaData.segment_userId|eventMetaData.segment_userId",
    anonymous: "installRef|orderId|notificationId|projectId",
    context: &[
        ("app.version", "appBuildVersion"),
        ("app.namespace", "customerApplicationId"),
        ("device.model", "deviceType"),
        ("os.name", "os"),
        ("os.version", "osVersion"),
    ],
    names: &[("zoneInfo.id", "zoneId"), ("zoneInfo.name", "zoneName")],
    calls: calls::CALLS,
    ..Mapping::NEW
};

impl EventSource for Bluedot {
    fn secrets(&self, _surface: &Surface) -> Vec<Secret> {
        self.header.all()
    }

    fn map(&self, item: &Item<'_>) -> Result<Vec<Output>> {
        let record = flat(&item.record)?.record();
        let kind: String = match record.text("notificationType")? {
            Some(kind) => kind,
            None => record.get("type")?,
        };
        let event = record.first_text(&["customEventMetaData.eventType", "eventType"])?;
        let native = match (kind.as_str(), &event) {
            ("tempo" | "wave", Some(event)) => event,
            _ => &kind,
        };
        let call = match (WEBHOOK.by_native(native), kind.as_str()) {
            (Some(_), "helloOrder") => {
                let status = record.text("status")?.unwrap_or_default();
                Call::track(format!("Hello Order {}", title_case(&status)).trim_end())
            }
            (Some(listed), _) => listed.call(),
            (None, "wave") => Call::track(format!("Custom Web Event: {native}")),
            (None, _) => Call::track(title_case(native)),
        };
        Ok(vec![MAPPING.fill(&item.with(&record), call)?.into()])
    }
}

/// An event of the nested payload (versions 2.x) as the flat one has it: the trigger that it is about, the app, the
/// device and the place become members of its own. Triggers that led to it stay in `triggerEvents`.
fn flat(body: &Record) -> Result<Fields> {
    let mut around = body.fields()?;
    let mut event = around.take_fields("payload");
    event.merge(around, "webhook_");
    let wanted = match body.text("payload.notificationType")?.as_deref() {
        Some("entry") => "fenceEntered",
        Some("exit") => "fenceExited",
        _ => "dwell",
    };
    let mut triggers = event.record().parts("triggerEvents")?;
    let about = triggers
        .iter()
        .rposition(|trigger| trigger.text("eventType").ok().flatten().as_deref() == Some(wanted))
        .or(triggers.len().checked_sub(1));
    if let Some(about) = about {
        let trigger = triggers.remove(about).fields()?;
        match triggers.is_empty() {
            true => drop(event.take("triggerEvents")),
            false => event.set("triggerEvents", Raw::new(&triggers)?),
        }
        event.merge(trigger, "trigger_");
    }
    for (name, prefix) in [("appInfo", "app_"), ("deviceInfo", "device_"), ("applicationState", "app_")] {
        let inner = event.take_fields(name);
        event.merge(inner, prefix);
    }
    if let [place] = &event.record().parts("locations")?[..] {
        event.take("locations");
        event.merge(place.fields()?, "location_");
    }
    Ok(event)
}
