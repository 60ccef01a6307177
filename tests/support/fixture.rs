//! What a connector's folder in `fixtures/` holds, as values: settings, recorded exchanges, deliveries, and what it must
//! offer. A broken source's fixtures are the good ones with a few characters changed, so all of it is read from texts.

use std::{collections::BTreeMap, path::Path};

use bytes::Bytes;
use headwater_core::object::Account;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

/// Files by name.
pub type Files = BTreeMap<String, Bytes>;

/// A connector's fixtures.
#[derive(Clone, Debug)]
pub struct Fixtures {
    /// What it must offer.
    pub catalog: Catalog,
    /// A source that has been set up.
    pub config: Config,
    /// Recorded exchanges, by the file's stem: a collection, a feed, `_auth`, `_check`, `_catalog`, `_lookups`, `_pull`, or
    /// `<collection>.empty`.
    pub recordings: BTreeMap<String, Vec<Exchange>>,
    /// Deliveries, by name.
    pub deliveries: Vec<Sample>,
    /// Files that are none of these.
    pub strays: Vec<String>,
}

/// What a connector must offer.
#[derive(Clone, Debug, Deserialize)]
pub struct Catalog {
    /// Its collections.
    pub objects: Vec<Object>,
    /// Its calls.
    pub events: Vec<Event>,
}

/// A collection of the catalog.
#[derive(Clone, Debug, Deserialize)]
pub struct Object {
    /// What it is called.
    pub name: String,
    /// What it has.
    pub properties: Vec<String>,
}

/// A call of the catalog.
#[derive(Clone, Debug, Deserialize)]
pub struct Event {
    /// Which of the six calls.
    pub call: String,
    /// What it is called.
    pub name: String,
    /// What it has.
    pub properties: Vec<String>,
}

/// A source that has been set up.
#[derive(Clone, Debug, Deserialize)]
pub struct Config {
    /// Its settings.
    pub settings: Value,
    /// Where time-bound collections begin.
    pub start_date: Timestamp,
    /// What `check` returned.
    pub account: Account,
    /// Private keys (PEM) that sign the deliveries, where the settings hold public ones; newest first.
    #[serde(default)]
    pub signing_keys: Vec<String>,
}

/// A request and its answer, as recorded.
#[derive(Clone, Debug, PartialEq)]
pub struct Exchange {
    /// The recording it stands in.
    pub file: String,
    /// What it is called there.
    pub name: String,
    /// The method.
    pub method: String,
    /// The path.
    pub path: String,
    /// Decoded and sorted; a value `*` matches any.
    pub query: Vec<(String, String)>,
    /// What the request's body must be, if that was recorded.
    pub body: Option<Bytes>,
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub answer: Bytes,
}

/// One recorded delivery.
#[derive(Clone, Debug)]
pub struct Sample {
    /// What it is called.
    pub name: String,
    /// The body as it came.
    pub body: Bytes,
    /// Its content type.
    pub content_type: &'static str,
    /// What stands around the body.
    pub around: Around,
    /// What it becomes; none if nobody wrote it down.
    pub calls: Option<Value>,
}

/// What stands around a delivery's body.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Around {
    /// The path behind the webhook key.
    pub path: String,
    /// The query string.
    pub query: String,
    /// Headers; those of the signature are made when it is signed.
    pub headers: BTreeMap<String, String>,
    /// The method.
    pub method: Option<String>,
}

/// The kinds of bodies.
const BODIES: [(&str, &str); 4] = [
    ("json", "application/json"),
    ("form", "application/x-www-form-urlencoded"),
    ("ndjson", "application/x-ndjson"),
    ("csv", "text/csv"),
];

impl Fixtures {
    /// Reads a folder.
    pub fn load(folder: &Path) -> Result<Self, String> {
        let entries = std::fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let mut files = Files::new();
        for entry in entries {
            let path = entry.map_err(|error| error.to_string())?.path();
            // Folders are the connector's own: its unit tests read them.
            let (true, Some(name)) = (path.is_file(), path.file_name().and_then(|name| name.to_str())) else {
                continue;
            };
            let content = std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
            files.insert(name.to_owned(), content.into());
        }
        Self::parse(&files)
    }

    /// Reads files.
    pub fn parse(files: &Files) -> Result<Self, String> {
        let json = |name: &str| files.get(name).ok_or_else(|| format!("{name} is missing"));
        fn read<T: serde::de::DeserializeOwned>(name: &str, text: &Bytes) -> Result<T, String> {
            serde_json::from_slice(text).map_err(|error| format!("{name}: {error}"))
        }
        let mut fixtures = Self {
            catalog: read("catalog.json", json("catalog.json")?)?,
            config: read("config.json", json("config.json")?)?,
            recordings: BTreeMap::new(),
            deliveries: Vec::new(),
            strays: Vec::new(),
        };
        for (file, content) in files {
            let Some((stem, end)) = file.rsplit_once('.') else {
                fixtures.strays.push(file.clone());
                continue;
            };
            let kind = BODIES.iter().find(|(known, _)| *known == end);
            let part = |end: &str| stem.strip_suffix(end).filter(|of| is_delivery(files, of));
            match kind {
                _ if matches!(file.as_str(), "catalog.json" | "config.json") => {}
                None if end == "http" => {
                    fixtures.recordings.insert(stem.to_owned(), recording(stem, content)?);
                }
                Some(_) if part(".calls").is_some() || part(".headers").is_some() => {}
                Some((_, content_type)) if !stem.contains('.') => {
                    let around = format!("{stem}.headers.json");
                    let calls = format!("{stem}.calls.json");
                    let around = files.get(&around).map(|text| read(&around, text)).transpose()?;
                    let calls = files.get(&calls).map(|text| read(&calls, text)).transpose()?;
                    fixtures.deliveries.push(Sample {
                        name: stem.to_owned(),
                        body: content.clone(),
                        content_type,
                        around: around.unwrap_or_default(),
                        calls,
                    });
                }
                _ => fixtures.strays.push(file.clone()),
            }
        }
        Ok(fixtures)
    }

    /// The exchanges that are open to every read.
    pub fn common(&self) -> Vec<Exchange> {
        ["_auth", "_check", "_catalog"]
            .iter()
            .filter_map(|name| self.recordings.get(*name))
            .flatten()
            .cloned()
            .collect()
    }

    /// The collections and feeds that have a recording.
    pub fn recorded(&self) -> impl Iterator<Item = &str> {
        let common = ["_auth", "_check", "_catalog", "_lookups", "_pull"];
        self.recordings
            .keys()
            .map(String::as_str)
            .filter(move |name| !common.contains(name) && !name.contains('.'))
    }
}

fn is_delivery(files: &Files, name: &str) -> bool {
    BODIES.iter().any(|(end, _)| files.contains_key(&format!("{name}.{end}")))
}

/// Reads a recording: exchanges, each after a line `### name`.
pub fn recording(file: &str, content: &[u8]) -> Result<Vec<Exchange>, String> {
    let text =
        std::str::from_utf8(content).map_err(|_| format!("{file}.http is not UTF-8"))?.replace("\r\n", "\n");
    let mut exchanges = Vec::new();
    let start = text
        .strip_prefix("### ")
        .ok_or_else(|| format!("{file}.http does not begin with a line ### name"))?;
    for part in start.split("\n### ") {
        let (name, rest) =
            part.split_once('\n').ok_or_else(|| format!("{file}.http: {part:?} has no request"))?;
        let exchange =
            exchange(file, name.trim(), rest).map_err(|why| format!("{file}.http, {name}: {why}"))?;
        exchanges.push(exchange);
    }
    Ok(exchanges)
}

fn exchange(file: &str, name: &str, text: &str) -> Result<Exchange, String> {
    let (asked, answered) = match text.strip_prefix("HTTP/") {
        Some(_) => return Err("it has no request".into()),
        None => text.split_once("\nHTTP/1.1 ").ok_or("it has no line HTTP/1.1 <status>")?,
    };
    let (head, body) = asked.split_once("\n\n").unwrap_or((asked, ""));
    let line = head.lines().next().unwrap_or_default().trim();
    let (method, target) = line.split_once(' ').ok_or_else(|| format!("{line:?} is not METHOD /path"))?;
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let (line, rest) = answered.split_once('\n').unwrap_or((answered, ""));
    let status = line.split_whitespace().next().unwrap_or_default();
    let status = status.parse().map_err(|_| format!("{status:?} is not a status"))?;
    let (headers, answer) = match rest.strip_prefix('\n') {
        Some(answer) => ("", answer),
        None => rest.split_once("\n\n").unwrap_or((rest, "")),
    };
    let mut pairs = Vec::new();
    for line in headers.lines().filter(|line| !line.trim().is_empty()) {
        let (name, value) = line.split_once(':').ok_or_else(|| format!("{line:?} is not a header"))?;
        pairs.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
    }
    let body = body.trim();
    Ok(Exchange {
        file: file.to_owned(),
        name: name.to_owned(),
        method: method.to_owned(),
        path: path.to_owned(),
        query: pairs_of(query),
        body: Some(Bytes::from(body.to_owned())).filter(|body| !body.is_empty()),
        status,
        headers: pairs,
        answer: answer.trim_end_matches('\n').to_owned().into(),
    })
}

/// A query or form, decoded and sorted.
pub fn pairs_of(query: &str) -> Vec<(String, String)> {
    let mut pairs: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    pairs.sort();
    pairs
}
