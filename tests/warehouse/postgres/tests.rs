//! What only a server can do to a warehouse: views over its columns, constraints, lost connections, a second writer.

use std::{
    path::Path,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use headwater::warehouse::{
    Committed, Load, Warehouse,
    postgres::{PostgresSettings, PostgresWarehouse, SslMode},
    query::{Format, Place, query},
    table::{Batch, Cell, Meta, TableSpec, real},
};
use headwater_core::{
    auth::Secret,
    error::{Error, Kind},
    object::{Change, Collection, Op, Version},
    record::Record,
};
use headwater_tests::postgres::{Database, Server};
use jiff::Timestamp;
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::{Map, Value, json};

use super::{settings, stand_in};
use crate::{
    laws::{done, same},
    sqlite,
    world::{Draft, SCHEMA, World, table},
};

/// What is tried.
type Test = fn() -> Result<(), String>;

/// Every test, by name.
pub const TESTS: &[(&str, Test)] = &[
    ("agrees_with_sqlite", agrees_with_sqlite),
    ("a_column_under_a_view", a_column_under_a_view),
    ("a_check_of_the_users", a_check_of_the_users),
    ("what_users_alter", what_users_alter),
    ("values_that_do_not_fit", values_that_do_not_fit),
    ("floats_become_text", floats_become_text),
    ("wide_rows", wide_rows),
    ("killed_connections", killed_connections),
    ("a_server_that_goes_away", a_server_that_goes_away),
    ("a_second_writer", a_second_writer),
    ("a_reader_while_tables_grow", a_reader_while_tables_grow),
    ("encryption", encryption),
    ("errors_say_what_to_do", errors_say_what_to_do),
    ("questions", questions),
];

fn database() -> Arc<Database> {
    Arc::new(Server::shared().database())
}

fn world(database: &Arc<Database>) -> World {
    World::new(stand_in(database), None)
}

/// A database's only answer.
fn one(database: &Database, sql: &str) -> String {
    database.run(sql).into_iter().flatten().flatten().next().unwrap_or_default()
}

/// Whatever happens to few keys, in batches of any size: both warehouses have the same rows and count the same.
fn agrees_with_sqlite() -> Result<(), String> {
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
fn a_column_under_a_view() -> Result<(), String> {
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
fn a_check_of_the_users() -> Result<(), String> {
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
fn what_users_alter() -> Result<(), String> {
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
fn values_that_do_not_fit() -> Result<(), String> {
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
fn floats_become_text() -> Result<(), String> {
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
fn wide_rows() -> Result<(), String> {
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

/// Connections are killed while loads are on their way: each load is applied once, and the counts add up.
fn killed_connections() -> Result<(), String> {
    let database = database();
    let world = world(&database);
    let t = table("killed");
    let stop = Arc::new(AtomicBool::new(false));
    let killer = std::thread::spawn({
        let (stop, database) = (stop.clone(), database.clone());
        move || {
            let mut random = StdRng::seed_from_u64(1);
            while !stop.load(Ordering::Relaxed) {
                database.run(
                    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                     WHERE datname = current_database() AND application_name = 'headwater'",
                );
                std::thread::sleep(Duration::from_millis(random.random_range(20..120)));
            }
        }
    });
    let mut all = Committed::default();
    let tried = (0..60).try_for_each(|load| {
        let records: Vec<Value> =
            (0..50).map(|id| json!({"id": format!("{}", load * 40 + id), "v": load})).collect();
        let progress = vec![("killed".to_owned(), json!(load))];
        let told = world.commit(&t, Draft { progress, ..Draft::rows(&records) })?;
        all.inserted += told.inserted;
        all.updated += told.updated;
        Ok::<_, Error>(())
    });
    stop.store(true, Ordering::Relaxed);
    killer.join().map_err(|_| "the killer panicked")?;
    done(tried)?;
    same!((all.inserted, all.updated), (60 * 40 + 10, 59 * 10), "counts");
    same!(one(&database, &format!("SELECT count(*) FROM {SCHEMA}.killed")), "2410", "rows");
    same!(one(&database, &format!("SELECT count(*) FROM {SCHEMA}._headwater_loads")), "60", "loads");
    same!(world.progress()["killed"], json!(59), "progress");
    Ok(())
}

/// A server that is stopped, or crashes, and comes back after a while: commits wait for it.
fn a_server_that_goes_away() -> Result<(), String> {
    // With fsync, as it has to be for a crash to lose nothing.
    let server = Server::start(&[]);
    let database = Arc::new(server.database());
    let world = world(&database);
    let t = table("away");
    for (round, stop) in [Server::stop, Server::crash].into_iter().enumerate() {
        done(world.commit(&t, Draft::rows(&[json!({"id": format!("before {round}")})])))?;
        stop(&server);
        let back = std::thread::spawn({
            let server = server.clone();
            move || {
                std::thread::sleep(Duration::from_secs(2));
                server.resume()
            }
        });
        done(world.commit(&t, Draft::rows(&[json!({"id": format!("after {round}")})])))?;
        same!(back.join().unwrap_or(false), true, "the server is back");
    }
    same!(world.cells(&t, &["id"]).len(), 4, "rows");
    Ok(())
}

/// Two programs do not write one schema: the second is told who does, and has it when the first has ended.
fn a_second_writer() -> Result<(), String> {
    let database = database();
    let first = world(&database);
    let t = table("alone");
    done(first.commit(&t, Draft::rows(&[json!({"id": "1"})])))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let second = done(PostgresWarehouse::new(&settings(&database.url)))?;
    let error = runtime.block_on(second.schema(SCHEMA)).err().ok_or("two writers")?;
    let text = error.to_string();
    same!((error.kind(), text.contains("another Headwater (process ")), (Kind::Transient, true), "{text}");
    // Another schema is nobody's.
    done(runtime.block_on(second.schema("other")).map(drop))?;
    // The first has lost its lock, and the second comes before it has noticed.
    database.run(
        "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND classid = 1213683538",
    );
    let opened = runtime.block_on(async {
        let end = Instant::now() + Duration::from_secs(5);
        loop {
            match second.schema(SCHEMA).await {
                Ok(_) => break Ok(()),
                Err(error) if Instant::now() > end => break Err(error.to_string()),
                Err(_) => {}
            }
        }
    });
    opened?;
    let error = first.commit(&t, Draft::rows(&[json!({"id": "2"})])).err().ok_or("two writers")?;
    same!(error.to_string().contains("another Headwater"), true, "{error}");
    drop((second, runtime));
    done(first.commit(&t, Draft::rows(&[json!({"id": "3"})])))?;
    same!(first.cells(&t, &["id"]).len(), 2, "rows");
    Ok(())
}

/// A session that holds the table keeps it from growing, not from being loaded; then it grows.
fn a_reader_while_tables_grow() -> Result<(), String> {
    let database = database();
    let world = world(&database);
    let t = table("read");
    done(world.commit(&t, Draft::rows(&[json!({"id": "1", "v": 1})])))?;
    let reader = std::thread::spawn({
        let database = database.clone();
        move || database.run(&format!("BEGIN; SELECT * FROM {SCHEMA}.read; SELECT pg_sleep(3); COMMIT"))
    });
    std::thread::sleep(Duration::from_millis(500));
    let began = Instant::now();
    done(world.commit(&t, Draft::rows(&[json!({"id": "2", "v": 2})])))?;
    same!(began.elapsed() < Duration::from_secs(2), true, "loaded beside the reader");
    done(world.commit(&t, Draft::rows(&[json!({"id": "3", "v": "three", "new": 1})])))?;
    reader.join().map_err(|_| "the reader panicked")?;
    let found = world.cells(&t, &["v", "new"]);
    let wanted: Vec<Vec<Cell>> =
        vec![vec!["1".into(), Cell::Null], vec!["2".into(), Cell::Null], vec!["three".into(), Cell::Int(1)]];
    same!(found, wanted, "rows");
    Ok(())
}

fn open(settings: &PostgresSettings) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async { PostgresWarehouse::new(settings)?.schema("opened").await.map(drop) })
}

/// A new certificate for `localhost` that is signed by itself, in `place.crt`, and its key.
fn certificate(place: &Path) -> Result<(String, String), String> {
    let (certificate, key) = (place.with_extension("crt"), place.with_extension("key"));
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "2",
        ])
        .args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout"])
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .stderr(Stdio::null())
        .status();
    same!(made.is_ok_and(|status| status.success()), true, "openssl");
    let read = |path| std::fs::read_to_string(path).map_err(|error| error.to_string());
    Ok((read(certificate)?, read(key)?))
}

/// A certificate that nobody vouches for is enough for `require`, not for `verify-full`, unless it is named.
fn encryption() -> Result<(), String> {
    let server = Server::start(&["fsync = off"]);
    let database = server.database();
    let with = |mode: SslMode, host: &str| {
        let url = database.url.replace("127.0.0.1", host);
        PostgresSettings { sslmode: Some(mode), ..settings(&url) }
    };
    done(open(&with(SslMode::Prefer, "127.0.0.1")))?;
    let error = open(&with(SslMode::Require, "127.0.0.1")).err().ok_or("not encrypted")?.to_string();
    same!(error.contains("does not encrypt"), true, "{error}");
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let file = |name: &str| folder.path().join(name);
    let (certificate, key) = certificate(&file("root"))?;
    self::certificate(&file("other"))?;
    server.write("server.crt", &certificate, 0o644);
    server.write("server.key", &key, 0o600);
    server.stop();
    server.configure(&["fsync = off", "ssl = on"]);
    same!(server.resume(), true, "{}", server.log());
    let encrypted = |settings: PostgresSettings| -> Result<bool, String> {
        let mut out = Vec::new();
        let sql = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
        done(query(Place::Postgres(&settings), sql, Format::Csv, &mut out))?;
        Ok(String::from_utf8_lossy(&out).contains("true"))
    };
    for (mode, wanted) in [(SslMode::Disable, false), (SslMode::Prefer, true), (SslMode::Require, true)] {
        same!(encrypted(with(mode, "127.0.0.1"))?, wanted, "{mode:?}");
    }
    let root = |name: &str, settings: PostgresSettings| PostgresSettings {
        sslrootcert: Some(file(name)),
        ..settings
    };
    for settings in [
        with(SslMode::VerifyFull, "localhost"),
        with(SslMode::VerifyCa, "localhost"),
        root("other.crt", with(SslMode::VerifyFull, "localhost")),
        root("other.crt", with(SslMode::Require, "localhost")),
        root("root.crt", with(SslMode::VerifyFull, "127.0.0.1")),
    ] {
        let error = open(&settings).err().ok_or_else(|| format!("{settings:?} was believed"))?;
        same!((error.kind(), error.to_string().contains("sslrootcert")), (Kind::Config, true), "{error}");
    }
    for settings in [
        root("root.crt", with(SslMode::VerifyFull, "localhost")),
        root("root.crt", with(SslMode::VerifyCa, "127.0.0.1")),
    ] {
        same!(encrypted(settings)?, true, "proven");
    }
    Ok(())
}

/// Whatever is wrong with the place, one line says what to do.
fn errors_say_what_to_do() -> Result<(), String> {
    let server = Server::shared();
    let database = server.database();
    let change = |from: &str, to: &str| settings(&database.url.replace(from, to));
    let name = &database.name;
    database.run("SELECT 1");
    server.run_as_superuser(name, &format!("REVOKE ALL ON DATABASE {name} FROM PUBLIC; ALTER DATABASE {name} OWNER TO postgres; GRANT CONNECT ON DATABASE {name} TO headwater"));
    let port = server.port().to_string();
    for (settings, kind, words) in [
        (change("a%20secret", "wrong"), Kind::Auth, "refuses the password"),
        (change(&format!("/{name}"), "/nowhere"), Kind::Config, "create it, or correct dbname"),
        (change(&port, "1"), Kind::Transient, "refuses connections"),
        (change("127.0.0.1", "no-such-host.invalid"), Kind::Transient, "does not answer"),
        (change(":a%20secret%2C%20with%20%24igns", ""), Kind::Auth, "wants a password"),
        (settings(&database.url), Kind::Config, "GRANT CREATE"),
    ] {
        let error = open(&settings).err().ok_or_else(|| format!("{words}: no error"))?;
        let text = error.to_string();
        same!((error.kind(), text.contains(words)), (kind, true), "{text}");
        same!(text.contains('\n') || text.contains("secret"), false, "{text}");
    }
    server.run_as_superuser(name, &format!("GRANT ALL ON DATABASE {name} TO headwater; ALTER DATABASE {name} SET default_transaction_read_only = on"));
    let error = open(&settings(&database.url)).err().ok_or("read-only")?.to_string();
    same!(error.contains("only reads"), true, "{error}");
    for schema in ["pg_mine", "information_schema"] {
        let warehouse = done(PostgresWarehouse::new(&settings(&database.url)))?;
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())?;
        let error = runtime.block_on(warehouse.schema(schema)).err().ok_or("a reserved schema")?;
        same!(error.kind(), Kind::Config, "{error}");
    }
    Ok(())
}

/// Questions are answered as by the embedded warehouse, and nothing can be changed by one.
fn questions() -> Result<(), String> {
    let database = database();
    let world = world(&database);
    let t = Collection { fields: "id text, at time", ..table("charges") };
    let records = [
        json!({"id": "1", "note": "a,\"b\"\nc", "ok": true, "at": "2024-05-06T12:00:00Z"}),
        json!({"id": "2", "amount": 1.5}),
    ];
    done(world.commit(&t, Draft::rows(&records)))?;
    let settings: PostgresSettings =
        PostgresSettings { url: Some(Secret::new(database.url.as_str())), ..PostgresSettings::default() };
    let ask = |sql: &str, format: Format| {
        let mut out = Vec::new();
        query(Place::Postgres(&settings), sql, format, &mut out)
            .map(|_| String::from_utf8_lossy(&out).into_owned())
            .map_err(|error| error.to_string())
    };
    let sql = "SELECT id, note, amount, ok, at FROM source.charges ORDER BY id";
    same!(
        ask(sql, Format::Csv)?,
        "id,note,amount,ok,at\r\n1,\"a,\"\"b\"\"\nc\",,true,2024-05-06T12:00:00.000000Z\r\n2,,1.5,,\r\n",
        "csv"
    );
    same!(
        ask(sql, Format::Jsonl)?,
        "{\"id\":\"1\",\"note\":\"a,\\\"b\\\"\\nc\",\"amount\":null,\"ok\":true,\"at\":\"2024-05-06T12:00:00.000000Z\"}\n\
         {\"id\":\"2\",\"note\":null,\"amount\":1.5,\"ok\":null,\"at\":null}\n",
        "jsonl"
    );
    same!(
        ask("SELECT id, amount FROM source.charges ORDER BY 1", Format::Table)?,
        "id  amount\n--  ------\n1\n2   1.5\n",
        "table"
    );
    for sql in [
        "DELETE FROM source.charges",
        "DELETE FROM source.charges RETURNING id",
        "WITH gone AS (DELETE FROM source.charges RETURNING id) SELECT id FROM gone",
        "COMMIT; DELETE FROM source.charges",
        "SELECT 1; DELETE FROM source.charges",
        "COPY source.charges TO PROGRAM 'true'",
        "CREATE TABLE source.t (a int)",
        "SET default_transaction_read_only = off",
        "COMMIT",
        "",
    ] {
        same!(ask(sql, Format::Csv).is_err(), true, "{sql}");
    }
    same!(ask("SELECT count(*) AS n FROM source.charges", Format::Csv)?, "n\r\n2\r\n", "rows");
    let wrong = |sql: &str| ask(sql, Format::Csv).err().unwrap_or_default();
    same!(
        wrong("SELECT * FROM source.charge").contains("write schema.table"),
        true,
        "{}",
        wrong("SELECT * FROM source.charge")
    );
    same!(wrong("SELEC 1").contains("syntax error"), true, "{}", wrong("SELEC 1"));
    Ok(())
}
