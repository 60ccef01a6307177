//! What a shop holds, how a year of it came about, and what happens next.

use std::collections::{BTreeMap, HashMap};

use jiff::{SignedDuration, Timestamp};
use rand::{Rng, rngs::StdRng};
use serde_json::{Value, json};

use super::{
    super::{World, template},
    lists::{created, shown},
};

/// How far back history goes.
pub(super) const DAYS: i64 = 365;

/// The version that events are written in.
const VERSION: &str = "2025-02-24.acacia";

macro_rules! fixture {
    ($name:literal) => {
        include_str!(concat!("../../../../fixtures/stripe/", $name))
    };
}

/// The records that all others are made like: the first of a recorded list.
const LISTED: [(&str, &str); 7] = [
    ("application_fees", fixture!("application_fees.http")),
    ("balance_transactions", fixture!("balance_transactions.http")),
    ("coupons", fixture!("coupons.http")),
    ("invoiceitems", fixture!("invoice_items.http")),
    ("plans", fixture!("plans.http")),
    ("products", fixture!("products.http")),
    ("transfers", fixture!("transfers.http")),
];

/// Or what a recorded delivery tells of.
const TOLD: [(&str, &str); 12] = [
    ("accounts", fixture!("account_updated.json")),
    ("bank_account", fixture!("customer_source_deleted.json")),
    ("card", fixture!("customer_source_created.json")),
    ("charges", fixture!("charge_succeeded.json")),
    ("customers", fixture!("customer_created.json")),
    ("discount", fixture!("customer_discount_created.json")),
    ("disputes", fixture!("charge_dispute_created.json")),
    ("invoices", fixture!("invoice_finalized.json")),
    ("payment_intents", fixture!("payment_intent_succeeded.json")),
    ("payment_methods", fixture!("payment_method_attached.json")),
    ("refunds", fixture!("charge_refund_updated.json")),
    ("subscriptions", fixture!("subscription_created.json")),
];

/// The event that tells of a new row. Others come without one.
const BORN: [(&str, &str); 9] = [
    ("charges", "charge.succeeded"),
    ("coupons", "coupon.created"),
    ("customers", "customer.created"),
    ("invoiceitems", "invoiceitem.created"),
    ("invoices", "invoice.paid"),
    ("payment_intents", "payment_intent.succeeded"),
    ("payment_methods", "payment_method.attached"),
    ("refunds", "refund.created"),
    ("subscriptions", "customer.subscription.created"),
];

/// What the account holds.
pub struct Shop {
    /// The key's own account.
    pub own: Value,
    /// Rows by their path under `/v1/`, the oldest first.
    pub lists: BTreeMap<&'static str, Vec<Value>>,
    pub(super) like: BTreeMap<&'static str, Value>,
    places: HashMap<String, (&'static str, usize)>,
    /// Ids of the rows that are new since the last event.
    pub(super) fresh: Vec<String>,
    pub(super) ids: u64,
}

impl Shop {
    /// A shop with a year of history.
    pub fn new(world: &World) -> Self {
        let listed = LISTED.iter().map(|(name, recording)| (*name, template(recording, "data")));
        let told = TOLD.iter().map(|(name, delivery)| {
            let event: Value = serde_json::from_str(delivery).unwrap_or_default();
            (*name, event["data"]["object"].clone())
        });
        let mut shop = Self {
            own: template(fixture!("_check.http"), ""),
            lists: BTreeMap::new(),
            like: listed.chain(told).collect(),
            places: HashMap::new(),
            fresh: Vec::new(),
            ids: 0,
        };
        shop.nested_templates();
        for name in ["events", "tax_rates"] {
            shop.lists.insert(name, Vec::new());
        }
        let size = world.size.max(1);
        shop.catalog(world);
        let customers = size / 3 + 1;
        for place in 0..customers {
            shop.customer(place, world.when(place, customers, DAYS));
        }
        for place in 0..size {
            let at = world.when(place, size, DAYS);
            let charge = shop.charge(place * 7 % customers, at);
            let later =
                at.checked_add(SignedDuration::from_hours(30)).map_or(at, |later| later.min(world.now));
            if place % 20 == 19 {
                shop.refund(&charge, later);
            }
            if place % 200 == 100 {
                shop.make("disputes", "dp", later, json!({ "charge": charge, "balance_transactions": [] }));
            }
            if place % 50 == 25 {
                shop.pay_partner(&charge, at, place);
            }
        }
        for rows in shop.lists.values_mut() {
            rows.sort_by_key(created);
        }
        let places = shop.lists.iter().flat_map(|(name, rows)| {
            rows.iter().enumerate().map(|(place, row)| (text(&row["id"]), (*name, place)))
        });
        shop.places = places.collect();
        shop.fresh.clear();
        shop
    }

    /// The row of that id.
    pub fn get(&self, id: &str) -> Option<&Value> {
        let (list, place) = self.places.get(id)?;
        self.lists.get(list)?.get(*place)
    }

    /// Its place in its list.
    pub fn place(&self, id: &str) -> Option<usize> {
        self.places.get(id).map(|(_, place)| *place)
    }

    /// How many rows of each collection are living.
    pub fn census(&self) -> Vec<(&'static str, usize)> {
        let rows = |list: &str| self.lists.get(list).map(Vec::as_slice).unwrap_or_default();
        let count = |list: &str, of: &dyn Fn(&Value) -> usize| {
            rows(list).iter().filter(|row| row["deleted"] != true).map(of).sum::<usize>()
        };
        let inside = |list: &str, member: &str, kind: &str| {
            count(list, &|row| {
                let items = row[member]["data"].as_array().map(Vec::as_slice).unwrap_or_default();
                items.iter().filter(|item| kind.is_empty() || item["object"] == kind).count()
            })
        };
        let mut census: Vec<(&'static str, usize)> = self
            .lists
            .keys()
            .filter(|name| !matches!(**name, "accounts" | "events" | "invoiceitems" | "subscriptions"))
            .map(|name| (*name, count(name, &|_| 1)))
            .collect();
        census.extend([
            ("accounts", 1 + count("accounts", &|_| 1)),
            ("application_fee_refunds", inside("application_fees", "refunds", "")),
            (
                "balance_transaction_fee_details",
                count("balance_transactions", &|row| row["fee_details"].as_array().map_or(0, Vec::len)),
            ),
            (
                "bank_accounts",
                inside("customers", "sources", "bank_account")
                    + inside("accounts", "external_accounts", "bank_account"),
            ),
            (
                "cards",
                inside("customers", "sources", "card") + inside("accounts", "external_accounts", "card"),
            ),
            ("discounts", count("customers", &|row| usize::from(row["discount"].is_object()))),
            ("invoice_items", count("invoiceitems", &|_| 1)),
            ("invoice_lines", inside("invoices", "lines", "")),
            ("subscription_items", inside("subscriptions", "items", "")),
            ("subscriptions", count("subscriptions", &|row| usize::from(row["status"] != "canceled"))),
            ("transfer_reversals", inside("transfers", "reversals", "")),
        ]);
        census
    }

    /// Something happens; returns its events, the oldest first.
    pub fn happen(&mut self, now: Timestamp, rng: &mut StdRng) -> Vec<Value> {
        let customers = self.lists["customers"].len();
        let changed = match rng.random_range(0..100) {
            0..45 => {
                self.charge(rng.random_range(0..customers), now);
                None
            }
            45..58 => {
                self.customer(customers, now);
                None
            }
            58..72 => {
                let credit = -rng.random_range(1..=5_000);
                self.change("customers", "customer.updated", json!({ "balance": credit }), rng)
            }
            72..82 => {
                if let Some(subscription) = self.any("subscriptions", rng) {
                    self.invoice(&subscription, 1, now);
                }
                None
            }
            82..90 => self.any("charges", rng).map(|charge| {
                self.refund(&charge, now);
                ("charge.refunded", charge)
            }),
            90..94 => {
                let end = json!({ "status": "canceled", "canceled_at": now.as_second(), "ended_at": now.as_second() });
                self.change("subscriptions", "customer.subscription.deleted", end, rng)
            }
            94..96 => self.change("coupons", "coupon.deleted", json!({ "deleted": true }), rng),
            96..98 => {
                self.make("coupons", "WELCOME", now, json!({ "name": "Willkommen" }));
                None
            }
            _ => {
                let amount = rng.random_range(5..50) * 100;
                let metadata = json!({ "metadata": { "next_amount": amount.to_string() } });
                self.change("plans", "plan.updated", metadata, rng)
            }
        };
        let mut told: Vec<(&str, Value)> = Vec::new();
        for id in std::mem::take(&mut self.fresh) {
            let (Some((list, _)), Some(row)) = (self.places.get(&id), self.get(&id)) else { continue };
            let born = BORN.iter().find(|(born, _)| born == list);
            told.extend(born.map(|(_, kind)| (*kind, shown(row, &[]))));
            let sources = row["sources"]["data"].as_array().into_iter().flatten();
            told.extend(sources.map(|source| ("customer.source.created", source.clone())));
        }
        told.extend(changed.and_then(|(kind, id)| Some((kind, shown(self.get(&id)?, &[])))));
        told.into_iter().map(|(kind, object)| self.event(kind, object, now)).collect()
    }

    /// A living row of a list, by chance.
    fn any(&self, list: &str, rng: &mut StdRng) -> Option<String> {
        let rows = self.lists.get(list).filter(|rows| !rows.is_empty())?;
        let row = &rows[rng.random_range(0..rows.len())];
        let is_over = row["deleted"] == true || row["status"] == "canceled" || row["refunded"] == true;
        (!is_over).then(|| text(&row["id"]))
    }

    /// Changes a row, by chance; returns it with the type of the event that tells so.
    fn change(
        &mut self,
        list: &str,
        kind: &'static str,
        members: Value,
        rng: &mut StdRng,
    ) -> Option<(&'static str, String)> {
        let id = self.any(list, rng)?;
        self.set(&id, members);
        Some((kind, id))
    }

    pub(super) fn set(&mut self, id: &str, members: Value) {
        let row = self.places.get(id).and_then(|(list, place)| self.lists.get_mut(list)?.get_mut(*place));
        if let Some(row) = row {
            set(row, members);
        }
    }

    /// Notes an event about an object as it is now.
    fn event(&mut self, kind: &str, mut object: Value, now: Timestamp) -> Value {
        if let Value::Object(members) = &mut object {
            members.remove("deleted");
        }
        self.ids += 1;
        let event = json!({
            "id": format!("evt_1S{:020}", self.ids), "object": "event", "api_version": VERSION,
            "created": now.as_second(), "data": { "object": object }, "livemode": true, "pending_webhooks": 1,
            "request": { "id": null, "idempotency_key": null }, "type": kind,
        });
        self.put("events", event.clone());
        event
    }

    pub(super) fn put(&mut self, list: &'static str, row: Value) {
        let rows = self.lists.entry(list).or_default();
        self.places.insert(text(&row["id"]), (list, rows.len()));
        rows.push(row);
    }
}

/// Sets members of an object.
pub(super) fn set(row: &mut Value, members: Value) {
    if let Value::Object(members) = members {
        for (name, value) in members {
            row[name] = value;
        }
    }
}

pub(super) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
