//! Mailmodo: forms that were filled in inside its emails, and the webhook step of its journeys, one event a delivery; and
//! the calls that its Segment integration posts with a write key. Nothing public tells how Mailmodo would prove a
//! delivery, or of webhooks for its other events. A journey's step has neither id nor time: each that arrives is one.

use headwater_core::prelude::*;

/// The registry's line.
pub const CONNECTOR: Connector = Connector::new(
    "mailmodo",
    "Mailmodo",
    "email",
    "https://support.mailmodo.com/support/solutions/articles/84000365396",
)
.settings::<Mailmodo>()
.events::<Mailmodo>(&WEBHOOK)
.spec(SPEC);

/// Settings of a Mailmodo source: none, for Mailmodo signs nothing.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Mailmodo {}

static WEBHOOK: Webhook = Webhook {
    surfaces: &[Surface::json("", Signature::None { why: "Mailmodo documents no signature" })],
    calls: CALLS,
};

const MAPPING: Mapping = Mapping {
    // A form by itself has no name.
    event: "triggerData.triggerSource|'form submission'",
    // What starts a journey is called as its author has called it.
    verbatim: true,
    id: &["responseId|triggerData.formSubmissionData.responseId", "triggerData.journeyId"],
    time: "recordedAt.ts|triggerData.formSubmissionData.recordedAt.ts|received:",
    anonymous: "triggerData.email|recipientData.email|recipientEmail|triggerData.formSubmissionData.recipientEmail\
        |triggerData.userId",
    email: "triggerData.email|recipientData.email|recipientEmail|triggerData.formSubmissionData.recipientEmail",
    names: &[
        ("triggerData.userId", "mailmodo_user_id"),
        ("triggerData.formSubmissionData.formId", "form_id"),
        ("triggerData.formSubmissionData.submissionSource", "submission_type"),
        ("formId", "form_id"),
        ("submissionSource", "submission_type"),
        ("campaignId", "campaign_id"),
        ("campaignName", "campaign_name"),
    ],
    lift: &["triggerData.formSubmissionData", "triggerData.eventProperty", "triggerData"],
    calls: CALLS,
    ..Mapping::NEW
};

impl EventSource for Mailmodo {
    fn mapping(&self) -> Mapping<'_> {
        MAPPING
    }
}

const CALLS: &[CallType] = &[
    CallType::track(
        "Email Form Submitted",
        "form_id text, submission_type text, campaign_id text, campaign_name text, responseId text, fuuid text, \
         recipientEmail text, recipientData json, recordedAt json, total-steps text, next-step-id text, journeyId text, \
         mailmodo_user_id text, context.traits.email text",
    )
    .native("form submission")
    .when("a form in an email was sent"),
    CallType::track("", "journeyId text, triggerDetails text, mailmodo_user_id text, email text, context.traits.email text")
        .native("any other text of triggerSource")
        .when("a journey came to its webhook step; what started the journey is the call's name"),
];

/// What all of them may have.
const PROPERTIES: &str = "email_id text, email_subject text, email_type text, template_id text, template_name text, \
    campaign_id text, campaign_name text, campaign_type text, campaign_trigger_source text, apple_privacy_open bool, \
    link_id text, link_url text, form_id text, form_name text, submission_type text, reason text, is_hard_bounce bool";

const SPEC: &[CallType] = &[
    CallType::track("Email Sent", PROPERTIES).when("an email was sent"),
    CallType::track("Email Opened", PROPERTIES).when("the recipient opened it"),
    CallType::track("Link Clicked", PROPERTIES).when("the recipient clicked a link"),
    CallType::track("Email Form Submitted", PROPERTIES).when("a form or widget in an email was sent"),
    CallType::track("Email Marked as Spam", PROPERTIES).when("the recipient complained"),
    CallType::track("Email Bounced", PROPERTIES).when("the receiving server refused it"),
    CallType::track("Email Unsubscribed", PROPERTIES).when("the recipient left the mailing"),
];
