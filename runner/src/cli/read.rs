//! `headwater read`: a connector's collections to standard output, without a warehouse; the state goes along, as a Singer tap's would.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use clap::Args as ClapArgs;
use headwater_connectors as connectors;
use headwater_core::{
    auth::{Token, Vault},
    cursor::Pass,
    error::{Error, Result},
    object::{Account, Op},
};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::{End, Globals, say, source};
use crate::{
    config::{date, nearest, unknown_connector},
    sync::{Bounds, Job, Shared, Silent, Tools, sync},
    warehouse::{
        Committed, Load, Schema, Swept, Warehouse,
        table::{Cell, TableSpec},
    },
};

/// Read a connector's collections to standard output, as JSON lines.
#[derive(ClapArgs)]
pub(super) struct Args {
    /// The connector.
    connector: String,
    /// Its settings: JSON, or a file that holds some. `--config` says the same: reading needs no configuration file.
    #[arg(long, value_name = "JSON|FILE")]
    settings: Option<String>,
    /// Only these, parted by commas.
    #[arg(long, value_delimiter = ',')]
    collections: Vec<String>,
    /// A stand-in for all of the vendor's hosts; plain http is allowed on loopback.
    #[arg(long)]
    base_url: Option<String>,
    /// Where to go on from, and where the state is written when done.
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// Where time-bound collections begin.
    #[arg(long)]
    start_date: Option<String>,
}

pub(super) async fn run(globals: &Globals, args: Args) -> Result<End> {
    let connector = connectors::find(&args.connector).ok_or_else(|| unknown_connector(&args.connector))?;
    let flag = || globals.flag.as_ref()?.to_str().map(str::to_owned);
    let settings = args.settings.clone().or_else(flag).ok_or_else(|| {
        Error::config(format!(
            "--settings is missing: headwater catalog {} explains what {} needs",
            connector.name, connector.title
        ))
    })?;
    let text = match settings.trim_start().starts_with('{') {
        true => settings,
        false => read_file(Path::new(&settings), "--settings")?,
    };
    let settings = serde_json::from_str(&text)
        .map_err(|error| Error::config(format!("--settings is no JSON: {error}")))?;
    connector.validate(&settings).map_err(|error| Error::config(nearest(error.message())))?;
    let start_date = args.start_date.as_deref().map(|text| date("--start-date", text)).transpose()?;
    let progress = match &args.state {
        Some(file) if file.exists() => serde_json::from_str(&read_file(file, "--state")?)
            .map_err(|error| Error::config(format!("--state {}: {error}", file.display())))?,
        _ => BTreeMap::new(),
    };
    let output = Arc::new(Output { progress: Arc::new(Mutex::new(progress)) });
    let (stop, stopping) = watch::channel(false);
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            stop.send_replace(true);
            // The sender has to live as long as anybody may ask.
            std::future::pending::<()>().await;
        }
    });
    let tools = Tools {
        warehouse: output.clone(),
        vault: Some(Arc::new(Forgetful::default())),
        observer: Arc::new(Silent),
        stop: stopping,
        bounds: Bounds::default(),
        shared: Shared::default(),
    };
    let job = Job {
        source: connector.name.replace('-', "_"),
        connector,
        settings,
        account: Account::default(),
        base_url: args.base_url,
        start_date,
        collections: args.collections,
        exclude: Vec::new(),
        only: Vec::new(),
        full: false,
        touched_only: false,
        accept_deletes: false,
        reserve: 0.0,
    };
    let report = sync(&job, &tools).await;
    if let Some(file) = &args.state {
        output.write(file)?;
    }
    for (name, outcome) in &report.collections {
        for notice in &outcome.notices {
            eprintln!("note on {name}: {notice}");
        }
    }
    source::end(&serde_json::to_value(&report)?)
}

fn read_file(file: &Path, what: &str) -> Result<String> {
    std::fs::read_to_string(file)
        .map_err(|error| Error::config(format!("{what} {}: {error}", file.display())))
}

/// A warehouse that prints: `{"collection","record"}` lines, then the `{"state"}` that covers them.
#[derive(Clone)]
struct Output {
    progress: Arc<Mutex<BTreeMap<String, Value>>>,
}

impl Output {
    fn write(&self, file: &Path) -> Result<()> {
        let progress = self.progress.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let named = |error: std::io::Error| Error::transient(format!("--state {}: {error}", file.display()));
        let text = serde_json::to_string_pretty(&*progress)?;
        // Whole or not at all: a state cut by a crash would begin from nothing.
        let new = file.with_extension("new");
        std::fs::write(&new, text).map_err(named)?;
        std::fs::rename(&new, file).map_err(named)
    }
}

#[async_trait]
impl Warehouse for Output {
    async fn schema(&self, _: &str) -> Result<Arc<dyn Schema>> {
        Ok(Arc::new(self.clone()))
    }
}

#[async_trait]
impl Schema for Output {
    fn wants_records(&self) -> bool {
        true
    }

    async fn prepare(&self, _: &TableSpec) -> Result<()> {
        Ok(())
    }

    async fn commit(&self, load: Load) -> Result<Committed> {
        // One load at a time: a state covers every line above it.
        let mut progress = self.progress.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        for change in &load.records {
            let (collection, record) = (change.collection, change.record.line());
            let op = match change.op {
                Op::Upsert => String::new(),
                op => format!("\"op\":\"{}\",", op.name()),
            };
            say(&format!("{{\"collection\":\"{collection}\",{op}\"record\":{record}}}"))?;
        }
        let moved = !load.progress.is_empty();
        for (key, value) in load.progress {
            match value {
                Value::Null => progress.remove(&key),
                value => progress.insert(key, value),
            };
        }
        if moved {
            say(&json!({ "state": *progress }).to_string())?;
        }
        Ok(Committed { inserted: load.records.len() as u64, ..Committed::default() })
    }

    async fn progress(&self) -> Result<BTreeMap<String, Value>> {
        Ok(self.progress.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone())
    }

    async fn sweep(&self, _: &str, _: &Pass, _: f64) -> Result<Swept> {
        Ok(Swept::default())
    }

    async fn keys(&self, _: &str, _: &[&str], _: Option<&[Cell]>, _: usize) -> Result<Vec<Vec<Cell>>> {
        Ok(Vec::new())
    }
}

/// A vault for one reading.
#[derive(Default)]
struct Forgetful(Mutex<BTreeMap<String, Token>>);

#[async_trait]
impl Vault for Forgetful {
    async fn load(&self, key: &str) -> Result<Option<Token>> {
        Ok(self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).get(key).cloned())
    }
    async fn store(&self, key: &str, token: &Token) -> Result<()> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).insert(key.to_owned(), token.clone());
        Ok(())
    }
}
