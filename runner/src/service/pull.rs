//! Events that are fetched: what a pull brings goes to the inbox, and behind it, in the same fsync, where the next one goes on. So a
//! crash neither loses nor doubles anything. From there they are deliveries like all others.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use headwater_core::{
    connector::Open,
    error::{Error, Result},
    event::{Delivery, EventPull, Pulled},
    http::Client,
    object::Account,
};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::Value;

use super::{Live, Service, replay::OwnPipeline};
use crate::{
    config::SourceSettings,
    inbox::{DeliveryKind, StoredDelivery},
    state::Run,
    sync::{Job, Observer, Outcome, Report, Silent, is_fatal, options},
};

/// What is fetched, as reports name it.
const EVENTS: &str = "events";
/// Bytes of the inbox that are searched at once for where a pull had come to.
const CHUNK: usize = 4 << 20;
/// The pause after a failure; it doubles with each.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest.
const LONGEST: Duration = Duration::from_secs(300);
/// A source that is fetched all the time gets a line among the runs no more often.
const LINE: SignedDuration = SignedDuration::from_mins(10);
/// How often it is looked whether everything has become rows.
const LOOK: Duration = Duration::from_millis(20);

/// How the fetching of a source goes.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Fetching {
    /// When it last came to the end of what there was.
    pub up_to_date: Option<Timestamp>,
    /// Deliveries since the program started.
    pub deliveries: u64,
    /// Why it does not go on, if it does not.
    pub error: Option<String>,
}

/// What is known of all sources whose events are fetched.
#[derive(Default)]
pub struct Pulls {
    /// Where each goes on, as the inbox has it.
    cursors: Mutex<HashMap<String, Value>>,
    fetching: Mutex<BTreeMap<String, Fetching>>,
}

impl Pulls {
    /// How the fetching of a source goes, if it has begun.
    pub fn of(&self, source: &str) -> Option<Fetching> {
        self.fetching.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).get(source).cloned()
    }

    fn note(&self, source: &str, change: impl FnOnce(&mut Fetching)) {
        let mut all = self.fetching.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        change(all.entry(source.to_owned()).or_default());
    }

    fn cursor(&self, source: &str) -> Option<Value> {
        self.cursors.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).get(source).cloned()
    }

    fn set_cursor(&self, source: &str, cursor: Value) {
        self.cursors
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
            .insert(source.to_owned(), cursor);
    }
}

/// A source whose events are fetched, open.
pub(super) type Opened = (Box<dyn EventPull>, Client, Account);

impl Service {
    /// Opens a source whose events are fetched, which proves its credentials, and remembers its account.
    pub(super) async fn open_pull(
        &self,
        source: &SourceSettings,
        open: Open<dyn EventPull>,
    ) -> Result<Opened> {
        let job = self.job(source).await?;
        let opened = self.open_job(&job, open).await.map_err(|error| error.within("source", &source.name))?;
        if opened.2 != job.account {
            self.state.set_account(&source.name, &opened.2).await?;
        }
        Ok(opened)
    }

    async fn open_job(&self, job: &Job, open: Open<dyn EventPull>) -> Result<Opened> {
        let source = open(job.settings.clone())?;
        let tools = self.tools(Arc::new(Silent));
        let client = |account: &Account| Client::new(source.api(account)?, options(job, &tools, account));
        let first = client(&job.account)?;
        let account = source.check(&first).await?;
        let client = match account == job.account {
            true => first,
            false => client(&account)?.with_clock_of(&first),
        };
        Ok((source, client, account))
    }

    /// Fetches what there is, as a part of a run.
    pub(super) async fn pull(
        &self,
        job: &Job,
        open: Open<dyn EventPull>,
        observer: &dyn Observer,
        report: &mut Report,
    ) {
        let mut outcome = Outcome::default();
        let done: Result<()> = async {
            let opened = self.open_job(job, open).await?;
            report.account = opened.2.clone();
            observer.started(&job.source, &[EVENTS]);
            if job.full {
                self.pulls.set_cursor(&job.source, Value::Null);
            }
            if let Some(live) = self.running() {
                return self.fetch_all(&job.source, &opened, &live, observer, &mut outcome).await;
            }
            let mut events = self.events().await?;
            let own = OwnPipeline::start(&mut events)?;
            let done = self.fetch_all(&job.source, &opened, &events.live, observer, &mut outcome).await;
            // Nobody else makes rows of it.
            let stop = self.stopping();
            while done.is_ok() && !*stop.borrow() && !events.live.is_drained().await? {
                tokio::time::sleep(LOOK).await;
            }
            own.end().await;
            events.live.close().await;
            done
        }
        .await;
        if let Err(error) = &done {
            outcome.fail(error);
        }
        observer.ended(&job.source, EVENTS, &outcome);
        report.collections.insert(EVENTS.to_owned(), outcome);
        report.conclude(done.err().filter(is_fatal).as_ref());
    }

    /// Pulls until there is no more, or until told to stop.
    async fn fetch_all(
        &self,
        name: &str,
        (source, client, _): &Opened,
        live: &Live,
        observer: &dyn Observer,
        outcome: &mut Outcome,
    ) -> Result<()> {
        let connector = self.source(name)?.connector()?.name;
        let mut cursor = self.pull_cursor(name, live).await?;
        let mut stop = self.stopping();
        let stall = self.tools(Arc::new(Silent)).bounds.stall;
        loop {
            let pulled = tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => {
                    outcome.stopped = true;
                    return Ok(());
                }
                pulled = tokio::time::timeout(stall, source.pull(client, &cursor)) => pulled,
            };
            let late = |_| Error::transient(format!("nothing has come for {} s", stall.as_secs()));
            let Pulled { deliveries, cursor: next, more } = pulled.map_err(late)??;
            let count = deliveries.len() as u64;
            if count > 0 || next != cursor {
                let mut fetched: Vec<StoredDelivery> = deliveries
                    .into_iter()
                    .map(|(surface, delivery)| stored(name, connector, surface, delivery))
                    .collect();
                let body = Bytes::from(next.to_string());
                let behind = stored(name, connector, "", Delivery::fetched(Timestamp::now(), body));
                fetched.push(StoredDelivery { kind: DeliveryKind::Cursor, ..behind });
                live.receiver.keep_fetched(fetched).await?;
            } else if more {
                return Err(Error::unexpected("the next pull is this one: its cursor does not move"));
            }
            self.pulls.set_cursor(name, next.clone());
            cursor = next;
            outcome.pages += 1;
            outcome.records += count;
            self.pulls.note(name, |fetching| fetching.deliveries += count);
            observer.page(name, EVENTS, outcome);
            if !more {
                self.pulls.note(name, |fetching| fetching.up_to_date = Some(Timestamp::now()));
                return Ok(());
            }
        }
    }

    /// Where a pull goes on: behind what is newest in the inbox.
    async fn pull_cursor(&self, name: &str, live: &Live) -> Result<Value> {
        if let Some(cursor) = self.pulls.cursor(name) {
            return Ok(cursor);
        }
        // The books have it up to where the normaliser was; from there on the inbox has.
        let mut next = live.books.position("inbox").await?.max(1);
        let mut newest = live.books.cursor(name).await?;
        let end = live.inbox.committed();
        while next <= end {
            let batch = live.inbox.read(next, CHUNK).await?;
            for frame in &batch.frames {
                let Ok(stored) = StoredDelivery::decode(&frame.body) else { continue };
                if stored.kind == DeliveryKind::Cursor && stored.source == name {
                    newest = Some(String::from_utf8_lossy(&stored.delivery.body).into_owned());
                }
            }
            if batch.next == next {
                break;
            }
            next = batch.next;
        }
        let cursor = newest.map_or(Ok(Value::Null), |cursor| serde_json::from_str(&cursor))?;
        self.pulls.set_cursor(name, cursor.clone());
        Ok(cursor)
    }

    /// Fetches a source's events all the time, until told to stop.
    pub(super) async fn fetch(self: Arc<Self>, name: String, live: Live) {
        let notified = live.receiver.notified(&name);
        let mut stop = self.stopping();
        let mut opened = None;
        let mut backoff = PAUSE;
        let mut line = Line::new();
        while !*stop.borrow() {
            let turn = self.turn(&name);
            let fetched = {
                let _turn = turn.lock().await;
                self.fetch_once(&name, &live, &mut opened, &mut line.outcome).await
            };
            let pause = match &fetched {
                Ok(pause) => {
                    backoff = PAUSE;
                    *pause
                }
                Err(error) => {
                    tracing::warn!(source = name, %error, "events cannot be fetched; trying again");
                    // What it was opened with may have been the reason.
                    opened = None;
                    let until = error.until().map(|until| until.duration_since(Timestamp::now()));
                    let asked = until.and_then(|until| Duration::try_from(until).ok()).or(error.wait());
                    let pause = asked.unwrap_or_default().max(backoff);
                    backoff = (backoff * 2).min(LONGEST);
                    pause
                }
            };
            let is_good = fetched.is_ok();
            let error = fetched.err();
            self.pulls.note(&name, |fetching| fetching.error = error.as_ref().map(ToString::to_string));
            let ends = *stop.borrow();
            self.write_line(&name, &mut line, error, ends).await;
            tokio::select! {
                _ = stop.changed() => {}
                () = notified.notified(), if is_good => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Fetches what there is; returns how long to wait before the next time.
    async fn fetch_once(
        &self,
        name: &str,
        live: &Live,
        opened: &mut Option<Opened>,
        outcome: &mut Outcome,
    ) -> Result<Duration> {
        let source = self.source(name)?;
        let connector = source.connector()?;
        let open =
            connector.pull.ok_or_else(|| Error::config(format!("{} is not fetched", connector.title)))?;
        let opened = match opened {
            Some(opened) => opened,
            None => opened.insert(self.open_pull(source, open).await?),
        };
        self.fetch_all(name, opened, live, &Silent, outcome).await?;
        Ok(opened.0.pause())
    }

    /// A line among the runs for what has been fetched, if it is time for one.
    async fn write_line(&self, name: &str, line: &mut Line, error: Option<Error>, ends: bool) {
        let now = Timestamp::now();
        let is_new = error.as_ref().map(ToString::to_string) != line.error;
        let is_due = ends || now.duration_since(line.began) >= LINE;
        if !((error.is_some() && (is_new || is_due)) || (line.outcome.records > 0 && is_due)) {
            line.error = error.map(|error| error.to_string());
            return;
        }
        let written: Result<()> = async {
            let mut report = Report::begin(&self.job(self.source(name)?).await?)?;
            report.began = line.began;
            if let Some(error) = &error {
                line.outcome.fail(error);
            }
            line.outcome.stopped = false;
            report.collections.insert(EVENTS.to_owned(), std::mem::take(&mut line.outcome));
            report.conclude(error.as_ref().filter(|error| is_fatal(error)));
            self.add_run(&report).await
        }
        .await;
        if let Err(error) = written {
            tracing::warn!(source = name, %error, "what was fetched has no line among the runs");
        }
        *line = Line { error: error.map(|error| error.to_string()), ..Line::new() };
    }

    pub(super) async fn add_run(&self, report: &Report) -> Result<()> {
        let run = Run {
            id: report.run.clone(),
            source: report.source.clone(),
            began: report.began,
            ended: report.ended,
            ending: report.ending.name().to_owned(),
            report: serde_json::to_value(report)?,
        };
        self.state.add_run(&run).await
    }
}

/// What has been fetched since the last line among the runs.
struct Line {
    began: Timestamp,
    outcome: Outcome,
    error: Option<String>,
}

impl Line {
    fn new() -> Self {
        Self { began: Timestamp::now(), outcome: Outcome::default(), error: None }
    }
}

fn stored(source: &str, connector: &str, surface: &str, delivery: Delivery) -> StoredDelivery {
    StoredDelivery {
        source: source.to_owned(),
        connector: Some(connector.to_owned()),
        surface: surface.to_owned(),
        kind: DeliveryKind::Pull,
        verified: "fetched by us".to_owned(),
        delivery,
    }
}
