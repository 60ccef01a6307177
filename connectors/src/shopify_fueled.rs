//! Shopify by Fueled: what happens in a shop. The app posts Segment Spec calls with a write key; Shopify's own webhooks
//! say what its servers know, without the app.

use headwater_core::prelude::*;

use crate::shopify::{self, UserId};

/// The registry's line.
pub const CONNECTOR: Connector = Connector::new(
    "shopify-fueled",
    "Shopify - Powered by Fueled",
    "ecommerce",
    "https://shopify.dev/docs/apps/build/webhooks",
)
.settings::<ShopifyFueled>()
.events::<ShopifyFueled>(&WEBHOOK)
.spec(SPEC);

/// Settings of a Shopify source.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ShopifyFueled {
    /// What Shopify signs with: the app's client secret, or the secret that the shop shows under Settings →
    /// Notifications → Webhooks; two while it is being changed, the newer first (Shopify takes up to an hour to use a
    /// new one).
    #[serde(default)]
    webhook_secret: Secrets,
}

static WEBHOOK: Webhook = Webhook { surfaces: shopify::SURFACES, calls: CALLS };

impl EventSource for ShopifyFueled {
    fn secrets(&self, _surface: &Surface) -> Vec<Secret> {
        self.webhook_secret.all()
    }

    fn map(&self, item: &Item<'_>) -> Result<Vec<Output>> {
        // Fueled takes the address for the user's id.
        shopify::map(CALLS, item, UserId::Email)
    }
}

const SPEC: &[CallType] = &[
    CallType::new(CallKind::Page, "Page", "").when("a page is seen"),
    CallType::new(CallKind::Identify, "", "")
        .when("somebody logs in, makes an account or signs up for emails"),
    CallType::track("Account Created", "").when("an account is made"),
    CallType::track("Account Updated", "").when("an account is changed"),
    CallType::track("Cart Viewed", "").when("the cart is seen"),
    CallType::track("Checkout Started", "").when("a checkout begins"),
    CallType::track("Order Completed", "").when("an order is placed"),
    CallType::track("Order Updated", "").when("an order is changed"),
    CallType::track("Product Added", "").when("a product is put into the cart"),
    CallType::track("Product Removed", "").when("a product is taken out of the cart"),
    CallType::track("Product List Viewed", "").when("a list or collection is seen"),
    CallType::track("Product Viewed", "").when("a product is seen"),
    CallType::track("Products Searched", "").when("somebody searches"),
];

const CALLS: &[CallType] = &[
    CallType::track("Checkout Started", shopify::CHECKOUT_PROPERTIES)
        .native("checkouts/create")
        .when("a checkout begins"),
    CallType::track("Checkout Step Completed", shopify::CHECKOUT_PROPERTIES)
        .native("checkouts/update")
        .when("a checkout goes on"),
    CallType::track("Checkout Deleted", "checkout_id int, presentment_currency text")
        .native("checkouts/delete")
        .when("a checkout is deleted"),
    CallType::track("Order Completed", shopify::ORDER_PROPERTIES)
        .native("orders/create")
        .when("an order is placed"),
    CallType::track("Order Updated", shopify::ORDER_PROPERTIES)
        .native("orders/updated|orders/edited")
        .when("an order is changed"),
    CallType::track("Order Paid", shopify::ORDER_PROPERTIES).native("orders/paid").when("an order is paid"),
    CallType::track("Order Cancelled", shopify::ORDER_PROPERTIES)
        .native("orders/cancelled")
        .when("an order is cancelled"),
    CallType::track("Order Fulfilled", shopify::ORDER_PROPERTIES)
        .native("orders/fulfilled")
        .when("an order is fulfilled"),
    CallType::track("Order Partially Fulfilled", shopify::ORDER_PROPERTIES)
        .native("orders/partially_fulfilled")
        .when("a part of an order is fulfilled"),
    CallType::track("Order Deleted", "order_id int").native("orders/delete").when("an order is deleted"),
    CallType::track("Order Refunded", shopify::REFUND_PROPERTIES)
        .native("refunds/create")
        .when("an order is refunded, or a part of it"),
    CallType::track("Cart Created", shopify::CART_PROPERTIES).native("carts/create").when("a cart is made"),
    CallType::track("Cart Updated", shopify::CART_PROPERTIES)
        .native("carts/update")
        .when("a cart is changed; which products came and went, only the one before tells"),
    CallType::track("Fulfillment Created", shopify::FULFILLMENT_PROPERTIES)
        .native("fulfillments/create")
        .when("a parcel is made up"),
    CallType::track("Fulfillment Updated", shopify::FULFILLMENT_PROPERTIES)
        .native("fulfillments/update")
        .when("a parcel is on its way"),
    CallType::track("Account Created", shopify::CUSTOMER_PROPERTIES)
        .native("customers/create")
        .when("a customer is added"),
    CallType::track("Account Updated", shopify::CUSTOMER_PROPERTIES)
        .native("customers/update")
        .when("a customer is changed"),
    CallType::new(CallKind::Identify, "", shopify::CUSTOMER_TRAITS)
        .native("customers/create|customers/update")
        .when("a customer is added or changed"),
    CallType::track("Customer Enabled", shopify::CUSTOMER_PROPERTIES)
        .native("customers/enable")
        .when("a customer's account is enabled"),
    CallType::track("Customer Disabled", shopify::CUSTOMER_PROPERTIES)
        .native("customers/disable")
        .when("a customer's account is disabled"),
    CallType::track("Customer Deleted", "customer_id int, phone text, addresses json")
        .native("customers/delete")
        .when("a customer is deleted"),
    CallType::track("Product Created", shopify::PRODUCT_PROPERTIES)
        .native("products/create")
        .when("a product is added"),
    CallType::track("Product Updated", shopify::PRODUCT_PROPERTIES)
        .native("products/update")
        .when("a product is changed, or ordered"),
    CallType::track("Product Deleted", "product_id int")
        .native("products/delete")
        .when("a product is deleted"),
    CallType::track(
        "App Uninstalled",
        "shopify_id int, name text, domain text, myshopify_domain text, plan_name text, \
         country text, currency text",
    )
    .native("app/uninstalled")
    .when("the app is taken out of the shop"),
    CallType::track(
        "Customers Data Request",
        "shop_id int, shop_domain text, customer json, orders_requested json, data_request json",
    )
    .native("customers/data_request")
    .when("a customer asks for what is known: an answer is required by law"),
    CallType::track(
        "Customers Redact",
        "shop_id int, shop_domain text, customer json, orders_to_redact json",
    )
    .native("customers/redact")
    .when("a customer has to be forgotten"),
    CallType::track("Shop Redact", "shop_id int, shop_domain text")
        .native("shop/redact")
        .when("a shop has to be forgotten, 48 hours after the app was taken out"),
];
