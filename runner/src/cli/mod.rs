//! The command line: one file a command. Every error is one line that says what is wrong and what to do.

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};
use headwater_core::error::{Error, Kind, Result};

use crate::{config::Config, service::Socket};

mod books;
pub mod catalog;
mod demo;
mod destination;
mod init;
pub mod new;
mod normalize;
mod quarantine;
mod query;
mod read;
mod replay;
mod run;
mod source;
mod table;
mod trace;
mod validate;

/// Headwater brings your cloud apps home: it pulls their objects, receives their events, and loads both into a warehouse.
///
/// Exit codes: 0 done; 1 failed, trying again may help; 2 the command or the configuration is wrong; 3 credentials were refused;
/// 4 done in part (a sync that lost collections).
#[derive(Parser)]
#[command(name = "headwater", version, max_term_width = 120)]
struct Cli {
    /// The configuration file.
    #[arg(long, global = true, env = "HEADWATER_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// See it work: stand-in vendors, live traffic, a warehouse to query; no accounts needed.
    Demo(demo::Args),
    /// Write a headwater.toml to begin with.
    Init(init::Args),
    /// Sync on schedule and receive events, until stopped.
    Run(run::Args),
    /// Sync a source now.
    Sync(source::SyncArgs),
    /// Ask the vendor whether a source's credentials are good.
    Check(source::CheckArgs),
    /// Show what a source's account has.
    Discover(source::DiscoverArgs),
    /// Show every connector, or one of them.
    Catalog(catalog::Args),
    /// Show the sources, their keys and addresses.
    Sources(source::SourcesArgs),
    /// Read a connector's collections to standard output, as JSON lines.
    Read(read::Args),
    /// Map one webhook delivery (standard input) to Spec calls, as JSON lines.
    Normalize(normalize::Args),
    /// Show deliveries that were refused because nothing proved them.
    Quarantine(quarantine::Args),
    /// Ask the embedded warehouse.
    Query(query::Args),
    /// Run stored deliveries through today's mapping, and replace what they had made.
    Replay(replay::Args),
    /// Show where a row comes from, or what became of a message.
    Trace(trace::Args),
    /// Show the destinations: how far each is, and what failed.
    Destinations(destination::DestinationsArgs),
    /// Show the calls that a destination did not take.
    DeadLetters(destination::DeadLettersArgs),
    /// Send dead letters again.
    Resend(destination::ResendArgs),
    /// Show what became of everything received, and whether the books balance.
    Books(books::Args),
    /// Show what is spent of the accounts' daily allotments, and which sources wait for one.
    Quota(source::QuotaArgs),
    /// Show how the latest runs went.
    Runs(source::RunsArgs),
    /// Begin a connector of your own.
    New(new::Args),
    /// Check the configuration file.
    Validate(validate::Args),
}

/// What the commands share.
pub(crate) struct Globals {
    file: PathBuf,
    named: bool,
    /// What follows `--config` on the command line, if it stands there.
    flag: Option<PathBuf>,
}

impl Globals {
    /// The configuration.
    pub fn config(&self) -> Result<Config> {
        Config::load(&self.file, self.named)
    }

    /// The configuration's file, if there is one.
    pub fn config_file(&self) -> Option<&std::path::Path> {
        (self.named || self.file.exists()).then_some(&self.file)
    }
}

/// How a command ended, other than in an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Done.
    Done,
    /// Done in part.
    Partly,
}

/// Parses the command line and runs one command.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let is_service = matches!(cli.command, Command::Run(_));
    logs(is_service);
    // Before there are threads.
    let handed_over = match is_service.then(Socket::handed_over).transpose() {
        Ok(socket) => socket.flatten(),
        Err(error) => return failed(&error),
    };
    let globals = Globals {
        named: cli.config.is_some(),
        flag: cli
            .config
            .clone()
            .filter(|file| std::env::var_os("HEADWATER_CONFIG").is_none_or(|named| named != *file)),
        file: cli.config.unwrap_or_else(|| PathBuf::from("headwater.toml")),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("headwater: cannot start: {error}");
            return ExitCode::from(1);
        }
    };
    let done = runtime.block_on(async {
        match cli.command {
            Command::Demo(args) => demo::run(args).await,
            Command::Init(args) => init::run(&globals, args),
            Command::Run(args) => run::run(&globals, args, handed_over).await,
            Command::Sync(args) => source::sync(&globals, args).await,
            Command::Check(args) => source::check(&globals, args).await,
            Command::Discover(args) => source::discover(&globals, args).await,
            Command::Catalog(args) => catalog::run(args),
            Command::Sources(args) => source::sources(&globals, args).await,
            Command::Read(args) => read::run(&globals, args).await,
            Command::Normalize(args) => normalize::run(args),
            Command::Quarantine(args) => quarantine::run(&globals, args).await,
            Command::Replay(args) => replay::run(&globals, args).await,
            Command::Trace(args) => trace::run(&globals, args).await,
            Command::Query(args) => query::run(&globals, args),
            Command::Destinations(args) => destination::destinations(&globals, args).await,
            Command::DeadLetters(args) => destination::dead_letters(&globals, args).await,
            Command::Resend(args) => destination::resend(&globals, args).await,
            Command::Books(args) => books::run(&globals, args).await,
            Command::Quota(args) => source::quota(&globals, args).await,
            Command::Runs(args) => source::runs(&globals, args).await,
            Command::New(args) => new::run(args),
            Command::Validate(args) => validate::run(&globals, args),
        }
    });
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    match done {
        Ok(End::Done) => ExitCode::SUCCESS,
        Ok(End::Partly) => ExitCode::from(4),
        Err(error) => failed(&error),
    }
}

/// Says what went wrong, and whose move it is.
fn failed(error: &Error) -> ExitCode {
    complain(error);
    ExitCode::from(match error.kind() {
        Kind::Config => 2,
        Kind::Auth => 3,
        _ => 1,
    })
}

/// Logs go to standard error; `RUST_LOG` chooses which.
fn logs(service: bool) {
    let default = if service { "info,rusqlite_migration=warn" } else { "warn" };
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(default));
    // A second subscriber (in tests) keeps the first.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .with_target(false)
        .try_init();
}

/// Prints an error: always one line.
pub(crate) fn complain(error: &Error) {
    eprintln!("headwater: {}", error.to_string().replace('\n', " "));
}

/// Prints a line of standard output; a reader that has gone away ends the program quietly.
pub(crate) fn say(line: &str) -> Result<()> {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{line}") {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(0),
        Err(error) => Err(Error::transient(format!("standard output: {error}"))),
    }
}
