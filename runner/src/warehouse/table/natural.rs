//! What a JSON value is as a cell: by itself, or where a column documents its type.

use std::borrow::Cow;

use headwater_core::{
    object::Type,
    record::{Next, Scan},
    time::parse_time,
};
use jiff::{Timestamp, tz::TimeZone};

use super::{
    cell::Cell,
    escape::{clean, unescape},
};

/// The cell that a value is by itself. An array or object is JSON.
pub fn cell(json: &str, replaced: &mut u64) -> Cell {
    match Scan::new(json).peek() {
        Some(Next::String) => text(unescape(inside(json), replaced)),
        Some(Next::Number) => number(json),
        Some(Next::Bool) => Cell::Bool(json.starts_with('t')),
        Some(Next::Object | Next::Array) => Cell::Json(clean(json, replaced).into_owned()),
        Some(Next::Null) | None => Cell::Null,
    }
}

/// The cell that a value is in a column of this type; where it is not of that type, the cell that it is by itself,
/// for which the column widens. Nothing is lost but the empty string where a column is not text.
pub fn declared(kind: Type, json: &str, replaced: &mut u64) -> Cell {
    match (kind, Scan::new(json).peek()) {
        (_, None | Some(Next::Null)) => Cell::Null,
        (Type::Json, _) => Cell::Json(clean(json, replaced).into_owned()),
        // As it stands, before it is taken for a time or a number.
        (Type::Text, Some(Next::String)) => Cell::Text(unescape(inside(json), replaced).into_owned()),
        (Type::Text, Some(_)) => Cell::Text(clean(json, replaced).into_owned()),
        (_, Some(Next::String)) => {
            let text = unescape(inside(json), replaced);
            match text.is_empty() {
                true => Cell::Null,
                false => from_text(kind, &text).unwrap_or_else(|| Cell::Text(text.into_owned())),
            }
        }
        (_, Some(_)) => {
            let own = cell(json, replaced);
            from_number(kind, &own, json).unwrap_or(own)
        }
    }
}

fn from_text(kind: Type, text: &str) -> Option<Cell> {
    match kind {
        Type::Bool => match text {
            "true" => Some(Cell::Bool(true)),
            "false" => Some(Cell::Bool(false)),
            _ => None,
        },
        Type::Int => canonical(text).filter(|cell| matches!(cell, Cell::Int(_))),
        Type::Real => canonical(text).map(|cell| match cell {
            Cell::Int(int) => float(int).unwrap_or(Cell::Int(int)),
            other => other,
        }),
        Type::Numeric => canonical(text),
        Type::Time => parse_time(text).map(Cell::Time),
        Type::Date => text.parse().ok().filter(|_| text.len() == 10).map(Cell::Date).or_else(|| moment(text)),
        Type::Text | Type::Json | Type::Object => None,
    }
}

fn from_number(kind: Type, own: &Cell, json: &str) -> Option<Cell> {
    match (kind, own) {
        (Type::Int, Cell::Real(real)) => whole(*real).map(Cell::Int),
        (Type::Real, Cell::Int(int)) => float(*int),
        (Type::Time, Cell::Int(_) | Cell::Real(_)) => parse_time(json).map(Cell::Time),
        (Type::Date, Cell::Int(_) | Cell::Real(_)) => parse_time(json).map(day_or_time),
        _ => None,
    }
}

/// Text, a day or an instant, by its looks.
fn text(text: Cow<'_, str>) -> Cell {
    let bytes = text.as_bytes();
    let looks = bytes.len() >= 10 && bytes[4] == b'-' && bytes[7] == b'-' && bytes[0].is_ascii_digit();
    let found = match bytes.len() {
        _ if !looks => None,
        10 => text.parse().ok().map(Cell::Date),
        _ => rfc3339(&text).map(Cell::Time),
    };
    found.unwrap_or_else(|| Cell::Text(text.into_owned()))
}

/// An instant in RFC 3339 and nothing else; a leap second stays text, because no instant holds it.
fn rfc3339(text: &str) -> Option<Timestamp> {
    let bytes = text.as_bytes();
    let plain = matches!(bytes.get(10), Some(b'T' | b't'))
        && !text.contains('[')
        && bytes.get(17..19).is_some_and(|seconds| seconds != b"60");
    if plain { text.parse().ok() } else { None }
}

fn moment(text: &str) -> Option<Cell> {
    parse_time(text).map(day_or_time)
}

fn day_or_time(time: Timestamp) -> Cell {
    let here = time.to_zoned(TimeZone::UTC).datetime();
    if here.time() == jiff::civil::Time::midnight() { Cell::Date(here.date()) } else { Cell::Time(time) }
}

/// A number as JSON writes it, in the narrowest type that holds it without loss.
pub fn number(text: &str) -> Cell {
    if let Ok(int) = text.parse::<i64>() {
        return Cell::Int(int);
    }
    match text.parse::<f64>() {
        Ok(real) if survives(text, real) => Cell::Real(real),
        _ => Cell::Numeric(text.to_owned()),
    }
}

/// A number in a string, if it is written as JSON would write it: `007` and `1e` are text.
fn canonical(text: &str) -> Option<Cell> {
    let valid = matches!(Scan::new(text).peek(), Some(Next::Number))
        && serde_json::from_str::<&serde_json::value::RawValue>(text).is_ok_and(|raw| raw.get() == text);
    valid.then(|| number(text))
}

/// Whether a float says exactly what `text` says.
fn survives(text: &str, real: f64) -> bool {
    if !real.is_finite() || !text.bytes().any(|b| matches!(b, b'.' | b'e' | b'E')) {
        return false; // A whole number beyond 64 bits stays exact.
    }
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    if digits <= 15 && !text.bytes().any(|b| matches!(b, b'e' | b'E')) {
        return true;
    }
    // Most are written as the shortest that reads back as the same.
    let mut shortest = [0; 32];
    let mut rest = &mut shortest[..];
    let is_written = serde_json::to_writer(&mut rest, &real).is_ok();
    let length = 32 - rest.len();
    is_written && shortest[..length] == *text.as_bytes()
        || scientific(text) == scientific(&format!("{real:e}"))
}

/// Digits without zeros around them, and the power of ten of the first.
fn scientific(text: &str) -> Option<(String, i64)> {
    let text = text.trim_start_matches('-');
    let (mantissa, power) = match text.split_once(['e', 'E']) {
        Some((mantissa, power)) => (mantissa, power.parse::<i64>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = format!("{whole}{fraction}");
    let digits = all.trim_start_matches('0');
    if digits.is_empty() {
        return Some((String::new(), 0));
    }
    let first = whole.len() as i64 - (all.len() - digits.len()) as i64;
    Some((digits.trim_end_matches('0').to_owned(), first.checked_add(power)?))
}

fn whole(real: f64) -> Option<i64> {
    (real.fract() == 0.0 && real.abs() < 9e15).then_some(real as i64)
}

fn float(int: i64) -> Option<Cell> {
    (int.unsigned_abs() <= 1 << 53).then_some(Cell::Real(int as f64))
}

/// What stands between the quotes of a string.
fn inside(json: &str) -> &str {
    json.get(1..json.len().saturating_sub(1)).unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(json: &str) -> Cell {
        cell(json, &mut 0)
    }

    #[test]
    fn numbers_keep_every_digit() {
        assert_eq!(one("9223372036854775807"), Cell::Int(i64::MAX));
        assert_eq!(one("9223372036854775808"), Cell::Numeric("9223372036854775808".into()));
        assert_eq!(one("1.50"), Cell::Real(1.5));
        assert_eq!(one("0.30000000000000004"), Cell::Real(0.30000000000000004));
        assert_eq!(
            one("0.1000000000000000055511151231257827"),
            Cell::Numeric("0.1000000000000000055511151231257827".into())
        );
        assert_eq!(one("1e400"), Cell::Numeric("1e400".into()));
        assert_eq!(one("1E-400"), Cell::Numeric("1E-400".into()));
        assert_eq!(one("1.0E2"), Cell::Real(100.0));
        assert_eq!(one("123456789012.34"), Cell::Real(123456789012.34));
    }

    #[test]
    fn strings_are_times_only_where_they_look_so() {
        assert!(matches!(one(r#""2024-05-06T12:00:00+02:00""#), Cell::Time(_)));
        assert!(matches!(one(r#""2024-05-06""#), Cell::Date(_)));
        for json in [
            r#""2024-05-06 12:00""#,
            r#""2024-13-06""#,
            r#""1714996800""#,
            r#""2024-05-06T12:00:60Z""#,
            r#""é234-67-90""#,
        ] {
            assert!(matches!(one(json), Cell::Text(_)), "{json}");
        }
    }

    #[test]
    fn a_documented_type_is_kept_or_the_value_is() {
        let noon: Timestamp = "2024-05-06T12:00:00Z".parse().unwrap();
        let day = Cell::Date("2024-05-06".parse().unwrap());
        for (kind, json, wanted) in [
            (Type::Time, "1714996800", Cell::Time(noon)),
            (Type::Time, "1714996800000", Cell::Time(noon)),
            (Type::Time, r#""2024-05-06T12:00:00Z""#, Cell::Time(noon)),
            (Type::Time, r#""soon""#, Cell::Text("soon".into())),
            (Type::Time, r#""""#, Cell::Null),
            (Type::Date, r#""2024-05-06""#, day.clone()),
            (Type::Date, r#""2024-05-06T00:00:00Z""#, day),
            (Type::Date, r#""2024-05-06T12:00:00Z""#, Cell::Time(noon)),
            (Type::Int, r#""7""#, Cell::Int(7)),
            (Type::Int, r#""007""#, Cell::Text("007".into())),
            (Type::Int, "7.0", Cell::Int(7)),
            (Type::Int, "7.5", Cell::Real(7.5)),
            (Type::Int, "true", Cell::Bool(true)),
            (Type::Real, "7", Cell::Real(7.0)),
            (Type::Real, "9007199254740993", Cell::Int(9007199254740993)),
            (Type::Numeric, r#""12345678901234567890.5""#, Cell::Numeric("12345678901234567890.5".into())),
            (Type::Text, "1.50", Cell::Text("1.50".into())),
            (Type::Text, r#""2024-05-06""#, Cell::Text("2024-05-06".into())),
            (Type::Text, "[1]", Cell::Text("[1]".into())),
            (Type::Bool, r#""true""#, Cell::Bool(true)),
            (Type::Bool, r#""yes""#, Cell::Text("yes".into())),
            (Type::Json, "[1]", Cell::Json("[1]".into())),
            (Type::Int, "null", Cell::Null),
        ] {
            assert_eq!(declared(kind, json, &mut 0), wanted, "{kind:?} {json}");
        }
    }
}
