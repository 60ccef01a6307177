//! What most collections do: ask as the collection says, split the answer, follow it to the next page.
//!
//! `ask` makes the request, `piece` reads the answer or the next part of a long one, `follow` finds where it leads.

mod ask;
mod follow;
mod piece;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use self::{
    ask::{fill, request},
    piece::{Piece, Place, piece},
};
use crate::{
    cursor::Since,
    error::{Error, Kind, Result},
    format,
    http::Answer,
    object::{Change, Collection, Deletes, Format, Op, Page, Pull, Version},
    record::{Raw, Record},
};

/// Reads one page as the collection says. A long answer is several pages.
pub async fn page(pull: Pull<'_>) -> Result<Page> {
    let collection = pull.collection;
    let Cursor { mark, place } = Cursor::of(&pull.read.page)?;
    let request = request(&pull, mark.as_ref())?;
    let path = collection.records.replace("{name}", collection.name);
    let piece = piece(pull.client, &request, &collection.format, &path, place).await?;
    let mut next = match piece.next {
        Some(place) => Next { cursor: Cursor { mark, place: Some(place) }.value()?, more: true },
        None => {
            let public = |url: &str| pull.client.without_secrets(collection.endpoint.host, url);
            let last = piece.records.last();
            follow::next(&collection.pages, mark.as_ref(), &piece.answer, piece.count, last, &public)?
        }
    };
    if let (Some(Since::Newest { field, .. }), Some(from), Some(last)) =
        (collection.since, pull.read.from, piece.records.last())
        && last.time(field)?.is_some_and(|time| time < from)
    {
        next.more = false;
    }
    let mut page = Page { more: next.more, cursor: next.cursor, ..Page::default() };
    page.changes.reserve(piece.records.len());
    for record in piece.records {
        changes(collection, record, &mut page.changes)?;
    }
    Ok(page)
}

/// Where the next page starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mark {
    /// At this address.
    Url(String),
    /// At this token.
    Token(String),
    /// It is the page of this number.
    Number(u64),
    /// After so many records.
    Offset(u64),
    /// After the record with this value.
    After(String),
}

/// What an answer says of the page behind it.
#[derive(Clone, Debug)]
pub struct Next {
    /// The cursor; null if the answer leads nowhere.
    pub cursor: Value,
    /// Whether to go on now. A cursor without it is where the next pass goes on ([`Since::Cursor`]).
    pub more: bool,
}

impl Mark {
    /// The mark in a cursor; none at the start of a read.
    pub fn of(cursor: &Value) -> Result<Option<Self>> {
        match cursor {
            Value::Null => Ok(None),
            cursor => Self::deserialize(cursor).map(Some).map_err(|_| {
                Error::new(Kind::Expired, "the stored cursor is of another version of this connector")
            }),
        }
    }
}

/// A page's cursor: the answer's mark, and how far into the answer it is.
struct Cursor {
    mark: Option<Mark>,
    place: Option<Place>,
}

/// How a cursor inside a long answer is written; any other is a [`Mark`].
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Within {
    mark: Option<Mark>,
    offset: u64,
    last: u32,
}

impl Cursor {
    fn of(cursor: &Value) -> Result<Self> {
        match Within::deserialize(cursor) {
            Ok(Within { mark, offset, last }) => Ok(Self { mark, place: Some(Place { offset, last }) }),
            Err(_) => Ok(Self { mark: Mark::of(cursor)?, place: None }),
        }
    }

    fn value(self) -> Result<Value> {
        let Self { mark, place } = self;
        Ok(match place {
            Some(Place { offset, last }) => serde_json::to_value(Within { mark, offset, last })?,
            None => serde_json::to_value(mark)?,
        })
    }
}

/// The records of a whole answer, and where it leads.
pub fn read(pull: &Pull<'_>, mark: Option<&Mark>, answer: &Answer) -> Result<(Vec<Record>, Next)> {
    let collection = pull.collection;
    let path = collection.records.replace("{name}", collection.name);
    let records = format::records(&collection.format, &answer.body, &path)
        .map_err(|error| Error::unexpected(format!("the answer cannot be read: {}", error.message())))?;
    if records.is_empty() && collection.format == Format::Json {
        is_list(&answer.body, &path)?;
    }
    let answer = Answer { body: format::document(&collection.format, &answer.body)?, ..answer.clone() };
    let public = |url: &str| pull.client.without_secrets(collection.endpoint.host, url);
    let count = records.len() as u64;
    let next = follow::next(&collection.pages, mark, &answer, count, records.last(), &public)?;
    Ok((records, next))
}

/// Whether a document without records has the place for them: what has another shape is no empty list.
fn is_list(body: &Bytes, path: &str) -> Result<()> {
    if path.contains('*') || Raw::parse(body)?.find(path)?.is_some() || path.is_empty() {
        return Ok(());
    }
    Err(Error::unexpected(format!("the answer has no {path}: it is no list of this collection")))
}

/// What one record means: an upsert, and a deletion where the record says so.
pub fn changes(collection: &Collection, record: Record, out: &mut Vec<Change>) -> Result<()> {
    let version = match collection.version {
        Some(path) => version(&record, path)?,
        None => None,
    };
    let gone = match collection.deletes {
        Deletes::Flag(path, value) => match record.at(path)? {
            Some(found) => value == "*" || found.text().as_deref() == Some(value),
            None => false,
        },
        _ => false,
    };
    let upsert = Change::upsert(collection.name, record).version(version);
    // The row keeps what the vendor still tells of it, and is marked.
    let delete = gone.then(|| upsert.clone().op(Op::Delete));
    out.push(upsert);
    out.extend(delete);
    Ok(())
}

/// The version at `path`: a time, or a number that is none.
pub fn version(record: &Record, path: &str) -> Result<Option<Version>> {
    let Some(text) = record.text(path)? else { return Ok(None) };
    Ok(crate::time::parse_time(&text).map(Version::at).or_else(|| text.parse().ok().map(Version)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_cursor_is_a_mark_or_a_place_behind_one() {
        for cursor in [
            json!(null),
            json!({"offset": 5}),
            json!({"url": "/p2"}),
            json!({"mark": null, "offset": 5, "last": 6}),
            json!({"mark": {"offset": 5}, "offset": 6, "last": 7}),
        ] {
            let read = Cursor::of(&cursor).unwrap();
            assert_eq!(read.place.is_some(), cursor.get("last").is_some());
            assert_eq!(read.value().unwrap(), cursor);
        }
        for wrong in [json!({"nonsense": 1}), json!(5), json!({"mark": null, "offset": -1, "last": 6})] {
            assert_eq!(Cursor::of(&wrong).map(drop).unwrap_err().kind(), Kind::Expired, "{wrong}");
        }
    }
}
