//! A stand-in for Salesforce: OAuth, descriptions, `queryAll` with its cursors, and query jobs of Bulk API 2.0.

mod organisation;
mod soql;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard},
};

use axum::{
    Router,
    body::Bytes,
    extract::{Path, RawQuery, Request, State},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use headwater_core::event::Delivery;
use http::{HeaderName, HeaderValue, StatusCode};
use jiff::Timestamp;
use rand::Rng;
use serde_json::{Value, json};

use self::{
    organisation::{Organisation, Row, id},
    soql::Wrong,
};
use super::{Vendor, World};

const CLIENT_ID: &str = "3MVG9.sandbox";
const CLIENT_SECRET: &str = "sandbox-consumer-secret";
const REFRESH_TOKEN: &str = "5Aep861.sandbox";
const ACCESS_TOKEN: &str = "00DSandbox!access";
const ORGANISATION: &str = "00DHs000000AbCdMAK";

/// Rows on a page of the REST API.
const PAGE: usize = 2_000;

/// Calls in 24 hours that the organisation allows, all of which fall into one such span here.
const CALLS: usize = 5_000_000;

/// The pretended vendor.
pub struct Salesforce {
    world: World,
    organisation: Mutex<Organisation>,
}

impl Salesforce {
    /// An organisation of about `world.size` accounts, and twice as many contacts.
    pub fn new(world: World) -> Self {
        Self { world, organisation: Mutex::new(Organisation::new(&world)) }
    }

    fn organisation(&self) -> MutexGuard<'_, Organisation> {
        self.organisation.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Vendor for Salesforce {
    fn name(&self) -> &'static str {
        "salesforce"
    }

    fn settings(&self) -> Value {
        json!({
            "auth": {
                "type": "oauth",
                "client_id": CLIENT_ID,
                "client_secret": CLIENT_SECRET,
                "refresh_token": REFRESH_TOKEN,
            },
            "custom_objects": ["Invoice__c"],
            // Contacts are read by a job, the rest page by page.
            "bulk_from": self.world.size * 3 / 2,
        })
    }

    fn api(self: Arc<Self>) -> Option<Router> {
        let data = Router::new()
            .route("/sobjects", get(sobjects))
            .route("/composite/batch", post(batch))
            .route("/queryAll", get(query_all))
            .route("/query/{locator}", get(query_more))
            .route("/jobs/query", post(make_job))
            .route("/jobs/query/{id}", get(look_at_job))
            .route("/jobs/query/{id}/results", get(results));
        let signed = Router::new()
            .nest("/services/data/v68.0", data)
            .route("/services/oauth2/userinfo", get(userinfo));
        let signed = signed.layer(middleware::from_fn_with_state(self.clone(), signed_in));
        let nothing = || async { nothing() };
        Some(signed.route("/services/oauth2/token", post(token)).fallback(nothing).with_state(self))
    }

    fn throttled(&self) -> Response {
        let message = "ConcurrentRequests (Concurrent API Requests) Limit exceeded.";
        let mut response = refusal(StatusCode::FORBIDDEN, "REQUEST_LIMIT_EXCEEDED", message);
        // Salesforce does not tell how long. Said here, so that nobody waits the half minute that it may take.
        response.headers_mut().insert(http::header::RETRY_AFTER, HeaderValue::from_static("1"));
        response
    }

    fn happen(&self, now: Timestamp) -> Vec<Delivery> {
        let mut organisation = self.organisation();
        let happened = organisation.happened;
        organisation.happened += 1;
        let (what, name) = [
            (Happening::Make, "opportunities"),
            (Happening::Change, "accounts"),
            (Happening::Delete, "contacts"),
        ][happened % 3];
        let table = organisation.tables.iter_mut().find(|table| table.collection == name);
        let Some(rows) = table.map(|table| &mut table.rows) else { return Vec::new() };
        if let Happening::Make = what {
            rows.push(Row { created: now, modified: now, deleted: false });
            return Vec::new();
        }
        let living: Vec<usize> = (0..rows.len()).filter(|place| !rows[*place].deleted).collect();
        if !living.is_empty() {
            let place = self.world.rng(&format!("happen {happened}")).random_range(0..living.len());
            let row = &mut rows[living[place]];
            row.modified = now;
            row.deleted = matches!(what, Happening::Delete);
        }
        // It sends no webhooks.
        Vec::new()
    }

    fn census(&self) -> Vec<(&'static str, usize)> {
        let organisation = self.organisation();
        let tables = organisation.tables.iter();
        tables.map(|table| (table.collection, table.rows.iter().filter(|row| !row.deleted).count())).collect()
    }
}

/// What happens to a row.
#[derive(Clone, Copy)]
enum Happening {
    Make,
    Change,
    Delete,
}

type Vendors = State<Arc<Salesforce>>;

fn json_of(status: StatusCode, body: &Value) -> Response {
    let kind = (http::header::CONTENT_TYPE, HeaderValue::from_static("application/json;charset=UTF-8"));
    (status, [kind], body.to_string()).into_response()
}

fn found(body: &Value) -> Response {
    json_of(StatusCode::OK, body)
}

fn refusal(status: StatusCode, code: &str, message: &str) -> Response {
    json_of(status, &json!([{ "message": message, "errorCode": code }]))
}

fn nothing() -> Response {
    refusal(StatusCode::NOT_FOUND, "NOT_FOUND", "The requested resource does not exist")
}

impl IntoResponse for Wrong {
    fn into_response(self) -> Response {
        refusal(StatusCode::BAD_REQUEST, self.code, &self.message)
    }
}

/// A form, or a query string.
fn form(text: &[u8]) -> HashMap<String, String> {
    form_urlencoded::parse(text).into_owned().collect()
}

/// Lets nobody in without the token, and counts the calls.
async fn signed_in(State(vendor): Vendors, request: Request, next: Next) -> Response {
    let token = request.headers().get(http::header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    if token != Some(&format!("Bearer {ACCESS_TOKEN}")) {
        return refusal(StatusCode::UNAUTHORIZED, "INVALID_SESSION_ID", "Session expired or invalid");
    }
    let calls = {
        let mut organisation = vendor.organisation();
        organisation.calls += 1;
        organisation.calls
    };
    let mut response = next.run(request).await;
    if let Ok(usage) = HeaderValue::from_str(&format!("api-usage={calls}/{CALLS}")) {
        response.headers_mut().insert(HeaderName::from_static("sforce-limit-info"), usage);
    }
    response
}

async fn token(body: Bytes) -> Response {
    let form = form(&body);
    let is = |name: &str, value: &str| form.get(name).is_some_and(|told| told == value);
    let refused = |error: &str, why: &str| {
        json_of(StatusCode::BAD_REQUEST, &json!({ "error": error, "error_description": why }))
    };
    if !is("client_id", CLIENT_ID) || !is("client_secret", CLIENT_SECRET) {
        return refused("invalid_client", "invalid client credentials");
    }
    if !is("grant_type", "refresh_token") || !is("refresh_token", REFRESH_TOKEN) {
        return refused("invalid_grant", "expired access/refresh token");
    }
    found(&json!({
        "access_token": ACCESS_TOKEN,
        "instance_url": "https://acme.my.salesforce.com",
        "id": format!("https://login.salesforce.com/id/{ORGANISATION}/{}", id("005", 1)),
        "token_type": "Bearer",
        "issued_at": "1793491200000",
        "scope": "refresh_token api",
    }))
}

async fn userinfo() -> Response {
    found(&json!({ "user_id": id("005", 1), "organization_id": ORGANISATION, "name": "Integration User" }))
}

async fn sobjects(State(vendor): Vendors) -> Response {
    let organisation = vendor.organisation();
    let listed = organisation.described.iter();
    let listed: Vec<Value> = listed
        .map(|(name, object)| json!({ "name": name, "custom": object["custom"], "queryable": true }))
        .collect();
    found(&json!({ "encoding": "UTF-8", "maxBatchSize": 200, "sobjects": listed }))
}

async fn batch(State(vendor): Vendors, body: Bytes) -> Response {
    let asked: Value = serde_json::from_slice(&body).unwrap_or_default();
    let requests = asked["batchRequests"].as_array().map(Vec::as_slice).unwrap_or_default();
    if requests.is_empty() || requests.len() > 25 {
        return refusal(StatusCode::BAD_REQUEST, "INVALID_BATCH_REQUEST", "a batch has 1 to 25 requests");
    }
    let mut organisation = vendor.organisation();
    // Each request of a batch is a call.
    organisation.calls += requests.len();
    let describe = |request: &Value| {
        let url = request["url"].as_str().unwrap_or_default().trim_start_matches('/');
        let name = url.strip_prefix("v68.0/sobjects/").and_then(|rest| rest.strip_suffix("/describe"));
        match name.and_then(|name| organisation.described.get(name)) {
            Some(object) => json!({ "statusCode": 200, "result": object }),
            None => json!({ "statusCode": 404, "result": [{ "errorCode": "NOT_FOUND", "message": url }] }),
        }
    };
    let results: Vec<Value> = requests.iter().map(describe).collect();
    let has_errors = results.iter().any(|result| result["statusCode"] != 200);
    found(&json!({ "hasErrors": has_errors, "results": results }))
}

async fn query_all(State(vendor): Vendors, RawQuery(query): RawQuery) -> Response {
    let query = form(query.unwrap_or_default().as_bytes());
    let mut organisation = vendor.organisation();
    let (soql, rows) = match organisation.find(query.get("q").map(String::as_str).unwrap_or_default()) {
        Ok(rows) => rows,
        Err(wrong) => return wrong.into_response(),
    };
    if soql.is_count {
        return found(&json!({ "totalSize": rows.rows.len(), "done": true, "records": [] }));
    }
    let cursor = if rows.rows.len() > PAGE { organisation.open(rows.clone()) } else { String::new() };
    found(&organisation.page(&rows, &cursor, 0, PAGE))
}

async fn query_more(State(vendor): Vendors, Path(locator): Path<String>) -> Response {
    let organisation = vendor.organisation();
    let place = locator
        .split_once('-')
        .and_then(|(cursor, offset)| Some((cursor, organisation.opened(cursor)?, offset.parse().ok()?)));
    match place {
        Some((cursor, rows, offset)) => found(&organisation.page(rows, cursor, offset, PAGE)),
        None => refusal(StatusCode::BAD_REQUEST, "INVALID_QUERY_LOCATOR", "invalid query locator"),
    }
}

async fn make_job(State(vendor): Vendors, body: Bytes) -> Response {
    let asked: Value = serde_json::from_slice(&body).unwrap_or_default();
    let mut organisation = vendor.organisation();
    match organisation.find(asked["query"].as_str().unwrap_or_default()) {
        Ok((soql, _)) if soql.is_count || asked["operation"] != "queryAll" => {
            refusal(StatusCode::BAD_REQUEST, "API_ERROR", "this stand-in takes queryAll of rows")
        }
        Ok((soql, rows)) => {
            let id = organisation.make(rows);
            let state = "UploadComplete";
            found(&json!({ "id": id, "operation": "queryAll", "object": soql.object, "state": state }))
        }
        Err(wrong) => wrong.into_response(),
    }
}

async fn look_at_job(State(vendor): Vendors, Path(id): Path<String>) -> Response {
    let mut organisation = vendor.organisation();
    let Some(job) = organisation.job(&id) else { return nothing() };
    job.looks += 1;
    let state = if job.looks > 1 { "JobComplete" } else { "InProgress" };
    found(&json!({ "id": id, "operation": "queryAll", "state": state }))
}

async fn results(State(vendor): Vendors, Path(id): Path<String>, RawQuery(query): RawQuery) -> Response {
    let query = form(query.unwrap_or_default().as_bytes());
    let mut organisation = vendor.organisation();
    let Some(rows) = organisation.job(&id).map(|job| job.found.clone()) else { return nothing() };
    let offset = match query.get("locator").map(|locator| locator.trim_start_matches('M').parse()) {
        None => 0,
        Some(Ok(offset)) => offset,
        Some(Err(_)) => return refusal(StatusCode::BAD_REQUEST, "INVALID_LOCATOR", "invalid locator"),
    };
    let size = query.get("maxRecords").and_then(|size| size.parse().ok()).unwrap_or(50_000);
    let places: Vec<usize> = rows.rows.iter().skip(offset).take(size).copied().collect();
    let mut csv = line(rows.fields.clone());
    for place in &places {
        let row = organisation.row(&rows, *place);
        csv += &line(rows.fields.iter().map(|field| cell(row.get(field))).collect());
    }
    let behind = offset + places.len();
    let locator = if behind < rows.rows.len() { format!("M{behind}") } else { "null".to_owned() };
    let headers = [
        ("content-type", "text/csv;charset=UTF-8".to_owned()),
        ("sforce-locator", locator),
        ("sforce-numberofrecords", places.len().to_string()),
    ];
    (headers, csv).into_response()
}

fn cell(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.replace("+0000", "Z"),
        Some(other) => other.to_string(),
    }
}

fn line(cells: Vec<String>) -> String {
    let quoted: Vec<String> = cells.iter().map(|cell| format!("\"{}\"", cell.replace('"', "\"\""))).collect();
    quoted.join(",") + "\n"
}
