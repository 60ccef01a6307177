//! The connector of the pretended vendor: one type, and collections that each test writes as values.

use std::time::Duration;

use async_trait::async_trait;
use headwater_core::{
    auth::Auth,
    connector::Connector,
    cursor::{At, More, Pages, Partition, Put, Since, TimeFormat},
    error::Result,
    http::{Api, Client},
    object::{
        Account, Change, Collection, Deletes, Endpoint, Feed, ObjectSource, Op, Page, Pull, Request, Version,
        intern,
    },
    record::Record,
    rest,
};
use serde::Deserialize;
use serde_json::{Value, json};

/// A list that is paged by token, each row of which says when it last changed.
pub const LIST: Collection = Collection {
    fields: "id text, name text, updated_at time",
    endpoint: Endpoint::get("/{name}"),
    records: "data",
    pages: Pages::Token { at: At::Body("next"), into: Put::Query("page"), more: More::Given },
    version: Some("updated_at"),
    ..Collection::DEFAULT
};

/// Asks for what changed, in between two times.
pub const fn changed(overlap: u64, lag: u64) -> Option<Since> {
    Some(Since::Time {
        field: "updated_at",
        from: Put::Query("since"),
        until: Some(Put::Query("until")),
        format: TimeFormat::Rfc3339Millis,
        overlap: Duration::from_secs(overlap),
        lag: Duration::from_secs(lag),
        first: None,
    })
}

/// The reading of a feed: `/feed/{name}`.
pub const FEED: Collection = Collection {
    endpoint: Endpoint::get("/feed/{name}"),
    pages: Pages::Custom,
    since: changed(0, 0),
    deletes: Deletes::Never,
    fields: "",
    version: None,
    ..LIST
};

/// A list that is followed by its own durable cursor.
pub const EXPORT: Collection = Collection {
    fields: "id text, seq int",
    endpoint: Endpoint::get("/export/{name}"),
    pages: Pages::Token { at: At::Body("cursor"), into: Put::Query("cursor"), more: More::Unless("end") },
    since: Some(Since::Cursor {
        from: Put::Query("start"),
        format: TimeFormat::UnixSeconds,
        first: "0",
        lag: Duration::ZERO,
    }),
    deletes: Deletes::Never,
    version: None,
    ..LIST
};

/// A connector of these collections and feeds.
pub fn connector(collections: Vec<Collection>, feeds: Vec<Feed>) -> &'static Connector {
    let connector = Connector::new("pretend", "Pretend", "Other", "https://vendor.invalid/docs")
        .objects::<Pretend>(collections.leak(), feeds.leak());
    Box::leak(Box::new(connector))
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
#[derive(Default)]
pub struct Pretend {
    /// Collections that are read for each partition.
    partitioned: Vec<String>,
}

#[async_trait]
impl ObjectSource for Pretend {
    fn api(&self, _account: &Account) -> Result<Api> {
        Ok(Api::new("https://vendor.invalid", Auth::None))
    }

    async fn check(&self, client: &Client) -> Result<Account> {
        let answer = client.send(Request::get("/check")).await?;
        Ok(serde_json::from_slice(&answer.body)?)
    }

    async fn partitions(&self, client: &Client, collection: &Collection) -> Result<Vec<Option<Partition>>> {
        if !self.partitioned.iter().any(|name| name == collection.name) {
            return Ok(vec![None]);
        }
        let answer = client.send(Request::get("/partitions")).await?;
        let ids: Vec<String> = serde_json::from_slice(&answer.body)?;
        Ok(ids.into_iter().map(|id| Some(Partition { id, extra: Value::Null })).collect())
    }

    async fn page(&self, pull: Pull<'_>) -> Result<Page> {
        if pull.collection.pages != Pages::Custom {
            return rest::page(pull).await;
        }
        let mut request = rest::fill(&pull.collection.endpoint, &pull)?;
        if let Some(from) = pull.read.from {
            request = request.query("since", from.to_string());
        }
        if let Some(cursor) = pull.read.page.as_str() {
            request = request.query("cursor", cursor);
        }
        let body: Value = serde_json::from_slice(&pull.client.send(request).await?.body)?;
        let change = |change: &Value| -> Result<Change> {
            let name = change["collection"].as_str().unwrap_or(pull.collection.name);
            let op: Op = serde_json::from_value(change.get("op").cloned().unwrap_or(json!("upsert")))?;
            Ok(Change::upsert(intern(name), Record::new(&change["record"])?)
                .op(op)
                .version(change["version"].as_i64().map(Version)))
        };
        Ok(Page {
            changes: body["changes"].as_array().into_iter().flatten().map(change).collect::<Result<_>>()?,
            cursor: body["cursor"].clone(),
            more: body["more"] == true,
            wait: body["wait_ms"].as_u64().map(Duration::from_millis),
            notices: Vec::new(),
        })
    }

    async fn fetch(&self, client: &Client, collection: &Collection, key: &Record) -> Result<Option<Record>> {
        let id = key.text("id")?.unwrap_or_default();
        match client.send(Request::get(format!("/{}/{id}", collection.name))).await {
            Ok(answer) => Record::parse(&answer.body).map(Some),
            Err(error) if error.status() == Some(404) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
