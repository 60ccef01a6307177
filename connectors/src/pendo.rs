//! Pendo: guides, polls and NPS surveys shown and answered, track events, new visitors and accounts; one signed event a
//! delivery. What an answer looks like inside `properties`, nobody outside Pendo has written down; it stays as it comes.

use headwater_core::prelude::*;

/// The registry's line.
pub const CONNECTOR: Connector = Connector::new(
    "pendo",
    "Pendo",
    "analytics",
    "https://support.pendo.io/hc/en-us/articles/360032285012-Webhooks",
)
.settings::<Pendo>()
.events::<Pendo>(&WEBHOOK)
.spec(SPEC);

/// Settings of a Pendo source.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pendo {
    /// The webhook's shared secret; two while it is being changed, the newer first.
    #[serde(default)]
    webhook_secret: Secrets,
}

const SIGNED: Hmac = Hmac::body(Place::Header(&["x-pendo-signature"]));

static WEBHOOK: Webhook = Webhook {
    surfaces: &[Surface {
        path: "",
        // Pendo does not say how it writes the digest.
        signature: Signature::Any(&[
            Signature::Hmac(SIGNED),
            Signature::Hmac(Hmac { encoding: Encoding::Base64, ..SIGNED }),
        ]),
        items: Items::Json(""),
    }],
    calls: CALLS,
};

const MAPPING: Mapping = Mapping {
    event: "event",
    verbatim: true,
    id: &["uniqueId"],
    time: "timestamp",
    user: "visitorId",
    otherwise: "accountId|uniqueId",
    group: "accountId",
    context: &[
        ("userAgent", "userAgent"),
        ("locale", "properties.language"),
        ("app.name", "app.name"),
        ("page.url", "properties.url"),
    ],
    lift: &["properties"],
    calls: CALLS,
    ..Mapping::NEW
};

impl EventSource for Pendo {
    fn secrets(&self, _surface: &Surface) -> Vec<Secret> {
        self.webhook_secret.all()
    }

    fn mapping(&self) -> Mapping<'_> {
        MAPPING
    }
}

const GUIDE: &str = "guideId text, guideStepId text, guideProperties json, language text, accountId text, \
    visitorId text, userAgent text, app json, subscription json";
const PLAIN: &str = "accountId text, visitorId text, userAgent text, app json, subscription json";

const CALLS: &[CallType] = &[
    CallType::track("guideDisplayed", GUIDE).native("guideDisplayed").when("a guide was shown"),
    CallType::track("pollDisplayed", GUIDE).native("pollDisplayed").when("a poll was shown"),
    CallType::track("pollSubmitted", GUIDE).native("pollSubmitted").when("a poll was answered"),
    CallType::track("npsDisplayed", GUIDE).native("npsDisplayed").when("an NPS survey was shown"),
    CallType::track("npsSubmitted", GUIDE).native("npsSubmitted").when("an NPS survey was answered"),
    CallType::track("trackEventReceived", PLAIN)
        .native("trackEventReceived")
        .when("a track event arrived at Pendo"),
    CallType::track("visitorCreated", PLAIN)
        .native("visitorCreated")
        .when("a visitor was seen for the first time"),
    CallType::track("accountCreated", PLAIN)
        .native("accountCreated")
        .when("an account was seen for the first time"),
];

const SPEC: &[CallType] = &[
    CallType::track("accountCreated", "").when("an account was seen for the first time"),
    CallType::track("guideDisplayed", "").when("a guide was shown"),
    CallType::track("npsDisplayed", "").when("an NPS survey was shown"),
    CallType::track("npsSubmitted", "").when("an NPS survey was answered"),
    CallType::track("pollDisplayed", "").when("a poll was shown"),
    CallType::track("pollSubmitted", "").when("a poll was answered"),
    CallType::track("trackEventReceived", "").when("a track event arrived at Pendo"),
    CallType::track("visitorCreated", "").when("a visitor was seen for the first time"),
];
