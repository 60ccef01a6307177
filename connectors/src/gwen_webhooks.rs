//! GWEN: gamification. It posts Segment Spec calls with a write key. Its webhooks of its own are described behind an app address that is not
//! public: once you have their body, the connector `webhook` takes them, with a mapping to suit.

use headwater_core::prelude::*;

/// The registry's line.
pub const CONNECTOR: Connector = Connector::new(
    "gwen-webhooks",
    "GWEN Webhooks",
    "loyalty",
    "https://www.twilio.com/docs/segment/connections/sources/catalog/cloud-apps/gwen-webhooks",
)
.spec(CALLS);

/// What several of them tell.
const PROPERTIES: &str = "type, userId, timestamp, segmentId, productId, state, updates";

const CALLS: &[CallType] = &[
    CallType::track("Achievement Update", PROPERTIES).when("achievement progress"),
    CallType::track("Progression Update", PROPERTIES).when("progression progress"),
    CallType::track("Mission Update", PROPERTIES).when("mission path progress"),
    CallType::track("Shop Item Update", PROPERTIES).when("shop item change"),
    CallType::track("Wallet Update", PROPERTIES).when("wallet change"),
    CallType::track("Webhook verification", PROPERTIES).when("sent once to check the connection"),
];
