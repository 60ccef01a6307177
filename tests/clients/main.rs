//! Real clients: five libraries as their users install them, each sending more than a thousand mixed calls to a running `headwater run`.
//! Every call that a library put on the wire has to be in the warehouse exactly once with its fields unchanged, and nothing else.

mod headwater;
mod json;
mod library;
mod sent;
mod stored;

use std::{
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

/// Runs the library against a Headwater of its own and compares what it sent with what is stored.
fn delivers(library: &Library) {
    let began = Timestamp::now();
    let headwater = Headwater::start(library.source);
    let file = headwater.folder().join("sent.jsonl");
    library.run(&headwater, &file, CALLS);
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
