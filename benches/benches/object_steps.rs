//! The steps of an object sync by themselves, for a page of 500 records: finding them in the answer, making rows of them, and
//! committing the rows into SQLite.

use std::sync::Arc;

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_main};
use headwater::warehouse::{
    Load, Warehouse,
    sqlite::SqliteWarehouse,
    table::{Batch, Meta, TableSpec},
};
use headwater_benches::record::{FIELDS, order};
use headwater_core::{
    object::{Change, Collection},
    record::Record,
};
use jiff::Timestamp;

const ROWS: u64 = 500;

const ORDERS: Collection = Collection { name: "orders", fields: FIELDS, ..Collection::DEFAULT };

fn page() -> Bytes {
    let records: Vec<String> = (0..ROWS).map(order).collect();
    Bytes::from(format!(r#"{{"data":[{}],"next":"2"}}"#, records.join(",")))
}

fn batch(spec: &Arc<TableSpec>, records: &[Record]) -> Batch {
    let mut batch = Batch::new(spec.clone());
    for record in records {
        let meta = Meta {
            pass: Some("pass".into()),
            overlap: false,
            received_at: Timestamp::UNIX_EPOCH,
            delivery: None,
        };
        batch.push(&Change::upsert("orders", record.clone()), meta).expect("a row");
    }
    batch
}

fn steps(criterion: &mut Criterion) {
    let body = page();
    let records = Record::split(&body, "data").expect("records");
    let spec = Arc::new(TableSpec::object(&ORDERS).expect("a table"));
    let mut group = criterion.benchmark_group("objects");
    group.throughput(Throughput::Elements(ROWS)).sample_size(30);
    group.bench_function("find the records of a page", |bench| {
        bench.iter(|| Record::split(&body, "data").expect("records"));
    });
    group.bench_function("flatten a page", |bench| bench.iter(|| batch(&spec, &records)));

    let folder = tempfile::tempdir().expect("a folder");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let warehouse = SqliteWarehouse::open(folder.path()).expect("a warehouse");
    let schema = runtime.block_on(warehouse.schema("shop")).expect("a schema");
    let mut loads = 0;
    // The first commit inserts, the others update.
    group.bench_function("commit a page into SQLite", |bench| {
        bench.iter_batched(
            || {
                loads += 1;
                let batches = vec![batch(&spec, &records)];
                Load {
                    id: format!("load {loads}"),
                    began: Some(Timestamp::now()),
                    batches,
                    ..Load::default()
                }
            },
            |load| runtime.block_on(schema.commit(load)).expect("a commit"),
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

mod groups {
    criterion::criterion_group!(benches, super::steps);
}

criterion_main!(groups::benches);
