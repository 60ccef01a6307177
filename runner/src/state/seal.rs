//! Sealing: secrets at rest are encrypted (XChaCha20-Poly1305) and bound to the place they belong to, so that one cannot be moved
//! to another source or field.

use std::{
    io::Write,
    path::{Path, PathBuf},
};

use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use headwater_core::error::{Error, Result};
use sha2::{Digest, Sha256};

/// The environment variable that holds the key, in hex.
pub const VARIABLE: &str = "HEADWATER_KEY";

/// How long a key is, in bytes.
const KEY: usize = 32;
/// How long a nonce is, in bytes.
const NONCE: usize = 24;
/// How long a key's id is, in bytes.
const ID: usize = 4;

/// Seals and opens secrets with one key.
pub struct Sealer {
    cipher: XChaCha20Poly1305,
    id: [u8; ID],
}

impl Sealer {
    /// The key from the environment, else from `file`, which is made if it is not there: readable by its owner only.
    pub fn open(file: &Path) -> Result<Self> {
        let key = match std::env::var(VARIABLE) {
            Ok(hex) => Self::key(&hex, VARIABLE)?,
            Err(_) => read_or_make(file)?,
        };
        Ok(Self::with_key(&key))
    }

    /// Where the key is kept when the environment does not hold it: the user's configuration folder, not the data.
    pub fn default_file() -> Result<PathBuf> {
        let folder = std::env::var_os("XDG_CONFIG_HOME")
            .map(PathBuf::from)
            .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".config")))
            .ok_or_else(|| {
                Error::config(format!(
                    "there is no home folder to keep the key of secrets in: set {VARIABLE} to 64 hex digits"
                ))
            })?;
        Ok(folder.join("headwater").join("key"))
    }

    fn with_key(key: &[u8; KEY]) -> Self {
        let digest = Sha256::digest(key);
        let mut id = [0; ID];
        id.copy_from_slice(&digest[..ID]);
        Self { cipher: XChaCha20Poly1305::new(key.into()), id }
    }

    fn key(text: &str, whence: &str) -> Result<[u8; KEY]> {
        let mut key = [0; KEY];
        hex::decode_to_slice(text.trim(), &mut key).map_err(|_| {
            Error::config(format!("{whence} has to be 64 hex digits (openssl rand -hex 32 makes some)"))
        })?;
        Ok(key)
    }

    /// Seals `plain` for the place named `bound`.
    pub fn seal(&self, plain: &[u8], bound: &str) -> Result<Vec<u8>> {
        let mut nonce = [0; NONCE];
        getrandom::fill(&mut nonce).map_err(|error| Error::transient(format!("no randomness: {error}")))?;
        let sealed = self
            .cipher
            .encrypt(XNonce::from_slice(&nonce), Payload { msg: plain, aad: bound.as_bytes() })
            .map_err(|_| Error::unexpected("a secret could not be sealed"))?;
        Ok([self.id.as_slice(), &nonce, &sealed].concat())
    }

    /// Opens what was sealed for that place.
    pub fn unseal(&self, sealed: &[u8], bound: &str) -> Result<Vec<u8>> {
        let (Some(id), Some(nonce), Some(body)) =
            (sealed.get(..ID), sealed.get(ID..ID + NONCE), sealed.get(ID + NONCE..))
        else {
            return Err(Error::config(format!("the secret of {bound} is damaged: enter it again")));
        };
        if id != self.id {
            return Err(Error::config(format!(
                "the secret of {bound} was sealed with another key: restore that key in {VARIABLE}, or enter the secret again"
            )));
        }
        self.cipher
            .decrypt(XNonce::from_slice(nonce), Payload { msg: body, aad: bound.as_bytes() })
            .map_err(|_| Error::config(format!("the secret of {bound} is damaged: enter it again")))
    }
}

fn read_or_make(file: &Path) -> Result<[u8; KEY]> {
    let named = |error: std::io::Error| Error::config(format!("the key file {}: {error}", file.display()));
    match std::fs::read_to_string(file) {
        Ok(text) => {
            check_mode(file)?;
            return Sealer::key(&text, &file.display().to_string());
        }
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(named(error)),
        Err(_) => {}
    }
    let mut key = [0; KEY];
    getrandom::fill(&mut key).map_err(|error| Error::transient(format!("no randomness: {error}")))?;
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder).map_err(named)?;
    }
    // It gets its name when it is whole: a process that ends in between leaves no key that is half a key.
    let draft = file.with_extension(format!("{}.new", std::process::id()));
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut made = options.open(&draft).map_err(named)?;
    made.write_all(hex::encode(key).as_bytes()).and_then(|()| made.sync_all()).map_err(named)?;
    let linked = std::fs::hard_link(&draft, file);
    std::fs::remove_file(&draft).map_err(named)?;
    match linked {
        Ok(()) => {
            let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
            let folder = folder.unwrap_or(Path::new("."));
            std::fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(named)?;
            Ok(key)
        }
        // Another process made it in the meantime.
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            Sealer::key(&std::fs::read_to_string(file).map_err(named)?, &file.display().to_string())
        }
        Err(error) => Err(named(error)),
    }
}

#[cfg(unix)]
fn check_mode(file: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(file).map_or(0, |meta| meta.permissions().mode());
    match mode & 0o077 {
        0 => Ok(()),
        _ => Err(Error::config(format!(
            "the key file {0} can be read by others: chmod 600 {0}",
            file.display()
        ))),
    }
}

#[cfg(not(unix))]
fn check_mode(_: &Path) -> Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_opens_only_where_it_belongs() {
        let (one, two) = (Sealer::with_key(&[1; KEY]), Sealer::with_key(&[2; KEY]));
        let sealed = one.seal(b"sk_live", "token of stripe").unwrap();
        assert!(!sealed.windows(7).any(|window| window == b"sk_live"));
        assert_eq!(one.unseal(&sealed, "token of stripe").unwrap(), b"sk_live");
        assert!(one.unseal(&sealed, "token of other").unwrap_err().message().contains("damaged"));
        assert!(two.unseal(&sealed, "token of stripe").unwrap_err().message().contains("another key"));
        assert!(one.unseal(&sealed[..9], "token of stripe").is_err());
    }

    #[cfg(unix)]
    #[test]
    fn the_key_file_is_its_owners() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("deep").join("key");
        let key = read_or_make(&file).unwrap();
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(read_or_make(&file).unwrap(), key);
        assert_eq!(std::fs::read_dir(file.parent().unwrap()).unwrap().count(), 1, "no draft is left");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(read_or_make(&file).unwrap_err().message().contains("chmod 600"));
    }
}
