//! As much of SOQL as a connector needs: a list of fields or `COUNT()`, comparisons of times and ids, an order.

use std::cmp::Ordering;

use jiff::Timestamp;

use super::organisation::{Row, Table};

/// A query.
pub(super) struct Soql {
    pub fields: Vec<String>,
    pub is_count: bool,
    pub object: String,
    /// All must hold.
    filter: Vec<Condition>,
    order: Vec<Field>,
}

/// Why a query is refused.
#[derive(Debug)]
pub(super) struct Wrong {
    pub code: &'static str,
    pub message: String,
}

/// Comparisons of which one must hold.
struct Condition(Vec<Comparison>);

struct Comparison {
    field: Field,
    /// What the comparison may come to.
    holds: &'static [Ordering],
    literal: Literal,
}

/// What can be filtered and ordered by.
#[derive(Clone, Copy, PartialEq)]
enum Field {
    Id,
    Created,
    Modified,
}

enum Literal {
    Time(Timestamp),
    Text(String),
}

fn wrong(message: impl Into<String>) -> Wrong {
    Wrong { code: "MALFORMED_QUERY", message: message.into() }
}

impl Soql {
    pub fn parse(text: &str) -> Result<Self, Wrong> {
        let rest = text.strip_prefix("SELECT ").ok_or_else(|| wrong("a query begins with SELECT"))?;
        let (fields, rest) = rest.split_once(" FROM ").ok_or_else(|| wrong("FROM is missing"))?;
        let (rest, order) = rest.split_once(" ORDER BY ").unwrap_or((rest, ""));
        let (object, filter) = rest.split_once(" WHERE ").unwrap_or((rest, ""));
        let is_count = fields == "COUNT()";
        let list = |text: &str| text.split(',').map(|item| item.trim().to_owned()).collect::<Vec<_>>();
        Ok(Self {
            fields: if is_count { Vec::new() } else { list(fields) },
            is_count,
            object: object.trim().to_owned(),
            filter: parts(filter, " AND ").into_iter().map(Condition::parse).collect::<Result<_, _>>()?,
            order: list(order)
                .iter()
                .filter(|name| !name.is_empty())
                .map(|name| Field::parse(name))
                .collect::<Result<_, _>>()?,
        })
    }

    /// The places of the rows that it finds, in its order.
    pub fn rows(&self, table: &Table) -> Vec<usize> {
        let mut found = Vec::new();
        for (place, row) in table.rows.iter().enumerate() {
            let id = table.id(place);
            if self.filter.iter().all(|condition| condition.holds(row, &id)) {
                found.push((place, id));
            }
        }
        found.sort_by(|(one, one_id), (other, other_id)| {
            let both = (&table.rows[*one], &table.rows[*other]);
            let by = |field: &Field| match field {
                Field::Id => one_id.cmp(other_id),
                Field::Created => second(both.0.created).cmp(&second(both.1.created)),
                Field::Modified => second(both.0.modified).cmp(&second(both.1.modified)),
            };
            self.order.iter().map(by).fold(Ordering::Equal, Ordering::then)
        });
        found.into_iter().map(|(place, _)| place).collect()
    }
}

/// Salesforce keeps whole seconds.
fn second(time: Timestamp) -> i64 {
    time.as_second()
}

/// Parts between separators that stand in no brackets.
fn parts<'a>(text: &'a str, separator: &str) -> Vec<&'a str> {
    let mut parts = Vec::new();
    let (mut from, mut depth) = (0, 0_usize);
    for (place, letter) in text.char_indices() {
        match letter {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ if depth == 0 && place >= from && text[place..].starts_with(separator) => {
                parts.push(&text[from..place]);
                from = place + separator.len();
            }
            _ => {}
        }
    }
    parts.push(&text[from..]);
    parts.into_iter().map(str::trim).filter(|part| !part.is_empty()).collect()
}

impl Condition {
    fn parse(text: &str) -> Result<Self, Wrong> {
        let inner = text.strip_prefix('(').and_then(|text| text.strip_suffix(')')).unwrap_or(text);
        parts(inner, " OR ").into_iter().map(Comparison::parse).collect::<Result<_, _>>().map(Self)
    }

    fn holds(&self, row: &Row, id: &str) -> bool {
        self.0.iter().any(|comparison| comparison.holds(row, id))
    }
}

impl Comparison {
    fn parse(text: &str) -> Result<Self, Wrong> {
        let mut words = text.split_whitespace();
        let (Some(field), Some(operator), Some(literal), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(wrong(format!("unexpected token: {text}")));
        };
        let holds: &[Ordering] = match operator {
            "=" => &[Ordering::Equal],
            ">" => &[Ordering::Greater],
            "<" => &[Ordering::Less],
            ">=" => &[Ordering::Greater, Ordering::Equal],
            "<=" => &[Ordering::Less, Ordering::Equal],
            _ => return Err(wrong(format!("unexpected token: {operator}"))),
        };
        let field = Field::parse(field)?;
        let quoted = literal.strip_prefix('\'').and_then(|text| text.strip_suffix('\''));
        let literal = match (field, quoted, literal.parse()) {
            (Field::Id, Some(text), _) => Literal::Text(text.to_owned()),
            (Field::Created | Field::Modified, None, Ok(time)) => Literal::Time(time),
            _ => return Err(wrong(format!("value of filter criterion must be of another type: {literal}"))),
        };
        Ok(Self { field, holds, literal })
    }

    fn holds(&self, row: &Row, id: &str) -> bool {
        let ordering = match (&self.literal, self.field) {
            (Literal::Text(text), _) => id.cmp(text),
            (Literal::Time(time), Field::Created) => second(row.created).cmp(&second(*time)),
            (Literal::Time(time), _) => second(row.modified).cmp(&second(*time)),
        };
        self.holds.contains(&ordering)
    }
}

impl Field {
    fn parse(name: &str) -> Result<Self, Wrong> {
        match name {
            "Id" => Ok(Self::Id),
            "CreatedDate" => Ok(Self::Created),
            "SystemModstamp" | "LastModifiedDate" => Ok(Self::Modified),
            _ => Err(wrong(format!("this stand-in cannot filter or order by {name}"))),
        }
    }
}
