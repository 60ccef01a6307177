//! Names of schemas, tables and columns: Segment's snake case, cut to what every database takes, never two for one.

pub use headwater_core::name::{MAX_IDENTIFIER, apart, snake};
use headwater_core::{
    error::{Error, Result},
    name::identifier,
};

/// What Headwater's own tables and columns begin with.
pub const OWN: &str = "_headwater_";

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

/// Whether a schema can have this name, in every warehouse: lower-case letters, digits and `_`, a letter first, at most 63
/// bytes, and none that a database keeps for itself.
pub fn check_schema(name: &str) -> Result<()> {
    let fits = name.len() <= MAX_IDENTIFIER
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        && !["sqlite_", "pg_"].iter().any(|own| name.starts_with(own))
        && !matches!(name, "main" | "temp" | "information_schema");
    if fits {
        return Ok(());
    }
    Err(Error::config(format!(
        "{name:?} cannot be the name of a schema: use lower-case letters, digits and _, a letter first, at most \
         {MAX_IDENTIFIER}, and none that SQLite or Postgres keep for themselves (main, temp, pg_…)"
    )))
}

/// An identifier, quoted for SQL.
pub fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

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
        for name in [
            "",
            "Stripe",
            "a b",
            "../x",
            "1a",
            "main",
            "sqlite_x",
            "pg_toast",
            "information_schema",
            &"a".repeat(64),
            "a;b",
            "é",
        ] {
            assert!(check_schema(name).is_err(), "{name}");
        }
    }
}
