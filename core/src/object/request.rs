//! What is asked for: as a constant of a collection, and as a request at run time.

use std::fmt;

use bytes::Bytes;
use http::Method;

/// What a request asks for, as a constant: `{name}` is the collection's name, `{partition}` the partition's id,
/// `{partition.login}` a member of its `extra`, `{^path}` a member of the parent record.
#[derive(Clone, Copy, Debug)]
pub struct Endpoint {
    /// GET or POST.
    pub method: Verb,
    /// The name of the [`Host`](crate::http::Host); the first one if empty.
    pub host: &'static str,
    /// The path under the host's address.
    pub path: &'static str,
    /// Query parameters that every request carries.
    pub query: &'static [(&'static str, &'static str)],
    /// Headers that every request carries.
    pub headers: &'static [(&'static str, &'static str)],
    /// The body, if it has one: JSON, XML or a form, by its `content-type` header (JSON without one). The client puts the
    /// access token in for `{token}`, where it is [carried](crate::auth::Carry) so.
    pub body: &'static str,
}

/// The method of an [`Endpoint`]; a pull changes nothing at the vendor, so there are no others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// GET
    Get,
    /// POST: searches, SOAP, jobs.
    Post,
}

impl Endpoint {
    /// GET `path`.
    pub const fn get(path: &'static str) -> Self {
        Self { method: Verb::Get, host: "", path, query: &[], headers: &[], body: "" }
    }

    /// POST `body` to `path`.
    pub const fn post(path: &'static str, body: &'static str) -> Self {
        Self { method: Verb::Post, host: "", path, query: &[], headers: &[], body }
    }

    /// With these query parameters.
    pub const fn query(self, query: &'static [(&'static str, &'static str)]) -> Self {
        Self { query, ..self }
    }

    /// With these headers.
    pub const fn headers(self, headers: &'static [(&'static str, &'static str)]) -> Self {
        Self { headers, ..self }
    }

    /// At another host than the first.
    pub const fn host(self, host: &'static str) -> Self {
        Self { host, ..self }
    }
}

/// A request to a vendor, made at run time. Only a [`Client`](crate::http::Client) can send it.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The name of the host; the first one if empty.
    pub host: String,
    /// The path under the host's address, or a whole address of a declared host or result suffix.
    pub path: String,
    /// Query parameters, not yet encoded.
    pub query: Vec<(String, String)>,
    /// Headers.
    pub headers: Vec<(String, String)>,
    /// The body; its `content-type` is JSON unless a header says otherwise.
    pub body: Bytes,
    /// The name of a further limit that it counts against.
    pub limit: Option<&'static str>,
}

/// Values of headers, parameters and bodies may be secret: only names are shown.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.split('?').next().unwrap_or_default();
        let names: Vec<&str> = self.query.iter().map(|(name, _)| name.as_str()).collect();
        write!(f, "{} {}{path}?{}", self.method, self.host, names.join("&"))
    }
}

impl Request {
    /// A request without parameters.
    pub fn new(method: Method, path: impl Into<String>) -> Self {
        Self {
            method,
            host: String::new(),
            path: path.into(),
            query: Vec::new(),
            headers: Vec::new(),
            body: Bytes::new(),
            limit: None,
        }
    }

    /// GET `path`.
    pub fn get(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path)
    }

    /// POST `body`, JSON, to `path`.
    pub fn post(path: impl Into<String>, body: impl Into<Bytes>) -> Self {
        Self { body: body.into(), ..Self::new(Method::POST, path) }
    }

    /// With one more query parameter.
    pub fn query(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.query.push((name.into(), value.into()));
        self
    }

    /// With one more header.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// At another host than the first.
    pub fn at(self, host: impl Into<String>) -> Self {
        Self { host: host.into(), ..self }
    }

    /// Counting against a further limit.
    pub fn limited(self, limit: &'static str) -> Self {
        Self { limit: Some(limit), ..self }
    }
}
