//! The laws, tried: for each a source that it must catch, and one that none may. A law that nobody has tried to fail is not
//! a law. They run as `broken::<law>::<what is wrong>`; that the list lacks no law is one of them.

use std::sync::Arc;

use headwater_core::{connector::Objects, prelude::*};
use libtest_mimic::{Failed, Trial};

use crate::{
    cases,
    fixture::{Files, Fixtures},
    laws::LAWS,
    subject::Subject,
    toy::{self, COLLECTIONS, FEEDS, Toy, WEBHOOK},
};

/// A source with a fault, and the law that must catch it.
struct Broken {
    law: &'static str,
    what: &'static str,
    /// Words of what the law says of it: to be caught for another reason is not to be caught.
    says: &'static str,
    subject: fn() -> Parts,
}

/// What a source is made of.
struct Parts {
    connector: Connector,
    files: Files,
}

/// Every broken source.
const BROKEN: &[Broken] = &[
    Broken {
        law: "config",
        what: "no_doc_comments",
        says: "has no doc comment",
        subject: || with(Connector { settings: SETTINGS.settings, ..toy::CONNECTOR }),
    },
    Broken {
        law: "config",
        what: "unknown_settings_are_taken",
        says: "an unknown setting is taken",
        subject: || with(LAX),
    },
    Broken {
        law: "config",
        what: "config_does_not_open",
        says: "config.json does not open",
        subject: || edit("config.json", "api_key", "apikey"),
    },
    Broken {
        law: "docs",
        what: "a_page_of_yesterday",
        says: "is not what the code says",
        subject: || {
            let klaviyo = headwater_connectors::find("klaviyo").expect("it is in the registry");
            with(Connector { title: "Klaviyo as it was", ..*klaviyo })
        },
    },
    Broken {
        law: "names",
        what: "capital_letters",
        says: "not in lower snake case",
        subject: || people(Collection { name: "People", ..PEOPLE }),
    },
    Broken {
        law: "names",
        what: "a_key_that_is_no_field",
        says: "none of its fields",
        subject: || people(Collection { key: &["uid"], ..PEOPLE }),
    },
    Broken {
        law: "names",
        what: "no_field",
        says: "is not a column",
        subject: || people(Collection { fields: "id text, email", ..PEOPLE }),
    },
    Broken {
        law: "names",
        what: "no_limit_of_that_name",
        says: "has no limit slow",
        subject: || people(Collection { limit: Some("slow"), ..PEOPLE }),
    },
    Broken {
        law: "names",
        what: "retired_and_a_field",
        says: "is retired, and a field",
        subject: || people(Collection { retired: &[("email", "it is gone")], ..PEOPLE }),
    },
    Broken {
        law: "fixtures",
        what: "no_recording",
        says: "visits.http is missing",
        subject: || without("visits.http"),
    },
    Broken {
        law: "fixtures",
        what: "no_delivery",
        says: "no delivery becomes",
        subject: || without("person_known.json"),
    },
    Broken {
        law: "parity",
        what: "a_missing_column",
        says: "people has no phone",
        subject: || edit("catalog.json", "\"email\"", "\"phone\""),
    },
    Broken {
        law: "parity",
        what: "a_missing_collection",
        says: "there is no collection persons",
        subject: || edit("catalog.json", "\"people\"", "\"persons\""),
    },
    Broken {
        law: "parity",
        what: "a_missing_call",
        says: "there is no track",
        subject: || edit("catalog.json", "Person Joined", "Person Left"),
    },
    Broken {
        law: "parity",
        what: "a_missing_property",
        says: "has no price",
        subject: || edit("catalog.json", "[\"plan\"]", "[\"price\"]"),
    },
    Broken {
        law: "parity",
        what: "a_missing_prefix",
        says: "has no utm_",
        subject: || edit("catalog.json", "sec*", "utm_"),
    },
    Broken {
        law: "check",
        what: "another_account",
        says: "it tells the account",
        subject: || edit("_check.http", "\"a1\"", "\"a2\""),
    },
    Broken { law: "check", what: "hasty", says: "the vendor has failed", subject: || fault("hasty") },
    Broken {
        law: "fields",
        what: "another_type",
        says: "people.name is no text",
        subject: || edit("people.http", "\"Ada\"", "[1]"),
    },
    Broken {
        law: "fields",
        what: "a_path_to_nowhere",
        says: "no recorded row has mail.address",
        subject: || people(Collection { fields: "id text, email text = mail.address", ..PEOPLE }),
    },
    Broken {
        law: "keys",
        what: "one_key_twice",
        says: "two different rows have the key",
        subject: || edit("people.http", "\"id\":\"p3\"", "\"id\":\"p1\""),
    },
    Broken {
        law: "keys",
        what: "no_key",
        says: "id is missing",
        subject: || edit("visits.http", "{\"id\":2,", "{\"uid\":2,"),
    },
    Broken {
        law: "keys",
        what: "no_row",
        says: "no recorded row",
        subject: || edit("news.http", "\"data\":[{", "\"rows\":[{"),
    },
    Broken { law: "resume", what: "remembers", says: "rows instead of", subject: || fault("remembers") },
    Broken { law: "resume", what: "drifts", says: "rows instead of", subject: || fault("drifts") },
    Broken { law: "empty", what: "invents", says: "an empty page brought", subject: || fault("invents") },
    Broken { law: "empty", what: "endless", says: "does not move", subject: || fault("endless") },
    Broken { law: "idle", what: "stops_early", says: "never asks for", subject: || fault("stops early") },
    Broken { law: "idle", what: "asked_by_nobody", says: "a page too much", subject: idle },
    Broken {
        law: "signed",
        what: "unsigned",
        says: "no host wants a credential",
        subject: || fault("unsigned"),
    },
    Broken { law: "patience", what: "hasty", says: "the vendor has failed", subject: || fault("hasty") },
    Broken {
        law: "patience",
        what: "gives_up",
        says: "rows instead of",
        subject: || fault("gives up hastily"),
    },
    Broken { law: "refusals", what: "swallows", says: "a 403 to", subject: || fault("swallows") },
    Broken { law: "refusals", what: "lenient", says: "a 401 to", subject: || fault("lenient") },
    Broken { law: "leaves", what: "gives_up", says: "is no error", subject: || fault("gives up") },
    Broken { law: "pull", what: "pulls_once", says: "never asked for", subject: || fault("pulls once") },
    Broken {
        law: "pull",
        what: "a_rejected_event",
        says: "fetched and rejected",
        subject: || {
            edit(
                "_pull.http",
                "\"type\":\"person.joined\",\"at\":\"2026-10-31T12:00:01Z\"",
                "\"at\":\"soon\"",
            )
        },
    },
    Broken {
        law: "pull_resume",
        what: "pulls_from_memory",
        says: "deliveries instead of",
        subject: || fault("pulls from memory"),
    },
    Broken {
        law: "lookups",
        what: "asks_elsewhere",
        says: "none of this API's hosts",
        subject: || edit_all("asks elsewhere"),
    },
    Broken {
        law: "lookups",
        what: "asked_by_nobody",
        says: "never asked for",
        subject: || edit("_lookups.http", "### ", "### first\nGET /v1/people/p9\nHTTP/1.1 200\n\n{}\n### "),
    },
    Broken { law: "proof", what: "closed", says: "has no secret", subject: || fault("closed") },
    Broken {
        law: "proof",
        what: "signs_nothing_of_the_body",
        says: "one changed at byte",
        subject: || signed(&[Part::Text("hello")], toy::SIGNATURE.stamp),
    },
    Broken {
        law: "proof",
        what: "the_time_is_not_signed",
        says: "with the time of another",
        subject: || signed(&[Part::Body], toy::SIGNATURE.stamp),
    },
    Broken {
        law: "proof",
        what: "never_stale",
        says: "a stale one is taken",
        subject: || {
            signed(
                toy::SIGNATURE.over,
                toy::SIGNATURE.stamp.map(|stamp| Stamp { tolerance: Duration::MAX, ..stamp }),
            )
        },
    },
    Broken {
        law: "mapping",
        what: "another_call",
        says: "instead of",
        subject: || edit("person_joined.calls.json", "\"team\"", "\"free\""),
    },
    Broken { law: "mapping", what: "nobody", says: "has not anybody", subject: nobody },
    Broken {
        law: "mapping",
        what: "a_rejected_item",
        says: "rejected",
        subject: || edit("person_joined.json", "person.joined\"", "person.joined\",\"type\":7,\"x\":\""),
    },
    Broken { law: "twice", what: "counts", says: "messageId is", subject: || fault("counts") },
    Broken { law: "whole", what: "loses", says: "is there 0 times", subject: || fault("loses") },
    Broken {
        law: "whole",
        what: "loses_one_of_two",
        says: "is there 1 times",
        subject: || fault("loses half"),
    },
    Broken { law: "rubbish", what: "panics", says: "panics", subject: || fault("panics") },
];

/// The broken sources as tests.
pub fn trials() -> Vec<Trial> {
    let mut trials: Vec<Trial> = BROKEN.iter().map(Broken::trial).collect();
    trials.push(Trial::test("broken::every_law_has_one", || {
        let missing: Vec<&str> = LAWS
            .iter()
            .map(|law| law.name)
            .filter(|law| !BROKEN.iter().any(|broken| broken.law == *law))
            .collect();
        match missing.is_empty() {
            true => Ok(()),
            false => Err(Failed::from(format!("nothing broken for {}", missing.join(", ")))),
        }
    }));
    // The one that no law may catch.
    match subject(with(toy::CONNECTOR)) {
        Ok(good) => {
            let good = Arc::new(good);
            trials.extend(cases(&good).into_iter().map(|case| case.trial("broken::good", &good)));
        }
        Err(why) => trials.push(Trial::test("broken::good::fixtures", move || Err(Failed::from(why)))),
    }
    trials
}

impl Broken {
    fn trial(&self) -> Trial {
        let Self { law, says, subject: make, .. } = *self;
        Trial::test(format!("broken::{law}::{}", self.what), move || {
            let subject = subject(make()).map_err(Failed::from)?;
            let tried: Vec<_> = cases(&subject).into_iter().filter(|case| case.law.name == law).collect();
            let found: Vec<String> = tried.iter().filter_map(|case| case.holds(&subject).err()).collect();
            match found.iter().any(|why| why.contains(says)) {
                true => Ok(()),
                false => Err(Failed::from(format!(
                    "{} cases of {law}; none says {says:?}: {found:#?}",
                    tried.len()
                ))),
            }
        })
    }
}

fn subject(parts: Parts) -> Result<Subject, String> {
    Ok(Subject { connector: Box::leak(Box::new(parts.connector)), fixtures: Fixtures::parse(&parts.files)? })
}

fn with(connector: Connector) -> Parts {
    Parts { connector, files: toy::files() }
}

/// The good one, but for some characters of a fixture.
fn edit(file: &str, from: &str, to: &str) -> Parts {
    let mut files = toy::files();
    if let Some(text) = files.get_mut(file) {
        let before = String::from_utf8_lossy(text).into_owned();
        assert!(before.contains(from), "{file} has no {from}");
        *text = before.replace(from, to).into();
    }
    Parts { connector: toy::CONNECTOR, files }
}

fn without(file: &str) -> Parts {
    let mut parts = with(toy::CONNECTOR);
    parts.files.remove(file);
    parts.files.remove(&file.replace(".json", ".calls.json"));
    parts
}

/// The good one, with a fault of its own.
fn fault(name: &str) -> Parts {
    edit("config.json", "\"fault\":\"\"", &format!("\"fault\":\"{name}\""))
}

const PEOPLE: Collection = COLLECTIONS[2];

/// The good one, whose look-ups go to another host, and are recorded as such.
fn edit_all(name: &str) -> Parts {
    let mut parts = fault(name);
    if let Some(text) = parts.files.get_mut("_lookups.http") {
        *text =
            String::from_utf8_lossy(text).replace("GET /v1", "GET https://elsewhere.example.net/v1").into();
    }
    parts
}

/// The good one with another `people`.
fn people(collection: Collection) -> Parts {
    let collections: Vec<Collection> =
        COLLECTIONS.iter().map(|known| if known.name == PEOPLE.name { collection } else { *known }).collect();
    let open = toy::CONNECTOR.objects.map(|objects| objects.open);
    let objects = open.map(|open| Objects { collections: collections.leak(), feeds: FEEDS, open });
    with(Connector { objects, ..toy::CONNECTOR })
}

/// The good one, signed over other parts.
fn signed(over: &'static [Part], stamp: Option<Stamp>) -> Parts {
    surface(Signature::Hmac(Hmac { over, stamp, ..toy::SIGNATURE }))
}

/// The good one, signed otherwise.
fn surface(signature: Signature) -> Parts {
    let surfaces = vec![Surface { signature, ..WEBHOOK.surfaces[0] }].leak();
    let webhook: &'static Webhook = Box::leak(Box::new(Webhook { surfaces, ..WEBHOOK }));
    with(toy::CONNECTOR.events::<Toy>(webhook))
}

/// The good one, with an exchange that nothing asks for.
fn idle() -> Parts {
    let mut parts = with(toy::CONNECTOR);
    if let Some(text) = parts.files.get_mut("visits.http") {
        let more = "\n### a page too much\nGET /v1/visits?page=3\nHTTP/1.1 200\n\n{}\n";
        *text = [text.as_ref(), more.as_bytes()].concat().into();
    }
    parts
}

/// The good one, whose calls are of nobody, and are expected to be.
fn nobody() -> Parts {
    let mut parts = fault("forgets who");
    for file in ["person_joined.calls.json", "person_known.calls.json"] {
        if let Some(text) = parts.files.get_mut(file) {
            *text = String::from_utf8_lossy(text).replace("\"userId\":\"p1\",", "").into();
        }
    }
    parts
}

/// Settings that say nothing of themselves, and hide nothing.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is looked at")]
struct Untold {
    api_key: String,
    webhook_secret: Option<Vec<String>>,
}

const SETTINGS: Connector =
    Connector::new("toy", "Toy", "other", "https://toy.example.com").settings::<Untold>();

/// Settings that take anything.
#[derive(Deserialize, JsonSchema)]
struct Lax {
    /// The key.
    #[serde(default)]
    _key_id: String,
}

const LAX: Connector = {
    let lax = Connector::new("toy", "Toy", "other", "https://toy.example.com/docs");
    lax.settings::<Lax>().events::<Lax>(&WEBHOOK)
};

impl EventSource for Lax {
    fn secrets(&self, _: &Surface) -> Vec<Secret> {
        Vec::new()
    }

    fn map(&self, _: &Item<'_>) -> Result<Vec<Output>> {
        Ok(Vec::new())
    }
}
