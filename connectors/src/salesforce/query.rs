//! One read of an object by SOQL: its query, and the pages of the REST API. A large read becomes a job ([`bulk`]).
//!
//! Rows come by the field that tells changes, then by id. So where a page's locator has expired (after two days, or
//! when the user has opened ten others), the last row says where to go on: nothing is read twice.
//!
//! [`bulk`]: super::bulk

use headwater_core::{object::Origin, prelude::*, time::parse_time};
use serde::Serialize;

use super::{
    Salesforce, api,
    describe::{object, time},
    fault::is,
};

/// How long the query in an address may be, in bytes as sent. Salesforce takes 16,384 with all headers, of which a
/// token alone may be 2,000.
const ADDRESS: usize = 12_000;

/// Where a read has come to.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Mark {
    /// At a page of the REST API.
    Rows {
        /// The page's address; none for the first.
        next: Option<String>,
        /// The last row before it.
        after: Option<Row>,
    },
    /// At a job of the Bulk API.
    Job {
        /// The job.
        id: String,
        /// How often it was asked whether it is done.
        #[serde(default)]
        polls: u32,
        /// The place in its results; none for the first page of them.
        locator: Option<String>,
    },
}

/// A row, by its place in the order of reading.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Row {
    /// What the field that tells changes says, as SOQL writes it; none where rows come by id alone.
    time: Option<String>,
    id: String,
}

/// The query that one read of an object asks.
pub(super) struct Query<'a> {
    select: Vec<&'static str>,
    object: &'static str,
    time: Option<&'static str>,
    filter: Vec<String>,
    pull: Pull<'a>,
}

/// What stands around the rows of an answer.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Head {
    total_size: u64,
    done: bool,
    next_records_url: Option<String>,
}

impl Salesforce {
    /// One page of a read.
    pub(super) async fn query(&self, pull: Pull<'_>) -> Result<Page> {
        let query = Query::of(pull)?;
        let mark = match &pull.read.page {
            Value::Null => None,
            mark => Some(Mark::deserialize(mark).map_err(|_| {
                Error::new(Kind::Expired, "the stored cursor is of another version of this connector")
            })?),
        };
        match mark {
            None => self.first(&query).await,
            Some(Mark::Job { id, polls, locator }) => self.job(&query, &id, polls, locator.as_deref()).await,
            Some(Mark::Rows { next: Some(next), after }) => {
                match self.rows(&query, Request::get(next.as_str()), after.as_ref()).await {
                    Err(error) if error.kind() == Kind::Expired => {
                        self.rows(&query, query.request(after.as_ref()), after.as_ref()).await
                    }
                    page => page,
                }
                .map(|(page, _)| page)
            }
            Some(Mark::Rows { next: None, after }) => {
                self.rows(&query, query.request(after.as_ref()), after.as_ref()).await.map(|(page, _)| page)
            }
        }
    }

    /// The first page: of rows, or none yet and a job that makes them.
    async fn first(&self, query: &Query<'_>) -> Result<Page> {
        if query.is_long() {
            return self.make(query).await;
        }
        let mut refused = false;
        // A first read without a start: counting is quick where sorting all of a large object would time out.
        if query.time.is_some() && query.pull.read.from.is_none() && self.is_large(query).await? {
            match self.make(query).await {
                Err(error) if no_bulk(&error) => refused = true,
                page => return page,
            }
        }
        match self.rows(query, query.request(None), None).await {
            Ok((page, total)) if total > self.bulk_from && page.more && !refused => {
                match self.make(query).await {
                    Err(error) if no_bulk(&error) => Ok(page),
                    made => made,
                }
            }
            Err(error) if is_slow(&error) && !refused => self.make(query).await,
            page => page.map(|(page, _)| page),
        }
    }

    async fn is_large(&self, query: &Query<'_>) -> Result<bool> {
        let request = Request::get(api!("/queryAll")).query("q", query.soql("COUNT()", None, ""));
        match query.pull.client.send(request).await {
            Ok(answer) => Ok(Record::parse(&answer.body)?.get::<u64>("totalSize")? > self.bulk_from),
            Err(error) if is_slow(&error) => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// The page that a request answers with, and how many rows all pages have.
    async fn rows(&self, query: &Query<'_>, request: Request, after: Option<&Row>) -> Result<(Page, u64)> {
        let here = request.path.clone();
        let answer = query.pull.client.send(request).await?;
        let head: Head = serde_json::from_slice(&answer.body)?;
        let records = Record::split(&answer.body, "records")?;
        let last = records.last().map(|record| query.row(record)).transpose()?;
        let mut page = Page { more: !head.done, ..Page::default() };
        if page.more {
            let next = head.next_records_url.ok_or_else(|| {
                Error::unexpected("the answer says that it is not done, but not where it goes on")
            })?;
            if next == here {
                return Err(Error::unexpected(
                    "the next page is this page: Salesforce's locator does not move",
                ));
            }
            let after = last.or_else(|| after.map(|row| Row { time: row.time.clone(), id: row.id.clone() }));
            page.cursor = serde_json::to_value(Mark::Rows { next: Some(next), after })?;
        }
        for record in records {
            // Which kind of object it is, and its address: nothing of the row.
            let mut fields = record.fields()?;
            fields.take("attributes");
            rest::changes(query.pull.collection, fields.record(), &mut page.changes)?;
        }
        Ok((page, head.total_size))
    }
}

/// Whether a query took too long, for Salesforce or for our patience.
fn is_slow(error: &Error) -> bool {
    is(error, &["QUERY_TIMEOUT"]) || (error.kind() == Kind::Transient && error.status().is_none())
}

/// Whether this object, or this user, cannot be read by jobs.
fn no_bulk(error: &Error) -> bool {
    is(error, &["INVALIDENTITY", "API_DISABLED_FOR_ORG", "FEATURENOTENABLED"])
}

impl<'a> Query<'a> {
    pub(super) fn of(pull: Pull<'a>) -> Result<Self> {
        let time = time(pull.collection);
        let mut select = vec!["Id"];
        let mut add = |name: &'static str| {
            if !select.contains(&name) {
                select.push(name);
            }
        };
        for field in pull.collection.fields() {
            match field.map_err(|text| Error::unexpected(format!("{text:?} is no field")))?.origin {
                Origin::Record(name) => add(name),
                Origin::Parent(_) | Origin::Index => {}
            }
        }
        if let Deletes::Flag(name, _) = pull.collection.deletes {
            add(name);
        }
        time.into_iter().chain(pull.collection.version).for_each(add);
        let mut filter = Vec::new();
        if let Some(field) = time {
            let literal = |time| TimeFormat::Rfc3339.write(time);
            filter.extend(pull.read.from.map(|from| format!("{field} >= {}", literal(from))));
            filter.extend(pull.read.to.map(|to| format!("{field} < {}", literal(to))));
        }
        Ok(Self { select, object: object(pull.collection), time, filter, pull })
    }

    /// What to read with.
    pub(super) fn pull(&self) -> Pull<'a> {
        self.pull
    }

    /// How many columns a row has.
    pub(super) fn width(&self) -> usize {
        self.select.len()
    }

    /// The whole read, in no order: sorting keeps Salesforce from splitting a job.
    pub(super) fn unordered(&self) -> String {
        self.soql(&self.select.join(","), None, "")
    }

    /// Whether the query is too long for an address, so that only a job can ask it.
    pub(super) fn is_long(&self) -> bool {
        // As many bytes as percent-encoding makes of it.
        let encoded = |byte: u8| if byte.is_ascii_alphanumeric() || b"-._*".contains(&byte) { 1 } else { 3 };
        self.ordered(None).bytes().map(encoded).sum::<usize>() > ADDRESS
    }

    /// The request for the rows behind `after`.
    fn request(&self, after: Option<&Row>) -> Request {
        Request::get(api!("/queryAll")).query("q", self.ordered(after))
    }

    pub(super) fn ordered(&self, after: Option<&Row>) -> String {
        let order = match self.time {
            Some(field) => format!(" ORDER BY {field},Id"),
            None => " ORDER BY Id".to_owned(),
        };
        self.soql(&self.select.join(","), after, &order)
    }

    fn soql(&self, select: &str, after: Option<&Row>, order: &str) -> String {
        let mut filter = self.filter.clone();
        filter.extend(after.map(|row| match (self.time, &row.time) {
            // The first half alone can use the index.
            (Some(field), Some(time)) => {
                format!("{field} >= {time} AND ({field} > {time} OR Id > '{}')", row.id)
            }
            _ => format!("Id > '{}'", row.id),
        }));
        let filter = match filter.is_empty() {
            true => String::new(),
            false => format!(" WHERE {}", filter.join(" AND ")),
        };
        format!("SELECT {select} FROM {}{filter}{order}", self.object)
    }

    pub(super) fn row(&self, record: &Record) -> Result<Row> {
        let id = record.text("Id")?.filter(|id| id.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        let id = id.ok_or_else(|| Error::unexpected("a row has no Id"))?;
        let time = match self.time {
            Some(field) => {
                let text = record.text(field)?.unwrap_or_default();
                let time = parse_time(&text).ok_or_else(|| {
                    Error::unexpected(format!("{field} of row {id} is not a time: {text:?}"))
                })?;
                Some(TimeFormat::Rfc3339Millis.write(time))
            }
            None => None,
        };
        Ok(Row { time, id })
    }
}
