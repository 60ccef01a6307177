//! Mappings as values: where an item says what happened, when, and to whom. What a mapping does not name goes into the
//! call's properties as it came.
//!
//! A *locator* is text that says where something stands: a [path](Record::get) into the item (`data.customer.id`), or
//! `envelope:` and a path into what surrounds the items, `header:` and a name, `query:` and a name, `surface:` for the
//! surface's path and `tail:` for what follows it in the URL, `received:` for the time of receipt (which tells two
//! events apart whose bodies are the same), `sha256:` and a path for the hex digest of what stands there, or `'text'` for
//! that text itself. A path that ends in `.*` leads to the first member of an object that holds text. Of several locators,
//! parted by `|`, the first that holds text counts; "" is nowhere.

use jiff::Timestamp;

use super::{
    Item,
    locator::{Found, find, nowhere, text},
    title_case,
};
use crate::{
    error::{Error, Result},
    record::{Fields, Raw, Tree, shorten},
    spec::{Call, CallKind, CallType},
    time::parse_time,
};

/// Where the items of a webhook say what a call wants to know. A connector writes it as a difference from
/// [`Mapping::NEW`], and for one item as a difference from its own: `Mapping { user: &self.user_id, ..MAPPING }`.
#[derive(Clone, Copy, Debug)]
pub struct Mapping<'m> {
    /// The calls that events become.
    pub calls: &'static [CallType],
    /// The vendor's name of the event: [`CallType::native`] says which of the calls it is; one that is not listed is a
    /// track call with its words in Title Case.
    pub event: &'static str,
    /// Events that are not listed keep their name as it is: the vendor's customers name them.
    pub verbatim: bool,
    /// The vendor's id of the event: the message id. Of several the first has to be there, the others are put behind it
    /// if they are (`message_id`, `type`). Without one the item's digest is the id.
    pub id: &'static [&'static str],
    /// When it happened.
    pub time: &'static str,
    /// The person, in our own database; often the settings say where.
    pub user: &'m str,
    /// The person, by another name: where `user` is nowhere, a call has to have this one.
    pub anonymous: &'static str,
    /// The person whom `user` does not name: the anonymous id then, and only then.
    pub otherwise: &'static str,
    /// The person's address: `context.traits.email`.
    pub email: &'static str,
    /// The account: of a group call its `groupId`, else `context.groupId`.
    pub group: &'static str,
    /// Of an alias call, the id that is given up.
    pub previous: &'static str,
    /// Members of the context and where they come from: `("ip", "data.click.ip")`.
    pub context: &'static [(&'static str, &'static str)],
    /// Members of the item with another name among the properties: `("click.url", "link_url")`. The first one with a
    /// value has the name; others keep their own.
    pub names: &'static [(&'static str, &'static str)],
    /// Members of the item that nobody else may see: a secret that the vendor sends along, our own address with its key.
    pub secret: &'static [&'static str],
    /// Objects of the item whose members become properties of their own (`data`, `data.click`); "" has no meaning here.
    pub lift: &'static [&'static str],
    /// What is put before the name of a property that is taken by another or by a column of every call (`id`,
    /// `timestamp`).
    pub prefix: &'static str,
    /// The context's member that holds what surrounds the items (`radar`); "" puts it among the properties, which are
    /// the traits of an identify call.
    pub around: &'static str,
    /// Members of what surrounds the items that the first one's call alone has: what is long, or about no item of them.
    pub once: &'static [&'static str],
}

impl Mapping<'static> {
    /// One that knows nothing yet.
    pub const NEW: Self = Self {
        calls: &[],
        event: "",
        verbatim: false,
        id: &[],
        time: "",
        user: "",
        anonymous: "",
        otherwise: "",
        email: "",
        group: "",
        previous: "",
        context: &[],
        names: &[],
        secret: &[],
        lift: &[],
        prefix: "event_",
        around: "",
        once: &[],
    };
}

impl Mapping<'_> {
    /// The call that an item stands for.
    pub fn call(&self, item: &Item<'_>) -> Result<Call> {
        let native = find(item, self.event)?.ok_or_else(|| nowhere("the event's name", self.event))?;
        let mut call = CallType::by_native(self.calls, &native.text)
            .map_or_else(|| Call::new(CallKind::Track), CallType::call);
        if call.kind == CallKind::Track && call.name.as_deref().is_none_or(str::is_empty) {
            let text = &native.text;
            call.name = Some(if self.verbatim { text.trim().to_owned() } else { title_case(text) });
        }
        self.whole(item, call, native.path)
    }

    /// Fills a call whose kind and name are known.
    pub fn fill(&self, item: &Item<'_>, call: Call) -> Result<Call> {
        self.whole(item, call, find(item, self.event)?.and_then(|native| native.path))
    }

    /// Fills a call; the event's name stands at `event` of the item, if it does.
    fn whole(&self, item: &Item<'_>, call: Call, event: Option<&str>) -> Result<Call> {
        let (id, id_path) = self.id(item)?;
        let (time, time_path) = self.time(item)?;
        let mut call =
            call.id(id).at(time).user(text(item, self.user)?).anonymous(text(item, self.anonymous)?);
        if call.user_id.is_none() && call.anonymous_id.is_none() {
            call.anonymous_id = text(item, self.otherwise)?;
        }
        if call.user_id.is_none() && call.anonymous_id.is_none() {
            let places = [self.user, self.anonymous, self.otherwise].join("|");
            return Err(nowhere("whom it is about", &places));
        }
        let group = text(item, self.group)?;
        match call.kind {
            CallKind::Group => {
                call.group_id = Some(group.ok_or_else(|| nowhere("the group", self.group))?);
            }
            CallKind::Alias => call.previous_id = text(item, self.previous)?,
            _ => call = call.context("groupId", group.as_deref()),
        }
        call = call.context("traits.email", text(item, self.email)?.as_deref());
        for (path, from) in self.context {
            call = call.context(path, text(item, from)?.as_deref());
        }
        let mut around = item.around_but(self.once)?;
        if !self.around.is_empty() && !around.is_empty() {
            call.context.set_at(self.around, std::mem::take(&mut around).raw());
        }
        // These three say nothing more than the call does.
        let said = [event, time_path, id_path];
        call.properties = self.properties(item, &call, said.into_iter().flatten(), around)?;
        Ok(call)
    }

    /// The vendor's id, and where in the item it stands. An id of several parts stands nowhere, for only together they are one.
    fn id(&self, item: &Item<'_>) -> Result<(Option<String>, Option<&'static str>)> {
        let Some((first, others)) = self.id.split_first() else { return Ok((None, None)) };
        let Some(Found { text: mut id, path }) = find(item, first)? else { return Ok((None, None)) };
        for other in others {
            if let Some(part) = text(item, other)? {
                id.push(':');
                id.push_str(&part);
            }
        }
        Ok((Some(id), path.filter(|_| others.is_empty())))
    }

    fn time(&self, item: &Item<'_>) -> Result<(Option<Timestamp>, Option<&'static str>)> {
        let Some(Found { text, path }) = find(item, self.time)? else { return Ok((None, None)) };
        let not = || Error::unexpected(format!("{} is not a time: {:?}", self.time, shorten(&text)));
        Ok((Some(parse_time(&text).ok_or_else(not)?), path))
    }

    /// Everything that the call does not say by itself: the item's members with a name of ours, what is lifted, the rest
    /// as it came, and what stands `around` it.
    fn properties<'p>(
        &self,
        item: &Item<'_>,
        call: &Call,
        said: impl Iterator<Item = &'p str>,
        around: Fields,
    ) -> Result<Fields> {
        let mut rest = Tree::of(&item.record)?;
        for path in said.chain(self.secret.iter().copied()) {
            rest.take(path);
        }
        let mut properties = Fields::default();
        for (path, name) in self.names {
            if properties.get(name).is_none()
                && let Some(part) = rest.take(path)
            {
                properties.set(*name, part.close());
            }
        }
        for path in self.lift {
            let Some(part) = rest.take(path) else { continue };
            let last = path.rsplit('.').next().unwrap_or(path);
            match part.fields()? {
                Ok(inner) => properties.merge(inner, &format!("{last}_")),
                Err(value) => properties.merge(Fields::from_iter([(last.to_owned(), value)]), self.prefix),
            }
        }
        properties.merge(rest.close(), self.prefix);
        properties.merge(around, "webhook_");
        properties.clear_columns(call, self.prefix);
        Ok(properties)
    }
}

impl Fields {
    /// Gives members that have the name of a column of every call (`id`, `userId`, `timestamp`) this prefix; those that
    /// say what the call says by itself go.
    pub fn clear_columns(&mut self, call: &Call, prefix: &str) {
        let (taken, kept): (Vec<_>, Vec<_>) =
            std::mem::take(self).into_iter().partition(|(name, _)| is_column(name));
        *self = kept.into_iter().collect();
        let says_more = |(name, value): &(String, Raw)| {
            let said = match letters(name).collect::<String>().as_str() {
                "userid" => call.user_id.clone(),
                "anonymousid" => call.anonymous_id.clone(),
                _ => None,
            };
            said.is_none() || said != value.text()
        };
        let prefixed = taken.into_iter().filter(says_more);
        self.merge(prefixed.map(|(name, value)| (format!("{prefix}{name}"), value)).collect(), prefix);
    }
}

/// Whether the warehouse has a column of this name in every table of calls.
fn is_column(name: &str) -> bool {
    const COLUMNS: [&str; 10] = [
        "anonymousid",
        "event",
        "eventtext",
        "id",
        "originaltimestamp",
        "receivedat",
        "sentat",
        "timestamp",
        "userid",
        "uuidts",
    ];
    name.len() <= 20 && COLUMNS.iter().any(|column| letters(name).eq(column.chars()))
}

fn letters(name: &str) -> impl Iterator<Item = char> {
    name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::{
        auth::Secret,
        event::{Delivery, EventSource, Items, Output, Surface, Webhook, map_delivery},
        signature::Signature,
    };

    const MAPPING: Mapping = Mapping {
        calls: WEBHOOK.calls,
        event: "header:x-topic|type",
        id: &["id"],
        time: "created",
        user: "data.customer.externalId",
        anonymous: "data.customer.id|data.ids.*|'nobody'",
        email: "data.customer.email",
        group: "envelope:account",
        context: &[("ip", "data.click.ip")],
        names: &[("data.click.url", "link_url"), ("data.click.href", "link_url")],
        secret: &["data.token"],
        lift: &["data.click", "data"],
        ..Mapping::NEW
    };

    const WEBHOOK: Webhook = Webhook {
        surfaces: &[Surface {
            path: "",
            signature: Signature::None { why: "a test" },
            items: Items::Json("events|sent"),
        }],
        calls: &[
            CallType::track("Link Clicked", "").native("link.clicked"),
            CallType::new(CallKind::Group, "", "").native("account.made"),
        ],
    };

    struct Toy;
    impl EventSource for Toy {
        fn secrets(&self, _surface: &Surface) -> Vec<Secret> {
            Vec::new()
        }
        fn map(&self, item: &Item<'_>) -> Result<Vec<Output>> {
            Ok(vec![MAPPING.call(item)?.into()])
        }
    }

    fn maps(body: &'static str, topic: Option<&'static str>) -> Vec<String> {
        let now = "2026-11-01T00:00:00Z".parse().unwrap();
        let mut delivery = Delivery::fetched(now, Bytes::from(body));
        if let Some(topic) = topic {
            delivery.headers.insert("x-topic", topic.parse().unwrap());
        }
        let mapped = map_delivery("toy", &Toy, &WEBHOOK.surfaces[0], &delivery);
        let calls = mapped.outputs.into_iter().filter_map(|(_, output)| match output {
            Output::Call(call) => {
                Some(call.to_json().replace(",\"receivedAt\":\"2026-11-01T00:00:00Z\"", ""))
            }
            Output::Change(_) => None,
        });
        calls.chain(mapped.rejected.iter().map(ToString::to_string)).collect()
    }

    #[test]
    fn what_is_named_has_its_place_and_the_rest_stays() {
        let body = r#"{"account":"a1","sent":7,"events":[{"id":"e1","type":"link.clicked","created":1714996800,"timestamp":"x",
            "data":{"user_id":"u9","customer":{"id":"c1","externalId":"u1","email":"a@b"},"click":{"url":"https://l","href":"h","ip":"::1","id":"k"}}}]}"#;
        assert_eq!(
            maps(body, None),
            [concat!(
                r#"{"type":"track","messageId":"toy:e1","userId":"u1","anonymousId":"c1","event":"Link Clicked","#,
                r#""timestamp":"2024-05-06T12:00:00Z","originalTimestamp":"2024-05-06T12:00:00Z","#,
                r#""properties":{"link_url":"https://l","href":"h","ip":"::1","#,
                r#""customer":{"id":"c1","externalId":"u1","email":"a@b"},"account":"a1","sent":7,"#,
                r#""event_id":"k","event_user_id":"u9","event_timestamp":"x"},"#,
                r#""context":{"groupId":"a1","traits":{"email":"a@b"},"ip":"::1"}}"#
            )]
        );
    }

    #[test]
    fn settings_say_where_the_person_is_and_an_address_may_be_hashed() {
        struct Chosen(String);
        impl EventSource for Chosen {
            fn secrets(&self, _surface: &Surface) -> Vec<Secret> {
                Vec::new()
            }
            fn map(&self, item: &Item<'_>) -> Result<Vec<Output>> {
                let mapping = Mapping { user: &self.0, anonymous: "sha256:mail", ..MAPPING };
                Ok(vec![mapping.call(item)?.into()])
            }
        }
        let now = "2026-11-01T00:00:00Z".parse().unwrap();
        let body = r#"{"events":[{"type":"a","mail":"a@b","no":7},{"type":"a","mail":" "}]}"#;
        let delivery = Delivery::fetched(now, Bytes::from(body));
        let mapped = map_delivery("toy", &Chosen("no".into()), &WEBHOOK.surfaces[0], &delivery);
        let Output::Call(call) = &mapped.outputs[0].1 else { panic!("no call") };
        // printf 'a@b' | sha256sum
        let digest = "7508d8b5018ea640b85269861a101203f0c26900555268e930025dac844b0f35";
        assert_eq!((call.user_id.as_deref(), call.anonymous_id.as_deref()), (Some("7"), Some(digest)));
        assert!(mapped.rejected[0].to_string().contains("whom it is about"), "an empty address is nobody");
    }

    #[test]
    fn what_surrounds_the_items_may_stand_in_the_context() {
        const AROUND: Mapping = Mapping { around: "toy.sent", user: "who", ..Mapping::NEW };
        let delivery = Delivery::fetched(
            "2026-11-01T00:00:00Z".parse().unwrap(),
            Bytes::from(r#"{"cohort":"c","events":[{"who":1,"plan":"free"}]}"#),
        );
        struct Members;
        impl EventSource for Members {
            fn secrets(&self, _surface: &Surface) -> Vec<Secret> {
                Vec::new()
            }
            fn map(&self, item: &Item<'_>) -> Result<Vec<Output>> {
                Ok(vec![AROUND.fill(item, Call::identify())?.into()])
            }
        }
        let mapped = map_delivery("toy", &Members, &WEBHOOK.surfaces[0], &delivery);
        let Output::Call(call) = &mapped.outputs[0].1 else { panic!("no call") };
        assert!(
            call.to_json()
                .contains(r#""traits":{"who":1,"plan":"free"},"context":{"toy":{"sent":{"cohort":"c"}}}"#),
            "{}",
            call.to_json()
        );
    }

    #[test]
    fn what_is_long_goes_to_the_first_item_alone() {
        const ONCE: Mapping = Mapping { once: &["of.history", "gone"], user: "who", ..Mapping::NEW };
        struct Members;
        impl EventSource for Members {
            fn map(&self, item: &Item<'_>) -> Result<Vec<Output>> {
                let mapping = if item.index == 3 { Mapping { once: &["of"], ..ONCE } } else { ONCE };
                Ok(vec![mapping.fill(item, Call::identify())?.into()])
            }
        }
        let now = "2026-11-01T00:00:00Z".parse().unwrap();
        let body =
            r#"{"of":{"plan":"free","history":[1,2]},"events":[{"who":1},{"who":2},{"who":3},{"who":4}]}"#;
        let mapped =
            map_delivery("toy", &Members, &WEBHOOK.surfaces[0], &Delivery::fetched(now, body.into()));
        let around = |(_, output): &(u32, Output)| match output {
            Output::Call(call) => call.properties.get("of").map(|of| format!("{of:?}")),
            Output::Change(_) => panic!("no call"),
        };
        let [whole, part] =
            [r#"{"plan":"free","history":[1,2]}"#, r#"{"plan":"free"}"#].map(|of| Some(of.to_owned()));
        assert_eq!(mapped.outputs.iter().map(around).collect::<Vec<_>>(), [whole, part.clone(), part, None]);
    }

    #[test]
    fn the_header_comes_first_and_unlisted_names_are_words() {
        let body = r#"{"events":[{"id":"e1","data":"text"}]}"#;
        let calls = maps(body, Some("orders/paid"));
        assert!(calls[0].contains(r#""event":"Orders Paid","properties":{"data":"text"}"#), "{calls:?}");
        assert!(maps(body, None)[0].contains("the event's name is missing: nothing at header:x-topic, type"));
        assert!(maps(body, Some("account.made"))[0].contains("the group is missing"), "no account");
    }

    #[test]
    fn names_of_the_customers_own_stay_and_bodies_that_are_the_same_are_told_apart() {
        const OWN: Mapping = Mapping {
            calls: WEBHOOK.calls,
            event: "type|surface:",
            verbatim: true,
            time: "received:",
            user: "who",
            otherwise: "email",
            ..Mapping::NEW
        };
        let call = |body: &'static str, path: &'static str| {
            let delivery = Delivery::fetched("2026-11-01T00:00:00Z".parse().unwrap(), body.into());
            let record = crate::record::Record::parse(&delivery.body).unwrap();
            let surface = Surface { path, ..WEBHOOK.surfaces[0] };
            OWN.call(&Item::alone(&record, &surface, &delivery)).unwrap()
        };
        let own = call(r#"{"type":" my_own event","who":1}"#, "");
        assert_eq!(own.name.as_deref(), Some("my_own event"));
        assert_eq!(own.timestamp, Some("2026-11-01T00:00:00Z".parse().unwrap()));
        assert_eq!(call(r#"{"who":1}"#, "link.clicked").name.as_deref(), Some("Link Clicked"));
        assert_eq!(call(r#"{"who":1,"email":"a@b"}"#, "x").anonymous_id, None);
        assert_eq!(call(r#"{"email":"a@b"}"#, "x").anonymous_id.as_deref(), Some("a@b"));
    }

    #[test]
    fn an_id_of_any_name_will_do_and_secrets_go_nowhere() {
        let calls =
            maps(r#"{"events":[{"id":"e1","type":"t","data":{"token":"x","ids":{"a":null,"b":7}}}]}"#, None);
        assert!(
            calls[0].contains(r#""anonymousId":"7","event":"T","properties":{"ids":{"a":null,"b":7}}"#),
            "{calls:?}"
        );
    }
}
