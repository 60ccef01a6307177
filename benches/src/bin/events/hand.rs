//! The floor of the pipeline: a loader written by hand for exactly this traffic. It reads the same deliveries from a file, parses them
//! into typed structs, and inserts into the same tables with the same keys and pragmas, in large transactions, on one thread. It keeps ids
//! apart as anybody would, by UNIQUE (id).
//! It validates nothing, keeps no books, survives no crash, and knows all columns beforehand.

use std::{
    borrow::Cow,
    fs::File,
    io::{BufReader, Read},
    path::Path,
};

use jiff::Timestamp;
use rusqlite::{CachedStatement, Connection, params};
use serde::Deserialize;

use crate::Result;

/// Calls in one transaction.
const BATCH: usize = 20_000;

#[derive(Deserialize)]
struct Delivery<'a> {
    #[serde(rename = "sentAt")]
    sent_at: Timestamp,
    #[serde(borrow)]
    batch: Vec<Call<'a>>,
}

type Text<'a> = Option<Cow<'a, str>>;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Call<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    message_id: Cow<'a, str>,
    #[serde(borrow)]
    anonymous_id: Text<'a>,
    #[serde(borrow)]
    user_id: Text<'a>,
    timestamp: Timestamp,
    #[serde(borrow)]
    event: Text<'a>,
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow)]
    category: Text<'a>,
    #[serde(borrow)]
    context: Context<'a>,
    #[serde(borrow)]
    properties: Option<Properties<'a>>,
    #[serde(borrow)]
    traits: Option<Traits<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Context<'a> {
    #[serde(borrow)]
    library: Library<'a>,
    #[serde(borrow)]
    page: Page<'a>,
    #[serde(borrow)]
    user_agent: Text<'a>,
    #[serde(borrow)]
    locale: Text<'a>,
    #[serde(borrow)]
    timezone: Text<'a>,
    #[serde(borrow)]
    campaign: Campaign<'a>,
}

#[derive(Deserialize)]
struct Library<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow)]
    version: Text<'a>,
}

#[derive(Deserialize)]
struct Page<'a> {
    #[serde(borrow)]
    path: Text<'a>,
    #[serde(borrow)]
    referrer: Text<'a>,
    #[serde(borrow)]
    search: Text<'a>,
    #[serde(borrow)]
    title: Text<'a>,
    #[serde(borrow)]
    url: Text<'a>,
}

#[derive(Deserialize)]
struct Campaign<'a> {
    #[serde(borrow)]
    source: Text<'a>,
    #[serde(borrow)]
    medium: Text<'a>,
    #[serde(borrow)]
    name: Text<'a>,
}

#[derive(Deserialize)]
struct Properties<'a> {
    #[serde(borrow)]
    product_id: Text<'a>,
    #[serde(borrow)]
    sku: Text<'a>,
    #[serde(borrow)]
    category: Text<'a>,
    #[serde(borrow)]
    name: Text<'a>,
    price: Option<f64>,
    quantity: Option<i64>,
    #[serde(borrow)]
    currency: Text<'a>,
    position: Option<i64>,
    in_stock: Option<bool>,
    #[serde(borrow)]
    path: Text<'a>,
    #[serde(borrow)]
    title: Text<'a>,
    #[serde(borrow)]
    url: Text<'a>,
}

#[derive(Deserialize)]
struct Traits<'a> {
    #[serde(borrow)]
    email: Text<'a>,
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow)]
    plan: Text<'a>,
    logins: Option<i64>,
}

const COMMON: &str = "id, anonymous_id, user_id, timestamp, original_timestamp, sent_at";
const CONTEXT: &str = "context_library_name, context_library_version, context_page_path, context_page_referrer, context_page_search, \
     context_page_title, context_page_url, context_user_agent, context_locale, context_timezone, context_campaign_source, \
     context_campaign_medium, context_campaign_name";
const SYSTEM: &str = "received_at, uuid_ts, _headwater_delivery, _headwater_load, _headwater_extra";
const PRODUCT: &str = "product_id, sku, category, name, price, quantity, currency, position, in_stock";

/// The loader, at work on one database.
pub struct Hand {
    db: Connection,
    seq: u64,
}

impl Hand {
    /// Opens the database, with the pragmas of Headwater's warehouse.
    pub fn open(file: &Path) -> Result<Self> {
        let db = Connection::open(file)?;
        db.pragma_update(None, "page_size", 16_384)?;
        db.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
        db.pragma_update(None, "synchronous", "FULL")?;
        db.pragma_update(None, "cache_size", -32_768)?;
        db.pragma_update(None, "wal_autocheckpoint", 2_048)?;
        db.set_prepared_statement_cache_capacity(128);
        Ok(Self { db, seq: 0 })
    }

    /// Loads a file of deliveries (time of receipt in microseconds, length, body); returns how many calls were new.
    pub fn load(&mut self, file: &Path) -> Result<u64> {
        let mut file = BufReader::with_capacity(1 << 20, File::open(file)?);
        let mut loaded = 0;
        let mut waiting = 0;
        let mut body = Vec::new();
        let mut head = [0; 12];
        self.db.execute_batch("BEGIN IMMEDIATE")?;
        while file.read_exact(&mut head).is_ok() {
            let received = i64::from_le_bytes(head[..8].try_into()?);
            body.resize(u32::from_le_bytes(head[8..].try_into()?) as usize, 0);
            file.read_exact(&mut body)?;
            let delivery: Delivery<'_> = serde_json::from_slice(&body)?;
            self.seq += 1;
            waiting += delivery.batch.len();
            loaded += self.delivery(&delivery, Timestamp::from_microsecond(received)?)?;
            if waiting >= BATCH {
                self.db.execute_batch("COMMIT; BEGIN IMMEDIATE")?;
                waiting = 0;
            }
        }
        self.db.execute_batch("COMMIT")?;
        Ok(loaded)
    }

    fn delivery(&mut self, delivery: &Delivery<'_>, received: Timestamp) -> Result<u64> {
        let mut new = 0;
        let received_at = format!("{received:.6}");
        let sent_at = format!("{:.6}", delivery.sent_at);
        for (index, call) in delivery.batch.iter().enumerate() {
            let time = format!("{:.6}", received - delivery.sent_at.duration_since(call.timestamp));
            let original = format!("{:.6}", call.timestamp);
            let row = Row {
                call,
                time,
                original,
                sent_at: &sent_at,
                received_at: &received_at,
                delivery: format!("{}:{index}", self.seq),
            };
            new += u64::from(row.insert(&self.db)?);
        }
        Ok(new)
    }
}

struct Row<'a> {
    call: &'a Call<'a>,
    time: String,
    original: String,
    sent_at: &'a str,
    received_at: &'a str,
    delivery: String,
}

impl Row<'_> {
    fn insert(&self, db: &Connection) -> Result<bool> {
        let call = self.call;
        let event = call.event.as_deref().unwrap_or_default();
        match &*call.kind {
            "track" => {
                let table = event.to_lowercase().replace(' ', "_");
                let mut tracks = insert(db, "tracks", true, "event, event_text", 2)?;
                let at = self.common(&mut tracks)?;
                tracks.raw_bind_parameter(at, &table)?;
                tracks.raw_bind_parameter(at + 1, event)?;
                if tracks.raw_execute()? == 0 {
                    return Ok(false);
                }
                let mut own =
                    insert(db, &table, false, &format!("event, event_text, {PRODUCT}, _headwater_row"), 12)?;
                let at = self.common(&mut own)?;
                own.raw_bind_parameter(at, &table)?;
                own.raw_bind_parameter(at + 1, event)?;
                own.raw_bind_parameter(at + 11, db.last_insert_rowid())?;
                if let Some(p) = &call.properties {
                    own.raw_bind_parameter(at + 2, &p.product_id)?;
                    own.raw_bind_parameter(at + 3, &p.sku)?;
                    own.raw_bind_parameter(at + 4, &p.category)?;
                    own.raw_bind_parameter(at + 5, &p.name)?;
                    own.raw_bind_parameter(at + 6, p.price)?;
                    own.raw_bind_parameter(at + 7, p.quantity)?;
                    own.raw_bind_parameter(at + 8, &p.currency)?;
                    own.raw_bind_parameter(at + 9, p.position)?;
                    own.raw_bind_parameter(at + 10, p.in_stock)?;
                }
                own.raw_execute()?;
            }
            "page" => {
                let mut pages = insert(db, "pages", true, "name, category, path, title, url", 5)?;
                let at = self.common(&mut pages)?;
                pages.raw_bind_parameter(at, &call.name)?;
                pages.raw_bind_parameter(at + 1, &call.category)?;
                if let Some(p) = &call.properties {
                    pages.raw_bind_parameter(at + 2, &p.path)?;
                    pages.raw_bind_parameter(at + 3, &p.title)?;
                    pages.raw_bind_parameter(at + 4, &p.url)?;
                }
                return Ok(pages.raw_execute()? > 0);
            }
            _ => {
                let mut identifies = insert(db, "identifies", true, "email, name, plan, logins", 4)?;
                let at = self.common(&mut identifies)?;
                let Some(t) = &call.traits else { return Ok(false) };
                for (place, text) in [&t.email, &t.name, &t.plan].into_iter().enumerate() {
                    identifies.raw_bind_parameter(at + place, text)?;
                }
                identifies.raw_bind_parameter(at + 3, t.logins)?;
                if identifies.raw_execute()? == 0 {
                    return Ok(false);
                }
                self.user(db, t)?;
            }
        }
        Ok(true)
    }

    /// Binds what all calls have; returns the next place.
    fn common(&self, to: &mut CachedStatement<'_>) -> Result<usize> {
        let (call, c) = (self.call, &self.call.context);
        to.raw_bind_parameter(1, &call.message_id)?;
        to.raw_bind_parameter(2, &call.anonymous_id)?;
        to.raw_bind_parameter(3, &call.user_id)?;
        for (place, text) in [&self.time, &self.original, self.sent_at].into_iter().enumerate() {
            to.raw_bind_parameter(4 + place, text)?;
        }
        for (place, text) in context(c).into_iter().enumerate() {
            to.raw_bind_parameter(7 + place, text)?;
        }
        to.raw_bind_parameter(20, self.received_at)?;
        to.raw_bind_parameter(21, self.received_at)?;
        to.raw_bind_parameter(22, &self.delivery)?;
        to.raw_bind_parameter(23, "calls:1-100000")?;
        to.raw_bind_parameter(24, None::<&str>)?;
        Ok(25)
    }

    fn user(&self, db: &Connection, traits: &Traits<'_>) -> Result<()> {
        let columns = format!(
            "id, {CONTEXT}, email, name, plan, logins, received_at, uuid_ts, _headwater_version, _headwater_load"
        );
        let sets: Vec<String> =
            columns.split(", ").skip(1).map(|column| format!("{column} = excluded.{column}")).collect();
        let marks = vec!["?"; columns.split(", ").count()].join(", ");
        let mut upsert = db.prepare_cached(&format!(
            "INSERT INTO users ({columns}) VALUES ({marks}) ON CONFLICT (id) DO UPDATE SET {} \
             WHERE excluded._headwater_version >= _headwater_version",
            sets.join(", ")
        ))?;
        upsert.raw_bind_parameter(1, &self.call.user_id)?;
        for (place, text) in context(&self.call.context).into_iter().enumerate() {
            upsert.raw_bind_parameter(2 + place, text)?;
        }
        for (place, text) in [&traits.email, &traits.name, &traits.plan].into_iter().enumerate() {
            upsert.raw_bind_parameter(15 + place, text)?;
        }
        upsert.raw_bind_parameter(18, traits.logins)?;
        upsert.raw_bind_parameter(19, self.received_at)?;
        upsert.raw_bind_parameter(20, self.received_at)?;
        upsert.raw_bind_parameter(21, self.received_at)?;
        upsert.raw_bind_parameter(22, "calls:1-100000")?;
        upsert.raw_execute()?;
        Ok(())
    }
}

fn context<'a>(c: &'a Context<'a>) -> [&'a Text<'a>; 13] {
    let (p, l, m) = (&c.page, &c.library, &c.campaign);
    [
        &l.name,
        &l.version,
        &p.path,
        &p.referrer,
        &p.search,
        &p.title,
        &p.url,
        &c.user_agent,
        &c.locale,
        &c.timezone,
        &m.source,
        &m.medium,
        &m.name,
    ]
}

/// The insert into a table; the table is made when it is first needed. A call that is there already is left alone.
fn insert<'d>(
    db: &'d Connection,
    table: &str,
    unique: bool,
    own: &str,
    count: usize,
) -> Result<CachedStatement<'d>> {
    let marks = vec!["?"; 24 + count].join(", ");
    let sql = format!(
        "INSERT INTO {table} ({COMMON}, {CONTEXT}, {SYSTEM}, {own}) VALUES ({marks}){}",
        if unique { " ON CONFLICT (id) DO NOTHING" } else { "" }
    );
    if let Ok(statement) = db.prepare_cached(&sql) {
        return Ok(statement);
    }
    // Ids are kept apart once; an event's row has the number of its call.
    let key = match unique {
        true => ", _headwater_row INTEGER PRIMARY KEY, UNIQUE (id)",
        false => ", _headwater_row INTEGER PRIMARY KEY",
    };
    let plain = own.trim_end_matches(", _headwater_row");
    db.execute_batch(&format!("CREATE TABLE {table} ({COMMON}, {CONTEXT}, {SYSTEM}, {plain}{key})"))?;
    if table == "identifies" {
        db.execute_batch(&format!(
            "CREATE TABLE users (id, {CONTEXT}, {own}, received_at, uuid_ts, _headwater_version, _headwater_delivery, \
             _headwater_load, _headwater_extra, PRIMARY KEY (id))"
        ))?;
    }
    Ok(db.prepare_cached(&sql)?)
}

/// What is in the tables: the rows of each, to compare.
pub fn rows(file: &Path) -> Result<Vec<(String, i64)>> {
    let db = Connection::open(file)?;
    let mut tables = db.prepare(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE '\\_headwater%' ESCAPE '\\' ORDER BY 1",
    )?;
    let names: Vec<String> =
        tables.query_map(params![], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    let count = |name: String| -> Result<(String, i64)> {
        let n = db.query_row(&format!("SELECT count(*) FROM \"{name}\""), [], |row| row.get(0))?;
        Ok((name, n))
    };
    names.into_iter().map(count).collect()
}
