//! The pipeline: inbox → normaliser → calls log → loader → SQLite, against the loader that was written by hand. Both are processes of
//! their own that take the same deliveries step by step, in turns, each alone on the machine while it works.

use std::{
    collections::HashMap,
    fs::File,
    io::{BufRead, BufReader, BufWriter, Write},
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use headwater::{
    inbox::{DeliveryKind, DiskFiles, Inbox, Keep, Log, Options as LogOptions, StoredDelivery},
    pipeline::{Filter, Limits, Source, books::Books, loader::Loader, normaliser::Normaliser},
    warehouse::sqlite::SqliteWarehouse,
};
use headwater_core::event::Delivery;
use http::{HeaderMap, Method};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::{
    runtime::Runtime,
    sync::{mpsc, watch},
};

use crate::{Options, Result, hand, traffic};

/// Calls in one delivery.
const SIZE: u64 = 100;

/// What a side says after each step.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Step {
    seconds: f64,
    /// Processor time, in seconds.
    cpu: f64,
    /// The most memory while it worked, in MiB.
    rss: f64,
    /// Bytes of the warehouse, and of everything else that stays on the disk.
    tables: u64,
    other: u64,
    rows: u64,
}

struct Side {
    process: Child,
    answers: BufReader<ChildStdout>,
}

impl Side {
    fn start(name: &str, folder: &Path) -> Result<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .args(["side", name, "--at"])
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let answers = BufReader::new(process.stdout.take().ok_or("a process without output")?);
        Ok(Self { process, answers })
    }

    fn step(&mut self, first: u64, calls: u64) -> Result<Step> {
        let input = self.process.stdin.as_mut().ok_or("a process without input")?;
        writeln!(input, "{first} {calls}")?;
        input.flush()?;
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        Ok(serde_json::from_str(&line)?)
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ended = self.process.wait();
    }
}

/// `events pipeline`: the curve.
pub fn bench(options: &Options) -> Result<()> {
    let calls = options.number("calls", 1_000_000.0) as u64;
    let step = (options.number("step", 250_000.0) as u64 / SIZE * SIZE).max(SIZE);
    let folder = tempfile::TempDir::with_prefix_in("headwater-bench-", options.folder())?;
    let mut hand = Side::start("hand", &folder.path().join("hand"))?;
    let mut headwater = Side::start("headwater", &folder.path().join("headwater"))?;
    println!(
        "     calls   by hand/s  headwater/s   ratio | cpu µs a call: hand  headwater | peak MiB: hand headwater | GB: hand  headwater  + logs, books"
    );
    for first in (0..calls).step_by(step as usize) {
        let floor = hand.step(first, step)?;
        let ours = headwater.step(first, step)?;
        let rate = |step_: &Step| step as f64 / step_.seconds;
        let gb = |bytes: u64| bytes as f64 / 1e9;
        println!(
            "{:>10} {:>11.0} {:>12.0} {:>7.2} | {:>19.1} {:>10.1} | {:>13.1} {:>10.1} | {:>8.2} {:>10.2} {:>13.2}",
            first + step,
            rate(&floor),
            rate(&ours),
            rate(&ours) / rate(&floor),
            floor.cpu * 1e6 / step as f64,
            ours.cpu * 1e6 / step as f64,
            floor.rss,
            ours.rss,
            gb(floor.tables),
            gb(ours.tables),
            gb(ours.other)
        );
        if floor.rows != ours.rows {
            return Err(format!("by hand {} rows, Headwater {}", floor.rows, ours.rows).into());
        }
    }
    Ok(())
}

/// What a side's process does: a step for each line of its input.
pub fn side(name: &str, options: &Options, runtime: Runtime) -> Result<()> {
    let own = std::process::id();
    let folder = options.folder();
    std::fs::create_dir_all(&folder)?;
    let mut by_hand = (name == "hand").then(|| hand::Hand::open(&folder.join("hand.db"))).transpose()?;
    let mut house = if name == "hand" { None } else { Some(runtime.block_on(House::open(&folder))?) };
    for line in std::io::stdin().lines() {
        let line = line?;
        let (first, calls) = line.split_once(' ').ok_or("a step is two numbers")?;
        let (first, calls): (u64, u64) = (first.parse()?, calls.parse()?);
        let mut step = Step::default();
        if let Some(hand) = &mut by_hand {
            let file = folder.join("deliveries");
            write(&file, first, calls)?;
            crate::forget_peak(own);
            let (began, cpu) = (Instant::now(), crate::cpu(own));
            hand.load(&file)?;
            step.seconds = began.elapsed().as_secs_f64();
            step.cpu = (crate::cpu(own) - cpu) as f64 / 100.0;
            step.rss = crate::peak(own);
            std::fs::remove_file(&file)?;
            step.tables = size(&folder);
            step.rows = (0..).zip(hand::rows(&folder.join("hand.db"))?).map(|(_, (_, n))| n as u64).sum();
        }
        if let Some(house) = &mut house {
            runtime.block_on(house.fill(first, calls))?;
            // What making the deliveries took is given back, and not counted.
            std::thread::sleep(Duration::from_millis(200));
            crate::forget_peak(own);
            let cpu = crate::cpu(own);
            step.seconds = runtime.block_on(house.drain())?.as_secs_f64();
            step.cpu = (crate::cpu(own) - cpu) as f64 / 100.0;
            step.rss = crate::peak(own);
            step.tables = size(&folder.join("warehouse"));
            step.other = size(&folder) - step.tables;
            step.rows =
                hand::rows(&folder.join("warehouse/site.db"))?.into_iter().map(|(_, n)| n as u64).sum();
        }
        println!("{}", serde_json::to_string(&step)?);
    }
    Ok(())
}

fn deliveries(first: u64, calls: u64) -> impl Iterator<Item = (Timestamp, String)> {
    (first..first + calls).step_by(SIZE as usize).map(|n| {
        let received =
            Timestamp::from_microsecond(1_790_000_000_500_000 + n as i64 * 3_000).unwrap_or_default();
        (received, traffic::batch(n, SIZE))
    })
}

fn write(file: &Path, first: u64, calls: u64) -> Result<()> {
    let mut out = BufWriter::new(File::create(file)?);
    for (received, body) in deliveries(first, calls) {
        out.write_all(&received.as_microsecond().to_le_bytes())?;
        out.write_all(&(body.len() as u32).to_le_bytes())?;
        out.write_all(body.as_bytes())?;
    }
    Ok(out.flush()?)
}

fn size(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(found) if found.is_dir() => size(&entry.path()),
            Ok(found) => found.len(),
            Err(_) => 0,
        })
        .sum()
}

/// The logs, books and warehouse of one folder, as the service opens them.
struct House {
    inbox: Arc<Log>,
    calls: Arc<Log>,
    books: Books,
    warehouse: Arc<SqliteWarehouse>,
}

impl House {
    async fn open(folder: &Path) -> Result<Self> {
        let log = async |name: &str| {
            let options =
                LogOptions { keep: Keep { bytes: 256 << 20, ..Keep::default() }, ..LogOptions::default() };
            Log::open(Arc::new(DiskFiles), folder.join(name), options).await.map(Arc::new)
        };
        Ok(Self {
            inbox: log("inbox").await?,
            calls: log("calls").await?,
            books: Books::open(&folder.join("books.db"))?,
            warehouse: Arc::new(SqliteWarehouse::open(folder.join("warehouse"))?),
        })
    }

    /// Puts deliveries into the inbox: before the clock starts, as the other side's file is written before it.
    async fn fill(&self, first: u64, calls: u64) -> Result<()> {
        let mut some = Vec::new();
        for (received_at, body) in deliveries(first, calls) {
            let delivery = Delivery {
                received_at,
                method: Method::POST,
                path_tail: String::new(),
                query: String::new(),
                headers: HeaderMap::new(),
                body: body.into(),
                url: String::new(),
                lookups: Vec::new(),
            };
            let stored = StoredDelivery {
                source: "site".to_owned(),
                connector: Some("segment".to_owned()),
                surface: "batch".to_owned(),
                kind: DeliveryKind::Tracking,
                delivery,
                verified: "write key".to_owned(),
            };
            some.push(stored.encode().into());
            if some.len() >= 64 {
                self.inbox.put_all(std::mem::take(&mut some)).await?;
            }
        }
        self.inbox.put_all(some).await?;
        Ok(())
    }

    /// Runs the pipeline until everything is in the tables.
    async fn drain(&self) -> Result<Duration> {
        let connector = headwater_connectors::find("segment").ok_or("no connector segment")?;
        let source = Source {
            name: "site".to_owned(),
            connector,
            events: None,
            calls_schema: "site".to_owned(),
            filter: Filter::default(),
        };
        let limits = Limits { call_bytes: 32 << 10, batch_calls: 2500 };
        let normaliser =
            Normaliser::open(self.inbox.clone(), self.calls.clone(), self.books.clone(), limits).await?;
        normaliser.set_sources(HashMap::from([("site".to_owned(), Arc::new(source))]));
        let (stop, stopping) = watch::channel(false);
        let (touch, _touched) = mpsc::unbounded_channel();
        let connectors = HashMap::from([("site".to_owned(), "segment")]);
        let loader =
            Loader::new(self.calls.clone(), self.books.clone(), self.warehouse.clone(), connectors, touch)?;
        let began = Instant::now();
        let loading = tokio::spawn(loader.run(normaliser.eligible(), stopping.clone()));
        let normalising = tokio::spawn(async move { normaliser.run(stopping).await });
        loop {
            tokio::time::sleep(Duration::from_millis(5)).await;
            let normalised = self.books.position("inbox").await? > self.inbox.committed();
            if normalised && self.books.position("loaded").await? >= self.books.position("calls").await? {
                break;
            }
        }
        let took = began.elapsed();
        stop.send_replace(true);
        normalising.await?;
        loading.await?;
        Ok(took)
    }
}
