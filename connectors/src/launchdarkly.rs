//! LaunchDarkly: a webhook tells of every change of flags and settings, one audit log entry a delivery; who saw which
//! variation, its Data Export to Segment tells. Deliveries come in no order: each has its date.

use headwater_core::prelude::*;

/// The registry's line.
pub const CONNECTOR: Connector = Connector::new(
    "launchdarkly",
    "LaunchDarkly",
    "feature flags",
    "https://launchdarkly.com/docs/api/webhooks",
)
.settings::<LaunchDarkly>()
.events::<LaunchDarkly>(&WEBHOOK)
.spec(SPEC);

/// Settings of a LaunchDarkly source.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LaunchDarkly {
    /// The webhook's secret, if it has one; two while it is being changed, the newer first. LaunchDarkly signs only
    /// when a secret is set: without one only the secret webhook key in the address lets a delivery in.
    #[serde(default)]
    secret: Secrets,
}

static WEBHOOK: Webhook = Webhook {
    surfaces: &[Surface::json(
        "",
        Signature::Optional {
            one: &Signature::Hmac(Hmac::body(Place::Header(&["x-ld-signature"]))),
            why: "LaunchDarkly signs only the deliveries of webhooks that have a secret",
        },
    )],
    calls: CALLS,
};

const MAPPING: Mapping = Mapping {
    id: &["_id"],
    time: "date",
    user: "member._id",
    anonymous: "member.email|subject.name|token.name|_accountId|_id",
    email: "member.email",
    calls: CALLS,
    ..Mapping::NEW
};

impl EventSource for LaunchDarkly {
    fn secrets(&self, _surface: &Surface) -> Vec<Secret> {
        self.secret.all()
    }

    fn map(&self, item: &Item<'_>) -> Result<Vec<Output>> {
        let kind: String = item.record.get("kind")?;
        let mut listed = None;
        for access in item.record.parts("accesses")? {
            let action = access.text("action")?.unwrap_or_default();
            listed = listed.or_else(|| WEBHOOK.by_native(&format!("{kind}/{action}")));
        }
        let call = match listed.or_else(|| WEBHOOK.by_native(&format!("{kind}/*"))) {
            Some(listed) => listed.call(),
            None => Call::track(format!("{} Updated", title_case(&kind))),
        };
        Ok(vec![MAPPING.fill(item, call)?.into()])
    }
}

const SPEC: &[CallType] = &[
    CallType::track(
        "feature",
        "event text, environment text, project text, key text, value, flagVersion int, reasonKind text, \
         prereqOf text, default bool, variation int",
    )
    .when("a flag is evaluated; the key is the flag's"),
    CallType::track("click", "event text, environment text, project text, key text, url text, selector text")
        .when("somebody clicks what an experiment counts; the key is the goal's"),
    CallType::track("Page", "event text, environment text, project text, key text, url text")
        .when("a page is loaded that an experiment counts"),
    CallType::track("Custom", "event text, environment text, project text, key text")
        .when("an SDK sends an event of your own"),
];

const ENTRY: &str = "kind text, name text, description text, shortDescription text, comment text, accesses json, \
    member json, titleVerb text, title text, target json, _accountId text, _links json";

const CALLS: &[CallType] = &[
    CallType::track("Feature Flag Created", ENTRY).native("flag/createFlag").when("a flag is made"),
    CallType::track("Feature Flag Toggled", ENTRY).native("flag/updateOn").when("a flag is turned on or off"),
    CallType::track("Feature Flag Targets Updated", ENTRY)
        .native("flag/updateTargets")
        .when("individual targets of a flag change"),
    CallType::track("Feature Flag Deleted", ENTRY).native("flag/deleteFlag").when("a flag is deleted"),
    CallType::track("Feature Flag Updated", ENTRY).native("flag/*").when("anything else of a flag changes"),
    CallType::track("Project Updated", ENTRY)
        .native("project/*")
        .when("a project is made, changed or deleted"),
    CallType::track("Environment Updated", ENTRY)
        .native("environment/*")
        .when("an environment is made, changed or deleted"),
    CallType::track("Segment Updated", ENTRY)
        .native("segment/*")
        .when("a segment is made, changed or deleted"),
    CallType::track("Member Updated", ENTRY).native("member/*").when("a member is made, changed or deleted"),
    CallType::track("Metric Updated", ENTRY).native("metric/*").when("a metric is made, changed or deleted"),
    CallType::track("Experiment Updated", ENTRY)
        .native("experiment/*")
        .when("an experiment is made, changed or deleted"),
    CallType::track("Team Updated", ENTRY).native("team/*").when("a team is made, changed or deleted"),
];
