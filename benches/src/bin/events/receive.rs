//! Receiving: Headwater against the bare server, in turns, from a load in a process of its own.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use headwater::{config::Config, receive, service::Service};
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::{
    Options, Result, floor,
    load::{Done, Load, Shape},
    traffic::{SECRET, WEBHOOK_KEY, WRITE_KEY, scatter},
};

/// A server in a process and a folder of its own.
pub struct Server {
    /// What it is called in the table.
    pub name: &'static str,
    process: Child,
    /// Where it listens.
    pub address: SocketAddr,
    folder: TempDir,
}

impl Server {
    /// Starts the bare server (`floor`), Headwater's receiver without its pipeline (`receiver`), or the program itself (`headwater`).
    pub fn start(name: &'static str, at: &Path) -> Result<Self> {
        let folder = TempDir::with_prefix_in("headwater-bench-", at)?;
        std::fs::write(folder.path().join("headwater.toml"), config(folder.path()))?;
        let own = std::env::current_exe()?;
        let mut command = match name {
            "headwater" => {
                let mut command = Command::new(own.with_file_name("headwater"));
                // It says where it listens in its log.
                command.arg("run").env("RUST_LOG", "warn,headwater::cli::run=info").stderr(Stdio::piped());
                command
            }
            _ => {
                let mut command = Command::new(own);
                command.args(["serve", name]);
                command
            }
        };
        command.current_dir(folder.path()).env("HOME", folder.path());
        let mut process = command.stdout(Stdio::piped()).spawn()?;
        let out: Box<dyn Read + Send> = match process.stderr.take() {
            Some(log) => Box::new(log),
            None => Box::new(process.stdout.take().ok_or("a process without output")?),
        };
        let mut lines = BufReader::new(out).lines().map_while(std::io::Result::ok);
        let address = lines
            .find_map(|line| {
                let at = line.find("127.0.0.1:")?;
                let text = &line[at..];
                text.split(|c: char| !(c.is_ascii_digit() || c == '.' || c == ':')).next()?.parse().ok()
            })
            .ok_or("a server that does not say where it listens")?;
        // A process that nobody listens to waits for ever once its log is full.
        std::thread::spawn(move || lines.for_each(|line| eprintln!("{name}: {line}")));
        Ok(Self { name, process, address, folder })
    }

    /// Its memory, in MiB.
    pub fn rss(&self) -> f64 {
        crate::rss(self.process.id())
    }

    /// The most memory that it has had, in MiB.
    pub fn peak(&self) -> f64 {
        crate::peak(self.process.id())
    }

    /// How long it has worked, in hundredths of a second.
    pub fn cpu(&self) -> u64 {
        crate::cpu(self.process.id())
    }

    /// A file of its data folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("data").join(name)
    }

    /// Waits until it has nothing more to do; returns how long it has worked, in hundredths of a second.
    pub fn rest(&self) -> u64 {
        let busy = || crate::cpu(self.process.id());
        for _ in 0..600 {
            let before = busy();
            std::thread::sleep(Duration::from_millis(200));
            if busy() <= before + 1 {
                break;
            }
        }
        busy()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ended = self.process.kill();
        let _waited = self.process.wait();
    }
}

fn config(folder: &Path) -> String {
    format!(
        "data_dir = {:?}\nkey_file = {:?}\n[receive]\nlisten = '127.0.0.1:0'\n[[source]]\nname = 'site'\nconnector = 'segment'\n\
         write_key = '{WRITE_KEY}'\n[[source]]\nname = 'mail'\nconnector = 'klaviyo'\nwebhook_key = '{WEBHOOK_KEY}'\n\
         settings = {{ secret_key = '{SECRET}' }}\n",
        folder.join("data"),
        folder.join("key")
    )
}

/// What a server's process does: listens until it is killed.
pub async fn serve(name: &str) -> Result<()> {
    let folder = std::env::current_dir()?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    match name {
        "floor" => {
            let router = floor::router(&folder)?;
            say(address)?;
            Ok(axum::serve(listener, router.into_make_service_with_connect_info::<SocketAddr>()).await?)
        }
        _ => {
            let text = std::fs::read_to_string(folder.join("headwater.toml"))?;
            let service = Arc::new(Service::open(Config::parse(&text, &|_| None)?).await?);
            let live = service.events().await?.live;
            let router = receive::router(live.receiver.clone(), live.ready.clone());
            // As the program does it, with all its limits.
            let (_stop, stopping) = tokio::sync::watch::channel(false);
            let _server = receive::serve(listener, router, live.receiver.clone(), stopping);
            say(address)?;
            // What the service owns lives as long as the process.
            std::future::pending::<()>().await;
            drop(service);
            Ok(())
        }
    }
}

fn say(address: SocketAddr) -> Result<()> {
    println!("{address}");
    Ok(std::io::stdout().flush()?)
}

/// Runs a load in a process of its own.
pub fn load(load: Load) -> Result<Done> {
    let out = Command::new(std::env::current_exe()?)
        .args(["load", &serde_json::to_string(&load)?])
        .stderr(Stdio::inherit())
        .output()?;
    Ok(serde_json::from_slice(&out.stdout)?)
}

/// `events receive`: peaks over connections, in turns, and the latency at half of each peak.
pub fn bench(options: &Options) -> Result<()> {
    let at = options.folder();
    let seconds = options.number("seconds", 2.0);
    let connections = options.list("connections", &[1.0, 16.0, 64.0, 256.0]);
    let rounds = options.number("rounds", 1.0) as u64;
    let names: Vec<&'static str> = match options.text("only") {
        Some("headwater") => vec!["floor", "headwater"],
        Some("receiver") => vec!["floor", "receiver"],
        _ => vec!["floor", "receiver", "headwater"],
    };
    let servers: Vec<Server> = names.iter().map(|name| Server::start(name, &at)).collect::<Result<_>>()?;
    println!(
        "shape    conns  server      requests/s    ratio    p50 ms    p99 ms  p99.9 ms  refused   RSS MiB  cpu µs each"
    );
    let mut seed = 0;
    let mut once = |server: &Server, shape: Shape, connections: f64, rate: f64| -> Result<Done> {
        let cpu = server.rest();
        seed += 1;
        let seed = scatter(seed) >> 8;
        let to = server.address;
        let mut done = load(Load { to, shape, connections: connections as u64, seconds, rate, seed })?;
        done.cpu = (crate::cpu(server.process.id()) - cpu) as f64 * 1e4 / done.taken.max(1) as f64;
        Ok(done)
    };
    for shape in [Shape::Webhook, Shape::Track, Shape::Batch] {
        if options.text("shape").is_some_and(|only| !format!("{shape:?}").eq_ignore_ascii_case(only)) {
            continue;
        }
        let mut half = vec![0.0_f64; servers.len()];
        for &connections in &connections {
            let mut best: Vec<Done> = vec![Done::default(); servers.len()];
            for _ in 0..rounds {
                for (server, best) in servers.iter().zip(&mut best) {
                    let done = once(server, shape, connections, 0.0)?;
                    if done.rate() > best.rate() {
                        *best = done;
                    }
                }
            }
            let floor = best[0].rate();
            for (place, (server, done)) in servers.iter().zip(&best).enumerate() {
                line(shape, connections, server, done, floor);
                if connections == 64.0 {
                    half[place] = done.rate() / 2.0;
                }
            }
        }
        for (server, rate) in servers.iter().zip(half).filter(|(_, rate)| *rate > 0.0) {
            let done = once(server, shape, 64.0, rate)?;
            println!("at half of its peak, {rate:.0} requests/s:");
            line(shape, 64.0, server, &done, rate);
        }
    }
    Ok(())
}

fn line(shape: Shape, connections: f64, server: &Server, done: &Done, floor: f64) {
    println!(
        "{:<8} {connections:>5}  {:<10} {:>11.0} {:>8.2} {:>9.2} {:>9.2} {:>9.2} {:>8} {:>9.1} {:>12.1}",
        format!("{shape:?}").to_lowercase(),
        server.name,
        done.rate(),
        done.rate() / floor,
        done.p50,
        done.p99,
        done.p999,
        done.refused,
        server.rss(),
        done.cpu,
    );
}
