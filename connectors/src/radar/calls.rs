//! Radar's events, under the names that its Segment integration gives them.

use headwater_core::spec::{CallKind, CallType};

/// The properties of a kind of event, what every one has, and more.
macro_rules! about {
    (geofence $(, $more:literal)?) => {
        concat!(
            "geofence_id text, geofence_description text, geofence_tag text, geofence_external_id text, \
             geofence_metadata object, confidence, foreground bool" $(, $more)?
        )
    };
    (place $(, $more:literal)?) => {
        concat!(
            "place_id text, place_name text, place_chain_id text, place_chain_name text, place_chain_metadata object, \
             place_categories json, confidence, foreground bool" $(, $more)?
        )
    };
    (region) => {
        "region_code text, region_name text, confidence, foreground bool"
    };
    (trip) => {
        "trip_external_id text, trip_metadata object, trip_destination_geofence_tag text, \
         trip_destination_geofence_external_id text, foreground bool"
    };
    (beacon $(, $more:literal)?) => {
        concat!(
            "beacon_id text, beacon_description text, beacon_tag text, beacon_external_id text, \
             beacon_metadata object, confidence, foreground bool" $(, $more)?
        )
    };
}

/// What is known of the user.
const USER: CallType = CallType::new(
    CallKind::Identify,
    "",
    "radar_id text, radar_location_latitude real, radar_location_longitude real, radar_location_authorization text, \
     radar_location_accuracy_authorization text, radar_updated_at time, radar_segment_external_ids json, \
     radar_top_chain_slugs json, radar_top_chain_external_ids json, radar_geofence_ids json, \
     radar_geofence_descriptions json, radar_geofence_tags json, radar_geofence_external_ids json, radar_place_id text, \
     radar_place_name text, radar_place_categories json, radar_place_chain_slug text, radar_place_chain_name text, \
     radar_region_country_code text, radar_region_country_name text, radar_region_state_code text, \
     radar_region_state_name text, radar_region_dma_code text, radar_region_dma_name text, \
     radar_region_postal_code text, radar_trip_external_id text, radar_trip_destination_geofence_tag text, \
     radar_trip_destination_geofence_external_id text, radar_beacon_ids json, radar_beacon_descriptions json, \
     radar_beacon_tags json, radar_beacon_external_ids json",
)
.when("with every delivery");

/// What the webhooks bring.
#[rustfmt::skip]
pub const CALLS: &[CallType] = &[
    CallType::track("Geofence Entered", about!(geofence)).native("user.entered_geofence").when("a user entered a geofence"),
    CallType::track("Geofence Exited", about!(geofence, ", duration real")).native("user.exited_geofence")
        .when("a user left a geofence; duration in minutes"),
    CallType::track("Dwelled in Geofence", about!(geofence, ", duration real")).native("user.dwelled_in_geofence")
        .when("a user has stayed in a geofence; duration in minutes"),
    CallType::track("Place Entered", about!(place)).native("user.entered_place").when("a user entered a place"),
    CallType::track("Place Exited", about!(place, ", duration real")).native("user.exited_place")
        .when("a user left a place; duration in minutes"),
    CallType::track("Country Entered", about!(region)).native("user.entered_region_country").when("a user entered a country"),
    CallType::track("Country Exited", about!(region)).native("user.exited_region_country").when("a user left a country"),
    CallType::track("State Entered", about!(region)).native("user.entered_region_state").when("a user entered a state"),
    CallType::track("State Exited", about!(region)).native("user.exited_region_state").when("a user left a state"),
    CallType::track("DMA Entered", about!(region)).native("user.entered_region_dma").when("a user entered a media market"),
    CallType::track("DMA Exited", about!(region)).native("user.exited_region_dma").when("a user left a media market"),
    CallType::track("Trip Started", about!(trip)).native("user.started_trip").when("a trip began"),
    CallType::track("Trip Updated", about!(trip)).native("user.updated_trip").when("a trip changed"),
    CallType::track("Trip Approaching Destination", about!(trip)).native("user.approaching_trip_destination")
        .when("a trip nears its destination"),
    CallType::track("Trip Arrived Destination", about!(trip)).native("user.arrived_at_trip_destination")
        .when("a trip has arrived"),
    CallType::track("Trip Stopped", about!(trip)).native("user.stopped_trip").when("a trip ended"),
    CallType::track("Beacon Entered", about!(beacon)).native("user.entered_beacon").when("a user came near a beacon"),
    CallType::track("Beacon Exited", about!(beacon, ", duration real")).native("user.exited_beacon")
        .when("a user left a beacon; duration in minutes"),
    USER,
];

/// What Radar's Segment integration posts, under names that its webhooks have no longer.
pub const SPEC: &[CallType] = &[
    CallType::track("Region Entered", about!(region)).when("a user entered a country, state or media market"),
    CallType::track("Region Exited", about!(region)).when("a user left one"),
    CallType::new(
        CallKind::Identify,
        "",
        "radar_geofence_description text, radar_place_facebook_id text, radar_insights_state_home bool, \
         radar_insights_state_office bool, radar_insights_state_traveling bool",
    )
    .when("with every event"),
];
