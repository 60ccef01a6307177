//! Calls lie as in Segment's warehouses.

use headwater::warehouse::{Note, Removal, StoredCall, table::MAX_TABLES};
use headwater_core::{
    record::Record,
    spec::{Call, CallKind},
};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{done, same};
use crate::world::World;

const RECEIVED: &str = "2024-05-06T12:00:01Z";

fn call(kind: CallKind, json: Value) -> Result<Call, String> {
    let record = Record::new(&json).map_err(|error| error.to_string())?;
    let mut call = Call::parse(&record, Some(kind)).map_err(|error| error.to_string())?;
    call.received_at = RECEIVED.parse::<Timestamp>().ok();
    Ok(call)
}

fn one(world: &World, table: &str) -> Result<Map<String, Value>, String> {
    let mut rows = world.stand.rows(table);
    same!(rows.len(), 1, "rows of {table}");
    rows.pop().ok_or_else(|| "no row".into())
}

/// Of a row only these columns.
fn part(row: &Map<String, Value>, columns: &[&str]) -> Value {
    columns.iter().map(|name| row.get(*name).cloned().unwrap_or(Value::Null)).collect()
}

/// Each call has its row in the table of its kind, a track in its event's too, and users and accounts their latest state.
pub fn call_tables(world: &World) -> Result<(), String> {
    let context = json!({"ip": "1.2.3.4", "library": {"name": "lib"}});
    let calls = [
        (
            call(
                CallKind::Track,
                json!({"messageId": "t", "userId": "u", "event": "Order Completed", "context": context,
            "originalTimestamp": "2024-05-06T11:00:00Z", "sentAt": "2024-05-06T11:00:01Z", "timestamp": "2024-05-06T12:00:00Z",
            "properties": {"total": 9.5, "items": [1], "shipTo": {"city": "B"}, "id": "own", "context_ip": "own"}, "odd": 1}),
            )?,
            "d1",
        ),
        (call(CallKind::Track, json!({"messageId": "t2", "anonymousId": "a", "event": "Users"}))?, "d1"),
        (
            call(
                CallKind::Identify,
                json!({"messageId": "i1", "userId": "u", "traits": {"email": "old", "plan": "x"}}),
            )?,
            "d1",
        ),
        (
            call(CallKind::Identify, json!({"messageId": "i2", "userId": "u", "traits": {"email": "new"}}))?,
            "d1",
        ),
        (
            call(
                CallKind::Identify,
                json!({"messageId": "i3", "anonymousId": "a", "traits": {"email": "nobody"}}),
            )?,
            "d1",
        ),
        (
            call(
                CallKind::Page,
                json!({"messageId": "p", "anonymousId": "a", "name": "Home", "category": "c", "properties": {"url": "/"}}),
            )?,
            "d1",
        ),
        (call(CallKind::Screen, json!({"messageId": "s", "anonymousId": "a", "name": "Start"}))?, "d1"),
        (
            call(
                CallKind::Group,
                json!({"messageId": "g", "userId": "u", "groupId": "acme", "traits": {"seats": 3}}),
            )?,
            "d1",
        ),
        (call(CallKind::Alias, json!({"messageId": "l", "userId": "u", "previousId": "a"}))?, "d1"),
    ];
    done(world.calls(&calls, &[]))?;
    let track = world.stand.rows("tracks").into_iter().next().ok_or("no track")?;
    let columns = [
        "id",
        "user_id",
        "event",
        "event_text",
        "context_ip",
        "context_library_name",
        "timestamp",
        "original_timestamp",
        "sent_at",
        "received_at",
    ];
    let wanted = json!([
        "t",
        "u",
        "order_completed",
        "Order Completed",
        "1.2.3.4",
        "lib",
        "2024-05-06T12:00:00.000000Z",
        "2024-05-06T11:00:00.000000Z",
        "2024-05-06T11:00:01.000000Z",
        "2024-05-06T12:00:01.000000Z"
    ]);
    same!(part(&track, &columns), wanted, "tracks");
    same!(track.contains_key("total"), false, "tracks has no properties");
    let event = one(world, "order_completed")?;
    same!(part(&event, &columns), wanted, "the event's table");
    same!(part(&event, &["total", "items", "ship_to_city"]), json!([9.5, "[1]", "B"]), "properties");
    let extra: Value = serde_json::from_str(event["_headwater_extra"].as_str().unwrap_or(""))
        .map_err(|error| error.to_string())?;
    same!(extra, json!({"id": "own", "context_ip": "own", "odd": 1}), "what has no column");
    same!(
        part(&one(world, "users_event")?, &["id", "event", "timestamp"]),
        json!(["t2", "users_event", "2024-05-06T12:00:01.000000Z"]),
        "an event called users"
    );
    same!(world.stand.rows("identifies").len(), 3, "identifies");
    same!(part(&one(world, "users")?, &["id", "email", "plan"]), json!(["u", "new", "x"]), "users");
    same!(
        part(&one(world, "pages")?, &["id", "name", "category", "url"]),
        json!(["p", "Home", "c", "/"]),
        "pages"
    );
    same!(part(&one(world, "screens")?, &["id", "name"]), json!(["s", "Start"]), "screens");
    same!(
        part(&one(world, "groups")?, &["id", "group_id", "user_id", "seats"]),
        json!(["g", "acme", "u", 3]),
        "groups"
    );
    same!(part(&one(world, "accounts")?, &["id", "seats"]), json!(["acme", 3]), "accounts");
    same!(
        part(&one(world, "aliases")?, &["id", "user_id", "previous_id"]),
        json!(["l", "u", "a"]),
        "aliases"
    );
    Ok(())
}

/// The same message in another delivery makes no second row, and the first stays.
pub fn duplicates(world: &World) -> Result<(), String> {
    let sent = |v: i64| {
        call(CallKind::Track, json!({"messageId": "m", "userId": "u", "event": "E", "properties": {"v": v}}))
    };
    done(world.calls(&[(sent(1)?, "d1")], &[]))?;
    let told = done(world.calls(&[(sent(2)?, "d2")], &[]))?;
    same!((told.inserted, told.updated, told.stale), (0, 0, 2), "counts");
    same!(part(&one(world, "e")?, &["v", "_headwater_delivery"]), json!([1, "d1"]), "the row");
    Ok(())
}

/// A delivery that is mapped again replaces what it made before, and only that.
pub fn replay(world: &World) -> Result<(), String> {
    let sent = |id: &str, v: i64| {
        call(CallKind::Track, json!({"messageId": id, "userId": "u", "event": "E", "properties": {"v": v}}))
    };
    let gone = |table: &str, id: &str, delivery: &str| Removal {
        table: table.into(),
        id: id.into(),
        delivery: delivery.into(),
    };
    done(world.calls(&[(sent("1", 1)?, "d1"), (sent("2", 1)?, "d1"), (sent("3", 1)?, "d2")], &[]))?;
    let removes = [
        gone("e", "2", "d1"),
        gone("tracks", "2", "d1"),
        // Another delivery's, one that is not there, a table that is not there: nothing happens.
        gone("tracks", "3", "d1"),
        gone("tracks", "9", "d1"),
        gone("never", "1", "d1"),
    ];
    let told = done(world.calls(&[(sent("1", 2)?, "d1")], &removes))?;
    same!((told.updated, told.deleted), (2, 2), "counts");
    let rows: Vec<Value> = world.stand.rows("e").iter().map(|row| part(row, &["id", "v"])).collect();
    same!(rows, [json!(["1", 2]), json!(["3", 1])], "rows");
    same!(world.stand.rows("tracks").len(), 2, "tracks");
    // A call that has become another item of its delivery: removed and made in one load.
    let told =
        done(world.calls(&[(sent("1", 3)?, "d1:7")], &[gone("e", "1", "d1"), gone("tracks", "1", "d1")]))?;
    same!((told.inserted, told.deleted), (2, 2), "counts");
    same!(part(&world.stand.rows("e")[0], &["v", "_headwater_delivery"]), json!([3, "d1:7"]), "the row");
    Ok(())
}

/// What has been loaded can be read back: rows by key, calls by their time of receipt, what loaded them.
pub fn reading(world: &World) -> Result<(), String> {
    let track = json!({"messageId": "t", "userId": "u", "event": "Order Completed", "properties": {"v": 1.5, "on": true, "list": [1]}});
    let calls = [
        (call(CallKind::Track, track)?, "7:0"),
        (call(CallKind::Identify, json!({"messageId": "i", "userId": "u", "traits": {"v": 1}}))?, "7:1"),
    ];
    done(world.calls(&calls, &[]))?;
    let time = |text: &str| text.parse::<Timestamp>().map_err(|error| error.to_string());
    let read = |since: &str, until: &str| done(world.stored_calls(time(since)?, time(until)?));
    let all = read(RECEIVED, RECEIVED)?;
    let stored = |table: &'static str, id: &str, delivery: &str, event: Option<&str>| StoredCall {
        table,
        id: id.into(),
        delivery: delivery.into(),
        event: event.map(str::to_owned),
    };
    same!(
        all,
        [stored("identifies", "i", "7:1", None), stored("tracks", "t", "7:0", Some("order_completed"))],
        "calls"
    );
    same!(read("2024-05-06T12:00:01.000001Z", "2025-01-01T00:00:00Z")?.len(), 0, "later");
    same!(read("2024-01-01T00:00:00Z", "2024-05-06T12:00:00.999999Z")?.len(), 0, "earlier");
    let keys = |ids: &[&str]| ids.iter().map(|id| vec![(*id).to_owned()]).collect::<Vec<_>>();
    let found = done(world.find("order_completed", &[], &keys(&["no", "t"])))?.ok_or("no table")?;
    same!((found.key.join(","), found.rows.len()), ("id".to_owned(), 1), "rows");
    let value = |path: &str| {
        let place = found.columns.iter().position(|column| column.path == path || column.name == path);
        place.map(|place| found.rows[0][place].json()).unwrap_or_default()
    };
    same!(
        json!([value("v"), value("on"), value("list"), value("received_at"), value("_headwater_delivery")]),
        json!([1.5, true, [1], "2024-05-06T12:00:01.000000Z", "7:0"]),
        "values"
    );
    same!(done(world.find("nothing", &[], &keys(&["t"])))?.is_none(), true, "no table");
    same!(
        done(world.find("tracks", &["_headwater_delivery"], &keys(&["7:0"])))?.map(|found| found.rows.len()),
        Some(1),
        "by another column"
    );
    let load = value("_headwater_load");
    let note = done(world.note(Note::Load, load.as_str().unwrap_or_default()))?.ok_or("no load")?;
    same!(note["id"], load, "the load");
    same!(done(world.note(Note::Run, "none"))?.is_none(), true, "no run");
    Ok(())
}

/// A schema has at most so many tables; calls of further events are in `tracks`, and somebody is told.
pub fn crowd(world: &World) -> Result<(), String> {
    let calls = |numbers: std::ops::Range<usize>| {
        let sent = |n: usize| {
            call(
                CallKind::Track,
                json!({"messageId": format!("m{n}"), "userId": "u", "event": format!("Event {n}")}),
            )
        };
        numbers.map(|n| Ok((sent(n)?, "d"))).collect::<Result<Vec<_>, String>>()
    };
    done(world.calls(&calls(0..MAX_TABLES - 10)?, &[]))?;
    let told = done(world.calls(&calls(MAX_TABLES - 10..MAX_TABLES + 10)?, &[]))?;
    same!(told.notices.len(), 1, "notices: {:?}", told.notices);
    same!(world.stand.rows("tracks").len(), MAX_TABLES + 10, "tracks");
    let last = |n: usize| world.stand.rows(&format!("event_{n}")).len();
    same!((last(MAX_TABLES - 10), last(MAX_TABLES + 9)), (1, 0), "tables");
    Ok(())
}
