//! A stream of bytes, cut into pieces of whole records. Where it is cut depends on the bytes alone, not on how they
//! come: so a place in an answer means the same whenever it is asked for again.

use std::collections::VecDeque;

use bytes::{Buf, Bytes, BytesMut};

use super::{
    lines,
    list::List,
    rows::{RowEnds, convert, header},
};
use crate::{
    error::{Error, Kind, Result},
    http::body::too_large,
    object::Format,
    record::{Raw, Record},
};

/// One record of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    /// Its first byte.
    pub from: u64,
    /// Behind its last.
    pub to: u64,
    /// Behind its line end, if it needs one.
    pub end: u64,
}

/// Cuts a stream of records.
pub(crate) struct Cutter {
    scanner: Scanner,
    /// What has been scanned and not taken, and where it begins.
    buffer: BytesMut,
    base: u64,
    scanned: u64,
    /// Whole records, not yet taken.
    found: VecDeque<Span>,
    /// Where the last record that was taken ends.
    offset: u64,
    /// So many records were taken.
    pub taken: u64,
    ended: bool,
    /// How large a record may be, and all that stands around a list.
    most: usize,
}

enum Scanner {
    Lines { from: Option<u64> },
    Rows { ends: RowEnds, columns: Option<Vec<String>> },
    List { list: List, path: String },
}

/// Some records of a stream.
pub(crate) struct Cut {
    pub records: Vec<Record>,
    /// A digest of the last record: whoever comes back here should find the same one before.
    pub last: u32,
    /// Nothing is left behind them.
    pub is_last: bool,
}

impl Cutter {
    /// A cutter for records of this format, if they can be cut out of a stream.
    pub fn new(format: &Format, path: &str, most: usize) -> Option<Self> {
        let scanner = match format {
            Format::Ndjson => Scanner::Lines { from: None },
            Format::Csv => Scanner::Rows { ends: RowEnds::default(), columns: None },
            Format::Json => Scanner::List { list: List::new(path)?, path: path.to_owned() },
            Format::Gzip(inner) if !matches!(**inner, Format::Gzip(_)) => {
                return Self::new(inner, path, most);
            }
            Format::Xml | Format::Gzip(_) | Format::Tar(_) => return None,
        };
        Some(Self {
            scanner,
            buffer: BytesMut::new(),
            base: 0,
            scanned: 0,
            found: VecDeque::new(),
            offset: 0,
            taken: 0,
            ended: false,
            most,
        })
    }

    /// Takes what comes next.
    pub fn push(&mut self, chunk: &[u8]) -> Result<()> {
        if self.found.is_empty() && self.pending().is_none() {
            self.buffer.clear();
            self.base = self.scanned;
        }
        self.buffer.extend_from_slice(chunk);
        let at = self.scanned;
        self.scanned += chunk.len() as u64;
        match &mut self.scanner {
            Scanner::Lines { from } => scan_lines(from, chunk, at, &mut self.found),
            Scanner::Rows { ends, .. } => ends.scan(chunk, at, &mut self.found),
            Scanner::List { list, .. } => {
                list.scan(chunk, at, &mut self.found)?;
                if list.document.len() > self.most {
                    return Err(too_large(self.most));
                }
            }
        }
        self.take_header()?;
        match self.pending() {
            Some(from) if self.scanned - from > self.most as u64 => Err(too_large(self.most)),
            _ => Ok(()),
        }
    }

    /// Nothing more comes.
    pub fn finish(&mut self) -> Result<()> {
        if std::mem::replace(&mut self.ended, true) {
            return Ok(());
        }
        let at = self.scanned;
        match &mut self.scanner {
            Scanner::Lines { from } => {
                self.found.extend(from.take().map(|from| Span { from, to: at, end: at }))
            }
            Scanner::Rows { ends, .. } => self.found.extend(ends.finish(at)?),
            Scanner::List { list, path } => {
                Raw::parse(&Bytes::copy_from_slice(&list.document))?;
                // No list was met: what else stands there is for the whole document to say.
                if self.taken == 0 && self.found.is_empty() {
                    let lone = Record::split(&Bytes::copy_from_slice(&list.document), path)?;
                    if lone.len() > 1 {
                        return Err(Error::unexpected(format!("the answer has more than one {path}")));
                    }
                    if let Some(record) = lone.first() {
                        self.buffer = record.bytes().as_ref().into();
                        self.base = at;
                        let end = at + record.bytes().len() as u64;
                        self.found.push_back(Span { from: at, to: end, end });
                    }
                }
            }
        }
        self.take_header()
    }

    /// The next piece: as many records as end within `size` bytes behind the last one that was taken, but at least one.
    /// None if more has to come to tell. `hold` takes the bytes that the records stay in into account.
    pub fn cut(&mut self, size: usize, hold: impl FnOnce(Bytes) -> Bytes) -> Result<Option<Cut>> {
        let limit = self.offset.saturating_add(size as u64);
        let fit = self.found.iter().take_while(|span| span.end <= limit).count();
        let fit = fit.max(1).min(self.found.len());
        let is_known = self.ended
            || self.found.len() > fit
            // A record that has begun and does not end within the limit.
            || (fit > 0 && self.pending().is_some() && self.scanned >= limit);
        if !is_known {
            return Ok(None);
        }
        let is_last = self.ended && self.found.len() == fit;
        let spans: Vec<Span> = self.found.drain(..fit).collect();
        if spans.iter().any(|span| span.to - span.from > self.most as u64) {
            return Err(too_large(self.most));
        }
        let Some(last) = spans.last() else {
            return Ok(Some(Cut { records: Vec::new(), last: 0, is_last }));
        };
        let piece = self.buffer.split_to((last.end - self.base) as usize).freeze();
        let bytes_of = |span: &Span| (span.from - self.base) as usize..(span.to - self.base) as usize;
        let digest = digest(&piece[bytes_of(last)]);
        let records = match &self.scanner {
            Scanner::Lines { .. } => lines(&hold(piece), self.taken)?,
            Scanner::Rows { columns, .. } => {
                let from = spans.first().map_or(0, |span| span.from - self.base);
                convert(&piece[from as usize..], columns.as_deref().unwrap_or_default(), hold)?
            }
            Scanner::List { .. } => {
                let piece = hold(piece);
                spans.iter().map(|span| Record::parse(&piece.slice(bytes_of(span)))).collect::<Result<_>>()?
            }
        };
        self.base = last.end;
        self.offset = last.end;
        self.taken += spans.len() as u64;
        Ok(Some(Cut { records, last: digest, is_last }))
    }

    /// Goes on to `offset`, behind records that were taken before, without keeping any of them. What is left of the
    /// chunk that leads there comes back.
    pub fn skip(&mut self, mut chunk: Bytes, offset: u64) -> Result<Bytes> {
        let before = chunk.split_to(chunk.len().min((offset - self.scanned) as usize));
        self.push(&before)?;
        // The last one is compared.
        let last = self.found.len().saturating_sub(1);
        self.taken += self.found.drain(..last).count() as u64;
        if let Some(keep) = self.found.front().map(|span| span.from).or_else(|| self.pending())
            && keep > self.base
        {
            self.buffer.advance((keep - self.base) as usize);
            self.base = keep;
        }
        Ok(chunk)
    }

    /// Says whether `offset` has been come to, and is behind the record that it was behind before.
    pub fn arrive(&mut self, offset: u64, last: u32) -> Result<bool> {
        if self.scanned < offset && !self.ended {
            return Ok(false);
        }
        let met = self.found.pop_back().filter(|span| span.end == offset && self.scanned == offset);
        let is_same = met.is_some_and(|span| {
            let bytes = (span.from - self.base) as usize..(span.to - self.base) as usize;
            digest(&self.buffer[bytes]) == last
        });
        if !is_same || self.pending().is_some() {
            let message = "the answer is not the one that was begun: it is read again from its beginning";
            return Err(Error::new(Kind::Expired, message));
        }
        self.taken += 1;
        self.offset = offset;
        Ok(true)
    }

    /// Where the last record that was taken ends: the place that a later reader skips to.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// So many bytes are kept.
    pub fn kept(&self) -> usize {
        self.buffer.len()
    }

    /// The document without the records of its list.
    pub fn document(&self) -> Bytes {
        match &self.scanner {
            Scanner::List { list, .. } => Bytes::copy_from_slice(&list.document),
            _ => Bytes::from_static(b"{}"),
        }
    }

    /// The first row of a table is its header.
    fn take_header(&mut self) -> Result<()> {
        if let Scanner::Rows { columns: columns @ None, .. } = &mut self.scanner
            && let Some(row) = self.found.pop_front()
        {
            *columns =
                Some(header(&self.buffer[(row.from - self.base) as usize..(row.end - self.base) as usize])?);
            self.offset = row.end;
        }
        Ok(())
    }

    fn pending(&self) -> Option<u64> {
        match &self.scanner {
            Scanner::Lines { from } => *from,
            Scanner::Rows { ends, .. } => ends.pending(),
            Scanner::List { list, .. } => list.pending(),
        }
    }
}

/// Lines that hold more than white space.
fn scan_lines(from: &mut Option<u64>, bytes: &[u8], at: u64, found: &mut VecDeque<Span>) {
    let mut here = at;
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let end = here + line.len() as u64;
        if from.is_none() {
            *from = line.iter().position(|byte| !byte.is_ascii_whitespace()).map(|place| here + place as u64);
        }
        if line.ends_with(b"\n")
            && let Some(from) = from.take()
        {
            found.push_back(Span { from, to: end, end });
        }
        here = end;
    }
}

fn digest(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

#[cfg(test)]
mod tests;
