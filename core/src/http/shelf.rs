//! Long answers that are read page by page, and stay open in between.
//!
//! What stands here is only a cache: whoever finds nothing asks again, and skips to where the last page ended. It is
//! bounded, and what nobody came back for is closed after a while.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::{Answer, Body, pace::lock};
use crate::{
    error::Result,
    format::{cut::Cutter, unpack::Unpack},
    object::{Format, Request},
};

/// A chunk that is cut up at once, at most.
const CHUNK: usize = 64 << 10;

/// A long answer that is being read.
pub(crate) struct Open {
    /// Its status and headers.
    pub answer: Answer,
    pub cutter: Cutter,
    source: Source,
    unpack: Option<Unpack>,
    /// What has been unpacked and not cut yet.
    rest: Bytes,
}

enum Source {
    Whole(Bytes),
    Body(Box<Body>),
}

/// What is read of which answer, and from where.
#[derive(PartialEq, Eq)]
pub(crate) struct Key {
    pub request: Request,
    pub format: Format,
    pub path: String,
    pub offset: u64,
}

/// The answers that are open.
pub(crate) struct Shelf {
    kept: Mutex<Vec<(Key, Open, Instant)>>,
    most: usize,
    idle: Duration,
}

impl Open {
    /// An answer at its beginning: its body, or all of it.
    pub fn new(mut answer: Answer, body: Option<Body>, format: &Format, cutter: Cutter) -> Self {
        let source = match body {
            Some(body) => Source::Body(Box::new(body)),
            None => Source::Whole(std::mem::take(&mut answer.body)),
        };
        let unpack = matches!(format, Format::Gzip(_)).then(Unpack::new);
        Self { answer, cutter, source, unpack, rest: Bytes::new() }
    }

    /// The next bytes, unpacked; none at the end.
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        loop {
            if !self.rest.is_empty() {
                return Ok(Some(self.rest.split_to(self.rest.len().min(CHUNK))));
            }
            if let Some(part) = self.unpack.as_mut().map(Unpack::next).transpose()?.flatten() {
                self.rest = part;
                continue;
            }
            let chunk = match &mut self.source {
                Source::Whole(bytes) => Some(std::mem::take(bytes)).filter(|bytes| !bytes.is_empty()),
                Source::Body(body) => body.next_chunk().await?,
            };
            self.rest = match (&mut self.unpack, chunk) {
                (None, Some(chunk)) => chunk,
                (Some(unpack), Some(chunk)) => unpack.push(chunk)?.unwrap_or_default(),
                (None, None) => return Ok(None),
                (Some(unpack), None) => match unpack.finish()? {
                    Some(part) => part,
                    None => return Ok(None),
                },
            };
        }
    }

    /// These bytes were not cut after all: they come first.
    pub fn put_back(&mut self, mut bytes: Bytes) {
        if self.rest.is_empty() {
            self.rest = bytes;
        } else if !bytes.is_empty() {
            bytes = [&bytes[..], &self.rest].concat().into();
            self.rest = bytes;
        }
    }
}

impl Shelf {
    pub fn new(most: usize, idle: Duration) -> Arc<Self> {
        Arc::new(Self { kept: Mutex::default(), most, idle })
    }

    /// Takes an open answer, if it is still there.
    pub fn take(&self, key: &Key) -> Option<Open> {
        let mut kept = lock(&self.kept);
        let place = kept.iter().position(|(known, ..)| known == key)?;
        Some(kept.remove(place).1)
    }

    /// Keeps an open answer for the next page; of too many, the oldest is closed.
    pub fn keep(self: &Arc<Self>, key: Key, open: Open) {
        if self.most == 0 {
            return;
        }
        let mut kept = lock(&self.kept);
        if kept.len() >= self.most {
            kept.remove(0);
        }
        kept.push((key, open, Instant::now()));
        drop(kept);
        let (shelf, idle) = (Arc::downgrade(self), self.idle);
        tokio::spawn(async move {
            tokio::time::sleep(idle).await;
            if let Some(shelf) = shelf.upgrade() {
                lock(&shelf.kept).retain(|(.., since)| since.elapsed() < idle);
            }
        });
    }

    /// How many are open.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        lock(&self.kept).len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open() -> Open {
        let answer = Answer { status: http::StatusCode::OK, headers: Default::default(), body: Bytes::new() };
        let cutter = Cutter::new(&Format::Ndjson, "", 100).unwrap();
        Open::new(answer, None, &Format::Ndjson, cutter)
    }

    fn key(offset: u64) -> Key {
        Key { request: Request::get("/a"), format: Format::Ndjson, path: String::new(), offset }
    }

    #[tokio::test]
    async fn it_holds_a_few_for_a_while() {
        let shelf = Shelf::new(2, Duration::from_millis(50));
        for offset in 1..=3 {
            shelf.keep(key(offset), open());
        }
        assert_eq!(shelf.len(), 2);
        assert!(shelf.take(&key(1)).is_none() && shelf.take(&key(3)).is_some());
        assert!(shelf.take(&key(3)).is_none(), "one reader has it");
        let other = Key { request: Request::get("/b"), ..key(2) };
        assert!(shelf.take(&other).is_none());
        tokio::time::sleep(Duration::from_millis(150)).await;
        assert_eq!(shelf.len(), 0, "nobody came back for it");
        let none = Shelf::new(0, Duration::from_secs(1));
        none.keep(key(1), open());
        assert_eq!(none.len(), 0);
    }
}
