//! HubSpot: changes to contacts, companies, deals, tickets and other objects, and conversations; up to 100 signed events
//! a delivery. An event names an object by its id alone: with a token the contact's email and our own id are looked up.

use headwater_core::prelude::*;

/// The registry's line.
pub const CONNECTOR: Connector = Connector::new(
    "hubspot",
    "HubSpot",
    "crm",
    "https://developers.hubspot.com/docs/api-reference/2026-03/webhooks/guide",
)
.settings::<Hubspot>()
.events::<Hubspot>(&WEBHOOK)
.spec(PULLED);

/// Settings of a HubSpot source.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Hubspot {
    /// The client secret of the app, which signs its webhooks; two while it is being changed, the newer first.
    #[serde(default)]
    client_secret: Secrets,
    /// An access token of the account with the scope `crm.objects.contacts.read`. With it the email, the name, and the
    /// property `user_id_property` of a contact are looked up; without it a contact is known by HubSpot's id alone.
    #[serde(default)]
    token: Option<Secret>,
    /// The contact property that holds our own id of a person: it is then the user id.
    #[serde(default)]
    user_id_property: Option<String>,
    /// The id of the account (`portalId`) whose events are this source's, where the app is installed in several and
    /// each has a source. Without it every event is taken.
    #[serde(default)]
    portal_id: Option<String>,
}

static WEBHOOK: Webhook = Webhook {
    surfaces: &[
        Surface {
            path: "",
            signature: Signature::Hmac(Hmac {
                encoding: Encoding::Base64,
                over: &[Part::Method, Part::UrlUnescaped, Part::Body, Part::Stamp],
                stamp: Some(Stamp::header(&["x-hubspot-request-timestamp"], StampFormat::UnixMillis)),
                ..Hmac::body(Place::Header(&["x-hubspot-signature-v3"]))
            }),
            items: Items::Json(""),
        },
        // The older signature, which some subscriptions alone carry: it has no time.
        Surface {
            path: "v1",
            signature: Signature::Digest(Hmac::body(Place::Header(&["x-hubspot-signature"]))),
            items: Items::Json(""),
        },
    ],
    calls: CALLS,
};

/// HubSpot does not promise that an event's id is the only one: these four together are.
const MAPPING: Mapping = Mapping {
    id: &["eventId", "subscriptionId", "occurredAt", "objectId"],
    time: "occurredAt",
    anonymous: "objectId|newObjectId|primaryObjectId|fromObjectId|portalId",
    calls: CALLS,
    ..Mapping::NEW
};

/// A company stands for itself.
const COMPANY: Mapping = Mapping { group: "objectId", ..MAPPING };

/// What an event says of itself: no trait of the contact or company, so that it stands in the context there.
const AROUND: [&str; 13] = [
    "eventId",
    "subscriptionId",
    "portalId",
    "appId",
    "subscriptionType",
    "attemptNumber",
    "objectTypeId",
    "changeFlag",
    "changeSource",
    "sourceId",
    "propertyName",
    "propertyValue",
    "isSensitive",
];

/// What is asked of a contact.
const ASKED: [&str; 5] = ["email", "firstname", "lastname", "phone", "company"];

impl EventSource for Hubspot {
    fn secrets(&self, _surface: &Surface) -> Vec<Secret> {
        self.client_secret.all()
    }

    fn account(&self, item: &Item<'_>) -> Option<String> {
        self.portal_id.as_ref()?;
        item.record.text("portalId").ok()?
    }

    fn own_account(&self) -> Option<String> {
        self.portal_id.clone()
    }

    fn lookup_api(&self) -> Result<Option<Api>> {
        // What an app may ask of an account that has paid for no more.
        let pace = Limit::requests(100, Duration::from_secs(10));
        let api =
            |token: &Secret| Api::new("https://api.hubapi.com", Auth::Bearer(token.clone())).limit(pace);
        Ok(self.token.as_ref().map(api))
    }

    fn lookups(&self, item: &Item<'_>) -> Vec<Request> {
        let is_person = matches!(native(&item.record), Ok(native)
            if matches!(native.as_str(), "contact.creation" | "contact.propertyChange" | "contact.restore"));
        let id = item.record.text("objectId").ok().flatten();
        let (true, true, Some(id)) = (self.token.is_some(), is_person, id) else { return Vec::new() };
        if id.is_empty() || !id.bytes().all(|b| b.is_ascii_digit()) {
            return Vec::new();
        }
        let mut asked = ASKED.join(",");
        if let Some(property) = &self.user_id_property {
            asked = format!("{asked},{property}");
        }
        vec![Request::get(format!("/crm/v3/objects/contacts/{id}")).query("properties", asked)]
    }

    fn map(&self, item: &Item<'_>) -> Result<Vec<Output>> {
        let native = native(&item.record)?;
        if native == "contact.merge" {
            return merged(item);
        }
        let (object, verb) = native.split_once('.').unwrap_or((&native, ""));
        let call = match WEBHOOK.by_native(&native) {
            Some(listed) => listed.call(),
            None => Call::track(name(object, verb)),
        };
        let mapping = if object == "company" { COMPANY } else { MAPPING };
        let mut call = mapping.fill(item, call)?;
        if call.kind != CallKind::Track
            && let Some(property) = item.record.text("propertyName")?
            && let Some(value) = item.record.at("propertyValue")?
        {
            trait_of(&mut call, property, value);
        }
        if let Some(answer) = item.lookups.first() {
            self.known(&mut call, answer)?;
        }
        if call.kind != CallKind::Track {
            let mut around = Fields::default();
            for name in AROUND {
                if let Some(value) = call.properties.take(name) {
                    around.set(name, value);
                }
            }
            call.context.set("hubspot", around.raw());
        }
        Ok(vec![call.into()])
    }
}

impl Hubspot {
    /// Adds what HubSpot has said of the contact.
    fn known(&self, call: &mut Call, answer: &Record) -> Result<()> {
        let Some(contact) = answer.part("properties")? else { return Ok(()) };
        if let Some(property) = &self.user_id_property {
            call.user_id = contact.text(property)?.filter(|id| !id.trim().is_empty());
        }
        for (trait_, property) in [("traits.email", "email"), ("traits.phone", "phone")] {
            if let Some(text) = contact.text(property)?.filter(|text| !text.is_empty()) {
                call.context.set_at(trait_, Raw::string(&text));
            }
        }
        for (property, value) in contact.fields()?.iter().filter(|(_, value)| !value.is_null()) {
            trait_of(call, property.to_owned(), value.clone());
        }
        Ok(())
    }
}

/// A trait, where it has a name that nothing else has.
fn trait_of(call: &mut Call, name: String, value: Raw) {
    if call.properties.get(&name).is_none() {
        call.properties.set(name, value);
        let call_of = Call::new(call.kind);
        call.properties.clear_columns(&call_of, "property_");
    }
}

/// The event's name: `object.creation` of an object of type `0-1` is `contact.creation`.
fn native(record: &Record) -> Result<String> {
    let said: String = record.get("subscriptionType")?;
    let Some(verb) = said.strip_prefix("object.") else { return Ok(said) };
    let object = match record.text("objectTypeId")?.as_deref() {
        Some("0-1") => "contact",
        Some("0-2") => "company",
        Some("0-3") => "deal",
        Some("0-5") => "ticket",
        Some("0-7") => "product",
        Some("0-8") => "line_item",
        _ => "object",
    };
    Ok(format!("{object}.{verb}"))
}

/// The name of what is not listed.
fn name(object: &str, verb: &str) -> String {
    let done = match verb {
        "creation" => "Created".to_owned(),
        "propertyChange" => "Updated".to_owned(),
        "deletion" => "Deleted".to_owned(),
        "privacyDeletion" => "Privacy Deleted".to_owned(),
        "restore" => "Restored".to_owned(),
        "merge" => "Merged".to_owned(),
        "associationChange" => "Association Changed".to_owned(),
        other => title_case(other),
    };
    format!("{} {done}", title_case(object)).trim().to_owned()
}

/// Contacts that have become one: each id that is given up is an alias of the one that is left.
fn merged(item: &Item<'_>) -> Result<Vec<Output>> {
    let record = &item.record;
    let left = record.first_text(&["newObjectId", "primaryObjectId", "objectId"])?;
    let mut gone: Vec<String> = match record.at("mergedObjectIds")?.filter(|ids| !ids.is_null()) {
        Some(ids) => ids.items()?.filter_map(|id| id.text()).collect(),
        None => Vec::new(),
    };
    gone.extend(record.text("primaryObjectId")?);
    gone.retain(|id| Some(id) != left.as_ref());
    gone.dedup();
    let call = MAPPING.fill(item, Call::new(CallKind::Alias))?.user(left);
    if gone.is_empty() {
        return Ok(vec![
            Call { kind: CallKind::Track, name: Some("Contact Merged".to_owned()), ..call }.into(),
        ]);
    }
    let alias = |id: String| Call { previous_id: Some(id), ..call.clone() }.into();
    Ok(gone.into_iter().map(alias).collect())
}

const BASE: &str = "eventId int, subscriptionId int, portalId int, appId int, subscriptionType text, attemptNumber int, \
    objectId int, objectTypeId text, changeFlag text, changeSource text, sourceId text";
const CHANGE: &str = "eventId int, subscriptionId int, portalId int, appId int, subscriptionType text, \
    attemptNumber int, objectId int, objectTypeId text, changeSource text, sourceId text, propertyName text, \
    propertyValue text, isSensitive bool";
const PERSON: &str = "objectId int, email text, firstname text, lastname text, phone text, company text";
const RESTORED: &str = "eventId int, subscriptionId int, portalId int, appId int, subscriptionType text, \
    attemptNumber int, objectId int, changeFlag text, changeSource text, email text, firstname text, \
    lastname text, phone text, company text";
const MERGE: &str = "eventId int, subscriptionId int, portalId int, appId int, subscriptionType text, objectId int, \
    primaryObjectId int, mergedObjectIds json, newObjectId int, numberOfPropertiesMoved int";
const ASSOCIATION: &str = "eventId int, subscriptionId int, portalId int, appId int, subscriptionType text, \
    associationType text, fromObjectId int, toObjectId int, associationRemoved bool, isPrimaryAssociation bool";
const MESSAGE: &str = "eventId int, subscriptionId int, portalId int, appId int, subscriptionType text, objectId int, \
    changeFlag text, messageId text, messageType text";

#[rustfmt::skip]
const CALLS: &[CallType] = &[
    CallType::new(CallKind::Identify, "", PERSON)
        .native("contact.creation|contact.propertyChange").when("a contact was made, or a property of it changed"),
    CallType::new(CallKind::Alias, "", MERGE).native("contact.merge").when("contacts became one"),
    CallType::new(CallKind::Group, "", "objectId int")
        .native("company.creation|company.propertyChange").when("a company was made, or a property of it changed"),
    CallType::track("Contact Deleted", BASE).native("contact.deletion").when("a contact was deleted"),
    CallType::track("Contact Privacy Deleted", BASE).native("contact.privacyDeletion").when("a contact was deleted for privacy"),
    CallType::track("Contact Restored", RESTORED).native("contact.restore").when("a contact came back"),
    CallType::track("Contact Association Changed", ASSOCIATION).native("contact.associationChange")
        .when("a contact was tied to another object, or no longer"),
    CallType::track("Company Deleted", BASE).native("company.deletion").when("a company was deleted"),
    CallType::track("Company Restored", BASE).native("company.restore").when("a company came back"),
    CallType::track("Company Merged", MERGE).native("company.merge").when("companies became one"),
    CallType::track("Company Association Changed", ASSOCIATION).native("company.associationChange")
        .when("a company was tied to another object, or no longer"),
    CallType::track("Deal Created", BASE).native("deal.creation").when("a deal was made"),
    CallType::track("Deal Updated", CHANGE).native("deal.propertyChange").when("a property of a deal changed"),
    CallType::track("Deal Deleted", BASE).native("deal.deletion").when("a deal was deleted"),
    CallType::track("Deal Restored", BASE).native("deal.restore").when("a deal came back"),
    CallType::track("Deal Merged", MERGE).native("deal.merge").when("deals became one"),
    CallType::track("Deal Association Changed", ASSOCIATION).native("deal.associationChange")
        .when("a deal was tied to another object, or no longer"),
    CallType::track("Ticket Created", BASE).native("ticket.creation").when("a ticket was made"),
    CallType::track("Ticket Updated", CHANGE).native("ticket.propertyChange").when("a property of a ticket changed"),
    CallType::track("Ticket Deleted", BASE).native("ticket.deletion").when("a ticket was deleted"),
    CallType::track("Ticket Restored", BASE).native("ticket.restore").when("a ticket came back"),
    CallType::track("Ticket Merged", MERGE).native("ticket.merge").when("tickets became one"),
    CallType::track("Ticket Association Changed", ASSOCIATION).native("ticket.associationChange")
        .when("a ticket was tied to another object, or no longer"),
    CallType::track("Product Created", BASE).native("product.creation").when("a product was made"),
    CallType::track("Product Updated", CHANGE).native("product.propertyChange").when("a property of a product changed"),
    CallType::track("Product Deleted", BASE).native("product.deletion").when("a product was deleted"),
    CallType::track("Product Restored", BASE).native("product.restore").when("a product came back"),
    CallType::track("Product Merged", MERGE).native("product.merge").when("products became one"),
    CallType::track("Line Item Created", BASE).native("line_item.creation").when("a line item was made"),
    CallType::track("Line Item Updated", CHANGE).native("line_item.propertyChange").when("a property of a line item changed"),
    CallType::track("Line Item Deleted", BASE).native("line_item.deletion").when("a line item was deleted"),
    CallType::track("Line Item Restored", BASE).native("line_item.restore").when("a line item came back"),
    CallType::track("Line Item Merged", MERGE).native("line_item.merge").when("line items became one"),
    CallType::track("Line Item Association Changed", ASSOCIATION).native("line_item.associationChange")
        .when("a line item was tied to another object, or no longer"),
    CallType::track("Live Chat Conversation Started", BASE).native("conversation.creation").when("a thread began"),
    CallType::track("Live Chat Message Received", MESSAGE).native("conversation.newMessage").when("a message came into a thread"),
    CallType::track("Live Chat Conversation Updated", CHANGE).native("conversation.propertyChange").when("a property of a thread changed"),
    CallType::track("Live Chat Conversation Deleted", BASE).native("conversation.deletion").when("a thread was archived or deleted"),
    CallType::track("Live Chat Conversation Privacy Deleted", BASE).native("conversation.privacyDeletion")
        .when("a thread was deleted for privacy"),
];

/// HubSpot posts none of these.
#[rustfmt::skip]
const PULLED: &[CallType] = &[
    CallType::track("form_submissions", "").when("a contact sent a form")
        .excused("no webhook tells of it: submissions are read from the API, as an object"),
    CallType::track("email_events", "").when("a marketing email was sent, opened, clicked …")
        .excused("no webhook tells of it: email events are read from the API, as an object"),
    CallType::track("email_subscription_event_changes", "").when("somebody's subscription changed")
        .excused("no webhook tells of it: subscription changes are read from the API, as an object"),
];

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "yyyyyyyy-yyyy-yyyy-yyyy-yyyyyyyyyyyy";

    fn delivery(headers: &[(&'static str, &str)]) -> Delivery {
        let now = "2023-09-01T12:26:30Z".parse().unwrap();
        let mut delivery = Delivery::fetched(now, "{'example_field':'example_value'}".into());
        delivery.url = "https://www.example.com/webhook_uri".to_owned();
        for (name, value) in headers {
            delivery.headers.insert(*name, value.parse().unwrap());
        }
        delivery
    }

    #[test]
    fn the_signatures_of_the_published_example_are_taken() {
        let secret = [Secret::new(SECRET)];
        let third = delivery(&[
            ("x-hubspot-request-timestamp", "1693657560000"),
            ("x-hubspot-signature-v3", "K36dawei4A+QBNolUOqo7s91KQDWQ5MXZ/QufNYuk/Y="),
        ]);
        let sent = "2023-09-02T12:26:00Z".parse().unwrap();
        WEBHOOK.surfaces[0].signature.verify(&third, &secret, sent).unwrap();
        let later = "2023-09-02T12:32:00Z".parse().unwrap();
        assert!(WEBHOOK.surfaces[0].signature.verify(&third, &secret, later).is_err());
        let first = delivery(&[(
            "x-hubspot-signature",
            "69fc6631a867edd4f9e9e627fc5c1148e3fbdd8b21837b6d2b8901c1fa57f750",
        )]);
        WEBHOOK.surfaces[1].signature.verify(&first, &secret, first.received_at).unwrap();
    }

    #[test]
    fn only_contacts_are_looked_up() {
        let asks = |token: Option<Secret>, json: &'static str| {
            let source = Hubspot {
                client_secret: Secrets::None,
                token,
                user_id_property: Some("our_id".to_owned()),
                portal_id: None,
            };
            let now = "2026-11-01T00:00:00Z".parse().unwrap();
            let delivery = Delivery::fetched(now, json.into());
            let record = Record::parse(&delivery.body).unwrap();
            let item = Item::alone(&record, &WEBHOOK.surfaces[0], &delivery);
            source.lookups(&item).iter().map(|request| request.path.clone()).collect::<Vec<_>>()
        };
        let token = || Some(Secret::new("pat-1"));
        const CONTACT: &str = r#"{"subscriptionType":"object.creation","objectTypeId":"0-1","objectId":7}"#;
        assert_eq!(asks(token(), CONTACT), ["/crm/v3/objects/contacts/7"]);
        assert!(asks(None, CONTACT).is_empty());
        for other in [
            r#"{"subscriptionType":"deal.creation","objectId":7}"#,
            r#"{"subscriptionType":"contact.deletion","objectId":7}"#,
            r#"{"subscriptionType":"contact.creation","objectId":"7/../8"}"#,
        ] {
            assert!(asks(token(), other).is_empty(), "{other}");
        }
    }
}
