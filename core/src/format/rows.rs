//! CSV: rows become JSON objects of strings, and row ends are found as the text comes.

use bytes::Bytes;
use csv::{ByteRecord, ReaderBuilder};

use super::cut::Span;
use crate::{
    error::{Error, Result},
    record::{Record, write_string},
};

const BOM: &[u8] = b"\xef\xbb\xbf";

/// The rows of a piece of CSV, and how many bytes of it they take: a row that has not ended is left for the next
/// piece, unless this is the `last`. `columns` are the names from the header row, which is the first row of the first
/// piece: begin with none, and hand them on.
pub fn rows(piece: &Bytes, columns: &mut Vec<String>, last: bool) -> Result<(Vec<Record>, usize)> {
    let mut ends = RowEnds::default();
    let mut found = Vec::new();
    ends.scan(piece, 0, &mut found);
    if last {
        found.extend(ends.finish(piece.len() as u64)?);
    }
    let mut end = 0;
    let mut from = 0;
    if let Some(row) = found.first().filter(|_| columns.is_empty()) {
        *columns = header(&piece[..row.end as usize])?;
        from = row.end as usize;
        end = from;
    }
    end = found.last().map_or(end, |row| row.end as usize);
    Ok((convert(&piece[from..end], columns, |json| json)?, end))
}

/// The names in a header row.
pub(super) fn header(row: &[u8]) -> Result<Vec<String>> {
    let row = row.strip_prefix(BOM).unwrap_or(row);
    let mut reader = ReaderBuilder::new().has_headers(false).from_reader(row);
    let mut names = csv::StringRecord::new();
    reader.read_record(&mut names).map_err(|error| broken(&error))?;
    Ok(names.iter().map(str::to_owned).collect())
}

/// Whole rows as objects, all in one buffer, which `hold` takes into account.
pub(super) fn convert(
    rows: &[u8],
    columns: &[String],
    hold: impl FnOnce(Bytes) -> Bytes,
) -> Result<Vec<Record>> {
    let mut json = Vec::with_capacity(2 * rows.len());
    let mut ends = Vec::new();
    let mut names: Vec<Option<Vec<u8>>> = Vec::with_capacity(columns.len());
    for (place, name) in columns.iter().enumerate() {
        // Of two columns of one name, the last one counts.
        let mut quoted = Vec::with_capacity(name.len() + 3);
        write_string(name, &mut quoted);
        quoted.push(b':');
        names.push((!columns[place + 1..].contains(name)).then_some(quoted));
    }
    let mut reader = ReaderBuilder::new().has_headers(false).flexible(true).from_reader(rows);
    let mut row = ByteRecord::new();
    while reader.read_byte_record(&mut row).map_err(|error| broken(&error))? {
        if row.len() != columns.len() {
            let (found, wanted) = (row.len(), columns.len());
            return Err(broken(&format!("a row has {found} fields, the header names {wanted}")));
        }
        json.push(b'{');
        let mut is_first = true;
        for (name, value) in names.iter().zip(&row) {
            let Some(name) = name else { continue };
            let value = std::str::from_utf8(value).map_err(|error| broken(&error))?;
            if !is_first {
                json.push(b',');
            }
            is_first = false;
            json.extend_from_slice(name);
            write_string(value, &mut json);
        }
        json.push(b'}');
        ends.push(json.len());
    }
    let json = hold(json.into());
    let mut from = 0;
    let record = |end| Record::parse(&json.slice(std::mem::replace(&mut from, end)..end));
    ends.into_iter().map(record).collect()
}

/// Finds where rows end, as the `csv` crate reads them: a quote opens a field only at its beginning, a doubled one
/// inside is a quote, and line ends inside quotes are text. (That crate cannot tell a row that was cut from a whole one.)
#[derive(Default)]
pub(super) struct RowEnds {
    state: State,
    from: Option<u64>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum State {
    /// At the beginning of a field.
    #[default]
    Field,
    Plain,
    Quoted,
    /// Behind a quote in a quoted field: its end, or the first half of a quote.
    Quote,
}

impl RowEnds {
    /// Goes through what comes next, which begins at `at`. Empty lines are no rows.
    pub fn scan(&mut self, bytes: &[u8], at: u64, found: &mut impl Extend<Span>) {
        for (place, byte) in bytes.iter().enumerate() {
            let here = at + place as u64;
            if self.state != State::Quoted && matches!(byte, b'\n' | b'\r') {
                if let Some(from) = self.from.take() {
                    found.extend([Span { from, to: here, end: here + 1 }]);
                }
                self.state = State::Field;
                continue;
            }
            if self.from.is_none() {
                self.from = Some(here);
            }
            self.state = match (self.state, byte) {
                (State::Field, b'"') | (State::Quote, b'"') => State::Quoted,
                (State::Quoted, b'"') => State::Quote,
                (State::Quoted, _) => State::Quoted,
                (_, b',') => State::Field,
                // A quote behind a byte order mark opens a field too.
                (State::Field, _) if here < 3 && BOM.get(here as usize) == Some(byte) => State::Field,
                _ => State::Plain,
            };
        }
    }

    /// The last row, if no line end stands behind it.
    pub fn finish(&mut self, at: u64) -> Result<Option<Span>> {
        if self.state == State::Quoted {
            return Err(Error::transient("the CSV ends inside a quoted value: it was cut"));
        }
        Ok(self.from.take().map(|from| Span { from, to: at, end: at }))
    }

    /// Where the row that has not ended begins.
    pub fn pending(&self) -> Option<u64> {
        self.from
    }
}

fn broken(error: &dyn std::fmt::Display) -> Error {
    Error::unexpected(format!("not the CSV expected: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_those_that_the_csv_crate_reads() {
        // Every text of these that is short enough to try them all.
        let letters: [&[u8]; 6] = [b"a", b",", b"\"", b"\n", b"\r\n", b"\"\""];
        let mut tried = 0;
        for number in 0..letters.len().pow(6) {
            let mut text = Vec::new();
            let mut rest = number;
            for _ in 0..6 {
                text.extend_from_slice(letters[rest % letters.len()]);
                rest /= letters.len();
            }
            let mut ends = RowEnds::default();
            let mut found: Vec<Span> = Vec::new();
            ends.scan(&text, 0, &mut found);
            let Ok(last) = ends.finish(text.len() as u64) else { continue };
            found.extend(last);
            let read = |text: &[u8]| -> Vec<ByteRecord> {
                let mut reader = ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text);
                reader.byte_records().map(Result::unwrap).collect()
            };
            let cut: Vec<_> =
                found.iter().flat_map(|row| read(&text[row.from as usize..row.to as usize])).collect();
            assert_eq!(cut, read(&text), "{:?}", String::from_utf8_lossy(&text));
            tried += 1;
        }
        assert!(tried > 20_000, "{tried}");
    }

    #[test]
    fn a_piece_leaves_what_has_not_ended() {
        let text = Bytes::from_static(b"\xef\xbb\xbfid,\"na\"\"me\",id\r\n1,\"a\r\nb\",x\r\n2,c");
        let mut columns = Vec::new();
        let (first, used) = rows(&text.slice(..20), &mut columns, false).unwrap();
        assert_eq!((first.len(), used), (0, 18));
        assert_eq!(columns, ["id", "na\"me", "id"]);
        let (second, more) = rows(&text.slice(used..), &mut columns, false).unwrap();
        assert_eq!(format!("{second:?}"), r#"[{"na\"me":"a\r\nb","id":"x"}]"#);
        let error = rows(&text.slice(used + more..), &mut columns, true).unwrap_err();
        assert!(error.message().contains("a row has 2 fields, the header names 3"), "{error}");
        assert!(
            rows(&Bytes::from_static(b"id\n\"a"), &mut Vec::new(), true).unwrap_err().kind().is_temporary()
        );
        assert!(rows(&Bytes::from_static(b"id\n\xff"), &mut Vec::new(), true).is_err());
        assert!(rows(&Bytes::new(), &mut Vec::new(), true).unwrap().0.is_empty());
    }
}
