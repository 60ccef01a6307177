//! One delivery becomes calls, changes and rejected items: pure, the same each time.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    net::IpAddr,
    sync::Arc,
};

use headwater_core::{
    connector::Connector,
    error::{Error, Result},
    event::{EventSource, Output, Rejected, Surface, map_delivery, map_some, split},
    object::{Change, Request},
    record::{Fields, Raw, Record},
    spec::{Call, CallKind},
    time::parse_time,
};
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::{Filter, pixel_record, validate};
use crate::{
    inbox::{DeliveryKind, StoredDelivery},
    receive::REMOTE,
};

/// A source, as the pipeline sees it.
pub struct Source {
    /// Its name, the schema of its objects.
    pub name: String,
    /// Its connector.
    pub connector: &'static Connector,
    /// Its webhooks, if the connector has any.
    pub events: Option<Box<dyn EventSource>>,
    /// The schema of its calls.
    pub calls_schema: String,
    /// What its owner does not want.
    pub filter: Filter,
}

/// All sources, by name.
pub type Sources = HashMap<String, Arc<Source>>;

/// The limits of the Spec.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The largest call of the tracking API, in bytes.
    pub call_bytes: usize,
    /// The most calls in one batch.
    pub batch_calls: usize,
}

/// What one item of a delivery became: exactly one of these.
#[derive(Debug)]
pub enum Fate {
    /// A call that consumers may have.
    Eligible(Box<Call>),
    /// A change to an object's row.
    Change(Change),
    /// It is kept, with the reason, and a payload to map again.
    Rejected {
        /// Why.
        reason: String,
        /// The JSON as it came, as far as it is any.
        payload: String,
    },
    /// A filter's rule held it back.
    Filtered {
        /// Which.
        rule: String,
        /// The call's message id.
        message_id: String,
    },
    /// It is of an account that no source has; a replay maps it once one has.
    Unrouted {
        /// Which.
        account: String,
    },
}

/// What items became, each with its place in the delivery.
pub type Fates = Vec<(u32, Fate)>;

/// What one delivery became, item by item.
#[derive(Default)]
pub struct Normalised {
    /// The items' places and fates.
    pub items: Fates,
    /// Items of further accounts, whose sources they are.
    pub others: Vec<(Arc<Source>, Fates)>,
    /// What vendors have to be asked first: until then these items have no fate.
    pub asks: Vec<Ask>,
}

/// A look-up that has no answer yet.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The source whose vendor is asked.
    pub source: String,
    /// The item's place in the delivery.
    pub item: u32,
    /// Its place among the item's requests.
    pub place: u32,
    /// What is asked.
    pub request: Request,
}

impl Normalised {
    /// The items of one source: the one that it came to, or another.
    pub fn of(self, received_by: &str, name: &str) -> Fates {
        match name == received_by {
            true => self.items,
            false => self
                .others
                .into_iter()
                .filter(|(other, _)| other.name == name)
                .flat_map(|(_, items)| items)
                .collect(),
        }
    }
}

/// Makes calls of a delivery to `source`. Items of other accounts are those sources' that have them. `seq` is its place in the inbox.
pub fn normalise(
    stored: &StoredDelivery,
    source: &Source,
    sources: &Sources,
    limits: Limits,
    seq: u64,
) -> Normalised {
    let own = |items| Normalised { items, ..Normalised::default() };
    let mut made = match stored.kind {
        DeliveryKind::Tracking => own(tracking(stored, limits, seq)),
        DeliveryKind::Pixel => own(pixel(stored, limits, seq)),
        DeliveryKind::Webhook | DeliveryKind::Pull => webhook(stored, source, sources),
        DeliveryKind::Cursor => Normalised::default(),
    };
    filter(source, &mut made.items);
    for (other, items) in &mut made.others {
        filter(other, items);
    }
    made
}

fn filter(source: &Source, items: &mut [(u32, Fate)]) {
    for (_, fate) in items {
        if let Fate::Eligible(call) = fate
            && let Some(rule) = source.filter.apply(call)
        {
            *fate =
                Fate::Filtered { rule: rule.to_owned(), message_id: std::mem::take(&mut call.message_id) };
        }
    }
}

/// The items whose look-ups will never be answered, rejected for these reasons.
pub(super) fn unanswered(stored: &StoredDelivery, source: &Source, refused: &[(u32, String)]) -> Fates {
    let pieces = surface(stored, source).and_then(|(_, surface)| split(surface, &stored.delivery));
    let pieces = pieces.unwrap_or_default();
    let fate = |(item, reason): &(u32, String)| {
        let record = pieces.get(*item as usize).and_then(|piece| piece.record.clone().ok());
        (*item, rejected(&Error::transient(reason), record, stored))
    };
    refused.iter().map(fate).collect()
}

/// What maps a delivery, and the surface that it came to.
fn surface<'a>(
    stored: &StoredDelivery,
    source: &'a Source,
) -> Result<(&'a dyn EventSource, &'static Surface)> {
    let webhook = source.events.as_ref().and_then(|its| Some(source.connector.events?.webhook_of(&**its)));
    let (Some(events), Some(webhook)) = (&source.events, webhook) else {
        return Err(Error::config(format!("{} takes no webhooks any more", source.connector.title)));
    };
    let surface = webhook.surfaces.iter().find(|surface| surface.path == stored.surface);
    let surface = surface
        .ok_or_else(|| Error::config(format!("the surface {:?} is no longer there", stored.surface)))?;
    Ok((&**events, surface))
}

fn webhook(stored: &StoredDelivery, source: &Source, sources: &Sources) -> Normalised {
    let (events, surface) = match surface(stored, source) {
        Ok(found) => found,
        Err(error) => {
            return Normalised { items: vec![(0, rejected(&error, None, stored))], ..Normalised::default() };
        }
    };
    let connector = source.connector.name;
    let mapped = map_delivery(connector, events, surface, &stored.delivery);
    let mut asks = asked(&source.name, mapped.asks);
    let mut items = fates(mapped.outputs, mapped.rejected, stored);
    let mut others: Vec<(Arc<Source>, Fates)> = Vec::new();
    let mut foreign: BTreeMap<String, HashSet<u32>> = BTreeMap::new();
    for (index, account) in mapped.foreign {
        foreign.entry(account).or_default().insert(index);
    }
    for (account, places) in foreign {
        let Some((other, events)) = owner(connector, &account, sources) else {
            items
                .extend(places.into_iter().map(|index| (index, Fate::Unrouted { account: account.clone() })));
            continue;
        };
        let mapped =
            map_some(connector, events, surface, &stored.delivery, |item| places.contains(&item.index));
        // What is no item at all has been rejected already.
        let refused = mapped.rejected.into_iter().filter(|refused| places.contains(&refused.index)).collect();
        asks.extend(asked(&other.name, mapped.asks));
        others.push((other.clone(), fates(mapped.outputs, refused, stored)));
    }
    Normalised { items, others, asks }
}

/// The source of this connector that has an account.
fn owner<'a>(
    connector: &str,
    account: &str,
    sources: &'a Sources,
) -> Option<(&'a Arc<Source>, &'a dyn EventSource)> {
    let of_connector = sources.values().filter(|source| source.connector.name == connector);
    let has = |source: &'a Arc<Source>| {
        let events = source.events.as_deref()?;
        (events.own_account().as_deref() == Some(account)).then_some((source, events))
    };
    // Of several the first by name: the same one each time.
    of_connector.filter_map(has).min_by_key(|(source, _)| &source.name)
}

fn asked(source: &str, asks: Vec<(u32, Request)>) -> Vec<Ask> {
    let mut places: HashMap<u32, u32> = HashMap::new();
    let ask = |(item, request)| {
        let next = places.entry(item).or_default();
        let place = *next;
        *next += 1;
        Ask { source: source.to_owned(), item, place, request }
    };
    asks.into_iter().map(ask).collect()
}

fn fates(outputs: Vec<(u32, Output)>, refused: Vec<Rejected>, stored: &StoredDelivery) -> Fates {
    let mut items: Fates = outputs
        .into_iter()
        .map(|(index, output)| match output {
            Output::Call(call) => {
                let call = timed(call, stored);
                match validate::reason(&call, 0, usize::MAX) {
                    Some(reason) => {
                        let fate = Fate::Rejected { reason: reason.to_owned(), payload: call.to_json() };
                        (index, fate)
                    }
                    None => (index, Fate::Eligible(Box::new(call))),
                }
            }
            Output::Change(change) => (index, Fate::Change(change)),
        })
        .collect();
    items.extend(
        refused
            .into_iter()
            .map(|Rejected { index, record, error }| (index, rejected(&error, record, stored))),
    );
    items
}

fn rejected(error: &Error, record: Option<Record>, stored: &StoredDelivery) -> Fate {
    let payload = match record {
        Some(record) => String::from_utf8_lossy(record.bytes()).into_owned(),
        None => String::from_utf8_lossy(&stored.delivery.body).into_owned(),
    };
    Fate::Rejected { reason: error.to_string(), payload }
}

fn pixel(stored: &StoredDelivery, limits: Limits, seq: u64) -> Fates {
    match pixel_record(&stored.delivery.query) {
        Ok(record) => {
            let kind = CallKind::find(&stored.surface);
            vec![(0, one(&record, record.fields(), kind, stored, limits, (seq, 0), &Common::default()))]
        }
        Err(error) => {
            vec![(0, Fate::Rejected { reason: error.to_string(), payload: stored.delivery.query.clone() })]
        }
    }
}

fn tracking(stored: &StoredDelivery, limits: Limits, seq: u64) -> Fates {
    let one_call = |kind| {
        let record = Record::known(stored.delivery.body.clone());
        let members = Record::members(record.bytes());
        vec![(0, one(&record, members, kind, stored, limits, (seq, 0), &Common::default()))]
    };
    match CallKind::find(&stored.surface) {
        Some(kind) => one_call(Some(kind)),
        None => batch(stored, limits, seq).unwrap_or_else(|error| vec![(0, rejected(&error, None, stored))]),
    }
}

fn batch(stored: &StoredDelivery, limits: Limits, seq: u64) -> Result<Fates> {
    // One way through the whole: a batch is large, and its members are asked for by name afterwards.
    let mut whole = Record::members(&stored.delivery.body)?;
    let list = whole.take("batch").filter(|list| !list.is_null());
    let Some(list) = list else { return Err(Error::unexpected("batch is missing")) };
    let calls = list.items().map_err(|_| Error::unexpected("batch is not an array"))?;
    let common = Common::of(whole);
    let mut items = Vec::with_capacity(limits.batch_calls.min(128));
    for (raw, index) in calls.zip(0u32..) {
        let payload = || String::from_utf8_lossy(raw.bytes()).into_owned();
        if index as usize >= limits.batch_calls {
            let reason = format!("batch of more than {} calls", limits.batch_calls);
            items.push((index, Fate::Rejected { reason, payload: payload() }));
            continue;
        }
        let fate = match raw.clone().record() {
            Some(record) => one(&record, record.fields(), None, stored, limits, (seq, index), &common),
            None => Fate::Rejected { reason: "a call has to be an object".to_owned(), payload: payload() },
        };
        items.push((index, fate));
    }
    Ok(items)
}

/// What the top of a batch says for each of its calls.
#[derive(Default)]
struct Common {
    context: Fields,
    integrations: Fields,
    sent_at: Option<(Raw, Option<Timestamp>)>,
}

impl Common {
    fn of(mut whole: Fields) -> Self {
        let sent_at = whole.take("sentAt").filter(|raw| !raw.is_null());
        Self {
            context: whole.take_fields("context"),
            integrations: whole.take_fields("integrations"),
            sent_at: sent_at.map(|raw| {
                let time = raw.text().and_then(|text| parse_time(&text));
                (raw, time)
            }),
        }
    }

    /// Gives a call what it does not say itself; returns how many bytes that were.
    fn complete(&self, call: &mut Call) -> usize {
        let mut added = 0;
        let silent = |call: &Call| call.sent_at.is_none() && call.rest.get("sentAt").is_none_or(Raw::is_null);
        if let Some((raw, time)) = self.sent_at.as_ref().filter(|_| silent(call)) {
            match time {
                Some(time) => {
                    call.rest.take("sentAt");
                    call.sent_at = Some(*time);
                }
                None => call.rest.set("sentAt", raw.clone()),
            }
            added += raw.bytes().len();
        }
        let Call { context, integrations, rest, .. } = call;
        for (name, own, common) in
            [("context", context, &self.context), ("integrations", integrations, &self.integrations)]
        {
            // Where it is something else than an object, validation says so.
            if rest.get(name).is_some() {
                continue;
            }
            for (member, value) in common.iter() {
                if own.get(member).is_none() {
                    added += member.len() + value.bytes().len() + 4;
                    own.set(member, value.clone());
                }
            }
        }
        added
    }
}

fn one(
    record: &Record,
    members: Result<Fields>,
    kind: Option<CallKind>,
    stored: &StoredDelivery,
    limits: Limits,
    at: (u64, u32),
    common: &Common,
) -> Fate {
    let bytes = record.bytes();
    let payload = || String::from_utf8_lossy(bytes).into_owned();
    let mut call = match members.and_then(|members| Call::of(members, kind)) {
        Ok(call) => call,
        Err(error) => return Fate::Rejected { reason: error.to_string(), payload: payload() },
    };
    let added = common.complete(&mut call);
    if let Some(reason) = validate::reason(&call, bytes.len() + added, limits.call_bytes) {
        return Fate::Rejected { reason: reason.to_owned(), payload: payload() };
    }
    if call.message_id.is_empty() {
        call.message_id = made_id(record, stored, at);
    }
    address(&mut call, stored);
    Fate::Eligible(Box::new(timed(call, stored)))
}

/// The four timestamps: `timestamp = received_at − (sent_at − original_timestamp)`; without `sent_at` the sender's own, without any
/// our own. RudderStack's libraries send `originalTimestamp` themselves, and `timestamp` only where their user said when it was: that
/// stands.
fn timed(mut call: Call, stored: &StoredDelivery) -> Call {
    let received = stored.delivery.received_at;
    call.received_at = Some(received);
    call.timestamp = Some(match (call.timestamp, call.sent_at, call.original_timestamp) {
        (Some(said), _, Some(original)) if said != original => said,
        (_, Some(sent), Some(original)) => {
            received.saturating_sub(sent.duration_since(original)).unwrap_or(original)
        }
        (_, _, Some(original)) => original,
        (_, _, None) => received,
    });
    call
}

/// The sender's address, where the sender is the user's own device: a browser, a pixel, or one that says so.
fn address(call: &mut Call, stored: &StoredDelivery) {
    let direct = call.context.get("direct").is_some_and(|raw| raw.bytes().as_ref() == b"true");
    let device = direct || stored.kind == DeliveryKind::Pixel || stored.delivery.header("origin").is_some();
    let Some(remote) = stored.delivery.header(REMOTE).filter(|_| device) else { return };
    if call.context.get("ip").is_none() && remote.parse::<IpAddr>().is_ok() {
        call.context.set("ip", Raw::string(remote));
    }
    if stored.kind == DeliveryKind::Pixel && call.context.get("userAgent").is_none() {
        call.context.set_text("userAgent", stored.delivery.header("user-agent"));
    }
}

/// The message id of a call that came without: the same each time this delivery is mapped.
fn made_id(record: &Record, stored: &StoredDelivery, (seq, index): (u64, u32)) -> String {
    let mut digest = Sha256::new();
    digest.update(seq.to_le_bytes());
    digest.update(index.to_le_bytes());
    digest.update(stored.delivery.received_at.as_nanosecond().to_le_bytes());
    digest.update(record.bytes());
    format!("headwater-{}", hex::encode(&digest.finalize()[..16]))
}
