//! IBM Watson Assistant: the log webhook, which posts every message that was handled and every phone call that ended, with
//! a signed token; and the analytics that the assistant's Segment extension posts with a write key.
//!
//! IBM documents the body of a call's record; that of a message is said to be the request and the response of the v2
//! message API, whose members are looked for here under `request` and `response` and beside them.

use headwater_core::prelude::*;

/// The registry's line.
pub const CONNECTOR: Connector = Connector::new(
    "ibm-watson-assistant",
    "IBM Watson Assistant",
    "chat",
    "https://cloud.ibm.com/docs/watson-assistant?topic=watson-assistant-webhook-log",
)
.settings::<WatsonAssistant>()
.events::<WatsonAssistant>(&WEBHOOK)
.spec(SPEC);

/// Settings of a Watson Assistant source.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WatsonAssistant {
    /// The secret text of the log webhook, which signs the token in `Authorization`; two while it is being changed, the
    /// newer first. An `Authorization` header that the webhook sets itself takes the token's place: leave it out.
    #[serde(default)]
    secret: Secrets,
}

static WEBHOOK: Webhook = Webhook {
    surfaces: &[Surface::json(
        "",
        Signature::Jwt {
            // IBM's own example of a receiver reads the second.
            at: Place::Header(&["authorization", "authentication"]),
            hash: Hash::Sha256,
        },
    )],
    calls: CALLS,
};

const MAPPING: Mapping = Mapping {
    event: "event.name",
    id: &["payload.log_id|payload.global_session_id"],
    time: "payload.request_timestamp|payload.call.stop_timestamp|payload.call.start_timestamp",
    user: "payload.user_id|payload.request.user_id|payload.response.user_id|\
        payload.request.context.global.system.user_id|payload.response.context.global.system.user_id",
    // The number that called; `primary_phone_number` is the one that was called.
    anonymous: "payload.session_initiation_protocol.headers.from_uri|payload.session_id|\
        payload.request.session_id|payload.response.session_id|payload.global_session_id|payload.log_id",
    context: &[("locale", "payload.language")],
    names: &[("payload.assistant_id", "assistantId"), ("payload.session_id", "sessionId")],
    lift: &["payload", "event"],
    calls: CALLS,
    ..Mapping::NEW
};

impl EventSource for WatsonAssistant {
    fn secrets(&self, _surface: &Surface) -> Vec<Secret> {
        self.secret.all()
    }

    fn mapping(&self) -> Mapping<'_> {
        MAPPING
    }
}

#[rustfmt::skip]
const CALLS: &[CallType] = &[
    CallType::track("Message Handled", "assistantId text, sessionId text, language text, request json, response json, skill_id text, environment_id text, snapshot text, customer_id text, response_timestamp time")
        .native("message_logged").when("the assistant answered a message"),
    CallType::track("Call Ended", "primary_phone_number text, call json, session_initiation_protocol json, max_response_milliseconds json, assistant_interaction_summaries json, injected_custom_data json, warnings_and_errors json, realtime_transport_network_summary json, transfer_occurred bool")
        .native("cdr_logged").when("a phone call to the assistant was over"),
];

const MESSAGE: &str = "accountId text, assistantId text, browser text, channel text, device text, environment text, \
    language text, pageUrl text, serviceInstance text, sessionId text, skillsInvoked json, action text, \
    actionCompleted bool, actionCompletedReason text, actionStarted bool, actionTitle text, actionsVisited json, \
    fallbackReason text, handler text, stepsVisited json, subaction text, branchExited bool, \
    branchExitedReason text, nodesVisited json";
const SESSION: &str = "accountId text, assistantId text, browser text, channel text, device text, environment text, \
    pageUrl text, serviceInstance text, sessionId text";
const ACTION_STARTED: &str = "accountId text, action text, actionTitle text, actionCompleted bool, \
    actionCompletedReason text, assistantId text, browser text, channel text, device text, environment text, \
    fallbackReason text, handler text, language text, pageUrl text, serviceInstance text, sessionId text, \
    skillsInvoked json, stepsVisited json, subaction text";
const ACTION_COMPLETED: &str = "accountId text, action text, actionCompletedReason text, actionStarted bool, \
    actionTitle text, assistantId text, browser text, channel text, device text, environment text, \
    fallbackReason text, handler text, language text, pageUrl text, serviceInstance text, sessionId text, \
    skillsInvoked json, stepsVisited json, subaction text";

/// What the assistant's Segment extension posts.
#[rustfmt::skip]
const SPEC: &[CallType] = &[
    CallType::track("Message Handled", MESSAGE)
        .when("the assistant handled a message: of actions skills the members of an action, of dialog skills those of a branch"),
    CallType::track("Session Started", SESSION).when("a session began; not sent by the stateless API"),
    CallType::track("Action Started", ACTION_STARTED).when("an action or subaction began"),
    CallType::track("Action Completed", ACTION_COMPLETED).when("an action or subaction ended"),
];
