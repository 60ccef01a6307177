//! What every warehouse makes of a load in the same way: what happens to a row that meets its older self, how that is
//! counted, and what is written down about it.

use headwater_core::{
    error::{Error, Result},
    object::Op,
};
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::{
    Committed, Load, Reject,
    table::{Batch, Cell, Column, Layout, Row},
};

/// What is there of a row already.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Old {
    pub version: Option<i64>,
    pub deleted: bool,
    pub delivery: Option<String>,
}

impl Old {
    /// Whether a change of this version, from this delivery, applies to it.
    pub fn gives_way(&self, layout: Layout, version: i64, delivery: Option<&str>) -> bool {
        match layout {
            Layout::Object | Layout::Entity => self.version.is_none_or(|known| version >= known),
            Layout::Call | Layout::Event => self.delivery.is_some() && self.delivery.as_deref() == delivery,
        }
    }
}

/// What happened to a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Inserted,
    Updated,
    Stale,
    Deleted,
}

impl Outcome {
    /// Of a row that was not there.
    pub fn new(row: &Row) -> Self {
        if row.op == Op::Delete { Outcome::Deleted } else { Outcome::Inserted }
    }

    /// Of a row that applies to what was there.
    pub fn changed(row: &Row, old: &Old) -> Self {
        let gone = row.op == Op::Delete || row.deleted;
        if gone && !old.deleted { Outcome::Deleted } else { Outcome::Updated }
    }

    pub fn count(self, row: &Row, done: &mut Committed) {
        match self {
            Outcome::Inserted => {
                done.inserted += 1;
                done.overlap_new += u64::from(row.meta.overlap);
            }
            Outcome::Updated => done.updated += 1,
            Outcome::Stale => done.stale += 1,
            Outcome::Deleted => done.deleted += 1,
        }
    }
}

/// What of a row has no column, as `_headwater_extra` keeps it: what the batch turned away, and the `homeless` values.
pub fn extra<'a>(
    columns: &[Column],
    row: &Row,
    homeless: impl Iterator<Item = &'a (u32, Cell)>,
) -> Option<String> {
    let mut text = String::new();
    let mut add = |path: &str, json: &str| {
        text.push(if text.is_empty() { '{' } else { ',' });
        text.push_str(&serde_json::Value::from(path).to_string());
        text.push(':');
        text.push_str(json);
    };
    for (path, json) in &row.extra {
        add(path, json);
    }
    for (column, cell) in homeless.filter(|(_, cell)| *cell != Cell::Null) {
        if let Some(column) = columns.get(*column as usize) {
            let path = column.path.strip_prefix('=').unwrap_or(&column.path);
            add(path, &cell.json().to_string());
        }
    }
    if text.is_empty() {
        return None;
    }
    text.push('}');
    Some(text)
}

/// What a user should know of a batch's characters.
pub fn replaced_notice(batch: &Batch) -> Option<String> {
    (batch.replaced() > 0).then(|| {
        format!(
            "table {}: {} characters that no database takes (NUL, halves of surrogate pairs) became U+FFFD",
            batch.spec().name,
            batch.replaced()
        )
    })
}

/// The clock, to the microsecond: as it is stored.
pub fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
}

/// The id of a reject: the same thing, refused again, is one line.
pub fn reject_id(reject: &Reject) -> String {
    let mut hash = Sha256::new();
    for part in [&reject.table, &reject.reason, &reject.payload] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    }
    hex::encode(&hash.finalize()[..16])
}

/// A checksum over the records of a load, and how many rows it has.
pub fn measure(load: &Load) -> Result<(String, i64)> {
    if load.id.is_empty() {
        return Err(Error::unexpected("a load needs an id"));
    }
    let digest =
        load.batches.iter().fold(0, |all, batch| crc32c::crc32c_append(all, &batch.digest().to_le_bytes()));
    let rows: usize = load.batches.iter().map(Batch::len).sum();
    Ok((format!("{digest:08x}"), rows as i64))
}

/// What `_headwater_progress` says under `key`.
pub fn progress(key: &str, value: &str) -> Result<serde_json::Value> {
    serde_json::from_str(value).map_err(|error| {
        Error::config(format!(
            "_headwater_progress: the value of {key} is not JSON ({error}): delete that row, and it is read anew"
        ))
    })
}
