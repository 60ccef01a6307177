//! Connections: pooled for the work, and one beside the pool that says which schemas are ours.

use std::time::Duration;

use deadpool_postgres::{
    Hook, HookError, Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod, Runtime,
};
use headwater_core::error::{Error, Result};
use tokio_postgres::Client;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{
    explain::Trouble,
    settings::{PostgresSettings, Target},
    tls,
};

/// The most connections that load at the same time.
const MOST: usize = 8;
/// How long a load waits for one of them.
const WAIT: Duration = Duration::from_secs(60);
/// How old one becomes: what it has prepared and staged goes with it.
const OLDEST: Duration = Duration::from_secs(30 * 60);

/// How every connection is set up. Merges look rows up by their key, whatever the planner thinks of tables that it has no
/// statistics of; names of a user's own functions change nothing; a connection that hangs gives up its locks.
const SETUP: &str = "SET search_path = pg_catalog; SET timezone = 'UTC'; SET datestyle = 'ISO'; SET client_min_messages = warning; \
    SET client_encoding = 'UTF8'; SET enable_hashjoin = off; SET enable_mergejoin = off; SET jit = off; \
    SET statement_timeout = '15min'; SET idle_in_transaction_session_timeout = '5min'";

/// The way to one Postgres.
pub struct Link {
    pub target: Target,
    tls: MakeRustlsConnect,
    pool: Pool,
}

impl Link {
    /// Nobody is asked yet: a warehouse may be away when the program starts.
    pub fn new(settings: &PostgresSettings) -> Result<Self> {
        let target = settings.target()?;
        let tls = tls::connector(settings, target.ssl)?;
        let config = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = Manager::from_config(target.driver.clone(), tls.clone(), config);
        let pool = Pool::builder(manager)
            .max_size(MOST)
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(WAIT))
            .post_create(Hook::async_fn(|client, _| {
                Box::pin(async move { client.batch_execute(SETUP).await.map_err(HookError::Backend) })
            }))
            .pre_recycle(Hook::sync_fn(|_, metrics| match metrics.age() < OLDEST {
                true => Ok(()),
                false => Err(HookError::message("old")),
            }))
            .build()
            .map_err(|error| Error::unexpected(format!("warehouse: {error}")))?;
        Ok(Self { target, tls, pool })
    }

    /// A connection for some work.
    pub async fn get(&self) -> Result<Object, Trouble> {
        self.pool.get().await.map_err(|error| match error {
            PoolError::Backend(error) | PoolError::PostCreateHook(HookError::Backend(error)) => {
                Trouble::Postgres(error)
            }
            PoolError::Timeout(_) => Trouble::Plain(Error::transient(format!(
                "the warehouse {}: all {MOST} connections have been busy for {} s: the load is tried again",
                self.target.label,
                WAIT.as_secs()
            ))),
            other => {
                Trouble::Plain(Error::transient(format!("the warehouse {}: {other}", self.target.label)))
            }
        })
    }

    /// A connection of one's own.
    pub async fn open(&self) -> Result<Client, Trouble> {
        let (client, connection) = self.target.driver.connect(self.tls.clone()).await?;
        tokio::spawn(async move {
            // The client hears of it too.
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to the warehouse has ended");
            }
        });
        client.batch_execute(SETUP).await?;
        Ok(client)
    }
}
