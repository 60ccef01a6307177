//! Formats: how the records of an answer are found in its bytes. JSON is sliced; rows of CSV and XML become JSON.

use std::io::Read;

use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use quick_xml::{
    Reader,
    events::{BytesStart, Event},
};
use serde_json::{Map, Value};

use crate::{
    error::{Error, Result},
    object::Format,
    record::Record,
};

/// How large an answer may become when it is unpacked, in bytes.
const UNPACKED: u64 = 256 << 20;

/// How deep XML may be nested.
const DEPTH: usize = 64;

/// The records at `path` of an answer.
pub fn records(format: &Format, body: &Bytes, path: &str) -> Result<Vec<Record>> {
    match format {
        Format::Json => Record::split(body, path),
        Format::Ndjson => lines(body),
        Format::Csv => rows(body),
        Format::Xml => Record::split(&document(format, body)?, path),
        Format::Gzip(inner) => records(inner, &gunzip(body)?, path),
        Format::Tar(inner) => {
            let mut all = Vec::new();
            for file in files(body)? {
                all.extend(records(inner, &file, path)?);
            }
            Ok(all)
        }
    }
}

/// The answer as one JSON document: where the next page's token stands.
pub fn document(format: &Format, body: &Bytes) -> Result<Bytes> {
    match format {
        Format::Json => Ok(body.clone()),
        Format::Xml => Ok(serde_json::to_vec(&xml(body)?)?.into()),
        Format::Gzip(inner) => document(inner, &gunzip(body)?),
        Format::Ndjson | Format::Csv | Format::Tar(_) => Ok(Bytes::from_static(b"{}")),
    }
}

fn lines(body: &Bytes) -> Result<Vec<Record>> {
    body.split(|byte| *byte == b'\n')
        .map(|line| line.trim_ascii())
        .filter(|line| !line.is_empty())
        .enumerate()
        .map(|(place, line)| {
            Record::parse(&body.slice_ref(line))
                .map_err(|error| Error::unexpected(format!("line {}: {}", place + 1, error.message())))
        })
        .collect()
}

fn rows(body: &Bytes) -> Result<Vec<Record>> {
    let broken = |error: csv::Error| Error::unexpected(format!("not the CSV expected: {error}"));
    let mut reader = csv::Reader::from_reader(body.as_ref());
    let names = reader.headers().map_err(broken)?.clone();
    reader
        .records()
        .map(|row| {
            let row = row.map_err(broken)?;
            let object: Map<String, Value> = names
                .iter()
                .zip(row.iter())
                .map(|(name, value)| (name.to_owned(), Value::from(value)))
                .collect();
            Record::new(&object)
        })
        .collect()
}

fn gunzip(body: &Bytes) -> Result<Bytes> {
    // Some stores undo the packing on the way (content-encoding), and the client has done so then.
    if !body.starts_with(&[0x1f, 0x8b]) {
        return Ok(body.clone());
    }
    let mut out = Vec::new();
    let read = MultiGzDecoder::new(body.as_ref())
        .take(UNPACKED + 1)
        .read_to_end(&mut out)
        .map_err(|error| Error::transient(format!("the gzip file is cut or damaged: {error}")))?;
    match read as u64 > UNPACKED {
        true => Err(Error::unexpected(format!("a gzip file unpacks to more than {} MiB", UNPACKED >> 20))),
        false => Ok(out.into()),
    }
}

fn files(body: &Bytes) -> Result<Vec<Bytes>> {
    let broken = |error: std::io::Error| Error::unexpected(format!("not the tar file expected: {error}"));
    let mut all = Vec::new();
    for entry in tar::Archive::new(body.as_ref()).entries().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        if entry.header().entry_type().is_file() {
            let mut file = Vec::new();
            entry.read_to_end(&mut file).map_err(broken)?;
            all.push(file.into());
        }
    }
    Ok(all)
}

/// An element becomes an object of its children and attributes (`@name`), repeated children an array, text a string;
/// namespace prefixes are left out.
fn xml(body: &Bytes) -> Result<Value> {
    let broken = |error: &dyn std::fmt::Display| Error::unexpected(format!("not the XML expected: {error}"));
    let mut reader = Reader::from_reader(body.as_ref());
    let mut open = vec![Element::default()];
    loop {
        match reader.read_event().map_err(|error| broken(&error))? {
            Event::Start(tag) => open.push(Element::of(&tag).map_err(|error| broken(&error))?),
            Event::Empty(tag) => {
                open.push(Element::of(&tag).map_err(|error| broken(&error))?);
                close(&mut open);
            }
            Event::End(_) => close(&mut open),
            Event::Text(text) => add(&mut open, &text.decode().map_err(|error| broken(&error))?),
            Event::CData(data) => add(&mut open, &data.decode().map_err(|error| broken(&error))?),
            Event::GeneralRef(reference) => match reference
                .resolve_char_ref()
                .map_err(|error| broken(&error))?
            {
                Some(character) => add(&mut open, character.encode_utf8(&mut [0; 4])),
                None => {
                    let name = reference.decode().map_err(|error| broken(&error))?;
                    add(&mut open, quick_xml::escape::resolve_predefined_entity(&name).unwrap_or_default());
                }
            },
            Event::Eof => break,
            _ => {}
        }
        if open.len() > DEPTH {
            return Err(Error::unexpected(format!("XML is nested more than {DEPTH} levels deep")));
        }
    }
    match (open.pop(), open.is_empty()) {
        (Some(root), true) if !root.members.is_empty() => Ok(Value::Object(root.members)),
        _ => Err(broken(&"an element is not closed, or there is none")),
    }
}

#[derive(Default)]
struct Element {
    name: String,
    members: Map<String, Value>,
    text: String,
}

impl Element {
    fn of(tag: &BytesStart<'_>) -> Result<Self, quick_xml::Error> {
        let local =
            |name: &[u8]| String::from_utf8_lossy(name).rsplit(':').next().unwrap_or_default().to_owned();
        let mut members = Map::new();
        for attribute in tag.attributes().flatten() {
            let value = attribute.unescape_value()?;
            members.insert(format!("@{}", local(attribute.key.as_ref())), Value::from(value.as_ref()));
        }
        Ok(Self { name: local(tag.name().as_ref()), members, text: String::new() })
    }
}

fn add(open: &mut [Element], text: &str) {
    if let Some(element) = open.last_mut() {
        element.text.push_str(text);
    }
}

/// Puts the innermost element into the one around it.
fn close(open: &mut Vec<Element>) {
    if open.len() < 2 {
        return;
    }
    let (Some(element), Some(around)) = (open.pop(), open.last_mut()) else { return };
    let value = match element.members.is_empty() {
        true => Value::from(element.text.trim()),
        false => Value::Object(element.members),
    };
    match around.members.get_mut(&element.name) {
        None => {
            around.members.insert(element.name, value);
        }
        Some(Value::Array(items)) => items.push(value),
        Some(first) => *first = Value::Array(vec![first.take(), value]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_every_format_become_records() {
        let gz = {
            use std::io::Write;
            let mut to = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            to.write_all(b"{\"id\":\"1\"}\n\n{\"id\":\"2\"}").unwrap();
            Bytes::from(to.finish().unwrap())
        };
        let xml = Bytes::from_static(
            b"<s:Env xmlns:s='x'><Results><id>1</id><n a='b'>&amp;&#65;</n></Results><Results><id>2</id></Results></s:Env>",
        );
        for (format, body, path) in [
            (Format::Csv, Bytes::from_static(b"id,name\n1,\"a \"\"b\"\"\"\n2,\n"), ""),
            (Format::Gzip(&Format::Ndjson), gz, ""),
            (Format::Xml, xml, "Env.Results"),
        ] {
            let records = records(&format, &body, path).unwrap();
            let ids: Vec<_> = records.iter().map(|record| record.text("id").unwrap().unwrap()).collect();
            assert_eq!(ids, ["1", "2"], "{format:?}");
        }
    }

    #[test]
    fn damage_is_an_error() {
        for (format, body) in [
            (Format::Gzip(&Format::Json), &b"\x1f\x8b\x08\x00"[..]),
            (Format::Xml, b"<a><b></a>"),
            (Format::Xml, b"no xml"),
            (Format::Csv, b"a,b\n1\n"),
            (Format::Ndjson, b"{\"a\":1}\n{\"a\":"),
        ] {
            assert!(records(&format, &Bytes::copy_from_slice(body), "").is_err(), "{format:?}");
        }
        let deep = Bytes::from("<a>".repeat(100_000));
        assert!(records(&Format::Xml, &deep, "").is_err());
    }
}
