//! Every app at once: a source for each connector that receives, its recorded deliveries signed and posted as the vendor would, its
//! declared calls sent with the write key; and each is a row in the source's own schema.

use std::collections::{BTreeMap, BTreeSet};

use headwater_core::{
    auth::Secret,
    event::{Delivery, Output, Surface, map_delivery},
    signature::Signature,
    spec::{CallKind, CallType},
};
use headwater_tests::subject::Subject;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    house::{House, until},
    received::Site,
};

/// What the service is told that vendors reach it by: some sign it.
const PUBLIC: &str = "https://hooks.example.com";

/// The tables that hold every call once.
const TABLES: [&str; 6] = ["tracks", "identifies", "pages", "screens", "groups", "aliases"];

#[test]
fn every_delivery_of_every_app_becomes_its_rows() {
    let subjects: Vec<_> = Subject::all()
        .into_iter()
        .map(|(name, subject)| subject.unwrap_or_else(|why| panic!("{name}: {why}")))
        .collect();
    let sources: String = subjects.iter().map(|subject| source(subject)).collect();
    let house = House::empty();
    house.configure(&format!("[receive]\nlisten = \"127.0.0.1:0\"\npublic_url = \"{PUBLIC}\"\n{sources}"));
    let site = Site::at(house);
    let mut expected: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for subject in &subjects {
        let ids = expected.entry(schema(subject)).or_default();
        ids.extend(deliver(&site, subject));
        ids.extend(declared(&site, subject));
    }
    let posted: usize = expected.values().map(BTreeSet::len).sum();
    assert!(posted > 1_000, "only {posted} calls");
    for (schema, ids) in &expected {
        let count =
            || TABLES.map(|table| site.house.number(schema, &format!("SELECT count(*) FROM {table}")));
        until(&format!("{schema} has {} calls, and not {:?}", ids.len(), count()), || {
            count().iter().sum::<i64>() as usize >= ids.len()
        });
        let found: usize = count().iter().sum::<i64>() as usize;
        assert_eq!(found, ids.len(), "{schema}");
    }
    assert_eq!(site.house.rejected(), Vec::new(), "nothing that is documented is rejected");
    site.house.balances();
}

/// The name of a connector's source.
fn name(subject: &Subject) -> String {
    subject.connector.name.replace('-', "_")
}

/// The schema of its calls.
fn schema(subject: &Subject) -> String {
    let name = name(subject);
    if subject.connector.objects.is_some() { format!("{name}_events") } else { name }
}

/// A source as its user would write it.
fn source(subject: &Subject) -> String {
    let name = name(subject);
    format!(
        "[[source]]\nname = \"{name}\"\nconnector = \"{}\"\nwrite_key = \"{name}_key\"\nwebhook_key = \"hook\"\nsettings = {}\n",
        subject.connector.name,
        toml(&subject.fixtures.config.settings)
    )
}

/// JSON as an inline value of TOML.
fn toml(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let members = members.iter().filter(|(_, value)| !value.is_null());
            let members: Vec<String> =
                members.map(|(name, value)| format!("{} = {}", json!(name), toml(value))).collect();
            format!("{{ {} }}", members.join(", "))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(toml).collect::<Vec<_>>().join(", ")),
        // A dollar begins a variable.
        Value::String(text) => json!(text.replace('$', "$$")).to_string(),
        other => other.to_string(),
    }
}

/// Posts every recorded delivery; returns the ids of the calls that they stand for.
fn deliver(site: &Site, subject: &Subject) -> BTreeSet<String> {
    let mut ids = BTreeSet::new();
    for sample in &subject.fixtures.deliveries {
        let named = format!("{}::{}", subject.connector.name, sample.name);
        let (mut delivery, surface) = subject.delivery(sample).unwrap_or_else(|why| panic!("{named}: {why}"));
        // Fetched ones are not posted, and the vendors that look-ups ask are not here.
        if matches!(surface.signature, Signature::Pulled) || !delivery.lookups.is_empty() {
            continue;
        }
        let path =
            if sample.around.path.is_empty() { String::new() } else { format!("/{}", sample.around.path) };
        delivery.url = format!("{PUBLIC}/webhooks/{}/hook{path}", name(subject));
        sign(subject, surface, &mut delivery).unwrap_or_else(|why| panic!("{named}: {why}"));
        let query = if delivery.query.is_empty() { String::new() } else { format!("?{}", delivery.query) };
        let headers: Vec<(&str, &str)> = delivery
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.to_str().expect("a header that can be sent")))
            .collect();
        let to = format!("/webhooks/{}/hook{path}{query}", name(subject));
        let (status, _, text) = site.post(&to, &headers, delivery.body.clone());
        assert!((200..300).contains(&status), "{named}: {status} {text}");
        let source = subject.receiver().unwrap_or_else(|why| panic!("{named}: {why}"));
        if source.handshake(&delivery).is_some() {
            continue;
        }
        let mapped = map_delivery(subject.connector.name, &*source, surface, &delivery);
        ids.extend(mapped.outputs.into_iter().filter_map(|(_, output)| match output {
            Output::Call(call) => Some(call.message_id),
            Output::Change(_) => None,
        }));
    }
    ids
}

/// Signs it as the vendor does today, by the scheme that the source has been set up for.
fn sign(subject: &Subject, surface: &Surface, delivery: &mut Delivery) -> Result<(), String> {
    let one = match surface.signature {
        Signature::None { .. } => return Ok(()),
        Signature::Optional { one, .. } => *one,
        one => one,
    };
    let schemes = match one {
        Signature::Any(schemes) => schemes.to_vec(),
        one => vec![one],
    };
    let secrets = subject.receiver()?.secrets(surface);
    let private = &subject.fixtures.config.signing_keys;
    let signing: Vec<Secret> =
        if private.is_empty() { secrets.clone() } else { private.iter().map(Secret::new).collect() };
    let now = Timestamp::now();
    for scheme in schemes {
        for secret in &signing {
            let mut signed = delivery.clone();
            let is_good = scheme.sign(&mut signed, secret, now).is_ok()
                && surface.signature.verify(&signed, &secrets, now).is_ok();
            if is_good {
                *delivery = signed;
                return Ok(());
            }
        }
    }
    Err("none of its secrets signs it".into())
}

/// Sends each call that the vendor posts by itself, with the write key; returns their ids.
fn declared(site: &Site, subject: &Subject) -> Vec<String> {
    let offered = subject.connector.spec.iter().filter(|call| call.excused.is_none());
    let calls: Vec<Value> = offered.enumerate().map(|(place, call)| spoken(call, place)).collect();
    for batch in calls.chunks(100) {
        let body = json!({ "batch": batch, "writeKey": format!("{}_key", name(subject)) });
        let (status, _, text) = site.post("/v1/batch", &[], body.to_string());
        assert_eq!(status, 200, "{}: {text}", subject.connector.name);
    }
    calls.iter().filter_map(|call| Some(call["messageId"].as_str()?.to_owned())).collect()
}

/// A call as the vendor would post it, each of its properties filled.
fn spoken(call: &CallType, place: usize) -> Value {
    let mut spoken =
        json!({ "type": call.kind.name(), "messageId": format!("spec-{place}"), "userId": "u-1" });
    let name = if call.name.is_empty() { "Something Of Its Own" } else { call.name };
    match call.kind {
        CallKind::Track => spoken["event"] = json!(name),
        CallKind::Page | CallKind::Screen => spoken["name"] = json!(name),
        CallKind::Group => spoken["groupId"] = json!("g-1"),
        CallKind::Alias => spoken["previousId"] = json!("u-0"),
        CallKind::Identify => {}
    }
    let properties: serde_json::Map<String, Value> = call
        .property_names()
        .filter(|name| !name.starts_with("context."))
        .map(|name| (name.to_owned(), json!("x")))
        .collect();
    spoken[call.kind.body()] = properties.into();
    spoken
}
