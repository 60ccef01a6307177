//! Mixpanel Cohorts: who has entered and who has left a cohort, up to 1,000 members a delivery; each becomes an identify
//! call whose trait `Mixpanel - <cohort>` is true or false.
//!
//! `members` is the whole cohort, `add_members` and `remove_members` what has changed since. Who is missing from a whole
//! cohort cannot be told from one delivery: Mixpanel sends `remove_members` for them unless it has lost its snapshot.

use headwater_core::prelude::*;

/// The registry's line.
pub const CONNECTOR: Connector = Connector::new(
    "mixpanel-cohorts-source",
    "Mixpanel Cohorts",
    "cohorts",
    "https://docs.mixpanel.com/docs/cohort-sync/webhooks",
)
.settings::<MixpanelCohorts>()
.events::<MixpanelCohorts>(&WEBHOOK)
.spec(CALLS);

/// Settings of a Mixpanel Cohorts source.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MixpanelCohorts {
    /// `user:password`, as given when the webhook was made with basic authentication; two while it is being changed,
    /// the newer first. Without it only the secret webhook key in the address lets a delivery in.
    #[serde(default)]
    credentials: Secrets,
    /// The exported user property that holds our own id of the user. Without it Mixpanel's distinct id is the user.
    #[serde(default)]
    user_id_property: Option<String>,
}

static WEBHOOK: Webhook = Webhook {
    surfaces: &[Surface::json(
        "parameters.members",
        Signature::Optional {
            one: &Signature::Basic,
            why: "Mixpanel signs nothing, and its basic authentication is a choice of the webhook's",
        },
    )],
    calls: CALLS,
};

const MAPPING: Mapping = Mapping {
    id: &[
        "envelope:parameters.mixpanel_session_id",
        "envelope:action",
        "envelope:parameters.mixpanel_cohort_id",
        "mixpanel_distinct_id|email",
    ],
    user: "mixpanel_distinct_id",
    otherwise: "email|phone_number",
    email: "email",
    around: "mixpanel",
    calls: CALLS,
    ..Mapping::NEW
};

impl EventSource for MixpanelCohorts {
    fn secrets(&self, _surface: &Surface) -> Vec<Secret> {
        self.credentials.all()
    }

    /// Mixpanel takes nothing else for success.
    fn reply(&self, delivery: &Delivery) -> Reply {
        let body = Record::parse(&delivery.body).and_then(|body| body.text("action"));
        let action = body.ok().flatten().unwrap_or_default();
        let action: String = action.chars().take(100).collect();
        Reply::json(json!({ "action": action, "status": "success" }).to_string())
    }

    fn map(&self, item: &Item<'_>) -> Result<Vec<Output>> {
        let action: String = item.envelope.get("action")?;
        let is_member = match action.as_str() {
            "members" | "add_members" => true,
            "remove_members" => false,
            other => return Err(Error::unexpected(format!("{other:?} is no action of a cohort sync"))),
        };
        let cohort: String = item.envelope.get("parameters.mixpanel_cohort_name")?;
        let mut call = MAPPING.fill(item, Call::identify())?;
        if let Some(property) = &self.user_id_property
            && let Some(id) = item.fields()?.take_text(property)
        {
            call.anonymous_id = call.user_id.replace(id);
        }
        call.properties.set(format!("Mixpanel - {cohort}"), Raw::new(&is_member)?);
        Ok(vec![call.into()])
    }
}

const CALLS: &[CallType] = &[CallType::new(
    CallKind::Identify,
    "",
    "`Mixpanel - <Cohort Name in Mixpanel>` bool, mixpanel_distinct_id text, email text, first_name text, last_name text, \
     phone_number text",
)
.native("members|add_members|remove_members")
.when("a user enters the cohort (true) or leaves it (false); exported properties are traits too")];

#[cfg(test)]
mod tests {
    use headwater_core::event::map_delivery;

    use super::*;

    #[test]
    fn a_sync_without_members_succeeds_too() {
        let source = MixpanelCohorts { credentials: Secrets::None, user_id_property: Some("our_id".into()) };
        let deliver = |members: &str| {
            let body = format!(
                r#"{{"action":"add_members","parameters":{{"mixpanel_cohort_name":"C","members":[{members}]}}}}"#
            );
            let delivery = Delivery::fetched("2026-11-01T00:00:00Z".parse().unwrap(), body.into());
            assert_eq!(source.reply(&delivery).body, r#"{"action":"add_members","status":"success"}"#);
            map_delivery("mixpanel-cohorts-source", &source, &WEBHOOK.surfaces[0], &delivery)
        };
        let none = deliver("");
        assert!(none.outputs.is_empty() && none.rejected.is_empty());
        let one = deliver(r#"{"mixpanel_distinct_id":"d","our_id":7}"#);
        let Output::Call(call) = &one.outputs[0].1 else { panic!("no call") };
        assert_eq!((call.user_id.as_deref(), call.anonymous_id.as_deref()), (Some("7"), Some("d")));
    }
}
