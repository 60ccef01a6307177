//! JSON as it was written: no digit of a number and no half of an emoji is lost by reading it.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// A value at a path: a string, number, boolean or array, as JSON text.
pub type Leaf = (String, String);

/// The members of an object, in order.
pub fn members(json: &str) -> Vec<(String, String)> {
    struct Members(Vec<(String, String)>);
    impl<'de> Deserialize<'de> for Members {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Collect;
            impl<'de> Visitor<'de> for Collect {
                type Value = Members;
                fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str("an object")
                }
                fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                    let mut all = Vec::new();
                    while let Some((name, value)) = map.next_entry::<String, Box<RawValue>>()? {
                        all.push((name, value.get().to_owned()));
                    }
                    Ok(Members(all))
                }
            }
            deserializer.deserialize_map(Collect)
        }
    }
    serde_json::from_str::<Members>(json).unwrap_or_else(|error| panic!("{error} in {json}")).0
}

/// The value of a member; none where it is missing or null.
pub fn member<'m>(members: &'m [(String, String)], name: &str) -> Option<&'m str> {
    members
        .iter()
        .find(|(known, _)| known == name)
        .map(|(_, json)| json.as_str())
        .filter(|json| *json != "null")
}

/// Every value below `path` that is no object, nulls included.
pub fn leaves(path: &str, json: &str, out: &mut Vec<Leaf>) {
    if !json.starts_with('{') {
        out.push((path.to_owned(), json.to_owned()));
        return;
    }
    for (name, value) in members(json) {
        let below = if path.is_empty() { name } else { format!("{path}.{name}") };
        leaves(&below, &value, out);
    }
}

/// What a string says. NUL and halves of surrogate pairs are U+FFFD, as every warehouse keeps them.
pub fn text(json: &str) -> String {
    struct Bytes(Vec<u8>);
    impl<'de> Deserialize<'de> for Bytes {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Take;
            impl Visitor<'_> for Take {
                type Value = Bytes;
                fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str("a string")
                }
                fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Bytes, E> {
                    Ok(Bytes(bytes.to_vec()))
                }
            }
            deserializer.deserialize_bytes(Take)
        }
    }
    let bytes = serde_json::from_str::<Bytes>(json).unwrap_or_else(|error| panic!("{error} in {json}")).0;
    // serde_json writes half a pair as the three bytes that begin with ED A0 to ED BF, which are not UTF-8.
    let mut whole = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let half = bytes[at] == 0xed && bytes.get(at + 1).is_some_and(|byte| *byte >= 0xa0);
        match bytes[at] {
            _ if half => whole.extend_from_slice("\u{fffd}".as_bytes()),
            0 => whole.extend_from_slice("\u{fffd}".as_bytes()),
            byte => whole.push(byte),
        }
        at += if half { 3 } else { 1 };
    }
    String::from_utf8(whole).expect("it was JSON")
}

/// A value in the one way of writing it: no spaces, no escapes, numbers by their digits and their power of ten.
pub fn canonical(json: &str) -> String {
    match json.as_bytes().first() {
        Some(b'"') => format!("{:?}", text(json)),
        Some(b'{') => {
            let all: Vec<String> =
                members(json).iter().map(|(name, value)| format!("{name:?}:{}", canonical(value))).collect();
            format!("{{{}}}", all.join(","))
        }
        Some(b'[') => {
            let all: Vec<String> = items(json).iter().map(|item| canonical(item)).collect();
            format!("[{}]", all.join(","))
        }
        Some(b'-' | b'0'..=b'9') => number(json),
        _ => json.to_owned(),
    }
}

/// A number's sign, digits and power of ten, however it was written.
pub fn number(text: &str) -> String {
    let (sign, rest) = text.strip_prefix('-').map_or(("", text), |rest| ("-", rest));
    let (mantissa, power) = rest.split_once(['e', 'E']).unwrap_or((rest, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let power: i64 = power.parse().unwrap_or_else(|_| panic!("{text} is no number"));
    let all = format!("{whole}{fraction}");
    assert!(!all.is_empty() && all.bytes().all(|byte| byte.is_ascii_digit()), "{text} is no number");
    let digits = all.trim_start_matches('0');
    let short = digits.trim_end_matches('0');
    if short.is_empty() {
        return "0".to_owned();
    }
    let power = power - fraction.len() as i64 + (digits.len() - short.len()) as i64;
    format!("{sign}{short}e{power}")
}

fn items(json: &str) -> Vec<String> {
    struct Items(Vec<String>);
    impl<'de> Deserialize<'de> for Items {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Collect;
            impl<'de> Visitor<'de> for Collect {
                type Value = Items;
                fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str("an array")
                }
                fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Items, A::Error> {
                    let mut all = Vec::new();
                    while let Some(value) = seq.next_element::<Box<RawValue>>()? {
                        all.push(value.get().to_owned());
                    }
                    Ok(Items(all))
                }
            }
            deserializer.deserialize_seq(Collect)
        }
    }
    serde_json::from_str::<Items>(json).unwrap_or_else(|error| panic!("{error} in {json}")).0
}

#[test]
fn values_are_read_as_they_were_written() {
    assert_eq!(number("1e+21"), number("1000000000000000000000"));
    assert_eq!(number("-0.10"), "-1e-1");
    assert_eq!(number("-0.0"), "0");
    assert_ne!(number("9007199254740993"), number("9007199254740992"));
    assert_eq!(text(r#""a\u0000b\ud83dc\ud83d\ude00""#), "a\u{fffd}b\u{fffd}c😀");
    assert_eq!(canonical(r#"[1.50, {"a" : "\u00e9"}, null]"#), r#"[15e-1,{"a":"é"},null]"#);
}
