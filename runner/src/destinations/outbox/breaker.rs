//! The circuit breaker: a destination that fails again and again is left alone for a while, then asked with one request.

use std::time::{Duration, Instant};

use serde::Serialize;

use super::super::Fault;

/// So many requests in a row that fail open the circuit. Calls that are sent again do not count: one of them that nobody can take must
/// not stand for all.
const FAILURES: u32 = 5;
/// So many calls in a row that are refused open it too: whoever refuses everything is not what we take it for.
const REFUSALS: u32 = 25;
/// The first pause, and the longest.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(60);

/// Whether requests may go out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Circuit {
    /// All is well.
    Closed,
    /// None do, until this time.
    Open(Instant),
    /// One is out to find out.
    HalfOpen,
}

/// Counts what goes wrong.
#[derive(Debug)]
pub struct Breaker {
    circuit: Circuit,
    pause: Duration,
    failures: u32,
    refusals: u32,
    /// What opened it.
    fault: Option<Fault>,
}

impl Default for Breaker {
    /// A circuit that is closed.
    fn default() -> Self {
        Self { circuit: Circuit::Closed, pause: FIRST, failures: 0, refusals: 0, fault: None }
    }
}

impl Breaker {
    /// How many requests may be begun, where so many are under way and so many may be.
    pub fn room(&mut self, now: Instant, under_way: usize, most: usize) -> usize {
        match self.circuit {
            Circuit::Closed => most.saturating_sub(under_way),
            Circuit::Open(until) if until <= now && under_way == 0 => 1,
            Circuit::Open(_) | Circuit::HalfOpen => 0,
        }
    }

    /// A request goes out.
    pub fn begun(&mut self) {
        if matches!(self.circuit, Circuit::Open(_)) {
            self.circuit = Circuit::HalfOpen;
        }
    }

    /// A request was taken.
    pub fn taken(&mut self) {
        *self = Self::default();
    }

    /// The destination answers, though it has asked to be left alone.
    pub fn answered(&mut self) {
        if self.circuit != Circuit::Closed {
            *self = Self::default();
        }
    }

    /// A request failed. `counts` unless it may be a matter of its calls alone.
    pub fn failed(&mut self, now: Instant, fault: &Fault, counts: bool) {
        self.failures += u32::from(counts);
        if self.circuit != Circuit::Closed || self.failures >= FAILURES {
            self.open(now, fault);
        }
    }

    /// A call was refused for good.
    pub fn refused(&mut self, now: Instant, fault: &Fault) {
        self.refusals += 1;
        self.failures = 0;
        if self.refusals >= REFUSALS {
            self.open(now, fault);
        } else {
            self.answered();
        }
    }

    /// Somebody has to mend something.
    pub fn broken(&mut self, now: Instant, fault: &Fault) {
        self.open(now, fault);
    }

    /// Opens it, longer each time; an answer to a request that was under way when it opened changes nothing.
    fn open(&mut self, now: Instant, fault: &Fault) {
        if let Circuit::Open(_) = self.circuit {
            return;
        }
        self.circuit = Circuit::Open(now + self.pause);
        self.pause = (self.pause * 2).min(LONGEST);
        self.fault = Some(fault.clone());
    }

    /// Its state now.
    pub fn circuit(&self) -> Circuit {
        self.circuit
    }

    /// Why it is not closed.
    pub fn fault(&self) -> Option<&Fault> {
        self.fault.as_ref().filter(|_| self.circuit != Circuit::Closed)
    }
}

/// A circuit, as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Light {
    /// `closed`, `open` or `half-open`.
    pub state: String,
    /// Since when.
    pub since: Option<String>,
    /// Why it is not closed.
    pub reason: Option<String>,
}

impl Light {
    /// All is well.
    pub fn closed() -> Self {
        Self { state: "closed".to_owned(), since: None, reason: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault() -> Fault {
        Fault { reason: "500".to_owned(), status: Some(500) }
    }

    #[test]
    fn a_circuit_opens_is_probed_and_closes() {
        let now = Instant::now();
        let mut breaker = Breaker::default();
        for _ in 0..FAILURES {
            assert_eq!(breaker.room(now, 1, 4), 3);
            breaker.failed(now, &fault(), true);
        }
        assert_eq!((breaker.room(now, 0, 4), breaker.fault()), (0, Some(&fault())));
        assert_eq!(breaker.room(now + FIRST, 1, 4), 0, "what is under way is waited for");
        assert_eq!(breaker.room(now + FIRST, 0, 4), 1);
        breaker.begun();
        assert_eq!((breaker.circuit(), breaker.room(now + FIRST, 1, 4)), (Circuit::HalfOpen, 0));
        breaker.failed(now + FIRST, &fault(), false);
        assert_eq!(breaker.circuit(), Circuit::Open(now + 3 * FIRST), "the pause has doubled");
        breaker.begun();
        breaker.taken();
        assert_eq!((breaker.room(now, 0, 4), breaker.fault()), (4, None));
    }

    #[test]
    fn calls_that_nobody_can_take_do_not_stand_for_all() {
        let now = Instant::now();
        let mut breaker = Breaker::default();
        for _ in 0..100 {
            breaker.failed(now, &fault(), false);
        }
        for _ in 1..REFUSALS {
            breaker.refused(now, &fault());
        }
        assert_eq!(breaker.circuit(), Circuit::Closed);
        breaker.refused(now, &fault());
        assert_eq!(breaker.circuit(), Circuit::Open(now + FIRST), "everything is refused");
        breaker.broken(now, &fault());
        assert_eq!(breaker.circuit(), Circuit::Open(now + FIRST));
    }

    #[test]
    fn the_pause_has_an_end() {
        let mut now = Instant::now();
        let mut breaker = Breaker::default();
        for _ in 0..20 {
            breaker.broken(now, &fault());
            let Circuit::Open(until) = breaker.circuit() else { panic!("it is open") };
            assert!(until - now <= LONGEST);
            now = until;
            breaker.begun();
        }
    }
}
