//! Statsig: who saw which gate, config and experiment, every logged event, and what was changed in the console.
//! Batches: an array of events, or changes in `data`.

use headwater_core::prelude::*;

/// The registry's line.
pub const CONNECTOR: Connector = Connector::new(
    "statsig",
    "Statsig",
    "feature flags",
    "https://docs.statsig.com/integrations/event_webhook",
)
.settings::<Statsig>()
.events::<Statsig>(&WEBHOOK)
.spec(SPEC);

/// Settings of a Statsig source.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Statsig {
    /// The signing secret on the card of the Generic Webhook integration; two while it is being changed, the newer
    /// first.
    #[serde(default)]
    signing_secret: Secrets,
}

static WEBHOOK: Webhook = Webhook {
    surfaces: &[Surface::json(
        "data|",
        Signature::Hmac(Hmac {
            grammar: Grammar::Plain("v0="),
            over: &[Part::Text("v0:"), Part::Stamp, Part::Text(":"), Part::Body],
            stamp: Some(Stamp::header(&["x-statsig-request-timestamp"], StampFormat::UnixMillis)),
            ..Hmac::body(Place::Header(&["x-statsig-signature"]))
        }),
    )],
    calls: CALLS,
};

const MAPPING: Mapping = Mapping {
    event: "eventName",
    id: &["timeUUID"],
    time: "timestamp",
    user: "userID|user.userID",
    anonymous: "statsigMetadata.stableID|user.customIDs.stableID|user.customIDs.*|user.email|user.name|timeUUID",
    email: "user.email",
    context: &[
        ("ip", "user.ip"),
        ("userAgent", "user.userAgent"),
        ("locale", "user.locale"),
        ("app.version", "user.appVersion"),
    ],
    calls: CALLS,
    ..Mapping::NEW
};

impl EventSource for Statsig {
    fn secrets(&self, _surface: &Surface) -> Vec<Secret> {
        self.signing_secret.all()
    }

    fn map(&self, item: &Item<'_>) -> Result<Vec<Output>> {
        let mut call = MAPPING.call(item)?;
        // Statsig's Segment calls have its own names of events, also those that customers gave.
        call.name = item.record.text("eventName")?;
        // What stands in for a person's id is needed only where there is none.
        if call.user_id.is_some() {
            call.anonymous_id =
                item.record.first_text(&["statsigMetadata.stableID", "user.customIDs.stableID"])?;
        }
        Ok(vec![call.into()])
    }
}

const SPEC: &[CallType] = &[
    CallType::track("statsig::config_exposure", "metadata json, value text")
        .when("a dynamic config is shown"),
    CallType::track("statsig::experiment_exposure", "metadata json, value text")
        .when("an experiment is shown"),
    CallType::track("statsig::gate_exposure", "metadata json, value text").when("a gate is checked"),
    CallType::track("custom_event", "metadata json, value text")
        .when("any other event is logged; it has its own name instead of this one"),
    CallType::track("statsig::config_change", "author, configName, description, environment")
        .when("something is changed in the console"),
];

const EXPOSURE: &str = "metadata json, value text, user json, statsigMetadata json, unitID text";

const CALLS: &[CallType] = &[
    CallType::track("statsig::config_exposure", EXPOSURE)
        .native("statsig::config_exposure")
        .when("a dynamic config is shown"),
    CallType::track("statsig::experiment_exposure", EXPOSURE)
        .native("statsig::experiment_exposure")
        .when("an experiment is shown"),
    CallType::track("statsig::gate_exposure", EXPOSURE)
        .native("statsig::gate_exposure")
        .when("a gate is checked"),
    CallType::track("statsig::config_change", "metadata json, user json")
        .native("statsig::config_change")
        .when("something is changed in the console"),
];
