//! What is in the warehouse, comparable between two houses.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::types::Value as Sql;

use crate::{house::House, trouble::GROWN};

/// Living rows by table, sorted, without load times and Headwater's own columns.
pub type Tables = BTreeMap<String, Vec<String>>;

/// What a list of customers shows, and an event of one does not: the column is the one's that came last.
const SHOWN_BY_LISTS: &str = "sources_";

/// The living rows of a schema. A row that came and went may have been met or not, and is left out.
pub fn living(house: &House, schema: &str) -> Tables {
    let mut tables = house.tables_as(schema, |column, value| match (column, value) {
        (column, _) if column.starts_with(SHOWN_BY_LISTS) => None,
        // What came before a column became text is still a number.
        (column, Sql::Text(text)) if column.starts_with(GROWN) => {
            Some(text.parse::<f64>().map_or_else(|_| text.clone(), |number| number.to_string()))
        }
        (column, Sql::Integer(number)) if column.starts_with(GROWN) => Some(number.to_string()),
        (column, Sql::Real(number)) if column.starts_with(GROWN) => Some(number.to_string()),
        (_, value) => Some(format!("{value:?}")),
    });
    for rows in tables.values_mut() {
        rows.retain(|row| !row.contains("is_deleted=Integer(1)") && !row.contains("is_deleted=Text(\"t\")"));
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
    let only = |one: &Tables, other: &Tables| -> Vec<String> {
        let all = |tables: &Tables| -> BTreeSet<(String, String)> {
            let rows = tables.iter().flat_map(|(name, rows)| rows.iter().map(move |row| (name, row)));
            rows.map(|(name, row)| (name.clone(), row.clone())).collect()
        };
        let told =
            all(one).difference(&all(other)).map(|(name, row)| format!("{name}: {row}")).collect::<Vec<_>>();
        told.into_iter().take(4).collect()
    };
    let (more, less) = (only(found, expected), only(expected, found));
    assert!(
        more.is_empty() && less.is_empty() && have == want,
        "the tables differ: {have:?} instead of {want:?}; too much: {more:#?}; missing: {less:#?}"
    );
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
