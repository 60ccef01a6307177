//! What the program weighs: memory when idle and with 100 scheduled sources, the time from start to listening, the size of the binary, and
//! the processor time of an idle minute. Fails beyond the bounds of size; times are printed only, they are the machine's.
//!
//! `cargo build --release -p headwater && cargo run --release -p headwater-benches --bin weight [target/release/headwater]`

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

use headwater::sandbox::{self, Trouble, Vendor, World, stripe::Stripe};
use rusqlite::{Connection, OpenFlags};

/// The most that an idle program takes, in KiB.
const IDLE: u64 = 60 << 10;
/// The most that one with [`SOURCES`] scheduled sources takes, in KiB.
const MANY: u64 = 150 << 10;
/// The largest binary, in bytes.
const BINARY: u64 = 80_000_000;
/// How many sources are many.
const SOURCES: usize = 100;
/// How long an idle program is watched.
const WATCH: Duration = Duration::from_secs(5);

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let binary =
        std::env::args_os().nth(1).map_or_else(|| PathBuf::from("target/release/headwater"), PathBuf::from);
    match weigh(&binary) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("weight: {}: {error}", binary.display());
            ExitCode::FAILURE
        }
    }
}

fn weigh(binary: &Path) -> Result<bool> {
    let binary = binary.canonicalize()?;
    let size = binary.metadata()?.len();
    let mut good = line("binary", size / 1000, BINARY / 1000, "kB");

    let listen = "[receive]\nlisten = \"127.0.0.1:0\"\n";
    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join("headwater.toml"), listen)?;
    let mut starts = Vec::new();
    for _ in 0..5 {
        starts.push(Running::start(&binary, folder.path())?.after);
    }
    starts.sort();
    let running = Running::start(&binary, folder.path())?;
    let used = running.watch()?;
    println!(
        "start to listening: {:?} (of 5 starts: {:?} to {:?}); aimed at: 300 ms",
        starts[2], starts[0], starts[4]
    );
    good &= line("idle, resident", running.resident()?, IDLE, "KiB");
    println!("idle, processor: {used:?} in {WATCH:?}");
    drop(running);

    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let world = World { seed: 1, now: jiff::Timestamp::now(), size: 200 };
    let vendor = std::sync::Arc::new(Stripe::new(world));
    let settings = vendor.settings();
    let served = runtime.block_on(sandbox::serve(vendor, Trouble::default()))?;
    let source = |number: usize| {
        format!(
            "[[source]]\nname = \"shop_{number}\"\nconnector = \"stripe\"\nschedule = \"every 1h\"\ncollections = [\"coupons\"]\n\
             base_url = \"{}\"\nsettings = {{ api_key = {} }}\n",
            served.url, settings["api_key"]
        )
    };
    let folder = tempfile::tempdir()?;
    let sources: String = (0..SOURCES).map(source).collect();
    std::fs::write(folder.path().join("headwater.toml"), format!("{listen}{sources}"))?;
    let running = Running::start(&binary, folder.path())?;
    println!("start to listening with {SOURCES} sources: {:?}", running.after);
    let began = Instant::now();
    while runs(folder.path()) < SOURCES {
        if began.elapsed() > Duration::from_secs(120) {
            return Err(format!("only {} of {SOURCES} sources have been synced", runs(folder.path())).into());
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    println!("{SOURCES} sources synced once: {:?}", began.elapsed());
    let used = running.watch()?;
    good &= line(&format!("{SOURCES} scheduled sources, resident"), running.resident()?, MANY, "KiB");
    println!("{SOURCES} scheduled sources, processor: {used:?} in {WATCH:?}");
    println!("{SOURCES} scheduled sources, most while all synced at once: {} KiB", running.status("VmHWM:")?);
    Ok(good)
}

/// How many runs have ended.
fn runs(folder: &Path) -> usize {
    let file = folder.join("headwater-data/state.db");
    let count = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY)
        .and_then(|db| db.query_row("SELECT count(*) FROM run", [], |row| row.get::<_, i64>(0)));
    count.map_or(0, |count| usize::try_from(count).unwrap_or(0))
}

/// A service; it is ended when this is dropped.
struct Running {
    child: Child,
    /// How long it took until it listened.
    after: Duration,
}

impl Running {
    fn start(binary: &Path, folder: &Path) -> Result<Self> {
        let began = Instant::now();
        let mut child = Command::new(binary)
            .arg("run")
            .current_dir(folder)
            .env("HOME", folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        let lines = BufReader::new(child.stderr.take().ok_or("no standard error")?);
        let (tell, told) = mpsc::channel();
        // Read to its end: a full pipe would stop it.
        std::thread::spawn(move || {
            for line in lines.lines().map_while(std::result::Result::ok) {
                if line.contains("receiving on") {
                    let _ = tell.send(began.elapsed());
                }
            }
        });
        match told.recv_timeout(Duration::from_secs(60)) {
            Ok(after) => Ok(Self { child, after }),
            Err(_) => {
                let _ = child.kill();
                let _ = child.wait();
                Err("it does not listen".into())
            }
        }
    }

    /// The processor time that it takes while nothing happens.
    fn watch(&self) -> Result<Duration> {
        std::thread::sleep(Duration::from_secs(2));
        let before = self.used()?;
        std::thread::sleep(WATCH);
        Ok(self.used()?.saturating_sub(before))
    }

    fn used(&self) -> Result<Duration> {
        let text = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let fields: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |place: usize| fields.get(place).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
        Ok(Duration::from_millis((ticks(11) + ticks(12)) * 10))
    }

    fn resident(&self) -> Result<u64> {
        self.status("VmRSS:")
    }

    fn status(&self, name: &str) -> Result<u64> {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let value =
            text.lines().find_map(|line| line.strip_prefix(name)).ok_or("the system does not tell")?;
        Ok(value.split_whitespace().next().unwrap_or_default().parse()?)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn line(what: &str, found: u64, most: u64, unit: &str) -> bool {
    let good = found <= most;
    println!("{what}: {found} {unit}, at most {most}{}", if good { "" } else { ": TOO MUCH" });
    good
}
