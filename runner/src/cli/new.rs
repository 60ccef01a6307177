//! `headwater new`: a connector to begin with, in a checkout of Headwater: its module, its two lines of the registry, its fixtures.

use std::path::Path;

use clap::Args as ClapArgs;
use headwater_connectors as connectors;
use headwater_core::error::{Error, Result};
use serde_json::json;

use super::{End, say};

/// Begin a connector of your own.
#[derive(ClapArgs)]
pub(super) struct Args {
    /// Its name: a slug such as `acme` or `acme-mail`.
    name: String,
    /// The checkout of Headwater.
    #[arg(long, default_value = ".", value_name = "FOLDER")]
    checkout: std::path::PathBuf,
}

pub(super) fn run(args: Args) -> Result<End> {
    let name = args.name.as_str();
    let valid = name.starts_with(|c: char| c.is_ascii_lowercase())
        && !name.ends_with('-')
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if !valid {
        return Err(Error::config(format!("{name:?} is no slug: write it in lower case, like acme-mail")));
    }
    if connectors::find(name).is_some() {
        return Err(Error::config(format!("there is a connector {name} already")));
    }
    let module = name.replace('-', "_");
    let registry = args.checkout.join("connectors/src/lib.rs");
    let text = std::fs::read_to_string(&registry).map_err(|_| {
        Error::config(format!(
            "{} is no checkout of Headwater: run this in one, or name one with --checkout",
            args.checkout.display()
        ))
    })?;
    let text = register(&text, &module)?;
    let title: String = name.split('-').map(capital).collect::<Vec<_>>().join(" ");
    write(&args.checkout.join(format!("connectors/src/{module}.rs")), &source(name, &title))?;
    let fixtures = args.checkout.join("fixtures").join(name);
    for (file, content) in files(name) {
        write(&fixtures.join(file), &content)?;
    }
    std::fs::write(&registry, text)
        .map_err(|error| Error::config(format!("{}: {error}", registry.display())))?;
    say(&format!(
        "wrote connectors/src/{module}.rs, fixtures/{name}/ and two lines of connectors/src/lib.rs"
    ))?;
    say(&format!(
        "next: change them to what the vendor does, then cargo test -p headwater-tests --test conformance {name}"
    ))?;
    Ok(End::Done)
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

fn write(file: &Path, content: &str) -> Result<()> {
    let failed = |error: std::io::Error| Error::config(format!("{}: {error}", file.display()));
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    let mut new = std::fs::File::create_new(file).map_err(failed)?;
    std::io::Write::write_all(&mut new, content.as_bytes()).map_err(failed)
}

/// The registry with the module's two lines, each where the alphabet has it.
fn register(text: &str, module: &str) -> Result<String> {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for (start, line) in [("mod ", format!("mod {module};")), ("    ", format!("    {module}::CONNECTOR,"))] {
        let is_entry = |known: &str| match start {
            "mod " => known.starts_with("mod ") && known.ends_with(';'),
            _ => known.ends_with("::CONNECTOR,"),
        };
        let after = lines.iter().rposition(|known| is_entry(known) && *known < line);
        let first = lines.iter().position(|known| is_entry(known));
        let place = after.map(|place| place + 1).or(first);
        let place = place.ok_or_else(|| Error::config("connectors/src/lib.rs has no list of connectors"))?;
        lines.insert(place, line);
    }
    Ok(lines.join("\n") + "\n")
}

/// The module of a connector of this name, as it begins.
pub fn source(name: &str, title: &str) -> String {
    let kind: String = title.split(' ').collect();
    format!(
        r#"//! {title}: its people, and what they do as its webhook tells it.

use headwater_core::prelude::*;

/// {title}.
pub const CONNECTOR: Connector = Connector::new("{name}", "{title}", "other", "https://api.example.com/docs")
    .settings::<{kind}>()
    .objects::<{kind}>(COLLECTIONS, &[])
    .events::<{kind}>(&WEBHOOK);

/// An account of {title}.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct {kind} {{
    /// The key of the API, from the account's settings.
    api_key: Secret,
    /// The secret that the vendor signs webhooks with; several while one is being rotated.
    #[serde(default)]
    webhook_secret: Secrets,
}}

static COLLECTIONS: &[Collection] = &[Collection {{
    name: "people",
    endpoint: Endpoint::get("/v1/people").query(&[("limit", "2")]),
    records: "data",
    pages: Pages::Token {{ at: At::Body("next"), into: Put::Query("cursor"), more: More::Given }},
    fields: "id text, email text, name text, created_at time",
    ..Collection::DEFAULT
}}];

#[async_trait]
impl ObjectSource for {kind} {{
    fn api(&self, _: &Account) -> Result<Api> {{
        Ok(Api::new("https://api.example.com", Auth::Bearer(self.api_key.clone()))
            .limit(Limit::requests(10, Duration::from_secs(1))))
    }}

    async fn check(&self, client: &Client) -> Result<Account> {{
        let me = Record::parse(&client.send(Request::get("/v1/me")).await?.body)?;
        Ok(Account {{ id: me.get("id")?, title: me.get("name")?, extra: Value::Null }})
    }}
}}

static WEBHOOK: Webhook = Webhook {{
    surfaces: &[Surface::json("events", Signature::Hmac(Hmac::body(Place::Header(&["x-signature"]))))],
    calls: CALLS,
}};

const CALLS: &[CallType] =
    &[CallType::track("Person Joined", "plan text").native("person.joined").when("somebody has signed up")];

const MAPPING: Mapping = Mapping {{
    // Where an event says what a call wants to know; what is not named goes into the call's properties.
    calls: CALLS,
    event: "type",
    id: &["id"],
    time: "at",
    user: "user_id",
    ..Mapping::NEW
}};

impl EventSource for {kind} {{
    fn secrets(&self, _: &Surface) -> Vec<Secret> {{
        self.webhook_secret.all()
    }}

    fn mapping(&self) -> Mapping<'_> {{
        MAPPING
    }}
}}
"#
    )
}

/// Its fixtures: name and content.
pub fn files(name: &str) -> Vec<(&'static str, String)> {
    let pretty = |value: serde_json::Value| format!("{value:#}\n");
    vec![
        (
            "catalog.json",
            pretty(json!({
                "objects": [{ "name": "people", "properties": ["id", "email", "name", "created_at"] }],
                "events": [{ "call": "track", "name": "Person Joined", "properties": ["plan"] }],
                "corrections": []
            })),
        ),
        (
            "config.json",
            pretty(json!({
                "settings": { "api_key": "key_1", "webhook_secret": "whsec_example" },
                "start_date": "2026-10-01T00:00:00Z",
                "account": { "id": "acct_1", "title": "Example" }
            })),
        ),
        (
            "_check.http",
            "### who we are\nGET /v1/me\nHTTP/1.1 200\ncontent-type: application/json\n\n{\"id\":\"acct_1\",\"name\":\"Example\"}\n"
                .to_owned(),
        ),
        (
            "people.http",
            "### the first page\nGET /v1/people?limit=2\nHTTP/1.1 200\ncontent-type: application/json\n\n{\"data\":[\n  {\"id\":\"p1\",\"email\":\"ada@example.com\",\"name\":\"Ada\",\"created_at\":\"2026-10-02T08:00:00Z\"},\n  {\"id\":\"p2\",\"email\":null,\"name\":\"Łucja\",\"created_at\":\"2026-10-03T08:00:00Z\"}\n],\"next\":\"c2\"}\n\n### the last page\nGET /v1/people?limit=2&cursor=c2\nHTTP/1.1 200\ncontent-type: application/json\n\n{\"data\":[\n  {\"id\":\"p3\",\"email\":\"hiro@example.com\",\"name\":\"Hiro\",\"created_at\":\"2026-10-04T08:00:00Z\"}\n],\"next\":null}\n"
                .to_owned(),
        ),
        (
            "person_joined.json",
            pretty(json!({ "events": [{ "id": "e1", "type": "person.joined", "at": "2026-10-31T12:00:00Z", "user_id": "p1", "plan": "team" }] })),
        ),
        (
            "person_joined.calls.json",
            pretty(json!([{
                "type": "track",
                "messageId": format!("{name}:e1"),
                "userId": "p1",
                "event": "Person Joined",
                "timestamp": "2026-10-31T12:00:00Z",
                "originalTimestamp": "2026-10-31T12:00:00Z",
                "receivedAt": "2026-11-01T00:00:00Z",
                "properties": { "plan": "team" }
            }])),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_registry_stays_in_order() {
        let text = "mod alpha;\nmod gamma;\n\npub static ALL: &[Connector] = &[\n    alpha::CONNECTOR,\n    gamma::CONNECTOR,\n];\n";
        let expected = "mod alpha;\nmod beta;\nmod gamma;\n\npub static ALL: &[Connector] = &[\n    alpha::CONNECTOR,\n    beta::CONNECTOR,\n    gamma::CONNECTOR,\n];\n";
        assert_eq!(register(text, "beta").unwrap(), expected);
        assert!(register(text, "aaa").unwrap().starts_with("mod aaa;\nmod alpha;"));
        assert!(register(text, "zeta").unwrap().contains("    gamma::CONNECTOR,\n    zeta::CONNECTOR,\n];"));
    }
}
