//! `headwater books`: what became of everything that was received, and whether it adds up.

use clap::Args as ClapArgs;
use headwater_core::error::{Error, Result};
use serde_json::Value;

use super::{End, Globals, say, source::done, table};
use crate::service::control::Ask;

/// Show what became of everything received, and whether the books balance.
///
/// Each delivery, each item and, for each schema and destination, each call has exactly one fate; what lacks one, or has two, is named,
/// and the exit code is 1. It can be asked at any time, also while the service runs.
#[derive(ClapArgs)]
pub(super) struct Args {
    /// As JSON.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(globals: &Globals, args: Args) -> Result<End> {
    let books = done(globals, Ask::Books, &mut |_| ()).await?;
    if args.json {
        say(&books.to_string())?;
    } else {
        show(&books)?;
    }
    let off: Vec<&str> = books["off"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    match off[..] {
        [] => Ok(End::Done),
        _ => Err(Error::unexpected(format!("the books do not balance: {}", off.join("; ")))),
    }
}

fn show(books: &Value) -> Result<()> {
    let mut rows = Vec::new();
    for line in books["lines"].as_array().into_iter().flatten() {
        let mut of = line["of"].as_str().unwrap_or_default().to_owned();
        let mut total = line["total"].to_string();
        if let Some(unknown) = line["unknown"].as_str() {
            rows.push(vec![of, total, String::new(), format!("not known: {unknown}")]);
            continue;
        }
        let parts = line["parts"].as_object().into_iter().flatten();
        let parts: Vec<_> = parts.filter(|(_, n)| n.as_u64() != Some(0)).collect();
        if parts.is_empty() {
            rows.push(vec![of, total, String::new(), String::new()]);
            continue;
        }
        for (fate, n) in parts {
            rows.push(vec![std::mem::take(&mut of), std::mem::take(&mut total), n.to_string(), fate.clone()]);
        }
    }
    for line in table::lines(&["of", "in all", "", "became"], &rows) {
        say(&line)?;
    }
    if books["counted"].as_bool() == Some(false) {
        say("note: too much is in flight to be counted one by one; it is what is left")?;
    }
    Ok(())
}
