//! What one whole call costs: INVITE in, phone rung, answered, bridged, hung up, sealed.
//!
//! The carrier, the phone and both planes are scripted here; only what the decisions do is timed, their timers included.
//! "Stored" is the processor time, on all threads, of the decisions and of everything they store (record, offer, legs,
//! events, SIP messages) in SQLite on a real disk, at 100 calls a second, so that the writer gathers what it would.
//! On a machine that does other things as well, take the best of several runs; callgrind's count of instructions
//! (`--test`, `--toggle-collect='*Rig*call*'`: 3,201 calls) does not depend on the load.
#![allow(clippy::expect_used, clippy::panic, reason = "a bench may stop where it stands")]
#![allow(clippy::indexing_slicing, reason = "a bench may stop where it stands")]

#[path = "../sim/centre.rs"]
#[allow(dead_code, reason = "the simulation uses the rest")]
mod centre;
#[path = "../sim/sealing.rs"]
mod sealing;
#[path = "../sim/voice.rs"]
#[allow(dead_code, reason = "the simulation uses the rest")]
mod voice;
#[path = "../sim/wire.rs"]
#[allow(dead_code, reason = "the simulation uses the rest")]
mod wire;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::Criterion;
use vigie::call::Switch;
use vigie::config::settings::StorageSettings;
use vigie::model::{
    Action, Chance, Input, LegQuality, MediaCommand, MediaReport, Moment, Now, Path, RecorderCommand, RecorderReport,
    Transport, Utc,
};
use vigie::storage::{Storage, Writer, WriterSettings};
use vigie::switchboard::Decisions;
use vigie::useragent::UserAgent;
use wire::{Letter, Text, sdp};

/// The line that is called and the regulator who answers.
const LINE: &str = "+33233000001";
const REGULATOR: &str = "alix";
/// From one call to the next in virtual time: 100 calls a second, whose ended transactions are remembered for 32 s.
const PACE: Duration = Duration::from_millis(10);
/// The phone registers again after so many calls, before its 600 s are over.
const CALLS_A_REGISTRATION: u64 = 20_000;

struct Rig {
    decisions: Decisions,
    now: Now,
    /// Inputs to be given to the decisions.
    coming: VecDeque<Input>,
    /// What the decisions took, without what is scripted here.
    spent: Duration,
    calls: u64,
    registers: u64,
    ports: u64,
    ended: u64,
    sealed: u64,
    /// Where what is to be stored goes, if anywhere.
    writer: Option<Writer>,
    /// The caller's To: with Vigie's tag once it is known.
    to: String,
}

fn phone() -> SocketAddr {
    SocketAddr::from(([10, 2, 0, 1], 5060))
}

impl Rig {
    fn new() -> Rig {
        let mut site = (*centre::centre()).clone();
        let line = site.lines.get_mut(&"cherbourg".into()).expect("the line");
        line.greeting = None;
        line.wrap_up = Duration::ZERO;
        let site = Arc::new(site);
        let mut chance = Chance::from_number(1);
        let agent = UserAgent::new(centre::rules(), site.clone(), centre::credentials(&site), chance.fork());
        let switch = Switch::new(site, "Vigie/bench".into(), chance.fork());
        Rig {
            decisions: Decisions::new(agent, switch),
            now: Now { moment: Moment(1_000_000_000), utc: Utc(1_795_280_400_000_000) },
            coming: VecDeque::new(),
            spent: Duration::ZERO,
            calls: 0,
            registers: 0,
            ports: 0,
            ended: 0,
            sealed: 0,
            writer: None,
            to: String::new(),
        }
    }

    fn deliver(&mut self, from: SocketAddr, letter: Letter) {
        let path = Path { listener: 0, transport: Transport::Udp, peer: from };
        self.coming.push_back(Input::Sip { path, bytes: Bytes::from(letter.bytes()) });
    }

    fn step(&mut self, input: Input) {
        let mut actions = Vec::with_capacity(16);
        let started = Instant::now();
        self.decisions.step(input, self.now, &mut actions);
        self.spent += started.elapsed();
        for action in actions {
            self.react(action);
        }
    }

    /// Everything that follows, and the timers up to the next call.
    fn run(&mut self) {
        while let Some(input) = self.coming.pop_front() {
            self.step(input);
        }
        let end = self.now.after(PACE);
        while let Some((at, _)) = self.decisions.deadline().filter(|(at, _)| *at <= end.moment) {
            self.now = self.now.after(at.since(self.now.moment));
            self.step(Input::Tick);
            while let Some(input) = self.coming.pop_front() {
                self.step(input);
            }
        }
        self.now = end;
    }

    fn react(&mut self, action: Action) {
        match action {
            Action::Send { path, bytes } => {
                let text = Text::read(&bytes).expect("SIP");
                if path.peer == phone() { self.at_the_phone(&text) } else { self.at_the_carrier(path.peer, &text) }
            }
            Action::Media(MediaCommand::Open { leg }) => {
                self.ports += 1;
                let rtp = SocketAddr::from(([10, 0, 0, 1], 20_000 + 2 * (self.ports % 20_000) as u16));
                self.coming.push_back(Input::Media(MediaReport::Opened { leg, rtp }));
            }
            Action::Media(MediaCommand::Close { leg }) => {
                let quality = Box::new(LegQuality { packets_received: 50, ..LegQuality::default() });
                self.coming.push_back(Input::Media(MediaReport::Closed { leg, quality }));
            }
            Action::Recorder(RecorderCommand::Finish { call, at, record }) => {
                self.sealed += 1;
                let sealed = sealing::sealed(call, self.calls, at.utc, &record);
                self.coming.push_back(Input::Recorder(RecorderReport::Sealed(Box::new(sealed))));
            }
            Action::Store(facts) => {
                if let Some(writer) = &self.writer {
                    writer.remember(facts);
                }
            }
            Action::Alarm(alarm) => panic!("{}: {}", alarm.kind, alarm.text),
            _ => {}
        }
    }

    fn at_the_phone(&mut self, text: &Text) {
        let rtp = SocketAddr::from(([10, 2, 0, 1], 40_000));
        match text.method() {
            "INVITE" => {
                let tag = format!("p{}", self.calls);
                self.deliver(phone(), text.answer(180, "Ringing", &tag).with("Contact", "<sip:alix@10.2.0.1>"));
                let ok = text.answer(200, "OK", &tag).with("Contact", "<sip:alix@10.2.0.1>");
                self.deliver(phone(), ok.with_sdp(&sdp(rtp, 1, "8 0", "sendrecv")));
            }
            // The caller has had enough as soon as both are bridged.
            "ACK" => {
                let bye = self.request("BYE", 2);
                self.deliver(centre::trunk(0), bye);
            }
            "BYE" => self.deliver(phone(), text.answer(200, "OK", "")),
            "SIP/2.0" if text.status() == Some(401) => self.register(Some(text)),
            _ => {}
        }
    }

    fn at_the_carrier(&mut self, from: SocketAddr, text: &Text) {
        match (text.status(), text.cseq().1) {
            (Some(200), "INVITE") => {
                self.to = text.header("to").to_owned();
                let ack = self.request("ACK", 1);
                self.deliver(from, ack);
            }
            (Some(200), "BYE") => self.ended += 1,
            (Some(status), _) if status >= 300 => panic!("{}", text.start),
            _ => {}
        }
    }

    /// A request of the caller, in or before the dialog.
    fn request(&self, method: &str, cseq: u32) -> Letter {
        let (call, from) = (self.calls, centre::trunk(0));
        Letter::new(format!("{method} sip:{LINE}@10.0.0.1:5060 SIP/2.0"))
            .with("Via", &format!("SIP/2.0/UDP {from};rport;branch=z9hG4bKb{call}{method}"))
            .with("Max-Forwards", "66")
            .with("From", &format!("\"Jean\" <sip:+33639980123@carrier.example;user=phone>;tag=t{call}"))
            .with("To", &self.to)
            .with("Call-ID", &format!("call-{call}@10.1.0.1"))
            .with("CSeq", &format!("{cseq} {method}"))
            .with("Contact", &format!("<sip:gw@{from}>"))
    }

    /// One whole call; what the decisions took for it.
    fn call(&mut self) -> Duration {
        if self.calls.is_multiple_of(CALLS_A_REGISTRATION) {
            self.register(None);
            self.run();
        }
        self.calls += 1;
        self.to = format!("<sip:{LINE}@10.0.0.1>");
        let (before, ended) = (self.spent, self.ended);
        let rtp = SocketAddr::from(([10, 1, 0, 1], 40_000));
        let invite = self.request("INVITE", 1).with_sdp(&sdp(rtp, 1, "8 0", "sendrecv"));
        self.deliver(centre::trunk(0), invite);
        self.run();
        assert!(self.ended == ended + 1 && self.sealed == self.calls, "call {} did not go its way", self.calls);
        assert_eq!(self.decisions.switch().calls().count(), 0, "nothing of the call is left");
        self.spent - before
    }

    fn register(&mut self, challenge: Option<&Text>) {
        self.registers += 1;
        let uri = "sip:10.0.0.1";
        let user = format!("<sip:{REGULATOR}@vigie>");
        let mut letter = Letter::new(format!("REGISTER {uri} SIP/2.0"))
            .with("Via", &format!("SIP/2.0/UDP {};rport;branch=z9hG4bKr{}", phone(), self.registers))
            .with("Max-Forwards", "70")
            .with("From", &format!("{user};tag=r{}", self.registers))
            .with("To", &user)
            .with("Call-ID", "register-of-the-bench")
            .with("CSeq", &format!("{} REGISTER", self.registers))
            .with("Contact", &format!("<sip:{REGULATOR}@{}>", phone()))
            .with("Expires", "600");
        if let Some(challenge) = challenge {
            let proof = centre::account(REGULATOR).answer(challenge, "REGISTER", uri, "c");
            letter = letter.with("Authorization", &proof.expect("a challenge"));
        }
        self.deliver(phone(), letter);
    }
}

/// Processor time of this process, all threads.
fn spent_by_all() -> Duration {
    let spent = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(spent.tv_sec as u64, spent.tv_nsec as u32)
}

fn decided(criterion: &mut Criterion) {
    criterion.bench_function("decisions: a whole call, both legs", |bench| {
        let mut rig = Rig::new();
        // As many calls as leave transactions behind that are still remembered.
        for _ in 0..3_200 {
            rig.call();
        }
        bench.iter_custom(|calls| (0..calls).map(|_| rig.call()).sum());
    });
}

fn stored(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decisions and storage");
    group.sample_size(10).warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(20));
    group.bench_function("CPU of a whole call, both legs, stored", |bench| {
        let folder = tempfile::tempdir().expect("a folder");
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let url = format!("sqlite:{}", folder.path().join("vigie.db").display());
        let storage = runtime.block_on(Storage::open(&StorageSettings { url, ladder_days: 30 })).expect("a database");
        let spool = folder.path().join("spool");
        let settings =
            WriterSettings { spool, endpoints: Vec::new(), alarm: Arc::new(|alarm| panic!("{}", alarm.text)) };
        let writer = runtime.block_on(Writer::start(&storage, settings)).expect("a writer");
        let mut rig = Rig::new();
        rig.writer = Some(writer.clone());
        bench.iter_custom(|calls| {
            let (before, decided, started) = (spent_by_all(), rig.spent, Instant::now());
            let mut slept = Duration::ZERO;
            for n in 0..calls {
                rig.call();
                let due = PACE.saturating_mul(u32::try_from(n + 1).unwrap_or(u32::MAX));
                let rest = due.saturating_sub(started.elapsed());
                let asleep = Instant::now();
                std::thread::sleep(rest);
                slept += asleep.elapsed();
            }
            let scripted = (started.elapsed() - slept).saturating_sub(rig.spent - decided);
            runtime.block_on(writer.flush()).expect("stored");
            (spent_by_all() - before).saturating_sub(scripted)
        });
    });
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    decided(&mut criterion);
    stored(&mut criterion);
    criterion.final_summary();
}
