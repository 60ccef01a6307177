//! What becomes of the calls of a request once it has been answered: they are done with, wait to be sent again, or are dead letters.

use std::time::{Duration, Instant};

use headwater_core::error::{Error, Result};
use jiff::Timestamp;
use rand::Rng;
use tokio::task::JoinError;

use super::{
    super::{Fault, Letter, Verdict},
    Outbox, Parts,
    outcome::Outcome,
    store::DEAD,
};

impl Outbox {
    /// Takes in what became of a request.
    pub(super) fn answered(&mut self, done: Result<Parts, JoinError>) -> Result<()> {
        let parts = match done {
            Ok(parts) => parts,
            Err(error) => {
                self.forget();
                return Err(Error::unexpected(format!("a request ended badly, and is made again: {error}")));
            }
        };
        let now = Instant::now();
        for (letters, verdict) in parts {
            for letter in &letters {
                if let Some(count) = self.persons.get_mut(&letter.person) {
                    *count -= 1;
                    if *count == 0 {
                        self.persons.remove(&letter.person);
                    }
                }
                self.ids.remove(&letter.id);
            }
            match verdict {
                Some(Verdict::Taken) => {
                    self.breaker.taken();
                    letters.into_iter().for_each(|letter| self.deliver(letter));
                }
                Some(Verdict::Refused(fault)) => {
                    self.breaker.refused(now, &fault);
                    letters.into_iter().for_each(|letter| self.bury(letter, fault.clone()));
                }
                Some(Verdict::Later { fault, wait, unanswered }) => {
                    match wait {
                        Some(wait) => {
                            self.breaker.answered();
                            self.pause = self.pause.max(Some(now + wait));
                        }
                        None => {
                            let is_new = letters.iter().any(|letter| letter.attempts == 0);
                            self.breaker.failed(now, &fault, unanswered || is_new);
                        }
                    }
                    letters.into_iter().for_each(|letter| self.retry(letter, &fault, wait));
                }
                // Nothing is held against the calls: they stay where they were.
                Some(Verdict::Broken(fault)) => {
                    self.breaker.broken(now, &fault);
                    self.put_back(letters);
                }
                None => self.put_back(letters),
            }
        }
        Ok(())
    }

    fn put_back(&mut self, letters: Vec<Letter>) {
        for letter in letters {
            match letter.id {
                0 => self.window.put(letter),
                // It is still kept, and due.
                _ => self.next_due = Some(Timestamp::now()),
            }
        }
    }

    fn deliver(&mut self, letter: Letter) {
        self.leave(&letter);
        if letter.id != 0 {
            self.step.gone.push(letter.id);
        }
        self.step.count(&letter.source, Outcome::Delivered, "", 1);
    }

    /// Keeps a call to be sent again, unless it has been tried for long enough.
    fn retry(&mut self, mut letter: Letter, fault: &Fault, wait: Option<Duration>) {
        let now = Timestamp::now();
        let first = *letter.first.get_or_insert(now);
        if now.duration_since(first).unsigned_abs() >= self.terms.give_up {
            return self.bury(letter, fault.clone());
        }
        let pause = backoff(self.terms.first, self.terms.longest, letter.attempts);
        let due = now.checked_add(pause.max(wait.unwrap_or_default())).unwrap_or(Timestamp::MAX);
        self.leave(&letter);
        self.waiting.add(&letter);
        self.next_due = Some(self.next_due.map_or(due, |next| next.min(due)));
        letter.attempts += 1;
        self.step.failed.push((letter, Some(due), fault.clone()));
    }

    /// Makes a call a dead letter.
    pub(super) fn bury(&mut self, mut letter: Letter, fault: Fault) {
        self.leave(&letter);
        self.dead.add(&letter);
        self.step.forget |= self.dead.is_beyond(DEAD);
        self.step.count(&letter.source, Outcome::Dead, "", 1);
        letter.attempts += 1;
        letter.first = letter.first.or_else(|| Some(Timestamp::now()));
        self.buried += 1;
        self.step.failed.push((letter, None, fault));
    }

    /// A call leaves the place it had: in the log, or among those that wait.
    fn leave(&mut self, letter: &Letter) {
        match letter.id {
            0 => self.settle(letter.seq),
            _ => self.waiting.take(letter),
        }
    }

    pub(super) fn settle(&mut self, seq: u64) {
        self.settled.add(seq, seq + 1);
        self.unstored += 1;
    }
}

/// How long to wait after so many attempts: twice as long each time, less a random part, so that not everything comes back at once.
fn backoff(first: Duration, longest: Duration, attempts: u32) -> Duration {
    let whole = first.saturating_mul(2u32.saturating_pow(attempts)).min(longest);
    whole.mul_f64(rand::rng().random_range(0.7..=1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let (first, longest) = (Duration::from_secs(1), Duration::from_secs(3_600));
        for (attempts, expected) in [(0, 1.0), (1, 2.0), (5, 32.0), (12, 3_600.0), (400, 3_600.0)] {
            for _ in 0..50 {
                let pause = backoff(first, longest, attempts).as_secs_f64();
                assert!((expected * 0.69..=expected).contains(&pause), "{attempts}: {pause}");
            }
        }
    }
}
