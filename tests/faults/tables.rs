//! What is in the warehouse, comparable between two houses.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::types::Value as Sql;

use crate::house::House;

/// Living rows by table, sorted, without load times and Headwater's own columns.
pub type Tables = BTreeMap<String, Vec<String>>;

/// The living rows of a schema. A row that came and went may have been met or not, and is left out.
pub fn living(house: &House, schema: &str) -> Tables {
    let mut tables = house.tables(schema);
    for rows in tables.values_mut() {
        rows.retain(|row| !row.contains("is_deleted=Integer(1)"));
    }
    tables.retain(|_, rows| !rows.is_empty());
    tables
}

/// How many rows there are.
pub fn count(tables: &Tables) -> usize {
    tables.values().map(Vec::len).sum()
}

/// Both are the same, or the first difference is told.
#[track_caller]
pub fn same(found: &Tables, expected: &Tables) {
    let sizes = |tables: &Tables| -> BTreeMap<String, usize> {
        tables.iter().map(|(name, rows)| (name.clone(), rows.len())).collect()
    };
    let (have, want) = (sizes(found), sizes(expected));
    if have != want {
        let only = |one: &Tables, other: &Tables| -> Vec<String> {
            let other: BTreeSet<&String> = other.values().flatten().collect();
            one.values().flatten().filter(|row| !other.contains(row)).take(3).cloned().collect()
        };
        let (more, less) = (only(found, expected), only(expected, found));
        panic!("the tables differ: {have:?} instead of {want:?}; too much: {more:#?}; missing: {less:#?}");
    }
    for (table, rows) in expected {
        for (one, other) in found[table].iter().zip(rows) {
            assert_eq!(one, other, "the tables differ: {table}");
        }
    }
}

/// The ids in a table, as often as they are there.
pub fn ids(house: &House, schema: &str, table: &str) -> Vec<String> {
    let rows = house.rows(schema, &format!("SELECT id FROM {table}"));
    let text = |row: Vec<Sql>| match row.into_iter().next() {
        Some(Sql::Text(id)) => Some(id),
        _ => None,
    };
    rows.into_iter().filter_map(text).collect()
}

/// The ids of all calls of a schema.
pub fn calls(house: &House, schema: &str) -> Vec<String> {
    let tables = ["tracks", "identifies", "groups", "pages", "screens", "aliases"];
    tables.iter().flat_map(|table| ids(house, schema, table)).collect()
}
