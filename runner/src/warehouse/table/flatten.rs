//! Flattening: a record's bytes become cells in one pass, along a tree of the members seen so far, so that a known
//! member costs one comparison and no allocation of its name.

use headwater_core::{
    error::{Error, Result},
    object::{Change, Field, Origin},
    record::{Fields, Next, Raw, Record, Scan},
};

use super::{
    Cell, Column, Layout, MAX_COLUMNS, MAX_LEVEL, TableSpec,
    escape::{clean, unescape},
    is_system, natural,
    shape::{CONTEXT, PROPERTIES, Shape, Target},
    widen,
};
use crate::warehouse::name;

/// The most members that one batch remembers; what comes after goes to `_headwater_extra`.
const MAX_NODES: usize = 20_000;

/// Where one row's values are collected.
#[derive(Debug, Default)]
pub struct Sink {
    pub cells: Vec<(u32, Cell)>,
    pub extra: Vec<(String, String)>,
    pub system: Vec<(&'static str, Cell)>,
    /// Nulls count, because absent columns stay.
    pub patch: bool,
}

/// A table's shape, and what a batch has learnt since.
#[derive(Debug)]
pub struct Flattener {
    shape: Shape,
    replaced: u64,
    /// The last parent, and what its columns hold: a list has one parent.
    parent: Option<(Record, Vec<(Target, Cell)>)>,
}

impl Flattener {
    pub fn new(shape: &Shape) -> Self {
        Self { shape: shape.clone(), replaced: 0, parent: None }
    }

    pub fn columns(&self) -> &[Column] {
        &self.shape.columns
    }

    pub fn replaced(&self) -> u64 {
        self.replaced
    }

    /// All of a record.
    pub fn record(&mut self, spec: &TableSpec, change: &Change, sink: &mut Sink) -> Result<()> {
        let text = text(change.record.bytes())?;
        sink.cells.reserve(self.shape.columns.len());
        let mut scan = Scan::new(text);
        self.object(spec, &mut scan, 0, true, sink);
        self.around(change, sink)?;
        for at in 0..self.shape.late.len() {
            let (target, path) = self.shape.late[at];
            if let Some(raw) = change.record.at(path)? {
                self.declared(target, self::text(raw.bytes())?, sink);
            }
        }
        Ok(())
    }

    /// The key alone: of a deleted record nothing else counts.
    pub fn key(&mut self, spec: &TableSpec, change: &Change, sink: &mut Sink) -> Result<()> {
        let all = self.around_targets(change)?;
        let keys = spec.key.len() as u32;
        for (target, cell) in all {
            if matches!(target, Target::Column(place, _) if place < keys) {
                self.put(target, cell, sink);
            }
        }
        for (place, key) in spec.key.iter().enumerate() {
            let (kind, path) = match spec.fields.iter().find(|field| field.name == key) {
                Some(Field { kind, origin: Origin::Record(path), .. }) => (Some(*kind), *path),
                Some(_) => continue,
                None => (None, key.as_str()),
            };
            if let Some(raw) = change.record.at(path)? {
                self.declared(Target::Column(place as u32, kind), text(raw.bytes())?, sink);
            }
        }
        Ok(())
    }

    /// A call's context and properties, and members that the Spec does not know.
    pub fn call(
        &mut self,
        spec: &TableSpec,
        context: &Fields,
        properties: Option<&Fields>,
        rest: &Fields,
        sink: &mut Sink,
    ) -> Result<()> {
        for (root, fields) in [(CONTEXT, Some(context)), (PROPERTIES, properties)] {
            let mut before = None;
            for (name, raw) in fields.into_iter().flat_map(Fields::iter) {
                let json = text(raw.bytes())?;
                let escaped;
                let quoted = match name.bytes().any(|b| matches!(b, b'"' | b'\\' | 0..0x20)) {
                    false => name,
                    true => {
                        escaped = Raw::string(name);
                        let quoted = text(escaped.bytes())?;
                        quoted.get(1..quoted.len() - 1).unwrap_or(name)
                    }
                };
                self.member(spec, &mut Scan::new(json), root, quoted, &mut before, sink);
            }
        }
        for (name, raw) in rest.iter() {
            let json = clean(text(raw.bytes())?, &mut self.replaced).into_owned();
            sink.extra.push((name.to_owned(), json));
        }
        Ok(())
    }

    /// The members of the object that `scan` stands at. `all` is false where only documented columns are wanted.
    fn object(&mut self, spec: &TableSpec, scan: &mut Scan<'_>, node: usize, all: bool, sink: &mut Sink) {
        scan.peek();
        scan.enter();
        let mut before = None;
        while let Some(quoted) = scan.member() {
            if all {
                self.member(spec, scan, node, quoted, &mut before, sink);
                continue;
            }
            match self.shape.nodes[node].index.get(quoted).copied() {
                Some(member) => self.documented(spec, scan, member, sink),
                None => drop(scan.value()),
            }
        }
    }

    /// One member's value. `before` is the member in front of it.
    fn member(
        &mut self,
        spec: &TableSpec,
        scan: &mut Scan<'_>,
        above: usize,
        quoted: &str,
        before: &mut Option<usize>,
        sink: &mut Sink,
    ) {
        let Some(member) = self.find(spec, above, quoted, *before) else {
            let name = unescape(quoted, &mut self.replaced).into_owned();
            let path = match self.shape.nodes[above].path.as_str() {
                "" => name,
                path => format!("{path}.{name}"),
            };
            return self.extra(scan, path, sink);
        };
        *before = Some(member);
        let node = &self.shape.nodes[member];
        if !node.targets.is_empty() {
            return self.documented(spec, scan, member, sink);
        }
        if node.extra {
            let path = node.path.clone();
            return self.extra(scan, path, sink);
        }
        if scan.peek() == Some(Next::Object) && (node.level < MAX_LEVEL || node.leads) {
            return self.object(spec, scan, member, true, sink);
        }
        let Some(json) = scan.value() else { return };
        let cell = natural::cell(json, &mut self.replaced);
        if cell == Cell::Null && !sink.patch && self.shape.nodes[member].column.is_none() {
            return;
        }
        match self.own_column(spec, member) {
            Some(column) => self.put(Target::Column(column, None), cell, sink),
            None => {
                let path = self.shape.nodes[member].path.clone();
                sink.extra.push((path, clean(json, &mut self.replaced).into_owned()));
            }
        }
    }

    /// The place of a member. Records mostly have the same members in the same order.
    fn find(&mut self, spec: &TableSpec, above: usize, quoted: &str, before: Option<usize>) -> Option<usize> {
        let nodes = &self.shape.nodes;
        let expected = before.map_or(nodes[above].first, |before| nodes[before].then);
        if let Some(expected) = expected.filter(|place| *nodes[*place].quoted == *quoted) {
            return Some(expected);
        }
        let known = nodes[above].index.get(quoted).copied();
        let member = known.or_else(|| self.learn(spec, above, quoted));
        match before {
            Some(before) => self.shape.nodes[before].then = member,
            None => self.shape.nodes[above].first = member,
        }
        member
    }

    /// A member that fills documented columns; nothing else of it is loaded.
    fn documented(&mut self, spec: &TableSpec, scan: &mut Scan<'_>, member: usize, sink: &mut Sink) {
        let Some(json) = scan.value() else { return };
        for at in 0..self.shape.nodes[member].targets.len() {
            self.declared(self.shape.nodes[member].targets[at], json, sink);
        }
        if self.shape.nodes[member].leads && Scan::new(json).peek() == Some(Next::Object) {
            // Where the whole goes into a column of its own, its members need none.
            let all = self.shape.nodes[member].targets.is_empty();
            self.object(spec, &mut Scan::new(json), member, all, sink);
        }
    }

    fn extra(&mut self, scan: &mut Scan<'_>, path: String, sink: &mut Sink) {
        if let Some(json) = scan.value().filter(|json| *json != "null") {
            sink.extra.push((path, clean(json, &mut self.replaced).into_owned()));
        }
    }

    /// A member that was not seen before; none if there are too many of them.
    fn learn(&mut self, spec: &TableSpec, above: usize, quoted: &str) -> Option<usize> {
        if self.shape.nodes.len() >= MAX_NODES || self.shape.columns.len() >= MAX_COLUMNS {
            return None;
        }
        let name = unescape(quoted, &mut self.replaced).into_owned();
        let member = self.shape.grow(above, quoted, &name);
        let node = &mut self.shape.nodes[member];
        let outside = spec.layout != Layout::Object && above == PROPERTIES;
        node.extra = name.starts_with(name::OWN)
            || is_system(spec.layout, &node.words)
            || outside
                && (node.words == "context"
                    || node.words.starts_with("context_")
                    || spec.fields.iter().any(|field| field.name == node.words));
        Some(member)
    }

    /// The column of a member that no field documents.
    fn own_column(&mut self, spec: &TableSpec, member: usize) -> Option<u32> {
        let node = &self.shape.nodes[member];
        if node.column.is_some() {
            return node.column;
        }
        if self.shape.columns.len() >= MAX_COLUMNS || is_system(spec.layout, &node.words) {
            return None;
        }
        let column = Column {
            name: name::column(&node.words, &node.path),
            path: node.path.clone(),
            kind: None,
            declared: false,
        };
        let place = self.shape.columns.len() as u32;
        self.shape.columns.push(column);
        self.shape.nodes[member].column = Some(place);
        Some(place)
    }

    fn declared(&mut self, target: Target, json: &str, sink: &mut Sink) {
        let cell = match target {
            Target::Column(_, Some(kind)) | Target::System(_, kind) => {
                natural::declared(kind, json, &mut self.replaced)
            }
            Target::Column(_, None) => natural::cell(json, &mut self.replaced),
        };
        self.put(target, cell, sink);
    }

    fn put(&mut self, target: Target, cell: Cell, sink: &mut Sink) {
        match target {
            Target::System(name, _) => sink.system.push((name, cell)),
            Target::Column(place, _) => {
                if let Some(kind) = cell.kind() {
                    let column = &mut self.shape.columns[place as usize];
                    column.kind = Some(column.kind.map_or(kind, |known| widen(known, kind)));
                }
                sink.cells.push((place, cell));
            }
        }
    }

    /// What the parent and the place in its list say.
    fn around(&mut self, change: &Change, sink: &mut Sink) -> Result<()> {
        if self.shape.parent.is_empty() && self.shape.place.is_empty() {
            return Ok(());
        }
        for (target, cell) in self.around_targets(change)? {
            self.put(target, cell, sink);
        }
        Ok(())
    }

    fn around_targets(&mut self, change: &Change) -> Result<Vec<(Target, Cell)>> {
        let mut cells = match (&change.parent, &self.parent) {
            (Some(parent), Some((known, cells))) if same(parent, known) => cells.clone(),
            (Some(parent), _) if !self.shape.parent.is_empty() => {
                let mut cells = Vec::with_capacity(self.shape.parent.len());
                for &(target, path) in &self.shape.parent {
                    let Some(raw) = parent.at(path)? else { continue };
                    let json = text(raw.bytes())?;
                    let cell = match target {
                        Target::Column(_, Some(kind)) | Target::System(_, kind) => {
                            natural::declared(kind, json, &mut self.replaced)
                        }
                        Target::Column(_, None) => natural::cell(json, &mut self.replaced),
                    };
                    cells.push((target, cell));
                }
                self.parent = Some((parent.clone(), cells.clone()));
                cells
            }
            _ => Vec::new(),
        };
        cells.extend(self.shape.place.iter().map(|target| (*target, Cell::Int(i64::from(change.index)))));
        Ok(cells)
    }
}

/// Whether both are the same slice of the same page.
fn same(one: &Record, other: &Record) -> bool {
    one.bytes().as_ptr() == other.bytes().as_ptr() && one.bytes().len() == other.bytes().len()
}

fn text(bytes: &[u8]) -> Result<&str> {
    std::str::from_utf8(bytes).map_err(|error| Error::unexpected(format!("not UTF-8: {error}")))
}
