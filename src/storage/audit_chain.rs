//! The audit's chain: each entry is bound to the one before it and signed, and the signed head is kept beside the database.
//!
//! `hash` is the SHA-256, and `signature` the Ed25519 signature (base64), of the entry's [`text`]. The head, in a file of its
//! own, says how far the audit went: so entries that are taken off the end are missed too.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::audit::AuditEntry;

/// Where the chain ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The place of the last entry.
    pub position: i64,
    /// Its hash.
    pub hash: String,
    /// Signs `hash`'s entry's place and hash (the text of a head), base64.
    pub signature: String,
}

impl Head {
    fn text(position: i64, hash: &str) -> String {
        format!("vigie audit head {position} {hash}")
    }

    /// Whether one of `keys` signed it.
    pub fn is_signed(&self, keys: &[VerifyingKey]) -> bool {
        is_signed(&Head::text(self.position, &self.hash), &self.signature, keys)
    }

    /// The head in `file`; `None` when there is none yet.
    pub fn read(file: &Path) -> std::io::Result<Option<Head>> {
        match std::fs::read(file) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            bytes => serde_json::from_slice(&bytes?).map(Some).map_err(std::io::Error::from),
        }
    }
}

/// The exact text of an entry that is hashed and signed: JSON on one line, its fields in this order.
pub fn text(position: i64, entry: &AuditEntry, previous: &str) -> String {
    #[derive(Serialize)]
    struct Text<'a> {
        position: i64,
        at_us: i64,
        actor: &'a str,
        source: &'a str,
        act: &'a str,
        call: Option<String>,
        reason: &'a str,
        detail: &'a str,
        refuses: Option<i64>,
        previous: &'a str,
    }
    let text = Text {
        position,
        at_us: entry.at.0,
        actor: &entry.actor,
        source: &entry.source,
        act: &entry.act,
        call: entry.call.map(|call| call.to_string()),
        reason: &entry.reason,
        detail: &entry.detail,
        refuses: entry.refuses,
        previous,
    };
    serde_json::to_string(&text).unwrap_or_default()
}

/// SHA-256, lower-case hexadecimal.
pub fn hash(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether one of `keys` made this signature of `text`.
pub fn is_signed(text: &str, signature: &str, keys: &[VerifyingKey]) -> bool {
    let signature = STANDARD.decode(signature).ok().and_then(|bytes| Signature::from_slice(&bytes).ok());
    signature.is_some_and(|signature| keys.iter().any(|key| key.verify_strict(text.as_bytes(), &signature).is_ok()))
}

/// What signs the chain, and where it ends.
#[derive(Debug, Default)]
pub(super) struct Chain {
    seal: Option<Seal>,
    /// As the file says, or as written since.
    pub(super) head: Option<(i64, String)>,
}

/// The key, and the head's file.
struct Seal {
    key: SigningKey,
    file: PathBuf,
}

impl std::fmt::Debug for Seal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Seal({})", self.file.display())
    }
}

/// What an entry is written with.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) position: i64,
    pub(super) previous: String,
    /// What is wrong with what stands before it.
    pub(super) broken: Option<String>,
}

impl Chain {
    pub(super) fn seal_with(&mut self, key: SigningKey, file: PathBuf) -> std::io::Result<()> {
        self.head = Head::read(&file)?.map(|head| (head.position, head.hash));
        self.seal = Some(Seal { key, file });
        Ok(())
    }

    /// Where the next entry goes. `last` is the table's last entry, `at_head` the hash that the table has at the head's
    /// place. Where the table does not hold what the head says, the new entry is bound to the head all the same: the gap
    /// stays to be seen.
    pub(super) fn next(&self, last: Option<&(i64, String)>, at_head: Option<&str>) -> Link {
        let (last_position, last_hash) = last.map_or((0, ""), |(position, hash)| (*position, hash.as_str()));
        match &self.head {
            Some((position, hash)) if at_head != Some(hash.as_str()) => Link {
                position: last_position.max(*position) + 1,
                previous: hash.clone(),
                broken: Some(format!("entry {position} of the audit is not there, or is not as it was written")),
            },
            // The table may be one ahead: a kill between the entry and the head.
            Some(_) | None => Link { position: last_position + 1, previous: last_hash.to_owned(), broken: None },
        }
    }

    /// The signature of an entry's text; empty without a key.
    pub(super) fn sign(&self, text: &str) -> String {
        self.seal.as_ref().map_or_else(String::new, |seal| STANDARD.encode(seal.key.sign(text.as_bytes()).to_bytes()))
    }

    /// Notes that the chain goes this far now; the file is whole or as it was.
    pub(super) fn advance(&mut self, position: i64, hash: String) -> std::io::Result<()> {
        let written = self.seal.as_ref().map_or(Ok(()), |seal| {
            let signature = self.sign(&Head::text(position, &hash));
            let head = Head { position, hash: hash.clone(), signature };
            write_whole(&seal.file, &serde_json::to_vec(&head).map_err(std::io::Error::from)?)
        });
        self.head = Some((position, hash));
        written
    }
}

fn write_whole(file: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let part = file.with_extension("part");
    let mut open = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&part)?;
    open.write_all(bytes)?;
    open.sync_all()?;
    std::fs::rename(&part, file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_bound_to_the_last_one_and_to_the_head_where_that_is_missing() {
        let mut chain = Chain::default();
        assert_eq!(chain.next(None, None), Link { position: 1, previous: String::new(), broken: None });
        chain.advance(3, "c".into()).expect("no file");
        let whole = chain.next(Some(&(3, "c".into())), Some("c"));
        assert_eq!((whole.position, whole.previous.as_str(), whole.broken), (4, "c", None));
        // Killed before the head was written.
        let ahead = chain.next(Some(&(4, "d".into())), Some("c"));
        assert_eq!((ahead.position, ahead.previous.as_str(), ahead.broken), (5, "d", None));
        for (last, at_head) in [(Some((2, "b".to_owned())), None), (Some((3, "x".to_owned())), Some("x")), (None, None)]
        {
            let link = chain.next(last.as_ref(), at_head);
            assert_eq!((link.position, link.previous.as_str()), (4, "c"));
            assert!(link.broken.is_some(), "{last:?}");
        }
    }
}
