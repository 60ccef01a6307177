//! Members that are being taken apart.

use super::{Fields, Raw};
use crate::error::Result;

/// The members of an object, to be taken out by their paths: an object inside opens when something in it is taken, and is
/// written again only if something is left of it.
pub struct Tree(Vec<(String, Part)>);

/// What stands at a path of a [`Tree`].
pub enum Part {
    /// A value as it came.
    Closed(Raw),
    /// An object that something was taken from.
    Open(Tree),
}

impl Tree {
    /// These members, none of them open.
    pub fn of(fields: Fields) -> Self {
        Self(fields.into_iter().map(|(name, value)| (name, Part::Closed(value))).collect())
    }

    /// Takes what stands at a path of member names out; objects that hold nothing else go with it. A path through an
    /// array takes nothing, and null counts as nothing.
    pub fn take(&mut self, path: &str) -> Option<Part> {
        let (name, rest) = path.split_once('.').map_or((path, None), |(name, rest)| (name, Some(rest)));
        let place = self.0.iter().position(|(known, _)| known == name)?;
        let Some(rest) = rest else {
            let is_null = matches!(&self.0[place].1, Part::Closed(value) if value.is_null());
            return (!is_null).then(|| self.0.remove(place).1);
        };
        let inner = self.0[place].1.open()?;
        let taken = inner.take(rest)?;
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
    /// Its members, if it is an object.
    fn open(&mut self) -> Option<&mut Tree> {
        if let Part::Closed(value) = self {
            let fields = value.clone().record()?.fields().ok()?;
            *self = Part::Open(Tree::of(fields));
        }
        match self {
            Part::Open(tree) => Some(tree),
            Part::Closed(_) => None,
        }
    }

    /// As a value.
    pub fn close(self) -> Raw {
        match self {
            Part::Closed(value) => value,
            Part::Open(tree) => tree.close().raw(),
        }
    }

    /// Its members if it is an object, or the value that it is.
    pub fn fields(self) -> Result<Result<Fields, Raw>> {
        match self {
            Part::Open(tree) => Ok(Ok(tree.close())),
            Part::Closed(value) => match value.clone().record() {
                Some(record) => record.fields().map(Ok),
                None => Ok(Err(value)),
            },
        }
    }
}

impl Fields {
    /// Takes what stands at a path of member names out; objects that hold nothing else go with it. A path through an array
    /// takes nothing, and null counts as nothing.
    pub fn take_at(&mut self, path: &str) -> Option<Raw> {
        let mut tree = Tree::of(std::mem::take(self));
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
        let mut tree = Tree::of(Record::parse(&Bytes::from_static(json)).unwrap().fields().unwrap());
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
    fn an_object_that_was_opened_is_one_value_still() {
        let fields =
            || Record::parse(&Bytes::from_static(br#"{"a":{"b":1,"c":2},"d":3}"#)).unwrap().fields().unwrap();
        let mut tree = Tree::of(fields());
        tree.take("a.b").unwrap();
        assert_eq!(format!("{:?}", tree.take("a").unwrap().fields().unwrap().unwrap()), r#"{"c":2}"#);
        assert!(tree.take("d").unwrap().fields().unwrap().is_err(), "a number has no members");
        let mut one = fields();
        assert_eq!(one.take_at("a.c").map(|value| value.text()), Some(Some("2".into())));
        assert_eq!(format!("{one:?}"), r#"{"a":{"b":1},"d":3}"#);
    }
}
