//! Gladly: conversations, contacts, tasks, customers and agents; one event a delivery. A webhook proves itself with Basic
//! credentials or headers of its maker's choice; `…/signed` takes Gladly's request signing, which it documents for look-up
//! adaptors and not for webhooks.

use headwater_core::prelude::*;

/// The registry's line.
pub const CONNECTOR: Connector =
    Connector::new("gladly", "Gladly", "support", "https://developer.gladly.com/rest/#tag/Webhooks")
        .settings::<Gladly>()
        .events::<Gladly>(&WEBHOOK)
        .spec(SPEC);

/// Settings of a Gladly source.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Gladly {
    /// What the webhook was made with: its Basic credentials as `user:password`, or a header of its own as
    /// `Name: value`; two while they are being changed, the newer first. Without them only the secret webhook key in
    /// the address lets a delivery in.
    #[serde(default)]
    credentials: Secrets,
    /// The signing key that proves signed requests, which come to the address with `/signed` behind it; two while it is
    /// being changed.
    #[serde(default)]
    signing_key: Secrets,
}

static WEBHOOK: Webhook = Webhook {
    surfaces: &[
        Surface {
            path: "",
            signature: Signature::Optional {
                one: &Signature::CREDENTIALS,
                why: "a webhook has credentials or headers if its maker gave it some",
            },
            items: Items::Json(""),
        },
        Surface { path: "signed", signature: Signature::Hmac(SIGNED), items: Items::Json("") },
    ],
    calls: CALLS,
};

/// As AWS signs requests: each day has a key of its own, and what is signed is a digest of the whole request.
const SIGNED: Hmac = Hmac {
    key: Key::Daily,
    grammar: Grammar::SignedHeaders,
    over: &[
        Part::Text("hmac-sha256\n"),
        Part::Stamp,
        Part::Text("\n"),
        Part::Sha256(&[
            Part::Method,
            Part::Text("\n"),
            Part::Path,
            Part::Text("\n"),
            Part::Query,
            Part::Text("\n"),
            Part::SignedHeaders,
            Part::Text("\n"),
            Part::SignedHeaderNames,
            Part::Text("\n"),
            Part::Sha256(&[Part::Body]),
        ]),
    ],
    stamp: Some(Stamp::header(&["gladly-time"], StampFormat::Compact)),
    ..Hmac::body(Place::Header(&["gladly-authorization"]))
};

const MAPPING: Mapping = Mapping {
    event: "type",
    id: &["id"],
    time: "timestamp",
    user: "content.customerId|content.destinationCustomerId",
    otherwise: "content.agentId|initiator.id|content.jobId|id",
    previous: "content.sourceCustomerId",
    names: &[("content.context", "event_context")],
    lift: &["content"],
    calls: CALLS,
    ..Mapping::NEW
};

impl EventSource for Gladly {
    fn secrets(&self, surface: &Surface) -> Vec<Secret> {
        match surface.path {
            "signed" => self.signing_key.all(),
            _ => self.credentials.all(),
        }
    }

    /// What is sent when a webhook is made.
    fn handshake(&self, delivery: &Delivery) -> Option<Handshake> {
        let record = Record::parse(&delivery.body).ok()?;
        matches!(record.text("type"), Ok(Some(kind)) if kind == "PING")
            .then_some(Handshake { reply: Reply::OK, then: None })
    }

    fn mapping(&self) -> Mapping<'_> {
        MAPPING
    }
}

const CONVERSATION: &str = "conversationId text, topicId text, noteId text, customAttribute json, event_context json, initiator \
    json";
const CUSTOMER: &str = "destinationCustomerId text, destinationConversationId text, sourceCustomerId text, \
    sourceConversationId text, initiator json";
const CONTACT: &str = "contactId text, conversationId text, messageId text, channel text, agentId text, event_context json, \
    initiator json";
const TASK: &str =
    "taskId text, conversationId text, commentId text, agentId text, event_context json, initiator json";
const PAYMENT: &str = "payment json, conversationId text, event_context json, initiator json";
const AGENT: &str = "agentId text, availableFor json, occurredAt time, event_context json, initiator json";
const EXPORT: &str = "jobId text, event_context json, initiator json";

#[rustfmt::skip]
const CALLS: &[CallType] = &[
    CallType::track("Conversation Opened", CONVERSATION).native("CONVERSATION/CREATED").when("a conversation was opened"),
    CallType::track("Conversation Closed", CONVERSATION).native("CONVERSATION/CLOSED").when("a conversation was closed"),
    CallType::track("Conversation Reopened", CONVERSATION).native("CONVERSATION/REOPENED").when("a conversation was opened again"),
    CallType::track("Conversation Note Created", CONVERSATION).native("CONVERSATION/NOTE_CREATED").when("an agent left a note"),
    CallType::track("Conversation Topic Added", CONVERSATION).native("CONVERSATION/TOPIC_ADDED").when("a conversation got a topic"),
    CallType::track("Conversation Topic Removed", CONVERSATION).native("CONVERSATION/TOPIC_REMOVED").when("a conversation lost a topic"),
    CallType::track("Conversation Custom Attribute Added", CONVERSATION).native("CONVERSATION/CUSTOM_ATTRIBUTE_ADDED").when("a conversation got an attribute"),
    CallType::track("Conversation Custom Attribute Removed", CONVERSATION).native("CONVERSATION/CUSTOM_ATTRIBUTE_REMOVED").when("a conversation lost an attribute"),
    CallType::track("Conversation Assignee Updated", CONVERSATION).native("CONVERSATION_ASSIGNEE/UPDATED").when("a conversation was assigned to another inbox or agent"),
    CallType::track("Conversation Status Updated", CONVERSATION).native("CONVERSATION_STATUS/UPDATED").when("a conversation has another status"),
    CallType::new(CallKind::Alias, "", CUSTOMER).native("CUSTOMER/MERGED|CUSTOMER_PROFILE/MERGED").when("two customers became one"),
    CallType::track("Customer Profile Created", CUSTOMER).native("CUSTOMER_PROFILE/CREATED").when("a customer was added"),
    CallType::track("Customer Profile Updated", CUSTOMER).native("CUSTOMER_PROFILE/UPDATED").when("a customer changed"),
    CallType::track("Customer Profile Deleted", CUSTOMER).native("CUSTOMER_PROFILE/DELETED").when("a customer was deleted"),
    CallType::track("Contact Started", CONTACT).native("CONTACT/STARTED").when("a contact began"),
    CallType::track("Contact Joined", CONTACT).native("CONTACT/JOINED").when("an agent joined a contact"),
    CallType::track("Contact Offered", CONTACT).native("CONTACT/OFFERED").when("a contact was offered to an agent"),
    CallType::track("Contact Offer Accepted", CONTACT).native("CONTACT/OFFER_ACCEPTED").when("an agent took a contact"),
    CallType::track("Contact Offer Rejected", CONTACT).native("CONTACT/OFFER_REJECTED").when("an agent did not take a contact"),
    CallType::track("Contact Message Received", CONTACT).native("CONTACT/MESSAGE_RECEIVED").when("the customer wrote"),
    CallType::track("Contact Message Sent", CONTACT).native("CONTACT/MESSAGE_SENT").when("an agent, or Gladly, wrote"),
    CallType::track("Contact Hold Started", CONTACT).native("CONTACT/HOLD_STARTED").when("a contact was put on hold"),
    CallType::track("Contact Hold Ended", CONTACT).native("CONTACT/HOLD_ENDED").when("a contact was taken off hold"),
    CallType::track("Contact Transferred", CONTACT).native("CONTACT/TRANSFERRED").when("a contact was passed on"),
    CallType::track("Contact Fulfilled", CONTACT).native("CONTACT/FULFILLED").when("a contact was dealt with"),
    CallType::track("Contact Ended", CONTACT).native("CONTACT/ENDED").when("a contact was over"),
    CallType::track("Task Created", TASK).native("TASK/CREATED").when("a task was made"),
    CallType::track("Task Content Updated", TASK).native("TASK/CONTENT_UPDATED").when("the text of a task changed"),
    CallType::track("Task Comment Added", TASK).native("TASK/COMMENT_ADDED").when("a task got a comment"),
    CallType::track("Task Assignee Updated", TASK).native("TASK/ASSIGNEE_UPDATED").when("a task was assigned to another"),
    CallType::track("Task Due Date Updated", TASK).native("TASK/DUE_DATE_UPDATED").when("a task is due another day"),
    CallType::track("Task Follower Added", TASK).native("TASK/FOLLOWER_ADDED").when("somebody follows a task"),
    CallType::track("Task Follower Removed", TASK).native("TASK/FOLLOWER_REMOVED").when("somebody no longer follows a task"),
    CallType::track("Task Closed", TASK).native("TASK/CLOSED").when("a task was closed"),
    CallType::track("Task Reopened", TASK).native("TASK/REOPENED").when("a task was opened again"),
    CallType::track("Payment Request Created", PAYMENT).native("PAYMENT_REQUEST/CREATED").when("a payment was asked for"),
    CallType::track("Payment Request Viewed", PAYMENT).native("PAYMENT_REQUEST/VIEWED").when("the customer saw a request for payment"),
    CallType::track("Payment Request Status Changed", PAYMENT).native("PAYMENT_REQUEST/STATUS_CHANGED").when("a request for payment has another status"),
    CallType::track("Agent Availability Updated", AGENT).native("AGENT_AVAILABILITY/UPDATED").when("an agent is available for other channels"),
    CallType::track("Agent Availability Focus Entered", AGENT).native("AGENT_AVAILABILITY/FOCUS_ENTERED").when("an agent turned to one thing"),
    CallType::track("Agent Availability Focus Exited", AGENT).native("AGENT_AVAILABILITY/FOCUS_EXITED").when("an agent turned back to all"),
    CallType::track("Agent Status Logged In", AGENT).native("AGENT_STATUS/LOGGED_IN").when("an agent logged in"),
    CallType::track("Agent Status Logged Out", AGENT).native("AGENT_STATUS/LOGGED_OUT").when("an agent logged out"),
    CallType::track("Agent Status Went Away", AGENT).native("AGENT_STATUS/WENT_AWAY").when("an agent went away"),
    CallType::track("Agent Status Returned From Away", AGENT).native("AGENT_STATUS/RETURNED_FROM_AWAY").when("an agent came back"),
    CallType::track("Agent Status Changed Active Reason", AGENT).native("AGENT_STATUS/CHANGED_ACTIVE_REASON").when("an agent is active for another reason"),
    CallType::track("Export Job Completed", EXPORT).native("EXPORT_JOB/COMPLETED").when("an export is there"),
    CallType::track("Export Job Failed", EXPORT).native("EXPORT_JOB/FAILED").when("an export failed"),
];

/// What Gladly posts with a write key.
#[rustfmt::skip]
const SPEC: &[CallType] = &[
    CallType::track("Conversation Opened", "event text, userId text, customerName text, email text, phone text, conversationId text, status text, agentId text, agentName text, timestamp time")
        .when("a conversation was opened and given to an agent"),
    CallType::track("Conversation Closed", "event text, userId text, customerName text, email text, phone text, conversationId text, status text, topics json, agentId text, agentName text, timestamp time")
        .when("a conversation was closed; only this one has its topics"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_of_the_published_example_is_taken() {
        const BODY: &str = r#"{"lookupLevel":"DETAILED","query":{"emails":["martha.williams@gmail.com"],"externalCustomerId":"abc","favoriteDate":"2018-08-19T07:00:00.000Z","favoriteFood":"Apple Pie","id":"o2sg-TMTSD2rTwMuxzewbA","name":"Martha Williams","phones":["+15013299800"]},"uniqueMatchRequired":true}"#;
        let sent = "2019-02-13T21:40:16Z".parse().unwrap();
        let mut delivery = Delivery::fetched(sent, BODY.into());
        delivery.url = "https://example.com/api/v2/customer/lookup".to_owned();
        for (name, value) in [
            ("content-type", "application/json"),
            ("accept", "application/json"),
            ("gladly-correlation-id", "vXmSEPjVSWCaCMzvjufxZg"),
            ("x-b3-traceid", "bd799210f8d549609a08ccef8ee7f166"),
            ("gladly-time", "20190213T214016Z"),
            (
                "gladly-authorization",
                "SigningAlgorithm=hmac-sha256, \
                 SignedHeaders=accept;content-type;gladly-correlation-id;gladly-time;x-b3-traceid, \
                 Signature=4c633fca4914f51df04c9ec40f4545d66d653e771c6634e33eed52a242bc278c",
            ),
        ] {
            delivery.headers.insert(name, value.parse().unwrap());
        }
        let signature = WEBHOOK.surfaces[1].signature;
        signature.verify(&delivery, &[Secret::new("test-apikey-1")], sent).unwrap();
        assert!(signature.verify(&delivery, &[Secret::new("test-apikey-2")], sent).is_err());
    }

    #[test]
    fn a_ping_is_no_event() {
        let source = Gladly { credentials: Secrets::None, signing_key: Secrets::None };
        let sent = "2026-11-01T00:00:00Z".parse().unwrap();
        let asks = |body: &'static str| source.handshake(&Delivery::fetched(sent, body.into())).is_some();
        assert!(asks(r#"{"id":"zGaHXjD4SR-moMR9LbULDa","type":"PING","content":{}}"#));
        assert!(!asks(r#"{"id":"zGaHXjD4SR-moMR9LbULDa","type":"CONVERSATION/CLOSED"}"#));
    }
}
