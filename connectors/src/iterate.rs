//! Iterate: surveys. Nothing public says which calls it posts to Segment, and its answers are polled rather than posted: whatever it posts with a
//! write key is taken as it comes.

use headwater_core::prelude::*;

/// The registry's line.
pub const CONNECTOR: Connector = Connector::new(
    "iterate",
    "Iterate",
    "survey",
    "https://www.twilio.com/docs/segment/connections/sources/catalog",
)
.spec(CALLS);

const CALLS: &[CallType] =
    &[CallType::track("", "").when("the name is the sender's; nothing public lists them")];
