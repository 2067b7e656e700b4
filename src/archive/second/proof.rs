//! What each file of a recording must be: told by the seal log, the sidecar that it seals, and the addenda.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use ed25519_dalek::{Signature, VerifyingKey};
use sha2::{Digest, Sha256};

use super::copy::KEY_FILE_BYTES_MAX;
use super::follow::folder_in;
use super::place::{Place, Reading, hash};
use crate::archive::archived::Archived;
use crate::recorder::deposit::{Addendum, DOCUMENT_BYTES_MAX};
use crate::recorder::layout::{
    AUDIO_FILE, CERTIFICATE_FILE, CERTIFICATE_SIGNATURE_FILE, SEAL_LOG_FOLDER, SIDECAR_FILE,
};
use crate::recorder::render::hex;
use crate::recorder::seal_keys::keys_of;
use crate::recorder::seal_log::{Entry, lies_at};
use crate::recorder::sidecar::Sidecar;
use crate::vault::{KEY_FILE, Wrapped};

/// The files that a folder's lines in the seal log seal, with what they hash to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sealed {
    /// By name; of two lines of one file the later one counts.
    pub files: BTreeMap<String, String>,
    /// The certificate of its lawful deletion.
    pub certificate: Option<String>,
}

/// The seal logs, by the folders of what they seal.
#[derive(Default)]
pub(super) struct Logs {
    pub folders: HashMap<String, Sealed>,
    /// Folders that got lines after the logs were read first.
    pub changed: HashSet<String>,
    recordings: PathBuf,
    keys: Vec<VerifyingKey>,
    /// Bytes of each log that were read.
    read: HashMap<String, u64>,
}

impl Logs {
    /// Reads every log in a place that is a folder, for one folder alone.
    pub(super) fn read(recordings: &Path, wanted: &str) -> io::Result<Logs> {
        let mut logs = Logs { recordings: recordings.to_owned(), ..Logs::default() };
        logs.read_on(&|line| line.contains(wanted), &|folder| folder == wanted)?;
        Ok(logs)
    }

    /// Reads every log in a place that is a folder; keeps what the folders that are `wanted` need.
    pub(super) fn read_all(recordings: &Path, wanted: &dyn Fn(&str) -> bool) -> io::Result<Logs> {
        let mut logs = Logs { recordings: recordings.to_owned(), ..Logs::default() };
        logs.read_on(&|_| true, wanted)?;
        Ok(logs)
    }

    /// Reads what the logs have got since: a running server seals, adds and deletes.
    pub(super) fn follow(&mut self) -> io::Result<()> {
        let before = std::mem::take(&mut self.folders);
        let read = self.read_on(&|_| true, &|_| true);
        let new = std::mem::replace(&mut self.folders, before);
        self.changed.extend(new.into_keys());
        read
    }

    fn read_on(&mut self, is_line: &dyn Fn(&str) -> bool, is_folder: &dyn Fn(&str) -> bool) -> io::Result<()> {
        let here = Place::Folder(super::Folder::new(&self.recordings));
        for (name, length) in here.list(SEAL_LOG_FOLDER)? {
            let Some(node) = name.strip_suffix(".jsonl") else { continue };
            let from = match self.read.get(&name) {
                Some(read) if *read >= length => continue,
                Some(read) => *read,
                None => {
                    self.keys.extend(keys_of(&self.recordings, node)?.into_iter().filter_map(|key| key.key));
                    0
                }
            };
            let Some(file) = here.open_file(&format!("{SEAL_LOG_FOLDER}/{name}"))? else { continue };
            let (mut reader, mut line, mut end) =
                (BufReader::new(Reading { file: &*file, at: from }), Vec::new(), from);
            loop {
                line.clear();
                let bytes = reader.read_until(b'\n', &mut line)?;
                // One that is being written has no end yet.
                if line.pop() != Some(b'\n') {
                    break;
                }
                end += bytes as u64;
                let line = String::from_utf8_lossy(&line);
                // A line that does not hold proves nothing; `vigie verify` tells it.
                if is_line(&line)
                    && let Ok((mut entry, _)) = Entry::check(&line, None)
                {
                    entry.path = lies_at(node, &entry.path);
                    self.take(entry, is_folder);
                }
            }
            self.read.insert(name, end);
        }
        Ok(())
    }

    fn take(&mut self, entry: Entry, is_wanted: &dyn Fn(&str) -> bool) {
        let Some(folder) = folder_in(&entry.path).filter(|folder| is_wanted(folder)) else { return };
        let name = entry.path.rsplit('/').next().unwrap_or_default().to_owned();
        let sealed = self.folders.entry(folder).or_default();
        match entry.certificate_sha256 {
            Some(certificate) => sealed.certificate = Some(certificate),
            None => {
                sealed.files.insert(name, entry.sidecar_sha256);
            }
        }
    }

    /// Whether a signature of any key of this site is over these bytes.
    fn is_signed(&self, bytes: &[u8], signature: &[u8]) -> bool {
        let Ok(signature) = Signature::from_slice(signature) else { return false };
        self.keys.iter().any(|key| key.verify_strict(bytes, &signature).is_ok())
    }
}

/// How a file is known for what it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Proof {
    /// It hashes to this.
    Hash(String),
    /// It is the signature of this file of the folder.
    SignatureOf(String),
    /// It holds the key of this name.
    Key(String),
    /// Nothing tells: the two places can only be compared with each other.
    Nothing,
}

/// How a file is in one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Not there.
    Missing,
    /// What it should be.
    Sound,
    /// Not what it should be, and why.
    Wrong(String),
    /// There, with this hash; nothing tells what it should be.
    Unproven(String),
}

/// What the files of a recording must be, once its sidecar is proven in one of the places.
pub(super) struct Proofs<'a> {
    logs: &'a Logs,
    pub files: BTreeMap<String, Proof>,
    /// Proven documents, for their signatures.
    documents: BTreeMap<String, Vec<u8>>,
}

impl Proofs<'_> {
    /// Of a folder that the logs know; `places` are asked one after the other for what is proven.
    pub(super) fn of<'a>(logs: &'a Logs, folder: &str, sealed: &Sealed, places: [&Place; 2]) -> io::Result<Proofs<'a>> {
        let mut proofs = Proofs { logs, files: BTreeMap::new(), documents: BTreeMap::new() };
        if let Some(certificate) = &sealed.certificate {
            proofs.add_document(CERTIFICATE_FILE, certificate, CERTIFICATE_SIGNATURE_FILE);
            proofs.read_documents(folder, places)?;
            return Ok(proofs);
        }
        for (name, sha256) in &sealed.files {
            proofs.add_document(name, sha256, &format!("{name}.sig"));
        }
        proofs.read_documents(folder, places)?;
        let archived = proofs.documents.values().filter_map(|bytes| serde_json::from_slice::<Addendum>(bytes).ok());
        let archived: Vec<Archived> = archived.filter_map(|addendum| Archived::of(&addendum)).collect();
        let sidecar =
            proofs.documents.get(SIDECAR_FILE).and_then(|bytes| serde_json::from_slice::<Sidecar>(bytes).ok());
        if let Some(sidecar) = sidecar {
            let block = sidecar.vigie;
            if let Some(encryption) = block.encryption {
                proofs.files.insert(KEY_FILE.to_owned(), Proof::Key(encryption.key));
            }
            if archived.is_empty() {
                proofs.files.insert(AUDIO_FILE.to_owned(), Proof::Hash(block.audio.sha256));
            }
            proofs.files.extend(block.peaks.map(|peaks| (peaks.file, Proof::Hash(peaks.sha256))));
            proofs.files.extend(block.frames.into_iter().map(|frames| (frames.file, Proof::Hash(frames.sha256))));
        }
        proofs.files.extend(archived.into_iter().map(|one| (one.file, Proof::Hash(one.sha256))));
        Ok(proofs)
    }

    fn add_document(&mut self, name: &str, sha256: &str, signature: &str) {
        self.files.insert(name.to_owned(), Proof::Hash(sha256.to_owned()));
        self.files.insert(signature.to_owned(), Proof::SignatureOf(name.to_owned()));
    }

    fn read_documents(&mut self, folder: &str, places: [&Place; 2]) -> io::Result<()> {
        for (name, proof) in &self.files {
            let Proof::Hash(sha256) = proof else { continue };
            for place in places {
                let bytes = match place.read(&format!("{folder}/{name}"), DOCUMENT_BYTES_MAX) {
                    Err(error) if error.kind() == io::ErrorKind::FileTooLarge => None,
                    // It is told where it is looked at.
                    Err(_) if is_near(place) => None,
                    read => read?,
                };
                if let Some(bytes) = bytes.filter(|bytes| hex(&Sha256::digest(bytes)) == *sha256) {
                    self.documents.insert(name.clone(), bytes);
                    break;
                }
            }
        }
        Ok(())
    }

    /// How a file is in a place.
    pub(super) fn look(&self, place: &Place, folder: &str, name: &str) -> io::Result<State> {
        match self.look_in(place, folder, name) {
            // A disk that cannot read a file has not got what it should be.
            Err(error) if is_near(place) => Ok(State::Wrong(format!("cannot be read: {error}"))),
            found => found,
        }
    }

    fn look_in(&self, place: &Place, folder: &str, name: &str) -> io::Result<State> {
        let path = format!("{folder}/{name}");
        let small = |bytes_max| match place.read(&path, bytes_max) {
            Err(error) if error.kind() == io::ErrorKind::FileTooLarge => Ok(Some(Vec::new())),
            read => read,
        };
        let judge = |is_sound: bool, why: &str| if is_sound { State::Sound } else { State::Wrong(why.to_owned()) };
        Ok(match self.files.get(name).unwrap_or(&Proof::Nothing) {
            Proof::Hash(sha256) => match hash_in(place, &path)? {
                None => State::Missing,
                Some(found) => judge(found == *sha256, "does not hash to what was sealed"),
            },
            Proof::SignatureOf(document) => match (small(64)?, self.documents.get(document)) {
                (None, _) => State::Missing,
                (Some(signature), Some(bytes)) => {
                    judge(self.logs.is_signed(bytes, &signature), "is no signature of it")
                }
                (Some(signature), None) => State::Unproven(hex(&Sha256::digest(signature))),
            },
            Proof::Key(key) => match small(KEY_FILE_BYTES_MAX)? {
                None => State::Missing,
                Some(bytes) => {
                    let read = Wrapped::understand(&bytes, Path::new(&path));
                    judge(read.is_ok_and(|wrapped| wrapped.key == *key), "is not the recording's key")
                }
            },
            Proof::Nothing => hash_in(place, &path)?.map_or(State::Missing, State::Unproven),
        })
    }
}

/// Whether what cannot be read in a place is the file's fault and not the way's.
pub(super) fn is_near(place: &Place) -> bool {
    matches!(place, Place::Folder(_))
}

/// A file that cannot be read to its end is as good as another: what it should be it is not.
fn hash_in(place: &Place, path: &str) -> io::Result<Option<String>> {
    let Some(file) = place.open_file(path)? else { return Ok(None) };
    match hash(&*file) {
        Ok((_, sha256)) => Ok(Some(sha256)),
        Err(error) if file.is_far() => Err(error),
        Err(error) => Ok(Some(format!("it cannot be read: {error}"))),
    }
}
