//! Calls set up by SIP over UDP: thousands of dialogs of callers and of regulators, on two sockets.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use bytes::Bytes;
use rustix::event::epoll::{self, EventData, EventFlags};

use super::caller::{CALLERS_MAX, CallerDialog};
use super::numbered::{LegName, LoadSide};
use super::registrations::Registrations;
use super::setup::{CallNews, DATAGRAM_BYTES_MAX, Ground, TOKEN_FIRST};
use super::voices::{FarEnd, Speech};
use crate::model::srtp::{Crypto, MasterKey, Profile, SrtpPolicy};
use crate::model::{Chance, Direction, Moment, Path, Transport};
use crate::sip::sdp::{CryptoLine, Description, LocalMedia, Origin, write_offer, write_protected_answer};
use crate::sip::{ClientKey, Happening, Message, Method, Request, Response, ServerKey, Transactions, compose};

/// The callers' socket, as a path's listener.
const CALLERS: u8 = 0;
/// The regulators' socket.
const REGULATORS: u8 = 1;

/// Where calls go and come from.
#[derive(Clone, Debug)]
pub struct SipPlan {
    /// Drawn once a run.
    pub run: u32,
    /// The user part that is dialled.
    pub user: String,
    /// The server.
    pub server: SocketAddr,
    /// What callers call from.
    pub callers: IpAddr,
    /// Where regulators are rung.
    pub regulators: SocketAddr,
    /// The first caller's number.
    pub caller_first: u64,
    /// How long a regulator's phone rings.
    pub rings_for: Duration,
}

/// A regulator's leg that was rung.
struct Rung {
    leg: LegName,
    media: LocalMedia,
    /// What it protects with; none is plain RTP.
    crypto: Option<MasterKey>,
    request: Request,
    key: ServerKey,
    /// When it is picked up; `None` once it was.
    answer_at: Option<Moment>,
}

/// Both sides' SIP.
pub struct SipSetup {
    plan: SipPlan,
    callers: UdpSocket,
    regulators: UdpSocket,
    transactions: Transactions,
    chance: Chance,
    dialogs: Vec<Option<CallerDialog>>,
    rung: HashMap<String, Rung>,
    /// Ringing legs in the order in which they will be picked up.
    ringing: std::collections::VecDeque<(Moment, String)>,
    registrations: Registrations,
    buffer: Vec<u8>,
}

impl SipSetup {
    /// Binds both sockets; `accounts` are to register.
    ///
    /// # Errors
    /// When an address cannot be bound.
    pub fn new(plan: SipPlan, accounts: Vec<(String, String)>, ground: &mut Ground) -> io::Result<SipSetup> {
        let callers = UdpSocket::bind((plan.callers, 0))?;
        let regulators = UdpSocket::bind(plan.regulators)?;
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(io::Error::other)?;
        for (socket, token) in [(&callers, TOKEN_FIRST), (&regulators, TOKEN_FIRST - 1)] {
            socket.set_nonblocking(true)?;
            // A burst of set-ups must not be lost here; where the system grants less, its repetitions come.
            let _ = rustix::net::sockopt::set_socket_recv_buffer_size(socket, 4 << 20);
            epoll::add(ground.epoll, socket, EventData::new_u64(token), EventFlags::IN)?;
        }
        let local = regulators.local_addr()?;
        let registrations = Registrations::new(plan.run, plan.server, local, accounts);
        Ok(SipSetup {
            plan,
            callers,
            regulators,
            transactions: Transactions::new(),
            chance: Chance::new(seed),
            dialogs: Vec::new(),
            rung: HashMap::new(),
            ringing: Default::default(),
            registrations,
            buffer: vec![0; DATAGRAM_BYTES_MAX],
        })
    }

    /// Registers the next regulator, or with `leaving` ends the next registration; whether there is one more.
    pub fn register_next(&mut self, leaving: bool, ground: &mut Ground) -> bool {
        let request = self.registrations.next(leaving, &mut self.chance);
        let Some(request) = request else { return false };
        self.send_request(REGULATORS, request, ground);
        true
    }

    /// Dials the next call.
    pub fn dial(&mut self, ground: &mut Ground) {
        let index = self.dialogs.len() as u32;
        let opened = ground.voices.open(LoadSide::Caller, self.plan.callers, ground.epoll);
        let Ok((leg, rtp)) = opened else {
            self.dialogs.push(None);
            return ground.news.push(CallNews::Failed { index, why: "no socket for a caller".into() });
        };
        let media = LocalMedia { rtp, origin: Origin::new(self.chance.next_u64()), direction: Direction::Both };
        let offer = write_offer(&media, &[ground.voices.speech().codec]);
        let Ok(local) = self.callers.local_addr() else { return };
        let mut dialog = CallerDialog::new(&self.plan, (leg, media), local, &mut self.chance);
        let invite = dialog.invite(offer, &branch(&mut self.chance));
        dialog.key = Some(self.send_request(CALLERS, invite, ground));
        self.dialogs.push(Some(dialog));
    }

    /// Hangs a call up, or gives it up.
    pub fn hang_up(&mut self, index: u32, ground: &mut Ground) {
        let Some(Some(dialog)) = self.dialogs.get_mut(index as usize) else { return };
        if dialog.is_established {
            let bye = dialog.bye(&branch(&mut self.chance));
            self.send_request(CALLERS, bye, ground);
        } else if let Some(key) = dialog.key.clone() {
            let mut happenings = Vec::new();
            self.transactions.cancel(&key, ground.now, &mut happenings);
            self.happen(happenings, ground);
        }
    }

    /// When something of this is to be done next.
    pub fn deadline(&self) -> Option<Moment> {
        self.transactions.deadline().into_iter().chain(self.ringing.front().map(|(at, _)| *at)).min()
    }

    /// Time passed.
    pub fn tick(&mut self, ground: &mut Ground) {
        let mut happenings = Vec::new();
        self.transactions.tick(ground.now, &mut happenings);
        self.happen(happenings, ground);
        while let Some((_, call_id)) = self.ringing.pop_front_if(|(at, _)| *at <= ground.now) {
            self.pick_up(&call_id, ground);
        }
    }

    /// Takes what came on the socket of `token`; whether it is one of these.
    pub fn receive(&mut self, token: u64, ground: &mut Ground) -> bool {
        let listener = match token {
            TOKEN_FIRST => CALLERS,
            token if token == TOKEN_FIRST - 1 => REGULATORS,
            _ => return false,
        };
        // As many as came by now; a socket with more is ready again at once.
        for _ in 0..32 {
            let socket = if listener == CALLERS { &self.callers } else { &self.regulators };
            let Ok((length, peer)) = socket.recv_from(&mut self.buffer) else { break };
            let bytes = Bytes::copy_from_slice(self.buffer.get(..length).unwrap_or_default());
            let Ok(message) = Message::parse(&bytes) else { continue };
            let path = Path { listener, transport: Transport::Udp, peer };
            let mut happenings = Vec::new();
            self.transactions.receive(path, message, ground.now, &mut happenings);
            self.happen(happenings, ground);
        }
        true
    }

    fn happen(&mut self, happenings: Vec<Happening>, ground: &mut Ground) {
        for happening in happenings {
            match happening {
                Happening::Send { path, bytes } => self.send(path.listener, &bytes, path.peer),
                Happening::Request { key, path: _, request } => {
                    let answers = self.answer(&key, &request, ground);
                    self.respond(&key, answers, ground);
                }
                Happening::Response { key, path: _, response } => self.take_response(&key, &response, ground),
                Happening::Cancelled { invite, cancel } => {
                    let rung = cancel.headers.call_id().and_then(|id| self.rung.remove(id.as_ref()));
                    if let Some(rung) = rung {
                        ground.voices.close(rung.leg);
                        let refusal = compose::response(&rung.request, 487, Some("load"));
                        self.respond(&invite, vec![refusal], ground);
                    }
                }
                Happening::TimedOut { key } | Happening::Cut { key, why: _ } => self.time_out(&key, ground),
                Happening::Ack { .. } | Happening::Retransmitted => {}
            }
        }
    }

    fn send(&self, listener: u8, bytes: &[u8], to: SocketAddr) {
        let socket = if listener == CALLERS { &self.callers } else { &self.regulators };
        // Lost or refused, it is sent again by its transaction.
        let _ = socket.send_to(bytes, to);
    }

    fn send_request(&mut self, listener: u8, request: Request, ground: &mut Ground) -> ClientKey {
        let path = Path { listener, transport: Transport::Udp, peer: self.plan.server };
        let mut happenings = Vec::new();
        let key = self.transactions.request(path, request, ground.now, &mut happenings);
        self.happen(happenings, ground);
        key
    }

    fn respond(&mut self, key: &ServerKey, answers: Vec<Response>, ground: &mut Ground) {
        for answer in answers {
            let mut happenings = Vec::new();
            self.transactions.respond(key, answer, ground.now, &mut happenings);
            self.happen(happenings, ground);
        }
    }

    /// The answers to a request of the server's, in order.
    fn answer(&mut self, key: &ServerKey, request: &Request, ground: &mut Ground) -> Vec<Response> {
        let call_id = request.headers.call_id().map(|id| id.into_owned()).unwrap_or_default();
        let caller = self.plan.index_of(&call_id).filter(|index| self.dialog(*index).is_some());
        match request.method {
            Method::Invite if caller.is_none() && !self.rung.contains_key(&call_id) => {
                self.ring(key, request, call_id, ground)
            }
            Method::Invite | Method::Update => vec![self.agree_again(request, (caller, &call_id), ground)],
            Method::Bye => {
                if let Some(rung) = self.rung.remove(&call_id) {
                    ground.voices.close(rung.leg);
                }
                if let Some(dialog) = caller.and_then(|index| self.dialogs.get_mut(index as usize)?.take()) {
                    ground.voices.close(dialog.leg);
                    ground.news.push(CallNews::Ended { index: dialog.leg.index, by_server: true });
                }
                vec![compose::response(request, 200, Some("load"))]
            }
            _ => vec![compose::response(request, 200, Some("load"))],
        }
    }

    fn dialog(&self, index: u32) -> Option<&CallerDialog> {
        self.dialogs.get(index as usize)?.as_ref()
    }

    /// A new call for a regulator.
    fn ring(&mut self, key: &ServerKey, request: &Request, call_id: String, ground: &mut Ground) -> Vec<Response> {
        let speech = ground.voices.speech();
        let codec = speech.codec_of(LoadSide::Regulator);
        let offer = Description::parse(&request.body).ok().and_then(|offer| offer.under(policy(speech)).audio);
        let Some(audio) = offer.filter(|audio| audio.payload(codec).is_some()) else {
            let srtp = if speech.is_protected { " with SRTP" } else { "" };
            ground.news.push(CallNews::NotTaken { why: format!("a regulator was offered no {}{srtp}", codec.name()) });
            return vec![compose::response(request, 488, Some("load"))];
        };
        let crypto = audio.crypto.first().and_then(|line| draw(line.key.profile(), &mut self.chance));
        let opened = ground.voices.open(LoadSide::Regulator, self.plan.regulators.ip(), ground.epoll);
        let Ok((leg, rtp)) = opened else {
            ground.news.push(CallNews::NotTaken { why: "no socket for a regulator".into() });
            return vec![compose::response(request, 500, Some("load"))];
        };
        ground.news.push(CallNews::Rung { index: leg.index });
        if let Some(index) = self.caller_of(request).filter(|_| speech.is_transcoded()) {
            ground.voices.pair(LegName { side: LoadSide::Caller, index }, leg);
        }
        let media = LocalMedia { rtp, origin: Origin::new(self.chance.next_u64()), direction: Direction::Both };
        let answer_at = ground.now + self.plan.rings_for;
        let (request_kept, key) = (request.clone(), key.clone());
        let rung = Rung { leg, media, crypto, request: request_kept, key, answer_at: Some(answer_at) };
        self.rung.insert(call_id.clone(), rung);
        self.ringing.push_back((answer_at, call_id));
        vec![compose::response(request, 180, Some("load"))]
    }

    /// The newest call of the number that a regulator is shown.
    fn caller_of(&self, request: &Request) -> Option<u32> {
        let from = request.headers.first("From")?;
        let digits = from.split_once("sip:+")?.1.split_once('@')?.0;
        let place =
            digits.parse::<u64>().ok()?.checked_sub(self.plan.caller_first).filter(|place| *place < CALLERS_MAX)?;
        let newest = (self.dialogs.len() as u64).checked_sub(1)?;
        // The last round of numbers that this place was dialled in.
        let round = newest.checked_sub(place)? / CALLERS_MAX;
        u32::try_from(place + round * CALLERS_MAX).ok()
    }

    fn pick_up(&mut self, call_id: &str, ground: &mut Ground) {
        let Ok(local) = self.regulators.local_addr() else { return };
        let Some(rung) = self.rung.get_mut(call_id) else { return };
        if rung.answer_at.take().is_none() {
            return;
        }
        let (key, request) = (rung.key.clone(), rung.request.clone());
        let answer = accept(&request, (rung.leg, rung.media, rung.crypto.as_ref()), local, ground);
        self.respond(&key, vec![answer], ground);
    }

    /// A re-INVITE or UPDATE: what was agreed stands.
    fn agree_again(&mut self, request: &Request, of: (Option<u32>, &str), ground: &mut Ground) -> Response {
        let (caller, call_id) = of;
        let dialog = caller.and_then(|index| self.dialog(index)).map(|dialog| (dialog.leg, dialog.media, None));
        let rung = || self.rung.get(call_id).map(|rung| (rung.leg, rung.media, rung.crypto.as_ref()));
        let found = dialog.or_else(rung);
        let socket = if dialog.is_some() { &self.callers } else { &self.regulators };
        match (found, socket.local_addr()) {
            (Some(side), Ok(local)) => accept(request, side, local, ground),
            (Some(_) | None, Ok(_) | Err(_)) => compose::response(request, 481, Some("load")),
        }
    }

    fn take_response(&mut self, key: &ClientKey, response: &Response, ground: &mut Ground) {
        if response.status < 200 {
            return;
        }
        if key.method() == Method::Register {
            let again = self.registrations.take(response, ground.news, &mut self.chance);
            if let Some(request) = again {
                self.send_request(REGULATORS, request, ground);
            }
            return;
        }
        let call_id = response.headers.call_id().map(|id| id.into_owned()).unwrap_or_default();
        let Some(index) = self.plan.index_of(&call_id) else { return };
        if key.method() == Method::Bye {
            return self.end(index, CallNews::Ended { index, by_server: false }, ground);
        }
        if key.method() != Method::Invite {
            return;
        }
        if !response.is_success() {
            let why = format!("INVITE answered {}", response.status);
            return self.end(index, CallNews::Failed { index, why }, ground);
        }
        let Some(Some(dialog)) = self.dialogs.get_mut(index as usize) else { return };
        let is_first = !dialog.is_established;
        dialog.establish(response);
        let ack = dialog.ack(&branch(&mut self.chance)).to_bytes();
        let leg = dialog.leg;
        self.send(CALLERS, &ack, self.plan.server);
        if is_first {
            let codec = ground.voices.speech().codec;
            let audio = Description::parse(&response.body).ok().and_then(|answer| answer.audio);
            match audio.and_then(|audio| Some((audio.rtp, audio.payload(codec)?))) {
                Some((rtp, payload)) => {
                    ground.voices.aim(leg, FarEnd { rtp, payload, crypto: None }, ground.now);
                    ground.news.push(CallNews::Accepted { index });
                }
                None => {
                    self.hang_up(index, ground);
                    let why = format!("accepted without {}", codec.name());
                    self.end(index, CallNews::Failed { index, why }, ground);
                }
            }
        }
    }

    fn time_out(&mut self, key: &ClientKey, ground: &mut Ground) {
        if let Some(why) = self.registrations.time_out(key) {
            return ground.news.push(CallNews::NotRegistered { why });
        }
        let of_key = |dialog: &CallerDialog| dialog.key.as_ref() == Some(key);
        let found = self.dialogs.iter().flatten().find(|dialog| of_key(dialog)).map(|dialog| dialog.leg.index);
        match found {
            Some(index) => {
                let why = format!("{} not answered", key.method().as_str());
                self.end(index, CallNews::Failed { index, why }, ground);
            }
            None => ground.news.push(CallNews::NotTaken { why: format!("{} not answered", key.method().as_str()) }),
        }
    }

    fn end(&mut self, index: u32, news: CallNews, ground: &mut Ground) {
        if let Some(dialog) = self.dialogs.get_mut(index as usize).and_then(Option::take) {
            ground.voices.close(dialog.leg);
            ground.news.push(news);
        }
    }
}

/// The 200 with our SDP, and from now on the leg speaks to where the offer says; a request without an offer gets none back.
fn accept(
    request: &Request,
    (leg, media, key): (LegName, LocalMedia, Option<&MasterKey>),
    local: SocketAddr,
    ground: &mut Ground,
) -> Response {
    let codec = ground.voices.speech().codec_of(leg.side);
    let mut answer = compose::response(request, 200, Some("load"));
    answer.headers.push("Contact", format!("<sip:load@{local}>"));
    let body = if request.body.is_empty() {
        (request.method == Method::Invite).then(|| write_offer(&media, &[codec]))
    } else {
        let offer = Description::parse(&request.body).ok();
        let offer = offer.map(|offer| offer.under(key.map_or(SrtpPolicy::Off, |_| SrtpPolicy::Required)));
        let audio = offer.as_ref().and_then(|offer| offer.audio.as_ref());
        // The line of the offer that our key is for, and the number that the answer names it by.
        let line = key.and_then(|key| {
            let same = |line: &&CryptoLine| line.key.profile() == key.profile();
            Some((audio?.crypto.iter().find(same)?, key))
        });
        let crypto = line.map(|(line, key)| Crypto { ours: key.clone(), theirs: line.key.clone() });
        let ours = line.map(|(line, key)| CryptoLine { tag: line.tag, key: key.clone() });
        if let Some((rtp, payload)) = audio.and_then(|audio| Some((audio.rtp, audio.payload(codec)?))) {
            ground.voices.aim(leg, FarEnd { rtp, payload, crypto }, ground.now);
        }
        offer.map(|offer| write_protected_answer(&media, &offer, codec, ours.as_ref()))
    };
    if let Some(body) = body {
        answer.headers.push("Content-Type", "application/sdp");
        answer.body = body;
    }
    answer
}

/// What the regulators' phones ask for.
fn policy(speech: Speech) -> SrtpPolicy {
    if speech.is_protected { SrtpPolicy::Required } else { SrtpPolicy::Off }
}

fn draw(profile: Profile, chance: &mut Chance) -> Option<MasterKey> {
    let bytes: Vec<u8> = (0..4).flat_map(|_| chance.next_u64().to_be_bytes()).collect();
    MasterKey::new(profile, bytes.get(..16 + profile.salt_bytes())?)
}

fn branch(chance: &mut Chance) -> String {
    format!("z9hG4bK{}", chance.token())
}
