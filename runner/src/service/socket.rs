//! The socket that deliveries come in by. It outlives what answers on it: a reload, a restart and a new version of the program take over
//! the very same one, and whoever connects meanwhile waits in its queue instead of being refused.
//!
//! It comes from whoever started us (systemd's socket activation, or any supervisor that passes `LISTEN_FDS`), from the process
//! that we replaced, or it is made here.

use std::{
    net::{SocketAddr, TcpListener},
    process::Command,
};

use headwater_core::error::{Error, Result};
use listenfd::ListenFd;
use rustix::io::{FdFlags, fcntl_setfd};
use tokio::net::TcpSocket;

/// So many connections may wait to be accepted; the system may allow fewer.
const QUEUE: u32 = 4096;

/// Names, across a replacement of the program, the setting that the socket was made for.
const MADE_FOR: &str = "HEADWATER_LISTEN";

/// A socket that listens, until this is dropped in the last process that has it.
pub struct Socket {
    listener: TcpListener,
    address: SocketAddr,
    /// The setting that it was made for; none if it was given to us, and the setting does not count.
    made_for: Option<SocketAddr>,
}

impl Socket {
    /// The socket that was handed to this process, if one was. To be called once, before there are threads: it changes the
    /// environment, so that our own children do not take the socket for theirs.
    pub fn handed_over() -> Result<Option<Self>> {
        let failed = |error| Error::config(format!("the socket in LISTEN_FDS cannot be used: {error}"));
        let mut handed = ListenFd::from_env();
        if handed.len() == 0 {
            return Ok(None);
        }
        let Some(listener) = handed.take_tcp_listener(0).map_err(failed)? else { return Ok(None) };
        let made_for = std::env::var(MADE_FOR).ok().and_then(|text| text.parse().ok());
        Self::new(listener, made_for).map(Some).map_err(failed)
    }

    /// The socket for this setting: the one at hand if it is for the same, else a new one. Where that cannot be had, the one at hand
    /// stays: a wrong address must not close the door.
    pub fn open(listen: SocketAddr, at_hand: Option<Self>) -> Result<Self> {
        let Some(old) = at_hand else { return Self::make(listen) };
        match old.made_for {
            None => Ok(old),
            Some(before) if before == listen => Ok(old),
            Some(_) => Self::make(listen).or_else(|error| {
                tracing::error!(%error, "the address was not changed: still receiving on {}", old.address);
                Ok(old)
            }),
        }
    }

    fn make(listen: SocketAddr) -> Result<Self> {
        let made = || {
            let socket = if listen.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
            // A restart need not wait for the last connections of the process before.
            socket.set_reuseaddr(true)?;
            socket.bind(listen)?;
            Self::new(socket.listen(QUEUE)?.into_std()?, Some(listen))
        };
        made().map_err(|error| Error::config(format!("receive.listen {listen}: {error}")))
    }

    fn new(listener: TcpListener, made_for: Option<SocketAddr>) -> std::io::Result<Self> {
        listener.set_nonblocking(true)?;
        Ok(Self { address: listener.local_addr()?, listener, made_for })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether it was given to us from outside, so that the setting does not count.
    pub fn is_given(&self) -> bool {
        self.made_for.is_none()
    }

    /// Another handle of the same socket, to accept from. Dropping it closes nothing.
    pub fn listener(&self) -> Result<tokio::net::TcpListener> {
        let listener = self.listener.try_clone().and_then(tokio::net::TcpListener::from_std);
        listener.map_err(|error| Error::transient(format!("the listening socket cannot be used: {error}")))
    }

    /// Lets a program that takes this process's place have the socket.
    pub fn hand_to(&self, command: &mut Command) -> std::io::Result<()> {
        use std::os::fd::AsRawFd;
        fcntl_setfd(&self.listener, FdFlags::empty())?;
        command
            .env("LISTEN_FDS", "1")
            .env("LISTEN_FDS_FIRST_FD", self.listener.as_raw_fd().to_string())
            .env("LISTEN_PID", std::process::id().to_string());
        match self.made_for {
            Some(listen) => command.env(MADE_FOR, listen.to_string()),
            None => command.env_remove(MADE_FOR),
        };
        Ok(())
    }

    /// The program could not take our place: our children do not get the socket any more.
    pub fn keep(&self) {
        if let Err(error) = fcntl_setfd(&self.listener, FdFlags::CLOEXEC) {
            tracing::warn!(%error, "children of this process will inherit its socket");
        }
    }
}
