//! What a request may say, read once at the door: unknown keys and bad values get a 400 that names them.

use std::fmt;
use std::marker::PhantomData;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, Error as _, Visitor};

use super::problem::Problem;
use crate::model::Utc;
use crate::model::ids::is_valid_id;
use crate::storage::ROWS_MAX;

/// The largest request body, in bytes: a reason in words and room to spare.
pub const BODY_BYTES_MAX: usize = 16 * 1024;
/// The longest query string, in bytes.
const QUERY_BYTES_MAX: usize = 4 * 1024;
/// Rows of a page when nothing is said.
const PAGE_ROWS: u32 = 100;
/// The longest number that a caller is searched by, in characters.
const NUMBER_LENGTH_MAX: usize = 64;

/// The query string as `T`, whose fields are all the keys there are.
pub struct QueryOf<T>(pub T);

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for QueryOf<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<QueryOf<T>, Problem> {
        if parts.uri.query().is_some_and(|query| query.len() > QUERY_BYTES_MAX) {
            return Err(Problem::bad_request(format!("the query is longer than {QUERY_BYTES_MAX} bytes; shorten it")));
        }
        match Query::<T>::try_from_uri(&parts.uri) {
            Ok(Query(query)) => Ok(QueryOf(query)),
            Err(refused) => Err(Problem::bad_request(format!("in the query: {}", trim_preamble(&refused.body_text())))),
        }
    }
}

/// The parameters of the path as `T`.
pub struct PathOf<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for PathOf<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<PathOf<T>, Problem> {
        match Path::<T>::from_request_parts(parts, state).await {
            Ok(Path(value)) => Ok(PathOf(value)),
            Err(refused) => Err(Problem::bad_request(format!("in the path: {}", trim_preamble(&refused.body_text())))),
        }
    }
}

/// A body that can be shown to whoever wrote a wrong one.
pub trait Example {
    /// A right one, as JSON.
    const EXAMPLE: &'static str;
}

/// The JSON body as `T`; no body at all is `T`'s default, and needs no Content-Type.
pub struct BodyOf<T>(pub T);

impl<T: DeserializeOwned + Default + Example, S: Send + Sync> FromRequest<S> for BodyOf<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<BodyOf<T>, Problem> {
        let content_type = request.headers().get(CONTENT_TYPE).cloned();
        let refuse = |why: &str| {
            let example = T::EXAMPLE;
            Problem::bad_request(format!("in the body: {why}; leave the body out, or send for example {example}"))
        };
        let bytes = match Bytes::from_request(request, state).await {
            Ok(bytes) => bytes,
            Err(refused) if refused.status() == StatusCode::PAYLOAD_TOO_LARGE => {
                return Err(Problem::too_large(BODY_BYTES_MAX));
            }
            Err(refused) => return Err(refuse(&refused.body_text())),
        };
        if bytes.is_empty() {
            return Ok(BodyOf(T::default()));
        }
        if !content_type.is_some_and(|value| is_json(value.as_bytes())) {
            return Err(Problem::not_json());
        }
        // serde would take a list for an object, its fields in their order.
        if bytes.trim_ascii_start().first() != Some(&b'{') {
            return Err(refuse("not a JSON object"));
        }
        match axum::Json::<T>::from_bytes(&bytes) {
            Ok(axum::Json(body)) => Ok(BodyOf(body)),
            Err(refused) => Err(refuse(trim_preamble(&refused.body_text()))),
        }
    }
}

/// Whether a Content-Type says JSON; its parameters do not matter, nor its case (RFC 9110 §8.3.1).
fn is_json(content_type: &[u8]) -> bool {
    let kind = content_type.split(|byte| *byte == b';').next().unwrap_or_default();
    kind.trim_ascii().eq_ignore_ascii_case(b"application/json")
}

/// Takes axum's own words off the front of a message: what follows names the key.
fn trim_preamble(text: &str) -> &str {
    let preambles = [
        "Failed to deserialize query string: ",
        "Failed to deserialize the JSON body into the target type: ",
        "Failed to parse the request body as JSON: ",
        "Invalid URL: ",
    ];
    preambles.iter().find_map(|preamble| text.strip_prefix(preamble)).unwrap_or(text)
}

/// A time in a query: RFC 3339 with an offset or `Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct When(pub Utc);

/// An id as the configuration writes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Id(pub String);

/// A day of the calendar: `2026-11-21`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Day(pub jiff::civil::Date);

/// A caller's number: in E.164, or as the trunk wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Number(pub String);

/// How many rows: 1 to [`ROWS_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rows(pub u32);

impl Default for Rows {
    fn default() -> Rows {
        Rows(PAGE_ROWS)
    }
}

/// One value of a query, read from text.
trait FromText: Sized {
    /// Reads it, or says what it should look like.
    fn read(text: &str) -> Result<Self, String>;
}

impl FromText for When {
    fn read(text: &str) -> Result<When, String> {
        // A bare `+` in a query means a space: `22:00:00+01:00` arrives as `22:00:00 01:00`.
        let mended = match text.rsplit_once(' ') {
            Some((time, offset)) if time.contains('T') => format!("{time}+{offset}"),
            Some(_) | None => text.to_owned(),
        };
        let read: Result<jiff::Timestamp, _> = mended.parse();
        read.map(|at| When(Utc(at.as_microsecond())))
            .map_err(|_| "not a time of RFC 3339; write it as 2026-11-21T22:30:00+01:00 or 2026-11-21T21:30:00Z".into())
    }
}

impl FromText for Id {
    fn read(text: &str) -> Result<Id, String> {
        let id = is_valid_id(text).then(|| Id(text.to_owned()));
        id.ok_or_else(|| "not an id; write it as in the configuration: 1 to 64 of a-z, 0-9, `-`, `_`, `.`".into())
    }
}

impl FromText for Day {
    fn read(text: &str) -> Result<Day, String> {
        let day = text.parse().ok().filter(|_| text.len() == 10);
        day.map(Day).ok_or_else(|| "not a day; write it as 2026-11-21".into())
    }
}

impl FromText for Number {
    fn read(text: &str) -> Result<Number, String> {
        // A bare `+` in a query means a space.
        let number = match text.strip_prefix(' ') {
            Some(digits) if !digits.is_empty() => format!("+{digits}"),
            Some(_) | None => text.to_owned(),
        };
        let length = number.chars().count();
        let fits = (1..=NUMBER_LENGTH_MAX).contains(&length) && !number.chars().any(char::is_control);
        fits.then_some(Number(number))
            .ok_or_else(|| "not a number; write 1 to 64 characters, as 0612345678 or +33612345678".into())
    }
}

impl FromText for Rows {
    fn read(text: &str) -> Result<Rows, String> {
        let rows = text.parse().ok().filter(|rows| (1..=ROWS_MAX).contains(rows));
        rows.map(Rows).ok_or_else(|| format!("not a number from 1 to {ROWS_MAX}"))
    }
}

/// Reads a string through [`FromText`].
struct TextOf<T>(PhantomData<T>);

impl<T: FromText> Visitor<'_> for TextOf<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        T::read(text).map_err(E::custom)
    }
}

macro_rules! read_as_text {
    ($($name:ident)+) => {$(
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<$name, D::Error> {
                deserializer.deserialize_str(TextOf(PhantomData))
            }
        }
    )+};
}
read_as_text! { When Day Id Number Rows }

/// Words that a person gives for what is done: 3 to 500 characters, kept in the audit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason(String);

/// The fewest and the most characters of a reason.
const REASON_CHARACTERS: std::ops::RangeInclusive<usize> = 3..=500;

impl Reason {
    /// The reason, trimmed, when it is one.
    pub fn parse(text: &str) -> Result<Reason, String> {
        let text = text.trim();
        let fits = REASON_CHARACTERS.contains(&text.chars().count()) && !text.chars().any(char::is_control);
        fits.then(|| Reason(text.to_owned())).ok_or_else(|| "a reason has 3 to 500 characters on one line".into())
    }

    /// The words.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Reason {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Reason, D::Error> {
        Reason::parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read_with_any_offset_even_when_its_plus_became_a_space() {
        let expected = Ok(When(Utc(1_700_000_000_000_000)));
        for text in ["2023-11-14T22:13:20Z", "2023-11-14T23:13:20+01:00", "2023-11-14T23:13:20 01:00"] {
            assert_eq!(When::read(text), expected, "{text}");
        }
        for text in ["", "now", "2023-11-14", "2023-11-14T22:13:20", "2023-11-14 22:13:20Z?"] {
            assert!(When::read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_number_is_read_even_when_its_plus_became_a_space() {
        assert_eq!(Number::read("+33612345678"), Number::read(" 33612345678"));
        assert!(Number::read("").is_err() && Number::read(&"1".repeat(65)).is_err());
    }

    #[test]
    fn a_reason_is_neither_empty_nor_endless_nor_several_lines() {
        assert_eq!(Reason::parse("  plainte 12  ").map(|r| r.as_str().to_owned()), Ok("plainte 12".to_owned()));
        let endless = "x".repeat(501);
        for text in ["", "  ab  ", "one\ntwo", endless.as_str()] {
            assert!(Reason::parse(text).is_err(), "{text}");
        }
    }
}
