//! One source of the configuration, and what makes it valid.

use std::collections::BTreeMap;

use headwater_connectors as connectors;
use headwater_core::{
    auth::Secret,
    connector::Connector,
    error::{Error, Result},
};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::{date, nearest, unknown_connector};
use crate::sync::schedule::Schedule;

/// The usual share of daily allotments that scheduled syncs leave.
const RESERVE: f64 = 0.1;

/// One source.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SourceSettings {
    /// Its name: the warehouse's schema. Lower snake case.
    pub name: String,
    /// Its connector (`headwater catalog` lists them).
    pub connector: String,
    /// Whether it syncs and receives.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// When its objects are synced, and its events fetched: `every 3h`, five- or six-field cron, or `@hourly`; left out: objects only by
    /// hand, events all the time.
    #[serde(default)]
    pub schedule: Option<String>,
    /// The zone that the schedule's hours are in, as IANA names it. UTC without one.
    #[serde(default)]
    pub timezone: Option<String>,
    /// How late a run may begin, at random, so that not everything starts at once: `5m`. None without one.
    #[serde(default)]
    pub jitter: Option<String>,
    /// The share of the account's daily allotments that scheduled syncs leave to your own other uses, such as `20%`; 10% without one.
    #[serde(default)]
    pub reserve: Option<String>,
    /// Only these collections.
    #[serde(default)]
    pub collections: Vec<String>,
    /// Not these collections.
    #[serde(default)]
    pub exclude: Vec<String>,
    /// Where time-bound collections begin: a date or RFC 3339 time.
    #[serde(default)]
    pub start_date: Option<String>,
    /// What the connector needs (`headwater catalog NAME` explains it).
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, Value>")]
    pub settings: Value,
    /// The public key that libraries send with; made once when left out.
    #[serde(default)]
    pub write_key: Option<String>,
    /// The secret part of the webhook URL; made once when left out.
    #[serde(default)]
    pub webhook_key: Option<Secret>,
    /// The schema of its calls, where the connector offers objects too. `<name>_events` without one.
    #[serde(default)]
    pub events_schema: Option<String>,
    /// A stand-in for all of the vendor's hosts.
    #[serde(default)]
    pub base_url: Option<String>,
    /// What it is for: `production`, `staging`.
    #[serde(default)]
    pub environment: Option<String>,
    /// For your own order.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Calls that are not loaded: names of events, or of calls (`page`).
    #[serde(default)]
    pub block: Vec<String>,
    /// Properties, traits or context members whose values are replaced by their SHA-256: `properties.email`.
    #[serde(default)]
    pub hash: Vec<String>,
    /// Properties, traits or context members that are left out.
    #[serde(default)]
    pub drop: Vec<String>,
}

fn yes() -> bool {
    true
}

/// Says which of these is no member that can be hashed or left out.
pub(super) fn check_members<'a>(members: impl Iterator<Item = &'a String>) -> Result<()> {
    for member in members {
        if !["properties.", "traits.", "context."].iter().any(|start| member.starts_with(start)) {
            return Err(Error::config(format!(
                "{member:?} has to begin with properties., traits. or context."
            )));
        }
    }
    Ok(())
}

impl SourceSettings {
    /// Says what is wrong with it.
    pub fn check(&self) -> Result<()> {
        crate::warehouse::name::check_schema(&self.name)?;
        let connector = self.connector()?;
        connector.validate(&self.settings).map_err(|error| Error::config(nearest(error.message())))?;
        if let Some(schedule) = &self.schedule {
            if connector.objects.is_none() && connector.pull.is_none() {
                return Err(Error::config(format!(
                    "{} has no objects to sync: leave schedule out",
                    connector.title
                )));
            }
            Schedule::parse(schedule, self.timezone.as_deref(), self.jitter.as_deref())?;
        }
        self.start()?;
        self.reserved()?;
        self.calls_schema()?;
        check_members(self.hash.iter().chain(&self.drop))
    }

    /// Its connector.
    pub fn connector(&self) -> Result<&'static Connector> {
        connectors::find(&self.connector).ok_or_else(|| unknown_connector(&self.connector))
    }

    /// The share of daily allotments that scheduled syncs leave, 0 to 1.
    pub fn reserved(&self) -> Result<f64> {
        self.reserve.as_deref().map_or(Ok(RESERVE), crate::state::quota::share)
    }

    /// Where time-bound collections begin.
    pub fn start(&self) -> Result<Option<Timestamp>> {
        self.start_date.as_deref().map(|text| date("start_date", text)).transpose()
    }

    /// The schema that its calls go to.
    pub fn calls_schema(&self) -> Result<String> {
        let schema = match &self.events_schema {
            Some(schema) => schema.clone(),
            None if self.connector()?.objects.is_some() => format!("{}_events", self.name),
            None => self.name.clone(),
        };
        crate::warehouse::name::check_schema(&schema)?;
        Ok(schema)
    }
}
