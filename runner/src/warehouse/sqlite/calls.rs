//! Calls in SQLite. The table of a kind of call keeps ids apart ([`ids`](super::ids)), and the row in the event's table has the same
//! number, `_headwater_row`, as the call's row in `tracks`. Numbers only grow, so that every row is appended: there is no index over what
//! has no order.

use rusqlite::Connection;

use super::{
    Trouble,
    grow::NUMBER,
    ids::{Ids, id_key},
    merge::Merge,
};
use crate::warehouse::{
    books::Outcome,
    calls::table_of,
    name::quote,
    table::{Layout, Row},
};
use headwater_core::spec::CallKind;

/// The numbers of calls, and what became of those of one load.
pub struct Calls<'a> {
    db: &'a Connection,
    ids: &'a mut Ids,
    /// The next number of each table of a kind of call, and of all events together.
    next: i64,
    /// What became of each row of the load's `tracks`, in order: its number, if it is there.
    tracks: Vec<Option<(i64, Outcome)>>,
    /// The table whose rows follow.
    table: String,
}

impl<'a> Calls<'a> {
    /// For one load that begins numbers at `next`.
    pub fn new(db: &'a Connection, ids: &'a mut Ids, next: i64) -> Self {
        Self { db, ids, next, tracks: Vec::new(), table: String::new() }
    }

    /// Writes down which ids the load has brought; the number that follows all that have been given.
    pub fn keep(self) -> Result<i64, Trouble> {
        self.ids.keep(self.db)?;
        Ok(self.next)
    }

    /// The rows that follow are of this table.
    pub fn table(&mut self, name: &str) {
        self.table.clear();
        self.table.push_str(name);
    }

    fn is_tracks(&self) -> bool {
        self.table == table_of(CallKind::Track)
    }
}

/// The numbers of the rows that may have this id, in a table of calls or of an event.
pub fn numbers(
    db: &Connection,
    ids: &Ids,
    table: &str,
    layout: Layout,
    id: &str,
) -> rusqlite::Result<Vec<i64>> {
    let table = if layout == Layout::Event { table_of(CallKind::Track) } else { table };
    ids.find(db, id_key(table, id))
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
    pub fn call(&mut self, row: &Row, calls: &mut Calls<'_>) -> rusqlite::Result<Outcome> {
        let done = self.call_row(row, calls);
        if calls.is_tracks() {
            calls.tracks.push(done.as_ref().ok().copied());
        }
        done.map(|(_, outcome)| outcome)
    }

    fn call_row(&mut self, row: &Row, calls: &mut Calls<'_>) -> rusqlite::Result<(i64, Outcome)> {
        self.locate(row);
        let Some(id) = self.id(row) else {
            return Err(rusqlite::Error::ToSqlConversionFailure("a call without an id".into()));
        };
        let key = id_key(&calls.table, id);
        for number in calls.ids.find(calls.db, key)? {
            let Some((_, old)) = self.find_call(number, id)? else { continue };
            if !old.gives_way(Layout::Call, 0, row.meta.delivery.as_deref()) {
                return Ok((number, Outcome::Stale));
            }
            self.update(row, number)?;
            return Ok((number, Outcome::Updated));
        }
        self.insert(row, Some(calls.next))?;
        calls.ids.add(key, calls.next);
        calls.next += 1;
        Ok((calls.next - 1, Outcome::Inserted))
    }

    /// An event's row goes where its call went.
    pub fn event(&mut self, row: &Row, calls: &mut Calls<'_>) -> rusqlite::Result<Outcome> {
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
