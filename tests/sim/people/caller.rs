//! Callers with their patience: who gives up, who calls again, whose phone goes dead.

use super::*;
use crate::voice::KEYS;

fn media_of(number: u32) -> std::net::IpAddr {
    std::net::IpAddr::from([10, 1, 1, (number % 200) as u8])
}

/// A caller.
pub struct Caller {
    pub phone: Phone,
    pub is_dead: bool,
    /// The Call-IDs that this person has used.
    pub call_ids: Vec<String>,
    number: u32,
    uri: String,
    patience: u32,
    patience_ms: u64,
    has_voice: bool,
    has_talked: bool,
    gave_up: bool,
}

impl Caller {
    pub fn new(number: u32, ddi: &str, mut chance: Chance) -> Caller {
        let patience_ms = if is_one_of(&mut chance, 30) {
            4_000 + chance.below(4_000)
        } else if is_one_of(&mut chance, 20) {
            chance.below(400)
        } else {
            let mean = if is_one_of(&mut chance, 500) { 240_000.0 } else { 1_200_000.0 };
            exponential_ms(&mut chance, mean)
        };
        let mut phone = Phone::new(trunk(u64::from(number)), chance);
        phone.media = media_of(number);
        Caller {
            phone,
            is_dead: false,
            call_ids: Vec::new(),
            number,
            uri: format!("sip:{ddi}@{}", vigie()),
            patience: 0,
            patience_ms,
            has_voice: false,
            has_talked: false,
            gave_up: false,
        }
    }

    fn dial(&mut self, turn: &mut Turn) {
        let call_id = format!("call-{}-{}@carrier", self.number, self.call_ids.len());
        self.call_ids.push(call_id.clone());
        let chance = &mut self.phone.chance;
        let codecs = match chance.below(100) {
            0 => "18",
            1..=20 => "0",
            21..=40 => "0 8",
            _ => "8 0 101",
        };
        let (is_late, loses_acks) = (is_one_of(chance, 20), is_one_of(chance, 5));
        let rtp = SocketAddr::new(media_of(self.number), 10_000 + (self.number % 5_000) as u16 * 2);
        let mut headers = vec![("P-Asserted-Identity", format!("<sip:+3361{:07}@carrier>", self.number))];
        if is_one_of(&mut self.phone.chance, 100) {
            headers.push(("Privacy", "id".to_owned()));
        }
        let from = format!("\"Åsa {}\" <sip:06{:08}@carrier>", self.number, self.number);
        let uri = self.uri.clone();
        let wanted = Wanted { uri: &uri, from: &from, call_id: &call_id, rtp, codecs, is_late, loses_acks, headers };
        self.phone.invite(wanted, turn);
        self.patience += 1;
        wish(turn, self.patience_ms, Wish::GiveUp(self.patience));
    }

    fn call_id(&self) -> String {
        self.call_ids.last().cloned().unwrap_or_default()
    }

    /// A regulator's voice is heard, or not any more.
    pub fn hear_voice(&mut self, has_voice: bool, turn: &mut Turn) {
        if self.is_dead || self.has_voice == has_voice {
            return;
        }
        self.has_voice = has_voice;
        self.patience += 1;
        if !has_voice {
            wish(turn, 240_000, Wish::GiveUp(self.patience));
            return;
        }
        if self.has_talked {
            return;
        }
        self.has_talked = true;
        let call_id = self.call_id();
        let chance = &mut self.phone.chance;
        if is_one_of(chance, 30) {
            let after = chance.below(80);
            return wish(turn, after, Wish::HangUp(call_id));
        }
        let talk = handling_ms(chance);
        if is_one_of(chance, 600) {
            wish(turn, talk, Wish::HangUp(call_id.clone()));
        }
        if is_one_of(chance, 50) {
            let (at, back) = (chance.below(talk), 3_000 + chance.below(60_000));
            wish(turn, at, Wish::Hold(call_id.clone(), true));
            if !is_one_of(chance, 200) {
                wish(turn, at + back, Wish::Hold(call_id, false));
            }
        }
        if is_one_of(chance, 12) {
            let at = chance.below(talk);
            wish(turn, at, Wish::PowerOff(None));
        }
    }

    /// Three in ten press keys, whatever is said: in menus, while they wait, and while they talk.
    fn press_keys(&mut self, call_id: &str, turn: &mut Turn) {
        let chance = &mut self.phone.chance;
        if !is_one_of(chance, 300) {
            return;
        }
        let mut at = chance.below(25_000);
        for _ in 0..=chance.below(3) {
            let key = char::from(KEYS[chance.below(KEYS.len() as u64) as usize]);
            wish(turn, at, Wish::Press(call_id.to_owned(), key));
            at += 500 + chance.below(20_000);
        }
    }

    pub(super) fn act(&mut self, what: Wish, turn: &mut Turn) {
        if self.is_dead {
            return;
        }
        match what {
            Wish::Dial => {
                if !self.phone.is_busy() {
                    self.dial(turn);
                }
            }
            Wish::GiveUp(patience) if patience == self.patience => {
                self.gave_up = true;
                if is_one_of(&mut self.phone.chance, 15) {
                    return self.act(Wish::PowerOff(None), turn);
                }
                let call_id = self.call_id();
                self.phone.hang_up(&call_id, turn);
            }
            Wish::HangUp(call_id) => self.phone.hang_up(&call_id, turn),
            Wish::Press(call_id, digit) => self.phone.press(&call_id, digit, turn),
            Wish::Answer(call_id, status) => self.phone.answer(&call_id, status, reason(status), turn),
            Wish::Hold(call_id, on) => self.phone.reinvite(&call_id, on, turn),
            Wish::PowerOff(_) => {
                self.is_dead = true;
                self.phone.lose_power(turn);
            }
            Wish::GiveUp(_) | Wish::Register | Wish::PowerOn | Wish::EndShift => {}
            Wish::Errand(_) | Wish::Consult(_) | Wish::HandOn(_) | Wish::Join(..) => {}
        }
    }

    pub(super) fn learn(&mut self, news: News, turn: &mut Turn) {
        match news {
            News::Over => {
                self.has_voice = false;
                self.patience += 1;
                let again = self.gave_up && self.call_ids.len() < 3 && is_one_of(&mut self.phone.chance, 600);
                self.gave_up = false;
                if again {
                    let after = 10_000 + self.phone.chance.below(60_000);
                    wish(turn, after, Wish::Dial);
                }
            }
            News::Refused { answer } => {
                self.patience += 1;
                if answer.status() == Some(503) && self.call_ids.len() < 3 {
                    wish(turn, 5_000, Wish::Dial);
                }
            }
            // Vigie calls back.
            News::Rings { call_id } => {
                self.call_ids.push(call_id.clone());
                if let Some((after, what)) = outsider::pick_up(&mut self.phone.chance, call_id) {
                    wish(turn, after, what);
                }
            }
            News::Talks { call_id } => self.press_keys(&call_id, turn),
            News::Registered { .. } => {}
            News::Referred { .. } | News::Progress { .. } => {}
        }
    }
}
