//! What commands ask for, done: the same whether they run in this process or reach it over the socket.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
};

use headwater_core::{
    error::{Error, Result},
    signature::Signature,
};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::{
    Service,
    control::{Ask, Say, Teller},
};
use crate::pipeline::balance::{Places, balance};

impl Service {
    /// Does what is asked; `tell` hears how it goes.
    pub async fn answer(self: &Arc<Self>, ask: Ask, tell: mpsc::Sender<Say>) -> Result<Value> {
        match ask {
            Ask::Sync { source, collections, full, accept_deletes } => {
                let mut job = self.job(self.source(&source)?).await?;
                job.only = collections;
                job.full = full;
                job.accept_deletes = accept_deletes;
                let report = self.sync(job, Arc::new(Teller(tell))).await?;
                Ok(serde_json::to_value(&report)?)
            }
            Ask::Check { source } => Ok(serde_json::to_value(self.check(self.source(&source)?).await?)?),
            Ask::Discover { source } => self.discover(&source).await,
            Ask::Quota => Ok(json!({ "quotas": self.quota.all(), "paused": self.state.paused().await? })),
            Ask::Sources => self.list().await,
            Ask::Destinations => {
                let live = self.live().await?;
                let end = *live.normaliser.eligible().borrow();
                Ok(serde_json::to_value(self.destinations.status(&live.calls, end).await?)?)
            }
            Ask::DeadLetters { destination, waiting, limit } => {
                Ok(serde_json::to_value(self.destinations.failed(&destination, waiting, limit).await?)?)
            }
            Ask::Resend { destination, ids } => {
                Ok(json!({ "resent": self.destinations.resend(&destination, ids).await? }))
            }
            Ask::Runs { source, limit } => {
                if let Some(name) = &source {
                    self.source(name)?;
                }
                Ok(serde_json::to_value(self.state.runs(source.as_deref(), limit).await?)?)
            }
            Ask::Books => self.books().await,
            Ask::Replay(replay) => Ok(serde_json::to_value(self.replay(&replay, tell).await?)?),
            Ask::Release { source, dry_run } => self.release(&source, dry_run).await,
            Ask::Quarantine => self.quarantine().await,
            Ask::TraceRow { schema, table, key } => self.trace_row(&schema, &table, key).await,
            Ask::TraceMessage { id, all } => self.trace_message(&id, all, tell).await,
        }
    }

    /// The collections that this account has, its own objects and fields included.
    async fn discover(&self, name: &str) -> Result<Value> {
        let source = self.source(name)?;
        let connector = source.connector()?;
        let objects = connector.objects.as_ref().ok_or_else(|| {
            Error::config(format!("{} has no objects; its events arrive by themselves", connector.title))
        })?;
        let (opened, client, account) = self.open_source(source, objects).await?;
        let collections = opened.catalog(&client, objects.collections).await?;
        Ok(json!({
            "account": account,
            "collections": collections.iter().map(crate::cli::catalog::collection).collect::<Vec<_>>(),
        }))
    }

    /// Whether the books balance, and what was counted of requests that left nothing behind.
    async fn books(&self) -> Result<Value> {
        let live = self.live().await?;
        let places = Places {
            inbox: &*live.inbox,
            quarantine: &*live.quarantine,
            calls: &live.calls,
            books: &live.books,
            warehouse: &*self.warehouse,
        };
        let consumers = self.destinations.lines(|| *live.normaliser.eligible().borrow()).await?;
        let balance = balance(places, consumers).await?;
        let lines: Vec<Value> = balance
            .lines
            .iter()
            .map(|line| json!({ "of": line.of, "total": line.total, "parts": line.parts, "off": line.off(), "unknown": line.unknown }))
            .collect();
        let counts = &live.receiver.counts;
        Ok(json!({
            "lines": lines,
            "counted": balance.counted,
            "settled": balance.is_settled(),
            "off": balance.off(),
            "since_start": {
                "kept": counts.kept.load(Ordering::Relaxed),
                "handshakes": counts.handshakes.load(Ordering::Relaxed),
                "quarantined": counts.quarantined.load(Ordering::Relaxed),
                "refused": counts.refused.load(Ordering::Relaxed),
                "shed": counts.shed.load(Ordering::Relaxed),
            },
        }))
    }

    /// Every source, how it is reached, and how its latest run went.
    async fn list(&self) -> Result<Value> {
        let listen = self.config.receive.listen;
        let base = match &self.config.receive.public_url {
            Some(url) => url.trim_end_matches('/').to_owned(),
            None => format!("http://{listen}"),
        };
        let waiting: BTreeMap<String, u64> = match self.running() {
            Some(live) => live.books.waiting().await?.into_iter().collect(),
            None => BTreeMap::new(),
        };
        let mut all = Vec::new();
        for source in self.sources.values() {
            let connector = source.connector()?;
            let schedule = match (&source.schedule, connector.pull) {
                (None, Some(_)) => Some("all the time"),
                (schedule, _) => schedule.as_deref(),
            };
            let keys = self.keys(source).await?;
            let last = self.state.runs(Some(&source.name), 1).await?.pop();
            let webhooks: Vec<String> = connector
                .events
                .iter()
                .flat_map(|events| events.webhook.surfaces)
                .filter(|surface| !matches!(surface.signature, Signature::Pulled))
                .filter_map(|surface| {
                    let key = keys.webhook.first()?;
                    let path =
                        if surface.path.is_empty() { String::new() } else { format!("/{}", surface.path) };
                    Some(format!("{base}/webhooks/{}/{key}{path}", source.name))
                })
                .collect();
            all.push(json!({
                "name": source.name,
                "connector": connector.name,
                "enabled": source.enabled,
                "schedule": schedule,
                "write_key": keys.write.first(),
                "webhooks": webhooks,
                "calls_schema": source.calls_schema()?,
                "fetching": self.pulls.of(&source.name),
                "asked": self.asked.of(&source.name),
                "waiting_for_look_ups": waiting.get(&source.name),
                "last_run": last.map(|run| json!({ "ended": run.ended, "ending": run.ending })),
            }));
        }
        Ok(Value::Array(all))
    }
}
