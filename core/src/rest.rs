//! What most collections do: ask as the collection says, split the answer, follow it to the next page.

use bytes::Bytes;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    cursor::{At, More, Pages, Put, Since},
    error::{Error, Kind, Result},
    format,
    http::Answer,
    object::{Change, Collection, Deletes, Endpoint, Op, Page, Pull, Request, Verb, Version},
    record::{Raw, Record},
};

/// Reads one page as the collection says.
pub async fn page(pull: Pull<'_>) -> Result<Page> {
    let mark = Mark::of(&pull.read.page)?;
    let answer = pull.client.send(request(&pull, mark.as_ref())?).await?;
    let (records, mut next) = read(&pull, mark.as_ref(), &answer)?;
    if let (Some(Since::Newest { field, .. }), Some(from), Some(last)) =
        (pull.collection.since, pull.read.from, records.last())
        && last.time(field)?.is_some_and(|time| time < from)
    {
        next.more = false;
    }
    let mut page = Page { more: next.more, cursor: next.cursor, ..Page::default() };
    page.changes.reserve(records.len());
    for record in records {
        changes(pull.collection, record, &mut page.changes)?;
    }
    Ok(page)
}

/// Where the next page starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mark {
    /// At this address.
    Url(String),
    /// At this token.
    Token(String),
    /// It is the page of this number.
    Number(u64),
    /// After so many records.
    Offset(u64),
    /// After the record with this value.
    After(String),
}

/// What an answer says of the page behind it.
#[derive(Clone, Debug)]
pub struct Next {
    /// The cursor; null if the answer leads nowhere.
    pub cursor: Value,
    /// Whether to go on now. A cursor without it is where the next pass goes on ([`Since::Cursor`]).
    pub more: bool,
}

impl Mark {
    /// The mark in a cursor; none at the start of a read.
    pub fn of(cursor: &Value) -> Result<Option<Self>> {
        match cursor {
            Value::Null => Ok(None),
            cursor => Self::deserialize(cursor).map(Some).map_err(|_| {
                Error::new(Kind::Expired, "the stored cursor is of another version of this connector")
            }),
        }
    }
}

/// The request for the page at `mark`.
pub fn request(pull: &Pull<'_>, mark: Option<&Mark>) -> Result<Request> {
    let collection = pull.collection;
    if let (Some(Mark::Url(url)), Pages::Url { .. }) = (mark, collection.pages) {
        let mut request = Request::get(url.clone()).at(collection.endpoint.host);
        request.limit = collection.limit;
        return Ok(request);
    }
    let mut request = fill(&collection.endpoint, pull)?;
    request.limit = collection.limit;
    let mut place = |at: Put, value: &str| put(&mut request, at, value);
    match (collection.since, mark) {
        // A durable cursor carries its own start.
        (Some(Since::Cursor { .. }), Some(_)) => {}
        (Some(Since::Cursor { from, format, first, .. }), None) => {
            place(from, &pull.read.from.map_or_else(|| first.to_owned(), |time| format.write(time)))?;
        }
        (Some(Since::Time { from, until, format, first, .. }), _) => {
            match (pull.read.from, first) {
                (Some(time), _) => place(from, &format.write(time))?,
                (None, Some(first)) => place(from, first)?,
                (None, None) => {}
            }
            if let (Some(until), Some(to)) = (until, pull.read.to) {
                place(until, &format.write(to))?;
            }
        }
        (Some(Since::Span { from, until, format }), _) => {
            for (at, time) in [(from, pull.read.from), (until, pull.read.to)] {
                if let Some(time) = time {
                    place(at, &format.write(time))?;
                }
            }
        }
        (Some(Since::Newest { .. }) | None, _) => {}
    }
    match (collection.pages, mark) {
        (Pages::Token { into, .. }, Some(Mark::Token(token))) => place(into, token)?,
        (Pages::After { into, .. }, Some(Mark::After(value))) => place(into, value)?,
        (Pages::Number { into, first, .. }, mark) => {
            let number = if let Some(Mark::Number(number)) = mark { *number } else { first };
            place(into, &number.to_string())?;
        }
        (Pages::Offset { into, .. }, mark) => {
            let offset = if let Some(Mark::Offset(offset)) = mark { *offset } else { 0 };
            place(into, &offset.to_string())?;
        }
        _ => {}
    }
    if request.path.contains('{') {
        return Err(Error::unexpected(format!("{}: nothing fills {}", collection.name, request.path)));
    }
    Ok(request)
}

/// The records of an answer, and where it leads.
pub fn read(pull: &Pull<'_>, mark: Option<&Mark>, answer: &Answer) -> Result<(Vec<Record>, Next)> {
    let collection = pull.collection;
    let path = collection.records.replace("{name}", collection.name);
    let records = format::records(&collection.format, &answer.body, &path)
        .map_err(|error| Error::unexpected(format!("the answer cannot be read: {}", error.message())))?;
    let document = format::document(&collection.format, &answer.body)?;
    let next = next(&collection.pages, mark, answer, &document, &records)?;
    Ok((records, next))
}

/// What one record means: an upsert, and a deletion where the record says so.
pub fn changes(collection: &Collection, record: Record, out: &mut Vec<Change>) -> Result<()> {
    let version = match collection.version {
        Some(path) => version(&record, path)?,
        None => None,
    };
    let gone = match collection.deletes {
        Deletes::Flag(path, value) => match record.at(path)? {
            Some(found) => value == "*" || found.text().as_deref() == Some(value),
            None => false,
        },
        _ => false,
    };
    let upsert = Change::upsert(collection.name, record).version(version);
    // The row keeps what the vendor still tells of it, and is marked.
    let delete = gone.then(|| upsert.clone().op(Op::Delete));
    out.push(upsert);
    out.extend(delete);
    Ok(())
}

/// The version at `path`: a time, or a number that is none.
pub fn version(record: &Record, path: &str) -> Result<Option<Version>> {
    let Some(text) = record.text(path)? else { return Ok(None) };
    Ok(crate::time::parse_time(&text).map(Version::at).or_else(|| text.parse().ok().map(Version)))
}

/// An endpoint as a request, its placeholders filled.
pub fn fill(endpoint: &Endpoint, pull: &Pull<'_>) -> Result<Request> {
    let path = expand(endpoint.path, pull, &|value| utf8_percent_encode(value, SEGMENT).to_string())?;
    let mut request = match endpoint.method {
        Verb::Get => Request::get(path),
        Verb::Post => Request::post(path, expand(endpoint.body, pull, &|value| escaped(value))?),
    }
    .at(endpoint.host);
    for (name, value) in endpoint.query {
        request = request.query(*name, expand(value, pull, &str::to_owned)?);
    }
    for (name, value) in endpoint.headers {
        request = request.header(*name, expand(value, pull, &str::to_owned)?);
    }
    Ok(request)
}

/// What a path segment may not hold as it is.
const SEGMENT: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'/')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'{')
    .add(b'}');

fn expand(template: &str, pull: &Pull<'_>, write: &dyn Fn(&str) -> String) -> Result<String> {
    let mut out = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        let value = match after.split_once('}') {
            Some(("name", behind)) => Some((pull.collection.name.to_owned(), behind)),
            Some(("partition", behind)) => {
                let partition = pull.read.partition.as_ref().ok_or_else(|| {
                    Error::unexpected(format!("{} is read without a partition", pull.collection.name))
                })?;
                Some((partition.id.clone(), behind))
            }
            Some((path, behind)) if path.starts_with("partition.") => {
                let extra = pull.read.partition.as_ref().map(|partition| &partition.extra);
                let value = extra.and_then(|extra| extra.get(&path["partition.".len()..])).and_then(Value::as_str);
                Some((value.unwrap_or_default().to_owned(), behind))
            }
            Some((path, behind)) if path.starts_with('^') => {
                let parent = pull.parent.ok_or_else(|| {
                    Error::unexpected(format!("{} is read without a parent", pull.collection.name))
                })?;
                let value = parent.text(&path[1..])?;
                Some((
                    value.ok_or_else(|| Error::unexpected(format!("the parent has no {}", &path[1..])))?,
                    behind,
                ))
            }
            _ => None,
        };
        match value {
            Some((value, behind)) => {
                out.push_str(&write(&value));
                rest = behind;
            }
            // A brace of JSON, or a place that a mark fills.
            None => {
                out.push('{');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    Ok(out)
}

fn put(request: &mut Request, at: Put, value: &str) -> Result<()> {
    match at {
        Put::Query(name) => request.query.push((name.to_owned(), value.to_owned())),
        Put::Header(name) => request.headers.push((name.to_owned(), value.to_owned())),
        Put::Path(name) => {
            let hole = format!("{{{name}}}");
            request.path = request.path.replace(&hole, &utf8_percent_encode(value, SEGMENT).to_string());
            if let Ok(body) = std::str::from_utf8(&request.body) {
                request.body = Bytes::from(body.replace(&hole, &escaped(value)));
            }
        }
        Put::Body(path) => {
            let mut body = match request.body.is_empty() {
                true => Value::Object(Default::default()),
                false => serde_json::from_slice(&request.body)?,
            };
            let mut here = &mut body;
            for step in path.split('.') {
                here = match (here, step.parse::<usize>()) {
                    (Value::Array(items), Ok(place)) if place < items.len() => &mut items[place],
                    (Value::Object(members), _) => members.entry(step).or_insert(Value::Object(Default::default())),
                    _ => return Err(Error::unexpected(format!("the request's body has no {path}"))),
                };
            }
            // A string in the template stays one: some vendors take their numbers quoted.
            *here = match value.parse::<u64>() {
                Ok(number) if !here.is_string() => number.into(),
                _ => value.into(),
            };
            request.body = serde_json::to_vec(&body)?.into();
        }
    }
    Ok(())
}

/// Text as it stands inside a JSON string (or XML text, whose letters it keeps).
fn escaped(value: &str) -> String {
    let quoted = Value::from(value).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

fn next(
    pages: &Pages,
    mark: Option<&Mark>,
    answer: &Answer,
    document: &Bytes,
    records: &[Record],
) -> Result<Next> {
    let count = records.len() as u64;
    let done = Next { cursor: Value::Null, more: false };
    let (found, more, full, read) = match *pages {
        Pages::One | Pages::Custom => return Ok(done),
        Pages::Url { at, more } => (look(at, answer, document)?.map(Mark::Url), more, true, 0),
        Pages::Token { at, more, .. } => (look(at, answer, document)?.map(Mark::Token), more, true, 0),
        Pages::Number { first, size, more, .. } => {
            let number = if let Some(Mark::Number(number)) = mark { *number } else { first };
            let read = (number - first) * size + count;
            (Some(Mark::Number(number + 1)), more, count >= size, read)
        }
        Pages::Offset { size, more, .. } => {
            let offset = if let Some(Mark::Offset(offset)) = mark { *offset } else { 0 };
            (Some(Mark::Offset(offset + count)), more, count >= size, offset + count)
        }
        Pages::After { field, more, .. } => {
            let last = match records.last() {
                Some(record) => record.text(field)?,
                None => None,
            };
            (last.map(Mark::After), more, count > 0, 0)
        }
    };
    let more = match more {
        More::Given => found.is_some() && full,
        More::Full => full,
        More::If(path) => text(document, path)?.as_deref() == Some("true"),
        More::Unless(path) => text(document, path)?.as_deref() != Some("true"),
        More::Total(path) => {
            let total = text(document, path)?.and_then(|total| total.parse::<u64>().ok());
            count > 0 && total.map_or(full, |total| read < total)
        }
    };
    let Some(found) = found else {
        return match more {
            true => Err(Error::unexpected("the answer says that another page follows, but not where")),
            false => Ok(done),
        };
    };
    if more && mark == Some(&found) {
        return Err(Error::unexpected("the next page is this page: the vendor's cursor does not move"));
    }
    Ok(Next { cursor: serde_json::to_value(found)?, more })
}

fn look(at: At, answer: &Answer, document: &Bytes) -> Result<Option<String>> {
    let found = match at {
        At::Body(path) => text(document, path)?,
        At::Header(name) => answer.header(name).map(str::to_owned),
        At::Link(relation) => {
            answer.headers.get_all("link").iter().find_map(|value| link(value.to_str().ok()?, relation))
        }
    };
    Ok(found.filter(|found| !found.is_empty() && found != "null"))
}

fn text(document: &Bytes, path: &str) -> Result<Option<String>> {
    Ok(Raw::parse(document)?.find(path)?.and_then(|raw| raw.text()))
}

/// The address of `relation` in a `Link` header (RFC 8288): `<https://…>; rel="next", <…>; rel="prev"`.
fn link(header: &str, relation: &str) -> Option<String> {
    let mut rest = header;
    while let Some((_, after)) = rest.split_once('<') {
        let (address, after) = after.split_once('>')?;
        let (parameters, behind) = after.split_once(",").unwrap_or((after, ""));
        let named = parameters.split(';').any(|parameter| {
            parameter.trim().strip_prefix("rel=").is_some_and(|value| {
                value.trim_matches('"').split_whitespace().any(|name| name.eq_ignore_ascii_case(relation))
            })
        });
        if named {
            return Some(address.to_owned());
        }
        rest = behind;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(body: &'static str, headers: &[(&'static str, &'static str)]) -> Answer {
        let headers =
            headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        Answer { status: http::StatusCode::OK, headers, body: Bytes::from_static(body.as_bytes()) }
    }

    fn follow(pages: Pages, mark: Option<Mark>, answer: &Answer) -> Result<Next> {
        let records = Record::split(&answer.body, "data")?;
        next(&pages, mark.as_ref(), answer, &answer.body, &records)
    }

    #[test]
    fn every_family_of_paging_leads_on_and_ends() {
        let after =
            Pages::After { field: "id", into: Put::Query("starting_after"), more: More::If("has_more") };
        let full = answer(r#"{"data":[{"id":"a"},{"id":"b"}],"has_more":true,"next":"/p2","total":5}"#, &[]);
        let next = follow(after, None, &full).unwrap();
        assert_eq!((next.cursor, next.more), (serde_json::json!({"after":"b"}), true));
        assert!(
            follow(after, Some(Mark::After("b".into())), &full)
                .unwrap_err()
                .message()
                .contains("does not move")
        );

        let url = Pages::Url { at: At::Body("next"), more: More::Given };
        assert_eq!(follow(url, None, &full).unwrap().cursor, serde_json::json!({"url":"/p2"}));
        let last = answer(r#"{"data":[],"has_more":false,"next":null,"total":5}"#, &[]);
        assert!(!follow(url, None, &last).unwrap().more);

        let offset = Pages::Offset { into: Put::Query("offset"), size: 2, more: More::Total("total") };
        assert_eq!(
            follow(offset, Some(Mark::Offset(2)), &full).unwrap().cursor,
            serde_json::json!({"offset":4})
        );
        assert!(!follow(offset, Some(Mark::Offset(4)), &last).unwrap().more);

        let token =
            Pages::Token { at: At::Header("sforce-locator"), into: Put::Query("locator"), more: More::Given };
        assert!(follow(token, None, &answer(r#"{"data":[]}"#, &[("sforce-locator", "abc")])).unwrap().more);
        assert!(!follow(token, None, &answer(r#"{"data":[]}"#, &[("sforce-locator", "null")])).unwrap().more);

        let durable =
            Pages::Token { at: At::Body("c"), into: Put::Query("cursor"), more: More::Unless("end") };
        let next = follow(durable, None, &answer(r#"{"data":[],"c":"x","end":true}"#, &[])).unwrap();
        assert_eq!((next.cursor, next.more), (serde_json::json!({"token":"x"}), false));
    }

    #[test]
    fn links_are_found_by_their_relation() {
        let header = r#"<https://a/?p=1,2>; rel="prev", <https://a/?p=3>; title=x; rel="next last""#;
        assert_eq!(link(header, "next").as_deref(), Some("https://a/?p=3"));
        assert_eq!(link(header, "first"), None);
    }
}
