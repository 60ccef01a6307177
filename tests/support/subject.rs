//! What laws look at: a connector with its fixtures, and the parts of it that each have laws of their own.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
};

use headwater_connectors::ALL;
use headwater_core::{
    connector::Connector,
    event::{Delivery, EventSource, Surface, map_delivery},
    object::{Collection, From, intern},
};
use http::{HeaderName, HeaderValue, Method};
use jiff::Timestamp;

use crate::fixture::{Fixtures, Sample, pairs_of};

/// A connector with its fixtures.
pub struct Subject {
    /// The connector.
    pub connector: &'static Connector,
    /// What its folder holds.
    pub fixtures: Fixtures,
}

/// The address of the webhooks of every subject.
const HOOKS: &str = "https://hooks.example.com/webhooks/source/key";

fn folder(connector: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures").join(connector)
}

impl Subject {
    /// Every connector of the registry; one whose fixtures cannot be read comes with the reason.
    pub fn all() -> Vec<(&'static str, Result<Arc<Self>, String>)> {
        Self::those(|_| true)
    }

    /// The connectors whose name is wanted.
    pub fn those(is_wanted: impl Fn(&str) -> bool) -> Vec<(&'static str, Result<Arc<Self>, String>)> {
        let load = |connector: &'static Connector| {
            let fixtures = Fixtures::load(&folder(connector.name))?;
            Ok(Arc::new(Self { connector, fixtures }))
        };
        let wanted = ALL.iter().filter(|connector| is_wanted(connector.name));
        wanted.map(|connector| (connector.name, load(connector))).collect()
    }

    /// Where its fixtures stand.
    pub fn folder(&self) -> PathBuf {
        folder(self.connector.name)
    }

    /// The collections that are declared.
    pub fn declared(&self) -> &'static [Collection] {
        self.connector.objects.map_or(&[], |objects| objects.collections)
    }

    /// The names of what is read by itself: recorded lists and feeds.
    pub fn roots(&self) -> Vec<&'static str> {
        self.fixtures.recorded().map(intern).collect()
    }

    /// The collections whose rows can be looked at: those declared that are not gone, and recorded ones that only the
    /// account knows.
    pub fn collections(&self) -> Vec<&'static str> {
        let feeds: BTreeSet<&str> = self.feeds().map(|feed| feed.name).collect();
        let declared = self.declared().iter().filter(|collection| collection.gone.is_none());
        let mut names: BTreeSet<&'static str> = declared.map(|collection| collection.name).collect();
        let known: BTreeSet<&str> = self.declared().iter().map(|collection| collection.name).collect();
        names.extend(self.roots().into_iter().filter(|name| !feeds.contains(name) && !known.contains(name)));
        names.into_iter().collect()
    }

    /// The readings of the feeds.
    pub fn feeds(&self) -> impl Iterator<Item = &'static Collection> + use<> {
        self.connector.objects.map_or(&[][..], |objects| objects.feeds).iter().map(|feed| &feed.read)
    }

    /// The roots whose reading brings rows of this collection.
    pub fn roots_of(&self, name: &str) -> Vec<&'static str> {
        let Some(collection) = self.declared().iter().find(|collection| collection.name == name) else {
            return vec![intern(name)];
        };
        let parents: Vec<&str> = match collection.from {
            From::List => return vec![collection.name],
            From::Feed(feed) => return vec![feed],
            From::Nested { of, .. } => of.iter().map(|(parent, _)| *parent).collect(),
            From::Children { of, .. } => of.to_vec(),
            From::Pushed => Vec::new(),
        };
        let mut roots: Vec<_> = parents.iter().flat_map(|parent| self.roots_of(parent)).collect();
        roots.sort_unstable();
        roots.dedup();
        roots
    }

    /// The source that receives events, set up as in `config.json`.
    pub fn receiver(&self) -> Result<Box<dyn EventSource>, String> {
        let events = self.connector.events.ok_or("it receives no events")?;
        (events.open)(self.fixtures.config.settings.clone()).map_err(|error| error.to_string())
    }

    /// A delivery as it arrives, not signed yet, and the surface that it arrives at.
    pub fn delivery(&self, sample: &Sample) -> Result<(Delivery, &'static Surface), String> {
        let events = self.connector.events.ok_or("it receives no events")?;
        let around = &sample.around;
        let webhook = events.webhook_of(&*self.receiver()?);
        let (surface, tail) = webhook.surface(&around.path).ok_or("no surface has this path")?;
        let mut delivery = Delivery::fetched(now(), sample.body.clone());
        delivery.path_tail = tail.to_owned();
        delivery.query = around.query.clone();
        delivery.url = match around.path.as_str() {
            "" => HOOKS.to_owned(),
            path => format!("{HOOKS}/{path}"),
        };
        if let Some(method) = &around.method {
            delivery.method = Method::from_bytes(method.as_bytes()).map_err(|error| error.to_string())?;
        }
        delivery.headers.insert("content-type", HeaderValue::from_static(sample.content_type));
        for (name, value) in &around.headers {
            let name: HeaderName = name.parse().map_err(|_| format!("{name:?} is no header"))?;
            delivery
                .headers
                .insert(name, value.parse().map_err(|_| format!("{value:?} is no header's value"))?);
        }
        self.look_up(&mut delivery, surface)?;
        Ok((delivery, surface))
    }

    /// Adds what the vendor answers to the delivery's look-ups, as `_lookups.http` has it.
    fn look_up(&self, delivery: &mut Delivery, surface: &Surface) -> Result<(), String> {
        let asks = map_delivery(self.connector.name, &*self.receiver()?, surface, delivery).asks;
        for (item, request) in asks {
            let mut query = request.query.clone();
            let (path, more) = request.path.split_once('?').unwrap_or((&request.path, ""));
            query.extend(pairs_of(more));
            query.sort();
            let known = self.fixtures.recordings.get("_lookups").into_iter().flatten();
            let answer = known
                .filter(|known| {
                    // A credential stands in the recording as `*`; the client adds it.
                    let asked = known.query.iter().filter(|pair| pair.1 != "*");
                    known.method == request.method.as_str() && known.path == path && asked.eq(&query)
                })
                .map(|known| if known.status < 300 { known.answer.clone() } else { Default::default() })
                .next();
            let answer =
                answer.ok_or_else(|| format!("_lookups.http has no answer to {} {path}", request.method))?;
            delivery.lookups.push((item, answer));
        }
        Ok(())
    }
}

/// What time it is in the laws.
pub fn now() -> Timestamp {
    // 2026-11-01T00:00:00Z
    Timestamp::constant(1_793_491_200, 0)
}
