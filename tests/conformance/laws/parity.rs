//! Everything that the catalog promises is there.

use headwater_core::{object::Collection, spec::CallType};

use super::{Verdict, declared::is_own_column, verdict};
use crate::{
    fixture::{Event, Object},
    subject::Subject,
};

/// Every collection, property and call of `catalog.json` is offered, or is excused in the connector with its reason: a
/// collection by `gone`, a column by `retired`, a call by `excused`. A property that ends in `_` or `*` is a prefix.
pub fn parity(subject: &Subject) -> Verdict {
    let mut wrong = Vec::new();
    for object in &subject.fixtures.catalog.objects {
        match subject.declared().iter().find(|collection| collection.name == object.name) {
            None => wrong.push(format!("there is no collection {}", object.name)),
            Some(collection) if collection.gone.is_some() => {}
            Some(collection) => properties(object, collection, &mut wrong),
        }
    }
    let own = subject.connector.events.map_or(&[][..], |events| events.webhook.calls);
    let calls: Vec<&CallType> = own.iter().chain(subject.connector.spec).collect();
    for event in &subject.fixtures.catalog.events {
        call(event, &calls, &mut wrong);
    }
    verdict(wrong)
}

fn properties(object: &Object, collection: &Collection, wrong: &mut Vec<String>) {
    let columns: Vec<&str> = collection.fields().flatten().map(|field| field.name).collect();
    for property in &object.properties {
        let offered =
            match property.strip_suffix('*').or(property.ends_with('_').then_some(property.as_str())) {
                Some(prefix) => columns.iter().any(|column| column.starts_with(prefix)),
                None => columns.contains(&property.as_str()) || collection.key.contains(&property.as_str()),
            };
        let excused = collection.retired.iter().any(|(name, _)| name == property);
        if !offered && !excused && !is_own_column(property) {
            wrong.push(format!("{} has no {property}, and does not say why", collection.name));
        }
    }
}

fn call(event: &Event, calls: &[&CallType], wrong: &mut Vec<String>) {
    let of: Vec<_> =
        calls.iter().filter(|call| call.kind.name() == event.call && call.name == event.name).collect();
    if of.is_empty() {
        wrong.push(format!("there is no {} {:?}", event.call, event.name));
        return;
    }
    if of.iter().any(|call| call.excused.is_some()) {
        return;
    }
    let names: Vec<&str> = of.iter().flat_map(|call| call.property_names()).collect();
    for property in &event.properties {
        let offered =
            match property.strip_suffix('*').or(property.ends_with('_').then_some(property.as_str())) {
                Some(prefix) => names.iter().any(|name| name.starts_with(prefix)),
                None => names.contains(&property.as_str()),
            };
        if !offered {
            wrong.push(format!("{} {:?} has no {property}", event.call, event.name));
        }
    }
}
