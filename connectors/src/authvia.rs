//! Authvia: conversations with a customer that ask for payments, signatures and data, as webhook subscriptions.
//!
//! Documented are the subscription and how its deliveries are signed; the body of an event is not public. So this maps
//! what Authvia's resources are known to have (`type`, `customerRef`, `customer`, `conversationId`) where a body has it,
//! under `data` too, and everything else as it comes; an event's id is its digest, its time that of receipt. Authvia
//! posts the same events as calls with a write key.

use headwater_core::prelude::*;

/// The registry's line.
pub const CONNECTOR: Connector = Connector::new(
    "authvia",
    "Authvia",
    "payments",
    "https://developer.authvia.com/reference/create-webhook-subscription",
)
.settings::<Authvia>()
.events::<Authvia>(&WEBHOOK)
.spec(CALLS);

/// Settings of an Authvia source.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Authvia {
    /// The secret of the subscription, given when it is made; two while it is being changed, the newer first.
    #[serde(default)]
    secret: Secrets,
}

static WEBHOOK: Webhook = Webhook {
    surfaces: &[Surface {
        path: "",
        // The value is random text: the signature proves that the sender knows the secret, and nothing of the body.
        signature: Signature::Hmac(Hmac {
            encoding: Encoding::Base64,
            over: &[
                Part::Nonce("x-authvia-value"),
                Part::Text("."),
                Part::HeaderLength("x-authvia-value"),
                Part::Text("."),
                Part::Stamp,
            ],
            stamp: Some(Stamp::header(&["x-authvia-timestamp"], StampFormat::UnixSeconds)),
            ..Hmac::body(Place::Header(&["x-authvia-signature"]))
        }),
        items: Items::Json(""),
    }],
    calls: CALLS,
};

const MAPPING: Mapping = Mapping {
    event: "type|eventType|event_type",
    user: "customerRef|customer.customerRef|data.customerRef|data.customer.customerRef",
    otherwise: "customer.id|customerId|data.customer.id|data.customerId|conversationId|data.conversationId|data.id|id",
    email: "customer.email|data.customer.email",
    calls: CALLS,
    ..Mapping::NEW
};

impl EventSource for Authvia {
    fn secrets(&self, _surface: &Surface) -> Vec<Secret> {
        self.secret.all()
    }

    fn mapping(&self) -> Mapping<'_> {
        MAPPING
    }
}

#[rustfmt::skip]
const CALLS: &[CallType] = &[
    CallType::track("Actions Created", "").native("actions.create")
        .when("a customer was asked for a payment, a signature, data …"),
    CallType::track("Actions Updated", "").native("actions.update").when("a customer did what was asked for"),
    CallType::track("Customer Created", "").native("customers.create").when("a customer was added"),
    CallType::track("Customer Updated", "").native("customers.update").when("a customer changed"),
    CallType::track("Customer Deleted", "").native("customers.delete").when("a customer was removed"),
    CallType::track("Business Process Created", "").native("conversations.create|business_processes.create")
        .when("a conversation with a customer was opened"),
    CallType::track("Business Process Updated", "").native("conversations.update|business_processes.update")
        .when("a conversation was done in part or whole, cancelled, or ran out"),
];
