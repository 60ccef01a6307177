//! What several suites need: folders that Headwater lives in, its processes, vendors on loopback ports, a real Postgres.

pub mod disk;
pub mod fixture;
pub mod house;
pub mod postgres;
mod process;
pub mod stall;
pub mod subject;
#[cfg(feature = "program")]
pub mod vendor;

use std::path::{Path, PathBuf};

/// Whether there is time for more.
pub fn is_long() -> bool {
    std::env::var_os("HEADWATER_TEST_LONG").is_some_and(|value| value == "1")
}

/// The workspace's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace has a root").to_owned()
}
