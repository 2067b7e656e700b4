//! The real executable under test, with its own centre.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, ExitStatus};

use rustix::process::Signal;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::api::Api;
use super::harness::{Place, Process, free_port, local, until};
use super::sound;

const CENTRE: &str = include_str!("centre.toml");

/// Servers at once: two cores have to be enough for all of them and their phones.
static ROOM: Semaphore = Semaphore::const_new(4);

/// How the centre of one scenario differs from the others'.
pub struct Setup {
    /// Its place.
    pub place: Place,
    /// Where the webhook is posted to.
    pub hook: SocketAddr,
    changes: Vec<(String, String)>,
}

impl Setup {
    /// The usual centre.
    pub fn new() -> Setup {
        Setup { place: Place::new(), hook: local(free_port()), changes: Vec::new() }
    }

    /// Replaces a piece of the configuration's text, which must be there.
    pub fn change(mut self, from: &str, to: &str) -> Setup {
        self.changes.push((from.into(), to.into()));
        self
    }

    /// Audio rests encrypted, under a new key in the file `kek`.
    pub fn encrypted(self) -> Setup {
        let file = self.place.path("kek");
        let key = vigie::vault::new_master_key().expect("a key").0;
        super::harness::write_secret(&file, key.as_bytes());
        self.change("[web]", &format!("[recording.encryption]\nkey = \"file:{}\"\n\n[web]", file.display()))
    }

    /// Listens there too: an entry of `listen`.
    pub fn listening(self, more: &str) -> Setup {
        self.change("\",\n]\ndigest", &format!("\",\n    {more},\n]\ndigest"))
    }

    /// How long phones ring.
    pub fn ringing(self, time: &str) -> Setup {
        self.change("ring_duration_max = \"15s\"", &format!("ring_duration_max = \"{time}\""))
    }

    /// Writes configuration and sounds.
    pub fn write(self) -> Centre {
        let Setup { place, hook, changes } = self;
        sound::write_sounds(&place.path("sounds"));
        let (sip, web) = (local(free_port()), local(free_port()));
        let first = place.rtp_first();
        let mut text = CENTRE.to_owned();
        for (name, value) in [
            ("@DIR@", place.folder.display().to_string()),
            ("@SIP@", sip.port().to_string()),
            ("@WEB@", web.port().to_string()),
            ("@HOOK@", hook.port().to_string()),
            ("@RTP@", format!("{first}-{}", first + 199)),
            ("@RING@", place.ring_folder().display().to_string()),
            ("@RINGING@", "15s".into()),
            ("@TRUNK@", place.trunk.to_string()),
            ("@CLOSED@", closed_hours()),
        ] {
            text = text.replace(name, &value);
        }
        for (from, to) in changes {
            assert!(text.contains(&from), "the centre does not say {from}");
            text = text.replace(&from, &to);
        }
        let config = place.path("vigie.toml");
        std::fs::write(&config, text).expect("the configuration");
        Centre { place, sip, web, hook, config, environment: Vec::new() }
    }

    /// Writes everything and starts the server.
    pub async fn start(self) -> Server {
        self.write().start().await
    }
}

/// One minute of a day that is two days away, so that a test never runs into it.
fn closed_hours() -> String {
    let day = jiff::Zoned::now().weekday().wrapping_add(3);
    let day = format!("{day:?}").chars().take(3).collect::<String>();
    format!("{day} 04:00-04:01")
}

/// A centre that is written, and may be started (again).
pub struct Centre {
    /// Its place.
    pub place: Place,
    /// Where SIP is listened for.
    pub sip: SocketAddr,
    /// Where the API is.
    pub web: SocketAddr,
    /// Where the webhook is posted to.
    pub hook: SocketAddr,
    /// The configuration.
    pub config: PathBuf,
    /// What else the server's environment says.
    pub environment: Vec<(&'static str, String)>,
}

impl Centre {
    /// Where everything that it writes is.
    pub fn roots(&self) -> [PathBuf; 2] {
        ["state", "recordings"].map(|name| self.place.path(name))
    }

    /// `vigie` with arguments, to be run to its end.
    pub fn vigie(&self, arguments: &[&str]) -> std::process::Output {
        let output = Command::new(env!("CARGO_BIN_EXE_vigie")).args(arguments).current_dir(&self.place.folder).output();
        output.expect("vigie runs")
    }

    /// `vigie serve` without waiting for it to be ready.
    pub fn serve(&self) -> Process {
        self.serve_with(&[])
    }

    /// The same with these variables in its environment.
    pub fn serve_with(&self, environment: &[(&str, &str)]) -> Process {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vigie"));
        command.arg("serve").arg("--config").arg(&self.config).current_dir(&self.place.folder);
        command.env("RUST_LOG", "info").env_remove("RUST_BACKTRACE").envs(environment.iter().copied());
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        Process::start("vigie serve", &mut command, &self.place.path("vigie.log"))
    }

    /// Starts the server and waits until it is ready.
    pub async fn start(self) -> Server {
        let room = ROOM.acquire().await.expect("the semaphore is never closed");
        let process = self.serve();
        let mut server = Server { api: Api::new(self.web), process, centre: self, _room: room };
        server.wait_until_ready().await;
        server
    }
}

/// The running server.
pub struct Server {
    /// Its API.
    pub api: Api,
    /// Its process.
    pub process: Process,
    /// Its centre; dropped last, with the folder.
    pub centre: Centre,
    _room: SemaphorePermit<'static>,
}

impl Server {
    async fn wait_until_ready(&mut self) {
        let (api, process) = (&self.api, &mut self.process);
        until("the server is ready", || {
            assert!(process.ended().is_none(), "the server ended at its start:\n{}", process.output());
            async { (api.status("/readyz").await == Some(200)).then_some(()) }
        })
        .await;
        let secret = |name: &str| {
            let path = self.centre.place.path("state/secrets").join(name);
            std::fs::read_to_string(path).expect("a token").trim().to_owned()
        };
        let (admin, compliance) = (secret("api-token-admin"), secret("api-token-compliance"));
        self.api.trust(admin, compliance);
    }

    /// Starts it again on a machine whose clock shows another time: `+2200d` (libfaketime; not the monotonic clock).
    pub async fn start_again_at(&mut self, offset: &str) {
        let library = ["x86_64", "aarch64"]
            .map(|machine| format!("/usr/lib/{machine}-linux-gnu/faketime/libfaketimeMT.so.1"))
            .into_iter()
            .find(|path| std::path::Path::new(path).exists())
            .expect("libfaketime, of the package faketime");
        let environment = [
            ("LD_PRELOAD", library.as_str()),
            ("FAKETIME", offset),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
            ("NO_FAKE_STAT", "1"),
        ];
        self.process = self.centre.serve_with(&environment);
        self.wait_until_ready().await;
    }

    /// Starts it again after it was killed or has ended.
    pub async fn start_again(&mut self) {
        self.process = self.centre.serve();
        self.wait_until_ready().await;
    }

    /// A regulator's password, as `passwords.txt` has it.
    pub fn password(&self, regulator: &str) -> String {
        let text = std::fs::read_to_string(self.centre.place.path("state/secrets/passwords.txt")).expect("passwords");
        let all: HashMap<&str, &str> = text.lines().filter_map(|line| line.split_once(char::is_whitespace)).collect();
        all.get(regulator).expect("a password for the regulator").trim().to_owned()
    }

    /// Ctrl-C.
    pub fn interrupt(&self) {
        self.process.signal(Signal::INT);
    }

    /// Waits for its end.
    pub async fn end(&mut self) -> ExitStatus {
        self.process.end().await
    }

    /// `vigie verify` on all recordings; its exit status and what it said.
    pub fn verify(&self) -> (Option<i32>, String) {
        let folder = self.centre.place.path("recordings");
        let output = self.centre.vigie(&["verify", folder.to_str().expect("a plain path")]);
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&said).into_owned())
    }

    /// Everything is as it was sealed.
    pub fn assert_sound(&self) {
        let (status, said) = self.verify();
        assert_eq!(status, Some(0), "{said}");
    }

    /// The value of a metric, summed over its labels.
    pub async fn metric(&self, name: &str) -> f64 {
        let text = self.api.text("/metrics").await;
        let lines = text.lines().filter(|line| line.starts_with(name));
        lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
    }
}
