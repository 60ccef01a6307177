//! Factual Engine: a location library for mobile apps, closed since Factual joined Foursquare. The app's own code sent the calls, under names of
//! its own choosing; whatever still comes with a write key is taken as it comes.

use headwater_core::prelude::*;

/// The registry's line.
pub const CONNECTOR: Connector = Connector::new(
    "factual-engine",
    "Factual Engine",
    "location",
    "https://www.twilio.com/docs/segment/connections/sources/catalog/cloud-apps/factual-engine",
)
.spec(CALLS);

const CALLS: &[CallType] =
    &[CallType::track("", "").when("the name is the sender's; nothing public lists them")];
