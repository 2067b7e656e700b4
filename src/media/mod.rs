//! The media plane: RTP sockets on their own threads, players, bridges and taps.
//!
//! Each thread owns its legs whole: nothing is locked, allocated or scheduled for a packet.

mod board;
mod direct;
mod latch;
mod leg;
mod listening;
mod mix;
mod outgoing;
mod player;
mod ports;
mod press;
mod protection;
mod sounds;
mod speech;
mod tally;
#[cfg(test)]
mod tests;
mod worker;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::{JoinHandle, available_parallelism};

use rustix::event::{EventfdFlags, eventfd};
use rustix::fd::OwnedFd;

use crate::config::settings::MediaSettings;
use crate::journal::{RingError, RingReader, RingWriter};
use crate::model::{CallId, Chance, LegId, LegQuality, MediaCommand, MediaReport, SoundId};

use board::Board;
use ports::Ports;
use sounds::{Loaded, Sounds};
use tally::Tally;
use worker::{Post, Worker};

pub use board::LiveLegs;
pub use tally::MediaCounters;

/// Commands that may wait for one thread: hundreds of calls' worth at once; more means that the thread is stuck.
pub const COMMANDS_MAX: usize = 16_384;

/// Threads when the settings leave the number open: one a core, and no more than this.
const THREADS_DEFAULT_MAX: usize = 4;

/// The media plane could not start.
#[derive(Debug, thiserror::Error)]
pub enum MediaError {
    /// A sound's file could not be read.
    #[error(
        "reading the sound {sound} from {path}: {source}; put a WAV file there or correct its path in the configuration"
    )]
    SoundUnreadable {
        /// Its name.
        sound: SoundId,
        /// Its file.
        path: PathBuf,
        /// What hound said.
        source: hound::Error,
    },
    /// A sound's file has another format.
    #[error("the sound {sound} in {path} is {found}; convert it: sox IN.wav -b 16 -c 1 -r 8000 {path}")]
    SoundFormat {
        /// Its name.
        sound: SoundId,
        /// Its file.
        path: PathBuf,
        /// What it is.
        found: String,
    },
    /// No pair of ports can be made of the configured range.
    #[error("the ports {first}-{last} hold no even RTP port followed by its RTCP port; widen media.ports")]
    PortRange {
        /// The first.
        first: u16,
        /// The last.
        last: u16,
    },
    /// A thread's ring could not be made.
    #[error(transparent)]
    Ring(#[from] RingError),
    /// The system refused something.
    #[error("{act}: {source}; check the limits on threads and open files (ulimit -n, -u)")]
    System {
        /// What was tried.
        act: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

/// The running media plane. Dropped without [`Media::stop`], its threads end by themselves.
#[derive(Debug)]
pub struct Media {
    sounds: Arc<Sounds>,
    threads: Vec<Thread>,
    rings: Vec<RingReader>,
    stopping: Arc<AtomicBool>,
}

#[derive(Debug)]
struct Thread {
    commands: SyncSender<MediaCommand>,
    wake: Arc<OwnedFd>,
    tally: Arc<Tally>,
    board: Arc<Board>,
    running: Option<JoinHandle<()>>,
}

/// Loads the sounds, makes the rings and starts the threads. Rings of an earlier run must have been recovered before.
/// `report` is called on the media threads: it must return at once.
pub fn start(
    settings: &MediaSettings,
    sounds: &BTreeMap<SoundId, PathBuf>,
    report: impl Fn(MediaReport) + Send + Sync + Clone + 'static,
) -> Result<Media, MediaError> {
    let sounds = Arc::new(Sounds::load(sounds)?);
    let ports = Arc::new(Ports::new(settings.address, settings.ports)?);
    let threads = match settings.threads {
        0 => available_parallelism().map_or(1, |cores| cores.get().min(THREADS_DEFAULT_MAX)),
        chosen => chosen,
    };
    crate::journal::ring::make_folder(&settings.ring_folder)?;
    let mut media = Media { sounds: sounds.clone(), threads: Vec::new(), rings: Vec::new(), stopping: Arc::default() };
    for index in 0..threads {
        let ring = RingWriter::create(&settings.ring_folder.join(format!("media-{index}.ring")), settings.ring_bytes)?;
        media.rings.push(ring.reader());
        let (commands, inbox) = sync_channel(COMMANDS_MAX);
        let wake = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC);
        let wake = Arc::new(wake.map_err(|e| system("making an eventfd")(e.into()))?);
        let (tally, board) = (Arc::<Tally>::default(), Arc::<Board>::default());
        let post = Post { inbox, wake: wake.clone(), stopping: media.stopping.clone(), report: report.clone() };
        let (shared, kept) = ((sounds.clone(), ports.clone()), (ring, tally.clone(), board.clone()));
        let worker = Worker::new(settings, shared, kept, post, draw_seed()?).map_err(system("making an epoll"))?;
        let running = std::thread::Builder::new().name(format!("media-{index}")).spawn(move || worker.run());
        let running = Some(running.map_err(system("starting a media thread"))?);
        media.threads.push(Thread { commands, wake, tally, board, running });
    }
    Ok(media)
}

/// The sounds of another configuration, read and found playable.
#[derive(Debug)]
pub struct ReadSounds(Loaded);

/// Reads sounds that [`Media::learn`] may take.
///
/// # Errors
/// The first that cannot be played, by its name and file.
pub fn read_sounds(files: &BTreeMap<SoundId, PathBuf>) -> Result<ReadSounds, MediaError> {
    sounds::read_all(files).map(ReadSounds)
}

impl Media {
    /// Plays these from now on; what is being played goes on as it was.
    pub fn learn(&self, sounds: ReadSounds) {
        self.sounds.learn(sounds.0);
    }

    /// Hands a command to the thread of its call; never blocks. A command for a thread that is stuck or gone is counted and lost.
    pub fn send(&self, command: MediaCommand) {
        self.send_all([command]);
    }

    /// Hands commands over in their order, and wakes each thread that they are for once: a call's beat has up to eight of
    /// them, and a wake-up costs both sides more than all that they ask.
    pub fn send_all(&self, commands: impl IntoIterator<Item = MediaCommand>) {
        let mut woken: u64 = 0;
        for command in commands {
            if let Some(place) = self.queue(command) {
                woken |= 1 << (place % 64);
            }
        }
        for (place, thread) in self.threads.iter().enumerate() {
            if woken & (1 << (place % 64)) != 0 {
                wake(&thread.wake);
            }
        }
    }

    /// Puts a command into the inbox of its call's thread; the place of that thread, if it took it.
    fn queue(&self, command: MediaCommand) -> Option<usize> {
        let place_of = |leg: LegId| place(leg.call, self.threads.len());
        // A mix of nobody is nobody's: any thread counts it.
        let place = leg_of(&command).map_or(0, place_of);
        let thread = self.threads.get(place)?;
        let is_elsewhere = matches!(&command, MediaCommand::Rename { to, .. } if place_of(*to) != place)
            || matches!(&command, MediaCommand::Mix { legs } if legs.iter().any(|mixed| place_of(mixed.leg) != place));
        if is_elsewhere {
            // A leg cannot move to another thread: whoever names it must see to that (`CallId::beside`).
            thread.tally.commands_unknown.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        match thread.commands.try_send(command) {
            Ok(()) => Some(place),
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                if thread.tally.commands_refused.fetch_add(1, Ordering::Relaxed) == 0 {
                    tracing::error!("a media thread is stuck or gone and loses commands: restart Vigie");
                }
                None
            }
        }
    }

    /// The reading ends of the rings, one a thread, for the recorder; empty the second time.
    pub fn rings(&mut self) -> Vec<RingReader> {
        std::mem::take(&mut self.rings)
    }

    /// What all threads have counted.
    pub fn counters(&self) -> MediaCounters {
        let mut sum = MediaCounters::default();
        for thread in &self.threads {
            thread.tally.add_to(&mut sum);
        }
        sum
    }

    /// What the open legs of a call are like, as of two seconds ago at most; a leg that was just opened is not there yet.
    pub fn quality(&self, call: CallId) -> Vec<(LegId, LegQuality)> {
        self.threads.get(place(call, self.threads.len())).map_or_else(Vec::new, |thread| thread.board.of(call))
    }

    /// How many legs are open, and how many of them somebody should know of.
    pub fn live_legs(&self) -> LiveLegs {
        let mut sum = LiveLegs::default();
        for thread in &self.threads {
            thread.board.add_to(&mut sum);
        }
        sum
    }

    /// Ends the threads once each has done the commands before this; legs still open are closed without a report.
    pub fn stop(mut self) {
        self.stopping.store(true, Ordering::Release);
        for thread in &mut self.threads {
            wake(&thread.wake);
            if thread.running.take().is_some_and(|running| running.join().is_err()) {
                tracing::error!("a media thread had ended in a panic");
            }
        }
    }
}

impl Drop for Media {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Release);
        for thread in &self.threads {
            wake(&thread.wake);
        }
    }
}

/// A full eventfd is as good as a written one: the thread wakes.
fn wake(eventfd: &OwnedFd) {
    let _ = rustix::io::write(eventfd, &1u64.to_ne_bytes());
}

fn system(act: &'static str) -> impl Fn(io::Error) -> MediaError {
    move |source| MediaError::System { act, source }
}

/// SSRCs and first sequence numbers must not be guessed (RFC 3550 §5.1): the seed is the system's.
fn draw_seed() -> Result<Chance, MediaError> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|e| system("drawing a random seed")(io::Error::other(e.to_string())))?;
    Ok(Chance::new(seed))
}

/// All legs of one call live on one thread. The low bits of a UUID version 7 are random.
fn place(call: CallId, threads: usize) -> usize {
    (call.0.as_u128() as u64 % threads.max(1) as u64) as usize
}

fn leg_of(command: &MediaCommand) -> Option<LegId> {
    Some(match command {
        MediaCommand::Open { leg }
        | MediaCommand::Aim { leg, .. }
        | MediaCommand::Play { leg, .. }
        | MediaCommand::Quiet { leg }
        | MediaCommand::Bridge { a: leg, .. }
        | MediaCommand::Unbridge { leg }
        | MediaCommand::Record { leg, .. }
        | MediaCommand::Watch { leg, .. }
        | MediaCommand::Key { leg, .. }
        | MediaCommand::Tone { leg, .. }
        | MediaCommand::Rename { from: leg, .. }
        | MediaCommand::Close { leg } => *leg,
        MediaCommand::Mix { legs } => return legs.first().map(|mixed| mixed.leg),
    })
}
