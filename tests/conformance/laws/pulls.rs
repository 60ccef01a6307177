//! Events that are asked for: a stream or files that are fetched, and what a delivery has to look up.

use std::collections::BTreeSet;

use headwater_core::{
    error::Error,
    event::{Delivery, EventPull, Pulled, map_delivery},
    http::{Client, Options},
};
use serde_json::Value;

use super::{
    Verdict, strangers, told,
    vendor::{declared, foreign, impatient, once, troubles, unproven},
    verdict, wait,
};
use crate::{
    fixture::Exchange,
    reading,
    replay::{Fault, Plan, Replay},
    subject::Subject,
};

/// A reading that has more pulls than this does not end.
const ENDLESS: usize = 200;
/// How often a pull that fails for now is tried again, with the same cursor.
const TRIES: usize = 8;

/// One pull.
struct Step {
    deliveries: Vec<(&'static str, Delivery)>,
    after: Value,
}

/// A source whose events are fetched, open.
async fn open(subject: &Subject, options: Options) -> Result<(Box<dyn EventPull>, Client), String> {
    let open = subject.connector.pull.ok_or("its events are not fetched")?;
    let config = &subject.fixtures.config;
    let source = open(config.settings.clone()).map_err(told)?;
    let mut api = source.api(&config.account).map_err(told)?;
    api.hosts.iter_mut().flat_map(|host| &mut host.limits).for_each(reading::unbound);
    Ok((source, Client::new(api, options).map_err(told)?))
}

/// Pulls from `cursor` to the end, each time from the cursor as it was stored.
async fn walk(subject: &Subject, options: Options, mut cursor: Value) -> Result<Vec<Step>, String> {
    let (source, client) = open(subject, options).await?;
    let mut steps = Vec::new();
    let mut tries = 0;
    loop {
        let Pulled { deliveries, cursor: next, more } = match source.pull(&client, &cursor).await {
            Ok(pulled) => pulled,
            Err(error) if error.kind().is_temporary() && tries < TRIES => {
                tries += 1;
                continue;
            }
            Err(error) => return Err(told(error)),
        };
        tries = 0;
        if steps.len() == ENDLESS || (more && deliveries.is_empty() && next == cursor) {
            return Err("it does not end: its cursor does not move".into());
        }
        cursor = serde_json::from_str(&next.to_string()).map_err(|error| error.to_string())?;
        steps.push(Step { deliveries, after: next });
        if !more {
            return Ok(steps);
        }
    }
}

fn exchanges(subject: &Subject) -> Vec<Exchange> {
    let own = subject.fixtures.recordings.get("_pull").into_iter().flatten().cloned();
    own.chain(subject.fixtures.common()).collect()
}

/// Deliveries as text, but for the time at which they were fetched.
fn shown(steps: &[Step]) -> Vec<String> {
    let all = steps.iter().flat_map(|step| &step.deliveries);
    all.map(|(surface, delivery)| {
        let Delivery { path_tail, query, headers, body, .. } = delivery;
        format!("{surface} {path_tail} {query} {headers:?} {}", String::from_utf8_lossy(body))
    })
    .collect()
}

/// What is fetched is read to its end, from the recording `_pull.http`: every answer of it is used, each request proves whose it is
/// and goes to a declared host, every delivery comes to a surface that maps each of its items to the same calls each time, and a
/// 401 comes out as an error of the credentials.
pub fn pull(subject: &Subject) -> Verdict {
    if subject.connector.pull.is_none() {
        return Ok(());
    }
    wait(async {
        let mut wrong = Vec::new();
        let replay = Replay::start(exchanges(subject)).await?;
        let steps = walk(subject, reading::options(&replay), Value::Null).await;
        let steps = steps.map_err(|why| format!("{why}{}", strangers(&replay)))?;
        wrong.extend(replay.strangers().iter().map(|stranger| format!("not recorded: {stranger}")));
        let idle = replay.idle().into_iter().filter(|known| known.file == "_pull");
        wrong.extend(
            idle.map(|unused| {
                format!("never asked for: {} {} ({})", unused.method, unused.path, unused.name)
            }),
        );
        wrong.extend(unproven(subject, &replay)?);
        wrong.extend(foreign(&replay, &declared(subject)?));
        let source = subject.receiver()?;
        let surfaces = subject.connector.events.map_or(&[][..], |events| events.webhook.surfaces);
        let mut made = 0;
        for (path, delivery) in steps.iter().flat_map(|step| &step.deliveries) {
            let Some(surface) = surfaces.iter().find(|surface| surface.path == *path) else {
                wrong.push(format!("there is no surface {path:?} to map what is fetched"));
                continue;
            };
            let map = || map_delivery(subject.connector.name, &*source, surface, delivery);
            let mapped = map();
            made += mapped.outputs.len();
            wrong.extend(mapped.rejected.iter().map(|rejected| format!("fetched and rejected: {rejected}")));
            if format!("{mapped:?}") != format!("{:?}", map()) {
                wrong.push("the same delivery becomes other calls the second time".into());
            }
        }
        if made == 0 {
            wrong.push("nothing that is fetched becomes a call".into());
        }
        let plan: Plan = Box::new(|_| Some(Fault::Status(401, Vec::new())));
        let replay = Replay::failing(exchanges(subject), plan).await?;
        match walk(subject, impatient(&replay), Value::Null).await {
            Err(why) if why.contains("(auth)") => {}
            Err(why) => wrong.push(format!("401 comes out as {why}")),
            Ok(_) => wrong.push("401 comes out as success".into()),
        }
        verdict(wrong)
    })
}

/// From every cursor, stored and read back by another process, exactly the rest is fetched. And nothing is lost or doubled where
/// each answer comes only after a 429, a 500, a 503, a time-out or half of its body.
pub fn pull_resume(subject: &Subject) -> Verdict {
    if subject.connector.pull.is_none() {
        return Ok(());
    }
    wait(async {
        let mut wrong = Vec::new();
        let replay = Replay::start(exchanges(subject)).await?;
        let steps = walk(subject, reading::options(&replay), Value::Null).await?;
        for (place, step) in steps.iter().enumerate() {
            let replay = Replay::start(exchanges(subject)).await?;
            let rest = walk(subject, reading::options(&replay), step.after.clone()).await;
            let rest = rest.map_err(|why| format!("from {}: {why}{}", step.after, strangers(&replay)))?;
            let (expected, found) = (shown(&steps[place + 1..]), shown(&rest));
            if found != expected {
                wrong.push(format!(
                    "from {}: {} deliveries instead of {}",
                    step.after,
                    found.len(),
                    expected.len()
                ));
            }
        }
        let whole = shown(&steps);
        for (name, fault) in troubles() {
            let exchanges = exchanges(subject);
            let plan = once(&exchanges, |file| file == "_pull", fault);
            let replay = Replay::failing(exchanges, plan).await?;
            match walk(subject, impatient(&replay), Value::Null).await {
                Err(why) => wrong.push(format!("{name}: {why}{}", strangers(&replay))),
                Ok(steps) if shown(&steps) != whole => {
                    wrong.push(format!(
                        "{name}: other deliveries: {} instead of {}",
                        shown(&steps).len(),
                        whole.len()
                    ));
                }
                Ok(_) => {}
            }
        }
        verdict(wrong)
    })
}

/// What deliveries look up is asked at a declared host with its credential, as `_lookups.http` has it; every answer of that is used;
/// a delivery whose look-ups are refused for good still becomes calls, or items that are rejected with a reason.
pub fn lookups(subject: &Subject) -> Verdict {
    let recorded = subject.fixtures.recordings.get("_lookups").cloned().unwrap_or_default();
    let Some(events) = subject.connector.events else { return Ok(()) };
    let source = subject.receiver()?;
    let mut asks = Vec::new();
    let mut wrong = Vec::new();
    for sample in &subject.fixtures.deliveries {
        let (mut delivery, surface) = subject.delivery(sample)?;
        delivery.lookups.clear();
        let asked = map_delivery(subject.connector.name, &*source, surface, &delivery).asks;
        delivery.lookups = asked.iter().map(|(item, _)| (*item, Default::default())).collect();
        let mapped = map_delivery(subject.connector.name, &*source, surface, &delivery);
        if !asked.is_empty()
            && (!mapped.asks.is_empty() || mapped.outputs.is_empty() && mapped.rejected.is_empty())
        {
            wrong.push(format!(
                "{}: with every look-up refused it becomes nothing, and does not say why",
                sample.name
            ));
        }
        asks.extend(asked.into_iter().map(|(_, request)| request));
    }
    if asks.is_empty() {
        return match recorded.is_empty() {
            true => verdict(wrong),
            false => Err("never asked for: _lookups.http".into()),
        };
    }
    wait(async {
        let known: Vec<Exchange> = recorded.into_iter().chain(subject.fixtures.common()).collect();
        let replay = Replay::start(known).await?;
        let config = &subject.fixtures.config;
        let api = match ((events.open)(config.settings.clone()).map_err(told)?).lookup_api().map_err(told)? {
            Some(api) => api,
            None => {
                super::vendor::apis(subject)?.pop().ok_or("it does not say where its look-ups are asked")?
            }
        };
        let client = Client::new(api, reading::options(&replay)).map_err(told)?;
        let mut refused = BTreeSet::new();
        for request in asks {
            let path = request.path.clone();
            if let Err(error) = client.send(request).await
                && !is_refusal(&error)
                && refused.insert(path)
            {
                wrong.push(format!("a look-up fails: {}{}", told(error), strangers(&replay)));
            }
        }
        let idle = replay.idle().into_iter().filter(|known| known.file == "_lookups");
        wrong.extend(
            idle.map(|unused| {
                format!("never asked for: {} {} ({})", unused.method, unused.path, unused.name)
            }),
        );
        wrong.extend(unproven(subject, &replay)?);
        verdict(wrong)
    })
}

fn is_refusal(error: &Error) -> bool {
    error.kind() == headwater_core::error::Kind::Forbidden || matches!(error.status(), Some(403 | 404 | 410))
}
