//! The laws, in one list. A law is a function whose doc comment is the rule; `broken.rs` has a source that it catches.

use std::future::Future;

use crate::{fixture::Sample, reading, reading::Opened, replay::Replay, subject::Subject};

mod declared;
mod deliveries;
mod fixtures;
#[cfg(feature = "program")]
mod pages;
mod parity;
#[cfg(feature = "program")]
mod pulls;
#[cfg(feature = "program")]
mod rows;
mod rubbish;
#[cfg(feature = "program")]
mod vendor;
mod whole;

/// Nothing, or what is wrong.
pub type Verdict = Result<(), String>;

/// A law, and what it is about.
pub struct Law {
    pub name: &'static str,
    pub holds: Holds,
}

/// What a law is about.
#[derive(Clone, Copy)]
pub enum Holds {
    /// A connector.
    Connector(fn(&Subject) -> Verdict),
    /// A collection's rows.
    Collection(fn(&Subject, &str) -> Verdict),
    /// A recorded read: of a list, or of a feed.
    Root(fn(&Subject, &str) -> Verdict),
    /// A delivery.
    Delivery(fn(&Subject, &Sample) -> Verdict),
}

/// Every law.
pub const LAWS: &[Law] = &[
    Law { name: "config", holds: Holds::Connector(declared::config) },
    Law { name: "names", holds: Holds::Connector(declared::names) },
    Law { name: "fixtures", holds: Holds::Connector(fixtures::fixtures) },
    Law { name: "docs", holds: Holds::Connector(crate::docs::docs) },
    Law { name: "parity", holds: Holds::Connector(parity::parity) },
    #[cfg(feature = "program")]
    Law { name: "check", holds: Holds::Connector(vendor::check) },
    #[cfg(feature = "program")]
    Law { name: "fields", holds: Holds::Collection(rows::fields) },
    #[cfg(feature = "program")]
    Law { name: "keys", holds: Holds::Collection(rows::keys) },
    #[cfg(feature = "program")]
    Law { name: "resume", holds: Holds::Root(pages::resume) },
    #[cfg(feature = "program")]
    Law { name: "empty", holds: Holds::Root(pages::empty) },
    #[cfg(feature = "program")]
    Law { name: "idle", holds: Holds::Root(pages::idle) },
    #[cfg(feature = "program")]
    Law { name: "signed", holds: Holds::Root(vendor::signed) },
    #[cfg(feature = "program")]
    Law { name: "patience", holds: Holds::Root(vendor::patience) },
    #[cfg(feature = "program")]
    Law { name: "refusals", holds: Holds::Root(vendor::refusals) },
    #[cfg(feature = "program")]
    Law { name: "leaves", holds: Holds::Root(vendor::leaves) },
    #[cfg(feature = "program")]
    Law { name: "pull", holds: Holds::Connector(pulls::pull) },
    #[cfg(feature = "program")]
    Law { name: "pull_resume", holds: Holds::Connector(pulls::pull_resume) },
    #[cfg(feature = "program")]
    Law { name: "lookups", holds: Holds::Connector(pulls::lookups) },
    Law { name: "proof", holds: Holds::Delivery(deliveries::proof) },
    Law { name: "mapping", holds: Holds::Delivery(deliveries::mapping) },
    Law { name: "twice", holds: Holds::Delivery(deliveries::twice) },
    Law { name: "whole", holds: Holds::Delivery(whole::whole) },
    Law { name: "rubbish", holds: Holds::Delivery(rubbish::rubbish) },
];

pub use declared::registry;

/// Waits for what a law does with a stand-in.
fn wait<T>(work: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| error.to_string())?.block_on(work)
}

/// An error of a connector, as a verdict.
fn told(error: headwater_core::error::Error) -> String {
    format!("{} ({})", error, error.kind().name())
}

/// A stand-in for a root, and the source that reads it.
async fn stand(subject: &Subject, root: &str) -> Result<(Replay, Opened), String> {
    let replay = Replay::start(reading::exchanges(subject, root)).await?;
    let opened = reading::open(subject, reading::options(&replay)).await;
    let opened = opened.map_err(|error| format!("opening it: {}{}", told(error), strangers(&replay)))?;
    Ok((replay, opened))
}

/// A whole read of a root, as recorded.
async fn read(subject: &Subject, root: &str) -> Result<(Replay, Opened, reading::Whole), String> {
    let (replay, opened) = stand(subject, root).await?;
    let collection = opened.root(subject, root)?;
    let whole = opened.whole(subject, &replay, &collection).await;
    let whole = whole.map_err(|error| format!("reading it: {}{}", told(error), strangers(&replay)))?;
    match strangers(&replay) {
        none if none.is_empty() => Ok((replay, opened, whole)),
        some => Err(format!("it asks what is not recorded{some}")),
    }
}

/// What was asked that is not recorded, to be told behind an error.
fn strangers(replay: &Replay) -> String {
    replay.strangers().iter().map(|stranger| format!("\n  not recorded: {stranger}")).collect()
}

/// Lines of what is wrong as one verdict.
fn verdict(wrong: Vec<String>) -> Verdict {
    const SHOWN: usize = 40;
    match wrong.len() {
        0 => Ok(()),
        count if count > SHOWN => Err(format!("{}\n… and {} more", wrong[..SHOWN].join("\n"), count - SHOWN)),
        _ => Err(wrong.join("\n")),
    }
}
