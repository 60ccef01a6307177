//! The pipeline: what has been received becomes Spec calls, and calls become rows — each at its own pace, from stored positions.
//!
//! `inbox → normaliser → calls log → loader → warehouse`. The normaliser maps, validates, filters and drops duplicates, and keeps the
//! books ([`books`]): its position, its counts and what it has seen are one transaction. The calls log is derived: what lies behind that
//! position is cut when the program starts, and made again.

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use headwater_core::{
    error::{Error, Result},
    record::{Fields, Raw, Record},
};

pub mod aside;
pub mod balance;
pub mod books;
pub mod enquirer;
mod filter;
pub(crate) mod frame;
pub mod loader;
mod normalise;
pub mod normaliser;
pub mod replay;
mod seen;
mod validate;

pub use filter::Filter;
pub use normalise::{Ask, Fate, Limits, Normalised, Source, Sources, normalise};

/// The call in a pixel's query: base64 JSON in `data` (either alphabet, padded or not), or flat fields, nested by dots.
pub fn pixel_record(query: &str) -> Result<Record> {
    let mut flat = Fields::default();
    for (name, value) in form_urlencoded::parse(query.as_bytes()).take(1_000) {
        if name == "data" {
            return decode(&value);
        }
        flat.set_at(&name, Raw::string(&value));
    }
    match flat.is_empty() {
        true => Err(Error::unexpected("the address carries no call: it has neither data= nor fields")),
        false => Ok(flat.record()),
    }
}

fn decode(data: &str) -> Result<Record> {
    // A plus in a query has become a space by now.
    let text: String = data.chars().map(|c| if c == ' ' { '+' } else { c }).collect();
    let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let alphabet = if text.contains(['-', '_']) { &alphabet::URL_SAFE } else { &alphabet::STANDARD };
    let json = GeneralPurpose::new(alphabet, config)
        .decode(text.trim())
        .map_err(|_| Error::unexpected("data is no base64"))?;
    Record::parse(&json.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pixel_says_it_either_way() {
        let json = br#"{"writeKey":"k","event":"Email Opened?>"}"#;
        for engine in
            [base64::engine::general_purpose::STANDARD, base64::engine::general_purpose::URL_SAFE_NO_PAD]
        {
            let record = pixel_record(&format!("data={}", engine.encode(json).replace('+', "%2B"))).unwrap();
            assert_eq!(record.bytes().as_ref(), json);
        }
        let flat =
            pixel_record("writeKey=k&event=Email+Opened&properties.subject=A%20b&properties.x.y=1").unwrap();
        let expected =
            br#"{"writeKey":"k","event":"Email Opened","properties":{"subject":"A b","x":{"y":"1"}}}"#;
        assert_eq!(flat.bytes().as_ref(), expected);
        for wrong in ["", "data=!!!", "data=bm8"] {
            assert!(pixel_record(wrong).is_err(), "{wrong}");
        }
    }
}
