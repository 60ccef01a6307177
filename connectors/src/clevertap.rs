//! CleverTap: profiles that qualify for a webhook campaign, many in a delivery where it is a broadcast. CleverTap does
//! not say which event let them qualify, so that the campaign has to: the key-value pair `event` of its message is the
//! call's name, without it it is `Webhook Delivered`. The body as CleverTap writes it (method POST, JSON):
//!
//! ```json
//! {"targetId": 1234, "key_values": {"event": "Notification Clicked"},
//!  "profiles": [{"Identity": "user-1", "ObjectId": "…", "Email": "…", "ProfileData": {}, "Event_properties": {}}]}
//! ```

use headwater_core::prelude::*;

/// The registry's line.
pub const CONNECTOR: Connector =
    Connector::new("clevertap", "CleverTap", "push", "https://developer.clevertap.com/docs/webhooks")
        .settings::<CleverTap>()
        .events::<CleverTap>(&WEBHOOK)
        .spec(SPEC);

/// Settings of a CleverTap source.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CleverTap {
    /// What the webhook authenticates with: `user:password` for Basic, or `Name: value` for a header of its own; two
    /// while it is being changed, the newer first. CleverTap signs nothing: without it only the secret webhook key in
    /// the address lets a delivery in.
    #[serde(default)]
    token: Secrets,
}

static WEBHOOK: Webhook = Webhook {
    surfaces: &[Surface::json(
        "profiles",
        Signature::Optional {
            one: &Signature::CREDENTIALS,
            why: "CleverTap signs nothing, and credentials are a choice of the webhook's",
        },
    )],
    calls: CALLS,
};

const MAPPING: Mapping = Mapping {
    event: "envelope:key_values.event|'Webhook Delivered'",
    verbatim: true,
    // There is neither an id nor a time, and a profile may qualify again with nothing changed.
    time: "received:",
    user: "Identity",
    anonymous: "ObjectId",
    otherwise: "Email|Push_token|push_token",
    email: "Email",
    context: &[("device.token", "Push_token|push_token")],
    lift: &["Event_properties"],
    calls: CALLS,
    ..Mapping::NEW
};

impl EventSource for CleverTap {
    fn secrets(&self, _surface: &Surface) -> Vec<Secret> {
        self.token.all()
    }

    /// The delivery that proves the address while the webhook is being set up; its profiles are made up.
    fn handshake(&self, delivery: &Delivery) -> Option<Handshake> {
        let body = Record::parse(&delivery.body).ok()?;
        let is_test = body.text("is_test").ok()?.is_some_and(|test| test == "true");
        is_test.then_some(Handshake { reply: Reply::OK, then: None })
    }

    fn mapping(&self) -> Mapping<'_> {
        MAPPING
    }
}

/// What the webhook tells of every profile; what the campaign's event knows comes beside it.
const PROFILE: &str =
    "Email text, ObjectId text, ProfileData json, Push_token text, targetId int, key_values json";

const CALLS: &[CallType] = &[
    CallType::track("Webhook Delivered", PROFILE)
        .when("a profile qualified, and the campaign names no event"),
    CallType::track("", PROFILE).when("a profile qualified; the event is named in the campaign's key_values"),
];

/// What every event that CleverTap posts has.
const EVENT: &str = "`CT App Version` text, `CT SDK Version` text, `CT Source` text, `Campaign Id` text, \
    `Campaign name` text, `Campaign type` text, wzrk_pivot text, wzrk_c2a text, `Journey Id` text, `Campaign labels`";

const SPEC: &[CallType] = &[
    CallType::track("App Launched", EVENT).when("the app was launched"),
    CallType::track("App Installed", EVENT).when("the app was launched for the first time"),
    CallType::track("App Uninstalled", EVENT).when("the app was removed"),
    CallType::track("App Version Changed", EVENT).when("the app's version is another than the last"),
    CallType::track("Notification Sent", EVENT).when("a message was handed to its channel"),
    CallType::track("Notification Viewed", EVENT).when("an email, in-app or web message was seen"),
    CallType::track("Notification Clicked", EVENT).when("a push, in-app, email or web message was clicked"),
    CallType::track("Push Impressions", EVENT).when("a push was delivered to the device"),
    CallType::track("Notification Replied", EVENT).when("a user answered by WhatsApp"),
    CallType::track("Control Group", EVENT).when("a campaign with a control group was started"),
    CallType::track("Channel Unsubscribed", EVENT).when("a user left a channel"),
    CallType::track("Reply Sent", EVENT).when("an agent answered a user"),
    CallType::track("Webhook Delivered", EVENT).when("a webhook was delivered"),
    CallType::track("UTM Visited", EVENT).when("a link with UTM parameters was clicked"),
    CallType::track("AB Experiment Stopped", EVENT).when("an experiment was stopped"),
    CallType::track("AB Experiment Rolled Out", EVENT).when("an experiment was started"),
    CallType::track("AB Experiment Disqualified", EVENT).when("a device was disqualified from an experiment"),
    CallType::track("Geocluster Entered", EVENT).when("a geofence was entered"),
    CallType::track("Geocluster Exited", EVENT).when("a geofence was left"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_test_of_the_address_is_answered_and_not_stored() {
        let answered = |body: &'static str| {
            let delivery = Delivery::fetched(Timestamp::UNIX_EPOCH, body.into());
            CleverTap { token: Secrets::None }.handshake(&delivery).map(|handshake| handshake.reply)
        };
        let test =
            r#"{"is_test":true,"targetId":1234,"profiles":[{"Identity":"UserId","push_token":"Token"}]}"#;
        assert_eq!(answered(test), Some(Reply::OK));
        for body in [r#"{"is_test":false}"#, r#"{"targetId":1234}"#, "[]", ""] {
            assert_eq!(answered(body), None, "{body}");
        }
    }
}
