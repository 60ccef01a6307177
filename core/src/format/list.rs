//! A JSON document as it comes: where the records of its list begin and end, and what else it says.

use super::cut::Span;
use crate::error::{Error, Result};

/// Finds the records of the list at a path, byte by byte. It only looks for their ends: each is parsed when it is used,
/// and what stands around them when it is all there.
pub(super) struct List {
    path: Vec<String>,
    /// What is open around here, outside the list: `{` and `[`, outermost first.
    open: Vec<u8>,
    /// So many of them lead to the list.
    trail: usize,
    /// The last key on the trail is the next step of the path.
    leads: bool,
    /// A key comes next, if an object is open.
    wants_key: bool,
    /// Where in `document` the string that is open begins, if it is a key.
    key: Option<usize>,
    in_string: bool,
    escaped: bool,
    place: Place,
    /// The document without the records of its list.
    pub document: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Before the list, or behind it.
    Around { behind: bool },
    /// At its beginning, where it may end.
    First,
    /// Behind a comma.
    Next,
    /// Behind a record.
    Behind,
    /// In a record that began there, and so many braces and brackets deep.
    Record { from: u64, depth: u32 },
}

impl List {
    /// The list at `path`, if that leads only through members: "" for the document itself.
    pub fn new(path: &str) -> Option<Self> {
        let path: Vec<String> = path.split('.').filter(|_| !path.is_empty()).map(str::to_owned).collect();
        let is_plain = |step: &String| {
            !step.is_empty() && !step.contains(['*', '[']) && step.bytes().any(|byte| !byte.is_ascii_digit())
        };
        path.iter().all(is_plain).then(|| Self {
            path,
            open: Vec::new(),
            trail: 0,
            leads: false,
            wants_key: false,
            key: None,
            in_string: false,
            escaped: false,
            place: Place::Around { behind: false },
            document: Vec::new(),
        })
    }

    /// Goes through what comes next, which begins at `at`.
    pub fn scan(&mut self, bytes: &[u8], at: u64, found: &mut impl Extend<Span>) -> Result<()> {
        let mut here = 0;
        while here < bytes.len() {
            // Most of it is strings in records.
            if self.in_string && matches!(self.place, Place::Record { .. }) && !self.escaped {
                let plain = bytes[here..].iter().take_while(|byte| !matches!(byte, b'"' | b'\\')).count();
                here += plain;
                if here == bytes.len() {
                    break;
                }
            }
            let byte = bytes[here];
            here += 1;
            match self.place {
                Place::Around { behind } => self.around(byte, behind)?,
                Place::Record { from, depth } => {
                    let depth = self.record(byte, depth);
                    self.place = Place::Record { from, depth };
                    if depth == 0 {
                        let end = at + here as u64;
                        found.extend([Span { from, to: end, end }]);
                        self.place = Place::Behind;
                    }
                }
                Place::First | Place::Next | Place::Behind => self.between(byte, at + here as u64 - 1)?,
            }
        }
        Ok(())
    }

    /// Where the record that has not ended begins.
    pub fn pending(&self) -> Option<u64> {
        match self.place {
            Place::Record { from, .. } => Some(from),
            _ => None,
        }
    }

    fn record(&mut self, byte: u8, depth: u32) -> u32 {
        if self.in_string {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => self.in_string = false,
                _ => {}
            }
            return depth;
        }
        match byte {
            b'"' => {
                self.in_string = true;
                depth
            }
            b'{' | b'[' => depth + 1,
            b'}' | b']' => depth - 1,
            _ => depth,
        }
    }

    fn between(&mut self, byte: u8, at: u64) -> Result<()> {
        self.place = match (byte, self.place) {
            (b' ' | b'\n' | b'\r' | b'\t', place) => place,
            (b'{', Place::First | Place::Next) => Place::Record { from: at, depth: 1 },
            (b',', Place::Behind) => Place::Next,
            (b']', Place::First | Place::Behind) => {
                self.leads = false;
                Place::Around { behind: true }
            }
            (_, Place::Behind) => {
                return Err(Error::unexpected(format!(
                    "not the JSON expected: no comma or end of the list at byte {at}"
                )));
            }
            _ => return Err(Error::unexpected("an item of the list is not an object")),
        };
        Ok(())
    }

    fn around(&mut self, byte: u8, behind: bool) -> Result<()> {
        self.document.push(byte);
        if self.in_string {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => {
                    self.in_string = false;
                    if let Some(from) = self.key.take() {
                        let key: String = serde_json::from_slice(&self.document[from..])?;
                        self.leads = self.path.get(self.trail.wrapping_sub(1)) == Some(&key);
                    }
                }
                _ => {}
            }
            return Ok(());
        }
        // Whether what opens here is the document, or the member that leads on.
        let on_trail = !behind && self.open.len() == self.trail && (self.open.is_empty() || self.leads);
        match byte {
            b'"' => {
                self.in_string = true;
                let is_key = self.wants_key && self.open.last() == Some(&b'{');
                self.key = (is_key && self.open.len() == self.trail).then(|| self.document.len() - 1);
                self.wants_key = false;
            }
            b'[' if on_trail && self.trail == self.steps() => {
                self.document.push(b']');
                self.place = Place::First;
            }
            b'{' | b'[' => {
                self.open.push(byte);
                if byte == b'{' && on_trail && self.trail < self.steps() {
                    self.trail += 1;
                }
                self.leads = false;
                self.wants_key = byte == b'{';
            }
            b'}' | b']' => {
                self.open.pop();
                self.trail = self.trail.min(self.open.len());
                self.leads = false;
            }
            b',' => {
                self.leads = false;
                self.wants_key = true;
            }
            _ => {}
        }
        Ok(())
    }

    /// So many objects are opened before the list.
    fn steps(&self) -> usize {
        self.path.len()
    }
}
