//! Delighted: answers to its surveys, signed, one event a delivery; and the Spec call that its Segment integration
//! posts with a write key, for surveys that a Segment event set off.

use headwater_core::prelude::*;

/// The registry's line.
pub const CONNECTOR: Connector =
    Connector::new("delighted", "Delighted", "survey", "https://app.delighted.com/docs/api/webhooks")
        .settings::<Delighted>()
        .events::<Delighted>(&WEBHOOK)
        .spec(SPEC);

/// Settings of a Delighted source.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Delighted {
    /// The project's private API key, which signs its webhooks; two while it is being changed, the newer first.
    #[serde(default)]
    api_key: Secrets,
    /// The property that you give people with your own id of them. Left out: `user_id` or `userId`.
    user_id_property: Option<String>,
}

static WEBHOOK: Webhook = Webhook {
    surfaces: &[Surface::json(
        "",
        Signature::Hmac(Hmac {
            grammar: Grammar::Plain("sha256="),
            ..Hmac::body(Place::Header(&["X-Delighted-Webhook-Signature"]))
        }),
    )],
    calls: CALLS,
};

const MAPPING: Mapping = Mapping {
    event: "event_type",
    id: &["event_id"],
    time: "event_data.updated_at|event_data.created_at",
    user: "event_data.person_properties.user_id|event_data.person_properties.userId",
    anonymous: "event_data.person_properties.anonymous_id|event_data.person.id|event_data.person_id\
        |event_data.person.email|event_data.email",
    email: "event_data.person.email|event_data.email",
    context: &[
        ("traits.delighted_person_id", "event_data.person.id|event_data.person_id"),
        ("traits.phone", "event_data.person.phone_number"),
    ],
    names: &[
        ("event_data.id", "response_id"),
        ("event_data.permalink", "survey_permalink"),
        ("event_data.tags", "survey_tags"),
        ("event_data.notes", "survey_notes"),
        ("event_data.person_properties", "survey_properties"),
    ],
    lift: &["event_data"],
    calls: CALLS,
    ..Mapping::NEW
};

impl EventSource for Delighted {
    fn secrets(&self, _surface: &Surface) -> Vec<Secret> {
        self.api_key.all()
    }

    fn map(&self, item: &Item<'_>) -> Result<Vec<Output>> {
        let chosen =
            self.user_id_property.as_ref().map(|name| format!("event_data.person_properties.{name}"));
        let user = chosen.as_deref().unwrap_or(MAPPING.user);
        Ok(vec![Mapping { user, ..MAPPING }.call(item)?.into()])
    }
}

const CALLS: &[CallType] = &[
    CallType::track(
        "Survey Question Answered",
        "response_id text, survey_type text, score int, comment text, survey_permalink text, survey_tags json, \
         survey_notes json, survey_properties json, additional_answers json, person json, created_at int, \
         context.traits.email text, context.traits.delighted_person_id text",
    )
    .native("survey_response.created|survey_response.updated")
    .when("a person gives a score, or changes it or the comment"),
    CallType::track("Unsubscribed", "person_id text, context.traits.delighted_person_id text")
        .native("unsubscribe.created|survey_response.unsubscribed")
        .when("a person leaves the surveys"),
    CallType::track("Email Bounced", "person json, context.traits.email text")
        .native("survey_response.bounced")
        .when("a survey's email was refused"),
];

const SPEC: &[CallType] = &[CallType::track(
    "Survey Question Answered",
    "survey_id text, survey_name text, survey_type text, survey_medium text, survey_tool text, survey_question_id text, \
     survey_question_name text, survey_question_text text, survey_permalink text, survey_tags json, survey_notes json, \
     survey_properties json, context.traits.email text, context.traits.delighted_person_id text",
)
.when("a question of a survey is answered that a Segment event set off")];
