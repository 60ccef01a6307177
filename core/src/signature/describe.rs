//! A signature in one line, for the catalog and the docs.

use std::fmt;

use super::{Encoding, Grammar, Hash, Hmac, Part, Place, Signature, Stamp};

impl Signature {
    /// `HMAC-SHA256 of body + timestamp, hex, in klaviyo-signature; stale after 300 s`
    pub fn describe(&self) -> String {
        match self {
            Signature::None { why } => format!("not signed: {why}"),
            Signature::Pulled => "fetched by us: nobody posts here".to_owned(),
            Signature::Hmac(hmac) => hmac.describe("HMAC-"),
            Signature::Digest(hmac) => format!("{}, the secret before it", hmac.describe("plain ")),
            Signature::Token { at: Place::CustomHeader, .. } => {
                "shared secret in a header of your choice (`Name: value`)".to_owned()
            }
            Signature::Token { at, prefix: "" } => format!("shared secret in {at}"),
            Signature::Token { at, prefix } => format!("shared secret after `{}` in {at}", prefix.trim()),
            Signature::Basic => "HTTP Basic (`user:password`)".to_owned(),
            Signature::Ecdsa { at, over, stamp } => {
                format!("ECDSA P-256 over {}, base64, in {at}{}", list(over), stale(stamp))
            }
            Signature::Rsa { at, over } => format!("RSA-SHA256 over {}, base64, in {at}", list(over)),
            Signature::Jwt { at, hash } => format!("JWT ({}) in {at}", hash.name().replace("SHA", "HS")),
            Signature::Optional { one, why } => format!("{}, once a secret is set: {why}", one.describe()),
            Signature::Any(schemes) => {
                schemes.iter().map(Signature::describe).collect::<Vec<_>>().join("; or ")
            }
        }
    }
}

impl Hmac {
    fn describe(&self, kind: &str) -> String {
        let encoding = match self.encoding {
            Encoding::Hex => "hex",
            Encoding::Base64 => "base64",
            Encoding::Base64Url => "base64url",
        };
        let grammar = match self.grammar {
            Grammar::Plain("") => String::new(),
            Grammar::Plain(prefix) | Grammar::List(_, prefix) if !prefix.is_empty() => {
                format!(" after `{prefix}`")
            }
            Grammar::Pairs { signature, .. } => format!(" as `{signature}=`"),
            _ => String::new(),
        };
        let (hash, parts, stale) = (self.hash.name(), list(self.over), stale(&self.stamp));
        format!("{kind}{hash} of {parts}, {encoding}{grammar}, in {}{stale}", self.at)
    }
}

impl Hash {
    fn name(self) -> &'static str {
        match self {
            Hash::Sha1 => "SHA1",
            Hash::Sha256 => "SHA256",
            Hash::Sha384 => "SHA384",
            Hash::Sha512 => "SHA512",
        }
    }
}

fn list(parts: &[Part]) -> String {
    parts.iter().map(Part::to_string).filter(|part| part != "\"\"").collect::<Vec<_>>().join(" + ")
}

fn stale(stamp: &Option<Stamp>) -> String {
    stamp.map(|stamp| format!("; stale after {} s", stamp.tolerance.as_secs())).unwrap_or_default()
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Header(names) => write!(f, "header {}", names.join(" or ")),
            Place::CustomHeader => f.write_str("a header of your choice"),
            Place::Query(name) => write!(f, "query parameter {name}"),
            Place::Form(name) => write!(f, "form field {name}"),
            Place::Body(path) => write!(f, "body member {path}"),
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Part::Body => f.write_str("body"),
            Part::BodyMinified => f.write_str("body without white space"),
            Part::Header(name) => f.write_str(name),
            Part::Nonce(name) => write!(f, "{name} (not of the body)"),
            Part::HeaderLength(name) => write!(f, "length of {name}"),
            Part::Stamp => f.write_str("timestamp"),
            Part::Method => f.write_str("method"),
            Part::Path => f.write_str("path"),
            Part::Query => f.write_str("query"),
            Part::Url | Part::UrlUnescaped => f.write_str("URL"),
            Part::SortedForm => f.write_str("sorted form fields"),
            Part::FormField(name) => write!(f, "form field {name}"),
            Part::Text(text) => write!(f, "\"{}\"", text.trim_end()),
            Part::Sha256(parts) => write!(f, "SHA-256 of ({})", list(parts)),
            Part::SignedHeaders => f.write_str("listed headers"),
            Part::SignedHeaderNames => f.write_str("their names"),
            Part::BodyDigestInQuery(name) => write!(f, "body's digest in query parameter {name}"),
        }
    }
}
