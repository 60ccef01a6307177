//! Never faster than the vendor allows: each limit is a gate that all requests of an account pass.
//!
//! A request passes the gate of the limit that it names, then its host's own. Each gate lets one request at a time
//! through its rate limits, first come, first served, so that what has been let through is also sent then, and not
//! saved up. When a vendor asks to slow down, its gate closes for all.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use tokio::{sync::OwnedSemaphorePermit, time::sleep};

use super::{
    Answer, Api, Options,
    gate::{Gate, Shared},
    wire::Clock,
};
use crate::error::{Error, Kind, Result};

/// The gates of an account.
pub(crate) struct Pace {
    hosts: Vec<HashMap<&'static str, Arc<Gate>>>,
    clock: Clock,
    /// What is left of each daily allotment for others.
    reserve: f64,
    /// What an answer tells of allotments.
    usage: fn(&Answer) -> Option<super::Usage>,
    /// A pause longer than this is not waited for.
    pub longest: Duration,
    /// How far apart requests start again after a pause, at most.
    pub spread: Duration,
}

/// What a request holds while it is under way.
#[derive(Default)]
pub(crate) struct Pass {
    permits: Vec<OwnedSemaphorePermit>,
    gates: Vec<Arc<Gate>>,
}

impl Pace {
    pub fn new(api: &Api, options: &Options) -> Result<Self> {
        let mut hosts = Vec::with_capacity(api.hosts.len());
        for host in &api.hosts {
            let mut named: HashMap<&'static str, Vec<super::Limit>> = HashMap::from([("", Vec::new())]);
            for limit in &host.limits {
                named.entry(limit.name).or_default().push(*limit);
            }
            let mut gates = HashMap::new();
            for (name, limits) in named {
                let shared = Shared {
                    account: &options.account_key,
                    host: host.name,
                    ledger: &options.ledger,
                    clock: &options.clock,
                };
                // Sources that declare another pace for the same account keep their own.
                let key =
                    format!("{} {} {name} {limits:?} {:?}", options.account_key, host.name, options.base_url);
                gates.insert(name, options.gates.get(key, || Gate::new(&limits, &shared))?);
            }
            hosts.push(gates);
        }
        Ok(Self {
            hosts,
            clock: options.clock.clone(),
            reserve: options.reserve,
            usage: api.usage,
            longest: options.longest_wait,
            spread: options.backoff,
        })
    }

    /// Waits until a request may be sent. Also says how long it stood in line, which is nobody's fault; waiting for
    /// a gate that the vendor closed ends at `deadline`.
    pub async fn enter(
        &self,
        host: Option<usize>,
        limit: Option<&str>,
        deadline: Instant,
    ) -> Result<(Pass, Duration)> {
        let gates = self.gates(host, limit);
        let mut in_line = Duration::ZERO;
        loop {
            self.wait_until_open(&gates, deadline).await?;
            gates.iter().try_for_each(|gate| gate.check_days(self.reserve))?;
            let began = Instant::now();
            let mut pass = Pass { permits: Vec::new(), gates: gates.clone() };
            let (mut turns, mut passed) = (Vec::new(), Vec::new());
            for gate in &gates {
                for room in &gate.room {
                    let permit = Arc::clone(room).acquire_owned().await;
                    pass.permits.push(permit.map_err(|_| Error::transient("the client is being closed"))?);
                }
                turns.push(gate.turn.lock().await);
                gate.settle().await;
                for flow in &gate.flows {
                    flow.pass().await;
                    passed.push((flow, Instant::now()));
                }
            }
            passed.iter().for_each(|(flow, at)| flow.stand_still(at.elapsed()));
            in_line += began.elapsed();
            // Closed meanwhile: what was taken is lost, which errs on the slow side.
            if gates.iter().all(|gate| gate.closed_for().is_none()) {
                gates.iter().try_for_each(|gate| gate.spend_day(self.reserve))?;
                return Ok((pass, in_line));
            }
        }
    }

    /// The vendor asked to slow down: everybody who would pass the same gate waits as long.
    pub fn close(&self, host: Option<usize>, limit: Option<&str>, wait: Duration) {
        if let Some(gate) = self.gates(host, limit).first() {
            gate.close(wait);
        }
    }

    /// An answer said that a declared limit is spent: until when, where the limit tells, and nobody asks before.
    pub fn spent(&self, error: Error, host: Option<usize>) -> Error {
        let Some(name) = error.limit().filter(|_| error.until().is_none()) else { return error };
        let gate = host.and_then(|host| self.hosts.get(host)?.get(name));
        match gate.and_then(|gate| gate.exhaust()) {
            Some(until) => error.paused_until(until),
            None => error,
        }
    }

    /// Takes over what an answer tells of an allotment.
    pub fn hear(&self, answer: &Answer, host: Option<usize>) {
        let Some(usage) = (self.usage)(answer) else { return };
        if let Some(gate) = host.and_then(|host| self.hosts.get(host)?.get(usage.limit)) {
            gate.hear(usage);
        }
    }

    /// The gates that such a request passes, the narrow one first.
    fn gates(&self, host: Option<usize>, limit: Option<&str>) -> Vec<Arc<Gate>> {
        let Some(gates) = host.and_then(|host| self.hosts.get(host)) else { return Vec::new() };
        let named = limit.filter(|name| !name.is_empty()).and_then(|name| gates.get(name));
        named.into_iter().chain(gates.get("")).cloned().collect()
    }

    async fn wait_until_open(&self, gates: &[Arc<Gate>], deadline: Instant) -> Result<()> {
        while let Some(wait) = gates.iter().filter_map(|gate| gate.closed_for()).max() {
            if wait > self.longest || Instant::now() + wait > deadline {
                let back = (self.clock)().saturating_add(jiff_duration(wait)).unwrap_or(Timestamp::MAX);
                let message = format!("the vendor asked to wait until {back:.0}: nothing was sent");
                return Err(Error::new(Kind::RateLimited, message).retry_after(wait).paused_until(back));
            }
            sleep(wait + rand::random_range(Duration::ZERO..=self.spread)).await;
        }
        Ok(())
    }
}

impl Pass {
    /// This many bytes of the answer have come.
    pub fn charge(&self, bytes: usize) {
        self.gates.iter().for_each(|gate| gate.charge(bytes));
    }

    /// Another request may begin; what still comes is only counted. (A stream that is read slowly, or waits in a
    /// cache, would keep the others out.)
    pub fn release(&mut self) {
        self.permits.clear();
    }
}

/// The same span as jiff counts it.
pub(crate) fn jiff_duration(duration: Duration) -> jiff::SignedDuration {
    jiff::SignedDuration::try_from(duration).unwrap_or(jiff::SignedDuration::MAX)
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{auth::Auth, http::Limit};

    fn pace(limit: Limit, clock: &Clock) -> Pace {
        let api = Api::new("https://api.example.com", Auth::None).limit(limit);
        Pace::new(&api, &Options { clock: clock.clone(), ..Options::default() }).unwrap()
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    #[tokio::test]
    async fn a_day_ends_when_the_zone_says_so() {
        let now = Arc::new(Mutex::new("2024-03-30T22:30:00Z".parse::<Timestamp>().unwrap()));
        let clock: Clock = Arc::new({
            let now = Arc::clone(&now);
            move || *lock(&now)
        });
        // Midnight in Berlin is 23:00 UTC; the next one, after the clocks have changed, 22:00 UTC.
        let pace = pace(Limit::daily(2, 0, "Europe/Berlin"), &clock);
        for _ in 0..2 {
            pace.enter(Some(0), None, soon()).await.map(drop).unwrap();
        }
        let spent = pace.enter(Some(0), None, soon()).await.map(drop).unwrap_err();
        assert_eq!(
            (spent.kind(), spent.until()),
            (Kind::RateLimited, Some("2024-03-30T23:00:00Z".parse().unwrap()))
        );
        *lock(&now) = "2024-03-30T23:00:00Z".parse().unwrap();
        for _ in 0..2 {
            pace.enter(Some(0), None, soon()).await.map(drop).unwrap();
        }
        let spent = pace.enter(Some(0), None, soon()).await.map(drop).unwrap_err();
        assert_eq!(spent.until(), Some("2024-03-31T22:00:00Z".parse().unwrap()));
    }

    #[tokio::test]
    async fn bytes_are_owed() {
        let clock: Clock = Arc::new(Timestamp::now);
        let pace = pace(Limit::bytes(100_000, Duration::from_secs(1)), &clock);
        let (pass, _) = pace.enter(Some(0), None, soon()).await.unwrap();
        pass.charge(30_000);
        let began = Instant::now();
        pace.enter(Some(0), None, soon()).await.map(drop).unwrap();
        // 20,000 bytes over the burst of 10,000, at 100,000 a second.
        assert!(began.elapsed() > Duration::from_millis(180), "{:?}", began.elapsed());
    }

    #[tokio::test]
    async fn a_limit_that_allows_nothing_is_refused() {
        for limit in [
            Limit::requests(0, Duration::from_secs(1)),
            Limit::requests(1, Duration::ZERO),
            Limit::daily(1, 0, "Mars/Olympus"),
            Limit::daily(1, 24, "UTC"),
        ] {
            let api = Api::new("https://api.example.com", Auth::None).limit(limit);
            assert!(Pace::new(&api, &Options::default()).is_err(), "{limit:?}");
        }
    }
}
