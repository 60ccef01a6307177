//! SQL over the warehouse, for reading only: rows come out as a table, as CSV or as JSON lines, from wherever they are.

use std::{io::Write, path::Path};

use headwater_core::error::{Error, Result};

use super::postgres::PostgresSettings;

mod postgres;
mod sqlite;

pub use sqlite::schemas;

/// How rows are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Columns side by side, for people.
    #[default]
    Table,
    /// RFC 4180, the names first.
    Csv,
    /// One JSON object a line.
    Jsonl,
}

/// Which warehouse is asked.
#[derive(Clone, Copy, Debug)]
pub enum Place<'a> {
    /// The embedded one: a folder of schemas.
    Folder(&'a Path),
    /// A Postgres.
    Postgres(&'a PostgresSettings),
}

impl<'a> From<&'a Path> for Place<'a> {
    fn from(folder: &'a Path) -> Self {
        Self::Folder(folder)
    }
}

/// Rows that the widths of a table's columns are taken from; the rest is written as it comes.
const SAMPLE: usize = 500;
/// The widest that a column of a table is made.
const WIDEST: usize = 60;

/// Runs `sql` over the schemas there, writes its rows to `out`, and tells how many there were.
pub fn query<'a>(
    place: impl Into<Place<'a>>,
    sql: &str,
    format: Format,
    out: &mut (impl Write + Send),
) -> Result<u64> {
    match place.into() {
        Place::Folder(folder) => sqlite::query(folder, sql, format, out),
        Place::Postgres(settings) => postgres::query(settings, sql, format, out),
    }
}

/// One value of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Value {
    Null,
    /// A number, true or false: as JSON writes it.
    Plain(String),
    Text(String),
}

impl Value {
    fn text(&self) -> &str {
        match self {
            Value::Null => "",
            Value::Plain(text) | Value::Text(text) => text,
        }
    }

    fn json(self) -> String {
        match self {
            Value::Null => "null".to_owned(),
            Value::Plain(text) => text,
            Value::Text(text) => serde_json::Value::from(text).to_string(),
        }
    }
}

/// An answer on its way out: the names first, then row after row.
struct Answer<'a, W: Write> {
    out: &'a mut W,
    format: Format,
    names: Vec<String>,
    count: u64,
    /// Of a table, the rows that its widths are taken from, until they are known.
    sample: Vec<Vec<String>>,
    widths: Vec<usize>,
}

impl<'a, W: Write> Answer<'a, W> {
    fn new(names: Vec<String>, format: Format, out: &'a mut W) -> std::io::Result<Self> {
        let names: Vec<String> = match format {
            Format::Jsonl => {
                names.into_iter().map(|name| serde_json::Value::from(name).to_string()).collect()
            }
            _ => names,
        };
        if format == Format::Csv {
            csv_line(out, names.iter().map(String::as_str))?;
        }
        Ok(Self { out, format, names, count: 0, sample: Vec::new(), widths: Vec::new() })
    }

    fn row(&mut self, values: Vec<Value>) -> std::io::Result<()> {
        self.count += 1;
        match self.format {
            Format::Csv => csv_line(self.out, values.iter().map(Value::text)),
            Format::Jsonl => {
                for (at, (name, value)) in self.names.iter().zip(values).enumerate() {
                    write!(self.out, "{}{name}:{}", if at == 0 { '{' } else { ',' }, value.json())?;
                }
                self.out.write_all(b"}\n")
            }
            Format::Table => {
                let row = values.iter().map(|value| short(value.text())).collect();
                if self.widths.is_empty() {
                    self.sample.push(row);
                    return if self.sample.len() < SAMPLE { Ok(()) } else { self.measure() };
                }
                self.line(&row)
            }
        }
    }

    fn end(mut self) -> std::io::Result<u64> {
        if self.format == Format::Table && self.widths.is_empty() {
            self.measure()?;
        }
        Ok(self.count)
    }

    /// Settles the widths of a table's columns, and writes what has waited for them.
    fn measure(&mut self) -> std::io::Result<()> {
        let width = |at: usize| {
            let values = self.sample.iter().map(|row| row[at].chars().count());
            values.chain([self.names[at].chars().count()]).max().unwrap_or(0).min(WIDEST)
        };
        self.widths = (0..self.names.len()).map(width).collect();
        self.line(&self.names.clone())?;
        let rule: Vec<String> = self.widths.iter().map(|width| "-".repeat(*width)).collect();
        self.line(&rule)?;
        let sample = std::mem::take(&mut self.sample);
        sample.iter().try_for_each(|row| self.line(row))
    }

    fn line(&mut self, values: &[String]) -> std::io::Result<()> {
        let padded: Vec<String> =
            values.iter().zip(&self.widths).map(|(value, width)| format!("{value:width$}")).collect();
        writeln!(self.out, "{}", padded.join("  ").trim_end())
    }
}

fn csv_line<'a>(out: &mut impl Write, values: impl Iterator<Item = &'a str>) -> std::io::Result<()> {
    let quoted: Vec<String> = values.map(csv_value).collect();
    out.write_all(quoted.join(",").as_bytes())?;
    out.write_all(b"\r\n")
}

fn csv_value(value: &str) -> String {
    if value.contains(['"', ',', '\n', '\r']) {
        format!("\"{}\"", value.replace('"', "\"\""))
    } else {
        value.to_owned()
    }
}

/// A value for people: one line, cut where it is long.
fn short(text: &str) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    match text.char_indices().nth(WIDEST) {
        Some(_) => text.chars().take(WIDEST - 1).chain(['…']).collect(),
        None => text,
    }
}

fn unwritten(error: &std::io::Error) -> Error {
    Error::unexpected(format!("the rows cannot be written: {error}"))
}
