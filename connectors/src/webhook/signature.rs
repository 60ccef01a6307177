//! Signature schemes as settings.

use headwater_core::{object::intern, prelude::*};
use serde::Serialize;

/// How a delivery is proven.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(tag = "scheme", rename_all = "kebab-case", deny_unknown_fields)]
pub enum SignatureSettings {
    /// A keyed digest of the delivery.
    Hmac {
        /// The header that it stands in.
        header: String,
        /// What stands before it there (`sha256=`).
        #[serde(default)]
        prefix: String,
        /// The hash function.
        #[serde(default)]
        hash: HashName,
        /// How it is written.
        #[serde(default)]
        encoding: EncodingName,
        /// How the secret is decoded to become the key.
        #[serde(default)]
        decode: SecretForm,
        /// What is signed, put one after the other: `body`, `timestamp`, `url`, `path`, `query`, `method`, `header:Name`, or
        /// `'text'` for that text itself. Left out, the body.
        #[serde(default)]
        over: Vec<String>,
        /// When it was signed; without it a delivery never gets stale.
        #[serde(default)]
        timestamp: Option<StampSettings>,
    },
    /// The secret itself in a header.
    Token {
        /// The header.
        header: String,
        /// What stands before it there (`Bearer `).
        #[serde(default)]
        prefix: String,
    },
    /// HTTP Basic: the secret is `user:password`.
    Basic,
    /// Standard Webhooks: a secret `whsec_…`, and `v1,…` in `webhook-signature`.
    StandardWebhooks,
    /// Nothing but the secret webhook key in the address.
    None,
}

/// When a delivery was signed.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StampSettings {
    /// The header that says so.
    header: String,
    /// How the time is written.
    #[serde(default)]
    format: StampName,
    /// How many seconds it may be from our clock.
    #[serde(default = "five_minutes")]
    tolerance: u64,
}

fn five_minutes() -> u64 {
    300
}

/// A hash function.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum HashName {
    /// SHA-1.
    Sha1,
    /// SHA-256.
    #[default]
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

/// How a digest is written.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum EncodingName {
    /// Hexadecimal.
    #[default]
    Hex,
    /// Base64.
    Base64,
    /// Base64 for URLs.
    Base64url,
}

/// How a secret becomes a key.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SecretForm {
    /// Its text.
    #[default]
    Text,
    /// Decoded from base64.
    Base64,
    /// Decoded from hex.
    Hex,
}

/// How a time is written.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum StampName {
    /// Seconds since 1970.
    #[default]
    UnixSeconds,
    /// Milliseconds since 1970.
    UnixMillis,
    /// RFC 3339.
    Rfc3339,
    /// An HTTP date.
    HttpDate,
}

impl SignatureSettings {
    /// The signature that they describe.
    pub fn make(&self) -> Result<Signature, String> {
        Ok(match self {
            Self::Hmac { header, prefix, hash, encoding, decode, over, timestamp } => {
                let over: &'static [Part] = match over.is_empty() {
                    true => &[Part::Body],
                    false => over.iter().map(|part| signed(part)).collect::<Result<Vec<_>, _>>()?.leak(),
                };
                if over.contains(&Part::Stamp) && timestamp.is_none() {
                    return Err(
                        "signature.over has `timestamp`: signature.timestamp has to say where it stands"
                            .into(),
                    );
                }
                Signature::Hmac(Hmac {
                    hash: hash.hash(),
                    key: decode.key(),
                    grammar: Grammar::Plain(intern(prefix)),
                    encoding: encoding.encoding(),
                    over,
                    stamp: timestamp.as_ref().map(StampSettings::make),
                    ..Hmac::body(place(header))
                })
            }
            Self::Token { header, prefix } => Signature::Token { at: place(header), prefix: intern(prefix) },
            Self::Basic => Signature::Basic,
            Self::StandardWebhooks => Signature::STANDARD,
            Self::None => Signature::None { why: "the settings say `scheme = \"none\"`" },
        })
    }
}

impl StampSettings {
    fn make(&self) -> Stamp {
        let format = match self.format {
            StampName::UnixSeconds => StampFormat::UnixSeconds,
            StampName::UnixMillis => StampFormat::UnixMillis,
            StampName::Rfc3339 => StampFormat::Rfc3339,
            StampName::HttpDate => StampFormat::HttpDate,
        };
        Stamp { at: Some(place(&self.header)), format, tolerance: Duration::from_secs(self.tolerance) }
    }
}

impl HashName {
    fn hash(self) -> Hash {
        match self {
            Self::Sha1 => Hash::Sha1,
            Self::Sha256 => Hash::Sha256,
            Self::Sha384 => Hash::Sha384,
            Self::Sha512 => Hash::Sha512,
        }
    }
}

impl EncodingName {
    fn encoding(self) -> Encoding {
        match self {
            Self::Hex => Encoding::Hex,
            Self::Base64 => Encoding::Base64,
            Self::Base64url => Encoding::Base64Url,
        }
    }
}

impl SecretForm {
    fn key(self) -> Key {
        match self {
            Self::Text => Key::Text,
            Self::Base64 => Key::Base64(""),
            Self::Hex => Key::Hex,
        }
    }
}

fn place(header: &str) -> Place {
    Place::Header(Box::leak(Box::new([intern(&header.to_ascii_lowercase())])))
}

fn signed(part: &str) -> Result<Part, String> {
    Ok(match part {
        "body" => Part::Body,
        "timestamp" => Part::Stamp,
        "url" => Part::Url,
        "path" => Part::Path,
        "query" => Part::Query,
        "method" => Part::Method,
        other => match (
            other.strip_prefix("header:"),
            other.strip_prefix('\'').and_then(|text| text.strip_suffix('\'')),
        ) {
            (Some(name), _) => Part::Header(intern(&name.to_ascii_lowercase())),
            (_, Some(text)) => Part::Text(intern(text)),
            _ => {
                return Err(format!(
                    "signature.over: {other:?} is none of body, timestamp, url, path, query, method, header:Name, 'text'"
                ));
            }
        },
    })
}
