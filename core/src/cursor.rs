//! How far a collection has been read, and how a vendor's answers lead from one page to the next.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How far a collection has been read. The engine stores it in the warehouse, in the same transaction as the rows
/// it covers; nothing else remembers anything.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Progress {
    /// Everything that changed before this time has been read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub synced_to: Option<Timestamp>,
    /// The upper bound of the open reads: the pass's start less the vendor's lag. Fixed when a pass opens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// The vendor's own durable position ([`Since::Cursor`]): where the next pass goes on. An object by partition id where
    /// there are partitions.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub position: Value,
    /// The pass that is under way. It survives restarts: rows that it has loaded carry its id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pass: Option<Pass>,
    /// The latest change that ended reads of this pass have seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub newest: Option<Timestamp>,
    /// The whole pass before this one: where pages are counted, a row is gone only once two passes agree.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous: Option<Pass>,
    /// What has been served from the beginning: a feed's collections, a list's children, partitions. One that is chosen
    /// later has missed the past, and makes the reading begin again.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub filled: Vec<String>,
    /// What is left of that pass: one read for each partition and window that has not ended.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reads: Vec<Read>,
}

/// One complete reading of a collection, from the first page of its first read to the last of its last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pass {
    /// Distinct among the passes of a collection; stored with each row as `_headwater_pass`.
    pub id: String,
    /// When it began. A sweep spares rows that were loaded later than this.
    pub began: Timestamp,
    /// Whether it reads everything, so that what it does not meet is gone.
    #[serde(default)]
    pub whole: bool,
}

/// One partition and window of a pass, and the page it has come to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Read {
    /// The account inside the account; none where the collection has no partitions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partition: Option<Partition>,
    /// Changes from this time on, the overlap already taken off; none for everything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Timestamp>,
    /// Changes before this time; none where the vendor takes no upper bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<Timestamp>,
    /// Where the next page starts, as the connector's `page` said; null before the first page.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub page: Value,
    /// The latest change seen by this read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub newest: Option<Timestamp>,
}

/// An account inside the account: a Google Ads customer, a Facebook ad account, a Twilio subaccount.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Partition {
    /// The vendor's id for it; `{partition}` in an endpoint.
    pub id: String,
    /// Whatever else its requests need, such as a login customer.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub extra: Value,
}

/// Where a token, number or time goes in the next request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// A query parameter.
    Query(&'static str),
    /// A header.
    Header(&'static str),
    /// A member of the JSON body, by its path.
    Body(&'static str),
    /// `{name}` in the path (and in a string of the body's template, such as a query language's text).
    Path(&'static str),
}

/// Where an answer holds what leads to the next page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// A path in the JSON body.
    Body(&'static str),
    /// A response header.
    Header(&'static str),
    /// The address of this relation in the `Link` header (RFC 8288).
    Link(&'static str),
}

/// How an answer leads to the next page. Loop detection is built in: a next page that is this page is an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pages {
    /// It does not: one answer holds all.
    One,
    /// It holds the next page's address, absolute or relative to the host.
    Url {
        /// Where.
        at: At,
        /// How it tells that another page follows.
        more: More,
    },
    /// It holds a token, to be sent back.
    Token {
        /// Where the answer holds it.
        at: At,
        /// Where the next request takes it.
        into: Put,
        /// How the answer tells that another page follows.
        more: More,
    },
    /// Pages are counted.
    Number {
        /// Where the request takes the number.
        into: Put,
        /// The first page's number.
        first: u64,
        /// Records on a full page; a shorter one is the last.
        size: u64,
        /// Where the answer holds the number of all records or pages, if it does.
        more: More,
    },
    /// The next page starts after so many records.
    Offset {
        /// Where the request takes the offset.
        into: Put,
        /// Records on a full page; a shorter one is the last.
        size: u64,
        /// How the answer tells that another page follows.
        more: More,
    },
    /// The last record's field is sent as the cursor.
    After {
        /// The field of the record.
        field: &'static str,
        /// Where the next request takes it.
        into: Put,
        /// How the answer tells that another page follows.
        more: More,
    },
    /// The connector's own `page` reads it: jobs, SOAP, streams, feeds of an odd shape.
    Custom,
}

/// How an answer tells that another page follows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum More {
    /// It holds what leads there (a token or address that is neither missing, null nor empty).
    Given,
    /// This member of the body is true.
    If(&'static str),
    /// This member of the body is false or missing.
    Unless(&'static str),
    /// The page is full.
    Full,
    /// More records are counted at this path than have been read.
    Total(&'static str),
}

/// How to ask only for what changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    /// By time.
    Time {
        /// The record's member that tells when it last changed (or was created, where that is all the vendor filters by).
        field: &'static str,
        /// Where the request takes the lower bound, inclusive; none where the endpoint has no such filter and the
        /// engine only watches `newest` (newest-first lists that stop early).
        from: Put,
        /// Where it takes the upper bound, exclusive or inclusive; needed for windows.
        until: Option<Put>,
        /// How the vendor writes a time.
        format: TimeFormat,
        /// How far each pass reaches back behind the last one, for changes that show late.
        overlap: Duration,
        /// How long a change may take to show up in this list: the upper bound of a read is the run's start less this.
        lag: Duration,
        /// What the lower bound says when nothing has been read yet and no start date is set; without it, the
        /// parameter is left out.
        first: Option<&'static str>,
    },
    /// The list is newest first and takes no filter: a read ends at the first page whose last record is older than
    /// the lower bound.
    Newest {
        /// The record's member that the list is sorted by.
        field: &'static str,
        /// How far each pass reaches back behind the last one.
        overlap: Duration,
        /// How long a record may take to show up.
        lag: Duration,
    },
    /// The list is bounded by time, but a record may change at any time later: every pass reads all of it, span by
    /// span ([`Windows`]).
    Span {
        /// Where the request takes the lower bound.
        from: Put,
        /// Where it takes the upper bound.
        until: Put,
        /// How the vendor writes a time.
        format: TimeFormat,
    },
    /// By the vendor's own durable cursor: the last page's cursor of one pass is the first of the next. The first
    /// pass starts from the read's `from` (the start date, or `first`).
    Cursor {
        /// Where the very first request takes its start time.
        from: Put,
        /// How the vendor writes that time.
        format: TimeFormat,
        /// What it says without a start date.
        first: &'static str,
        /// The export leaves out changes younger than this: a start time must be older.
        lag: Duration,
    },
}

/// Splits a backfill into spans of time that are read side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows {
    /// The longest span the vendor takes, or the one that suits its speed.
    pub span: Duration,
    /// Where a backfill begins when no start date is set: the vendor's own beginning, as RFC 3339.
    pub epoch: &'static str,
    /// How many may be read at once.
    pub side_by_side: usize,
}

/// How a vendor writes a time in a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeFormat {
    /// `2024-05-06T07:08:09Z`
    Rfc3339,
    /// `2024-05-06T07:08:09.123Z`
    Rfc3339Millis,
    /// `1714979289`
    UnixSeconds,
    /// `1714979289123`
    UnixMillis,
    /// `2024-05-06`
    Date,
    /// `2024-05-06 07:08:09`, UTC
    Sql,
}

impl TimeFormat {
    /// Writes a time so.
    pub fn write(self, time: Timestamp) -> String {
        match self {
            TimeFormat::Rfc3339 => time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            TimeFormat::Rfc3339Millis => time.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string(),
            TimeFormat::UnixSeconds => time.as_second().to_string(),
            TimeFormat::UnixMillis => time.as_millisecond().to_string(),
            TimeFormat::Date => time.strftime("%Y-%m-%d").to_string(),
            TimeFormat::Sql => time.strftime("%Y-%m-%d %H:%M:%S").to_string(),
        }
    }
}
