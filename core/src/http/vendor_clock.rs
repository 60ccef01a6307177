//! What time it is at the vendor's. Bounds and versions are compared with times that the vendor writes, and neither clock need be right.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use http::{
    HeaderMap,
    header::{AGE, DATE},
};
use jiff::{SignedDuration, Timestamp};

use super::pace::{jiff_duration, lock};
use crate::time::parse_time;

/// Clocks that differ by no more than this agree: an answer tells its time in whole seconds, and takes a while to come.
const AGREE: SignedDuration = SignedDuration::from_secs(3);

/// The vendor's clock, as its latest answer told it.
#[derive(Clone, Debug, Default)]
pub(crate) struct VendorClock(Arc<Mutex<Option<(Instant, Timestamp)>>>);

impl VendorClock {
    /// Hears of the time at which an answer was made.
    pub fn hear(&self, headers: &HeaderMap) {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let Some(told) = text(DATE).and_then(parse_time) else { return };
        // One that a cache has kept.
        let age = text(AGE).and_then(|age| age.trim().parse().ok()).unwrap_or_default();
        let told = told.saturating_add(jiff_duration(Duration::from_secs(age))).unwrap_or(told);
        let now = Instant::now();
        let mut heard = lock(&self.0);
        // Seconds are cut, not rounded: the one that was furthest ahead was the nearest to the truth. A clock that is set is believed.
        let is_cut = heard.is_some_and(|(at, known)| {
            let known = known.saturating_add(jiff_duration(now.duration_since(at))).unwrap_or(known);
            (SignedDuration::ZERO..=AGREE).contains(&known.duration_since(told))
        });
        if !is_cut {
            *heard = Some((now, told));
        }
    }

    /// What time it is there, when it is `ours` here. A clock that is set here changes nothing there.
    pub fn now(&self, ours: Timestamp) -> Timestamp {
        let Some((heard, told)) = *lock(&self.0) else { return ours };
        let theirs = told.saturating_add(jiff_duration(heard.elapsed())).unwrap_or(told);
        if theirs.duration_since(ours).abs() <= AGREE { ours } else { theirs }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_that_agree_are_ours_and_others_are_the_vendors() {
        let time = |text: &str| text.parse::<Timestamp>().unwrap();
        let ours = time("2024-05-06T12:00:00.5Z");
        let clock = VendorClock::default();
        assert_eq!(clock.now(ours), ours, "nothing has been told");
        for (told, age, theirs) in [
            ("Mon, 06 May 2024 11:59:59 GMT", None, ours),
            ("Mon, 06 May 2024 12:07:00 GMT", None, time("2024-05-06T12:07:00Z")),
            ("Mon, 06 May 2024 11:53:00 GMT", None, time("2024-05-06T11:53:00Z")),
            ("Mon, 06 May 2024 11:53:00 GMT", Some("420"), ours),
            ("Mon, 06 May 2024 11:53:00 GMT", Some("long"), time("2024-05-06T11:53:00Z")),
        ] {
            let age = age.map(|age| (AGE, age.parse().unwrap()));
            clock.hear(&[(DATE, told.parse().unwrap())].into_iter().chain(age).collect());
            let off = clock.now(ours).duration_since(theirs).abs();
            assert!(off < SignedDuration::from_secs(1), "{told}: {off}");
        }
        clock.hear(&[(DATE, "soon".parse().unwrap())].into_iter().collect());
        assert_ne!(clock.now(ours), ours, "what is no time changes nothing");
    }
}
