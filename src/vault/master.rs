//! The key-encryption key: where it is had from, and what it wraps.

use std::fmt;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use aes_gcm::{AeadInOut, Aes256Gcm, KeyInit};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::wrapped::{With, Wrapped};
use super::{VaultError, hex, random};
use crate::config::encryption::KeySource;

/// A key is 32 bytes; no way to write it is longer.
const TEXT_BYTES_MAX: u64 = 1024;
const NONCE_BYTES: usize = 12;

/// A key-encryption key.
#[derive(Clone)]
pub struct MasterKey {
    id: String,
    cipher: Aes256Gcm,
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MasterKey({})", self.id)
    }
}

/// A new key-encryption key as it is written to a file: base64, and its id.
pub fn new_master_key() -> Result<(Zeroizing<String>, String), VaultError> {
    let bytes = Zeroizing::new(random::<32>()?);
    Ok((Zeroizing::new(STANDARD.encode(bytes.as_slice()) + "\n"), MasterKey::of(&bytes).id))
}

impl MasterKey {
    pub(super) fn of(bytes: &[u8; 32]) -> MasterKey {
        // One way, of 256 random bits: the id says which key it is and nothing of it.
        let print = Sha256::new().chain_update(b"vigie key-encryption key 1\0").chain_update(bytes).finalize();
        MasterKey { id: hex(print.get(..8).unwrap_or_default()), cipher: Aes256Gcm::new(&(*bytes).into()) }
    }

    /// Its name: 16 hexadecimal digits made of the key, no secret.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Gets the key; a command has `limit` to print it.
    pub fn fetch(source: &KeySource, limit: Duration) -> Result<MasterKey, VaultError> {
        let no = |why: String| VaultError::NoMaster { from: source.to_string(), why };
        let text = match source {
            KeySource::File(path) => read_file(path).map_err(no)?,
            KeySource::Environment(name) => match std::env::var(name) {
                Ok(text) => Zeroizing::new(text.into_bytes()),
                Err(_) => return Err(no("the variable is not set".into())),
            },
            KeySource::Command(words) => ask(words, limit).map_err(no)?,
        };
        let bytes = parse(&text).ok_or_else(|| {
            no("it holds no key: 32 bytes, as they are, in base64 or in hexadecimal (`vigie key new FILE` makes one)".into())
        })?;
        Ok(MasterKey::of(&bytes))
    }

    /// Wraps the key `name`.
    pub(super) fn wrap(&self, name: &str, key: &[u8; 32]) -> Result<Wrapped, VaultError> {
        let nonce = random::<NONCE_BYTES>()?;
        let mut sealed = Zeroizing::new(key.to_vec());
        let result = self.cipher.encrypt_in_place(&nonce.into(), &self.associated(name), &mut *sealed);
        result.map_err(|_| VaultError::Broken { path: name.into(), what: "the key cannot be wrapped".into() })?;
        let wrapped = STANDARD.encode([nonce.as_slice(), &sealed].concat());
        Ok(Wrapped { vault: 1, key: name.to_owned(), with: With::Kek(self.id.clone()), wrapped })
    }

    /// The key that was wrapped; `None`: changed, or wrapped with another.
    pub(super) fn unwrap(&self, name: &str, wrapped: &str) -> Option<Zeroizing<[u8; 32]>> {
        let bytes = STANDARD.decode(wrapped).ok()?;
        let (nonce, sealed) = bytes.split_at_checked(NONCE_BYTES)?;
        let nonce: [u8; NONCE_BYTES] = nonce.try_into().ok()?;
        let mut opened = Zeroizing::new(sealed.to_vec());
        self.cipher.decrypt_in_place(&nonce.into(), &self.associated(name), &mut *opened).ok()?;
        opened.as_slice().try_into().ok().map(Zeroizing::new)
    }

    fn associated(&self, name: &str) -> Vec<u8> {
        format!("vigie key 1 {} {name}", self.id).into_bytes()
    }
}

fn read_file(path: &Path) -> Result<Zeroizing<Vec<u8>>, String> {
    let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    let mode = file.metadata().map_err(|error| error.to_string())?.permissions().mode();
    if mode & 0o077 != 0 {
        tracing::warn!(
            "the key-encryption key {} can be read by others (mode {:03o}): run `chmod go= {}`",
            path.display(),
            mode & 0o777,
            path.display()
        );
    }
    let mut text = Zeroizing::new(Vec::new());
    file.take(TEXT_BYTES_MAX).read_to_end(&mut text).map_err(|error| error.to_string())?;
    Ok(text)
}

/// What a program prints, when it ends well in time. It gets no input; what it says on standard error goes to ours.
fn ask(words: &[String], limit: Duration) -> Result<Zeroizing<Vec<u8>>, String> {
    let (program, arguments) = words.split_first().ok_or("no program is named")?;
    let started = Command::new(program).args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
    let mut child = started.map_err(|error| match error.kind() {
        ErrorKind::NotFound => format!("there is no program {program}"),
        _ => error.to_string(),
    })?;
    let output = child.stdout.take();
    let (sender, receiver) = sync_channel(1);
    // Not joined: a program that hands its output to another one that stays would hold us.
    let reading = std::thread::Builder::new().name("vault-key".into()).spawn(move || {
        let mut text = Zeroizing::new(Vec::new());
        let read = output.map(|output| output.take(TEXT_BYTES_MAX).read_to_end(&mut text));
        let _ = sender.send(read.and_then(Result::ok).map(|_| text));
    });
    let text = reading.ok().and_then(|_| receiver.recv_timeout(limit).ok()).flatten();
    if text.is_none() {
        let _ = child.kill();
    }
    let ended = child.wait().map_err(|error| error.to_string())?;
    match text {
        None => Err(format!("{program} did not answer within {} s and was stopped", limit.as_secs())),
        Some(_) if !ended.success() => Err(format!("{program} failed ({ended})")),
        Some(text) => Ok(text),
    }
}

/// 32 bytes: as they are, in base64, or in hexadecimal.
fn parse(text: &[u8]) -> Option<Zeroizing<[u8; 32]>> {
    if let Ok(bytes) = <[u8; 32]>::try_from(text) {
        return Some(Zeroizing::new(bytes));
    }
    let text = std::str::from_utf8(text).ok()?.trim();
    let bytes = if text.len() == 64 {
        let digit = |at: usize| text.get(at..at + 2).and_then(|two| u8::from_str_radix(two, 16).ok());
        (0..64).step_by(2).map(digit).collect::<Option<Vec<u8>>>()?
    } else {
        STANDARD.decode(text).ok()?
    };
    Zeroizing::new(bytes).as_slice().try_into().ok().map(Zeroizing::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_however_it_is_written() {
        let raw = [0xa7; 32];
        let written = [raw.to_vec(), STANDARD.encode(raw).into_bytes(), format!("{}\n", hex(&raw)).into_bytes()];
        for text in written {
            assert_eq!(parse(&text).map(|key| *key), Some(raw));
        }
        for wrong in [&b""[..], b"abc", &[0xff; 31], &[0xff; 64]] {
            assert!(parse(wrong).is_none());
        }
    }

    #[test]
    fn a_wrapped_key_opens_with_its_own_key_and_name_alone() {
        let (mine, other) = (MasterKey::of(&[1; 32]), MasterKey::of(&[2; 32]));
        let wrapped = mine.wrap("a", &[9; 32]).expect("wrapped").wrapped;
        assert_eq!(mine.unwrap("a", &wrapped).map(|key| *key), Some([9; 32]));
        assert!(mine.unwrap("b", &wrapped).is_none() && other.unwrap("a", &wrapped).is_none());
    }

    #[test]
    fn a_command_that_hangs_is_stopped_in_time_and_one_that_fails_is_told() {
        let fetch = |text: &str| {
            let source: KeySource = text.parse().expect("a source");
            MasterKey::fetch(&source, Duration::from_millis(200)).map(|key| key.id).map_err(|error| error.to_string())
        };
        assert!(fetch("command:sleep 60").is_err_and(|told| told.contains("did not answer")));
        assert!(fetch("command:false").is_err_and(|told| told.contains("failed")));
        assert!(fetch("command:/no/such/program").is_err_and(|told| told.contains("no program")));
        let printed = fetch(&format!("command:echo {}", hex(&[3; 32])));
        assert_eq!(printed, Ok(MasterKey::of(&[3; 32]).id));
    }
}
