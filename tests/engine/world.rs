//! A source of the pretended vendor, the warehouse that it is loaded into, and what a user sees there.

use std::{sync::Arc, time::Duration};

use headwater::{
    sync::{Bounds, Job, Outcome, Report, Shared, Silent, Tools, sync},
    warehouse::{Load, Schema, Warehouse, sqlite::SqliteWarehouse},
};
use headwater_core::object::{Account, Collection, Feed};
use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, types::Value as Sql};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::watch;

use crate::{pretend, vendor::Vendor};

/// The source's name.
pub const SOURCE: &str = "shop";

pub struct World {
    pub folder: TempDir,
    pub vendor: Vendor,
    pub warehouse: Arc<SqliteWarehouse>,
    pub stop: watch::Sender<bool>,
    pub tools: Tools,
    pub job: Job,
}

impl World {
    /// A vendor without rows, and an empty warehouse.
    pub async fn new(collections: Vec<Collection>, feeds: Vec<Feed>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let warehouse = Arc::new(SqliteWarehouse::open(folder.path()).expect("a warehouse"));
        let vendor = Vendor::start().await;
        let (stop, stopping) = watch::channel(false);
        let bounds = Bounds { stall: Duration::from_secs(20), ..Bounds::default() };
        let tools = Tools {
            warehouse: warehouse.clone(),
            vault: None,
            observer: Arc::new(Silent),
            stop: stopping,
            bounds,
            shared: Shared::default(),
        };
        let job = Job {
            source: SOURCE.to_owned(),
            connector: pretend::connector(collections, feeds),
            settings: json!({}),
            account: Account::default(),
            base_url: Some(vendor.url.clone()),
            start_date: None,
            collections: Vec::new(),
            exclude: Vec::new(),
            only: Vec::new(),
            full: false,
            touched_only: false,
            accept_deletes: false,
            reserve: 0.0,
        };
        Self { folder, vendor, warehouse, stop, tools, job }
    }

    pub async fn sync(&self) -> Report {
        sync(&self.job, &self.tools).await
    }

    /// Syncs, and what was read is whole.
    pub async fn success(&self) -> Report {
        let report = self.sync().await;
        assert_eq!(report.ending.name(), "success", "{report:#?}");
        report
    }

    /// Syncs with another job, this once.
    pub async fn sync_with(&self, change: impl FnOnce(&mut Job)) -> Report {
        let mut job = self.job.clone();
        change(&mut job);
        sync(&job, &self.tools).await
    }

    pub async fn schema(&self) -> Arc<dyn Schema> {
        self.warehouse.schema(SOURCE).await.expect("the schema")
    }

    /// The living rows, by the first column: what is asked for, joined by blanks.
    pub fn rows(&self, table: &str, columns: &str) -> Vec<String> {
        self.query(&format!("SELECT {columns} FROM {table} WHERE is_deleted = 0 ORDER BY 1, 2"))
    }

    /// The ids of the living rows.
    pub fn ids(&self, table: &str) -> Vec<String> {
        self.query(&format!("SELECT id FROM {table} WHERE is_deleted = 0 ORDER BY 1"))
    }

    pub fn query(&self, sql: &str) -> Vec<String> {
        query(&self.warehouse.file(SOURCE), sql)
    }

    pub async fn progress(&self, key: &str) -> Value {
        self.schema().await.progress().await.expect("progress").remove(key).unwrap_or(Value::Null)
    }

    pub async fn synced_to(&self, key: &str) -> Timestamp {
        let progress = self.progress(key).await;
        progress["synced_to"].as_str().unwrap_or_else(|| panic!("{key}: {progress}")).parse().expect("a time")
    }

    /// Puts progress there by hand, as a webhook's touch or an older run would have.
    pub async fn set_progress(&self, id: &str, key: &str, value: Value) {
        let load = Load { id: id.to_owned(), progress: vec![(key.to_owned(), value)], ..Load::default() };
        self.schema().await.commit(load).await.expect("a commit");
    }
}

pub fn query(file: &std::path::Path, sql: &str) -> Vec<String> {
    let db = Connection::open(file).expect("the file");
    let mut statement = db.prepare(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    let width = statement.column_count();
    let mut rows = statement.query([]).expect("rows");
    let mut found = Vec::new();
    while let Some(row) = rows.next().expect("a row") {
        let cells: Vec<String> = (0..width)
            .map(|at| match row.get(at).expect("a cell") {
                Sql::Null => "-".to_owned(),
                Sql::Integer(number) => number.to_string(),
                Sql::Real(number) => number.to_string(),
                Sql::Text(text) => text,
                Sql::Blob(bytes) => format!("{bytes:?}"),
            })
            .collect();
        found.push(cells.join(" "));
    }
    found
}

/// What became of a collection.
pub fn outcome<'a>(report: &'a Report, name: &str) -> &'a Outcome {
    report.collections.get(name).unwrap_or_else(|| panic!("no outcome of {name}: {report:#?}"))
}

/// So many seconds ago, to the second.
pub fn ago(seconds: i64) -> Timestamp {
    let now = Timestamp::from_second(Timestamp::now().as_second()).expect("a time");
    now - SignedDuration::from_secs(seconds)
}

/// A row as the vendor has it.
pub fn row(id: &str, updated_at: Timestamp) -> Value {
    json!({ "id": id, "name": format!("name of {id}"), "updated_at": updated_at.to_string() })
}

/// Rows `r00`, `r01` …, a minute apart, the oldest first; the last one `youngest` seconds ago.
pub fn some(count: i64, youngest: i64) -> Vec<Value> {
    (0..count).map(|n| row(&format!("r{n:03}"), ago(youngest + 60 * (count - 1 - n)))).collect()
}

/// The ids of [`some`].
pub fn names(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("r{n:03}")).collect()
}
