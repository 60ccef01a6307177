//! What a page brings besides its own rows: nested rows, children, and rows that only have to be fetched again.

use std::sync::Arc;

use futures::{FutureExt, StreamExt, future::BoxFuture, stream};
use headwater_core::{
    cursor::{Pass, Read, Since},
    error::{Error, Kind, Result},
    object::{Change, Collection, Op, Page, Pull},
    record::Record,
};
use jiff::Timestamp;

use super::{
    batches::{Batches, Parent, last_words},
    new_id, pass,
    session::{Moment, Session},
};
use crate::warehouse::{Committed, Load};

/// Children that are read at once, under the parents of one page.
const SIDE_BY_SIDE: usize = 4;
/// Lists that the vendor refuses, one parent after the other, before no further parent is tried.
const REFUSALS: u64 = 10;

/// A collection that is being read, and all that hangs on it.
pub(super) struct Family<'a> {
    pub session: &'a Session,
    pub collection: &'a Collection,
    /// The name that its progress is kept under.
    pub key: &'a str,
    /// Whether its own rows are loaded.
    pub loads: bool,
    /// Whether it is a feed.
    pub feed: bool,
    pub pass: &'a Pass,
    /// What is not newer than this has been read before: a row from there that is new was late.
    pub overlap: Option<Timestamp>,
}

/// The rows of a page, and the lists that have to be read under them.
pub(super) struct Rows<'a> {
    batches: Batches<'a>,
    lists: Vec<Parent<'a>>,
}

/// A page, ready to be committed.
pub(super) struct Ready {
    pub load: Load,
    /// What was committed before it: the children's rows.
    pub done: Committed,
    pub records: u64,
    pub notices: Vec<String>,
}

impl<'a> Family<'a> {
    /// The latest change among a page's records, or `newest` if that is later. One record without a good time does not
    /// keep back the others.
    pub fn newest(&self, page: &mut Page, newest: Option<Timestamp>) -> Option<Timestamp> {
        let Some(Since::Time { field, .. } | Since::Newest { field, .. }) = self.collection.since else {
            return None;
        };
        let mut newest = newest;
        let mut wrong = None;
        // A feed's changes are of other collections: it says by its versions how new they are.
        for change in &page.changes {
            let time = match change.collection == self.collection.name {
                true => change.record.time(field).unwrap_or_else(|error| {
                    wrong = Some(error);
                    None
                }),
                false => change.version.and_then(|version| Timestamp::from_microsecond(version.0).ok()),
            };
            newest = newest.max(time);
        }
        page.notices.extend(wrong.map(|error| error.to_string()));
        newest
    }

    /// Turns what a page, asked for at `began`, brought into rows: all that can be done before the page in front of it is
    /// committed.
    pub fn rows(&self, changes: Vec<Change>, began: Moment) -> Result<Rows<'a>> {
        let session = self.session;
        let mut batches = Batches::new(session, began)?;
        let mut lists = Vec::new();
        let last = last_words(session, &changes)?;
        let tag = pass::tag(self.pass);
        for (change, last) in changes.iter().zip(last) {
            if last {
                batches.inside(change, &mut lists)?;
            }
            if change.collection != self.collection.name {
                // Another list's pass judges its rows by what that list shows.
                if session.is_chosen(change.collection) {
                    batches.push(change, None, false)?;
                }
            } else if self.loads {
                batches.push(change, Some(tag.clone()), self.is_overlap(&change.record))?;
            }
        }
        Ok(Rows { batches, lists })
    }

    /// The changes of a page, with the rows that were only touched as the vendor has them now.
    pub async fn fetch_touched(&self, page: Vec<Change>) -> Result<Vec<Change>> {
        let mut changes = Vec::with_capacity(page.len());
        for change in page {
            if change.op != Op::Touch {
                changes.push(change);
                continue;
            }
            let name = change.collection;
            match Self::fetched(self.session, change).await {
                Ok(fetched) => changes.extend(fetched),
                // One collection that may not be read costs only its own rows.
                Err(error) if error.kind() == Kind::Forbidden => self.session.refuse(name, error),
                Err(error) => return Err(error),
            }
        }
        Ok(changes)
    }

    /// Turns the rows of the page at `read` into one load. Children are read and committed before this returns.
    pub async fn load(&self, rows: Rows<'a>, read: &Read, notices: Vec<String>) -> Result<Ready> {
        let Rows { batches, lists } = rows;
        let mut done = Committed::default();
        self.read_lists(lists, &mut done).await?;
        let records = batches.records;
        // The list inside a record is younger than what an earlier page of this read has brought: a prune counts from now.
        let began = Some(Timestamp::now());
        let load =
            Load { request: format!("{} {}", self.collection.name, read.page), began, ..batches.into_load() };
        Ok(Ready { load, done, records, notices })
    }

    async fn read_lists(&self, lists: Vec<Parent<'_>>, done: &mut Committed) -> Result<()> {
        let reads: Vec<_> = lists.iter().map(|list| self.under(list.child, list.of, &list.record)).collect();
        let mut reads = stream::iter(reads).buffer_unordered(SIDE_BY_SIDE);
        while let Some(child) = reads.next().await {
            add(done, child?);
        }
        Ok(())
    }

    /// Reads the children of one parent (a record of `of`) to the end of their list, and what hangs on them.
    pub fn under<'b>(
        &'b self,
        child: &'b Collection,
        of: &'b str,
        parent: &'b Record,
    ) -> BoxFuture<'b, Result<Committed>> {
        async move {
            let session = self.session;
            let mut read = Read::default();
            let mut done = Committed::default();
            let tag: Arc<str> = new_id()?.into();
            let mut place = 0;
            if session.is_hopeless(child.name) {
                return Ok(done);
            }
            loop {
                let began = session.now();
                let pull =
                    Pull { client: &session.client, collection: child, read: &read, parent: Some(parent) };
                let page = session.within_stall(session.source.page(pull)).await;
                let page = match session.judge(child.name, page, read.page.is_null()) {
                    Ok(Some(page)) => page,
                    Ok(None) => return Ok(done),
                    Err(error) => return Err(error.within("children", child.name)),
                };
                if page.more && page.wait.is_none() && page.cursor == read.page {
                    return Err(
                        Error::unexpected("the next page is this page").within("children", child.name)
                    );
                }
                let mut batches = Batches::new(session, began)?;
                let mut lists = Vec::new();
                for change in page.changes {
                    let change = change.parent(parent, place);
                    place += 1;
                    if change.op == Op::Upsert {
                        batches.inside(&change, &mut lists)?;
                    }
                    if session.is_chosen(child.name) {
                        batches.push(&change, Some(tag.clone()), false)?;
                    }
                }
                if !page.more {
                    batches.prune(child, of, parent, Some(&tag))?;
                }
                self.read_lists(lists, &mut done).await?;
                let request = format!("{} {}", child.name, read.page);
                add(&mut done, session.schema.commit(Load { request, ..batches.into_load() }).await?);
                done.notices.extend(page.notices);
                if !page.more {
                    return Ok(done);
                }
                if let Some(wait) = page.wait {
                    session.sleep(wait).await;
                }
                read.page = page.cursor;
            }
        }
        .boxed()
    }

    /// A touched row, as the vendor has it now.
    pub async fn fetched(session: &Session, change: Change) -> Result<Vec<Change>> {
        let Some(collection) = session.find(change.collection).filter(|found| session.is_chosen(found.name))
        else {
            return Ok(Vec::new());
        };
        // Whatever changes the row from here on is newer than what is fetched.
        let began = headwater_core::object::Version::at(session.now().theirs);
        let found =
            session.within_stall(session.source.fetch(&session.client, collection, &change.record)).await?;
        let mut changes = Vec::new();
        match found {
            // As new as what touched it, or newer: a row that says so is gone all the same.
            Some(record) => {
                headwater_core::rest::changes(collection, record, &mut changes)?;
                for fetched in &mut changes {
                    fetched.version = Some(fetched.version.max(change.version).unwrap_or(began));
                }
            }
            None => changes.push(Change {
                op: Op::Delete,
                version: Some(change.version.unwrap_or(began)),
                ..change
            }),
        }
        Ok(changes)
    }

    fn is_overlap(&self, record: &Record) -> bool {
        let (Some(Since::Time { field, .. } | Since::Newest { field, .. }), Some(synced_to)) =
            (self.collection.since, self.overlap)
        else {
            return false;
        };
        record.time(field).is_ok_and(|time| time.is_some_and(|time| time <= synced_to))
    }
}

impl Session {
    /// What an answer to a child list means: a page, or nothing to be had under this parent, which is counted.
    fn judge(&self, child: &'static str, page: Result<Page>, first: bool) -> Result<Option<Page>> {
        let mut lists = self.lists.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let lists = lists.entry(child).or_default();
        match page {
            Ok(page) => {
                lists.read += u64::from(first);
                Ok(Some(page))
            }
            // The parent was deleted between its list and its children's.
            Err(error) if matches!(error.status(), Some(404 | 410)) => {
                lists.missing += 1;
                Ok(None)
            }
            Err(error) if error.kind() == Kind::Forbidden => {
                lists.refused += 1;
                lists.error.get_or_insert(error);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Counts something of this collection that the vendor would not show.
    pub fn refuse(&self, collection: &'static str, error: Error) {
        let mut lists = self.lists.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let lists = lists.entry(collection).or_default();
        lists.refused += 1;
        lists.error.get_or_insert(error);
    }

    /// Whether the vendor has refused these children under every parent so far, often enough.
    fn is_hopeless(&self, child: &str) -> bool {
        let mut lists = self.lists.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let Some(lists) = lists.get_mut(child).filter(|lists| lists.read == 0 && lists.refused >= REFUSALS)
        else {
            return false;
        };
        lists.refused += 1;
        true
    }
}

pub(super) fn add(done: &mut Committed, more: Committed) {
    done.inserted += more.inserted;
    done.updated += more.updated;
    done.stale += more.stale;
    done.deleted += more.deleted;
    done.rejected += more.rejected;
    done.overlap_new += more.overlap_new;
    done.notices.extend(more.notices);
}
