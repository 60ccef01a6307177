//! Runs a plan: once undisturbed, then with kills at seeded instants, and compares what is there and what was asked.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use axum::Router;
use headwater::sandbox::{Vendor, World};
use rand::{Rng, SeedableRng, rngs::StdRng};

use crate::{
    Kind,
    clock::Clock,
    house::{House, Running},
    tables::{Tables, count, living, same},
    tokens::Tokens,
    trouble::{growing, troubled},
    vendor::{self, Stand},
    world::{Play, account},
};

/// How a source is read, and how that is disturbed.
#[derive(Clone, Copy)]
pub struct Plan {
    /// The vendor of an account.
    pub vendor: fn(World) -> Arc<dyn Vendor>,
    /// Where its tables go.
    pub warehouse: Kind,
    /// Roughly how many main objects the account has.
    pub size: usize,
    /// The seed that its objects are made with.
    pub world: u64,
    /// How many days of history are read; none: all.
    pub days: Option<i64>,
    /// How many minutes the vendor's clock is ahead of ours.
    pub ahead: i64,
    /// How late each answer is.
    pub delay: Duration,
    /// Smaller pages than asked for.
    pub pages: &'static [(&'static str, &'static str)],
    /// Something happens in the account every so many requests, so often in all.
    pub changes: (u64, u64),
    /// Whether answers are troubled.
    pub trouble: bool,
    /// Whether records have members of their own.
    pub grows: bool,
    /// Whether the vendor hands out tokens that end, and rotates what renews them.
    pub tokens: bool,
    /// Whether the clock jumps.
    pub jumps: bool,
    /// Reads that may be open at once; and those of one list.
    pub open: (u64, u64),
    /// What every process asks before it reads.
    pub greeting: &'static [&'static str],
    /// A kill comes by then, however slow it goes.
    pub longest: Duration,
    /// How the plan is broken, to be noticed.
    pub broken: Broken,
}

/// What is done wrong on purpose.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Broken {
    /// Nothing.
    No,
    /// Every process starts over.
    StartsOver,
    /// What a process wrote to its state is gone after a kill.
    ForgetsState,
    /// The vendor's clock is off, and its answers do not say so.
    HidesClock,
    /// One row of the warehouse is another one.
    ChangesRow,
}

/// What a vendor answers through, and what it counts.
pub struct Stage {
    /// Where it listens.
    pub stand: Stand,
    /// What happens in the account.
    pub play: Arc<Play>,
    /// Its tokens, if it hands them out.
    pub tokens: Option<Arc<Tokens>>,
}

impl Plan {
    /// A plan that is read quickly, undisturbed but for kills.
    pub const fn of(vendor: fn(World) -> Arc<dyn Vendor>, size: usize) -> Self {
        Self {
            vendor,
            warehouse: Kind::Sqlite,
            size,
            world: 5,
            days: None,
            ahead: -12,
            delay: Duration::from_millis(10),
            pages: &[],
            changes: (1, 0),
            trouble: false,
            grows: false,
            tokens: false,
            jumps: false,
            open: (4, 1),
            greeting: &[],
            longest: Duration::from_millis(1_500),
            broken: Broken::No,
        }
    }

    /// Carries the plan out once for each seed, with so many kills in all.
    pub fn run(self, test: &str, first: u64, seeds: usize, kills: usize) {
        let calm = self.undisturbed();
        let each = kills.div_ceil(seeds);
        crate::seeds(test, first, seeds, |seed| self.disturbed(seed, each, &calm, test));
    }

    /// The vendor's stage, troubled by a seed or not at all.
    pub fn stage(&self, seed: Option<u64>) -> Stage {
        let play = Play::new(
            self.vendor,
            account(self.world, self.size, self.ahead),
            self.changes.0,
            self.changes.1,
        );
        let mut router: Router = play.api();
        if self.grows {
            router = growing(router);
        }
        if let Some(seed) = seed.filter(|_| self.trouble) {
            router = troubled(router, seed);
        }
        let mut tokens = None;
        if self.tokens {
            let (guarded, guard) = Tokens::guard(router, &*play.vendor);
            (router, tokens) = (guarded, Some(guard));
        }
        if seed.is_none() || self.broken != Broken::HidesClock {
            router = play.dated(router);
        }
        Stage { stand: Stand::router(router, self.delay, self.pages), play, tokens }
    }

    /// The configuration of the source `shop`.
    pub fn source(&self, stage: &Stage) -> String {
        let start = self.days.map_or(String::new(), |days| format!("start_date = \"{}\"", day(days)));
        vendor::source("shop", &*stage.play.vendor, &stage.stand.url, &start)
    }

    /// What is there after everything has been read and everything has happened, and what was asked.
    pub fn undisturbed(&self) -> (Tables, Vec<String>) {
        let stage = self.stage(None);
        let house = self.warehouse.house(&self.source(&stage));
        house.run(&["sync", "shop"]).success();
        let asked = stage.stand.asked();
        stage.play.finish();
        house.run(&["sync", "shop"]).success();
        let tables = living(&house, "shop");
        assert!(count(&tables) > 300, "a world worth reading: {}", count(&tables));
        (tables, asked)
    }

    fn disturbed(&self, seed: u64, kills: usize, (whole, calm): &(Tables, Vec<String>), test: &str) {
        let stage = self.stage(Some(seed));
        let mut house = self.warehouse.house(&self.source(&stage));
        let mut clock = if self.jumps { Clock::of(&mut house, seed) } else { None };
        let mut rng = StdRng::seed_from_u64(seed);
        let flags: &[&str] = if self.broken == Broken::StartsOver { &["--full"] } else { &[] };
        let forgotten = self.forget(&house);
        let share = calm.len() as f64 / (kills as f64 + 4.0);
        let (mut ends, mut tries, mut first_pass) = (Vec::new(), 0, None);
        while ends.len() < kills {
            tries += 1;
            assert!(
                tries < 6 * kills,
                "{} of {tries} syncs ended before they could be killed",
                tries - ends.len()
            );
            clock.iter_mut().for_each(|clock| clock.jump(&house));
            let mut running = house.start(&[&["sync", "shop"], flags].concat());
            if let Some(clock) = clock.as_mut() {
                std::thread::sleep(Duration::from_millis(rng.random_range(0..400)));
                clock.jump(&house);
            }
            self.wait(&mut rng, &stage, &mut running, share);
            let alive = running.is_alive();
            if alive {
                running.kill();
                ends.push(stage.stand.asked().len());
            } else {
                let done = running.wait(Duration::from_secs(10));
                assert_eq!(done.code, Some(0), "after {} kills: {done:?}", ends.len());
                first_pass.get_or_insert(ends.len());
            }
            if let (Some(kept), true) = (&forgotten, alive) {
                kept.iter().for_each(|(path, bytes)| match bytes {
                    Some(bytes) => std::fs::write(path, bytes).expect("a file"),
                    None => drop(std::fs::remove_file(path)),
                });
            }
        }
        if self.broken == Broken::HidesClock {
            // What happens now, only events tell: the rows have been read.
            house.run(&["sync", "shop"]).success();
        }
        stage.play.finish();
        clock.iter().for_each(|clock| clock.set(&house, 0));
        let asked = stage.stand.asked();
        // One ends the pass that the last kill left open, and one reads what happened behind its back.
        for _ in 0..2 {
            house.run(&["sync", "shop"]).success();
        }
        if self.broken == Broken::ChangesRow {
            house.rows("shop", "UPDATE customers SET email = 'other' WHERE rowid = 3");
        }
        let found = living(&house, "shop");
        let renewals =
            stage.tokens.as_ref().map_or(String::new(), |tokens| format!(", {} tokens", tokens.count()));
        eprintln!(
            "{test}: seed {seed}: {} kills, {} requests ({} undisturbed), {} rows in {} tables{renewals}",
            ends.len(),
            asked.len(),
            calm.len(),
            count(&found),
            found.len()
        );
        same(&found, whole);
        // Once a pass has ended, the next one reads what overlaps.
        ends.truncate(first_pass.unwrap_or(ends.len()));
        let calm = calm.iter().filter(|url| self.is_page(url)).count();
        self.repeats_are_few(&asked[..ends.last().copied().unwrap_or(0)], &ends, calm);
    }

    /// Waits for the instant of a kill: soon after the start, after some requests, or while a token is being renewed.
    fn wait(&self, rng: &mut StdRng, stage: &Stage, running: &mut Running, share: f64) {
        let began = Instant::now();
        let (kind, late) = (rng.random_range(0..10), rng.random_range(0..40_000));
        let due = stage.stand.count()
            + (share * rng.random_range(0.3..1.3)).ceil() as u64
            + self.greeting.len() as u64;
        let tokens = stage.tokens.as_ref().map(|tokens| tokens.count());
        let soon = Duration::from_millis(rng.random_range(0..120));
        let is_due = || match (kind, &stage.tokens) {
            (0..2, _) => began.elapsed() >= soon,
            (2..6, Some(guard)) => Some(guard.count()) > tokens,
            _ => stage.stand.count() >= due,
        };
        while running.is_alive() && !is_due() && began.elapsed() < self.longest {
            std::thread::sleep(Duration::from_millis(1));
        }
        if kind >= 2 {
            std::thread::sleep(Duration::from_micros(late));
        }
    }

    /// The state as it is now, if it is going to be forgotten.
    fn forget(&self, house: &House) -> Option<Vec<(std::path::PathBuf, Option<Vec<u8>>)>> {
        (self.broken == Broken::ForgetsState).then(|| {
            house.run(&["sources"]).success();
            let names = ["state.db", "state.db-wal", "state.db-shm"];
            let paths = names.map(|name| house.path(&format!("headwater-data/{name}")));
            paths.map(|path| (path.clone(), std::fs::read(path).ok())).into()
        })
    }

    fn is_page(&self, url: &str) -> bool {
        !self.greeting.contains(&url) && !is_child(url)
    }

    /// A page behind the first names a row: for each read that may be open, no process asks for more than two of those that an
    /// earlier one had. And all of them together asked for no more than that beside what a run in peace asks for.
    fn repeats_are_few(&self, asked: &[String], ends: &[usize], calm: usize) {
        let mut known = BTreeSet::new();
        let mut start = 0;
        for end in ends {
            let life = asked[start..*end].iter().filter(|url| !is_child(url));
            let deep: BTreeSet<(&str, &str)> = life.filter_map(|url| page(url)).collect();
            let mut again: BTreeMap<&str, u64> = BTreeMap::new();
            deep.iter()
                .filter(|page| known.contains(*page))
                .for_each(|(path, _)| *again.entry(path).or_default() += 1);
            let (all, of_one) = (again.values().sum::<u64>(), again.values().max().copied().unwrap_or(0));
            assert!(
                all <= 2 * self.open.0 && of_one <= 2 * self.open.1,
                "it started over: {again:?} asked again"
            );
            known.extend(deep);
            start = *end;
        }
        if !self.trouble {
            let pages = asked.iter().filter(|url| self.is_page(url)).count();
            let most = calm + ends.len() * 2 * self.open.0 as usize;
            assert!(
                pages <= most,
                "it started over: {pages} pages, {calm} undisturbed, {} kills",
                ends.len()
            );
        }
    }
}

/// The path and the cursor of a page that is not the first of its read.
fn page(url: &str) -> Option<(&str, &str)> {
    let (path, query) = url.split_once('?')?;
    let is_cursor = |part: &&str| {
        ["starting_after=", "page%5Bafter%5D=", "cursor=", "locator="]
            .iter()
            .any(|name| part.starts_with(name))
    };
    query.split('&').find(is_cursor).map(|cursor| (path, cursor))
}

/// A list under one row: it comes again with the page that the row stands on.
fn is_child(url: &str) -> bool {
    let path = url.split('?').next().unwrap_or_default();
    path.starts_with("/v1/") && (path.matches('/').count() > 2 || path == "/v1/subscription_items")
}

fn day(days: i64) -> String {
    let day = jiff::Timestamp::now().saturating_sub(jiff::SignedDuration::from_hours(24 * days)).unwrap();
    day.strftime("%Y-%m-%d").to_string()
}
