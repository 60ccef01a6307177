//! Outgrow: quizzes and calculators. Each piece of content posts Segment Spec calls with a write key, with the fields that its author maps; nothing
//! public describes the body of a webhook of its own.

use headwater_core::prelude::*;

/// The registry's line.
pub const CONNECTOR: Connector = Connector::new(
    "outgrow",
    "Outgrow",
    "survey",
    "https://www.twilio.com/docs/segment/connections/sources/catalog/cloud-apps/outgrow",
)
.spec(CALLS);

const CALLS: &[CallType] = &[
    CallType::track("LEAD GENERATED", "email, phone, userId, name")
        .when("form or interaction completed in an Outgrow experience"),
    CallType::new(CallKind::Identify, "", "email, phone, name").when("alongside lead capture"),
];
