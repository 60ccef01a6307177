//! What has to be read, and from where: feeds, lists, and the parents of chosen children. Here progress is forgotten where it
//! no longer tells the truth: a feed that cannot reach back, a child or a feed's collection that was not chosen before.

use std::collections::{BTreeMap, BTreeSet};

use headwater_core::{
    cursor::{Progress, Since},
    error::Result,
    object::{Feed, From},
};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::{
    open::PARTITION,
    session::{CLOCKS, Root, Session},
};

/// Everything that has a reading of its own in this run.
pub(super) async fn roots(
    session: &Session,
    feeds: &[Feed],
    stored: &BTreeMap<String, Value>,
) -> Result<Vec<Root>> {
    let full = session.job.full;
    let mut roots = Vec::new();
    let mut again = BTreeSet::new();
    for feed in feeds {
        let wanted: Vec<&'static str> =
            feed.fills.iter().copied().filter(|name| session.is_chosen(name)).collect();
        if wanted.is_empty() || !session.is_asked(feed.read.name, &wanted) {
            continue;
        }
        // Read in full, a few of its collections do not need the feed to forget the others.
        let forget = full && (feed.horizon.is_none() || session.job.only.is_empty());
        let mut progress = if forget { Progress::default() } else { read(stored, feed.read.name) };
        let mut missed: Vec<&'static str> = wanted
            .iter()
            .copied()
            .filter(|name| !progress.filled.iter().any(|filled| filled == name))
            .collect();
        match feed.horizon {
            Some(horizon) => {
                let now = session.now().theirs;
                let kept = now.checked_sub(horizon).unwrap_or(Timestamp::MIN);
                if progress.synced_to.is_none_or(|position| position < kept) {
                    // It does not reach back to where we were: it goes on from where it stands now, by whichever clock is
                    // behind, and what it fills is read in full after that.
                    progress = Progress { synced_to: Some(since(now, feed)), ..Progress::default() };
                    missed = feed.fills.to_vec();
                }
                keep(&mut progress, &wanted);
                if !missed.is_empty() {
                    let mut store = vec![(feed.read.name.to_owned(), serde_json::to_value(&progress)?)];
                    store.extend(missed.iter().map(|name| ((*name).to_owned(), Value::Null)));
                    session.store(store).await?;
                    again.extend(missed);
                }
            }
            // It is its collections' only past: one that is chosen later makes it begin again.
            None => {
                if !missed.is_empty() {
                    progress = Progress::default();
                }
                keep(&mut progress, &wanted);
            }
        }
        roots.push(Root {
            collection: feed.read,
            key: feed.read.name.to_owned(),
            loads: false,
            progress,
            fills: feed.fills,
        });
    }
    for collection in session.all.iter().filter(|c| c.from == From::List && c.gone.is_none()) {
        let below: Vec<&'static str> = session.descendants(collection.name).into_iter().collect();
        let (loads, key) = match session.is_chosen(collection.name) {
            true => (true, collection.name.to_owned()),
            false if !below.is_empty() => (false, format!("{} for its children", collection.name)),
            false => continue,
        };
        if !session.is_asked(collection.name, &below) {
            continue;
        }
        let forget = full || again.contains(collection.name);
        let mut progress = if forget { Progress::default() } else { read(stored, &key) };
        let missed = below.iter().any(|name| !progress.filled.iter().any(|filled| filled == name));
        if collection.since.is_some() && missed {
            progress = Progress::default();
        }
        // Whose rows are not in the warehouse has to be met again, for children that change without it.
        if progress.pass.is_none()
            && session.rereads(collection.name).iter().any(|(of, _)| !session.is_chosen(of))
        {
            progress = Progress { previous: progress.previous, ..Progress::default() };
        }
        keep(&mut progress, &below);
        roots.push(Root { collection: *collection, key, loads, progress, fills: &[] });
    }
    // Lists first: a feed's first reading may take an allotment that the tables people look at need too.
    roots.sort_by_key(|root| !root.fills.is_empty());
    Ok(roots)
}

/// A progress of another version's shape means reading again, which is always safe.
fn read(stored: &BTreeMap<String, Value>, key: &str) -> Progress {
    stored.get(key).and_then(|value| serde_json::from_value(value.clone()).ok()).unwrap_or_default()
}

/// From now on it serves these collections, and no others.
fn keep(progress: &mut Progress, wanted: &[&'static str]) {
    progress.filled.retain(|name| name.starts_with(PARTITION) || wanted.iter().any(|wanted| wanted == name));
    for name in wanted {
        if !progress.filled.iter().any(|filled| filled == name) {
            progress.filled.push((*name).to_owned());
        }
    }
}

/// A position that nothing after `now` is behind.
fn since(now: Timestamp, feed: &Feed) -> Timestamp {
    let lag = match feed.read.since {
        Some(Since::Time { lag, .. } | Since::Newest { lag, .. } | Since::Cursor { lag, .. }) => lag,
        _ => std::time::Duration::ZERO,
    };
    let lag = SignedDuration::try_from(lag).unwrap_or_default();
    now.saturating_sub(lag + CLOCKS).unwrap_or(now)
}

impl Session {
    /// Whether this run is to read `root`, with what it brings.
    fn is_asked(&self, root: &str, brings: &[&'static str]) -> bool {
        let only = &self.job.only;
        only.is_empty()
            || only.iter().any(|name| name == root || brings.iter().any(|brought| brought == name))
    }
}
