//! Objects: what can be pulled from a vendor, a collection at a time, a page at a time.

mod collection;
mod field;
mod request;

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use self::{
    collection::{Collection, Deletes, Feed, Format, From, Reread},
    field::{Field, Origin, Type, intern},
    request::{Endpoint, Request, Verb},
};
use crate::{
    cursor::{Partition, Read},
    error::{Error, Result},
    http::{Api, Client},
    record::Record,
    rest,
};

/// An account whose objects can be read.
///
/// The type that implements it is the source's settings: its fields, their types and their doc comments are what
/// the CLI, the forms and the docs show.
#[async_trait]
pub trait ObjectSource: Send + Sync {
    /// Where this account's API is, how a request proves whose it is, how often it may ask, and how errors look.
    ///
    /// `account` is empty before the first [`check`](Self::check), and afterwards what that returned, stored.
    fn api(&self, account: &Account) -> Result<Api>;

    /// One cheap request that proves the credentials and tells which account they open.
    async fn check(&self, client: &Client) -> Result<Account>;

    /// What this account has. `declared` is the connector's static list; an account may add entries (custom
    /// objects), replace some (custom fields) or drop what it does not have.
    async fn catalog(&self, _client: &Client, declared: &[Collection]) -> Result<Vec<Collection>> {
        Ok(declared.to_vec())
    }

    /// The accounts inside the account that `collection` is read for.
    async fn partitions(&self, _client: &Client, _collection: &Collection) -> Result<Vec<Option<Partition>>> {
        Ok(vec![None])
    }

    /// Reads one page: a function of the cursor alone. The same cursor always leads to the same page.
    ///
    /// By default it does what the collection says. Override it for a collection whose vendor follows no pattern,
    /// and end with `rest::page(pull).await` for the others.
    async fn page(&self, pull: Pull<'_>) -> Result<Page> {
        rest::page(pull).await
    }

    /// Fetches the row that a [`Op::Touch`] named, by its key; none if the vendor no longer has it.
    async fn fetch(
        &self,
        _client: &Client,
        collection: &Collection,
        _key: &Record,
    ) -> Result<Option<Record>> {
        Err(Error::unexpected(format!("{} cannot be fetched one by one", collection.name)))
    }
}

/// Which account a source's credentials open.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Account {
    /// The vendor's id for it. Sources of the same account share quotas and credentials.
    pub id: String,
    /// Its name, as a person would know it.
    pub title: String,
    /// What the API needs to know from now on: an instance URL, a data centre, a login customer.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub extra: Value,
}

/// One page to be read: of what, from where, by what means.
#[derive(Clone, Copy)]
pub struct Pull<'a> {
    /// The only way to the vendor.
    pub client: &'a Client,
    /// The collection, or the feed's own reading ([`Feed::read`]).
    pub collection: &'a Collection,
    /// The partition, the window, and the page it has come to.
    pub read: &'a Read,
    /// The record whose list this is, for [`From::Children`] and the overflow of [`From::Nested`].
    pub parent: Option<&'a Record>,
}

/// What one page brought. It may change any table of its source.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// What changed, in the vendor's order: they are applied in it, also two of the same row.
    pub changes: Vec<Change>,
    /// Where to read on once these changes are safe; any JSON (token, locator, job id and offset).
    pub cursor: Value,
    /// Whether this read has more pages.
    pub more: bool,
    /// How long to wait before asking for the next page: a job that is still being made. The cursor may then be the same.
    pub wait: Option<Duration>,
    /// What a user should know about this collection: a truncated list, a hidden field.
    pub notices: Vec<String>,
}

/// What happened to one record.
#[derive(Clone, Debug)]
pub struct Change {
    /// The collection whose table it changes.
    pub collection: &'static str,
    /// What happened.
    pub op: Op,
    /// The record; of a [`Op::Delete`] or [`Op::Touch`] only the key's members count.
    pub record: Record,
    /// The record that a nested or child record belongs to, for fields written `^path`.
    pub parent: Option<Record>,
    /// Its place in the parent's list, from 0, for a field written `#`.
    pub index: u32,
    /// How new it is; without one, the start of the request that brought it.
    pub version: Option<Version>,
}

impl Change {
    /// A record of `collection` that is new, or is now like this.
    pub fn upsert(collection: &'static str, record: Record) -> Self {
        Self { collection, op: Op::Upsert, record, parent: None, index: 0, version: None }
    }

    /// As a JSON line, without the line's end: `{"collection","op","version","record"}`.
    pub fn to_json(&self) -> String {
        let version = self.version.map_or("null".to_owned(), |version| version.0.to_string());
        let (collection, op, record) = (self.collection, self.op.name(), self.record.line());
        format!(r#"{{"collection":"{collection}","op":"{op}","version":{version},"record":{record}}}"#)
    }

    /// The same, otherwise: patched, deleted, touched.
    pub fn op(self, op: Op) -> Self {
        Self { op, ..self }
    }

    /// How new it is.
    pub fn version(self, version: Option<Version>) -> Self {
        Self { version, ..self }
    }

    /// The record it belongs to, and its place in that record's list.
    pub fn parent(self, parent: &Record, index: u32) -> Self {
        Self { parent: Some(parent.clone()), index, ..self }
    }
}

/// What a change does to its row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Op {
    /// The row is now whole like this: columns that the record lacks become null.
    Upsert,
    /// These members are new; absent columns stay as they are.
    Patch,
    /// The record is gone: `is_deleted` becomes true, the row stays as a tombstone with its version.
    Delete,
    /// Something changed that the change does not carry: the engine fetches the row again by its key.
    Touch,
}

impl Op {
    /// Its name, as JSON has it.
    pub fn name(self) -> &'static str {
        match self {
            Op::Upsert => "upsert",
            Op::Patch => "patch",
            Op::Delete => "delete",
            Op::Touch => "touch",
        }
    }
}

/// How new a record is: the merge applies a change only if its version is not below the row's.
///
/// Microseconds since 1970 where the vendor has a time, or its own sequence number; a collection uses one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Version(pub i64);

impl Version {
    /// The version that a time stands for.
    pub fn at(time: jiff::Timestamp) -> Self {
        Self(time.as_microsecond())
    }
}
