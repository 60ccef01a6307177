//! Any JSON value, as a counted slice, and the paths that lead into it.

use std::{borrow::Cow, fmt};

use bytes::Bytes;
use serde::{
    Deserialize, Serialize,
    de::{DeserializeSeed, Deserializer, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{Record, Scan, proof::prove};
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
            if std::str::from_utf8(quoted).is_ok_and(|quoted| is_named(quoted, name)) {
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
        Self(serde_json::Value::from(text).to_string().into())
    }

    /// The value at `path`, if it is there.
    pub fn find(&self, path: &str) -> Result<Option<Raw>> {
        let mut here = self.clone();
        for step in path.split('.') {
            let (name, filter) = match step.split_once('[') {
                Some((name, filter)) => (name, filter.trim_end_matches(']').split_once('=')),
                None => (step, None),
            };
            let Some(next) = here.member(name)? else { return Ok(None) };
            here = match filter {
                None => next,
                Some(_) if next.is_null() => return Ok(None),
                Some((key, wanted)) => {
                    let mut found = None;
                    for item in next.items()? {
                        if item.member(key)?.and_then(|value| value.text()).as_deref() == Some(wanted) {
                            found = Some(item);
                            break;
                        }
                    }
                    let Some(found) = found else { return Ok(None) };
                    found
                }
            };
        }
        Ok(Some(here))
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
            Some(here) if here.0.first() == Some(&b'[') => here.items()?,
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

    /// The member of that name, or the item at that place.
    fn member(&self, name: &str) -> Result<Option<Raw>> {
        let found = match self.0.first() {
            Some(b'{') => member(
                std::str::from_utf8(&self.0)
                    .map_err(|error| Error::unexpected(format!("not UTF-8: {error}")))?,
                name,
            ),
            Some(b'[') => {
                let Ok(place) = name.parse::<usize>() else { return Ok(None) };
                let mut json = serde_json::Deserializer::from_slice(&self.0);
                Place(place).deserialize(&mut json)?.map(RawValue::get)
            }
            _ => None,
        };
        Ok(found.map(|json| Raw(self.0.slice_ref(json.as_bytes()))))
    }

    /// The items, if it is an array.
    pub fn items(&self) -> Result<Vec<Raw>> {
        let items: Vec<&RawValue> = serde_json::from_slice(&self.0)?;
        Ok(items.into_iter().map(|raw| Raw(self.0.slice_ref(raw.get().as_bytes()))).collect())
    }

    /// The value as a record, if it is an object.
    pub fn record(self) -> Option<Record> {
        (self.0.first() == Some(&b'{')).then_some(Record(self.0))
    }

    /// A scalar as text (see [`Record::text`]).
    pub fn text(&self) -> Option<String> {
        match self.0.first()? {
            b'"' => serde_json::from_slice(&self.0).ok(),
            b'{' | b'[' | b'n' => None,
            _ => Some(String::from_utf8_lossy(&self.0).into_owned()),
        }
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

/// The last member of that name.
fn member<'j>(json: &'j str, name: &str) -> Option<&'j str> {
    let mut scan = Scan::new(json);
    scan.peek();
    scan.enter();
    let mut found = None;
    while let Some(quoted) = scan.member() {
        let value = scan.value()?;
        if is_named(quoted, name) {
            found = Some(value);
        }
    }
    found
}

/// Whether this is the name that stands between these quotes. Hardly any is written with an escape.
fn is_named(quoted: &str, name: &str) -> bool {
    quoted == name
        || quoted.contains('\\')
            && serde_json::from_str::<String>(&format!("\"{quoted}\"")).is_ok_and(|other| other == name)
}

/// Finds one item of an array.
struct Place(usize);

impl<'de> DeserializeSeed<'de> for Place {
    type Value = Option<&'de RawValue>;
    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Place {
    type Value = Option<&'de RawValue>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        let mut place = 0;
        while let Some(raw) = items.next_element::<&'de RawValue>()? {
            if place == self.0 {
                found = Some(raw);
            }
            place += 1;
        }
        Ok(found)
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
