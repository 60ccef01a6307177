//! Every event type of the stream that has a name in the Spec.

use headwater_core::spec::CallType;

/// What every event has; further members of its `body` are `body_…`.
const ALL: &str = "airship_offset, background_push_enabled, body_session_id, body_source, location_permission, push_opt_in, ua_sdk_version";

const fn event(name: &'static str, native: &'static str, when: &'static str) -> CallType {
    CallType::track(name, ALL).native(native).when(when)
}

pub const CALLS: &[CallType] = &[
    event("Attribute Operation", "ATTRIBUTE_OPERATION", "attributes of a device have changed"),
    event("Close", "CLOSE", "the app was closed; often told when it is opened next"),
    event("Control", "CONTROL", "a device was left out of a push, as one of the control group"),
    event("Custom Event", "CUSTOM", "an event of the app's own"),
    event("First Open", "FIRST_OPEN", "the app was opened for the first time"),
    event("First Opt-in", "FIRST_OPT_IN", "an email, SMS or open channel opted in for the first time"),
    event("In-App Message Display", "IN_APP_MESSAGE_DISPLAY", "an in-app message was shown"),
    event("In-App Message Expiration", "IN_APP_MESSAGE_EXPIRATION", "an in-app message expired"),
    event(
        "In-App Message Resolution",
        "IN_APP_MESSAGE_RESOLUTION",
        "an in-app message was answered or dismissed",
    ),
    event("Message Center Delete", "RICH_DELETE", "a message was deleted from the inbox"),
    event("Message Center Delivery", "RICH_DELIVERY", "a message came into the inbox"),
    event("Message Center Read", "RICH_READ", "a message of the inbox was read"),
    event("Open", "OPEN", "the app was opened"),
    event("Screen Viewed", "SCREEN_VIEWED", "somebody has left a screen"),
    event("Send", "SEND", "a push was sent to a device"),
    event("Tag Change", "TAG_CHANGE", "tags were added or removed"),
    event("Uninstall", "UNINSTALL", "a push found that the app is gone"),
];
