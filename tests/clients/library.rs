//! A library: how its program is run, and what has to be there first.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::headwater::{Headwater, target, write_key};

/// One of the libraries.
pub struct Library {
    /// The source that it sends to.
    pub source: &'static str,
    program: &'static str,
    runtime: Runtime,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Runtime {
    Node,
    Browser,
    Python,
}

impl Library {
    /// One that runs on a server, with Node.js.
    pub const fn node(source: &'static str, program: &'static str) -> Self {
        Self { source, program, runtime: Runtime::Node }
    }

    /// One that runs in a page.
    pub const fn browser(source: &'static str, program: &'static str) -> Self {
        Self { source, program, runtime: Runtime::Browser }
    }

    /// One that runs on a server, with Python.
    pub const fn python(source: &'static str, program: &'static str) -> Self {
        Self { source, program, runtime: Runtime::Python }
    }

    /// Whether it runs on the user's own device.
    pub fn is_browser(&self) -> bool {
        self.runtime == Runtime::Browser
    }

    /// Lets it send `calls` calls; `file` then says what it sent. `told` are further variables for its program.
    pub fn run(&self, headwater: &Headwater, file: &Path, calls: usize, told: &[(&str, &str)]) {
        let done = self
            .command()
            .env("WRITE_KEY", write_key(self.source))
            .env("URL", headwater.url())
            .env("SENT", file)
            .env("COUNT", calls.to_string())
            .env("TMPDIR", headwater.folder())
            .envs(told.iter().copied())
            .stdin(Stdio::null())
            .output()
            .expect("the library's program runs");
        assert!(
            done.status.success(),
            "{} ended with {}:\n{}{}\nheadwater's log ends:\n{}",
            self.program,
            done.status,
            String::from_utf8_lossy(&done.stdout),
            String::from_utf8_lossy(&done.stderr),
            headwater.log_end(),
        );
    }

    /// Its program, with what it needs installed.
    pub fn command(&self) -> Command {
        let clients = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients");
        let packages = target().join("clients");
        let kind = match self.runtime {
            Runtime::Node => "node",
            Runtime::Browser => "browser",
            Runtime::Python => "python",
        };
        // Installs what is missing or has changed, and says in one line what cannot be.
        let prepared = Command::new(clients.join("prepare"))
            .arg(&packages)
            .arg(kind)
            .output()
            .expect("tests/clients/prepare runs");
        assert!(
            prepared.status.success(),
            "{} cannot be tested: {}",
            self.program,
            String::from_utf8_lossy(&prepared.stderr).trim_end()
        );
        let named = String::from_utf8_lossy(&prepared.stdout);
        let interpreter = named.lines().last().unwrap_or_default();
        let mut words = interpreter.split('\t');
        let mut command = Command::new(words.next().map(PathBuf::from).unwrap_or_default());
        if let Some(chromium) = words.next() {
            command.env("CHROMIUM", chromium);
        }
        command
            .arg(clients.join("programs").join(self.program))
            .env("PACKAGES", &packages)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("PYTHONUTF8", "1")
            // A proxy of the machine is not asked for loopback.
            .env("NO_PROXY", "127.0.0.1")
            .env("no_proxy", "127.0.0.1");
        command
    }
}
