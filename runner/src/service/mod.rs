//! The service: everything that one data folder needs, put together. One process owns the folder at a time.

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use headwater_core::{
    auth::Vault,
    connector::Objects,
    error::{Error, Result},
    http::Client,
    object::{Account, ObjectSource},
};
use serde_json::Value;
use tokio::sync::{mpsc, watch};

use crate::{
    config::{Config, SourceSettings, WarehouseSettings, unknown_source},
    destinations::{Desk, outbox::Outbox},
    inbox::{DiskFiles, Keep, Log, Options as LogOptions},
    pipeline::{Filter, Source, books::Books, loader::Loader, normaliser::Normaliser},
    receive::{Marks, Ready, Receiver, Route, Routes},
    state::{Keys, State, quota::QuotaLedger, seal::Sealer, sqlite::SqliteState},
    sync::{Bounds, Job, Observer, Report, Shared, Silent, Tools, open, sync},
    warehouse::{Warehouse, postgres::PostgresWarehouse, sqlite::SqliteWarehouse},
};

mod answer;
pub mod control;
mod lock;
pub mod notify;
mod pull;
mod replay;
mod run;
mod socket;
pub mod successor;
mod timetable;
mod trace;
mod vendors;

pub use lock::Lock;
pub use socket::Socket;

/// Calls that are kept once they are loaded, in bytes: they can be made again from the inbox.
const CALLS: u64 = 256 << 20;
/// Refused deliveries that are kept, in bytes: never the inbox's space.
const QUARANTINE: u64 = 64 << 20;

/// Everything that one data folder needs.
pub struct Service {
    /// The configuration that it was opened with.
    pub config: Config,
    /// Sources of the file and of the state, by name.
    pub sources: BTreeMap<String, SourceSettings>,
    /// Keys, accounts, tokens, runs.
    pub state: Arc<dyn State>,
    /// What is spent of daily allotments.
    pub quota: Arc<QuotaLedger>,
    /// The same, and the limits, as runs use them.
    shared: Shared,
    /// Where tables go.
    pub warehouse: Arc<dyn Warehouse>,
    /// Where calls go.
    pub destinations: Arc<Desk>,
    /// One run of a source at a time.
    busy: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
    /// The events' way, while it runs.
    live: Mutex<Option<Live>>,
    /// What is fetched, and how far.
    pulls: pull::Pulls,
    /// How look-ups and confirmations went.
    asked: vendors::Answers,
    /// Becomes true when the program is about to end.
    stop: watch::Sender<bool>,
    _lock: Lock,
}

/// What commands look into while the service runs.
#[derive(Clone)]
pub struct Live {
    /// Takes requests.
    pub receiver: Arc<Receiver>,
    /// Tells whether more should be sent.
    pub ready: Arc<Ready>,
    /// Makes calls of deliveries.
    pub normaliser: Arc<Normaliser>,
    /// What has been received.
    pub inbox: Arc<Log>,
    /// What was not proven.
    pub quarantine: Arc<Log>,
    /// What has been made of it.
    pub calls: Arc<Log>,
    /// The counts.
    pub books: Books,
}

/// The parts of the events' way, open.
pub struct Events {
    /// What commands may look into.
    pub live: Live,
    /// Makes rows of calls; taken once it runs.
    pub loader: Option<Loader>,
    /// Send calls to destinations; taken once they run.
    pub outboxes: Vec<Outbox>,
    /// Sources whose touched rows have to be fetched.
    pub touched: mpsc::UnboundedReceiver<String>,
}

/// Where the embedded warehouse's files are.
pub fn warehouse_folder(data_dir: &Path) -> PathBuf {
    data_dir.join("warehouse")
}

/// Says if something in a data folder was written by a newer Headwater. It changes nothing, and may be another process's.
pub fn check_versions(data_dir: &Path) -> Result<()> {
    SqliteState::check_version(&data_dir.join("state.db"))?;
    Books::check_version(&data_dir.join("books.db"))?;
    Desk::check_version(data_dir)
}

impl Service {
    /// Takes the data folder and opens what is in it.
    pub async fn open(config: Config) -> Result<Self> {
        let folder = &config.data_dir;
        std::fs::create_dir_all(folder)
            .map_err(|error| Error::config(format!("data_dir {}: {error}", folder.display())))?;
        let lock = Lock::take(folder)?;
        let key = match &config.key_file {
            Some(file) => file.clone(),
            None => Sealer::default_file()?,
        };
        let sealer = Sealer::open(&key)?;
        let state = Arc::new(SqliteState::open(&folder.join("state.db"), sealer)?);
        let quota = Arc::new(state.ledger()?);
        let warehouse: Arc<dyn Warehouse> = match &config.warehouse {
            WarehouseSettings::Sqlite {} => Arc::new(SqliteWarehouse::open(warehouse_folder(folder))?),
            WarehouseSettings::Postgres(settings) => Arc::new(PostgresWarehouse::new(settings)?),
        };
        let mut sources: BTreeMap<String, SourceSettings> =
            config.source.iter().map(|source| (source.name.clone(), source.clone())).collect();
        for value in state.sources().await? {
            let source: SourceSettings = serde_json::from_value(value)
                .map_err(|error| Error::config(format!("a source of the state cannot be read: {error}")))?;
            // The file wins: it is what the owner can see.
            sources.entry(source.name.clone()).or_insert(source);
        }
        let destinations = Arc::new(Desk::open(folder, &config.destination)?);
        let (stop, _) = watch::channel(false);
        Ok(Self {
            config,
            sources,
            shared: Shared { ledger: quota.clone(), gates: Arc::default() },
            quota,
            state,
            warehouse,
            destinations,
            busy: Mutex::default(),
            live: Mutex::default(),
            pulls: pull::Pulls::default(),
            asked: vendors::Answers::default(),
            stop,
            _lock: lock,
        })
    }

    /// Becomes true when the program is about to end.
    pub fn stopping(&self) -> watch::Receiver<bool> {
        self.stop.subscribe()
    }

    /// Ends everything at the next safe point.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// The source of that name.
    pub fn source(&self, name: &str) -> Result<&SourceSettings> {
        match self.sources.get(name) {
            Some(source) => Ok(source),
            None => Err(unknown_source(name, self.sources.keys().map(String::as_str))),
        }
    }

    /// What a run of this source is asked to do, before anything is narrowed down.
    pub async fn job(&self, source: &SourceSettings) -> Result<Job> {
        Ok(Job {
            source: source.name.clone(),
            connector: source.connector()?,
            settings: self.settings(source),
            account: self.state.account(&source.name).await?,
            base_url: source.base_url.clone(),
            start_date: source.start()?,
            collections: source.collections.clone(),
            exclude: source.exclude.clone(),
            only: Vec::new(),
            full: false,
            touched_only: false,
            accept_deletes: false,
            reserve: 0.0,
        })
    }

    /// The source's settings, completed by the OAuth app of its connector where they leave it out.
    fn settings(&self, source: &SourceSettings) -> Value {
        let mut settings = source.settings.clone();
        if let (Some(app), Some(members)) =
            (self.config.oauth.get(&source.connector), settings.as_object_mut())
        {
            members.entry("client_id").or_insert_with(|| app.client_id.clone().into());
            if let Some(secret) = &app.client_secret {
                members.entry("client_secret").or_insert_with(|| secret.expose().into());
            }
        }
        settings
    }

    /// Runs a job, unless the source has one under way.
    pub async fn sync(&self, job: Job, observer: Arc<dyn Observer>) -> Result<Report> {
        let turn = self.turn(&job.source);
        let is_only_fetched = job.connector.objects.is_none() && job.connector.pull.is_some();
        let _turn = match is_only_fetched {
            // Where it is fetched all the time, it comes to an end in between.
            true => turn.lock().await,
            false => turn
                .try_lock()
                .map_err(|_| Error::transient(format!("source {} is being synced already", job.source)))?,
        };
        let mut report = match is_only_fetched {
            true => Report::begin(&job)?,
            false => sync(&job, &self.tools(observer.clone())).await,
        };
        if let Some(open) = job.connector.pull
            && !job.touched_only
            && report.error.is_none()
        {
            self.pull(&job, open, &*observer, &mut report).await;
        }
        if report.account != job.account && !report.account.id.is_empty() {
            self.state.set_account(&job.source, &report.account).await?;
        }
        // A run that only looked for touched rows and found none is not worth a line.
        if !(job.touched_only && report.collections.is_empty() && report.error.is_none()) {
            self.add_run(&report).await?;
        }
        Ok(report)
    }

    /// Whose turn it is with a source.
    fn turn(&self, source: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut busy = self.busy.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        busy.entry(source.to_owned()).or_default().clone()
    }

    fn tools(&self, observer: Arc<dyn Observer>) -> Tools {
        Tools {
            warehouse: self.warehouse.clone(),
            vault: Some(self.state.clone() as Arc<dyn Vault>),
            observer,
            stop: self.stopping(),
            bounds: Bounds::default(),
            shared: self.shared.clone(),
        }
    }

    /// Opens a source that has objects, which proves its credentials, and remembers its account.
    async fn open_source(
        &self,
        source: &SourceSettings,
        objects: &Objects,
    ) -> Result<(Box<dyn ObjectSource>, Client, Account)> {
        let job = self.job(source).await?;
        let opened = open(&job, &self.tools(Arc::new(Silent)), objects).await;
        let (opened, client, account) = opened.map_err(|error| error.within("source", &source.name))?;
        if account != job.account {
            self.state.set_account(&source.name, &account).await?;
        }
        Ok((opened, client, account))
    }

    /// Asks the vendor whether the credentials are good; returns the account that they open.
    pub async fn check(&self, source: &SourceSettings) -> Result<Account> {
        let connector = source.connector()?;
        match (&connector.objects, &connector.pull) {
            (Some(objects), _) => self.open_source(source, objects).await.map(|(_, _, account)| account),
            (None, Some(pull)) => self.open_pull(source, *pull).await.map(|(_, _, account)| account),
            (None, None) => {
                Ok(Account { title: format!("{} only receives", connector.title), ..Account::default() })
            }
        }
    }

    /// The keys that let deliveries to a source in: the file's, or those that were made for it.
    pub async fn keys(&self, source: &SourceSettings) -> Result<Keys> {
        self.all_keys(&[source]).await.map(|mut keys| keys.pop().unwrap_or_default())
    }

    /// The same for several sources, in their order.
    async fn all_keys(&self, sources: &[&SourceSettings]) -> Result<Vec<Keys>> {
        let names = sources.iter().map(|source| source.name.clone()).collect();
        let made = self.state.keys(names).await?;
        Ok(made.into_iter().zip(sources).map(|(keys, source)| said(keys, source)).collect())
    }

    /// The events' way as it runs here; opened as it lies where it does not.
    pub async fn live(&self) -> Result<Live> {
        let running = self.live.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone();
        match running {
            Some(live) => Ok(live),
            None => Ok(self.events().await?.live),
        }
    }

    /// Opens the events' way: inbox, normaliser, calls log, loader.
    pub async fn events(&self) -> Result<Events> {
        let folder = &self.config.data_dir;
        let files = Arc::new(DiskFiles);
        let open = async |name: &str, keep: Keep, segment: u64| {
            let low_disk = self.config.receive.low_disk;
            let options = LogOptions { keep, segment, low_disk, ..LogOptions::default() };
            Log::open(files.clone(), folder.join(name), options).await.map(Arc::new)
        };
        let receive = &self.config.receive;
        let segment = LogOptions::default().segment;
        let inbox = open("inbox", Keep { bytes: receive.keep_bytes, age: receive.kept()? }, segment).await?;
        let calls = open("calls", Keep { bytes: CALLS, ..Keep::default() }, segment).await?;
        let quarantine =
            open("quarantine", Keep { bytes: QUARANTINE, ..Keep::default() }, QUARANTINE / 8).await?;
        let books = Books::open(&folder.join("books.db"))?;
        let receiver =
            Arc::new(Receiver::new(inbox.clone(), quarantine.clone(), self.config.receive.clone()));
        let limits = crate::pipeline::Limits {
            call_bytes: self.config.receive.max_call_bytes,
            batch_calls: self.config.receive.max_batch_calls,
        };
        let normaliser = Normaliser::open(inbox.clone(), calls.clone(), books.clone(), limits).await?;
        let mut routes = Vec::new();
        let mut mapped = HashMap::new();
        let mut connectors = HashMap::new();
        let enabled: Vec<&SourceSettings> = self.sources.values().filter(|source| source.enabled).collect();
        let keys = self.all_keys(&enabled).await?;
        for (source, keys) in enabled.into_iter().zip(keys) {
            let connector = source.connector()?;
            let open = || connector.events.map(|events| (events.open)(self.settings(source))).transpose();
            let within = |error: Error| error.within("source", &source.name);
            routes.push(Route {
                source: source.name.clone(),
                connector,
                events: open().map_err(within)?,
                write_keys: keys.write,
                webhook_keys: keys.webhook,
            });
            connectors.insert(source.name.clone(), connector.name);
            mapped.insert(
                source.name.clone(),
                Arc::new(Source {
                    name: source.name.clone(),
                    connector,
                    events: open().map_err(within)?,
                    calls_schema: source.calls_schema()?,
                    filter: Filter::new(&source.block, &source.hash, &source.drop),
                }),
            );
        }
        receiver.set_routes(Routes::new(routes));
        normaliser.set_sources(mapped);
        let (touch, touched) = mpsc::unbounded_channel();
        // Whoever reads the calls log needs what it has not read: nobody may release that before all of them have said so.
        calls.pin("warehouse", books.position("loaded").await? + 1);
        let end = *normaliser.eligible().borrow();
        let outboxes = self.destinations.attach(&calls, end).await?;
        let loader = Loader::new(calls.clone(), books.clone(), self.warehouse.clone(), connectors, touch)?;
        let ready = Arc::new(Ready {
            marks: Marks { disk: receive.ready_disk, lag: receive.most_lag()? },
            inbox: inbox.clone(),
            calls: calls.clone(),
            books: books.clone(),
            folders: vec![folder.clone(), folder.join("inbox")],
            latest: Default::default(),
        });
        let normaliser = Arc::new(normaliser);
        let live = Live { receiver, ready, normaliser, inbox, quarantine, calls, books };
        Ok(Events { live, loader: Some(loader), outboxes, touched })
    }
}

impl Live {
    /// Whether everything received has become rows.
    pub async fn is_drained(&self) -> Result<bool> {
        let ledger = self.books.ledger().await?;
        Ok(ledger.inbox.max(1) > self.inbox.committed() && ledger.loaded >= ledger.calls)
    }

    /// Writes what is waiting, and ends.
    async fn close(&self) {
        self.inbox.close().await;
        self.quarantine.close().await;
        self.calls.close().await;
    }
}

/// The file's keys win over those that were made.
fn said(mut keys: Keys, source: &SourceSettings) -> Keys {
    if let Some(key) = &source.write_key {
        keys.write = vec![key.clone()];
    }
    if let Some(key) = &source.webhook_key {
        keys.webhook = vec![key.expose().to_owned()];
    }
    keys
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn sources_of_the_file_and_of_the_state_stand_side_by_side() {
        let folder = tempfile::tempdir().unwrap();
        let file = "[[source]]\nname = 'site'\nconnector = 'segment'\nenvironment = 'file'";
        let config = || {
            let mut config = Config::parse(file, &|_| None).unwrap();
            config.data_dir = folder.path().join("data");
            config.key_file = Some(folder.path().join("key"));
            config
        };
        let service = Service::open(config()).await.unwrap();
        for name in ["site", "app"] {
            let source = json!({ "name": name, "connector": "segment", "environment": "state" });
            service.state.set_source(name, &source).await.unwrap();
        }
        assert!(Service::open(config()).await.err().unwrap().message().contains("in use"));
        drop(service);
        let service = Service::open(config()).await.unwrap();
        let environment = |name: &str| service.sources[name].environment.clone().unwrap();
        assert_eq!((environment("app"), environment("site")), ("state".to_owned(), "file".to_owned()));
        let keys = service.keys(service.source("app").unwrap()).await.unwrap();
        assert_eq!((keys.write.len(), keys.webhook.len()), (1, 1));
        assert!(
            service.source("apq").err().unwrap().message().contains("did you mean app"),
            "the nearest is named"
        );
    }
}
