//! How fast recorded deliveries become calls: for each app all of its fixtures, from the inbox's bytes to those of the calls log, on one
//! thread, by the processor time that it takes: whoever else uses the machine meanwhile does not count. The floor reads each body into a
//! tree and writes that again.

use std::{collections::HashMap, hint::black_box, time::Duration};

use bytes::Bytes;
use headwater::{
    inbox::{DeliveryKind, StoredDelivery},
    pipeline::{Fate, Filter, Limits, Source, Sources, normalise},
};
use headwater_benches::median;
use headwater_tests::subject::Subject;
use rustix::time::{ClockId, clock_gettime};
use serde_json::Value;

use super::{Options, Result};

const LIMITS: Limits = Limits { call_bytes: 32 << 10, batch_calls: 2500 };

/// An app's deliveries a second.
struct App {
    name: &'static str,
    deliveries: usize,
    calls: usize,
    bytes: usize,
    ours: f64,
    floor: f64,
}

/// Prints each app's rate, the slowest first, and how the slowest stands to the median.
pub fn bench(options: &Options) -> Result<()> {
    let wanted = options.text("app");
    let time = Duration::from_secs_f64(options.number("seconds", 0.2));
    let mut apps = Vec::new();
    for (name, subject) in Subject::those(|name| wanted.is_none_or(|wanted| wanted == name)) {
        let subject = subject.map_err(|why| format!("{name}: {why}"))?;
        apps.extend(app(&subject, time)?);
    }
    apps.sort_by(|one, other| one.ours.total_cmp(&other.ours));
    println!(
        "{:<28} {:>10} {:>12} {:>12} {:>14} {:>10} {:>14}",
        "", "recorded", "bytes each", "calls each", "deliveries/s", "calls/s", "floor's deliveries/s"
    );
    for app in &apps {
        let App { name, deliveries, bytes, ours, floor, .. } = app;
        let (each, calls, rate) = (bytes / deliveries, app.calls_each(), app.calls_each() * ours);
        println!(
            "{name:<28} {deliveries:>10} {each:>12} {calls:>12.1} {ours:>14.0} {rate:>10.0} {floor:>14.0}"
        );
    }
    let of_floor = median(apps.iter().map(|app| app.ours / app.floor));
    println!(
        "a core: {} ({of_floor:.2} of the floor's)",
        summary("deliveries", apps.iter().map(|app| app.ours))
    );
    println!("        {}", summary("calls", apps.iter().map(|app| app.ours * app.calls_each())));
    Ok(())
}

/// The middle of the apps, and how far behind it the slowest is.
fn summary(what: &str, rates: impl Iterator<Item = f64> + Clone) -> String {
    let (middle, slowest) = (median(rates.clone()), rates.fold(f64::INFINITY, f64::min));
    format!(
        "{middle:.0} {what}/s is the median of the apps; the slowest reaches {:.2} of it",
        slowest / middle
    )
}

impl App {
    fn calls_each(&self) -> f64 {
        self.calls as f64 / self.deliveries as f64
    }
}

/// Measures one app; none without deliveries.
fn app(subject: &Subject, time: Duration) -> Result<Option<App>> {
    let connector = subject.connector;
    let Some(_) = connector.events.filter(|_| !subject.fixtures.deliveries.is_empty()) else {
        return Ok(None);
    };
    let source = Source {
        name: "source".to_owned(),
        connector,
        events: Some(subject.receiver()?),
        calls_schema: "source".to_owned(),
        filter: Filter::default(),
    };
    let mut stored: Vec<(Bytes, Bytes)> = Vec::new();
    for sample in &subject.fixtures.deliveries {
        let (delivery, surface) = subject.delivery(sample)?;
        let body = delivery.body.clone();
        let kept = StoredDelivery {
            source: "source".to_owned(),
            connector: None,
            surface: surface.path.to_owned(),
            kind: DeliveryKind::Webhook,
            delivery,
            verified: "signature".to_owned(),
        };
        stored.push((kept.encode().into(), body));
    }
    let mut out = Vec::new();
    let calls = stored.iter().map(|(bytes, _)| map(bytes, &source, &mut out)).sum();
    Ok(Some(App {
        name: connector.name,
        deliveries: stored.len(),
        calls,
        bytes: stored.iter().map(|(_, body)| body.len()).sum(),
        ours: rate(&stored, time, |(bytes, _)| {
            out.clear();
            map(bytes, &source, &mut out);
        }),
        floor: rate(&stored, time, |(_, body)| {
            let tree = serde_json::from_slice::<Value>(body).map(|tree| tree.to_string());
            drop(black_box(tree));
        }),
    }))
}

/// How many a second of this thread: the middle of five runs.
fn rate(deliveries: &[(Bytes, Bytes)], time: Duration, mut once: impl FnMut(&(Bytes, Bytes))) -> f64 {
    median((0..5).map(|_| {
        let began = processor_time();
        let mut done = 0;
        loop {
            deliveries.iter().for_each(&mut once);
            done += deliveries.len();
            let took = processor_time() - began;
            if took >= time.as_secs_f64() / 5.0 {
                break done as f64 / took;
            }
        }
    }))
}

/// What this thread has had of the processor, in seconds.
fn processor_time() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// As the normaliser does it; how many calls there were.
fn map(bytes: &Bytes, source: &Source, out: &mut Vec<u8>) -> usize {
    let Ok(stored) = StoredDelivery::decode(bytes) else { return 0 };
    let sources: Sources = HashMap::new();
    let mut calls = 0;
    for (_, fate) in normalise(&stored, source, &sources, LIMITS, 1).items {
        match fate {
            Fate::Eligible(call) => {
                call.write(out);
                calls += 1;
            }
            Fate::Change(change) => out.extend_from_slice(change.record.bytes()),
            other => drop(black_box(other)),
        }
    }
    calls
}
