//! Vendors that events have to ask: look-ups before an item can be mapped, confirmations after a handshake. Both go through the one
//! client of the source's account, which keeps its pace and leaves its hosts never.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use headwater_core::{
    error::{Error, Result},
    http::{Client, Options},
    object::{Account, Request},
};
use jiff::Timestamp;
use serde::Serialize;
use tokio::{sync::mpsc, task::JoinSet};

use super::Service;
use crate::{
    config::SourceSettings,
    pipeline::enquirer::Vendors,
    receive::Confirm,
    sync::{Silent, options},
};

/// The largest answer to a look-up, in bytes.
const LARGEST: usize = 4 << 20;
/// How often a confirmation is tried, beyond what the client does by itself.
const TRIES: u32 = 6;
/// The pause before the first try, so that the vendor has our answer by then, and between the next ones; it doubles.
const PAUSE: Duration = Duration::from_secs(1);
/// Confirmations under way at once.
const SIDE_BY_SIDE: usize = 8;

/// How the latest question to a source's vendor went.
#[derive(Clone, Debug, Serialize)]
pub struct Asked {
    /// What it was: `look-up`, `confirmation`.
    pub what: &'static str,
    /// When.
    pub at: Timestamp,
    /// Why it failed, if it did.
    pub error: Option<String>,
}

/// How the latest questions went, by source.
#[derive(Default)]
pub struct Answers(Mutex<BTreeMap<String, Asked>>);

impl Answers {
    /// How a source's latest question went, if it has asked any.
    pub fn of(&self, source: &str) -> Option<Asked> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).get(source).cloned()
    }

    fn note<T>(&self, source: &str, what: &'static str, done: &Result<T>) {
        let error = done.as_ref().err().map(Error::to_string);
        let asked = Asked { what, at: Timestamp::now(), error };
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).insert(source.to_owned(), asked);
    }
}

/// Asks vendors for a service.
pub struct Asker {
    service: Arc<Service>,
    clients: tokio::sync::Mutex<HashMap<String, Arc<Client>>>,
}

impl Asker {
    /// Nobody has been asked yet.
    pub fn new(service: Arc<Service>) -> Self {
        Self { service, clients: tokio::sync::Mutex::default() }
    }

    async fn send(&self, source: &str, request: Request) -> Result<Bytes> {
        let known = self.clients.lock().await.get(source).cloned();
        let client = match known {
            Some(client) => client,
            None => {
                // Opened without the lock: a vendor that is away must not hold back the others.
                let client = Arc::new(self.service.asking_client(self.service.source(source)?).await?);
                self.clients.lock().await.entry(source.to_owned()).or_insert(client).clone()
            }
        };
        client.send(request).await.map(|answer| answer.body).map_err(|error| error.within("source", source))
    }

    /// Sends what handshakes have to be followed by, until the receiver is gone.
    pub async fn confirm(self: Arc<Self>, mut wanted: mpsc::Receiver<Confirm>) {
        let mut tasks = JoinSet::new();
        while let Some(confirm) = wanted.recv().await {
            while tasks.len() >= SIDE_BY_SIDE {
                tasks.join_next().await;
            }
            let this = self.clone();
            tasks.spawn(async move { this.confirmed(confirm).await });
        }
    }

    async fn confirmed(&self, Confirm { source, request }: Confirm) {
        let mut pause = PAUSE;
        for attempt in 1..=TRIES {
            tokio::time::sleep(pause).await;
            pause *= 2;
            let done = self.send(&source, request.clone()).await;
            self.service.asked.note(&source, "confirmation", &done);
            match done {
                Ok(_) => {
                    tracing::info!(source, request = ?request, "the webhook is confirmed");
                    return;
                }
                Err(error) if error.kind().is_temporary() && attempt < TRIES => {
                    tracing::warn!(source, %error, "the webhook is not confirmed yet; trying again");
                }
                Err(error) => {
                    tracing::error!(source, %error, "the webhook could not be confirmed: set it up again at the vendor");
                    return;
                }
            }
        }
    }
}

#[async_trait]
impl Vendors for Asker {
    async fn ask(&self, source: &str, request: Request) -> Result<Bytes> {
        let done = self.send(source, request).await;
        self.service.asked.note(source, "look-up", &done);
        done
    }
}

impl Service {
    /// The client that a source's look-ups and confirmations go through.
    async fn asking_client(&self, source: &SourceSettings) -> Result<Client> {
        let connector = source.connector()?;
        let job = self.job(source).await?;
        if let Some(events) = connector.events {
            let events = (events.open)(job.settings.clone())?;
            if let Some(api) = events.lookup_api()? {
                let id = events.own_account().unwrap_or_default();
                let account = Account { id, ..Account::default() };
                let options = options(&job, &self.tools(Arc::new(Silent)), &account);
                return Client::new(api, Options { max_answer: LARGEST, ..options });
            }
        }
        if let Some(objects) = &connector.objects {
            return self.open_source(source, objects).await.map(|(_, client, _)| client);
        }
        if let Some(pull) = &connector.pull {
            return self.open_pull(source, *pull).await.map(|(_, client, _)| client);
        }
        Err(Error::config(format!("{} does not say where its look-ups are asked", connector.title)))
    }
}
