//! Taking a delivery apart: the things that happened, each by itself, so that a bad one spoils no other.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use super::{
    Delivery, Items, Surface,
    form::{FormTree, MAX_FIELDS},
};
use crate::{
    error::{Error, Result},
    record::{Fields, Raw, Record, Tree, shorten},
};

/// The most items that one delivery may hold.
pub const MAX_ITEMS: usize = 100_000;

/// An item as it was found.
#[derive(Clone, Debug)]
pub struct Piece {
    /// The item, or why it is none.
    pub record: Result<Record>,
    /// What it stands in; none where it stands by itself.
    pub envelope: Option<Arc<Envelope>>,
}

/// What items stand in.
#[derive(Debug)]
pub struct Envelope {
    /// The whole of it.
    pub record: Record,
    /// Its members without the list of the items: the same for all of them, and found for the first that asks.
    around: OnceLock<Result<Fields>>,
    /// Those for the items behind the first, and the paths that were left out for them.
    later: OnceLock<(Paths, Result<Fields>)>,
}

type Paths = &'static [&'static str];

impl Envelope {
    fn new(record: Record) -> Arc<Self> {
        Arc::new(Self { record: record.indexed(), around: OnceLock::new(), later: OnceLock::new() })
    }

    /// Its members without the list that its items stand in.
    pub(super) fn around(&self, items: Items) -> Result<Fields> {
        self.around.get_or_init(|| self.without(items, &[])).clone()
    }

    /// The same without what stands at the paths `once`.
    pub(super) fn around_later(&self, items: Items, once: Paths) -> Result<Fields> {
        match self.later.get_or_init(|| (once, self.without(items, once))) {
            (known, around) if *known == once => around.clone(),
            _ => self.without(items, once),
        }
    }

    fn without(&self, items: Items, once: Paths) -> Result<Fields> {
        let (Items::Json(paths) | Items::FormJson(_, paths)) = items else { return Ok(Fields::default()) };
        let mut around = Tree::of(&self.record)?;
        for path in paths.split('|') {
            // Behind a star the envelope is what the star found. What stands at a path after the first one is no list of ours.
            if around.take(path.rsplit_once(".*.").map_or(path, |(_, inside)| inside)).is_some() {
                break;
            }
        }
        for path in once {
            around.take(path);
        }
        Ok(around.close())
    }
}

/// Splits a delivery into its items, in their order. Fails only if it cannot be split at all; an item that is no object
/// fails by itself.
pub fn split(surface: &Surface, delivery: &Delivery) -> Result<Vec<Piece>> {
    let body = without_mark(&delivery.body);
    let pieces = match surface.items {
        Items::Json(paths) => json(&filled(body)?, paths, "the body")?,
        Items::Ndjson => ndjson(&filled(body)?)?,
        Items::Form => {
            not_multipart(delivery)?;
            vec![alone(FormTree::parse(&filled(body)?)?.record())]
        }
        Items::FormJson(field, paths) => {
            not_multipart(delivery)?;
            let text = form_urlencoded::parse(&body).take(MAX_FIELDS).find(|(name, _)| name == field);
            let (_, text) =
                text.ok_or_else(|| Error::unexpected(format!("form field {field} is missing")))?;
            json(&without_mark(&Bytes::from(text.into_owned())), paths, &format!("form field {field}"))?
        }
        Items::Query => {
            if delivery.query.is_empty() {
                return Err(Error::unexpected("the query string is empty"));
            }
            vec![alone(FormTree::parse(delivery.query.as_bytes())?.record())]
        }
        Items::Csv => csv(&filled(body)?)?,
    };
    Ok(pieces)
}

fn json(body: &Bytes, paths: &str, place: &str) -> Result<Vec<Piece>> {
    let whole =
        Raw::parse(body).map_err(|error| Error::unexpected(format!("{place}: {}", error.message())))?;
    let envelope = whole.clone().record().filter(|_| !paths.is_empty()).map(Envelope::new);
    if paths.is_empty() {
        return list(&whole, None, place);
    }
    for path in paths.split('|') {
        if path.is_empty() {
            return list(&whole, None, place);
        }
        if let Some(pieces) = at(&whole, path, envelope.clone())? {
            return Ok(pieces);
        }
    }
    Err(Error::unexpected(format!("{place} has no {}", paths.replace('|', " and no "))))
}

/// The items at `path`; none if there is nothing. Steps up to a `*` lead to a list, each of whose items is searched
/// for what follows.
fn at(whole: &Raw, path: &str, envelope: Option<Arc<Envelope>>) -> Result<Option<Vec<Piece>>> {
    let Some((outer, inner)) = path.split_once(".*.") else {
        return match whole.find(path)?.filter(|found| !found.is_null()) {
            Some(found) => list(&found, envelope, path).map(Some),
            None => Ok(None),
        };
    };
    let Some(found) = whole.find(outer)?.filter(|found| !found.is_null()) else { return Ok(None) };
    let mut pieces = Vec::new();
    for holder in list(&found, None, outer)? {
        let envelope = holder.record.as_ref().ok().cloned().map(Envelope::new);
        match holder.record.and_then(|record| at(&Raw::from(record), inner, envelope.clone())) {
            Ok(Some(inside)) => pieces.extend(inside),
            Ok(None) => {
                pieces.push(Piece { record: Err(Error::unexpected(format!("{inner} is missing"))), envelope })
            }
            Err(error) => pieces.push(Piece { record: Err(error), envelope }),
        }
        if pieces.len() > MAX_ITEMS {
            return Err(too_many());
        }
    }
    Ok(Some(pieces))
}

/// The items of an array, or the one object.
fn list(value: &Raw, envelope: Option<Arc<Envelope>>, place: &str) -> Result<Vec<Piece>> {
    if let Some(record) = value.clone().record() {
        return Ok(vec![Piece { record: Ok(record), envelope }]);
    }
    if value.bytes().first() != Some(&b'[') {
        let problem = format!("{place} holds neither an object nor an array, but {}", shown(value.bytes()));
        return Err(Error::unexpected(problem));
    }
    let items: Vec<Raw> = value.items()?.take(MAX_ITEMS + 1).collect();
    if items.len() > MAX_ITEMS {
        return Err(too_many());
    }
    let piece = |item: Raw| piece(Ok(item.clone()), item.bytes(), envelope.clone());
    Ok(items.into_iter().map(piece).collect())
}

fn piece(found: Result<Raw>, json: &[u8], envelope: Option<Arc<Envelope>>) -> Piece {
    let record = found
        .and_then(|raw| raw.record().ok_or_else(|| Error::unexpected("not a JSON object")))
        .map_err(|error| Error::unexpected(format!("{}: {}", error.message(), shown(json))));
    Piece { record, envelope }
}

/// The start of what was found, in one line.
fn shown(json: &[u8]) -> String {
    // Four bytes are the longest character.
    let text = String::from_utf8_lossy(&json[..json.len().min(4 * 81)]);
    shorten(text.trim()).replace(char::is_control, " ")
}

fn alone(record: Record) -> Piece {
    Piece { record: Ok(record), envelope: None }
}

fn ndjson(body: &Bytes) -> Result<Vec<Piece>> {
    let mut pieces = Vec::new();
    for line in body.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty()) {
        if pieces.len() == MAX_ITEMS {
            return Err(too_many());
        }
        pieces.push(piece(Raw::parse(&body.slice_ref(line)), line, None));
    }
    Ok(pieces)
}

/// Rows as objects of strings. Cells behind the last named column are kept as `column_7`; a name that comes twice gets
/// its column's number too.
fn csv(body: &Bytes) -> Result<Vec<Piece>> {
    let bad = |error: csv::Error| Error::unexpected(format!("the body is not the CSV expected: {error}"));
    let mut rows = csv::ReaderBuilder::new().flexible(true).has_headers(false).from_reader(body.as_ref());
    let mut row = csv::ByteRecord::new();
    let mut names: Vec<String> = Vec::new();
    let mut pieces = Vec::new();
    while rows.read_byte_record(&mut row).map_err(bad)? {
        if row.len() > MAX_FIELDS {
            return Err(Error::unexpected(format!("a row of the CSV has more than {MAX_FIELDS} columns")));
        }
        let cells = row.iter().map(String::from_utf8_lossy).zip(1..);
        if names.is_empty() {
            let mut known = std::collections::HashSet::new();
            for (name, number) in cells {
                let mut name = name.into_owned();
                while name.is_empty() || !known.insert(name.clone()) {
                    name =
                        if name.is_empty() { format!("column_{number}") } else { format!("{name}_{number}") };
                }
                names.push(name);
            }
            continue;
        }
        if pieces.len() == MAX_ITEMS {
            return Err(too_many());
        }
        let name =
            |number: usize| names.get(number - 1).cloned().unwrap_or_else(|| format!("column_{number}"));
        let fields: Fields = cells.map(|(cell, number)| (name(number), Raw::string(&cell))).collect();
        pieces.push(alone(fields.record()));
    }
    Ok(pieces)
}

/// The body without the byte order mark that some writers of UTF-8 put before it.
fn without_mark(body: &Bytes) -> Bytes {
    if body.starts_with(b"\xef\xbb\xbf") { body.slice(3..) } else { body.clone() }
}

fn filled(body: Bytes) -> Result<Bytes> {
    match body.iter().all(u8::is_ascii_whitespace) {
        true => Err(Error::unexpected("the body is empty")),
        false => Ok(body),
    }
}

fn not_multipart(delivery: &Delivery) -> Result<()> {
    match delivery.header("content-type") {
        Some(kind) if kind.trim_start().to_ascii_lowercase().starts_with("multipart/") => {
            Err(Error::unexpected("the body is multipart; this webhook has to post a URL-encoded form"))
        }
        _ => Ok(()),
    }
}

fn too_many() -> Error {
    Error::unexpected(format!(
        "more than {MAX_ITEMS} items in one delivery; set a smaller batch at the vendor"
    ))
}
