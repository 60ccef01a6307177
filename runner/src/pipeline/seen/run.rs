//! A run: message ids in order, in a file that never changes. Finding one is a look at a filter in memory, and where that says maybe, one
//! read of four kilobytes.
//!
//! The file is blocks of 4,096 bytes (170 entries of 24 bytes: the id, the delivery's number, little-endian; then their number and a
//! CRC-32C), the first half of each block's first id, the filter, and a foot of 32 bytes. It is written under another name, synced and
//! renamed, so a run that has its name is whole.

use std::{
    fs::{self, File},
    io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use super::SeenKey;
use crate::bloom::Bloom;

/// An id, and the delivery that it came in.
pub type Entry = (SeenKey, u64);

/// Bytes of an entry.
pub const ENTRY: usize = 24;
const BLOCK: usize = 4096;
const PER_BLOCK: usize = (BLOCK - 8) / ENTRY;
const FOOT: usize = 32;
const MAGIC: &[u8; 4] = b"SEEN";

/// A run that can be asked.
pub struct Run {
    /// Its number: later ones are higher.
    pub number: i64,
    /// How many ids it has.
    pub count: u64,
    /// The newest delivery that is in it.
    pub newest: u64,
    file: File,
    fences: Vec<u64>,
    filter: Bloom,
    /// The block that was read last: its place, its entries, its bytes.
    block: (Option<usize>, usize, Vec<u8>),
}

impl Run {
    /// The file of a run.
    pub fn path(folder: &Path, number: i64) -> PathBuf {
        folder.join(format!("{number:020}.run"))
    }

    /// Opens a run. Its filter may take so many bytes; a larger one is left on the disk.
    pub fn open(folder: &Path, number: i64, most: usize) -> io::Result<Self> {
        let mut file = File::open(Self::path(folder, number))?;
        let length = file.metadata()?.len();
        let mut foot = [0; FOOT];
        file.seek(SeekFrom::Start(length.checked_sub(FOOT as u64).ok_or_else(damaged)?))?;
        file.read_exact(&mut foot)?;
        let [count, newest, words] = [0, 8, 16].map(|at| number_at(&foot, at));
        let blocks = count.div_ceil(PER_BLOCK as u64);
        let wanted =
            blocks.checked_mul(BLOCK as u64 + 8).and_then(|all| all.checked_add(words.checked_mul(8)?));
        if &foot[24..28] != MAGIC || wanted.and_then(|all| all.checked_add(FOOT as u64)) != Some(length) {
            return Err(damaged());
        }
        file.seek(SeekFrom::Start(blocks * BLOCK as u64))?;
        let mut tail = BufReader::new(Summed::new((&file).take((blocks + words) * 8)));
        let mut fences = vec![0; blocks as usize];
        for fence in &mut fences {
            let mut eight = [0; 8];
            tail.read_exact(&mut eight)?;
            *fence = u64::from_le_bytes(eight);
        }
        let filter = Bloom::read(&mut tail, words as usize * 8, most)?;
        if foot[28..] != crc32c::crc32c_append(tail.get_ref().sum, &foot[..28]).to_le_bytes() {
            return Err(damaged());
        }
        Ok(Self { number, count, newest, file, fences, filter, block: (None, 0, vec![0; BLOCK]) })
    }

    /// Bytes of memory that its filter takes.
    pub fn weight(&self) -> usize {
        self.filter.bytes()
    }

    /// The delivery that the id came in, if it is here. Ask in order: neighbours share a read.
    pub fn find(&mut self, key: &SeenKey) -> io::Result<Option<u64>> {
        if !self.filter.may_have(number_at(key, 0), number_at(key, 8)) {
            return Ok(None);
        }
        let half = half(key);
        let behind = self.fences.partition_point(|fence| *fence < half);
        let mut block = behind.saturating_sub(1);
        while self.fences.get(block).is_some_and(|fence| *fence <= half) {
            let entries = self.read(block)?;
            if let Ok(place) = entries.binary_search_by(|entry| entry[..16].cmp(key)) {
                return Ok(Some(number_at(&entries[place], 16)));
            }
            block += 1;
        }
        Ok(None)
    }

    fn read(&mut self, block: usize) -> io::Result<&[[u8; ENTRY]]> {
        let (at, count, bytes) = &mut self.block;
        if *at != Some(block) {
            *at = None;
            self.file.seek(SeekFrom::Start((block * BLOCK) as u64))?;
            self.file.read_exact(bytes)?;
            *count = check(bytes)?;
            *at = Some(block);
        }
        Ok(&bytes.as_chunks().0[..*count])
    }
}

/// Reads a whole run in its order.
pub struct Reader {
    file: BufReader<File>,
    left: u64,
    block: Vec<u8>,
    count: usize,
    at: usize,
}

impl Reader {
    /// From a run's start.
    pub fn open(folder: &Path, number: i64, count: u64) -> io::Result<Self> {
        let file = BufReader::with_capacity(16 * BLOCK, File::open(Run::path(folder, number))?);
        Ok(Self { file, left: count, block: vec![0; BLOCK], count: 0, at: PER_BLOCK })
    }

    /// The next entry; none at the end.
    pub fn next(&mut self) -> io::Result<Option<Entry>> {
        if self.left == 0 {
            return Ok(None);
        }
        if self.at >= PER_BLOCK {
            self.file.read_exact(&mut self.block)?;
            self.count = check(&self.block)?;
            self.at = 0;
        }
        let entries = &self.block.as_chunks::<ENTRY>().0[..self.count];
        let entry = entries.get(self.at).ok_or_else(damaged)?;
        let mut key = [0; 16];
        key.copy_from_slice(&entry[..16]);
        self.at += 1;
        self.left -= 1;
        Ok(Some((key, number_at(entry, 16))))
    }
}

/// Writes a run.
pub struct Writer {
    folder: PathBuf,
    number: i64,
    file: BufWriter<File>,
    block: Vec<u8>,
    fences: Vec<u64>,
    filter: Bloom,
    count: u64,
    newest: u64,
}

impl Writer {
    /// A run of at most `count` ids.
    pub fn new(folder: &Path, number: i64, count: u64, most: usize) -> io::Result<Self> {
        let draft = Run::path(folder, number).with_extension("new");
        Ok(Self {
            folder: folder.to_owned(),
            number,
            file: BufWriter::with_capacity(64 * BLOCK, File::create(draft)?),
            block: Vec::with_capacity(BLOCK),
            fences: Vec::new(),
            filter: Bloom::new(count, most),
            count: 0,
            newest: 0,
        })
    }

    /// Adds the next id in the order.
    pub fn push(&mut self, (key, seq): &Entry) -> io::Result<()> {
        if self.block.is_empty() {
            self.fences.push(half(key));
        }
        self.block.extend_from_slice(key);
        self.block.extend_from_slice(&seq.to_le_bytes());
        self.filter.add(number_at(key, 0), number_at(key, 8));
        self.count += 1;
        self.newest = self.newest.max(*seq);
        if self.block.len() == PER_BLOCK * ENTRY { self.end_block() } else { Ok(()) }
    }

    fn end_block(&mut self) -> io::Result<()> {
        let count = (self.block.len() / ENTRY) as u32;
        self.block.resize(BLOCK - 8, 0);
        self.block.extend_from_slice(&count.to_le_bytes());
        let crc = crc32c::crc32c(&self.block);
        self.block.extend_from_slice(&crc.to_le_bytes());
        self.file.write_all(&self.block)?;
        self.block.clear();
        Ok(())
    }

    /// Gives the run its name once it is on the disk.
    pub fn finish(mut self) -> io::Result<()> {
        if !self.block.is_empty() {
            self.end_block()?;
        }
        let mut tail = BufWriter::new(Summed::new(&mut self.file));
        self.fences.iter().try_for_each(|fence| tail.write_all(&fence.to_le_bytes()))?;
        self.filter.write(&mut tail)?;
        let sum = tail.into_inner().map_err(io::IntoInnerError::into_error)?.sum;
        let mut foot = Vec::with_capacity(FOOT);
        for number in [self.count, self.newest, self.filter.bytes() as u64 / 8] {
            foot.extend_from_slice(&number.to_le_bytes());
        }
        foot.extend_from_slice(MAGIC);
        let crc = crc32c::crc32c_append(sum, &foot);
        foot.extend_from_slice(&crc.to_le_bytes());
        self.file.write_all(&foot)?;
        self.file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        let path = Run::path(&self.folder, self.number);
        fs::rename(path.with_extension("new"), &path)?;
        #[cfg(unix)]
        File::open(&self.folder)?.sync_all()?;
        Ok(())
    }
}

/// Passes bytes on, and sums them up on the way: what is long is never in memory as a whole for it.
struct Summed<T> {
    inner: T,
    sum: u32,
}

impl<T> Summed<T> {
    fn new(inner: T) -> Self {
        Self { inner, sum: 0 }
    }
}

impl<T: Read> Read for Summed<T> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(into)?;
        self.sum = crc32c::crc32c_append(self.sum, &into[..read]);
        Ok(read)
    }
}

impl<T: Write> Write for Summed<T> {
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(from)?;
        self.sum = crc32c::crc32c_append(self.sum, &from[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// How many entries a block has, if it is as it was written.
fn check(block: &[u8]) -> io::Result<usize> {
    let (body, foot) = block.split_at(BLOCK - 4);
    let count = number_at(block, BLOCK - 8) as u32 as usize;
    if foot == crc32c::crc32c(body).to_le_bytes() && count <= PER_BLOCK { Ok(count) } else { Err(damaged()) }
}

fn damaged() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a run of seen messages is damaged")
}

/// The half of an id that fences are made of, in the ids' order.
fn half(key: &SeenKey) -> u64 {
    number_at(key, 0).swap_bytes()
}

fn number_at(bytes: &[u8], at: usize) -> u64 {
    let mut eight = [0; 8];
    eight.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(eight)
}
