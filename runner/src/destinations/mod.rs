//! Destinations: where calls are sent, apart from the warehouse.
//!
//! Every destination reads the calls log by itself ([`outbox`]): its own position, its own task, its own bounded memory, so that one
//! that is dead slows nobody else. What a destination speaks is a [`Destination`]: how a call is written, how calls are sent, and what
//! the answer means. [`Desk`] is all of them together, as the service and the commands see them.

use async_trait::async_trait;
use bytes::Bytes;
use headwater_core::{error::Result, spec::Call};
use jiff::Timestamp;

use crate::config::{DestinationKind, DestinationSettings};

mod desk;
mod http;
pub mod outbox;
pub(crate) mod segment;
pub(crate) mod webhook;

pub use desk::{Desk, Lag, Status};

/// A tool that takes calls.
#[async_trait]
pub trait Destination: Send + Sync {
    /// How much one request may hold.
    fn room(&self) -> Room;

    /// Whether the sender meant the call for this destination.
    fn is_meant(&self, _call: &Call) -> bool {
        true
    }

    /// The call as it is sent, the same each time; or why it never can be.
    fn write(&self, call: &Call) -> Result<Bytes, String>;

    /// Sends calls in one request, and says what became of it.
    async fn send(&self, calls: &[Letter]) -> Verdict;
}

/// How much one request may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// So many calls.
    pub calls: usize,
    /// So many bytes of them; a single call is sent however large it is.
    pub bytes: usize,
}

/// A call on its way to a destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// Its number, once it is kept because it failed; 0 as long as it is fresh from the log.
    pub id: i64,
    /// Its frame in the calls log.
    pub seq: u64,
    /// The source that it comes from.
    pub source: String,
    /// The call's own id.
    pub message_id: String,
    /// The delivery that it came in, and its place there.
    pub delivery: String,
    /// Whose call it is, as a digest: those of one person keep their order. 0 is nobody's.
    pub person: u64,
    /// How often it has been sent in vain.
    pub attempts: u32,
    /// When it was sent first, in vain.
    pub first: Option<Timestamp>,
    /// When it reached Headwater, or may be taken to have.
    pub received_at: Timestamp,
    /// The call, as the destination writes it.
    pub call: Bytes,
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every call of it has been taken.
    Taken,
    /// It may be taken later.
    Later {
        /// Why not now.
        fault: Fault,
        /// How long the destination asked to be left alone.
        wait: Option<std::time::Duration>,
        /// Nobody answered: it is not a matter of these calls.
        unanswered: bool,
    },
    /// It will never be taken as it is: of several calls one is to blame.
    Refused(Fault),
    /// Nothing will be taken until somebody mends the destination or its settings.
    Broken(Fault),
}

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// One line.
    pub reason: String,
    /// The HTTP status, if there was an answer.
    pub status: Option<u16>,
}

/// The destination that is configured so.
pub fn open(settings: &DestinationSettings) -> Result<Box<dyn Destination>> {
    Ok(match settings.kind {
        DestinationKind::Webhook => Box::new(webhook::Webhook::new(settings)?),
        DestinationKind::Segment => Box::new(segment::Segment::new(settings)?),
    })
}
