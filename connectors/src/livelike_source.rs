//! LiveLike: badges, rewards and quests of fans, and what they write and react to; one signed event a delivery.

use headwater_core::prelude::*;

/// The registry's line.
pub const CONNECTOR: Connector = Connector::new(
    "livelike-source",
    "LiveLike (Source)",
    "loyalty",
    "https://docs.livelike.com/docs/webhooks",
)
.settings::<LiveLike>()
.events::<LiveLike>(&WEBHOOK)
.spec(SPEC);

/// Settings of a LiveLike source.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LiveLike {
    /// The application's client secret, which signs the webhooks; two while it is being changed, the newer first.
    #[serde(default)]
    client_secret: Secrets,
}

const SIGNED: Hmac = Hmac {
    hash: Hash::Sha1,
    encoding: Encoding::Base64,
    ..Hmac::body(Place::Header(&["x-webhook-signature"]))
};

static WEBHOOK: Webhook = Webhook {
    surfaces: &[Surface {
        path: "",
        // What is signed is the payload as JSON without white space, whatever the body looks like.
        signature: Signature::Any(&[
            Signature::Hmac(SIGNED),
            Signature::Hmac(Hmac { over: &[Part::BodyMinified], ..SIGNED }),
        ]),
        items: Items::Json(""),
    }],
    calls: CALLS,
};

const MAPPING: Mapping = Mapping {
    event: "event",
    id: &["id"],
    time: "created_at",
    user: "data.profile_custom_id|data.author_custom_id|data.reaction_created_by_custom_id",
    anonymous: "data.profile_id|data.author_id|data.reaction_created_by_id",
    // Flairs and chat rooms are nobody's.
    otherwise: "data.chat_room_id|data.id|id",
    names: &[("data.profile_id", "livelike_profile_id")],
    lift: &["data"],
    prefix: "data_",
    calls: CALLS,
    ..Mapping::NEW
};

/// A reply names two authors; it is about the one who replied.
const REPLY: Mapping =
    Mapping { user: "data.reply_author_custom_id", anonymous: "data.reply_author_id", ..MAPPING };

impl EventSource for LiveLike {
    fn secrets(&self, _surface: &Surface) -> Vec<Secret> {
        self.client_secret.all()
    }

    fn map(&self, item: &Item<'_>) -> Result<Vec<Output>> {
        let mapping = if item.record.at("data.reply_author_id")?.is_some() { REPLY } else { MAPPING };
        Ok(vec![mapping.call(item)?.into()])
    }
}

const FLAIR: &str = "data_id text, client_id text, name text, description text, image text, text_color text, \
    background_color text, is_active bool, attributes json, created_at time, updated_at time";
const FLAIR_ASSIGNMENT: &str = "data_id text, livelike_profile_id text, is_active bool, assigned_by_id text, \
    assigned_by_nickname text, assigned_by_custom_id text, flair json, scope json, created_at time, updated_at time";
const REACTION: &str = "reaction_name text, reaction_id text, target_id text, user_reaction_id text, \
    reaction_space_id text, reaction_space_target_group_id text, reaction_created_by_id text, \
    reaction_created_by_custom_id text, reaction_created_by_nickname text";
const REWARD: &str = "livelike_profile_id text, reward_item_id text, reward_item_amount numeric, \
    reward_item_balance numeric, reward_transaction_id text, reward_action_id text, reward_action_key text, \
    reward_table_id text, client_id text, profile_custom_id text, nickname text";

const CALLS: &[CallType] = &[
    CallType::track(
        "Badge Rewarded",
        "livelike_profile_id text, badge_id text, badge_title text, description text, earned_badge_id text, \
         image_url text, reward_item_id text, reward_item_name text, reward_item_threshold numeric, client_id text, \
         profile_custom_id text",
    )
    .native("badge-awarded")
    .when("a fan gets a badge"),
    CallType::track("Reward Item Rewarded", REWARD)
        .native("reward-table-rewards-awarded")
        .when("a fan gets a reward from a reward table"),
    CallType::track("Quest Reward Awarded", REWARD)
        .native("user-quest-reward-awarded")
        .when("a fan gets the reward of a finished quest"),
    CallType::track("User Reward Awarded", REWARD)
        .native("user-reward-awarded")
        .when("a fan gets a reward in any way"),
    CallType::track(
        "Quest Task Completed",
        "livelike_profile_id text, quest_id text, quest_task_id text, user_quest_id text, user_quest_task_id text, \
         status text, progress numeric, created_at time, completed_at time, client_id text, nickname text",
    )
    .native("user-quest-task-completed")
    .when("a fan completes a task of a quest"),
    CallType::track(
        "User Quest Task Progressed",
        "livelike_profile_id text, quest_id text, quest_task_id text, user_quest_id text, user_quest_task_id text, \
         custom_increment numeric, custom_progress numeric, client_id text, nickname text",
    )
    .native("user-quest-task-progressed")
    .when("a fan gets on with a task of a quest"),
    CallType::track(
        "User Quest Completed",
        "livelike_profile_id text, quest_id text, user_quest_id text, quest_task_ids json, user_quest_task_ids json, \
         status text, rewards_status text, rewards_claimed_at time, timer_expired bool, active_until time, \
         created_at time, completed_at time, client_id text, nickname text",
    )
    .native("user-quest-completed")
    .when("a fan completes a quest"),
    CallType::track(
        "Comment Created",
        "comment_id text, comment_text text, comment_board_id text, author_id text, author_nickname text, \
         author_image_url text, author_custom_id text, client_id text, created_at time",
    )
    .native("comment-created")
    .when("a comment is written"),
    CallType::track(
        "Comment Reply Created",
        "reply_comment_id text, reply_text text, reply_author_id text, reply_author_nickname text, \
         reply_author_image_url text, reply_author_custom_id text, comment_id text, comment_text text, \
         comment_board_id text, author_id text, author_nickname text, author_image_url text, author_custom_id text, \
         client_id text, created_at time",
    )
    .native("comment-reply-created")
    .when("a comment is replied to; the person is the one who replied"),
    CallType::track(
        "Comment Mention Created",
        "livelike_profile_id text, profile_custom_id text, profile_nickname text, mentioned_by_id text, \
         mentioned_by_custom_id text, mentioned_by_nickname text, comment_id text, comment_text text, \
         start_index int, end_index int, parent_comment_id text, parent_comment_author_id text, \
         parent_comment_author_custom_id text, parent_comment_author_nickname text, comment_board_id text, \
         client_id text, created_at time",
    )
    .native("comment-mention-created")
    .when("a fan is mentioned in a comment"),
    CallType::track(
        "Chat Mention Created",
        "livelike_profile_id text, message_id text, message text, mentioned_by_id text, start_index int, \
         end_index int, client_id text, created_at time",
    )
    .native("chat-mention-created")
    .when("a fan is mentioned in a chat"),
    CallType::track(
        "Chat Message Throttle Updated",
        "chat_room_id text, chat_message_throttle_seconds int, title text, client_id text",
    )
    .native("chat-message-throttle-updated")
    .when("a chat room's pause between messages is changed"),
    CallType::track(
        "Profile Relationship Created",
        "relationship_type text, livelike_profile_id text, profile_nickname text, profile_custom_id text, \
         to_profile_id text, to_profile_nickname text, to_profile_custom_id text, is_active bool, client_id text, \
         created_at time",
    )
    .native("profile-relationship-created")
    .when("a fan follows another, say"),
    CallType::track(
        "Role Assignment Created",
        "livelike_profile_id text, role_id text, role_key text, scope_id text, client_id text, created_at time",
    )
    .native("role-assignment-created")
    .when("somebody is given a role"),
    CallType::track("User Reaction Created", REACTION).native("user-reaction-created").when("a fan reacts"),
    CallType::track("User Reaction Deleted", REACTION)
        .native("user-reaction-deleted")
        .when("a fan takes a reaction back"),
    CallType::track("Flair Created", FLAIR).native("flair-created").when("a flair is made"),
    CallType::track("Flair Updated", FLAIR).native("flair-updated").when("a flair is changed"),
    CallType::track("Flair Deactivated", FLAIR).native("flair-deactivated").when("a flair is switched off"),
    CallType::track("Flair Reactivated", FLAIR)
        .native("flair-reactivated")
        .when("a flair is switched on again"),
    CallType::track("Flair Assignment Created", FLAIR_ASSIGNMENT)
        .native("flair-assignment-created")
        .when("a fan is given a flair"),
    CallType::track("Flair Assignment Updated", FLAIR_ASSIGNMENT)
        .native("flair-assignment-updated")
        .when("a fan's flair is changed"),
    CallType::track("Flair Assignment Deleted", FLAIR_ASSIGNMENT)
        .native("flair-assignment-deleted")
        .when("a flair is taken from a fan"),
];

/// What LiveLike posts itself with a write key.
const SPEC: &[CallType] = &[
    CallType::track(
        "Badge Rewarded",
        "livelike_profile_id text, badge_id text, badge_title text, description text, earned_badge_id text, \
         image_url text, reward_item_id text, reward_item_name text, reward_item_threshold numeric",
    )
    .when("a fan gets a badge"),
    CallType::track(
        "Quest Task Completed",
        "livelike_profile_id text, quest_id text, quest_name text, quest_task_id text, quest_task_name text, \
         user_quest_id text, user_quest_task_id text",
    )
    .when("a fan completes a task of a quest"),
    CallType::track(
        "Quest Reward Awarded",
        "livelike_profile_id text, quest_id text, quest_name text, reward_item_name text, \
         reward_item_amount numeric, reward_item_balance numeric, reward_item_id text, \
         reward_item_transaction_id text",
    )
    .when("a fan gets the reward of a finished quest"),
    CallType::track(
        "Reward Item Rewarded",
        "livelike_profile_id text, reward_item_name text, reward_item_amount numeric, reward_item_balance numeric, \
         reward_item_id text, reward_item_transaction_id text",
    )
    .when("a fan gets a reward from a reward table"),
    CallType::track(
        "User Quest Task Progressed",
        "livelike_profile_id text, quest_id text, quest_name text, quest_task_id text, quest_task_name text, \
         quest_task_target_value numeric, user_quest_id text, user_quest_task_id text, \
         user_quest_task_progress numeric",
    )
    .when("a fan gets on with a task of a quest"),
    CallType::track(
        "User Quest Completed",
        "livelike_profile_id text, quest_id text, quest_name text, user_quest_id text",
    )
    .when("a fan completes a quest"),
];
