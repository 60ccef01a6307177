//! Where a row comes from, and what became of a message.

use std::collections::{BTreeMap, BTreeSet};

use headwater_core::{
    error::{Error, Result},
    spec::CallKind,
};
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;

use super::{Live, Service, control::Say};
use crate::{
    inbox::{Frame, StoredDelivery},
    pipeline::{
        Fate,
        books::seen_key,
        frame,
        loader::{POSITION, Position},
        normalise,
        normaliser::answer,
        replay::delivery,
    },
    warehouse::{
        Found, Note, Schema,
        calls::{KIND_TABLES, event_table, table_of},
        table::Layout,
    },
};

/// Bytes of a log that are read at once.
const CHUNK: usize = 4 << 20;
/// Bytes of the inbox that are searched for a message nobody remembers, the newest; with `--all`, all of them.
const SEARCHED: u64 = 1 << 30;
/// Deliveries that are told of at most.
const MOST: usize = 100;

impl Service {
    /// The row, what loaded it, and the run or the delivery behind that.
    pub(super) async fn trace_row(&self, schema: &str, table: &str, key: Vec<String>) -> Result<Value> {
        let known: Vec<&str> = self.sources.keys().map(String::as_str).collect();
        let exists = self.schema_names()?.iter().any(|name| name == schema);
        if !exists {
            return Err(Error::config(format!(
                "there is no schema {schema}; a source's tables are in the schema of its name: {}",
                known.join(", ")
            )));
        }
        let opened = self.warehouse.schema(schema).await?;
        let found = opened.find(table, &[], std::slice::from_ref(&key)).await?;
        let found = found.ok_or_else(|| {
            Error::config(format!(
                "schema {schema} has no table {table}: headwater query lists the near ones"
            ))
        })?;
        let Some(row) = found.rows.first() else {
            return Err(Error::config(format!(
                "{schema}.{table} has no row with {} = {}",
                found.key.join(", "),
                key.join(", ")
            )));
        };
        let row: Map<String, Value> = found
            .columns
            .iter()
            .zip(row)
            .filter(|(_, cell)| **cell != crate::warehouse::table::Cell::Null)
            .map(|(column, cell)| (column.name.clone(), cell.json()))
            .collect();
        let text = |name: &str| row.get(name).and_then(Value::as_str);
        let load = match text("_headwater_load") {
            Some(id) => opened.note(Note::Load, id).await?,
            None => None,
        };
        let run = match load.as_ref().and_then(|load| load.get("run")?.as_str()) {
            Some(id) => opened.note(Note::Run, id).await?,
            None => None,
        };
        let item = text("_headwater_delivery").map(str::to_owned);
        let delivery = match item.as_deref().and_then(|item| Some((item, delivery(item)?))) {
            Some((item, seq)) => Some(self.delivery(&self.live().await?, seq, item).await?),
            None => None,
        };
        let kept_by = (found.layout == Layout::Entity).then_some(
            "the delivery that changed it last: the state of a user or account comes of all of theirs",
        );
        Ok(
            json!({ "table": format!("{schema}.{table}"), "row": row, "load": load, "run": run, "delivery": delivery, "note": kept_by }),
        )
    }

    /// Every schema that a source has tables in.
    fn schema_names(&self) -> Result<Vec<String>> {
        let mut names: Vec<String> = self.sources.keys().cloned().collect();
        for source in self.sources.values() {
            names.push(source.calls_schema()?);
        }
        Ok(names)
    }

    /// A delivery as it is kept, without its body.
    async fn delivery(&self, live: &Live, seq: u64, item: &str) -> Result<Value> {
        let Some(stored) = stored(live, seq).await? else {
            let first = live.inbox.stats().first;
            return Ok(json!({ "delivery": seq, "item": place(item), "kept": false,
                "why": format!("the inbox keeps deliveries from {first} on; receive.keep and receive.keep_bytes say how long") }));
        };
        Ok(told(seq, Some(item), &stored))
    }

    /// Every delivery that carried a message, and what became of it.
    pub(super) async fn trace_message(&self, id: &str, all: bool, tell: mpsc::Sender<Say>) -> Result<Value> {
        let live = self.live().await?;
        let mut known: BTreeMap<u64, StoredDelivery> = BTreeMap::new();
        let mut owners: BTreeMap<String, u64> = BTreeMap::new();
        for source in self.sources.keys() {
            let Some(seq) = live.books.delivery_of(seen_key(source, id)).await? else { continue };
            owners.insert(source.clone(), seq);
            known.extend(stored(&live, seq).await?.map(|stored| (seq, stored)));
        }
        let mut searched = Value::Null;
        if all || owners.is_empty() {
            searched = self.search(&live, id, all, &mut known, &tell).await?;
        }
        let mut deliveries = Vec::new();
        let mut schemas: BTreeSet<String> = BTreeSet::new();
        let sources = live.normaliser.sources();
        for (seq, stored) in &known {
            let source = sources.get(&stored.source);
            let mut items = Vec::new();
            if let Some(source) = source {
                let made = normalise(stored, source, &sources, live.normaliser.limits(), *seq);
                for (source, made) in std::iter::once((source.clone(), made.items)).chain(made.others) {
                    schemas.insert(source.calls_schema.clone());
                    let owner = owners.get(&source.name).copied();
                    for (index, fate) in made {
                        items.extend(
                            fate_of(&fate, id, owner, *seq)
                                .map(|fate| json!({ "item": index, "fate": fate })),
                        );
                    }
                }
            }
            let rejected: Vec<Value> = live
                .books
                .rejected_of(*seq)
                .await?
                .into_iter()
                .filter(|item| item.payload.contains(id))
                .map(
                    |item| json!({ "item": item.item, "fate": { "is": "rejected", "because": item.reason } }),
                )
                .collect();
            let mut delivery = told(*seq, None, stored);
            delivery["items"] = if items.is_empty() { rejected.into() } else { items.into() };
            if source.is_none() {
                delivery["unrouted"] = json!(format!("source {} is not enabled", stored.source));
            }
            deliveries.push(delivery);
        }
        if schemas.is_empty() {
            // Its delivery is gone, its rows may not be.
            for source in self.sources.values() {
                schemas.insert(source.calls_schema()?);
            }
        }
        let mut consumers = Vec::new();
        for schema in schemas {
            consumers.extend(self.arrived(&live, &schema, id, known.keys().copied().collect()).await?);
        }
        let frame = in_calls(&live, known.keys().copied().collect(), id).await?;
        let mut arrived = self.destinations.arrived(id, frame.as_ref()).await?;
        // Of a message that nobody has heard of, a destination has nothing to say.
        arrived.retain(|line| !known.is_empty() || line.get("unknown").is_none());
        consumers.extend(arrived);
        Ok(
            json!({ "message_id": id, "deliveries": deliveries, "consumers": consumers, "searched": searched }),
        )
    }

    /// Where a message is in a schema: in which tables, or on its way.
    async fn arrived(
        &self,
        live: &Live,
        schema: &str,
        id: &str,
        deliveries: Vec<u64>,
    ) -> Result<Option<Value>> {
        let name = format!("schema {schema}");
        let opened = match self.warehouse.schema(schema).await {
            Ok(opened) => opened,
            Err(error) => return Ok(Some(json!({ "consumer": name, "unknown": error.to_string() }))),
        };
        let mut rows = Vec::new();
        for table in KIND_TABLES {
            let Some((found, item, event)) = row(&*opened, table, id).await? else { continue };
            rows.push(json!({ "table": format!("{schema}.{table}"), "delivery": item, "load": found }));
            if let Some(event) = event
                && let Some((load, item, _)) = row(&*opened, &event, id).await?
            {
                rows.push(json!({ "table": format!("{schema}.{event}"), "delivery": item, "load": load }));
            }
        }
        if !rows.is_empty() {
            return Ok(Some(json!({ "consumer": name, "outcome": "delivered", "rows": rows })));
        }
        let stored = opened.progress().await?.remove(POSITION).unwrap_or_default();
        let position: Position = serde_json::from_value(stored).unwrap_or_default();
        let Some(seq) = in_flight(live, schema, position.seq, &deliveries, id).await? else {
            return Ok(None);
        };
        Ok(Some(json!({ "consumer": name, "outcome": "in flight",
            "why": format!("call {seq} of the calls log; the schema has been loaded to {}", position.seq) })))
    }

    /// Looks through the inbox for deliveries that carry a message; adds them to `known`, and says how far it looked.
    async fn search(
        &self,
        live: &Live,
        id: &str,
        all: bool,
        known: &mut BTreeMap<u64, StoredDelivery>,
        tell: &mpsc::Sender<Say>,
    ) -> Result<Value> {
        let stats = live.inbox.stats();
        let sources = live.normaliser.sources();
        let share = if all { 1.0 } else { (SEARCHED as f64 / stats.bytes.max(1) as f64).min(1.0) };
        // Deliveries are of about the same size: so many of the newest.
        let first = stats.last + 1 - ((stats.last + 1 - stats.first) as f64 * share) as u64;
        let mut next = first.max(stats.first);
        while next <= stats.last {
            // Nobody may be listening any more.
            let _ = tell.send(Say::Searching { delivery: next, last: stats.last }).await;
            let batch = live.inbox.read(next, CHUNK).await?;
            if batch.next == next {
                break;
            }
            let answers = live.books.answers(next, batch.next).await?;
            next = batch.next;
            for frame in batch.frames {
                if known.len() >= MOST {
                    return Ok(json!({ "from": first, "to": frame.seq - 1, "kept_from": stats.first }));
                }
                let Ok(mut stored) = StoredDelivery::decode(&frame.body) else { continue };
                let Some(source) = sources.get(&stored.source) else { continue };
                answer(&mut stored, frame.seq, &answers);
                let made = normalise(&stored, source, &sources, live.normaliser.limits(), frame.seq);
                let mut items = made.items.iter().chain(made.others.iter().flat_map(|(_, items)| items));
                if items.any(|(_, fate)| fate_of(fate, id, None, frame.seq).is_some()) {
                    known.insert(frame.seq, stored);
                }
            }
        }
        Ok(json!({ "from": first, "to": stats.last, "kept_from": stats.first }))
    }
}

/// What an item became, if it carries the message. `owner` is the delivery that the message belongs to.
fn fate_of(fate: &Fate, id: &str, owner: Option<u64>, seq: u64) -> Option<Value> {
    match fate {
        Fate::Eligible(call) if call.message_id == id => Some(match owner {
            Some(owner) if owner != seq => json!({ "is": "duplicate", "of_delivery": owner }),
            _ => {
                let event =
                    call.name.as_deref().filter(|_| call.kind == CallKind::Track).and_then(event_table);
                json!({ "is": "eligible", "type": call.kind.name(), "name": call.name, "table": table_of(call.kind), "event_table": event })
            }
        }),
        Fate::Filtered { rule, message_id } if message_id == id => {
            Some(json!({ "is": "filtered", "by": rule }))
        }
        Fate::Rejected { reason, payload } if payload.contains(id) => {
            Some(json!({ "is": "rejected", "because": reason }))
        }
        _ => None,
    }
}

/// The load, the item and the event's table of a message's row.
async fn row(
    schema: &dyn Schema,
    table: &str,
    id: &str,
) -> Result<Option<(Option<String>, Option<String>, Option<String>)>> {
    let Some(found) = schema.find(table, &[], &[vec![id.to_owned()]]).await? else { return Ok(None) };
    if found.rows.is_empty() {
        return Ok(None);
    }
    let event = if table == "tracks" { text(&found, "event") } else { None };
    Ok(Some((text(&found, "_headwater_load"), text(&found, "_headwater_delivery"), event)))
}

fn text(found: &Found, column: &str) -> Option<String> {
    let place = found.columns.iter().position(|known| known.name == column)?;
    found.rows.first()?.get(place)?.text().map(|text| text.into_owned())
}

/// The frame with which a message is on its way to a schema.
async fn in_flight(
    live: &Live,
    schema: &str,
    loaded: u64,
    deliveries: &[u64],
    id: &str,
) -> Result<Option<u64>> {
    let ledger = live.books.ledger().await?;
    let mut next = loaded.max(ledger.loaded) + 1;
    while next <= ledger.calls {
        let batch = live.calls.read(next, CHUNK).await?;
        if batch.next == next {
            break;
        }
        next = batch.next;
        for frame in &batch.frames {
            let Ok((address, record)) = frame::decode(&frame.body) else { continue };
            let meant = address.schema == schema
                && delivery(&address.delivery)
                    .is_some_and(|seq| deliveries.is_empty() || deliveries.contains(&seq));
            if meant && record.text("messageId").ok().flatten().as_deref() == Some(id) {
                return Ok(Some(frame.seq));
            }
        }
    }
    Ok(None)
}

/// The frame of the calls log that carries a message of one of these deliveries. Frames stand in the order of their deliveries, but for
/// those of replays, which come later: where one of those is met on the way, what is looked for may not be found.
async fn in_calls(live: &Live, deliveries: Vec<u64>, id: &str) -> Result<Option<Frame>> {
    let Some(wanted) = deliveries.into_iter().min() else { return Ok(None) };
    let (mut first, mut end) = (live.calls.stats().first, live.books.ledger().await?.calls + 1);
    let last = end;
    while first < end {
        let middle = first + (end - first) / 2;
        let batch = live.calls.read(middle, 1).await?;
        let before = batch.frames.first().and_then(|frame| frame::decode(&frame.body).ok());
        match before.and_then(|(address, _)| delivery(&address.delivery)) {
            Some(seq) if seq >= wanted => end = middle,
            _ => first = middle + 1,
        }
    }
    while first < last {
        let batch = live.calls.read(first, CHUNK).await?;
        if batch.next == first {
            break;
        }
        first = batch.next;
        for frame in batch.frames {
            let Ok((address, record)) = frame::decode(&frame.body) else { continue };
            if delivery(&address.delivery).is_some_and(|seq| seq > wanted) {
                return Ok(None);
            }
            if address.collection.is_none() && record.text("messageId").ok().flatten().as_deref() == Some(id)
            {
                return Ok(Some(frame));
            }
        }
    }
    Ok(None)
}

async fn stored(live: &Live, seq: u64) -> Result<Option<StoredDelivery>> {
    let batch = live.inbox.read(seq, 1).await?;
    let frame = batch.frames.into_iter().find(|frame| frame.seq == seq);
    let Some(mut stored) = frame.and_then(|frame| StoredDelivery::decode(&frame.body).ok()) else {
        return Ok(None);
    };
    answer(&mut stored, seq, &live.books.answers(seq, seq).await?);
    Ok(Some(stored))
}

/// A delivery in words: what was kept of it, and no secret, because those are taken out before it is kept.
fn told(seq: u64, item: Option<&str>, stored: &StoredDelivery) -> Value {
    let delivery = &stored.delivery;
    let headers: Map<String, Value> = delivery
        .headers
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into()))
        .collect();
    json!({
        "delivery": seq,
        "item": item.and_then(place),
        "kept": true,
        "received_at": delivery.received_at,
        "source": stored.source,
        "connector": stored.connector,
        "kind": stored.kind.name(),
        "surface": stored.surface,
        "verified": stored.verified,
        "method": delivery.method.as_str(),
        "path": delivery.path_tail,
        "headers": headers,
        "bytes": delivery.body.len(),
    })
}

/// The item's place in its delivery.
fn place(item: &str) -> Option<u64> {
    item.split(':').nth(1)?.parse().ok()
}
