//! The body of an answer, as it comes.

use std::{collections::VecDeque, fmt, time::Duration};

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, StatusCode};
use tokio::time::timeout;

use super::{
    budget::Share,
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
    /// What has come and was not handed out.
    rest: VecDeque<Bytes>,
}

impl Body {
    pub(super) fn new(
        response: reqwest::Response,
        asked: (&'static str, String),
        idle: Duration,
        pass: Pass,
    ) -> Self {
        Self { response, asked, idle, pass, offset: 0, rest: VecDeque::new() }
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
        let chunk = match self.rest.pop_front() {
            Some(chunk) => Some(chunk),
            None => self.receive().await.map_err(|error| error.within(self.asked.0, &self.asked.1))?,
        };
        self.offset += chunk.as_ref().map_or(0, |chunk| chunk.len() as u64);
        Ok(chunk)
    }

    /// The next lines of a stream that never ends, whole ones, empty ones among them; nothing if none has come in time. One that
    /// breaks off after them fails the next time.
    pub async fn lines(&mut self, gather: Gather) -> Result<Bytes> {
        let mut lines = BytesMut::new();
        loop {
            let patience = if lines.trim_ascii().is_empty() { gather.silence } else { gather.pause };
            let end = match timeout(patience, self.next_chunk()).await {
                Ok(Ok(Some(chunk))) => {
                    lines.extend_from_slice(&chunk);
                    if lines.len() < gather.most {
                        continue;
                    }
                    last_line(&lines)
                }
                // The last line of a file may lack its end.
                Ok(Ok(None)) => lines.len(),
                Err(_) => last_line(&lines),
                Ok(Err(error)) => match last_line(&lines) {
                    0 => return Err(error),
                    end => end,
                },
            };
            if end == 0 && lines.len() >= gather.most {
                return Err(Error::unexpected(format!("a line is longer than {} bytes", gather.most)));
            }
            lines.truncate(end);
            return Ok(lines.freeze());
        }
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
                self.rest.push_front(chunk);
                self.offset = goal;
            }
        }
        Ok(())
    }

    /// All of it, if it is no larger than `most`; else it has come so far, and [`next_chunk`](Self::next_chunk) still
    /// hands it out from its beginning. What has come is `share`'s.
    pub(super) async fn begin(&mut self, most: usize, share: &mut Share) -> Result<Option<Bytes>> {
        if self.response.content_length().unwrap_or(0) > most as u64 {
            return Ok(None);
        }
        let mut come = 0;
        while let Some(chunk) = self.receive().await? {
            come += chunk.len();
            share.grow(come);
            self.rest.push_back(chunk);
            if come > most {
                return Ok(None);
            }
        }
        if self.rest.len() < 2 {
            return Ok(Some(self.rest.pop_front().unwrap_or_default()));
        }
        let mut all = BytesMut::with_capacity(come);
        self.rest.drain(..).for_each(|chunk| all.extend_from_slice(&chunk));
        Ok(Some(all.freeze()))
    }

    /// Other requests may begin while it is open.
    pub(super) fn release(&mut self) {
        self.pass.release();
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

/// How the lines of a stream are gathered.
#[derive(Clone, Copy, Debug)]
pub struct Gather {
    /// How long the first one is waited for.
    pub silence: Duration,
    /// How long each further one is waited for.
    pub pause: Duration,
    /// Once there are so many bytes, nothing more is waited for.
    pub most: usize,
}

/// Where the last line ends that has come whole.
fn last_line(lines: &[u8]) -> usize {
    lines.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1)
}

/// An answer is larger than anybody wants to hold.
pub(crate) fn too_large(most: usize) -> Error {
    let most = match most >> 20 {
        0 => format!("{most} bytes"),
        megabytes => format!("{megabytes} MiB"),
    };
    Error::unexpected(format!("the answer is larger than {most}: ask for smaller pages"))
}
