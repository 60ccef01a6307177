//! Amplitude Engage (Cohorts): who has entered and who has left a cohort; each becomes an identify call whose trait
//! `[Amplitude] <cohort> (<id>)` is true or false.
//!
//! The cohort webhook's body is a FreeMarker template. This one is mapped whole, and so is one whose users have more
//! members, such as `"amplitude_id": "${user.amplitude_id}"` or properties of theirs:
//!
//! ```json
//! {"cohort_name": "${input.cohort_name}", "cohort_id": "${input.cohort_id}", "in_cohort": ${input.in_cohort?c},
//!  "computed_time": "${input.computed_time}", "message_id": "${input.message_id}",
//!  "users": [<#list input.users as user>{"user_id": "${user.user_id}"}<#sep>,</#list>]}
//! ```

use headwater_core::prelude::*;

/// The registry's line.
pub const CONNECTOR: Connector = Connector::new(
    "amplitude-cohorts",
    "Amplitude Engage (Cohorts)",
    "cohorts",
    "https://amplitude.com/docs/data/destination-catalog/cohort-webhooks",
)
.settings::<AmplitudeCohorts>()
.events::<AmplitudeCohorts>(&WEBHOOK)
.spec(CALLS);

/// Settings of an Amplitude Cohorts source.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AmplitudeCohorts {
    /// A header of your choice that the webhook was given, as `Name: value`; two while it is being changed, the newer
    /// first. Without it only the secret webhook key in the address lets a delivery in.
    #[serde(default)]
    header: Secrets,
}

static WEBHOOK: Webhook = Webhook {
    surfaces: &[Surface::json(
        "users",
        Signature::Optional {
            one: &Signature::Token { at: Place::CustomHeader, prefix: "" },
            why: "Amplitude signs nothing; a header with a token is a choice of the webhook's",
        },
    )],
    calls: CALLS,
};

const MAPPING: Mapping = Mapping {
    id: &["envelope:message_id", "user_id|amplitude_id"],
    time: "envelope:computed_time",
    user: "user_id",
    anonymous: "amplitude_id|device_id",
    email: "email",
    context: &[("integration.name", "'Amplitude Cohort Sync'"), ("integration.version", "'1.0.0'")],
    around: "amplitude",
    calls: CALLS,
    ..Mapping::NEW
};

impl EventSource for AmplitudeCohorts {
    fn secrets(&self, _surface: &Surface) -> Vec<Secret> {
        self.header.all()
    }

    fn map(&self, item: &Item<'_>) -> Result<Vec<Output>> {
        let of = |path: &str| item.envelope.get::<String>(path);
        let is_member = item.envelope.text("in_cohort")?.and_then(|text| text.parse::<bool>().ok());
        let neither =
            || Error::unexpected("in_cohort is neither true nor false: see the template in the docs");
        let is_member = is_member.ok_or_else(neither)?;
        let name = format!("[Amplitude] {} ({})", of("cohort_name")?, of("cohort_id")?);
        let mut call = MAPPING.fill(item, Call::identify())?;
        call.properties.set(name, Raw::new(&is_member)?);
        Ok(vec![call.into()])
    }
}

const CALLS: &[CallType] =
    &[CallType::new(CallKind::Identify, "", "`[Amplitude] <cohort name> (<cohort id>)` bool").when(
        "at the first sync for each member (true), later for who has entered (true) and who has left (false)",
    )];
