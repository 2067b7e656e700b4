//! SIP as a phone reads and writes it: text, and nothing of Vigie's own reader.

use std::net::SocketAddr;

use md5::{Digest, Md5};
use sha2::Sha256;

/// One message, as lines.
#[derive(Clone, Debug)]
pub struct Text {
    /// The request or status line.
    pub start: String,
    headers: Vec<(String, String)>,
    /// What follows the headers.
    pub body: String,
}

impl Text {
    /// Reads a message; `None` when it is none.
    pub fn read(bytes: &[u8]) -> Option<Text> {
        let text = std::str::from_utf8(bytes).ok()?;
        let (head, body) = text.split_once("\r\n\r\n")?;
        let mut lines = head.split("\r\n");
        let start = lines.next()?.to_owned();
        let headers = lines
            .map(|line| line.split_once(':').map(|(n, v)| (n.trim().to_ascii_lowercase(), v.trim().to_owned())))
            .collect::<Option<Vec<_>>>()?;
        Some(Text { start, headers, body: body.to_owned() })
    }

    /// The status of a response.
    pub fn status(&self) -> Option<u16> {
        self.start.strip_prefix("SIP/2.0 ")?.split(' ').next()?.parse().ok()
    }

    /// The method of a request.
    pub fn method(&self) -> &str {
        self.start.split(' ').next().unwrap_or_default()
    }

    /// The first header of this name (lower case).
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(n, _)| n == name).map_or("", |(_, v)| v)
    }

    /// Every header of this name (lower case).
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.headers.iter().filter(move |(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// The branch of the topmost Via.
    pub fn branch(&self) -> &str {
        between(self.header("via"), "branch=")
    }

    /// Number and method of the CSeq.
    pub fn cseq(&self) -> (u32, &str) {
        let (number, method) = self.header("cseq").split_once(' ').unwrap_or(("0", ""));
        (number.parse().unwrap_or(0), method)
    }

    /// The URI in the Contact.
    pub fn contact(&self) -> &str {
        let contact = self.header("contact");
        let from = contact.find('<').map_or(contact, |at| &contact[at + 1..]);
        from.split('>').next().unwrap_or(from)
    }

    /// The answer to this request: Via, From, To, Call-ID and CSeq as they came.
    pub fn answer(&self, status: u16, reason: &str, tag: &str) -> Letter {
        let mut letter = Letter::new(format!("SIP/2.0 {status} {reason}"));
        for via in self.all("via") {
            letter = letter.with("Via", via);
        }
        let to = self.header("to");
        let to = if to.contains(";tag=") || tag.is_empty() { to.to_owned() } else { format!("{to};tag={tag}") };
        let (from, call_id, cseq) = (self.header("from"), self.header("call-id"), self.header("cseq"));
        letter.with("From", from).with("To", &to).with("Call-ID", call_id).with("CSeq", cseq)
    }
}

/// What follows `mark` up to the next `;`, `,`, space or `>`.
pub fn between<'a>(text: &'a str, mark: &str) -> &'a str {
    let Some(at) = text.find(mark) else { return "" };
    let rest = &text[at + mark.len()..];
    rest.split([';', ',', ' ', '>']).next().unwrap_or("").trim_matches('"')
}

/// A message being written.
#[derive(Clone, Debug)]
pub struct Letter {
    head: String,
    body: String,
}

impl Letter {
    /// Begins with this line.
    pub fn new(start: String) -> Letter {
        Letter { head: format!("{start}\r\n"), body: String::new() }
    }

    /// One more header.
    pub fn with(mut self, name: &str, value: &str) -> Letter {
        self.head.push_str(name);
        self.head.push_str(": ");
        self.head.push_str(value);
        self.head.push_str("\r\n");
        self
    }

    /// An SDP body.
    pub fn with_sdp(mut self, sdp: &str) -> Letter {
        self = self.with("Content-Type", "application/sdp");
        self.body = sdp.to_owned();
        self
    }

    /// The whole message.
    pub fn bytes(self) -> Vec<u8> {
        let length = self.body.len();
        format!("{}Content-Length: {length}\r\n\r\n{}", self.head, self.body).into_bytes()
    }
}

/// An SDP of a phone at `rtp`; `way` is `sendrecv`, `sendonly`…, `codecs` the payload types.
pub fn sdp(rtp: SocketAddr, version: u32, codecs: &str, way: &str) -> String {
    let (ip, port) = (rtp.ip(), rtp.port());
    format!(
        "v=0\r\no=- 1 {version} IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio {port} RTP/AVP {codecs}\r\n\
         a={way}\r\n"
    )
}

/// Who registers, and how it proves that.
#[derive(Clone, Debug)]
pub struct Account {
    /// The regulator's id.
    pub user: String,
    /// Its password.
    pub password: String,
    /// The realm that it belongs to.
    pub realm: String,
}

impl Account {
    /// HA1 with MD5 and SHA-256 (RFC 7616 §3.4.2).
    pub fn ha1(&self) -> [String; 2] {
        let text = format!("{}:{}:{}", self.user, self.realm, self.password);
        [hex(&Md5::digest(&text)), hex(&Sha256::digest(&text))]
    }

    /// The credentials that answer the last challenge in `refusal` (phones differ; this one takes the last it knows).
    pub fn answer(&self, refusal: &Text, method: &str, uri: &str, cnonce: &str) -> Option<String> {
        let name = if refusal.status() == Some(407) { "proxy-authenticate" } else { "www-authenticate" };
        let challenge = refusal.all(name).last()?;
        let nonce = between(challenge, "nonce=");
        let is_sha = challenge.contains("SHA-256");
        let hash = |text: String| if is_sha { hex(&Sha256::digest(text)) } else { hex(&Md5::digest(text)) };
        let [md5, sha256] = self.ha1();
        let ha1 = if is_sha { sha256 } else { md5 };
        let ha2 = hash(format!("{method}:{uri}"));
        let response = hash(format!("{ha1}:{nonce}:00000001:{cnonce}:auth:{ha2}"));
        let algorithm = if is_sha { "SHA-256" } else { "MD5" };
        Some(format!(
            "Digest username=\"{}\", realm=\"{}\", nonce=\"{nonce}\", uri=\"{uri}\", response=\"{response}\", \
             algorithm={algorithm}, qop=auth, nc=00000001, cnonce=\"{cnonce}\"",
            self.user, self.realm
        ))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
