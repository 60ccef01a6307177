//! A schema that cannot be written for a while holds back no other, and loses nothing.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use headwater::{
    inbox::DeliveryKind,
    pipeline::{loader::Loader, normaliser::Normaliser},
    warehouse::{Schema, Warehouse, sqlite::SqliteWarehouse},
};
use headwater_core::error::{Error, Result};
use serde_json::json;
use tokio::sync::{mpsc, watch};

use crate::pipeline::{House, LIMITS, customer, sources, track};

/// A warehouse that has lost one of its schemas for now.
struct Away {
    inner: Arc<SqliteWarehouse>,
    schema: &'static str,
    is_away: AtomicBool,
}

#[async_trait]
impl Warehouse for Away {
    async fn schema(&self, name: &str) -> Result<Arc<dyn Schema>> {
        match name == self.schema && self.is_away.load(Ordering::SeqCst) {
            true => Err(Error::transient("away")),
            false => self.inner.schema(name).await,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_that_is_away_holds_back_no_other() {
    let folder = tempfile::tempdir().expect("a folder");
    let house = House::open(folder.path()).await;
    let away = Arc::new(Away {
        inner: house.warehouse.clone(),
        schema: "shop_events",
        is_away: AtomicBool::new(true),
    });
    let normaliser = Normaliser::open(house.inbox.clone(), house.calls.clone(), house.books.clone(), LIMITS)
        .await
        .expect("one");
    normaliser.set_sources(sources());
    let (stop, stopping) = watch::channel(false);
    let (touch, _touched) = mpsc::unbounded_channel();
    let connectors = HashMap::from([("app".to_owned(), "segment"), ("shop".to_owned(), "stripe")]);
    let loader =
        Loader::new(house.calls.clone(), house.books.clone(), away.clone(), connectors, touch).unwrap();
    let loading = tokio::spawn(loader.run(normaliser.eligible(), stopping.clone()));
    let normalising = tokio::spawn(async move { normaliser.run(stopping).await });

    // Before, between and behind those of the schema that is away: more than one batch of the loader.
    let time = "2024-05-06T12:00:00Z";
    for round in 0..3_i64 {
        let (event, call) = (format!("evt_{round}"), format!("m{round}"));
        let hook = customer(&event, "customer.created", "one", 1_700_000_100 + round);
        house.put("shop", DeliveryKind::Webhook, "", time, &hook).await;
        house.batch(time, json!({ "batch": [track(&call, "Seen")] })).await;
        let expected = [round.unsigned_abs() + 1, 0, 0];
        until(async || house.loaded("app").await == expected).await;
    }
    assert_eq!(house.loaded("shop_events").await, [0, 0, 0]);
    assert_eq!(house.loaded("shop").await, [0, 0, 3]);
    assert!(house.position("loaded").await < house.position("calls").await, "its calls have to stay");

    away.is_away.store(false, Ordering::SeqCst);
    until(async || house.position("loaded").await == house.position("calls").await).await;
    stop.send_replace(true);
    loading.await.expect("an end");
    normalising.await.expect("an end");
    assert_eq!(house.loaded("shop_events").await, [3, 0, 0]);
    assert_eq!((house.loaded("app").await, house.loaded("shop").await), ([3, 0, 0], [0, 0, 3]));
    assert_eq!(house.rows("app", "SELECT count(*), count(DISTINCT id) FROM tracks"), ["3 3"]);
    assert_eq!(house.rows("shop_events", "SELECT count(*), count(DISTINCT id) FROM identifies"), ["3 3"]);
    assert_eq!(house.inbox.committed(), 6);
}

/// Waits for something that has to come within half a minute.
async fn until(mut is_so: impl AsyncFnMut() -> bool) {
    for _ in 0..3_000 {
        if is_so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it has not come in half a minute");
}
