//! What holds for every input: reading never panics, and what was read reads back as itself.

use bytes::Bytes;
use proptest::prelude::*;

use super::header::{AuthParams, CSeq, Contacts, NameAddr, Reason, Via};
use super::message::Message;
use super::sdp::Description;
use super::uri::Uri;
use crate::model::{Path, Transport};

const INVITE: &str = "INVITE sip:+33233010101@10.0.0.1;user=phone SIP/2.0\r\n\
    Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK776asdhds;rport, SIP/2.0/TCP [2001:db8::1];branch=z9hG4bKx\r\n\
    Max-Forwards: 70\r\nRecord-Route: <sip:p1;lr>,<sip:p2;lr>\r\n\
    From: \"J\\\" D, <x>\" <sip:+33612345678@trunk>;tag=1928301774\r\nt: <tel:+33233010101>\r\n\
    Call-ID: a84b4c76e66710@pc33\r\nCSeq: 314159 INVITE\r\nContact: <sip:a@192.0.2.1>;q=0.5;expires=60\r\n\
    P-Asserted-Identity: \"X\" <sip:+33612345678@trunk>, <tel:+33612345678>\r\nPrivacy: id;critical\r\n\
    Supported: timer,\r\n 100rel\r\nReason: Q.850;cause=16;text=\"a\"\r\n\
    Authorization: Digest username=\"u\", realm=\"r, s\", nonce=\"n\", uri=\"sip:h\", response=\"0\", qop=auth, nc=00000001, cnonce=\"c\"\r\n\
    Content-Type: application/sdp\r\nContent-Length: 57\r\n\r\n\
    v=0\r\nc=IN IP4 1.2.3.4\r\nm=audio 4000 RTP/AVP 8 101\r\na=x\r\n1";

const ANSWER: &str = "SIP/2.0 180 Ringing\r\nVia: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK1;received=1.2.3.4\r\n\
    From: <sip:a@b>;tag=1\r\nTo: sip:c@d;tag=2\r\nCall-ID: x\r\nCSeq: 1 INVITE\r\nl: 0\r\n\r\n";

/// Reads everything that can be read of a message, writes it and reads it again.
fn read_whole(bytes: Vec<u8>) {
    let message = match Message::parse(&Bytes::from(bytes)) {
        Ok(message) => message,
        Err(malformed) => {
            let path = Path { listener: 0, transport: Transport::Udp, peer: ([192, 0, 2, 1], 5060).into() };
            if let Some((_, answer)) = malformed.answer(path) {
                assert!(answer.starts_with(b"SIP/2.0 "));
            }
            return;
        }
    };
    let headers = message.headers();
    let _ = (headers.vias(), headers.contacts(), headers.max_forwards(), headers.expires(), headers.privacy());
    let _ = (headers.reason(), headers.tokens("Supported"), headers.auth_params("Authorization"));
    let _ = (headers.addresses("P-Asserted-Identity"), headers.from().and_then(|from| from.to_uri()));
    if let Message::Request(request) = &message {
        let _ = (Uri::parse(&request.uri), Description::parse(&request.body));
    }
    let again = Message::parse(&message.to_bytes());
    assert_eq!(again.as_ref(), Ok(&message));
}

fn mutated(text: &'static str) -> impl Strategy<Value = Vec<u8>> {
    let change = (0..text.len(), 0..4u8, any::<u8>(), 1..40usize);
    prop::collection::vec(change, 0..6).prop_map(move |changes| {
        let mut bytes = text.as_bytes().to_vec();
        for (at, kind, byte, length) in changes {
            let at = at.min(bytes.len().saturating_sub(1));
            let end = (at + length).min(bytes.len());
            match kind {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                2 => drop(bytes.drain(at..end)),
                _ => {
                    let copy = bytes[at..end].to_vec();
                    bytes.splice(at..at, copy);
                }
            }
        }
        bytes
    })
}

#[test]
fn the_unchanged_messages_are_read() {
    for text in [INVITE, ANSWER] {
        assert!(Message::parse(&Bytes::from_static(text.as_bytes())).is_ok());
        read_whole(text.as_bytes().to_vec());
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        read_whole(bytes.clone());
        let _ = Description::parse(&bytes);
    }

    #[test]
    fn a_changed_request_never_panics_and_reads_back(bytes in mutated(INVITE)) {
        read_whole(bytes);
    }

    #[test]
    fn a_changed_response_never_panics_and_reads_back(bytes in mutated(ANSWER)) {
        read_whole(bytes);
    }

    #[test]
    fn arbitrary_values_never_panic(text in r#"[ -~é\t";:,<>@=\\\[\]%*/]{0,80}"#) {
        let _ = (CSeq::parse(&text), AuthParams::parse(&text), Reason::parse(&text));
        let _ = Contacts::read([text.as_str().into()].into_iter());
        if let Some(uri) = Uri::parse(&text) {
            let _ = (uri.user_decoded(), uri.socket_addr(), uri.is_same_as(&uri));
        }
        if let Some(address) = NameAddr::parse(&text) {
            let again = NameAddr::parse(&address.to_string());
            prop_assert_eq!(again.map(|a| (a.display, a.uri)), Some((address.display, address.uri)));
        }
        if let Some(via) = Via::parse(&format!("SIP/2.0/UDP {text}")) {
            let again = Via::parse(&via.to_string());
            prop_assert_eq!(again.map(|v| (v.host, v.port)), Some((via.host, via.port)));
        }
    }

    #[test]
    fn a_display_name_of_any_text_reads_back(name in "[^\r\n\0]{1,40}") {
        let mut address = NameAddr::new("sip:a@b");
        address.display = Some(name);
        let again = NameAddr::parse(&address.to_string());
        prop_assert_eq!(again, Some(address));
    }
}
