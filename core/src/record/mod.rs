//! Records: JSON objects as counted slices of the page they came in. Cloning one copies no JSON, and one that is
//! only passed on is never parsed into a tree. [`Record`] is read from, [`Raw`] is any value inside one, [`Fields`] is
//! what a mapping takes apart.

use std::{
    borrow::Cow,
    fmt,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;

use crate::{
    error::{Error, Result},
    time::parse_time,
};

mod fields;
mod index;
mod list;
mod proof;
mod raw;
mod scan;
mod tree;

pub use fields::Fields;
pub(crate) use fields::write_string;
use index::Index;
pub(crate) use list::list;
pub use raw::Raw;
pub use scan::{Next, Scan};
pub use tree::Tree;

/// One JSON object that a vendor sent, as a counted slice of the body it came in.
#[derive(Clone)]
pub struct Record {
    json: Bytes,
    /// Of one that is asked for many of its members: where they stand, once the first was asked for.
    index: Option<Arc<OnceLock<Index>>>,
}

impl Record {
    /// A record that the vendor did not send as such.
    pub fn new(value: &impl Serialize) -> Result<Self> {
        let json = serde_json::to_vec(value)?;
        match json.first() {
            Some(b'{') => Ok(Self::known(json.into())),
            _ => Err(Error::unexpected("a record has to be a JSON object")),
        }
    }

    /// Takes the whole of `json` as one record.
    pub fn parse(json: &Bytes) -> Result<Self> {
        Raw::parse(json)?.record().ok_or_else(|| Error::unexpected("not a JSON object"))
    }

    /// The member `name` of `json`, which is one record, as text (see [`Record::text`]): the same as parsing it and then asking, in one
    /// way through it.
    pub fn parse_text(json: &Bytes, name: &str) -> Result<Option<String>> {
        Ok(Raw::parse_member(json, name)?.and_then(|raw| raw.text()).filter(|text| !text.is_empty()))
    }

    /// Takes `json` as one record without looking at it: whoever made it knew that it is.
    pub fn known(json: Bytes) -> Self {
        Self { json, index: None }
    }

    /// The same record, about to be asked for many of its members: it is read once, and not once for each. Its clones
    /// share what was found.
    pub fn indexed(self) -> Self {
        let fits = u32::try_from(self.json.len()).is_ok();
        Self { index: fits.then(Arc::default), ..self }
    }

    /// The members of `json`, which is one record: the same as parsing it and then asking for its members, in one way through it.
    pub fn members(json: &Bytes) -> Result<Fields> {
        Fields::proven(json)
    }

    /// The records in the array at `path` of `body` ("" for the body itself; a step `*` goes through every item of an
    /// array: `entry.*.changes`). An object there counts as an array of
    /// one, and an absent or null member as none; anything else in it is an error.
    pub fn split(body: &Bytes, path: &str) -> Result<Vec<Self>> {
        records(Raw::parse(body)?.each(path)?)
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
        Ok(self.slice(path)?.map(|found| Raw(self.json.slice_ref(found))).filter(|raw| !raw.is_null()))
    }

    /// The scalar at `path` as text: a string as it is, a number or boolean as JSON writes it; none for null, an
    /// empty string, an array or an object. Ids are read so: vendors change their minds about quotes.
    pub fn text(&self, path: &str) -> Result<Option<String>> {
        Ok(self.slice(path)?.and_then(raw::text).filter(|text| !text.is_empty()).map(Cow::into_owned))
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

    /// The objects of the array at `path` (one object counts as an array of one); none if it is absent. A filter at the
    /// path's end gives every object that matches: `sources.data[object=card]`.
    pub fn parts(&self, path: &str) -> Result<Vec<Record>> {
        if let Some((list, filter)) = path.strip_suffix(']').and_then(|path| path.rsplit_once('['))
            && let Some((key, wanted)) = filter.split_once('=')
        {
            let mut parts = self.parts(list)?;
            parts.retain(|part| part.text(key).ok().flatten().as_deref() == Some(wanted));
            return Ok(parts);
        }
        match self.at(path)? {
            Some(raw) => records(raw.each("")?),
            None => Ok(Vec::new()),
        }
    }

    /// Its members, in order.
    pub fn fields(&self) -> Result<Fields> {
        match self.index() {
            Some(index) => {
                Fields::listed(&self.json, index.outermost(0..index.len()).map(|place| index.member(place)))
            }
            None => Fields::of(&self.json),
        }
    }

    fn index(&self) -> Option<&Index> {
        Some(self.index.as_ref()?.get_or_init(|| Index::of(&self.json)))
    }

    /// What stands at `path`.
    fn slice(&self, path: &str) -> Result<Option<&[u8]>> {
        match self.index() {
            Some(index) => index.at(&self.json, path),
            None => raw::at(&self.json, path),
        }
    }

    /// The JSON as it came.
    pub fn bytes(&self) -> &Bytes {
        &self.json
    }

    /// The JSON on one line: numbers and strings as they came, white space between them left out.
    pub fn line(&self) -> String {
        line(&self.json)
    }
}

fn records(items: Vec<Raw>) -> Result<Vec<Record>> {
    let record =
        |item: Raw| item.record().ok_or_else(|| Error::unexpected("an item of the list is not an object"));
    items.into_iter().map(record).collect()
}

/// JSON on one line.
pub(crate) fn line(json: &[u8]) -> String {
    let mut out = Vec::with_capacity(json.len());
    minify(json, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

/// Writes JSON without the white space outside its strings.
pub(crate) fn minify(json: &[u8], out: &mut Vec<u8>) {
    let (mut inside, mut escaped) = (false, false);
    for &byte in json {
        if inside {
            (inside, escaped) = (escaped || byte != b'"', !escaped && byte == b'\\');
        } else if byte.is_ascii_whitespace() {
            continue;
        } else {
            inside = byte == b'"';
        }
        out.push(byte);
    }
}

/// The start of `text`, to be shown in an error.
pub(crate) fn shorten(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(80) {
        Some((end, _)) => format!("{}…", &text[..end]).into(),
        None => text.into(),
    }
}

impl PartialEq for Record {
    fn eq(&self, other: &Self) -> bool {
        self.json == other.json
    }
}

impl Eq for Record {}

impl Serialize for Record {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        serde_json::from_slice::<&RawValue>(&self.json).map_err(serde::ser::Error::custom)?.serialize(to)
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.json))
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
        assert_eq!(r.parts("a.b[t=y]").unwrap()[0].text("v").unwrap().as_deref(), Some("2"));
        assert_eq!((r.parts("a.b").unwrap().len(), r.parts("a.b[t=z]").unwrap().len()), (2, 0));
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
        let nested =
            Bytes::from_static(br#"{"entry":[{"changes":[{"v":1},{"v":2}]},{"changes":{"v":3}},{}]}"#);
        assert_eq!(Record::split(&nested, "entry.*.changes").unwrap().len(), 3);
        assert!(Record::split(&Bytes::from_static(b"[1]"), "").is_err());
        assert!(Record::split(&Bytes::from_static(b"<html>"), "").is_err());
        assert!(Record::split(&Bytes::from_static(b"{\"data\":null}"), "data").unwrap().is_empty());
        assert!(Record::split(&Bytes::from_static(b"{\"a\":\"\xff\"}"), "").is_err());
    }

    #[test]
    fn a_member_is_found_while_its_record_is_proven() {
        for json in [
            r#"{"a":{"k":"in"},"k":"one","b":[1],"k":"two"}"#,
            r#"{"\u006b":"x"}"#,
            r#"{"k":null}"#,
            r#"{"k":""}"#,
            r#" {"k": 7 } "#,
            r#"{"k":{}}"#,
            r#"{"k":"\ud800"}"#,
            "{}",
            "[]",
            r#"[{"k":1}]"#,
            r#""k""#,
            r#"{"k":"v""#,
            r#"{"k":"v"}}"#,
            "",
        ] {
            let bytes = Bytes::from_static(json.as_bytes());
            let (one, two) =
                (Record::parse_text(&bytes, "k"), Record::parse(&bytes).and_then(|record| record.text("k")));
            assert_eq!(
                one.map_err(|e| e.message().to_owned()),
                two.map_err(|e| e.message().to_owned()),
                "{json}"
            );
        }
        assert_eq!(
            Record::parse_text(&Bytes::from_static(br#"{"k":"1","k":"two"}"#), "k").unwrap().as_deref(),
            Some("two")
        );
    }

    #[test]
    fn nesting_of_any_depth_is_skipped_over() {
        let deep = format!("{{\"a\":{}1{},\"b\":2}}", "[".repeat(100_000), "]".repeat(100_000));
        let record = Record::parse(&Bytes::from(deep)).unwrap();
        assert_eq!(record.text("b").unwrap().as_deref(), Some("2"));
        assert_eq!(record.fields().unwrap().iter().count(), 2);
    }

    #[test]
    fn many_fields_merge_like_few() {
        let of = |range: std::ops::Range<usize>| -> Fields {
            range.map(|n| (format!("m{}", n % 90), Raw::new(&n).unwrap())).collect()
        };
        let mut many = of(0..90);
        many.merge(of(0..9_000), "x_");
        let mut few = of(0..90);
        of(0..9_000).into_iter().for_each(|one| few.merge(Fields::from_iter([one]), "x_"));
        assert_eq!(many, few);
        assert_eq!(many.iter().count(), 9_000, "each value of a name that comes a hundred times");
        let longest = many.iter().map(|(name, _)| name.len()).max();
        assert!(longest < Some(20), "names do not grow with their number: {longest:?}");
        // A million into none: as long as it takes to read them.
        let mut none = Fields::default();
        none.merge((0..1_000_000).map(|n| (format!("m{n}"), Raw::string("a"))).collect(), "x_");
        assert_eq!(none.iter().count(), 1_000_000);
        // Four hundred thousand members, half of them of one name: as long as it takes to read them.
        let long: Fields = (0..200_000).map(|n| (format!("m{n}"), Raw::string("a"))).collect();
        let same: Fields = (0..200_000).map(|n| ("m".to_owned(), Raw::new(&n).unwrap())).collect();
        let mut all = long;
        all.merge(same, "x_");
        assert_eq!(all.iter().count(), 400_000);
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
