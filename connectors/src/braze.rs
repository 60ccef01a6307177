//! Braze: what Currents' custom HTTP connector posts, up to 100 events a delivery.

mod calls;

use headwater_core::{event::title_case, prelude::*};

/// The registry's line.
pub const CONNECTOR: Connector = Connector::new(
    "braze",
    "Braze",
    "email",
    "https://www.braze.com/docs/user_guide/data/distribution/braze_currents/setting_up_currents/custom_http_connector",
)
.settings::<Braze>()
.events::<Braze>(&WEBHOOK)
.spec(calls::CALLS);

/// Settings of a Braze source.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Braze {
    /// The bearer token that was given when the Current was made; two while it is being changed, the newer first.
    /// Braze signs nothing: without a token only the secret webhook key in the address lets a delivery in.
    #[serde(default)]
    token: Secrets,
}

static WEBHOOK: Webhook = Webhook {
    surfaces: &[Surface {
        path: "",
        signature: Signature::Optional {
            one: &Signature::BEARER,
            why: "Braze signs nothing, and its bearer token is a choice of the Current's",
        },
        // Some deliveries are that object as the only item of an array.
        items: Items::Json("events|0.events"),
    }],
    calls: calls::CALLS,
};

/// Where the properties that a call names have another name in some of the vendor's schemas.
const NAMES: [(&str, &str); 2] = [("url", "link_url"), ("content_card_id", "card_id")];

impl EventSource for Braze {
    fn secrets(&self, _surface: &Surface) -> Vec<Secret> {
        self.token.all()
    }

    fn map(&self, item: &Item<'_>) -> Result<Vec<Output>> {
        let event = &item.record;
        let native: String = event.get("event_type")?;
        let mut rest = item.fields()?;
        let mut properties = rest.take_fields("properties");
        let mut user = rest.take_fields("user");
        for (theirs, ours) in NAMES {
            properties.rename(theirs, ours);
        }
        let device = user.take_text("device_id");
        let email = event.text("properties.email_address")?;
        let phone = event.first_text(&["properties.to_phone_number", "properties.user_phone_number"])?;
        let anonymous = user
            .take_text("user_id")
            .or_else(|| device.clone())
            .or_else(|| phone.clone())
            .or_else(|| email.clone());
        let call = Call::track(name(&native))
            .id(rest.take_text("id"))
            .at(event.time("time")?)
            .user(user.take_text("external_user_id"))
            .anonymous(anonymous)
            .context("traits.email", email.as_deref())
            .context("traits.phone", phone.as_deref())
            .context("device.id", device.as_deref())
            .context("device.model", event.text("properties.device_model")?.as_deref())
            .context("timezone", user.take_text("timezone").as_deref())
            .context("userAgent", event.text("properties.user_agent")?.as_deref());
        rest.take("time");
        properties.merge(user, "user_");
        properties.merge(rest, "event_");
        Ok(vec![call.properties(properties).into()])
    }
}

/// The Segment export's name of an event, else its own in title case: `users.messages.email.Deferral` is
/// `Email Deferral`.
fn name(native: &str) -> String {
    if let Some(call) = WEBHOOK.by_native(native) {
        return call.name.to_owned();
    }
    // Every channel has its own, and the export one name for them all (but WhatsApp's, which is known).
    if native.to_ascii_lowercase().ends_with(".abort") {
        return "Abort Message Events".to_owned();
    }
    let bare =
        ["users.messages.", "users.behaviors.", "users."].iter().find_map(|start| native.strip_prefix(start));
    title_case(bare.unwrap_or(native))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_has_a_name() {
        for (native, expected) in [
            ("users.messages.email.Click", "Email Link Clicked"),
            ("users.canvas.exit.MatchedAudience", "Canvas Exited"),
            ("users.messages.canvas.ExitPerformEvent", "Canvas Exited"),
            ("users.messages.sms.abort", "Abort Message Events"),
            ("users.messages.whatsapp.Abort", "WhatsApp Abort"),
            ("users.messages.email.Deferral", "Email Deferral"),
            ("users.behaviors.app.SessionStart", "App Session Start"),
            ("something.New", "Something New"),
        ] {
            assert_eq!(name(native), expected, "{native}");
        }
    }
}
