//! Rows that are gone: swept at the end of a pass, pruned under one parent, no longer made by a replay.

use std::collections::BTreeMap;

use deadpool_postgres::Transaction;
use headwater_core::{cursor::Pass, object::Type};
use jiff::Timestamp;
use postgres_types::ToSql;

use super::{State, Writer, explain::Trouble, value::Bound};
use crate::warehouse::{
    Prune, Removal, Swept, books,
    name::{apart, quote},
    table::Layout,
};

impl Writer {
    /// See [`Schema::sweep`](crate::warehouse::Schema::sweep).
    pub(super) async fn sweep(&self, table: &str, pass: &Pass, most: f64) -> Result<Swept, Trouble> {
        let mut turn = self.turn().await?;
        let tx = turn.client.transaction().await?;
        self.begin(&tx, &mut turn.state, "", &[table]).await?;
        let swept = match turn.state.tables.get(table) {
            Some(known) if known.table.layout == Layout::Object => {
                sweep(&tx, &format!("{}.{}", quote(&self.name), quote(table)), pass, most).await?
            }
            _ => Swept::default(),
        };
        tx.commit().await?;
        turn.end();
        Ok(swept)
    }

    /// Marks as deleted what is in the prune's scope and was not loaded by its pass, nor by anything since `before`.
    pub(super) async fn prune(
        &self,
        tx: &Transaction<'_>,
        state: &mut State,
        prune: &Prune,
        before: Timestamp,
        now: Timestamp,
    ) -> Result<u64, Trouble> {
        let Some(known) = state.tables.get(&prune.table) else { return Ok(0) };
        if prune.scope.is_empty() || known.table.layout != Layout::Object {
            return Ok(0);
        }
        let (before, now) = (Bound::time(before), Bound::time(now));
        let (mut bound, mut scope) = (Vec::new(), Vec::new());
        for (column, cell) in &prune.scope {
            // No row has a value in a column that is not there, or that cannot hold it.
            let Some(place) = known.table.place(column) else { return Ok(0) };
            let kind = known.table.columns[place].kind.unwrap_or(Type::Text);
            let Some(value) = Bound::cell(kind, cell) else { return Ok(0) };
            bound.push(value);
            scope.push(format!("{} = ${}", quote(column), bound.len() + 3));
        }
        let names: Vec<&str> = prune.scope.iter().map(|(column, _)| column.as_str()).collect();
        self.index(tx, state, &prune.table, &names).await?;
        let update = format!(
            "UPDATE {}.{} SET is_deleted = true, uuid_ts = $3
             WHERE {} AND NOT is_deleted AND _headwater_pass IS DISTINCT FROM $1 AND uuid_ts < $2",
            quote(&self.name),
            quote(&prune.table),
            scope.join(" AND ")
        );
        let update = tx.prepare_cached(&update).await?;
        let values: Vec<&(dyn ToSql + Sync)> = [&prune.pass as _, &before as _, &now as _]
            .into_iter()
            .chain(bound.iter().map(|value| value as _))
            .collect();
        Ok(tx.execute(&update, &values).await?)
    }

    /// Removes rows of calls by their key, where they are still the delivery's; returns how many.
    pub(super) async fn remove(
        &self,
        tx: &Transaction<'_>,
        state: &State,
        removals: &[Removal],
    ) -> Result<u64, Trouble> {
        let mut by_table: BTreeMap<&str, (Vec<&str>, Vec<&str>)> = BTreeMap::new();
        for removal in removals {
            let (ids, deliveries) = by_table.entry(&removal.table).or_default();
            ids.push(&removal.id);
            deliveries.push(&removal.delivery);
        }
        let mut removed = 0;
        for (table, (ids, deliveries)) in by_table {
            let known = state.tables.get(table);
            if !known.is_some_and(|known| matches!(known.table.layout, Layout::Call | Layout::Event)) {
                continue;
            }
            let delete = format!(
                "DELETE FROM {}.{} AS t USING unnest($1::text[], $2::text[]) AS gone(id, delivery)
                 WHERE t.id = gone.id AND t._headwater_delivery = gone.delivery",
                quote(&self.name),
                quote(table)
            );
            let delete = tx.prepare_cached(&delete).await?;
            removed += tx.execute(&delete, &[&ids, &deliveries]).await?;
        }
        Ok(removed)
    }

    /// An index for what is asked again and again; made when it is first needed.
    async fn index(
        &self,
        tx: &Transaction<'_>,
        state: &mut State,
        table: &str,
        columns: &[&str],
    ) -> Result<(), Trouble> {
        let name = apart("_headwater_index", &format!("{table}:{}", columns.join(":")));
        if state.indexes.contains(&name) {
            return Ok(());
        }
        let columns: Vec<String> = columns.iter().map(|column| quote(column)).collect();
        tx.batch_execute(&format!(
            "CREATE INDEX IF NOT EXISTS {} ON {}.{} ({})",
            quote(&name),
            quote(&self.name),
            quote(table),
            columns.join(", ")
        ))
        .await?;
        state.indexes.insert(name);
        Ok(())
    }
}

async fn sweep(tx: &Transaction<'_>, target: &str, pass: &Pass, most: f64) -> Result<Swept, Trouble> {
    let gone = "NOT is_deleted AND _headwater_pass IS DISTINCT FROM $1 AND uuid_ts < $2";
    let (began, now) = (Bound::time(pass.began), Bound::time(books::now()));
    let count = format!(
        "SELECT count(*) FILTER (WHERE _headwater_pass IS NOT DISTINCT FROM $1), count(*) FILTER (WHERE NOT is_deleted),
                count(*) FILTER (WHERE {gone}) FROM {target}"
    );
    let row = tx.query_one(&count, &[&pass.id, &began]).await?;
    let number = |at: usize| row.try_get::<_, i64>(at).map(|number| number as u64);
    let (met, living, leaving) = (number(0)?, number(1)?, number(2)?);
    let accepted = most >= 1.0;
    if leaving == 0 || !accepted && (met == 0 || leaving as f64 > most * living as f64) {
        return Ok(Swept { deleted: 0, held: leaving, living });
    }
    let mark = format!("UPDATE {target} SET is_deleted = true, uuid_ts = $3 WHERE {gone}");
    let deleted = tx.execute(&mark, &[&pass.id, &began, &now]).await?;
    Ok(Swept { deleted, held: 0, living })
}
