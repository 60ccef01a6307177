//! What went wrong, whose move it is, and what a user can do about it.

use std::{fmt, time::Duration};

use jiff::Timestamp;

/// The result of anything that a connector does.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, in terms of what must happen next: an error's kind says whose move it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// The configuration cannot work as written. The user must change it; the run stops.
    Config,
    /// The credentials were refused. The user must renew them; the run stops.
    Auth,
    /// This collection is not open to these credentials or this plan. It is skipped and never green; the others go on.
    Forbidden,
    /// The vendor asks to slow down. The client waits and asks again; a spent daily allotment pauses the run.
    RateLimited,
    /// The vendor or the network failed for now. The client asks again.
    Transient,
    /// The vendor no longer knows the cursor, or the feed's horizon has passed it. The collection is read again.
    Expired,
    /// The vendor's answer, or an item of a delivery, is not what this connector expects. We must change the connector.
    Unexpected,
    /// A delivery that its signature does not prove. It is refused and kept apart.
    Unsigned,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Config,
        Self::Auth,
        Self::Forbidden,
        Self::RateLimited,
        Self::Transient,
        Self::Expired,
        Self::Unexpected,
        Self::Unsigned,
    ];

    /// The kind of that name.
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Whether asking again, later, may succeed without anybody doing anything.
    pub fn is_temporary(self) -> bool {
        matches!(self, Kind::RateLimited | Kind::Transient)
    }

    /// The kind's name, as it stands in JSON and in the warehouse's `_headwater_runs`.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Config => "config",
            Kind::Auth => "auth",
            Kind::Forbidden => "forbidden",
            Kind::RateLimited => "rate_limited",
            Kind::Transient => "transient",
            Kind::Expired => "expired",
            Kind::Unexpected => "unexpected",
            Kind::Unsigned => "unsigned",
        }
    }
}

/// An error: one line that says what is wrong, its kind, and when to come back.
#[derive(Clone, Debug)]
pub struct Error(Box<Inner>);

#[derive(Clone, Debug)]
struct Inner {
    kind: Kind,
    message: String,
    context: Vec<(&'static str, String)>,
    retry_after: Option<Duration>,
    until: Option<Timestamp>,
    limit: Option<&'static str>,
    status: Option<u16>,
}

impl Error {
    /// An error of `kind`. The message says what is wrong and, where it can, what to do next.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            message: message.into(),
            context: Vec::new(),
            retry_after: None,
            until: None,
            limit: None,
            status: None,
        }))
    }

    /// The configuration cannot work as written.
    pub fn config(message: impl Into<String>) -> Self {
        Self::new(Kind::Config, message)
    }

    /// The credentials were refused.
    pub fn auth(message: impl Into<String>) -> Self {
        Self::new(Kind::Auth, message)
    }

    /// The vendor or the network failed for now.
    pub fn transient(message: impl Into<String>) -> Self {
        Self::new(Kind::Transient, message)
    }

    /// An answer or an item is not what the connector expects.
    pub fn unexpected(message: impl Into<String>) -> Self {
        Self::new(Kind::Unexpected, message)
    }

    /// The delivery is not proven by its signature.
    pub fn unsigned(message: impl Into<String>) -> Self {
        Self::new(Kind::Unsigned, message)
    }

    /// Adds where it happened: a source, a collection, a host. The last added stands first.
    pub fn within(mut self, what: &'static str, name: impl Into<String>) -> Self {
        self.0.context.push((what, name.into()));
        self
    }

    /// The vendor said how long to wait before asking again.
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.0.retry_after = Some(wait);
        self
    }

    /// The allotment is spent until this time: the source is paused, not failed.
    pub fn paused_until(mut self, time: Timestamp) -> Self {
        self.0.until = Some(time);
        self
    }

    /// The declared limit of this name is spent: the client, which has the clock, knows when it comes back.
    pub fn spends(mut self, limit: &'static str) -> Self {
        self.0.limit = Some(limit);
        self
    }

    /// The HTTP status that the vendor answered with.
    pub fn with_status(mut self, status: u16) -> Self {
        self.0.status = Some(status);
        self
    }

    /// The same error in other words: its message and where it happened go through `words`.
    pub fn reworded(mut self, words: impl Fn(&str) -> String) -> Self {
        self.0.message = words(&self.0.message);
        self.0.context.iter_mut().for_each(|(_, name)| *name = words(name));
        self
    }

    /// Whose move it is.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// What is wrong, without where it happened.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// How long the vendor asked us to wait.
    pub fn wait(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// When a spent allotment comes back.
    pub fn until(&self) -> Option<Timestamp> {
        self.0.until
    }

    /// The declared limit that is spent.
    pub fn limit(&self) -> Option<&'static str> {
        self.0.limit
    }

    /// The HTTP status that the vendor answered with, if it answered.
    pub fn status(&self) -> Option<u16> {
        self.0.status
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (what, name) in self.0.context.iter().rev() {
            write!(f, "{what} {name}: ")?;
        }
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for Error {}

impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Self {
        Self::unexpected(format!("not the JSON expected: {error}"))
    }
}
