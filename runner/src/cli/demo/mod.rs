//! `headwater demo`: the whole program at work, with stand-in vendors on loopback ports: no accounts needed.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use clap::Args as ClapArgs;
use headwater_connectors as connectors;
use headwater_core::error::{Error, Result};
use jiff::Timestamp;
use serde_json::json;
use tokio::sync::{oneshot, watch};

use super::{End, say};
use crate::{
    config::{Config, SourceSettings},
    sandbox::{self, Served, Trouble, World},
    service::{Service, Socket},
};

mod screen;
mod summary;
mod traffic;

use screen::Screen;

/// What marks a folder as a demo's own, to be made anew.
const MARK: &str = "made-by-headwater-demo";
/// How long what is under way may take at the end.
const DRAIN: Duration = Duration::from_secs(15);

/// See it work: stand-in vendors, live traffic, a warehouse to query; no accounts needed.
#[derive(ClapArgs)]
pub(super) struct Args {
    /// End by itself after this time, such as 20s or 5m; without it, at Ctrl-C.
    #[arg(long = "for", value_name = "TIME", value_parser = time)]
    time: Option<Duration>,
    /// Where the demo's data goes; made anew each time.
    #[arg(long, value_name = "FOLDER", default_value = "headwater-demo")]
    data_dir: PathBuf,
    /// How many objects the larger collections have, about.
    #[arg(long, default_value_t = 2_000)]
    size: usize,
    /// Another seed makes other objects.
    #[arg(long, default_value_t = 7)]
    seed: u64,
}

fn time(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no time: write it like 20s or 5m");
    let span: jiff::SignedDuration = text.parse().map_err(|_| wrong())?;
    Duration::try_from(span).map_err(|_| wrong())
}

pub(super) async fn run(args: Args) -> Result<End> {
    let began = Instant::now();
    fresh(&args.data_dir)?;
    let world = World { seed: args.seed, now: Timestamp::now(), size: args.size };
    // A 429 now and then, and a 503: what every client of these vendors meets.
    let trouble = Trouble { throttle_every: 41, fail_every: 97 };
    let mut vendors = Vec::new();
    for vendor in sandbox::all(world) {
        vendors.push(Arc::new(sandbox::serve(vendor, trouble).await?));
    }
    let service = Arc::new(Service::open(config(&args.data_dir, &vendors)?).await?);
    let (ready, address) = oneshot::channel();
    let socket = Socket::open(service.config.receive.listen, None)?;
    let running = tokio::spawn({
        let service = service.clone();
        async move {
            // Nobody waits any more if the demo has been ended meanwhile.
            service.run(&socket, |address| _ = ready.send(address)).await
        }
    });
    let address = match address.await {
        Ok(address) => address,
        Err(_) => {
            return Err(ended(running.await)
                .err()
                .unwrap_or_else(|| Error::unexpected("the service ended at once")));
        }
    };
    say(&format!("Headwater demo: {} stand-in vendors, receiving on http://{address}", vendors.len()))?;
    say(&format!("warehouse: {}", args.data_dir.join("warehouse").display()))?;
    say(match args.time {
        Some(_) => "it ends by itself; Ctrl-C ends it sooner\n",
        None => "Ctrl-C ends it\n",
    })?;

    let screen =
        Arc::new(Screen::new(began, &service.sources.keys().map(String::as_str).collect::<Vec<_>>()));
    let (stop, stopping) = watch::channel(false);
    let syncs =
        tokio::spawn(traffic::syncs(service.clone(), vendors.clone(), screen.clone(), stopping.clone()));
    let events = tokio::spawn(traffic::events(vendors.clone(), address, screen.clone(), stopping));
    wait(args.time).await;

    screen.note("ending: what is under way is finished first");
    stop.send_replace(true);
    let sent = events.await.unwrap_or_default();
    let _ = tokio::time::timeout(DRAIN, syncs).await;
    service.stop();
    ended(
        tokio::time::timeout(DRAIN * 2, running)
            .await
            .map_err(|_| Error::transient("the service did not end in time"))?,
    )?;
    screen.clear();
    let requests: u64 = vendors.iter().map(|vendor| vendor.requests.load(Ordering::Relaxed)).sum();
    drop(service);
    summary::print(&args.data_dir, &sent, requests, began.elapsed(), screen.first_rows())?;
    Ok(End::Done)
}

fn ended(done: Result<Result<()>, tokio::task::JoinError>) -> Result<()> {
    done.map_err(|error| Error::unexpected(format!("the service ended badly: {error}")))?
}

/// Waits for the time, or for Ctrl-C or SIGTERM.
async fn wait(time: Option<Duration>) {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).ok();
    let terminated = async {
        match &mut terminate {
            Some(signal) => drop(signal.recv().await),
            None => std::future::pending().await,
        }
    };
    let elapsed = async {
        match time {
            Some(time) => tokio::time::sleep(time).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        () = terminated => {}
        () = elapsed => {}
    }
}

/// An empty folder: only one that a demo has made is emptied.
fn fresh(folder: &Path) -> Result<()> {
    let failed = |error: std::io::Error| Error::config(format!("{}: {error}", folder.display()));
    if folder.exists() {
        let empty = std::fs::read_dir(folder).map_err(failed)?.next().is_none();
        if !empty && !folder.join(MARK).exists() {
            return Err(Error::config(format!(
                "{} holds something that no demo has made: name another folder with --data-dir",
                folder.display()
            )));
        }
        // Another demo may be at work in it.
        drop(crate::service::Lock::take(folder)?);
        std::fs::remove_dir_all(folder).map_err(failed)?;
    }
    std::fs::create_dir_all(folder).map_err(failed)?;
    std::fs::write(folder.join(MARK), "").map_err(failed)
}

/// A source for each vendor, and one for a website's own calls.
fn config(folder: &Path, vendors: &[Arc<Served>]) -> Result<Config> {
    let mut sources: Vec<SourceSettings> = Vec::new();
    for served in vendors {
        let name = served.vendor.name();
        let pulls = connectors::find(name).is_some_and(|connector| connector.objects.is_some());
        sources.push(serde_json::from_value(json!({
            "name": name.replace('-', "_"),
            "connector": name,
            "settings": served.vendor.settings(),
            "base_url": pulls.then_some(&served.url),
            "webhook_key": traffic::WEBHOOK_KEY,
        }))?);
    }
    sources.push(serde_json::from_value(json!({
        "name": "website", "connector": "segment", "write_key": traffic::WRITE_KEY,
    }))?);
    let mut config =
        Config { data_dir: folder.to_owned(), key_file: Some(folder.join("key")), ..Config::default() };
    config.receive.listen = ([127, 0, 0, 1], 0).into();
    config.source = sources;
    Ok(config)
}
