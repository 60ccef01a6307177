//! A pass: one complete reading of a collection or feed. It is opened as reads (partitions × windows), each of which goes from page
//! to page; every page's rows, and the progress that covers them, are one commit.

use std::sync::Arc;

use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use headwater_core::{
    cursor::{Pages, Pass, Progress, Read, Since, Windows},
    error::{Error, Kind, Result},
    object::{Collection, Deletes, Page, Pull, Reread},
};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tokio::sync::Mutex;

use super::{
    Outcome,
    engine::{Root, Session},
    family::Family,
};

/// What the reads of a pass share.
struct Shared {
    progress: Progress,
    outcome: Outcome,
}

/// Reads a collection or feed to the end of its pass: the one that an earlier run left open, or a new one.
pub(super) async fn read(session: &Session, root: Root, outcome: &mut Outcome) -> Result<()> {
    let Root { collection, key, loads, mut progress, fills } = root;
    if progress.pass.is_none() {
        open(session, &collection, &mut progress).await?;
    }
    let Some(pass) = progress.pass.clone() else { return Ok(()) };
    let synced_to = progress.synced_to;
    let reads = progress.reads.clone();
    let shared = Mutex::new(Shared { progress, outcome: std::mem::take(outcome) });
    let family = Family { session, collection: &collection, key: &key, loads, pass: &pass, overlap: synced_to };
    let side_by_side = collection.windows.map_or(1, |windows| windows.side_by_side.max(1));
    let walks: Vec<_> = reads.into_iter().map(|read| walk(&family, &shared, read).boxed()).collect();
    let mut result = stream::iter(walks)
        .buffer_unordered(side_by_side)
        .try_collect::<Vec<()>>()
        .await
        .map(drop);
    let Shared { mut progress, outcome: so_far } = shared.into_inner();
    *outcome = so_far;
    if let Err(error) = &result
        && error.kind() == Kind::Expired
        && !fills.is_empty()
    {
        // The vendor no longer has the feed's position: forget it, and what only it could have told.
        let forgotten = fills.iter().map(|name| ((*name).to_owned(), Value::Null)).chain([(key.clone(), Value::Null)]);
        session.store(forgotten.collect()).await?;
        result = Err(Error::new(
            Kind::Expired,
            format!("{}; the next run reads {} in full", error.message(), fills.join(", ")),
        ));
    }
    result?;
    if outcome.stopped || !progress.reads.is_empty() {
        outcome.stopped = true;
        return Ok(());
    }
    rereads(&family, outcome).await?;
    close(&family, &mut progress, outcome).await?;
    session.store(vec![(key, serde_json::to_value(&progress)?)]).await
}

/// Opens a pass: fixes its upper bound, and cuts it into reads.
async fn open(session: &Session, collection: &Collection, progress: &mut Progress) -> Result<()> {
    let began = Timestamp::now();
    let start = session.job.start_date;
    let (from, to, page, whole) = match collection.since {
        None => (None, None, Value::Null, true),
        Some(Since::Span { .. }) => (start, Some(began), Value::Null, start.is_none()),
        Some(Since::Time { overlap, lag, .. } | Since::Newest { overlap, lag, .. }) => {
            let until = began.saturating_sub(SignedDuration::try_from(lag).unwrap_or_default()).unwrap_or(began);
            let overlap = SignedDuration::try_from(overlap).unwrap_or_default();
            let from = progress.synced_to.map(|time| time.saturating_sub(overlap).unwrap_or(time)).or(start);
            (from, Some(until), Value::Null, from.is_none())
        }
        Some(Since::Cursor { lag, .. }) => {
            let latest = began.saturating_sub(SignedDuration::try_from(lag).unwrap_or_default()).unwrap_or(began);
            (start.map(|start| start.min(latest)), None, progress.position.clone(), false)
        }
    };
    let windows = match (collection.windows, to) {
        (Some(windows), Some(to))
            if progress.synced_to.is_none() || matches!(collection.since, Some(Since::Span { .. })) =>
        {
            cut(&windows, from, to)?
        }
        _ => vec![(from, to)],
    };
    let partitions = session.source.partitions(&session.client, collection).await?;
    progress.until = to;
    progress.newest = None;
    progress.pass = Some(Pass { id: format!("{}:{}", session.run, collection.name), began, whole });
    progress.reads = partitions
        .iter()
        .flat_map(|partition| {
            let page = page.clone();
            windows.iter().map(move |(from, to)| Read {
                partition: partition.clone(),
                from: *from,
                to: *to,
                page: page.clone(),
                newest: None,
            })
        })
        .collect();
    Ok(())
}

/// Spans of time that together cover `from` to `to`, the newest first: what people look at arrives first.
fn cut(windows: &Windows, from: Option<Timestamp>, to: Timestamp) -> Result<Vec<(Option<Timestamp>, Option<Timestamp>)>> {
    let epoch = windows.epoch.parse().map_err(|_| Error::unexpected(format!("{} is no epoch", windows.epoch)))?;
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

/// Goes through one read, page by page: the next page is fetched while this one is committed.
async fn walk(family: &Family<'_>, shared: &Mutex<Shared>, mut read: Read) -> Result<()> {
    let session = family.session;
    let bounds = session.tools.bounds;
    let opened = read.clone();
    let mut since_job_began = Timestamp::now();
    let mut forgiven = false;
    let mut fetched = match session.is_stopping() {
        true => return stopped(shared).await,
        false => fetch(family, &read).await,
    };
    loop {
        let page = match fetched {
            Err(error) if error.kind() == Kind::Expired && !forgiven && family.loads && !read.page.is_null() => {
                // A cursor that the vendor has forgotten: this read begins again, once.
                forgiven = true;
                read = Read { page: Value::Null, ..opened.clone() };
                fetched = fetch(family, &read).await;
                continue;
            }
            other => other?,
        };
        forgiven = false;
        let began = Timestamp::now();
        if page.more && page.wait.is_none() && page.cursor == read.page {
            return Err(Error::unexpected("the next page is this page: the cursor does not move"));
        }
        let ended = !page.more;
        let next = Read { page: page.cursor.clone(), newest: family.newest(&page, read.newest)?, ..read.clone() };
        let stopping = session.is_stopping();
        let wait = page.wait;
        let commit = commit(family, shared, &read, &next, page, ended);
        match (ended || stopping, wait) {
            (true, _) => {
                commit.await?;
                return if ended { Ok(()) } else { stopped(shared).await };
            }
            (false, None) => {
                since_job_began = began;
                let (committed, following) = tokio::join!(commit, fetch(family, &next));
                committed?;
                fetched = following;
            }
            (false, Some(wait)) => {
                commit.await?;
                if began.duration_since(since_job_began).unsigned_abs() > bounds.job_stall {
                    return Err(Error::transient(format!(
                        "the vendor's job has not ended in {} hours",
                        bounds.job_stall.as_secs() / 3600
                    )));
                }
                session.sleep(wait).await;
                if session.is_stopping() {
                    return stopped(shared).await;
                }
                fetched = fetch(family, &next).await;
            }
        }
        read = next;
    }
}

async fn stopped(shared: &Mutex<Shared>) -> Result<()> {
    shared.lock().await.outcome.stopped = true;
    Ok(())
}

async fn fetch(family: &Family<'_>, read: &Read) -> Result<Page> {
    let session = family.session;
    let pull = Pull { client: &session.client, collection: family.collection, read, parent: None };
    session.within_stall(session.source.page(pull)).await
}

impl Session {
    /// Ends what makes no progress, and what need not be waited for because the program is about to end: nothing has been
    /// stored of it, so the next run asks again.
    pub async fn within_stall<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let stall = self.tools.bounds.stall;
        tokio::select! {
            done = work => done,
            () = tokio::time::sleep(stall) => Err(Error::transient(format!(
                "no progress for {} minutes: the read was ended",
                stall.as_secs().div_ceil(60)
            ))),
            () = self.stopped() => Err(Error::transient("stopped")),
        }
    }
}

/// Commits one page: what is inside and under its records first, then its own rows with the progress that covers them.
async fn commit(
    family: &Family<'_>,
    shared: &Mutex<Shared>,
    read: &Read,
    next: &Read,
    page: Page,
    ended: bool,
) -> Result<()> {
    let session = family.session;
    let load = family.load(page, read).await?;
    let mut shared = shared.lock().await;
    let Shared { progress, outcome } = &mut *shared;
    match progress.reads.iter().position(|open| open == read) {
        Some(place) if ended => {
            progress.newest = progress.newest.max(next.newest);
            if matches!(family.collection.since, Some(Since::Cursor { .. })) && !next.page.is_null() {
                progress.position = next.page.clone();
            }
            progress.reads.remove(place);
        }
        Some(place) => progress.reads[place] = next.clone(),
        // Begun again after its cursor had expired: the stored read is the one with the same bounds.
        None => {
            if let Some(open) = progress
                .reads
                .iter_mut()
                .find(|open| open.partition == read.partition && open.from == read.from && open.to == read.to)
            {
                *open = next.clone();
            }
            if ended {
                progress.newest = progress.newest.max(next.newest);
                progress.reads.retain(|open| open != next);
            }
        }
    }
    let mut load = load;
    outcome.pages += 1;
    outcome.records += load.records;
    for notice in std::mem::take(&mut load.notices) {
        outcome.notice(notice);
    }
    outcome.add(load.done);
    load.load.progress.push((family.key.to_owned(), serde_json::to_value(&*progress)?));
    outcome.add(session.schema.commit(load.load).await?);
    session.tools.observer.page(&session.job.source, family.collection.name, outcome);
    Ok(())
}

/// Reads the children that change without their parents, under every parent that the warehouse has.
async fn rereads(family: &Family<'_>, outcome: &mut Outcome) -> Result<()> {
    let session = family.session;
    for child in session.children(family.collection.name) {
        let headwater_core::object::From::Children { reread: Reread::Always, .. } = child.from else { continue };
        if family.pass.whole {
            continue;
        }
        let key: Vec<&str> = family.collection.key.to_vec();
        let mut after = None;
        loop {
            let parents = session.schema.keys(family.collection.name, &key, after.as_deref(), 500).await?;
            let Some(last) = parents.last() else { break };
            after = Some(last.clone());
            for parent in &parents {
                if session.is_stopping() {
                    outcome.stopped = true;
                    return Ok(());
                }
                outcome.add(family.under(child, &Family::key_record(&key, parent)?).await?);
            }
        }
    }
    Ok(())
}

/// Ends a pass: sweeps what a whole one has not met, and moves `synced_to`.
async fn close(family: &Family<'_>, progress: &mut Progress, outcome: &mut Outcome) -> Result<()> {
    let session = family.session;
    let collection = family.collection;
    if family.loads && family.pass.whole && matches!(collection.deletes, Deletes::Unseen | Deletes::Feed(_)) {
        // Where pages are counted, a row that moves between two requests is missed once: two passes have to agree.
        let counted = matches!(collection.pages, Pages::Number { .. } | Pages::Offset { .. });
        let judge = if counted { progress.previous.as_ref() } else { Some(family.pass) };
        if let Some(judge) = judge {
            let most = if session.job.accept_deletes { 1.0 } else { session.tools.bounds.sweep_most };
            let swept = session.schema.sweep(collection.name, judge, most).await?;
            outcome.deleted += swept.deleted;
            if swept.held > 0 {
                outcome.notice(format!(
                    "{} of {} rows are no longer listed: nothing was deleted; if that is right, sync {} with --accept-deletes",
                    swept.held, swept.living, session.job.source
                ));
            }
        }
    }
    let newest = progress.newest.take();
    let until = progress.until.take();
    let seen = match (newest, until) {
        (Some(newest), Some(until)) => Some(newest.min(until)),
        (newest, _) => newest,
    };
    // Nothing seen yet, but the read was whole up to its bound: it need not begin at the beginning again.
    let reached = seen.or(if progress.synced_to.is_none() { until } else { None });
    progress.synced_to = progress.synced_to.max(reached);
    progress.previous = progress.pass.take().filter(|pass| pass.whole);
    Ok(())
}

/// The id that a pass gives its rows.
pub(super) fn tag(pass: &Pass) -> Arc<str> {
    pass.id.as_str().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_cover_everything_once() {
        let windows =
            Windows { span: std::time::Duration::from_secs(86_400), epoch: "2011-01-01T00:00:00Z", side_by_side: 4 };
        let (from, to) = ("2024-01-01T06:00:00Z".parse().unwrap(), "2024-01-04T00:00:00Z".parse().unwrap());
        let spans = cut(&windows, Some(from), to).unwrap();
        assert_eq!(spans.len(), 3);
        assert_eq!((spans[0].1, spans[2].0), (Some(to), Some(from)));
        assert!(spans.windows(2).all(|pair| pair[0].0 == pair[1].1));
        assert_eq!(cut(&windows, Some(to), from).unwrap().len(), 1);
    }
}
