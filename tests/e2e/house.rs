//! A folder that Headwater lives in: its configuration, its processes, its warehouse.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, OnceLock},
    thread::JoinHandle,
    time::{Duration, Instant, SystemTime},
};

use rusqlite::{Connection, OpenFlags, types::Value as Sql};
use serde_json::Value;
use tempfile::TempDir;

use crate::root;

/// No command of these tests takes longer.
const PATIENCE: Duration = Duration::from_secs(150);

/// Columns that differ between two runs which are otherwise the same.
const OWN: [&str; 2] = ["received_at", "uuid_ts"];

/// The program, built if it is not newer than its sources. `HEADWATER_BIN` names another one.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        if let Some(named) = std::env::var_os("HEADWATER_BIN") {
            return named.into();
        }
        let test = std::env::current_exe().expect("this test has a file");
        let folder = test.ancestors().nth(2).expect("tests are built in target/<profile>/deps").to_owned();
        let binary = folder.join(format!("headwater{}", std::env::consts::EXE_SUFFIX));
        if !is_fresh(&binary) {
            let mut build = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
            build.current_dir(root()).args(["build", "--quiet", "-p", "headwater", "--bin", "headwater"]);
            match folder.file_name().and_then(|name| name.to_str()) {
                Some("debug") | None => {}
                Some("release") => drop(build.arg("--release")),
                Some(profile) => drop(build.args(["--profile", profile])),
            }
            let built = build.status().expect("cargo builds the program");
            assert!(built.success(), "the program does not build");
        }
        binary
    })
}

fn is_fresh(binary: &Path) -> bool {
    let Ok(built) = binary.metadata().and_then(|found| found.modified()) else { return false };
    let sources = ["core", "connectors", "runner", "fixtures", "Cargo.toml"];
    sources.iter().all(|name| newest(&root().join(name)) <= built)
}

fn newest(path: &Path) -> SystemTime {
    let own = path.metadata().and_then(|found| found.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
    let inside = std::fs::read_dir(path).into_iter().flatten().flatten().map(|entry| newest(&entry.path()));
    // A folder's own time changes with files that nobody compiles.
    if path.is_dir() { inside.max().unwrap_or(SystemTime::UNIX_EPOCH) } else { own }
}

/// A folder with a configuration, and whatever Headwater leaves in it.
pub struct House {
    folder: TempDir,
    env: BTreeMap<String, String>,
}

/// How a command ended.
#[derive(Debug)]
pub struct Done {
    /// Its exit code; none if a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl House {
    /// An empty folder.
    pub fn empty() -> Self {
        Self {
            folder: TempDir::with_prefix("headwater-e2e-").expect("a temporary folder"),
            env: BTreeMap::new(),
        }
    }

    /// A folder with this configuration; the receiver listens on a free port of loopback.
    pub fn new(sources: &str) -> Self {
        let house = Self::empty();
        house.configure(&format!("[receive]\nlisten = \"127.0.0.1:0\"\n{sources}"));
        house
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
        let mut pipe = running.child.stdin.take().expect("standard input is piped");
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
        rows(&self.path(&format!("headwater-data/warehouse/{schema}.db")), sql)
    }

    /// One number from one schema of the warehouse; 0 if the table is not there.
    pub fn number(&self, schema: &str, sql: &str) -> i64 {
        match self.rows(schema, sql).first().and_then(|row| row.first()) {
            Some(Sql::Integer(number)) => *number,
            _ => 0,
        }
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
        let names = self.rows(schema, "SELECT name FROM sqlite_master WHERE type = 'table'");
        let names = names.into_iter().filter_map(|row| match row.into_iter().next() {
            Some(Sql::Text(name)) if !name.starts_with("_headwater") && !name.starts_with("sqlite_") => {
                Some(name)
            }
            _ => None,
        });
        names.map(|name| (name.clone(), self.table(schema, &name))).collect()
    }

    fn table(&self, schema: &str, table: &str) -> Vec<String> {
        let columns =
            self.rows(schema, &format!("SELECT name FROM pragma_table_info('{table}') ORDER BY name"));
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
                set.map(|(value, name)| format!("{name}={value:?}")).collect::<Vec<_>>().join(" ")
            })
            .collect();
        rows.sort();
        rows
    }
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

impl Done {
    /// It went well.
    #[track_caller]
    pub fn success(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:?}");
        self
    }

    /// It failed with this code and said so in one line, which holds all of `words`.
    #[track_caller]
    pub fn fails(self, code: i32, words: &[&str]) -> Self {
        assert_eq!(self.code, Some(code), "{self:?}");
        let lines: Vec<&str> = self.err.lines().filter(|line| !line.trim().is_empty()).collect();
        let [line] = lines[..] else { panic!("not one line of error: {self:?}") };
        assert!(line.starts_with("headwater: "), "{line}");
        for word in words {
            assert!(line.contains(word), "{word:?} is missing in: {line}");
        }
        assert!(line.len() < 700, "a long line: {line}");
        self
    }

    /// The lines of standard output as JSON.
    pub fn json_lines(&self) -> Vec<Value> {
        self.out
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}")))
            .collect()
    }
}

/// A process of Headwater; it is killed when this is dropped.
pub struct Running {
    child: Child,
    out: Arc<Mutex<String>>,
    err: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
}

impl Running {
    fn start(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{}: {error}", binary().display()));
        let (out, err) = (Arc::new(Mutex::new(String::new())), Arc::new(Mutex::new(String::new())));
        let readers = vec![
            collect(child.stdout.take().expect("standard output is piped"), out.clone()),
            collect(child.stderr.take().expect("standard error is piped"), err.clone()),
        ];
        Self { child, out, err, readers }
    }

    /// Waits for its end, at most so long.
    pub fn wait(mut self, patience: Duration) -> Done {
        let end = Instant::now() + patience;
        let status: ExitStatus = loop {
            match self.child.try_wait().expect("a child can be waited for") {
                Some(status) => break status,
                None if Instant::now() > end => panic!("it does not end: {}", self.err()),
                None => std::thread::sleep(Duration::from_millis(5)),
            }
        };
        for reader in self.readers.drain(..) {
            reader.join().expect("output ends with the process");
        }
        let out = self.out.lock().expect("output").clone();
        Done { code: status.code(), out, err: self.err() }
    }

    /// Sends it a signal by name: `TERM`, `HUP`, `INT`.
    pub fn signal(&self, name: &str) {
        let command = format!("kill -{name} {}", self.child.id());
        let sent = Command::new("sh").args(["-c", &command]).status().expect("sh");
        assert!(sent.success(), "{command}");
    }

    /// Asks it to end, and waits for that.
    pub fn stop(self) -> Done {
        self.signal("TERM");
        self.wait(Duration::from_secs(30))
    }

    /// Ends it at once, without a chance to do anything. False if it had ended by itself.
    pub fn kill(mut self) -> bool {
        let alive = self.is_alive();
        self.child.kill().expect("our own child can be killed");
        self.child.wait().expect("our own child can be waited for");
        alive
    }

    /// Whether it runs.
    pub fn is_alive(&mut self) -> bool {
        self.child.try_wait().expect("a child can be waited for").is_none()
    }

    /// What it has written to standard error so far.
    pub fn err(&self) -> String {
        self.err.lock().expect("output").clone()
    }

    /// The first line of standard error with `text` in it, once it is there.
    #[track_caller]
    pub fn wait_for(&self, text: &str) -> String {
        self.wait_for_count(text, 1)
    }

    /// The `count`th line of standard error with `text` in it, once it is there.
    #[track_caller]
    pub fn wait_for_count(&self, text: &str, count: usize) -> String {
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            if let Some(line) = self.err().lines().filter(|line| line.contains(text)).nth(count - 1) {
                return line.to_owned();
            }
            assert!(Instant::now() < end, "no {text:?} in: {}", self.err());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The most memory it has had so far, in MiB; none where the system does not tell.
    pub fn peak(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        Some(line.split_whitespace().next()?.parse::<u64>().ok()? / 1024)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn collect(pipe: impl Read + Send + 'static, into: Arc<Mutex<String>>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let mut lines = BufReader::new(pipe);
        let mut line = Vec::new();
        while lines.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            into.lock().expect("output").push_str(&String::from_utf8_lossy(&line));
            line.clear();
        }
    })
}

/// A running service, and where it listens.
pub struct Service {
    /// `http://127.0.0.1:port`
    pub url: String,
    /// The process.
    pub running: Running,
}

/// Waits until something is so.
#[track_caller]
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < end, "never: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
