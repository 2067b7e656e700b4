//! Sequences of SIP messages into the decision loop: dialogs of a carrier and of phones whose every message may be
//! changed, repeated, late or missing, with the media plane answering and time passing.

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use vigie::call::Switch;
use vigie::model::{
    Action, Chance, Input, LegId, MediaCommand, MediaReport, Moment, Now, OneWay, Path, RecorderCommand,
    RecorderReport, Transport, Utc,
};
use vigie::switchboard::Decisions;
use vigie::useragent::UserAgent;

use crate::mutation::{mutate, note};
use crate::wire::{Letter, Text, sdp};
use crate::{Failure, centre, corpus};

/// Steps of one case.
const STEPS: u64 = 120;
/// Messages that one input may bring about: a hang-up of every leg there is, and no flood.
const SENT_MAX: usize = 200;
/// Rows of any one table: no more than a case's own inputs can have made.
const KEPT_MAX: usize = 2_000;
/// Messages of Vigie's that are remembered, to be answered or taken up.
const HEARD_MAX: usize = 40;
/// Ticks until everything must be over.
const TICKS_MAX: usize = 200_000;
/// After so long without anybody saying anything, nothing may be kept.
const AFTER: Duration = Duration::from_secs(4 * 3_600);
/// The methods of requests within a dialog.
const WITHIN: [&str; 10] =
    ["ACK", "BYE", "INVITE", "INFO", "UPDATE", "PRACK", "REFER", "SUBSCRIBE", "NOTIFY", "OPTIONS"];
/// Answers to a request of Vigie's.
const STATUSES: [u16; 16] = [100, 180, 183, 200, 200, 200, 202, 302, 401, 408, 422, 481, 486, 491, 503, 603];

struct Case {
    decisions: Decisions,
    chance: Chance,
    now: Now,
    seeds: Vec<Vec<u8>>,
    /// What Vigie sent, and whereto.
    heard: VecDeque<(SocketAddr, Text)>,
    sent: VecDeque<(SocketAddr, Vec<u8>)>,
    reports: VecDeque<Input>,
    count: u64,
    ports: u16,
    /// The legs whose silence would be told.
    watched: BTreeSet<LegId>,
    input: Vec<u8>,
}

/// One case of this seed.
pub fn try_sequence(seed: u64) -> Result<(), Failure> {
    let mut chance = Chance::from_number(seed);
    let site = centre::centre();
    let useragent = UserAgent::new(centre::rules(), site.clone(), centre::credentials(&site), chance.fork());
    let switch = Switch::new(site, "Vigie/fuzz".into(), chance.fork());
    let mut case = Case {
        decisions: Decisions::new(useragent, switch),
        chance,
        now: Now { moment: Moment(1_000_000_000), utc: Utc(1_795_280_400_000_000) },
        seeds: corpus::messages(),
        heard: VecDeque::new(),
        sent: VecDeque::new(),
        reports: VecDeque::new(),
        count: 0,
        ports: 0,
        watched: BTreeSet::new(),
        input: Vec::new(),
    };
    let outcome = case.play();
    outcome.map_err(|what| Failure { what, input: case.input })
}

fn phone(index: u64) -> (&'static str, SocketAddr) {
    let users = ["alix", "denis", "hugo"];
    let index = (index % 3) as usize;
    (users[index], SocketAddr::from(([10, 2, 0, 1 + index as u8], 5060)))
}

impl Case {
    fn play(&mut self) -> Result<(), String> {
        for index in 0..3 {
            self.register(index)?;
        }
        for _ in 0..STEPS {
            match self.chance.below(20) {
                0..=2 => self.call_in()?,
                3..=6 => self.answer()?,
                7..=10 => self.go_on()?,
                11 => self.cancel()?,
                12 => self.subscribe_or_dial()?,
                13 => self.register_again()?,
                14 => self.stray()?,
                15 => self.repeat()?,
                16 => self.cut()?,
                17 => {
                    let span = self.chance.below(40_000_000);
                    self.pass(Duration::from_micros(span))?;
                }
                _ => self.report()?,
            }
            if self.chance.below(3) > 0 {
                self.report()?;
            }
        }
        self.end()
    }

    /// A registration that is right, unless it is changed on its way.
    fn register(&mut self, index: u64) -> Result<(), String> {
        let (user, from) = phone(index);
        let uri = format!("sip:{}", centre::vigie());
        let account = centre::account(user);
        let letter = |count: u64, proof: Option<String>| {
            let mut letter = Letter::new(format!("REGISTER {uri} SIP/2.0"))
                .with("Via", &format!("SIP/2.0/UDP {from};rport;branch=z9hG4bKr{count}"))
                .with("Max-Forwards", "70")
                .with("From", &format!("<sip:{user}@{}>;tag=r{count}", centre::REALM))
                .with("To", &format!("<sip:{user}@{}>", centre::REALM))
                .with("Call-ID", &format!("register-{user}"))
                .with("CSeq", &format!("{count} REGISTER"))
                .with("Contact", &format!("<sip:{user}@{from}>"))
                .with("Expires", "600");
            if let Some(proof) = proof {
                letter = letter.with("Authorization", &proof);
            }
            letter.bytes()
        };
        self.count += 2;
        let count = self.count;
        self.heard.clear();
        self.deliver(from, letter(count, None))?;
        let refusal =
            self.heard.iter().rev().find(|(_, text)| text.status() == Some(401)).map(|(_, text)| text.clone());
        let proof = refusal.and_then(|refusal| account.answer(&refusal, "REGISTER", &uri, "c"));
        self.deliver(from, letter(count + 1, proof))
    }

    fn register_again(&mut self) -> Result<(), String> {
        let index = self.chance.below(3);
        self.register(index)
    }

    fn offer(&mut self, from: SocketAddr) -> String {
        self.count += 1;
        let way = ["sendrecv", "sendrecv", "sendonly", "recvonly", "inactive"][self.chance.below(5) as usize];
        let codecs = ["8 0 101", "0", "8", "18", "8 101"][self.chance.below(5) as usize];
        sdp(SocketAddr::new(from.ip(), 6_000 + (self.count % 1_000) as u16 * 2), 1, codecs, way)
    }

    /// A call of the carrier's.
    fn call_in(&mut self) -> Result<(), String> {
        self.count += 1;
        let (from, count) = (centre::trunk(self.chance.below(2)), self.count);
        let ddi =
            ["+33235000001", "+33233000001", "+33493000001", "+33380000001", "999"][self.chance.below(5) as usize];
        let mut letter = Letter::new(format!("INVITE sip:{ddi}@10.0.0.1 SIP/2.0"))
            .with("Via", &format!("SIP/2.0/UDP {from};rport;branch=z9hG4bKc{count}"))
            .with("Max-Forwards", "70")
            .with("From", &format!("<sip:+336123456{:02}@{from}>;tag=c{count}", count % 100))
            .with("To", &format!("<sip:{ddi}@10.0.0.1>"))
            .with("Call-ID", &format!("case-{count}"))
            .with("CSeq", "1 INVITE")
            .with("Contact", &format!("<sip:gw@{from}>"));
        if self.chance.below(3) == 0 {
            letter = letter.with("Supported", "timer, 100rel").with("Session-Expires", "90");
        }
        if self.chance.below(6) > 0 {
            letter = letter.with_sdp(&self.offer(from));
        }
        self.deliver_changed(from, letter.bytes())
    }

    fn heard(&mut self, is_wanted: impl Fn(&Text) -> bool) -> Option<(SocketAddr, Text)> {
        let found: Vec<usize> = (0..self.heard.len()).filter(|at| is_wanted(&self.heard[*at].1)).collect();
        // The newest ones mostly.
        let back = self.chance.below(found.len().clamp(1, 4) as u64) as usize;
        let at = *found.get(found.len().checked_sub(1 + back)?)?;
        self.heard.get(at).cloned()
    }

    /// An answer to a request of Vigie's.
    fn answer(&mut self) -> Result<(), String> {
        let Some((from, request)) = self.heard(|text| text.status().is_none() && text.method() != "ACK") else {
            return Ok(());
        };
        let status = STATUSES[self.chance.below(STATUSES.len() as u64) as usize];
        let fork = self.chance.below(8) / 7;
        let mut letter = request.answer(status, "Whatever", &format!("p{fork}"));
        letter = letter.with("Contact", &format!("<sip:phone@{from}>"));
        if request.method() == "INVITE" && (status == 200 || status == 183) && self.chance.below(6) > 0 {
            if self.chance.below(4) == 0 {
                letter = letter.with("Require", "100rel").with("RSeq", "1");
            }
            letter = letter.with_sdp(&self.offer(from));
        }
        self.deliver_changed(from, letter.bytes())
    }

    /// A request within a dialog that Vigie knows: of a 200 of its own, or of a request that it sent.
    fn go_on(&mut self) -> Result<(), String> {
        let is_dialog = |text: &Text| {
            let is_ok = text.status() == Some(200) && text.cseq().1 == "INVITE";
            (is_ok || text.status().is_none()) && text.header("from").contains(";tag=")
        };
        let Some((from, text)) = self.heard(is_dialog) else { return Ok(()) };
        self.count += 1;
        let method = WITHIN[self.chance.below(WITHIN.len() as u64) as usize];
        let is_answer = text.status().is_some();
        let (mut near, mut far) = (text.header("from").to_owned(), text.header("to").to_owned());
        if !is_answer {
            std::mem::swap(&mut near, &mut far);
            near = if near.contains(";tag=") { near } else { format!("{near};tag=p0") };
        }
        let number = match (method, is_answer) {
            ("ACK", _) => text.cseq().0,
            _ => 2 + (self.count % 1_000) as u32,
        };
        let target = if text.contact().is_empty() { "sip:vigie@10.0.0.1" } else { text.contact() };
        let mut letter = Letter::new(format!("{method} {target} SIP/2.0"))
            .with("Via", &format!("SIP/2.0/UDP {from};rport;branch=z9hG4bKw{}", self.count))
            .with("Max-Forwards", "70")
            .with("From", &near)
            .with("To", &far)
            .with("Call-ID", text.header("call-id"))
            .with("CSeq", &format!("{number} {method}"))
            .with("Contact", &format!("<sip:x@{from}>"));
        match method {
            "REFER" => {
                let other = self.heard(|text| !text.header("call-id").is_empty()).map(|(_, text)| text);
                let whom = match other.filter(|_| self.chance.below(2) == 0) {
                    Some(other) => {
                        format!("<sip:denis@10.0.0.1?Replaces={}%3Bto-tag%3Da%3Bfrom-tag%3Db>", other.header("call-id"))
                    }
                    None => "<sip:denis@10.0.0.1>".to_owned(),
                };
                letter = letter.with("Refer-To", &whom);
            }
            "SUBSCRIBE" | "NOTIFY" => {
                letter = letter.with("Event", "refer").with("Expires", "60").with("Subscription-State", "active");
            }
            "PRACK" => letter = letter.with("RAck", "1 1 INVITE"),
            _ => {}
        }
        if matches!(method, "INVITE" | "UPDATE") || (method == "ACK" && self.chance.below(2) == 0) {
            letter = letter.with_sdp(&self.offer(from));
        }
        self.deliver_changed(from, letter.bytes())
    }

    /// A CANCEL of something that was sent before.
    fn cancel(&mut self) -> Result<(), String> {
        let invites: Vec<_> = self.sent.iter().filter(|(_, bytes)| bytes.starts_with(b"INVITE ")).cloned().collect();
        let Some((from, bytes)) = invites.get(self.chance.below(invites.len().max(1) as u64) as usize) else {
            return Ok(());
        };
        let text =
            String::from_utf8_lossy(bytes).replacen("INVITE ", "CANCEL ", 1).replace(" INVITE\r\n", " CANCEL\r\n");
        self.deliver_changed(*from, text.into_bytes())
    }

    /// A phone watches a colleague, or dials somebody.
    fn subscribe_or_dial(&mut self) -> Result<(), String> {
        self.count += 1;
        let (user, from) = phone(self.chance.below(3));
        let whom = ["*10", "*11", "denis", "alix", "+33612345678", "nobody"][self.chance.below(6) as usize];
        let method = if self.chance.below(2) == 0 { "SUBSCRIBE" } else { "INVITE" };
        let uri = format!("sip:{whom}@10.0.0.1");
        let (count, offer) = (self.count, self.offer(from));
        let letter = |cseq: u32, proof: Option<String>| {
            let mut letter = Letter::new(format!("{method} {uri} SIP/2.0"))
                .with("Via", &format!("SIP/2.0/UDP {from};rport;branch=z9hG4bKd{count}-{cseq}"))
                .with("Max-Forwards", "70")
                .with("From", &format!("<sip:{user}@{}>;tag=d{count}", centre::REALM))
                .with("To", &format!("<{uri}>"))
                .with("Call-ID", &format!("dialled-{count}"))
                .with("CSeq", &format!("{cseq} {method}"))
                .with("Contact", &format!("<sip:{user}@{from}>"));
            if let Some(proof) = proof {
                letter = letter.with("Proxy-Authorization", &proof).with("Authorization", &proof);
            }
            match method {
                "SUBSCRIBE" => letter.with("Event", "dialog").with("Expires", "120").bytes(),
                _ => letter.with_sdp(&offer).bytes(),
            }
        };
        self.deliver(from, letter(1, None))?;
        let is_challenge = |text: &Text| matches!(text.status(), Some(401 | 407));
        let refusal = self.heard.iter().rev().find(|(_, text)| is_challenge(text)).map(|(_, text)| text.clone());
        let proof = refusal.and_then(|refusal| centre::account(user).answer(&refusal, method, &uri, "c"));
        self.deliver_changed(from, letter(2, proof))
    }

    fn somebody(&mut self) -> SocketAddr {
        match self.chance.below(3) {
            0 => centre::trunk(self.chance.below(2)),
            1 => phone(self.chance.below(3)).1,
            _ => SocketAddr::from(([198, 51, 100, 7], 5060)),
        }
    }

    /// Something that has nothing to do with anything.
    fn stray(&mut self) -> Result<(), String> {
        let from = self.somebody();
        let at = self.chance.below(self.seeds.len() as u64) as usize;
        let bytes = self.seeds[at].clone();
        self.deliver_changed(from, bytes)
    }

    /// Something again, of whoever.
    fn repeat(&mut self) -> Result<(), String> {
        let at = self.chance.below(self.sent.len().max(1) as u64) as usize;
        let Some((from, bytes)) = self.sent.get(at).cloned() else { return Ok(()) };
        let from = if self.chance.below(4) == 0 { self.somebody() } else { from };
        self.deliver_changed(from, bytes)
    }

    /// Nobody can be reached there.
    fn cut(&mut self) -> Result<(), String> {
        let path = Path { listener: 0, transport: Transport::Udp, peer: self.somebody() };
        self.step(Input::Cut { path, why: "port unreachable".into() })
    }

    /// What the planes have to say, the oldest first.
    fn report(&mut self) -> Result<(), String> {
        match self.reports.pop_front() {
            Some(report) => self.step(report),
            None => Ok(()),
        }
    }

    fn deliver_changed(&mut self, from: SocketAddr, mut bytes: Vec<u8>) -> Result<(), String> {
        if self.chance.below(3) == 0 {
            let at = self.chance.below(self.seeds.len() as u64) as usize;
            mutate(&mut bytes, &self.seeds[at], &mut self.chance);
        }
        self.deliver(from, bytes)
    }

    fn deliver(&mut self, from: SocketAddr, bytes: Vec<u8>) -> Result<(), String> {
        note(&bytes);
        self.input.clone_from(&bytes);
        self.sent.push_back((from, bytes.clone()));
        if self.sent.len() > HEARD_MAX {
            self.sent.pop_front();
        }
        let path = Path { listener: 0, transport: Transport::Udp, peer: from };
        self.step(Input::Sip { path, bytes: Bytes::from(bytes) })
    }

    fn pass(&mut self, span: Duration) -> Result<(), String> {
        let end = self.now.after(span);
        for _ in 0..TICKS_MAX {
            let due = self.decisions.deadline().map(|(at, _)| at).filter(|at| *at <= end.moment);
            let Some(at) = due else {
                self.now = end;
                return Ok(());
            };
            self.now = self.now.after(at.since(self.now.moment));
            self.step(Input::Tick)?;
            // The planes do not wait for the next step.
            self.report()?;
        }
        Err(format!("a deadline does not pass: {:?}", self.decisions.deadline()))
    }

    fn step(&mut self, input: Input) -> Result<(), String> {
        let mut actions = Vec::new();
        self.decisions.step(input, self.now, &mut actions);
        let mut sent = 0;
        for action in actions {
            match action {
                Action::Send { path, bytes } => {
                    sent += 1;
                    if let Some(text) = Text::read(&bytes) {
                        self.heard.push_back((path.peer, text));
                    }
                    if self.heard.len() > HEARD_MAX {
                        self.heard.pop_front();
                    }
                }
                Action::Alarm(alarm) if alarm.kind.ends_with("-fault") => {
                    return Err(format!("{}: {}", alarm.kind, alarm.text));
                }
                Action::Media(command) => {
                    let report = self.media(command);
                    self.reports.extend(report);
                }
                Action::Recorder(RecorderCommand::Finish { call, .. }) => {
                    let reason = "nothing is recorded here".to_owned();
                    self.reports.push_back(Input::Recorder(RecorderReport::Failed { call, reason }));
                }
                _ => {}
            }
        }
        if sent > SENT_MAX {
            return Err(format!("{sent} messages sent because of one input"));
        }
        match self.decisions.count_kept().into_iter().find(|(_, count)| *count > KEPT_MAX) {
            Some((table, count)) => Err(format!("{count} rows kept in `{table}`")),
            None => Ok(()),
        }
    }

    fn media(&mut self, command: MediaCommand) -> Option<Input> {
        let report = match command {
            MediaCommand::Open { leg } => {
                self.ports = (self.ports + 2) % 20_000;
                match self.chance.below(30) {
                    0 => MediaReport::OpenFailed { leg, why: "no port".into() },
                    _ => MediaReport::Opened { leg, rtp: SocketAddr::from(([10, 0, 0, 1], 20_000 + self.ports)) },
                }
            }
            MediaCommand::Play { leg, .. } => MediaReport::Played { leg },
            MediaCommand::Close { leg } => {
                self.watched.remove(&leg);
                MediaReport::Closed { leg, quality: Box::default() }
            }
            MediaCommand::Watch { leg, on } => {
                if on {
                    self.watched.insert(leg)
                } else {
                    self.watched.remove(&leg)
                };
                let is_over = !on;
                return (self.chance.below(8) == 0).then_some(Input::Media(MediaReport::OneWay {
                    leg,
                    way: OneWay::SendsNothing,
                    is_over,
                }));
            }
            MediaCommand::Aim { .. }
            | MediaCommand::Key { .. }
            | MediaCommand::Tone { .. }
            | MediaCommand::Quiet { .. }
            | MediaCommand::Bridge { .. }
            | MediaCommand::Mix { .. }
            | MediaCommand::Unbridge { .. }
            | MediaCommand::Record { .. } => return None,
            MediaCommand::Rename { from, to } => {
                if self.watched.remove(&from) {
                    self.watched.insert(to);
                }
                return None;
            }
        };
        Some(Input::Media(report))
    }

    /// Everybody falls silent; in the end nothing is kept.
    fn end(&mut self) -> Result<(), String> {
        let mut rounds = 0;
        let until = self.now.after(AFTER);
        while self.now.moment < until.moment {
            // No RTP comes from anybody.
            let silent = self.watched.iter().map(|leg| Input::Media(MediaReport::Silent { leg: *leg }));
            self.reports.extend(silent);
            while !self.reports.is_empty() {
                self.report()?;
                rounds += 1;
                if rounds > TICKS_MAX {
                    return Err("the planes are asked for ever".to_owned());
                }
            }
            self.pass(Duration::from_secs(60))?;
        }
        let left: Vec<_> = self.decisions.count_kept().into_iter().filter(|(_, count)| *count > 0).collect();
        if std::env::var_os("VIGIE_FUZZ_SHOWN").is_some() && !left.is_empty() {
            println!("{:#?}", self.decisions.useragent());
        }
        if left.is_empty() { Ok(()) } else { Err(format!("left behind: {left:?}")) }
    }
}
