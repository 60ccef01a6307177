//! Objects: a list of orders, synced by Headwater and by a program that was written by hand for these orders alone.
//!
//! `cargo run --release -p headwater-benches --bin objects -- compare` prints the ratios, into SQLite and into Postgres;
//! `… -- memory --rows 10000000` what the largest sync needs. The vendor, the floor and Headwater are processes of their own.

use std::{
    io::{BufRead, BufReader},
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
};

use clap::{Parser, Subcommand};
use headwater_benches::{
    Measured, Sides, side,
    source::{List, serve},
};

mod floor;
mod headwater;
mod warehouse;

use warehouse::{Into, Target};

/// Measures object syncs.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: What,
}

#[derive(Subcommand)]
enum What {
    /// Headwater beside the floor, in turns.
    Compare {
        /// Rows of each run.
        #[arg(long, default_value_t = 200_000)]
        rows: u64,
        /// Rows of a page.
        #[arg(long, default_value_t = 500)]
        page: u64,
        /// Runs of each side.
        #[arg(long, default_value_t = 3)]
        rounds: usize,
        /// Where to: each that is named; without one, both.
        #[arg(long)]
        into: Vec<Into>,
        /// The rows are in the warehouse already: every one is an update.
        #[arg(long)]
        again: bool,
    },
    /// Headwater alone: how much memory it needs.
    Memory {
        /// Rows to sync.
        #[arg(long, default_value_t = 10_000_000)]
        rows: u64,
        /// Rows of a page: 8,500 make pages of 20 MB.
        #[arg(long, default_value_t = 500)]
        page: u64,
        /// Where to.
        #[arg(long, default_value = "sqlite")]
        into: Into,
    },
    /// The vendor: prints its address, and serves until it is killed.
    Source {
        /// Rows of all pages.
        #[arg(long)]
        rows: u64,
        /// Rows of a page.
        #[arg(long)]
        page: u64,
        /// Where it listens.
        #[arg(long, default_value = "127.0.0.1:0")]
        listen: String,
    },
    /// A Postgres of its own: prints its address, and runs until its input ends.
    Postgres,
    /// One run of one side; prints what was measured, as JSON.
    #[command(hide = true)]
    Side {
        /// `floor` or `headwater`.
        name: String,
        /// The vendor's address.
        #[arg(long)]
        source: String,
        /// The warehouse: a folder, or Postgres' connection string.
        #[arg(long)]
        at: String,
        /// What that is.
        #[arg(long)]
        into: Into,
    },
}

fn main() {
    match Arguments::parse().command {
        What::Source { rows, page, listen } => {
            let listener = TcpListener::bind(listen).expect("a free port");
            serve(List { rows, page }, listener, |address| println!("{address}"));
        }
        What::Postgres => {
            let server = Target::start(Into::Postgres);
            println!("{}", server.at(""));
            let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        }
        What::Side { name, source, at, into } => {
            let runtime =
                tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
            let measured = match (name.as_str(), into) {
                ("floor", Into::Sqlite) => runtime.block_on(floor::sqlite(&source, Path::new(&at))),
                ("floor", Into::Postgres) => runtime.block_on(floor::postgres(&source, &at)),
                _ => runtime.block_on(headwater::sync(&source, &at, into)),
            };
            println!("{}", serde_json::to_string(&measured).expect("it is JSON"));
        }
        What::Compare { rows, page, rounds, into, again } => {
            let into = if into.is_empty() { vec![Into::Sqlite, Into::Postgres] } else { into };
            for into in into {
                compare(List { rows, page }, rounds, into, again);
            }
        }
        What::Memory { rows, page, into } => {
            let list = List { rows, page };
            let vendor = Vendor::start(list);
            let target = Target::start(into);
            let measured = run("headwater", &vendor, &target, into);
            target.expect_rows("headwater", rows);
            println!(
                "{rows} rows in pages of {:.1} MB into {}: {:.0} MiB at most, {:.0} rows/s, {:.1} µs of processor a row",
                (page * 2_400) as f64 / 1e6,
                into.name(),
                measured.peak as f64 / f64::from(1 << 20),
                measured.rate(),
                measured.cpu * 1e6 / measured.work as f64,
            );
        }
    }
}

fn compare(list: List, rounds: usize, into: Into, again: bool) {
    let vendor = Vendor::start(list);
    let target = Target::start(into);
    let sides = Sides::measure(rounds, &["floor", "headwater"], |name| {
        target.clear(name);
        if again {
            run(name, &vendor, &target, into);
        }
        let measured = run(name, &vendor, &target, into);
        target.expect_rows(name, list.rows);
        measured
    });
    let what = if again { "updates of rows that are there" } else { "new rows" };
    println!(
        "{} {what} into {}, {} a page, {rounds} runs of each side in turns",
        list.rows,
        into.name(),
        list.page
    );
    println!("{}", sides.table("rows"));
}

fn run(name: &str, vendor: &Vendor, target: &Target, into: Into) -> Measured {
    let arguments =
        ["side", name, "--source", &vendor.address, "--at", &target.at(name), "--into", into.name()];
    side(&arguments.map(str::to_owned))
}

/// The vendor, while it is held.
struct Vendor {
    process: Child,
    address: String,
}

impl Vendor {
    fn start(list: List) -> Self {
        let mut process = Command::new(std::env::current_exe().expect("this program's own path"))
            .args(["source", "--rows", &list.rows.to_string(), "--page", &list.page.to_string()])
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program starts again");
        let mut address = String::new();
        if let Some(out) = process.stdout.take() {
            BufReader::new(out).read_line(&mut address).expect("its address");
        }
        Self { process, address: address.trim().to_owned() }
    }
}

impl Drop for Vendor {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
