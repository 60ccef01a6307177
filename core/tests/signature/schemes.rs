//! The vendors' schemes, as their connectors say them.

use headwater_core::signature::{
    Encoding, Grammar, Hash, Hmac, Key, Part, Place, Signature, Stamp, StampFormat,
};

pub const fn header(name: &'static [&'static str]) -> Hmac {
    Hmac::body(Place::Header(name))
}

pub const DUB: Signature = Signature::Hmac(header(&["dub-signature"]));
pub const FACEBOOK: Signature =
    Signature::Hmac(Hmac { grammar: Grammar::Plain("sha256="), ..header(&["x-hub-signature-256"]) });
pub const INTERCOM: Signature = Signature::Hmac(Hmac {
    hash: Hash::Sha1,
    grammar: Grammar::Plain("sha1="),
    ..header(&["x-hub-signature"])
});
pub const SHOPIFY: Signature = Signature::Hmac(Hmac {
    encoding: Encoding::Base64,
    ..header(&["shopify-hmac-sha256", "x-shopify-hmac-sha256"])
});
pub const PAIRS: Grammar = Grammar::Pairs { time: "t", signature: "v1" };
pub const STRIPE: Signature = Signature::Hmac(Hmac {
    grammar: PAIRS,
    over: &[Part::Stamp, Part::Text("."), Part::Body],
    stamp: Some(Stamp::BESIDE),
    ..header(&["stripe-signature"])
});
pub const JEBBIT: Signature = Signature::Hmac(Hmac {
    grammar: PAIRS,
    encoding: Encoding::Base64,
    over: &[Part::Stamp, Part::Text("."), Part::Body],
    stamp: Some(Stamp::BESIDE),
    ..header(&["x-jebbit-signature"])
});
pub const V0: &[Part] = &[Part::Text("v0:"), Part::Stamp, Part::Text(":"), Part::Body];
pub const CUSTOMER_IO: Signature = Signature::Hmac(Hmac {
    over: V0,
    stamp: Some(Stamp::header(&["x-cio-timestamp"], StampFormat::UnixSeconds)),
    ..header(&["x-cio-signature"])
});
pub const STATSIG: Signature = Signature::Hmac(Hmac {
    grammar: Grammar::Plain("v0="),
    over: V0,
    stamp: Some(Stamp::header(&["x-statsig-request-timestamp"], StampFormat::UnixMillis)),
    ..header(&["x-statsig-signature"])
});
pub const ZENDESK: Signature = Signature::Hmac(Hmac {
    encoding: Encoding::Base64,
    over: &[Part::Stamp, Part::Body],
    stamp: Some(Stamp::header(&["x-zendesk-webhook-signature-timestamp"], StampFormat::Rfc3339)),
    ..header(&["x-zendesk-webhook-signature"])
});
pub const CONFIGCAT: Signature = Signature::Hmac(Hmac {
    encoding: Encoding::Base64,
    grammar: Grammar::List(',', ""),
    over: &[Part::Header("x-configcat-webhook-id"), Part::Stamp, Part::Body],
    stamp: Some(Stamp::header(&["x-configcat-webhook-timestamp"], StampFormat::UnixSeconds)),
    ..header(&["x-configcat-webhook-signature-v1"])
});
pub const HUBSPOT: Signature = Signature::Hmac(Hmac {
    encoding: Encoding::Base64,
    over: &[Part::Method, Part::UrlUnescaped, Part::Body, Part::Stamp],
    stamp: Some(Stamp::header(&["x-hubspot-request-timestamp"], StampFormat::UnixMillis)),
    ..header(&["x-hubspot-signature-v3"])
});
pub const HUBSPOT_V1: Signature = Signature::Digest(header(&["x-hubspot-signature"]));
pub const HUBSPOT_V2: Signature = Signature::Digest(Hmac {
    over: &[Part::Method, Part::Url, Part::Body],
    ..header(&["x-hubspot-signature"])
});
pub const GLADLY: Signature = Signature::Hmac(Hmac {
    key: Key::Daily,
    grammar: Grammar::SignedHeaders,
    over: &[
        Part::Text("hmac-sha256\n"),
        Part::Stamp,
        Part::Text("\n"),
        Part::Sha256(&[
            Part::Method,
            Part::Text("\n"),
            Part::Path,
            Part::Text("\n"),
            Part::Query,
            Part::Text("\n"),
            Part::SignedHeaders,
            Part::Text("\n"),
            Part::SignedHeaderNames,
            Part::Text("\n"),
            Part::Sha256(&[Part::Body]),
        ]),
    ],
    stamp: Some(Stamp::header(&["gladly-time"], StampFormat::Compact)),
    ..header(&["gladly-authorization"])
});
pub const AUTHVIA: Signature = Signature::Hmac(Hmac {
    encoding: Encoding::Base64,
    over: &[
        Part::Header("x-authvia-value"),
        Part::Text("."),
        Part::HeaderLength("x-authvia-value"),
        Part::Text("."),
        Part::Stamp,
    ],
    stamp: Some(Stamp::header(&["x-authvia-timestamp"], StampFormat::UnixSeconds)),
    ..header(&["x-authvia-signature"])
});
pub const RADAR: Signature = Signature::Hmac(Hmac {
    hash: Hash::Sha1,
    over: &[Part::Header("x-radar-signing-id")],
    ..header(&["x-radar-signature"])
});
pub const MANDRILL: Signature = Signature::Hmac(Hmac {
    hash: Hash::Sha1,
    encoding: Encoding::Base64,
    over: &[Part::Url, Part::SortedForm],
    ..header(&["x-mandrill-signature"])
});
pub const TWILIO_EVENTS: Signature = Signature::Hmac(Hmac {
    hash: Hash::Sha1,
    encoding: Encoding::Base64,
    over: &[Part::Url, Part::BodyDigestInQuery("bodySHA256")],
    ..header(&["x-twilio-signature"])
});
pub const KLAVIYO: Signature = Signature::Hmac(Hmac {
    over: &[Part::Body, Part::Stamp],
    stamp: Some(Stamp::header(&["klaviyo-timestamp"], StampFormat::HttpDate)),
    ..header(&["klaviyo-signature"])
});
pub const QUALTRICS: Signature = Signature::Hmac(Hmac {
    hash: Hash::Sha512,
    over: &[Part::FormField("MSG")],
    ..Hmac::body(Place::Form("HMAC"))
});
pub const VOUCHERIFY: Signature =
    Signature::Hmac(Hmac { over: &[Part::BodyMinified], ..header(&["x-voucherify-signature"]) });
pub const LIVELIKE: Signature = Signature::Any(&[
    Signature::Hmac(Hmac {
        hash: Hash::Sha1,
        encoding: Encoding::Base64,
        ..header(&["x-webhook-signature"])
    }),
    Signature::Hmac(Hmac {
        hash: Hash::Sha1,
        encoding: Encoding::Base64,
        over: &[Part::BodyMinified],
        ..header(&["x-webhook-signature"])
    }),
]);
pub const MOENGAGE_ALERTS: Signature = Signature::Digest(header(&["signature"]));
pub const SENDGRID: Signature = Signature::Ecdsa {
    at: Place::Header(&["x-twilio-email-event-webhook-signature"]),
    over: &[Part::Stamp, Part::Body],
    stamp: Some(Stamp::header(&["x-twilio-email-event-webhook-timestamp"], StampFormat::UnixSeconds)),
};
pub const FRESHCHAT: Signature =
    Signature::Rsa { at: Place::Header(&["x-freshchat-signature"]), over: &[Part::Body] };
pub const WATSON: Signature = Signature::Jwt { at: Place::Header(&["authorization"]), hash: Hash::Sha256 };
pub const AIRCALL: Signature = Signature::Token { at: Place::Body("token"), prefix: "" };
pub const MAILCHIMP: Signature = Signature::Token { at: Place::Query("secret"), prefix: "" };
pub const CUSTOM: Signature = Signature::Token { at: Place::CustomHeader, prefix: "" };
pub const CHOICE: Signature = Signature::Any(&[Signature::Basic, CUSTOM, Signature::BEARER]);

/// What of a delivery a scheme covers beside its signature.
#[derive(Clone, Copy, PartialEq)]
pub enum Covers {
    /// The body.
    Body,
    /// The body and the address.
    All,
    /// Neither: a token, or a nonce.
    Nothing,
}

/// Each scheme, a secret that suits it, another of the same kind, and what a signature covers.
pub const SCHEMES: &[(&str, Signature, &str, &str, Covers)] = &[
    ("dub", DUB, "s", "t", Covers::Body),
    ("facebook", FACEBOOK, "s", "t", Covers::Body),
    ("intercom", INTERCOM, "s", "t", Covers::Body),
    ("shopify", SHOPIFY, "s", "t", Covers::Body),
    ("stripe", STRIPE, "whsec_1", "whsec_2", Covers::Body),
    ("jebbit", JEBBIT, "s", "t", Covers::Body),
    ("customer-io", CUSTOMER_IO, "s", "t", Covers::Body),
    ("statsig", STATSIG, "s", "t", Covers::Body),
    ("zendesk", ZENDESK, "s", "t", Covers::Body),
    ("configcat", CONFIGCAT, "s", "t", Covers::Body),
    ("hubspot", HUBSPOT, "s", "t", Covers::All),
    ("hubspot v1", HUBSPOT_V1, "s", "t", Covers::Body),
    ("hubspot v2", HUBSPOT_V2, "s", "t", Covers::All),
    ("gladly", GLADLY, "s", "t", Covers::All),
    ("authvia", AUTHVIA, "s", "t", Covers::Nothing),
    ("radar", RADAR, "s", "t", Covers::Nothing),
    ("twilio events", TWILIO_EVENTS, "s", "t", Covers::All),
    ("klaviyo", KLAVIYO, "s", "t", Covers::Body),
    ("voucherify", VOUCHERIFY, "s", "t", Covers::Body),
    ("livelike", LIVELIKE, "s", "t", Covers::Body),
    ("moengage alerts", MOENGAGE_ALERTS, "s", "t", Covers::Body),
    ("watson", WATSON, "s", "t", Covers::Nothing),
    ("aircall", AIRCALL, "s3cret", "other", Covers::Nothing),
    ("mailchimp", MAILCHIMP, "s3cret", "other", Covers::Nothing),
    ("beamer", Signature::header(&["beamer-webhook-secret"]), "s3cret", "other", Covers::Nothing),
    ("bluedot", CUSTOM, "securitytoken: s3cret", "securitytoken: other", Covers::Nothing),
    ("insider", Signature::BEARER, "s3cret", "other", Covers::Nothing),
    ("mailjet", Signature::Basic, "jet:s3cret", "jet:other", Covers::Nothing),
    ("iterable", CHOICE, "jet:s3cret", "jet:other", Covers::Nothing),
    ("standard", Signature::STANDARD, "whsec_c2VjcmV0", "whsec_b3RoZXI=", Covers::Body),
];
