//! Killed in mid-sync: the next run goes on from the cursor, and the tables are those of a run that nobody disturbed.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use headwater::sandbox::{Vendor, stripe::Stripe, zendesk::Zendesk};
use rand::{Rng, SeedableRng, rngs::StdRng};

use crate::{
    house::House,
    is_long,
    vendor::{self, Stand},
};

/// How a sync is disturbed.
struct Plan {
    vendor: Arc<dyn Vendor>,
    /// Lines of the source's configuration.
    settings: String,
    /// How late each answer is.
    delay: Duration,
    /// Smaller pages than asked for.
    pages: &'static [(&'static str, &'static str)],
    kills: usize,
    /// Reads that may be open at once; and those of one list.
    open: (u64, u64),
    /// What each disturbed run is started with.
    flags: &'static [&'static str],
    /// What every process asks before it reads.
    greeting: &'static [&'static str],
    /// Paces that are slower than this are not counted on: a kill comes by then.
    longest: Duration,
    seed: u64,
}

impl Plan {
    /// Syncs undisturbed, then with kills, and compares.
    fn carry_out(&self) {
        let (whole, calm) = self.undisturbed();
        let stand = Stand::sandbox(self.vendor.clone(), self.delay, self.pages);
        let house = House::new(&vendor::source("shop", &*self.vendor, &stand.url, &self.settings));
        let mut rng = StdRng::seed_from_u64(self.seed);
        let share = calm.len() as f64 / (self.kills as f64 + 4.0);
        let mut ends = Vec::new();
        let mut tries = 0;
        while ends.len() < self.kills {
            tries += 1;
            assert!(
                tries < 4 * self.kills,
                "the sync ended {} times before it could be killed",
                tries - ends.len()
            );
            let due = stand.count()
                + (share * rng.random_range(0.3..1.3)).ceil() as u64
                + self.greeting.len() as u64;
            let late = Duration::from_millis(rng.random_range(0..40));
            let mut running = house.start(&[&["sync", "shop"], self.flags].concat());
            let began = Instant::now();
            while running.is_alive() && stand.count() < due && began.elapsed() < self.longest {
                std::thread::sleep(Duration::from_millis(2));
            }
            std::thread::sleep(late);
            if running.kill() {
                ends.push(stand.asked().len());
            }
        }
        house.run(&["sync", "shop"]).success();
        same(&house.tables("shop"), &whole);

        let asked = stand.asked();
        ends.push(asked.len());
        let greetings = |asked: &[String]| asked.iter().filter(|url| self.is_greeting(url)).count();
        let pages = |asked: &[String]| {
            asked.iter().filter(|url| !self.is_greeting(url) && !is_child(url)).count() as u64
        };
        assert!(greetings(&asked) <= (tries + 1) * greetings(&calm), "every process asks who it is once");
        let (quiet, disturbed) = (pages(&calm), pages(&asked));
        let most = quiet + self.kills as u64 * 2 * self.open.0;
        eprintln!(
            "{}: {quiet} requests undisturbed, {disturbed} with {} kills",
            self.vendor.name(),
            self.kills
        );
        assert!(
            disturbed <= most,
            "it started over: {disturbed} requests, more than {quiet} + 2 × {} × {}",
            self.open.0,
            self.kills
        );
        self.repeats_are_few(&asked, &ends);
    }

    /// The tables of a run from the beginning to the end, and what it asked.
    fn undisturbed(&self) -> (BTreeMap<String, Vec<String>>, Vec<String>) {
        let stand = Stand::sandbox(self.vendor.clone(), self.delay, self.pages);
        let house = House::new(&vendor::source("shop", &*self.vendor, &stand.url, &self.settings));
        house.run(&["sync", "shop"]).success();
        let tables = house.tables("shop");
        assert!(tables.values().map(Vec::len).sum::<usize>() > 1_000, "a world worth reading");
        (tables, stand.asked())
    }

    fn is_greeting(&self, url: &str) -> bool {
        self.greeting.contains(&url)
    }

    /// A page behind the first names a row: for each read that may be open, no process asks for more than two of those that an
    /// earlier one had.
    fn repeats_are_few(&self, asked: &[String], ends: &[usize]) {
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
    }
}

/// The path and the cursor of a page that is not the first of its read.
fn page(url: &str) -> Option<(&str, &str)> {
    let (path, query) = url.split_once('?')?;
    let is_cursor = |part: &&str| {
        ["starting_after=", "page%5Bafter%5D=", "cursor="].iter().any(|name| part.starts_with(name))
    };
    query.split('&').find(is_cursor).map(|cursor| (path, cursor))
}

/// A list under one row: it comes again with the page that the row stands on.
fn is_child(url: &str) -> bool {
    let path = url.split('?').next().unwrap_or_default();
    path.starts_with("/v1/") && (path.matches('/').count() > 2 || path == "/v1/subscription_items")
}

#[track_caller]
fn same(found: &BTreeMap<String, Vec<String>>, expected: &BTreeMap<String, Vec<String>>) {
    let sizes = |tables: &BTreeMap<String, Vec<String>>| -> BTreeMap<String, usize> {
        tables.iter().map(|(name, rows)| (name.clone(), rows.len())).collect()
    };
    assert_eq!(sizes(found), sizes(expected));
    for (table, rows) in expected {
        for (one, other) in found[table].iter().zip(rows) {
            assert_eq!(one, other, "{table}");
        }
    }
}

fn day(days: i64) -> String {
    let day = jiff::Timestamp::now().saturating_sub(jiff::SignedDuration::from_hours(24 * days)).unwrap();
    day.strftime("%Y-%m-%d").to_string()
}

/// A shop whose lists are one chain of pages each: one window.
fn stripe() -> Plan {
    Plan {
        vendor: Arc::new(Stripe::new(vendor::world(5, if is_long() { 12_000 } else { 3_000 }))),
        settings: format!("start_date = \"{}\"", day(88)),
        delay: Duration::from_millis(40),
        pages: &[("limit=100", "limit=10")],
        kills: if is_long() { 40 } else { 10 },
        open: (4, 1),
        flags: &[],
        greeting: &["/v1/account"],
        longest: Duration::from_secs(20),
        seed: 51,
    }
}

#[test]
fn stripe_goes_on_from_its_cursor() {
    stripe().carry_out();
}

#[test]
#[should_panic(expected = "it started over")]
fn starting_over_would_be_noticed() {
    Plan { flags: &["--full"], kills: 5, ..stripe() }.carry_out();
}

#[test]
fn stripe_goes_on_in_every_window() {
    Plan {
        vendor: Arc::new(Stripe::new(vendor::world(6, 1_500))),
        settings: format!("start_date = \"{}\"", day(400)),
        open: (16, 4),
        pages: &[("limit=100", "limit=15")],
        kills: if is_long() { 60 } else { 10 },
        seed: 61,
        ..stripe()
    }
    .carry_out();
}

#[test]
fn zendesk_goes_on_from_its_cursor() {
    // Its exports are paced at ten requests a minute, stand-in or not: a longer history takes its time.
    let size = if is_long() { 3_000 } else { 400 };
    Plan {
        vendor: Arc::new(Zendesk::new(vendor::world(7, size))),
        settings: String::new(),
        pages: &[("page%5Bsize%5D=100", "page%5Bsize%5D=20")],
        kills: if is_long() { 30 } else { 10 },
        open: (8, 2),
        greeting: &["/api/v2/users/me.json", "/api/v2/ticket_fields.json"],
        longest: Duration::from_millis(2_500),
        seed: 71,
        ..stripe()
    }
    .carry_out();
}
