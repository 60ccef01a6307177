//! Which frames of the calls log one destination is done with: all up to a position, and some beyond it.

use std::collections::BTreeMap;

use headwater_core::error::{Error, Result};

/// Frames that have their outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    /// The first frame without one.
    position: u64,
    /// Runs of frames beyond it that have theirs: the first, and the one behind the last.
    ahead: BTreeMap<u64, u64>,
}

impl Settled {
    /// Everything before `position`.
    pub fn before(position: u64) -> Self {
        Self { position, ahead: BTreeMap::new() }
    }

    /// As it was stored.
    pub fn read(position: u64, ahead: &str) -> Result<Self> {
        let runs: Vec<(u64, u64)> = serde_json::from_str(ahead)
            .map_err(|error| Error::unexpected(format!("a destination's position is damaged: {error}")))?;
        Ok(Self { position, ahead: runs.into_iter().collect() })
    }

    /// The first frame without outcome.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// What lies beyond it, to be stored.
    pub fn ahead(&self) -> String {
        let runs: Vec<(u64, u64)> = self.ahead.iter().map(|(first, next)| (*first, *next)).collect();
        serde_json::to_string(&runs).unwrap_or_else(|_| "[]".to_owned())
    }

    /// How many frames lie beyond it.
    pub fn count_ahead(&self) -> u64 {
        self.ahead.iter().map(|(first, next)| next - first).sum()
    }

    /// Whether this one has its outcome.
    pub fn contains(&self, seq: u64) -> bool {
        seq < self.position || self.ahead.range(..=seq).next_back().is_some_and(|(_, next)| seq < *next)
    }

    /// All frames from `first` to the one before `next` have got theirs, if they had none; returns how many those are.
    pub fn fill(&mut self, first: u64, next: u64) -> u64 {
        let (mut at, mut filled) = (first, 0);
        loop {
            // It moves as its holes are filled.
            at = at.max(self.position);
            if at >= next {
                return filled;
            }
            let known = self.ahead.range(..=at).next_back().map(|(_, end)| *end).filter(|end| at < *end);
            match known {
                Some(end) => at = end,
                None => {
                    let end = self.ahead.range(at..).next().map_or(next, |(first, _)| (*first).min(next));
                    self.add(at, end);
                    filled += end - at;
                    at = end;
                }
            }
        }
    }

    /// The frames from `first` to the one before `next` have got theirs. None of them had it.
    pub fn add(&mut self, first: u64, next: u64) {
        if first >= next {
            return;
        }
        let mut run = (first, next);
        if let Some((before, end)) = self.ahead.range(..first).next_back().map(|(f, n)| (*f, *n))
            && end == first
        {
            self.ahead.remove(&before);
            run.0 = before;
        }
        if let Some(end) = self.ahead.remove(&next) {
            run.1 = end;
        }
        self.ahead.insert(run.0, run.1);
        if let Some(next) = self.ahead.remove(&self.position) {
            self.position = next;
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::StdRng, seq::SliceRandom};

    use super::*;

    #[test]
    fn in_whatever_order_frames_are_settled_the_position_is_the_first_that_is_not() {
        let mut rng = StdRng::seed_from_u64(3);
        for _ in 0..200 {
            let mut left: Vec<u64> = (5..60).collect();
            left.shuffle(&mut rng);
            let mut settled = Settled::before(5);
            while let Some(seq) = left.pop() {
                assert!(!settled.contains(seq));
                settled.add(seq, seq + 1);
                assert!(settled.contains(seq));
                assert_eq!(settled.position(), left.iter().copied().min().unwrap_or(60));
                let done = settled.position() - 5 + settled.count_ahead();
                assert_eq!(done as usize, 55 - left.len());
                settled = Settled::read(settled.position(), &settled.ahead()).unwrap();
            }
            assert_eq!(settled, Settled::before(60));
        }
        assert!(Settled::read(1, "{").is_err());
    }

    #[test]
    fn what_is_missing_is_filled_once() {
        let mut settled = Settled::before(5);
        settled.add(7, 9);
        settled.add(12, 14);
        assert_eq!(settled.fill(1, 20), 15 - 4);
        assert_eq!((settled.fill(1, 20), settled), (0, Settled::before(20)));
        let mut settled = Settled::before(5);
        assert_eq!((settled.fill(8, 10), settled.position(), settled.count_ahead()), (2, 5, 2));
    }
}
