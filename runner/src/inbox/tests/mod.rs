//! What a log does when nothing crashes.

mod crash;
mod damage;

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
    let entry =
        Entry { flags: 0xff, key: 513, head: Bytes::from_static(b"he"), body: Bytes::from_static(b"x") };
    assert_eq!(log.append_many(vec![entry.clone(), entry]).await, Ok(2));
    for frame in log.read(0, 100).await.unwrap().frames {
        assert_eq!((frame.flags, frame.key, &frame.body[..]), (0xf0, 513, &b"hex"[..]));
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_taken_away_under_a_reader_is_no_damage() {
    let disk = TestDisk::new(1);
    let keep = Keep { bytes: 2500, age: Duration::MAX };
    let log = Arc::new(open(&disk, Options { keep, ..small() }).await);
    fill(&log, 20).await;
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let log = Arc::clone(&log);
            tokio::spawn(async move {
                for _ in 0..1500 {
                    let batch = log.read(log.stats().first, 3000).await.unwrap();
                    assert_eq!(batch.damaged, 0);
                    batch.frames.iter().for_each(|frame| assert_eq!(frame.body, text(frame.seq)));
                }
            })
        })
        .collect();
    while !readers.iter().all(tokio::task::JoinHandle::is_finished) {
        fill(&log, 20).await;
        log.truncate_after(log.committed() - 12).await.unwrap();
        log.release(u64::MAX).await.unwrap();
    }
    for reader in readers {
        reader.await.unwrap();
    }
    assert_eq!((log.stats().damaged, log.stats().frames), (0, log.committed() + 1 - log.stats().first));
}

#[tokio::test]
async fn a_log_that_is_cut_or_released_in_the_middle_of_a_read_has_no_damage() {
    let keep = Keep { bytes: 0, age: Duration::MAX };
    let runtime = tokio::runtime::Handle::current();
    // Cut between looking a frame up and reading it.
    let disk = TestDisk::new(1);
    let log = Arc::new(open(&disk, Options { low_disk: 0, keep, ..Options::default() }).await);
    fill(&log, 20).await;
    let (cut, handle) = (Arc::clone(&log), runtime.clone());
    disk.before_read(move || assert_eq!(handle.block_on(cut.truncate_after(5)), Ok(5)));
    let batch = log.read(1, 10_000).await.unwrap();
    assert_eq!((batch.frames.len(), batch.damaged, batch.next), (5, 0, 6));
    // Cut and written anew between reading a frame and remembering where it was.
    fill(&log, 20).await;
    let (cut, handle) = (Arc::clone(&log), runtime.clone());
    disk.after_read(move || {
        handle.block_on(async {
            cut.truncate_after(2).await.unwrap();
            cut.append(vec![b'x'; 77]).await.unwrap();
            fill(&cut, 20).await;
        });
    });
    let next = log.read(1, 200).await.unwrap().next;
    assert!(next > 3);
    let batch = log.read(next, 10_000).await.unwrap();
    assert_eq!((batch.frames.first().map(|frame| frame.seq), batch.damaged), (Some(next), 0));
    // Released between looking a frame up and reading it.
    let disk = TestDisk::new(2);
    let log = Arc::new(open(&disk, Options { keep, ..small() }).await);
    fill(&log, 40).await;
    let released = Arc::clone(&log);
    disk.before_read(move || assert!(runtime.block_on(released.release(u64::MAX)).is_ok()));
    let batch = log.read(1, 10_000).await.unwrap();
    assert_eq!((batch.expired + batch.frames.len() as u64, batch.damaged, batch.next), (40, 0, 41));
    assert_eq!(log.stats().damaged, 0);
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
