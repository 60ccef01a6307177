//! Whatever happens to it, nothing is lost and nothing is doubled: the real program is killed at seeded instants while it syncs,
//! receives, starts and renews tokens; its vendors are slow, cut answers off, refuse and repeat themselves; its warehouse is away, its
//! disk is full, its clock jumps. Afterwards every table is that of a run which nobody disturbed.
//!
//! `supervisor` starts and kills; `world` is the vendor that changes meanwhile, the same way for everybody; `trouble` stands between
//! the two. A plan that finds something says its seed: `HEADWATER_SEED=<seed>` runs that one alone. Each kind of check has a
//! counterpart that is broken on purpose and must be noticed.

mod away;
mod boundary;
mod clock;
mod events;
mod ingest;
mod live;
mod startup;
mod supervisor;
mod syncs;
mod tables;
mod tokens;
mod trouble;
mod world;

use headwater_tests::postgres::Server;
use headwater_tests::{disk, house, is_long, vendor};

/// Where a house's warehouse is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Sqlite,
    Postgres,
}

impl Kind {
    /// A house with these sources.
    fn house(self, sources: &str) -> house::House {
        match self {
            Kind::Sqlite => house::House::new(sources),
            Kind::Postgres => house::House::in_postgres(sources, Server::shared().database()),
        }
    }
}

/// So many kills in `./test`, ten times as many in `./test long`.
fn kills(usual: usize) -> usize {
    if is_long() { usual * 10 } else { usual }
}

/// Runs a scenario with each of so many seeds, or with the one of `HEADWATER_SEED`; a failure names its seed.
fn seeds(test: &str, first: u64, count: usize, scenario: impl Fn(u64)) {
    let only = std::env::var("HEADWATER_SEED").ok().and_then(|seed| seed.parse().ok());
    let seeds: Vec<u64> = match only {
        Some(seed) => vec![seed],
        None => (first..).take(count).collect(),
    };
    for seed in seeds {
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| scenario(seed)));
        if let Err(panic) = done {
            eprintln!(
                "again: HEADWATER_SEED={seed} cargo test -p headwater-tests --test faults -- --exact {test} --nocapture"
            );
            std::panic::resume_unwind(panic);
        }
    }
}
