//! Beamer: new posts, and what users say of them: comments, reactions, NPS scores. A webhook is for one kind of event, and
//! all of them may post to the same address: what a body holds tells its kind.

use headwater_core::prelude::*;

/// The registry's line.
pub const CONNECTOR: Connector =
    Connector::new("beamer", "Beamer", "other", "https://www.getbeamer.com/docs")
        .settings::<Beamer>()
        .events::<Beamer>(&WEBHOOK)
        .spec(SPEC);

/// Settings of a Beamer source.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Beamer {
    /// The secrets of the webhooks; Beamer makes one for each of them.
    #[serde(default)]
    webhook_secret: Secrets,
}

static WEBHOOK: Webhook =
    Webhook { surfaces: &[Surface::json("", Signature::header(&["beamer-webhook-secret"]))], calls: CALLS };

/// What only one kind of event has.
const KINDS: [(&str, &str); 4] = [
    ("score", "New NPS Score"),
    ("reaction", "New Reaction"),
    ("text", "New Comment"),
    ("title", "New Post"),
];

const MAPPING: Mapping = Mapping {
    time: "date",
    user: "userId",
    // Visitors whom the customer's site does not know have no name at all; nor has a post.
    otherwise: "userEmail|id|'anonymous'",
    email: "userEmail",
    context: &[
        ("traits.firstName", "userFirstName"),
        ("traits.lastName", "userLastName"),
        ("page.url", "url"),
        ("page.referrer", "refUrl"),
        ("locale", "language"),
    ],
    names: &[("postTitle", "post"), ("text", "comment"), ("feedback", "comment"), ("id", "post_id")],
    calls: CALLS,
    ..Mapping::NEW
};

impl EventSource for Beamer {
    fn secrets(&self, _surface: &Surface) -> Vec<Secret> {
        self.webhook_secret.all()
    }

    fn map(&self, item: &Item<'_>) -> Result<Vec<Output>> {
        for (member, kind) in KINDS {
            if let (Some(_), Some(named)) = (item.record.at(member)?, WEBHOOK.by_native(kind)) {
                return Ok(vec![MAPPING.fill(item, named.call())?.into()]);
            }
        }
        Err(Error::unexpected("neither a post, nor a comment, a reaction or a score"))
    }
}

const CALLS: &[CallType] = &[
    CallType::track(
        "Post Commented",
        "post text, comment text, url text, userEmail text, userFirstName text, userLastName text, \
         userCustomAttributes json",
    )
    .native("New Comment")
    .when("a comment was left on a post"),
    CallType::track(
        "Post Reacted To",
        "post text, reaction text, url text, userEmail text, userFirstName text, userLastName text, \
         userCustomAttributes json",
    )
    .native("New Reaction")
    .when("a reaction was left on a post: positive, neutral or negative"),
    CallType::track(
        "NPS Response Sent",
        "score int, comment text, url text, refUrl text, userEmail text, userFirstName text, userLastName text, \
         userCustomAttributes json",
    )
    .native("New NPS Score")
    .when("the NPS question was answered"),
    CallType::track(
        "Post Published",
        "post_id int, title text, content text, category text, published bool, language text, postUrl text, \
         linkUrl text, linkText text",
    )
    .native("New Post")
    .when("a post was published"),
];

const SPEC: &[CallType] = &[
    CallType::track("Post Viewed", "post text, language text, origin text")
        .when("a post was seen in the feed"),
    CallType::track("Link Clicked", "post text, language text, url text")
        .when("a link in a post was clicked"),
    CallType::track("Push Notification Clicked", "post text, language text, url text")
        .when("a web push notification was clicked"),
    CallType::track("Post Commented", "post text, comment text").when("a comment was left on a post"),
    CallType::track("Post Reacted To", "post text, reaction text").when("a reaction was left on a post"),
    CallType::track("NPS Response Sent", "score int, comment text").when("the NPS question was answered"),
];
