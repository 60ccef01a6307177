//! A vendor that rotates refresh tokens, and a program that is killed at every step of a renewal: nobody is locked out, but where the
//! vendor's answer itself was lost, and then it is said what to do.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    time::Duration,
};

use serde_json::json;

use crate::house::{House, until};

/// Where the vendor waits for the test while it renews a token.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Wait {
    Nowhere,
    /// The request has come, nothing has changed yet.
    Asked,
    /// The old refresh token is spent, the new one not yet sent.
    Rotated,
    /// The first request with the new token has come.
    Used,
}

/// The vendor's side.
struct Vendor {
    refresh: String,
    /// The one before; good until the newer one is used, where the vendor is so kind.
    before: Option<String>,
    is_kind: bool,
    access: String,
    renewals: usize,
    uses: usize,
    wait: Wait,
}

struct Stand {
    url: String,
    vendor: Arc<Mutex<Vendor>>,
    /// The vendor is where it waits.
    arrived: Receiver<()>,
    /// It goes on.
    go: SyncSender<()>,
}

fn stand(is_kind: bool) -> Stand {
    let vendor = Arc::new(Mutex::new(Vendor {
        refresh: "refresh-0".into(),
        before: None,
        is_kind,
        access: String::new(),
        renewals: 0,
        uses: 0,
        wait: Wait::Nowhere,
    }));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (arrive, arrived) = sync_channel(0);
    let (go, gone) = sync_channel(0);
    let gone = Arc::new(Mutex::new(gone));
    let serving = vendor.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (vendor, arrive, gone) = (serving.clone(), arrive.clone(), gone.clone());
            std::thread::spawn(move || drop(serve(stream, &vendor, &arrive, &gone)));
        }
    });
    Stand { url, vendor, arrived, go }
}

/// Answers the requests of one connection.
fn serve(
    mut stream: TcpStream,
    vendor: &Mutex<Vendor>,
    arrive: &SyncSender<()>,
    gone: &Mutex<Receiver<()>>,
) -> std::io::Result<()> {
    let pause = |here: Wait| {
        if vendor.lock().unwrap().wait == here {
            vendor.lock().unwrap().wait = Wait::Nowhere;
            // A test that has ended waits for nobody.
            let _ = arrive.send(());
            let _ = gone.lock().unwrap().recv();
        }
    };
    let mut reader = BufReader::new(stream.try_clone()?);
    loop {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            if line.trim().is_empty() {
                break;
            }
            lines.push(line.trim().to_owned());
        }
        let header = |name: &str| {
            let lower = |line: &String| line.to_ascii_lowercase().starts_with(name);
            lines
                .iter()
                .find(|line| lower(line))
                .and_then(|line| Some(line.split_once(':')?.1.trim().to_owned()))
        };
        let length = header("content-length:").and_then(|text| text.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let (status, text) = if lines[0].contains("/services/oauth2/token") {
            pause(Wait::Asked);
            let answer = vendor.lock().unwrap().renew(&body);
            pause(Wait::Rotated);
            answer
        } else {
            let carried = header("authorization:").unwrap_or_default();
            let is_good = carried == format!("Bearer {}", vendor.lock().unwrap().access);
            if is_good {
                pause(Wait::Used);
            }
            vendor.lock().unwrap().answer(&carried)
        };
        write!(
            stream,
            "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{text}",
            text.len()
        )?;
    }
}

impl Vendor {
    fn renew(&mut self, body: &[u8]) -> (u16, String) {
        let given = form_urlencoded::parse(body).find(|(name, _)| name == "refresh_token");
        let given = given.map(|(_, value)| value.into_owned()).unwrap_or_default();
        if given != self.refresh && !(self.is_kind && self.before.as_ref() == Some(&given)) {
            return (
                400,
                r#"{"error":"invalid_grant","error_description":"expired access/refresh token"}"#.into(),
            );
        }
        self.renewals += 1;
        self.before = Some(given);
        self.refresh = format!("refresh-{}", self.renewals);
        self.access = format!("access-{}", self.renewals);
        let token = json!({
            "access_token": self.access, "refresh_token": self.refresh, "instance_url": "https://acme.my.salesforce.com",
            "id": "https://login.salesforce.com/id/00D000000000001/005000000000001", "expires_in": 3600,
        });
        (200, token.to_string())
    }

    fn answer(&mut self, authorization: &str) -> (u16, String) {
        if authorization != format!("Bearer {}", self.access) {
            return (
                401,
                r#"[{"errorCode":"INVALID_SESSION_ID","message":"Session expired or invalid"}]"#.into(),
            );
        }
        self.uses += 1;
        self.before = None;
        (200, r#"{"organization_id":"00D000000000001","user_id":"005000000000001"}"#.into())
    }
}

fn source(name: &str, stand: &Stand, refresh: &str, more: &str) -> String {
    format!(
        "[[source]]\nname = \"{name}\"\nconnector = \"salesforce\"\nbase_url = \"{}\"\n{more}\n\
         settings = {{ auth = {{ type = \"oauth\", client_id = \"app\", refresh_token = \"{refresh}\" }} }}\n",
        stand.url
    )
}

impl Stand {
    /// Starts a check of the credentials, and kills it when the vendor is there.
    fn kill_at(&self, house: &House, wait: Wait) {
        self.vendor.lock().unwrap().wait = wait;
        let running = house.start(&["check", "sales"]);
        self.arrived
            .recv_timeout(Duration::from_secs(60))
            .unwrap_or_else(|_| panic!("{wait:?}: {}", running.err()));
        assert!(running.kill(), "it ended by itself");
        self.go.send(()).unwrap();
    }

    fn renewals(&self) -> usize {
        self.vendor.lock().unwrap().renewals
    }
}

#[test]
fn killed_before_the_vendor_rotates_or_after_the_token_is_kept_it_goes_on() {
    let stand = stand(false);
    let house = House::new(&source("sales", &stand, "refresh-0", ""));
    // Killed while it asks: the request never reaches the vendor's books, as if the vendor had gone away before it.
    stand.vendor.lock().unwrap().wait = Wait::Asked;
    let running = house.start(&["check", "sales"]);
    stand.arrived.recv_timeout(Duration::from_secs(60)).unwrap();
    assert!(running.kill());
    let untouched = stand.vendor.lock().unwrap().refresh.clone();
    stand.go.send(()).unwrap();
    until("the vendor is done", || stand.renewals() == 1);
    // What a vendor did for a connection that was gone is undone here: it never saw the request.
    {
        let mut vendor = stand.vendor.lock().unwrap();
        (vendor.refresh, vendor.renewals) = (untouched, 0);
    }
    house.run(&["check", "sales"]).success();
    assert_eq!(stand.renewals(), 1);
    // Killed when it first uses the new token: that one is on disk, with its refresh token.
    stand.vendor.lock().unwrap().access = "ended early".into();
    stand.kill_at(&house, Wait::Used);
    assert_eq!(stand.renewals(), 2);
    house.run(&["check", "sales"]).success();
    assert_eq!(stand.renewals(), 2, "the kept one is good");
    // The refresh token of the settings is long spent: only the vault's is good.
    stand.vendor.lock().unwrap().access = "ended early".into();
    house.run(&["check", "sales"]).success();
    assert_eq!(stand.renewals(), 3);
}

#[test]
fn an_answer_that_is_lost_locks_out_only_where_the_vendor_keeps_no_older_token() {
    // One that takes the older token until the newer is used: nothing is lost.
    let kind = stand(true);
    let house = House::new(&source("sales", &kind, "refresh-0", ""));
    kind.kill_at(&house, Wait::Rotated);
    house.run(&["check", "sales"]).success();
    assert_eq!(kind.renewals(), 2);

    // One that does not: the user is told, and a new consent is enough.
    let strict = stand(false);
    let house = House::new(&source("sales", &strict, "refresh-0", ""));
    strict.kill_at(&house, Wait::Rotated);
    house.run(&["check", "sales"]).fails(3, &["invalid_grant", "connect it again"]);
    let consent = strict.vendor.lock().unwrap().refresh.clone();
    house.configure(&format!(
        "[receive]\nlisten = \"127.0.0.1:0\"\n{}",
        source("sales", &strict, &consent, "")
    ));
    house.run(&["check", "sales"]).success();
}

#[test]
fn a_token_is_not_used_before_it_is_on_disk() {
    let stand = stand(false);
    let house = House::new(&source("sales", &stand, "refresh-0", ""));
    house.run(&["sources"]).success();
    stand.vendor.lock().unwrap().wait = Wait::Rotated;
    let running = house.start(&["check", "sales"]);
    stand.arrived.recv_timeout(Duration::from_secs(60)).unwrap();
    // Somebody holds the disk: the new token cannot be kept yet.
    let held = rusqlite::Connection::open(house.path("headwater-data/state.db")).unwrap();
    held.execute_batch("PRAGMA busy_timeout = 10000; BEGIN IMMEDIATE").unwrap();
    stand.go.send(()).unwrap();
    std::thread::sleep(Duration::from_millis(1_500));
    assert_eq!(stand.vendor.lock().unwrap().uses, 0, "used before it was kept");
    held.execute_batch("ROLLBACK").unwrap();
    running.wait(Duration::from_secs(60)).success();
    assert_eq!((stand.renewals(), stand.vendor.lock().unwrap().uses > 0), (1, true));
}

#[test]
fn two_sources_of_one_consent_renew_once() {
    let stand = stand(false);
    let both: String = ["sales", "support"]
        .map(|name| source(name, &stand, "refresh-0", "schedule = \"every 1h\""))
        .concat();
    let house = House::new(&both);
    stand.vendor.lock().unwrap().wait = Wait::Rotated;
    let service = house.serve();
    // Both begin at once; the one waits for the other's renewal.
    stand.arrived.recv_timeout(Duration::from_secs(60)).unwrap();
    std::thread::sleep(Duration::from_millis(1_500));
    stand.go.send(()).unwrap();
    until("both have asked who they are", || stand.vendor.lock().unwrap().uses >= 2);
    assert_eq!(stand.renewals(), 1);
    until("the account's calls are counted in one place", || {
        let quota = house.run(&["quota", "--json"]).success().out;
        let quota: serde_json::Value = serde_json::from_str(&quota).unwrap();
        let of_account = |quota: &&serde_json::Value| quota["account"] == "salesforce/00D000000000001";
        quota["quotas"].as_array().unwrap().iter().filter(of_account).count() == 1
    });
    assert_eq!(service.running.stop().code, Some(0));
}
