//! A connector for trying the laws: a list with children, a list of linked pages, a feed, signed webhooks with look-ups, a
//! stream. It is sound, unless its settings name a fault.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
};

use headwater_core::prelude::*;

use crate::fixture::Files;

/// The good one.
pub const CONNECTOR: Connector = Connector::new("toy", "Toy", "other", "https://toy.example.com/docs")
    .settings::<Toy>()
    .objects::<Toy>(COLLECTIONS, FEEDS)
    .events::<Toy>(&WEBHOOK)
    .pull::<Toy>();

/// An account of nobody.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Toy {
    /// The key of the API.
    api_key: Secret,
    /// The secrets that webhooks are signed with, the newer first.
    #[serde(default)]
    webhook_secret: Secrets,
    /// What is wrong with it.
    #[serde(default)]
    fault: String,
    /// What it should not remember.
    #[serde(skip)]
    pages: AtomicU64,
}

const LIST: Collection = Collection {
    endpoint: Endpoint::get("/v1/{name}").query(&[("limit", "2")]),
    records: "data",
    pages: Pages::Token { at: At::Body("next"), into: Put::Query("cursor"), more: More::Given },
    ..Collection::DEFAULT
};

pub const COLLECTIONS: &[Collection] = &[
    Collection { name: "accounts", from: From::Feed("news"), fields: "id text, plan text", ..LIST },
    Collection {
        name: "notes",
        key: &["person_id", "id"],
        endpoint: Endpoint::get("/v1/people/{^id}/notes"),
        from: From::Children { of: &["people"], reread: Reread::Changed },
        fields: "id int, person_id text = ^id, text text",
        ..LIST
    },
    Collection {
        name: "people",
        fields: "id text, email text, name text, created_at time, score real",
        ..LIST
    },
    Collection {
        name: "visits",
        endpoint: Endpoint::get("/v1/visits"),
        pages: Pages::Url { at: At::Body("links.next"), more: More::Given },
        since: Some(Since::Time {
            field: "at",
            from: Put::Query("since"),
            until: Some(Put::Query("until")),
            format: TimeFormat::Rfc3339,
            overlap: Duration::from_secs(60),
            lag: Duration::from_secs(60),
            first: None,
        }),
        deletes: Deletes::Flag("gone", "true"),
        fields: "id int, at time, seconds numeric",
        retired: &[("referrer", "the vendor no longer tells it")],
        ..LIST
    },
];

pub const FEEDS: &[Feed] = &[Feed {
    read: Collection {
        name: "news",
        since: Some(Since::Cursor {
            from: Put::Query("from"),
            format: TimeFormat::UnixSeconds,
            first: "0",
            lag: Duration::from_secs(60),
        }),
        pages: Pages::Token { at: At::Body("next"), into: Put::Query("cursor"), more: More::If("more") },
        ..LIST
    },
    horizon: None,
    fills: &["accounts"],
}];

pub const WEBHOOK: Webhook = Webhook {
    surfaces: &[Surface { path: "", signature: Signature::Hmac(SIGNATURE), items: Items::Json("events") }],
    calls: &[
        CallType::track("Person Joined", "plan text").native("person.joined").when("somebody has signed up"),
        CallType::new(CallKind::Identify, "", "email text").native("person.known").when("somebody is known"),
    ],
};

pub const SIGNATURE: Hmac = Hmac {
    over: &[Part::Stamp, Part::Text("."), Part::Body],
    stamp: Some(Stamp::header(&["x-time"], StampFormat::UnixSeconds)),
    ..Hmac::body(Place::Header(&["x-signature"]))
};

#[async_trait]
impl ObjectSource for Toy {
    fn api(&self, _: &Account) -> Result<Api> {
        let auth = match self.fault.as_str() {
            "unsigned" => Auth::None,
            _ => Auth::Bearer(self.api_key.clone()),
        };
        let api = Api::new("https://api.toy.example.com", auth);
        Ok(match self.fault.as_str() {
            "hasty" => api.judge(|answer| {
                answer.status.is_server_error().then(|| Error::unexpected("the vendor has failed"))
            }),
            "gives up hastily" => api.judge(|answer| {
                (answer.status.as_u16() == 429).then(|| Error::new(Kind::Forbidden, "too much is asked"))
            }),
            "lenient" => api.judge(|answer| {
                (answer.status.as_u16() == 401).then(|| Error::new(Kind::Forbidden, "no entry"))
            }),
            _ => api,
        })
    }

    async fn check(&self, client: &Client) -> Result<Account> {
        let me = Record::parse(&client.send(Request::get("/v1/me")).await?.body)?;
        Ok(Account { id: me.get("id")?, title: me.get("name")?, extra: Value::Null })
    }

    async fn page(&self, pull: Pull<'_>) -> Result<Page> {
        if self.fault == "remembers" && pull.collection.name == "people" {
            return self.remembered(pull).await;
        }
        let mut page = match rest::page(pull).await {
            Err(error) if error.kind() == Kind::Forbidden && self.fault == "swallows" => {
                return Ok(Page::default());
            }
            Err(_) if self.fault.starts_with("gives up") => return Ok(Page::default()),
            page => page?,
        };
        match self.fault.as_str() {
            "invents" if page.changes.is_empty() => {
                let row =
                    Record::new(&json!({"id": "none", "email": null, "name": null, "created_at": null}))?;
                page.changes.push(Change::upsert(pull.collection.name, row));
            }
            "endless" if page.changes.is_empty() => {
                page.more = true;
                page.cursor = json!({"token": "again"});
            }
            "leaves the last" if !page.more => page.changes.clear(),
            "stops early" => page.more = false,
            "drifts" if !pull.read.page.is_null() => {
                page.changes.truncate(self.pages.fetch_add(1, Ordering::Relaxed) as usize);
            }
            _ => {}
        }
        if pull.collection.name == "news" {
            for change in &mut page.changes {
                change.collection = "accounts";
            }
        }
        Ok(page)
    }
}

impl Toy {
    /// Where it is stands in the source, not in the cursor.
    async fn remembered(&self, pull: Pull<'_>) -> Result<Page> {
        let count = self.pages.load(Ordering::Relaxed);
        let place = if count == 0 { Value::Null } else { json!({"token": format!("c{}", count + 1)}) };
        let read = Read { page: place, ..pull.read.clone() };
        let mut page = rest::page(Pull { read: &read, ..pull }).await?;
        self.pages.store(if page.more { count + 1 } else { 0 }, Ordering::Relaxed);
        page.cursor = json!({ "after": pull.read.page });
        Ok(page)
    }
}

#[async_trait]
impl EventPull for Toy {
    fn api(&self, account: &Account) -> Result<Api> {
        ObjectSource::api(self, account)
    }

    async fn check(&self, client: &Client) -> Result<Account> {
        ObjectSource::check(self, client).await
    }

    async fn pull(&self, client: &Client, cursor: &Value) -> Result<Pulled> {
        let count = self.pages.load(Ordering::Relaxed).to_string();
        let after = match (cursor.as_str(), self.fault.as_str()) {
            (_, "pulls from memory") => Some(count.as_str()).filter(|count| *count != "0"),
            (after, _) => after,
        };
        let request = Request::get("/v1/stream");
        let request = after.iter().fold(request, |request, after| request.query("after", *after));
        let answer = client.send(request).await?;
        let page = Record::parse(&answer.body)?;
        let next: Option<String> = page.text("next")?;
        self.pages.fetch_add(1, Ordering::Relaxed);
        let more = next.is_some() && self.fault != "pulls once";
        let cursor = next.map_or(cursor.clone(), Value::from);
        let mut deliveries = vec![("", Delivery::fetched(Timestamp::now(), answer.body))];
        deliveries.retain(|_| page.parts("events").is_ok_and(|events| !events.is_empty()));
        Ok(Pulled { deliveries, cursor, more })
    }
}

impl EventSource for Toy {
    fn lookups(&self, item: &Item<'_>) -> Vec<Request> {
        let asked = item.record.text("ask").ok().flatten();
        let host = if self.fault == "asks elsewhere" { "https://elsewhere.example.net" } else { "" };
        asked.map(|id| Request::get(format!("{host}/v1/people/{id}"))).into_iter().collect()
    }

    fn secrets(&self, _: &Surface) -> Vec<Secret> {
        match self.fault.as_str() {
            "closed" => Vec::new(),
            _ => self.webhook_secret.all(),
        }
    }

    fn map(&self, item: &Item<'_>) -> Result<Vec<Output>> {
        static CALLS: AtomicU64 = AtomicU64::new(0);
        let mut rest = item.fields()?;
        let native: String = item.record.get("type")?;
        let at = item.record.time("at")?;
        rest.take("at");
        rest.take("type");
        let call = match WEBHOOK.by_native(&native) {
            Some(call) => call.call(),
            None => Call::track(native),
        };
        if self.fault == "panics" {
            assert!(item.record.get::<String>("plan").is_ok(), "there is no plan");
        }
        for found in &item.lookups {
            rest.set_text("name", found.text("name")?.as_deref());
        }
        let id = rest.take_text("id");
        let user = rest.take_text("user_id");
        match self.fault.as_str() {
            "loses" => drop(rest.take("plan")),
            "loses half" => drop(rest.take("is_trial")),
            _ => {}
        }
        let id = match self.fault.as_str() {
            "counts" => Some(CALLS.fetch_add(1, Ordering::Relaxed).to_string()),
            _ => id,
        };
        let user = if self.fault == "forgets who" { None } else { user };
        Ok(vec![call.id(id).at(at).user(user).properties(rest).into()])
    }
}

/// The fixtures of the good one.
pub fn files() -> Files {
    let http = |exchanges: &[(&str, &str)]| {
        let one = |(target, body): &(&str, &str)| {
            format!("### {target}\nGET {target}\nHTTP/1.1 200\ncontent-type: application/json\n\n{body}\n")
        };
        exchanges.iter().map(one).collect::<Vec<_>>().join("\n")
    };
    let texts = BTreeMap::from([
        (
            "catalog.json",
            json!({
                "objects": [
                    {"name": "accounts", "properties": ["id", "plan"]},
                    {"name": "notes", "properties": ["id", "person_id", "text"]},
                    {"name": "people", "properties": ["id", "email", "name", "created_at", "received_at"]},
                    {"name": "visits", "properties": ["id", "at", "sec*", "referrer"]},
                ],
                "events": [{"call": "track", "name": "Person Joined", "properties": ["plan"]}],
            })
            .to_string(),
        ),
        (
            "config.json",
            json!({
                "settings": {"api_key": "key-of-the-toy", "webhook_secret": ["new-secret", "old-secret"], "fault": ""},
                "start_date": "2026-10-01T00:00:00Z",
                "account": {"id": "a1", "title": "Playroom"},
            })
            .to_string(),
        ),
        ("_check.http", http(&[("/v1/me", r#"{"id":"a1","name":"Playroom"}"#)])),
        (
            "people.http",
            http(&[
                (
                    "/v1/people?limit=2",
                    r#"{"data":[{"id":"p1","email":"ada@example.com","name":"Ada","created_at":"2026-10-02T08:00:00Z","score":0.5},{"id":"p2","email":null,"name":"Łucja","created_at":"2026-10-03T08:00:00Z","score":null}],"next":"c2"}"#,
                ),
                ("/v1/people/p1/notes", r#"{"data":[{"id":1,"text":"first"}],"next":"n2"}"#),
                ("/v1/people/p1/notes?cursor=n2", r#"{"data":[{"id":2,"text":"second"}],"next":null}"#),
                ("/v1/people/p2/notes", r#"{"data":[],"next":null}"#),
                (
                    "/v1/people?limit=2&cursor=c2",
                    r#"{"data":[{"id":"p3","email":"hiro@example.com","name":"Hiro","created_at":"2026-10-04T08:00:00Z","score":2.5}],"next":null}"#,
                ),
                ("/v1/people/p3/notes", r#"{"data":[{"id":1,"text":"another first"}],"next":null}"#),
            ]),
        ),
        (
            "visits.http",
            http(&[
                (
                    "/v1/visits?since=2026-10-01T00%3A00%3A00Z&until=*",
                    r#"{"data":[{"id":1,"at":"2026-10-05T00:00:00Z","seconds":12345678901234567890,"gone":true}],"links":{"next":"https://api.toy.example.com/v1/visits?page=2"}}"#,
                ),
                (
                    "/v1/visits?page=2",
                    r#"{"data":[{"id":2,"at":"2026-10-06T00:00:00Z","seconds":0.5}],"links":{"next":null}}"#,
                ),
            ]),
        ),
        (
            "news.http",
            http(&[
                ("/v1/news?limit=2&from=1790812800", r#"{"data":[{"id":"a1","plan":"free"}],"next":"f2","more":true}"#),
                ("/v1/news?limit=2&cursor=f2", r#"{"data":[{"id":"a2","plan":"team"}],"next":"f3","more":false}"#),
            ]),
        ),
        (
            "_pull.http",
            http(&[
                ("/v1/stream", r#"{"events":[{"id":"s1","type":"person.joined","at":"2026-10-31T12:00:00Z","user_id":"p1"}],"next":"1"}"#),
                ("/v1/stream?after=1", r#"{"events":[{"id":"s2","type":"person.joined","at":"2026-10-31T12:00:01Z","user_id":"p2"}],"next":"2"}"#),
                ("/v1/stream?after=2", r#"{"events":[],"next":null}"#),
            ]),
        ),
        ("_lookups.http", http(&[("/v1/people/p1", r#"{"name":"Ada"}"#)])),
        (
            "person_joined.json",
            r#"{"events":[{"id":"e1","type":"person.joined","at":"2026-10-31T12:00:00Z","user_id":"p1","plan":"team","is_trial":true,"is_new":true}]}"#.to_owned(),
        ),
        (
            "person_joined.calls.json",
            r#"[{"type":"track","messageId":"toy:e1","userId":"p1","event":"Person Joined","timestamp":"2026-10-31T12:00:00Z",
                "originalTimestamp":"2026-10-31T12:00:00Z","receivedAt":"2026-11-01T00:00:00Z","properties":{"plan":"team","is_trial":true,"is_new":true}}]"#.to_owned(),
        ),
        (
            "person_known.json",
            r#"{"events":[{"id":"e2","type":"person.known","at":1793448000,"user_id":"p1","email":"ada@example.com","plan":"new","ask":"p1"}]}"#.to_owned(),
        ),
        (
            "person_known.calls.json",
            r#"[{"type":"identify","messageId":"toy:e2","userId":"p1","timestamp":"2026-10-31T12:00:00Z",
                "originalTimestamp":"2026-10-31T12:00:00Z","receivedAt":"2026-11-01T00:00:00Z","traits":{"email":"ada@example.com","plan":"new","ask":"p1","name":"Ada"}}]"#.to_owned(),
        ),
    ]);
    texts.into_iter().map(|(name, text)| (name.to_owned(), text.into())).collect()
}
