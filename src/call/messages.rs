//! What a waiting caller hears beside the music, and what the keys do meanwhile.

use std::collections::BTreeSet;
use std::time::Duration;

use super::decision::{CallInput, Decision, RoomChange};
use super::life::{Call, State};
use super::switch::Switch;
use super::{callback, ivr, ways};
use crate::model::voice::{say_position, say_wait};
use crate::model::{CallId, Destination, Moment, Now, SoundId, Tells};

/// So long after one message began no other begins, so that none cuts another short.
const MESSAGES_APART: Duration = Duration::from_secs(15);

/// Keys of the waiting music that one call is led by: whoever plays on the keypad does not come round the overflow for ever.
pub const KEYS_MAX: u16 = 50;

/// What a call has heard and pressed so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Hearing {
    /// Menus walked through.
    pub menus: u16,
    /// Keys followed while waiting.
    keys: u16,
    /// Whether a greeting was begun.
    pub greeted: bool,
    /// Whether the caller was told of the recording.
    pub noticed: bool,
    /// A key pressed during the greeting, for the menu after it.
    pub early_key: Option<char>,
    /// When each message of the line is due; `None`: not any more. Empty before the caller waits.
    pub due: Vec<Option<Moment>>,
    /// When the last message began.
    spoke_at: Option<Moment>,
    /// What is about to be heard, while the wait is being foreseen.
    about: Option<(Vec<SoundId>, BTreeSet<Tells>)>,
}

/// What the switch tells a call about its wait.
#[derive(Clone, Debug, PartialEq)]
pub enum VoiceInput {
    /// What was asked by `RoomChange::Foresee`.
    Foreseen {
        /// The place among those who wait: 1 is served next.
        position: u32,
        /// Within how long nine of ten such calls are answered, when that can be said.
        within: Option<Duration>,
    },
    /// A step of the demand has a message.
    Message(SoundId),
    /// The call-back is noted.
    CallBackNoted,
    /// It cannot be, and why.
    CallBackRefused(&'static str),
    /// The person of a call-back has been answered in this call.
    Superseded(CallId),
    /// The server stops: a call-back stands in line again after the next start.
    Rest,
}

/// Takes what concerns sounds and keys of a caller who is greeted or waits; hands back everything else.
pub fn take(call: &mut Call, input: CallInput, now: Now, out: &mut Vec<Decision>) -> Option<CallInput> {
    match input {
        CallInput::Voice(input) => {
            told(call, input, now, out);
            None
        }
        CallInput::Dtmf { leg, digit } if leg.number == 0 && call.state == State::Greeting => {
            press_early(call, digit, now, out);
            None
        }
        CallInput::Dtmf { leg, digit } if leg.number == 0 && ways::is_waiting(call) => {
            press_waiting(call, digit, now, out);
            None
        }
        CallInput::Due if is_message_due(call, now) => {
            begin_message(call, now, out);
            None
        }
        other => Some(other),
    }
}

/// During the greeting: what leads to help at once is followed at once, the rest when the notice was heard.
fn press_early(call: &mut Call, key: char, now: Now, out: &mut Vec<Decision>) {
    if !ivr::is_urgent(call, key) {
        call.hears.early_key = Some(key);
        return;
    }
    let menu = call.line.voice.menu.as_ref().and_then(|id| call.centre.menus.get(id));
    let way = menu.map_or(call.line.voice.keys.get(&key), |menu| menu.keys.get(&key)).cloned();
    if let Some(way) = way {
        ways::choose(call, Some(key), way, now, out);
    }
}

/// While waiting: so many keys are followed, and after them only those that lead to help outside.
fn press_waiting(call: &mut Call, key: char, now: Now, out: &mut Vec<Decision>) {
    let Some(way) = call.line.voice.keys.get(&key).cloned() else { return };
    call.hears.keys = call.hears.keys.saturating_add(1);
    if call.hears.keys <= KEYS_MAX || matches!(way.to, Destination::Number(_)) {
        ways::choose(call, Some(key), way, now, out);
    }
}

/// When the next message is due.
fn next_due(call: &Call) -> Option<Moment> {
    let due = call.hears.due.iter().flatten().min().copied()?;
    let earliest = call.hears.spoke_at.map(|at| at + MESSAGES_APART);
    Some(earliest.map_or(due, |earliest| due.max(earliest)))
}

/// Whether a message is what the clock was set for, and nothing else.
fn is_message_due(call: &Call, now: Now) -> bool {
    let is_more_urgent = match &call.state {
        State::Waiting => call.waits_until <= now.moment,
        State::Offering(offer) => call.waits_until.min(offer.until) <= now.moment,
        _ => true,
    };
    !is_more_urgent && next_due(call).is_some_and(|due| due <= now.moment)
}

/// Keeps the call's clock true to its messages; after every step.
pub fn set_deadline(call: &mut Call, now: Now) {
    if !ways::is_waiting(call) || callback::is_unreached(call) {
        return;
    }
    if call.hears.due.is_empty() {
        // From now on: what a person brings of earlier waits brings no messages.
        let first = |message: &crate::model::WaitingMessage| Some(now.moment + message.after);
        call.hears.due = call.line.voice.messages.iter().map(first).collect();
    }
    call.deadline = call.deadline.into_iter().chain(next_due(call)).min();
}

/// The messages of another line begin; what was due of the one before is due no more.
pub fn begin_anew(call: &mut Call) {
    call.hears.due.clear();
    if ways::is_waiting(call) {
        set_clock(call);
    }
}

/// What the clock of somebody who waits is set for, but for messages.
fn set_clock(call: &mut Call) {
    call.deadline = match &call.state {
        State::Offering(offer) => Some(call.waits_until.min(offer.until)),
        _ => Some(call.waits_until),
    };
}

/// Every message that is due by now, as one.
fn begin_message(call: &mut Call, now: Now, out: &mut Vec<Decision>) {
    let line = call.line.clone();
    let (mut sounds, mut tells) = (Vec::new(), BTreeSet::new());
    for (message, due) in line.voice.messages.iter().zip(call.hears.due.iter_mut()) {
        let Some(at) = due.filter(|at| *at <= now.moment) else { continue };
        let next = message.every.map(|every| at + every);
        // Whoever was elsewhere meanwhile does not hear what was missed one after the other.
        *due = next.map(|next| if next <= now.moment { now.moment + MESSAGES_APART } else { next });
        if message.language.as_ref().is_none_or(|language| *language == call.record.language) {
            sounds.extend(message.sounds.iter().cloned());
            tells.extend(message.tells.iter().copied());
        }
    }
    call.hears.spoke_at = Some(now.moment);
    set_clock(call);
    if tells.is_empty() || !call.centre.spoken.contains(&call.record.language) {
        return speak(call, sounds, out);
    }
    call.hears.about = Some((sounds, tells));
    out.push(Decision::Room(RoomChange::Foresee));
}

fn speak(call: &Call, sounds: Vec<SoundId>, out: &mut Vec<Decision>) {
    if !sounds.is_empty() {
        ways::play_then_music(call, sounds, out);
    }
}

fn told(call: &mut Call, input: VoiceInput, now: Now, out: &mut Vec<Decision>) {
    let is_waiting = ways::is_waiting(call) && !callback::is_unreached(call);
    match input {
        VoiceInput::Foreseen { position, within } => {
            let Some((mut sounds, tells)) = call.hears.about.take().filter(|_| is_waiting) else { return };
            let language = call.record.language.as_str();
            for tell in tells {
                match (tell, within) {
                    (Tells::Position, _) => sounds.extend(say_position(language, position)),
                    (Tells::Forecast, Some(within)) => sounds.extend(say_wait(language, within)),
                    (Tells::Forecast, None) => {}
                }
            }
            speak(call, sounds, out);
        }
        VoiceInput::Message(sound) if is_waiting => {
            call.hears.spoke_at = Some(now.moment);
            speak(call, vec![sound], out);
        }
        VoiceInput::Message(_) => {}
        VoiceInput::CallBackNoted if is_waiting => callback::noted(call, now, out),
        VoiceInput::CallBackRefused(why) if is_waiting => callback::refused(call, why, out),
        VoiceInput::CallBackNoted | VoiceInput::CallBackRefused(_) => {}
        VoiceInput::Superseded(by) => callback::superseded(call, by, now, out),
        VoiceInput::Rest => callback::rest(call, now, out),
    }
}

impl Switch {
    /// The place of a call among those who wait, and how long such calls wait.
    pub(super) fn foresee(&mut self, id: CallId, now: Now) {
        let Some(position) = self.room.position_of(id) else { return };
        let forecast = self.room.forecast(id, now);
        let within = forecast.map(|forecast| Duration::from_millis(forecast.nine_in_ten_ms));
        let input = VoiceInput::Foreseen { position, within };
        self.queue.push_back((id, CallInput::Voice(input)));
    }
}
