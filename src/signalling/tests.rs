//! Signalling on real sockets of loopback: streams cut in pieces, limits, keep-alives, connections made and lost.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::config::settings::ListenerSettings;

mod secure;
mod websockets;

/// Far longer than anything takes that is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

const OPTIONS: &str = "OPTIONS sip:vigie SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1:9;branch=z9hG4bK1\r\n\
    From: <sip:a@b>;tag=1\r\nTo: <sip:vigie>\r\nCall-ID: c\r\nCSeq: 1 OPTIONS\r\nContent-Length: 4\r\n\r\nbody";

pub(super) fn settings(listen: Vec<ListenerSettings>) -> SipSettings {
    SipSettings {
        listen,
        advertised: None,
        realm: "vigie".into(),
        expires_min: Duration::from_secs(60),
        expires_max: Duration::from_secs(3600),
        nonce_lifetime: Duration::from_secs(300),
        session_expires: Duration::from_secs(1800),
        session_expires_min: Duration::from_secs(90),
        devices_max: 4,
        source_rate_max: 100,
        account_rate_max: 64,
        connections_max: 100,
        message_duration_max: Duration::from_secs(10),
        connection_idle_max: Duration::from_secs(3600),
        bans: crate::model::centre::BanRules::default(),
        calls_max: 5000,
        urgent_priority: 0,
        nameservers: Vec::new(),
    }
}

pub(super) fn listener(transport: Transport) -> ListenerSettings {
    ListenerSettings::new(transport, "127.0.0.1:0".parse().expect("an address"))
}

/// Signalling that runs, and what it tells.
pub(super) struct Running {
    pub sender: Sender,
    pub addresses: Vec<SocketAddr>,
    /// What its TLS listeners show.
    pub identities: Vec<Arc<Identity>>,
    reports: Mutex<Receiver<Report>>,
    _signalling: Signalling,
}

impl Running {
    pub(super) fn start(settings: &SipSettings, trunks: &[&str]) -> Running {
        let listeners = Listeners::bind(settings).unwrap_or_else(|error| panic!("{error}"));
        let (addresses, sender) = (listeners.addresses().to_vec(), listeners.sender());
        let identities = listeners.streams.iter().filter_map(|(door, _)| door.identity.clone()).collect();
        let (tell, reports) = channel();
        let tell = Mutex::new(tell);
        let trunks = trunks.iter().map(|block| AddressBlock::parse(block).expect("a block")).collect();
        let _signalling = listeners
            .start(trunks, move |_: &Sender, report| tell.lock().expect("whole").send(report).expect("open"))
            .expect("started");
        Running { sender, addresses, identities, reports: Mutex::new(reports), _signalling }
    }

    pub(super) fn of(transport: Transport) -> Running {
        Running::start(&settings(vec![listener(transport)]), &[])
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.addresses[0]
    }

    async fn report(&self) -> Report {
        tokio::task::block_in_place(|| {
            self.reports.lock().expect("whole").recv_timeout(PATIENCE).expect("something is told")
        })
    }

    pub(super) async fn received(&self) -> (Path, Bytes) {
        match self.report().await {
            Report::Received(received) => (received.path, received.bytes),
            Report::Cut { path, why } => panic!("{path:?} was cut: {why}"),
        }
    }

    pub(super) async fn cut(&self) -> (Path, String) {
        match self.report().await {
            Report::Cut { path, why } => (path, why),
            Report::Received(received) => panic!("{received:?}"),
        }
    }

    pub(super) fn is_silent(&self) -> bool {
        self.reports.lock().expect("whole").try_recv().is_err()
    }
}

async fn read_some(stream: &mut (impl tokio::io::AsyncRead + Unpin), length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    tokio::time::timeout(PATIENCE, stream.read_exact(&mut bytes)).await.expect("in time").expect("read");
    bytes
}

async fn read_all(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> String {
    let mut bytes = Vec::new();
    tokio::time::timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.expect("in time").expect("read");
    String::from_utf8(bytes).expect("text")
}

#[test]
fn a_port_in_use_is_named() {
    let taken = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("its address");
    let settings = settings(vec![ListenerSettings::new(Transport::Udp, address)]);
    let error = Listeners::bind(&settings).err().expect("it is in use");
    assert!(error.to_string().contains(&format!("UDP {address}")), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_datagram_is_handed_over_answered_and_a_ping_gets_its_pong() {
    let running = Running::of(Transport::Udp);
    let phone = tokio::net::UdpSocket::bind("127.0.0.1:0").await.expect("a port");
    phone.connect(running.address()).await.expect("connected");
    let mut buffer = [0; 100];
    phone.send(b"\r\n\r\n").await.expect("sent");
    assert_eq!(phone.recv(&mut buffer).await.expect("answered"), 2);
    phone.send(b"\r\n").await.expect("sent");
    phone.send(b"OPTIONS sip:x SIP/2.0\r\n\r\n").await.expect("sent");
    let (path, bytes) = running.received().await;
    assert!(bytes.starts_with(b"OPTIONS"), "{bytes:?}");
    running.sender.send(path, &Bytes::from_static(b"SIP/2.0 200 OK\r\n\r\n"));
    assert_eq!(phone.recv(&mut buffer).await.expect("answered"), 18);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_read_byte_by_byte_and_several_messages_at_once() {
    let running = Running::of(Transport::Tcp);
    let mut phone = TcpStream::connect(running.address()).await.expect("connected");
    for byte in OPTIONS.as_bytes() {
        phone.write_all(&[*byte]).await.expect("written");
    }
    let (path, bytes) = running.received().await;
    assert_eq!((path.peer, &bytes[..]), (phone.local_addr().expect("its address"), OPTIONS.as_bytes()));
    let three = format!("{OPTIONS}\r\n\r\n{OPTIONS}\r\n{OPTIONS}");
    phone.write_all(three.as_bytes()).await.expect("written");
    for _ in 0..3 {
        assert_eq!(running.received().await.1, OPTIONS.as_bytes());
    }
    assert_eq!(read_some(&mut phone, 2).await, b"\r\n");
    running.sender.send(path, &Bytes::from_static(b"SIP/2.0 200 OK\r\n\r\n"));
    assert_eq!(read_some(&mut phone, 18).await, b"SIP/2.0 200 OK\r\n\r\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_larger_than_a_datagram_is_read_up_to_the_limit() {
    let running = Running::of(Transport::Tcp);
    let mut phone = TcpStream::connect(running.address()).await.expect("connected");
    let body = "x".repeat(65_000);
    let large = OPTIONS.replace("Content-Length: 4\r\n\r\nbody", &format!("Content-Length: 65000\r\n\r\n{body}"));
    phone.write_all(large.as_bytes()).await.expect("written");
    assert_eq!(running.received().await.1, large.as_bytes());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_length_that_cannot_be_is_answered_400_and_the_connection_closed() {
    let running = Running::of(Transport::Tcp);
    for length in
        ["", "Content-Length: -1\r\n", "Content-Length: 4000000000\r\n", "Content-Length: 99999999999999999999999\r\n"]
    {
        let mut phone = TcpStream::connect(running.address()).await.expect("connected");
        let torn = OPTIONS.replace("Content-Length: 4\r\n", length);
        phone.write_all(torn.as_bytes()).await.expect("written");
        let answer = read_all(&mut phone).await;
        assert!(answer.starts_with("SIP/2.0 400 "), "{length}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_comes_too_slowly_is_not_waited_for() {
    let mut settings = settings(vec![listener(Transport::Tcp)]);
    settings.message_duration_max = Duration::from_secs(1);
    let running = Running::start(&settings, &[]);
    let mut silent = TcpStream::connect(running.address()).await.expect("connected");
    let slow = TcpStream::connect(running.address()).await.expect("connected");
    let (mut heard, mut said) = slow.into_split();
    // A byte now and then never lets the connection be idle.
    let drip = tokio::spawn(async move {
        for byte in OPTIONS.as_bytes().iter().cycle().take(4000) {
            if said.write_all(&[*byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(if *byte == b'\r' { 500 } else { 60 })).await;
        }
    });
    assert_eq!(read_all(&mut silent).await, "");
    assert_eq!(heard.read(&mut [0; 9]).await.unwrap_or(0), 0);
    drip.abort();
    assert!(running.is_silent());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_connection_is_told_once_and_only_of_one_that_spoke() {
    let running = Running::of(Transport::Tcp);
    drop(TcpStream::connect(running.address()).await.expect("connected"));
    let mut phone = TcpStream::connect(running.address()).await.expect("connected");
    phone.write_all(OPTIONS.as_bytes()).await.expect("written");
    let (path, _) = running.received().await;
    drop(phone);
    let (cut, why) = running.cut().await;
    assert_eq!((cut, why.as_str()), (path, "the far end closed the connection"));
    assert!(running.is_silent());
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_of_one_source_are_limited_and_a_trunks_are_not() {
    let mut tight = listener(Transport::Tcp);
    tight.connections_per_source_max = 2;
    let tight = settings(vec![tight]);
    let (open, trunk) = (Running::start(&tight, &[]), Running::start(&tight, &["127.0.0.1"]));
    let mut kept = Vec::new();
    for _ in 0..3 {
        let mut phone = TcpStream::connect(trunk.address()).await.expect("connected");
        phone.write_all(OPTIONS.as_bytes()).await.expect("written");
        trunk.received().await;
        kept.push(phone);
    }
    for _ in 0..2 {
        let mut phone = TcpStream::connect(open.address()).await.expect("connected");
        phone.write_all(OPTIONS.as_bytes()).await.expect("written");
        open.received().await;
        kept.push(phone);
    }
    let mut third = TcpStream::connect(open.address()).await.expect("connected");
    assert_eq!(third.read(&mut [0; 9]).await.expect("closed"), 0);
    kept.truncate(4);
    open.cut().await;
    let mut fourth = TcpStream::connect(open.address()).await.expect("connected");
    fourth.write_all(OPTIONS.as_bytes()).await.expect("written");
    open.received().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_banned_source_is_cut_off_at_once_and_taken_again_when_the_ban_is_lifted() {
    let running = Running::of(Transport::Tcp);
    let mut phone = TcpStream::connect(running.address()).await.expect("connected");
    phone.write_all(OPTIONS.as_bytes()).await.expect("written");
    let (path, _) = running.received().await;
    running.sender.ban(path.peer.ip(), Some(Moment(u64::MAX)));
    assert_eq!(running.cut().await.0, path);
    assert_eq!(read_all(&mut phone).await, "");
    let mut again = TcpStream::connect(running.address()).await.expect("connected");
    assert_eq!(read_all(&mut again).await, "");
    running.sender.ban(path.peer.ip(), None);
    let mut again = TcpStream::connect(running.address()).await.expect("connected");
    again.write_all(OPTIONS.as_bytes()).await.expect("written");
    running.received().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_goes_out_over_a_new_connection_and_the_next_over_the_same() {
    let running = Running::of(Transport::Tcp);
    let trunk = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let peer = trunk.local_addr().expect("its address");
    let path = Path { listener: 0, transport: Transport::Tcp, peer };
    for _ in 0..3 {
        running.sender.send(path, &Bytes::from_static(OPTIONS.as_bytes()));
    }
    let (mut inside, from) = trunk.accept().await.expect("one connection");
    assert_eq!(from.ip(), running.address().ip());
    assert_eq!(read_some(&mut inside, OPTIONS.len() * 3).await, OPTIONS.repeat(3).as_bytes());
    inside.write_all(OPTIONS.as_bytes()).await.expect("written");
    assert_eq!(running.received().await.0, path);
    drop(inside);
    assert_eq!(running.cut().await.0, path);
    running.sender.send(path, &Bytes::from_static(OPTIONS.as_bytes()));
    trunk.accept().await.expect("a second connection");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_cannot_be_made_is_told() {
    let running = Running::of(Transport::Tcp);
    let nobody = TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("its address");
    let path = Path { listener: 0, transport: Transport::Tcp, peer: nobody };
    running.sender.send(path, &Bytes::from_static(OPTIONS.as_bytes()));
    let (cut, why) = running.cut().await;
    assert_eq!(cut, path);
    assert!(why.contains("refused"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_far_end_that_does_not_read_is_cut_before_it_fills_the_memory() {
    let running = Running::of(Transport::Tcp);
    let mut phone = TcpStream::connect(running.address()).await.expect("connected");
    phone.write_all(OPTIONS.as_bytes()).await.expect("written");
    let (path, _) = running.received().await;
    let large = Bytes::from(vec![b'x'; 60_000]);
    // Until the kernel's buffers and the queue are full: at most some 10 MB.
    for _ in 0..1000 {
        running.sender.send(path, &large);
        if !running.is_silent_but_for_a_cut() {
            return;
        }
    }
    panic!("60 MB were queued");
}

impl Running {
    async fn is_from_trunk(&self) -> bool {
        match self.report().await {
            Report::Received(received) => received.from_trunk,
            Report::Cut { path, why } => panic!("{path:?} was cut: {why}"),
        }
    }

    fn is_silent_but_for_a_cut(&self) -> bool {
        match self.reports.lock().expect("whole").try_recv() {
            Ok(Report::Cut { why, .. }) => {
                assert!(why.contains("does not read"), "{why}");
                false
            }
            Ok(Report::Received(received)) => panic!("{received:?}"),
            Err(_) => true,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_from_a_trunk_is_told_as_its_own_configured_or_looked_up() {
    let udp = || settings(vec![listener(Transport::Udp)]);
    let looked_up = Running::start(&udp(), &[]);
    for (running, expected) in [(Running::start(&udp(), &["127.0.0.1"]), true), (looked_up, false)] {
        let phone = tokio::net::UdpSocket::bind("127.0.0.1:0").await.expect("a port");
        phone.send_to(OPTIONS.as_bytes(), running.address()).await.expect("sent");
        assert_eq!(running.is_from_trunk().await, expected);
        running.sender.know_trunk(&TrunkId::from("carrier"), vec![IpAddr::from([127, 0, 0, 1])]);
        phone.send_to(OPTIONS.as_bytes(), running.address()).await.expect("sent");
        assert!(running.is_from_trunk().await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_queued_at_the_end_is_written_before_the_connection_closes() {
    let running = Running::of(Transport::Tcp);
    let mut phone = TcpStream::connect(running.address()).await.expect("connected");
    phone.write_all(OPTIONS.as_bytes()).await.expect("written");
    let (path, _) = running.received().await;
    running.sender.send(path, &Bytes::from_static(b"SIP/2.0 503 Stopping\r\n\r\n"));
    let Running { _signalling, .. } = running;
    tokio::task::block_in_place(|| _signalling.stop());
    assert_eq!(read_all(&mut phone).await, "SIP/2.0 503 Stopping\r\n\r\n");
}
