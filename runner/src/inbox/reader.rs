//! Reading what is committed, over holes: each is counted and its bytes are copied aside, once, and the reader goes
//! on behind it.

use std::io;

use super::{
    Batch, LogError, Result,
    frame::OVERHEAD,
    scan::{Hole, Scan, Step},
    state::{Place, Shared, damaged_path, lock},
};

/// Reads on from a sequence number. Blocks.
pub fn read(shared: &Shared, from: u64, max_bytes: usize) -> Result<Batch> {
    let mut batch = Batch { next: from.max(1), ..Batch::default() };
    let mut taken = 0;
    while taken < max_bytes.max(1) {
        let (place, first) = {
            let state = lock(&shared.state);
            (state.locate(batch.next), state.first())
        };
        let Some(place) = place else { break };
        batch.expired += first.saturating_sub(batch.next);
        batch.next = batch.next.max(first);
        taken += segment(shared, &place, max_bytes.max(1) - taken, &mut batch)?;
    }
    Ok(batch)
}

/// Reads one segment, to its end or so many bytes.
fn segment(shared: &Shared, place: &Place, max_bytes: usize, batch: &mut Batch) -> Result<usize> {
    let path = shared.path(place.segment);
    let mut scan =
        Scan::new(&shared.files, path.clone(), shared.salt, place.at, place.seq, place.end, place.limit)
            .chunk(max_bytes.saturating_add(OVERHEAD));
    let mut taken = 0;
    let mut marks = Vec::new();
    while taken < max_bytes && batch.next < place.limit {
        match scan.step() {
            Ok(Step::Frame { frame, at, end, .. }) => {
                marks.push((frame.seq, at));
                if frame.seq >= batch.next {
                    taken += (end - at) as usize;
                    batch.next = frame.seq + 1;
                    batch.frames.push(frame);
                }
            }
            Ok(Step::Hole(hole)) => {
                if !is_damage(shared, place, &hole) {
                    return Ok(taken);
                }
                batch.damaged += hole.next.saturating_sub(hole.first.max(batch.next));
                batch.next = batch.next.max(hole.next);
            }
            Ok(Step::End) => break,
            Err(error) => {
                if lock(&shared.state).epoch != place.epoch {
                    return Ok(taken);
                }
                if error.kind() != io::ErrorKind::NotFound {
                    return Err(LogError::io("read", &path, &error));
                }
                // Somebody took the file away: nothing of it will ever be read.
                let hole = Hole { first: batch.next, next: place.limit, from: place.end, to: place.end };
                if !is_damage(shared, place, &hole) {
                    return Ok(taken);
                }
                batch.damaged += hole.next - hole.first;
                batch.next = hole.next;
            }
        }
    }
    lock(&shared.state).passed(place, &marks, batch.next, scan.offset());
    Ok(taken)
}

/// Counts a hole and keeps its bytes, the first time it is met. False if it is none: the log was cut meanwhile.
fn is_damage(shared: &Shared, place: &Place, hole: &Hole) -> bool {
    let new = {
        let mut state = lock(&shared.state);
        if state.epoch != place.epoch {
            return false;
        }
        state.note_hole(hole)
    };
    if new {
        set_aside(shared, place.segment, hole);
    }
    true
}

fn set_aside(shared: &Shared, segment: u64, hole: &Hole) {
    let path = shared.path(segment);
    tracing::error!(segment = %path.display(), first = hole.first, next = hole.next, "frames are damaged");
    if let Err(error) =
        copy_aside(&*shared.files, &path, &damaged_path(&shared.folder, hole.first, hole.next), hole)
    {
        tracing::warn!(segment = %path.display(), %error, "damaged bytes could not be copied aside");
    }
}

/// Copies the bytes of a hole into a file of their own, for a person to look at; the segment stays as it is.
pub fn copy_aside(
    files: &dyn super::Files,
    segment: &std::path::Path,
    aside: &std::path::Path,
    hole: &Hole,
) -> io::Result<()> {
    let mut out = files.create(aside)?;
    let mut at = hole.from;
    while at < hole.to {
        let bytes = files.read(segment, at, (hole.to - at).min(1 << 20) as usize)?;
        if bytes.is_empty() {
            break;
        }
        out.write_at(at - hole.from, &bytes)?;
        at += bytes.len() as u64;
    }
    Ok(())
}
