//! A pass: one complete reading of a collection or feed. It is opened as reads (partitions × windows), each of which goes from page
//! to page; every page's rows, and the progress that covers them, are one commit. While one page is committed, the next is
//! fetched and made into rows.

use std::{sync::Arc, time::Instant};

use futures::{FutureExt, StreamExt, stream};
use headwater_core::{
    cursor::{Pass, Progress, Read, Since},
    error::{Error, Kind, Result},
    object::{Deletes, Op, Page, Pull},
};
use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::Mutex;

use super::{
    Outcome,
    family::{Family, Rows},
    is_fatal,
    open::{filled, is_counted, open, set_position},
    rereads::rereads,
    session::{CLOCKS, Moment, Root, Session},
};

/// Partitions that are read at once, where the collection has no windows that say how many.
const PARTITIONS: usize = 4;

/// What the reads of a pass share.
struct Shared {
    progress: Progress,
    outcome: Outcome,
    /// Why a partition was given up, if one was.
    refused: Option<Error>,
}

/// Reads a collection or feed to the end of its pass: the one that an earlier run left open, or a new one.
pub(super) async fn read(session: &Session, root: Root, outcome: &mut Outcome) -> Result<()> {
    let Root { collection, key, loads, mut progress, fills } = root;
    if progress.pass.is_none() {
        open(session, &collection, &mut progress).await?;
    }
    let Some(pass) = progress.pass.clone() else { return Ok(()) };
    let overlap = progress.synced_to;
    let reads = progress.reads.clone();
    let shared = Mutex::new(Shared { progress, outcome: std::mem::take(outcome), refused: None });
    let feed = !fills.is_empty();
    let family = Family { session, collection: &collection, key: &key, loads, feed, pass: &pass, overlap };
    let side_by_side = collection.windows.map_or(PARTITIONS, |windows| windows.side_by_side.max(1));
    let walks: Vec<_> = reads.into_iter().map(|read| walk(&family, &shared, read).boxed()).collect();
    let mut walks = stream::iter(walks).buffer_unordered(side_by_side);
    let mut failed: Option<Error> = None;
    while let Some(walked) = walks.next().await {
        // One read that fails does not keep back the others, unless nothing else can succeed.
        if let Err(error) = walked {
            let fatal = is_fatal(&error);
            if fatal {
                session.halt.send_replace(true);
            }
            let cut_short = session.is_stopping() && !fatal;
            if failed.is_none() && !cut_short || fatal && !failed.as_ref().is_some_and(is_fatal) {
                failed = Some(error);
            }
        }
    }
    drop(walks);
    let Shared { mut progress, outcome: so_far, refused } = shared.into_inner();
    *outcome = so_far;
    if let Some(error) = failed {
        if error.kind() == Kind::Expired && feed {
            // The vendor no longer has the feed's position. Once it is forgotten, the next run reads all that it fills.
            session.store(vec![(key.clone(), Value::Null)]).await?;
            let message = format!("{}; the next run reads {} in full", error.message(), fills.join(", "));
            return Err(Error::new(Kind::Expired, message));
        }
        return Err(error);
    }
    if outcome.stopped || !progress.reads.is_empty() {
        outcome.stopped = true;
        return Ok(());
    }
    rereads(&family, outcome).await?;
    if outcome.stopped {
        return Ok(());
    }
    close(&family, &mut progress, outcome).await?;
    session.store(vec![(key, serde_json::to_value(&progress)?)]).await?;
    refused.map_or(Ok(()), Err)
}

/// Goes through one read, page by page: the next page is fetched while this one is committed.
async fn walk(family: &Family<'_>, shared: &Mutex<Shared>, mut read: Read) -> Result<()> {
    let session = family.session;
    let bounds = session.tools.bounds;
    let opened = read.clone();
    let mut since_job_began = Instant::now();
    let mut forgiven = false;
    let mut fetched = match session.is_stopping() {
        true => return stopped(shared).await,
        false => fetch(family, &read).await,
    };
    loop {
        let fetching = match fetched {
            Err(error)
                if error.kind() == Kind::Expired && !forgiven && !family.feed && !read.page.is_null() =>
            {
                // A cursor that the vendor has forgotten: this read begins again, once.
                forgiven = true;
                read = Read { page: Value::Null, newest: None, ..opened.clone() };
                fetched = fetch(family, &read).await;
                continue;
            }
            Err(error) if error.kind() == Kind::Forbidden && read.partition.is_some() => {
                return give_up(shared, &read, error).await;
            }
            other => other?,
        };
        let Fetched { page, newest, .. } = &fetching;
        if page.more && page.wait.is_none() && page.cursor == read.page {
            return Err(Error::unexpected("the next page is this page: the cursor does not move"));
        }
        let ended = !page.more;
        let next = Read { page: page.cursor.clone(), newest: *newest, ..read.clone() };
        let stopping = session.is_stopping();
        let wait = page.wait;
        let commit = commit(family, shared, &read, &next, fetching);
        match (ended || stopping, wait) {
            (true, _) => {
                commit.await?;
                return if ended { Ok(()) } else { stopped(shared).await };
            }
            (false, None) => {
                since_job_began = Instant::now();
                let (committed, following) = tokio::join!(commit, fetch(family, &next));
                committed?;
                fetched = following;
            }
            (false, Some(wait)) => {
                commit.await?;
                if since_job_began.elapsed() > bounds.job_stall {
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

/// Gives up a partition that these credentials may not read: it costs its own rows, and once it is permitted it is read
/// from its beginning.
async fn give_up(shared: &Mutex<Shared>, read: &Read, error: Error) -> Result<()> {
    let Some(partition) = &read.partition else { return Err(error) };
    let mut shared = shared.lock().await;
    let Shared { progress, refused, .. } = &mut *shared;
    progress.reads.retain(|open| open.partition != read.partition);
    progress.filled.retain(|name| *name != filled(partition));
    if let Some(pass) = &mut progress.pass {
        pass.whole = false;
    }
    refused.get_or_insert(error.within("partition", &partition.id));
    Ok(())
}

/// A page that has come.
struct Fetched<'a> {
    page: Page,
    /// When it was asked for.
    began: Moment,
    /// The latest change that the read has seen with it.
    newest: Option<Timestamp>,
    /// Its changes; none while some of them have to be fetched one by one.
    rows: Option<Rows<'a>>,
}

/// Fetches the page that `read` has come to.
async fn fetch<'a>(family: &Family<'a>, read: &Read) -> Result<Fetched<'a>> {
    let session = family.session;
    let began = session.now();
    let pull = Pull { client: &session.client, collection: family.collection, read, parent: None };
    let mut page = session.within_stall(session.source.page(pull)).await?;
    let newest = family.newest(&mut page, read.newest);
    let rows = match page.changes.iter().any(|change| change.op == Op::Touch) {
        true => None,
        false => Some(family.rows(std::mem::take(&mut page.changes), began)?),
    };
    Ok(Fetched { page, began, newest, rows })
}

/// Commits one page: what is inside and under its records first, then its own rows with the progress that covers them.
async fn commit<'a>(
    family: &Family<'a>,
    shared: &Mutex<Shared>,
    read: &Read,
    next: &Read,
    fetched: Fetched<'a>,
) -> Result<()> {
    let session = family.session;
    let Fetched { page, began, rows, .. } = fetched;
    let ended = !page.more;
    let rows = match rows {
        Some(rows) => rows,
        None => family.rows(family.fetch_touched(page.changes).await?, began)?,
    };
    let mut ready = family.load(rows, read, page.notices).await?;
    let mut shared = shared.lock().await;
    // The other reads go on from what is in the warehouse: a commit that fails changes nothing here either.
    let mut progress = shared.progress.clone();
    // One that began again, because its cursor had expired, is known by its bounds.
    let bounds =
        |open: &Read| open.partition == read.partition && open.from == read.from && open.to == read.to;
    let place = progress.reads.iter().position(|open| open == read);
    if let Some(place) = place.or_else(|| progress.reads.iter().position(bounds)) {
        match ended {
            true => {
                progress.newest = progress.newest.max(next.newest);
                if matches!(family.collection.since, Some(Since::Cursor { .. })) && !next.page.is_null() {
                    set_position(&mut progress.position, &next.partition, next.page.clone());
                }
                progress.reads.remove(place);
            }
            false => progress.reads[place] = next.clone(),
        }
    }
    ready.load.progress.push((family.key.to_owned(), serde_json::to_value(&progress)?));
    let done = session.schema.commit(ready.load).await?;
    shared.progress = progress;
    let outcome = &mut shared.outcome;
    outcome.pages += 1;
    outcome.records += ready.records;
    for notice in ready.notices {
        outcome.notice(notice);
    }
    outcome.add(ready.done);
    outcome.add(done);
    session.tools.observer.page(&session.job.source, family.collection.name, outcome);
    Ok(())
}

/// Ends a pass: sweeps what a whole one has not met, and moves `synced_to`.
async fn close(family: &Family<'_>, progress: &mut Progress, outcome: &mut Outcome) -> Result<()> {
    let session = family.session;
    let collection = family.collection;
    let pass = progress.pass.take().filter(|pass| pass.whole);
    let previous = progress.previous.take();
    if let Some(pass) = pass
        && family.loads
        && matches!(collection.deletes, Deletes::Unseen | Deletes::Feed(_))
    {
        // Where pages are counted, two passes have to agree that a row is gone: the second carries the first one's id.
        let judge = match is_counted(collection) {
            true => previous.filter(|previous| previous.id == pass.id),
            false => Some(pass.clone()),
        };
        match judge {
            None => progress.previous = Some(pass),
            Some(judge) => {
                let most = if session.job.accept_deletes { 1.0 } else { session.tools.bounds.sweep_most };
                let swept = session.schema.sweep(collection.name, &judge, most).await?;
                outcome.deleted += swept.deleted;
                if swept.held > 0 {
                    progress.previous = is_counted(collection).then_some(judge);
                    outcome.notice(format!(
                        "{} of {} rows are no longer listed: nothing was deleted; if that is right, sync {} with --accept-deletes",
                        swept.held, swept.living, session.job.source
                    ));
                }
            }
        }
    }
    let newest = progress.newest.take();
    let until = progress.until.take();
    let seen = match (newest, until) {
        (Some(newest), Some(until)) => Some(newest.min(until)),
        (newest, _) => newest,
    };
    // Nothing seen yet, but the read was whole up to its bound, as our clock has it: it need not begin at the beginning again.
    let bound = until.map(|until| until.saturating_sub(CLOCKS).unwrap_or(until));
    let reached = seen.or(if progress.synced_to.is_none() { bound } else { None });
    progress.synced_to = progress.synced_to.max(reached);
    Ok(())
}

/// The id that a pass gives its rows.
pub(super) fn tag(pass: &Pass) -> Arc<str> {
    pass.id.as_str().into()
}
