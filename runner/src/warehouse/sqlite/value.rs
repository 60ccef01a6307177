//! Cells as SQLite stores them, and back. Its columns have no affinity here: a value is stored as it is given.

use headwater_core::object::Type;
use rusqlite::{
    ToSql,
    types::{ToSqlOutput, Value, ValueRef},
};

use crate::warehouse::table::{Cell, instant, real};

/// A cell as SQLite stores it in a column of this type.
pub struct Bound<'a>(pub Option<&'a Cell>, pub Type);

impl ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        let Some(cell) = self.0 else { return Ok(ToSqlOutput::Owned(Value::Null)) };
        let owned = match (self.1, cell) {
            (_, Cell::Null) => Value::Null,
            (_, Cell::Text(text) | Cell::Json(text) | Cell::Numeric(text)) => {
                return Ok(ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes())));
            }
            (Type::Text, Cell::Bool(value)) => {
                return Ok(if *value { "true" } else { "false" }.into());
            }
            (Type::Text, Cell::Int(number)) => Value::Text(number.to_string()),
            (Type::Text, Cell::Real(number)) => Value::Text(real(*number)),
            (Type::Time, Cell::Date(_)) => match cell.fit(Type::Time).text() {
                Some(text) => Value::Text(text.into_owned()),
                None => Value::Null,
            },
            (_, Cell::Bool(value)) => Value::Integer(i64::from(*value)),
            (_, Cell::Int(number)) => Value::Integer(*number),
            (_, Cell::Real(number)) => Value::Real(*number),
            (_, Cell::Time(time)) => Value::Text(instant(*time)),
            (_, Cell::Date(date)) => Value::Text(date.to_string()),
        };
        Ok(ToSqlOutput::Owned(owned))
    }
}

/// A stored value as the cell that it was.
pub fn cell(kind: Option<Type>, value: ValueRef<'_>) -> Cell {
    match (kind, value) {
        (_, ValueRef::Null) => Cell::Null,
        (Some(Type::Bool), ValueRef::Integer(number)) => Cell::Bool(number != 0),
        (_, ValueRef::Integer(number)) => Cell::Int(number),
        (_, ValueRef::Real(number)) => Cell::Real(number),
        (kind, ValueRef::Text(bytes) | ValueRef::Blob(bytes)) => {
            let text = String::from_utf8_lossy(bytes).into_owned();
            match kind {
                Some(Type::Time) => text.parse().map_or(Cell::Text(text), Cell::Time),
                Some(Type::Date) => text.parse().map_or(Cell::Text(text), Cell::Date),
                Some(Type::Numeric) => Cell::Numeric(text),
                Some(Type::Json) => Cell::Json(text),
                _ => Cell::Text(text),
            }
        }
    }
}
