//! A cursor over JSON text that is known to be valid, as that of records and values is.
//!
//! serde's data model loses what a warehouse must keep: the digits of a number that no float holds, and strings with
//! lone surrogates, which it refuses; and it checks again what has been checked. This reads values as they stand, in one
//! pass and without a tree. It never panics, whatever the text; on invalid text it ends.

use std::ops::Range;

/// A place in JSON text.
pub struct Scan<'a> {
    text: &'a str,
    walk: Walk<'a>,
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// `{`
    Object,
    /// `[`
    Array,
    /// `"`
    String,
    /// true or false
    Bool,
    /// null
    Null,
    /// A number.
    Number,
}

impl<'a> Scan<'a> {
    /// At the start of `text`.
    pub fn new(text: &'a str) -> Self {
        Self { text, walk: Walk::new(text.as_bytes()) }
    }

    /// What the next value is; none at the end, or before what is no value.
    pub fn peek(&mut self) -> Option<Next> {
        self.walk.peek()
    }

    /// Enters the object that is next.
    pub fn enter(&mut self) {
        self.walk.enter();
    }

    /// The next member's name, as written between its quotes; none at the object's end, which is passed.
    pub fn member(&mut self) -> Option<&'a str> {
        self.walk.member().and_then(|name| self.text.get(name))
    }

    /// Passes the next value, of any depth, and gives it as it stands.
    pub fn value(&mut self) -> Option<&'a str> {
        self.walk.value().and_then(|value| self.text.get(value))
    }
}

/// The same over bytes, where values are only passed on: it says where they stand.
pub(super) struct Walk<'a> {
    json: &'a [u8],
    at: usize,
}

impl<'a> Walk<'a> {
    /// At the start of `json`.
    pub fn new(json: &'a [u8]) -> Self {
        Self { json, at: 0 }
    }

    /// See [`Scan::peek`].
    pub fn peek(&mut self) -> Option<Next> {
        self.space();
        Some(match self.byte()? {
            b'{' => Next::Object,
            b'[' => Next::Array,
            b'"' => Next::String,
            b't' | b'f' => Next::Bool,
            b'n' => Next::Null,
            b'-' | b'0'..=b'9' => Next::Number,
            _ => return None,
        })
    }

    /// Where it is.
    pub fn place(&self) -> usize {
        self.at
    }

    /// Enters the object or array that is next.
    pub fn enter(&mut self) {
        self.at += 1;
    }

    /// See [`Scan::member`].
    pub fn member(&mut self) -> Option<Range<usize>> {
        self.comma();
        if self.byte()? != b'"' {
            self.at += 1;
            return None;
        }
        let name = self.quoted()?;
        self.space();
        self.at += 1; // the colon
        Some(name)
    }

    /// The next item; none at the array's end, which is passed.
    pub fn item(&mut self) -> Option<Range<usize>> {
        self.comma();
        if self.byte()? == b']' {
            self.at += 1;
            return None;
        }
        self.value()
    }

    /// Whether the last thing that was passed is the end of an object or array.
    pub fn has_ended(&self) -> bool {
        matches!(self.at.checked_sub(1).and_then(|last| self.json.get(last)), Some(b'}' | b']'))
    }

    /// See [`Scan::value`].
    pub fn value(&mut self) -> Option<Range<usize>> {
        let kind = self.peek()?;
        let start = self.at;
        match kind {
            Next::String => {
                self.quoted()?;
            }
            Next::Object | Next::Array => {
                let mut depth = 0usize;
                loop {
                    match self.byte()? {
                        b'"' => {
                            self.quoted()?;
                            continue;
                        }
                        b'{' | b'[' => depth += 1,
                        b'}' | b']' => depth = depth.saturating_sub(1),
                        _ => {}
                    }
                    self.at += 1;
                    if depth == 0 {
                        break;
                    }
                }
            }
            Next::Bool | Next::Null | Next::Number => {
                while self
                    .byte()
                    .is_some_and(|b| !matches!(b, b',' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t'))
                {
                    self.at += 1;
                }
            }
        }
        Some(start..self.at)
    }

    /// Passes the string that is next; what is between its quotes.
    fn quoted(&mut self) -> Option<Range<usize>> {
        let start = self.at + 1;
        let mut at = start;
        loop {
            at += memchr::memchr2(b'"', b'\\', self.json.get(at..)?)?;
            if self.json[at] == b'"' {
                break;
            }
            at += 2;
        }
        self.at = at + 1;
        Some(start..at)
    }

    fn comma(&mut self) {
        self.space();
        if self.byte() == Some(b',') {
            self.at += 1;
            self.space();
        }
    }

    fn space(&mut self) {
        while self.byte().is_some_and(|b| matches!(b, b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    fn byte(&self) -> Option<u8> {
        self.json.get(self.at).copied()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// What is no JSON, or ends before its time.
    pub const BROKEN: [&str; 18] = [
        "",
        "{",
        "{\"",
        "{\"a",
        "{\"a\"",
        "{\"a\":",
        "[",
        "[\"\\",
        "\"\\u12",
        "}",
        "é",
        "{\"a\":\"é",
        "tru",
        "\\",
        "{\"a\":{",
        "{\"a\":{}",
        "{\"a\":tru",
        "{\"a\":\"\\",
    ];

    #[test]
    fn rubbish_ends_and_never_panics() {
        for text in BROKEN {
            let mut scan = Scan::new(text);
            let _ = scan.value();
            let mut scan = Scan::new(text);
            scan.enter();
            while scan.member().is_some() {
                let _ = scan.value();
            }
        }
    }
}
