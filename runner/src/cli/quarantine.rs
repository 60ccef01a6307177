//! `headwater quarantine`: deliveries that nothing proved, and why.

use clap::Args as ClapArgs;
use headwater_core::error::Result;

use super::{End, Globals, say, source::done, table};
use crate::service::control::Ask;

/// Show deliveries that were refused because nothing proved them.
///
/// They are kept apart for a while, at most 64 MiB of them. `headwater replay SOURCE --quarantined` verifies them again with today's
/// secrets and takes those that are proven now.
#[derive(ClapArgs)]
pub(super) struct Args {
    /// As JSON.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(globals: &Globals, args: Args) -> Result<End> {
    let found = done(globals, Ask::Quarantine, &mut |_| ()).await?;
    if args.json {
        say(&found.to_string())?;
        return Ok(End::Done);
    }
    let rows: Vec<Vec<String>> = found["deliveries"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|delivery| {
            let text = |name: &str| delivery[name].as_str().unwrap_or_default().to_owned();
            let state = if delivery["taken"].as_bool() == Some(true) { "taken since" } else { "kept" };
            vec![
                delivery["delivery"].to_string(),
                text("received_at"),
                text("source"),
                text("surface"),
                delivery["bytes"].to_string(),
                state.to_owned(),
                text("reason"),
            ]
        })
        .collect();
    if rows.is_empty() {
        return say("nothing is in quarantine").map(|()| End::Done);
    }
    for line in table::lines(&["number", "received", "source", "surface", "bytes", "state", "reason"], &rows)
    {
        say(&line)?;
    }
    if let Some(damaged) = found["damaged"].as_u64().filter(|damaged| *damaged > 0) {
        say(&format!("note: {damaged} more can no longer be read"))?;
    }
    Ok(End::Done)
}
