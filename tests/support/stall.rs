//! A disk that stalls: a program waits for each sync of a file as long as the test wants it to.

use std::{path::PathBuf, process::Command};

use crate::house::House;

/// The disk under one house. It stalls until this is dropped, or told to go on.
pub struct Stall(PathBuf);

impl Stall {
    /// Puts something between what runs in this house from now on and its disk, which does not stall yet.
    pub fn prepare(house: &mut House) -> Self {
        let library = house.path("stall.so");
        let source = crate::root().join("tests/support/stall.c");
        let built = Command::new("cc")
            .args(["-shared", "-fPIC", "-o"])
            .arg(&library)
            .arg(source)
            .arg("-ldl")
            .status();
        assert!(built.is_ok_and(|status| status.success()), "cc builds a library");
        let stalled = house.path("stalled");
        house.set("LD_PRELOAD", &library.display().to_string());
        house.set("STALL", &stalled.display().to_string());
        Self(stalled)
    }

    /// Nothing is synced from now on.
    pub fn begin(&self) {
        std::fs::write(&self.0, "").expect("a file");
    }

    /// What waits is synced.
    pub fn end(&self) {
        std::fs::remove_file(&self.0).expect("it had stalled");
    }
}

impl Drop for Stall {
    fn drop(&mut self) {
        let _not_stalled = std::fs::remove_file(&self.0);
    }
}
