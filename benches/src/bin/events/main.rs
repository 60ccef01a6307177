//! Events: how fast they are taken and how fast they become rows, each as a ratio to a floor that was written by hand and measured in
//! the same run.
//!
//! ```text
//! events map      [--seconds 0.2] [--app NAME]
//! events receive  [--seconds 2] [--rounds 1] [--connections 1,16,64,256] [--shape webhook|track|batch] [--only receiver|headwater]
//! events pipeline [--calls 1000000] [--step 250000]
//! events burst    [--seconds 5] [--times 10]
//! events run      [--seconds 20] [--rate 0]
//! ```
//!
//! `run` is the whole program, receiving and pipeline on the same processors: `--rate` batches of 100 calls a second, 0 for as many as are
//! answered.
//!
//! `--at FOLDER` says where the files go: the disk is half of what is measured. Build both first:
//! `cargo build --release -p headwater -p headwater-benches`.

use std::path::PathBuf;

mod burst;
mod floor;
mod hand;
mod load;
mod map;
mod pipeline;
mod receive;
mod traffic;

type Result<T, E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;

/// The options behind the command: `--name value`.
pub struct Options(Vec<String>);

impl Options {
    fn text(&self, name: &str) -> Option<&str> {
        let place = self.0.iter().position(|word| word.strip_prefix("--") == Some(name))?;
        self.0.get(place + 1).map(String::as_str)
    }

    fn number(&self, name: &str, default: f64) -> f64 {
        self.text(name).and_then(|text| text.parse().ok()).unwrap_or(default)
    }

    fn list(&self, name: &str, default: &[f64]) -> Vec<f64> {
        let given = self.text(name).map(|text| text.split(',').filter_map(|one| one.parse().ok()).collect());
        given.unwrap_or_else(|| default.to_vec())
    }

    fn folder(&self) -> PathBuf {
        self.text("at").map_or_else(std::env::temp_dir, PathBuf::from)
    }
}

/// A process's memory, in MiB.
fn rss(process: u32) -> f64 {
    memory(process, "VmRSS:")
}

/// The most memory that a process has had since [`forget_peak`], in MiB.
fn peak(process: u32) -> f64 {
    memory(process, "VmHWM:")
}

/// What a process has now counts as its peak.
fn forget_peak(process: u32) {
    let _only_on_linux = std::fs::write(format!("/proc/{process}/clear_refs"), "5");
}

fn memory(process: u32, what: &str) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(what)).unwrap_or_default();
    line.split_whitespace().next().and_then(|kib| kib.parse::<f64>().ok()).unwrap_or_default() / 1024.0
}

/// The time that a process has worked, in hundredths of a second.
fn cpu(process: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let rest = stat.rsplit(')').next().unwrap_or_default();
    rest.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum()
}

fn main() -> Result<()> {
    let mut words: Vec<String> = std::env::args().skip(1).collect();
    let command = if words.is_empty() { String::new() } else { words.remove(0) };
    let options = Options(words);
    let runtime = || tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let word = |place: usize| options.0.get(place).map(String::as_str).unwrap_or_default();
    match command.as_str() {
        "map" => map::bench(&options),
        "receive" => receive::bench(&options),
        "pipeline" => pipeline::bench(&options),
        "burst" => burst::bench(&options),
        "run" => burst::run(&options),
        "serve" => runtime()?.block_on(receive::serve(word(0))),
        "side" => {
            // As the program's pipeline runs: see pipeline/aside.rs.
            let mut aside = tokio::runtime::Builder::new_multi_thread();
            let aside = aside.worker_threads(1).max_blocking_threads(5).enable_all().build()?;
            pipeline::side(word(0), &options, aside)
        }
        "load" => {
            let load = serde_json::from_str(word(0))?;
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            println!("{}", serde_json::to_string(&runtime.block_on(load::run(load))?)?);
            Ok(())
        }
        _ => Err(
            "events map | events receive | events pipeline | events burst | events run: see the head of events/main.rs"
                .into(),
        ),
    }
}
