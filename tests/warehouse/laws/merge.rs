//! What happens when a row meets its older self.

use headwater::warehouse::table::Cell;
use headwater_core::object::{Change, Op, Version};
use headwater_core::record::Record;
use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{Config, TestCaseError, TestRunner},
};
use serde_json::{Value, json};

use super::{done, same};
use crate::world::{Draft, World, table};

/// The same changes in any order, in any number of loads, give the same table: of each row the newest.
pub fn order(world: &World) -> Result<(), String> {
    // Key and operation; the version is the place in the list. Then an order, and where loads end.
    let changes = vec((0..4u8, prop::bool::weighted(0.3)), 1..12);
    let cases = changes.prop_flat_map(|changes| {
        let places: Vec<usize> = (0..changes.len()).collect();
        (Just(changes), Just(places).prop_shuffle(), 1..4usize)
    });
    let case = std::cell::Cell::new(0);
    let mut runner = TestRunner::new_with_rng(
        Config { cases: 48, failure_persistence: None, max_shrink_iters: 0, ..Config::default() },
        proptest::test_runner::TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha),
    );
    let outcome = runner.run(&cases, |(changes, order, size)| {
        case.set(case.get() + 1);
        let t = table(&format!("order_{}", case.get()));
        for some in order.chunks(size) {
            let changes = some.iter().map(|&version| {
                let (key, gone) = changes[version];
                let record =
                    json!({"id": key.to_string(), "v": version, format!("only_{}", version % 2): true});
                Change::upsert("", Record::new(&record).expect("a record"))
                    .op(if gone { Op::Delete } else { Op::Upsert })
                    .version(Some(Version(version as i64)))
            });
            let draft = Draft { changes: changes.collect(), ..Draft::default() };
            world.commit(&t, draft).map_err(|error| TestCaseError::fail(error.to_string()))?;
        }
        let newest = |key: u8| changes.iter().enumerate().rfind(|(_, (of, _))| *of == key);
        for key in 0..4u8 {
            let rows = world.rows(&t);
            let row = rows.iter().find(|row| row["id"] == json!(key.to_string()));
            let Some((version, (_, gone))) = newest(key) else {
                prop_assert!(row.is_none());
                continue;
            };
            let Some(row) = row else { return Err(TestCaseError::fail("a row is missing")) };
            prop_assert_eq!(&row["_headwater_version"], &json!(version));
            prop_assert_eq!(&row["is_deleted"], &json!(u8::from(*gone)));
            if !gone {
                prop_assert_eq!(&row["v"], &json!(version));
                let other = format!("only_{}", 1 - version % 2);
                prop_assert!(row.get(&other).is_none_or(Value::is_null), "{:?}", row);
            }
        }
        Ok(())
    });
    outcome.map_err(|error| error.to_string())
}

/// A row is what its record is: columns that the record lacks become null, also those that only the table knows.
pub fn whole(world: &World) -> Result<(), String> {
    let t = table("whole");
    done(world.commit(&t, Draft::rows(&[json!({"id": "1", "a": 1, "b": 2, "_headwater_x": 3})])))?;
    done(world.commit(&t, Draft::rows(&[json!({"id": "1", "b": 3})])))?;
    same!(world.cells(&t, &["id", "a", "b"]), vec![vec!["1".into(), Cell::Null, Cell::Int(3)]], "the row");
    same!(world.rows(&t)[0]["_headwater_extra"], Value::Null, "_headwater_extra");
    Ok(())
}

/// A patch changes what it names, null included, and nothing else; of a row that is not there it makes a part.
pub fn patch(world: &World) -> Result<(), String> {
    let t = table("patch");
    done(world.commit(
        &t,
        Draft::of(Op::Upsert, Some(1), &[json!({"id": "1", "a": 1, "b": 2, "c": 3, "_headwater_x": 4})]),
    ))?;
    done(world.commit(
        &t,
        Draft::of(
            Op::Patch,
            Some(2),
            &[json!({"id": "1", "b": 5, "c": null, "_headwater_y": 6}), json!({"id": "2", "d": 7})],
        ),
    ))?;
    done(world.commit(&t, Draft::of(Op::Patch, Some(1), &[json!({"id": "1", "a": 9})])))?;
    let wanted = vec![
        vec!["1".into(), Cell::Int(1), Cell::Int(5), Cell::Null, Cell::Null],
        vec!["2".into(), Cell::Null, Cell::Null, Cell::Null, Cell::Int(7)],
    ];
    same!(world.cells(&t, &["id", "a", "b", "c", "d"]), wanted, "rows");
    same!(
        world.rows(&t)[0]["_headwater_extra"],
        json!(r#"{"_headwater_x":4,"_headwater_y":6}"#),
        "_headwater_extra"
    );
    Ok(())
}

/// Each row is counted once, as what happened to it.
pub fn counts(world: &World) -> Result<(), String> {
    let t = table("counts");
    let first = done(world.commit(
        &t,
        Draft::of(Op::Upsert, Some(5), &[json!({"id": "1"}), json!({"id": "2"}), json!({"id": "3"})]),
    ))?;
    same!(
        (first.inserted, first.updated, first.stale, first.deleted, first.rejected),
        (3, 0, 0, 0, 0),
        "first"
    );
    let mut draft = Draft::of(Op::Upsert, Some(5), &[json!({"id": "1"})]);
    draft.changes.extend(Draft::of(Op::Upsert, Some(4), &[json!({"id": "2"})]).changes);
    draft.changes.extend(Draft::of(Op::Delete, Some(6), &[json!({"id": "3"})]).changes);
    draft.changes.extend(Draft::of(Op::Upsert, Some(1), &[json!({"id": "4"})]).changes);
    let second = done(world.commit(&t, draft))?;
    same!(
        (second.inserted, second.updated, second.stale, second.deleted, second.rejected),
        (1, 1, 1, 1, 0),
        "second"
    );
    same!(world.stand.rows("_headwater_loads").len(), 2, "loads");
    Ok(())
}

/// Rows of the overlap that were not known are counted: above zero, the lag is too small.
pub fn overlap(world: &World) -> Result<(), String> {
    let t = table("overlap");
    done(world.commit(&t, Draft::rows(&[json!({"id": "1"})])))?;
    let again = Draft { overlap: true, ..Draft::rows(&[json!({"id": "1"}), json!({"id": "2"})]) };
    let told = done(world.commit(&t, again))?;
    same!((told.inserted, told.updated, told.overlap_new), (1, 1, 1), "counts");
    Ok(())
}

/// A load that was applied is not applied again.
pub fn twice(world: &World) -> Result<(), String> {
    let t = table("twice");
    let draft = |v: i64| Draft {
        id: Some("one".into()),
        ..Draft::of(Op::Upsert, Some(v), &[json!({"id": "1", "v": v})])
    };
    done(world.commit(&t, draft(1)))?;
    let before = world.rows(&t);
    let told = done(world.commit(&t, draft(2)))?;
    same!(world.rows(&t), before, "rows");
    same!((told.inserted, told.updated), (0, 0), "counts");
    Ok(())
}

/// Rows and progress are written together, or neither is.
pub fn together(world: &World) -> Result<(), String> {
    let t = table("together");
    let draft = |number: i64| Draft {
        progress: vec![("together".into(), json!({"to": number})), ("other".into(), Value::Null)],
        ..Draft::rows(&[json!({"id": "1", "v": number, format!("m{number}"): 1})])
    };
    done(world.commit(&t, Draft { progress: vec![("other".into(), json!(1))], ..draft(0) }))?;
    done(world.commit(&t, draft(1)))?;
    let (rows, progress) = (world.rows(&t), world.progress());
    same!(progress.get("together"), Some(&json!({"to": 1})), "progress");
    same!(progress.contains_key("other"), false, "removed progress");
    // Loads cannot be written any more: the commit fails at its end.
    world.stand.refuse("_headwater_loads", "id", "bad");
    let bad = Draft { id: Some("bad".into()), ..draft(2) };
    same!(world.commit(&t, bad).is_err(), true, "the commit fails");
    same!(world.progress(), progress, "progress");
    same!(world.rows(&t), rows, "rows");
    // And afterwards it goes on, the columns of the failed load included.
    done(world.commit(&t, draft(2)))?;
    same!(world.cells(&t, &["v", "m2"]), vec![vec![Cell::Int(2), Cell::Int(1)]], "the next load");
    Ok(())
}

/// A row that cannot be loaded is kept with its reason, once, and costs none of its neighbours.
pub fn rejects(world: &World) -> Result<(), String> {
    let t = table("rejects");
    done(world.commit(&t, Draft::rows(&[json!({"id": "1", "v": "good"})])))?;
    world.stand.refuse("rejects", "v", "bad");
    let records = [
        json!({"id": "2", "v": "good"}),
        json!({"id": "3", "v": "bad"}),
        json!({"id": null, "v": "good"}),
        json!({"id": "4", "v": "good"}),
    ];
    let told = done(world.commit(&t, Draft::rows(&records)))?;
    same!((told.inserted, told.rejected), (2, 1), "counts");
    same!(
        world.cells(&t, &["id"]),
        [["1".into()], ["2".into()], ["4".into()]].map(Vec::from).to_vec(),
        "rows"
    );
    done(world.commit(&t, Draft::rows(&records)))?;
    let kept = world.stand.rows("_headwater_rejects");
    same!(kept.len(), 2, "rejects");
    same!(kept.iter().all(|row| row["table_name"] == "rejects" && row["reason"] != ""), true, "{kept:?}");
    same!(kept.iter().any(|row| row["payload"] == r#"{"id":"3","v":"bad"}"#), true, "{kept:?}");
    Ok(())
}

/// Keys are read in pages: every living row once.
pub fn pages_of_keys(world: &World) -> Result<(), String> {
    let t = headwater_core::object::Collection {
        key: &["id", "n"],
        fields: "id text, n int",
        ..table("pages_of_keys")
    };
    let records: Vec<Value> = (0..25).map(|n| json!({"id": format!("{}", n % 3), "n": n})).collect();
    done(world.commit(&t, Draft::rows(&records)))?;
    done(world.commit(&t, Draft::of(Op::Delete, None, &records[..5])))?;
    let mut all: Vec<Vec<Cell>> = Vec::new();
    loop {
        let page = world.keys(&t, &["id", "n"], all.last().map(Vec::as_slice), 7);
        if page.is_empty() {
            break;
        }
        all.extend(page);
    }
    let mut wanted: Vec<(String, i64)> = (5..25).map(|n| (format!("{}", n % 3), n)).collect();
    wanted.sort();
    let wanted: Vec<Vec<Cell>> =
        wanted.into_iter().map(|(id, n)| vec![Cell::Text(id), Cell::Int(n)]).collect();
    same!(all, wanted, "keys");
    Ok(())
}
