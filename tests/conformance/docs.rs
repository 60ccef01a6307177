//! `docs/connectors/<name>.md`: a connector's page, made of its code and fixtures. `HEADWATER_BLESS=1` writes it.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
};

use headwater_core::{
    object::{Collection, Deletes, From},
    signature::Signature,
    spec::CallType,
};
use serde_json::Value;

use crate::{fixture::Sample, laws::Verdict, subject::Subject};

/// The longest example, in characters.
const EXAMPLE: usize = 6_000;

/// The page in `docs/connectors` is what code and fixtures say today; only what is in the registry has one.
pub fn docs(subject: &Subject) -> Verdict {
    if headwater_connectors::find(subject.connector.name).is_none() {
        return Ok(());
    }
    let page = page(subject)?;
    let file = folder().join(format!("{}.md", subject.connector.name));
    if std::env::var_os("HEADWATER_BLESS").is_some_and(|value| value == "1") {
        std::fs::create_dir_all(folder()).map_err(|error| error.to_string())?;
        return std::fs::write(&file, page).map_err(|error| format!("{}: {error}", file.display()));
    }
    let kept = std::fs::read_to_string(&file).unwrap_or_default();
    match kept == page {
        true => Ok(()),
        false => {
            let line = kept.lines().zip(page.lines()).position(|(kept, page)| kept != page);
            let line = line.unwrap_or(kept.lines().count().min(page.lines().count())) + 1;
            Err(format!(
                "docs/connectors/{}.md is not what the code says, from line {line} on: HEADWATER_BLESS=1 writes it",
                subject.connector.name
            ))
        }
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/connectors")
}

/// The whole page.
fn page(subject: &Subject) -> Result<String, String> {
    let connector = subject.connector;
    let mut page = format!("# {}\n\n{}\n\n", connector.title, about(connector.name)?);
    let _ = writeln!(page, "The vendor's documentation: <{}>\n", connector.docs);
    setup(subject, &mut page);
    calls(subject, &mut page);
    collections(subject.declared(), &mut page);
    if let Some(sample) = example(subject) {
        let _ = writeln!(page, "## A delivery, and what it becomes\n");
        for (name, value) in &sample.around.headers {
            let _ = writeln!(page, "`{name}: {value}`  ");
        }
        if !sample.around.query.is_empty() {
            let _ = writeln!(page, "`?{}`  ", sample.around.query);
        }
        let kind = if sample.content_type == "application/json" { "json" } else { "" };
        let body = String::from_utf8_lossy(&sample.body);
        let _ = writeln!(page, "\n```{kind}\n{}\n```\n", body.trim());
        let calls = serde_json::to_string_pretty(&sample.calls).map_err(|error| error.to_string())?;
        let _ = writeln!(page, "```json\n{calls}\n```\n");
    }
    Ok(page.trim_end().to_owned() + "\n")
}

/// The module's own words.
fn about(connector: &str) -> Result<String, String> {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../connectors/src");
    let module = connector.replace('-', "_");
    let files = [sources.join(format!("{module}.rs")), sources.join(&module).join("mod.rs")];
    let text = files.iter().find_map(|file| std::fs::read_to_string(file).ok());
    let text = text.ok_or_else(|| format!("there is no module {module}"))?;
    let lines = text.lines().map_while(|line| line.strip_prefix("//!"));
    let words: Vec<&str> = lines.map(|line| line.strip_prefix(' ').unwrap_or(line)).collect();
    // The page's title names the app already.
    Ok(words.join("\n").trim().to_owned())
}

fn setup(subject: &Subject, page: &mut String) {
    let connector = subject.connector;
    let name = connector.name.replace('-', "_");
    let schema = (connector.settings)().to_value();
    let settings = schema.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
    let required: Vec<&str> = schema
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let _ = writeln!(
        page,
        "## Set it up\n\n```toml\n[[source]]\nname = \"{name}\"\nconnector = \"{}\"",
        connector.name
    );
    let shown: Vec<String> = settings
        .iter()
        .filter(|(name, setting)| required.contains(&name.as_str()) || is_secret(&schema, setting))
        .map(|(setting, _)| format!("{setting} = \"${{{}}}\"", format!("{name}_{setting}").to_uppercase()))
        .collect();
    if !shown.is_empty() {
        let _ = writeln!(page, "settings = {{ {} }}", shown.join(", "));
    }
    let _ = writeln!(page, "```\n");
    if !settings.is_empty() {
        let _ = writeln!(page, "| setting | |\n|---|---|");
        for (setting, schema) in &settings {
            let about =
                schema.get("description").and_then(Value::as_str).unwrap_or_default().replace('\n', " ");
            let must = if required.contains(&setting.as_str()) { " (required)" } else { "" };
            let _ = writeln!(page, "| `{setting}`{must} | {} |", cell(&about));
        }
        page.push('\n');
    }
    if let Some(events) = connector.events {
        let pulled = |signature: &Signature| matches!(signature, Signature::Pulled);
        let posted: Vec<_> =
            events.webhook.surfaces.iter().filter(|surface| !pulled(&surface.signature)).collect();
        if !posted.is_empty() {
            let _ = writeln!(page, "`headwater sources` shows the address to give the vendor:\n");
            let _ = writeln!(page, "| address | how a delivery is proven |\n|---|---|");
            for surface in posted {
                let path = if surface.path.is_empty() { String::new() } else { format!("/{}", surface.path) };
                let _ = writeln!(
                    page,
                    "| `https://…/webhooks/{name}/<webhook key>{path}` | {} |",
                    cell(&surface.signature.describe())
                );
            }
            page.push('\n');
        }
        let natives: Vec<String> = events
            .webhook
            .calls
            .iter()
            .filter(|call| call.excused.is_none())
            .flat_map(|call| call.native.split('|'))
            .map(str::trim)
            .filter(|native| !native.is_empty())
            .map(|native| format!("`{native}`"))
            .collect();
        if !natives.is_empty() {
            let _ = writeln!(
                page,
                "Events to choose at the vendor, as many of them as you want: {}.\n",
                natives.join(", ")
            );
        }
    }
    if !connector.spec.is_empty() {
        let _ = writeln!(
            page,
            "{} posts Segment Spec calls by itself where it offers a Segment integration: give it the source's write key \
             (`headwater sources` shows it) and, where it asks for an endpoint, this Headwater's address.\n",
            connector.title
        );
    }
}

/// Whether a setting is hidden, in any of its forms.
fn is_secret(root: &Value, setting: &Value) -> bool {
    let target =
        setting.get("$ref").and_then(Value::as_str).and_then(|at| root.pointer(at.trim_start_matches('#')));
    let setting = target.unwrap_or(setting);
    let forms = ["anyOf", "oneOf", "allOf"].iter().filter_map(|kind| setting.get(kind)?.as_array()).flatten();
    setting.get("writeOnly") == Some(&Value::Bool(true))
        || forms.into_iter().any(|form| is_secret(root, form))
}

fn calls(subject: &Subject, page: &mut String) {
    let connector = subject.connector;
    let own = connector.events.map_or(&[][..], |events| events.webhook.calls);
    let spec = connector.spec;
    let (both, received): (Vec<_>, Vec<_>) = own.iter().partition(|call| spec.contains(call));
    let posted: Vec<_> = spec.iter().filter(|call| !own.contains(call)).collect();
    for (title, calls) in [
        ("Events of its webhooks", received),
        ("Events of its webhooks, which it can post as Spec calls too", both),
        ("Calls that it posts itself", posted),
    ] {
        let offered: Vec<_> = calls.into_iter().filter(|call| call.excused.is_none()).collect();
        if offered.is_empty() {
            continue;
        }
        let _ = writeln!(page, "## {title}\n\n| call | when | properties |\n|---|---|---|");
        for call in offered {
            let kind = call.kind.name();
            let name =
                if call.name.is_empty() { kind.to_owned() } else { format!("{kind} **{}**", call.name) };
            let native = if call.native.is_empty() {
                String::new()
            } else {
                format!("`{}`", call.native.replace('|', "`, `"))
            };
            let when = [native, call.when.to_owned()]
                .into_iter()
                .filter(|part| !part.is_empty())
                .collect::<Vec<_>>()
                .join(": ");
            let names: Vec<String> = call.property_names().map(|name| format!("`{name}`")).collect();
            let _ = writeln!(page, "| {} | {} | {} |", cell(&name), cell(&when), cell(&names.join(", ")));
        }
        page.push('\n');
    }
    let excused: Vec<&CallType> =
        own.iter().chain(connector.spec).filter(|call| call.excused.is_some()).collect();
    if !excused.is_empty() {
        let _ = writeln!(page, "Not offered:\n");
        for call in excused {
            let _ =
                writeln!(page, "- {} {}: {}", call.kind.name(), call.name, call.excused.unwrap_or_default());
        }
        page.push('\n');
    }
}

fn collections(collections: &[Collection], page: &mut String) {
    if collections.is_empty() {
        return;
    }
    let _ = writeln!(
        page,
        "## Collections\n\n| table | key | read | deleted rows | columns |\n|---|---|---|---|---|"
    );
    for collection in collections.iter().filter(|collection| collection.gone.is_none()) {
        let read = match collection.from {
            From::Pushed => "by webhooks",
            From::Feed(_) => "by a feed",
            _ if collection.since.is_some() => "what has changed",
            _ => "whole",
        };
        let deletes = match collection.deletes {
            Deletes::Never => "not told",
            Deletes::Unseen => "found by a whole reading",
            Deletes::Flag(..) => "flagged",
            Deletes::Feed(_) => "told by a feed",
        };
        let columns: Vec<String> =
            collection.fields().flatten().map(|field| format!("`{}`", field.name)).collect();
        let _ = writeln!(
            page,
            "| `{}` | {} | {read} | {deletes} | {} |",
            collection.name,
            collection.key.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", "),
            columns.join(", ")
        );
    }
    page.push('\n');
    let gone: Vec<_> = collections.iter().filter_map(|one| Some((one.name, one.gone?))).collect();
    if !gone.is_empty() {
        let _ = writeln!(page, "Gone at the vendor:\n");
        for (name, why) in gone {
            let _ = writeln!(page, "- `{name}`: {why}");
        }
        page.push('\n');
    }
}

/// The shortest delivery that becomes a call: one that fits a page.
fn example(subject: &Subject) -> Option<&Sample> {
    let size = |sample: &Sample| {
        sample.body.len() + sample.calls.as_ref().map_or(0, |calls| calls.to_string().len())
    };
    let telling = |sample: &&Sample| {
        sample
            .calls
            .as_ref()
            .and_then(Value::as_array)
            .is_some_and(|calls| calls.iter().any(|call| call.get("type").is_some()))
            && size(sample) <= EXAMPLE
    };
    subject.fixtures.deliveries.iter().filter(telling).min_by_key(|sample| size(sample))
}

/// Text as it may stand in a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ").trim().to_owned()
}
