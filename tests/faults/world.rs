//! A vendor whose account changes while it is read, the same way for everybody: after so many requests something happens, and
//! what is left happens before the last run.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU64, Ordering},
};

use axum::{Router, extract::Request, middleware, middleware::Next};
use headwater::sandbox::{Vendor, World};
use headwater_core::event::Delivery;
use jiff::{SignedDuration, Timestamp};

use crate::vendor;

/// A vendor, and what is going to happen in its account.
pub struct Play {
    /// The vendor.
    pub vendor: Arc<dyn Vendor>,
    from: Timestamp,
    /// Something happens every so many requests; so often in all.
    every: u64,
    total: u64,
    asked: AtomicU64,
    happened: Mutex<u64>,
    told: Mutex<Vec<Delivery>>,
}

impl Play {
    /// A play on this account. The same account and script end in the same state.
    pub fn new(make: fn(World) -> Arc<dyn Vendor>, account: World, every: u64, total: u64) -> Arc<Self> {
        Arc::new(Self {
            vendor: make(account),
            from: account.now,
            every: every.max(1),
            total,
            asked: AtomicU64::default(),
            happened: Mutex::default(),
            told: Mutex::default(),
        })
    }

    /// The vendor's API; requests move the play on.
    pub fn api(self: &Arc<Self>) -> Router {
        let play = self.clone();
        let router = self.vendor.clone().api().expect("the vendor has an API");
        router.layer(middleware::from_fn(move |request: Request, next: Next| {
            let asked = play.asked.fetch_add(1, Ordering::SeqCst) + 1;
            play.until(asked / play.every);
            next.run(request)
        }))
    }

    /// Everything that has not happened yet happens now.
    pub fn finish(&self) {
        self.until(self.total);
    }

    /// What the vendor has to tell of by webhook since this was last asked.
    pub fn told(&self) -> Vec<Delivery> {
        std::mem::take(&mut self.told.lock().expect("a list"))
    }

    fn until(&self, moment: u64) {
        let mut happened = self.happened.lock().expect("a number");
        while *happened < moment.min(self.total) {
            *happened += 1;
            // A second each: no two changes of a row are of one version.
            let at = self.from.saturating_add(SignedDuration::from_secs(*happened as i64)).expect("a time");
            self.told.lock().expect("a list").extend(self.vendor.happen(at));
        }
    }
}

/// An account of about so many objects. Its history ended ten minutes before these tests began, whoever asks.
pub fn account(seed: u64, size: usize) -> World {
    static NOW: std::sync::OnceLock<Timestamp> = std::sync::OnceLock::new();
    World { now: *NOW.get_or_init(|| vendor::world(0, 0).now), seed, size }
}
