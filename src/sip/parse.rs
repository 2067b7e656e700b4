//! From a datagram to a [`Message`]: tolerant of what phones write, bounded, and without a copy where it can be avoided.

use bytes::Bytes;
use thiserror::Error;

use super::compose;
use super::header::pieces::pieces;
use super::header::{NameAddr, Via};
use super::headers::{Headers, full_name};
use super::message::{Message, Request, Response};
use super::method::{Method, is_token};
use crate::model::Path;

/// The longest message read, in bytes: what a datagram can hold.
pub const MESSAGE_LENGTH_MAX: usize = 65_536;
/// The most header lines in one message: real ones have 10 to 40.
pub const HEADERS_MAX: usize = 256;
/// The longest name of a header, in bytes: real ones have up to 30.
pub const HEADER_NAME_LENGTH_MAX: usize = 128;
/// The most bytes of what an answer copies (Via, From, To, Call-ID, CSeq, Record-Route): a transaction keeps its last
/// answer for 32 s, so this bounds what a stranger can make us keep. Real ones need 1 to 2 KiB.
pub const ECHO_LENGTH_MAX: usize = 8192;

/// Headers known by their places here: the first ones are what an answer copies, the last ones stand once in a message,
/// and four are both.
const KNOWN: [&str; 8] = ["Via", "Record-Route", "From", "To", "Call-ID", "CSeq", "Max-Forwards", "Content-Type"];
/// So many of [`KNOWN`] an answer copies.
const ECHOED: usize = 6;
/// From here on, [`KNOWN`] stand once in a message (RFC 3261 §7.3.1), beside Content-Length: with two of them, two
/// readers could each believe another.
const ONCE_FROM: usize = 2;

/// What is wrong with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Fault {
    /// Nothing but line ends (RFC 5626 §3.5.1): no fault, and no message.
    #[error("reading a SIP message: a keep-alive, nothing to do")]
    KeepAlive,
    /// Over [`MESSAGE_LENGTH_MAX`].
    #[error("reading a SIP message: longer than 64 KiB; the peer must shorten it")]
    TooLong,
    /// The first line is neither a Request-Line nor a Status-Line.
    #[error("reading a SIP message: the first line is not SIP")]
    StartLine,
    /// The version is not 2.0.
    #[error("reading a SIP message: its version is not SIP/2.0")]
    Version,
    /// A line without a name, a colon or with a name that is no token.
    #[error("reading a SIP message: a header line has no name")]
    HeaderLine,
    /// A header's name is over [`HEADER_NAME_LENGTH_MAX`].
    #[error("reading a SIP message: a header's name is longer than 128 bytes")]
    NameLong,
    /// A NUL stands in a header, and not behind a backslash (RFC 3261 §25.1: quoted-pair).
    #[error("reading a SIP message: NUL in a header")]
    Nul,
    /// Over [`HEADERS_MAX`].
    #[error("reading a SIP message: more than 256 header lines")]
    HeadersMany,
    /// What an answer must copy is over [`ECHO_LENGTH_MAX`].
    #[error(
        "reading a SIP message: more than 8 KiB of Via, From, To, Call-ID, CSeq and Record-Route; the peer must shorten them"
    )]
    EchoLong,
    /// Content-Length is no number, contradicts itself, or exceeds what came.
    #[error("reading a SIP message: Content-Length does not fit the body")]
    ContentLength,
    /// A header that every message needs is missing, or one cannot be read (RFC 3261 §8.1.1).
    #[error("reading a SIP message: {0} is missing or cannot be read")]
    Header(&'static str),
    /// A header that stands once stands there twice, in full or as its compact form.
    #[error("reading a SIP message: {0} is there twice")]
    Twice(&'static str),
}

impl Fault {
    /// The status and the reason phrase that tell the peer.
    pub fn answer(self) -> (u16, String) {
        let phrase = match self {
            Fault::Version => return (505, "Version Not Supported".to_owned()),
            Fault::KeepAlive => "Empty Message".to_owned(),
            Fault::TooLong => "Message Too Long".to_owned(),
            Fault::StartLine => "Bad Request-Line".to_owned(),
            Fault::HeaderLine => "Header Line Without A Name".to_owned(),
            Fault::NameLong => "Header Name Too Long".to_owned(),
            Fault::Nul => "NUL In A Header".to_owned(),
            Fault::HeadersMany => "Too Many Headers".to_owned(),
            Fault::EchoLong => "Via, From, To, Call-ID, CSeq Or Record-Route Too Long".to_owned(),
            Fault::ContentLength => "Content-Length Does Not Fit The Body".to_owned(),
            Fault::Header(name) => format!("Missing Or Bad {name}"),
            Fault::Twice(name) => format!("{name} Twice"),
        };
        (400, phrase)
    }
}

/// A message that was refused, with what is needed to answer it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{fault}")]
pub struct Malformed {
    /// What is wrong.
    pub fault: Fault,
    /// The request as far as it was read, when it can be answered.
    request: Option<Box<Request>>,
}

impl Malformed {
    /// The 400 or 505 to send and where to, when the Via could be read; else it is dropped in silence.
    pub fn answer(&self, path: Path) -> Option<(Path, Bytes)> {
        let mut request = self.request.clone().filter(|_| self.fault != Fault::EchoLong)?;
        let (status, phrase) = self.fault.answer();
        compose::stamp_via(&mut request, path.peer);
        let to = compose::response_path(path, &request.headers.via()?);
        let tag = compose::stateless_tag(&request);
        let response = Response { reason: phrase, ..compose::response(&request, status, Some(&tag)) };
        Some((to, response.to_bytes()))
    }
}

/// Whether these bytes only keep a NAT binding open: nothing, line ends, or zeros.
pub fn is_keep_alive(bytes: &[u8]) -> bool {
    bytes.iter().all(|b| matches!(b, b'\r' | b'\n' | 0 | b' '))
}

impl Message {
    /// Reads one datagram.
    pub fn parse(input: &Bytes) -> Result<Message, Malformed> {
        if is_keep_alive(input) {
            return Err(Malformed { fault: Fault::KeepAlive, request: None });
        }
        if input.len() > MESSAGE_LENGTH_MAX {
            return Err(Malformed { fault: Fault::TooLong, request: None });
        }
        Reading::new(input).read()
    }
}

enum Start {
    Request(Method, String),
    Response(u16, String),
}

struct Reading<'a> {
    input: &'a Bytes,
    at: usize,
    fault: Option<Fault>,
    content_length: Option<usize>,
    /// How many of each of [`KNOWN`] there are.
    counts: [u16; KNOWN.len()],
    echoed: usize,
}

impl<'a> Reading<'a> {
    fn new(input: &'a Bytes) -> Reading<'a> {
        // RFC 3261 §7.5: empty lines before the first line are passed over.
        let at = input.iter().position(|b| !matches!(b, b'\r' | b'\n')).unwrap_or(0);
        Reading { input, at, fault: None, content_length: None, counts: [0; KNOWN.len()], echoed: 0 }
    }

    fn blame(&mut self, fault: Fault) {
        self.fault.get_or_insert(fault);
    }

    fn read(mut self) -> Result<Message, Malformed> {
        let first = self.line().unwrap_or((0, 0));
        let Some(start) = self.start_line(first) else {
            return Err(Malformed { fault: Fault::StartLine, request: None });
        };
        let headers = self.headers();
        let body = self.body();
        self.check(&start, &headers);
        match (start, self.fault) {
            (Start::Request(method, uri), None) => Ok(Message::Request(Request { method, uri, headers, body })),
            (Start::Response(status, reason), None) => {
                Ok(Message::Response(Response { status, reason, headers, body }))
            }
            (Start::Request(method, uri), Some(fault)) => {
                let request = Request { method, uri, headers, body: Bytes::new() };
                let request = is_answerable(&request).then(|| Box::new(request));
                Err(Malformed { fault, request })
            }
            (Start::Response(..), Some(fault)) => Err(Malformed { fault, request: None }),
        }
    }

    /// The next line as a range, without its line end; `None` at the end of the input.
    fn line(&mut self) -> Option<(usize, usize)> {
        let rest = self.input.get(self.at..)?;
        if rest.is_empty() {
            return None;
        }
        let start = self.at;
        let length = rest.iter().position(|b| *b == b'\n');
        self.at = start + length.map_or(rest.len(), |l| l + 1);
        let mut end = start + length.unwrap_or(rest.len());
        if end > start && self.input.get(end - 1) == Some(&b'\r') {
            end -= 1;
        }
        Some((start, end))
    }

    fn start_line(&mut self, (start, end): (usize, usize)) -> Option<Start> {
        let line = String::from_utf8_lossy(self.input.get(start..end)?);
        if let Some(rest) = line.strip_prefix("SIP/") {
            let mut words = rest.splitn(3, ' ');
            if words.next() != Some("2.0") {
                self.blame(Fault::Version);
            }
            let status: u16 = words.next()?.parse().ok()?;
            if !(100..700).contains(&status) {
                return None;
            }
            return Some(Start::Response(status, words.next().unwrap_or_default().to_owned()));
        }
        let (method, rest) = line.split_once(' ')?;
        let method = Method::parse(method)?;
        let (uri, version) = rest.rsplit_once(' ').unwrap_or((rest, ""));
        if !version.eq_ignore_ascii_case("SIP/2.0") {
            let other_version = version.get(..4).is_some_and(|v| v.eq_ignore_ascii_case("SIP/"));
            self.blame(if other_version { Fault::Version } else { Fault::StartLine });
        }
        // RFC 3261 §7.1, §25.1: no space, no angle brackets, no control and nothing but ASCII within the Request-URI.
        let is_odd = |b: u8| !b.is_ascii_graphic() || b == b'<' || b == b'>';
        if uri.is_empty() || uri.bytes().any(is_odd) {
            self.blame(Fault::StartLine);
        }
        Some(Start::Request(method, uri.to_owned()))
    }

    fn headers(&mut self) -> Headers {
        let mut headers = Headers::with_capacity(24);
        let mut count = 0;
        while let Some((start, mut end)) = self.line() {
            if start == end {
                break;
            }
            let mut folded = false;
            // RFC 3261 §7.3.1: a line that starts with white space continues the one before.
            while matches!(self.input.get(self.at), Some(b' ' | b'\t')) {
                let Some((_, more)) = self.line() else { break };
                (end, folded) = (more, true);
            }
            count += 1;
            if count > HEADERS_MAX {
                self.blame(Fault::HeadersMany);
                continue;
            }
            self.header(start, end, folded, &mut headers);
        }
        headers
    }

    fn header(&mut self, start: usize, end: usize, folded: bool, headers: &mut Headers) {
        let line = self.input.get(start..end).unwrap_or_default();
        let Some(colon) = line.iter().position(|b| *b == b':') else {
            return self.blame(Fault::HeaderLine);
        };
        let (name, value) = (line.get(..colon).unwrap_or_default(), line.get(colon + 1..).unwrap_or_default());
        let name = name.trim_ascii_end();
        if name.len() > HEADER_NAME_LENGTH_MAX {
            return self.blame(Fault::NameLong);
        }
        if !is_token(name) {
            return self.blame(Fault::HeaderLine);
        }
        let value = trim(value);
        if has_bare_nul(value) {
            self.blame(Fault::Nul);
        }
        let full = match name {
            [letter] => full_name(*letter),
            _ => None,
        };
        if full == Some("Content-Length") || name.eq_ignore_ascii_case(b"Content-Length") {
            return self.content_length(value);
        }
        let value = if folded { unfold(value) } else { self.input.slice_ref(value) };
        let name = full.map_or(name, str::as_bytes);
        let known = self.count(name, value.len());
        // What is written as usual, as most is, needs no share of the input.
        let usual = full.or(known.filter(|known| known.as_bytes() == name));
        let name = usual.map_or_else(|| self.input.slice_ref(name), |usual| Bytes::from_static(usual.as_bytes()));
        headers.push_read(name, value);
    }

    /// Counts a header that is one of [`KNOWN`].
    fn count(&mut self, name: &[u8], length: usize) -> Option<&'static str> {
        let place = KNOWN.iter().position(|known| known.as_bytes().eq_ignore_ascii_case(name))?;
        *self.counts.get_mut(place)? += 1;
        self.echoed += if place < ECHOED { length } else { 0 };
        KNOWN.get(place).copied()
    }

    fn content_length(&mut self, value: &[u8]) {
        let number: Option<usize> = std::str::from_utf8(value).ok().and_then(|v| v.parse().ok());
        match (number, self.content_length) {
            (None, _) => self.blame(Fault::ContentLength),
            (Some(new), Some(old)) if new != old => self.blame(Fault::ContentLength),
            (Some(new), _) => self.content_length = Some(new),
        }
    }

    fn body(&mut self) -> Bytes {
        let rest = self.input.slice(self.at.min(self.input.len())..);
        match self.content_length {
            // RFC 3261 §18.3: over UDP, no Content-Length means to the end of the datagram; what is behind it is left.
            None => rest,
            Some(length) if length <= rest.len() => rest.slice(..length),
            Some(_) => {
                self.blame(Fault::ContentLength);
                Bytes::new()
            }
        }
    }

    fn check(&mut self, start: &Start, headers: &Headers) {
        if self.echoed > ECHO_LENGTH_MAX {
            // Whatever else is wrong: an answer would have to copy it all.
            self.fault = Some(Fault::EchoLong);
        }
        let twice = KNOWN.iter().zip(self.counts).skip(ONCE_FROM).find(|(_, count)| *count > 1);
        if let Some((name, _)) = twice {
            self.blame(Fault::Twice(name));
        }
        if let Some(name) = unreadable(headers) {
            self.blame(Fault::Header(name));
        }
        if matches!(headers.max_forwards(), Some(Err(_))) {
            self.blame(Fault::Header("Max-Forwards"));
        }
        // RFC 3261 §8.1.1.5: the method of CSeq is the request's.
        if let Start::Request(method, _) = start
            && headers.cseq().is_some_and(|cseq| cseq.method != *method)
        {
            self.blame(Fault::Header("CSeq"));
        }
    }
}

/// The first header that every message needs and that this one lacks.
fn unreadable(headers: &Headers) -> Option<&'static str> {
    let is_address = |name| headers.first(name).is_some_and(|line| NameAddr::is_readable(&line));
    if !has_via(headers) || headers.all("Via").any(|line| has_empty_hop(&line)) {
        Some("Via")
    } else if headers.cseq().is_none() {
        Some("CSeq")
    } else if headers.call_id().is_none() {
        Some("Call-ID")
    } else if !is_address("From") {
        Some("From")
    } else if !is_address("To") {
        Some("To")
    } else {
        None
    }
}

fn has_via(headers: &Headers) -> bool {
    headers.first("Via").is_some_and(|line| pieces(&line, b',').next().is_some_and(Via::is_readable))
}

/// Whether something between the commas of a Via line is no hop.
fn has_empty_hop(line: &str) -> bool {
    line.contains(',') && !pieces(line, b',').all(Via::is_readable)
}

/// An answer needs only to know its way; it echoes what there is (RFC 4475 §3.3.1). An ACK is never answered.
fn is_answerable(request: &Request) -> bool {
    request.method != Method::Ack && has_via(&request.headers)
}

fn trim(value: &[u8]) -> &[u8] {
    let white = |b: &u8| matches!(b, b' ' | b'\t' | b'\r' | b'\n');
    let start = value.iter().position(|b| !white(b)).unwrap_or(value.len());
    let end = value.iter().rposition(|b| !white(b)).map_or(start, |e| e + 1);
    value.get(start..end).unwrap_or_default()
}

/// RFC 3261 §25.1: within quotes, a backslash makes any byte harmless.
fn has_bare_nul(value: &[u8]) -> bool {
    let mut escaped = false;
    value.contains(&0)
        && value.iter().any(|b| {
            let is_bare = *b == 0 && !escaped;
            escaped = *b == b'\\' && !escaped;
            is_bare
        })
}

/// RFC 3261 §25.1: a fold counts as one space.
fn unfold(value: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(value.len());
    let mut in_fold = false;
    for b in value {
        match b {
            b'\r' | b'\n' => in_fold = true,
            b' ' | b'\t' if in_fold => {}
            b => {
                if std::mem::take(&mut in_fold) {
                    out.push(b' ');
                }
                out.push(*b);
            }
        }
    }
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(head: &str, body: &str) -> Bytes {
        let text = format!(
            "{head}\r\nVia: SIP/2.0/UDP 10.0.0.1:5062;branch=z9hG4bK1;rport\r\nFrom: \"J\" <sip:j@h>;tag=a\r\n\
             To: <sip:t@h>\r\nCall-ID: c1\r\nCSeq: 1 INVITE\r\n{body}"
        );
        Bytes::from(text)
    }

    fn read(bytes: impl Into<Bytes>) -> Request {
        match Message::parse(&bytes.into()) {
            Ok(Message::Request(request)) => request,
            other => panic!("{other:?}"),
        }
    }

    fn fault(bytes: impl Into<Bytes>) -> Malformed {
        Message::parse(&bytes.into()).expect_err("malformed")
    }

    fn path() -> Path {
        Path { listener: 0, transport: crate::model::Transport::Udp, peer: "192.0.2.9:40000".parse().expect("address") }
    }

    const INVITE: &str = "INVITE tel:+33233010101;phone-context=+33 SIP/2.0";

    #[test]
    fn a_tortuous_invite_is_read_whole() {
        // After RFC 4475 §3.1.1.1: folds, compact forms, odd case, spaces, empty values, an escaped display name.
        let text = "INVITE sip:vivekg@chair-dnrc.example.com;unknownparam SIP/2.0\r\nTO :\r\n sip:vivekg@chair-dnrc.example.com \
            ;   tag    = 1918181833n\r\nfrom   : \"J Rosenberg \\\\\\\"\"       <sip:jdrosen@example.com>\r\n  ;\r\n  tag = 98asjd8\r\n\
            MaX-fOrWaRdS: 0068\r\nCall-ID: wsinv.ndaksdj@192.0.2.1\r\nCSeq: 0009\r\n  INVITE\r\nVia  : SIP  /   2.0\r\n \
            /UDP\r\n    192.0.2.2;branch=390skdjuw\r\ns :\r\nNewFangledHeader:   newfangled value\r\n continued newfangled value\r\n\
            v:  SIP  / 2.0  / TCP     spindle.example.com   ;\r\n  branch  =   z9hG4bK9ikj8  ,\r\n SIP  /    2.0   / UDP  192.168.255.111   ; \
            branch=\r\n z9hG4bK30239\r\nm:\"Quoted string \\\"\\\"\" <sip:jdrosen@example.com> ; newparam =\r\n      newvalue ;\r\n  \
            secondparam ; q = 0.33\r\nl: 3\r\n\r\nabcdef";
        let request = read(Bytes::from_static(text.as_bytes()));
        let headers = &request.headers;
        assert_eq!(request.body, "abc");
        assert_eq!(headers.from().and_then(|f| f.display).as_deref(), Some("J Rosenberg \\\""));
        assert_eq!(
            (request.from_tag().as_deref(), request.to_tag().as_deref()),
            (Some("98asjd8"), Some("1918181833n"))
        );
        assert_eq!(headers.max_forwards(), Some(Ok(68)));
        assert_eq!(headers.cseq().map(|c| c.number), Some(9));
        let branches: Vec<_> = headers.vias().iter().filter_map(|v| v.branch().map(str::to_owned)).collect();
        assert_eq!(branches, ["390skdjuw", "z9hG4bK9ikj8", "z9hG4bK30239"]);
        assert_eq!(headers.first("newfangledheader").as_deref(), Some("newfangled value continued newfangled value"));
        assert_eq!(headers.contacts().expect("valid").first().map(|c| c.preference()), Some(330));
        assert_eq!(headers.first("Subject").as_deref(), Some(""));
    }

    #[test]
    fn a_latin1_name_is_kept_and_echoed_byte_for_byte() {
        let mut bytes = request(INVITE, "P-Asserted-Identity: X\r\n\r\n").to_vec();
        let at = bytes.windows(3).position(|w| w == b"\"J\"").expect("there") + 1;
        bytes[at] = 0xe9;
        let request = read(bytes);
        let echoed = compose::response(&request, 200, Some("t")).to_bytes();
        assert!(echoed.windows(3).any(|w| w == b"\"\xe9\""));
        assert_eq!(request.headers.first("p-asserted-identity").as_deref(), Some("X"));
        assert_eq!(request.from_tag().as_deref(), Some("a"));
    }

    #[test]
    fn a_datagram_without_content_length_keeps_its_body() {
        assert_eq!(read(request(INVITE, "\r\nv=0\r\n")).body, "v=0\r\n");
        assert_eq!(read(request(INVITE, "Content-Length: 3\r\n\r\nv=0\r\n")).body, "v=0");
        assert_eq!(read(request(INVITE, "")).body, "");
    }

    #[test]
    fn a_false_content_length_is_answered_400() {
        for value in ["9999", "-1", "x", "99999999999999999999999", "1\r\nl: 2"] {
            let malformed = fault(request(INVITE, &format!("Content-Length: {value}\r\n\r\nv=0\r\n")));
            assert_eq!(malformed.fault, Fault::ContentLength, "{value}");
            let (to, answer) = malformed.answer(path()).expect("answerable");
            assert_eq!(to.peer, path().peer);
            assert!(answer.starts_with(b"SIP/2.0 400 Content-Length Does Not Fit The Body\r\n"));
        }
    }

    #[test]
    fn line_ends_may_be_bare_and_the_first_line_may_come_late() {
        let text = String::from_utf8(request(INVITE, "\r\nbody").to_vec()).expect("text").replace("\r\n", "\n");
        assert_eq!(read(Bytes::from(format!("\r\n\r\n{text}"))).body, "body");
    }

    #[test]
    fn another_version_is_answered_505() {
        let malformed = fault(request("INVITE sip:t@h SIP/7.0", "\r\n"));
        assert_eq!(malformed.fault, Fault::Version);
        assert!(malformed.answer(path()).expect("answerable").1.starts_with(b"SIP/2.0 505 "));
    }

    #[test]
    fn a_bad_first_line_is_answered_400() {
        for line in
            ["INVITE <sip:t@h> SIP/2.0", "INVITE sip:t@h; lr SIP/2.0", "INVITE sip:t@h", "INVITE  sip:t@h HTTP/1.1"]
        {
            let malformed = fault(request(line, "\r\n"));
            assert_eq!(malformed.fault, Fault::StartLine, "{line}");
            assert!(malformed.answer(path()).is_some());
        }
    }

    #[test]
    fn what_cannot_be_answered_is_dropped() {
        let no_via =
            "INVITE sip:t@h SIP/2.0\r\nFrom: <sip:j@h>;tag=a\r\nTo: <sip:t@h>\r\nCall-ID: 1\r\nCSeq: 1 INVITE\r\n\r\n";
        assert_eq!(fault(no_via).fault, Fault::Header("Via"));
        assert!(fault(no_via).answer(path()).is_none());
        assert!(fault("garbage").answer(path()).is_none());
        let ack = request("ACK sip:t@h SIP/2.0", "\r\n");
        assert!(fault(ack).answer(path()).is_none(), "an ACK is never answered");
        let response = "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\n\r\n";
        assert!(fault(response).answer(path()).is_none());
    }

    #[test]
    fn a_message_without_its_headers_is_answered_with_those_it_has() {
        let bare =
            "INVITE sip:t@h SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.1:5062;branch=z9hG4bK1;rport\r\nCSeq: 1 INVITE\r\n\r\n";
        let (_, answer) = fault(bare).answer(path()).expect("answerable");
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(answer.starts_with("SIP/2.0 400 ") && answer.contains("CSeq: 1 INVITE\r\n"), "{answer}");
    }

    #[test]
    fn a_cseq_of_another_method_or_twice_is_refused() {
        assert_eq!(fault(request("OPTIONS sip:t@h SIP/2.0", "\r\n")).fault, Fault::Header("CSeq"));
        assert_eq!(fault(request(INVITE, "CSeq: 1 INVITE\r\n\r\n")).fault, Fault::Twice("CSeq"));
    }

    #[test]
    fn keep_alives_are_no_messages() {
        for bytes in ["", "\r\n", "\r\n\r\n", "\0\0\0\0"] {
            assert_eq!(fault(bytes).fault, Fault::KeepAlive);
        }
    }

    #[test]
    fn too_much_is_refused() {
        assert_eq!(fault(request(INVITE, &"X: y\r\n".repeat(300))).fault, Fault::HeadersMany);
        assert_eq!(fault(vec![b'a'; MESSAGE_LENGTH_MAX + 1]).fault, Fault::TooLong);
        let long = format!("v: SIP/2.0/UDP h;branch={}\r\n\r\n", "b".repeat(ECHO_LENGTH_MAX));
        assert_eq!(fault(request(INVITE, &long)).fault, Fault::EchoLong);
        assert!(fault(request(INVITE, &long)).answer(path()).is_none());
    }
}
