//! Text of JSON strings, escapes undone, and of JSON that goes into a column as it stands: without what databases refuse.

use std::borrow::Cow;

/// What stands between quotes, escapes undone. NUL and lone surrogates become U+FFFD, and are counted.
pub fn unescape<'a>(quoted: &'a str, replaced: &mut u64) -> Cow<'a, str> {
    if !quoted.as_bytes().contains(&b'\\') {
        return Cow::Borrowed(quoted);
    }
    let mut out = String::with_capacity(quoted.len());
    let mut rest = quoted;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let (escape, tail) = escape(&rest[at..]);
        out.push(match escape {
            Escape::Char('\0') | Escape::Lone => {
                *replaced += 1;
                char::REPLACEMENT_CHARACTER
            }
            Escape::Char(char) => char,
        });
        rest = tail;
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// JSON text without the escapes that some databases refuse: NUL and lone surrogates become `\ufffd`, and are counted.
pub fn clean<'a>(json: &'a str, replaced: &mut u64) -> Cow<'a, str> {
    if !json.contains("\\u") {
        return Cow::Borrowed(json);
    }
    let mut out = String::with_capacity(json.len());
    let mut rest = json;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let (escape, tail) = escape(&rest[at..]);
        match escape {
            Escape::Char('\0') | Escape::Lone => {
                *replaced += 1;
                out.push_str("\\ufffd");
            }
            Escape::Char(_) => out.push_str(&rest[at..rest.len() - tail.len()]),
        }
        rest = tail;
    }
    out.push_str(rest);
    Cow::Owned(out)
}

enum Escape {
    Char(char),
    Lone,
}

/// The escape at the start of `text` (a backslash), and what follows it.
fn escape(text: &str) -> (Escape, &str) {
    let mut chars = text.chars();
    chars.next();
    let char = match chars.next() {
        Some('b') => '\u{8}',
        Some('f') => '\u{c}',
        Some('n') => '\n',
        Some('r') => '\r',
        Some('t') => '\t',
        Some('u') => {
            let (one, tail) = hex4(chars.as_str());
            let Some(one) = one else { return (Escape::Lone, tail) };
            if let Some(char) = char::from_u32(one) {
                return (Escape::Char(char), tail);
            }
            // The first half of a pair, if the second one follows.
            if let (0xD800..0xDC00, Some(second)) = (one, tail.strip_prefix("\\u"))
                && let (Some(two @ 0xDC00..0xE000), behind) = hex4(second)
                && let Some(char) = char::from_u32(0x10000 + ((one - 0xD800) << 10) + (two - 0xDC00))
            {
                return (Escape::Char(char), behind);
            }
            return (Escape::Lone, tail);
        }
        Some(other) => other,
        None => return (Escape::Lone, ""),
    };
    (Escape::Char(char), chars.as_str())
}

fn hex4(text: &str) -> (Option<u32>, &str) {
    match (text.get(..4).and_then(|digits| u32::from_str_radix(digits, 16).ok()), text.get(4..)) {
        (Some(code), Some(tail)) => (Some(code), tail),
        _ => (None, text),
    }
}

#[cfg(test)]
mod tests {
    use headwater_core::record::Scan;

    use super::*;

    #[test]
    fn strings_are_read_as_serde_json_reads_them() {
        for json in [r#""a\"b\\c\/d\b\f\n\r\t""#, r#""\u00e9\ud83d\ude00x""#, r#""plain é""#, r#""\\\\""#] {
            let mut replaced = 0;
            let inner = Scan::new(json).value().unwrap();
            let text = unescape(&inner[1..inner.len() - 1], &mut replaced);
            assert_eq!(
                (text.as_ref(), replaced),
                (serde_json::from_str::<String>(json).unwrap().as_str(), 0)
            );
        }
    }

    #[test]
    fn nul_and_lone_surrogates_are_replaced_and_counted() {
        let mut replaced = 0;
        assert_eq!(
            unescape(r"a\u0000b\ud800c\udc00\ud800\ud83d\ude00", &mut replaced),
            "a\u{fffd}b\u{fffd}c\u{fffd}\u{fffd}😀"
        );
        assert_eq!(replaced, 4);
        assert_eq!(
            clean(r#"["\u0000\\u0000\ud800","\ud83d\ude00\u00e9"]"#, &mut replaced),
            r#"["\ufffd\\u0000\ufffd","\ud83d\ude00\u00e9"]"#
        );
        assert_eq!(replaced, 6);
    }

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
            let _ = (unescape(text, &mut 0), clean(text, &mut 0));
        }
    }
}
