//! What is stored: the warehouse's file, read as a user would, and compared with what was sent.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::Path,
};

use jiff::{Timestamp, civil::Date, tz::TimeZone};
use rusqlite::{Connection, OpenFlags, types::Value};

use crate::{
    json::{Leaf, canonical, leaves, members, number, text},
    sent::Sent,
};

/// The tables of calls, by kind.
const KINDS: [(&str, &str); 6] = [
    ("identify", "identifies"),
    ("track", "tracks"),
    ("page", "pages"),
    ("screen", "screens"),
    ("group", "groups"),
    ("alias", "aliases"),
];

/// How many calls are in the warehouse's file; none as long as there is no file.
pub fn count(file: &Path) -> u64 {
    let Ok(db) = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY) else { return 0 };
    KINDS
        .iter()
        .map(|(_, table)| {
            db.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get::<_, u64>(0))
                .unwrap_or(0)
        })
        .sum()
}

/// All tables of a source.
pub struct Schema {
    tables: BTreeMap<String, Table>,
    rejects: Vec<String>,
}

struct Table {
    columns: Vec<Column>,
    /// By `id`.
    rows: HashMap<String, Vec<Value>>,
}

struct Column {
    name: String,
    kind: String,
    path: String,
}

/// A stored value and the type of its column.
#[derive(Debug)]
struct Found {
    value: Value,
    kind: String,
}

impl Schema {
    /// Reads the whole file.
    pub fn open(file: &Path) -> Self {
        let db =
            Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY).expect("the warehouse opens");
        let list = |sql: &str| -> Vec<String> {
            let mut query = db.prepare(sql).expect("it has Headwater's own tables");
            query.query_map([], |row| row.get(0)).and_then(|rows| rows.collect()).expect("they are read")
        };
        let tables = list("SELECT name FROM _headwater_tables");
        let rejects = list("SELECT reason FROM _headwater_rejects");
        Self {
            tables: tables.into_iter().map(|name| (name.clone(), Table::read(&db, &name))).collect(),
            rejects,
        }
    }

    /// Every difference, as a line. The calls were received between the two instants.
    pub fn compare(&self, sent: &[Sent], began: Timestamp, ended: Timestamp) -> Vec<String> {
        let mut out: Vec<String> =
            self.rejects.iter().map(|reason| format!("a row was rejected: {reason}")).collect();
        let mut rows: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        let mut events: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
        for call in sent {
            let table = KINDS.iter().find(|(kind, _)| *kind == call.kind).expect("it is one of the six").1;
            if !rows.entry(table).or_default().insert(&call.id) {
                out.push(format!("{}: sent twice", call.id));
            }
            let Some((table, row)) = self.row(table, &call.id) else {
                out.push(format!("{} {}: is not in {table}", call.kind, call.id));
                continue;
            };
            let tracked = call.kind == "track";
            let values = |body: bool| {
                call.context.iter().chain(call.body.iter().filter(move |_| body)).chain(&call.rest)
            };
            let mut wrong = self.fixed(call, table, row, (began, ended));
            wrong.extend(different(values(!tracked), table.found(row)));
            out.extend(wrong.into_iter().map(|line| format!("{} {}: {line}", call.kind, call.id)));
            if tracked {
                let name = table.text(row, "event").unwrap_or_default();
                let Some((table, row)) = self.row(&name, &call.id) else {
                    out.push(format!("track {}: is not in the table of its event, {name:?}", call.id));
                    continue;
                };
                let mut wrong = self.fixed(call, table, row, (began, ended));
                wrong.extend(different(values(true), table.found(row)));
                out.extend(wrong.into_iter().map(|line| format!("{name} {}: {line}", call.id)));
                events.entry(name).or_default().insert(&call.id);
            }
        }
        self.entities(sent, "identify", "userId", "users", &mut out);
        self.entities(sent, "group", "groupId", "accounts", &mut out);
        // Nothing else.
        for (name, table) in &self.tables {
            let known = rows.get(name.as_str()).or_else(|| events.get(name));
            match known {
                Some(known) if known.len() == table.rows.len() => {}
                Some(known) => {
                    out.push(format!("{name} has {} rows, and {} were sent", table.rows.len(), known.len()))
                }
                None if matches!(name.as_str(), "users" | "accounts") => {}
                None => out.push(format!("the table {name} is nobody's")),
            }
        }
        out
    }

    /// The columns that every call has.
    fn fixed(
        &self,
        call: &Sent,
        table: &Table,
        row: &[Value],
        (began, ended): (Timestamp, Timestamp),
    ) -> Vec<String> {
        let mut wrong = Vec::new();
        for (column, member) in [
            ("user_id", "userId"),
            ("anonymous_id", "anonymousId"),
            ("group_id", "groupId"),
            ("previous_id", "previousId"),
            ("event_text", "event"),
            ("name", "name"),
            ("category", "category"),
        ] {
            // Elsewhere such a member is a property like others.
            if !table.columns.iter().any(|known| known.name == column && known.path.starts_with('=')) {
                continue;
            }
            let (sent, stored) = (call.string(member), table.text(row, column));
            if sent != stored {
                wrong.push(format!("{member}: sent {sent:?}, stored {stored:?}"));
            }
        }
        let time = |column: &str| table.text(row, column).and_then(|text| text.parse::<Timestamp>().ok());
        let Some(received) = time("received_at").filter(|time| (began..=ended).contains(time)) else {
            wrong.push(format!("received_at is {:?}", table.text(row, "received_at")));
            return wrong;
        };
        for (column, sent) in [
            ("original_timestamp", call.original()),
            ("sent_at", call.sent_at),
            ("timestamp", Some(call.happened(received))),
        ] {
            if sent != time(column) {
                wrong.push(format!("{column}: {sent:?} is wanted, {:?} stored", time(column)));
            }
        }
        wrong
    }

    /// The latest state of users or accounts: what all their calls said, in the order in which they came.
    fn entities(&self, sent: &[Sent], kind: &str, id: &str, name: &str, out: &mut Vec<String>) {
        let calls_table = KINDS.iter().find(|(known, _)| *known == kind).map_or("", |(_, table)| table);
        let mut calls: Vec<(Option<String>, &Sent)> = Vec::new();
        for call in sent.iter().filter(|call| call.kind == kind) {
            let Some((table, row)) = self.row(calls_table, &call.id) else { continue };
            calls.push((table.text(row, "received_at"), call));
        }
        // What came in one delivery stays in its order.
        calls.sort_by(|(one, _), (other, _)| one.cmp(other));
        // What a trait says is no part of the context, whatever it is called.
        let mut known: BTreeMap<String, BTreeMap<(bool, &str), Vec<&Leaf>>> = BTreeMap::new();
        for (_, call) in calls {
            let Some(id) = call.string(id) else { continue };
            let mut said: BTreeMap<(bool, &str), Vec<&Leaf>> = BTreeMap::new();
            for (is_trait, leaves) in [(false, &call.context), (true, &call.body)] {
                for leaf in leaves {
                    said.entry((is_trait, &leaf.0)).or_default().push(leaf);
                }
            }
            known.entry(id).or_default().extend(said);
        }
        let rows = self.tables.get(name).map_or(0, |table| table.rows.len());
        if rows != known.len() {
            out.push(format!("{name} has {rows} rows, and {} were sent", known.len()));
        }
        for (id, state) in known {
            let Some((table, row)) = self.row(name, &id) else {
                out.push(format!("{name}: {id} is not there"));
                continue;
            };
            let wanted = state.into_values().flatten();
            out.extend(
                different(wanted, table.found(row)).into_iter().map(|line| format!("{name} {id}: {line}")),
            );
        }
    }

    fn row(&self, table: &str, id: &str) -> Option<(&Table, &[Value])> {
        let table = self.tables.get(table)?;
        Some((table, table.rows.get(id)?))
    }
}

impl Table {
    fn read(db: &Connection, name: &str) -> Self {
        let mut query = db
            .prepare("SELECT name, type, path FROM _headwater_columns WHERE table_name = ?1")
            .expect("it has columns");
        let columns: Vec<Column> = query
            .query_map([name], |row| {
                Ok(Column {
                    name: row.get(0)?,
                    kind: row.get::<_, Option<String>>(1)?.unwrap_or_default(),
                    path: row.get(2)?,
                })
            })
            .and_then(|rows| rows.collect())
            .expect("they are read");
        let names: Vec<String> = columns.iter().map(|column| format!("\"{}\"", column.name)).collect();
        let mut query = db
            .prepare(&format!("SELECT {}, \"id\" FROM \"{name}\"", names.join(", ")))
            .expect("the table is as it says");
        let rows: Vec<(String, Vec<Value>)> = query
            .query_map([], |row| {
                let values = (0..columns.len()).map(|at| row.get(at)).collect::<Result<_, _>>()?;
                Ok((row.get(columns.len())?, values))
            })
            .and_then(|rows| rows.collect())
            .expect("its rows are read");
        let number = rows.len();
        let rows: HashMap<String, Vec<Value>> = rows.into_iter().collect();
        assert_eq!(rows.len(), number, "{name} has an id twice");
        Self { columns, rows }
    }

    /// A column of Headwater's or of the call's own, as text.
    fn text(&self, row: &[Value], name: &str) -> Option<String> {
        let own = |column: &Column| column.path.starts_with('=') || column.path.starts_with("_headwater:");
        let at = self.columns.iter().position(|column| column.name == name && own(column))?;
        match &row[at] {
            Value::Text(text) => Some(text.clone()),
            _ => None,
        }
    }

    /// The values that came from the sender, by path.
    fn found(&self, row: &[Value]) -> Vec<(String, Found)> {
        let mut all = Vec::new();
        let mut json = Vec::new();
        for (column, value) in self.columns.iter().zip(row) {
            match value {
                Value::Null => {}
                Value::Text(text) if column.name == "_headwater_extra" => {
                    members(text).iter().for_each(|(path, value)| leaves(path, value, &mut json));
                }
                _ if column.path.starts_with('=') || column.path.starts_with("_headwater:") => {}
                // Objects at the eighth level stay JSON.
                Value::Text(text) if text.starts_with('{') && column.path.split('.').count() >= 8 => {
                    leaves(&column.path, text, &mut json);
                }
                value => {
                    all.push((column.path.clone(), Found { value: value.clone(), kind: column.kind.clone() }))
                }
            }
        }
        all.extend(
            json.into_iter()
                .filter(|(_, json)| json != "null")
                .map(|(path, json)| (path, Found { value: Value::Text(json), kind: "raw".to_owned() })),
        );
        all
    }
}

/// How what is found differs from what was sent, nulls aside.
fn different<'l>(sent: impl IntoIterator<Item = &'l Leaf>, found: Vec<(String, Found)>) -> Vec<String> {
    let mut left: BTreeMap<String, Vec<Found>> = BTreeMap::new();
    for (path, value) in found {
        // A dot in a name is escaped; here the paths are as they were sent, and may come twice.
        left.entry(path.replace(r"\.", ".")).or_default().push(value);
    }
    let mut out = Vec::new();
    for (path, json) in sent.into_iter().filter(|(_, json)| json != "null") {
        let same = left.get(path).and_then(|all| all.iter().position(|found| found.is(json)));
        match (same, left.get_mut(path)) {
            (Some(at), Some(all)) => drop(all.remove(at)),
            (_, all) => out.push(format!(
                "{path}: sent {}, stored {:?}",
                short(json),
                all.map_or("nothing".to_owned(), |all| format!("{all:?}"))
            )),
        }
    }
    for (path, all) in left.into_iter().filter(|(_, all)| !all.is_empty()) {
        out.push(format!("{path}: stored {}, and not sent", short(&format!("{all:?}"))));
    }
    out
}

impl Found {
    /// Whether it is that value, as its column holds it.
    fn is(&self, json: &str) -> bool {
        let stored = match &self.value {
            Value::Integer(number) => number.to_string(),
            Value::Real(real) => format!("{real:e}"),
            Value::Text(text) => text.clone(),
            Value::Null | Value::Blob(_) => return false,
        };
        if self.kind == "raw" {
            return canonical(&stored) == canonical(json);
        }
        let is_text = matches!(self.value, Value::Text(_));
        match json.as_bytes().first() {
            Some(b'"') => is_text && (stored == text(json) || same_moment(&text(json), &stored)),
            Some(b't' | b'f') if self.kind == "bool" => stored == if json == "true" { "1" } else { "0" },
            Some(b't' | b'f') => is_text && stored == json,
            Some(b'[') => is_text && canonical(&stored) == canonical(json),
            Some(_) => {
                self.kind != "bool"
                    && stored.bytes().any(|byte| byte.is_ascii_digit())
                    && number(&stored) == number(json)
            }
            None => false,
        }
    }
}

/// Whether both say the same instant: a column of times has one way of writing them.
fn same_moment(sent: &str, stored: &str) -> bool {
    let moment = |text: &str| match text.parse::<Timestamp>() {
        Ok(time) => Some(time),
        Err(_) if text.len() == 10 => {
            Some(text.parse::<Date>().ok()?.to_zoned(TimeZone::UTC).ok()?.timestamp())
        }
        Err(_) => None,
    };
    moment(sent).is_some_and(|time| moment(stored) == Some(time))
}

fn short(text: &str) -> String {
    match text.char_indices().nth(160) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[test]
fn a_value_is_told_from_its_neighbours() {
    let found = |value: Value, kind: &str| Found { value, kind: kind.to_owned() };
    let text = |text: &str, kind: &str| found(Value::Text(text.to_owned()), kind);
    assert!(
        text("7", "text").is("\"7\"")
            && text("7", "text").is("7")
            && found(Value::Integer(7), "int").is("7.0")
    );
    assert!(text("2024-05-06T10:00:00.000000Z", "time").is("\"2024-05-06T12:00:00+02:00\""));
    assert!(text("[1.50, \"é\"]", "json").is(r#"[1.5,"\u00e9"]"#));
    assert!(found(Value::Integer(1), "bool").is("true") && text("true", "text").is("true"));
    for (found, json) in [
        (found(Value::Integer(7), "int"), "8"),
        (found(Value::Integer(7), "int"), "\"7\""),
        (found(Value::Integer(1), "int"), "true"),
        (found(Value::Integer(1), "bool"), "1"),
        (found(Value::Real(0.3), "real"), "0.30000000000000004"),
        (found(Value::Integer(9007199254740992), "int"), "9007199254740993"),
        (text("2024-05-06T10:00:00.000000Z", "time"), "\"2024-05-06T12:00:00Z\""),
        (text(" spaces", "text"), "\"  spaces\""),
        (text("", "text"), "false"),
        (text("[1,2]", "json"), "[2,1]"),
    ] {
        assert!(!found.is(json), "{found:?} is taken for {json}");
    }
    let leaf = |path: &str, json: &str| (path.to_owned(), json.to_owned());
    let stored = || vec![("a".to_owned(), text("x", "text")), ("b".to_owned(), text("y", "text"))];
    assert!(different(&[leaf("a", "\"x\""), leaf("b", "\"y\""), leaf("c", "null")], stored()).is_empty());
    assert_eq!(different(&[leaf("a", "\"x\"")], stored()).len(), 1, "what was not sent");
    assert_eq!(
        different(&[leaf("a", "\"x\""), leaf("b", "\"z\"")], stored()).len(),
        2,
        "what is another value"
    );
    assert_eq!(
        different(&[leaf("a", "\"x\""), leaf("b", "\"y\""), leaf("d", "1")], stored()).len(),
        1,
        "what is lost"
    );
}
