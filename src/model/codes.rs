//! Feature codes: what a regulator dials from a registered phone, or presses during a call.

use std::time::Duration;

use super::ids::SoundId;
use super::time::Moment;

/// What a code asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Code {
    /// I am ready.
    Ready,
    /// I pause; during a call, after it.
    Pause,
    /// I need longer after this call.
    Longer,
    /// The SAMU is rung and joins.
    Samu,
    /// Somebody joins: of the number or id that follows, or whom I have asked over another call.
    Join,
    /// Who joined last leaves.
    Drop,
    /// The caller waits again, in the old place.
    Requeue,
    /// The call's recording pauses; once it is paused, it goes on.
    Recording,
    /// I hear the call of the colleague whose id follows, and nobody hears me.
    Listen,
    /// The colleague alone hears me.
    Whisper,
    /// All hear me.
    BargeIn,
    /// I have the caller, and the colleague is let go.
    TakeOver,
}

/// A code needs no more digits than these after its `*`: it is dialled many times a day.
pub const CODE_DIGITS_MAX: usize = 4;

/// The longest that follows a code: an id has at most 64 characters, a number 16.
const TEXT_LENGTH_MAX: usize = 64;

/// A key that comes later begins anew: whoever paused so long has given up.
const KEY_GAP_MAX: Duration = Duration::from_secs(6);

impl Code {
    /// Every code with its key in `[codes]` and what is dialled for it without one.
    pub const ALL: [(Code, &'static str, &'static str); 12] = [
        (Code::Ready, "ready", "*11"),
        (Code::Pause, "pause", "*10"),
        (Code::Longer, "longer", "*12"),
        (Code::Samu, "samu", "*15"),
        (Code::Join, "join", "*3"),
        (Code::Drop, "drop", "*4"),
        (Code::Requeue, "requeue", "*5"),
        (Code::Recording, "recording", "*9"),
        (Code::Listen, "listen", "*61"),
        (Code::Whisper, "whisper", "*62"),
        (Code::BargeIn, "barge_in", "*63"),
        (Code::TakeOver, "take_over", "*64"),
    ];

    /// The word that confirms it, where one is said.
    pub fn sound(self) -> Option<SoundId> {
        match self {
            Code::Ready => Some(SoundId::from("ready-fr")),
            Code::Pause => Some(SoundId::from("paused-fr")),
            Code::Longer => Some(SoundId::from("longer-fr")),
            Code::Samu
            | Code::Join
            | Code::Drop
            | Code::Requeue
            | Code::Recording
            | Code::Listen
            | Code::Whisper
            | Code::BargeIn
            | Code::TakeOver => None,
        }
    }

    /// Whether a number or an id may follow when it is dialled.
    fn takes_text(self) -> bool {
        match self {
            Code::Join | Code::Listen | Code::Whisper | Code::BargeIn | Code::TakeOver => true,
            Code::Ready | Code::Pause | Code::Longer | Code::Samu | Code::Drop | Code::Requeue | Code::Recording => {
                false
            }
        }
    }

    /// Whether more keys may follow when it is pressed during a call; then `#` ends it.
    fn takes_keys(self) -> bool {
        match self {
            Code::Join => true,
            Code::Listen
            | Code::Whisper
            | Code::BargeIn
            | Code::TakeOver
            | Code::Ready
            | Code::Pause
            | Code::Longer
            | Code::Samu
            | Code::Drop
            | Code::Requeue
            | Code::Recording => false,
        }
    }
}

/// The codes of a centre; none begins with another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Codes {
    /// What is dialled for each; a code that is not here is off.
    pub dialled: Vec<(Code, String)>,
}

impl Default for Codes {
    fn default() -> Codes {
        Codes { dialled: Code::ALL.into_iter().map(|(code, _, usual)| (code, usual.to_owned())).collect() }
    }
}

impl Codes {
    /// The code that was dialled, and what followed it.
    pub fn read(&self, digits: &str) -> Option<(Code, String)> {
        self.dialled.iter().find_map(|(code, begin)| {
            let text = digits.strip_prefix(begin.as_str())?;
            let is_whole = text.is_empty() || (code.takes_text() && text.len() <= TEXT_LENGTH_MAX);
            is_whole.then(|| (*code, text.to_owned()))
        })
    }
}

/// The keys that somebody has pressed since the last `*`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Typed {
    keys: String,
    last: Moment,
}

impl Typed {
    /// One more key; the code that is complete with it, and what followed it.
    pub fn press(&mut self, key: char, codes: &Codes, now: Moment) -> Option<(Code, String)> {
        if now.since(self.last) > KEY_GAP_MAX || self.keys.len() > TEXT_LENGTH_MAX {
            self.keys.clear();
        }
        self.last = now;
        match key {
            '*' => self.keys = "*".to_owned(),
            '#' => {
                let keys = std::mem::take(&mut self.keys);
                return codes.read(&keys);
            }
            _ if self.keys.is_empty() => {}
            key => self.keys.push(key),
        }
        let (code, text) = codes.read(&self.keys)?;
        if code.takes_keys() {
            return None;
        }
        self.keys.clear();
        Some((code, text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn type_in(keys: &str, typed: &mut Typed, at: u64) -> Vec<(Code, String)> {
        let codes = Codes::default();
        keys.chars().filter_map(|key| typed.press(key, &codes, Moment(at))).collect()
    }

    #[test]
    fn a_code_is_dialled_with_what_follows_it_and_nothing_else_is_one() {
        let codes = Codes::default();
        let read = |text: &str| codes.read(text);
        assert_eq!(read("*15"), Some((Code::Samu, String::new())));
        assert_eq!(read("*61anne"), Some((Code::Listen, "anne".into())));
        assert_eq!(read("*3+33612345678"), Some((Code::Join, "+33612345678".into())));
        for other in ["*150", "*99", "15", "", "*", "*6", "anne"] {
            assert_eq!(read(other), None, "{other}");
        }
    }

    #[test]
    fn a_code_is_pressed_among_other_keys_and_a_late_key_begins_anew() {
        let mut typed = Typed::default();
        assert_eq!(type_in("7*15", &mut typed, 0), [(Code::Samu, String::new())]);
        assert_eq!(type_in("*1*61", &mut typed, 0), [(Code::Listen, String::new())]);
        assert_eq!(type_in("*30612345678", &mut typed, 0), []);
        assert_eq!(type_in("#", &mut typed, 1_000_000), [(Code::Join, "0612345678".into())]);
        assert_eq!(type_in("*1", &mut typed, 2_000_000), []);
        assert_eq!(type_in("5", &mut typed, 9_000_000), [], "too late");
        assert_eq!(type_in("*3#", &mut typed, 9_000_000), [(Code::Join, String::new())]);
    }

    #[test]
    fn of_keys_without_end_no_more_is_kept_than_a_code_needs() {
        let mut typed = Typed::default();
        type_in(&format!("*3{}", "1".repeat(10_000)), &mut typed, 0);
        assert!(typed.keys.len() <= TEXT_LENGTH_MAX + 1);
    }
}
