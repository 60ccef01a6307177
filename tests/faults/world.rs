//! A vendor whose account changes while it is read, the same way for everybody: after so many requests something happens, and
//! what is left happens before the last run. It has a clock of its own, which stands on the time of what happened last (it goes on where
//! nothing happens), and says so with every answer.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Instant,
};

use axum::{Router, extract::Request, middleware, middleware::Next};
use headwater::sandbox::{Vendor, World};
use jiff::{SignedDuration, Timestamp, fmt::rfc2822::DateTimePrinter};

/// A vendor, and what is going to happen in its account.
pub struct Play {
    /// The vendor.
    pub vendor: Arc<dyn Vendor>,
    from: Timestamp,
    began: Instant,
    /// Something happens every so many requests; so often in all.
    every: u64,
    total: u64,
    asked: AtomicU64,
    happened: Mutex<u64>,
    is_over: AtomicBool,
}

impl Play {
    /// A play on this account. The same account and script end in the same state.
    pub fn new(make: fn(World) -> Arc<dyn Vendor>, account: World, every: u64, total: u64) -> Arc<Self> {
        Arc::new(Self {
            vendor: make(account),
            from: account.now,
            began: Instant::now(),
            every: every.max(1),
            total,
            asked: AtomicU64::default(),
            happened: Mutex::default(),
            is_over: AtomicBool::default(),
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

    /// Says with every answer what time it is at the vendor's.
    pub fn dated(self: &Arc<Self>, router: Router) -> Router {
        let play = self.clone();
        router.layer(middleware::from_fn(move |request: Request, next: Next| {
            let play = play.clone();
            async move {
                let mut response = next.run(request).await;
                let date = DateTimePrinter::new().timestamp_to_rfc9110_string(&play.now()).expect("a date");
                response.headers_mut().insert("date", date.parse().expect("a header"));
                response
            }
        }))
    }

    /// Everything that has not happened yet happens now, and some minutes go by: no list lags any more.
    pub fn finish(&self) {
        self.until(self.total);
        self.is_over.store(true, Ordering::SeqCst);
    }

    fn now(&self) -> Timestamp {
        let later = if self.is_over.load(Ordering::SeqCst) { 300 } else { 1 };
        // A clock that stands still is one that is set back all the time, and of two answers the second would be the older one.
        let passed = if self.total == 0 { self.began.elapsed().as_secs() as i64 } else { 0 };
        self.moment(*self.happened.lock().expect("a number"), later + passed)
    }

    /// Ten seconds each: no two changes of a row are of one version, and what is read between them is of another one.
    fn moment(&self, number: u64, later: i64) -> Timestamp {
        let seconds = SignedDuration::from_secs(10 * number as i64 + later);
        self.from.saturating_add(seconds).expect("a time")
    }

    fn until(&self, moment: u64) {
        let mut happened = self.happened.lock().expect("a number");
        while *happened < moment.min(self.total) {
            *happened += 1;
            let at = self.moment(*happened, 0);
            // What it would post is dropped: its lists and feeds tell all of it.
            drop(self.vendor.happen(at));
        }
    }
}

/// An account of about so many objects, whose clock is so many minutes ahead of ours.
pub fn account(seed: u64, size: usize, ahead: i64) -> World {
    static NOW: std::sync::OnceLock<Timestamp> = std::sync::OnceLock::new();
    let now = *NOW.get_or_init(Timestamp::now);
    World { now: now.saturating_add(SignedDuration::from_mins(ahead)).expect("a time"), seed, size }
}
