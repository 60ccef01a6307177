//! The one writer of a log: a thread that takes all that is waiting, writes it with one call, syncs once, and
//! answers everybody.

use std::{
    collections::VecDeque,
    io,
    sync::{Arc, Condvar, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use tokio::{runtime::Handle, sync::oneshot};

use super::{
    Entry, LogError, Result,
    files::OpenFile,
    frame::{self, BEGINS, GOES_ON, HEADER, Header},
    state::{Segment, Shared, lock},
};

/// A buffer larger than this is not kept for the next commit.
const KEEP_BUFFER: usize = 16 << 20;
/// The longest that a commit waits for as many as were in the last one: who was answered often comes again at once.
/// It waits no longer than half of what the last sync took.
const GATHER: Duration = Duration::from_micros(300);

/// What the writer is asked for.
pub enum Job {
    /// Frames that belong together.
    Append { entries: Vec<Entry>, bytes: usize, done: oneshot::Sender<Result<u64>> },
    /// Remove everything after this sequence number.
    Truncate { after: u64, done: oneshot::Sender<Result<u64>> },
}

/// What waits for the writer.
#[derive(Default)]
pub struct Queue {
    jobs: Mutex<Jobs>,
    wake: Condvar,
}

#[derive(Default)]
struct Jobs {
    waiting: VecDeque<Job>,
    /// Bytes of the appends that wait or are being written.
    bytes: usize,
    /// The writer sleeps until so many jobs wait.
    wanted: usize,
    closed: bool,
}

impl Queue {
    /// Puts a job at the end, unless more than `limit` bytes would wait.
    pub fn put(&self, job: Job, bytes: usize, limit: usize) -> Result<()> {
        let mut jobs = lock(&self.jobs);
        if jobs.closed {
            return Err(LogError::Closed);
        }
        if jobs.bytes.saturating_add(bytes) > limit {
            return Err(LogError::Overloaded);
        }
        jobs.bytes += bytes;
        jobs.waiting.push_back(job);
        let enough = jobs.waiting.len() >= jobs.wanted;
        drop(jobs);
        if enough {
            self.wake.notify_one();
        }
        Ok(())
    }

    /// Bytes that wait or are being written.
    pub fn waiting(&self) -> usize {
        lock(&self.jobs).bytes
    }

    /// Takes no more jobs; the writer ends after those that wait.
    pub fn close(&self) {
        lock(&self.jobs).closed = true;
        self.wake.notify_all();
    }

    /// The next jobs: one truncation, or appends of about `most` bytes. Where there are fewer than `expected`, waits a
    /// moment for more. None once the queue is closed and empty.
    fn take(&self, most: usize, expected: usize, moment: Duration) -> Option<Vec<Job>> {
        let mut jobs = lock(&self.jobs);
        jobs.wanted = 1;
        while jobs.waiting.is_empty() {
            if jobs.closed {
                return None;
            }
            jobs = self.wake.wait(jobs).unwrap_or_else(PoisonError::into_inner);
        }
        if jobs.waiting.len() < expected {
            jobs.wanted = expected;
            let too_few = |jobs: &mut Jobs| jobs.waiting.len() < expected && !jobs.closed;
            let waited = self.wake.wait_timeout_while(jobs, moment, too_few);
            jobs = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        jobs.wanted = usize::MAX;
        let mut taken = Vec::with_capacity(jobs.waiting.len());
        let mut size = 0;
        while let Some(job) = jobs.waiting.front() {
            let bytes = if let Job::Append { bytes, .. } = job { *bytes } else { most };
            if !taken.is_empty() && size + bytes > most {
                break;
            }
            size += bytes;
            taken.extend(jobs.waiting.pop_front());
        }
        Some(taken)
    }

    /// So many bytes no longer wait.
    fn done(&self, bytes: usize) {
        lock(&self.jobs).bytes -= bytes;
    }
}

/// The writer.
pub struct Writer {
    pub shared: Arc<Shared>,
    /// The segment that is open for appending; none before the first, and after one failed.
    pub active: Option<Active>,
    buffer: Vec<u8>,
    /// How many segments have been begun: each draft is another file.
    drafts: u64,
    /// Where those who wait are answered.
    runtime: Handle,
}

/// A segment that is open for appending.
pub struct Active {
    pub file: Box<dyn OpenFile>,
    /// All that is known to be on the disk.
    pub length: u64,
}

/// Frames that wait, and who waits for them.
struct Append {
    entries: Vec<Entry>,
    done: oneshot::Sender<Result<u64>>,
}

impl Drop for Writer {
    /// Also after a panic nobody is left waiting: dropping a job answers that the log is closed.
    fn drop(&mut self) {
        let mut jobs = lock(&self.shared.queue.jobs);
        jobs.closed = true;
        let left = std::mem::take(&mut jobs.waiting);
        drop(jobs);
        drop(left);
        self.shared.committed.send_modify(|committed| committed.closed = true);
    }
}

impl Writer {
    /// A writer that goes on in `active`.
    pub fn new(shared: Arc<Shared>, active: Option<Active>, runtime: Handle) -> Self {
        Self { shared, active, buffer: Vec::new(), drafts: 0, runtime }
    }

    /// Writes until the queue is closed.
    pub fn run(mut self) {
        let (mut last, mut moment) = (0, Duration::ZERO);
        while let Some(jobs) = self.shared.queue.take(self.shared.options.commit, last, moment) {
            let mut appends = Vec::with_capacity(jobs.len());
            let mut size = 0;
            for job in jobs {
                match job {
                    Job::Append { entries, bytes, done } => {
                        size += bytes;
                        appends.push(Append { entries, done });
                    }
                    Job::Truncate { after, done } => {
                        let _nobody_waits = done.send(self.truncate_after(after));
                    }
                }
            }
            last = appends.len();
            if !appends.is_empty() {
                let began = Instant::now();
                self.append(appends, size);
                moment = (began.elapsed() / 2).min(GATHER);
            }
        }
    }

    fn append(&mut self, appends: Vec<Append>, size: usize) {
        let committed = self.commit(&appends);
        self.shared.queue.done(size);
        match committed {
            // On the runtime waking a thousand tasks costs a third of what it costs from outside, and the next
            // commit need not wait for it.
            Ok(first) => drop(self.runtime.spawn(async move {
                let mut next = first;
                for append in appends {
                    next += append.entries.len() as u64;
                    let _nobody_waits = append.done.send(Ok(next - 1));
                }
            })),
            Err(error) => {
                tracing::error!(folder = %self.shared.folder.display(), %error, "nothing could be appended");
                for append in appends {
                    let _nobody_waits = append.done.send(Err(error.clone()));
                }
            }
        }
    }

    /// Writes and syncs all of them, and returns the first one's sequence number.
    fn commit(&mut self, appends: &[Append]) -> Result<u64> {
        let bytes: u64 = appends
            .iter()
            .flat_map(|append| &append.entries)
            .map(|entry| (entry.length() + frame::OVERHEAD) as u64)
            .sum();
        self.room_for(bytes)?;
        let first = lock(&self.shared.state).next;
        let mut active = match self.active.take() {
            Some(active)
                if active.length == HEADER || active.length + bytes <= self.shared.options.segment =>
            {
                active
            }
            _ => self.new_segment(first)?,
        };
        let marks = self.encode(appends, first, active.length);
        let written = active.file.write_at(active.length, &self.buffer);
        if let Err(error) = written {
            // What was written of it is cut off again; if even that fails, the file is left alone for good.
            if active.file.truncate(active.length).is_ok() {
                self.active = Some(active);
            }
            return Err(self.failed("write to", first, &error));
        }
        if let Err(error) = active.file.sync() {
            // A later sync of this file may succeed without these bytes on the disk: never trust it again.
            let _best_effort = active.file.truncate(active.length);
            lock(&self.shared.state).distrust_last();
            return Err(self.failed("sync", first, &error));
        }
        active.length += self.buffer.len() as u64;
        let next = first + marks.len() as u64;
        {
            let mut state = lock(&self.shared.state);
            state.next = next;
            if let Some(segment) = state.segments.back_mut() {
                segment.length = active.length;
                marks.iter().for_each(|(seq, at)| segment.note(*seq, *at));
            }
        }
        self.shared.committed.send_modify(|committed| committed.seq = next - 1);
        self.active = Some(active);
        if self.buffer.capacity() > KEEP_BUFFER {
            self.buffer = Vec::new();
        }
        Ok(first)
    }

    /// Fills the buffer, and returns each frame's sequence number and offset.
    fn encode(&mut self, appends: &[Append], first: u64, length: u64) -> Vec<(u64, u64)> {
        self.buffer.clear();
        let mut marks = Vec::with_capacity(appends.len());
        let mut seq = first;
        for append in appends {
            for (index, entry) in append.entries.iter().enumerate() {
                let begins = if seq == first { BEGINS } else { 0 };
                let goes_on = if index + 1 < append.entries.len() { GOES_ON } else { 0 };
                marks.push((seq, length + self.buffer.len() as u64));
                frame::encode(&mut self.buffer, self.shared.salt, seq, begins | goes_on, entry);
                seq += 1;
            }
        }
        marks
    }

    fn room_for(&self, bytes: u64) -> Result<()> {
        let (files, folder) = (&self.shared.files, &self.shared.folder);
        let free =
            files.free(folder).map_err(|error| LogError::io("ask for the free space of", folder, &error))?;
        if free < self.shared.options.low_disk.saturating_add(bytes) {
            Err(LogError::DiskFull)
        } else {
            Ok(())
        }
    }

    /// Makes a segment. It gets its name only when its header is on the disk, so a segment without a header is a
    /// damaged one; and an empty segment that failed is replaced in one step.
    fn new_segment(&mut self, first: u64) -> Result<Active> {
        let shared = &self.shared;
        let path = shared.path(first);
        self.drafts += 1;
        let draft = path.with_extension(format!("{}.new", self.drafts));
        let made = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
        let make = || -> io::Result<Box<dyn OpenFile>> {
            let mut file = shared.files.create(&draft)?;
            file.write_at(0, &Header { salt: shared.salt, first, made }.encode())?;
            file.sync()?;
            shared.files.rename(&draft, &path)?;
            shared.files.sync_folder(&shared.folder)?;
            Ok(file)
        };
        let file = make().map_err(|error| {
            let _or_when_opened = shared.files.remove(&draft);
            LogError::io("make", &path, &error)
        })?;
        let mut state = lock(&shared.state);
        if state.segments.back().is_some_and(|last| last.first == first) {
            state.segments.pop_back();
        }
        state.segments.push_back(Segment::new(first, HEADER, Some(made)));
        Ok(Active { file, length: HEADER })
    }

    fn failed(&self, what: &str, first: u64, error: &io::Error) -> LogError {
        let segment = lock(&self.shared.state).segments.back().map_or(first, |segment| segment.first);
        LogError::io(what, &self.shared.path(segment), error)
    }
}
