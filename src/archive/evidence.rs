//! What may be done with sealed recordings beside listening: adding to them, making redacted copies, handing them out.

use std::io;
use std::path::{Path, PathBuf};

use ed25519_dalek::SigningKey;
use jiff::tz::TimeZone;
use serde_json::Value;

use super::listening::{self, ListeningError, PEAKS_FILE};
use super::redact::{self, Plan, Redaction, SPANS_MAX, Span};
use crate::model::CallId;
use crate::recorder::deposit::{Addendum, Deposit, DepositError, Deposited, Notary, Note, addenda_in, addendum_file};
use crate::recorder::layout::{AUDIO_FILE, SIDECAR_FILE, folder_of};
use crate::recorder::sidecar::Sidecar;
use crate::vault::{self, AudioReader, Keys, VaultError};

/// What evidence is handled with. Cheap enough to clone once a request.
#[derive(Clone)]
pub struct Evidence {
    /// The recordings folder.
    pub recordings: PathBuf,
    /// This machine's name.
    pub node: String,
    /// The site's time zone.
    pub zone: TimeZone,
    /// Signs what is handed out.
    pub key: SigningKey,
    /// Signs and keeps what is added.
    pub notary: Notary,
    /// Opens what rests encrypted.
    pub vault: Keys,
    /// The time-stamping authority's certificates (PEM), when one is configured with them.
    pub authority: Option<PathBuf>,
}

impl std::fmt::Debug for Evidence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Evidence({}, {})", self.node, self.recordings.display())
    }
}

/// It could not be done.
#[derive(Debug, thiserror::Error)]
pub enum EvidenceError {
    /// There is no sealed recording.
    #[error("call {call} has no sealed recording here")]
    NoRecording {
        /// Of this call.
        call: CallId,
    },
    /// What was asked makes no sense.
    #[error("{0}")]
    Asked(String),
    /// A file could not be read.
    #[error("{act} {path}: {source}; run `vigie verify` on its folder")]
    File {
        /// What was tried.
        act: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The key that opens it is not at hand.
    #[error(transparent)]
    KeyAbsent(VaultError),
    /// It could not be signed and kept.
    #[error(transparent)]
    Deposit(#[from] DepositError),
}

impl Evidence {
    /// A recording's folder.
    pub fn folder(&self, call: CallId) -> PathBuf {
        self.recordings.join(folder_of(call))
    }

    /// Adds a note to a sealed recording. Blocks.
    ///
    /// # Errors
    /// When there is no recording, or the note cannot be kept.
    pub fn annotate(&self, note: Note) -> Result<Deposited, EvidenceError> {
        // What is in the second place alone is added to all the same, and no number is given twice.
        self.bring_back(&self.folder(note.call))?;
        Ok(self.notary.deposit(Deposit::Addendum(note))?)
    }

    /// The addenda of a recording, in order. Blocks.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn addenda(&self, call: CallId) -> Result<Vec<Addendum>, EvidenceError> {
        let folder = self.folder(call);
        self.bring_back(&folder)?;
        let there = match addenda_in(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(EvidenceError::NoRecording { call }),
            there => there.map_err(fault("reading the addenda in", &folder))?,
        };
        let read = |(_, bytes): &(usize, Vec<u8>)| serde_json::from_slice(bytes).map_err(io::Error::from);
        there.iter().map(read).collect::<io::Result<_>>().map_err(fault("understanding an addendum in", &folder))
    }

    /// The sidecar of a recording. Blocks.
    ///
    /// # Errors
    /// When there is none, or it cannot be read.
    pub fn sidecar(&self, call: CallId) -> Result<Sidecar, EvidenceError> {
        self.bring_back(&self.folder(call))?;
        let path = self.folder(call).join(SIDECAR_FILE);
        let bytes = match std::fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(EvidenceError::NoRecording { call }),
            bytes => bytes.map_err(fault("reading", &path))?,
        };
        serde_json::from_slice(&bytes).map_err(io::Error::from).map_err(fault("understanding", &path))
    }

    /// Seals a redacted copy with these spans of silence; the copy itself is made when it is asked for. Blocks.
    ///
    /// # Errors
    /// When the spans are none, or the copy cannot be made or sealed.
    pub fn redact(
        &self,
        call: CallId,
        spans: Vec<Span>,
        (by, reason): (&str, &str),
    ) -> Result<(Deposited, Redaction), EvidenceError> {
        let sidecar = self.sidecar(call)?;
        let audio = &sidecar.vigie.audio;
        let is_span = |span: &Span| span.start_ms < span.end_ms && span.start_ms < audio.duration_ms;
        if spans.is_empty() || spans.len() > SPANS_MAX || !spans.iter().all(is_span) {
            return Err(EvidenceError::Asked(format!(
                "write 1 to {SPANS_MAX} spans, each with start_ms before end_ms and within the {} ms of this recording",
                audio.duration_ms
            )));
        }
        let plan = Plan { call, original: audio.essence_sha256.clone(), spans: spans.clone() };
        let made = redact::write(self.open_audio(call)?, plan, &mut io::sink());
        let made = made.map_err(fault("silencing spans of", &self.folder(call).join(AUDIO_FILE)))?;
        let redaction = Redaction {
            call,
            original_essence_sha256: audio.essence_sha256.clone(),
            spans,
            bytes: made.bytes,
            sha256: made.sha256,
            essence_sha256: made.essence_sha256,
        };
        let body = serde_json::to_value(&redaction).unwrap_or(Value::Null);
        let note = Note { call, kind: redact::KIND.into(), by: by.into(), reason: reason.into(), body };
        Ok((self.annotate(note)?, redaction))
    }

    /// A redacted copy by the number of its addendum; the newest without one. Blocks.
    ///
    /// # Errors
    /// When there is none.
    pub fn redaction(&self, call: CallId, number: Option<usize>) -> Result<(usize, Redaction), EvidenceError> {
        let is_it = |addendum: &&Addendum| number.is_none_or(|number| addendum.addendum == number);
        let all = self.addenda(call)?;
        let found = all.iter().rev().filter(is_it).find_map(|one| Some((one.addendum, Redaction::of(one)?)));
        found.ok_or_else(|| EvidenceError::Asked(format!("call {call} has no such redacted copy: make one first")))
    }

    /// Writes a redacted copy. Blocks.
    ///
    /// # Errors
    /// When it cannot be made, or is not the one that was sealed.
    pub fn write_redacted(&self, call: CallId, copy: &Redaction, mut out: &mut dyn io::Write) -> io::Result<()> {
        let made = redact::write(self.open_audio(call).map_err(io::Error::other)?, copy.plan(), &mut out)?;
        let is_it = made.sha256 == copy.sha256;
        let other = || io::Error::other("the copy is not the one that was sealed: run `vigie verify` on its folder");
        is_it.then_some(()).ok_or_else(other)
    }

    /// What is missing here of a recording's documents is fetched from the second place, when there is one.
    fn bring_back(&self, folder: &Path) -> Result<(), EvidenceError> {
        match self.vault.elsewhere() {
            Some(elsewhere) if !is_documented(folder) => {
                elsewhere.bring_back(folder).map_err(fault("fetching from the second place what is missing in", folder))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// The plain outline, when it was sealed with one.
    pub(super) fn outline(&self, call: CallId) -> Result<Option<Vec<u8>>, EvidenceError> {
        let folder = self.folder(call);
        listening::outline(&folder, &self.vault).map_err(|error| match error {
            ListeningError::Vault(error) if error.is_for_want_of_a_key() => EvidenceError::KeyAbsent(error),
            error => fault("reading", &folder.join(PEAKS_FILE))(io::Error::other(error)),
        })
    }

    /// Refuses what could not be opened. Blocks.
    ///
    /// # Errors
    /// [`EvidenceError::KeyAbsent`] without its key, [`EvidenceError::File`] when it cannot be read.
    pub fn demand_audio(&self, call: CallId) -> Result<(), EvidenceError> {
        self.open_audio(call).map(|_| ())
    }

    /// The plain audio.
    pub(super) fn open_audio(&self, call: CallId) -> Result<AudioReader, EvidenceError> {
        let folder = self.folder(call);
        vault::open_audio(&folder, AUDIO_FILE, &self.vault).map_err(|error| match error {
            error if error.is_for_want_of_a_key() => EvidenceError::KeyAbsent(error),
            error => fault("opening", &folder.join(AUDIO_FILE))(io::Error::other(error)),
        })
    }
}

/// Whether a recording's documents are here, as far as they tell of each other: each has its signature, and no addendum is
/// missing before the last.
fn is_documented(folder: &Path) -> bool {
    let has = |name: &str| folder.join(name).exists() && folder.join(format!("{name}.sig")).exists();
    let numbers: Vec<usize> = addenda_in(folder).into_iter().flatten().map(|(number, _)| number).collect();
    has(SIDECAR_FILE) && (1..).zip(&numbers).all(|(due, number)| due == *number && has(&addendum_file(due)))
}

pub(super) fn fault(act: &'static str, path: &Path) -> impl FnOnce(io::Error) -> EvidenceError + use<> {
    let path = path.to_owned();
    move |source| EvidenceError::File { act, path, source }
}
