//! HEROW: zones, homes and offices that an app's users enter and leave. HEROW posts Segment Spec calls with a write key;
//! nothing public describes webhooks of its own.

use headwater_core::prelude::*;

/// The registry's line.
pub const CONNECTOR: Connector = Connector::new(
    "herow",
    "HEROW",
    "location",
    "https://segment.com/docs/connections/sources/catalog/cloud-apps/herow/",
)
.spec(SPEC);

/// Where the user was; `accuracy` in metres.
const PLACE: &str = "latitude real, longitude real, accuracy real";
const ZONE: &str = "latitude real, longitude real, accuracy real, geofence_id text, geofence_name text, \
                    geofence_categories text, geofence_external_id text";
/// `duration` in minutes.
const ZONE_LEFT: &str = "latitude real, longitude real, accuracy real, geofence_id text, geofence_name text, \
                         geofence_categories text, geofence_external_id text, duration int";

const SPEC: &[CallType] = &[
    CallType::track("Zone Entered", ZONE).when("a user enters a geofence of HEROW's platform"),
    CallType::track("Zone Exited", ZONE_LEFT).when("a user leaves one"),
    CallType::track("Home Entered", PLACE).when("a user comes home, as HEROW has learnt it"),
    CallType::track("Home Exited", PLACE).when("a user leaves home"),
    CallType::track("Office Entered", PLACE).when("a user comes to work, as HEROW has learnt it"),
    CallType::track("Office Exited", PLACE).when("a user leaves work"),
    CallType::track("Commute Started", PLACE).when("a user sets out between home and work (announced)"),
    CallType::track("Commute Stopped", PLACE).when("a user arrives there (announced)"),
    CallType::new(
        CallKind::Identify,
        "",
        "herow_home_postal_code text, herow_home_country text, herow_work_postal_code text, herow_work_country text",
    )
    .when("HEROW has learnt where a user lives and works"),
];
