//! SQL over a Postgres warehouse: one statement, in a transaction that only reads, its rows as they come.

use std::io::Write;

use futures::TryStreamExt;
use headwater_core::error::{Error, Result};
use postgres_types::Type;
use tokio_postgres::{SimpleQueryMessage, error::SqlState};

use super::{Answer, Format, Value, unwritten};
use crate::warehouse::{
    postgres::{Link, PostgresSettings, Trouble},
    table::real,
};

/// What holds for a question: it reads, it does not take for ever, it finds `schema.table`.
const READING: &str = "SET search_path = pg_catalog, public; SET enable_hashjoin = on; SET enable_mergejoin = on; SET jit = on; \
    SET default_transaction_read_only = on; SET statement_timeout = '10min'; SET extra_float_digits = 1; BEGIN READ ONLY";

/// See [`super::query`]. It has a thread of its own, because the caller may be inside a runtime.
pub fn query(
    settings: &PostgresSettings,
    sql: &str,
    format: Format,
    out: &mut (impl Write + Send),
) -> Result<u64> {
    let link = Link::new(settings)?;
    let asked = std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(|error| Error::unexpected(format!("no runtime: {error}")))?;
            runtime.block_on(ask(&link, sql, format, out))
        });
        asking.join().unwrap_or_else(|_| Err(Error::unexpected("the question was not answered").into()))
    });
    asked.map_err(|trouble| match trouble {
        Trouble::Postgres(error) if error.as_db_error().is_some() => explain(error, &link),
        other => other.explain(&link.target),
    })
}

async fn ask(link: &Link, sql: &str, format: Format, out: &mut impl Write) -> Result<u64, Trouble> {
    let client = link.open().await?;
    client.batch_execute(READING).await?;
    // Only one statement can be prepared, so that none can end the transaction and begin another.
    let statement = client.prepare(sql).await?;
    if statement.columns().is_empty() {
        return Err(Error::config("there is nothing to read in that: write one SELECT").into());
    }
    let types: Vec<Type> = statement.columns().iter().map(|column| column.type_().clone()).collect();
    let names = statement.columns().iter().map(|column| column.name().to_owned()).collect();
    let written = |error: std::io::Error| Trouble::Plain(unwritten(&error));
    let mut answer = Answer::new(names, format, out).map_err(written)?;
    // As text: a user's own types have no other form that is known here.
    let mut rows = std::pin::pin!(client.simple_query_raw(sql).await?);
    while let Some(message) = rows.try_next().await? {
        let SimpleQueryMessage::Row(row) = message else { continue };
        let values = types.iter().enumerate().map(|(at, kind)| value(kind, row.get(at))).collect();
        answer.row(values).map_err(written)?;
    }
    answer.end().map_err(written)
}

/// A value as every warehouse writes it.
fn value(kind: &Type, text: Option<&str>) -> Value {
    let Some(text) = text else { return Value::Null };
    match *kind {
        Type::BOOL => Value::Plain(if text == "t" { "true" } else { "false" }.to_owned()),
        Type::INT2 | Type::INT4 | Type::INT8 | Type::OID => Value::Plain(text.to_owned()),
        Type::NUMERIC if text.ends_with(|c: char| c.is_ascii_digit()) => Value::Plain(text.to_owned()),
        Type::FLOAT4 | Type::FLOAT8 => match text.parse::<f64>() {
            Ok(number) if number.is_finite() => Value::Plain(real(number)),
            _ => Value::Text(text.to_owned()),
        },
        Type::TIMESTAMPTZ => Value::Text(instant(text).unwrap_or_else(|| text.to_owned())),
        _ => Value::Text(text.to_owned()),
    }
}

/// `2024-05-06 12:00:00.5+00` as it is written everywhere: `2024-05-06T12:00:00.500000Z`.
fn instant(text: &str) -> Option<String> {
    let (day, time) = text.strip_suffix("+00")?.split_once(' ')?;
    let (time, fraction) = time.split_once('.').unwrap_or((time, ""));
    Some(format!("{day}T{time}.{fraction:0<6}Z"))
}

/// One line: what is wrong with the SQL.
fn explain(error: tokio_postgres::Error, link: &Link) -> Error {
    let Some(said) = error.as_db_error() else { return Trouble::Postgres(error).explain(&link.target) };
    let message = said.message();
    match *said.code() {
        SqlState::SYNTAX_ERROR if message.contains("multiple commands") => {
            Error::config("only one statement is run: leave out what follows the first ;")
        }
        SqlState::READ_ONLY_SQL_TRANSACTION => {
            Error::config("query only reads: write a SELECT over the schemas' tables")
        }
        SqlState::UNDEFINED_TABLE | SqlState::INVALID_SCHEMA_NAME => Error::config(format!(
            "{message}: write schema.table; SELECT table_schema, table_name FROM information_schema.tables lists them"
        )),
        ref code if code.code().starts_with("22") || code.code().starts_with("42") => {
            let hint = said.hint().map(|hint| format!(" ({hint})")).unwrap_or_default();
            Error::config(format!("{message}{hint}"))
        }
        _ => Trouble::Postgres(error).explain(&link.target),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_as_everywhere() {
        for (kind, text, wanted) in [
            (Type::BOOL, "t", "true"),
            (Type::FLOAT8, "1", "1.0"),
            (Type::NUMERIC, "1.50", "1.50"),
            (Type::TIMESTAMPTZ, "2024-05-06 12:00:00+00", "2024-05-06T12:00:00.000000Z"),
            (Type::TIMESTAMPTZ, "2024-05-06 12:00:00.25+00", "2024-05-06T12:00:00.250000Z"),
            (Type::TIMESTAMPTZ, "infinity", "infinity"),
        ] {
            assert_eq!(value(&kind, Some(text)).text(), wanted);
        }
    }
}
