//! A collection: what there is to read, and how.

use std::time::Duration;

use super::{Endpoint, Field};
use crate::cursor::{Pages, Since, Windows};

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
