//! What can go wrong with Postgres, in one line that says what to do, and whose move it is.

use std::error::Error as _;

use headwater_core::error::{Error, Kind};
use tokio_postgres::error::SqlState;

use super::settings::Target;

/// What can go wrong in here: Postgres' errors are explained where the place is known.
#[derive(Debug)]
pub enum Trouble {
    Postgres(tokio_postgres::Error),
    Plain(Error),
}

impl From<tokio_postgres::Error> for Trouble {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Postgres(error)
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Plain(error)
    }
}

impl Trouble {
    /// Whether another attempt, soon, may well succeed: the connection was lost or could not be made, the server is about to
    /// stop or has just started, or two transactions met.
    pub fn is_passing(&self) -> bool {
        let Trouble::Postgres(error) = self else { return false };
        match error.code() {
            Some(code) => {
                code.code().starts_with("08")
                    || matches!(
                        *code,
                        SqlState::ADMIN_SHUTDOWN
                            | SqlState::CRASH_SHUTDOWN
                            | SqlState::CANNOT_CONNECT_NOW
                            | SqlState::TOO_MANY_CONNECTIONS
                            | SqlState::T_R_DEADLOCK_DETECTED
                            | SqlState::T_R_SERIALIZATION_FAILURE
                            | SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT
                            | SqlState::LOCK_NOT_AVAILABLE
                    )
            }
            None => {
                error.is_closed()
                    || io(error).is_some_and(|error| error.kind() != std::io::ErrorKind::InvalidData)
            }
        }
    }

    /// Whether tables are no longer as they were known.
    pub fn is_outdated(&self) -> bool {
        let Trouble::Postgres(error) = self else { return false };
        matches!(
            error.code(),
            Some(
                &SqlState::UNDEFINED_TABLE
                    | &SqlState::UNDEFINED_COLUMN
                    | &SqlState::DUPLICATE_COLUMN
                    | &SqlState::DUPLICATE_TABLE
                    | &SqlState::INVALID_SCHEMA_NAME
                    | &SqlState::DATATYPE_MISMATCH
                    | &SqlState::UNDEFINED_FUNCTION
                    | &SqlState::INVALID_BINARY_REPRESENTATION
                    | &SqlState::BAD_COPY_FILE_FORMAT
                    | &SqlState::CHARACTER_NOT_IN_REPERTOIRE
            )
        )
    }

    /// Whether the row is to blame, and not the place: it violates a constraint, a trigger refuses it, it is too large.
    pub fn is_refusal(&self) -> bool {
        let Trouble::Postgres(error) = self else { return false };
        let Some(said) = error.as_db_error() else { return false };
        let code = said.code().code();
        let of = |classes: &[&str]| classes.iter().any(|class| code.starts_with(class));
        let by_trigger = said.where_().is_some_and(|at| at.contains("PL/pgSQL function"));
        by_trigger && !of(&["08", "25", "40", "53", "57"])
            || !self.is_outdated()
                && (of(&["22", "23", "44", "54"]) || *said.code() == SqlState::RAISE_EXCEPTION)
    }

    /// Whether the row has more columns that are filled than a row can have.
    pub fn is_too_wide(&self) -> bool {
        let Trouble::Postgres(error) = self else { return false };
        error.as_db_error().is_some_and(|said| {
            *said.code() == SqlState::PROGRAM_LIMIT_EXCEEDED && said.message().starts_with("row is too big")
        })
    }

    /// What Postgres said.
    pub fn said(&self) -> String {
        match self {
            Trouble::Plain(error) => error.to_string(),
            Trouble::Postgres(error) => match error.as_db_error() {
                Some(said) => said.message().to_owned(),
                None => error.to_string(),
            },
        }
    }

    /// One line: what is wrong, and what to do next.
    pub fn explain(self, target: &Target) -> Error {
        let error = match self {
            Trouble::Plain(error) => return error,
            Trouble::Postgres(error) => error,
        };
        let (place, user) = (format!("the warehouse {}", target.label), &target.user);
        let Some(said) = error.as_db_error() else { return unanswered(&error, &place) };
        let message = said.message().lines().collect::<Vec<_>>().join(" ");
        let (kind, text) = match *said.code() {
            SqlState::INVALID_PASSWORD => (
                Kind::Auth,
                format!("{place} refuses the password of {user}: correct warehouse.password, or the url"),
            ),
            SqlState::INVALID_AUTHORIZATION_SPECIFICATION => (
                Kind::Auth,
                format!("{place} refuses {user} ({message}): correct the user, or the server's pg_hba.conf"),
            ),
            SqlState::INVALID_CATALOG_NAME => {
                (Kind::Config, format!("{place}: {message}: create it, or correct dbname"))
            }
            SqlState::INSUFFICIENT_PRIVILEGE => (
                Kind::Config,
                format!(
                    "{place}: {message}: as the owner, GRANT CREATE, TEMPORARY ON DATABASE {} TO {user}, and let {user} own the schemas it loads",
                    target.driver.get_dbname().unwrap_or_default()
                ),
            ),
            SqlState::READ_ONLY_SQL_TRANSACTION => (
                Kind::Transient,
                format!(
                    "{place} only reads (a standby, or default_transaction_read_only is on): point host at the primary; the load is tried again"
                ),
            ),
            SqlState::DISK_FULL => {
                (Kind::Transient, format!("the disk of {place} is full: make room, the load is tried again"))
            }
            SqlState::TOO_MANY_CONNECTIONS => (
                Kind::Transient,
                format!(
                    "{place} has no connection left ({message}): raise max_connections, or end some; the load is tried again"
                ),
            ),
            SqlState::LOCK_NOT_AVAILABLE => (
                Kind::Transient,
                format!(
                    "{place}: a table has to grow, but another session holds it ({message}): end that session's transaction; the load is tried again"
                ),
            ),
            SqlState::QUERY_CANCELED => (
                Kind::Transient,
                format!("{place}: a statement was ended ({message}): the load is tried again"),
            ),
            ref code
                if code.code().starts_with("53")
                    || code.code().starts_with("57")
                    || code.code().starts_with("08")
                    || code.code().starts_with("40") =>
            {
                (Kind::Transient, format!("{place} is away ({message}): the load is tried again"))
            }
            ref code if code.code().starts_with("58") || code.code().starts_with("XX") => (
                Kind::Transient,
                format!("{place} is in trouble ({message}): look at its log; the load is tried again"),
            ),
            ref code => (Kind::Unexpected, format!("{place}: {message} ({})", code.code())),
        };
        Error::new(kind, text)
    }
}

/// That nobody answered, or not as expected.
fn unanswered(error: &tokio_postgres::Error, place: &str) -> Error {
    let mut words = vec![error.to_string()];
    let mut source = error.source();
    while let Some(next) = source {
        if !words.iter().any(|known| known.contains(&next.to_string())) {
            words.push(next.to_string());
        }
        source = next.source();
    }
    let said = words.join(": ").lines().collect::<Vec<_>>().join(" ");
    if said.contains("TLS handshake") {
        return match said.contains("does not support TLS") {
            true => Error::config(format!(
                "{place} does not encrypt: turn ssl on there, or set sslmode = \"disable\" where the network is your own"
            )),
            false if said.contains("ertificate") => Error::config(format!(
                "{place} is not proven ({said}): set sslrootcert to the file of its authority's certificate, and host to the name in it"
            )),
            false => Error::transient(format!("{place} does not answer ({said}): the load is tried again")),
        };
    }
    if said.contains("password") {
        return Error::auth(format!(
            "{place} wants a password: set warehouse.password, or put it into the url"
        ));
    }
    if io(error).is_some_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused) {
        return Error::transient(format!(
            "{place} refuses connections: start the server, or correct host and port; the load is tried again"
        ));
    }
    Error::transient(format!("{place} does not answer ({said}): the load is tried again"))
}

/// The error of the network below it.
fn io(error: &tokio_postgres::Error) -> Option<&std::io::Error> {
    let mut source = error.source();
    while let Some(next) = source {
        if let Some(io) = next.downcast_ref() {
            return Some(io);
        }
        source = next.source();
    }
    None
}
