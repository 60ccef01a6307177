//! The text of a configuration: the environment's values put in, and errors that name the key and the nearest known one.

use headwater_connectors as connectors;
use headwater_core::error::{Error, Result};
use jiff::Timestamp;
use serde_json::Value;

/// The date that a user wrote for `what`: a day, or any time that vendors write.
pub fn date(what: &str, text: &str) -> Result<Timestamp> {
    headwater_core::time::parse_time(text)
        .ok_or_else(|| Error::config(format!("{what} {text:?} is no date: write it like 2024-01-01")))
}

/// The error for a source that is not there.
pub fn unknown_source<'a>(name: &str, known: impl Iterator<Item = &'a str> + Clone) -> Error {
    unknown("source", name, known)
}

/// The error for a destination that is not there.
pub fn unknown_destination<'a>(name: &str, known: impl Iterator<Item = &'a str> + Clone) -> Error {
    unknown("destination", name, known)
}

fn unknown<'a>(what: &str, name: &str, known: impl Iterator<Item = &'a str> + Clone) -> Error {
    Error::config(match closest(name, known.clone()) {
        Some(near) => format!("there is no {what} {name}; did you mean {near}?"),
        None => match known.collect::<Vec<_>>().join(", ") {
            none if none.is_empty() => format!("there is no {what} {name}: the config names none"),
            known => format!("there is no {what} {name}; there are {known}"),
        },
    })
}

/// The error for a connector that is not there.
pub fn unknown_connector(name: &str) -> Error {
    let near = connectors::nearest(name);
    Error::config(match near.is_empty() {
        true => format!("unknown connector {name}; headwater catalog lists them"),
        false => format!("unknown connector {name}; the nearest are {}", near.join(", ")),
    })
}

/// Replaces `${NAME}` in every string value; `$$` is `$`.
pub(super) fn expand(value: &mut Value, env: &dyn Fn(&str) -> Option<String>, path: &str) -> Result<()> {
    match value {
        Value::String(text) if text.contains('$') => *text = expand_text(text, env, path)?,
        Value::Array(items) => {
            for (place, item) in items.iter_mut().enumerate() {
                expand(item, env, &format!("{path}[{place}]"))?;
            }
        }
        Value::Object(members) => {
            for (name, member) in members {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                expand(member, env, &path)?;
            }
        }
        _ => {}
    }
    Ok(())
}

fn expand_text(text: &str, env: &dyn Fn(&str) -> Option<String>, path: &str) -> Result<String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        if let Some(after) = after.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some((name, after)) = after.strip_prefix('{').and_then(|after| after.split_once('}')) {
            let value = env(name);
            out.push_str(
                &value.ok_or_else(|| Error::config(format!("{path}: the environment has no {name}")))?,
            );
            rest = after;
        } else {
            return Err(Error::config(format!(
                "{path}: write $$ for a dollar sign, or ${{NAME}} for the environment's NAME"
            )));
        }
    }
    out.push_str(rest);
    Ok(out)
}

/// Reads a part of the file; what is wrong is said with its place.
pub(super) fn read<T: serde::de::DeserializeOwned>(value: Value) -> Result<T, String> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let (path, message) = (error.path().to_string(), nearest(&error.inner().to_string()));
        // The message names what is unknown itself; so does the path, in the end.
        let path = if message.contains("unknown key") {
            path.rsplit_once('.').map_or("", |(path, _)| path)
        } else {
            path.as_str()
        };
        if matches!(path, "" | ".") { message } else { format!("{path}: {message}") }
    })
}

/// Adds the nearest known name to serde's `unknown field` message.
pub fn nearest(message: &str) -> String {
    let message = message.split(" at line ").next().unwrap_or(message);
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    match quoted.split_first() {
        Some((unknown, known))
            if message.contains("unknown field") || message.contains("unknown variant") =>
        {
            let kind = if message.contains("unknown variant") { "value" } else { "key" };
            let (before, _) = message.split_once("unknown ").unwrap_or(("", ""));
            match closest(unknown, known.iter().copied()) {
                Some(near) => format!("{before}unknown {kind} {unknown}; did you mean {near}?"),
                None if known.is_empty() => format!("{before}unknown {kind} {unknown}; there are none here"),
                None => format!("{before}unknown {kind} {unknown}; known are {}", known.join(", ")),
            }
        }
        _ => message.to_owned(),
    }
}

/// The name nearest to `name`, if any is near.
pub fn closest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .map(|known| (strsim::damerau_levenshtein(name, known), known))
        .filter(|(distance, known)| *distance <= name.len().max(known.len()) / 3 + 1)
        .min()
        .map(|(_, known)| known)
}

pub(super) fn one_line(message: &str, text: &str, span: Option<std::ops::Range<usize>>) -> String {
    let message = message.lines().collect::<Vec<_>>().join(" ");
    match span {
        Some(span) => {
            format!("line {}: {message}", text[..span.start.min(text.len())].matches('\n').count() + 1)
        }
        None => message,
    }
}
