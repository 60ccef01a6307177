//! How Stripe gives rows out: newest first, a page at a time, with the first ten of every list inside.

use http::StatusCode;
use serde_json::{Value, json};

use super::Refusal;

/// Rows of a list that stand inside another object.
const INSIDE: usize = 10;

/// The members that are lists of their own.
const NESTED: [&str; 6] = ["external_accounts", "items", "lines", "refunds", "reversals", "sources"];

/// What was asked for.
pub struct Query {
    pairs: Vec<(String, String)>,
    /// What to show whole, as it would be named on one object.
    pub expand: Vec<String>,
}

impl Query {
    pub fn parse(query: &str) -> Self {
        let pairs: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let expand = pairs.iter().filter(|(name, _)| name == "expand[]");
        let expand = expand.map(|(_, value)| value.trim_start_matches("data.").to_owned()).collect();
        Self { pairs, expand }
    }

    pub fn value(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn limit(&self) -> usize {
        self.value("limit").and_then(|limit| limit.parse().ok()).unwrap_or(10).clamp(1, 100)
    }

    fn time(&self, name: &str) -> Option<i64> {
        self.value(name)?.parse().ok()
    }
}

/// When a row was made.
pub fn created(row: &Value) -> i64 {
    row["created"].as_i64().or(row["date"].as_i64()).unwrap_or_default()
}

/// A page of rows that lie oldest first.
pub fn list(
    rows: &[Value],
    url: &str,
    query: &Query,
    place: impl Fn(&str) -> Option<usize>,
) -> Result<Value, Refusal> {
    let at = |time: i64| rows.partition_point(|row| created(row) < time);
    let begin = query.time("created[gte]").map_or(0, at);
    let mut end = query.time("created[lt]").map_or(rows.len(), at);
    if let Some(after) = query.value("starting_after") {
        end = end.min(place(after).ok_or_else(|| missing("starting_after", after))?);
    }
    let all = query.value("status") == Some("all");
    let rows = rows.get(begin..end).unwrap_or_default().iter().rev();
    let mut rows = rows.filter(|row| {
        row["deleted"] != true && (all || row["object"] != "subscription" || row["status"] != "canceled")
    });
    let page: Vec<Value> = rows.by_ref().take(query.limit()).map(|row| shown(row, &query.expand)).collect();
    Ok(json!({ "object": "list", "data": page, "has_more": rows.next().is_some(), "url": url }))
}

/// A page of the list inside a row.
pub fn nested(row: &Value, member: &str, url: &str, query: &Query) -> Result<Value, Refusal> {
    let none = Vec::new();
    let rows = row[member]["data"].as_array().unwrap_or(&none);
    let kind = query.value("object");
    let rows: Vec<&Value> = rows.iter().filter(|row| kind.is_none_or(|kind| row["object"] == kind)).collect();
    let begin = match query.value("starting_after") {
        None => 0,
        Some(after) => {
            let place = rows.iter().position(|row| row["id"] == after);
            place.ok_or_else(|| missing("starting_after", after))? + 1
        }
    };
    let end = rows.len().min(begin + query.limit());
    Ok(json!({ "object": "list", "data": rows[begin..end], "has_more": end < rows.len(), "url": url }))
}

/// A row as an answer shows it: lists cut, discounts by their ids and cards left out unless they are asked for.
pub fn shown(row: &Value, expand: &[String]) -> Value {
    let mut row = row.clone();
    let expands = |name: &str| expand.iter().any(|known| known == name);
    let Value::Object(members) = &mut row else { return row };
    if members.contains_key("sources") && !expands("sources") {
        members.remove("sources");
    }
    if let Some(Value::Array(discounts)) = members.get_mut("discounts").filter(|_| !expands("discounts")) {
        discounts.iter_mut().for_each(|discount| *discount = discount["id"].take());
    }
    for name in NESTED {
        let Some(Value::Object(list)) = members.get_mut(name) else { continue };
        if let Some(Value::Array(data)) =
            list.get_mut("data").filter(|data| data.as_array().is_some_and(|d| d.len() > INSIDE))
        {
            data.truncate(INSIDE);
            list.insert("has_more".to_owned(), json!(true));
        }
    }
    row
}

/// There is no such object.
pub fn missing(param: &str, id: &str) -> Refusal {
    let error = json!({
        "code": "resource_missing", "doc_url": "https://stripe.com/docs/error-codes/resource-missing",
        "message": format!("No such object: '{id}'"), "param": param, "type": "invalid_request_error",
    });
    // A cursor is a parameter like any other.
    refusal(if param == "id" { StatusCode::NOT_FOUND } else { StatusCode::BAD_REQUEST }, error)
}

/// A refusal in Stripe's words.
pub fn refusal(status: StatusCode, error: Value) -> Refusal {
    (status, json!({ "error": error }))
}
