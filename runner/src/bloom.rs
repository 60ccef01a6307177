//! A Bloom filter in blocks: it tells of most ids without a read that they are not there. One id's bits are all in the same eight words,
//! which about fifty ids share, so that asking costs one line of the processor's cache.

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

    /// Of the words that [`words`](Self::words) gave; without any where they would take more than `most` bytes.
    pub fn from_words(words: Vec<u64>, most: usize) -> Self {
        let filter = Self { words };
        if filter.bytes() > most || !filter.words.len().is_multiple_of(8) { Self::default() } else { filter }
    }

    /// What it is made of.
    pub fn words(&self) -> &[u64] {
        &self.words
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
