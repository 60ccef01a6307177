//! The program that takes our place: what is installed now at the path that we were started from, with the same arguments, in the same
//! process, on the same socket.
//!
//! It is asked first whether it would start at all. One that would not changes nothing.

use std::{
    ffi::OsString,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use headwater_core::error::{Error, Result};

use super::Socket;

/// How long the program may take to check the configuration.
const PATIENCE: Duration = Duration::from_secs(30);
/// How much of its complaint is repeated, in bytes.
const WORDS: usize = 500;

/// Finds the program and lets it check the configuration and the data folder. `None` stands for a configuration of defaults, without a
/// file.
pub async fn find(config: Option<&Path>) -> Result<PathBuf> {
    let program = installed()?;
    let named = |error: &dyn std::fmt::Display| {
        Error::config(format!("{}: {error}; install one that works and try again", program.display()))
    };
    let mut command = Command::new(&program);
    match config {
        Some(file) => command.arg("--config").arg(file).arg("validate"),
        None => command.arg("--version"),
    };
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| named(&format!("it cannot be run: {error}")))?;
    // Read beside it: a program that fills the pipe would never end.
    let complaint = child.stderr.take().map(|pipe| std::thread::spawn(move || words(pipe)));
    let begun = tokio::time::Instant::now();
    let status = loop {
        match child.try_wait().map_err(|error| named(&error))? {
            Some(status) => break status,
            None if begun.elapsed() > PATIENCE => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(named(&format!(
                    "it did not check the configuration within {} s",
                    PATIENCE.as_secs()
                )));
            }
            None => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    };
    if status.success() {
        return Ok(program);
    }
    let said = complaint.and_then(|reader| reader.join().ok()).unwrap_or_default();
    Err(named(&format!("it would not start ({status}): {said}")))
}

/// Becomes that program. Returns only if that failed.
pub fn become_it(program: &Path, socket: &Socket) -> Error {
    let mut arguments = std::env::args_os();
    let mut command = Command::new(program);
    if let Some(name) = arguments.next() {
        command.arg0(name);
    }
    command.args(arguments);
    let error = match socket.hand_to(&mut command) {
        Ok(()) => command.exec(),
        Err(error) => error,
    };
    socket.keep();
    Error::transient(format!("{} could not take over: {error}", program.display()))
}

/// The file that the command line names now. A symbolic link or an upgraded file leads to the new version, where the running program's
/// own file may be gone.
fn installed() -> Result<PathBuf> {
    let name = std::env::args_os().next().unwrap_or_default();
    let running = std::env::current_exe().ok().map(without_mark);
    look_up(&name, std::env::var_os("PATH"))
        .or(running)
        .filter(|path| path.is_file())
        .ok_or_else(|| Error::config("the program's file is gone: install it again and try again"))
}

/// What a shell would start by that name.
fn look_up(name: &OsString, path: Option<OsString>) -> Option<PathBuf> {
    let name = Path::new(name);
    if name.components().count() > 1 {
        return name.is_file().then(|| name.to_owned());
    }
    std::env::split_paths(&path?).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// The system marks a running program whose file was replaced.
fn without_mark(path: PathBuf) -> PathBuf {
    match path.to_str().and_then(|text| text.strip_suffix(" (deleted)")) {
        Some(before) if !path.exists() => before.into(),
        _ => path,
    }
}

/// The beginning of what it says, as one line.
fn words(mut pipe: impl std::io::Read) -> String {
    let mut said = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(read @ 1..) = pipe.read(&mut buffer) {
        let room = WORDS.saturating_sub(said.len()).min(read);
        said.extend_from_slice(&buffer[..room]);
    }
    let said = String::from_utf8_lossy(&said);
    let said = said.trim().trim_start_matches("headwater: ");
    said.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_looked_up_as_a_shell_does() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("headwater");
        std::fs::write(&file, "").unwrap();
        let path = Some(OsString::from(format!("/nowhere:{}", folder.path().display())));
        assert_eq!(look_up(&"headwater".into(), path.clone()), Some(file.clone()));
        assert_eq!(look_up(&file.clone().into_os_string(), None), Some(file.clone()));
        assert_eq!(look_up(&"another".into(), path), None);
        let marked = PathBuf::from(format!("{} (deleted)", file.display()));
        assert_eq!(without_mark(marked), file);
        assert_eq!(without_mark(file.clone()), file);
    }
}
