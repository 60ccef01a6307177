//! Webhooks that should not be believed: a wrong key, a wrong signature, a body that is no delivery. What is refused is kept apart;
//! what is taken and cannot be mapped is kept with its reason.

use std::sync::Arc;

use headwater::sandbox::{Vendor, klaviyo::Klaviyo};
use headwater_core::event::Delivery;
use serde_json::Value;

use crate::{house::until, received::Site, vendor};

const SOURCE: &str = "[[source]]\nname = \"mail\"\nconnector = \"klaviyo\"\nwebhook_key = \"the-webhook-key\"\nsettings = { secret_key = ";

fn mail() -> (Site, Arc<Klaviyo>) {
    let klaviyo = Arc::new(Klaviyo::new(vendor::world(3, 100)));
    let secret = &klaviyo.settings()["secret_key"];
    (Site::open(&format!("{SOURCE}{secret} }}\n")), klaviyo)
}

impl Site {
    fn deliver(&self, path: &str, delivery: &Delivery) -> (u16, String) {
        let headers: Vec<(&str, &str)> =
            delivery.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        let (status, _, text) = self.post(path, &headers, delivery.body.clone());
        (status, text)
    }

    fn quarantined(&self) -> u64 {
        let folder = self.house.path("headwater-data/quarantine");
        std::fs::read_dir(folder)
            .unwrap()
            .flatten()
            .map(|entry| entry.metadata().map_or(0, |found| found.len()))
            .sum()
    }
}

#[test]
fn only_a_signed_delivery_to_the_right_address_is_taken() {
    let (site, klaviyo) = mail();
    let path = site.house.webhook("mail");
    assert_eq!(path, "/webhooks/mail/the-webhook-key");
    let delivery = klaviyo.happen(jiff::Timestamp::now()).remove(0);
    for wrong in ["/webhooks/mail/another-key", "/webhooks/mali/the-webhook-key", "/webhooks/mail"] {
        let (status, text) = site.deliver(wrong, &delivery);
        assert!(status == 404 && !text.contains("the-webhook-key"), "{wrong}: {status} {text}");
    }
    assert_eq!(site.deliver("/webhooks/site/wk", &delivery).0, 404, "a write key opens no webhook");
    let empty = site.quarantined();

    // Changed by one byte, without its signature, and with another's: refused, and kept apart.
    let mut changed = delivery.clone();
    let mut bytes = changed.body.to_vec();
    let last = bytes.len() - 2;
    bytes[last] ^= 1;
    changed.body = bytes.into();
    let mut unsigned = delivery.clone();
    unsigned.headers = http::HeaderMap::new();
    let mut stale = klaviyo.happen("2024-01-01T00:00:00Z".parse().unwrap()).remove(0);
    for (n, bad) in [&changed, &unsigned, &stale].into_iter().enumerate() {
        let (status, text) = site.deliver(&path, bad);
        assert_eq!(status, 401, "{n}: {text}");
        let answer: Value = serde_json::from_str(&text).unwrap();
        assert!(answer["message"].as_str().is_some_and(|why| !why.is_empty()), "{text}");
    }
    let kept = site.quarantined();
    assert!(kept > empty + stale.body.len() as u64, "{empty} → {kept}");
    stale.body = bytes::Bytes::new();

    let (status, text) = site.deliver(&path, &delivery);
    assert_eq!(status, 200, "{text}");
    until("the delivery is normalised", || {
        site.house.books("mail").contains_key(&("delivery".into(), "normalised".into()))
    });
    assert_eq!(
        site.house.books("mail")[&("delivery".into(), "normalised".into())],
        1,
        "nothing else reached the inbox"
    );
    assert!(!site.service.running.err().contains("the-webhook-key"));
    site.lives();
}

#[test]
fn without_a_secret_a_signed_surface_is_closed() {
    let klaviyo = Klaviyo::new(vendor::world(3, 100));
    let site = Site::open(
        "[[source]]\nname = \"mail\"\nconnector = \"klaviyo\"\nwebhook_key = \"the-webhook-key\"\n",
    );
    let delivery = klaviyo.happen(jiff::Timestamp::now()).remove(0);
    let (status, text) = site.deliver("/webhooks/mail/the-webhook-key", &delivery);
    assert_eq!(status, 401, "{text}");
    site.lives();
}

#[test]
fn only_who_knows_the_question_answers_one() {
    let other = "[[source]]\nname = \"bus\"\nconnector = \"cloudevents\"\nwebhook_key = \"k\"\n";
    let site = Site::open(&format!("{SOURCE}\"s\" }}\n{other}"));
    let asks = |path: &str| {
        let headers = [("webhook-request-origin", "bus.example.com"), ("webhook-request-rate", "120")];
        let (status, headers, _) = site.send(http::Method::OPTIONS, path, &headers, "");
        let named = |name: &str| Some(headers.get(name)?.to_str().unwrap().to_owned());
        (status, named("webhook-allowed-origin"), named("webhook-allowed-rate"))
    };
    assert_eq!(asks("/webhooks/bus/k"), (200, Some("bus.example.com".into()), Some("*".into())));
    assert_eq!(asks("/webhooks/bus/another"), (404, None, None), "not without the key");
    assert_eq!(asks("/webhooks/mail/the-webhook-key"), (405, None, None), "no question of Klaviyo's");
    assert_eq!(site.send(http::Method::OPTIONS, "/webhooks/bus/k", &[], "").0, 405, "nothing was asked");
    site.lives();
}

#[test]
fn signed_rubbish_is_kept_with_its_reason() {
    let braze = "[[source]]\nname = \"push\"\nconnector = \"braze\"\nwebhook_key = \"k2\"\nsettings = { token = \"bearer-token\" }\n";
    let site = Site::open(braze);
    let path = site.house.webhook("push");
    let arrays = [vec![b'['; 10_000], vec![b']'; 10_000]].concat();
    let member = [br#"{"events":"#.to_vec(), arrays.clone(), b"}".to_vec()].concat();
    let inside = [br#"{"events":[{"id":"1","event_type":"users.messages.email.Open","time":1,"user":{"user_id":"u"},"properties":{"x":"#.to_vec(), arrays.clone(), b"}}]}".to_vec()].concat();
    let rubbish = [
        b"{".to_vec(),
        b"nonsense".to_vec(),
        b"{\"events\":\"\xff\"}".to_vec(),
        b"{\"events\":7}".to_vec(),
        b"{\"events\":[7,null,{}]}".to_vec(),
        arrays,
        member,
        inside,
    ];
    for body in &rubbish {
        let (status, _, text) = site.post(
            &path,
            &[("authorization", "Bearer bearer-token"), ("content-type", "application/json")],
            body.clone(),
        );
        assert_eq!(status, 200, "{text}");
    }
    let normalised =
        || site.house.books("push").get(&("delivery".into(), "normalised".into())).copied().unwrap_or(0);
    until("all are normalised", || normalised() == rubbish.len() as i64);
    let fates: i64 =
        site.house.books("push").iter().filter(|((stage, _), _)| stage == "call").map(|(_, n)| n).sum();
    assert!(fates >= rubbish.len() as i64, "each left a trace: {:?}", site.house.books("push"));
    assert!(site.house.rejected().len() >= 7, "{:?}", site.house.rejected());
    let (status, _, _) = site.post(&path, &[("authorization", "Bearer wrong-token")], "{}");
    assert_eq!(status, 401);
    let (status, _, text) =
        site.post(&path, &[("authorization", "Bearer bearer-token")], vec![b' '; 9 << 20]);
    assert!(status == 413 && text.contains("larger than"), "{status} {text}");
    site.lives();
    let log = site.service.running.err();
    assert!(
        !log.contains("panicked") && !log.contains("bearer-token") && !log.contains("wrong-token"),
        "{log}"
    );
}
