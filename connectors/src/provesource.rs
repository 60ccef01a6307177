//! ProveSource: social proof on websites. It posts track calls with a write key; nothing public describes an outgoing webhook of its own.

use headwater_core::prelude::*;

/// The registry's line.
pub const CONNECTOR: Connector = Connector::new(
    "provesource",
    "ProveSource",
    "product experience",
    "https://www.twilio.com/docs/segment/connections/sources/catalog/cloud-apps/provesource",
)
.spec(CALLS);

const CALLS: &[CallType] = &[
    CallType::track("Notification Viewed", "notificationId, notificationName").when("notification seen"),
    CallType::track("Notification Hovered", "notificationId, notificationName")
        .when("pointer over notification"),
    CallType::track("Notification Clicked", "notificationId, notificationName").when("notification clicked"),
    CallType::track(
        "Goal Completed",
        "goalId, goalName, events, events.notificationId, events.view, events.hover, events.click",
    )
    .when("goal reached, e.g. sign-up"),
];
