//! Segment Spec calls: the six messages that every event becomes.
//!
//! Common fields are those of the [Spec](https://segment.com/docs/connections/spec/common/); a member that the
//! Spec does not know stays with the call as it came.

mod email;

use jiff::Timestamp;

pub use email::EMAIL;

use crate::{
    error::{Error, Result},
    record::{Fields, Raw, Record, line, write_string},
    time::{parse_time, write_time},
};

/// Which of the six calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CallKind {
    /// Who a user is.
    Identify,
    /// What a user did.
    Track,
    /// Which web page a user saw.
    Page,
    /// Which screen of an app a user saw.
    Screen,
    /// Which account a user belongs to.
    Group,
    /// Two ids are one user.
    Alias,
}

impl CallKind {
    /// All six.
    pub const ALL: [Self; 6] =
        [Self::Identify, Self::Track, Self::Page, Self::Screen, Self::Group, Self::Alias];

    /// Its name, as `type` has it.
    pub fn name(self) -> &'static str {
        match self {
            CallKind::Identify => "identify",
            CallKind::Track => "track",
            CallKind::Page => "page",
            CallKind::Screen => "screen",
            CallKind::Group => "group",
            CallKind::Alias => "alias",
        }
    }

    /// The call of that name.
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// What the Spec calls the free-form member: traits of identify and group, else properties.
    pub fn body(self) -> &'static str {
        match self {
            CallKind::Identify | CallKind::Group => "traits",
            _ => "properties",
        }
    }
}

/// A call that a connector makes: what the catalog, the docs and the parity law show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallType {
    /// Which call.
    pub kind: CallKind,
    /// The event's name for track, the page's or screen's where it is fixed, else "".
    pub name: &'static str,
    /// The documented properties or traits, as in [`Collection::fields`](crate::object::Collection): `name type`,
    /// or bare `name` where the type is not documented; a name of several words stands in backquotes.
    /// `context.traits.email` names a member of the context.
    pub properties: &'static str,
    /// The vendor's own name of the event, if the app's webhook has it; several parted by `|`.
    pub native: &'static str,
    /// When it happens, in a few words.
    pub when: &'static str,
    /// Why the connector does not make it, though the catalog names it.
    pub excused: Option<&'static str>,
}

impl CallType {
    /// A track call of that name.
    pub const fn track(name: &'static str, properties: &'static str) -> Self {
        Self { kind: CallKind::Track, name, properties, native: "", when: "", excused: None }
    }

    /// Another call.
    pub const fn new(kind: CallKind, name: &'static str, properties: &'static str) -> Self {
        Self { kind, name, properties, native: "", when: "", excused: None }
    }

    /// The vendor's own name of the event.
    pub const fn native(self, native: &'static str) -> Self {
        Self { native, ..self }
    }

    /// When it happens.
    pub const fn when(self, when: &'static str) -> Self {
        Self { when, ..self }
    }

    /// Why the connector does not make it.
    pub const fn excused(self, why: &'static str) -> Self {
        Self { excused: Some(why), ..self }
    }

    /// The names of its properties.
    pub fn property_names(&self) -> impl Iterator<Item = &'static str> + use<> {
        self.property_types().map(|(name, _)| name)
    }

    /// Its properties: name, and type or "".
    pub fn property_types(&self) -> impl Iterator<Item = (&'static str, &'static str)> + use<> {
        let mut rest = self.properties.trim_start_matches([',', ' ', '\n']);
        std::iter::from_fn(move || {
            let quoted = rest.strip_prefix('`').and_then(|inside| inside.split_once('`'));
            let (name, behind) = match quoted {
                Some(found) => found,
                None => rest.split_at(rest.find([',', ' ', '\n']).unwrap_or(rest.len())),
            };
            let (kind, behind) = behind.split_once(',').unwrap_or((behind, ""));
            rest = behind.trim_start();
            (!name.is_empty()).then_some((name, kind.trim()))
        })
    }
}

/// One Segment Spec message.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// Which of the six.
    pub kind: CallKind,
    /// Tells this message from every other; duplicates are dropped by it. At most 100 characters.
    pub message_id: String,
    /// The person, in the sender's own database.
    pub user_id: Option<String>,
    /// The person, as long as nobody knows more.
    pub anonymous_id: Option<String>,
    /// Of track the event; of page and screen the name. None where the sender sent none, or no string.
    pub name: Option<String>,
    /// Of page and screen.
    pub category: Option<String>,
    /// Of group: the account.
    pub group_id: Option<String>,
    /// Of alias: the id that is given up.
    pub previous_id: Option<String>,
    /// Properties of track, page, screen; traits of identify and group.
    pub properties: Fields,
    /// Where and with what it happened.
    pub context: Fields,
    /// Which destinations may have it.
    pub integrations: Fields,
    /// When it happened, the sender's clock corrected. Without one it is `received_at`.
    pub timestamp: Option<Timestamp>,
    /// When it happened by the sender's clock, as sent.
    pub original_timestamp: Option<Timestamp>,
    /// When the sender sent it, by the sender's clock.
    pub sent_at: Option<Timestamp>,
    /// When it reached us.
    pub received_at: Option<Timestamp>,
    /// Members that the Spec does not know, and known ones whose type is not the Spec's.
    pub rest: Fields,
}

impl Call {
    /// An empty call.
    pub fn new(kind: CallKind) -> Self {
        Self {
            kind,
            message_id: String::new(),
            user_id: None,
            anonymous_id: None,
            name: None,
            category: None,
            group_id: None,
            previous_id: None,
            properties: Fields::default(),
            context: Fields::default(),
            integrations: Fields::default(),
            timestamp: None,
            original_timestamp: None,
            sent_at: None,
            received_at: None,
            rest: Fields::default(),
        }
    }

    /// A track call.
    pub fn track(event: impl Into<String>) -> Self {
        Self { name: Some(event.into()), ..Self::new(CallKind::Track) }
    }

    /// An identify call.
    pub fn identify() -> Self {
        Self::new(CallKind::Identify)
    }

    /// A group call.
    pub fn group(group_id: impl Into<String>) -> Self {
        Self { group_id: Some(group_id.into()), ..Self::new(CallKind::Group) }
    }

    /// With the vendor's id of the event; the pipeline puts the connector's name before it.
    pub fn id(self, id: Option<impl Into<String>>) -> Self {
        Self { message_id: id.map(Into::into).unwrap_or_default(), ..self }
    }

    /// With the time at which it happened.
    pub fn at(self, time: Option<Timestamp>) -> Self {
        Self { timestamp: time, original_timestamp: time, ..self }
    }

    /// Of a known user.
    pub fn user(self, id: Option<impl Into<String>>) -> Self {
        Self { user_id: id.map(Into::into), ..self }
    }

    /// Of a user known by another name only.
    pub fn anonymous(self, id: Option<impl Into<String>>) -> Self {
        Self { anonymous_id: id.map(Into::into), ..self }
    }

    /// With these properties (traits).
    pub fn properties(self, properties: Fields) -> Self {
        Self { properties, ..self }
    }

    /// With text at a path of the context: `traits.email`, `ip`, `userAgent`, `campaign.name`.
    pub fn context(mut self, path: &str, text: Option<&str>) -> Self {
        if let Some(text) = text {
            self.context.set_at(path, Raw::string(text));
        }
        self
    }

    /// Reads a call as a library sends it. `kind` is the route's; without one the `type` member says it.
    ///
    /// Nothing is validated but the shape: what is no object where the Spec wants one, or no string, stays in
    /// `rest` under its name, and validation counts it.
    pub fn parse(record: &Record, kind: Option<CallKind>) -> Result<Self> {
        Self::of(record.fields()?, kind)
    }

    /// The same, where its members are at hand.
    pub fn of(mut members: Fields, kind: Option<CallKind>) -> Result<Self> {
        let kind = match kind {
            Some(kind) => {
                members.take("type");
                kind
            }
            None => {
                let name = members.take_text("type").ok_or_else(|| Error::unexpected("type is missing"))?;
                CallKind::find(&name).ok_or_else(|| Error::unexpected(format!("{name:?} is not a call")))?
            }
        };
        let mut call = Self::new(kind);
        call.message_id = string(&mut members, "messageId").unwrap_or_default();
        call.user_id = id(&mut members, "userId");
        call.anonymous_id = id(&mut members, "anonymousId");
        call.previous_id = id(&mut members, "previousId");
        call.group_id = id(&mut members, "groupId");
        match kind {
            CallKind::Track => call.name = string(&mut members, "event"),
            CallKind::Page | CallKind::Screen => {
                call.name = string(&mut members, "name");
                call.category = string(&mut members, "category");
            }
            _ => {}
        }
        call.properties = members.take_fields(kind.body());
        call.context = members.take_fields("context");
        call.integrations = members.take_fields("integrations");
        let timestamp = time(&mut members, "timestamp");
        call.original_timestamp = time(&mut members, "originalTimestamp").or(timestamp);
        call.timestamp = timestamp;
        call.sent_at = time(&mut members, "sentAt");
        call.received_at = time(&mut members, "receivedAt");
        members.take("receivedAt");
        members.take("writeKey");
        call.rest = members;
        Ok(call)
    }

    /// Writes it as JSON, with the Spec's names.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"type\":\"");
        out.extend_from_slice(self.kind.name().as_bytes());
        out.push(b'"');
        let event = if self.kind == CallKind::Track { "event" } else { "name" };
        for (name, value) in [
            ("messageId", Some(&self.message_id).filter(|id| !id.is_empty())),
            ("userId", self.user_id.as_ref()),
            ("anonymousId", self.anonymous_id.as_ref()),
            ("previousId", self.previous_id.as_ref()),
            ("groupId", self.group_id.as_ref()),
            (event, self.name.as_ref()),
            ("category", self.category.as_ref()),
        ] {
            if let Some(value) = value {
                member(name, out);
                write_string(value, out);
            }
        }
        for (name, time) in [
            ("timestamp", self.timestamp),
            ("originalTimestamp", self.original_timestamp),
            ("sentAt", self.sent_at),
            ("receivedAt", self.received_at),
        ] {
            if let Some(time) = time {
                member(name, out);
                out.push(b'"');
                write_time(time, out);
                out.push(b'"');
            }
        }
        for (name, fields) in [
            (self.kind.body(), &self.properties),
            ("context", &self.context),
            ("integrations", &self.integrations),
        ] {
            if !fields.is_empty() {
                member(name, out);
                fields.write(out);
            }
        }
        for (name, value) in self.rest.iter() {
            member(name, out);
            out.extend_from_slice(value.bytes());
        }
        out.push(b'}');
    }

    /// As a JSON line, without the line's end.
    pub fn to_json(&self) -> String {
        let mut out = Vec::with_capacity(256);
        self.write(&mut out);
        line(&out)
    }
}

fn member(name: &str, out: &mut Vec<u8>) {
    out.push(b',');
    write_string(name, out);
    out.push(b':');
}

fn string(members: &mut Fields, name: &str) -> Option<String> {
    members.get(name).filter(|raw| raw.bytes().first() == Some(&b'"'))?;
    members.take(name)?.text()
}

/// Ids may be numbers: libraries send them so, and Segment takes them as text.
fn id(members: &mut Fields, name: &str) -> Option<String> {
    members.take_text(name)
}

fn time(members: &mut Fields, name: &str) -> Option<Timestamp> {
    let time = parse_time(&members.get(name)?.text()?)?;
    members.take(name);
    Some(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_survives_being_read_and_written() {
        let json = r#"{"type":"track","messageId":"m","userId":"7","event":"Order \"Done\"","timestamp":"2024-05-06T12:00:00Z","originalTimestamp":"2024-05-06T12:00:00Z","properties":{"a":[1.50,{"b":null}]},"context":{"ip":"::1"},"integrations":{"All":false},"x":{"y":1}}"#;
        let call = Call::parse(&Record::parse(&json.into()).unwrap(), None).unwrap();
        assert_eq!(call.to_json(), json);
    }

    #[test]
    fn properties_are_names_with_types() {
        let call = CallType::track("E", "id text, `Campaign Id, old` int, bare , `App Version`,last time");
        let found: Vec<_> = call.property_types().collect();
        assert_eq!(
            found,
            [
                ("id", "text"),
                ("Campaign Id, old", "int"),
                ("bare", ""),
                ("App Version", ""),
                ("last", "time")
            ]
        );
        assert_eq!(CallType::track("E", "").property_types().count(), 0);
    }

    #[test]
    fn a_line_is_one_line() {
        let json =
            "{\"userId\":\"1\",\"event\":\"E\",\"properties\":{\n  \"a b\": [1.50,\r\n\t\"x \\\" y\"]\n}}";
        let call = Call::parse(&Record::parse(&json.into()).unwrap(), Some(CallKind::Track)).unwrap();
        assert_eq!(
            call.to_json(),
            r#"{"type":"track","userId":"1","event":"E","properties":{"a b":[1.50,"x \" y"]}}"#
        );
    }

    #[test]
    fn what_has_another_type_stays_under_its_name() {
        let json = r#"{"event":{"no":"string"},"properties":[1],"userId":7,"timestamp":"soon"}"#;
        let call = Call::parse(&Record::parse(&json.into()).unwrap(), Some(CallKind::Track)).unwrap();
        assert_eq!((call.user_id.as_deref(), &call.name), (Some("7"), &None));
        assert_eq!(
            call.rest.iter().map(|(name, _)| name).collect::<Vec<_>>(),
            ["event", "properties", "timestamp"]
        );
    }
}
