//! What a library sent: calls as they went over the wire, and which values each of them leaves in which table.

use std::path::Path;

use jiff::Timestamp;

use crate::json::{Leaf, leaves, member, members, text};

/// One call.
pub struct Sent {
    /// Its messageId.
    pub id: String,
    /// `track`, `identify`, …
    pub kind: String,
    /// When the sender says that it sent it.
    pub sent_at: Option<Timestamp>,
    members: Vec<(String, String)>,
    /// Values of the context, by path.
    pub context: Vec<Leaf>,
    /// Values of the properties or traits, by path.
    pub body: Vec<Leaf>,
    /// Values of members that the Spec does not know, by path.
    pub rest: Vec<Leaf>,
}

/// Reads the file that a program wrote. A page's calls get the address of the browser, where they do not say one.
pub fn read(file: &Path, browser: bool) -> Vec<Sent> {
    let lines = std::fs::read_to_string(file).expect("the program wrote what it sent");
    lines.lines().map(|line| Sent::read(line, browser)).collect()
}

impl Sent {
    fn read(line: &str, browser: bool) -> Self {
        let line = members(line);
        let call = members(member(&line, "call").expect("a line has a call"));
        let kind = text(member(&call, "type").expect("a call has a type"));
        let body_name = if matches!(kind.as_str(), "identify" | "group") { "traits" } else { "properties" };
        let mut sent = Self {
            id: text(member(&call, "messageId").expect("a call has a messageId")),
            sent_at: member(&line, "sentAt").map(time),
            kind,
            members: Vec::new(),
            context: Vec::new(),
            body: Vec::new(),
            rest: Vec::new(),
        };
        for (name, json) in &call {
            match name.as_str() {
                "context" => leaves("context", json, &mut sent.context),
                name if name == body_name && json != "null" => leaves("", json, &mut sent.body),
                // Integrations say where a call goes; no warehouse has a column for them.
                "integrations" | "type" | "messageId" | "userId" | "anonymousId" | "previousId"
                | "groupId" | "timestamp" | "originalTimestamp" | "sentAt" | "receivedAt" | "writeKey" => {}
                "event" if sent.kind == "track" => {}
                "name" | "category" if matches!(sent.kind.as_str(), "page" | "screen") => {}
                name => leaves(name, json, &mut sent.rest),
            }
        }
        if browser && !sent.context.iter().any(|(path, json)| path == "context.ip" && json != "null") {
            sent.context.push(("context.ip".to_owned(), "\"127.0.0.1\"".to_owned()));
        }
        sent.members = call;
        sent
    }

    /// A member that is a string.
    pub fn string(&self, name: &str) -> Option<String> {
        member(&self.members, name).map(text)
    }

    /// When it happened, as the sender says.
    pub fn original(&self) -> Option<Timestamp> {
        self.said("originalTimestamp").or_else(|| self.said("timestamp"))
    }

    /// When it happened, in our own time: corrected by what the sender's clock is wrong, unless it says both times itself.
    pub fn happened(&self, received: Timestamp) -> Timestamp {
        match (self.said("timestamp"), self.original(), self.sent_at) {
            (Some(said), Some(original), _) if said != original => said,
            (_, Some(original), Some(sent)) => received - sent.duration_since(original),
            (_, Some(original), None) => original,
            (_, None, _) => received,
        }
    }

    fn said(&self, name: &str) -> Option<Timestamp> {
        member(&self.members, name).map(time)
    }
}

fn time(json: &str) -> Timestamp {
    let text = text(json);
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}
