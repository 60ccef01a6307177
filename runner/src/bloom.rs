//! A Bloom filter in blocks: it tells of most ids without a read that they are not there. One id's bits are all in the same eight words,
//! which about fifty ids share, so that asking costs one line of the processor's cache.

use std::io::{self, Read, Write};

/// Bits for each id: one of about fifty unknown ids is said to be there, perhaps.
const BITS: usize = 10;

/// See the module. Without words it always says perhaps.
#[derive(Debug, Default)]
pub struct Bloom {
    words: Vec<u64>,
}

impl Bloom {
    /// For so many ids; without words where these would take more than `most` bytes.
    pub fn new(count: u64, most: usize) -> Self {
        let groups = (count as usize * BITS).div_ceil(512).max(1);
        Self { words: if groups * 64 > most { Vec::new() } else { vec![0; groups * 8] } }
    }

    /// What [`write`](Self::write) wrote, in so many bytes; without words where they would take more than `most` bytes.
    pub fn read(mut from: impl Read, bytes: usize, most: usize) -> io::Result<Self> {
        if bytes > most || !bytes.is_multiple_of(64) {
            return io::copy(&mut from.take(bytes as u64), &mut io::sink()).map(|_| Self::default());
        }
        let mut words = vec![0; bytes / 8];
        for word in &mut words {
            let mut eight = [0; 8];
            from.read_exact(&mut eight)?;
            *word = u64::from_le_bytes(eight);
        }
        Ok(Self { words })
    }

    /// Writes its words, eight bytes each, the lowest first; give it something that gathers them.
    pub fn write(&self, mut to: impl Write) -> io::Result<()> {
        self.words.iter().try_for_each(|word| to.write_all(&word.to_le_bytes()))?;
        to.flush()
    }

    /// Bytes of memory that it takes.
    pub fn bytes(&self) -> usize {
        self.words.len() * 8
    }

    /// Adds an id, of whose two halves each is as random as the other.
    pub fn add(&mut self, one: u64, other: u64) {
        if self.words.is_empty() {
            return;
        }
        let (group, bits) = self.place(one, other);
        for (word, bit) in bits {
            self.words[group + word] |= bit;
        }
    }

    /// Whether an id may have been added.
    pub fn may_have(&self, one: u64, other: u64) -> bool {
        if self.words.is_empty() {
            return true;
        }
        let (group, bits) = self.place(one, other);
        bits.iter().all(|(word, bit)| self.words[group + word] & bit != 0)
    }

    /// The group of an id, and its bits in the words of the group.
    fn place(&self, one: u64, other: u64) -> (usize, [(usize, u64); 5]) {
        let groups = (self.words.len() / 8) as u128;
        let group = ((u128::from(other) * groups) >> 64) as usize;
        let bit = |n: usize| {
            let nine = (one >> (n * 9)) as usize & 511;
            (nine >> 6, 1 << (nine & 63))
        };
        (group * 8, [bit(0), bit(1), bit(2), bit(3), bit(4)])
    }
}
