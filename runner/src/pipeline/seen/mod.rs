//! What has been seen: the message ids of the last seven days, and the delivery that each came in.
//!
//! Ids have no order, and an index that grows by ids without order slows down as it grows: soon every insert changes another page. So
//! they are kept as they come ([`Seen::note`], a part of the books' transaction, and a map in memory), put in order some at a time
//! ([`run`]), and runs of like size are merged beside the work. Memory is bounded: the map, four kilobytes a run, and filters of at most
//! [`FILTERS`] bytes; what they do not hold costs a read.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
};

use rusqlite::{Connection, OptionalExtension, params};

mod merge;
mod run;

#[cfg(test)]
mod tests;

use run::{ENTRY, Entry, Run, Writer};

/// A message id of one source, as it is remembered.
pub type SeenKey = [u8; 16];

/// How long a message id is remembered, in days. Beyond it the warehouse's keys still keep duplicates out.
const DAYS: i64 = 7;
/// Ids in memory, about, before they are put in order.
const FRESH: usize = 1 << 17;
/// So many runs of like size become one.
const MERGED: usize = 8;
/// The most memory for filters, in bytes: enough for some 25 million ids.
const FILTERS: usize = 32 << 20;

/// Its tables in the books.
pub const TABLES: &str = "
    CREATE TABLE seen_fresh (id INTEGER PRIMARY KEY, entries BLOB NOT NULL) STRICT;
    CREATE TABLE seen_run (number INTEGER PRIMARY KEY) STRICT;
    CREATE TABLE seen_day (day INTEGER PRIMARY KEY, first INTEGER NOT NULL) STRICT;";

/// See the module.
pub struct Seen {
    folder: PathBuf,
    fresh: HashMap<SeenKey, u64>,
    /// The newest first.
    runs: Vec<Run>,
    merging: Option<Merging>,
    /// Deliveries before this one are forgotten.
    oldest: u64,
    /// The day of the last note, whose first delivery is known.
    day: i64,
    /// Ids in memory before they are put in order: [`FRESH`], less in tests.
    most: usize,
}

/// A merge under way, beside the work.
struct Merging {
    numbers: Vec<i64>,
    into: i64,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<io::Result<()>>,
}

impl Seen {
    /// Opens what the books know of, and removes files that they do not know: those of a merge or an ordering that a crash cut.
    pub fn open(db: &Connection, folder: &Path) -> rusqlite::Result<Self> {
        fs::create_dir_all(folder).map_err(sqlite)?;
        let numbers: Vec<i64> = db
            .prepare("SELECT number FROM seen_run ORDER BY number DESC")?
            .query_map([], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        let known: HashSet<PathBuf> = numbers.iter().map(|number| Run::path(folder, *number)).collect();
        for file in fs::read_dir(folder).map_err(sqlite)? {
            let path = file.map_err(sqlite)?.path();
            let own = path.extension().is_some_and(|end| end == "run" || end == "new");
            if own && !known.contains(&path) {
                fs::remove_file(path).map_err(sqlite)?;
            }
        }
        let mut seen = Self {
            folder: folder.to_owned(),
            fresh: HashMap::new(),
            runs: Vec::new(),
            merging: None,
            oldest: 0,
            day: i64::MIN,
            most: FRESH,
        };
        for number in numbers {
            let room = FILTERS.saturating_sub(seen.runs.iter().map(Run::weight).sum());
            match Run::open(folder, number, room) {
                Ok(run) => seen.runs.push(run),
                // The warehouse's keys still keep its duplicates out: better than to stand still.
                Err(error) => tracing::error!(number, %error, "some messages are no longer known as seen"),
            }
        }
        let mut find = db.prepare("SELECT entries FROM seen_fresh ORDER BY id")?;
        let mut blobs = find.query([])?;
        while let Some(row) = blobs.next()? {
            for entry in row.get_ref(0)?.as_blob()?.as_chunks::<ENTRY>().0 {
                let (key, seq) = entry.split_at(16);
                let (Ok(key), Ok(seq)) = (key.try_into(), seq.try_into()) else { continue };
                seen.fresh.insert(key, u64::from_le_bytes(seq));
            }
        }
        Ok(seen)
    }

    /// The deliveries that these messages came in, as far as they have been seen.
    pub fn find(&mut self, keys: &[SeenKey]) -> Vec<Option<u64>> {
        let oldest = self.oldest;
        let known = |seq: u64| Some(seq).filter(|seq| *seq >= oldest);
        let mut found: Vec<Option<u64>> =
            keys.iter().map(|key| self.fresh.get(key).copied().and_then(known)).collect();
        let mut order: Vec<usize> = (0..keys.len()).filter(|at| found[*at].is_none()).collect();
        order.sort_unstable_by_key(|at| keys[*at]);
        self.runs.retain_mut(|run| {
            let forgotten = run.newest < oldest;
            for &at in &order {
                if found[at].is_none() && !forgotten {
                    match run.find(&keys[at]) {
                        Ok(seq) => found[at] = seq.and_then(known),
                        // The warehouse's keys still keep its duplicates out: better than to stand still.
                        Err(error) => {
                            tracing::error!(run = run.number, %error, "some messages are no longer known as seen");
                            return false;
                        }
                    }
                }
            }
            true
        });
        found
    }

    /// Makes room in memory, outside of any transaction: what is full is put in order, a merge that has ended takes effect, another begins.
    pub fn tidy(&mut self, db: &mut Connection) -> rusqlite::Result<()> {
        if self.merging.as_ref().is_some_and(|merging| merging.thread.is_finished()) {
            self.end_merge(db)?;
        }
        if self.fresh.len() < self.most {
            return Ok(());
        }
        let mut entries: Vec<Entry> =
            self.fresh.iter().map(|(key, seq)| (*key, *seq)).filter(|(_, seq)| *seq >= self.oldest).collect();
        entries.sort_unstable();
        let number = self.next();
        let write = || -> io::Result<()> {
            let mut run = Writer::new(&self.folder, number, entries.len() as u64, FILTERS)?;
            entries.iter().try_for_each(|entry| run.push(entry))?;
            run.finish()
        };
        write().map_err(sqlite)?;
        let change = db.transaction()?;
        change.execute("INSERT INTO seen_run VALUES (?)", [number])?;
        change.execute("DELETE FROM seen_fresh", [])?;
        change.commit()?;
        self.fresh.clear();
        self.take_up(number);
        self.begin_merge();
        Ok(())
    }

    /// Notes messages that came on `day`: a part of the books' transaction. They count once that is through: see [`Seen::noted`].
    pub fn note(&self, change: &Connection, entries: &[Entry], day: i64) -> rusqlite::Result<()> {
        let Some(first) = entries.iter().map(|(_, seq)| *seq).min() else { return Ok(()) };
        if self.day != day {
            let first = i64::try_from(first).unwrap_or(i64::MAX);
            change.execute("INSERT OR IGNORE INTO seen_day VALUES (?, ?)", params![day, first])?;
        }
        let mut blob = Vec::with_capacity(entries.len() * ENTRY);
        for (key, seq) in entries {
            blob.extend_from_slice(key);
            blob.extend_from_slice(&seq.to_le_bytes());
        }
        change.prepare_cached("INSERT INTO seen_fresh (entries) VALUES (?)")?.execute([blob]).map(drop)
    }

    /// The transaction with this note is through.
    pub fn noted(&mut self, entries: &[Entry], day: i64) {
        if !entries.is_empty() {
            self.day = day;
            self.fresh.extend(entries.iter().copied());
        }
    }

    /// Forgets what is older than the window on `today`. Returns how many ids went with their runs; the others go with a merge.
    pub fn forget(&mut self, db: &mut Connection, today: i64) -> rusqlite::Result<u64> {
        let oldest: Option<i64> = db
            .query_row("SELECT min(first) FROM seen_day WHERE day >= ?", [today - DAYS], |row| row.get(0))
            .optional()?
            .flatten();
        let newest = || self.runs.iter().map(|run| run.newest).chain(self.fresh.values().copied()).max();
        self.oldest = match oldest {
            Some(first) => first.unsigned_abs(),
            None => newest().map_or(0, |newest| newest + 1),
        };
        let merged: &[i64] = self.merging.as_ref().map_or(&[], |merging| &merging.numbers);
        let gone = |run: &Run| run.newest < self.oldest && !merged.contains(&run.number);
        let old: Vec<(i64, u64)> =
            self.runs.iter().filter(|run| gone(run)).map(|run| (run.number, run.count)).collect();
        let change = db.transaction()?;
        change.execute("DELETE FROM seen_day WHERE day < ?", [today - DAYS])?;
        for (number, _) in &old {
            change.execute("DELETE FROM seen_run WHERE number = ?", [number])?;
        }
        change.commit()?;
        self.drop_runs(&old.iter().map(|(number, _)| *number).collect::<Vec<_>>());
        Ok(old.iter().map(|(_, count)| count).sum())
    }

    fn next(&self) -> i64 {
        let merging = self.merging.as_ref().map_or(0, |merging| merging.into);
        self.runs.iter().map(|run| run.number).max().unwrap_or(0).max(merging) + 1
    }

    fn take_up(&mut self, number: i64) {
        let room = FILTERS.saturating_sub(self.runs.iter().map(Run::weight).sum());
        match Run::open(&self.folder, number, room) {
            Ok(run) => self.runs.push(run),
            Err(error) => tracing::error!(number, %error, "some messages are no longer known as seen"),
        }
        self.runs.sort_by_key(|run| std::cmp::Reverse(run.number));
    }

    fn drop_runs(&mut self, numbers: &[i64]) {
        self.runs.retain(|run| !numbers.contains(&run.number));
        for number in numbers {
            let _or_when_opened = fs::remove_file(Run::path(&self.folder, *number));
        }
    }

    /// Merges the runs of one size, if there are enough of them and nothing is merged already.
    fn begin_merge(&mut self) {
        if self.merging.is_some() {
            return;
        }
        let mut sizes: BTreeMap<u32, Vec<(i64, u64)>> = BTreeMap::new();
        for run in &self.runs {
            let size = (run.count / self.most.max(1) as u64).max(1).ilog(MERGED as u64);
            sizes.entry(size).or_default().push((run.number, run.count));
        }
        let Some(runs) = sizes.into_values().find(|runs| runs.len() >= MERGED) else { return };
        let (into, stop) = (self.next(), Arc::new(AtomicBool::new(false)));
        let numbers = runs.iter().map(|(number, _)| *number).collect();
        let work =
            merge::Merge { folder: self.folder.clone(), runs, into, oldest: self.oldest, stop: stop.clone() };
        match std::thread::Builder::new().name("seen".into()).spawn(move || work.run()) {
            Ok(thread) => self.merging = Some(Merging { numbers, into, stop, thread }),
            Err(error) => tracing::warn!(%error, "runs of seen messages are not merged for now"),
        }
    }

    fn end_merge(&mut self, db: &mut Connection) -> rusqlite::Result<()> {
        let Some(Merging { numbers, into, thread, .. }) = self.merging.take() else { return Ok(()) };
        match thread.join() {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                // Another attempt follows the next ordering; until then more runs are asked.
                tracing::error!(%error, "runs of seen messages could not be merged");
                return Ok(());
            }
            Err(_) => return Ok(()),
        }
        let change = db.transaction()?;
        for number in &numbers {
            change.execute("DELETE FROM seen_run WHERE number = ?", [number])?;
        }
        change.execute("INSERT INTO seen_run VALUES (?)", [into])?;
        change.commit()?;
        self.drop_runs(&numbers);
        self.take_up(into);
        self.begin_merge();
        Ok(())
    }
}

impl Drop for Seen {
    /// A merge that is under way ends: nobody would know of its file.
    fn drop(&mut self) {
        if let Some(merging) = self.merging.take() {
            merging.stop.store(true, Ordering::Relaxed);
            let _ended = merging.thread.join();
        }
    }
}

/// The books speak SQLite's errors.
fn sqlite(error: io::Error) -> rusqlite::Error {
    rusqlite::Error::ToSqlConversionFailure(Box::new(error))
}
