//! What a replay changes, call by call and column by column: the rows that today's mapping makes, beside those that are there.

use std::collections::{BTreeMap, HashMap};

use headwater_core::{error::Result, record::Record, spec::Call};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::before::delivery;
use crate::warehouse::{
    Found, Schema, StoredCall,
    calls::{CallBatches, KIND_TABLES, table_of},
    table::{self, Batch, Cell, Layout},
};

/// What happens to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum What {
    /// It was not there.
    Added,
    /// Its rows become others.
    Changed,
    /// It goes.
    Removed,
    /// Its rows stay as they are.
    Same,
}

/// One call's difference.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// What happens to it.
    pub what: What,
    /// Its delivery's sequence number, and the item's place.
    pub delivery: String,
    /// Its message id.
    pub id: String,
    /// The table of its kind.
    pub table: String,
    /// The event, page or screen: its name, or of a call that goes its table.
    pub name: Option<String>,
    /// Every value that becomes another.
    pub columns: Vec<Column>,
}

/// One value that becomes another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Column {
    /// The table.
    pub table: String,
    /// The column.
    pub column: String,
    /// The value that is there.
    pub from: Value,
    /// The value that comes.
    pub to: Value,
}

/// A call that is made again, and the item that makes it.
pub struct Made<'a> {
    /// Its delivery's sequence number, and the item's place.
    pub delivery: &'a str,
    /// The call.
    pub call: &'a Call,
}

/// The rows of some calls, looked up at once.
pub struct Rows(HashMap<String, Found>, HashMap<(String, String), Vec<Cell>>);

/// Compares calls that are made with what is there; what cannot become a row is left out, as a load does. The latest state of a user or
/// account is compared once, with the last call that changes it.
pub async fn made(schema: &dyn Schema, calls: &[Made<'_>]) -> Result<Vec<Difference>> {
    let mut drafts = Vec::with_capacity(calls.len());
    let mut wanted: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for Made { delivery, call } in calls {
        // As the loader gets it: through the calls log.
        let mut json = Vec::with_capacity(512);
        call.write(&mut json);
        let call = Call::parse(&Record::parse(&json.into())?, None)?;
        let mut batches = CallBatches::new();
        if batches.push(&call, delivery).is_err() {
            continue;
        }
        let batches = batches.into_batches();
        for batch in &batches {
            wanted.entry(batch.spec().name.clone()).or_default().extend(key(batch));
        }
        drafts.push((*delivery, call, batches));
    }
    let rows = Rows::find(schema, wanted).await?;
    let mut all = Vec::with_capacity(drafts.len());
    let mut entities = Entities::default();
    for (at, (item, call, batches)) in drafts.into_iter().enumerate() {
        let kind = table_of(call.kind);
        let is_there = rows.own(kind, &call.message_id, item).is_some();
        let mut columns = Vec::new();
        for batch in &batches {
            match batch.spec().layout {
                Layout::Entity => entities.patch(at, batch, &rows),
                _ => columns.extend(rows.compare(batch, item)),
            }
        }
        all.push(Difference {
            what: if is_there { What::Changed } else { What::Added },
            delivery: item.to_owned(),
            id: call.message_id,
            table: kind.to_owned(),
            name: call.name,
            columns,
        });
    }
    for ((table, key), state) in entities.0 {
        let values = state.values.values().map(|(column, cell)| (column, cell));
        let (changes, _) = changes(&table, rows.row(&table, &key), values);
        all[state.last].columns.extend(changes);
    }
    for difference in &mut all {
        if difference.what == What::Changed && difference.columns.is_empty() {
            difference.what = What::Same;
        }
    }
    Ok(all)
}

/// The latest state of users and accounts, as some calls change it.
#[derive(Default)]
struct Entities(BTreeMap<(String, String), Entity>);

#[derive(Default)]
struct Entity {
    /// The place of the last call that changes it.
    last: usize,
    /// What becomes of it, by the column's path.
    values: BTreeMap<String, (table::Column, Cell)>,
}

impl Entities {
    /// Takes what a call says of it, unless what is there is newer.
    fn patch(&mut self, at: usize, batch: &Batch, rows: &Rows) {
        let (Some(row), Some(key)) = (batch.rows().first(), key(batch)) else { return };
        let name = &batch.spec().name;
        if let (Some(Cell::Int(known)), Some(version)) =
            (rows.value(name, &key, "_headwater_version"), row.version)
            && *known > version
        {
            return;
        }
        let entity = self.0.entry((name.clone(), key)).or_default();
        entity.last = at;
        for (place, cell) in &row.cells {
            if let Some(column) = batch.columns().get(*place as usize) {
                entity.values.insert(column.path.clone(), (column.clone(), cell.clone()));
            }
        }
    }
}

/// What is lost with calls that go.
pub async fn gone(schema: &dyn Schema, calls: &[StoredCall]) -> Result<Vec<Difference>> {
    let mut wanted: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for call in calls {
        for table in std::iter::once(call.table).chain(call.event.as_deref()) {
            wanted.entry(table.to_owned()).or_default().push(call.id.clone());
        }
    }
    let rows = Rows::find(schema, wanted).await?;
    let lost = |call: &StoredCall| {
        let tables = std::iter::once(call.table).chain(call.event.as_deref());
        let columns = tables.flat_map(|table| rows.lost(table, &call.id)).collect();
        Difference {
            what: What::Removed,
            delivery: call.delivery.clone(),
            id: call.id.clone(),
            table: call.table.to_owned(),
            name: call.event.clone(),
            columns,
        }
    };
    Ok(calls.iter().map(lost).collect())
}

/// Which of these messages have a row in which tables of calls, and of which delivery.
pub async fn owners(
    schema: &dyn Schema,
    ids: Vec<String>,
) -> Result<HashMap<String, Vec<(&'static str, String)>>> {
    let mut owners: HashMap<String, Vec<(&'static str, String)>> = HashMap::new();
    for table in KIND_TABLES {
        let rows = Rows::find(schema, BTreeMap::from([(table.to_owned(), ids.clone())])).await?;
        for id in &ids {
            if let Some(cell) = rows.value(table, id, "_headwater_delivery") {
                let delivery = cell.text().map(|text| text.into_owned()).unwrap_or_default();
                owners.entry(id.clone()).or_default().push((table, delivery));
            }
        }
    }
    Ok(owners)
}

/// The key of the one row of a batch.
fn key(batch: &Batch) -> Option<String> {
    let row = batch.rows().first()?;
    let cell = row.cells.iter().rev().find(|(place, _)| *place == 0)?;
    cell.1.text().map(|text| text.into_owned())
}

impl Rows {
    async fn find(schema: &dyn Schema, wanted: BTreeMap<String, Vec<String>>) -> Result<Self> {
        let (mut tables, mut rows) = (HashMap::new(), HashMap::new());
        for (table, mut keys) in wanted {
            keys.sort();
            keys.dedup();
            let keys: Vec<Vec<String>> = keys.into_iter().map(|key| vec![key]).collect();
            let Some(mut found) = schema.find(&table, &[], &keys).await? else { continue };
            let place = found.columns.iter().position(|column| found.key.first() == Some(&column.name));
            for row in std::mem::take(&mut found.rows) {
                let key = place.and_then(|place| row[place].text()).unwrap_or_default().into_owned();
                rows.insert((table.clone(), key), row);
            }
            tables.insert(table, found);
        }
        Ok(Self(tables, rows))
    }

    fn row(&self, table: &str, id: &str) -> Option<(&Found, &Vec<Cell>)> {
        Some((self.0.get(table)?, self.1.get(&(table.to_owned(), id.to_owned()))?))
    }

    fn value(&self, table: &str, id: &str, column: &str) -> Option<&Cell> {
        let (found, row) = self.row(table, id)?;
        found.columns.iter().position(|known| known.name == column).map(|place| &row[place])
    }

    /// A call's row, if it is of the same delivery as this item: another's that is still there is about to go.
    fn own(&self, table: &str, id: &str, item: &str) -> Option<(&Found, &Vec<Cell>)> {
        let stored = self.value(table, id, "_headwater_delivery")?.text()?;
        self.row(table, id).filter(|_| delivery(&stored) == delivery(item))
    }

    /// Every value that the batch's one row, made by `item`, makes another.
    fn compare(&self, batch: &Batch, item: &str) -> Vec<Column> {
        let (Some(row), Some(key)) = (batch.rows().first(), key(batch)) else { return Vec::new() };
        let table = &batch.spec().name;
        let stored = self.own(table, &key, item);
        let mut latest: BTreeMap<u32, &Cell> = BTreeMap::new();
        latest.extend(row.cells.iter().map(|(place, cell)| (*place, cell)));
        let values = latest.into_iter();
        let values = values.filter_map(|(place, cell)| Some((batch.columns().get(place as usize)?, cell)));
        let (mut columns, given) = changes(table, stored, values);
        let Some((found, values)) = stored else { return columns };
        for (place, column) in found.columns.iter().enumerate() {
            if !given[place] && !is_own(&column.path) && values[place] != Cell::Null {
                columns.push(change(table, column.name.clone(), values[place].json(), Value::Null));
            }
        }
        columns.extend(self.extra(batch, &key));
        columns
    }

    /// What has no column, before and now. Values without a column in the table only are not looked at.
    fn extra(&self, batch: &Batch, key: &str) -> Option<Column> {
        let row = batch.rows().first()?;
        let table = &batch.spec().name;
        let now: serde_json::Map<String, Value> = row
            .extra
            .iter()
            .map(|(path, json)| (path.clone(), serde_json::from_str(json).unwrap_or(Value::Null)))
            .collect();
        let was = self.value(table, key, "_headwater_extra").map(Cell::json).unwrap_or_default();
        let was = was.as_object().cloned().unwrap_or_default();
        let homeless = |path: &str| batch.columns().iter().any(|column| column.path == path);
        let was: serde_json::Map<String, Value> =
            was.into_iter().filter(|(path, _)| now.contains_key(path) || !homeless(path)).collect();
        let value = |map: serde_json::Map<String, Value>| match map.is_empty() {
            true => Value::Null,
            false => Value::Object(map),
        };
        (was != now).then(|| change(table, "_headwater_extra".to_owned(), value(was), value(now)))
    }

    /// Every value of a row that goes.
    fn lost(&self, table: &str, id: &str) -> Vec<Column> {
        let Some((found, row)) = self.row(table, id) else { return Vec::new() };
        let values = found.columns.iter().zip(row);
        let kept = values.filter(|(column, cell)| !is_own(&column.path) && **cell != Cell::Null);
        kept.map(|(column, cell)| change(table, column.name.clone(), cell.json(), Value::Null)).collect()
    }
}

/// Every one of these values that is another than the stored one, and which of the stored columns were given one.
fn changes<'v>(
    table: &str,
    stored: Option<(&Found, &Vec<Cell>)>,
    values: impl Iterator<Item = (&'v table::Column, &'v Cell)>,
) -> (Vec<Column>, Vec<bool>) {
    let mut given = vec![false; stored.map_or(0, |(found, _)| found.columns.len())];
    let mut columns = Vec::new();
    for (column, cell) in values {
        let (mut name, mut from) = (column.name.clone(), &Cell::Null);
        if let Some((found, row)) = stored {
            let by_path = found.columns.iter().position(|known| known.path == column.path);
            let by_name = || {
                let mut names = found.columns.iter().map(|known| &known.name);
                names.position(|known| column.declared && known.eq_ignore_ascii_case(&column.name))
            };
            if let Some(place) = by_path.or_else(by_name) {
                given[place] = true;
                name.clone_from(&found.columns[place].name);
                from = &row[place];
            }
        }
        if !is_same(from, cell) {
            columns.push(change(table, name, from.json(), cell.json()));
        }
    }
    (columns, given)
}

/// Whether Headwater fills the column itself.
fn is_own(path: &str) -> bool {
    path.starts_with("_headwater:")
}

fn change(table: &str, column: String, from: Value, to: Value) -> Column {
    Column { table: table.to_owned(), column, from, to }
}

/// Whether a column would hold the same, whatever type it has by now.
fn is_same(stored: &Cell, made: &Cell) -> bool {
    if stored == made {
        return true;
    }
    let (Some(one), Some(other)) = (stored.text(), made.text()) else { return false };
    let number = |cell: &Cell| matches!(cell, Cell::Int(_) | Cell::Real(_) | Cell::Numeric(_));
    let json = |cell: &Cell| matches!(cell, Cell::Json(_));
    match (one == other, json(stored) || json(made), number(stored) && number(made)) {
        (true, ..) => true,
        (_, true, _) => stored.json() == made.json(),
        // 5 and 5.0: as numbers, where no digit is lost.
        (.., true) => one.parse::<f64>().is_ok_and(|one| other.parse() == Ok(one)),
        _ => match (stored, made) {
            (Cell::Time(_), Cell::Date(_)) => *stored == *made.fit(headwater_core::object::Type::Time),
            _ => false,
        },
    }
}
