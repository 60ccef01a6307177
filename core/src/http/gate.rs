//! One limit by name: what it lets through, and when.

use std::{
    collections::VecDeque,
    num::NonZeroU32,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use governor::{
    Quota, RateLimiter,
    clock::Clock as _,
    middleware::NoOpMiddleware,
    state::{InMemoryState, NotKeyed},
};
use jiff::{Timestamp, ToSpan, tz::TimeZone};
use tokio::{sync::Semaphore, time::sleep};

use super::{Allotment, Ledger, Limit, Of, Per, Usage, pace::lock, wire};
use crate::error::{Error, Kind, Result};

/// What the limits of one host have in common.
pub(crate) struct Shared<'a> {
    pub account: &'a str,
    pub host: &'a str,
    pub ledger: &'a Arc<dyn Ledger>,
    pub clock: &'a wire::Clock,
}

/// One limit by name, or a host's own.
#[derive(Default)]
pub(crate) struct Gate {
    /// Whose turn it is.
    pub turn: tokio::sync::Mutex<()>,
    /// Requests under way.
    pub room: Vec<Arc<Semaphore>>,
    /// Requests in a span of time.
    pub flows: Vec<Flow>,
    debts: Vec<Debt>,
    days: Vec<Day>,
    closed: Mutex<Option<Instant>>,
}

/// A limit of bytes: an answer's size is known only afterwards, so it is owed.
struct Debt {
    per_second: f64,
    burst: f64,
    owed: Mutex<(f64, Instant)>,
}

/// An allotment that comes back each day.
struct Day {
    allotment: Allotment,
    bytes: bool,
    hour: i8,
    zone: TimeZone,
    ledger: Arc<dyn Ledger>,
    clock: wire::Clock,
}

/// A limit of requests.
pub(super) struct Flow {
    limiter: RateLimiter<NotKeyed, InMemoryState, Ticks, NoOpMiddleware<Duration>>,
    ticks: Ticks,
    /// Of a slow limit: what it has let through.
    window: Option<Window>,
}

/// The latest requests of a limit that allows only a few: with them, some may go at once and still no span holds more
/// than the amount.
struct Window {
    amount: usize,
    span: Duration,
    latest: Mutex<VecDeque<Duration>>,
}

/// The clock of one flow. It stands still while a request that this flow has let through waits elsewhere, or that
/// request and the next would be sent closer together than they were let through.
#[derive(Clone)]
struct Ticks {
    began: Instant,
    still: Arc<Mutex<Duration>>,
}

impl Gate {
    /// A gate for limits of one name.
    pub fn new(limits: &[Limit], shared: &Shared<'_>) -> Result<Self> {
        let mut gate = Self::default();
        limits.iter().try_for_each(|limit| gate.add(limit, shared))?;
        Ok(gate)
    }

    fn add(&mut self, limit: &Limit, shared: &Shared<'_>) -> Result<()> {
        let bad = |why: &str| Error::config(format!("limit {:?} of {}: {why}", limit.name, shared.account));
        // No more than that is ever asked in a span.
        let most = u32::try_from(limit.amount).unwrap_or(u32::MAX);
        let amount = NonZeroU32::new(most).ok_or_else(|| bad("nothing is allowed"))?;
        match (limit.of, limit.per) {
            (Of::Concurrent, _) => {
                self.room.push(Arc::new(Semaphore::new((most as usize).min(Semaphore::MAX_PERMITS))));
            }
            (_, Per::Rolling(Duration::ZERO)) => return Err(bad("the span is empty")),
            (Of::Bytes, Per::Rolling(span)) => self.debts.push(Debt {
                per_second: limit.amount as f64 / span.as_secs_f64(),
                burst: limit.amount as f64 / 10.0,
                owed: Mutex::new((0.0, Instant::now())),
            }),
            (Of::Requests | Of::Jobs, Per::Rolling(span)) => {
                let ticks = Ticks { began: Instant::now(), still: Arc::default() };
                let window = Window::of(amount.get(), span);
                let quota = quota(amount, span, window.is_some());
                let limiter = RateLimiter::direct_with_clock(quota, ticks.clone());
                self.flows.push(Flow { limiter, ticks, window });
            }
            (of, Per::Day { hour, zone }) => {
                let zone = TimeZone::get(zone).map_err(|_| bad("no such time zone"))?;
                if !(0..24).contains(&hour) {
                    return Err(bad("no such hour"));
                }
                let (ledger, clock) = (Arc::clone(shared.ledger), shared.clock.clone());
                let allotment = Allotment {
                    account: shared.account.to_owned(),
                    host: shared.host.to_owned(),
                    limit: limit.name.to_owned(),
                    of: of.name(),
                    amount: limit.amount,
                };
                self.days.push(Day { allotment, bytes: of == Of::Bytes, hour, zone, ledger, clock });
            }
        }
        Ok(())
    }

    /// Waits until what is owed has been paid off.
    pub async fn settle(&self) {
        for debt in &self.debts {
            while let Some(wait) = debt.wait() {
                sleep(wait).await;
            }
        }
    }

    /// Whether anything is left of every daily allotment, besides such a share of it.
    pub fn check_days(&self, reserve: f64) -> Result<()> {
        self.days.iter().try_for_each(|day| day.spend(0, reserve))
    }

    /// One more request counts against the daily allotments.
    pub fn spend_day(&self, reserve: f64) -> Result<()> {
        self.days.iter().filter(|day| !day.bytes).try_for_each(|day| day.spend(1, reserve))
    }

    /// The vendor tells how much of the daily allotment is spent.
    pub fn hear(&self, usage: Usage) {
        for day in &self.days {
            day.ledger.told(&day.allotment, day.reset(), usage, (day.clock)());
        }
    }

    /// The vendor says that the day's allotment is spent; it comes back then, if there is one.
    pub fn exhaust(&self) -> Option<Timestamp> {
        self.days.iter().map(Day::exhaust).max()
    }

    /// So much has come.
    pub fn charge(&self, bytes: usize) {
        self.debts.iter().for_each(|debt| debt.charge(bytes));
        // Whether that was the last of it, the next request is told.
        self.days.iter().filter(|day| day.bytes).for_each(|day| drop(day.spend(bytes as u64, 0.0)));
    }

    /// Nobody passes for so long.
    pub fn close(&self, wait: Duration) {
        let until = Instant::now().checked_add(wait);
        let mut closed = lock(&self.closed);
        *closed = until.max(*closed);
    }

    /// For how long nobody passes yet.
    pub fn closed_for(&self) -> Option<Duration> {
        let mut closed = lock(&self.closed);
        let wait = closed
            .map(|until| until.saturating_duration_since(Instant::now()))
            .filter(|wait| !wait.is_zero());
        if wait.is_none() {
            *closed = None;
        }
        wait
    }
}

impl Flow {
    /// Waits until one more request may go.
    pub async fn pass(&self) {
        while let Err(early) = self.limiter.check() {
            sleep(early.wait_time_from(self.ticks.now()).max(Duration::from_millis(1))).await;
        }
        let Some(window) = &self.window else { return };
        while let Some(wait) = window.enter(self.ticks.now()) {
            sleep(wait.max(Duration::from_millis(1))).await;
        }
    }

    /// What it has let through was sent so much later.
    pub fn stand_still(&self, wait: Duration) {
        *lock(&self.ticks.still) += wait;
    }
}

impl governor::clock::Clock for Ticks {
    type Instant = Duration;
    fn now(&self) -> Duration {
        self.began.elapsed().saturating_sub(*lock(&self.still))
    }
}

/// Two hundredths of a span are left for the way there.
const MARGIN: f64 = 1.02;

/// So many requests of a slow limit may go at once.
const AT_ONCE: u32 = 3;

/// A tenth of the amount may go at once, the rest evenly, so that no span ever holds more than the amount: with a
/// burst of b and one more each t, a span T holds at most b + ⌈T/t⌉ − 1. Where a [`Window`] sees to that, a few may go at
/// once of any amount.
fn quota(amount: NonZeroU32, span: Duration, has_window: bool) -> Quota {
    let amount = amount.get();
    let (burst, each) = match has_window {
        true => (AT_ONCE.min(amount / 2).max(1), 1.0 / f64::from(amount)),
        false => {
            let burst = (amount / 10).max(1);
            (burst, 1.0 / f64::from(amount - burst + 1))
        }
    };
    let each = span.mul_f64(MARGIN * each).max(Duration::from_nanos(1));
    let quota = Quota::with_period(each).unwrap_or_else(|| Quota::per_second(NonZeroU32::MIN));
    quota.allow_burst(NonZeroU32::new(burst).unwrap_or(NonZeroU32::MIN))
}

impl Window {
    /// A window for a limit that allows only a few, and lets one wait for a second or more.
    fn of(amount: u32, span: Duration) -> Option<Self> {
        let is_slow = amount / 10 < AT_ONCE && span / amount >= Duration::from_secs(1);
        is_slow.then(|| Self {
            amount: amount as usize,
            span: span.mul_f64(MARGIN),
            latest: Mutex::default(),
        })
    }

    /// Lets one through, or says how long it has to wait.
    fn enter(&self, now: Duration) -> Option<Duration> {
        let mut latest = lock(&self.latest);
        if latest.len() >= self.amount {
            let free = latest.front().map_or(Duration::ZERO, |first| *first + self.span);
            if free > now {
                return Some(free - now);
            }
            latest.pop_front();
        }
        latest.push_back(now);
        None
    }
}

impl Debt {
    fn charge(&self, bytes: usize) {
        let mut owed = lock(&self.owed);
        *owed = (self.rest(*owed) + bytes as f64, Instant::now());
    }

    fn wait(&self) -> Option<Duration> {
        let over = self.rest(*lock(&self.owed)) - self.burst;
        (over > 0.0)
            .then(|| Duration::try_from_secs_f64(over / self.per_second).unwrap_or(Duration::from_secs(60)))
    }

    fn rest(&self, (owed, at): (f64, Instant)) -> f64 {
        (owed - at.elapsed().as_secs_f64() * self.per_second).max(0.0)
    }
}

impl Day {
    /// Spends so much, if anything is left besides such a share of it.
    fn spend(&self, amount: u64, reserve: f64) -> Result<()> {
        let now = (self.clock)();
        let spent = self.ledger.spend(&self.allotment, self.reset(), amount);
        let most = spent.amount - (spent.amount as f64 * reserve) as u64;
        // Asking costs nothing, but there must be some left.
        if spent.spent < most || (spent.spent == most && amount > 0) || spent.is_stale(now) {
            return Ok(());
        }
        let until = spent.back(now);
        let kept = if reserve > 0.0 {
            format!(" but for the reserve of {:.0} %", reserve * 100.0)
        } else {
            String::new()
        };
        let message = format!(
            "the day's allotment of {} {} is spent{kept}: it goes on at {until:.0}",
            spent.amount, self.allotment.of
        );
        Err(Error::new(Kind::RateLimited, message).paused_until(until))
    }

    /// Spends what is left.
    fn exhaust(&self) -> Timestamp {
        let until = self.reset();
        let spent = self.ledger.spend(&self.allotment, until, 0);
        let spent = self.ledger.spend(&self.allotment, until, spent.amount.saturating_sub(spent.spent));
        spent.back((self.clock)())
    }

    fn reset(&self) -> Timestamp {
        let now = (self.clock)();
        let here = now.to_zoned(self.zone.clone());
        let at = |date: jiff::civil::Date| date.at(self.hour, 0, 0, 0).to_zoned(self.zone.clone()).ok();
        [Some(here.date()), here.date().checked_add(1.day()).ok()]
            .into_iter()
            .flatten()
            .filter_map(|date| Some(at(date)?.timestamp()))
            .find(|time| *time > now)
            .unwrap_or(Timestamp::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_span_ever_holds_more_than_the_amount() {
        for amount in [1, 2, 3, 9, 10, 11, 19, 20, 100, 1000] {
            let span = Duration::from_secs(1);
            let quota = quota(NonZeroU32::new(amount).unwrap(), span, false);
            let (burst, each) = (quota.burst_size().get(), quota.replenish_interval());
            let in_span = f64::from(burst) + (span.as_secs_f64() / each.as_secs_f64()).ceil() - 1.0;
            assert!(in_span <= f64::from(amount), "{amount}: {in_span}");
            assert!(in_span >= f64::from(amount) * 0.5, "{amount}: {in_span} is needlessly slow");
        }
    }

    /// When a flow lets requests through that are always waiting, in seconds.
    fn times(amount: u32, span: Duration, requests: usize) -> Vec<f64> {
        let window = Window::of(amount, span).expect("a slow limit");
        let quota = quota(NonZeroU32::new(amount).unwrap(), span, true);
        let clock = governor::clock::FakeRelativeClock::default();
        let limiter = RateLimiter::direct_with_clock(quota, clock.clone());
        let mut now = Duration::ZERO;
        (0..requests)
            .map(|_| {
                let mut wait = |wait: Duration| {
                    clock.advance(wait);
                    now += wait;
                    now
                };
                while let Err(early) = limiter.check() {
                    wait(early.wait_time_from(governor::clock::Clock::now(&clock)));
                }
                let mut here = wait(Duration::ZERO);
                while let Some(more) = window.enter(here) {
                    here = wait(more);
                }
                here.as_secs_f64()
            })
            .collect()
    }

    #[test]
    fn a_slow_limit_lets_a_few_go_at_once_and_no_more_in_a_span() {
        let minute = Duration::from_secs(60);
        for amount in [1, 2, 6, 10, 29, 60] {
            if amount == 60 {
                assert!(Window::of(amount, minute).is_none(), "a tenth of it is enough");
                continue;
            }
            let times = times(amount, minute, 50);
            let at_once = times.iter().filter(|time| **time == 0.0).count();
            assert_eq!(at_once, (amount / 2).clamp(1, 3) as usize, "{amount}");
            for from in &times {
                let in_span = times.iter().filter(|time| *time >= from && **time < from + 60.0).count();
                assert!(in_span <= amount as usize, "{amount}: {in_span} from {from}");
            }
            // As many in the long run as are allowed.
            let took = times.last().unwrap();
            assert!(*took <= 50.0 / f64::from(amount) * 60.0 * 1.03, "{amount}: {took}");
        }
        assert!(Window::of(10, Duration::from_secs(1)).is_none(), "that is not slow");
    }
}
