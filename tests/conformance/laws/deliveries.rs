//! Deliveries: who may send one, and what it becomes.

use headwater_core::{
    auth::Secret,
    event::{Delivery, Mapped, Output, map_delivery},
    object::Op,
    signature::{Hmac, Part, Place, Signature, Stamp},
    spec::{Call, CallKind},
};
use http::HeaderValue;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{Verdict, verdict};
use crate::{
    fixture::Sample,
    subject::{Subject, now},
};

/// A delivery signed with any of the source's secrets is taken; one that is unsigned, stale, changed by one byte, or signed
/// with another secret is not; without a secret the surface is closed, unless it says that it is open then.
pub fn proof(subject: &Subject, sample: &Sample) -> Verdict {
    let (plain, surface) = subject.delivery(sample)?;
    let (signature, is_open) = match surface.signature {
        Signature::None { .. } | Signature::Pulled => return Ok(()),
        // Until there is a secret.
        Signature::Optional { one, .. } => (*one, true),
        one => (one, false),
    };
    let secrets = subject.receiver()?.secrets(surface);
    let private = &subject.fixtures.config.signing_keys;
    let signing: Vec<Secret> = match private.is_empty() {
        true => secrets.clone(),
        false => private.iter().map(Secret::new).collect(),
    };
    if signing.is_empty() {
        return Err("config.json has no secret for this surface".into());
    }
    let mut wrong = Vec::new();
    let mut expect = |what: &str, taken: bool, delivery: &Delivery, secrets: &[Secret], time: Timestamp| {
        let verified = surface.signature.verify(delivery, secrets, time);
        match (verified, taken) {
            (Ok(()), false) => wrong.push(format!("{what} is taken")),
            (Err(error), true) => wrong.push(format!("{what} is refused: {error}")),
            _ => {}
        }
    };
    expect("one that is not signed", false, &plain, &secrets, now());
    let schemes: Vec<Signature> = match signature {
        Signature::Any(schemes) => schemes.to_vec(),
        one => vec![one],
    };
    let mut fits = 0;
    for scheme in schemes {
        for (place, secret) in signing.iter().enumerate() {
            let mut delivery = plain.clone();
            if scheme.sign(&mut delivery, secret, now()).is_err() {
                continue;
            }
            // Of several schemes a source has been set up for one.
            if scheme.verify(&delivery, &secrets, now()).is_err() && matches!(signature, Signature::Any(_)) {
                continue;
            }
            fits += 1;
            expect(&format!("one signed with secret {place}"), true, &delivery, &secrets, now());
            expect("one without a secret to prove it", is_open, &delivery, &[], now());
            if let Some(stamp) = stamp(&scheme) {
                let late = SignedDuration::try_from(stamp.tolerance).unwrap_or_default()
                    + SignedDuration::from_secs(2);
                expect("a stale one", false, &delivery, &secrets, now() + late);
                expect("one from the future", false, &delivery, &secrets, now() - late);
            }
            if let Some(delivery) = restamped(&scheme, &plain, secret) {
                expect("a stale one with the time of another", false, &delivery, &secrets, now());
            }
            for (what, changed) in changed(&scheme, &delivery) {
                expect(&what, false, &changed, &secrets, now());
            }
            if private.is_empty() {
                let mut other = plain.clone();
                let stranger = Secret::new(another(secret.expose()));
                if scheme.sign(&mut other, &stranger, now()).is_ok() {
                    expect("one signed with another secret", false, &other, &secrets, now());
                }
                // While a secret is being rotated, both are good.
                let both = [stranger.clone(), secret.clone()];
                for (one, name) in both.iter().zip(["newer", "older"]) {
                    let mut delivery = plain.clone();
                    if scheme.sign(&mut delivery, one, now()).is_ok() {
                        expect(
                            &format!("one signed with the {name} of two secrets"),
                            true,
                            &delivery,
                            &both,
                            now(),
                        );
                    }
                }
            }
        }
    }
    if fits == 0 {
        wrong.push("no secret of config.json signs a delivery that is taken".into());
    }
    verdict(wrong)
}

fn stamp(signature: &Signature) -> Option<Stamp> {
    match signature {
        Signature::Hmac(Hmac { stamp, .. })
        | Signature::Digest(Hmac { stamp, .. })
        | Signature::Ecdsa { stamp, .. } => *stamp,
        _ => None,
    }
}

/// A delivery signed a day ago, with the time of one that was signed just now, where a header of its own tells it.
fn restamped(signature: &Signature, plain: &Delivery, secret: &Secret) -> Option<Delivery> {
    let Some(Stamp { at: Some(Place::Header(names)), .. }) = stamp(signature) else { return None };
    let (mut old, mut new) = (plain.clone(), plain.clone());
    signature.sign(&mut old, secret, now() - SignedDuration::from_hours(24)).ok()?;
    signature.sign(&mut new, secret, now()).ok()?;
    for name in names {
        if let Some(time) = new.headers.get(*name) {
            old.headers.insert(*name, time.clone());
        }
    }
    Some(old)
}

/// The delivery with one byte of what is signed changed, here and there; the whole body where nothing of it is signed, for
/// such a signature proves nothing.
fn changed(signature: &Signature, delivery: &Delivery) -> Vec<(String, Delivery)> {
    let over = match signature {
        Signature::Hmac(hmac) | Signature::Digest(hmac) => hmac.over,
        Signature::Ecdsa { over, .. } | Signature::Rsa { over, .. } => over,
        // The secret itself: it covers nothing else.
        _ => return Vec::new(),
    };
    if over.iter().any(|part| matches!(part, Part::Query | Part::Url | Part::UrlUnescaped))
        && delivery.body.is_empty()
    {
        let query = format!("{}&changed=1", delivery.query);
        return vec![("one whose query was changed".into(), Delivery { query, ..delivery.clone() })];
    }
    // One vendor signs nothing but a header, and says so.
    if let [Part::Nonce(name)] = over {
        let mut other = delivery.clone();
        other.headers.insert(*name, HeaderValue::from_static("another"));
        return vec![(format!("one whose {name} was changed"), other)];
    }
    // Signed fields of the body are all that some vendors give.
    if over.iter().any(|part| matches!(part, Part::FormField(_))) {
        return Vec::new();
    }
    // White space may not count.
    let places: Vec<usize> =
        (0..delivery.body.len()).filter(|at| delivery.body[*at].is_ascii_alphanumeric()).collect();
    let at = |share: usize| places.get(share * places.len().saturating_sub(1) / 4).copied();
    (0..=4)
        .filter_map(at)
        .map(|at| {
            let mut body = delivery.body.to_vec();
            body[at] ^= 1;
            (format!("one changed at byte {at}"), Delivery { body: body.into(), ..delivery.clone() })
        })
        .collect()
}

/// A secret like this one, of the same alphabet, and another.
fn another(secret: &str) -> String {
    let turn = |c: char| match c {
        '0'..='8' | 'a'..='e' | 'A'..='E' | 'g'..='y' | 'G'..='Y' => {
            char::from_u32(c as u32 + 1).unwrap_or(c)
        }
        '9' => '0',
        'f' => 'a',
        'F' => 'A',
        'z' => 'g',
        'Z' => 'G',
        other => other,
    };
    let from = secret.len() / 2;
    secret.char_indices().map(|(at, c)| if at >= from { turn(c) } else { c }).collect()
}

/// What the delivery becomes is what stands beside it, nothing in it is rejected, and every call has what the Spec wants:
/// a message id that begins with the connector's name, somebody whom it is about, a time, and a name where there is one.
pub fn mapping(subject: &Subject, sample: &Sample) -> Verdict {
    let mapped = map(subject, sample)?;
    let found = written(&mapped);
    let mut wrong = Vec::new();
    match &sample.calls {
        // For the author to read through, and to keep.
        None if std::env::var_os("HEADWATER_BLESS").is_some_and(|value| value == "1") => {
            let path = subject.folder().join(format!("{}.calls.json", sample.name));
            let text = serde_json::to_string_pretty(&found).map_err(|error| error.to_string())?;
            std::fs::write(&path, text + "\n").map_err(|error| format!("{}: {error}", path.display()))?;
        }
        None => {
            wrong.push(format!(
                "{}.calls.json is missing (HEADWATER_BLESS=1 writes it); it becomes {found:#}",
                sample.name
            ));
        }
        Some(expected) if *expected == found => {}
        Some(expected) => wrong.push(first_difference(expected, &found)),
    }
    let prefix = format!("{}:", subject.connector.name);
    for (_, output) in &mapped.outputs {
        match output {
            Output::Call(call) => wrong.extend(lacks(call, &prefix)),
            Output::Change(change) => {
                if !subject.declared().iter().any(|collection| collection.name == change.collection) {
                    wrong.push(format!("it changes {}, which is no collection", change.collection));
                }
            }
        }
    }
    verdict(wrong)
}

fn lacks(call: &Call, prefix: &str) -> Option<String> {
    let id = &call.message_id;
    let has_id = id.len() > prefix.len() && id.starts_with(prefix) && id.chars().count() <= 100;
    let is_somebody = |id: &Option<String>| id.as_ref().is_some_and(|id| !id.trim().is_empty());
    let has_who = is_somebody(&call.user_id) || is_somebody(&call.anonymous_id);
    let is_named =
        |name: &Option<String>| name.as_ref().is_some_and(|name| !name.is_empty() && name.trim() == name);
    let has_name = match call.kind {
        CallKind::Track => is_named(&call.name),
        CallKind::Group => is_somebody(&call.group_id),
        CallKind::Alias => is_somebody(&call.previous_id),
        _ => true,
    };
    let has_time = call.timestamp.or(call.received_at).is_some_and(|time| time.as_second() > 0);
    let checks = [(has_id, "a message id"), (has_who, "anybody"), (has_name, "a name"), (has_time, "a time")];
    let missing: Vec<&str> = checks.iter().filter(|(has, _)| !has).map(|(_, what)| *what).collect();
    (!missing.is_empty()).then(|| format!("a call has not {}: {}", missing.join(", not "), call.to_json()))
}

/// The same delivery becomes the same calls each time, whenever it is mapped and by whichever process.
pub fn twice(subject: &Subject, sample: &Sample) -> Verdict {
    let first = written(&map(subject, sample)?);
    std::thread::sleep(std::time::Duration::from_millis(2));
    let second = written(&map(subject, sample)?);
    match first == second {
        true => Ok(()),
        false => Err(first_difference(&first, &second)),
    }
}

pub fn map(subject: &Subject, sample: &Sample) -> Result<Mapped, String> {
    let source = subject.receiver()?;
    let (delivery, surface) = subject.delivery(sample)?;
    Ok(map_delivery(subject.connector.name, &*source, surface, &delivery))
}

/// What a delivery becomes, as `.calls.json` has it: calls, changes, and what was rejected.
pub fn written(mapped: &Mapped) -> Value {
    let outputs = mapped.outputs.iter().map(|(_, output)| match output {
        Output::Call(call) => serde_json::from_str(&call.to_json()).unwrap_or_default(),
        Output::Change(change) => {
            let record: Value = serde_json::from_slice(change.record.bytes()).unwrap_or_default();
            let op = match change.op {
                Op::Upsert => "upsert",
                Op::Patch => "patch",
                Op::Delete => "delete",
                Op::Touch => "touch",
            };
            let mut members = json!({ "collection": change.collection, "op": op, "record": record });
            if let Some(version) = change.version {
                members["version"] = version.0.into();
            }
            json!({ "change": members })
        }
    });
    let rejected = mapped.rejected.iter().map(
        |rejected| json!({ "rejected": { "index": rejected.index, "error": rejected.error.message() } }),
    );
    outputs.chain(rejected).collect()
}

/// Where two values first differ.
fn first_difference(expected: &Value, found: &Value) -> String {
    fn go(at: &str, expected: &Value, found: &Value, out: &mut Vec<String>) {
        match (expected, found) {
            (Value::Object(one), Value::Object(other)) => {
                for (name, value) in one {
                    match other.get(name) {
                        Some(found) => go(&format!("{at}.{name}"), value, found, out),
                        None => out.push(format!("{at}.{name} is missing ({value})")),
                    }
                }
                let extra = other.iter().filter(|(name, _)| !one.contains_key(*name));
                out.extend(extra.map(|(name, value)| format!("{at}.{name} is too much ({value})")));
            }
            (Value::Array(one), Value::Array(other)) => {
                if one.len() != other.len() {
                    out.push(format!("{at} has {} items instead of {}", other.len(), one.len()));
                }
                for (place, (one, other)) in one.iter().zip(other).enumerate() {
                    go(&format!("{at}[{place}]"), one, other, out);
                }
            }
            (one, other) if one == other => {}
            (one, other) => out.push(format!("{at} is {other} instead of {one}")),
        }
    }
    let mut out = Vec::new();
    go("", expected, found, &mut out);
    let short = |line: String| line.chars().take(300).collect::<String>();
    out.into_iter().take(12).map(short).collect::<Vec<_>>().join("\n")
}
