//! HubSpot's contacts: a list for the first reading, a search that ends at 10,000 for changes, another list for what
//! was archived.

use headwater_core::prelude::*;
use serde::Serialize;

pub const CONNECTOR: Connector =
    Connector::new("hubspot", "HubSpot", "crm", "https://developers.hubspot.com/docs/api-reference/overview")
        .settings::<HubSpot>()
        .objects::<HubSpot>(COLLECTIONS, FEEDS);

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct HubSpot {
    /// The token of a single-account app.
    token: Secret,
}

const LIST: Collection = Collection {
    endpoint: Endpoint::get("/crm/objects/2026-09/{name}").query(&[("limit", "100"), ("archived", "false")]),
    records: "results",
    pages: Pages::Token { at: At::Body("paging.next.after"), into: Put::Query("after"), more: More::Given },
    ..Collection::DEFAULT
};

const COLLECTIONS: &[Collection] = &[Collection {
    name: "contacts",
    fields: "id text, portal_id int, added_at time = createdAt, email text = properties.email, \
             properties_company_value text = properties.company, properties_firstname_value text = properties.firstname, \
             properties_lastname_value text = properties.lastname, \
             properties_lastmodifieddate_value time = properties.lastmodifieddate, \
             merged_vids text = properties.hs_calculated_merged_vids",
    since: Some(Since::Time {
        field: "properties.lastmodifieddate",
        from: Put::Body("filterGroups.0.filters.0.value"),
        until: Some(Put::Body("filterGroups.0.filters.1.value")),
        format: TimeFormat::UnixMillis,
        overlap: Duration::from_secs(600),
        lag: Duration::from_secs(120),
        first: None,
    }),
    deletes: Deletes::Feed("archived_contacts"),
    version: Some("properties.lastmodifieddate"),
    retired: &[
        ("canonical_vid", "only the contacts v1 record has it"),
        ("profile_token", "only the contacts v1 record has it"),
        ("profile_url", "only the contacts v1 record has it"),
        ("is_contact", "only the contacts v1 record has it"),
        ("lead_guid", "an identity type of contacts v1"),
        ("list_membership", "gone from v1 on 2026-04-30"),
        ("form_submissions", "now by form"),
    ],
    ..LIST
}];

const FEEDS: &[Feed] = &[Feed {
    read: Collection {
        name: "archived_contacts",
        endpoint: Endpoint::get("/crm/objects/2026-09/contacts")
            .query(&[("limit", "100"), ("archived", "true")]),
        deletes: Deletes::Never,
        ..LIST
    },
    horizon: Some(Duration::from_secs(90 * 86_400)),
    fills: &["contacts"],
}];

/// A search ends after this many; it then begins anew behind the last record.
const CAP: u64 = 10_000;

/// Where a search has come to. `after_id` parts the records that share the anchor's millisecond.
#[derive(Default, Serialize, Deserialize)]
struct Search {
    anchor: Option<String>,
    after_id: Option<String>,
    offset: u64,
}

#[async_trait]
impl ObjectSource for HubSpot {
    fn api(&self, _account: &Account) -> Result<Api> {
        Ok(Api::new("https://api.hubapi.com", Auth::Bearer(self.token.clone()))
            .limit(Limit::requests(100, Duration::from_secs(10)))
            .limit(Limit::requests(5, Duration::from_secs(1)).named("search")))
    }

    async fn check(&self, client: &Client) -> Result<Account> {
        let account = Record::parse(&client.send(Request::get("/account-info/2026-09/details")).await?.body)?;
        let id: u64 = account.get("portalId")?;
        Ok(Account { id: id.to_string(), title: format!("portal {id}"), extra: Value::Null })
    }

    async fn page(&self, pull: Pull<'_>) -> Result<Page> {
        match (pull.collection.name, pull.read.from) {
            ("archived_contacts", _) => {
                let mut page = rest::page(pull).await?;
                for change in &mut page.changes {
                    change.collection = "contacts";
                    change.op = Op::Delete;
                    change.version = change.record.time("archivedAt")?.map(Version::at);
                }
                Ok(page)
            }
            // Wanted: pull.client.account().id for portal_id, which no record has.
            (_, None) => rest::page(pull).await,
            (_, Some(from)) => self.search(pull, from).await,
        }
    }
}

impl HubSpot {
    async fn search(&self, pull: Pull<'_>, from: Timestamp) -> Result<Page> {
        let at = Option::<Search>::deserialize(&pull.read.page)?.unwrap_or_default();
        let anchor = at.anchor.clone().unwrap_or_else(|| TimeFormat::UnixMillis.write(from));
        let field = "lastmodifieddate";
        let until = pull.read.to.map(
            |to| json!({"propertyName": field, "operator": "LT", "value": TimeFormat::UnixMillis.write(to)}),
        );
        let with = |first: Value| -> Value {
            json!({"filters": std::iter::once(first).chain(until.clone()).collect::<Vec<_>>()})
        };
        // Behind the cap: the same millisecond from the next id on, or any later one.
        let groups = match &at.after_id {
            None => vec![with(json!({"propertyName": field, "operator": "GTE", "value": anchor}))],
            Some(id) => vec![
                json!({"filters": [
                    {"propertyName": field, "operator": "EQ", "value": anchor},
                    {"propertyName": "hs_object_id", "operator": "GT", "value": id},
                ]}),
                with(json!({"propertyName": field, "operator": "GT", "value": anchor})),
            ],
        };
        let body = json!({
            "filterGroups": groups, "sorts": [{"propertyName": field, "direction": "ASCENDING"}],
            "limit": 200, "after": at.offset.to_string(),
        });
        let path = format!("/crm/objects/2026-09/{}/search", pull.collection.name);
        let answer = pull.client.send(Request::post(path, body.to_string()).limited("search")).await?;
        let body = Record::parse(&answer.body)?;
        let records = body.parts("results")?;
        let more = body.text("paging.next.after")?.and_then(|after| after.parse::<u64>().ok());
        let next = match (more, records.last()) {
            (Some(offset), _) if offset < CAP => Search { offset, ..at },
            (Some(_), Some(last)) => {
                let time = last.time("properties.lastmodifieddate")?;
                Search {
                    anchor: time.map(|time| TimeFormat::UnixMillis.write(time)),
                    after_id: last.text("id")?,
                    offset: 0,
                }
            }
            _ => at,
        };
        let changes =
            records.into_iter().map(|contact| Change::upsert(pull.collection.name, contact)).collect();
        Ok(Page { changes, cursor: serde_json::to_value(next)?, more: more.is_some(), ..Page::default() })
    }
}
