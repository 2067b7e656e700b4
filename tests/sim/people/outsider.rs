//! Whoever picks up, or does not, when an outside number is dialled: the SAMU, a doctor on the road, another centre.

use super::*;

/// An outside party of one call.
pub struct Outsider {
    pub phone: Phone,
    pub is_dead: bool,
}

impl Outsider {
    pub fn new(number: u32, chance: Chance) -> Outsider {
        let mut phone = Phone::new(trunk(0), chance);
        phone.media = std::net::IpAddr::from([10, 1, 2, (number % 200) as u8]);
        Outsider { phone, is_dead: false }
    }

    pub(super) fn act(&mut self, what: Wish, turn: &mut Turn) {
        if self.is_dead {
            return;
        }
        match what {
            Wish::Answer(call_id, status) => self.phone.answer(&call_id, status, reason(status), turn),
            Wish::HangUp(call_id) => self.phone.hang_up(&call_id, turn),
            Wish::Hold(call_id, on) => self.phone.reinvite(&call_id, on, turn),
            Wish::PowerOff(_) => {
                self.is_dead = true;
                self.phone.lose_power(turn);
            }
            Wish::Dial | Wish::GiveUp(_) | Wish::Press(..) | Wish::Register | Wish::PowerOn | Wish::EndShift => {}
            Wish::Errand(_) | Wish::Consult(_) | Wish::HandOn(_) | Wish::Join(..) => {}
        }
    }

    pub(super) fn learn(&mut self, news: News, turn: &mut Turn) {
        let chance = &mut self.phone.chance;
        match news {
            News::Rings { call_id } => {
                if let Some((after, what)) = pick_up(chance, call_id) {
                    wish(turn, after, what);
                }
            }
            News::Talks { call_id } => {
                let talk = if is_one_of(chance, 50) { chance.below(100) } else { 2_000 + chance.below(150_000) };
                wish(turn, talk, Wish::HangUp(call_id.clone()));
                if is_one_of(chance, 80) {
                    let at = chance.below(talk + 1);
                    wish(turn, at, Wish::Hold(call_id.clone(), true));
                    wish(turn, at + 5_000, Wish::Hold(call_id, false));
                }
                if is_one_of(chance, 30) {
                    let at = chance.below(talk + 1);
                    wish(turn, at, Wish::PowerOff(None));
                }
            }
            News::Over | News::Refused { .. } | News::Referred { .. } => {}
            News::Progress { .. } | News::Registered { .. } => {}
        }
    }
}

/// What somebody does whose telephone rings: mostly picks up, sometimes refuses, or does nothing.
pub(super) fn pick_up(chance: &mut Chance, call_id: String) -> Option<(u64, Wish)> {
    let soon = 300 + exponential_ms(chance, 6_000.0).min(40_000);
    match chance.below(100) {
        0..=6 => Some((soon, Wish::Answer(call_id, 486))),
        7..=10 => Some((soon, Wish::Answer(call_id, 603))),
        11..=13 => Some((soon, Wish::Answer(call_id, 480))),
        14..=15 => Some((soon, Wish::Answer(call_id, 500))),
        16..=22 => None,
        // About when it is given up.
        23..=26 => Some((44_900 + chance.below(200), Wish::Answer(call_id, 200))),
        27..=28 => Some((soon, Wish::PowerOff(None))),
        _ => Some((soon, Wish::Answer(call_id, 200))),
    }
}
