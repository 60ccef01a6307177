//! Streams of every format, cut at every size, however they come.

use super::*;
use crate::format;

const CSV: &str = "id,text\n1,\"a\nb\"\r\n\n2,\"x \"\"y\"\"\"\n3,\n4,plain\n5,\"last,\n\"";
const LINES: &str = "{\"id\":1}\n\n {\"id\":\"2\\n\"} \r\n{\"id\":3}\n  \n{\"id\":4}";
const LIST: &str = r#" {"a":[{"id":0}], "x":{"data":[{"id":9}],"s":"\"data\":["},
    "page":{"da\u0074a" : [ {"id":1,"t":"}]\\"} ,{"id":{"b":[1,{"c":"\""}]}},
    {"id":3}],"after":"c3"},"data":[7], "more":true } "#;

fn pieces(
    format: &Format,
    path: &str,
    text: &str,
    chunk: usize,
    size: usize,
) -> Result<Vec<(Vec<Record>, u64)>> {
    let mut cutter = Cutter::new(format, path, 10_000).expect("a format that can be cut");
    let (mut chunks, mut all) = (text.as_bytes().chunks(chunk), Vec::new());
    loop {
        match cutter.cut(size, |bytes| bytes)? {
            Some(cut) => {
                all.push((cut.records, cutter.offset()));
                if cut.is_last {
                    return Ok(all);
                }
            }
            None => match chunks.next() {
                Some(chunk) => cutter.push(chunk)?,
                None => cutter.finish()?,
            },
        }
    }
}

#[test]
fn where_it_is_cut_depends_on_the_bytes_alone() {
    for (format, path, text) in [
        (Format::Csv, "", CSV),
        (Format::Ndjson, "", LINES),
        (Format::Json, "page.data", LIST),
        (Format::Json, "", r#"[{"a":1},{"a":2},{"a":[{}]}]"#),
    ] {
        let whole: Vec<Record> = match format {
            Format::Json => Record::split(&Bytes::from(text), path).unwrap(),
            _ => format::records(&format, &Bytes::from(text), "").unwrap(),
        };
        assert!(whole.len() >= 3);
        for size in [0, 1, 5, 12, 20, 33, 1000] {
            let cut = pieces(&format, path, text, usize::MAX >> 1, size).unwrap();
            for chunk in 1..40 {
                assert_eq!(
                    pieces(&format, path, text, chunk, size).unwrap(),
                    cut,
                    "{format:?} {chunk} {size}"
                );
            }
            assert!(cut.iter().all(|(records, _)| !records.is_empty()));
            assert!(
                if size == 1000 { cut.len() == 1 } else { size > 20 || cut.len() > 1 },
                "{format:?} {size}"
            );
            let joined: Vec<Record> = cut.into_iter().flat_map(|(records, _)| records).collect();
            assert_eq!(joined, whole, "{format:?} {size}");
        }
    }
}

#[test]
fn every_place_can_be_come_to_again() {
    for (format, path, text) in
        [(Format::Csv, "", CSV), (Format::Ndjson, "", LINES), (Format::Json, "page.data", LIST)]
    {
        let all = pieces(&format, path, text, 3, 0).unwrap();
        let mut first = Cutter::new(&format, path, 1000).unwrap();
        first.push(text.as_bytes()).unwrap();
        for (place, (_, offset)) in all.iter().enumerate().take(all.len() - 1) {
            let last = first.cut(0, |bytes| bytes).unwrap().unwrap().last;
            for size in [1, 4, 1000] {
                let mut again = Cutter::new(&format, path, 1000).unwrap();
                let mut chunks = text.as_bytes().chunks(size);
                let mut rest = Bytes::new();
                while !again.arrive(*offset, last).unwrap() {
                    rest = again.skip(Bytes::copy_from_slice(chunks.next().unwrap()), *offset).unwrap();
                }
                assert_eq!((again.offset(), again.taken), (*offset, place as u64 + 1));
                again.push(&rest).unwrap();
                chunks.try_for_each(|chunk| again.push(chunk)).unwrap();
                again.finish().unwrap();
                let rest = again.cut(usize::MAX, |bytes| bytes).unwrap().unwrap();
                let wanted: Vec<Record> =
                    all[place + 1..].iter().flat_map(|(records, _)| records.clone()).collect();
                assert!(rest.is_last);
                assert_eq!(rest.records, wanted, "{format:?} {place} {size}");
            }
            // Not the same answer: another record before the place, or the place is in the middle of one.
            for (offset, last) in [(*offset, last ^ 1), (*offset - 1, last), (10_000, last)] {
                let mut other = Cutter::new(&format, path, 1000).unwrap();
                other.skip(Bytes::from(text), offset).unwrap();
                if offset == 10_000 {
                    other.finish().unwrap();
                }
                assert_eq!(other.arrive(offset, last).unwrap_err().kind(), Kind::Expired);
            }
        }
    }
}

#[test]
fn the_document_is_left_without_its_records() {
    let mut cutter = Cutter::new(&Format::Json, "page.data", 1000).unwrap();
    for byte in LIST.as_bytes() {
        cutter.push(&[*byte]).unwrap();
    }
    cutter.finish().unwrap();
    let document: serde_json::Value = serde_json::from_slice(&cutter.document()).unwrap();
    assert_eq!(document["page"], serde_json::json!({"data": [], "after": "c3"}));
    assert_eq!((&document["data"][0], &document["more"]), (&7.into(), &true.into()));
    assert_eq!(document["x"]["data"][0]["id"], 9);
}

#[test]
fn what_is_no_list_is_what_the_whole_document_says() {
    for (path, text) in [
        ("data", r#"{"data":{"id":1}}"#),
        ("data", r#"{"data":null}"#),
        ("data", r#"{"other":[{"id":1}]}"#),
        ("a.b", r#"{"a":[{"b":[{"id":1}]}]}"#),
        ("", r#"{"data":[{"id":1}]}"#),
        ("data", r#"{"data":[]}"#),
        ("data", "[]"),
    ] {
        let cut = pieces(&Format::Json, path, text, 2, 100).unwrap();
        assert_eq!(cut[0].0, Record::split(&Bytes::from(text), path).unwrap(), "{path} {text}");
    }
}

#[test]
fn damage_is_an_error() {
    for text in [
        r#"{"data":[{"id":1}{"id":2}]}"#,
        r#"{"data":[{"id":1},]}"#,
        r#"{"data":[,{"id":1}]}"#,
        r#"{"data":[1]}"#,
        r#"{"data":[{"id":1},[]]}"#,
        r#"{"data":[{"id":}]}"#,
        r#"{"data":[{"id":1]}]}"#,
        r#"{"data":[{"id":1}"#,
        r#"{"data":[{"id":1}]"#,
        r#"{"data":[{"id":1}],}"#,
        r#"{"data":[{"id":1}]}}"#,
        r#"{"data":[],"data":[{"id":1},{"id":2}]}"#,
        "<html>",
        "",
    ] {
        assert!(pieces(&Format::Json, "data", text, 3, 100).is_err(), "{text}");
    }
    assert!(
        pieces(&Format::Ndjson, "", "{\"a\":1}\n{\"a\":", 3, 100)
            .unwrap_err()
            .message()
            .starts_with("line 2")
    );
    assert!(pieces(&Format::Csv, "", "a,b\n1\n", 3, 100).is_err());
    for format in [Format::Ndjson, Format::Json] {
        let long = format!("[{{\"a\":\"{}\"}}]", "x".repeat(20_000));
        let text = if format == Format::Ndjson { &long[1..long.len() - 1] } else { &long };
        assert!(pieces(&format, "", text, 100, 5).unwrap_err().message().contains("larger than"));
    }
}

#[test]
fn some_formats_and_paths_are_read_whole() {
    for (format, path) in [
        (Format::Xml, ""),
        (Format::Tar(&Format::Csv), ""),
        (Format::Gzip(&Format::Xml), ""),
        (Format::Json, "*.results"),
        (Format::Json, "a[b=c].d"),
        (Format::Json, "0.data"),
    ] {
        assert!(Cutter::new(&format, path, 1).is_none(), "{format:?} {path}");
    }
}
