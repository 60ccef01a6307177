//! Shopify's webhooks, as the connectors of the apps that feed Segment from a shop take them too: one signed event a
//! delivery, its topic in a header. The names of headers begin with `X-Shopify-`, in newer deliveries with `Shopify-`.

use headwater_core::prelude::*;

pub const SURFACES: &[Surface] = &[Surface::json(
    "",
    Signature::Hmac(Hmac {
        encoding: Encoding::Base64,
        ..Hmac::body(Place::Header(&["x-shopify-hmac-sha256", "shopify-hmac-sha256"]))
    }),
)];

/// Whose id a call has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum UserId {
    /// Shopify's id of the customer.
    #[default]
    CustomerId,
    /// The customer's address.
    Email,
    /// None: calls have anonymous ids only.
    None,
}

const TOPIC: &str = "header:x-shopify-topic|header:shopify-topic";
const SHOP: &str = "header:x-shopify-shop-domain|header:shopify-shop-domain";

/// What every topic has in common. A shop is who events are about that are about nobody else.
const EVENT: Mapping = Mapping {
    event: TOPIC,
    // Several topics may tell of one event.
    id: &[
        "header:x-shopify-event-id|header:shopify-event-id|header:x-shopify-webhook-id|header:shopify-webhook-id",
        TOPIC,
    ],
    time: "header:x-shopify-triggered-at|header:shopify-triggered-at|order_edit.committed_at|updated_at|created_at",
    anonymous: "header:x-shopify-shop-domain|header:shopify-shop-domain|shop_domain|myshopify_domain|id",
    context: &[
        ("webhook.topic", TOPIC),
        ("webhook.shop", SHOP),
        ("webhook.apiVersion", "header:x-shopify-api-version|header:shopify-api-version"),
    ],
    prefix: "shopify_",
    ..Mapping::NEW
};
/// Orders, checkouts, carts, refunds, fulfillments: with a customer, or none yet.
const SALE: Mapping = Mapping {
    anonymous: "customer.id|cart_token|checkout_token|token|email|contact_email|phone|order_id|order_edit.order_id|id",
    email: "email|contact_email|customer.email",
    context: &[
        ("webhook.topic", TOPIC),
        ("webhook.shop", SHOP),
        ("webhook.apiVersion", "header:x-shopify-api-version|header:shopify-api-version"),
        ("traits.phone", "phone|customer.phone"),
        ("ip", "client_details.browser_ip|browser_ip"),
        ("userAgent", "client_details.user_agent"),
        ("locale", "customer_locale"),
        ("page.referrer", "referring_site"),
    ],
    ..EVENT
};
const ORDER: Mapping = Mapping {
    names: &[
        ("id", "order_id"),
        ("order_edit.order_id", "order_id"),
        ("cart_token", "cart_id"),
        ("line_items", "products"),
        ("total_price", "total"),
        ("subtotal_price", "subtotal"),
        ("total_tax", "tax"),
        ("total_discounts", "discount"),
    ],
    ..SALE
};
const CHECKOUT: Mapping = Mapping {
    names: &[
        ("id", "checkout_id"),
        ("cart_token", "cart_id"),
        ("line_items", "products"),
        ("total_price", "total"),
        ("subtotal_price", "subtotal"),
        ("total_tax", "tax"),
        ("total_discounts", "discount"),
    ],
    ..SALE
};
const CART: Mapping = Mapping { names: &[("id", "cart_id"), ("line_items", "products")], ..SALE };
const CUSTOMER: Mapping =
    Mapping { anonymous: "id|customer.id|email|shop_domain", names: &[("id", "customer_id")], ..SALE };
/// A customer's members by the names that traits have.
const TRAITS: Mapping = Mapping {
    names: &[
        ("id", "customer_id"),
        ("first_name", "firstName"),
        ("last_name", "lastName"),
        ("created_at", "createdAt"),
        ("orders_count", "purchaseCount"),
        ("total_spent", "customerLifetimeValue"),
        ("note", "description"),
        ("email_marketing_consent.state", "email_consent_state"),
        ("email_marketing_consent.opt_in_level", "email_opt_in_level"),
        ("sms_marketing_consent.state", "sms_consent_state"),
        ("sms_marketing_consent.opt_in_level", "sms_opt_in_level"),
    ],
    ..CUSTOMER
};

/// What a delivery stands for: one call for each of these that has its topic as a native name.
pub fn map(calls: &'static [CallType], item: &Item<'_>, user_id: UserId) -> Result<Vec<Output>> {
    let topic = item.any_header(&["x-shopify-topic", "shopify-topic"]).ok_or_else(|| {
        Error::unexpected("header x-shopify-topic is missing: Shopify names the event there")
    })?;
    let mapping = of_topic(topic);
    let listed = calls.iter().filter(|call| call.native.split('|').any(|native| native == topic));
    let mut outputs = Vec::new();
    for call in listed {
        let mapping = if call.kind == CallKind::Identify { TRAITS } else { mapping };
        outputs.push(identified(mapping, topic, user_id).fill(item, call.call())?.into());
    }
    if outputs.is_empty() {
        let unlisted = Call::track(title_case(topic));
        outputs.push(identified(mapping, topic, user_id).fill(item, unlisted)?.into());
    }
    Ok(outputs)
}

fn of_topic(topic: &str) -> Mapping<'static> {
    match resource(topic) {
        "orders" => ORDER,
        "checkouts" => CHECKOUT,
        "carts" => CART,
        "customers" => CUSTOMER,
        "refunds" => Mapping { names: &[("id", "refund_id")], ..SALE },
        "fulfillments" => Mapping { names: &[("id", "fulfillment_id"), ("line_items", "products")], ..SALE },
        "draft_orders" => SALE,
        "products" => Mapping { names: &[("id", "product_id")], ..EVENT },
        _ => EVENT,
    }
}

fn resource(topic: &str) -> &str {
    topic.split('/').next().unwrap_or(topic)
}

/// The mapping with the user's id, where the topic is about a customer.
fn identified<'m>(mapping: Mapping<'m>, topic: &str, user_id: UserId) -> Mapping<'m> {
    let user = match (resource(topic), user_id) {
        (_, UserId::None) => "",
        ("customers", UserId::CustomerId) => "customer.id|id",
        ("customers", UserId::Email) => "customer.email|email",
        ("orders" | "checkouts" | "carts" | "fulfillments" | "draft_orders", UserId::CustomerId) => {
            "customer.id"
        }
        ("orders" | "checkouts" | "carts" | "fulfillments" | "draft_orders", UserId::Email) => {
            "customer.email|email|contact_email"
        }
        _ => "",
    };
    Mapping { user, ..mapping }
}

/// What is documented of an order.
pub const ORDER_PROPERTIES: &str = "order_id int, name text, email text, currency text, \
    presentment_currency text, total text, subtotal text, tax text, discount text, discount_codes json, \
    products json, shipping_lines json, tags text, source_name text, cart_id text, checkout_token text, \
    customer json, shipping_address json, billing_address json, note_attributes json, \
    financial_status text, fulfillment_status text, cancel_reason text, admin_graphql_api_id text, \
    created_at time, updated_at time";
/// Of a checkout.
pub const CHECKOUT_PROPERTIES: &str = "checkout_id int, token text, cart_id text, email text, \
    currency text, presentment_currency text, total text, subtotal text, tax text, discount text, \
    discount_codes json, products json, customer json, abandoned_checkout_url text, source_name text, \
    note_attributes json, created_at time, updated_at time";
/// Of a cart.
pub const CART_PROPERTIES: &str = "cart_id text, token text, note text, products json, created_at time, \
    updated_at time";
/// Of a refund.
pub const REFUND_PROPERTIES: &str = "refund_id int, order_id int, note text, restock bool, \
    refund_line_items json, transactions json, order_adjustments json, created_at time, processed_at time";
/// Of a fulfillment.
pub const FULFILLMENT_PROPERTIES: &str = "fulfillment_id int, order_id int, status text, service text, \
    name text, tracking_company text, tracking_number text, tracking_numbers json, tracking_urls json, \
    shipment_status text, products json, email text, destination json, location_id int, created_at time, \
    updated_at time";
/// Of a customer, in a track call.
pub const CUSTOMER_PROPERTIES: &str = "customer_id int, email text, first_name text, last_name text, \
    phone text, state text, tags text, verified_email bool, note text, orders_count int, total_spent text, \
    default_address json, email_marketing_consent json, sms_marketing_consent json, created_at time, \
    updated_at time";
/// Of a customer, in an identify call.
pub const CUSTOMER_TRAITS: &str = "customer_id int, email text, firstName text, lastName text, \
    phone text, state text, tags text, verified_email bool, description text, purchaseCount int, \
    customerLifetimeValue text, default_address json, email_consent_state text, email_opt_in_level text, \
    sms_consent_state text, sms_opt_in_level text, createdAt time, updated_at time";
/// Of a product.
pub const PRODUCT_PROPERTIES: &str = "product_id int, title text, handle text, body_html text, \
    vendor text, product_type text, status text, tags text, variants json, options json, images json, \
    admin_graphql_api_id text, published_at time, created_at time, updated_at time";
