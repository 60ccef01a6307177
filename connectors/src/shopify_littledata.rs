//! Shopify by Littledata: what happens in a shop. The app posts Segment Spec calls with a write key; Shopify's own
//! webhooks say what its servers know, without the app.

mod calls;

use headwater_core::prelude::*;

use crate::shopify::{self, UserId};

/// The registry's line.
pub const CONNECTOR: Connector = Connector::new(
    "shopify-littledata",
    "Shopify (by Littledata)",
    "ecommerce",
    "https://shopify.dev/docs/apps/build/webhooks",
)
.settings::<ShopifyLittledata>()
.events::<ShopifyLittledata>(&WEBHOOK)
.spec(calls::SPEC);

/// Settings of a Shopify source.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ShopifyLittledata {
    /// What Shopify signs with: the app's client secret, or the secret that the shop shows under Settings →
    /// Notifications → Webhooks; two while it is being changed, the newer first (Shopify takes up to an hour to use a
    /// new one).
    #[serde(default)]
    webhook_secret: Secrets,
    /// Whose id the calls of webhooks have, as it is chosen in the app for its own.
    #[serde(default)]
    user_id: UserId,
}

static WEBHOOK: Webhook = Webhook { surfaces: shopify::SURFACES, calls: calls::CALLS };

impl EventSource for ShopifyLittledata {
    fn secrets(&self, _surface: &Surface) -> Vec<Secret> {
        self.webhook_secret.all()
    }

    fn map(&self, item: &Item<'_>) -> Result<Vec<Output>> {
        let mut outputs = shopify::map(calls::CALLS, item, self.user_id)?;
        // What is sold over the counter is not the website's.
        if item.record.text("source_name")?.as_deref() == Some("pos") {
            for output in &mut outputs {
                if let Output::Call(call) = output
                    && call.name.as_deref() == Some("Order Completed")
                {
                    call.name = Some("POS Order Placed".into());
                }
            }
        }
        Ok(outputs)
    }
}
