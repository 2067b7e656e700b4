//! Carriers: found by DNS, registered with by digest although their first place is dead, and held to their limits.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::time::Duration;

use super::digest;
use super::harness::{free_port, until};
use super::server::Setup;
use super::text::{Text, token};

const PASSWORD: &str = "of the carrier";

/// A DNS server on loopback that knows `_sip._udp.carrier.test`: a dead place first, a living one second.
fn serve_dns(dead: SocketAddr, live: SocketAddr) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let address = socket.local_addr().expect("its address");
    std::thread::spawn(move || {
        let mut buffer = [0; 512];
        while let Ok((length, peer)) = socket.recv_from(&mut buffer) {
            socket.send_to(&answer(&buffer[..length], dead, live), peer).expect("sent");
        }
    });
    address
}

/// RFC 1035 §4.1, RFC 2782.
fn answer(query: &[u8], dead: SocketAddr, live: SocketAddr) -> Vec<u8> {
    let (mut at, mut name) = (12, String::new());
    while query[at] != 0 {
        let length = query[at] as usize;
        name += &String::from_utf8_lossy(&query[at + 1..=at + length]).to_ascii_lowercase();
        name.push('.');
        at += length + 1;
    }
    let label = |name: &str| -> Vec<u8> {
        let labels = name.split('.').flat_map(|one| [&[one.len() as u8], one.as_bytes()].concat());
        labels.chain([0]).collect()
    };
    let srv = |priority: u16, port: u16, target: &str| -> Vec<u8> {
        [priority, 0, port].into_iter().flat_map(u16::to_be_bytes).chain(label(target)).collect()
    };
    let figures = |place: SocketAddr| match place.ip() {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(_) => Vec::new(),
    };
    let kind = u16::from_be_bytes([query[at + 1], query[at + 2]]);
    let records = match (name.as_str(), kind) {
        ("_sip._udp.carrier.test.", 33) => {
            vec![srv(2, live.port(), "live.carrier.test"), srv(1, dead.port(), "dead.carrier.test")]
        }
        ("dead.carrier.test.", 1) => vec![figures(dead)],
        ("live.carrier.test.", 1) => vec![figures(live)],
        _ => Vec::new(),
    };
    let mut out = query[..2].to_vec();
    out.extend([0x84, 0, 0, 1, 0, records.len() as u8, 0, 0, 0, 0]);
    out.extend(&query[12..at + 5]);
    for data in records {
        out.extend(
            [&[0xc0, 12][..], &kind.to_be_bytes(), &[0, 1, 0, 0, 0, 60], &(data.len() as u16).to_be_bytes()].concat(),
        );
        out.extend(data);
    }
    out
}

/// A carrier's socket, with what it hears and says.
struct Carrier(UdpSocket);

impl Carrier {
    fn at(address: IpAddr) -> Carrier {
        let socket = UdpSocket::bind((address, 0)).expect("a port");
        socket.set_read_timeout(Some(Duration::from_secs(60))).expect("set");
        Carrier(socket)
    }

    fn place(&self) -> SocketAddr {
        self.0.local_addr().expect("its address")
    }

    /// The next message for which `is_it` holds.
    fn hear(&self, is_it: impl Fn(&Text) -> bool) -> (Text, SocketAddr) {
        let mut buffer = [0; 65_535];
        loop {
            let (length, peer) = self.0.recv_from(&mut buffer).expect("something is heard in a minute");
            let text = Text::read(&buffer[..length]);
            if is_it(&text) {
                return (text, peer);
            }
        }
    }

    fn say(&self, text: &str, to: SocketAddr) {
        self.0.send_to(&Text(text.to_owned()).to_bytes(), to).expect("sent");
    }

    /// An INVITE to `uri`, for the number in To.
    fn invite(&self, uri: &str, number: &str, to: SocketAddr) -> String {
        let (place, call) = (self.place(), token());
        let sdp = format!(
            "v=0\r\no=- 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio 40000 RTP/AVP 8\r\n",
            ip = place.ip()
        );
        let text = format!(
            "INVITE {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {place};rport;branch=z9hG4bK{call}\r\nMax-Forwards: 70\r\n\
             From: <sip:0612345678@{place}>;tag={call}\r\nTo: <sip:{number}@{place}>\r\nCall-ID: {call}\r\n\
             CSeq: 1 INVITE\r\nContact: <sip:gw@{place}>\r\nContent-Type: application/sdp\r\n\
             Content-Length: {}\r\n\r\n{sdp}",
            sdp.len()
        );
        self.say(&text, to);
        call
    }
}

/// A neighbour of the scenario's own carrier: nobody else's address.
fn beside(trunk: IpAddr, second: u8) -> IpAddr {
    let IpAddr::V4(own) = trunk else { panic!("an IPv4 address") };
    let [first, _, third, fourth] = own.octets();
    Ipv4Addr::new(first, second, third, fourth).into()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_carrier_whose_first_place_is_dead_is_registered_with_at_its_second_and_its_calls_come_in() {
    let setup = Setup::new();
    let (live, dead) =
        (Carrier::at(beside(setup.place.trunk, 2)), SocketAddr::new(beside(setup.place.trunk, 3), free_port()));
    let dns = serve_dns(dead, live.place());
    let secrets = setup.place.path("state/secrets");
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&secrets).expect("a folder");
    let file = secrets.join("trunk-operator");
    std::fs::write(&file, format!("{PASSWORD}\n")).expect("written");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).expect("closed");
    let operator = "[trunks.operator]\nhost = \"carrier.test\"\nregister = true\nuser = \"centre\"\n\
                    fallback_line = \"plain\"\n\n[sounds]\ngreeting";
    let setup = setup.change("[sounds]\ngreeting", operator);
    let setup = setup.change("source_rate_max", &format!("nameservers = [\"{dns}\"]\nsource_rate_max"));
    let centre = setup.write();
    let sip = centre.sip;
    let starting = tokio::spawn(centre.start());
    let (registered, live) = tokio::task::spawn_blocking(move || (register(&live), live)).await.expect("a carrier");
    let server = starting.await.expect("it starts");
    let trunk = until("the trunk is registered", || async {
        let trunks = server.api.json("/trunks").await;
        let trunk = trunks.as_array()?.iter().find(|trunk| trunk["trunk"] == "operator")?.clone();
        (trunk["registration"] == "registered").then_some(trunk)
    })
    .await;
    assert_eq!(trunk["targets"][0]["address"], format!("udp:{}", live.place()));
    assert_eq!(trunk["targets"].as_array().map(Vec::len), Some(2), "{trunk}");
    until("the gauge says so", || async { (server.metric("vigie_trunk_registered").await == 1.0).then_some(()) }).await;
    // A call to our Contact: the number dialled stands in To alone.
    assert!(registered.contains("centre@"), "{registered}");
    live.invite(&registered, "+33261910101", sip);
    let story = server.api.story("the call came in", |story| story["call"]["trunk"] == "operator").await;
    assert_eq!(story["call"]["ddi"], "+33261910101", "{story}");
    assert!(!server.process.output().contains(PASSWORD), "a password is never logged");
}

/// Plays the registrar until it has granted a proven registration; our Contact.
fn register(live: &Carrier) -> String {
    let (first, vigie) = live.hear(|text| text.method() == Some("REGISTER"));
    let challenge = "Digest realm=\"carrier\", nonce=\"wire-nonce\", algorithm=MD5, qop=\"auth\"";
    live.say(&first.respond("401 Unauthorized", &format!("WWW-Authenticate: {challenge}\r\n"), ""), vigie);
    let (second, vigie) =
        live.hear(|text| text.method() == Some("REGISTER") && text.header("CSeq") != first.header("CSeq"));
    let given = second.header("Authorization");
    let (nc, cnonce) = (given.split("nc=").nth(1).unwrap_or_default(), digest::parameter(&given, "cnonce"));
    let nc: String = nc.chars().take(8).collect();
    let expected = digest::response(challenge, ("centre", PASSWORD), ("REGISTER", &second.uri()), (&nc, &cnonce));
    assert_eq!(digest::parameter(&given, "response"), expected, "{given}");
    let contact = second.header("Contact");
    live.say(&second.respond("200 OK", &format!("Contact: {contact};expires=600\r\n"), ""), vigie);
    second.contact()
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_beyond_a_trunks_rate_get_503_with_retry_after_at_once() {
    let setup = Setup::new().change("calls_max = 40", "calls_max = 40\nrate_max = 4");
    let server = setup.start().await;
    let carrier = Carrier::at(server.centre.place.trunk);
    let sip = server.centre.sip;
    let answers = tokio::task::spawn_blocking(move || {
        (0..12).for_each(|_| drop(carrier.invite(&format!("sip:+33261910101@{sip}"), "+33261910101", sip)));
        let mut first: std::collections::BTreeMap<String, Text> = std::collections::BTreeMap::new();
        while first.len() < 12 {
            let (text, _) = carrier.hear(|text| text.status() > 0);
            first.entry(text.header("Call-ID")).or_insert(text);
        }
        first
    });
    let answers = answers.await.expect("answers");
    let refused: Vec<&Text> = answers.values().filter(|answer| answer.status() == 503).collect();
    // On a slow machine the twelve may take longer than a moment, in which the rate lets one or two more pass.
    assert!((5..=8).contains(&refused.len()), "{}", refused.len());
    assert!(refused.iter().all(|answer| !answer.header("Retry-After").is_empty()));
    until("they are counted", || async {
        (server.metric("vigie_calls_refused_total").await >= refused.len() as f64).then_some(())
    })
    .await;
}
