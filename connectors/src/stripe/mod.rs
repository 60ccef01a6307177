//! Stripe: payments and subscriptions, as objects with a feed of changes behind them, and as signed webhooks that
//! become calls and change the same rows.
//!
//! Read [`collections`] for what there is, [`events`] for what an event means.

use std::collections::{BTreeMap, btree_map::Entry};

use headwater_core::{object::intern, prelude::*};
use serde::Serialize;

use self::collections::{COLLECTIONS, EVENTS, FEEDS, LIST};

mod collections;
mod events;
#[cfg(test)]
mod tests;

/// The registry's line.
pub const CONNECTOR: Connector =
    Connector::new("stripe", "Stripe", "payments", "https://docs.stripe.com/api")
        .settings::<Stripe>()
        .objects::<Stripe>(COLLECTIONS, FEEDS)
        .events::<Stripe>(&events::WEBHOOK);

/// The version of the API that every request asks for: the last one before basil (2025-03-31), which took away what
/// Segment's columns hold (`invoice` of charges and payment intents; `charge`, `paid`, `subscription` and `tax` of
/// invoices; `subscription`, `plan` and `proration` of their lines; `discount` and the current period of
/// subscriptions). Of the versions that still have all that it is the newest, so Stripe will keep it the longest.
const VERSION: &str = "2025-02-24.acacia";

/// Settings of a Stripe source.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Stripe {
    /// A secret key (`sk_live_…`, `sk_test_…`) or, better, a restricted one (`rk_live_…`) that may read what is to be
    /// synced, Accounts and Events.
    api_key: Secret,
    /// The connected account (`acct_…`) to read in place of the key's own; for Connect platforms.
    #[serde(default)]
    account: Option<String>,
    /// The signing secret of the webhook endpoint (`whsec_…`); two while it is being rolled, the newer first. Give the
    /// endpoint the API version 2025-02-24.acacia: objects of another one have to be fetched again.
    #[serde(default)]
    webhook_secret: Secrets,
}

#[async_trait]
impl ObjectSource for Stripe {
    fn api(&self, _: &Account) -> Result<Api> {
        let key = self.api_key.expose();
        if !key.starts_with("sk_") && !key.starts_with("rk_") {
            return Err(Error::config("api_key is no secret key: take one that begins with sk_ or rk_"));
        }
        let is_test = key.starts_with("sk_test_") || key.starts_with("rk_test_");
        let api = Api::new("https://api.stripe.com", Auth::Bearer(self.api_key.clone()))
            .limit(Limit::requests(if is_test { 25 } else { 100 }, Duration::from_secs(1)))
            .header("Stripe-Version", VERSION)
            .judge(judge);
        match &self.account {
            None => Ok(api),
            Some(account) if account.starts_with("acct_") => Ok(api.header("Stripe-Account", account)),
            Some(_) => Err(Error::config("account is no Stripe account: take an id that begins with acct_")),
        }
    }

    async fn check(&self, client: &Client) -> Result<Account> {
        let account = own_account(client).await?;
        let id: String = account.get("id")?;
        let title =
            account.first_text(&["settings.dashboard.display_name", "business_profile.name", "email"])?;
        Ok(Account { title: title.unwrap_or_else(|| id.clone()), id, extra: Value::Null })
    }

    async fn page(&self, pull: Pull<'_>) -> Result<Page> {
        match pull.collection.name {
            EVENTS => self.events(pull).await,
            "accounts" => accounts(pull).await,
            _ => rest::page(pull).await,
        }
    }

    async fn fetch(&self, client: &Client, collection: &Collection, key: &Record) -> Result<Option<Record>> {
        let one = Endpoint::get(intern(&format!("{}/{{^id}}", collection.endpoint.path)));
        let read = Read::default();
        let mut request = rest::fill(&one, &Pull { client, collection, read: &read, parent: Some(key) })?;
        for (name, value) in collection.endpoint.query.iter().filter(|(name, _)| *name == "expand[]") {
            request = request.query(*name, value.trim_start_matches("data."));
        }
        match client.send(request).await {
            Ok(answer) => {
                let record = Record::parse(&answer.body)?;
                let is_deleted = record.text("deleted")?.as_deref() == Some("true");
                Ok(Some(record).filter(|_| !is_deleted))
            }
            Err(error) if error.status() == Some(404) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Where the feed goes on, and which rows the events of the last second so far have changed.
#[derive(Default, Deserialize, Serialize)]
struct Place {
    next: Value,
    met: Vec<(String, String, i64)>,
}

impl Stripe {
    /// A page of the feed, as changes to the rows of its objects. Events come newest first, and several of an object
    /// often fall in one second, which is all that their versions tell: only the first that is met counts.
    async fn events(&self, pull: Pull<'_>) -> Result<Page> {
        let place = match &pull.read.page {
            Value::Null => Place::default(),
            cursor => Place::deserialize(cursor).map_err(|_| {
                Error::new(Kind::Expired, "the stored cursor is of another version of this connector")
            })?,
        };
        let mut met: BTreeMap<(String, String), i64> =
            place.met.into_iter().map(|(collection, id, version)| ((collection, id), version)).collect();
        let read = Read { page: place.next, ..pull.read.clone() };
        let mut page = rest::page(Pull { read: &read, ..pull }).await?;
        for event in std::mem::take(&mut page.changes) {
            let changes = match events::changes(&event.record, self.account.as_deref()) {
                Ok(changes) => changes,
                Err(error) => {
                    let id = event.record.text("id")?.unwrap_or_default();
                    page.notices.push(format!("event {id} was passed over: {error}"));
                    continue;
                }
            };
            let Some(Change { collection, record, version: Some(Version(version)), .. }) = changes.first()
            else {
                continue;
            };
            if let Entry::Vacant(row) =
                met.entry(((*collection).to_owned(), record.text("id")?.unwrap_or_default()))
            {
                row.insert(*version);
                page.changes.extend(changes);
            }
        }
        if page.more {
            let last = met.values().min().copied();
            let met = met.into_iter().filter(|(_, version)| Some(*version) == last);
            let met = met.map(|((collection, id), version)| (collection, id, version)).collect();
            page.cursor = serde_json::to_value(Place { next: page.cursor, met })?;
        }
        Ok(page)
    }
}

async fn own_account(client: &Client) -> Result<Record> {
    Record::parse(&client.send(Request::get("/v1/account")).await?.body)
}

/// The key's own account with the first page of those connected to it. An account that is no platform has only itself.
async fn accounts(pull: Pull<'_>) -> Result<Page> {
    let mut page = match rest::page(pull).await {
        Err(error) if error.kind() == Kind::Forbidden => Page::default(),
        page => page?,
    };
    if pull.read.page.is_null() {
        page.changes.insert(0, Change::upsert(pull.collection.name, own_account(pull.client).await?));
    }
    let mut more = Vec::new();
    for account in &page.changes {
        if account.record.text("external_accounts.has_more")?.as_deref() == Some("true") {
            external_accounts(pull, &account.record, &mut more).await?;
        }
    }
    page.changes.extend(more);
    Ok(page)
}

/// All bank accounts and cards that an account is paid out to, where it has more than stand inside it.
async fn external_accounts(pull: Pull<'_>, account: &Record, out: &mut Vec<Change>) -> Result<()> {
    const EXTERNAL: Collection = Collection {
        endpoint: Endpoint::get("/v1/accounts/{^id}/external_accounts").query(&[("limit", "100")]),
        ..LIST
    };
    let mut read = Read::default();
    loop {
        let page =
            rest::page(Pull { collection: &EXTERNAL, read: &read, parent: Some(account), ..pull }).await?;
        for change in page.changes {
            let object = change.record.text("object")?;
            if let Some(collection) = events::collection(object.as_deref()) {
                out.push(Change { collection: collection.name, ..change });
            }
        }
        if !page.more {
            return Ok(());
        }
        read.page = page.cursor;
    }
}

/// What Stripe means by an error that its status does not tell by itself.
fn judge(answer: &Answer) -> Option<Error> {
    let status = answer.status.as_u16();
    if status < 400 {
        return None;
    }
    let error = Record::parse(&answer.body).and_then(|body| body.part("error")).ok().flatten();
    let text = |path| error.as_ref().and_then(|error| error.text(path).ok().flatten());
    let (code, param) = (text("code"), text("param"));
    let retry = answer.header("stripe-should-retry");
    let kind = match (status, code.as_deref()) {
        // The object after which the page begins has been deleted since.
        (400 | 404, Some("resource_missing")) if param.as_deref() == Some("starting_after") => Kind::Expired,
        // The Stripe-Account is wrong, or has withdrawn its consent.
        (403, Some("account_invalid")) => Kind::Auth,
        // Somebody else writes the same object: no sign of too many requests.
        (429, Some("lock_timeout")) => Kind::Transient,
        // A 429 asks for patience, whatever else it says.
        (429, _) => Kind::RateLimited,
        _ if retry == Some("true") => Kind::Transient,
        (500.., _) if retry == Some("false") => Kind::Unexpected,
        (409 | 424, _) => Kind::Transient,
        _ => return None,
    };
    let reason = answer.header("stripe-rate-limited-reason").map(str::to_owned).or(code);
    let reason = reason.map(|reason| format!(" {reason}")).unwrap_or_default();
    let words = text("message").unwrap_or_else(|| "Stripe gave no reason".to_owned());
    Some(Error::new(kind, format!("{status}{reason}: {words}")).with_status(status))
}
