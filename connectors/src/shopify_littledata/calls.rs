//! The calls of Shopify by Littledata: what the app posts itself, and what Shopify's webhooks become.

use headwater_core::prelude::*;

use crate::shopify;

/// What most of the app's events have, and what some have besides.
macro_rules! most {
    ($more:literal) => {
        concat!(
            "affiliation text, cart_id text, checkout_id text, \
             `context['Google Analytics'].clientId` text, context.ip text, coupon text, \
             currency text, discount numeric, email text, lifetime_revenue_littledata numeric, \
             location_id text, order_id text, payment_gateway_littledata text, \
             payment_method text, presentment_currency text, presentment_total numeric, \
             products json, purchase_count_littledata int, revenue numeric, sent_from text, \
             shipping numeric, shipping_method text, shopify_customer_id_littledata text, \
             source_name text, step int, subscription_revenue numeric, subtotal numeric, \
             tax numeric, total numeric, userId text",
            $more
        )
    };
}
const MOST: &str = most!("");
const PRODUCT: &str = "brand text, category text, compare_at_price numeric, coupon text, image_url text, \
    list_id text, list_position int, name text, price numeric, product_id text, quantity int, \
    product_properties json, shopify_product_id text, shopify_variant_id text, sku text, \
    url text, variant text";

/// What the app posts itself with a write key; `(v2)` is how Segment's page marks the events of the app's newer
/// version.
pub const SPEC: &[CallType] = &[
    CallType::track("Cart Viewed", MOST).when("the cart's page is seen"),
    CallType::track("Page Viewed", MOST).when("any page is seen"),
    CallType::track("Product Clicked", MOST).when("a product in a list is clicked"),
    CallType::track("Product Image Clicked", MOST).when("a product's image is clicked"),
    CallType::track("Product List Viewed", MOST).when("a list is scrolled into view"),
    CallType::track("Product Shared", MOST).when("a product is shared in a network"),
    CallType::track("Product Viewed", PRODUCT).when("a product's page is seen"),
    CallType::track("Products Searched", most!(", query text")).when("somebody searches"),
    CallType::track("Registration Viewed", MOST).when("the page to register is seen"),
    CallType::track("Thank you Page Viewed", MOST).when("the page after an order is seen"),
    CallType::track("Checkout Started", MOST).when("a checkout begins"),
    CallType::track("Checkout Step Completed", MOST).when("a step of a checkout is done"),
    CallType::track("Coupon Applied", MOST).when("a coupon was used, beside a checkout's step or an order"),
    CallType::track("Customer Created", MOST).when("a customer is added"),
    CallType::track("Customer Enabled (v2)", most!(", verified_email bool"))
        .when("an address is confirmed and an account made"),
    CallType::track(
        "Fulfillment Created (v2)",
        most!(", status text, tracking_numbers json, tracking_urls json"),
    )
    .when("a parcel is made up"),
    CallType::track(
        "Fulfillment Updated (v2)",
        most!(", status text, tracking_numbers json, tracking_urls json"),
    )
    .when("a parcel's state changes"),
    CallType::track("Order Cancelled (v2)", most!(", cancel_reason text")).when("an order is cancelled"),
    CallType::track("Order Completed", MOST).when("an order is placed"),
    CallType::track("Order Refunded", MOST).when("an order is refunded"),
    CallType::track("POS Order Placed (v2)", MOST).when("an order is placed in Shopify POS"),
    CallType::track("Payment Failure (v2)", MOST).when("a payment fails after the third step"),
    CallType::track("Payment Info Entered", MOST).when("the way to pay is given"),
    CallType::track(
        "Product Added",
        most!(
            ", brand text, category text, compare_at_price numeric, image_url text, list_id text, \
         list_position int, name text, price numeric, product_id text, quantity int, \
         product_properties json, shopify_product_id text, shopify_variant_id text, sku text, \
         url text, variant text"
        ),
    )
    .when("a product has been in the cart for ten seconds"),
    CallType::track("Product Removed", MOST).when("a product is taken out of the cart"),
    CallType::track("Charge Failed", most!(", error_type text")).when("a recurring charge fails (ReCharge)"),
    CallType::track("Charge Max Tries Reached", MOST).when("a charge has failed too often (ReCharge)"),
    CallType::track("Order Processed", MOST).when("a recurring order is handled (ReCharge)"),
    CallType::track("Payment Method Updated", MOST).when("the way to pay changes (ReCharge)"),
    CallType::track(
        "Subscription Cancelled",
        most!(", cancellation_reason text, cancellation_reason_comments text"),
    )
    .when("a subscription ends (ReCharge)"),
    CallType::track(
        "Subscription Created",
        most!(", status text, order_interval_frequency int, order_interval_unit text"),
    )
    .when("a subscription begins (ReCharge)"),
    CallType::track(
        "Subscription Updated",
        most!(", status text, order_interval_frequency int, order_interval_unit text"),
    )
    .when("a subscription changes (ReCharge)"),
    CallType::new(
        CallKind::Identify,
        "",
        "userId text, createdAt time, customerLifetimeValue numeric, default_address.street text, \
         default.address.postalCode text, default_address.state text, \
         default_address.country text, description text, email text, email_consent_state text, \
         email_opt_in_level text, firstName text, lastName text, phone text, purchaseCount int, \
         sms_consent_state text, sms_opt_in_level text, state text, tags, verified_email bool",
    )
    .when("somebody logs in, does the last step of a checkout, orders, or is changed later"),
    CallType::new(CallKind::Alias, "", "").when("an id of before the checkout turns out to be a customer's"),
];

/// What Shopify's webhooks become. Browsers' events have none.
pub const CALLS: &[CallType] = &[
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
    CallType::track("POS Order Placed", shopify::ORDER_PROPERTIES)
        .when("an order is placed in Shopify POS (orders/create)"),
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
    CallType::track("Customer Created", shopify::CUSTOMER_PROPERTIES)
        .native("customers/create")
        .when("a customer is added"),
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
