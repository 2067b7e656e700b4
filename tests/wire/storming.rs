//! A whole centre's phones register at once, as after a power cut, and somebody floods with OPTIONS: no call loses anything.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::digest;
use super::harness::until;
use super::phone::Phone;
use super::server::{Server, Setup};
use super::text::{Text, token};
use super::voice::Words;

/// Regulators beside anne and bruno, and devices of each: as many as one may register.
const ACCOUNTS: usize = 35;
const DEVICES: usize = 16;

/// A phone asks again when nothing came for so long (RFC 3261 §17.1.2.2: timer E), so often.
const AGAIN_AFTER: Duration = Duration::from_millis(500);
const TIMES_MAX: usize = 100;

/// OPTIONS of the flood, far more than `source_rate_max` lets in.
const FLOOD: usize = 20_000;

async fn start() -> Server {
    let more = (0..ACCOUNTS).map(|n| format!("\n[regulators.r{n}]\nname = \"R {n}\"\nassociation = \"sos-test\"\n"));
    let more = more.collect::<String>() + "\n[trunks.carrier]";
    let devices = format!("digest = \"md5\"\ndevices_max = {DEVICES}");
    Setup::new().change("\n[trunks.carrier]", &more).change("digest = \"md5\"", &devices).start().await
}

/// A phone with no more than registration.
struct Device {
    socket: UdpSocket,
    server: SocketAddr,
    user: String,
    password: String,
}

impl Device {
    /// Registers, as often as it takes: challenged, told to come later, or unheard. How often it was told 503.
    async fn register(&self) -> usize {
        let (local, server, user) = (self.socket.local_addr().expect("an address"), self.server, &self.user);
        let (uri, id) = (format!("sip:{}", server.ip()), token());
        let (mut proof, mut late) = (String::new(), 0);
        for number in 1..=TIMES_MAX {
            let (branch, host) = (token(), server.ip());
            let register = format!(
                "REGISTER {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {local};rport;branch=z9hG4bK{branch}\r\nMax-Forwards: 70\r\n\
                 From: <sip:{user}@{host}>;tag={id}\r\nTo: <sip:{user}@{host}>\r\nCall-ID: {id}\r\nCSeq: {number} REGISTER\r\n\
                 Contact: <sip:{user}@{local}>\r\nExpires: 600\r\n{proof}Content-Length: 0\r\n\r\n"
            );
            let Some(answer) = self.ask(&register, &format!("{number} REGISTER")).await else { continue };
            match answer.status() {
                200 => return late,
                401 => {
                    let login = (user.as_str(), self.password.as_str());
                    let value = digest::answer(&answer.header("WWW-Authenticate"), login, ("REGISTER", &uri));
                    proof = format!("Authorization: {value}\r\n");
                }
                503 => {
                    late += 1;
                    let seconds = answer.header("Retry-After").parse().expect("when to come again");
                    tokio::time::sleep(Duration::from_secs(seconds)).await;
                }
                status => panic!("{user} at {local} is told {status}: {}", answer.0),
            }
        }
        panic!("{user} at {local} is not registered")
    }

    /// The final answer; none when nothing came in time.
    async fn ask(&self, request: &str, cseq: &str) -> Option<Text> {
        self.socket.send_to(request.as_bytes(), self.server).await.expect("sent");
        let mut buffer = vec![0; 4096];
        let hear = async {
            loop {
                let (length, _) = self.socket.recv_from(&mut buffer).await.expect("received");
                let answer = Text::read(&buffer[..length]);
                if answer.status() >= 200 && answer.header("CSeq") == cseq {
                    return answer;
                }
            }
        };
        timeout(AGAIN_AFTER, hear).await.ok()
    }
}

/// Everybody's phones at once; how often one was told to come later.
async fn storm(server: &Server) -> usize {
    let mut devices = Vec::new();
    for (account, device) in (0..ACCOUNTS).flat_map(|account| (0..DEVICES).map(move |device| (account, device))) {
        let address = IpAddr::from([127, 4, 1 + account as u8, 1 + device as u8]);
        let (user, socket) = (format!("r{account}"), UdpSocket::bind((address, 0)).await.expect("a socket"));
        let password = server.password(&user);
        devices.push(Device { socket, server: server.centre.sip, user, password });
    }
    let mut registering = JoinSet::new();
    for device in devices {
        registering.spawn(async move { (device.register().await, device) });
    }
    registering.join_all().await.into_iter().map(|(late, _)| late).sum()
}

/// Two in conversation, each saying numbers.
async fn talk(server: &Server) -> (Phone, Phone) {
    let anne = Phone::regulator(server, "anne").await;
    let caller = Phone::caller(server, "+33612345678").await;
    caller.dial_in("0261910101").await;
    anne.talks().await;
    anne.voice.says(Words::Numbers);
    caller.voice.says(Words::Numbers);
    (caller, anne)
}

/// Each hears the other, and when they have hung up nothing of either was lost.
async fn ends_whole(server: &Server, (caller, anne): (Phone, Phone)) {
    for voice in [&caller.voice, &anne.voice] {
        voice.forget();
        until("numbers are heard", || std::future::ready(voice.highest_heard())).await;
    }
    caller.hang_up().await;
    anne.is_over().await;
    let story = server.api.sealed().await;
    assert_eq!(story["call"]["outcome"].as_str(), Some("answered"), "{story:#}");
    for leg in story["legs"].as_array().expect("legs") {
        assert_eq!(leg["quality"]["packets_lost"].as_u64(), Some(0), "{leg:#}");
    }
    server.assert_sound();
}

#[tokio::test]
async fn five_hundred_and_sixty_phones_register_at_once_during_a_call_and_every_one_gets_in() {
    let server = start().await;
    let talking = talk(&server).await;
    let late = storm(&server).await;
    println!("told to come later {late} times");
    for account in 0..ACCOUNTS {
        assert_eq!(server.api.regulator(&format!("r{account}")).await, "ready");
    }
    // And all of them again, as they do every some minutes.
    let first = server.api.json("/regulators/r0").await;
    storm(&server).await;
    assert_eq!(server.api.json("/regulators/r0").await["state"], first["state"]);
    ends_whole(&server, talking).await;
}

#[tokio::test]
async fn a_flood_of_options_is_cut_to_its_rate_and_takes_nothing_from_a_call_or_a_phone() {
    let server = start().await;
    let talking = talk(&server).await;
    let memory = server.process.memory_kib();
    let flooder = Arc::new(UdpSocket::bind("127.0.6.6:0").await.expect("a socket"));
    let (sip, local) = (server.centre.sip, flooder.local_addr().expect("an address"));
    let flood = tokio::spawn(async move {
        for number in 0..FLOOD {
            let options = format!(
                "OPTIONS sip:{sip} SIP/2.0\r\nVia: SIP/2.0/UDP {local};rport;branch=z9hG4bKf{number}\r\n\
                 Max-Forwards: 70\r\nFrom: <sip:f@f>;tag=1\r\nTo: <sip:{sip}>\r\nCall-ID: f{number}\r\n\
                 CSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
            );
            // What does not fit is lost, as on any network.
            let _ = flooder.try_send_to(options.as_bytes(), sip);
            if number % 50 == 0 {
                tokio::task::yield_now().await;
            }
        }
    });

    // Amid it, phones register and another caller is answered.
    storm(&server).await;
    let another = Phone::caller(&server, "+33687654321").await;
    another.dial_in("0261910101").await;
    another.hang_up().await;
    flood.await.expect("the flood ends");
    assert!(server.metric("vigie_sip_source_refused_total").await >= 1.0, "the flood is cut to its rate");
    let grown = server.process.memory_kib().saturating_sub(memory);
    assert!(grown <= 64 * 1024, "{grown} KiB more");
    until("only the first call lives", || async {
        (server.api.json("/room").await["calls_live"].as_u64() == Some(1)).then_some(())
    })
    .await;
    let (caller, anne) = talking;
    for voice in [&caller.voice, &anne.voice] {
        voice.forget();
        until("numbers are heard", || std::future::ready(voice.highest_heard())).await;
    }
    caller.hang_up().await;
    anne.is_over().await;
}
