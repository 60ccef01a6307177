//! Crashes, at seeded points, on a disk that loses what it may. After each: every acknowledged frame is there, once,
//! in order, and nothing half. Then the same with one kind of sync left out, which must not go unnoticed.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use futures::future::join_all;
use rand::{Rng, SeedableRng, rngs::StdRng};

use super::super::{
    Files, Keep, Log, Options,
    testdisk::{Ignore, TestDisk},
};

const FOLDER: &str = "data/inbox";
/// Power is lost at so many seeded points, and more: each of these is a log of several lives.
const SEEDS: u64 = 1_000;

type Outcome = Result<(), String>;

/// What a scenario leaves out: a sync, while one of these is done.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Fault {
    ignore: Ignore,
    during: Step,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Open,
    Append,
    Release,
    Truncate,
}

/// What must be true of the log.
struct Model {
    disk: Arc<TestDisk>,
    rng: StdRng,
    fault: Option<Fault>,
    /// Frames that were acknowledged, or read: they stay.
    kept: BTreeMap<u64, u64>,
    /// Frames that were cut off, for good.
    cut: BTreeSet<u64>,
    /// Members of each group, by each of its members.
    groups: BTreeMap<u64, Vec<u64>>,
    /// What is being done, and what was synced while it was.
    step: Step,
    synced: BTreeSet<(Step, PathBuf)>,
    /// What is older may be gone.
    floor: u64,
    next_id: u64,
}

fn options() -> Options {
    Options {
        segment: 2048,
        max_frame: 4096,
        low_disk: 0,
        keep: Keep { bytes: 0, age: Duration::MAX },
        ..Options::default()
    }
}

/// A body that says who it is, and whose every byte follows from that.
fn body(id: u64) -> Bytes {
    let mut rng = StdRng::seed_from_u64(id);
    let length = if rng.random_bool(0.05) { rng.random_range(1500..3000) } else { rng.random_range(0..200) };
    let mut bytes = id.to_le_bytes().to_vec();
    bytes.extend((0..length).map(|_| rng.random::<u8>()));
    bytes.into()
}

fn id_of(bytes: &Bytes) -> Result<u64, String> {
    let id =
        bytes.get(..8).and_then(|id| id.try_into().ok()).map(u64::from_le_bytes).ok_or("a short body")?;
    if *bytes == body(id) { Ok(id) } else { Err(format!("a body that nobody wrote ({id})")) }
}

impl Model {
    fn new(seed: u64, fault: Option<Fault>) -> Self {
        Self {
            disk: TestDisk::new(seed),
            rng: StdRng::seed_from_u64(seed ^ 0xabcd),
            fault,
            kept: BTreeMap::new(),
            cut: BTreeSet::new(),
            groups: BTreeMap::new(),
            step: Step::Open,
            synced: BTreeSet::new(),
            floor: 1,
            next_id: 1,
        }
    }

    /// Lives and deaths of one log.
    async fn run(&mut self) -> Outcome {
        for _ in 0..5 {
            let files = self.disk.process();
            let life = self.rng.random_range(1..90);
            self.disk.die_after(life);
            if let Some(log) = self.open(files).await? {
                self.check(&log).await?;
                self.live(&log).await?;
            }
            if self.rng.random_bool(0.7) {
                self.disk.power_off();
            }
        }
        self.disk.power_off();
        let files = self.disk.process();
        let log = self.open(files).await?.ok_or("it does not open")?;
        self.check(&log).await?;
        self.begin(Step::Append);
        let id = self.id();
        log.append(body(id)).await.map_err(|error| format!("a mended log takes nothing: {error}"))?;
        Ok(())
    }

    /// None if the process dies of it.
    async fn open(&mut self, files: Arc<dyn Files>) -> Result<Option<Log>, String> {
        self.begin(Step::Open);
        match Log::open(files, FOLDER, options()).await {
            Ok(log) => Ok(Some(log)),
            Err(_) if self.disk.is_dead() => Ok(None),
            Err(error) => Err(format!("it does not open: {error}")),
        }
    }

    fn begin(&mut self, step: Step) {
        let before = self.step;
        self.synced.extend(self.disk.synced().into_iter().map(|path| (before, path)));
        self.step = step;
        let ignored = self.fault.filter(|fault| fault.during == step).map(|fault| fault.ignore);
        self.disk.ignore(ignored.as_slice());
    }

    fn id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id - 1
    }

    async fn live(&mut self, log: &Log) -> Outcome {
        for _ in 0..40 {
            if self.disk.is_dead() {
                break;
            }
            self.begin(Step::Append);
            match self.rng.random_range(0..100) {
                0..50 => {
                    let id = self.id();
                    if let Ok(seq) = log.append(body(id)).await {
                        self.acknowledge(seq, id)?;
                    }
                }
                50..70 => {
                    let count = self.rng.random_range(1..6);
                    let ids: Vec<u64> = (0..count).map(|_| self.id()).collect();
                    for id in &ids {
                        self.groups.insert(*id, ids.clone());
                    }
                    if let Ok(last) = log.append_many(ids.iter().map(|id| body(*id)).collect()).await {
                        for (seq, id) in (1..=last).rev().zip(ids.iter().rev()) {
                            self.acknowledge(seq, *id)?;
                        }
                    }
                }
                70..82 => {
                    let ids: Vec<u64> = (0..5).map(|_| self.id()).collect();
                    let answers = join_all(ids.iter().map(|id| log.append(body(*id)))).await;
                    for (answer, id) in answers.into_iter().zip(ids) {
                        if let Ok(seq) = answer {
                            self.acknowledge(seq, id)?;
                        }
                    }
                }
                82..86 => {
                    let after = self.rng.random_range(0..4);
                    self.disk.fail_sync(after);
                }
                86..92 => self.check(log).await?,
                92..97 => self.release(log).await,
                _ => self.truncate(log).await?,
            }
        }
        Ok(())
    }

    fn acknowledge(&mut self, seq: u64, id: u64) -> Outcome {
        match self.kept.insert(seq, id) {
            Some(other) if other != id => Err(format!("{seq} was given to {other} and to {id}")),
            _ => Ok(()),
        }
    }

    async fn release(&mut self, log: &Log) {
        self.begin(Step::Release);
        let last = log.committed();
        self.floor = self.floor.max(last.saturating_sub(self.rng.random_range(0..30)));
        log.pin("somebody", self.floor);
        log.pin("somebody ahead", last + 1);
        let _may_die = log.release(u64::MAX).await;
    }

    async fn truncate(&mut self, log: &Log) -> Outcome {
        self.begin(Step::Truncate);
        let after = log.committed().saturating_sub(self.rng.random_range(0..12)).max(self.floor);
        // Members of a group go together, whatever was asked for.
        let gone: BTreeSet<u64> = self.kept.range(after + 1..).map(|(_, id)| *id).collect();
        let together =
            |id: &u64| self.groups.get(id).is_some_and(|group| group.iter().any(|id| gone.contains(id)));
        let gone: BTreeSet<u64> =
            self.kept.values().copied().filter(|id| gone.contains(id) || together(id)).collect();
        self.kept.retain(|_, id| !gone.contains(id));
        if let Ok(left) = log.truncate_after(after).await {
            self.cut.extend(gone);
            if left != self.kept.last_key_value().map_or(left, |(seq, _)| *seq) {
                return Err(format!("{left} is left, of {:?}", self.kept));
            }
        }
        Ok(())
    }

    /// Reads all of it. What can be read now can be read for ever.
    async fn check(&mut self, log: &Log) -> Outcome {
        let stats = log.stats();
        if stats.damaged + stats.damaged_headers > 0 {
            return Err(format!("damage: {stats:?}"));
        }
        let (mut found, mut next) = (BTreeMap::new(), stats.first);
        while next <= stats.last {
            let max_bytes = self.rng.random_range(1..3000);
            let batch = match log.read(next, max_bytes).await {
                Ok(batch) => batch,
                Err(_) if self.disk.is_dead() => return Ok(()),
                Err(error) => return Err(format!("it cannot be read: {error}")),
            };
            if batch.damaged + batch.expired > 0 || batch.frames.is_empty() {
                return Err(format!("from {next} to {}: {} frames are damaged", batch.next, batch.damaged));
            }
            for frame in batch.frames {
                if frame.seq != next {
                    return Err(format!("{} where {next} was due", frame.seq));
                }
                found.insert(frame.seq, id_of(&frame.body)?);
                next += 1;
            }
        }
        let ids: BTreeSet<u64> = found.values().copied().collect();
        if ids.len() != found.len() {
            return Err("something is there twice".into());
        }
        if let Some(id) = ids.intersection(&self.cut).next() {
            return Err(format!("{id} had been cut off, and is back"));
        }
        for (seq, id) in self.kept.range(self.floor..) {
            if found.get(seq) != Some(id) {
                return Err(format!("{seq} was {id} and is {:?}", found.get(seq)));
            }
        }
        for (seq, id) in &found {
            let Some(group) = self.groups.get(id) else { continue };
            let place = group.iter().position(|member| member == id).unwrap_or(0) as u64;
            for (other, member) in (seq - place..).zip(group) {
                if found.get(&other) != Some(member) && other >= stats.first {
                    return Err(format!("{id} is there and {member} of its group is not"));
                }
            }
        }
        self.floor = self.floor.max(stats.first);
        self.kept = found;
        Ok(())
    }
}

async fn scenario(seed: u64, fault: Option<Fault>) -> Outcome {
    Model::new(seed, fault).run().await.map_err(|error| format!("seed {seed}: {error}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_at_any_crash() {
    for seed in 0..SEEDS {
        scenario(seed, None).await.unwrap();
    }
}

/// Every sync that a log makes: of what, and while what is done.
const FAULTS: [(Ignore, Step); 10] = [
    (Ignore::Folder(""), Step::Open),
    (Ignore::Folder("data"), Step::Open),
    (Ignore::Folder(FOLDER), Step::Open),
    (Ignore::File(".log"), Step::Open),
    (Ignore::File(".new"), Step::Append),
    (Ignore::File(".log"), Step::Append),
    (Ignore::Folder(FOLDER), Step::Append),
    (Ignore::Folder(FOLDER), Step::Release),
    (Ignore::Folder(FOLDER), Step::Truncate),
    (Ignore::File(".log"), Step::Truncate),
];

/// No sync is made that is not in that list.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_sync_is_one_that_is_left_out_in_turn() {
    for seed in 0..SEEDS / 4 {
        let mut model = Model::new(seed, None);
        model.run().await.unwrap();
        model.begin(Step::Open);
        for (step, path) in model.synced {
            let known = FAULTS.iter().any(|(ignore, during)| {
                let is_it = match ignore {
                    Ignore::File(end) => path.to_string_lossy().ends_with(end),
                    Ignore::Folder(folder) => path == Path::new(folder),
                };
                is_it && *during == step
            });
            assert!(
                known,
                "seed {seed}: {} is synced at {step:?}, and nothing shows what for",
                path.display()
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_sync_can_be_left_out() {
    for (ignore, during) in FAULTS {
        let fault = Fault { ignore, during };
        let mut noticed = None;
        for seed in 0..6 * SEEDS {
            if let Err(error) = scenario(seed, Some(fault)).await {
                scenario(seed, None).await.unwrap();
                noticed = Some(error);
                break;
            }
        }
        let noticed = noticed.unwrap_or_else(|| panic!("nothing notices {fault:?}"));
        println!("{fault:?}: {noticed}");
    }
}

/// A power cut at every single change of a short life, not only at drawn ones.
#[tokio::test]
async fn every_point_of_a_short_life() {
    let mut point = 1;
    loop {
        let disk = TestDisk::new(point);
        let files = disk.process();
        disk.die_after(point);
        let mut kept = Vec::new();
        if let Ok(log) = Log::open(files, FOLDER, options()).await {
            for id in 0..60 {
                if let Ok(seq) = log.append(body(id)).await {
                    kept.push((seq, id));
                }
            }
        }
        let done = !disk.is_dead();
        disk.power_off();
        let log = Log::open(disk.process(), Path::new(FOLDER), options()).await.unwrap();
        let mut next = 1;
        let mut found = Vec::new();
        while next <= log.committed() {
            let batch = log.read(next, 500).await.unwrap();
            assert_eq!(batch.damaged, 0);
            found.extend(batch.frames.iter().map(|frame| (frame.seq, id_of(&frame.body).unwrap())));
            next = batch.next;
        }
        assert!(found.starts_with(&kept), "at change {point}");
        assert!(found.len() <= kept.len() + 1);
        if done {
            assert!(point > 120, "the life was too short to prove anything: {point}");
            break;
        }
        point += 1;
    }
}
