//! Elastic Path CX Studio: what visitors of a storefront search, see and put into their cart. The pages post Segment
//! Spec calls with a write key; nothing public describes webhooks of its own. Orders come from `elastic-path`.

use headwater_core::prelude::*;

/// The registry's line.
pub const CONNECTOR: Connector = Connector::new(
    "elastic-path-cx-studio",
    "Elastic Path CX Studio",
    "ecommerce",
    "https://www.twilio.com/docs/segment/connections/sources/catalog/cloud-apps/elastic-path-cx-studio",
)
.spec(SPEC);

const LIST: &str = "category text, list_id text, products json, products.$.brand text, products.$.currency text, \
    products.$.image_url text, products.$.name text, products.$.price numeric, products.$.product_id text, \
    products.$.quantity int";
const PRODUCT: &str =
    "brand text, currency text, image_url text, name text, price numeric, product_id text, quantity int";

const SPEC: &[CallType] = &[
    CallType::track("Products Searched", "query text").when("a visitor searches"),
    CallType::track("Product List Viewed", LIST).when("a visitor sees a list or a category"),
    CallType::track("Product List Filtered", LIST).when("a visitor filters a list"),
    CallType::track("Product Viewed", PRODUCT).when("a visitor sees a product's page"),
    CallType::track("Product Added", PRODUCT).when("a visitor puts a product into the cart"),
    CallType::track("Product Removed", PRODUCT).when("a visitor takes a product out of the cart"),
    CallType::track(
        "Checkout Started",
        "currency text, discount numeric, order_id text, shipping numeric, tax numeric, value numeric, products json, \
         products.$.name text, products.$.price numeric, products.$.product_id text, products.$.quantity int, \
         products.$.sku text",
    )
    .when("a visitor begins an order"),
    CallType::track("Checkout Step Viewed", "checkout_id text, checkout_step").when("a visitor sees a step"),
    CallType::track("Checkout Step Completed", "checkout_id text, checkout_step").when("a visitor has done a step"),
    CallType::new(CallKind::Identify, "", "email text")
        .when("an address is typed into a form or a checkout, and when an account is made"),
];
