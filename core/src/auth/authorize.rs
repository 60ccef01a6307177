//! The way through the user's browser: where it begins. [`Client::exchange`](crate::http::Client::exchange) is
//! where it ends.

use oauth2::{AuthUrl, ClientId, CsrfToken, PkceCodeChallenge, RedirectUrl, Scope, basic::BasicClient};

use super::{Authorize, OAuth, Secret};
use crate::error::{Error, Result};

/// A user's consent that is being asked for.
#[derive(Clone, Debug)]
pub struct Consent {
    /// The page that the user's browser has to open.
    pub url: String,
    /// What the browser must come back with, or somebody else sent it.
    pub state: Secret,
    /// What the code must be exchanged with, if the server takes a PKCE challenge.
    pub verifier: Option<Secret>,
    /// Where the browser comes back to; the exchange must name it again.
    pub redirect_uri: String,
}

/// Begins to ask for a user's consent to what `oauth` is going to do.
pub fn consent(authorize: &Authorize, oauth: &OAuth, redirect_uri: &str) -> Result<Consent> {
    let page = AuthUrl::new(authorize.url.clone())
        .map_err(|_| Error::config("the authorization page is no address"))?;
    let back = RedirectUrl::new(redirect_uri.to_owned())
        .map_err(|_| Error::config("the redirect URI is no address"))?;
    let app =
        BasicClient::new(ClientId::new(oauth.client_id.clone())).set_auth_uri(page).set_redirect_uri(back);
    let mut request =
        app.authorize_url(CsrfToken::new_random).add_scopes(oauth.scopes.iter().cloned().map(Scope::new));
    let mut verifier = None;
    if authorize.pkce {
        let (challenge, secret) = PkceCodeChallenge::new_random_sha256();
        verifier = Some(Secret::new(secret.secret()));
        request = request.set_pkce_challenge(challenge);
    }
    let (url, state) = request.url();
    Ok(Consent {
        url: url.into(),
        state: Secret::new(state.secret()),
        verifier,
        redirect_uri: redirect_uri.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::auth::{Carry, ClientAuth, Grant};

    #[test]
    fn the_page_is_told_what_it_needs() {
        let oauth = OAuth {
            token_url: "https://example.com/token".into(),
            client_id: "app".into(),
            client_secret: Some(Secret::new("never shown")),
            client_auth: ClientAuth::Body,
            grant: Grant::RefreshToken(Secret::new("")),
            scopes: vec!["read".into(), "more".into()],
            extra: Vec::new(),
            carry: Carry::Bearer,
        };
        let authorize = Authorize { url: "https://example.com/allow?access_type=offline".into(), pkce: true };
        let consent = consent(&authorize, &oauth, "http://localhost:1/back").unwrap();
        let url = url::Url::parse(&consent.url).unwrap();
        let query: HashMap<_, _> = url.query_pairs().into_owned().collect();
        assert_eq!(query["access_type"], "offline");
        assert_eq!(query["scope"], "read more");
        assert_eq!(query["state"], consent.state.expose());
        assert_eq!(query["redirect_uri"], consent.redirect_uri);
        assert_eq!(query["code_challenge_method"], "S256");
        assert!(consent.verifier.is_some() && !consent.url.contains("never"));
        assert!(!format!("{consent:?}").contains(consent.verifier.as_ref().unwrap().expose()));
    }
}
