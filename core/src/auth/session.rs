//! The token of one account: got once, renewed by one at a time, stored before it is used.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use backon::{ExponentialBuilder, Retryable};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::{Grant, OAuth, Secret, Token, Vault, oauth};
use crate::{
    error::{Error, Kind, Result},
    http::{address::place, pace::lock, wire::Wire},
};

/// A token that ends sooner than this is renewed, if it was made to last longer at all.
const MARGIN: SignedDuration = SignedDuration::from_secs(60);

/// A token endpoint that fails for now is asked again so often.
const AGAIN: usize = 3;

/// Where an account's requests get their token from.
pub(crate) struct Session {
    /// How tokens are got.
    pub oauth: OAuth,
    vault: Option<Arc<dyn Vault>>,
    key: String,
    wire: Arc<Wire>,
    current: Mutex<Option<Current>>,
    renewal: tokio::sync::Mutex<Renewal>,
}

#[derive(Clone)]
struct Current {
    token: Token,
    /// How long before its end it is renewed.
    margin: SignedDuration,
}

#[derive(Default)]
struct Renewal {
    /// What became of the last one: those who waited for it do not try again by themselves.
    failed: Option<(Instant, Error)>,
    /// Got, but the vault could not take it: the old refresh token may be spent already.
    unsaved: Option<Token>,
}

impl Session {
    pub fn new(oauth: OAuth, vault: Option<Arc<dyn Vault>>, key: String, wire: Arc<Wire>) -> Result<Self> {
        oauth::validate(&oauth)?;
        // Only what came of a user's consent cannot be had again.
        let vault = vault.filter(|_| matches!(oauth.grant, Grant::RefreshToken(_)));
        Ok(Self { oauth, vault, key, wire, current: Mutex::default(), renewal: Default::default() })
    }

    /// A token that is good for a while yet, and is not the `stale` one that was just refused.
    pub async fn token(self: &Arc<Self>, stale: Option<&Secret>) -> Result<Token> {
        if let Some(token) = self.fresh(stale) {
            return Ok(token);
        }
        let (session, stale, asked) = (Arc::clone(self), stale.cloned(), Instant::now());
        // A task of its own: whoever asked may go away, but a refresh token that was spent must not be forgotten.
        finish(tokio::spawn(async move { session.renew(stale.as_ref(), asked).await })).await
    }

    /// Takes a code from the user's browser, and keeps the token.
    pub async fn exchange(
        self: &Arc<Self>,
        code: Secret,
        redirect_uri: String,
        verifier: Option<Secret>,
    ) -> Result<Token> {
        let session = Arc::clone(self);
        finish(tokio::spawn(async move {
            let mut renewal = session.renewal.lock().await;
            let token = oauth::code(&session.oauth, &session.wire, code, redirect_uri, verifier).await;
            let token = token.map_err(|error| session.named(error))?;
            session.keep(&mut renewal, token).await
        }))
        .await
    }

    /// Renews the token, unless somebody else just did or could not.
    async fn renew(&self, stale: Option<&Secret>, asked: Instant) -> Result<Token> {
        let mut renewal = self.renewal.lock().await;
        if let Some(token) = self.fresh(stale) {
            return Ok(token);
        }
        if let Some((_, error)) = renewal.failed.as_ref().filter(|(at, _)| *at >= asked) {
            return Err(error.clone());
        }
        let result = self.obtain(&mut renewal, stale).await;
        renewal.failed = result.as_ref().err().map(|error| (Instant::now(), error.clone()));
        result
    }

    async fn obtain(&self, renewal: &mut Renewal, stale: Option<&Secret>) -> Result<Token> {
        if let Some(token) = renewal.unsaved.take() {
            return self.keep(renewal, token).await;
        }
        // Another client of the account may be renewing it: then its token is there when our turn comes.
        let _turn = match &self.vault {
            Some(vault) => Some(vault.turn(&self.key).await),
            None => None,
        };
        let kept = match &self.vault {
            Some(vault) => vault.load(&self.key).await?,
            None => None,
        };
        if let Some(token) = &kept {
            self.wire.veil.add(token);
            self.adopt(token.clone(), MARGIN);
            if let Some(token) = self.fresh(stale) {
                return Ok(token);
            }
        }
        let before = kept.or_else(|| lock(&self.current).as_ref().map(|current| current.token.clone()));
        let mut token = self.ask(before.as_ref()).await?;
        if let Some(before) = before {
            token = succeed(before, token);
        }
        self.keep(renewal, token).await
    }

    /// Asks the token endpoint. The refresh token of the last renewal is newer than the settings'; but if it has
    /// been withdrawn, the settings' may come of a new consent.
    async fn ask(&self, before: Option<&Token>) -> Result<Token> {
        let Grant::RefreshToken(given) = &self.oauth.grant else { return self.persist(None).await };
        let last = before.and_then(|token| token.refresh.as_ref()).filter(|last| *last != given);
        if let Some(last) = last {
            match self.persist(Some(last)).await {
                Err(error) if error.kind() == Kind::Auth && !given.expose().is_empty() => {}
                result => return result,
            }
        }
        if given.expose().is_empty() {
            return Err(Error::auth("it is not connected yet: connect it with `headwater connect`"));
        }
        self.persist(Some(given)).await
    }

    async fn persist(&self, refresh: Option<&Secret>) -> Result<Token> {
        let once = || async {
            match (&self.oauth.grant, refresh) {
                (Grant::RefreshToken(_), Some(refresh)) => {
                    oauth::refresh(&self.oauth, &self.wire, refresh).await
                }
                (Grant::JwtBearer { .. }, _) => oauth::assert(&self.oauth, &self.wire).await,
                (Grant::ClientCredentials, _) => oauth::own(&self.oauth, &self.wire).await,
                (Grant::RefreshToken(_), None) => Err(Error::auth("there is no refresh token")),
            }
        };
        let pauses = ExponentialBuilder::new()
            .with_min_delay(Duration::from_millis(250))
            .with_jitter()
            .with_max_times(AGAIN);
        once.retry(pauses)
            .sleep(tokio::time::sleep)
            .when(|error: &Error| {
                error.kind().is_temporary() && error.wait().is_none_or(|wait| wait <= self.wire.patience)
            })
            .adjust(|error: &Error, pause| pause.map(|pause| error.wait().unwrap_or(pause)))
            .await
            .map_err(|error| self.named(error))
    }

    /// Says of whom the token was asked.
    fn named(&self, error: Error) -> Error {
        let place = url::Url::parse(&self.oauth.token_url).map(|url| place(&url)).unwrap_or_default();
        self.wire.hide(error).within("token request to", place)
    }

    /// Stores the token, then lets it be used.
    async fn keep(&self, renewal: &mut Renewal, token: Token) -> Result<Token> {
        self.wire.veil.add(&token);
        match &self.vault {
            Some(vault) => {
                if let Err(error) = vault.store(&self.key, &token).await {
                    renewal.unsaved = Some(token);
                    return Err(error);
                }
            }
            None if matches!(&self.oauth.grant, Grant::RefreshToken(given) if token.refresh.as_ref().is_some_and(|new| new != given)) =>
            {
                tracing::warn!(
                    "the vendor replaced the refresh token, and there is no vault to keep the new one"
                );
            }
            None => {}
        }
        let lifetime =
            token.expires_at.map_or(SignedDuration::MAX, |end| end.duration_since((self.wire.clock)()));
        self.adopt(token.clone(), MARGIN.min(lifetime / 2));
        Ok(token)
    }

    fn adopt(&self, token: Token, margin: SignedDuration) {
        *lock(&self.current) = Some(Current { token, margin });
    }

    fn fresh(&self, stale: Option<&Secret>) -> Option<Token> {
        let current = lock(&self.current);
        let Current { token, margin } = current.as_ref()?;
        let now: Timestamp = (self.wire.clock)();
        let lasts = token.expires_at.is_none_or(|end| end.duration_since(now) > *margin);
        (lasts && stale != Some(&token.access) && !token.access.expose().is_empty()).then(|| token.clone())
    }
}

/// What the new token's answer leaves out stays as it was: the refresh token, the instance's address.
fn succeed(before: Token, mut token: Token) -> Token {
    token.refresh = token.refresh.or(before.refresh);
    if let (Value::Object(extra), Value::Object(mut merged)) = (&mut token.extra, before.extra) {
        merged.append(extra);
        *extra = merged;
    }
    token
}

async fn finish(task: tokio::task::JoinHandle<Result<Token>>) -> Result<Token> {
    task.await.unwrap_or_else(|_| Err(Error::transient("the token's renewal was broken off: try again")))
}
