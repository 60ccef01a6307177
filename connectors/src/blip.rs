//! Blip: chatbots. A bot's webhook gets the messages that it sends and receives, the events that it tracks, and, if that is
//! switched on, its contacts; nothing in a body says which of them it is but its members. Blip posts the same as calls with
//! a write key.

use headwater_core::prelude::*;

/// The registry's line.
pub const CONNECTOR: Connector = Connector::new(
    "blip",
    "Blip",
    "chat",
    "https://help.blip.ai/hc/en-us/articles/29187147295767-Webhook-Submission-Format",
)
.settings::<Blip>()
.events::<Blip>(&WEBHOOK)
.spec(CALLS);

/// Settings of a Blip source.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Blip {
    /// A custom header that the webhook was given, as `Name: value`; two while it is being changed, the newer first. Blip
    /// signs nothing: without one, only the secret webhook key in the address lets a delivery in.
    #[serde(default)]
    header: Secrets,
}

static WEBHOOK: Webhook = Webhook {
    surfaces: &[Surface::json(
        "",
        Signature::Optional {
            one: &Signature::Token { at: Place::CustomHeader, prefix: "" },
            why: "Blip signs nothing, and custom headers are the bot owner's choice",
        },
    )],
    calls: CALLS,
};

/// A message that the bot has got.
const RECEIVED: Mapping = Mapping { id: &["id"], user: "from", ..Mapping::NEW };

/// A message that the bot, or an agent for it, has sent.
const SENT: Mapping = Mapping { user: "to", ..RECEIVED };

/// An event of the bot's: several may be of one message.
const EVENT: Mapping = Mapping {
    time: "storageDate",
    user: "contact.Identity|contact.identity|identity",
    otherwise: "ownerIdentity|messageId",
    calls: CALLS,
    ..Mapping::NEW
};

/// A contact, as it was then.
const CONTACT: Mapping = Mapping {
    time: "lastMessageDate|lastUpdateDate",
    user: "identity|Identity",
    email: "email",
    context: &[("traits.phone", "phoneNumber"), ("traits.name", "name"), ("locale", "culture")],
    calls: CALLS,
    ..Mapping::NEW
};

impl EventSource for Blip {
    fn secrets(&self, _surface: &Surface) -> Vec<Secret> {
        self.header.all()
    }

    fn map(&self, item: &Item<'_>) -> Result<Vec<Output>> {
        let body = &item.record;
        let mut call = if body.text("category")?.is_some() {
            EVENT.fill(item, Call::track("Event Tracked"))?
        } else if body.text("type")?.is_some() {
            let is_bot = |address: Option<String>| {
                address.is_some_and(|address| bare(&address).ends_with("@msging.net"))
            };
            let call = match is_bot(body.text("from")?) {
                true => SENT.fill(item, Call::track("Message Sent"))?,
                false => RECEIVED.fill(item, Call::track("Message Received"))?,
            };
            // The member's name has a dot in it, so that no path leads there.
            let metadata = body.part("metadata")?.map(|metadata| metadata.fields()).transpose()?;
            let stored = metadata.and_then(|mut metadata| metadata.take_text("#envelope.storageDate"));
            call.at(stored.and_then(|time| parse_time(&time)))
        } else if body.text("identity")?.is_some() {
            CONTACT.fill(item, Call::identify())?
        } else {
            return Err(Error::unexpected(
                "neither a message (type), nor an event (category), nor a contact (identity)",
            ));
        };
        call.user_id = call.user_id.map(|id| bare(&id).to_owned());
        Ok(vec![call.into()])
    }
}

/// An address without the instance of the client: `name@domain/instance`.
fn bare(address: &str) -> &str {
    address.split('/').next().unwrap_or(address)
}

#[rustfmt::skip]
const CALLS: &[CallType] = &[
    CallType::track("Message Sent", "type text, content json, from text, to text, metadata json")
        .native("message from the bot").when("the bot, or an agent for it, sent a message"),
    CallType::track("Message Received", "type text, content json, from text, to text, metadata json")
        .native("message to the bot").when("somebody wrote to the bot"),
    CallType::track("Event Tracked", "category text, action text, contact json, extras json, ownerIdentity text, identity text, messageId text")
        .native("event").when("the bot tracked an event"),
    CallType::new(CallKind::Identify, "", "name text, email text, phoneNumber text, city text, gender text, extras json, source text, group text")
        .native("contact").when("a contact was made or changed, if the webhook sends contacts"),
];
