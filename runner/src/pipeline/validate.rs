//! What the Spec asks of a call. The reasons are those that Segment shows for calls it discards.

use headwater_core::spec::{Call, CallKind};

/// The longest message id, in characters.
const MESSAGE_ID: usize = 100;

/// Why a call cannot be taken, if it cannot. `max_bytes` is the largest call, `bytes` this one's size as it came.
pub fn reason(call: &Call, bytes: usize, max_bytes: usize) -> Option<&'static str> {
    let wrong = |name: &str| call.rest.get(name).is_some();
    if bytes > max_bytes {
        return Some("call too large");
    }
    for (name, why) in [
        ("messageId", "messageId is not a string"),
        ("properties", "properties is not an object"),
        ("traits", "traits is not an object"),
        ("context", "context is not an object"),
        ("integrations", "integrations is not an object"),
    ] {
        let relevant = !matches!(name, "properties" | "traits") || name == call.kind.body();
        if relevant && wrong(name) {
            return Some(why);
        }
    }
    if call.message_id.chars().count() > MESSAGE_ID {
        return Some("messageId is longer than 100 characters");
    }
    match call.kind {
        CallKind::Track if call.name.is_none() && wrong("event") => return Some("event is not a string"),
        CallKind::Track if call.name.as_deref().is_none_or(|name| name.trim().is_empty()) => {
            return Some("event is missing");
        }
        CallKind::Page | CallKind::Screen if call.name.is_none() && is_set(call, "name") => {
            return Some("name is not a string");
        }
        CallKind::Page | CallKind::Screen if call.category.is_none() && is_set(call, "category") => {
            return Some("category is not a string");
        }
        CallKind::Group if call.group_id.is_none() => return Some("groupId is missing"),
        CallKind::Alias if call.previous_id.is_none() => return Some("previousId is missing"),
        CallKind::Alias if call.user_id.is_none() => return Some("userId is missing"),
        _ => {}
    }
    if call.user_id.is_none() && call.anonymous_id.is_none() {
        return Some("missing identity");
    }
    None
}

/// Whether a member of another type was sent; null counts as left out.
fn is_set(call: &Call, name: &str) -> bool {
    call.rest.get(name).is_some_and(|raw| !raw.is_null())
}

#[cfg(test)]
mod tests {
    use headwater_core::record::Record;

    use super::*;

    #[test]
    fn every_reason() {
        for (json, expected) in [
            (r#"{"type":"track","userId":"1","event":"E"}"#, None),
            (r#"{"type":"track","event":"E"}"#, Some("missing identity")),
            (r#"{"type":"track","userId":"","event":"E"}"#, Some("missing identity")),
            (r#"{"type":"track","userId":"1"}"#, Some("event is missing")),
            (r#"{"type":"track","userId":"1","event":7}"#, Some("event is not a string")),
            (
                r#"{"type":"track","userId":"1","event":"E","properties":"x"}"#,
                Some("properties is not an object"),
            ),
            (r#"{"type":"track","userId":"1","event":"E","traits":"x"}"#, None),
            (r#"{"type":"identify","userId":"1","traits":[1]}"#, Some("traits is not an object")),
            (r#"{"type":"page","userId":"1","name":{}}"#, Some("name is not a string")),
            (r#"{"type":"page","userId":"1","name":null}"#, None),
            (r#"{"type":"screen","userId":"1","category":1}"#, Some("category is not a string")),
            (r#"{"type":"group","userId":"1"}"#, Some("groupId is missing")),
            (r#"{"type":"alias","userId":"1"}"#, Some("previousId is missing")),
            (r#"{"type":"alias","previousId":"1"}"#, Some("userId is missing")),
            (r#"{"type":"page","userId":"1","messageId":1}"#, Some("messageId is not a string")),
            (r#"{"type":"page","userId":"1","context":1}"#, Some("context is not an object")),
        ] {
            let call = Call::parse(&Record::parse(&json.into()).unwrap(), None).unwrap();
            assert_eq!(reason(&call, json.len(), 32 << 10), expected, "{json}");
            assert_eq!(reason(&call, json.len(), 10), Some("call too large"));
        }
    }
}
