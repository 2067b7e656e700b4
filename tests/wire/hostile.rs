//! Bad input as a carrier could send it, over UDP and TCP: a 4xx with a reason or an end, in bounded time and memory, and
//! the same sender's calls go through afterwards.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream, UdpSocket};
use tokio::time::timeout;

use super::harness::{PATIENCE, free_port, local, until};
use super::link::Link;
use super::phone::Phone;
use super::server::{Server, Setup};
use super::text::{Text, token};

/// What all of it together may leave behind, in KiB: buffers, logs, and pages that the allocator keeps.
const MEMORY_MAX_KIB: u64 = 48 * 1024;

/// What a system takes in for a server that reads no more, in bytes: socket buffers of both ends.
const TAKEN_BYTES_MAX: usize = 16 << 20;

const SDP: &str = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 9000 RTP/AVP 8\r\n\
    a=rtpmap:8 PCMA/8000\r\n";

/// A request that is right, until a case spoils it; a character a byte.
struct Draft {
    start: String,
    headers: String,
    /// What is said of the body's kind and length; without it, the truth.
    about_body: Option<String>,
    kind: String,
    body: String,
}

impl Draft {
    fn invite(transport: &str, from: SocketAddr, to: SocketAddr) -> Draft {
        let (branch, ip) = (token(), from.ip());
        Draft {
            start: format!("INVITE sip:0261910101@{to} SIP/2.0\r\n"),
            headers: format!(
                "Via: SIP/2.0/{transport} {from};rport;branch=z9hG4bK{branch}\r\nMax-Forwards: 70\r\n\
                 From: <sip:+33612345678@{ip}>;tag=1\r\nTo: <sip:0261910101@{to}>\r\nCall-ID: {branch}\r\n\
                 CSeq: 1 INVITE\r\nContact: <sip:caller@{from}>\r\n"
            ),
            about_body: None,
            kind: "application/sdp".into(),
            body: SDP.into(),
        }
    }

    fn replace(&mut self, from: &str, to: &str) {
        assert!(self.headers.contains(from) || self.body.contains(from), "{from} is not there");
        self.headers = self.headers.replacen(from, to, 1);
        self.body = self.body.replacen(from, to, 1);
    }

    fn to_bytes(&self) -> Vec<u8> {
        let Draft { start, headers, about_body, kind, body } = self;
        let truth = format!("Content-Type: {kind}\r\nContent-Length: {}\r\n", body.chars().count());
        let about = about_body.as_ref().unwrap_or(&truth);
        Text(format!("{start}{headers}{about}\r\n{body}")).to_bytes()
    }
}

type Spoil = fn(&mut Draft);

/// What is wrong, how, and what it may be answered.
const CASES: [(&str, Spoil, &[u16]); 29] = [
    ("5,000 attributes", |draft| draft.body += &"a=x:y\r\n".repeat(5000), &[400, 413, 488]),
    ("10,000 headers", |draft| draft.headers += &"a:b\r\n".repeat(10_000), &[400]),
    ("a header name of 5,000 bytes", |draft| draft.headers += &format!("{}: y\r\n", "X".repeat(5000)), &[400]),
    ("a URI of 5,000 digits", |draft| draft.start = draft.start.replace("02619", &"1".repeat(5000)), &[400, 414]),
    ("a giant CSeq", |draft| draft.replace("CSeq: 1", "CSeq: 99999999999"), &[400]),
    ("a negative CSeq", |draft| draft.replace("CSeq: 1", "CSeq: -1"), &[400]),
    ("a CSeq of another method", |draft| draft.replace("1 INVITE", "1 BYE"), &[400]),
    ("negative Max-Forwards", |draft| draft.replace("Max-Forwards: 70", "Max-Forwards: -1"), &[400]),
    ("giant Max-Forwards", |draft| draft.replace("Max-Forwards: 70", "Max-Forwards: 99999999999"), &[400]),
    ("From twice, once compact", |draft| draft.headers += "f: <sip:+33600000000@h>;tag=2\r\n", &[400]),
    ("To twice, once compact", |draft| draft.headers += "t: <sip:0261910103@h>\r\n", &[400]),
    ("Call-ID twice, once compact", |draft| draft.headers += "i: another\r\n", &[400]),
    ("CSeq twice", |draft| draft.headers += "CSeq: 2 INVITE\r\n", &[400]),
    ("Content-Type twice", |draft| draft.headers += "c: text/plain\r\n", &[400, 415]),
    ("two lengths", |draft| draft.headers += "l: 3\r\n", &[400]),
    ("a negative length", |draft| draft.about_body = Some("Content-Length: -5\r\n".into()), &[400]),
    ("a giant length", |draft| draft.about_body = Some("l: 99999999999999999999\r\n".into()), &[400]),
    ("no From", |draft| draft.replace("From: <sip:+33612345678@", "X: <sip:"), &[400]),
    ("a header that is none", |draft| draft.headers += "\u{1}\u{0}\u{ff}\r\n", &[400]),
    ("an empty multipart", |draft| (draft.kind, draft.body) = ("multipart/mixed;boundary=b".into(), "".into()), &[400]),
    (
        "a multipart of no part",
        |draft| (draft.kind, draft.body) = ("multipart/mixed;boundary=b".into(), "--b--\r\n".into()),
        &[400],
    ),
    ("a multipart without boundary", |draft| draft.kind = "multipart/mixed".into(), &[400]),
    (
        "a multipart of a thousand parts",
        |draft| {
            (draft.kind, draft.body) =
                ("multipart/mixed;boundary=b".into(), "--b\r\n\r\nx\r\n".repeat(1000) + "--b--\r\n")
        },
        &[400],
    ),
    ("a negative port", |draft| draft.replace("m=audio 9000", "m=audio -1"), &[400, 488]),
    ("a giant port", |draft| draft.replace("m=audio 9000", "m=audio 99000"), &[400, 488]),
    ("no media", |draft| draft.replace("m=audio", "x=audio"), &[400, 488]),
    ("a thousand media", |draft| draft.body += &"m=audio 9 RTP/AVP 8\r\n".repeat(500), &[400, 488]),
    ("a torn address", |draft| draft.replace("c=IN IP4 127.0.0.1", "c=IN IP4 \u{ff}\u{fe}"), &[400, 488]),
    ("SDP of zeros", |draft| draft.body = "\0".repeat(300), &[400, 488]),
];

/// What may look odd and is right: white space, line folding, compact names, text that is not UTF-8 where any may be.
const ODD_BUT_RIGHT: [(&str, Spoil); 7] = [
    // RFC 2543 had no tags.
    ("no tag", |draft| draft.replace(";tag=1", "")),
    ("a torn URI of the caller", |draft| draft.replace("<sip:+33", "<sip:\u{c3}\u{28}")),
    ("white space", |draft| draft.replace("CSeq: 1 INVITE", "CSeq  : \t 1 \t INVITE  ")),
    ("a folded line", |draft| draft.replace("From: <sip", "From:\r\n  \t<sip")),
    ("compact names", |draft| {
        draft.replace("From:", "f:");
        draft.replace("Call-ID:", "i :");
    }),
    ("a torn name", |draft| draft.replace("From: <sip", "From: \"Ren\u{e9} \u{c3}(\" <sip")),
    ("a torn subject", |draft| draft.headers += "Subject: \u{ff}\u{fe}\u{c0}\u{80}\r\n"),
];

/// A server with a TCP listener, and that one's address.
async fn start() -> (Server, SocketAddr) {
    let tcp = local(free_port());
    let setup = Setup::new().listening(&format!("\"tcp:{tcp}\""));
    (setup.change("digest = \"md5\"", "digest = \"md5\"\nmessage_duration_max = \"1s\"").start().await, tcp)
}

async fn connect(from: IpAddr, to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind((from, 0).into()).expect("an address of its own");
    socket.connect(to).await.expect("connected")
}

/// The first final answer among what came.
fn final_status(heard: &[u8]) -> Option<u16> {
    let text = String::from_utf8_lossy(heard);
    let statuses = text.match_indices("SIP/2.0 ").filter(|(at, _)| *at == 0 || text[..*at].ends_with("\r\n\r\n"));
    statuses.filter_map(|(at, begin)| text.get(at + begin.len()..)?.get(..3)?.parse().ok()).find(|one| *one >= 200)
}

/// Sends one datagram; its final answer, which must come.
async fn ask_udp(from: IpAddr, to: SocketAddr, spoil: Spoil) -> Option<u16> {
    let socket = UdpSocket::bind((from, 0)).await.expect("a socket");
    let mut draft = Draft::invite("UDP", socket.local_addr().expect("an address"), to);
    spoil(&mut draft);
    socket.send_to(&draft.to_bytes(), to).await.expect("sent");
    let mut buffer = vec![0; 65_536];
    loop {
        let received = timeout(PATIENCE, socket.recv_from(&mut buffer)).await.ok()?;
        let (length, _) = received.expect("received");
        if let Some(status) = final_status(&buffer[..length]) {
            return Some(status);
        }
    }
}

/// Sends bytes on a connection of their own; the final answer, if any comes before the end.
async fn ask_tcp(mut connection: TcpStream, bytes: &[u8]) -> Option<u16> {
    let (mut reader, mut writer) = connection.split();
    let mut heard = Vec::new();
    let listening = async {
        let mut buffer = [0; 4096];
        loop {
            match timeout(PATIENCE, reader.read(&mut buffer)).await {
                Ok(Ok(0) | Err(_)) | Err(_) => return None,
                Ok(Ok(length)) => heard.extend_from_slice(&buffer[..length]),
            }
            if let Some(status) = final_status(&heard) {
                return Some(status);
            }
        }
    };
    let writing = async {
        // The server hangs up amid it where it has seen enough.
        let _ = writer.write_all(bytes).await;
        std::future::pending::<()>().await;
    };
    tokio::select! { status = listening => status, () = writing => None }
}

async fn ask_tcp_spoilt(from: IpAddr, to: SocketAddr, spoil: Spoil) -> Option<u16> {
    let connection = connect(from, to).await;
    let mut draft = Draft::invite("TCP", connection.local_addr().expect("an address"), to);
    spoil(&mut draft);
    ask_tcp(connection, &draft.to_bytes()).await
}

/// A call over UDP and one over TCP, from the carrier's address.
async fn calls_go_through(server: &Server, tcp: SocketAddr) {
    let anne = Phone::regulator(server, "anne").await;
    for is_over_tcp in [false, true] {
        server.api.regulator_is("anne", "ready").await;
        let caller = match is_over_tcp {
            false => Phone::caller(server, "+33612345678").await,
            true => Phone::over(Link::tcp_from(server.centre.place.trunk, tcp).await, tcp, "+33687654321").await,
        };
        caller.dial_in("0261910101").await;
        anne.talks().await;
        anne.voice.hears(440.0, 200).await;
        caller.hang_up().await;
        anne.is_over().await;
    }
    server.api.lives(0).await;
}

#[tokio::test]
async fn what_a_carrier_garbles_is_refused_with_a_4xx_over_udp_and_tcp_and_its_calls_go_through() {
    let (server, tcp) = start().await;
    let (udp, carrier) = (server.centre.sip, server.centre.place.trunk);
    let memory = server.process.memory_kib();
    let mut wrong = Vec::new();
    for (name, spoil, answers) in CASES {
        for (way, status) in
            [("UDP", ask_udp(carrier, udp, spoil).await), ("TCP", ask_tcp_spoilt(carrier, tcp, spoil).await)]
        {
            if !status.is_some_and(|status| answers.contains(&status)) {
                wrong.push(format!("{name} over {way}: {status:?}, expected {answers:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(server.api.calls().await.is_empty(), "none of them became a call");
    let grown = server.process.memory_kib().saturating_sub(memory);
    assert!(grown <= MEMORY_MAX_KIB, "{grown} KiB more");
    calls_go_through(&server, tcp).await;
}

#[tokio::test]
async fn a_head_too_large_to_be_answered_is_dropped_and_counted() {
    let (server, tcp) = start().await;
    let carrier = server.centre.place.trunk;
    let malformed = server.metric("vigie_sip_malformed_total").await;
    // What an answer repeats is limited: a small datagram shall not be turned into many.
    let spoil: Spoil = |draft| draft.replace("<sip:+33", &format!("\"{}\" <sip:+33", "x".repeat(50_000)));
    let socket = UdpSocket::bind((carrier, 0)).await.expect("a socket");
    let mut draft = Draft::invite("UDP", socket.local_addr().expect("an address"), server.centre.sip);
    spoil(&mut draft);
    socket.send_to(&draft.to_bytes(), server.centre.sip).await.expect("sent");
    let mut over_tcp = connect(carrier, tcp).await;
    let mut draft = Draft::invite("TCP", over_tcp.local_addr().expect("an address"), tcp);
    spoil(&mut draft);
    over_tcp.write_all(&draft.to_bytes()).await.expect("written");
    until("both are counted", || async {
        (server.metric("vigie_sip_malformed_total").await == malformed + 2.0).then_some(())
    })
    .await;
    calls_go_through(&server, tcp).await;
}

#[tokio::test]
async fn what_only_looks_odd_is_taken() {
    let (server, tcp) = start().await;
    let (udp, carrier) = (server.centre.sip, server.centre.place.trunk);
    let _anne = Phone::regulator(&server, "anne").await;
    for (name, spoil) in ODD_BUT_RIGHT {
        assert_eq!(ask_udp(carrier, udp, spoil).await, Some(200), "{name} over UDP");
        assert_eq!(ask_tcp_spoilt(carrier, tcp, spoil).await, Some(200), "{name} over TCP");
    }
}

#[tokio::test]
async fn what_never_ends_over_tcp_is_cut_in_bounded_time_and_memory() {
    let (server, tcp) = start().await;
    let carrier = server.centre.place.trunk;
    let memory = server.process.memory_kib();

    // 100,000 attributes, announced as they are: several megabytes.
    let status =
        ask_tcp_spoilt(carrier, tcp, |draft| draft.body += &"a=fmtp:8 something=1;other=2\r\n".repeat(100_000));
    assert!(matches!(status.await, Some(400 | 413 | 513)), "100,000 attributes");

    // A header line without an end, and headers without an end.
    for piece in ["x".repeat(8192), "X-More: y\r\n".repeat(700)] {
        let mut connection = connect(carrier, tcp).await;
        connection.write_all(b"INVITE sip:0261910101@h SIP/2.0\r\nSubject: ").await.expect("written");
        let mut taken = 0;
        while connection.write_all(piece.as_bytes()).await.is_ok() {
            taken += piece.len();
            assert!(taken <= TAKEN_BYTES_MAX, "still taken after {taken} bytes");
        }
    }

    // Nothing at all, a head that does not go on, one that comes byte by byte, and a body that does not come.
    let silent = connect(carrier, tcp).await;
    assert_eq!(ask_tcp(silent, b"").await, None);
    let halting = connect(carrier, tcp).await;
    assert_eq!(ask_tcp(halting, b"INVITE sip:0261910101@h SIP/2.0\r\nVia: ").await, None);
    assert!(drips_until_cut(connect(carrier, tcp).await).await, "cut before its message was whole");
    let status = ask_tcp_spoilt(carrier, tcp, |draft| draft.about_body = Some("Content-Length: 5000\r\n".into())).await;
    assert_eq!(status, None, "a body that does not come");

    let grown = server.process.memory_kib().saturating_sub(memory);
    assert!(grown <= MEMORY_MAX_KIB, "{grown} KiB more");
    assert!(server.api.calls().await.is_empty(), "none of them became a call");
    calls_go_through(&server, tcp).await;
}

/// Sends a request byte by byte; whether the connection ended before it was whole.
async fn drips_until_cut(mut connection: TcpStream) -> bool {
    let draft = Draft::invite("TCP", connection.local_addr().expect("an address"), local(5060));
    for byte in draft.to_bytes() {
        let mut answer = [0; 1];
        // Every tenth of a second a byte, until the far end has hung up.
        match timeout(Duration::from_millis(100), connection.read(&mut answer)).await {
            Ok(Ok(0) | Err(_)) => return true,
            Ok(Ok(_)) => return false,
            Err(_) => {}
        }
        if connection.write_all(&[byte]).await.is_err() {
            return true;
        }
    }
    false
}

#[tokio::test]
async fn who_a_phone_says_it_is_is_believed_of_carriers_alone() {
    let (server, _) = start().await;
    let anne = Phone::regulator(&server, "anne").await;
    let bruno = Phone::regulator(&server, "bruno").await;
    let claim =
        "P-Asserted-Identity: <sip:+33199000000@evil.example>\r\nHistory-Info: <sip:+33199000001@h>;index=1\r\n";
    anne.claims(claim);
    anne.dial_as(&server.password("anne"), "bruno").await;
    bruno.talks().await;
    let invite = bruno.receives("INVITE").await;
    assert!(!invite.0.contains("1990000"), "{}", invite.0);
    bruno.hang_up().await;

    // The same header of a carrier says who calls.
    let caller = Phone::caller(&server, "+33612345678").await;
    caller.claims("P-Asserted-Identity: <sip:+33612345679@carrier>\r\n");
    server.api.regulator_is("anne", "ready").await;
    caller.dial_in("0261910101").await;
    let call = server.api.calls().await[0].clone();
    assert!(call.to_string().contains("+33612345679"), "{call:#}");
    caller.hang_up().await;
}
