//! There is something for the laws to look at.

use headwater_core::{
    event::{Output, map_delivery},
    object::From,
    spec::CallType,
};

use super::{Verdict, verdict};
use crate::subject::Subject;

/// Every list and feed has a recording; a webhook has at least one delivery for each call that it makes, and for each
/// collection that only webhooks fill; each delivery has its calls beside it; no file lies about that nothing reads.
pub fn fixtures(subject: &Subject) -> Verdict {
    let mut wrong: Vec<String> =
        subject.fixtures.strays.iter().map(|file| format!("{file} belongs to nothing")).collect();
    let recorded: Vec<&str> = subject.fixtures.recorded().collect();
    let lists = subject
        .declared()
        .iter()
        .filter(|collection| collection.from == From::List && collection.gone.is_none());
    for collection in lists.chain(subject.feeds()) {
        if !recorded.contains(&collection.name) {
            wrong.push(format!("{}.http is missing", collection.name));
        }
    }
    if subject.connector.objects.is_none() && !recorded.is_empty() {
        wrong.push("there are recordings of a connector that has no objects".into());
    }
    for sample in subject.fixtures.deliveries.iter().filter(|sample| sample.calls.is_none()) {
        wrong.push(format!("{0}.json has no {0}.calls.json", sample.name));
    }
    let made = outputs(subject)?;
    let own = subject.connector.events.map_or(&[][..], |events| events.webhook.calls);
    for call in own.iter().filter(|call| call.excused.is_none()) {
        let met = made.iter().any(|output| match output {
            Output::Call(made) => stands_for(call, own, made.kind, made.name.as_deref().unwrap_or_default()),
            Output::Change(_) => false,
        });
        if !met {
            wrong.push(format!("no delivery becomes {} {:?} ({})", call.kind.name(), call.name, call.native));
        }
    }
    for collection in subject.declared().iter().filter(|collection| collection.from == From::Pushed) {
        let met = made
            .iter()
            .any(|output| matches!(output, Output::Change(change) if change.collection == collection.name));
        if !met {
            wrong.push(format!("no delivery changes {}, which only webhooks fill", collection.name));
        }
    }
    verdict(wrong)
}

/// Whether a call is of this type; one without a name is any of its kind that has no type of its own.
fn stands_for(call: &CallType, all: &[CallType], kind: headwater_core::spec::CallKind, name: &str) -> bool {
    let named = |call: &CallType| call.kind == kind && call.name == name;
    named(call)
        || (call.kind == kind
            && call.name.is_empty()
            && !all.iter().any(|other| !other.name.is_empty() && named(other)))
}

/// What all deliveries become.
fn outputs(subject: &Subject) -> Result<Vec<Output>, String> {
    let mut all = Vec::new();
    for sample in &subject.fixtures.deliveries {
        let source = subject.receiver()?;
        let (delivery, surface) =
            subject.delivery(sample).map_err(|why| format!("{}: {why}", sample.name))?;
        let mapped = map_delivery(subject.connector.name, &*source, surface, &delivery);
        all.extend(mapped.outputs.into_iter().map(|(_, output)| output));
    }
    Ok(all)
}
