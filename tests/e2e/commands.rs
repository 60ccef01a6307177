//! The command line, from an empty folder.

use std::{sync::Arc, time::Duration};

use headwater::sandbox::{Vendor, zendesk::Zendesk};
use serde_json::{Value, json};

use crate::{
    house::{House, until},
    root,
    vendor::{self, Stand, json, zendesk_source},
};

#[test]
fn init_writes_a_configuration_that_validates_and_overwrites_none() {
    let house = House::empty();
    assert!(house.run(&["init"]).success().out.contains("headwater.toml"));
    let written = std::fs::read_to_string(house.path("headwater.toml")).unwrap();
    assert!(house.run(&["validate"]).success().out.contains("1 source"));
    house.run(&["init"]).fails(2, &["headwater.toml", "is there already"]);
    assert_eq!(std::fs::read_to_string(house.path("headwater.toml")).unwrap(), written);
    house.run(&["validate", "--config", "nowhere.toml"]).fails(2, &["nowhere.toml", "headwater init"]);
    // A variable names the file as well as the flag does.
    let mut named = House::empty();
    named.set("HEADWATER_CONFIG", "other.toml");
    named.run(&["init"]).success();
    assert!(named.path("other.toml").exists() && !named.path("headwater.toml").exists());
}

#[test]
fn the_catalog_has_the_promised_shape() {
    let house = House::empty();
    let catalog: Value = serde_json::from_str(&house.run(&["catalog", "--json"]).success().out).unwrap();
    let connectors = catalog["connectors"].as_array().unwrap();
    for name in ["braze", "klaviyo", "salesforce", "segment", "stripe", "zendesk"] {
        assert!(connectors.iter().any(|connector| connector["name"] == name), "{name}");
    }
    for connector in connectors {
        for member in ["name", "title", "category", "docs"] {
            assert!(connector[member].as_str().is_some_and(|text| !text.is_empty()), "{member}: {connector}");
        }
        assert!(
            connector.get("objects").is_some() && connector.get("events").is_some(),
            "{}",
            connector["name"]
        );
        let collections = connector["objects"]["collections"].as_array().map_or(&[][..], Vec::as_slice);
        for collection in collections {
            assert!(collection["name"].is_string(), "{collection}");
            assert!(
                collection["key"].as_array().is_some_and(|key| key.iter().all(Value::is_string)),
                "{collection}"
            );
            for column in collection["columns"].as_array().unwrap() {
                assert!(column["name"].is_string() && column["type"].is_string(), "{column}");
            }
            assert!(
                collection["incremental"].is_boolean() && collection["retired"].is_object(),
                "{collection}"
            );
            assert!(collection["deletes"].is_string() || collection["deletes"].is_boolean(), "{collection}");
        }
        if let Some(events) = connector["events"].as_object() {
            let ways = events["delivery"].as_array().unwrap();
            assert!(
                ways.iter().all(|way| ["webhook", "spec", "pull"].contains(&way.as_str().unwrap())),
                "{ways:?}"
            );
            assert!(
                !ways.contains(&json!("webhook")) || events["signature"].is_string(),
                "{}",
                connector["name"]
            );
            for call in events["calls"].as_array().unwrap() {
                assert!(
                    call["call"].is_string() && call["name"].is_string() && call["properties"].is_array(),
                    "{call}"
                );
            }
        }
    }
    let one: Value =
        serde_json::from_str(&house.run(&["catalog", "stripe", "--json"]).success().out).unwrap();
    let stripe = connectors.iter().find(|connector| connector["name"] == "stripe").unwrap();
    assert_eq!(one, json!({ "connectors": [stripe] }));
    let shown = house.run(&["catalog", "zendesk"]).success().out;
    assert!(shown.contains("subdomain, required") && shown.contains("tickets: key id"), "{shown}");
    assert!(house.run(&["catalog"]).success().out.lines().count() > connectors.len());
    house.run(&["catalog", "zendsk"]).fails(2, &["unknown connector zendsk", "zendesk"]);
}

#[test]
fn the_help_tells_every_exit_code() {
    let help = House::empty().run(&["--help"]).success().out;
    for code in [
        "0 done",
        "1 failed",
        "2 the command or the configuration is wrong",
        "3 credentials",
        "4 done in part",
    ] {
        let words = help.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.contains(code), "{code}: {help}");
    }
    assert_eq!(House::empty().run(&["snyc"]).code, Some(2));
}

#[test]
fn sources_show_keys_that_stay() {
    let house = House::new(
        "[[source]]\nname = \"site\"\nconnector = \"segment\"\n\
         [[source]]\nname = \"mail\"\nconnector = \"klaviyo\"\nsettings = { secret_key = \"s\" }\n\
         [[source]]\nname = \"own\"\nconnector = \"segment\"\nwrite_key = \"my-own-key\"\n",
    );
    let (site, mail, own) = (house.source("site"), house.source("mail"), house.source("own"));
    assert_eq!(own["write_key"], "my-own-key");
    assert!(site["webhooks"].as_array().unwrap().is_empty());
    assert!(house.webhook("mail").starts_with("/webhooks/mail/"));
    assert_ne!(site["write_key"], mail["write_key"]);
    assert_eq!((house.source("site"), house.source("mail")), (site.clone(), mail));
    let text = house.run(&["sources"]).success().out;
    assert!(text.contains("site (segment)") && text.contains(site["write_key"].as_str().unwrap()), "{text}");
}

/// `Zendesk` in a world so small that no export has a second page.
fn desk() -> (Arc<Zendesk>, Stand, String) {
    let desk = Arc::new(Zendesk::new(vendor::world(11, 60)));
    let stand = Stand::sandbox(desk.clone(), Duration::ZERO, &[]);
    let settings = desk.settings().to_string();
    (desk, stand, settings)
}

#[test]
fn read_goes_on_from_its_state() {
    let (desk, stand, settings) = desk();
    let house = House::empty();
    let args = |collections: &'static str| {
        [
            "read",
            "zendesk",
            "--settings",
            &settings,
            "--collections",
            collections,
            "--base-url",
            &stand.url,
            "--state",
            "state.json",
        ]
        .map(str::to_owned)
    };
    let read = |collections: &'static str| {
        let args = args(collections);
        house.run(&args.each_ref().map(String::as_str)).success().json_lines()
    };
    let lines = read("tickets,groups");
    let records =
        |lines: &[Value], name: &str| lines.iter().filter(|line| line["collection"] == name).count();
    let census = |name: &str| desk.census().into_iter().find(|(known, _)| *known == name).unwrap().1;
    assert!(records(&lines, "tickets") >= census("tickets"), "{}", lines.len());
    assert!(records(&lines, "groups") >= census("groups"));
    assert!(
        lines.iter().all(|line| line["record"].is_object() != line["state"].is_object()),
        "one or the other"
    );
    // Each state covers what stands above it; the last one is the file.
    assert!(lines.last().unwrap()["state"].is_object());
    let stored: Value = serde_json::from_slice(&std::fs::read(house.path("state.json")).unwrap()).unwrap();
    assert_eq!(lines.last().unwrap()["state"], stored);

    assert_eq!(records(&read("tickets"), "tickets"), 0, "nothing has happened since");
    let now = jiff::Timestamp::now();
    for _ in 0..12 {
        desk.happen(now);
    }
    let new = records(&read("tickets"), "tickets");
    assert!(new > 0 && new <= 12, "{new} tickets");
}

#[test]
fn read_says_what_is_wrong_with_what_it_was_given() {
    let house = House::empty();
    house.write("settings.json", r#"{"subdomain":"acme","emial":"a@example.com"}"#);
    let read = |connector: &str, settings: &str, more: &[&str]| {
        house.run(&[&["read", connector, "--settings", settings][..], more].concat())
    };
    house.run(&["read", "zendesk"]).fails(2, &["--settings is missing", "headwater catalog zendesk"]);
    read("zendsk", "{}", &[]).fails(2, &["unknown connector zendsk", "zendesk"]);
    read("zendesk", "{", &[]).fails(2, &["--settings is no JSON"]);
    read("zendesk", "none.json", &[]).fails(2, &["--settings none.json"]);
    read("zendesk", "settings.json", &[]).fails(2, &["unknown key emial; did you mean email?"]);
    read("zendesk", r#"{"subdomain":7}"#, &[]).fails(2, &["settings", "7"]);
    let good = r#"{"subdomain":"acme","email":"a@example.com","api_token":"t"}"#;
    read("zendesk", good, &["--start-date", "soon"]).fails(2, &["--start-date", "2024-01-01"]);
    read("zendesk", good, &["--base-url", "http://example.com"]).fails(2, &["http"]);
    let stand = vendor::zendesk(|_| json(r#"{"groups":[],"meta":{"has_more":false}}"#));
    read("zendesk", good, &["--base-url", &stand.url, "--collections", "grups"])
        .fails(2, &["no collection grups", "groups"]);
    // `--config` is another name of `--settings`, not a configuration file's here.
    house.run(&["read", "zendesk", "--config", "settings.json"]).fails(2, &["unknown key emial"]);
    let read_groups =
        ["read", "zendesk", "--config", good, "--base-url", &stand.url, "--collections", "groups"];
    assert!(house.run(&read_groups).success().out.contains("\"state\""));
    house.write("state.json", "[1");
    read("zendesk", good, &["--base-url", &stand.url, "--state", "state.json"])
        .fails(2, &["--state", "state.json"]);
}

#[test]
fn normalize_maps_what_the_fixtures_have() {
    let house = House::empty();
    for (connector, name) in [
        ("klaviyo", "received_email"),
        ("braze", "email"),
        ("zendesk", "ticket_created"),
        ("stripe", "charge_succeeded"),
    ] {
        let body = std::fs::read(root().join(format!("fixtures/{connector}/{name}.json"))).unwrap();
        let calls = house
            .run_with(&["normalize", connector, "--content-type", "application/json"], &body)
            .success()
            .json_lines();
        let calls: Vec<&Value> = calls.iter().filter(|line| line.get("change").is_none()).collect();
        assert!(!calls.is_empty(), "{connector}");
        for call in calls {
            assert!(
                call["type"].is_string()
                    && call["messageId"].as_str().is_some_and(|id| id.starts_with(connector)),
                "{call}"
            );
        }
    }
    let calls = house
        .run_with(&["normalize", "segment"], br#"{"type":"track","event":"A","userId":"1"}"#)
        .success()
        .json_lines();
    assert_eq!((calls.len(), &calls[0]["event"]), (1, &json!("A")));
    house.run_with(&["normalize", "klavio"], b"{}").fails(2, &["unknown connector klavio", "klaviyo"]);
    house
        .run_with(&["normalize", "klaviyo", "--header", "no colon"], b"{}")
        .fails(2, &["--header", "no colon"]);
}

#[test]
fn normalize_refuses_rubbish_in_one_line() {
    let house = House::empty();
    let deep = [vec![b'['; 10_000], vec![b']'; 10_000]].concat();
    let deep_member = [br#"{"data":"#.to_vec(), deep.clone(), b"}".to_vec()].concat();
    let rubbish: [&[u8]; 7] =
        [b"", b"{", b"\"text\"", b"{\"a\":\xff\xfe}", b"\x1f\x8b\x08nonsense", &deep, &deep_member];
    for connector in ["braze", "klaviyo", "segment", "stripe", "zendesk"] {
        for body in rubbish {
            let done = house.run_with(&["normalize", connector], body);
            assert!(
                matches!(done.code, Some(1 | 2)),
                "{connector} {:?}: {done:?}",
                &body[..body.len().min(20)]
            );
            let lines = done.err.lines().count();
            assert!(lines == 1 && done.err.len() < 700, "{connector}: {done:?}");
            assert!(done.err.starts_with("headwater: ") && !done.err.contains("panicked"), "{done:?}");
        }
    }
}

#[test]
fn query_prints_every_format_and_only_reads() {
    let stand = vendor::zendesk(|_| {
        json(
            r#"{"groups":[{"id":1,"name":"a,\"b\"","updated_at":"2024-01-01T00:00:00Z"}],"meta":{"has_more":false}}"#,
        )
    });
    let house = House::new(&zendesk_source("help", &stand.url, &["groups", "ticket_forms"]));
    house.run(&["sync", "help"]).success();
    let query = |format: &str, sql: &str| house.run(&["query", "--format", format, sql]);
    assert_eq!(
        query("csv", "SELECT id, name FROM help.groups").success().out,
        "id,name\r\n1,\"a,\"\"b\"\"\"\r\n"
    );
    let lines = query("jsonl", "SELECT id, name, NULL AS none FROM help.groups").success().json_lines();
    assert_eq!(lines, [json!({ "id": 1, "name": "a,\"b\"", "none": null })]);
    let table = house
        .run(&["query", "SELECT g.name, f.name AS form FROM help.groups g, help.ticket_forms f"])
        .success()
        .out;
    assert!(table.contains("form") && table.contains("Default"), "{table}");

    for sql in [
        "INSERT INTO help.groups (id) VALUES (2)",
        "UPDATE help.groups SET id = 2",
        "DELETE FROM help.groups",
        "DROP TABLE help.groups",
        "CREATE TABLE help.more (a)",
        "ATTACH DATABASE 'other.db' AS other",
        "PRAGMA help.user_version = 7",
        "PRAGMA query_only = 0",
        "VACUUM",
        "SELECT load_extension('x')",
    ] {
        house.run(&["query", sql]).fails(2, &["read"]);
    }
    house.run(&["query", "SELECT 1; DROP TABLE help.groups"]).fails(2, &[]);
    house.run(&["query", "SELECT 1; SELECT 2"]).fails(2, &["one statement"]);
    house.run(&["query", "SELEC 1"]).fails(2, &["SELEC"]);
    house.run(&["query", ""]).fails(2, &["SELECT"]);
    house
        .run(&["query", "SELECT * FROM help.gruops"])
        .fails(2, &["no such table: help.gruops", "help.groups"]);
    house.run(&["query", "SELECT nam FROM help.groups"]).fails(2, &["nam"]);
    assert_eq!(house.number("help", "SELECT count(*) FROM groups"), 1);
    assert!(!house.path("other.db").exists());
    assert_eq!(
        house.number("help", "SELECT user_version FROM pragma_user_version"),
        house.number("help", "PRAGMA user_version")
    );
    House::new("").run(&["query", "SELECT * FROM help.groups"]).fails(2, &["empty"]);
}

#[test]
fn runs_tell_how_it_went() {
    let stand = vendor::zendesk(|_| vendor::answer(403, "application/json", r#"{"error":"Forbidden"}"#));
    let house = House::new(&zendesk_source("help", &stand.url, &["groups", "ticket_forms"]));
    assert_eq!(house.run(&["runs"]).success().out.lines().count(), 2, "a head and nothing else");
    house.run(&["sync", "help"]).fails(4, &["source help: 1 of 2 collections failed", "groups", "admin"]);
    house.run(&["sync", "help", "--collection", "ticket_forms"]).success();
    let runs: Value = serde_json::from_str(&house.run(&["runs", "--json"]).success().out).unwrap();
    let endings: Vec<&str> =
        runs.as_array().unwrap().iter().map(|run| run["ending"].as_str().unwrap()).collect();
    assert_eq!(endings, ["success", "partial"], "newest first");
    assert!(house.run(&["runs", "help", "--limit", "1"]).success().out.contains("success"));
    house.run(&["runs", "hepl"]).fails(2, &["no source hepl", "help"]);
    // The same stands in the warehouse, for SQL.
    until("both runs are in the warehouse", || {
        house.number("help", "SELECT count(*) FROM _headwater_runs WHERE outcome IN ('success', 'partial')")
            == 2
    });
}

#[test]
fn check_and_discover_ask_the_vendor() {
    let (_desk, stand, settings) = desk();
    let settings: Value = serde_json::from_str(&settings).unwrap();
    let desk = Zendesk::new(vendor::world(11, 1));
    assert_eq!(desk.settings(), settings);
    let house = House::new(&vendor::source("help", &desk, &stand.url, ""));
    assert!(house.run(&["check", "help"]).success().out.contains("the credentials are good"));
    let account: Value =
        serde_json::from_str(&house.run(&["check", "help", "--json"]).success().out).unwrap();
    assert!(account["id"].is_string());
    let found: Value =
        serde_json::from_str(&house.run(&["discover", "help", "--json"]).success().out).unwrap();
    assert!(
        found["collections"].as_array().unwrap().iter().any(|collection| collection["name"] == "tickets")
    );
    assert!(house.run(&["discover", "help"]).success().out.contains("tickets"));
    house.run(&["check", "hepl"]).fails(2, &["no source hepl", "help"]);
}
