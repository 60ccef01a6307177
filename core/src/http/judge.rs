//! What an answer means: whose move it is, and how long to wait.

use std::time::Duration;

use http::{
    HeaderMap, StatusCode,
    header::{CONTENT_TYPE, RETRY_AFTER},
};
use jiff::Timestamp;
use serde_json::Value;

use super::{Answer, Api};
use crate::{
    error::{Error, Kind},
    time::parse_time,
};

/// As much of a vendor's own words as an error shows.
const SHOWN: usize = 200;

/// A body longer than this is no error message; it is not parsed to find one.
const LONGEST: usize = 256 * 1024;

/// Where vendors put the words that explain an error, the most telling first.
const WORDS: [&str; 16] = [
    "/error/message",
    "/error_description",
    "/message",
    "/detail",
    "/errors/0/message",
    "/errors/0/detail",
    "/0/message",
    "/errors/0/title",
    "/error/description",
    "/errorSummary",
    "/error",
    "/errors/0",
    "/title",
    "/description",
    "/msg",
    "/errors",
];

/// The error that an answer stands for, if it does; `json` says whether JSON was asked for.
pub(crate) fn judge(api: &Api, answer: &Answer, json: bool, now: Timestamp) -> Option<Error> {
    let error = match (api.judge)(answer) {
        Some(error) => error,
        None => by_status(answer, json)?,
    };
    let error = match error.status() {
        None => error.with_status(answer.status.as_u16()),
        Some(_) => error,
    };
    match retry_after(&answer.headers, now) {
        Some(wait) if error.wait().is_none() && error.kind().is_temporary() => Some(error.retry_after(wait)),
        _ => Some(error),
    }
}

/// What the status says by itself.
pub(crate) fn by_status(answer: &Answer, json: bool) -> Option<Error> {
    let kind = match answer.status.as_u16() {
        200..300 if json && is_html(answer) => {
            let message = "HTML where JSON was asked for: a proxy or login page answered; check the address";
            return Some(Error::unexpected(message).with_status(answer.status.as_u16()));
        }
        200..300 => return None,
        401 => Kind::Auth,
        // 402: the plan does not have it.
        402 | 403 => Kind::Forbidden,
        410 => Kind::Expired,
        429 => Kind::RateLimited,
        408 | 425 | 500..600 => Kind::Transient,
        _ => Kind::Unexpected,
    };
    let status = status_line(answer.status);
    let message = match words(answer) {
        Some(words) => format!("{status}: {words}"),
        None => status,
    };
    Some(Error::new(kind, message).with_status(answer.status.as_u16()))
}

/// `Retry-After`: seconds, or a date.
pub fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds.max(0.0)).ok();
    }
    let wait = parse_time(text)?.duration_since(now);
    Some(Duration::try_from(wait).unwrap_or(Duration::ZERO))
}

fn status_line(status: StatusCode) -> String {
    status
        .canonical_reason()
        .map_or_else(|| status.as_str().to_owned(), |reason| format!("{} {reason}", status.as_str()))
}

fn is_html(answer: &Answer) -> bool {
    let named = answer.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let named = named.is_some_and(|kind| kind.trim_start().to_ascii_lowercase().starts_with("text/html"));
    // Some vendors send JSON under that name.
    named && answer.body.trim_ascii_start().first() == Some(&b'<')
}

/// The vendor's own words, on one line.
fn words(answer: &Answer) -> Option<String> {
    let body = &answer.body[..answer.body.len().min(LONGEST)];
    let told = serde_json::from_slice::<Value>(body).ok().and_then(|json| {
        WORDS.iter().find_map(|at| {
            json.pointer(at)?.as_str().filter(|text| !text.trim().is_empty()).map(str::to_owned)
        })
    });
    let text = told.unwrap_or_else(|| {
        let start = String::from_utf8_lossy(&body[..body.len().min(16 * SHOWN)]).into_owned();
        title(&start).map(str::to_owned).unwrap_or(start)
    });
    let mut line = String::with_capacity(SHOWN);
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()) {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
        if let Some((cut, _)) = line.char_indices().nth(SHOWN) {
            line.truncate(cut);
            line.push('…');
            break;
        }
    }
    Some(line).filter(|line| !line.is_empty())
}

/// Of a page of HTML, only its title says anything.
fn title(text: &str) -> Option<&str> {
    let from = text.find("<title>")? + "<title>".len();
    let rest = &text[from..];
    Some(&rest[..rest.find("</title>")?])
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::auth::Auth;

    fn judged(status: u16, headers: &[(&'static str, &'static str)], body: &'static str) -> Option<Error> {
        let headers = headers.iter().map(|(n, v)| (n.parse().unwrap(), v.parse().unwrap())).collect();
        let status = StatusCode::from_u16(status).unwrap();
        let answer = Answer { status, headers, body: Bytes::from_static(body.as_bytes()) };
        let now = "2024-05-06T12:00:00Z".parse().unwrap();
        judge(&Api::new("https://api.example.com", Auth::None), &answer, true, now)
    }

    #[test]
    fn a_status_says_whose_move_it_is() {
        for (status, kind) in [
            (304, Kind::Unexpected),
            (400, Kind::Unexpected),
            (401, Kind::Auth),
            (402, Kind::Forbidden),
            (403, Kind::Forbidden),
            (404, Kind::Unexpected),
            (408, Kind::Transient),
            (410, Kind::Expired),
            (425, Kind::Transient),
            (429, Kind::RateLimited),
            (500, Kind::Transient),
            (599, Kind::Transient),
        ] {
            let error = judged(status, &[], "").unwrap();
            assert_eq!((error.kind(), error.status()), (kind, Some(status)));
        }
        assert!(judged(204, &[], "").is_none());
    }

    #[test]
    fn the_vendors_words_are_found_and_cut() {
        for body in [
            r#"{"error":{"message":"no such plan","type":"x"}}"#,
            r#"{"error":"no_plan","error_description":"no such plan"}"#,
            r#"{"message":"no such plan"}"#,
            r#"{"errors":[{"message":"no such plan"}]}"#,
            r#"{"errors":["no such plan"]}"#,
            r#"[{"message":"no such plan","errorCode":"X"}]"#,
            r#"{"error":"no such plan"}"#,
            "no such\r\n\tplan",
            "<!DOCTYPE html><html><head><title>no such plan</title></head>",
        ] {
            assert_eq!(judged(404, &[], body).unwrap().message(), "404 Not Found: no such plan", "{body}");
        }
        let long: &'static str = Box::leak("é".repeat(5000).into_boxed_str());
        assert_eq!(
            judged(400, &[], long).unwrap().message().chars().count(),
            "400 Bad Request: ".len() + SHOWN + 1
        );
    }

    #[test]
    fn a_wait_is_seconds_or_a_date() {
        let wait = |text| judged(429, &[("retry-after", text)], "").unwrap().wait();
        assert_eq!(wait("7"), Some(Duration::from_secs(7)));
        assert_eq!(wait("0.5"), Some(Duration::from_millis(500)));
        assert_eq!(wait("Mon, 06 May 2024 12:01:00 GMT"), Some(Duration::from_secs(60)));
        assert_eq!(wait("Mon, 06 May 2024 11:00:00 GMT"), Some(Duration::ZERO));
        for text in ["soon", "-1e400", "1e400", "NaN"] {
            assert!(wait(text).is_none_or(|wait| wait.is_zero()), "{text}");
        }
    }

    #[test]
    fn a_login_page_is_no_answer() {
        let html = [("content-type", "text/html; charset=utf-8")];
        assert!(judged(200, &html, "\n<html>").unwrap().message().contains("login page"));
        assert!(judged(200, &html, "{}").is_none());
    }
}
