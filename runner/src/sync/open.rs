//! How a pass begins: its upper bound, and the reads that it is cut into (partitions × windows).

use headwater_core::{
    cursor::{Pages, Partition, Pass, Progress, Read, Since, Windows},
    error::{Error, Result},
    object::Collection,
};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::session::Session;

/// Opens a pass: fixes its upper bound, and cuts it into reads.
pub(super) async fn open(session: &Session, collection: &Collection, progress: &mut Progress) -> Result<()> {
    let began = session.now();
    let start = session.job.start_date;
    let before = |now: Timestamp, lag| {
        now.saturating_sub(SignedDuration::try_from(lag).unwrap_or_default()).unwrap_or(now)
    };
    let (to, bounded) = match collection.since {
        None | Some(Since::Cursor { .. }) => (None, false),
        Some(Since::Span { .. }) => (Some(began.theirs), true),
        Some(Since::Time { until, lag, .. }) => (Some(before(began.theirs, lag)), until.is_some()),
        Some(Since::Newest { lag, .. }) => (Some(before(began.theirs, lag)), false),
    };
    let partitions = session.within_stall(session.source.partitions(&session.client, collection)).await?;
    let mut whole = !matches!(collection.since, Some(Since::Cursor { .. }));
    let mut reads = Vec::new();
    for partition in &partitions {
        // What a partition held before it was first met has never been read.
        let known = partition.as_ref().is_none_or(|partition| progress.filled.contains(&filled(partition)));
        let from = match collection.since {
            None => None,
            Some(Since::Span { .. }) => start,
            Some(Since::Time { overlap, .. } | Since::Newest { overlap, .. }) => {
                let overlap = SignedDuration::try_from(overlap).unwrap_or_default();
                let synced_to = progress.synced_to.filter(|_| known);
                synced_to.map(|time| time.saturating_sub(overlap).unwrap_or(time)).max(start)
            }
            Some(Since::Cursor { lag, .. }) => start.map(|start| start.min(before(began.theirs, lag))),
        };
        whole &= from.is_none();
        let page = match collection.since {
            Some(Since::Cursor { .. }) => position(&progress.position, partition),
            _ => Value::Null,
        };
        let spans = match (collection.windows, to) {
            (Some(windows), Some(to)) if bounded => cut(&windows, from, to)?,
            _ => vec![(from, to)],
        };
        reads.extend(spans.into_iter().map(|(from, to)| Read {
            partition: partition.clone(),
            from,
            to,
            page: page.clone(),
            newest: None,
        }));
    }
    progress.filled.retain(|name| !name.starts_with(PARTITION));
    progress.filled.extend(partitions.iter().flatten().map(filled));
    progress.until = to;
    progress.newest = None;
    // Two passes that have to agree carry one id: what either has met stays.
    let id = match progress.previous.as_ref().filter(|_| whole && is_counted(collection)) {
        Some(previous) => previous.id.clone(),
        None => format!("{}:{}", session.run, collection.name),
    };
    // What is newer than the bound is not listed: for a sweep, which goes by our load times, the pass is no younger than that.
    let behind = to.map_or(SignedDuration::ZERO, |to| began.theirs.duration_since(to));
    let pass_began = began.ours.saturating_sub(behind).unwrap_or(began.ours);
    progress.pass = Some(Pass { id, began: pass_began, whole });
    progress.reads = reads;
    Ok(())
}

/// What a partition's name in [`Progress::filled`] begins with.
pub(super) const PARTITION: &str = "partition ";

/// The name in [`Progress::filled`] of a partition that has been read from its beginning.
pub(super) fn filled(partition: &Partition) -> String {
    format!("{PARTITION}{}", partition.id)
}

/// Whether pages are counted: then a row that moves between two requests is missed once.
pub(super) fn is_counted(collection: &Collection) -> bool {
    matches!(collection.pages, Pages::Number { .. } | Pages::Offset { .. })
}

/// The durable position of a partition: each has its own, by its id.
fn position(stored: &Value, partition: &Option<Partition>) -> Value {
    match partition {
        None => stored.clone(),
        Some(partition) => stored.get(&partition.id).cloned().unwrap_or_default(),
    }
}

/// Remembers it.
pub(super) fn set_position(stored: &mut Value, partition: &Option<Partition>, position: Value) {
    match partition {
        None => *stored = position,
        Some(partition) => {
            if !stored.is_object() {
                *stored = Value::Object(Default::default());
            }
            stored[&partition.id] = position;
        }
    }
}

/// Spans of time that together cover `from` to `to`, the newest first: what people look at arrives first.
fn cut(
    windows: &Windows,
    from: Option<Timestamp>,
    to: Timestamp,
) -> Result<Vec<(Option<Timestamp>, Option<Timestamp>)>> {
    let epoch =
        windows.epoch.parse().map_err(|_| Error::unexpected(format!("{} is no epoch", windows.epoch)))?;
    let from = from.unwrap_or(epoch);
    let span = SignedDuration::try_from(windows.span).unwrap_or(SignedDuration::MAX);
    let mut spans = Vec::new();
    let mut end = to;
    while end > from {
        let begin = end.saturating_sub(span).unwrap_or(from).max(from);
        spans.push((Some(begin), Some(end)));
        end = begin;
    }
    if spans.is_empty() {
        spans.push((Some(from), Some(to)));
    }
    Ok(spans)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_cover_everything_once() {
        let windows = Windows {
            span: std::time::Duration::from_secs(86_400),
            epoch: "2011-01-01T00:00:00Z",
            side_by_side: 4,
        };
        let (from, to) = ("2024-01-01T06:00:00Z".parse().unwrap(), "2024-01-04T00:00:00Z".parse().unwrap());
        let spans = cut(&windows, Some(from), to).unwrap();
        assert_eq!(spans.len(), 3);
        assert_eq!((spans[0].1, spans[2].0), (Some(to), Some(from)));
        assert!(spans.windows(2).all(|pair| pair[0].0 == pair[1].1));
        assert_eq!(cut(&windows, Some(to), from).unwrap().len(), 1);
    }
}
