//! What is said to a token endpoint, and what its answers mean.

use std::{fmt, sync::Arc, time::Duration};

use http::{HeaderValue, header::CONTENT_TYPE};
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use oauth2::{
    AccessToken, AuthType, AuthorizationCode, ClientId, ClientSecret, EmptyExtraTokenFields, EndpointNotSet,
    EndpointSet, HttpRequest, PkceCodeVerifier, RedirectUrl, RefreshToken, RequestTokenError, Scope,
    StandardRevocableToken, StandardTokenIntrospectionResponse, TokenResponse, TokenUrl,
    basic::{BasicErrorResponse, BasicRevocationErrorResponse, BasicTokenType},
};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value, json};

use super::{ClientAuth, Grant, OAuth, Secret, Token};
use crate::{
    error::{Error, Result},
    http::wire::Wire,
};

const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const FORM: &str = "application/x-www-form-urlencoded";
static BEARER: BasicTokenType = BasicTokenType::Bearer;

type App = oauth2::Client<
    BasicErrorResponse,
    Issued,
    StandardTokenIntrospectionResponse<EmptyExtraTokenFields, BasicTokenType>,
    StandardRevocableToken,
    BasicRevocationErrorResponse,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointSet,
>;

type Refused = RequestTokenError<Error, BasicErrorResponse>;

/// What a token endpoint issued. Vendors leave `token_type` out, and write `expires_in` in their own ways.
#[derive(Serialize, Deserialize)]
struct Issued {
    access_token: AccessToken,
    #[serde(default)]
    refresh_token: Option<RefreshToken>,
    #[serde(default, deserialize_with = "seconds")]
    expires_in: Option<u64>,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

/// A new token for this refresh token.
pub(super) async fn refresh(oauth: &OAuth, wire: &Arc<Wire>, refresh: &Secret) -> Result<Token> {
    let (app, token) = (app(oauth)?, RefreshToken::new(refresh.expose().to_owned()));
    let mut request =
        app.exchange_refresh_token(&token).add_scopes(oauth.scopes.iter().cloned().map(Scope::new));
    for (name, value) in &oauth.extra {
        request = request.add_extra_param(name, value);
    }
    let now = (wire.clock)();
    Ok(request.request_async(&sender(wire, oauth)).await.map_err(|error| refused(oauth, error))?.token(now))
}

/// A token for the app itself.
pub(super) async fn own(oauth: &OAuth, wire: &Arc<Wire>) -> Result<Token> {
    let app = app(oauth)?;
    let mut request =
        app.exchange_client_credentials().add_scopes(oauth.scopes.iter().cloned().map(Scope::new));
    for (name, value) in &oauth.extra {
        request = request.add_extra_param(name, value);
    }
    let now = (wire.clock)();
    Ok(request.request_async(&sender(wire, oauth)).await.map_err(|error| refused(oauth, error))?.token(now))
}

/// The token that a code from the user's browser is good for.
pub(super) async fn code(
    oauth: &OAuth,
    wire: &Arc<Wire>,
    code: Secret,
    redirect_uri: String,
    verifier: Option<Secret>,
) -> Result<Token> {
    let redirect =
        RedirectUrl::new(redirect_uri).map_err(|_| Error::config("the redirect URI is no address"))?;
    let app = app(oauth)?.set_redirect_uri(redirect);
    let mut request = app.exchange_code(AuthorizationCode::new(code.expose().to_owned()));
    if let Some(verifier) = verifier {
        request = request.set_pkce_verifier(PkceCodeVerifier::new(verifier.expose().to_owned()));
    }
    for (name, value) in &oauth.extra {
        request = request.add_extra_param(name, value);
    }
    let now = (wire.clock)();
    Ok(request.request_async(&sender(wire, oauth)).await.map_err(|error| refused(oauth, error))?.token(now))
}

/// A token for a signed assertion (RFC 7523), which the `oauth2` crate does not know.
pub(super) async fn assert(oauth: &OAuth, wire: &Arc<Wire>) -> Result<Token> {
    let now = (wire.clock)();
    let answer = wire.token(bearing(oauth, now)?).await?;
    if !answer.status().is_success() {
        let error: BasicErrorResponse = serde_json::from_slice(answer.body()).map_err(|_| no_token())?;
        return Err(refused(oauth, RequestTokenError::ServerResponse(error)));
    }
    let issued: Issued = serde_json::from_slice(answer.body()).map_err(|_| no_token())?;
    Ok(issued.token(now))
}

/// Says what is wrong with these settings before anything is asked.
pub(super) fn validate(oauth: &OAuth) -> Result<()> {
    app(oauth)?;
    match &oauth.grant {
        Grant::JwtBearer { key, .. } => signing_key(key).map(drop),
        _ => Ok(()),
    }
}

/// The request that carries an assertion.
fn bearing(oauth: &OAuth, now: Timestamp) -> Result<HttpRequest> {
    let assertion = assertion(oauth, now)?;
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.append_pair("grant_type", JWT_BEARER).append_pair("assertion", &assertion);
    let mut request = http::Request::post(&oauth.token_url)
        .header("accept", "application/json")
        .header("content-type", FORM);
    match (&oauth.client_secret, oauth.client_auth) {
        (Some(secret), ClientAuth::Body | ClientAuth::Json) => {
            form.append_pair("client_id", &oauth.client_id).append_pair("client_secret", secret.expose());
        }
        (Some(secret), ClientAuth::Basic) => {
            use base64::{Engine, engine::general_purpose::STANDARD};
            let both = STANDARD.encode(format!("{}:{}", oauth.client_id, secret.expose()));
            request = request.header("authorization", format!("Basic {both}"));
        }
        (None, _) => {}
    }
    form.extend_pairs(&oauth.extra);
    let request = request.body(form.finish().into_bytes());
    let bad = |_| Error::config("the token request cannot be built: check token_url and client secret");
    request.map(|request| written(request, oauth.client_auth)).map_err(bad)
}

fn assertion(oauth: &OAuth, now: Timestamp) -> Result<String> {
    let Grant::JwtBearer { issuer, subject, audience, key, lifetime } = &oauth.grant else {
        return Err(Error::unexpected("an assertion is signed for the JWT bearer grant only"));
    };
    let issued = now.as_second();
    let mut claims =
        json!({ "iss": issuer, "aud": audience, "iat": issued, "exp": issued + i64::from(*lifetime) });
    if !subject.is_empty() {
        claims["sub"] = json!(subject);
    }
    if !oauth.scopes.is_empty() {
        claims["scope"] = json!(oauth.scopes.join(" "));
    }
    jsonwebtoken::encode(&Header::new(Algorithm::RS256), &claims, &signing_key(key)?)
        .map_err(|_| Error::config("the private key cannot sign: it must be an RSA key in PEM"))
}

fn signing_key(key: &Secret) -> Result<EncodingKey> {
    // Settings and environments often hold it on one line.
    let pem = key.expose().replace("\\n", "\n");
    EncodingKey::from_rsa_pem(pem.as_bytes())
        .map_err(|_| Error::config("the private key is not an RSA key in PEM (-----BEGIN PRIVATE KEY-----)"))
}

fn app(oauth: &OAuth) -> Result<App> {
    let url = TokenUrl::new(oauth.token_url.clone()).map_err(|_| Error::config("token_url is no address"))?;
    let app = oauth2::Client::new(ClientId::new(oauth.client_id.clone())).set_token_uri(url).set_auth_type(
        match oauth.client_auth {
            ClientAuth::Body | ClientAuth::Json => AuthType::RequestBody,
            ClientAuth::Basic => AuthType::BasicAuth,
        },
    );
    Ok(match &oauth.client_secret {
        Some(secret) => app.set_client_secret(ClientSecret::new(secret.expose().to_owned())),
        None => app,
    })
}

/// How the `oauth2` crate reaches the network: as every request does.
fn sender(
    wire: &Arc<Wire>,
    oauth: &OAuth,
) -> impl Fn(HttpRequest) -> futures::future::BoxFuture<'static, Result<oauth2::HttpResponse>> + Send + Sync + use<>
{
    let (wire, client_auth) = (Arc::clone(wire), oauth.client_auth);
    move |request| {
        let wire = Arc::clone(&wire);
        Box::pin(async move { wire.token(written(request, client_auth)).await })
    }
}

/// The request as the server wants it written. Of a parameter that stands there twice, the last one counts: an app's own
/// `grant_type` replaces the grant's.
fn written(mut request: HttpRequest, client_auth: ClientAuth) -> HttpRequest {
    let mut pairs: Vec<(String, String)> = Vec::new();
    for (name, value) in form_urlencoded::parse(request.body()) {
        pairs.retain(|(known, _)| *known != name);
        pairs.push((name.into_owned(), value.into_owned()));
    }
    if client_auth == ClientAuth::Json {
        let object: Map<String, Value> =
            pairs.into_iter().map(|(name, value)| (name, Value::from(value))).collect();
        *request.body_mut() = Value::Object(object).to_string().into_bytes();
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    } else {
        *request.body_mut() =
            form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish().into_bytes();
    }
    request
}

fn refused(oauth: &OAuth, error: Refused) -> Error {
    let answer = match error {
        RequestTokenError::Request(error) => return error,
        RequestTokenError::ServerResponse(answer) => answer,
        // Neither shows what came: it may hold a token.
        RequestTokenError::Parse(..) | RequestTokenError::Other(_) => return no_token(),
    };
    let code = answer.error().to_string();
    let told =
        answer.error_description().map_or_else(|| code.clone(), |words| format!("{code} ({})", line(words)));
    let next = match (code.as_str(), &oauth.grant) {
        ("temporarily_unavailable" | "server_error" | "slow_down", _) => return Error::transient(told),
        ("invalid_grant", Grant::RefreshToken(_)) => {
            "the authorization has ended or was withdrawn: connect it again"
        }
        ("invalid_grant", Grant::JwtBearer { .. }) => "check the key, the issuer and the user it acts for",
        ("invalid_client" | "unauthorized_client", _) => "check the client id and secret",
        ("invalid_scope", _) => "check the scopes that the app was given",
        _ => "check the credentials",
    };
    Error::auth(format!("{told}: {next}"))
}

fn no_token() -> Error {
    Error::unexpected("the token endpoint's answer holds no token: check its address")
}

fn line(words: &str) -> String {
    words.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(200).collect()
}

fn seconds<'de, D: Deserializer<'de>>(json: D) -> Result<Option<u64>, D::Error> {
    Ok(match Value::deserialize(json)? {
        Value::String(text) => text.trim().parse::<f64>().ok(),
        number => number.as_f64(),
    }
    // Zero or less: some servers mean "never" by it.
    .filter(|seconds| *seconds > 0.0)
    .map(|seconds| seconds as u64))
}

impl Issued {
    fn token(self, now: Timestamp) -> Token {
        let lifetime = self.expires_in.map(|seconds| i64::try_from(seconds).unwrap_or(i64::MAX));
        let end =
            |seconds| now.saturating_add(jiff::SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX);
        Token {
            access: Secret::new(self.access_token.secret()),
            refresh: self.refresh_token.map(|token| Secret::new(token.secret())),
            expires_at: lifetime.map(end),
            extra: Value::Object(self.extra),
        }
    }
}

impl TokenResponse for Issued {
    type TokenType = BasicTokenType;
    fn access_token(&self) -> &AccessToken {
        &self.access_token
    }
    fn token_type(&self) -> &BasicTokenType {
        &BEARER
    }
    fn expires_in(&self) -> Option<Duration> {
        self.expires_in.map(Duration::from_secs)
    }
    fn refresh_token(&self) -> Option<&RefreshToken> {
        self.refresh_token.as_ref()
    }
    fn scopes(&self) -> Option<&Vec<Scope>> {
        None
    }
}

impl fmt::Debug for Issued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Issued([secret])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_read_as_vendors_write_them() {
        let read = |json: &str| {
            serde_json::from_str::<Issued>(json).map(|issued| issued.token(Timestamp::UNIX_EPOCH))
        };
        let token = read(r#"{"access_token":"a","expires_in":"3600","instance_url":"https://x"}"#).unwrap();
        assert_eq!(token.expires_at.unwrap().as_second(), 3600);
        assert_eq!(token.extra["instance_url"], "https://x");
        assert_eq!(
            read(r#"{"access_token":"a","expires_in":59.9,"token_type":null}"#)
                .unwrap()
                .expires_at
                .unwrap()
                .as_second(),
            59
        );
        for never in ["null", "0", "-1", "\"\"", "[]"] {
            assert_eq!(
                read(&format!(r#"{{"access_token":"a","expires_in":{never}}}"#)).unwrap().expires_at,
                None
            );
        }
        assert!(read(r#"{"access_token":"a","expires_in":1e300}"#).unwrap().expires_at.is_some());
        assert!(read(r#"{"token":"a"}"#).is_err());
    }

    #[test]
    fn a_parameter_of_the_app_replaces_the_grants() {
        let body = b"grant_type=client_credentials&a=1%202&grant_type=account_credentials".to_vec();
        let request = http::Request::post("https://x").header("content-type", FORM).body(body).unwrap();
        let form = written(request.clone(), ClientAuth::Body);
        assert_eq!(form.body(), b"a=1+2&grant_type=account_credentials");
        let json = written(request, ClientAuth::Json);
        assert_eq!(json.headers()[CONTENT_TYPE], "application/json");
        assert_eq!(json.body(), br#"{"a":"1 2","grant_type":"account_credentials"}"#);
    }
}
