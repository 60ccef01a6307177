//! Refiner: surveys inside products. A completed survey is a track call, the answers as traits of the person, and the
//! account's attributes where there is an account; one event a delivery. A webhook may carry a secret token, and nobody
//! outside Refiner has written down where: look at a first delivery, and set it then.

use headwater_core::prelude::*;

/// The registry's line.
pub const CONNECTOR: Connector =
    Connector::new("refiner", "Refiner", "survey", "https://refiner.io/docs/kb/integrations/webhooks/")
        .settings::<Refiner>()
        .events::<Refiner>(&WEBHOOK)
        .spec(SPEC);

/// Settings of a Refiner source.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Refiner {
    /// The webhook's secret token, as its deliveries carry it: the token for a bearer token, `user:password` for Basic,
    /// `Name: value` for a header of its own; two while it is being changed, the newer first. Without it only the secret
    /// webhook key in the address lets a delivery in.
    #[serde(default)]
    secret_token: Secrets,
}

static WEBHOOK: Webhook = Webhook {
    surfaces: &[Surface::json(
        "",
        Signature::Optional {
            one: &Signature::CREDENTIALS,
            why: "Refiner signs nothing, and sends a secret token only if the webhook has one",
        },
    )],
    calls: CALLS,
};

const MAPPING: Mapping = Mapping {
    event: "triggered_event",
    // A survey that is answered once more keeps its response.
    id: &["response.uuid", "triggered_event", "response.received_at"],
    time: "response.received_at",
    user: "remote_id",
    anonymous: "uuid|cookie_uuid",
    email: "email",
    group: "account.remote_id",
    context: &[("traits.name", "display_name")],
    names: &[("response.uuid", "response_uuid"), ("form.uuid", "form_uuid"), ("form.name", "form_name")],
    lift: &["response"],
    calls: CALLS,
    ..Mapping::NEW
};

impl EventSource for Refiner {
    fn secrets(&self, _surface: &Surface) -> Vec<Secret> {
        self.secret_token.all()
    }

    fn map(&self, item: &Item<'_>) -> Result<Vec<Output>> {
        let mut out = vec![MAPPING.call(item)?.into()];
        if item.record.text("response.uuid")?.is_none() {
            return Ok(out);
        }
        let mut traits = prefixed(item, "response.data")?;
        traits.set_text("refiner_email", item.record.text("email")?.as_deref());
        out.push(MAPPING.fill(item, Call::identify())?.properties(traits).into());
        if let Some(account) = item.record.text("account.remote_id")? {
            let traits = prefixed(item, "account.attributes")?;
            out.push(MAPPING.fill(item, Call::group(account))?.properties(traits).into());
        }
        Ok(out)
    }
}

/// The members of the object at `path` that have a value, named as Refiner names traits at Segment.
fn prefixed(item: &Item<'_>, path: &str) -> Result<Fields> {
    // Where there are none, this is an empty array.
    let filled = item.tree()?.take_fields(path)?.into_iter().filter(|(_, value)| !value.is_null());
    Ok(filled.map(|(name, value)| (format!("refiner_{name}"), value)).collect())
}

const PERSON: &str = "uuid text, project_uuid text, remote_id text, email text, display_name text, \
    first_seen_at time, last_seen_at time, attributes json, segments json, account json";

const CALLS: &[CallType] = &[
    CallType::track(
        "Survey Completed",
        "form_uuid text, form_name text, response_uuid text, data json, tags json, first_shown_at time, \
         last_shown_at time, show_counter int, first_data_reception_at time, last_data_reception_at time, \
         completed_at time, dismissed_at time, received_at time, uuid text, cookie_uuid text, project_uuid text, \
         remote_id text, email text, display_name text, first_seen_at time, last_seen_at time, attributes json, \
         segments json, account json",
    )
    .native("Completed Survey")
    .when("a survey is completed"),
    CallType::track("Segment Entered", PERSON).native("Entered Segment").when("a user enters a segment"),
    CallType::new(CallKind::Identify, "", "refiner_email text").when(
        "a survey is completed: the person's answers, each as refiner_ and the question's name",
    ),
    CallType::new(CallKind::Group, "", "refiner_name text").when(
        "a survey is completed by somebody of an account: its attributes, each as refiner_ and its name",
    ),
];

/// What Refiner posts itself with a write key.
const SPEC: &[CallType] = &[
    CallType::new(CallKind::Identify, "", "refiner_email text").when(
        "a survey is completed: the person's answers, each as refiner_ and the question's name or yours for it",
    ),
    CallType::new(CallKind::Group, "", "refiner_name text")
        .when("after each identify, what belongs to the account, each as refiner_ and its name"),
];
