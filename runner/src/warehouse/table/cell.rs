//! Cells: one value of one column, and how columns widen so that no value is lost.

use std::borrow::Cow;

use headwater_core::object::Type;
use jiff::{
    Timestamp,
    civil::Date,
    tz::{Offset, TimeZone},
};
use serde_json::Value;

/// One value, as it goes into a column.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// Nothing.
    Null,
    /// true or false
    Bool(bool),
    /// A whole number of 64 bits.
    Int(i64),
    /// A number that a 64 bit float holds without loss.
    Real(f64),
    /// A number that neither of them holds, as it was written.
    Numeric(String),
    /// Text.
    Text(String),
    /// An instant.
    Time(Timestamp),
    /// A day.
    Date(Date),
    /// An array or object, as JSON text.
    Json(String),
}

impl Cell {
    /// What a column needs to be to hold it; nothing for null.
    pub fn kind(&self) -> Option<Type> {
        Some(match self {
            Cell::Null => return None,
            Cell::Bool(_) => Type::Bool,
            Cell::Int(_) => Type::Int,
            Cell::Real(_) => Type::Real,
            Cell::Numeric(_) => Type::Numeric,
            Cell::Text(_) => Type::Text,
            Cell::Time(_) => Type::Time,
            Cell::Date(_) => Type::Date,
            Cell::Json(_) => Type::Json,
        })
    }

    /// It as text, as a column of text holds it; none for null.
    pub fn text(&self) -> Option<Cow<'_, str>> {
        Some(match self {
            Cell::Null => return None,
            Cell::Bool(true) => "true".into(),
            Cell::Bool(false) => "false".into(),
            Cell::Int(number) => number.to_string().into(),
            Cell::Real(number) => real(*number).into(),
            Cell::Numeric(text) | Cell::Text(text) | Cell::Json(text) => text.into(),
            Cell::Time(time) => instant(*time).into(),
            Cell::Date(date) => date.to_string().into(),
        })
    }

    /// It as a column of `kind` holds it, which must be wide enough (see [`widen`]).
    pub fn fit(&self, kind: Type) -> Cow<'_, Cell> {
        match (kind, self) {
            (_, Cell::Null) | (Type::Text, Cell::Text(_)) => Cow::Borrowed(self),
            (Type::Text, _) => {
                Cow::Owned(self.text().map_or(Cell::Null, |text| Cell::Text(text.into_owned())))
            }
            (Type::Time, Cell::Date(date)) => match date.to_zoned(TimeZone::UTC) {
                Ok(midnight) => Cow::Owned(Cell::Time(midnight.timestamp())),
                Err(_) => Cow::Borrowed(self),
            },
            _ => Cow::Borrowed(self),
        }
    }

    /// What somebody wrote, as a column of `kind` holds it; as text, if it is none of that.
    pub fn read(text: &str, kind: Type) -> Self {
        let read = match kind {
            Type::Bool => text.parse().ok().map(Cell::Bool),
            Type::Int | Type::Numeric | Type::Real => {
                text.parse().ok().map(Cell::Int).or_else(|| text.parse().ok().map(Cell::Real))
            }
            Type::Time => text.parse().ok().map(Cell::Time),
            Type::Date => text.parse().ok().map(Cell::Date),
            Type::Text | Type::Json | Type::Object => None,
        };
        read.unwrap_or_else(|| Cell::Text(text.to_owned()))
    }

    /// It as JSON: for `_headwater_extra` and rejected rows.
    pub fn json(&self) -> Value {
        match self {
            Cell::Null => Value::Null,
            Cell::Bool(value) => (*value).into(),
            Cell::Int(number) => (*number).into(),
            Cell::Real(number) => (*number).into(),
            Cell::Json(text) => serde_json::from_str(text).unwrap_or_else(|_| text.as_str().into()),
            other => other.text().map_or(Value::Null, |text| text.into_owned().into()),
        }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Cell::Text(text.to_owned())
    }
}

impl From<i64> for Cell {
    fn from(number: i64) -> Self {
        Cell::Int(number)
    }
}

/// The narrowest type that holds every value of both: bool → text, int and real → numeric → text, date → time →
/// text, json → text. Neither the order nor the number of steps matters.
pub fn widen(one: Type, other: Type) -> Type {
    let number = |kind| matches!(kind, Type::Int | Type::Real | Type::Numeric);
    let moment = |kind| matches!(kind, Type::Date | Type::Time);
    match (one, other) {
        (one, other) if one == other => one,
        (one, other) if number(one) && number(other) => Type::Numeric,
        (one, other) if moment(one) && moment(other) => Type::Time,
        _ => Type::Text,
    }
}

/// An instant as text: UTC, always six places behind the point (nine where they are needed), so that it sorts.
pub fn instant(time: Timestamp) -> String {
    let at = Offset::UTC.to_datetime(time);
    let nanoseconds = at.subsec_nanosecond();
    if nanoseconds % 1000 != 0 || at.year() < 0 {
        return if nanoseconds % 1000 == 0 { format!("{time:.6}") } else { format!("{time:.9}") };
    }
    // Every row has some: the general way takes several times as long.
    let mut text = *b"0000-00-00T00:00:00.000000Z";
    for (from, to, number) in [
        (0, 4, i32::from(at.year())),
        (5, 7, i32::from(at.month())),
        (8, 10, i32::from(at.day())),
        (11, 13, i32::from(at.hour())),
        (14, 16, i32::from(at.minute())),
        (17, 19, i32::from(at.second())),
        (20, 26, nanoseconds / 1000),
    ] {
        let mut rest = number;
        for digit in text[from..to].iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// A float as text: the shortest that reads back as the same.
pub fn real(number: f64) -> String {
    serde_json::to_string(&number).unwrap_or_else(|_| number.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Type; 8] =
        [Type::Bool, Type::Int, Type::Numeric, Type::Real, Type::Text, Type::Time, Type::Date, Type::Json];

    #[test]
    fn the_order_of_widening_does_not_matter() {
        for a in ALL {
            for b in ALL {
                assert_eq!(widen(a, b), widen(b, a));
                for c in ALL {
                    assert_eq!(widen(widen(a, b), c), widen(a, widen(b, c)), "{a:?} {b:?} {c:?}");
                }
            }
        }
    }

    #[test]
    fn text_of_a_float_reads_back() {
        for number in [0.1 + 0.2, 1e300, -2.5e-9, 1.0, f64::MAX, f64::MIN_POSITIVE] {
            assert_eq!(real(number).parse::<f64>(), Ok(number));
        }
    }

    #[test]
    fn instants_sort_as_text() {
        let texts: Vec<_> = [
            "2024-05-06T12:00:00Z",
            "2024-05-06T12:00:00.25Z",
            "2024-05-06T12:00:01+00:00",
            "2024-05-06T14:00:02+02:00",
        ]
        .map(|text| instant(text.parse().unwrap()))
        .into();
        assert_eq!(texts[0], "2024-05-06T12:00:00.000000Z");
        assert!(texts.is_sorted(), "{texts:?}");
        for time in
            [Timestamp::MIN, Timestamp::MAX, Timestamp::UNIX_EPOCH, "0000-01-01T00:00:00Z".parse().unwrap()]
        {
            assert_eq!(instant(time).parse().ok(), Some(time));
        }
    }
}
