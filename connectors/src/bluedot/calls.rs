//! Bluedot's events, under the names that its Segment integration gives them.

use headwater_core::spec::CallType;

/// What every event of a geofence has.
macro_rules! geofence {
    ($($more:literal)?) => {
        concat!(
            "accountId text, appBuildVersion text, customEventMetaData object, customerApplicationId text, \
             sdkVersion text, altitude real, altitudeAccuracy real, bearing real, horizontalAccuracy real, \
             latitude real, longitude real, verticalAccuracy real, time time, submissionTime time, receivedAt time, \
             triggerChainId text, eventTime time, eventType text, fenceId text, fenceName text, id text, projectId text, \
             speed real, triggerId text, zoneId text, zoneName text, deviceType text, os text, osVersion text, \
             installRef text, notificationType text, batteryLevel real, lastRuleUpdate time, locationPermission text, \
             viewState text, destinationId text, triggerEngine text, ulid text, zoneInfo object, name text, \
             distance real, distanceRequired real, dwellTime int" $(, $more)?
        )
    };
}

/// What every estimate has; `eta` in seconds.
const TEMPO: &str = "accountId text, appBuildVersion text, customEventMetaData object, customerApplicationId text, \
                     sdkVersion text, deviceType text, os text, osVersion text, eta int, etaDirection text, \
                     latitude real, longitude real, stopReason text, destination object, destinationId text, \
                     eventTime time, eventType text, installRef text, notificationType text, projectId text, \
                     triggerChainId text, zoneId text, zoneName text";

/// The same, as the Segment integration nests it.
const TEMPO_POSTED: &str = "accountId text, appInfo.appBuildVersion text, appInfo.customEventMetaData object, \
    appInfo.customerApplicationId text, appInfo.sdkVersion text, deviceInfo.deviceType text, deviceInfo.os text, \
    deviceInfo.osVersion text, eta int, etaDirection text, installRef text, notificationType text, projectId text, \
    receivedAt time, submissionTime time, triggerChainId text, triggerEvents.applicationState.batteryLevel real, \
    triggerEvents.applicationState.lastRuleUpdate time, triggerEvents.applicationState.locationPermission text, \
    triggerEvents.applicationState.viewState text, triggerEvents.destinationId text, triggerEvents.eventTime time, \
    triggerEvents.eventType text, locations.altitude real, locations.bearing real, locations.horizontalAccuracy real, \
    locations.latitude real, locations.longitude real, locations.speed real, locations.time time, \
    locations.verticalAccuracy real, triggerEvents.triggerEngine text, ulid text, zoneId text, zoneName text";

/// What every event of a web order has.
const WAVE: &str = "event text, accountId text, customEventMetaData object, eventType text, os text, installRef text, \
                    notificationId text, notificationType text, projectId text, receivedAt time, destinationId text, \
                    eventTime time, destination object, location object, zones json";

/// What the webhooks bring: the kind of notification, or the type that tells its events apart; `checkIn` and `checkOut`
/// are of version 1.
#[rustfmt::skip]
pub const CALLS: &[CallType] = &[
    CallType::track("Entry Geofence", geofence!()).native("entry|checkIn").when("a device has entered a geofence"),
    CallType::track("Exit Geofence", geofence!()).native("exit|checkOut").when("a device has left a geofence"),
    CallType::track("Dwell Geofence",
        geofence!(", dwellThreshold int, calculatedDwellTime int, crossedFences json, triggerEvents json"))
        .native("dwell").when("a device has stayed in a geofence; times in seconds"),
    CallType::track("Tempo ETA Update", TEMPO).native("tempoUpdate").when("an arrival is expected at another time"),
    CallType::track("Tempo Stop", TEMPO).native("tempoStop").when("arrivals are estimated no more"),
    CallType::track("Order Registered", WAVE).native("wave").when("a wave without an event type: an order is there"),
    CallType::track("Customer On The Way (Web)", WAVE).native("onTheWay").when("a wave: the customer is on the way"),
    CallType::track("Customer Arrived (Web)", WAVE).native("arrival").when("a wave: the customer has arrived"),
    CallType::track("", WAVE).when("a wave of any other event type: Custom Web Event: and the type"),
    CallType::track("",
        "notificationId text, notificationType text, installRef text, destinationId text, destinationCustomData object, \
         customerName text, orderId text, etaDirection text, eta int, status text, stateDisplayName text, \
         projectId text, accountId text, isAcknowledged bool, hsFields object, eventTrigger object")
        .native("helloOrder").when("an order has another status: Hello Order and the status"),
];

/// What Bluedot's Segment integration posts.
#[rustfmt::skip]
pub const SPEC: &[CallType] = &[
    CallType::track("Entry Geofence", geofence!()).when("a device has entered a geofence"),
    CallType::track("Exit Geofence", geofence!()).when("a device has left a geofence"),
    CallType::track("Tempo ETA Update", TEMPO_POSTED).when("an arrival is expected at another time"),
    CallType::track("Tempo Stop", TEMPO_POSTED).when("arrivals are estimated no more"),
    CallType::track("Order Registered", WAVE).when("a wave registers an order"),
    CallType::track("Customer On The Way (Web)", WAVE).when("the customer is on the way"),
    CallType::track("Customer Arrived (Web)", WAVE).when("the customer has arrived"),
    CallType::track("Custom Web Event: {event type}", WAVE).when("any other event type of a wave"),
];
