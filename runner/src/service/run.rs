//! `headwater run`: the receiver, the pipeline and the scheduler, until told to stop.

use std::{collections::HashMap, net::SocketAddr, sync::Arc, time::Duration};

use headwater_core::error::{Error, Result};
use jiff::Timestamp;
use tokio::{net::TcpListener, task::JoinSet};

use super::{Events, Service, control};
use crate::{
    pipeline::aside::Aside,
    receive,
    sync::{Ending, Silent, schedule::Schedule},
};

/// How long requests that are under way may take to end.
const DRAIN: Duration = Duration::from_secs(10);

impl Service {
    /// Runs everything until [`Service::stop`]. `ready` hears of the address that the receiver listens on.
    pub async fn run(self: &Arc<Self>, ready: impl FnOnce(SocketAddr)) -> Result<()> {
        let mut events = self.events().await?;
        let listen = self.config.receive.listen;
        let named = |error: std::io::Error| Error::config(format!("receive.listen {listen}: {error}"));
        let listener = TcpListener::bind(listen).await.map_err(named)?;
        let address = listener.local_addr().map_err(named)?;
        let mut tasks = JoinSet::new();
        let Some(loader) = events.loader.take() else {
            return Err(Error::unexpected("the loader runs already"));
        };
        let aside = Aside::start()?;
        aside.spawn(&mut tasks, loader.run(events.live.normaliser.eligible(), self.stopping()));
        let normaliser = events.live.normaliser.clone();
        let stop = self.stopping();
        aside.spawn(&mut tasks, async move { normaliser.run(stop).await });
        let router = receive::router(events.live.receiver.clone());
        let mut stop = self.stopping();
        let server = axum::serve(listener, router.into_make_service_with_connect_info::<SocketAddr>())
            .with_graceful_shutdown(async move {
                let _ = stop.wait_for(|stop| *stop).await;
            });
        let server = tokio::spawn(async move { server.await });
        *self.live.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some(events.live.clone());
        tasks.spawn(control::listen(self.clone()));
        ready(address);
        self.schedule(&mut events).await;
        if tokio::time::timeout(DRAIN, server).await.is_err() {
            tracing::warn!("requests that were still open after {} s were cut", DRAIN.as_secs());
        }
        while let Some(ended) = tasks.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "a part of the service ended badly");
            }
        }
        *self.live.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = None;
        events.live.close().await;
        Ok(())
    }

    /// Starts what is due, until told to stop; then waits for the runs that are under way to reach their page's end.
    async fn schedule(self: &Arc<Self>, events: &mut Events) {
        let mut runs = JoinSet::new();
        let mut paused: HashMap<String, Timestamp> = HashMap::new();
        let mut stop = self.stopping();
        let mut tick = tokio::time::interval(Duration::from_secs(1));
        while !*stop.borrow() {
            tokio::select! {
                _ = stop.changed() => break,
                Some(source) = events.touched.recv() => self.fetch_touched(source, &mut runs),
                Some(ended) = runs.join_next(), if !runs.is_empty() => {
                    if let Ok(Some((source, until))) = ended {
                        paused.insert(source, until);
                    }
                }
                _ = tick.tick() => {
                    let mut due = self.due(&paused).await;
                    // A pause that has ended is a moment of its own: the allotment is back.
                    paused.retain(|source, until| {
                        let waits = *until > Timestamp::now() || self.is_busy(source);
                        if !waits {
                            due.push(source.clone());
                        }
                        waits
                    });
                    for source in due {
                        let service = self.clone();
                        runs.spawn(async move { service.run_scheduled(source).await });
                    }
                }
            }
        }
        while runs.join_next().await.is_some() {}
    }

    /// The sources whose time has come: the moment is on disk before the run begins.
    async fn due(&self, paused: &HashMap<String, Timestamp>) -> Vec<String> {
        let now = Timestamp::now();
        let mut due = Vec::new();
        let waiting: Vec<_> = self
            .sources
            .values()
            .filter(|source| source.enabled && !paused.contains_key(&source.name))
            .collect();
        for source in waiting {
            let Some(text) = &source.schedule else { continue };
            let found: Result<bool> = async {
                let schedule = Schedule::parse(text, source.timezone.as_deref(), source.jitter.as_deref())?;
                let moment = match self.state.fired(&source.name).await? {
                    // A new source begins at once.
                    None => now,
                    Some(last) => match schedule.due(last, now) {
                        Some(moment) if moment + schedule.delay(&source.name, moment) <= now => moment,
                        _ => return Ok(false),
                    },
                };
                if self.is_busy(&source.name) {
                    return Ok(false);
                }
                self.state.set_fired(&source.name, moment).await?;
                Ok(true)
            }
            .await;
            match found {
                Ok(true) => due.push(source.name.clone()),
                Ok(false) => {}
                Err(error) => {
                    tracing::error!(source = source.name, %error, "the schedule cannot be followed")
                }
            }
        }
        due
    }

    fn is_busy(&self, source: &str) -> bool {
        let busy = self.busy.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        busy.get(source).is_some_and(|turn| turn.try_lock().is_err())
    }

    /// Runs a source; returns until when it is paused, if an allotment is spent.
    async fn run_scheduled(self: Arc<Self>, name: String) -> Option<(String, Timestamp)> {
        let done: Result<_> = async {
            let job = self.job(self.source(&name)?).await?;
            self.sync(job, Arc::new(Silent)).await
        }
        .await;
        match done {
            Ok(report) => {
                let error = report.error.as_deref().unwrap_or_default();
                match report.ending {
                    Ending::Success => tracing::info!(source = name, run = report.run, "synced"),
                    ending => tracing::warn!(
                        source = name,
                        run = report.run,
                        ending = ending.name(),
                        error,
                        "synced"
                    ),
                }
                report.paused_until.map(|until| (name, until))
            }
            Err(error) => {
                tracing::error!(source = name, %error, "the sync could not run");
                None
            }
        }
    }

    fn fetch_touched(self: &Arc<Self>, source: String, runs: &mut JoinSet<Option<(String, Timestamp)>>) {
        // A run under way, or one that waits already, will find the touch too; a thousand touches are one run.
        if self.is_busy(&source) {
            return;
        }
        let service = self.clone();
        runs.spawn(async move {
            let done: Result<()> = async {
                let mut job = service.job(service.source(&source)?).await?;
                job.touched_only = true;
                let report = service.sync(job, Arc::new(Silent)).await?;
                report.error.map_or(Ok(()), |error| Err(Error::transient(error)))
            }
            .await;
            if let Err(error) = done {
                tracing::warn!(source, %error, "touched rows wait for the next sync");
            }
            None
        });
    }
}
