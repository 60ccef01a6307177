//! `headwater normalize`: one delivery, as it would come to a source, as the Spec calls it becomes. No signature is asked for.

use std::io::Read;

use bytes::Bytes;
use clap::Args as ClapArgs;
use headwater_connectors as connectors;
use headwater_core::{
    error::{Error, Result},
    event::{self, Delivery, Output},
    object::Request,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{End, say};
use crate::{
    config::unknown_connector,
    inbox::{DeliveryKind, StoredDelivery},
    pipeline::{Fate, Filter, Limits, Source, Sources, normalise},
};

/// The largest delivery that is read, in bytes.
const LARGEST: u64 = 64 << 20;

/// Map one webhook delivery (standard input) to Spec calls, as JSON lines.
#[derive(ClapArgs)]
pub(super) struct Args {
    /// The connector.
    connector: String,
    /// A header of the delivery, `Name: value`; may be given several times.
    #[arg(long = "header", short = 'H', value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// The delivery's content type.
    #[arg(long)]
    content_type: Option<String>,
    /// The part of the address behind the webhook key: which surface it came to.
    #[arg(long, default_value = "")]
    path: String,
    /// The query string.
    #[arg(long, default_value = "")]
    query: String,
    /// The source's settings, as JSON: what a mapping needs of them.
    #[arg(long)]
    settings: Option<String>,
    /// A JSON file with the answers to its look-ups, in order: an array. What is left out is as though the vendor had refused.
    #[arg(long, value_name = "FILE")]
    lookups: Option<std::path::PathBuf>,
    /// When it was received; now, if left out.
    #[arg(long)]
    received_at: Option<Timestamp>,
}

pub(super) fn run(args: Args) -> Result<End> {
    let connector = connectors::find(&args.connector).ok_or_else(|| unknown_connector(&args.connector))?;
    let mut delivery = delivery(&args)?;
    let mut rejected = Vec::new();
    let mut made = 0;
    let mut out = String::new();
    let Some(events) = connector.events else {
        return spec(connector, delivery);
    };
    let settings = match &args.settings {
        None => example(&(connector.settings)().to_value()),
        Some(text) => {
            serde_json::from_str(text).map_err(|error| Error::config(format!("--settings: {error}")))?
        }
    };
    let source = (events.open)(settings)?;
    let surface = events
        .webhook_of(&*source)
        .surfaces
        .iter()
        .find(|surface| surface.path == args.path)
        .ok_or_else(|| Error::config(format!("{} has no surface {:?}", connector.name, args.path)))?;
    let mut mapped = event::map_delivery(connector.name, &*source, surface, &delivery);
    if !mapped.asks.is_empty() {
        delivery.lookups = looked_up(&args, &mapped.asks)?;
        mapped = event::map_delivery(connector.name, &*source, surface, &delivery);
    }
    for (_, output) in mapped.outputs {
        made += 1;
        match output {
            Output::Call(call) => out.push_str(&call.to_json()),
            Output::Change(change) => out.push_str(&format!("{{\"change\":{}}}", change.to_json())),
        }
        out.push('\n');
    }
    rejected.extend(mapped.rejected);
    if !out.is_empty() {
        say(out.trim_end())?;
    }
    match rejected.first() {
        Some(first) if rejected.len() == 1 => Err(Error::unexpected(first.to_string())),
        Some(first) => Err(Error::unexpected(format!(
            "{} of {} items rejected; the first: {first}",
            rejected.len(),
            rejected.len() + made
        ))),
        None => Ok(End::Done),
    }
}

/// The answers to look-ups, as far as they are given.
fn looked_up(args: &Args, asks: &[(u32, Request)]) -> Result<Vec<(u32, Bytes)>> {
    let given: Vec<Box<serde_json::value::RawValue>> = match &args.lookups {
        None => Vec::new(),
        Some(file) => {
            let wrong = |why: String| Error::config(format!("--lookups {}: {why}", file.display()));
            let text = std::fs::read(file).map_err(|error| wrong(error.to_string()))?;
            serde_json::from_slice(&text).map_err(|error| wrong(error.to_string()))?
        }
    };
    let mut given = given.into_iter().map(|answer| Bytes::from(answer.get().to_owned()));
    Ok(asks.iter().map(|(item, _)| (*item, given.next().unwrap_or_default())).collect())
}

/// A connector whose vendor posts Spec calls itself: one call, or a batch.
fn spec(connector: &'static headwater_core::connector::Connector, delivery: Delivery) -> Result<End> {
    let stored = StoredDelivery {
        source: connector.name.to_owned(),
        connector: Some(connector.name.to_owned()),
        surface: "batch".to_owned(),
        kind: DeliveryKind::Tracking,
        verified: String::new(),
        delivery,
    };
    let record = headwater_core::record::Record::parse(&stored.delivery.body)?;
    let batch = record.at("batch")?.is_some();
    let stored = match batch {
        true => stored,
        false => {
            let body = format!("{{\"batch\":[{}]}}", String::from_utf8_lossy(record.bytes()));
            StoredDelivery { delivery: Delivery { body: body.into(), ..stored.delivery }, ..stored }
        }
    };
    let source = Source {
        name: connector.name.to_owned(),
        connector,
        events: None,
        calls_schema: connector.name.to_owned(),
        filter: Filter::default(),
    };
    let limits = Limits { call_bytes: usize::MAX, batch_calls: usize::MAX };
    let mut wrong = None;
    for (index, fate) in normalise(&stored, &source, &Sources::new(), limits, 0).items {
        match fate {
            Fate::Eligible(call) => say(&call.to_json())?,
            Fate::Rejected { reason, .. } if wrong.is_none() => {
                wrong = Some(format!("item {index}: {reason}"))
            }
            _ => {}
        }
    }
    match wrong {
        Some(wrong) => Err(Error::unexpected(wrong)),
        None => Ok(End::Done),
    }
}

fn delivery(args: &Args) -> Result<Delivery> {
    let mut headers = HeaderMap::new();
    for text in &args.headers {
        let wrong = || Error::config(format!("--header {text:?} has to be like \"X-Topic: orders/create\""));
        let (name, value) = text.split_once(':').ok_or_else(wrong)?;
        let name = HeaderName::try_from(name.trim()).map_err(|_| wrong())?;
        headers.append(name, HeaderValue::try_from(value.trim()).map_err(|_| wrong())?);
    }
    if let Some(kind) = &args.content_type {
        let kind =
            HeaderValue::try_from(kind).map_err(|_| Error::config("--content-type is no header value"))?;
        headers.insert(header::CONTENT_TYPE, kind);
    }
    let mut body = Vec::new();
    std::io::stdin()
        .lock()
        .take(LARGEST + 1)
        .read_to_end(&mut body)
        .map_err(|error| Error::transient(format!("standard input: {error}")))?;
    if body.len() as u64 > LARGEST {
        return Err(Error::unexpected(format!("the delivery is larger than {} MiB", LARGEST >> 20)));
    }
    Ok(Delivery {
        received_at: args.received_at.unwrap_or_else(Timestamp::now),
        method: Method::POST,
        path_tail: String::new(),
        query: args.query.clone(),
        headers,
        body: body.into(),
        url: String::new(),
        lookups: Vec::new(),
    })
}

/// Settings that open a source which nobody has set up: every required setting with a value of its type.
fn example(schema: &Value) -> Value {
    let required = schema["required"].as_array().cloned().unwrap_or_default();
    let members = required.iter().filter_map(Value::as_str).map(|name| {
        let value = match schema["properties"][name]["type"].as_str() {
            Some("integer" | "number") => json!(1),
            Some("boolean") => json!(false),
            Some("object") => json!({}),
            Some("array") => json!([]),
            _ => json!("example"),
        };
        (name.to_owned(), value)
    });
    Value::Object(members.collect())
}
