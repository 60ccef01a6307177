//! XML as JSON, so that paths lead through it as through any other answer.

use quick_xml::{
    Reader,
    events::{BytesStart, Event},
};
use serde_json::{Map, Value};

use crate::error::{Error, Result};

/// How deep XML may be nested.
const DEPTH: usize = 64;

/// An element becomes an object of its children and attributes (`@name`), repeated children an array, text a string;
/// namespace prefixes are left out.
pub(super) fn xml(body: &[u8]) -> Result<Value> {
    let broken = |error: &dyn std::fmt::Display| Error::unexpected(format!("not the XML expected: {error}"));
    let mut reader = Reader::from_reader(body);
    let mut open = vec![Element::default()];
    loop {
        match reader.read_event().map_err(|error| broken(&error))? {
            Event::Start(tag) => open.push(Element::of(&tag).map_err(|error| broken(&error))?),
            Event::Empty(tag) => {
                open.push(Element::of(&tag).map_err(|error| broken(&error))?);
                close(&mut open);
            }
            Event::End(_) => close(&mut open),
            Event::Text(text) => add(&mut open, &text.decode().map_err(|error| broken(&error))?),
            Event::CData(data) => add(&mut open, &data.decode().map_err(|error| broken(&error))?),
            Event::GeneralRef(reference) => match reference
                .resolve_char_ref()
                .map_err(|error| broken(&error))?
            {
                Some(character) => add(&mut open, character.encode_utf8(&mut [0; 4])),
                None => {
                    let name = reference.decode().map_err(|error| broken(&error))?;
                    add(&mut open, quick_xml::escape::resolve_predefined_entity(&name).unwrap_or_default());
                }
            },
            Event::Eof => break,
            _ => {}
        }
        if open.len() > DEPTH {
            return Err(Error::unexpected(format!("XML is nested more than {DEPTH} levels deep")));
        }
    }
    match (open.pop(), open.is_empty()) {
        (Some(root), true) if !root.members.is_empty() => Ok(Value::Object(root.members)),
        _ => Err(broken(&"an element is not closed, or there is none")),
    }
}

#[derive(Default)]
struct Element {
    name: String,
    members: Map<String, Value>,
    text: String,
}

impl Element {
    fn of(tag: &BytesStart<'_>) -> Result<Self, quick_xml::Error> {
        let local =
            |name: &[u8]| String::from_utf8_lossy(name).rsplit(':').next().unwrap_or_default().to_owned();
        let mut members = Map::new();
        for attribute in tag.attributes().flatten() {
            let value = attribute.unescape_value()?;
            members.insert(format!("@{}", local(attribute.key.as_ref())), Value::from(value.as_ref()));
        }
        Ok(Self { name: local(tag.name().as_ref()), members, text: String::new() })
    }
}

fn add(open: &mut [Element], text: &str) {
    if let Some(element) = open.last_mut() {
        element.text.push_str(text);
    }
}

/// Puts the innermost element into the one around it.
fn close(open: &mut Vec<Element>) {
    if open.len() < 2 {
        return;
    }
    let (Some(element), Some(around)) = (open.pop(), open.last_mut()) else { return };
    let value = match element.members.is_empty() {
        true => Value::from(element.text.trim()),
        false => Value::Object(element.members),
    };
    match around.members.get_mut(&element.name) {
        None => {
            around.members.insert(element.name, value);
        }
        Some(Value::Array(items)) => items.push(value),
        Some(first) => *first = Value::Array(vec![first.take(), value]),
    }
}
