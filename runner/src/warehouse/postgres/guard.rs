//! One writer for each schema: a connection beside the pool holds an advisory lock for as long as this program lives, and
//! every load sees to it, in its transaction, that the schema is still ours.
//!
//! The lock tells whether another program is there; the token in the schema tells loads of ours that are on their way that
//! somebody else has taken over since.

use std::{collections::HashSet, time::Duration};

use headwater_core::error::{Error, Result};
use tokio::{sync::Mutex, time::Instant};
use tokio_postgres::Client;

use super::{connect::Link, explain::Trouble};

/// What our advisory locks have in common.
const CLASS: i32 = 0x4857_5752;
/// How long a program that has just ended may take to let go.
const PATIENCE: Duration = Duration::from_secs(10);

/// The schemas that are ours.
#[derive(Default)]
pub struct Guard {
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    client: Option<Client>,
    token: String,
    schemas: HashSet<String>,
}

impl Guard {
    /// Makes sure that the schema is ours; the token is another one after every loss.
    pub async fn hold(&self, link: &Link, schema: &str) -> Result<String, Trouble> {
        let mut held = self.held.lock().await;
        if held.client.as_ref().is_none_or(Client::is_closed) {
            let client = link.open().await?;
            *held = Held { client: Some(client), token: token()?, schemas: HashSet::new() };
        }
        if held.schemas.contains(schema) {
            return Ok(held.token.clone());
        }
        let Some(client) = &held.client else { return Err(Error::transient("the warehouse is away").into()) };
        let id = crc32c::crc32c(schema.as_bytes()) as i32;
        let end = Instant::now() + PATIENCE;
        while !client
            .query_one("SELECT pg_try_advisory_lock($1, $2)", &[&CLASS, &id])
            .await?
            .try_get::<_, bool>(0)?
        {
            if Instant::now() > end {
                return Err(busy(client, schema, id).await);
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        held.schemas.insert(schema.to_owned());
        Ok(held.token.clone())
    }

    /// The schema turned out to be somebody else's: it has to be taken again.
    pub async fn lose(&self, schema: &str) {
        self.held.lock().await.schemas.remove(schema);
    }
}

/// That somebody else writes the schema, and who.
async fn busy(client: &Client, schema: &str, id: i32) -> Trouble {
    let who = client
        .query_opt(
            "SELECT format('process %s of role %s%s, since %s', a.pid, a.usename, coalesce(' from ' || host(a.client_addr), ''),
                to_char(a.backend_start AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS \"UTC\"'))
             FROM pg_locks l JOIN pg_stat_activity a USING (pid)
             WHERE l.locktype = 'advisory' AND l.granted AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
               AND l.classid::bigint = $1 AND l.objid::bigint = $2 AND l.objsubid = 2",
            &[&i64::from(CLASS as u32), &i64::from(id as u32)],
        )
        .await;
    let who = who.ok().flatten().and_then(|row| row.try_get::<_, String>(0).ok());
    Trouble::Plain(Error::transient(format!(
        "schema {schema} is being written by another Headwater ({}): stop it, or give one of them another database",
        who.as_deref().unwrap_or("it has just ended")
    )))
}

fn token() -> Result<String> {
    let mut random = [0; 16];
    getrandom::fill(&mut random)
        .map_err(|error| Error::unexpected(format!("the system gives no random numbers: {error}")))?;
    Ok(hex::encode(random))
}
