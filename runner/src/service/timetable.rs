//! When each source is due, kept in memory: nothing is asked of the state, and nothing computed, until a moment comes.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::sync::schedule::{Schedule, lies_ahead};

/// A source that could not begin is looked at again so soon.
const AGAIN: SignedDuration = SignedDuration::from_secs(1);

/// The scheduled sources.
#[derive(Default)]
pub(super) struct Timetable(BTreeMap<String, Row>);

struct Row {
    schedule: Schedule,
    /// The moment that its latest run was for; none for a new source.
    last: Option<Timestamp>,
    /// When it has to be looked at again.
    wake: Timestamp,
    /// It waits for an allotment, and begins when that comes back.
    paused: bool,
}

/// A source that is due.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Due {
    /// Its name.
    pub source: String,
    /// The moment that the run is for; none if it only goes on after a pause.
    pub moment: Option<Timestamp>,
}

impl Timetable {
    /// One more source; it has run for `last`, and is paused until `paused`.
    pub fn add(
        &mut self,
        source: &str,
        schedule: Schedule,
        last: Option<Timestamp>,
        paused: Option<Timestamp>,
    ) {
        let mut row = Row { schedule, last, wake: Timestamp::MIN, paused: false };
        row.look_ahead();
        if let Some(until) = paused {
            row.pause(until);
        }
        self.0.insert(source.to_owned(), row);
    }

    /// When anything may be due next.
    pub fn wake(&self) -> Option<Timestamp> {
        self.0.values().map(|row| row.wake).min()
    }

    /// What is due. Each is named once: tell what became of it by [`Self::began`] or [`Self::wait`].
    pub fn due(&mut self, now: Timestamp) -> Vec<Due> {
        let mut due = Vec::new();
        for (source, row) in &mut self.0 {
            // The clock may have been set back since.
            let is_ahead = row.last.is_some_and(|last| lies_ahead(last, now));
            if row.wake > now && (row.paused || !is_ahead) {
                continue;
            }
            let moment = match (row.paused, row.last) {
                // What was missed meanwhile is caught up by it.
                (true, last) => last.and_then(|last| row.schedule.due(last, now)),
                // A new source begins at once.
                (false, None) => Some(now),
                (false, Some(last)) => {
                    let Some(moment) = row.schedule.due(last, now) else {
                        row.look_ahead();
                        continue;
                    };
                    let begins = moment + row.schedule.delay(source, moment);
                    if begins > now {
                        row.wake = row.schedule.after(moment).map_or(begins, |next| next.min(begins));
                        continue;
                    }
                    Some(moment)
                }
            };
            row.wake = now + AGAIN;
            due.push(Due { source: source.clone(), moment });
        }
        due
    }

    /// It could not begin: it is looked at again soon.
    pub fn wait(&mut self, source: &str, now: Timestamp) {
        if let Some(row) = self.0.get_mut(source) {
            row.wake = now + AGAIN;
        }
    }

    /// It has begun.
    pub fn began(&mut self, due: &Due) {
        if let Some(row) = self.0.get_mut(&due.source) {
            row.last = due.moment.or(row.last);
            row.paused = false;
            row.look_ahead();
        }
    }

    /// An allotment is spent: it begins again when that comes back.
    pub fn pause(&mut self, source: &str, until: Timestamp) {
        if let Some(row) = self.0.get_mut(source) {
            row.pause(until);
        }
    }
}

impl Row {
    fn look_ahead(&mut self) {
        self.wake = match self.last {
            None => Timestamp::MIN,
            Some(last) => self.schedule.after(last).unwrap_or(Timestamp::MAX),
        };
    }

    fn pause(&mut self, until: Timestamp) {
        (self.paused, self.wake) = (true, until);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn nothing_is_looked_at_before_its_time() {
        let mut table = Timetable::default();
        let schedule = |jitter| Schedule::parse("every 1h", None, jitter).unwrap();
        let last = time("2024-01-01T10:00:00Z");
        table.add("old", schedule(None), Some(last), None);
        assert_eq!(table.wake(), Some(time("2024-01-01T11:00:00Z")));
        assert_eq!(table.due(time("2024-01-01T10:59:59Z")), []);
        table.add("new", schedule(None), None, None);
        let now = time("2024-01-01T10:30:00Z");
        let due = table.due(now);
        assert_eq!(due, [Due { source: "new".into(), moment: Some(now) }]);
        table.began(&due[0]);
        assert_eq!(table.wake(), Some(time("2024-01-01T11:00:00Z")));
        // The clock is set back: nobody waits until time has caught up.
        assert_eq!(table.due(time("2024-01-01T09:00:00Z")).len(), 2);
        // Missed ten times, caught up once; a busy one is looked at again soon.
        let later = time("2024-01-01T21:10:00Z");
        assert_eq!(table.due(later).len(), 2);
        assert_eq!(table.due(later), []);
        table.wait("old", later);
        let again = table.due(later + AGAIN);
        assert_eq!(again[1], Due { source: "old".into(), moment: Some(time("2024-01-01T21:00:00Z")) });
    }

    #[test]
    fn a_pause_ends_at_its_time_and_is_a_moment_of_its_own() {
        let mut table = Timetable::default();
        let schedule = Schedule::parse("every 1h", None, Some("30m")).unwrap();
        let (last, until) = (time("2024-01-01T10:00:00Z"), time("2024-01-02T00:00:00Z"));
        table.add("a", schedule.clone(), Some(last), Some(until));
        assert_eq!(table.due(time("2024-01-01T23:59:59Z")), []);
        let due = table.due(until);
        assert_eq!(due, [Due { source: "a".into(), moment: Some(until) }]);
        table.began(&due[0]);
        // Its moments are what they were, each as late as its jitter says.
        let moment = time("2024-01-02T01:00:00Z");
        let begins = moment + schedule.delay("a", moment);
        assert_eq!(table.due(begins - SignedDuration::from_secs(1)), []);
        assert_eq!(table.due(begins), [Due { source: "a".into(), moment: Some(moment) }]);
        table.pause("a", begins);
        let due = table.due(begins);
        assert_eq!(due, [Due { source: "a".into(), moment: Some(moment) }]);
        table.began(&due[0]);
        table.pause("a", begins);
        assert_eq!(table.due(begins), [Due { source: "a".into(), moment: None }], "nothing was missed");
    }
}
