//! Alloy Flow: workflows of an author's own making, whose Segment step posts track and identify calls with a write key. Names and properties are the
//! author's. A workflow's HTTP step may post anything: the connector `webhook` takes that, with a mapping to suit.

use headwater_core::prelude::*;

/// The registry's line.
pub const CONNECTOR: Connector = Connector::new(
    "alloyflow",
    "Alloy Flow",
    "automation",
    "https://www.twilio.com/docs/segment/connections/sources/catalog/cloud-apps/alloyflow",
)
.spec(CALLS);

const CALLS: &[CallType] = &[
    CallType::track("", "").when("user-built Alloy workflow sends a Track; page fixes no event names"),
    CallType::new(CallKind::Identify, "", "").when("user-built Alloy workflow sends an Identify"),
];
