//! When a source is due: cron or an interval, in a time zone, with jitter; what was missed is caught up once.

use std::{str::FromStr, time::Duration};

use headwater_core::error::{Error, Result};
use jiff::{SignedDuration, Span, Timestamp, civil, tz::TimeZone};

/// A clock that was set back by no more than this is waited for.
const SET_BACK: SignedDuration = SignedDuration::from_mins(1);

/// When a source's objects are synced.
#[derive(Clone, Debug)]
pub struct Schedule {
    when: When,
    zone: TimeZone,
    jitter: Duration,
}

#[derive(Clone, Debug)]
enum When {
    /// So long after the last time, counted from 1970 so that a restart changes nothing.
    Every(Duration),
    Cron(Box<cron::Schedule>),
}

impl Schedule {
    /// Reads `every 3h`, `*/15 * * * *`, `0 30 9 * * MON-FRI` or `@daily`, in a zone as IANA names it.
    pub fn parse(text: &str, zone: Option<&str>, jitter: Option<&str>) -> Result<Self> {
        let zone = match zone {
            None => TimeZone::UTC,
            Some(name) => TimeZone::get(name).map_err(|_| {
                Error::config(format!("timezone {name:?} is unknown: write it like Europe/Berlin"))
            })?,
        };
        let jitter = match jitter {
            None => Duration::ZERO,
            Some(text) => {
                duration(text).ok_or_else(|| Error::config(format!("jitter {text:?}: write it like 5m")))?
            }
        };
        let wrong = |why: &str| {
            Error::config(format!(
                "schedule {text:?} {why}: write it like \"every 3h\", \"0 6 * * *\" or \"@hourly\""
            ))
        };
        let when = match text.trim().strip_prefix("every ") {
            Some(interval) => match duration(interval) {
                Some(interval) if interval >= Duration::from_secs(60) => When::Every(interval),
                Some(_) => return Err(wrong("is more often than once a minute")),
                None => return Err(wrong("is no interval")),
            },
            None => {
                let cron = cron_text(text.trim()).ok_or_else(|| wrong("is no schedule"))?;
                let cron = cron::Schedule::from_str(&cron).map_err(|_| wrong("is no schedule"))?;
                When::Cron(Box::new(cron))
            }
        };
        let schedule = Self { when, zone, jitter };
        match schedule.after(Timestamp::UNIX_EPOCH) {
            Some(_) => Ok(schedule),
            None => Err(wrong("never comes")),
        }
    }

    /// The first time after `time`, jitter left out.
    pub fn after(&self, time: Timestamp) -> Option<Timestamp> {
        match &self.when {
            When::Every(every) => {
                let every = i64::try_from(every.as_secs()).ok()?;
                Timestamp::from_second((time.as_second().div_euclid(every) + 1).checked_mul(every)?).ok()
            }
            When::Cron(cron) => {
                // The cron crate counts in a calendar; ours is the zone's, told to it as if it were UTC.
                let mut local = time.to_zoned(self.zone.clone()).datetime();
                for _ in 0..8 {
                    let next = next_local(cron, local)?;
                    // An hour that a clock change leaves out counts as the one after; one that comes twice counts once.
                    let found = next.to_zoned(self.zone.clone()).ok()?.timestamp();
                    if found > time {
                        return Some(found);
                    }
                    local = next;
                }
                None
            }
        }
    }

    /// Whether a run is due at `now`, and for which moment, when the last one was for `last`. However many were missed,
    /// the latest stands for all: they are caught up once. A last one that lies ahead was for a clock that was wrong: nobody waits
    /// until time has caught up with it.
    pub fn due(&self, last: Timestamp, now: Timestamp) -> Option<Timestamp> {
        if lies_ahead(last, now) {
            return Some(now);
        }
        let mut due = self.after(last).filter(|time| *time <= now)?;
        // Far behind: skip ahead rather than count every minute of a year.
        let day = SignedDuration::from_hours(24);
        if now.duration_since(due) > day
            && let Some(near) = self.after(now.saturating_sub(day).ok()?).filter(|time| *time <= now)
        {
            due = near;
        }
        while let Some(next) = self.after(due).filter(|time| *time <= now) {
            due = next;
        }
        Some(due)
    }

    /// How late the run for `moment` of the source of that name begins: the same each time it is asked.
    pub fn delay(&self, source: &str, moment: Timestamp) -> Duration {
        let seed = crc32c::crc32c(format!("{source} {moment}").as_bytes());
        self.jitter.mul_f64(f64::from(seed) / f64::from(u32::MAX))
    }
}

/// Whether a moment is one that only a clock that was wrong can have told.
pub fn lies_ahead(moment: Timestamp, now: Timestamp) -> bool {
    moment.duration_since(now) > SET_BACK
}

fn next_local(cron: &cron::Schedule, local: civil::DateTime) -> Option<civil::DateTime> {
    let as_utc = local.to_zoned(TimeZone::UTC).ok()?.timestamp();
    let after = chrono::DateTime::from_timestamp(as_utc.as_second(), 0)?;
    let next = cron.after(&after).next()?;
    Some(Timestamp::from_second(next.timestamp()).ok()?.to_zoned(TimeZone::UTC).datetime())
}

/// What the cron crate takes: six fields with seconds first, days of the week by name (its own numbers begin at Sunday = 1).
fn cron_text(text: &str) -> Option<String> {
    if text.starts_with('@') {
        return Some(text.to_owned());
    }
    let mut fields: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
    if fields.len() == 5 {
        fields.insert(0, "0".to_owned());
    }
    if fields.len() != 6 {
        return None;
    }
    fields[5] = weekdays(&fields[5])?;
    Some(fields.join(" "))
}

/// `1-5` becomes `MON-FRI`; 0 and 7 are Sunday; a range through the weekend (`5-7`, `6-1`) becomes a list.
fn weekdays(field: &str) -> Option<String> {
    const DAYS: [&str; 8] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN"];
    let number = |text: &str| text.parse::<usize>().ok();
    let parts: Option<Vec<String>> = field
        .split(',')
        .map(|part| {
            let (range, step) =
                part.split_once('/').map_or((part, None), |(range, step)| (range, Some(step)));
            if range == "*" || range == "?" {
                return Some(part.to_owned());
            }
            let (from, to) = range.split_once('-').map_or((range, range), |ends| ends);
            match (number(from), number(to)) {
                (Some(from), Some(to)) if from <= 7 && to <= 7 => {
                    let to = if to < from { to + 7 } else { to };
                    let step = match step {
                        Some(step) => number(step).filter(|step| *step > 0)?,
                        None => 1,
                    };
                    let days: Vec<&str> = (from..=to).step_by(step).map(|day| DAYS[day % 7]).collect();
                    Some(days.join(","))
                }
                (None, None) => Some(part.to_owned()),
                _ => None,
            }
        })
        .collect();
    parts.map(|parts| parts.join(","))
}

/// `90s`, `5m`, `3h`, `1d`, `1h 30m`.
pub fn duration(text: &str) -> Option<Duration> {
    let span: Span = text.trim().parse().ok()?;
    let total = SignedDuration::try_from(span).or_else(|_| {
        let days = span.get_days() + span.get_weeks() * 7;
        SignedDuration::try_from(span.days(0).weeks(0))
            .map(|rest| rest + SignedDuration::from_hours(24) * days)
    });
    Duration::try_from(total.ok()?).ok().filter(|total| !total.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(text: &str, zone: &str, after: &str) -> String {
        Schedule::parse(text, Some(zone), None).unwrap().after(after.parse().unwrap()).unwrap().to_string()
    }

    #[test]
    fn every_way_to_write_it() {
        assert_eq!(next("every 3h", "UTC", "2024-01-01T01:00:00Z"), "2024-01-01T03:00:00Z");
        assert_eq!(next("*/15 * * * *", "UTC", "2024-01-01T01:01:00Z"), "2024-01-01T01:15:00Z");
        assert_eq!(next("30 15 9 * * *", "UTC", "2024-01-01T01:01:00Z"), "2024-01-01T09:15:30Z");
        assert_eq!(next("@hourly", "UTC", "2024-01-01T01:01:00Z"), "2024-01-01T02:00:00Z");
        assert_eq!(next("0 6 * * 1-5", "Europe/Berlin", "2024-01-05T12:00:00Z"), "2024-01-08T05:00:00Z");
        for sunday in ["0 6 * * 0", "0 6 * * 7", "0 6 * * SUN"] {
            assert_eq!(next(sunday, "UTC", "2024-01-05T12:00:00Z"), "2024-01-07T06:00:00Z", "{sunday}");
        }
        assert_eq!(next("0 6 * * 5-7", "UTC", "2024-01-06T12:00:00Z"), "2024-01-07T06:00:00Z");
        for wrong in [
            "",
            "hourly",
            "every",
            "every 5s",
            "every -3h",
            "61 * * * *",
            "* * * *",
            "0 0 30 2 *",
            "0 6 * * 8",
        ] {
            assert!(Schedule::parse(wrong, None, None).is_err(), "{wrong}");
        }
        assert!(Schedule::parse("@daily", Some("Berlin"), None).is_err());
    }

    #[test]
    fn clock_changes_neither_skip_nor_repeat() {
        // 02:30 does not exist on 2024-03-31 in Berlin, and comes twice on 2024-10-27.
        assert_eq!(next("30 2 * * *", "Europe/Berlin", "2024-03-30T12:00:00Z"), "2024-03-31T01:30:00Z");
        let schedule = Schedule::parse("30 2 * * *", Some("Europe/Berlin"), None).unwrap();
        let first = schedule.after("2024-10-26T12:00:00Z".parse().unwrap()).unwrap();
        assert_eq!(schedule.after(first).unwrap().to_string(), "2024-10-28T01:30:00Z");
    }

    #[test]
    fn what_was_missed_is_caught_up_once() {
        let schedule = Schedule::parse("every 1h", None, Some("10m")).unwrap();
        let last = "2020-01-01T00:00:00Z".parse().unwrap();
        let now = "2024-01-01T10:30:00Z".parse().unwrap();
        let due = schedule.due(last, now).unwrap();
        assert_eq!(due.to_string(), "2024-01-01T10:00:00Z");
        assert_eq!(schedule.due(due, now), None);
        assert_eq!(schedule.due(now + SET_BACK, now), None);
        let ahead = now + SignedDuration::from_hours(5);
        assert_eq!(schedule.due(ahead, now), Some(now), "the clock was set back");
        let delay = schedule.delay("a", due);
        assert!(delay < Duration::from_secs(600) && delay == schedule.delay("a", due));
    }
}
