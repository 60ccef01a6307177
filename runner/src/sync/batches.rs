//! The rows of one load: records and what stands inside them, a batch for each table, and what is gone with them.

use std::{collections::BTreeMap, sync::Arc};

use headwater_core::{
    error::{Error, Result},
    object::{Change, Collection, Deletes, From, Op, Origin, Type, Version},
    record::Record,
};

use super::{
    new_id,
    session::{Moment, Session},
};
use crate::warehouse::{
    Load, Prune, Reject,
    table::{Batch, Cell, Meta},
};

/// The batches of one load, a table each.
pub(super) struct Batches<'a> {
    session: &'a Session,
    /// When the request began that brought them.
    began: Moment,
    /// The load's id; rows inside others carry it as their pass, so that each reading of a parent stands for itself.
    id: String,
    tag: Arc<str>,
    tables: BTreeMap<&'static str, Batch>,
    rejects: Vec<Reject>,
    kept: Vec<Change>,
    prunes: Vec<Prune>,
    pub records: u64,
}

/// A record under which further lists have to be read.
pub(super) struct Parent<'a> {
    pub child: &'a Collection,
    /// The collection that the record is of.
    pub of: &'static str,
    pub record: Record,
}

impl<'a> Batches<'a> {
    pub fn new(session: &'a Session, began: Moment) -> Result<Self> {
        let id = new_id()?;
        let tag = id.as_str().into();
        Ok(Self {
            session,
            began,
            id,
            tag,
            tables: BTreeMap::new(),
            rejects: Vec::new(),
            kept: Vec::new(),
            prunes: Vec::new(),
            records: 0,
        })
    }

    /// Adds one change's row.
    pub fn push(&mut self, change: &Change, pass: Option<Arc<str>>, overlap: bool) -> Result<()> {
        let Some(spec) = self.session.tables.get(change.collection) else {
            return Err(Error::unexpected(format!(
                "a page changes {}, which is no collection",
                change.collection
            )));
        };
        self.records += 1;
        let batch = self.tables.entry(change.collection).or_insert_with(|| Batch::new(spec.clone()));
        let change = match change.version {
            Some(_) => change.clone(),
            // What brings no version is as new as the request that brought it.
            None => change.clone().version(Some(Version::at(self.began.theirs))),
        };
        let meta = Meta { pass, overlap, received_at: self.began.ours, delivery: None };
        if let Err(reject) = batch.push(&change, meta) {
            self.rejects.push(reject);
        }
        if self.session.schema.wants_records() {
            self.kept.push(change);
        }
        Ok(())
    }

    /// Adds the rows that stand inside a record, at every depth, and notes the lists that have to be read under it.
    pub fn inside(&mut self, parent: &Change, lists: &mut Vec<Parent<'a>>) -> Result<()> {
        let session = self.session;
        for child in session.children(parent.collection) {
            let From::Nested { of, overflow } = child.from else {
                lists.push(Parent { child, of: parent.collection, record: parent.record.clone() });
                continue;
            };
            let Some((_, at)) = of.iter().find(|(name, _)| *name == parent.collection) else { continue };
            for (place, record) in parent.record.parts(at)?.into_iter().enumerate() {
                let version = match child.version {
                    Some(path) => headwater_core::rest::version(&record, path)?,
                    None => parent.version,
                };
                let change =
                    Change::upsert(child.name, record).parent(&parent.record, place as u32).version(version);
                if session.is_chosen(child.name) {
                    self.push(&change, Some(self.tag.clone()), false)?;
                }
                self.inside(&change, lists)?;
            }
            match !overflow.is_empty() && parent.record.text(overflow)?.as_deref() == Some("true") {
                true => lists.push(Parent { child, of: parent.collection, record: parent.record.clone() }),
                false => self.prune(child, parent.collection, &parent.record, None)?,
            }
        }
        Ok(())
    }

    /// Once a list under one parent is whole, its other rows are gone. `tag` marks those that stay; none means this load's.
    pub fn prune(&mut self, child: &Collection, of: &str, parent: &Record, tag: Option<&str>) -> Result<()> {
        if child.deletes != Deletes::Unseen || !self.session.is_chosen(child.name) {
            return Ok(());
        }
        let parent_key = match self.session.find(of) {
            Some(collection) => key(collection),
            None => Vec::new(),
        };
        let scope = scope(child, &parent_key, parent)?;
        if !scope.is_empty() {
            let pass = tag.unwrap_or(&self.tag).to_owned();
            self.prunes.push(Prune { table: child.name.to_owned(), scope, pass });
        }
        Ok(())
    }

    /// The load, without the progress that it covers.
    pub fn into_load(self) -> Load {
        Load {
            id: self.id,
            run: Some(self.session.run.clone()),
            began: Some(self.began.ours),
            batches: self.tables.into_values().collect(),
            rejects: self.rejects,
            records: self.kept,
            prunes: self.prunes,
            ..Load::default()
        }
    }
}

/// Where a record has the members of its key.
pub(super) fn key(collection: &Collection) -> Vec<Origin> {
    let origin = |column: &&'static str| {
        let declared = collection.fields().flatten().find(|field| field.name == *column);
        declared.map_or(Origin::Record(column), |field| field.origin)
    };
    collection.key.iter().map(origin).collect()
}

/// The columns of `child` that say whose it is, with this parent's values; none if they do not say it fully.
fn scope(child: &Collection, parent_key: &[Origin], parent: &Record) -> Result<Vec<(String, Cell)>> {
    let whose = |path: &str| {
        let mut fields = child.fields().flatten();
        fields.find(|field| matches!(field.origin, Origin::Parent(own) if own == path))
    };
    let mut paths: Vec<&str> = Vec::new();
    for origin in parent_key {
        if let Origin::Record(path) = origin
            && whose(path).is_some()
        {
            paths.push(path);
        }
    }
    // Not all of its key: but an id that stands beside another key says it too.
    if paths.is_empty() || paths.len() < parent_key.len() {
        paths = ["id", "Id"].into_iter().filter(|path| whose(path).is_some()).collect();
    }
    let mut scope = Vec::new();
    for path in paths {
        let (Some(field), Some(raw)) = (whose(path), parent.at(path)?) else { return Ok(Vec::new()) };
        let text = raw.text().unwrap_or_default();
        let cell = match (field.kind, text.parse()) {
            (Type::Int, Ok(number)) => Cell::Int(number),
            _ => Cell::Text(text),
        };
        scope.push((field.name.to_owned(), cell));
    }
    Ok(scope)
}

/// Which of these changes tell the last word on a record that others hang on: an older one says nothing about what stands
/// inside it or under it.
pub(super) fn last_words(session: &Session, changes: &[Change]) -> Result<Vec<bool>> {
    let mut last = vec![false; changes.len()];
    let mut known: BTreeMap<(&str, Vec<String>), usize> = BTreeMap::new();
    let mut keys: BTreeMap<&str, Vec<Origin>> = BTreeMap::new();
    for (place, change) in changes.iter().enumerate() {
        if change.op != Op::Upsert || session.children(change.collection).is_empty() {
            continue;
        }
        let Some(collection) = session.find(change.collection) else { continue };
        let origins = keys.entry(change.collection).or_insert_with(|| key(collection));
        let mut values = Vec::with_capacity(origins.len());
        for origin in origins {
            values.push(match (origin, &change.parent) {
                (Origin::Record(path), _) => change.record.text(path)?.unwrap_or_default(),
                (Origin::Parent(path), Some(parent)) => parent.text(path)?.unwrap_or_default(),
                (Origin::Parent(_), None) => String::new(),
                (Origin::Index, _) => change.index.to_string(),
            });
        }
        let name = (change.collection, values);
        match known.get(&name) {
            Some(before) if changes[*before].version > change.version => continue,
            Some(before) => last[*before] = false,
            None => {}
        }
        last[place] = true;
        known.insert(name, place);
    }
    Ok(last)
}
