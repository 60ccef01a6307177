use rand::{Rng, SeedableRng, rngs::StdRng};
use tempfile::TempDir;

use super::*;

struct House {
    folder: TempDir,
    db: Connection,
    seen: Seen,
}

impl House {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let db = Connection::open(folder.path().join("books.db")).unwrap();
        db.execute_batch(TABLES).unwrap();
        let seen = Self::seen(&db, &folder);
        Self { folder, db, seen }
    }

    fn seen(db: &Connection, folder: &TempDir) -> Seen {
        let mut seen = Seen::open(db, &folder.path().join("seen")).unwrap();
        seen.most = 500;
        seen
    }

    fn note(&mut self, entries: &[Entry], day: i64) {
        self.seen.tidy(&mut self.db).unwrap();
        let change = self.db.transaction().unwrap();
        self.seen.note(&change, entries, day).unwrap();
        change.commit().unwrap();
        self.seen.noted(entries, day);
    }

    fn reopen(self) -> Self {
        let Self { folder, db, seen } = self;
        drop(seen);
        let seen = Self::seen(&db, &folder);
        Self { folder, db, seen }
    }

    /// Waits for a merge to end, and lets it take effect.
    fn merged(&mut self) {
        while let Some(merging) = &self.seen.merging {
            while !merging.thread.is_finished() {
                std::thread::yield_now();
            }
            self.seen.end_merge(&mut self.db).unwrap();
        }
    }

    fn files(&self) -> usize {
        fs::read_dir(self.folder.path().join("seen")).unwrap().count()
    }
}

fn keys(rng: &mut StdRng, count: u64, first: u64) -> Vec<Entry> {
    (first..first + count).map(|seq| (rng.random(), seq)).collect()
}

fn found(seen: &mut Seen, entries: &[Entry]) -> Vec<Option<u64>> {
    seen.find(&entries.iter().map(|(key, _)| *key).collect::<Vec<_>>())
}

#[test]
fn what_was_noted_is_found_with_its_delivery_and_nothing_else() {
    let mut rng = StdRng::seed_from_u64(1);
    let mut house = House::new();
    let mut all: Vec<Entry> = Vec::new();
    for round in 0..400 {
        let some = keys(&mut rng, 100, 1 + round * 100);
        house.note(&some, 20_000);
        all.extend(some);
        if round % 50 == 49 {
            house.merged();
            house = house.reopen();
        }
    }
    assert!(house.seen.runs.len() < 20, "{} runs: they are merged", house.seen.runs.len());
    assert_eq!(house.files(), house.seen.runs.len());
    let wanted: Vec<Option<u64>> = all.iter().map(|(_, seq)| Some(*seq)).collect();
    assert_eq!(found(&mut house.seen, &all), wanted);
    let strangers = keys(&mut rng, 20_000, 0);
    assert!(found(&mut house.seen, &strangers).iter().all(Option::is_none));
}

#[test]
fn a_run_without_a_filter_says_the_same() {
    let mut rng = StdRng::seed_from_u64(2);
    let folder = tempfile::tempdir().unwrap();
    let mut entries = keys(&mut rng, 5_000, 1);
    // Ids with the same first half, over more than one block.
    let same = entries[0].0;
    entries.extend((0..400_u64).map(|n| {
        let mut key = same;
        key[8..].copy_from_slice(&n.to_be_bytes());
        (key, 10_000 + n)
    }));
    entries.sort_unstable();
    let mut writer = Writer::new(folder.path(), 1, entries.len() as u64, FILTERS).unwrap();
    entries.iter().for_each(|entry| writer.push(entry).unwrap());
    writer.finish().unwrap();
    for most in [FILTERS, 0] {
        let mut run = Run::open(folder.path(), 1, most).unwrap();
        assert_eq!(run.weight() == 0, most == 0);
        for (key, seq) in &entries {
            assert_eq!(run.find(key).unwrap(), Some(*seq));
        }
        let unknown = keys(&mut rng, 5_000, 1);
        assert!(unknown.iter().all(|(key, _)| run.find(key).unwrap().is_none()));
    }
}

#[test]
fn what_is_older_than_the_window_is_forgotten() {
    let mut rng = StdRng::seed_from_u64(3);
    let mut house = House::new();
    let old = keys(&mut rng, 600, 1);
    let later = keys(&mut rng, 600, 601);
    house.note(&old, 100);
    house.note(&later, 104);
    assert_eq!(house.seen.forget(&mut house.db, 107).unwrap(), 0);
    assert!(found(&mut house.seen, &old).iter().all(Option::is_some));
    // On the eighth day the first one's run goes as a whole.
    assert_eq!(house.seen.forget(&mut house.db, 108).unwrap(), 600);
    house = house.reopen();
    house.seen.forget(&mut house.db, 108).unwrap();
    assert!(found(&mut house.seen, &old).iter().all(Option::is_none));
    assert!(found(&mut house.seen, &later).iter().all(Option::is_some));
    assert_eq!(house.files(), house.seen.runs.len());
}

#[test]
fn a_damaged_run_is_an_error_or_left_out_and_never_a_wrong_answer() {
    let mut rng = StdRng::seed_from_u64(4);
    let folder = tempfile::tempdir().unwrap();
    let mut entries = keys(&mut rng, 1_000, 1);
    entries.sort_unstable();
    let mut writer = Writer::new(folder.path(), 1, 1_000, FILTERS).unwrap();
    entries.iter().for_each(|entry| writer.push(entry).unwrap());
    writer.finish().unwrap();
    let path = Run::path(folder.path(), 1);
    let whole = fs::read(&path).unwrap();
    let mut refused = 0;
    for _ in 0..300 {
        let mut bytes = whole.clone();
        match rng.random_bool(0.5) {
            true => bytes.truncate(rng.random_range(0..bytes.len())),
            false => {
                let at = rng.random_range(0..bytes.len());
                bytes[at] ^= 1 << rng.random_range(0..8);
            }
        }
        fs::write(&path, bytes).unwrap();
        let Ok(mut run) = Run::open(folder.path(), 1, FILTERS) else {
            refused += 1;
            continue;
        };
        for (key, seq) in &entries {
            match run.find(key) {
                Ok(found) => assert_eq!(found, Some(*seq)),
                Err(_) => {
                    refused += 1;
                    break;
                }
            }
        }
    }
    assert_eq!(refused, 300, "every damage is noticed");
}
