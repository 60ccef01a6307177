//! Tables: what one looks like, and batches of rows for it, flattened from the records' bytes.
//!
//! A [`Batch`] knows nothing of the database. Its columns carry the name they would like and the path they come
//! from; the warehouse decides what they are called ([`super::name::apart`]) and what does not fit any more.

use std::{collections::HashSet, sync::Arc};

use headwater_core::{
    error::{Error, Result},
    object::{Change, Collection, Field, Op, Origin, Type},
    record::Fields,
};
use jiff::Timestamp;

mod cell;
mod escape;
mod flatten;
mod natural;
mod shape;

pub use cell::{Cell, instant, real, widen};
use flatten::{Flattener, Sink};
pub use natural::number;
use shape::Shape;

use super::{Reject, name};

/// The most columns that a table can have, its own included.
pub const MAX_COLUMNS: usize = 1000;
/// The most tables that a schema can have.
pub const MAX_TABLES: usize = 2000;
/// Objects below this level stay JSON.
pub const MAX_LEVEL: usize = 8;

/// What kind of table it is: which columns Headwater adds, and what a second row with the same key means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Layout {
    /// Objects of an app: merged by version, deleted ones marked.
    Object,
    /// Calls, one row each: the first row with an id stays, unless the same delivery makes it again.
    Call,
    /// The calls of one event: like [`Layout::Call`], but given up when the schema has too many tables.
    Event,
    /// The latest state of users or accounts: merged by version, absent columns stay.
    Entity,
}

impl Layout {
    /// The columns that Headwater adds.
    pub fn system(self) -> &'static [(&'static str, Type)] {
        const OBJECT: &[(&str, Type)] = &[
            ("received_at", Type::Time),
            ("uuid_ts", Type::Time),
            ("is_deleted", Type::Bool),
            ("_headwater_version", Type::Int),
            ("_headwater_pass", Type::Text),
            ("_headwater_load", Type::Text),
            ("_headwater_extra", Type::Json),
        ];
        const CALL: &[(&str, Type)] = &[
            ("received_at", Type::Time),
            ("uuid_ts", Type::Time),
            ("_headwater_delivery", Type::Text),
            ("_headwater_load", Type::Text),
            ("_headwater_extra", Type::Json),
        ];
        const ENTITY: &[(&str, Type)] = &[
            ("received_at", Type::Time),
            ("uuid_ts", Type::Time),
            ("_headwater_version", Type::Int),
            ("_headwater_delivery", Type::Text),
            ("_headwater_load", Type::Text),
            ("_headwater_extra", Type::Json),
        ];
        match self {
            Layout::Object => OBJECT,
            Layout::Call | Layout::Event => CALL,
            Layout::Entity => ENTITY,
        }
    }

    /// Its name in `_headwater_tables`.
    pub fn name(self) -> &'static str {
        match self {
            Layout::Object => "object",
            Layout::Call => "call",
            Layout::Event => "event",
            Layout::Entity => "entity",
        }
    }
}

/// What a table looks like before any row is known.
#[derive(Debug)]
pub struct TableSpec {
    /// Its name.
    pub name: String,
    /// What kind of table it is.
    pub layout: Layout,
    /// The columns that tell one row from another.
    pub key: Vec<String>,
    /// The documented columns.
    pub fields: Vec<Field>,
    shape: Shape,
}

impl TableSpec {
    /// The table of a collection.
    pub fn object(collection: &Collection) -> Result<Self> {
        let table = name::table(collection.name);
        let fields = collection.fields().collect::<Result<Vec<_>, _>>().map_err(|text| {
            Error::config(format!("collection {}: {text:?} is not a column", collection.name))
        })?;
        let key: Vec<String> = collection.key.iter().map(|key| (*key).to_owned()).collect();
        if key.is_empty() {
            return Err(Error::config(format!(
                "collection {}: it has no key: name the columns of one",
                collection.name
            )));
        }
        let mut names = HashSet::new();
        if let Some(field) = fields.iter().find(|field| !names.insert(field.name)) {
            return Err(Error::config(format!(
                "collection {}: {} is declared twice",
                collection.name, field.name
            )));
        }
        if let Some(long) =
            key.iter().map(String::as_str).chain(names).find(|name| name.len() > name::MAX_IDENTIFIER)
        {
            return Err(Error::config(format!(
                "collection {}: {long} is longer than {} bytes",
                collection.name,
                name::MAX_IDENTIFIER
            )));
        }
        if let Some(own) = key.iter().find(|key| is_system(Layout::Object, key)) {
            return Err(Error::config(format!(
                "collection {}: {own} is Headwater's own, and no key",
                collection.name
            )));
        }
        let shape = Shape::object(&fields, collection.key);
        Ok(Self { name: table, layout: Layout::Object, key, fields, shape })
    }

    /// A table of calls with these columns, the first of which is the key.
    pub(super) fn call(name: &str, layout: Layout, columns: &[(&'static str, Type)]) -> Self {
        let fields: Vec<Field> =
            columns.iter().map(|&(name, kind)| Field { name, kind, origin: Origin::Record(name) }).collect();
        let key = columns.first().map(|(key, _)| (*key).to_owned()).into_iter().collect();
        let shape = Shape::call(&fields);
        Self { name: name.to_owned(), layout, key, fields, shape }
    }

    /// The columns that stand from the start, the key's first: name, and type where it is documented.
    pub fn columns(&self) -> &[Column] {
        &self.shape.columns
    }
}

/// Whether Headwater fills this column of such tables itself.
fn is_system(layout: Layout, column: &str) -> bool {
    column.starts_with(name::OWN) || layout.system().iter().any(|(own, _)| *own == column)
}

/// A column of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// The name it would like.
    pub name: String,
    /// The member it comes from; of a documented column, its name behind a `=`. No two columns of a table have the same.
    pub path: String,
    /// The narrowest type that holds the documented type and every value of this batch; none if all of them are null.
    pub kind: Option<Type>,
    /// Whether it is documented: then the name is its own.
    pub declared: bool,
}

/// What is known about a change beside its record.
#[derive(Clone, Debug)]
pub struct Meta {
    /// The pass that met it, if one did.
    pub pass: Option<Arc<str>>,
    /// Whether it was read in the overlap: should then be known already.
    pub overlap: bool,
    /// When it reached us.
    pub received_at: Timestamp,
    /// The delivery it came in, if it did.
    pub delivery: Option<Arc<str>>,
}

/// One row of a batch.
#[derive(Clone, Debug)]
pub struct Row {
    /// What happens to it.
    pub op: Op,
    /// How new it is.
    pub version: Option<i64>,
    /// What is known about it.
    pub meta: Meta,
    /// Whether the record itself says that it is deleted.
    pub deleted: bool,
    /// Values, with the places of their columns; of two for the same place the last counts.
    pub cells: Vec<(u32, Cell)>,
    /// What has no column: path and JSON.
    pub extra: Vec<(String, String)>,
    /// Of an event's row: the place of the same call's row in the load's `tracks`.
    pub call: Option<u32>,
}

/// Rows of one table.
#[derive(Debug)]
pub struct Batch {
    spec: Arc<TableSpec>,
    flattener: Flattener,
    rows: Vec<Row>,
    size: usize,
    digest: u32,
}

impl Batch {
    /// No rows yet.
    pub fn new(spec: Arc<TableSpec>) -> Self {
        let flattener = Flattener::new(&spec.shape);
        Self { spec, flattener, rows: Vec::new(), size: 0, digest: 0 }
    }

    /// Adds what `change` does to its row, or says why it cannot.
    pub fn push(&mut self, change: &Change, meta: Meta) -> Result<(), Reject> {
        let reject = |reason: String| Reject {
            table: self.spec.name.clone(),
            reason,
            payload: String::from_utf8_lossy(change.record.bytes()).into_owned(),
        };
        if change.op == Op::Touch {
            return Err(reject("a touched row has to be fetched before it is loaded".into()));
        }
        let mut sink = Sink { patch: change.op == Op::Patch, ..Sink::default() };
        let done = match change.op {
            Op::Delete => self.flattener.key(&self.spec, change, &mut sink),
            _ => self.flattener.record(&self.spec, change, &mut sink),
        };
        done.map_err(|error| reject(error.to_string()))?;
        let keys = self.spec.key.len() as u32;
        let missing = (0..keys).find(|key| {
            let last = sink.cells.iter().rev().find(|(column, _)| column == key);
            last.is_none_or(|(_, cell)| *cell == Cell::Null)
        });
        if let Some(key) = missing {
            let key = &self.spec.key[key as usize];
            return Err(reject(format!("{key} is missing: it is part of the key")));
        }
        let mut row = Row {
            op: change.op,
            version: change.version.map(|version| version.0),
            meta,
            deleted: false,
            cells: sink.cells,
            extra: sink.extra,
            call: None,
        };
        for (name, cell) in sink.system {
            match (name, cell) {
                (_, Cell::Null) => {}
                ("received_at", Cell::Time(time)) => row.meta.received_at = time,
                ("is_deleted", Cell::Bool(deleted)) => row.deleted = deleted,
                (name, cell) => row.extra.push((name.to_owned(), cell.json().to_string())),
            }
        }
        self.add(row, change.record.bytes());
        Ok(())
    }

    /// Adds a call's row: the values of the documented columns in their order, then the members of its context and
    /// of its properties or traits.
    pub(super) fn push_call(
        &mut self,
        row: Row,
        context: &Fields,
        properties: Option<&Fields>,
        rest: &Fields,
    ) -> Result<()> {
        let mut sink =
            Sink { cells: row.cells, extra: row.extra, patch: row.op == Op::Patch, ..Sink::default() };
        self.flattener.call(&self.spec, context, properties, rest, &mut sink)?;
        self.add(Row { cells: sink.cells, extra: sink.extra, ..row }, &[]);
        Ok(())
    }

    fn add(&mut self, row: Row, bytes: &[u8]) {
        let text: usize = row.extra.iter().map(|(path, json)| path.len() + json.len()).sum();
        self.size += size_of::<Row>() + row.cells.len() * size_of::<(u32, Cell)>() + bytes.len() + text;
        self.digest = crc32c::crc32c_append(self.digest, bytes);
        self.rows.push(row);
    }

    /// The table.
    pub fn spec(&self) -> &Arc<TableSpec> {
        &self.spec
    }

    /// The columns that rows refer to: the documented ones (the key's first), then discovered ones.
    pub fn columns(&self) -> &[Column] {
        self.flattener.columns()
    }

    /// The rows, in the order in which they were pushed.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// About how many bytes of memory it holds.
    pub fn size(&self) -> usize {
        self.size
    }

    /// A checksum of the records, in order.
    pub fn digest(&self) -> u32 {
        self.digest
    }

    /// How many characters were replaced by U+FFFD.
    pub fn replaced(&self) -> u64 {
        self.flattener.replaced()
    }
}

impl Row {
    /// The row as JSON, for `_headwater_rejects`.
    pub fn json(&self, columns: &[Column]) -> String {
        let members = self.cells.iter().filter_map(|(place, cell)| {
            columns.get(*place as usize).map(|column| (column.name.clone(), cell.json()))
        });
        let extra = self.extra.iter().map(|(path, json)| {
            (path.clone(), serde_json::from_str(json).unwrap_or_else(|_| json.as_str().into()))
        });
        serde_json::Value::Object(members.chain(extra).collect()).to_string()
    }
}
