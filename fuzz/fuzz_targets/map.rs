//! Mapping: a delivery to a connector, set up as in its `config.json`. `HEADWATER_FUZZ_CONNECTOR` names the one that is
//! tried; otherwise the first byte of an input chooses.
//!
//! An input is that byte, the recorded delivery whose path, query and headers it has, its [`Change`]s, how many surfaces
//! further it arrives than that one did, the changed values, each with its length before it, and the body. So a seed is four
//! bytes and the body as it was recorded.

#![no_main]

use std::{
    collections::HashSet,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Mutex, OnceLock},
};

use bytes::Bytes;
use headwater_core::{
    auth::Secret,
    error::Result,
    event::{
        Delivery, EventSource, Handshake, Item, Mapped, Mapping, Output, Reply, Surface, Webhook,
        map_delivery,
    },
    http::Api,
    object::Request,
};
use headwater_fuzz::{App, apps, assert_object, assert_one_line, is_json, seeds_folder, write_seed};
use http::{HeaderName, HeaderValue};
use libfuzzer_sys::fuzz_target;

/// What is otherwise than in the recorded delivery, as bits of the third byte.
mod change {
    /// The answers to look-ups are not there yet.
    pub const NO_ANSWERS: u8 = 1;
    /// What is then asked is answered with the body itself; otherwise refused.
    pub const BODY_ANSWERS: u8 = 2;
    /// No content type.
    pub const NO_TYPE: u8 = 4;
    /// The query is another.
    pub const QUERY: u8 = 8;
    /// What follows the surface's path is another.
    pub const TAIL: u8 = 16;
    /// A header has another value: a byte says which of those that the connector's recorded deliveries have.
    pub const HEADER: u8 = 32;
    /// And one more.
    pub const HEADER_2: u8 = 64;
}

struct Prepared {
    app: App,
    headers: Vec<HeaderName>,
}

static PREPARED: OnceLock<Vec<Prepared>> = OnceLock::new();

fuzz_target!(
    init: {
        let wanted = std::env::var("HEADWATER_FUZZ_CONNECTOR").ok().filter(|name| !name.is_empty());
        let apps = apps(|name| wanted.as_deref().is_none_or(|wanted| wanted == name));
        assert!(!apps.is_empty(), "no connector {wanted:?} has webhooks");
        apps.iter().for_each(seed);
        assert!(PREPARED.set(apps.into_iter().map(prepare).collect()).is_ok(), "begun twice");
    },
    |input: &[u8]| {
        let (Some(all), [connector, rest @ ..]) = (PREPARED.get(), input) else { return };
        let Prepared { app, headers } = &all[usize::from(*connector) % all.len()];
        if let Some((delivery, surface, changes)) = read(app, headers, rest) {
            arrives(app, surface, &delivery, changes & change::BODY_ANSWERS != 0);
        }
    }
);

fn prepare(app: App) -> Prepared {
    let names = app.samples.iter().flat_map(|(delivery, _)| delivery.headers.keys()).cloned();
    let mut headers: Vec<HeaderName> = names.collect();
    headers.sort_by(|one, other| one.as_str().cmp(other.as_str()));
    headers.dedup();
    Prepared { app, headers }
}

fn read(app: &App, headers: &[HeaderName], input: &[u8]) -> Option<(Delivery, &'static Surface, u8)> {
    let [sample, changes, further, rest @ ..] = input else { return None };
    let (recorded, surface) = app.samples.get(usize::from(*sample) % app.samples.len().max(1))?;
    let mut delivery = recorded.clone();
    let surfaces = app.webhook.surfaces;
    let place = surfaces.iter().position(|one| one.path == surface.path)?;
    let surface = &surfaces[(place + usize::from(*further)) % surfaces.len()];
    let mut rest = rest;
    if changes & change::NO_ANSWERS != 0 {
        delivery.lookups.clear();
    }
    if changes & change::NO_TYPE != 0 {
        delivery.headers.remove("content-type");
    }
    if changes & change::QUERY != 0 {
        delivery.query = String::from_utf8_lossy(value(&mut rest)?).into_owned();
    }
    if changes & change::TAIL != 0 {
        delivery.path_tail = String::from_utf8_lossy(value(&mut rest)?).into_owned();
    }
    for bit in [change::HEADER, change::HEADER_2] {
        if changes & bit != 0 {
            let (which, after) = rest.split_first()?;
            rest = after;
            let name = headers.get(usize::from(*which) % headers.len().max(1))?;
            delivery.headers.insert(name, HeaderValue::from_bytes(value(&mut rest)?).ok()?);
        }
    }
    delivery.body = Bytes::copy_from_slice(rest);
    Some((delivery, surface, *changes))
}

fn value<'i>(rest: &mut &'i [u8]) -> Option<&'i [u8]> {
    let (length, after) = rest.split_first()?;
    let (value, after) = after.split_at_checked(usize::from(*length))?;
    *rest = after;
    Some(value)
}

fn arrives(app: &App, surface: &'static Surface, delivery: &Delivery, body_answers: bool) {
    let _ = (app.source.handshake(delivery), app.source.reply(delivery));
    let mapped = mapped(app, surface, delivery);
    if !mapped.asks.is_empty() {
        let answer = if body_answers { delivery.body.clone() } else { Bytes::new() };
        let lookups = mapped.asks.iter().map(|(item, _)| (*item, answer.clone())).collect();
        self::mapped(app, surface, &Delivery { lookups, ..delivery.clone() });
    }
}

fn mapped(app: &App, surface: &'static Surface, delivery: &Delivery) -> Mapped {
    let source = Watched { source: &*app.source, named: Mutex::default() };
    let map = || map_delivery(app.name(), &source, surface, delivery);
    let mapped = map();
    let named = std::mem::take(&mut *source.named.lock().expect("nobody panics with it"));
    assert_eq!(shown(&mapped), shown(&map()), "it is mapped otherwise the second time");
    for rejected in &mapped.rejected {
        assert_one_line(&rejected.error.to_string());
    }
    let mut ids = HashSet::new();
    let mut made = HashSet::new();
    for (item, output) in &mapped.outputs {
        match output {
            Output::Call(call) => {
                assert!(is_json(call.to_json().as_bytes()), "a call is not JSON");
                let id = &call.message_id;
                assert!(id.chars().count() <= 100, "a message id of {} characters", id.chars().count());
                assert!(
                    !id.trim_start_matches(app.name()).trim_start_matches(':').is_empty(),
                    "no message id"
                );
                assert!(ids.insert((*item, id)), "two calls of an item have the message id {id}");
                // A vendor that gives two items one id says that they are one event; we never do.
                if !named.contains(item) {
                    assert!(made.insert(id), "two items have the message id {id}");
                }
            }
            Output::Change(change) => {
                assert_object(&change.record);
                assert!(is_json(change.to_json().as_bytes()), "a change is not JSON");
            }
        }
    }
    mapped
}

/// All that a mapping says, to be compared.
fn shown(mapped: &Mapped) -> Vec<String> {
    let outputs = mapped.outputs.iter().map(|(item, output)| match output {
        Output::Call(call) => format!("{item} {} {}", call.message_id, call.to_json()),
        Output::Change(change) => format!("{item} {} {:?} {}", change.to_json(), change.parent, change.index),
    });
    let rejected = mapped.rejected.iter().map(ToString::to_string);
    let asks = mapped.asks.iter().map(|(item, request)| format!("{item} {request:?}"));
    let foreign = mapped.foreign.iter().map(|(item, account)| format!("{item} {account}"));
    outputs.chain(rejected).chain(asks).chain(foreign).collect()
}

/// Looks on while the connector's own code runs: `map_delivery` makes a panic a rejected item, and nobody would see it; and
/// which message ids are the vendor's is not to be seen afterwards.
struct Watched<'a> {
    source: &'a dyn EventSource,
    /// The items with a call that the vendor gave an id.
    named: Mutex<HashSet<u32>>,
}

impl Watched<'_> {
    fn watch<T>(&self, run: impl FnOnce(&dyn EventSource) -> T) -> T {
        catch_unwind(AssertUnwindSafe(|| run(self.source))).unwrap_or_else(|_| std::process::abort())
    }
}

impl EventSource for Watched<'_> {
    fn secrets(&self, surface: &Surface) -> Vec<Secret> {
        self.watch(|source| source.secrets(surface))
    }

    fn webhook(&self) -> Option<&'static Webhook> {
        self.watch(|source| source.webhook())
    }

    fn handshake(&self, delivery: &Delivery) -> Option<Handshake> {
        self.watch(|source| source.handshake(delivery))
    }

    fn reply(&self, delivery: &Delivery) -> Reply {
        self.watch(|source| source.reply(delivery))
    }

    fn account(&self, item: &Item<'_>) -> Option<String> {
        self.watch(|source| source.account(item))
    }

    fn own_account(&self) -> Option<String> {
        self.watch(|source| source.own_account())
    }

    fn lookup_api(&self) -> Result<Option<Api>> {
        self.watch(|source| source.lookup_api())
    }

    fn lookups(&self, item: &Item<'_>) -> Vec<Request> {
        self.watch(|source| source.lookups(item))
    }

    fn mapping(&self) -> Mapping<'_> {
        self.source.mapping()
    }

    fn map(&self, item: &Item<'_>) -> Result<Vec<Output>> {
        let outputs = self.watch(|source| source.map(item))?;
        let has_id = |output: &Output| matches!(output, Output::Call(call) if !call.message_id.is_empty());
        if outputs.iter().any(has_id) {
            self.named.lock().expect("nobody panics with it").insert(item.index);
        }
        Ok(outputs)
    }
}

/// The recorded deliveries, in a folder for each connector.
fn seed(app: &App) {
    let Some(folder) = seeds_folder() else { return };
    for (name, place, (delivery, _)) in app.named_samples() {
        // More than a byte can choose stand as others did.
        let place = u8::try_from(place).unwrap_or_default();
        write_seed(&folder.join(app.name()), &name, &[&[app.number, place, 0, 0], &delivery.body]);
    }
}
