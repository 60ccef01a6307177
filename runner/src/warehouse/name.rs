//! Names of schemas, tables and columns: Segment's snake case, cut to what every database takes, never two for one.

use std::borrow::Cow;

use headwater_core::error::{Error, Result};
use sha2::{Digest, Sha256};

/// The longest identifier, in bytes: Postgres' limit, kept everywhere so that a schema can move.
pub const MAX_IDENTIFIER: usize = 63;

/// What Headwater's own tables and columns begin with.
pub const OWN: &str = "_headwater_";

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

/// The column that a member of `path` gets when nothing else has that name. `words` is the path in snake case.
pub fn column(words: &str, path: &str) -> String {
    identifier(words, path)
}

/// The table of an event or collection of this name.
pub fn table(name: &str) -> String {
    let words = snake(name);
    // SQLite keeps this prefix for itself.
    let words = if words.starts_with("sqlite_") { format!("_{words}") } else { words };
    identifier(&words, name)
}

/// `name` and a suffix that depends on `path` alone: for the second member that would have that name.
pub fn apart(name: &str, path: &str) -> String {
    let end = name.len().min(MAX_IDENTIFIER - SUFFIX);
    format!("{}_{}", &name[..floor(name, end)], digest(path))
}

/// Whether a schema can have this name: lower-case letters, digits and `_`, a letter first, at most 63 bytes.
pub fn check_schema(name: &str) -> Result<()> {
    let fits = name.len() <= MAX_IDENTIFIER
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        && !name.starts_with("sqlite_")
        && !matches!(name, "main" | "temp");
    if fits {
        return Ok(());
    }
    Err(Error::config(format!(
        "{name:?} cannot be the name of a schema: use lower-case letters, digits and _, a letter first, at most \
         {MAX_IDENTIFIER}, and neither main nor temp"
    )))
}

/// An identifier, quoted for SQL.
pub fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn identifier(words: &str, of: &str) -> String {
    let words: Cow<'_, str> = match words.as_bytes().first() {
        None => return format!("_{}", digest(of)),
        Some(first) if first.is_ascii_digit() => format!("_{words}").into(),
        Some(_) => words.into(),
    };
    if words.len() <= MAX_IDENTIFIER { words.into_owned() } else { apart(&words, of) }
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
        assert_eq!(table("2checkout"), "_2checkout");
        assert_eq!(table("sqlite master"), "_sqlite_master");
        let (one, two) = ("x".repeat(70), "x".repeat(71));
        for name in
            [column(&one, &one), column(&two, &two), apart(&one, "p"), column("", "注文"), apart("é", "p")]
        {
            assert!(name.len() <= MAX_IDENTIFIER, "{name}");
        }
        assert_ne!(column(&one, &one), column(&two, &two));
        assert_eq!(column(&one, &one), column(&one, &one));
        assert_ne!(table("注文"), table("名前"));
    }

    #[test]
    fn a_schema_is_a_plain_name() {
        for name in ["stripe", "stripe_prod2"] {
            assert!(check_schema(name).is_ok(), "{name}");
        }
        for name in ["", "Stripe", "a b", "../x", "1a", "main", "sqlite_x", &"a".repeat(64), "a;b", "é"] {
            assert!(check_schema(name).is_err(), "{name}");
        }
    }
}
