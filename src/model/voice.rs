//! What callers hear and press: menus, messages while they wait, ways out of the waiting room, voicemail.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use super::demand::DemandChange;
use super::ids::{LineId, MenuId, SoundId};

/// What a line's callers hear and may press, beside greeting, music and last messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LineVoice {
    /// What they choose from before they wait.
    pub menu: Option<MenuId>,
    /// What a key does while they wait.
    pub keys: BTreeMap<char, Way>,
    /// What they hear while they wait, beside the music.
    pub messages: Vec<WaitingMessage>,
    /// How a message is taken.
    pub voicemail: Voicemail,
    /// Heard when a call-back was noted.
    pub callback_noted: Option<SoundId>,
    /// Heard when a call-back cannot be noted: no number, or none that may be dialled.
    pub callback_refused: Option<SoundId>,
}

/// One thing heard while waiting, again and again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitingMessage {
    /// First after so long in the waiting room.
    pub after: Duration,
    /// And then every so often; `None`: once.
    pub every: Option<Duration>,
    /// These sounds.
    pub sounds: Vec<SoundId>,
    /// Then what is told of the wait.
    pub tells: BTreeSet<Tells>,
    /// Heard only by callers of this language; `None`: by all.
    pub language: Option<String>,
}

/// What is told of the wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tells {
    /// The place among those who wait.
    Position,
    /// Within how long nine of ten such calls are answered.
    Forecast,
}

/// How a message is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Voicemail {
    /// Heard before the recording begins.
    pub prompt: Option<SoundId>,
    /// The longest message.
    pub duration_max: Duration,
}

impl Default for Voicemail {
    fn default() -> Voicemail {
        Voicemail { prompt: None, duration_max: Duration::from_secs(180) }
    }
}

/// A menu: something is said, and a key leads on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Menu {
    /// Its id.
    pub id: MenuId,
    /// Heard when it is entered, and again after a wrong key or none.
    pub say: Vec<SoundId>,
    /// Where each key leads. Without any, `otherwise` follows when everything was heard.
    pub keys: BTreeMap<char, Way>,
    /// How long a key is waited for when everything was heard.
    pub key_wait: Duration,
    /// How often it is said.
    pub attempts_max: u8,
    /// Heard after a key that leads nowhere.
    pub wrong: Option<SoundId>,
    /// Where callers go who have not chosen.
    pub otherwise: Way,
}

/// Where a key leads, and what changes on the way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Way {
    /// Heard first.
    pub say: Vec<SoundId>,
    /// What changes in the call's demand; the line's steps stay as they are.
    pub change: DemandChange,
    /// What the caller speaks from now on: `fr`, `en`.
    pub language: Option<String>,
    /// Where to.
    pub to: Destination,
}

/// Where a choice leads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Destination {
    /// Into the waiting room; for who waits already: stays there.
    #[default]
    Wait,
    /// To another menu.
    Menu(MenuId),
    /// To an outside number, over the trunk that may dial it, at once.
    Number(String),
    /// To another line, as if its number had been dialled.
    Line(LineId),
    /// A message is taken.
    Voicemail,
    /// The caller is called back when the turn comes.
    CallBack,
    /// The call ends.
    HangUp,
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Destination::Wait => f.write_str("wait"),
            Destination::Menu(id) => write!(f, "menu {id}"),
            Destination::Number(number) => write!(f, "number {number}"),
            Destination::Line(id) => write!(f, "line {id}"),
            Destination::Voicemail => f.write_str("voicemail"),
            Destination::CallBack => f.write_str("call-back"),
            Destination::HangUp => f.write_str("hang-up"),
        }
    }
}

/// The numbers that can be spoken: every one to twenty, and these.
const ROUND_NUMBERS: [u32; 3] = [30, 45, 60];

/// The names of the sounds that telling positions and waits needs in each language; `fr/next` is the sound of `next`.
pub fn spoken_names() -> Vec<String> {
    let words = ["next", "position", "position-many", "wait-minute", "wait-within", "wait-minutes", "wait-long"];
    let numbers = (1..=20).chain(ROUND_NUMBERS).map(|number| number.to_string());
    words.into_iter().map(str::to_owned).chain(numbers).collect()
}

/// The sound of one of [`spoken_names`]; such an id holds a slash, which no configured one does.
pub fn spoken(language: &str, name: &str) -> SoundId {
    SoundId::from(format!("{language}/{name}").as_str())
}

/// A place in the waiting room (1 is the next to be served), in words.
pub fn say_position(language: &str, position: u32) -> Vec<SoundId> {
    match position {
        0 | 1 => vec![spoken(language, "next")],
        2..=20 => vec![spoken(language, "position"), spoken(language, &position.to_string())],
        _ => vec![spoken(language, "position-many")],
    }
}

/// A wait that nine of ten such calls do not exceed, in words: rounded up to what can be spoken.
pub fn say_wait(language: &str, within: Duration) -> Vec<SoundId> {
    let minutes = within.as_secs().div_ceil(60);
    let spoken_minutes = (1..=20).chain(ROUND_NUMBERS).find(|number| u64::from(*number) >= minutes);
    match spoken_minutes {
        Some(1) => vec![spoken(language, "wait-minute")],
        Some(number) => ["wait-within", &number.to_string(), "wait-minutes"].map(|name| spoken(language, name)).into(),
        None => vec![spoken(language, "wait-long")],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(sounds: Vec<SoundId>) -> Vec<String> {
        sounds.into_iter().map(|sound| sound.to_string()).collect()
    }

    #[test]
    fn a_wait_is_rounded_up_to_what_can_be_spoken_and_never_down() {
        let wait = |seconds| said(say_wait("fr", Duration::from_secs(seconds)));
        assert_eq!(wait(0), ["fr/wait-minute"]);
        assert_eq!(wait(60), ["fr/wait-minute"]);
        assert_eq!(wait(61), ["fr/wait-within", "fr/2", "fr/wait-minutes"]);
        assert_eq!(wait(240), ["fr/wait-within", "fr/4", "fr/wait-minutes"]);
        assert_eq!(wait(1201), ["fr/wait-within", "fr/30", "fr/wait-minutes"]);
        assert_eq!(wait(3601), ["fr/wait-long"]);
    }

    #[test]
    fn everything_that_is_said_is_among_the_sounds_that_each_language_has() {
        let known = spoken_names();
        let everything = (0..100).flat_map(|n| say_position("en", n));
        let everything = everything.chain((0..5000).flat_map(|s| say_wait("en", Duration::from_secs(s))));
        for sound in everything {
            let name = sound.as_str().strip_prefix("en/").expect("of the language").to_owned();
            assert!(known.contains(&name), "{name}");
        }
    }
}
