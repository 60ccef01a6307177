//! `headwater trace`: where a row comes from, and what became of a message.

use clap::Args as ClapArgs;
use headwater_core::error::{Error, Result};
use serde_json::Value;

use super::{End, Globals, say, source::done};
use crate::service::control::{Ask, Say};

/// A line of progress for so many deliveries.
const STEP: u64 = 100_000;

/// Show where a row comes from, or what became of a message.
///
/// `headwater trace SCHEMA.TABLE KEY…` shows a row, the load that brought it, and the run or the delivery behind that. `headwater trace
/// MESSAGE_ID` shows the deliveries that carried a message, what became of it in each, and where it arrived. A message that is not
/// remembered any more (7 days) is looked for in the newest GiB of the inbox.
#[derive(ClapArgs)]
pub(super) struct Args {
    /// A table, as schema.table, or a message id.
    what: String,
    /// The values of the table's key, in its order.
    key: Vec<String>,
    /// Look through the whole inbox for every delivery that carried the message.
    #[arg(long)]
    all: bool,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(globals: &Globals, args: Args) -> Result<End> {
    let ask = match (args.key.is_empty(), args.what.split_once('.')) {
        (true, _) => Ask::TraceMessage { id: args.what.clone(), all: args.all },
        (false, Some((schema, table))) => {
            Ask::TraceRow { schema: schema.to_owned(), table: table.to_owned(), key: args.key }
        }
        (false, None) => {
            let wrong = format!("{:?} is no table: write schema.table, then the row's key", args.what);
            return Err(Error::config(wrong));
        }
    };
    let is_row = matches!(ask, Ask::TraceRow { .. });
    let mut next = None;
    let found = done(globals, ask, &mut |said| {
        let Say::Searching { delivery, last } = said else { return };
        // A short search is over before anybody wonders.
        if delivery >= *next.get_or_insert(delivery + STEP) {
            next = Some(delivery + STEP);
            eprintln!("searching the inbox: at delivery {delivery} of {last}");
        }
    })
    .await?;
    if !is_row && ["deliveries", "consumers"].iter().all(|name| list(&found, name).is_empty()) {
        return Err(unknown(&args.what, &found["searched"]));
    }
    if args.json {
        say(&found.to_string())?;
    } else {
        match is_row {
            true => show_row(&found)?,
            false => show_message(&found)?,
        }
    }
    Ok(End::Done)
}

fn unknown(id: &str, searched: &Value) -> Error {
    Error::config(format!(
        "no delivery and no row has the message id {id:?}: deliveries {} to {} were searched, and the inbox keeps them from {} on",
        searched["from"], searched["to"], searched["kept_from"]
    ))
}

fn list<'v>(value: &'v Value, name: &str) -> &'v [Value] {
    value[name].as_array().map_or(&[], Vec::as_slice)
}

fn show_row(found: &Value) -> Result<()> {
    say(found["table"].as_str().unwrap_or_default())?;
    members(&found["row"], "  ")?;
    for (name, what) in [("load", "loaded by"), ("run", "in the run"), ("delivery", "from the delivery")] {
        if found[name].is_object() {
            say(what)?;
            members(&found[name], "  ")?;
        }
    }
    found["note"].as_str().map_or(Ok(()), |note| say(&format!("note: this is {note}")))
}

fn show_message(found: &Value) -> Result<()> {
    for delivery in list(found, "deliveries") {
        say(&format!("delivery {}", delivery["delivery"]))?;
        for name in ["received_at", "source", "kind", "surface", "verified"] {
            if let Some(text) = delivery[name].as_str().filter(|text| !text.is_empty()) {
                say(&format!("  {name}: {text}"))?;
            }
        }
        if let Some(why) = delivery["unrouted"].as_str() {
            say(&format!("  unrouted: {why}"))?;
        }
        for item in list(delivery, "items") {
            let fate = &item["fate"];
            let text = |name: &str| fate[name].as_str().unwrap_or_default().to_owned();
            let what = match fate["is"].as_str() {
                Some("duplicate") => format!("duplicate of delivery {}", fate["of_delivery"]),
                Some("filtered") => format!("filtered by {}", text("by")),
                Some("rejected") => format!("rejected: {}", text("because")),
                _ => format!("eligible: {} {}", text("type"), text("name")),
            };
            say(&format!("  item {}: {}", item["item"], what.trim_end()))?;
        }
    }
    for consumer in list(found, "consumers") {
        let text = |name: &str| consumer[name].as_str().unwrap_or_default();
        match (consumer["unknown"].as_str(), list(consumer, "rows")) {
            (Some(error), _) => say(&format!("{}: not known: {error}", text("consumer")))?,
            (None, []) => {
                let parts = [text("consumer"), text("outcome"), text("by"), text("why"), text("resend")];
                say(&parts.iter().filter(|part| !part.is_empty()).copied().collect::<Vec<_>>().join(": "))?;
            }
            (None, rows) => {
                say(&format!("{}: {}", text("consumer"), text("outcome")))?;
                for row in rows {
                    let text = |name: &str| row[name].as_str().unwrap_or_default();
                    say(&format!("  {} (item {}, load {})", text("table"), text("delivery"), text("load")))?;
                }
            }
        }
    }
    let searched = &found["searched"];
    if searched.is_object() {
        say(&format!(
            "searched deliveries {} to {}; the inbox keeps them from {} on",
            searched["from"], searched["to"], searched["kept_from"]
        ))?;
    }
    Ok(())
}

/// One member a line, objects indented.
fn members(value: &Value, indent: &str) -> Result<()> {
    for (name, value) in value.as_object().into_iter().flatten() {
        match value {
            Value::Null => {}
            Value::Object(_) => {
                say(&format!("{indent}{name}"))?;
                members(value, &format!("{indent}  "))?;
            }
            Value::String(text) => say(&format!("{indent}{name}: {text}"))?,
            other => say(&format!("{indent}{name}: {other}"))?,
        }
    }
    Ok(())
}
