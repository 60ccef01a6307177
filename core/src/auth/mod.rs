//! Credentials: secrets, how a request carries them, and where tokens are kept.
//!
//! `session` holds the token of one account and renews it; `oauth` speaks with token endpoints; `authorize`
//! is the way through the user's browser.

mod authorize;
pub mod aws;
mod oauth;
pub(crate) mod session;

use std::fmt;

use async_trait::async_trait;
use jiff::Timestamp;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

pub use self::{
    authorize::{Consent, consent},
    aws::Aws,
};
use crate::error::Result;

/// A credential. It is never printed, never written back, and marked `writeOnly` in the settings' schema.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Hides `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The credential itself: for signing, and for nothing else.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl JsonSchema for Secret {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Secret".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "password", "writeOnly": true })
    }
}

/// One secret, or several while one is being rotated (newest first).
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Secrets {
    /// None yet.
    #[default]
    None,
    /// One.
    One(Secret),
    /// Several.
    Many(Vec<Secret>),
}

impl Secrets {
    /// All of them.
    pub fn all(&self) -> Vec<Secret> {
        match self {
            Secrets::None => Vec::new(),
            Secrets::One(secret) => vec![secret.clone()],
            Secrets::Many(secrets) => secrets.clone(),
        }
    }
}

/// How a request proves whose it is.
#[derive(Clone, PartialEq, Eq)]
pub enum Auth {
    /// It does not.
    None,
    /// `Authorization: Bearer …`
    Bearer(Secret),
    /// HTTP Basic.
    Basic(String, Secret),
    /// The key in a header of this name.
    Header(&'static str, Secret),
    /// The key in a query parameter of this name.
    Query(&'static str, Secret),
    /// Signed as AWS wants it (Signature Version 4).
    Aws(Aws),
    /// A token that an OAuth 2 server issues and that the client renews.
    OAuth(OAuth),
}

/// An OAuth 2 client: how it gets tokens.
#[derive(Clone, PartialEq, Eq)]
pub struct OAuth {
    /// The token endpoint.
    pub token_url: String,
    /// The user's own app.
    pub client_id: String,
    /// Its secret, if it has one.
    pub client_secret: Option<Secret>,
    /// How the app proves itself at the token endpoint.
    pub client_auth: ClientAuth,
    /// How a token is got.
    pub grant: Grant,
    /// Scopes to ask for.
    pub scopes: Vec<String>,
    /// Further parameters of the token request; one that the grant sets itself (`grant_type`) is replaced.
    pub extra: Vec<(String, String)>,
    /// Where requests carry the token.
    pub carry: Carry,
}

/// Where requests carry a token. Wherever it is, the client puts it there, so that a renewed one is in the next attempt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Carry {
    /// `Authorization: Bearer …`
    #[default]
    Bearer,
    /// The token alone, in a header of this name.
    Header(&'static str),
    /// In the request's body, in place of `{token}`, written as its content type (JSON, XML, form) needs it.
    Body,
}

impl OAuth {
    /// Whether tokens of the one are good for the other: all but where requests carry them.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        *self == Self { carry: self.carry, ..other.clone() }
    }

    /// What the vault knows the tokens by that came of the consent in the settings; none if the settings hold none. Sources with the
    /// same consent share them: each for itself, one would spend the refresh token of the other.
    pub(crate) fn consent(&self, stand_in: Option<&str>) -> Option<String> {
        use sha2::{Digest, Sha256};
        let Grant::RefreshToken(given) = &self.grant else { return None };
        if given.expose().is_empty() {
            return None;
        }
        let mut digest = Sha256::new();
        for part in [self.token_url.as_str(), &self.client_id, given.expose(), stand_in.unwrap_or_default()] {
            digest.update((part.len() as u64).to_le_bytes());
            digest.update(part);
        }
        Some(format!("consent {}", hex::encode(&digest.finalize()[..16])))
    }
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Auth::None => f.write_str("None"),
            Auth::Bearer(_) => f.write_str("Bearer([secret])"),
            // The user's name is the key itself at some vendors.
            Auth::Basic(..) => f.write_str("Basic([secret])"),
            Auth::Header(name, _) => write!(f, "Header({name}, [secret])"),
            Auth::Query(name, _) => write!(f, "Query({name}, [secret])"),
            Auth::Aws(keys) => keys.fmt(f),
            Auth::OAuth(oauth) => oauth.fmt(f),
        }
    }
}

impl fmt::Debug for OAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OAuth")
            .field("token_url", &self.token_url)
            .field("grant", &self.grant)
            .field("scopes", &self.scopes)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}

/// How an app proves itself at the token endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAuth {
    /// `client_id` and `client_secret` in the form.
    Body,
    /// HTTP Basic.
    Basic,
    /// The whole token request is a JSON object, `client_id` and `client_secret` among its members.
    Json,
}

/// How a token is got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Grant {
    /// A user allowed it in the browser (authorization code); this refresh token came of it. Where the vendor
    /// rotates refresh tokens, the vault's is newer than this one.
    RefreshToken(Secret),
    /// The app acts for itself.
    ClientCredentials,
    /// A signed assertion (RFC 7523), RS256.
    JwtBearer {
        /// `iss`
        issuer: String,
        /// `sub`
        subject: String,
        /// `aud`
        audience: String,
        /// The private key, PEM.
        key: Secret,
        /// How long an assertion is good for, in seconds.
        lifetime: u32,
    },
}

/// A token that is in use.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// What requests carry.
    pub access: Secret,
    /// What renews it; the vendor may replace it with each renewal.
    pub refresh: Option<Secret>,
    /// When it ends, if the server said.
    pub expires_at: Option<Timestamp>,
    /// Further members of the answer that an API needs (`instance_url`).
    pub extra: serde_json::Value,
}

/// Where tokens are kept, encrypted. A renewed token is stored before it is used: a rotated refresh token that is
/// lost locks the source out.
#[async_trait]
pub trait Vault: Send + Sync {
    /// The token kept under this key.
    async fn load(&self, key: &str) -> Result<Option<Token>>;
    /// Keeps it; on disk before this returns.
    async fn store(&self, key: &str, token: &Token) -> Result<()>;
    /// Waits until nobody else renews the token under this key; others wait until what this returns is dropped. A vault that several
    /// clients share has to see to it.
    async fn turn(&self, _key: &str) -> Turn {
        Turn(None)
    }
}

/// The right to renew a token, until this is dropped.
pub struct Turn(Option<tokio::sync::OwnedMutexGuard<()>>);

/// Who may renew which token, by the vault's key.
#[derive(Default)]
pub struct Turns(std::sync::Mutex<std::collections::HashMap<String, std::sync::Arc<tokio::sync::Mutex<()>>>>);

impl Turns {
    /// Waits for the turn of this key.
    pub async fn wait(&self, key: &str) -> Turn {
        let turn = {
            let mut all = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            all.entry(key.to_owned()).or_default().clone()
        };
        Turn(Some(turn.lock_owned().await))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        drop(self.0.take());
    }
}

/// Where authorization of an app begins, for `headwater connect`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Authorize {
    /// The page where the user allows it.
    pub url: String,
    /// Whether the server wants a PKCE challenge.
    pub pkce: bool,
}
