//! A folder that Headwater lives in: its configuration, its processes, its warehouse.

use std::{
    collections::BTreeMap,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use rusqlite::{Connection, OpenFlags, types::Value as Sql};
use serde_json::Value;
use tempfile::TempDir;

use crate::postgres::Database;
pub use crate::process::{Done, Running, Service, binary, until};

/// No command of these tests takes longer.
const PATIENCE: Duration = Duration::from_secs(150);

/// Columns that differ between two runs which are otherwise the same.
const OWN: [&str; 2] = ["received_at", "uuid_ts"];

/// A folder with a configuration, and whatever Headwater leaves in it.
pub struct House {
    folder: TempDir,
    env: BTreeMap<String, String>,
    /// Where its warehouse is, if that is no file of its own.
    database: Option<Database>,
}

impl House {
    /// An empty folder.
    pub fn empty() -> Self {
        Self {
            folder: TempDir::with_prefix("headwater-e2e-").expect("a temporary folder"),
            env: BTreeMap::new(),
            database: None,
        }
    }

    /// A folder with this configuration; the receiver listens on a free port of loopback.
    pub fn new(sources: &str) -> Self {
        let house = Self::empty();
        house.configure(&format!("[receive]\nlisten = \"127.0.0.1:0\"\n{sources}"));
        house
    }

    /// The same, with its warehouse in this database.
    pub fn in_postgres(sources: &str, database: Database) -> Self {
        let warehouse =
            format!("[warehouse]\ntype = \"postgres\"\nurl = \"{}\"\n", database.url.replace('$', "$$"));
        let house = Self::new(&format!("{warehouse}{sources}"));
        Self { database: Some(database), ..house }
    }

    /// Replaces the configuration.
    pub fn configure(&self, text: &str) {
        self.write("headwater.toml", text);
    }

    /// Writes a file beside the configuration.
    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), bytes).expect("the folder can be written to");
    }

    /// A path in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Sets a variable for the commands that follow.
    pub fn set(&mut self, name: &str, value: &str) {
        self.env.insert(name.to_owned(), value.to_owned());
    }

    /// The command, in this folder and with nothing of the user's own.
    pub fn command(&self, args: &[&str]) -> Command {
        self.command_of(binary(), args)
    }

    /// The same, of another program.
    pub fn command_of(&self, program: &Path, args: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(args).current_dir(self.folder.path()).env_clear().envs(&self.env);
        command.env("HOME", self.folder.path()).env("NO_COLOR", "1");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs a command to its end.
    pub fn run(&self, args: &[&str]) -> Done {
        self.run_with(args, b"")
    }

    /// Runs a command that reads `stdin`.
    pub fn run_with(&self, args: &[&str], stdin: &[u8]) -> Done {
        let mut command = self.command(args);
        command.stdin(Stdio::piped());
        let mut running = Running::start(command);
        let mut pipe = running.stdin();
        let stdin = stdin.to_vec();
        // It may end without reading all of it.
        let writer = std::thread::spawn(move || drop(pipe.write_all(&stdin)));
        let done = running.wait(PATIENCE);
        writer.join().expect("the writer of standard input ends");
        done
    }

    /// Starts a command and leaves it running.
    pub fn start(&self, args: &[&str]) -> Running {
        Running::start(self.command(args))
    }

    /// Starts the service and waits until it listens.
    pub fn serve(&self) -> Service {
        self.serve_by(self.command(&["run"]))
    }

    /// The same, started by this command.
    pub fn serve_by(&self, command: Command) -> Service {
        let running = Running::start(command);
        let line = running.wait_for("receiving on ");
        let url = line.split("receiving on ").nth(1).and_then(|rest| rest.split_whitespace().next());
        Service { url: url.expect("it says where it listens").to_owned(), running }
    }

    /// The line that `sources --json` has for a source.
    pub fn source(&self, name: &str) -> Value {
        let all: Value = serde_json::from_str(&self.run(&["sources", "--json"]).success().out).expect("JSON");
        let all = all.as_array().cloned().unwrap_or_default();
        all.into_iter().find(|source| source["name"] == name).expect("the source is listed")
    }

    /// The path of a source's webhook, its key included.
    pub fn webhook(&self, name: &str) -> String {
        let source = self.source(name);
        let url = source["webhooks"][0].as_str().expect("the source takes webhooks");
        let path = url.split_once("/webhooks/").expect("a webhook's address").1;
        format!("/webhooks/{path}")
    }

    /// What a statement reads from one schema of the warehouse; nothing if it is not there yet.
    pub fn rows(&self, schema: &str, sql: &str) -> Vec<Vec<Sql>> {
        match &self.database {
            Some(database) => rows_of(database, schema, sql),
            None => rows(&self.path(&format!("headwater-data/warehouse/{schema}.db")), sql),
        }
    }

    /// One number from one schema of the warehouse; 0 if the table is not there.
    pub fn number(&self, schema: &str, sql: &str) -> i64 {
        match self.rows(schema, sql).first().and_then(|row| row.first()) {
            Some(Sql::Integer(number)) => *number,
            Some(Sql::Text(number)) => number.parse().expect("a number"),
            _ => 0,
        }
    }

    /// Every delivery, item and call has one fate, right now.
    #[track_caller]
    pub fn balances(&self) {
        // A service that has just begun to receive may not answer commands yet.
        let end = Instant::now() + Duration::from_secs(10);
        let done = loop {
            let done = self.run(&["books"]);
            if !done.err.contains("is in use by another headwater process") || Instant::now() > end {
                break done;
            }
            std::thread::sleep(Duration::from_millis(50));
        };
        assert_eq!(done.code, Some(0), "{done:?}");
    }

    /// The counts of the pipeline for a source: by stage and reason.
    pub fn books(&self, source: &str) -> BTreeMap<(String, String), i64> {
        let sql = format!("SELECT stage, reason, n FROM count WHERE source = '{source}'");
        rows(&self.path("headwater-data/books.db"), &sql)
            .into_iter()
            .filter_map(|row| match &row[..] {
                [Sql::Text(stage), Sql::Text(reason), Sql::Integer(n)] => {
                    Some(((stage.clone(), reason.clone()), *n))
                }
                _ => None,
            })
            .collect()
    }

    /// The reasons of rejected items, and the payloads kept with them.
    pub fn rejected(&self) -> Vec<(String, String)> {
        rows(&self.path("headwater-data/books.db"), "SELECT reason, payload FROM rejected ORDER BY id")
            .into_iter()
            .filter_map(|row| match &row[..] {
                [Sql::Text(reason), Sql::Text(payload)] => Some((reason.clone(), payload.clone())),
                _ => None,
            })
            .collect()
    }

    /// Every table of a schema, its rows as sorted text, without what differs from run to run.
    pub fn tables(&self, schema: &str) -> BTreeMap<String, Vec<String>> {
        self.tables_as(schema, |_, value| Some(format!("{value:?}")))
    }

    /// The same, each value written by `write` (column, value), or left out where that says nothing.
    pub fn tables_as(
        &self,
        schema: &str,
        write: impl Fn(&str, &Sql) -> Option<String>,
    ) -> BTreeMap<String, Vec<String>> {
        let names = match &self.database {
            Some(_) => {
                self.rows(schema, &format!("SELECT tablename FROM pg_tables WHERE schemaname = '{schema}'"))
            }
            None => self.rows(schema, "SELECT name FROM sqlite_master WHERE type = 'table'"),
        };
        let names = names.into_iter().filter_map(|row| match row.into_iter().next() {
            Some(Sql::Text(name)) if !name.starts_with("_headwater") && !name.starts_with("sqlite_") => {
                Some(name)
            }
            _ => None,
        });
        names.map(|name| (name.clone(), self.table(schema, &name, &write))).collect()
    }

    fn table(&self, schema: &str, table: &str, write: &impl Fn(&str, &Sql) -> Option<String>) -> Vec<String> {
        let columns = match &self.database {
            Some(_) => format!(
                "SELECT column_name FROM information_schema.columns \
                 WHERE table_schema = '{schema}' AND table_name = '{table}' ORDER BY column_name COLLATE \"C\""
            ),
            None => format!("SELECT name FROM pragma_table_info('{table}') ORDER BY name"),
        };
        let columns = self.rows(schema, &columns);
        let columns: Vec<String> = columns
            .into_iter()
            .filter_map(|row| match row.into_iter().next() {
                Some(Sql::Text(name)) if !OWN.contains(&name.as_str()) && !name.starts_with("_headwater") => {
                    Some(name)
                }
                _ => None,
            })
            .collect();
        let list = columns.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ");
        let mut rows: Vec<String> = self
            .rows(schema, &format!("SELECT {list} FROM \"{table}\""))
            .into_iter()
            .map(|row| {
                // Which columns exist depends on which page came first; what is in them does not.
                let set = row.into_iter().zip(&columns).filter(|(value, _)| *value != Sql::Null);
                let told = set.filter_map(|(value, name)| Some(format!("{name}={}", write(name, &value)?)));
                told.collect::<Vec<_>>().join(" ")
            })
            .collect();
        rows.sort();
        rows
    }
}

/// The rows of a schema in Postgres, every value as text; nothing if the schema or the table is not there yet.
fn rows_of(database: &Database, schema: &str, sql: &str) -> Vec<Vec<Sql>> {
    let found = match database.try_run(&format!("SET search_path TO \"{schema}\"; {sql}")) {
        Ok(found) => found,
        Err(error) if error.contains("does not exist") => return Vec::new(),
        Err(error) => panic!("{sql}: {error}"),
    };
    let values = found.into_iter().map(|row| row.into_iter().map(|value| value.map_or(Sql::Null, Sql::Text)));
    values.map(Iterator::collect).collect()
}

fn rows(file: &Path, sql: &str) -> Vec<Vec<Sql>> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE;
    let Ok(db) = Connection::open_with_flags(file, flags) else { return Vec::new() };
    db.busy_timeout(Duration::from_secs(10)).expect("a time-out");
    let mut statement = match db.prepare(sql) {
        Ok(statement) => statement,
        Err(error) if error.to_string().contains("no such table") => return Vec::new(),
        Err(error) => panic!("{sql}: {error}"),
    };
    let width = statement.column_count();
    let found = statement
        .query_map([], |row| (0..width).map(|place| row.get(place)).collect::<rusqlite::Result<Vec<Sql>>>());
    found.and_then(Iterator::collect).unwrap_or_else(|error| panic!("{sql}: {error}"))
}
