//! Signatures. An input is two bytes that choose a surface (little-endian), then text: the query on a line, the headers on
//! the next ones, an empty line, the body.
//!
//! Whatever arrives is judged without a panic; nobody else's secret proves it; and what is signed and arrives as it was
//! sent is taken, but not with another body.

#![no_main]

use std::sync::OnceLock;

use bytes::Bytes;
use headwater_core::{
    auth::Secret,
    event::{Delivery, Surface},
    signature::{Part, Signature},
};
use headwater_fuzz::{App, apps, assert_one_line, seeds_folder, write_seed};
use headwater_tests::subject::now;
use http::{HeaderName, HeaderValue};
use libfuzzer_sys::fuzz_target;

/// Where one can be sent, and what proves and signs it.
struct Target {
    connector: &'static str,
    surface: &'static Surface,
    url: String,
    secrets: Vec<Secret>,
    signing: Vec<Secret>,
}

static TARGETS: OnceLock<Vec<Target>> = OnceLock::new();

fuzz_target!(
    init: {
        let apps = apps(|_| true);
        let targets: Vec<Target> = apps.iter().flat_map(targets_of).collect();
        seed(&apps, &targets);
        assert!(TARGETS.set(targets).is_ok(), "begun twice");
    },
    |input: &[u8]| {
        let (Some(targets), [low, high, sent @ ..]) = (TARGETS.get(), input) else { return };
        let target = &targets[usize::from(u16::from_le_bytes([*low, *high])) % targets.len()];
        let delivery = read(&target.url, sent);
        judge(target, &delivery);
        for scheme in schemes(&target.surface.signature) {
            for secret in &target.signing {
                sign(target, scheme, &delivery, secret);
            }
        }
    }
);

fn judge(Target { surface, secrets, .. }: &Target, delivery: &Delivery) {
    let signature = &surface.signature;
    let verify = |secrets: &[Secret]| {
        let verified = signature.verify(delivery, secrets, now());
        verified.inspect_err(|error| assert_one_line(&error.to_string())).is_ok()
    };
    verify(secrets);
    let is_open = matches!(signature, Signature::None { .. });
    assert_eq!(verify(&[]), is_open || matches!(signature, Signature::Optional { .. }), "without any secret");
    // Good as text, base64, hex and a header; nobody has it.
    let stranger = Secret::new("6f1d0c2b9a8e47535f60718293a4b5c6");
    assert_eq!(verify(&[stranger]), is_open, "with a stranger's secret");
    signature.redact(&mut delivery.clone(), secrets);
}

fn sign(Target { surface, secrets, .. }: &Target, scheme: &Signature, plain: &Delivery, secret: &Secret) {
    let mut signed = plain.clone();
    // Not every secret fits every scheme, nor does every body have room for a signature.
    if scheme.sign(&mut signed, secret, now()).is_err() {
        return;
    }
    let verified = surface.signature.verify(&signed, secrets, now());
    // Of several schemes a source has been set up for one.
    if matches!(surface.signature, Signature::Any(_) | Signature::Optional { one: Signature::Any(_), .. })
        && scheme.verify(&signed, secrets, now()).is_err()
    {
        return;
    }
    if let Err(error) = verified {
        panic!("what {} has signed is refused: {error}\n{signed:?}", scheme.describe());
    }
    if over(scheme).contains(&Part::Body) {
        let body = [&signed.body[..], b" "].concat().into();
        let changed = Delivery { body, ..signed };
        assert!(scheme.verify(&changed, secrets, now()).is_err(), "a changed body is taken");
    }
}

fn schemes(signature: &'static Signature) -> &'static [Signature] {
    match signature {
        Signature::Any(schemes) | Signature::Optional { one: Signature::Any(schemes), .. } => schemes,
        Signature::Optional { one, .. } => std::slice::from_ref(one),
        one => std::slice::from_ref(one),
    }
}

fn over(scheme: &Signature) -> &'static [Part] {
    match scheme {
        Signature::Hmac(hmac) | Signature::Digest(hmac) => hmac.over,
        Signature::Ecdsa { over, .. } | Signature::Rsa { over, .. } => over,
        _ => &[],
    }
}

fn targets_of(app: &App) -> impl Iterator<Item = Target> {
    let target = |surface| {
        let secrets = app.source.secrets(surface);
        let private = &app.subject.fixtures.config.signing_keys;
        let signing =
            if private.is_empty() { secrets.clone() } else { private.iter().map(Secret::new).collect() };
        let url = app.samples.iter().find(|(_, other)| other.path == surface.path);
        let url = url.map(|(delivery, _)| delivery.url.clone()).unwrap_or_default();
        Target { connector: app.name(), surface, url, secrets, signing }
    };
    app.webhook.surfaces.iter().map(target)
}

fn read(url: &str, sent: &[u8]) -> Delivery {
    let (head, body) = match sent.windows(2).position(|two| two == b"\n\n") {
        Some(end) => (&sent[..end], &sent[end + 2..]),
        None => (sent, &[][..]),
    };
    let mut lines = head.split(|byte| *byte == b'\n');
    let mut delivery = Delivery::fetched(now(), Bytes::copy_from_slice(body));
    delivery.url = url.to_owned();
    delivery.query = String::from_utf8_lossy(lines.next().unwrap_or_default()).into_owned();
    for line in lines {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let (name, value) =
            (HeaderName::from_bytes(&line[..colon]), HeaderValue::from_bytes(&line[colon + 1..]));
        if let (Ok(name), Ok(value)) = (name, value) {
            delivery.headers.append(name, value);
        }
    }
    delivery
}

/// Every recorded delivery, signed by the first secret that can.
fn seed(apps: &[App], targets: &[Target]) {
    let Some(folder) = seeds_folder() else { return };
    let all = apps.iter().flat_map(|app| app.named_samples().map(|sample| (app.name(), sample)));
    for (connector, (name, _, (delivery, surface))) in all {
        let is_meant = |target: &Target| target.connector == connector && target.surface.path == surface.path;
        let place =
            targets.iter().position(is_meant).expect("the surface that a recorded delivery arrives at");
        let mut delivery = delivery.clone();
        for secret in &targets[place].signing {
            if surface.signature.sign(&mut delivery, secret, now()).is_ok() {
                break;
            }
        }
        let mut head = delivery.query.clone().into_bytes();
        for (name, value) in &delivery.headers {
            head.extend([b"\n", name.as_str().as_bytes(), b":", value.as_bytes()].concat());
        }
        let place = u16::try_from(place).expect("two bytes choose among all surfaces");
        write_seed(&folder, &name, &[&place.to_le_bytes(), &head, b"\n\n", &delivery.body]);
    }
}
