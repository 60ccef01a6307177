//! The only way to a vendor: one client per account, shared by its collections and its sources.
//!
//! Here is what an API looks like, as values. What the [`Client`] does with them, from the outside in: `client`
//! asks until it has an answer, `pace` keeps the limits, `address` lets nothing leave the declared hosts,
//! `dress` adds credentials, `wire` sends one request, `judge` says what an answer means, `body` reads it, `budget` bounds
//! what all of them hold, `ledger` counts daily allotments, `shelf` keeps bodies open between pages, `vendor_clock` knows what time it
//! is there. `reach` is for the addresses that users type: they have no API.

pub(crate) mod address;
pub(crate) mod body;
mod budget;
mod client;
mod dress;
mod gate;
mod judge;
mod ledger;
mod options;
pub(crate) mod pace;
mod reach;
pub(crate) mod shelf;
mod veil;
mod vendor_clock;
pub(crate) mod wire;

use std::{fmt, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

pub use self::{
    body::{Body, Gather},
    budget::{Budget, Share},
    client::Client,
    judge::retry_after,
    ledger::{Allotment, Gates, Ledger, MemoryLedger, Spent, Usage},
    options::Options,
    reach::{Reach, Unreachable, is_public},
};
use crate::{auth::Auth, error::Error};

/// What a client needs to know of an account's API.
#[derive(Clone)]
pub struct Api {
    /// Its hosts; requests name one, the first is the default.
    pub hosts: Vec<Host>,
    /// Headers that every request carries, such as a pinned API version.
    pub headers: Vec<(&'static str, String)>,
    /// Further hosts that only result files come from, without credentials: suffixes that begin with a dot
    /// (`.amazonaws.com`), or whole names.
    pub results: &'static [&'static str],
    /// Looks for an error that the status does not tell: a failure inside a 200, a throttle inside a 403, which of
    /// its limits a 400 speaks of. What it returns is believed; none leaves it to the status.
    pub judge: fn(&Answer) -> Option<Error>,
    /// How long everybody should wait after this answer, good as it is: a header says that the quota is nearly used.
    pub ease: fn(&Answer) -> Option<Duration>,
    /// What an answer, good or bad, tells of a declared daily allotment: how much of it is spent.
    pub usage: fn(&Answer) -> Option<Usage>,
}

/// One of an API's hosts.
#[derive(Clone, Debug)]
pub struct Host {
    /// The name that endpoints use.
    pub name: &'static str,
    /// `https://api.example.com`, a path allowed. What only the token's answer tells stands in it as
    /// `{token.instance_url}`: the whole address, or a part of its name (`https://{token.dc}.example.com`).
    pub url: String,
    /// How a request proves whose it is.
    pub auth: Auth,
    /// How often it may be asked.
    pub limits: Vec<Limit>,
}

/// How much the vendor lets one account do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// "" for every request to the host, else only those that name it.
    pub name: &'static str,
    /// Of what.
    pub of: Of,
    /// So many.
    pub amount: u64,
    /// In so much time.
    pub per: Per,
}

/// What a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// Requests.
    Requests,
    /// Bytes of answers.
    Bytes,
    /// Jobs: requests that name this limit, each of which starts one.
    Jobs,
    /// Requests under way at once (`per` means nothing then).
    Concurrent,
}

/// The time that a limit counts over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Per {
    /// Any span of this length.
    Rolling(Duration),
    /// From one reset to the next: at this hour, in this zone, each day.
    Day {
        /// The hour of the reset, 0 to 23.
        hour: i8,
        /// The zone, as IANA names it.
        zone: &'static str,
    },
}

/// A vendor's answer, whole.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, any `content-encoding` undone.
    pub body: Bytes,
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headers: Vec<_> = self.headers.iter().map(|(name, _)| name).collect();
        f.debug_struct("Api").field("hosts", &self.hosts).field("headers", &headers).finish_non_exhaustive()
    }
}

impl Answer {
    /// A header's value as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

impl Api {
    /// One host, no limits declared.
    pub fn new(url: impl Into<String>, auth: Auth) -> Self {
        Self {
            hosts: vec![Host { name: "", url: url.into(), auth, limits: Vec::new() }],
            headers: Vec::new(),
            results: &[],
            judge: |_| None,
            ease: |_| None,
            usage: |_| None,
        }
    }

    /// With one more limit on the host declared last.
    pub fn limit(mut self, limit: Limit) -> Self {
        if let Some(host) = self.hosts.last_mut() {
            host.limits.push(limit);
        }
        self
    }

    /// With a header on every request.
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// With a further host.
    pub fn host(mut self, name: &'static str, url: impl Into<String>, auth: Auth) -> Self {
        self.hosts.push(Host { name, url: url.into(), auth, limits: Vec::new() });
        self
    }

    /// With further hosts that result files come from.
    pub fn results(self, results: &'static [&'static str]) -> Self {
        Self { results, ..self }
    }

    /// With its own eye for errors.
    pub fn judge(self, judge: fn(&Answer) -> Option<Error>) -> Self {
        Self { judge, ..self }
    }

    /// With its own eye for a quota that is nearly used.
    pub fn ease(self, ease: fn(&Answer) -> Option<Duration>) -> Self {
        Self { ease, ..self }
    }

    /// With its own eye for what is spent of an allotment.
    pub fn usage(self, usage: fn(&Answer) -> Option<Usage>) -> Self {
        Self { usage, ..self }
    }
}

impl Limit {
    /// So many requests in any span of this length.
    pub const fn requests(amount: u64, per: Duration) -> Self {
        Self { name: "", of: Of::Requests, amount, per: Per::Rolling(per) }
    }

    /// So many requests at once.
    pub const fn concurrent(amount: u64) -> Self {
        Self { name: "", of: Of::Concurrent, amount, per: Per::Rolling(Duration::ZERO) }
    }

    /// So many bytes of answers in any span of this length.
    pub const fn bytes(amount: u64, per: Duration) -> Self {
        Self { name: "", of: Of::Bytes, amount, per: Per::Rolling(per) }
    }

    /// So many requests from one reset to the next: each day at this hour in this zone.
    pub const fn daily(amount: u64, hour: i8, zone: &'static str) -> Self {
        Self { name: "", of: Of::Requests, amount, per: Per::Day { hour, zone } }
    }

    /// Requests of a day whose number only the vendor's answers tell ([`Api::usage`]): without limit until then.
    pub const fn told() -> Self {
        Self::daily(u64::MAX, 0, "UTC")
    }

    /// Only for requests that name it.
    pub const fn named(self, name: &'static str) -> Self {
        Self { name, ..self }
    }
}
