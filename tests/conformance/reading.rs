//! Reading a collection as the engine does, but on the laws' clock, without waiting, and with every page kept.

use std::{ops::Range, time::Duration};

use headwater_core::{
    cursor::{Read, Since},
    error::Error,
    http::{Client, Options, Per},
    object::{Change, Collection, From, ObjectSource, Op, Pull},
    rest,
};
use jiff::SignedDuration;
use serde_json::Value;

use crate::{
    replay::Replay,
    subject::{Subject, now},
};

/// A read that has more pages than this does not end.
const ENDLESS: usize = 200;

/// An opened source.
pub struct Opened {
    pub source: Box<dyn ObjectSource>,
    pub client: Client,
    /// The account's catalog.
    pub collections: Vec<Collection>,
}

/// What one read of a root, and all that hangs on it, brings.
#[derive(Default)]
pub struct Whole {
    pub walks: Vec<Walk>,
    /// Every change, nested and fetched ones included.
    pub rows: Vec<Change>,
}

/// One list, read to its end.
pub struct Walk {
    pub collection: Collection,
    pub parent: Option<headwater_core::record::Record>,
    /// How it was opened.
    pub read: Read,
    pub steps: Vec<Step>,
}

/// One page of it.
pub struct Step {
    pub changes: Vec<Change>,
    pub after: Value,
    /// The requests that it took, by their places in the log.
    pub requests: Range<usize>,
}

/// Options that make a client quick to give up and to try again.
pub fn options(replay: &Replay) -> Options {
    Options {
        base_url: Some(replay.url.clone()),
        vault_key: "law".into(),
        connect_timeout: Duration::from_secs(5),
        attempt_timeout: Duration::from_secs(10),
        backoff: Duration::from_millis(1),
        clock: std::sync::Arc::new(now),
        ..Options::default()
    }
}

/// Opens the source of `config.json`, as it is once it has been checked.
pub async fn open(subject: &Subject, options: Options) -> Result<Opened, Error> {
    let objects = subject.connector.objects.ok_or_else(|| Error::config("it has no objects"))?;
    let source = (objects.open)(subject.fixtures.config.settings.clone())?;
    let mut api = source.api(&subject.fixtures.config.account)?;
    // Limits are kept by the client: its own tests look at that.
    api.hosts.iter_mut().flat_map(|host| &mut host.limits).for_each(unbound);
    let client = Client::new(api, options)?;
    let collections = source.catalog(&client, objects.collections).await?;
    Ok(Opened { source, client, collections })
}

/// The recording of a root, and the exchanges that are open to every read.
pub fn exchanges(subject: &Subject, root: &str) -> Vec<crate::fixture::Exchange> {
    let own = subject.fixtures.recordings.get(root).into_iter().flatten().cloned();
    own.chain(subject.fixtures.common()).collect()
}

impl Opened {
    /// How a collection or feed is read.
    pub fn root(&self, subject: &Subject, name: &str) -> Result<Collection, String> {
        let listed = self.collections.iter().find(|collection| collection.name == name).copied();
        let found = listed.or_else(|| subject.feeds().find(|feed| feed.name == name).copied());
        found.ok_or_else(|| format!("{name} is recorded, but is no collection and no feed"))
    }

    /// The reads that a first pass opens.
    pub async fn reads(&self, subject: &Subject, root: &Collection) -> Result<Vec<Read>, Error> {
        let start = subject.fixtures.config.start_date;
        let before = |lag: Duration| now() - SignedDuration::try_from(lag).unwrap_or_default();
        let (from, to) = match root.since {
            None => (None, None),
            Some(Since::Span { .. }) => (Some(start), Some(now())),
            Some(Since::Time { lag, .. } | Since::Newest { lag, .. }) => (Some(start), Some(before(lag))),
            Some(Since::Cursor { lag, .. }) => (Some(start.min(before(lag))), None),
        };
        let partitions = self.source.partitions(&self.client, root).await?;
        Ok(partitions.into_iter().map(|partition| Read { partition, from, to, ..Read::default() }).collect())
    }

    /// Reads a root and all that hangs on it, to the end.
    pub async fn whole(&self, subject: &Subject, replay: &Replay, root: &Collection) -> Result<Whole, Error> {
        let mut whole = Whole::default();
        for read in self.reads(subject, root).await? {
            let walk = self.walk(replay, root, read, None).await?;
            let changes: Vec<Change> = walk.steps.iter().flat_map(|step| step.changes.clone()).collect();
            whole.walks.push(walk);
            for change in changes {
                self.hang(replay, change, &mut whole).await?;
            }
        }
        Ok(whole)
    }

    /// Reads one list to its end.
    pub async fn walk(
        &self,
        replay: &Replay,
        collection: &Collection,
        read: Read,
        parent: Option<&headwater_core::record::Record>,
    ) -> Result<Walk, Error> {
        let mut steps = Vec::new();
        let mut here = read.clone();
        let mut place = 0;
        loop {
            let first = replay.count();
            let pull = Pull { client: &self.client, collection, read: &here, parent };
            let mut page = self.source.page(pull).await?;
            if let Some(parent) = parent {
                for change in &mut page.changes {
                    *change = change.clone().parent(parent, place);
                    place += 1;
                }
            }
            if page.more && page.wait.is_none() && page.cursor == here.page {
                return Err(Error::unexpected("the next page is this page: the cursor does not move"));
            }
            if steps.len() == ENDLESS {
                return Err(Error::unexpected(format!("the read has not ended after {ENDLESS} pages")));
            }
            let requests = first..replay.count();
            steps.push(Step { changes: page.changes, after: page.cursor.clone(), requests });
            if !page.more {
                return Ok(Walk { collection: *collection, parent: parent.cloned(), read, steps });
            }
            // As it is stored, and read back.
            here.page = serde_json::from_str(&page.cursor.to_string())?;
        }
    }

    /// What stands inside and under one row.
    async fn hang(&self, replay: &Replay, change: Change, whole: &mut Whole) -> Result<(), Error> {
        let change = match change.op {
            Op::Touch => {
                let collection =
                    self.collections.iter().find(|collection| collection.name == change.collection);
                let collection = collection.ok_or_else(|| {
                    Error::unexpected(format!("{} is touched, and is no collection", change.collection))
                })?;
                match self.source.fetch(&self.client, collection, &change.record).await? {
                    Some(record) => Change { op: Op::Upsert, record, ..change },
                    None => change.op(Op::Delete),
                }
            }
            _ => change,
        };
        for child in self.collections.iter().filter(|child| child.gone.is_none() && change.op == Op::Upsert) {
            let lists = match child.from {
                From::Children { of, .. } => of.contains(&change.collection),
                From::Nested { of, overflow } => {
                    let Some((_, at)) = of.iter().find(|(parent, _)| *parent == change.collection) else {
                        continue;
                    };
                    for (place, record) in change.record.parts(at)?.into_iter().enumerate() {
                        let version = match child.version {
                            Some(path) => rest::version(&record, path)?,
                            None => change.version,
                        };
                        let nested = Change::upsert(child.name, record).parent(&change.record, place as u32);
                        whole.rows.push(nested.version(version));
                    }
                    !overflow.is_empty() && change.record.text(overflow)?.as_deref() == Some("true")
                }
                _ => false,
            };
            if lists {
                let walk = self.walk(replay, child, Read::default(), Some(&change.record)).await?;
                whole.rows.extend(walk.steps.iter().flat_map(|step| step.changes.clone()));
                whole.walks.push(walk);
            }
        }
        whole.rows.push(change);
        Ok(())
    }
}

/// A change as text: two are the same if their texts are.
pub fn show(change: &Change) -> String {
    let text = |record: &headwater_core::record::Record| String::from_utf8_lossy(record.bytes()).into_owned();
    format!(
        "{:?} {} {} ^{} #{} {:?}",
        change.op,
        change.collection,
        text(&change.record),
        change.parent.as_ref().map(text).unwrap_or_default(),
        change.index,
        change.version
    )
}

/// Makes a limit that nobody meets: what names it must still find it.
pub fn unbound(limit: &mut headwater_core::http::Limit) {
    *limit = headwater_core::http::Limit {
        amount: 1_000_000,
        per: Per::Rolling(Duration::from_secs(1)),
        ..*limit
    };
}
