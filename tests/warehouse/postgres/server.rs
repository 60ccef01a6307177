//! What happens between a server and those who use it: lost connections, a second writer, readers, encryption, questions.

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
    Committed, Warehouse,
    postgres::{PostgresSettings, PostgresWarehouse, SslMode},
    query::{Format, Place, query},
    table::Cell,
};
use headwater_core::{
    error::{Error, Kind},
    object::Collection,
};
use headwater_tests::postgres::Server;
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};

use super::{database, one, settings, world};
use crate::{
    laws::{done, same},
    world::{Draft, SCHEMA, table},
};

/// Connections are killed while loads are on their way: each load is applied once, and the counts add up.
pub fn killed_connections() -> Result<(), String> {
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
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                     WHERE datname = current_database() AND application_name = 'headwater' ORDER BY random() LIMIT 1",
                );
                // Now and then there is time for a whole load, on a busy machine too.
                std::thread::sleep(Duration::from_millis(random.random_range(20..600)));
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
pub fn a_server_that_goes_away() -> Result<(), String> {
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
pub fn a_second_writer() -> Result<(), String> {
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
pub fn a_reader_while_tables_grow() -> Result<(), String> {
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
pub fn encryption() -> Result<(), String> {
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
pub fn errors_say_what_to_do() -> Result<(), String> {
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
pub fn questions() -> Result<(), String> {
    let database = database();
    let world = world(&database);
    let t = Collection { fields: "id text, at time", ..table("charges") };
    let records = [
        json!({"id": "1", "note": "a,\"b\"\nc", "ok": true, "at": "2024-05-06T12:00:00Z"}),
        json!({"id": "2", "amount": 1.5}),
    ];
    done(world.commit(&t, Draft::rows(&records)))?;
    let settings = settings(&database.url);
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
