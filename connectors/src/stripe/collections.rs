//! What Stripe has: the collections of Segment's catalog, each column where the pinned version has it.
//!
//! Lists are newest first and can only be asked for by creation. What changes later, and what is deleted, the feed
//! tells: every event carries the object as it was then.

use headwater_core::prelude::*;

/// The largest page that Stripe gives.
const PAGE: &[(&str, &str)] = &[("limit", "100")];

/// How every list is read: `data`, newest first, on after the last id.
pub(super) const LIST: Collection = Collection {
    records: "data",
    pages: Pages::After { field: "id", into: Put::Query("starting_after"), more: More::If("has_more") },
    deletes: Deletes::Never,
    ..Collection::DEFAULT
};

/// A list that can be asked for by creation.
const BY_CREATION: Collection = Collection { since: Some(created("created", 600)), ..LIST };

/// One that may be long: its backfill is read a quarter at a time. Four requests under way stay below the 25 a second
/// that Stripe lets one endpoint have.
const LONG: Collection = Collection {
    windows: Some(Windows {
        span: Duration::from_secs(90 * DAY),
        epoch: "2011-01-01T00:00:00Z",
        side_by_side: 4,
    }),
    ..BY_CREATION
};

/// By creation, which the record's `field` tells to the second; a list may lag behind.
const fn created(field: &'static str, overlap: u64) -> Since {
    Since::Time {
        field,
        from: Put::Query("created[gte]"),
        until: Some(Put::Query("created[lt]")),
        format: TimeFormat::UnixSeconds,
        overlap: Duration::from_secs(overlap),
        lag: Duration::from_secs(60),
        first: None,
    }
}

const DAY: u64 = 86_400;

/// Deletions come with the feed.
const TOLD: Deletes = Deletes::Feed(EVENTS);

/// The feed's name.
pub(super) const EVENTS: &str = "events";

/// The last 30 days of everything that happened, newest first.
pub const FEEDS: &[Feed] = &[Feed {
    read: Collection { name: EVENTS, endpoint: Endpoint::get("/v1/events").query(PAGE), ..BY_CREATION },
    horizon: Some(Duration::from_secs(30 * DAY)),
    fills: &[
        "accounts",
        "application_fee_refunds",
        "application_fees",
        "bank_accounts",
        "cards",
        "charges",
        "coupons",
        "customers",
        "discounts",
        "disputes",
        "invoice_items",
        "invoice_lines",
        "invoices",
        "payment_intents",
        "payment_methods",
        "plans",
        "products",
        "refunds",
        "subscription_items",
        "subscriptions",
        "tax_rates",
        "transfer_reversals",
        "transfers",
    ],
}];

/// The collections, in the catalog's order.
pub const COLLECTIONS: &[Collection] = &[
    // The key's own account, and the connected ones of a platform: see `accounts` in mod.rs.
    Collection {
        name: "accounts",
        fields: "id text, business_logo text = settings.branding.logo, business_name text = business_profile.name, \
            business_url text = business_profile.url, charges_enabled bool, country text, created time, \
            debit_negative_balances bool = settings.payouts.debit_negative_balances, default_currency text, \
            details_submitted bool, display_name text = settings.dashboard.display_name, email text, metadata json, \
            statement_descriptor text = settings.payments.statement_descriptor, \
            support_address_city text = business_profile.support_address.city, \
            support_address_country text = business_profile.support_address.country, \
            support_address_line1 text = business_profile.support_address.line1, \
            support_address_line2 text = business_profile.support_address.line2, \
            support_address_postal_code text = business_profile.support_address.postal_code, \
            support_address_state text = business_profile.support_address.state, \
            support_email text = business_profile.support_email, support_phone text = business_profile.support_phone, \
            support_url text = business_profile.support_url, timezone text = settings.dashboard.timezone, \
            transfers_enabled bool = payouts_enabled, \
            product_description text = business_profile.product_description, type text",
        endpoint: Endpoint::get("/v1/accounts").query(PAGE),
        deletes: Deletes::Unseen,
        ..LIST
    },
    Collection {
        name: "application_fee_refunds",
        fields: "id text, amount int, created time, currency text, fee_id text = fee, metadata json",
        from: From::Nested { of: &[("application_fees", "refunds.data")], overflow: "refunds.has_more" },
        endpoint: Endpoint::get("/v1/application_fees/{^id}/refunds").query(PAGE),
        ..LIST
    },
    Collection {
        name: "application_fees",
        fields: "id text, account_id text = account, amount_refunded int, amount int, \
            application_id text = application, balance_transaction_id text = balance_transaction, \
            charge_id text = charge, created time, currency text, originating_transaction text, refunded bool",
        endpoint: Endpoint::get("/v1/application_fees").query(PAGE),
        retired: &[
            ("available", "stands on the balance transaction: balance_transactions.available"),
            ("metadata", "Stripe's application fees have none; the charge has"),
            (
                "transfer_id",
                "the fee no longer names the transfer; the charge in originating_transaction does",
            ),
        ],
        ..LONG
    },
    Collection {
        name: "balance_transaction_fee_details",
        key: &["balance_transaction_id", "index"],
        fields: "balance_transaction_id text = ^id, index int = #, amount int, application text, currency text, \
            description text, type text",
        from: From::Nested { of: &[("balance_transactions", "fee_details")], overflow: "" },
        deletes: Deletes::Never,
        ..Collection::DEFAULT
    },
    // No event tells that a pending one has become available: the last ten days are read again.
    Collection {
        name: "balance_transactions",
        fields: "id text, amount int, currency text, description text, fee int, net int, source text, status text, \
            type text, created time, available time = available_on",
        endpoint: Endpoint::get("/v1/balance_transactions").query(PAGE),
        since: Some(created("created", 10 * DAY)),
        retired: &[("metadata", "Stripe's balance transactions have none; their source has")],
        ..LONG
    },
    Collection {
        name: "bank_accounts",
        fields: "id text, bank_name text, country text, currency text, default_for_currency bool, metadata json, \
            status text, customer_id text = customer, account_id text = account",
        from: From::Nested {
            of: &[
                ("customers", "sources.data[object=bank_account]"),
                ("accounts", "external_accounts.data[object=bank_account]"),
            ],
            overflow: "sources.has_more",
        },
        endpoint: Endpoint::get("/v1/customers/{^id}/sources")
            .query(&[("object", "bank_account"), ("limit", "100")]),
        deletes: TOLD,
        ..LIST
    },
    Collection {
        name: "cards",
        fields: "id text, address_city text, address_country text, address_line1_check text, address_line1 text, \
            address_line2 text, address_state text, address_zip_check text, address_zip text, brand text, \
            country text, cvc_check text, dynamic_last4 text, exp_month int, exp_year int, fingerprint text, \
            funding text, last4 text, metadata json, name text, tokenization_method text, \
            customer_id text = customer, account_id text = account",
        from: From::Nested {
            of: &[
                ("customers", "sources.data[object=card]"),
                ("accounts", "external_accounts.data[object=card]"),
            ],
            overflow: "sources.has_more",
        },
        endpoint: Endpoint::get("/v1/customers/{^id}/sources").query(&[("object", "card"), ("limit", "100")]),
        deletes: TOLD,
        ..LIST
    },
    Collection {
        name: "charges",
        fields: "id text, amount_refunded int, amount int, application_fee text, \
            balance_transaction_id text = balance_transaction, captured bool, created time, currency text, \
            customer_id text = customer, description text, destination text = transfer_data.destination, \
            failure_code text, failure_message text, fraud_details_stripe_report text = fraud_details.stripe_report, \
            fraud_details_user_report text = fraud_details.user_report, invoice_id text = invoice, metadata json, \
            paid bool, payment_intent_id text = payment_intent, payment_method_id text = payment_method, \
            receipt_email text, receipt_number text, refunded bool, \
            shipping_address_city text = shipping.address.city, \
            shipping_address_country text = shipping.address.country, \
            shipping_address_line1 text = shipping.address.line1, \
            shipping_address_line2 text = shipping.address.line2, \
            shipping_address_postal_code text = shipping.address.postal_code, \
            shipping_address_state text = shipping.address.state, shipping_carrier text = shipping.carrier, \
            shipping_name text = shipping.name, shipping_phone text = shipping.phone, \
            shipping_tracking_number text = shipping.tracking_number, statement_descriptor text, status text",
        endpoint: Endpoint::get("/v1/charges").query(PAGE),
        ..LONG
    },
    Collection {
        name: "coupons",
        // Since 2018 percent_off itself has the decimals.
        fields: "id text, amount_off int, created time, currency text, duration_in_months int, duration text, \
            max_redemptions int, metadata json, percent_off numeric, percent_off_precise numeric = percent_off, \
            times_redeemed int, valid bool",
        endpoint: Endpoint::get("/v1/coupons").query(PAGE),
        deletes: TOLD,
        ..BY_CREATION
    },
    Collection {
        name: "customers",
        fields: "id text, balance int, created time, currency text, default_source text, delinquent bool, \
            description text, email text, metadata json",
        endpoint: Endpoint::get("/v1/customers").query(&[("limit", "100"), ("expand[]", "data.sources")]),
        deletes: TOLD,
        ..LONG
    },
    Collection {
        name: "discounts",
        fields: "id text, coupon_id text = coupon.id, customer_id text = customer, end time, start time, \
            subscription text",
        from: From::Nested {
            of: &[("customers", "discount"), ("subscriptions", "discounts"), ("invoices", "discounts")],
            overflow: "",
        },
        deletes: TOLD,
        ..Collection::DEFAULT
    },
    Collection {
        name: "disputes",
        fields: "id text, amount int, charge_id text = charge, currency text, created time, evidence_ object, \
            evidence_details_ object, is_charge_refundable bool, metadata json, reason text, status text",
        endpoint: Endpoint::get("/v1/disputes").query(PAGE),
        ..BY_CREATION
    },
    // No event tells that one was changed: those of the last month are read again, which is how long one mostly waits
    // for its invoice.
    Collection {
        name: "invoice_items",
        fields: "id text, amount int, currency text, customer_id text = customer, date time, description text, \
            discountable bool, invoice_id text = invoice, metadata json, period_start time = period.start, \
            period_end time = period.end, proration bool, quantity int, subscription_id text = subscription",
        endpoint: Endpoint::get("/v1/invoiceitems").query(PAGE),
        since: Some(created("date", 32 * DAY)),
        deletes: TOLD,
        ..LONG
    },
    Collection {
        name: "invoice_lines",
        key: &["invoice_id", "id"],
        fields: "id text, invoice_id text = ^id, amount int, currency text, description text, discountable bool, \
            item_id text = invoice_item, period_end time = period.end, period_start time = period.start, \
            plan_id text = plan.id, proration bool, quantity int, subscription_id text = subscription, \
            tax_rates json, type text",
        from: From::Nested { of: &[("invoices", "lines.data")], overflow: "lines.has_more" },
        endpoint: Endpoint::get("/v1/invoices/{^id}/lines").query(PAGE),
        deletes: Deletes::Unseen,
        ..LIST
    },
    Collection {
        name: "invoices",
        fields: "id text, amount_due int, application_fee int = application_fee_amount, attempt_count int, \
            attempted bool, billing_reason text, charge_id text = charge, currency text, \
            customer_id text = customer, description text, due_date time, ending_balance int, metadata json, \
            paid bool, period_end time, period_start time, receipt_number text, starting_balance int, \
            statement_descriptor text, subscription_id text = subscription, subtotal int, tax int, total int, \
            auto_advance bool, status text, created time",
        endpoint: Endpoint::get("/v1/invoices").query(&[("limit", "100"), ("expand[]", "data.discounts")]),
        deletes: TOLD,
        ..LONG
    },
    Collection {
        name: "order_shipping_methods",
        key: &["order_id", "shipping_id"],
        fields: "order_id text, shipping_id text, amount int, currency text, delivery_estimate_ object, \
            description text",
        gone: Some("Stripe has dropped the orders that had them, in version 2022-08-01"),
        ..LIST
    },
    Collection {
        name: "payment_intents",
        fields: "id text, amount_capturable int, amount_received int, amount int, application_fee_amount int, \
            application_id text = application, canceled_at time, cancellation_reason text, capture_method text, \
            confirmation_method text, created time, currency text, customer_id text = customer, description text, \
            invoice_id text = invoice, livemode bool, metadata json, on_behalf_of text, \
            payment_method_id text = payment_method, receipt_email text, review_id text = review, \
            statement_descriptor text, status text, transfer_data_amount int = transfer_data.amount, \
            transfer_data_destination text = transfer_data.destination, transfer_group text",
        endpoint: Endpoint::get("/v1/payment_intents").query(PAGE),
        ..LONG
    },
    // The only list that takes no filter by creation.
    Collection {
        name: "payment_methods",
        fields: "id text, billing_details_address_city text = billing_details.address.city, \
            billing_details_address_country text = billing_details.address.country, \
            billing_details_address_line1 text = billing_details.address.line1, \
            billing_details_address_line2 text = billing_details.address.line2, \
            billing_details_address_postal_code text = billing_details.address.postal_code, \
            billing_details_address_state text = billing_details.address.state, \
            billing_details_email text = billing_details.email, billing_details_name text = billing_details.name, \
            billing_details_phone text = billing_details.phone, \
            card_networks_available json = card.networks.available, created time, customer_id text = customer, \
            livemode bool, metadata json, type text",
        endpoint: Endpoint::get("/v1/payment_methods").query(PAGE),
        since: Some(Since::Newest {
            field: "created",
            overlap: Duration::from_secs(600),
            lag: Duration::from_secs(60),
        }),
        retired: &[(
            "custom object",
            "no column of that name: the member that `type` names (card, us_bank_account, …) is loaded as columns with its name before them",
        )],
        ..LIST
    },
    Collection {
        name: "plans",
        fields: "id text, amount int, created time, currency text, interval_count int, interval text, product text, \
            metadata json, trial_period_days int",
        endpoint: Endpoint::get("/v1/plans").query(PAGE),
        deletes: TOLD,
        ..BY_CREATION
    },
    Collection {
        name: "products",
        fields: "id text, active bool, created time, description text, images json, livemode bool, metadata json, \
            name text, package_dimensions_ object, shippable bool, url text",
        endpoint: Endpoint::get("/v1/products").query(PAGE),
        deletes: TOLD,
        retired: &[
            ("attributes", "went with SKUs and orders, before version 2022-08-01"),
            ("caption", "went with SKUs and orders, before version 2022-08-01"),
            ("deactivate_on", "went with SKUs and orders, before version 2022-08-01"),
        ],
        ..BY_CREATION
    },
    Collection {
        name: "refunds",
        fields: "id text, amount int, balance_transaction_id text = balance_transaction, charge_id text = charge, \
            created time, currency text, metadata json, reason text, receipt_number text",
        endpoint: Endpoint::get("/v1/refunds").query(PAGE),
        ..LONG
    },
    Collection {
        name: "skus",
        fields: "id text, active bool, attributes_ object, created time, currency text, image text, \
            inventory_ object, livemode bool, metadata json, package_dimensions_ object, price int, \
            product_id text = product, updated time",
        gone: Some("Stripe has dropped SKUs, in version 2022-11-15; prices have taken their place"),
        ..LIST
    },
    Collection {
        name: "subscription_items",
        fields: "id text, created time, metadata json, plan_id text = plan.id, quantity int, \
            subscription_id text = ^id, tax_rates json",
        from: From::Nested { of: &[("subscriptions", "items.data")], overflow: "items.has_more" },
        endpoint: Endpoint::get("/v1/subscription_items")
            .query(&[("subscription", "{^id}"), ("limit", "100")]),
        deletes: Deletes::Unseen,
        ..LIST
    },
    // Without status=all the cancelled ones are left out. Such a one is told of as deleted, and counts so.
    Collection {
        name: "subscriptions",
        fields: "id text, application_fee_percent numeric, cancel_at_period_end bool, canceled_at time, \
            collection_method text, created time, current_period_end time, current_period_start time, \
            customer_id text = customer, discount_id text = discount.id, ended_at time, \
            plan_id text = items.data.0.plan.id, quantity int = items.data.0.quantity, start_date time, status text, \
            trial_end time, trial_start time",
        endpoint: Endpoint::get("/v1/subscriptions").query(&[
            ("limit", "100"),
            ("status", "all"),
            ("expand[]", "data.discounts"),
        ]),
        deletes: Deletes::Flag("status", "canceled"),
        ..LONG
    },
    Collection {
        name: "tax_rates",
        fields: "id text, active bool, country text, created time, description text, display_name text, \
            inclusive bool, jurisdiction text, percentage numeric, state text, tax_type text",
        endpoint: Endpoint::get("/v1/tax_rates").query(PAGE),
        ..BY_CREATION
    },
    Collection {
        name: "transfer_reversals",
        fields: "id text, amount int, balance_transaction_id text = balance_transaction, created time, \
            currency text, metadata json, transfer_id text = transfer",
        from: From::Nested { of: &[("transfers", "reversals.data")], overflow: "reversals.has_more" },
        endpoint: Endpoint::get("/v1/transfers/{^id}/reversals").query(PAGE),
        ..LIST
    },
    Collection {
        name: "transfers",
        fields: "id text, amount_reversed int, amount int, balance_transaction_id text = balance_transaction, \
            created time, currency text, description text, destination_id text = destination, \
            destination_payment text, metadata json, reversed bool, source_transaction text",
        endpoint: Endpoint::get("/v1/transfers").query(PAGE),
        retired: &[(
            "bank_account_id",
            "since version 2017-04-06 what goes to a bank is a payout; a transfer goes to an account: destination_id",
        )],
        ..LONG
    },
];
