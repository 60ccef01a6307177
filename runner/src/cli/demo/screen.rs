//! What the demo shows while it runs: a line a source on a terminal, a line now and then elsewhere.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::sync::{Observer, Outcome};

/// How often a line is printed where there is no terminal.
const LINE: Duration = Duration::from_secs(5);

/// The demo's progress.
pub struct Screen {
    began: Instant,
    all: MultiProgress,
    sources: BTreeMap<String, Line>,
    first: Mutex<Option<Duration>>,
    printed: Mutex<Instant>,
}

struct Line {
    bar: ProgressBar,
    rows: AtomicU64,
    events: AtomicU64,
    /// The records of each collection in the run that is under way.
    running: Mutex<BTreeMap<String, u64>>,
}

impl Screen {
    /// A line for each of these sources.
    pub fn new(began: Instant, sources: &[&str]) -> Self {
        let all = MultiProgress::new();
        let style = ProgressStyle::with_template("{spinner} {prefix:12} {msg}")
            .unwrap_or_else(|_| ProgressStyle::default_spinner());
        let sources = sources
            .iter()
            .map(|name| {
                let bar = all.add(ProgressBar::no_length());
                bar.set_style(style.clone());
                bar.set_prefix((*name).to_owned());
                bar.enable_steady_tick(Duration::from_millis(150));
                let line = Line { bar, rows: 0.into(), events: 0.into(), running: Mutex::default() };
                ((*name).to_owned(), line)
            })
            .collect();
        Self { began, all, sources, first: Mutex::default(), printed: Mutex::new(began) }
    }

    /// When the first rows were in the warehouse.
    pub fn first_rows(&self) -> Option<Duration> {
        *lock(&self.first)
    }

    /// More events of a source have been answered.
    pub fn sent(&self, source: &str, events: u64) {
        if let Some(line) = self.sources.get(source) {
            line.events.fetch_add(events, Ordering::Relaxed);
            self.draw(line);
        }
    }

    /// Something to tell besides.
    pub fn note(&self, text: &str) {
        match self.all.is_hidden() {
            true => eprintln!("{text}"),
            false => drop(self.all.println(text)),
        }
    }

    /// Takes the lines away.
    pub fn clear(&self) {
        for line in self.sources.values() {
            line.bar.finish_and_clear();
        }
    }

    fn draw(&self, line: &Line) {
        let rows = line.rows.load(Ordering::Relaxed) + lock(&line.running).values().sum::<u64>();
        let events = line.events.load(Ordering::Relaxed);
        let parts = [(rows, "objects read"), (events, "events sent")];
        let text: Vec<String> =
            parts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n:>8} {what}")).collect();
        line.bar.set_message(text.join("   "));
        let mut printed = lock(&self.printed);
        if self.all.is_hidden() && printed.elapsed() >= LINE {
            *printed = Instant::now();
            let lines: Vec<String> = self
                .sources
                .iter()
                .map(|(name, line)| format!("{name}: {}", words(&line.bar.message())))
                .collect();
            eprintln!("{:>4} s  {}", self.began.elapsed().as_secs(), lines.join(" · "));
        }
    }
}

impl Observer for Screen {
    fn page(&self, source: &str, collection: &str, so_far: &Outcome) {
        if so_far.inserted > 0 {
            lock(&self.first).get_or_insert_with(|| self.began.elapsed());
        }
        if let Some(line) = self.sources.get(source) {
            lock(&line.running).insert(collection.to_owned(), so_far.records);
            self.draw(line);
        }
    }

    fn ended(&self, source: &str, collection: &str, outcome: &Outcome) {
        if let Some(line) = self.sources.get(source) {
            lock(&line.running).remove(collection);
            line.rows.fetch_add(outcome.records, Ordering::Relaxed);
            self.draw(line);
        }
        if let Some(error) = &outcome.error {
            self.note(&format!("{source}: {error}"));
        }
    }
}

fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}
