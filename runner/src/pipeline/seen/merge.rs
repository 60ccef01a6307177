//! Several runs become one: read side by side in order, written once, each id with its newest delivery.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use super::{
    FILTERS,
    run::{Entry, Reader, Writer},
};

/// What is to be merged.
pub struct Merge {
    pub folder: PathBuf,
    /// Their numbers, and how many ids each has.
    pub runs: Vec<(i64, u64)>,
    /// The number of what they become.
    pub into: i64,
    /// Deliveries before this one are forgotten.
    pub oldest: u64,
    /// Whether to give up.
    pub stop: Arc<AtomicBool>,
}

impl Merge {
    /// Does it; the file has its name only when it is whole.
    pub fn run(self) -> io::Result<()> {
        let mut readers = Vec::with_capacity(self.runs.len());
        let mut next: BinaryHeap<Reverse<(Entry, usize)>> = BinaryHeap::new();
        for (number, count) in &self.runs {
            let mut reader = Reader::open(&self.folder, *number, *count)?;
            next.extend(reader.next()?.map(|entry| Reverse((entry, readers.len()))));
            readers.push(reader);
        }
        let all = self.runs.iter().map(|(_, count)| count).sum();
        let mut writer = Writer::new(&self.folder, self.into, all, FILTERS)?;
        let mut last: Option<Entry> = None;
        let mut steps = 0_u64;
        while let Some(Reverse((entry, from))) = next.pop() {
            next.extend(readers[from].next()?.map(|entry| Reverse((entry, from))));
            // In order of id and then of delivery: the last of one id is its newest.
            if let Some(last) = last.filter(|(key, seq)| *key != entry.0 && *seq >= self.oldest) {
                writer.push(&last)?;
            }
            last = Some(entry);
            steps += 1;
            if steps.is_multiple_of(4096) && self.stop.load(Ordering::Relaxed) {
                return Err(io::Error::new(io::ErrorKind::Interrupted, "the program ends"));
            }
        }
        if let Some(last) = last.filter(|(_, seq)| *seq >= self.oldest) {
            writer.push(&last)?;
        }
        writer.finish()
    }
}
