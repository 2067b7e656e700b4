//! Look-ups against a DNS server of the test's own, on loopback.

use std::collections::HashMap;
use std::net::{Ipv4Addr, UdpSocket};
use std::sync::{Arc, Mutex};

use super::*;
use crate::config::certificates::CertificateFiles;

/// The records of a small DNS: by name and type, each as its wire form. Where there are none, it fails (SERVFAIL).
type Zone = HashMap<(String, u16), Vec<Vec<u8>>>;

const A: u16 = 1;
const AAAA: u16 = 28;
const SRV: u16 = 33;
const NAPTR: u16 = 35;

/// A DNS server; it is silent while `zone` is `None`.
struct Dns {
    address: SocketAddr,
    zone: Arc<Mutex<Option<Zone>>>,
}

impl Dns {
    fn start(zone: Zone, ttl: u32) -> Dns {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let address = socket.local_addr().expect("its address");
        let zone = Arc::new(Mutex::new(Some(zone)));
        let answered = zone.clone();
        std::thread::spawn(move || {
            let mut buffer = [0; 512];
            while let Ok((length, peer)) = socket.recv_from(&mut buffer) {
                let zone = answered.lock().expect("a zone");
                if let Some(zone) = zone.as_ref() {
                    socket.send_to(&answer(&buffer[..length], zone, ttl), peer).expect("sent");
                }
            }
        });
        Dns { address, zone }
    }

    fn names(&self) -> Names {
        Names { nameservers: vec![self.address], transports: vec![Transport::Udp, Transport::Tcp, Transport::Tls] }
    }
}

/// RFC 1035 §4.1: the question copied, and what the zone has for it.
fn answer(query: &[u8], zone: &Zone, ttl: u32) -> Vec<u8> {
    let (mut at, mut name) = (12, String::new());
    while query[at] != 0 {
        let length = query[at] as usize;
        name += &String::from_utf8_lossy(&query[at + 1..=at + length]).to_ascii_lowercase();
        name.push('.');
        at += length + 1;
    }
    let kind = u16::from_be_bytes([query[at + 1], query[at + 2]]);
    let none = Vec::new();
    let records = zone.get(&(name, kind));
    let code = if records.is_some_and(Vec::is_empty) { 2 } else { 0 };
    let records = records.unwrap_or(&none);
    let mut out = query[..2].to_vec();
    out.extend([0x84, code, 0, 1, 0, records.len() as u8, 0, 0, 0, 0]);
    out.extend(&query[12..at + 5]);
    for data in records {
        out.extend([0xc0, 12]);
        out.extend(kind.to_be_bytes());
        out.extend([0, 1]);
        out.extend(ttl.to_be_bytes());
        out.extend((data.len() as u16).to_be_bytes());
        out.extend(data);
    }
    out
}

fn name(text: &str) -> Vec<u8> {
    let labels = text.split('.').filter(|label| !label.is_empty());
    labels.flat_map(|label| [&[label.len() as u8], label.as_bytes()].concat()).chain([0]).collect()
}

fn srv(priority: u16, weight: u16, port: u16, target: &str) -> Vec<u8> {
    [priority, weight, port].into_iter().flat_map(u16::to_be_bytes).chain(name(target)).collect()
}

fn naptr(order: u16, service: &str, replacement: &str) -> Vec<u8> {
    let text = |text: &str| [&[text.len() as u8], text.as_bytes()].concat();
    let numbers = [order, 10].into_iter().flat_map(u16::to_be_bytes).collect();
    [numbers, text("s"), text(service), text(""), name(replacement)].concat()
}

fn a(last: u8) -> Vec<u8> {
    Ipv4Addr::new(192, 0, 2, last).octets().to_vec()
}

fn zone(records: &[(&str, u16, Vec<u8>)]) -> Zone {
    let mut zone = Zone::new();
    for (name, kind, data) in records {
        zone.entry((format!("{name}."), *kind)).or_default().push(data.clone());
    }
    zone
}

fn reach(port: Option<u16>, transport: Option<Transport>) -> TrunkReach {
    TrunkReach { host: "carrier.example".into(), port, transport }
}

async fn find(dns: &Dns, reach: TrunkReach) -> Result<Vec<String>, String> {
    let found = look_up(&reach, &dns.names(), &mut Chance::from_number(1)).await;
    let show = |target: &Target| format!("{}:{}", target.transport.name(), target.address);
    found.map(|found| found.targets.iter().map(show).collect()).map_err(|error| error.to_string())
}

#[tokio::test]
async fn naptr_chooses_the_transports_srv_the_places_and_a_their_addresses() {
    let dns = Dns::start(
        zone(&[
            ("carrier.example", NAPTR, naptr(20, "SIP+D2U", "_sip._udp.carrier.example")),
            ("carrier.example", NAPTR, naptr(10, "SIPS+D2T", "_sips._tcp.carrier.example")),
            ("carrier.example", NAPTR, naptr(5, "E2U+sip", "elsewhere.example")),
            ("_sips._tcp.carrier.example", SRV, srv(2, 0, 5071, "b.carrier.example")),
            ("_sips._tcp.carrier.example", SRV, srv(1, 0, 5061, "a.carrier.example")),
            ("_sip._udp.carrier.example", SRV, srv(1, 0, 5060, "a.carrier.example")),
            ("a.carrier.example", A, a(1)),
            ("b.carrier.example", A, a(2)),
        ]),
        300,
    );
    let expected = ["tls:192.0.2.1:5061", "tls:192.0.2.2:5071", "udp:192.0.2.1:5060"];
    assert_eq!(find(&dns, reach(None, None)).await.expect("found"), expected);
    assert_eq!(find(&dns, reach(None, Some(Transport::Udp))).await.expect("found"), ["udp:192.0.2.1:5060"]);
    let mut names = dns.names();
    names.transports = vec![Transport::Udp];
    let found = look_up(&reach(None, None), &names, &mut Chance::from_number(1)).await.expect("found");
    assert!(found.targets.iter().all(|target| target.transport == Transport::Udp), "no listener carries TLS");
    assert_eq!(found.age_max, Duration::from_secs(300));
}

#[tokio::test]
async fn without_srv_or_with_a_port_the_names_own_addresses_count() {
    let dns = Dns::start(zone(&[("carrier.example", A, a(7)), ("carrier.example", A, a(8))]), 60);
    let plain = find(&dns, reach(None, None)).await.expect("found");
    assert_eq!(plain, ["udp:192.0.2.7:5060", "udp:192.0.2.8:5060"]);
    let secure = find(&dns, reach(None, Some(Transport::Tls))).await.expect("found");
    assert_eq!(secure, ["tls:192.0.2.7:5061", "tls:192.0.2.8:5061"]);
    let port = find(&dns, reach(Some(5080), Some(Transport::Tcp))).await.expect("found");
    assert_eq!(port, ["tcp:192.0.2.7:5080", "tcp:192.0.2.8:5080"]);
}

#[tokio::test]
async fn what_cannot_be_asked_loses_nothing_of_what_was_found() {
    let mut zone = zone(&[
        ("_sip._udp.carrier.example", SRV, srv(1, 0, 5060, "a.carrier.example")),
        ("_sip._udp.carrier.example", SRV, srv(2, 0, 5070, "b.carrier.example")),
        ("b.carrier.example", A, a(8)),
    ]);
    for (name, kind) in [("a.carrier.example.", A), ("a.carrier.example.", AAAA), ("b.carrier.example.", AAAA)] {
        zone.insert((name.to_owned(), kind), Vec::new());
    }
    let dns = Dns::start(zone, 60);
    assert_eq!(find(&dns, reach(None, Some(Transport::Udp))).await.expect("found"), ["udp:192.0.2.8:5070"]);
}

#[tokio::test]
async fn a_name_that_is_not_there_is_told_and_so_is_a_dns_that_is_silent() {
    let dns = Dns::start(Zone::new(), 60);
    let why = find(&dns, reach(None, None)).await.expect_err("nothing there");
    assert!(why.contains("DNS knows no place of carrier.example"), "{why}");
    *dns.zone.lock().expect("a zone") = None;
    let why = find(&dns, reach(Some(5060), None)).await.expect_err("silence");
    assert!(why.contains("looking up carrier.example failed"), "{why}");
}

#[tokio::test]
async fn a_look_up_that_is_asked_for_follows_and_what_it_finds_is_a_trunks_address() {
    let dns = Dns::start(zone(&[("carrier.example", A, a(7))]), 1);
    let trunk = TrunkId::from("carrier");
    let resolver = Resolver::new([&trunk].into_iter());
    let listeners = super::super::Listeners::bind(&super::super::tests::settings(Vec::new())).expect("bound");
    let (sender, (stop, stopped)) = (listeners.sender(), watch::channel(false));
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let tls = TlsPeer { name: "carrier.example".into(), ca: None, own: None::<CertificateFiles> };
    let reached = Reached { trunk: trunk.clone(), reach: reach(None, None), tls };
    let run =
        resolver.clone().run(reached, dns.names(), Chance::from_number(1), (sender.clone(), stopped), move |one| {
            tell.send(one).expect("heard");
        });
    let running = tokio::spawn(run);
    let patience = Duration::from_secs(30);
    let first = tokio::time::timeout(patience, told.recv()).await.expect("in time").expect("told");
    assert_eq!((first.targets.len(), first.why), (1, None));
    assert!(sender.is_trunk("192.0.2.7".parse().expect("an address")));
    *dns.zone.lock().expect("a zone") = Some(Zone::new());
    resolver.resolve(&trunk);
    let second = tokio::time::timeout(patience, told.recv()).await.expect("sooner than the TTL's 30 s").expect("told");
    assert!(second.targets.is_empty() && second.why.is_some());
    assert!(sender.is_trunk("192.0.2.7".parse().expect("an address")), "the last good places stay");
    stop.send(true).expect("it listens");
    running.await.expect("it ends");
}
