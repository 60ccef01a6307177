//! OneTrust: consent given or withdrawn, a call for each purpose. OneTrust's own Segment workflow posts Spec calls; an
//! HTTP step of another workflow on the event *Data Subject Profile Updated* (3010) posts what its template says. This
//! one, inside *Apply each* over `event.payload.profiles`, maps whole, as does the event itself with all its profiles:
//!
//! ```json
//! {"eventId": "${event.eventId}", "eventTime": "${event.eventTime}", "eventType": "3010",
//!  "payload": {"dataSubjectEmail": "${(event.payload.dataSubjectEmail)!}",
//!   "dataSubjectGuid": "${(event.payload.dataSubjectGuid)!}",
//!   "profiles": [{"purposeId": "${(step.applyEach_0.purposeId)!}",
//!    "purposeName": "${(step.applyEach_0.purposeName)!}",
//!    "profileFields": {"TransactionStatus": "${(step.applyEach_0.profileFields.TransactionStatus)!}"}}]}}
//! ```

use headwater_core::prelude::*;

/// The registry's line.
pub const CONNECTOR: Connector = Connector::new(
    "onetrust",
    "OneTrust",
    "other",
    "https://segment.com/docs/connections/sources/catalog/cloud-apps/onetrust/",
)
.settings::<OneTrust>()
.events::<OneTrust>(&WEBHOOK)
.spec(SPEC);

/// Settings of a OneTrust source.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OneTrust {
    /// What the workflow's HTTP step sends: `user:password` for Basic, the token for a bearer token, or `Name: value`
    /// for a header of its own; two while it is being changed, the newer first. OneTrust signs nothing: without it only
    /// the secret webhook key in the address lets a delivery in.
    #[serde(default)]
    token: Secrets,
}

static WEBHOOK: Webhook = Webhook {
    surfaces: &[Surface::json(
        "payload.profiles",
        Signature::Optional {
            one: &Signature::CREDENTIALS,
            why: "OneTrust signs nothing, and headers are a choice of the workflow's",
        },
    )],
    calls: CALLS,
};

const MAPPING: Mapping = Mapping {
    event: "envelope:eventType|'3010'",
    id: &["envelope:eventId", "purposeId", "collectionPointGuid"],
    time: "envelope:eventTime",
    user: "envelope:payload.dataSubjectEmail",
    anonymous: "envelope:payload.dataSubjectGuid",
    otherwise: "envelope:payload.contactFields.Email",
    email: "envelope:payload.dataSubjectEmail|envelope:payload.contactFields.Email",
    context: &[("locale", "envelope:payload.contactFields.Language|envelope:userDetails.locale")],
    names: &[("purposeId", "purposeID"), ("profileFields.TransactionStatus", "status")],
    calls: CALLS,
    ..Mapping::NEW
};

impl EventSource for OneTrust {
    fn secrets(&self, _surface: &Surface) -> Vec<Secret> {
        self.token.all()
    }

    fn map(&self, item: &Item<'_>) -> Result<Vec<Output>> {
        let mut call = MAPPING.call(item)?;
        let mut properties = std::mem::take(&mut call.properties);
        properties.merge(preferences(&item.record)?, "preference_");
        properties.clear_columns(&call, "preference_");
        Ok(vec![call.properties(properties).into()])
    }
}

/// Each preference of a purpose, as OneTrust's own workflow puts it: its name, and the options that were chosen.
fn preferences(profile: &Record) -> Result<Fields> {
    let mut out = Fields::default();
    let Some(list) = profile.at("customPreferences")? else { return Ok(out) };
    for preference in list.items()?.filter_map(Raw::record) {
        let (Some(name), Some(options)) = (preference.text("name")?, preference.at("options")?) else {
            continue;
        };
        let mut chosen = Vec::new();
        for option in options.items()?.filter_map(Raw::record) {
            if option.text("value")?.as_deref() == Some("true") {
                chosen.extend(option.text("name")?);
            }
        }
        out.set(name, Raw::string(&chosen.join(", ")));
    }
    Ok(out)
}

const CALLS: &[CallType] = &[CallType::track(
    "Consent Updated",
    "purposeID text, purposeName text, status text, collectionPointGuid text, collectionPointVersion numeric, \
     topics json, customPreferences json, profileFields json, payload json, eventId text, eventTime time, eventType text, \
     userDetails json, messageKey text, messageSequenceNumber int",
)
.native("3010")
.when("consent to a purpose was given or withdrawn")];

const SPEC: &[CallType] = &[CallType::track(
    "Consent Updated",
    "`Purpose ID` text, `Purpose Name` text, Status text, purposeID text, purposeName text, status text",
)
.when(
    "consent to a purpose was given or withdrawn; the shipped workflow spells the properties in lower case",
)];
