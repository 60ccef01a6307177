//! Look-ups: a delivery that holds only ids waits in the books while its vendor is asked; its answers are kept beside it, one by one, and
//! with the last of them it becomes calls. Each source has a task and pauses of its own: a vendor that is away holds back no other.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{FutureExt, StreamExt, stream};
use headwater_core::{
    error::{Error, Kind, Result},
    object::Request,
};
use jiff::{SignedDuration, Timestamp};
use tokio::{sync::watch, task::JoinSet};

use super::{
    books::{Answer, Books, Waiting},
    normalise::normalise,
    normaliser::{Normaliser, answer},
};
use crate::inbox::{Inbox, StoredDelivery};

/// So long a delivery waits for a vendor that is away, or for credentials that are good. Then its items are rejected, and kept: a replay
/// asks again.
const PATIENCE: SignedDuration = SignedDuration::from_hours(7 * 24);
/// The pause after a failure; it doubles with each.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest.
const LONGEST: Duration = Duration::from_secs(300);
/// Deliveries of one source that ask at once.
const SIDE_BY_SIDE: usize = 4;
/// Deliveries that are taken from the list at once.
const SOME: u32 = 64;
/// The list is looked at no less often, whatever has not been told.
const LOOK: Duration = Duration::from_secs(60);

/// Whom look-ups ask.
#[async_trait]
pub trait Vendors: Send + Sync {
    /// Asks a source's vendor, through the one client of its account; returns the body of a good answer.
    async fn ask(&self, source: &str, request: Request) -> Result<Bytes>;
}

/// Asks for all deliveries that wait.
pub struct Enquirer {
    /// Where they are kept.
    pub inbox: Arc<dyn Inbox>,
    /// Which wait, and their answers.
    pub books: Books,
    /// Makes calls of them.
    pub normaliser: Arc<Normaliser>,
    /// Whom they ask.
    pub vendors: Arc<dyn Vendors>,
}

/// A source whose vendor was asked in vain.
struct Pause {
    until: Instant,
    length: Duration,
}

impl Enquirer {
    /// Works until told to stop. What is under way then is asked again at the next start, but for the answers that have come.
    pub async fn run(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        let mut waiting = self.normaliser.waiting();
        let mut tasks: JoinSet<(String, Result<()>)> = JoinSet::new();
        let mut busy: HashMap<tokio::task::Id, String> = HashMap::new();
        let mut pauses: HashMap<String, Pause> = HashMap::new();
        while !*stop.borrow() {
            waiting.borrow_and_update();
            let now = Instant::now();
            let mut wake = now + LOOK;
            let sources = self.books.waiting().await.unwrap_or_else(|error| {
                tracing::error!(%error, "what waits for look-ups cannot be read");
                Vec::new()
            });
            for (source, _) in sources {
                match pauses.get(&source) {
                    _ if busy.values().any(|busy| *busy == source) => {}
                    Some(pause) if pause.until > now => wake = wake.min(pause.until),
                    _ => {
                        let (this, name) = (self.clone(), source.clone());
                        let task = tasks.spawn(async move {
                            let done = this.source(&name).await;
                            (name, done)
                        });
                        busy.insert(task.id(), source);
                    }
                }
            }
            tokio::select! {
                _ = stop.changed() => break,
                _ = waiting.changed() => {}
                Some(ended) = tasks.join_next_with_id(), if !tasks.is_empty() => match ended {
                    Ok((id, (source, done))) => {
                        busy.remove(&id);
                        rest(&mut pauses, source, done);
                    }
                    Err(error) => {
                        if let Some(source) = busy.remove(&error.id()) {
                            rest(&mut pauses, source, Err(Error::unexpected(format!("its look-ups ended badly: {error}"))));
                        }
                    }
                },
                () = tokio::time::sleep_until(wake.into()) => {}
            }
        }
    }

    /// Asks for the deliveries of one source, until none is left or all of some have failed.
    async fn source(&self, source: &str) -> Result<()> {
        let mut after = 0;
        let mut failed = None;
        loop {
            let some = self.books.waiting_of(source, after, SOME).await?;
            let Some(last) = some.last() else { return failed.map_or(Ok(()), Err) };
            after = last.delivery;
            let mut good = 0;
            let all: Vec<_> = some
                .into_iter()
                .map(|waiting| async move { self.delivery(&waiting).await }.boxed())
                .collect();
            let mut all = stream::iter(all).buffer_unordered(SIDE_BY_SIDE);
            while let Some(done) = all.next().await {
                match done {
                    Ok(()) => good += 1,
                    Err(error) => failed = Some(error),
                }
            }
            if let Some(error) = failed.take_if(|_| good == 0) {
                return Err(error);
            }
        }
    }

    /// Asks what one delivery has to ask, and makes calls of it.
    async fn delivery(&self, waiting: &Waiting) -> Result<()> {
        let seq = waiting.delivery;
        let frames = self.inbox.read(seq, 1).await?.frames;
        let stored = frames.into_iter().find(|frame| frame.seq == seq);
        let Some(mut stored) = stored.and_then(|frame| StoredDelivery::decode(&frame.body).ok()) else {
            return self.normaliser.settle(waiting, None, &[]).await;
        };
        let sources = self.normaliser.sources();
        let overdue = Timestamp::now().duration_since(waiting.since) > PATIENCE;
        let Some(source) = sources.get(&stored.source) else {
            // It may be enabled again.
            if !overdue {
                return Err(Error::config(format!("source {} is not enabled", stored.source)));
            }
            return self.normaliser.settle(waiting, Some(stored), &[]).await;
        };
        let known = self.books.answers(seq, seq).await?;
        answer(&mut stored, seq, &known);
        let mut refused: Vec<(u32, String)> = Vec::new();
        for ask in normalise(&stored, source, &sources, self.normaliser.limits(), seq).asks {
            let (item, place) = (ask.item, ask.place);
            if known.iter().any(|known| (known.item, known.place) == (item, place))
                || refused.iter().any(|(other, _)| *other == item)
            {
                continue;
            }
            let body = match self.vendors.ask(&ask.source, ask.request).await {
                Ok(body) => body,
                Err(error) if is_refusal(&error) => {
                    tracing::warn!(source = ask.source, delivery = seq, item, %error, "a look-up was refused: its answer is empty");
                    Bytes::new()
                }
                Err(error) if overdue || !is_worth_waiting(&error) => {
                    refused.push((item, format!("look-up: {error}")));
                    continue;
                }
                Err(error) => return Err(error),
            };
            self.books.keep_answer(Answer { delivery: seq, item, place, answer: body }).await?;
        }
        stored.delivery.lookups.clear();
        answer(&mut stored, seq, &self.books.answers(seq, seq).await?);
        self.normaliser.settle(waiting, Some(stored), &refused).await
    }
}

/// A source rests after a failure, longer each time.
fn rest(pauses: &mut HashMap<String, Pause>, source: String, done: Result<()>) {
    let Err(error) = done else {
        pauses.remove(&source);
        return;
    };
    let length = pauses.get(&source).map_or(PAUSE, |pause| (pause.length * 2).min(LONGEST));
    let asked = match error.until() {
        Some(until) => Duration::try_from(until.duration_since(Timestamp::now())).unwrap_or_default(),
        None => error.wait().unwrap_or_default(),
    };
    tracing::warn!(source, %error, "deliveries wait for look-ups; trying again");
    // The list is looked at again by then, should the vendor have asked for a day.
    let until = Instant::now() + asked.clamp(length, length.max(Duration::from_secs(24 * 3600)));
    pauses.insert(source, Pause { until, length });
}

/// Whether the vendor has refused for good: the record is gone, or not for these credentials.
fn is_refusal(error: &Error) -> bool {
    error.kind() == Kind::Forbidden || matches!(error.status(), Some(403 | 404 | 410))
}

/// Whether the same request may succeed later: the vendor comes back, or the user mends the credentials.
fn is_worth_waiting(error: &Error) -> bool {
    error.kind().is_temporary() || matches!(error.kind(), Kind::Auth | Kind::Config)
}
