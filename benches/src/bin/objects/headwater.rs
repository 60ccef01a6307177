//! Headwater's side: a connector of one collection, read by the engine into its warehouse, as every source is.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use headwater::sync::{Bounds, Job, Shared, Silent, Tools, sync as run};
use headwater_benches::{Measured, Watch, record::FIELDS};
use headwater_core::{
    auth::{Auth, Secret},
    connector::Connector,
    cursor::{At, More, Pages, Put, Since, TimeFormat},
    error::Result,
    http::{Api, Client},
    object::{Account, Collection, Endpoint, ObjectSource, Request},
};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::watch;

use crate::warehouse::{Into, SOURCE};

/// Orders, by pages that each name the next one; the vendor is asked for what has changed, and its rows say when they did.
const ORDERS: Collection = Collection {
    name: "orders",
    fields: FIELDS,
    endpoint: Endpoint::get("/orders"),
    records: "data",
    pages: Pages::Token { at: At::Body("next"), into: Put::Query("cursor"), more: More::Given },
    since: Some(Since::Time {
        field: "updated_at",
        from: Put::Query("since"),
        until: None,
        format: TimeFormat::Rfc3339,
        overlap: Duration::from_secs(60),
        lag: Duration::from_secs(60),
        first: None,
    }),
    version: Some("updated_at"),
    ..Collection::DEFAULT
};

#[derive(Deserialize)]
struct Shop {}

#[async_trait]
impl ObjectSource for Shop {
    fn api(&self, _account: &Account) -> Result<Api> {
        Ok(Api::new("https://shop.invalid", Auth::Bearer(Secret::new("secret"))))
    }

    async fn check(&self, client: &Client) -> Result<Account> {
        let answer = client.send(Request::get("/check")).await?;
        Ok(serde_json::from_slice(&answer.body)?)
    }
}

/// One sync of everything, as `headwater sync` does it.
pub async fn sync(source: &str, at: &str, into: Into) -> Measured {
    let connector: &'static Connector = Box::leak(Box::new(
        Connector::new("bench", "Bench", "Other", "https://shop.invalid/docs")
            .objects::<Shop>(&[ORDERS], &[]),
    ));
    let warehouse = into.open(at).await;
    let (_stop, stopping) = watch::channel(false);
    let tools = Tools {
        warehouse,
        vault: None,
        observer: Arc::new(Silent),
        stop: stopping,
        bounds: Bounds::default(),
        shared: Shared::default(),
    };
    let job = Job {
        source: SOURCE.to_owned(),
        connector,
        settings: json!({}),
        account: Account::default(),
        base_url: Some(source.to_owned()),
        start_date: None,
        collections: Vec::new(),
        exclude: Vec::new(),
        only: Vec::new(),
        full: false,
        touched_only: false,
        accept_deletes: false,
        reserve: 0.0,
    };
    let watch = Watch::start();
    let report = run(&job, &tools).await;
    let orders = report.collections.get("orders").cloned().unwrap_or_default();
    assert_eq!(report.ending.name(), "success", "{report:#?}");
    assert!(orders.notices.is_empty() && orders.rejected == 0, "{report:#?}");
    watch.stop(orders.records)
}
