//! The people: callers with their patience, regulators with their habits and their mishaps.

mod asking;
mod caller;
mod outsider;

use std::net::SocketAddr;

use vigie::model::Chance;

use crate::centre::{EXPIRES_S, REALM, account, trunk, vigie};
use crate::phone::{News, Phone, Timer, Turn, Wanted};
use crate::wire::Text;

pub use caller::Caller;
pub use outsider::Outsider;

/// What a person means to do when the time has come.
#[derive(Clone, Debug)]
pub enum Wish {
    /// Call.
    Dial,
    /// Loses patience, unless somebody talks to him by then: the number is his patience's.
    GiveUp(u32),
    /// End the call.
    HangUp(String),
    /// Press a key.
    Press(String, char),
    /// Hold or take back.
    Hold(String, bool),
    /// Answer the ringing phone with this status.
    Answer(String, u16),
    /// Register or refresh.
    Register,
    /// The phone goes on.
    PowerOn,
    /// The phone goes dead; in so many milliseconds it is back, or never.
    PowerOff(Option<u64>),
    /// The shift is over.
    EndShift,
    /// Dial a feature code.
    Errand(&'static str),
    /// Dial a colleague, beside this call or beside none.
    Consult(Option<String>),
    /// Hand the caller of this call on to a colleague, unasked.
    HandOn(String),
    /// Join the caller of the first call with the colleague of the second.
    Join(String, String),
}

/// Somebody with a phone.
pub enum Person {
    /// Calls over the trunk.
    Caller(Box<Caller>),
    /// Answers.
    Regulator(Box<Device>),
    /// Is called over the trunk.
    Outsider(Box<Outsider>),
}

impl Person {
    pub fn phone(&self) -> &Phone {
        match self {
            Person::Caller(caller) => &caller.phone,
            Person::Regulator(device) => &device.phone,
            Person::Outsider(outsider) => &outsider.phone,
        }
    }

    pub fn phone_mut(&mut self) -> &mut Phone {
        match self {
            Person::Caller(caller) => &mut caller.phone,
            Person::Regulator(device) => &mut device.phone,
            Person::Outsider(outsider) => &mut outsider.phone,
        }
    }

    /// Whether the phone has power.
    pub fn is_alive(&self) -> bool {
        match self {
            Person::Caller(caller) => !caller.is_dead,
            Person::Regulator(device) => device.is_on,
            Person::Outsider(outsider) => !outsider.is_dead,
        }
    }

    pub fn hear(&mut self, text: &Text, turn: &mut Turn) {
        let news = self.phone_mut().receive(text, turn);
        self.learn(news, turn);
    }

    pub fn wake(&mut self, timer: Timer, turn: &mut Turn) {
        match timer {
            Timer::Person(wish) => match self {
                Person::Caller(caller) => caller.act(wish, turn),
                Person::Regulator(device) => device.act(wish, turn),
                Person::Outsider(outsider) => outsider.act(wish, turn),
            },
            other @ (Timer::Again { .. } | Timer::FinalAgain { .. }) => {
                let news = self.phone_mut().wake(other, turn);
                self.learn(news, turn);
            }
        }
    }

    fn learn(&mut self, news: Option<News>, turn: &mut Turn) {
        let Some(news) = news else { return };
        match self {
            Person::Caller(caller) => caller.learn(news, turn),
            Person::Regulator(device) => device.learn(news, turn),
            Person::Outsider(outsider) => outsider.learn(news, turn),
        }
    }
}

/// A share of all, in thousandths.
fn is_one_of(chance: &mut Chance, thousandths: u64) -> bool {
    chance.below(1000) < thousandths
}

/// An exponential time.
pub fn exponential_ms(chance: &mut Chance, mean_ms: f64) -> u64 {
    (-(1.0 - chance.fraction()).ln() * mean_ms) as u64
}

/// A handling time: lognormal, mean 165 s, CV 0.8, twenty minutes at most.
fn handling_ms(chance: &mut Chance) -> u64 {
    let (a, b) = (1.0 - chance.fraction(), chance.fraction());
    let normal = (-2.0 * a.ln()).sqrt() * (2.0 * std::f64::consts::PI * b).cos();
    let sigma = (1.0f64 + 0.8 * 0.8).ln().sqrt();
    let mean = 165_000.0f64.ln() - sigma * sigma / 2.0;
    ((mean + sigma * normal).exp() as u64).clamp(2_000, 1_200_000)
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        486 => "Busy Here",
        603 => "Decline",
        480 => "Temporarily Unavailable",
        _ => "Server Error",
    }
}

fn wish(turn: &mut Turn, after_ms: u64, wish: Wish) {
    turn.timers.push((after_ms, Timer::Person(wish)));
}

/// A regulator's phone and the person's habits with it.
pub struct Device {
    pub phone: Phone,
    pub user: String,
    pub is_on: bool,
    /// The last REGISTER that was granted, in milliseconds.
    pub registered_ms: Option<u64>,
    /// Until then it refuses whatever rings: a storm of 486.
    pub is_busy_until_ms: u64,
    on_shift: bool,
    restarts: u16,
    home: [u8; 4],
    tries: u32,
    /// What is being dialled: a feature code or a colleague, and the call beside which.
    errand: Option<(String, Option<String>)>,
    errands: u32,
    challenges: u32,
    /// The phone leaves by itself when what it asked is taken: these calls.
    leaves: Vec<String>,
}

impl Device {
    pub fn new(user: &str, place: u8, chance: Chance) -> Device {
        let home = [10, 2, place, 1];
        Device {
            phone: Phone::new(SocketAddr::from((home, 5060)), chance),
            user: user.to_owned(),
            is_on: false,
            registered_ms: None,
            is_busy_until_ms: 0,
            on_shift: true,
            restarts: 0,
            home,
            tries: 0,
            errand: None,
            errands: 0,
            challenges: 0,
            leaves: Vec::new(),
        }
    }

    fn act(&mut self, what: Wish, turn: &mut Turn) {
        match what {
            Wish::PowerOn if !self.is_on && self.on_shift => {
                self.is_on = true;
                if self.restarts > 0 && is_one_of(&mut self.phone.chance, 500) {
                    self.phone.address = SocketAddr::from((self.home, 5060 + self.restarts));
                }
                self.act(Wish::Register, turn);
            }
            Wish::EndShift if !self.is_on => self.on_shift = false,
            _ if !self.is_on => {}
            Wish::PowerOff(back) => {
                self.is_on = false;
                self.restarts += 1;
                self.errand = None;
                self.registered_ms = None;
                self.phone.lose_power(turn);
                if let Some(back) = back {
                    wish(turn, back, Wish::PowerOn);
                }
            }
            Wish::Register => {
                self.tries = 0;
                let user = self.user.clone();
                let expires = if self.on_shift { EXPIRES_S } else { 0 };
                self.phone.register(&user, expires, None, turn);
            }
            Wish::EndShift => {
                self.on_shift = false;
                match self.phone.chance.below(3) {
                    0 => self.act(Wish::PowerOff(None), turn),
                    _ => self.act(Wish::Register, turn),
                }
            }
            Wish::Answer(call_id, status) => self.answer(&call_id, status, turn),
            Wish::HangUp(call_id) => self.phone.hang_up(&call_id, turn),
            Wish::Hold(call_id, on) => self.phone.reinvite(&call_id, on, turn),
            Wish::Errand(code) => self.start_errand(code, turn),
            Wish::Consult(beside) => self.consult(beside, turn),
            Wish::HandOn(call_id) => {
                let colleague = self.draw_colleague();
                self.phone.refer(&call_id, &format!("<sip:{colleague}@{REALM}>"), turn);
            }
            Wish::Join(talk, own) => self.join(&talk, &own, turn),
            Wish::Dial | Wish::GiveUp(_) | Wish::Press(..) | Wish::PowerOn => {}
        }
    }

    fn answer(&mut self, call_id: &str, status: u16, turn: &mut Turn) {
        self.phone.answer(call_id, status, reason(status), turn);
    }

    fn start_errand(&mut self, code: &'static str, turn: &mut Turn) {
        if self.phone.is_busy() {
            return wish(turn, 20_000, Wish::Errand(code));
        }
        self.start_dialling(code.to_owned(), None, turn);
        if code == "*10" {
            let after = 60_000 + self.phone.chance.below(400_000);
            wish(turn, after, Wish::Errand("*11"));
        }
    }

    fn start_dialling(&mut self, what: String, beside: Option<String>, turn: &mut Turn) {
        self.errand = Some((what, beside));
        self.errands += 1;
        self.challenges = 0;
        self.dial(None, turn);
    }

    fn dial(&mut self, authorization: Option<String>, turn: &mut Turn) {
        let Some((code, _)) = self.errand.clone() else { return };
        let kind = if code.starts_with('*') { "errand" } else { "consult" };
        let call_id = format!("{kind}-{}-{}-{}", self.user, self.phone.address, self.errands);
        let uri = format!("sip:{code}@{REALM}");
        let from = format!("<sip:{}@{REALM}>", self.user);
        let rtp = SocketAddr::new(self.phone.address.ip(), 40_000 + (self.errands % 10_000) as u16 * 2);
        let headers = authorization.map(|value| ("Proxy-Authorization", value)).into_iter().collect();
        let wanted = Wanted {
            uri: &uri,
            from: &from,
            call_id: &call_id,
            rtp,
            codecs: "8 0",
            is_late: false,
            loses_acks: false,
            headers,
        };
        self.phone.invite(wanted, turn);
        if kind == "consult" && self.challenges > 0 {
            let after = 2_000 + self.phone.chance.below(90_000);
            wish(turn, after, Wish::HangUp(call_id));
        }
    }

    fn learn(&mut self, news: News, turn: &mut Turn) {
        match news {
            News::Rings { call_id } => self.ring(call_id, turn),
            News::Talks { call_id } => self.talk(call_id, turn),
            News::Over => {}
            News::Refused { answer } => {
                let code = self.errand.as_ref().map_or("*11", |(code, _)| code.as_str());
                let uri = format!("sip:{code}@{REALM}");
                let cnonce = self.phone.token();
                if answer.status() == Some(407)
                    && self.challenges < 2
                    && let Some(value) = account(&self.user).answer(&answer, "INVITE", &uri, &cnonce)
                {
                    self.challenges += 1;
                    self.dial(Some(value), turn);
                }
            }
            News::Registered { answer } => self.registered(answer, turn),
            News::Referred { call_id, status } => self.referred(call_id, status, turn),
            News::Progress { call_id, status } => self.hear_progress(call_id, status, turn),
        }
    }

    fn registered(&mut self, answer: Option<Text>, turn: &mut Turn) {
        let again = |turn: &mut Turn, after: u64| wish(turn, after, Wish::Register);
        let Some(answer) = answer else { return again(turn, 30_000) };
        match answer.status() {
            Some(401) if self.tries < 3 => {
                self.tries += 1;
                let uri = format!("sip:{REALM}");
                let cnonce = self.phone.token();
                let expires = if self.on_shift { EXPIRES_S } else { 0 };
                let Some(value) = account(&self.user).answer(&answer, "REGISTER", &uri, &cnonce) else { return };
                let user = self.user.clone();
                self.phone.register(&user, expires, Some(&value), turn);
            }
            Some(200) if !self.on_shift => {
                self.registered_ms = None;
                // A talk may go on without a registration; the phone itself goes dark much later.
                wish(turn, 1_500_000, Wish::PowerOff(None));
            }
            Some(200) => {
                self.registered_ms = Some(self.phone.now_ms);
                let after = EXPIRES_S * 400 + self.phone.chance.below(EXPIRES_S * 200);
                again(turn, after);
            }
            _ => again(turn, 20_000),
        }
    }

    fn ring(&mut self, call_id: String, turn: &mut Turn) {
        // Now and then everybody picks up at the very same instant: two devices of one person answer at once.
        let sum: u64 = self.phone.talks[&call_id].vigie_call.bytes().map(u64::from).sum();
        if self.phone.now_ms < self.is_busy_until_ms {
            return wish(turn, 20, Wish::Answer(call_id, 486));
        }
        // RFC 3261 §13.2.1: what nobody picks up stops ringing when the INVITE says.
        if let Some(limit_s) = self.phone.talks[&call_id].rings_for_s() {
            wish(turn, limit_s * 1_000, Wish::Answer(call_id.clone(), 487));
        }
        let chance = &mut self.phone.chance;
        let after = if sum.is_multiple_of(10) {
            2_000 + chance.below(40)
        } else {
            (500 + exponential_ms(chance, 3_500.0)).min(20_000)
        };
        let what = match chance.below(1000) {
            0..=14 => Wish::Answer(call_id, 486),
            15..=24 => Wish::Answer(call_id, 603),
            25..=28 => Wish::Answer(call_id, 480),
            29..=32 => Wish::Answer(call_id, 500),
            33..=42 => Wish::PowerOff(Some(20_000 + chance.below(300_000))),
            43..=60 => return,
            61..=70 => return wish(turn, 14_900 + chance.below(200), Wish::Answer(call_id, 200)),
            _ => Wish::Answer(call_id, 200),
        };
        wish(turn, after, what);
    }

    fn talk(&mut self, call_id: String, turn: &mut Turn) {
        let is_errand = call_id.starts_with("errand");
        if call_id.starts_with("consult") {
            let beside = self.errand.as_ref().and_then(|(_, beside)| beside.clone());
            let after = 500 + self.phone.chance.below(20_000);
            if let Some(talk) = beside
                && is_one_of(&mut self.phone.chance, 700)
            {
                wish(turn, after, Wish::Join(talk, call_id));
            }
            return;
        }
        let chance = &mut self.phone.chance;
        if is_errand {
            let after = 500 + chance.below(20_000);
            return wish(turn, after, Wish::HangUp(call_id));
        }
        let talk = if is_one_of(chance, 10) { chance.below(50) } else { handling_ms(chance) };
        wish(turn, talk, Wish::HangUp(call_id.clone()));
        if is_one_of(chance, 60) {
            let (at, back) = (chance.below(talk + 1), 2_000 + chance.below(90_000));
            wish(turn, at, Wish::Hold(call_id.clone(), true));
            if !is_one_of(chance, 200) {
                wish(turn, at + back, Wish::Hold(call_id.clone(), false));
            }
        }
        if is_one_of(chance, 20) {
            let (at, back) = (chance.below(talk + 1), 20_000 + chance.below(600_000));
            wish(turn, at, Wish::PowerOff(Some(back)));
        }
        if is_one_of(chance, 40) {
            let at = chance.below(talk + 1);
            wish(turn, at, Wish::Errand("*10"));
        }
        if is_one_of(chance, 70) {
            let at = chance.below(talk + 1);
            wish(turn, at, Wish::HandOn(call_id.clone()));
        }
        if is_one_of(chance, 100) {
            let at = chance.below(talk + 1);
            wish(turn, at, Wish::Consult(Some(call_id)));
        }
        if is_one_of(&mut self.phone.chance, 30) {
            let after = 5_000 + self.phone.chance.below(600_000);
            wish(turn, after, Wish::Consult(None));
        }
    }
}
