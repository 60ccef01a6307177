//! A delivery as it is kept: what came, where, and how it was proven, with the body as raw bytes behind it.
//!
//! Version 1, after a version byte and a kind byte: the time (seconds as eight bytes, nanoseconds as four,
//! little-endian), then texts and lists. A number is LEB128, a text or a run of bytes is its length and itself, a list
//! is its count and its members. The body comes last.

use bytes::{Buf, Bytes};
use headwater_core::{
    error::{Error, Result},
    event::Delivery,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use jiff::Timestamp;

use super::Entry;

const VERSION: u8 = 1;
/// Where the time stands.
const TIME: std::ops::Range<usize> = 2..14;

/// A delivery, and what we know of it.
#[derive(Clone, Debug)]
pub struct StoredDelivery {
    /// The source that it came to.
    pub source: String,
    /// The source's connector, where it has one.
    pub connector: Option<String>,
    /// The surface's path.
    pub surface: String,
    /// The way it came.
    pub kind: DeliveryKind,
    /// What came.
    pub delivery: Delivery,
    /// How it was proven, in a word: the method, never the secret.
    pub verified: String,
}

/// The way that a delivery came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeliveryKind {
    /// A vendor posted it.
    Webhook,
    /// A library sent it to the tracking API.
    Tracking,
    /// A pixel was asked for.
    Pixel,
    /// We fetched it.
    Pull,
    /// No delivery: where the fetching goes on, as JSON, behind what it has fetched.
    Cursor,
}

impl DeliveryKind {
    const ALL: [Self; 5] = [Self::Webhook, Self::Tracking, Self::Pixel, Self::Pull, Self::Cursor];

    /// Its name, as the index and the console show it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::Tracking => "tracking",
            Self::Pixel => "pixel",
            Self::Pull => "pull",
            Self::Cursor => "cursor",
        }
    }

    fn code(self) -> u8 {
        match self {
            Self::Webhook => 1,
            Self::Tracking => 2,
            Self::Pixel => 3,
            Self::Pull => 4,
            Self::Cursor => 5,
        }
    }
}

/// A frame of a delivery that has not got its time of receipt yet.
pub struct Draft {
    head: Vec<u8>,
    body: Bytes,
}

impl Draft {
    /// The frame of a delivery that was received then.
    pub fn received(mut self, at: Timestamp) -> Entry {
        self.head[TIME].copy_from_slice(&time(at));
        Entry { head: self.head.into(), body: self.body, ..Entry::default() }
    }
}

impl StoredDelivery {
    /// As the body of a frame.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = self.head();
        out.extend_from_slice(&self.delivery.body);
        out
    }

    /// As a frame that lacks its time of receipt: what takes long is done before the delivery's turn in the inbox comes.
    pub fn draft(&self) -> Draft {
        Draft { head: self.head(), body: self.delivery.body.clone() }
    }

    /// All that stands before the body.
    fn head(&self) -> Vec<u8> {
        let Delivery { received_at, method, path_tail, query, headers, body, url, lookups } = &self.delivery;
        let texts = self.source.len()
            + self.surface.len()
            + self.verified.len()
            + path_tail.len()
            + query.len()
            + url.len();
        let mut out = Vec::with_capacity(96 + texts + headers.len() * 48);
        out.push(VERSION);
        out.push(self.kind.code());
        out.extend_from_slice(&time(*received_at));
        run(&mut out, self.source.as_bytes());
        number(&mut out, u64::from(self.connector.is_some()));
        if let Some(connector) = &self.connector {
            run(&mut out, connector.as_bytes());
        }
        for text in [&self.surface, &self.verified, path_tail, query, url] {
            run(&mut out, text.as_bytes());
        }
        run(&mut out, method.as_str().as_bytes());
        number(&mut out, headers.len() as u64);
        for (name, value) in headers {
            run(&mut out, name.as_str().as_bytes());
            run(&mut out, value.as_bytes());
        }
        number(&mut out, lookups.len() as u64);
        for (item, answer) in lookups {
            number(&mut out, u64::from(*item));
            run(&mut out, answer);
        }
        number(&mut out, body.len() as u64);
        out
    }

    /// Reads the body of a frame. The delivery's body and its look-ups are slices of it.
    pub fn decode(bytes: &Bytes) -> Result<Self> {
        let mut rest = bytes.clone();
        let version = rest.try_get_u8().map_err(short)?;
        if version != VERSION {
            return Err(broken(&format!("it is of version {version}, which a newer headwater wrote")));
        }
        let code = rest.try_get_u8().map_err(short)?;
        let kind = DeliveryKind::ALL.into_iter().find(|kind| kind.code() == code);
        let kind = kind.ok_or_else(|| broken(&format!("{code} is no kind")))?;
        let second = rest.try_get_i64_le().map_err(short)?;
        let nanosecond = rest.try_get_i32_le().map_err(short)?;
        let received_at = Timestamp::new(second, nanosecond).map_err(|_| broken("its time is none"))?;
        let source = take_text(&mut rest)?;
        let connector = match take_number(&mut rest)? {
            0 => None,
            1 => Some(take_text(&mut rest)?),
            _ => return Err(broken("its connector is neither there nor missing")),
        };
        let surface = take_text(&mut rest)?;
        let verified = take_text(&mut rest)?;
        let path_tail = take_text(&mut rest)?;
        let query = take_text(&mut rest)?;
        let url = take_text(&mut rest)?;
        let method = Method::from_bytes(&take_run(&mut rest)?).map_err(|_| broken("its method is none"))?;
        let headers = take_headers(&mut rest)?;
        let lookups = take_lookups(&mut rest)?;
        let body = take_run(&mut rest)?;
        if !rest.is_empty() {
            return Err(broken("something follows its body"));
        }
        let delivery = Delivery { received_at, method, path_tail, query, headers, body, url, lookups };
        Ok(Self { source, connector, surface, kind, delivery, verified })
    }
}

fn take_headers(rest: &mut Bytes) -> Result<HeaderMap> {
    let count = take_number(rest)?;
    let mut headers = HeaderMap::new();
    for _ in 0..count {
        let name = HeaderName::from_bytes(&take_run(rest)?).map_err(|_| broken("a header's name is none"))?;
        let value = HeaderValue::from_maybe_shared(take_run(rest)?)
            .map_err(|_| broken("a header's value is none"))?;
        headers.try_append(name, value).map_err(|_| broken("it has too many headers"))?;
    }
    Ok(headers)
}

fn take_lookups(rest: &mut Bytes) -> Result<Vec<(u32, Bytes)>> {
    let count = take_number(rest)?;
    let mut lookups = Vec::new();
    for _ in 0..count {
        let item = u32::try_from(take_number(rest)?).map_err(|_| broken("a look-up is of no item"))?;
        lookups.push((item, take_run(rest)?));
    }
    Ok(lookups)
}

fn time(time: Timestamp) -> [u8; 12] {
    let mut out = [0; 12];
    out[..8].copy_from_slice(&time.as_second().to_le_bytes());
    out[8..].copy_from_slice(&time.subsec_nanosecond().to_le_bytes());
    out
}

fn number(out: &mut Vec<u8>, mut value: u64) {
    while value > 0x7f {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn take_number(rest: &mut Bytes) -> Result<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = rest.try_get_u8().map_err(short)?;
        let bits = u64::from(byte & 0x7f);
        if shift == 63 && bits > 1 {
            break;
        }
        value |= bits << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(broken("a number is too large"))
}

fn run(out: &mut Vec<u8>, bytes: &[u8]) {
    number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn take_run(rest: &mut Bytes) -> Result<Bytes> {
    let length = take_number(rest)?;
    match usize::try_from(length) {
        Ok(length) if length <= rest.len() => Ok(rest.split_to(length)),
        _ => Err(broken("it ends too early")),
    }
}

fn take_text(rest: &mut Bytes) -> Result<String> {
    String::from_utf8(take_run(rest)?.into()).map_err(|_| broken("a text is not UTF-8"))
}

fn short(_: bytes::TryGetError) -> Error {
    broken("it ends too early")
}

fn broken(why: &str) -> Error {
    Error::unexpected(format!("a stored delivery cannot be read: {why}"))
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng, rngs::StdRng};

    use super::*;

    fn sample(kind: DeliveryKind) -> StoredDelivery {
        let mut headers = HeaderMap::new();
        headers.append("content-type", HeaderValue::from_static("application/json"));
        headers.append("x-many", HeaderValue::from_static("one"));
        headers.append("x-many", HeaderValue::from_static("two"));
        headers.append("x-latin", HeaderValue::from_bytes(b"caf\xe9").unwrap());
        StoredDelivery {
            source: "stripe_prod".into(),
            connector: Some("stripe".into()),
            surface: "events".into(),
            kind,
            delivery: Delivery {
                received_at: "2024-05-06T12:00:00.123456789Z".parse().unwrap(),
                method: Method::POST,
                path_tail: "a/b".into(),
                query: "x=1&y=%20".into(),
                headers,
                body: Bytes::from_static(b"{\"a\":\"\x00\xff\"}"),
                url: "https://hooks.example.com/webhooks/stripe_prod/key/events".into(),
                lookups: vec![(0, Bytes::from_static(b"{}")), (300, Bytes::new())],
            },
            verified: "hmac-sha256".into(),
        }
    }

    fn assert_same(one: &StoredDelivery, other: &StoredDelivery) {
        assert_eq!(format!("{one:?}"), format!("{other:?}"));
    }

    #[test]
    fn a_delivery_comes_back_as_it_was() {
        for kind in DeliveryKind::ALL {
            let stored = sample(kind);
            assert_same(&StoredDelivery::decode(&stored.encode().into()).unwrap(), &stored);
            let entry = stored.draft().received(Timestamp::UNIX_EPOCH);
            let both = [&entry.head[..], &entry.body].concat();
            let mut later = StoredDelivery::decode(&both.into()).unwrap();
            assert_eq!(later.delivery.received_at, Timestamp::UNIX_EPOCH);
            later.delivery.received_at = stored.delivery.received_at;
            assert_same(&later, &stored);
        }
        let mut bare = sample(DeliveryKind::Pixel);
        bare.connector = None;
        bare.delivery.headers.clear();
        bare.delivery.lookups.clear();
        bare.delivery.body = Bytes::new();
        bare.delivery.received_at = "1969-12-31T23:59:59.5Z".parse().unwrap();
        assert_same(&StoredDelivery::decode(&bare.encode().into()).unwrap(), &bare);
    }

    #[test]
    fn the_body_is_not_copied() {
        let bytes = Bytes::from(sample(DeliveryKind::Webhook).encode());
        let body = StoredDelivery::decode(&bytes).unwrap().delivery.body;
        assert!(bytes.as_ptr_range().contains(&body.as_ptr()));
        assert!(bytes.ends_with(&body), "the body is raw, and last");
    }

    #[test]
    fn what_is_cut_or_longer_is_refused() {
        let whole = sample(DeliveryKind::Tracking).encode();
        for length in 0..whole.len() {
            assert!(StoredDelivery::decode(&Bytes::copy_from_slice(&whole[..length])).is_err(), "{length}");
        }
        let longer: Vec<u8> = whole.iter().copied().chain([0]).collect();
        assert!(StoredDelivery::decode(&longer.into()).is_err());
    }

    #[test]
    fn rubbish_never_panics_and_what_is_read_can_be_written() {
        let mut rng = StdRng::seed_from_u64(7);
        let whole = sample(DeliveryKind::Webhook).encode();
        let mut read = 0;
        for round in 0..50_000 {
            let mut bytes = if round % 2 == 0 {
                let mut bytes = vec![0; rng.random_range(0..300)];
                rng.fill(&mut bytes[..]);
                bytes.splice(0..0, [VERSION, 1 + (round % 4) as u8]);
                bytes
            } else {
                whole.clone()
            };
            for _ in 0..rng.random_range(1..4) {
                let at = rng.random_range(0..bytes.len());
                match rng.random_range(0..4) {
                    0 => bytes[at] = rng.random(),
                    1 => bytes[at] ^= 1 << rng.random_range(0..8),
                    2 => bytes.insert(at, [0x00, 0x7f, 0x80, 0xff][rng.random_range(0..4)]),
                    _ => drop(bytes.drain(at..(at + 5).min(bytes.len() - 1).max(at))),
                }
            }
            if let Ok(stored) = StoredDelivery::decode(&bytes.into()) {
                read += 1;
                assert_same(&StoredDelivery::decode(&stored.encode().into()).unwrap(), &stored);
            }
        }
        assert!(read > 1000, "mutations that change only texts are still deliveries: {read}");
    }

    #[test]
    fn counts_that_promise_too_much_cost_nothing() {
        let mut bytes = sample(DeliveryKind::Webhook).encode();
        bytes.truncate(14);
        bytes.extend([0; 7]);
        run(&mut bytes, b"POST");
        number(&mut bytes, u64::MAX);
        assert!(StoredDelivery::decode(&bytes.into()).is_err());
    }
}
