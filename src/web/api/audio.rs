//! A recording's audio, whole or in byte ranges (RFC 9110 §14), and only to those who say why.

use std::io::{Seek, SeekFrom};
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{
    ACCEPT_RANGES, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_RANGE, RANGE,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use super::listening::from_second;
use super::recordings::open_audio;
use super::sound::SoundBody;
use super::wanted::WantedFrom;
use crate::model::SealedRecording;
use crate::vault::AudioReader;
use crate::web::Desk;
use crate::web::access::ListenQuery;
use crate::web::problem::{Problem, Refusals};
use crate::web::range::{Part, read_range};
use crate::web::words::Octets;

/// A recording's audio
///
/// The WAV file, stereo: left the caller, right the regulator. One byte range is honoured (`Range`, `If-Range` with
/// the ETag); several are answered with the whole. With `?from=SECOND` a WAV of its own with what follows that second, and
/// no ranges. Each request is written to the audit before the first byte leaves; when that fails, nothing is sent.
#[utoipa::path(
    get, path = "/api/v1/recordings/{call}/audio", operation_id = "fetchAudio", tag = "recordings",
    params(
        ("call" = String, Path, format = "uuid", description = "The call's id"),
        ListenQuery,
        ("x-access-reason" = Option<String>, Header, description = "Why, when the query does not say"),
        ("range" = Option<String>, Header, description = "One byte range: `bytes=0-499`, `bytes=500-`, `bytes=-500`"),
        ("if-range" = Option<String>, Header, description = "The ETag for which the range holds; else the whole comes"),
    ),
    security(("token" = ["admin", "compliance"])),
    responses(
        (status = 200, description = "The whole", body = inline(Octets), content_type = "audio/wav",
            headers(("etag" = String, description = "The audio's SHA-256"), ("accept-ranges" = String))),
        (status = 206, description = "The range", body = inline(Octets), content_type = "audio/wav",
            headers(("etag" = String, description = "The audio's SHA-256"), ("content-range" = String))),
        (status = 404, description = "No such recording", body = Problem, content_type = "application/problem+json"),
        (status = 416, description = "The range lies outside", body = Problem, content_type = "application/problem+json",
            headers(("content-range" = String, description = "`bytes */LENGTH`"))),
        Refusals,
    ),
)]
pub async fn fetch(
    WantedFrom { wanted, from_s }: WantedFrom,
    State(desk): State<Arc<Desk>>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let sealed = wanted.find(&desk).await?;
    if from_s > 0 {
        return from_second(&desk, &wanted, &sealed, ("recording.listen", from_s)).await;
    }
    // Only its length is needed before it is permitted; what is wrong with it is nobody's business until then.
    let reader = open_sealed(&desk, &sealed).await;
    let length = reader.as_ref().map_or_else(|_| sealed.wav_bytes(), AudioReader::length);
    let (status, first, count) = match choose_part(&headers, &sealed, length) {
        Part::Whole => (StatusCode::OK, 0, length),
        Part::Bytes { first, last } => (StatusCode::PARTIAL_CONTENT, first, last - first + 1),
        Part::Unsatisfiable => (StatusCode::RANGE_NOT_SATISFIABLE, length, 0),
    };
    let detail = format!("{count} bytes from {first} of {length}");
    let opening = async {
        let mut reader = reader?;
        if status == StatusCode::RANGE_NOT_SATISFIABLE {
            return Err(Problem::range_not_satisfiable(length));
        }
        let sought = reader.seek(SeekFrom::Start(first));
        sought.map_err(|_| Problem::fault("the recording's file cannot be read; run `vigie verify` on its folder"))?;
        Ok(reader)
    };
    // The promise of this door: the audit is on the disk before the first byte leaves.
    let reader = match wanted.hand_out(&desk, &sealed, ("recording.listen", &detail), opening).await {
        Err(problem) if problem.status() == StatusCode::RANGE_NOT_SATISFIABLE => {
            return Ok(([(CONTENT_RANGE, format!("bytes */{length}"))], problem).into_response());
        }
        reader => reader?,
    };
    metrics::counter!("vigie_audio_bytes_total").increment(count);
    let body = Body::from_stream(SoundBody::new(reader, count));
    let mut response = (status, describe(&sealed, count), body).into_response();
    if status == StatusCode::PARTIAL_CONTENT {
        let range = format!("bytes {first}-{}/{length}", first + count - 1);
        response.headers_mut().extend(HeaderValue::try_from(range).ok().map(|range| (CONTENT_RANGE, range)));
    }
    Ok(response)
}

/// A recording's size and ETag
///
/// The headers of the audio without the audio; a reason is demanded and written to the audit all the same.
#[utoipa::path(
    head, path = "/api/v1/recordings/{call}/audio", operation_id = "measureAudio", tag = "recordings",
    params(
        ("call" = String, Path, format = "uuid", description = "The call's id"),
        ListenQuery,
        ("x-access-reason" = Option<String>, Header, description = "Why, when the query does not say"),
    ),
    security(("token" = ["admin", "compliance"])),
    responses(
        (status = 200, description = "The headers of the whole, or of what a `from` would get",
            headers(("etag" = String, description = "The audio's SHA-256"), ("content-length" = u64))),
        (status = 404, description = "No such recording"),
        Refusals,
    ),
)]
pub async fn measure(
    WantedFrom { wanted, from_s }: WantedFrom,
    State(desk): State<Arc<Desk>>,
) -> Result<Response, Problem> {
    let sealed = wanted.find(&desk).await?;
    if from_s > 0 {
        let (head, _) = from_second(&desk, &wanted, &sealed, ("recording.measure", from_s)).await?.into_parts();
        return Ok(Response::from_parts(head, Body::empty()));
    }
    let wish = ("recording.measure", "headers only");
    let reader = wanted.hand_out(&desk, &sealed, wish, open_sealed(&desk, &sealed)).await?;
    Ok((describe(&sealed, reader.length()), ()).into_response())
}

/// The recording's file, whose length must be what was sealed.
pub async fn open_sealed(desk: &Desk, sealed: &SealedRecording) -> Result<AudioReader, Problem> {
    let call = sealed.call;
    let reader = open_audio(desk, &sealed.path).await?;
    let length = reader.disk_bytes();
    // Of a FLAC the seal tells what it decodes to, not what it takes.
    if length != sealed.size_bytes && !reader.is_flac() {
        tracing::error!(%call, length, sealed = sealed.size_bytes, "a recording's length is not what was sealed");
        let detail = format!("the audio has {length} bytes, {} were sealed; run `vigie verify`", sealed.size_bytes);
        return Err(Problem::fault(detail));
    }
    Ok(reader)
}

/// Which bytes: RFC 9110 §14.2; with `If-Range` only when it names our ETag, compared strongly (§13.1.5).
fn choose_part(headers: &HeaderMap, sealed: &SealedRecording, length: u64) -> Part {
    let mut ranges = headers.get_all(RANGE).iter();
    let (Some(range), None) = (ranges.next(), ranges.next()) else { return Part::Whole };
    let unchanged = headers.get(IF_RANGE).is_none_or(|tag| tag.as_bytes() == etag(sealed).as_bytes());
    match range.to_str() {
        Ok(range) if unchanged => read_range(range, length),
        Ok(_) | Err(_) => Part::Whole,
    }
}

fn etag(sealed: &SealedRecording) -> String {
    format!("\"{}\"", sealed.wav_sha256())
}

/// The headers of every answer with `count` bytes of audio.
fn describe(sealed: &SealedRecording, count: u64) -> impl axum::response::IntoResponseParts {
    [
        (CONTENT_TYPE, "audio/wav".to_owned()),
        (CONTENT_LENGTH, count.to_string()),
        (ACCEPT_RANGES, "bytes".to_owned()),
        (ETAG, etag(sealed)),
        (CONTENT_DISPOSITION, format!("attachment; filename=\"{}.wav\"", sealed.call)),
    ]
}
