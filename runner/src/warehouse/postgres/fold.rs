//! What a batch does to each key: several changes of one row become one, by the rules that hold for them one after the other.

use std::borrow::Cow;

use headwater_core::object::Op;

use crate::warehouse::{
    books::{Old, Outcome},
    table::{Batch, Layout, Row},
};

/// What happens to one row of the table.
#[derive(Debug)]
pub struct Item<'a> {
    /// What is written.
    pub row: Cow<'a, Row>,
    pub write: Write,
    /// The rows of the batch that it is made of, and what became of each.
    pub from: From,
}

/// How it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    /// It is new.
    Insert,
    /// It is there, and what the record lacks becomes null.
    Whole,
    /// It is there, and what the record lacks stays.
    Part,
}

/// Rows of the batch, by place: mostly one.
#[derive(Debug)]
pub enum From {
    One(usize, Outcome),
    Several(Vec<(usize, Outcome)>),
}

impl From {
    pub fn all(&self) -> Vec<(usize, Outcome)> {
        match self {
            From::One(at, outcome) => vec![(*at, *outcome)],
            From::Several(all) => all.clone(),
        }
    }
}

/// What a batch does to one key.
#[derive(Debug)]
pub enum Folded<'a> {
    /// It is written.
    Item(Item<'a>),
    /// All of it is older than what is there; the pass, if one did, has met the row.
    Stale(From, Option<&'a str>),
}

/// What rows of a load that bring no version have.
#[derive(Clone, Copy)]
pub struct Rules {
    pub layout: Layout,
    pub version: i64,
}

impl Rules {
    /// Folds the rows at `places`, which have one key, over what is there.
    pub fn fold<'a>(self, batch: &'a Batch, places: &[usize], old: Option<&Old>) -> Folded<'a> {
        match places {
            [at] => self.one(&batch.rows()[*at], *at, old),
            _ => self.several(batch, places, old),
        }
    }

    fn one<'a>(self, row: &'a Row, at: usize, old: Option<&Old>) -> Folded<'a> {
        let (write, outcome) = match old {
            None => (Write::Insert, Outcome::new(row)),
            Some(old) if self.applies(row, old) => (write(row.op), Outcome::changed(row, old)),
            Some(_) => return Folded::Stale(From::One(at, Outcome::Stale), row.meta.pass.as_deref()),
        };
        Folded::Item(Item { row: Cow::Borrowed(row), write, from: From::One(at, outcome) })
    }

    fn several<'a>(self, batch: &'a Batch, places: &[usize], old: Option<&Old>) -> Folded<'a> {
        let keys = batch.spec().key.len() as u32;
        let mut there = old.cloned();
        let mut result: Option<(Row, Write)> = None;
        let mut pass = None;
        let mut from = Vec::with_capacity(places.len());
        for &at in places {
            let row = &batch.rows()[at];
            pass = row.meta.pass.as_ref().or(pass);
            let outcome = match &there {
                Some(known) if !self.applies(row, known) => Outcome::Stale,
                known => {
                    result = Some(match (result.take(), row.op) {
                        (Some((before, write)), Op::Patch | Op::Delete) => {
                            (laid_over(before, row, keys), write)
                        }
                        (Some((_, Write::Insert)), _) => (row.clone(), Write::Insert),
                        _ if known.is_none() => (row.clone(), Write::Insert),
                        _ => (row.clone(), write(row.op)),
                    });
                    let outcome = known.as_ref().map_or(Outcome::new(row), |old| Outcome::changed(row, old));
                    there = Some(Old {
                        version: Some(row.version.unwrap_or(self.version)),
                        deleted: row.deleted || row.op == Op::Delete,
                        delivery: row.meta.delivery.as_deref().map(str::to_owned),
                    });
                    outcome
                }
            };
            from.push((at, outcome));
        }
        match result {
            None => Folded::Stale(From::Several(from), pass.map(AsRef::as_ref)),
            Some((mut row, write)) => {
                row.meta.pass = pass.cloned();
                Folded::Item(Item { row: Cow::Owned(row), write, from: From::Several(from) })
            }
        }
    }

    fn applies(self, row: &Row, old: &Old) -> bool {
        let version = row.version.unwrap_or(self.version);
        old.gives_way(self.layout, version, row.meta.delivery.as_deref())
    }
}

/// How a row is written over one that is there.
fn write(op: Op) -> Write {
    match op {
        Op::Patch | Op::Delete => Write::Part,
        Op::Upsert | Op::Touch => Write::Whole,
    }
}

/// A row, after a patch or deletion: a deleted row keeps its values.
fn laid_over(mut before: Row, row: &Row, keys: u32) -> Row {
    if row.op == Op::Patch {
        // Of two cells for the same place the last counts.
        before.cells.extend(row.cells.iter().filter(|(place, _)| *place >= keys).cloned());
        before.extra.retain(|(path, _)| !row.extra.iter().any(|(newer, _)| newer == path));
        before.extra.extend(row.extra.iter().cloned());
        // What was deleted is there again.
        before.op = if before.op == Op::Delete { Op::Patch } else { before.op };
    }
    before.deleted = row.deleted || row.op == Op::Delete;
    before.version = row.version;
    before.meta = row.meta.clone();
    before
}
