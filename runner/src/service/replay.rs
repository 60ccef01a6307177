//! Replays and the quarantine, as commands ask for them.

use std::sync::Arc;

use headwater_core::{
    error::{Error, Result},
    time::parse_time,
};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};

use super::{
    Events, Live, Service,
    control::{Replay as Asked, Say},
};
use crate::{
    inbox::{Log, StoredDelivery},
    pipeline::replay::{Plan, Replay, Summary, conditions},
    sync::schedule::duration,
};

/// Bytes of the quarantine that are read at once.
const CHUNK: usize = 2 << 20;

impl Service {
    /// Runs stored deliveries through today's mapping: beside what runs, or with a pipeline of its own.
    pub(super) async fn replay(self: &Arc<Self>, asked: &Asked, tell: mpsc::Sender<Say>) -> Result<Summary> {
        let plan = plan(asked, Timestamp::now())?;
        self.source(&plan.source)?;
        let (told, mut hear) = mpsc::channel(1);
        let pass_on = async move {
            while let Some(told) = hear.recv().await {
                // Whoever asked may have gone away.
                let _ = tell.send(Say::Replay { told }).await;
            }
        };
        let work = async {
            let told = told;
            let running = self.running();
            let events = match running {
                Some(_) => None,
                None => Some(self.events().await?),
            };
            let live = match (&running, &events) {
                (Some(live), _) => live.clone(),
                (None, Some(events)) => events.live.clone(),
                (None, None) => return Err(Error::unexpected("there is no pipeline")),
            };
            let replay = |loads| Replay {
                inbox: &live.inbox,
                books: &live.books,
                normaliser: &live.normaliser,
                warehouse: &*self.warehouse,
                loads,
                stop: self.stopping(),
            };
            match events {
                None => replay(true).run(&plan, &told).await,
                // Looking leaves everything as it is: nothing is loaded for it.
                Some(events) if plan.dry_run => {
                    let done = replay(false).run(&plan, &told).await;
                    events.live.close().await;
                    done
                }
                Some(mut events) => {
                    let own = OwnPipeline::start(&mut events)?;
                    let done = replay(true).run(&plan, &told).await;
                    own.end().await;
                    events.live.close().await;
                    done
                }
            }
        };
        let (done, ()) = tokio::join!(work, pass_on);
        done
    }

    /// The deliveries that were not proven and are still kept, with the reason.
    pub(super) async fn quarantine(&self) -> Result<Value> {
        let live = self.live().await?;
        let taken = live.books.taken().await?;
        let mut all = Vec::new();
        let mut deliveries = Deliveries::of(&live.quarantine);
        while let Some(some) = deliveries.some().await? {
            all.extend(some.iter().map(|(seq, stored)| {
                json!({
                    "delivery": seq,
                    "source": stored.source,
                    "surface": stored.surface,
                    "received_at": stored.delivery.received_at,
                    "reason": stored.verified.strip_prefix("refused: ").unwrap_or(&stored.verified),
                    "bytes": stored.delivery.body.len(),
                    "taken": taken.binary_search(seq).is_ok(),
                })
            }));
        }
        Ok(json!({ "deliveries": all, "damaged": deliveries.damaged }))
    }

    /// Verifies quarantined deliveries of a source again, and takes those that are proven by today's secrets.
    pub(super) async fn release(&self, source: &str, dry_run: bool) -> Result<Value> {
        self.source(source)?;
        let live = self.live().await?;
        let known = live.books.taken().await?;
        let (mut taken, mut refused) = (Vec::new(), Vec::new());
        let mut deliveries = Deliveries::of(&live.quarantine);
        while let Some(some) = deliveries.some().await? {
            for (seq, stored) in some {
                if stored.source != source || known.binary_search(&seq).is_ok() {
                    continue;
                }
                match live.receiver.release(&stored, dry_run).await {
                    Ok(inbox) => {
                        // Killed between the two, it comes into the inbox again, and its calls are duplicates.
                        if inbox.is_some() {
                            live.books.take(seq).await?;
                        }
                        taken.push(json!({ "quarantined": seq, "delivery": inbox }));
                    }
                    Err(reason) => refused.push(json!({ "quarantined": seq, "reason": reason })),
                }
            }
        }
        Ok(json!({ "taken": taken, "refused": refused, "dry_run": dry_run }))
    }

    /// The events' way, if it runs here.
    pub(super) fn running(&self) -> Option<Live> {
        self.live.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }
}

/// Normaliser and loader for as long as one command needs them.
pub(super) struct OwnPipeline {
    tasks: JoinSet<()>,
    stop: watch::Sender<bool>,
}

impl OwnPipeline {
    pub fn start(events: &mut Events) -> Result<Self> {
        let (stop, stopping) = watch::channel(false);
        let loader = events.loader.take().ok_or_else(|| Error::unexpected("the loader runs already"))?;
        let mut tasks = JoinSet::new();
        tasks.spawn(loader.run(events.live.normaliser.eligible(), stopping.clone()));
        let normaliser = events.live.normaliser.clone();
        tasks.spawn(async move { normaliser.run(stopping).await });
        Ok(Self { tasks, stop })
    }

    pub async fn end(mut self) {
        self.stop.send_replace(true);
        while self.tasks.join_next().await.is_some() {}
    }
}

/// A log of deliveries, read from its beginning to its end.
struct Deliveries<'a> {
    log: &'a Log,
    next: u64,
    end: u64,
    /// How many cannot be read.
    damaged: u64,
}

impl<'a> Deliveries<'a> {
    fn of(log: &'a Log) -> Self {
        Self { log, next: log.stats().first, end: log.committed(), damaged: 0 }
    }

    /// The next ones; none at the end.
    async fn some(&mut self) -> Result<Option<Vec<(u64, StoredDelivery)>>> {
        if self.next > self.end {
            return Ok(None);
        }
        let batch = self.log.read(self.next, CHUNK).await?;
        self.damaged += batch.damaged;
        self.next = batch.next.max(self.next + 1);
        let mut some = Vec::with_capacity(batch.frames.len());
        for frame in batch.frames {
            match StoredDelivery::decode(&frame.body) {
                Ok(stored) => some.push((frame.seq, stored)),
                Err(_) => self.damaged += 1,
            }
        }
        Ok(Some(some))
    }
}

/// What the user's words mean at this moment.
fn plan(asked: &Asked, now: Timestamp) -> Result<Plan> {
    let since = moment("since", &asked.since, now)?;
    let until = asked.until.as_deref().map_or(Ok(now), |text| moment("until", text, now))?;
    if until < since {
        return Err(Error::config(format!("--until {until} lies before --since {since}")));
    }
    let mut all = Vec::new();
    for text in &asked.conditions {
        all.extend(conditions(text)?);
    }
    Ok(Plan {
        source: asked.source.clone(),
        since,
        until,
        conditions: all,
        destinations: asked.destinations,
        dry_run: asked.dry_run,
        diff: asked.diff,
        args: json!([asked.source, asked.since, asked.until, asked.conditions, asked.destinations])
            .to_string(),
        restart: asked.restart,
    })
}

/// A time, a date, or a span back from now. What names no zone is UTC; a day is 24 hours.
fn moment(name: &str, text: &str, now: Timestamp) -> Result<Timestamp> {
    let wrong = || {
        Error::config(format!(
            "--{name} {text:?} is no time: write it like 2024-05-06T12:00:00Z, 2024-05-06 (midnight UTC), 2h or 3d"
        ))
    };
    if let Some(span) = duration(text) {
        let span = SignedDuration::try_from(span).map_err(|_| wrong())?;
        return now.checked_sub(span).map_err(|_| wrong());
    }
    parse_time(text).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_time_a_date_or_a_span_back() {
        let now: Timestamp = "2024-05-06T12:00:00Z".parse().unwrap();
        for (text, expected) in [
            ("2024-05-01T10:00:00+02:00", "2024-05-01T08:00:00Z"),
            ("2024-05-01 10:00", "2024-05-01T10:00:00Z"),
            ("2024-05-01", "2024-05-01T00:00:00Z"),
            ("2h", "2024-05-06T10:00:00Z"),
            ("3d", "2024-05-03T12:00:00Z"),
            ("1d 12h", "2024-05-05T00:00:00Z"),
        ] {
            assert_eq!(moment("since", text, now).unwrap().to_string(), expected, "{text}");
        }
        for text in ["soon", "", "2024-13-01", "5 parsecs"] {
            let error = moment("since", text, now).unwrap_err().to_string();
            assert!(error.contains("--since") && error.contains("write it like"), "{error}");
        }
    }
}
