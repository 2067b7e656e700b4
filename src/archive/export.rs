//! An export: recordings with all that proves them, in one zip that an outsider checks with standard tools.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use ed25519_dalek::{Signature, Signer};
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::evidence::{Evidence, EvidenceError, fault};
use super::instructions::Instructions;
use super::roots::{self, RootError, stamp_of};
use super::zip::Zip;
use crate::model::{CallId, Utc};
use crate::recorder::deposit::{addenda_in, addendum_file, signature_of};
use crate::recorder::layout::{AUDIO_FILE, SEAL_LOG_FOLDER, SIDECAR_FILE, SIGNATURE_FILE, folder_of};
use crate::recorder::peaks::PEAKS_FILE;
use crate::recorder::render::hex;
use crate::recorder::seal_keys::{NodeKey, before_path, keys_of};
use crate::recorder::seal_log::{ProvenLine, SealLogError, find_line, find_lines, log_paths, logs_of};
use crate::storage::audit::{self, AuditFilter};
use crate::storage::exports::Export;
use crate::storage::{ROWS_MAX, Storage, StorageError, holds, story};

/// The most recordings in one export.
pub const CALLS_MAX: usize = 100;

/// An export could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// What stands in the database.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// What stands in the recordings folder.
    #[error(transparent)]
    Evidence(#[from] EvidenceError),
    /// Roots.
    #[error(transparent)]
    Root(#[from] RootError),
    /// The seal log.
    #[error(transparent)]
    Log(#[from] SealLogError),
    /// The zip could not be written.
    #[error("writing the zip: {0}")]
    Zip(#[from] io::Error),
}

/// What of an export stands in the database.
#[derive(Clone, Debug)]
pub struct Contents {
    export: Export,
    calls: Vec<Told>,
}

/// One call.
#[derive(Clone, Debug)]
struct Told {
    call: CallId,
    story: Value,
    custody: Value,
    holds: Value,
}

/// Reads what the database tells of the calls of an export.
///
/// # Errors
/// When it cannot be read.
pub async fn gather(storage: &Storage, export: Export, zone: &TimeZone) -> Result<Contents, ExportError> {
    let mut calls = Vec::new();
    for call in export.calls.iter().copied() {
        let told = story::of(storage, call).await?;
        let story = told.map_or(
            Value::Null,
            |told| json!({ "record": told.record, "events": told.events, "failure": told.failure }),
        );
        let mut rows: Vec<Value> = Vec::new();
        let mut before = None;
        loop {
            let filter = AuditFilter { call: Some(call), limit: Some(ROWS_MAX), before, ..AuditFilter::default() };
            let some = audit::list(storage, &filter).await?;
            before = some.last().map(|row| row.position);
            rows.extend(some.iter().map(|row| json!(row)));
            if some.len() < ROWS_MAX as usize {
                break;
            }
        }
        rows.reverse();
        let holds = json!(holds::of_call(storage, call).await?);
        let custody = with_times(Value::Array(rows), zone);
        calls.push(Told { call, story: with_times(story, zone), custody, holds: with_times(holds, zone) });
    }
    Ok(Contents { export, calls })
}

/// Times are microseconds in the database: here each is written with the site's offset, and in UTC beside it.
fn with_times(told: Value, zone: &TimeZone) -> Value {
    match told {
        Value::Object(fields) => {
            let mut written = serde_json::Map::new();
            for (name, value) in fields {
                match value.as_i64().filter(|_| name == "at" || name.ends_with("_at")) {
                    Some(at) => {
                        written.insert(format!("{name}_utc"), Utc(at).rfc3339().into());
                        written.insert(name, Utc(at).with_offset(zone).into());
                    }
                    None => {
                        written.insert(name, with_times(value, zone));
                    }
                }
            }
            Value::Object(written)
        }
        Value::Array(entries) => entries.into_iter().map(|entry| with_times(entry, zone)).collect(),
        value => value,
    }
}

/// Writes the zip. Blocks; an error in the middle leaves a zip without its list, which nobody takes for whole.
///
/// # Errors
/// When something cannot be read, or the zip not be written.
pub fn write<W: Write>(evidence: &Evidence, contents: &Contents, out: W, at: Utc) -> Result<W, ExportError> {
    let made = at.timestamp().to_zoned(evidence.zone.clone()).datetime();
    let (zip, told) = (Zip::new(out, made), Instructions::default());
    let mut packing = Packing { evidence, zip, manifest: String::new(), told, lines: find_all(evidence, contents)? };
    let keys = packing.put_keys()?;
    let export = &contents.export;
    let head = json!({
        "export": export, "made_at": at.0, "node": evidence.node,
        "software": concat!("vigie ", env!("CARGO_PKG_VERSION")),
    });
    packing.put_json("export.json", &with_times(head, &evidence.zone))?;
    for told in &contents.calls {
        if export.is_redacted {
            packing.put_redacted(told, &keys)?;
        } else {
            packing.put_call(told, &keys)?;
        }
    }
    packing.finish(&keys)
}

struct Packing<'a, W> {
    evidence: &'a Evidence,
    zip: Zip<W>,
    manifest: String,
    told: Instructions,
    /// The seal logs' lines of what is handed out, by file.
    lines: HashMap<String, ProvenLine>,
}

/// The seal logs' lines of all calls of an export, found in one reading.
fn find_all(evidence: &Evidence, contents: &Contents) -> Result<HashMap<String, ProvenLine>, ExportError> {
    let mut files: BTreeMap<String, HashSet<String>> = BTreeMap::new();
    for call in contents.calls.iter().map(|told| told.call) {
        let node = evidence.sidecar(call)?.vigie.node;
        let name = match contents.export.is_redacted {
            true => addendum_file(evidence.redaction(call, None)?.0),
            false => SIDECAR_FILE.to_owned(),
        };
        files.entry(node).or_default().insert(format!("{}/{name}", folder_of(call)));
    }
    let mut lines = HashMap::new();
    for (node, files) in files {
        for log in logs_of(&evidence.recordings, &node).map_err(fault("listing", &evidence.recordings))? {
            lines.extend(find_lines(&log, &files)?);
        }
    }
    Ok(lines)
}

/// Of who had a recording, what may stand beside a redacted copy: no case, no reason, nothing that leads to the caller.
fn without_words(custody: &Value) -> Value {
    let kept = |row: &Value| -> Value {
        let fields = row.as_object().into_iter().flatten();
        let fields = fields.filter(|(name, _)| ["position", "at", "at_utc", "actor", "act"].contains(&name.as_str()));
        Value::Object(fields.map(|(name, value)| (name.clone(), value.clone())).collect())
    };
    custody.as_array().into_iter().flatten().map(kept).collect()
}

/// The same of its holds: from when to when, and nothing of why.
fn without_cases(holds: &Value) -> Value {
    let kept = ["id", "placed_at", "placed_at_utc", "released_at", "released_at_utc"];
    let plain = |hold: &Value| -> Value {
        let fields = hold.as_object().into_iter().flatten().filter(|(name, _)| kept.contains(&name.as_str()));
        Value::Object(fields.map(|(name, value)| (name.clone(), value.clone())).collect())
    };
    holds.as_array().into_iter().flatten().map(plain).collect()
}

impl<W: Write> Packing<'_, W> {
    fn put(&mut self, name: &str, fill: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), ExportError> {
        let hash = self.zip.add(name, fill)?;
        self.manifest.push_str(&format!("{hash}  {name}\n"));
        Ok(())
    }

    fn put_bytes(&mut self, name: &str, bytes: &[u8]) -> Result<(), ExportError> {
        self.put(name, |out| out.write_all(bytes))
    }

    fn put_json(&mut self, name: &str, value: &Value) -> Result<(), ExportError> {
        self.put_bytes(name, format!("{value:#}\n").as_bytes())
    }

    fn put_file(&mut self, name: &str, path: &Path) -> Result<(), ExportError> {
        let mut file = File::open(path).map_err(fault("opening", path))?;
        self.put(name, |out| io::copy(&mut file, out).map(|_| ()))
    }

    /// The public keys of every node that sealed here, and the authority's certificates.
    fn put_keys(&mut self) -> Result<Vec<(String, NodeKey)>, ExportError> {
        let folder = self.evidence.recordings.join(SEAL_LOG_FOLDER);
        let mut nodes = Vec::new();
        for entry in std::fs::read_dir(&folder).map_err(fault("listing", &folder))? {
            let path = entry.map_err(fault("listing", &folder))?.path();
            if path.extension().is_some_and(|extension| extension == "jsonl") {
                nodes.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
            }
        }
        nodes.sort();
        let mut all = Vec::new();
        for node in nodes {
            let keys = keys_of(&self.evidence.recordings, &node);
            all.extend(keys.map_err(fault("reading the keys in", &folder))?);
        }
        let mut named: Vec<(String, NodeKey)> = Vec::new();
        for key in all {
            let name = format!("keys/{}", file_name(&key.path));
            self.put_bytes(&name, key.pem.as_bytes())?;
            let before = before_path(&key.path);
            if let (true, Some((older, _))) = (before.exists(), named.last().cloned()) {
                let word = format!("keys/{}", file_name(&before));
                self.put_file(&word, &before)?;
                self.told.newer_key(&name, &older, &word);
            }
            named.push((name, key));
        }
        if let Some(authority) = self.evidence.authority.clone() {
            self.put_file("keys/timestamp-authority.pem", &authority)?;
        }
        Ok(named)
    }

    /// A recording with everything that belongs to it.
    fn put_call(&mut self, told: &Told, keys: &[(String, NodeKey)]) -> Result<(), ExportError> {
        let (call, folder) = (told.call, self.evidence.folder(told.call));
        let sidecar = self.evidence.sidecar(call)?;
        self.told.begin_call(call, &sidecar.vigie.times);
        let mut audio = self.evidence.open_audio(call)?;
        let before = self.manifest.len();
        self.put(&format!("{call}/{AUDIO_FILE}"), |out| io::copy(&mut audio, out).map(|_| ()))?;
        // What is encrypted at rest is handed out plain: then the essence alone is the same.
        let is_as_sealed =
            self.manifest.get(before..).is_some_and(|line| line.starts_with(&sidecar.vigie.audio.sha256));
        self.put_essence(call, AUDIO_FILE, &sidecar.vigie.audio.essence_sha256)?;
        self.told.audio(call, AUDIO_FILE, is_as_sealed);
        if let Some(outline) = self.evidence.outline(call)? {
            self.put_bytes(&format!("{call}/{PEAKS_FILE}"), &outline)?;
        }
        let path = folder.join(SIDECAR_FILE);
        self.put_file(&format!("{call}/{SIDECAR_FILE}"), &path)?;
        self.put_file(&format!("{call}/{SIGNATURE_FILE}"), &folder.join(SIGNATURE_FILE))?;
        self.tell_signature(call, SIDECAR_FILE, &path, keys)?;
        for (number, bytes) in addenda_in(&folder).map_err(fault("reading the addenda in", &folder))? {
            self.put_addendum(call, number, &bytes, keys)?;
        }
        self.put_json(&format!("{call}/story.json"), &told.story)?;
        self.put_custody(told, false)?;
        self.put_line(call, &sidecar.vigie.node, SIDECAR_FILE, keys)
    }

    /// The newest redacted copy, and what proves it: nothing that tells what was silenced, nor who called.
    fn put_redacted(&mut self, told: &Told, keys: &[(String, NodeKey)]) -> Result<(), ExportError> {
        let (call, folder) = (told.call, self.evidence.folder(told.call));
        let sidecar = self.evidence.sidecar(call)?;
        let (number, redaction) = self.evidence.redaction(call, None)?;
        self.told.begin_call(call, &sidecar.vigie.times);
        let (name, evidence) = ("redacted.wav", self.evidence);
        self.put(&format!("{call}/{name}"), |out| evidence.write_redacted(call, &redaction, out))?;
        self.put_essence(call, name, &redaction.essence_sha256)?;
        self.told.redacted(call, name, number);
        let path = folder.join(addendum_file(number));
        let bytes = std::fs::read(&path).map_err(fault("reading", &path))?;
        self.put_addendum(call, number, &bytes, keys)?;
        self.put_custody(told, true)?;
        self.put_line(call, &sidecar.vigie.node, &addendum_file(number), keys)
    }

    /// Who had it, who held it and who let it go.
    fn put_custody(&mut self, told: &Told, is_redacted: bool) -> Result<(), ExportError> {
        let call = told.call;
        let (custody, holds) = match is_redacted {
            true => (without_words(&told.custody), without_cases(&told.holds)),
            false => (told.custody.clone(), told.holds.clone()),
        };
        self.put_json(&format!("{call}/custody.json"), &custody)?;
        self.put_json(&format!("{call}/holds.json"), &holds)?;
        self.told.custody(call, is_redacted);
        Ok(())
    }

    /// What `sox … -t raw - | sha256sum -c` is given.
    fn put_essence(&mut self, call: CallId, of: &str, essence: &str) -> Result<(), ExportError> {
        self.put_bytes(&format!("{call}/{of}.essence.sha256"), format!("{essence}  -\n").as_bytes())
    }

    fn put_addendum(
        &mut self,
        call: CallId,
        number: usize,
        bytes: &[u8],
        keys: &[(String, NodeKey)],
    ) -> Result<(), ExportError> {
        let name = addendum_file(number);
        let path = self.evidence.folder(call).join(&name);
        self.put_bytes(&format!("{call}/{name}"), bytes)?;
        self.put_file(&format!("{call}/{name}.sig"), &signature_of(&path))?;
        self.tell_signature(call, &name, &path, keys)
    }

    /// Tells how to check a file's signature, with the key that made it.
    fn tell_signature(
        &mut self,
        call: CallId,
        name: &str,
        path: &Path,
        keys: &[(String, NodeKey)],
    ) -> Result<(), ExportError> {
        let bytes = std::fs::read(path).map_err(fault("reading", path))?;
        let signed = signature_of(path);
        let signature = std::fs::read(&signed).map_err(fault("reading", &signed))?;
        self.told.signature(signer(keys, &bytes, &signature), &format!("{call}/{name}"), &format!("{call}/{name}.sig"));
        Ok(())
    }

    /// The seal log's line of a file, and the root over it.
    fn put_line(
        &mut self,
        call: CallId,
        node: &str,
        file: &str,
        keys: &[(String, NodeKey)],
    ) -> Result<(), ExportError> {
        let (log, _) = log_paths(&self.evidence.recordings, node);
        let file = format!("{}/{file}", folder_of(call));
        let line = match self.lines.remove(&file) {
            Some(line) => Some(line),
            // Added since the logs were read.
            None => find_line(&log, &file)?,
        };
        let Some(line) = line else { return Ok(()) };
        self.put_bytes(&format!("{call}/seal-line.json"), line.text.as_bytes())?;
        self.put_bytes(&format!("{call}/seal-line.json.sig"), &line.signature)?;
        let key = signer(keys, line.text.as_bytes(), &line.signature);
        self.told.signature(key, &format!("{call}/seal-line.json"), &format!("{call}/seal-line.json.sig"));
        let Some((path, root, leaves)) = self.find_root(node, &line)? else {
            self.told.no_root(call);
            return Ok(());
        };
        let at = usize::try_from(line.entry.sequence - root.first).unwrap_or(usize::MAX);
        let way = super::merkle::path_of(&leaves, at).unwrap_or_default();
        let mut steps = format!("{}  {call}/seal-line.json\n", line.hash);
        for (number, (left, right)) in (1..).zip(&way) {
            let (name, text) = (format!("{call}/root-step-{number}.txt"), super::merkle::node_text(left, right));
            self.put_bytes(&name, text.as_bytes())?;
            steps.push_str(&format!("{}  {name}\n", hex(&Sha256::digest(text.as_bytes()))));
        }
        self.put_bytes(&format!("{call}/root-steps.sha256"), steps.as_bytes())?;
        let document = std::fs::read(&path).map_err(fault("reading", &path))?;
        let signature = std::fs::read(signature_of(&path)).map_err(fault("reading", &signature_of(&path)))?;
        self.put_bytes(&format!("{call}/root.json"), &document)?;
        self.put_bytes(&format!("{call}/root.json.sig"), &signature)?;
        self.told.root(call, signer(keys, &document, &signature));
        let stamp = stamp_of(&path);
        if stamp.exists() {
            self.put_file(&format!("{call}/root.json.tsr"), &stamp)?;
            self.told.time_stamp(call, self.evidence.authority.is_some());
        }
        Ok(())
    }

    /// The root over a line, in whichever of the node's logs that stands.
    fn find_root(
        &self,
        node: &str,
        line: &ProvenLine,
    ) -> Result<Option<(PathBuf, roots::Root, Vec<String>)>, ExportError> {
        let recordings = &self.evidence.recordings;
        for log in logs_of(recordings, node).map_err(fault("listing", recordings))? {
            if let Some(found) = roots::covering(recordings, &log, line.entry.sequence)?
                && found.2.contains(&line.hash)
            {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Instructions, manifest and its signature come last.
    fn finish(mut self, keys: &[(String, NodeKey)]) -> Result<W, ExportError> {
        let own = self.evidence.key.verifying_key();
        let key = keys.iter().find(|(_, key)| key.key == Some(own)).map(|(name, _)| name.as_str());
        let text = self.told.text(key.unwrap_or("keys/NONE-OF-THESE"));
        self.put_bytes("VERIFY.txt", text.as_bytes())?;
        let signature = self.evidence.key.sign(self.manifest.as_bytes()).to_bytes();
        let manifest = std::mem::take(&mut self.manifest);
        self.zip.add("MANIFEST.sha256", |out| out.write_all(manifest.as_bytes()))?;
        self.zip.add("MANIFEST.sha256.sig", |out| out.write_all(&signature))?;
        Ok(self.zip.finish()?)
    }
}

/// The name of the key that made a signature.
fn signer<'a>(keys: &'a [(String, NodeKey)], bytes: &[u8], signature: &[u8]) -> &'a str {
    let signature = Signature::from_slice(signature).ok();
    let made = |key: &NodeKey| match (&key.key, &signature) {
        (Some(key), Some(signature)) => key.verify_strict(bytes, signature).is_ok(),
        (_, _) => false,
    };
    // Of a forgery no key made it: the command with the newest one then says so.
    let found = keys.iter().find(|(_, key)| made(key)).or(keys.last());
    found.map(|(name, _)| name.as_str()).unwrap_or("keys/NONE-OF-THESE")
}

fn file_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}
