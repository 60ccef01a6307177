//! Synap: exams. Browser and server post Segment Spec calls with a write key; which properties an event has is not public, and large test results may
//! exceed the 32 KB of a call.

use headwater_core::prelude::*;

/// The registry's line.
pub const CONNECTOR: Connector = Connector::new(
    "synap",
    "Synap",
    "education",
    "https://www.twilio.com/docs/segment/connections/sources/catalog/cloud-apps/synap",
)
.spec(CALLS);

const CALLS: &[CallType] = &[
    CallType::track("Began Test", "").when("test begun"),
    CallType::track("Submitted Test", "").when("test handed in (marking may follow)"),
    CallType::track("Completed Test", "").when("test done incl. marking"),
    CallType::track("Collection Item Viewed", "").when("collection item seen"),
    CallType::track("User Registered", "").when("account made"),
    CallType::track("Assignment Started", "").when("assignment begun"),
    CallType::track("Exam User Registered", "").when("enrolled for exam"),
    CallType::track("User Logged In", "").when("explicit log-in"),
    CallType::track("User Session Restored", "").when("return after a pause"),
    CallType::new(
        CallKind::Identify,
        "",
        "createdAt, email, emailVerified, firstName, lastName, marketingEmailsConsent, name, profilePicture",
    )
    .when("user known/changed"),
    CallType::new(CallKind::Page, "page", "name, path, search, title, url").when("page opened in the portal"),
];
