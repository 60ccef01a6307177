//! What a frame of the calls log holds: a line that says where it goes, then the JSON that goes there.

use bytes::Bytes;
use headwater_core::{
    error::{Error, Result},
    object::Op,
    record::Record,
};
use serde::{Deserialize, Serialize};

/// Where a call or change goes, and where it came from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Address {
    /// The source.
    #[serde(rename = "s")]
    pub source: String,
    /// The schema.
    #[serde(rename = "x")]
    pub schema: String,
    /// The delivery's sequence number in the inbox, and the item's place.
    #[serde(rename = "d")]
    pub delivery: String,
    /// Of a change: the collection.
    #[serde(rename = "c", default, skip_serializing_if = "Option::is_none")]
    pub collection: Option<String>,
    /// Of a change: what happened.
    #[serde(rename = "o", default, skip_serializing_if = "Option::is_none")]
    pub op: Option<Op>,
    /// Of a change: how new it is.
    #[serde(rename = "v", default, skip_serializing_if = "Option::is_none")]
    pub version: Option<i64>,
    /// That it comes of a replay.
    #[serde(rename = "r", default, skip_serializing_if = "Option::is_none")]
    pub replay: Option<Replayed>,
}

/// The mark of what a replay makes again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replayed {
    /// How many frames of the same delivery follow this one: all of them are loaded at once.
    #[serde(rename = "n")]
    pub rest: u32,
    /// Whether destinations get it too; they pass over it otherwise.
    #[serde(rename = "d", default, skip_serializing_if = "is_false")]
    pub destinations: bool,
    /// Nothing to load: the record is a [`Gone`], a call that the delivery does not make any more. Never for destinations.
    #[serde(rename = "g", default, skip_serializing_if = "is_false")]
    pub gone: bool,
}

/// A call's rows that are to be removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gone {
    /// Its message id.
    pub id: String,
    /// The tables that have it: its event's first, the one of its kind last.
    pub tables: Vec<String>,
}

fn is_false(value: &bool) -> bool {
    !value
}

/// Writes one frame's body: the address, and whatever JSON `write` adds.
pub fn write(address: &Address, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) -> Result<()> {
    serde_json::to_writer(&mut *out, address)?;
    out.push(b'\n');
    write(out);
    Ok(())
}

/// The address and the record of a frame's body. The log has proven that it is as it was written.
pub fn decode(body: &Bytes) -> Result<(Address, Record)> {
    let end = end(body)?;
    Ok((serde_json::from_slice(&body[..end])?, Record::known(body.slice(end + 1..))))
}

/// The address of a frame's body, where the record does not matter.
pub fn address(body: &Bytes) -> Result<Address> {
    Ok(serde_json::from_slice(&body[..end(body)?])?)
}

fn end(body: &Bytes) -> Result<usize> {
    body.iter().position(|byte| *byte == b'\n').ok_or_else(|| Error::unexpected("a frame without address"))
}
