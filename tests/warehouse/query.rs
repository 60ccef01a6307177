//! `headwater query` reads, and does nothing else.

use std::path::Path;

use headwater::warehouse::{
    Load, Warehouse,
    query::{Format, query},
    sqlite::SqliteWarehouse,
    table::{Batch, Meta, TableSpec},
};
use headwater_core::{
    object::{Change, Collection},
    record::Record,
};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::laws::{done, same};

/// What is tried in an empty folder.
type Test = fn(&Path) -> Result<(), String>;

/// Every test, by name.
pub const TESTS: &[(&str, Test)] = &[
    ("formats", formats),
    ("reads_beside_the_writer_and_without_one", beside),
    ("changes_nothing", changes_nothing),
    ("mistakes_are_explained", mistakes),
    ("damage_is_explained", damage),
];

fn fill(warehouse: &SqliteWarehouse, schema: &str, records: &[Value]) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().map_err(|error| error.to_string())?;
    let collection = Collection { name: "charges", fields: "id text", ..Collection::DEFAULT };
    let mut batch = Batch::new(done(TableSpec::object(&collection))?.into());
    for record in records {
        let change = Change::upsert("charges", done(Record::new(record))?);
        let meta = Meta { pass: None, overlap: false, received_at: Timestamp::UNIX_EPOCH, delivery: None };
        batch.push(&change, meta).map_err(|reject| reject.reason)?;
    }
    let load = Load { id: "load".into(), batches: vec![batch], ..Load::default() };
    done(runtime.block_on(async { warehouse.schema(schema).await?.commit(load).await })).map(drop)
}

fn ask(folder: &Path, sql: &str, format: Format) -> Result<String, String> {
    let mut out = Vec::new();
    done(query(folder, sql, format, &mut out))?;
    String::from_utf8(out).map_err(|error| error.to_string())
}

fn two_rows(folder: &Path) -> Result<SqliteWarehouse, String> {
    let warehouse = done(SqliteWarehouse::open(folder))?;
    fill(&warehouse, "shop", &[json!({"id": "1", "note": "a,\"b\"\nc"}), json!({"id": "2", "amount": 1.5})])?;
    Ok(warehouse)
}

fn formats(folder: &Path) -> Result<(), String> {
    let _writer = two_rows(folder)?;
    let sql = "SELECT id, note, amount FROM shop.charges ORDER BY id";
    same!(ask(folder, sql, Format::Csv)?, "id,note,amount\r\n1,\"a,\"\"b\"\"\nc\",\r\n2,,1.5\r\n", "csv");
    let jsonl = "{\"id\":\"1\",\"note\":\"a,\\\"b\\\"\\nc\",\"amount\":null}\n{\"id\":\"2\",\"note\":null,\"amount\":1.5}\n";
    same!(ask(folder, sql, Format::Jsonl)?, jsonl, "jsonl");
    let table = "id  note     amount\n--  -------  ------\n1   a,\"b\" c\n2            1.5\n";
    same!(ask(folder, sql, Format::Table)?, table, "table");
    Ok(())
}

fn beside(folder: &Path) -> Result<(), String> {
    let writer = two_rows(folder)?;
    let count = "SELECT count(*) FROM shop.charges";
    same!(ask(folder, count, Format::Csv)?, "count(*)\r\n2\r\n", "beside the writer");
    drop(writer);
    same!(ask(folder, count, Format::Csv)?, "count(*)\r\n2\r\n", "without a writer");
    Ok(())
}

fn changes_nothing(folder: &Path) -> Result<(), String> {
    let _writer = two_rows(folder)?;
    let target = folder.join("stolen.db");
    let attach = format!("ATTACH '{}' AS shop2", target.display());
    for sql in [
        "DELETE FROM shop.charges",
        "UPDATE shop.charges SET id = '3'",
        "INSERT INTO shop.charges (id) VALUES ('3')",
        "CREATE TABLE t (a)",
        "DROP TABLE shop.charges",
        "PRAGMA shop.journal_mode = DELETE",
        "PRAGMA query_only = 0",
        "VACUUM shop INTO 'stolen.db'",
        "SELECT load_extension('x')",
        "BEGIN",
        "DETACH shop",
        &attach,
        "SELECT 1 FROM shop.charges; DELETE FROM shop.charges",
    ] {
        same!(ask(folder, sql, Format::Csv).is_err(), true, "{sql}");
    }
    same!(target.exists(), false, "a file was written");
    same!(ask(folder, "SELECT count(*) FROM shop.charges", Format::Csv)?, "count(*)\r\n2\r\n", "rows");
    let with = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3) SELECT max(i) AS m FROM n, shop.charges";
    same!(ask(folder, with, Format::Csv)?, "m\r\n3\r\n", "reading of every kind");
    Ok(())
}

const NOTHING: &str = "SELECT missing_one FROM shop.charges";

fn mistakes(folder: &Path) -> Result<(), String> {
    let warehouse = two_rows(folder)?;
    let wrong = |sql: &str| ask(folder, sql, Format::Csv).err().unwrap_or_default();
    for sql in ["SELECT * FROM charges", "SELECT * FROM shop.charge", "SELECT * FROM shopp.charges"] {
        same!(wrong(sql).contains("shop.charges"), true, "{sql}: {}", wrong(sql));
    }
    same!(wrong(NOTHING).contains("no such column"), true, "{}", wrong(NOTHING));
    same!(wrong("SELEC 1").contains("syntax error"), true, "{}", wrong("SELEC 1"));
    same!(wrong("").contains("SELECT"), true, "{}", wrong(""));
    for number in 0..11 {
        fill(&warehouse, &format!("s{number}"), &[json!({"id": "1"})])?;
    }
    let many: Vec<String> = (0..11).map(|number| format!("SELECT id FROM s{number}.charges")).collect();
    same!(ask(folder, &many[..10].join(" UNION ALL "), Format::Csv)?.lines().count(), 11, "ten schemas");
    same!(
        wrong(&many.join(" UNION ALL ")).contains("at most 10"),
        true,
        "{}",
        wrong(&many.join(" UNION ALL "))
    );
    let empty = folder.join("empty");
    same!(ask(&empty, "SELECT * FROM shop.charges", Format::Csv).is_err(), true, "no folder");
    Ok(())
}

fn damage(folder: &Path) -> Result<(), String> {
    let warehouse = done(SqliteWarehouse::open(folder))?;
    std::fs::write(
        warehouse.file("broken"),
        "this is no database, but it is long enough to be looked at as one",
    )
    .map_err(|error| error.to_string())?;
    let error = fill(&warehouse, "broken", &[]).err().unwrap_or_default();
    same!(error.contains("damaged") && !error.contains('\n'), true, "{error}");
    let error = ask(folder, "SELECT * FROM broken.charges", Format::Csv).err().unwrap_or_default();
    same!(error.contains("broken"), true, "{error}");
    let error = fill(&warehouse, "../escape", &[]).err().unwrap_or_default();
    same!(error.contains("cannot be the name of a schema"), true, "{error}");
    Ok(())
}
