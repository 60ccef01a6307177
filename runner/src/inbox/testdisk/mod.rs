//! A disk for tests: it keeps what was not synced apart, and drops or tears it when the power goes.
//!
//! It is as unkind as a disk may be: unsynced writes reach it in any part and order, also later ones without earlier
//! ones; a file that was synced is still gone when its folder was not; after a failed sync the bytes are lost although
//! the next sync succeeds. And it can be told to ignore syncs, to prove that a test would notice.

mod change;

use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use rand::{Rng, SeedableRng, rngs::StdRng};

use change::{Change, Inode, Move, Names, Node, has_folders, survivors, tear};

use super::{
    files::{Files, OpenFile},
    state::lock,
};

/// The disk itself. It outlives the processes that use it.
pub struct TestDisk {
    inner: Mutex<Inner>,
    before_read: Mutex<Option<Hook>>,
    after_read: Mutex<Option<Hook>>,
}

type Hook = Box<dyn FnOnce() + Send>;

/// Which syncs are ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ignore {
    /// Of files whose name ends so.
    File(&'static str),
    /// Of the folder with this path.
    Folder(&'static str),
}

/// The view that one process has of the disk. It sees what is in the page cache, and ends with its process.
struct Process {
    disk: Arc<TestDisk>,
    id: u64,
}

struct Handle {
    disk: Arc<TestDisk>,
    process: u64,
    path: PathBuf,
    inode: usize,
}

struct Inner {
    rng: StdRng,
    inodes: Vec<Inode>,
    cached: Names,
    durable: Names,
    /// What happened to names and was not synced, in order.
    moves: Vec<Move>,
    process: u64,
    /// So many changes until the process dies.
    life: Option<u64>,
    changes: u64,
    ignored: Vec<Ignore>,
    /// The files and folders that were synced since this was last asked.
    synced: BTreeSet<PathBuf>,
    /// So many syncs of files until one fails.
    sync_fails_in: Option<u64>,
    free: u64,
}

impl TestDisk {
    /// An empty disk with 1 GiB.
    pub fn new(seed: u64) -> Arc<Self> {
        let inner = Inner {
            rng: StdRng::seed_from_u64(seed),
            inodes: Vec::new(),
            cached: Names::new(),
            durable: Names::new(),
            moves: Vec::new(),
            process: 0,
            life: None,
            changes: 0,
            ignored: Vec::new(),
            synced: BTreeSet::new(),
            sync_fails_in: None,
            free: 1 << 30,
        };
        Arc::new(Self {
            inner: Mutex::new(inner),
            before_read: Mutex::default(),
            after_read: Mutex::default(),
        })
    }

    /// Ends the process that uses the disk, as `kill -9` does, and starts another: the page cache survives.
    pub fn process(self: &Arc<Self>) -> Arc<dyn Files> {
        let mut inner = lock(&self.inner);
        inner.process += 1;
        inner.life = None;
        inner.sync_fails_in = None;
        Arc::new(Process { disk: Arc::clone(self), id: inner.process })
    }

    /// The process dies after so many further changes; the last one may be half done.
    pub fn die_after(&self, changes: u64) {
        lock(&self.inner).life = Some(changes);
    }

    /// Whether the process has died by [`die_after`](Self::die_after).
    pub fn is_dead(&self) -> bool {
        lock(&self.inner).life == Some(0)
    }

    /// How many changes there have been.
    pub fn changes(&self) -> u64 {
        lock(&self.inner).changes
    }

    /// Ignores these syncs from now on: they succeed, and do nothing.
    pub fn ignore(&self, ignored: &[Ignore]) {
        lock(&self.inner).ignored = ignored.to_vec();
    }

    /// The files and folders that were synced since this was last asked.
    pub fn synced(&self) -> BTreeSet<PathBuf> {
        std::mem::take(&mut lock(&self.inner).synced)
    }

    /// After so many good ones a sync of a file fails, once.
    pub fn fail_sync(&self, after: u64) {
        lock(&self.inner).sync_fails_in = Some(after);
    }

    /// Has so many bytes free.
    pub fn set_free(&self, bytes: u64) {
        lock(&self.inner).free = bytes;
    }

    /// Does something just before the next read.
    pub fn before_read(&self, hook: impl FnOnce() + Send + 'static) {
        *lock(&self.before_read) = Some(Box::new(hook));
    }

    /// Does something when the next read has its bytes, before anybody sees them.
    pub fn after_read(&self, hook: impl FnOnce() + Send + 'static) {
        *lock(&self.after_read) = Some(Box::new(hook));
    }

    /// Changes a byte of a file, in the cache and on the disk.
    pub fn damage(&self, path: &Path, at: usize) {
        let mut inner = lock(&self.inner);
        let Some(Node::File(inode)) = inner.cached.get(path).copied() else { return };
        let Inode { durable, cached, .. } = &mut inner.inodes[inode];
        for bytes in [durable, cached] {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 0x5a;
            }
        }
    }

    /// Turns the power off: of all that was not synced, something between nothing and everything is left, in parts.
    pub fn power_off(&self) {
        let mut inner = lock(&self.inner);
        inner.process += 1;
        let Inner { rng, inodes, durable, cached, moves, .. } = &mut *inner;
        for inode in inodes.iter_mut() {
            let changes = std::mem::take(&mut inode.changes);
            for change in survivors(rng, changes) {
                match change {
                    Change::Write(at, bytes) => tear(rng, &mut inode.durable, at, &bytes),
                    whole => whole.apply(&mut inode.durable),
                }
            }
            inode.cached.clone_from(&inode.durable);
        }
        for one in survivors(rng, std::mem::take(moves)) {
            one.apply(durable);
        }
        let whole = durable.clone();
        durable.retain(|path, _| has_folders(&whole, path));
        cached.clone_from(durable);
    }
}

impl Inner {
    fn alive(&self, process: u64) -> io::Result<()> {
        let alive = self.process == process && self.life != Some(0);
        if alive { Ok(()) } else { Err(io::Error::other("this process is dead")) }
    }

    /// Counts a change. It is done, but when it was the last one nobody is told.
    fn change(&mut self) -> io::Result<()> {
        self.changes += 1;
        match &mut self.life {
            Some(life) => {
                *life -= 1;
                if *life == 0 { Err(io::Error::other("this process has died")) } else { Ok(()) }
            }
            None => Ok(()),
        }
    }

    fn moved(&mut self, one: Move) {
        one.apply(&mut self.cached);
        self.moves.push(one);
    }

    fn inode(&self, path: &Path) -> io::Result<usize> {
        match self.cached.get(path) {
            Some(Node::File(inode)) => Ok(*inode),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn changed(&mut self, inode: usize, change: Change) {
        change.apply(&mut self.inodes[inode].cached);
        self.inodes[inode].changes.push(change);
    }
}

fn run(hook: &Mutex<Option<Hook>>) {
    let hook = lock(hook).take();
    if let Some(hook) = hook {
        hook();
    }
}

impl Files for Process {
    fn create_folder(&self, folder: &Path) -> io::Result<()> {
        let mut inner = lock(&self.disk.inner);
        inner.alive(self.id)?;
        if !has_folders(&inner.cached, folder) {
            return Err(io::ErrorKind::NotFound.into());
        }
        if !inner.cached.contains_key(folder) {
            inner.moved(Move::Link(folder.to_owned(), Node::Folder));
            inner.change()?;
        }
        Ok(())
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        let inner = lock(&self.disk.inner);
        inner.alive(self.id)?;
        let inside = inner.cached.keys().filter(|path| path.parent() == Some(folder));
        Ok(inside.filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned())).collect())
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn OpenFile>> {
        let mut inner = lock(&self.disk.inner);
        inner.alive(self.id)?;
        if !has_folders(&inner.cached, path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let inode = match inner.inode(path) {
            Ok(inode) => {
                inner.changed(inode, Change::Truncate(0));
                inode
            }
            Err(_) => {
                inner.inodes.push(Inode::default());
                let inode = inner.inodes.len() - 1;
                inner.moved(Move::Link(path.to_owned(), Node::File(inode)));
                inode
            }
        };
        inner.change()?;
        Ok(Box::new(Handle { disk: Arc::clone(&self.disk), process: self.id, path: path.to_owned(), inode }))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn OpenFile>> {
        let inner = lock(&self.disk.inner);
        inner.alive(self.id)?;
        let inode = inner.inode(path)?;
        Ok(Box::new(Handle { disk: Arc::clone(&self.disk), process: self.id, path: path.to_owned(), inode }))
    }

    fn read(&self, path: &Path, at: u64, length: usize) -> io::Result<Vec<u8>> {
        run(&self.disk.before_read);
        let bytes = {
            let inner = lock(&self.disk.inner);
            inner.alive(self.id)?;
            let bytes = &inner.inodes[inner.inode(path)?].cached;
            let start = bytes.len().min(at as usize);
            bytes[start..bytes.len().min(start + length)].to_vec()
        };
        run(&self.disk.after_read);
        Ok(bytes)
    }

    fn length(&self, path: &Path) -> io::Result<u64> {
        let inner = lock(&self.disk.inner);
        inner.alive(self.id)?;
        Ok(inner.inodes[inner.inode(path)?].cached.len() as u64)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut inner = lock(&self.disk.inner);
        inner.alive(self.id)?;
        inner.inode(from)?;
        inner.moved(Move::Rename(from.to_owned(), to.to_owned()));
        inner.change()
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut inner = lock(&self.disk.inner);
        inner.alive(self.id)?;
        inner.inode(path)?;
        inner.moved(Move::Unlink(path.to_owned()));
        inner.change()
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        let mut inner = lock(&self.disk.inner);
        inner.alive(self.id)?;
        inner.change()?;
        inner.synced.insert(folder.to_owned());
        if inner
            .ignored
            .iter()
            .any(|ignored| matches!(ignored, Ignore::Folder(path) if Path::new(path) == folder))
        {
            return Ok(());
        }
        let Inner { moves, durable, .. } = &mut *inner;
        moves.retain(|one| {
            let here = one.folder() == folder;
            if here {
                one.apply(durable);
            }
            !here
        });
        Ok(())
    }

    fn free(&self, _: &Path) -> io::Result<u64> {
        Ok(lock(&self.disk.inner).free)
    }
}

impl OpenFile for Handle {
    fn write_at(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        let mut inner = lock(&self.disk.inner);
        inner.alive(self.process)?;
        let mut fits = bytes.len().min(inner.free as usize);
        if inner.life == Some(1) {
            fits = inner.rng.random_range(0..=fits);
        }
        inner.free -= fits as u64;
        inner.changed(self.inode, Change::Write(at as usize, bytes[..fits].to_vec()));
        inner.change()?;
        if fits < bytes.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        let mut inner = lock(&self.disk.inner);
        inner.alive(self.process)?;
        inner.changed(self.inode, Change::Truncate(length as usize));
        inner.change()
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut inner = lock(&self.disk.inner);
        inner.alive(self.process)?;
        inner.change()?;
        inner.synced.insert(self.path.clone());
        let name = self.path.to_string_lossy();
        if inner.ignored.iter().any(|ignored| matches!(ignored, Ignore::File(end) if name.ends_with(end))) {
            return Ok(());
        }
        let fails = inner.sync_fails_in == Some(0);
        inner.sync_fails_in = if fails { None } else { inner.sync_fails_in.map(|left| left - 1) };
        let Inode { durable, changes, failed, .. } = &mut inner.inodes[self.inode];
        if fails {
            *failed = Some(self.process);
        }
        if *failed == Some(self.process) {
            // The page cache now believes that the bytes are on the disk. Lengths are in the journal, and wait there.
            changes.retain(|change| matches!(change, Change::Truncate(_)));
        }
        if fails {
            return Err(io::Error::other("the disk failed"));
        }
        let changes = std::mem::take(changes);
        changes.iter().for_each(|change| change.apply(durable));
        Ok(())
    }
}
