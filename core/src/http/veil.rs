//! No secret in any message: what a client knows to be secret is taken out of whatever is shown.

use std::{
    collections::VecDeque,
    sync::{PoisonError, RwLock},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::Api;
use crate::auth::{Auth, Grant, Secret, Token};

/// Shorter ones are no secrets (`x` for an unused password), and would tear words apart.
const SHORTEST: usize = 6;

/// As many tokens as may still be in flight after they have been replaced.
const TOKENS: usize = 16;

/// The secrets of one account.
#[derive(Default)]
pub(crate) struct Veil {
    fixed: Vec<String>,
    tokens: RwLock<VecDeque<String>>,
}

impl Veil {
    pub fn new(api: &Api) -> Self {
        let mut veil = Self::default();
        for host in &api.hosts {
            match &host.auth {
                Auth::None => {}
                Auth::Bearer(secret) | Auth::Header(_, secret) | Auth::Query(_, secret) => {
                    veil.fix(secret.expose())
                }
                Auth::Basic(user, password) => {
                    veil.fix(password.expose());
                    veil.fix(&STANDARD.encode(format!("{user}:{}", password.expose())));
                    // Some vendors take the key as the user's name, and any password.
                    if password.expose().len() < SHORTEST {
                        veil.fix(user);
                    }
                }
                Auth::Aws(keys) => {
                    veil.fix(keys.secret.expose());
                    keys.session_token.iter().for_each(|token| veil.fix(token.expose()));
                }
                Auth::OAuth(oauth) => {
                    oauth.client_secret.iter().for_each(|secret| veil.fix(secret.expose()));
                    match &oauth.grant {
                        Grant::RefreshToken(secret) => veil.fix(secret.expose()),
                        Grant::JwtBearer { key, .. } => veil.fix(key.expose()),
                        Grant::ClientCredentials => {}
                    }
                    let named = oauth.extra.iter().filter(|(name, _)| sounds_secret(name));
                    named.for_each(|(_, value)| veil.fix(value));
                }
            }
        }
        let named = api.headers.iter().filter(|(name, _)| sounds_secret(name));
        named.for_each(|(_, value)| veil.fix(value));
        // A secret that holds another goes first.
        veil.fixed.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        veil
    }

    /// From now on, this token is secret too.
    pub fn add(&self, token: &Token) {
        let mut tokens = self.tokens.write().unwrap_or_else(PoisonError::into_inner);
        for secret in [Some(&token.access), token.refresh.as_ref()].into_iter().flatten().map(Secret::expose)
        {
            if secret.len() >= SHORTEST && !tokens.iter().any(|known| known == secret) {
                tokens.push_back(secret.to_owned());
            }
        }
        while tokens.len() > TOKENS {
            tokens.pop_front();
        }
    }

    /// `text` without any of them.
    pub fn hide(&self, text: &str) -> String {
        let mut text = text.to_owned();
        let tokens = self.tokens.read().unwrap_or_else(PoisonError::into_inner);
        for secret in self.fixed.iter().chain(tokens.iter()) {
            if text.contains(secret.as_str()) {
                text = text.replace(secret.as_str(), "[secret]");
            }
        }
        text
    }

    fn fix(&mut self, secret: &str) {
        if secret.len() >= SHORTEST {
            let encoded = utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string();
            if encoded != secret {
                self.fixed.push(encoded);
            }
            self.fixed.push(secret.to_owned());
        }
    }
}

fn sounds_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["auth", "key", "token", "secret", "password"].iter().any(|word| name.contains(word))
}
