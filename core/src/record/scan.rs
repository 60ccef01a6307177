//! A cursor over JSON text that is known to be valid, as that of records and values is.
//!
//! serde's data model loses what a warehouse must keep: the digits of a number that no float holds, and strings with
//! lone surrogates, which it refuses; and it checks again what has been checked. This reads values as they stand, in one
//! pass and without a tree. It never panics, whatever the text; on invalid text it ends.

/// A place in JSON text.
pub struct Scan<'a> {
    text: &'a str,
    at: usize,
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
        Self { text, at: 0 }
    }

    /// What the next value is; none at the end, or before what is no value.
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

    /// Enters the object that is next.
    pub fn enter(&mut self) {
        self.at += 1;
    }

    /// The next member's name, as written between its quotes; none at the object's end, which is passed.
    pub fn member(&mut self) -> Option<&'a str> {
        self.space();
        if self.byte() == Some(b',') {
            self.at += 1;
            self.space();
        }
        if self.byte()? != b'"' {
            self.at += 1;
            return None;
        }
        let name = self.quoted()?;
        self.space();
        self.at += 1; // the colon
        Some(name)
    }

    /// Passes the next value, of any depth, and gives it as it stands.
    pub fn value(&mut self) -> Option<&'a str> {
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
        self.text.get(start..self.at)
    }

    /// Passes the string that is next, and gives what is between its quotes.
    fn quoted(&mut self) -> Option<&'a str> {
        let start = self.at + 1;
        let bytes = self.text.as_bytes();
        let mut at = start;
        loop {
            match bytes.get(at)? {
                b'"' => break,
                b'\\' => at += 2,
                _ => at += 1,
            }
        }
        self.at = at + 1;
        self.text.get(start..at)
    }

    fn space(&mut self) {
        while self.byte().is_some_and(|b| matches!(b, b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rubbish_ends_and_never_panics() {
        for text in [
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
        ] {
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
