//! Killed while it starts: folders, keys, migrations, the first tables, logs that are mended. Whatever was half made, the next start
//! makes whole.

use std::{sync::Arc, time::Duration};

use headwater::sandbox::stripe::Stripe;
use rand::{Rng, SeedableRng, rngs::StdRng};

use crate::{
    house::House,
    kills,
    supervisor::Plan,
    tables::{count, living, same},
};

const SHOP: Plan = Plan {
    days: Some(30),
    delay: Duration::ZERO,
    ..Plan::of(|account| Arc::new(Stripe::new(account)), 1_200)
};

/// New houses, each killed some times before it has ever been whole.
#[test]
fn a_start_can_be_killed_at_any_instant() {
    let test = "startup::a_start_can_be_killed_at_any_instant";
    let calm = SHOP.stage(None);
    calm.play.finish();
    let house = House::new(&SHOP.source(&calm));
    house.run(&["sync", "shop"]).success();
    let whole = living(&house, "shop");
    crate::seeds(test, 1_000, kills(40) / 4, |seed| {
        let stage = SHOP.stage(None);
        stage.play.finish();
        let site = "[[source]]\nname = \"site\"\nconnector = \"segment\"\n";
        let house = House::new(&format!("{}{site}", SHOP.source(&stage)));
        let mut rng = StdRng::seed_from_u64(seed);
        for kill in 0..4 {
            let command: &[&str] = [&["run"][..], &["sync", "shop"]][rng.random_range(0..2)];
            let mut running = house.start(command);
            std::thread::sleep(Duration::from_micros(rng.random_range(1_000..120_000)));
            match running.is_alive() {
                true => drop(running.kill()),
                false => assert_eq!(running.wait(Duration::ZERO).code, Some(0), "after {kill} kills"),
            }
        }
        house.run(&["sync", "shop"]).success();
        let found = living(&house, "shop");
        same(&found, &whole);
        // Keys are made once: whoever has one keeps it.
        let key = house.source("site")["write_key"].clone();
        let service = house.serve();
        assert_eq!(house.source("site")["write_key"], key);
        service.running.stop().success();
        eprintln!("{test}: seed {seed}: 4 kills, {} rows", count(&found));
    });
}
