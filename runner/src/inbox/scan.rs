//! Reading a segment frame by frame, over damage: what is not whole is reported as a hole, and reading goes on at
//! the next frame that is.

use std::{io, path::PathBuf, sync::Arc};

use bytes::Bytes;

use super::{
    Frame,
    files::Files,
    frame::{self, Claim, OVERHEAD},
};

/// A search for the next whole frame gives up after checking so many bytes: a body full of things that look like
/// frames costs no more.
const SEARCH_LIMIT: usize = 1 << 30;
/// The size of a block that is given up when the disk cannot read it.
const BLOCK: usize = 4096;
/// The system's number of "input/output error".
pub const EIO: i32 = 5;

/// A part of a segment, being read.
pub struct Scan {
    files: Arc<dyn Files>,
    path: PathBuf,
    salt: u32,
    /// The offset of the next frame.
    at: u64,
    /// Its sequence number, if nothing is missing.
    seq: u64,
    /// Where to stop: this offset, …
    end: u64,
    /// … and this sequence number, neither of them included.
    limit: u64,
    /// How much is read at once.
    chunk: usize,
    window: Bytes,
    window_at: u64,
}

/// What came next.
pub enum Step {
    /// A whole frame: its offset, the length of all of it, and all its flags.
    Frame {
        /// The frame.
        frame: Frame,
        /// The log's own flags included.
        flags: u8,
        /// Its offset.
        at: u64,
        /// The offset behind it.
        end: u64,
    },
    /// Something that is no frame.
    Hole(Hole),
    /// The end.
    End,
}

/// Frames that cannot be read, and where they would be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hole {
    /// The first that is missing.
    pub first: u64,
    /// The next that is there.
    pub next: u64,
    /// The offset of the first damaged byte.
    pub from: u64,
    /// The offset of the next good one.
    pub to: u64,
}

impl Scan {
    /// Reads from offset `at`, where frame `seq` is expected, up to offset `end` and frame `limit`.
    pub fn new(
        files: &Arc<dyn Files>,
        path: PathBuf,
        salt: u32,
        at: u64,
        seq: u64,
        end: u64,
        limit: u64,
    ) -> Self {
        let (files, window) = (Arc::clone(files), Bytes::new());
        Self { files, path, salt, at, seq, end, limit, chunk: 1 << 20, window, window_at: 0 }
    }

    /// Reads so many bytes at once, where frames are not larger.
    pub fn chunk(mut self, bytes: usize) -> Self {
        self.chunk = bytes.clamp(4 << 10, 4 << 20);
        self
    }

    /// The offset that the next step looks at.
    pub fn offset(&self) -> u64 {
        self.at
    }

    /// Reads the next frame, or finds that there is none.
    pub fn step(&mut self) -> io::Result<Step> {
        if self.seq >= self.limit {
            return Ok(Step::End);
        }
        if self.at >= self.end && self.limit == u64::MAX {
            return Ok(Step::End);
        }
        let here = self.at;
        match self.whole_at(here, &mut SEARCH_LIMIT.clone())? {
            Some(claim) if claim.seq == self.seq => {
                let bytes = self.bytes(here, claim.total)?;
                self.at = here + claim.total as u64;
                self.seq = claim.seq + 1;
                let frame = frame::frame(&bytes, &claim);
                Ok(Step::Frame { frame, flags: claim.flags, at: here, end: self.at })
            }
            // Whole, and later than it should be: what was between is missing.
            Some(claim) if claim.seq > self.seq && claim.seq < self.limit => {
                Ok(self.hole(here, here, claim.seq))
            }
            _ => match self.search()? {
                Some((to, seq)) => Ok(self.hole(here, to, seq)),
                None => Ok(self.hole(here, self.end, self.limit)),
            },
        }
    }

    fn hole(&mut self, from: u64, to: u64, next: u64) -> Step {
        let hole = Hole { first: self.seq, next, from, to };
        self.at = to;
        self.seq = next;
        Step::Hole(hole)
    }

    /// Looks behind a damaged frame for the next whole one.
    fn search(&mut self) -> io::Result<Option<(u64, u64)>> {
        let mut left = SEARCH_LIMIT;
        let bad = self.at;
        // If only its body is damaged, the frame still says where the next one is. That place comes first, because
        // nothing inside a body may be taken for a frame.
        if let Some(claim) = self.claim_at(bad)?.filter(|claim| claim.seq == self.seq) {
            let next = bad + claim.total as u64;
            if let Some(found) = self.whole_at(next, &mut left)?
                && found.seq == self.seq + 1
                && found.seq < self.limit
            {
                return Ok(Some((next, found.seq)));
            }
        }
        let mut at = bad + 1;
        while at + OVERHEAD as u64 <= self.end && left > 0 {
            if self.could_be(bad, at)?
                && let Some(found) = self.whole_at(at, &mut left)?
            {
                return Ok(Some((at, found.seq)));
            }
            at += 1;
        }
        Ok(None)
    }

    /// Whether the frame at `at` could follow the one at `bad`: at least twenty bytes were spent on each between.
    fn could_be(&mut self, bad: u64, at: u64) -> io::Result<bool> {
        let most = self.seq.saturating_add((at - bad) / OVERHEAD as u64 + 1);
        let (seq, limit) = (self.seq, self.limit);
        Ok(self.claim_at(at)?.is_some_and(|claim| claim.seq > seq && claim.seq <= most && claim.seq < limit))
    }

    fn claim_at(&mut self, at: u64) -> io::Result<Option<Claim>> {
        if at.saturating_add(OVERHEAD as u64) > self.end {
            return Ok(None);
        }
        self.fill(at, OVERHEAD)?;
        let claim = Claim::parse(&self.window[(at - self.window_at) as usize..]);
        Ok(claim.filter(|claim| claim.total as u64 <= self.end - at))
    }

    fn whole_at(&mut self, at: u64, left: &mut usize) -> io::Result<Option<Claim>> {
        let Some(claim) = self.claim_at(at)? else { return Ok(None) };
        if claim.total > *left {
            *left = 0;
            return Ok(None);
        }
        *left -= claim.total;
        let bytes = self.bytes(at, claim.total)?;
        Ok(frame::is_whole(&bytes, &claim, self.salt).then_some(claim))
    }

    fn bytes(&mut self, at: u64, length: usize) -> io::Result<Bytes> {
        self.fill(at, length)?;
        let start = (at - self.window_at) as usize;
        Ok(self.window.slice(start..start + length))
    }

    /// Makes the window hold so many bytes from an offset; the caller has checked that they end before `end`.
    fn fill(&mut self, at: u64, length: usize) -> io::Result<()> {
        let held = self.window_at + self.window.len() as u64;
        if at >= self.window_at && at + length as u64 <= held {
            return Ok(());
        }
        let wanted = length.max(self.chunk).min((self.end - at) as usize);
        let mut bytes = match self.files.read(&self.path, at, wanted) {
            Err(error) if error.raw_os_error() == Some(EIO) => self.blocks(at, wanted)?,
            read => read?,
        };
        // A file that has become shorter is damaged like any other: zeros are no frame.
        bytes.resize(wanted, 0);
        self.window = bytes.into();
        self.window_at = at;
        Ok(())
    }

    /// Reads block by block where the disk fails; blocks that it cannot read become zeros.
    fn blocks(&self, at: u64, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(length);
        while bytes.len() < length {
            let (offset, size) = (at + bytes.len() as u64, BLOCK.min(length - bytes.len()));
            let mut block = match self.files.read(&self.path, offset, size) {
                Err(error) if error.raw_os_error() == Some(EIO) => Vec::new(),
                read => read?,
            };
            block.resize(size, 0);
            bytes.append(&mut block);
        }
        Ok(bytes)
    }
}
