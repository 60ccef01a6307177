//! What checking and signing both read: where things stand in a delivery, how a header's text is made up, what is
//! signed, and the digests.

use std::borrow::Cow;

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use hmac::Mac;
use http::HeaderName;
use jiff::{
    Timestamp,
    fmt::{rfc2822, strtime},
    tz::TimeZone,
};
use sha2::Digest;

use super::{Encoding, Grammar, Hash, Hmac, Key, Part, Place, StampFormat};
use crate::{
    auth::Secret,
    error::{Error, Result},
    event::Delivery,
    record::Record,
    time::parse_time,
};

/// What the text of a signature's place holds.
#[derive(Default)]
pub(super) struct Proof<'a> {
    /// The time, where it stands beside the signature.
    pub time: Option<&'a str>,
    /// The signatures; one that matches is enough.
    pub signatures: Vec<&'a str>,
    /// The headers that it covers, as listed.
    pub headers: &'a str,
}

impl Place {
    /// What stands there.
    pub(super) fn read<'d>(&self, delivery: &'d Delivery) -> Result<Cow<'d, str>> {
        let found = match self {
            Place::Header(names) => names.iter().find_map(|name| delivery.header(name)).map(Cow::Borrowed),
            Place::CustomHeader => None,
            Place::Query(name) => delivery.query_value(name).map(Cow::Owned),
            Place::Form(name) => form_field(delivery, name),
            Place::Body(path) => Record::parse(&delivery.body)
                .and_then(|body| body.text(path))
                .map_err(|error| Error::unsigned(format!("{self} cannot be read: {error}")))?
                .map(Cow::Owned),
        };
        found.ok_or_else(|| Error::unsigned(format!("{self} is missing")))
    }

    /// The first header's name, if it is a header.
    pub(super) fn header_name(&self) -> Option<HeaderName> {
        match self {
            Place::Header(names) => HeaderName::from_bytes(names.first()?.as_bytes()).ok(),
            _ => None,
        }
    }
}

/// A secret of the form `Name: value`.
pub(super) fn custom_header(secret: &Secret) -> Option<(HeaderName, &str)> {
    let (name, value) = secret.expose().split_once(':')?;
    let name = HeaderName::from_bytes(name.trim().as_bytes()).ok()?;
    Some((name, value.trim())).filter(|(_, value)| !value.is_empty())
}

impl Grammar {
    /// Takes a header's text apart.
    pub(super) fn parse<'t>(&self, text: &'t str) -> Proof<'t> {
        let text = text.trim();
        let mut proof = Proof::default();
        match *self {
            Grammar::Plain(prefix) => proof.signatures.extend(text.strip_prefix(prefix)),
            Grammar::List(by, prefix) => {
                proof.signatures.extend(text.split(by).filter_map(|one| one.trim().strip_prefix(prefix)))
            }
            Grammar::Pairs { time, signature } => {
                for (name, value) in text.split(',').filter_map(|pair| pair.trim().split_once('=')) {
                    if name == time {
                        proof.time = Some(value);
                    } else if name == signature {
                        proof.signatures.push(value);
                    }
                }
            }
            Grammar::SignedHeaders => {
                for (name, value) in text.split(',').filter_map(|pair| pair.trim().split_once('=')) {
                    match name {
                        "SignedHeaders" => proof.headers = value,
                        "Signature" => proof.signatures.push(value),
                        _ => {}
                    }
                }
            }
        }
        proof.signatures.retain(|signature| !signature.is_empty());
        proof
    }

    /// Puts it together.
    pub(super) fn write(&self, stamp: &str, headers: &str, signature: &str) -> String {
        match *self {
            Grammar::Plain(prefix) | Grammar::List(_, prefix) => format!("{prefix}{signature}"),
            Grammar::Pairs { time, signature: name } => format!("{time}={stamp},{name}={signature}"),
            Grammar::SignedHeaders => {
                format!("SigningAlgorithm=hmac-sha256, SignedHeaders={headers}, Signature={signature}")
            }
        }
    }
}

impl Encoding {
    /// The bytes of a digest; none if the text is no such thing.
    pub(super) fn decode(self, text: &str) -> Option<Vec<u8>> {
        match self {
            Encoding::Hex => {
                let mut digest = vec![0; text.len() / 2];
                hex::decode_to_slice(text, &mut digest).ok().map(|()| digest)
            }
            Encoding::Base64 => base64(text),
            Encoding::Base64Url => URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok(),
        }
    }

    /// A digest as text.
    pub(super) fn encode(self, digest: &[u8]) -> String {
        match self {
            Encoding::Hex => hex::encode(digest),
            Encoding::Base64 => STANDARD.encode(digest),
            Encoding::Base64Url => URL_SAFE_NO_PAD.encode(digest),
        }
    }
}

/// Base64 of the standard alphabet, padded or not.
pub(super) fn base64(text: &str) -> Option<Vec<u8>> {
    STANDARD_NO_PAD.decode(text.trim_end_matches('=')).ok()
}

impl StampFormat {
    /// Reads a time; none if the text is no such thing.
    pub(super) fn read(self, text: &str) -> Option<Timestamp> {
        match self {
            StampFormat::UnixSeconds => Timestamp::from_second(text.trim().parse().ok()?).ok(),
            StampFormat::UnixMillis => Timestamp::from_millisecond(text.trim().parse().ok()?).ok(),
            StampFormat::Rfc3339 => parse_time(text),
            // Asked first: it would be the last form that is tried.
            StampFormat::HttpDate => {
                let time = rfc2822::DateTimeParser::new().parse_timestamp(text.trim());
                time.ok().or_else(|| parse_time(text))
            }
            StampFormat::Compact => {
                let time = strtime::parse("%Y%m%dT%H%M%SZ", text.trim()).ok()?.to_datetime().ok()?;
                Some(time.to_zoned(TimeZone::UTC).ok()?.timestamp())
            }
        }
    }

    /// Writes one.
    pub(super) fn write(self, time: Timestamp) -> String {
        match self {
            StampFormat::UnixSeconds => time.as_second().to_string(),
            StampFormat::UnixMillis => time.as_millisecond().to_string(),
            StampFormat::Rfc3339 => time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            StampFormat::HttpDate => time.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string(),
            StampFormat::Compact => time.strftime("%Y%m%dT%H%M%SZ").to_string(),
        }
    }
}

/// What is signed: the parts, one after the other.
pub(super) fn content(parts: &[Part], delivery: &Delivery, stamp: &str, headers: &str) -> Result<Vec<u8>> {
    let header = |name: &str| {
        let value = delivery.headers.get(name).map(http::HeaderValue::as_bytes);
        value.ok_or_else(|| Error::unsigned(format!("header {name} is missing")))
    };
    // Mostly the body, and little else.
    let mut out = Vec::with_capacity(delivery.body.len() + 128);
    for part in parts {
        match *part {
            Part::Body => out.extend_from_slice(&delivery.body),
            Part::BodyMinified => crate::record::minify(&delivery.body, &mut out),
            Part::Header(name) | Part::Nonce(name) => out.extend_from_slice(header(name)?),
            Part::HeaderLength(name) => out.extend_from_slice(header(name)?.len().to_string().as_bytes()),
            Part::Stamp => out.extend_from_slice(stamp.as_bytes()),
            Part::Method => out.extend_from_slice(delivery.method.as_str().as_bytes()),
            Part::Path => out.extend_from_slice(path(&delivery.url).as_bytes()),
            Part::Query => out.extend_from_slice(delivery.query.as_bytes()),
            Part::Url => out.extend_from_slice(url(delivery).as_bytes()),
            Part::UrlUnescaped => out.extend_from_slice(unescape(&url(delivery)).as_bytes()),
            Part::SortedForm => sorted_form(delivery, &mut out),
            Part::FormField(name) => {
                let value = form_field(delivery, name);
                let value = value.ok_or_else(|| Error::unsigned(format!("form field {name} is missing")))?;
                out.extend_from_slice(value.as_bytes());
            }
            Part::Text(text) => out.extend_from_slice(text.as_bytes()),
            Part::Sha256(parts) => {
                let inner = content(parts, delivery, stamp, headers)?;
                out.extend_from_slice(hex::encode(sha2::Sha256::digest(&inner)).as_bytes());
            }
            Part::SignedHeaders => {
                for name in headers.split(';').filter(|name| !name.is_empty()) {
                    out.extend_from_slice(name.as_bytes());
                    out.push(b':');
                    out.extend_from_slice(header(name)?.trim_ascii());
                    out.push(b'\n');
                }
            }
            Part::SignedHeaderNames => out.extend_from_slice(headers.as_bytes()),
            Part::BodyDigestInQuery(name) => {
                let digest = delivery.query_value(name).and_then(|text| hex::decode(text).ok());
                let digest =
                    digest.ok_or_else(|| Error::unsigned(format!("query parameter {name} is missing")))?;
                if !same(&digest, &sha2::Sha256::digest(&delivery.body)) {
                    return Err(Error::unsigned(format!(
                        "the body is not the one whose digest stands in {name}"
                    )));
                }
            }
        }
    }
    Ok(out)
}

impl Hmac {
    /// The digest of `content` under `secret`.
    pub(super) fn digest(&self, secret: &Secret, stamp: &str, content: &[u8]) -> Result<Vec<u8>> {
        let text = secret.expose();
        let key: Cow<[u8]> = match self.key {
            Key::Text => text.as_bytes().into(),
            Key::Base64(prefix) => base64(text.strip_prefix(prefix).unwrap_or(text))
                .filter(|key| !key.is_empty())
                .ok_or_else(|| Error::unsigned("the secret is not base64; copy it again from the vendor"))?
                .into(),
            Key::Hex => hex::decode(text)
                .map_err(|_| Error::unsigned("the secret is not hexadecimal; copy it again from the vendor"))?
                .into(),
            Key::Daily => {
                let day =
                    stamp.get(..8).ok_or_else(|| Error::unsigned("the signature's time holds no day"))?;
                self.hash.mac(text.as_bytes(), day.as_bytes())?.into()
            }
        };
        self.hash.mac(&key, content)
    }

    /// The plain digest of the secret followed by `content`.
    pub(super) fn plain(&self, secret: &Secret, content: &[u8]) -> Vec<u8> {
        let parts = [secret.expose().as_bytes(), content];
        match self.hash {
            Hash::Sha1 => digest::<sha1::Sha1>(parts),
            Hash::Sha256 => digest::<sha2::Sha256>(parts),
            Hash::Sha384 => digest::<sha2::Sha384>(parts),
            Hash::Sha512 => digest::<sha2::Sha512>(parts),
        }
    }
}

impl Hash {
    fn mac(self, key: &[u8], content: &[u8]) -> Result<Vec<u8>> {
        fn mac<M: Mac + hmac::digest::KeyInit>(key: &[u8], content: &[u8]) -> Result<Vec<u8>> {
            let mut mac = <M as Mac>::new_from_slice(key)
                .map_err(|_| Error::unsigned("the secret cannot be a key; copy it again from the vendor"))?;
            mac.update(content);
            Ok(mac.finalize().into_bytes().to_vec())
        }
        match self {
            Hash::Sha1 => mac::<hmac::Hmac<sha1::Sha1>>(key, content),
            Hash::Sha256 => mac::<hmac::Hmac<sha2::Sha256>>(key, content),
            Hash::Sha384 => mac::<hmac::Hmac<sha2::Sha384>>(key, content),
            Hash::Sha512 => mac::<hmac::Hmac<sha2::Sha512>>(key, content),
        }
    }
}

fn digest<D: Digest>(parts: [&[u8]; 2]) -> Vec<u8> {
    let mut digest = D::new();
    parts.into_iter().for_each(|part| digest.update(part));
    digest.finalize().to_vec()
}

/// Whether two byte strings are the same, in a time that depends on neither's content nor length.
pub(super) fn same(one: &[u8], other: &[u8]) -> bool {
    use subtle::ConstantTimeEq;
    sha2::Sha256::digest(one).ct_eq(&sha2::Sha256::digest(other)).into()
}

/// The public URL with the query that came.
fn url(delivery: &Delivery) -> Cow<'_, str> {
    match delivery.query.is_empty() || delivery.url.contains('?') {
        true => Cow::Borrowed(&delivery.url),
        false => Cow::Owned(format!("{}?{}", delivery.url, delivery.query)),
    }
}

fn path(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let path = rest.find('/').map_or("/", |start| &rest[start..]);
    path.split(['?', '#']).next().unwrap_or(path)
}

/// Undoes the percent escapes that HubSpot undoes, and no others.
fn unescape(url: &str) -> String {
    let mut out = String::with_capacity(url.len());
    let mut rest = url;
    while let Some(start) = rest.find('%') {
        out.push_str(&rest[..start]);
        rest = &rest[start..];
        let escape = rest.get(1..3).and_then(|digits| u8::from_str_radix(digits, 16).ok()).map(char::from);
        match escape.filter(|c| ":/?@!$'()*,;".contains(*c)) {
            Some(c) => {
                out.push(c);
                rest = &rest[3..];
            }
            None => {
                out.push('%');
                rest = &rest[1..];
            }
        }
    }
    out + rest
}

fn is_form(delivery: &Delivery) -> bool {
    let kind = delivery.header("content-type").unwrap_or_default();
    kind.trim_start().to_ascii_lowercase().starts_with("application/x-www-form-urlencoded")
}

fn form_field<'d>(delivery: &'d Delivery, name: &str) -> Option<Cow<'d, str>> {
    form_urlencoded::parse(&delivery.body).find(|(key, _)| key == name).map(|(_, value)| value)
}

/// Fields in the order of their names; one that came twice the same counts once, as in the vendors' own libraries.
fn sorted_form(delivery: &Delivery, out: &mut Vec<u8>) {
    if !is_form(delivery) {
        return;
    }
    let mut fields: Vec<_> = form_urlencoded::parse(&delivery.body).collect();
    fields.sort();
    fields.dedup();
    for (name, value) in fields {
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(value.as_bytes());
    }
}
