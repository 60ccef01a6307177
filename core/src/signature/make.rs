//! Signing a delivery as the vendor would: for fixtures, stand-in vendors and laws.

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use jiff::Timestamp;
use jsonwebtoken::{EncodingKey, Header};
use p256::{ecdsa::signature::Signer, pkcs8::DecodePrivateKey};
use rsa::{pkcs1::DecodeRsaPrivateKey, pkcs1v15, signature::SignatureEncoding};
use serde_json::json;
use sha2::Digest;

use super::{
    Grammar, Hmac, Part, Place, Signature, Stamp, TOLERANCE,
    check::algorithm,
    parts::{content, custom_header},
};
use crate::{
    auth::Secret,
    error::{Error, Result},
    event::Delivery,
    record::{Raw, Record},
};

impl Signature {
    /// Signs `delivery` as the vendor would at `now`. Headers that are signed and that it lacks (an id, a nonce) are
    /// made up from the body, the same each time.
    pub fn sign(&self, delivery: &mut Delivery, secret: &Secret, now: Timestamp) -> Result<()> {
        match self {
            Signature::None { .. } | Signature::Pulled => Ok(()),
            Signature::Optional { one, .. } => one.sign(delivery, secret, now),
            Signature::Any(schemes) => match schemes.first() {
                Some(first) => first.sign(delivery, secret, now),
                None => Ok(()),
            },
            Signature::Hmac(hmac) => hmac.sign(delivery, secret, now, true),
            Signature::Digest(hmac) => hmac.sign(delivery, secret, now, false),
            Signature::Token { at: Place::CustomHeader, .. } => {
                let (name, value) = custom_header(secret)
                    .ok_or_else(|| Error::config("the secret has to be the header's `Name: value`"))?;
                delivery.headers.insert(name, header_value(value)?);
                Ok(())
            }
            Signature::Token { at, prefix } => at.put(delivery, &format!("{prefix}{}", secret.expose())),
            Signature::Basic => {
                let code = STANDARD.encode(secret.expose());
                Place::Header(&["authorization"]).put(delivery, &format!("Basic {code}"))
            }
            Signature::Ecdsa { at, over, stamp } => {
                let key = p256::ecdsa::SigningKey::from_pkcs8_pem(secret.expose())
                    .map_err(|_| Error::config("the secret is no P-256 private key (PKCS#8 PEM)"))?;
                let stamp = prepare(over, stamp, delivery, now)?;
                let signature: p256::ecdsa::Signature = key.sign(&content(over, delivery, &stamp, "")?);
                at.put(delivery, &STANDARD.encode(signature.to_der().as_bytes()))
            }
            Signature::Rsa { at, over } => {
                let pem = secret.expose();
                let key = rsa::RsaPrivateKey::from_pkcs8_pem(pem)
                    .or_else(|_| rsa::RsaPrivateKey::from_pkcs1_pem(pem))
                    .map_err(|_| Error::config("the secret is no RSA private key (PEM)"))?;
                let stamp = prepare(over, &None, delivery, now)?;
                let signature = pkcs1v15::SigningKey::<sha2::Sha256>::new(key)
                    .sign(&content(over, delivery, &stamp, "")?);
                at.put(delivery, &STANDARD.encode(signature.to_bytes()))
            }
            Signature::Jwt { at, hash } => {
                let claims =
                    json!({"iat": now.as_second(), "exp": now.as_second() + TOLERANCE.as_secs() as i64});
                let key = EncodingKey::from_secret(secret.expose().as_bytes());
                let token = jsonwebtoken::encode(&Header::new(algorithm(*hash)?), &claims, &key)
                    .map_err(|error| Error::config(format!("the JWT cannot be signed: {error}")))?;
                at.put(delivery, &format!("Bearer {token}"))
            }
        }
    }
}

impl Hmac {
    fn sign(&self, delivery: &mut Delivery, secret: &Secret, now: Timestamp, keyed: bool) -> Result<()> {
        let stamp = prepare(self.over, &self.stamp, delivery, now)?;
        let covered = match (self.grammar, self.stamp.and_then(|stamp| stamp.at?.header_name())) {
            (Grammar::SignedHeaders, Some(name)) => name.as_str().to_owned(),
            _ => String::new(),
        };
        let content = content(self.over, delivery, &stamp, &covered)?;
        let digest =
            if keyed { self.digest(secret, &stamp, &content)? } else { self.plain(secret, &content) };
        let text = self.grammar.write(&stamp, &covered, &self.encoding.encode(&digest));
        self.at.put(delivery, &text)
    }
}

/// Puts the time and whatever else is signed in its place, and returns the time's text.
fn prepare(over: &[Part], stamp: &Option<Stamp>, delivery: &mut Delivery, now: Timestamp) -> Result<String> {
    let text = stamp.map(|stamp| stamp.format.write(now)).unwrap_or_default();
    if let Some(Stamp { at: Some(place), .. }) = stamp {
        place.put(delivery, &text)?;
    }
    for part in over {
        match part {
            Part::Header(name) | Part::Nonce(name) | Part::HeaderLength(name) => {
                let known = HeaderName::from_bytes(name.as_bytes());
                let known = known.map_err(|_| Error::config(format!("{name:?} is no header")))?;
                if !delivery.headers.contains_key(&known) {
                    let id = hex::encode(&sha2::Sha256::digest(&delivery.body)[..16]);
                    delivery.headers.insert(known, header_value(&id)?);
                }
            }
            Part::BodyDigestInQuery(name) => {
                let digest = hex::encode(sha2::Sha256::digest(&delivery.body));
                Place::Query(name).put(delivery, &digest)?;
            }
            _ => {}
        }
    }
    Ok(text)
}

impl Place {
    /// Puts `text` there, in place of what there is.
    fn put(&self, delivery: &mut Delivery, text: &str) -> Result<()> {
        match self {
            Place::Header(_) => {
                let name =
                    self.header_name().ok_or_else(|| Error::config("a signature's header has no name"))?;
                delivery.headers.insert(name, header_value(text)?);
            }
            Place::CustomHeader => {
                return Err(Error::config("only a token stands in a header of the customer's choice"));
            }
            Place::Query(name) => delivery.query = with(delivery.query.as_bytes(), name, text),
            Place::Form(name) => {
                delivery.body = with(&delivery.body, name, text).into();
            }
            Place::Body(path) => {
                let mut body = Record::parse(&delivery.body)?.fields()?;
                body.set_at(path, Raw::string(text));
                delivery.body = Bytes::clone(body.record().bytes());
            }
        }
        Ok(())
    }
}

/// A query or form with this field, once, at its end.
fn with(form: &[u8], name: &str, value: &str) -> String {
    let others = form_urlencoded::parse(form).filter(|(key, _)| key != name);
    form_urlencoded::Serializer::new(String::new()).extend_pairs(others).append_pair(name, value).finish()
}

fn header_value(text: &str) -> Result<HeaderValue> {
    HeaderValue::from_str(text).map_err(|_| Error::config("the secret cannot stand in a header"))
}
