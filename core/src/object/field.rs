//! The columns of a collection, as its declaration writes them.

use serde::{Deserialize, Serialize};

/// One documented column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// The column's name.
    pub name: &'static str,
    /// What it holds.
    pub kind: Type,
    /// Where its value comes from.
    pub origin: Origin,
}

/// Where a column's value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// This path of the record.
    Record(&'static str),
    /// This path of the parent record.
    Parent(&'static str),
    /// The place in the parent's list.
    Index,
}

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Type {
    /// true or false
    Bool,
    /// A whole number of 64 bits.
    Int,
    /// A number of any size and precision.
    Numeric,
    /// A floating point number.
    Real,
    /// Text.
    Text,
    /// An instant: RFC 3339, unix seconds, or unix milliseconds in the record; UTC in the warehouse.
    Time,
    /// A day.
    Date,
    /// An array or object, as JSON text.
    Json,
    /// An object whose members become columns of their own, with this name as prefix (it ends in `_`).
    Object,
}

impl Type {
    /// Its name in `fields` and in the catalog.
    pub fn name(self) -> &'static str {
        match self {
            Type::Bool => "bool",
            Type::Int => "int",
            Type::Numeric => "numeric",
            Type::Real => "real",
            Type::Text => "text",
            Type::Time => "time",
            Type::Date => "date",
            Type::Json => "json",
            Type::Object => "object",
        }
    }
}

impl Field {
    pub(super) fn parse(text: &'static str) -> Result<Self, &'static str> {
        let (column, origin) = match text.split_once('=') {
            Some((column, origin)) => (column.trim(), Some(origin.trim())),
            None => (text, None),
        };
        let (name, kind) = column.split_once(' ').ok_or(text)?;
        let kind = match kind.trim() {
            "bool" => Type::Bool,
            "int" => Type::Int,
            "numeric" => Type::Numeric,
            "real" => Type::Real,
            "text" => Type::Text,
            "time" => Type::Time,
            "date" => Type::Date,
            "json" => Type::Json,
            "object" if name.ends_with('_') => Type::Object,
            _ => return Err(text),
        };
        let origin = match origin {
            None if kind == Type::Object => Origin::Record(&name[..name.len() - 1]),
            None => Origin::Record(name),
            Some("#") => Origin::Index,
            Some("" | "^") => return Err(text),
            Some(path) => path.strip_prefix('^').map_or(Origin::Record(path), Origin::Parent),
        };
        Ok(Self { name, kind, origin })
    }
}

/// Keeps a name that only run time knows (a custom object's) for as long as the program runs, once.
///
/// Collections hold `&'static str`, so that a hundred connectors can be constants; what leaks is the set of
/// distinct names of the accounts that this process has met.
pub fn intern(name: &str) -> &'static str {
    use std::{collections::HashSet, sync::Mutex};
    static NAMES: Mutex<Option<HashSet<&'static str>>> = Mutex::new(None);
    let mut names = NAMES.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let names = names.get_or_insert_with(HashSet::new);
    match names.get(name) {
        Some(known) => known,
        None => {
            let kept: &'static str = Box::leak(name.to_owned().into_boxed_str());
            names.insert(kept);
            kept
        }
    }
}
