//! Locators: text that says where something stands. See [`mapping`](super::mapping).

use sha2::{Digest, Sha256};

use super::Item;
use crate::{
    error::{Error, Result},
    record::Record,
};

/// What stands at the first place of a locator that holds text.
pub(super) struct Found<'l> {
    pub text: String,
    /// The path into the item, if it stands there as it is.
    pub path: Option<&'l str>,
}

/// The text at the first place of a locator that holds any, and which place that is.
pub(super) fn find<'l>(item: &Item<'_>, locator: &'l str) -> Result<Option<Found<'l>>> {
    for place in places(locator) {
        let (text, path) = match place.split_once(':') {
            Some(("header", name)) => (item.header(name).map(str::to_owned), None),
            Some(("query", name)) => (item.delivery.query_value(name), None),
            Some(("envelope", path)) => (item.envelope.text(path)?, None),
            Some(("surface", _)) => (Some(item.surface.path.to_owned()), None),
            Some(("tail", _)) => (Some(item.delivery.path_tail.clone()), None),
            Some(("received", _)) => (Some(item.delivery.received_at.to_string()), None),
            Some(("sha256", path)) => {
                let text = item.record.text(path)?.filter(|text| says_something(text));
                (text.map(|text| hex::encode(Sha256::digest(text))), None)
            }
            _ => match place.strip_prefix('\'').and_then(|place| place.strip_suffix('\'')) {
                Some(text) => (Some(text.to_owned()), None),
                None => match place.strip_suffix(".*") {
                    Some(path) => (first_member(&item.record, path)?, None),
                    None => (item.record.text(place)?, Some(place)),
                },
            },
        };
        if let Some(text) = text.filter(|text| says_something(text)) {
            return Ok(Some(Found { text, path }));
        }
    }
    Ok(None)
}

/// The text at the first place of a locator that holds any.
pub(super) fn text(item: &Item<'_>, locator: &str) -> Result<Option<String>> {
    Ok(find(item, locator)?.map(|found| found.text))
}

/// That something is at none of a locator's places.
pub(super) fn nowhere(what: &str, locator: &str) -> Error {
    let places: Vec<&str> = places(locator).collect();
    Error::unexpected(format!("{what} is missing: nothing at {}", places.join(", ")))
}

fn places(locator: &str) -> impl Iterator<Item = &str> {
    locator.split('|').filter(|place| !place.is_empty())
}

fn says_something(text: &str) -> bool {
    !text.trim().is_empty()
}

/// The first member of the object at `path` that holds text.
fn first_member(record: &Record, path: &str) -> Result<Option<String>> {
    let Some(object) = record.part(path)? else { return Ok(None) };
    Ok(object.fields()?.iter().find_map(|(_, value)| value.text().filter(|text| says_something(text))))
}
