//! Bodies: none, one, or several in a multipart (RFC 2046 §5.1, RFC 5621).

use bytes::Bytes;

use super::header::Params;
use super::headers::Headers;

/// The most parts read, those within parts included: an emergency call brings SDP, a location and one or two more.
pub const PARTS_MAX: usize = 16;
/// How deep a multipart may stand within others.
pub const NESTING_MAX: usize = 3;
/// The longest boundary, in bytes (RFC 2046 §5.1.1).
pub const BOUNDARY_LENGTH_MAX: usize = 70;
/// The longest head of one part, in bytes: three or four short lines.
pub const HEAD_LENGTH_MAX: usize = 2048;
/// The longest Content-ID or media type kept, in bytes.
pub const NAME_LENGTH_MAX: usize = 256;

/// What is assumed of a body without a Content-Type: a call is not lost for its want.
const SDP: &str = "application/sdp";

/// Why a body cannot be taken apart; the words are those of the reason phrase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyFault {
    /// The Content-Type has no boundary of 1 to 70 bytes.
    #[error("Multipart Boundary Missing Or Too Long")]
    Boundary,
    /// The boundary stands nowhere in the body, or no part between the first and the last.
    #[error("Multipart Body Without Parts")]
    Empty,
    /// Over [`PARTS_MAX`].
    #[error("Too Many Body Parts")]
    PartsMany,
    /// Over [`NESTING_MAX`].
    #[error("Body Parts Nested Too Deep")]
    NestedDeep,
    /// A part's head is over [`HEAD_LENGTH_MAX`].
    #[error("Body Part Headers Too Long")]
    HeadLong,
    /// Bodies are compressed.
    #[error("Unsupported Content-Encoding")]
    Encoded,
}

/// All parts of a message's body, flat and in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Body {
    /// Those that are no multipart themselves.
    pub parts: Vec<Part>,
}

/// One part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// `application/sdp`, in lower case, without parameters.
    pub kind: String,
    /// Its Content-ID without brackets.
    pub id: Option<String>,
    /// `session`, `render`, `by-reference`…, in lower case.
    pub disposition: Option<String>,
    /// Whether the message is to be refused when this cannot be understood (`handling=required`, RFC 3204 §3.2). That
    /// is the default (RFC 3261 §20.11, RFC 5621 §6), but for one of several alternatives (RFC 2046 §5.1.4), and for a
    /// part that says nothing at all of what it is for: no call is to be lost for a carrier's forgetful extra.
    pub is_required: bool,
    /// Its content.
    pub bytes: Bytes,
}

impl Body {
    /// Takes a body apart. An empty one has no part, unless its Content-Type promises some.
    pub fn read(headers: &Headers, bytes: &Bytes) -> Result<Body, BodyFault> {
        let head = Head {
            kind: headers.first("Content-Type").map(|v| v.into_owned()),
            id: headers.first("Content-ID").map(|v| v.into_owned()),
            disposition: headers.first("Content-Disposition").map(|v| v.into_owned()),
            encoding: headers.first("Content-Encoding").map(|v| v.into_owned()),
        };
        let mut body = Body::default();
        if bytes.is_empty() && !head.is_multipart() {
            return Ok(body);
        }
        body.take(&head, bytes, Place::default())?;
        Ok(body)
    }

    /// The SDP of the session: the first part of that kind that is not for something else (RFC 3959's `early-session`).
    pub fn sdp(&self) -> Option<&Part> {
        let is_sessions = |part: &&Part| part.disposition.as_deref().is_none_or(|d| d == "session");
        self.parts.iter().filter(|part| part.kind == SDP).find(is_sessions)
    }

    /// The part with this Content-ID.
    pub fn named(&self, id: &str) -> Option<&Part> {
        self.parts.iter().find(|part| part.id.as_deref() == Some(id))
    }

    /// The first part that must be understood and is of none of these kinds.
    pub fn not_understood(&self, known: &[&str]) -> Option<&Part> {
        self.parts.iter().find(|part| part.is_required && !known.contains(&part.kind.as_str()))
    }

    fn take(&mut self, head: &Head, bytes: &Bytes, place: Place) -> Result<(), BodyFault> {
        if head.is_encoded() {
            let part = head.part(Bytes::new(), place);
            // What cannot be read and need not be is passed over.
            let is_needed = part.is_required || part.kind == SDP || head.is_multipart();
            return if is_needed { Err(BodyFault::Encoded) } else { Ok(()) };
        }
        if !head.is_multipart() {
            if self.parts.len() >= PARTS_MAX {
                return Err(BodyFault::PartsMany);
            }
            self.parts.push(head.part(bytes.clone(), place));
            return Ok(());
        }
        if place.depth >= NESTING_MAX {
            return Err(BodyFault::NestedDeep);
        }
        let boundary = head.boundary().ok_or(BodyFault::Boundary)?;
        let pieces = cut(bytes, &boundary)?;
        if pieces.is_empty() {
            return Err(BodyFault::Empty);
        }
        let is_alternative = place.is_alternative || head.kind() == "multipart/alternative";
        let within = Place { depth: place.depth + 1, is_alternative };
        for piece in pieces {
            let (head, content) = Head::read(&piece)?;
            self.take(&head, &content, within)?;
        }
        Ok(())
    }
}

/// Where in the message something stands.
#[derive(Clone, Copy, Default)]
struct Place {
    /// Within how many multiparts.
    depth: usize,
    /// Whether it is one of several ways to say the same.
    is_alternative: bool,
}

/// What a body or a part says of itself.
#[derive(Default)]
struct Head {
    kind: Option<String>,
    id: Option<String>,
    disposition: Option<String>,
    encoding: Option<String>,
}

impl Head {
    fn kind(&self) -> String {
        let kind = self.kind.as_deref().unwrap_or(SDP).split(';').next().unwrap_or_default();
        kept(&kind.split_whitespace().collect::<String>().to_ascii_lowercase())
    }

    fn is_encoded(&self) -> bool {
        let encoding = self.encoding.as_deref().unwrap_or_default().trim();
        !encoding.is_empty() && !encoding.eq_ignore_ascii_case("identity")
    }

    fn is_multipart(&self) -> bool {
        self.kind().starts_with("multipart/")
    }

    fn boundary(&self) -> Option<String> {
        let (_, params) = self.kind.as_deref()?.split_once(';')?;
        let boundary = Params::parse(params).value("boundary")?.trim_end().to_owned();
        (1..=BOUNDARY_LENGTH_MAX).contains(&boundary.len()).then_some(boundary)
    }

    fn part(&self, bytes: Bytes, place: Place) -> Part {
        let (disposition, params) = match self.disposition.as_deref() {
            Some(text) => text.split_once(';').unwrap_or((text, "")),
            None => ("", ""),
        };
        let says_for_what = !disposition.trim().is_empty();
        let params = Params::parse(params);
        let handling = params.value("handling").map(|handling| handling.trim().eq_ignore_ascii_case("required"));
        let id = self.id.as_deref().map(|id| id.trim().trim_start_matches('<').trim_end_matches('>'));
        Part {
            kind: self.kind(),
            id: id.filter(|id| !id.is_empty()).map(kept),
            disposition: Some(kept(&disposition.trim().to_ascii_lowercase())).filter(|d| !d.is_empty()),
            is_required: handling.unwrap_or(place.depth == 0 || (says_for_what && !place.is_alternative)),
            bytes,
        }
    }

    /// A part's head and what follows its empty line.
    fn read(piece: &Bytes) -> Result<(Head, Bytes), BodyFault> {
        let mut head = Head { kind: Some("text/plain".to_owned()), ..Head::default() };
        let mut at = 0;
        let mut last: Option<(String, String)> = None;
        while let Some(rest) = piece.get(at..).filter(|rest| !rest.is_empty()) {
            let end = rest.iter().position(|b| *b == b'\n').map_or(rest.len(), |end| end + 1);
            at += end;
            if at > HEAD_LENGTH_MAX {
                return Err(BodyFault::HeadLong);
            }
            let line = String::from_utf8_lossy(rest.get(..end).unwrap_or_default());
            let text = line.trim_end();
            if text.is_empty() {
                break;
            }
            if let (Some((_, value)), true) = (&mut last, text.starts_with([' ', '\t'])) {
                value.push(' ');
                value.push_str(text.trim_start());
                continue;
            }
            head.put(last.take());
            last = text.split_once(':').map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()));
        }
        head.put(last);
        Ok((head, piece.slice(at.min(piece.len())..)))
    }

    fn put(&mut self, line: Option<(String, String)>) {
        let Some((name, value)) = line else { return };
        let is = |wanted: &str| name.eq_ignore_ascii_case(wanted);
        if is("Content-Type") || is("c") {
            self.kind = Some(value);
        } else if is("Content-ID") {
            self.id = Some(value);
        } else if is("Content-Disposition") {
            self.disposition = Some(value);
        } else if is("Content-Encoding") || is("e") {
            self.encoding = Some(value);
        } else if is("Content-Transfer-Encoding") {
            // RFC 5621 §3: SIP carries bytes as they are.
            let is_plain = ["binary", "8bit", "7bit"].iter().any(|plain| value.eq_ignore_ascii_case(plain));
            self.encoding = self.encoding.take().or((!is_plain).then_some(value));
        }
    }
}

fn kept(text: &str) -> String {
    text.get(..text.floor_char_boundary(NAME_LENGTH_MAX)).unwrap_or_default().to_owned()
}

/// What stands between the delimiter lines. A missing last one is forgiven.
fn cut(bytes: &Bytes, boundary: &str) -> Result<Vec<Bytes>, BodyFault> {
    let mut pieces = Vec::new();
    let mut begun: Option<usize> = None;
    let mut at = 0;
    while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
        let end = rest.iter().position(|b| *b == b'\n').map_or(rest.len(), |end| end + 1);
        let start = at;
        at += end;
        let Some(is_last) = delimits(rest.get(..end).unwrap_or_default(), boundary.as_bytes()) else { continue };
        if let Some(from) = begun {
            pieces.push(bytes.slice(from..without_line_end(bytes, from, start)));
        }
        if pieces.len() > PARTS_MAX {
            return Err(BodyFault::PartsMany);
        }
        begun = Some(at);
        if is_last {
            return Ok(pieces);
        }
    }
    if let Some(from) = begun.filter(|from| *from < bytes.len()) {
        pieces.push(bytes.slice(from..));
    }
    Ok(pieces)
}

/// Whether a line is a delimiter, and whether it is the last one.
fn delimits(line: &[u8], boundary: &[u8]) -> Option<bool> {
    let rest = line.strip_prefix(b"--")?.strip_prefix(boundary)?;
    let (rest, is_last) = rest.strip_prefix(b"--").map_or((rest, false), |rest| (rest, true));
    rest.trim_ascii().is_empty().then_some(is_last)
}

/// RFC 2046 §5.1.1: the line end before a delimiter is the delimiter's.
fn without_line_end(bytes: &[u8], from: usize, end: usize) -> usize {
    let piece = bytes.get(from..end).unwrap_or_default();
    let piece = piece.strip_suffix(b"\n").unwrap_or(piece);
    from + piece.strip_suffix(b"\r").unwrap_or(piece).len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(kind: &str, body: &str) -> Result<Body, BodyFault> {
        let mut headers = Headers::new();
        headers.push("Content-Type", kind.to_owned());
        Body::read(&headers, &Bytes::from(body.to_owned()))
    }

    const MIXED: &str = "multipart/mixed; boundary=\"b 1\"";

    #[test]
    fn sdp_and_location_are_found_in_a_multipart() {
        let body = "preamble\r\n--b 1\r\nContent-Type: application/sdp\r\n\r\nv=0\r\nm=audio\r\n--b 1  \r\n\
            content-type : Application/PIDF+XML ;charset=utf-8\r\nContent-ID: <a@h>\r\n\
            Content-Disposition: by-reference;\r\n handling=optional\r\n\r\n<x/>\r\n\r\n--b 1--\r\nepilogue --b 1\r\n--b 1\r\n";
        let body = read(MIXED, body).expect("readable");
        assert_eq!(body.parts.len(), 2);
        assert_eq!(body.sdp().map(|part| part.bytes.clone()), Some("v=0\r\nm=audio".into()));
        let location = body.named("a@h").expect("by its Content-ID");
        assert_eq!((location.kind.as_str(), &location.bytes[..]), ("application/pidf+xml", &b"<x/>\r\n"[..]));
        assert_eq!((location.disposition.as_deref(), location.is_required), (Some("by-reference"), false));
    }

    #[test]
    fn a_multipart_within_another_is_flattened_but_not_for_ever() {
        let inner = "--in\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n--in--";
        let outer = format!(
            "--out\r\nContent-Type: multipart/alternative;boundary=in\r\n\r\n{inner}\r\n--out\r\n\r\ntext\r\n--out--\r\n"
        );
        let body = read("multipart/mixed;boundary=out", &outer).expect("readable");
        let kinds: Vec<_> = body.parts.iter().map(|part| part.kind.as_str()).collect();
        assert_eq!(kinds, ["application/sdp", "text/plain"]);
        let mut deep = "x".to_owned();
        for level in (0..20).rev() {
            deep = format!(
                "--l{level}\r\nContent-Type: multipart/mixed;boundary=l{}\r\n\r\n{deep}\r\n--l{level}--\r\n",
                level + 1
            );
        }
        assert_eq!(read("multipart/mixed;boundary=l0", &deep), Err(BodyFault::NestedDeep));
    }

    #[test]
    fn a_multipart_without_parts_is_refused() {
        for body in ["", "--b 1--", "--b 1--\r\n--b 1\r\n\r\nx", "no boundary at all", "--b 1", "--b 1\r\n"] {
            assert_eq!(read(MIXED, body), Err(BodyFault::Empty), "{body:?}");
        }
        for kind in [
            "multipart/mixed",
            "multipart/mixed;boundary=",
            "multipart/mixed;boundary=\"\"",
            &format!("multipart/mixed;boundary={}", "b".repeat(71)),
        ] {
            assert_eq!(read(kind, "--\r\n\r\n----"), Err(BodyFault::Boundary), "{kind:?}");
        }
    }

    #[test]
    fn a_part_cut_off_is_read_as_far_as_it_goes() {
        let body = read(MIXED, "--b 1\nContent-Type: application/sdp\n\nv=0\n").expect("readable");
        assert_eq!(body.sdp().map(|part| part.bytes.clone()), Some("v=0\n".into()));
        let bare = read(MIXED, "--b 1\r\nContent-Type: application/sdp").expect("readable");
        assert_eq!(bare.sdp().map(|part| part.bytes.len()), Some(0));
    }

    #[test]
    fn what_must_be_understood_says_so_or_is_the_whole_body() {
        let known = ["application/sdp"];
        let part =
            |line: &str| read(MIXED, &format!("--b 1\r\nContent-Type: application/isup\r\n{line}\r\n\r\nx\r\n--b 1--"));
        for (line, expected) in [
            ("Content-Disposition: signal;handling=required", true),
            ("Content-Disposition: signal ; Handling = \"REQUIRED\"", true),
            ("Content-Disposition: signal;handling=optional", false),
            ("Content-Disposition: signal", true),
            ("X: y", false),
        ] {
            assert_eq!(part(line).map(|body| body.not_understood(&known).is_some()), Ok(expected), "{line}");
        }
        let alternative = "--a\r\nContent-Type: application/isup\r\nContent-Disposition: signal\r\n\r\nx\r\n--a--";
        let alternative = read("multipart/alternative;boundary=a", alternative);
        assert_eq!(alternative.map(|body| body.not_understood(&known).is_some()), Ok(false));
        assert_eq!(read("application/isup", "x").map(|body| body.not_understood(&known).is_some()), Ok(true));
        assert_eq!(read("application/sdp;x=y", "x").map(|body| body.not_understood(&known).is_some()), Ok(false));
    }

    #[test]
    fn an_early_sessions_sdp_is_not_the_sessions() {
        let body = "--b 1\r\nContent-Type: application/sdp\r\nContent-Disposition: early-session\r\n\r\nearly\r\n\
            --b 1\r\nContent-Type: application/sdp\r\nContent-Disposition: session\r\n\r\nv=0\r\n--b 1--";
        assert_eq!(read(MIXED, body).map(|b| b.sdp().map(|part| part.bytes.clone())), Ok(Some("v=0".into())));
    }

    #[test]
    fn bombs_are_refused_in_time_linear_in_their_length() {
        assert_eq!(read(MIXED, &"--b 1\r\n\r\nx\r\n".repeat(4000)), Err(BodyFault::PartsMany));
        let long = format!("--b 1\r\nX: {}\r\n\r\n\r\n--b 1--", "y".repeat(HEAD_LENGTH_MAX));
        assert_eq!(read(MIXED, &long), Err(BodyFault::HeadLong));
        assert_eq!(read(MIXED, &"--b 1 x\r\n".repeat(5000)), Err(BodyFault::Empty));
    }

    #[test]
    fn an_encoded_part_is_passed_over_unless_it_is_needed() {
        let part = |line: &str| {
            read(MIXED, &format!("--b 1\r\nContent-Transfer-Encoding: base64\r\n{line}\r\n\r\neA==\r\n--b 1--"))
        };
        assert_eq!(part("X: y").map(|body| body.parts.len()), Ok(0));
        assert_eq!(part("Content-Type: application/sdp"), Err(BodyFault::Encoded));
        assert_eq!(part("Content-Disposition: x;handling=required"), Err(BodyFault::Encoded));
        assert_eq!(part("Content-Encoding: gzip").map(|body| body.parts.len()), Ok(0));
    }
}
