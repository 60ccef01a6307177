//! A disk that is small enough to be full.

use std::{path::Path, process::Command};

use tempfile::TempDir;

/// A small disk of its own, taken away when dropped.
pub struct Disk(TempDir);

impl Disk {
    /// Mounts one of this size; the reason where that is not allowed.
    pub fn mount(mebibytes: u32) -> Result<Self, String> {
        let folder = TempDir::with_prefix("headwater-e2e-").map_err(|error| error.to_string())?;
        let size = format!("size={mebibytes}m");
        let done =
            Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(folder.path()).output();
        match done {
            Ok(done) if done.status.success() => Ok(Self(folder)),
            Ok(done) => Err(String::from_utf8_lossy(&done.stderr).trim().to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Makes it larger or smaller.
    #[track_caller]
    pub fn resize(&self, mebibytes: u32) {
        let size = format!("remount,size={mebibytes}m");
        let done = Command::new("mount").args(["-o", &size]).arg(self.path()).status().expect("mount");
        assert!(done.success(), "{size}");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}
