//! White Label Loyalty: it posts every event type of its console as a track call with a write key, under the console's own name.

use headwater_core::prelude::*;

/// The registry's line.
pub const CONNECTOR: Connector = Connector::new(
    "white-label-loyalty",
    "White Label Loyalty",
    "loyalty",
    "https://www.twilio.com/docs/segment/connections/sources/catalog/cloud-apps/white-label-loyalty",
)
.spec(CALLS);

const CALLS: &[CallType] = &[
    CallType::track("", "").when("event reported against a user"),
    CallType::new(CallKind::Identify, "", "").when("a person is known; which traits there are is not public"),
];
