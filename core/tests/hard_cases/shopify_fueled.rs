//! Shopify: the event's name and id stand in headers, the headers have two names each, one item is two calls.

use headwater_core::{event::title_case, prelude::*};

pub const CONNECTOR: Connector = Connector::new(
    "shopify-fueled",
    "Shopify - Powered by Fueled",
    "ecommerce",
    "https://shopify.dev/docs/apps/build/webhooks",
)
.settings::<Shopify>()
.spec(WEBHOOK.calls)
.events::<Shopify>(&WEBHOOK);

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Shopify {
    /// The app's client secret, or the store's notification secret.
    #[serde(default)]
    secret: Secrets,
}

const WEBHOOK: Webhook = Webhook {
    surfaces: &[Surface {
        path: "",
        signature: Signature::Hmac(Hmac {
            encoding: Encoding::Base64,
            ..Hmac::body(Place::Header(&["shopify-hmac-sha256", "x-shopify-hmac-sha256"]))
        }),
        items: Items::Json(""),
    }],
    calls: &[
        CallType::new(CallKind::Identify, "", "email text"),
        CallType::track("Account Created", "").native("customers/create"),
        CallType::track("Account Updated", "").native("customers/update"),
        CallType::track("Checkout Started", "").native("checkouts/create"),
        CallType::track("Order Completed", "").native("orders/create"),
        CallType::track("Order Updated", "").native("orders/updated|orders/edited"),
        CallType::new(CallKind::Page, "", "")
            .excused("seen in the browser only; Shopify sends no webhook for it"),
    ],
};

impl EventSource for Shopify {
    fn secrets(&self, _surface: &Surface) -> Vec<Secret> {
        self.secret.all()
    }

    fn map(&self, item: &Item<'_>) -> Result<Vec<Output>> {
        let topic = item.any_header(&["shopify-topic", "x-shopify-topic"]).unwrap_or_default();
        let call = WEBHOOK.by_native(topic).map_or_else(|| Call::track(title_case(topic)), CallType::call);
        let id = item.any_header(&["shopify-event-id", "x-shopify-event-id"]);
        let time = item.record.time("updated_at")?.or(item.record.time("created_at")?);
        let email = item.record.first_text(&["email", "customer.email"])?;
        let mut calls = Vec::new();
        if topic.starts_with("customers/") {
            let traits = item.fields()?;
            calls.push(Call::identify().id(id).at(time).user(email.clone()).properties(traits).into());
        }
        let shop = item.any_header(&["shopify-shop-domain", "x-shopify-shop-domain"]);
        calls.push(
            call.id(id).at(time).user(email).properties(item.fields()?).context("app.namespace", shop).into(),
        );
        Ok(calls)
    }
}
