//! Google Ads' ads: customers under a login customer, a query in a POST, an answer that is one long JSON array.

use headwater_core::{auth::OAuth, prelude::*};

pub const CONNECTOR: Connector = Connector::new(
    "google-ads",
    "Google Ads",
    "advertising",
    "https://developers.google.com/google-ads/api/rest/overview",
)
.settings::<GoogleAds>()
.objects::<GoogleAds>(COLLECTIONS, &[]);

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct GoogleAds {
    client_id: String,
    client_secret: Secret,
    refresh_token: Secret,
    /// The account that you sign in to: a single customer, or a manager of several.
    customer_id: String,
}

/// Every collection is a query; only its text differs.
const QUERY: Collection = Collection {
    endpoint: Endpoint::post("/v26/customers/{partition}/googleAds:searchStream", "")
        .headers(&[("login-customer-id", "{partition.login_customer_id}")]),
    records: "*.results",
    deletes: Deletes::Flag("adGroupAd.status", "REMOVED"),
    ..Collection::DEFAULT
};

const ADS: &str = r#"{"query":"SELECT customer.id, ad_group.id, ad_group_ad.ad.id, ad_group_ad.ad.type, ad_group_ad.ad.final_urls, ad_group_ad.ad.final_mobile_urls, ad_group_ad.status FROM ad_group_ad"}"#;

const COLLECTIONS: &[Collection] = &[
    Collection {
        name: "ads",
        key: &["adwords_customer_id", "ad_group_id", "id"],
        fields: "adwords_customer_id int = customer.id, ad_group_id int = adGroup.id, id int = adGroupAd.ad.id, \
                 type text = adGroupAd.ad.type, status text = adGroupAd.status, \
                 final_urls json = adGroupAd.ad.finalUrls, final_mobile_urls json = adGroupAd.ad.finalMobileUrls",
        endpoint: Endpoint { body: ADS, ..QUERY.endpoint },
        retired: &[("url", "ads have had final_urls in its place since 2015")],
        ..QUERY
    },
    // The same a page of 10,000 rows at a time, for customers whose one answer would be too long: an operation each.
    Collection {
        name: "ads_by_page",
        key: &["adwords_customer_id", "ad_group_id", "id"],
        fields: "adwords_customer_id int = customer.id, ad_group_id int = adGroup.id, id int = adGroupAd.ad.id",
        endpoint: Endpoint {
            path: "/v26/customers/{partition}/googleAds:search",
            body: ADS,
            ..QUERY.endpoint
        },
        records: "results",
        pages: Pages::Token {
            at: At::Body("nextPageToken"),
            into: Put::Body("pageToken"),
            more: More::Given,
        },
        ..QUERY
    },
];

#[async_trait]
impl ObjectSource for GoogleAds {
    fn api(&self, _account: &Account) -> Result<Api> {
        let oauth = OAuth {
            token_url: "https://oauth2.googleapis.com/token".into(),
            client_id: self.client_id.clone(),
            client_secret: Some(self.client_secret.clone()),
            client_auth: ClientAuth::Body,
            grant: Grant::RefreshToken(self.refresh_token.clone()),
            scopes: vec!["https://www.googleapis.com/auth/adwords".into()],
            extra: Vec::new(),
            carry: Carry::Bearer,
        };
        let day = Per::Rolling(Duration::from_secs(86_400));
        Ok(Api::new("https://googleads.googleapis.com", Auth::OAuth(oauth)).limit(Limit {
            name: "",
            of: Of::Requests,
            amount: 15_000,
            per: day,
        }))
    }

    async fn check(&self, client: &Client) -> Result<Account> {
        let customers = self.customers(client).await?;
        let title = customers
            .first()
            .and_then(|c| c.text("customerClient.descriptiveName").ok()?)
            .unwrap_or_default();
        Ok(Account { id: self.customer_id.clone(), title, extra: Value::Null })
    }

    /// Managers have no ads and no metrics: only the leaves are read, each through the login customer.
    async fn partitions(&self, client: &Client, _: &Collection) -> Result<Vec<Option<Partition>>> {
        let mut partitions = Vec::new();
        for customer in self.customers(client).await? {
            if customer.find("customerClient.manager")? != Some(true) {
                let extra = json!({"login_customer_id": self.customer_id, "zone": customer.text("customerClient.timeZone")?});
                partitions.push(Some(Partition { id: customer.get("customerClient.id")?, extra }));
            }
        }
        Ok(partitions)
    }
}

impl GoogleAds {
    async fn customers(&self, client: &Client) -> Result<Vec<Record>> {
        let query = r#"{"query":"SELECT customer_client.id, customer_client.manager, customer_client.time_zone, customer_client.descriptive_name FROM customer_client WHERE customer_client.status = 'ENABLED'"}"#;
        let request = Request::post(format!("/v26/customers/{}/googleAds:search", self.customer_id), query)
            .header("login-customer-id", &self.customer_id);
        Record::split(&client.send(request).await?.body, "results")
    }
}
