//! What is asked: a collection's endpoint as a request, with everything put in where the collection says.

use bytes::Bytes;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde_json::Value;

use super::Mark;
use crate::{
    cursor::{Pages, Put, Since},
    error::{Error, Result},
    object::{Endpoint, Pull, Request, Verb},
};

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
                let value =
                    extra.and_then(|extra| extra.get(&path["partition.".len()..])).and_then(Value::as_str);
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
                    (Value::Object(members), _) => {
                        members.entry(step).or_insert(Value::Object(Default::default()))
                    }
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
