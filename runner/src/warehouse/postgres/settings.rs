//! Where the Postgres is and how it is reached: the settings of `[warehouse]`, and what they mean to the driver.

use std::{path::PathBuf, time::Duration};

use headwater_core::{
    auth::Secret,
    error::{Error, Result},
};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio_postgres::config::{Host, SslMode as DriverMode};

/// Where the Postgres is: either `url`, or `host` and what follows it.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PostgresSettings {
    /// All in one: `postgres://user:password@host:5432/database?sslmode=verify-full`.
    pub url: Option<Secret>,
    /// The host: a name, an address, or the folder of a unix socket.
    pub host: Option<String>,
    /// The port; 5432 without one.
    pub port: Option<u16>,
    /// The role. It needs the right to create schemas in the database (`GRANT CREATE ON DATABASE … TO …`).
    pub user: Option<String>,
    /// Its password.
    pub password: Option<Secret>,
    /// The database; called like the user without one.
    pub dbname: Option<String>,
    /// Whether the connection is encrypted and the server proven, as libpq means it; `prefer` without one.
    pub sslmode: Option<SslMode>,
    /// A PEM file with the certificates of the authorities that are believed, or the server's own; the system's without one.
    pub sslrootcert: Option<PathBuf>,
}

/// Whether the connection is encrypted, and the server proven.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SslMode {
    /// Never encrypted.
    Disable,
    /// Encrypted where the server can.
    #[default]
    Prefer,
    /// Encrypted, or not at all; who answers is not proven, unless `sslrootcert` is set.
    Require,
    /// Encrypted, and the certificate comes from an authority that is believed.
    VerifyCa,
    /// The same, and it is for this host's name.
    VerifyFull,
}

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(10);

/// What the driver needs, and how errors call the place.
pub struct Target {
    pub driver: tokio_postgres::Config,
    pub ssl: SslMode,
    /// `host:port/database`
    pub label: String,
    pub user: String,
}

impl PostgresSettings {
    /// Whether they make sense, without asking anybody.
    pub fn check(&self) -> Result<()> {
        self.target().map(drop)
    }

    /// What they mean.
    pub(super) fn target(&self) -> Result<Target> {
        let wrong = |text: &str| Error::config(format!("warehouse: {text}"));
        let (mut driver, mut ssl) = match &self.url {
            Some(url) => {
                let others = [self.host.is_some(), self.port.is_some(), self.user.is_some()];
                if others.contains(&true) || self.password.is_some() || self.dbname.is_some() {
                    return Err(wrong(
                        "url says it all: leave out host, port, user, password and dbname, or url",
                    ));
                }
                parse(url.expose())?
            }
            None => (tokio_postgres::Config::new(), None),
        };
        if self.url.is_none() {
            let host = self.host.as_deref().ok_or_else(|| wrong("host is missing, or url"))?;
            driver.host(host);
            driver.port(self.port.unwrap_or(5432));
            self.user.as_ref().map(|user| driver.user(user));
            self.password.as_ref().map(|password| driver.password(password.expose()));
            self.dbname.as_ref().map(|name| driver.dbname(name));
        }
        if self.sslmode.is_some() {
            ssl = self.sslmode;
        }
        let ssl = ssl.unwrap_or_default();
        let user = driver.get_user().ok_or_else(|| wrong("user is missing"))?.to_owned();
        if driver.get_dbname().is_none() {
            driver.dbname(user.as_str());
        }
        driver.ssl_mode(match ssl {
            SslMode::Disable => DriverMode::Disable,
            SslMode::Prefer => DriverMode::Prefer,
            _ => DriverMode::Require,
        });
        if driver.get_connect_timeout().is_none() {
            driver.connect_timeout(CONNECT);
        }
        if driver.get_application_name().is_none() {
            driver.application_name("headwater");
        }
        // A server that has vanished is noticed.
        driver.keepalives_idle(Duration::from_secs(30)).keepalives_interval(Duration::from_secs(10));
        driver.keepalives_retries(3).tcp_user_timeout(Duration::from_secs(60));
        let host = match driver.get_hosts().first() {
            Some(Host::Tcp(host)) => host.clone(),
            Some(Host::Unix(path)) => path.display().to_string(),
            None => return Err(wrong("host is missing, or url")),
        };
        let port = driver.get_ports().first().copied().unwrap_or(5432);
        let label = format!("{host}:{port}/{}", driver.get_dbname().unwrap_or_default());
        Ok(Target { driver, ssl, label, user })
    }
}

/// Reads a URL. The driver knows three modes of TLS, and no `sslmode=verify-full`.
fn parse(url: &str) -> Result<(tokio_postgres::Config, Option<SslMode>)> {
    let wrong = |text: String| {
        Error::config(format!(
            "warehouse.url: {text}: write it like postgres://user:password@host:5432/database?sslmode=require"
        ))
    };
    if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
        return Err(wrong("it is no address of a Postgres".into()));
    }
    let (place, query) = url.split_once('?').unwrap_or((url, ""));
    let mut ssl = None;
    let mut rest = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=') {
            Some(("sslmode", mode)) => {
                let mode = serde_json::from_value(mode.into()).map_err(|_| {
                    wrong(format!(
                        "there is no sslmode {mode}, only disable, prefer, require, verify-ca, verify-full"
                    ))
                })?;
                ssl = Some(mode);
            }
            Some(("sslrootcert", _)) => {
                return Err(wrong("sslrootcert is a setting of its own, beside url".into()));
            }
            _ => rest.push(pair),
        }
    }
    let plain = if rest.is_empty() { place.to_owned() } else { format!("{place}?{}", rest.join("&")) };
    let driver = plain.parse().map_err(|error: tokio_postgres::Error| {
        // The error's own text could hold the password.
        let source = std::error::Error::source(&error).map(ToString::to_string);
        wrong(source.unwrap_or_else(|| "it cannot be read".into()))
    })?;
    Ok((driver, ssl))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> PostgresSettings {
        PostgresSettings { url: Some(Secret::new(text)), ..PostgresSettings::default() }
    }

    #[test]
    fn a_url_says_it_all() {
        let target =
            url("postgres://me:s%20t@db.example.com:6543/shop?sslmode=verify-full&application_name=x")
                .target();
        let target = target.unwrap();
        assert_eq!(target.label, "db.example.com:6543/shop");
        assert_eq!((target.user.as_str(), target.ssl), ("me", SslMode::VerifyFull));
        assert_eq!(target.driver.get_password(), Some(&b"s t"[..]));
        assert_eq!(target.driver.get_application_name(), Some("x"));
    }

    #[test]
    fn so_do_single_settings() {
        let settings = PostgresSettings {
            host: Some("db".into()),
            user: Some("me".into()),
            sslmode: Some(SslMode::Disable),
            ..PostgresSettings::default()
        };
        let target = settings.target().unwrap();
        assert_eq!((target.label.as_str(), target.ssl), ("db:5432/me", SslMode::Disable));
    }

    #[test]
    fn mistakes_are_named_without_the_password() {
        let both = PostgresSettings { host: Some("db".into()), ..url("postgres://u@h/d") };
        for (settings, expected) in [
            (PostgresSettings::default(), "host is missing"),
            (PostgresSettings { host: Some("db".into()), ..PostgresSettings::default() }, "user is missing"),
            (both, "url says it all"),
            (url("mysql://u:hidden@h/d"), "no address of a Postgres"),
            (url("postgres://u:hidden@h/d?sslmode=maybe"), "no sslmode maybe"),
            (url("postgres://u:hidden@h:port/d"), "write it like"),
            (url("postgres://u:hidden@h/d?nonsense=1"), "write it like"),
        ] {
            let error = settings.check().unwrap_err().to_string();
            assert!(error.contains(expected) && !error.contains("hidden"), "{error}");
        }
    }
}
