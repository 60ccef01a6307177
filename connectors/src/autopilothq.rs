//! Autopilot, now Ortto: the Webhook action of journeys, playbooks and activities. What happened is what its author
//! names the action: an action named `Email Clicked` becomes that track call. Add the person field that holds your own
//! id as `external_id`, and any other field that is wanted:
//!
//! ```json
//! {"contact_id": "…", "email": "…", "external_id": "…", "campaign_id": "…", "campaign_name": "…",
//!  "action_id": "…", "action_name": "Email Clicked", "run_id": "…"}
//! ```
//!
//! A field `event` goes before `action_name`, as in the REST hooks of Autopilot's own days. Of the activity's payload
//! nobody has written down the name that it stands under; it stays as it comes.

use headwater_core::prelude::*;

/// The registry's line.
pub const CONNECTOR: Connector = Connector::new(
    "autopilothq",
    "AutopilotHQ (now Ortto)",
    "email",
    "https://help.ortto.com/a-251-configuring-a-webhook",
)
.settings::<Autopilot>()
.events::<Autopilot>(&WEBHOOK)
.spec(SPEC);

/// Settings of an Autopilot (Ortto) source.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Autopilot {
    /// What the webhook authenticates with: `user:password` for Basic, or `Name: value` for a header of its own; two
    /// while it is being changed, the newer first. Ortto signs nothing: without it only the secret webhook key in the
    /// address lets a delivery in.
    #[serde(default)]
    token: Secrets,
}

static WEBHOOK: Webhook = Webhook {
    surfaces: &[Surface::json(
        "",
        Signature::Optional {
            one: &Signature::CREDENTIALS,
            why: "Ortto signs nothing, and credentials are a choice of the webhook's",
        },
    )],
    calls: CALLS,
};

const MAPPING: Mapping = Mapping {
    event: "event|action_name",
    verbatim: true,
    // Ortto's advice, and the action: a run of a journey may have several.
    id: &["run_id", "campaign_id", "contact_id", "action_id"],
    user: "external_id",
    otherwise: "email|contact.Email|contact_id|contact.contact_id",
    email: "email|contact.Email",
    context: &[("traits.contact_id", "contact_id|contact.contact_id"), ("campaign.name", "campaign_name")],
    lift: &["contact"],
    calls: CALLS,
    ..Mapping::NEW
};

impl EventSource for Autopilot {
    fn secrets(&self, _surface: &Surface) -> Vec<Secret> {
        self.token.all()
    }

    fn mapping(&self) -> Mapping<'_> {
        MAPPING
    }
}

/// What Ortto always sends; the fields that were chosen come beside it.
const ACTION: &str = "contact_id text, email text, campaign_id text, campaign_name text, action_id text, \
    action_name text, run_id text";

const CALLS: &[CallType] = &[
    CallType::track("", ACTION).when("a journey, playbook or activity comes to the action of that name"),
    CallType::new(CallKind::Identify, "", "contact_id text, email text")
        .native("contact_added|contact_updated")
        .when("a contact is new or has changed (REST hooks)"),
    CallType::track("Email Unsubscribed", "contact_id text, email text")
        .native("contact_unsubscribed|Email Unsubscribed")
        .when("a contact wants no more emails (REST hooks, or an action of that name)"),
    CallType::track("Contact Added To List", "contact_id text, email text")
        .native("contact_added_to_list")
        .when("a contact was put on a list (REST hooks)"),
    CallType::track("Contact Removed From List", "contact_id text, email text")
        .native("contact_removed_from_list")
        .when("a contact was taken off a list (REST hooks)"),
    CallType::track("Contact Entered Segment", "contact_id text, email text")
        .native("contact_entered_segment")
        .when("a contact came into a segment (REST hooks)"),
    CallType::track("Contact Left Segment", "contact_id text, email text")
        .native("contact_left_segment")
        .when("a contact fell out of a segment (REST hooks)"),
];

/// What every call that Autopilot posts has.
const POSTED: &str = "event text, campaign_id text, campaign_name text, email_id text, email_subject text, \
    transactional bool, link_id text, link_url text";

const SPEC: &[CallType] = &[
    CallType::track("Email Bounced", POSTED).when("the recipient's server refused it"),
    CallType::track("Email Delivered", POSTED).when("the recipient's server took it"),
    CallType::track("Email Clicked", POSTED).when("a link was clicked"),
    CallType::track("Email Marked as Spam", POSTED).when("it was reported as spam"),
    CallType::track("Email Opened", POSTED).when("it was opened"),
    CallType::track("Email Unsubscribed", POSTED).when("the link to unsubscribe was followed"),
    CallType::track("Email Replied", POSTED).when("the recipient answered"),
];
