//! Audio that was archived: some days after its seal the WAV of a recording becomes a FLAC. An addendum says so, with its own
//! line in the seal log; the WAV goes only when the FLAC was read back and is, byte for byte, the WAV that was sealed.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::evidence::{Evidence, EvidenceError, fault};
use super::verify::hash_audio;
use crate::model::CallId;
use crate::recorder::deposit::{Addendum, Note};
use crate::recorder::layout::{AUDIO_FILE, create_file, name_part, part_of, remove_file, sync_file};
use crate::recorder::render::hash_short;
use crate::recorder::sidecar::Sidecar;
use crate::vault::{self, AudioWriter, FLAC_FILE, VaultError};

/// The kind of its addendum.
pub const KIND: &str = "archive";
/// Whose word the addendum is.
const OURSELVES: &str = "vigie";
/// How the audio rests.
const CODING: &str = "FLAC (RFC 9639); flac -d --keep-foreign-metadata gives the WAV";

/// What an addendum of this kind says, in its `body`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Archived {
    /// Beside the sidecar; it stands for the WAV.
    pub file: String,
    /// Its length on the disk.
    pub bytes: u64,
    /// SHA-256 of what rests on the disk.
    pub sha256: String,
    /// In words.
    pub coding: String,
    /// Bytes of the WAV that it decodes to.
    pub wav_bytes: u64,
    /// SHA-256 of that WAV, as it was sealed; of an encrypted recording: of the plain WAV.
    pub wav_sha256: String,
    /// SHA-256 of the samples, before and after.
    pub essence_sha256: String,
}

impl Archived {
    /// What an addendum says, if it is of that kind.
    pub fn of(addendum: &Addendum) -> Option<Archived> {
        let is_one = addendum.kind == KIND;
        is_one.then(|| serde_json::from_value(addendum.body.clone()).ok()).flatten()
    }
}

/// A recording was not archived; its WAV is there as it was.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// Sidecar or addenda.
    #[error(transparent)]
    Evidence(#[from] EvidenceError),
    /// The audio, or its key.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// What the FLAC decodes to is not what was sealed.
    #[error(
        "the FLAC of {} does not decode to the WAV that was sealed; it was removed and the WAV is kept: run `vigie verify` on \
         its folder",
        .folder.display()
    )]
    Other {
        /// The recording's.
        folder: PathBuf,
    },
}

impl ArchiveError {
    /// Whether no key can be had at all, whatever the recording.
    pub fn is_for_want_of_any_key(&self) -> bool {
        matches!(self, ArchiveError::Vault(VaultError::NoMaster { .. }))
    }

    /// Whether the right key would help: then it is tried again when that is there.
    pub fn is_for_want_of_a_key(&self) -> bool {
        matches!(self, ArchiveError::Vault(error) if error.is_for_want_of_a_key())
    }
}

/// Archives the audio of a recording; `false` when there is nothing to do: it is archived, or there is no sound in it. Every
/// step may be repeated. Blocks.
///
/// # Errors
/// [`ArchiveError`]; nothing is lost.
pub fn archive(evidence: &Evidence, call: CallId) -> Result<bool, ArchiveError> {
    let folder = evidence.folder(call);
    let (wav, flac) = (folder.join(AUDIO_FILE), folder.join(FLAC_FILE));
    if !wav.is_file() {
        return Ok(false);
    }
    let sidecar = evidence.sidecar(call)?;
    if let Some(told) = evidence.addenda(call)?.iter().find_map(Archived::of) {
        // Killed between the addendum and the WAV's removal.
        return match hash_short(&flac) {
            Ok((_, sha256)) if sha256 == told.sha256 && is_same(evidence, &folder, &sidecar)? => remove(&wav),
            Ok(_) | Err(_) => Err(ArchiveError::Other { folder }),
        };
    }
    let mut audio = vault::open_audio(&folder, AUDIO_FILE, &evidence.vault)?;
    if !vault::is_packable(&mut audio).map_err(fault("reading", &wav))? {
        return Ok(false);
    }
    let part = part_of(&flac);
    let packed = pack(&mut audio, &folder, evidence);
    if packed.is_err() {
        // Nothing half-written is left for a full disk to keep.
        let _ = remove_file(&part);
    }
    packed?;
    name_part(&flac).and_then(|()| sync_file(&folder)).map_err(fault("naming", &flac))?;
    if !is_same(evidence, &folder, &sidecar)? {
        remove_file(&flac).map_err(fault("removing", &flac))?;
        return Err(ArchiveError::Other { folder });
    }
    let (bytes, sha256) = hash_short(&flac).map_err(fault("reading", &flac))?;
    let (wav_bytes, wav_sha256) = plain_wav(&sidecar);
    let essence_sha256 = sidecar.vigie.audio.essence_sha256.clone();
    let file = FLAC_FILE.to_owned();
    let archived = Archived { file, bytes, sha256, coding: CODING.to_owned(), wav_bytes, wav_sha256, essence_sha256 };
    let body = serde_json::to_value(&archived).unwrap_or_default();
    let reason = "archived after the days that [archive] flac_after_days says".to_owned();
    evidence.annotate(Note { call, kind: KIND.into(), by: OURSELVES.into(), reason, body })?;
    remove(&wav)
}

/// Writes the FLAC beside, encrypted when the WAV is.
fn pack(audio: &mut vault::AudioReader, folder: &Path, evidence: &Evidence) -> Result<(), ArchiveError> {
    let flac = folder.join(FLAC_FILE);
    let part = part_of(&flac);
    let key = if audio.is_sealed() {
        // Without its key the FLAC would rest plain.
        let path = folder.to_owned();
        Some(vault::key_of(folder, &evidence.vault)?.ok_or(VaultError::NoKey { path })?)
    } else {
        None
    };
    let made = create_file(&part).map_err(fault("making", &part))?;
    let mut out = AudioWriter::new(made, FLAC_FILE, key.as_ref()).map_err(fault("writing", &part))?;
    vault::pack(audio, &mut out).and_then(|()| out.finish()).map_err(fault("writing", &part))?;
    Ok(())
}

/// Whether the FLAC decodes to the WAV that was sealed, to the last byte.
fn is_same(evidence: &Evidence, folder: &Path, sidecar: &Sidecar) -> Result<bool, ArchiveError> {
    let reader = vault::open_flac(folder, &evidence.vault)?;
    let found = match hash_audio(reader) {
        // What cannot be decoded is not the same.
        Err(error) if error.kind() == io::ErrorKind::InvalidData => return Ok(false),
        found => found.map_err(fault("reading back", &folder.join(FLAC_FILE)))?,
    };
    let is_wav = (found.bytes, found.sha256) == plain_wav(sidecar);
    Ok(is_wav && found.essence_sha256.as_ref() == Some(&sidecar.vigie.audio.essence_sha256))
}

/// The length and the SHA-256 of the plain WAV that was sealed.
pub(super) fn plain_wav(sidecar: &Sidecar) -> (u64, String) {
    let block = &sidecar.vigie;
    match &block.encryption {
        Some(encryption) => (encryption.plain_bytes, encryption.plain_sha256.clone()),
        None => (block.audio.bytes, block.audio.sha256.clone()),
    }
}

fn remove(wav: &Path) -> Result<bool, ArchiveError> {
    remove_file(wav).map_err(fault("removing", wav))?;
    wav.parent().map_or(Ok(()), sync_file).map_err(fault("syncing the folder of", wav))?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::SigningKey;
    use jiff::tz::TimeZone;

    use super::*;
    use crate::archive::verify::verify;
    use crate::recorder::tests::World;
    use crate::vault::Keys;

    fn evidence(world: &World, notary: crate::recorder::Notary) -> Evidence {
        Evidence {
            recordings: world.parts.settings.folder.clone(),
            node: world.parts.node.clone(),
            zone: TimeZone::UTC,
            key: SigningKey::from_bytes(&[7; 32]),
            notary,
            vault: Keys::off(),
            authority: None,
        }
    }

    #[test]
    fn the_wav_goes_when_the_flac_is_proven_and_everything_still_reads_it() {
        let world = World::new();
        world.seal_one(200);
        let running = world.start(1 << 20);
        let evidence = evidence(&world, running.notary());
        let call = world.record().id;
        let (wav, flac) = (world.in_folder(AUDIO_FILE), world.in_folder(FLAC_FILE));
        let before = std::fs::read(&wav).expect("the WAV");
        assert!(archive(&evidence, call).expect("archived"));
        assert!(!wav.exists() && flac.exists());
        assert!(!archive(&evidence, call).expect("twice is once"));
        let mut read = Vec::new();
        let mut audio = vault::open_audio(&world.in_folder(""), AUDIO_FILE, &Keys::off()).expect("opened");
        io::Read::read_to_end(&mut audio, &mut read).expect("read");
        assert!(read == before, "the very bytes");
        let verdict = verify(&world.parts.settings.folder, &[], |_| ()).expect("checked");
        assert_eq!(verdict.findings, []);
        let mut bytes = std::fs::read(&flac).expect("the FLAC");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&flac, bytes).expect("changed");
        let verdict = verify(&world.parts.settings.folder, &[], |_| ()).expect("checked");
        assert!(verdict.findings.iter().any(|finding| finding.file == flac), "{:?}", verdict.findings);
        std::fs::write(&wav, before).expect("put back");
        let verdict = verify(&world.parts.settings.folder, &[], |_| ()).expect("checked");
        assert!(verdict.findings.iter().any(|finding| finding.file == flac), "a WAV beside it hides nothing");
        running.stop();
    }

    #[test]
    fn a_wav_that_is_not_the_sealed_one_is_kept() {
        let world = World::new();
        world.seal_one(50);
        let running = world.start(1 << 20);
        let evidence = evidence(&world, running.notary());
        let (wav, flac) = (world.in_folder(AUDIO_FILE), world.in_folder(FLAC_FILE));
        let mut bytes = std::fs::read(&wav).expect("the WAV");
        bytes[100] ^= 1;
        std::fs::write(&wav, bytes).expect("changed");
        assert!(matches!(archive(&evidence, world.record().id), Err(ArchiveError::Other { .. })));
        assert!(wav.exists() && !flac.exists());
        running.stop();
    }
}
