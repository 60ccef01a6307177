//! An S3 that takes no request without a good signature: files of every format become calls, names that are hard to sign among them, and
//! a notification brings a new one at once.

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Stdio},
    time::{Duration, Instant},
};

use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{PATIENCE, headwater::Headwater, library::Library, stored};

const BUCKET: &str = "example-bucket";
/// Rows of the largest file: it is read in parts.
const ROWS: usize = 40_000;
/// A poll comes after a minute: what is there sooner was notified.
const SOON: Duration = Duration::from_secs(30);

/// The store; it ends when this is dropped.
struct Store {
    child: Child,
    say: Option<ChildStdin>,
    hear: BufReader<ChildStdout>,
    folder: TempDir,
    /// Where it is, and the keys that it takes.
    told: Value,
}

impl Store {
    fn start() -> Self {
        let folder = TempDir::with_prefix_in("s3-", env!("CARGO_TARGET_TMPDIR")).expect("a folder");
        let log = std::fs::File::create(folder.path().join("log")).expect("a log");
        let mut child = Library::python("s3", "moto_s3.py")
            .command()
            .env("FOLDER", folder.path())
            .env("BUCKET", BUCKET)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("the store starts");
        let (say, hear) = (child.stdin.take(), child.stdout.take().expect("it speaks"));
        let mut store = Self { child, say, hear: BufReader::new(hear), folder, told: Value::Null };
        store.told = store.hear();
        store
    }

    fn hear(&mut self) -> Value {
        let mut line = String::new();
        self.hear.read_line(&mut line).expect("it says something");
        let log = || std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("the store says {line:?}:\n{}", log()))
    }

    fn put(&mut self, key: &str, content: &[u8]) {
        std::fs::write(self.folder.path().join(key.replace('/', "_")), content).expect("a file");
        writeln!(self.say.as_mut().expect("it listens"), "put {key}").expect("it hears");
        assert_eq!(self.hear(), json!({ "put": key }));
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        drop(self.say.take());
        // It may have ended already.
        let _ = (self.child.kill(), self.child.wait());
    }
}

fn packed(text: &str) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(text.as_bytes()).expect("memory");
    packed.finish().expect("memory")
}

#[test]
fn amazon_s3() {
    let mut store = Store::start();
    store.put(
        "events/a b+(1)&ü/track_é ~'*!.csv",
        b"userId,event,properties.note\nu-1,From CSV,\"two\nlines\"\nu-2,From CSV,\n",
    );
    store.put(
        "events/calls.ndjson.gz",
        &packed("{\"type\":\"track\",\"userId\":\"u\",\"event\":\"From NDJSON\"}\n"),
    );
    store.put(
        "events/calls.json",
        b"[{\"type\":\"identify\",\"userId\":\"u-3\",\"traits\":{\"email\":\"ada@example.com\"}}]",
    );
    store.put("elsewhere/track_not.csv", b"userId,event\nu,Not\n");
    let rows: String = (0..ROWS)
        .map(|row| format!("u-{row},From Many,{row},a longer cell so that it takes some room\n"))
        .collect();
    store.put(
        "events/track_many.csv",
        format!("userId,event,properties.row,properties.text\n{rows}").as_bytes(),
    );
    let told = |name: &str| store.told[name].as_str().expect("it is told").to_owned();
    let headwater = Headwater::start(
        "site",
        &format!(
            "[[source]]\nname = \"files\"\nconnector = \"amazon-s3\"\nbase_url = {:?}\nwebhook_key = \"hook-key-of-the-bucket\"\n\
             settings = {{ bucket = {BUCKET:?}, region = \"eu-central-1\", prefix = \"events/\", access_key_id = {:?}, \
             secret_access_key = {:?} }}\n",
            told("url"),
            told("key"),
            told("secret"),
        ),
    );
    let warehouse = headwater.data_dir().join("warehouse").join("files.db");
    wait(&headwater, &warehouse, ROWS + 4, PATIENCE);
    // A second file of the same bytes is another file.
    std::thread::sleep(Duration::from_secs(3));
    store.put("events/track_later.csv", b"userId,event\nu-9,From Later\n");
    std::thread::sleep(Duration::from_secs(3));
    let body = json!({ "Records": [{ "eventName": "ObjectCreated:Put", "s3": { "object": { "key": "whatever" } } }] });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    let url = format!("{}/webhooks/files/hook-key-of-the-bucket", headwater.url());
    let posted = runtime.block_on(http.post(url).body(body.to_string()).send()).expect("an answer");
    assert_eq!(posted.status(), 200);
    wait(&headwater, &warehouse, ROWS + 5, SOON);
    drop(headwater.stop());
}

fn wait(headwater: &Headwater, warehouse: &Path, wanted: usize, patience: Duration) {
    let until = Instant::now() + patience;
    loop {
        let found = stored::count(warehouse) as usize;
        assert!(found <= wanted, "{found} calls, {wanted} rows");
        if found == wanted {
            return;
        }
        assert!(
            Instant::now() < until,
            "{found} of {wanted} rows are in the warehouse after {} s; the log ends:\n{}",
            patience.as_secs(),
            headwater.log_end(),
        );
        std::thread::sleep(Duration::from_millis(100));
    }
}
