//! The format: a segment is a header and frames; every byte of both is under a CRC-32C.
//!
//! All numbers are little-endian.
//!
//! | header | bytes | | frame | bytes |
//! |---|---|---|---|---|
//! | magic `HEADWLOG` | 8 | | length of the body | 4 |
//! | version | 4 | | version | 1 |
//! | salt | 4 | | flags | 1 |
//! | first sequence number | 8 | | key id | 2 |
//! | made at, ms since 1970 | 8 | | sequence number | 8 |
//! | reserved | 4 | | CRC of salt, the fields above, body | 4 |
//! | CRC of the above | 4 | | body | length |
//!
//! The salt is a random number of the log, the same in all its segments. Bodies come from outside: without the salt
//! a sender could put a frame into a body, to be taken for a real one when the bytes around it are damaged.

use bytes::Bytes;

use super::{Entry, Frame};

/// The length of a segment's header.
pub const HEADER: u64 = 40;
/// The length of a frame without its body.
pub const OVERHEAD: usize = 20;
/// The first frame of a commit. What lies before it in its segment had been synced before it was written.
pub const BEGINS: u8 = 0b0001;
/// The next frame belongs to this one: both are there, or neither.
pub const GOES_ON: u8 = 0b0010;
/// The flags that are the log's own.
pub const OWN: u8 = 0b1111;

const MAGIC: &[u8; 8] = b"HEADWLOG";
const SEGMENT_VERSION: u32 = 1;
const FRAME_VERSION: u8 = 1;

/// A segment's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The log's random number.
    pub salt: u32,
    /// The sequence number of its first frame.
    pub first: u64,
    /// When it was made, in milliseconds since 1970.
    pub made: u64,
}

impl Header {
    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER as usize);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&SEGMENT_VERSION.to_le_bytes());
        out.extend_from_slice(&self.salt.to_le_bytes());
        out.extend_from_slice(&self.first.to_le_bytes());
        out.extend_from_slice(&self.made.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        let crc = crc32c::crc32c(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        out
    }

    /// Reads it, if it is whole.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.get(..HEADER as usize)?;
        let whole = bytes.starts_with(MAGIC)
            && u32_at(bytes, 8)? == SEGMENT_VERSION
            && u32_at(bytes, 36)? == crc32c::crc32c(bytes.get(..36)?);
        whole.then_some(())?;
        Some(Self { salt: u32_at(bytes, 12)?, first: u64_at(bytes, 16)?, made: u64_at(bytes, 24)? })
    }
}

/// Appends a frame's bytes to `out`.
pub fn encode(out: &mut Vec<u8>, salt: u32, seq: u64, own: u8, entry: &Entry) {
    let start = out.len();
    out.extend_from_slice(&(entry.length() as u32).to_le_bytes());
    out.push(FRAME_VERSION);
    out.push((entry.flags & !OWN) | own);
    out.extend_from_slice(&entry.key.to_le_bytes());
    out.extend_from_slice(&seq.to_le_bytes());
    let crc = crc32c::crc32c_append(crc(salt, &out[start..], &entry.head), &entry.body);
    out.extend_from_slice(&crc.to_le_bytes());
    out.extend_from_slice(&entry.head);
    out.extend_from_slice(&entry.body);
}

/// What a frame says of itself, before anything is proven.
#[derive(Clone, Copy, Debug)]
pub struct Claim {
    /// The length of the whole frame.
    pub total: usize,
    /// All flags.
    pub flags: u8,
    /// Its sequence number.
    pub seq: u64,
}

impl Claim {
    /// Reads it; none if there is no frame of this version here.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.get(..OVERHEAD)?;
        (bytes[4] == FRAME_VERSION).then_some(())?;
        let total = (u32_at(bytes, 0)? as usize).checked_add(OVERHEAD)?;
        Some(Self { total, flags: bytes[5], seq: u64_at(bytes, 8)? })
    }
}

/// Whether the frame that these bytes begin with (its claim is given) is as it was written.
pub fn is_whole(bytes: &[u8], claim: &Claim, salt: u32) -> bool {
    let (Some(fields), Some(body)) = (bytes.get(..16), bytes.get(OVERHEAD..claim.total)) else {
        return false;
    };
    u32_at(bytes, 16) == Some(crc(salt, fields, body))
}

/// The frame, its body a slice of `bytes`; only for one that is whole.
pub fn frame(bytes: &Bytes, claim: &Claim) -> Frame {
    Frame {
        seq: claim.seq,
        flags: claim.flags & !OWN,
        key: u16::from_le_bytes([bytes[6], bytes[7]]),
        body: bytes.slice(OVERHEAD..claim.total),
    }
}

fn crc(salt: u32, fields: &[u8], body: &[u8]) -> u32 {
    let crc = crc32c::crc32c(&salt.to_le_bytes());
    crc32c::crc32c_append(crc32c::crc32c_append(crc, fields), body)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}
