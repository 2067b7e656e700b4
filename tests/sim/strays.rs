//! What comes without being asked: nonsense, strangers, messages of dialogs that never were.

use std::net::SocketAddr;

use bytes::Bytes;

use vigie::model::Chance;

use crate::centre::{REALM, vigie};
use crate::wire::{Letter, sdp};

/// One stray message as `from` would send it.
pub fn draw(chance: &mut Chance, from: SocketAddr) -> Bytes {
    let token = chance.token();
    let head = |start: String, cseq: &str, to_tag: &str| {
        Letter::new(start)
            .with("Via", &format!("SIP/2.0/UDP {from};branch=z9hG4bK{token}"))
            .with("Max-Forwards", "70")
            .with("From", &format!("<sip:alix@{REALM}>;tag=stray"))
            .with("To", &format!("<sip:alix@{REALM}>{to_tag}"))
            .with("Call-ID", &format!("stray-{token}"))
            .with("CSeq", cseq)
            .with("Contact", &format!("<sip:stray@{from}>"))
    };
    let uri = format!("sip:vigie@{}", vigie());
    let bytes = match chance.below(14) {
        0 => b"\r\n\r\n".to_vec(),
        1 => b"INVITE what".to_vec(),
        2 => vec![0xff, 0xfe, 0x00, 0x80, b'\r', b'\n'],
        3 => head(format!("OPTIONS {uri} SIP/2.0"), "1 OPTIONS", "").bytes(),
        4 => head(format!("BYE {uri} SIP/2.0"), "2 BYE", ";tag=nobody").bytes(),
        5 => head(format!("ACK {uri} SIP/2.0"), "1 ACK", ";tag=nobody").bytes(),
        6 => head(format!("CANCEL {uri} SIP/2.0"), "1 CANCEL", "").bytes(),
        7 => head("SIP/2.0 200 OK".to_owned(), "1 INVITE", ";tag=nobody").bytes(),
        8 => head("SIP/2.0 481 Gone".to_owned(), "1 BYE", ";tag=nobody").bytes(),
        9 => head(format!("FOO {uri} SIP/2.0"), "1 FOO", "").bytes(),
        10 => head(format!("REGISTER sip:{REALM} SIP/2.0"), "1 REGISTER", "")
            .with(
                "Authorization",
                &format!(
                    "Digest username=\"alix\", realm=\"{REALM}\", nonce=\"1\", uri=\"sip:{REALM}\", response=\"0\""
                ),
            )
            .bytes(),
        11 if from.ip() != crate::centre::trunk(0).ip() => {
            head(format!("INVITE {uri} SIP/2.0"), "1 INVITE", "").with_sdp(&sdp(from, 1, "8", "sendrecv")).bytes()
        }
        12 => head(format!("INVITE {uri} SIP/2.0"), "2 INVITE", ";tag=nobody").bytes(),
        _ => head(format!("INFO {uri} SIP/2.0"), "3 INFO", ";tag=nobody").bytes(),
    };
    Bytes::from(bytes)
}
