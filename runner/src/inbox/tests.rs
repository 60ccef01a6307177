//! What a log does when nothing crashes, and with damage that no crash explains.

use std::{path::Path, sync::Arc, time::Duration};

use bytes::Bytes;

use super::{
    Entry, Files, Inbox, Keep, Log, LogError, Options,
    files::DiskFiles,
    frame::{HEADER, OVERHEAD},
    state::segment_path,
    testdisk::TestDisk,
};

const FOLDER: &str = "inbox";

fn small() -> Options {
    Options { segment: 1000, low_disk: 0, ..Options::default() }
}

fn text(number: u64) -> Bytes {
    format!("delivery {number:06} ").repeat(1 + number as usize % 7).into()
}

async fn open(disk: &Arc<TestDisk>, options: Options) -> Log {
    Log::open(disk.process(), FOLDER, options).await.unwrap()
}

async fn fill(log: &Log, count: u64) {
    for number in log.committed() + 1..=log.committed() + count {
        assert_eq!(log.append(text(number)).await.unwrap(), number);
    }
}

/// All frames' numbers, how many were damaged, after checking that each body is its own.
async fn read_all(log: &Log, max_bytes: usize) -> (Vec<u64>, u64) {
    let (mut seen, mut damaged, mut next) = (Vec::new(), 0, 1);
    while next <= log.committed() {
        let batch = log.read(next, max_bytes).await.unwrap();
        assert!(batch.next > next, "reading always gets on");
        for frame in &batch.frames {
            assert_eq!(frame.body, text(frame.seq));
            seen.push(frame.seq);
        }
        damaged += batch.damaged;
        next = batch.next;
    }
    (seen, damaged)
}

async fn list(files: &Arc<dyn Files>, end: &str) -> Vec<String> {
    let mut names = files.list(Path::new(FOLDER)).unwrap();
    names.retain(|name| name.ends_with(end));
    names.sort();
    names
}

#[tokio::test]
async fn on_a_real_disk_frames_come_back_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a/b/inbox");
    for round in 0..3u64 {
        let options = Options { segment: 500, low_disk: 1, ..Options::default() };
        let log = Log::open(Arc::new(DiskFiles), &path, options).await.unwrap();
        assert_eq!(log.committed(), round * 30);
        fill(&log, 30).await;
        assert_eq!(read_all(&log, 100).await, ((1..=(round + 1) * 30).collect(), 0));
        let stats = log.stats();
        assert_eq!((stats.frames, stats.first, stats.last), ((round + 1) * 30, 1, (round + 1) * 30));
        let on_disk: u64 =
            std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum();
        assert_eq!(stats.bytes, on_disk);
        log.close().await;
        assert_eq!(log.append("late").await, Err(LogError::Closed));
        assert_eq!(log.wait_beyond(1000).await, Err(LogError::Closed));
    }
    assert!(path.join("00000000000000000001.log").exists());
}

#[tokio::test]
async fn flags_and_keys_are_kept_and_the_logs_own_flags_are_hidden() {
    let disk = TestDisk::new(1);
    let log = open(&disk, small()).await;
    let entry = Entry { flags: 0xff, key: 513, body: Bytes::from_static(b"x") };
    assert_eq!(log.append_many(vec![entry.clone(), entry]).await, Ok(2));
    for frame in log.read(0, 100).await.unwrap().frames {
        assert_eq!((frame.flags, frame.key, &frame.body[..]), (0xf0, 513, &b"x"[..]));
    }
    assert_eq!(log.append_many(Vec::<Bytes>::new()).await, Ok(2));
    assert_eq!(log.append("").await, Ok(3));
}

#[tokio::test]
async fn readers_begin_anywhere_and_take_what_they_want() {
    let disk = TestDisk::new(1);
    let log = open(&disk, small()).await;
    assert_eq!(log.read(1, 100).await.unwrap().next, 1);
    fill(&log, 100).await;
    for from in 1..=100 {
        let batch = log.read(from, 1).await.unwrap();
        assert_eq!(batch.frames.iter().map(|frame| frame.seq).collect::<Vec<_>>(), [from]);
        let all = log.read(from, usize::MAX).await.unwrap();
        assert_eq!((all.frames.len() as u64, all.next), (101 - from, 101));
    }
    assert!(log.read(101, 100).await.unwrap().frames.is_empty());
    assert!(log.read(u64::MAX, 100).await.unwrap().frames.is_empty());
}

#[tokio::test]
async fn who_waits_is_told() {
    let disk = TestDisk::new(1);
    let log: Arc<dyn Inbox> = Arc::new(open(&disk, small()).await);
    let reader = tokio::spawn({
        let log = Arc::clone(&log);
        async move { log.wait_beyond(1).await }
    });
    log.put("one".into()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!(!reader.is_finished());
    log.put_all(vec!["two".into(), "three".into()]).await.unwrap();
    assert_eq!(reader.await.unwrap(), Ok(3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_writers_share_syncs_and_every_number_is_given_once() {
    let disk = TestDisk::new(1);
    let log = Arc::new(open(&disk, Options { low_disk: 0, ..Options::default() }).await);
    let writers: Vec<_> = (0..50)
        .map(|_| {
            let log = Arc::clone(&log);
            tokio::spawn(async move {
                let mut given = Vec::new();
                for _ in 0..20 {
                    given.push(log.append("x").await.unwrap());
                }
                given
            })
        })
        .collect();
    let mut given = Vec::new();
    for writer in writers {
        given.extend(writer.await.unwrap());
    }
    given.sort_unstable();
    assert_eq!(given, (1..=1000).collect::<Vec<_>>());
    assert!(disk.changes() < 1000, "{} changes for 1000 frames: no commit was shared", disk.changes());
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

#[tokio::test]
async fn released_segments_go_when_nobody_needs_them() {
    let disk = TestDisk::new(1);
    let keep = Keep { bytes: 0, age: Duration::MAX };
    let log = open(&disk, Options { keep, ..small() }).await;
    fill(&log, 60).await;
    log.pin("normaliser", 20);
    log.pin("warehouse", 40);
    assert_eq!(log.release(5).await.unwrap(), 1);
    let first = log.release(u64::MAX).await.unwrap();
    assert!((2..=20).contains(&first), "{first}");
    log.unpin("normaliser");
    let second = log.release(u64::MAX).await.unwrap();
    assert!(second > first && second <= 40);
    let batch = log.read(1, 1).await.unwrap();
    assert_eq!((batch.expired, batch.frames[0].seq), (second - 1, second));
    log.unpin("warehouse");
    let third = log.release(u64::MAX).await.unwrap();
    assert_eq!(log.stats().segments, 1);
    let log = open(&disk, Options { keep, ..small() }).await;
    assert_eq!((log.stats().first, log.committed()), (third, 60));
    fill(&log, 1).await;
}

#[tokio::test]
async fn what_is_released_stays_within_the_limits() {
    let disk = TestDisk::new(1);
    let log = open(&disk, small()).await;
    fill(&log, 60).await;
    assert_eq!(log.release(u64::MAX).await.unwrap(), 1, "kept for ever by default");
    let keep = Keep { bytes: 2500, age: Duration::from_secs(3600) };
    let log = open(&disk, Options { keep, ..small() }).await;
    let within = log.oldest_within(&keep);
    assert_eq!(log.release(u64::MAX).await.unwrap(), within);
    assert!((1000..=2500).contains(&log.stats().bytes));
    let keep = Keep { bytes: u64::MAX, age: Duration::ZERO };
    let log = open(&disk, Options { keep, ..small() }).await;
    log.release(u64::MAX).await.unwrap();
    assert_eq!(log.stats().segments, 1);
}

#[tokio::test]
async fn a_cut_log_goes_on_where_it_was_cut() {
    for after in 0..=62 {
        let disk = TestDisk::new(after);
        let log = open(&disk, small()).await;
        fill(&log, 60).await;
        read_all(&log, 100).await;
        assert_eq!(log.truncate_after(after).await.unwrap(), after.min(60));
        assert_eq!(log.committed(), after.min(60));
        assert_eq!(read_all(&log, 100).await.0, (1..=after.min(60)).collect::<Vec<_>>());
        fill(&log, 30).await;
        let log = open(&disk, small()).await;
        assert_eq!(read_all(&log, 100).await, ((1..=after.min(60) + 30).collect(), 0));
    }
}

#[tokio::test]
async fn what_belongs_together_is_cut_together() {
    let disk = TestDisk::new(1);
    let log = open(&disk, small()).await;
    fill(&log, 2).await;
    log.append_many((3..=6).map(text).collect()).await.unwrap();
    fill(&log, 2).await;
    assert_eq!(log.truncate_after(6).await, Ok(6));
    assert_eq!(log.truncate_after(4).await, Ok(2));
    let log = open(&disk, small()).await;
    assert_eq!(read_all(&log, 100).await, (vec![1, 2], 0));
    fill(&log, 1).await;
}

#[tokio::test]
async fn a_full_or_nearly_full_disk_is_said_and_passes() {
    let disk = TestDisk::new(1);
    let log = open(&disk, Options { low_disk: 10_000, segment: 1000, ..Options::default() }).await;
    fill(&log, 10).await;
    disk.set_free(10_010);
    assert_eq!(log.append(text(11)).await, Err(LogError::DiskFull));
    disk.set_free(100_000);
    fill(&log, 10).await;
    // Without the watermark the disk fills in the middle of a write, or while a segment is made.
    let log = open(&disk, Options { low_disk: 0, segment: 1000, ..Options::default() }).await;
    for free in 0..200 {
        disk.set_free(free);
        let big = Bytes::from(vec![b'x'; 400]);
        assert_eq!(log.append(big).await, Err(LogError::DiskFull));
        disk.set_free(100_000);
        fill(&log, 2).await;
    }
    assert_eq!(read_all(&log, 1000).await, ((1..=420).collect(), 0));
    let log = open(&disk, small()).await;
    assert_eq!(read_all(&log, 1000).await, ((1..=420).collect(), 0));
}

#[tokio::test]
async fn after_a_failed_sync_the_file_is_left_alone() {
    for after in 0..30 {
        let disk = TestDisk::new(after);
        let log = open(&disk, small()).await;
        fill(&log, 3).await;
        disk.fail_sync(after);
        let mut failed = 0;
        for _ in 0..40 {
            let number = log.committed() + 1;
            match log.append(text(number)).await {
                Ok(seq) => assert_eq!(seq, number),
                Err(LogError::Io(_)) => failed += 1,
                Err(other) => panic!("{other}"),
            }
        }
        assert_eq!(failed, 1);
        assert_eq!(read_all(&log, 1000).await, ((1..=42).collect(), 0));
        disk.power_off();
        let log = open(&disk, small()).await;
        assert_eq!(read_all(&log, 1000).await, ((1..=42).collect(), 0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_much_is_refused_before_memory_grows() {
    let disk = TestDisk::new(1);
    let options = Options { low_disk: 0, max_frame: 1000, waiting: 3000, ..Options::default() };
    let log = Arc::new(open(&disk, options).await);
    let body = Bytes::from(vec![0; 1000]);
    assert_eq!(log.append(vec![0; 1001]).await, Err(LogError::TooLarge { bytes: 1001, limit: 1000 }));
    let three = vec![body.clone(), body.clone(), body.clone()];
    assert!(matches!(log.append_many(three).await, Err(LogError::TooLarge { .. })));
    let answers = futures::future::join_all((0..200).map(|_| log.append(body.clone()))).await;
    let kept = answers.iter().filter(|answer| answer.is_ok()).count() as u64;
    assert!(
        answers.iter().flat_map(|answer| answer.as_ref().err()).all(|error| *error == LogError::Overloaded)
    );
    assert!((2..200).contains(&kept));
    assert_eq!(log.committed(), kept);
    assert_eq!(log.stats().waiting, 0);
    log.append(body).await.unwrap();
}
