//! The outbox of one destination: it reads the calls log from its own position, sends, and stores what became of every call.
//!
//! [`Outbox::run`] goes round: what has been answered is stored, what has been read is judged, what there is room for is sent. A request
//! begins only once the outcomes of those before it are stored, so that after a crash no more than `concurrency` requests are sent
//! again. A call that fails is kept apart and tried again by itself ([`store`]); the [`breaker`] stops everything where it is not a
//! matter of one call. What nobody takes for too long expires, so that the calls log stays bounded.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use headwater_core::error::Result;
use jiff::{SignedDuration, Timestamp};
use tokio::{
    sync::{Notify, watch},
    task::JoinSet,
};

use super::{Destination, Letter, Verdict};
use crate::{
    config::{DestinationSettings, Terms},
    inbox::{Keep, Log},
};

mod answers;
pub mod breaker;
pub mod offer;
pub mod outcome;
mod settled;
pub mod store;
mod window;

use breaker::{Breaker, Circuit, Light};
use offer::{Fate, Offer};
use outcome::{Outcome, Pile, Step};
use settled::Settled;
use store::{Standing, Store};
use window::Window;

/// Bytes of the calls log that are read at once.
const CHUNK: usize = 1 << 20;
/// Calls that may wait to be sent again. With more of them nothing new is sent: the destination holds.
const WAITING: Pile = Pile { count: 10_000, bytes: 64 << 20 };
/// How long outcomes that cost nothing to find again may stay unstored, and how many of them.
const LAZY: Duration = Duration::from_secs(1);
const MANY: u64 = 20_000;
/// How long requests that are under way may take to end when the program stops.
const DRAIN: Duration = Duration::from_secs(10);

/// What was made of one request: calls that shared a fate, and the fate; none if they have not been sent.
type Parts = Vec<(Vec<Letter>, Option<Verdict>)>;

/// Sends calls to one destination.
pub struct Outbox {
    name: String,
    enabled: bool,
    terms: Terms,
    retain_bytes: u64,
    destination: Arc<dyn Destination>,
    offer: Offer,
    calls: Arc<Log>,
    store: Store,
    /// Rings when letters have been made due from outside.
    bell: Arc<Notify>,
    settled: Settled,
    /// The next frame to read.
    next: u64,
    window: Window,
    under_way: JoinSet<Parts>,
    /// Whose calls are under way, and which letters.
    persons: HashMap<u64, usize>,
    ids: HashSet<i64>,
    /// What is to be stored, and how many frames it covers beyond that.
    step: Step,
    unstored: u64,
    stored: Instant,
    /// Calls that ended badly, and have not been told of yet.
    expired: u64,
    buried: u64,
    breaker: Breaker,
    shown: Circuit,
    /// Until when the destination has asked to be left alone.
    pause: Option<Instant>,
    waiting: Pile,
    dead: Pile,
    next_due: Option<Timestamp>,
    /// Whether it is the waiting letters' turn.
    turn: bool,
    released: Instant,
}

impl Outbox {
    /// The outbox of this destination, which goes on from where it stands.
    pub async fn open(
        settings: &DestinationSettings,
        destination: Box<dyn Destination>,
        standing: Standing,
        calls: Arc<Log>,
        store: Store,
        bell: Arc<Notify>,
    ) -> Result<Self> {
        let now = Instant::now();
        let mut outbox = Self {
            name: settings.name.clone(),
            enabled: settings.enabled,
            terms: settings.terms()?,
            retain_bytes: settings.retain_bytes,
            destination: destination.into(),
            offer: Offer::new(settings),
            next: standing.settled.position(),
            settled: standing.settled,
            calls,
            store,
            bell,
            window: Window::default(),
            under_way: JoinSet::new(),
            persons: HashMap::new(),
            ids: HashSet::new(),
            step: Step::default(),
            unstored: 0,
            stored: now,
            expired: 0,
            buried: 0,
            breaker: Breaker::default(),
            shown: Circuit::Closed,
            pause: None,
            waiting: Pile::default(),
            dead: Pile::default(),
            next_due: None,
            turn: false,
            released: now,
        };
        // A start is a new try: what held the destination before may have been mended.
        if standing.circuit != Light::closed() {
            outbox.step.circuit = Some(Light::closed());
        }
        outbox.calls.pin(&outbox.pin(), outbox.settled.position());
        outbox.recount().await?;
        Ok(outbox)
    }

    /// Works until told to stop. An error of the disk is waited out: nothing is skipped.
    pub async fn run(mut self, mut eligible: watch::Receiver<u64>, mut stop: watch::Receiver<bool>) {
        let mut pause = Duration::from_millis(200);
        while !*stop.borrow() {
            match self.round(&mut eligible, &mut stop).await {
                Ok(()) => pause = Duration::from_millis(200),
                Err(error) => {
                    tracing::error!(destination = self.name, %error, "calls cannot be sent; trying again");
                    tokio::select! {
                        () = tokio::time::sleep(pause) => {}
                        _ = stop.changed() => {}
                    }
                    pause = (pause * 2).min(Duration::from_secs(30));
                }
            }
        }
        self.finish().await;
    }

    async fn round(
        &mut self,
        eligible: &mut watch::Receiver<u64>,
        stop: &mut watch::Receiver<bool>,
    ) -> Result<()> {
        while let Some(done) = self.under_way.try_join_next() {
            self.answered(done)?;
        }
        let end = *eligible.borrow_and_update();
        let has_read = self.read(end).await?;
        self.expire();
        self.show();
        if self.step.is_due() || self.unstored >= MANY || (self.unstored > 0 && self.stored.elapsed() >= LAZY)
        {
            self.commit().await?;
        }
        if self.start().await? || has_read {
            return Ok(());
        }
        let wake = tokio::time::sleep_until(self.wake().into());
        let reads = !self.window.is_full();
        tokio::select! {
            Some(done) = self.under_way.join_next() => self.answered(done)?,
            Ok(()) = eligible.changed(), if reads => {}
            _ = stop.changed() => {}
            () = self.bell.notified() => self.recount().await?,
            () = wake => {}
        }
        Ok(())
    }

    /// Reads on, and judges what is read. False if there is nothing to read, or no room.
    async fn read(&mut self, end: u64) -> Result<bool> {
        if self.next > end || self.window.is_full() {
            return Ok(false);
        }
        let batch = self.calls.read(self.next, CHUNK).await?;
        let next = batch.next.min(end + 1);
        let mut missing = 0;
        let mut at = self.next;
        for frame in batch.frames.iter().filter(|frame| frame.seq < next) {
            missing += self.settled.fill(at, frame.seq);
            at = frame.seq + 1;
            if self.settled.contains(frame.seq) {
                continue;
            }
            match self.offer.judge(frame, &*self.destination) {
                Fate::Send(letter) => self.window.put(letter),
                Fate::Dead(letter, fault) => self.bury(letter, fault),
                Fate::Done(source, outcome, rule) => {
                    self.settle(frame.seq);
                    self.step.count(&source, outcome, &rule, 1);
                }
            }
        }
        missing += self.settled.fill(at, next);
        let expired = missing.min(batch.expired);
        self.step.count("", Outcome::Expired, "", expired);
        self.step.count("", Outcome::Damaged, "", missing - expired);
        self.expired += expired;
        self.unstored += missing;
        let has_read = next > self.next;
        self.next = next;
        Ok(has_read)
    }

    /// Gives up what has waited for longer, or behind more, than it may.
    fn expire(&mut self) {
        let retain = SignedDuration::try_from(self.terms.retain).unwrap_or(SignedDuration::MAX);
        let time = Timestamp::now().checked_sub(retain).unwrap_or(Timestamp::MIN);
        let seq = self.calls.oldest_within(&Keep { bytes: self.retain_bytes, age: Duration::MAX });
        for letter in self.window.expire(time, seq) {
            self.settle(letter.seq);
            self.step.count(&letter.source, Outcome::Expired, "", 1);
            self.expired += 1;
        }
    }

    /// Sends what there is and may be sent.
    async fn start(&mut self) -> Result<bool> {
        let now = Instant::now();
        if !self.enabled || self.pause.is_some_and(|until| until > now) {
            return Ok(false);
        }
        self.pause = None;
        let mut started = false;
        let most = self.terms.concurrency;
        while self.breaker.room(now, self.under_way.len(), most) > 0 {
            let letters = self.pick().await?;
            if letters.is_empty() {
                break;
            }
            for letter in &letters {
                *self.persons.entry(letter.person).or_default() += 1;
                if letter.id != 0 {
                    self.ids.insert(letter.id);
                }
            }
            self.breaker.begun();
            self.under_way.spawn(send(self.destination.clone(), letters));
            if self.next_due.is_some() {
                self.next_due = self.store.next_due(&self.name, &self.ids).await?;
            }
            started = true;
        }
        Ok(started)
    }

    /// The calls of the next request: by turns letters that are due again, and calls from the log.
    async fn pick(&mut self) -> Result<Vec<Letter>> {
        let now = Timestamp::now();
        let is_due = self.next_due.is_some_and(|due| due <= now);
        self.turn = !self.turn;
        if is_due && self.turn {
            return self.pick_due(now).await;
        }
        if !self.waiting.is_beyond(WAITING) {
            let fresh = self.window.take(self.destination.room(), &self.persons);
            if !fresh.is_empty() {
                return Ok(fresh);
            }
        }
        if is_due { self.pick_due(now).await } else { Ok(Vec::new()) }
    }

    /// Letters that are due: the more often they have failed, the fewer share a request, until each is alone. So one that nobody can
    /// take does not bring the others down for ever.
    async fn pick_due(&self, now: Timestamp) -> Result<Vec<Letter>> {
        let room = self.destination.room();
        let due = self.store.due(&self.name, now, &self.ids, room).await?;
        let (mut picked, mut most): (Vec<Letter>, _) = (Vec::new(), room.calls);
        for letter in due {
            let share = room.calls.checked_shr(2 * letter.attempts).unwrap_or(0).max(1);
            most = most.min(share);
            if !picked.is_empty() && picked.len() >= most {
                break;
            }
            picked.push(letter);
        }
        Ok(picked)
    }

    /// Notes that the circuit has changed, for whoever looks at it.
    fn show(&mut self) {
        let circuit = self.breaker.circuit();
        let state = |circuit| match circuit {
            Circuit::Closed => "closed",
            Circuit::Open(_) => "open",
            Circuit::HalfOpen => "half-open",
        };
        if state(circuit) == state(self.shown) {
            return;
        }
        let reason = self.breaker.fault().map(|fault| fault.reason.clone());
        match (self.shown, circuit) {
            (Circuit::Closed, _) => tracing::error!(
                destination = self.name,
                reason,
                "the destination fails: its calls are held, and it is asked again by itself"
            ),
            (_, Circuit::Closed) => {
                tracing::info!(destination = self.name, "the destination takes calls again")
            }
            _ => {}
        }
        self.shown = circuit;
        let since = (circuit != Circuit::Closed).then(|| Timestamp::now().to_string());
        self.step.circuit = Some(Light { state: state(circuit).to_owned(), since, reason });
    }

    /// Stores what there is to store; only then the calls log may forget what is settled.
    async fn commit(&mut self) -> Result<()> {
        let step = Arc::new(std::mem::take(&mut self.step));
        let forgets = step.forget;
        if let Err(error) = self.store.commit(&self.name, &self.settled, step.clone()).await {
            // Nobody else holds it: the attempt is over.
            self.step = Arc::try_unwrap(step).unwrap_or_default();
            return Err(error);
        }
        if self.expired > 0 {
            tracing::error!(
                destination = self.name,
                calls = self.expired,
                "calls waited for longer than retain and retain_bytes allow, and were given up: replay sends them"
            );
        }
        if self.buried > 0 {
            let last = step.failed.iter().rev().find(|(_, due, _)| due.is_none());
            tracing::warn!(
                destination = self.name,
                calls = self.buried,
                reason = last.map(|(_, _, fault)| fault.reason.as_str()),
                "calls were refused for good: dead-letters shows them, resend sends them again"
            );
        }
        (self.expired, self.buried, self.unstored, self.stored) = (0, 0, 0, Instant::now());
        let position = self.settled.position();
        self.calls.pin(&self.pin(), position);
        if self.released.elapsed() >= LAZY {
            self.released = Instant::now();
            self.calls.release(position.saturating_sub(1)).await?;
        }
        if forgets {
            self.dead = self.store.dead(&self.name).await?;
        }
        Ok(())
    }

    /// Counts the letters again: somebody else has changed them.
    async fn recount(&mut self) -> Result<()> {
        if self.step.is_due() {
            self.commit().await?;
        }
        self.waiting = self.store.waiting(&self.name).await?;
        self.dead = self.store.dead(&self.name).await?;
        self.next_due = self.store.next_due(&self.name, &self.ids).await?;
        Ok(())
    }

    /// When to look again, if nothing happens before.
    fn wake(&self) -> Instant {
        let now = Instant::now();
        let is_idle = self.window.is_empty() && self.unstored == 0 && self.waiting.count == 0;
        let until = match self.breaker.circuit() {
            Circuit::Open(until) => Some(until),
            _ => None,
        };
        let due = self.next_due.map(|due| {
            let wait = due.duration_since(Timestamp::now());
            now + Duration::try_from(wait).unwrap_or_default()
        });
        // What could have begun by now waits for something under way, which wakes us by itself.
        let moments = [until, self.pause, due].into_iter().flatten().filter(|moment| *moment > now);
        moments.fold(now + if is_idle { Duration::from_secs(3_600) } else { LAZY }, Instant::min)
    }

    /// Begins again from what is stored: what is under way is made again.
    fn forget(&mut self) {
        self.under_way.abort_all();
        self.under_way = JoinSet::new();
        self.window = Window::default();
        self.persons.clear();
        self.ids.clear();
        self.next = self.settled.position();
    }

    /// Waits for what is under way, and stores it.
    async fn finish(mut self) {
        let end = tokio::time::Instant::now() + DRAIN;
        while let Ok(Some(done)) = tokio::time::timeout_at(end, self.under_way.join_next()).await {
            if let Err(error) = self.answered(done) {
                tracing::warn!(destination = self.name, %error, "at the end");
            }
        }
        if !self.under_way.is_empty() {
            tracing::warn!(
                destination = self.name,
                requests = self.under_way.len(),
                "requests were cut; they are made again with the same ids"
            );
        }
        self.show();
        if let Err(error) = self.commit().await {
            tracing::error!(destination = self.name, %error, "the latest outcomes could not be stored: those calls are sent again");
        }
    }

    fn pin(&self) -> String {
        format!("destination {}", self.name)
    }
}

/// Sends calls, and where they are refused together, finds out which of them is to blame.
async fn send(destination: Arc<dyn Destination>, letters: Vec<Letter>) -> Parts {
    let mut parts: Parts = Vec::new();
    let mut left = vec![letters];
    while let Some(mut letters) = left.pop() {
        match destination.send(&letters).await {
            Verdict::Refused(_) if letters.len() > 1 => {
                let behind = letters.split_off(letters.len() / 2);
                left.extend([behind, letters]);
            }
            verdict => {
                let goes_on = matches!(verdict, Verdict::Taken | Verdict::Refused(_));
                parts.push((letters, Some(verdict)));
                if !goes_on {
                    parts.extend(left.drain(..).rev().map(|letters| (letters, None)));
                }
            }
        }
    }
    parts
}
