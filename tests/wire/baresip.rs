//! baresip 1.0 as a phone, steered over its control port.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::harness::{Process, free_port, local, until};
use super::server::Server;
use super::sound;

/// How long one command may take to be answered.
const ANSWER_MAX: Duration = Duration::from_secs(20);

/// A running baresip.
pub struct Baresip {
    /// Its process.
    pub process: Process,
    control: SocketAddr,
    folder: PathBuf,
}

/// What a baresip says of itself.
pub struct Ear {
    control: TcpStream,
    said: Arc<Mutex<Vec<u8>>>,
}

impl Ear {
    /// Gives a command without waiting for its answer.
    pub fn command(&self, command: &str, parameters: &str) {
        let text = serde_json::json!({ "command": command, "params": parameters, "token": "wire" }).to_string();
        let mut control = &self.control;
        control.write_all(format!("{}:{text},", text.len()).as_bytes()).expect("a command to baresip");
    }

    /// The keys that it has heard, in order.
    pub fn keys(&self) -> String {
        let said = self.said.lock().expect("what it said").clone();
        let (mut rest, mut keys) = (said.as_slice(), String::new());
        // Netstrings: length, colon, text, comma.
        while let Some(colon) = rest.iter().position(|byte| *byte == b':') {
            let length = String::from_utf8_lossy(&rest[..colon]).trim_start_matches(',').parse().unwrap_or(usize::MAX);
            let Some(text) = rest.get(colon + 1..).and_then(|rest| rest.get(..length)) else { break };
            let event: serde_json::Value = serde_json::from_slice(text).expect("JSON");
            if event["type"] == "CALL_DTMF_START" {
                keys.push_str(event["param"].as_str().expect("a key"));
            }
            rest = &rest[colon + 1 + length..];
        }
        keys
    }
}

/// What one baresip is.
struct Setup<'a> {
    name: &'a str,
    address: IpAddr,
    account: String,
    tone: f64,
    more: String,
    speaks: Speaks,
}

/// The one codec that it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaks {
    /// PCMU and PCMA.
    G711,
    /// G.722.
    G722,
    /// Opus.
    Opus,
}

impl Speaks {
    fn module(self) -> &'static str {
        match self {
            Speaks::G711 => "g711",
            Speaks::G722 => "g722",
            Speaks::Opus => "opus",
        }
    }

    fn rate(self) -> u32 {
        match self {
            Speaks::G711 => sound::RATE,
            Speaks::G722 => 16_000,
            Speaks::Opus => 48_000,
        }
    }
}

/// How it reaches the server.
pub enum Over {
    /// Datagrams.
    Udp(SocketAddr),
    /// A connection.
    Tcp(SocketAddr),
    /// A connection under TLS, and the authority that it trusts.
    Tls(SocketAddr, PathBuf),
}

impl Baresip {
    /// A regulator's phone, registered; it picks up by itself and says a tone.
    pub async fn regulator(server: &Server, user: &str, tone: f64) -> Baresip {
        Baresip::regulator_over(server, user, tone, Over::Udp(server.centre.sip)).await
    }

    /// The same over another transport.
    pub async fn regulator_over(server: &Server, user: &str, tone: f64, over: Over) -> Baresip {
        let (to, more) = match over {
            Over::Udp(sip) => (sip.to_string(), String::new()),
            Over::Tcp(sip) => (format!("{sip};transport=tcp"), String::new()),
            Over::Tls(sip, ca) => (format!("{sip};transport=tls"), format!("sip_cafile {}\n", ca.display())),
        };
        let password = server.password(user);
        let account = format!("<sip:{user}@{to}>;auth_user={user};auth_pass={password};answermode=auto;regint=600");
        let address = [127, 0, 0, 1].into();
        let setup = Setup { name: user, address, account, tone, more, speaks: Speaks::G711 };
        let phone = Baresip::start(server, setup).await;
        server.api.regulator_is(user, "ready").await;
        phone
    }

    /// A regulator's phone that speaks this codec alone.
    pub async fn regulator_speaking(server: &Server, user: &str, tone: f64, speaks: Speaks) -> Baresip {
        let (to, password) = (server.centre.sip, server.password(user));
        let account = format!("<sip:{user}@{to}>;auth_user={user};auth_pass={password};answermode=auto;regint=600");
        let (address, more) = ([127, 0, 0, 1].into(), String::new());
        let phone = Baresip::start(server, Setup { name: user, address, account, tone, more, speaks }).await;
        server.api.regulator_is(user, "ready").await;
        phone
    }

    /// A caller over the trunk who speaks this codec alone.
    pub async fn caller_speaking(server: &Server, number: &str, tone: f64, speaks: Speaks) -> Baresip {
        let address = server.centre.place.trunk;
        let account = format!("<sip:{number}@{address}>;regint=0;answermode=manual");
        Baresip::start(server, Setup { name: "caller", address, account, tone, more: String::new(), speaks }).await
    }

    /// A regulator's phone whose media are protected as its `mediaenc` says: `srtp`, `srtp-mand`.
    pub async fn regulator_protected(server: &Server, user: &str, tone: f64, how: &str) -> Baresip {
        Baresip::regulator_protected_over(server, user, tone, (how, server.centre.sip)).await
    }

    /// The same over a network that begins there.
    pub async fn regulator_protected_over(
        server: &Server,
        user: &str,
        tone: f64,
        (how, to): (&str, SocketAddr),
    ) -> Baresip {
        let password = server.password(user);
        let account = format!(
            "<sip:{user}@{to}>;auth_user={user};auth_pass={password};answermode=auto;regint=600;mediaenc={how}"
        );
        let (address, more) = ([127, 0, 0, 1].into(), "module srtp.so\n".to_owned());
        let setup = Setup { name: user, address, account, tone, more, speaks: Speaks::G711 };
        let phone = Baresip::start(server, setup).await;
        server.api.regulator_is(user, "ready").await;
        phone
    }

    /// A caller over the trunk.
    pub async fn caller(server: &Server, number: &str, tone: f64) -> Baresip {
        Baresip::caller_with(server, number, tone, "").await
    }

    /// A caller over the trunk whose media are protected as its `mediaenc` says.
    pub async fn caller_protected(server: &Server, number: &str, tone: f64, how: &str) -> Baresip {
        Baresip::caller_with(server, number, tone, &format!(";mediaenc={how}")).await
    }

    async fn caller_with(server: &Server, number: &str, tone: f64, parameters: &str) -> Baresip {
        let address = server.centre.place.trunk;
        let account = format!("<sip:{number}@{address}>;regint=0;answermode=manual{parameters}");
        let more = if parameters.is_empty() { String::new() } else { "module srtp.so\n".to_owned() };
        Baresip::start(server, Setup { name: "caller", address, account, tone, more, speaks: Speaks::G711 }).await
    }

    async fn start(server: &Server, setup: Setup<'_>) -> Baresip {
        let Setup { name, address, account, tone, more, speaks } = setup;
        let folder = server.centre.place.path(format!("baresip-{name}"));
        std::fs::create_dir_all(&folder).expect("baresip's folder");
        let voice = folder.join("voice.wav");
        let (rate, module) = (speaks.rate(), speaks.module());
        sound::write_at(rate, &voice, &sound::tone_at(rate, tone, 60 * rate as usize));
        let (sip, control) = (free_port(), local(free_port()));
        let first = 40_000 + u32::from(free_port() - 10_000) / 40 * 40;
        let config = format!(
            "sip_listen {address}:{sip}\nrtp_ports {first}-{}\naudio_source aufile,{}\naudio_player aubridge,nobody\n\
             audio_alert aubridge,nobody\nausrc_srate {rate}\nauplay_srate {rate}\nausrc_channels 1\nauplay_channels 1\n\
             module_path /usr/lib/baresip/modules\nmodule {module}.so\nmodule aufile.so\nmodule aubridge.so\n\
             module sndfile.so\nsnd_path {}\n\
             module_app account.so\nmodule_app menu.so\nmodule_app ctrl_tcp.so\nctrl_tcp_listen {control}\n{more}",
            first + 200,
            voice.display(),
            folder.display()
        );
        std::fs::write(folder.join("config"), config).expect("baresip's config");
        std::fs::write(folder.join("accounts"), format!("{account}\n")).expect("baresip's accounts");
        std::fs::write(folder.join("contacts"), "").expect("baresip's contacts");
        let mut command = Command::new("baresip");
        // The address in its SDP; its RTP comes from 127.0.0.1 whatever its SIP is bound to.
        command.args(["-4", "-n", "127.0.0.1", "-f"]).arg(&folder);
        let process = Process::start("baresip", &mut command, &folder.join("log"));
        let mut phone = Baresip { process, control, folder };
        until("baresip is ready", || {
            assert!(phone.process.ended().is_none(), "baresip ended:\n{}", phone.process.output());
            std::future::ready(TcpStream::connect(control).ok())
        })
        .await;
        phone
    }

    /// Gives a command, as its menu knows it: `dial`, `hangup`, `hold`, `resume`.
    pub fn command(&self, command: &str, parameters: &str) {
        let text = serde_json::json!({ "command": command, "params": parameters, "token": "wire" }).to_string();
        let mut control = TcpStream::connect(self.control).expect("baresip's control port");
        control.set_read_timeout(Some(ANSWER_MAX)).expect("a time limit");
        // Netstrings: length, colon, text, comma.
        control.write_all(format!("{}:{text},", text.len()).as_bytes()).expect("a command to baresip");
        let mut answer = Vec::new();
        let mut buffer = [0; 4096];
        while !String::from_utf8_lossy(&answer).contains("\"response\":true") {
            let length = control.read(&mut buffer).expect("baresip's answer");
            assert!(length > 0, "baresip closed its control port at {command}");
            answer.extend_from_slice(&buffer[..length]);
        }
    }

    /// How long it has heard a tone so far.
    pub fn heard_ms(&self, frequency: f64) -> u32 {
        self.files().iter().map(|(rate, samples)| sound::length_at(*rate, samples, frequency)).sum()
    }

    /// Waits until it has heard a tone for so long in all.
    pub async fn hears(&self, frequency: f64, length_ms: u32) {
        until(&format!("baresip hears {frequency} Hz"), || {
            std::future::ready((self.heard_ms(frequency) >= length_ms).then_some(()))
        })
        .await;
    }

    /// Everything that it has heard so far.
    pub fn heard(&self) -> Vec<i16> {
        self.files().into_iter().flat_map(|(_, samples)| samples).collect()
    }

    /// What its module sndfile wrote of the decoded sound: each file's rate and samples.
    fn files(&self) -> Vec<(u32, Vec<i16>)> {
        let files = std::fs::read_dir(&self.folder).expect("baresip's folder").flatten().map(|file| file.path());
        let mut decoded: Vec<PathBuf> = files.filter(|file| file.to_string_lossy().ends_with("-dec.wav")).collect();
        decoded.sort();
        decoded.iter().map(|file| sound::read_unfinished(&std::fs::read(file).unwrap_or_default())).collect()
    }

    /// Its control port from now on, for commands and for what happens to it; [`Baresip::command`] would take it away.
    pub fn listens(&self) -> Ear {
        let control = TcpStream::connect(self.control).expect("baresip's control port");
        let (mut reader, said) = (control.try_clone().expect("the same port"), Arc::new(Mutex::new(Vec::new())));
        let kept = said.clone();
        // Ends with the process, whose output it reads.
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = reader.read(&mut buffer) {
                kept.lock().expect("what it said").extend_from_slice(&buffer[..length]);
            }
        });
        Ear { control, said }
    }

    /// Dials a number at the server.
    pub fn dial(&self, server: &Server, number: &str) {
        self.command("dial", &format!("sip:{number}@{}", server.centre.sip));
    }
}
