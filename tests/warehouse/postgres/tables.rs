//! What users do to tables, and what their types cannot hold: views, constraints, altered columns.

use headwater::warehouse::{
    Load,
    table::{Batch, Cell, Meta, TableSpec, real},
};
use headwater_core::{
    error::Kind,
    object::{Change, Collection, Op, Version},
    record::Record,
};
use jiff::Timestamp;
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::{Map, Value, json};

use super::{database, one, world};
use crate::{
    laws::{done, same},
    sqlite,
    world::{Draft, SCHEMA, World, table},
};

/// Whatever happens to few keys, in batches of any size: both warehouses have the same rows and count the same.
pub fn agrees_with_sqlite() -> Result<(), String> {
    let database = database();
    let (postgres, sqlite) = (world(&database), World::new(sqlite::stand(), None));
    for seed in 0..30 {
        let mut random = StdRng::seed_from_u64(seed);
        let t = table(&format!("agree_{seed}"));
        let mut number = 0;
        for load in 0..6 {
            let mut batch = Batch::new(done(TableSpec::object(&t))?.into());
            for _ in 0..random.random_range(1..20) {
                number += 1;
                let id = random.random_range(0..4).to_string();
                let mut record = json!({ "id": id, "v": number, "_headwater_x": {"a": number} });
                let member = format!("m{}", random.random_range(0..3));
                record[&member] = if random.random_bool(0.2) { Value::Null } else { json!(number) };
                let op = [Op::Upsert, Op::Patch, Op::Patch, Op::Delete][random.random_range(0..4)];
                let change = Change::upsert("", done(Record::new(&record))?)
                    .op(op)
                    .version(Some(Version(random.random_range(0..12))));
                let pass = random.random_bool(0.5).then(|| format!("pass {load}").into());
                let meta = Meta {
                    pass,
                    overlap: random.random_bool(0.3),
                    received_at: Timestamp::UNIX_EPOCH,
                    delivery: None,
                };
                batch.push(&change, meta).map_err(|reject| reject.reason)?;
            }
            let load = || Load { id: format!("load {seed} {load}"), ..Load::default() };
            // A batch is no value that can be copied: both are made of the same rows.
            let again = copy_of(&t, &batch)?;
            let told = done(postgres.load(Load { batches: vec![batch], ..load() }))?;
            let wanted = done(sqlite.load(Load { batches: vec![again], ..load() }))?;
            same!(told, wanted, "counts of load {} of seed {seed}", number);
            same!(rows(&postgres, &t), rows(&sqlite, &t), "rows of seed {seed}");
        }
    }
    Ok(())
}

fn copy_of(collection: &Collection, batch: &Batch) -> Result<Batch, String> {
    let mut copy = Batch::new(done(TableSpec::object(collection))?.into());
    for row in batch.rows() {
        let mut record: Value =
            serde_json::from_str(&row.json(batch.columns())).map_err(|e| e.to_string())?;
        // A null is given, too.
        for (place, cell) in &row.cells {
            if *cell == Cell::Null {
                record[&batch.columns()[*place as usize].name] = Value::Null;
            }
        }
        let change =
            Change::upsert("", done(Record::new(&record))?).op(row.op).version(row.version.map(Version));
        copy.push(&change, row.meta.clone()).map_err(|reject| reject.reason)?;
    }
    Ok(copy)
}

fn rows(world: &World, collection: &Collection) -> Vec<Map<String, Value>> {
    let mut rows = world.rows(collection);
    for row in &mut rows {
        row.remove("uuid_ts");
        row.retain(|_, value| !value.is_null());
    }
    rows
}

/// A view keeps a column from widening: what does not fit is in `_headwater_extra`, and what a user is told to run works.
pub fn a_column_under_a_view() -> Result<(), String> {
    let database = database();
    let world = world(&database);
    let t = table("bound");
    done(world.commit(&t, Draft::rows(&[json!({"id": "1", "v": 1, "w": 1})])))?;
    database.run(&format!("CREATE VIEW {SCHEMA}.seen AS SELECT v FROM {SCHEMA}.bound"));
    let told = done(world.commit(&t, Draft::rows(&[json!({"id": "2", "v": "two", "w": "two", "x": 3})])))?;
    let notice =
        told.notices.iter().find(|notice| notice.contains("ALTER TABLE")).ok_or("nobody was told")?;
    let row = &world.rows(&t)[1];
    same!((&row["v"], &row["w"], &row["x"]), (&Value::Null, &json!("two"), &json!(3)), "the row");
    same!(row["_headwater_extra"], json!(r#"{"v":"two"}"#), "_headwater_extra");
    // It is said once, and the column goes on as it was.
    let told = done(world.commit(&t, Draft::rows(&[json!({"id": "3", "v": 3})])))?;
    same!(told.notices, Vec::<String>::new(), "notices");
    let sql = notice.split("run ").nth(1).ok_or("no statement")?;
    database.run(&format!("DROP VIEW {SCHEMA}.seen; {sql}"));
    done(world.commit(&t, Draft::rows(&[json!({"id": "4", "v": "four"}), json!({"id": "5", "v": 5})])))?;
    let found: Vec<Value> = world.rows(&t).iter().map(|row| row["v"].clone()).collect();
    same!(found, [json!("1"), Value::Null, json!("3"), json!("four"), json!("5")], "the column");
    Ok(())
}

/// A user's constraint costs the rows that violate it and no other, new or changed, also where a batch changes them twice.
pub fn a_check_of_the_users() -> Result<(), String> {
    let database = database();
    let world = world(&database);
    let t = table("checked");
    let all = |v: i64| (0..200).map(|id| json!({"id": format!("{id:03}"), "v": v})).collect::<Vec<_>>();
    done(world.commit(&t, Draft::rows(&all(1)[..100])))?;
    database.run(&format!("ALTER TABLE {SCHEMA}.checked ADD CONSTRAINT positive CHECK (v > 0)"));
    let mut records = all(2);
    for bad in [3, 50, 51, 150, 199] {
        records[bad]["v"] = json!(-1);
    }
    records.push(json!({"id": "010", "v": -2}));
    records.push(json!({"id": "011", "v": 3}));
    let told = done(world.commit(&t, Draft::rows(&records)))?;
    same!((told.inserted, told.updated, told.rejected), (98, 98, 6), "counts");
    let values = world.cells(&t, &["id", "v"]);
    same!(values.len(), 198, "rows");
    for row in values {
        let (Cell::Text(id), v) = (&row[0], &row[1]) else { return Err("no id".into()) };
        let wanted = match id.as_str() {
            "003" | "050" | "051" => 1,
            "011" => 3,
            _ => 2,
        };
        same!(*v, Cell::Int(wanted), "row {id}");
    }
    let reasons =
        one(&database, &format!("SELECT string_agg(DISTINCT reason, ';') FROM {SCHEMA}._headwater_rejects"));
    same!(reasons.contains("positive"), true, "{reasons}");
    Ok(())
}

/// Columns and tables that users drop, add or alter: nothing stands still, and nothing is lost.
pub fn what_users_alter() -> Result<(), String> {
    let database = database();
    let world = world(&database);
    let t = table("altered");
    let row = |id: &str| json!({"id": id, "dropped": 1, "altered": 1, "foreign": 1});
    done(world.commit(&t, Draft::rows(&[row("1")])))?;
    database.run(&format!(
        "ALTER TABLE {SCHEMA}.altered DROP COLUMN dropped, ADD COLUMN mine int DEFAULT 7, ADD COLUMN late text DEFAULT 'x',
            ALTER COLUMN altered TYPE numeric, ALTER COLUMN \"foreign\" TYPE jsonb USING to_jsonb(\"foreign\")"
    ));
    let mut second = row("2");
    second["late"] = json!(9);
    done(world.commit(&t, Draft::rows(&[second, row("1")])))?;
    let rows = world.rows(&t);
    same!((&rows[1]["dropped"], &rows[1]["altered"]), (&json!(1), &json!(1)), "dropped and altered");
    same!(
        (&rows[0]["mine"], &rows[1]["mine"], &rows[1]["late"]),
        (&json!(7), &json!(7), &json!("x")),
        "the user's own"
    );
    same!(rows[1].iter().any(|(name, value)| name.starts_with("late_") && *value == json!(9)), true, "apart");
    same!(rows[1]["_headwater_extra"], json!(r#"{"foreign":1}"#), "a type that is not ours");
    database.run(&format!("DROP TABLE {SCHEMA}.altered"));
    done(world.commit(&t, Draft::rows(&[row("3")])))?;
    same!(world.cells(&t, &["id", "foreign"]), vec![vec!["3".into(), Cell::Int(1)]], "a table made again");
    database.run(&format!(
        "CREATE TABLE {SCHEMA}.theirs (id text); CREATE VIEW {SCHEMA}.shown AS SELECT 1 AS id"
    ));
    for (name, kind) in [("theirs", "table"), ("shown", "view")] {
        let error = world.commit(&table(name), Draft::rows(&[row("1")])).err().ok_or("no error")?;
        let text = error.to_string();
        same!(error.kind(), Kind::Config, "{text}");
        same!(
            text.contains(&format!("a {kind} {SCHEMA}.{name} that Headwater did not make")),
            true,
            "{text}"
        );
    }
    database.run(&format!("DROP SCHEMA {SCHEMA} CASCADE"));
    done(world.commit(&t, Draft::rows(&[row("4")])))?;
    same!(world.cells(&t, &["id"]), vec![vec!["4".into()]], "a schema made again");
    Ok(())
}

/// What a type cannot hold is in `_headwater_extra`, digit by digit, and somebody is told.
pub fn values_that_do_not_fit() -> Result<(), String> {
    let world = world(&database());
    let t = Collection { fields: "id text, n numeric, at time, day date", ..table("unfit") };
    let told = done(world.commit(
        &t,
        Draft::raw(
            r#"{"id":"1","n":1e200000,"at":"0000-05-06T12:00:00Z","day":"0000-01-01","ns":"2024-05-06T12:00:00.123456789Z"}"#,
        ),
    ))?;
    let row = &world.rows(&t)[0];
    same!((&row["n"], &row["at"], &row["day"]), (&Value::Null, &Value::Null, &Value::Null), "columns");
    same!(row["ns"], json!("2024-05-06T12:00:00.123456Z"), "nanoseconds");
    let extra: Value =
        serde_json::from_str(row["_headwater_extra"].as_str().unwrap_or("")).map_err(|e| e.to_string())?;
    let wanted = json!({"n": "1e200000", "at": "0000-05-06T12:00:00.000000Z", "day": "0000-01-01", "ns": "2024-05-06T12:00:00.123456789Z"});
    same!(extra, wanted, "_headwater_extra");
    same!(told.notices.len(), 1, "{:?}", told.notices);
    // Of its kind, so that it cannot be compressed.
    let long: String = StdRng::seed_from_u64(3)
        .sample_iter(rand::distr::Alphanumeric)
        .take(20_000)
        .map(char::from)
        .collect();
    let told = done(world.commit(&t, Draft::rows(&[json!({"id": long}), json!({"id": "2"})])))?;
    same!((told.inserted, told.rejected), (1, 1), "a key that no index takes");
    Ok(())
}

/// A column of floats that becomes text has in it what the embedded warehouse would have.
pub fn floats_become_text() -> Result<(), String> {
    let world = world(&database());
    let t = table("floats");
    let mut random = StdRng::seed_from_u64(7);
    let mut numbers = vec![
        0.5,
        -0.0,
        1.0,
        1e15,
        1.5e15,
        9007199254740991.5,
        1e16,
        1.25e16,
        1e-4,
        1e-5,
        1.5e-5,
        1e-6,
        1e-7,
        1e22,
        1e300,
        f64::MAX,
        5e-324,
    ];
    for _ in 0..300 {
        let number = f64::from_bits(random.random());
        numbers.extend(number.is_finite().then_some(number));
        numbers.push(random.random_range(-1e6..1e6));
    }
    let raw: Vec<String> =
        numbers.iter().enumerate().map(|(id, n)| format!(r#"{{"id":"{id:04}","v":{}}}"#, real(*n))).collect();
    for some in &raw {
        done(world.commit(&t, Draft::raw(some)))?;
    }
    let before = world.cells(&t, &["v"]);
    done(world.commit(&t, Draft::rows(&[json!({"id": "x", "v": "text"})])))?;
    let after = world.cells(&t, &["v"]);
    for ((number, before), after) in numbers.iter().zip(before).zip(after) {
        same!(before, vec![Cell::Real(*number)], "the float");
        same!(after, vec![Cell::Text(real(*number))], "its text");
    }
    Ok(())
}

/// A row that is too wide for a page has its last values in `_headwater_extra`.
pub fn wide_rows() -> Result<(), String> {
    let world = world(&database());
    let t = table("wide");
    let mut record: Map<String, Value> =
        (0..900).map(|at| (format!("m{at:03}"), json!(format!("{at:050}")))).collect();
    record.insert("id".into(), json!("1"));
    for _ in 0..2 {
        let told = done(
            world.commit(&t, Draft::rows(&[Value::Object(record.clone()), json!({"id": "2", "m000": "x"})])),
        )?;
        same!((told.rejected, told.inserted + told.updated), (0, 2), "counts");
        let row = &world.rows(&t)[0];
        let extra: Value = serde_json::from_str(row["_headwater_extra"].as_str().unwrap_or(""))
            .map_err(|e| e.to_string())?;
        for (name, value) in &record {
            let found = row.get(name).filter(|value| !value.is_null()).or_else(|| extra.get(name));
            same!(found, Some(value), "{name}");
        }
    }
    Ok(())
}
