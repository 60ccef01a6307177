//! ConfigCat: which flags were changed and by whom; one signed delivery for each time changes are published. Who saw
//! which value, your own app tells through a Segment library.
//!
//! The body is written by you: paste this one into the webhook, with the method POST and the header
//! `Content-Type: application/json`.
//!
//! ```json
//! {
//!   "event": "changed",
//!   "config_id": "##ConfigId##",
//!   "config_name": "##ConfigName##",
//!   "environment_id": "##EnvironmentId##",
//!   "environment_name": "##EnvironmentName##",
//!   "url": "##URL##",
//!   "change_notes": "##ChangeNotes##",
//!   "changed_by": "##ChangedBy##",
//!   "details": ##ChangeDetails##
//! }
//! ```

use headwater_core::prelude::*;

/// The registry's line.
pub const CONNECTOR: Connector = Connector::new(
    "configcat",
    "ConfigCat",
    "feature flags",
    "https://configcat.com/docs/advanced/notifications-webhooks/",
)
.settings::<ConfigCat>()
.events::<ConfigCat>(&WEBHOOK)
.spec(SPEC);

/// Settings of a ConfigCat source.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfigCat {
    /// The signing key on the webhook's page (`configcat_whsk_…`); both while there is a secondary one.
    #[serde(default)]
    signing_key: Secrets,
}

static WEBHOOK: Webhook = Webhook {
    surfaces: &[Surface::json(
        "",
        Signature::Hmac(Hmac {
            grammar: Grammar::List(',', ""),
            encoding: Encoding::Base64,
            over: &[Part::Header("x-configcat-webhook-id"), Part::Stamp, Part::Body],
            stamp: Some(Stamp::header(&["x-configcat-webhook-timestamp"], StampFormat::UnixSeconds)),
            ..Hmac::body(Place::Header(&["x-configcat-webhook-signature-v1"]))
        }),
    )],
    calls: CALLS,
};

const CALLS: &[CallType] = &[CallType::track(
    "Feature Flag Changed",
    "details json, config_id text, config_name text, environment_id text, environment_name text, url text, \
         change_notes text, changed_by text",
)
.native("changed")
.when("changes of settings are published")];

const MAPPING: Mapping = Mapping {
    event: "event|'changed'",
    id: &["header:x-configcat-webhook-id"],
    time: "header:x-configcat-webhook-timestamp",
    anonymous: "changed_by|environment_id|config_id|'configcat'",
    calls: CALLS,
    ..Mapping::NEW
};

impl EventSource for ConfigCat {
    fn secrets(&self, _surface: &Surface) -> Vec<Secret> {
        self.signing_key.all()
    }

    fn map(&self, item: &Item<'_>) -> Result<Vec<Output>> {
        let mut call = MAPPING.call(item)?;
        // ConfigCat writes a name and an address into one text.
        let changed_by = item.record.text("changed_by")?.unwrap_or_default();
        let words = || changed_by.split(|c: char| c.is_whitespace() || "<>()[],;".contains(c));
        if let Some(email) = words().find(|word| word.contains('@')) {
            call.anonymous_id = Some(email.to_owned());
            call = call.context("traits.email", Some(email));
        }
        Ok(vec![call.into()])
    }
}

const SPEC: &[CallType] = &[
    CallType::track("Feature Flag Evaluated", "feature_flag_key text, value, variation_id text, user json")
        .when("your app evaluates a flag, and hands the SDK's flagEvaluated hook to a Segment library"),
    CallType::track(
        "Feature Flag Changed",
        "details text, user_email text, user_full_name text, product_id text, product_name text, config_id text, \
         config_name text, environment_id text, environment_name text, url text, user json",
    )
    .when("changes of settings are published"),
];

#[cfg(test)]
mod tests {
    use headwater_core::signature::TOLERANCE;

    use super::*;

    #[test]
    fn the_published_vector_verifies() {
        let sent = Timestamp::from_second(1669629035).unwrap();
        let mut delivery = Delivery::fetched(sent, "examplebody".into());
        for (name, value) in [
            ("x-configcat-webhook-id", "b616ca659d154a5fb907dd8475792eeb"),
            ("x-configcat-webhook-timestamp", "1669629035"),
            ("x-configcat-webhook-signature-v1", "AAAA,Ks3cYsu9Lslfo+hVxNC3oQWnsF9e5d73TI5t94D9DRA="),
        ] {
            delivery.headers.insert(name, value.parse().unwrap());
        }
        let key = [Secret::new("configcat_whsk_VN3juirnVh5pNvCKd81RYRYchxUX4j3NykbZG2fAy88=")];
        let verify = |now| WEBHOOK.surfaces[0].signature.verify(&delivery, &key, now);
        assert!(verify(sent).is_ok());
        assert!(verify(sent + TOLERANCE * 2).is_err());
    }
}
