//! Cells in Postgres' binary form, and back. What a column cannot hold is said, so that it can be kept elsewhere.

use bytes::{BufMut, BytesMut};
use headwater_core::object::Type;
use jiff::{Timestamp, civil::Date};
use postgres_types::{IsNull, ToSql, to_sql_checked};
use tokio_postgres::Row;

use crate::warehouse::table::{Cell, number};

/// What became of a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// It is in the column, as it was.
    Whole,
    /// The column has it, but for digits that it does not keep: nanoseconds.
    Rounded,
    /// The column cannot hold it; it is null there.
    Not,
}

/// The day that Postgres counts from.
const EPOCH: Date = Date::constant(2000, 1, 1);
/// The same, in microseconds since 1970.
const EPOCH_MICROS: i64 = 946_684_800_000_000;
/// The first microsecond of year 1: Postgres' calendar has no year 0.
const YEAR_ONE: i64 = -62_135_596_800_000_000;
/// The most digits that a numeric has before and behind its point.
const MOST_BEFORE: i64 = 131_072;
const MOST_BEHIND: i64 = 16_383;

/// The name of a type in SQL.
pub fn sql_type(kind: Option<Type>) -> &'static str {
    match kind {
        Some(Type::Bool) => "boolean",
        Some(Type::Int) => "bigint",
        Some(Type::Numeric) => "numeric",
        Some(Type::Real) => "double precision",
        Some(Type::Time) => "timestamp with time zone",
        Some(Type::Date) => "date",
        // JSON is kept as it came, which jsonb would not do; Segment's warehouses have text too.
        Some(Type::Text | Type::Json | Type::Object) | None => "text",
    }
}

/// The type of a column that a user has altered, by its name in `pg_type`: what it holds from now on.
pub fn kind_of(pg_type: &str) -> Option<Type> {
    Some(match pg_type {
        "bool" => Type::Bool,
        "int8" => Type::Int,
        "numeric" => Type::Numeric,
        "float8" => Type::Real,
        "text" | "varchar" => Type::Text,
        "timestamptz" => Type::Time,
        "date" => Type::Date,
        _ => return None,
    })
}

/// Appends a cell as a field: its length, or −1 for null, and its bytes.
pub fn put(out: &mut BytesMut, kind: Type, cell: &Cell) -> Fit {
    let (at, fit) = (out.len(), Fit::Whole);
    out.put_i32(-1);
    let fit = match (kind, cell) {
        (_, Cell::Null) => return fit,
        (Type::Bool, Cell::Bool(value)) => {
            out.put_u8(u8::from(*value));
            fit
        }
        (Type::Int, Cell::Int(number)) => {
            out.put_i64(*number);
            fit
        }
        (Type::Real, Cell::Real(number)) => {
            out.put_f64(*number);
            fit
        }
        (Type::Time, Cell::Time(time)) => put_time(out, *time),
        (Type::Time, Cell::Date(_)) => match cell.fit(Type::Time).as_ref() {
            Cell::Time(time) => put_time(out, *time),
            _ => Fit::Not,
        },
        (Type::Date, Cell::Date(date)) => match EPOCH.until(*date) {
            Ok(days) if date.year() >= 1 => {
                out.put_i32(days.get_days());
                fit
            }
            _ => Fit::Not,
        },
        (Type::Numeric, Cell::Int(_) | Cell::Real(_) | Cell::Numeric(_)) => {
            let text = cell.text().unwrap_or_default();
            if put_numeric(out, &text).is_some() { fit } else { Fit::Not }
        }
        (Type::Json, Cell::Json(text)) | (Type::Text, Cell::Text(text)) => {
            put_text(out, text);
            fit
        }
        (Type::Text, _) => {
            put_text(out, &cell.text().unwrap_or_default());
            fit
        }
        _ => Fit::Not,
    };
    match fit {
        Fit::Not => out.truncate(at + 4),
        _ => end(out, at),
    }
    fit
}

/// Writes the length of the field that begins at `at`.
fn end(out: &mut BytesMut, at: usize) {
    let length = (out.len() - at - 4) as i32;
    out[at..at + 4].copy_from_slice(&length.to_be_bytes());
}

/// Appends text as a field.
pub fn put_field(out: &mut BytesMut, text: Option<&str>) {
    let at = out.len();
    out.put_i32(-1);
    if let Some(text) = text {
        put_text(out, text);
        end(out, at);
    }
}

fn put_text(out: &mut BytesMut, text: &str) {
    if !text.as_bytes().contains(&0) {
        return out.put_slice(text.as_bytes());
    }
    out.put_slice(text.replace('\0', "\u{fffd}").as_bytes());
}

fn put_time(out: &mut BytesMut, time: Timestamp) -> Fit {
    let micros = time.as_microsecond();
    if micros < YEAR_ONE {
        return Fit::Not;
    }
    out.put_i64(micros - EPOCH_MICROS);
    if time.subsec_nanosecond() % 1000 == 0 { Fit::Whole } else { Fit::Rounded }
}

/// Appends a number as it is written; nothing if it has too many digits for Postgres, or is no number.
fn put_numeric(out: &mut BytesMut, text: &str) -> Option<()> {
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (mantissa, power) = match text.split_once(['e', 'E']) {
        Some((mantissa, power)) => (mantissa, power.parse::<i64>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mut digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let scale = (fraction.len() as i64).checked_sub(power)?.max(0);
    let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
    digits.drain(..zeros);
    // How many of the digits stand before the point; below zero, how many zeros stand behind it before them.
    let point = (whole.len() as i64 - zeros as i64).checked_add(power)?;
    if scale > MOST_BEHIND || point > MOST_BEFORE {
        return None;
    }
    let weight = (point - 1).div_euclid(4);
    let lead = (4 * (weight + 1) - point) as usize;
    let padded: Vec<u8> = std::iter::repeat_n(b'0', lead).chain(digits.iter().copied()).collect();
    let mut groups: Vec<i16> = padded
        .chunks(4)
        .map(|chunk| {
            let number = chunk.iter().fold(0, |number, digit| number * 10 + i16::from(digit - b'0'));
            number * [0, 1000, 100, 10, 1][chunk.len()]
        })
        .collect();
    while groups.last() == Some(&0) {
        groups.pop();
    }
    let weight = if groups.is_empty() { 0 } else { weight };
    out.put_i16(i16::try_from(groups.len()).ok()?);
    out.put_i16(i16::try_from(weight).ok()?);
    out.put_u16(if negative && !groups.is_empty() { 0x4000 } else { 0 });
    out.put_i16(i16::try_from(scale).ok()?);
    groups.iter().for_each(|group| out.put_i16(*group));
    Some(())
}

/// A value that is bound to a parameter, in binary form already.
#[derive(Debug)]
pub struct Bound(Option<Vec<u8>>);

impl Bound {
    /// A cell as a column of this type holds it; none if it cannot.
    pub fn cell(kind: Type, cell: &Cell) -> Option<Self> {
        let mut out = BytesMut::new();
        match put(&mut out, kind, cell) {
            Fit::Not => None,
            _ => Some(Self((*cell != Cell::Null).then(|| out[4..].to_vec()))),
        }
    }

    /// An instant.
    pub fn time(time: Timestamp) -> Self {
        Self(Some((time.as_microsecond() - EPOCH_MICROS).to_be_bytes().to_vec()))
    }

    /// An instant, or none.
    pub fn maybe_time(time: Option<Timestamp>) -> Self {
        time.map_or(Self(None), Self::time)
    }
}

impl ToSql for Bound {
    fn to_sql(
        &self,
        _: &postgres_types::Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        let Some(bytes) = &self.0 else { return Ok(IsNull::Yes) };
        out.put_slice(bytes);
        Ok(IsNull::No)
    }

    fn accepts(_: &postgres_types::Type) -> bool {
        true
    }

    to_sql_checked!();
}

/// One column of the keys that are looked up: fields as [`put`] writes them, none of them null.
#[derive(Debug)]
pub struct Keys {
    pub fields: BytesMut,
    pub count: usize,
}

impl ToSql for Keys {
    fn to_sql(
        &self,
        array: &postgres_types::Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        let postgres_types::Kind::Array(element) = array.kind() else {
            return Err("the keys are no array".into());
        };
        out.put_i32(1);
        out.put_i32(0);
        out.put_u32(element.oid());
        out.put_i32(i32::try_from(self.count)?);
        out.put_i32(1);
        out.put_slice(&self.fields);
        Ok(IsNull::No)
    }

    fn accepts(_: &postgres_types::Type) -> bool {
        true
    }

    to_sql_checked!();
}

/// How a column is selected, so that [`cell`] can read it.
pub fn selected(kind: Option<Type>, column: &str) -> String {
    match kind {
        Some(Type::Numeric) => format!("{column}::text"),
        Some(Type::Time) => format!("(extract(epoch FROM {column}) * 1000000)::bigint"),
        Some(Type::Date) => format!("({column} - date '2000-01-01')::bigint"),
        // Said although it is so: a statement is prepared for what its text says, and a column that widens gets another one.
        _ => format!("{column}::{}", sql_type(kind)),
    }
}

/// A stored value as the cell that it was.
pub fn cell(kind: Option<Type>, row: &Row, at: usize) -> Result<Cell, tokio_postgres::Error> {
    Ok(match kind {
        Some(Type::Bool) => row.try_get::<_, Option<bool>>(at)?.map_or(Cell::Null, Cell::Bool),
        Some(Type::Int) => row.try_get::<_, Option<i64>>(at)?.map_or(Cell::Null, Cell::Int),
        Some(Type::Real) => row.try_get::<_, Option<f64>>(at)?.map_or(Cell::Null, Cell::Real),
        Some(Type::Time) => {
            let micros: Option<i64> = row.try_get(at)?;
            micros.and_then(|micros| Timestamp::from_microsecond(micros).ok()).map_or(Cell::Null, Cell::Time)
        }
        Some(Type::Date) => {
            let days: Option<i64> = row.try_get(at)?;
            let date = |days: i64| EPOCH.checked_add(jiff::SignedDuration::from_hours(24 * days)).ok();
            days.and_then(date).map_or(Cell::Null, Cell::Date)
        }
        other => {
            let Some(text) = row.try_get::<_, Option<String>>(at)? else { return Ok(Cell::Null) };
            match other {
                Some(Type::Numeric) => number(&text),
                Some(Type::Json) => Cell::Json(text),
                _ => Cell::Text(text),
            }
        }
    })
}

/// What turns the values of a column into those of a wider one, without losing any: the text is what [`Cell::text`] writes.
pub fn converted(column: &str, from: Option<Type>, to: Type) -> String {
    match (from, to) {
        // As long as nobody knows its type, nothing is in it.
        (None, _) => format!("NULL::{}", sql_type(Some(to))),
        (Some(Type::Real), Type::Text) => real_text(column),
        (Some(Type::Real), Type::Numeric) => format!("({})::numeric", real_text(column)),
        (Some(Type::Date), Type::Time) => format!("{column}::timestamp AT TIME ZONE 'UTC'"),
        (Some(Type::Date), Type::Text) => format!("to_char({column}, 'YYYY-MM-DD')"),
        (Some(Type::Time), Type::Text) => {
            format!("to_char({column} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')")
        }
        (_, to) => format!("{column}::{}", sql_type(Some(to))),
    }
}

/// A float as [`crate::warehouse::table::real`] writes it: `1.0` where Postgres has `1`, `1e-7` where it has `1e-07`.
fn real_text(column: &str) -> String {
    let point = |text: &str| format!("CASE WHEN {text} ~ '[.]' THEN {text} ELSE {text} || '.0' END");
    let (plain, written) = (format!("{column}::text"), format!("{column}::text::numeric::text"));
    format!(
        "CASE WHEN {plain} ~ 'e([+]15|-05)$' THEN {} \
         WHEN {plain} ~ 'e' THEN regexp_replace({plain}, 'e([+-])0*', 'e\\1') ELSE {} END",
        point(&written),
        point(&plain)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numeric(text: &str) -> Option<Vec<i16>> {
        let mut out = BytesMut::new();
        put_numeric(&mut out, text)?;
        Some(out.chunks(2).map(|pair| i16::from_be_bytes([pair[0], pair[1]])).collect())
    }

    #[test]
    fn numbers_are_groups_of_four_digits() {
        // How many groups, the first one's power of 10,000, sign, digits behind the point; then the groups.
        for (text, wanted) in [
            ("0", vec![0, 0, 0, 0]),
            ("-0.00", vec![0, 0, 0, 2]),
            ("1", vec![1, 0, 0, 0, 1]),
            ("-12345", vec![2, 1, 0x4000, 0, 1, 2345]),
            ("0.00012", vec![2, -1, 0, 5, 1, 2000]),
            ("12.50", vec![2, 0, 0, 2, 12, 5000]),
            ("1e5", vec![1, 1, 0, 0, 10]),
            ("1.5E-3", vec![1, -1, 0, 4, 15]),
            ("100000000", vec![1, 2, 0, 0, 1]),
        ] {
            assert_eq!(numeric(text), Some(wanted), "{text}");
        }
        for text in ["", "x", "1e131073", "1e-16384", "1e99999999999999999999", "1e9223372036854775807"] {
            assert_eq!(numeric(text), None, "{text}");
        }
        assert!(numeric("1e131071").is_some() && numeric("1e-16383").is_some());
    }

    #[test]
    fn what_a_column_cannot_hold_is_null_in_it() {
        let put = |kind, cell: Cell| {
            let mut out = BytesMut::new();
            (super::put(&mut out, kind, &cell), out.to_vec())
        };
        let null = (-1i32).to_be_bytes().to_vec();
        let early: Timestamp = "0000-12-31T23:59:59Z".parse().unwrap();
        for (kind, cell) in [
            (Type::Int, Cell::Real(1.5)),
            (Type::Bool, Cell::Int(1)),
            (Type::Time, Cell::Time(early)),
            (Type::Time, Cell::Date("0000-12-31".parse().unwrap())),
            (Type::Date, Cell::Date("0000-12-31".parse().unwrap())),
            (Type::Numeric, Cell::Numeric("1e999999".into())),
        ] {
            assert_eq!(put(kind, cell.clone()), (Fit::Not, null.clone()), "{cell:?}");
        }
        let nanos: Timestamp = "2000-01-01T00:00:00.000001999Z".parse().unwrap();
        assert_eq!(
            put(Type::Time, Cell::Time(nanos)),
            (Fit::Rounded, [0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 1].into())
        );
        assert_eq!(put(Type::Text, Cell::Text("a\0".into())).1, [0, 0, 0, 4, b'a', 0xef, 0xbf, 0xbd]);
    }
}
