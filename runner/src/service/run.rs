//! `headwater run`: the receiver, the pipeline and the scheduler, until told to stop.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use headwater_core::error::{Error, Result};
use jiff::Timestamp;
use tokio::{sync::mpsc, task::JoinSet};

use super::{
    Events, Live, Service, Socket, control,
    timetable::{Due, Timetable},
    vendors::Asker,
};
use crate::{
    pipeline::{aside::Aside, enquirer::Enquirer},
    receive,
    sync::{Ending, Job, Silent, schedule::Schedule},
};

/// How long requests that are under way may take to end.
const DRAIN: Duration = Duration::from_secs(10);
/// The timetable is looked at no less often, so that a clock that was set is noticed.
const LOOK: Duration = Duration::from_secs(30);
/// Handshakes that may wait to be confirmed.
const CONFIRMATIONS: usize = 64;
/// How long runs may take to come to their page's end, and the loader to the end of what it has. What is broken off then is done again
/// at the next start.
const FINISH: Duration = Duration::from_secs(30);

impl Service {
    /// Runs everything until [`Service::stop`], on this socket. `ready` hears of the address that the receiver listens on.
    ///
    /// At the end, runs and the loader come to a safe point first, while deliveries are still taken; accepting stops last, so that
    /// whoever takes the socket over has little to catch up with.
    pub async fn run(self: &Arc<Self>, socket: &Socket, ready: impl FnOnce(SocketAddr)) -> Result<()> {
        let mut events = self.events().await?;
        let mut tasks = JoinSet::new();
        let Some(loader) = events.loader.take() else {
            return Err(Error::unexpected("the loader runs already"));
        };
        let aside = Aside::start()?;
        aside.spawn(&mut tasks, loader.run(events.live.normaliser.eligible(), self.stopping()));
        for outbox in events.outboxes.drain(..) {
            tasks.spawn(outbox.run(events.live.normaliser.eligible(), self.stopping()));
        }
        let normaliser = events.live.normaliser.clone();
        let stop = self.stopping();
        aside.spawn(&mut tasks, async move { normaliser.run(stop).await });
        let router = receive::router(events.live.receiver.clone(), events.live.ready.clone());
        let server =
            receive::serve(socket.listener()?, router, events.live.receiver.clone(), self.stopping());
        *self.live.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some(events.live.clone());
        tasks.spawn(control::listen(self.clone()));
        self.ask_vendors(&events.live, &mut tasks);
        for source in self.sources.values().filter(|source| source.enabled && source.schedule.is_none()) {
            if source.connector()?.pull.is_some() {
                tasks.spawn(self.clone().fetch(source.name.clone(), events.live.clone()));
            }
        }
        ready(socket.address());
        self.schedule(&mut events).await;
        let finished = async {
            while let Some(ended) = tasks.join_next().await {
                if let Err(error) = ended {
                    tracing::error!(%error, "a part of the service ended badly");
                }
            }
        };
        if tokio::time::timeout(FINISH, finished).await.is_err() {
            tracing::warn!("loading goes on at the next start: it did not end within {} s", FINISH.as_secs());
            tasks.shutdown().await;
        }
        let cut = server.close(DRAIN).await;
        if cut > 0 {
            tracing::warn!("{cut} requests that were still open after {} s were cut", DRAIN.as_secs());
        }
        *self.live.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = None;
        events.live.close().await;
        Ok(())
    }

    /// Starts whatever asks vendors for events: look-ups, and what follows handshakes.
    fn ask_vendors(self: &Arc<Self>, live: &Live, tasks: &mut JoinSet<()>) {
        let asker = Arc::new(Asker::new(self.clone()));
        let (confirm, wanted) = mpsc::channel(CONFIRMATIONS);
        live.receiver.set_confirm(confirm);
        let enquirer = Enquirer {
            inbox: live.inbox.clone(),
            books: live.books.clone(),
            normaliser: live.normaliser.clone(),
            vendors: asker.clone(),
        };
        tasks.spawn(Arc::new(enquirer).run(self.stopping()));
        let mut stop = self.stopping();
        tasks.spawn(async move {
            tokio::select! {
                () = asker.confirm(wanted) => {}
                _ = stop.wait_for(|stop| *stop) => {}
            }
        });
    }

    /// Starts what is due, until told to stop; then waits for the runs that are under way to reach their page's end.
    async fn schedule(self: &Arc<Self>, events: &mut Events) {
        let mut runs = JoinSet::new();
        let mut table = self.timetable().await;
        let mut stop = self.stopping();
        while !*stop.borrow() {
            let now = Timestamp::now();
            for due in table.due(now) {
                match self.begin(&due).await {
                    true => {
                        table.began(&due);
                        let service = self.clone();
                        runs.spawn(async move { service.run_scheduled(due.source).await });
                    }
                    false => table.wait(&due.source, now),
                }
            }
            let wait = table.wake().map_or(LOOK, |wake| {
                Duration::try_from(wake.duration_since(Timestamp::now())).unwrap_or_default().min(LOOK)
            });
            tokio::select! {
                _ = stop.changed() => break,
                Some(source) = events.touched.recv() => self.fetch_touched(source, &mut runs),
                Some(ended) = runs.join_next(), if !runs.is_empty() => {
                    if let Ok(Some((source, until))) = ended {
                        table.pause(&source, until);
                    }
                }
                () = tokio::time::sleep(wait) => {}
            }
        }
        let ended = async { while runs.join_next().await.is_some() {} };
        if tokio::time::timeout(FINISH, ended).await.is_err() {
            tracing::warn!(
                "syncs go on at the next start: they did not reach a page's end within {} s",
                FINISH.as_secs()
            );
            runs.shutdown().await;
        }
    }

    /// The sources that have a schedule, and how far each has come.
    async fn timetable(&self) -> Timetable {
        let mut table = Timetable::default();
        let paused = self.state.paused().await.unwrap_or_else(|error| {
            tracing::error!(%error, "pauses are forgotten");
            Default::default()
        });
        for source in self.sources.values().filter(|source| source.enabled) {
            let Some(text) = &source.schedule else { continue };
            let found: Result<_> = async {
                let schedule = Schedule::parse(text, source.timezone.as_deref(), source.jitter.as_deref())?;
                Ok((schedule, self.state.fired(&source.name).await?))
            }
            .await;
            match found {
                Ok((schedule, last)) => {
                    table.add(&source.name, schedule, last, paused.get(&source.name).copied());
                }
                Err(error) => {
                    tracing::error!(source = source.name, %error, "the schedule cannot be followed")
                }
            }
        }
        table
    }

    /// Whether a source that is due can begin: its moment is on disk before the run begins.
    async fn begin(&self, due: &Due) -> bool {
        if self.is_busy(&due.source) {
            return false;
        }
        let Some(moment) = due.moment else { return true };
        let kept = self.state.set_fired(&due.source, moment).await;
        kept.inspect_err(|error| tracing::error!(source = due.source, %error, "the sync cannot begin"))
            .is_ok()
    }

    fn is_busy(&self, source: &str) -> bool {
        let busy = self.busy.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        busy.get(source).is_some_and(|turn| turn.try_lock().is_err())
    }

    /// Runs a source; returns until when it is paused, if an allotment is spent.
    async fn run_scheduled(self: Arc<Self>, name: String) -> Option<(String, Timestamp)> {
        let done: Result<_> = async {
            let source = self.source(&name)?;
            let job = Job { reserve: source.reserved()?, ..self.job(source).await? };
            self.sync(job, Arc::new(Silent)).await
        }
        .await;
        match done {
            Ok(report) => {
                // A restart does not end a pause.
                if let Err(error) = self.state.set_paused(&name, report.paused_until).await {
                    tracing::error!(source = name, %error, "a restart will not know of the pause");
                }
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
