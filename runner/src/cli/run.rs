//! `headwater run`: the service, until Ctrl-C or SIGTERM. SIGHUP reads the configuration again; SIGUSR2 lets the program that is
//! installed now take this one's place. Nobody is refused meanwhile: the listening socket stays.

use std::{path::PathBuf, sync::Arc};

use clap::Args as ClapArgs;
use headwater_core::error::{Error, Result};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{End, Globals};
use crate::{
    config::Config,
    service::{Service, Socket, notify, successor},
};

/// Sync on schedule and receive events, until stopped.
#[derive(ClapArgs)]
pub(super) struct Args {}

/// What follows when the service ends.
enum Next {
    End,
    Reload(Box<Config>),
    Become(PathBuf),
}

struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
    replace: Signal,
}

pub(super) async fn run(globals: &Globals, _: Args, mut at_hand: Option<Socket>) -> Result<End> {
    let mut signals = Signals::hear()?;
    let mut config = globals.config()?;
    let mut before: Option<Config> = None;
    loop {
        let service = match Service::open(config.clone()).await {
            Ok(service) => Arc::new(service),
            // What ran with the configuration before still does.
            Err(error) => match before.take() {
                Some(known) => {
                    tracing::error!(%error, "the configuration was not reloaded");
                    config = known;
                    continue;
                }
                None => return Err(error),
            },
        };
        let socket = Arc::new(Socket::open(config.receive.listen, at_hand.take())?);
        let mut running = tokio::spawn({
            let (service, socket) = (service.clone(), socket.clone());
            async move {
                let receives = |address| {
                    tracing::info!("receiving on http://{address}");
                    notify::ready(&format!("receiving on {address}"));
                };
                service.run(&socket, receives).await
            }
        });
        let next = tokio::select! {
            ended = &mut running => return done(ended).map(|()| End::Done),
            next = signals.next(globals) => next,
        };
        match &next {
            Next::End => notify::stopping(),
            Next::Reload(_) => notify::reloading("reading the configuration again"),
            Next::Become(_) => notify::reloading("the installed program takes over"),
        }
        service.stop();
        done(running.await)?;
        // The lock on the data folder goes with it.
        drop(service);
        match next {
            Next::End => return Ok(End::Done),
            Next::Reload(next) => {
                tracing::info!("the configuration was reloaded");
                before = Some(std::mem::replace(&mut config, *next));
            }
            Next::Become(program) => {
                tracing::info!("{} takes over", program.display());
                let error = successor::become_it(&program, &socket);
                tracing::error!(%error, "this program goes on");
            }
        }
        at_hand = Arc::into_inner(socket);
    }
}

fn done(ended: Result<Result<()>, tokio::task::JoinError>) -> Result<()> {
    ended.map_err(|error| Error::unexpected(format!("the service ended: {error}")))?
}

impl Signals {
    fn hear() -> Result<Self> {
        let hear = |kind| {
            signal(kind).map_err(|error| Error::transient(format!("signals cannot be heard: {error}")))
        };
        Ok(Self {
            hangup: hear(SignalKind::hangup())?,
            terminate: hear(SignalKind::terminate())?,
            interrupt: hear(SignalKind::interrupt())?,
            replace: hear(SignalKind::user_defined2())?,
        })
    }

    /// Waits until the service has to end. What would not start again does not end what runs.
    async fn next(&mut self, globals: &Globals) -> Next {
        loop {
            tokio::select! {
                _ = self.interrupt.recv() => return Next::End,
                _ = self.terminate.recv() => return Next::End,
                _ = self.hangup.recv() => match globals.config() {
                    Ok(config) => return Next::Reload(Box::new(config)),
                    Err(error) => tracing::error!(%error, "the configuration was not reloaded"),
                },
                _ = self.replace.recv() => match successor::find(globals.config_file()).await {
                    Ok(program) => return Next::Become(program),
                    Err(error) => tracing::error!(%error, "the program was not replaced: this one goes on"),
                },
            }
        }
    }
}
