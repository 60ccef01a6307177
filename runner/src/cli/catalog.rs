//! `headwater catalog`: what every connector offers, from the connectors themselves.

use clap::Args as ClapArgs;
use headwater_connectors as connectors;
use headwater_core::{
    connector::Connector,
    error::Result,
    event::Surface,
    object::{Collection, Deletes, From},
    signature::Signature,
    spec::CallType,
};
use serde_json::{Map, Value, json};

use super::{End, say, table};
use crate::config::unknown_connector;

/// Show every connector, or one of them.
#[derive(ClapArgs)]
pub(super) struct Args {
    /// Only this connector, with its settings.
    name: Option<String>,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: Args) -> Result<End> {
    match (&args.name, args.json) {
        (None, true) => {
            say(&json!({ "connectors": connectors::ALL.iter().map(connector).collect::<Vec<_>>() })
                .to_string())?
        }
        (Some(name), true) => say(&json!({ "connectors": [connector(find(name)?)] }).to_string())?,
        (None, false) => list()?,
        (Some(name), false) => show(find(name)?)?,
    }
    Ok(End::Done)
}

fn find(name: &str) -> Result<&'static Connector> {
    connectors::find(name).ok_or_else(|| unknown_connector(name))
}

/// One connector, as `catalog --json` has it.
pub fn connector(connector: &Connector) -> Value {
    let objects = connector.objects.map(|objects| {
        json!({
            "collections": objects.collections.iter().map(collection).collect::<Vec<_>>(),
            "feeds": objects.feeds.iter().map(|feed| json!({ "name": feed.read.name, "fills": feed.fills })).collect::<Vec<_>>(),
        })
    });
    let webhook = connector.events.map(|events| events.webhook);
    let mut delivery = Vec::new();
    let is_posted = |surface: &Surface| !matches!(surface.signature, Signature::Pulled);
    if webhook.is_some_and(|webhook| webhook.surfaces.iter().any(is_posted)) {
        delivery.push("webhook");
    }
    if !connector.spec.is_empty() {
        delivery.push("spec");
    }
    if connector.pull.is_some() {
        delivery.push("pull");
    }
    let events = (!delivery.is_empty()).then(|| {
        let signature = webhook.map(|webhook| {
            let all: Vec<String> = webhook
                .surfaces
                .iter()
                .map(|surface| match surface.path {
                    "" => surface.signature.describe(),
                    path => format!("{path}: {}", surface.signature.describe()),
                })
                .collect();
            all.join("; ")
        });
        json!({ "delivery": delivery, "signature": signature, "calls": calls(connector).map(call).collect::<Vec<_>>() })
    });
    json!({
        "name": connector.name,
        "title": connector.title,
        "category": connector.category,
        "docs": connector.docs,
        "settings": (connector.settings)(),
        "objects": objects,
        "events": events,
    })
}

/// Every call of a connector once: those of its webhooks, and those that the vendor posts itself.
fn calls(connector: &Connector) -> impl Iterator<Item = &'static CallType> {
    let webhook = connector.events.map_or(&[][..], |events| events.webhook.calls);
    let posted = connector
        .spec
        .iter()
        .filter(|call| !webhook.iter().any(|known| known.kind == call.kind && known.name == call.name));
    webhook.iter().chain(posted)
}

fn call(call: &CallType) -> Value {
    json!({
        "call": call.kind.name(),
        "name": call.name,
        "properties": call.property_names().collect::<Vec<_>>(),
        "native": call.native,
        "when": call.when,
        "excused": call.excused,
    })
}

/// One collection, as `catalog --json` has it.
pub fn collection(collection: &Collection) -> Value {
    let columns: Vec<Value> = collection
        .fields()
        .flatten()
        .map(|field| json!({ "name": field.name, "type": field.kind.name() }))
        .collect();
    let retired: Map<String, Value> =
        collection.retired.iter().map(|(name, why)| ((*name).to_owned(), (*why).into())).collect();
    let incremental = collection.since.is_some() || matches!(collection.from, From::Feed(_) | From::Pushed);
    let deletes = match collection.deletes {
        Deletes::Never => "never",
        Deletes::Unseen => "unseen",
        Deletes::Flag(..) => "flag",
        Deletes::Feed(_) => "feed",
    };
    json!({
        "name": collection.name,
        "key": collection.key,
        "columns": columns,
        "incremental": incremental,
        "deletes": deletes,
        "retired": retired,
        "gone": collection.gone,
    })
}

fn list() -> Result<()> {
    let rows: Vec<Vec<String>> = connectors::ALL
        .iter()
        .map(|connector| {
            let collections = connector.objects.map_or(0, |objects| objects.collections.len());
            vec![
                connector.name.to_owned(),
                connector.title.to_owned(),
                connector.category.to_owned(),
                if collections > 0 { collections.to_string() } else { "–".to_owned() },
                calls(connector).count().to_string(),
            ]
        })
        .collect();
    table::lines(&["name", "app", "category", "collections", "calls"], &rows)
        .iter()
        .try_for_each(|line| say(line))
}

fn show(found: &Connector) -> Result<()> {
    say(&format!("{} — {} ({})", found.name, found.title, found.category))?;
    say(&format!("docs: {}", found.docs))?;
    let schema = (found.settings)();
    let settings = schema.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
    if !settings.is_empty() {
        let required = schema.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
        say("\nsettings")?;
        for (name, setting) in &settings {
            let about =
                setting.get("description").and_then(Value::as_str).unwrap_or_default().replace('\n', " ");
            let must = if required.iter().any(|required| required == name) { ", required" } else { "" };
            say(&format!("  {name}{must}: {about}"))?;
        }
    }
    if let Some(objects) = found.objects {
        say("\ncollections")?;
        for collection in objects.collections {
            let about = match collection.gone {
                Some(why) => format!("gone: {why}"),
                None => format!(
                    "key {}; {} columns documented",
                    collection.key.join(", "),
                    collection.fields().count()
                ),
            };
            say(&format!("  {}: {about}", collection.name))?;
        }
    }
    if let Some(events) = found.events {
        say("\nwebhooks")?;
        for surface in events.webhook.surfaces {
            say(&format!("  /{}: {}", surface.path, surface.signature.describe()))?;
        }
    }
    if calls(found).next().is_some() {
        say("\ncalls")?;
        for call in calls(found) {
            say(&format!("  {} {}", call.kind.name(), call.name))?;
        }
    }
    Ok(())
}
