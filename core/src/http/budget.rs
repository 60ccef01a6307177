//! One budget for the bytes of all answers, so that memory does not grow with the number of readers.
//!
//! Whoever is about to read takes a [`Share`] first, and waits while there is no room; an answer that turns out larger
//! than its share takes the rest without waiting, so nobody stands still with half an answer. The share goes with the
//! bytes and comes back when the last slice of them is dropped: when the page has been loaded. Readers that hold a page
//! may wait for each other's room; so whoever has waited while nothing at all came back goes on without, one at a time.

use std::{
    fmt,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use tokio::{sync::Semaphore, time::timeout};

use super::pace::lock;

/// What all clients of a process may hold together, unless told otherwise.
const USUAL: usize = 256 << 20;

/// How long nothing may come back before a reader goes on without room.
const PATIENCE: Duration = Duration::from_secs(5);

/// How many bytes of answers may be held at once.
pub struct Budget {
    /// In KiB, as all of this.
    room: Semaphore,
    total: u64,
    /// What was taken without room: what comes back pays it off first.
    debt: Mutex<u64>,
    /// How often anything has come back, or was taken without room.
    moved: AtomicU64,
    patience: Duration,
}

/// A part of a budget. It comes back when this is dropped.
pub struct Share {
    budget: Arc<Budget>,
    kib: u64,
}

impl Budget {
    /// A budget of so many bytes.
    pub fn new(bytes: usize) -> Arc<Self> {
        Self::patient(bytes, PATIENCE)
    }

    /// The same; a reader goes on without room when nothing has come back for so long.
    pub fn patient(bytes: usize, patience: Duration) -> Arc<Self> {
        let total = kib(bytes).clamp(1, u64::from(u32::MAX >> 4));
        Arc::new(Self {
            room: Semaphore::new(total as usize),
            total,
            debt: Mutex::default(),
            moved: AtomicU64::default(),
            patience,
        })
    }

    /// The budget of this process: 256 MiB.
    pub fn shared() -> Arc<Self> {
        static SHARED: OnceLock<Arc<Budget>> = OnceLock::new();
        Arc::clone(SHARED.get_or_init(|| Self::new(USUAL)))
    }

    /// How many bytes are held.
    pub fn held(&self) -> u64 {
        let left = self.room.available_permits() as u64;
        (self.total.saturating_sub(left) + *lock(&self.debt)) << 10
    }

    /// Waits for room for so many bytes.
    pub async fn share(self: &Arc<Self>, bytes: usize) -> Share {
        let kib = kib(bytes).min(self.total);
        let room = self.room.acquire_many(kib as u32);
        tokio::pin!(room);
        let mut moved = self.moved.load(Ordering::SeqCst);
        loop {
            match timeout(self.patience, &mut room).await {
                Ok(Ok(permit)) => {
                    permit.forget();
                    break;
                }
                // Nobody closes it.
                Ok(Err(_)) => break *lock(&self.debt) += kib,
                Err(_) => {
                    match self.moved.compare_exchange(moved, moved + 1, Ordering::SeqCst, Ordering::SeqCst) {
                        Ok(_) => {
                            tracing::warn!(
                                kib,
                                "the budget for answers is spent and nothing comes back: reading on"
                            );
                            break *lock(&self.debt) += kib;
                        }
                        Err(now) => moved = now,
                    }
                }
            }
        }
        Share { budget: Arc::clone(self), kib }
    }

    fn take(&self, kib: u64) {
        let now = kib.min(self.room.available_permits() as u64);
        let taken = self.room.try_acquire_many(now as u32).map(|permit| permit.forget()).map_or(0, |()| now);
        *lock(&self.debt) += kib - taken;
    }

    fn give_back(&self, kib: u64) {
        let mut debt = lock(&self.debt);
        let paid = kib.min(*debt);
        *debt -= paid;
        self.room.add_permits((kib - paid) as usize);
        self.moved.fetch_add(1, Ordering::SeqCst);
    }
}

impl Share {
    /// Nothing yet.
    pub fn none(budget: &Arc<Budget>) -> Self {
        Self { budget: Arc::clone(budget), kib: 0 }
    }

    /// It is now so large; nobody waits for more.
    pub fn resize(&mut self, bytes: usize) {
        let kib = kib(bytes);
        if kib > self.kib {
            self.budget.take(kib - self.kib);
        } else if kib < self.kib {
            self.budget.give_back(self.kib - kib);
        }
        self.kib = kib;
    }

    /// It is at least so large.
    pub fn grow(&mut self, bytes: usize) {
        if kib(bytes) > self.kib {
            self.resize(bytes);
        }
    }

    /// Goes with these bytes, and comes back with the last slice of them.
    pub fn hold(mut self, bytes: Bytes) -> Bytes {
        self.resize(bytes.len());
        match bytes.is_empty() {
            true => bytes,
            false => Bytes::from_owner(Held { bytes, _share: self }),
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if self.kib > 0 {
            self.budget.give_back(self.kib);
        }
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Budget({} of {} KiB)", self.held() >> 10, self.total)
    }
}

struct Held {
    bytes: Bytes,
    _share: Share,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

fn kib(bytes: usize) -> u64 {
    bytes.div_ceil(1024) as u64
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[tokio::test]
    async fn a_share_comes_back_with_the_last_slice() {
        let budget = Budget::new(10 << 10);
        let share = budget.share(8 << 10).await;
        assert_eq!(budget.held(), 8 << 10);
        let bytes = share.hold(Bytes::from(vec![1; 3000]));
        assert_eq!(budget.held(), 3 << 10);
        let slice = bytes.slice(2..4);
        drop(bytes);
        assert_eq!((budget.held(), slice.len()), (3 << 10, 2));
        drop(slice);
        assert_eq!(budget.held(), 0);
        drop(Share::none(&budget).hold(Bytes::new()));
        assert_eq!(budget.held(), 0);
    }

    #[tokio::test]
    async fn readers_wait_for_room_and_what_was_taken_without_is_paid_first() {
        let budget = Budget::new(10 << 10);
        let mut large = budget.share(8 << 10).await;
        large.resize(30 << 10);
        assert_eq!(budget.held(), 30 << 10);
        let waiting = tokio::spawn({
            let budget = Arc::clone(&budget);
            async move { budget.share(4 << 10).await }
        });
        tokio::time::sleep(Duration::from_millis(20)).await;
        large.resize(8 << 10);
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(!waiting.is_finished(), "8 of 10 are held: there is no room for 4");
        drop(large);
        let share = waiting.await.unwrap();
        assert_eq!(budget.held(), 4 << 10);
        drop(share);
        assert_eq!((budget.held(), budget.room.available_permits()), (0, 10));
    }

    #[tokio::test]
    async fn readers_that_wait_for_each_other_go_on_one_at_a_time() {
        let patience = Duration::from_millis(50);
        let budget = Budget::patient(2 << 10, patience);
        let _parents = (budget.share(1 << 10).await, budget.share(1 << 10).await);
        let began = Instant::now();
        let (one, two) = tokio::join!(budget.share(1 << 10), budget.share(1 << 10));
        assert!(began.elapsed() >= 2 * patience, "{:?}", began.elapsed());
        assert_eq!(budget.held(), 4 << 10);
        drop((one, two));
        assert_eq!(budget.held(), 2 << 10);
    }

    #[tokio::test]
    async fn nobody_goes_on_without_room_while_some_comes_back() {
        let budget = Budget::patient(4 << 10, Duration::from_millis(60));
        let mut all = budget.share(4 << 10).await;
        let waiting = tokio::spawn({
            let budget = Arc::clone(&budget);
            async move { budget.share(4 << 10).await }
        });
        for left in [3, 2, 1] {
            tokio::time::sleep(Duration::from_millis(40)).await;
            all.resize(left << 10);
            assert!(budget.held() <= 4 << 10);
        }
        assert!(!waiting.is_finished());
        drop(all);
        assert_eq!(waiting.await.unwrap().kib, 4);
    }
}
