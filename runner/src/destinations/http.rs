//! One POST to an address that a user typed, and what its answer means.

use std::{error::Error as StdError, time::Duration};

use bytes::Bytes;
use headwater_core::{
    error::{Error, Result},
    http::{Unreachable, retry_after},
};
use http::{HeaderMap, StatusCode, header};
use jiff::Timestamp;
use url::Url;

use super::{Fault, Verdict};
use crate::config::Terms;

/// So much of an answer is read: a connection whose answer is longer is not used again.
const READ: usize = 64 << 10;
/// So many characters of it are shown.
const SHOWN: usize = 200;
/// A destination that asks for more patience than this is asked again anyway.
const LONGEST_WAIT: Duration = Duration::from_secs(3_600);

/// The connections of one destination.
pub struct Wire {
    http: reqwest::Client,
    url: Url,
    timeout: Duration,
}

impl Wire {
    /// For requests to `url`, on the destination's terms.
    pub fn new(terms: &Terms, url: Url) -> Result<Self> {
        let plain = url.scheme() == "http";
        let mut http = reqwest::Client::builder()
            .user_agent(concat!("headwater/", env!("CARGO_PKG_VERSION")))
            // Whoever may be reached is decided by the address that is connected to: nobody else may choose it.
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .dns_resolver(std::sync::Arc::new(terms.reach))
            .referer(false)
            .connect_timeout(terms.timeout.min(Duration::from_secs(10)))
            .timeout(terms.timeout)
            .pool_idle_timeout(Duration::from_secs(30))
            .https_only(!plain);
        if plain {
            // Loading the machine's certificates takes longer than most answers.
            http = http.tls_built_in_root_certs(false);
        }
        let http = http.build().map_err(|error| Error::config(format!("TLS cannot be set up: {error}")))?;
        Ok(Self { http, url, timeout: terms.timeout })
    }

    /// Posts `body`, and judges the answer.
    pub async fn post(&self, headers: HeaderMap, body: Bytes) -> Verdict {
        let sent = self.http.post(self.url.clone()).headers(headers).body(body).send().await;
        let mut answer = match sent {
            Ok(answer) => answer,
            Err(error) => return self.unanswered(&error),
        };
        let (status, headers) = (answer.status(), answer.headers().clone());
        let mut said = Vec::new();
        // What an answer says is read so that the connection can be used again; that it was cut changes nothing.
        while let Ok(Some(part)) = answer.chunk().await {
            said.extend_from_slice(&part);
            if said.len() > READ {
                break;
            }
        }
        judge(status, &headers, &said, Timestamp::now())
    }

    fn unanswered(&self, error: &reqwest::Error) -> Verdict {
        let mut cause: Option<&(dyn StdError + 'static)> = Some(error);
        let mut root = String::new();
        while let Some(inner) = cause {
            if let Some(unreachable) = inner.downcast_ref::<Unreachable>() {
                return Verdict::Broken(Fault { reason: unreachable.to_string(), status: None });
            }
            root = inner.to_string();
            cause = inner.source();
        }
        let reason = match error {
            error if error.is_timeout() && error.is_connect() => "no connection in time".to_owned(),
            error if error.is_timeout() => format!("no answer within {} s", self.timeout.as_secs_f32()),
            error if error.is_connect() => format!("no connection: {root}"),
            _ => format!("no answer: {root}"),
        };
        Verdict::Later {
            unanswered: error.is_connect(),
            fault: Fault { reason: line(&reason), status: None },
            wait: None,
        }
    }
}

/// What an answer means. Whatever somebody has to mend (credentials, the address) holds everything and loses nothing; only what is
/// said of the calls themselves is held against them.
fn judge(status: StatusCode, headers: &HeaderMap, said: &[u8], now: Timestamp) -> Verdict {
    if status.is_success() {
        return Verdict::Taken;
    }
    let mut reason = status
        .canonical_reason()
        .map_or_else(|| status.as_str().to_owned(), |name| format!("{} {name}", status.as_str()));
    let to = headers.get(header::LOCATION).filter(|_| status.is_redirection());
    if let Some(to) = to.and_then(|to| to.to_str().ok()) {
        reason = format!(
            "{reason}: it leads to {to}, and redirects are not followed: put the right address into url"
        );
    }
    let words = line(&String::from_utf8_lossy(said));
    if !words.is_empty() && !words.starts_with('<') {
        reason = format!("{reason}: {words}");
    }
    let fault = Fault { reason: line(&reason), status: Some(status.as_u16()) };
    match status.as_u16() {
        400 | 413 | 422 => Verdict::Refused(fault),
        // 405, 415 and 426 say that something else than such a destination listens there.
        300..=399 | 401..=405 | 407 | 410 | 415 | 426 | 451 => Verdict::Broken(fault),
        _ => {
            let wait = retry_after(headers, now).filter(|_| matches!(status.as_u16(), 429 | 503));
            Verdict::Later { fault, wait: wait.map(|wait| wait.min(LONGEST_WAIT)), unanswered: false }
        }
    }
}

/// Text on one line, cut where it is long.
fn line(text: &str) -> String {
    let mut words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((end, _)) = words.char_indices().nth(SHOWN) {
        words.truncate(end);
        words.push('…');
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(status: u16, headers: &[(&'static str, &str)]) -> Verdict {
        let headers = headers
            .iter()
            .map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap()))
            .collect();
        let now = "2026-11-01T00:00:00Z".parse().unwrap();
        judge(StatusCode::from_u16(status).unwrap(), &headers, b"{\"error\":\n \"x\"}", now)
    }

    #[test]
    fn every_answer_has_one_meaning() {
        for status in [200, 201, 202, 204] {
            assert_eq!(judged(status, &[]), Verdict::Taken);
        }
        for status in [400, 413, 422] {
            assert!(matches!(judged(status, &[]), Verdict::Refused(_)), "{status}");
        }
        for status in [301, 302, 307, 308, 401, 402, 403, 404, 405, 410, 415] {
            assert!(matches!(judged(status, &[]), Verdict::Broken(_)), "{status}");
        }
        for status in [408, 409, 418, 421, 423, 425, 429, 500, 502, 503, 504, 599] {
            let later = judged(status, &[]);
            assert!(matches!(later, Verdict::Later { wait: None, unanswered: false, .. }), "{status}");
        }
    }

    #[test]
    fn a_destination_is_left_alone_as_long_as_it_asks() {
        let wait = |status, after| match judged(status, &[("retry-after", after)]) {
            Verdict::Later { wait, .. } => wait.map(|wait| wait.as_secs()),
            other => panic!("{other:?}"),
        };
        assert_eq!(wait(429, "7"), Some(7));
        assert_eq!(wait(503, "Sun, 01 Nov 2026 00:01:00 GMT"), Some(60));
        assert_eq!((wait(429, "99999999"), wait(429, "soon"), wait(500, "7")), (Some(3_600), None, None));
    }

    #[test]
    fn a_reason_is_one_line_that_says_what_to_do() {
        let Verdict::Broken(fault) = judged(302, &[("location", "http://169.254.169.254/")]) else {
            panic!("a redirect is not followed")
        };
        assert!(fault.reason.contains("302 Found: it leads to http://169.254.169.254/"), "{}", fault.reason);
        let Verdict::Refused(fault) = judged(422, &[]) else { panic!("it is refused") };
        assert_eq!(fault.reason, "422 Unprocessable Entity: {\"error\": \"x\"}");
        assert_eq!(line(&"ä".repeat(300)).chars().count(), SHOWN + 1);
    }
}
