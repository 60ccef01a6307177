//! Calls as rows, laid out as Segment's warehouses are: a table for each kind of call, one for each event, and the
//! latest state of users and accounts.

use std::{collections::HashMap, sync::Arc};

use headwater_core::{
    object::{Op, Type},
    spec::{Call, CallKind},
};
use jiff::Timestamp;

use super::{
    Reject, name,
    table::{Batch, Cell, Layout, MAX_TABLES, Meta, Row, TableSpec},
};

type Columns = &'static [(&'static str, Type)];

const ID: (&str, Type) = ("id", Type::Text);
const ANONYMOUS_ID: (&str, Type) = ("anonymous_id", Type::Text);
const USER_ID: (&str, Type) = ("user_id", Type::Text);
const TIMESTAMP: (&str, Type) = ("timestamp", Type::Time);
const ORIGINAL_TIMESTAMP: (&str, Type) = ("original_timestamp", Type::Time);
const SENT_AT: (&str, Type) = ("sent_at", Type::Time);

const COMMON: Columns = &[ID, ANONYMOUS_ID, USER_ID, TIMESTAMP, ORIGINAL_TIMESTAMP, SENT_AT];
const TRACK: Columns = &[
    ID,
    ANONYMOUS_ID,
    USER_ID,
    TIMESTAMP,
    ORIGINAL_TIMESTAMP,
    SENT_AT,
    ("event", Type::Text),
    ("event_text", Type::Text),
];
const PAGE: Columns = &[
    ID,
    ANONYMOUS_ID,
    USER_ID,
    TIMESTAMP,
    ORIGINAL_TIMESTAMP,
    SENT_AT,
    ("name", Type::Text),
    ("category", Type::Text),
];
const GROUP: Columns =
    &[ID, ANONYMOUS_ID, USER_ID, TIMESTAMP, ORIGINAL_TIMESTAMP, SENT_AT, ("group_id", Type::Text)];
const ALIAS: Columns =
    &[ID, ANONYMOUS_ID, USER_ID, TIMESTAMP, ORIGINAL_TIMESTAMP, SENT_AT, ("previous_id", Type::Text)];
const ENTITY: Columns = &[ID];

/// The tables of calls, whose names no event can have.
pub const CALL_TABLES: [&str; 8] =
    ["accounts", "aliases", "groups", "identifies", "pages", "screens", "tracks", "users"];

/// The tables that hold every call, once each.
pub const KIND_TABLES: [&str; 6] = ["aliases", "groups", "identifies", "pages", "screens", "tracks"];

/// The table that an event's calls go to; none for an event without a name.
pub fn event_table(event: &str) -> Option<String> {
    if event.is_empty() {
        return None;
    }
    let table = name::table(event);
    Some(if CALL_TABLES.contains(&table.as_str()) { format!("{table}_event") } else { table })
}

/// Calls on their way into one schema, by table.
#[derive(Debug, Default)]
pub struct CallBatches {
    batches: HashMap<String, Batch>,
    /// The tables of events that have been met.
    events: HashMap<String, Option<String>>,
    /// Calls whose event got no table, because this load has too many.
    crowded: u64,
}

impl CallBatches {
    /// No calls yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a call's rows, or says why it has none. `delivery` is what it came in.
    pub fn push(&mut self, call: &Call, delivery: &str) -> Result<(), Reject> {
        let kind_table = table_of(call.kind);
        let reject = |reason: &str| Reject {
            table: kind_table.into(),
            reason: reason.into(),
            payload: call.to_json(),
        };
        if call.message_id.is_empty() {
            return Err(reject("messageId is missing: without it a call cannot be told from its duplicates"));
        }
        let received_at = call.received_at.or(call.timestamp).unwrap_or_else(Timestamp::now);
        let delivery: Arc<str> = delivery.into();
        let row = |version, op, cells| Row {
            op,
            version,
            meta: Meta { pass: None, overlap: false, received_at, delivery: Some(delivery.clone()) },
            deleted: false,
            cells,
            extra: Vec::new(),
            call: None,
        };
        let wrong = |error: headwater_core::error::Error| reject(&error.to_string());

        let tracked = call.kind == CallKind::Track;
        let event = call.name.as_deref().filter(|_| tracked).and_then(|event| self.event(event));
        let event = event.as_deref();
        let columns = match call.kind {
            CallKind::Identify => COMMON,
            CallKind::Track => TRACK,
            CallKind::Page | CallKind::Screen => PAGE,
            CallKind::Group => GROUP,
            CallKind::Alias => ALIAS,
        };
        let properties = Some(&call.properties).filter(|_| !tracked);
        self.batch(kind_table, Layout::Call, columns)
            .push_call(
                row(None, Op::Upsert, cells(call, columns, event, received_at)),
                &call.context,
                properties,
                &call.rest,
            )
            .map_err(wrong)?;

        if let Some(table) = event {
            if self.batches.len() >= MAX_TABLES && !self.batches.contains_key(table) {
                self.crowded += 1;
            } else {
                let place = self.batch(kind_table, Layout::Call, columns).len() as u32 - 1;
                let row = Row {
                    call: Some(place),
                    ..row(None, Op::Upsert, cells(call, TRACK, event, received_at))
                };
                let properties = Some(&call.properties);
                self.batch(table, Layout::Event, TRACK)
                    .push_call(row, &call.context, properties, &call.rest)
                    .map_err(wrong)?;
            }
        }
        let entity = match call.kind {
            CallKind::Identify => call.user_id.as_ref().map(|id| ("users", id)),
            CallKind::Group => call.group_id.as_ref().map(|id| ("accounts", id)),
            _ => None,
        };
        if let Some((table, id)) = entity.filter(|(_, id)| !id.is_empty()) {
            let row = row(Some(received_at.as_microsecond()), Op::Patch, vec![(0, text(id))]);
            self.batch(table, Layout::Entity, ENTITY)
                .push_call(row, &call.context, Some(&call.properties), &Default::default())
                .map_err(wrong)?;
        }
        Ok(())
    }

    /// About how many bytes of memory they hold.
    pub fn size(&self) -> usize {
        self.batches.values().map(Batch::size).sum()
    }

    /// Calls that are only in `tracks`, because this load has more events than a schema can have tables.
    pub fn crowded(&self) -> u64 {
        self.crowded
    }

    /// The rows, by table, in the tables' order.
    pub fn into_batches(self) -> Vec<Batch> {
        let mut batches: Vec<Batch> = self.batches.into_values().collect();
        batches.sort_by(|one, other| one.spec().name.cmp(&other.spec().name));
        batches
    }

    fn batch(&mut self, table: &str, layout: Layout, columns: Columns) -> &mut Batch {
        self.batches
            .entry(table.to_owned())
            .or_insert_with(|| Batch::new(Arc::new(TableSpec::call(table, layout, columns))))
    }

    /// The table of an event: names are made once for each.
    fn event(&mut self, event: &str) -> Option<String> {
        if let Some(known) = self.events.get(event) {
            return known.clone();
        }
        let table = event_table(event);
        // Senders can make up as many names as they like.
        if self.events.len() < MAX_TABLES {
            self.events.insert(event.to_owned(), table.clone());
        }
        table
    }
}

/// The table of a kind of call.
pub fn table_of(kind: CallKind) -> &'static str {
    match kind {
        CallKind::Identify => "identifies",
        CallKind::Track => "tracks",
        CallKind::Page => "pages",
        CallKind::Screen => "screens",
        CallKind::Group => "groups",
        CallKind::Alias => "aliases",
    }
}

fn cells(call: &Call, columns: Columns, event: Option<&str>, received_at: Timestamp) -> Vec<(u32, Cell)> {
    let cell = |name: &str| match name {
        "id" => text(&call.message_id),
        "anonymous_id" => maybe(&call.anonymous_id),
        "user_id" => maybe(&call.user_id),
        "timestamp" => Cell::Time(call.timestamp.unwrap_or(received_at)),
        "original_timestamp" => call.original_timestamp.map_or(Cell::Null, Cell::Time),
        "sent_at" => call.sent_at.map_or(Cell::Null, Cell::Time),
        "event" => event.map_or(Cell::Null, Cell::from),
        "event_text" | "name" => maybe(&call.name),
        "category" => maybe(&call.category),
        "group_id" => maybe(&call.group_id),
        "previous_id" => maybe(&call.previous_id),
        _ => Cell::Null,
    };
    (0..).zip(columns).map(|(place, (name, _))| (place, cell(name))).collect()
}

fn maybe(value: &Option<String>) -> Cell {
    value.as_deref().map_or(Cell::Null, text)
}

/// Text without NUL: strings that come from a parsed call are whole otherwise.
fn text(value: &str) -> Cell {
    Cell::Text(if value.contains('\0') { value.replace('\0', "\u{fffd}") } else { value.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_never_takes_the_table_of_a_call() {
        assert_eq!(event_table("Order Completed").as_deref(), Some("order_completed"));
        for table in CALL_TABLES {
            assert_eq!(event_table(table), Some(format!("{table}_event")));
        }
        assert_eq!(event_table(""), None);
        assert!(event_table("注文").is_some_and(|table| table.starts_with('_')));
    }

    #[test]
    fn a_call_needs_an_id() {
        assert!(CallBatches::new().push(&Call::track("x"), "d").is_err());
    }
}
