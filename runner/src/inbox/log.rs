//! The handle of a log.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::{
    runtime::Handle,
    sync::{oneshot, watch},
    task::spawn_blocking,
};

use super::{
    Batch, Entry, Inbox, Keep, LogError, Options, Result, Stats,
    files::Files,
    frame::OVERHEAD,
    reader, recover,
    state::{Committed, Shared, damaged_path, lock},
    writer::{Job, Queue, Writer},
};
use crate::thread::{OwnThread, refused};

/// An append-only log in a folder. One process owns the folder; any number of tasks append and read.
pub struct Log {
    shared: Arc<Shared>,
    writer: Mutex<Option<JoinHandle<()>>>,
    /// Where frames are read.
    reading: OwnThread,
}

impl Log {
    /// Opens the log in `folder`, and makes it if it is not there. A torn tail is cut; what is damaged before it is
    /// set aside and counted.
    pub async fn open(files: Arc<dyn Files>, folder: impl Into<PathBuf>, options: Options) -> Result<Self> {
        let folder = folder.into();
        let runtime = Handle::current();
        blocking(move || Self::open_now(files, folder, options, runtime)).await
    }

    fn open_now(files: Arc<dyn Files>, folder: PathBuf, options: Options, runtime: Handle) -> Result<Self> {
        let found = recover::recover(&files, &folder)?;
        let reading =
            OwnThread::start("log reads").map_err(|error| LogError::Thread(error.message().to_owned()))?;
        let committed = Committed { seq: found.state.next - 1, closed: false };
        let shared = Arc::new(Shared {
            files,
            folder,
            options,
            salt: found.salt,
            state: Mutex::new(found.state),
            queue: Queue::default(),
            committed: watch::Sender::new(committed),
            maintenance: Mutex::new(()),
        });
        let writer = Writer::new(Arc::clone(&shared), found.active, runtime);
        let writer = thread::Builder::new()
            .name("log".into())
            .spawn(move || writer.run())
            .map_err(|error| LogError::Thread(refused("the log", &error)))?;
        Ok(Self { shared, writer: Mutex::new(Some(writer)), reading })
    }

    /// Appends one frame and returns its sequence number. It is on the disk then; on an error it will never be read
    /// by this process, though it may be there after a crash.
    pub async fn append(&self, entry: impl Into<Entry>) -> Result<u64> {
        self.submit(vec![entry.into()]).await
    }

    /// Appends frames that belong together, in this order, nothing between them: after a crash all are there or
    /// none. Returns the last one's sequence number; of no frames at all, the newest there is.
    pub async fn append_many<E: Into<Entry>>(&self, entries: Vec<E>) -> Result<u64> {
        if entries.is_empty() {
            return Ok(self.committed());
        }
        self.submit(entries.into_iter().map(Into::into).collect()).await
    }

    async fn submit(&self, entries: Vec<Entry>) -> Result<u64> {
        let options = &self.shared.options;
        let largest = options.max_frame.min(u32::MAX as usize);
        if let Some(entry) = entries.iter().find(|entry| entry.length() > largest) {
            return Err(LogError::TooLarge { bytes: entry.length(), limit: largest });
        }
        let bytes = entries.iter().map(|entry| entry.length() + OVERHEAD).sum::<usize>();
        if bytes > options.waiting {
            return Err(LogError::TooLarge { bytes, limit: options.waiting });
        }
        let (done, answer) = oneshot::channel();
        self.shared.queue.put(Job::Append { entries, bytes, done }, bytes, options.waiting)?;
        answer.await.unwrap_or(Err(LogError::Closed))
    }

    /// Reads on from a sequence number: about `max_bytes`, at least one frame where there is one. Only what is on
    /// the disk is read.
    pub async fn read(&self, from: u64, max_bytes: usize) -> Result<Batch> {
        let shared = Arc::clone(&self.shared);
        self.reading
            .run(move || reader::read(&shared, from, max_bytes))
            .await
            .unwrap_or(Err(LogError::Closed))
    }

    /// Waits until there is something newer than `seq`, and returns the newest.
    pub async fn wait_beyond(&self, seq: u64) -> Result<u64> {
        let mut committed = self.shared.committed.subscribe();
        let now =
            committed.wait_for(|now| now.seq > seq || now.closed).await.map_err(|_| LogError::Closed)?;
        if now.seq > seq { Ok(now.seq) } else { Err(LogError::Closed) }
    }

    /// The newest sequence number; 0 before the first.
    pub fn committed(&self) -> u64 {
        self.shared.committed.borrow().seq
    }

    /// Removes everything after `seq`, for a log whose tail can be made again, and returns the last sequence number
    /// that is left: the next append gets the one after it. It is `seq`, unless that lies inside of frames that
    /// belong together (these go together), or outside of what is there.
    pub async fn truncate_after(&self, seq: u64) -> Result<u64> {
        let (done, answer) = oneshot::channel();
        self.shared.queue.put(Job::Truncate { after: seq, done }, 0, usize::MAX)?;
        answer.await.unwrap_or(Err(LogError::Closed))
    }

    /// A consumer still needs everything from `next` on.
    pub fn pin(&self, consumer: &str, next: u64) {
        lock(&self.shared.state).pins.insert(consumer.to_owned(), next);
    }

    /// A consumer is gone.
    pub fn unpin(&self, consumer: &str) {
        lock(&self.shared.state).pins.remove(consumer);
    }

    /// The first sequence number of what the limits would keep: where a consumer that may fall no further behind
    /// goes on.
    pub fn oldest_within(&self, keep: &Keep) -> u64 {
        let state = lock(&self.shared.state);
        let mut bytes: u64 = state.segments.iter().map(|segment| segment.length).sum();
        for (segment, after) in state.segments.iter().zip(state.segments.iter().skip(1)) {
            if !is_beyond(keep, bytes, after.made) {
                return segment.first;
            }
            bytes -= segment.length;
        }
        state.segments.back().map_or(state.next, |segment| segment.first)
    }

    /// Removes whole segments: those that end at or before `up_to`, that no consumer has pinned, and that are
    /// beyond the limits of [`Options::keep`]. Returns the first sequence number still there.
    pub async fn release(&self, up_to: u64) -> Result<u64> {
        let shared = Arc::clone(&self.shared);
        blocking(move || release(&shared, up_to)).await
    }

    /// How much there is.
    pub fn stats(&self) -> Stats {
        let stats = lock(&self.shared.state).stats();
        Stats { waiting: self.shared.queue.waiting() as u64, ..stats }
    }

    /// Writes what is waiting, and ends. What comes later is refused; reading goes on.
    pub async fn close(&self) {
        self.shared.queue.close();
        let writer = lock(&self.writer).take();
        let ended = blocking(move || {
            let _panicked = writer.map(JoinHandle::join);
            Ok(())
        });
        let _closed = ended.await;
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.shared.queue.close();
    }
}

#[async_trait]
impl Inbox for Log {
    async fn put(&self, delivery: Entry) -> Result<u64> {
        self.append(delivery).await
    }
    async fn put_all(&self, deliveries: Vec<Bytes>) -> Result<u64> {
        self.append_many(deliveries).await
    }
    async fn read(&self, from: u64, max_bytes: usize) -> Result<Batch> {
        Log::read(self, from, max_bytes).await
    }
    async fn wait_beyond(&self, seq: u64) -> Result<u64> {
        Log::wait_beyond(self, seq).await
    }
    fn committed(&self) -> u64 {
        Log::committed(self)
    }
    fn pin(&self, consumer: &str, next: u64) {
        Log::pin(self, consumer, next);
    }
    fn unpin(&self, consumer: &str) {
        Log::unpin(self, consumer);
    }
    async fn release(&self, up_to: u64) -> Result<u64> {
        Log::release(self, up_to).await
    }
    fn stats(&self) -> Stats {
        Log::stats(self)
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    spawn_blocking(work).await.unwrap_or(Err(LogError::Closed))
}

/// One segment at a time, the oldest first, the folder synced after each: a crash never leaves a gap.
fn release(shared: &Shared, up_to: u64) -> Result<u64> {
    let _alone = lock(&shared.maintenance);
    loop {
        let (segment, holes) = {
            let mut state = lock(&shared.state);
            let floor = state.pins.values().copied().min().unwrap_or(u64::MAX).min(up_to.saturating_add(1));
            let bytes = state.segments.iter().map(|segment| segment.length).sum();
            let Some((after, made)) = state.segments.get(1).map(|after| (after.first, after.made)) else {
                return Ok(state.first());
            };
            if after > floor || !is_beyond(&shared.options.keep, bytes, made) {
                return Ok(state.first());
            }
            let Some(segment) = state.segments.pop_front() else { return Ok(state.first()) };
            state.changed();
            let later = state.damaged.split_off(&after);
            (segment, std::mem::replace(&mut state.damaged, later))
        };
        let path = shared.path(segment.first);
        if let Err(error) = shared.files.remove(&path) {
            let mut state = lock(&shared.state);
            state.segments.push_front(segment);
            state.damaged.extend(holes);
            return Err(LogError::io("remove", &path, &error));
        }
        for (first, next) in holes {
            let _not_copied = shared.files.remove(&damaged_path(&shared.folder, first, next));
        }
        shared
            .files
            .sync_folder(&shared.folder)
            .map_err(|error| LogError::io("sync", &shared.folder, &error))?;
    }
}

/// Whether the oldest of so many bytes is to go; `until` is when its last frame had been written.
fn is_beyond(keep: &Keep, bytes: u64, until: Option<u64>) -> bool {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    bytes > keep.bytes
        || until.is_some_and(|until| now.saturating_sub(Duration::from_millis(until)) >= keep.age)
}
