//! The ids of calls, and the numbers of their rows. Ids have no order, and a B-tree over what has no order is what slows a growing table
//! down: at ten million rows each insert changes another page of sixteen kilobytes, twice.
//!
//! So there is none. What is new stands in the order in which it came (`_headwater_ids_new`, and a set in memory). When that is
//! [`FRESH`] long it becomes a run: a table of its own in the order of ids, written from its start to its end. Runs of like size are
//! merged in the same way. A filter in memory for each run tells of most ids that they are not in it; where it says perhaps, the
//! run is asked. All of it is part of the load's transaction.

use std::{
    collections::BTreeSet,
    io::{BufReader, BufWriter},
};

use rusqlite::{Connection, MAIN_DB, blob::ZeroBlob, params};
use sha2::{Digest, Sha256};

use super::{Trouble, grow::NUMBER};
use crate::{
    bloom::Bloom,
    warehouse::{name::quote, table::Layout},
};

/// Ids in memory before they become a run.
const FRESH: usize = 1 << 16;
/// So many runs of like size become one.
const MERGED: usize = 8;
/// The most memory for filters, in bytes: enough for some 25 million ids. The largest runs do without first.
const FILTERS: usize = 32 << 20;
/// Bytes of an entry that is not in a run yet.
const ENTRY: usize = 16;

/// What is kept of ids in the file, beside the tables of runs.
pub const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS _headwater_ids_new (load INTEGER PRIMARY KEY, entries BLOB NOT NULL);
    CREATE TABLE IF NOT EXISTS _headwater_ids_runs (run INTEGER PRIMARY KEY, count INTEGER NOT NULL, filter BLOB NOT NULL);
";

/// An id of one table, as it is remembered. Two ids may have the same: the row says whose it is.
pub type IdKey = i64;

/// What an id is remembered by.
pub fn id_key(table: &str, id: &str) -> IdKey {
    let digest = Sha256::new().chain_update(table).chain_update([0]).chain_update(id).finalize();
    let mut key = [0; 8];
    key.copy_from_slice(&digest[..8]);
    i64::from_le_bytes(key)
}

/// See the module.
pub struct Ids {
    fresh: BTreeSet<(IdKey, i64)>,
    /// Those of `fresh` that this load has brought.
    added: Vec<(IdKey, i64)>,
    /// The newest first.
    runs: Vec<Run>,
    /// Ids in memory before they become a run: [`FRESH`], less in tests.
    most: usize,
}

struct Run {
    number: i64,
    count: u64,
    filter: Bloom,
}

impl Ids {
    /// What the file says. The ids of a file that has calls and no ids are gathered from its tables.
    pub fn open(db: &Connection) -> Result<Self, Trouble> {
        Self::open_with(db, FRESH)
    }

    /// For a load that has no calls.
    pub fn none() -> Self {
        Self { fresh: BTreeSet::new(), added: Vec::new(), runs: Vec::new(), most: FRESH }
    }

    fn open_with(db: &Connection, most: usize) -> Result<Self, Trouble> {
        let mut ids = Self { most, ..Self::none() };
        let mut find = db.prepare("SELECT run, count FROM _headwater_ids_runs ORDER BY count, run DESC")?;
        let mut rows = find.query([])?;
        while let Some(row) = rows.next()? {
            let (number, count): (i64, i64) = (row.get(0)?, row.get(1)?);
            let filter = db.blob_open(MAIN_DB, c"_headwater_ids_runs", c"filter", number, true)?;
            let bytes = filter.len();
            let filter = Bloom::read(BufReader::new(filter), bytes, ids.room())?;
            ids.runs.push(Run { number, count: count.unsigned_abs(), filter });
        }
        ids.runs.sort_by_key(|run| std::cmp::Reverse(run.number));
        let mut find = db.prepare("SELECT entries FROM _headwater_ids_new")?;
        let mut rows = find.query([])?;
        while let Some(row) = rows.next()? {
            let entries: Vec<u8> = row.get(0)?;
            for entry in entries.as_chunks::<ENTRY>().0 {
                let [key, number] = *entry.as_chunks::<8>().0 else { continue };
                ids.fresh.insert((i64::from_le_bytes(key), i64::from_le_bytes(number)));
            }
        }
        if ids.runs.is_empty() && ids.fresh.is_empty() {
            ids.gather(db)?;
        }
        Ok(ids)
    }

    fn gather(&mut self, db: &Connection) -> Result<(), Trouble> {
        let tables: Vec<String> = db
            .prepare("SELECT name FROM _headwater_tables WHERE layout = ?1")?
            .query_map([Layout::Call.name()], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        for table in tables {
            let sql = format!(
                "SELECT id, {NUMBER} FROM {} WHERE {NUMBER} > ?1 AND id IS NOT NULL ORDER BY 2 LIMIT {}",
                quote(&table),
                self.most
            );
            let mut last = 0;
            loop {
                // Tables of runs come and go: no statement may be in the middle of its rows then.
                let some: Vec<(String, i64)> = db
                    .prepare_cached(&sql)?
                    .query_map([last], |row| Ok((row.get(0)?, row.get(1)?)))?
                    .collect::<Result<_, _>>()?;
                let Some((_, number)) = some.last() else { break };
                last = *number;
                some.iter().for_each(|(id, number)| self.add(id_key(&table, id), *number));
                if self.fresh.len() >= self.most {
                    self.keep(db)?;
                }
            }
        }
        self.keep(db)
    }

    /// The numbers of the rows that may have this id: mostly none, hardly ever more than one.
    pub fn find(&self, db: &Connection, key: IdKey) -> rusqlite::Result<Vec<i64>> {
        let fresh = self.fresh.range((key, i64::MIN)..=(key, i64::MAX));
        let mut found: Vec<i64> = fresh.map(|(_, number)| *number).collect();
        let (one, other) = halves(key);
        for run in self.runs.iter().filter(|run| run.filter.may_have(one, other)) {
            let mut find =
                db.prepare_cached(&format!("SELECT number FROM {} WHERE id = ?1", table_of(run.number)))?;
            let mut rows = find.query([key])?;
            while let Some(row) = rows.next()? {
                found.push(row.get(0)?);
            }
        }
        Ok(found)
    }

    /// Adds the id of a row that has been inserted.
    pub fn add(&mut self, key: IdKey, number: i64) {
        self.fresh.insert((key, number));
        self.added.push((key, number));
    }

    /// Writes down what this load has added: a part of its transaction.
    pub fn keep(&mut self, db: &Connection) -> Result<(), Trouble> {
        let added = std::mem::take(&mut self.added);
        if self.fresh.len() >= self.most {
            return self.end_run(db);
        }
        if !added.is_empty() {
            let mut blob = Vec::with_capacity(added.len() * ENTRY);
            for (key, number) in added {
                blob.extend_from_slice(&key.to_le_bytes());
                blob.extend_from_slice(&number.to_le_bytes());
            }
            db.prepare_cached("INSERT INTO _headwater_ids_new (entries) VALUES (?1)")?.execute([blob])?;
        }
        Ok(())
    }

    /// What is in memory becomes a run.
    fn end_run(&mut self, db: &Connection) -> Result<(), Trouble> {
        let run = self.begin_run(db, 0, self.fresh.len() as u64)?;
        {
            let mut insert = db.prepare(&format!("INSERT INTO {} VALUES (?1, ?2)", table_of(run.number)))?;
            for (key, number) in std::mem::take(&mut self.fresh) {
                insert.execute([key, number])?;
            }
        }
        db.execute("DELETE FROM _headwater_ids_new", [])?;
        self.take_up(db, run)?;
        while let Some(runs) = self.alike() {
            self.merge(db, &runs)?;
        }
        Ok(())
    }

    /// The runs of one size, where there are enough of them.
    fn alike(&self) -> Option<Vec<i64>> {
        let size = |run: &Run| (run.count / self.most as u64).max(1).ilog(MERGED as u64);
        let of = |wanted: u32| self.runs.iter().filter(move |run| size(run) == wanted);
        let full = (0..=u64::BITS).find(|wanted| of(*wanted).count() >= MERGED)?;
        Some(of(full).map(|run| run.number).collect())
    }

    fn merge(&mut self, db: &Connection, runs: &[i64]) -> Result<(), Trouble> {
        let (merged, others) =
            std::mem::take(&mut self.runs).into_iter().partition(|run| runs.contains(&run.number));
        self.runs = others;
        let merged: Vec<Run> = merged;
        let count = merged.iter().map(|run| run.count).sum();
        // Its number is higher than theirs, also while they are not listed.
        let newest = merged.iter().map(|run| run.number).max().unwrap_or(0);
        let run = self.begin_run(db, newest, count)?;
        // Each is in order: SQLite reads them side by side and sorts nothing.
        let all: Vec<String> =
            merged.iter().map(|run| format!("SELECT id, number FROM {}", table_of(run.number))).collect();
        db.execute_batch(&format!(
            "INSERT INTO {} {} ORDER BY 1, 2",
            table_of(run.number),
            all.join(" UNION ALL ")
        ))?;
        // Their filters go before the new one comes.
        for run in merged {
            db.execute_batch(&format!("DROP TABLE {}", table_of(run.number)))?;
            db.execute("DELETE FROM _headwater_ids_runs WHERE run = ?1", [run.number])?;
        }
        self.take_up(db, run)
    }

    /// A run that is empty yet, with a number above `after` and those of all others.
    fn begin_run(&self, db: &Connection, after: i64, count: u64) -> Result<Run, Trouble> {
        let number = self.runs.iter().map(|run| run.number).max().unwrap_or(0).max(after) + 1;
        db.execute_batch(&format!(
            "CREATE TABLE {} (id INTEGER NOT NULL, number INTEGER NOT NULL, PRIMARY KEY (id, number)) WITHOUT ROWID",
            table_of(number)
        ))?;
        Ok(Run { number, count, filter: Bloom::default() })
    }

    /// A run is whole: its filter is made.
    fn take_up(&mut self, db: &Connection, mut run: Run) -> Result<(), Trouble> {
        // Also where there is no room for it now: there may be later.
        let mut filter = Bloom::new(run.count, FILTERS);
        {
            let mut all = db.prepare(&format!("SELECT id FROM {}", table_of(run.number)))?;
            let mut rows = all.query([])?;
            while let Some(row) = rows.next()? {
                let (one, other) = halves(row.get(0)?);
                filter.add(one, other);
            }
        }
        // Written into its place piece by piece: megabytes of it would be there twice otherwise, and stay with the allocator.
        let place = ZeroBlob(i32::try_from(filter.bytes()).unwrap_or(0));
        db.execute(
            "INSERT INTO _headwater_ids_runs VALUES (?1, ?2, ?3)",
            params![run.number, i64::try_from(run.count).unwrap_or(i64::MAX), place],
        )?;
        let place = db.blob_open(MAIN_DB, c"_headwater_ids_runs", c"filter", run.number, false)?;
        filter.write(BufWriter::new(place))?;
        run.filter = if filter.bytes() <= self.room() { filter } else { Bloom::default() };
        self.runs.insert(0, run);
        Ok(())
    }

    fn room(&self) -> usize {
        FILTERS.saturating_sub(self.runs.iter().map(|run| run.filter.bytes()).sum())
    }
}

fn table_of(run: i64) -> String {
    format!("_headwater_ids_{run}")
}

/// Two numbers of one key, for the filters.
fn halves(key: IdKey) -> (u64, u64) {
    let key = key as u64;
    (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 19, key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(db: &Connection, sql: &str) -> i64 {
        db.query_row(sql, [], |row| row.get(0)).unwrap()
    }

    fn file() -> Connection {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch(super::super::OWN_TABLES).unwrap();
        db.execute_batch(TABLES).unwrap();
        db
    }

    #[test]
    fn ids_are_found_through_runs_and_merges_and_after_opening() {
        let db = file();
        let mut ids = Ids::open_with(&db, 10).unwrap();
        let key = |n: i64| id_key("tracks", &n.to_string());
        for n in 0..2_000 {
            assert_eq!(ids.find(&db, key(n)).unwrap(), [0; 0], "{n}");
            ids.add(key(n), n + 1);
            assert_eq!(ids.find(&db, key(n)).unwrap(), [n + 1]);
            if n % 3 == 0 {
                ids.keep(&db).unwrap();
            }
        }
        ids.keep(&db).unwrap();
        // Merged by eights: few runs are left of about two hundred.
        assert!((3..30).contains(&ids.runs.len()), "{}", ids.runs.len());
        let tables =
            "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name GLOB '_headwater_ids_[0-9]*'";
        assert_eq!(number(&db, tables), ids.runs.len() as i64);
        let opened = Ids::open_with(&db, 10).unwrap();
        for ids in [&ids, &opened] {
            for n in 0..2_000 {
                assert_eq!(ids.find(&db, key(n)).unwrap(), [n + 1], "{n}");
            }
            let unknown = (2_000..4_000).filter(|n| !ids.find(&db, key(*n)).unwrap().is_empty()).count();
            assert_eq!(unknown, 0);
        }
        let all: u64 = opened.runs.iter().map(|run| run.count).sum::<u64>() + opened.fresh.len() as u64;
        assert_eq!(all, 2_000);
        // The same id in another table is another.
        assert!(opened.find(&db, id_key("pages", "1")).unwrap().is_empty());
    }

    #[test]
    fn two_ids_with_one_key_are_both_found() {
        let db = file();
        let mut ids = Ids::open_with(&db, 4).unwrap();
        for (key, number) in [(7, 1), (7, 2), (8, 3), (9, 4), (7, 5)] {
            ids.add(key, number);
            ids.keep(&db).unwrap();
        }
        let mut found = ids.find(&db, 7).unwrap();
        found.sort_unstable();
        assert_eq!(found, [1, 2, 5]);
    }

    #[test]
    fn what_has_calls_and_no_ids_is_gathered() {
        let db = file();
        db.execute_batch(
            "INSERT INTO _headwater_tables VALUES ('tracks', 'call', '[\"id\"]');
             CREATE TABLE tracks (id, _headwater_row INTEGER PRIMARY KEY)",
        )
        .unwrap();
        for n in 1..=100 {
            db.execute("INSERT INTO tracks VALUES (?1, ?2)", params![format!("m{n}"), n]).unwrap();
        }
        let ids = Ids::open_with(&db, 30).unwrap();
        assert_eq!(ids.find(&db, id_key("tracks", "m42")).unwrap(), [42]);
        let again = Ids::open_with(&db, 30).unwrap();
        assert_eq!(again.find(&db, id_key("tracks", "m99")).unwrap(), [99]);
        assert!(again.find(&db, id_key("tracks", "m101")).unwrap().is_empty());
    }
}
