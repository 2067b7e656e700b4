//! Bad input gets a 4xx that says what is wrong, or is dropped and counted; it keeps nothing and is never amplified.

use bytes::Bytes;

use super::bench::*;
use crate::model::{Counter, Path, Transport};
use crate::sip::parse::{ECHO_LENGTH_MAX, MESSAGE_LENGTH_MAX};
use crate::useragent::Effect;

/// An answer adds no more than this to what it copies: status line, tags, Server, Allow, Accept, Warning.
const ANSWER_OVERHEAD_MAX: usize = 1024;

fn invite() -> String {
    let body = sdp("127.0.0.2", 7000, "8 0 101", "sendrecv");
    Request { body: &body, ..Request::default() }.text().replace("\r\n", "\n").replace('\n', "\r\n")
}

fn replaced(from: &str, to: impl AsRef<str>) -> Vec<u8> {
    let invite = invite();
    assert!(invite.contains(from), "{from} in {invite}");
    invite.replacen(from, to.as_ref(), 1).into_bytes()
}

/// The same with a raw byte in place of `@`.
fn with_byte(from: &str, to: &str, byte: u8) -> Vec<u8> {
    replaced(from, to.replace('@', "\u{1}")).into_iter().map(|b| if b == 1 { byte } else { b }).collect()
}

/// The first line of the answer, or nothing; holds everything against the bounds.
fn take(from: &str, bytes: Vec<u8>) -> Option<String> {
    let mut bench = Bench::new();
    let before = bench.ua.count_kept();
    let path = Path { listener: 0, transport: Transport::Udp, peer: address(from) };
    let mut out = Vec::new();
    let length = bytes.len();
    bench.ua.receive(path, &Bytes::from(bytes), bench.now, &mut out);
    let mut first_line = None;
    let mut is_counted = false;
    for effect in out {
        match effect {
            Effect::Send { bytes, .. } => {
                assert!(bytes.len() <= ECHO_LENGTH_MAX.min(length) + ANSWER_OVERHEAD_MAX, "{} bytes", bytes.len());
                assert!(first_line.is_none(), "one answer");
                first_line = String::from_utf8_lossy(&bytes).lines().next().map(str::to_owned);
            }
            Effect::Count(counter) => is_counted |= counter == Counter::SipMalformed,
            Effect::Signal(signal) => panic!("it went through: {signal:?}"),
            _ => {}
        }
    }
    assert!(first_line.is_some() || is_counted, "what is dropped is counted");
    let kept: usize = bench.ua.count_kept().iter().map(|(_, count)| count).sum();
    // A refused INVITE of a trunk waits for its ACK.
    assert!(kept <= before.iter().map(|(_, count)| count).sum::<usize>() + 1);
    first_line
}

/// Each gets this answer, without `SIP/2.0 `; nothing when it is to be dropped.
fn hold(rows: Vec<(&str, Vec<u8>, &str)>) {
    for (what, bytes, expected) in rows {
        let answer = take(TRUNK, bytes).unwrap_or_default();
        assert_eq!(answer.strip_prefix("SIP/2.0 ").unwrap_or_default(), expected, "{what}");
    }
}

#[test]
fn what_stands_twice_or_counts_wrong_is_answered_so() {
    let from = "From: \"Jean\" <sip:0612345678@carrier.example>;tag=far\r\n";
    hold(vec![
        ("two From", replaced(from, format!("{from}From: <sip:x@y>;tag=2\r\n")), "400 From Twice"),
        ("From and f", replaced(from, format!("{from}f: <sip:x@y>;tag=2\r\n")), "400 From Twice"),
        ("To and t", replaced("To: ", "t: <sip:x@y>\r\nTo: "), "400 To Twice"),
        ("Call-ID and i", replaced("Call-ID: ", "i: other\r\nCall-ID: "), "400 Call-ID Twice"),
        ("two CSeq", replaced("CSeq: ", "CSeq: 2 INVITE\r\nCSeq: "), "400 CSeq Twice"),
        (
            "two Max-Forwards",
            replaced("Max-Forwards: 70", "Max-Forwards: 70\r\nmax-forwards: 1"),
            "400 Max-Forwards Twice",
        ),
        ("two types", replaced("Content-Type: ", "c: text/plain\r\nContent-Type: "), "400 Content-Type Twice"),
        (
            "two lengths",
            replaced("Content-Length: ", "l: 1\r\nContent-Length: "),
            "400 Content-Length Does Not Fit The Body",
        ),
        (
            "length too great",
            replaced("Content-Length: ", "Content-Length: 9"),
            "400 Content-Length Does Not Fit The Body",
        ),
        (
            "length negative",
            replaced("Content-Length: ", "Content-Length: -"),
            "400 Content-Length Does Not Fit The Body",
        ),
        (
            "length giant",
            replaced("Content-Length: ", format!("Content-Length: {}", "9".repeat(5000))),
            "400 Content-Length Does Not Fit The Body",
        ),
        ("CSeq of 2^31", replaced("CSeq: 1", "CSeq: 2147483648"), "400 Missing Or Bad CSeq"),
        ("CSeq negative", replaced("CSeq: 1", "CSeq: -1"), "400 Missing Or Bad CSeq"),
        ("Max-Forwards negative", replaced("Max-Forwards: 70", "Max-Forwards: -1"), "400 Missing Or Bad Max-Forwards"),
        (
            "Max-Forwards giant",
            replaced("Max-Forwards: 70", format!("Max-Forwards: {}", "7".repeat(9000))),
            "400 Missing Or Bad Max-Forwards",
        ),
    ]);
}

#[test]
fn what_cannot_be_written_in_its_place_is_answered_so() {
    let more = "Contact: <sip:gw";
    hold(vec![
        ("port in the URI", replaced("@127.0.0.1 SIP", "@127.0.0.1:65536 SIP"), "400 Bad Request-URI"),
        ("port in From", replaced("carrier.example>", "carrier.example:70000>"), "400 Bad From"),
        ("port in Contact", replaced(":5080>", ":99999>"), "400 Bad Contact"),
        ("Contact torn", replaced(more, "Contact: <<sip:gw"), "400 Bad Contact"),
        ("Contact *", replaced(more, "Contact: *\r\nX: <sip:gw"), "400 Bad Contact"),
        ("headers in the URI", replaced("@127.0.0.1 SIP", "@127.0.0.1?From=x SIP"), "400 Headers In The Request-URI"),
        ("sips over UDP", replaced("INVITE sip:", "INVITE sips:"), "480 Temporarily Unavailable"),
        ("no version of SDP", replaced("v=0\r\n", "s=0\r\n"), "488 SDP Does Not Begin With v=0"),
        ("another version of SDP", replaced("v=0\r\n", "v=1\r\n"), "488 SDP Does Not Begin With v=0"),
        (
            "session timer in words",
            replaced("Max-Forwards", "Session-Expires: soon\r\nMax-Forwards"),
            "400 Bad Session-Expires",
        ),
        ("session timer negative", replaced("Max-Forwards", "x: -1\r\nMax-Forwards"), "400 Bad Session-Expires"),
        (
            "session timer giant",
            replaced("Max-Forwards", "Session-Expires: 99999999999\r\nMax-Forwards"),
            "400 Bad Session-Expires",
        ),
        ("least session timer", replaced("Max-Forwards", "Min-SE: abc\r\nMax-Forwards"), "400 Bad Min-SE"),
        ("scheme", replaced("INVITE sip:", "INVITE isbn:"), "416 Unsupported URI Scheme"),
        ("white space", replaced("INVITE sip", "INVITE  sip"), "400 Bad Request-Line"),
        ("tab", replaced("INVITE sip:", "INVITE sip:\t"), "400 Bad Request-Line"),
        ("torn UTF-8 in the URI", with_byte("INVITE sip:", "INVITE sip:@", 0xc3), "400 Bad Request-Line"),
        ("NUL in the URI", with_byte("INVITE sip:", "INVITE sip:@", 0), "400 Bad Request-Line"),
        ("NUL in a header", with_byte("Max-Forwards", "Subject: a@b\r\nMax-Forwards", 0), "400 NUL In A Header"),
        (
            "NUL in a name",
            with_byte("Max-Forwards", "Sub@ject: a\r\nMax-Forwards", 0),
            "400 Header Line Without A Name",
        ),
        (
            "white space in a name",
            replaced("Max-Forwards", "Sub ject: a\r\nMax-Forwards"),
            "400 Header Line Without A Name",
        ),
    ]);
}

#[test]
fn what_is_too_much_or_torn_is_answered_so_or_dropped() {
    let attributes = |count: usize| {
        let body = sdp("127.0.0.2", 7000, "8 0 101", "sendrecv") + &"a=x\n".repeat(count);
        Request { body: &body, ..Request::default() }.text().replace("\r\n", "\n").replace('\n', "\r\n").into_bytes()
    };
    let media = "v=0\n".to_owned() + &"m=audio 1 RTP/AVP 8\n".repeat(20);
    let media_lines =
        Request { body: &media, ..Request::default() }.text().replace("\r\n", "\n").replace('\n', "\r\n").into_bytes();
    hold(vec![
        ("no colon", replaced("Max-Forwards", "nonsense\r\nMax-Forwards"), "400 Header Line Without A Name"),
        (
            "long name",
            replaced("Max-Forwards", format!("{}: x\r\nMax-Forwards", "N".repeat(60_000))),
            "400 Header Name Too Long",
        ),
        (
            "many headers",
            replaced("Max-Forwards", format!("{}Max-Forwards", "X: y\r\n".repeat(9_000))),
            "400 Too Many Headers",
        ),
        (
            "many folds",
            replaced("Max-Forwards: 70", format!("Max-Forwards: 7{}", "\r\n 0".repeat(12_000))),
            "400 Missing Or Bad Max-Forwards",
        ),
        ("empty hops", replaced("Via: ", "Via: ,,,"), ""),
        ("empty hops behind", replaced("\r\nMax-Forwards", ",;,,\r\nMax-Forwards"), "400 Missing Or Bad Via"),
        (
            "bomb of hops",
            replaced("Max-Forwards", format!("v: SIP/2.0/UDP h{}\r\nMax-Forwards", ",SIP/2.0/UDP h".repeat(4_000))),
            "",
        ),
        ("no version", replaced(" SIP/2.0\r\nVia", "\r\nVia"), "400 Bad Request-Line"),
        ("version", replaced(" SIP/2.0\r\nVia", " SIP/2.1\r\nVia"), "505 Version Not Supported"),
        (
            "required",
            replaced("Max-Forwards", format!("Require: {}\r\nMax-Forwards", "a,".repeat(20_000))),
            "420 Bad Extension",
        ),
        ("many attributes", attributes(11_000), "488 SDP Empty Or Too Long"),
        ("media lines", media_lines, "488 Too Many Media Lines"),
        ("too long", vec![b'x'; MESSAGE_LENGTH_MAX + 1], ""),
        ("torn", invite().as_bytes().get(..60).expect("a head").to_vec(), ""),
    ]);
}

#[test]
fn bad_responses_are_dropped_and_counted() {
    let response = |status: &str| {
        format!(
            "SIP/2.0 {status} X\r\nVia: SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bKx\r\nFrom: <sip:a@b>;tag=1\r\n\
             To: <sip:c@d>;tag=2\r\nCall-ID: x\r\nCSeq: 1 INVITE\r\n\r\n"
        )
    };
    for status in ["0", "99", "700", "1000", "-200", "2147483648", "4294967496", "", "x"] {
        assert_eq!(take(TRUNK, response(status).into_bytes()), None, "{status}");
    }
    for (from, to) in [("CSeq: 1", "CSeq: 99999999999"), ("Via: ", "Vie: "), ("Call-ID: x", "Call-ID: x\r\ni: y")] {
        assert_eq!(take(TRUNK, response("200").replace(from, to).into_bytes()), None, "{to}");
    }
}

#[test]
fn what_is_odd_but_allowed_loses_no_call() {
    let quoted = with_byte("\"Jean\"", "\"J\\@\"", 0);
    let latin = with_byte("\"Jean\"", "\"Jos@\"", 0xe9);
    for (what, bytes) in [
        ("a quoted NUL", quoted),
        ("Latin-1", latin),
        ("folds", replaced("Max-Forwards: 70", "Max-Forwards\t :\r\n \r\n\t70")),
        ("a shorter body", [invite().into_bytes(), b"trailing octets".to_vec()].concat()),
        ("the same length twice", {
            let invite = invite();
            let line = invite.lines().find(|line| line.starts_with("Content-Length")).expect("a length").to_owned();
            invite.replace(&line, &format!("{line}\r\n{line}")).into_bytes()
        }),
        ("a colon without a port", replaced("carrier.example>", "carrier.example:>")),
        ("no Contact", replaced("Contact: ", "X-Contact: ")),
        ("Accept", replaced("Max-Forwards", "Accept: text/plain, application/SDP;level=1\r\nMax-Forwards")),
    ] {
        let mut bench = Bench::new();
        assert_eq!(statuses(&bench.receive_bytes(TRUNK, bytes)), ["100"], "{what}");
        assert_eq!(bench.signals().len(), 1, "{what}");
    }
}
