//! Where an answer leads: the next page's mark, by the collection's way of paging.

use bytes::Bytes;
use serde_json::Value;

use super::{Mark, Next};
use crate::{
    cursor::{At, More, Pages},
    error::{Error, Result},
    http::Answer,
    record::{Raw, Record},
};

/// Where an answer leads that brought so many records, the last of which is this one.
///
/// `public` takes out of an address what a cursor must not hold.
pub(super) fn next(
    pages: &Pages,
    mark: Option<&Mark>,
    answer: &Answer,
    count: u64,
    last: Option<&Record>,
    public: &dyn Fn(&str) -> String,
) -> Result<Next> {
    let document = &answer.body;
    let done = Next { cursor: Value::Null, more: false };
    let (found, more, full, read) = match *pages {
        Pages::One | Pages::Custom => return Ok(done),
        Pages::Url { at, more } => (look(at, answer)?.map(|url| Mark::Url(public(&url))), more, true, 0),
        Pages::Token { at, more, .. } => (look(at, answer)?.map(Mark::Token), more, true, 0),
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
            let last = match last {
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

fn look(at: At, answer: &Answer) -> Result<Option<String>> {
    let found = match at {
        At::Body(path) => text(&answer.body, path)?,
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
    use crate::cursor::Put;

    fn answer(body: &'static str, headers: &[(&'static str, &'static str)]) -> Answer {
        let headers =
            headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        Answer { status: http::StatusCode::OK, headers, body: Bytes::from_static(body.as_bytes()) }
    }

    fn follow(pages: Pages, mark: Option<Mark>, answer: &Answer) -> Result<Next> {
        let records = Record::split(&answer.body, "data")?;
        let public = |url: &str| url.replace("secret", "");
        next(&pages, mark.as_ref(), answer, records.len() as u64, records.last(), &public)
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
        let still = answer(r#"{"data":[],"next":"/p2?secret"}"#, &[]);
        assert!(
            follow(url, Some(Mark::Url("/p2?".into())), &still)
                .unwrap_err()
                .message()
                .contains("does not move")
        );
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
