//! The torture messages of RFC 4475 and RFC 5118 over UDP: each gets the answer of its row, or none, and harms nobody.
//!
//! Each message comes from a loopback address of its own, unchanged: an answer goes to the source's address and to the
//! port that the message's Via says, so the test listens there on every port that one of them has.

#[path = "torture/notation.rs"]
pub mod notation;
#[path = "torture/table.rs"]
pub mod table;

use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::UdpSocket;

use super::harness::until;
use super::server::Setup;
use table::{From, ROWS, Row};

/// The ports in the topmost Vias; the first is sent from.
const PORTS: [u16; 3] = [5060, 5070, 6050];

/// Somebody with an address of their own.
struct Sender {
    sockets: Vec<UdpSocket>,
    heard: Vec<String>,
}

impl Sender {
    async fn at(address: Ipv4Addr) -> Sender {
        let mut sockets = Vec::new();
        for port in PORTS {
            sockets.push(UdpSocket::bind((address, port)).await.expect("an address of its own"));
        }
        Sender { sockets, heard: Vec::new() }
    }

    async fn send(&self, bytes: &[u8], to: SocketAddr) {
        self.sockets[0].send_to(bytes, to).await.expect("sent");
    }

    fn listen(&mut self) {
        let mut buffer = vec![0; 65_536];
        for socket in &self.sockets {
            while let Ok((length, _)) = socket.try_recv_from(&mut buffer) {
                self.heard.push(String::from_utf8_lossy(&buffer[..length]).into_owned());
            }
        }
    }

    /// The status of the first final answer that is, or is not, of this Call-ID.
    fn final_answer(&mut self, call_id: &str, is_of_it: bool) -> Option<u16> {
        self.listen();
        let status = |text: &String| text.strip_prefix("SIP/2.0 ")?.get(..3)?.parse::<u16>().ok();
        let mut answers = self.heard.iter().filter(|text| text.contains(call_id) == is_of_it);
        answers.find_map(|text| status(text).filter(|status| *status >= 200))
    }

    /// Asks something ordinary, and waits for its answer.
    async fn asks(&mut self, name: &str, to: SocketAddr) {
        let address = self.sockets[0].local_addr().expect("an address");
        let call_id = format!("sentinel-{name}");
        let options = format!(
            "OPTIONS sip:{to} SIP/2.0\r\nVia: SIP/2.0/UDP {address};branch=z9hG4bK{name}\r\nMax-Forwards: 70\r\n\
             From: <sip:a@b>;tag=1\r\nTo: <sip:{to}>\r\nCall-ID: {call_id}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
        );
        self.send(options.as_bytes(), to).await;
        let answer = until(name, || std::future::ready(self.final_answer(&call_id, true))).await;
        assert_eq!(answer, 200, "{name}");
    }
}

async fn try_out(row: &Row, address: Ipv4Addr, server: SocketAddr) -> Option<String> {
    let mut sender = Sender::at(address).await;
    sender.send(&notation::bytes_of(row.text), server).await;
    let call_id = format!("sentinel-{}", row.name);
    let answer = match row.answers {
        [] => {
            sender.asks(row.name, server).await;
            sender.final_answer(&call_id, false)
        }
        _ => Some(until(row.name, || std::future::ready(sender.final_answer(&call_id, false))).await),
    };
    let is_right = answer.map_or(row.answers.is_empty(), |answer| row.answers.contains(&answer));
    let Row { section, name, what, answers, .. } = row;
    let heard = sender.heard.first().and_then(|text| text.lines().next()).unwrap_or_default();
    (!is_right).then(|| format!("{section} {name} ({what}): {answer:?} `{heard}`, expected {answers:?}"))
}

#[tokio::test]
async fn every_torture_message_gets_its_answer() {
    // Addresses that no other test process on this machine has at the same time.
    let network = (std::process::id() % 250) as u8;
    let setup = Setup::new();
    let peer = format!("peers = [\"{}\"]", setup.place.trunk);
    let mut server = setup.change(&peer, &format!("peers = [\"127.91.{network}.0/24\"]")).start().await;
    let mut wrong = Vec::new();
    for (row, last) in ROWS.iter().zip(1..) {
        let block = if row.from == From::Trunk { 91 } else { 92 };
        wrong.extend(try_out(row, Ipv4Addr::new(127, block, network, last), server.centre.sip).await);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(server.process.ended().is_none());
    assert!(server.metric("vigie_sip_malformed_total").await >= 10.0);
    Sender::at(Ipv4Addr::new(127, 92, network, 250)).await.asks("afterwards", server.centre.sip).await;
}
