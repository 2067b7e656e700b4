//! Small builders: a response to a request, the ACK of a refusal, a CANCEL.

use std::net::SocketAddr;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::header::pieces::find;
use super::header::{NameAddr, Rport, Via};
use super::message::{Request, Response};
use super::method::Method;
use super::status::phrase;
use crate::model::Path;

/// A response with what RFC 3261 §8.2.6 says that it copies. `to_tag` is added when To has none; a 100 carries none.
///
/// Record-Route is copied into what may create a dialog (RFC 3261 §12.1.1).
pub fn response(request: &Request, status: u16, to_tag: Option<&str>) -> Response {
    let mut out =
        Response { status, reason: phrase(status).to_owned(), headers: Default::default(), body: Bytes::new() };
    for name in ["Via", "From"] {
        copy(request, &mut out, name);
    }
    if let Some(to) = request.headers.first_bytes("To") {
        out.headers.push("To", tagged(to, to_tag.filter(|_| status > 100)));
    }
    for name in ["Call-ID", "CSeq"] {
        copy(request, &mut out, name);
    }
    if (101..300).contains(&status) && matches!(request.method, Method::Invite | Method::Subscribe) {
        copy(request, &mut out, "Record-Route");
    }
    if status == 100 {
        copy(request, &mut out, "Timestamp");
    }
    out
}

fn copy(request: &Request, out: &mut Response, name: &'static str) {
    for value in request.headers.all_bytes(name) {
        out.headers.push(name, value.clone());
    }
}

/// To as the peer wrote it, byte for byte, with a tag when it has none.
fn tagged(to: &Bytes, tag: Option<&str>) -> Bytes {
    let has_tag = NameAddr::parse(&String::from_utf8_lossy(to)).is_some_and(|to| to.tag().is_some());
    match tag {
        Some(tag) if !has_tag => {
            let mut value = to.to_vec();
            value.extend_from_slice(b";tag=");
            value.extend_from_slice(tag.as_bytes());
            value.into()
        }
        Some(_) | None => to.clone(),
    }
}

/// The ACK of a final answer that is no 2xx (RFC 3261 §17.1.1.3): the INVITE's top Via, Route and Request-URI, the answer's To.
pub fn ack_of_refusal(invite: &Request, refusal: &Response) -> Request {
    let mut ack = beside(invite, Method::Ack);
    if let Some(to) = refusal.headers.first_bytes("To") {
        ack.headers.set("To", to.clone());
    }
    ack
}

/// The CANCEL of an INVITE (RFC 3261 §9.1).
pub fn cancel(invite: &Request) -> Request {
    beside(invite, Method::Cancel)
}

/// A request of the same branch as `invite`.
fn beside(invite: &Request, method: Method) -> Request {
    let mut out = Request::new(method, invite.uri.clone());
    if let Some(via) = invite.headers.first_bytes("Via") {
        out.headers.push("Via", first_piece(via));
    }
    for route in invite.headers.all_bytes("Route") {
        out.headers.push("Route", route.clone());
    }
    out.headers.push("Max-Forwards", "70");
    for name in ["From", "To", "Call-ID"] {
        if let Some(value) = invite.headers.first_bytes(name) {
            out.headers.push(name, value.clone());
        }
    }
    let number = invite.headers.cseq().map_or(0, |cseq| cseq.number);
    out.headers.push("CSeq", format!("{number} {}", out.method));
    out
}

fn first_piece(value: &Bytes) -> Bytes {
    let text = String::from_utf8_lossy(value);
    match find(&text, b',') {
        Some(end) => Bytes::copy_from_slice(text.get(..end).unwrap_or_default().trim_end().as_bytes()),
        None => value.clone(),
    }
}

/// Writes into the topmost Via where the request came from (RFC 3261 §18.2.1, RFC 3581 §4).
pub fn stamp_via(request: &mut Request, peer: SocketAddr) {
    let Some(mut via) = request.headers.via() else { return };
    via.stamp(peer);
    let mut line = via.to_string();
    if let Some(rest) = request.headers.first("Via")
        && let Some(comma) = find(&rest, b',')
    {
        line.push_str(rest.get(comma..).unwrap_or_default());
    }
    request.headers.replace_first("Via", line.into());
}

/// Where a response goes (RFC 3261 §18.2.2, RFC 3581 §4): over the connection that the request came on; for datagrams to
/// the source, at its own port with `rport`, else at that of sent-by.
///
/// `maddr` is not followed: it would let a stranger aim our answers at a third.
pub fn response_path(path: Path, via: &Via) -> Path {
    if path.transport.is_reliable() {
        return path;
    }
    let port = match via.rport() {
        Rport::Asked | Rport::Filled(_) => path.peer.port(),
        Rport::Absent => via.port.unwrap_or(5060),
    };
    Path { peer: SocketAddr::new(path.peer.ip(), port), ..path }
}

/// A To-tag that is the same for every repetition of a request, for answers of which no state is kept (RFC 3261 §8.2.7).
pub fn stateless_tag(request: &Request) -> String {
    let mut hash = Sha256::new();
    for name in ["Call-ID", "From", "CSeq"] {
        hash.update(request.headers.first_bytes(name).map(|v| v.as_ref()).unwrap_or_default());
        hash.update([0]);
    }
    hash.finalize().iter().take(8).map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Transport;

    fn path(transport: Transport) -> Path {
        Path { listener: 0, transport, peer: "192.0.2.9:40000".parse().expect("an address") }
    }

    #[test]
    fn an_answer_goes_back_over_the_connection_and_for_a_datagram_to_the_port_that_via_says() {
        let via = Via::new("TCP", "192.0.2.9:5060".parse().expect("an address"), "z9hG4bK1");
        let plain = Via::parse("SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bK1").expect("a Via");
        assert_eq!(response_path(path(Transport::Tcp), &via), path(Transport::Tcp));
        assert_eq!(response_path(path(Transport::Wss), &plain), path(Transport::Wss));
        assert_eq!(response_path(path(Transport::Udp), &plain).peer.port(), 5060);
    }
}
