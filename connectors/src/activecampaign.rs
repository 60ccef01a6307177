//! ActiveCampaign: its contacts, campaigns and deals, one event a delivery as a form with brackets, and the Email Spec,
//! which its Segment integration posts with a write key. No webhook tells of a delivered email or of a complaint.

use headwater_core::{prelude::*, spec::EMAIL};

/// The registry's line.
pub const CONNECTOR: Connector = Connector::new(
    "activecampaign",
    "ActiveCampaign",
    "email",
    "https://developers.activecampaign.com/page/webhooks",
)
.settings::<ActiveCampaign>()
.events::<ActiveCampaign>(&WEBHOOK)
.spec(EMAIL);

/// Settings of an ActiveCampaign source.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ActiveCampaign {
    /// The custom field of contacts that holds your own id of a person, as webhooks write it: its number, or its tag.
    /// Left out: people are known by their address.
    user_id_field: Option<String>,
}

static WEBHOOK: Webhook = Webhook {
    surfaces: &[Surface {
        path: "",
        signature: Signature::None { why: "ActiveCampaign documents no signature" },
        items: Items::Form,
    }],
    calls: CALLS,
};

const MAPPING: Mapping = Mapping {
    event: "type",
    time: "date_time",
    anonymous: "contact.email|contact.id|deal.contact_email|deal.contactid",
    // Without a contact it is about the account: then it is of whoever did it.
    otherwise: "initiated_by|initiated_from|'account'",
    email: "contact.email|deal.contact_email",
    group: "account.id|account_id|customer_acct_id|customer_account_id",
    context: &[
        ("ip", "contact.ip|contact.ip4"),
        ("userAgent", "User-Agent"),
        ("traits.phone", "contact.phone|sms.phone"),
    ],
    names: &[
        ("campaign.id", "campaign_id"),
        ("campaign.name", "campaign_name"),
        ("campaign.message.id", "email_id"),
        ("campaign.message.subject", "email_subject"),
        ("link.id", "link_id"),
        ("link.url", "link_url"),
        ("contact.id", "contact_id"),
    ],
    calls: CALLS,
    ..Mapping::NEW
};

impl EventSource for ActiveCampaign {
    fn map(&self, item: &Item<'_>) -> Result<Vec<Output>> {
        let user = self.user_id_field.as_ref().map(|field| format!("contact.fields.{field}"));
        let user = user.as_deref().unwrap_or_default();
        // Of the one event that says who somebody is, the contact's members are the traits.
        let lift: &[_] =
            if item.record.text("type")?.as_deref() == Some("update") { &["contact"] } else { &[] };
        Ok(vec![Mapping { user, lift, ..MAPPING }.call(item)?.into()])
    }
}

/// What every event of a contact has, and more.
macro_rules! contact {
    ($more:literal) => {
        concat!(
            "initiated_from text, initiated_by text, list text, contact_id text, contact json, context.traits.email text",
            $more
        )
    };
}

/// What every event of a campaign and a contact has, and more.
macro_rules! campaign {
    ($more:literal) => {
        concat!(
            "initiated_from text, initiated_by text, list text, contact_id text, contact json, campaign_id text, ",
            "campaign_name text, email_id text, email_subject text, campaign json, context.traits.email text",
            $more
        )
    };
}

const OPEN: &str = campaign!(", context.userAgent text");
const CLICK: &str = campaign!(", link_id text, link_url text");
const SMS: &str = contact!(", sms json");
const ACCOUNT: &str = "initiated_from text, initiated_by text, account json, context.groupId text";
const MEMBER: &str = contact!(", account json, accountContact json, context.groupId text");
const DEAL: &str = contact!(", deal json");
const SETUP: &str = "initiated_from text, initiated_by text";

const fn event(
    native: &'static str,
    name: &'static str,
    properties: &'static str,
    when: &'static str,
) -> CallType {
    CallType::track(name, properties).native(native).when(when)
}

#[rustfmt::skip]
const CALLS: &[CallType] = &[
    event("open", "Email Opened", OPEN, "a contact opened a campaign's email"),
    event("click", "Email Link Clicked", CLICK, "a contact clicked a link"),
    event("bounce", "Email Bounced", campaign!(", bounce json"), "the receiving server refused it"),
    event("unsubscribe", "Email Unsubscribed", campaign!(", unsubscribe json"), "a contact left a list"),
    event("sent", "Email Sent", campaign!(""), "a campaign starts to be sent; of no single contact"),
    event("reply", "Email Replied", campaign!(", message text, result text"), "a contact answered"),
    event("forward", "Email Forwarded", campaign!(", forward json"), "a contact forwarded it"),
    event("share", "Campaign Shared", campaign!(", share json"), "a contact shared a campaign"),
    event("subscribe", "Subscribed", contact!(", form json"), "a contact joined a list"),
    CallType::new(CallKind::Identify, "", "contact_id text, email text, first_name text, last_name text, phone text, \
        ip text, tags text, orgname text, fields json").native("update").when("what is known of a contact changed"),
    event("contact_tag_added", "Contact Tagged", contact!(", tag text"), "a contact got a tag"),
    event("contact_tag_removed", "Contact Untagged", contact!(", tag text"), "a contact lost a tag"),
    event("subscriber_note", "Contact Note Added", contact!(", note text"), "a note was written on a contact"),
    event("contact_task_add", "Contact Task Added", contact!(", task json"), "a task was made for a contact"),
    event("account_add", "Account Created", ACCOUNT, "an account was made"),
    event("account_update", "Account Updated", ACCOUNT, "an account changed"),
    event("account_contact_add", "Account Contact Added", MEMBER, "a contact joined an account"),
    event("account_contact_update", "Account Contact Updated", MEMBER, "a contact's part in an account changed"),
    event("list_add", "List Created", SETUP, "a list was made"),
    event("deal_add", "Deal Created", DEAL, "a deal was made"),
    event("deal_update", "Deal Updated", contact!(", deal json, updated_fields json"), "a deal changed"),
    event("deal_note_add", "Deal Note Added", contact!(", deal json, note json"), "a note was written on a deal"),
    event("deal_task_add", "Deal Task Added", contact!(", deal json, task json"), "a task was made for a deal"),
    event("deal_task_complete", "Deal Task Completed", contact!(", deal json, task json"), "a deal's task was done"),
    event("deal_pipeline_add", "Deal Pipeline Created", SETUP, "a pipeline was made"),
    event("deal_stage_add", "Deal Stage Created", SETUP, "a stage was made"),
    event("deal_tasktype_add", "Deal Task Type Created", SETUP, "a type of tasks was made"),
    event("sms_sent", "SMS Sent", SMS, "a text message was sent"),
    event("sms_reply", "SMS Received", SMS, "a contact answered a text message"),
    event("sms_unsub", "SMS Unsubscribed", SMS, "a contact wants no text messages"),
];
