//! The settings of webhooks that no connector knows.

use std::collections::BTreeMap;

use headwater_core::{object::intern, prelude::*};
use serde::Serialize;

use super::{
    hook::{Described, Made},
    signature::SignatureSettings,
};

/// Settings of a webhook source.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The shared secret, or the sender's public key; two while it is being changed, the newer first.
    #[serde(default, skip_serializing)]
    pub secret: Secrets,
    /// How a delivery is proven.
    signature: SignatureSettings,
    /// How the body is written.
    #[serde(default)]
    format: BodyFormat,
    /// Where its items stand, if it holds several: the path of a list (`events`, `data.items`, `entry.*.changes`). Left
    /// out, the body is one item, or a list of them.
    #[serde(default)]
    items: String,
    /// Where an item says what happened, when and to whom.
    mapping: MappingSettings,
    /// The call that an event of this name is; others are track calls with their words in Title Case.
    #[serde(default)]
    calls: BTreeMap<String, CallSettings>,
}

/// How a body is written.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BodyFormat {
    /// JSON.
    #[default]
    Json,
    /// One JSON object a line.
    Ndjson,
    /// A URL-encoded form; brackets in names make objects and lists.
    Form,
    /// CSV whose first row names the columns.
    Csv,
    /// Nothing: the query string is the item.
    Query,
}

/// Where an item says what a call wants to know: paths into it, and the other places that the connector's page names.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MappingSettings {
    /// The name of the event: `type`, `header:X-Topic`, or `'Form Sent'` for one that is always the same.
    event: Option<String>,
    /// The id of the event; of several the first has to be there. Without one, items that are the same in every byte are
    /// one event.
    id: Option<Vec<String>>,
    /// When it happened.
    time: Option<String>,
    /// The person, by the id that your own database knows.
    user: Option<String>,
    /// The person, by another name (a device, a visitor), whether or not that id is there.
    anonymous: Option<String>,
    /// The person where neither is there: an address, say.
    otherwise: Option<String>,
    /// The person's address: `context.traits.email`.
    email: Option<String>,
    /// The account: `groupId`.
    group: Option<String>,
    /// Of alias calls the id that is given up.
    previous: Option<String>,
    /// Members of the context, and where they come from: `ip = "request.ip"`.
    context: BTreeMap<String, String>,
    /// Members of the item that get another name among the properties: `"click.url" = "link_url"`.
    names: BTreeMap<String, String>,
    /// Members of the item that are kept from the call: secrets that the sender sends along.
    #[serde(rename = "leave_out")]
    secret: Option<Vec<String>>,
    /// Objects of the item whose members become properties of their own.
    lift: Option<Vec<String>>,
    /// The names of events that `calls` does not list stay as they are, and are not put into Title Case.
    verbatim: bool,
    /// The context's member that holds what surrounds the items (`batch`); left out, it stands among the properties.
    around: Option<String>,
}

/// The call that an event is.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CallSettings {
    /// `identify`, `track`, `page`, `screen`, `group` or `alias`.
    r#type: String,
    /// The event's name for track, the page's or screen's for those.
    #[serde(default)]
    name: String,
}

impl Described for Settings {
    const CONNECTOR: &'static str = "webhook";

    fn secrets(&self) -> Vec<Secret> {
        self.secret.all()
    }

    fn describe(&self) -> Result<Made, String> {
        if self.mapping.event.is_none() {
            return Err(
                "mapping.event is missing: where an item has the event's name, or 'Some Name' in quotes"
                    .into(),
            );
        }
        let MappingSettings { user, anonymous, otherwise, .. } = &self.mapping;
        if [user, anonymous, otherwise].iter().all(|who| who.is_none()) {
            return Err(
                "mapping.user, anonymous or otherwise is missing: a call has to be about somebody".into()
            );
        }
        let items = match (self.format, self.items.as_str()) {
            (BodyFormat::Json, path) => Items::Json(intern(path)),
            (_, path) if !path.is_empty() => {
                return Err(format!("items = {path:?} is for format = \"json\""));
            }
            (BodyFormat::Ndjson, _) => Items::Ndjson,
            (BodyFormat::Form, _) => Items::Form,
            (BodyFormat::Csv, _) => Items::Csv,
            (BodyFormat::Query, _) => Items::Query,
        };
        let surface = Surface { path: "", signature: self.signature.make()?, items };
        let webhook = Webhook { surfaces: Box::leak(Box::new([surface])), calls: calls(&self.calls)? };
        let mapping = self.mapping.over(Mapping { calls: webhook.calls, ..Mapping::NEW });
        Ok(Made { webhook, mapping })
    }
}

impl MappingSettings {
    /// What they say, and for what they leave out what is known already.
    pub fn over(&self, known: Mapping<'static>) -> Mapping<'static> {
        let text = |said: &Option<String>, known| said.as_deref().map_or(known, intern);
        let list = |said: &Option<Vec<String>>, known: &'static [&'static str]| match said {
            Some(said) => &*said.iter().map(|one| intern(one)).collect::<Vec<_>>().leak(),
            None => known,
        };
        let pairs =
            |said: &BTreeMap<String, String>, known: &'static [(&'static str, &'static str)]| match said
                .is_empty()
            {
                true => known,
                false => {
                    &*said.iter().map(|(one, other)| (intern(one), intern(other))).collect::<Vec<_>>().leak()
                }
            };
        Mapping {
            event: text(&self.event, known.event),
            id: list(&self.id, known.id),
            time: text(&self.time, known.time),
            user: text(&self.user, known.user),
            anonymous: text(&self.anonymous, known.anonymous),
            otherwise: text(&self.otherwise, known.otherwise),
            email: text(&self.email, known.email),
            group: text(&self.group, known.group),
            previous: text(&self.previous, known.previous),
            context: pairs(&self.context, known.context),
            names: pairs(&self.names, known.names),
            secret: list(&self.secret, known.secret),
            lift: list(&self.lift, known.lift),
            verbatim: self.verbatim || known.verbatim,
            around: text(&self.around, known.around),
            ..known
        }
    }
}

/// The calls that settings name.
pub fn calls(said: &BTreeMap<String, CallSettings>) -> Result<&'static [CallType], String> {
    let mut calls = Vec::new();
    for (native, call) in said {
        let kind = CallKind::find(&call.r#type).ok_or_else(|| {
            let kinds: Vec<&str> = CallKind::ALL.iter().map(|kind| kind.name()).collect();
            format!("calls.{native:?}: {:?} is no call; one of {}", call.r#type, kinds.join(", "))
        })?;
        calls.push(CallType::new(kind, intern(&call.name), "").native(intern(native)));
    }
    Ok(calls.leak())
}

#[cfg(test)]
mod tests {
    use headwater_core::event::map_delivery;

    use super::{super::Hook, *};

    fn open(settings: Value) -> Result<Hook<Settings>, String> {
        serde_json::from_value(settings).map_err(|error| error.to_string())
    }

    #[test]
    fn names_may_stay_and_what_surrounds_the_items_may_stand_in_the_context() {
        let source = open(json!({
            "signature": { "scheme": "none" },
            "items": "events",
            "mapping": { "event": "type", "anonymous": "who", "verbatim": true, "around": "batch" },
        }));
        let source = source.unwrap();
        let body = r#"{"sent":7,"events":[{"type":"my_own","who":"w","n":1}]}"#;
        let delivery = Delivery::fetched("2026-11-01T00:00:00Z".parse().unwrap(), body.into());
        let mapped = map_delivery("webhook", &source, &source.made.webhook.surfaces[0], &delivery);
        let Output::Call(call) = &mapped.outputs[0].1 else { panic!("no call") };
        assert_eq!(call.name.as_deref(), Some("my_own"));
        assert_eq!(format!("{:?}", call.properties), r#"{"who":"w","n":1}"#);
        assert_eq!(format!("{:?}", call.context), r#"{"batch":{"sent":7}}"#);
    }

    #[test]
    fn the_same_settings_are_one_webhook_and_slips_are_named() {
        let settings = json!({
            "secret": "s3cret",
            "signature": { "scheme": "token", "header": "X-Token" },
            "mapping": { "event": "'Form Sent'", "anonymous": "email" },
        });
        let one = open(settings.clone()).unwrap();
        let other = open(settings.clone()).unwrap();
        assert!(std::ptr::eq(one.made, other.made));
        assert!(!format!("{one:?}").contains("s3cret"));
        let delivery =
            Delivery::fetched("2026-11-01T00:00:00Z".parse().unwrap(), r#"{"email":"a@b"}"#.into());
        let mapped = map_delivery("webhook", &one, &one.made.webhook.surfaces[0], &delivery);
        assert!(
            matches!(&mapped.outputs[0].1, Output::Call(call) if call.name.as_deref() == Some("Form Sent"))
        );
        for (path, value, words) in [
            ("/mapping/event", Value::Null, "mapping.event is missing"),
            ("/mapping/anonymous", Value::Null, "about somebody"),
            ("/signature/scheme", json!("rot13"), "unknown variant"),
            ("/mapping", json!({"evnt": "x"}), "unknown field `evnt`"),
        ] {
            let mut wrong = settings.clone();
            *wrong.pointer_mut(path).unwrap() = value;
            let error = open(wrong).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
        let mut wrong = settings;
        wrong["calls"] = json!({ "a": { "type": "trak" } });
        assert!(open(wrong).unwrap_err().contains("is no call; one of identify, track"));
    }
}
