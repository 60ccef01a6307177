//! Gzip, unpacked as it comes.

use std::io::Write;

use bytes::{Buf, Bytes};
use flate2::write::MultiGzDecoder;

use crate::error::{Error, Result};

/// What a gzip file begins with.
pub(super) const MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Unpacks chunks; those of an answer that is not packed after all (some stores undo it on the way) stay as they are.
pub(crate) enum Unpack {
    /// Too little has come to tell.
    Begun(Vec<u8>),
    Plain,
    Gzip {
        decoder: Box<MultiGzDecoder<Vec<u8>>>,
        /// Still packed.
        rest: Bytes,
    },
}

impl Unpack {
    pub fn new() -> Self {
        Self::Begun(Vec::new())
    }

    /// Takes a chunk. Returns what it brings at once; the rest of it, [`next`](Self::next).
    pub fn push(&mut self, chunk: Bytes) -> Result<Option<Bytes>> {
        match self {
            Self::Plain => Ok(Some(chunk)),
            Self::Gzip { rest, .. } => {
                *rest = chunk;
                self.next()
            }
            Self::Begun(start) => {
                start.extend_from_slice(&chunk);
                if start.len() < MAGIC.len() {
                    return Ok(None);
                }
                let rest = Bytes::from(std::mem::take(start));
                *self = match rest.starts_with(&MAGIC) {
                    false => Self::Plain,
                    true => {
                        let decoder = Box::new(MultiGzDecoder::new(Vec::new()));
                        Self::Gzip { decoder, rest: Bytes::new() }
                    }
                };
                self.push(rest)
            }
        }
    }

    /// More of the chunk that was pushed last: small parts, for a little of it may unpack to a lot.
    pub fn next(&mut self) -> Result<Option<Bytes>> {
        let Self::Gzip { decoder, rest } = self else { return Ok(None) };
        while !rest.is_empty() {
            let taken = decoder.write(rest).map_err(|error| damaged(&error))?;
            rest.advance(taken);
            let out = std::mem::take(decoder.get_mut());
            if !out.is_empty() {
                return Ok(Some(out.into()));
            }
            if taken == 0 {
                return Err(damaged(&"nothing of it can be read"));
            }
        }
        Ok(None)
    }

    /// Nothing more comes: the last of it.
    pub fn finish(&mut self) -> Result<Option<Bytes>> {
        let out = match self {
            Self::Plain => Vec::new(),
            Self::Begun(start) => std::mem::take(start),
            Self::Gzip { decoder, .. } => {
                decoder.try_finish().map_err(|error| damaged(&error))?;
                std::mem::take(decoder.get_mut())
            }
        };
        Ok(Some(out.into()).filter(|out: &Bytes| !out.is_empty()))
    }
}

/// A transfer was cut; asking again may help.
pub(super) fn damaged(error: &dyn std::fmt::Display) -> Error {
    Error::transient(format!("the gzip file is cut or damaged: {error}"))
}

#[cfg(test)]
mod tests {
    use flate2::{Compression, write::GzEncoder};

    use super::*;

    fn pack(bytes: &[u8]) -> Vec<u8> {
        let mut to = GzEncoder::new(Vec::new(), Compression::best());
        to.write_all(bytes).unwrap();
        to.finish().unwrap()
    }

    /// All that comes of `packed` in chunks of so many bytes, and the largest part of it.
    fn unpack(packed: &[u8], size: usize) -> Result<(Vec<u8>, usize)> {
        let (mut unpack, mut all, mut largest) = (Unpack::new(), Vec::new(), 0);
        let mut add = |part: Bytes| {
            largest = largest.max(part.len());
            all.extend_from_slice(&part);
        };
        for chunk in packed.chunks(size) {
            let mut part = unpack.push(Bytes::copy_from_slice(chunk))?;
            while let Some(bytes) = part {
                add(bytes);
                part = unpack.next()?;
            }
        }
        unpack.finish()?.into_iter().for_each(&mut add);
        Ok((all, largest))
    }

    #[test]
    fn it_does_not_matter_how_it_comes() {
        let text: Vec<u8> = (0..50_000).flat_map(|n| format!("{n},").into_bytes()).collect();
        let packed = [pack(&text), pack(b"second")].concat();
        let whole = [&text[..], b"second"].concat();
        for size in [1, 7, 1000, packed.len()] {
            assert_eq!(unpack(&packed, size).unwrap().0, whole, "{size}");
            assert_eq!(unpack(&text, size).unwrap().0, text, "{size}");
        }
        assert_eq!(unpack(b"x", 1).unwrap().0, b"x");
        assert!(unpack(b"", 1).unwrap().0.is_empty());
    }

    #[test]
    fn a_bomb_comes_in_small_parts() {
        let (all, largest) = unpack(&pack(&vec![0; 20 << 20]), 1 << 20).unwrap();
        assert!(all.len() == 20 << 20 && largest <= 1 << 20, "{largest}");
    }

    #[test]
    fn what_is_cut_or_damaged_is_asked_for_again() {
        let mut packed = pack(&[b'a'; 5000]);
        for cut in [3, packed.len() / 2, packed.len() - 1] {
            assert!(unpack(&packed[..cut], 5).unwrap_err().kind().is_temporary(), "{cut}");
        }
        let middle = packed.len() / 2;
        packed[middle] ^= 0xff;
        assert!(unpack(&packed, 5).is_err());
    }
}
