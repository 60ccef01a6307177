//! How the rows of the shop are made: like a recorded one, with what is their own.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    super::{World, names},
    shop::{DAYS, Shop, set, text},
};

const MONTH: i64 = 30 * 86_400;

impl Shop {
    /// A copy of a recorded record with an id of its own.
    fn copy(&mut self, name: &str, prefix: &str, at: Timestamp, own: Value) -> Value {
        self.ids += 1;
        let mut row = self.like.get(name).cloned().unwrap_or_default();
        row["id"] = json!(format!("{prefix}_1S{:020}", self.ids));
        for time in ["created", "date"] {
            if row.get(time).is_some() {
                row[time] = json!(at.as_second());
            }
        }
        set(&mut row, own);
        row
    }

    /// A new row, made like the recorded one; `own` is what is its own. Returns its id.
    pub(super) fn make(&mut self, list: &'static str, prefix: &str, at: Timestamp, own: Value) -> String {
        let row = self.copy(list, prefix, at, own);
        let id = text(&row["id"]);
        self.put(list, row);
        self.fresh.push(id.clone());
        id
    }

    /// What stands inside the recorded records becomes a template of its own.
    pub(super) fn nested_templates(&mut self) {
        for (of, member, name) in [
            ("application_fees", "refunds", "fee_refund"),
            ("invoices", "lines", "line_item"),
            ("subscriptions", "items", "subscription_item"),
            ("transfers", "reversals", "transfer_reversal"),
        ] {
            // The last one of an invoice's lines belongs to a subscription.
            let items = self.like.get(of).and_then(|row| row[member]["data"].as_array()?.last().cloned());
            self.like.insert(name, items.unwrap_or_default());
        }
        let rate = self.like.get("subscriptions").map(|row| row["items"]["data"][0]["tax_rates"][0].clone());
        self.like.insert("tax_rates", rate.unwrap_or_default());
    }

    /// Fills a list inside a row with `count` copies.
    fn fill(
        &mut self,
        count: usize,
        name: &str,
        prefix: &str,
        at: Timestamp,
        url: &str,
        own: &Value,
    ) -> Value {
        let data: Vec<Value> = (0..count).map(|_| self.copy(name, prefix, at, own.clone())).collect();
        json!({ "object": "list", "data": data, "has_more": false, "url": url })
    }

    /// What is for sale, and with whom.
    pub(super) fn catalog(&mut self, world: &World) {
        let at = world.when(0, 1, DAYS);
        for n in 0..5 {
            let product =
                self.make("products", "prod", at, json!({ "name": format!("Kaffee Nr. {}", n + 1) }));
            for (interval, amount) in [("month", 1_490), ("year", 14_900)] {
                let own = json!({ "product": product, "interval": interval, "amount": amount * (n + 1), "amount_decimal": (amount * (n + 1)).to_string(), "currency": "eur", "interval_count": 1 });
                self.make("plans", "price", at, own);
            }
        }
        for n in 0..8 {
            self.make(
                "coupons",
                "COUPON",
                at,
                json!({ "name": format!("Coupon {n}"), "percent_off": 5 * (n + 1) }),
            );
        }
        for percent in [7, 19, 0] {
            self.make("tax_rates", "txr", at, json!({ "percentage": percent }));
        }
        for n in 0..world.size / 500 + 2 {
            let id = self.make(
                "accounts",
                "acct",
                world.when(n, world.size / 500 + 2, DAYS),
                json!({ "email": names::email(n) }),
            );
            let url = format!("/v1/accounts/{id}/external_accounts");
            let banks = self.fill(
                1 + n % 3 * 6,
                "bank_account",
                "ba",
                at,
                &url,
                &json!({ "account": id, "customer": null }),
            );
            self.set(
                &id,
                json!({ "external_accounts": banks, "business_profile": { "name": names::firm(n) } }),
            );
        }
    }

    pub(super) fn customer(&mut self, n: usize, at: Timestamp) -> String {
        let own = json!({
            "name": names::person(n), "email": names::email(n), "metadata": { "user_id": format!("user_{n}") },
            "invoice_prefix": format!("{n:08X}"),
        });
        let id = self.make("customers", "cus", at, own);
        let url = format!("/v1/customers/{id}/sources");
        let cards = if n % 50 == 10 { 14 } else { usize::from(n.is_multiple_of(4)) * (1 + n % 2) };
        let mut sources =
            self.fill(cards, "card", "card", at, &url, &json!({ "customer": id, "name": names::person(n) }));
        if n.is_multiple_of(9)
            && let Some(data) = sources["data"].as_array_mut()
        {
            let bank = self.copy("bank_account", "ba", at, json!({ "customer": id }));
            data.insert(0, bank);
        }
        let discount = match n % 7 {
            3 => self.copy("discount", "di", at, json!({ "customer": id, "start": at.as_second() })),
            _ => Value::Null,
        };
        self.set(&id, json!({ "sources": sources, "discount": discount }));
        let billing =
            json!({ "email": names::email(n), "name": names::person(n), "phone": null, "address": null });
        self.make("payment_methods", "pm", at, json!({ "customer": id, "billing_details": billing }));
        if n.is_multiple_of(2) {
            self.subscribe(&id, n, at);
        }
        id
    }

    fn subscribe(&mut self, customer: &str, n: usize, at: Timestamp) {
        let start = at.as_second();
        let status = if n % 10 == 8 { "canceled" } else { "active" };
        let ended = if status == "canceled" { json!(start + MONTH) } else { Value::Null };
        let own = json!({
            "customer": customer, "status": status, "start_date": start, "billing_cycle_anchor": start,
            "current_period_start": start, "current_period_end": start + MONTH, "canceled_at": ended, "ended_at": ended,
            "discount": null, "discounts": [],
        });
        let id = self.make("subscriptions", "sub", at, own);
        let url = format!("/v1/subscription_items?subscription={id}");
        let count = if n % 80 == 20 { 13 } else { 1 };
        let items = self.fill(count, "subscription_item", "si", at, &url, &json!({ "subscription": id }));
        self.set(&id, json!({ "items": items }));
        self.invoice(&id, if n % 50 == 20 { 15 } else { 1 + n % 3 }, at);
        if n % 20 == 10 {
            self.make("invoiceitems", "ii", at, json!({ "customer": customer, "subscription": id }));
        }
    }

    pub(super) fn invoice(&mut self, subscription: &str, lines: usize, at: Timestamp) -> String {
        let customer = self.get(subscription).map(|row| row["customer"].clone()).unwrap_or_default();
        let start = at.as_second();
        let total = 2_490 * lines;
        let own = json!({
            "customer": customer, "subscription": subscription, "status": "paid", "paid": true, "attempted": true,
            "amount_due": total, "amount_paid": total, "amount_remaining": 0, "subtotal": total, "total": total,
            "period_start": start - MONTH, "period_end": start, "customer_email": null, "customer_name": null,
            "number": format!("KR-{:08}", self.ids), "discount": null, "discounts": [],
        });
        let id = self.make("invoices", "in", at, own);
        let url = format!("/v1/invoices/{id}/lines");
        let line = json!({ "invoice": id, "subscription": subscription, "amount": 2_490, "quantity": 1 });
        let lines = self.fill(lines, "line_item", "il", at, &url, &line);
        self.set(&id, json!({ "lines": lines }));
        id
    }

    /// A payment: its intent, its charge, and what it moves.
    pub(super) fn charge(&mut self, customer: usize, at: Timestamp) -> String {
        let customer = self.lists["customers"].get(customer).map(|row| row["id"].clone()).unwrap_or_default();
        let amount = 990 + self.ids % 9_000;
        let intent =
            json!({ "customer": customer, "amount": amount, "amount_received": amount, "invoice": null });
        let intent = self.make("payment_intents", "pi", at, intent);
        let own = json!({
            "customer": customer, "amount": amount, "amount_captured": amount, "currency": "eur", "payment_intent": intent,
            "description": null, "metadata": { "order_id": format!("KR-{}", self.ids) },
        });
        let id = self.make("charges", "ch", at, own);
        let moved = self.moved(&id, amount as i64, "charge", at);
        self.set(&id, json!({ "balance_transaction": moved }));
        self.set(&intent, json!({ "latest_charge": id }));
        id
    }

    fn moved(&mut self, source: &str, amount: i64, kind: &str, at: Timestamp) -> String {
        let fee = if amount > 0 { amount / 70 + 25 } else { 0 };
        let details = json!([{ "amount": fee, "application": null, "currency": "eur", "description": "Stripe processing fees", "type": "stripe_fee" }]);
        let own = json!({
            "amount": amount, "fee": fee, "net": amount - fee, "currency": "eur", "exchange_rate": null, "source": source,
            "type": kind, "reporting_category": kind, "status": "available", "description": null,
            "available_on": at.as_second() + 7 * 86_400, "fee_details": if fee > 0 { details } else { json!([]) },
        });
        self.make("balance_transactions", "txn", at, own)
    }

    pub(super) fn refund(&mut self, charge: &str, at: Timestamp) -> String {
        let row = self.get(charge).cloned().unwrap_or_default();
        let amount = row["amount"].as_i64().unwrap_or_default();
        let own = json!({ "charge": charge, "payment_intent": row["payment_intent"], "amount": amount });
        let id = self.make("refunds", "re", at, own);
        let moved = self.moved(&id, -amount, "refund", at);
        self.set(&id, json!({ "balance_transaction": moved }));
        self.set(charge, json!({ "refunded": true, "amount_refunded": amount }));
        id
    }

    /// A partner's share: an application fee, and a transfer that is partly taken back now and then.
    pub(super) fn pay_partner(&mut self, charge: &str, at: Timestamp, n: usize) {
        let fee = self.make(
            "application_fees",
            "fee",
            at,
            json!({ "charge": charge, "originating_transaction": charge }),
        );
        let url = format!("/v1/application_fees/{fee}/refunds");
        let refunds = self.fill(n / 50 % 3 * 6, "fee_refund", "fr", at, &url, &json!({ "fee": fee }));
        self.set(&fee, json!({ "refunds": refunds }));
        let transfer = self.make("transfers", "tr", at, json!({ "source_transaction": charge }));
        let url = format!("/v1/transfers/{transfer}/reversals");
        let reversals =
            self.fill(n / 50 % 4 * 5, "transfer_reversal", "trr", at, &url, &json!({ "transfer": transfer }));
        self.set(&transfer, json!({ "reversals": reversals }));
    }
}
