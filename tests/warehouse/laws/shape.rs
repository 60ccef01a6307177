//! Tables grow, and no value is lost on the way.

use headwater::warehouse::{
    name::MAX_IDENTIFIER,
    table::{Cell, MAX_COLUMNS, widen},
};
use headwater_core::object::{Collection, Type};
use serde_json::{Map, Value, json};

use super::{done, same};
use crate::world::{Draft, World, table};

/// A member that was not there before gets a column; rows that lack it keep null; nothing else changes.
pub fn growth(world: &World) -> Result<(), String> {
    let t = table("growth");
    done(world.prepare(&Collection { fields: "id text, named int", ..t }))?;
    done(world.commit(&t, Draft::rows(&[json!({"id": "1", "a": 1})])))?;
    done(world.commit(
        &t,
        Draft::rows(&[json!({"id": "2", "b": {"cD": "x", "e": {"f": true}}, "list": [1, {"g": 2}]})]),
    ))?;
    done(world.prepare(&t))?;
    let found = world.cells(&t, &["id", "named", "a", "b_c_d", "b_e_f", "list"]);
    let wanted = vec![
        vec!["1".into(), Cell::Null, Cell::Int(1), Cell::Null, Cell::Null, Cell::Null],
        vec![
            "2".into(),
            Cell::Null,
            Cell::Null,
            "x".into(),
            Cell::Bool(true),
            Cell::Json(r#"[1,{"g":2}]"#.into()),
        ],
    ];
    same!(found, wanted, "rows");
    Ok(())
}

/// Whatever type a column had, and whatever comes: both values are there afterwards, in the type that holds both.
pub fn widening(world: &World) -> Result<(), String> {
    let samples = [
        ("true", Cell::Bool(true)),
        ("9007199254740993", Cell::Int(9007199254740993)),
        ("0.30000000000000004", Cell::Real(0.30000000000000004)),
        ("123456789012345678901234567890", Cell::Numeric("123456789012345678901234567890".into())),
        ("0.12345678901234567890", Cell::Numeric("0.12345678901234567890".into())),
        (r#""words""#, Cell::Text("words".into())),
        (r#""2024-05-06T12:00:00.5Z""#, Cell::Time("2024-05-06T12:00:00.5Z".parse().expect("a time"))),
        (r#""2024-05-06""#, Cell::Date("2024-05-06".parse().expect("a day"))),
        (r#"[1,{"a":"b"}]"#, Cell::Json(r#"[1,{"a":"b"}]"#.into())),
    ];
    for (number, (one, first)) in samples.iter().enumerate() {
        for (other_number, (other, second)) in samples.iter().enumerate() {
            let t = table(&format!("widening_{number}_{other_number}"));
            // The digits as they stand: a tree of values would round them.
            let raw = |id: &str, json: &str| Draft::raw(&format!(r#"{{"id":"{id}","v":{json}}}"#));
            done(world.commit(&t, raw("1", one)))?;
            done(world.commit(&t, raw("2", other)))?;
            let (Some(a), Some(b)) = (first.kind(), second.kind()) else { continue };
            let wide = widen(a, b);
            let found = world.cells(&t, &["v"]);
            let wanted = vec![vec![first.fit(wide).into_owned()], vec![second.fit(wide).into_owned()]];
            same!(found, wanted, "{one} and then {other}");
            // And text takes them all.
            done(world.commit(&t, raw("3", r#""text""#)))?;
            let found = world.cells(&t, &["v"]);
            let wanted: Vec<Vec<Cell>> = wanted
                .iter()
                .map(|row| vec![row[0].fit(widen(wide, Type::Text)).into_owned()])
                .chain([vec!["text".into()]])
                .collect();
            same!(found, wanted, "{one}, {other} and then text");
        }
    }
    Ok(())
}

/// A table has at most so many columns; what comes after them is in `_headwater_extra`, and somebody is told.
pub fn columns(world: &World) -> Result<(), String> {
    let t = table("columns");
    let mut wide: Map<String, Value> =
        (0..2 * MAX_COLUMNS).map(|at| (format!("m{at:05}"), json!(at))).collect();
    wide.insert("id".into(), json!("1"));
    let told = done(world.commit(&t, Draft::rows(&[Value::Object(wide.clone())])))?;
    done(world.commit(&t, Draft::rows(&[json!({"id": "2", "late": {"r": "x"}})])))?;
    same!(world.stand.columns("columns").len() <= MAX_COLUMNS, true, "columns within the limit");
    same!(told.notices.is_empty(), false, "nobody was told");
    let rows = world.rows(&t);
    let extra = extra(&rows[0])?;
    for (name, value) in &wide {
        let found = rows[0].get(name).or_else(|| extra.get(name));
        let found = found.map(|found| found.as_str().map_or(found.clone(), Value::from));
        same!(found.as_ref(), Some(value), "{name}");
    }
    same!(self::extra(&rows[1])?.get("late.r"), Some(&json!("x")), "a member that came too late");
    Ok(())
}

/// Long names are cut to what every database takes, and those of different members stay different.
pub fn identifiers(world: &World) -> Result<(), String> {
    let t = table("identifiers");
    let (one, two) = (format!("{}one", "long_".repeat(20)), format!("{}two", "long_".repeat(20)));
    let record = json!({"id": "1", &one: 1, &two: 2, "2nd": 3, "größe": 4, "名前": 5, "名": 6});
    done(world.commit(&t, Draft::rows(std::slice::from_ref(&record))))?;
    let before = world.stand.columns("identifiers");
    done(world.commit(&t, Draft::rows(std::slice::from_ref(&record))))?;
    same!(world.stand.columns("identifiers"), before, "the same members, the same columns");
    same!(before.iter().all(|name| name.len() <= MAX_IDENTIFIER), true, "{before:?}");
    let row = &world.rows(&t)[0];
    let mut values: Vec<i64> = row
        .iter()
        .filter(|(name, _)| !name.starts_with("_headwater") && *name != "is_deleted")
        .filter_map(|(_, v)| v.as_i64())
        .collect();
    values.sort();
    same!(values, [1, 2, 3, 4, 5, 6], "values");
    same!(row.get("_2nd"), Some(&json!(3)), "a leading digit");
    Ok(())
}

/// Members whose names become the same column are kept apart, the same way each time, whichever comes first.
pub fn collisions(world: &World) -> Result<(), String> {
    let t = table("collisions");
    done(
        world.commit(&t, Draft::rows(&[json!({"id": "1", "aB": 1, "a_b": 2, "a": {"b": 3}, "A": {"b": 4}})])),
    )?;
    let names = world.stand.columns("collisions");
    for (id, name, value) in [("2", "aB", 1), ("3", "a_b", 2)] {
        done(world.commit(&t, Draft::rows(&[json!({"id": id, name: value})])))?;
    }
    same!(world.stand.columns("collisions"), names, "no further columns");
    let rows = world.rows(&t);
    same!(rows[0].get("a_b"), Some(&json!(2)), "who is called so has the name");
    let column = |value: i64| {
        rows[0].iter().find(|(name, v)| name.starts_with("a_b") && **v == json!(value)).map(|(name, _)| name)
    };
    for value in 1..=4 {
        same!(column(value).is_some(), true, "the value {value} is there");
    }
    for (at, value) in [(1, 1), (2, 2)] {
        let name = column(value).ok_or("no column")?;
        same!(rows[at].get(name), Some(&json!(value)), "a member alone goes to its own column");
    }
    Ok(())
}

/// What is named as Headwater's own columns loses its column, not its value; a documented `is_deleted` counts.
pub fn reserved(world: &World) -> Result<(), String> {
    let t = table("reserved");
    let record = json!({"id": "1", "received_at": "r", "uuid_ts": "u", "is_deleted": true, "_headwater_pass": "p",
        "uuid": {"ts": "n"}, "_headwater_own": 1, "digits": 5});
    done(world.commit(&t, Draft::rows(&[record])))?;
    let rows = world.rows(&t);
    let extra = extra(&rows[0])?;
    let wanted = json!({"received_at": "r", "uuid_ts": "u", "is_deleted": true, "_headwater_pass": "p", "uuid.ts": "n",
        "_headwater_own": 1});
    same!(Value::Object(extra), wanted, "_headwater_extra");
    same!(rows[0].get("is_deleted"), Some(&json!(0)), "is_deleted");
    same!(rows[0].get("digits"), Some(&json!(5)), "digits");
    let t = Collection { fields: "id text, is_deleted bool = Gone", ..table("reserved_documented") };
    done(
        world.commit(&t, Draft::rows(&[json!({"id": "1", "Gone": true}), json!({"id": "2", "Gone": false})])),
    )?;
    same!(world.cells(&t, &["id"]), vec![vec![Cell::from("2")]], "the living");
    Ok(())
}

/// Text that no database takes is replaced, and somebody is told; objects below the eighth level stay JSON.
pub fn text(world: &World) -> Result<(), String> {
    let t = table("text");
    let json = r#"{"id":"1","nul":"a\u0000b","lone":"\ud800x","list":["\u0000"],"l1":{"l2":{"l3":{"l4":{"l5":{"l6":{"l7":{"l8":{"l9":1}}}}}}}}}"#;
    let told = done(world.commit(&t, Draft::raw(json)))?;
    let row = &world.rows(&t)[0];
    same!(row.get("nul"), Some(&json!("a\u{fffd}b")), "NUL");
    same!(row.get("lone"), Some(&json!("\u{fffd}x")), "a lone surrogate");
    same!(row.get("list"), Some(&json!(r#"["\ufffd"]"#)), "NUL inside JSON");
    same!(row.get("l1_l2_l3_l4_l5_l6_l7_l8"), Some(&json!(r#"{"l9":1}"#)), "the ninth level");
    same!(told.notices.len(), 1, "notices");
    Ok(())
}

/// Documented columns come from where the fields say, in the type they say.
pub fn declared(world: &World) -> Result<(), String> {
    let fields = "id text, customer_id text = customer, created time, amount numeric, email text = profile.mails.0.value, \
        card_ object = source.card, parent_id text = ^id, place int = #, raw json, day date, missing real";
    let t = Collection { fields, ..table("declared") };
    let parent =
        headwater_core::record::Record::new(&json!({"id": "p"})).map_err(|error| error.to_string())?;
    let record = json!({"id": 7, "customer": "c", "created": 1714996800, "amount": "12.50", "profile": {"mails": [{"value": "e"}]},
        "source": {"card": {"brandName": "b", "last4": "0001"}}, "raw": {"x": 1}, "day": "2024-05-06", "customer_id": "own"});
    let mut draft = Draft::rows(&[record]);
    draft.changes[0] = draft.changes[0].clone().parent(&parent, 3);
    done(world.commit(&t, draft))?;
    let found = world.cells(
        &t,
        &[
            "id",
            "customer_id",
            "created",
            "amount",
            "email",
            "card_brand_name",
            "card_last4",
            "parent_id",
            "place",
            "raw",
            "day",
            "missing",
        ],
    );
    let wanted = vec![
        "7".into(),
        "c".into(),
        Cell::Time("2024-05-06T12:00:00Z".parse().map_err(|_| "a time")?),
        Cell::Real(12.5),
        "e".into(),
        "b".into(),
        "0001".into(),
        "p".into(),
        Cell::Int(3),
        Cell::Json(r#"{"x":1}"#.into()),
        Cell::Date("2024-05-06".parse().map_err(|_| "a day")?),
        Cell::Null,
    ];
    same!(found, vec![wanted], "cells");
    let row = &world.rows(&t)[0];
    let own = row.iter().find(|(name, value)| name.starts_with("customer_id_") && **value == json!("own"));
    same!(own.is_some(), true, "a member with the name of a documented column keeps its value");
    Ok(())
}

fn extra(row: &Map<String, Value>) -> Result<Map<String, Value>, String> {
    match row.get("_headwater_extra") {
        Some(Value::String(json)) => serde_json::from_str(json).map_err(|error| error.to_string()),
        other => Err(format!("_headwater_extra is {other:?}")),
    }
}
