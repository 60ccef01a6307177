//! The members of an object: what a mapping takes apart and puts together again.

use std::{
    collections::HashMap,
    fmt,
    hash::{BuildHasher, RandomState},
    ops::Range,
};

use bytes::Bytes;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{Next, Raw, Record, raw::unquoted, scan::Walk};
use crate::error::{Error, Result};

/// The members of one JSON object, in order: what a mapping takes apart and puts together again. Values are slices;
/// none is parsed until asked for.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Fields(Vec<(String, Raw)>);

impl Fields {
    /// The members of an object that is known to be valid.
    pub(super) fn of(json: &Bytes) -> Result<Self> {
        let mut walk = Walk::new(json);
        let is_object = walk.peek() == Some(Next::Object);
        walk.enter();
        let mut out: Vec<(String, Raw)> = Vec::with_capacity(16);
        while is_object && let Some(name) = walk.member() {
            let name = unquoted(&json[name])?.into_owned();
            let Some(value) = walk.value() else { break };
            out.push((name, Raw(json.slice(value))));
        }
        match is_object && walk.has_ended() {
            true => Ok(Self(out)),
            false => Err(Error::unexpected("not a JSON object")),
        }
    }

    /// The members of an object whose names, between quotes, and values stand there.
    pub(super) fn listed(
        json: &Bytes,
        members: impl Iterator<Item = (Range<usize>, Range<usize>)>,
    ) -> Result<Self> {
        let member =
            |(name, value)| Ok((unquoted(&json[name as Range<usize>])?.into_owned(), Raw(json.slice(value))));
        members.map(member).collect::<Result<_>>().map(Self)
    }

    /// The members of an object that may be none: it is proven on the way.
    pub(super) fn proven(json: &Bytes) -> Result<Self> {
        Ok(Self(members(json)?))
    }

    /// The member of that name, if it is there.
    pub fn get(&self, name: &str) -> Option<&Raw> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// The member of that name as text, if it is a scalar that says anything.
    pub fn text(&self, name: &str) -> Option<String> {
        self.get(name)?.text().filter(|text| !text.is_empty())
    }

    /// The first of these members that says anything, as text.
    pub fn first_text(&self, names: &[&str]) -> Option<String> {
        names.iter().find_map(|name| self.text(name))
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
        let inner =
            self.get(name).and_then(|raw| raw.clone().record()).and_then(|record| record.fields().ok());
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
        // Each is looked for among all that are there by then, those that came with it too.
        if (self.0.len() + other.0.len()) * other.0.len() > FEW * FEW {
            return self.merge_many(other, prefix);
        }
        for (name, value) in other.0 {
            match self.get(&name) {
                None => self.0.push((name, value)),
                Some(known) if *known == value => {}
                Some(_) => {
                    let name = free_name(prefix, &name, self.0.len(), |name| self.get(name).is_none());
                    self.0.push((name, value));
                }
            }
        }
    }

    /// The same for so many that looking through all names for each one would take its time.
    fn merge_many(&mut self, other: Fields, prefix: &str) {
        let hasher = RandomState::new();
        // The names themselves stand where they are: a million of them take memory enough once.
        let mut places: HashMap<u64, usize> = HashMap::with_capacity(self.0.len() + other.0.len());
        for (place, (name, _)) in self.0.iter().enumerate() {
            places.entry(hasher.hash_one(name)).or_insert(place);
        }
        for (name, value) in other.0 {
            let name = match places.get(&hasher.hash_one(&name)) {
                None => name,
                Some(place) if self.0[*place].0 == name && self.0[*place].1 == value => continue,
                Some(_) => free_name(prefix, &name, self.0.len(), |name| {
                    !places.contains_key(&hasher.hash_one(name))
                }),
            };
            places.insert(hasher.hash_one(&name), self.0.len());
            self.0.push((name, value));
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
        Record::known(self.raw().0)
    }
}

/// Up to so many members in all, two objects are merged without looking their names up.
const FEW: usize = 64;

/// A free name for a member whose own is taken: with `prefix`, then with underscores; where these are taken too, with
/// its place.
fn free_name(prefix: &str, name: &str, place: usize, is_free: impl Fn(&str) -> bool) -> String {
    let mut free = format!("{prefix}{name}");
    for _ in 0..4 {
        if is_free(&free) {
            return free;
        }
        free.push('_');
    }
    free = format!("{prefix}{name}_{place}");
    while !is_free(&free) {
        free.push('_');
    }
    free
}

impl IntoIterator for Fields {
    type Item = (String, Raw);
    type IntoIter = std::vec::IntoIter<(String, Raw)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
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
    let mut from = serde_json::Deserializer::from_slice(json);
    let members = from.deserialize_map(Members(json))?;
    from.end()?;
    Ok(members)
}

impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.raw().fmt(f)
    }
}
