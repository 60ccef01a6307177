//! Events: what a vendor tells us by itself, and how a delivery becomes Spec calls.
//!
//! [`map_delivery`] is the way through: [`split`] takes the delivery apart, the source's [`map`](EventSource::map)
//! makes calls of each item, and those get their message ids.

mod finish;
mod form;
mod kit;
mod locator;
mod mapping;
mod split;

use std::{fmt, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use jiff::Timestamp;
use serde_json::Value;

use crate::{
    auth::Secret,
    error::{Error, Result},
    http::{Api, Client},
    object::{Account, Change, Request},
    record::{Fields, Record, Tree},
    signature::Signature,
    spec::{Call, CallType},
};

pub use finish::{Mapped, map_delivery, map_some};
pub use form::MAX_FIELDS;
pub use kit::title_case;
pub use mapping::Mapping;
pub use split::{Envelope, MAX_ITEMS, Piece, split};

/// A vendor's webhooks, as one source has set them up.
///
/// Nothing here waits or asks: a delivery goes in, calls come out, the same each time. The type that implements it
/// is the source's settings.
pub trait EventSource: Send + Sync {
    /// The secrets that prove deliveries to `surface`, newest first; several while one is being rotated. None given:
    /// a signed surface is closed, never unsigned.
    fn secrets(&self, _surface: &Surface) -> Vec<Secret> {
        Vec::new()
    }

    /// What its webhook looks like, where the settings say so; none: as the connector declares it.
    fn webhook(&self) -> Option<&'static Webhook> {
        None
    }

    /// The answer to a delivery that only asks whether we are here, or proves that the URL is ours. An OPTIONS request is
    /// nothing else: without this answer it is refused.
    fn handshake(&self, _delivery: &Delivery) -> Option<Handshake> {
        None
    }

    /// What to answer once a delivery is on disk.
    fn reply(&self, _delivery: &Delivery) -> Reply {
        Reply::OK
    }

    /// The account that an item belongs to, where one webhook serves many (an app-level webhook). Another source of this
    /// connector, whose [`own_account`](Self::own_account) it is, then maps it; items of an account that no source has
    /// are kept as unrouted.
    fn account(&self, _item: &Item<'_>) -> Option<String> {
        None
    }

    /// The account that this source is for, where app-level webhooks bring its items. A source without one maps whatever
    /// comes to its address.
    fn own_account(&self) -> Option<String> {
        None
    }

    /// Whom the [look-ups](Self::lookups) and [`Handshake::then`] ask, in a connector that has no objects; one that has
    /// asks the API of those.
    fn lookup_api(&self) -> Result<Option<Api>> {
        Ok(None)
    }

    /// What to ask the vendor before an item can be mapped; the answers (JSON objects, at most 4 MiB) are stored beside the
    /// delivery, so that a replay asks nobody. The source whose account it is asks. A refusal for good (403, 404, 410) is
    /// an empty answer; while the vendor is away, the delivery waits.
    fn lookups(&self, _item: &Item<'_>) -> Vec<Request> {
        Vec::new()
    }

    /// Where an item says what a call wants to know: all there is to say, where each item is one call.
    fn mapping(&self) -> Mapping<'_> {
        Mapping::NEW
    }

    /// The calls, and changes to objects, that one item stands for; none if it is none of ours. As it stands, one call by
    /// the [mapping](Self::mapping).
    ///
    /// Pure: no clock, no random id, no network. What is not named goes into properties as it came.
    fn map(&self, item: &Item<'_>) -> Result<Vec<Output>> {
        Ok(vec![self.mapping().call(item)?.into()])
    }
}

/// What a connector's webhooks look like before anybody has set one up.
#[derive(Clone, Copy, Debug)]
pub struct Webhook {
    /// Its addresses: `/webhooks/{source}/{webhook_key}`, and `…/{path}` for each further one.
    pub surfaces: &'static [Surface],
    /// Every call it can make.
    pub calls: &'static [CallType],
}

/// One address that a vendor posts to. It is chosen by the URL's path alone.
#[derive(Clone, Copy, Debug)]
pub struct Surface {
    /// The part of the path behind the webhook key; "" for the first one.
    pub path: &'static str,
    /// How a delivery proves that the vendor sent it. There is no default: none is said, with the reason.
    pub signature: Signature,
    /// How a delivery is split into items.
    pub items: Items,
}

/// How a delivery is split into the things that happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Items {
    /// JSON: the array at this path, or the one object there; "" for the body itself. A step `*` stands for each item
    /// (`entry.*.changes`); of several paths parted by `|` the first that is there counts (`events|event`; `events|` is
    /// `events`, else the body).
    Json(&'static str),
    /// One JSON object a line.
    Ndjson,
    /// Form fields, brackets making objects and arrays (`a[b][]=1`).
    Form,
    /// A form field that holds JSON: its name, and the path inside.
    FormJson(&'static str, &'static str),
    /// The query string: an item by itself, whatever the body holds.
    Query,
    /// CSV whose first row names the columns.
    Csv,
}

/// One HTTP request that a vendor or a library sent us.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// When it reached us.
    pub received_at: Timestamp,
    /// Its method.
    pub method: Method,
    /// What followed the surface's path.
    pub path_tail: String,
    /// The query string, as it came.
    pub query: String,
    /// The headers, as they came; those that are secrets are replaced once they have been checked.
    pub headers: HeaderMap,
    /// The body, as it came, any `content-encoding` undone.
    pub body: Bytes,
    /// The whole address that the vendor was told to post to: the configured public URL, never rebuilt from headers.
    pub url: String,
    /// The answers to the look-ups of each item that had any: (item, answer), in the order of the requests; empty where
    /// the vendor refused for good, as for a record that is gone.
    pub lookups: Vec<(u32, Bytes)>,
}

impl Delivery {
    /// A header's value as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// A query parameter's value, decoded.
    pub fn query_value(&self, name: &str) -> Option<String> {
        form_urlencoded::parse(self.query.as_bytes())
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.into())
    }
}

/// One thing that happened, inside a delivery.
pub struct Item<'a> {
    /// The thing itself.
    pub record: Record,
    /// The whole body, where the items are part of one object; the item itself otherwise. Behind a step `*`, the object
    /// that the star found (the `entry` of `entry.*.changes`).
    pub envelope: &'a Record,
    /// The same, where it is not the item itself.
    within: Option<&'a Envelope>,
    /// Its place in the delivery, from 0.
    pub index: u32,
    /// The surface that it came to.
    pub surface: &'a Surface,
    /// The delivery: headers, query, path tail, time of receipt.
    pub delivery: &'a Delivery,
    /// The answers to its look-ups, in their order; `{}` where the vendor had none.
    pub lookups: Vec<Record>,
}

impl<'a> Item<'a> {
    /// The only item of a delivery.
    pub fn alone(record: &'a Record, surface: &'a Surface, delivery: &'a Delivery) -> Self {
        Self {
            record: record.clone(),
            envelope: record,
            within: None,
            index: 0,
            surface,
            delivery,
            lookups: Vec::new(),
        }
    }

    /// A header of its delivery.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.delivery.header(name)
    }

    /// The members of what surrounds it, without the list that it stands in; none if it stands by itself.
    pub fn around(&self) -> Result<Fields> {
        self.within.map_or_else(|| Ok(Fields::default()), |envelope| envelope.around(self.surface.items))
    }

    /// The same; for items behind the first without what stands at the paths `once`.
    fn around_but(&self, once: &'static [&'static str]) -> Result<Fields> {
        match self.within {
            Some(envelope) if self.index > 0 => envelope.around_later(self.surface.items, once),
            _ => self.around(),
        }
    }

    /// Its members, to be taken apart.
    pub fn fields(&self) -> Result<Fields> {
        self.record.fields()
    }

    /// The same, to be taken apart by their paths: quicker where it is deep.
    pub fn tree(&self) -> Result<Tree> {
        Tree::of(&self.record)
    }

    /// This item with another record, that stands by itself: for what a vendor has packed into text, or wrapped twice.
    pub fn with<'b>(&'b self, record: &'b Record) -> Item<'b> {
        Item {
            record: record.clone().indexed(),
            envelope: record,
            within: None,
            lookups: self.lookups.clone(),
            ..*self
        }
    }
}

/// What an item stands for.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly all are calls, and those go on as they are")]
pub enum Output {
    /// A Spec call. Its message id is the vendor's id of the event, or empty: the pipeline makes it whole.
    Call(Call),
    /// A change to an object's row.
    Change(Change),
}

impl From<Call> for Output {
    fn from(call: Call) -> Self {
        Self::Call(call)
    }
}

/// What to answer at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// `application/json`, `text/plain`, …
    pub content_type: &'static str,
    /// The body, at most 1 KiB where it echoes anything.
    pub body: Bytes,
    /// Further headers: what a sender asked leave for, and has.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

impl Reply {
    /// 200, nothing more.
    pub const OK: Self =
        Self { status: StatusCode::OK, content_type: "text/plain", body: Bytes::new(), headers: Vec::new() };

    /// 200 with this text, as `text/plain`: a challenge that comes back.
    pub fn text(text: impl Into<Bytes>) -> Self {
        Self { body: text.into(), ..Self::OK }
    }

    /// 200 with this JSON.
    pub fn json(json: impl Into<Bytes>) -> Self {
        Self { content_type: "application/json", body: json.into(), ..Self::OK }
    }
}

/// The answer to a delivery that carries no event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handshake {
    /// What to answer.
    pub reply: Reply,
    /// What to ask the vendor afterwards, a few times until it succeeds (a verification that has to be confirmed), at the
    /// [hosts](EventSource::lookup_api) that look-ups go to.
    pub then: Option<Request>,
}

/// An item, or a whole delivery, that could not be mapped: kept, so that it can be mapped again.
#[derive(Clone, Debug)]
pub struct Rejected {
    /// Its place in the delivery.
    pub index: u32,
    /// The item; none where the delivery could not even be split.
    pub record: Option<Record>,
    /// Why.
    pub error: Error,
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "item {}: {}", self.index, self.error)
    }
}

/// Events that we fetch: a vendor's stream, files in a bucket, a queue.
#[async_trait]
pub trait EventPull: Send + Sync {
    /// Where they are.
    fn api(&self, account: &Account) -> Result<Api>;

    /// One cheap request that proves the credentials and tells which account they open.
    async fn check(&self, client: &Client) -> Result<Account>;

    /// Reads on from `cursor` (null at first): a function of it, as a page is. The deliveries and the cursor go to the inbox
    /// in one fsync. It may wait for news, as long as a page may take.
    async fn pull(&self, client: &Client, cursor: &Value) -> Result<Pulled>;

    /// How long to wait after a pull that has come to the end, where the source has no schedule. A delivery to one of its
    /// webhooks ends the wait: a vendor that notifies needs no more than an `EventSource` that maps it to nothing.
    fn pause(&self) -> Duration {
        Duration::from_secs(60)
    }
}

/// What one [`EventPull::pull`] brought.
#[derive(Clone, Debug, Default)]
pub struct Pulled {
    /// The events, as deliveries, each with the path of the surface that maps it; 16 MiB each and 48 MiB in all at most.
    /// Their time of receipt is set when they are kept.
    pub deliveries: Vec<(&'static str, Delivery)>,
    /// Where to go on.
    pub cursor: Value,
    /// Whether there is more at once.
    pub more: bool,
}
