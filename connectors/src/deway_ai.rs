//! Deway AI: listed in Segment's catalog, without a page. Nothing public says which calls it posts, or whether it has a webhook: whatever it posts
//! with a write key is taken as it comes.

use headwater_core::prelude::*;

/// The registry's line.
pub const CONNECTOR: Connector = Connector::new(
    "deway-ai",
    "Deway AI",
    "analytics",
    "https://www.twilio.com/docs/segment/connections/sources/catalog",
)
.spec(CALLS);

const CALLS: &[CallType] =
    &[CallType::track("", "").when("the name is the sender's; nothing public lists them")];
