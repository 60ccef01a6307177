//! Where the members of a record stand, those of the objects inside it too: found in one pass, so that a path is answered
//! without reading the record again.

use std::ops::Range;

use super::{
    Next,
    raw::{Step, is_named, member},
    scan::Walk,
};
use crate::error::Result;

/// The members of one JSON object and of the objects in it, in the order in which they stand. What is inside an array is
/// not listed: it is read when it is asked for.
#[derive(Debug, Default)]
pub(super) struct Index(Vec<Member>);

#[derive(Debug)]
struct Member {
    /// What stands between its name's quotes.
    name: Range<u32>,
    value: Range<u32>,
    /// The place behind the last of its own members.
    end: u32,
}

impl Index {
    /// Of JSON that is known to be valid, and of at most 4 GiB: places are 32 bits wide, for one is kept for every member.
    pub fn of(json: &[u8]) -> Self {
        let small = |range: Range<usize>| range.start as u32..range.end as u32;
        let mut walk = Walk::new(json);
        let mut members: Vec<Member> = Vec::with_capacity(32.min(json.len() / 8));
        let mut open = Vec::new();
        if walk.peek() != Some(Next::Object) {
            return Self::default();
        }
        walk.enter();
        loop {
            let end = members.len() as u32 + 1;
            if let Some(name) = walk.member() {
                let name = small(name);
                if walk.peek() == Some(Next::Object) {
                    let start = walk.place() as u32;
                    open.push(members.len());
                    members.push(Member { name, value: start..start, end });
                    walk.enter();
                } else if let Some(value) = walk.value() {
                    members.push(Member { name, value: small(value), end });
                }
            } else if let Some(member) = open.pop().and_then(|place: usize| members.get_mut(place)) {
                member.value.end = walk.place() as u32;
                member.end = end - 1;
            } else {
                return Self(members);
            }
        }
    }

    /// What stands at `path` of the object that this is the index of: the same as [`at`](super::raw::at) finds.
    pub fn at<'j>(&self, json: &'j [u8], path: &str) -> Result<Option<&'j [u8]>> {
        let (mut here, mut listed) = (json, Some(0..self.0.len()));
        for step in path.split('.').map(Step::of) {
            let (found, inside) = match listed {
                None => (member(here, step.name), None),
                Some(members) => match self.last(json, members, step.name) {
                    None => (None, None),
                    Some(place) => {
                        let member = &self.0[place];
                        (Some(&json[member.value()]), Some(self.inside(place)))
                    }
                },
            };
            let Some(found) = found else { return Ok(None) };
            let Some(chosen) = step.chosen(found, path)? else { return Ok(None) };
            here = chosen;
            listed = inside.filter(|_| found.first() == Some(&b'{'));
        }
        Ok(Some(here))
    }

    /// How many members there are, those of the objects inside too.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The outermost among the members at these places.
    pub fn outermost(&self, places: Range<usize>) -> impl Iterator<Item = usize> {
        let mut next = places.start;
        std::iter::from_fn(move || {
            let place = next;
            next = self.0.get(place).filter(|_| place < places.end)?.end as usize;
            Some(place)
        })
    }

    /// Where the name of the member at `place` stands, between its quotes, and its value.
    pub fn member(&self, place: usize) -> (Range<usize>, Range<usize>) {
        (self.0[place].name(), self.0[place].value())
    }

    /// The places of the members inside the one at `place`.
    pub fn inside(&self, place: usize) -> Range<usize> {
        place + 1..self.0[place].end as usize
    }

    /// The last member of that name among these.
    fn last(&self, json: &[u8], members: Range<usize>, name: &str) -> Option<usize> {
        self.outermost(members).filter(|place| is_named(&json[self.0[*place].name()], name)).last()
    }
}

impl Member {
    fn name(&self) -> Range<usize> {
        self.name.start as usize..self.name.end as usize
    }

    fn value(&self) -> Range<usize> {
        self.value.start as usize..self.value.end as usize
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::{
        super::{Record, scan::tests::BROKEN},
        *,
    };

    #[test]
    fn it_finds_what_reading_finds() {
        for json in [
            r#"{"a":{"b":[{"t":"x","v":1},{"t":"y","v":{"w":2}}],"a":{}},"n":null,"é\"":"q","a.b":7}"#,
            r#"{"a":1,"a":{"b":3,"b":{"t":[[0,{"v":5}]]}},"b":{"a":{"b":{"v":9}}}}"#,
            r#" {"\u0061" : { "b" : [ 1 , 2 ] } , "" : { "" : "deep" } }"#,
            "{}",
        ] {
            let plain = Record::parse(&Bytes::from_static(json.as_bytes())).unwrap();
            let indexed = plain.clone().indexed();
            for path in [
                "a",
                "b",
                "n",
                "é\"",
                "",
                ".",
                "a.b",
                "a.a",
                "a.b.1",
                "a.b.1.v.w",
                "a.b.t.0.1.v",
                "a.b[t=y].v.w",
                "a.b[t=z].v",
                "b.a.b.v",
                "n.a",
                "a.b.9",
                "a[t=x]",
                "b[a=1]",
            ] {
                let (one, two) = (indexed.at(path), plain.at(path));
                assert_eq!(
                    one.map_err(|e| e.to_string()),
                    two.map_err(|e| e.to_string()),
                    "{path} of {json}"
                );
            }
            assert_eq!(indexed.fields().unwrap(), plain.fields().unwrap(), "{json}");
        }
    }

    #[test]
    fn no_text_is_too_deep_or_too_broken() {
        let deep = format!("{}1{}", r#"{"a":"#.repeat(100_000), "}".repeat(100_000));
        let record = Record::parse(&Bytes::from(deep)).unwrap().indexed();
        assert!(record.text(&["a"; 100_000].join(".")).unwrap().is_some());
        for text in BROKEN {
            let _ = Index::of(text.as_bytes()).at(text.as_bytes(), "a.b");
        }
    }
}
