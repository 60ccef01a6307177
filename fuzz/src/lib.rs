//! What the fuzz targets share: the connectors set up as in their fixtures, and seeds made of the recorded deliveries.
//!
//! An input is a few bytes that choose, then what is sent. What the bytes mean stands in each target, beside the function
//! that writes its seeds.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use headwater_core::{
    event::{Delivery, EventSource, Surface, Webhook},
    record::Record,
};
use headwater_tests::subject::Subject;
use serde_json::{Value, value::RawValue};

/// How many members of an object are looked at.
const PATHS: usize = 12;

/// A connector with webhooks, set up.
pub struct App {
    /// Its place among those with webhooks: what the first byte of an input for any connector says.
    pub number: u8,
    /// The connector and its fixtures.
    pub subject: Arc<Subject>,
    /// The source.
    pub source: Box<dyn EventSource>,
    /// What its webhook looks like.
    pub webhook: &'static Webhook,
    /// Its recorded deliveries, with the surface each arrives at; not signed.
    pub samples: Vec<(Delivery, &'static Surface)>,
}

/// The connectors with webhooks whose name is wanted.
pub fn apps(is_wanted: impl Fn(&str) -> bool) -> Vec<App> {
    let receiving = headwater_connectors::ALL.iter().filter(|connector| connector.events.is_some());
    let names: Vec<&str> = receiving.map(|connector| connector.name).collect();
    let found = Subject::those(|name| names.contains(&name) && is_wanted(name));
    found
        .into_iter()
        .map(|(name, subject)| {
            let subject = subject.unwrap_or_else(|why| panic!("fixtures/{name}: {why}"));
            app(&names, subject).unwrap_or_else(|why| panic!("fixtures/{name}: {why}"))
        })
        .collect()
}

fn app(names: &[&str], subject: Arc<Subject>) -> Result<App, String> {
    let number = names.iter().position(|name| *name == subject.connector.name).ok_or("it has no webhooks")?;
    let number = u8::try_from(number).map_err(|_| "one byte does not choose among so many connectors")?;
    let source = subject.receiver()?;
    let webhook = subject.connector.events.ok_or("it has no webhooks")?.webhook_of(&*source);
    let samples = subject.fixtures.deliveries.iter().map(|sample| subject.delivery(sample));
    let samples = samples.collect::<Result<Vec<_>, _>>()?;
    Ok(App { number, source, webhook, samples, subject })
}

impl App {
    /// The connector's name.
    pub fn name(&self) -> &'static str {
        self.subject.connector.name
    }

    /// The recorded deliveries as seeds: each one's name, its place, and what it is.
    pub fn named_samples(&self) -> impl Iterator<Item = (String, usize, &(Delivery, &'static Surface))> {
        let names = self.subject.fixtures.deliveries.iter().map(|sample| &sample.name);
        let samples = names.zip(&self.samples).enumerate();
        samples.map(|(place, (name, sample))| (format!("{}-{name}", self.name()), place, sample))
    }
}

/// The folder to write seeds to, if there is one: they are made anew of the fixtures, never kept.
pub fn seeds_folder() -> Option<PathBuf> {
    std::env::var_os("HEADWATER_FUZZ_SEEDS").map(PathBuf::from)
}

/// Writes a seed.
pub fn write_seed(folder: &Path, name: &str, parts: &[&[u8]]) {
    let path = folder.join(name);
    let written = std::fs::create_dir_all(folder).and_then(|()| std::fs::write(&path, parts.concat()));
    written.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

/// What we take for a record has to be an object in the eyes of another parser too.
pub fn assert_object(record: &Record) {
    let json = record.bytes();
    assert!(json.starts_with(b"{"), "a record is no object");
    assert!(is_json(json), "a record is not JSON");
    record.fields().expect("the members of a record");
    assert_indexed(record);
}

/// What has an index says what it says without.
fn assert_indexed(record: &Record) {
    let (plain, indexed) = (Record::known(record.bytes().clone()), record.clone().indexed());
    let members = |record: &Record| record.fields().map(|fields| fields.record().bytes().clone()).ok();
    assert_eq!(members(&plain), members(&indexed), "the members of a record with an index");
    // Too deep for this parser is nothing that could not be said less deep.
    let Ok(Value::Object(outer)) = serde_json::from_slice(record.bytes()) else { return };
    for (name, value) in outer.iter().take(PATHS) {
        let inner = value.as_object().into_iter().flatten().take(PATHS);
        let paths = inner.map(|(inner, _)| format!("{name}.{inner}")).chain([name.clone()]);
        for path in paths {
            let at = |record: &Record| record.at(&path).map_err(|error| error.to_string());
            assert_eq!(at(&plain), at(&indexed), "at {path:?} of a record with an index");
        }
    }
}

/// Whether another parser takes it for JSON.
pub fn is_json(json: &[u8]) -> bool {
    serde_json::from_slice::<&RawValue>(json).is_ok()
}

/// Every error is one line.
pub fn assert_one_line(message: &str) {
    assert!(!message.contains(char::is_control), "an error is not one line: {message:?}");
}
