//! Deliveries become items, items become calls: nothing is lost, nothing panics, the same each time.

use bytes::Bytes;
use headwater_core::{
    auth::Secret,
    error::{Error, Result},
    event::{
        Delivery, EventSource, Item, Items, Mapped, Output, Surface, Webhook, map_delivery, map_some, split,
        title_case,
    },
    object::{Change, Request},
    signature::Signature,
    spec::{Call, CallKind, CallType},
};
use http::{HeaderName, HeaderValue};
use rand::{Rng, SeedableRng, rngs::StdRng};

const fn surface(items: Items) -> Surface {
    Surface { path: "", signature: Signature::None { why: "a test" }, items }
}

fn delivery(body: impl AsRef<[u8]>) -> Delivery {
    Delivery::fetched("2026-04-14T03:50:12Z".parse().unwrap(), Bytes::copy_from_slice(body.as_ref()))
}

/// The items as JSON, an error as its text.
fn items(items: Items, body: impl AsRef<[u8]>) -> Vec<String> {
    match split(&surface(items), &delivery(body)) {
        Ok(pieces) => pieces
            .into_iter()
            .map(|piece| match piece.record {
                Ok(record) => format!("{record:?}"),
                Err(error) => format!("! {error}"),
            })
            .collect(),
        Err(error) => vec![format!("!! {error}")],
    }
}

#[test]
fn json_is_split_wherever_the_list_stands() {
    assert_eq!(items(Items::Json(""), r#" [{"a":1}, {"b":[2]}] "#), [r#"{"a":1}"#, r#"{"b":[2]}"#]);
    assert_eq!(items(Items::Json(""), "\u{feff}{\"a\":1}"), [r#"{"a":1}"#]);
    assert_eq!(items(Items::Json("data.events"), r#"{"data":{"events":[{"a":1}]}}"#), [r#"{"a":1}"#]);
    assert_eq!(items(Items::Json("profiles"), r#"{"profiles":{"a":1}}"#), [r#"{"a":1}"#]);
    assert_eq!(items(Items::Json("events|event"), r#"{"event":{"a":1}}"#), [r#"{"a":1}"#]);
    assert_eq!(items(Items::Json("events|"), r#"{"events":[{"a":1}]}"#), [r#"{"a":1}"#]);
    assert_eq!(items(Items::Json("events|"), r#"[{"a":1},{"b":2}]"#), [r#"{"a":1}"#, r#"{"b":2}"#]);
    assert_eq!(items(Items::Json("events"), r#"{"events":[]}"#), [""; 0]);
    let entries = r#"{"entry":[{"id":1,"changes":[{"a":1},{"a":2}]},{"id":2},{"id":3,"changes":[{"a":3}]}]}"#;
    let found = items(Items::Json("entry.*.changes"), entries);
    assert_eq!(found, [r#"{"a":1}"#, r#"{"a":2}"#, "! changes is missing", r#"{"a":3}"#]);
    let pieces = split(&surface(Items::Json("entry.*.changes")), &delivery(entries)).unwrap();
    assert_eq!(pieces[3].envelope.as_ref().unwrap().record.text("id").unwrap().as_deref(), Some("3"));
    let pieces = split(&surface(Items::Json("e")), &delivery(r#"{"e":[{}],"k":1}"#)).unwrap();
    assert_eq!(pieces[0].envelope.as_ref().unwrap().record.text("k").unwrap().as_deref(), Some("1"));
}

#[test]
fn what_is_no_item_is_an_error_that_names_the_place() {
    assert_eq!(items(Items::Json(""), ""), ["!! the body is empty"]);
    assert_eq!(items(Items::Json("events|event"), r#"{"a":1}"#), ["!! the body has no events and no event"]);
    assert_eq!(items(Items::Json("e"), r#"{"e":7}"#), ["!! e holds neither an object nor an array, but 7"]);
    let cut = items(Items::Json("e"), r#"{"e":[{"a":1},{"#).remove(0);
    assert!(cut.starts_with("!! the body: not the JSON expected: EOF"), "{cut}");
    let html = items(Items::Json(""), "<html>").remove(0);
    assert!(html.starts_with("!! the body: not the JSON expected"), "{html}");
    assert_eq!(items(Items::Json(""), "[[\n7]]"), ["! not a JSON object: [ 7]"]);
    let bad = items(Items::Json(""), "[{\"a\":1}, 7, null, {\"b\":2}]");
    assert_eq!(bad, [r#"{"a":1}"#, "! not a JSON object: 7", "! not a JSON object: null", r#"{"b":2}"#]);
    let lines = items(Items::Ndjson, "{\"a\":1}\r\n\n{\"b\"\n{\"c\":3}");
    assert_eq!((lines.len(), lines[0].as_str(), lines[2].as_str()), (3, r#"{"a":1}"#, r#"{"c":3}"#));
    assert!(lines[1].starts_with("! not the JSON expected"), "{}", lines[1]);
    assert_eq!(items(Items::Query, "x"), ["!! the query string is empty"]);
}

#[test]
fn forms_become_objects() {
    assert_eq!(
        items(
            Items::Form,
            "type=subscribe&data[merges][EMAIL]=a%40b+c&data[ids][]=1&data[ids][]=2&data[g][0][n]=x&data[g][1][n]=y"
        ),
        [
            r#"{"type":"subscribe","data":{"merges":{"EMAIL":"a@b c"},"ids":["1","2"],"g":[{"n":"x"},{"n":"y"}]}}"#
        ]
    );
    assert_eq!(items(Items::Form, "a=1&a=2&b[7]=x"), [r#"{"a":["1","2"],"b":{"7":"x"}}"#]);
    assert_eq!(items(Items::Form, "a=1&a[b]=2"), [r#"{"a":{"b":"2","":"1"}}"#]);
    assert_eq!(
        items(Items::Form, "[x]=1&a[=2&a]=3&a[b=4&=5"),
        [r#"{"[x]":"1","a[":"2","a]":"3","a[b":"4","":"5"}"#]
    );
    assert_eq!(items(Items::FormJson("e", ""), "k=1&e=%5B%7B%22a%22%3A1%7D%5D"), [r#"{"a":1}"#]);
    assert_eq!(items(Items::FormJson("e", ""), "k=1"), ["!! form field e is missing"]);
    let error = items(Items::FormJson("e", ""), "e=%5B").remove(0);
    assert!(error.starts_with("!! form field e: not the JSON expected"), "{error}");
    let mut asked = delivery("ignored");
    asked.query = "event=open&u[id]=7".into();
    let pieces = split(&surface(Items::Query), &asked).unwrap();
    assert_eq!(format!("{:?}", pieces[0].record.as_ref().unwrap()), r#"{"event":"open","u":{"id":"7"}}"#);
    let mut parts = delivery("--x");
    parts.headers.insert("content-type", HeaderValue::from_static("multipart/form-data; boundary=x"));
    assert!(split(&surface(Items::Form), &parts).unwrap_err().message().starts_with("the body is multipart"));
}

#[test]
fn csv_rows_become_objects_of_text() {
    assert_eq!(
        items(
            Items::Csv,
            "\u{feff}userId,traits.name,traits.name,\r\n1,\"a, \"\"b\"\"\nc\",x,,more\r\n2\r\n"
        ),
        [
            r#"{"userId":"1","traits.name":"a, \"b\"\nc","traits.name_3":"x","column_4":"","column_5":"more"}"#,
            r#"{"userId":"2"}"#
        ]
    );
}

#[test]
fn limits_hold() {
    let many = format!("[{}{{}}]", "{},".repeat(100_000));
    let error = items(Items::Json(""), many);
    assert_eq!(error, ["!! more than 100000 items in one delivery; set a smaller batch at the vendor"]);
    assert_eq!(items(Items::Json(""), format!("[{}{{}}]", "{},".repeat(99_999))).len(), 100_000);
    assert!(items(Items::Ndjson, "{}\n".repeat(100_001))[0].starts_with("!! more than 100000 items"));
    assert!(items(Items::Csv, "a\n".repeat(100_002))[0].starts_with("!! more than 100000 items"));
    let stars = format!("{{\"e\":[{}{{\"c\":[]}}]}}", "{\"c\":[{},{}]},".repeat(60_000));
    assert!(items(Items::Json("e.*.c"), stars)[0].starts_with("!! more than 100000 items"));
    assert!(items(Items::Form, "a&".repeat(10_001))[0].starts_with("!! more than 10000 form fields"));
    // Deep nesting is no error: values are slices.
    let deep = format!("[{{\"a\":{}{}}}]", "[".repeat(200_000), "]".repeat(200_000));
    assert_eq!(items(Items::Json(""), deep).len(), 1);
    // Nor does a name of ten thousand brackets build a tower.
    let tower = items(Items::Form, format!("a{}=1&b=2", "[x]".repeat(10_000)));
    assert!(tower[0].contains("\"b\":\"2\"") && tower[0].matches('{').count() < 40);
}

/// Makes of an item what it asks for.
struct Probe;

const WEBHOOK: Webhook = Webhook {
    surfaces: &[
        surface(Items::Json("")),
        Surface { path: "alerts", ..surface(Items::Json("")) },
        Surface { path: "alerts/old", ..surface(Items::Json("")) },
    ],
    calls: &[
        CallType::track("Order Updated", "").native("orders/updated|orders/edited"),
        CallType::new(CallKind::Identify, "", "").native("customers/update"),
        CallType::new(CallKind::Page, "Home", "").native("seen"),
    ],
};

impl EventSource for Probe {
    fn secrets(&self, _surface: &Surface) -> Vec<Secret> {
        Vec::new()
    }

    fn account(&self, item: &Item<'_>) -> Option<String> {
        item.record.text("account").ok()?
    }

    fn lookups(&self, item: &Item<'_>) -> Vec<Request> {
        item.record.text("ask").ok().flatten().map(Request::get).into_iter().collect()
    }

    fn map(&self, item: &Item<'_>) -> Result<Vec<Output>> {
        let record = &item.record;
        match record.text("do")?.as_deref() {
            Some("fail") => return Err(Error::unexpected("it fails")),
            Some("panic") => panic!("a slip"),
            Some("change") => return Ok(vec![Output::Change(Change::upsert("t", record.clone()))]),
            _ => {}
        }
        let found = item.lookups.iter().map(|answer| answer.text("name")).collect::<Result<Vec<_>>>()?;
        let name = found.into_iter().flatten().next().unwrap_or_else(|| "Event".into());
        let calls = record.find::<usize>("calls")?.unwrap_or(1);
        let call = Call::track(name).id(record.text("id")?).at(record.time("at")?);
        Ok(vec![call; calls].into_iter().map(Output::from).collect())
    }
}

fn map(delivery: &Delivery) -> Mapped {
    map_delivery("probe", &Probe, &WEBHOOK.surfaces[0], delivery)
}

fn ids(delivery: &Delivery) -> Vec<String> {
    let calls = map(delivery).outputs.into_iter().map(|(_, output)| match output {
        Output::Call(call) => call.message_id,
        Output::Change(_) => "change".into(),
    });
    calls.collect()
}

#[test]
fn one_bad_item_keeps_back_no_other() {
    let body =
        r#"[{"id":1},{"do":"fail"},7,{"do":"panic","x":1},{"do":"change"},{"id":2,"at":"soon"},{"id":3}]"#;
    let mapped = map(&delivery(body));
    assert_eq!(mapped.outputs.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [0, 4, 6]);
    let rejected: Vec<String> = mapped.rejected.iter().map(ToString::to_string).collect();
    assert_eq!(
        rejected,
        [
            "item 1: it fails",
            "item 2: not a JSON object: 7",
            "item 3: the connector's mapping panicked on this item; report it with the item",
            "item 5: at is not a time: \"soon\"",
        ]
    );
    assert!(mapped.rejected[0].record.is_some() && mapped.rejected[1].record.is_none());
    let whole = map(&delivery("{"));
    assert!(whole.outputs.is_empty() && whole.rejected.len() == 1 && whole.rejected[0].index == 0);
}

#[test]
fn ids_are_the_vendors_and_further_calls_have_their_place() {
    assert_eq!(ids(&delivery(r#"{"id":"e1","calls":3}"#)), ["probe:e1", "probe:e1:1", "probe:e1:2"]);
    let fits = "x".repeat(94);
    assert_eq!(ids(&delivery(format!(r#"{{"id":"{fits}"}}"#))), [format!("probe:{fits}")]);
    let long = ids(&delivery(format!(r#"{{"id":"{fits}y","calls":2}}"#)));
    // The digest of 94 x and a y, by sha256sum.
    let digest = "06b50e9856ffd5242714fa5be5b61bd48e5911c416a3413753d8add9693e03fb";
    assert_eq!(long, [format!("probe:{digest}"), format!("probe:{digest}:1")]);
    let Output::Call(call) = map(&delivery("{}")).outputs.remove(0).1 else { panic!() };
    assert_eq!(call.received_at, Some("2026-04-14T03:50:12Z".parse().unwrap()));
    assert_eq!(call.timestamp, None);
}

#[test]
fn ids_without_the_vendors_tell_events_apart_and_trust_retries() {
    let with = |name: &str, value: &str| {
        let mut delivery = delivery(r#"{"a":1}"#);
        delivery
            .headers
            .insert(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap());
        ids(&delivery)
    };
    let plain = ids(&delivery(r#"{"a":1}"#));
    assert_eq!((plain[0].len(), plain[0].starts_with("probe:")), (70, true));
    let mut later = delivery(r#"{"a":1}"#);
    later.received_at = "2026-05-01T00:00:00Z".parse().unwrap();
    assert_eq!(ids(&later), plain, "tried again later");
    assert_eq!(with("x-request-id", "r1"), plain, "a proxy's id is not the event's");
    assert_ne!(with("x-vendor-event-id", "e1"), plain);
    assert_ne!(with("x-vendor-event-id", "e1"), with("x-vendor-event-id", "e2"));
    assert_ne!(ids(&delivery(r#"{"a":2}"#)), plain);
    let twins = ids(&delivery(r#"[{"a":1},{"a":1}]"#));
    assert_eq!(twins[0], plain[0]);
    assert_ne!(twins[0], twins[1]);
    assert_eq!(ids(&delivery(r#"{"calls":2}"#))[1], format!("{}:1", ids(&delivery(r#"{"calls":2}"#))[0]));
}

#[test]
fn look_ups_and_accounts_are_asked_item_by_item() {
    let mut delivery = delivery(r#"[{"account":"a","ask":"/1"},{},{"account":"b","ask":"/2"},{"ask":"/3"}]"#);
    let asked = map(&delivery);
    let paths: Vec<_> = asked.asks.iter().map(|(index, request)| (*index, request.path.as_str())).collect();
    assert_eq!(paths, [(0, "/1"), (2, "/2"), (3, "/3")]);
    assert_eq!(asked.outputs.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [1], "it asks for nothing");
    delivery.lookups = vec![
        (0, Bytes::from_static(br#"{"name":"Found"}"#)),
        (2, Bytes::new()),
        (3, Bytes::from_static(b"<html>")),
    ];
    let mapped = map(&delivery);
    let names = mapped.outputs.iter().map(|(index, output)| match output {
        Output::Call(call) => (*index, call.name.clone().unwrap()),
        Output::Change(_) => (*index, String::new()),
    });
    assert_eq!(names.collect::<Vec<_>>(), [(0, "Found".into()), (1, "Event".into()), (2, "Event".into())]);
    assert!(mapped.rejected[0].to_string().starts_with("item 3: the look-up's answer: "));
    let some =
        map_some("probe", &Probe, &WEBHOOK.surfaces[0], &delivery, |item| Probe.account(item).is_some());
    assert_eq!(some.outputs.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [0, 2]);
}

#[test]
fn items_of_other_accounts_are_left_to_their_sources() {
    let delivery = delivery(r#"[{"account":"a","id":1},{"id":2},{"account":"b","id":3,"ask":"/3"}]"#);
    let whose = |own: &'static str| {
        let mapped = map_delivery("probe", &Own(own), &WEBHOOK.surfaces[0], &delivery);
        let own: Vec<u32> = mapped.outputs.iter().map(|(index, _)| *index).collect();
        (own, mapped.foreign, mapped.asks.len())
    };
    assert_eq!(whose("a"), (vec![0, 1], vec![(2, "b".into())], 0), "who is another's asks nothing here");
    assert_eq!(whose("b"), (vec![1], vec![(0, "a".into())], 1));
    let all = map(&delivery);
    assert_eq!((all.outputs.len(), all.foreign.len()), (2, 0), "a source without an account takes all");
}

/// The probe, for one account.
struct Own(&'static str);

impl EventSource for Own {
    fn secrets(&self, surface: &Surface) -> Vec<Secret> {
        Probe.secrets(surface)
    }

    fn account(&self, item: &Item<'_>) -> Option<String> {
        Probe.account(item)
    }

    fn own_account(&self) -> Option<String> {
        Some(self.0.to_owned())
    }

    fn lookups(&self, item: &Item<'_>) -> Vec<Request> {
        Probe.lookups(item)
    }

    fn map(&self, item: &Item<'_>) -> Result<Vec<Output>> {
        Probe.map(item)
    }
}

#[test]
fn names_and_surfaces_are_found() {
    for (name, title) in [
        ("opened_email", "Opened Email"),
        ("email.opened", "Email Opened"),
        ("orders/create", "Orders Create"),
        ("EMAIL_OPENED", "Email Opened"),
        ("emailOpened", "Email Opened"),
        ("Email Opened", "Email Opened"),
        ("sendSMS", "Send SMS"),
        ("in-app message", "In App Message"),
        ("", ""),
        ("ünïcode_ß", "Ünïcode SS"),
    ] {
        assert_eq!(title_case(name), title, "{name}");
    }
    assert_eq!(WEBHOOK.by_native("orders/edited").map(|call| call.name), Some("Order Updated"));
    assert_eq!(WEBHOOK.by_native("seen").map(|call| call.call().name), Some(Some("Home".into())));
    assert_eq!(WEBHOOK.by_native("customers/update").map(|call| call.call()), Some(Call::identify()));
    assert!(WEBHOOK.by_native("").is_none() && WEBHOOK.by_native("orders").is_none());
    let at = |path| WEBHOOK.surface(path).map(|(surface, tail)| (surface.path, tail));
    assert_eq!(at("/alerts/old/x"), Some(("alerts/old", "x")));
    assert_eq!(at("alerts"), Some(("alerts", "")));
    assert_eq!(at("alerts2"), Some(("", "alerts2")));
    let person =
        |id: Option<&str>| Call::track("x").person(id.map(str::to_owned), Some("a@b".into())).to_json();
    assert_eq!(
        person(Some("7")),
        r#"{"type":"track","userId":"7","event":"x","context":{"traits":{"email":"a@b"}}}"#
    );
    assert!(person(None).contains(r#""anonymousId":"a@b""#));
}

/// Rubbish is an error, never a panic, and the same each time.
#[test]
fn any_bytes_map_to_the_same_each_time() {
    let forms = [
        Items::Json(""),
        Items::Json("a|b.0.c"),
        Items::Json("a.*.b"),
        Items::Ndjson,
        Items::Form,
        Items::FormJson("a", "b"),
        Items::Query,
        Items::Csv,
    ];
    const LETTERS: &[u8] = b"[]{}[]{}\"\",,::abc0-9 .\n&=%";
    let mut dice = StdRng::seed_from_u64(7);
    for round in 0..20_000 {
        let length = dice.random_range(0..80);
        let body: Vec<u8> = match round % 3 {
            0 => (0..length).map(|_| dice.random()).collect(),
            _ => (0..length).map(|_| LETTERS[dice.random_range(0..LETTERS.len())]).collect(),
        };
        let mut delivery = delivery(&body);
        delivery.query = String::from_utf8_lossy(&body).into_owned();
        let surface = surface(forms[round % forms.len()]);
        let map = || map_delivery("probe", &Probe, &surface, &delivery);
        let one = map();
        assert_eq!(format!("{one:?}"), format!("{:?}", map()), "{body:?}");
        for rejected in &one.rejected {
            assert!(!rejected.to_string().contains('\n'), "{rejected} {body:?}");
        }
    }
}

/// Any beginning of a good delivery is one error, and any byte of it may be another without a panic.
#[test]
fn a_delivery_that_was_cut_or_changed_is_an_error() {
    let body = r#"{"a":[{"b":[{"id":1},{"id":2}]},{"b":{"id":3,"calls":2}}],"k":"é"}"#.as_bytes();
    let map = |body: &[u8]| map_delivery("probe", &Probe, &surface(Items::Json("a.*.b")), &delivery(body));
    assert_eq!(map(body).outputs.len(), 4);
    for end in 0..body.len() {
        let mapped = map(&body[..end]);
        assert!(mapped.outputs.is_empty() && mapped.rejected.len() == 1, "{end}");
        for byte in 0..=255 {
            let mut changed = body.to_vec();
            changed[end] = byte;
            map(&changed);
        }
    }
}
