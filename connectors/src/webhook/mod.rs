//! Any other app: a webhook that the settings describe, without code. They say how a delivery is proven, how it is split,
//! and where an item says what happened, when and to whom; what is not named goes into properties as it came.
//!
//! ```toml
//! [[source]]
//! name = "billing"
//! connector = "webhook"
//! [source.settings]
//! secret = "${BILLING_SECRET}"
//! signature = { scheme = "hmac", header = "X-Signature", prefix = "sha256=" }
//! items = "events"
//! mapping = { event = "type", id = ["id"], time = "created_at", user = "customer.id", email = "customer.email", lift = ["data"] }
//! [source.settings.calls]
//! "invoice.paid" = { type = "track", name = "Invoice Paid" }
//! "customer.updated" = { type = "identify" }
//! ```
//!
//! Where something stands is a path (`data.customer.id`, `included[type=person].id`), `envelope:` and a path into what
//! surrounds the items, `header:` and a name, `query:` and a name, `tail:` for what follows the address, or `'text'` for
//! that text itself; of several, parted by `|`, the first that holds text counts.

mod settings;
mod signature;

use headwater_core::prelude::*;

use settings::Settings;
pub use settings::{CallSettings, Made, MappingSettings, calls, kept};

/// The registry's line.
pub const CONNECTOR: Connector =
    Connector::new("webhook", "Any webhook", "generic", "https://segment.com/docs/connections/spec/")
        .settings::<Settings>()
        .events::<Hook>(&WEBHOOK);

/// A webhook before its settings are known.
static WEBHOOK: Webhook = Webhook {
    surfaces: &[Surface {
        path: "",
        signature: Signature::None { why: "the setting `signature` says how a delivery is proven" },
        items: Items::Json(""),
    }],
    calls: &[CallType::track("", "")
        .when("an item comes: its name is the sender's, in Title Case unless `calls` names it")],
};

/// A webhook as its settings describe it.
#[derive(Debug, Deserialize)]
#[serde(try_from = "Settings")]
pub struct Hook {
    secrets: Vec<Secret>,
    made: &'static Made,
}

impl TryFrom<Settings> for Hook {
    type Error = String;

    fn try_from(settings: Settings) -> Result<Self, String> {
        Ok(Self { secrets: settings.secret.all(), made: settings.make()? })
    }
}

impl EventSource for Hook {
    fn secrets(&self, _surface: &Surface) -> Vec<Secret> {
        self.secrets.clone()
    }

    fn webhook(&self) -> Option<&'static Webhook> {
        Some(&self.made.webhook)
    }

    fn map(&self, item: &Item<'_>) -> Result<Vec<Output>> {
        Ok(vec![self.made.mapping.call(&self.made.webhook, item)?.into()])
    }
}
