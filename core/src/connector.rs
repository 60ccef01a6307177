//! A line of the registry: a vendor, and what can be had from it.

use schemars::{JsonSchema, Schema, schema_for};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{
    error::{Error, Result},
    event::{EventPull, EventSource, Webhook},
    object::{Collection, Feed, ObjectSource},
    spec::CallType,
};

/// A vendor, and what can be had from it: objects, events, or both.
///
/// ```ignore
/// pub const CONNECTOR: Connector = Connector::new("zendesk", "Zendesk", Category::Support, "https://…")
///     .settings::<Zendesk>()
///     .objects::<Zendesk>(COLLECTIONS, FEEDS)
///     .events::<Zendesk>(&WEBHOOK);
/// ```
pub struct Connector {
    /// The slug of its reference file; its module is the same in snake case.
    pub name: &'static str,
    /// The vendor's name, as the vendor writes it.
    pub title: &'static str,
    /// The kind of app.
    pub category: &'static str,
    /// The page of the vendor's documentation that it follows.
    pub docs: &'static str,
    /// The settings of a source: one struct serves all its sides, and its doc comments are the documentation.
    pub settings: fn() -> Schema,
    /// Calls that the vendor posts itself, with a write key.
    pub spec: &'static [CallType],
    /// Its objects.
    pub objects: Option<Objects>,
    /// Its webhooks.
    pub events: Option<Events>,
    /// Events that are fetched.
    pub pull: Option<Open<dyn EventPull>>,
}

/// Makes a source of its settings, or says what is wrong with them.
pub type Open<S> = fn(Value) -> Result<Box<S>>;

/// What can be pulled.
#[derive(Clone, Copy)]
pub struct Objects {
    /// What every account has.
    pub collections: &'static [Collection],
    /// Streams of changes that fill several of them.
    pub feeds: &'static [Feed],
    /// Opens a source, or says what is wrong with its settings.
    pub open: Open<dyn ObjectSource>,
}

/// What is received.
#[derive(Clone, Copy)]
pub struct Events {
    /// What it looks like.
    pub webhook: &'static Webhook,
    /// Opens a source, or says what is wrong with its settings.
    pub open: Open<dyn EventSource>,
}

impl Events {
    /// What the webhook of a source looks like.
    pub fn webhook_of(&self, source: &dyn EventSource) -> &'static Webhook {
        source.webhook().unwrap_or(self.webhook)
    }
}

/// A source without settings: the vendor posts Spec calls with a write key, and that is all.
#[derive(Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NoSettings {}

impl Connector {
    /// A vendor of which nothing can be had yet.
    pub const fn new(
        name: &'static str,
        title: &'static str,
        category: &'static str,
        docs: &'static str,
    ) -> Self {
        Self {
            name,
            title,
            category,
            docs,
            settings: || schema_for!(NoSettings),
            spec: &[],
            objects: None,
            events: None,
            pull: None,
        }
    }

    /// The vendor posts these calls itself, with a write key.
    pub const fn spec(self, spec: &'static [CallType]) -> Self {
        Self { spec, ..self }
    }

    /// Its sources have these settings.
    pub const fn settings<S: JsonSchema>(self) -> Self {
        Self { settings: || schema_for!(S), ..self }
    }

    /// Objects can be pulled.
    pub const fn objects<S: ObjectSource + DeserializeOwned + 'static>(
        self,
        collections: &'static [Collection],
        feeds: &'static [Feed],
    ) -> Self {
        let open = |settings| Ok(Box::new(parse::<S>(settings)?) as Box<dyn ObjectSource>);
        Self { objects: Some(Objects { collections, feeds, open }), ..self }
    }

    /// Webhooks can be received.
    pub const fn events<S: EventSource + DeserializeOwned + 'static>(
        self,
        webhook: &'static Webhook,
    ) -> Self {
        let open = |settings| Ok(Box::new(parse::<S>(settings)?) as Box<dyn EventSource>);
        Self { events: Some(Events { webhook, open }), ..self }
    }

    /// Events can be fetched.
    pub const fn pull<S: EventPull + DeserializeOwned + 'static>(self) -> Self {
        Self { pull: Some(|settings| Ok(Box::new(parse::<S>(settings)?) as Box<dyn EventPull>)), ..self }
    }

    /// Says what is wrong with a source's settings, if anything is, whatever it is used for.
    pub fn validate(&self, settings: &Value) -> Result<()> {
        if let Some(objects) = &self.objects {
            (objects.open)(settings.clone()).map(drop)?;
        }
        if let Some(events) = &self.events {
            (events.open)(settings.clone()).map(drop)?;
        }
        if let Some(pull) = &self.pull {
            pull(settings.clone()).map(drop)?;
        }
        if self.objects.is_none() && self.events.is_none() && self.pull.is_none() {
            parse::<NoSettings>(settings.clone())?;
        }
        Ok(())
    }
}

fn parse<S: DeserializeOwned>(settings: Value) -> Result<S> {
    let settings = if settings.is_null() { Value::Object(Default::default()) } else { settings };
    serde_path_to_error::deserialize(settings).map_err(|error| {
        let path = error.path().to_string();
        let what = error.into_inner().to_string();
        // serde names unknown and missing settings itself, and where they stand is then the whole.
        let at =
            if path == "." || what.starts_with("unknown field") { String::new() } else { format!(".{path}") };
        Error::config(format!("settings{at}: {what}"))
    })
}
