//! A telephone: INVITE, ACK, CANCEL, BYE, REGISTER with their repetitions over UDP, written plainly and on its own.

mod hearing;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use vigie::model::Chance;

use crate::wire::{Letter, Text, between, sdp};

const T1_MS: u64 = 500;
const T2_MS: u64 = 4_000;
const PATIENCE_MS: u64 = 32_000;

/// What wakes a phone or the person who holds it.
#[derive(Clone, Debug)]
pub enum Timer {
    /// A request is sent again.
    Again { branch: String, method: String },
    /// A final answer is sent again.
    FinalAgain { call_id: String },
    /// The person's own.
    Person(crate::people::Wish),
}

/// What a phone does in one turn.
#[derive(Debug, Default)]
pub struct Turn {
    /// Sent to Vigie.
    pub sends: Vec<Vec<u8>>,
    /// To be woken after so many milliseconds.
    pub timers: Vec<(u64, Timer)>,
    /// Whether RTP flows from these sockets.
    pub rtp: Vec<(SocketAddr, bool)>,
    /// Keys pressed, by our RTP socket.
    pub keys: Vec<(SocketAddr, char)>,
}

/// Where a call stands, as the phone sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// We called; nothing but a 100 or 180 came. `true`: a provisional answer is there.
    Inviting(bool),
    /// We called and gave up.
    Cancelling,
    /// It rings here.
    Ringing,
    /// We picked up; no ACK yet.
    Accepted,
    /// Both sides talk.
    Confirmed,
    /// We said BYE.
    Leaving,
    /// Over.
    Over,
}

/// One call on a phone.
#[derive(Clone, Debug)]
pub struct Talk {
    pub call_id: String,
    pub stage: Stage,
    /// Vigie's own name of the call, on regulators' phones.
    pub vigie_call: String,
    /// Our RTP socket.
    pub rtp: SocketAddr,
    /// Which payload types we speak.
    pub codecs: &'static str,
    /// We hold the other side.
    pub holding: bool,
    /// When the stage began, in milliseconds.
    pub since_ms: u64,
    local: String,
    remote: String,
    target: String,
    cseq: u32,
    invite: Option<Text>,
    invite_branch: String,
    last: Option<Final>,
    ack: Option<(u32, Vec<u8>)>,
    version: u32,
    is_late: bool,
    loses_acks: bool,
}

#[derive(Clone, Debug)]
struct Final {
    bytes: Vec<u8>,
    interval_ms: u64,
    left_ms: u64,
    is_ok: bool,
}

#[derive(Clone, Debug)]
struct Pending {
    bytes: Vec<u8>,
    interval_ms: u64,
    left_ms: u64,
    call_id: String,
}

/// What a phone tells its person.
#[derive(Clone, Debug)]
pub enum News {
    /// It rings.
    Rings { call_id: String },
    /// Our call was picked up, or our 200 confirmed.
    Talks { call_id: String },
    /// The other side hung up or cancelled, or gave no sign.
    Over,
    /// Our call was refused; the whole answer.
    Refused { answer: Text },
    /// Our REFER was answered.
    Referred { call_id: String, status: u16 },
    /// How far what a REFER asked has come: the status of a NOTIFY.
    Progress { call_id: String, status: u16 },
    /// A REGISTER was answered (or was not).
    Registered { answer: Option<Text> },
}

impl Talk {
    /// How long it may ring here, as the INVITE says.
    pub fn rings_for_s(&self) -> Option<u64> {
        self.invite.as_ref()?.header("expires").parse().ok()
    }
}

/// An INVITE to be sent.
pub struct Wanted<'a> {
    pub uri: &'a str,
    pub from: &'a str,
    pub call_id: &'a str,
    pub rtp: SocketAddr,
    pub codecs: &'static str,
    /// No SDP in the INVITE.
    pub is_late: bool,
    /// Its ACKs never arrive.
    pub loses_acks: bool,
    pub headers: Vec<(&'a str, String)>,
}

/// One telephone.
#[derive(Debug)]
pub struct Phone {
    pub address: SocketAddr,
    /// Where its RTP sockets are when it is called.
    pub media: IpAddr,
    pub chance: Chance,
    pub talks: BTreeMap<String, Talk>,
    pub now_ms: u64,
    pending: BTreeMap<(String, String), Pending>,
    answered: BTreeMap<(String, String), Vec<u8>>,
    cseq: u32,
    token: u64,
}

impl Phone {
    pub fn new(address: SocketAddr, chance: Chance) -> Phone {
        Phone {
            address,
            media: address.ip(),
            chance,
            talks: BTreeMap::new(),
            now_ms: 0,
            pending: BTreeMap::new(),
            answered: BTreeMap::new(),
            cseq: 0,
            token: 0,
        }
    }

    pub fn token(&mut self) -> String {
        self.token += 1;
        format!("{}x{}", self.token, self.chance.token())
    }

    fn via(&self, branch: &str) -> String {
        format!("SIP/2.0/UDP {};branch={branch};rport", self.address)
    }

    fn contact(&self) -> String {
        format!("<sip:phone@{}>", self.address)
    }

    /// Everything is forgotten, as when the power goes.
    pub fn lose_power(&mut self, turn: &mut Turn) {
        for talk in self.talks.values() {
            turn.rtp.push((talk.rtp, false));
        }
        self.talks.clear();
        self.pending.clear();
        self.answered.clear();
    }

    /// Whether any call is on.
    pub fn is_busy(&self) -> bool {
        self.talks.values().any(|talk| talk.stage != Stage::Over)
    }

    fn turn_to(&mut self, call_id: &str, stage: Stage, turn: &mut Turn) {
        let now_ms = self.now_ms;
        let Some(talk) = self.talks.get_mut(call_id) else { return };
        talk.stage = stage;
        talk.since_ms = now_ms;
        match stage {
            Stage::Confirmed | Stage::Accepted => turn.rtp.push((talk.rtp, true)),
            Stage::Over | Stage::Leaving => turn.rtp.push((talk.rtp, false)),
            Stage::Inviting(_) | Stage::Cancelling | Stage::Ringing => {}
        }
    }

    fn ask(&mut self, method: &str, branch: &str, call_id: &str, bytes: Vec<u8>, turn: &mut Turn) {
        turn.sends.push(bytes.clone());
        let key = (branch.to_owned(), method.to_owned());
        let call_id = call_id.to_owned();
        self.pending.insert(key, Pending { bytes, interval_ms: T1_MS, left_ms: PATIENCE_MS, call_id });
        turn.timers.push((T1_MS, Timer::Again { branch: branch.to_owned(), method: method.to_owned() }));
    }

    /// REGISTER; `expires_s` 0 takes the phone away.
    pub fn register(&mut self, user: &str, expires_s: u64, authorization: Option<&str>, turn: &mut Turn) {
        self.cseq += 1;
        let branch = format!("z9hG4bK{}", self.token());
        let aor = format!("<sip:{user}@{}>", crate::centre::REALM);
        let tag = self.token();
        let call_id = format!("reg-{}", self.address);
        let mut letter = Letter::new(format!("REGISTER sip:{} SIP/2.0", crate::centre::REALM))
            .with("Via", &self.via(&branch))
            .with("Max-Forwards", "70")
            .with("From", &format!("{aor};tag={tag}"))
            .with("To", &aor)
            .with("Call-ID", &call_id)
            .with("CSeq", &format!("{} REGISTER", self.cseq))
            .with("Contact", &self.contact())
            .with("Expires", &expires_s.to_string());
        if let Some(authorization) = authorization {
            letter = letter.with("Authorization", authorization);
        }
        self.ask("REGISTER", &branch, &call_id, letter.bytes(), turn);
    }

    /// Calls somebody.
    pub fn invite(&mut self, wanted: Wanted<'_>, turn: &mut Turn) {
        let branch = format!("z9hG4bK{}", self.token());
        let known = self.talks.get(wanted.call_id);
        let cseq = known.map_or(1, |talk| talk.cseq + 1);
        let local = format!("{};tag={}", wanted.from, self.token());
        let remote = format!("<{}>", wanted.uri);
        let mut letter = Letter::new(format!("INVITE {} SIP/2.0", wanted.uri))
            .with("Via", &self.via(&branch))
            .with("Max-Forwards", "70")
            .with("From", &local)
            .with("To", &remote)
            .with("Call-ID", wanted.call_id)
            .with("CSeq", &format!("{cseq} INVITE"))
            .with("Contact", &self.contact());
        for (name, value) in &wanted.headers {
            letter = letter.with(name, value);
        }
        if !wanted.is_late {
            letter = letter.with_sdp(&sdp(wanted.rtp, 1, wanted.codecs, "sendrecv"));
        }
        let talk = Talk {
            call_id: wanted.call_id.to_owned(),
            stage: Stage::Inviting(false),
            vigie_call: String::new(),
            rtp: wanted.rtp,
            codecs: wanted.codecs,
            holding: false,
            since_ms: self.now_ms,
            local,
            remote,
            target: wanted.uri.to_owned(),
            cseq,
            invite: None,
            invite_branch: branch.clone(),
            last: None,
            ack: None,
            version: 1,
            is_late: wanted.is_late,
            loses_acks: wanted.loses_acks,
        };
        self.talks.insert(wanted.call_id.to_owned(), talk);
        self.ask("INVITE", &branch, wanted.call_id, letter.bytes(), turn);
    }

    /// A request within a dialog.
    fn within(&mut self, method: &str, call_id: &str, body: Option<&str>, turn: &mut Turn) -> Option<String> {
        self.within_with(method, call_id, (None, body), turn)
    }

    fn within_with(
        &mut self,
        method: &str,
        call_id: &str,
        (header, body): (Option<(&str, &str)>, Option<&str>),
        turn: &mut Turn,
    ) -> Option<String> {
        let branch = format!("z9hG4bK{}", self.token());
        let (via, contact) = (self.via(&branch), self.contact());
        let talk = self.talks.get_mut(call_id)?;
        talk.cseq += 1;
        let mut letter = Letter::new(format!("{method} {} SIP/2.0", talk.target))
            .with("Via", &via)
            .with("Max-Forwards", "70")
            .with("From", &talk.local)
            .with("To", &talk.remote)
            .with("Call-ID", call_id)
            .with("CSeq", &format!("{} {method}", talk.cseq))
            .with("Contact", &contact);
        if let Some((name, value)) = header {
            letter = letter.with(name, value);
        }
        if let Some(body) = body {
            letter = letter.with_sdp(body);
        }
        let bytes = letter.bytes();
        self.ask(method, &branch, call_id, bytes, turn);
        Some(branch)
    }

    /// Hold or resume.
    pub fn reinvite(&mut self, call_id: &str, holding: bool, turn: &mut Turn) {
        let Some(talk) = self.talks.get_mut(call_id).filter(|talk| talk.stage == Stage::Confirmed) else { return };
        talk.version += 1;
        talk.holding = holding;
        let body = sdp(talk.rtp, talk.version, talk.codecs, if holding { "sendonly" } else { "sendrecv" });
        self.within("INVITE", call_id, Some(&body), turn);
    }

    /// Presses a key.
    pub fn press(&self, call_id: &str, digit: char, turn: &mut Turn) {
        if let Some(talk) = self.talks.get(call_id).filter(|talk| talk.stage == Stage::Confirmed) {
            turn.keys.push((talk.rtp, digit));
        }
    }

    /// Hands the other side of a call on: to this URI.
    pub fn refer(&mut self, call_id: &str, to: &str, turn: &mut Turn) {
        if self.talks.get(call_id).is_some_and(|talk| talk.stage == Stage::Confirmed) {
            self.within_with("REFER", call_id, (Some(("Refer-To", to)), None), turn);
        }
    }

    /// The Replaces by which a call of ours is named to Vigie, escaped for a URI.
    pub fn replaces(&self, call_id: &str) -> Option<String> {
        let talk = self.talks.get(call_id).filter(|talk| talk.stage == Stage::Confirmed)?;
        let (to, from) = (between(&talk.remote, ";tag="), between(&talk.local, ";tag="));
        Some(format!("{}%3Bto-tag%3D{to}%3Bfrom-tag%3D{from}", call_id.replace('@', "%40").replace(':', "%3A")))
    }

    /// Ends a call, whatever its stage.
    pub fn hang_up(&mut self, call_id: &str, turn: &mut Turn) {
        let Some(talk) = self.talks.get(call_id) else { return };
        match talk.stage {
            Stage::Inviting(is_known) => {
                let branch = talk.invite_branch.clone();
                self.turn_to(call_id, Stage::Cancelling, turn);
                // RFC 3261 §9.1: not before a provisional answer; it is sent when one comes.
                if is_known {
                    self.cancel(call_id, &branch, turn);
                }
            }
            Stage::Ringing => self.answer(call_id, 603, "Decline", turn),
            // RFC 3261 §15: a callee must not hang up before the ACK; it waits.
            Stage::Accepted => turn.timers.push((300, Timer::Person(crate::people::Wish::HangUp(call_id.to_owned())))),
            Stage::Confirmed => {
                self.within("BYE", call_id, None, turn);
                self.turn_to(call_id, Stage::Leaving, turn);
            }
            Stage::Cancelling | Stage::Leaving | Stage::Over => {}
        }
    }

    fn cancel(&mut self, call_id: &str, branch: &str, turn: &mut Turn) {
        let via = self.via(branch);
        let Some(talk) = self.talks.get(call_id) else { return };
        let letter = Letter::new(format!("CANCEL {} SIP/2.0", talk.target))
            .with("Via", &via)
            .with("Max-Forwards", "70")
            .with("From", &talk.local)
            .with("To", &talk.remote)
            .with("Call-ID", call_id)
            .with("CSeq", &format!("{} CANCEL", talk.cseq));
        self.ask("CANCEL", branch, call_id, letter.bytes(), turn);
    }

    /// Answers the call that rings; the final answer is repeated until its ACK.
    pub fn answer(&mut self, call_id: &str, status: u16, reason: &str, turn: &mut Turn) {
        let contact = self.contact();
        let Some(talk) = self.talks.get_mut(call_id).filter(|talk| talk.stage == Stage::Ringing) else { return };
        let Some(invite) = talk.invite.clone() else { return };
        let mut letter = invite.answer(status, reason, between(&talk.local, ";tag="));
        let is_ok = status == 200;
        if is_ok {
            letter = letter.with("Contact", &contact).with_sdp(&sdp(talk.rtp, talk.version, talk.codecs, "sendrecv"));
        }
        let bytes = letter.bytes();
        talk.last = Some(Final { bytes: bytes.clone(), interval_ms: T1_MS, left_ms: PATIENCE_MS, is_ok });
        turn.sends.push(bytes);
        turn.timers.push((T1_MS, Timer::FinalAgain { call_id: call_id.to_owned() }));
        self.turn_to(call_id, if is_ok { Stage::Accepted } else { Stage::Over }, turn);
    }

    /// A timer of the phone's own.
    pub fn wake(&mut self, timer: Timer, turn: &mut Turn) -> Option<News> {
        match timer {
            Timer::Again { branch, method } => self.ask_again(branch, method, turn),
            Timer::FinalAgain { call_id } => self.say_again(call_id, turn),
            Timer::Person(_) => None,
        }
    }

    fn ask_again(&mut self, branch: String, method: String, turn: &mut Turn) -> Option<News> {
        let key = (branch.clone(), method.clone());
        let pending = self.pending.get_mut(&key)?;
        let call_id = pending.call_id.clone();
        if method == "INVITE" && self.talks.get(&call_id).is_some_and(|talk| talk.stage == Stage::Inviting(true)) {
            return None;
        }
        pending.left_ms = pending.left_ms.saturating_sub(pending.interval_ms);
        if pending.left_ms == 0 {
            self.pending.remove(&key);
            if method == "REGISTER" {
                return Some(News::Registered { answer: None });
            }
            // Nothing came back: the call is over on this side.
            self.turn_to(&call_id, Stage::Over, turn);
            return Some(News::Over);
        }
        turn.sends.push(pending.bytes.clone());
        let most = if method == "INVITE" { PATIENCE_MS } else { T2_MS };
        pending.interval_ms = (pending.interval_ms * 2).min(most).min(pending.left_ms.max(1));
        turn.timers.push((pending.interval_ms, Timer::Again { branch, method }));
        None
    }

    fn say_again(&mut self, call_id: String, turn: &mut Turn) -> Option<News> {
        let last = self.talks.get_mut(&call_id)?.last.as_mut()?;
        last.left_ms = last.left_ms.saturating_sub(last.interval_ms);
        if last.left_ms == 0 {
            let is_ok = last.is_ok;
            if is_ok {
                // RFC 3261 §13.3.1.4: no ACK, so BYE.
                self.within("BYE", &call_id, None, turn);
                self.turn_to(&call_id, Stage::Leaving, turn);
            }
            self.talks.get_mut(&call_id)?.last = None;
            return is_ok.then_some(News::Over);
        }
        turn.sends.push(last.bytes.clone());
        last.interval_ms = (last.interval_ms * 2).min(T2_MS).min(last.left_ms.max(1));
        turn.timers.push((last.interval_ms, Timer::FinalAgain { call_id }));
        None
    }
}

fn talk_stage(phone: &Phone, call_id: &str) -> Option<Stage> {
    phone.talks.get(call_id).map(|talk| talk.stage)
}
