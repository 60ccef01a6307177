//! Deliveries that hold only ids: they wait in the books while their vendor is asked, hold back no other source, and what was answered
//! is never asked again. And deliveries for several accounts: each item goes to the source that has its account.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use headwater::{
    inbox::DeliveryKind,
    pipeline::{
        Filter, Source, Sources,
        enquirer::{Enquirer, Vendors},
        replay::{Plan, Replay, Summary},
    },
};
use headwater_core::{
    auth::Secret,
    connector::Connector,
    error::{Error, Kind, Result},
    event::{EventSource, Item, Items, Output, Surface, Webhook},
    object::Request,
    signature::Signature,
    spec::Call,
};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};

use crate::pipeline::House;

static WEBHOOK: Webhook = Webhook {
    surfaces: &[Surface {
        path: "",
        signature: Signature::None { why: "a test" },
        items: Items::Json("items"),
    }],
    calls: &[],
};

/// A source whose items ask for what `ask` names, and belong to whatever `account` says.
#[derive(Deserialize, JsonSchema)]
struct Leads {
    own: Option<String>,
}

impl EventSource for Leads {
    fn secrets(&self, _: &Surface) -> Vec<Secret> {
        Vec::new()
    }

    fn account(&self, item: &Item<'_>) -> Option<String> {
        item.record.text("account").ok()?
    }

    fn own_account(&self) -> Option<String> {
        self.own.clone()
    }

    fn lookups(&self, item: &Item<'_>) -> Vec<Request> {
        let asks: Vec<String> = item.record.find("ask").ok().flatten().unwrap_or_default();
        asks.into_iter().map(Request::get).collect()
    }

    fn map(&self, item: &Item<'_>) -> Result<Vec<Output>> {
        let mut properties = item.fields()?;
        for place in 0..2 {
            let name = item.lookups.get(place).map(|answer| answer.text("name")).transpose()?.flatten();
            properties.set_text(&format!("answer_{place}"), Some(name.as_deref().unwrap_or("-")));
        }
        let call = Call::track("Lead").id(item.record.text("id")?).user(Some("u"));
        Ok(vec![call.properties(properties).into()])
    }
}

fn connector() -> &'static Connector {
    static CONNECTOR: std::sync::OnceLock<&'static Connector> = std::sync::OnceLock::new();
    CONNECTOR.get_or_init(|| {
        let connector = Connector::new("leads", "Leads", "ads", "https://leads.example.com/docs");
        Box::leak(Box::new(connector.settings::<Leads>().events::<Leads>(&WEBHOOK)))
    })
}

/// Sources of that connector: name, and the account that each is for.
fn sources(all: &[(&str, Option<&str>)]) -> Sources {
    let source = |(name, own): &(&str, Option<&str>)| {
        let events = connector().events.map(|events| (events.open)(json!({ "own": own })).expect("settings"));
        let source = Source {
            name: (*name).to_owned(),
            connector: connector(),
            events,
            calls_schema: (*name).to_owned(),
            filter: Filter::default(),
        };
        ((*name).to_owned(), Arc::new(source))
    };
    all.iter().map(source).collect()
}

/// A vendor that answers what it is told to, and remembers what it was asked.
#[derive(Default)]
struct Graph {
    answers: Mutex<HashMap<String, Result<Bytes>>>,
    asked: Mutex<Vec<String>>,
}

impl Graph {
    fn says(&self, path: &str, answer: Result<&'static str>) {
        self.answers.lock().unwrap().insert(path.to_owned(), answer.map(Bytes::from));
    }

    fn asked(&self) -> Vec<String> {
        let mut asked = self.asked.lock().unwrap().clone();
        asked.sort();
        asked
    }
}

#[async_trait]
impl Vendors for Graph {
    async fn ask(&self, source: &str, request: Request) -> Result<Bytes> {
        self.asked.lock().unwrap().push(format!("{source} {}", request.path));
        let known = self.answers.lock().unwrap().get(&request.path).cloned();
        known.unwrap_or_else(|| Err(Error::transient("it is away")))
    }
}

async fn put(house: &House, source: &str, items: Value) {
    let received = Timestamp::now().to_string();
    house.put(source, DeliveryKind::Webhook, "", &received, &json!({ "items": items })).await;
}

/// Everything at work until `done`; the books balance all the while.
async fn work(house: &House, graph: &Arc<Graph>, sources: Sources, mut done: impl AsyncFnMut() -> bool) {
    let normaliser = Arc::new(house.normaliser(sources).await);
    let (stop, stopping) = watch::channel(false);
    let loader = house.loader(mpsc::unbounded_channel().0);
    let enquirer = Enquirer {
        inbox: house.inbox.clone(),
        books: house.books.clone(),
        normaliser: normaliser.clone(),
        vendors: graph.clone(),
    };
    let eligible = normaliser.eligible();
    let tasks = [
        tokio::spawn(loader.run(eligible, stopping.clone())),
        tokio::spawn(Arc::new(enquirer).run(stopping.clone())),
        tokio::spawn(async move { normaliser.run(stopping).await }),
    ];
    let mut is_done = false;
    for _ in 0..1000 {
        house.balance().await;
        let normalised = house.books.position("inbox").await.unwrap() > house.inbox.committed();
        // What it looks at may have become calls only now.
        let may_end = normalised && done().await;
        let loaded = house.position("loaded").await >= house.position("calls").await;
        if may_end && loaded {
            is_done = true;
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    stop.send_replace(true);
    for task in tasks {
        task.await.expect("an end");
    }
    assert!(is_done, "it did not come to its end: {:#?}", house.counts().await);
    house.balance().await;
}

async fn none_waits(house: &House) -> bool {
    house.books.waiting().await.expect("books").is_empty()
}

fn leads(house: &House, schema: &str) -> Vec<String> {
    if house.rows(schema, "SELECT name FROM sqlite_master WHERE name = 'lead'").is_empty() {
        return Vec::new();
    }
    house.rows(schema, "SELECT id || ' ' || answer_0 || ' ' || answer_1 FROM lead ORDER BY id")
}

async fn replayed(house: &House, sources: Sources, source: &str) -> Summary {
    let plan = Plan {
        source: source.to_owned(),
        since: Timestamp::UNIX_EPOCH,
        until: Timestamp::now(),
        conditions: Vec::new(),
        destinations: false,
        dry_run: false,
        diff: false,
        args: "a test".to_owned(),
        restart: false,
    };
    let normaliser = Arc::new(house.normaliser(sources).await);
    let (stop, stopping) = watch::channel(false);
    let loader = house.loader(mpsc::unbounded_channel().0);
    let eligible = normaliser.eligible();
    let loading = tokio::spawn(loader.run(eligible, stopping.clone()));
    let (told, mut hear) = mpsc::channel(16);
    let replay = Replay {
        inbox: &house.inbox,
        books: &house.books,
        normaliser: &normaliser,
        warehouse: &*house.warehouse,
        loads: true,
        stop: stopping,
    };
    let drained = async { while hear.recv().await.is_some() {} };
    let run = async {
        let done = replay.run(&plan, &told).await.expect("a replay");
        drop(told);
        done
    };
    let (summary, ()) = tokio::join!(run, drained);
    stop.send_replace(true);
    loading.await.expect("an end");
    house.balance().await;
    summary
}

async fn open() -> (tempfile::TempDir, House, Arc<Graph>) {
    let folder = tempfile::tempdir().expect("a folder");
    let house = House::open(folder.path()).await;
    (folder, house, Arc::default())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vendor_that_is_away_holds_back_nobody_else_and_is_asked_once() {
    let (folder, house, graph) = open().await;
    let all = || sources(&[("near", None), ("far", None)]);
    graph.says("/here", Ok(r#"{"name":"Ada"}"#));
    put(&house, "far", json!([{ "id": "1", "ask": ["/here", "/there"] }, { "id": "2" }])).await;
    put(&house, "near", json!([{ "id": "3", "ask": ["/here"] }])).await;
    put(&house, "far", json!([{ "id": "4" }])).await;
    work(&house, &graph, all(), async || !leads(&house, "near").is_empty() && graph.asked().len() >= 3).await;
    assert_eq!(leads(&house, "near"), ["leads:3 Ada -"]);
    assert_eq!(leads(&house, "far"), ["leads:4 - -"], "a whole delivery waits, and no other");
    let line = house.try_balance().await.lines.into_iter().find(|line| line.of == "deliveries").unwrap();
    assert_eq!((line.total, line.parts["normalised"], line.parts["in flight"]), (3, 2, 1));
    // A restart, and the vendor is back: what had been answered is not asked again.
    house.close().await;
    let house = House::open(folder.path()).await;
    let before = graph.asked().iter().filter(|asked| *asked == "far /here").count();
    graph.says("/there", Ok(r#"{"name":"Hiro"}"#));
    work(&house, &graph, all(), async || none_waits(&house).await).await;
    assert_eq!(leads(&house, "far"), ["leads:1 Ada Hiro", "leads:2 - -", "leads:4 - -"]);
    let asked = graph.asked();
    assert_eq!(asked.iter().filter(|asked| *asked == "far /here").count(), before, "{asked:?}");
    assert_eq!(before, 1);
    // A replay asks nobody, and changes nothing.
    let summary = replayed(&house, all(), "far").await;
    assert_eq!(graph.asked(), asked);
    assert_eq!(summary.calls, BTreeMap::from([("made again".to_owned(), 3), ("removed".to_owned(), 0)]));
    assert_eq!(leads(&house, "far"), ["leads:1 Ada Hiro", "leads:2 - -", "leads:4 - -"]);
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_an_empty_answer_and_what_cannot_be_read_a_rejected_item() {
    let (_folder, house, graph) = open().await;
    let all = || sources(&[("far", None)]);
    graph.says("/gone", Err(Error::unexpected("404 Not Found").with_status(404)));
    graph.says("/closed", Err(Error::new(Kind::Forbidden, "403").with_status(403)));
    graph.says("/odd", Err(Error::unexpected("400 Bad Request").with_status(400)));
    graph.says("/list", Ok("[]"));
    put(&house, "far", json!([{ "id": "1", "ask": ["/gone", "/closed"] }, { "id": "2", "ask": ["/odd"] }, { "id": "3", "ask": ["/list"] }]))
        .await;
    work(&house, &graph, all(), async || none_waits(&house).await).await;
    assert_eq!(leads(&house, "far"), ["leads:1 - -"]);
    let rejected = house.books.rejected(10).await.expect("books");
    let reasons: Vec<(u32, &str)> = rejected.iter().map(|item| (item.item, item.reason.as_str())).collect();
    assert_eq!(reasons.len(), 2, "{reasons:?}");
    assert!(
        reasons.iter().any(|(item, why)| *item == 1 && why.contains("look-up: 400 Bad Request")),
        "{reasons:?}"
    );
    assert!(
        reasons.iter().any(|(item, why)| *item == 2 && why.contains("the look-up's answer")),
        "{reasons:?}"
    );
    assert!(rejected.iter().any(|item| item.payload.contains("/odd")), "the payload is kept");
    // A replay asks again what was never answered; the others stay as they are meanwhile.
    graph.says("/odd", Ok(r#"{"name":"Late"}"#));
    let summary = replayed(&house, all(), "far").await;
    assert_eq!(summary.calls["waits for look-ups"], 1);
    assert_eq!(leads(&house, "far"), ["leads:1 - -"]);
    work(&house, &graph, all(), async || none_waits(&house).await).await;
    assert_eq!(leads(&house, "far"), ["leads:1 - -", "leads:2 Late -"]);
    assert_eq!(house.books.rejected(10).await.expect("books").len(), 1);
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn items_go_to_the_source_of_their_account_or_wait_for_one() {
    let (_folder, house, graph) = open().await;
    let two = || sources(&[("first", Some("a")), ("second", Some("b"))]);
    graph.says("/b", Ok(r#"{"name":"Bea"}"#));
    let items = json!([
        { "id": "1", "account": "a" }, { "id": "2", "account": "b", "ask": ["/b"] },
        { "id": "3", "account": "c" }, { "id": "4" },
    ]);
    put(&house, "first", items).await;
    work(&house, &graph, two(), async || none_waits(&house).await).await;
    assert_eq!(leads(&house, "first"), ["leads:1 - -", "leads:4 - -"]);
    assert_eq!(leads(&house, "second"), ["leads:2 Bea -"]);
    assert_eq!(graph.asked(), ["second /b"], "the source whose account it is asks");
    let counts = house.counts().await;
    assert_eq!(
        (counts["first call unrouted"], counts["first item made"], counts["second item made"]),
        (1, 3, 1)
    );
    // A source appears that has the third account.
    let three = || sources(&[("first", Some("a")), ("second", Some("b")), ("third", Some("c"))]);
    replayed(&house, three(), "third").await;
    assert_eq!(leads(&house, "third"), ["leads:3 - -"]);
    // Each source's replay leaves the others' rows alone.
    for source in ["first", "second", "third"] {
        replayed(&house, three(), source).await;
    }
    assert_eq!(leads(&house, "first"), ["leads:1 - -", "leads:4 - -"]);
    assert_eq!(leads(&house, "second"), ["leads:2 Bea -"]);
    assert_eq!(leads(&house, "third"), ["leads:3 - -"]);
    assert_eq!(graph.asked().len(), 1);
    house.close().await;
}
