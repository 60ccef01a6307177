//! Navattic: what a visitor did in a demo, sent once the session is closed: each recorded event is a call, and the
//! visitor's company a group call; or news of a company alone.

use headwater_core::prelude::*;

/// The registry's line.
pub const CONNECTOR: Connector =
    Connector::new("navattic", "Navattic", "analytics", "https://docs.navattic.com/integrations/webhook")
        .settings::<Navattic>()
        .events::<Navattic>(&WEBHOOK)
        .spec(SPEC);

/// Settings of a Navattic source.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Navattic {
    /// What the webhook authenticates with: `user:password` for Basic, or the bearer token; two while it is being
    /// changed, the newer first. Navattic signs nothing: without it only the secret webhook key in the address lets a
    /// delivery in.
    #[serde(default)]
    token: Secrets,
}

static WEBHOOK: Webhook = Webhook {
    surfaces: &[Surface {
        path: "",
        signature: Signature::Optional {
            one: &Signature::Any(&[Signature::Basic, Signature::BEARER]),
            why: "Navattic signs nothing, and credentials are a choice of the webhook's",
        },
        // News of a company have no session: the company itself is the item.
        items: Items::Json("data.session.recordedEvents|data"),
    }],
    calls: CALLS,
};

const MAPPING: Mapping = Mapping {
    event: "type",
    verbatim: true,
    id: &["id"],
    time: "createdAt",
    user: "endUserId|envelope:data.endUser.id",
    anonymous: "envelope:data.endUser.sharedId",
    otherwise: "sessionId",
    email: "envelope:data.endUser.mostRecentEmail",
    group: "envelope:data.companyAccount.id",
    names: &[
        ("recordedProjectId", "project_id"),
        ("recordedProjectName", "project_name"),
        ("recordedChecklistId", "checklist_id"),
        ("recordedChecklistName", "checklist_name"),
        ("recordedFlowId", "flow_id"),
        ("recordedFlowName", "flow_name"),
        ("recordedStepId", "step_id"),
        ("recordedStepName", "step_name"),
        ("recordedStepIndex", "step_index"),
        ("recordedTaskId", "task_id"),
        ("recordedTaskName", "task_name"),
        ("sessionId", "session_id"),
        ("urlNavigated", "url"),
    ],
    // The visitor's events come a second time there, and every call would repeat them all.
    once: &["data.endUser.recordedEvents", "data.companyAccount"],
    calls: CALLS,
    ..Mapping::NEW
};

impl EventSource for Navattic {
    fn secrets(&self, _surface: &Surface) -> Vec<Secret> {
        self.token.all()
    }

    fn map(&self, item: &Item<'_>) -> Result<Vec<Output>> {
        let closed = item.envelope.time("timestamp")?;
        if item.envelope.at("data.session")?.is_none() {
            let mut call = company(&item.record, None)?.at(closed);
            call.properties.set_text("eventType", item.envelope.text("eventType")?.as_deref());
            return Ok(vec![call.into()]);
        }
        let mut call = MAPPING.call(item)?;
        let mut around = call.properties.take_fields("data");
        let account = around.take("companyAccount").and_then(Raw::record);
        call.properties.merge(around, "session_");
        if call.kind == CallKind::Identify {
            call.properties.set_text("email", item.envelope.text("data.endUser.mostRecentEmail")?.as_deref());
            call.properties.set_text("name", item.envelope.text("data.endUser.mostRecentName")?.as_deref());
        }
        let user = call.user_id.clone().or_else(|| call.anonymous_id.clone());
        let company = account.map(|account| company(&account, user)).transpose()?.map(|call| call.at(closed));
        Ok([Some(call), company].into_iter().flatten().map(Output::Call).collect())
    }
}

/// A visitor's company as a group call; with nobody in it, it stands for itself.
fn company(account: &Record, user: Option<String>) -> Result<Call> {
    let id: String = account.get("id")?;
    let someone = user.is_none().then(|| id.clone());
    let mut call = Call::group(id).user(user).anonymous(someone);
    call.properties = account.fields()?;
    call.properties.take("id");
    Ok(call)
}

/// What every recorded event has, and what is told of the session and the visitor beside it.
const EVENT: &str = "project_id text, project_name text, checklist_id text, checklist_name text, flow_id text, \
    flow_name text, step_id text, step_name text, step_index int, task_id text, task_name text, session_id text, \
    url text, updatedAt time, endUserId text, session json, endUser json, eventType text";

const CALLS: &[CallType] = &[
    CallType::new(
        CallKind::Identify,
        "",
        "email text, name text, project_id text, project_name text, checklist_id text, checklist_name text, \
         flow_id text, flow_name text, step_id text, step_name text, step_index int, session_id text, url text, \
         session json, endUser json",
    )
    .native("IDENTIFY_USER")
    .when("a visitor gave an email address"),
    CallType::track("VIEW_STEP", EVENT).native("VIEW_STEP").when("a step of a demo was seen"),
    CallType::track("START_FLOW", EVENT).native("START_FLOW").when("a flow was begun"),
    CallType::track("COMPLETE_FLOW", EVENT).native("COMPLETE_FLOW").when("a flow was finished"),
    CallType::track("NAVIGATE", EVENT).native("NAVIGATE").when("a link in a demo was clicked"),
    CallType::track("START_CHECKLIST", EVENT).native("START_CHECKLIST").when("a checklist was begun"),
    CallType::track("OPEN_CHECKLIST", EVENT).native("OPEN_CHECKLIST").when("a checklist was unfolded"),
    CallType::track("CLOSE_CHECKLIST", EVENT).native("CLOSE_CHECKLIST").when("a checklist was folded up"),
    CallType::track("COMPLETE_TASK", EVENT).native("COMPLETE_TASK").when("a task of a checklist was done"),
    CallType::track("CONVERTED", EVENT).native("CONVERTED").when("a step tagged as converted was seen"),
    CallType::track("ENGAGE", EVENT).native("ENGAGE").when("a visitor counts as engaged"),
    CallType::track("SESSION_CLOSED", EVENT).native("SESSION_CLOSED").when("the session was closed"),
    CallType::new(
        CallKind::Group,
        "",
        "name text, websiteDomain text, industry text, employeeCount int, estimatedAnnualRevenue text, city text, \
         state text, country text, engaged bool, createdAt time, updatedAt time",
    )
    .when("a visitor's company is known, or there is news of one"),
];

/// What every call that Navattic posts has.
const POSTED: &str = "project json, checklist json, flow json, step json, session_id text, url text";

const SPEC: &[CallType] = &[
    CallType::new(CallKind::Identify, "", POSTED).when("a visitor gave an email address"),
    CallType::track("VIEW_STEP", POSTED).when("a step of a demo was seen"),
    CallType::track("START_FLOW", POSTED).when("a flow was begun"),
    CallType::track("COMPLETE_FLOW", POSTED).when("a flow was finished"),
    CallType::track("NAVIGATE", POSTED).when("a link in a demo was clicked"),
    CallType::track("OPEN_CHECKLIST", POSTED).when("a checklist was unfolded"),
    CallType::track("CLOSE_CHECKLIST", POSTED).when("a checklist was folded up"),
    CallType::track("COMPLETE_TASK", POSTED).when("a task of a checklist was done"),
    CallType::track("CONVERTED", POSTED).when("a step tagged as converted was seen"),
];
