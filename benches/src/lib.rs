//! How fast it is: each figure is a ratio to a floor that was written by hand and measured in the same run.
//!
//! Each side of a comparison is this program again, in a process of its own ([`side`]), so that its time, its processor
//! time and its memory are its own ([`Watch`]). The sides take turns ([`Sides`]): what else the machine does hits all of
//! them. The ratio is the median of the ratios of neighbouring runs, and beside it stands how far these lie apart.

use std::{
    fmt::Write,
    process::{Command, Stdio},
    time::Instant,
};

use serde::{Deserialize, Serialize};

pub mod record;
pub mod source;

/// What one run of one side did.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Measured {
    /// How many rows, calls or requests.
    pub work: u64,
    /// How long it took.
    pub seconds: f64,
    /// Processor time, of all threads.
    pub cpu: f64,
    /// The most memory that was ever resident, in bytes.
    pub peak: u64,
}

/// Measures this process from when it is made.
pub struct Watch {
    began: Instant,
    cpu: f64,
}

impl Watch {
    /// Now.
    pub fn start() -> Self {
        Self { began: Instant::now(), cpu: cpu_seconds() }
    }

    /// So much has been done since.
    pub fn stop(self, work: u64) -> Measured {
        let seconds = self.began.elapsed().as_secs_f64();
        Measured { work, seconds, cpu: cpu_seconds() - self.cpu, peak: peak_memory() }
    }
}

/// Runs this program again with these arguments; the last line that it prints has to be its [`Measured`] as JSON.
pub fn side(arguments: &[String]) -> Measured {
    let program = std::env::current_exe().expect("this program's own path");
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .expect("this program starts again");
    let text = String::from_utf8_lossy(&output.stdout);
    let last = text.lines().last().unwrap_or_default();
    assert!(output.status.success(), "{arguments:?} failed: {last}");
    serde_json::from_str(last).unwrap_or_else(|error| panic!("{arguments:?} said {last:?}: {error}"))
}

/// What is compared: the floor first.
pub struct Sides {
    names: Vec<&'static str>,
    /// By round, then by side.
    rounds: Vec<Vec<Measured>>,
}

impl Sides {
    /// Lets each side run `rounds` times, in turns.
    pub fn measure(
        rounds: usize,
        names: &[&'static str],
        mut run: impl FnMut(&'static str) -> Measured,
    ) -> Self {
        let rounds = (0..rounds).map(|_| names.iter().map(|name| run(name)).collect()).collect();
        Self { names: names.to_vec(), rounds }
    }

    /// The medians, as lines to be printed.
    pub fn table(&self, unit: &str) -> String {
        let per_second = format!("{unit}/s");
        let mut out = format!(
            "{:<28} {per_second:>12}   ratio  (lowest … highest)   µs of processor each   MiB at most\n",
            ""
        );
        for (at, name) in self.names.iter().enumerate() {
            let of =
                |measure: fn(&Measured) -> f64| median(self.rounds.iter().map(|round| measure(&round[at])));
            let ratios = self.ratios(at);
            let _ = writeln!(
                out,
                "{name:<28} {:>12.0}   {:>5.2}  ({:.2} … {:.2})           {:>20.1}   {:>11.0}",
                of(Measured::rate),
                median(ratios.iter().copied()),
                ratios.iter().copied().fold(f64::INFINITY, f64::min),
                ratios.iter().copied().fold(0.0, f64::max),
                of(|run| run.cpu * 1e6 / run.work as f64),
                of(|run| run.peak as f64 / f64::from(1 << 20)),
            );
        }
        out
    }

    /// How often the floor's rate this side reached, round by round.
    pub fn ratios(&self, side: usize) -> Vec<f64> {
        self.rounds.iter().map(|round| round[side].rate() / round[0].rate()).collect()
    }
}

impl Measured {
    /// So much a second.
    pub fn rate(&self) -> f64 {
        self.work as f64 / self.seconds
    }
}

/// The middle one; 0 of none.
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    percentile(&values, 0.5)
}

/// The value that `share` (from 0 to 1) of these, in rising order, do not exceed; 0 of none.
pub fn percentile(rising: &[f64], share: f64) -> f64 {
    let place = (share * rising.len() as f64).ceil() as usize;
    rising.get(place.saturating_sub(1)).copied().unwrap_or(0.0)
}

/// Processor time of this process and the threads that have ended, in seconds.
pub fn cpu_seconds() -> f64 {
    // Behind the name, which is in brackets and may hold blanks; Linux counts in hundredths.
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}

/// The most memory of this process that was ever resident, in bytes.
pub fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0) * 1024
}
