//! Freshchat: messages, and conversations that are assigned, resolved or opened again; one event a delivery, signed with the
//! account's own RSA key. The calls have the names that Freshchat's Segment app gives them; it posts those with a write
//! key, and two more.

use headwater_core::prelude::*;

/// The registry's line.
pub const CONNECTOR: Connector = Connector::new(
    "freshchat",
    "Freshchat",
    "chat",
    "https://crmsupport.freshworks.com/support/solutions/articles/50000004461-freshchat-webhooks-payload-structure-and-authentication",
)
.settings::<Freshchat>()
.events::<Freshchat>(&WEBHOOK)
.spec(SPEC);

/// Settings of a Freshchat source.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Freshchat {
    /// The public key that the webhook's settings show (PEM, or its base64 alone); two while it is being changed, the
    /// newer first.
    #[serde(default)]
    public_key: Secrets,
}

static WEBHOOK: Webhook = Webhook {
    surfaces: &[Surface::json(
        "",
        Signature::Rsa { at: Place::Header(&["x-freshchat-signature"]), over: &[Part::Body] },
    )],
    calls: CALLS,
};

const MAPPING: Mapping = Mapping {
    event: "action",
    id: &[
        "data.message.id|data.assignment.conversation.conversation_id|data.resolve.conversation.conversation_id|\
            data.reopen.conversation.conversation_id",
        "action",
        "action_time",
    ],
    time: "action_time",
    // Whoever acted, where that is a user, is found first, below.
    user: "data.message.user_id",
    anonymous: "data.message.conversation_id|data.assignment.conversation.conversation_id|\
        data.resolve.conversation.conversation_id|data.reopen.conversation.conversation_id|actor.actor_id",
    names: &[("data.message.id", "message_id")],
    lift: &[
        "data.message",
        "data.assignment.conversation",
        "data.resolve.conversation",
        "data.reopen.conversation",
        "data.assignment",
        "data.resolve",
        "data.reopen",
        "data",
        "actor",
    ],
    calls: CALLS,
    ..Mapping::NEW
};

impl EventSource for Freshchat {
    fn secrets(&self, _surface: &Surface) -> Vec<Secret> {
        self.public_key.all()
    }

    fn map(&self, item: &Item<'_>) -> Result<Vec<Output>> {
        let is_user = item.record.text("actor.actor_type")?.as_deref() == Some("user");
        let of_user = Mapping { user: "actor.actor_id|data.message.user_id", ..MAPPING };
        let mapping = if is_user { of_user } else { MAPPING };
        Ok(vec![mapping.call(item)?.into()])
    }
}

#[rustfmt::skip]
const CALLS: &[CallType] = &[
    CallType::track("On Message Create", "message_id text, message_parts json, message_type text, message_source text, conversation_id text, channel_id text, app_id text, actor_id text, actor_type text, user_id text, created_time time")
        .native("message_create").when("an agent or a user posted a message"),
    CallType::track("On Conversation Update", "conversation_id text, app_id text, channel_id text, status text, assigned_agent_id text, assigned_group_id text, assignor text, assignor_id text, to_agent_id text, to_group_id text, from_agent_id text, from_group_id text, resolver text, resolver_id text, reopener text, reopener_id text, actor_id text, actor_type text")
        .native("conversation_assignment|conversation_resolution|conversation_reopen")
        .when("a conversation was assigned, resolved or opened again"),
];

/// What Freshchat's Segment app posts; its properties are nowhere described.
#[rustfmt::skip]
const SPEC: &[CallType] = &[
    CallType::track("On Agent Activity Create", "").when("an agent's availability, or IntelliAssign status, changed"),
    CallType::track("On Conversation Create", "").when("a user began a conversation"),
    CallType::track("On Conversation Update", "").when("a conversation was assigned, resolved or opened again"),
    CallType::track("On Message Create", "").when("an agent or a user posted a message"),
];
