//! All of it at once, as it is in service: syncs by schedule, traffic, a vendor that changes and a network that fails; killed at any
//! instant.

use std::time::Duration;

use rand::{Rng, SeedableRng, rngs::StdRng};

use crate::{
    Kind,
    ingest::Traffic,
    kills,
    supervisor::Plan,
    syncs::WHOLE,
    tables::{count, living, same},
};

/// So many kills of one service.
fn killed(test: &str, plan: Plan, first: u64, kills: usize) {
    let (whole, _) = plan.undisturbed();
    crate::seeds(test, first, 1, |seed| {
        let stage = plan.stage(Some(seed));
        let shop = plan.source(&stage).replace("start_date", "schedule = \"* * * * * *\"\nstart_date");
        let house = plan.warehouse.house(&format!("{shop}{}", Traffic::sources(seed)));
        let traffic = Traffic::new(&house, seed);
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let mut service = house.serve();
        traffic.to(&service);
        let senders = traffic.begin(&runtime);
        let mut rng = StdRng::seed_from_u64(seed);
        // A slow machine spends these kills in start-ups: they go on until the schedule has been seen at work.
        for kill in 0.. {
            let asked = stage.stand.count();
            if kill >= kills && asked > 50 {
                break;
            }
            assert!(
                kill < 10 * kills,
                "the schedule is followed between kills: {asked} requests after {kill}"
            );
            std::thread::sleep(Duration::from_millis(rng.random_range(20..1_200)));
            assert!(service.running.kill(), "it ended by itself, after {kill} kills");
            service = house.serve();
            traffic.to(&service);
        }
        let asked = stage.stand.count();
        house.balances();
        traffic.finish(&runtime, senders);
        let said = traffic.check(&house, Duration::from_secs(60));
        stage.play.finish();
        service.running.stop().success();
        for _ in 0..2 {
            house.run(&["sync", "shop"]).success();
        }
        let found = living(&house, "shop");
        same(&found, &whole);
        eprintln!("{test}: seed {seed}: {kills} kills, {asked} requests, {} rows; {said}", count(&found));
    });
}

#[test]
fn a_service_at_work() {
    let plan = Plan { trouble: true, changes: (6, 60), ..WHOLE };
    killed("live::a_service_at_work", plan, 1_500, kills(16));
}

#[test]
fn a_service_at_work_on_postgres() {
    let plan = Plan { trouble: true, changes: (6, 60), warehouse: Kind::Postgres, ..WHOLE };
    killed("live::a_service_at_work_on_postgres", plan, 1_550, kills(12));
}
