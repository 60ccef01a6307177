//! Signatures: every scheme takes what its vendor signed, and refuses what is unsigned, stale, changed or foreign.

#[path = "signature/schemes.rs"]
mod schemes;

use std::time::Duration;

use bytes::Bytes;
use headwater_core::{
    auth::Secret,
    error::Kind,
    event::Delivery,
    signature::{Hash, Place, Signature},
};
use http::{HeaderName, HeaderValue};
use jiff::Timestamp;
use schemes::*;

const NOW: &str = "2026-04-14T03:50:12Z";
const JSON: &str = r#"{"token":"x","event": "a b","n":[1, 2]}"#;

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

fn delivery(body: &str, headers: &[(&str, &str)]) -> Delivery {
    let mut delivery = Delivery::fetched(now(), Bytes::copy_from_slice(body.as_bytes()));
    delivery.url = "https://hooks.example.com/webhooks/src/key".into();
    for (name, value) in headers {
        delivery
            .headers
            .insert(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap());
    }
    delivery
}

fn check(signature: &Signature, delivery: &Delivery, secret: &str, now: Timestamp) -> Result<(), String> {
    signature.verify(delivery, &[Secret::new(secret)], now).map_err(|error| {
        assert_eq!(error.kind(), Kind::Unsigned);
        assert!(!error.to_string().contains('\n'), "{error}");
        assert!(secret.len() < 4 || !error.to_string().contains(secret), "{error}");
        error.to_string()
    })
}

#[test]
fn what_the_vendor_signed_is_taken_and_nothing_else() {
    for (name, signature, secret, other, covers) in SCHEMES {
        let unsigned = delivery(JSON, &[("content-type", "application/json")]);
        let mut signed = unsigned.clone();
        signature.sign(&mut signed, &Secret::new(*secret), now()).unwrap();
        assert_eq!(check(signature, &signed, secret, now()), Ok(()), "{name}");

        assert!(check(signature, &unsigned, secret, now()).is_err(), "{name}: unsigned");
        assert!(check(signature, &signed, other, now()).is_err(), "{name}: another secret");
        let both = [Secret::new(*other), Secret::new(*secret)];
        assert!(signature.verify(&signed, &both, now()).is_ok(), "{name}: two live secrets");
        for none in [&[][..], &[Secret::new("")], &[Secret::new(" ")]] {
            let error = signature.verify(&signed, none, now()).unwrap_err();
            assert!(error.message().starts_with("surface is closed: set "), "{name}: {error}");
        }

        // One byte of the body.
        let mut changed = signed.clone();
        changed.body =
            Bytes::from(String::from_utf8(signed.body.to_vec()).unwrap().replacen("a b", "a c", 1));
        assert_eq!(
            check(signature, &changed, secret, now()).is_err(),
            *covers != Covers::Nothing,
            "{name}: body"
        );

        // One byte of the address.
        let mut changed = signed.clone();
        changed.url = changed.url.replace("src", "srd");
        changed.query = changed.query.clone() + "&x=1";
        assert_eq!(
            check(signature, &changed, secret, now()).is_err(),
            *covers == Covers::All,
            "{name}: address"
        );

        // One byte of each header that signing has set.
        for (header, value) in &signed.headers {
            if unsigned.headers.contains_key(header) {
                continue;
            }
            for place in [value.len() - 1, value.len() / 2] {
                let mut bytes = value.as_bytes().to_vec();
                // In the middle of the last base64 digit may stand bits that mean nothing: the digit before it counts.
                let place = if bytes[place] == b'=' { place - 3 } else { place };
                bytes[place] = if bytes[place] == b'1' { b'2' } else { b'1' };
                let mut changed = signed.clone();
                changed.headers.insert(header, HeaderValue::from_bytes(&bytes).unwrap());
                assert!(check(signature, &changed, secret, now()).is_err(), "{name}: {header} at {place}");
            }
        }
    }
}

#[test]
fn what_is_stale_is_refused_on_both_sides_of_the_clock() {
    for (name, signature, secret, _, _) in SCHEMES {
        let stamped = match signature {
            Signature::Hmac(hmac) => hmac.stamp.is_some(),
            Signature::Ecdsa { stamp, .. } => stamp.is_some(),
            _ => false,
        };
        let mut signed = delivery(JSON, &[]);
        signature.sign(&mut signed, &Secret::new(*secret), now()).unwrap();
        let later = now() + Duration::from_secs(301);
        if stamped {
            let error = check(signature, &signed, secret, later).unwrap_err();
            assert_eq!(error, "stale: the signature is 301 s old, 300 s are allowed", "{name}");
            let error = check(signature, &signed, secret, now() - Duration::from_secs(400)).unwrap_err();
            assert_eq!(
                error, "stale: the signature is 400 s ahead of our clock, 300 s are allowed",
                "{name}"
            );
            assert_eq!(check(signature, &signed, secret, now() + Duration::from_secs(299)), Ok(()), "{name}");
        } else if *name != "watson" {
            assert_eq!(check(signature, &signed, secret, later), Ok(()), "{name}");
        }
    }
    let mut signed = delivery(JSON, &[]);
    WATSON.sign(&mut signed, &Secret::new("s"), now()).unwrap();
    let error = check(&WATSON, &signed, "s", now() + Duration::from_secs(700)).unwrap_err();
    assert_eq!(error, "stale: the JWT ended 400 s ago");
}

/// Published: ConfigCat's documentation, Qualtrics' public receiver. The others were made with Python's hmac module or
/// openssl, from the vendors' rules.
#[test]
fn vectors_made_elsewhere_are_taken() {
    let at = |second| Timestamp::from_second(second).unwrap();
    let configcat = delivery(
        "examplebody",
        &[
            ("X-ConfigCat-Webhook-ID", "b616ca659d154a5fb907dd8475792eeb"),
            ("X-ConfigCat-Webhook-Timestamp", "1669629035"),
            ("X-ConfigCat-Webhook-Signature-V1", "AAAA,Ks3cYsu9Lslfo+hVxNC3oQWnsF9e5d73TI5t94D9DRA="),
        ],
    );
    let key = "configcat_whsk_VN3juirnVh5pNvCKd81RYRYchxUX4j3NykbZG2fAy88=";
    assert_eq!(check(&CONFIGCAT, &configcat, key, at(1669629035)), Ok(()));

    let message = r#"{"Status":"Complete","SurveyID":"SV_1AmkKSDmoZ4XlQx","ResponseID":"R_0B7IcnXszjEUHLP","CompletedDate":"2019-06-25 07:58:25","BrandID":"sapdevelopment"}"#;
    let digest = "c2c585a404c239aa3063b462cc33551d3ed3ed2de0899f58d456fc0ef7ebef6f3c3af44957989bd0592603e41edde9528f7d9ed09ee128bf719aa12f46e5c598";
    let form = |message: &str| {
        form_urlencoded::Serializer::new(String::new())
            .extend_pairs([("Topic", "t"), ("MSG", message), ("HMAC", digest)])
            .finish()
    };
    assert_eq!(check(&QUALTRICS, &delivery(&form(message), &[]), "kyma4ever", now()), Ok(()));
    let error = check(&QUALTRICS, &delivery(&form("{}"), &[]), "kyma4ever", now()).unwrap_err();
    assert!(error.starts_with("no signature matches"), "{error}");

    let jebbit = "t=1700000000,v1=FpilC8dNH/HbhcTgpSl8Ktn9uiRdVzfNt4nkzG4JiUA=";
    let jebbit = delivery(r#"{"a":1}"#, &[("x-jebbit-signature", jebbit)]);
    assert_eq!(check(&JEBBIT, &jebbit, "s3cret", at(1700000010)), Ok(()));

    for body in [r#"{"a":1}"#, "{ \"a\" : 1 }\n"] {
        let digest = "a17d2ac229d1ebbb5f10e839c7985c4818e5986eab297f7e5979196d4d7d3ed2";
        let voucherify = delivery(body, &[("x-voucherify-signature", digest)]);
        assert_eq!(check(&VOUCHERIFY, &voucherify, "secretKey", now()), Ok(()));
        let livelike = delivery(body, &[("x-webhook-signature", "eZmXhqG/8QzU190LB1JXSvdr4LU=")]);
        assert_eq!(check(&LIVELIKE, &livelike, "s3cret", now()), Ok(()));
    }
}

#[test]
fn vectors_of_the_schemes_with_an_address_a_day_or_a_nonce() {
    const BODY: &str = r#"{"a":1}"#;
    let take = |name: &str, signature: &Signature, secret: &str, delivery: Delivery| {
        assert_eq!(check(signature, &delivery, secret, now()), Ok(()), "{name}");
    };
    let stripe =
        "t=1700000000,v1=00,v1=b3438763ab46d9634b9844c8722818eaf523f803db1327484c6067462a5fd6d1,v0=11";
    let stripe = delivery(BODY, &[("stripe-signature", stripe)]);
    assert_eq!(check(&STRIPE, &stripe, "whsec_x", Timestamp::from_second(1700000300).unwrap()), Ok(()));

    let date = "Tue, 14 Apr 2026 03:50:12 GMT";
    let digest = "593472757b6995bb0db3077cb9e8eaa4cae72ac78956019ba49b3ce54316fddd";
    take(
        "klaviyo",
        &KLAVIYO,
        "kkkkkkkkkkkkkkkk",
        delivery(BODY, &[("Klaviyo-Timestamp", date), ("Klaviyo-Signature", digest)]),
    );

    let mut hubspot = delivery(
        BODY,
        &[
            ("x-hubspot-request-timestamp", "1776138612000"),
            ("x-hubspot-signature-v3", "/67OOwStHNTFVppBG6U7qmIXla+hPdnfUKVdTJMftHA="),
            ("x-hubspot-signature", "d9bf2959dda3185fdf57da28bdfd9d42142da75211319bf3ce203bbcc263afd7"),
        ],
    );
    hubspot.query = "q=a%20b%3Ac%2F%26".into();
    take("hubspot v3", &HUBSPOT, "s3cret", hubspot.clone());
    take("hubspot v2", &HUBSPOT_V2, "s3cret", hubspot);

    let form = ("content-type", "application/x-www-form-urlencoded; charset=utf-8");
    let mandrill = ("x-mandrill-signature", "hxRNDPzGMlGd+C80Zgzxrm1gbDU=");
    take("mandrill", &MANDRILL, "s3cret", delivery("b=2+%C3%BC&a=1&A=0", &[form, mandrill]));
    let error = check(&MANDRILL, &delivery("b=3&a=1&A=0", &[form, mandrill]), "s3cret", now()).unwrap_err();
    assert!(error.ends_with("or public_url is not the address that the vendor calls"), "{error}");

    let mut twilio = delivery(BODY, &[("x-twilio-signature", "ASvSv9+sOqrtDd9Y39BpYg9fs8U=")]);
    twilio.query = "bodySHA256=015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862".into();
    take("twilio", &TWILIO_EVENTS, "s3cret", twilio.clone());
    twilio.body = Bytes::from_static(b"{}");
    let error = check(&TWILIO_EVENTS, &twilio, "s3cret", now()).unwrap_err();
    assert_eq!(error, "the body is not the one whose digest stands in bodySHA256");

    let mut gladly = delivery(
        BODY,
        &[
            ("content-type", "application/json"),
            ("gladly-time", "20260414T035012Z"),
            (
                "gladly-authorization",
                "SigningAlgorithm=hmac-sha256, SignedHeaders=content-type;gladly-time, Signature=493d59ebe9329551159992eafc25b239c1501dfa0a8533ca9b2b53bfd8388370",
            ),
        ],
    );
    gladly.query = "x=1".into();
    take("gladly", &GLADLY, "s3cret", gladly);

    let value = ("x-authvia-value", "abc");
    let authvia = ("x-authvia-signature", "mXwo8pZEXhn5MgOVZYtjhL3UQyIdQZ9Fwq4bNs8B1Mw=");
    take(
        "authvia",
        &AUTHVIA,
        "s3cret",
        delivery(BODY, &[value, authvia, ("x-authvia-timestamp", "1776138612")]),
    );

    let radar = ("x-radar-signature", "8bbaab3ae988d2ee35a5b0a28a6c4596ad4d8ab7");
    take("radar", &RADAR, "s3cret", delivery(BODY, &[radar, ("x-radar-signing-id", "nonce")]));

    let statsig =
        ("x-statsig-signature", "v0=70a2f0fce748918bf641a635b4b15c203f62a5ab1cda8364080396448e9e13cb");
    take(
        "statsig",
        &STATSIG,
        "s3cret",
        delivery(BODY, &[statsig, ("x-statsig-request-timestamp", "1776138612000")]),
    );

    let zendesk = ("x-zendesk-webhook-signature", "rtnxbavukcC2x8mgy3cYTOITNGQxK2hk4hl1KnVtTWQ=");
    take(
        "zendesk",
        &ZENDESK,
        "s3cret",
        delivery(BODY, &[zendesk, ("x-zendesk-webhook-signature-timestamp", NOW)]),
    );

    let digest = ("signature", "0b57677c642ae4d199737645f01cca02455e0b61cfb91476e6b688048cf1bc83");
    take("moengage", &MOENGAGE_ALERTS, "s3cret", delivery(BODY, &[digest]));

    let jwt = "Bearer eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJ3YXRzb24ifQ.ZtmVOKWusgjMpYSxc0QIL-0iolmWJ3YdqJ6fveoWStI";
    take("watson", &WATSON, "s3cret", delivery(BODY, &[("authorization", jwt)]));

    // Published with the specification's libraries; an unknown version and a foreign signature stand before it.
    let standard = "v1a,xxxx v1,AAAA v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
    let standard = delivery(
        r#"{"test": 2432232314}"#,
        &[
            ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
            ("webhook-timestamp", "1614265330"),
            ("webhook-signature", standard),
        ],
    );
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    assert_eq!(
        check(&Signature::STANDARD, &standard, secret, Timestamp::from_second(1614265330).unwrap()),
        Ok(())
    );
}

/// Keys and signatures made with openssl: `ecparam -name prime256v1`, `genrsa 2048`, `dgst -sha256 -sign`.
#[test]
fn public_keys_prove_what_openssl_signed() {
    let key = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE32XmwIKT2koEOwrgzAjyNFDP47N2JpUrosuDpd0EB1L1IMrZjTTK1ygEkeWlMpHXaYxZUspuVaeSi4GxDqKOcQ==";
    let sendgrid = delivery(
        r#"{"a":1}"#,
        &[
            ("x-twilio-email-event-webhook-timestamp", "1776138612"),
            (
                "x-twilio-email-event-webhook-signature",
                "MEQCIDYuKoPoX1sl/o9MLnSgcKUbMNWanG+SZ/ZIu+7zD1hwAiBKp531haTA5IGHca2b1Iu91okIl/ZUUkTrI/asGHu/Rw==",
            ),
        ],
    );
    assert_eq!(check(&SENDGRID, &sendgrid, key, now()), Ok(()));
    let pem =
        format!("-----BEGIN PUBLIC KEY-----\n{}\n{}\n-----END PUBLIC KEY-----\n", &key[..64], &key[64..]);
    assert_eq!(check(&SENDGRID, &sendgrid, &pem, now()), Ok(()));

    let key = "-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAzQoKTB1BO3bIgH1OFEEW\n9+iXz1oI8E6U43LzHmT3BgxbqKLTL9b73Ip744u0TQlTv0ZBFVgmig1Eq7PWd8eG\nakwZhz1C58uhd51IKWXPwaUIpnsuM2x/3KxYJGrp1gCiUWgGIk9wRexfr46yxUll\n2XTdG5aHNO/iQCqRjlqrCGv/umbP1Oc5tc6LPhe8LhAEimvxAbUA6ii0sZvZZYIa\n4gDBb/XMeFW+VNHE5p8Mvv9IuJm4KDIRmk2sonPTAEXE/SQbmxHKvxXCsMTBUIw4\nIoLfdHlJtq/eZiW7A/N4s4Ce5VKfkMiiigNvwAcGqZcdBw04MDYx80EVMb1FKOnd\nDwIDAQAB\n-----END PUBLIC KEY-----\n";
    let freshchat = delivery(
        r#"{"a":1}"#,
        &[(
            "x-freshchat-signature",
            "s3X5OxhKrB0059swWptGglWpVzYdHIK9ieXFMqNIoaZVDhmPTQ8dy1DS/v7V4VwR9lFOGusuc9NuKsEXueovshrOXCgpV5/g78Ouy4AYuwI776PFG2BPGau3eI1L0BfH5wzXvVfA4mPWnQ3q62b4xh6GVQARTPi95PWGJFj+WGkrALRkdGPazkTUeuCzgPsQ7rMaCxRHfFU1wy9thOcqJTvYAGJYPT7mJebR9S0MV30eEsqueuSYwjHFIaBjXosNpdmtSzg49ZGevBtgRssDr5DD190ubC60sccjI86OoAFMy7G7+HpdqCgNWnOf1+jLDbGroX85PZ2sMFuknQEtMQ==",
        )],
    );
    assert_eq!(check(&FRESHCHAT, &freshchat, key, now()), Ok(()));
    let bare: String = key.lines().filter(|line| !line.starts_with('-')).collect();
    assert_eq!(check(&FRESHCHAT, &freshchat, &bare, now()), Ok(()));

    for (signature, signed, key) in [(SENDGRID, sendgrid, &pem), (FRESHCHAT, freshchat, &bare)] {
        let mut changed = signed.clone();
        changed.body = Bytes::from_static(br#"{"a":2}"#);
        assert!(check(&signature, &changed, key, now()).unwrap_err().starts_with("no signature matches"));
        assert!(check(&signature, &signed, "no key", now()).unwrap_err().contains("public key"));
        assert!(check(&signature, &delivery("{}", &[]), key, now()).unwrap_err().ends_with("is missing"));
    }
}

#[test]
fn private_keys_sign_what_the_public_ones_prove() {
    use p256::pkcs8::{EncodePrivateKey, EncodePublicKey, LineEnding};
    let private = p256::SecretKey::from_slice(&[7; 32]).unwrap();
    let public = private.public_key().to_public_key_pem(LineEnding::LF).unwrap();
    let private = private.to_pkcs8_pem(LineEnding::LF).unwrap();
    let mut signed = delivery(JSON, &[]);
    SENDGRID.sign(&mut signed, &Secret::new(private.as_str()), now()).unwrap();
    assert_eq!(check(&SENDGRID, &signed, &public, now()), Ok(()));
    let error = check(&SENDGRID, &signed, &public, now() + Duration::from_secs(301)).unwrap_err();
    assert!(error.starts_with("stale"), "{error}");

    let private = rsa::RsaPrivateKey::new(&mut rsa::rand_core::OsRng, 1024).unwrap();
    let public = private.to_public_key().to_public_key_pem(LineEnding::LF).unwrap();
    let mut signed = delivery(JSON, &[]);
    FRESHCHAT
        .sign(&mut signed, &Secret::new(private.to_pkcs8_pem(LineEnding::LF).unwrap().as_str()), now())
        .unwrap();
    assert_eq!(check(&FRESHCHAT, &signed, &public, now()), Ok(()));
}

#[test]
fn a_list_of_ways_opens_no_other_way() {
    // A public key is public: sent as a token it proves nothing.
    let key = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE32XmwIKT2koEOwrgzAjyNFDP47N2JpUrosuDpd0EB1L1IMrZjTTK1ygEkeWlMpHXaYxZUspuVaeSi4GxDqKOcQ==";
    let either = Signature::Any(&[SENDGRID, Signature::BEARER]);
    let forged = delivery("{}", &[("authorization", &format!("Bearer {key}"))]);
    assert!(check(&either, &forged, key, now()).is_err());
    let secrets = [Secret::new(key), Secret::new("s3cret")];
    let tokened = delivery("{}", &[("authorization", "bearer s3cret")]);
    assert!(either.verify(&tokened, &secrets, now()).is_ok());
    assert!(either.verify(&forged, &secrets, now()).is_err());

    // Nor does one that proves nothing.
    let open =
        Signature::Any(&[DUB, Signature::None { why: "" }, Signature::Any(&[Signature::None { why: "" }])]);
    assert!(check(&open, &delivery("{}", &[]), "s", now()).is_err());
    assert!(check(&Signature::Any(&[]), &delivery("{}", &[]), "s", now()).is_err());
    assert!(check(&Signature::Pulled, &delivery("{}", &[]), "s", now()).is_err());
    assert!(Signature::None { why: "" }.verify(&delivery("{}", &[]), &[], now()).is_ok());
}

#[test]
fn an_algorithm_is_pinned() {
    // {"alg":"none"}, and HS512 where HS256 is said.
    let none = "Bearer eyJhbGciOiJub25lIn0.e30.";
    assert!(check(&WATSON, &delivery("{}", &[("authorization", none)]), "s", now()).is_err());
    let mut signed = delivery("{}", &[]);
    let longer = Signature::Jwt { at: Place::Header(&["authorization"]), hash: Hash::Sha512 };
    longer.sign(&mut signed, &Secret::new("s"), now()).unwrap();
    assert_eq!(check(&longer, &signed, "s", now()), Ok(()));
    assert!(check(&WATSON, &signed, "s", now()).is_err());
}

#[test]
fn refusals_say_what_is_missing_or_wrong() {
    let says = |signature: &Signature, headers: &[(&str, &str)], secret: &str| {
        check(signature, &delivery("{}", headers), secret, now()).unwrap_err()
    };
    assert_eq!(says(&DUB, &[], "s"), "header dub-signature is missing");
    assert_eq!(says(&SHOPIFY, &[], "s"), "header shopify-hmac-sha256 or x-shopify-hmac-sha256 is missing");
    let sent = [("x-hub-signature-256", "00")];
    assert_eq!(
        says(&FACEBOOK, &sent, "s"),
        "header x-hub-signature-256 holds no signature of the expected form"
    );
    let sent = [("klaviyo-signature", "00")];
    assert_eq!(says(&KLAVIYO, &sent, "s"), "header klaviyo-timestamp is missing");
    assert_eq!(says(&AIRCALL, &[], "s"), "body member token is missing");
    let sent = [("authorization", "Basic !")];
    assert_eq!(says(&Signature::Basic, &sent, "u:p"), "header authorization is not HTTP Basic");
    assert_eq!(says(&CUSTOM, &[], "x-key: v"), "header x-key is missing");
    assert_eq!(says(&CUSTOM, &[], "nocolon"), "the source's secret has to be the header's `Name: value`");
    let sent = [("webhook-signature", "v1,AAAA"), ("webhook-id", "m"), ("webhook-timestamp", "1776138612")];
    let error = says(&Signature::STANDARD, &sent, "whsec_!!");
    assert_eq!(error, "the secret is not base64; copy it again from the vendor");
    let closed = DUB.verify(&delivery("{}", &[]), &[], now()).unwrap_err().to_string();
    assert_eq!(
        closed,
        "surface is closed: set the source's secret (HMAC-SHA256 of body, hex, in header dub-signature)"
    );
}

#[test]
fn what_is_secret_is_taken_out_before_a_delivery_is_stored() {
    let redacted = |signature: &Signature, headers: &[(&str, &str)], secret: &str| {
        let mut delivery = delivery("{}", headers);
        delivery.query = "secret=s3cret&x=1".into();
        signature.redact(&mut delivery, &[Secret::new(secret)]);
        delivery
    };
    let authorization = [("authorization", "Bearer s3cret"), ("dub-signature", "00")];
    assert_eq!(
        redacted(&Signature::BEARER, &authorization, "s3cret").header("authorization"),
        Some("[verified]")
    );
    assert_eq!(redacted(&DUB, &authorization, "s").header("authorization"), Some("[removed]"));
    assert_eq!(redacted(&DUB, &authorization, "s").header("dub-signature"), Some("00"));
    assert_eq!(redacted(&CHOICE, &[("x-key", "v")], "X-Key: v").header("x-key"), Some("[verified]"));
    assert_eq!(redacted(&MAILCHIMP, &[], "s3cret").query, "secret=%5Bverified%5D&x=1");
    assert_eq!(redacted(&DUB, &[], "s").query, "secret=s3cret&x=1");
}

#[test]
fn a_line_describes_each() {
    for (signature, line) in [
        (KLAVIYO, "HMAC-SHA256 of body + timestamp, hex, in header klaviyo-signature; stale after 300 s"),
        (
            STRIPE,
            "HMAC-SHA256 of timestamp + \".\" + body, hex as `v1=`, in header stripe-signature; stale after 300 s",
        ),
        (HUBSPOT_V1, "plain SHA256 of body, hex, in header x-hubspot-signature, the secret before it"),
        (FRESHCHAT, "RSA-SHA256 over body, base64, in header x-freshchat-signature"),
        (WATSON, "JWT (HS256) in header authorization"),
        (MAILCHIMP, "shared secret in query parameter secret"),
        (
            CHOICE,
            "HTTP Basic (`user:password`); or shared secret in a header of your choice (`Name: value`); or shared secret after `Bearer` in header authorization",
        ),
        (Signature::None { why: "Drip documents no signature" }, "not signed: Drip documents no signature"),
    ] {
        assert_eq!(signature.describe(), line);
    }
}
