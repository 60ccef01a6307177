//! The configuration file, `headwater.toml`: read, expanded, checked whole before anything starts.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use headwater_core::{
    auth::Secret,
    error::{Error, Result},
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::{sync::schedule::duration, warehouse::postgres::PostgresSettings};

mod destination;
mod source;
mod text;

pub use destination::{Begin, DestinationKind, DestinationSettings, Terms};
pub use source::SourceSettings;
pub use text::{closest, date, nearest, unknown_connector, unknown_destination, unknown_source};
use text::{expand, one_line, read};

/// The whole file.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where Headwater keeps what it has received, its state, and the embedded warehouse.
    pub data_dir: PathBuf,
    /// The file of the key that seals secrets, readable by its owner only, where HEADWATER_KEY does not hold the key itself.
    /// `~/.config/headwater/key` without one; it is made if it is not there. Keep it apart from data_dir.
    pub key_file: Option<PathBuf>,
    /// What vendors and libraries reach.
    pub receive: Receive,
    /// Pages and REST API: the address is kept for them, nothing listens there yet.
    pub console: Console,
    /// Where tables go.
    pub warehouse: WarehouseSettings,
    /// Your own OAuth apps, by connector, where a vendor wants one.
    pub oauth: BTreeMap<String, OAuthApp>,
    /// The sources.
    pub source: Vec<SourceSettings>,
    /// The destinations: where calls are sent, apart from the warehouse.
    pub destination: Vec<DestinationSettings>,
}

/// What vendors and libraries reach.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Receive {
    /// The address to listen on.
    #[schemars(with = "String")]
    pub listen: SocketAddr,
    /// How vendors reach it from outside: `https://hooks.example.com`. Signatures that cover the URL need it.
    pub public_url: Option<String>,
    /// Proxies whose `X-Forwarded-For` is believed.
    #[schemars(with = "Vec<String>")]
    pub trusted_proxies: Vec<std::net::IpAddr>,
    /// How long received deliveries are kept once they have been normalised, such as `7d`: so long they can be looked into.
    pub keep: String,
    /// How many bytes of them are kept at most; the oldest go first.
    pub keep_bytes: u64,
    /// The largest single call or webhook item the tracking API takes, in bytes (Segment: 32 KB).
    pub max_call_bytes: usize,
    /// The largest batch of the tracking API, in bytes (Segment: 500 KB).
    pub max_batch_bytes: usize,
    /// The most calls in one batch (Segment: 2,500).
    pub max_batch_calls: usize,
    /// The largest webhook body, in bytes, unpacked.
    pub max_webhook_bytes: usize,
    /// The most connections at once; further ones are answered 503, and more than that wait.
    pub max_connections: usize,
    /// The most bytes that bodies take in memory at once; further ones are answered 503.
    pub max_bodies_bytes: usize,
    /// While the disk of data_dir has less free than this, in bytes, deliveries are answered 503.
    pub low_disk: u64,
    /// While it has less free than this, in bytes, `/readyz` answers 503: nothing more should be sent here.
    pub ready_disk: u64,
    /// While a delivery waits longer than this for the warehouse, `/readyz` answers 503; `never`: however long.
    pub max_lag: String,
}

/// Pages and REST API: nothing listens there yet.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Console {
    /// The address to listen on; sign-in is always required.
    #[schemars(with = "String")]
    pub listen: SocketAddr,
}

/// Where tables go.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
pub enum WarehouseSettings {
    /// The embedded warehouse: one file a source, in `data_dir/warehouse`.
    Sqlite {},
    /// A Postgres: a schema for each source.
    Postgres(PostgresSettings),
}

/// Your own OAuth app.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OAuthApp {
    /// Its id.
    pub client_id: String,
    /// Its secret.
    pub client_secret: Option<Secret>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: "headwater-data".into(),
            key_file: None,
            receive: Receive::default(),
            console: Console::default(),
            warehouse: WarehouseSettings::Sqlite {},
            oauth: BTreeMap::new(),
            source: Vec::new(),
            destination: Vec::new(),
        }
    }
}

impl Default for Receive {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([0, 0, 0, 0], 8080)),
            public_url: None,
            trusted_proxies: Vec::new(),
            keep: "7d".to_owned(),
            keep_bytes: 10 << 30,
            max_call_bytes: 32 << 10,
            max_batch_bytes: 500 << 10,
            max_batch_calls: 2_500,
            max_webhook_bytes: 8 << 20,
            max_connections: 4_096,
            max_bodies_bytes: 64 << 20,
            low_disk: 64 << 20,
            ready_disk: 256 << 20,
            max_lag: "1h".to_owned(),
        }
    }
}

impl Default for Console {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 8081)) }
    }
}

impl Config {
    /// Reads `path`; without a file of that name, the defaults, unless the user named it.
    pub fn load(path: &Path, named: bool) -> Result<Self> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !named => {
                return Ok(Self::default());
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(Error::config(format!(
                    "{} is not there; headwater init makes one",
                    path.display()
                )));
            }
            Err(error) => return Err(Error::config(format!("{} cannot be read: {error}", path.display()))),
        };
        Self::parse(&text, &|name| std::env::var(name).ok())
            .map_err(|error| error.within("config", path.display().to_string()))
    }

    /// Reads the text of a file; `env` gives the values for `${NAME}`.
    pub fn parse(text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<Self> {
        let mut value: Value = toml::from_str(text)
            .map_err(|error| Error::config(one_line(error.message(), text, error.span())))?;
        expand(&mut value, env, "")?;
        let sources = take(&mut value, "source")?;
        let destinations = take(&mut value, "destination")?;
        let mut config: Self = read(value).map_err(Error::config)?;
        config.source = each("source", sources)?;
        config.destination = each("destination", destinations)?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<()> {
        let mut names = BTreeSet::new();
        for source in &self.source {
            let within = |error: Error| error.within("source", &source.name);
            if !names.insert(source.name.as_str()) {
                return Err(within(Error::config("there are two of that name")));
            }
            source.check().map_err(within)?;
        }
        for source in &self.source {
            let events = source.calls_schema()?;
            if events != source.name && names.contains(events.as_str()) {
                return Err(Error::config(format!(
                    "its calls would go to schema {events}, which is another source's"
                ))
                .within("source", &source.name));
            }
        }
        let mut taken = BTreeSet::new();
        for destination in &self.destination {
            let within = |error: Error| error.within("destination", &destination.name);
            if !taken.insert(destination.name.as_str()) {
                return Err(within(Error::config("there are two of that name")));
            }
            destination.check(&names).map_err(within)?;
        }
        self.receive.check()?;
        if let WarehouseSettings::Postgres(settings) = &self.warehouse {
            settings.check()?;
        }
        if let Some(url) = &self.receive.public_url {
            let url = url::Url::parse(url)
                .map_err(|error| Error::config(format!("receive.public_url: {error}")))?;
            if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
                return Err(Error::config("receive.public_url has to be like https://hooks.example.com"));
            }
        }
        Ok(())
    }
}

/// Takes what is written `[[name]]` out of the file.
fn take(file: &mut Value, name: &str) -> Result<Vec<Value>> {
    match file.as_object_mut().and_then(|file| file.remove(name)) {
        None => Ok(Vec::new()),
        Some(Value::Array(items)) => Ok(items),
        Some(_) => Err(Error::config(format!("{name} has to be written [[{name}]], one for each"))),
    }
}

/// Reads each of them; what is wrong is said with its name.
fn each<T: serde::de::DeserializeOwned>(what: &'static str, items: Vec<Value>) -> Result<Vec<T>> {
    let read = |(place, item): (usize, Value)| {
        let name = item.get("name").and_then(Value::as_str);
        let name = name.map_or(format!("number {}", place + 1), str::to_owned);
        read(item).map_err(|error| Error::config(error).within(what, name))
    };
    items.into_iter().enumerate().map(read).collect()
}

impl Receive {
    fn check(&self) -> Result<()> {
        self.kept()?;
        let largest = self.max_webhook_bytes.max(self.max_batch_bytes).max(self.max_call_bytes);
        if self.max_bodies_bytes / 4 < largest {
            return Err(Error::config(format!(
                "receive.max_bodies_bytes has to be at least four times the largest body ({largest} bytes)"
            )));
        }
        self.most_lag()?;
        if self.ready_disk < self.low_disk {
            return Err(Error::config("receive.ready_disk has to be at least receive.low_disk"));
        }
        if self.max_connections == 0 {
            return Err(Error::config("receive.max_connections of 0 would take nothing"));
        }
        Ok(())
    }

    /// How long a delivery may wait for the warehouse before no more should be sent.
    pub fn most_lag(&self) -> Result<Option<Duration>> {
        if self.max_lag == "never" {
            return Ok(None);
        }
        let wrong = || {
            Error::config(format!(
                "receive.max_lag {:?} is no time: write it like 1h or 15m, or never",
                self.max_lag
            ))
        };
        duration(&self.max_lag).ok_or_else(wrong).map(Some)
    }

    /// How long received deliveries are kept.
    pub fn kept(&self) -> Result<Duration> {
        duration(&self.keep).ok_or_else(|| {
            Error::config(format!("receive.keep {:?} is no time: write it like 7d or 12h", self.keep))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config> {
        Config::parse(text, &|name| (name == "KEY").then(|| "sk_test_1".to_owned()))
    }

    #[test]
    fn a_whole_file_is_read() {
        let config = parse(
            r#"
            data_dir = "here"
            [receive]
            listen = "127.0.0.1:0"
            public_url = "https://hooks.example.com"
            [warehouse]
            type = "sqlite"
            [[source]]
            name = "stripe_prod"
            connector = "stripe"
            schedule = "every 3h"
            timezone = "Europe/Berlin"
            start_date = "2024-01-01"
            settings = { api_key = "${KEY}" }
            "#,
        )
        .unwrap();
        assert_eq!(config.source[0].settings["api_key"], "sk_test_1");
        assert_eq!(config.source[0].calls_schema().unwrap(), "stripe_prod_events");
    }

    #[test]
    fn every_error_says_what_to_do() {
        let source = |line: &str| format!("[[source]]\nname = \"a\"\nconnector = \"segment\"\n{line}\n");
        let webhook = |line: &str| {
            let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
            format!(
                "[[destination]]\nname = 'crm'\ntype = 'webhook'\nurl = 'https://hooks.example.com/in'\nsecret = '{secret}'\n{line}\n"
            )
        };
        for (text, expected) in [
            ("data_dri = 'x'".to_owned(), "unknown key data_dri; did you mean data_dir?"),
            ("[receive]\nlisten = 'x'".to_owned(), "invalid socket address"),
            ("a = ".to_owned(), "line 1:"),
            ("[warehouse]\ntype = 'postgres'\nhots = 'x'".to_owned(), "unknown key hots; did you mean host?"),
            ("[warehouse]\ntype = 'postgres'\nurl = 'x'".to_owned(), "warehouse.url: it is no address"),
            (source("shedule = 'every 3h'"), "source a: unknown key shedule; did you mean schedule?"),
            (source("schedule = 'every 3h'"), "has no objects"),
            (source("settings = { x = 1 }"), "source a: settings: unknown key x; there are none here"),
            (source("environment = '${NOPE}'"), "source[0].environment: the environment has no NOPE"),
            (source("environment = '5$'"), "write $$"),
            (source("start_date = 'soon'"), "is no date"),
            (source("hash = ['email']"), "has to begin with"),
            (source("").repeat(2), "two of that name"),
            (source("").replace("segment", "segmnet"), "unknown connector segmnet; the nearest are segment"),
            (source("").replace("\"a\"", "\"A b\""), "A b"),
            ("destination = 1".to_owned(), "written [[destination]]"),
            (webhook("sercet = 'x'"), "destination crm: unknown key sercet; did you mean secret?"),
            (webhook("").replace("webhook", "webhok"), "unknown value webhok; did you mean webhook?"),
            (webhook("").replace("https", "http"), "use https"),
            (webhook("").replace("hooks.example.com", "192.168.0.1"), "no public address"),
            (webhook("sources = ['b']"), "there is no source b: the config names none"),
            (webhook("write_key = 'x'"), "write_key is nothing that a destination of type webhook has"),
            (webhook("retain = 'long'"), "retain \"long\" is no time"),
            (webhook("retry = { frist = '1s' }"), "retry: unknown key frist; did you mean first?"),
            (webhook("retry = { first = '2h' }"), "longer than retry.longest"),
            (webhook("concurrency = 0"), "from 1 to 256"),
            (webhook("hash = ['email']"), "has to begin with"),
            (webhook("").replace("whsec_", "whsec_!"), "openssl rand -base64 32"),
            (webhook("").replace("secret", "# secret"), "openssl rand -base64 32"),
            (webhook("").repeat(2), "two of that name"),
            (
                webhook("").replace("webhook", "segment"),
                "secret is nothing that a destination of type segment",
            ),
        ] {
            let error = parse(&text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}\n{error}");
            assert!(!error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn dollars_are_expanded_in_values_only() {
        let config =
            parse("[[source]]\nname='a'\nconnector='segment'\nlabels={ '$x' = '$$${KEY}$$' }").unwrap();
        assert_eq!(config.source[0].labels["$x"], "$sk_test_1$");
    }
}
