//! Acme: its people, and what they do as its webhook tells it.

use headwater_core::prelude::*;

/// Acme.
pub const CONNECTOR: Connector = Connector::new("acme", "Acme", "other", "https://api.example.com/docs")
    .settings::<Acme>()
    .objects::<Acme>(COLLECTIONS, &[])
    .events::<Acme>(&WEBHOOK);

/// An account of Acme.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Acme {
    /// The key of the API, from the account's settings.
    api_key: Secret,
    /// The secret that the vendor signs webhooks with; several while one is being rotated.
    #[serde(default)]
    webhook_secret: Secrets,
}

static COLLECTIONS: &[Collection] = &[Collection {
    name: "people",
    endpoint: Endpoint::get("/v1/people").query(&[("limit", "2")]),
    records: "data",
    pages: Pages::Token { at: At::Body("next"), into: Put::Query("cursor"), more: More::Given },
    fields: "id text, email text, name text, created_at time",
    ..Collection::DEFAULT
}];

#[async_trait]
impl ObjectSource for Acme {
    fn api(&self, _: &Account) -> Result<Api> {
        Ok(Api::new("https://api.example.com", Auth::Bearer(self.api_key.clone()))
            .limit(Limit::requests(10, Duration::from_secs(1))))
    }

    async fn check(&self, client: &Client) -> Result<Account> {
        let me = Record::parse(&client.send(Request::get("/v1/me")).await?.body)?;
        Ok(Account { id: me.get("id")?, title: me.get("name")?, extra: Value::Null })
    }
}

static WEBHOOK: Webhook = Webhook {
    surfaces: &[Surface::json("events", Signature::Hmac(Hmac::body(Place::Header(&["x-signature"]))))],
    calls: CALLS,
};

const CALLS: &[CallType] =
    &[CallType::track("Person Joined", "plan text").native("person.joined").when("somebody has signed up")];

const MAPPING: Mapping = Mapping {
    // Where an event says what a call wants to know; what is not named goes into the call's properties.
    calls: CALLS,
    event: "type",
    id: &["id"],
    time: "at",
    user: "user_id",
    ..Mapping::NEW
};

impl EventSource for Acme {
    fn secrets(&self, _: &Surface) -> Vec<Secret> {
        self.webhook_secret.all()
    }

    fn mapping(&self) -> Mapping<'_> {
        MAPPING
    }
}
