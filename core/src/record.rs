//! Records: JSON objects as counted slices of the page they came in. Cloning one copies no JSON, and one that is
//! only passed on is never parsed into a tree.

use std::{borrow::Cow, fmt};

use bytes::Bytes;
use jiff::Timestamp;
use serde::{
    Deserialize, Serialize,
    de::{DeserializeOwned, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::{
    error::{Error, Result},
    time::parse_time,
};

/// One JSON object that a vendor sent, as a counted slice of the body it came in.
#[derive(Clone, PartialEq, Eq)]
pub struct Record(Bytes);

/// Any JSON value, as a counted slice of the body it came in.
#[derive(Clone, PartialEq, Eq)]
pub struct Raw(Bytes);

/// The members of one JSON object, in order: what a mapping takes apart and puts together again. Values are slices;
/// none is parsed until asked for.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Fields(Vec<(String, Raw)>);

impl Record {
    /// A record that the vendor did not send as such.
    pub fn new(value: &impl Serialize) -> Result<Self> {
        let json = serde_json::to_vec(value)?;
        match json.first() {
            Some(b'{') => Ok(Self(json.into())),
            _ => Err(Error::unexpected("a record has to be a JSON object")),
        }
    }

    /// Takes the whole of `json` as one record.
    pub fn parse(json: &Bytes) -> Result<Self> {
        Raw::parse(json)?.record().ok_or_else(|| Error::unexpected("not a JSON object"))
    }

    /// The records in the array at `path` of `body` ("" for the body itself; a step `*` goes through every item of an
    /// array: `entry.*.changes`). An object there counts as an array of
    /// one, and an absent or null member as none; anything else in it is an error.
    pub fn split(body: &Bytes, path: &str) -> Result<Vec<Self>> {
        Raw::parse(body)?
            .each(path)?
            .into_iter()
            .map(|item| {
                item.record().ok_or_else(|| Error::unexpected("an item of the list is not an object"))
            })
            .collect()
    }

    /// The value at `path`, which must be there and of that type. A path is made of member names, places in arrays
    /// and filters: `profile.id`, `items.0.id`, `included[type=profile].attributes.email`.
    pub fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        self.find(path)?.ok_or_else(|| Error::unexpected(format!("{path} is missing")))
    }

    /// The value at `path`, if it is there and not null.
    pub fn find<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>> {
        match self.at(path)? {
            Some(raw) => serde_json::from_slice(&raw.0)
                .map(Some)
                .map_err(|error| Error::unexpected(format!("{path} is not what was expected: {error}"))),
            None => Ok(None),
        }
    }

    /// The value at `path` as it stands, if it is there and not null.
    pub fn at(&self, path: &str) -> Result<Option<Raw>> {
        Ok(Raw(self.0.clone()).find(path)?.filter(|raw| !raw.is_null()))
    }

    /// The scalar at `path` as text: a string as it is, a number or boolean as JSON writes it; none for null, an
    /// empty string, an array or an object. Ids are read so: vendors change their minds about quotes.
    pub fn text(&self, path: &str) -> Result<Option<String>> {
        Ok(self.at(path)?.and_then(|raw| raw.text()).filter(|text| !text.is_empty()))
    }

    /// The first of `paths` that holds text.
    pub fn first_text(&self, paths: &[&str]) -> Result<Option<String>> {
        for path in paths {
            if let Some(text) = self.text(path)? {
                return Ok(Some(text));
            }
        }
        Ok(None)
    }

    /// The time at `path`, however the vendor writes it (see [`parse_time`]).
    pub fn time(&self, path: &str) -> Result<Option<Timestamp>> {
        match self.text(path)? {
            Some(text) => parse_time(&text)
                .map(Some)
                .ok_or_else(|| Error::unexpected(format!("{path} is not a time: {:?}", shorten(&text)))),
            None => Ok(None),
        }
    }

    /// The object at `path` as a record of its own.
    pub fn part(&self, path: &str) -> Result<Option<Record>> {
        Ok(self.at(path)?.and_then(Raw::record))
    }

    /// The objects of the array at `path` (one object counts as an array of one); none if it is absent.
    pub fn parts(&self, path: &str) -> Result<Vec<Record>> {
        match self.at(path)? {
            Some(raw) => Record::split(&raw.0, ""),
            None => Ok(Vec::new()),
        }
    }

    /// Its members, in order.
    pub fn fields(&self) -> Result<Fields> {
        Ok(Fields(members(&self.0)?))
    }

    /// The JSON as it came.
    pub fn bytes(&self) -> &Bytes {
        &self.0
    }
}

impl Raw {
    /// Takes the whole of `json` as one value: valid JSON, nothing behind it but white space. Nesting of any depth
    /// is skipped over without recursion.
    pub fn parse(json: &Bytes) -> Result<Self> {
        let raw: &RawValue = serde_json::from_slice(json)?;
        Ok(Self(json.slice_ref(raw.get().as_bytes())))
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
            Some(b'{') => {
                let mut json = serde_json::Deserializer::from_slice(&self.0);
                Member(name).deserialize(&mut json)?
            }
            Some(b'[') => {
                let Ok(place) = name.parse::<usize>() else { return Ok(None) };
                let mut json = serde_json::Deserializer::from_slice(&self.0);
                Place(place).deserialize(&mut json)?
            }
            _ => None,
        };
        Ok(found.map(|raw| Raw(self.0.slice_ref(raw.get().as_bytes()))))
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

impl Fields {
    /// The member of that name, if it is there.
    pub fn get(&self, name: &str) -> Option<&Raw> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// Takes the member of that name out.
    pub fn take(&mut self, name: &str) -> Option<Raw> {
        let place = self.0.iter().position(|(known, _)| known == name)?;
        Some(self.0.remove(place).1)
    }

    /// Takes the member of that name out, as text; a member that is no scalar stays.
    pub fn take_text(&mut self, name: &str) -> Option<String> {
        let text = self.get(name)?.text()?;
        self.take(name);
        Some(text).filter(|text| !text.is_empty())
    }

    /// Takes the object of that name out, as its members; a member that is no object stays.
    pub fn take_fields(&mut self, name: &str) -> Fields {
        let inner = self.get(name).and_then(|raw| raw.clone().record()).and_then(|record| record.fields().ok());
        if inner.is_some() || self.get(name).is_some_and(Raw::is_null) {
            self.take(name);
        }
        inner.unwrap_or_default()
    }

    /// Gives a member another name; one that already has that name wins, and this one keeps its own.
    pub fn rename(&mut self, from: &str, to: &str) {
        if self.get(to).is_none()
            && let Some((name, _)) = self.0.iter_mut().find(|(name, _)| name == from)
        {
            *name = to.to_owned();
        }
    }

    /// Sets a member, in place of one of that name.
    pub fn set(&mut self, name: impl Into<String>, value: Raw) {
        let name = name.into();
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, old)) => *old = value,
            None => self.0.push((name, value)),
        }
    }

    /// Sets a member to text, if there is any.
    pub fn set_text(&mut self, name: &str, text: Option<&str>) {
        if let Some(text) = text {
            self.set(name, Raw::string(text));
        }
    }

    /// Adds the members of `other` whose names are free; the others get `prefix` before their name, so that nothing
    /// is lost.
    pub fn merge(&mut self, other: Fields, prefix: &str) {
        for (name, value) in other.0 {
            if self.get(&name).is_none() {
                self.0.push((name, value));
            } else if self.get(&name) != Some(&value) {
                let mut name = format!("{prefix}{name}");
                while self.get(&name).is_some() {
                    name.push('_');
                }
                self.0.push((name, value));
            }
        }
    }

    /// Sets a member deep inside, making the objects on the way: `traits.email`.
    pub fn set_at(&mut self, path: &str, value: Raw) {
        let Some((head, rest)) = path.split_once('.') else { return self.set(path, value) };
        let mut inner = self
            .get(head)
            .and_then(|raw| raw.clone().record())
            .and_then(|record| record.fields().ok())
            .unwrap_or_default();
        inner.set_at(rest, value);
        self.set(head, inner.raw());
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The members, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Raw)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// Keeps the members that `keep` says yes to.
    pub fn retain(&mut self, mut keep: impl FnMut(&str, &Raw) -> bool) {
        self.0.retain(|(name, value)| keep(name, value));
    }

    /// Writes them as a JSON object.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.push(b'{');
        for (place, (name, value)) in self.0.iter().enumerate() {
            if place > 0 {
                out.push(b',');
            }
            write_string(name, out);
            out.push(b':');
            out.extend_from_slice(&value.0);
        }
        out.push(b'}');
    }

    /// As one JSON value.
    pub fn raw(&self) -> Raw {
        let mut out = Vec::with_capacity(64);
        self.write(&mut out);
        Raw(out.into())
    }

    /// As a record.
    pub fn record(&self) -> Record {
        Record(self.raw().0)
    }
}

impl FromIterator<(String, Raw)> for Fields {
    fn from_iter<T: IntoIterator<Item = (String, Raw)>>(members: T) -> Self {
        Self(members.into_iter().collect())
    }
}

/// Writes `text` as a JSON string.
pub(crate) fn write_string(text: &str, out: &mut Vec<u8>) {
    // A str and a Vec cannot fail.
    let _ = serde_json::to_writer(out, text);
}

/// The start of `text`, to be shown in an error.
pub(crate) fn shorten(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(80) {
        Some((end, _)) => format!("{}…", &text[..end]).into(),
        None => text.into(),
    }
}

fn members(json: &Bytes) -> Result<Vec<(String, Raw)>> {
    struct Members<'b>(&'b Bytes);
    impl<'de> Visitor<'de> for Members<'_> {
        type Value = Vec<(String, Raw)>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut out: Vec<(String, Raw)> = Vec::with_capacity(16);
            while let Some(name) = map.next_key::<String>()? {
                let raw: &'de RawValue = map.next_value()?;
                out.push((name, Raw(self.0.slice_ref(raw.get().as_bytes()))));
            }
            Ok(out)
        }
    }
    Ok(serde_json::Deserializer::from_slice(json).deserialize_map(Members(json))?)
}

/// Finds one member of an object.
struct Member<'n>(&'n str);

impl<'de> DeserializeSeed<'de> for Member<'_> {
    type Value = Option<&'de RawValue>;
    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Member<'_> {
    type Value = Option<&'de RawValue>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        #[derive(Deserialize)]
        #[serde(transparent)]
        struct Key<'k>(#[serde(borrow)] Cow<'k, str>);
        let mut found = None;
        while let Some(Key(name)) = map.next_key()? {
            if name == self.0 {
                found = Some(map.next_value()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
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

impl Serialize for Record {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        serde_json::from_slice::<&RawValue>(&self.0).map_err(serde::ser::Error::custom)?.serialize(to)
    }
}

impl fmt::Debug for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.raw().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(json: &'static str) -> Record {
        Record::parse(&Bytes::from_static(json.as_bytes())).unwrap()
    }

    #[test]
    fn paths_lead_through_members_places_and_filters() {
        let r = record(
            r#"{"a":{"b":[{"t":"x","v":1},{"t":"y","v":2}]},"n":null,"é\"":"q","d":1.50,"big":123456789012345678901}"#,
        );
        assert_eq!(r.text("a.b.1.v").unwrap().as_deref(), Some("2"));
        assert_eq!(r.text("a.b[t=x].v").unwrap().as_deref(), Some("1"));
        assert_eq!(r.text("a.b[t=z].v").unwrap(), None);
        assert_eq!(r.text("n").unwrap(), None);
        assert_eq!(r.text("é\"").unwrap().as_deref(), Some("q"));
        assert_eq!(r.text("d").unwrap().as_deref(), Some("1.50"));
        assert_eq!(r.text("big").unwrap().as_deref(), Some("123456789012345678901"));
        assert_eq!(r.get::<i64>("nope").unwrap_err().message(), "nope is missing");
    }

    #[test]
    fn a_split_copies_nothing_and_refuses_what_is_no_object() {
        let body = Bytes::from_static(br#" {"data":[{"id":1},{"id":2}]} "#);
        let records = Record::split(&body, "data").unwrap();
        assert_eq!(records.len(), 2);
        assert!(body.as_ptr_range().contains(&records[1].bytes().as_ptr()));
        let nested = Bytes::from_static(br#"{"entry":[{"changes":[{"v":1},{"v":2}]},{"changes":{"v":3}},{}]}"#);
        assert_eq!(Record::split(&nested, "entry.*.changes").unwrap().len(), 3);
        assert!(Record::split(&Bytes::from_static(b"[1]"), "").is_err());
        assert!(Record::split(&Bytes::from_static(b"<html>"), "").is_err());
        assert!(Record::split(&Bytes::from_static(b"{\"data\":null}"), "data").unwrap().is_empty());
        assert!(Record::split(&Bytes::from_static(b"{\"a\":\"\xff\"}"), "").is_err());
    }

    #[test]
    fn nesting_of_any_depth_is_skipped_over() {
        let deep = format!("{{\"a\":{}1{},\"b\":2}}", "[".repeat(100_000), "]".repeat(100_000));
        let record = Record::parse(&Bytes::from(deep)).unwrap();
        assert_eq!(record.text("b").unwrap().as_deref(), Some("2"));
        assert_eq!(record.fields().unwrap().iter().count(), 2);
    }

    #[test]
    fn fields_merge_without_loss() {
        let mut one = record(r#"{"id":1,"name":"a"}"#).fields().unwrap();
        one.merge(record(r#"{"id":2,"name":"a","x":null}"#).fields().unwrap(), "user_");
        one.set_at("traits.email", Raw::string("a@b"));
        assert_eq!(
            format!("{one:?}"),
            r#"{"id":1,"name":"a","user_id":2,"x":null,"traits":{"email":"a@b"}}"#
        );
    }
}
