//! SIPp 3.6 with the scenarios of `sipp/`.

use std::net::{IpAddr, UdpSocket};
use std::path::Path;
use std::process::Command;

use super::harness::{Process, free_port, until};
use super::server::Server;
use super::sound;

/// One run of one scenario.
pub struct Sipp {
    process: Process,
    errors: std::path::PathBuf,
    log: std::path::PathBuf,
}

impl Sipp {
    /// Starts a scenario at an address, dialling `number`; each `@NAME@` of the scenario is replaced by its value.
    pub fn start(server: &Server, scenario: &str, from: IpAddr, number: &str, values: &[(&str, &str)]) -> Sipp {
        Sipp::start_at(server, scenario, (from, free_port()), number, values)
    }

    /// A regulator's phone that registers, and then is called. Requests go to where the registration came from: both at
    /// one port.
    pub async fn regulator(server: &Server, user: &str, voice: &str) -> Sipp {
        Sipp::phone(server, user, "regulator", &[("VOICE", voice)]).await
    }

    /// The same with another scenario.
    pub async fn phone(server: &Server, user: &str, scenario: &str, values: &[(&str, &str)]) -> Sipp {
        let (address, port) = (IpAddr::from([127, 0, 0, 1]), free_port());
        register_over(server, user, port, ("600", "200"), values).await;
        server.api.regulator_is(user, "ready").await;
        Sipp::answering(server, scenario, (address, port), values).await
    }

    /// A party that is called at this address, in a scenario; it listens.
    pub async fn answering(
        server: &Server,
        scenario: &str,
        (address, port): (IpAddr, u16),
        values: &[(&str, &str)],
    ) -> Sipp {
        let phone = Sipp::start_at(server, scenario, (address, port), "anybody", values);
        let listens = || std::future::ready(UdpSocket::bind((address, port)).is_err().then_some(()));
        until("SIPp listens", listens).await;
        phone
    }

    fn start_at(
        server: &Server,
        scenario: &str,
        (from, port): (IpAddr, u16),
        number: &str,
        values: &[(&str, &str)],
    ) -> Sipp {
        let folder = server.centre.place.path(format!("sipp-{port}-{scenario}"));
        std::fs::create_dir_all(&folder).expect("SIPp's folder");
        let text = read(scenario, values);
        let file = folder.join("scenario.xml");
        std::fs::write(&file, text).expect("the scenario");
        let (errors, log) = (folder.join("errors"), folder.join("log"));
        let (address, media) = (from.to_string(), free_port().to_string());
        let mut command = Command::new("sipp");
        let (to, is_direct) = match named(values, "TO") {
            Some(network) => (network.to_owned(), false),
            None => (server.centre.sip.to_string(), true),
        };
        command.arg(to).arg("-sf").arg(&file).current_dir(&folder);
        command.args(["-s", number, "-i", &address, "-p", &port.to_string(), "-mi", &address, "-mp", &media]);
        let (calls, rate) = (named(values, "CALLS").unwrap_or("1"), named(values, "RATE").unwrap_or("10"));
        // Of a flood, SIPp repeats what was not answered at once, and each repetition has its answer.
        let is_strict = is_direct && scenario != "floods";
        // A network that doubles and delays brings what no scenario expects at that place: it is left.
        command.args(["-default_behaviors", if is_strict { "all" } else { "all,-abortunexp" }]);
        command.args([
            "-m",
            calls,
            "-l",
            calls,
            "-r",
            rate,
            "-nostdin",
            "-trace_logs",
            "-timeout",
            "100",
            "-timeout_error",
            "-trace_err",
            "-error_file",
        ]);
        command.arg(&errors).arg("-log_file").arg(&log);
        let process = Process::start("sipp", &mut command, &folder.join("screen"));
        Sipp { process, errors, log }
    }

    /// How many lines of what its scenario logs begin like this.
    pub fn told(&self, begin: &str) -> usize {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        log.lines().filter(|line| line.starts_with(begin)).count()
    }

    /// Waits for its end; every message must have come as the scenario says.
    pub async fn passes(mut self) {
        let status = self.process.end().await;
        let errors = std::fs::read_to_string(&self.errors).unwrap_or_default();
        assert!(status.success(), "SIPp ended with {status}: {errors}");
    }
}

/// The pieces that a scenario takes by name: what every request, answer and SDP of a simple party has.
const PIECES: [(&str, &str); 5] = [
    (
        "BEGINS",
        "Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]\nFrom: <sip:+33612345678@[local_ip]>;tag=[pid]SIPp[call_number]\nTo: <sip:[service]@[remote_ip]:[remote_port]>\nCall-ID: [call_id]\nContact: <sip:sipp@[local_ip]:[local_port]>\nMax-Forwards: 70",
    ),
    (
        "WITHIN",
        "Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]\nFrom: <sip:+33612345678@[local_ip]>;tag=[pid]SIPp[call_number]\nTo: <sip:[service]@[remote_ip]:[remote_port]>[peer_tag_param]\nCall-ID: [call_id]\nContact: <sip:sipp@[local_ip]:[local_port]>\nMax-Forwards: 70",
    ),
    (
        "ANSWERS",
        "[last_Via:]\n[last_From:]\n[last_To:];tag=[pid]SIPp[call_number]\n[last_Call-ID:]\n[last_CSeq:]\nContact: <sip:[local_ip]:[local_port]>",
    ),
    (
        "AGREES",
        "[last_Via:]\n[last_From:]\n[last_To:]\n[last_Call-ID:]\n[last_CSeq:]\nContact: <sip:[local_ip]:[local_port]>",
    ),
    (
        "SDP",
        "Content-Type: application/sdp\nContent-Length: [len]\n\nv=0\no=sipp 1 [cseq] IN IP[local_ip_type] [local_ip]\ns=-\nc=IN IP[media_ip_type] [media_ip]\nt=0 0\nm=audio [media_port] RTP/AVP 8\na=rtpmap:8 PCMA/8000",
    ),
];

/// The text of a scenario: one of `sipp/`, or `bundled NAME` of SIPp's own, with its values, then its pieces put in.
fn read(scenario: &str, values: &[(&str, &str)]) -> String {
    let mut text = match scenario.strip_prefix("bundled ") {
        Some(name) => {
            let told = Command::new("sipp").args(["-sd", name]).output().expect("SIPp tells its scenarios");
            String::from_utf8(told.stdout).expect("a scenario of SIPp's own")
        }
        None => {
            let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wire/sipp").join(format!("{scenario}.xml"));
            std::fs::read_to_string(source).expect("a scenario of tests/wire/sipp")
        }
    };
    for (name, value) in values.iter().chain(&PIECES) {
        // Of a scenario of SIPp's own a piece of its text is the name, where it first stands.
        text = match name.starts_with('<') {
            true => text.replacen(name, value, 1),
            false => text.replace(&format!("@{name}@"), value),
        };
    }
    text
}

/// A value by its name; CALLS (1), RATE (10 a second) and TO (the server) are SIPp's own.
fn named<'a>(values: &[(&str, &'a str)], wanted: &str) -> Option<&'a str> {
    values.iter().find(|(name, _)| *name == wanted).map(|(_, value)| *value)
}

/// Registers a regulator's phone at `port` with the right password, for so many seconds and with this answer.
pub async fn register(server: &Server, user: &str, port: u16, wish: (&str, &str)) {
    register_over(server, user, port, wish, &[]).await;
}

async fn register_over(server: &Server, user: &str, port: u16, (expires, status): (&str, &str), over: &[(&str, &str)]) {
    let (password, contact) = (server.password(user), format!("127.0.0.1:{port}"));
    let to = named(over, "TO").map(|to| ("TO", to));
    let values = [("USER", user), ("PASSWORD", &password), ("CONTACT", &contact), ("EXPIRES", expires)];
    let values: Vec<_> = values.into_iter().chain([("STATUS", status)]).chain(to).collect();
    Sipp::start_at(server, "register", ([127, 0, 0, 1].into(), port), user, &values).passes().await;
}

/// Writes a voice that SIPp can send: G.711 as it goes onto the wire, a tone of 60 s.
pub fn voice(server: &Server, codec: vigie::model::Codec, tone: f64) -> String {
    let file = server.centre.place.path(format!("voice-{}-{tone}.raw", codec.name()));
    let samples = sound::tone(tone, 60 * sound::RATE as usize);
    let law = vigie::rtp::g711::Law::of(codec).expect("a law of G.711");
    let coded: Vec<u8> = samples.into_iter().map(|sample| vigie::rtp::g711::encode(law, sample)).collect();
    std::fs::write(&file, coded).expect("SIPp's voice");
    file.display().to_string()
}
