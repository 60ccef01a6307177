//! How a batch's rows meet those of the table: by key and version.
//!
//! A row is looked up first, so that what happened to it is known exactly; behind one that was new, the next is inserted
//! first, and looked up if it was there after all. Statements are prepared once for each batch and bound by position.

use headwater_core::object::{Op, Type};
use jiff::Timestamp;
use rusqlite::{CachedStatement, Connection, ErrorCode};

use super::{Trouble, calls::Calls, grow::NUMBER, value::Bound};
use crate::warehouse::{
    Committed, Reject,
    books::{self, Old, Outcome},
    known::{Places, Table},
    name::quote,
    table::{Batch, Cell, Layout, Row, instant},
};

/// What all rows of a load have in common.
pub struct Stamp<'a> {
    /// The load's id.
    pub load: &'a str,
    /// The version of rows that bring none.
    pub version: i64,
    /// When it is loaded.
    pub now: &'a str,
}

/// Merges `batch` into `table`, counts what happened, and hands back the rows that SQLite refused.
pub fn merge(
    db: &Connection,
    table: &Table,
    batch: &Batch,
    places: &Places,
    stamp: &Stamp<'_>,
    calls: &mut Calls<'_>,
    done: &mut Committed,
) -> Result<Vec<Reject>, Trouble> {
    let mut merge = Merge::new(db, table, batch, places, stamp)?;
    let mut rejects = Vec::new();
    for row in batch.rows() {
        let merged = match batch.spec().layout {
            Layout::Object | Layout::Entity => merge.row(row),
            Layout::Call => merge.call(row, calls),
            Layout::Event => merge.event(row, calls),
        };
        match merged {
            Ok(outcome) => outcome.count(row, done),
            Err(error) if refused(&error) && !db.is_autocommit() => rejects.push(Reject {
                table: batch.spec().name.clone(),
                reason: error.to_string(),
                payload: row.json(batch.columns()),
            }),
            Err(error) => return Err(error.into()),
        }
    }
    done.rejected += rejects.len() as u64;
    Ok(rejects)
}

/// Whether the row is to blame, and not the file. SQLite has then undone the one statement and nothing else.
fn refused(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::ConstraintViolation | ErrorCode::TooBig | ErrorCode::TypeMismatch)
    ) || matches!(error, rusqlite::Error::ToSqlConversionFailure(_))
}

/// The statements of one batch, and the row at hand.
pub struct Merge<'a> {
    batch: &'a Batch,
    stamp: &'a Stamp<'a>,
    layout: Layout,
    keys: usize,
    find: CachedStatement<'a>,
    insert: CachedStatement<'a>,
    update: CachedStatement<'a>,
    patch: Option<CachedStatement<'a>>,
    delete: Option<CachedStatement<'a>>,
    seen: Option<CachedStatement<'a>>,
    /// Of each column of the batch, its place among the bound ones (the key's come first).
    bound: Vec<Option<usize>>,
    /// Of each bound column, its type.
    kinds: Vec<Type>,
    /// Of each bound column, where the row at hand has its value.
    cells: Vec<Option<usize>>,
    received: Option<(Timestamp, String)>,
    /// The row before was new.
    news: bool,
}

impl<'a> Merge<'a> {
    fn new(
        db: &'a Connection,
        table: &'a Table,
        batch: &'a Batch,
        places: &Places,
        stamp: &'a Stamp<'a>,
    ) -> Result<Self, Trouble> {
        let spec = batch.spec();
        let layout = spec.layout;
        // The columns that this batch brings; the key's are the first of its columns.
        let mut columns: Vec<usize> = Vec::with_capacity(places.len());
        let mut bound = Vec::with_capacity(places.len());
        for place in places {
            bound.push(place.map(|place| match columns.iter().position(|known| *known == place) {
                Some(known) => known,
                None => {
                    columns.push(place);
                    columns.len() - 1
                }
            }));
        }
        let name = |place: usize| quote(&table.columns[place].name);
        let names: Vec<String> = columns.iter().map(|place| name(*place)).collect();
        let systems: Vec<&str> = layout.system().iter().map(|(own, _)| *own).collect();
        let keys = spec.key.len();
        let target = quote(&spec.name);

        let state = match layout {
            Layout::Object => "_headwater_version, is_deleted, NULL",
            Layout::Entity => "_headwater_version, 0, NULL",
            Layout::Call | Layout::Event => "NULL, 0, _headwater_delivery",
        };
        let wanted = match layout {
            Layout::Call => format!("{NUMBER} = ?1 AND {}", matched_at(&spec.key, 2)),
            Layout::Event => format!("{NUMBER} = ?1"),
            Layout::Object | Layout::Entity => matched_at(&spec.key, 1),
        };
        let find = db.prepare_cached(&format!("SELECT _rowid_, {state} FROM {target} WHERE {wanted}"))?;

        let number = matches!(layout, Layout::Call | Layout::Event).then_some(NUMBER);
        let all = names.iter().map(String::as_str).chain(systems.iter().copied()).chain(number);
        let all: Vec<&str> = all.collect();
        let marks: Vec<String> = (1..=all.len()).map(|at| format!("?{at}")).collect();
        let key: Vec<String> = spec.key.iter().map(|key| quote(key)).collect();
        let unless = match layout {
            Layout::Call | Layout::Event => String::new(),
            Layout::Object | Layout::Entity => format!(" ON CONFLICT ({}) DO NOTHING", key.join(", ")),
        };
        let insert = db.prepare_cached(&format!(
            "INSERT INTO {target} ({}) VALUES ({}){unless}",
            all.join(", "),
            marks.join(", ")
        ))?;

        // What the record lacks becomes null, in columns that this batch does not know too.
        let first = names.len() + 1;
        let own = |extra: &str| -> Vec<String> {
            systems
                .iter()
                .enumerate()
                .map(|(at, own)| match *own {
                    "_headwater_pass" => format!("{own} = coalesce(?{}, {own})", first + at),
                    "_headwater_extra" => {
                        format!("{own} = {}", extra.replace('?', &format!("?{}", first + at)))
                    }
                    _ => format!("{own} = ?{}", first + at),
                })
                .collect()
        };
        let rowid = first + systems.len();
        let mut sets: Vec<String> =
            names.iter().enumerate().skip(keys).map(|(at, name)| format!("{name} = ?{}", at + 1)).collect();
        let others =
            (0..table.columns.len()).filter(|at| !table.columns[*at].system && !columns.contains(at));
        sets.extend(others.map(|place| format!("{} = NULL", name(place))));
        sets.extend(own("?"));
        let update =
            db.prepare_cached(&format!("UPDATE {target} SET {} WHERE _rowid_ = ?{rowid}", sets.join(", ")))?;

        let patch = match batch.rows().iter().any(|row| row.op == Op::Patch) {
            true => {
                let given = |at: usize| rowid + 1 + at - keys;
                let mut sets: Vec<String> = names
                    .iter()
                    .enumerate()
                    .skip(keys)
                    .map(|(at, name)| format!("{name} = iif(?{}, ?{}, {name})", given(at), at + 1))
                    .collect();
                sets.extend(own(
                    "iif(? IS NULL, _headwater_extra, json_patch(coalesce(_headwater_extra, '{}'), ?))",
                ));
                Some(db.prepare_cached(&format!(
                    "UPDATE {target} SET {} WHERE _rowid_ = ?{rowid}",
                    sets.join(", ")
                ))?)
            }
            false => None,
        };
        let delete = match layout == Layout::Object && batch.rows().iter().any(|row| row.op == Op::Delete) {
            true => Some(db.prepare_cached(&format!(
                "UPDATE {target} SET is_deleted = 1, received_at = ?2, uuid_ts = ?3, _headwater_version = ?4,
                 _headwater_pass = coalesce(?5, _headwater_pass), _headwater_load = ?6 WHERE _rowid_ = ?1"
            ))?),
            false => None,
        };
        let seen = match layout == Layout::Object && batch.rows().iter().any(|row| row.meta.pass.is_some()) {
            true => Some(
                db.prepare_cached(&format!("UPDATE {target} SET _headwater_pass = ?2 WHERE _rowid_ = ?1"))?,
            ),
            false => None,
        };
        let kinds = columns.iter().map(|place| table.columns[*place].kind.unwrap_or(Type::Text)).collect();
        let cells = vec![None; columns.len()];
        Ok(Self {
            batch,
            stamp,
            layout,
            keys,
            find,
            insert,
            update,
            patch,
            delete,
            seen,
            bound,
            kinds,
            cells,
            received: None,
            news: true,
        })
    }

    /// Finds out where the row has the values of the bound columns.
    pub fn locate(&mut self, row: &Row) {
        self.cells.fill(None);
        for (at, (column, _)) in row.cells.iter().enumerate() {
            if let Some(Some(bound)) = self.bound.get(*column as usize) {
                self.cells[*bound] = Some(at);
            }
        }
    }

    fn row(&mut self, row: &Row) -> rusqlite::Result<Outcome> {
        self.locate(row);
        let old = match self.news {
            true => None,
            false => self.find(row)?,
        };
        self.news = old.is_none() && self.insert(row, None)?;
        let old = match old {
            None if !self.news => self.find(row)?,
            old => old,
        };
        let Some((rowid, old)) = old else {
            return Ok(Outcome::new(row));
        };
        let version = row.version.unwrap_or(self.stamp.version);
        if !old.gives_way(self.layout, version, row.meta.delivery.as_deref()) {
            // The pass has met the row all the same: a sweep must not take it for gone.
            if let (Some(seen), Some(pass)) = (&mut self.seen, &row.meta.pass) {
                seen.execute((rowid, pass.as_ref()))?;
            }
            return Ok(Outcome::Stale);
        }
        match row.op {
            Op::Delete => self.delete(row, rowid)?,
            Op::Patch => self.patch(row, rowid)?,
            Op::Upsert | Op::Touch => self.update(row, rowid)?,
        }
        Ok(Outcome::changed(row, &old))
    }

    /// What is there of a row, by its key, and where.
    fn find(&mut self, row: &Row) -> rusqlite::Result<Option<(i64, Old)>> {
        for at in 0..self.keys {
            let cell = self.cells[at].map(|cell| &row.cells[cell].1);
            self.find.raw_bind_parameter(at + 1, Bound(cell, self.kinds[at]))?;
        }
        self.found()
    }

    /// The id of a call's row.
    pub fn id<'r>(&self, row: &'r Row) -> Option<&'r str> {
        match &row.cells[(*self.cells.first()?)?].1 {
            Cell::Text(id) => Some(id),
            _ => None,
        }
    }

    /// What is there of a call's row, by its number and its id.
    pub fn find_call(&mut self, number: i64, id: &str) -> rusqlite::Result<Option<(i64, Old)>> {
        self.find.raw_bind_parameter(1, number)?;
        self.find.raw_bind_parameter(2, id)?;
        self.found()
    }

    /// What is there of an event's row, by its call's number.
    pub fn find_number(&mut self, number: i64) -> rusqlite::Result<Option<(i64, Old)>> {
        self.find.raw_bind_parameter(1, number)?;
        self.found()
    }

    fn found(&mut self) -> rusqlite::Result<Option<(i64, Old)>> {
        let mut rows = self.find.raw_query();
        let Some(found) = rows.next()? else { return Ok(None) };
        let old = Old {
            version: found.get(1)?,
            deleted: found.get::<_, Option<bool>>(2)?.unwrap_or(false),
            delivery: found.get(3)?,
        };
        Ok(Some((found.get(0)?, old)))
    }

    /// Inserts a row, of a call with its number; false if one of its key is there.
    pub fn insert(&mut self, row: &Row, number: Option<i64>) -> rusqlite::Result<bool> {
        bind_columns(&mut self.insert, row, &self.cells, &self.kinds, 0)?;
        let extra = self.extra(row);
        let next = bind_system(
            &mut self.insert,
            self.layout,
            row,
            self.stamp,
            &mut self.received,
            extra,
            self.cells.len() + 1,
        )?;
        if let Some(number) = number {
            self.insert.raw_bind_parameter(next, number)?;
        }
        self.insert.raw_execute().map(|rows| rows > 0)
    }

    /// Replaces a row that is there.
    pub fn update(&mut self, row: &Row, rowid: i64) -> rusqlite::Result<()> {
        bind_columns(&mut self.update, row, &self.cells, &self.kinds, self.keys)?;
        let extra = self.extra(row);
        let next = bind_system(
            &mut self.update,
            self.layout,
            row,
            self.stamp,
            &mut self.received,
            extra,
            self.cells.len() + 1,
        )?;
        self.update.raw_bind_parameter(next, rowid)?;
        self.update.raw_execute().map(drop)
    }

    fn patch(&mut self, row: &Row, rowid: i64) -> rusqlite::Result<()> {
        let extra = self.extra(row);
        let Some(patch) = &mut self.patch else { return Ok(()) };
        bind_columns(patch, row, &self.cells, &self.kinds, self.keys)?;
        let next = bind_system(
            patch,
            self.layout,
            row,
            self.stamp,
            &mut self.received,
            extra,
            self.cells.len() + 1,
        )?;
        patch.raw_bind_parameter(next, rowid)?;
        for (at, cell) in self.cells.iter().skip(self.keys).enumerate() {
            patch.raw_bind_parameter(next + 1 + at, cell.is_some())?;
        }
        patch.raw_execute().map(drop)
    }

    fn delete(&mut self, row: &Row, rowid: i64) -> rusqlite::Result<()> {
        let Some(delete) = &mut self.delete else { return Ok(()) };
        let version = row.version.unwrap_or(self.stamp.version);
        let received = received(&mut self.received, row.meta.received_at);
        delete
            .execute((rowid, received, self.stamp.now, version, row.meta.pass.as_deref(), self.stamp.load))
            .map(drop)
    }

    /// What has no column: what the batch turned away, and values of columns that the table could not add.
    fn extra(&self, row: &Row) -> Option<String> {
        let homeless = row
            .cells
            .iter()
            .filter(|(column, _)| self.bound.get(*column as usize).is_none_or(Option::is_none));
        books::extra(self.batch.columns(), row, homeless)
    }
}

/// The condition that a row has this key, its values bound from `first` on.
fn matched_at(key: &[String], first: usize) -> String {
    let matched: Vec<String> =
        key.iter().enumerate().map(|(at, key)| format!("{} = ?{}", quote(key), at + first)).collect();
    matched.join(" AND ")
}

/// Binds the row's values, those of the first `skip` columns left out: an update does not touch the key.
fn bind_columns(
    statement: &mut CachedStatement<'_>,
    row: &Row,
    cells: &[Option<usize>],
    kinds: &[Type],
    skip: usize,
) -> rusqlite::Result<()> {
    for (at, cell) in cells.iter().enumerate().skip(skip) {
        let cell = cell.map(|cell| &row.cells[cell].1);
        statement.raw_bind_parameter(at + 1, Bound(cell, kinds[at]))?;
    }
    Ok(())
}

/// Binds what Headwater fills itself, in the layout's order from `at` on, and gives the next place.
fn bind_system(
    statement: &mut CachedStatement<'_>,
    layout: Layout,
    row: &Row,
    stamp: &Stamp<'_>,
    last: &mut Option<(Timestamp, String)>,
    extra: Option<String>,
    mut at: usize,
) -> rusqlite::Result<usize> {
    for (own, _) in layout.system() {
        match *own {
            "received_at" => statement.raw_bind_parameter(at, received(last, row.meta.received_at))?,
            "uuid_ts" => statement.raw_bind_parameter(at, stamp.now)?,
            "is_deleted" => statement.raw_bind_parameter(at, row.deleted || row.op == Op::Delete)?,
            "_headwater_version" => statement.raw_bind_parameter(at, row.version.unwrap_or(stamp.version))?,
            "_headwater_pass" => statement.raw_bind_parameter(at, row.meta.pass.as_deref())?,
            "_headwater_load" => statement.raw_bind_parameter(at, stamp.load)?,
            "_headwater_delivery" => statement.raw_bind_parameter(at, row.meta.delivery.as_deref())?,
            _ => statement.raw_bind_parameter(at, &extra)?,
        }
        at += 1;
    }
    Ok(at)
}

/// The time of receipt as text: mostly the same for a whole page.
fn received(last: &mut Option<(Timestamp, String)>, time: Timestamp) -> &str {
    if last.as_ref().is_none_or(|(known, _)| *known != time) {
        *last = Some((time, instant(time)));
    }
    last.as_ref().map_or("", |(_, text)| text)
}
