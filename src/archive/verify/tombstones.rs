//! Recordings that were lawfully deleted: the tombstone in the seal log, and the certificate that it binds.

use std::collections::BTreeSet;
use std::path::Path;

use ed25519_dalek::Signature;
use sha2::{Digest, Sha256};

use super::{Seals, Verdict, list};
use crate::archive::certificate::{Certificate, FORM};
use crate::recorder::layout::{CERTIFICATE_FILE, CERTIFICATE_SIGNATURE_FILE, SIDECAR_FILE};
use crate::recorder::render::hex;
use crate::recorder::seal_log::Entry;

impl Seals {
    /// Checks what is left of a recording that has a tombstone; `false` when it has none and is to be checked as it is.
    pub(super) fn check_buried(&self, folder: &Path, verdict: &mut Verdict) -> bool {
        let (sidecar, path) = (folder.join(SIDECAR_FILE), folder.join(CERTIFICATE_FILE));
        let Some(tombstone) = self.tombstones.get(&sidecar) else {
            if !path.is_file() {
                return false;
            }
            if sidecar.is_file() {
                verdict.note(format!("{}: its deletion was approved and has not been carried out", folder.display()));
                return false;
            }
            let what = match self.root {
                Some(_) => "the seal log has no tombstone of this deletion",
                None => "no seal log stands above it: whether this deletion was lawful cannot be said",
            };
            verdict.add(&path, "tombstone", what);
            return true;
        };
        let before = verdict.findings_total;
        // One that is not there is told once, for the whole search.
        if let Ok(bytes) = std::fs::read(&path) {
            self.check_certificate(&path, &bytes, tombstone, verdict);
        }
        match self.entries.get(&sidecar) {
            Some(entry) if entry.sidecar_sha256 == tombstone.sidecar_sha256 && entry.call == tombstone.call => (),
            Some(_) | None => {
                verdict.add(&path, "tombstone", "buries another recording than the one that was sealed here")
            }
        }
        for file in list(folder).unwrap_or_default() {
            if file != path && file != folder.join(CERTIFICATE_SIGNATURE_FILE) {
                let what = format!(
                    "is there, though the recording was deleted at {}: its removal was interrupted (Vigie finishes it), or it was put back",
                    tombstone.at
                );
                verdict.add(&file, "file", what);
            }
        }
        verdict.recordings_deleted += u64::from(verdict.findings_total == before);
        true
    }

    fn check_certificate(&self, path: &Path, bytes: &[u8], tombstone: &Entry, verdict: &mut Verdict) {
        if Some(hex(&Sha256::digest(bytes))) != tombstone.certificate_sha256 {
            verdict.add(path, "sha256", "is not the certificate that the seal log's tombstone names: changed");
        }
        let signature = path.with_file_name(CERTIFICATE_SIGNATURE_FILE);
        let signed = std::fs::read(&signature).ok().and_then(|bytes| Signature::from_slice(&bytes).ok());
        let is_signed =
            signed.is_some_and(|signed| self.keys.iter().any(|key| key.verify_strict(bytes, &signed).is_ok()));
        if !is_signed {
            verdict.add(&signature, "signature", "is missing or does not match the certificate");
        }
        let certificate: Certificate = match serde_json::from_slice(bytes) {
            Ok(certificate) => certificate,
            Err(error) => {
                return verdict.add(path, "form", format!("is not a certificate as Vigie writes it: {error}"));
            }
        };
        let is_of_it = Some(certificate.call) == tombstone.call && certificate.seal == tombstone.sidecar_sha256;
        if certificate.form != FORM || !is_of_it {
            verdict.add(path, "call", "certifies the deletion of another recording");
        }
        let people: BTreeSet<&str> = certificate.approvers.iter().map(|one| one.person.as_str()).collect();
        if people.len() < 2 {
            verdict.add(path, "approvers", "names fewer than two people");
        }
    }

    /// Whether this file went with a recording that was lawfully deleted.
    pub(super) fn is_buried(&self, file: &Path) -> bool {
        self.tombstones.contains_key(&file.with_file_name(SIDECAR_FILE))
    }

    /// Tells the certificates that the seal log knows and that are not there.
    pub(super) fn find_certificates(&self, target: &Path, verdict: &mut Verdict) {
        for (sidecar, tombstone) in &self.tombstones {
            let path = sidecar.with_file_name(CERTIFICATE_FILE);
            if sidecar.starts_with(target) && !path.is_file() {
                let what = format!("the recording was deleted at {}, and the certificate is not there", tombstone.at);
                verdict.add(&path, "file", what);
            }
        }
    }
}
