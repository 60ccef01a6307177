//! A list in a document, found in one pass: most answers are one, and every byte of them is looked at here once.

use std::fmt;

use bytes::{Bytes, BytesMut};
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::{Record, raw::Key};

/// The objects of the array at `path` of a document, and the document without them. None where the way to it is no
/// plain one, something else stands there, or the document is no JSON: [`Record::split`] says what that means.
pub(crate) fn list(body: &Bytes, path: &str) -> Option<(Vec<Record>, Bytes)> {
    if path.contains(['*', '[']) {
        return None;
    }
    let steps: Vec<&str> = path.split('.').filter(|_| !path.is_empty()).collect();
    let mut found = Found::default();
    let mut json = serde_json::Deserializer::from_slice(body);
    Trail { steps: &steps, found: &mut found }.deserialize(&mut json).ok()?;
    json.end().ok()?;
    if found.is_odd || found.lists != 1 || found.items.iter().any(|item| !item.get().starts_with('{')) {
        return None;
    }
    let part = |item: &RawValue| body.slice_ref(item.get().as_bytes());
    let around = match (found.items.first(), found.items.last()) {
        (Some(first), Some(last)) => {
            let place = |raw: &RawValue| raw.get().as_ptr() as usize - body.as_ptr() as usize;
            let mut around = BytesMut::from(&body[..place(first)]);
            around.extend_from_slice(&body[place(last) + last.get().len()..]);
            around.freeze()
        }
        _ => body.clone(),
    };
    Some((found.items.iter().map(|item| Record::known(part(item))).collect(), around))
}

#[derive(Default)]
struct Found<'de> {
    items: Vec<&'de RawValue>,
    lists: usize,
    /// Something else stands there.
    is_odd: bool,
}

/// The way that is left to the list.
struct Trail<'p, 'f, 'de> {
    steps: &'p [&'p str],
    found: &'f mut Found<'de>,
}

impl<'de> DeserializeSeed<'de> for Trail<'_, '_, 'de> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Trail<'_, '_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Some((step, steps)) = self.steps.split_first() else {
            self.found.is_odd = true;
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            return Ok(());
        };
        while let Some(Key(name)) = map.next_key()? {
            match name == *step {
                true => map.next_value_seed(Trail { steps, found: self.found })?,
                false => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        self.found.is_odd |= !self.steps.is_empty();
        self.found.lists += 1;
        while let Some(item) = items.next_element()? {
            self.found.items.push(item);
        }
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.found.is_odd = true;
        Ok(())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        self.visit_unit()
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        self.visit_unit()
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        self.visit_unit()
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        self.visit_unit()
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        self.visit_unit()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(json: &'static str, path: &str) -> Option<(usize, Bytes)> {
        list(&Bytes::from_static(json.as_bytes()), path).map(|(records, around)| (records.len(), around))
    }

    #[test]
    fn a_list_is_found_with_what_stands_around_it() {
        let json = r#" {"a":1,"data":{"of":[ {"id":1}, {"id":[2]} ]},"next":"x"} "#;
        let (count, around) = found(json, "data.of").unwrap();
        assert_eq!((count, &around[..]), (2, &br#" {"a":1,"data":{"of":[  ]},"next":"x"} "#[..]));
        let records = list(&Bytes::from_static(json.as_bytes()), "data.of").unwrap().0;
        assert_eq!(records, Record::split(&Bytes::from_static(json.as_bytes()), "data.of").unwrap());
        assert_eq!(found(r#"[{"id":1}]"#, "").unwrap().0, 1);
        assert_eq!(found(r#"{"data":[],"next":1}"#, "data").unwrap(), (0, r#"{"data":[],"next":1}"#.into()));
    }

    #[test]
    fn whatever_is_no_plain_list_is_left_alone() {
        for (json, path) in [
            (r#"{"data":{"id":1}}"#, "data"),
            (r#"{"data":null}"#, "data"),
            (r#"{"data":"\ud800"}"#, "data"),
            (r#"{"data":[1]}"#, "data"),
            (r#"{"data":[{"id":1}],"data":[{"id":2}]}"#, "data"),
            (r#"{"data":[{"id":1}],"data":null}"#, "data"),
            (r#"{"other":[{"id":1}]}"#, "data"),
            (r#"{"data":[{"of":[{"id":1}]}]}"#, "data.*.of"),
            (r#"[[{"id":1}]]"#, "0"),
            (r#"{"data":[{"id":1}]"#, "data"),
            (r#"{"data":[{"id":1}]} x"#, "data"),
            ("", "data"),
        ] {
            assert_eq!(found(json, path), None, "{json} {path}");
        }
    }
}
