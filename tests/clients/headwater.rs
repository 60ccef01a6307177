//! The program itself, running on a free loopback port with a folder of its own. It is gone when this is dropped.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rusqlite::{Connection, OpenFlags};
use tempfile::TempDir;

/// How long it may take to start or to end.
const MOMENT: Duration = Duration::from_secs(60);
/// What stands before the address in the log.
const READY: &str = "receiving on ";

/// A running `headwater run` with one source.
pub struct Headwater {
    child: Child,
    folder: TempDir,
    url: String,
}

impl Headwater {
    /// Starts it, with a source of that name that takes Spec calls; `more` stands behind it in the configuration.
    pub fn start(source: &str, more: &str) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("clients-")
            .tempdir_in(env!("CARGO_TARGET_TMPDIR"))
            .expect("a folder");
        let config = format!(
            "data_dir = {data:?}\n[receive]\nlisten = \"127.0.0.1:0\"\n[console]\nlisten = \"127.0.0.1:0\"\n\
             [[source]]\nname = {source:?}\nconnector = \"segment\"\nwrite_key = {key:?}\n{more}",
            data = folder.path().join("data"),
            key = write_key(source),
        );
        std::fs::write(folder.path().join("headwater.toml"), config).expect("the configuration is written");
        let log = File::create(folder.path().join("headwater.log")).expect("a log");
        let child = Command::new(binary())
            .args(["--config", "headwater.toml", "run"])
            .current_dir(folder.path())
            // Keys and settings of whoever runs the tests are none of our business.
            .env("XDG_CONFIG_HOME", folder.path())
            .env("NO_COLOR", "1")
            .env_remove("HEADWATER_CONFIG")
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log"))
            .stderr(log)
            .spawn()
            .expect("headwater starts");
        let mut headwater = Self { child, folder, url: String::new() };
        let until = Instant::now() + MOMENT;
        headwater.url = loop {
            let log = headwater.log();
            if let Some((_, rest)) = log.split_once(READY) {
                let url = rest.split_whitespace().next().unwrap_or_default();
                // The line may be half written.
                if rest.contains('\n') {
                    break url.to_owned();
                }
            }
            let ended = headwater.child.try_wait().expect("its state is known");
            assert!(
                ended.is_none() && Instant::now() < until,
                "headwater run did not start ({ended:?}):\n{log}"
            );
            std::thread::sleep(Duration::from_millis(20));
        };
        headwater
    }

    /// Where libraries reach it.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A folder that goes away with it.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Its data folder.
    pub fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The books: so many calls, each of them eligible once; anything else but repeated calls is a fault.
    pub fn assert_balanced(&self, source: &str, calls: u64) {
        let books =
            Connection::open_with_flags(self.data_dir().join("books.db"), OpenFlags::SQLITE_OPEN_READ_ONLY)
                .expect("the books open");
        let mut lines = books
            .prepare("SELECT source, reason, n FROM count WHERE stage = 'call'")
            .expect("the books have counts");
        let lines: Vec<(String, String, u64)> = lines
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .and_then(|rows| rows.collect())
            .expect("the counts are read");
        let eligible =
            lines.iter().find(|(from, reason, _)| from == source && reason == "eligible").map(|line| line.2);
        let faults: Vec<_> = lines
            .iter()
            .filter(|(from, reason, _)| {
                from != source || !matches!(reason.as_str(), "eligible" | "duplicate")
            })
            .collect();
        assert!(
            eligible == Some(calls) && faults.is_empty(),
            "{calls} calls were sent; the books say {lines:?}"
        );
    }

    /// Ends it as a user would, which has to go well. Its folder stays until what comes back is dropped.
    pub fn stop(mut self) -> Self {
        let pid = self.child.id().to_string();
        let told = Command::new("kill").args(["-TERM", &pid]).status().expect("kill runs");
        assert!(told.success(), "headwater run had ended before:\n{}", self.log_end());
        let until = Instant::now() + MOMENT;
        let status = loop {
            match self.child.try_wait().expect("its state is known") {
                Some(status) => break status,
                None if Instant::now() < until => std::thread::sleep(Duration::from_millis(20)),
                None => panic!("headwater run did not end on SIGTERM:\n{}", self.log_end()),
            }
        };
        assert!(status.success(), "headwater run ended with {status}:\n{}", self.log_end());
        let log = self.log();
        let trouble = log.lines().find(|line| line.contains("ERROR") || line.contains("WARN"));
        assert!(trouble.is_none(), "the log of an undisturbed run says: {}", trouble.unwrap_or_default());
        self
    }

    /// The last lines of its log.
    pub fn log_end(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(10)..].join("\n")
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("headwater.log")).unwrap_or_default()
    }
}

impl Drop for Headwater {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The write key of the source of that name.
pub fn write_key(source: &str) -> String {
    format!("{source}_write_key")
}

/// The program: as HEADWATER_BIN names it (`./test` does), or built now.
fn binary() -> PathBuf {
    if let Some(named) = std::env::var_os("HEADWATER_BIN") {
        return named.into();
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .args(["build", "--quiet", "--package", "headwater", "--bin", "headwater"])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .status()
        .expect("cargo runs");
    assert!(built.success(), "headwater does not build");
    target().join("debug").join("headwater")
}

/// Cargo's target folder.
pub fn target() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("it is in the target folder").to_owned()
}
