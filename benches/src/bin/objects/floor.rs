//! The floor: a program for these orders and nothing else. It fetches a page, parses it into its own types, and upserts it by
//! one prepared statement in one transaction, with the key and the pragmas that Headwater's tables have. It checks
//! nothing, retries nothing, remembers nothing.

use std::path::Path;

use headwater_benches::{
    Measured, Watch,
    record::{Order, Scalar},
};
use rusqlite::{Connection, Statement, types::Null};
use serde::Deserialize;
use tokio_postgres::{
    NoTls,
    binary_copy::BinaryCopyInWriter,
    types::{ToSql, Type},
};

use crate::warehouse::SOURCE;

#[derive(Deserialize)]
struct Page<'a> {
    #[serde(borrow)]
    data: Vec<Order<'a>>,
    next: Option<String>,
}

/// Into a SQLite file.
pub async fn sqlite(source: &str, folder: &Path) -> Measured {
    let mut db = Connection::open(folder.join(format!("{SOURCE}.db"))).expect("a file");
    db.execute_batch(
        "PRAGMA page_size = 16384; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -32768;
         PRAGMA wal_autocheckpoint = 2048",
    )
    .expect("pragmas");
    let sql = {
        let json = headwater_benches::record::order(0);
        let order: Order = serde_json::from_str(&json).expect("an order");
        let names = order.columns().map(|(name, _)| name);
        db.execute_batch(&format!(
            "CREATE TABLE IF NOT EXISTS orders ({}, PRIMARY KEY (id))",
            names.join(", ")
        ))
        .expect("a table");
        let marks: Vec<String> = (1..=names.len()).map(|at| format!("?{at}")).collect();
        let sets: Vec<String> = names[1..].iter().map(|name| format!("{name} = excluded.{name}")).collect();
        format!(
            "INSERT INTO orders ({}) VALUES ({}) ON CONFLICT (id) DO UPDATE SET {}",
            names.join(", "),
            marks.join(", "),
            sets.join(", ")
        )
    };
    let watch = Watch::start();
    let mut rows = 0;
    let mut fetch = Fetch::new(source);
    while let Some(body) = fetch.next().await {
        let page: Page = serde_json::from_slice(&body).expect("a page");
        let tx = db.transaction().expect("a transaction");
        let mut upsert = tx.prepare_cached(&sql).expect("a statement");
        for order in &page.data {
            bind(&mut upsert, order).and_then(|()| upsert.raw_execute()).expect("an upsert");
        }
        drop(upsert);
        tx.commit().expect("a commit");
        rows += page.data.len() as u64;
        fetch.cursor = page.next;
    }
    watch.stop(rows)
}

fn bind(statement: &mut Statement<'_>, order: &Order<'_>) -> rusqlite::Result<()> {
    for (at, (_, scalar)) in (1..).zip(order.columns()) {
        match scalar {
            Scalar::Text(None) | Scalar::Time(None) => statement.raw_bind_parameter(at, Null)?,
            Scalar::Text(Some(text)) | Scalar::Time(Some(text)) => statement.raw_bind_parameter(at, text)?,
            Scalar::Int(number) => statement.raw_bind_parameter(at, number)?,
            Scalar::Real(number) => statement.raw_bind_parameter(at, number)?,
            Scalar::Bool(value) => statement.raw_bind_parameter(at, value)?,
        }
    }
    Ok(())
}

/// Into a Postgres schema: binary COPY into a staging table, and one merge a page.
pub async fn postgres(source: &str, at: &str) -> Measured {
    let (mut db, connection) = tokio_postgres::connect(at, NoTls).await.expect("Postgres");
    tokio::spawn(connection);
    let json = headwater_benches::record::order(0);
    let order: Order = serde_json::from_str(&json).expect("an order");
    let types = order.columns().map(|(_, scalar)| match scalar {
        Scalar::Text(_) => Type::TEXT,
        Scalar::Time(_) => Type::TIMESTAMPTZ,
        Scalar::Int(_) => Type::INT8,
        Scalar::Real(_) => Type::FLOAT8,
        Scalar::Bool(_) => Type::BOOL,
    });
    let names = order.columns().map(|(name, _)| name);
    let columns: Vec<String> =
        names.iter().zip(&types).map(|(name, kind)| format!("{name} {kind}")).collect();
    let sets: Vec<String> = names[1..].iter().map(|name| format!("{name} = excluded.{name}")).collect();
    db.batch_execute(&format!(
        "CREATE SCHEMA IF NOT EXISTS floor; CREATE TABLE IF NOT EXISTS floor.orders ({}, PRIMARY KEY (id));
         CREATE TEMP TABLE staging (LIKE floor.orders) ON COMMIT DELETE ROWS",
        columns.join(", ")
    ))
    .await
    .expect("tables");
    let copy = db.prepare("COPY staging FROM STDIN BINARY").await.expect("a statement");
    let merge = format!(
        "INSERT INTO floor.orders SELECT * FROM staging ON CONFLICT (id) DO UPDATE SET {}",
        sets.join(", ")
    );
    let merge = db.prepare(&merge).await.expect("a statement");
    let watch = Watch::start();
    let mut rows = 0;
    let mut fetch = Fetch::new(source);
    while let Some(body) = fetch.next().await {
        let page: Page = serde_json::from_slice(&body).expect("a page");
        let tx = db.transaction().await.expect("a transaction");
        let sink = tx.copy_in(&copy).await.expect("COPY");
        let writer = BinaryCopyInWriter::new(sink, &types);
        tokio::pin!(writer);
        for order in &page.data {
            let cells = order.columns().map(|(_, scalar)| scalar);
            writer.as_mut().write_raw(cells.iter().map(|cell| cell as &dyn ToSql)).await.expect("a row");
        }
        writer.finish().await.expect("COPY");
        tx.execute(&merge, &[]).await.expect("a merge");
        tx.commit().await.expect("a commit");
        rows += page.data.len() as u64;
        fetch.cursor = page.next;
    }
    watch.stop(rows)
}

/// One page after the other.
struct Fetch {
    client: reqwest::Client,
    address: String,
    begun: bool,
    /// Where the next page is.
    cursor: Option<String>,
}

impl Fetch {
    fn new(source: &str) -> Self {
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        Self { client, address: format!("{source}/orders"), begun: false, cursor: None }
    }

    async fn next(&mut self) -> Option<bytes::Bytes> {
        let request = self.client.get(&self.address);
        let request = match (&self.cursor, self.begun) {
            (None, true) => return None,
            (None, false) => request,
            (Some(cursor), _) => request.query(&[("cursor", cursor)]),
        };
        self.begun = true;
        let answer = request.send().await.expect("an answer").error_for_status().expect("200");
        Some(answer.bytes().await.expect("a page"))
    }
}
