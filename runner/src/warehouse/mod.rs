//! Warehouses: where tables go. One write, [`Schema::commit`], takes rows, progress and rejects together or not at all.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use headwater_core::{
    cursor::Pass,
    error::{Error, Result},
};
use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::mpsc;

mod books;
pub mod calls;
mod known;
pub mod name;
pub mod postgres;
pub mod query;
pub mod sqlite;
pub mod table;

use table::{Batch, Cell, TableSpec};

/// A database that schemas live in.
#[async_trait]
pub trait Warehouse: Send + Sync {
    /// Opens a schema for writing, and makes it if it is not there. A schema has one writer.
    async fn schema(&self, name: &str) -> Result<Arc<dyn Schema>>;
}

/// One schema: the tables of one source.
#[async_trait]
pub trait Schema: Send + Sync {
    /// Whether loads have to carry the records as they came ([`Load::records`]): one that prints them does.
    fn wants_records(&self) -> bool {
        false
    }

    /// Makes the table with its key and its documented columns, or adds the columns that it lacks. It never drops
    /// or narrows one.
    async fn prepare(&self, table: &TableSpec) -> Result<()>;

    /// Applies a load: rows, progress, rejects and prunes in one transaction, all or none. Applying the same load
    /// twice is the same as applying it once.
    async fn commit(&self, load: Load) -> Result<Committed>;

    /// Everything in `_headwater_progress`.
    async fn progress(&self) -> Result<BTreeMap<String, Value>>;

    /// Marks as deleted the rows of `table` that were loaded by another pass, before `pass` began, and are not
    /// marked yet. Does nothing but count if more than `most` of the living rows would go (a share from 0 to 1), or
    /// if the pass met no row at all; with a share of 1 the user has accepted either.
    async fn sweep(&self, table: &str, pass: &Pass, most: f64) -> Result<Swept>;

    /// The living rows' values of `columns`, in the key's order, `limit` of them behind `after` (a key).
    async fn keys(
        &self,
        table: &str,
        columns: &[&str],
        after: Option<&[Cell]>,
        limit: usize,
    ) -> Result<Vec<Vec<Cell>>>;

    /// The rows of `table` in which the columns `by` (the table's key, if there are none) have one of these values, written as
    /// text; none if there is no such table.
    async fn find(&self, _table: &str, _by: &[&str], _values: &[Vec<String>]) -> Result<Option<Found>> {
        Err(unreadable())
    }

    /// Sends every row of the tables of calls (not those of single events) that was received from `since` to `until`, both
    /// included, in any order, some at a time; loads go on meanwhile.
    async fn calls(
        &self,
        _since: Timestamp,
        _until: Timestamp,
        _to: mpsc::Sender<Vec<StoredCall>>,
    ) -> Result<()> {
        Err(unreadable())
    }

    /// A line of `_headwater_loads` or `_headwater_runs`.
    async fn note(&self, _of: Note, _id: &str) -> Result<Option<serde_json::Map<String, Value>>> {
        Err(unreadable())
    }
}

fn unreadable() -> Error {
    Error::config("rows of this warehouse cannot be looked into")
}

/// Rows, and what is known of their table.
#[derive(Clone, Debug)]
pub struct Found {
    /// What kind of table it is.
    pub layout: table::Layout,
    /// The columns that tell one row from another.
    pub key: Vec<String>,
    /// Its columns: name, path and type as of a batch.
    pub columns: Vec<table::Column>,
    /// The values, in the columns' order.
    pub rows: Vec<Vec<Cell>>,
}

/// A call's row, as a replay needs to know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredCall {
    /// The table of its kind.
    pub table: &'static str,
    /// Its message id.
    pub id: String,
    /// `_headwater_delivery`: the delivery's sequence number, and the item's place.
    pub delivery: String,
    /// The table of its event, if it has one.
    pub event: Option<String>,
}

/// A table in which Headwater notes what it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    /// `_headwater_loads`.
    Load,
    /// `_headwater_runs`.
    Run,
}

/// What is written at once.
#[derive(Debug, Default)]
pub struct Load {
    /// Tells this load from every other; rows carry it as `_headwater_load`.
    pub id: String,
    /// The run that made it (`_headwater_runs`), if one did.
    pub run: Option<String>,
    /// What it came from: the request without secrets, or the position in the calls log.
    pub request: String,
    /// When its first byte was asked for: the version of rows that bring none.
    pub began: Option<Timestamp>,
    /// Rows, by table.
    pub batches: Vec<Batch>,
    /// The records behind the rows, as they came, for a schema that wants them.
    pub records: Vec<headwater_core::object::Change>,
    /// Progress to store, by key (a collection's name, a feed's, or `calls`); null removes it.
    pub progress: Vec<(String, Value)>,
    /// What could not become a row.
    pub rejects: Vec<Reject>,
    /// Lists that were read whole under one parent: their other rows are gone.
    pub prunes: Vec<Prune>,
    /// Calls that their delivery does not make any more (a replay): their rows are removed in this order, before others come; of
    /// each call the event's row before the one in `tracks`.
    pub removes: Vec<Removal>,
    /// A line of `_headwater_runs` to insert or replace.
    pub run_row: Option<RunRow>,
}

/// A record or call that could not become a row: kept in `_headwater_rejects`.
#[derive(Clone, Debug)]
pub struct Reject {
    /// The table that it was meant for.
    pub table: String,
    /// Why.
    pub reason: String,
    /// The JSON as it came.
    pub payload: String,
}

/// Removes the row of a call, unless it has become another delivery's, or there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removal {
    /// The table.
    pub table: String,
    /// The message id.
    pub id: String,
    /// The row's `_headwater_delivery`.
    pub delivery: Arc<str>,
}

/// Marks as deleted the rows in `scope` that `pass` has not loaded, nor anything else since the load began.
#[derive(Clone, Debug)]
pub struct Prune {
    /// The table.
    pub table: String,
    /// Column and value: `invoice_id` = `in_1`.
    pub scope: Vec<(String, Cell)>,
    /// The pass that loaded the rows that stay.
    pub pass: String,
}

/// How a run ended, as `_headwater_runs` keeps it.
#[derive(Clone, Debug)]
pub struct RunRow {
    /// Its id.
    pub id: String,
    /// When it began.
    pub began: Timestamp,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// `running`, `success`, `partial`, `failure`, `paused`.
    pub outcome: String,
    /// The outcome of each collection, as JSON.
    pub detail: Value,
}

/// What a commit did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Committed {
    /// Rows that were not there.
    pub inserted: u64,
    /// Rows that were there and are newer now.
    pub updated: u64,
    /// Rows that were there, newer than the change, and stayed.
    pub stale: u64,
    /// Rows marked as deleted, prunes included, and rows of calls that were removed.
    pub deleted: u64,
    /// Rows that the warehouse refused: in `_headwater_rejects`.
    pub rejected: u64,
    /// Inserted rows of each table that were marked as overlap ([`table::Meta::overlap`]): above zero, the lag is too small.
    pub overlap_new: u64,
    /// What a user should know: columns that could not grow, characters replaced.
    pub notices: Vec<String>,
}

/// What a sweep did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Rows marked as deleted.
    pub deleted: u64,
    /// Rows that would have been: the sweep was held.
    pub held: u64,
    /// Living rows before it.
    pub living: u64,
}
