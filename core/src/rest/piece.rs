//! An answer, or the next part of a long one.
//!
//! A part is the records that end within so many bytes ([`Options::piece`](crate::http::Options::piece)) behind the last
//! one. The next part comes from the body that is still open, if it is; else the answer is asked for again and skipped
//! through to the same place, which a digest of the record before it proves. So a part is a function of its place.

use tokio::time::sleep;

use super::Record;
use crate::{
    error::{Error, Kind, Result},
    format::{self, cut::Cutter},
    http::{
        Answer, Client, Share,
        shelf::{Key, Open},
    },
    object::{Format, Request},
    record::list,
};

/// An answer that is no list of JSON is waited for up to this size, in bytes: an error that it tells is heard.
const BEGINNING: usize = 64 << 10;

/// A part of an answer, or all of it.
#[derive(Debug)]
pub struct Piece {
    /// Its records.
    pub records: Vec<Record>,
    /// So many records has the answer had, those of earlier parts included.
    pub count: u64,
    /// The answer: its status, headers and, with the last part, what stands around the records, as JSON.
    pub answer: Answer,
    /// Where the next part begins; none behind the last one.
    pub next: Option<Place>,
}

/// A place in an answer, behind one of its records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// So many bytes are before it, any packing undone.
    pub offset: u64,
    /// A digest of the record before it.
    pub last: u32,
}

/// Reads the part of an answer behind `place`: its records at `path`, written in `format`.
pub async fn piece(
    client: &Client,
    request: &Request,
    format: &Format,
    path: &str,
    place: Option<Place>,
) -> Result<Piece> {
    let options = &client.options;
    let mut pauses = client.backoff();
    let mut attempt = 1;
    loop {
        let Some(cutter) = Cutter::new(format, path, options.max_answer) else {
            return whole(client.send(request.clone()).await?, format, path).map_err(unreadable);
        };
        // A list of JSON is most often small.
        let room = match (place, format) {
            (None, Format::Json) => options.piece / 8,
            _ => options.piece,
        };
        let mut share = options.budget.share(room).await;
        let key = |offset| Key { request: request.clone(), format: *format, path: path.to_owned(), offset };
        let kept = place.and_then(|place| client.shelf.take(&key(place.offset)));
        let is_kept = kept.is_some();
        let open = match kept {
            Some(open) => open,
            None => {
                let most = if *format == Format::Json { options.piece } else { options.piece.min(BEGINNING) };
                let (mut answer, body) = client.begin(request, most, &mut share).await?;
                if body.is_none() && place.is_none() && !matches!(format, Format::Gzip(_)) {
                    answer.body = share.hold(answer.body);
                    return whole(answer, format, path).map_err(unreadable);
                }
                Open::new(answer, body, format, cutter)
            }
        };
        let skip = place.filter(|_| !is_kept);
        match part(open, skip, options.piece, share).await {
            Ok((piece, open)) => {
                if let (Some(next), Some(open)) = (&piece.next, open) {
                    client.shelf.keep(key(next.offset), open);
                }
                return Ok(piece);
            }
            // The body broke off, or the one that was kept open did: ask again.
            Err(error) if error.kind() == Kind::Transient && attempt < options.max_attempts => {
                if let (false, Some(pause)) = (is_kept, pauses.next()) {
                    sleep(pause).await;
                }
                attempt += 1;
            }
            Err(error) => return Err(unreadable(error)),
        }
    }
}

/// The records of a whole answer.
fn whole(answer: Answer, format: &Format, path: &str) -> Result<Piece> {
    if *format == Format::Json
        && let Some((records, body)) = list(&answer.body, path)
    {
        return Ok(Piece {
            count: records.len() as u64,
            records,
            answer: Answer { body, ..answer },
            next: None,
        });
    }
    let records = format::records(format, &answer.body, path)?;
    let body = format::document(format, &answer.body)?;
    let count = records.len() as u64;
    Ok(Piece { records, count, answer: Answer { body, ..answer }, next: None })
}

/// The next records of an open answer, which comes back if there are more; or those behind the place to skip to.
async fn part(
    mut open: Open,
    skip: Option<Place>,
    size: usize,
    share: Share,
) -> Result<(Piece, Option<Open>)> {
    if let Some(Place { offset, last }) = skip {
        while !open.cutter.arrive(offset, last)? {
            match open.next().await? {
                Some(chunk) => {
                    let rest = open.cutter.skip(chunk, offset)?;
                    open.put_back(rest);
                }
                None => open.cutter.finish()?,
            }
        }
    }
    let mut share = Some(share);
    let cut = loop {
        let hold = |bytes| match share.take() {
            Some(share) => share.hold(bytes),
            None => bytes,
        };
        if let Some(cut) = open.cutter.cut(size, hold)? {
            break cut;
        }
        match open.next().await? {
            Some(chunk) => open.cutter.push(&chunk)?,
            None => open.cutter.finish()?,
        }
        if let Some(share) = &mut share {
            share.grow(open.cutter.kept());
        }
    };
    let mut answer = open.answer.clone();
    let count = open.cutter.taken;
    if cut.is_last {
        answer.body = open.cutter.document();
        return Ok((Piece { records: cut.records, count, answer, next: None }, None));
    }
    let next = Some(Place { offset: open.cutter.offset(), last: cut.last });
    Ok((Piece { records: cut.records, count, answer, next }, Some(open)))
}

fn unreadable(error: Error) -> Error {
    match error.kind() {
        Kind::Unexpected => Error::unexpected(format!("the answer cannot be read: {error}")),
        _ => error,
    }
}
