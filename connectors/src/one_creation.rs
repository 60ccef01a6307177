//! One Creation: what people let a brand know of their preferences, and for how long. It posts Segment Spec calls
//! with a write key; nothing public describes webhooks of its own.

use headwater_core::prelude::*;

/// The registry's line.
pub const CONNECTOR: Connector = Connector::new(
    "one-creation",
    "One Creation",
    "consent",
    "https://docs.one-creation.com/en/latest/segment",
)
.spec(SPEC);

const SPEC: &[CallType] = &[
    CallType::track("Submitted Preferences", "response_at text")
        .when("somebody answers a data request; every answer is a property too"),
    CallType::track("Extended Preferences", "response_at text")
        .when("somebody agrees to a longer use; every answer is a property too"),
    CallType::track("Expired Data", "response_at text")
        .when("the data of a campaign expires; every answer is a property too"),
    CallType::new(CallKind::Identify, "", "email text")
        .when("beside each of these; every answer is a trait, `Expired` once it has expired"),
];
