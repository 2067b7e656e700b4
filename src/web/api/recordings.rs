//! Recordings: which there are, and the sidecar and signature that prove them.

use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use jiff::tz::TimeZone;
use serde::Serialize;
use tokio::fs::File;
use tokio::io::AsyncReadExt;
use utoipa::ToSchema;

use super::page::{CallQuery, Page};
use super::wanted::Wanted;
use crate::model::{CallId, SealedRecording};
use crate::storage::deletions::{self, ItemState};
use crate::storage::recordings;
use crate::vault::{self, AudioReader, VaultError};
use crate::web::Desk;
use crate::web::access::ReasonQuery;
use crate::web::input::{PathOf, QueryOf};
use crate::web::problem::{Problem, Refusals};
use crate::web::token::Bearer;
use crate::web::words::{CallerView, NamesView, Octets, Stamp};

/// The largest sidecar or signature sent, in bytes: a call's whole story has far less.
const SIDECAR_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// A sealed recording.
#[derive(Serialize, ToSchema)]
pub struct RecordingView {
    /// Of this call.
    #[schema(format = "uuid")]
    call: String,
    /// The first instant of the audio.
    started_at: Stamp,
    /// Length, in milliseconds.
    duration_ms: u64,
    /// Bytes of the WAV as it is sent; on the disk it may be encrypted.
    size_bytes: u64,
    /// SHA-256 of the WAV as it is sent, lower-case hexadecimal; also its ETag.
    audio_sha256: String,
    /// SHA-256 of the samples alone.
    essence_sha256: String,
    /// SHA-256 of the sidecar's exact bytes.
    seal: String,
    /// The seal's place in the node's seal log.
    seal_sequence: u64,
    /// When it was sealed.
    sealed_at: Stamp,
    /// RMS level of the left channel, the caller, in dBFS; -120 is digital silence.
    level_caller_dbfs: f64,
    /// RMS level of the right channel, the regulator, in dBFS; -120 is digital silence.
    level_regulator_dbfs: f64,
    /// Gaps listed in the sidecar.
    gaps: u32,
    /// Finished after a crash.
    recovered: bool,
    /// Where it lies in the recordings folder; for `vigie verify`.
    path: String,
    /// Who called.
    caller: CallerView,
    /// On which line.
    line: String,
    /// Of which association.
    association: String,
    /// What line, association and regulators were called when the call came.
    names: NamesView,
    /// From which region.
    region: String,
    /// Who answered.
    regulator: Option<String>,
    /// Where the audio is fetched; with `?from=SECOND` from any second on.
    audio_url: String,
    /// Where its outline is fetched, to look for a place in it; 404 when it was sealed without one.
    peaks_url: String,
    /// Where a light preview (Opus) is fetched.
    preview_url: String,
    /// Where it is fetched with a channel a party.
    parties_url: String,
    /// Where the sidecar is fetched.
    manifest_url: String,
    /// Where the signature is fetched.
    signature_url: String,
}

impl RecordingView {
    /// A recording as storage lists it.
    pub fn of(sealed: SealedRecording, zone: &TimeZone) -> RecordingView {
        let base = format!("/api/v1/recordings/{}", sealed.call);
        let [level_caller_dbfs, level_regulator_dbfs] = sealed.levels_dbfs;
        let (size_bytes, audio_sha256) = (sealed.wav_bytes(), sealed.wav_sha256().to_owned());
        let record = *sealed.record;
        RecordingView {
            call: sealed.call.to_string(),
            started_at: Stamp::of(sealed.started_at, zone),
            duration_ms: sealed.duration_ms,
            size_bytes,
            audio_sha256,
            essence_sha256: sealed.essence_sha256,
            seal: sealed.seal,
            seal_sequence: sealed.seal_sequence,
            sealed_at: Stamp::of(sealed.sealed_at, zone),
            level_caller_dbfs,
            level_regulator_dbfs,
            gaps: sealed.gaps,
            recovered: sealed.recovered,
            path: sealed.path,
            caller: record.caller.into(),
            line: record.line.to_string(),
            association: record.association.to_string(),
            names: record.names.into(),
            region: record.region.to_string(),
            regulator: record.regulator.map(|regulator| regulator.to_string()),
            audio_url: format!("{base}/audio"),
            peaks_url: format!("{base}/peaks"),
            preview_url: format!("{base}/preview"),
            parties_url: format!("{base}/parties"),
            manifest_url: format!("{base}/manifest"),
            signature_url: format!("{base}/signature"),
        }
    }
}

/// Recordings
///
/// Sealed recordings, newest first; `from` and `to` speak of the recording's start.
#[utoipa::path(
    get, path = "/api/v1/recordings", operation_id = "listRecordings", tag = "recordings",
    params(CallQuery),
    security(("token" = ["admin", "compliance", "viewer"])),
    responses((status = 200, description = "A page of recordings", body = Page<RecordingView>), Refusals),
)]
pub async fn list(
    bearer: Bearer,
    QueryOf(query): QueryOf<CallQuery>,
    State(desk): State<Arc<Desk>>,
) -> Result<Json<Page<RecordingView>>, Problem> {
    let found = recordings::list(desk.stored().await, &query.read(&desk.parts.numbers, &bearer)).await?;
    let items = found.items.into_iter().map(|one| RecordingView::of(one, &desk.parts.zone)).collect();
    Ok(Json(Page { items, next: found.next.map(|cursor| cursor.to_string()) }))
}

/// One recording
#[utoipa::path(
    get, path = "/api/v1/recordings/{call}", operation_id = "showRecording", tag = "recordings",
    params(("call" = String, Path, format = "uuid", description = "The call's id")),
    security(("token" = ["admin", "compliance", "viewer"])),
    responses(
        (status = 200, description = "The recording", body = RecordingView),
        (status = 404, description = "No such recording", body = Problem, content_type = "application/problem+json"),
        Refusals,
    ),
)]
pub async fn show(
    bearer: Bearer,
    PathOf(call): PathOf<CallId>,
    State(desk): State<Arc<Desk>>,
) -> Result<Json<RecordingView>, Problem> {
    let sealed = find(&desk, call).await?;
    bearer.demand(&sealed.record.association)?;
    Ok(Json(RecordingView::of(sealed, &desk.parts.zone)))
}

/// A recording's sidecar
///
/// Its exact bytes: their SHA-256 is the `seal`, and the signature is over them. For a stated reason that is written to the
/// audit first.
#[utoipa::path(
    get, path = "/api/v1/recordings/{call}/manifest", operation_id = "fetchManifest", tag = "recordings",
    params(
        ("call" = String, Path, format = "uuid", description = "The call's id"),
        ReasonQuery,
        ("x-access-reason" = Option<String>, Header, description = "Why, when the query does not say"),
    ),
    security(("token" = ["admin", "compliance"])),
    responses(
        (status = 200, description = "The sidecar, byte for byte", body = serde_json::Value),
        (status = 404, description = "No such recording", body = Problem, content_type = "application/problem+json"),
        Refusals,
    ),
)]
pub async fn manifest(wanted: Wanted, State(desk): State<Arc<Desk>>) -> Result<Response, Problem> {
    let sealed = wanted.find(&desk).await?;
    let opening = send_small(&desk, &sealed.sidecar, "application/json");
    wanted.hand_out(&desk, &sealed, ("recording.manifest", &sealed.sidecar), opening).await
}

/// A recording's signature
///
/// Ed25519 over the sidecar's exact bytes; the public key comes from elsewhere. For a stated reason that is
/// written to the audit first.
#[utoipa::path(
    get, path = "/api/v1/recordings/{call}/signature", operation_id = "fetchSignature", tag = "recordings",
    params(
        ("call" = String, Path, format = "uuid", description = "The call's id"),
        ReasonQuery,
        ("x-access-reason" = Option<String>, Header, description = "Why, when the query does not say"),
    ),
    security(("token" = ["admin", "compliance"])),
    responses(
        (status = 200, description = "The signature file, byte for byte", body = inline(Octets),
            content_type = "application/octet-stream"),
        (status = 404, description = "No such recording", body = Problem, content_type = "application/problem+json"),
        Refusals,
    ),
)]
pub async fn signature(wanted: Wanted, State(desk): State<Arc<Desk>>) -> Result<Response, Problem> {
    let sealed = wanted.find(&desk).await?;
    let path = signature_path(&sealed.sidecar);
    let opening = send_small(&desk, &path, "application/octet-stream");
    wanted.hand_out(&desk, &sealed, ("recording.signature", &sealed.sidecar), opening).await
}

/// The detached signature lies beside the sidecar.
fn signature_path(sidecar: &str) -> String {
    format!("{sidecar}.sig")
}

/// The sealed recording of a call, or a 404 that says what is known of it.
pub async fn find(desk: &Desk, call: CallId) -> Result<SealedRecording, Problem> {
    if let Some(sealed) = recordings::one(desk.stored().await, call).await? {
        return Ok(sealed);
    }
    let deleted = deletions::of_call(&desk.parts.storage, call).await?;
    if let Some((list, item)) = deleted.into_iter().find(|(_, item)| item.state == ItemState::Deleted) {
        let certificate = item.certificate.unwrap_or_default();
        return Err(Problem::not_found(format!(
            "this call's recording was deleted (list {}, certificate {certificate}); GET /api/v1/recordings/{call}/custody tells all",
            list.id
        )));
    }
    let detail = match recordings::failure(&desk.parts.storage, call).await? {
        Some(failure) => format!("this call's recording failed: {}", failure.reason),
        None => "this call has no sealed recording; GET /api/v1/recordings lists them".into(),
    };
    Err(Problem::not_found(detail))
}

/// Opens a file of the recordings folder; `relative` comes from the database, and is checked all the same.
pub async fn open(desk: &Desk, relative: &str) -> Result<(File, u64), Problem> {
    let refuse = |why: &str| refuse(relative, why);
    let path = locate(desk, relative).await?;
    let file = File::open(&path).await.map_err(|_| refuse("cannot be read"))?;
    let about = file.metadata().await.map_err(|_| refuse("cannot be read"))?;
    if !about.is_file() {
        return Err(refuse("is no file"));
    }
    Ok((file, about.len()))
}

/// Opens a recording's audio, encrypted or plain, with its length on the disk.
pub async fn open_audio(desk: &Desk, relative: &str) -> Result<AudioReader, Problem> {
    let path = locate_audio(desk, relative).await?;
    let keys = desk.parts.keys.clone();
    let opened = tokio::task::spawn_blocking(move || {
        let (folder, name) = (path.parent().unwrap_or(Path::new("")), path.file_name().unwrap_or_default());
        vault::open_audio(folder, &name.to_string_lossy(), &keys)
    });
    match opened.await {
        Ok(Ok(reader)) => Ok(reader),
        Ok(Err(error)) if error.is_for_want_of_a_key() => {
            tracing::error!(path = relative, %error, "a recording cannot be decrypted");
            Err(Problem::key_absent(error))
        }
        Ok(Err(error)) => {
            tracing::error!(path = relative, %error, "a recording cannot be opened");
            let is_gone = matches!(&error, VaultError::File { source, .. } if source.kind() == ErrorKind::NotFound);
            Err(refuse(relative, if is_gone { "is not there" } else { "cannot be read" }))
        }
        Err(_) => Err(refuse(relative, "cannot be read")),
    }
}

fn refuse(relative: &str, why: &str) -> Problem {
    tracing::error!(path = relative, why, "a recording's file cannot be sent");
    Problem::fault(format!("the recording's file {why}; run `vigie verify` on its folder"))
}

/// Where a file of the recordings folder is.
pub async fn locate(desk: &Desk, relative: &str) -> Result<PathBuf, Problem> {
    let refuse = |why: &str| refuse(relative, why);
    let folder = &desk.parts.recordings;
    let path = join_inside(folder, relative).ok_or_else(|| refuse("lies outside the recordings folder"))?;
    // A link inside the folder must not lead out of it.
    let folder = tokio::fs::canonicalize(folder).await.map_err(|_| refuse("is not there, nor is its folder"))?;
    let path = tokio::fs::canonicalize(path).await.map_err(|_| refuse("is not there"))?;
    if !path.starts_with(&folder) {
        return Err(refuse("lies outside the recordings folder"));
    }
    Ok(path)
}

/// The same for audio, which may rest as FLAC, or be in the second place alone: then its folder is found, or where it
/// would be.
pub async fn locate_audio(desk: &Desk, relative: &str) -> Result<PathBuf, Problem> {
    let (folder, name) = relative.rsplit_once('/').unwrap_or(("", relative));
    let is_plain = Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
    if !is_plain || name.is_empty() {
        return Err(refuse(relative, "lies outside the recordings folder"));
    }
    let outside = || refuse(relative, "lies outside the recordings folder");
    let expected = join_inside(&desk.parts.recordings, folder).ok_or_else(outside)?;
    demand_unburied(&expected)?;
    let is_gone = !tokio::fs::try_exists(&expected).await.unwrap_or(false);
    if is_gone && desk.parts.keys.elsewhere().is_some() {
        return Ok(expected.join(name));
    }
    let found = locate(desk, folder).await?.join(name);
    // A link in the place of the audio must not lead out either.
    if tokio::fs::symlink_metadata(&found).await.is_ok_and(|about| about.is_symlink()) {
        return locate(desk, relative).await;
    }
    Ok(found)
}

/// What two people agreed to delete is sent no more, though its copy may be locked for a while yet.
fn demand_unburied(folder: &Path) -> Result<(), Problem> {
    let detail = "this call's recording is being deleted, as two people agreed; its custody tells how far that is";
    if crate::archive::listening::is_buried(folder) { Err(Problem::not_found(detail)) } else { Ok(()) }
}

/// `relative` under `folder`, when it names nothing but plain parts.
fn join_inside(folder: &Path, relative: &str) -> Option<PathBuf> {
    let relative = Path::new(relative);
    let plain = relative.components().all(|part| match part {
        Component::Normal(_) => true,
        Component::Prefix(_) | Component::RootDir | Component::CurDir | Component::ParentDir => false,
    });
    (plain && relative.components().next().is_some()).then(|| folder.join(relative))
}

/// A document that is not here is fetched from the second place, when there is one; what fails is in the log, and the
/// document is then told as missing.
async fn fetch_back(desk: &Desk, relative: &str) {
    let path = desk.parts.recordings.join(relative);
    let (Some(elsewhere), Some(folder)) = (desk.parts.keys.elsewhere(), path.parent().map(Path::to_owned)) else {
        return;
    };
    if tokio::fs::try_exists(&path).await.unwrap_or(true) {
        return;
    }
    let fetched = tokio::task::spawn_blocking(move || elsewhere.bring_back(&folder)).await;
    if let Ok(Err(error)) = fetched {
        tracing::error!(path = relative, %error, "it could not be fetched from the second place");
    }
}

async fn send_small(desk: &Desk, relative: &str, content_type: &'static str) -> Result<Response, Problem> {
    demand_unburied(desk.parts.recordings.join(relative).parent().unwrap_or(Path::new("")))?;
    fetch_back(desk, relative).await;
    let (file, length) = open(desk, relative).await?;
    let unreadable = || Problem::fault(format!("{relative} cannot be read whole; run `vigie verify` on its folder"));
    if length > SIDECAR_BYTES_MAX {
        return Err(unreadable());
    }
    let mut bytes = Vec::new();
    file.take(SIDECAR_BYTES_MAX).read_to_end(&mut bytes).await.map_err(|_| unreadable())?;
    Ok(([(CONTENT_TYPE, content_type)], bytes).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_climbs_is_never_joined() {
        let folder = Path::new("/srv/recordings");
        let joined = join_inside(folder, "2026/11/21/x/audio.wav");
        assert_eq!(joined.as_deref(), Some(Path::new("/srv/recordings/2026/11/21/x/audio.wav")));
        for relative in ["", "/etc/passwd", "../x", "2026/../../x", "./..", "2026/.."] {
            assert_eq!(join_inside(folder, relative), None, "{relative}");
        }
    }
}
