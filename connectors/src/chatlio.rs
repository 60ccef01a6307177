//! Chatlio: live chat that agents answer in Slack. Its webhooks are one address for each event, and their bodies do not say
//! which event they are: give each the same address with its own ending, `…/new-conversation`, `…/transcript`,
//! `…/offline-message`, `…/unanswered-message`, `…/feedback`. Without an ending the body's members tell the first three
//! apart. Of the last two no body is published. Single messages come only with the write key.

use headwater_core::prelude::*;

/// The registry's line.
pub const CONNECTOR: Connector =
    Connector::new("chatlio", "Chatlio", "chat", "https://chatlio.com/docs/webhooks/")
        .settings::<Chatlio>()
        .events::<Chatlio>(&WEBHOOK)
        .spec(SPEC);

/// Settings of a Chatlio source: there are none, for Chatlio signs nothing.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Chatlio {}

static WEBHOOK: Webhook = Webhook {
    surfaces: &[Surface::json(
        "",
        Signature::None { why: "Chatlio signs nothing: it asks only for an address" },
    )],
    calls: CALLS,
};

const MAPPING: Mapping = Mapping {
    time: "endedAt",
    user: "visitor.identUserId",
    anonymous: "visitor.UUID|visitor.email|email|visitorEmail|replyToEmail|conversationUUID",
    email: "visitor.email|email|visitorEmail|replyToEmail",
    context: &[
        ("ip", "visitor.IPAddress"),
        ("userAgent", "visitor.userAgent"),
        ("page.url", "visitor.currentPage|visitorTraits.current_page"),
        ("page.referrer", "visitor.referrerURL"),
        ("traits.name", "visitor.name|name|visitorName"),
    ],
    names: &[
        ("conversationUUID", "conversation_id"),
        ("agentName", "agent_name"),
        ("agentEmail", "agent_email"),
    ],
    calls: CALLS,
    ..Mapping::NEW
};

/// A conversation begins once, and ends whenever it ends; of any other event the digest is the id.
const STARTED: Mapping = Mapping { id: &["conversationUUID", "'new-conversation'"], ..MAPPING };
const ENDED: Mapping = Mapping { id: &["conversationUUID", "'transcript'", "endedAt"], ..MAPPING };

impl EventSource for Chatlio {
    fn map(&self, item: &Item<'_>) -> Result<Vec<Output>> {
        let chat = &item.record;
        let event = match item.delivery.path_tail.as_str() {
            "" if chat.at("endedAt")?.is_some() => "transcript",
            "" if chat.at("email")?.is_some() => "offline-message",
            "" => "new-conversation",
            tail => tail,
        };
        let listed = WEBHOOK.by_native(event);
        let call =
            listed.map_or_else(|| Call::track(format!("Live Chat {}", title_case(event))), CallType::call);
        let mapping = match event {
            "new-conversation" => STARTED,
            "transcript" => ENDED,
            _ => MAPPING,
        };
        Ok(vec![mapping.fill(item, call)?.into()])
    }
}

const VISITOR: &str = "conversation_id text, message text, visitor json, channelId text, slackChannelId text, \
    slackChannelName text";

#[rustfmt::skip]
const CALLS: &[CallType] = &[
    CallType::track("Live Chat Conversation Started", VISITOR).native("new-conversation").when("a visitor began a chat"),
    CallType::track("Live Chat Conversation Ended", "conversation_id text, agent_name text, agent_email text, archiveUrl text, startedAt time, htmlBody text, textBody text, messages json, extraData json, visitorEmail text, visitorName text, visitorTraits json, channelId text, channelName text")
        .native("transcript").when("a chat was over, and its transcript sent"),
    CallType::track("Live Chat Offline Message Received", "name text, email text, emailPretty text, message text, visitor json, channelId text")
        .native("offline-message").when("a visitor left a message while nobody was there"),
    CallType::track("Live Chat Message Unanswered", VISITOR).native("unanswered-message").when("nobody answered a visitor in time"),
    CallType::track("Live Chat Feedback Received", VISITOR).native("feedback").when("a visitor rated a chat"),
];

const CHAT: &str = "agent_id text, agent_name text, agent_username text, conversation_duration int, \
    conversation_id text, message_id text";

/// What Chatlio's Segment integration posts.
#[rustfmt::skip]
const SPEC: &[CallType] = &[
    CallType::track("Live Chat Conversation Started", CHAT).when("a chat began"),
    CallType::track("Live Chat Conversation Ended", CHAT).when("a chat ended"),
    CallType::track("Live Chat Message Sent", CHAT).when("an agent wrote"),
    CallType::track("Live Chat Message Received", CHAT).when("a visitor wrote"),
];
