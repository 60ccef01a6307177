//! Webhooks that settings describe. They are constants everywhere else: one that was described is kept as long as the
//! program runs, once for all sources and reloads that say the same.

use std::{
    collections::HashMap,
    marker::PhantomData,
    sync::{LazyLock, Mutex},
};

use headwater_core::prelude::*;
use serde::{
    Deserializer, Serialize,
    de::{DeserializeOwned, Error as _},
};

/// Settings that describe a webhook. Written, they are all that the description depends on: secrets are left out.
pub trait Described: DeserializeOwned + Serialize + Send + Sync + 'static {
    /// The connector's name.
    const CONNECTOR: &'static str;

    /// The secrets, newest first.
    fn secrets(&self) -> Vec<Secret>;

    /// The webhook, or what the settings lack.
    fn describe(&self) -> Result<Made, String>;

    /// See [`EventSource::handshake`].
    fn handshake(_delivery: &Delivery) -> Option<Handshake> {
        None
    }

    /// What the mapping could not say of the call that an item has become.
    fn finish(_item: &Item<'_>, _call: &mut Call) {}
}

/// A webhook that settings described.
#[derive(Debug)]
pub struct Made {
    pub webhook: Webhook,
    pub mapping: Mapping<'static>,
}

/// A source whose webhook its settings describe.
#[derive(Debug)]
pub struct Hook<S> {
    secrets: Vec<Secret>,
    pub made: &'static Made,
    of: PhantomData<S>,
}

impl<'de, S: Described> Deserialize<'de> for Hook<S> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let settings = S::deserialize(from)?;
        let made = kept(&settings).map_err(D::Error::custom)?;
        Ok(Self { secrets: settings.secrets(), made, of: PhantomData })
    }
}

impl<S: Described> EventSource for Hook<S> {
    fn secrets(&self, _surface: &Surface) -> Vec<Secret> {
        self.secrets.clone()
    }

    fn webhook(&self) -> Option<&'static Webhook> {
        Some(&self.made.webhook)
    }

    fn handshake(&self, delivery: &Delivery) -> Option<Handshake> {
        S::handshake(delivery)
    }

    fn map(&self, item: &Item<'_>) -> Result<Vec<Output>> {
        let mut call = self.made.mapping.call(item)?;
        S::finish(item, &mut call);
        Ok(vec![call.into()])
    }
}

/// What was made of the same settings before, or is made now.
fn kept<S: Described>(settings: &S) -> Result<&'static Made, String> {
    static KNOWN: LazyLock<Mutex<HashMap<String, &'static Made>>> = LazyLock::new(Mutex::default);
    let said = serde_json::to_string(&(S::CONNECTOR, settings)).map_err(|error| error.to_string())?;
    let mut known = KNOWN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    if let Some(made) = known.get(&said) {
        return Ok(made);
    }
    let made: &'static Made = Box::leak(Box::new(settings.describe()?));
    known.insert(said, made);
    Ok(made)
}
