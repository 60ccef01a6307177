//! Zigpoll: surveys after a purchase. It posts Segment Spec calls with a write key; nothing public describes the body of a webhook of its own.

use headwater_core::prelude::*;

/// The registry's line.
pub const CONNECTOR: Connector = Connector::new(
    "zigpoll",
    "Zigpoll",
    "survey",
    "https://www.twilio.com/docs/segment/connections/sources/catalog/cloud-apps/zigpoll",
)
.spec(CALLS);

const CALLS: &[CallType] = &[
    CallType::track("Survey Completed", "poll_id, participant_id, email, metadata").when("answers submitted"),
    CallType::new(CallKind::Identify, "", "").when("a person is known; which traits there are is not public"),
];
