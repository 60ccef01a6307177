//! A clock that jumps by hours, forwards and backwards, between processes and while one runs: what is read goes by the vendor's clock,
//! what is received by the order in which it came.

use std::{path::PathBuf, time::Duration};

use rand::{Rng, SeedableRng, rngs::StdRng};

use crate::{
    house::{House, until},
    ingest::Traffic,
    kills,
    supervisor::Plan,
    syncs::{STRIPE, WHOLE, ZENDESK},
};

/// Debian's `faketime`, which stands between a program and its clock.
pub struct Clock {
    rng: StdRng,
}

impl Clock {
    /// Gives this house a clock of its own, if that can be done here.
    pub fn of(house: &mut House, seed: u64) -> Option<Self> {
        let found = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib"];
        let library = found.map(|folder| PathBuf::from(folder).join("faketime/libfaketimeMT.so.1"));
        let Some(library) = library.iter().find(|library| library.exists()) else {
            eprintln!("SKIPPED: a clock that jumps is not checked: apt-get install faketime");
            return None;
        };
        house.set("LD_PRELOAD", &library.display().to_string());
        house.set("FAKETIME_TIMESTAMP_FILE", &house.path("clock").display().to_string());
        house.set("FAKETIME_NO_CACHE", "1");
        // What measures durations does not jump.
        house.set("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        let clock = Self { rng: StdRng::seed_from_u64(seed ^ 0xc10c) };
        clock.set(house, 0);
        Some(clock)
    }

    /// Sets it to so many minutes from the true time.
    pub fn set(&self, house: &House, minutes: i64) {
        // In one step: it is read all the time.
        house.write("clock.new", format!("{minutes:+}m\n"));
        std::fs::rename(house.path("clock.new"), house.path("clock")).expect("a clock");
    }

    /// Sets it somewhere within a day.
    pub fn jump(&mut self, house: &House) {
        let minutes = self.rng.random_range(-1_500..1_500);
        self.set(house, minutes);
    }
}

#[test]
fn syncs_go_by_the_vendors_clock() {
    let plan = Plan { jumps: true, changes: (6, 40), ..WHOLE };
    plan.run("clock::syncs_go_by_the_vendors_clock", 1_200, 1, kills(12));
    let plan = Plan { jumps: true, changes: (2, 30), ..ZENDESK };
    plan.run("clock::syncs_go_by_the_vendors_clock", 1_250, 1, kills(6));
}

#[test]
fn what_is_received_goes_by_the_order_in_which_it_came() {
    let test = "clock::what_is_received_goes_by_the_order_in_which_it_came";
    crate::seeds(test, 1_300, 1, |seed| {
        let mut house = House::new(&Traffic::sources(seed));
        let Some(mut clock) = Clock::of(&mut house, seed) else { return };
        let traffic = Traffic::new(&house, seed);
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let mut service = house.serve();
        traffic.to(&service);
        let senders = traffic.begin(&runtime);
        let mut rng = StdRng::seed_from_u64(seed);
        for _ in 0..kills(8) {
            std::thread::sleep(Duration::from_millis(rng.random_range(50..200)));
            clock.jump(&house);
            std::thread::sleep(Duration::from_millis(rng.random_range(50..200)));
            assert!(service.running.kill(), "it ended by itself");
            service = house.serve();
            traffic.to(&service);
        }
        traffic.finish(&runtime, senders);
        let said = traffic.check(&house, Duration::from_secs(60));
        house.balances();
        service.running.stop().success();
        eprintln!("{test}: seed {seed}: {} kills and jumps, {said}", kills(8));
    });
}

/// A clock that was ahead and has been set right does not keep a source waiting until it has caught up.
#[test]
fn a_schedule_survives_a_clock_that_is_set_back() {
    let stage = STRIPE.stage(None);
    let source = STRIPE.source(&stage).replace("start_date", "schedule = \"every 1m\"\nstart_date");
    let mut house = House::new(&source);
    let Some(clock) = Clock::of(&mut house, 0) else { return };
    clock.set(&house, 300);
    let service = house.serve();
    service.running.wait_for("synced");
    service.running.stop().success();
    clock.set(&house, 0);
    let asked = stage.stand.count();
    let service = house.serve();
    until("it is read again", || stage.stand.count() > asked + 5);
    service.running.stop().success();
}
