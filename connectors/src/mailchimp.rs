//! Mailchimp: what happens to the members of its audiences and to its campaigns, one event a delivery, as a form with
//! brackets. Mailchimp asks with GET whether an address is there before it takes it.

use headwater_core::prelude::*;

/// The registry's line.
pub const CONNECTOR: Connector = Connector::new(
    "mailchimp",
    "Mailchimp",
    "email",
    "https://mailchimp.com/developer/marketing/guides/sync-audience-data-webhooks/",
)
.settings::<Mailchimp>()
.events::<Mailchimp>(&WEBHOOK);

/// Settings of a Mailchimp source.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Mailchimp {
    /// The merge field that holds your own id of a person (`USERID`). Left out: people are known by Mailchimp's id of
    /// the member.
    user_id_field: Option<String>,
}

static WEBHOOK: Webhook = Webhook {
    surfaces: &[Surface {
        path: "",
        signature: Signature::None {
            why: "Mailchimp signs nothing and asks for a secret in the address, which the webhook key is",
        },
        items: Items::Form,
    }],
    calls: CALLS,
};

const MAPPING: Mapping = Mapping {
    event: "type",
    time: "fired_at",
    anonymous: "data.id|data.new_id|data.email|data.new_email",
    email: "data.email|data.new_email|data.merges.EMAIL",
    context: &[("ip", "data.ip_opt|data.ip_signup")],
    names: &[("data.id", "member_id")],
    lift: &["data"],
    calls: CALLS,
    ..Mapping::NEW
};

/// Who the member is: the merge fields that every audience has are traits as the Spec names them.
const TRAITS: Mapping = Mapping {
    names: &[
        ("data.id", "member_id"),
        ("data.merges.FNAME", "firstName"),
        ("data.merges.LNAME", "lastName"),
        ("data.merges.PHONE", "phone"),
    ],
    ..MAPPING
};

/// A campaign's id is nobody's: it is about the audience.
const CAMPAIGN: Mapping = Mapping {
    anonymous: "data.list_id",
    names: &[("data.id", "campaign_id"), ("data.subject", "email_subject")],
    ..MAPPING
};

impl EventSource for Mailchimp {
    fn handshake(&self, delivery: &Delivery) -> Option<Handshake> {
        (delivery.method == "GET").then_some(Handshake { reply: Reply::OK, then: None })
    }

    fn map(&self, item: &Item<'_>) -> Result<Vec<Output>> {
        let user = self.user_id_field.as_ref().map(|field| format!("data.merges.{field}"));
        let mapping = match item.record.text("type")?.as_deref() {
            Some("campaign") => CAMPAIGN,
            Some("profile") => TRAITS,
            _ => MAPPING,
        };
        let user = user.as_deref().unwrap_or_default();
        Ok(vec![Mapping { user, ..mapping }.call(item)?.into()])
    }
}

/// What every event of a member has, and more.
macro_rules! member {
    ($more:literal) => {
        concat!(
            "member_id text, list_id text, web_id text, email text, email_type text, merges json, context.traits.email text",
            $more
        )
    };
}

const CALLS: &[CallType] = &[
    CallType::track("Subscribed", member!(", ip_opt text, ip_signup text"))
        .native("subscribe")
        .when("a member joined the audience"),
    CallType::track("Unsubscribed", member!(", ip_opt text, action text, reason text, campaign_id text"))
        .native("unsubscribe")
        .when("a member left the audience or was deleted"),
    CallType::new(
        CallKind::Identify,
        "",
        "member_id text, list_id text, web_id text, email text, email_type text, ip_opt text, firstName text, \
         lastName text, phone text, merges json",
    )
    .native("profile")
    .when("what is known of a member changed"),
    CallType::track("Email Address Changed", "list_id text, new_id text, new_email text, old_email text")
        .native("upemail")
        .when("a member changed the address"),
    CallType::track("Email Address Cleaned", "list_id text, campaign_id text, reason text, email text")
        .native("cleaned")
        .when("an address bounced for good (hard) or complained (abuse)"),
    CallType::track("Campaign Sent", "campaign_id text, list_id text, email_subject text, status text, reason text")
        .native("campaign")
        .when("a campaign was sent or cancelled"),
];
