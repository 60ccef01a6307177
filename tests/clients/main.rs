//! Real clients: five libraries as their users install them, each sending more than a thousand mixed calls to a running `headwater run`.
//! Every call that a library put on the wire has to be in the warehouse exactly once with its fields unchanged, and nothing else. And a
//! real receiver: what a webhook destination is sent is proven by the library of Standard Webhooks. And a real store: files are read from an S3 that
//! takes no request without a good signature.

mod headwater;
mod json;
mod library;
mod s3;
mod sent;
mod stored;

use std::{
    net::TcpListener,
    path::Path,
    time::{Duration, Instant},
};

use headwater::Headwater;
use jiff::Timestamp;
use library::Library;

/// Calls that each library sends.
const CALLS: usize = 1_200;
/// How long the pipeline may take to turn them into rows, on a machine that does other things too.
const PATIENCE: Duration = Duration::from_secs(120);

#[test]
fn segment_analytics_node() {
    delivers(&Library::node("segment_node", "analytics-node.mjs"));
}

#[test]
fn rudder_sdk_node() {
    delivers(&Library::node("rudder_node", "rudder-sdk-node.mjs"));
}

#[test]
fn segment_analytics_next_in_chromium() {
    delivers(&Library::browser("segment_browser", "analytics-next.mjs"));
}

#[test]
fn segment_analytics_python() {
    delivers(&Library::python("segment_python", "segment_analytics.py"));
}

#[test]
fn rudder_sdk_python() {
    delivers(&Library::python("rudder_python", "rudder_sdk.py"));
}

/// Every call comes once under its own id, and the scheme's own library takes the signature of each, by either of two secrets.
#[test]
fn standard_webhooks_node() {
    const SECRETS: [&str; 2] =
        ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="];
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
    let headwater = Headwater::start(
        "hooks",
        &format!(
            "[[destination]]\nname = \"hook\"\ntype = \"webhook\"\nurl = \"http://{free}/in\"\nsecret = {SECRETS:?}\nallow_private = true\n"
        ),
    );
    let file = headwater.folder().join("came.jsonl");
    let library = Library::node("hooks", "standardwebhooks.mjs");
    let told = [("PORT", free.port().to_string()), ("SECRETS", SECRETS.join(" "))];
    let told = told.each_ref().map(|(name, value)| (*name, value.as_str()));
    library.run(&headwater, &file, CALLS, &told);
    let came = std::fs::read_to_string(&file).expect("the program wrote what came");
    assert_eq!(came.lines().count(), CALLS);
    drop(headwater.stop());
}

/// Runs the library against a Headwater of its own and compares what it sent with what is stored.
fn delivers(library: &Library) {
    let began = Timestamp::now();
    let headwater = Headwater::start(library.source, "");
    let file = headwater.folder().join("sent.jsonl");
    library.run(&headwater, &file, CALLS, &[]);
    let sent = sent::read(&file, library.is_browser());
    assert_eq!(sent.len(), CALLS, "{}: each call once in {}", library.source, file.display());
    let warehouse = headwater.data_dir().join("warehouse").join(format!("{}.db", library.source));
    wait_for_rows(&headwater, &warehouse, sent.len() as u64);
    headwater.assert_balanced(library.source, sent.len() as u64);
    let headwater = headwater.stop();
    let differences = stored::Schema::open(&warehouse).compare(&sent, began, Timestamp::now());
    assert!(
        differences.is_empty(),
        "{}: {} differences between what was sent and what is stored; the first:\n{}",
        library.source,
        differences.len(),
        differences.iter().take(12).map(|line| format!("  {line}\n")).collect::<String>(),
    );
    drop(headwater);
}

fn wait_for_rows(headwater: &Headwater, warehouse: &Path, wanted: u64) {
    let until = Instant::now() + PATIENCE;
    loop {
        let found = stored::count(warehouse);
        if found >= wanted {
            return;
        }
        assert!(
            Instant::now() < until,
            "{found} of {wanted} calls are in the warehouse after {} s; the log ends:\n{}",
            PATIENCE.as_secs(),
            headwater.log_end(),
        );
        std::thread::sleep(Duration::from_millis(100));
    }
}
