//! State in one SQLite file, `state.db`, with versions of its tables.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use async_trait::async_trait;
use headwater_core::{
    auth::{Secret, Token, Turn, Turns, Vault},
    error::{Error, Result},
    object::Account,
};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};
use rusqlite_migration::M;
use serde_json::{Value, json};

use super::{Database, KeyKind, Keys, Run, State, quota::QuotaLedger, seal::Sealer};

/// How many runs of each source are kept.
const RUNS: u32 = 1_000;

/// Each is applied once, in order; none is ever changed.
const MIGRATIONS: &[M<'static>] = &[
    M::up(
        "CREATE TABLE key (source TEXT NOT NULL, kind TEXT NOT NULL, key TEXT NOT NULL, made TEXT NOT NULL, until TEXT,
                       PRIMARY KEY (source, kind, key)) STRICT;
     CREATE TABLE account (source TEXT PRIMARY KEY, account TEXT NOT NULL) STRICT;
     CREATE TABLE token (name TEXT PRIMARY KEY, token BLOB NOT NULL, changed TEXT NOT NULL) STRICT;
     CREATE TABLE fired (source TEXT PRIMARY KEY, moment TEXT NOT NULL) STRICT;
     CREATE TABLE run (id TEXT PRIMARY KEY, source TEXT NOT NULL, began TEXT NOT NULL, ended TEXT NOT NULL,
                       ending TEXT NOT NULL, report TEXT NOT NULL) STRICT;
     CREATE INDEX run_of_source ON run (source, id);
     CREATE TABLE source (name TEXT PRIMARY KEY, source BLOB NOT NULL) STRICT;",
    ),
    M::up(super::quota::TABLE),
    M::up("CREATE TABLE paused (source TEXT PRIMARY KEY, until TEXT NOT NULL) STRICT;"),
];

/// State in one SQLite file.
#[derive(Clone)]
pub struct SqliteState {
    database: Database<Connection>,
    sealer: Arc<Sealer>,
    turns: Arc<Turns>,
}

impl SqliteState {
    /// Opens `file`, and makes or migrates its tables.
    pub fn open(file: &Path, sealer: Sealer) -> Result<Self> {
        let connection = super::open(file, "the state in", MIGRATIONS)?;
        Ok(Self {
            database: Database::new("the state database", connection)?,
            sealer: Arc::new(sealer),
            turns: Arc::default(),
        })
    }

    /// The ledger of daily allotments. There is to be one.
    pub fn ledger(&self) -> Result<QuotaLedger> {
        QuotaLedger::open(self.database.held())
            .map_err(|error| Error::transient(format!("the state database: {error}")))
    }

    /// Says if `file` was written by a newer Headwater. Nothing is changed.
    pub fn check_version(file: &Path) -> Result<()> {
        super::check_version(file, MIGRATIONS.len())
    }

    async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T> {
        self.database.work(work).await
    }
}

#[async_trait]
impl Vault for SqliteState {
    async fn load(&self, key: &str) -> Result<Option<Token>> {
        let name = key.to_owned();
        let sealed: Option<Vec<u8>> = self
            .with(move |db| {
                db.query_row("SELECT token FROM token WHERE name = ?", [name], |row| row.get(0)).optional()
            })
            .await?;
        let Some(sealed) = sealed else { return Ok(None) };
        let plain = self.sealer.unseal(&sealed, &format!("token of {key}"))?;
        let value: Value = serde_json::from_slice(&plain)?;
        let text = |name: &str| value.get(name).and_then(Value::as_str);
        Ok(text("access").map(|access| Token {
            access: Secret::new(access),
            refresh: text("refresh").map(Secret::new),
            expires_at: text("expires_at").and_then(|time| time.parse().ok()),
            extra: value.get("extra").cloned().unwrap_or_default(),
        }))
    }

    async fn store(&self, key: &str, token: &Token) -> Result<()> {
        let plain = json!({
            "access": token.access.expose(),
            "refresh": token.refresh.as_ref().map(Secret::expose),
            "expires_at": token.expires_at,
            "extra": token.extra,
        });
        let sealed = self.sealer.seal(plain.to_string().as_bytes(), &format!("token of {key}"))?;
        let name = key.to_owned();
        self.with(move |db| {
            db.execute(
                "INSERT INTO token VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET token = ?2, changed = ?3",
                params![name, sealed, Timestamp::now().to_string()],
            )
        })
        .await
        .map(drop)
    }

    async fn turn(&self, key: &str) -> Turn {
        self.turns.wait(key).await
    }
}

#[async_trait]
impl State for SqliteState {
    async fn keys(&self, sources: Vec<String>) -> Result<Vec<Keys>> {
        let new = |source| Ok((source, new_key()?, new_key()?));
        let sources = sources.into_iter().map(new).collect::<Result<Vec<_>>>()?;
        self.with(move |db| {
            let change = db.transaction()?;
            let now = Timestamp::now().to_string();
            let mut all = Vec::with_capacity(sources.len());
            for (source, write, webhook) in sources {
                let mut keys = read_keys(&change, &source, &now)?;
                for (kind, keys, key) in
                    [("write", &mut keys.write, write), ("webhook", &mut keys.webhook, webhook)]
                {
                    if keys.is_empty() {
                        change.execute(
                            "INSERT INTO key VALUES (?1, ?2, ?3, ?4, NULL)",
                            params![source, kind, key, now],
                        )?;
                        keys.push(key);
                    }
                }
                all.push(keys);
            }
            change.commit()?;
            Ok(all)
        })
        .await
    }

    async fn rotate(&self, source: &str, kind: KeyKind, until: Timestamp) -> Result<Keys> {
        let key = new_key()?;
        let source = source.to_owned();
        let kind = match kind {
            KeyKind::Write => "write",
            KeyKind::Webhook => "webhook",
        };
        self.with(move |db| {
            let change = db.transaction()?;
            let now = Timestamp::now().to_string();
            change.execute(
                "UPDATE key SET until = ?3 WHERE source = ?1 AND kind = ?2 AND until IS NULL",
                params![source, kind, until.to_string()],
            )?;
            change
                .execute("INSERT INTO key VALUES (?1, ?2, ?3, ?4, NULL)", params![source, kind, key, now])?;
            let keys = read_keys(&change, &source, &now)?;
            change.commit()?;
            Ok(keys)
        })
        .await
    }

    async fn account(&self, source: &str) -> Result<Account> {
        let source = source.to_owned();
        let text: Option<String> = self
            .with(move |db| {
                db.query_row("SELECT account FROM account WHERE source = ?", [source], |row| row.get(0))
                    .optional()
            })
            .await?;
        Ok(text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default())
    }

    async fn set_account(&self, source: &str, account: &Account) -> Result<()> {
        let (source, text) = (source.to_owned(), serde_json::to_string(account)?);
        self.with(move |db| {
            db.execute(
                "INSERT INTO account VALUES (?1, ?2) ON CONFLICT DO UPDATE SET account = ?2",
                [source, text],
            )
        })
        .await
        .map(drop)
    }

    async fn fired(&self, source: &str) -> Result<Option<Timestamp>> {
        let source = source.to_owned();
        let text: Option<String> = self
            .with(move |db| {
                db.query_row("SELECT moment FROM fired WHERE source = ?", [source], |row| row.get(0))
                    .optional()
            })
            .await?;
        Ok(text.and_then(|text| text.parse().ok()))
    }

    async fn set_fired(&self, source: &str, moment: Timestamp) -> Result<()> {
        let (source, moment) = (source.to_owned(), moment.to_string());
        self.with(move |db| {
            db.execute(
                "INSERT INTO fired VALUES (?1, ?2) ON CONFLICT DO UPDATE SET moment = ?2",
                [source, moment],
            )
        })
        .await
        .map(drop)
    }

    async fn paused(&self) -> Result<BTreeMap<String, Timestamp>> {
        let rows: Vec<(String, String)> = self
            .with(|db| {
                db.prepare("SELECT source, until FROM paused")?
                    .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
                    .collect()
            })
            .await?;
        Ok(rows.into_iter().filter_map(|(source, until)| Some((source, until.parse().ok()?))).collect())
    }

    async fn set_paused(&self, source: &str, until: Option<Timestamp>) -> Result<()> {
        let source = source.to_owned();
        self.with(move |db| match until {
            Some(until) => db.execute(
                "INSERT INTO paused VALUES (?1, ?2) ON CONFLICT DO UPDATE SET until = ?2",
                [source, until.to_string()],
            ),
            None => db.execute("DELETE FROM paused WHERE source = ?", [source]),
        })
        .await
        .map(drop)
    }

    async fn add_run(&self, run: &Run) -> Result<()> {
        let run = run.clone();
        self.with(move |db| {
            let change = db.transaction()?;
            change.execute(
                "INSERT OR REPLACE INTO run VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                params![
                    run.id,
                    run.source,
                    run.began.to_string(),
                    run.ended.to_string(),
                    run.ending,
                    run.report.to_string()
                ],
            )?;
            change.execute(
                "DELETE FROM run WHERE source = ?1
                 AND id <= (SELECT id FROM run WHERE source = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)",
                params![run.source, RUNS],
            )?;
            change.commit()
        })
        .await
    }

    async fn runs(&self, source: Option<&str>, limit: usize) -> Result<Vec<Run>> {
        let source = source.map(str::to_owned);
        let rows: Vec<[String; 6]> = self
            .with(move |db| {
                db.prepare("SELECT * FROM run WHERE ?1 IS NULL OR source = ?1 ORDER BY id DESC LIMIT ?2")?
                    .query_map(params![source, i64::try_from(limit).unwrap_or(i64::MAX)], |row| {
                        Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?])
                    })?
                    .collect()
            })
            .await?;
        rows.into_iter()
            .map(|[id, source, began, ended, ending, report]| {
                let time = |text: String| {
                    text.parse().map_err(|_| Error::unexpected(format!("run {id} has no time")))
                };
                Ok(Run {
                    began: time(began)?,
                    ended: time(ended)?,
                    report: serde_json::from_str(&report)?,
                    id,
                    source,
                    ending,
                })
            })
            .collect()
    }

    async fn sources(&self) -> Result<Vec<Value>> {
        let rows: Vec<(String, Vec<u8>)> = self
            .with(|db| {
                db.prepare("SELECT name, source FROM source ORDER BY name")?
                    .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
                    .collect()
            })
            .await?;
        rows.into_iter()
            .map(|(name, sealed)| {
                Ok(serde_json::from_slice(&self.sealer.unseal(&sealed, &format!("source {name}"))?)?)
            })
            .collect()
    }

    async fn set_source(&self, name: &str, source: &Value) -> Result<()> {
        let sealed = self.sealer.seal(source.to_string().as_bytes(), &format!("source {name}"))?;
        let name = name.to_owned();
        self.with(move |db| {
            db.execute(
                "INSERT INTO source VALUES (?1, ?2) ON CONFLICT DO UPDATE SET source = ?2",
                params![name, sealed],
            )
        })
        .await
        .map(drop)
    }

    async fn remove_source(&self, name: &str) -> Result<()> {
        let name = name.to_owned();
        self.with(move |db| db.execute("DELETE FROM source WHERE name = ?", [name])).await.map(drop)
    }
}

fn read_keys(db: &Connection, source: &str, now: &str) -> rusqlite::Result<Keys> {
    let of = |kind: &str| -> rusqlite::Result<Vec<String>> {
        db.prepare(
            "SELECT key FROM key WHERE source = ?1 AND kind = ?2 AND (until IS NULL OR until > ?3) ORDER BY until IS NULL DESC, made DESC",
        )?
        .query_map([source, kind, now], |row| row.get(0))?
        .collect()
    };
    Ok(Keys { write: of("write")?, webhook: of("webhook")? })
}

/// 32 letters and digits of randomness.
fn new_key() -> Result<String> {
    let mut random = [0u8; 16];
    getrandom::fill(&mut random).map_err(|error| Error::transient(format!("no randomness: {error}")))?;
    Ok(hex::encode(random))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> (tempfile::TempDir, SqliteState) {
        let folder = tempfile::tempdir().unwrap();
        let sealer = Sealer::open(&folder.path().join("key")).unwrap();
        let state = SqliteState::open(&folder.path().join("state.db"), sealer).unwrap();
        (folder, state)
    }

    #[test]
    fn migrations_are_valid() {
        rusqlite_migration::Migrations::from_slice(MIGRATIONS).validate().unwrap();
    }

    #[tokio::test]
    async fn keys_are_made_once_and_rotate_with_two_live() {
        let (_folder, state) = state();
        let keys =
            async |names: &[&str]| state.keys(names.iter().map(ToString::to_string).collect()).await.unwrap();
        let first = keys(&["a"]).await.remove(0);
        let both = keys(&["b", "a"]).await;
        assert!(both[1] == first && both[0] != first && both[0] == keys(&["b"]).await[0]);
        let later = Timestamp::now() + std::time::Duration::from_secs(60);
        let both = state.rotate("a", KeyKind::Webhook, later).await.unwrap();
        assert_eq!((both.webhook.len(), &both.webhook[1], both.write), (2, &first.webhook[0], first.write));
        let gone = state.rotate("a", KeyKind::Write, Timestamp::now()).await.unwrap();
        assert_eq!(gone.write.len(), 1);
    }

    #[tokio::test]
    async fn tokens_and_sources_are_sealed() {
        let (folder, state) = state();
        let token = Token {
            access: Secret::new("access-1"),
            refresh: Some(Secret::new("refresh-1")),
            expires_at: Some("2026-01-01T00:00:00Z".parse().unwrap()),
            extra: json!({"instance_url": "https://x"}),
        };
        state.store("a", &token).await.unwrap();
        assert_eq!(state.load("a").await.unwrap(), Some(token));
        assert_eq!(state.load("b").await.unwrap(), None);
        state.set_source("s", &json!({"settings": {"api_key": "sk_live"}})).await.unwrap();
        assert_eq!(state.sources().await.unwrap()[0]["settings"]["api_key"], "sk_live");
        for file in std::fs::read_dir(folder.path()).unwrap() {
            let bytes = std::fs::read(file.unwrap().path()).unwrap();
            for secret in ["access-1", "refresh-1", "sk_live"] {
                assert!(!bytes.windows(secret.len()).any(|window| window == secret.as_bytes()));
            }
        }
    }

    #[tokio::test]
    async fn runs_are_kept_newest_first() {
        let (_folder, state) = state();
        for id in ["1", "2", "3"] {
            let time = "2026-01-01T00:00:00Z".parse().unwrap();
            let run = Run {
                id: id.into(),
                source: if id == "3" { "b" } else { "a" }.into(),
                began: time,
                ended: time,
                ending: "success".into(),
                report: json!({}),
            };
            state.add_run(&run).await.unwrap();
        }
        let ids = |runs: Vec<Run>| runs.into_iter().map(|run| run.id).collect::<Vec<_>>();
        assert_eq!(ids(state.runs(None, 2).await.unwrap()), ["3", "2"]);
        assert_eq!(ids(state.runs(Some("a"), 9).await.unwrap()), ["2", "1"]);
    }
}
