//! `headwater run`: the service, until Ctrl-C or SIGTERM; SIGHUP reads the configuration again.

use std::sync::Arc;

use clap::Args as ClapArgs;
use headwater_core::error::{Error, Result};
use tokio::signal::unix::{SignalKind, signal};

use super::{End, Globals};
use crate::service::Service;

/// Sync on schedule and receive events, until stopped.
#[derive(ClapArgs)]
pub(super) struct Args {}

pub(super) async fn run(globals: &Globals, _: Args) -> Result<End> {
    let listen =
        |kind| signal(kind).map_err(|error| Error::transient(format!("signals cannot be heard: {error}")));
    let mut hangup = listen(SignalKind::hangup())?;
    let mut terminate = listen(SignalKind::terminate())?;
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut config = globals.config()?;
    loop {
        let service = Arc::new(Service::open(config).await?);
        let running = {
            let service = service.clone();
            tokio::spawn(async move {
                service.run(|address| tracing::info!("receiving on http://{address}")).await
            })
        };
        tokio::pin!(running);
        // A configuration that is wrong does not end what runs.
        let next = loop {
            tokio::select! {
                done = &mut running => {
                    return done.map_err(|error| Error::unexpected(format!("the service ended: {error}")))?.map(|()| End::Done);
                }
                _ = interrupt.recv() => break None,
                _ = terminate.recv() => break None,
                _ = hangup.recv() => match globals.config() {
                    Ok(config) => break Some(config),
                    Err(error) => tracing::error!(%error, "the configuration was not reloaded"),
                },
            }
        };
        service.stop();
        running.await.map_err(|error| Error::unexpected(format!("the service ended: {error}")))??;
        match next {
            Some(next) => {
                tracing::info!("the configuration was reloaded");
                config = next;
            }
            None => return Ok(End::Done),
        }
    }
}
