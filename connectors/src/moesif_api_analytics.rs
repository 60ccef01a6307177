//! Moesif: API analytics. It posts identify calls with a write key. Its own webhooks are alerts about an API, not events of a person.

use headwater_core::prelude::*;

/// The registry's line.
pub const CONNECTOR: Connector = Connector::new(
    "moesif-api-analytics",
    "Moesif API Analytics",
    "analytics",
    "https://www.twilio.com/docs/segment/connections/sources/catalog/cloud-apps/moesif-api-analytics",
)
.spec(CALLS);

const CALLS: &[CallType] = &[CallType::new(
    CallKind::Identify,
    "",
    "id, createdAt, modifiedTime, firstSeenTime, lastSeenTime, name, email, username, company, campaign, \
         clearbit, last24HourAggResults, metadata, userAgent",
)
.when("user seen/updated in Moesif (page gives no finer trigger)")];
