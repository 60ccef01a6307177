//! Warehouses: where tables go. One write, [`Schema::commit`], takes rows, progress and rejects together or not at all.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use headwater_core::{cursor::Pass, error::Result};
use jiff::Timestamp;
use serde_json::Value;

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
    /// Deliveries that this load makes again (a replay): calls of theirs that it does not make are removed.
    pub replaces: Vec<Arc<str>>,
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
    /// Rows marked as deleted, prunes included.
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
