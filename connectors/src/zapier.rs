//! Zapier: the action Send Event of a Zap posts any of the six calls with a write key. A Zap that posts something else belongs to the connector
//! `webhook`, with a mapping to suit.

use headwater_core::prelude::*;

/// The registry's line.
pub const CONNECTOR: Connector = Connector::new(
    "zapier",
    "Zapier",
    "automation",
    "https://www.twilio.com/docs/segment/connections/sources/catalog/cloud-apps/zapier",
)
.spec(CALLS);

/// What several of them tell.
const PROPERTIES: &str = "userId, anonymousId, event, properties, traits, name, category, groupId, previousId, context, timestamp, \
     messageId";

const CALLS: &[CallType] = &[
    CallType::track("", PROPERTIES).when("action with properties"),
    CallType::new(CallKind::Identify, "", PROPERTIES).when("traits of a known user"),
    CallType::new(CallKind::Page, "", PROPERTIES).when("page view"),
    CallType::new(CallKind::Screen, "", PROPERTIES).when("screen view"),
    CallType::new(CallKind::Group, "", PROPERTIES).when("user to group"),
    CallType::new(CallKind::Alias, "", PROPERTIES).when("links two ids"),
];
