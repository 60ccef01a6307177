//! Tells systemd (or whoever set `NOTIFY_SOCKET`) how the service is: `Type=notify` and `Type=notify-reload` units work.

use std::os::{
    linux::net::SocketAddrExt,
    unix::{
        ffi::OsStrExt,
        net::{SocketAddr, UnixDatagram},
    },
};

use rustix::time::{ClockId, clock_gettime};

/// Deliveries are taken.
pub fn ready(status: &str) {
    // The same id as before, also after a replacement of the program: systemd need not guess.
    send(&format!("READY=1\nMAINPID={}\nSTATUS={status}", std::process::id()));
}

/// The configuration or the program is about to be replaced; [`ready`] follows.
pub fn reloading(status: &str) {
    let now = clock_gettime(ClockId::Monotonic);
    let microseconds = now.tv_sec * 1_000_000 + now.tv_nsec / 1_000;
    send(&format!("RELOADING=1\nMONOTONIC_USEC={microseconds}\nSTATUS={status}"));
}

/// The program is about to end.
pub fn stopping() {
    send("STOPPING=1\nSTATUS=finishing what is under way");
}

fn send(message: &str) {
    let Some(name) = std::env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else { return };
    let sent = || {
        let address = match name.as_bytes().strip_prefix(b"@") {
            Some(hidden) => SocketAddr::from_abstract_name(hidden),
            None => SocketAddr::from_pathname(&name),
        }?;
        UnixDatagram::unbound()?.send_to_addr(message.as_bytes(), &address)
    };
    if let Err(error) = sent() {
        tracing::debug!(%error, "NOTIFY_SOCKET cannot be reached");
    }
}
