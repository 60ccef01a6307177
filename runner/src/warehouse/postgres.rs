//! A Postgres as warehouse: a schema for each source, one writer for each schema, a pool of connections for all of them.
//!
//! A commit is one transaction. Rows are looked up first, all of a batch at once, so that what happens to each is known
//! exactly: new ones go by binary COPY straight into their table, changed ones by COPY into a temporary table and one
//! UPDATE from there. What is lost with a connection is done again: a load that has been applied is not applied twice.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use deadpool_postgres::{Object, Transaction};
use headwater_core::{
    cursor::Pass,
    error::{Error, Result},
};
use jiff::Timestamp;
use postgres_types::ToSql;
use serde_json::Value;
use tokio::sync::{MutexGuard, mpsc};

use super::{
    Committed, Found, Load, Note, Schema, StoredCall, Swept, Warehouse, name,
    table::{Cell, Column, Layout, TableSpec},
};

mod commit;
mod connect;
mod copy;
mod explain;
mod fold;
mod grow;
mod guard;
mod mark;
mod merge;
mod read;
mod settings;
mod text;
mod tls;
mod value;

pub(super) use connect::Link;
pub(super) use explain::Trouble;
use grow::Known;
use guard::Guard;
pub use settings::{PostgresSettings, SslMode};

/// How long a commit waits for a server that has gone away, before it is said.
const PATIENCE: Duration = Duration::from_secs(30);
/// The longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Schemas of one Postgres database.
pub struct PostgresWarehouse {
    link: Arc<Link>,
    guard: Arc<Guard>,
    open: Mutex<HashMap<String, Arc<PostgresSchema>>>,
}

impl PostgresWarehouse {
    /// The database of these settings; it is asked when the first schema is opened.
    pub fn new(settings: &PostgresSettings) -> Result<Self> {
        Ok(Self { link: Arc::new(Link::new(settings)?), guard: Arc::default(), open: Mutex::default() })
    }
}

#[async_trait]
impl Warehouse for PostgresWarehouse {
    async fn schema(&self, name: &str) -> Result<Arc<dyn Schema>> {
        name::check_schema(name)?;
        let schema = {
            let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
            let new = || {
                let (link, guard) = (self.link.clone(), self.guard.clone());
                let writer = Writer { name: name.to_owned(), link, guard, state: Default::default() };
                Arc::new(PostgresSchema { writer: Arc::new(writer) })
            };
            open.entry(name.to_owned()).or_insert_with(new).clone()
        };
        // Whoever opens a schema hears at once what is wrong with it.
        schema
            .run(Duration::ZERO, |writer| async move { writer.turn().await.map(|turn| turn.end()) })
            .await?;
        Ok(schema)
    }
}

struct PostgresSchema {
    writer: Arc<Writer>,
}

/// What writes a schema: one load after the other.
struct Writer {
    name: String,
    link: Arc<Link>,
    guard: Arc<Guard>,
    state: tokio::sync::Mutex<State>,
}

/// What is known of the schema.
#[derive(Default)]
struct State {
    /// What says that it is ours; empty as long as it is not.
    token: String,
    tables: HashMap<String, Known>,
    /// Indexes that have been made for what is asked again and again.
    indexes: HashSet<String>,
    /// Whether a transaction ended badly: then the rest may tell of what was rolled back.
    doubtful: bool,
}

/// The schema, for one piece of work.
struct Turn<'a> {
    state: MutexGuard<'a, State>,
    client: Object,
}

#[async_trait]
impl Schema for PostgresSchema {
    async fn prepare(&self, table: &TableSpec) -> Result<()> {
        let wanted =
            Arc::new((table.name.clone(), table.layout, table.key.clone(), table.columns().to_vec()));
        self.run(PATIENCE, move |writer| {
            let wanted = wanted.clone();
            async move { writer.prepare(&wanted.0, wanted.1, &wanted.2, &wanted.3).await }
        })
        .await
    }

    async fn commit(&self, load: Load) -> Result<Committed> {
        let load = Arc::new(load);
        // What the attempt before would have said, had its answer come.
        let before = Arc::new(Mutex::new(None));
        self.run(PATIENCE, move |writer| {
            let (load, before) = (load.clone(), before.clone());
            async move { writer.commit(&load, &before).await }
        })
        .await
    }

    async fn progress(&self) -> Result<BTreeMap<String, Value>> {
        self.run(PATIENCE, |writer| async move { writer.progress().await }).await
    }

    async fn sweep(&self, table: &str, pass: &Pass, most: f64) -> Result<Swept> {
        let wanted = Arc::new((table.to_owned(), pass.clone()));
        self.run(PATIENCE, move |writer| {
            let wanted = wanted.clone();
            async move { writer.sweep(&wanted.0, &wanted.1, most).await }
        })
        .await
    }

    async fn keys(
        &self,
        table: &str,
        columns: &[&str],
        after: Option<&[Cell]>,
        limit: usize,
    ) -> Result<Vec<Vec<Cell>>> {
        let columns: Vec<String> = columns.iter().map(|column| (*column).to_owned()).collect();
        let wanted = Arc::new((table.to_owned(), columns, after.map(<[Cell]>::to_vec)));
        self.run(PATIENCE, move |writer| {
            let wanted = wanted.clone();
            async move { writer.keys(&wanted.0, &wanted.1, wanted.2.as_deref(), limit).await }
        })
        .await
    }

    async fn find(&self, table: &str, by: &[&str], values: &[Vec<String>]) -> Result<Option<Found>> {
        let by: Vec<String> = by.iter().map(|column| (*column).to_owned()).collect();
        let wanted = Arc::new((table.to_owned(), by, values.to_vec()));
        self.run(PATIENCE, move |writer| {
            let wanted = wanted.clone();
            async move { writer.find(&wanted.0, &wanted.1, &wanted.2).await }
        })
        .await
    }

    async fn calls(
        &self,
        since: Timestamp,
        until: Timestamp,
        to: mpsc::Sender<Vec<StoredCall>>,
    ) -> Result<()> {
        // What has been sent cannot be taken back: it is tried once.
        let done = self.writer.calls(since, until, &to).await;
        done.map_err(|trouble| trouble.explain(&self.writer.link.target))
    }

    async fn note(&self, of: Note, id: &str) -> Result<Option<serde_json::Map<String, Value>>> {
        let id = id.to_owned();
        self.run(PATIENCE, move |writer| {
            let id = id.clone();
            async move { writer.note(of, &id).await }
        })
        .await
    }
}

impl PostgresSchema {
    /// Tries until it is done, for so long as the server is only away. An attempt ends what it began even if nobody waits
    /// for it any more.
    async fn run<T, F>(&self, patience: Duration, attempt: impl Fn(Arc<Writer>) -> F) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Trouble>> + Send + 'static,
    {
        let end = Instant::now() + patience;
        let (mut pause, mut is_known_anew) = (Duration::from_millis(50), false);
        loop {
            let done = tokio::spawn(attempt(self.writer.clone())).await.unwrap_or_else(|stopped| {
                Err(Error::unexpected(format!("the warehouse's writer stopped: {stopped}")).into())
            });
            let trouble = match done {
                Ok(done) => return Ok(done),
                Err(trouble) => trouble,
            };
            if trouble.is_outdated() && !is_known_anew {
                // Somebody has changed a table: it is looked at again.
                is_known_anew = true;
            } else if trouble.is_passing() && Instant::now() + pause < end {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            } else {
                return Err(trouble.explain(&self.writer.link.target));
            }
        }
    }
}

impl Writer {
    /// Waits for the schema, and sees to it that it is there and ours.
    async fn turn(&self) -> Result<Turn<'_>, Trouble> {
        let mut state = self.state.lock().await;
        let token = self.guard.hold(&self.link, &self.name).await?;
        let client = self.link.get().await?;
        if state.doubtful || state.token != token {
            *state = State::default();
            grow::make_schema(&client, &self.name, &token).await?;
            state.token = token;
        }
        state.doubtful = true;
        Ok(Turn { state, client })
    }

    /// Begins the transaction's work: sees to it, until its end, that nobody else has taken the schema since, and that what is
    /// known of these tables is so. Tells whether the load of this id has been applied already.
    async fn begin(
        &self,
        tx: &Transaction<'_>,
        state: &mut State,
        id: &str,
        names: &[&str],
    ) -> Result<bool, Trouble> {
        let own = format!("SELECT 1 FROM {} WHERE token = $1 FOR UPDATE", self.own_table("writer"));
        let loaded = format!("SELECT 1 FROM {} WHERE id = $1", self.own_table("loads"));
        let (own, loaded, stamps) = (
            tx.prepare_cached(&own).await?,
            tx.prepare_cached(&loaded).await?,
            tx.prepare_cached(grow::STAMPS).await?,
        );
        // They go out together, and are answered in this order: whether a load is there is asked behind the lock, because
        // a commit of ours whose answer was lost may still be on its way.
        let schema = name::quote(&self.name);
        let (token, id): ([&(dyn ToSql + Sync); 1], [&(dyn ToSql + Sync); 1]) = ([&state.token], [&id]);
        let tables: [&(dyn ToSql + Sync); 2] = [&schema, &names];
        let (owned, loaded, stamps) = futures::try_join!(
            tx.query_opt(&own, &token),
            tx.query_opt(&loaded, &id),
            tx.query(&stamps, &tables)
        )?;
        if owned.is_none() {
            self.guard.lose(&self.name).await;
            return Err(Error::transient(format!(
                "schema {} was taken over by another Headwater: stop it, or give one of them another database",
                self.name
            ))
            .into());
        }
        if loaded.is_some() {
            return Ok(true);
        }
        self.know(tx, state, names, stamps).await?;
        Ok(false)
    }

    /// One of Headwater's own tables, in this schema.
    fn own_table(&self, table: &str) -> String {
        format!("{}._headwater_{table}", name::quote(&self.name))
    }

    async fn prepare(
        &self,
        table: &str,
        layout: Layout,
        key: &[String],
        columns: &[Column],
    ) -> Result<(), Trouble> {
        let mut turn = self.turn().await?;
        let tx = turn.client.transaction().await?;
        self.begin(&tx, &mut turn.state, "", &[table]).await?;
        let wanted = grow::Wanted { name: table, layout, key, columns };
        if self.grow(&tx, &mut turn.state, &wanted, &mut Vec::new()).await?.is_none() {
            return Err(super::known::crowded(table).into());
        }
        tx.commit().await?;
        turn.end();
        Ok(())
    }
}

impl Turn<'_> {
    /// All went well: what is known can be believed.
    fn end(mut self) {
        self.state.doubtful = false;
    }
}
