//! How a client works, beyond what its API says.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;

use super::{Budget, Gates, Ledger, MemoryLedger};
use crate::{auth::Vault, object::Account};

/// How a client works, beyond what its API says.
#[derive(Clone)]
pub struct Options {
    /// Where renewed tokens are kept; without one they end with the process.
    pub vault: Option<Arc<dyn Vault>>,
    /// The source, as the vault knows it. Tokens that came of one consent are kept together, whichever source has it.
    pub vault_key: String,
    /// The account, as the ledger and the gates know it: sources with the same one share their limits.
    pub account_key: String,
    /// What the last check returned, for whoever reads with the client ([`Client::account`](super::Client::account)).
    pub account: Account,
    /// A stand-in that takes the place of every host: `https`, or plain `http` on loopback.
    pub base_url: Option<String>,
    /// How long a connection may take to come about.
    pub connect_timeout: Duration,
    /// How long one attempt may take; of a stream, its beginning.
    pub attempt_timeout: Duration,
    /// How long a body may keep still, and stay open between two pages.
    pub idle_timeout: Duration,
    /// How long a request may take with all its attempts, not counting its place in the line for a declared limit.
    pub deadline: Duration,
    /// How often a request is sent at most.
    pub max_attempts: u32,
    /// The pause before the second attempt; it doubles with each, and a random part of it is waited.
    pub backoff: Duration,
    /// A vendor that asks to wait longer than this is not waited for: the run is paused until then.
    pub longest_wait: Duration,
    /// The largest answer that [`Client::send`](super::Client::send) takes.
    pub max_answer: usize,
    /// How much of a long answer is one page, in bytes as unpacked.
    pub piece: usize,
    /// How many answers that are read page by page stay open in between.
    pub open_bodies: usize,
    /// What bounds the memory of all answers; by default shared by all clients of the process.
    pub budget: Arc<Budget>,
    /// Remembers daily allotments.
    pub ledger: Arc<dyn Ledger>,
    /// The gates that clients of one account share.
    pub gates: Arc<Gates>,
    /// The share of each daily allotment that is left for others, 0 to 1.
    pub reserve: f64,
    /// What time it is.
    pub clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            vault: None,
            vault_key: String::new(),
            account_key: String::new(),
            account: Account::default(),
            base_url: None,
            connect_timeout: Duration::from_secs(10),
            attempt_timeout: Duration::from_secs(100),
            idle_timeout: Duration::from_secs(60),
            deadline: Duration::from_secs(600),
            max_attempts: 6,
            backoff: Duration::from_millis(500),
            longest_wait: Duration::from_secs(120),
            max_answer: 64 << 20,
            piece: 8 << 20,
            open_bodies: 16,
            budget: Budget::shared(),
            ledger: Arc::new(MemoryLedger::default()),
            gates: Arc::default(),
            reserve: 0.0,
            clock: Arc::new(Timestamp::now),
        }
    }
}
