//! How Zendesk gives rows out: exports by cursor, exports by time, and lists in pages.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Bound,
};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use http::StatusCode;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Refusal, SUBDOMAIN};

/// Rows in the order in which they changed last.
#[derive(Default)]
pub struct Export {
    pub rows: BTreeMap<(i64, u64), Value>,
    changed: HashMap<u64, i64>,
}

type Query = [(String, String)];

impl Export {
    /// Adds a row, or moves it to the time of its change.
    pub fn put(&mut self, at: Timestamp, id: u64, row: Value) {
        self.take(id);
        self.changed.insert(id, at.as_second());
        self.rows.insert((at.as_second(), id), row);
    }

    pub fn take(&mut self, id: u64) -> Option<Value> {
        let at = self.changed.remove(&id)?;
        self.rows.remove(&(at, id))
    }

    pub fn get(&self, id: &str) -> Option<&Value> {
        let id = id.parse().ok()?;
        self.rows.get(&(*self.changed.get(&id)?, id))
    }

    /// How many rows are living.
    pub fn count(&self, living: impl Fn(&Value) -> bool) -> usize {
        self.rows.values().filter(|row| living(row)).count()
    }

    /// As many rows as are asked for, and the place of the last one.
    fn page(&self, from: Bound<(i64, u64)>, query: &Query) -> (Vec<&Value>, Option<(i64, u64)>) {
        let most = number(query, "per_page").unwrap_or(1000).clamp(1, 1000) as usize;
        let page: Vec<_> = self.rows.range((from, Bound::Unbounded)).take(most).collect();
        let last = page.last().map(|(place, _)| **place);
        (page.into_iter().map(|(_, row)| row).collect(), last)
    }

    /// Each page begins behind the last row of the one before.
    pub fn by_cursor(&self, name: &str, query: &Query) -> Result<Value, Refusal> {
        let sent = value(query, "cursor");
        let from = match sent {
            Some(cursor) => {
                Bound::Excluded(place(cursor).ok_or_else(|| bad("InvalidCursor", "The cursor is invalid"))?)
            }
            None => Bound::Included((start_time(query)?, 0)),
        };
        let (rows, last) = self.page(from, query);
        let after = last.map(|(at, id)| BASE64.encode(format!("{at}.0||{id}|"))).or(sent.map(str::to_owned));
        let ended = last.is_none_or(|last| self.rows.last_key_value().is_none_or(|(end, _)| *end == last));
        let path = format!("/api/v2/incremental/{name}/cursor.json");
        let next =
            after.as_ref().map(|after| format!("https://{SUBDOMAIN}.zendesk.com{path}?cursor={after}"));
        Ok(json!({
            name: rows, "after_cursor": after, "after_url": next, "before_cursor": null, "before_url": null,
            "end_of_stream": ended,
        }))
    }

    /// Each page begins at the second of the last row of the one before, and holds its own last second whole.
    pub fn by_time(&self, name: &str, query: &Query) -> Result<Value, Refusal> {
        let (mut rows, last) = self.page(Bound::Included((start_time(query)?, 0)), query);
        let end = last.map(|(at, _)| at);
        if let Some((at, id)) = last {
            let same = (Bound::Excluded((at, id)), Bound::Included((at, u64::MAX)));
            rows.extend(self.rows.range(same).map(|(_, row)| row));
        }
        let ended = end.is_none_or(|end| self.rows.range((end + 1, 0)..).next().is_none());
        let path = format!("/api/v2/incremental/{name}.json");
        let next = end.map(|end| format!("https://{SUBDOMAIN}.zendesk.com{path}?start_time={end}"));
        let count = rows.len();
        Ok(json!({ name: rows, "count": count, "end_time": end, "next_page": next, "end_of_stream": ended }))
    }
}

/// A list, filtered by time where that is asked for, in pages where a size is.
pub fn list(name: &str, rows: &[Value], query: &Query) -> Result<Value, Refusal> {
    let bound = |name: &str, nth: usize| -> Option<Timestamp> {
        let (_, text) = query.iter().filter(|(known, _)| known == name).nth(nth)?;
        text.parse().ok().or_else(|| Timestamp::from_second(text.parse().ok()?).ok())
    };
    let created = "filter[created_at][]";
    let from = bound("start_time", 0).or_else(|| bound("since", 0)).or_else(|| bound(created, 0));
    let until = bound("end_time", 0).or_else(|| bound(created, 1));
    let within = |row: &&Value| {
        let time = row["updated_at"].as_str().or(row["created_at"].as_str());
        let time = time.and_then(|time| time.parse::<Timestamp>().ok());
        time.is_none_or(|at| from.is_none_or(|from| at >= from) && until.is_none_or(|until| at <= until))
    };
    let rows: Vec<&Value> = rows.iter().filter(within).collect();
    let Some(size) = number(query, "page[size]") else {
        return Ok(json!({ name: rows, "count": rows.len(), "next_page": null, "previous_page": null }));
    };
    let begin = match value(query, "page[after]") {
        None => 0,
        Some(after) => {
            let text = BASE64.decode(after).ok().and_then(|text| String::from_utf8(text).ok());
            let place = text.and_then(|text| text.parse::<usize>().ok());
            place.ok_or_else(|| bad("InvalidPaginationParameter", "page[after] is not valid"))?
        }
    };
    let end = rows.len().min(begin.saturating_add(size.clamp(1, 100) as usize));
    let page = rows.get(begin..end).unwrap_or_default();
    let more = end < rows.len();
    let after = BASE64.encode(end.to_string());
    let next =
        more.then(|| format!("https://{SUBDOMAIN}.zendesk.com/api/v2/{name}.json?page%5Bafter%5D={after}"));
    let meta = json!({ "has_more": more, "after_cursor": after, "before_cursor": null });
    Ok(json!({ name: page, "meta": meta, "links": { "prev": null, "next": next } }))
}

/// A refusal in Zendesk's words.
pub fn refusal(status: StatusCode, error: &str, description: &str) -> Refusal {
    (status, json!({ "error": error, "description": description }))
}

fn bad(error: &str, description: &str) -> Refusal {
    refusal(StatusCode::BAD_REQUEST, error, description)
}

fn start_time(query: &Query) -> Result<i64, Refusal> {
    let start = number(query, "start_time");
    let start = start.ok_or_else(|| bad("StartTimeMissing", "Missing parameter: start_time"))?;
    match start > Timestamp::now().as_second() {
        true => Err(bad("StartTimeTooRecent", "Too recent start_time. Use a start_time older than 1 minute")),
        false => Ok(start),
    }
}

/// The place in `1576613539.0||467|`.
fn place(cursor: &str) -> Option<(i64, u64)> {
    let text = String::from_utf8(BASE64.decode(cursor).ok()?).ok()?;
    let (time, id) = text.split_once("||")?;
    Some((time.split('.').next()?.parse().ok()?, id.trim_end_matches('|').parse().ok()?))
}

fn value<'q>(query: &'q Query, name: &str) -> Option<&'q str> {
    query.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

fn number(query: &Query, name: &str) -> Option<i64> {
    value(query, name)?.parse().ok()
}
