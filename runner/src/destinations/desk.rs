//! All destinations together, as the service and the commands see them: where each stands, what it has counted, its dead letters.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use headwater_core::error::{Error, Result};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::{
    open,
    outbox::{
        Outbox,
        breaker::Light,
        offer::{Fate, Offer},
        outcome::{Count, Failed, Outcome, outcomes},
        store::{Account, Standing, Store},
    },
};
use crate::{
    config::{Begin, DestinationSettings, unknown_destination},
    inbox::{Frame, Log},
    pipeline::{
        balance::{IN_FLIGHT, Line},
        frame,
    },
};

/// All destinations.
pub struct Desk {
    settings: BTreeMap<String, DestinationSettings>,
    /// None where there is no destination, and has never been one.
    store: Option<Store>,
    bells: BTreeMap<String, Arc<Notify>>,
}

/// One destination, as it is shown.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Status {
    /// Its name.
    pub name: String,
    /// What it speaks.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// `ok`, `held` (its circuit is open), or `disabled`.
    pub state: &'static str,
    /// How far it is behind.
    pub lag: Lag,
    /// Its circuit: `closed`, `open` or `half-open`, since when, and why.
    pub circuit: Light,
    /// Calls that failed, and wait to be sent again.
    pub retries: u64,
    /// Dead letters: calls that failed for good, until they are resent.
    pub dead_letters: u64,
    /// What became of its calls so far, by outcome.
    pub outcomes: BTreeMap<&'static str, u64>,
}

/// How far a destination is behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Lag {
    /// Calls that are in the log and have no outcome yet.
    pub calls: u64,
    /// How long ago the oldest of them was received, in seconds.
    pub seconds: f64,
}

/// Its name in the data folder.
const FILE: &str = "destinations.db";

impl Desk {
    /// Says if what the data folder knows was written by a newer Headwater. Nothing is changed.
    pub fn check_version(folder: &Path) -> Result<()> {
        Store::check_version(&folder.join(FILE))
    }

    /// The destinations of the configuration, and what the data folder knows of them.
    pub fn open(folder: &Path, destinations: &[DestinationSettings]) -> Result<Self> {
        let file = folder.join(FILE);
        let is_needed = !destinations.is_empty() || file.exists();
        let store = is_needed.then(|| Store::open(&file)).transpose()?;
        let settings: BTreeMap<String, DestinationSettings> =
            destinations.iter().map(|settings| (settings.name.clone(), settings.clone())).collect();
        let bells = settings.keys().map(|name| (name.clone(), Arc::new(Notify::new()))).collect();
        Ok(Self { settings, store, bells })
    }

    /// Opens the outboxes on the calls log: from now on it keeps what they need.
    /// `end` is the last frame of it that counts.
    pub async fn attach(&self, calls: &Arc<Log>, end: u64) -> Result<Vec<Outbox>> {
        let Some(store) = &self.store else { return Ok(Vec::new()) };
        let mut outboxes = Vec::new();
        for settings in self.settings.values() {
            let within = |error: Error| error.within("destination", &settings.name);
            let standing = self.stand(store, settings, calls, end).await.map_err(within)?;
            let destination = open(settings).map_err(within)?;
            let bell = self.bells.get(&settings.name).cloned().unwrap_or_default();
            let outbox =
                Outbox::open(settings, destination, standing, calls.clone(), store.clone(), bell).await;
            outboxes.push(outbox.map_err(within)?);
        }
        // A destination that has been taken out begins anew if it comes back: nobody kept its calls meanwhile.
        store.end_all_but(self.settings.keys().cloned().collect()).await?;
        Ok(outboxes)
    }

    /// Where a destination stands; a new one begins.
    async fn stand(
        &self,
        store: &Store,
        settings: &DestinationSettings,
        calls: &Log,
        end: u64,
    ) -> Result<Standing> {
        match store.standing(&settings.name).await? {
            Some(standing) if !standing.ended && standing.settled.position() <= end + 1 => Ok(standing),
            Some(standing) if !standing.ended => {
                tracing::error!(
                    destination = settings.name,
                    position = standing.settled.position(),
                    end,
                    "it is further than the calls log, which must be of a backup: it goes on at the log's end"
                );
                store.begin(&settings.name, end + 1).await
            }
            _ => {
                let position = match settings.from {
                    Begin::End => end + 1,
                    Begin::Beginning => calls.stats().first.min(end + 1),
                };
                store.begin(&settings.name, position).await
            }
        }
    }

    /// Every destination, where the calls log counts up to `end`.
    pub async fn status(&self, calls: &Log, end: u64) -> Result<Vec<Status>> {
        let Some(store) = &self.store else { return Ok(Vec::new()) };
        let mut all = Vec::new();
        let counts = store.counts().await?;
        for settings in self.settings.values() {
            let standing = store.standing(&settings.name).await?;
            let lag = match &standing {
                Some(standing) => lag(standing, calls, end).await?,
                None => Lag::default(),
            };
            let circuit = standing.map_or_else(Light::closed, |standing| standing.circuit);
            all.push(Status {
                name: settings.name.clone(),
                kind: settings.kind.name(),
                state: match circuit.state.as_str() {
                    _ if !settings.enabled => "disabled",
                    "closed" => "ok",
                    _ => "held",
                },
                lag,
                circuit,
                retries: store.waiting(&settings.name).await?.count,
                dead_letters: store.dead(&settings.name).await?.count,
                outcomes: outcomes(&counts, &settings.name),
            });
        }
        Ok(all)
    }

    /// What became of calls, by destination, source, outcome and rule.
    pub async fn counts(&self) -> Result<Vec<Count>> {
        match &self.store {
            Some(store) => store.counts().await,
            None => Ok(Vec::new()),
        }
    }

    /// The equation of every destination: the frames of the calls log that were for it, and what became of each. `end` gives the last
    /// frame that counts, and is asked once everything else is known.
    pub async fn lines(&self, end: impl FnOnce() -> u64) -> Result<Vec<Line>> {
        let Some(store) = &self.store else { return Ok(Vec::new()) };
        let accounts = store.accounts().await?;
        let end = end();
        Ok(accounts.into_iter().map(|account| line(account, end)).collect())
    }

    /// Calls of a destination that failed for good, newest first; or those that wait to be sent again.
    pub async fn failed(&self, name: &str, waiting: bool, limit: u32) -> Result<Vec<Failed>> {
        self.known(name)?.failed(name, waiting, limit).await
    }

    /// What became of a message at each destination: by the letters that are kept of it, else by `frame`, the call in the calls log if that
    /// still has it.
    pub async fn arrived(&self, message_id: &str, frame: Option<&Frame>) -> Result<Vec<Value>> {
        let Some(store) = &self.store else { return Ok(Vec::new()) };
        let counts = store.counts().await?;
        let mut all = Vec::new();
        for settings in self.settings.values() {
            let fate = match store.failed_of(&settings.name, message_id).await?.into_iter().next() {
                Some(Failed { due: Some(due), reason, attempts, .. }) => {
                    json!({ "outcome": IN_FLIGHT, "why": format!("sent {attempts} times, again at {due}: {reason}") })
                }
                Some(Failed { id, reason, .. }) => {
                    json!({ "outcome": "dead", "why": reason, "resend": format!("headwater resend {} --id {id}", settings.name) })
                }
                None => match (frame, store.standing(&settings.name).await?) {
                    (Some(frame), Some(standing)) => {
                        let has_expired = outcomes(&counts, &settings.name)[Outcome::Expired.name()] > 0;
                        settled(settings, &standing, frame, has_expired)?
                    }
                    _ => json!({ "unknown": "the calls log has it no more, and no letter is kept of it" }),
                },
            };
            let mut line = json!({ "consumer": format!("destination {}", settings.name) });
            if let (Some(line), Value::Object(fate)) = (line.as_object_mut(), fate) {
                line.extend(fate);
            }
            all.push(line);
        }
        Ok(all)
    }

    /// Sends dead letters again: these, or all. Returns how many.
    pub async fn resend(&self, name: &str, ids: Option<Vec<i64>>) -> Result<u64> {
        let count = self.known(name)?.resend(name, ids).await?;
        if let Some(bell) = self.bells.get(name) {
            bell.notify_one();
        }
        Ok(count)
    }

    fn known(&self, name: &str) -> Result<&Store> {
        match (self.settings.contains_key(name), &self.store) {
            (true, Some(store)) => Ok(store),
            _ => Err(unknown_destination(name, self.settings.keys().map(String::as_str))),
        }
    }
}

/// What became of a call that left no letter behind.
fn settled(
    settings: &DestinationSettings,
    standing: &Standing,
    frame: &Frame,
    has_expired: bool,
) -> Result<Value> {
    if i64::try_from(frame.seq).unwrap_or(i64::MAX) < standing.began {
        return Ok(
            json!({ "outcome": "not offered", "why": "the destination began later: replay with --destinations sends it" }),
        );
    }
    if !standing.settled.contains(frame.seq) {
        let why = match &standing.circuit.reason {
            Some(reason) => format!("the destination is held: {reason}"),
            None => format!(
                "call {} of the calls log; it is done up to {}",
                frame.seq,
                standing.settled.position() - 1
            ),
        };
        return Ok(json!({ "outcome": IN_FLIGHT, "why": why }));
    }
    Ok(match Offer::new(settings).judge(frame, &*open(settings)?) {
        Fate::Done(_, outcome, rule) => json!({ "outcome": outcome.name(), "by": rule }),
        // Nothing is kept of a call once it is done with; but one that failed for good would be a letter.
        Fate::Send(_) if has_expired => json!({ "outcome": "delivered or expired",
            "why": "calls of this destination have expired, and which ones is not kept: see its counts" }),
        Fate::Send(_) | Fate::Dead(..) => json!({ "outcome": Outcome::Delivered.name() }),
    })
}

fn line(account: Account, end: u64) -> Line {
    let Account { name, standing, outcomes, waiting } = account;
    // What is counted beyond the end, or of a log that is no longer there, balances by itself; one that ended is offered no more.
    let next =
        if standing.ended { standing.settled.position() } else { (end + 1).max(standing.settled.position()) };
    let open = (next - standing.settled.position()).saturating_sub(standing.settled.count_ahead());
    let total = standing.counted() + i64::try_from(open).unwrap_or(i64::MAX);
    let mut line = Line { of: format!("destination {name}"), total: total.unsigned_abs(), ..Line::default() };
    for (outcome, n) in outcomes {
        line.add(outcome, n);
    }
    line.add("waiting to be sent again", waiting);
    line.add(IN_FLIGHT, open);
    line
}

async fn lag(standing: &Standing, calls: &Log, end: u64) -> Result<Lag> {
    let position = standing.settled.position();
    let open = (end + 1).saturating_sub(position).saturating_sub(standing.settled.count_ahead());
    if open == 0 {
        return Ok(Lag::default());
    }
    let oldest = calls.read(position, 1).await?.frames.into_iter().next();
    let oldest = oldest.and_then(|frame| frame::decode(&frame.body).ok());
    let received = oldest.and_then(|(_, record)| record.time("receivedAt").ok().flatten());
    let seconds = received.map_or(0.0, |received| Timestamp::now().duration_since(received).as_secs_f64());
    Ok(Lag { calls: open, seconds: seconds.max(0.0) })
}
