//! Large reads: a query job of Bulk API 2.0, which Salesforce splits and works off on its own, and whose results are
//! pages of CSV.
//!
//! A place in the results stays the same for as long as the job exists: seven days. If a read rests for longer, a new
//! job reads the whole of it again, for a job's results have no order that would tell what is left.

use std::collections::HashMap;

use headwater_core::{
    format,
    object::{Origin, Type},
    prelude::*,
};
use serde_json::value::RawValue;

use super::{
    Salesforce, api,
    query::{Mark, Query},
};

/// How large a page of results should become, in bytes, if a value takes 24 of them.
const PAGE: usize = 8 << 20;

impl Salesforce {
    /// Makes the job; its rows are in later pages.
    pub(super) async fn make(&self, query: &Query<'_>) -> Result<Page> {
        let body = json!({
            "operation": "queryAll",
            "query": query.unordered(),
            "contentType": "CSV",
            "columnDelimiter": "COMMA",
            "lineEnding": "LF",
        });
        let request = Request::post(api!("/jobs/query"), body.to_string()).limited("jobs");
        let answer = query.pull().client.send(request).await?;
        waiting(Record::parse(&answer.body)?.get("id")?, 0)
    }

    /// A page of the job's results, or none yet.
    pub(super) async fn job(
        &self,
        query: &Query<'_>,
        id: &str,
        polls: u32,
        locator: Option<&str>,
    ) -> Result<Page> {
        let page = match locator {
            Some(_) => self.results(query, id, locator).await,
            None => self.poll(query, id, polls).await,
        };
        match page {
            Err(error) if error.status() == Some(404) => self.make(query).await,
            page => page,
        }
    }

    async fn poll(&self, query: &Query<'_>, id: &str, polls: u32) -> Result<Page> {
        let request = Request::get(format!(api!("/jobs/query/{}"), id));
        let answer = query.pull().client.send(request).await?;
        let job = Record::parse(&answer.body)?;
        match job.get::<String>("state")?.as_str() {
            "JobComplete" => self.results(query, id, None).await,
            "UploadComplete" | "InProgress" => waiting(id.to_owned(), polls.saturating_add(1)),
            state => {
                let why = job.text("errorMessage")?.unwrap_or_else(|| format!("its state is {state}"));
                if query.is_long() {
                    return Err(Error::new(
                        Kind::Expired,
                        format!("the Bulk job failed ({why}), and the query is too long to ask it otherwise"),
                    ));
                }
                let notice = format!("the Bulk job failed ({why}): its rows are read by the REST API");
                let cursor = serde_json::to_value(Mark::Rows { next: None, after: None })?;
                Ok(Page { cursor, more: true, notices: vec![notice], ..Page::default() })
            }
        }
    }

    async fn results(&self, query: &Query<'_>, id: &str, locator: Option<&str>) -> Result<Page> {
        let Pull { client, collection, .. } = query.pull();
        let size = (PAGE / (query.width() * 24)).clamp(1_000, 50_000);
        let mut request = Request::get(format!(api!("/jobs/query/{}/results"), id));
        request = request.query("maxRecords", size.to_string()).header("accept", "text/csv");
        if let Some(locator) = locator {
            request = request.query("locator", locator);
        }
        let answer = client.send(request).await?;
        if answer.status.as_u16() == 204 {
            return Err(Error::transient("Salesforce has no answer to the request for a job's results yet"));
        }
        let next = answer.header("sforce-locator").filter(|next| !matches!(*next, "" | "null"));
        if next.is_some() && next == locator {
            return Err(Error::unexpected("the next page is this page: Salesforce's locator does not move"));
        }
        let mut page = Page { more: next.is_some(), ..Page::default() };
        if let Some(next) = next {
            let locator = Some(next.to_owned());
            page.cursor = serde_json::to_value(Mark::Job { id: id.to_owned(), polls: 0, locator })?;
        }
        let types = types(collection);
        for row in format::records(&Format::Csv, &answer.body, "")? {
            rest::changes(collection, typed(&row, &types)?, &mut page.changes)?;
        }
        Ok(page)
    }
}

/// A page without rows, to be followed by another look at the job: after 2 seconds, 4, 8, … a minute.
fn waiting(id: String, polls: u32) -> Result<Page> {
    let wait = Duration::from_secs((2 << polls.min(5)).min(60));
    let cursor = serde_json::to_value(Mark::Job { id, polls, locator: None })?;
    Ok(Page { cursor, more: true, wait: Some(wait), ..Page::default() })
}

/// The types of a collection's columns, by the fields' names.
pub(super) fn types(collection: &Collection) -> HashMap<&'static str, Type> {
    let fields = collection.fields().flatten().filter_map(|field| match field.origin {
        Origin::Record(name) => Some((name, field.kind)),
        Origin::Parent(_) | Origin::Index => None,
    });
    let flag = match collection.deletes {
        Deletes::Flag(name, _) => Some((name, Type::Bool)),
        _ => None,
    };
    fields.chain(flag).collect()
}

/// A row as the REST API would have it: CSV knows only text, and writes null as an empty one.
pub(super) fn typed(row: &Record, types: &HashMap<&'static str, Type>) -> Result<Record> {
    let null = Raw::new(&())?;
    let value = |name: &str, raw: Raw| -> Result<Raw> {
        let text = raw.text().unwrap_or_default();
        if text.is_empty() {
            return Ok(null.clone());
        }
        match types.get(name) {
            Some(Type::Bool | Type::Int | Type::Numeric | Type::Real) => match RawValue::from_string(text) {
                Ok(literal) => Raw::new(&literal),
                Err(_) => Ok(raw),
            },
            _ => Ok(raw),
        }
    };
    let fields = row.fields()?;
    let fields: Result<Fields> =
        fields.iter().map(|(name, raw)| Ok((name.to_owned(), value(name, raw.clone())?))).collect();
    Ok(fields?.record())
}
