//! The one write: rows, prunes, rejects, progress and the books of a load, in one transaction.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

use super::{
    Trouble, Writer,
    calls::{Calls, next_number},
    grow::{Grown, grow},
    ids::Ids,
    mark,
    merge::{Stamp, merge},
};
use crate::warehouse::{
    Committed, Load, Reject, RunRow, books,
    known::{crowd_notice, crowded},
    table::{Batch, Layout, instant},
};

impl Writer {
    /// See [`Schema::commit`](crate::warehouse::Schema::commit).
    pub(super) fn commit(&mut self, load: &Load) -> Result<Committed, Trouble> {
        let now = instant(books::now());
        let mut done = Committed::default();
        let tx = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        if is_loaded(&tx, &load.id)? {
            return Ok(done);
        }
        let stamp = Stamp {
            load: &load.id,
            version: load.began.unwrap_or_else(Timestamp::now).as_microsecond(),
            now: &now,
        };
        for reject in &load.rejects {
            keep(&tx, &stamp, reject)?;
        }
        let has_calls = load.batches.iter().any(|batch| batch.spec().layout == Layout::Call);
        if self.ids.is_none() && (has_calls || !load.removes.is_empty()) {
            self.ids = Some(Ids::open(&tx)?);
        }
        let mut none = Ids::none();
        let ids = self.ids.as_mut().unwrap_or(&mut none);
        done.deleted += mark::remove(&tx, &mut self.tables, ids, &load.removes)?;
        let mut crowd: Vec<&str> = Vec::new();
        if self.next_call == 0 && has_calls {
            self.next_call = next_number(&tx)?;
        }
        let mut calls = Calls::new(&tx, ids, self.next_call);
        // An event's row needs to know where its call went.
        let (events, others): (Vec<&Batch>, Vec<&Batch>) = load
            .batches
            .iter()
            .filter(|batch| !batch.is_empty())
            .partition(|batch| batch.spec().layout == Layout::Event);
        for batch in others.into_iter().chain(events) {
            let spec = batch.spec();
            calls.table(&spec.name);
            let grown = grow(
                &tx,
                &mut self.tables,
                &spec.name,
                spec.layout,
                &spec.key,
                batch.columns(),
                &mut done.notices,
            )?;
            let table = match (grown, self.tables.get(&spec.name)) {
                (Grown::Ready(places), Some(table)) => (places, table),
                _ if spec.layout == Layout::Event => {
                    crowd.push(spec.name.as_str());
                    continue;
                }
                _ => return Err(crowded(&spec.name).into()),
            };
            for reject in merge(&tx, table.1, batch, &table.0, &stamp, &mut calls, &mut done)? {
                keep(&tx, &stamp, &reject)?;
            }
            done.notices.extend(books::replaced_notice(batch));
        }
        done.notices.extend(crowd_notice(&crowd));
        let before = instant(load.began.unwrap_or_else(Timestamp::now));
        for prune in &load.prunes {
            done.deleted += mark::prune(&tx, &mut self.tables, prune, &before, &now)?;
        }
        for (key, value) in &load.progress {
            match value.is_null() {
                true => tx.execute("DELETE FROM _headwater_progress WHERE key = ?1", [key])?,
                false => tx.execute(
                    "INSERT INTO _headwater_progress (key, value, updated_at) VALUES (?1, ?2, ?3)
                     ON CONFLICT (key) DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at",
                    params![key, value.to_string(), now],
                )?,
            };
        }
        if let Some(run) = &load.run_row {
            keep_run(&tx, run)?;
        }
        keep_load(&tx, load, &now)?;
        let next_call = calls.keep()?;
        tx.commit()?;
        self.next_call = next_call;
        Ok(done)
    }
}

fn is_loaded(db: &Connection, id: &str) -> Result<bool, Trouble> {
    let mut find = db.prepare_cached("SELECT 1 FROM _headwater_loads WHERE id = ?1")?;
    Ok(find.query_row([id], |_| Ok(())).optional()?.is_some())
}

/// Keeps what could not become a row; the same thing, refused again, is one line.
fn keep(db: &Connection, stamp: &Stamp<'_>, reject: &Reject) -> Result<(), Trouble> {
    db.prepare_cached(
        "INSERT INTO _headwater_rejects (id, load, table_name, reason, payload, rejected_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (id) DO UPDATE SET load = excluded.load, rejected_at = excluded.rejected_at",
    )?
    .execute(params![books::reject_id(reject), stamp.load, reject.table, reject.reason, reject.payload, stamp.now])?;
    Ok(())
}

fn keep_run(db: &Connection, run: &RunRow) -> Result<(), Trouble> {
    db.execute(
        "INSERT INTO _headwater_runs (id, began, ended, outcome, detail) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (id) DO UPDATE SET ended = excluded.ended, outcome = excluded.outcome, detail = excluded.detail",
        params![run.id, instant(run.began), run.ended.map(instant), run.outcome, run.detail.to_string()],
    )?;
    Ok(())
}

fn keep_load(db: &Connection, load: &Load, now: &str) -> Result<(), Trouble> {
    let (digest, rows) = books::measure(load)?;
    db.prepare_cached("INSERT INTO _headwater_loads (id, run, request, digest, loaded_at, rows) VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?
        .execute(params![load.id, load.run, load.request, digest, now, rows])?;
    Ok(())
}
