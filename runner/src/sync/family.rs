//! What a page brings besides its own rows: nested rows, children, and rows that only have to be fetched again.

use std::{collections::BTreeMap, sync::Arc};

use futures::{FutureExt, StreamExt, stream};
use headwater_core::{
    cursor::{Pass, Read, Since},
    error::{Error, Kind, Result},
    object::{Change, Collection, Deletes, From, Op, Origin, Page, Pull, Type, Version},
    record::{Fields, Raw, Record},
};
use jiff::Timestamp;

use super::{engine::Session, new_id, pass};
use crate::warehouse::{
    Committed, Load, Prune,
    table::{Batch, Cell, Meta},
};

/// Children that are read at once, under the parents of one page.
const SIDE_BY_SIDE: usize = 4;

/// A collection that is being read, and all that hangs on it.
pub(super) struct Family<'a> {
    pub session: &'a Session,
    pub collection: &'a Collection,
    /// The name that its progress is kept under.
    pub key: &'a str,
    /// Whether its own rows are loaded.
    pub loads: bool,
    pub pass: &'a Pass,
    /// What is not newer than this has been read before: a row from there that is new was late.
    pub overlap: Option<Timestamp>,
}

/// A page, ready to be committed.
pub(super) struct Ready {
    pub load: Load,
    /// What was committed before it: the children's rows.
    pub done: Committed,
    pub records: u64,
    pub notices: Vec<String>,
}

impl Family<'_> {
    /// The latest change among a page's records, or `newest` if that is later.
    pub fn newest(&self, page: &Page, newest: Option<Timestamp>) -> Result<Option<Timestamp>> {
        let Some(Since::Time { field, .. } | Since::Newest { field, .. }) = self.collection.since else {
            return Ok(None);
        };
        let mut newest = newest;
        // A feed's changes are of other collections: it says by its versions how new they are.
        for change in &page.changes {
            let time = match change.collection == self.collection.name {
                true => change.record.time(field)?,
                false => change.version.and_then(|version| Timestamp::from_microsecond(version.0).ok()),
            };
            newest = newest.max(time);
        }
        Ok(newest)
    }

    /// Turns a page into one load. Children are read and committed before this returns.
    pub async fn load(&self, page: Page, read: &Read) -> Result<Ready> {
        let began = Timestamp::now();
        let mut done = Committed::default();
        let mut batches = Batches::new(self.session, began);
        let mut prunes = Vec::new();
        let mut parents = Vec::new();
        let tag = pass::tag(self.pass);
        let mut changes = Vec::with_capacity(page.changes.len());
        for change in page.changes {
            match change.op {
                Op::Touch => changes.extend(Self::fetched(self.session, change).await?),
                _ => changes.push(change),
            }
        }
        for change in changes {
            if change.op == Op::Upsert {
                for child in self.session.children(change.collection) {
                    match child.from {
                        From::Nested { of, overflow } => {
                            let Some((_, at)) = of.iter().find(|(parent, _)| *parent == change.collection) else { continue };
                            self.nested(child, at, &change, &tag, &mut batches, &mut prunes, overflow)?;
                            if !overflow.is_empty() && change.record.text(overflow)?.as_deref() == Some("true") {
                                parents.push((child, change.record.clone()));
                            }
                        }
                        From::Children { .. } => parents.push((child, change.record.clone())),
                        _ => {}
                    }
                }
            }
            let own = change.collection == self.collection.name;
            if (own && self.loads) || (!own && self.session.is_chosen(change.collection)) {
                let overlap = own && self.is_overlap(&change.record)?;
                batches.push(&change, Some(tag.clone()), overlap)?;
            }
        }
        let under: Vec<_> = parents.iter().map(|(child, parent)| self.under(child, parent).boxed()).collect();
        let mut reads = stream::iter(under).buffer_unordered(SIDE_BY_SIDE);
        while let Some(child) = reads.next().await {
            add(&mut done, child?);
        }
        drop(reads);
        let request = format!("{} {}", self.collection.name, read.page);
        let records = batches.records;
        let load = Load { run: Some(self.session.run.clone()), request, prunes, ..batches.into_load()? };
        Ok(Ready { load, done, records, notices: page.notices })
    }

    /// Reads the children of one parent to the end of their list.
    pub async fn under(&self, child: &Collection, parent: &Record) -> Result<Committed> {
        let session = self.session;
        let mut read = Read::default();
        let mut done = Committed::default();
        let tag: Arc<str> = format!("{}:{}", self.pass.id, child.name).into();
        let mut place = 0;
        loop {
            let began = Timestamp::now();
            let pull = Pull { client: &session.client, collection: child, read: &read, parent: Some(parent) };
            let page = match session.within_stall(session.source.page(pull)).await {
                Ok(page) => page,
                // The parent was deleted between its list and its children's.
                Err(error) if error.status() == Some(404) => return Ok(done),
                Err(error) if error.kind() == Kind::Forbidden => {
                    done.notices.push(format!("{}: {error}", child.name));
                    return Ok(done);
                }
                Err(error) => return Err(error.within("children", child.name)),
            };
            if page.more && page.wait.is_none() && page.cursor == read.page {
                return Err(Error::unexpected("the next page is this page").within("children", child.name));
            }
            let mut batches = Batches::new(session, began);
            for change in page.changes {
                let change = change.parent(parent, place);
                place += 1;
                batches.push(&change, Some(tag.clone()), false)?;
            }
            let prunes = match page.more {
                true => Vec::new(),
                false => prune(child, parent, &tag)?.into_iter().collect(),
            };
            let request = format!("{} {}", child.name, read.page);
            let load = Load { run: Some(session.run.clone()), request, prunes, ..batches.into_load()? };
            add(&mut done, session.schema.commit(load).await?);
            if !page.more {
                return Ok(done);
            }
            if let Some(wait) = page.wait {
                session.sleep(wait).await;
            }
            read.page = page.cursor;
        }
    }

    /// A record that holds a parent's key, made from its row.
    pub fn key_record(columns: &[&str], cells: &[Cell]) -> Result<Record> {
        let members: Result<Vec<(String, Raw)>> =
            columns.iter().zip(cells).map(|(name, cell)| Ok(((*name).to_owned(), Raw::new(&cell.json())?))).collect();
        Ok(members?.into_iter().collect::<Fields>().record())
    }

    /// A touched row, as the vendor has it now.
    pub async fn fetched(session: &Session, change: Change) -> Result<Vec<Change>> {
        if change.op != Op::Touch {
            return Ok(vec![change]);
        }
        let Some(collection) = session.all.iter().find(|collection| collection.name == change.collection) else {
            return Ok(Vec::new());
        };
        if !session.is_chosen(collection.name) {
            return Ok(Vec::new());
        }
        let found = session.within_stall(session.source.fetch(&session.client, collection, &change.record)).await?;
        let mut changes = Vec::new();
        match found {
            // As new as what touched it, or newer: a row that says so is gone all the same.
            Some(record) => {
                headwater_core::rest::changes(collection, record, &mut changes)?;
                for fetched in &mut changes {
                    fetched.version = fetched.version.max(change.version);
                }
            }
            None => changes.push(change.op(Op::Delete)),
        }
        Ok(changes)
    }

    /// The rows of changes that belong to no pass, with what stands inside them.
    pub fn rows(session: &Session, changes: Vec<Change>) -> Result<Load> {
        let mut batches = Batches::new(session, Timestamp::now());
        for change in changes {
            for child in session.children(change.collection).filter(|_| change.op == Op::Upsert) {
                let From::Nested { of, .. } = child.from else { continue };
                for (_, at) in of.iter().filter(|(parent, _)| *parent == change.collection) {
                    for (place, record) in change.record.parts(at)?.into_iter().enumerate() {
                        let nested = Change::upsert(child.name, record).parent(&change.record, place as u32);
                        batches.push(&nested.version(change.version), None, false)?;
                    }
                }
            }
            batches.push(&change, None, false)?;
        }
        batches.into_load()
    }

    #[allow(clippy::too_many_arguments)]
    fn nested(
        &self,
        child: &Collection,
        at: &str,
        parent: &Change,
        tag: &Arc<str>,
        batches: &mut Batches<'_>,
        prunes: &mut Vec<Prune>,
        overflow: &str,
    ) -> Result<()> {
        for (place, record) in parent.record.parts(at)?.into_iter().enumerate() {
            let version = match child.version {
                Some(path) => headwater_core::rest::version(&record, path)?,
                None => parent.version,
            };
            let change = Change::upsert(child.name, record).parent(&parent.record, place as u32).version(version);
            batches.push(&change, Some(tag.clone()), false)?;
        }
        let whole = overflow.is_empty() || parent.record.text(overflow)?.as_deref() != Some("true");
        if whole {
            prunes.extend(prune(child, &parent.record, tag)?);
        }
        Ok(())
    }

    fn is_overlap(&self, record: &Record) -> Result<bool> {
        let (Some(Since::Time { field, .. }), Some(synced_to)) = (self.collection.since, self.overlap) else {
            return Ok(false);
        };
        Ok(record.time(field)?.is_some_and(|time| time <= synced_to))
    }
}

/// What is gone once a parent's list has been read whole: its rows that this pass has not loaded.
fn prune(child: &Collection, parent: &Record, tag: &Arc<str>) -> Result<Option<Prune>> {
    if child.deletes != Deletes::Unseen {
        return Ok(None);
    }
    let mut scope = Vec::new();
    for field in child.fields().flatten() {
        if let Origin::Parent(path) = field.origin
            && matches!(path, "id" | "Id")
            && let Some(raw) = parent.at(path)?
        {
            let text = raw.text().unwrap_or_default();
            let cell = match (field.kind, text.parse()) {
                (Type::Int, Ok(number)) => Cell::Int(number),
                _ => Cell::Text(text),
            };
            scope.push((field.name.to_owned(), cell));
        }
    }
    let table = child.name.to_owned();
    Ok((!scope.is_empty()).then(|| Prune { table, scope, pass: tag.to_string() }))
}

fn add(done: &mut Committed, more: Committed) {
    done.inserted += more.inserted;
    done.updated += more.updated;
    done.stale += more.stale;
    done.deleted += more.deleted;
    done.rejected += more.rejected;
    done.overlap_new += more.overlap_new;
    done.notices.extend(more.notices);
}

/// The batches of one load, a table each.
struct Batches<'a> {
    session: &'a Session,
    began: Timestamp,
    tables: BTreeMap<&'static str, Batch>,
    rejects: Vec<crate::warehouse::Reject>,
    kept: Vec<Change>,
    records: u64,
}

impl<'a> Batches<'a> {
    fn new(session: &'a Session, began: Timestamp) -> Self {
        Self { session, began, tables: BTreeMap::new(), rejects: Vec::new(), kept: Vec::new(), records: 0 }
    }

    fn push(&mut self, change: &Change, pass: Option<Arc<str>>, overlap: bool) -> Result<()> {
        let Some(spec) = self.session.tables.get(change.collection) else {
            return Err(Error::unexpected(format!("a page changes {}, which is no collection", change.collection)));
        };
        self.records += 1;
        let batch = self.tables.entry(change.collection).or_insert_with(|| Batch::new(spec.clone()));
        let change = match change.version {
            Some(_) => change.clone(),
            // What brings no version is as new as the request that brought it.
            None => change.clone().version(Some(Version::at(self.began))),
        };
        let meta = Meta { pass, overlap, received_at: self.began, delivery: None };
        if let Err(reject) = batch.push(&change, meta) {
            self.rejects.push(reject);
        }
        if self.session.schema.wants_records() {
            self.kept.push(change);
        }
        Ok(())
    }

    fn into_load(self) -> Result<Load> {
        Ok(Load {
            id: new_id()?,
            began: Some(self.began),
            batches: self.tables.into_values().collect(),
            rejects: self.rejects,
            records: self.kept,
            ..Load::default()
        })
    }
}
