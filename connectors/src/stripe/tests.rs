//! What the fixtures cannot show: errors, and events of an odd shape. The laws replay the rest.

use headwater_core::http::Answer;

use super::*;

fn answer(status: u16, headers: &[(&'static str, &'static str)], body: Value) -> Answer {
    let headers =
        headers.iter().filter_map(|(name, value)| Some((name.parse().ok()?, value.parse().ok()?))).collect();
    Answer { status: status.try_into().unwrap(), headers, body: body.to_string().into() }
}

fn judged(status: u16, headers: &[(&'static str, &'static str)], error: Value) -> Option<Kind> {
    judge(&answer(status, headers, json!({ "error": error }))).map(|error| error.kind())
}

fn changes(event: Value, account: Option<&str>) -> Vec<(&'static str, Op, Option<String>)> {
    let changes = events::changes(&Record::new(&event).unwrap(), account).unwrap();
    assert!(changes.iter().all(|change| change.version == Some(Version(1_793_491_140_000_000))));
    changes
        .into_iter()
        .map(|change| (change.collection, change.op, change.record.text("id").unwrap()))
        .collect()
}

fn event(kind: &str, version: &str, object: Value) -> Value {
    json!({"id": "evt_1", "type": kind, "api_version": version, "created": 1_793_491_140, "data": {"object": object}})
}

fn stripe(settings: Value) -> Result<Api> {
    serde_json::from_value::<Stripe>(settings).unwrap().api(&Account::default())
}

#[test]
fn an_error_says_whose_move_it_is() {
    let cursor =
        json!({"code": "resource_missing", "param": "starting_after", "message": "No such charge: 'ch_1'"});
    assert_eq!(judged(400, &[], cursor), Some(Kind::Expired));
    assert_eq!(judged(404, &[], json!({"code": "resource_missing", "param": "id"})), None);
    assert_eq!(judged(429, &[], json!({"code": "lock_timeout"})), Some(Kind::Transient));
    assert_eq!(judged(429, &[("stripe-should-retry", "false")], json!({})), Some(Kind::RateLimited));
    assert_eq!(judged(400, &[("stripe-should-retry", "true")], json!({})), Some(Kind::Transient));
    assert_eq!(judged(503, &[("stripe-should-retry", "false")], json!({})), Some(Kind::Unexpected));
    assert_eq!(judged(503, &[], json!({})), None);
    assert_eq!(judged(409, &[], json!({})), Some(Kind::Transient));
    assert_eq!(judged(403, &[], json!({"code": "account_invalid"})), Some(Kind::Auth));
    assert_eq!(judged(403, &[], json!({"type": "invalid_request_error"})), None);
    assert_eq!(judged(200, &[("stripe-should-retry", "true")], json!({})), None);
    let throttled = answer(
        429,
        &[("stripe-rate-limited-reason", "endpoint-rate")],
        json!({"error": {"message": "Slow down."}}),
    );
    assert_eq!(judge(&throttled).unwrap().message(), "429 endpoint-rate: Slow down.");
    let odd = Answer { body: "<html>".into(), ..answer(429, &[], Value::Null) };
    assert_eq!(judge(&odd).unwrap().message(), "429: Stripe gave no reason");
}

#[test]
fn a_test_key_asks_less_often_and_a_publishable_one_is_refused() {
    let pace = |key: &str| stripe(json!({"api_key": key})).unwrap().hosts[0].limits[0].amount;
    assert_eq!(
        (pace("sk_live_x"), pace("rk_live_x"), pace("sk_test_x"), pace("rk_test_x")),
        (100, 100, 25, 25)
    );
    assert!(stripe(json!({"api_key": "pk_live_x"})).is_err());
    assert!(stripe(json!({"api_key": "sk_live_x", "account": "me"})).is_err());
    let api = stripe(json!({"api_key": "sk_live_x", "account": "acct_1"})).unwrap();
    assert!(api.headers.contains(&("Stripe-Account", "acct_1".to_owned())));
    assert!(api.headers.contains(&("Stripe-Version", VERSION.to_owned())));
}

#[test]
fn an_event_changes_the_row_of_its_object() {
    let charge = json!({"id": "ch_1", "object": "charge"});
    assert_eq!(
        changes(event("charge.updated", VERSION, charge.clone()), None),
        [("charges", Op::Upsert, Some("ch_1".into()))]
    );
    assert_eq!(
        changes(event("charge.updated", "2020-08-27", charge.clone()), None),
        [("charges", Op::Touch, Some("ch_1".into()))]
    );
    let coupon = json!({"id": "C", "object": "coupon"});
    assert_eq!(
        changes(event("coupon.deleted", "2020-08-27", coupon), None),
        [("coupons", Op::Delete, Some("C".into()))]
    );
    let cancelled = json!({"id": "sub_1", "object": "subscription", "status": "canceled"});
    assert_eq!(
        changes(event("customer.subscription.deleted", VERSION, cancelled), None),
        [
            ("subscriptions", Op::Upsert, Some("sub_1".into())),
            ("subscriptions", Op::Delete, Some("sub_1".into()))
        ]
    );
    assert!(changes(event("invoice.upcoming", VERSION, json!({"object": "invoice"})), None).is_empty());
    assert!(
        changes(event("payout.paid", VERSION, json!({"id": "po_1", "object": "payout"})), None).is_empty()
    );
    assert!(
        changes(json!({"type": "v2.core.event_destination.ping", "created": "2026-10-31T23:59:00Z"}), None)
            .is_empty()
    );

    let mut theirs = event("charge.updated", VERSION, charge);
    theirs["account"] = json!("acct_1");
    assert!(changes(theirs.clone(), None).is_empty() && changes(theirs.clone(), Some("acct_2")).is_empty());
    assert_eq!(changes(theirs, Some("acct_1")).len(), 1);
}

#[test]
fn what_stands_inside_another_object_is_fetched_with_it() {
    let touched = |object: Value| changes(event("x.updated", "2020-08-27", object), None);
    let card = json!({"id": "card_1", "object": "card", "customer": "cus_1"});
    assert_eq!(touched(card), [("customers", Op::Touch, Some("cus_1".into()))]);
    let bank = json!({"id": "ba_1", "object": "bank_account", "account": "acct_1"});
    assert_eq!(touched(bank), [("accounts", Op::Touch, Some("acct_1".into()))]);
    let refund = json!({"id": "fr_1", "object": "fee_refund", "fee": "fee_1"});
    assert_eq!(touched(refund), [("application_fees", Op::Touch, Some("fee_1".into()))]);
    assert!(touched(json!({"id": "card_1", "object": "card", "customer": null})).is_empty());

    let with_discounts = |object: &str| json!({"id": "x_1", "object": object, "discounts": ["di_1"]});
    let ops = |object: &str| changes(event("x.updated", VERSION, with_discounts(object)), None)[0].1;
    assert_eq!((ops("invoice"), ops("subscription"), ops("invoiceitem")), (Op::Touch, Op::Touch, Op::Upsert));
}

#[test]
fn every_object_of_the_feed_has_its_collection() {
    let fills = FEEDS[0].fills;
    for fed in fills {
        assert!(
            COLLECTIONS.iter().any(|collection| collection.name == *fed && collection.gone.is_none()),
            "{fed}"
        );
    }
    for collection in COLLECTIONS {
        assert!(
            collection.deletes != Deletes::Feed(EVENTS) || fills.contains(&collection.name),
            "{}",
            collection.name
        );
        for field in collection.fields() {
            field.unwrap();
        }
    }
    for object in ["account", "card", "fee_refund", "transfer"] {
        assert!(
            events::collection(Some(object)).is_some_and(|collection| fills.contains(&collection.name)),
            "{object}"
        );
    }
    assert!(events::collection(Some("source")).is_none() && events::collection(None).is_none());
}
