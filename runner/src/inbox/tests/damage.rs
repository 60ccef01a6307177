//! Torn ends, and damage that no crash explains: what is lost is counted, and nothing else is lost.

use super::*;

async fn list(files: &Arc<dyn Files>, end: &str) -> Vec<String> {
    let mut names = files.list(Path::new(FOLDER)).unwrap();
    names.retain(|name| name.ends_with(end));
    names.sort();
    names
}

#[tokio::test]
async fn a_tail_torn_at_any_byte_is_cut() {
    for group in [false, true] {
        let disk = TestDisk::new(1);
        let log = open(&disk, Options { low_disk: 0, ..Options::default() }).await;
        fill(&log, 5).await;
        let before = log.stats().bytes;
        if group {
            log.append_many(vec![text(6), text(7)]).await.unwrap();
        } else {
            log.append(text(6)).await.unwrap();
        }
        let after = log.stats().bytes;
        let path = segment_path(Path::new(FOLDER), 1);
        let whole = disk.process().read(&path, 0, after as usize).unwrap();
        for length in before..=after {
            for garbage in [0, 0xff] {
                let files = disk.process();
                let mut file = files.create(&path).unwrap();
                file.write_at(0, &whole[..length as usize]).unwrap();
                // What is missing may be a shorter file, or bytes that never came.
                if garbage == 0xff && length < after {
                    file.write_at(length, &vec![0; (after - length) as usize]).unwrap();
                }
                drop((file, files));
                let last = if length < after { 5 } else { 6 + u64::from(group) };
                for _ in 0..2 {
                    let log = open(&disk, Options { low_disk: 0, ..Options::default() }).await;
                    assert_eq!(read_all(&log, 1000).await, ((1..=last).collect(), 0), "cut at {length}");
                    assert_eq!((log.stats().damaged, log.stats().last), (0, last));
                }
                let log = open(&disk, Options { low_disk: 0, ..Options::default() }).await;
                fill(&log, 3).await;
                let log = open(&disk, Options { low_disk: 0, ..Options::default() }).await;
                assert_eq!(read_all(&log, 1000).await, ((1..=last + 3).collect(), 0));
            }
        }
    }
}

#[tokio::test]
async fn damage_costs_the_frames_it_is_in_and_no_others() {
    // Every third byte of the log's first segments, headers of frames and bodies alike.
    let disk = TestDisk::new(1);
    let log = open(&disk, small()).await;
    fill(&log, 40).await;
    assert!(log.stats().segments > 3);
    let length = disk.process().length(&segment_path(Path::new(FOLDER), 1)).unwrap();
    for at in (0..length).step_by(3) {
        let path = segment_path(Path::new(FOLDER), 1);
        disk.damage(&path, at as usize);
        for _ in 0..2 {
            let log = open(&disk, small()).await;
            for _ in 0..2 {
                let (seen, damaged) = read_all(&log, 200).await;
                assert_eq!(damaged, u64::from(at >= HEADER), "byte {at}");
                assert_eq!(seen.len() as u64 + damaged, 40);
                let stats = log.stats();
                assert_eq!((stats.damaged, stats.frames), (damaged, 40 - damaged));
                assert_eq!(stats.damaged_headers, u64::from(at < HEADER));
            }
            assert_eq!(list(&disk.process(), ".damaged").await.len() as u64, u64::from(at >= HEADER));
        }
        let files = disk.process();
        for name in list(&files, ".damaged").await {
            files.remove(&Path::new(FOLDER).join(name)).unwrap();
        }
        disk.damage(&path, at as usize);
    }
}

#[tokio::test]
async fn damage_in_the_last_segment_does_not_cut_what_was_kept_after_it() {
    let disk = TestDisk::new(1);
    let log = open(&disk, Options { low_disk: 0, ..Options::default() }).await;
    fill(&log, 10).await;
    disk.damage(&segment_path(Path::new(FOLDER), 1), HEADER as usize + OVERHEAD + 5);
    for _ in 0..2 {
        let log = open(&disk, Options { low_disk: 0, ..Options::default() }).await;
        assert_eq!(read_all(&log, 1000).await, ((2..=10).collect(), 1));
        assert_eq!(log.stats().damaged, 1);
    }
    // Found while it runs, at the very end, it leads nobody in circles.
    let log = open(&disk, Options { low_disk: 0, ..Options::default() }).await;
    let length = log.stats().bytes;
    disk.damage(&segment_path(Path::new(FOLDER), 1), length as usize - 1);
    let batch = log.read(10, 1000).await.unwrap();
    assert_eq!((batch.frames.len(), batch.damaged, batch.next), (0, 1, 11));
    fill(&log, 1).await;
    assert_eq!(read_all(&log, 1000).await, ((2..=9).chain([11]).collect(), 2));
}

#[tokio::test]
async fn a_frame_inside_a_body_is_never_taken_for_one() {
    let disk = TestDisk::new(1);
    let log = open(&disk, Options { low_disk: 0, ..Options::default() }).await;
    log.append("one").await.unwrap();
    let path = segment_path(Path::new(FOLDER), 1);
    let forged = {
        // Another log's frame with the number that would fit, as a sender could make it.
        let other = TestDisk::new(2);
        let log = open(&other, Options { low_disk: 0, ..Options::default() }).await;
        log.append_many(vec!["", "", "forged"]).await.unwrap();
        let files = other.process();
        files.read(&path, HEADER + 2 * OVERHEAD as u64, 1000).unwrap()
    };
    log.append(forged).await.unwrap();
    log.append("three").await.unwrap();
    // The length of the second frame: nothing says any more where it ends.
    disk.damage(&path, HEADER as usize + OVERHEAD + 3);
    let log = open(&disk, Options { low_disk: 0, ..Options::default() }).await;
    let bodies: Vec<Bytes> =
        log.read(1, 1000).await.unwrap().frames.into_iter().map(|frame| frame.body).collect();
    assert_eq!(bodies, ["one", "three"]);
}

#[tokio::test]
async fn a_lost_header_or_segment_stops_nothing() {
    let disk = TestDisk::new(1);
    let log = open(&disk, Options { low_disk: 0, ..Options::default() }).await;
    fill(&log, 5).await;
    // The only header: nothing can be proven any more, but no number is given twice.
    disk.damage(&segment_path(Path::new(FOLDER), 1), 13);
    for round in 0..2 {
        let log = open(&disk, small()).await;
        assert_eq!((log.committed(), log.stats().damaged_headers), (5, 0), "round {round}");
    }
    let log = open(&disk, small()).await;
    fill(&log, 40).await;
    drop(log);
    // A file that somebody took away.
    let files = disk.process();
    let gone: Vec<u64> =
        list(&files, ".log").await[1..3].iter().map(|name| name[..20].parse().unwrap()).collect();
    files.remove(&segment_path(Path::new(FOLDER), gone[0])).unwrap();
    let log = open(&disk, small()).await;
    let (seen, damaged) = read_all(&log, 300).await;
    assert_eq!(damaged, gone[1] - gone[0]);
    assert_eq!(seen.len() as u64, 40 - damaged);
}

#[tokio::test]
async fn a_segment_that_somebody_takes_away_is_counted_once() {
    let folder = tempfile::tempdir().unwrap();
    let log = Log::open(Arc::new(DiskFiles), folder.path(), small()).await.unwrap();
    fill(&log, 40).await;
    let mut names: Vec<u64> = std::fs::read_dir(folder.path())
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.strip_suffix(".log")?.parse().ok())
        .collect();
    names.sort_unstable();
    std::fs::remove_file(segment_path(folder.path(), names[1])).unwrap();
    for _ in 0..2 {
        let (seen, damaged) = read_all(&log, 300).await;
        assert_eq!((seen.len() as u64, damaged), (40 - (names[2] - names[1]), names[2] - names[1]));
        assert_eq!(log.stats().damaged, damaged);
    }
}
