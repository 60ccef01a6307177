//! Marketo Engage: webhooks that a smart campaign calls for a lead. The body is what its author writes, with tokens that
//! Marketo replaces (as JSON: it quotes the text ones itself); this one maps whole:
//!
//! ```json
//! {"name": "Campaign Joined", "description": "", "step": 1, "user_id": {{lead.User ID}},
//!  "lead": {"id": {{lead.Id}}, "email_address": {{lead.Email Address}}, "first_name": {{lead.First Name}},
//!           "last_name": {{lead.Last Name}}, "lead_score": {{lead.Lead Score}}, "lead_source": {{lead.Lead Source}},
//!           "unsubscribed": {{lead.Unsubscribed}}},
//!  "company": {"name": {{company.Company Name}}},
//!  "campaign": {"id": {{campaign.id}}, "name": {{campaign.name}}, "description": {{campaign.description}}},
//!  "program": {"id": {{program.id}}, "name": {{program.name}}, "description": {{program.description}}},
//!  "datetime": {{system.dateTime}}, "unsubscribe_link": {{system.unsubscribeLink}}}
//! ```
//!
//! `name` becomes the call's name as it is written; `{{lead.User ID}}` stands for the field that holds our own id, if there
//! is one. Two bodies that are the same in every byte are one event: the time tells them apart, to a second.

use headwater_core::prelude::*;

/// The registry's line.
pub const CONNECTOR: Connector = Connector::new(
    "marketo",
    "Marketo",
    "email",
    "https://experienceleague.adobe.com/en/docs/marketo-developer/marketo/webhooks/webhooks",
)
.settings::<Marketo>()
.events::<Marketo>(&WEBHOOK);

/// Settings of a Marketo source.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Marketo {
    /// The custom header that the webhook was given (Webhooks Actions, Set Custom Header), as `Name: value`; two while it
    /// is being changed, the newer first. Marketo signs nothing: without one, only the secret webhook key in the
    /// address lets a delivery in.
    #[serde(default)]
    header: Secrets,
}

static WEBHOOK: Webhook = Webhook {
    surfaces: &[Surface::json(
        "",
        Signature::Optional {
            one: &Signature::Token { at: Place::CustomHeader, prefix: "" },
            why: "Marketo signs nothing, and a custom header is the webhook author's choice",
        },
    )],
    calls: CALLS,
};

const MAPPING: Mapping = Mapping {
    event: "name|'Webhook Received'",
    verbatim: true,
    time: "datetime",
    user: "user_id|lead.user_id",
    anonymous: "lead.id|lead.email_address|lead.email",
    email: "lead.email_address|lead.email",
    context: &[("campaign.name", "campaign.name"), ("traits.phone", "lead.phone")],
    prefix: "webhook_",
    calls: CALLS,
    ..Mapping::NEW
};

impl EventSource for Marketo {
    fn secrets(&self, _surface: &Surface) -> Vec<Secret> {
        self.header.all()
    }

    fn mapping(&self) -> Mapping<'_> {
        MAPPING
    }
}

const CALLS: &[CallType] = &[CallType::track(
    "",
    "description text, step int, lead json, company json, social json, campaign json, program json, munchkinId text, \
        unsubscribe_link text, view_as_webpage_link text",
)
.native("*")
.when("a campaign called the webhook for a lead; the call has the name that the body's author wrote")];
