//! SQL over the embedded warehouse, for reading only: the schemas that it names are attached, and an authorizer sees
//! to it that nothing else is reached.

use std::{io::Write, path::Path};

use headwater_core::error::{Error, Result};
use rusqlite::{
    Connection, OpenFlags, Row,
    config::DbConfig,
    hooks::{AuthAction, AuthContext, Authorization},
    types::ValueRef,
};

use super::{Answer, Format, Value, unwritten};
use crate::warehouse::{name, sqlite::file, table::real};

/// How many files SQLite attaches at once.
const MOST_ATTACHED: usize = 10;

/// Runs `sql` over the schemas in `folder`, writes its rows to `out`, and tells how many there were.
pub fn query(folder: &Path, sql: &str, format: Format, out: &mut impl Write) -> Result<u64> {
    let schemas = schemas(folder)?;
    let db = open(folder, sql, &schemas)?;
    db.authorizer(Some(only_reads));
    let mut statement = db.prepare(sql).map_err(|error| explain(&error, folder, &schemas))?;
    if statement.column_count() == 0 {
        return Err(Error::config("there is nothing to read in that: write one SELECT"));
    }
    let names: Vec<String> = statement.column_names().into_iter().map(str::to_owned).collect();
    let mut answer = Answer::new(names, format, out).map_err(|error| unwritten(&error))?;
    let wrong = |error: rusqlite::Error| explain(&error, folder, &schemas);
    let mut rows = statement.query([]).map_err(wrong)?;
    while let Some(row) = rows.next().map_err(wrong)? {
        let values =
            (0..answer.names.len()).map(|at| value(row, at)).collect::<Result<_, _>>().map_err(wrong)?;
        answer.row(values).map_err(|error| unwritten(&error))?;
    }
    answer.end().map_err(|error| unwritten(&error))
}

/// The schemas in `folder`, in order.
pub fn schemas(folder: &Path) -> Result<Vec<String>> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => {
            return Err(Error::config(format!(
                "the warehouse's folder {} cannot be read: {error}",
                folder.display()
            )));
        }
    };
    let mut schemas: Vec<String> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".db").map(str::to_owned))
        .filter(|schema| name::check_schema(schema).is_ok())
        .collect();
    schemas.sort();
    Ok(schemas)
}

/// A connection to an empty database, with the schemas attached that the SQL names.
fn open(folder: &Path, sql: &str, schemas: &[String]) -> Result<Connection> {
    let wrong = |error: rusqlite::Error| Error::unexpected(format!("SQLite cannot be started: {error}"));
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_in_memory_with_flags(flags).map_err(wrong)?;
    let words = words(sql);
    let named: Vec<&String> =
        schemas.iter().filter(|schema| words.iter().any(|word| word.eq_ignore_ascii_case(schema))).collect();
    if named.len() > MOST_ATTACHED {
        return Err(Error::config(format!(
            "the SQL names {} schemas, and SQLite attaches at most {MOST_ATTACHED} at once: ask in two steps",
            named.len()
        )));
    }
    for schema in named {
        let path = file(folder, schema);
        let uri = format!("file:{}?mode=ro", escaped(&path.to_string_lossy()));
        db.execute("ATTACH DATABASE ?1 AS ?2", [uri.as_str(), schema.as_str()]).map_err(|error| {
            Error::config(format!(
                "the warehouse file {} cannot be read ({error}): see that this user may read it and its folder",
                path.display()
            ))
        })?;
    }
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true).map_err(wrong)?;
    db.pragma_update(None, "query_only", true).map_err(wrong)?;
    Ok(db)
}

/// Reading, and functions that only compute.
fn only_reads(context: AuthContext<'_>) -> Authorization {
    match context.action {
        AuthAction::Select | AuthAction::Read { .. } | AuthAction::Recursive => Authorization::Allow,
        AuthAction::Function { function_name } if !function_name.eq_ignore_ascii_case("load_extension") => {
            Authorization::Allow
        }
        _ => Authorization::Deny,
    }
}

/// The names in the SQL, quoted or not; text in single quotes and comments left out.
fn words(sql: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = sql;
    while let Some(first) = rest.chars().next() {
        let close = match first {
            '\'' | '"' | '`' => Some(first),
            '[' => Some(']'),
            _ => None,
        };
        if let Some(close) = close {
            let inner = &rest[1..];
            let end = inner.find(close).unwrap_or(inner.len());
            if first != '\'' {
                words.push(inner[..end].to_owned());
            }
            rest = inner.get(end + 1..).unwrap_or("");
        } else if rest.starts_with("--") {
            rest = rest.split_once('\n').map_or("", |(_, rest)| rest);
        } else if rest.starts_with("/*") {
            rest = rest.split_once("*/").map_or("", |(_, rest)| rest);
        } else if first.is_alphanumeric() || first == '_' {
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            words.push(rest[..end].to_owned());
            rest = &rest[end..];
        } else {
            rest = &rest[first.len_utf8()..];
        }
    }
    words
}

fn escaped(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'?' | b'#' | b'%' => out.push_str(&format!("%{byte:02X}")),
            _ => out.push(char::from(byte)),
        }
    }
    out
}

/// One line: what is wrong with the SQL, and the tables that may have been meant.
fn explain(error: &rusqlite::Error, folder: &Path, schemas: &[String]) -> Error {
    let message = match error {
        rusqlite::Error::SqlInputError { msg, .. } | rusqlite::Error::SqliteFailure(_, Some(msg)) => {
            msg.clone()
        }
        rusqlite::Error::MultipleStatement => {
            return Error::config("only one statement is run: leave out what follows the first ;");
        }
        other => other.to_string(),
    };
    if message.starts_with("not authorized") {
        return Error::config("query only reads: write a SELECT over the schemas' tables");
    }
    let Some(missing) = message.strip_prefix("no such table: ") else { return Error::config(message) };
    let near = near(missing, &tables(folder, schemas));
    if near.is_empty() {
        return Error::config(format!("{message}: the warehouse is empty, sync a source first"));
    }
    Error::config(format!("{message}: write schema.table; near to it are {}", near.join(", ")))
}

/// Every table, with its schema.
fn tables(folder: &Path, schemas: &[String]) -> Vec<String> {
    let mut all = Vec::new();
    for schema in schemas {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let Ok(db) = Connection::open_with_flags(file(folder, schema), flags) else { continue };
        let Ok(mut names) =
            db.prepare("SELECT name FROM sqlite_master WHERE type IN ('table', 'view') ORDER BY name")
        else {
            continue;
        };
        if let Ok(names) = names.query_map([], |row| row.get::<_, String>(0)) {
            all.extend(names.flatten().map(|name| format!("{schema}.{name}")));
        }
    }
    all
}

/// The five names that are most like `missing`, with or without its schema.
fn near(missing: &str, all: &[String]) -> Vec<String> {
    let bare = |name: &str| name.rsplit('.').next().unwrap_or(name).to_owned();
    let mut scored: Vec<(f64, &String)> = all
        .iter()
        .map(|name| {
            let whole = strsim::jaro_winkler(missing, name);
            (whole.max(strsim::jaro_winkler(&bare(missing), &bare(name)) - 0.01), name)
        })
        .collect();
    scored.sort_by(|one, other| other.0.total_cmp(&one.0));
    scored.into_iter().take(5).map(|(_, name)| name.clone()).collect()
}

fn value(row: &Row<'_>, at: usize) -> Result<Value, rusqlite::Error> {
    Ok(match row.get_ref(at)? {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::Plain(number.to_string()),
        ValueRef::Real(number) => Value::Plain(real(number)),
        ValueRef::Text(text) => Value::Text(String::from_utf8_lossy(text).into_owned()),
        ValueRef::Blob(bytes) => Value::Text(hex::encode(bytes)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_outside_of_text_and_comments() {
        let sql = "SELECT a.b, 'no.t' FROM \"stripe_prod\".charges -- x.y\n JOIN [zen].t /* q.r */ WHERE é";
        assert_eq!(
            words(sql),
            ["SELECT", "a", "b", "FROM", "stripe_prod", "charges", "JOIN", "zen", "t", "WHERE", "é"]
        );
    }
}
