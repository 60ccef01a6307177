use std::time::Duration;

use async_trait::async_trait;
use headwater_core::event::Delivery;
use http::Method;

use super::*;
use crate::inbox::{Batch, DeliveryKind, DiskFiles, Entry, Log, Options, Stats};

/// A log at which the first delivery takes long to get its place.
struct Slow(Log, AtomicU64);

#[async_trait]
impl Inbox for Slow {
    async fn put(&self, delivery: Entry) -> Result<u64, LogError> {
        if self.1.fetch_add(1, Ordering::SeqCst) == 0 {
            std::thread::sleep(Duration::from_millis(200));
        }
        self.0.append(delivery).await
    }
    async fn put_all(&self, deliveries: Vec<Bytes>) -> Result<u64, LogError> {
        self.0.append_many(deliveries).await
    }
    async fn read(&self, from: u64, max_bytes: usize) -> Result<Batch, LogError> {
        self.0.read(from, max_bytes).await
    }
    async fn wait_beyond(&self, seq: u64) -> Result<u64, LogError> {
        self.0.wait_beyond(seq).await
    }
    fn committed(&self) -> u64 {
        self.0.committed()
    }
    fn pin(&self, consumer: &str, next: u64) {
        self.0.pin(consumer, next);
    }
    fn unpin(&self, consumer: &str) {
        self.0.unpin(consumer);
    }
    async fn release(&self, up_to: u64) -> Result<u64, LogError> {
        self.0.release(up_to).await
    }
    fn stats(&self) -> Stats {
        self.0.stats()
    }
}

fn delivery(body: &'static str) -> StoredDelivery {
    StoredDelivery {
        source: "site".into(),
        connector: None,
        surface: "batch".into(),
        kind: DeliveryKind::Tracking,
        verified: "write key".into(),
        delivery: Delivery {
            received_at: Timestamp::UNIX_EPOCH,
            method: Method::POST,
            path_tail: String::new(),
            query: String::new(),
            headers: HeaderMap::new(),
            body: Bytes::from_static(body.as_bytes()),
            url: String::new(),
            lookups: Vec::new(),
        },
    }
}

/// Whoever is stamped first is first in the inbox, also if another comes between the stamp and the place, and whoever is waited for
/// first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn times_of_receipt_have_the_inboxs_order() {
    let folder = tempfile::tempdir().unwrap();
    let open = |name: &str| Log::open(Arc::new(DiskFiles), folder.path().join(name), Options::default());
    let inbox = Arc::new(Slow(open("inbox").await.unwrap(), AtomicU64::new(0)));
    let quarantine = Arc::new(open("quarantine").await.unwrap());
    let receiver = Arc::new(Receiver::new(inbox.clone(), quarantine, Receive::default()));
    let first = receiver.clone();
    let first = std::thread::spawn(move || {
        let mut one = delivery("first");
        drop(first.put(&mut one));
    });
    // The first one has been stamped and is not in its place yet.
    while inbox.1.load(Ordering::SeqCst) == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let (mut two, mut three) = (delivery("second"), delivery("third"));
    let (second, third) = (receiver.put(&mut two), receiver.put(&mut three));
    third.await.unwrap();
    second.await.unwrap();
    first.join().unwrap();
    let frames = inbox.read(1, 1 << 20).await.unwrap().frames;
    let kept: Vec<StoredDelivery> =
        frames.iter().map(|frame| StoredDelivery::decode(&frame.body).unwrap()).collect();
    let bodies: Vec<&[u8]> = kept.iter().map(|kept| kept.delivery.body.as_ref()).collect();
    assert_eq!(bodies, [b"first".as_slice(), b"second", b"third"]);
    let times: Vec<Timestamp> = kept.iter().map(|kept| kept.delivery.received_at).collect();
    assert!(times.is_sorted(), "{times:?}");
}
