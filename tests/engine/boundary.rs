//! Lists that shift while they are read, and rows that come late: over a sequence of runs no row is lost, none stays that is gone, and
//! rows that came late are counted.

use std::{collections::BTreeSet, time::Duration};

use headwater_core::{
    cursor::{More, Pages, Put, Since},
    object::{Collection, Deletes},
};
use headwater_tests::is_long;
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::Value;

use crate::{
    pretend::{LIST, changed},
    vendor::State,
    world::{World, ago, outcome, row, some},
};

const USERS: Collection = Collection { name: "users", ..LIST };

/// How a list is read; and whether rows may leave it or move in it while it is.
fn shapes(overlap: u64) -> [(&'static str, Collection, bool); 5] {
    let offset = Pages::Offset { into: Put::Query("offset"), size: 2, more: More::Full };
    let number = Pages::Number { into: Put::Query("number"), first: 1, size: 2, more: More::Full };
    let newest = Since::Newest {
        field: "updated_at",
        overlap: Duration::from_secs(overlap),
        lag: Duration::from_secs(60),
    };
    let kept = Collection { deletes: Deletes::Never, ..USERS };
    [
        ("by token", USERS, true),
        ("by offset", Collection { pages: offset, ..USERS }, true),
        ("by number", Collection { pages: number, ..USERS }, true),
        ("by time", Collection { since: changed(overlap, 60), ..kept }, false),
        ("newest first", Collection { since: Some(newest), ..kept }, false),
    ]
}

/// What happens between two requests for a page.
fn happen(rng: &mut StdRng, state: &mut State, shifts: bool, ids: &mut u32, gone: &mut u32) {
    let rows = state.lists.get_mut("users").expect("the list");
    let place = rng.random_range(0..rows.len());
    match rng.random_range(0..10) {
        // It stands anywhere in a list without order; where time is what counts, it is as late as the overlap allows for.
        0..4 => {
            *ids += 1;
            rows.insert(place, row(&format!("new{ids:03}"), ago(rng.random_range(62..150))));
        }
        // A few leave: many at once would be held back.
        4 if shifts && *gone < 3 => {
            rows.remove(place);
            *gone += 1;
        }
        5..7 if shifts => {
            let row = rows.remove(place);
            rows.push(row);
        }
        _ => {}
    }
}

/// Runs while the list changes, then in peace; what is missing or too much in the end, and how many came late.
async fn runs(seed: u64, overlap: u64) -> Result<u64, String> {
    let (name, collection, shifts) = shapes(overlap)[seed as usize % 5];
    let world = World::new(vec![collection], vec![]).await;
    if name == "newest first" {
        world.vendor.state().newest_first.insert("users".into());
    }
    world.vendor.put("users", some(20, 70));
    let mut rng = StdRng::seed_from_u64(seed);
    let (mut ids, mut gone) = (0, 0);
    world.vendor.hook(move |ask, state| {
        if ask.path == "users" {
            happen(&mut rng, state, shifts, &mut ids, &mut gone);
        }
        None
    });
    let mut late = 0;
    for run in 0..6 {
        if run == 3 {
            world.vendor.behave();
        }
        late += outcome(&world.success().await, "users").overlap_new;
    }
    let id = |row: &Value| row["id"].as_str().unwrap_or_default().to_owned();
    let there: BTreeSet<String> = world.ids("users").into_iter().collect();
    let listed: BTreeSet<String> = world.vendor.state().lists["users"].iter().map(id).collect();
    match there == listed {
        true => Ok(late),
        false => Err(format!(
            "seed {seed}, {name}: lost {:?}, too much {:?}",
            listed.difference(&there).collect::<Vec<_>>(),
            there.difference(&listed).collect::<Vec<_>>()
        )),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_row_is_lost_over_a_sequence_of_runs() {
    let mut late = 0;
    for seed in 0..if is_long() { 2_000 } else { 60 } {
        late += runs(seed, 300).await.unwrap_or_else(|lost| panic!("{lost}"));
    }
    assert!(late > 20, "rows that come late are counted: {late}");
}

/// Without the overlap rows are lost, and this is where it shows.
#[tokio::test(flavor = "multi_thread")]
async fn reading_on_from_the_newest_seen_would_be_noticed() {
    for seed in 0..40 {
        if runs(seed * 5 + 3, 0).await.is_err() {
            return;
        }
    }
    panic!("nothing was lost without an overlap");
}
