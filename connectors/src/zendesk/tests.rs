use headwater_core::record::Record;

use super::*;

fn config() -> Value {
    let config: Value = serde_json::from_str(include_str!("../../../fixtures/zendesk/config.json")).unwrap();
    config["settings"].clone()
}

fn open(change: impl FnOnce(&mut Value)) -> Result<Zendesk, String> {
    let mut settings = config();
    change(&mut settings);
    serde_json::from_value(settings).map_err(|error| error.to_string())
}

/// The bodies of a recording, in order.
fn bodies(recording: &str) -> Vec<Vec<u8>> {
    let exchanges = recording.split("### ").skip(1);
    exchanges.filter_map(|exchange| Some(exchange.split_once("\n\n")?.1.as_bytes().to_vec())).collect()
}

fn answer(status: u16, body: &'static str) -> Answer {
    Answer { status: status.try_into().unwrap(), headers: Default::default(), body: body.as_bytes().into() }
}

#[test]
fn a_subdomain_is_a_bare_label() {
    for wrong in ["acme.zendesk.com", "https://acme", "", "-acme", "acme/x", "acme@evil", "é"] {
        let error = open(|settings| settings["subdomain"] = wrong.into()).unwrap_err();
        assert!(error.contains("is not a bare label: write acme for acme.zendesk.com"), "{error}");
    }
    assert_eq!(
        open(|settings| settings["subdomain"] = "Acme-2".into()).unwrap().url(),
        "https://acme-2.zendesk.com"
    );
}

#[test]
fn a_login_is_whole_and_only_one() {
    assert!(matches!(open(|_| {}).unwrap().auth(), Ok(Auth::Basic(user, _)) if user.ends_with("/token")));
    let oauth = |refresh: bool| {
        open(|settings| {
            let settings = settings.as_object_mut().unwrap();
            settings.retain(|name, _| name == "subdomain");
            settings.insert("client_id".into(), "headwater".into());
            settings.insert("client_secret".into(), "s".into());
            if refresh {
                settings.insert("refresh_token".into(), "r".into());
            }
        })
    };
    let grant = |refresh| match oauth(refresh).unwrap().auth().unwrap() {
        Auth::OAuth(oauth) => oauth.grant,
        other => panic!("{other:?}"),
    };
    assert!(matches!(grant(true), Grant::RefreshToken(_)));
    assert!(matches!(grant(false), Grant::ClientCredentials));
    for incomplete in ["api_token", "email"] {
        let source = open(|settings| drop(settings.as_object_mut().unwrap().remove(incomplete))).unwrap();
        assert_eq!(source.auth().unwrap_err().kind(), Kind::Config);
    }
    let both = open(|settings| settings["client_id"] = "x".into()).unwrap();
    assert_eq!(both.auth().unwrap_err().kind(), Kind::Config);
    assert!(open(|settings| settings["tokn"] = "x".into()).unwrap_err().contains("tokn"));
}

#[test]
fn refusals_say_whose_move_it_is() {
    let kind = |status, body| judge(&answer(status, body)).map(|error| error.kind());
    assert_eq!(
        kind(400, r#"{"error":"StartTimeTooRecent","description":"Too recent start_time"}"#),
        Some(Kind::Transient)
    );
    assert_eq!(kind(422, r#"{"error":"StartTimeTooRecent"}"#), Some(Kind::Transient));
    assert_eq!(kind(404, r#"{"error":"InvalidEndpoint","description":"Not found"}"#), Some(Kind::Forbidden));
    assert_eq!(kind(404, r#"{"error":"RecordNotFound","description":"Not found"}"#), None);
    assert_eq!(
        kind(404, r#"{"error":{"title":"No help desk at acme.zendesk.com","message":"…"}}"#),
        Some(Kind::Config)
    );
    assert_eq!(kind(403, "<html>"), Some(Kind::Forbidden));
    assert_eq!(kind(401, r#"{"error":"Couldn't authenticate you"}"#), None);
    let error = judge(&answer(
        403,
        r#"{"error":{"title":"Forbidden","message":"You do not have access to\nthis page."}}"#,
    ));
    assert!(error.unwrap().message().ends_with("(You do not have access to this page.)"));
}

#[test]
fn a_ticket_event_becomes_rows_of_three_tables() {
    let mut events = Vec::new();
    for body in bodies(include_str!("../../../fixtures/zendesk/ticket_event_export.http")) {
        for record in Record::split(&body.into(), "ticket_events").unwrap() {
            rest::changes(&FEEDS[0].read, record, &mut events).unwrap();
        }
    }
    assert_eq!(events.len(), 6, "three pages, two of which repeat the last event of the one before");
    let rows = export::expand(&events).unwrap();
    let of = |table| rows.iter().filter(move |change| change.collection == table);
    // 4 + 3 + 3 + 1 children, and the repeated 3 + 1.
    assert_eq!(
        (of("ticket_events").count(), of("ticket_comments").count(), of("attachments").count()),
        (15, 4, 2)
    );
    let text = |change: &Change, path| change.record.text(path).unwrap();

    let comment = of("ticket_comments").next().unwrap();
    let parent = comment.parent.as_ref().unwrap();
    assert_eq!(parent.text("ticket_id").unwrap().as_deref(), Some("41207"));
    assert_eq!(text(comment, "via").as_deref(), Some("email"));
    assert!(comment.record.part("via_source").unwrap().is_some());
    assert!(comment.record.at("attachments").unwrap().is_none());

    let file = of("attachments").nth(1).unwrap();
    assert_eq!((file.index, file.parent.as_ref().unwrap().text("id").unwrap()), (1, text(comment, "id")));

    let event = of("ticket_events").next().unwrap();
    assert_eq!(
        (text(event, "id"), text(event, "body")),
        (text(comment, "id"), None),
        "a comment's text stands once"
    );
    assert_eq!(text(of("ticket_events").nth(1).unwrap(), "via").as_deref(), Some("Mail"));
    assert_eq!(text(of("ticket_comments").nth(2).unwrap(), "type").as_deref(), Some("VoiceComment"));
}

#[test]
fn a_deleted_row_is_loaded_and_marked() {
    for (name, recording, id) in [
        ("tickets", include_str!("../../../fixtures/zendesk/tickets.http"), "41211"),
        ("users", include_str!("../../../fixtures/zendesk/users.http"), "22904420133"),
        ("organizations", include_str!("../../../fixtures/zendesk/organizations.http"), "23100460091"),
        ("groups", include_str!("../../../fixtures/zendesk/groups.http"), "23017719410"),
    ] {
        let collection = COLLECTIONS.iter().find(|collection| collection.name == name).unwrap();
        let mut changes = Vec::new();
        for body in bodies(recording) {
            for record in Record::split(&body.into(), name).unwrap() {
                rest::changes(collection, record, &mut changes).unwrap();
            }
        }
        let deleted: Vec<_> = changes.iter().filter(|change| change.op == Op::Delete).collect();
        assert_eq!(deleted.len(), 1, "{name}");
        assert_eq!(deleted[0].record.text("id").unwrap().as_deref(), Some(id));
    }
}

fn field(id: u64, kind: &str, title: &str) -> Record {
    Record::new(&json!({ "id": id, "type": kind, "title": title })).unwrap()
}

#[test]
fn a_slug_is_the_title_with_underscores() {
    let slug = |title: &str| {
        let mut change = Change::upsert("ticket_fields", field(360, "text", title));
        export::slug(&mut change).unwrap();
        change.record.text("slug").unwrap().unwrap()
    };
    assert_eq!(slug("Refund  agreed? (EUR)"), "refund_agreed_eur");
    assert_eq!(slug("お名前"), "field_360");
    assert_eq!(slug("2nd contact"), "field_2nd_contact");
}

#[test]
fn custom_fields_are_columns_of_their_own_name() {
    let fields = [
        field(1, "checkbox", "Refund agreed?"),
        field(2, "status", "Ticket status"),
        field(3, "tagger", "Priority"),
        field(4, "decimal", "Priority"),
        field(5, "regexp", "Priority"),
        field(6, "date", &"very long ".repeat(20)),
    ];
    let columns = export::with_custom("id int, priority text", &fields).unwrap();
    let moved: Vec<_> = fields.iter().rev().chain(&fields[1..4]).cloned().collect();
    assert_eq!(export::with_custom("id int, priority text", &moved).unwrap(), columns);
    let collection = Collection { fields: columns, ..Collection::DEFAULT };
    let names: Vec<_> = collection.fields().map(|field| field.unwrap().name).collect();
    assert_eq!(names[..5], ["id", "priority", "refund_agreed", "custom_priority", "priority_4"]);
    assert_eq!(names[5..].len(), 2);
    assert!(names.iter().all(|name| name.len() < 63), "{names:?}");

    let ticket = json!({ "id": 7, "custom_fields": [{ "id": 1, "value": true }, { "id": 3, "value": null }], "fields": [] });
    let ticket = export::ticket(&Record::new(&ticket).unwrap()).unwrap();
    assert_eq!(
        serde_json::from_slice::<Value>(ticket.bytes()).unwrap(),
        json!({ "id": 7, "custom_fields": [{ "id": 1, "value": true }, { "id": 3, "value": null }], "custom_field": { "f1": true } })
    );
}

#[test]
fn every_field_is_written_right() {
    for collection in COLLECTIONS.iter().chain(FEEDS.iter().map(|feed| &feed.read)) {
        for field in collection.fields() {
            field.unwrap_or_else(|text| panic!("{}: {text}", collection.name));
        }
    }
}
