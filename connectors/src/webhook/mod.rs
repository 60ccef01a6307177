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

mod hook;
mod settings;
mod signature;

use headwater_core::prelude::*;

pub use hook::{Described, Hook, Made};
use settings::Settings;
pub use settings::{CallSettings, MappingSettings, calls};

/// The registry's line.
pub const CONNECTOR: Connector =
    Connector::new("webhook", "Any webhook", "generic", "https://segment.com/docs/connections/spec/")
        .settings::<Settings>()
        .events::<Hook<Settings>>(&WEBHOOK);

/// A webhook before its settings are known.
static WEBHOOK: Webhook = Webhook {
    surfaces: &[Surface::json(
        "",
        Signature::None { why: "the setting `signature` says how a delivery is proven" },
    )],
    calls: &[CallType::track("", "")
        .when("an item comes: its name is the sender's, in Title Case unless `calls` names it")],
};
