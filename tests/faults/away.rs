//! A warehouse that is away for a while, and a disk that is full: what was acknowledged waits, a sync says why it cannot go on, and
//! afterwards nothing is missing.

use std::{sync::Arc, time::Duration};

use headwater::sandbox::stripe::Stripe;
use headwater_tests::postgres::Server;
use rand::{Rng, SeedableRng, rngs::StdRng};
use rusqlite::Connection;

use crate::{
    disk::Disk,
    house::{House, until},
    ingest::Traffic,
    is_long,
    supervisor::Plan,
    tables::{living, same},
};

const SHOP: Plan = Plan { days: Some(88), ..Plan::of(|account| Arc::new(Stripe::new(account)), 500) };

/// After a while away the warehouse is tried once a minute.
const LONGEST_PAUSE: Duration = Duration::from_secs(90);

/// Somebody else writes to the warehouse's file, and does not end: longer than a commit waits for its turn.
#[test]
fn a_warehouse_that_is_away_holds_up_nobody_and_loses_nothing() {
    let test = "away::a_warehouse_that_is_away_holds_up_nobody_and_loses_nothing";
    crate::seeds(test, 1_100, 1, |seed| {
        let house = House::new(&Traffic::sources(seed));
        let traffic = Traffic::new(&house, seed);
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let mut service = house.serve();
        traffic.to(&service);
        let senders = traffic.begin(&runtime);
        until("the first calls are there", || house.number("site", "SELECT count(*) FROM tracks") > 0);
        let other = Connection::open(house.path("headwater-data/warehouse/site.db")).expect("the file");
        other.busy_timeout(Duration::from_secs(10)).expect("a time-out");
        other.execute_batch("BEGIN IMMEDIATE").expect("the writer's turn");
        let loaded = house.number("site", "SELECT count(*) FROM tracks");
        let before = traffic.acknowledged();
        let mut rng = StdRng::seed_from_u64(seed);
        let away = Duration::from_secs(if is_long() { 60 } else { 12 });
        for kill in 0..3 {
            std::thread::sleep(if kill == 0 {
                away
            } else {
                Duration::from_millis(rng.random_range(0..400))
            });
            assert!(service.running.kill(), "it ended by itself");
            service = house.serve();
            traffic.to(&service);
        }
        house.balances();
        assert_eq!(house.number("site", "SELECT count(*) FROM tracks"), loaded, "it is away");
        assert!(traffic.acknowledged() > before + 20, "deliveries are taken all the same");
        other.execute_batch("COMMIT").expect("the end of the turn");
        traffic.finish(&runtime, senders);
        let said = traffic.check(&house, LONGEST_PAUSE);
        house.balances();
        service.running.stop().success();
        eprintln!("{test}: seed {seed}: away for {away:?}, 3 kills, {said}");
    });
}

#[test]
fn a_sync_whose_warehouse_is_away_says_so_and_goes_on_later() {
    let (calm, stage) = (SHOP.stage(None), SHOP.stage(None));
    [&calm, &stage].iter().for_each(|stage| stage.play.finish());
    let (whole, house) = (House::new(&SHOP.source(&calm)), House::new(&SHOP.source(&stage)));
    whole.run(&["sync", "shop"]).success();
    house.run(&["sync", "shop", "--collection", "plans"]).success();
    let other = Connection::open(house.path("headwater-data/warehouse/shop.db")).expect("the file");
    other.execute_batch("BEGIN IMMEDIATE").expect("the writer's turn");
    let away = house.run(&["sync", "shop"]);
    assert!(away.code == Some(1) && away.err.contains("locked by another program"), "{away:?}");
    other.execute_batch("ROLLBACK").expect("the end of the turn");
    house.run(&["sync", "shop"]).success();
    same(&living(&house, "shop"), &living(&whole, "shop"));
}

#[test]
fn a_sync_whose_disk_is_full_says_so_and_goes_on_later() {
    let (calm, stage) = (SHOP.stage(None), SHOP.stage(None));
    [&calm, &stage].iter().for_each(|stage| stage.play.finish());
    let (whole, house) = (House::new(&SHOP.source(&calm)), House::new(&SHOP.source(&stage)));
    let disk = match Disk::mount(2) {
        Ok(disk) => disk,
        Err(why) => {
            eprintln!("SKIPPED: a full disk needs a small tmpfs, which only root may mount here: {why}");
            return;
        }
    };
    whole.run(&["sync", "shop"]).success();
    std::os::unix::fs::symlink(disk.path(), house.path("headwater-data")).expect("a link");
    let full = house.run(&["sync", "shop"]);
    assert!(full.code != Some(0) && full.err.contains("is full"), "{full:?}");
    // Every attempt says so, none makes it worse.
    let full = house.run(&["sync", "shop"]);
    assert!(full.code != Some(0) && full.err.contains("is full"), "{full:?}");
    disk.resize(200);
    house.run(&["sync", "shop"]).success();
    same(&living(&house, "shop"), &living(&whole, "shop"));
}

/// A Postgres that crashes, is away while there is traffic and the program is killed, and comes back.
#[test]
fn a_postgres_that_is_away_holds_up_nobody_and_loses_nothing() {
    let test = "away::a_postgres_that_is_away_holds_up_nobody_and_loses_nothing";
    crate::seeds(test, 1_150, 1, |seed| {
        let server = Server::start(&[]);
        let house = House::in_postgres(&Traffic::sources(seed), server.database());
        let traffic = Traffic::new(&house, seed);
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let mut service = house.serve();
        traffic.to(&service);
        let senders = traffic.begin(&runtime);
        until("the first calls are there", || house.number("site", "SELECT count(*) FROM tracks") > 0);
        let mut rng = StdRng::seed_from_u64(seed);
        for round in 0..3 {
            if round == 0 {
                server.stop()
            } else {
                server.crash()
            }
            let before = traffic.acknowledged();
            std::thread::sleep(Duration::from_millis(if is_long() {
                60_000
            } else {
                rng.random_range(200..2_000)
            }));
            assert!(service.running.kill(), "it ended by itself");
            service = house.serve();
            traffic.to(&service);
            until("deliveries are taken all the same", || traffic.acknowledged() > before + 5);
            house.balances();
            assert!(server.resume(), "it starts again");
            std::thread::sleep(Duration::from_millis(rng.random_range(0..500)));
        }
        traffic.finish(&runtime, senders);
        let said = traffic.check(&house, LONGEST_PAUSE);
        house.balances();
        service.running.stop().success();
        eprintln!("{test}: seed {seed}: away three times, 3 kills, {said}");
    });
}
