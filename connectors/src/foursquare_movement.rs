//! Foursquare Movement (Pilgrim): where an app's users arrive, stay and leave. Server webhooks post one event a delivery
//! as JSON, with the project's secret in a header; those of version 1 (`…/form`) a form with the same JSON in a field.
//!
//! What the JSON of a visit holds is documented for version 1, and mapped for both. What that of a geofence event holds
//! is not public: it is kept as it comes, under the name of its event type.

use headwater_core::prelude::*;

/// The registry's line.
pub const CONNECTOR: Connector = Connector::new(
    "foursquare-movement",
    "Foursquare Movement",
    "location",
    "https://docs.foursquare.com/developer/docs/configure-server-webhooks",
)
.settings::<Foursquare>()
.events::<Foursquare>(&WEBHOOK)
.spec(CALLS);

/// Settings of a Foursquare Movement source.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Foursquare {
    /// The secret of the project's Movement SDK webhook, from the developer console; two while it is being changed, the
    /// newer first.
    #[serde(default)]
    secret: Secrets,
}

static WEBHOOK: Webhook = Webhook {
    surfaces: &[
        Surface::json("", Signature::header(&["pilgrim-secret"])),
        Surface {
            path: "form",
            signature: Signature::Token { at: Place::Form("secret"), prefix: "" },
            items: Items::Form,
        },
    ],
    calls: CALLS,
};

const MAPPING: Mapping = Mapping {
    event: "visitType|geofenceEventType|eventType|event",
    id: &["pilgrimVisitId|visitId|eventId", "visitType|geofenceEventType|eventType"],
    time: "timestamp|departureTime|arrivalTime",
    user: "userId|userInfo.userId",
    anonymous: "adId|installId|pilgrimVisitId|visitId|eventId",
    context: &[("device.advertisingId", "adId"), ("device.id", "installId")],
    names: &[
        ("pilgrimVisitId", "visitId"),
        ("venue.id", "venueId"),
        ("venue.name", "venueName"),
        ("venue.location.address", "address"),
        ("venue.location.crossStreet", "crossStreet"),
        ("venue.location.city", "city"),
        ("venue.location.state", "state"),
        ("venue.location.postalCode", "zipCode"),
        ("venue.location.country", "country"),
    ],
    calls: CALLS,
    ..Mapping::NEW
};

impl EventSource for Foursquare {
    fn secrets(&self, _surface: &Surface) -> Vec<Secret> {
        self.secret.all()
    }

    fn map(&self, item: &Item<'_>) -> Result<Vec<Output>> {
        let mut fields = item.fields()?;
        if item.surface.path == "form" {
            // Around the event stands what the app has set as its user's info.
            fields.take("secret");
            let json =
                fields.take_text("json").ok_or_else(|| Error::unexpected("form field json is missing"))?;
            let mut event = Record::parse(&json.into())?.fields()?;
            event.merge(fields, "user_info_");
            fields = event;
        }
        let mut record = fields.record();
        // A visit is to one place; the list is there for others that might come.
        if let [venue] = &record.parts("venues")?[..]
            && fields.get("venue").is_none()
        {
            fields.take("venues");
            fields.set("venue", venue.fields()?.raw());
            record = fields.record();
        }
        Ok(vec![MAPPING.call(&item.with(&record))?.into()])
    }
}

/// Of a visit.
const VISIT: &str = "address text, city text, confidence text, country text, crossStreet text, lat, lng, \
                     locationType text, primaryCategoryId text, primaryCategoryName text, state text, timestamp time, \
                     venueId text, venueName text, visitType text, zipCode text, probability, visitId text";
/// Of a geofence; `radius` in metres.
const GEOFENCE: &str = "categoryIds text, geofenceEventType text, geofenceId text, geofenceLat, geofenceLng, \
                        geofenceName text, geofenceProperties object, radius, venueChainIds text, venueId text";

const CALLS: &[CallType] = &[
    CallType::track("placeArrival", VISIT).native("arrival").when("a device has arrived, 3 to 7 minutes ago"),
    CallType::track("placeDeparture", VISIT).native("departure").when("a device has left"),
    CallType::track("placeHistorical", VISIT)
        .native("historical")
        .when("a visit of a time without network, told once there is one"),
    CallType::track("geofenceEnter", GEOFENCE)
        .native("geofenceEnter|venueEnter")
        .when("a device has entered a geofence"),
    CallType::track("geofenceDwell", GEOFENCE)
        .native("geofenceDwell|venueDwell")
        .when("a device has stayed in a geofence for the time set"),
    CallType::track("geofenceVenueConfirmed", GEOFENCE)
        .native("geofencePresence|venueConfirmed")
        .when("a device has stayed, and is thought to be at that very venue"),
    CallType::track("geofenceExit", GEOFENCE)
        .native("geofenceExit|venueExit")
        .when("a device has left a geofence"),
];
