//! Removing the end of a log, the newest first, so that a crash on the way leaves a log that is merely longer.

use std::io;

use super::{
    LogError, Result,
    frame::{GOES_ON, HEADER},
    scan::{Scan, Step},
    state::{Place, Shared, damaged_path, lock},
    writer::{Active, Writer},
};

impl Writer {
    /// Removes everything after `after`, and returns the last sequence number that is left.
    pub fn truncate_after(&mut self, after: u64) -> Result<u64> {
        let shared = self.shared.clone();
        let _alone = lock(&shared.maintenance);
        let (place, last) = {
            let state = lock(&shared.state);
            (state.locate(after.saturating_add(1)), state.next - 1)
        };
        let Some(place) = place else { return Ok(last) };
        let path = shared.path(place.segment);
        let wanted = after.saturating_add(1).max(place.segment);
        let (cut, target) =
            boundary(&shared, &place, wanted).map_err(|error| LogError::io("read", &path, &error))?;
        self.active = None;
        self.remove_behind(&shared, place.segment)?;
        hide(&shared, target, cut);
        let mut file = shared.files.open(&path).map_err(|error| LogError::io("open", &path, &error))?;
        let done = file.truncate(cut).and_then(|()| file.sync());
        let mut state = lock(&shared.state);
        if let Err(error) = done {
            state.distrust_last();
            return Err(LogError::io("cut", &path, &error));
        }
        // Without an active segment the next append begins one.
        if state.segments.back().is_some_and(|last| !last.distrusted) {
            self.active = Some(Active { file, length: cut });
        }
        Ok(target - 1)
    }

    fn remove_behind(&self, shared: &Shared, keep: u64) -> Result<()> {
        loop {
            let last = lock(&shared.state).segments.back().map(|segment| segment.first);
            let Some(first) = last.filter(|first| *first > keep) else { return Ok(()) };
            let path = shared.path(first);
            {
                let mut state = lock(&shared.state);
                state.segments.pop_back();
                state.next = first;
                state.changed();
            }
            shared.committed.send_modify(|committed| committed.seq = first - 1);
            shared.files.remove(&path).map_err(|error| LogError::io("remove", &path, &error))?;
            shared
                .files
                .sync_folder(&shared.folder)
                .map_err(|error| LogError::io("sync", &shared.folder, &error))?;
        }
    }
}

/// Makes the log end before `target`, for its readers.
fn hide(shared: &Shared, target: u64, cut: u64) {
    let holes = {
        let mut state = lock(&shared.state);
        state.next = target;
        if let Some(segment) = state.segments.back_mut() {
            segment.length = cut;
            segment.index.split_off(&target);
        }
        state.changed();
        state.damaged.split_off(&target)
    };
    shared.committed.send_modify(|committed| committed.seq = target - 1);
    for (first, next) in holes {
        let _not_copied = shared.files.remove(&damaged_path(&shared.folder, first, next));
    }
}

/// Where to cut so that `target` and what follows is gone: the offset, and the sequence number that will be the next.
/// Frames that belong together go together.
fn boundary(shared: &Shared, place: &Place, target: u64) -> io::Result<(u64, u64)> {
    let path = shared.path(place.segment);
    let mut best = (HEADER, place.segment);
    let mut scan = Scan::new(&shared.files, path, shared.salt, HEADER, place.segment, place.end, target);
    loop {
        match scan.step()? {
            Step::Frame { frame, flags, end, .. } if flags & GOES_ON == 0 => best = (end, frame.seq + 1),
            Step::Frame { .. } => {}
            // Up to the end: then nothing is known of what lies before, and the numbers go on.
            Step::Hole(hole) if hole.next >= target => return Ok((hole.from, target)),
            Step::Hole(hole) => best = (hole.to, hole.next),
            Step::End => return Ok(best),
        }
    }
}
