//! `headwater replay`: stored deliveries through today's mapping.

use std::io::IsTerminal;

use clap::Args as ClapArgs;
use headwater_core::error::{Error, Result};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::{End, Globals, say, source::done, table};
use crate::{
    pipeline::replay::{Difference, Summary, Told, What},
    service::control::{Ask, Replay, Say},
};

/// Run stored deliveries through today's mapping, and replace what they had made.
///
/// Rows of calls that a delivery does not make any more are removed, changed ones are changed, new ones come; an item that had been
/// rejected and can be mapped now becomes a call. `users` and `accounts` take what is newer than they are and lose nothing; objects
/// follow their versions, and rows that were only touched wait for the next sync. Destinations are left out, unless asked for. The inbox
/// keeps deliveries for a time (receive.keep): how far back that is, is told at the end.
///
/// A replay that was cut short goes on when the same command is given again.
#[derive(ClapArgs)]
pub(super) struct Args {
    /// The source.
    source: String,
    /// Deliveries received since then: a time (RFC 3339; UTC if it names no zone), a date (midnight UTC), or a span back from now (2h, 3d).
    #[arg(long, value_name = "TIME", required_unless_present = "quarantined")]
    since: Option<String>,
    /// Deliveries received until then, included; now without it.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Only deliveries that meet this: event, type, messageId, userId, anonymousId, groupId (of one of their calls, as it is now or was
    /// before), delivery, surface, path, kind; = or !=, several joined by AND.
    #[arg(long = "where", value_name = "CONDITION")]
    conditions: Vec<String>,
    /// Change nothing; tell what would change.
    #[arg(long)]
    dry_run: bool,
    /// Tell every difference, call by call, before it is made.
    #[arg(long)]
    diff: bool,
    /// Send the calls to destinations too.
    #[arg(long)]
    destinations: bool,
    /// Begin anew, although the same replay was cut short.
    #[arg(long)]
    restart: bool,
    /// Verify the deliveries in quarantine again, by today's secrets, and take those that are proven now. Tokens are not kept:
    /// only signatures over the body can be verified again.
    #[arg(long, conflicts_with_all = ["since", "until", "conditions", "diff", "destinations", "restart"])]
    quarantined: bool,
    /// As JSON lines: the differences, then the summary.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(globals: &Globals, args: Args) -> Result<End> {
    if args.quarantined {
        return quarantined(globals, args).await;
    }
    let ask = Ask::Replay(Replay {
        source: args.source.clone(),
        since: args.since.clone().unwrap_or_default(),
        until: args.until.clone(),
        conditions: args.conditions.clone(),
        destinations: args.destinations,
        dry_run: args.dry_run,
        diff: args.diff,
        restart: args.restart,
    });
    let mut screen = Screen::new(args.json);
    let done = done(globals, ask, &mut |said| screen.hear(said)).await;
    screen.bar.finish_and_clear();
    if let Some(error) = screen.failed {
        return Err(error);
    }
    let done = done?;
    if args.json {
        let mut summary = done;
        summary["dry_run"] = json!(args.dry_run);
        say(&json!({ "summary": summary }).to_string())?;
        return Ok(End::Done);
    }
    show(&serde_json::from_value(done)?, args.dry_run)?;
    Ok(End::Done)
}

fn show(summary: &Summary, dry_run: bool) -> Result<()> {
    let would = if dry_run { "would be made again" } else { "made again" };
    let parts: Vec<String> = summary.calls.iter().map(|(what, n)| format!("{n} {what}")).collect();
    let parts = if parts.is_empty() { "no calls".to_owned() } else { parts.join(", ") };
    say(&format!("{} deliveries {would}: {parts}", summary.deliveries))?;
    if summary.damaged > 0 {
        say(&format!("note: {} deliveries on the way can no longer be read", summary.damaged))?;
    }
    if summary.in_flight > 0 {
        say(&format!(
            "note: {} calls are on their way to the tables and were not compared: run it again once headwater runs",
            summary.in_flight
        ))?;
    }
    match summary.reaches_back_to {
        Some(time) => say(&format!("the inbox reaches back to {time} (delivery {})", summary.first)),
        None => say("the inbox is empty"),
    }
}

/// Where the progress and the differences go: a bar on standard error, lines on standard output.
struct Screen {
    json: bool,
    bar: ProgressBar,
    last: u64,
    failed: Option<Error>,
}

impl Screen {
    fn new(json: bool) -> Self {
        let bar = ProgressBar::no_length();
        let style = ProgressStyle::with_template("{spinner} delivery {pos} of {len}  {wide_bar}  {eta}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self { json, bar, last: 0, failed: None }
    }

    fn hear(&mut self, said: Say) {
        let Say::Replay { told } = said else { return };
        match told {
            Told::Resumed { began, delivery } => self.note(&format!(
                "going on with the replay of {began} at delivery {delivery} (--restart begins anew)"
            )),
            Told::Waiting { calls } => {
                self.note(&format!("waiting for {calls} calls on their way to the tables"))
            }
            Told::At { delivery, end } => {
                self.bar.set_length(end.saturating_sub(1));
                self.bar.set_position(delivery.saturating_sub(1));
                // Without a terminal a line now and then.
                if !std::io::stderr().is_terminal() && (delivery >= end || delivery >= self.last + 100_000) {
                    self.last = delivery;
                    eprintln!("at delivery {delivery} of {}", end.saturating_sub(1));
                }
            }
            Told::Difference(difference) => {
                let json = self.json;
                let done = self.bar.suspend(|| tell(&difference, json));
                if let Err(error) = done {
                    self.failed.get_or_insert(error);
                }
            }
        }
    }

    fn note(&self, line: &str) {
        self.bar.suspend(|| eprintln!("{line}"));
    }
}

fn tell(difference: &Difference, json: bool) -> Result<()> {
    if json {
        return say(&serde_json::to_string(difference)?);
    }
    let (sign, word) = match difference.what {
        What::Added => ("+", "added"),
        What::Changed => ("~", "changed"),
        What::Removed => ("-", "removed"),
        What::Same => (" ", "same"),
    };
    let name = difference.name.as_ref().map(|name| format!(" {name:?}")).unwrap_or_default();
    let (table, id, item) = (&difference.table, &difference.id, &difference.delivery);
    say(&format!("{sign} {word} {table}{name} {id} (delivery {item})"))?;
    let short = |value: &Value| {
        let text = value.to_string();
        match text.char_indices().nth(80) {
            Some((at, _)) => format!("{}…", &text[..at]),
            None => text,
        }
    };
    for column in &difference.columns {
        let (table, name) = (&column.table, &column.column);
        say(&format!("    {table}.{name}: {} → {}", short(&column.from), short(&column.to)))?;
    }
    Ok(())
}

async fn quarantined(globals: &Globals, args: Args) -> Result<End> {
    let ask = Ask::Release { source: args.source.clone(), dry_run: args.dry_run };
    let told = done(globals, ask, &mut |_| ()).await?;
    if args.json {
        say(&told.to_string())?;
        return Ok(End::Done);
    }
    let list = |name: &str| told[name].as_array().cloned().unwrap_or_default();
    let (taken, refused) = (list("taken"), list("refused"));
    let rows: Vec<Vec<String>> = taken
        .iter()
        .map(|one| vec![one["quarantined"].to_string(), "proven".to_owned(), String::new()])
        .chain(refused.iter().map(|one| {
            let reason = one["reason"].as_str().unwrap_or_default().to_owned();
            vec![one["quarantined"].to_string(), "not proven".to_owned(), reason]
        }))
        .collect();
    for line in table::lines(&["number", "now", "reason"], &rows) {
        say(&line)?;
    }
    let would = if args.dry_run { "would be taken" } else { "taken" };
    say(&format!("{} of {} quarantined deliveries {would}", taken.len(), taken.len() + refused.len()))?;
    Ok(End::Done)
}
