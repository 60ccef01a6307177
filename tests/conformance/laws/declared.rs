//! What a connector declares: its settings, its names.

use std::path::Path;

#[cfg(feature = "program")]
use headwater::warehouse::table::{Layout, TableSpec};
use headwater_connectors::ALL;
use headwater_core::{
    cursor::{Since, Windows},
    name::MAX_IDENTIFIER,
    object::{Collection, Deletes, From},
    signature::Signature,
    spec::{CallKind, CallType},
};
use serde_json::{Value, json};

use super::{Verdict, verdict};
use crate::subject::Subject;

/// Every setting has a doc comment; what is named like a secret is one; unknown settings are refused; the settings of
/// `config.json` open the source, and none of its secrets shows in what the source says of itself.
pub fn config(subject: &Subject) -> Verdict {
    let mut wrong = Vec::new();
    let connector = subject.connector;
    let schema = (connector.settings)().to_value();
    walk(&schema, &schema, "settings", &mut wrong);
    if schema.get("description").and_then(Value::as_str).is_none_or(|text| text.trim().is_empty()) {
        wrong.push("the settings have no doc comment".into());
    }
    let config = &subject.fixtures.config;
    if let Err(error) = connector.validate(&config.settings) {
        wrong.push(format!("config.json does not open: {error}"));
    }
    let mut unknown = config.settings.clone();
    if let Some(members) = unknown.as_object_mut() {
        members.insert("no_such_setting".into(), json!(1));
    }
    if connector.validate(&unknown).is_ok() {
        wrong.push("an unknown setting is taken".into());
    }
    if let Some(objects) = connector.objects {
        let api = (objects.open)(config.settings.clone()).and_then(|source| source.api(&config.account));
        match api {
            Ok(api) => {
                let shown = format!("{api:?}");
                for secret in secrets(&config.settings) {
                    if shown.contains(&secret) {
                        wrong.push(format!("the secret {secret:?} of config.json shows in the API's Debug"));
                    }
                }
            }
            Err(error) => wrong.push(format!("config.json makes no API: {error}")),
        }
    }
    verdict(wrong)
}

/// Goes through a schema's settings.
fn walk(root: &Value, schema: &Value, at: &str, wrong: &mut Vec<String>) {
    let schema = resolve(root, schema);
    if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
        if schema.get("additionalProperties") != Some(&Value::Bool(false)) {
            wrong
                .push(format!("{at}: unknown settings are not refused: write #[serde(deny_unknown_fields)]"));
        }
        for (name, setting) in properties {
            let at = format!("{at}.{name}");
            // A tag tells variants apart; the variants have doc comments.
            if setting.get("const").is_some() {
                continue;
            }
            let told = |schema: &Value| {
                schema.get("description").and_then(Value::as_str).is_some_and(|text| !text.trim().is_empty())
            };
            if !told(setting) {
                wrong.push(format!("{at} has no doc comment"));
            }
            if !is_snake(name) {
                wrong.push(format!("{at} is not in lower snake case"));
            }
            if is_secret(name) && !is_hidden(root, setting) {
                wrong.push(format!("{at} is named like a secret: make it a Secret"));
            }
            walk(root, setting, &at, wrong);
        }
    }
    for kind in ["anyOf", "oneOf", "allOf"] {
        for one in schema.get(kind).and_then(Value::as_array).into_iter().flatten() {
            walk(root, one, at, wrong);
        }
    }
    if let Some(items) = schema.get("items") {
        walk(root, items, at, wrong);
    }
}

fn resolve<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    let target =
        schema.get("$ref").and_then(Value::as_str).and_then(|at| root.pointer(at.trim_start_matches('#')));
    target.unwrap_or(schema)
}

/// Whether every form of a setting that is text is hidden.
fn is_hidden(root: &Value, schema: &Value) -> bool {
    let schema = resolve(root, schema);
    if schema.get("writeOnly") == Some(&Value::Bool(true)) {
        return true;
    }
    let of = |kind: &str| schema.get(kind).and_then(Value::as_array).cloned().unwrap_or_default();
    let forms: Vec<Value> = ["anyOf", "oneOf", "allOf"]
        .iter()
        .flat_map(|kind| of(kind))
        .chain(schema.get("items").cloned())
        .collect();
    let is_null = |form: &Value| form.get("type").is_some_and(|kind| kind == "null");
    let forms: Vec<&Value> = forms.iter().filter(|form| !is_null(form)).collect();
    !forms.is_empty() && forms.iter().all(|form| is_hidden(root, form))
}

fn is_secret(name: &str) -> bool {
    let public = ["_id", "_url", "_name", "_header", "_type", "_ids", "_seconds"];
    let telling =
        ["secret", "token", "password", "api_key", "private_key", "passphrase", "signing_key", "secret_key"];
    !public.iter().any(|end| name.ends_with(end))
        && (telling.iter().any(|word| name.contains(word)) || name == "key" || name.ends_with("_key"))
}

/// The secrets that the settings hold.
fn secrets(settings: &Value) -> Vec<String> {
    fn collect(name: &str, value: &Value, out: &mut Vec<String>) {
        match value {
            Value::Object(members) => members.iter().for_each(|(name, value)| collect(name, value, out)),
            Value::Array(items) => items.iter().for_each(|value| collect(name, value, out)),
            Value::String(text) if is_secret(name) && text.len() >= 8 => out.push(text.clone()),
            _ => {}
        }
    }
    let mut out = Vec::new();
    collect("", settings, &mut out);
    out
}

/// Names are lower snake case and fit every warehouse; fields parse, none is declared twice, keys are among the columns;
/// what a collection names (parents, feeds, hosts, limits) exists; every call has a name where the Spec wants one, and
/// every unsigned surface says why.
pub fn names(subject: &Subject) -> Verdict {
    let mut wrong = Vec::new();
    let connector = subject.connector;
    let is_slug = connector.name.starts_with(|c: char| c.is_ascii_lowercase())
        && connector.name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if !is_slug {
        wrong.push(format!("{:?} is no slug", connector.name));
    }
    if connector.title.trim().is_empty()
        || connector.category.trim().is_empty()
        || !connector.docs.starts_with("https://")
    {
        wrong.push("title, category and docs (an https address) have to be given".into());
    }
    let mut seen = std::collections::BTreeSet::new();
    for collection in subject.declared() {
        let name = collection.name;
        if !seen.insert(name) {
            wrong.push(format!("{name} is declared twice"));
        }
        columns(collection, &mut wrong);
        relations(subject, collection, &mut wrong);
    }
    for feed in subject.connector.objects.map_or(&[][..], |objects| objects.feeds) {
        relations(subject, &feed.read, &mut wrong);
        for name in feed.fills {
            if !subject.declared().iter().any(|collection| collection.name == *name) {
                wrong.push(format!("feed {}: it fills {name}, which is no collection", feed.read.name));
            }
        }
        if subject.declared().iter().any(|collection| collection.name == feed.read.name) {
            wrong.push(format!(
                "feed {}: a collection has the same name, and they would share progress",
                feed.read.name
            ));
        }
    }
    let own = connector.events.map_or(&[][..], |events| events.webhook.calls);
    for call in own.iter().chain(connector.spec) {
        call_type(call, &mut wrong);
    }
    for surface in connector.events.map_or(&[][..], |events| events.webhook.surfaces) {
        if matches!(surface.signature, Signature::None { why } | Signature::Optional { why, .. } if why.trim().is_empty())
        {
            wrong.push(format!("surface {:?}: it may be unsigned, and does not say why", surface.path));
        }
    }
    verdict(wrong)
}

fn columns(collection: &Collection, wrong: &mut Vec<String>) {
    let name = collection.name;
    if !is_snake(name.strip_prefix('_').unwrap_or(name)) || name.len() > MAX_IDENTIFIER {
        wrong.push(format!("{name} is not in lower snake case, or too long"));
    }
    #[cfg(feature = "program")]
    if let Err(error) = TableSpec::object(collection) {
        wrong.push(error.to_string());
    }
    let fields: Vec<_> = collection.fields().flatten().collect();
    for field in &fields {
        let column = field.name.trim_end_matches('_');
        if !is_snake(column) {
            wrong.push(format!("{name}.{} is not in lower snake case", field.name));
        }
    }
    let is_filled = |key: &str| fields.iter().any(|field| field.name == key);
    for key in collection.key.iter().filter(|key| !is_filled(key)) {
        // The rows of an object that nothing documents may still have it; the law `keys` looks.
        if !collection.fields.is_empty() {
            wrong.push(format!("{name}: the key {key} is none of its fields"));
        }
    }
    for (column, reason) in collection.retired {
        if is_filled(column) {
            wrong.push(format!("{name}.{column} is retired, and a field"));
        }
        if reason.trim().is_empty() {
            wrong.push(format!("{name}.{column} is retired without a reason"));
        }
    }
}

/// What a collection names has to be there.
fn relations(subject: &Subject, collection: &Collection, wrong: &mut Vec<String>) {
    let name = collection.name;
    let is_collection = |name: &str| subject.declared().iter().any(|known| known.name == name);
    let is_feed = |name: &str| subject.feeds().any(|feed| feed.name == name);
    let parents: Vec<&str> = match collection.from {
        From::Nested { of, .. } => of.iter().map(|(parent, _)| *parent).collect(),
        From::Children { of, .. } => of.to_vec(),
        From::Feed(feed) if !is_feed(feed) => {
            wrong.push(format!("{name}: there is no feed {feed}"));
            Vec::new()
        }
        _ => Vec::new(),
    };
    for parent in parents.into_iter().filter(|parent| !is_collection(parent)) {
        wrong.push(format!("{name}: its parent {parent} is no collection"));
    }
    if let Deletes::Feed(feed) = collection.deletes
        && !is_feed(feed)
    {
        wrong.push(format!("{name}: there is no feed {feed} to tell its deletions"));
    }
    if let Some(Windows { span, epoch, .. }) = collection.windows {
        let bounded =
            matches!(collection.since, Some(Since::Time { until: Some(_), .. } | Since::Span { .. }));
        if !bounded || span.is_zero() || epoch.parse::<jiff::Timestamp>().is_err() {
            wrong.push(format!("{name}: windows need an upper bound, a span and an epoch"));
        }
    }
    let Some(objects) = subject.connector.objects else { return };
    let config = &subject.fixtures.config;
    let api = (objects.open)(config.settings.clone()).and_then(|source| source.api(&config.account));
    let Ok(api) = api else { return };
    let host = collection.endpoint.host;
    if !host.is_empty() && !api.hosts.iter().any(|known| known.name == host) {
        wrong.push(format!("{name}: the API has no host {host}"));
    }
    let limits = || api.hosts.iter().flat_map(|host| &host.limits);
    if let Some(limit) = collection.limit
        && !limits().any(|known| known.name == limit)
    {
        wrong.push(format!("{name}: the API has no limit {limit}"));
    }
}

fn call_type(call: &CallType, wrong: &mut Vec<String>) {
    if call.name != call.name.trim() {
        wrong.push(format!("the call {:?} has white space around its name", call.name));
    }
    if matches!(call.kind, CallKind::Identify | CallKind::Group | CallKind::Alias) && !call.name.is_empty() {
        wrong.push(format!("{} has no name: {:?}", call.kind.name(), call.name));
    }
    if call.excused.is_some_and(|reason| reason.trim().is_empty()) {
        wrong.push(format!("{:?} is excused without a reason", call.name));
    }
    let types = ["", "bool", "int", "numeric", "real", "text", "time", "date", "json", "object"];
    for (name, kind) in call.property_types() {
        if !types.contains(&kind) {
            wrong.push(format!("{:?}: {name:?} is of no type {kind:?}", call.name));
        }
    }
}

/// The registry is in alphabetical order; every connector has a module of its name, and every folder of fixtures a
/// connector.
pub fn registry() -> Verdict {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut wrong = Vec::new();
    if !ALL.is_sorted_by(|one, next| one.name < next.name) {
        wrong.push("the registry is not in alphabetical order".to_owned());
    }
    for connector in ALL {
        let module = connector.name.replace('-', "_");
        let modules = here.join("../connectors/src");
        if !modules.join(format!("{module}.rs")).is_file() && !modules.join(&module).join("mod.rs").is_file()
        {
            wrong.push(format!("{} has no module {module}", connector.name));
        }
    }
    for folder in std::fs::read_dir(here.join("../fixtures")).map_err(|error| error.to_string())? {
        let folder = folder.map_err(|error| error.to_string())?;
        let name = folder.file_name().to_string_lossy().into_owned();
        if folder.path().is_dir() && !ALL.iter().any(|connector| connector.name == name) {
            wrong.push(format!("fixtures/{name} belongs to no connector"));
        }
    }
    verdict(wrong)
}

fn is_snake(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

/// Whether Headwater fills this column of every object table itself.
pub fn is_own_column(column: &str) -> bool {
    #[cfg(feature = "program")]
    return Layout::Object.system().iter().any(|(own, _)| *own == column);
    // Only objects have such columns: they are judged with the program.
    #[cfg(not(feature = "program"))]
    return !column.is_empty();
}
