//! The listening socket is handed over: whoever posts while the program is replaced, restarted or configured anew is answered.

use std::{
    collections::BTreeSet,
    net::{SocketAddr, TcpListener},
    os::{fd::OwnedFd, unix::net::UnixDatagram},
    path::Path,
    process::Stdio,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use rusqlite::types::Value as Sql;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    house::{House, Service, binary, until},
    received::Site,
};

const POSTS: u64 = 10_000;
const CLIENTS: u64 = 8;
const SITE: &str = "[[source]]\nname = \"site\"\nconnector = \"segment\"\nwrite_key = \"wk\"\n";

/// What the clients share.
#[derive(Default)]
struct Traffic {
    next: AtomicU64,
    stop: AtomicBool,
    acknowledged: Mutex<BTreeSet<String>>,
    /// Posts that failed in any way: none may.
    failures: Mutex<Vec<String>>,
    /// Kept connections that had been closed between two requests: the client opens another, as all do.
    reopened: AtomicU64,
}

/// A client that hides nothing: no retries but the one that HTTP asks for.
struct Client {
    address: SocketAddr,
    keeps: bool,
    stream: Option<TcpStream>,
}

impl Client {
    /// Posts one call. `Ok(None)`: a kept connection had been closed before the request.
    async fn post(&mut self, id: &str) -> std::io::Result<Option<u16>> {
        let body = json!({ "writeKey": "wk", "event": "E", "userId": "u", "messageId": id }).to_string();
        let (mut stream, kept) = match self.stream.take() {
            Some(stream) => (stream, true),
            None => (TcpStream::connect(self.address).await?, false),
        };
        let ends = if self.keeps { "" } else { "connection: close\r\n" };
        let request = format!(
            "POST /v1/track HTTP/1.1\r\nhost: x\r\n{ends}content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let sent = stream.write_all(request.as_bytes()).await;
        let mut answer = Vec::new();
        let end = loop {
            if let Some(end) = answer.windows(4).position(|part| part == b"\r\n\r\n") {
                break end + 4;
            }
            match stream.read_buf(&mut answer).await {
                Ok(1..) => {}
                _ if kept && answer.is_empty() => return Ok(None),
                Ok(_) => return Err(sent.err().unwrap_or(std::io::ErrorKind::UnexpectedEof.into())),
                Err(error) => return Err(error),
            }
        };
        let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
        let value = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let length: usize = value("content-length:").and_then(|text| text.parse().ok()).expect("a length");
        while answer.len() < end + length {
            if stream.read_buf(&mut answer).await? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
        }
        if self.keeps && value("connection:") != Some("close") {
            self.stream = Some(stream);
        }
        Ok(head.split(' ').nth(1).and_then(|status| status.parse().ok()))
    }
}

impl Traffic {
    async fn send(self: Arc<Self>, address: SocketAddr, keeps: bool) {
        let mut client = Client { address, keeps, stream: None };
        loop {
            let number = self.next.fetch_add(1, Ordering::SeqCst);
            if number >= POSTS && self.stop.load(Ordering::SeqCst) {
                return;
            }
            let id = format!("post-{number}");
            let answer = match client.post(&id).await {
                Ok(None) => {
                    self.reopened.fetch_add(1, Ordering::SeqCst);
                    client.post(&id).await
                }
                answer => answer,
            };
            match answer {
                Ok(Some(200)) => drop(self.acknowledged.lock().unwrap().insert(id)),
                answer => self.failures.lock().unwrap().push(format!("{id}: {answer:?}")),
            }
        }
    }

    fn count(&self) -> u64 {
        self.acknowledged.lock().unwrap().len() as u64 + self.failures.lock().unwrap().len() as u64
    }
}

/// Posts all through what `restart` does five times; returns the service that there is in the end.
fn post_through(house: &House, service: Service, mut restart: impl FnMut(Service) -> Service) -> Service {
    let address = service.url.strip_prefix("http://").unwrap().parse().unwrap();
    let traffic = Arc::new(Traffic::default());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let clients: Vec<_> =
        (0..CLIENTS).map(|number| runtime.spawn(traffic.clone().send(address, number % 2 == 0))).collect();
    let mut service = service;
    for restarts in 1..=5 {
        until("posts are answered", || traffic.count() >= POSTS * restarts / 7);
        service = restart(service);
        assert_eq!(service.url, format!("http://{address}"), "the same socket");
    }
    until("posts are answered after the last restart", || traffic.count() >= POSTS);
    traffic.stop.store(true, Ordering::SeqCst);
    runtime.block_on(async {
        for client in clients {
            client.await.expect("a client ends");
        }
    });
    let acknowledged = traffic.acknowledged.lock().unwrap().clone();
    let reopened = traffic.reopened.load(Ordering::SeqCst);
    eprintln!(
        "{} posts over five restarts; {reopened} kept connections were found closed",
        acknowledged.len()
    );
    let failures = traffic.failures.lock().unwrap().clone();
    assert!(failures.is_empty(), "{} failed: {:?}", failures.len(), &failures[..failures.len().min(5)]);
    // Only a client that was kept from running for half a second may find its connection closed.
    assert!(reopened <= 5, "{reopened} kept connections were closed without a word");
    let stored = || ids(house).len();
    until("all of them are rows", || stored() >= acknowledged.len());
    assert_eq!(stored(), acknowledged.len(), "none twice");
    assert_eq!(ids(house).into_iter().collect::<BTreeSet<_>>(), acknowledged);
    let duplicates = house.books("site").get(&("call".to_owned(), "duplicate".to_owned())).copied();
    assert!(duplicates.unwrap_or(0) <= reopened as i64, "{duplicates:?} had to be told apart");
    service
}

fn ids(house: &House) -> Vec<String> {
    let text = |row: Vec<Sql>| match row.into_iter().next() {
        Some(Sql::Text(id)) => Some(id),
        _ => None,
    };
    house.rows("site", "SELECT id FROM tracks").into_iter().filter_map(text).collect()
}

#[test]
fn none_is_refused_while_the_program_is_replaced() {
    let house = House::new(SITE);
    let mut starts = 1;
    let service = post_through(&house, house.serve(), |service| {
        // The last one is a reload: it takes the same way.
        service.running.signal(if starts == 5 { "HUP" } else { "USR2" });
        starts += 1;
        let line = service.running.wait_for_count("receiving on ", starts);
        assert!(line.contains(&service.url), "{line}");
        service
    });
    assert_eq!(service.running.err().matches("takes over").count(), 4);
    assert_eq!(service.running.stop().code, Some(0));
}

/// Starts the program as systemd and its like do: with a socket of theirs as file 3.
fn supervised(house: &House, socket: &TcpListener) -> Service {
    let script = "exec 3<&0 </dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec \"$0\" run";
    let mut command = house.command_of(Path::new("/bin/sh"), &["-c", script]);
    command.arg(binary()).stdin(Stdio::from(OwnedFd::from(socket.try_clone().unwrap())));
    house.serve_by(command)
}

#[test]
fn none_is_refused_while_a_supervisor_restarts_it() {
    let house = House::empty();
    // The address of the file is another's: a socket that is handed over counts more.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    house.configure(&format!("[receive]\nlisten = \"{}\"\n{SITE}", taken.local_addr().unwrap()));
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let first = supervised(&house, &socket);
    let service = post_through(&house, first, |service| {
        let done = service.running.stop();
        assert_eq!(done.code, Some(0), "{done:?}");
        supervised(&house, &socket)
    });
    // A replacement keeps that socket too.
    service.running.signal("USR2");
    service.running.wait_for_count("receiving on ", 2);
    assert_eq!(service.running.stop().code, Some(0));
}

fn install(program: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    let draft = program.with_extension("new");
    std::fs::write(&draft, text).unwrap();
    std::fs::set_permissions(&draft, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::rename(&draft, program).unwrap();
}

#[test]
fn a_program_that_would_not_start_replaces_nothing() {
    let mut house = House::new(SITE);
    let told = UnixDatagram::bind(house.path("notify")).unwrap();
    told.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    house.set("NOTIFY_SOCKET", house.path("notify").to_str().unwrap());
    let program = house.path("headwater");
    std::fs::copy(binary(), &program).unwrap();
    let service = house.serve_by(house.command_of(&program, &["run"]));
    let site = Site::with(house, service);
    let (house, running) = (&site.house, &site.service.running);
    let hear = || {
        let mut message = [0; 500];
        let length = told.recv(&mut message).expect("a message");
        String::from_utf8_lossy(&message[..length]).into_owned()
    };
    let ready = format!("READY=1\nMAINPID={}\n", running.id());
    assert!(hear().starts_with(&ready));
    site.lives();

    let mut tries = 0;
    let mut refused = |why: &str| {
        running.signal("USR2");
        tries += 1;
        let line = running.wait_for_count("was not replaced", tries);
        assert!(line.contains(why), "{line}");
        site.lives();
    };
    install(&program, "#!/bin/sh\necho 'it has no wheels' >&2\nexit 3\n");
    refused("it has no wheels");
    install(&program, "\u{7f}ELF");
    refused("cannot be run");
    std::fs::remove_file(&program).unwrap();
    refused("the program's file is gone");
    install(&program, &format!("#!/bin/sh\necho new >> new\nexec '{}' \"$@\"\n", binary().display()));
    let good = std::fs::read_to_string(house.path("headwater.toml")).unwrap();
    house.configure(&format!("{good}shedule = 1\n"));
    refused("did you mean schedule?");
    house.configure(&good);
    assert_eq!(running.err().matches("receiving on").count(), 1, "the first one still receives");

    // One that would start takes over, in the same process, with the same arguments.
    running.signal("USR2");
    running.wait_for_count("receiving on ", 2);
    site.lives();
    assert!(std::fs::read_to_string(house.path("new")).unwrap().lines().count() >= 2, "asked, then started");
    assert!(hear().starts_with("RELOADING=1\nMONOTONIC_USEC="));
    assert!(hear().starts_with(&ready));
    running.signal("TERM");
    assert!(hear().starts_with("STOPPING=1"));
}

#[test]
fn data_of_a_newer_version_is_noticed_before_anything_ends() {
    let house = House::new(SITE);
    let service = house.serve();
    let state = rusqlite::Connection::open(house.path("headwater-data/state.db")).unwrap();
    state.busy_timeout(Duration::from_secs(10)).unwrap();
    let version: i64 = state.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    state.pragma_update(None, "user_version", version + 1).unwrap();
    house.run(&["validate"]).fails(2, &["state.db", "newer Headwater"]);
    service.running.signal("USR2");
    service.running.wait_for("was not replaced");
    state.pragma_update(None, "user_version", version).unwrap();
    service.running.signal("USR2");
    service.running.wait_for_count("receiving on ", 2);
    assert_eq!(service.running.stop().code, Some(0));
}

#[test]
fn a_request_under_way_is_answered_before_the_end() {
    use std::io::{Read, Write};
    let site = Site::at(House::new(SITE));
    let mut slow = std::net::TcpStream::connect(site.service.url.strip_prefix("http://").unwrap()).unwrap();
    let body = json!({ "writeKey": "wk", "event": "E", "userId": "u", "messageId": "slow" }).to_string();
    write!(slow, "POST /v1/track HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", body.len()).unwrap();
    slow.write_all(&body.as_bytes()[..20]).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    site.service.running.signal("TERM");
    std::thread::sleep(Duration::from_millis(1_500));
    slow.write_all(&body.as_bytes()[20..]).unwrap();
    let mut answer = String::new();
    slow.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("connection: close"), "{answer}");
    let Site { house, service, .. } = site;
    assert_eq!(service.running.wait(Duration::from_secs(20)).code, Some(0));
    let service = house.serve();
    until("it is a row", || ids(&house) == ["slow"]);
    drop(service);
}
