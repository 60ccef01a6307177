//! Objects: what can be pulled from a vendor, a collection at a time, a page at a time.

use std::{fmt, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use http::Method;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    cursor::{Pages, Partition, Read, Since, Windows},
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

/// A kind of object: one table.
///
/// A connector lists its collections as values, each written as its difference from a pattern:
/// `Collection { name: "users", endpoint: Endpoint::get("/users"), ..LIST }`.
#[derive(Clone, Copy, Debug)]
pub struct Collection {
    /// The table's name, as Segment's catalog has it: plural where that is, lower snake case.
    pub name: &'static str,
    /// The columns that together tell one row from another.
    pub key: &'static [&'static str],
    /// The documented columns, as `name type, name type = path`. The name is the one that Segment's catalog uses;
    /// `= path` says where the vendor's current API has it, `= ^path` where the parent record has it, `= #` is the
    /// place in the parent's list. Members that no field names are loaded too, flattened with `_`.
    pub fields: &'static str,
    /// Where its records come from.
    pub from: From,
    /// What to ask for.
    pub endpoint: Endpoint,
    /// Where an answer holds the records; "" if it is the array, or the one record, itself. `{name}` stands for
    /// the collection's name.
    pub records: &'static str,
    /// What an answer is written in.
    pub format: Format,
    /// How to go from one page to the next.
    pub pages: Pages,
    /// How to ask only for what changed; without it every pass reads all.
    pub since: Option<Since>,
    /// How a backfill is split; needs a [`Since::Time`] with an upper bound.
    pub windows: Option<Windows>,
    /// How a deletion shows.
    pub deletes: Deletes,
    /// The member that says how new a record is (a time or a number); without it, the request's start.
    pub version: Option<&'static str>,
    /// The name of the limit (beside the host's own) that its requests count against.
    pub limit: Option<&'static str>,
    /// Columns of Segment's catalog that the vendor no longer fills, each with the reason.
    pub retired: &'static [(&'static str, &'static str)],
    /// Why the vendor no longer has this collection; it is then listed but never read.
    pub gone: Option<&'static str>,
}

impl Collection {
    /// A list of JSON records that fits in one answer, keyed by `id`, whose deletions a whole read shows.
    pub const DEFAULT: Self = Self {
        name: "",
        key: &["id"],
        fields: "",
        from: From::List,
        endpoint: Endpoint::get(""),
        records: "",
        format: Format::Json,
        pages: Pages::One,
        since: None,
        windows: None,
        deletes: Deletes::Unseen,
        version: None,
        limit: None,
        retired: &[],
        gone: None,
    };

    /// The documented columns, parsed; text that is none comes back as the error.
    pub fn fields(&self) -> impl Iterator<Item = Result<Field, &'static str>> + use<> {
        self.fields.split(',').map(str::trim).filter(|f| !f.is_empty()).map(Field::parse)
    }
}

/// Where a collection's records come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// It has a list of its own.
    List,
    /// Only this feed brings them.
    Feed(&'static str),
    /// They stand inside the records of another collection.
    Nested {
        /// The collections whose records hold them, and where: `("invoices", "lines.data")`.
        of: &'static [(&'static str, &'static str)],
        /// The member beside the list that says it is not all (`lines.has_more`): the rest is then read from this
        /// collection's own endpoint, as children of that parent. Empty: the list is always complete.
        overflow: &'static str,
    },
    /// Each record of another collection has a list of these: the endpoint is asked once for each.
    Children {
        /// Those collections.
        of: &'static [&'static str],
        /// Under which parents they are read again.
        reread: Reread,
    },
    /// Only webhooks bring them.
    Pushed,
}

/// Under which parents the children are read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reread {
    /// Under those that the pass has met: new and changed ones, where the parent is incremental.
    Changed,
    /// Under all that the warehouse has: a child changes without its parent.
    Always,
}

/// What an answer is written in. Rows of CSV and XML become records; only JSON is not copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One JSON document.
    Json,
    /// One JSON object a line.
    Ndjson,
    /// Comma-separated values whose first row names the columns.
    Csv,
    /// XML: an element becomes an object, repeated ones an array, text a string.
    Xml,
    /// Gzip around another.
    Gzip(&'static Format),
    /// A tar archive whose files are written in another.
    Tar(&'static Format),
}

/// One stream of changes that fills several collections. It is read once a run, before its collections' own lists.
#[derive(Clone, Copy, Debug)]
pub struct Feed {
    /// How to read it. It has a name and progress but no table of its own; its source's `page` gives changes to
    /// the tables it fills.
    pub read: Collection,
    /// How far back the vendor keeps it. A position older than this has expired: the feed's collections are read in
    /// full, from before the feed goes on. None: it goes back to the beginning, and is the collections' backfill.
    pub horizon: Option<Duration>,
    /// The collections it changes.
    pub fills: &'static [&'static str],
}

/// How a vendor shows that a record is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deletes {
    /// It does not, or nothing is ever deleted.
    Never,
    /// A whole read no longer has it.
    Unseen,
    /// The record says so: the member has this value (`true` and numbers as JSON writes them; `*` for any but null).
    Flag(&'static str, &'static str),
    /// This feed says so; what it could no longer tell, a whole read shows.
    Feed(&'static str),
}

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
    /// The body, if it has one: JSON, XML or a form, by its `content-type` header (JSON without one).
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

/// A request to a vendor, made at run time. Only a [`Client`] can send it.
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

/// One documented column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// The column's name.
    pub name: &'static str,
    /// What it holds.
    pub kind: Type,
    /// Where its value comes from.
    pub origin: Origin,
}

/// Where a column's value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// This path of the record.
    Record(&'static str),
    /// This path of the parent record.
    Parent(&'static str),
    /// The place in the parent's list.
    Index,
}

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Type {
    /// true or false
    Bool,
    /// A whole number of 64 bits.
    Int,
    /// A number of any size and precision.
    Numeric,
    /// A floating point number.
    Real,
    /// Text.
    Text,
    /// An instant: RFC 3339, unix seconds, or unix milliseconds in the record; UTC in the warehouse.
    Time,
    /// A day.
    Date,
    /// An array or object, as JSON text.
    Json,
    /// An object whose members become columns of their own, with this name as prefix (it ends in `_`).
    Object,
}

impl Type {
    /// Its name in `fields` and in the catalog.
    pub fn name(self) -> &'static str {
        match self {
            Type::Bool => "bool",
            Type::Int => "int",
            Type::Numeric => "numeric",
            Type::Real => "real",
            Type::Text => "text",
            Type::Time => "time",
            Type::Date => "date",
            Type::Json => "json",
            Type::Object => "object",
        }
    }
}

impl Field {
    fn parse(text: &'static str) -> Result<Self, &'static str> {
        let (column, origin) = match text.split_once('=') {
            Some((column, origin)) => (column.trim(), Some(origin.trim())),
            None => (text, None),
        };
        let (name, kind) = column.split_once(' ').ok_or(text)?;
        let kind = match kind.trim() {
            "bool" => Type::Bool,
            "int" => Type::Int,
            "numeric" => Type::Numeric,
            "real" => Type::Real,
            "text" => Type::Text,
            "time" => Type::Time,
            "date" => Type::Date,
            "json" => Type::Json,
            "object" if name.ends_with('_') => Type::Object,
            _ => return Err(text),
        };
        let origin = match origin {
            None if kind == Type::Object => Origin::Record(&name[..name.len() - 1]),
            None => Origin::Record(name),
            Some("#") => Origin::Index,
            Some("" | "^") => return Err(text),
            Some(path) => path.strip_prefix('^').map_or(Origin::Record(path), Origin::Parent),
        };
        Ok(Self { name, kind, origin })
    }
}

/// Keeps a name that only run time knows (a custom object's) for as long as the program runs, once.
///
/// Collections hold `&'static str`, so that a hundred connectors can be constants; what leaks is the set of
/// distinct names of the accounts that this process has met.
pub fn intern(name: &str) -> &'static str {
    use std::{collections::HashSet, sync::Mutex};
    static NAMES: Mutex<Option<HashSet<&'static str>>> = Mutex::new(None);
    let mut names = NAMES.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let names = names.get_or_insert_with(HashSet::new);
    match names.get(name) {
        Some(known) => known,
        None => {
            let kept: &'static str = Box::leak(name.to_owned().into_boxed_str());
            names.insert(kept);
            kept
        }
    }
}
