//! The one write: rows, prunes, rejects, progress and the books of a load, in one transaction.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{Mutex, PoisonError},
};

use deadpool_postgres::Transaction;
use jiff::Timestamp;

use super::{Writer, copy::Stamp, explain::Trouble, grow::Wanted, merge::merge, value::Bound};
use crate::warehouse::{
    Committed, Load, Reject, RunRow, books,
    known::{crowd_notice, crowded},
    table::Layout,
};

impl Writer {
    /// See [`Schema::commit`](crate::warehouse::Schema::commit). `before` is what the attempt before did, if its commit was
    /// sent: its answer may have been lost.
    pub(super) async fn commit(
        &self,
        load: &Load,
        before: &Mutex<Option<Committed>>,
    ) -> Result<Committed, Trouble> {
        let now = books::now();
        let measured = books::measure(load)?;
        let mut done = Committed::default();
        let mut turn = self.turn().await?;
        let batches = || load.batches.iter().filter(|batch| !batch.is_empty());
        let mut names: Vec<&str> = batches().map(|batch| batch.spec().name.as_str()).collect();
        names.extend(load.prunes.iter().map(|prune| prune.table.as_str()));
        names.extend(load.removes.iter().map(|removal| removal.table.as_str()));
        names.sort_unstable();
        names.dedup();
        let tx = turn.client.transaction().await?;
        if self.begin(&tx, &mut turn.state, &load.id, &names).await? {
            drop(tx);
            turn.end();
            let before = before.lock().unwrap_or_else(PoisonError::into_inner).take();
            return Ok(before.unwrap_or_default());
        }
        let began = load.began.unwrap_or_else(Timestamp::now);
        let stamp = Stamp { load: &load.id, version: began.as_microsecond(), now };
        done.deleted += self.remove(&tx, &turn.state, &load.removes).await?;
        let mut rejects = load.rejects.clone();
        let (mut crowd, mut staged): (Vec<&str>, _) = (Vec::new(), HashSet::new());
        for batch in batches() {
            let spec = batch.spec();
            let wanted =
                Wanted { name: &spec.name, layout: spec.layout, key: &spec.key, columns: batch.columns() };
            let grown = self.grow(&tx, &mut turn.state, &wanted, &mut done.notices).await?;
            let (places, known) = match (grown, turn.state.tables.get(&spec.name)) {
                (Some(places), Some(known)) => (places, known),
                _ if spec.layout == Layout::Event => {
                    crowd.push(spec.name.as_str());
                    continue;
                }
                _ => return Err(crowded(&spec.name).into()),
            };
            rejects.extend(merge(&tx, known, batch, &places, &stamp, &mut staged, &mut done).await?);
            done.notices.extend(books::replaced_notice(batch));
        }
        done.notices.extend(crowd_notice(&crowd));
        for prune in &load.prunes {
            done.deleted += self.prune(&tx, &mut turn.state, prune, began, now).await?;
        }
        futures::try_join!(
            self.keep_rejects(&tx, &stamp, &rejects),
            self.keep_progress(&tx, load, now),
            self.keep_run(&tx, load.run_row.as_ref()),
            self.keep_load(&tx, load, now, &measured),
        )?;
        *before.lock().unwrap_or_else(PoisonError::into_inner) = Some(done.clone());
        tx.commit().await?;
        turn.end();
        Ok(done)
    }

    /// Keeps what could not become a row; the same thing, refused again, is one line.
    async fn keep_rejects(
        &self,
        tx: &Transaction<'_>,
        stamp: &Stamp<'_>,
        rejects: &[Reject],
    ) -> Result<(), Trouble> {
        if rejects.is_empty() {
            return Ok(());
        }
        // Text that came from elsewhere: Postgres takes no NUL.
        let clean = |text: &str| text.replace('\0', "\u{fffd}");
        let all: BTreeMap<String, &Reject> =
            rejects.iter().map(|reject| (books::reject_id(reject), reject)).collect();
        let ids: Vec<&String> = all.keys().collect();
        let column = |of: fn(&Reject) -> &str| all.values().map(|one| clean(of(one))).collect::<Vec<_>>();
        let insert = format!(
            "INSERT INTO {} (id, load, table_name, reason, payload, rejected_at)
             SELECT id, $1, table_name, reason, payload, $2
             FROM unnest($3::text[], $4::text[], $5::text[], $6::text[]) AS r(id, table_name, reason, payload)
             ON CONFLICT (id) DO UPDATE SET load = excluded.load, rejected_at = excluded.rejected_at",
            self.own_table("rejects")
        );
        let insert = tx.prepare_cached(&insert).await?;
        let (tables, reasons) = (column(|reject| &reject.table), column(|reject| &reject.reason));
        let payloads = column(|reject| &reject.payload);
        tx.execute(&insert, &[&stamp.load, &Bound::time(stamp.now), &ids, &tables, &reasons, &payloads])
            .await?;
        Ok(())
    }

    async fn keep_progress(&self, tx: &Transaction<'_>, load: &Load, now: Timestamp) -> Result<(), Trouble> {
        for (key, value) in &load.progress {
            if value.is_null() {
                let delete = format!("DELETE FROM {} WHERE key = $1", self.own_table("progress"));
                let delete = tx.prepare_cached(&delete).await?;
                tx.execute(&delete, &[key]).await?;
                continue;
            }
            let put = format!(
                "INSERT INTO {} (key, value, updated_at) VALUES ($1, $2::text::json, $3)
                 ON CONFLICT (key) DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at",
                self.own_table("progress")
            );
            let put = tx.prepare_cached(&put).await?;
            tx.execute(&put, &[key, &value.to_string(), &Bound::time(now)]).await?;
        }
        Ok(())
    }

    async fn keep_run(&self, tx: &Transaction<'_>, run: Option<&RunRow>) -> Result<(), Trouble> {
        let Some(run) = run else { return Ok(()) };
        let put = format!(
            "INSERT INTO {} (id, began, ended, outcome, detail) VALUES ($1, $2, $3, $4, $5::text::json)
             ON CONFLICT (id) DO UPDATE SET ended = excluded.ended, outcome = excluded.outcome, detail = excluded.detail",
            self.own_table("runs")
        );
        let put = tx.prepare_cached(&put).await?;
        let (began, ended) = (Bound::time(run.began), Bound::maybe_time(run.ended));
        tx.execute(&put, &[&run.id, &began, &ended, &run.outcome, &run.detail.to_string()]).await?;
        Ok(())
    }

    async fn keep_load(
        &self,
        tx: &Transaction<'_>,
        load: &Load,
        now: Timestamp,
        (digest, rows): &(String, i64),
    ) -> Result<(), Trouble> {
        let put = format!(
            "INSERT INTO {} (id, run, request, digest, loaded_at, rows) VALUES ($1, $2, $3, $4, $5, $6)",
            self.own_table("loads")
        );
        let put = tx.prepare_cached(&put).await?;
        let request = load.request.replace('\0', "\u{fffd}");
        tx.execute(&put, &[&load.id, &load.run, &request, digest, &Bound::time(now), rows]).await?;
        Ok(())
    }
}
