//! What has been received, kept on disk before it is answered: an append-only log, used for the inbox (deliveries)
//! and for the calls log.
//!
//! The one idea: a frame is acknowledged only after `fdatasync`, many waiters share one `fdatasync`, and whatever
//! a crash leaves behind is cut or set aside when the log is opened, so that readers see whole frames in order.
//! Start with [`Log`]; `frame.rs` is the format, `writer.rs` the only place that appends, `recover.rs` the opening.

use std::{fmt, io, path::Path, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;

pub mod delivery;
pub mod files;
mod frame;
mod log;
mod reader;
mod recover;
mod scan;
mod state;
#[doc(hidden)]
pub mod testdisk;
mod truncate;
mod writer;

#[cfg(test)]
mod tests;

pub use delivery::{DeliveryKind, StoredDelivery};
pub use files::{DiskFiles, Files};
pub use log::Log;

/// The result of anything that a log does.
pub type Result<T, E = LogError> = std::result::Result<T, E>;

/// Where deliveries are kept until everything has been made of them.
#[async_trait]
pub trait Inbox: Send + Sync {
    /// Keeps a delivery ([`StoredDelivery::draft`]) and returns its sequence number. It is on disk then.
    async fn put(&self, delivery: Entry) -> Result<u64>;
    /// Keeps several, all or none, and returns the last one's sequence number.
    async fn put_all(&self, deliveries: Vec<Bytes>) -> Result<u64>;
    /// Reads on from a sequence number: about `max_bytes`, at least one frame where there is one. Go on at
    /// [`Batch::next`].
    async fn read(&self, from: u64, max_bytes: usize) -> Result<Batch>;
    /// Waits until something newer than `seq` is kept, and returns the newest.
    async fn wait_beyond(&self, seq: u64) -> Result<u64>;
    /// The newest sequence number that is kept; 0 before the first.
    fn committed(&self) -> u64;
    /// A consumer still needs everything from `next` on; its position is its own to store.
    fn pin(&self, consumer: &str, next: u64);
    /// A consumer is gone.
    fn unpin(&self, consumer: &str);
    /// Removes what is older than `up_to` (included), that no consumer has pinned, and that is beyond the limits of
    /// [`Options::keep`]; whole segments only. Returns the first sequence number still there.
    async fn release(&self, up_to: u64) -> Result<u64>;
    /// How much there is.
    fn stats(&self) -> Stats;
}

/// How a log is kept.
#[derive(Clone, Debug)]
pub struct Options {
    /// The largest body of a frame, in bytes.
    pub max_frame: usize,
    /// A segment that has come to so many bytes is followed by the next.
    pub segment: u64,
    /// So many bytes may wait for the disk; more are refused as [`LogError::Overloaded`].
    pub waiting: usize,
    /// So many bytes are written at once, where more are waiting.
    pub commit: usize,
    /// Appends are refused while the disk has less free than this.
    pub low_disk: u64,
    /// How long released segments stay.
    pub keep: Keep,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            max_frame: 16 << 20,
            segment: 64 << 20,
            waiting: 64 << 20,
            commit: 8 << 20,
            low_disk: 64 << 20,
            keep: Keep::default(),
        }
    }
}

/// Upper limits of what stays although everybody is done with it. A segment beyond either goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// So many bytes of the newest segments.
    pub bytes: u64,
    /// For so long.
    pub age: Duration,
}

impl Default for Keep {
    /// For ever.
    fn default() -> Self {
        Self { bytes: u64::MAX, age: Duration::MAX }
    }
}

/// A frame to be appended.
#[derive(Clone, Debug, Default)]
pub struct Entry {
    /// The owner's flags: the upper four bits. The lower four are the log's own.
    pub flags: u8,
    /// The key that the body is encrypted with; 0 for none.
    pub key: u16,
    /// What is kept: these bytes,
    pub head: Bytes,
    /// and these behind them. Two parts, so that a large body need not be copied to get something before it.
    pub body: Bytes,
}

impl Entry {
    /// The length of what is kept, in bytes.
    pub fn length(&self) -> usize {
        self.head.len() + self.body.len()
    }
}

impl<B: Into<Bytes>> From<B> for Entry {
    fn from(body: B) -> Self {
        Self { body: body.into(), ..Self::default() }
    }
}

/// A frame that has been read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Its sequence number: 1 for the first, and so on.
    pub seq: u64,
    /// As in [`Entry::flags`].
    pub flags: u8,
    /// As in [`Entry::key`].
    pub key: u16,
    /// All that is kept of the [`Entry`]; a slice of the bytes that were read with it.
    pub body: Bytes,
}

/// What one read brought.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// Whole frames, in order.
    pub frames: Vec<Frame>,
    /// Where to go on. It may have moved although there are no frames: over damaged ones.
    pub next: u64,
    /// Frames on the way that can no longer be read.
    pub damaged: u64,
    /// Frames on the way that had been removed before this reader came to them.
    pub expired: u64,
}

/// How much a log holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Frames that can be read, as far as is known: damage is found by reading.
    pub frames: u64,
    /// Bytes of all segments.
    pub bytes: u64,
    /// Segments.
    pub segments: u64,
    /// Frames known to be damaged, in the segments that are still kept.
    pub damaged: u64,
    /// Segments whose header could not be read; their frames can.
    pub damaged_headers: u64,
    /// The first sequence number that is kept.
    pub first: u64,
    /// The last one; `first - 1` in an empty log.
    pub last: u64,
    /// Bytes that wait for the disk.
    pub waiting: u64,
}

/// Why a log could not do it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogError {
    /// Too much is waiting for the disk.
    Overloaded,
    /// The disk is full, or nearly so.
    DiskFull,
    /// The frame, or the frames that belong together, are larger than the log takes.
    TooLarge {
        /// Their size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The log has been closed, or its writer has ended.
    Closed,
    /// The disk failed: what was tried, where, and what the system said.
    Io(String),
    /// The system gives no thread to work on: what to do.
    Thread(String),
}

impl LogError {
    /// Whether the same append may succeed later.
    pub fn is_temporary(&self) -> bool {
        !matches!(self, Self::TooLarge { .. })
    }

    fn io(what: &str, path: &Path, error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull,
            _ => Self::Io(format!("cannot {what} {}: {error}", path.display())),
        }
    }
}

impl fmt::Display for LogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Overloaded => f.write_str("too much is waiting for the disk; try again in a moment"),
            Self::DiskFull => f.write_str("the disk of data_dir is full; make room, or keep less"),
            Self::TooLarge { bytes, limit } => {
                write!(f, "{bytes} bytes are more than the log takes at once ({limit}); send less at once")
            }
            Self::Closed => f.write_str("the log is closed; start headwater again"),
            Self::Io(what) => write!(f, "{what}; check the disk"),
            Self::Thread(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for LogError {}

impl From<LogError> for headwater_core::error::Error {
    fn from(error: LogError) -> Self {
        Self::transient(error.to_string())
    }
}
