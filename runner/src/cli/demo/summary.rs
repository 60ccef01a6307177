//! What the demo leaves behind, as a table, and what to ask it.

use std::{path::Path, time::Duration};

use headwater_core::error::{Error, Result};
use rusqlite::{Connection, OpenFlags};

use super::traffic::Sent;
use crate::{
    cli::{say, table},
    service::warehouse_folder,
    warehouse::{name::quote, query},
};

/// Tables of a schema that are named one by one; the rest are summed up.
const NAMED: usize = 6;

/// Prints where the rows are, how many there are, and a few queries to try.
pub fn print(
    folder: &Path,
    sent: &Sent,
    requests: u64,
    took: Duration,
    first: Option<Duration>,
) -> Result<()> {
    let warehouse = warehouse_folder(folder);
    let mut rows = Vec::new();
    let mut total = 0;
    for schema in query::schemas(&warehouse)? {
        let mut tables = count(&warehouse.join(format!("{schema}.db")))?;
        total += tables.iter().map(|(_, n)| n).sum::<u64>();
        tables.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
        for (name, n) in tables.iter().take(NAMED) {
            rows.push(vec![schema.clone(), name.clone(), n.to_string()]);
        }
        if tables.len() > NAMED {
            let rest = tables[NAMED..].iter().map(|(_, n)| n).sum::<u64>();
            rows.push(vec![schema, format!("… {} more tables", tables.len() - NAMED), rest.to_string()]);
        }
    }
    for line in table::lines(&["schema", "table", "rows"], &rows) {
        say(&line)?;
    }
    let (good, bad) = sent.values().fold((0, 0), |(good, bad), (more, worse)| (good + more, bad + worse));
    say(&format!(
        "\n{total} rows in {:.1} s; {requests} requests to the vendors; {good} events answered, {bad} not",
        took.as_secs_f64()
    ))?;
    if let Some(first) = first {
        say(&format!("first rows after {:.1} s", first.as_secs_f64()))?;
    }
    say("\ntry:")?;
    for sql in [
        "SELECT status, count(*) AS tickets FROM zendesk.tickets GROUP BY 1 ORDER BY 2 DESC",
        "SELECT event_text, count(*) AS calls FROM klaviyo.tracks GROUP BY 1 ORDER BY 2 DESC",
        "SELECT status, count(*) AS charges, sum(amount) / 100.0 AS total FROM stripe.charges GROUP BY 1",
        "SELECT currency, count(*) AS orders, sum(revenue) AS revenue FROM website.order_completed GROUP BY 1",
        "SELECT name, type, industry FROM salesforce.accounts LIMIT 5",
    ] {
        say(&format!("  headwater query --data-dir {} \"{sql}\"", folder.display()))?;
    }
    Ok(())
}

/// The tables of one schema, and how many living rows each has.
fn count(file: &Path) -> Result<Vec<(String, u64)>> {
    let failed = |error: rusqlite::Error| Error::transient(format!("{}: {error}", file.display()));
    let db = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(failed)?;
    let names: Vec<String> = db
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE '\\_headwater%' ESCAPE '\\' ORDER BY 1")
        .and_then(|mut all| all.query_map([], |row| row.get(0))?.collect())
        .map_err(failed)?;
    names
        .into_iter()
        .map(|name| {
            let n: i64 = db
                .query_row(&format!("SELECT count(*) FROM {}", quote(&name)), [], |row| row.get(0))
                .map_err(failed)?;
            Ok((name, n.unsigned_abs()))
        })
        .filter(|counted| !matches!(counted, Ok((_, 0))))
        .collect()
}
