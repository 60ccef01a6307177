//! What can be tried without a server; the laws of `tests/conformance` do the rest.

use headwater_core::{
    http::Options,
    name::{distinct, snake},
    object::Type,
};

use super::{
    describe::Described,
    fault::{is, judge},
    query::{Query, Row},
    *,
};

fn salesforce(settings: Value) -> Salesforce {
    serde_json::from_value(settings).expect("valid settings")
}

fn refused(status: u16, body: &'static str) -> Option<Error> {
    let status = status.try_into().expect("a status");
    judge(&Answer { status, headers: Default::default(), body: body.into() })
}

fn collection(name: &str) -> Collection {
    *collections::COLLECTIONS.iter().find(|collection| collection.name == name).expect("a collection")
}

macro_rules! refusal {
    ($name:literal) => {
        include_str!(concat!("../../../fixtures/salesforce/errors/", $name, ".json"))
    };
}

#[test]
fn settings_are_one_way_to_sign_in_and_nothing_unknown() {
    for auth in [
        json!({"type": "oauth", "client_id": "a", "client_secret": "b", "refresh_token": "c"}),
        json!({"type": "oauth", "client_id": "a", "refresh_token": "c"}),
        json!({"type": "jwt", "client_id": "a", "username": "b@example.com", "private_key": "c"}),
        json!({"type": "client_credentials", "client_id": "a", "client_secret": "b"}),
    ] {
        let source = salesforce(json!({ "auth": auth }));
        let api = source.api(&Account::default()).expect("an API");
        assert_eq!(api.hosts[0].url, "https://login.salesforce.com");
        let account = Account {
            extra: json!({"instance_url": "https://acme.my.salesforce.com/"}),
            ..Account::default()
        };
        let api = source.api(&account).expect("an API");
        assert_eq!(api.hosts[0].url, "https://acme.my.salesforce.com");
        assert!(
            matches!(&api.hosts[0].auth, Auth::OAuth(oauth) if oauth.token_url == "https://login.salesforce.com/services/oauth2/token")
        );
    }
    for wrong in [
        json!({}),
        json!({"auth": {"type": "password", "username": "a"}}),
        json!({"auth": {"type": "client_credentials", "client_id": "a", "client_secret": "b", "user": "c"}}),
        json!({"auth": {"type": "client_credentials", "client_id": "a", "client_secret": "b"}, "objects": []}),
    ] {
        assert!(serde_json::from_value::<Salesforce>(wrong.clone()).is_err(), "{wrong}");
    }
}

#[test]
fn errors_say_whose_move_it_is() {
    for (status, body, kind) in [
        (403, refusal!("request_limit_exceeded"), Kind::RateLimited),
        (403, refusal!("concurrent_requests"), Kind::RateLimited),
        (400, refusal!("invalid_type"), Kind::Forbidden),
        (400, refusal!("invalid_field"), Kind::Forbidden),
        (403, refusal!("insufficient_access"), Kind::Forbidden),
        (400, refusal!("query_timeout"), Kind::Transient),
        (400, refusal!("invalid_query_locator"), Kind::Expired),
        (404, refusal!("job_not_found"), Kind::Unexpected),
        (400, refusal!("not_in_bulk"), Kind::Unexpected),
        (403, "Bad_OAuth_Token", Kind::Auth),
    ] {
        let error = refused(status, body).expect(body);
        assert_eq!((error.kind(), error.status()), (kind, Some(status)), "{body}");
        assert!(!error.message().contains('\n'), "{error}");
    }
    // The day's calls are a pause, too many slow ones a moment.
    let spent = refused(403, refusal!("request_limit_exceeded")).expect("an error");
    assert!(spent.until().is_some() && spent.wait().is_none());
    let busy = refused(403, refusal!("concurrent_requests")).expect("an error");
    assert!(busy.until().is_none() && busy.wait().is_some());
    let elsewhere = refused(400, refusal!("not_in_bulk")).expect("an error");
    assert!(is(&elsewhere, &["INVALIDENTITY"]) && !is(&elsewhere, &["INVALID_TYPE"]));
    // An expired session, and what is no error of Salesforce's, are left to the status.
    assert!(refused(401, refusal!("invalid_session")).is_none());
    assert!(refused(400, "<h1>Bad Message 414</h1>").is_none());
    assert!(refused(400, "[]").is_none());
    assert!(refused(200, "[]").is_none());
}

#[test]
fn the_spent_calls_are_found_in_the_header() {
    let told = |header: &'static str| {
        let mut answer = Answer {
            status: 200.try_into().expect("a status"),
            headers: Default::default(),
            body: "".into(),
        };
        answer.headers.insert("sforce-limit-info", header.parse().expect("a value"));
        usage(&answer).map(|usage| (usage.spent, usage.amount))
    };
    assert_eq!(told("api-usage=18/5000"), Some((18, 5000)));
    assert_eq!(told("api-usage=9/10; per-app-api-usage=17/250(appName=x)"), Some((9, 10)));
    assert_eq!(told("per-app-api-usage=17/250(appName=x), api-usage=9/10"), Some((9, 10)));
    for none in ["", "api-usage=", "api-usage=1", "api-usage=a/b"] {
        assert_eq!(told(none), None, "{none}");
    }
}

#[test]
fn names_are_those_of_segments_warehouses() {
    for (name, column) in [
        ("Id", "id"),
        ("SystemModstamp", "system_modstamp"),
        ("My_Field__c", "my_field_c"),
        ("Pricebook2Id", "pricebook2_id"),
        ("PermissionsAllowEmailIC", "permissions_allow_email_ic"),
        ("PermissionsFlowUFLRequired", "permissions_flow_uflrequired"),
        ("PermissionsLtngPromoReserved01UserPerm", "permissions_ltng_promo_reserved01_user_perm"),
        ("ns__Größe__c", "ns_gr_e_c"),
        ("IsHTML", "is_html"),
        ("A__2nd__c", "a_2nd_c"),
    ] {
        assert_eq!(snake(name), column, "{name}");
    }
    let mut taken = Default::default();
    let mut name = |api_name: &str| distinct(api_name, &mut taken);
    assert_eq!(name("FooBar__c"), "foo_bar_c");
    assert_eq!(name("Foo_Bar__c"), "foo_bar_c_d2ff7a0b");
    let long = name(&format!("acme__{}__c", "Ab".repeat(40)));
    assert!(long.len() == 63 && long.starts_with("acme_ab_ab_"), "{long}");
}

fn described(fields: &[(&str, &str)], name: &str) -> Collection {
    let fields: Vec<Value> =
        fields.iter().map(|(name, kind)| json!({"name": name, "type": kind, "label": "…"})).collect();
    let described: Described = serde_json::from_value(json!({"fields": fields})).expect("a description");
    described.fit(&collection(name))
}

#[test]
fn a_collection_fits_what_the_account_describes() {
    let fields = [
        ("Id", "id"),
        ("IsDeleted", "boolean"),
        ("Name", "string"),
        ("BillingAddress", "address"),
        ("Body", "base64"),
        ("Amount__c", "currency"),
        ("CreatedDate", "datetime"),
    ];
    let with: Vec<_> = fields.iter().copied().chain([("SystemModstamp", "datetime")]).collect();
    let fitted = described(&with, "accounts");
    assert_eq!(
        fitted.fields,
        "id text = Id, name text = Name, amount_c numeric = Amount__c, created_date time = CreatedDate, \
         system_modstamp time = SystemModstamp"
    );
    assert!(fitted.fields().all(|field| field.is_ok()));
    assert_eq!(fitted.deletes, Deletes::Flag("IsDeleted", "true"));
    assert_eq!((describe::time(&fitted), fitted.version), (Some("SystemModstamp"), Some("SystemModstamp")));

    // An object without it goes by what it has, in the end by nothing: then it is read whole.
    let fitted = described(&fields, "account_tags");
    assert_eq!((describe::time(&fitted), fitted.version), (Some("CreatedDate"), None));
    let fitted = described(&[("Id", "id")], "account_tags");
    assert_eq!((fitted.since, fitted.version, fitted.deletes), (None, None, Deletes::Unseen));
    let fitted = described(&with, "profile");
    assert_eq!(
        (fitted.since, fitted.version, fitted.deletes),
        (None, Some("SystemModstamp"), Deletes::Unseen)
    );
}

#[test]
fn every_collection_has_an_object_or_is_gone() {
    for collection in collections::COLLECTIONS {
        match collection.gone {
            Some(_) => assert_eq!(collection.name, "names"),
            None => {
                assert!(describe::object(collection).starts_with(|first: char| first.is_ascii_uppercase()))
            }
        }
    }
    assert_eq!(collections::COLLECTIONS.len(), 48);
}

fn asked(collection: &Collection, read: &Read, ask: impl FnOnce(&Query<'_>)) {
    let api = Api::new("https://acme.my.salesforce.com", Auth::None);
    let client = Client::new(api, Options::default()).expect("a client");
    ask(&Query::of(Pull { client: &client, collection, read, parent: None }).expect("a query"));
}

#[test]
fn a_query_reads_its_window_in_order_and_goes_on_behind_a_row() {
    let fields = [("Id", "id"), ("Name", "string"), ("IsDeleted", "boolean"), ("SystemModstamp", "datetime")];
    let read = Read {
        from: "2026-10-01T00:00:00.5Z".parse().ok(),
        to: "2026-10-31T23:59:00Z".parse().ok(),
        ..Read::default()
    };
    let window = "SystemModstamp >= 2026-10-01T00:00:00Z AND SystemModstamp < 2026-10-31T23:59:00Z";
    let select = "SELECT Id,Name,SystemModstamp,IsDeleted FROM Account";
    asked(&described(&fields, "accounts"), &read, |query| {
        assert_eq!(query.ordered(None), format!("{select} WHERE {window} ORDER BY SystemModstamp,Id"));
        assert_eq!(query.unordered(), format!("{select} WHERE {window}"));
        let row = json!({"Id": "001A", "SystemModstamp": "2026-10-05T06:07:08.000+0000"});
        let row: Row = query.row(&Record::new(&row).expect("a record")).expect("a row");
        let behind = "SystemModstamp >= 2026-10-05T06:07:08.000Z AND (SystemModstamp > 2026-10-05T06:07:08.000Z OR \
                      Id > '001A')";
        assert_eq!(
            query.ordered(Some(&row)),
            format!("{select} WHERE {window} AND {behind} ORDER BY SystemModstamp,Id")
        );
        // What is no id never gets into a query.
        let forged = json!({"Id": "' OR Id != '", "SystemModstamp": "2026-10-05T06:07:08.000+0000"});
        assert!(query.row(&Record::new(&forged).expect("a record")).is_err());
    });
    asked(&described(&fields, "profile"), &Read::default(), |query| {
        assert_eq!(query.ordered(None), "SELECT Id,Name,IsDeleted,SystemModstamp FROM Profile ORDER BY Id");
        assert!(!query.is_long());
    });
    let many: Vec<String> = (0..600).map(|n| format!("A_Field_Of_Some_Length_{n}__c")).collect();
    let many: Vec<_> = many.iter().map(|name| (name.as_str(), "string")).chain(fields).collect();
    asked(&described(&many, "accounts"), &Read::default(), |query| assert!(query.is_long()));
}

#[test]
fn csv_becomes_what_json_would_have_been() {
    let types = bulk::types(&described(
        &[
            ("Id", "id"),
            ("IsWon", "boolean"),
            ("Amount", "currency"),
            ("Count__c", "double"),
            ("Zip", "string"),
        ],
        "opportunities",
    ));
    let row = json!({"Id": "006A", "IsWon": "false", "Amount": "123456789012345678.90", "Count__c": "", "Zip": "01234"});
    let typed = bulk::typed(&Record::new(&row).expect("a record"), &types).expect("a record");
    assert_eq!(
        std::str::from_utf8(typed.bytes()).expect("text").replace(' ', ""),
        r#"{"Amount":123456789012345678.90,"Count__c":null,"Id":"006A","IsWon":false,"Zip":"01234"}"#
    );
    assert_eq!(types.get("Zip"), Some(&Type::Text));
}
