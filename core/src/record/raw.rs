//! Any JSON value, as a counted slice, and the paths that lead into it. What is held here is valid: it is proven when it comes in, once.

use std::{borrow::Cow, fmt};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Next, Record, proof::prove, scan::Walk, write_string};
use crate::error::{Error, Result};

/// Any JSON value, as a counted slice of the body it came in.
#[derive(Clone, PartialEq, Eq)]
pub struct Raw(pub(super) Bytes);

impl Raw {
    /// Takes the whole of `json` as one value: valid JSON, nothing behind it but white space. Nesting of any depth
    /// is skipped over without recursion.
    pub fn parse(json: &Bytes) -> Result<Self> {
        match prove(json, |_, _| {}) {
            Some(value) => Ok(Self(json.slice_ref(value))),
            // It says why.
            None => Ok(Self(json.slice_ref(serde_json::from_slice::<&RawValue>(json)?.get().as_bytes()))),
        }
    }

    /// The last member `name` of `json`, which is one object: parsing it and then asking for the member, in one pass.
    pub(super) fn parse_member(json: &Bytes, name: &str) -> Result<Option<Self>> {
        let mut found = None;
        let value = prove(json, |quoted, value| {
            if is_named(quoted, name) {
                found = Some(value);
            }
        });
        match value {
            Some([b'{', ..]) => Ok(found.map(|value| Self(json.slice_ref(value)))),
            _ => Record::parse(json)?.at(name),
        }
    }

    /// A value that was not sent as such.
    pub fn new(value: &(impl Serialize + ?Sized)) -> Result<Self> {
        Ok(Self(serde_json::to_vec(value)?.into()))
    }

    /// A string.
    pub fn string(text: &str) -> Self {
        let mut json = Vec::with_capacity(text.len() + 2);
        write_string(text, &mut json);
        Self(json.into())
    }

    /// The value at `path`, if it is there.
    pub fn find(&self, path: &str) -> Result<Option<Raw>> {
        Ok(at(&self.0, path)?.map(|found| self.part(found)))
    }

    /// The items at `path`: those of an array, a lone value as an array of one, none if it is absent or null. A step `*`
    /// goes through every item of an array.
    pub fn each(&self, path: &str) -> Result<Vec<Raw>> {
        let (head, rest) = match path.split_once('*') {
            Some((head, rest)) => (head.trim_end_matches('.'), Some(rest.trim_start_matches('.'))),
            None => (path, None),
        };
        let here = match head {
            "" => Some(self.clone()),
            head => self.find(head)?,
        };
        let items = match here {
            Some(here) if here.0.first() == Some(&b'[') => here.items()?.collect(),
            Some(here) if !here.is_null() => vec![here],
            _ => Vec::new(),
        };
        match rest {
            Some(rest) => items.iter().try_fold(Vec::new(), |mut all, item| {
                all.extend(item.each(rest)?);
                Ok(all)
            }),
            None => Ok(items),
        }
    }

    /// The items, if it is an array.
    pub fn items(&self) -> Result<impl Iterator<Item = Raw>> {
        if self.0.first() != Some(&b'[') {
            return Err(Error::unexpected("not a JSON array"));
        }
        Ok(items(&self.0).map(|item| self.part(item)))
    }

    /// A part of this value, which stands in its bytes.
    fn part(&self, json: &[u8]) -> Raw {
        Raw(self.0.slice_ref(json))
    }

    /// The value as a record, if it is an object.
    pub fn record(self) -> Option<Record> {
        (self.0.first() == Some(&b'{')).then(|| Record::known(self.0))
    }

    /// A scalar as text (see [`Record::text`]).
    pub fn text(&self) -> Option<String> {
        text(&self.0).map(Cow::into_owned)
    }

    /// Whether it is null.
    pub fn is_null(&self) -> bool {
        self.0.as_ref() == b"null"
    }

    /// The JSON as it came.
    pub fn bytes(&self) -> &Bytes {
        &self.0
    }
}

/// A member's name, borrowed where no escape stands in it.
#[derive(Deserialize)]
#[serde(transparent)]
pub(super) struct Key<'k>(#[serde(borrow)] pub Cow<'k, str>);

/// What stands at `path` of a value.
pub(super) fn at<'j>(json: &'j [u8], path: &str) -> Result<Option<&'j [u8]>> {
    let mut here = json;
    for step in path.split('.').map(Step::of) {
        let Some(found) = member(here, step.name) else { return Ok(None) };
        let Some(chosen) = step.chosen(found, path)? else { return Ok(None) };
        here = chosen;
    }
    Ok(Some(here))
}

/// One step of a path: a member's name or a place in an array, and which of the items that are found there is meant.
pub(super) struct Step<'p> {
    pub name: &'p str,
    /// A member of the item, and its text.
    filter: Option<(&'p str, &'p str)>,
}

impl<'p> Step<'p> {
    pub fn of(step: &'p str) -> Self {
        match step.split_once('[') {
            Some((name, filter)) => Self { name, filter: filter.trim_end_matches(']').split_once('=') },
            None => Self { name: step, filter: None },
        }
    }

    /// What is meant of what was found.
    pub fn chosen<'j>(&self, found: &'j [u8], path: &str) -> Result<Option<&'j [u8]>> {
        match self.filter {
            None => Ok(Some(found)),
            Some(_) if found == b"null" => Ok(None),
            Some(_) if found.first() != Some(&b'[') => {
                Err(Error::unexpected(format!("{} of {path} is not an array", self.name)))
            }
            Some((key, wanted)) => Ok(items(found)
                .find(|item| member(item, key).and_then(text).is_some_and(|found| found == wanted))),
        }
    }
}

/// The last member of that name, or the item at that place.
pub(super) fn member<'j>(json: &'j [u8], name: &str) -> Option<&'j [u8]> {
    if json.first() == Some(&b'[') {
        return items(json).nth(name.parse().ok()?);
    }
    let mut walk = Walk::new(json);
    if walk.peek()? != Next::Object {
        return None;
    }
    walk.enter();
    let mut found = None;
    while let Some(quoted) = walk.member() {
        let value = walk.value()?;
        if is_named(&json[quoted], name) {
            found = Some(&json[value]);
        }
    }
    found
}

/// The items of an array; of anything else none.
pub(super) fn items(json: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut walk = Walk::new(json);
    let is_array = walk.peek() == Some(Next::Array);
    walk.enter();
    std::iter::from_fn(move || if is_array { walk.item().map(|item| &json[item]) } else { None }).fuse()
}

/// Whether this is the name that stands between these quotes. Hardly any is written with an escape.
pub(super) fn is_named(quoted: &[u8], name: &str) -> bool {
    quoted == name.as_bytes() || quoted.contains(&b'\\') && unquoted(quoted).is_ok_and(|other| other == name)
}

/// A scalar as text.
pub(super) fn text(json: &[u8]) -> Option<Cow<'_, str>> {
    match json.first()? {
        b'"' => unquoted(json.get(1..json.len().checked_sub(1)?)?).ok(),
        b'{' | b'[' | b'n' => None,
        _ => Some(String::from_utf8_lossy(json)),
    }
}

/// What a string says, of what stands between its quotes.
pub(super) fn unquoted(inside: &[u8]) -> Result<Cow<'_, str>> {
    if memchr::memchr(b'\\', inside).is_none() {
        let text = std::str::from_utf8(inside);
        return text.map(Cow::Borrowed).map_err(|error| Error::unexpected(format!("not UTF-8: {error}")));
    }
    Ok(Cow::Owned(serde_json::from_slice(&[b"\"", inside, b"\""].concat())?))
}

impl From<Record> for Raw {
    fn from(record: Record) -> Self {
        Self(record.json)
    }
}

impl Serialize for Raw {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        serde_json::from_slice::<&RawValue>(&self.0).map_err(serde::ser::Error::custom)?.serialize(to)
    }
}

impl fmt::Debug for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}
