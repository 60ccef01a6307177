//! What Salesforce's errors mean: `[{"errorCode": "INVALID_FIELD", "message": "…"}]`, under statuses that say little.

use headwater_core::prelude::*;

/// One of an answer's errors.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Fault {
    error_code: String,
    #[serde(default)]
    message: String,
}

/// What a refused request means; none leaves it to the status, as with an expired session (401).
pub(super) fn judge(answer: &Answer) -> Option<Error> {
    let status = answer.status.as_u16();
    if answer.status.is_success() || status == 401 {
        return None;
    }
    // What the sign-in's own services say of a token that has ended.
    if status == 403 && answer.body.trim_ascii() == b"Bad_OAuth_Token" {
        return Some(
            Error::auth("the access token has ended, or may not be used for this").with_status(status),
        );
    }
    let faults: Vec<Fault> = serde_json::from_slice(&answer.body).ok()?;
    let error = faults.into_iter().next()?.error(status);
    // Too many slow calls: a slow one takes 20 seconds and more. Salesforce itself says of no refusal how long it lasts.
    let is_busy = error.kind() == Kind::RateLimited && error.until().is_none();
    Some(match answer.header("retry-after") {
        None if is_busy => error.retry_after(Duration::from_secs(30)),
        _ => error,
    })
}

impl Fault {
    /// The error that it stands for. Its message begins with Salesforce's code, which [`is`] finds again.
    pub(super) fn error(&self, status: u16) -> Error {
        let words: Vec<&str> = self.message.split_whitespace().collect();
        let told: String = words.join(" ").chars().take(300).collect();
        let text = format!("{}: {told}", self.error_code);
        let forbidden = |what: &str| Error::new(Kind::Forbidden, format!("{text}; {what}"));
        match self.error_code.as_str() {
            // The same code for the day's calls, and for too many slow calls at this moment.
            "REQUEST_LIMIT_EXCEEDED" if self.message.contains("Concurrent") => {
                Error::new(Kind::RateLimited, text)
            }
            "REQUEST_LIMIT_EXCEEDED" => spent(format!("{text}; Headwater asks again in an hour")),
            "QUERY_TIMEOUT" | "SERVER_UNAVAILABLE" | "UNABLE_TO_LOCK_ROW" => Error::transient(text),
            "INVALID_QUERY_LOCATOR" => Error::new(Kind::Expired, text),
            "INVALID_TYPE" | "INVALID_TYPE_FOR_OPERATION" | "INSUFFICIENT_ACCESS" | "INSUFFICIENT_ACCESS_OR_READONLY" => {
                forbidden("let the user that Headwater signs in as read this object")
            }
            "INVALID_FIELD" => forbidden(
                "a field was removed or hidden after the account was described: the next run describes it anew",
            ),
            "OPERATION_TOO_LARGE" => forbidden("it takes a user with the permission \"View All Data\""),
            "API_DISABLED_FOR_ORG" | "API_CURRENTLY_DISABLED" => {
                Error::auth(format!("{text}; give the user the permission \"API Enabled\""))
            }
            _ => Error::new(of(status), text),
        }
        .with_status(status)
    }
}

fn of(status: u16) -> Kind {
    match status {
        403 => Kind::Forbidden,
        408 | 500.. => Kind::Transient,
        429 => Kind::RateLimited,
        _ => Kind::Unexpected,
    }
}

/// Whether an error is one of Salesforce's with any of these codes.
pub(super) fn is(error: &Error, codes: &[&str]) -> bool {
    error.message().split_once(": ").is_some_and(|(code, _)| codes.contains(&code))
}

/// The day's calls are spent. The day is any 24 hours, so some of them come back at every moment, and nothing says
/// how many: asking again each hour costs one call.
pub(super) fn spent(message: String) -> Error {
    let error = Error::new(Kind::RateLimited, message);
    match Timestamp::now().checked_add(Duration::from_secs(3600)) {
        Ok(later) => error.paused_until(later),
        Err(_) => error,
    }
}
