//! Elastic Path Commerce: customers and orders, one event a delivery; what it is about stands in `payload`, and in
//! older deliveries as JSON text in `resources`.

use headwater_core::prelude::*;

/// The registry's line.
pub const CONNECTOR: Connector = Connector::new(
    "elastic-path",
    "Elastic Path",
    "ecommerce",
    "https://elasticpath.dev/docs/api/integrations/integrations-introduction",
)
.settings::<ElasticPath>()
.events::<ElasticPath>(&WEBHOOK)
.spec(SPEC);

/// Settings of an Elastic Path source.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ElasticPath {
    /// The integration's secret key, if it has one; two while it is being changed, the newer first. Elastic Path signs
    /// nothing: without a key only the secret webhook key in the address lets a delivery in.
    #[serde(default)]
    secret_key: Secrets,
    /// What counts as *Order Completed*; the two others keep their own names (*Order Authorized*, *Order Fulfilled*,
    /// *Order Paid*), so that no order is counted twice.
    #[serde(default)]
    order_completed: Completed,
}

/// The event that completes an order.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Completed {
    /// It is paid (`order.paid`).
    #[default]
    Paid,
    /// Its payment is authorized (`order.authorized`).
    Authorized,
    /// It is fulfilled (`order.fulfilled`).
    Fulfilled,
}

static WEBHOOK: Webhook = Webhook {
    surfaces: &[Surface::json(
        "",
        Signature::Optional {
            one: &Signature::header(&["x-moltin-secret-key"]),
            why: "Elastic Path signs nothing, and an integration's secret key is optional",
        },
    )],
    calls: CALLS,
};

const MAPPING: Mapping = Mapping {
    event: "triggered_by",
    id: &["id"],
    time: "payload.data.meta.timestamps.updated_at|payload.data.meta.timestamps.created_at",
    user: "payload.data.relationships.customer.data.id",
    anonymous: "payload.data.customer.email|payload.data.contact.email|payload.data.id|payload.id|store_id|org_id",
    email: "payload.data.customer.email|payload.data.contact.email|payload.data.email",
    group: "payload.data.relationships.account.data.id",
    // The delivery holds the integration's own settings.
    secret: &["configuration.secret_key", "configuration.url"],
    lift: &["payload.data", "payload.included", "payload"],
    prefix: "resource_",
    calls: CALLS,
    ..Mapping::NEW
};
const ORDER: Mapping = Mapping {
    names: &[
        ("payload.data.id", "order_id"),
        ("payload.data.meta.display_price.with_tax.currency", "currency"),
        ("payload.included.items", "products"),
    ],
    ..MAPPING
};
const CUSTOMER: Mapping = Mapping {
    user: "payload.data.id|payload.id",
    anonymous: "payload.data.email",
    names: &[("payload.data.id", "customer_id")],
    ..MAPPING
};

impl EventSource for ElasticPath {
    fn secrets(&self, _surface: &Surface) -> Vec<Secret> {
        self.secret_key.all()
    }

    fn map(&self, item: &Item<'_>) -> Result<Vec<Output>> {
        let unpacked = unpacked(item)?;
        let item = item.with(&unpacked);
        let event = unpacked.text("triggered_by")?.unwrap_or_default();
        let mapping = match event.split('.').next() {
            Some("order") => ORDER,
            Some("customer") => CUSTOMER,
            _ => MAPPING,
        };
        let mut call = mapping.call(&item)?;
        if event == self.order_completed.event() {
            call.name = Some("Order Completed".into());
        } else if event == "order.paid" {
            call.name = Some("Order Paid".into());
        }
        Ok(vec![call.into()])
    }
}

impl Completed {
    fn event(self) -> &'static str {
        match self {
            Completed::Paid => "order.paid",
            Completed::Authorized => "order.authorized",
            Completed::Fulfilled => "order.fulfilled",
        }
    }
}

/// The delivery with `resources` as its `payload`, where it has none yet; where both say the same, once.
fn unpacked(item: &Item<'_>) -> Result<Record> {
    let mut body = item.fields()?;
    let Some(raw) = body.take("resources").filter(|raw| !raw.is_null()) else { return Ok(body.record()) };
    let resources = match raw.text() {
        Some(text) => Record::parse(&text.into()).ok(),
        None => raw.clone().record(),
    };
    let payload = body.get("payload").and_then(|payload| payload.clone().record());
    match (resources, payload) {
        (Some(resources), Some(payload)) if resources.line() == payload.line() => {}
        (Some(resources), None) => body.set("payload", Raw::parse(resources.bytes())?),
        _ => body.set("resources", raw),
    }
    Ok(body.record())
}

const ORDER_SPEC: &str = "order_id text, total numeric, revenue numeric, tax numeric, discount numeric, \
    shipping numeric, currency text, products json, products.$.product_id text, products.$.name text, \
    products.$.sku text, products.$.price numeric, products.$.quantity int, value numeric";

const SPEC: &[CallType] = &[
    CallType::new(CallKind::Identify, "", "name text, email text").when("a customer is made or changed"),
    CallType::track("Checkout Started", ORDER_SPEC)
        .when("an order is created; it has a value, the others a total"),
    CallType::track("Order Completed", ORDER_SPEC)
        .when("an order is paid, authorized or fulfilled, as set up"),
    CallType::track("Order Updated", ORDER_SPEC).when("an order changes, its address for one"),
    CallType::track("Order Cancelled", ORDER_SPEC).when("an order is cancelled"),
    CallType::track("Order Refunded", ORDER_SPEC).when("an order is refunded"),
];

const ORDER_NATIVE: &str = "order_id text, currency text, products json, type text, status text, payment text, \
    shipping text, customer json, contact json, shipping_address json, billing_address json, meta json, \
    relationships json, attempt int, integration json, store_id text, org_id text";

const CALLS: &[CallType] = &[
    CallType::new(
        CallKind::Identify,
        "",
        "customer_id text, type text, name text, email text, relationships json",
    )
    .native("customer.created|customer.updated")
    .when("a customer is made or changed"),
    CallType::track("Checkout Started", ORDER_NATIVE).native("order.created").when("a cart is checked out"),
    CallType::track("Order Completed", ORDER_NATIVE)
        .native("order.paid")
        .when("an order is paid, or whatever order_completed says"),
    CallType::track("Order Authorized", ORDER_NATIVE)
        .native("order.authorized")
        .when("a payment is authorized"),
    CallType::track("Order Fulfilled", ORDER_NATIVE).native("order.fulfilled").when("an order is fulfilled"),
    CallType::track("Order Updated", ORDER_NATIVE).native("order.updated").when("an order changes"),
    CallType::track("Order Cancelled", ORDER_NATIVE).native("order.cancelled").when("an order is cancelled"),
    CallType::track("Order Refunded", ORDER_NATIVE).native("order.refunded").when("an order is refunded"),
];

#[cfg(test)]
mod tests {
    use headwater_core::event::map_delivery;

    use super::*;

    #[test]
    fn only_one_event_completes_an_order() {
        let name = |settings: Value, event: &str| {
            let source: ElasticPath = serde_json::from_value(settings).unwrap();
            let body = json!({"id": "e", "triggered_by": event, "payload": {"data": {"id": "o"}}});
            let delivery = Delivery::fetched(Timestamp::UNIX_EPOCH, body.to_string().into());
            let mut mapped = map_delivery("elastic-path", &source, &WEBHOOK.surfaces[0], &delivery);
            match mapped.outputs.pop() {
                Some((_, Output::Call(call))) => call.name.unwrap_or_default(),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(name(json!({}), "order.paid"), "Order Completed");
        assert_eq!(name(json!({}), "order.authorized"), "Order Authorized");
        let fulfilled = json!({"order_completed": "fulfilled"});
        assert_eq!(name(fulfilled.clone(), "order.fulfilled"), "Order Completed");
        assert_eq!(name(fulfilled.clone(), "order.paid"), "Order Paid");
        assert_eq!(name(fulfilled, "cart.updated"), "Cart Updated");
    }
}
