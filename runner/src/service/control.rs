//! The control socket: other commands reach the process that owns the data folder over `data_dir/headwater.sock` (0600). One JSON
//! line asks, JSON lines answer, the last one is the result.

use std::{path::Path, sync::Arc};

use headwater_core::error::{Error, Kind, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
    sync::mpsc,
};

use super::{Service, lock::socket};
use crate::{
    pipeline::replay::Told,
    sync::{Observer, Outcome},
};

/// The longest request, in bytes.
const REQUEST: u64 = 1 << 20;

/// What a command asks of the owner of the data folder.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub enum Ask {
    /// Run a source now.
    Sync {
        /// Which.
        source: String,
        /// Only these collections.
        collections: Vec<String>,
        /// Forget the progress.
        full: bool,
        /// Let sweeps delete.
        accept_deletes: bool,
    },
    /// Are the credentials good?
    Check {
        /// Of which source.
        source: String,
    },
    /// What can be read?
    Discover {
        /// From which source.
        source: String,
    },
    /// Which sources are there, and how are they reached?
    Sources,
    /// Which destinations are there, and how far are they?
    Destinations,
    /// Which calls did a destination not take?
    DeadLetters {
        /// Which destination.
        destination: String,
        /// Those that wait to be sent again, instead of those that failed for good.
        waiting: bool,
        /// How many at most.
        limit: u32,
    },
    /// Send dead letters again.
    Resend {
        /// Of which destination.
        destination: String,
        /// Which; none for all.
        ids: Option<Vec<i64>>,
    },
    /// What is spent of the accounts' daily allotments?
    Quota,
    /// How did the latest runs go?
    Runs {
        /// Of which source.
        source: Option<String>,
        /// How many.
        limit: usize,
    },
    /// Do the books balance?
    Books,
    /// Run stored deliveries through today's mapping.
    Replay(Replay),
    /// Verify quarantined deliveries again, and take those that are proven now.
    Release {
        /// Of which source.
        source: String,
        /// Only look.
        dry_run: bool,
    },
    /// Which deliveries were not proven?
    Quarantine,
    /// Where does a row come from?
    TraceRow {
        /// The schema.
        schema: String,
        /// The table.
        table: String,
        /// The values of its key.
        key: Vec<String>,
    },
    /// What became of a message?
    TraceMessage {
        /// Its id.
        id: String,
        /// Look through the whole inbox for every delivery that carried it.
        all: bool,
    },
}

/// What is to be made again, in the user's words.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Replay {
    /// The source.
    pub source: String,
    /// From when on.
    pub since: String,
    /// Until when; now without it.
    pub until: Option<String>,
    /// Conditions, all of which have to hold.
    pub conditions: Vec<String>,
    /// Whether destinations get it too.
    pub destinations: bool,
    /// Change nothing.
    pub dry_run: bool,
    /// Tell every difference.
    pub diff: bool,
    /// Begin anew, although one was cut short.
    pub restart: bool,
}

/// One line of an answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "snake_case")]
pub enum Say {
    /// The collections of a run are known.
    Started {
        /// Their names.
        collections: Vec<String>,
    },
    /// A page of a collection is in the warehouse.
    Page {
        /// Which.
        collection: String,
        /// Records so far.
        records: u64,
        /// Whether the collection has ended.
        ended: bool,
        /// Why it ended early.
        error: Option<String>,
    },
    /// How a replay goes.
    Replay {
        /// What is heard of it.
        told: Told,
    },
    /// How far a search through the inbox has come.
    Searching {
        /// The next delivery.
        delivery: u64,
        /// The last one.
        last: u64,
    },
    /// The result: nothing follows.
    Done {
        /// It.
        result: Value,
    },
    /// It failed: nothing follows.
    Failed {
        /// The error's kind.
        kind: String,
        /// One line.
        error: String,
    },
}

/// Lines that may wait for a reader who is slower than what he asked for.
pub const WAITING: usize = 256;

/// Tells a run's progress to whoever reads the other end. One who is too slow misses some of it: the run does not wait.
pub struct Teller(pub mpsc::Sender<Say>);

impl Observer for Teller {
    fn started(&self, _: &str, collections: &[&str]) {
        let collections = collections.iter().map(|name| (*name).to_owned()).collect();
        // Nobody is listening any more: the run goes on without them.
        let _ = self.0.try_send(Say::Started { collections });
    }

    fn page(&self, _: &str, collection: &str, so_far: &Outcome) {
        let records = so_far.records;
        let _ = self.0.try_send(Say::Page {
            collection: collection.to_owned(),
            records,
            ended: false,
            error: None,
        });
    }

    fn ended(&self, _: &str, collection: &str, outcome: &Outcome) {
        let (records, error) = (outcome.records, outcome.error.clone());
        let _ = self.0.try_send(Say::Page { collection: collection.to_owned(), records, ended: true, error });
    }
}

/// Listens from now on, and answers until the service stops.
pub fn listen(service: Arc<Service>) -> impl Future<Output = ()> + Send {
    let path = socket(&service.config.data_dir);
    // Left behind by a process that was killed: the lock says that it is gone.
    let _ = std::fs::remove_file(&path);
    let listener = bind(&path);
    async move {
        match listener {
            Ok(listener) => answer(service, listener).await,
            Err(error) => {
                tracing::error!(%error, path = %path.display(), "other commands cannot reach this process");
                return;
            }
        }
        let _ = std::fs::remove_file(&path);
    }
}

async fn answer(service: Arc<Service>, listener: UnixListener) {
    let mut stop = service.stopping();
    loop {
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => break,
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                let service = service.clone();
                tokio::spawn(async move {
                    if let Err(error) = serve(&service, stream).await {
                        tracing::debug!(%error, "a command went away");
                    }
                });
            }
        }
    }
}

fn bind(path: &Path) -> std::io::Result<UnixListener> {
    use std::os::unix::fs::PermissionsExt;
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

async fn serve(service: &Arc<Service>, stream: UnixStream) -> std::io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut line = String::new();
    BufReader::new(read.take(REQUEST)).read_line(&mut line).await?;
    let (tell, mut told) = mpsc::channel(WAITING);
    let asked: Result<Ask> =
        serde_json::from_str(&line).map_err(|error| Error::config(format!("not a request: {error}")));
    let service = service.clone();
    tokio::spawn(async move {
        let done = match asked {
            Ok(ask) => service.answer(ask, tell.clone()).await,
            Err(error) => Err(error),
        };
        let said = match done {
            Ok(result) => Say::Done { result },
            Err(error) => Say::Failed { kind: error.kind().name().to_owned(), error: error.to_string() },
        };
        let _ = tell.send(said).await;
    });
    while let Some(say) = told.recv().await {
        let mut line = serde_json::to_vec(&say)?;
        line.push(b'\n');
        write.write_all(&line).await?;
    }
    Ok(())
}

/// Asks the process that owns the data folder, if one does. `hear` gets what is said before the result.
pub async fn ask(folder: &Path, ask: &Ask, hear: &mut dyn FnMut(Say)) -> Result<Option<Value>> {
    let Ok(stream) = UnixStream::connect(socket(folder)).await else { return Ok(None) };
    let gone = |error: std::io::Error| Error::transient(format!("the running headwater went away: {error}"));
    let (read, mut write) = stream.into_split();
    let mut line = serde_json::to_vec(ask)?;
    line.push(b'\n');
    write.write_all(&line).await.map_err(gone)?;
    let mut lines = BufReader::new(read).lines();
    while let Some(line) = lines.next_line().await.map_err(gone)? {
        match serde_json::from_str(&line)? {
            Say::Done { result } => return Ok(Some(result)),
            Say::Failed { kind, error } => {
                return Err(Error::new(Kind::find(&kind).unwrap_or(Kind::Unexpected), error));
            }
            say => hear(say),
        }
    }
    Err(Error::transient("the running headwater ended before it answered"))
}
