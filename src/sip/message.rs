//! One SIP message: a request or a response, and how it is written.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::header::NameAddr;
use super::headers::Headers;
use super::method::Method;

/// One SIP message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message {
    /// A request.
    Request(Request),
    /// A response.
    Response(Response),
}

/// A request (RFC 3261 §7.1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// What is asked.
    pub method: Method,
    /// The Request-URI as written: `sip:`, `sips:`, `tel:`, `urn:`…
    pub uri: String,
    /// The headers, without Content-Length.
    pub headers: Headers,
    /// The body.
    pub body: Bytes,
}

/// A response (RFC 3261 §7.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Response {
    /// 100 to 699.
    pub status: u16,
    /// The reason phrase, for people.
    pub reason: String,
    /// The headers, without Content-Length.
    pub headers: Headers,
    /// The body.
    pub body: Bytes,
}

impl Message {
    /// The message as the wire has it.
    pub fn to_bytes(&self) -> Bytes {
        match self {
            Message::Request(request) => request.to_bytes(),
            Message::Response(response) => response.to_bytes(),
        }
    }

    /// The headers.
    pub fn headers(&self) -> &Headers {
        match self {
            Message::Request(request) => &request.headers,
            Message::Response(response) => &response.headers,
        }
    }
}

impl Request {
    /// A request without headers or body.
    pub fn new(method: Method, uri: impl Into<String>) -> Request {
        Request { method, uri: uri.into(), headers: Headers::new(), body: Bytes::new() }
    }

    /// The request as the wire has it, with its Content-Length.
    pub fn to_bytes(&self) -> Bytes {
        let mut out = Vec::with_capacity(written_length(&self.headers, &self.body) + self.uri.len());
        out.extend_from_slice(self.method.as_str().as_bytes());
        out.push(b' ');
        out.extend_from_slice(self.uri.as_bytes());
        out.extend_from_slice(b" SIP/2.0\r\n");
        write_rest(&mut out, &self.headers, &self.body);
        out.into()
    }

    /// The tag in To: present within a dialog (RFC 3261 §12.2).
    pub fn to_tag(&self) -> Option<String> {
        NameAddr::tag_in(&self.headers.first("To")?)
    }

    /// The tag in From.
    pub fn from_tag(&self) -> Option<String> {
        NameAddr::tag_in(&self.headers.first("From")?)
    }
}

impl Response {
    /// Whether more answers follow: 1xx.
    pub fn is_provisional(&self) -> bool {
        self.status < 200
    }

    /// Whether it is a 2xx.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The response as the wire has it, with its Content-Length.
    pub fn to_bytes(&self) -> Bytes {
        let mut out = Vec::with_capacity(written_length(&self.headers, &self.body) + self.reason.len());
        out.extend_from_slice(b"SIP/2.0 ");
        out.extend_from_slice(self.status.to_string().as_bytes());
        out.push(b' ');
        out.extend_from_slice(self.reason.as_bytes());
        out.extend_from_slice(b"\r\n");
        write_rest(&mut out, &self.headers, &self.body);
        out.into()
    }

    /// The tag in To.
    pub fn to_tag(&self) -> Option<String> {
        NameAddr::tag_in(&self.headers.first("To")?)
    }
}

fn written_length(headers: &Headers, body: &Bytes) -> usize {
    64 + body.len() + headers.iter().map(|h| h.name.len() + h.value.len() + 4).sum::<usize>()
}

fn write_rest(out: &mut Vec<u8>, headers: &Headers, body: &Bytes) {
    for header in headers.iter() {
        out.extend_from_slice(&header.name);
        out.extend_from_slice(b": ");
        out.extend_from_slice(&header.value);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"Content-Length: ");
    out.extend_from_slice(body.len().to_string().as_bytes());
    out.extend_from_slice(b"\r\n\r\n");
    out.extend_from_slice(body);
}
