//! Whether bytes are one JSON value: one pass, in which strings are passed by blocks of 64 bytes. It says yes only to what serde takes
//! too; what it does not say yes to is serde's to judge, and to explain.
//!
//! Everything that is received is proven before it is answered, so this is the larger part of what receiving costs.

use wide::u8x16;

/// Bytes that are looked at together: as many as a mask has bits.
const BLOCK: usize = u64::BITS as usize;

/// The one value in `json`, without the white space around it. Members of an outermost object are shown as they are passed: the name as
/// written between its quotes, and the value.
pub(super) fn prove<'j>(json: &'j [u8], member: impl FnMut(&'j [u8], &'j [u8])) -> Option<&'j [u8]> {
    Proof { json, at: 0, block: usize::MAX, ends: 0, is_ascii: true }.run(member)
}

struct Proof<'j> {
    json: &'j [u8],
    at: usize,
    /// The block that was looked at last,
    block: usize,
    /// and what in it ends a run of plain characters in a string: quotes, backslashes, control characters.
    ends: u64,
    /// Whether all blocks with strings in them are ASCII.
    is_ascii: bool,
}

impl<'j> Proof<'j> {
    fn run(mut self, mut member: impl FnMut(&'j [u8], &'j [u8])) -> Option<&'j [u8]> {
        // What ends each object and array that is open.
        let mut open: Vec<u8> = Vec::with_capacity(32);
        let mut name: &[u8] = &[];
        // Where the value began that stands outermost, or in the outermost object.
        let mut began = 0;
        self.space();
        let outermost = self.at;
        loop {
            let first = self.space();
            if open.len() == 1 {
                began = self.at;
            }
            match first {
                b'"' => {
                    self.at += 1;
                    self.string()?;
                }
                b'{' | b'[' => {
                    // The ends stand two behind the beginnings.
                    let end = first + 2;
                    self.at += 1;
                    if self.space() != end {
                        open.push(end);
                        if end == b'}' {
                            let inner = self.name()?;
                            if open.len() == 1 {
                                name = inner;
                            }
                        }
                        continue;
                    }
                    self.at += 1;
                }
                b't' => self.word(b"true")?,
                b'f' => self.word(b"false")?,
                b'n' => self.word(b"null")?,
                _ => self.number()?,
            }
            // A value has ended; as many as it ends are ended too.
            loop {
                let ended = self.at;
                let next = self.space();
                let Some(&end) = open.last() else {
                    // Beyond ASCII there is nothing but in strings.
                    let is_text = self.is_ascii || std::str::from_utf8(self.json).is_ok();
                    return (self.at == self.json.len() && is_text).then(|| &self.json[outermost..ended]);
                };
                let is_member = open.len() == 1 && end == b'}';
                if is_member {
                    member(name, &self.json[began..ended]);
                }
                self.at += 1;
                if next == b',' {
                    if end == b'}' {
                        self.space();
                        let inner = self.name()?;
                        if is_member {
                            name = inner;
                        }
                    }
                    break;
                }
                if next != end {
                    return None;
                }
                open.pop();
            }
        }
    }

    /// The byte that is next; none looks like NUL, which is nowhere allowed.
    #[inline(always)]
    fn byte(&self) -> u8 {
        self.json.get(self.at).copied().unwrap_or(0)
    }

    #[inline(always)]
    fn space(&mut self) -> u8 {
        loop {
            match self.byte() {
                b' ' | b'\n' | b'\r' | b'\t' => self.at += 1,
                other => return other,
            }
        }
    }

    /// A member's name and the colon behind it.
    #[inline(always)]
    fn name(&mut self) -> Option<&'j [u8]> {
        if self.byte() != b'"' {
            return None;
        }
        self.at += 1;
        let name = self.string()?;
        if self.space() != b':' {
            return None;
        }
        self.at += 1;
        Some(name)
    }

    /// The rest of a string whose opening quote has been passed.
    #[inline(always)]
    fn string(&mut self) -> Option<&'j [u8]> {
        let start = self.at;
        loop {
            let block = self.at / BLOCK;
            if block != self.block {
                self.look_at(block);
            }
            let ends = self.ends >> (self.at % BLOCK);
            if ends == 0 {
                // Nothing behind the end of all is plain, so this ends.
                self.at = (block + 1) * BLOCK;
                continue;
            }
            self.at += ends.trailing_zeros() as usize;
            match self.byte() {
                b'"' => {
                    let text = &self.json[start..self.at];
                    self.at += 1;
                    return Some(text);
                }
                b'\\' => self.escape()?,
                _ => return None,
            }
        }
    }

    #[inline(always)]
    fn look_at(&mut self, block: usize) {
        let rest = self.json.get(block * BLOCK..).unwrap_or_default();
        let mut last = [0; BLOCK];
        let bytes = rest.first_chunk().unwrap_or_else(|| {
            last[..rest.len()].copy_from_slice(rest);
            &last
        });
        let (quote, escape, control) = (u8x16::splat(b'"'), u8x16::splat(b'\\'), u8x16::splat(0x1f));
        let (mut ends, mut beyond) = (0, 0);
        for (place, part) in bytes.as_chunks::<16>().0.iter().enumerate() {
            let part = u8x16::new(*part);
            let end = part.simd_eq(quote) | part.simd_eq(escape) | part.min(control).simd_eq(part);
            ends |= u64::from(end.to_bitmask()) << (16 * place);
            beyond |= part.to_bitmask();
        }
        self.block = block;
        self.ends = ends;
        self.is_ascii &= beyond == 0;
    }

    fn escape(&mut self) -> Option<()> {
        let length = match self.json.get(self.at + 1)? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => 2,
            // Halves of pairs are taken: who reads the string has to see to them.
            b'u' => {
                let digits = self.json.get(self.at + 2..self.at + 6)?;
                digits.iter().all(u8::is_ascii_hexdigit).then_some(6)?
            }
            _ => return None,
        };
        self.at += length;
        Some(())
    }

    #[inline(always)]
    fn number(&mut self) -> Option<()> {
        if self.byte() == b'-' {
            self.at += 1;
        }
        match self.byte() {
            b'0' => self.at += 1,
            _ => self.digits()?,
        }
        if self.byte() == b'.' {
            self.at += 1;
            self.digits()?;
        }
        if let b'e' | b'E' = self.byte() {
            self.at += 1;
            if let b'+' | b'-' = self.byte() {
                self.at += 1;
            }
            self.digits()?;
        }
        Some(())
    }

    #[inline(always)]
    fn digits(&mut self) -> Option<()> {
        let start = self.at;
        while self.byte().is_ascii_digit() {
            self.at += 1;
        }
        (self.at > start).then_some(())
    }

    #[inline(always)]
    fn word(&mut self, word: &[u8]) -> Option<()> {
        self.json.get(self.at..)?.starts_with(word).then_some(())?;
        self.at += word.len();
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng, rngs::StdRng};
    use serde_json::value::RawValue;

    use super::*;

    /// The same judgement as serde's, and the same value.
    fn assert_as_serde(json: &[u8]) -> bool {
        let serde = serde_json::from_slice::<&RawValue>(json).ok().map(|raw| raw.get().as_bytes());
        let own = prove(json, |_, _| {});
        assert_eq!(own, serde, "{}", String::from_utf8_lossy(json));
        own.is_some()
    }

    #[test]
    fn what_is_json_and_what_is_not() {
        let good = [
            "0",
            "-0",
            "-1.5e+10",
            "1E5",
            " true ",
            "null",
            "\"\"",
            "[]",
            "{ }",
            "[[],{}]",
            "[1 , 2]",
            "{\"a\":{\"b\":[{}]},\"c\":\"\\u12aF\\n\"}",
            "\"\\ud800\"",
            "\"é – 漢字 and enough behind it\"",
            "\t{\"a\" : 1 }\r\n",
            "\"\u{7f}\"",
            "\"0123456789abcdef\"",
            "\"0123456789abcde\\\\\"",
        ];
        for json in good {
            assert!(assert_as_serde(json.as_bytes()), "{json}");
        }
        let bad: [&[u8]; 32] = [
            b"",
            b" ",
            b"{",
            b"[",
            b"\"",
            b"\"\\",
            b"\"\\u12\"",
            b"\"\\x\"",
            b"01",
            b"1.",
            b"-",
            b".5",
            b"1e",
            b"+1",
            b"[1,]",
            b"{\"a\":1,}",
            b"{\"a\"}",
            b"{\"a\":}",
            b"{1:2}",
            b"[1 2]",
            b"{}}",
            b"[}",
            b"{]",
            b"tru",
            b"nul",
            b"\"\x1f\"",
            b"\"\xff\"",
            b"\xef\xbb\xbf{}",
            b"1 1",
            b"{\"a\":1 \"b\":2}",
            b"[\0]",
            b"\"0123456789abcdef\xc3\"",
        ];
        for json in bad {
            assert!(!assert_as_serde(json), "{}", String::from_utf8_lossy(json));
        }
        assert_as_serde(format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000)).as_bytes());
    }

    #[test]
    fn members_of_the_outermost_object_are_shown() {
        let json = br#" {"a":1,"b" : [{"a":2},"x"] ,"c":{"a":{}},"d":"e"} "#;
        let mut seen = Vec::new();
        prove(json, |name, value| seen.push((name, value))).unwrap();
        let expected: [(&[u8], &[u8]); 4] =
            [(b"a", b"1"), (b"b", br#"[{"a":2},"x"]"#), (b"c", br#"{"a":{}}"#), (b"d", br#""e""#)];
        assert_eq!(seen, expected);
        let mut seen = 0;
        prove(br#"[{"a":1}]"#, |_, _| seen += 1).unwrap();
        prove(br#"{}"#, |_, _| seen += 1).unwrap();
        assert_eq!(seen, 0);
    }

    #[test]
    fn whatever_is_changed_serde_says_the_same() {
        let mut rng = StdRng::seed_from_u64(11);
        let whole = r#"{"type":"track","n":[-1.5e3,0,true,false,null],"é":"–\u00e9\"\\","o":{"p":{"q":[]}},"long":"Mozilla/5.0 (Macintosh; Intel Mac OS X)"}"#;
        let pieces: &[u8] = b"{}[]:,\"\\u0e-+.1tfn \x00\x1f\x80\xc3\xa9";
        let mut good = 0;
        for _ in 0..100_000 {
            let mut json = whole.as_bytes().to_vec();
            for _ in 0..rng.random_range(1..4) {
                let at = rng.random_range(0..json.len().max(1));
                let piece = pieces[rng.random_range(0..pieces.len())];
                match rng.random_range(0..4) {
                    0 if at < json.len() => json[at] = piece,
                    1 if at < json.len() => drop(json.remove(at)),
                    2 => json.truncate(at),
                    _ => json.insert(at, piece),
                }
            }
            good += usize::from(assert_as_serde(&json));
        }
        assert!(good > 10_000, "many a change leaves it JSON: {good}");
    }

    #[test]
    fn what_is_made_of_json_is_judged_alike() {
        let mut rng = StdRng::seed_from_u64(12);
        let pieces: &[u8] = b"{}[]:,\"\"\"\\u01e-. \x80";
        let mut good = 0;
        for _ in 0..300_000 {
            let length = rng.random_range(0..12);
            let json: Vec<u8> = (0..length).map(|_| pieces[rng.random_range(0..pieces.len())]).collect();
            good += usize::from(assert_as_serde(&json));
        }
        assert!(good > 1_000, "some of it is JSON: {good}");
    }
}
