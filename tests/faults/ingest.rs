//! Killed while it receives: whatever was acknowledged is in the warehouse exactly once, although its senders send again whatever was
//! not acknowledged, send some of it twice at once, give up on slow answers, and wait for nobody's turn.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use headwater::sandbox::{Vendor, klaviyo::Klaviyo};
use headwater_connectors as connectors;
use headwater_core::event::{Delivery, Output, map_delivery};
use http::HeaderMap;
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::json;
use tokio::task::JoinHandle;

use crate::{
    Kind,
    house::{House, Service},
    kills,
    tables::{calls, ids},
    world::account,
};

const SENDERS: u64 = 4;

/// What the senders share.
pub struct Traffic {
    /// Where the service listens now.
    url: Mutex<String>,
    webhook: String,
    klaviyo: Klaviyo,
    seed: u64,
    stop: AtomicBool,
    /// Says that something was acknowledged which was never sent: a proxy that is broken on purpose.
    drops_one: AtomicBool,
    /// Batches that were acknowledged, and posts that were made for them.
    acknowledged: AtomicU64,
    posts: AtomicU64,
    /// Messages of the tracking API, and of webhooks, that were acknowledged.
    calls: Mutex<BTreeSet<String>>,
    events: Mutex<BTreeSet<String>>,
}

impl Traffic {
    /// The sources that it goes to.
    pub fn sources(seed: u64) -> String {
        format!(
            "[[source]]\nname = \"site\"\nconnector = \"segment\"\nwrite_key = \"wk\"\n\
             [[source]]\nname = \"mail\"\nconnector = \"klaviyo\"\nsettings = {{ secret_key = {} }}\n",
            Klaviyo::new(account(seed, 200, 0)).settings()["secret_key"]
        )
    }

    /// Traffic to this house; nothing is sent yet.
    pub fn new(house: &House, seed: u64) -> Arc<Self> {
        Arc::new(Self {
            url: Mutex::default(),
            webhook: house.webhook("mail"),
            klaviyo: Klaviyo::new(account(seed, 200, 0)),
            seed,
            stop: AtomicBool::default(),
            drops_one: AtomicBool::default(),
            acknowledged: AtomicU64::default(),
            posts: AtomicU64::default(),
            calls: Mutex::default(),
            events: Mutex::default(),
        })
    }

    /// From now on it goes there.
    pub fn to(&self, service: &Service) {
        self.url.lock().expect("an address").clone_from(&service.url);
    }

    /// Begins to send.
    pub fn begin(self: &Arc<Self>, runtime: &tokio::runtime::Runtime) -> Vec<JoinHandle<()>> {
        (0..SENDERS).map(|sender| runtime.spawn(self.clone().send(sender))).collect()
    }

    /// No further batches; what is under way is acknowledged first.
    pub fn finish(&self, runtime: &tokio::runtime::Runtime, senders: Vec<JoinHandle<()>>) {
        self.stop.store(true, Ordering::SeqCst);
        runtime.block_on(async {
            for sender in senders {
                sender.await.expect("a sender ends");
            }
        });
    }

    /// How many batches were acknowledged.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::SeqCst)
    }

    async fn send(self: Arc<Self>, sender: u64) {
        let http = reqwest::Client::builder().no_proxy().build().expect("a client");
        let mut rng = StdRng::seed_from_u64(self.seed ^ (sender << 32));
        for round in 0.. {
            if self.stop.load(Ordering::SeqCst) {
                return;
            }
            let messages: Vec<String> = (0..10).map(|n| format!("m-{sender}-{round}-{n}")).collect();
            let call = |id: &String| json!({ "type": "track", "event": "Step", "userId": "u", "messageId": id, "properties": { "round": round } });
            let batch: Vec<_> = messages.iter().map(call).collect();
            let body = json!({ "writeKey": "wk", "batch": batch }).to_string();
            if sender == 0 && round == 3 && self.drops_one.load(Ordering::SeqCst)
                || self.post(&http, &mut rng, "/v1/batch", HeaderMap::new(), body.into()).await
            {
                self.calls.lock().expect("a set").extend(messages);
            }
            for delivery in self.klaviyo.happen(jiff::Timestamp::now()) {
                let messages = messages_of(&delivery, &self.klaviyo);
                if self.post(&http, &mut rng, &self.webhook, delivery.headers, delivery.body).await {
                    self.events.lock().expect("a set").extend(messages);
                }
            }
            self.acknowledged.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Posts until it is acknowledged, as libraries and vendors do; sometimes twice at once, sometimes without patience.
    async fn post(
        &self,
        http: &reqwest::Client,
        rng: &mut StdRng,
        path: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> bool {
        let once = async |patience: u64| {
            self.posts.fetch_add(1, Ordering::SeqCst);
            let url = format!("{}{path}", self.url.lock().expect("an address"));
            let request = http.post(url).headers(headers.clone()).body(body.clone());
            match request.timeout(Duration::from_millis(patience)).send().await {
                Ok(answer) if answer.status() == 200 => true,
                Ok(answer) if answer.status() == 503 => false,
                Ok(answer) => panic!("{path}: {}", answer.status()),
                Err(_) => false,
            }
        };
        for _ in 0..4_000 {
            let patience = if rng.random_bool(0.1) { rng.random_range(1..20) } else { 10_000 };
            let done = match rng.random_bool(0.15) {
                true => {
                    let (one, other) = tokio::join!(once(patience), once(10_000));
                    one || other
                }
                false => once(patience).await,
            };
            if done {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(rng.random_range(1..30))).await;
        }
        false
    }

    /// What was acknowledged is there, once; and nothing else is. `patience` is how long nothing new may come.
    #[track_caller]
    pub fn check(&self, house: &House, patience: Duration) -> String {
        let (sent, events) = (self.calls.lock().expect("a set"), self.events.lock().expect("a set"));
        let (mut fewest, mut last) = (usize::MAX, Instant::now());
        let missing = loop {
            let there: BTreeSet<String> = ids(house, "site", "tracks").into_iter().collect();
            let made: BTreeSet<String> = calls(house, "mail").into_iter().collect();
            let missing: Vec<&String> = sent
                .iter()
                .filter(|id| !there.contains(*id))
                .chain(events.iter().filter(|id| !made.contains(*id)))
                .collect();
            if missing.len() < fewest {
                (fewest, last) = (missing.len(), Instant::now());
            }
            if missing.is_empty() || last.elapsed() > patience {
                break missing.into_iter().take(5).cloned().collect::<Vec<_>>();
            }
            std::thread::sleep(Duration::from_millis(100));
        };
        assert!(
            missing.is_empty(),
            "acknowledged and lost: {fewest} of {}: {missing:?} …",
            sent.len() + events.len()
        );
        let tracks = ids(house, "site", "tracks");
        let different: BTreeSet<&String> = tracks.iter().collect();
        assert_eq!(tracks.len(), different.len(), "there twice");
        // Nobody gave up.
        assert!(different.iter().all(|id| sent.contains(*id)), "there, and never acknowledged");
        assert_eq!(ids(house, "site", "step").len(), tracks.len(), "the event's own table has them too");
        let made = calls(house, "mail");
        assert_eq!(made.len(), made.iter().collect::<BTreeSet<_>>().len(), "there twice");
        let booked = house.books("site");
        assert_eq!(booked[&("call".to_owned(), "eligible".to_owned())], tracks.len() as i64, "{booked:?}");
        format!(
            "{} posts, {} calls and {} events acknowledged, all there once",
            self.posts.load(Ordering::SeqCst),
            sent.len(),
            events.len()
        )
    }
}

/// The message ids of the calls that a delivery becomes.
fn messages_of(delivery: &Delivery, klaviyo: &Klaviyo) -> Vec<String> {
    let events =
        connectors::find("klaviyo").and_then(|connector| connector.events).expect("it takes webhooks");
    let source = (events.open)(klaviyo.settings()).expect("its settings are good");
    let mapped = map_delivery("klaviyo", &*source, &events.webhook.surfaces[0], delivery);
    let calls = mapped.outputs.into_iter().filter_map(|(_, output)| match output {
        Output::Call(call) => Some(call.message_id.clone()),
        Output::Change(_) => None,
    });
    calls.collect()
}

/// So many kills under traffic; what a broken sender says was acknowledged is checked like the rest.
fn killed(test: &str, kind: Kind, seed: u64, kills: usize, drops_one: bool) {
    let house = kind.house(&Traffic::sources(seed));
    let traffic = Traffic::new(&house, seed);
    traffic.drops_one.store(drops_one, Ordering::SeqCst);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut service = house.serve();
    traffic.to(&service);
    let senders = traffic.begin(&runtime);
    let mut rng = StdRng::seed_from_u64(seed);
    for kill in 0..kills {
        // Some come at once: while what the last one left is being mended and read again.
        let longest = if rng.random_bool(0.3) { 15 } else { 250 };
        std::thread::sleep(Duration::from_millis(rng.random_range(0..longest)));
        assert!(service.running.kill(), "it ended by itself, after {kill} kills");
        service = house.serve();
        traffic.to(&service);
        if kill % 5 == 4 {
            house.balances();
        }
    }
    let before = traffic.acknowledged();
    crate::house::until("traffic goes on", || traffic.acknowledged() > before + 4);
    // A last gentle end, with requests under way.
    let done = service.running.stop();
    assert_eq!(done.code, Some(0), "{done:?}");
    let service = house.serve();
    traffic.to(&service);
    traffic.finish(&runtime, senders);
    let patience = Duration::from_secs(if drops_one { 2 } else { 60 });
    let said = traffic.check(&house, patience);
    house.balances();
    let done = service.running.stop();
    assert_eq!(done.code, Some(0), "{done:?}");
    house.balances();
    eprintln!("{test}: seed {seed}: {kills} kills, {said}");
}

#[test]
fn what_was_acknowledged_arrives_exactly_once() {
    let test = "ingest::what_was_acknowledged_arrives_exactly_once";
    crate::seeds(test, 900, 2, |seed| killed(test, Kind::Sqlite, seed, kills(40) / 2, false));
}

#[test]
fn what_was_acknowledged_arrives_exactly_once_in_postgres() {
    let test = "ingest::what_was_acknowledged_arrives_exactly_once_in_postgres";
    crate::seeds(test, 950, 1, |seed| killed(test, Kind::Postgres, seed, kills(16), false));
}

#[test]
#[should_panic(expected = "acknowledged and lost")]
fn a_post_that_was_dropped_would_be_noticed() {
    killed("ingest::a_post_that_was_dropped_would_be_noticed", Kind::Sqlite, 900, 2, true);
}
