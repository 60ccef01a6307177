//! What the writer and the readers of a log share: the segments, how far they are committed, who still needs them.

use std::{
    collections::{BTreeMap, VecDeque},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

use super::{Options, Stats, files::Files, frame::HEADER, scan::Hole, writer::Queue};

/// The index of a segment has an entry for so many bytes.
const INDEX_STEP: u64 = 64 << 10;
/// So many places where a reader stopped are remembered to the byte.
const HINTS: usize = 16;

/// Everything that the handles of one log share.
pub struct Shared {
    pub files: Arc<dyn Files>,
    pub folder: PathBuf,
    pub options: Options,
    pub salt: u32,
    pub state: Mutex<State>,
    pub queue: Queue,
    pub committed: watch::Sender<Committed>,
    /// Held while segments are removed or cut.
    pub maintenance: Mutex<()>,
}

/// What waiting readers look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The newest sequence number.
    pub seq: u64,
    /// Whether nothing can follow.
    pub closed: bool,
}

/// The segments.
#[derive(Debug)]
pub struct State {
    /// The oldest first.
    pub segments: VecDeque<Segment>,
    /// The next frame's sequence number.
    pub next: u64,
    /// Where each consumer goes on.
    pub pins: BTreeMap<String, u64>,
    /// Missing frames: the first, and the next that is there.
    pub damaged: BTreeMap<u64, u64>,
    /// Segments whose header could not be read.
    pub damaged_headers: u64,
    /// Changes whenever something is taken away, so that a reader knows why it found nothing.
    pub epoch: u64,
    /// Where readers stopped: segment, sequence number, offset.
    hints: VecDeque<(u64, u64, u64)>,
}

/// One file.
#[derive(Debug)]
pub struct Segment {
    /// The sequence number of its first frame, and its name.
    pub first: u64,
    /// Bytes that are committed.
    pub length: u64,
    /// When it was made, in milliseconds since 1970, if its header says so.
    pub made: Option<u64>,
    /// Whether a sync of it failed in this process: then nothing more is written to it.
    pub distrusted: bool,
    /// Some frames' offsets, by sequence number.
    pub index: BTreeMap<u64, u64>,
}

/// Where a sequence number is to be looked for.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// The segment.
    pub segment: u64,
    /// A frame at or before the one wanted …
    pub seq: u64,
    /// … and its offset.
    pub at: u64,
    /// The segment's committed length.
    pub end: u64,
    /// The sequence number that follows the segment.
    pub limit: u64,
    /// The state's epoch when this was true.
    pub epoch: u64,
}

impl Shared {
    /// Where a segment is.
    pub fn path(&self, first: u64) -> PathBuf {
        segment_path(&self.folder, first)
    }
}

/// Locks, also behind a thread that panicked: all changes under these locks are whole.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The path of the segment with this first sequence number.
pub fn segment_path(folder: &Path, first: u64) -> PathBuf {
    folder.join(format!("{first:020}.log"))
}

/// The path of the copy of damaged bytes.
pub fn damaged_path(folder: &Path, first: u64, next: u64) -> PathBuf {
    folder.join(format!("{first:020}-{:020}.damaged", next.saturating_sub(1)))
}

impl Segment {
    /// A segment of that length, not looked into yet.
    pub fn new(first: u64, length: u64, made: Option<u64>) -> Self {
        Self { first, length, made, distrusted: false, index: BTreeMap::new() }
    }

    /// Remembers a frame's offset, if none is remembered nearby.
    pub fn note(&mut self, seq: u64, at: u64) {
        let near = self.index.range(..=seq).next_back().map_or(HEADER, |(_, at)| *at);
        if at >= near.saturating_add(INDEX_STEP) {
            self.index.insert(seq, at);
        }
    }
}

impl State {
    /// A log with these segments.
    pub fn new(segments: VecDeque<Segment>, next: u64) -> Self {
        Self {
            segments,
            next,
            pins: BTreeMap::new(),
            damaged: BTreeMap::new(),
            damaged_headers: 0,
            epoch: 0,
            hints: VecDeque::new(),
        }
    }

    /// The first sequence number that is kept.
    pub fn first(&self) -> u64 {
        self.segments.front().map_or(self.next, |segment| segment.first)
    }

    /// Where `seq` is; none if it is not committed. One that is no longer kept leads to the first that is.
    pub fn locate(&self, seq: u64) -> Option<Place> {
        let seq = seq.max(self.first());
        if seq >= self.next {
            return None;
        }
        let index = self.segments.partition_point(|segment| segment.first <= seq).checked_sub(1)?;
        let segment = self.segments.get(index)?;
        let limit = self.segments.get(index + 1).map_or(self.next, |after| after.first);
        let mut best = (segment.first, HEADER);
        if let Some((known, at)) = segment.index.range(..=seq).next_back() {
            best = (*known, *at);
        }
        for (first, known, at) in &self.hints {
            if *first == segment.first && *known <= seq && *known > best.0 {
                best = (*known, *at);
            }
        }
        let (known, at) = best;
        Some(Place { segment: segment.first, seq: known, at, end: segment.length, limit, epoch: self.epoch })
    }

    /// A reader of this place went over these frames, and stopped before `seq`, at `at`.
    pub fn passed(&mut self, place: &Place, marks: &[(u64, u64)], seq: u64, at: u64) {
        if self.epoch != place.epoch {
            return;
        }
        let Ok(index) = self.segments.binary_search_by_key(&place.segment, |segment| segment.first) else {
            return;
        };
        if let Some(segment) = self.segments.get_mut(index) {
            marks.iter().for_each(|(seq, at)| segment.note(*seq, *at));
        }
        if seq < place.limit {
            if self.hints.len() >= HINTS {
                self.hints.pop_front();
            }
            self.hints.push_back((place.segment, seq, at));
        }
    }

    /// Counts missing frames. True if they were not known.
    pub fn note_hole(&mut self, hole: &Hole) -> bool {
        let known = self.damaged.range(..=hole.first).next_back();
        if hole.first >= hole.next || known.is_some_and(|(_, next)| *next >= hole.next) {
            return false;
        }
        let inside: Vec<u64> = self.damaged.range(hole.first..hole.next).map(|(first, _)| *first).collect();
        let mut next = hole.next;
        for first in inside {
            next = next.max(self.damaged.remove(&first).unwrap_or(next));
        }
        self.damaged.insert(hole.first, next);
        true
    }

    /// The last segment could not be synced.
    pub fn distrust_last(&mut self) {
        if let Some(last) = self.segments.back_mut() {
            last.distrusted = true;
        }
    }

    /// Something has been taken away: offsets that were true may not be.
    pub fn changed(&mut self) {
        self.epoch += 1;
        self.hints.clear();
    }

    /// How much there is.
    pub fn stats(&self) -> Stats {
        let (first, end) = (self.first(), self.next);
        let damaged =
            self.damaged.iter().map(|(from, to)| (*to).min(end).saturating_sub((*from).max(first))).sum();
        Stats {
            frames: (end - first).saturating_sub(damaged),
            bytes: self.segments.iter().map(|segment| segment.length).sum(),
            segments: self.segments.len() as u64,
            damaged,
            damaged_headers: self.damaged_headers,
            first,
            last: end.saturating_sub(1),
            waiting: 0,
        }
    }
}
