//! Candu: content inside an app. Its browser library posts Segment Spec calls with a write key; nothing public describes a
//! webhook of its own. `segmentId` is a Candu audience, not a person.

use headwater_core::prelude::*;

/// The registry's line.
pub const CONNECTOR: Connector = Connector::new(
    "candu",
    "Candu",
    "product experience",
    "https://www.twilio.com/docs/segment/connections/sources/catalog/cloud-apps/candu",
)
.spec(CALLS);

const CALLS: &[CallType] = &[
    CallType::new(CallKind::Screen, "tutorial.view", "tutorialId, segmentId, portalId, versionId")
        .when("user sees content"),
    CallType::track("tutorial.interaction", "tutorialId, segmentId, portalId, versionId, eventName")
        .when("user clicks an element; eventName is the interaction kind"),
];
