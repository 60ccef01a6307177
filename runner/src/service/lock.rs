//! The lock on a data folder: one process owns it at a time.

use std::{
    fs::File,
    path::{Path, PathBuf},
};

use fs4::fs_std::FileExt;
use headwater_core::error::{Error, Kind, Result};

/// A data folder that is ours, until this is dropped.
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the folder, or says who has it.
    pub fn take(folder: &Path) -> Result<Self> {
        match Self::try_take(folder)? {
            Some(lock) => Ok(lock),
            None => Err(Error::new(
                Kind::Transient,
                format!(
                    "{} is in use by another headwater process: stop that one, or name another data_dir",
                    folder.display()
                ),
            )),
        }
    }

    /// Takes the folder, unless another process has it.
    pub fn try_take(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join("lock");
        let named = |error: std::io::Error| Error::config(format!("{}: {error}", path.display()));
        let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(named)?;
        match file.try_lock_exclusive() {
            Ok(true) => Ok(Some(Self { _file: file })),
            Ok(false) => Ok(None),
            Err(error) => Err(named(error)),
        }
    }
}

/// Where the owner of a data folder listens for other commands.
pub fn socket(folder: &Path) -> PathBuf {
    folder.join("headwater.sock")
}
