//! What every scenario stands on: its own folder, ports and addresses, a wait for facts, processes that die with it.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// How long any fact may take to become true; far more than it needs, so that a slow machine only takes longer.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// How often a fact is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Ports handed out by number lie below the range that the system takes ports from by itself (32768 on).
const PORT_FIRST: u32 = 10_000;
const PORTS: u32 = 9_000;

/// SIPp takes some ports more than it is given, from its media port on.
const PORTS_APART: u32 = 6;

static PLACES: AtomicU32 = AtomicU32::new(1);
static PORTS_GIVEN: AtomicU32 = AtomicU32::new(0);

/// Waits until `look` finds something.
pub async fn until<T, F: Future<Output = Option<T>>>(what: &str, look: impl FnMut() -> F) -> T {
    within(PATIENCE, what, look).await
}

/// Waits until `look` finds something, at most `patience`.
pub async fn within<T, F: Future<Output = Option<T>>>(
    patience: Duration,
    what: &str,
    mut look: impl FnMut() -> F,
) -> T {
    let end = Instant::now() + patience;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < end, "not seen in {} s: {what}", patience.as_secs());
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Lets real time pass where the time itself is what is tested: a talk of some seconds, a silence.
pub async fn let_pass(time: Duration) {
    tokio::time::sleep(time).await;
}

/// A port on 127.0.0.1 that nobody has, and that no other scenario is given.
pub fn free_port() -> u16 {
    for _ in 0..PORTS {
        let given = PORTS_GIVEN.fetch_add(1, Ordering::Relaxed) % PORTS;
        let port = (PORT_FIRST + (std::process::id().wrapping_mul(131) + given * PORTS_APART) % PORTS) as u16;
        let is_free = UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
            && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
        if is_free {
            return port;
        }
    }
    panic!("no free port from {PORT_FIRST} on");
}

/// One scenario's own place on this machine; what it has made is removed with it.
pub struct Place {
    /// Its number among the places of this process.
    pub number: u32,
    /// Its folder.
    pub folder: PathBuf,
    /// The carrier's address.
    pub trunk: IpAddr,
    ring_folder: PathBuf,
}

impl Place {
    /// A new one.
    pub fn new() -> Place {
        let number = PLACES.fetch_add(1, Ordering::Relaxed);
        let id = std::process::id();
        let folder = std::env::temp_dir().join(format!("vigie-wire-{id}-{number}"));
        // An earlier process of the same id may have been killed.
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).expect("a folder for the scenario");
        let trunk = Ipv4Addr::new(127, 1, (id % 250) as u8, (1 + number % 250) as u8).into();
        let ring_folder = PathBuf::from(format!("/dev/shm/vigie-wire-{id}-{number}"));
        Place { number, folder, trunk, ring_folder }
    }

    /// A path in the folder.
    pub fn path(&self, relative: impl AsRef<Path>) -> PathBuf {
        self.folder.join(relative)
    }

    /// Where the server's rings are.
    pub fn ring_folder(&self) -> &Path {
        &self.ring_folder
    }

    /// The first of 200 RTP ports for the server.
    pub fn rtp_first(&self) -> u32 {
        20_000 + ((std::process::id() * 7 + self.number) % 50) * 200
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.ring_folder);
        if std::thread::panicking() {
            eprintln!("the scenario's folder is kept: {}", self.folder.display());
        } else {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}

/// A process that ends with the scenario, whatever becomes of it.
pub struct Process {
    child: Child,
    name: String,
    output: PathBuf,
}

impl Process {
    /// Starts `command`, its output appended to `output`.
    pub fn start(name: &str, command: &mut Command, output: &Path) -> Process {
        Process::start_apart(name, command, output, output)
    }

    /// The same with standard error of its own.
    pub fn start_apart(name: &str, command: &mut Command, output: &Path, errors: &Path) -> Process {
        let open = |path: &Path| {
            let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
            Stdio::from(file.expect("an output file"))
        };
        let child = spawn(name, command.stdin(Stdio::null()).stdout(open(output)).stderr(open(errors)));
        Process { child, name: name.into(), output: output.into() }
    }

    /// Starts `command` with both its standard input and output in our hands; `log` is where it writes what it does.
    pub fn start_steered(name: &str, command: &mut Command, log: &Path) -> (Process, ChildStdin, ChildStdout) {
        let errors = std::fs::File::create(log).expect("a log file");
        let mut child = spawn(name, command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(errors));
        let pipes = (child.stdin.take().expect("its input"), child.stdout.take().expect("its output"));
        (Process { child, name: name.into(), output: log.into() }, pipes.0, pipes.1)
    }

    /// What it wrote so far.
    pub fn output(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.output).unwrap_or_default()).into_owned()
    }

    /// Its memory that is not swapped out, in KiB (`VmRSS`).
    pub fn memory_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("a living process");
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next());
        resident.and_then(|kib| kib.parse().ok()).expect("its resident memory")
    }

    /// How it ended, when it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("the process's status")
    }

    /// Waits for its end.
    pub async fn end(&mut self) -> ExitStatus {
        let name = self.name.clone();
        until(&format!("{name} ends"), || std::future::ready(self.ended())).await
    }

    /// Sends it a signal by number: 2 is Ctrl-C.
    pub fn signal(&self, signal: rustix::process::Signal) {
        let id = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(id, signal).expect("a signal");
    }

    /// kill -9, and waits until it is dead.
    pub fn kill(&mut self) {
        // Dead already is dead enough.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(name: &str, command: &mut Command) -> Child {
    command.spawn().unwrap_or_else(|error| {
        panic!("cannot start {name} ({error}): is it installed? tests/run installs what the tests need")
    })
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let output = self.output();
            let from = output.char_indices().rev().nth(6000).map_or(0, |(at, _)| at);
            eprintln!("---- {} wrote:\n{}\n----", self.name, &output[from..]);
        }
    }
}

/// The folder of the Python packages that tests/run installs.
pub fn python_folder() -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
    cache.expect("HOME is set").join("vigie-tests/python")
}

/// Writes a file that its owner alone can read, as a key's file has to be.
pub fn write_secret(path: &Path, bytes: &[u8]) {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(bytes)).expect("a secret");
}

/// The server's address as seen from phones.
pub fn local(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}
