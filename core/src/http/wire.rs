//! One request, sent once.

use std::{error::Error as _, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use jiff::Timestamp;
use tokio::time::timeout;
use url::Url;

use super::{Answer, Options, address::Addresses, judge, veil::Veil};
use crate::error::{Error, Kind, Result};

/// What time it is.
pub(crate) type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Tells a stand-in which host it stands for.
const STANDS_FOR: HeaderName = HeaderName::from_static("x-headwater-host");

/// No token answer is larger.
const LARGEST_TOKEN: usize = 1024 * 1024;

/// The connections of one account, and where they may lead.
pub(crate) struct Wire {
    http: reqwest::Client,
    pub addresses: Addresses,
    pub veil: Veil,
    pub clock: Clock,
    /// How long one attempt may take.
    pub patience: Duration,
}

impl Wire {
    pub fn new(addresses: Addresses, veil: Veil, clock: Clock, options: &Options) -> Result<Self> {
        let mut http = reqwest::Client::builder()
            .user_agent(concat!("headwater/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .connect_timeout(options.connect_timeout)
            .pool_idle_timeout(Duration::from_secs(30))
            .https_only(!addresses.is_plain());
        if addresses.is_local() {
            http = http.no_proxy();
        }
        if addresses.is_plain() {
            // Loading the machine's certificates takes longer than most answers.
            http = http.tls_built_in_root_certs(false);
        }
        let http =
            http.build().map_err(|error| Error::config(format!("TLS cannot be set up: {}", root(&error))))?;
        Ok(Self { http, addresses, veil, clock, patience: options.attempt_timeout })
    }

    /// Sends a request to `url`, which has been found to be one of the [`Addresses`].
    pub async fn send(
        &self,
        method: Method,
        url: &Url,
        mut headers: HeaderMap,
        body: Bytes,
    ) -> Result<reqwest::Response> {
        let (physical, stands_for) = self.addresses.physical(url);
        if let Some(host) = stands_for.and_then(|host| HeaderValue::from_str(&host).ok()) {
            headers.insert(STANDS_FOR, host);
        }
        if body.is_empty() && !matches!(method, Method::GET | Method::HEAD) {
            headers.insert(http::header::CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        let mut request = reqwest::Request::new(method, physical);
        *request.headers_mut() = headers;
        if !body.is_empty() {
            *request.body_mut() = Some(body.into());
        }
        self.http.execute(request).await.map_err(|error| cut(&error))
    }

    /// Asks a token endpoint: an answer that names an OAuth error comes back as it is, any other failure as ours.
    pub async fn token(&self, request: oauth2::HttpRequest) -> Result<oauth2::HttpResponse> {
        let url = super::address::secure(&request.uri().to_string())?;
        let (parts, body) = request.into_parts();
        let asked = async {
            let mut response = self.send(parts.method, &url, secret(parts.headers), body.into()).await?;
            let mut body = Vec::new();
            while let Some(chunk) = response.chunk().await.map_err(|error| cut(&error))? {
                if body.len() + chunk.len() > LARGEST_TOKEN {
                    return Err(Error::unexpected("the answer is too large for a token"));
                }
                body.extend_from_slice(&chunk);
            }
            Ok((response.status(), response.headers().clone(), body))
        };
        let (status, headers, body) =
            timeout(self.patience, asked).await.unwrap_or_else(|_| Err(late(self.patience)))?;
        let is_error =
            serde_json::from_slice::<OAuthError>(&body).is_ok_and(|answer| answer.access_token.is_none());
        let answer = Answer { status, headers, body: body.into() };
        let temporary =
            judge::by_status(&answer, false).filter(|error| error.kind().is_temporary() || !is_error);
        if let Some(error) = temporary {
            let wait = judge::retry_after(&answer.headers, (self.clock)());
            let error = wait.map_or(error.clone(), |wait| error.retry_after(wait));
            // A token endpoint that refuses, refuses the credentials, whatever status it does it with.
            let refused = !error.kind().is_temporary();
            return Err(if refused {
                Error::auth(error.message()).with_status(status.as_u16())
            } else {
                error
            });
        }
        let mut response = http::Response::new(answer.body.to_vec());
        // Some answer 200 and an error.
        *response.status_mut() =
            if is_error && status.is_success() { http::StatusCode::BAD_REQUEST } else { status };
        *response.headers_mut() = answer.headers;
        Ok(response)
    }

    /// The same error without any secret in its words.
    pub fn hide(&self, error: Error) -> Error {
        error.reworded(|text| self.veil.hide(text))
    }
}

/// An answer of a token endpoint that names an error.
#[derive(serde::Deserialize)]
struct OAuthError {
    #[serde(rename = "error")]
    _error: String,
    access_token: Option<serde::de::IgnoredAny>,
}

/// Marks headers as secret: no log shows them, and HTTP/2 does not index them.
pub(crate) fn secret(mut headers: HeaderMap) -> HeaderMap {
    headers.values_mut().for_each(|value| value.set_sensitive(true));
    headers
}

/// There was no answer, or only a part of one.
pub(crate) fn cut(error: &reqwest::Error) -> Error {
    if error.is_builder() {
        return Error::unexpected(format!("the request cannot be built: {}", root(error)));
    }
    let what = match error {
        error if error.is_connect() && error.is_timeout() => {
            return Error::transient("no connection in time");
        }
        error if error.is_timeout() => return Error::transient("no answer in time"),
        error if error.is_connect() => "no connection",
        error if error.is_body() || error.is_decode() => "the answer was cut",
        _ => "no answer",
    };
    Error::new(Kind::Transient, format!("{what}: {}", root(error)))
}

/// The answer did not come in time.
pub(crate) fn late(patience: Duration) -> Error {
    Error::transient(format!("no answer within {patience:?}"))
}

/// The cause of all the others; unlike the outer ones it never names an address.
fn root(error: &reqwest::Error) -> String {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = error.source();
    while let Some(inner) = cause.and_then(|cause| cause.source()) {
        cause = Some(inner);
    }
    cause.map_or_else(|| "no reason given".to_owned(), |cause| cause.to_string())
}
