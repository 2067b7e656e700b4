//! How long a carrier's INVITE takes to be read, with the six headers that every request is asked for.
//!
//! On a machine that does other things as well, compare what one run says, the references included, and take the best of
//! several. Instructions do not depend on the load: `valgrind --tool=callgrind --toggle-collect='*Message*parse*'
//! target/release/deps/parse-… --test "a 1.1 kB INVITE"` counts those of two readings.
#![allow(clippy::expect_used, reason = "a bench may stop where it stands")]

use std::hint::black_box;

use bytes::Bytes;
use criterion::Criterion;
use vigie::sip::Message;

/// As a carrier's border controller sends it: two hops, an asserted identity, a diversion, an SDP of three codecs.
const INVITE: &str = "INVITE sip:+33261910101@198.51.100.10:5060;user=phone;transport=udp SIP/2.0\r\n\
    Via: SIP/2.0/UDP 203.0.113.20:5060;branch=z9hG4bKnashds7-4b7e9f2c1a55d;rport\r\n\
    Via: SIP/2.0/UDP 203.0.113.2:5060;branch=z9hG4bK0a8f3e7725bb1c;received=203.0.113.2\r\n\
    Record-Route: <sip:203.0.113.20:5060;lr;ftag=gK0c9a3e21>\r\n\
    Max-Forwards: 66\r\n\
    From: \"Jean Dupont\" <sip:+33639980123@carrier.example;user=phone>;tag=gK0c9a3e21\r\n\
    To: <sip:+33261910101@carrier.example;user=phone>\r\n\
    Call-ID: 1683902467_133452168@203.0.113.2\r\n\
    CSeq: 102394 INVITE\r\n\
    Contact: <sip:+33639980123@203.0.113.2:5060;transport=udp>\r\n\
    Allow: INVITE, ACK, CANCEL, BYE, PRACK, UPDATE, OPTIONS, INFO\r\n\
    Supported: timer, 100rel\r\n\
    Session-Expires: 1800;refresher=uac\r\n\
    P-Asserted-Identity: <sip:+33639980123@carrier.example;user=phone>\r\n\
    Privacy: none\r\n\
    Content-Type: application/sdp\r\n\
    Content-Length: 246\r\n\r\n";

const SDP: &str = "v=0\r\no=Sonus 163921 481263 IN IP4 203.0.113.30\r\ns=SIP Media Capabilities\r\nc=IN IP4 203.0.113.30\r\n\
    t=0 0\r\nm=audio 24586 RTP/AVP 8 0 101\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\n\
    a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=sendrecv\r\na=ptime:20\r\n";

fn invite() -> Bytes {
    let head = INVITE.replace("Content-Length: 246", &format!("Content-Length: {}", SDP.len()));
    Bytes::from(format!("{head}{SDP}"))
}

/// The bytes looked at once, one by one: what any reader at the least does, and what ratios are quoted against.
fn scan(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| matches!(**byte, b'\n' | b':' | b';')).count()
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let invite = invite();
    assert!((1_050..=1_250).contains(&invite.len()), "an INVITE of {} bytes", invite.len());
    criterion.bench_function("reference: 1.1 kB copied", |bench| bench.iter(|| black_box(&invite[..]).to_vec()));
    criterion.bench_function("reference: 1.1 kB scanned once", |bench| bench.iter(|| scan(black_box(&invite))));
    criterion.bench_function("parse: a 1.1 kB INVITE", |bench| bench.iter(|| Message::parse(black_box(&invite))));
    criterion.bench_function("parse: a 1.1 kB INVITE, six headers read", |bench| {
        bench.iter(|| {
            let message = Message::parse(black_box(&invite)).expect("well formed");
            let headers = message.headers();
            black_box((
                headers.via().expect("via"),
                headers.from().expect("from"),
                headers.to().expect("to"),
                headers.cseq().expect("cseq"),
                headers.contacts().expect("contact"),
            ));
            black_box(headers.call_id().expect("call-id").len())
        });
    });
    criterion.final_summary();
}
