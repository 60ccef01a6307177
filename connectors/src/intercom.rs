//! Intercom: conversations, tickets, contacts and companies of a workspace; one signed notification a delivery, of an app
//! that may be installed in many workspaces. The body holds the whole object as it was then, in the shape of the API
//! version that the app's webhooks are set to (1.x has users and leads, 2.x contacts).

mod calls;

use headwater_core::prelude::*;

/// The registry's line.
pub const CONNECTOR: Connector =
    Connector::new("intercom", "Intercom", "chat", "https://developers.intercom.com/docs/webhooks")
        .settings::<Intercom>()
        .events::<Intercom>(&WEBHOOK);

/// Settings of an Intercom source.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Intercom {
    /// The client secret of the app, which signs its notifications; two while it is being changed, the newer first.
    #[serde(default)]
    client_secret: Secrets,
    /// The id of the workspace (`app_id`) whose events are this source's, where the app is installed in several and
    /// each has a source. Without it every notification is taken.
    #[serde(default)]
    workspace_id: Option<String>,
}

static WEBHOOK: Webhook = Webhook {
    surfaces: &[Surface::json(
        "",
        Signature::Hmac(Hmac {
            hash: Hash::Sha1,
            grammar: Grammar::Plain("sha1="),
            ..Hmac::body(Place::Header(&["x-hub-signature"]))
        }),
    )],
    calls: calls::CALLS,
};

/// The ids that the customer has given come first, in the order of the objects that hold people.
const MAPPING: Mapping = Mapping {
    event: "topic",
    id: &["id"],
    time: "created_at",
    user: "data.item.external_id|data.item.user_id|data.item.contact.external_id|data.item.contact.user_id|\
        data.item.user.external_id|data.item.user.user_id|data.item.contacts.contacts.0.external_id|\
        data.item.ticket.contacts.contacts.0.external_id",
    anonymous: "data.item.contact.id|data.item.user.id|data.item.contacts.contacts.0.id|\
        data.item.ticket.contacts.contacts.0.id|data.item.contact_id|data.item.intercom_user_id|\
        data.item.source.author.id|data.item.contacts.0.id|data.item.id|app_id",
    email: "data.item.email|data.item.contact.email|data.item.user.email|data.item.source.author.email|\
        data.item.contacts.contacts.0.email",
    group: "data.item.company.company_id|data.item.company.id|data.item.company_id",
    previous: "data.item.merged_from.id",
    context: &[
        ("ip", "data.item.last_seen_ip"),
        ("userAgent", "data.item.user_agent_data"),
        ("locale", "data.item.language_override"),
        ("traits.phone", "data.item.phone"),
        ("traits.name", "data.item.name"),
    ],
    names: &[
        ("data.item.id", "item_id"),
        ("data.item.type", "item_type"),
        ("type", "notification_type"),
        ("data.type", "data_type"),
    ],
    lift: &["data.item", "data"],
    calls: calls::CALLS,
    ..Mapping::NEW
};

/// A company stands for itself, and is nobody's trait.
const COMPANY: Mapping = Mapping {
    user: "",
    anonymous: "data.item.id",
    email: "",
    group: "data.item.company_id|data.item.id",
    context: &[],
    ..MAPPING
};

/// The item is no person: what it names and calls its own is not a person's.
const THING: Mapping = Mapping { context: &[], ..MAPPING };

/// Here `user_id` is Intercom's own id.
const EXECUTION: Mapping = Mapping {
    user: "",
    anonymous: "data.item.user_id|data.item.contact_id|data.item.conversation_id|data.item.id|app_id",
    context: &[],
    ..MAPPING
};

/// What a notification says of itself: it stands in the context, for the person, company or event has none of it.
const AROUND: [&str; 9] = [
    "app_id",
    "notification_type",
    "data_type",
    "links",
    "self",
    "delivery_status",
    "delivery_attempts",
    "delivered_at",
    "first_sent_at",
];

impl EventSource for Intercom {
    fn secrets(&self, _surface: &Surface) -> Vec<Secret> {
        self.client_secret.all()
    }

    /// The test notification, which a button of the app's page sends.
    fn handshake(&self, delivery: &Delivery) -> Option<Handshake> {
        // It is small, and most notifications are not: they are read once, later.
        let record = (delivery.body.len() <= 4096).then(|| Record::parse(&delivery.body).ok()).flatten()?;
        matches!(record.text("topic"), Ok(Some(topic)) if topic == "ping")
            .then_some(Handshake { reply: Reply::OK, then: None })
    }

    fn account(&self, item: &Item<'_>) -> Option<String> {
        self.workspace_id.as_ref()?;
        item.record.text("app_id").ok()?
    }

    fn own_account(&self) -> Option<String> {
        self.workspace_id.clone()
    }

    fn map(&self, item: &Item<'_>) -> Result<Vec<Output>> {
        let topic: String = item.record.get("topic")?;
        let mapping = match topic.split('.').next().unwrap_or_default() {
            "company" => COMPANY,
            "contact" | "user" | "visitor" => MAPPING,
            "data_connector" => EXECUTION,
            _ => THING,
        };
        let mut call = mapping.call(item)?;
        if topic == "event.created"
            && let Some(name) = call.properties.take_text("event_name")
        {
            call.name = Some(name.trim().to_owned()).filter(|name| !name.is_empty()).or(call.name);
        }
        let mut around = Fields::default();
        for name in AROUND {
            // The item's own member of that name has kept it.
            let taken = call.properties.take(&format!("event_{name}"));
            if let Some(value) = taken.or_else(|| call.properties.take(name)) {
                around.set(name, value);
            }
        }
        call.context.set("intercom", around.raw());
        Ok(vec![call.into()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ping_is_no_event() {
        let source = Intercom { client_secret: Secrets::None, workspace_id: None };
        let now = "2026-11-01T00:00:00Z".parse().unwrap();
        let asks = |body: &'static str| source.handshake(&Delivery::fetched(now, body.into())).is_some();
        assert!(asks(r#"{"type":"notification_event","topic":"ping","id":null}"#));
        assert!(!asks(r#"{"type":"notification_event","topic":"contact.created"}"#));
        assert!(!asks("ping"));
    }
}
