//! The body of an answer, as it comes.

use std::{fmt, time::Duration};

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, StatusCode};
use tokio::time::timeout;

use super::{
    pace::Pass,
    wire::{cut, late},
};
use crate::error::{Error, Result};

/// The body of an answer that is read a chunk at a time: result files, exports, streams.
///
/// It is only a cache: a page's cursor is the request and the [`offset`](Self::offset) behind its last record. Whoever
/// has lost the body sends the request again and [skips](Self::skip) that far.
pub struct Body {
    response: reqwest::Response,
    asked: (&'static str, String),
    idle: Duration,
    pass: Pass,
    offset: u64,
    rest: Bytes,
}

impl Body {
    pub(super) fn new(
        response: reqwest::Response,
        asked: (&'static str, String),
        idle: Duration,
        pass: Pass,
    ) -> Self {
        Self { response, asked, idle, pass, offset: 0, rest: Bytes::new() }
    }

    /// The answer's status: 2xx.
    pub fn status(&self) -> StatusCode {
        self.response.status()
    }

    /// The answer's headers.
    pub fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    /// A header's value as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers().get(name)?.to_str().ok()
    }

    /// How many bytes have been handed out or skipped, any `content-encoding` undone.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The next bytes; none at the end. An answer that stops before its end is a [transient](crate::error::Kind)
    /// error: ask again, and skip.
    pub async fn next_chunk(&mut self) -> Result<Option<Bytes>> {
        let chunk = match std::mem::take(&mut self.rest) {
            rest if !rest.is_empty() => Some(rest),
            _ => self.receive().await.map_err(|error| error.within(self.asked.0, &self.asked.1))?,
        };
        self.offset += chunk.as_ref().map_or(0, |chunk| chunk.len() as u64);
        Ok(chunk)
    }

    /// Goes on `bytes` further without keeping anything. An answer that ends before is not the one that was read
    /// the last time.
    pub async fn skip(&mut self, bytes: u64) -> Result<()> {
        let goal = self.offset.saturating_add(bytes);
        while self.offset < goal {
            let Some(mut chunk) = self.next_chunk().await? else {
                let message =
                    format!("the answer has only {} bytes: it is not the one that was begun", self.offset);
                return Err(
                    Error::new(crate::error::Kind::Expired, message).within(self.asked.0, &self.asked.1)
                );
            };
            let over = self.offset.saturating_sub(goal);
            if over > 0 {
                chunk.advance(chunk.len() - over as usize);
                self.rest = chunk;
                self.offset = goal;
            }
        }
        Ok(())
    }

    /// All of it, if it is no larger than `most`.
    pub(super) async fn whole(&mut self, most: usize) -> Result<Bytes> {
        let known = self.response.content_length().unwrap_or(0);
        if known > most as u64 {
            return Err(too_large(most));
        }
        let Some(first) = self.receive().await? else { return Ok(Bytes::new()) };
        if first.len() > most {
            return Err(too_large(most));
        }
        let mut all = BytesMut::new();
        let mut last = first;
        while let Some(chunk) = self.receive().await? {
            if all.len() + last.len() + chunk.len() > most {
                return Err(too_large(most));
            }
            if all.is_empty() {
                all.reserve((known as usize).max(4 * last.len()).min(most));
            }
            all.extend_from_slice(&last);
            last = chunk;
        }
        if all.is_empty() {
            return Ok(last);
        }
        all.extend_from_slice(&last);
        Ok(all.freeze())
    }

    async fn receive(&mut self) -> Result<Option<Bytes>> {
        loop {
            let chunk = timeout(self.idle, self.response.chunk()).await.map_err(|_| late(self.idle))?;
            let Some(chunk) = chunk.map_err(|error| cut(&error))? else { return Ok(None) };
            self.pass.charge(chunk.len());
            if !chunk.is_empty() {
                return Ok(Some(chunk));
            }
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (method, place) = &self.asked;
        write!(f, "Body({method} {place}, {} at {})", self.status(), self.offset)
    }
}

fn too_large(most: usize) -> Error {
    let most = match most >> 20 {
        0 => format!("{most} bytes"),
        megabytes => format!("{megabytes} MiB"),
    };
    Error::unexpected(format!("the answer is larger than {most}: ask for smaller pages"))
}
