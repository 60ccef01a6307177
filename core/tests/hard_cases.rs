//! The hard cases, written out in the contract: they compile and open, nothing is asked of anybody.
//!
//! Eight vendors that bend the usual shapes: jobs, files in pieces, SOAP, streams, feeds that fill several tables,
//! deletions told elsewhere, webhooks that serve many accounts. What the contract cannot say shows here first.

#[path = "hard_cases/airship.rs"]
mod airship;
#[path = "hard_cases/facebook_lead_ads.rs"]
mod facebook_lead_ads;
#[path = "hard_cases/google_ads.rs"]
mod google_ads;
#[path = "hard_cases/hubspot.rs"]
mod hubspot;
#[path = "hard_cases/marketo.rs"]
mod marketo;
#[path = "hard_cases/salesforce_marketing_cloud.rs"]
mod salesforce_marketing_cloud;
#[path = "hard_cases/shopify_fueled.rs"]
mod shopify_fueled;
#[path = "hard_cases/zendesk.rs"]
mod zendesk;

use headwater_core::{connector::Connector, object::Account};
use serde_json::json;

const ALL: [Connector; 8] = [
    airship::CONNECTOR,
    facebook_lead_ads::CONNECTOR,
    google_ads::CONNECTOR,
    hubspot::CONNECTOR,
    marketo::CONNECTOR,
    salesforce_marketing_cloud::CONNECTOR,
    shopify_fueled::CONNECTOR,
    zendesk::CONNECTOR,
];

#[test]
fn they_open_with_their_settings_and_say_what_is_wrong_with_others() {
    let settings = [
        json!({"app_key": "k", "token": "t"}),
        json!({"app_secret": "s", "verify_token": "v", "page_id": "1", "page_token": "t"}),
        json!({"client_id": "i", "client_secret": "s", "refresh_token": "r", "customer_id": "1"}),
        json!({"token": "t"}),
        json!({"munchkin_id": "m", "client_id": "i", "client_secret": "s"}),
        json!({"subdomain": "m", "client_id": "i", "client_secret": "s"}),
        json!({"secret": "s"}),
        json!({"subdomain": "d", "email": "e", "token": "t"}),
    ];
    for (connector, settings) in ALL.iter().zip(settings) {
        connector.validate(&settings).unwrap_or_else(|error| panic!("{}: {error}", connector.name));
        let error = connector.validate(&json!({"nonsense": 1})).expect_err(connector.name);
        assert!(error.to_string().starts_with("settings: "), "{error}");
        if let Some(objects) = connector.objects {
            let source = (objects.open)(settings).expect(connector.name);
            let api = source.api(&Account::default()).expect(connector.name);
            assert!(api.hosts.iter().all(|host| host.url.starts_with("https://")), "{}", connector.name);
        }
    }
}

#[test]
fn their_fields_can_be_read_and_their_keys_are_among_them() {
    for connector in ALL {
        let Some(objects) = connector.objects else { continue };
        for collection in objects.collections {
            let fields: Vec<_> = collection.fields().collect::<Result<_, _>>().expect(collection.name);
            for key in collection.key {
                assert!(fields.iter().any(|field| field.name == *key), "{}.{key}", collection.name);
            }
        }
        for feed in objects.feeds {
            for table in feed.fills {
                assert!(objects.collections.iter().any(|known| known.name == *table), "{table}");
            }
        }
    }
}
