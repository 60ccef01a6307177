//! Commands about destinations: `destinations`, `dead-letters`, `resend`. They ask the process that owns the data folder; if none
//! runs, they own it themselves.

use clap::Args as ClapArgs;
use headwater_core::error::Result;
use serde_json::Value;

use super::{End, Globals, say, source::done, table};
use crate::service::control::Ask;

/// Show the destinations: how far each is, and what failed.
#[derive(ClapArgs)]
pub(super) struct DestinationsArgs {
    /// As JSON, with what became of all calls so far.
    #[arg(long)]
    json: bool,
}

/// Show the calls that a destination did not take, newest first.
#[derive(ClapArgs)]
pub(super) struct DeadLettersArgs {
    /// The destination.
    destination: String,
    /// Those that failed and wait to be sent again by themselves, instead.
    #[arg(long)]
    waiting: bool,
    /// How many.
    #[arg(long, default_value_t = 20)]
    limit: u32,
    /// As JSON, with the calls.
    #[arg(long)]
    json: bool,
}

/// Send dead letters again.
#[derive(ClapArgs)]
pub(super) struct ResendArgs {
    /// The destination.
    destination: String,
    /// This one, by the number that dead-letters shows; may be given several times.
    #[arg(long = "id", value_name = "NUMBER", required_unless_present = "all")]
    ids: Vec<i64>,
    /// All of them.
    #[arg(long, conflicts_with = "ids")]
    all: bool,
    /// The count as JSON.
    #[arg(long)]
    json: bool,
}

pub(super) async fn destinations(globals: &Globals, args: DestinationsArgs) -> Result<End> {
    let all = done(globals, Ask::Destinations, &mut |_| ()).await?;
    if args.json {
        say(&all.to_string())?;
        return Ok(End::Done);
    }
    let all = all.as_array().cloned().unwrap_or_default();
    if all.is_empty() {
        say("no destinations yet: headwater init shows how one is written")?;
        return Ok(End::Done);
    }
    let rows: Vec<Vec<String>> = all
        .iter()
        .map(|one| {
            let text = |name: &str| one[name].as_str().unwrap_or_default().to_owned();
            let number = |value: &Value| value.as_u64().unwrap_or(0).to_string();
            vec![
                text("name"),
                text("type"),
                text("state"),
                number(&one["lag"]["calls"]),
                format!("{:.0} s", one["lag"]["seconds"].as_f64().unwrap_or(0.0)),
                one["circuit"]["state"].as_str().unwrap_or_default().to_owned(),
                number(&one["retries"]),
                number(&one["dead_letters"]),
                number(&one["outcomes"]["delivered"]),
            ]
        })
        .collect();
    let head = [
        "destination",
        "type",
        "state",
        "behind",
        "oldest",
        "circuit",
        "retries",
        "dead letters",
        "delivered",
    ];
    for line in table::lines(&head, &rows) {
        say(&line)?;
    }
    for one in &all {
        if let (Some(name), Some(reason)) = (one["name"].as_str(), one["circuit"]["reason"].as_str()) {
            say(&format!("{name} holds its calls: {reason}"))?;
        }
    }
    Ok(End::Done)
}

pub(super) async fn dead_letters(globals: &Globals, args: DeadLettersArgs) -> Result<End> {
    let ask =
        Ask::DeadLetters { destination: args.destination.clone(), waiting: args.waiting, limit: args.limit };
    let all = done(globals, ask, &mut |_| ()).await?;
    if args.json {
        say(&all.to_string())?;
        return Ok(End::Done);
    }
    let all = all.as_array().cloned().unwrap_or_default();
    if all.is_empty() {
        let what = if args.waiting { "calls that wait to be sent again" } else { "dead letters" };
        say(&format!("{} has no {what}", args.destination))?;
        return Ok(End::Done);
    }
    let rows: Vec<Vec<String>> = all
        .iter()
        .map(|one| {
            let text = |name: &str| one[name].as_str().unwrap_or_default().to_owned();
            let mut row = vec![one["id"].to_string(), text("source"), text("message_id")];
            row.extend([one["attempts"].to_string(), text("last")]);
            row.push(text(if args.waiting { "due" } else { "reason" }));
            if args.waiting {
                row.push(text("reason"));
            }
            row
        })
        .collect();
    let mut head = vec!["id", "source", "message id", "attempts", "last"];
    if args.waiting {
        head.push("again");
    }
    head.push("reason");
    for line in table::lines(&head, &rows) {
        say(&line)?;
    }
    Ok(End::Done)
}

pub(super) async fn resend(globals: &Globals, args: ResendArgs) -> Result<End> {
    let ids = (!args.all).then_some(args.ids);
    let ask = Ask::Resend { destination: args.destination.clone(), ids };
    let result = done(globals, ask, &mut |_| ()).await?;
    if args.json {
        say(&result.to_string())?;
    } else {
        say(&format!("{}: {} dead letters are sent again", args.destination, result["resent"]))?;
    }
    Ok(End::Done)
}
