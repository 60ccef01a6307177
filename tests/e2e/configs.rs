//! Configurations with something wrong in them: one line that says where and what, exit code 2, nothing started.

use crate::{
    house::House,
    vendor::{json, zendesk, zendesk_source},
};

#[test]
fn what_is_wrong_with_a_file_is_said_in_one_line() {
    let segment = |line: &str| format!("[[source]]\nname = \"site\"\nconnector = \"segment\"\n{line}\n");
    let stripe = |settings: &str| {
        format!("[[source]]\nname = \"pay\"\nconnector = \"stripe\"\nsettings = {settings}\n")
    };
    let house = House::empty();
    for (text, words) in [
        ("data_dri = \"x\"".to_owned(), &["data_dri", "did you mean data_dir?"][..]),
        ("[receive]\nlisen = \"127.0.0.1:1\"".to_owned(), &["lisen", "did you mean listen?"]),
        ("[receive]\nlisten = \"here\"".to_owned(), &["receive.listen", "socket address"]),
        ("[warehouse]\ntype = \"sqlit\"".to_owned(), &["sqlit", "sqlite"]),
        ("[[source]\nname = 1".to_owned(), &["line 1"]),
        ("[[source]]\nname = \"a\"".to_owned(), &["source a", "connector"]),
        ("[[source]]\nconnector = \"segment\"".to_owned(), &["number 1", "name"]),
        ("source = 7".to_owned(), &["[[source]]"]),
        (segment("conector = \"x\""), &["source site", "conector", "did you mean connector?"]),
        (segment("enabled = \"yes\""), &["source site", "enabled", "boolean"]),
        (segment("write_key = 7"), &["source site", "write_key", "string"]),
        (
            segment("labels = { a = \"${HEADWATER_E2E_UNSET}\" }"),
            &["source[0].labels.a", "no HEADWATER_E2E_UNSET"],
        ),
        (segment("environment = \"$HOME\""), &["source[0].environment", "${NAME}"]),
        (segment("schedule = \"every 3h\""), &["source site", "no objects"]),
        (segment("") + &segment(""), &["source site", "two of that name"]),
        (segment("").replace("site", "My Site"), &["My Site"]),
        (segment("").replace("segment", "segmnet"), &["unknown connector segmnet", "segment"]),
        (stripe("{ api_kye = \"sk_1\" }"), &["source pay", "api_kye", "did you mean api_key?"]),
        (stripe("{ }"), &["source pay", "api_key"]),
        (stripe("{ api_key = 5 }"), &["source pay", "5"]),
        (stripe("{ api_key = \"sk_1\" }\nschedule = \"hourly\""), &["source pay", "schedule", "@hourly"]),
        (
            stripe("{ api_key = \"sk_1\" }\nschedule = \"@hourly\"\ntimezone = \"Berlin\""),
            &["source pay", "Europe/Berlin"],
        ),
        (stripe("{ api_key = \"sk_1\" }\nstart_date = \"soon\""), &["source pay", "start_date"]),
    ] {
        house.configure(&text);
        for command in [&["validate"][..], &["run"], &["sync", "pay"], &["sources"]] {
            let done = house.run(command).fails(2, words);
            assert!(done.err.contains("headwater.toml"), "{text}\n{done:?}");
        }
    }
    assert!(!house.path("headwater-data").exists(), "nothing was started");
    house.write("headwater.toml", b"data_dir = \"\xff\xfe\"");
    house.run(&["validate"]).fails(2, &["headwater.toml", "UTF-8"]);
    house.write("headwater.toml", format!("a = {}1{}", "[".repeat(10_000), "]".repeat(10_000)));
    house.run(&["validate"]).fails(2, &["headwater.toml"]);
}

#[test]
fn a_collection_that_is_not_there_is_named_with_those_that_are() {
    let stand = zendesk(|_| json(r#"{"groups":[],"meta":{"has_more":false}}"#));
    let house = House::new(&zendesk_source("help", &stand.url, &["tickts"]));
    house.run(&["sync", "help"]).fails(2, &["source help", "no collection tickts", "tickets"]);
    let house = House::new(&zendesk_source("help", &stand.url, &["groups"]));
    house.run(&["sync", "hlep"]).fails(2, &["no source hlep", "help"]);
    house
        .run(&["sync", "help", "--collection", "nothing"])
        .fails(2, &["source help", "no collection nothing"]);
}

#[test]
fn secrets_of_the_environment_reach_the_vendor_and_no_output() {
    let stand = zendesk(|_| json(r#"{"groups":[],"meta":{"has_more":false}}"#));
    let source = zendesk_source("help", &stand.url, &["groups"]).replace("t0ken-in-secret", "${TOKEN}");
    let mut house = House::new(&source);
    house.run(&["sync", "help"]).fails(2, &["source[0].settings.api_token", "no TOKEN"]);
    house.set("TOKEN", "t0ken-in-secret");
    house.set("RUST_LOG", "trace");
    let done = house.run(&["sync", "help"]).success();
    assert!(!done.err.contains("t0ken-in-secret") && !done.out.contains("t0ken-in-secret"), "{done:?}");
    let whole = [&std::fs::read(house.path("headwater-data/state.db")).unwrap()[..]].concat();
    assert!(!String::from_utf8_lossy(&whole).contains("t0ken-in-secret"));
}
