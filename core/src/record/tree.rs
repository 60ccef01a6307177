//! Members that are being taken apart.

use std::ops::Range;

use super::{Fields, Raw, Record, index::Index, raw::unquoted};
use crate::error::Result;

/// The members of an object, to be taken out by their paths: an object inside opens when something in it is taken, and is
/// written again only if something is left of it.
pub struct Tree(Vec<(String, Part)>);

/// What stands at a path of a [`Tree`].
pub(crate) enum Part {
    /// A value as it came; of an object in an indexed record, where its members stand.
    Closed(Raw, Option<Inside>),
    /// An object that something was taken from.
    Open(Tree),
}

/// An object in an indexed record: its members need not be looked for.
pub(crate) struct Inside {
    record: Record,
    places: Range<usize>,
}

impl Tree {
    /// The members of this record, none of them open.
    pub(crate) fn of(record: &Record) -> Result<Self> {
        match record.index() {
            Some(index) => Self::listed(record, index, 0..index.len()),
            None => Ok(Self::from(record.fields()?)),
        }
    }

    fn listed(record: &Record, index: &Index, places: Range<usize>) -> Result<Self> {
        let json = record.bytes();
        let member = |place: usize| {
            let (name, value) = index.member(place);
            let is_object = json.get(value.start) == Some(&b'{');
            let inside = || Inside { record: record.clone(), places: index.inside(place) };
            let part = Part::Closed(Raw(json.slice(value)), is_object.then(inside));
            Ok((unquoted(&json[name])?.into_owned(), part))
        };
        index.outermost(places).map(member).collect::<Result<_>>().map(Self)
    }

    /// Takes what stands at a path of member names out; objects that hold nothing else go with it. A path through an
    /// array takes nothing, and null counts as nothing.
    pub(crate) fn take(&mut self, path: &str) -> Option<Part> {
        self.take_if(path, |part| !part.is_null())
    }

    /// Takes the object at a path out, as its members; null has none, and what is neither stays.
    pub fn take_fields(&mut self, path: &str) -> Result<Fields> {
        match self.take_if(path, |part| part.is_object() || part.is_null()) {
            Some(part) => Ok(part.fields()?.unwrap_or_default()),
            None => Ok(Fields::default()),
        }
    }

    fn take_if(&mut self, path: &str, wanted: impl FnOnce(&Part) -> bool) -> Option<Part> {
        let (name, rest) = path.split_once('.').map_or((path, None), |(name, rest)| (name, Some(rest)));
        let place = self.0.iter().position(|(known, _)| known == name)?;
        let Some(rest) = rest else {
            return wanted(&self.0[place].1).then(|| self.0.remove(place).1);
        };
        let inner = self.0[place].1.open()?;
        let taken = inner.take_if(rest, wanted)?;
        if inner.0.is_empty() {
            self.0.remove(place);
        }
        Some(taken)
    }

    /// The members that are left.
    pub fn close(self) -> Fields {
        self.0.into_iter().map(|(name, part)| (name, part.close())).collect()
    }
}

impl Part {
    fn is_null(&self) -> bool {
        matches!(self, Self::Closed(value, _) if value.is_null())
    }

    fn is_object(&self) -> bool {
        match self {
            Self::Open(_) | Self::Closed(_, Some(_)) => true,
            Self::Closed(value, None) => value.bytes().first() == Some(&b'{'),
        }
    }

    /// Its members, if it is an object.
    fn open(&mut self) -> Option<&mut Tree> {
        if let Part::Closed(value, inside) = self {
            let tree = match inside {
                Some(inside) => inside.open().ok()?,
                None => Tree::of(&value.clone().record()?).ok()?,
            };
            *self = Part::Open(tree);
        }
        match self {
            Part::Open(tree) => Some(tree),
            Part::Closed(..) => None,
        }
    }

    /// As a value.
    pub fn close(self) -> Raw {
        match self {
            Part::Closed(value, _) => value,
            Part::Open(tree) => tree.close().raw(),
        }
    }

    /// Its members if it is an object, or the value that it is.
    pub fn fields(self) -> Result<Result<Fields, Raw>> {
        match self {
            Part::Open(tree) => Ok(Ok(tree.close())),
            Part::Closed(_, Some(inside)) => Ok(Ok(inside.open()?.close())),
            Part::Closed(value, None) => match value.clone().record() {
                Some(record) => record.fields().map(Ok),
                None => Ok(Err(value)),
            },
        }
    }
}

impl Inside {
    fn open(&self) -> Result<Tree> {
        match self.record.index() {
            Some(index) => Tree::listed(&self.record, index, self.places.clone()),
            None => Ok(Tree(Vec::new())),
        }
    }
}

impl From<Fields> for Tree {
    fn from(fields: Fields) -> Self {
        Self(fields.into_iter().map(|(name, value)| (name, Part::Closed(value, None))).collect())
    }
}

impl Fields {
    /// Takes what stands at a path of member names out; objects that hold nothing else go with it. A path through an array
    /// takes nothing, and null counts as nothing.
    pub fn take_at(&mut self, path: &str) -> Option<Raw> {
        let mut tree = Tree::from(std::mem::take(self));
        let taken = tree.take(path);
        *self = tree.close();
        taken.map(Part::close)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::{super::Record, *};

    #[test]
    fn what_is_left_is_written_once_and_what_is_empty_goes() {
        let json = br#"{"a":{"b":{"c":1},"d":[{"e":2}], "n":null},"f":"x","g":null,"a":{"twice":3}}"#;
        let mut tree = Tree::of(&Record::parse(&Bytes::from_static(json)).unwrap()).unwrap();
        let mut take = |path: &str| tree.take(path).map(|part| format!("{:?}", part.close()));
        assert_eq!(take("a.b.c").as_deref(), Some("1"));
        for nothing in ["a.b", "a.b.c", "a.d.0", "a.d.e", "a.n", "g", "f.x", "nope", ""] {
            assert_eq!(take(nothing), None, "{nothing}");
        }
        assert_eq!(take("f").as_deref(), Some(r#""x""#));
        let left = format!("{:?}", tree.close());
        assert_eq!(left, r#"{"a":{"d":[{"e":2}],"n":null},"g":null,"a":{"twice":3}}"#);
    }

    #[test]
    fn members_of_an_indexed_record_are_taken_the_same() {
        let json = br#"{"a":{"b":{"c":1,"d":{}},"e":[{"f":2}]},"g":null,"h":"x"}"#;
        let plain = Record::parse(&Bytes::from_static(json)).unwrap();
        for record in [plain.clone().indexed(), plain] {
            let mut tree = Tree::of(&record).unwrap();
            let mut take = |path: &str| format!("{:?}", tree.take_fields(path).unwrap());
            for nothing in ["g", "h", "a.e", "a.b.d", "nope", "h.x"] {
                assert_eq!(take(nothing), "{}", "{nothing}");
            }
            assert_eq!(take("a.b"), r#"{"c":1}"#);
            assert_eq!(format!("{:?}", tree.close()), r#"{"a":{"e":[{"f":2}]},"h":"x"}"#);
        }
    }

    #[test]
    fn an_object_that_was_opened_is_one_value_still() {
        let fields =
            || Record::parse(&Bytes::from_static(br#"{"a":{"b":1,"c":2},"d":3}"#)).unwrap().fields().unwrap();
        let mut tree = Tree::from(fields());
        tree.take("a.b").unwrap();
        assert_eq!(format!("{:?}", tree.take("a").unwrap().fields().unwrap().unwrap()), r#"{"c":2}"#);
        assert!(tree.take("d").unwrap().fields().unwrap().is_err(), "a number has no members");
        let mut one = fields();
        assert_eq!(one.take_at("a.c").map(|value| value.text()), Some(Some("2".into())));
        assert_eq!(format!("{one:?}"), r#"{"a":{"b":1},"d":3}"#);
    }
}
