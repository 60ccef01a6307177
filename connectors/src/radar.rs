//! Radar: geofences, places, regions, beacons and trips that an app's users enter and leave. Each event is a track call,
//! and each delivery an identify call for what Radar knows of the user now.
//!
//! Radar signs only a nonce, never the body: keep the address of the webhook as secret as its token.

mod calls;

use headwater_core::prelude::*;

/// The registry's line.
pub const CONNECTOR: Connector =
    Connector::new("radar", "Radar", "location", "https://docs.radar.com/integrations/webhooks")
        .settings::<Radar>()
        .events::<Radar>(&WEBHOOK)
        .spec(calls::SPEC);

/// Settings of a Radar source.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Radar {
    /// The webhook's random security token, from Radar's Integrations page; two while it is being changed, the newer
    /// first. The webhooks of the Test and Live environments have one each.
    #[serde(default)]
    token: Secrets,
}

static WEBHOOK: Webhook = Webhook {
    surfaces: &[Surface {
        path: "",
        signature: Signature::Hmac(Hmac {
            hash: Hash::Sha1,
            over: &[Part::Nonce("x-radar-signing-id")],
            ..Hmac::body(Place::Header(&["x-radar-signature"]))
        }),
        // Single or multiple events a request, as the webhook is set.
        items: Items::Json("events|event"),
    }],
    calls: calls::CALLS,
};

const MAPPING: Mapping = Mapping {
    event: "type",
    id: &["_id"],
    time: "createdAt",
    user: "user.metadata.segmentUserId|user.userId|envelope:user.metadata.segmentUserId|envelope:user.userId",
    anonymous: "user.metadata.segmentAnonymousId|user.deviceId|envelope:user.metadata.segmentAnonymousId|\
                envelope:user.deviceId|envelope:user._id|user._id",
    context: &[
        ("ip", "envelope:user.ip"),
        ("device.id", "user.deviceId|envelope:user.deviceId"),
        ("device.type", "envelope:user.deviceType"),
    ],
    names: &[
        ("geofence._id", "geofence_id"),
        ("geofence.description", "geofence_description"),
        ("geofence.tag", "geofence_tag"),
        ("geofence.externalId", "geofence_external_id"),
        ("geofence.metadata", "geofence_metadata"),
        ("place._id", "place_id"),
        ("place.name", "place_name"),
        ("place.chain.slug", "place_chain_id"),
        ("place.chain.name", "place_chain_name"),
        ("place.chain.metadata", "place_chain_metadata"),
        ("place.categories", "place_categories"),
        ("region.code", "region_code"),
        ("region.name", "region_name"),
        ("trip.externalId", "trip_external_id"),
        ("trip.metadata", "trip_metadata"),
        ("trip.destinationGeofenceTag", "trip_destination_geofence_tag"),
        ("trip.destinationGeofenceExternalId", "trip_destination_geofence_external_id"),
        ("beacon._id", "beacon_id"),
        ("beacon.description", "beacon_description"),
        ("beacon.tag", "beacon_tag"),
        ("beacon.externalId", "beacon_external_id"),
        ("beacon.metadata", "beacon_metadata"),
    ],
    around: "radar",
    calls: calls::CALLS,
    ..Mapping::NEW
};

/// Traits, and where the user's state has them. A list's trait is the list of that member.
const TRAITS: &[(&str, &str)] = &[
    ("radar_id", "_id"),
    ("radar_location_latitude", "location.coordinates.1"),
    ("radar_location_longitude", "location.coordinates.0"),
    ("radar_location_authorization", "locationAuthorization"),
    ("radar_location_accuracy_authorization", "locationAccuracyAuthorization"),
    ("radar_updated_at", "updatedAt"),
    ("radar_segment_external_ids", "segments.*.externalId"),
    ("radar_top_chain_slugs", "topChains.*.slug"),
    ("radar_top_chain_external_ids", "topChains.*.externalId"),
    ("radar_geofence_ids", "geofences.*._id"),
    ("radar_geofence_descriptions", "geofences.*.description"),
    ("radar_geofence_tags", "geofences.*.tag"),
    ("radar_geofence_external_ids", "geofences.*.externalId"),
    ("radar_place_id", "place._id"),
    ("radar_place_name", "place.name"),
    ("radar_place_categories", "place.categories"),
    ("radar_place_chain_slug", "place.chain.slug"),
    ("radar_place_chain_name", "place.chain.name"),
    ("radar_region_country_code", "country.code"),
    ("radar_region_country_name", "country.name"),
    ("radar_region_state_code", "state.code"),
    ("radar_region_state_name", "state.name"),
    ("radar_region_dma_code", "dma.code"),
    ("radar_region_dma_name", "dma.name"),
    ("radar_region_postal_code", "postalCode.code"),
    ("radar_trip_external_id", "trip.externalId"),
    ("radar_trip_destination_geofence_tag", "trip.destinationGeofenceTag"),
    ("radar_trip_destination_geofence_external_id", "trip.destinationGeofenceExternalId"),
    ("radar_beacon_ids", "beacons.*._id"),
    ("radar_beacon_descriptions", "beacons.*.description"),
    ("radar_beacon_tags", "beacons.*.tag"),
    ("radar_beacon_external_ids", "beacons.*.externalId"),
];

impl EventSource for Radar {
    fn secrets(&self, _surface: &Surface) -> Vec<Secret> {
        self.token.all()
    }

    fn map(&self, item: &Item<'_>) -> Result<Vec<Output>> {
        let event = MAPPING.call(item)?;
        // The events of a delivery share the user.
        let user = if item.index == 0 { item.envelope.part("user")? } else { None };
        let known = match user {
            Some(user) => Some(Call {
                kind: CallKind::Identify,
                name: None,
                properties: traits(&user)?,
                ..event.clone()
            }),
            None => None,
        };
        Ok([Some(event), known].into_iter().flatten().map(Output::Call).collect())
    }
}

fn traits(user: &Record) -> Result<Fields> {
    let user = user.fields()?;
    let mut traits = Fields::default();
    for (name, path) in TRAITS {
        let (member, inside) = path.split_once('.').unwrap_or((path, ""));
        let Some(value) = user.get(member) else { continue };
        let value = match inside.strip_prefix("*.") {
            Some(of_each) => {
                let items = value.each("")?;
                let found: Vec<String> = items
                    .iter()
                    .filter_map(|item| item.find(of_each).transpose())
                    .map(|found| Ok(found?.text()))
                    .filter_map(Result::transpose)
                    .collect::<Result<_>>()?;
                (!found.is_empty()).then(|| Raw::new(&found)).transpose()?
            }
            None if inside.is_empty() => Some(value.clone()),
            None => value.find(inside)?,
        };
        if let Some(value) = value.filter(|value| !value.is_null()) {
            traits.set(*name, value);
        }
    }
    Ok(traits)
}
