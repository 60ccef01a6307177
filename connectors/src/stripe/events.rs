//! What an event means: a call, and a change to the row of the object it carries.

use headwater_core::{event::title_case, prelude::*};

use super::{Stripe, VERSION, collections::COLLECTIONS};

/// The one address: the endpoint's own secret signs each event, which comes alone.
pub static WEBHOOK: Webhook = Webhook {
    surfaces: &[Surface::json(
        "",
        Signature::Hmac(Hmac {
            hash: Hash::Sha256,
            // The secret is used whole, `whsec_` and all.
            key: Key::Text,
            at: Place::Header(&["Stripe-Signature"]),
            grammar: Grammar::Pairs { time: "t", signature: "v1" },
            encoding: Encoding::Hex,
            over: &[Part::Stamp, Part::Text("."), Part::Body],
            stamp: Some(Stamp {
                at: None,
                format: StampFormat::UnixSeconds,
                tolerance: Duration::from_secs(300),
            }),
        }),
    )],
    calls: CALLS,
};

const CUSTOMER: &str = "email text, name text, phone text, description text, currency text, balance int, \
    delinquent bool, created time, metadata json";
const SUBSCRIPTION: &str = "id text, customer text, status text, currency text, current_period_start time, \
    current_period_end time, cancel_at_period_end bool, canceled_at time, trial_end time, metadata json";
const CHECKOUT: &str = "id text, customer text, client_reference_id text, mode text, payment_status text, status text, \
    amount_subtotal int, amount_total int, currency text, metadata json, context.traits.email text";
const INTENT: &str = "id text, customer text, amount int, amount_received int, currency text, status text, \
    payment_method text, latest_charge text, invoice text, metadata json, context.traits.email text";
const CHARGE: &str = "id text, customer text, amount int, amount_refunded int, currency text, status text, paid bool, \
    refunded bool, failure_code text, failure_message text, invoice text, payment_intent text, metadata json, \
    context.traits.email text";
const DISPUTE: &str = "id text, charge text, payment_intent text, amount int, currency text, reason text, status text, \
    metadata json";
const INVOICE: &str = "id text, customer text, subscription text, number text, status text, billing_reason text, \
    amount_due int, amount_paid int, amount_remaining int, attempt_count int, currency text, total int, metadata json, \
    context.traits.email text";

/// The calls that have a name of their own; any other event is called by the parts of its type.
const CALLS: &[CallType] = &[
    CallType::new(CallKind::Identify, "", CUSTOMER)
        .native("customer.created|customer.updated")
        .when("a customer is made, or what is known of one changes"),
    CallType::track("Customer Deleted", CUSTOMER).native("customer.deleted").when("a customer is deleted"),
    CallType::track("Subscription Created", SUBSCRIPTION)
        .native("customer.subscription.created")
        .when("a customer subscribes"),
    CallType::track("Subscription Updated", SUBSCRIPTION)
        .native("customer.subscription.updated")
        .when("a subscription changes: plan, trial, status"),
    CallType::track("Subscription Cancelled", SUBSCRIPTION)
        .native("customer.subscription.deleted")
        .when("a subscription ends"),
    CallType::track("Trial Ending", SUBSCRIPTION)
        .native("customer.subscription.trial_will_end")
        .when("three days before a trial ends"),
    CallType::track("Checkout Completed", CHECKOUT)
        .native("checkout.session.completed")
        .when("a customer has gone through Checkout"),
    CallType::track("Checkout Expired", CHECKOUT)
        .native("checkout.session.expired")
        .when("a customer has not come back to Checkout"),
    CallType::track("Payment Succeeded", INTENT).native("payment_intent.succeeded").when("a payment is made"),
    CallType::track("Payment Failed", INTENT)
        .native("payment_intent.payment_failed")
        .when("an attempt to pay fails"),
    CallType::track("Charge Succeeded", CHARGE).native("charge.succeeded").when("a charge succeeds"),
    CallType::track("Charge Failed", CHARGE).native("charge.failed").when("a charge fails"),
    CallType::track("Order Refunded", CHARGE)
        .native("charge.refunded")
        .when("a charge is refunded, also in part"),
    CallType::track("Dispute Created", DISPUTE)
        .native("charge.dispute.created")
        .when("a customer disputes a charge"),
    CallType::track("Invoice Created", INVOICE).native("invoice.created").when("an invoice is drafted"),
    CallType::track("Invoice Finalized", INVOICE).native("invoice.finalized").when("an invoice can be paid"),
    CallType::track("Invoice Paid", INVOICE)
        .native("invoice.paid")
        .when("an invoice is paid, or marked as paid"),
    CallType::track("Invoice Payment Failed", INVOICE)
        .native("invoice.payment_failed")
        .when("an attempt to pay an invoice fails"),
    CallType::track("", "").when("any other event: payment_method.attached is `Payment Method Attached`"),
];

/// The member that names the record that holds an object, and that record's collection.
type Holder = (&'static str, &'static str);

/// Which row an object stands for, by its `object`. Where it cannot be fetched by its id alone, the first of its holders
/// is fetched instead.
const OBJECTS: &[(&str, &str, &[Holder])] = &[
    ("account", "accounts", &[]),
    ("application_fee", "application_fees", &[]),
    ("bank_account", "bank_accounts", &[("customer", "customers"), ("account", "accounts")]),
    ("card", "cards", &[("customer", "customers"), ("account", "accounts")]),
    ("charge", "charges", &[]),
    ("coupon", "coupons", &[]),
    ("customer", "customers", &[]),
    ("discount", "discounts", &[("subscription", "subscriptions"), ("customer", "customers")]),
    ("dispute", "disputes", &[]),
    ("fee_refund", "application_fee_refunds", &[("fee", "application_fees")]),
    ("invoice", "invoices", &[]),
    ("invoiceitem", "invoice_items", &[]),
    ("payment_intent", "payment_intents", &[]),
    ("payment_method", "payment_methods", &[]),
    ("plan", "plans", &[]),
    ("product", "products", &[]),
    ("refund", "refunds", &[]),
    ("subscription", "subscriptions", &[]),
    ("tax_rate", "tax_rates", &[]),
    ("transfer", "transfers", &[]),
];

/// The collection of such objects.
pub fn collection(object: Option<&str>) -> Option<&'static Collection> {
    let (_, name, _) = OBJECTS.iter().find(|(known, ..)| Some(*known) == object)?;
    named(name)
}

fn named(name: &str) -> Option<&'static Collection> {
    COLLECTIONS.iter().find(|collection| collection.name == name)
}

impl EventSource for Stripe {
    fn secrets(&self, _: &Surface) -> Vec<Secret> {
        self.webhook_secret.all()
    }

    fn map(&self, item: &Item<'_>) -> Result<Vec<Output>> {
        let mut outputs = vec![Output::Call(call(item)?)];
        outputs.extend(changes(&item.record, self.account.as_deref())?.into_iter().map(Output::Change));
        Ok(outputs)
    }
}

/// The call that an event is: its object as properties, all that is said about the event itself in `context.stripe`.
fn call(item: &Item<'_>) -> Result<Call> {
    let event = &item.record;
    let kind: String = event.get("type")?;
    let object = event.part("data.object")?;
    let mut envelope = event.fields()?;
    if let Some(data) = envelope.take("data").and_then(Raw::record) {
        let mut data = data.fields()?;
        if object.is_some() {
            data.take("object");
        }
        envelope.merge(data, "data_");
    }
    let found = |paths: &[&str]| object.as_ref().map_or(Ok(None), |object| object.first_text(paths));
    let user = found(&["client_reference_id", "metadata.user_id", "metadata.userId"])?;
    let anonymous = match (&user, found(&["object"])?.as_deref()) {
        (Some(_), _) => None,
        (None, Some("customer")) => found(&["id"])?,
        // What belongs to no customer is known by its own id, so that guests are not taken for one person.
        (None, _) => found(&["customer", "customer.id", "id"])?.or(event.first_text(&[
            "related_object.id",
            "account",
            "id",
        ])?),
    };
    let call = WEBHOOK.by_native(&kind).map_or_else(|| Call::track(title_case(&kind)), CallType::call);
    let email = if call.kind == CallKind::Identify { None } else { found(EMAIL)? };
    let mut call = call
        .id(event.text("id")?)
        .at(event.time("created")?)
        .user(user)
        .anonymous(anonymous)
        .context("traits.email", email.as_deref());
    if let Some(object) = &object {
        call.properties = object.fields()?;
    }
    call.context.set("stripe", envelope.raw());
    Ok(call)
}

/// Where an object has its customer's address.
const EMAIL: &[&str] =
    &["email", "customer_email", "customer_details.email", "receipt_email", "billing_details.email"];

/// The change that an event makes to its object's row, as new as the event; none if it carries no object of ours.
///
/// `account` is the connected account that the source reads, if it reads one.
pub fn changes(event: &Record, account: Option<&str>) -> Result<Vec<Change>> {
    let kind: String = event.get("type")?;
    let Some(object) = event.part("data.object")? else { return Ok(Vec::new()) };
    let name = object.text("object")?;
    let Some((_, _, holders)) = OBJECTS.iter().find(|(known, ..)| Some(*known) == name.as_deref()) else {
        return Ok(Vec::new());
    };
    // invoice.upcoming tells of an invoice that is not there yet.
    let (Some(collection), Some(id)) = (collection(name.as_deref()), object.text("id")?) else {
        return Ok(Vec::new());
    };
    // A platform hears of its connected accounts; only themselves are among its own objects.
    let of = event.text("account")?;
    if of.is_some() && of.as_deref() != account && !kind.starts_with("account.") {
        return Ok(Vec::new());
    }
    let version =
        Some(Version::at(event.time("created")?.ok_or_else(|| Error::unexpected("created is missing"))?));
    let mut changes = Vec::new();
    if kind.ends_with(".deleted") && collection.name != "subscriptions" {
        changes.push(Change::upsert(collection.name, key(&id)?).op(Op::Delete));
    } else if event.text("api_version")?.as_deref() == Some(VERSION) && is_whole(collection, &object)? {
        // A cancelled subscription is told of as deleted, and is still there.
        rest::changes(collection, object, &mut changes)?;
    } else if holders.is_empty() {
        changes.push(Change::upsert(collection.name, key(&id)?).op(Op::Touch));
    } else {
        for (member, holder) in *holders {
            if let (Some(id), Some(holder)) = (object.text(member)?, named(holder)) {
                changes.push(Change::upsert(holder.name, key(&id)?).op(Op::Touch));
                break;
            }
        }
    }
    Ok(changes.into_iter().map(|change| change.version(version)).collect())
}

/// Whether an event's object has all that a row is read with: some lists come with discounts, events with their ids only.
fn is_whole(collection: &Collection, object: &Record) -> Result<bool> {
    let with_discounts = collection.endpoint.query.contains(&("expand[]", "data.discounts"));
    Ok(!with_discounts || object.text("discounts.0")?.is_none())
}

fn key(id: &str) -> Result<Record> {
    Record::new(&json!({ "id": id }))
}
