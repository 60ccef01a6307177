//! Calls in SQLite. An id has no order, and an index over what has no order is what slows a growing table down: each insert soon changes
//! another page of it. So there is one such index for each call and not two: `tracks` (and each other table of a kind of call) keeps ids
//! apart, and the row in the event's table has the same number, `_headwater_row`, as the call's row in `tracks`. Numbers only grow, so
//! an event's row is always appended.

use rusqlite::Connection;

use super::{Trouble, grow::NUMBER, merge::Merge};
use crate::warehouse::{
    books::Outcome,
    calls::table_of,
    name::quote,
    table::{Layout, Row},
};
use headwater_core::spec::CallKind;

/// A call's row by its id, in the table of its kind.
pub const BY_ID: &str = "id = ?1";
/// A call's row by its id, in its event's table: there is no index over ids, but the call's row in `tracks` has its number.
pub const BY_CALL: &str = "_headwater_row = (SELECT _headwater_row FROM tracks WHERE id = ?1) AND id = ?1";

/// The numbers of calls, and what became of those of one load.
pub struct Calls {
    /// The next number of each table of a kind of call, and of all events together.
    next: i64,
    /// What became of each row of the load's `tracks`, in order: its number, if it is there.
    tracks: Vec<Option<(i64, Outcome)>>,
    is_tracks: bool,
}

impl Calls {
    /// For one load that begins numbers at `next`.
    pub fn new(next: i64) -> Self {
        Self { next, tracks: Vec::new(), is_tracks: false }
    }

    /// The number that follows all that have been given.
    pub fn next(&self) -> i64 {
        self.next
    }

    /// The rows that follow are of this table.
    pub fn table(&mut self, name: &str) {
        self.is_tracks = name == table_of(CallKind::Track);
    }
}

/// The number that follows all that the file has: of a call that is gone the event's row may still be there.
pub fn next_number(db: &Connection) -> Result<i64, Trouble> {
    let tables: Vec<String> = db
        .prepare("SELECT name FROM _headwater_tables WHERE layout IN (?1, ?2)")?
        .query_map([Layout::Call.name(), Layout::Event.name()], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let mut last = 0;
    for table in tables {
        let sql = format!("SELECT coalesce(max({NUMBER}), 0) FROM {}", quote(&table));
        last = last.max(db.query_row(&sql, [], |row| row.get(0))?);
    }
    Ok(last + 1)
}

impl Merge<'_> {
    /// A call's row: the first one with its id stays, unless the same delivery makes it again.
    pub fn call(&mut self, row: &Row, calls: &mut Calls) -> rusqlite::Result<Outcome> {
        let done = self.call_row(row, calls);
        if calls.is_tracks {
            calls.tracks.push(done.as_ref().ok().copied());
        }
        done.map(|(_, outcome)| outcome)
    }

    fn call_row(&mut self, row: &Row, calls: &mut Calls) -> rusqlite::Result<(i64, Outcome)> {
        self.locate(row);
        if self.insert(row, Some(calls.next))? {
            calls.next += 1;
            return Ok((calls.next - 1, Outcome::Inserted));
        }
        // It was not inserted because it is there; were it not, it has no id.
        let Some((rowid, old)) = self.find(row)? else { return Err(rusqlite::Error::QueryReturnedNoRows) };
        if !old.gives_way(Layout::Call, 0, row.meta.delivery.as_deref()) {
            return Ok((rowid, Outcome::Stale));
        }
        self.update(row, rowid)?;
        Ok((rowid, Outcome::Updated))
    }

    /// An event's row goes where its call went.
    pub fn event(&mut self, row: &Row, calls: &mut Calls) -> rusqlite::Result<Outcome> {
        let call = row.call.and_then(|place| calls.tracks.get(place as usize).copied().flatten());
        let Some((number, outcome)) = call else {
            let why = "its row in tracks was refused";
            return Err(rusqlite::Error::ToSqlConversionFailure(why.into()));
        };
        if outcome == Outcome::Stale {
            return Ok(outcome);
        }
        self.locate(row);
        if outcome == Outcome::Updated
            && let Some((rowid, _)) = self.find_number(number)?
        {
            self.update(row, rowid)?;
            return Ok(Outcome::Updated);
        }
        self.insert(row, Some(number)).map(|_| Outcome::Inserted)
    }
}
