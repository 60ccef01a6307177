//! Segment's tracking API: every Segment library, and every vendor that posts Spec calls with a write key.
//! There is nothing to set up and nothing to map: a source needs its write key only.

use headwater_core::prelude::*;

/// The registry's line.
pub const CONNECTOR: Connector =
    Connector::new("segment", "Segment", "libraries", "https://segment.com/docs/connections/sources/")
        .spec(CALLS);

const CALLS: &[CallType] = &[
    CallType::new(CallKind::Identify, "", "").when("a user is recognised, or what is known of one changes"),
    CallType::new(CallKind::Track, "", "").when("a user does something; the event's name is the sender's"),
    CallType::new(CallKind::Page, "", "").when("a user sees a page of a website"),
    CallType::new(CallKind::Screen, "", "").when("a user sees a screen of an app"),
    CallType::new(CallKind::Group, "", "").when("a user belongs to an account"),
    CallType::new(CallKind::Alias, "", "").when("two ids turn out to be one user"),
];
