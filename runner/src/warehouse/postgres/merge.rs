//! How a batch's rows meet those of the table: looked up all at once, folded to one change for each key, then written by
//! COPY. What the database refuses is narrowed down by halves, so that one bad row costs no other.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
    ops::Range,
};

use bytes::BytesMut;
use deadpool_postgres::Transaction;
use postgres_types::ToSql;

use super::{
    copy::{Sheet, Stamp, Told},
    explain::Trouble,
    fold::{Folded, From, Item, Rules, Write},
    grow::Known,
    value::Keys,
};
use crate::warehouse::{
    Committed, Reject,
    books::Old,
    known::Places,
    table::{Batch, Layout},
};

/// What keeps a refusal from ending the transaction.
const SAVE: &str = "SAVEPOINT rows";
const RELEASE: &str = "RELEASE rows";

/// Merges `batch` into its table, counts what happened, and hands back the rows that Postgres refused. `staged` names the
/// temporary tables that this transaction has used.
pub async fn merge(
    tx: &Transaction<'_>,
    known: &Known,
    batch: &Batch,
    places: &Places,
    stamp: &Stamp<'_>,
    staged: &mut HashSet<String>,
    done: &mut Committed,
) -> Result<Vec<Reject>, Trouble> {
    let sheet = Sheet::new(known, batch, places, stamp);
    let rules = Rules { layout: batch.spec().layout, version: stamp.version };
    let (rejects, told) = (Vec::new(), Told::default());
    let mut merge = Merge { tx, known, batch, sheet, rules, staged, done, rejects, told };
    // Rows whose fold was refused are tried again, each by itself and in their order.
    let mut rounds: Vec<Vec<usize>> = vec![(0..batch.len()).collect()];
    while let Some(rows) = rounds.pop() {
        let again = merge.round(rows).await?;
        rounds.extend(again.into_iter().rev().map(|row| vec![row]));
    }
    let Merge { rejects, told, .. } = merge;
    if told.unfit > 0 {
        done.notices.push(format!(
            "table {}: {} values did not fit their columns as they are: they are in _headwater_extra",
            batch.spec().name,
            told.unfit
        ));
    }
    done.rejected += rejects.len() as u64;
    Ok(rejects)
}

struct Merge<'a, 'b> {
    tx: &'a Transaction<'a>,
    known: &'a Known,
    batch: &'a Batch,
    sheet: Sheet<'a>,
    rules: Rules,
    /// Temporary tables that hold something of this transaction.
    staged: &'b mut HashSet<String>,
    done: &'b mut Committed,
    rejects: Vec<Reject>,
    told: Told,
}

impl<'a> Merge<'a, '_> {
    /// Merges these rows of the batch; gives back those that have to be tried one by one.
    async fn round(&mut self, rows: Vec<usize>) -> Result<Vec<usize>, Trouble> {
        let (groups, keys) = self.group(rows);
        let mut olds = self.find(&groups, &keys).await?;
        let (mut inserts, mut updates) = (Vec::new(), Vec::new());
        let mut seen: Vec<(usize, &str)> = Vec::new();
        for (at, group) in groups.iter().enumerate() {
            match self.rules.fold(self.batch, group, olds.remove(&at).as_ref()) {
                Folded::Item(item) if item.write == Write::Insert => inserts.push(item),
                Folded::Item(item) => updates.push(item),
                Folded::Stale(from, pass) => {
                    self.count(&from);
                    seen.extend(pass.map(|pass| (at, pass)));
                }
            }
        }
        if self.rules.layout == Layout::Object && !seen.is_empty() {
            self.see(&groups, &seen).await?;
        }
        let mut again = Vec::new();
        self.write(&mut inserts, false, &mut again).await?;
        self.write(&mut updates, true, &mut again).await?;
        again.sort_unstable();
        Ok(again)
    }

    /// The rows by key, in the order in which keys are met first, and the keys.
    fn group(&mut self, rows: Vec<usize>) -> (Vec<Vec<usize>>, Vec<Keys>) {
        let width = self.known.texts.keys;
        let none = || (0..width).map(|_| Keys { fields: BytesMut::new(), count: 0 }).collect::<Vec<_>>();
        let mut groups: Vec<Vec<usize>> = Vec::with_capacity(rows.len());
        let mut places: HashMap<Vec<u8>, usize> = HashMap::with_capacity(rows.len());
        let (mut keys, mut key) = (none(), none());
        for row in rows {
            key.iter_mut().for_each(|column| column.fields.clear());
            if self.sheet.key(&self.batch.rows()[row], &mut key).is_none() {
                self.reject(row, "its key does not fit the key columns of the table".to_owned());
                continue;
            }
            let bytes = key.iter().flat_map(|column| column.fields.iter().copied()).collect();
            let next = groups.len();
            let place = *places.entry(bytes).or_insert(next);
            if place < next {
                groups[place].push(row);
                continue;
            }
            groups.push(vec![row]);
            for (all, one) in keys.iter_mut().zip(&key) {
                all.fields.extend_from_slice(&one.fields);
                all.count += 1;
            }
        }
        (groups, keys)
    }

    /// What is there of these keys, by place.
    async fn find(&self, groups: &[Vec<usize>], keys: &[Keys]) -> Result<HashMap<usize, Old>, Trouble> {
        let mut olds = HashMap::new();
        if groups.is_empty() {
            return Ok(olds);
        }
        let statement = self.tx.prepare_cached(&self.known.texts.find).await?;
        let bound: Vec<&(dyn ToSql + Sync)> = keys.iter().map(|key| key as _).collect();
        for row in self.tx.query(&statement, &bound).await? {
            let place: i64 = row.try_get(0)?;
            let old = Old {
                version: row.try_get(1)?,
                deleted: row.try_get::<_, Option<bool>>(2)?.unwrap_or(false),
                delivery: row.try_get(3)?,
            };
            olds.insert((place - 1) as usize, old);
        }
        Ok(olds)
    }

    /// The pass has met rows that are newer than what it brought of them: a sweep must not take them for gone.
    async fn see(&mut self, groups: &[Vec<usize>], seen: &[(usize, &str)]) -> Result<(), Trouble> {
        let rows = seen.iter().filter_map(|(at, _)| groups[*at].first().copied()).collect();
        let (_, keys) = self.group(rows);
        let passes: Vec<&str> = seen.iter().map(|(_, pass)| *pass).collect();
        let statement = self.tx.prepare_cached(&self.known.texts.seen).await?;
        let bound: Vec<&(dyn ToSql + Sync)> =
            keys.iter().map(|key| key as _).chain([&passes as &(dyn ToSql + Sync)]).collect();
        self.tx.execute(&statement, &bound).await?;
        Ok(())
    }

    /// Writes what is written in one way; a refused row is narrowed down by halves.
    async fn write(
        &mut self,
        items: &mut [Item<'a>],
        is_staged: bool,
        again: &mut Vec<usize>,
    ) -> Result<(), Trouble> {
        let mut left: Vec<Range<usize>> = Vec::new();
        left.extend((!items.is_empty()).then_some(0..items.len()));
        while let Some(range) = left.pop() {
            let refusal = match self.attempt(&items[range.clone()], is_staged).await? {
                None => {
                    items[range].iter().for_each(|item| self.count(&item.from));
                    continue;
                }
                Some(refusal) => refusal,
            };
            if range.len() > 1 {
                let middle = range.start + range.len() / 2;
                left.extend([middle..range.end, range.start..middle]);
                continue;
            }
            let item = &mut items[range.start];
            if refusal.is_too_wide() {
                let mut row = item.row.clone().into_owned();
                if self.sheet.shrink(&mut row) {
                    self.told.unfit += 1;
                    item.row = Cow::Owned(row);
                    left.push(range);
                    continue;
                }
            }
            match &item.from {
                From::One(row, _) => self.reject(*row, refusal.said()),
                From::Several(rows) => again.extend(rows.iter().map(|(row, _)| *row)),
            }
        }
        Ok(())
    }

    /// Writes all of them, or none and says why.
    async fn attempt(&mut self, items: &[Item<'_>], is_staged: bool) -> Result<Option<Trouble>, Trouble> {
        let told = match is_staged {
            false => {
                let statements = (SAVE, self.known.texts.insert.as_str(), RELEASE);
                self.sheet.copy(self.tx, statements, items, false).await
            }
            true => self.update(items).await,
        };
        match told {
            Ok(told) => {
                self.told.unfit += told.unfit;
                Ok(None)
            }
            Err(trouble) if trouble.is_refusal() => {
                self.tx.batch_execute("ROLLBACK TO rows; RELEASE rows").await?;
                Ok(Some(trouble))
            }
            Err(trouble) => Err(trouble),
        }
    }

    /// Brings rows into the temporary table, and from there into those that they change.
    async fn update(&mut self, items: &[Item<'_>]) -> Result<Told, Trouble> {
        let texts = &self.known.texts;
        let empty = if self.staged.insert(texts.stage.clone()) { "" } else { texts.empty.as_str() };
        let before = format!("{SAVE}; {}; {empty}", texts.stage);
        let told = self.sheet.copy(self.tx, (&before, &texts.fill, ""), items, true).await?;
        for (write, text) in [(Write::Whole, &texts.whole), (Write::Part, &texts.part)] {
            if items.iter().any(|item| item.write == write) {
                let statement = self.tx.prepare_cached(text).await?;
                self.tx.execute(&statement, &[]).await?;
            }
        }
        self.tx.batch_execute(RELEASE).await?;
        Ok(told)
    }

    fn count(&mut self, from: &From) {
        for (row, outcome) in from.all() {
            outcome.count(&self.batch.rows()[row], self.done);
        }
    }

    fn reject(&mut self, row: usize, reason: String) {
        let payload = self.batch.rows()[row].json(self.batch.columns());
        self.rejects.push(Reject { table: self.batch.spec().name.clone(), reason, payload });
    }
}
