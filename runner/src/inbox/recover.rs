//! Opening a log after whatever happened to it.
//!
//! Only the last segment can have a torn end, because a segment is complete and synced before the next is made. Its
//! frames are read; the first thing that is not whole, in the last commit, is where it is cut. Damage before the last
//! commit had been synced, so it is no torn write: it is set aside, and what follows it stays. Older segments are
//! looked into when somebody reads them.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    LogError, Result,
    files::Files,
    frame::{BEGINS, Claim, GOES_ON, HEADER, Header, OVERHEAD},
    reader::copy_aside,
    scan::{EIO, Hole, Scan, Step},
    state::{Segment, State, damaged_path, segment_path},
    writer::Active,
};

/// A log as it was found, made whole.
pub struct Recovered {
    /// Its random number.
    pub salt: u32,
    /// Its segments.
    pub state: State,
    /// The last one, to be appended to.
    pub active: Option<Active>,
}

/// Reads the folder, cuts a torn end, sets aside what is damaged, and makes all that last.
pub fn recover(files: &Arc<dyn Files>, folder: &Path) -> Result<Recovered> {
    ensure(&**files, folder)?;
    let mut found = look(&**files, folder)?;
    let salt = found.headers.iter().flatten().next().map(|header| header.salt);
    let salt = match salt {
        Some(salt) => salt,
        None => {
            set_all_aside(&**files, folder, &mut found)?;
            new_salt()?
        }
    };
    // Where only damaged frames are left, their numbers are not given again: consumers have stored positions.
    let least = found.damaged.iter().map(|(_, next)| *next).max().unwrap_or(1);
    let mut state = State::new(Default::default(), least);
    state.damaged = found.damaged.into_iter().collect();
    for (first, header) in found.firsts.iter().zip(&found.headers) {
        let path = segment_path(folder, *first);
        let length = files.length(&path).map_err(|error| LogError::io("look at", &path, &error))?;
        state.damaged_headers += u64::from(header.is_none());
        state.segments.push_back(Segment::new(*first, length, header.map(|header| header.made)));
    }
    let active = match state.segments.pop_back() {
        Some(last) => Some(mend_last(files, folder, salt, &mut state, last)?),
        None => None,
    };
    files.sync_folder(folder).map_err(|error| LogError::io("sync", folder, &error))?;
    Ok(Recovered { salt, state, active })
}

/// What is in the folder.
struct Found {
    /// The segments' first sequence numbers, in order.
    firsts: Vec<u64>,
    /// Their headers, where they can be read.
    headers: Vec<Option<Header>>,
    /// Frames known to be damaged: the first, and the next that is there.
    damaged: Vec<(u64, u64)>,
}

/// Makes the folder, and those above it, last.
fn ensure(files: &dyn Files, folder: &Path) -> Result<()> {
    make(files, folder)?;
    // Also where the folder was there: who made it may have died before it was synced.
    let mut above = folder.ancestors().skip(1);
    let nearest = above.next().unwrap_or(Path::new(""));
    files.sync_folder(nearest).map_err(|error| LogError::io("sync", nearest, &error))?;
    // Those further up are ours only if we made them; others may not even be open to us.
    above.for_each(|folder| drop(files.sync_folder(folder)));
    Ok(())
}

fn make(files: &dyn Files, folder: &Path) -> Result<()> {
    let above = folder.parent().filter(|above| !above.as_os_str().is_empty());
    let made = match (files.create_folder(folder), above) {
        (Err(error), Some(above)) if error.kind() == io::ErrorKind::NotFound => {
            make(files, above)?;
            files.create_folder(folder)
        }
        (made, _) => made,
    };
    made.map_err(|error| LogError::io("make", folder, &error))
}

fn look(files: &dyn Files, folder: &Path) -> Result<Found> {
    let mut found = Found { firsts: Vec::new(), headers: Vec::new(), damaged: Vec::new() };
    for name in files.list(folder).map_err(|error| LogError::io("list", folder, &error))? {
        if let Some(first) = name.strip_suffix(".log").and_then(number) {
            found.firsts.push(first);
        } else if let Some(range) = name.strip_suffix(".damaged").and_then(|range| range.split_once('-')) {
            if let (Some(first), Some(last)) = (number(range.0), number(range.1)) {
                found.damaged.push((first, last.saturating_add(1)));
            }
        } else if name.ends_with(".new") && name.split('.').next().and_then(number).is_some() {
            let path = folder.join(&name);
            files.remove(&path).map_err(|error| LogError::io("remove", &path, &error))?;
        }
    }
    found.firsts.sort_unstable();
    for first in &found.firsts {
        let path = segment_path(folder, *first);
        let bytes = match files.read(&path, 0, HEADER as usize) {
            Err(error) if error.raw_os_error() == Some(EIO) => Vec::new(),
            read => read.map_err(|error| LogError::io("read", &path, &error))?,
        };
        let header = Header::parse(&bytes).filter(|header| header.first == *first);
        if header.is_none() {
            tracing::error!(segment = %path.display(), "the header is damaged");
        }
        found.headers.push(header);
    }
    Ok(found)
}

fn number(name: &str) -> Option<u64> {
    (name.len() == 20 && name.bytes().all(|byte| byte.is_ascii_digit())).then(|| name.parse().ok()).flatten()
}

/// No header can be read, so no frame can be proven: all segments are set aside.
fn set_all_aside(files: &dyn Files, folder: &Path, found: &mut Found) -> Result<()> {
    found.headers.clear();
    let firsts = std::mem::take(&mut found.firsts);
    for (index, first) in firsts.iter().enumerate() {
        let path = segment_path(folder, *first);
        let next = match firsts.get(index + 1) {
            Some(after) => *after,
            None => last_claim(files, &path, *first).map_err(|error| LogError::io("read", &path, &error))?,
        };
        let aside = damaged_path(folder, *first, next);
        files.rename(&path, &aside).map_err(|error| LogError::io("rename", &path, &error))?;
        found.damaged.push((*first, next));
    }
    Ok(())
}

/// The sequence number that would follow the frames of a segment, by their own word.
fn last_claim(files: &dyn Files, path: &Path, first: u64) -> io::Result<u64> {
    let (mut at, mut next) = (HEADER, first);
    loop {
        match Claim::parse(&files.read(path, at, OVERHEAD)?) {
            Some(claim) if claim.seq == next => {
                at += claim.total as u64;
                next += 1;
            }
            _ => return Ok(next),
        }
    }
}

/// Reads the last segment, cuts its torn end, and makes the rest last.
fn mend_last(
    files: &Arc<dyn Files>,
    folder: &Path,
    salt: u32,
    state: &mut State,
    mut last: Segment,
) -> Result<Active> {
    let path = segment_path(folder, last.first);
    let tail = read_tail(files, path.clone(), salt, &mut last)
        .map_err(|error| LogError::io("read", &path, &error))?;
    for hole in &tail.holes {
        if state.note_hole(hole) {
            tracing::error!(segment = %path.display(), first = hole.first, next = hole.next, "frames are damaged");
            if let Err(error) =
                copy_aside(&**files, &path, &damaged_path(folder, hole.first, hole.next), hole)
            {
                tracing::warn!(segment = %path.display(), %error, "damaged bytes could not be copied aside");
            }
        }
    }
    let mut file = files.open(&path).map_err(|error| LogError::io("open", &path, &error))?;
    let mut mend = || -> io::Result<()> {
        if last.length > tail.end {
            tracing::warn!(segment = %path.display(), bytes = last.length - tail.end, "a torn end is cut off");
            file.truncate(tail.end)?;
        } else if last.length < tail.end {
            // Even the header is not all there. Its place stays: nothing else is where frames are.
            file.write_at(
                0,
                &Header { salt, first: last.first, made: last.made.unwrap_or_default() }.encode(),
            )?;
        }
        // Frames may be here that a process wrote and never synced. Readers will see them now, so they must stay.
        file.sync()
    };
    mend().map_err(|error| LogError::io("mend", &path, &error))?;
    last.length = tail.end;
    last.index.split_off(&tail.next);
    state.next = tail.next;
    state.segments.push_back(last);
    Ok(Active { file, length: tail.end })
}

/// The end of the last segment.
struct Tail {
    /// Where it ends.
    end: u64,
    /// The next sequence number.
    next: u64,
    /// Damage before its last commit.
    holes: Vec<Hole>,
}

fn read_tail(files: &Arc<dyn Files>, path: PathBuf, salt: u32, last: &mut Segment) -> io::Result<Tail> {
    let mut tail = Tail { end: HEADER, next: last.first, holes: Vec::new() };
    // So many holes lie before a commit that began after them: they are damage. Any later one is a torn write.
    let mut settled = 0;
    let mut scan = Scan::new(files, path, salt, HEADER, last.first, last.length, u64::MAX);
    loop {
        match scan.step()? {
            Step::Frame { frame, flags, at, end } => {
                if flags & BEGINS != 0 {
                    settled = tail.holes.len();
                }
                if settled == tail.holes.len() {
                    last.note(frame.seq, at);
                    // Frames that belong together stay together.
                    if flags & GOES_ON == 0 {
                        (tail.end, tail.next) = (end, frame.seq + 1);
                    }
                }
            }
            Step::Hole(hole) => tail.holes.push(hole),
            Step::End => break,
        }
    }
    tail.holes.truncate(settled);
    Ok(tail)
}

fn new_salt() -> Result<u32> {
    let mut bytes = [0; 4];
    getrandom::fill(&mut bytes)
        .map_err(|error| LogError::Io(format!("no random number can be had: {error}")))?;
    Ok(u32::from_le_bytes(bytes))
}
