//! The real program, end to end: a folder, a configuration, the binary, vendors on loopback ports, and what is in the
//! warehouse afterwards.
//!
//! `restart` kills it at seeded instants, `service` talks to it while it runs, `received` and `vendors` feed it what nobody
//! should send, `commands` goes through the command line from an empty folder. `HEADWATER_TEST_LONG=1` makes worlds and
//! patience larger.

mod commands;
mod configs;
mod full_disk;
mod house;
mod ingest;
mod postgres;
mod received;
mod refused;
mod restart;
mod service;
mod vendor;
mod vendors;

use std::path::{Path, PathBuf};

/// Whether there is time for more.
pub fn is_long() -> bool {
    std::env::var_os("HEADWATER_TEST_LONG").is_some_and(|value| value == "1")
}

/// The workspace's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace has a root").to_owned()
}
