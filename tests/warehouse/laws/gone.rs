//! What is gone stays known, and only what is gone is marked.

use headwater::warehouse::{Prune, Swept, table::Cell};
use headwater_core::object::{Collection, Op};
use jiff::SignedDuration;
use serde_json::{Value, json};

use super::{done, same};
use crate::world::{Draft, World, table};

/// A deleted row is marked and keeps its values; one that was never there is remembered; an older change brings
/// neither back.
pub fn tombstones(world: &World) -> Result<(), String> {
    let t = table("tombstones");
    done(world.commit(&t, Draft::of(Op::Upsert, Some(1), &[json!({"id": "1", "v": "kept"})])))?;
    let told = done(world.commit(
        &t,
        Draft::of(Op::Delete, Some(5), &[json!({"id": "1"}), json!({"id": "2", "v": "never"})]),
    ))?;
    same!(told.deleted, 2, "deleted");
    let told = done(world.commit(
        &t,
        Draft::of(Op::Upsert, Some(4), &[json!({"id": "1", "v": "late"}), json!({"id": "2", "v": "late"})]),
    ))?;
    same!(told.stale, 2, "stale");
    let rows: Vec<Value> =
        world.rows(&t).iter().map(|row| json!([row["id"], row["v"], row["is_deleted"]])).collect();
    same!(rows, [json!(["1", "kept", 1]), json!(["2", null, 1])], "rows");
    Ok(())
}

/// A newer change brings a deleted row back.
pub fn revive(world: &World) -> Result<(), String> {
    let t = table("revive");
    done(world.commit(&t, Draft::of(Op::Upsert, Some(1), &[json!({"id": "1", "v": "old"})])))?;
    done(world.commit(&t, Draft::of(Op::Delete, Some(2), &[json!({"id": "1"})])))?;
    same!(world.cells(&t, &["v"]), Vec::<Vec<Cell>>::new(), "no living row");
    done(world.commit(&t, Draft::of(Op::Upsert, Some(3), &[json!({"id": "1", "v": "new"})])))?;
    same!(world.cells(&t, &["v"]), vec![vec![Cell::from("new")]], "the living row");
    Ok(())
}

fn passed(pass: &'static str, ids: std::ops::Range<u32>) -> Draft {
    let records: Vec<Value> = ids.map(|id| json!({"id": format!("{id:02}")})).collect();
    Draft { pass: Some(pass), ..Draft::rows(&records) }
}

const NOW: SignedDuration = SignedDuration::ZERO;
const HOUR: SignedDuration = SignedDuration::from_hours(1);

/// A sweep marks what the pass did not meet, and spares what was loaded after the pass began.
pub fn sweep(world: &World) -> Result<(), String> {
    let t = table("sweep");
    done(world.commit(&t, passed("one", 0..10)))?;
    done(world.commit(&t, passed("two", 1..10)))?;
    let swept = done(world.sweep(&t, "two", HOUR, 0.2))?;
    same!(swept, Swept { deleted: 0, held: 0, living: 10 }, "all were loaded later");
    let swept = done(world.sweep(&t, "two", NOW, 0.2))?;
    same!(swept, Swept { deleted: 1, held: 0, living: 10 }, "one is gone");
    let again = done(world.sweep(&t, "two", NOW, 0.2))?;
    same!(again, Swept { deleted: 0, held: 0, living: 9 }, "once");
    let gone: Vec<Value> = world
        .rows(&t)
        .into_iter()
        .filter(|row| row["is_deleted"] == json!(1))
        .map(|row| row["id"].clone())
        .collect();
    same!(gone, [json!("00")], "the one");
    same!(done(world.sweep(&table("sweep_nothing"), "two", NOW, 0.2))?, Swept::default(), "no table");
    Ok(())
}

/// A sweep that would take too much only counts, and so does one after a pass that met nothing; the user can accept it.
pub fn sweep_holds(world: &World) -> Result<(), String> {
    let t = table("sweep_holds");
    done(world.commit(&t, passed("one", 0..10)))?;
    done(world.commit(&t, passed("two", 3..10)))?;
    same!(done(world.sweep(&t, "two", NOW, 0.2))?, Swept { deleted: 0, held: 3, living: 10 }, "too many");
    same!(
        done(world.sweep(&t, "three", NOW, 0.99))?,
        Swept { deleted: 0, held: 10, living: 10 },
        "nothing met"
    );
    same!(world.cells(&t, &["id"]).len(), 10, "the living");
    same!(done(world.sweep(&t, "two", NOW, 1.0))?, Swept { deleted: 3, held: 0, living: 10 }, "accepted");
    Ok(())
}

/// A row that a pass has met is not gone, even if what the pass brought of it was older than the row.
pub fn sweep_spares_stale_rows(world: &World) -> Result<(), String> {
    let t = table("sweep_spares");
    done(world.commit(&t, Draft::of(Op::Upsert, Some(9), &[json!({"id": "1"}), json!({"id": "2"})])))?;
    let stale = Draft {
        pass: Some("one"),
        ..Draft::of(Op::Upsert, Some(1), &[json!({"id": "1"}), json!({"id": "2"})])
    };
    same!(done(world.commit(&t, stale))?.stale, 2, "stale");
    same!(done(world.sweep(&t, "one", NOW, 0.9))?, Swept { deleted: 0, held: 0, living: 2 }, "swept");
    // A change without a pass does not make the pass forget the row.
    done(world.commit(&t, Draft::of(Op::Upsert, Some(10), &[json!({"id": "1"})])))?;
    same!(
        done(world.sweep(&t, "one", NOW, 0.9))?,
        Swept { deleted: 0, held: 0, living: 2 },
        "swept after a change"
    );
    Ok(())
}

/// A list that was read whole under one parent: what it no longer has is marked, under this parent alone.
pub fn prune(world: &World) -> Result<(), String> {
    let t = Collection { fields: "id text, invoice_id text, kind text", ..table("prune") };
    let line = |id: &str, invoice: &str| json!({"id": id, "invoice_id": invoice, "kind": "line"});
    let first = [line("1", "a"), line("2", "a"), line("3", "b")];
    done(world.commit(&t, Draft { pass: Some("one"), ..Draft::rows(&first) }))?;
    let prune =
        Prune { table: "prune".into(), scope: vec![("invoice_id".into(), "a".into())], pass: "two".into() };
    let draft =
        Draft { pass: Some("two"), prunes: vec![prune], ..Draft::rows(&[line("1", "a"), line("4", "a")]) };
    same!(done(world.commit(&t, draft))?.deleted, 1, "deleted");
    same!(
        world.cells(&t, &["id"]),
        [["1".into()], ["3".into()], ["4".into()]].map(Vec::from).to_vec(),
        "the living"
    );
    let nothing =
        Prune { table: "prune".into(), scope: vec![("no_such".into(), "a".into())], pass: "three".into() };
    same!(
        done(world.commit(&t, Draft { prunes: vec![nothing], ..Draft::default() }))?.deleted,
        0,
        "no such column"
    );
    Ok(())
}
