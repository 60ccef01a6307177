//! Regal: calls, texts, mails and the tasks of agents around them; one event a delivery, whose names stay as Regal has
//! them. Regal does not try again: what is not answered within five seconds is lost.

use headwater_core::prelude::*;

/// The registry's line.
pub const CONNECTOR: Connector =
    Connector::new("regal-io", "Regal.io", "sms", "https://developer.regal.ai/docs/reporting-webhooks")
        .settings::<Regal>()
        .events::<Regal>(&WEBHOOK)
        .spec(SPEC);

/// Settings of a Regal source.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Regal {
    /// The API key that the reporting webhook was given (*Create Webhook*), which Regal sends as it stands; two while it
    /// is being changed, the newer first. Without it only the secret webhook key in the address lets a delivery in.
    #[serde(default)]
    api_key: Secrets,
}

static WEBHOOK: Webhook = Webhook {
    surfaces: &[Surface::json(
        "",
        Signature::Optional {
            one: &Signature::header(&["authorization"]),
            why: "Regal signs nothing, and sends an API key only if the webhook was given one",
        },
    )],
    calls: CALLS,
};

const MAPPING: Mapping = Mapping {
    event: "name",
    verbatim: true,
    id: &["eventId"],
    time: "originalTimestamp",
    user: "userId",
    // The phone number is Regal's own key of a contact.
    anonymous: "properties.contact_phone|properties.phone|traits.phones.0.phoneNumber",
    // Events of agents and of the customer's own objects are about no contact.
    otherwise: "properties.contact_id|properties.contact_email|properties.email|properties.agent_id|\
        properties.agent_email|properties.object_id|eventId",
    email: "properties.contact_email|properties.email",
    context: &[
        ("traits.phone", "properties.contact_phone|properties.phone|traits.phones.0.phoneNumber"),
        ("campaign.name", "properties.campaign_name"),
        ("ip", "properties.ip"),
    ],
    lift: &["properties"],
    calls: CALLS,
    ..Mapping::NEW
};

impl EventSource for Regal {
    fn secrets(&self, _surface: &Surface) -> Vec<Secret> {
        self.api_key.all()
    }

    fn mapping(&self) -> Mapping<'_> {
        MAPPING
    }
}

const AGENT: &str = "agent_id text, agent_email text, agent_fullname text, activity text, event_timestamp text, \
    traits json, eventSource text";
const PHONE: &str = "call_id text, task_id text, channel text, direction text, disposition text, campaign_id text, \
    campaign_friendly_id text, campaign_name text, journey_uuid text, journey_name text, journey_friendly_id text, \
    started_at time, ended_at time, talk_time int, wrapup_time int, contact_phone text, contact_email text, \
    agent_id text, agent_email text, notes text, objections json, traits json, eventSource text";
const RECORDING: &str = "call_id text, recording_url text, duration int, traits json, eventSource text";
const TRANSCRIPT: &str = "call_id text, transcript_url text, language text, traits json, eventSource text";
const MESSAGE: &str = "message_id text, content text, media_url text, channel text, direction text, \
    campaign_id text, contact_phone text, traits json, eventSource text";
const MAIL: &str =
    "message_id text, subject text, contact_email text, direction text, traits json, eventSource text";
const CONTACT: &str = "contact_id text, contact_phone text, contact_email text, attribute text, value text, \
    traits json, eventSource text";
const SCHEDULED: &str = "contact_id text, scheduled_for time, callback_phone text, reminder_channel text, \
    traits json, eventSource text";
const TASK: &str = "task_id text, type text, disposition text, agent_id text, traits json, eventSource text";
const OBJECT: &str =
    "object_type text, object_id text, attribute text, value text, traits json, eventSource text";

/// How many of [`CALLS`], from the first on, Regal also posts with a write key.
const POSTED: usize = 17;

const CALLS: &[CallType] = &[
    call("agent.activity.updated", AGENT, "an agent's status changed"),
    call("call.completed", PHONE, "a call with a contact ended, answered or not"),
    call("call.recording.available", RECORDING, "the recording of a call is there"),
    call("contact.subscribed", CONTACT, "a contact opted in to a channel"),
    call("contact.unsubscribed", CONTACT, "a contact opted out of a channel"),
    call("contact.attribute.edited", CONTACT, "an agent edited a contact's attributes"),
    call("contact.experiment.assigned", CONTACT, "a contact was put into an experiment"),
    call("scheduled.callback.requested", SCHEDULED, "a call back was booked"),
    call("sms.conversation.completed", MESSAGE, "an agent's conversation by SMS was closed"),
    call("sms.queued", MESSAGE, "an SMS was queued"),
    call("sms.sent", MESSAGE, "an SMS was sent"),
    call("sms.undelivered", MESSAGE, "an SMS was not delivered"),
    call("sms.received", MESSAGE, "an SMS came from a contact"),
    call("task.canceled", TASK, "a task was cancelled"),
    call("task.created", TASK, "a task was made: a call or an SMS"),
    call("task.reservation.created", TASK, "a task was offered to an agent"),
    call("task.reservation.accepted", TASK, "an agent took a task"),
    call("call.placed", PHONE, "an outbound call was started"),
    call("call.ivr.triggered", PHONE, "an inbound call entered a voice menu"),
    call("call.wrapup", PHONE, "a call ended, and its agent is wrapping up"),
    call("call.transcript.available", TRANSCRIPT, "a call's transcript and summary are there"),
    call(
        "call.analysis.available",
        "call_id text, analysis json, traits json, eventSource text",
        "a call was analysed",
    ),
    call("sms.failed", MESSAGE, "an SMS could not be sent"),
    call("mms.sent", MESSAGE, "an MMS was sent"),
    call("mms.received", MESSAGE, "an MMS came from a contact"),
    call("email.sent", MAIL, "a mail was sent"),
    call("email.received", MAIL, "a mail came from a contact"),
    call("email.conversation.completed", MAIL, "an agent's conversation by mail was closed"),
    call("voicemail.recording.available", RECORDING, "the recording of a voicemail is there"),
    call("voicemail.transcript.available", TRANSCRIPT, "the transcript of a voicemail is there"),
    call("voicemail.completed", PHONE, "a voicemail was left"),
    call("contact.created", CONTACT, "a contact was made"),
    call("contact.phone.created", CONTACT, "a contact got a phone number"),
    call("contact.email.created", CONTACT, "a contact got an address"),
    call("scheduled.reminder.created", SCHEDULED, "a reminder was set"),
    call("custom.task.completed", TASK, "a task of your own kind was done"),
    call("contacted.after.hours", PHONE, "a contact called or wrote when nobody was there"),
    call("object.created", OBJECT, "an object of your own kind was made"),
    call("object.attribute.edited", OBJECT, "an object of your own kind was edited"),
    call("cancel.all.automated.tasks", TASK, "an agent cancelled all automated tasks of a contact"),
];

/// What Regal posts itself with a write key; what it documents is one list of properties for all of them.
const SPEC: &[CallType] = &{
    let mut posted = [CALLS[0]; POSTED];
    let mut at = 0;
    while at < POSTED {
        posted[at] = CallType { properties: SHARED, native: "", ..CALLS[at] };
        at += 1;
    }
    posted
};

const SHARED: &str = "agent_activity_name text, agent_availability text, agent_email text, \
    agent_previous_activity_name text, agent_previous_availability text, agent_time_in_previous_activity int, \
    call_id text, callback_timestamp text, campaign_id text, campaign_friendly_id text, campaign_name text, \
    cancelation_reason text, cancelation_source text, canceled_by text, changes json, channel text, completed_at text, \
    contact_phone text, content text, direction text, disposition text, email text, ended_at text, experiment_id text, \
    experiment_name text, experiment_variant text, from_number text, handle_time int, ip text, media_url text, \
    notes text, objections json, phone text, queue text, recording_link text, regal_voice_phone text, \
    regal_voice_phone_internal_name text, reserved_agent_email text, reserved_agent_full_name text, \
    scheduling_agent_email text, scheduling_agent_fullname text, scheduling_agent_id text, sms_conversation_id text, \
    source text, started_at text, talk_time int, target_agent_fullname text, target_agent_id text, task_id text, \
    text text, timestamp int, to_number text, type text, wrapup_time int";

const fn call(name: &'static str, properties: &'static str, when: &'static str) -> CallType {
    CallType::track(name, properties).native(name).when(when)
}
