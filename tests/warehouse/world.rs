//! A warehouse under test, and the ways in which it can be broken.

use std::{
    cell::{Cell as Mutable, RefCell},
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use headwater::warehouse::{
    Committed, Found, Load, Note, Prune, Removal, Schema, StoredCall, Swept, Warehouse,
    calls::CallBatches,
    table::{Batch, Cell, Meta, TableSpec},
};
use headwater_core::{
    cursor::Pass,
    error::Result,
    object::{Change, Collection, Op, Version, intern},
    record::{Fields, Record},
    spec::Call,
};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};
use tokio::runtime::Runtime;

/// The schema that all laws write to.
pub const SCHEMA: &str = "source";

/// One kind of warehouse: how the laws look into it, and how they make it refuse.
pub trait Stand {
    /// The warehouse itself.
    fn warehouse(&self) -> &dyn Warehouse;
    /// All rows of a table, its own too, in the order of the first column; none if there is no such table.
    fn rows(&self, table: &str) -> Vec<Map<String, Value>>;
    /// The columns of a table.
    fn columns(&self, table: &str) -> Vec<String>;
    /// From now on the database refuses rows of `table` that have this value.
    fn refuse(&self, table: &str, column: &str, value: &str);
}

/// What a broken warehouse does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Columns that the first load did not have are lost.
    DropsNewColumns,
    /// What comes into a column after its first value is lost.
    LosesWidened,
    /// The last change wins, whatever its version.
    IgnoresVersions,
    /// A patch empties what it does not name.
    PatchesAsUpserts,
    /// A deletion does nothing.
    IgnoresDeletes,
    /// What was deleted comes back with any change.
    ForgetsTombstones,
    /// What was deleted never comes back.
    NeverRevives,
    /// A sweep takes rows that were loaded while the pass ran.
    SweepsLaterRows,
    /// A sweep takes any number of rows.
    SweepsAll,
    /// Rows do not carry the pass that met them.
    DropsPasses,
    /// A prune does nothing.
    DropsPrunes,
    /// A prune takes the other parents' rows too.
    PrunesAll,
    /// One bad row costs the whole page.
    LosesNeighbours,
    /// What could not become a row is lost.
    DropsRejects,
    /// What does not fit is lost.
    DropsBeyond(usize),
    /// Long names are cut, and one of two is lost.
    CutsNames,
    /// Members whose names differ only in how they are written are one.
    MergesSpellings,
    /// A load is applied as often as it comes.
    RepeatsLoads,
    /// Progress is stored on its own.
    ProgressFirst,
    /// Rows of the overlap are not told from others.
    ForgetsOverlap,
    /// Calls are told apart by their delivery.
    RepeatsCalls,
    /// Calls whose event has no table are lost.
    DropsCrowd,
    /// A replay leaves what the delivery no longer makes.
    IgnoresReplays,
}

/// A warehouse under test.
pub struct World {
    pub stand: Box<dyn Stand>,
    fault: Option<Fault>,
    schema: Arc<dyn Schema>,
    runtime: Runtime,
    loads: Mutable<u32>,
    /// The members of the first record of each table.
    first: RefCell<BTreeMap<&'static str, HashSet<String>>>,
    deleted: RefCell<HashSet<String>>,
}

/// What is to be committed, before it is a [`Load`].
#[derive(Clone, Default)]
pub struct Draft {
    pub id: Option<String>,
    pub changes: Vec<Change>,
    pub pass: Option<&'static str>,
    pub overlap: bool,
    pub progress: Vec<(String, Value)>,
    pub prunes: Vec<Prune>,
}

impl World {
    pub fn new(stand: Box<dyn Stand>, fault: Option<Fault>) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let schema = runtime.block_on(stand.warehouse().schema(SCHEMA)).expect("a schema");
        Self {
            stand,
            fault,
            schema,
            runtime,
            loads: Mutable::new(0),
            first: RefCell::default(),
            deleted: RefCell::default(),
        }
    }

    fn has(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }

    /// Commits what `draft` says to the table of `collection`.
    pub fn commit(&self, collection: &Collection, mut draft: Draft) -> Result<Committed> {
        let number = self.loads.get();
        self.loads.set(number + 1);
        self.spoil(collection, &mut draft, number);
        let mut load = Load { id: draft.id.unwrap_or_else(|| format!("load-{number}")), ..Load::default() };
        load.progress = draft.progress;
        load.prunes = draft.prunes;
        let spec = Arc::new(TableSpec::object(collection)?);
        let mut batch = Batch::new(spec);
        for change in &draft.changes {
            let meta = Meta {
                pass: draft.pass.map(Into::into),
                overlap: draft.overlap,
                received_at: Timestamp::UNIX_EPOCH,
                delivery: None,
            };
            if let Err(reject) = batch.push(change, meta) {
                load.rejects.push(reject);
            }
        }
        if self.has(Fault::DropsRejects) {
            load.rejects.clear();
        }
        load.batches.push(batch);
        if self.has(Fault::ProgressFirst) {
            let progress =
                Load { id: format!("progress-{number}"), progress: load.progress.clone(), ..Load::default() };
            self.runtime.block_on(self.schema.commit(progress))?;
        }
        let done = self.runtime.block_on(self.schema.commit(load));
        match done {
            Ok(done) if self.has(Fault::LosesNeighbours) && done.rejected > 0 => {
                // What a warehouse does that gives up the whole statement.
                let gone = draft.changes.iter().map(|change| Change {
                    op: Op::Delete,
                    version: None,
                    ..change.clone()
                });
                self.commit(collection, Draft { changes: gone.collect(), ..Draft::default() })?;
                Ok(done)
            }
            done => done,
        }
    }

    fn spoil(&self, collection: &Collection, draft: &mut Draft, number: u32) {
        let Some(fault) = self.fault else { return };
        let mut edit = |change: &mut Change| {
            let mut members = change.record.fields().expect("an object");
            let mut first = self.first.borrow_mut();
            let names = || members.iter().map(|(name, _)| name.to_owned());
            let known = first.entry(collection.name).or_insert_with(|| names().collect());
            let key = format!("{}:{:?}", collection.name, members.get("id"));
            match fault {
                Fault::DropsNewColumns => members.retain(|name, _| known.contains(name)),
                Fault::LosesWidened if number % 2 == 1 => members.retain(|name, _| name != "v"),
                Fault::IgnoresVersions => change.version = Some(Version(i64::MAX / 2 + i64::from(number))),
                Fault::PatchesAsUpserts if change.op == Op::Patch => change.op = Op::Upsert,
                Fault::IgnoresDeletes if change.op == Op::Delete => return false,
                Fault::ForgetsTombstones if self.deleted.borrow().contains(&key) => {
                    change.version = Some(Version(i64::MAX - 1));
                }
                Fault::NeverRevives if self.deleted.borrow().contains(&key) => change.op = Op::Delete,
                Fault::DropsBeyond(most) => {
                    let kept: HashSet<String> = names().filter(|name| name != "id").take(most).collect();
                    members.retain(|name, _| name == "id" || kept.contains(name));
                }
                Fault::CutsNames => members = renamed(&members, |name| name.chars().take(63).collect()),
                Fault::MergesSpellings => members = renamed(&members, headwater::warehouse::name::snake),
                _ => {}
            }
            if change.op == Op::Delete {
                self.deleted.borrow_mut().insert(key);
            }
            change.record = members.record();
            true
        };
        draft.changes.retain_mut(&mut edit);
        match fault {
            Fault::DropsPasses => draft.pass = None,
            Fault::DropsPrunes => draft.prunes.clear(),
            Fault::PrunesAll => {
                draft.prunes.iter_mut().for_each(|prune| prune.scope = vec![("kind".into(), "line".into())])
            }
            Fault::RepeatsLoads => draft.id = None,
            Fault::ForgetsOverlap => draft.overlap = false,
            _ => {}
        }
    }

    /// Sweeps after a pass of this name that began `ago` before now.
    pub fn sweep(
        &self,
        collection: &Collection,
        pass: &str,
        ago: SignedDuration,
        most: f64,
    ) -> Result<Swept> {
        let ago = if self.has(Fault::SweepsLaterRows) { SignedDuration::from_hours(-1) } else { ago };
        let most = if self.has(Fault::SweepsAll) { 1.0 } else { most };
        let pass = Pass { id: pass.into(), began: Timestamp::now() - ago, whole: true };
        self.runtime.block_on(self.schema.sweep(collection.name, &pass, most))
    }

    /// Makes the table before any row is known.
    pub fn prepare(&self, collection: &Collection) -> Result<()> {
        self.runtime.block_on(self.schema.prepare(&TableSpec::object(collection)?))
    }

    /// Commits calls, each with the delivery it came in, and removes rows of calls.
    pub fn calls(&self, calls: &[(Call, &str)], removes: &[Removal]) -> Result<Committed> {
        let number = self.loads.get();
        self.loads.set(number + 1);
        let mut load = Load { id: format!("load-{number}"), ..Load::default() };
        let mut batches = CallBatches::new();
        for (call, delivery) in calls {
            let mut call = call.clone();
            if self.has(Fault::RepeatsCalls) {
                call.message_id.push_str(delivery);
            }
            if let Err(reject) = batches.push(&call, delivery) {
                load.rejects.push(reject);
            }
        }
        if !self.has(Fault::IgnoresReplays) {
            load.removes = removes.to_vec();
        }
        load.batches = batches.into_batches();
        if self.has(Fault::DropsCrowd) && load.batches.len() > 1000 {
            load.batches.retain(|batch| batch.spec().name != "tracks");
        }
        self.runtime.block_on(self.schema.commit(load))
    }

    /// The rows with these keys, as the warehouse reads them back.
    pub fn find(&self, table: &str, by: &[&str], values: &[Vec<String>]) -> Result<Option<Found>> {
        self.runtime.block_on(self.schema.find(table, by, values))
    }

    /// The calls that were received in a stretch of time, in order.
    pub fn stored_calls(&self, since: Timestamp, until: Timestamp) -> Result<Vec<StoredCall>> {
        let (to, mut from) = tokio::sync::mpsc::channel(1);
        let mut all: Vec<StoredCall> = self.runtime.block_on(async {
            let gather = async {
                let mut all = Vec::new();
                while let Some(some) = from.recv().await {
                    all.extend(some);
                }
                all
            };
            let (done, all) = tokio::join!(self.schema.calls(since, until, to), gather);
            done.map(|()| all)
        })?;
        all.sort_by(|one, other| (one.table, &one.id).cmp(&(other.table, &other.id)));
        Ok(all)
    }

    /// A line of what Headwater notes itself.
    pub fn note(&self, of: Note, id: &str) -> Result<Option<Map<String, Value>>> {
        self.runtime.block_on(self.schema.note(of, id))
    }

    /// Commits this load as it is.
    pub fn load(&self, load: Load) -> Result<Committed> {
        self.runtime.block_on(self.schema.commit(load))
    }

    pub fn progress(&self) -> BTreeMap<String, Value> {
        self.runtime.block_on(self.schema.progress()).expect("progress")
    }

    /// The living rows' values.
    pub fn cells(&self, collection: &Collection, columns: &[&str]) -> Vec<Vec<Cell>> {
        self.keys(collection, columns, None, usize::MAX)
    }

    pub fn keys(
        &self,
        collection: &Collection,
        columns: &[&str],
        after: Option<&[Cell]>,
        limit: usize,
    ) -> Vec<Vec<Cell>> {
        self.runtime.block_on(self.schema.keys(collection.name, columns, after, limit)).unwrap_or_default()
    }

    /// All rows of the table.
    pub fn rows(&self, collection: &Collection) -> Vec<Map<String, Value>> {
        self.stand.rows(collection.name)
    }
}

impl Draft {
    /// Changes with this operation, one for each record.
    pub fn of(op: Op, version: Option<i64>, records: &[Value]) -> Self {
        let change = |record| {
            Change::upsert("", Record::new(record).expect("an object")).op(op).version(version.map(Version))
        };
        Self { changes: records.iter().map(change).collect(), ..Self::default() }
    }

    /// One row, its JSON as it stands.
    pub fn raw(json: &str) -> Self {
        let record = Record::parse(&json.to_owned().into()).expect("an object");
        Self { changes: vec![Change::upsert("", record)], ..Self::default() }
    }

    /// Whole rows without a version.
    pub fn rows(records: &[Value]) -> Self {
        Self::of(Op::Upsert, None, records)
    }
}

fn renamed(members: &Fields, name: impl Fn(&str) -> String) -> Fields {
    members.iter().map(|(old, value)| (name(old), value.clone())).collect()
}

/// A table that no other law uses.
pub fn table(name: &str) -> Collection {
    Collection { name: intern(name), fields: "id text", ..Collection::DEFAULT }
}
