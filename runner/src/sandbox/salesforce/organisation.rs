//! What the organisation holds. A row is a place in its table and two times; its fields come from a recorded one.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{
    super::{World, names, template},
    soql::{Soql, Wrong},
};

/// So many cursors a user may have open; one more releases the oldest.
const CURSORS: usize = 10;

/// Results of so many jobs are kept.
const JOBS: usize = 100;

/// All of it.
pub(super) struct Organisation {
    pub tables: Vec<Table>,
    /// What `describe` says, by object.
    pub described: BTreeMap<String, Value>,
    /// Calls of the API so far.
    pub calls: usize,
    /// How much has happened.
    pub happened: usize,
    /// Open cursors, the oldest first.
    cursors: VecDeque<(String, Found)>,
    jobs: VecDeque<Job>,
}

/// The rows of one object.
pub(super) struct Table {
    pub collection: &'static str,
    pub object: String,
    pub rows: Vec<Row>,
    /// The first three letters of its ids.
    prefix: String,
    template: Map<String, Value>,
}

#[derive(Clone, Copy)]
pub(super) struct Row {
    pub created: Timestamp,
    pub modified: Timestamp,
    pub deleted: bool,
}

/// What a query has found.
#[derive(Clone)]
pub(super) struct Found {
    pub fields: Vec<String>,
    pub rows: Arc<Vec<usize>>,
    table: usize,
}

/// A query job.
pub(super) struct Job {
    pub id: String,
    pub found: Found,
    /// It is done at the second look.
    pub looks: u32,
}

macro_rules! recordings {
    ($($name:literal)*) => {
        [$(($name, include_str!(concat!("../../../../fixtures/salesforce/", $name, ".http")))),*]
    };
}

impl Organisation {
    pub fn new(world: &World) -> Self {
        let recordings = recordings!(
            "_group" "account_contact_roles" "account_tags" "accounts" "campaign_members" "campaign_shares"
            "campaign_tags" "campaigns" "case_comments" "case_contact_role" "case_solution" "case_tags" "cases"
            "contact_tags" "contacts" "contract_tags" "contracts" "dashboard_tags" "dashboards" "document_tags"
            "documents" "event_tags" "events" "invoice_c" "lead_tags" "leads" "note_tags" "notes" "opportunities"
            "opportunity_competitor" "opportunity_contact_role" "opportunity_field_history"
            "opportunity_line_item_schedules" "opportunity_product" "opportunity_stage" "opportunity_tag" "period"
            "price_book_entries" "price_books" "products" "profile" "role" "solution_tags" "solutions" "task_tags"
            "tasks" "user_login" "users"
        );
        let table = |(name, recording)| Table::new(world, name, template(recording, "records"));
        Self {
            tables: recordings.map(table).into(),
            described: described(include_str!("../../../../fixtures/salesforce/_catalog.http")),
            calls: 0,
            happened: 0,
            cursors: VecDeque::new(),
            jobs: VecDeque::new(),
        }
    }

    /// What a query finds.
    pub fn find(&self, text: &str) -> Result<(Soql, Found), Wrong> {
        let soql = Soql::parse(text)?;
        let table = self.tables.iter().position(|table| table.object == soql.object);
        let (Some(table), Some(described)) = (table, self.described.get(&soql.object)) else {
            let message = format!("sObject type '{}' is not supported.", soql.object);
            return Err(Wrong { code: "INVALID_TYPE", message });
        };
        let known = described["fields"].as_array().map(Vec::as_slice).unwrap_or_default();
        if let Some(field) =
            soql.fields.iter().find(|field| known.iter().all(|known| known["name"] != ***field))
        {
            let message = format!("No such column '{field}' on entity '{}'.", soql.object);
            return Err(Wrong { code: "INVALID_FIELD", message });
        }
        let rows = Arc::new(soql.rows(&self.tables[table]));
        let fields = soql.fields.clone();
        Ok((soql, Found { table, fields, rows }))
    }

    /// A page of the REST API, from `offset` on.
    pub fn page(&self, found: &Found, cursor: &str, offset: usize, size: usize) -> Value {
        let table = &self.tables[found.table];
        let record = |place: &usize| {
            let mut row = self.row(found, *place);
            let url = format!("/services/data/v68.0/sobjects/{}/{}", table.object, table.id(*place));
            row.insert("attributes".to_owned(), json!({ "type": table.object, "url": url }));
            Value::Object(row)
        };
        let records: Vec<Value> = found.rows.iter().skip(offset).take(size).map(record).collect();
        let behind = offset + records.len();
        let done = behind >= found.rows.len();
        let mut page = json!({ "totalSize": found.rows.len(), "done": done, "records": records });
        if !done {
            page["nextRecordsUrl"] = format!("/services/data/v68.0/query/{cursor}-{behind}").into();
        }
        page
    }

    /// A row's fields.
    pub fn row(&self, found: &Found, place: usize) -> Map<String, Value> {
        let table = &self.tables[found.table];
        let row = table.rows[place];
        let person = names::person(place);
        let (given, family) = person.split_once(' ').unwrap_or((&person, ""));
        let value = |field: &str| match (field, table.template.get(field)) {
            ("Id", _) => table.id(place).into(),
            ("IsDeleted", _) => row.deleted.into(),
            ("CreatedDate", _) => stamp(row.created).into(),
            ("SystemModstamp" | "LastModifiedDate", _) => stamp(row.modified).into(),
            ("Email", Some(_)) => names::email(place).into(),
            ("FirstName", Some(_)) => given.into(),
            ("LastName", Some(_)) => family.into(),
            ("Company", Some(_)) => names::firm(place).into(),
            ("Name", Some(_)) if table.collection == "accounts" => names::firm(place).into(),
            ("Name", Some(_)) if matches!(table.collection, "contacts" | "leads" | "users") => {
                person.as_str().into()
            }
            // An id of another object: one of its rows.
            (_, Some(Value::String(text))) if text.len() == 18 => {
                match self
                    .tables
                    .iter()
                    .find(|other| text.starts_with(&other.prefix) && !other.rows.is_empty())
                {
                    Some(other) => other.id(place % other.rows.len()).into(),
                    None => text.as_str().into(),
                }
            }
            (_, known) => known.cloned().unwrap_or_default(),
        };
        found.fields.iter().map(|field| (field.clone(), value(field))).collect()
    }

    /// Keeps a cursor open.
    pub fn open(&mut self, found: Found) -> String {
        let cursor = id("0r8", self.calls);
        self.cursors.push_back((cursor.clone(), found));
        if self.cursors.len() > CURSORS {
            self.cursors.pop_front();
        }
        cursor
    }

    /// What an open cursor has found.
    pub fn opened(&self, cursor: &str) -> Option<&Found> {
        self.cursors.iter().find(|(known, _)| known == cursor).map(|(_, found)| found)
    }

    /// Makes a job; its id.
    pub fn make(&mut self, found: Found) -> String {
        let id = id("750", self.calls);
        self.jobs.push_back(Job { id: id.clone(), found, looks: 0 });
        if self.jobs.len() > JOBS {
            self.jobs.pop_front();
        }
        id
    }

    /// A job that is still kept.
    pub fn job(&mut self, id: &str) -> Option<&mut Job> {
        self.jobs.iter_mut().find(|job| job.id == id)
    }
}

impl Table {
    fn new(world: &World, collection: &'static str, template: Value) -> Self {
        let Value::Object(mut template) = template else { unreachable!("{collection}.http has no record") };
        let attributes = template.remove("attributes").unwrap_or_default();
        let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
        let count = match collection {
            "contacts" => world.size * 2,
            "accounts" | "leads" | "opportunities" => world.size,
            "profile" | "period" | "opportunity_stage" | "role" => 4,
            _ => (world.size / 10).clamp(3, 500),
        };
        let row = |place| {
            let created = world.when(place, count, 365);
            Row { created, modified: created, deleted: false }
        };
        Self {
            collection,
            object: text(attributes.get("type")),
            rows: (0..count).map(row).collect(),
            prefix: text(template.get("Id")).chars().take(3).collect(),
            template,
        }
    }

    pub fn id(&self, place: usize) -> String {
        id(&self.prefix, place + 1)
    }
}

/// What the recorded descriptions say, by object.
fn described(recording: &str) -> BTreeMap<String, Value> {
    let bodies = recording.split("\nHTTP/1.1 ").filter_map(|part| {
        let (_, body) = part.split_once("\n\n")?;
        serde_json::from_str::<Value>(body.split("\n### ").next()?.trim()).ok()
    });
    let results = bodies.flat_map(|body| body["results"].as_array().cloned().unwrap_or_default());
    results
        .filter_map(|result| {
            let object = result.get("result")?.clone();
            Some((object.get("name")?.as_str()?.to_owned(), object))
        })
        .collect()
}

/// An id: the object's prefix, a number, and three letters for programs that mix up capitals.
pub(super) fn id(prefix: &str, number: usize) -> String {
    let short = format!("{prefix}Hs{number:010}");
    let check = short.as_bytes().chunks(5).map(|chunk| {
        let capitals = chunk.iter().enumerate().filter(|(_, letter)| letter.is_ascii_uppercase());
        let place = capitals.map(|(place, _)| 1 << place).sum::<usize>();
        char::from(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"[place % 32])
    });
    let check: String = check.collect();
    short + &check
}

fn stamp(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S.000+0000").to_string()
}
