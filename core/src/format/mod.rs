//! Formats: how the records of an answer are found in its bytes. JSON is sliced; rows of CSV and XML become JSON.
//!
//! An answer that is there is read whole, here; one that still comes is cut into pieces at the ends of its records
//! (`cut`), each of which is read as if it were whole.

pub(crate) mod cut;
mod list;
mod rows;
pub(crate) mod unpack;
mod xml;

use std::io::Read;

use bytes::Bytes;
use flate2::read::MultiGzDecoder;

pub use self::rows::rows;
use crate::{
    error::{Error, Result},
    object::Format,
    record::Record,
};

/// How large an answer may become when it is unpacked whole, in bytes.
const UNPACKED: u64 = 256 << 20;

/// The records at `path` of an answer.
pub fn records(format: &Format, body: &Bytes, path: &str) -> Result<Vec<Record>> {
    match format {
        Format::Json => Record::split(body, path),
        Format::Ndjson => lines(body, 0),
        Format::Csv => rows(body, &mut Vec::new(), true).map(|(records, _)| records),
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
        Format::Xml => Ok(serde_json::to_vec(&xml::xml(body)?)?.into()),
        Format::Gzip(inner) => document(inner, &gunzip(body)?),
        Format::Ndjson | Format::Csv | Format::Tar(_) => Ok(Bytes::from_static(b"{}")),
    }
}

/// A record a line; `before` lines with one stand before these.
fn lines(body: &Bytes, before: u64) -> Result<Vec<Record>> {
    body.split(|byte| *byte == b'\n')
        .map(|line| line.trim_ascii())
        .filter(|line| !line.is_empty())
        .zip(before + 1..)
        .map(|(line, place)| {
            Record::parse(&body.slice_ref(line))
                .map_err(|error| Error::unexpected(format!("line {place}: {}", error.message())))
        })
        .collect()
}

fn gunzip(body: &Bytes) -> Result<Bytes> {
    // Some stores undo the packing on the way (content-encoding), and the client has done so then.
    if !body.starts_with(&unpack::MAGIC) {
        return Ok(body.clone());
    }
    let mut out = Vec::new();
    let read = MultiGzDecoder::new(body.as_ref())
        .take(UNPACKED + 1)
        .read_to_end(&mut out)
        .map_err(|error| unpack::damaged(&error))?;
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
