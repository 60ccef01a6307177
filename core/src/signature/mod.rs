//! Signatures: how a delivery proves who sent it. A signature is data; the check stands here, once, in constant
//! time, over the raw bytes. The same value signs the fixtures.
//!
//! [`verify`](Signature::verify) is in `check`, [`sign`](Signature::sign) in `make`; `parts` is what both read.

mod check;
mod describe;
mod make;
mod parts;

use std::time::Duration;

/// How a delivery proves that the vendor sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signature {
    /// Nothing proves it but the secret webhook key in the URL; the reason is shown in the catalog.
    None {
        /// Why: `Braze documents no signature`.
        why: &'static str,
    },
    /// Nobody posts here: the events are fetched ([`EventPull`](crate::event::EventPull)), so no delivery is taken.
    Pulled,
    /// A keyed digest of parts of the delivery.
    Hmac(Hmac),
    /// A plain digest of the secret followed by the parts (older schemes).
    Digest(Hmac),
    /// The secret itself stands here, after this prefix (`Bearer `, or "").
    Token {
        /// Where.
        at: Place,
        /// What stands before it.
        prefix: &'static str,
    },
    /// HTTP Basic: the secret is `user:password`.
    Basic,
    /// ECDSA P-256 over SHA-256 of the parts, DER, base64; the secret is the public key (base64 SPKI, or PEM), and
    /// for signing the private one (PEM).
    Ecdsa {
        /// Where the signature stands.
        at: Place,
        /// What is signed.
        over: &'static [Part],
        /// When it was signed.
        stamp: Option<Stamp>,
    },
    /// RSA PKCS#1 v1.5 over SHA-256 of the parts, base64; the secret is the public key (PEM, or base64 SPKI), and for
    /// signing the private one (PEM).
    Rsa {
        /// Where the signature stands.
        at: Place,
        /// What is signed.
        over: &'static [Part],
    },
    /// A JWT in a header, signed with the shared secret; the algorithm is pinned.
    Jwt {
        /// Where it stands, after `Bearer ` or by itself.
        at: Place,
        /// HS256, HS384 or HS512.
        hash: Hash,
    },
    /// Whichever of these the source has been set up for: one that proves the delivery with one of the secrets is
    /// enough. A public key is never taken for a shared secret. The first one signs.
    Any(&'static [Signature]),
    /// This, once the source has a secret for it; until then only the secret webhook key in the URL. For vendors that
    /// prove nothing unless the customer asks for it.
    Optional {
        /// How a delivery is proven once there is a secret.
        one: &'static Signature,
        /// Why it may be left out: shown in the catalog.
        why: &'static str,
    },
}

/// A keyed digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hmac {
    /// The hash function.
    pub hash: Hash,
    /// How the secret becomes the key.
    pub key: Key,
    /// Where the signature stands.
    pub at: Place,
    /// How that text is made up.
    pub grammar: Grammar,
    /// How a digest is written.
    pub encoding: Encoding,
    /// What is signed, put one after the other.
    pub over: &'static [Part],
    /// When it was signed; without it a delivery never gets stale.
    pub stamp: Option<Stamp>,
}

/// A hash function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hash {
    /// SHA-1
    Sha1,
    /// SHA-256
    Sha256,
    /// SHA-384
    Sha384,
    /// SHA-512
    Sha512,
}

/// How a secret becomes a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// Its bytes, as text.
    Text,
    /// Decoded from base64, after this prefix (`whsec_`), if it is there.
    Base64(&'static str),
    /// Decoded from hex.
    Hex,
    /// The HMAC, with the secret's text, of the first eight characters of the stamp: a key for each day.
    Daily,
}

/// Where something stands in a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A header; several names where a vendor changed it.
    Header(&'static [&'static str]),
    /// A header whose name the customer chose: the secret is then `Name: value`.
    CustomHeader,
    /// A query parameter.
    Query(&'static str),
    /// A form field.
    Form(&'static str),
    /// A member of the JSON body.
    Body(&'static str),
}

/// How a header's text is made up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grammar {
    /// The signature, after this prefix (`sha256=`, or "").
    Plain(&'static str),
    /// `t=…,v1=…,v1=…`: the names of the time's and the signatures' entries.
    Pairs {
        /// The time's name.
        time: &'static str,
        /// The signatures' name; there may be several.
        signature: &'static str,
    },
    /// Signatures parted by this character, any of which may match, each after this prefix (`v1,`).
    List(char, &'static str),
    /// `SigningAlgorithm=hmac-sha256, SignedHeaders=a;b, Signature=…`, in the manner of AWS Signature Version 4.
    SignedHeaders,
}

/// How a digest is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Hexadecimal, of any case.
    Hex,
    /// Base64, standard alphabet.
    Base64,
    /// Base64, URL-safe alphabet, without padding.
    Base64Url,
}

/// A part of what is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The raw body.
    Body,
    /// The raw body, white space outside strings left out.
    BodyMinified,
    /// A header, as it came.
    Header(&'static str),
    /// A header, which is all that the vendor signs: the body is not covered, and whoever has seen one delivery can
    /// sign another. The secret webhook key in the URL is what keeps strangers out.
    Nonce(&'static str),
    /// The number of bytes of a header's value, in decimal.
    HeaderLength(&'static str),
    /// The time of the stamp, as it came.
    Stamp,
    /// The method.
    Method,
    /// The path of the configured public URL.
    Path,
    /// The query, as it came, without `?`.
    Query,
    /// The configured public URL of the surface with the query that came.
    Url,
    /// The same, these percent escapes undone (HubSpot v3): `%3A` `%2F` `%3F` `%40` `%21` `%24` `%27` `%28` `%29`
    /// `%2A` `%2C` `%3B`.
    UrlUnescaped,
    /// The form's fields sorted by name, each name followed by its value; nothing if the body is no form.
    SortedForm,
    /// One form field, decoded.
    FormField(&'static str),
    /// These characters.
    Text(&'static str),
    /// The SHA-256 of these parts, in hex.
    Sha256(&'static [Part]),
    /// A line `name:value` for each header that the signature says it covers ([`Grammar::SignedHeaders`]).
    SignedHeaders,
    /// The names of those headers, as the signature lists them.
    SignedHeaderNames,
    /// Nothing; but the query's parameter of this name has to be the hex SHA-256 of the body (Twilio `bodySHA256`).
    BodyDigestInQuery(&'static str),
}

/// When a delivery was signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Where it stands; none: in the signature's own header ([`Grammar::Pairs`]).
    pub at: Option<Place>,
    /// How it is written.
    pub format: StampFormat,
    /// How far it may be from our clock, either way.
    pub tolerance: Duration,
}

/// How the time of a signature is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StampFormat {
    /// Seconds since 1970.
    UnixSeconds,
    /// Milliseconds since 1970.
    UnixMillis,
    /// RFC 3339.
    Rfc3339,
    /// `Tue, 14 Apr 2026 03:50:12 GMT`
    HttpDate,
    /// `20260414T035012Z`
    Compact,
}

/// How far the time of a signature may be from our clock, where the vendor names no span of its own.
pub const TOLERANCE: Duration = Duration::from_secs(300);

impl Signature {
    /// [Standard Webhooks](https://www.standardwebhooks.com): a secret `whsec_…`, and `v1,…` signatures parted by
    /// spaces in `webhook-signature`.
    pub const STANDARD: Self = Self::Hmac(Hmac {
        key: Key::Base64("whsec_"),
        grammar: Grammar::List(' ', "v1,"),
        encoding: Encoding::Base64,
        over: &[Part::Header("webhook-id"), Part::Text("."), Part::Stamp, Part::Text("."), Part::Body],
        stamp: Some(Stamp::header(&["webhook-timestamp"], StampFormat::UnixSeconds)),
        ..Hmac::body(Place::Header(&["webhook-signature"]))
    });

    /// The secret by itself in a header.
    pub const fn header(names: &'static [&'static str]) -> Self {
        Self::Token { at: Place::Header(names), prefix: "" }
    }

    /// `Authorization: Bearer` and the secret.
    pub const BEARER: Self = Self::Token { at: Place::Header(&["authorization"]), prefix: "Bearer " };

    /// What a vendor sends that leaves the choice to its customer: HTTP Basic (the secret is `user:password`), a bearer
    /// token, or a header of any name (`Name: value`).
    pub const CREDENTIALS: Self =
        Self::Any(&[Self::Basic, Self::BEARER, Self::Token { at: Place::CustomHeader, prefix: "" }]);
}

impl Hmac {
    /// What most vendors do, for others to differ from: HMAC-SHA256 of the body, in hex, with the secret's text as key.
    pub const fn body(at: Place) -> Self {
        Self {
            hash: Hash::Sha256,
            key: Key::Text,
            at,
            grammar: Grammar::Plain(""),
            encoding: Encoding::Hex,
            over: &[Part::Body],
            stamp: None,
        }
    }
}

impl Stamp {
    /// The time in a header of its own, five minutes of tolerance.
    pub const fn header(names: &'static [&'static str], format: StampFormat) -> Self {
        Self { at: Some(Place::Header(names)), format, tolerance: TOLERANCE }
    }

    /// The time beside the signature, in seconds since 1970 ([`Grammar::Pairs`]), five minutes of tolerance.
    pub const BESIDE: Self = Self { at: None, format: StampFormat::UnixSeconds, tolerance: TOLERANCE };
}
