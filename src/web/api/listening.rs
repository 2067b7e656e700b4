//! A recording ready to listen to: its outline, a light preview, any second on, and a rendering with a voice for each party.

use std::io::{self, Seek, SeekFrom};
use std::path::PathBuf;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, stream};
use utoipa::ToSchema;

use super::audio::open_sealed;
use super::recordings::locate_audio;
use super::sound::SoundBody;
use super::wanted::{Wanted, WantedFrom};
use crate::archive::listening::{self, HEADER_BYTES, ListeningError, Wav};
use crate::model::SealedRecording;
use crate::vault::AudioReader;
use crate::web::Desk;
use crate::web::access::{ListenQuery, ReasonQuery};
use crate::web::problem::{Problem, Refusals};
use crate::web::sending;
use crate::web::words::Octets;

/// How the audit calls listening, whatever is listened to.
const LISTEN: &str = "recording.listen";
/// Whose each voice is.
const VOICES: HeaderName = HeaderName::from_static("x-voices");

/// The outline of a recording: the lowest and the highest of each side in each point, in turn.
#[derive(ToSchema)]
#[allow(dead_code, reason = "its description")]
pub struct Outline {
    /// 2.
    version: u8,
    /// 2: the caller, everyone else.
    channels: u8,
    /// Samples a second.
    sample_rate: u32,
    /// Samples a point: a tenth of a second.
    samples_per_pixel: u32,
    /// 8.
    bits: u8,
    /// Points.
    length: u64,
    /// For each point: lowest and highest of the left, lowest and highest of the right, -128 to 127.
    data: Vec<i8>,
}

/// A recording's outline
///
/// How loud each tenth of a second of each side is, as audiowaveform and peaks.js write it (JSON, version 2); made when the
/// recording was sealed. 404 for one that was sealed before outlines were made. Written to the audit as listening is.
#[utoipa::path(
    get, path = "/api/v1/recordings/{call}/peaks", operation_id = "fetchPeaks", tag = "recordings",
    params(
        ("call" = String, Path, format = "uuid", description = "The call's id"),
        ReasonQuery,
        ("x-access-reason" = Option<String>, Header, description = "Why, when the query does not say"),
    ),
    security(("token" = ["admin", "compliance"])),
    responses(
        (status = 200, description = "The outline", body = Outline),
        (status = 404, description = "No such recording", body = Problem, content_type = "application/problem+json"),
        Refusals,
    ),
)]
pub async fn peaks(wanted: Wanted, State(desk): State<Arc<Desk>>) -> Result<Response, Problem> {
    let sealed = wanted.find(&desk).await?;
    let opening = async {
        let (folder, keys) = (folder_of(&desk, &sealed).await?, desk.parts.keys.clone());
        let outline = blocking(move || listening::outline(&folder, &keys)).await?;
        let missing = || Problem::not_found("this recording was sealed without an outline; fetch its audio");
        outline.ok_or_else(missing)
    };
    let outline = wanted.hand_out(&desk, &sealed, (LISTEN, "the outline"), opening).await?;
    Ok(([(CONTENT_TYPE, "application/json")], outline).into_response())
}

/// A light preview of a recording
///
/// Opus in Ogg, stereo, about 48 kbit/s, from any second on (`?from=`), made while it is sent. Written to the audit before
/// the first byte leaves.
#[utoipa::path(
    get, path = "/api/v1/recordings/{call}/preview", operation_id = "fetchPreview", tag = "recordings",
    params(
        ("call" = String, Path, format = "uuid", description = "The call's id"),
        ListenQuery,
        ("x-access-reason" = Option<String>, Header, description = "Why, when the query does not say"),
    ),
    security(("token" = ["admin", "compliance"])),
    responses(
        (status = 200, description = "The preview", body = inline(Octets), content_type = "audio/ogg"),
        (status = 404, description = "No such recording", body = Problem, content_type = "application/problem+json"),
        Refusals,
    ),
)]
pub async fn preview(
    WantedFrom { wanted, from_s }: WantedFrom,
    State(desk): State<Arc<Desk>>,
) -> Result<Response, Problem> {
    let sealed = wanted.find(&desk).await?;
    let opening = async {
        within(&sealed, from_s)?;
        let place = sending::place()?;
        let audio = open_sealed(&desk, &sealed).await?;
        let pages = blocking(unfit(&sealed, move || listening::preview(audio, from_s))).await?;
        send(place, pages)
    };
    let detail = format!("a preview from second {from_s}");
    let body = wanted.hand_out(&desk, &sealed, (LISTEN, &detail), opening).await?;
    Ok(([(CONTENT_TYPE, "audio/ogg")], body).into_response())
}

/// A recording with a voice for each party
///
/// A WAV rendered anew from the frame files while it is sent, one channel a party: the caller, each regulator, each
/// supervisor who was heard, each outside party; `X-Voices` names them in their order. From any second on (`?from=`).
/// Written to the audit before the first byte leaves.
#[utoipa::path(
    get, path = "/api/v1/recordings/{call}/parties", operation_id = "fetchParties", tag = "recordings",
    params(
        ("call" = String, Path, format = "uuid", description = "The call's id"),
        ListenQuery,
        ("x-access-reason" = Option<String>, Header, description = "Why, when the query does not say"),
    ),
    security(("token" = ["admin", "compliance"])),
    responses(
        (status = 200, description = "The rendering", body = inline(Octets), content_type = "audio/wav",
            headers(("x-voices" = String, description = "Whose each channel is, in order, separated by commas"))),
        (status = 404, description = "No such recording", body = Problem, content_type = "application/problem+json"),
        Refusals,
    ),
)]
pub async fn parties(
    WantedFrom { wanted, from_s }: WantedFrom,
    State(desk): State<Arc<Desk>>,
) -> Result<Response, Problem> {
    let sealed = wanted.find(&desk).await?;
    let opening = async {
        within(&sealed, from_s)?;
        // Every frame file is read before the first byte: no more of that at once than is sent at once.
        let place = sending::place()?;
        let (folder, keys) = (folder_of(&desk, &sealed).await?, desk.parts.keys.clone());
        Ok((place, blocking(move || listening::parties(&folder, &keys, from_s)).await?))
    };
    let detail = format!("a channel a party from second {from_s}");
    let (place, mut parties) = wanted.hand_out(&desk, &sealed, (LISTEN, &detail), opening).await?;
    let wav = parties.wav();
    let voices = HeaderValue::try_from(parties.names().join(", ")).ok();
    let seconds = std::iter::from_fn(move || parties.next_second().map_err(io::Error::other).transpose());
    let pieces = std::iter::once(Ok(wav.header())).chain(seconds);
    let mut response = (describe(&wav), send(place, pieces)?).into_response();
    response.headers_mut().extend(voices.map(|voices| (VOICES, voices)));
    Ok(response)
}

/// A recording's audio from a second on: a WAV of its own, with the samples as they rest. Demands and audits.
pub async fn from_second(
    desk: &Desk,
    wanted: &Wanted,
    sealed: &SealedRecording,
    (word, from_s): (&'static str, u64),
) -> Result<Response, Problem> {
    let opening = async {
        within(sealed, from_s)?;
        let audio = open_sealed(desk, sealed).await?;
        blocking(unfit(sealed, move || seek(audio, from_s))).await
    };
    let detail = format!("from second {from_s}");
    let (audio, wav) = wanted.hand_out(desk, sealed, (word, &detail), opening).await?;
    metrics::counter!("vigie_audio_bytes_total").increment(wav.bytes);
    let head = stream::iter([Ok(Bytes::from(wav.header()))]);
    let body = Body::from_stream(head.chain(SoundBody::new(audio, wav.bytes)));
    Ok((describe(&wav), body).into_response())
}

fn seek(mut audio: AudioReader, from_s: u64) -> io::Result<(AudioReader, Wav)> {
    let wav = Wav::find(&mut audio)?.from(from_s);
    audio.seek(SeekFrom::Start(wav.begin))?;
    Ok((audio, wav))
}

/// What opens the recording's audio, telling which file it was when it is no audio as Vigie writes it.
fn unfit<T>(
    sealed: &SealedRecording,
    open: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> impl FnOnce() -> Result<T, ListeningError> + Send + 'static {
    let path = PathBuf::from(&sealed.path);
    move || open().map_err(|source| ListeningError::File { path, source })
}

/// Refuses a second that lies behind the recording's end.
fn within(sealed: &SealedRecording, from_s: u64) -> Result<(), Problem> {
    if from_s == 0 || from_s.saturating_mul(1000) < sealed.duration_ms {
        return Ok(());
    }
    let seconds = sealed.duration_ms.div_ceil(1000);
    Err(Problem::bad_request(format!(
        "in the query: from: the recording has {seconds} s, and {from_s} lies behind them"
    )))
}

fn describe(wav: &Wav) -> [(HeaderName, String); 2] {
    [(CONTENT_TYPE, "audio/wav".to_owned()), (CONTENT_LENGTH, (wav.bytes + HEADER_BYTES).to_string())]
}

/// The folder in which the recording rests.
async fn folder_of(desk: &Desk, sealed: &SealedRecording) -> Result<PathBuf, Problem> {
    let path = locate_audio(desk, &sealed.path).await?;
    Ok(path.parent().map(PathBuf::from).unwrap_or_default())
}

async fn blocking<T: Send + 'static>(
    open: impl FnOnce() -> Result<T, ListeningError> + Send + 'static,
) -> Result<T, Problem> {
    let opened = tokio::task::spawn_blocking(open).await.map_err(|error| Problem::fault(error.to_string()))?;
    opened.map_err(|error| {
        tracing::error!(%error, "a recording cannot be listened to");
        if error.is_for_want_of_a_key() {
            return Problem::key_absent(error);
        }
        Problem::fault(error.to_string())
    })
}

/// What is made piece by piece, sent as it is made; who stops listening stops it.
fn send(
    place: sending::Place,
    pieces: impl Iterator<Item = io::Result<Vec<u8>>> + Send + 'static,
) -> Result<Body, Problem> {
    place.made(move |out| {
        for piece in pieces {
            out.write_all(&piece?)?;
            // The first second is heard before the next one is made.
            out.flush()?;
        }
        Ok(())
    })
}
