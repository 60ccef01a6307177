//! Aircall: phone calls, messages, contacts, and the agents' day; one event a delivery, with the webhook's token in its
//! body. Aircall posts the same events with a write key too, and leaves their names as they are: so does this.

use headwater_core::prelude::*;

/// The registry's line.
pub const CONNECTOR: Connector =
    Connector::new("aircall", "Aircall", "support", "https://developer.aircall.io/docs/webhooks-overview")
        .settings::<Aircall>()
        .events::<Aircall>(&WEBHOOK)
        .spec(CALLS);

/// Settings of an Aircall source.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Aircall {
    /// The token that Aircall gave when the webhook was made, which every event repeats; two while the webhook is being
    /// replaced, the newer first.
    #[serde(default)]
    token: Secrets,
}

static WEBHOOK: Webhook = Webhook {
    surfaces: &[Surface::json("", Signature::Token { at: Place::Body("token"), prefix: "" })],
    calls: CALLS,
};

const MAPPING: Mapping = Mapping {
    event: "event",
    time: "timestamp",
    anonymous: "data.contact.id|data.raw_digits|data.external_number|data.external_caller_number|data.participants.0.id|\
        data.call_id|data.id|data.integration_id|resource",
    email: "data.contact.emails.0.value|data.emails.0.value",
    context: &[("traits.phone", "data.raw_digits|data.external_number|data.external_caller_number")],
    names: &[("data.id", "resource_id")],
    secret: &["token"],
    lift: &["data"],
    calls: CALLS,
    ..Mapping::NEW
};

/// An agent of the account.
const AGENT: Mapping =
    Mapping { user: "data.id|data.user.id", email: "data.email|data.user.email", ..MAPPING };

/// A contact of the account: its id is the one that calls have.
const CONTACT: Mapping = Mapping {
    anonymous: "data.id|resource",
    context: &[("traits.phone", "data.phone_numbers.0.value")],
    ..MAPPING
};

impl EventSource for Aircall {
    fn secrets(&self, _surface: &Surface) -> Vec<Secret> {
        self.token.all()
    }

    fn map(&self, item: &Item<'_>) -> Result<Vec<Output>> {
        let event: String = item.record.get("event")?;
        let mapping = match event.split('.').next() {
            Some("user") => AGENT,
            Some("contact") => CONTACT,
            _ => MAPPING,
        };
        Ok(vec![mapping.fill(item, Call::track(event))?.into()])
    }
}

const NUMBER: &str = "resource text, resource_id int, direct_link text, name text, digits text, country text, \
    time_zone text, open bool, availability_status text, is_ivr bool, users json";
const CONTACT_DATA: &str = "resource text, resource_id int, direct_link text, first_name text, last_name text, \
    company_name text, information text, is_shared bool, phone_numbers json, emails json";
const AGENT_DATA: &str = "resource text, resource_id int, direct_link text, name text, email text, available bool, \
    availability_status text, created_at time, numbers json";
const CALL: &str = "resource text, resource_id int, direct_link text, call_uuid text, direction text, status text, \
    missed_call_reason text, started_at time, answered_at time, ended_at time, duration int, raw_digits text, \
    voicemail text, recording text, asset text, cost text, archived bool, user json, contact json, number json, \
    assigned_to json, transferred_by json, transferred_to json, teams json, tags json, comments json, \
    participants json";
const MESSAGE: &str = "resource text, resource_id text, direction text, status text, body text, external_number text, \
    created_at time, sent_at time, media_url json, number json, contact json, user json";
const INTELLIGENCE: &str = "resource text, resource_id int, call_id int, call_uuid text, number_id int";
const AI_AGENT: &str = "resource text, resource_id int, call_uuid text, ai_voice_agent_id text, \
    ai_voice_agent_name text, ai_voice_agent_session_id text, number_id int, external_caller_number text, \
    aircall_number text, created_at time, started_at time, ended_at time, call_end_reason text";

const fn event(native: &'static str, properties: &'static str, when: &'static str) -> CallType {
    CallType::track(native, properties).native(native).when(when)
}

#[rustfmt::skip]
const CALLS: &[CallType] = &[
    event("number.created", NUMBER, "a number was added"),
    event("number.opened", NUMBER, "a number opened by its hours"),
    event("number.closed", NUMBER, "a number closed by its hours"),
    event("number.deleted", NUMBER, "a number was removed"),
    event("contact.created", CONTACT_DATA, "a contact was added"),
    event("contact.updated", CONTACT_DATA, "a contact changed"),
    event("contact.deleted", CONTACT_DATA, "a contact was removed"),
    event("user.created", AGENT_DATA, "an agent was added"),
    event("user.opened", AGENT_DATA, "an agent was available by the working hours"),
    event("user.connected", AGENT_DATA, "an agent logged in to the phone app"),
    event("user.closed", AGENT_DATA, "an agent was no longer available by the working hours"),
    event("user.disconnected", AGENT_DATA, "an agent logged out of the phone app"),
    event("user.deleted", AGENT_DATA, "an agent was removed"),
    event("user.wut_start", AGENT_DATA, "an agent began to wrap up"),
    event("user.wut_end", AGENT_DATA, "an agent had wrapped up"),
    event("user.created.v2", AGENT_DATA, "an agent was added"),
    event("user.opened.v2", AGENT_DATA, "an agent was available by the working hours"),
    event("user.connected.v2", AGENT_DATA, "an agent logged in to the phone app"),
    event("user.closed.v2", AGENT_DATA, "an agent was no longer available by the working hours"),
    event("user.disconnected.v2", AGENT_DATA, "an agent logged out of the phone app"),
    event("user.deleted.v2", AGENT_DATA, "an agent was removed"),
    event("user.wut_start.v2", AGENT_DATA, "an agent began to wrap up"),
    event("user.wut_end.v2", AGENT_DATA, "an agent had wrapped up"),
    event("call.created", CALL, "a call began"),
    event("call.ringing_on_agent", CALL, "a call rang at an agent"),
    event("call.agent_declined", CALL, "an agent declined a call"),
    event("call.answered", CALL, "a call was picked up"),
    event("call.transferred", CALL, "a call was passed to another person or team"),
    event("call.external_transferred", CALL, "a call was passed to a number outside"),
    event("call.unsuccessful_transfer", CALL, "a call could not be passed on"),
    event("call.hold", CALL, "a call was put on hold"),
    event("call.unhold", CALL, "a call was taken off hold"),
    event("call.ivr_option_selected", CALL, "the caller chose from a menu"),
    event("call.hungup", CALL, "somebody hung up"),
    event("call.ended", CALL, "a call was finished: about 20 seconds after the end, once its recording is there"),
    event("call.voicemail_left", CALL, "a voicemail was left"),
    event("call.assigned", CALL, "a call was assigned"),
    event("call.archived", CALL, "a call was archived"),
    event("call.tagged", CALL, "a call got a tag"),
    event("call.untagged", CALL, "a call lost a tag"),
    event("call.commented", CALL, "a call got a comment"),
    event("call.comm_assets_generated", CALL, "the recording or voicemail of a call is there"),
    event("message.sent", MESSAGE, "a message was sent"),
    event("message.received", MESSAGE, "a message came"),
    event("message.status_updated", MESSAGE, "a message was delivered, or was not"),
    event("group_message.sent", MESSAGE, "a message was sent to a group"),
    event("group_message.received", MESSAGE, "a message of a group came"),
    event("group_message.status_updated", MESSAGE, "a message to a group was delivered, or was not"),
    event("transcription.created", INTELLIGENCE, "the transcript of a call is there"),
    event("realtime_transcription.utterances_received", INTELLIGENCE, "somebody said something during a call"),
    event("summary.created", INTELLIGENCE, "the summary of a call is there"),
    event("custom_summary.result_created", INTELLIGENCE, "a summary of one's own is there"),
    event("custom_summary.result_updated", INTELLIGENCE, "a summary of one's own changed"),
    event("topics.created", INTELLIGENCE, "the topics of a call are there"),
    event("sentiment.created", INTELLIGENCE, "the sentiment of a call is there"),
    event("action_item.created", INTELLIGENCE, "something to do came out of a call"),
    event("playbook_result.created", INTELLIGENCE, "how a call followed its playbook is there"),
    event("playbook_result.updated", INTELLIGENCE, "how a call followed its playbook changed"),
    event("call_evaluation.created", INTELLIGENCE, "a call was scored"),
    event("call_evaluation.updated", INTELLIGENCE, "the score of a call changed"),
    event("ai_voice_agent.started", AI_AGENT, "a voice agent took a call"),
    event("ai_voice_agent.ended", AI_AGENT, "a voice agent was done with a call"),
    event("ai_voice_agent.escalated", AI_AGENT, "a voice agent passed a call to a person"),
    event("ai_voice_agent.summary", AI_AGENT, "the summary of a voice agent's call is there"),
    event("analytics.report_created", "resource text, download_url text", "a report is there"),
    event("analytics.report_failed", "resource text", "a report could not be made"),
    event("integration.deleted", "resource text, integration_id int, company_id int", "the integration was removed"),
];

#[cfg(test)]
mod tests {
    use headwater_core::event::map_delivery;

    use super::*;

    #[test]
    fn the_token_is_not_kept() {
        let now = "2026-11-01T00:00:00Z".parse().unwrap();
        let body = r#"{"resource":"number","event":"number.opened","timestamp":1585001020,"token":"45XXYYZZa08","data":{"id":456}}"#;
        let source = Aircall { token: Secrets::None };
        let mapped =
            map_delivery("aircall", &source, &WEBHOOK.surfaces[0], &Delivery::fetched(now, body.into()));
        let [(_, Output::Call(call))] = mapped.outputs.as_slice() else { panic!("{:?}", mapped.rejected) };
        assert_eq!(call.name.as_deref(), Some("number.opened"));
        assert!(!call.to_json().contains("45XXYYZZa08"), "{}", call.to_json());
    }
}
