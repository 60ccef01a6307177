//! A process of Headwater: started, watched, asked to end, killed.

use std::{
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, ExitStatus},
    sync::{Arc, Mutex, OnceLock},
    thread::JoinHandle,
    time::{Duration, Instant, SystemTime},
};

use serde_json::Value;

use crate::root;

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
    /// Starts a command whose output is piped.
    pub fn start(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{}: {error}", binary().display()));
        let (out, err) = (Arc::new(Mutex::new(String::new())), Arc::new(Mutex::new(String::new())));
        let readers = vec![
            collect(child.stdout.take().expect("standard output is piped"), out.clone()),
            collect(child.stderr.take().expect("standard error is piped"), err.clone()),
        ];
        Self { child, out, err, readers }
    }

    /// Its standard input, once.
    pub fn stdin(&mut self) -> ChildStdin {
        self.child.stdin.take().expect("standard input is piped")
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
