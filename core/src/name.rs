//! Names of tables and columns: Segment's snake case, cut to what every database takes, never two for one.

use std::{borrow::Cow, collections::HashSet};

use sha2::{Digest, Sha256};

/// The longest identifier, in bytes: Postgres' limit, kept everywhere so that a schema can move.
pub const MAX_IDENTIFIER: usize = 63;

/// The bytes of a suffix that keeps names apart: an underscore and eight hex digits.
const SUFFIX: usize = 9;

/// Segment's snake case: `aB` and `a b` become `a_b`, `HTTPStatus` becomes `httpstatus`, what is neither a letter nor
/// a digit separates words. Nothing is left of a name without ASCII letters and digits.
pub fn snake(name: &str) -> String {
    let bytes = name.as_bytes();
    let mut out = String::with_capacity(name.len() + 4);
    let mut at = 0;
    while at < bytes.len() {
        while at < bytes.len() && !bytes[at].is_ascii_alphanumeric() {
            at += 1;
        }
        if at < bytes.len() && !out.is_empty() {
            out.push('_');
        }
        while at < bytes.len() && (bytes[at].is_ascii_uppercase() || bytes[at].is_ascii_digit()) {
            out.push(char::from(bytes[at].to_ascii_lowercase()));
            at += 1;
        }
        while at < bytes.len() && (bytes[at].is_ascii_lowercase() || bytes[at].is_ascii_digit()) {
            out.push(char::from(bytes[at]));
            at += 1;
        }
    }
    out
}

/// `words` as an identifier: it begins with no digit, and one that is too long is cut and set apart. `of` is what it
/// names, and all that is left to tell it by where no word is.
pub fn identifier(words: &str, of: &str) -> String {
    let words: Cow<'_, str> = match words.as_bytes().first() {
        None => return format!("_{}", digest(of)),
        Some(first) if first.is_ascii_digit() => format!("_{words}").into(),
        Some(_) => words.into(),
    };
    if words.len() <= MAX_IDENTIFIER { words.into_owned() } else { apart(&words, of) }
}

/// `name` and a suffix that depends on `of` alone, whatever else there is: for the second that would have that name.
pub fn apart(name: &str, of: &str) -> String {
    let end = name.len().min(MAX_IDENTIFIER - SUFFIX);
    format!("{}_{}", &name[..floor(name, end)], digest(of))
}

/// The identifier that a vendor's name gets in snake case, set apart from those that are `taken`.
pub fn distinct(vendors: &str, taken: &mut HashSet<String>) -> String {
    let name = identifier(&snake(vendors), vendors);
    let name = if taken.contains(&name) { apart(&name, vendors) } else { name };
    taken.insert(name.clone());
    name
}

fn digest(text: &str) -> String {
    hex::encode(&Sha256::digest(text.as_bytes())[..(SUFFIX - 1) / 2])
}

/// The last place up to `end` where `text` can be cut.
fn floor(text: &str, end: usize) -> usize {
    (0..=end).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_snake_cased_as_segment_does() {
        for (name, wanted) in [
            ("fieldName", "field_name"),
            ("FieldName", "field_name"),
            ("field-name", "field_name"),
            ("Order Completed!", "order_completed"),
            ("userID", "user_id"),
            ("APIKey", "apikey"),
            ("foo2Bar", "foo2_bar"),
            ("foo__c", "foo_c"),
            ("_id", "id"),
            ("größe", "gr_e"),
            ("注文", ""),
            ("", ""),
        ] {
            assert_eq!(snake(name), wanted, "{name}");
        }
    }

    #[test]
    fn identifiers_fit_and_stay_apart() {
        let (one, two) = ("x".repeat(70), "x".repeat(71));
        for name in [identifier(&one, &one), apart(&one, "p"), identifier("", "注文"), apart("é", "p")] {
            assert!(name.len() <= MAX_IDENTIFIER, "{name}");
        }
        assert_ne!(identifier(&one, &one), identifier(&two, &two));
        assert_eq!(identifier(&one, &one), identifier(&one, &one));
        assert_eq!(identifier("2checkout", "2checkout"), "_2checkout");
    }

    #[test]
    fn the_second_of_a_name_is_called_the_same_whatever_else_there_is() {
        let (mut few, mut many) = (HashSet::new(), HashSet::from(["other".to_owned()]));
        assert_eq!(distinct("FooBar__c", &mut few), "foo_bar_c");
        let second = distinct("Foo_Bar__c", &mut few);
        assert!(second.starts_with("foo_bar_c_") && second.len() == "foo_bar_c".len() + SUFFIX, "{second}");
        distinct("FooBar__c", &mut many);
        assert_eq!(distinct("Foo_Bar__c", &mut many), second);
        let long = distinct(&"Ab".repeat(40), &mut few);
        assert!(long.len() == MAX_IDENTIFIER && long.starts_with("ab_ab_"), "{long}");
    }
}
