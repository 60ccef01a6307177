//! What a source's owner does not want: calls that are blocked, members that are hashed or left out.

use headwater_core::{
    record::{Fields, Raw},
    spec::{Call, CallKind},
};
use sha2::{Digest, Sha256};

/// The filters of one source, prepared.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    block: Vec<String>,
    hash: Vec<String>,
    drop: Vec<String>,
}

impl Filter {
    /// From the source's settings.
    pub fn new(block: &[String], hash: &[String], drop: &[String]) -> Self {
        Self { block: block.to_vec(), hash: hash.to_vec(), drop: drop.to_vec() }
    }

    /// The rule that blocks this call, if one does; otherwise its members are hashed and dropped in place.
    pub fn apply(&self, call: &mut Call) -> Option<&str> {
        let blocked = self.block.iter().find(|rule| {
            rule.as_str() == call.kind.name()
                || (call.kind == CallKind::Track && call.name.as_ref() == Some(rule))
        });
        if let Some(rule) = blocked {
            return Some(rule);
        }
        for path in &self.drop {
            if let Some((fields, path)) = target(call, path) {
                edit(fields, path, &|_| None);
            }
        }
        for path in &self.hash {
            if let Some((fields, path)) = target(call, path) {
                edit(fields, path, &|raw| Some(hashed(raw)));
            }
        }
        None
    }
}

fn target<'c, 'p>(call: &'c mut Call, path: &'p str) -> Option<(&'c mut Fields, &'p str)> {
    let (head, rest) = path.split_once('.')?;
    match head {
        "context" => Some((&mut call.context, rest)),
        head if head == call.kind.body() => Some((&mut call.properties, rest)),
        _ => None,
    }
}

/// Replaces what stands at `path`, or takes it away.
fn edit(fields: &mut Fields, path: &str, change: &dyn Fn(&Raw) -> Option<Raw>) {
    if let Some(raw) = fields.get(path) {
        match change(raw) {
            Some(raw) => fields.set(path, raw),
            None => drop(fields.take(path)),
        }
        return;
    }
    let Some((head, rest)) = path.split_once('.') else { return };
    let inner = fields.get(head).and_then(|raw| raw.clone().record()).and_then(|record| record.fields().ok());
    if let Some(mut inner) = inner {
        edit(&mut inner, rest, change);
        fields.set(head, inner.raw());
    }
}

/// SHA-256 in hex: of a string's text, of anything else's JSON.
fn hashed(raw: &Raw) -> Raw {
    let digest = match raw.text() {
        Some(text) => Sha256::digest(text.as_bytes()),
        None => Sha256::digest(raw.bytes()),
    };
    Raw::string(&hex::encode(digest))
}

#[cfg(test)]
mod tests {
    use headwater_core::record::Record;

    use super::*;

    #[test]
    fn calls_are_blocked_and_members_hashed_or_dropped() {
        let json = r#"{"type":"track","event":"E","userId":"1","properties":{"email":"a@b","card":{"no":1,"cvc":2}},"context":{"ip":"1.2.3.4"}}"#;
        let call = Call::parse(&Record::parse(&json.into()).unwrap(), None).unwrap();
        let list = |items: &[&str]| items.iter().map(|item| (*item).to_owned()).collect::<Vec<_>>();
        assert_eq!(Filter::new(&list(&["E"]), &[], &[]).apply(&mut call.clone()), Some("E"));
        assert_eq!(Filter::new(&list(&["track"]), &[], &[]).apply(&mut call.clone()), Some("track"));
        let filter = Filter::new(
            &list(&["page"]),
            &list(&["properties.email", "traits.x"]),
            &list(&["properties.card.cvc", "context.ip"]),
        );
        let mut kept = call;
        assert_eq!(filter.apply(&mut kept), None);
        assert_eq!(kept.context.iter().count(), 0);
        let expected = format!(r#"{{"email":"{}","card":{{"no":1}}}}"#, hex::encode(Sha256::digest("a@b")));
        assert_eq!(format!("{:?}", kept.properties), expected);
    }
}
