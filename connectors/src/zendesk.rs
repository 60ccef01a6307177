//! Zendesk Support: what its API lists and exports, and what its event webhooks tell.

use std::num::NonZeroU32;

use headwater_core::prelude::*;

mod collections;
mod events;
mod export;

use collections::{COLLECTIONS, FEEDS, TICKET_EVENTS};

/// The registry's line.
pub const CONNECTOR: Connector =
    Connector::new("zendesk", "Zendesk", "support", "https://developer.zendesk.com/api-reference/")
        .settings::<Zendesk>()
        .objects::<Zendesk>(COLLECTIONS, FEEDS)
        .events::<Zendesk>(&events::WEBHOOK);

/// A Zendesk Support account.
///
/// Reading objects needs one of three logins, of an admin (the incremental exports are closed to others): an OAuth app
/// with a refresh token (`client_id`, `client_secret`, `refresh_token`), an OAuth app that acts for itself (`client_id`,
/// `client_secret`), or an API token (`email`, `api_token`). Receiving events needs only `webhook_secret`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Zendesk {
    /// The part of the account's address before `.zendesk.com`: `acme` for `acme.zendesk.com`.
    subdomain: Subdomain,
    /// The unique identifier of an OAuth client (Admin Center → Apps and integrations → APIs → OAuth clients).
    #[serde(default)]
    client_id: Option<String>,
    /// That client's secret.
    #[serde(default)]
    client_secret: Option<Secret>,
    /// A refresh token that an admin's authorization gave, scope `read`. Zendesk replaces it with each renewal; the
    /// newest is kept encrypted. Leave it out for the client credentials flow.
    #[serde(default)]
    refresh_token: Option<Secret>,
    /// The address of the admin that the API token acts for.
    #[serde(default)]
    email: Option<String>,
    /// An API token. Zendesk makes no new ones since 27 October 2026, and all end on 30 April 2027: use an OAuth client.
    #[serde(default)]
    api_token: Option<Secret>,
    /// The signing secret of the webhook that delivers events (several while it is being rotated). Without it no
    /// delivery is taken.
    #[serde(default)]
    webhook_secret: Secrets,
    /// How many requests a minute the lists may use; the plan sets the account's own limit (Team 200, Growth and
    /// Professional 400, Enterprise 700, with the High Volume add-on 2500). Exports are paced apart, 10 a minute.
    #[serde(default = "two_hundred")]
    requests_per_minute: NonZeroU32,
}

fn two_hundred() -> NonZeroU32 {
    const { NonZeroU32::new(200).expect("not zero") }
}

/// A bare label, so that the host cannot be anything else than an account's.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(extend("pattern" = "^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?$"))]
struct Subdomain(String);

impl TryFrom<String> for Subdomain {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let label = (1..=63).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !text.starts_with('-')
            && !text.ends_with('-');
        match label {
            true => Ok(Self(text.to_ascii_lowercase())),
            false => Err(format!("subdomain {text:?} is not a bare label: write acme for acme.zendesk.com")),
        }
    }
}

impl Zendesk {
    fn url(&self) -> String {
        format!("https://{}.zendesk.com", self.subdomain.0)
    }

    fn auth(&self) -> Result<Auth> {
        match (&self.client_id, &self.client_secret, &self.refresh_token, &self.email, &self.api_token) {
            (None, None, None, Some(email), Some(token)) => {
                Ok(Auth::Basic(format!("{email}/token"), token.clone()))
            }
            (Some(id), Some(secret), refresh, None, None) => Ok(Auth::OAuth(OAuth {
                token_url: format!("{}/oauth/tokens", self.url()),
                client_id: id.clone(),
                client_secret: Some(secret.clone()),
                client_auth: ClientAuth::Body,
                grant: refresh.clone().map_or(Grant::ClientCredentials, Grant::RefreshToken),
                scopes: vec!["read".into()],
                extra: Vec::new(),
                carry: Carry::Bearer,
            })),
            _ => Err(Error::config(
                "give either client_id and client_secret (and refresh_token, if an admin has authorized the client), or email and api_token",
            )),
        }
    }
}

#[async_trait]
impl ObjectSource for Zendesk {
    fn api(&self, _account: &Account) -> Result<Api> {
        let minute = Duration::from_secs(60);
        Ok(Api::new(self.url(), self.auth()?)
            .header("accept", "application/json")
            .limit(Limit::requests(u64::from(self.requests_per_minute.get()), minute))
            .limit(Limit::requests(10, minute).named(collections::EXPORT))
            .judge(judge))
    }

    async fn check(&self, client: &Client) -> Result<Account> {
        let answer = client.send(Request::get("/api/v2/users/me.json")).await?;
        // Without valid credentials Zendesk answers 200 with an anonymous user.
        Record::parse(&answer.body)?.text("user.id")?.ok_or_else(|| {
            Error::auth("Zendesk knows no user by these credentials: check them, or connect the source again")
        })?;
        let id = self.subdomain.0.clone();
        Ok(Account { title: format!("{id}.zendesk.com"), id, extra: Value::Null })
    }

    async fn catalog(&self, client: &Client, declared: &[Collection]) -> Result<Vec<Collection>> {
        let mut collections = declared.to_vec();
        // Without paging Zendesk lists all fields at once.
        let fields = match client.send(Request::get("/api/v2/ticket_fields.json")).await {
            Ok(answer) => Record::split(&answer.body, "ticket_fields")?,
            // Their values stay in `custom_field_…`, by id.
            Err(error) if error.kind() == Kind::Forbidden => return Ok(collections),
            Err(error) => return Err(error),
        };
        for tickets in collections.iter_mut().filter(|collection| collection.name == "tickets") {
            tickets.fields = export::with_custom(tickets.fields, &fields)?;
        }
        Ok(collections)
    }

    async fn page(&self, pull: Pull<'_>) -> Result<Page> {
        let mut page = rest::page(pull).await?;
        match pull.collection.name {
            TICKET_EVENTS => page.changes = export::expand(&page.changes)?,
            "ticket_fields" => page.changes.iter_mut().try_for_each(export::slug)?,
            "tickets" => {
                for change in &mut page.changes {
                    change.record = export::ticket(&change.record)?;
                }
            }
            _ => {}
        }
        Ok(page)
    }

    async fn fetch(&self, client: &Client, collection: &Collection, key: &Record) -> Result<Option<Record>> {
        let (member, include) = match collection.name {
            "tickets" => ("ticket", Some("metric_sets")),
            "users" => ("user", None),
            "organizations" => ("organization", None),
            name => return Err(Error::unexpected(format!("{name} cannot be fetched one by one"))),
        };
        let id: u64 = key.get("id")?;
        let mut request = Request::get(format!("/api/v2/{}/{id}.json", collection.name));
        if let Some(include) = include {
            request = request.query("include", include);
        }
        match client.send(request).await {
            Ok(answer) => match Record::parse(&answer.body)?.part(member)? {
                Some(ticket) if member == "ticket" => export::ticket(&ticket).map(Some),
                found => Ok(found),
            },
            Err(error) if error.status() == Some(404) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// What a refusal means beyond its status. Zendesk writes `{"error":"Name","description":"…"}`, or
/// `{"error":{"title":"Name","message":"…"}}`.
fn judge(answer: &Answer) -> Option<Error> {
    let status = answer.status.as_u16();
    if !matches!(status, 400 | 403 | 404 | 422) {
        return None;
    }
    let body = Record::parse(&answer.body).ok();
    let said = |paths: &[&str]| body.as_ref()?.first_text(paths).ok().flatten();
    let name = said(&["error.title", "error"]).unwrap_or_default();
    match status {
        // An export starts a minute ago at the latest; a run that follows another at once comes too early.
        400 | 422 if name == "StartTimeTooRecent" => Some(
            Error::transient(
                "the export would begin less than a minute ago: Zendesk takes it a minute later",
            )
            .retry_after(Duration::from_secs(60)),
        ),
        404 if name.starts_with("No help desk") => {
            Some(Error::config("no Zendesk account has this subdomain: check it"))
        }
        404 if name == "InvalidEndpoint" => {
            Some(Error::new(Kind::Forbidden, "this account does not have it: its plan may not include it"))
        }
        403 => {
            let why = said(&["error.message", "description"]).unwrap_or_default();
            let why: String =
                why.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(160).collect();
            let needs = "it takes an admin's credentials with scope read, and a plan that includes it";
            Some(Error::new(Kind::Forbidden, format!("Zendesk refuses it: {needs} ({why})")))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
