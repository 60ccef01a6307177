//! The shape of a table's records: a tree of members, and the columns that they fill.

use std::collections::HashMap;

use headwater_core::object::{Field, Origin, Type};

use super::{Column, Layout, is_system};
use crate::warehouse::name;

/// The places of the two trees of a table of calls.
pub const PROPERTIES: usize = 0;
pub const CONTEXT: usize = 1;

/// What is known of a table's records before the first: built once for each table.
#[derive(Clone, Debug, Default)]
pub struct Shape {
    pub columns: Vec<Column>,
    pub nodes: Vec<Node>,
    /// Columns of paths that lead through arrays: looked up one by one.
    pub late: Vec<(Target, &'static str)>,
    /// Columns that the parent record fills.
    pub parent: Vec<(Target, &'static str)>,
    /// Columns that hold the place in the parent's list.
    pub place: Vec<Target>,
}

/// A member, at one place in the records.
#[derive(Clone, Debug, Default)]
pub struct Node {
    /// The words of its column, and of its members' columns before theirs.
    pub words: String,
    /// How a user would write where it is.
    pub path: String,
    pub level: usize,
    /// Its name, as JSON writes it.
    pub quoted: Box<str>,
    /// The member that came first in it, the last time.
    pub first: Option<usize>,
    /// The member that came behind it, the last time.
    pub then: Option<usize>,
    pub index: HashMap<Box<str>, usize>,
    /// The documented columns that it fills.
    pub targets: Vec<Target>,
    /// Whether a documented column comes from below it.
    pub leads: bool,
    /// The column that it fills by itself, once it has.
    pub column: Option<u32>,
    /// It has no column: what it holds goes to `_headwater_extra`.
    pub extra: bool,
}

/// Where a documented field's value goes.
#[derive(Clone, Copy, Debug)]
pub enum Target {
    /// A column, with its type; a key that no field documents has none.
    Column(u32, Option<Type>),
    /// A column that Headwater fills itself, from this if it is there.
    System(&'static str, Type),
}

impl Shape {
    /// Of a table of objects.
    pub fn object(fields: &[Field], key: &[&'static str]) -> Self {
        let mut shape = Self { nodes: vec![Node::default()], ..Self::default() };
        for key in key {
            match fields.iter().find(|field| field.name == *key) {
                Some(field) => shape.declare(field.name, Some(field.kind), field.origin),
                None => shape.declare(key, None, Origin::Record(key)),
            }
        }
        for field in fields.iter().filter(|field| !key.contains(&field.name)) {
            shape.declare(field.name, Some(field.kind), field.origin);
        }
        shape
    }

    /// Of a table of calls.
    pub fn call(fields: &[Field]) -> Self {
        let context = Node { words: "context".into(), path: "context".into(), ..Node::default() };
        let mut shape = Self { nodes: vec![Node::default(), context], ..Self::default() };
        for field in fields {
            shape.column(field.name, Some(field.kind));
        }
        shape
    }

    fn column(&mut self, name: &str, kind: Option<Type>) -> u32 {
        self.columns.push(Column { name: name.to_owned(), path: format!("={name}"), kind, declared: true });
        self.columns.len() as u32 - 1
    }

    fn declare(&mut self, name: &'static str, kind: Option<Type>, origin: Origin) {
        if let (Some(Type::Object), Origin::Record(path)) = (kind, origin) {
            let node = self.lead(path);
            self.nodes[node].words = name.trim_end_matches('_').to_owned();
            return;
        }
        let target = match kind {
            Some(kind) if is_system(Layout::Object, name) => Target::System(name, kind),
            _ => Target::Column(self.column(name, kind), kind),
        };
        match origin {
            Origin::Index => self.place.push(target),
            Origin::Parent(path) => self.parent.push((target, path)),
            Origin::Record(path) if leads_through_arrays(path) => self.late.push((target, path)),
            Origin::Record(path) => {
                let node = self.lead(path);
                self.nodes[node].targets.push(target);
            }
        }
    }

    /// The node at `path`, made with those on the way.
    fn lead(&mut self, path: &str) -> usize {
        let mut here = 0;
        for step in path.split('.') {
            self.nodes[here].leads = true;
            here = match self.nodes[here].index.get(step) {
                Some(&known) => known,
                None => self.grow(here, step, step),
            };
        }
        here
    }

    /// Adds a member to a node. `quoted` is its name as JSON writes it.
    pub fn grow(&mut self, parent: usize, quoted: &str, name: &str) -> usize {
        let above = &self.nodes[parent];
        let words = name::snake(name);
        let words = match above.words.as_str() {
            "" => words,
            prefix => format!("{prefix}_{words}"),
        };
        // A name with a dot in it is one step: `a.b` and the `b` of `a` are two members.
        let step = name.replace('\\', r"\\").replace('.', r"\.");
        let path = match above.path.as_str() {
            "" => step,
            path => format!("{path}.{step}"),
        };
        let node = Node { words, path, level: above.level + 1, quoted: quoted.into(), ..Node::default() };
        let place = self.nodes.len();
        self.nodes.push(node);
        self.nodes[parent].index.insert(quoted.into(), place);
        place
    }
}

/// Whether a path has steps that are places in arrays or filters.
fn leads_through_arrays(path: &str) -> bool {
    path.split('.').any(|step| step.contains('[') || step.bytes().all(|b| b.is_ascii_digit()))
}
