//! Small things that keep mappings short.

use bytes::Bytes;
use http::{HeaderMap, Method};
use jiff::Timestamp;

use super::{Delivery, Item, Items, Surface, Webhook};
use crate::{
    record::Raw,
    signature::Signature,
    spec::{Call, CallKind, CallType},
};

/// A vendor's name of an event as a person would write it: `opened_email`, `email.opened`, `orders/create`,
/// `EMAIL_OPENED` and `emailOpened` are `Opened Email`, `Email Opened`, `Orders Create`, `Email Opened`, `Email Opened`.
pub fn title_case(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 4);
    let mut before = ' ';
    let shouted = !name.chars().any(char::is_lowercase);
    for c in name.chars() {
        if !c.is_alphanumeric() {
            before = ' ';
            continue;
        }
        let starts = before == ' ' || (!shouted && c.is_uppercase() && !before.is_uppercase());
        if starts && !out.is_empty() {
            out.push(' ');
        }
        match (starts, shouted) {
            (true, _) => out.extend(c.to_uppercase()),
            (false, true) => out.extend(c.to_lowercase()),
            (false, false) => out.push(c),
        }
        before = c;
    }
    out
}

impl Surface {
    /// The address of a webhook that has one, and posts JSON: its items are at these paths ([`Items::Json`]).
    pub const fn json(items: &'static str, signature: Signature) -> Self {
        Self { path: "", signature, items: Items::Json(items) }
    }
}

impl Webhook {
    /// The first call that the vendor's event of this name stands for. [`CallType::native`] may hold several names,
    /// parted by `|`.
    pub fn by_native(&self, native: &str) -> Option<&'static CallType> {
        CallType::by_native(self.calls, native)
    }

    /// The surface that a path behind the webhook key leads to, and what follows it.
    pub fn surface<'p>(&self, path: &'p str) -> Option<(&'static Surface, &'p str)> {
        let path = path.trim_matches('/');
        let tail = |surface: &Surface| match path.strip_prefix(surface.path)? {
            tail if surface.path.is_empty() || tail.is_empty() => Some(tail),
            tail => tail.strip_prefix('/'),
        };
        let found = self.surfaces.iter().filter_map(|surface| Some((surface, tail(surface)?)));
        found.max_by_key(|(surface, _)| surface.path.len())
    }
}

impl CallType {
    /// The first of `calls` that has this name at the vendor.
    pub fn by_native(calls: &'static [CallType], native: &str) -> Option<&'static CallType> {
        if native.is_empty() {
            return None;
        }
        calls
            .iter()
            .find(|call| call.native == native || call.native.split('|').any(|one| one.trim() == native))
    }

    /// An empty call of this type.
    pub fn call(&self) -> Call {
        let name = Some(self.name.to_owned()).filter(|name| !name.is_empty() && self.kind.is_named());
        Call { name, ..Call::new(self.kind) }
    }
}

impl CallKind {
    fn is_named(self) -> bool {
        matches!(self, CallKind::Track | CallKind::Page | CallKind::Screen)
    }
}

impl Call {
    /// Of the person whom the vendor knows by our own id, else by the address: the id is `userId`, the address without
    /// it `anonymousId`; the address is in the context's traits either way.
    pub fn person(mut self, user_id: Option<String>, email: Option<String>) -> Self {
        if let Some(email) = &email {
            self.context.set_at("traits.email", Raw::string(email));
        }
        match user_id {
            Some(id) => self.user_id = Some(id),
            None => self.anonymous_id = email,
        }
        self
    }
}

impl Item<'_> {
    /// The first of these headers that its delivery has.
    pub fn any_header(&self, names: &[&str]) -> Option<&str> {
        names.iter().find_map(|name| self.header(name))
    }
}

impl Delivery {
    /// A delivery that nobody posted: events that an [`EventPull`](super::EventPull) has fetched.
    pub fn fetched(received_at: Timestamp, body: Bytes) -> Self {
        Self {
            received_at,
            method: Method::POST,
            path_tail: String::new(),
            query: String::new(),
            headers: HeaderMap::new(),
            body,
            url: String::new(),
            lookups: Vec::new(),
        }
    }
}
