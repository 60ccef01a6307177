//! One destination of the configuration, and what makes it valid.

use std::{collections::BTreeSet, time::Duration};

use headwater_core::{
    auth::{Secret, Secrets},
    error::{Error, Result},
    http::Reach,
};
use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use super::{source::check_members, unknown_source};
use crate::{destinations::webhook, sync::schedule::duration};

/// One destination: where calls are sent, apart from the warehouse.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DestinationSettings {
    /// Its name: letters, digits, `_` and `-`. Its position and its dead letters are kept under it.
    pub name: String,
    /// What it speaks.
    #[serde(rename = "type")]
    pub kind: DestinationKind,
    /// Where calls are posted: of a webhook the whole address, of a Segment-compatible server what stands before `/v1/batch`.
    pub url: String,
    /// Of a webhook: what its requests are signed with, as Standard Webhooks has it (`whsec_` and 24 to 64 random bytes in base64,
    /// such as `openssl rand -base64 32` makes). A list while it is being rotated, the newest first: requests then carry a
    /// signature by each.
    #[serde(default)]
    pub secret: Secrets,
    /// Of a Segment-compatible server: the write key of the source there.
    #[serde(default)]
    pub write_key: Option<Secret>,
    /// Whether calls are sent. While they are not, they wait, for as long as `retain` says.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Only calls of these sources; left out: of all.
    #[serde(default)]
    pub sources: Vec<String>,
    /// Calls that are not sent: names of events, or of calls (`page`).
    #[serde(default)]
    pub block: Vec<String>,
    /// Properties, traits or context members whose values are replaced by their SHA-256: `properties.email`.
    #[serde(default)]
    pub hash: Vec<String>,
    /// Properties, traits or context members that are left out.
    #[serde(default)]
    pub drop: Vec<String>,
    /// Where a new destination begins: with what comes from now on, or with the oldest call that is still kept.
    #[serde(default)]
    pub from: Begin,
    /// How long a call waits at most for a destination that does not take it, such as `7d`; then it ends as expired.
    #[serde(default = "week")]
    pub retain: String,
    /// How many bytes of calls wait at most; the oldest expire first.
    #[serde(default = "ten_gib")]
    pub retain_bytes: u64,
    /// The most calls in one request. Of a webhook 1: each call is a request of its own, and 2 or more make it
    /// `{"batch": [...]}`. Of a Segment-compatible server 100.
    #[serde(default)]
    pub batch: Option<usize>,
    /// How many requests are under way at once: 8 of a webhook, 4 of a Segment-compatible server. Calls of one person never
    /// overtake each other, unless one fails; with 1 no call does.
    #[serde(default)]
    pub concurrency: Option<usize>,
    /// How long one request may take.
    #[serde(default = "half_minute")]
    pub timeout: String,
    /// How calls that fail are sent again.
    #[serde(default)]
    pub retry: Retry,
    /// Whether the address may be a private one: of this machine or its network. Plain http is spoken only then.
    #[serde(default)]
    pub allow_private: bool,
    /// Of a Segment-compatible server: whether bodies are compressed.
    #[serde(default)]
    pub gzip: bool,
    /// Of a Segment-compatible server: whether the sender's own `sentAt` goes along. Headwater and RudderStack keep a `timestamp`
    /// that is said beside `originalTimestamp`; Segment's own API would correct it a second time by `sentAt`, so for `segment.io`
    /// and `segment.com` the default is false, else true.
    #[serde(default)]
    pub keep_sent_at: Option<bool>,
}

/// What a destination speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DestinationKind {
    /// A POST of each call as JSON, signed by Standard Webhooks.
    Webhook,
    /// The tracking API of any Segment-compatible server: `POST /v1/batch`.
    Segment,
}

/// Where a new destination begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Begin {
    /// With what comes from now on.
    #[default]
    End,
    /// With the oldest call that is still kept.
    Beginning,
}

/// How calls that fail are sent again: after `first`, then after twice that, and so on up to `longest`, each time a random part of
/// it less; after `give_up` a call becomes a dead letter.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Retry {
    /// The first pause.
    pub first: String,
    /// The longest.
    pub longest: String,
    /// How long after its first attempt a call is given up.
    pub give_up: String,
}

impl Default for Retry {
    fn default() -> Self {
        Self { first: "1s".to_owned(), longest: "1h".to_owned(), give_up: "24h".to_owned() }
    }
}

/// A destination's settings, read.
#[derive(Clone, Debug)]
pub struct Terms {
    /// Where calls are posted.
    pub url: Url,
    /// What of the network may be reached.
    pub reach: Reach,
    /// How long a call waits.
    pub retain: Duration,
    /// The most calls in one request.
    pub batch: usize,
    /// Requests under way at once.
    pub concurrency: usize,
    /// How long one request may take.
    pub timeout: Duration,
    /// The first pause after a failure.
    pub first: Duration,
    /// The longest.
    pub longest: Duration,
    /// How long a call is tried.
    pub give_up: Duration,
}

fn yes() -> bool {
    true
}

fn week() -> String {
    "7d".to_owned()
}

fn ten_gib() -> u64 {
    10 << 30
}

fn half_minute() -> String {
    "30s".to_owned()
}

impl DestinationKind {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::Segment => "segment",
        }
    }
}

impl DestinationSettings {
    /// Says what is wrong with it; `sources` are all that there are.
    pub fn check(&self, sources: &BTreeSet<&str>) -> Result<()> {
        let is_plain = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'_' | b'-');
        if self.name.is_empty() || self.name.len() > 63 || !self.name.bytes().all(is_plain) {
            return Err(Error::config("the name has to be of letters, digits, _ and -, at most 63"));
        }
        for source in &self.sources {
            if !sources.contains(source.as_str()) {
                return Err(unknown_source(source, sources.iter().copied()));
            }
        }
        check_members(self.hash.iter().chain(&self.drop))?;
        self.terms()?;
        match self.kind {
            DestinationKind::Webhook => {
                self.only(self.write_key.is_none(), "write_key")?;
                self.only(!self.gzip, "gzip")?;
                self.only(self.keep_sent_at.is_none(), "keep_sent_at")?;
                webhook::check_secrets(&self.secret)
            }
            DestinationKind::Segment => {
                self.only(self.secret == Secrets::None, "secret")?;
                match self.write_key.as_ref().map(Secret::expose) {
                    Some(key) if !key.is_empty() && !key.contains(':') => Ok(()),
                    Some(_) => Err(Error::config("write_key is empty or has a colon in it")),
                    None => Err(Error::config("write_key is missing: the write key of the source there")),
                }
            }
        }
    }

    fn only(&self, is_left_out: bool, key: &str) -> Result<()> {
        match is_left_out {
            true => Ok(()),
            false => Err(Error::config(format!(
                "{key} is nothing that a destination of type {} has",
                self.kind.name()
            ))),
        }
    }

    /// Its settings, read.
    pub fn terms(&self) -> Result<Terms> {
        let time = |name: &str, text: &str| {
            duration(text).ok_or_else(|| {
                Error::config(format!("{name} {text:?} is no time: write it like 30s, 12h or 7d"))
            })
        };
        let count = |name: &str, value: Option<usize>, default: usize, most: usize| match value {
            Some(value) if value == 0 || value > most => {
                Err(Error::config(format!("{name} has to be from 1 to {most}")))
            }
            value => Ok(value.unwrap_or(default)),
        };
        let (batch, concurrency) = match self.kind {
            DestinationKind::Webhook => (1, 8),
            DestinationKind::Segment => (100, 4),
        };
        let reach = Reach { allow_private: self.allow_private };
        let terms = Terms {
            url: reach.url(&self.url).map_err(|error| Error::config(format!("url: {}", error.message())))?,
            reach,
            retain: time("retain", &self.retain)?,
            batch: count("batch", self.batch, batch, 1_000)?,
            concurrency: count("concurrency", self.concurrency, concurrency, 256)?,
            timeout: time("timeout", &self.timeout)?,
            first: time("retry.first", &self.retry.first)?,
            longest: time("retry.longest", &self.retry.longest)?,
            give_up: time("retry.give_up", &self.retry.give_up)?,
        };
        if terms.timeout > Duration::from_secs(600) {
            return Err(Error::config("timeout has to be at most 10m"));
        }
        if terms.first > terms.longest {
            return Err(Error::config("retry.first is longer than retry.longest"));
        }
        Ok(terms)
    }
}
