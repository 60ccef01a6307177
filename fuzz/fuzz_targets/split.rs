//! Taking a delivery apart. An input is a byte that chooses how, one that chooses the content type, and the body (the query,
//! where that is what is split).

#![no_main]

use std::sync::OnceLock;

use bytes::Bytes;
use headwater_core::{
    event::{Delivery, Items, MAX_ITEMS, Piece, Surface, split},
    signature::Signature,
};
use headwater_fuzz::{App, apps, assert_object, assert_one_line, is_json, seeds_folder, write_seed};
use headwater_tests::subject::now;
use http::HeaderValue;
use libfuzzer_sys::fuzz_target;
use serde_json::value::RawValue;

/// Every way to split, and paths that no connector has yet, but a source's settings may.
const WAYS: &[Items] = &[
    Items::Json(""),
    Items::Json("a"),
    Items::Json("a.b|a|"),
    Items::Json("a.*.b"),
    Items::Json("a.*.b.*.c|b"),
    Items::Json(".*."),
    Items::Json("*"),
    Items::Json("a..b"),
    Items::Ndjson,
    Items::Form,
    Items::FormJson("a", ""),
    Items::FormJson("a", "b|c.*.d|"),
    Items::Query,
    Items::Csv,
];

const CONTENT_TYPES: &[Option<&str>] = &[
    None,
    Some("application/json"),
    Some("application/x-www-form-urlencoded"),
    Some(" Multipart/form-data; boundary=a"),
];

static ALL_WAYS: OnceLock<Vec<Items>> = OnceLock::new();

fuzz_target!(
    init: {
        let apps = apps(|_| true);
        let mut ways = WAYS.to_vec();
        for items in apps.iter().flat_map(|app| app.webhook.surfaces).map(|surface| surface.items) {
            if !ways.contains(&items) {
                ways.push(items);
            }
        }
        seed(&apps, &ways);
        assert!(ALL_WAYS.set(ways).is_ok(), "begun twice");
    },
    |input: &[u8]| {
        let (Some(ways), [way, content_type, body @ ..]) = (ALL_WAYS.get(), input) else { return };
        let items = ways[usize::from(*way) % ways.len()];
        let body = Bytes::copy_from_slice(body);
        let mut delivery = Delivery::fetched(now(), body.clone());
        if items == Items::Query {
            delivery.query = String::from_utf8_lossy(&body).into_owned();
        }
        if let Some(kind) = CONTENT_TYPES[usize::from(*content_type) % CONTENT_TYPES.len()] {
            delivery.headers.insert("content-type", HeaderValue::from_static(kind));
        }
        let surface = Surface { path: "", signature: Signature::None { why: "nobody asks" }, items };
        let pieces = split(&surface, &delivery).inspect_err(|error| assert_one_line(&error.to_string()));
        match items {
            Items::Json("") => json_again(&body, pieces.as_deref().ok()),
            Items::Ndjson => lines_again(&body, pieces.as_deref().ok()),
            _ => {}
        }
        let Ok(pieces) = pieces else { return };
        assert!(pieces.len() <= MAX_ITEMS, "{} items", pieces.len());
        for piece in &pieces {
            match &piece.record {
                Ok(record) => assert_object(record),
                Err(error) => assert_one_line(&error.to_string()),
            }
            piece.envelope.iter().for_each(|envelope| assert_object(&envelope.record));
        }
        let again = split(&surface, &delivery).expect("what can be split can be split again");
        assert!(pieces.iter().map(shown).eq(again.iter().map(shown)), "it splits otherwise the second time");
    }
);

fn shown(piece: &Piece) -> (Result<Bytes, String>, Option<Bytes>) {
    let record = piece.record.as_ref().map(|record| record.bytes().clone());
    let envelope = piece.envelope.as_ref().map(|envelope| envelope.record.bytes().clone());
    (record.map_err(|error| error.to_string()), envelope)
}

/// The same by another parser: the body itself, or each item of it.
fn json_again(body: &[u8], pieces: Option<&[Piece]>) {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let whole = serde_json::from_slice::<&RawValue>(body).ok();
    let expected = whole.and_then(|whole| match whole.get().as_bytes()[0] {
        b'{' => Some(vec![whole]),
        b'[' => serde_json::from_str(whole.get()).ok(),
        _ => None,
    });
    let (Some(expected), Some(pieces)) = (&expected, pieces) else {
        assert_eq!(expected.is_some(), pieces.is_some(), "only one parser can split it");
        return;
    };
    assert_eq!(expected.len(), pieces.len(), "the number of items");
    for (expected, piece) in expected.iter().zip(pieces) {
        let expected = Some(expected.get()).filter(|json| json.starts_with('{'));
        let found = piece.record.as_ref().ok().map(|record| record.bytes().as_ref());
        assert_eq!(expected.map(str::as_bytes), found, "an item");
    }
}

/// The same by another parser: a piece for each line that holds anything.
fn lines_again(body: &[u8], pieces: Option<&[Piece]>) {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let lines = body.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty());
    let expected: Vec<bool> = lines.map(|line| line.starts_with(b"{") && is_json(line)).collect();
    let found = pieces.unwrap_or_default().iter().map(|piece| piece.record.is_ok());
    assert!(expected.into_iter().eq(found), "the lines that are objects");
}

/// Every recorded delivery, split as its surface says.
fn seed(apps: &[App], ways: &[Items]) {
    let Some(folder) = seeds_folder() else { return };
    for (name, _, (delivery, surface)) in apps.iter().flat_map(App::named_samples) {
        let way = ways.iter().position(|way| *way == surface.items).unwrap_or_default();
        let way = u8::try_from(way).expect("one byte chooses among all ways");
        let kind = delivery.header("content-type");
        let kind = CONTENT_TYPES.iter().position(|known| *known == kind).unwrap_or_default();
        let sent: &[u8] =
            if surface.items == Items::Query { delivery.query.as_bytes() } else { &delivery.body };
        write_seed(&folder, &name, &[&[way, kind as u8], sent]);
    }
}
