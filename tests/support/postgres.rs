//! A real Postgres for a test: started in a temporary folder on a free port of loopback, stopped and removed at the end,
//! also if the test panics or is killed.
//!
//! Between the test and the server stands a small shell that holds the other end of a pipe: when the test's end closes,
//! however it came to that, the shell stops the server and removes its folder. Postgres refuses to run as root, so that
//! there it runs as an unprivileged user.

use std::{
    env,
    fmt::Write as _,
    fs,
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use tokio_postgres::{NoTls, SimpleQueryMessage};

/// The role that owns the databases: no superuser, as Headwater's should be.
pub const ROLE: &str = "headwater";
/// Its password.
pub const PASSWORD: &str = "a secret, with $igns";
/// As it stands in a URL.
const PASSWORD_IN_URL: &str = "a%20secret%2C%20with%20%24igns";

/// How long a server may take to start on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Starts the server at `start`, stops it at `stop` (as an administrator would) and `kill` (as a crash would), and removes all
/// at the end of its input. `$1` is the folder, the rest starts the server.
const KEEPER: &str = r#"
trap '' TERM INT HUP
folder=$1; shift
halt() { [ -z "$server" ] || { kill -"$1" "$server" 2>/dev/null; wait "$server"; server=; }; }
while read -r word; do
    case $word in
    start) "$@" </dev/null >>"$folder/log" 2>&1 & server=$!; echo "$server" ;;
    stop) halt INT; echo ;;
    kill) halt QUIT; echo ;;
    esac
done
halt QUIT
rm -rf "$folder"
"#;

/// What a command does that a server's user may do.
struct User {
    /// `setpriv …`, if the server needs another user than ours.
    prefix: Vec<String>,
    /// `user:group`, then.
    owner: Option<String>,
}

/// A running server. It ends when the last hold on it is dropped.
pub struct Server {
    keeper: Child,
    pipe: Mutex<Option<(ChildStdin, BufReader<ChildStdout>)>>,
    folder: PathBuf,
    user: User,
    port: u16,
    databases: AtomicU32,
}

/// An empty database of one test, and its server for as long as it is needed.
pub struct Database {
    /// `postgres://headwater:…@127.0.0.1:PORT/NAME`
    pub url: String,
    /// Its name.
    pub name: String,
    /// Where it is.
    pub server: Arc<Server>,
}

impl Server {
    /// The server that all tests of this process share; fsync is off.
    pub fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<Server>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(server) = shared.upgrade() {
            return server;
        }
        let server = Self::start(&["fsync = off", "full_page_writes = off"]);
        *shared = Arc::downgrade(&server);
        server
    }

    /// A server of one's own, to be stopped and started, with these lines in its `postgresql.conf`.
    pub fn start(settings: &[&str]) -> Arc<Self> {
        let bin = binaries();
        let user = User::find();
        let folder = user.folder();
        let data = folder.join("data");
        user.fill(&bin, &folder, &data);
        let mut args = user.prefix.clone();
        args.extend([bin.join("postgres").display().to_string(), "-D".into(), data.display().to_string()]);
        let mut keeper = Command::new("sh")
            .args(["-c", KEEPER, "sh"])
            .arg(&folder)
            .args(args)
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("sh");
        let pipe = keeper.stdin.take().zip(keeper.stdout.take().map(BufReader::new));
        let databases = AtomicU32::new(0);
        let mut server = Self { keeper, pipe: Mutex::new(pipe), folder, user, port: 0, databases };
        // A port that was free a moment ago may have been taken since.
        for _ in 0..10 {
            server.port = free_port();
            server.configure(settings);
            if server.resume() {
                server
                    .run_as_superuser("postgres", &format!("CREATE ROLE {ROLE} LOGIN PASSWORD '{PASSWORD}'"));
                return Arc::new(server);
            }
        }
        panic!("Postgres does not start: {}", server.log());
    }

    /// A new, empty database.
    pub fn database(self: &Arc<Self>) -> Database {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.run_as_superuser("postgres", &format!("CREATE DATABASE {name} OWNER {ROLE}"));
        let url = format!("postgres://{ROLE}:{PASSWORD_IN_URL}@127.0.0.1:{}/{name}", self.port);
        Database { url, name, server: self.clone() }
    }

    /// Where it listens, on loopback.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Stops it as an administrator does: connections are ended, what is committed stays.
    pub fn stop(&self) {
        self.tell("stop");
    }

    /// Stops it as a crash does; what a server without fsync has committed stays too, because the system goes on.
    pub fn crash(&self) {
        self.tell("kill");
    }

    /// Starts it again, where it was, and waits until it answers. False if it does not start.
    pub fn resume(&self) -> bool {
        let pid = self.tell("start");
        let data = self.data().display().to_string();
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            // On the same port another server could answer.
            match self.ask("postgres", "postgres", "SHOW data_directory") {
                Ok(rows) => return rows == [[Some(data)]],
                Err(_) if !Path::new(&format!("/proc/{pid}")).exists() => return false,
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        }
        false
    }

    /// Replaces further settings, for the next start: lines of `postgresql.conf`.
    pub fn configure(&self, settings: &[&str]) {
        let mut text = format!(
            "listen_addresses = '127.0.0.1'\nport = {}\nunix_socket_directories = ''\nmax_connections = 60\n\
             shared_buffers = 64MB\nlog_timezone = UTC\ntimezone = UTC\n",
            self.port
        );
        for line in settings {
            let _ = writeln!(text, "{line}");
        }
        self.write("headwater.conf", &text, 0o644);
    }

    /// Writes a file into the data folder, for the server alone if `mode` says so: a certificate, its key.
    pub fn write(&self, name: &str, text: &str, mode: u32) {
        let path = self.data().join(name);
        fs::write(&path, text).expect("the data folder can be written to");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("permissions");
        self.user.give(&path);
    }

    /// Runs statements as the superuser, in a database; panics where they fail.
    #[track_caller]
    pub fn run_as_superuser(&self, database: &str, sql: &str) -> Vec<Vec<Option<String>>> {
        self.ask("postgres", database, sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// What it has written to its log.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Says a word to the keeper and waits for its line.
    fn tell(&self, word: &str) -> String {
        let mut pipe = self.pipe.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let (input, output) = pipe.as_mut().expect("the keeper's pipe");
        writeln!(input, "{word}").expect("the keeper reads");
        let mut line = String::new();
        output.read_line(&mut line).expect("the keeper answers");
        line.trim().to_owned()
    }

    fn ask(&self, role: &str, database: &str, sql: &str) -> Result<Vec<Vec<Option<String>>>, String> {
        let config = format!(
            "host=127.0.0.1 port={} user={role} password='{PASSWORD}' dbname={database} connect_timeout=5",
            self.port
        );
        ask(&config, sql)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        *self.pipe.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = None;
        // The keeper stops the server and removes the folder.
        let _ = self.keeper.wait();
    }
}

impl Database {
    /// Runs statements as the database's owner and gives the rows of all of them, as text; panics where they fail.
    #[track_caller]
    pub fn run(&self, sql: &str) -> Vec<Vec<Option<String>>> {
        self.try_run(sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// Runs statements as the database's owner, or says why not.
    pub fn try_run(&self, sql: &str) -> Result<Vec<Vec<Option<String>>>, String> {
        self.server.ask(ROLE, &self.name, sql)
    }
}

impl User {
    /// Ourselves, or where that is root, somebody with fewer rights.
    fn find() -> Self {
        let said = |program: &str, args: &[&str]| {
            let output = Command::new(program).args(args).stderr(Stdio::null()).output();
            let output = output.unwrap_or_else(|error| panic!("{program}: {error}"));
            output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
        };
        if said("id", &["-u"]).as_deref() != Some("0") {
            return Self { prefix: Vec::new(), owner: None };
        }
        let (user, group) = ["postgres", "nobody"]
            .into_iter()
            .find_map(|name| Some((said("id", &["-u", name])?, said("id", &["-g", name])?)))
            .expect("an unprivileged user: postgres or nobody");
        let prefix = ["setpriv", "--reuid", &user, "--regid", &group, "--clear-groups"];
        Self { prefix: prefix.map(str::to_owned).into(), owner: Some(format!("{user}:{group}")) }
    }

    /// A folder that this user can enter: below the temporary folder, or where a way to that is closed, elsewhere.
    fn folder(&self) -> PathBuf {
        for above in [env::temp_dir(), "/tmp".into(), "/var/tmp".into()] {
            let made = tempfile::Builder::new().prefix("headwater-postgres-").tempdir_in(&above);
            let Ok(folder) = made else { continue };
            let path = folder.path().canonicalize().expect("the folder is there");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("permissions");
            self.give(&path);
            if self.command("test").arg("-w").arg(&path).status().is_ok_and(|status| status.success()) {
                let _ = folder.keep();
                return path;
            }
        }
        panic!("there is no temporary folder that an unprivileged user can enter: set TMPDIR to one");
    }

    /// Fills the folder of a new server: a copy of what `initdb` makes, which takes longer than all the rest.
    fn fill(&self, bin: &Path, folder: &Path, data: &Path) {
        let deps = env::current_exe().ok().and_then(|exe| Some(exe.parent()?.to_owned()));
        let version = bin.display().to_string().replace('/', "-");
        let template = deps.map(|deps| deps.join(format!("headwater-postgres{version}")));
        let copy = |from: &Path, to: &Path| {
            Command::new("cp").arg("-a").args([from, to]).status().is_ok_and(|status| status.success())
        };
        if template.as_ref().is_some_and(|template| template.exists() && copy(template, data)) {
            return;
        }
        let _ = fs::remove_dir_all(data);
        let made = self
            .command(bin.join("initdb"))
            .args([
                "-U",
                "postgres",
                "--auth=trust",
                "--no-locale",
                "-E",
                "UTF8",
                "--no-sync",
                "--wal-segsize=4",
            ])
            .arg(data)
            .output()
            .expect("initdb");
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let conf = data.join("postgresql.conf");
        let text = fs::read_to_string(&conf).expect("postgresql.conf") + "\ninclude 'headwater.conf'\n";
        fs::write(&conf, text).expect("postgresql.conf");
        let hba =
            format!("host all postgres 127.0.0.1/32 trust\nhost all {ROLE} 127.0.0.1/32 scram-sha-256\n");
        fs::write(data.join("pg_hba.conf"), hba).expect("pg_hba.conf");
        if let Some(template) = template {
            // Whoever is first makes it.
            let own = template.with_extension(folder.file_name().unwrap_or_default());
            if !copy(data, &own) || fs::rename(&own, &template).is_err() {
                let _ = fs::remove_dir_all(&own);
            }
        }
    }

    /// A command that this user runs.
    fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut words = self.prefix.iter();
        let mut command = match words.next() {
            None => Command::new(program.as_ref()),
            Some(first) => {
                let mut command = Command::new(first);
                command.args(words).arg(program.as_ref());
                command
            }
        };
        command.current_dir("/").stdin(Stdio::null());
        command
    }

    fn give(&self, path: &Path) {
        if let Some(owner) = &self.owner {
            let given = Command::new("chown").arg(owner).arg(path).status();
            assert!(given.is_ok_and(|status| status.success()), "chown {owner} {}", path.display());
        }
    }
}

/// The folder of the newest Postgres programs.
fn binaries() -> PathBuf {
    let path = env::var_os("PATH").unwrap_or_default();
    let debian = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut versions: Vec<(u32, PathBuf)> = debian
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .collect();
    versions.sort();
    let all = env::split_paths(&path).chain(versions.into_iter().rev().map(|(_, bin)| bin));
    let found = all.into_iter().find(|bin| bin.join("initdb").exists() && bin.join("postgres").exists());
    found.expect("Postgres is not installed: ./test --install, or apt-get install postgresql")
}

fn free_port() -> u16 {
    let socket = TcpListener::bind("127.0.0.1:0").expect("a free port");
    socket.local_addr().expect("an address").port()
}

/// Runs statements over a connection of their own; on a thread of its own, because the caller may be inside a runtime.
fn ask(config: &str, sql: &str) -> Result<Vec<Vec<Option<String>>>, String> {
    let work = async {
        let (client, connection) = tokio_postgres::connect(config, NoTls).await?;
        let connection = tokio::spawn(connection);
        let messages = client.simple_query(sql).await?;
        drop(client);
        let _ = connection.await;
        Ok::<_, tokio_postgres::Error>(messages)
    };
    let asked = std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(work)
        });
        asking.join().expect("the question ends")
    });
    let messages = asked.map_err(|error| match error.as_db_error() {
        Some(error) => error.to_string(),
        None => format!("{error:?}"),
    })?;
    let rows = messages.into_iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => {
            Some((0..row.len()).map(|at| row.get(at).map(str::to_owned)).collect())
        }
        _ => None,
    });
    Ok(rows.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_there_for_as_long_as_it_is_held() {
        let (one, other) = (Server::shared().database(), Server::shared().database());
        one.run("CREATE TABLE t (a int); INSERT INTO t VALUES (1), (NULL)");
        assert_eq!(one.run("SELECT a FROM t ORDER BY 1"), [[Some("1".to_owned())], [None]]);
        assert!(other.try_run("SELECT a FROM t").is_err_and(|error| error.contains("does not exist")));
        let folder = one.server.folder.clone();
        assert!(folder.exists());
        drop((one, other));
        assert!(!folder.exists());
    }

    #[test]
    fn a_server_stops_and_goes_on() {
        let server = Server::start(&["fsync = off"]);
        let database = server.database();
        database.run("CREATE TABLE t (a int)");
        for stop in [Server::stop, Server::crash] {
            stop(&server);
            assert!(database.try_run("SELECT 1").is_err());
            assert!(server.resume(), "{}", server.log());
            assert_eq!(database.run("SELECT count(*) FROM t"), [[Some("0".to_owned())]]);
        }
    }
}
