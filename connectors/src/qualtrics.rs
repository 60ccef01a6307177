//! Qualtrics: events of surveys and 360 projects, one form a delivery. An event says that there is a response, not
//! what was answered.
//!
//! A subscription (`POST /API/v3/eventsubscriptions/`) that is made with a `sharedKey` and without `encrypt` is signed:
//! its events stand as JSON in the form field `MSG`, and `HMAC` proves that field. Without a key they are the form's own
//! fields. `CompletedDate` names no zone and is read as UTC. Qualtrics' own Segment task posts with the write key.

use headwater_core::prelude::*;

/// The registry's line.
pub const CONNECTOR: Connector =
    Connector::new("qualtrics", "Qualtrics", "survey", "https://api.qualtrics.com/docs/webhooks")
        .settings::<Qualtrics>()
        .events::<Qualtrics>(&WEBHOOK)
        .spec(SPEC);

/// Settings of a Qualtrics source.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Qualtrics {
    /// The `sharedKey` that the event subscription was made with; two while it is being changed, the newer first.
    /// Without one only the secret webhook key in the address lets a delivery in.
    #[serde(default)]
    shared_key: Secrets,
}

static WEBHOOK: Webhook = Webhook {
    surfaces: &[Surface {
        path: "",
        signature: Signature::Optional {
            one: &Signature::Hmac(Hmac {
                hash: Hash::Sha512,
                over: &[Part::FormField("MSG")],
                ..Hmac::body(Place::Form("HMAC"))
            }),
            why: "Qualtrics signs only what was subscribed to with a shared key",
        },
        items: Items::Form,
    }],
    calls: CALLS,
};

const MAPPING: Mapping = Mapping {
    id: &["ResponseID", "Topic"],
    time: "CompletedDate",
    otherwise: "RecipientID|ResponseID|SurveyID|BrandID|Topic",
    calls: CALLS,
    ..Mapping::NEW
};

impl EventSource for Qualtrics {
    fn secrets(&self, _surface: &Surface) -> Vec<Secret> {
        self.shared_key.all()
    }

    /// Qualtrics may look at an address before it posts there.
    fn handshake(&self, delivery: &Delivery) -> Option<Handshake> {
        (delivery.method == "GET").then_some(Handshake { reply: Reply::OK, then: None })
    }

    fn map(&self, item: &Item<'_>) -> Result<Vec<Output>> {
        let mut form = item.fields()?;
        form.take("HMAC");
        let fields = match form.take_text("MSG") {
            Some(message) => {
                let mut signed = Record::parse(&message.into())?.fields()?;
                signed.merge(form, "form_");
                signed
            }
            None => form,
        };
        let record = fields.record();
        let topic: String = record.get("Topic")?;
        // Before the event's name stands the brand, behind it the survey: `acme.surveyengine.completedResponse.SV_1`.
        let event = topic.split_once('.').map_or(&*topic, |(_, event)| event);
        let event = event.split(".SV_").next().unwrap_or(event);
        let call = WEBHOOK.by_native(event).map_or_else(|| Call::track(title_case(event)), CallType::call);
        Ok(vec![MAPPING.fill(&item.with(&record), call)?.into()])
    }
}

const CALLS: &[CallType] = &[
    CallType::track(
        "Survey Completed",
        "Topic text, Status text, SurveyID text, ResponseID text, RecipientID text, ResponseEventContext text, \
         DistributionID text, BrandID text",
    )
    .native("surveyengine.completedResponse")
    .when("a response to a survey was completed"),
    CallType::track("Survey Activated", "Topic text")
        .native("controlpanel.activateSurvey")
        .when("a survey was opened for responses"),
    CallType::track("Survey Deactivated", "Topic text")
        .native("controlpanel.deactivateSurvey")
        .when("a survey was closed"),
    CallType::track("360 Project Created", "Topic text")
        .native("threesixty.created")
        .when("a 360 project was made"),
    CallType::track("360 Project Status Changed", "Topic text")
        .native("threesixty.statusChanged")
        .when("a 360 project has another status"),
    CallType::track("360 Person Status Changed", "Topic text")
        .native("threesixty.person.statusChanged")
        .when("a participant of a 360 project has another status"),
    CallType::track("Nomination Created", "Topic text")
        .native("threesixty.nominationCreated")
        .when("an evaluator was nominated"),
    CallType::track("Nomination Removed", "Topic text")
        .native("threesixty.nominationRemoved")
        .when("a nomination was taken back"),
    CallType::track("Evaluation Status Changed", "Topic text")
        .native("threesixty.evaluationStatusChanged")
        .when("an evaluation has another status"),
    CallType::track("Report Ready", "Topic text")
        .native("threesixty.reportReady")
        .when("a report can be fetched"),
];

const SPEC: &[CallType] = &[
    CallType::track("", "")
        .when("a workflow with a Segment task has run; its author chooses name and properties"),
    CallType::new(CallKind::Identify, "", "")
        .when("a workflow with a Segment task has run; its author chooses the traits"),
];

#[cfg(test)]
mod tests {
    use headwater_core::event::map_delivery;

    use super::*;

    #[test]
    fn without_a_key_the_fields_are_the_form_s_own() {
        const FORM: &str = "Topic=acme.surveyengine.completedResponse.SV_1&Status=Complete&SurveyID=SV_1&\
                            ResponseID=R_1&RecipientID=&CompletedDate=2026-10-30+08%3A15%3A00&BrandID=acme";
        let source = Qualtrics { shared_key: Secrets::None };
        let delivery = Delivery::fetched("2026-11-01T00:00:00Z".parse().unwrap(), FORM.into());
        let surface = &WEBHOOK.surfaces[0];
        assert!(surface.signature.verify(&delivery, &[], delivery.received_at).is_ok());
        let mapped = map_delivery("qualtrics", &source, surface, &delivery);
        let Output::Call(call) = &mapped.outputs[0].1 else { panic!("no call") };
        assert_eq!(call.message_id, "qualtrics:R_1:acme.surveyengine.completedResponse.SV_1");
        assert_eq!(
            (call.name.as_deref(), call.anonymous_id.as_deref()),
            (Some("Survey Completed"), Some("R_1"))
        );
        assert_eq!(call.timestamp, "2026-10-30T08:15:00Z".parse().ok());
    }

    /// The vector of a public receiver's own test.
    #[test]
    fn the_published_vector_is_taken() {
        const MSG: &str = r#"{"Status":"Complete","SurveyID":"SV_1AmkKSDmoZ4XlQx","ResponseID":"R_0B7IcnXszjEUHLP","CompletedDate":"2019-06-25 07:58:25","BrandID":"sapdevelopment"}"#;
        const HMAC: &str = "c2c585a404c239aa3063b462cc33551d3ed3ed2de0899f58d456fc0ef7ebef6f3c3af44957989bd0592603e41edde9528f7d9ed09ee128bf719aa12f46e5c598";
        let now = "2026-11-01T00:00:00Z".parse().unwrap();
        let verify = |message: &str, key: &str| {
            let form = format!("HMAC={HMAC}&MSG={}&Topic=a.b", message.replace(' ', "+"));
            let delivery = Delivery::fetched(now, form.into());
            WEBHOOK.surfaces[0].signature.verify(&delivery, &[Secret::new(key)], now).is_ok()
        };
        assert!(verify(MSG, "kyma4ever"));
        assert!(!verify(MSG, "kyma4everx") && !verify(&format!("{MSG}abc"), "kyma4ever"));
    }
}
