//! Checking a delivery, and taking the secrets out of it once it is checked.

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderName, HeaderValue};
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use p256::ecdsa::signature::Verifier;
use rsa::{pkcs1::DecodeRsaPublicKey, pkcs8::DecodePublicKey};
use serde_json::Value;
use subtle::ConstantTimeEq;

use super::{
    Hash, Hmac, Part, Place, Signature, Stamp, TOLERANCE,
    parts::{Proof, base64, content, custom_header, same},
};
use crate::{
    auth::Secret,
    error::{Error, Result},
    event::Delivery,
};

/// What stands in place of a secret that has been checked.
const VERIFIED: &str = "[verified]";
/// What stands in place of a credential that the signature does not ask for.
const REMOVED: &str = "[removed]";

impl Signature {
    /// Whether the vendor sent `delivery`: one of `secrets` proves it, and it is not stale.
    pub fn verify(&self, delivery: &Delivery, secrets: &[Secret], now: Timestamp) -> Result<()> {
        match self {
            Signature::None { .. } => return Ok(()),
            Signature::Pulled => {
                return Err(Error::unsigned(
                    "surface is closed: these events are fetched, nobody posts them",
                ));
            }
            _ => {}
        }
        // An empty secret would be one that everybody knows.
        let secrets: Vec<&Secret> =
            secrets.iter().filter(|secret| !secret.expose().trim().is_empty()).collect();
        if secrets.is_empty() && matches!(self, Signature::Optional { .. }) {
            return Ok(());
        }
        if secrets.is_empty() {
            return Err(Error::unsigned(format!(
                "surface is closed: set the source's secret ({})",
                self.describe()
            )));
        }
        match self {
            Signature::Any(schemes) | Signature::Optional { one: Signature::Any(schemes), .. } => {
                let mut refused: Option<Error> = None;
                for scheme in *schemes {
                    match scheme.check(delivery, &own(scheme, &secrets), now) {
                        Ok(()) => return Ok(()),
                        // The one that came nearest says why: something that did not match before something absent.
                        Err(error) if refused.is_none() || !error.message().ends_with("missing") => {
                            refused = Some(error);
                        }
                        Err(_) => {}
                    }
                }
                Err(refused.unwrap_or_else(|| {
                    Error::unsigned("surface is closed: it has no way to prove a delivery")
                }))
            }
            Signature::Optional { one, .. } => one.check(delivery, &secrets, now),
            _ => self.check(delivery, &secrets, now),
        }
    }

    fn check(&self, delivery: &Delivery, secrets: &[&Secret], now: Timestamp) -> Result<()> {
        match self {
            Signature::Hmac(hmac) => hmac.check(delivery, secrets, now, true),
            Signature::Digest(hmac) => hmac.check(delivery, secrets, now, false),
            Signature::Token { at: Place::CustomHeader, .. } => custom(delivery, secrets),
            Signature::Token { at, prefix } => {
                let text = at.read(delivery)?;
                let token = match text.get(..prefix.len()) {
                    Some(start) if start.eq_ignore_ascii_case(prefix) => &text[prefix.len()..],
                    _ => return Err(Error::unsigned(format!("{at} does not begin with {prefix:?}"))),
                };
                matching(secrets, |secret| same(secret.expose().as_bytes(), token.as_bytes()))
                    .ok_or_else(|| Error::unsigned(format!("{at} does not hold the source's secret")))
            }
            Signature::Basic => {
                let text = Place::Header(&["authorization"]).read(delivery)?;
                let (scheme, code) = text.split_once(' ').unwrap_or((&text, ""));
                let pair = base64(code.trim()).filter(|_| scheme.eq_ignore_ascii_case("basic"));
                let pair = pair.ok_or_else(|| Error::unsigned("header authorization is not HTTP Basic"))?;
                matching(secrets, |secret| same(secret.expose().as_bytes(), &pair)).ok_or_else(|| {
                    Error::unsigned("header authorization does not hold the source's user:password")
                })
            }
            Signature::Ecdsa { at, over, stamp } => {
                let signature = base64(at.read(delivery)?.trim())
                    .and_then(|der| p256::ecdsa::Signature::from_der(&der).ok())
                    .ok_or_else(|| Error::unsigned(format!("{at} is no ECDSA signature")))?;
                let stamp = stamp_text(stamp, &Proof::default(), delivery)?;
                let content = content(over, delivery, &stamp.text, "")?;
                let keys: Vec<_> = secrets.iter().filter_map(|secret| ecdsa_key(secret)).collect();
                if keys.is_empty() {
                    return Err(Error::unsigned(
                        "the secret is no P-256 public key; copy it again from the vendor",
                    ));
                }
                if !keys.iter().any(|key| key.verify(&content, &signature).is_ok()) {
                    return Err(mismatch(over));
                }
                stamp.fresh(now)
            }
            Signature::Rsa { at, over } => {
                let signature = base64(at.read(delivery)?.trim())
                    .and_then(|bytes| rsa::pkcs1v15::Signature::try_from(bytes.as_slice()).ok())
                    .ok_or_else(|| Error::unsigned(format!("{at} is no RSA signature")))?;
                let content = content(over, delivery, "", "")?;
                let keys: Vec<_> = secrets.iter().filter_map(|secret| rsa_key(secret)).collect();
                if keys.is_empty() {
                    return Err(Error::unsigned(
                        "the secret is no RSA public key; copy it again from the vendor",
                    ));
                }
                if !keys.into_iter().any(|key| {
                    rsa::pkcs1v15::VerifyingKey::<sha2::Sha256>::new(key).verify(&content, &signature).is_ok()
                }) {
                    return Err(mismatch(over));
                }
                Ok(())
            }
            Signature::Jwt { at, hash } => jwt(at, *hash, delivery, secrets, now),
            // Not ways to prove anything, so none of them opens a list of ways; and lists of ways do not nest.
            Signature::None { .. } | Signature::Pulled | Signature::Any(_) | Signature::Optional { .. } => {
                Err(Error::unsigned("surface is closed: it has no way to prove a delivery"))
            }
        }
    }

    /// Replaces what is secret in a delivery that has been checked, before it is stored: tokens in headers and in the
    /// query become `[verified]`, credentials that the signature does not ask for `[removed]`.
    pub fn redact(&self, delivery: &mut Delivery, secrets: &[Secret]) {
        match self {
            Signature::Any(schemes) => schemes.iter().for_each(|scheme| scheme.redact(delivery, secrets)),
            Signature::Optional { one, .. } => one.redact(delivery, secrets),
            Signature::Token { at: Place::CustomHeader, .. } => {
                for (name, _) in secrets.iter().filter_map(custom_header) {
                    replace(&mut delivery.headers, &name, VERIFIED);
                }
            }
            Signature::Token { at, .. } | Signature::Jwt { at, .. } => match at {
                Place::Header(names) => {
                    for name in names.iter().filter_map(|name| HeaderName::from_bytes(name.as_bytes()).ok()) {
                        replace(&mut delivery.headers, &name, VERIFIED);
                    }
                }
                Place::Query(name) => {
                    let pairs = form_urlencoded::parse(delivery.query.as_bytes());
                    let pairs = pairs
                        .map(|(key, value)| if key == *name { (key, VERIFIED.into()) } else { (key, value) });
                    delivery.query =
                        form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
                }
                // A body is kept as it came.
                Place::CustomHeader | Place::Form(_) | Place::Body(_) => {}
            },
            Signature::Basic => replace(&mut delivery.headers, &http::header::AUTHORIZATION, VERIFIED),
            _ => {}
        }
        for name in [http::header::AUTHORIZATION, http::header::PROXY_AUTHORIZATION, http::header::COOKIE] {
            if delivery.headers.get(&name).is_some_and(|value| value != VERIFIED) {
                replace(&mut delivery.headers, &name, REMOVED);
            }
        }
    }
}

impl Secret {
    /// Whether `text` is this secret, in constant time: for the tokens of handshakes.
    pub fn matches(&self, text: &str) -> bool {
        !self.expose().is_empty() && same(self.expose().as_bytes(), text.as_bytes())
    }
}

impl Hmac {
    fn check(&self, delivery: &Delivery, secrets: &[&Secret], now: Timestamp, keyed: bool) -> Result<()> {
        let text = self.at.read(delivery)?;
        let proof = self.grammar.parse(&text);
        if proof.signatures.is_empty() {
            return Err(Error::unsigned(format!("{} holds no signature of the expected form", self.at)));
        }
        let stamp = stamp_text(&self.stamp, &proof, delivery)?;
        let content = content(self.over, delivery, &stamp.text, proof.headers)?;
        let given: Vec<Vec<u8>> =
            proof.signatures.iter().filter_map(|text| self.encoding.decode(text)).collect();
        let mut unusable = None;
        let proven = matching(secrets, |secret| {
            let digest = if keyed {
                self.digest(secret, &stamp.text, &content)
            } else {
                Ok(self.plain(secret, &content))
            };
            match digest {
                // The length of a digest is no secret.
                Ok(digest) => given.iter().any(|given| given.ct_eq(&digest).into()),
                Err(error) => {
                    unusable = Some(error);
                    false
                }
            }
        });
        if proven.is_none() {
            return Err(unusable.unwrap_or_else(|| mismatch(self.over)));
        }
        stamp.fresh(now)
    }
}

/// The time of a signature, and how far it may be from ours.
struct Stamped<'a> {
    text: String,
    stamp: Option<&'a Stamp>,
}

fn stamp_text<'a>(stamp: &'a Option<Stamp>, proof: &Proof, delivery: &Delivery) -> Result<Stamped<'a>> {
    let text = match stamp {
        Some(Stamp { at: Some(place), .. }) => place.read(delivery)?.into_owned(),
        Some(_) => proof.time.ok_or_else(|| Error::unsigned("the signature's time is missing"))?.to_owned(),
        None => proof.time.unwrap_or_default().to_owned(),
    };
    Ok(Stamped { text, stamp: stamp.as_ref() })
}

impl Stamped<'_> {
    fn fresh(&self, now: Timestamp) -> Result<()> {
        let Some(stamp) = self.stamp else { return Ok(()) };
        let time = stamp
            .format
            .read(&self.text)
            .ok_or_else(|| Error::unsigned("the signature's time is not a time"))?;
        let away = now.duration_since(time).unsigned_abs();
        if away > stamp.tolerance {
            let (side, away) = (if time < now { "old" } else { "ahead of our clock" }, away.as_secs());
            let allowed = stamp.tolerance.as_secs();
            return Err(Error::unsigned(format!(
                "stale: the signature is {away} s {side}, {allowed} s are allowed"
            )));
        }
        Ok(())
    }
}

/// The secrets that a scheme of a list may use: what is public proves nothing but a signature.
fn own<'s>(scheme: &Signature, secrets: &[&'s Secret]) -> Vec<&'s Secret> {
    let public = matches!(scheme, Signature::Ecdsa { .. } | Signature::Rsa { .. });
    secrets
        .iter()
        .copied()
        .filter(|secret| (ecdsa_key(secret).is_some() || rsa_key(secret).is_some()) == public)
        .collect()
}

/// Asks about every secret, so that the time taken does not tell which one it was.
fn matching(secrets: &[&Secret], mut is: impl FnMut(&Secret) -> bool) -> Option<()> {
    secrets.iter().fold(false, |found, secret| is(secret) | found).then_some(())
}

fn custom(delivery: &Delivery, secrets: &[&Secret]) -> Result<()> {
    let mut reason = Error::unsigned("the source's secret has to be the header's `Name: value`");
    let mut proven = false;
    for (name, value) in secrets.iter().filter_map(|secret| custom_header(secret)) {
        match delivery.headers.get(&name) {
            Some(given) if same(given.as_bytes(), value.as_bytes()) => proven = true,
            Some(_) => reason = Error::unsigned(format!("header {name} does not hold the source's secret")),
            None => reason = Error::unsigned(format!("header {name} is missing")),
        }
    }
    if proven { Ok(()) } else { Err(reason) }
}

fn mismatch(over: &[Part]) -> Error {
    let url = over.iter().any(|part| matches!(part, Part::Url | Part::UrlUnescaped | Part::Path));
    let more = if url { ", or public_url is not the address that the vendor calls" } else { "" };
    Error::unsigned(format!(
        "no signature matches: the secret is another, or the delivery was changed on its way{more}"
    ))
}

fn ecdsa_key(secret: &Secret) -> Option<p256::ecdsa::VerifyingKey> {
    let text = secret.expose().trim();
    match text.starts_with("-----BEGIN") {
        true => p256::ecdsa::VerifyingKey::from_public_key_pem(text).ok(),
        false => p256::ecdsa::VerifyingKey::from_public_key_der(&base64_lines(text)?).ok(),
    }
}

fn rsa_key(secret: &Secret) -> Option<rsa::RsaPublicKey> {
    let text = secret.expose().trim();
    match text.starts_with("-----BEGIN") {
        true => rsa::RsaPublicKey::from_public_key_pem(text)
            .or(rsa::RsaPublicKey::from_pkcs1_pem(text).map_err(|_| ()))
            .ok(),
        false => rsa::RsaPublicKey::from_public_key_der(&base64_lines(text)?).ok(),
    }
}

fn base64_lines(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text.split_whitespace().collect::<String>()).ok()
}

fn jwt(at: &Place, hash: Hash, delivery: &Delivery, secrets: &[&Secret], now: Timestamp) -> Result<()> {
    let text = at.read(delivery)?;
    let token = match text.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim(),
        _ => text.trim(),
    };
    let mut rules = Validation::new(algorithm(hash)?);
    // The times are checked below, against the clock that we are given.
    rules.validate_exp = false;
    rules.validate_aud = false;
    rules.required_spec_claims.clear();
    let mut claims = None;
    for secret in secrets {
        let key = DecodingKey::from_secret(secret.expose().as_bytes());
        if let Ok(token) = jsonwebtoken::decode::<Value>(token, &key, &rules) {
            claims = Some(token.claims);
        }
    }
    let claims = claims
        .ok_or_else(|| Error::unsigned(format!("{at} holds no JWT that the source's secret signed")))?;
    let leeway = TOLERANCE.as_secs_f64();
    let now = now.as_second() as f64;
    if let Some(end) = claims["exp"].as_f64().filter(|end| now > end + leeway) {
        return Err(Error::unsigned(format!("stale: the JWT ended {:.0} s ago", now - end)));
    }
    if let Some(start) = claims["nbf"].as_f64().filter(|start| now < start - leeway) {
        return Err(Error::unsigned(format!("the JWT is good only in {:.0} s", start - now)));
    }
    Ok(())
}

pub(super) fn algorithm(hash: Hash) -> Result<Algorithm> {
    match hash {
        Hash::Sha256 => Ok(Algorithm::HS256),
        Hash::Sha384 => Ok(Algorithm::HS384),
        Hash::Sha512 => Ok(Algorithm::HS512),
        Hash::Sha1 => Err(Error::unsigned("surface is closed: a JWT cannot be signed with SHA-1")),
    }
}

fn replace(headers: &mut HeaderMap, name: &HeaderName, by: &'static str) {
    if headers.contains_key(name) {
        headers.insert(name.clone(), HeaderValue::from_static(by));
    }
}
