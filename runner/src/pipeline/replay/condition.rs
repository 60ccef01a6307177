//! `--where`: simple conditions on a call or its delivery.

use headwater_core::{
    error::{Error, Result},
    spec::Call,
};

use crate::{
    inbox::StoredDelivery,
    warehouse::{
        StoredCall,
        calls::{event_table, table_of},
    },
};

/// What can be asked about, as it is written.
const FIELDS: [(&str, Field); 10] = [
    ("event", Field::Event),
    ("type", Field::Type),
    ("messageId", Field::MessageId),
    ("userId", Field::UserId),
    ("anonymousId", Field::AnonymousId),
    ("groupId", Field::GroupId),
    ("delivery", Field::Delivery),
    ("surface", Field::Surface),
    ("path", Field::Path),
    ("kind", Field::Kind),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Event,
    Type,
    MessageId,
    UserId,
    AnonymousId,
    GroupId,
    Delivery,
    Surface,
    Path,
    Kind,
}

/// One condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    field: Field,
    equal: bool,
    value: String,
}

/// Reads `event = 'Order Completed'`, several joined by AND. Values stand in single or double quotes, or by themselves.
pub fn conditions(text: &str) -> Result<Vec<Condition>> {
    let wrong = |what: &str| {
        Error::config(format!(
            "--where {text:?}: {what}; write it like --where \"event = 'Order Completed'\""
        ))
    };
    let mut conditions = Vec::new();
    let mut rest = text.trim();
    loop {
        let end = rest.find(|c: char| !c.is_alphanumeric()).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        let Some((_, field)) = FIELDS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)) else {
            let known = FIELDS.map(|(known, _)| known).join(", ");
            return Err(wrong(&format!("{name:?} cannot be asked about, only {known} can")));
        };
        let after = after.trim_start();
        let (equal, after) = match (after.strip_prefix("!="), after.strip_prefix('=')) {
            (Some(after), _) => (false, after),
            (None, Some(after)) => (true, after.strip_prefix('=').unwrap_or(after)),
            (None, None) => return Err(wrong(&format!("= or != has to follow {name}"))),
        };
        let (value, after) = value(after.trim_start()).ok_or_else(|| wrong("a quote is not closed"))?;
        if value.is_empty() {
            return Err(wrong(&format!("{name} is compared with nothing")));
        }
        conditions.push(Condition { field: *field, equal, value });
        rest = after.trim_start();
        if rest.is_empty() {
            return Ok(conditions);
        }
        let and = rest.get(..4).filter(|word| word.trim_end().eq_ignore_ascii_case("and"));
        rest = and
            .and_then(|_| rest.get(4..))
            .ok_or_else(|| wrong("conditions are joined by AND"))?
            .trim_start();
    }
}

/// A value at the start of `text`, and what follows it. A quote inside is written twice.
fn value(text: &str) -> Option<(String, &str)> {
    let Some(quote) = text.chars().next().filter(|c| matches!(c, '\'' | '"')) else {
        let end = text.find(char::is_whitespace).unwrap_or(text.len());
        return Some((text[..end].to_owned(), &text[end..]));
    };
    let mut value = String::new();
    let mut rest = &text[1..];
    loop {
        let end = rest.find(quote)?;
        value.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.strip_prefix(quote) {
            Some(after) => {
                value.push(quote);
                rest = after;
            }
            None => return Some((value, rest)),
        }
    }
}

impl Condition {
    /// Whether it is about the delivery alone; then, whether it holds.
    pub fn of_delivery(&self, seq: u64, stored: &StoredDelivery) -> Option<bool> {
        let is = match self.field {
            Field::Delivery => seq.to_string() == self.value,
            Field::Surface => stored.surface == self.value,
            Field::Path => stored.delivery.path_tail == self.value,
            Field::Kind => stored.kind.name() == self.value,
            _ => return None,
        };
        Some(is == self.equal)
    }

    /// Whether it holds for a call as it is made now.
    pub fn of_call(&self, call: &Call) -> bool {
        let value = Some(self.value.as_str());
        let is = match self.field {
            Field::Event => call.name.as_deref() == value,
            Field::Type => call.kind.name() == self.value,
            Field::MessageId => call.message_id == self.value,
            Field::UserId => call.user_id.as_deref() == value,
            Field::AnonymousId => call.anonymous_id.as_deref() == value,
            Field::GroupId => call.group_id.as_deref() == value,
            Field::Delivery | Field::Surface | Field::Path | Field::Kind => return true,
        };
        is == self.equal
    }

    /// Whether it holds for a row as it was made before: of ids that are not its own nothing is known, and it does not.
    pub fn of_row(&self, row: &StoredCall) -> bool {
        let is = match self.field {
            Field::Event => row.event.is_some() && row.event == event_table(&self.value),
            Field::Type => headwater_core::spec::CallKind::find(&self.value).map(table_of) == Some(row.table),
            Field::MessageId => row.id == self.value,
            Field::UserId | Field::AnonymousId | Field::GroupId => return false,
            Field::Delivery | Field::Surface | Field::Path | Field::Kind => return true,
        };
        is == self.equal
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_read_or_explained() {
        let read = |text: &str| conditions(text).map_err(|error| error.to_string());
        let one = |field, equal, value: &str| Condition { field, equal, value: value.to_owned() };
        assert_eq!(
            read("event = 'It''s done' AND type!=page and  userId == \"u 1\""),
            Ok(vec![
                one(Field::Event, true, "It's done"),
                one(Field::Type, false, "page"),
                one(Field::UserId, true, "u 1")
            ])
        );
        for (text, says) in [
            ("", "cannot be asked about"),
            ("evnt = 'x'", "\"evnt\" cannot be asked about, only event, type"),
            ("event 'x'", "= or != has to follow event"),
            ("event = 'x", "a quote is not closed"),
            ("event = ''", "compared with nothing"),
            ("event = x or type = page", "joined by AND"),
            ("event = x android = y", "joined by AND"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(says) && error.contains("write it like"), "{text}: {error}");
        }
    }

    #[test]
    fn a_condition_knows_calls_and_the_rows_they_were() {
        let mut call = Call::track("Order Completed");
        call.message_id = "m".to_owned();
        let row = StoredCall {
            table: "tracks",
            id: "m".to_owned(),
            delivery: "1:0".to_owned(),
            event: Some("order_completed".to_owned()),
        };
        for (text, call_is, row_is) in [
            ("event = 'Order Completed'", true, true),
            ("event = 'Other'", false, false),
            ("event != 'Other'", true, true),
            ("type = track", true, true),
            ("type = page", false, false),
            ("messageId = m", true, true),
            ("userId = u", false, false),
        ] {
            let condition = conditions(text).unwrap().remove(0);
            assert_eq!((condition.of_call(&call), condition.of_row(&row)), (call_is, row_is), "{text}");
        }
    }
}
