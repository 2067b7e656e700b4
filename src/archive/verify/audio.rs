//! The WAV against its sidecar: read once, hashed whole and its samples alone in the same turn.

use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::path::Path;

use sha2::{Digest, Sha256, Sha512};

use super::Verdict;
use super::sealed::Lock;
use crate::recorder::layout::AUDIO_FILE;
use crate::recorder::render::hex;
use crate::recorder::sidecar::{Sidecar, content_hash};

/// Bytes read at once: large enough that a hash never waits for the system.
const PIECE_BYTES: usize = 256 * 1024;

/// What a WAV hashes to.
pub(crate) struct Hashes {
    pub bytes: u64,
    pub sha256: String,
    pub sha512: Option<[u8; 64]>,
    /// Of the samples alone; `None` when there are none to be found.
    pub essence_sha256: Option<String>,
}

/// Reads a WAV once; without the SHA-512.
pub(crate) fn hash_audio(wav: impl Read) -> io::Result<Hashes> {
    hash(wav, false)
}

/// Length and SHA-256 of a WAV: all that a sound one needs.
pub(crate) fn hash_whole(mut wav: impl Read) -> io::Result<(u64, String)> {
    let (mut whole, mut piece, mut bytes) = (Sha256::new(), vec![0; PIECE_BYTES], 0);
    loop {
        let length = fill(&mut wav, &mut piece)?;
        if length == 0 {
            return Ok((bytes, hex(&whole.finalize())));
        }
        whole.update(piece.get(..length).unwrap_or_default());
        bytes += length as u64;
    }
}

/// Reads a WAV once for all that can be said of it; the SHA-512 only when it is asked for.
pub(crate) fn hash(mut wav: impl Read, is_thorough: bool) -> io::Result<Hashes> {
    let (mut whole, mut essence, mut long) = (Sha256::new(), Sha256::new(), is_thorough.then(Sha512::new));
    let mut piece = vec![0; PIECE_BYTES];
    let (mut bytes, mut samples) = (0u64, None);
    loop {
        let length = fill(&mut wav, &mut piece)?;
        let read = piece.get(..length).unwrap_or_default();
        if read.is_empty() {
            break;
        }
        if bytes == 0 {
            samples = find_samples(read);
        }
        whole.update(read);
        if let Some(long) = &mut long {
            long.update(read);
        }
        if let Some(Range { start, end }) = samples.clone() {
            let from = start.saturating_sub(bytes).min(length as u64) as usize;
            let to = end.saturating_sub(bytes).min(length as u64) as usize;
            essence.update(read.get(from..to).unwrap_or_default());
        }
        bytes += length as u64;
    }
    let is_there = samples.is_some_and(|samples| samples.end <= bytes);
    Ok(Hashes {
        bytes,
        sha256: hex(&whole.finalize()),
        sha512: long.map(|long| long.finalize().into()),
        essence_sha256: is_there.then(|| hex(&essence.finalize())),
    })
}

/// Reads until the piece is full or the end is there.
fn fill(from: &mut impl Read, piece: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = piece.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match from.read(rest) {
            Ok(0) => break,
            Ok(length) => filled += length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Where the samples are in a RIFF/WAVE file that begins so: the content of its `data` chunk.
pub(crate) fn find_samples(head: &[u8]) -> Option<Range<u64>> {
    if head.get(..4)? != b"RIFF" || head.get(8..12)? != b"WAVE" {
        return None;
    }
    let mut at = 12usize;
    loop {
        let name = head.get(at..at + 4)?;
        let length = head.get(at + 4..at + 8).and_then(|bytes| bytes.try_into().ok()).map(u32::from_le_bytes)?;
        let start = at + 8;
        if name == b"data" {
            return Some(start as u64..start as u64 + u64::from(length));
        }
        at = start.checked_add(length as usize + length as usize % 2)?;
    }
}

/// Checks a recording's WAV.
pub(super) fn check(folder: &Path, sidecar: &Sidecar, (is_thorough, lock): (bool, &Lock), verdict: &mut Verdict) {
    let path = folder.join(AUDIO_FILE);
    let told = &sidecar.vigie.audio;
    if !is_thorough {
        let whole = File::open(&path).and_then(hash_whole);
        let is_as_sealed = whole.is_ok_and(|(bytes, sha256)| bytes == told.bytes && sha256 == told.sha256);
        let is_sound_inside = || match (&sidecar.vigie.encryption, lock.key()) {
            (Some(encryption), Some(Some(key))) => super::sealed::is_as_sealed(&path, encryption, key),
            (Some(_), Some(None) | None) | (None, _) => true,
        };
        if is_as_sealed && is_sound_inside() {
            return;
        }
    }
    let found = match File::open(&path).and_then(|file| hash(file, is_thorough)) {
        Ok(found) => found,
        Err(error) => return verdict.add(&path, "file", format!("cannot be read: {error}")),
    };
    if found.bytes != told.bytes {
        let what = format!("is {} bytes long, the sidecar says {}", found.bytes, told.bytes);
        verdict.add(&path, "vigie.audio.bytes", what);
    }
    if found.sha256 != told.sha256 {
        verdict.add(&path, "vigie.audio.sha256", "the file was changed");
    }
    if let Some(sha512) = found.sha512
        && sidecar.dialog.first().map(|dialog| &dialog.content_hash) != Some(&content_hash(&sha512))
    {
        verdict.add(&path, "dialog[0].content_hash", "the file was changed");
    }
    let Some(key) = lock.key() else { return };
    let essence_sha256 = match (&sidecar.vigie.encryption, key) {
        (Some(encryption), Some(key)) => match super::sealed::look_inside(&path, encryption, key, verdict) {
            Some(inside) => inside.essence_sha256,
            None => return,
        },
        (None, _) | (Some(_), None) => found.essence_sha256,
    };
    match essence_sha256 {
        Some(essence) if essence == told.essence_sha256 => (),
        Some(_) => verdict.add(&path, "vigie.audio.essence_sha256", "the samples were changed"),
        None => verdict.add(&path, "vigie.audio.essence_sha256", "is no whole WAV: its samples cannot be found"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_found_behind_other_chunks_and_hashed_over_pieces() {
        let samples: Vec<u8> = (0..PIECE_BYTES * 2 + 6).map(|n| (n % 251) as u8).collect();
        let mut wav = b"RIFF____WAVEfmt \x03\x00\x00\x00abc\x00data".to_vec();
        wav.extend((samples.len() as u32).to_le_bytes());
        wav.extend(&samples);
        wav.extend(b"LIST\x04\x00\x00\x00INFO");
        let found = hash(&wav[..], true).expect("read");
        assert_eq!(found.essence_sha256, Some(hex(&Sha256::digest(&samples))));
        assert_eq!((found.bytes, found.sha256), (wav.len() as u64, hex(&Sha256::digest(&wav))));
        assert_eq!(hash(&wav[..1000], false).expect("read").essence_sha256, None);
        assert_eq!(find_samples(b"RIFF____WAVEdata\xff\xff\xff\xff"), Some(20..20 + 0xffff_ffff));
        for head in [&b"RIFX____WAVEdata\0\0\0\0"[..], b"RIFF____WAVE", b"RIFF____WAVEabcd\xff\xff\xff\xff", b""] {
            assert_eq!(find_samples(head), None);
        }
    }
}
