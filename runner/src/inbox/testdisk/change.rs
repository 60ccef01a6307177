//! Changes that were not synced, and what a loss of power makes of them.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use rand::{Rng, rngs::StdRng};

/// Parts of a write reach the disk in units of this size.
const SECTOR: usize = 64;

/// What every path is.
pub type Names = BTreeMap<PathBuf, Node>;

/// What a path is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Node {
    Folder,
    File(usize),
}

/// A file: on the disk, in the page cache, and what lies between.
#[derive(Default)]
pub struct Inode {
    pub durable: Vec<u8>,
    pub cached: Vec<u8>,
    pub changes: Vec<Change>,
    /// The process in which a sync of it failed: what that process writes to it later does not last either.
    pub failed: Option<u64>,
}

/// What happened to a file.
#[derive(Clone)]
pub enum Change {
    Write(usize, Vec<u8>),
    Truncate(usize),
}

/// What happened to names.
#[derive(Clone)]
pub enum Move {
    Link(PathBuf, Node),
    Rename(PathBuf, PathBuf),
    Unlink(PathBuf),
}

/// What is left of changes: none, all, the first ones, or any.
pub fn survivors<T>(rng: &mut StdRng, changes: Vec<T>) -> Vec<T> {
    let count = changes.len();
    match rng.random_range(0..4) {
        0 => Vec::new(),
        1 => changes,
        2 => changes.into_iter().take(rng.random_range(0..=count)).collect(),
        _ => changes.into_iter().filter(|_| rng.random_bool(0.5)).collect(),
    }
}

/// Writes all of it, its beginning, or any sectors of it.
pub fn tear(rng: &mut StdRng, file: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    match rng.random_range(0..3) {
        0 => write(file, at, bytes),
        1 => write(file, at, &bytes[..rng.random_range(0..=bytes.len())]),
        _ => {
            for (index, sector) in bytes.chunks(SECTOR).enumerate() {
                if rng.random_bool(0.5) {
                    write(file, at + index * SECTOR, sector);
                }
            }
        }
    }
}

fn write(file: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    if file.len() < at + bytes.len() {
        file.resize(at + bytes.len(), 0);
    }
    file[at..at + bytes.len()].copy_from_slice(bytes);
}

pub fn has_folders(names: &Names, path: &Path) -> bool {
    path.ancestors().skip(1).all(|above| is_root(above) || names.get(above) == Some(&Node::Folder))
}

fn is_root(path: &Path) -> bool {
    path == Path::new("") || path == Path::new("/")
}

impl Change {
    pub fn apply(&self, file: &mut Vec<u8>) {
        match self {
            Self::Write(at, bytes) => write(file, *at, bytes),
            Self::Truncate(length) => file.resize(*length, 0),
        }
    }
}

impl Move {
    pub fn apply(&self, names: &mut Names) {
        match self {
            Self::Link(path, node) => {
                names.insert(path.clone(), *node);
            }
            Self::Rename(from, to) => {
                if let Some(node) = names.remove(from) {
                    names.insert(to.clone(), node);
                }
            }
            Self::Unlink(path) => {
                names.remove(path);
            }
        }
    }

    pub fn folder(&self) -> &Path {
        let (Self::Link(path, _) | Self::Rename(path, _) | Self::Unlink(path)) = self;
        path.parent().unwrap_or(Path::new(""))
    }
}
