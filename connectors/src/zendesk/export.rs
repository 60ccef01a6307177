//! The oddities of Zendesk's rows: a ticket event holds rows of three tables, a ticket's custom fields stand in a list,
//! and a ticket field has no slug.

use std::collections::{BTreeMap, HashSet};

use headwater_core::{object::intern, prelude::*};

use super::collections::COLLECTIONS;

/// The members of a comment that only `ticket_comments` and `attachments` keep; their event's row would repeat them.
const COMMENT_ONLY: [&str; 4] = ["body", "html_body", "plain_body", "attachments"];

/// Takes ticket events apart. Each thing that an event did is a row of `ticket_events`; a comment is one of
/// `ticket_comments` too, with its files in `attachments`.
pub fn expand(events: &[Change]) -> Result<Vec<Change>> {
    let mut out = Vec::with_capacity(events.len() * 4);
    for Change { record: event, .. } in events {
        for (place, child) in (0..).zip(event.parts("child_events")?) {
            let mut members = child.fields()?;
            flatten_via(&mut members)?;
            if is_comment(&child)? {
                let mut comment = members.clone();
                comment.take("attachments");
                add("ticket_comments", comment.record(), event, place, &mut out)?;
                for (place, file) in (0..).zip(child.parts("attachments")?) {
                    add("attachments", file, &child, place, &mut out)?;
                }
                members.retain(|name, _| !COMMENT_ONLY.contains(&name));
            }
            add("ticket_events", members.record(), event, place, &mut out)?;
        }
    }
    Ok(out)
}

fn add(table: &str, record: Record, parent: &Record, place: u32, out: &mut Vec<Change>) -> Result<()> {
    let Some(collection) = COLLECTIONS.iter().find(|collection| collection.name == table) else {
        return Err(Error::unexpected(format!("there is no table {table}")));
    };
    let before = out.len();
    rest::changes(collection, record, out)?;
    for change in &mut out[before..] {
        (change.parent, change.index) = (Some(parent.clone()), place);
    }
    Ok(())
}

fn is_comment(child: &Record) -> Result<bool> {
    let kind = child.first_text(&["event_type", "type"])?;
    Ok(matches!(kind.as_deref(), Some("Comment" | "VoiceComment")))
}

/// A change says `"via": "Web form"`, a comment `"via": {"channel": …, "source": …}`: both become the text that
/// Segment's column holds, and the source stays beside it.
fn flatten_via(members: &mut Fields) -> Result<()> {
    let Some(via) = members.get("via").and_then(|via| via.clone().record()) else { return Ok(()) };
    for (name, value) in via.fields()?.iter() {
        match name {
            "channel" => members.set("via", value.clone()),
            _ => members.set(format!("via_{name}"), value.clone()),
        }
    }
    Ok(())
}

/// Gives a ticket field the slug that Segment makes of its title.
pub fn slug(change: &mut Change) -> Result<()> {
    let slug = slug_of(&change.record)?;
    let mut members = change.record.fields()?;
    members.set("slug", Raw::string(&slug));
    change.record = members.record();
    Ok(())
}

/// The title's words, parted by `_`; the id where the title has no Latin letter.
fn slug_of(field: &Record) -> Result<String> {
    let title = field.text("title")?.unwrap_or_default().to_ascii_lowercase();
    let words: Vec<&str> =
        title.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
    match words.join("_") {
        slug if slug.starts_with(|c: char| c.is_ascii_lowercase()) => Ok(slug),
        slug => {
            Ok(format!("field_{}", if slug.is_empty() { field.get::<u64>("id")?.to_string() } else { slug }))
        }
    }
}

/// A ticket's custom fields as members: `[{"id": 360, "value": "x"}]` becomes `custom_field: {"f360": "x"}` beside it.
/// `fields` repeats `custom_fields`, and goes.
pub fn ticket(record: &Record) -> Result<Record> {
    let mut members = record.fields()?;
    members.take("fields");
    let mut custom = Vec::new();
    for field in record.parts("custom_fields")? {
        if let (Some(id), Some(value)) = (field.text("id")?, field.at("value")?) {
            custom.push((format!("f{id}"), value));
        }
    }
    if !custom.is_empty() {
        members.set("custom_field", Fields::from_iter(custom).raw());
    }
    Ok(members.record())
}

/// The most custom fields that get a column of their own name.
const MOST: usize = 600;

/// The longest part of a title in a column's name: with an id behind it, it stays an identifier.
const LONGEST: usize = 40;

/// The columns of `tickets`, and those of the account's custom fields, each named by its slug as at Segment. Admins move fields
/// about and a list may say one twice: the oldest keeps the name, wherever it stands.
pub fn with_custom(documented: &'static str, fields: &[Record]) -> Result<&'static str> {
    let mut taken: HashSet<String> = documented
        .split(',')
        .filter_map(|field| field.split_whitespace().next())
        .map(str::to_owned)
        .collect();
    let mut columns = documented.to_owned();
    let by_age: BTreeMap<u64, &Record> =
        fields.iter().map(|field| Ok((field.get("id")?, field))).collect::<Result<_>>()?;
    for (id, field) in by_age.into_iter().take(MOST) {
        let kind = match field.text("type")?.as_deref() {
            Some("checkbox") => "bool",
            Some("integer" | "lookup") => "int",
            Some("decimal") => "numeric",
            Some("date") => "date",
            Some("multiselect") => "json",
            Some("partialcreditcard" | "regexp" | "tagger" | "text" | "textarea") => "text",
            // The others are the ticket's own members.
            _ => continue,
        };
        let slug: String = slug_of(field)?.chars().take(LONGEST).collect();
        let names = [slug.clone(), format!("custom_{slug}"), format!("{slug}_{id}")];
        if let Some(name) = names.into_iter().find(|name| !taken.contains(name)) {
            columns.push_str(&format!(", {name} {kind} = custom_field.f{id}"));
            taken.insert(name);
        }
    }
    Ok(intern(&columns))
}
