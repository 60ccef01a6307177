//! Salesforce: every row of the standard objects of Segment's catalog, and of any further object that is asked for,
//! by SOQL. Small reads are pages of the REST API, large ones are jobs of Bulk API 2.0; the columns are what the
//! account itself describes.

mod bulk;
mod collections;
mod describe;
mod fault;
mod query;

use headwater_core::{http::Usage, prelude::*};

/// The registry's line.
pub const CONNECTOR: Connector = Connector::new(
    "salesforce",
    "Salesforce",
    "crm",
    "https://developer.salesforce.com/docs/platform/api-rest/guide/intro-rest.html",
)
.settings::<Salesforce>()
.objects::<Salesforce>(collections::COLLECTIONS, &[]);

/// A path of the API, its version pinned: every other path and the jobs' results must be of the same one.
macro_rules! api {
    ($path:literal) => {
        concat!("/services/data/v68.0", $path)
    };
}
use api;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Settings of a Salesforce source.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Salesforce {
    /// How Headwater signs in. Whichever way, the user behind it needs the permission "API Enabled", and sees only
    /// the objects, fields and rows that its profile lets it see.
    auth: SignIn,
    /// Where it signs in: `https://test.salesforce.com` for a sandbox, or the My Domain address
    /// (`https://acme.my.salesforce.com`), which client credentials need.
    #[serde(default = "login_url")]
    login_url: String,
    /// API names of further objects to read: custom ones (`Invoice__c`), standard ones beyond Segment's catalog
    /// (`Asset`), or `*` for every custom object (`…__c`) that can be queried. Each costs about two API calls a run:
    /// one for its description, one for its rows.
    #[serde(default)]
    custom_objects: Vec<String>,
    /// A read of more rows than this becomes a Bulk API job. The default is 20,000: up to there the ten pages of
    /// the REST API cost no more calls than making, watching and fetching a job, and their rows arrive at once.
    #[serde(default = "bulk_from")]
    bulk_from: u64,
}

/// How Headwater signs in.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
enum SignIn {
    /// As a user who allowed it in the browser: a refresh token (scopes `api` and `refresh_token`).
    Oauth {
        /// The consumer key of the connected app or external client app.
        client_id: String,
        /// Its consumer secret; none if the app does not ask for it with refresh tokens.
        client_secret: Option<Secret>,
        /// The refresh token. Where the app rotates refresh tokens, the newer ones are kept by Headwater.
        refresh_token: Secret,
    },
    /// As a user whom an administrator approved for the app: an assertion signed with the app's certificate.
    Jwt {
        /// The consumer key of the app.
        client_id: String,
        /// The user name to sign in with.
        username: String,
        /// The private key of the app's certificate: RSA, PEM.
        private_key: Secret,
    },
    /// As the run-as user of the app. `login_url` must be the My Domain address.
    ClientCredentials {
        /// The consumer key of the app.
        client_id: String,
        /// Its consumer secret.
        client_secret: Secret,
    },
}

fn login_url() -> String {
    "https://login.salesforce.com".to_owned()
}

fn bulk_from() -> u64 {
    20_000
}

#[async_trait]
impl ObjectSource for Salesforce {
    fn api(&self, account: &Account) -> Result<Api> {
        let instance = account.extra.get("instance_url").and_then(Value::as_str);
        let url = instance.unwrap_or(&self.login_url).trim_end_matches('/');
        let jobs = Limit { name: "jobs", of: Of::Jobs, amount: 10_000, per: Per::Rolling(DAY) };
        // Salesforce allows 25 calls at once that take longer than 20 seconds.
        let api = Api::new(url, Auth::OAuth(self.oauth())).limit(Limit::concurrent(25)).limit(jobs);
        // The calls of any 24 hours, those of all other programs included: what the reserve leaves is theirs.
        Ok(api.limit(Limit::told()).usage(usage).judge(fault::judge))
    }

    /// The token tells the organisation and where its API is; asking who it belongs to proves that it is good.
    async fn check(&self, client: &Client) -> Result<Account> {
        let user = match client.send(Request::get("/services/oauth2/userinfo")).await {
            Ok(answer) => Some(Record::parse(&answer.body)?),
            // A token of the scope `api` alone is good (it is a new one, if need be), but may not ask this.
            Err(error) if error.status() == Some(403) && !error.kind().is_temporary() => None,
            Err(error) => return Err(error),
        };
        let token = client.token().await?;
        let told = |name: &str| token.extra.get(name).and_then(Value::as_str);
        let instance_url = told("instance_url")
            .ok_or_else(|| Error::unexpected("the token's answer has no instance_url"))?
            .trim_end_matches('/')
            .to_owned();
        let organisation = match user {
            Some(user) => user.text("organization_id")?,
            None => None,
        };
        // …/id/<organisation>/<user>
        let id = organisation
            .or_else(|| told("id")?.rsplit('/').nth(1).map(str::to_owned))
            .ok_or_else(|| Error::unexpected("neither the token nor its user tells the organisation's id"))?;
        let title = instance_url.trim_start_matches("https://").to_owned();
        Ok(Account { id, title, extra: json!({ "instance_url": instance_url }) })
    }

    async fn catalog(&self, client: &Client, declared: &[Collection]) -> Result<Vec<Collection>> {
        self.describe(client, declared).await
    }

    async fn page(&self, pull: Pull<'_>) -> Result<Page> {
        self.query(pull).await
    }
}

impl Salesforce {
    fn oauth(&self) -> OAuth {
        let login = self.login_url.trim_end_matches('/');
        let (client_id, client_secret, grant) = match &self.auth {
            SignIn::Oauth { client_id, client_secret, refresh_token } => {
                (client_id, client_secret.clone(), Grant::RefreshToken(refresh_token.clone()))
            }
            SignIn::Jwt { client_id, username, private_key } => {
                let grant = Grant::JwtBearer {
                    issuer: client_id.clone(),
                    subject: username.clone(),
                    audience: login.to_owned(),
                    key: private_key.clone(),
                    lifetime: 180,
                };
                (client_id, None, grant)
            }
            SignIn::ClientCredentials { client_id, client_secret } => {
                (client_id, Some(client_secret.clone()), Grant::ClientCredentials)
            }
        };
        OAuth {
            token_url: format!("{login}/services/oauth2/token"),
            client_id: client_id.clone(),
            client_secret,
            client_auth: ClientAuth::Body,
            grant,
            scopes: Vec::new(),
            extra: Vec::new(),
            carry: Carry::Bearer,
        }
    }
}

/// The calls that are spent, and how many there are: `api-usage=18/5000; per-app-api-usage=17/250(appName=x)`.
fn usage(answer: &Answer) -> Option<Usage> {
    let mut parts = answer.header("sforce-limit-info")?.split([';', ',']);
    let (spent, amount) = parts.find_map(|part| part.trim().strip_prefix("api-usage="))?.split_once('/')?;
    Some(Usage { limit: "", spent: spent.trim().parse().ok()?, amount: amount.trim().parse().ok()? })
}

#[cfg(test)]
mod tests;
